/* SPDX-License-Identifier: MIT */
/* Groups, containers, device files: errnos in check order, and who may let go when. */
#include "harness.h"
#include <sys/mman.h>

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

static long status(struct caller *c, int fd)
{
	struct vfio_group_status st = { .argsz = sizeof(st), .flags = 0xff };
	long rc = sys_ioctl(c, fd, VFIO_GROUP_GET_STATUS, &st);

	return rc ? rc : (long)st.flags;
}

static long get_device(struct caller *c, int group, const char *name)
{
	return sys_ioctl(c, group, VFIO_GROUP_GET_DEVICE_FD, name);
}

/* A page whose successor is not mapped. */
static char *edge_page(void)
{
	char *p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);

	munmap(p + PAGE, PAGE);
	return p;
}

/* VCO-01 to VCO-04 */
static void registration(void **state)
{
	struct iommu_group *g = group_create();
	struct device *none = device_create("none", NULL), *a, *b;
	struct node_stat st;

	assert_rc(vfio_register(host.vfio, &none->v), -EINVAL);
	host.unit.coherent = false;
	b = device_create("b", g);
	assert_rc(vfio_register(host.vfio, &b->v), -EINVAL);
	assert_rc(tree_stat(host.tree, "/dev/vfio/0", true, &st, NULL), -ENOENT);
	host.unit.coherent = true;

	assert_rc(tree_stat(host.tree, CONTAINER, true, &st, NULL), 0);
	assert_int_equal(st.mode, S_IFCHR | 0666);
	a = device_add("a", g);
	assert_rc(vfio_register(host.vfio, &a->v), -EINVAL);
	assert_rc(tree_stat(host.tree, "/dev/vfio/0", true, &st, NULL), 0);
	assert_int_equal(st.mode, S_IFCHR | 0600);
	assert_rc(tree_stat(host.tree, "/sys/class/vfio/0/dev", true, &st, NULL), 0);
	assert_rc(tree_stat(host.tree, "/sys/class/vfio-dev/vfio0/device", true, &st, NULL), 0);
	assert_rc(tree_stat(host.tree, "/sys/devices/test/a/vfio-dev/vfio0", true, &st, NULL), 0);
	assert_rc(vfio_register(host.vfio, &b->v), 0);
	assert_int_equal(vfio_device_index(&b->v), 1);
	device_del(a);
	assert_rc(tree_stat(host.tree, "/sys/class/vfio-dev/vfio0", false, &st, NULL), -ENOENT);
	assert_rc(tree_stat(host.tree, "/sys/devices/test/a/vfio-dev", false, &st, NULL), -ENOENT);
	a = device_add("a", g);
	assert_int_equal(vfio_device_index(&a->v), 0);
	device_del(a);
	device_del(b);
	assert_rc(tree_stat(host.tree, "/dev/vfio/0", true, &st, NULL), -ENOENT);
	assert_rc(tree_stat(host.tree, "/sys/class/vfio/0", true, &st, NULL), -ENOENT);
	device_destroy(none);
	iommu_group_put(g);
}

