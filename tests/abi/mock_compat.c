/* SPDX-License-Identifier: MIT */
/* Mappings of every size and place, and what VFIO's own requests on /dev/iommu do to them, seen by a mock device. */
#include "mock.h"

#define BASE MOCK_APERTURE_START
#define UNIT MOCK_PAGE_SIZE

static int fd;
static uint32_t ioas;
static struct mock dev;
static char *mem;

static void begin(unsigned npages)
{
	mem = ram(npages * PAGE);
	for (unsigned i = 0; i < npages; i++)
		memset(mem + i * PAGE, (int)i + 1, PAGE);
	fd = iommu_open();
	ioas = ioas_alloc(fd);
	dev = mock(fd, ioas, 0);
}

static int shows(uint64_t iova, uint64_t length, const void *va)
{
	return check_map(fd, dev.hwpt, iova, length, va);
}

/* Page by page: how often each is pinned */
static void expect_refs(const char *counts)
{
	for (unsigned i = 0; counts[i]; i++)
		EXPECT_OK(check_refs(fd, mem + i * PAGE, PAGE, (uint32_t)(counts[i] - '0')));
}

/* ---- every size ---- */

TEST(sweep, "31:TST-08 31:TST-10 30:IFD-062", "every run of half pages can be mapped, is shown and pinned, and goes again")
{
	begin(5);
	for (unsigned first = 0; first < 8; first++) {
		for (unsigned n = 1; first + n <= 10; n++) {
			uint64_t iova = 0;

			EXPECT_OK(ioas_map(fd, ioas, mem + first * UNIT, n * UNIT, RW, &iova));
			EXPECT_EQ(first * UNIT % PAGE, iova % PAGE);
			EXPECT_OK(shows(iova, n * UNIT, mem + first * UNIT));
			for (unsigned i = 0; i < 5; i++)
				EXPECT_OK(check_refs(fd, mem + i * PAGE, PAGE, i >= first / 2 && i <= (first + n - 1) / 2));
			EXPECT_ERR(ENOENT, ioas_unmap_n(fd, ioas, iova, n * UNIT - 1));
			EXPECT_OK(ioas_unmap_n(fd, ioas, iova, n * UNIT));
			EXPECT_ERR(EINVAL, shows(iova, UNIT, mem + first * UNIT));
			expect_refs("00000");
		}
	}
}

TEST(sweep_copies, "31:TST-08 30:IFD-079 30:IFD-077", "every part of a mapping can be copied, and is the same pages")
{
	uint32_t other;
	struct mock there;

	begin(5);
	other = ioas_alloc(fd);
	there = mock(fd, other, 0);
	EXPECT_OK(ioas_map_at(fd, ioas, mem + UNIT, 4 * PAGE, BASE + UNIT));
	for (unsigned first = 0; first < 8; first++) {
		for (unsigned n = 1; first + n <= 8; n++) {
			uint64_t iova = 0;

			EXPECT_OK(ioas_copy(fd, other, ioas, BASE + UNIT + first * UNIT, n * UNIT, RW, &iova));
			EXPECT_OK(check_map(fd, there.hwpt, iova, n * UNIT, mem + UNIT + first * UNIT));
			expect_refs("11111");
			EXPECT_OK(ioas_unmap_n(fd, other, iova, n * UNIT));
		}
	}
}

TEST(copy_unpinned, "30:IFD-078 31:TST-10", "a copy pins what its source has not, and what an access has pinned it shares")
{
	uint64_t iova = BASE;
	uint32_t source, item = 0;
	int a;

	begin(4);
	source = ioas_alloc(fd);
	EXPECT_OK(ioas_map_at(fd, source, mem, 4 * PAGE, 0));
	a = EXPECT_OK(access_create(fd, source, PINS));
	EXPECT_OK(access_pin(fd, a, PAGE, PAGE, mem + PAGE, 0, &item));
	expect_refs("0100");
	EXPECT_OK(ioas_copy(fd, ioas, source, 0, 3 * PAGE, RW | FIXED, &iova));
	expect_refs("1110");
	EXPECT_OK(shows(BASE, 3 * PAGE, mem));
	EXPECT_OK(x_close(a));
	expect_refs("1110");
	EXPECT_OK(destroy(fd, source));
	expect_refs("1110");
	EXPECT_OK(ioas_unmap_n(fd, ioas, BASE, 3 * PAGE));
	expect_refs("0000");
}

