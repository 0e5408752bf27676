/* SPDX-License-Identifier: MIT */
/* Address spaces that no device uses: ranges, allowed ranges, options. */
#include "ioas.h"
#include <sys/wait.h>

static int ranges(int fd, uint32_t id, struct iommu_iova_range *list, uint32_t *n, uint64_t *align)
{
	struct iommu_ioas_iova_ranges r = { .size = sizeof(r), .ioas_id = id, .num_iovas = *n,
					    .allowed_iovas = (uintptr_t)list };
	int rc = x_ioctl(fd, IOMMU_IOAS_IOVA_RANGES, &r);

	*n = r.num_iovas;
	*align = r.out_iova_alignment;
	return rc;
}

TEST(fresh, "30:IFD-026", "a fresh IOAS has all addresses, by the byte")
{
	struct iommu_iova_range r[2] = { { 1, 1 }, { 7, 7 } };
	uint64_t align = 0;
	uint32_t n = 2;
	int fd = iommu_open();

	EXPECT_OK(ranges(fd, ioas_alloc(fd), r, &n, &align));
	EXPECT_EQ(1, n);
	EXPECT_EQ(1, align);
	EXPECT(r[0].start == 0 && r[0].last == UINT64_MAX && r[1].start == 7);
}

TEST(ranges_room, "30:IFD-027", "without room the number is told, EMSGSIZE, and nothing is written")
{
	uint64_t align = 0;
	uint32_t n = 0;
	int fd = iommu_open();
	uint32_t id = ioas_alloc(fd);

	EXPECT_ERR(EMSGSIZE, ranges(fd, id, NULL, &n, &align));
	EXPECT_EQ(1, n);
	EXPECT_EQ(1, align);
	EXPECT_ERR(EFAULT, ranges(fd, id, (void *)8, &n, &align));
	EXPECT_ERR(ENOENT, ranges(fd, id + 1, NULL, &n, &align));
}

TEST(ranges_ignore, "30:IFD-031", "what is mapped or allowed is not left out")
{
	const struct iommu_iova_range allowed = { 0x10000, 0x1ffff };
	struct iommu_iova_range r;
	uint64_t align;
	uint32_t n = 1;
	int fd = iommu_open();
	uint32_t id = ioas_alloc(fd);

	EXPECT_OK(ioas_map_at(fd, id, ram(PAGE), PAGE, 0x40000));
	EXPECT_OK(ioas_allow(fd, id, &allowed, 1));
	EXPECT_OK(ranges(fd, id, &r, &n, &align));
	EXPECT(n == 1 && r.start == 0 && r.last == UINT64_MAX);
}

TEST(allow_checks, "30:IFD-032 30:IFD-033", "an allowed range has two bytes or more, and overlaps no other")
{
	const struct iommu_iova_range one = { 0x1000, 0x1000 }, turned = { 0x2000, 0x1000 };
	const struct iommu_iova_range same[2] = { { 0x1000, 0x1fff }, { 0x1000, 0x1fff } };
	const struct iommu_iova_range edge[2] = { { 0x2000, 0x2fff }, { 0x1000, 0x2000 } };
	const struct iommu_iova_range next[2] = { { 0x2000, 0x2fff }, { 0x1000, 0x1fff } };
	int fd = iommu_open();
	uint32_t id = ioas_alloc(fd);

	EXPECT_ERR(EINVAL, ioas_allow(fd, id, &one, 1));
	EXPECT_ERR(EINVAL, ioas_allow(fd, id, &turned, 1));
	EXPECT_ERR(EINVAL, ioas_allow(fd, id, same, 2));
	EXPECT_ERR(EINVAL, ioas_allow(fd, id, edge, 2));
	EXPECT_ERR(EFAULT, ioas_allow(fd, id, (void *)8, 1));
	EXPECT_ERR(ENOENT, ioas_allow(fd, id + 1, next, 2));
	EXPECT_OK(ioas_allow(fd, id, next, 2));
}