/* CNT-01 to CNT-09, CNT-14 */
static void container_requests(void **state)
{
	static const struct { uint64_t ext; long fresh, type1; } exts[] = {
		{ 0, 0, 0 }, { 1, 1, 1 }, { 2, 0, 0 }, { 3, 1, 1 }, { 4, 0, 1 }, { 5, 0, 0 }, { 6, 0, 0 }, { 7, 0, 0 },
		{ 8, 0, 0 }, { 9, 1, 1 }, { 10, 0, 1 }, { 11, 0, 0 }, { 0x100000001, 0, 0 },
	};
	static const uint64_t no_types[] = { 0, 2, 4, 5, 6, 7, 8, 10, 99, 0x100000001, 0x100000003 };
	struct caller *c = *state;
	struct iommu_group *g = group_create();
	struct device *d = device_add("a", g);
	int cfd = sys_open(c, CONTAINER), gfd = group_open_node(c, g);
	char buf[8];

	assert_rc(file_read(c->fds[cfd], &c->task, (uintptr_t)buf, 1), -EINVAL);
	assert_rc(file_write(c->fds[cfd], &c->task, (uintptr_t)buf, 1), -EINVAL);
	assert_rc(file_mmap(c->fds[cfd], &c->task, &(struct file_mmap){ .length = 1, .flags = MAP_SHARED }), -ENODEV);
	assert_rc(file_lseek(c->fds[cfd], 0, SEEK_SET), -ESPIPE);
	assert_rc(sys_ioctl_u(c, cfd, VFIO_GET_API_VERSION, 77), 0);
	for (size_t i = 0; i < ARRAY_SIZE(exts); i++)
		assert_rc(sys_ioctl_u(c, cfd, VFIO_CHECK_EXTENSION, exts[i].ext), exts[i].fresh);
	assert_rc(sys_ioctl_u(c, cfd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), -EINVAL);
	assert_rc(sys_ioctl_u(c, cfd, VFIO_SET_IOMMU, 77), -EINVAL);
	assert_rc(sys_ioctl_u(c, cfd, VFIO_IOMMU_MAP_DMA, BAD_PTR), -EINVAL);
	assert_rc(sys_ioctl_u(c, cfd, 0x1234, 0), -EINVAL);

	assert_rc(group_set(c, gfd, cfd), 0);
	for (size_t i = 0; i < ARRAY_SIZE(exts); i++)
		assert_rc(sys_ioctl_u(c, cfd, VFIO_CHECK_EXTENSION, exts[i].ext), exts[i].fresh);
	for (size_t i = 0; i < ARRAY_SIZE(no_types); i++)
		assert_rc(sys_ioctl_u(c, cfd, VFIO_SET_IOMMU, no_types[i]), -ENODEV);
	assert_rc(sys_ioctl_u(c, cfd, VFIO_SET_IOMMU, VFIO_UNMAP_ALL), -EINVAL);
	assert_rc(sys_ioctl_u(c, cfd, VFIO_IOMMU_MAP_DMA, BAD_PTR), -EINVAL);
	assert_rc(sys_ioctl_u(c, cfd, VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU), 0);
	assert_rc(sys_ioctl_u(c, cfd, VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU), -EINVAL);
	assert_rc(sys_ioctl_u(c, cfd, VFIO_SET_IOMMU, 77), -EINVAL);
	for (size_t i = 0; i < ARRAY_SIZE(exts); i++)
		assert_rc(sys_ioctl_u(c, cfd, VFIO_CHECK_EXTENSION, exts[i].ext), exts[i].type1);
	assert_rc(sys_ioctl_u(c, cfd, VFIO_IOMMU_ENABLE, 0), -ENOTTY);
	assert_rc(sys_ioctl_u(c, cfd, VFIO_IOMMU_DISABLE, 0), -ENOTTY);
	assert_rc(sys_ioctl_u(c, cfd, 0x1234, 0), -ENOTTY);
	assert_rc(sys_ioctl_u(c, cfd, VFIO_IOMMU_DIRTY_PAGES, BAD_PTR), -EACCES);

	/* CNT-11: reset by the last group, for another type if need be */
	assert_rc(sys_ioctl_u(c, gfd, VFIO_GROUP_UNSET_CONTAINER, 0), 0);
	assert_rc(sys_ioctl_u(c, cfd, VFIO_CHECK_EXTENSION, VFIO_UPDATE_VADDR), 0);
	assert_rc(group_set(c, gfd, cfd), 0);
	assert_rc(sys_ioctl_u(c, cfd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), 0);
	sys_close(c, gfd);
	sys_close(c, cfd);
	device_del(d);
	iommu_group_put(g);
}

