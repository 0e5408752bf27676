/* SPDX-License-Identifier: MIT */
/* /dev/iommu: contexts, ids, and the frame that every request goes through. */
#include "ioas.h"
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

/* Every request, with its least and its full size. */
static const struct {
	unsigned cmd, min, full;
} requests[] = {
	{ IOMMU_DESTROY, 8, 8 },
	{ IOMMU_IOAS_ALLOC, 12, 12 },
	{ IOMMU_IOAS_ALLOW_IOVAS, 24, 24 },
	{ IOMMU_IOAS_COPY, 40, 40 },
	{ IOMMU_IOAS_IOVA_RANGES, 32, 32 },
	{ IOMMU_IOAS_MAP, 40, 40 },
	{ IOMMU_IOAS_UNMAP, 24, 24 },
	{ IOMMU_OPTION, 24, 24 },
	{ IOMMU_VFIO_IOAS, 12, 12 },
	{ IOMMU_HWPT_ALLOC, 24, 48 },
	{ IOMMU_GET_HW_INFO, 32, 40 },
	{ IOMMU_HWPT_SET_DIRTY_TRACKING, 16, 16 },
	{ IOMMU_HWPT_GET_DIRTY_BITMAP, 48, 48 },
	{ IOMMU_HWPT_INVALIDATE, 32, 32 },
	{ IOMMU_FAULT_QUEUE_ALLOC, 16, 16 },
	{ IOMMU_IOAS_MAP_FILE, 40, 40 },
	{ IOMMU_VIOMMU_ALLOC, 24, 40 },
	{ IOMMU_VDEVICE_ALLOC, 24, 24 },
	{ IOMMU_IOAS_CHANGE_PROCESS, 8, 8 },
	{ IOMMU_VEVENTQ_ALLOC, 28, 32 },
	{ IOMMU_HW_QUEUE_ALLOC, 40, 40 },
	{ IOMMU_IOAS_NOIOMMU_GET_PA, 40, 40 },
};
#define REQUESTS (sizeof(requests) / sizeof(requests[0]))

TEST(contexts, "30:IFD-001 30:IFD-002", "each open has ids of its own, and the first is 1")
{
	int a = iommu_open(), b = iommu_open();

	EXPECT_EQ(1, ioas_alloc(a));
	EXPECT_EQ(1, ioas_alloc(b));
	EXPECT_EQ(2, ioas_alloc(a));
	EXPECT_OK(destroy(a, 2));
	EXPECT_OK(destroy(b, 1));
	EXPECT_ERR(ENOENT, destroy(b, 2));
}

TEST(lowest_free, "30:IFD-003", "a destroyed id is the next one handed out")
{
	int fd = iommu_open();
	uint32_t id[200];

	for (int i = 0; i < 200; i++)
		EXPECT_EQ(i + 1, id[i] = ioas_alloc(fd));
	EXPECT_OK(destroy(fd, 150));
	EXPECT_OK(destroy(fd, 3));
	EXPECT_EQ(3, ioas_alloc(fd));
	EXPECT_EQ(150, ioas_alloc(fd));
	EXPECT_EQ(201, ioas_alloc(fd));
}

TEST(destroy_nothing, "30:IFD-004 30:IFD-005", "DESTROY of 0, of what is gone, and of what never was is ENOENT")
{
	int fd = iommu_open();
	uint32_t id = ioas_alloc(fd);

	EXPECT_ERR(ENOENT, destroy(fd, 0));
	EXPECT_OK(destroy(fd, id));
	EXPECT_ERR(ENOENT, destroy(fd, id));
	EXPECT_ERR(ENOENT, destroy(fd, UINT32_MAX));
	EXPECT_ERR(ENOENT, destroy(fd, 0x80000000));
}

TEST(null_argument, "30:IFD-006", "a bad pointer is EFAULT for every request")
{
	int fd = iommu_open();

	for (size_t i = 0; i < REQUESTS; i++) {
		EXPECT_ERR(EFAULT, x_ioctl(fd, requests[i].cmd, NULL));
		EXPECT_ERR(EFAULT, x_ioctl(fd, requests[i].cmd, (void *)8));
	}
}

