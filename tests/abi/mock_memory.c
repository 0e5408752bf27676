/* SPDX-License-Identifier: MIT */
/* What is mapped and what is pinned, seen with MD_CHECK_MAP and MD_CHECK_REFS of IOMMU_TEST_CMD. */
#include "cdev.h"
#include "mock.h"
#include <sys/resource.h>

#define BASE MOCK_APERTURE_START

static int fd;
static uint32_t ioas;
static struct mock dev;

static void begin(void)
{
	fd = iommu_open();
	ioas = ioas_alloc(fd);
	dev = mock(fd, ioas, 0);
}

/* Pages that are there, each its own */
static char *pages(unsigned n)
{
	char *p = ram(n * PAGE);

	for (unsigned i = 0; i < n; i++)
		memset(p + i * PAGE, (int)i + 1, PAGE);
	return p;
}

static int shows(uint64_t iova, uint64_t length, const void *va)
{
	return check_map(fd, dev.hwpt, iova, length, va);
}

static int refs(const void *va, uint64_t length, uint32_t n)
{
	return check_refs(fd, va, length, n);
}

/* ---- the two that look ---- */

TEST(check_map_arguments, "31:TST-07", "MD_CHECK_MAP: whole pages of the mock, no wrap, a HWPT")
{
	char *p = pages(3);

	begin();
	munmap(p + 2 * PAGE, PAGE); /* nothing follows */
	EXPECT_OK(ioas_map_at(fd, ioas, p, 2 * PAGE, BASE));
	EXPECT_ERR(EINVAL, shows(BASE + 1024, PAGE, p));
	EXPECT_ERR(EINVAL, shows(BASE, 1024, p));
	EXPECT_ERR(EINVAL, shows(BASE, PAGE, p + 1024));
	EXPECT_ERR(EINVAL, shows(ALL - 2047, PAGE, p));
	EXPECT_ERR(EINVAL, shows(BASE, PAGE, (char *)(ALL - 2047)));
	EXPECT_OK(shows(BASE, 0, p));
	EXPECT_OK(shows(BASE, 0, NULL));
	EXPECT_ERR(EFAULT, shows(BASE, PAGE, NULL));
	EXPECT_ERR(EFAULT, shows(BASE, 3 * PAGE, p));
	EXPECT_ERR(EFAULT, shows(BASE + 64 * PAGE, PAGE, NULL));
	EXPECT_ERR(ENOENT, check_map(fd, 99, BASE, PAGE, p));
	EXPECT_ERR(ENOENT, check_map(fd, 99, BASE + 1, PAGE, p));
	EXPECT_ERR(ENOENT, check_map(fd, ioas, BASE, PAGE, p));
	EXPECT_ERR(ENOENT, check_map(fd, dev.stdev, BASE, PAGE, p));
}

TEST(check_map, "31:TST-08", "MD_CHECK_MAP is 0 for what is mapped, and EINVAL for anything else")
{
	char *p = pages(4);

	begin();
	EXPECT_OK(ioas_map_at(fd, ioas, p, 3 * PAGE, BASE));
	EXPECT_OK(shows(BASE, 3 * PAGE, p));
	EXPECT_OK(shows(BASE + PAGE, PAGE, p + PAGE));
	EXPECT_OK(shows(BASE + 2048, 2048, p + 2048));
	EXPECT_OK(shows(BASE + 2048, PAGE, p + 2048));
	EXPECT_ERR(EINVAL, shows(BASE, 2048, p + 2048));
	EXPECT_ERR(EINVAL, shows(BASE, PAGE, p + PAGE));
	EXPECT_ERR(EINVAL, shows(BASE, 4 * PAGE, p));
	EXPECT_ERR(EINVAL, shows(BASE - PAGE, PAGE, p));
	EXPECT_ERR(EINVAL, shows(0, PAGE, p));
	EXPECT_OK(ioas_unmap_n(fd, ioas, BASE, 3 * PAGE));
	EXPECT_ERR(EINVAL, shows(BASE, PAGE, p));
}