/* GRP-01 to GRP-09, GRP-17 */
static void group_requests(void **state)
{
	struct caller *c = *state;
	struct iommu_group *g = group_create();
	struct device *d = device_add("a", g);
	struct iommu_dev *kernel;
	int cfd = sys_open(c, CONTAINER), gfd = group_open_node(c, g), other;
	struct vfio_group_status st = { .argsz = 7 };

	assert_true(gfd >= 0);
	assert_rc(group_open_node(c, g), -EBUSY);
	assert_rc(sys_ioctl_u(c, gfd, 0x1234, 0), -ENOTTY);
	assert_rc(sys_ioctl_u(c, gfd, VFIO_GROUP_GET_STATUS, BAD_PTR), -EFAULT);
	assert_rc(sys_ioctl(c, gfd, VFIO_GROUP_GET_STATUS, &st), -EINVAL);
	st.argsz = 4096;
	assert_rc(sys_ioctl(c, gfd, VFIO_GROUP_GET_STATUS, &st), 0);
	assert_int_equal(st.argsz, 4096);
	assert_rc(status(c, gfd), VFIO_GROUP_FLAGS_VIABLE);

	assert_rc(sys_ioctl_u(c, gfd, VFIO_GROUP_SET_CONTAINER, BAD_PTR), -EFAULT);
	assert_rc(group_set(c, gfd, -1), -EBADF);
	assert_rc(group_set(c, gfd, 50), -EBADF);
	assert_rc(group_set(c, gfd, HOST_FD), -EBADFD);
	assert_rc(group_set(c, gfd, gfd), -EBADFD);
	assert_rc(sys_ioctl_u(c, gfd, VFIO_GROUP_UNSET_CONTAINER, 0), -EINVAL);

	/* OWN-18, GRP-08: a kernel driver in the group */
	assert_rc(iommu_dev_create(host.iommu, "k", &host.unit, &kernel), 0);
	assert_rc(iommu_dev_join(kernel, g), 0);
	assert_rc(iommu_dev_use_default(kernel), 0);
	assert_rc(status(c, gfd), 0);
	assert_rc(group_set(c, gfd, cfd), -EPERM);
	assert_rc(sys_ioctl_u(c, gfd, VFIO_GROUP_UNSET_CONTAINER, 0), -EINVAL);
	iommu_dev_unuse_default(kernel);
	assert_rc(group_set(c, gfd, cfd), 0);
	assert_rc(status(c, gfd), 3);
	assert_rc(iommu_dev_use_default(kernel), -EBUSY);

	/* GRP-07, CNT-13: "already set" comes before the file's kind, after its existence */
	assert_rc(group_set(c, gfd, cfd), -EINVAL);
	assert_rc(group_set(c, gfd, HOST_FD), -EINVAL);
	assert_rc(group_set(c, gfd, 50), -EBADF);
	other = sys_open(c, CONTAINER);
	assert_rc(group_set(c, gfd, other), -EINVAL);
	assert_rc(sys_ioctl_u(c, gfd, VFIO_GROUP_UNSET_CONTAINER, 0), 0);
	assert_rc(iommu_dev_use_default(kernel), 0);
	iommu_dev_unuse_default(kernel);
	sys_close(c, gfd);
	gfd = group_open_node(c, g);
	assert_true(gfd >= 0);
	sys_close(c, gfd);
	iommu_dev_leave(kernel);
	iommu_dev_destroy(kernel);
	device_del(d);
	iommu_group_put(g);
}

