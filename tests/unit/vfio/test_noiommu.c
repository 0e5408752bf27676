/* SPDX-License-Identifier: MIT */
/* Memory by physical address, pagemap, and what goes wrong in No-IOMMU mode. Spec: 10, section 5. */
#include "harness.h"

#define MIB2 (2ull << 20)
#define GIB  (1ull << 30)

static int setup(void **state)
{
	struct caller *c;

	host_start();
	c = caller_create();
	c->rawio = c->admin = true;
	atomic_store(&host.vfio->noiommu, true);
	*state = c;
	return 0;
}

static int teardown(void **state)
{
	caller_destroy(*state);
	host_stop();
	return 0;
}

static struct file *pagemap_open(struct caller *c)
{
	struct file *f;

	assert_rc(tree_open(host.tree, &c->task, "/proc/self/pagemap", O_RDONLY, &f), 0);
	return f;
}

static uint64_t pagemap_at(struct caller *c, struct file *f, const void *p)
{
	uint64_t e = 0;

	assert_int_equal(file_pread(f, &c->task, (uintptr_t)&e, 8, (uintptr_t)p / PAGE * 8), 8);
	return e;
}

static phys_t phys_at(struct caller *c, struct file *f, const void *p)
{
	uint64_t e = pagemap_at(c, f, p);

	assert_true(e >> 63);
	return (e & ((1ull << 55) - 1)) * PAGE;
}

/* 2 MiB that are aligned to 2 MiB. */
static char *aligned_area(uint64_t size)
{
	char *p = area_create(size + MIB2, false, true);

	return (char *)ALIGN_UP((uintptr_t)p, MIB2);
}

static void addresses(void **state)
{
	struct caller *c = *state, *other = caller_create();
	struct device *d = device_add("free", NULL);
	char *p = aligned_area(2 * MIB2), buf[16];
	struct file *f = pagemap_open(c), *g = pagemap_open(other);
	phys_t phys, twin;

	other->admin = true;
	/* contiguous within 2 MiB, the lowest first, stable */
	phys = phys_at(c, f, p);
	assert_int_equal(phys, 16ull << 20);
	assert_int_equal(phys_at(c, f, p + MIB2 - PAGE), phys + MIB2 - PAGE);
	assert_int_equal(phys_at(c, f, p), phys);
	/* somebody else's are others; he had no right when he opened */
	assert_int_equal(pagemap_at(other, g, p) << 9, 0);
	file_put(g);
	g = pagemap_open(other);
	twin = phys_at(other, g, p);
	assert_int_not_equal(twin, phys);
	/* DMA finds the program's bytes, whether a page was asked for or not; across the end of what was given, nothing */
	strcpy(p + PAGE + 5, "by address");
	assert_rc(iommu_dma_read(d->iommu, phys + PAGE + 5, buf, 11), 0);
	assert_string_equal(buf, "by address");
	assert_rc(iommu_dma_write(d->iommu, phys + 3 * PAGE - 4, "two pages", 10), 0);
	assert_string_equal(p + 3 * PAGE - 4, "two pages");
	assert_rc(iommu_dma_read(d->iommu, phys + (64ull << 20), buf, 4), -EFAULT);
	assert_rc(iommu_dma_read(d->iommu, 0x1000, buf, 4), -EFAULT);
	assert_rc(iommu_dma_read(d->iommu, 4 * GIB, buf, 4), -EFAULT);
	assert_rc(iommu_dma_read(d->iommu, 3 * GIB - 2, buf, 4), -EFAULT);
	/* not mapped: no entry */
	assert_int_equal(pagemap_at(c, f, NULL), 0);
	/* who has ended gives his RAM back */
	caller_end(other);
	assert_int_equal(phys_at(c, f, p + MIB2), twin);
	p[MIB2] = 'n';
	assert_rc(iommu_dma_read(d->iommu, twin, buf, 1), 0);
	assert_int_equal(buf[0], 'n');
	file_put(g);
	file_put(f);
	caller_destroy(other);
	device_del(d);
}