TEST(unknown, "30:IFD-007 30:IFD-008", "numbers beside the table are ENOTTY")
{
	static const unsigned nr[] = { 0x00, 0x63, 0x67, 0x7f, 0x96, 0x9f, 0xff };
	uint32_t buf[32] = { sizeof(buf) };
	int fd = iommu_open();

	for (size_t i = 0; i < sizeof(nr) / sizeof(nr[0]); i++)
		EXPECT_ERR(ENOTTY, x_ioctl(fd, 0x3b00 | nr[i], buf));
}

TEST(wrong_type, "30:IFD-009", "a request of the right number and another type: EFAULT for a bad pointer, else ENOTTY")
{
	uint32_t buf[32] = { sizeof(buf) };
	int fd = iommu_open();

	EXPECT_ERR(ENOTTY, x_ioctl(fd, 0x3c81, buf));
	EXPECT_ERR(EFAULT, x_ioctl(fd, 0x3c81, NULL));
	EXPECT_ERR(ENOTTY, x_ioctl(fd, 0x40003b81, buf));
	EXPECT_ERR(EFAULT, x_ioctl(fd, 0xc00c3b81, NULL));
	EXPECT_ERR(ENOTTY, x_ioctl(fd, 0x3c64, buf));
}

TEST(kernels_own, "30:IFD-007", "FIOCLEX and its like are answered whatever the file is")
{
	int fd = iommu_open(), on = 1, c = EXPECT_OK(x_open("/dev/vfio/vfio", O_RDWR));

	if (test_door() == DOOR_CAPI)
		test_skip("numbers of an embedded machine are no descriptors");
	EXPECT_OK(ioctl(fd, FIOCLEX));
	EXPECT_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD));
	EXPECT_OK(ioctl(fd, FIONCLEX));
	EXPECT_EQ(0, fcntl(fd, F_GETFD));
	EXPECT_OK(ioctl(c, FIOCLEX));
	EXPECT_OK(ioctl(c, FIONBIO, &on));
	EXPECT_EQ(0, isatty(fd));
	EXPECT_ERR(ENOTTY, ioctl(fd, 0x5401, &on));
}

TEST(short_size, "30:IFD-010", "a size below the least is EINVAL for every request")
{
	uint32_t buf[32];
	int fd = iommu_open();

	for (size_t i = 0; i < REQUESTS; i++) {
		memset(buf, 0xff, sizeof(buf));
		for (buf[0] = 0; buf[0] < requests[i].min; buf[0]++)
			EXPECT_ERR(EINVAL, x_ioctl(fd, requests[i].cmd, buf));
	}
}

TEST(long_size, "30:IFD-011", "what is beyond the structure must be zeros, E2BIG, and there, EFAULT")
{
	char *pages = ram(3 * PAGE);
	int fd = iommu_open();

	EXPECT_OK(mprotect(pages + 2 * PAGE, PAGE, PROT_NONE));

	for (size_t i = 0; i < REQUESTS; i++) {
		uint32_t full = requests[i].full, size;
		char *end;

		memset(pages, 0, 2 * PAGE);
		memcpy(pages, &(uint32_t){ full + 1 }, 4);
		pages[full] = 1;
		EXPECT_ERR(E2BIG, x_ioctl(fd, requests[i].cmd, pages));
		memcpy(pages, &(uint32_t){ full + 1000 }, 4);
		pages[full] = 0;
		pages[full + 999] = 1;
		EXPECT_ERR(E2BIG, x_ioctl(fd, requests[i].cmd, pages));
		size = full + 8;
		end = pages + 2 * PAGE - full;
		memcpy(end, &size, 4);
		EXPECT_ERR(EFAULT, x_ioctl(fd, requests[i].cmd, end));
	}
}

