/* SPDX-License-Identifier: MIT */
/*
 * Everything at once: threads of one program that open, set, map, unmap and close whatever descriptor they
 * draw, a device doing DMA all the while, and an administrator who takes devices away and gives them back.
 * Nothing is asserted but that all of it ends, nothing is left, and the sanitizers are content.
 */
#include "harness.h"

#define DRAW   12 /* descriptors the threads draw from */
#define STEPS  15000

static struct {
	struct caller *c;
	struct iommu_group *g[2];
	struct device *d[3]; /* the first two share a group */
	char *mem;
	atomic_uint running; /* monkeys */
	atomic_bool stop;
	atomic_uint maps, opens, reports, cycles; /* that it was worth it: what succeeded */
} r;

static unsigned draw(unsigned *seed, unsigned n)
{
	*seed = *seed * 1103515245u + 12345u;
	return (*seed >> 16) % n;
}

/* A descriptor, rather an open one. */
static int draw_fd(unsigned *seed)
{
	int fd = (int)draw(seed, DRAW);

	SCOPED_LOCK(&r.c->lock);
	for (int i = 0; i < DRAW; i++) {
		if (r.c->fds[(fd + i) % DRAW])
			return (fd + i) % DRAW;
	}
	return fd;
}

static void close_drawn(int fd)
{
	struct file *f;

	mutex_lock(&r.c->lock);
	f = r.c->fds[fd];
	r.c->fds[fd] = NULL;
	mutex_unlock(&r.c->lock);
	file_put(f);
}

static void open_some(unsigned what)
{
	int fd = what < 2 ? group_open_node(r.c, r.g[what]) : sys_open(r.c, CONTAINER);

	if (fd >= DRAW)
		close_drawn(fd);
}

/* What a program does, left open for the others to meddle with. */
static void session(unsigned which)
{
	int group = group_open_node(r.c, r.g[which]), container = sys_open(r.c, CONTAINER);
	long device = -1;

	if (group >= 0 && container >= 0 && !group_set(r.c, group, container)) {
		sys_ioctl_u(r.c, container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU);
		device = sys_ioctl(r.c, group, VFIO_GROUP_GET_DEVICE_FD, which ? "c" : "a");
		atomic_fetch_add(&r.opens, device >= 0);
	}
	if (group >= DRAW)
		close_drawn(group);
	if (container >= DRAW)
		close_drawn(container);
	if (device >= DRAW)
		close_drawn((int)device);
}

static bool asked_to_leave(void)
{
	for (unsigned i = 0; i < 3; i++) {
		if (atomic_load(&r.d[i]->requests))
			return true;
	}
	return false;
}

/* Tracking on, then an unmap that reports, both of whatever the descriptor is. */
static void dirty(int fd)
{
	const struct vfio_iommu_type1_dirty_bitmap start = { 8, VFIO_IOMMU_DIRTY_PAGES_FLAG_START };
	uint64_t bits[1];
	struct {
		uint32_t argsz, flags;
		uint64_t iova, size;
		struct vfio_bitmap b;
	} a = { sizeof(a), VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP, 0, 40 * PAGE, { PAGE, 8, (uintptr_t)bits } };

	sys_ioctl(r.c, fd, VFIO_IOMMU_DIRTY_PAGES, &start);
	if (!sys_ioctl(r.c, fd, VFIO_IOMMU_UNMAP_DMA, &a) && a.size)
		atomic_fetch_add(&r.reports, 1);
}