TEST(allow_choice, "30:IFD-036 30:IFD-037 30:IFD-035", "automatic addresses lie in the allowed ranges, fixed ones anywhere")
{
	const struct iommu_iova_range allowed[2] = { { 0x200000, 0x201fff }, { 0x100000, 0x100fff } };
	int fd = iommu_open();
	uint32_t id = ioas_alloc(fd);
	char *p = ram(4 * PAGE);
	uint64_t iova = 0;

	EXPECT_OK(ioas_allow(fd, id, allowed, 2));
	EXPECT_OK(ioas_map(fd, id, p, PAGE, RW, &iova));
	EXPECT_EQ(0x100000, iova);
	EXPECT_OK(ioas_map(fd, id, p, PAGE, RW, &iova));
	EXPECT_EQ(0x200000, iova);
	EXPECT_ERR(ENOSPC, ioas_map(fd, id, p, 2 * PAGE, RW, &iova));
	EXPECT_OK(ioas_map(fd, id, p, PAGE, RW, &iova));
	EXPECT_EQ(0x201000, iova);
	EXPECT_ERR(ENOSPC, ioas_map(fd, id, p, PAGE, RW, &iova));
	EXPECT_OK(ioas_map_at(fd, id, p, PAGE, 0x300000));
	EXPECT_OK(ioas_unmap_n(fd, id, 0x200000, PAGE));
	EXPECT_OK(ioas_map(fd, id, p, PAGE, RW, &iova));
	EXPECT_EQ(0x200000, iova);
	EXPECT_OK(ioas_allow(fd, id, NULL, 0));
	EXPECT_OK(ioas_map(fd, id, p, PAGE, RW, &iova));
	EXPECT_EQ(0x1000, iova);
}

TEST(huge_pages, "30:IFD-085 30:IFD-088 30:IFD-089", "HUGE_PAGES is on, and takes 0 and 1")
{
	int fd = iommu_open();
	uint32_t id = ioas_alloc(fd);
	uint64_t v = 0;

	EXPECT_EQ(1, option_get(fd, IOMMU_OPTION_HUGE_PAGES, id));
	EXPECT_OK(option_set(fd, IOMMU_OPTION_HUGE_PAGES, id, 0));
	EXPECT_EQ(0, option_get(fd, IOMMU_OPTION_HUGE_PAGES, id));
	EXPECT_OK(option_set(fd, IOMMU_OPTION_HUGE_PAGES, id, 0));
	EXPECT_ERR(EINVAL, option_set(fd, IOMMU_OPTION_HUGE_PAGES, id, 2));
	EXPECT_OK(option_set(fd, IOMMU_OPTION_HUGE_PAGES, id, 1));
	EXPECT_EQ(1, option_get(fd, IOMMU_OPTION_HUGE_PAGES, id));
	EXPECT_ERR(ENOENT, option_set(fd, IOMMU_OPTION_HUGE_PAGES, id + 1, 0));
	EXPECT_ERR(ENOENT, option_set(fd, IOMMU_OPTION_HUGE_PAGES, 0, 0));
	EXPECT_ERR(EOPNOTSUPP, option(fd, IOMMU_OPTION_HUGE_PAGES, id, 2, &v));
	EXPECT_ERR(EOPNOTSUPP, option(fd, 2, id, IOMMU_OPTION_OP_GET, &v));
}

TEST(huge_pages_bytes, "30:IFD-087", "small pages need whole pages: what is mapped by the byte stands against them")
{
	int fd = iommu_open();
	uint32_t id = ioas_alloc(fd);
	char *p = ram(2 * PAGE);
	uint64_t align;
	uint32_t n = 0;

	EXPECT_OK(ioas_map_at(fd, id, p, 100, 0x1000));
	EXPECT_ERR(EADDRINUSE, option_set(fd, IOMMU_OPTION_HUGE_PAGES, id, 0));
	EXPECT_EQ(1, option_get(fd, IOMMU_OPTION_HUGE_PAGES, id));
	EXPECT_OK(ioas_unmap_n(fd, id, 0x1000, 100));
	EXPECT_OK(ioas_map_at(fd, id, p + 16, PAGE, 0x1000));
	EXPECT_ERR(EADDRINUSE, option_set(fd, IOMMU_OPTION_HUGE_PAGES, id, 0));
	EXPECT_OK(ioas_unmap_n(fd, id, 0x1000, PAGE));
	EXPECT_OK(ioas_map_at(fd, id, p, PAGE, 0x1000));
	EXPECT_OK(option_set(fd, IOMMU_OPTION_HUGE_PAGES, id, 0));
	EXPECT_ERR(EMSGSIZE, ranges(fd, id, NULL, &n, &align));
	EXPECT_EQ(4096, align);
	EXPECT_ERR(EINVAL, ioas_map_at(fd, id, p, 100, 0x4000));
	EXPECT_ERR(EINVAL, ioas_map_at(fd, id, p, PAGE, 0x4010));
	EXPECT_ERR(EINVAL, ioas_map_at(fd, id, p + 16, PAGE, 0x4000));
	EXPECT_OK(option_set(fd, IOMMU_OPTION_HUGE_PAGES, id, 1));
	EXPECT_OK(ioas_map_at(fd, id, p, 100, 0x4000));
}