TEST(zero_tail, "30:IFD-012", "a longer structure of zeros is as good as ours")
{
	struct {
		struct iommu_ioas_alloc a;
		char tail[100];
	} x = { .a = { .size = sizeof(x) } };
	int fd = iommu_open();

	EXPECT_OK(x_ioctl(fd, IOMMU_IOAS_ALLOC, &x));
	EXPECT_EQ(1, x.a.out_ioas_id);
	EXPECT_EQ(sizeof(x), x.a.size);
	x.a.size = sizeof(x.a) + 1;
	EXPECT_OK(x_ioctl(fd, IOMMU_IOAS_ALLOC, &x));
	EXPECT_EQ(2, x.a.out_ioas_id);
	EXPECT_EQ(sizeof(x.a) + 1, x.a.size);
}

TEST(short_tail, "30:IFD-013", "HWPT_ALLOC of 24 bytes is checked as if zeros followed")
{
	struct iommu_hwpt_alloc a = { .size = 24, .dev_id = 5, .data_type = 7, .data_len = 9 };
	int fd = iommu_open();

	EXPECT_ERR(ENOENT, x_ioctl(fd, IOMMU_HWPT_ALLOC, &a));
	a.size = sizeof(a);
	a.data_len = 0;
	EXPECT_ERR(EINVAL, x_ioctl(fd, IOMMU_HWPT_ALLOC, &a));
}

TEST(reserved, "30:IFD-015", "a reserved field that is not zero is EOPNOTSUPP")
{
	struct iommu_ioas_map m = { .size = sizeof(m), .flags = RW, .ioas_id = 99, .__reserved = 1 };
	struct iommu_ioas_iova_ranges r = { .size = sizeof(r), .__reserved = 1 };
	struct iommu_ioas_allow_iovas l = { .size = sizeof(l), .__reserved = 1 };
	struct iommu_option o = { .size = sizeof(o), .__reserved = 1 };
	struct iommu_vfio_ioas v = { .size = sizeof(v), .__reserved = 1 };
	struct iommu_hwpt_alloc h = { .size = sizeof(h), .__reserved = 1, .data_len = 1 };
	struct iommu_hw_info i = { .size = sizeof(i), .__reserved = { 0, 0, 1 } };
	struct iommu_hwpt_get_dirty_bitmap g = { .size = sizeof(g), .__reserved = 1 };
	struct iommu_hwpt_invalidate n = { .size = sizeof(n), .__reserved = 1 };
	struct iommu_ioas_change_process c = { .size = sizeof(c), .__reserved = 1 };
	struct iommu_veventq_alloc e = { .size = sizeof(e), .type = 1, .__reserved = 1 };
	int fd = iommu_open();

	EXPECT_ERR(EOPNOTSUPP, x_ioctl(fd, IOMMU_IOAS_MAP, &m));
	EXPECT_ERR(EOPNOTSUPP, x_ioctl(fd, IOMMU_IOAS_IOVA_RANGES, &r));
	EXPECT_ERR(EOPNOTSUPP, x_ioctl(fd, IOMMU_IOAS_ALLOW_IOVAS, &l));
	EXPECT_ERR(EOPNOTSUPP, x_ioctl(fd, IOMMU_OPTION, &o));
	EXPECT_ERR(EOPNOTSUPP, x_ioctl(fd, IOMMU_VFIO_IOAS, &v));
	EXPECT_ERR(EOPNOTSUPP, x_ioctl(fd, IOMMU_HWPT_ALLOC, &h));
	EXPECT_ERR(EOPNOTSUPP, x_ioctl(fd, IOMMU_GET_HW_INFO, &i));
	EXPECT_ERR(EOPNOTSUPP, x_ioctl(fd, IOMMU_HWPT_GET_DIRTY_BITMAP, &g));
	EXPECT_ERR(EOPNOTSUPP, x_ioctl(fd, IOMMU_HWPT_INVALIDATE, &n));
	EXPECT_ERR(EOPNOTSUPP, x_ioctl(fd, IOMMU_IOAS_CHANGE_PROCESS, &c));
	EXPECT_ERR(EOPNOTSUPP, x_ioctl(fd, IOMMU_VEVENTQ_ALLOC, &e));
}