static void reading(void **state)
{
	struct caller *c = *state;
	struct device *d;
	uint64_t *out = area_create(64 * PAGE, false, true);
	char *p = area_create(600 * PAGE, true, true);
	struct file *f;

	assert_rc(sys_open(c, "/proc/self/pagemap"), -ENOENT); /* nobody needs it yet */
	d = device_add("free", NULL);
	assert_rc(sys_open(c, "/proc/self/pagemap"), -EACCES); /* for writing */
	f = pagemap_open(c);
	assert_rc(file_pread(f, &c->task, (uintptr_t)out, 7, 0), -EINVAL);
	assert_rc(file_pread(f, &c->task, (uintptr_t)out, 8, 4), -EINVAL);
	assert_rc(file_pread(f, &c->task, BAD_PTR, 8, 0), -EFAULT);
	assert_int_equal(file_pread(f, &c->task, (uintptr_t)out, 8, 1ull << 40), 0);
	assert_int_equal(file_pread(f, &c->task, (uintptr_t)out, 16, ((1ull << 35) - 1) * 8), 8);
	assert_int_equal(file_pread(f, &c->task, (uintptr_t)out, 602 * 8, ((uintptr_t)p / PAGE - 1) * 8), 602 * 8);
	for (unsigned i = 1; i <= 600; i++)
		assert_int_equal(out[i] >> 61, 5); /* present, shared */
	assert_rc(file_pwrite(f, &c->task, (uintptr_t)out, 8, 0), -EBADF);
	file_put(f);
	device_del(d);
}

/* A mapping that covers a GiB gets one in one piece. */
static void large(void **state)
{
	struct caller *c = *state;
	struct device *d = device_add("free", NULL);
	char *p = area_create(3 * GIB, false, true);
	struct mem *mem = host.vfio->mem;
	phys_t a, b;
	uva_t at = ALIGN_UP((uintptr_t)p, GIB);

	assert_rc(mem_ram_locate(mem, c->task.mm, at + 5 * PAGE, &a, NULL), 0);
	assert_int_equal(a % GIB, 5 * PAGE);
	assert_rc(mem_ram_locate(mem, c->task.mm, at + GIB - PAGE, &b, NULL), 0);
	assert_int_equal(b, a + GIB - 6 * PAGE);
	assert_rc(iommu_dma_write(d->iommu, b + PAGE - 2, "ab", 2), 0);
	assert_int_equal(*((char *)at + GIB - 1), 'b');
	assert_rc(iommu_dma_write(d->iommu, b + PAGE - 1, "ab", 2), -EFAULT);
	/* the start of the area is in a GiB that it does not fill */
	if ((uintptr_t)p != at) {
		assert_rc(mem_ram_locate(mem, c->task.mm, (uintptr_t)p, &b, NULL), 0);
		assert_true(b < 3 * GIB);
	}
	device_del(d);
}

/* All of RAM, and no more. */
static void exhausted(void **state)
{
	struct caller *c = *state;
	struct device *d = device_add("free", NULL);
	struct mem *mem = host.vfio->mem;
	uint64_t low = (3 * GIB - (16 << 20)) / MIB2, n;
	phys_t phys, last = 0;
	int rc = 0;

	for (n = 0; n < low + 10 && !rc; n++) {
		rc = mem_ram_locate(mem, c->task.mm, n * MIB2, &phys, NULL);
		assert_true(phys > last);
		last = phys;
	}
	assert_rc(rc, 0);
	assert_int_equal(phys, 4 * GIB + 9 * MIB2); /* behind the BARs' place */
	device_del(d);
}