TEST(many_areas, "31:TST-10 30:IFD-062 30:IFD-072", "a thousand areas are shown by a domain that comes later, and by a second")
{
	uint64_t n = ALL;
	uint32_t more;

	begin(1);
	EXPECT_OK(destroy(fd, dev.stdev));
	for (unsigned i = 0; i < 1000; i++)
		EXPECT_OK(ioas_map_at(fd, ioas, mem, PAGE, BASE + i * 2 * PAGE));
	expect_refs("0");
	dev = mock(fd, ioas, 0);
	EXPECT_OK(check_refs(fd, mem, PAGE, 1000));
	more = hwpt(fd, dev.dev, ioas, 0);
	for (unsigned i = 0; i < 1000; i++)
		EXPECT_OK(check_map(fd, i & 1 ? more : dev.hwpt, BASE + i * 2 * PAGE, PAGE, mem));
	EXPECT_OK(ioas_unmap(fd, ioas, 0, &n));
	EXPECT_EQ(1000 * PAGE, n);
	expect_refs("0");
}

/* ---- VFIO's requests ---- */

static void begin_type1(unsigned npages, unsigned long type)
{
	mem = ram(npages * PAGE);
	memset(mem, 1, npages * PAGE);
	fd = iommu_open();
	ioas = ioas_alloc(fd);
	EXPECT_OK(compat(fd, IOMMU_VFIO_IOAS_SET, &ioas));
	EXPECT_OK(set_iommu(fd, type));
	dev = mock(fd, ioas, 0);
}

TEST(type1v2, "30:IFD-111 30:IFD-114 31:TST-10", "type1v2 maps for mock devices and takes whole mappings back")
{
	uint64_t n;

	begin_type1(4, VFIO_TYPE1v2_IOMMU);
	EXPECT_OK(map_dma(fd, mem, BASE, 4 * PAGE, 3));
	EXPECT_OK(shows(BASE, 4 * PAGE, mem));
	expect_refs("1111");
	EXPECT_ERR(ENOENT, unmap_dma(fd, BASE + PAGE, PAGE, &n));
	EXPECT_EQ(0, n);
	EXPECT_OK(shows(BASE, 4 * PAGE, mem));
	EXPECT_OK(unmap_dma(fd, BASE, 4 * PAGE, &n));
	EXPECT_EQ(4 * PAGE, n);
	expect_refs("0000");
	EXPECT_OK(unmap_dma(fd, BASE, 4 * PAGE, &n));
	EXPECT_EQ(0, n);
}

TEST(type1_holes, "30:IFD-115 31:TST-10", "type1 takes any pages back; the others stay what they are, pinned")
{
	uint64_t n;

	begin_type1(8, VFIO_TYPE1_IOMMU);
	EXPECT_OK(map_dma(fd, mem, BASE, 8 * PAGE, 3));
	expect_refs("11111111");
	EXPECT_OK(unmap_dma(fd, BASE + 3 * PAGE, 2 * PAGE, &n));
	EXPECT_EQ(2 * PAGE, n);
	expect_refs("11100111");
	EXPECT_OK(shows(BASE, 3 * PAGE, mem));
	EXPECT_ERR(EINVAL, shows(BASE + 3 * PAGE, PAGE, mem + 3 * PAGE));
	EXPECT_ERR(EINVAL, shows(BASE + 4 * PAGE, PAGE, mem + 4 * PAGE));
	EXPECT_OK(shows(BASE + 5 * PAGE, 3 * PAGE, mem + 5 * PAGE));
	EXPECT_ERR(EINVAL, unmap_dma(fd, BASE + UNIT, PAGE, &n));
	EXPECT_OK(unmap_dma(fd, BASE + PAGE, 5 * PAGE, &n));
	EXPECT_EQ(3 * PAGE, n);
	expect_refs("10000011");
	EXPECT_OK(shows(BASE + 6 * PAGE, 2 * PAGE, mem + 6 * PAGE));
	EXPECT_OK(ioas_unmap_n(fd, ioas, BASE + 6 * PAGE, 2 * PAGE)); /* an area of its own */
	expect_refs("10000000");
}

TEST(type1_every_page, "30:IFD-115 31:TST-10", "page by page, in any order, until nothing is left")
{
	char counts[17] = "1111111111111111";
	uint64_t n;

	begin_type1(16, VFIO_TYPE1_IOMMU);
	EXPECT_OK(map_dma(fd, mem, BASE, 16 * PAGE, 3));
	for (unsigned i = 0; i < 16; i++) {
		unsigned at = i * 7 % 16;

		EXPECT_OK(unmap_dma(fd, BASE + at * PAGE, PAGE, &n));
		EXPECT_EQ(PAGE, n);
		counts[at] = '0';
		expect_refs(counts);
	}
	EXPECT_OK(map_dma(fd, mem, BASE, 16 * PAGE, 3));
}