TEST(check_map_halves, "31:TST-08 31:TST-31", "half pages are mapped one by one")
{
	char *p = pages(1);

	begin();
	EXPECT_OK(ioas_map_at(fd, ioas, p + 2048, 2048, BASE));
	EXPECT_OK(ioas_map_at(fd, ioas, p, 2048, BASE + 2048));
	EXPECT_OK(shows(BASE, 2048, p + 2048));
	EXPECT_OK(shows(BASE + 2048, 2048, p));
	EXPECT_ERR(EINVAL, shows(BASE, 2048, p));
	EXPECT_OK(refs(p, PAGE, 2));
	EXPECT_OK(ioas_unmap_n(fd, ioas, BASE, 2048));
	EXPECT_OK(refs(p, PAGE, 1));
}

TEST(check_refs_arguments, "31:TST-09", "MD_CHECK_REFS: whole pages that are there, else the count, page by page")
{
	char *p = pages(3);

	begin();
	EXPECT_ERR(EINVAL, refs(p + 2048, PAGE, 0));
	EXPECT_ERR(EINVAL, refs(p, 2048, 0));
	EXPECT_ERR(EINVAL, refs((char *)~0xfffull, 2 * PAGE, 0));
	EXPECT_ERR(EFAULT, refs(NULL, PAGE, 0));
	EXPECT_OK(refs(p, 0, 0));
	EXPECT_OK(refs(p, 0, 5));
	EXPECT_OK(mprotect(p + 2 * PAGE, PAGE, PROT_NONE));
	EXPECT_OK(refs(p, 2 * PAGE, 0));
	EXPECT_ERR(EFAULT, refs(p, 3 * PAGE, 0));
	EXPECT_ERR(EIO, refs(p, 3 * PAGE, 1));
	EXPECT_ERR(EIO, refs(p, PAGE, 1));
	EXPECT_OK(ioas_map_at(fd, ioas, p, PAGE, BASE));
	EXPECT_OK(refs(p, PAGE, 1));
	EXPECT_ERR(EIO, refs(p, PAGE, 0));
	EXPECT_ERR(EIO, refs(p, PAGE, 2));
	EXPECT_ERR(EIO, refs(p, 2 * PAGE, 1));
}

/* ---- pins ---- */

TEST(count, "31:TST-10 30:IFD-077", "each mapping pins, a copy does not, a second domain does not; whatever the context")
{
	char *p = pages(2);
	uint64_t iova = BASE + 0x10000;
	uint32_t other, more;
	int second;

	begin();
	EXPECT_OK(refs(p, 2 * PAGE, 0));
	EXPECT_OK(ioas_map_at(fd, ioas, p, 2 * PAGE, BASE));
	EXPECT_OK(refs(p, 2 * PAGE, 1));
	EXPECT_OK(ioas_copy(fd, ioas, ioas, BASE, 2 * PAGE, RW | FIXED, &iova));
	EXPECT_OK(refs(p, 2 * PAGE, 1));
	other = ioas_alloc(fd);
	mock(fd, other, 0);
	iova = BASE;
	EXPECT_OK(ioas_copy(fd, other, ioas, BASE, PAGE, RW | FIXED, &iova));
	EXPECT_OK(refs(p, 2 * PAGE, 1));
	more = hwpt(fd, dev.dev, ioas, 0);
	EXPECT_OK(check_map(fd, more, BASE, 2 * PAGE, p));
	EXPECT_OK(refs(p, 2 * PAGE, 1));
	EXPECT_OK(ioas_map_at(fd, other, p, PAGE, BASE + PAGE));
	EXPECT_OK(refs(p, PAGE, 2));
	second = iommu_open();
	other = ioas_alloc(second);
	mock(second, other, 0);
	EXPECT_OK(ioas_map_at(second, other, p, 2 * PAGE, BASE));
	EXPECT_OK(refs(p, PAGE, 3));
	EXPECT_OK(refs(p + PAGE, PAGE, 2));
	EXPECT_OK(check_refs(second, p, PAGE, 3));
	EXPECT_OK(x_close(fd));
	fd = second;
	EXPECT_OK(refs(p, 2 * PAGE, 1));
}