static void one_step(unsigned *seed)
{
	static const char *const names[] = { "a", "b", "c", "nobody" };
	struct vfio_iommu_type1_info info = { .argsz = 24 };
	struct vfio_group_status st = { .argsz = 8 };
	int fd = draw_fd(seed), other = draw_fd(seed);
	uint64_t page = draw(seed, 32);
	long rc;

	switch (draw(seed, 17)) {
	case 0:
		open_some(draw(seed, 3));
		break;
	case 1:
		close_drawn(fd);
		break;
	case 2:
	case 3:
		group_set(r.c, fd, other);
		break;
	case 4:
	case 5:
		sys_ioctl_u(r.c, fd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU);
		break;
	case 6:
	case 7:
	case 14:
	case 15:
		if (!map(r.c, fd, page * PAGE, r.mem + page * PAGE, (1 + draw(seed, 4)) * PAGE, RW))
			atomic_fetch_add(&r.maps, 1);
		break;
	case 8:
		unmap(r.c, fd, 0, 0, VFIO_DMA_UNMAP_FLAG_ALL);
		break;
	case 9:
		unmap(r.c, fd, page * PAGE, (1 + draw(seed, 4)) * PAGE, 0);
		break;
	case 10:
		rc = sys_ioctl(r.c, fd, VFIO_GROUP_GET_DEVICE_FD, names[draw(seed, 4)]);
		if (rc >= 0)
			atomic_fetch_add(&r.opens, 1);
		if (rc >= DRAW)
			close_drawn((int)rc);
		break;
	case 11:
		sys_ioctl_u(r.c, fd, VFIO_GROUP_UNSET_CONTAINER, 0);
		break;
	case 16:
		dirty(fd);
		break;
	case 12:
		session(draw(seed, 2));
		break;
	default:
		sys_ioctl(r.c, fd, VFIO_GROUP_GET_STATUS, &st);
		sys_ioctl(r.c, fd, VFIO_IOMMU_GET_INFO, &info);
		break;
	}
}

static void monkey(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;

	for (unsigned i = 0; i < STEPS; i++) {
		one_step(&seed);
		for (int fd = 0; asked_to_leave() && fd < DRAW; fd++)
			close_drawn(fd);
	}
	atomic_fetch_sub(&r.running, 1);
}

static void dma(void *arg)
{
	struct device *d = arg;
	unsigned seed = 7;
	char buf[64];

	while (!atomic_load(&r.stop)) {
		uint64_t iova = draw(&seed, 36) * PAGE + 8;

		memset(buf, (int)seed, sizeof(buf));
		iommu_dma_write(d->iommu, iova, buf, sizeof(buf));
		iommu_dma_read(d->iommu, iova + 64, buf, sizeof(buf));
	}
}

static void administrator(void *arg)
{
	unsigned seed = 99;

	for (; atomic_load(&r.running); atomic_fetch_add(&r.cycles, 1)) {
		struct device *d = r.d[draw(&seed, 3)];
		const struct timespec pause = { 0, 300000 };
		struct vfio_user u;

		nanosleep(&pause, NULL);
		vfio_unregister(&d->v);
		atomic_store(&d->requests, 0);
		vfio_user_of(host.vfio, iommu_group_id(r.g[0]), &u);
		if (vfio_register(host.vfio, &d->v))
			abort();
	}
}

static void all_at_once(void **state)
{
	struct thread monkeys[3], admin, engine;

	host_start();
	host.vfio->request_ms = 1;
	r.c = caller_create();
	r.g[0] = group_create();
	r.g[1] = group_create();
	r.d[0] = device_add("a", r.g[0]);
	r.d[1] = device_add("b", r.g[0]);
	r.d[2] = device_add("c", r.g[1]);
	r.mem = area_create(40 * PAGE, true, true);
	atomic_store(&r.running, ARRAY_SIZE(monkeys));
	atomic_store(&r.stop, false);
	assert_rc(thread_start(&engine, "dma", dma, r.d[0]), 0);
	for (uintptr_t i = 0; i < ARRAY_SIZE(monkeys); i++)
		assert_rc(thread_start(&monkeys[i], "monkey", monkey, (void *)(i + 1)), 0);
	assert_rc(thread_start(&admin, "admin", administrator, NULL), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(monkeys); i++)
		thread_join(&monkeys[i]);
	for (int fd = 0; fd < FDS; fd++)
		close_drawn(fd); /* the administrator may be waiting */
	thread_join(&admin);
	atomic_store(&r.stop, true);
	thread_join(&engine);
	caller_destroy(r.c);
	for (unsigned i = 0; i < 3; i++)
		device_del(r.d[i]);
	iommu_group_put(r.g[0]);
	iommu_group_put(r.g[1]);
	host_stop();
	print_message("%u maps, %u device files, %u reports, %u devices taken away\n", r.maps, r.opens, r.reports, r.cycles);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(all_at_once) };

	return cmocka_run_group_tests_name("vfio race", tests, NULL, NULL);
}