/* Registration, and the mode that changes under it. */
static void registering(void **state)
{
	struct caller *c = *state;
	struct device *a = device_create("a", NULL), *b;
	struct node_stat st;
	int g;

	atomic_store(&host.vfio->noiommu, false);
	assert_rc(vfio_register(host.vfio, &a->v), -EINVAL);
	assert_null(iommu_dev_group(a->iommu));
	assert_int_equal(atomic_load(&host.vfio->tainted), 0);
	atomic_store(&host.vfio->noiommu, true);
	assert_rc(vfio_register(host.vfio, &a->v), 0);
	assert_int_equal(atomic_load(&host.vfio->tainted), 64);
	assert_rc(tree_stat(host.tree, "/dev/vfio/noiommu-0", true, &st, NULL), 0);
	assert_rc(tree_stat(host.tree, "/sys/devices/test/a/vfio-dev/noiommu-vfio0", true, &st, NULL), 0);
	assert_rc(tree_stat(host.tree, "/sys/class/vfio-dev/noiommu-vfio0", true, &st, NULL), 0);
	assert_rc(vfio_register(host.vfio, &a->v), -EINVAL);
	b = device_add("b", NULL);
	assert_rc(tree_stat(host.tree, "/dev/vfio/noiommu-1", true, &st, NULL), 0);
	/* a dead group says so before it asks for rights */
	g = sys_open(c, "/dev/vfio/noiommu-0");
	assert_true(g >= 0);
	device_del(a);
	assert_rc(tree_stat(host.tree, "/sys/kernel/iommu_groups/0", true, &st, NULL), -ENOENT);
	c->rawio = false;
	assert_rc(group_set(c, g, sys_open(c, CONTAINER)), -ENODEV);
	device_del(b);
}

/* The capability to overlook limits is none of the others. */
static void rights(void **state)
{
	struct caller *c = *state;
	struct device *d = device_add("a", NULL);
	int g = sys_open(c, "/dev/vfio/noiommu-0"), container = sys_open(c, CONTAINER);

	assert_true(g >= 0);
	c->rawio = false;
	c->ipc_lock = true;
	assert_rc(group_set(c, g, container), -EPERM);
	assert_rc(sys_open(c, "/dev/vfio/noiommu-0"), -EPERM);
	c->rawio = true;
	assert_rc(group_set(c, g, container), 0);
	c->rawio = false;
	assert_rc(sys_ioctl_u(c, container, VFIO_SET_IOMMU, VFIO_NOIOMMU_IOMMU), -EPERM);
	c->rawio = true;
	assert_rc(sys_ioctl_u(c, container, VFIO_SET_IOMMU, VFIO_NOIOMMU_IOMMU), 0);
	c->rawio = false;
	assert_rc(sys_ioctl(c, g, VFIO_GROUP_GET_DEVICE_FD, "a"), -EPERM);
	assert_int_equal(d->opens, 0);
	c->rawio = true;
	assert_true(sys_ioctl(c, g, VFIO_GROUP_GET_DEVICE_FD, "a") >= 0);
	for (int fd = 0; fd < 8; fd++)
		sys_close(c, fd);
	device_del(d);
}

/* A device without memory to pin. */
static void no_pages(void **state)
{
	struct caller *c = *state;
	struct device *d = device_create("a", NULL), *soft = device_create_pinning("soft", NULL);
	int g, container = sys_open(c, CONTAINER), s;
	char buf[4];

	assert_rc(vfio_register(host.vfio, &d->v), 0);
	assert_rc(vfio_register(host.vfio, &soft->v), 0);
	g = sys_open(c, "/dev/vfio/noiommu-0");
	assert_rc(group_set(c, g, container), 0);
	assert_rc(sys_ioctl_u(c, container, VFIO_SET_IOMMU, VFIO_NOIOMMU_IOMMU), 0);
	assert_true(sys_ioctl(c, g, VFIO_GROUP_GET_DEVICE_FD, "a") >= 0);
	assert_rc(vfio_dma_rw(&d->v, NULL, 0, buf, 4, false), -ENOTTY);
	s = sys_open(c, "/dev/vfio/1");
	assert_true(s >= 0);
	assert_rc(group_set(c, s, container), -EPERM);
	for (int fd = 0; fd < 8; fd++)
		sys_close(c, fd);
	device_del(d);
	device_del(soft);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(addresses), T(reading), T(large), T(exhausted), T(registering), T(rights), T(no_pages),
	};

	return cmocka_run_group_tests_name("vfio without iommu", tests, NULL, NULL);
}