TEST(rlimit_mode, "30:IFD-090 30:IFD-092 30:IFD-093", "RLIMIT_MODE is by user at first, and is chosen before anything else")
{
	uint64_t v = 0;
	int fd = iommu_open();

	EXPECT_EQ(0, option_get(fd, IOMMU_OPTION_RLIMIT_MODE, 0));
	EXPECT_ERR(EOPNOTSUPP, option_set(fd, IOMMU_OPTION_RLIMIT_MODE, 1, 1));
	EXPECT_ERR(EOPNOTSUPP, option(fd, IOMMU_OPTION_RLIMIT_MODE, 0, 2, &v));
	if (test_caps(CAPS_ALL) || (option_set(fd, IOMMU_OPTION_RLIMIT_MODE, 0, 2) && errno == EPERM))
		test_skip("not privileged");
	EXPECT_ERR(EINVAL, option_set(fd, IOMMU_OPTION_RLIMIT_MODE, 0, 2));
	EXPECT_OK(option_set(fd, IOMMU_OPTION_RLIMIT_MODE, 0, 1));
	EXPECT_EQ(1, option_get(fd, IOMMU_OPTION_RLIMIT_MODE, 0));
	ioas_alloc(fd);
	EXPECT_ERR(EBUSY, option_set(fd, IOMMU_OPTION_RLIMIT_MODE, 0, 0));
	EXPECT_OK(destroy(fd, 1));
	EXPECT_OK(option_set(fd, IOMMU_OPTION_RLIMIT_MODE, 0, 0));
	EXPECT_EQ(0, option_get(fd, IOMMU_OPTION_RLIMIT_MODE, 0));
}

TEST(rlimit_mode_cap, "30:IFD-091", "RLIMIT_MODE is set by who has CAP_SYS_RESOURCE")
{
	int fd = iommu_open();

	if (test_caps(0))
		test_skip("cannot drop capabilities");
	EXPECT_EQ(0, option_get(fd, IOMMU_OPTION_RLIMIT_MODE, 0));
	EXPECT_ERR(EPERM, option_set(fd, IOMMU_OPTION_RLIMIT_MODE, 0, 1));
	ioas_alloc(fd);
	EXPECT_ERR(EPERM, option_set(fd, IOMMU_OPTION_RLIMIT_MODE, 0, 2));
}

static int change_process(int fd)
{
	struct iommu_ioas_change_process c = { .size = sizeof(c) };

	return x_ioctl(fd, IOMMU_IOAS_CHANGE_PROCESS, &c);
}

TEST(change_process, "30:IFD-098", "CHANGE_PROCESS moves memfds only")
{
	int fd = iommu_open(), file = memfd_create("x", 0);
	uint32_t id = ioas_alloc(fd);
	uint64_t iova = 0;

	EXPECT_OK(change_process(fd));
	EXPECT_OK(ftruncate(file, 2 * PAGE));
	EXPECT_OK(ioas_map_file(fd, id, file, 0, 2 * PAGE, RW, &iova));
	EXPECT_OK(change_process(fd));
	EXPECT_OK(ioas_map_at(fd, ioas_alloc(fd), ram(PAGE), PAGE, 0));
	EXPECT_ERR(EINVAL, change_process(fd));
	EXPECT_OK(destroy(fd, id + 1));
	EXPECT_OK(change_process(fd));
	close(file);
}