TEST(read_write, "30:IFD-016", "/dev/iommu cannot be read or written")
{
	int fd = iommu_open();
	char c = 0;

	EXPECT_ERR(EINVAL, x_read(fd, &c, 1));
	EXPECT_ERR(EINVAL, x_write(fd, &c, 1));
}

TEST(mmap_nothing, "30:IFD-179", "nothing of /dev/iommu can be mapped that was not handed out")
{
	int fd = iommu_open();

	EXPECT(x_mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, PAGE) == MAP_FAILED);
	EXPECT_EQ(ENXIO, errno);
	EXPECT(x_mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED);
	EXPECT_EQ(ENXIO, errno);
	EXPECT(x_mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, PAGE) == MAP_FAILED);
	EXPECT_EQ(EINVAL, errno);
	EXPECT(x_mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, PAGE) == MAP_FAILED);
	EXPECT_EQ(EPERM, errno);
}

TEST(alloc_flags, "30:IFD-017", "IOAS_ALLOC takes no flags")
{
	struct iommu_ioas_alloc a = { .size = sizeof(a), .flags = 1 };
	int fd = iommu_open();

	EXPECT_ERR(EOPNOTSUPP, x_ioctl(fd, IOMMU_IOAS_ALLOC, &a));
	a.flags = 0;
	EXPECT_OK(x_ioctl(fd, IOMMU_IOAS_ALLOC, &a));
	EXPECT_EQ(1, a.out_ioas_id);
}

/* What is made but cannot be told is not made. */
TEST(unwritable, "30:IFD-012", "an answer that cannot be written is EFAULT, and leaves no object")
{
	struct iommu_ioas_alloc *a = ram(PAGE);
	int fd = iommu_open();

	a->size = sizeof(*a);
	EXPECT_OK(mprotect(a, PAGE, PROT_READ));
	EXPECT_ERR(EFAULT, x_ioctl(fd, IOMMU_IOAS_ALLOC, a));
	EXPECT_EQ(1, ioas_alloc(fd));
}

TEST(destroy_mapped, "30:IFD-018", "an IOAS goes with what is mapped in it")
{
	int fd = iommu_open();
	uint32_t id = ioas_alloc(fd);
	char *p = ram(64 * PAGE);

	for (int i = 0; i < 64; i++)
		EXPECT_OK(ioas_map_at(fd, id, p + i * PAGE, PAGE, (unsigned)i * 2 * PAGE));
	EXPECT_OK(destroy(fd, id));
	EXPECT_ERR(ENOENT, ioas_unmap_n(fd, id, 0, ALL));
	EXPECT_EQ(id, ioas_alloc(fd));
	EXPECT_OK(ioas_map_at(fd, id, p, PAGE, 0));
}

TEST(dup_shares, "30:IFD-001", "a copy of a descriptor is the same context, and keeps it")
{
	int fd = iommu_open(), copy = EXPECT_OK(x_dup(fd));
	uint32_t id = ioas_alloc(fd);

	EXPECT_EQ(id + 1, ioas_alloc(copy));
	EXPECT_OK(x_close(fd));
	EXPECT_OK(destroy(copy, id));
}

TEST(fork_shares, "30:IFD-025", "a child works on its parent's objects")
{
	uint32_t id, other;
	int fd, status;
	pid_t child;

	if (test_door() == DOOR_CAPI)
		test_skip("the machine is in this process");
	fd = iommu_open();
	id = ioas_alloc(fd);
	child = fork();
	if (child == 0) {
		void *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		_exit(ioas_map_at(fd, id, p, PAGE, PAGE) == 0 && ioas_alloc(fd) == id + 1 ? 0 : 1);
	}
	EXPECT(waitpid(child, &status, 0) == child && status == 0);
	EXPECT_ERR(EEXIST, ioas_map_at(fd, id, ram(PAGE), PAGE, PAGE));
	EXPECT_OK(destroy(fd, id + 1));
	other = ioas_alloc(fd);
	EXPECT_EQ(id + 1, other);
}