/* GRP-11 to GRP-16, GRP-19, GRP-26, DEV-02 */
static void device_files(void **state)
{
	struct caller *c = *state;
	struct iommu_group *g = group_create();
	struct device *d = device_add("a", g), *d2 = device_add("b", g);
	int cfd = sys_open(c, CONTAINER), gfd = group_open_node(c, g);
	char *edge = edge_page(), text[128], *longer = calloc(1, 3 * PAGE);
	long fd, fd2;

	assert_rc(get_device(c, gfd, (char *)BAD_PTR), -EFAULT);
	memset(edge, 'x', PAGE);
	assert_rc(get_device(c, gfd, edge), -EINVAL); /* no NUL in a page */
	assert_rc(get_device(c, gfd, edge + 1), -EFAULT); /* no NUL before memory ends */
	memset(longer, 'x', 2 * PAGE);
	assert_rc(get_device(c, gfd, longer), -EINVAL);
	assert_rc(get_device(c, gfd, "nobody"), -ENODEV);
	assert_rc(get_device(c, gfd, "a bad"), -EINVAL);
	strcpy(edge + PAGE - 2, "a");
	assert_rc(get_device(c, gfd, edge + PAGE - 2), -EINVAL); /* no container */
	assert_rc(group_set(c, gfd, cfd), 0);
	assert_rc(get_device(c, gfd, "nobody"), -ENODEV);
	assert_rc(get_device(c, gfd, "a"), -EINVAL); /* no SET_IOMMU */
	assert_rc(sys_ioctl_u(c, cfd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), 0);
	d->open_rc = -EAGAIN;
	assert_rc(get_device(c, gfd, "a"), -EAGAIN);
	assert_false(vfio_device_is_open(&d->v));
	d->open_rc = 0;

	fd = get_device(c, gfd, "a");
	assert_true(fd >= 0);
	fd2 = get_device(c, gfd, "a option");
	assert_true(fd2 >= 0 && fd2 != fd);
	assert_int_equal(d->opens, 1);
	assert_true(vfio_device_is_open(&d->v));
	assert_false(vfio_device_is_open(&d2->v));
	assert_rc(sys_ioctl_u(c, gfd, VFIO_GROUP_UNSET_CONTAINER, 0), -EBUSY);
	assert_rc(file_lseek(c->fds[fd], 0, SEEK_SET), -ESPIPE);
	c->fds[fd]->ops->fdinfo(c->fds[fd], text, sizeof(text));
	assert_string_equal(text, "vfio-device-syspath: /sys/devices/test/a\n");
	assert_rc(sys_ioctl_u(c, fd, VFIO_DEVICE_RESET, 0), 0);
	assert_rc(sys_ioctl_u(c, fd, VFIO_DEVICE_BIND_IOMMUFD, 0), -EFAULT);
	assert_rc(sys_ioctl_u(c, fd, VFIO_GROUP_GET_STATUS, 0), -ENOTTY);
	sys_close(c, fd);
	assert_int_equal(d->closes, 0);
	assert_rc(sys_ioctl_u(c, gfd, VFIO_GROUP_UNSET_CONTAINER, 0), -EBUSY);
	sys_close(c, fd2);
	assert_int_equal(d->closes, 1);
	assert_rc(sys_ioctl_u(c, gfd, VFIO_GROUP_UNSET_CONTAINER, 0), 0);
	sys_close(c, gfd);
	device_del(d);
	device_del(d2);
	iommu_group_put(g);
	free(longer);
	munmap(edge, PAGE);
}

/* No descriptor left: nothing stays open */
static void no_descriptor_left(void **state)
{
	struct caller *c = *state;
	struct iommu_group *g = group_create();
	struct device *d = device_add("a", g);
	int cfd = sys_open(c, CONTAINER), gfd = group_open_node(c, g), fd;

	assert_rc(group_set(c, gfd, cfd), 0);
	assert_rc(sys_ioctl_u(c, cfd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), 0);
	do
		fd = sys_open(c, CONTAINER);
	while (fd >= 0);
	assert_rc(get_device(c, gfd, "a"), -EMFILE);
	assert_int_equal(d->opens, 1);
	assert_int_equal(d->closes, 1);
	assert_rc(sys_ioctl_u(c, gfd, VFIO_GROUP_UNSET_CONTAINER, 0), 0);
	sys_close(c, gfd);
	device_del(d);
	iommu_group_put(g);
}

/* FEA-01 to FEA-06 */
static void features(void **state)
{
	const uint32_t get = VFIO_DEVICE_FEATURE_GET, set = VFIO_DEVICE_FEATURE_SET, probe = VFIO_DEVICE_FEATURE_PROBE;
	const struct { uint32_t argsz, flags; long rc; } rows[] = {
		{ 7, set, -EINVAL }, { 24, set | 1u << 19, -EINVAL }, { 24, get | set, -EINVAL },
		{ 24, get | set | probe, -EINVAL }, { 8, 99, -ENOTTY }, { 8, 99 | probe, -ENOTTY }, { 24, get, -EINVAL },
		{ 8, get | probe, -EINVAL }, { 8, set | probe, 0 }, { 8, probe, 0 }, { 24, 0, -EINVAL },
		{ 23, set, -EINVAL }, { 24, set, 7 }, { 4096, set, 7 },
	};
	struct caller *c = *state;
	struct iommu_group *g = group_create();
	struct device *d = device_add("a", g);
	int cfd = sys_open(c, CONTAINER), gfd = group_open_node(c, g);
	long fd;

	assert_rc(group_set(c, gfd, cfd), 0);
	assert_rc(sys_ioctl_u(c, cfd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), 0);
	fd = get_device(c, gfd, "a");
	assert_rc(sys_ioctl_u(c, fd, VFIO_DEVICE_FEATURE, BAD_PTR), -EFAULT);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct vfio_device_feature f = { .argsz = rows[i].argsz, .flags = rows[i].flags };

		assert_rc(sys_ioctl(c, fd, VFIO_DEVICE_FEATURE, &f), rows[i].rc);
	}
	sys_close(c, fd);
	sys_close(c, gfd);
	device_del(d);
	iommu_group_put(g);
}

