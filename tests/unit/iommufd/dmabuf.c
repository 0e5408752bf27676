/* SPDX-License-Identifier: MIT */
/* Dma-bufs: descriptors of them, what can be mapped of them, and what a revocation takes away. */
#include "iommufd_lab.h"
#include "base/lock.h"
#include "iommufd/mock.h"

#define HOME    0x10000000ull
#define FIRST   1000 /* number of the machine's first descriptor */
#define HOST_FD 5    /* a memfd */

static struct file *files[4];
static int install_flags;

static int op_file_get(struct task *t, int fd, struct file **out)
{
	if (fd < FIRST || fd >= FIRST + (int)ARRAY_SIZE(files) || !files[fd - FIRST])
		return fd == HOST_FD ? -EBADFD : -EBADF;
	*out = file_get(files[fd - FIRST]);
	return 0;
}

static int op_host_fd(struct task *t, int fd)
{
	struct file *f;
	int rc = op_file_get(t, fd, &f);

	if (rc == -EBADFD)
		return dup(lab.mm.area[0].memfd);
	if (!rc)
		file_put(f);
	return rc ? rc : -EBADFD;
}

static int op_fd_install(struct task *t, struct file *f, int oflags)
{
	install_flags = oflags;
	for (unsigned i = 0; i < ARRAY_SIZE(files); i++) {
		if (!files[i]) {
			files[i] = file_get(f);
			return FIRST + (int)i;
		}
	}
	return -EMFILE;
}

static bool op_capable(struct task *t, enum task_cap cap)
{
	return cap == TASK_CAP_SYS_RAWIO;
}

static const struct task_ops ops = {
	.copy_in = lab_in, .copy_out = lab_out, .host_fd = op_host_fd, .file_get = op_file_get,
	.fd_install = op_fd_install, .capable = op_capable,
};

static void close_fd(int fd)
{
	file_put(files[fd - FIRST]);
	files[fd - FIRST] = NULL;
}

static int setup(void **state)
{
	memset(files, 0, sizeof(files));
	if (lab_setup(state))
		return -1;
	lab.caller.t.ops = &ops;
	lab.mm.limit = 0; /* nothing of a dma-buf counts */
	return 0;
}

static int teardown(void **state)
{
	for (unsigned i = 0; i < ARRAY_SIZE(files); i++)
		file_put(files[i]);
	return lab_teardown(state);
}

static int request(int (*fn)(struct ucmd *u), struct iommu_test_cmd *c)
{
	struct ucmd u = { .ctx = lab.ctx, .t = &lab.caller.t, .cmd = c, .full = sizeof(*c), .size = sizeof(*c) };

	return fn(&u);
}

static int get(uint32_t length, uint32_t oflags)
{
	struct iommu_test_cmd c = { .size = sizeof(c), .dmabuf_get = { .length = length, .open_flags = oflags } };

	return request(iommufd_test_dmabuf_get, &c);
}

static int take_away(int fd, uint32_t on)
{
	struct iommu_test_cmd c = { .size = sizeof(c), .dmabuf_revoke = { .dmabuf_fd = fd, .revoked = on } };

	return request(iommufd_test_dmabuf_revoke, &c);
}

static long map_flags(uint32_t ioas, int fd, uint64_t start, uint64_t length, iova_t iova, uint32_t flags)
{
	struct iommu_ioas_map_file a = { .size = sizeof(a), .flags = flags | IOMMU_IOAS_MAP_FIXED_IOVA, .ioas_id = ioas,
					 .fd = fd, .start = start, .length = length, .iova = iova };

	return lab_ioctl(IOMMU_IOAS_MAP_FILE, &a);
}

static long map(uint32_t ioas, int fd, uint64_t start, uint64_t length, iova_t iova)
{
	return map_flags(ioas, fd, start, length, iova, RW);
}

/* A device and what it is attached to. */
struct user {
	struct iommu_dev *dev;
	struct iommufd_device *idev;
};

