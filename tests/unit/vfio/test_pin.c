/* SPDX-License-Identifier: MIT */
/* Pages that devices pin: what no program can bring about with the devices there are. Spec: 10, 4.5 and 4.6. */
#include "harness.h"

static int setup(void **state)
{
	host_start();
	*state = caller_create();
	return 0;
}

static int teardown(void **state)
{
	caller_destroy(*state);
	host_stop();
	return 0;
}

/* A container with one device, open. */
struct lab {
	struct iommu_group *g; /* NULL: emulated */
	struct device *d;
	int container, group, device;
};

static struct lab lab_open(struct caller *c, const char *name, bool real)
{
	struct lab l = { .g = real ? group_create() : NULL };

	l.d = device_create_pinning(name, l.g);
	assert_rc(vfio_register(host.vfio, &l.d->v), 0);
	l.container = sys_open(c, CONTAINER);
	l.group = sys_open(c, real ? "/dev/vfio/0" : l.d->v.priv->group->id ? "/dev/vfio/1" : "/dev/vfio/0");
	assert_true(l.group >= 0);
	assert_rc(group_set(c, l.group, l.container), 0);
	assert_rc(sys_ioctl_u(c, l.container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), 0);
	l.device = (int)sys_ioctl(c, l.group, VFIO_GROUP_GET_DEVICE_FD, name);
	assert_true(l.device >= 0);
	return l;
}

static void lab_close(struct caller *c, struct lab *l)
{
	sys_close(c, l->device);
	sys_close(c, l->group);
	sys_close(c, l->container);
	device_del(l->d);
	iommu_group_put(l->g);
}

static void tracking(struct caller *c, int container, uint32_t flag)
{
	struct vfio_iommu_type1_dirty_bitmap b = { .argsz = sizeof(b), .flags = flag };

	assert_rc(sys_ioctl(c, container, VFIO_IOMMU_DIRTY_PAGES, &b), 0);
}

static long report(struct caller *c, int container, uint64_t iova, uint64_t pages, uint64_t *bits)
{
	struct {
		struct vfio_iommu_type1_dirty_bitmap head;
		struct vfio_iommu_type1_dirty_bitmap_get get;
	} r = { .head.argsz = sizeof(r), .head.flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP };

	r.get = (struct vfio_iommu_type1_dirty_bitmap_get){
		.iova = iova,
		.size = pages * PAGE,
		.bitmap = { .pgsize = PAGE, .size = (pages + 63) / 64 * 8, .data = (uintptr_t)bits },
	};
	return sys_ioctl(c, container, VFIO_IOMMU_DIRTY_PAGES, &r);
}

/* Only a device behind an IOMMU can be there with an invalid vaddr, and no driver that programs reach pins for one. */
static void PIN_05_no_page_is_pinned_while_a_vaddr_is_invalid(void **state)
{
	struct caller *c = *state;
	struct lab l = lab_open(c, "a", true);
	char *p = area_create(2 * PAGE, false, true), buf[8];

	assert_rc(map(c, l.container, 0, p, PAGE, RW), 0);
	assert_rc(map(c, l.container, PAGE, p + PAGE, PAGE, RW), 0);
	assert_rc(device_pin(l.d, 0, MEM_READ, NULL), 1);
	assert_int_equal(unmap(c, l.container, PAGE, PAGE, VFIO_DMA_UNMAP_FLAG_VADDR), PAGE);
	assert_rc(device_pin(l.d, 0, MEM_READ, NULL), -EBUSY);
	assert_rc(vfio_dma_rw(&l.d->v, NULL, 0, buf, sizeof(buf), false), -EBUSY);
	assert_rc(map(c, l.container, PAGE, p + PAGE, PAGE, VFIO_DMA_MAP_FLAG_VADDR), 0);
	assert_rc(device_pin(l.d, 0, MEM_READ, NULL), 1);
	lab_close(c, &l);
}

/* A group behind an IOMMU is taken at its word once it has pinned (4.6). */
static void scope(void **state)
{
	struct caller *c = *state;
	struct lab l = lab_open(c, "a", true);
	char *p = area_create(4 * PAGE, false, true);
	uint64_t bits;

	assert_rc(map(c, l.container, 0, p, 4 * PAGE, RW), 0);
	tracking(c, l.container, VFIO_IOMMU_DIRTY_PAGES_FLAG_START);
	assert_rc(report(c, l.container, 0, 4, &bits), 0);
	assert_int_equal(bits, 0xf);
	assert_rc(device_pin(l.d, PAGE, MEM_WRITE, NULL), 1);
	assert_rc(report(c, l.container, 0, 4, &bits), 0);
	assert_int_equal(bits, 0x2);
	assert_rc(vfio_dma_rw(&l.d->v, NULL, 3 * PAGE, "x", 1, true), 0);
	assert_int_equal(p[3 * PAGE], 'x');
	assert_rc(report(c, l.container, 0, 4, &bits), 0);
	assert_int_equal(bits, 0xa);
	lab_close(c, &l);
}