TEST(closed_while_mapped, "30:IFD-018", "a context that is closed takes its objects along")
{
	for (int round = 0; round < 20; round++) {
		int fd = iommu_open();
		char *p = round ? NULL : ram(PAGE);

		for (int i = 0; i < 20; i++) {
			uint32_t id = ioas_alloc(fd);

			if (p)
				EXPECT_OK(ioas_map_at(fd, id, p, PAGE, 0));
		}
		EXPECT_OK(x_close(fd));
	}
}

TEST(fault_queue, "30:IFD-168 30:IFD-169 30:IFD-171", "a fault queue is read and answered in whole messages, and stays while it is open")
{
	struct iommu_fault_alloc f = { .size = sizeof(f), .flags = 1 };
	uint32_t answer[4] = { 1, 0, 1, 2 };
	int fd = iommu_open(), queue;
	char buf[80];

	EXPECT_ERR(EOPNOTSUPP, x_ioctl(fd, IOMMU_FAULT_QUEUE_ALLOC, &f));
	f.flags = 0;
	EXPECT_OK(x_ioctl(fd, IOMMU_FAULT_QUEUE_ALLOC, &f));
	EXPECT_EQ(1, f.out_fault_id);
	queue = (int)f.out_fault_fd;
	EXPECT_EQ(POLLOUT, x_poll(queue, POLLIN | POLLOUT, 0));
	EXPECT_EQ(0, x_poll(queue, POLLIN, 0));
	EXPECT_EQ(0, x_read(queue, buf, 40));
	EXPECT_EQ(0, x_read(queue, buf, 80));
	EXPECT_ERR(ESPIPE, x_read(queue, buf, 39));
	EXPECT_ERR(ESPIPE, x_pread(queue, buf, 40, 0));
	EXPECT_ERR(ESPIPE, x_write(queue, answer, 7));
	EXPECT_ERR(EINVAL, x_write(queue, answer, 8));
	EXPECT_ERR(EINVAL, x_write(queue, answer + 2, 8));
	EXPECT_ERR(EFAULT, x_write(queue, (void *)8, 8));
	EXPECT_ERR(EBUSY, destroy(fd, f.out_fault_id));
	EXPECT_OK(x_close(queue));
	EXPECT_OK(destroy(fd, f.out_fault_id));
	EXPECT_OK(x_ioctl(fd, IOMMU_FAULT_QUEUE_ALLOC, &f));
	EXPECT_EQ(1, f.out_fault_id);
	EXPECT_OK(x_close(fd));
	EXPECT_EQ(0, x_read((int)f.out_fault_fd, buf, 40));
	EXPECT_OK(x_close((int)f.out_fault_fd));
}