static struct user attach(const char *name, uint32_t pt)
{
	struct user u = { .dev = lab_alone(name, &unit_strong) };

	u.idev = lab_bind(u.dev);
	assert_int_equal(iommufd_device_attach(u.idev, IOMMUFD_NO_PASID, &pt), 0);
	return u;
}

/* The same in a domain of its own. */
static struct user attach_own(const char *name, uint32_t ioas)
{
	struct user u = { .dev = lab_alone(name, &unit_strong) };
	uint32_t hwpt = 0;

	u.idev = lab_bind(u.dev);
	assert_int_equal(lab_hwpt(u.idev, ioas, 0, &hwpt), 0);
	assert_int_equal(iommufd_device_attach(u.idev, IOMMUFD_NO_PASID, &hwpt), 0);
	return u;
}

static void end(struct user u)
{
	lab_unbind(u.idev);
	iommu_dev_destroy(u.dev);
}

/* ---- descriptors ---- */

static void a_descriptor_is_of_whole_pages_up_to_512(void **state)
{
	const struct file_mmap m = { .length = PAGE, .prot = PROT_READ, .flags = MAP_SHARED };
	char info[128];
	struct file *f;
	int fd;

	assert_int_equal(get(0, O_RDWR), -EINVAL);
	assert_int_equal(get(512 * PAGE + 1, O_RDWR), -EINVAL);
	assert_int_equal(get(UINT32_MAX, O_RDWR), -EINVAL);
	fd = get(PAGE + 1, O_RDWR | O_CLOEXEC);
	assert_int_equal(fd, FIRST);
	assert_int_equal(install_flags, O_RDWR | O_CLOEXEC);
	f = files[0];
	assert_int_equal(file_lseek(f, 0, SEEK_END), 2 * PAGE);
	assert_int_equal(f->size, 2 * PAGE);
	assert_int_equal(file_mmap(f, &lab.caller.t, &m), -EINVAL);
	f->ops->fdinfo(f, info, sizeof(info));
	assert_string_equal(info, "size:\t8192\ncount:\t1\nexp_name:\tiommufd\n");
	assert_int_equal(get(512 * PAGE, O_RDONLY), FIRST + 1);
	assert_int_equal(install_flags, O_RDONLY);
	assert_int_equal(get(1, UINT32_MAX), FIRST + 2);
	assert_int_equal(files[2]->oflags & O_ACCMODE, O_RDWR);
	assert_int_equal(get(1, O_RDWR), FIRST + 3);
	assert_int_equal(get(1, O_RDWR), -EMFILE);
}

static void what_cannot_be_revoked(void **state)
{
	struct mem_dmabuf *foreign;

	assert_int_equal(take_away(-1, 1), -EBADF);
	assert_int_equal(take_away(FIRST, 1), -EBADF);
	assert_int_equal(take_away(HOST_FD, 1), -EINVAL);
	files[0] = file_get(lab.file);
	assert_int_equal(take_away(FIRST, 1), -EINVAL);
	assert_int_equal(mem_dmabuf_create(0xe0000000, PAGE, "other", &foreign), 0);
	assert_int_equal(mem_dmabuf_open(foreign, NULL, O_RDWR, &files[1]), 0);
	assert_int_equal(take_away(FIRST + 1, 1), -EOPNOTSUPP);
	mem_dmabuf_put(foreign);
}

/* ---- what can be mapped ---- */