/* LIF-01, CNT-10, GRP-02: all six orders; mappings work until the group's last file goes */
static void close_orders(void **state)
{
	static const char *const orders[] = { "cgd", "cdg", "gcd", "gdc", "dcg", "dgc" };
	struct caller *c = *state;
	struct iommu_group *g = group_create();
	struct device *d = device_add("a", g);
	char *m = area_create(16 * PAGE, true, true), byte;

	for (size_t i = 0; i < ARRAY_SIZE(orders); i++) {
		int cfd = sys_open(c, CONTAINER), gfd = group_open_node(c, g);
		long dfd;
		bool device = true, group = true;

		assert_true(gfd >= 0);
		assert_rc(group_set(c, gfd, cfd), 0);
		assert_rc(sys_ioctl_u(c, cfd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), 0);
		assert_rc(map(c, cfd, 0x10000, m, 16 * PAGE, RW), 0);
		dfd = get_device(c, gfd, "a");
		assert_true(dfd >= 0);
		m[5] = (char)i;
		for (const char *o = orders[i]; *o; o++) {
			sys_close(c, *o == 'c' ? cfd : *o == 'g' ? gfd : (int)dfd);
			device &= *o != 'd';
			group &= *o != 'g';
			assert_int_equal(vfio_device_is_open(&d->v), device);
			if (device || group) {
				assert_rc(group_open_node(c, g), -EBUSY);
				assert_rc(iommu_dma_read(d->iommu, 0x10005, &byte, 1), 0);
				assert_int_equal(byte, (char)i);
			} else {
				assert_rc(iommu_dma_read(d->iommu, 0x10005, &byte, 1), -EFAULT);
				assert_int_equal(mem_pinned_pages(host.mem), 0);
				assert_false(iommu_group_claimed(g));
			}
		}
	}
	assert_int_equal(d->opens, 6);
	assert_int_equal(d->closes, 6);
	device_del(d);
	iommu_group_put(g);
}

/* CNT-12, CNT-11 */
static void two_groups(void **state)
{
	struct caller *c = *state;
	struct iommu_group *g1 = group_create(), *g2 = group_create();
	struct device *d1 = device_add("a", g1), *d2 = device_add("b", g2);
	int cfd = sys_open(c, CONTAINER), f1 = group_open_node(c, g1), f2 = group_open_node(c, g2);
	char *m = area_create(PAGE, true, true), byte;

	m[0] = 42;
	assert_rc(group_set(c, f1, cfd), 0);
	assert_rc(sys_ioctl_u(c, cfd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), 0);
	assert_rc(map(c, cfd, 0, m, PAGE, VFIO_DMA_MAP_FLAG_READ), 0);
	assert_rc(group_set(c, f2, cfd), 0); /* ATT-04 */
	assert_rc(iommu_dma_read(d2->iommu, 0, &byte, 1), 0);
	assert_int_equal(byte, 42);
	sys_close(c, f1);
	assert_rc(iommu_dma_read(d1->iommu, 0, &byte, 1), -EFAULT);
	assert_rc(iommu_dma_read(d2->iommu, 0, &byte, 1), 0);
	assert_int_equal(mem_pinned_pages(host.mem), 1);
	sys_close(c, f2);
	assert_int_equal(mem_pinned_pages(host.mem), 0);
	assert_rc(map(c, cfd, 0, m, PAGE, VFIO_DMA_MAP_FLAG_READ), -EINVAL);
	device_del(d1);
	device_del(d2);
	iommu_group_put(g1);
	iommu_group_put(g2);
}

static void delete_thread(void *arg)
{
	device_del(arg);
}

static void wait_for(atomic_uint *count, unsigned n)
{
	while (atomic_load(count) < n) {
		struct timespec t = { 0, 1000000 };

		nanosleep(&t, NULL);
	}
}