TEST(copy_stays, "31:TST-10 30:IFD-077 30:IFD-084 30:IFD-079", "pages stay pinned as long as one mapping of them is left, each page for itself")
{
	char *p = pages(4);
	uint64_t iova = BASE + 0x10000;

	begin();
	EXPECT_OK(ioas_map_at(fd, ioas, p, 4 * PAGE, BASE));
	EXPECT_OK(ioas_copy(fd, ioas, ioas, BASE + PAGE, 2 * PAGE, RW | FIXED, &iova));
	EXPECT_OK(shows(iova, 2 * PAGE, p + PAGE));
	EXPECT_OK(ioas_unmap_n(fd, ioas, BASE, 4 * PAGE));
	EXPECT_OK(refs(p, PAGE, 0));
	EXPECT_OK(refs(p + PAGE, 2 * PAGE, 1));
	EXPECT_OK(refs(p + 3 * PAGE, PAGE, 0));
	EXPECT_OK(shows(iova, 2 * PAGE, p + PAGE));
	EXPECT_OK(ioas_unmap_n(fd, ioas, iova, 2 * PAGE));
	EXPECT_OK(refs(p, 4 * PAGE, 0));
}

TEST(domains, "31:TST-10 30:IFD-055 30:IFD-018 30:IFD-062", "nothing is pinned before there is a domain, or after the last has gone; what a domain shows it shows at once")
{
	char *p = pages(2);
	uint32_t manual;

	begin();
	EXPECT_OK(destroy(fd, dev.stdev));
	EXPECT_OK(ioas_map_at(fd, ioas, p, PAGE, BASE));
	EXPECT_OK(refs(p, PAGE, 0));
	dev = mock(fd, ioas, 0);
	EXPECT_OK(refs(p, PAGE, 1));
	EXPECT_OK(shows(BASE, PAGE, p));
	manual = hwpt(fd, dev.dev, ioas, 0);
	EXPECT_OK(ioas_map_at(fd, ioas, p + PAGE, PAGE, BASE + PAGE));
	EXPECT_OK(check_map(fd, manual, BASE, 2 * PAGE, p));
	EXPECT_OK(destroy(fd, dev.stdev));
	EXPECT_OK(refs(p, 2 * PAGE, 1));
	EXPECT_OK(check_map(fd, manual, BASE, 2 * PAGE, p));
	EXPECT_OK(destroy(fd, manual));
	EXPECT_OK(refs(p, 2 * PAGE, 0));
	EXPECT_OK(destroy(fd, ioas));
}

TEST(destroy_ioas, "30:IFD-018 31:TST-10", "an IOAS that is destroyed lets go of its pages, except of what others show")
{
	char *p = pages(2);
	uint32_t other;
	uint64_t iova = BASE;

	begin();
	other = ioas_alloc(fd);
	mock(fd, other, 0);
	EXPECT_OK(ioas_map_at(fd, ioas, p, 2 * PAGE, BASE));
	EXPECT_OK(ioas_copy(fd, other, ioas, BASE, PAGE, RW | FIXED, &iova));
	EXPECT_OK(destroy(fd, dev.stdev));
	EXPECT_OK(destroy(fd, ioas));
	EXPECT_OK(refs(p, PAGE, 1));
	EXPECT_OK(refs(p + PAGE, PAGE, 0));
}

TEST(closed, "30:IFD-191 30:IFD-024 31:TST-06", "when close returns nothing is pinned any more, many areas or few")
{
	char *p = pages(200);

	for (int round = 0; round < 5; round++) {
		begin();
		for (unsigned i = 0; i < 100; i++)
			EXPECT_OK(ioas_map_at(fd, ioas, p + 2 * i * PAGE, PAGE, BASE + i * 3 * PAGE));
		for (unsigned i = 0; i < 100; i++) {
			EXPECT_OK(refs(p + 2 * i * PAGE, PAGE, 1));
			EXPECT_OK(refs(p + (2 * i + 1) * PAGE, PAGE, 0));
		}
		EXPECT_OK(x_close(fd));
		fd = iommu_open();
		EXPECT_OK(refs(p, 200 * PAGE, 0));
	}
}