/* Whose memory it is, and who is asked to move it. */
static void owners(void **state)
{
	struct caller *c = *state, *other = caller_create();
	struct lab l = lab_open(c, "a", false);
	char *p = area_create(2 * PAGE, false, true), buf[4];

	p[0] = 'p';
	assert_rc(map(c, l.container, 0, p, PAGE, RW), 0);
	assert_rc(vfio_dma_rw(&l.d->v, &other->task, 0, buf, 4, false), -EFAULT);
	assert_rc(vfio_dma_rw(&l.d->v, &c->task, 0, buf, 4, false), 0);
	assert_int_equal(buf[0], 'p');
	assert_rc(vfio_dma_rw(&l.d->v, NULL, 0, buf, 4, false), 0);
	assert_rc(vfio_dma_rw(&l.d->v, NULL, 0, buf, 0, false), -EINVAL);
	caller_end(c);
	assert_rc(vfio_dma_rw(&l.d->v, NULL, 0, buf, 4, false), -EPERM);
	assert_rc(device_pin(l.d, 0, MEM_READ, NULL), -ENODEV);
	assert_int_equal(unmap(c, l.container, 0, PAGE, 0), PAGE);
	lab_close(c, &l);
	/* not open: nothing may be pinned */
	l.d = device_create_pinning("b", NULL);
	assert_rc(vfio_register(host.vfio, &l.d->v), 0);
	assert_rc(device_pin(l.d, 0, MEM_READ, NULL), -EINVAL);
	assert_rc(vfio_dma_rw(&l.d->v, NULL, 0, buf, 4, false), -EINVAL);
	device_del(l.d);
	caller_destroy(other);
}

/* What could not be reported is reported the next time; more than one piece of a report (32768 pages). */
static void reports(void **state)
{
	const uint64_t pages = 70000;
	struct caller *c = *state;
	struct lab l = lab_open(c, "a", false);
	char *p = area_create(pages * PAGE, false, true);
	uint64_t *bits = area_create(64 * PAGE, false, true);

	assert_rc(map(c, l.container, 3 * PAGE, p, pages * PAGE, RW), 0);
	tracking(c, l.container, VFIO_IOMMU_DIRTY_PAGES_FLAG_START);
	assert_rc(vfio_dma_rw(&l.d->v, NULL, 3 * PAGE, "x", 1, true), 0);
	assert_rc(vfio_dma_rw(&l.d->v, NULL, (3 + 32767) * PAGE, "x", 1, true), 0);
	assert_rc(vfio_dma_rw(&l.d->v, NULL, (3 + pages - 1) * PAGE, "x", 1, true), 0);
	assert_rc(report(c, l.container, 0, pages + 3, (void *)BAD_PTR), -EFAULT);
	memset(bits, 0, 64 * PAGE);
	bits[0] = 1; /* not the mapping's: stays */
	assert_rc(report(c, l.container, 0, pages + 3, bits), 0);
	for (uint64_t i = 0; i < pages + 3; i++)
		assert_int_equal(bits[i / 64] >> i % 64 & 1, i == 0 || i == 3 || i == 3 + 32767 || i == pages + 2);
	assert_rc(report(c, l.container, 0, pages + 3, bits), 0);
	for (uint64_t i = 64; i < pages + 3; i++)
		assert_int_equal(bits[i / 64] >> i % 64 & 1, 0);
	lab_close(c, &l);
}

/* ---- a copy that its program does not serve ---- */

static struct {
	struct caller *c;
	struct device *d;
	int container;
	atomic_bool unmapped;
	char *p;
} stuck;

static void copier(void *arg)
{
	char buf[4];

	assert_rc(vfio_dma_rw(&stuck.d->v, &stuck.c->task, 0, buf, sizeof(buf), false), 0);
}

static void unmapper(void *arg)
{
	assert_int_equal(unmap(stuck.c, stuck.container, 0, PAGE, 0), PAGE);
	atomic_store(&stuck.unmapped, true);
}

static void pause_ms(long ms)
{
	const struct timespec t = { 0, ms * 1000000 };

	nanosleep(&t, NULL);
}