/* LIF-02, LIF-04 to LIF-06 */
static void unregister_waits(void **state)
{
	struct caller *c = *state;
	struct iommu_group *g = group_create();
	struct device *d = device_add("a", g);
	int cfd = sys_open(c, CONTAINER), gfd = group_open_node(c, g);
	struct vfio_user u;
	struct thread t;
	long fd;

	assert_rc(group_set(c, gfd, cfd), 0);
	assert_rc(sys_ioctl_u(c, cfd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), 0);
	fd = get_device(c, gfd, "a");
	assert_true(vfio_user_of(host.vfio, iommu_group_id(g), &u));
	assert_string_equal(u.node, "/dev/vfio/0");
	assert_string_equal(u.comm, "tester");
	assert_true(u.group_open && u.device_open);
	assert_rc(thread_start(&t, "unbind", delete_thread, d), 0);
	wait_for(&d->requests, 3);
	assert_rc(get_device(c, gfd, "a"), -ENODEV);
	assert_rc(status(c, gfd), 3);
	assert_rc(sys_ioctl_u(c, fd, VFIO_DEVICE_RESET, 0), 0);
	sys_close(c, fd);
	thread_join(&t);

	/* the group is dead: its file remains */
	assert_rc(status(c, gfd), -ENODEV);
	assert_rc(group_set(c, gfd, cfd), -ENODEV);
	assert_rc(group_set(c, gfd, 50), -EBADF);
	assert_rc(group_set(c, gfd, HOST_FD), -ENODEV);
	assert_rc(get_device(c, gfd, "a"), -ENODEV);
	assert_rc(sys_ioctl_u(c, gfd, VFIO_GROUP_UNSET_CONTAINER, 0), -EINVAL);
	assert_false(iommu_group_claimed(g));
	assert_rc(group_open_node(c, g), -ENOENT);
	assert_false(vfio_user_of(host.vfio, iommu_group_id(g), &u));

	/* a new object under the old number */
	d = device_add("a", g);
	fd = group_open_node(c, g);
	assert_true(fd >= 0);
	assert_rc(status(c, fd), VFIO_GROUP_FLAGS_VIABLE);
	assert_rc(status(c, gfd), -ENODEV);
	sys_close(c, fd);
	device_del(d); /* with the dead file open */
	sys_close(c, gfd);
	iommu_group_put(g);
}

/* Hot reset's proof */
static void group_of_file(void **state)
{
	struct caller *c = *state;
	struct iommu_group *g = group_create(), *found;
	struct device *d = device_add("a", g);
	int cfd = sys_open(c, CONTAINER), gfd = group_open_node(c, g);

	assert_rc(vfio_group_of_file(c->fds[cfd], &found), -EINVAL);
	assert_rc(vfio_group_of_file(c->fds[gfd], &found), 0);
	assert_ptr_equal(found, g);
	device_del(d);
	assert_rc(vfio_group_of_file(c->fds[gfd], &found), -EINVAL);
	iommu_group_put(g);
}

/* One request whose memory is never served. */
struct stuck {
	struct caller *c;
	int fd;
	unsigned cmd;
	const void *arg;
};

static void stuck_thread(void *arg)
{
	struct stuck *s = arg;

	sys_ioctl(s->c, s->fd, s->cmd, s->arg);
}

/*
 * A program whose copies never end keeps its own descriptors, but neither its group's file from being closed
 * nor another program from anything.
 */