TEST(unpinnable, "30:IFD-057 30:IFD-056 30:IFD-058", "what cannot be pinned whole is not mapped: no pins are left, and the addresses are free")
{
	const uint64_t n = 16 << 20;
	char *p = ram(n), *constant = test_memory(PAGE, PROT_READ, MAP_PRIVATE);

	EXPECT_OK(madvise(p, n, MADV_NOHUGEPAGE));
	memset(p, 1, n);
	EXPECT_OK(mprotect(p + n - PAGE, PAGE, PROT_NONE));
	begin();
	EXPECT_ERR(EFAULT, ioas_map_at(fd, ioas, p, n, BASE));
	EXPECT_OK(refs(p, n - PAGE, 0));
	EXPECT_ERR(EINVAL, shows(BASE, PAGE, p));
	EXPECT_ERR(EFAULT, ioas_map_at(fd, ioas, constant, PAGE, BASE));
	EXPECT_OK(ioas_map_at(fd, ioas, p, n - PAGE, BASE));
	EXPECT_OK(refs(p, n - PAGE, 1));
	EXPECT_OK(shows(BASE, n - PAGE, p));
	EXPECT_OK(destroy(fd, dev.stdev));
	EXPECT_OK(refs(p, n - PAGE, 0));
	EXPECT_OK(ioas_map_at(fd, ioas, p + n - 2 * PAGE, 2 * PAGE, BASE + n));
	EXPECT_ERR(EFAULT, mock_create(fd, ioas, 0, &dev));
	EXPECT_OK(refs(p, n - PAGE, 0));
}

TEST(second_domain_fails, "30:IFD-057 31:TST-04", "a domain that cannot be filled takes no pins with it, and leaves those of others")
{
	char *p = pages(2);
	uint32_t other, pt = 0;

	begin();
	EXPECT_OK(ioas_map_at(fd, ioas, p, PAGE, BASE));
	other = ioas_alloc(fd);
	EXPECT_OK(ioas_map_at(fd, other, p, 2 * PAGE, BASE));
	EXPECT_OK(ioas_map_at(fd, other, NULL, PAGE, BASE + 4 * PAGE));
	EXPECT_ERR(EFAULT, hwpt_alloc(fd, dev.dev, other, 0, &pt));
	EXPECT_ERR(EFAULT, mock_replace_id(fd, dev.stdev, other));
	EXPECT_OK(refs(p, PAGE, 1));
	EXPECT_OK(refs(p + PAGE, PAGE, 0));
}

/* ---- the limit ---- */

static struct rlimit old_limit;

/* 64 pages, and no right to have more; false: not to be had */
static bool limit(void)
{
	struct rlimit low = { 64 * PAGE, 64 * PAGE };

	getrlimit(RLIMIT_MEMLOCK, &old_limit);
	low.rlim_max = old_limit.rlim_max;
	if (test_caps(CAPS_RAWIO | CAPS_ADMIN) || (low.rlim_max != RLIM_INFINITY && low.rlim_max < low.rlim_cur))
		return false;
	setrlimit(RLIMIT_MEMLOCK, &low);
	return true;
}

TEST(limited, "30:IFD-094 30:IFD-096 30:IFD-077 30:IFD-097", "pages count against the limit when they are pinned, once; over it ENOMEM, and nothing pinned")
{
	char *p = pages(66);
	uint64_t iova = BASE + 0x100000;
	uint32_t other;

	begin();
	if (!limit())
		test_skip("cannot be limited");
	EXPECT_ERR(ENOMEM, ioas_map_at(fd, ioas, p, 65 * PAGE, BASE));
	EXPECT_OK(refs(p, 65 * PAGE, 0));
	EXPECT_OK(ioas_map_at(fd, ioas, p, 64 * PAGE, BASE));
	EXPECT_OK(ioas_copy(fd, ioas, ioas, BASE, 64 * PAGE, RW | FIXED, &iova));
	hwpt(fd, dev.dev, ioas, 0);
	other = ioas_alloc(fd);
	EXPECT_OK(ioas_map_at(fd, other, p + 64 * PAGE, PAGE, BASE));
	EXPECT_ERR(ENOMEM, mock_create(fd, other, 0, &dev));
	EXPECT_ERR(ENOMEM, mock_replace_id(fd, dev.stdev, other));
	EXPECT_OK(refs(p + 64 * PAGE, PAGE, 0));
	EXPECT_OK(refs(p, 64 * PAGE, 1));
	EXPECT_OK(ioas_unmap_n(fd, ioas, iova, 64 * PAGE));
	EXPECT_ERR(ENOMEM, mock_replace_id(fd, dev.stdev, other));
	EXPECT_OK(ioas_unmap_n(fd, ioas, BASE, 64 * PAGE));
	EXPECT_OK(mock_replace_id(fd, dev.stdev, other));
	setrlimit(RLIMIT_MEMLOCK, &old_limit);
}