/* Only the unmap of that very mapping waits. */
static void stuck_copy(void **state)
{
	struct caller *c = *state;
	struct lab l = lab_open(c, "a", false);
	char *p = area_create(2 * PAGE, false, true);
	struct thread a, b;

	stuck.c = c;
	stuck.d = l.d;
	stuck.container = l.container;
	atomic_store(&stuck.unmapped, false);
	assert_rc(map(c, l.container, 0, p, PAGE, RW), 0);
	atomic_store(&c->stuck_page, (uintptr_t)p);
	assert_rc(thread_start(&a, "copier", copier, NULL), 0);
	while (!atomic_load(&c->stuck))
		pause_ms(1);
	assert_rc(thread_start(&b, "unmapper", unmapper, NULL), 0);
	assert_rc(map(c, l.container, PAGE, p + PAGE, PAGE, RW), 0);
	assert_rc(device_pin(l.d, PAGE, MEM_READ, NULL), 1);
	assert_int_equal(unmap(c, l.container, PAGE, PAGE, 0), PAGE);
	pause_ms(20);
	assert_false(atomic_load(&stuck.unmapped));
	atomic_store(&c->stuck_page, 0);
	thread_join(&a);
	thread_join(&b);
	assert_true(atomic_load(&stuck.unmapped));
	lab_close(c, &l);
}

/* ---- everything at once ---- */

#define PAGES 16
#define STEPS 4000
static atomic_uint pinned, copied, unmapped, programs; /* the last: that still run */

static unsigned draw(unsigned *seed, unsigned n)
{
	*seed = *seed * 1103515245u + 12345u;
	return (*seed >> 16) % n;
}

/* The device's driver. */
static void driver(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;

	while (atomic_load(&programs)) {
		uint64_t iova = draw(&seed, PAGES) * PAGE;
		char byte;

		switch (draw(&seed, 4)) {
		case 0:
			if (device_pin(stuck.d, iova, MEM_WRITE, NULL) == 1)
				atomic_fetch_add(&pinned, 1);
			break;
		case 1:
			device_unpin(stuck.d, iova);
			break;
		default:
			if (!vfio_dma_rw(&stuck.d->v, NULL, iova, &byte, 1, draw(&seed, 2)))
				atomic_fetch_add(&copied, 1);
		}
	}
}

/* The program. */
static void program(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;
	uint64_t bits;

	for (unsigned i = 0; i < STEPS; i++) {
		uint64_t at = draw(&seed, PAGES) * PAGE, n = (1 + draw(&seed, 3)) * PAGE;

		switch (draw(&seed, 8)) {
		case 0:
			if (unmap(stuck.c, stuck.container, at, n, 0) > 0)
				atomic_fetch_add(&unmapped, 1);
			break;
		case 1:
			report(stuck.c, stuck.container, 0, PAGES, &bits);
			break;
		case 2:
			tracking(stuck.c, stuck.container,
				 draw(&seed, 2) ? VFIO_IOMMU_DIRTY_PAGES_FLAG_START : VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP);
			break;
		default:
			if (at + n <= PAGES * PAGE)
				map(stuck.c, stuck.container, at, stuck.p + at, n, RW);
		}
	}
	atomic_fetch_sub(&programs, 1);
}

/* Another group comes and goes, and with it the domain. */
static void neighbour(void *arg)
{
	int g = sys_open(stuck.c, arg);

	for (unsigned i = 0; i < STEPS / 16; i++) {
		assert_rc(group_set(stuck.c, g, stuck.container), 0);
		assert_rc(sys_ioctl(stuck.c, g, VFIO_GROUP_UNSET_CONTAINER, NULL), 0);
	}
	sys_close(stuck.c, g);
}

static void all_at_once(void **state)
{
	struct caller *c = *state;
	struct iommu_group *g = group_create();
	struct device *real = device_add("real", g);
	struct lab l = lab_open(c, "soft", false);
	struct thread t[5];

	stuck.c = c;
	stuck.d = l.d;
	stuck.container = l.container;
	stuck.p = area_create(PAGES * PAGE, false, true);
	caller_limit(c, 1000 * PAGE);
	atomic_store(&programs, 2);
	assert_rc(thread_start(&t[0], "driver", driver, (void *)1), 0);
	assert_rc(thread_start(&t[1], "driver", driver, (void *)2), 0);
	assert_rc(thread_start(&t[2], "program", program, (void *)3), 0);
	assert_rc(thread_start(&t[3], "program", program, (void *)4), 0);
	assert_rc(thread_start(&t[4], "neighbour", neighbour, (void *)"/dev/vfio/0"), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(t); i++)
		thread_join(&t[i]);
	print_message("%u pinned, %u copied, %u unmapped, %u notices\n", pinned, copied, unmapped, l.d->notices);
	lab_close(c, &l);
	assert_int_equal(atomic_load(&c->task.mm->locked_pages), 0);
	device_del(real);
	iommu_group_put(g);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(PIN_05_no_page_is_pinned_while_a_vaddr_is_invalid), T(scope), T(owners), T(reports), T(stuck_copy), T(all_at_once),
	};

	return cmocka_run_group_tests_name("vfio pins", tests, NULL, NULL);
}