static void IFD_067_only_what_is_inside_can_be_mapped(void **state)
{
	uint32_t ioas = lab_ioas();
	int fd = get(4 * PAGE, O_RDONLY); /* how it was opened does not matter */

	assert_int_equal(map(ioas, fd, 0, 0, HOME), -EINVAL);
	assert_int_equal(map(ioas, fd, UINT64_MAX, 2, HOME), -EOVERFLOW);
	assert_int_equal(map(ioas, fd, 4 * PAGE, PAGE, HOME), -EINVAL);
	assert_int_equal(map(ioas, fd, 0, 4 * PAGE + 1, HOME), -EINVAL);
	assert_int_equal(map(ioas, fd, PAGE, 4 * PAGE, HOME), -EINVAL);
	assert_int_equal(map(ioas, fd, 0, 4 * PAGE, HOME), 0);
	assert_int_equal(map(ioas, fd, 100, 100, HOME + 4 * PAGE + 100), 0); /* as no domain is there */
	assert_int_equal(map(ioas, fd, 0, PAGE, HOME), -EEXIST);
	assert_int_equal(take_away(fd, 1), 0);
	assert_int_equal(map(ioas, fd, 0, 5 * PAGE, HOME + MIB), -EINVAL); /* told first */
	assert_int_equal(map(ioas, fd, 0, PAGE, HOME), -ENODEV);
}

static void another_file_of_the_machine_has_no_pages(void **state)
{
	uint32_t ioas = lab_ioas();
	struct user u;

	files[0] = file_get(lab.file);
	assert_int_equal(map(ioas, FIRST, 0, PAGE, HOME), 0);
	assert_int_equal(lab_unmap(ioas, HOME, PAGE), 0);
	u = attach("a", ioas);
	assert_int_equal(map(ioas, FIRST, 0, PAGE, HOME), -EINVAL);
	assert_int_equal(map(ioas, FIRST + 1, 0, PAGE, HOME), -EBADF);
	end(u);
}

static void all_see_the_same_memory_and_nothing_is_pinned(void **state)
{
	uint32_t ioas = lab_ioas(), other = lab_ioas();
	struct user a = attach("a", ioas), b = attach("b", other);
	int rc, fd = get(8 * PAGE, O_RDWR);

	assert_int_equal(map(ioas, fd, PAGE, 4 * PAGE, HOME), 0);
	assert_int_equal(map_flags(other, fd, 0, 8 * PAGE, HOME, IOMMU_IOAS_MAP_READABLE), 0);
	assert_int_equal(lab_pinned(), 0);
	assert_int_equal(atomic_load(&lab.mm.mm.locked_pages), 0);
	close_fd(fd);
	assert_int_equal(lab_read(a.dev, HOME, &rc), 0);
	assert_int_equal(lab_write(a.dev, HOME + 3 * PAGE + 8, 77), 0);
	assert_int_equal(lab_read(b.dev, HOME + 4 * PAGE + 8, &rc), 77);
	assert_int_equal(lab_write(b.dev, HOME + 4 * PAGE + 8, 78), -EFAULT);
	assert_false(lab_reaches(a.dev, HOME + 4 * PAGE));
	assert_int_equal(lab_unmap(ioas, HOME, 4 * PAGE), 0);
	assert_false(lab_reaches(a.dev, HOME));
	assert_int_equal(lab_read(b.dev, HOME + 4 * PAGE + 8, &rc), 77);
	end(a);
	end(b);
}

static void IFD_077_a_copy_shows_the_same(void **state)
{
	uint32_t ioas = lab_ioas(), other = lab_ioas();
	struct user a = attach("a", ioas), b = attach("b", other);
	int rc, fd = get(4 * PAGE, O_RDWR);

	assert_int_equal(map(ioas, fd, 0, 4 * PAGE, HOME), 0);
	assert_int_equal(lab_copy(other, HOME + MIB, ioas, HOME + PAGE, 2 * PAGE), 0);
	assert_int_equal(lab_write(a.dev, HOME + PAGE, 5), 0);
	assert_int_equal(lab_read(b.dev, HOME + MIB, &rc), 5);
	assert_int_equal(lab_unmap(ioas, HOME, 4 * PAGE), 0);
	assert_int_equal(lab_read(b.dev, HOME + MIB, &rc), 5);
	assert_int_equal(take_away(fd, 1), 0);
	assert_false(lab_reaches(b.dev, HOME + MIB));
	/* also a copy of what is dead */
	assert_int_equal(lab_copy(ioas, HOME, other, HOME + MIB, PAGE), 0);
	assert_false(lab_reaches(a.dev, HOME));
	end(a);
	end(b);
}