TEST(type1_pinned, "30:IFD-115 30:IFD-180", "a mapping in which an access has pins is not cut; whole, it goes")
{
	uint32_t item = 0;
	uint64_t n;
	int a;

	begin_type1(4, VFIO_TYPE1_IOMMU);
	EXPECT_OK(map_dma(fd, mem, BASE, 4 * PAGE, 3));
	a = EXPECT_OK(access_create(fd, ioas, PINS));
	EXPECT_OK(access_pin(fd, a, BASE, PAGE, mem, 0, &item));
	EXPECT_ERR(EINVAL, unmap_dma(fd, BASE + 2 * PAGE, PAGE, &n));
	EXPECT_OK(shows(BASE, 4 * PAGE, mem));
	expect_refs("1111");
	EXPECT_OK(unmap_dma(fd, BASE, 4 * PAGE, &n));
	EXPECT_ERR(ENOENT, access_unpin(fd, a, item));
	expect_refs("0000");
}

TEST(type1_copies, "30:IFD-115 30:IFD-084", "cutting a mapping does not cut its copies, which hold their pages")
{
	uint64_t iova = BASE + 0x100000, n;

	begin_type1(4, VFIO_TYPE1_IOMMU);
	EXPECT_OK(map_dma(fd, mem, BASE, 4 * PAGE, 3));
	EXPECT_OK(ioas_copy(fd, ioas, ioas, BASE, 3 * PAGE, RW | FIXED, &iova));
	EXPECT_OK(unmap_dma(fd, BASE + PAGE, 3 * PAGE, &n));
	expect_refs("1110");
	EXPECT_OK(shows(iova, 3 * PAGE, mem));
	EXPECT_OK(shows(BASE, PAGE, mem));
	EXPECT_OK(unmap_dma(fd, iova, 2 * PAGE, &n));
	expect_refs("1010");
	EXPECT_OK(shows(iova + 2 * PAGE, PAGE, mem + 2 * PAGE));
}

TEST(type1_several, "30:IFD-115 31:TST-10", "also when two domains show it, and when none does")
{
	uint64_t n;
	uint32_t more;

	begin_type1(6, VFIO_TYPE1_IOMMU);
	more = hwpt(fd, dev.dev, ioas, 0);
	EXPECT_OK(map_dma(fd, mem, BASE, 6 * PAGE, 3));
	EXPECT_OK(unmap_dma(fd, BASE + 2 * PAGE, PAGE, &n));
	EXPECT_OK(check_map(fd, more, BASE, 2 * PAGE, mem));
	EXPECT_ERR(EINVAL, check_map(fd, more, BASE + 2 * PAGE, PAGE, mem + 2 * PAGE));
	EXPECT_OK(check_map(fd, more, BASE + 3 * PAGE, 3 * PAGE, mem + 3 * PAGE));
	expect_refs("110111");
	EXPECT_OK(destroy(fd, more));
	EXPECT_OK(destroy(fd, dev.stdev));
	expect_refs("000000");
	EXPECT_OK(unmap_dma(fd, BASE + 4 * PAGE, PAGE, &n));
	dev = mock(fd, ioas, 0);
	expect_refs("110101");
	EXPECT_OK(shows(BASE + 5 * PAGE, PAGE, mem + 5 * PAGE));
}

TEST(type1_large, "30:IFD-115 30:IFD-086", "what was mapped with large pages is not cut")
{
	uint64_t n;

	mem = ram(4 * PAGE);
	memset(mem, 1, 4 * PAGE);
	fd = iommu_open();
	ioas = ioas_alloc(fd);
	EXPECT_OK(compat(fd, IOMMU_VFIO_IOAS_SET, &ioas));
	dev = mock(fd, ioas, 0);
	EXPECT_OK(map_dma(fd, mem, BASE, 4 * PAGE, 3));
	EXPECT_ERR(EINVAL, option_set(fd, IOMMU_OPTION_HUGE_PAGES, ioas, 0));
	EXPECT_ERR(EINVAL, set_iommu(fd, VFIO_TYPE1_IOMMU));
	EXPECT_ERR(ENOENT, unmap_dma(fd, BASE + PAGE, PAGE, &n));
	EXPECT_OK(option_set(fd, IOMMU_OPTION_HUGE_PAGES, ioas, 1));
	EXPECT_OK(shows(BASE, 4 * PAGE, mem));
	EXPECT_OK(unmap_dma(fd, BASE, 4 * PAGE, &n));
	EXPECT_OK(option_set(fd, IOMMU_OPTION_HUGE_PAGES, ioas, 0));
}