static void stuck_copies(void **state)
{
	struct caller *c = *state, *hostile = caller_create();
	struct iommu_group *g1 = group_create(), *g2 = group_create();
	struct device *d1 = device_add("a", g1), *d2 = device_add("b", g2);
	char *page = area_create(2 * PAGE, true, true);
	const struct vfio_iommu_type1_dirty_bitmap start = { 8, VFIO_IOMMU_DIRTY_PAGES_FLAG_START };
	struct {
		uint32_t argsz, flags;
		struct vfio_iommu_type1_dirty_bitmap_get g;
	} report = { sizeof(report), VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP, { 0, PAGE, { PAGE, 8, (uintptr_t)page } } };
	int cfd = sys_open(hostile, CONTAINER), gfd = group_open_node(hostile, g1);
	struct stuck s[] = {
		{ hostile, gfd, VFIO_GROUP_GET_STATUS, page },
		{ hostile, gfd, VFIO_GROUP_SET_CONTAINER, page },
		{ hostile, gfd, VFIO_GROUP_GET_DEVICE_FD, page },
		{ hostile, cfd, VFIO_IOMMU_MAP_DMA, page },
		{ hostile, cfd, VFIO_IOMMU_UNMAP_DMA, page },
		{ hostile, cfd, VFIO_IOMMU_GET_INFO, page },
		{ hostile, cfd, VFIO_IOMMU_DIRTY_PAGES, &report },
	};
	struct thread threads[ARRAY_SIZE(s)];

	assert_rc(group_set(hostile, gfd, cfd), 0);
	assert_rc(sys_ioctl_u(hostile, cfd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), 0);
	assert_rc(map(hostile, cfd, 0, page, PAGE, RW), 0);
	assert_rc(sys_ioctl(hostile, cfd, VFIO_IOMMU_DIRTY_PAGES, &start), 0);
	atomic_store(&hostile->stuck_page, (uintptr_t)page);
	for (size_t i = 0; i < ARRAY_SIZE(s); i++)
		assert_rc(thread_start(&threads[i], "stuck", stuck_thread, &s[i]), 0);
	wait_for(&hostile->stuck, ARRAY_SIZE(s));

	/* the program itself, with what is not stuck */
	assert_rc(map(hostile, cfd, PAGE, page + PAGE, PAGE, RW), 0);
	assert_rc(sys_ioctl_u(hostile, gfd, VFIO_GROUP_UNSET_CONTAINER, 0), 0);
	assert_int_equal(mem_pinned_pages(host.mem), 0);
	/* the administrator */
	device_del(d1);
	device_del(d2);
	d2 = device_add("b", g2);
	/* another program */
	gfd = group_open_node(c, g2);
	cfd = sys_open(c, CONTAINER);
	assert_rc(group_set(c, gfd, cfd), 0);
	assert_rc(sys_ioctl_u(c, cfd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), 0);
	sys_close(c, gfd);

	atomic_store(&hostile->stuck_page, 0);
	for (size_t i = 0; i < ARRAY_SIZE(s); i++)
		thread_join(&threads[i]);
	caller_destroy(hostile);
	device_del(d2);
	iommu_group_put(g1);
	iommu_group_put(g2);
}

static long attr_write(struct caller *c, const char *path, const char *text)
{
	struct file *f;
	long rc = tree_open(host.tree, &c->task, path, O_WRONLY, &f);

	if (rc)
		return rc;
	rc = file_write(f, &c->task, (uintptr_t)text, strlen(text));
	file_put(f);
	return rc;
}

static void attr_is(struct caller *c, const char *path, const char *text)
{
	struct file *f;
	char buf[64] = "";

	assert_rc(tree_open(host.tree, &c->task, path, O_RDONLY, &f), 0);
	assert_int_equal(file_read(f, &c->task, (uintptr_t)buf, sizeof(buf)), strlen(text));
	assert_string_equal(buf, text);
	file_put(f);
}

static void parameters(void **state)
{
	static const char dir[] = "/sys/module/vfio_iommu_type1/parameters";
	const char *limit = "/sys/module/vfio_iommu_type1/parameters/dma_entry_limit";
	const char *unsafe = "/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts";
	struct caller *c = *state;
	char path[128];

	attr_is(c, limit, "65535\n");
	assert_rc(attr_write(c, limit, "0x10\n"), 5);
	attr_is(c, limit, "16\n");
	assert_rc(attr_write(c, limit, "4294967296"), -ERANGE);
	assert_rc(attr_write(c, limit, "-1"), -EINVAL);
	assert_rc(attr_write(c, limit, "12x"), -EINVAL);
	attr_is(c, limit, "16\n");
	attr_is(c, unsafe, "N\n");
	assert_rc(attr_write(c, unsafe, "1"), 1);
	attr_is(c, unsafe, "Y\n");
	assert_rc(attr_write(c, unsafe, "off\n"), 4);
	attr_is(c, unsafe, "N\n");
	assert_rc(attr_write(c, unsafe, "maybe"), -EINVAL);
	assert_rc(attr_write(c, unsafe, "\n"), -EINVAL);
	snprintf(path, sizeof(path), "%s/disable_hugepages", dir);
	attr_is(c, path, "N\n");
	attr_is(c, "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "N\n");
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(registration), T(container_requests), T(group_requests), T(device_files), T(no_descriptor_left),
		T(features), T(close_orders), T(two_groups), T(unregister_waits), T(stuck_copies),
		T(group_of_file), T(parameters),
	};

	return cmocka_run_group_tests_name("vfio groups", tests, NULL, NULL);
}