static void software_cannot_use_it(void **state)
{
	static const struct iommufd_access_ops pinning = { .needs_pin_pages = true };
	uint32_t ioas = lab_ioas(), id;
	struct iommufd_access *access;
	phys_t phys[4];
	uint64_t v;
	int fd = get(4 * PAGE, O_RDWR);

	assert_int_equal(map_flags(ioas, fd, 0, 2 * PAGE, HOME, IOMMU_IOAS_MAP_READABLE), 0);
	assert_int_equal(iommufd_access_create(lab.ctx, &pinning, NULL, &access, &id), 0);
	assert_int_equal(iommufd_access_attach(access, ioas), 0);
	assert_int_equal(iommufd_access_pin(access, HOME, PAGE, false, phys), -EINVAL);
	assert_int_equal(iommufd_access_pin(access, HOME, PAGE, true, phys), -EINVAL);
	assert_int_equal(iommufd_access_rw(access, &lab.caller.t, HOME, &v, sizeof(v), false), -EINVAL);
	assert_int_equal(iommufd_access_rw(access, &lab.caller.t, HOME, &v, sizeof(v), true), -EINVAL);
	iommufd_access_destroy(access);
}

static void it_is_neither_split_nor_moved(void **state)
{
	struct iommu_vfio_ioas v = { .size = sizeof(v), .op = IOMMU_VFIO_IOAS_SET };
	struct vfio_iommu_type1_dma_unmap n = { .argsz = sizeof(n), .iova = HOME, .size = PAGE };
	struct iommu_ioas_change_process c = { .size = sizeof(c) };
	int fd = get(4 * PAGE, O_RDWR);

	v.ioas_id = lab_ioas();
	assert_int_equal(lab_ioctl(IOMMU_VFIO_IOAS, &v), 0);
	assert_int_equal(lab_ioctl(VFIO_SET_IOMMU, (void *)VFIO_TYPE1_IOMMU), 0); /* which allows splits */
	assert_int_equal(map(v.ioas_id, fd, 0, 4 * PAGE, HOME), 0);
	assert_int_equal(lab_ioctl(VFIO_IOMMU_UNMAP_DMA, &n), -EOPNOTSUPP);
	n.iova = HOME + PAGE;
	assert_int_equal(lab_ioctl(VFIO_IOMMU_UNMAP_DMA, &n), -EOPNOTSUPP);
	assert_int_equal(lab_ioctl(IOMMU_IOAS_CHANGE_PROCESS, &c), -EINVAL);
	assert_int_equal(lab_unmap(v.ioas_id, HOME, 4 * PAGE), 0);
	assert_int_equal(lab_ioctl(IOMMU_IOAS_CHANGE_PROCESS, &c), 0);
}

static long get_pa(uint32_t ioas, iova_t iova, uint64_t *length, uint64_t *phys)
{
	struct iommu_ioas_noiommu_get_pa a = { .size = sizeof(a), .ioas_id = ioas, .iova = iova, .length = *length };
	long rc = lab_ioctl(IOMMU_IOAS_NOIOMMU_GET_PA, &a);

	*length = a.length;
	*phys = a.out_phys;
	return rc;
}