/* Whoever has no hardware for it learns so from the arguments alone, or from what is not there. */
TEST(no_hardware, "30:IFD-151 30:IFD-156 30:IFD-160 30:IFD-157 30:IFD-159", "ids that are not there, after the arguments were checked")
{
	struct iommu_hwpt_alloc h = { .size = sizeof(h), .dev_id = 1, .pt_id = 1 };
	struct iommu_hw_info i = { .size = sizeof(i), .flags = 2, .dev_id = 1 };
	struct iommu_hwpt_set_dirty_tracking s = { .size = sizeof(s), .flags = 2, .hwpt_id = 1 };
	struct iommu_hwpt_get_dirty_bitmap g = { .size = sizeof(g), .flags = 2, .hwpt_id = 1 };
	struct iommu_hwpt_invalidate n = { .size = sizeof(n), .hwpt_id = 7, .entry_num = 1, .entry_len = 8 };
	int fd = iommu_open();

	ioas_alloc(fd);
	EXPECT_ERR(ENOENT, x_ioctl(fd, IOMMU_HWPT_ALLOC, &h));
	EXPECT_ERR(EOPNOTSUPP, x_ioctl(fd, IOMMU_GET_HW_INFO, &i));
	i.flags = 0;
	EXPECT_ERR(ENOENT, x_ioctl(fd, IOMMU_GET_HW_INFO, &i));
	EXPECT_ERR(EOPNOTSUPP, x_ioctl(fd, IOMMU_HWPT_SET_DIRTY_TRACKING, &s));
	s.flags = 1;
	EXPECT_ERR(ENOENT, x_ioctl(fd, IOMMU_HWPT_SET_DIRTY_TRACKING, &s));
	EXPECT_ERR(EOPNOTSUPP, x_ioctl(fd, IOMMU_HWPT_GET_DIRTY_BITMAP, &g));
	g.flags = 1;
	EXPECT_ERR(ENOENT, x_ioctl(fd, IOMMU_HWPT_GET_DIRTY_BITMAP, &g));
	EXPECT_ERR(EINVAL, x_ioctl(fd, IOMMU_HWPT_INVALIDATE, &n));
	EXPECT_EQ(0, n.entry_num);
	n.entry_num = 5;
	n.data_uptr = 8;
	EXPECT_ERR(ENOENT, x_ioctl(fd, IOMMU_HWPT_INVALIDATE, &n));
	EXPECT_EQ(0, n.entry_num);
	n.entry_num = 5;
	n.entry_len = 4097;
	EXPECT_ERR(EINVAL, x_ioctl(fd, IOMMU_HWPT_INVALIDATE, &n));
	n.entry_num = (1u << 19) + 1;
	n.entry_len = 8;
	EXPECT_ERR(EINVAL, x_ioctl(fd, IOMMU_HWPT_INVALIDATE, &n));
	n.entry_num = 1;
	n.hwpt_id = 1;
	EXPECT_ERR(EINVAL, x_ioctl(fd, IOMMU_HWPT_INVALIDATE, &n));
	EXPECT_EQ(0, n.entry_num);
}

TEST(no_viommu, "30:IFD-172 30:IFD-175 30:IFD-178", "requests of virtual IOMMUs: the arguments, then what is not there")
{
	struct iommu_viommu_alloc v = { .size = sizeof(v), .flags = 1, .type = 1 };
	struct iommu_vdevice_alloc d = { .size = sizeof(d), .viommu_id = 3 };
	struct iommu_veventq_alloc e = { .size = sizeof(e), .viommu_id = 3, .type = 1 };
	struct iommu_hw_queue_alloc q = { .size = sizeof(q), .viommu_id = 3, .type = 1 };
	int fd = iommu_open();

	EXPECT_ERR(EOPNOTSUPP, x_ioctl(fd, IOMMU_VIOMMU_ALLOC, &v));
	v.flags = v.type = 0;
	EXPECT_ERR(EOPNOTSUPP, x_ioctl(fd, IOMMU_VIOMMU_ALLOC, &v));
	v.type = 1;
	EXPECT_ERR(ENOENT, x_ioctl(fd, IOMMU_VIOMMU_ALLOC, &v));
	EXPECT_ERR(ENOENT, x_ioctl(fd, IOMMU_VDEVICE_ALLOC, &d));
	EXPECT_ERR(EINVAL, x_ioctl(fd, IOMMU_VEVENTQ_ALLOC, &e));
	e.veventq_depth = (1u << 19) + 1;
	EXPECT_ERR(EINVAL, x_ioctl(fd, IOMMU_VEVENTQ_ALLOC, &e));
	e.veventq_depth = 1;
	EXPECT_ERR(ENOENT, x_ioctl(fd, IOMMU_VEVENTQ_ALLOC, &e));
	EXPECT_ERR(EINVAL, x_ioctl(fd, IOMMU_HW_QUEUE_ALLOC, &q));
	q.length = 2;
	q.nesting_parent_iova = UINT64_MAX;
	EXPECT_ERR(EOVERFLOW, x_ioctl(fd, IOMMU_HW_QUEUE_ALLOC, &q));
	q.nesting_parent_iova = 0;
	EXPECT_ERR(ENOENT, x_ioctl(fd, IOMMU_HW_QUEUE_ALLOC, &q));
}