TEST(limited_access, "30:IFD-094 31:TST-13", "what an access pins counts too, and no more than what a domain shows")
{
	char *p = pages(65);
	uint32_t item = 0;
	int a;

	begin();
	if (!limit())
		test_skip("cannot be limited");
	EXPECT_OK(destroy(fd, dev.stdev));
	EXPECT_OK(ioas_map_at(fd, ioas, p, 65 * PAGE, BASE));
	a = EXPECT_OK(access_create(fd, ioas, PINS));
	EXPECT_ERR(ENOMEM, access_pin(fd, a, BASE, 65 * PAGE, NULL, 0, &item));
	EXPECT_OK(refs(p, 65 * PAGE, 0));
	EXPECT_OK(access_pin(fd, a, BASE, 64 * PAGE, NULL, 0, &item));
	EXPECT_OK(access_pin(fd, a, BASE, 64 * PAGE, NULL, 0, &item));
	EXPECT_ERR(ENOMEM, mock_create(fd, ioas, 0, &dev));
	EXPECT_OK(refs(p, 64 * PAGE, 1));
	EXPECT_OK(refs(p + 64 * PAGE, PAGE, 0));
	EXPECT_OK(x_close(a));
	EXPECT_OK(refs(p, 65 * PAGE, 0));
	setrlimit(RLIMIT_MEMLOCK, &old_limit);
}

TEST(unlimited, "30:IFD-095", "who may lock memory is not held to the limit")
{
	char *p = pages(66);

	begin();
	if (!limit() || test_caps(CAPS_ALL))
		test_skip("cannot be limited");
	EXPECT_OK(ioas_map_at(fd, ioas, p, 66 * PAGE, BASE));
	EXPECT_OK(refs(p, 66 * PAGE, 1));
	setrlimit(RLIMIT_MEMLOCK, &old_limit);
}

/* ---- two kinds of IOMMU ---- */

TEST(beside_hardware, "30:IFD-145 31:TST-07 31:TST-10", "a mock device and another share an IOAS, each by a HWPT of its own, and one pin")
{
	struct iommu_iova_range r[2];
	volatile char *bar;
	char *p = pages(1);
	uint64_t align;
	uint32_t pt;
	int edu;

	begin();
	edu = cdev_take(EDU);
	EXPECT_OK(cdev_bind(edu, fd));
	pt = ioas;
	EXPECT_OK(cdev_attach(edu, &pt));
	EXPECT(pt != dev.hwpt);
	ranges(fd, ioas, r, &align);
	EXPECT(r[0].start == BASE && align == PAGE);
	EXPECT_OK(ioas_map_at(fd, ioas, p, PAGE, BASE));
	EXPECT_OK(shows(BASE, PAGE, p));
	EXPECT_ERR(EINVAL, check_map(fd, pt, BASE, PAGE, p)); /* no mock */
	EXPECT_OK(refs(p, PAGE, 1));
	bar = x_mmap(NULL, region_size(edu, 0), PROT_READ | PROT_WRITE, MAP_SHARED, edu, 0);
	EXPECT(bar != MAP_FAILED);
	config_write(edu, 4, 2, config_read(edu, 4, 2) | 6);
	strcpy(p, "shared");
	edu_dma(bar, BASE, 0x40000, 8, 0);
	edu_dma(bar, 0x40000, BASE + 100, 8, 1);
	EXPECT(strcmp(p + 100, "shared") == 0);
	EXPECT_OK(destroy(fd, dev.stdev));
	EXPECT_OK(refs(p, PAGE, 1));
	EXPECT_OK(cdev_detach(edu));
	EXPECT_OK(refs(p, PAGE, 0));
}