static void a_device_without_iommu_is_told_where_it_is(void **state)
{
	uint32_t ioas = lab_ioas(), pt = ioas, id;
	uint64_t length = MIB, phys, first;
	struct user u = { .dev = lab_dev("n", NULL, NULL) };
	int fd = get(4 * PAGE, O_RDWR);

	assert_int_equal(iommufd_device_bind_noiommu(lab.ctx, u.dev, &u.idev, &id), 0);
	assert_int_equal(iommufd_device_attach(u.idev, IOMMUFD_NO_PASID, &pt), 0);
	assert_int_equal(map(ioas, fd, 0, 4 * PAGE, HOME), 0);
	assert_int_equal(get_pa(ioas, HOME, &length, &first), 0);
	assert_int_equal(length, 4 * PAGE);
	assert_int_equal(get_pa(ioas, HOME + PAGE + 5, &length, &phys), 0);
	assert_int_equal(length, 3 * PAGE - 5);
	assert_int_equal(phys, first + PAGE + 5);
	assert_int_equal(lab_write(u.dev, phys, 3), 0);
	assert_int_equal(take_away(fd, 1), 0);
	assert_int_equal(get_pa(ioas, HOME, &length, &phys), -EINVAL);
	end(u);
}

/* ---- revocation ---- */

static void IFD_068_a_revocation_takes_it_from_every_domain(void **state)
{
	uint32_t ioas = lab_ioas(), other = lab_ioas();
	struct user a = attach("a", ioas), b = attach_own("b", ioas), c = attach("c", other), late;
	int fd = get(4 * PAGE, O_RDWR), kept = get(PAGE, O_RDWR);

	assert_int_equal(map(ioas, fd, 0, 2 * PAGE, HOME), 0);
	assert_int_equal(map(ioas, fd, PAGE, 2 * PAGE, HOME + 2 * PAGE), 0);
	assert_int_equal(map(ioas, kept, 0, PAGE, HOME + 4 * PAGE), 0);
	assert_int_equal(lab_copy(other, HOME, ioas, HOME, 4 * PAGE), 0);
	assert_true(lab_reaches(a.dev, HOME) && lab_reaches(b.dev, HOME + 2 * PAGE) && lab_reaches(c.dev, HOME));
	assert_int_equal(take_away(fd, 1), 0);
	for (iova_t at = HOME; at < HOME + 4 * PAGE; at += PAGE)
		assert_false(lab_reaches(a.dev, at) || lab_reaches(b.dev, at) || lab_reaches(c.dev, at));
	assert_true(lab_reaches(a.dev, HOME + 4 * PAGE) && lab_reaches(b.dev, HOME + 4 * PAGE));
	/* the addresses are taken, and a domain that comes now shows the rest */
	assert_int_equal(map(ioas, fd, 0, PAGE, HOME + MIB), -ENODEV);
	assert_int_equal(map(ioas, kept, 0, PAGE, HOME), -EEXIST);
	late = attach_own("d", ioas);
	assert_false(lab_reaches(late.dev, HOME) || lab_reaches(late.dev, HOME + 3 * PAGE));
	assert_true(lab_reaches(late.dev, HOME + 4 * PAGE));
	assert_int_equal(take_away(fd, 7), 0); /* once more */
	assert_int_equal(lab_unmap(ioas, HOME, 4 * PAGE), 0);
	assert_int_equal(map(ioas, kept, 0, PAGE, HOME), 0);
	assert_true(lab_reaches(late.dev, HOME));
	end(late);
	end(a);
	end(b);
	end(c);
}

static void IFD_069_a_restored_one_has_to_be_mapped_again(void **state)
{
	uint32_t ioas = lab_ioas();
	struct user a = attach("a", ioas), late;
	int rc, fd = get(4 * PAGE, O_RDWR);

	assert_int_equal(map(ioas, fd, 0, 2 * PAGE, HOME), 0);
	assert_int_equal(lab_write(a.dev, HOME, 9), 0);
	assert_int_equal(take_away(fd, 1), 0);
	assert_int_equal(take_away(fd, 0), 0);
	assert_int_equal(take_away(fd, 0), 0);
	assert_false(lab_reaches(a.dev, HOME));
	late = attach_own("b", ioas);
	assert_false(lab_reaches(late.dev, HOME));
	assert_int_equal(map(ioas, fd, 0, 2 * PAGE, HOME + MIB), 0);
	assert_int_equal(lab_read(a.dev, HOME + MIB, &rc), 9);
	assert_int_equal(lab_unmap(ioas, HOME, 2 * PAGE), 0);
	assert_int_equal(map(ioas, fd, 0, 2 * PAGE, HOME), 0);
	assert_int_equal(lab_read(late.dev, HOME, &rc), 9);
	/* the second life ends as the first, even when it is given back only */
	assert_int_equal(take_away(fd, 0), 0);
	assert_false(lab_reaches(a.dev, HOME) || lab_reaches(a.dev, HOME + MIB) || lab_reaches(late.dev, HOME));
	end(a);
	end(late);
}

/* What has gone by itself is not looked for: domains, areas, address spaces. */
static void a_revocation_finds_what_is_left(void **state)
{
	uint32_t ioas = lab_ioas(), other = lab_ioas(), hwpt = 0;
	struct user a = attach("a", ioas);
	int fd = get(4 * PAGE, O_RDWR);

	assert_int_equal(map(ioas, fd, 0, PAGE, HOME), 0);
	assert_int_equal(map(ioas, fd, 0, PAGE, HOME + PAGE), 0);
	assert_int_equal(lab_copy(other, HOME, ioas, HOME, PAGE), 0);
	assert_int_equal(lab_hwpt(a.idev, ioas, 0, &hwpt), 0);
	assert_int_equal(lab_destroy(hwpt), 0);
	assert_int_equal(lab_unmap(ioas, HOME + PAGE, PAGE), 0);
	assert_int_equal(lab_destroy(other), 0);
	/* the address is somebody else's now */
	assert_int_equal(lab_map(ioas, VA_SHARED, HOME + PAGE, PAGE), -ENOMEM);
	lab.mm.limit = UINT64_MAX;
	assert_int_equal(lab_map(ioas, VA_SHARED, HOME + PAGE, PAGE), 0);
	assert_int_equal(take_away(fd, 1), 0);
	assert_false(lab_reaches(a.dev, HOME));
	assert_true(lab_reaches(a.dev, HOME + PAGE));
	iommufd_device_detach(a.idev, IOMMUFD_NO_PASID);
	assert_int_equal(take_away(fd, 0), 0);
	assert_int_equal(take_away(fd, 1), 0);
	end(a);
}

/* ---- a BAR ---- */

static uint64_t window_offset;

static int window_read(void *ctx, uint64_t offset, void *dst, size_t n)
{
	window_offset = offset;
	memset(dst, 0x5a, n);
	return 0;
}

static int window_write(void *ctx, uint64_t offset, const void *src, size_t n)
{
	window_offset = offset;
	return 0;
}

static const struct mem_window_ops window_ops = { .read = window_read, .write = window_write };

/* As a driver would export it: revoked for good, and then the memory goes while files and areas stay. */
static void a_part_of_a_bar(void **state)
{
	uint32_t ioas = lab_ioas();
	struct user a = attach("a", ioas);
	struct mem_dmabuf *buf;
	struct mem_window *w;
	int rc;

	assert_int_equal(mem_window_add(lab.mem, 0xe0000000, 16 * PAGE, &window_ops, NULL, &w), 0);
	assert_int_equal(mem_dmabuf_create(0xe0000000 + 4 * PAGE, 8 * PAGE, "vfio-pci", &buf), 0);
	assert_int_equal(mem_dmabuf_open(buf, NULL, O_RDWR, &files[0]), 0);
	assert_int_equal(map(ioas, FIRST, PAGE, 2 * PAGE, HOME), 0);
	assert_int_equal(lab_read(a.dev, HOME + PAGE + 8, &rc), 0x5a5a5a5a5a5a5a5aull);
	assert_int_equal(window_offset, 6 * PAGE + 8);
	assert_false(lab_reaches(a.dev, HOME + 2 * PAGE));
	mem_dmabuf_revoke(buf);
	mem_dmabuf_put(buf);
	mem_window_remove(w);
	assert_false(lab_reaches(a.dev, HOME));
	assert_int_equal(map(ioas, FIRST, 0, PAGE, HOME + MIB), -ENODEV);
	assert_int_equal(lab_unmap(ioas, HOME, 2 * PAGE), 0);
	end(a);
}

/* ---- all at once ---- */

#define ROUNDS 600
#define PLACES 8

static struct race {
	int fd;
	uint32_t space[2];
	struct user moved, still;
	atomic_uint busy;    /* threads that have work of their own; the others go on until there are none */
	atomic_uint reached; /* after a revocation and before the next map */
} race;

static void revoker(void *arg)
{
	while (atomic_load(&race.busy)) {
		if (take_away(race.fd, 1))
			abort();
		for (unsigned k = 0; k < PLACES; k++) {
			if (lab_reaches(race.moved.dev, HOME + k * PAGE) || lab_reaches(race.still.dev, HOME + k * PAGE))
				atomic_fetch_add(&race.reached, 1);
		}
		if (take_away(race.fd, 0))
			abort();
	}
}

static void mapper(void *arg)
{
	const uint32_t space = race.space[(uintptr_t)arg % 2];

	for (unsigned i = 0; i < ROUNDS; i++) {
		const iova_t at = HOME + i % PLACES * PAGE;

		(void)map(space, race.fd, 0, PAGE, at);
		if (i % 3 == 0)
			(void)lab_copy(race.space[1], HOME + (i + 1) % PLACES * PAGE, race.space[0], at, PAGE);
		(void)lab_unmap(space, HOME + (i + 3) % PLACES * PAGE, PAGE);
	}
	atomic_fetch_sub(&race.busy, 1);
}

static void mover(void *arg)
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		uint32_t pt = race.space[i % 2], hwpt = 0;

		if (iommufd_device_replace(race.moved.idev, IOMMUFD_NO_PASID, &pt))
			abort();
		if (!lab_hwpt(race.moved.idev, race.space[i % 2], 0, &hwpt) && lab_destroy(hwpt))
			abort();
	}
	atomic_fetch_sub(&race.busy, 1);
}

static void reader(void *arg)
{
	for (unsigned i = 0; atomic_load(&race.busy); i++)
		(void)lab_reaches(race.still.dev, HOME + i % PLACES * PAGE);
}

static void revoked_is_out_of_reach_whatever_else_happens(void **state)
{
	static void (*const fn[])(void *) = { revoker, mapper, mapper, mover, reader };
	struct thread t[ARRAY_SIZE(fn)];

	memset(&race, 0, sizeof(race));
	race.fd = get(PAGE, O_RDWR);
	atomic_store(&race.busy, 3);
	race.space[0] = lab_ioas();
	race.space[1] = lab_ioas();
	race.moved = attach("a", race.space[0]);
	race.still = attach("b", race.space[1]);
	for (unsigned i = 0; i < ARRAY_SIZE(fn); i++)
		assert_int_equal(thread_start(&t[i], "dmabuf", fn[i], (void *)(uintptr_t)i), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(fn); i++)
		thread_join(&t[i]);
	assert_int_equal(atomic_load(&race.reached), 0);
	end(race.moved);
	end(race.still);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#undef T
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(a_descriptor_is_of_whole_pages_up_to_512),
		T(what_cannot_be_revoked),
		T(IFD_067_only_what_is_inside_can_be_mapped),
		T(another_file_of_the_machine_has_no_pages),
		T(all_see_the_same_memory_and_nothing_is_pinned),
		T(IFD_077_a_copy_shows_the_same),
		T(software_cannot_use_it),
		T(it_is_neither_split_nor_moved),
		T(a_device_without_iommu_is_told_where_it_is),
		T(IFD_068_a_revocation_takes_it_from_every_domain),
		T(IFD_069_a_restored_one_has_to_be_mapped_again),
		T(a_revocation_finds_what_is_left),
		T(a_part_of_a_bar),
		T(revoked_is_out_of_reach_whatever_else_happens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
