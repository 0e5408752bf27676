/* SPDX-License-Identifier: MIT */
/* Dirty pages: what a mock device is said to have written, and what GET_DIRTY_BITMAP tells of it. */
#include "mock.h"

#define BASE  MOCK_APERTURE_START
#define UNIT  MOCK_PAGE_SIZE
#define TRACK IOMMU_HWPT_ALLOC_DIRTY_TRACKING
#define KEEP  IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR
#define PAGES 64
#define SIZE  (PAGES * PAGE)
#define BYTES (SIZE / UNIT / 8) /* of a bitmap of SIZE */

static int fd;
static uint32_t ioas, track;
static struct mock dev;
static char *mem;

/* A device on a HWPT that tracks, without large pages: each page has an IOPTE of its own. SIZE bytes mapped at BASE */
static void begin(void)
{
	mem = ram(SIZE);
	memset(mem, 1, SIZE);
	fd = iommu_open();
	ioas = ioas_alloc(fd);
	EXPECT_OK(option_set(fd, IOMMU_OPTION_HUGE_PAGES, ioas, 0));
	dev = mock(fd, ioas, 0);
	track = hwpt(fd, dev.dev, ioas, TRACK);
	EXPECT_OK(mock_replace_id(fd, dev.stdev, track));
	EXPECT_OK(ioas_map_at(fd, ioas, mem, SIZE, BASE));
	EXPECT_OK(dirty_track(fd, track, true));
}

/* Says that the units from @iova on whose bits are set were written; returns what was counted */
static uint64_t written(uint64_t iova, const void *bits, uint64_t units)
{
	uint64_t n = 12345;

	EXPECT_OK(mock_dirty(fd, track, iova, units * UNIT, UNIT, bits, &n));
	return n;
}

static void written_at(uint64_t iova)
{
	EXPECT_EQ(1, written(iova, "\1", 1));
}

/* What of [BASE, BASE + SIZE) is dirty, in units */
static const unsigned char *dirty(uint32_t flags)
{
	static unsigned char bits[BYTES];

	memset(bits, 0, sizeof(bits));
	EXPECT_OK(dirty_get(fd, track, BASE, SIZE, UNIT, bits, flags));
	return bits;
}

static bool clean(void)
{
	static const unsigned char zeros[BYTES];

	return memcmp(dirty(KEEP), zeros, BYTES) == 0;
}

/* ---- the operation of the test interface ---- */

TEST(arguments, "31:TST-20", "DIRTY: whole units and where to find their bits, then a HWPT that tracks, then so many")
{
	static const unsigned char bits[64];
	uint64_t n = 0;

	begin();
	EXPECT_ERR(EINVAL, mock_dirty(fd, 99, BASE, PAGE, 0, bits, &n));
	EXPECT_ERR(EINVAL, mock_dirty(fd, 99, BASE, 0, UNIT, bits, &n));
	EXPECT_ERR(EINVAL, mock_dirty(fd, 99, BASE, PAGE, UNIT, NULL, &n));
	EXPECT_ERR(EINVAL, mock_dirty(fd, 99, BASE + 1, PAGE, UNIT, bits, &n));
	EXPECT_ERR(EINVAL, mock_dirty(fd, 99, BASE, PAGE + 1, UNIT, bits, &n));
	EXPECT_ERR(EINVAL, mock_dirty(fd, 99, BASE, 3 * PAGE, 3 * UNIT, bits, &n)); /* BASE is no multiple */
	EXPECT_ERR(ENOENT, mock_dirty(fd, 99, BASE, PAGE, UNIT, bits, &n));
	EXPECT_ERR(ENOENT, mock_dirty(fd, ioas, BASE, PAGE, UNIT, bits, &n));
	EXPECT_ERR(ENOENT, mock_dirty(fd, dev.stdev, BASE, PAGE, UNIT, bits, &n));
	EXPECT_ERR(EFAULT, mock_dirty(fd, track, BASE, PAGE, UNIT, (void *)8, &n));
	EXPECT_ERR(EFAULT, mock_dirty(fd, track, 0, (uint64_t)UNIT << 27, UNIT, (void *)8, &n));
	EXPECT_ERR(EOVERFLOW, mock_dirty(fd, track, 0, ((uint64_t)UNIT << 27) + UNIT, UNIT, bits, &n));
	EXPECT_ERR(EOVERFLOW, mock_dirty(fd, track, 0, 1ull << 63, UNIT, bits, &n));
}

TEST(not_tracking, "31:TST-20 30:IFD-160", "DIRTY wants a HWPT that tracks, now")
{
	static const unsigned char bits[64];
	uint32_t plain;
	uint64_t n = 0;

	begin();
	plain = hwpt(fd, dev.dev, ioas, 0);
	EXPECT_ERR(EINVAL, mock_dirty(fd, plain, BASE, PAGE, UNIT, bits, &n));
	EXPECT_ERR(EOVERFLOW, mock_dirty(fd, plain, 0, ((uint64_t)UNIT << 27) + UNIT, UNIT, bits, &n));
	EXPECT_ERR(EINVAL, mock_dirty(fd, plain, BASE, PAGE, UNIT, (void *)8, &n));
	EXPECT_ERR(EOPNOTSUPP, dirty_track(fd, plain, true));
	EXPECT_ERR(EOPNOTSUPP, dirty_track(fd, plain, false));
	EXPECT_ERR(ENOENT, dirty_track(fd, ioas, true));
	EXPECT_OK(dirty_track(fd, track, false));
	EXPECT_ERR(EINVAL, mock_dirty(fd, track, BASE, PAGE, UNIT, bits, &n));
	EXPECT_OK(dirty_track(fd, track, false));
	EXPECT_OK(dirty_track(fd, track, true));
	EXPECT_OK(mock_dirty(fd, track, BASE, PAGE, UNIT, bits, &n));
}

TEST(counts, "31:TST-21", "DIRTY counts the bits that are set, of the units it is told of, mapped or not")
{
	unsigned char bits[64];
	uint64_t n = 0;

	begin();
	memset(bits, 0xff, sizeof(bits));
	EXPECT_EQ(2, written(BASE, bits, 2));
	EXPECT_EQ(13, written(BASE, bits, 13));
	EXPECT_EQ(512, written(BASE + SIZE, bits, 512));
	EXPECT_OK(mock_dirty(fd, track, BASE, 64, 1, bits, &n));
	EXPECT_EQ(64, n);
	EXPECT_OK(mock_dirty(fd, track, BASE, SIZE, SIZE, bits, &n));
	EXPECT_EQ(1, n);
	memset(bits, 0, sizeof(bits));
	EXPECT_EQ(0, written(BASE, bits, 512));
	bits[7] = 0x81;
	EXPECT_EQ(2, written(BASE, bits, 64));
	EXPECT_EQ(1, written(BASE, bits, 63));
}

/* ---- what is told ---- */

TEST(exact, "31:TST-21 31:TST-34 30:IFD-161", "without large pages the pages that were written are told, and no others")
{
	unsigned char bits[BYTES], want[BYTES];
	unsigned seed = 7;

	begin();
	EXPECT(clean());
	for (int round = 0; round < 20; round++) {
		memset(want, 0, BYTES);
		for (unsigned i = 0; i < BYTES; i++)
			bits[i] = (seed = seed * 1103515245 + 12345) >> 16 & 3 ? 0 : (unsigned char)(seed >> 20);
		for (unsigned i = 0; i < BYTES * 8; i++) {
			if (bits[i / 8] & 1u << i % 8)
				want[i / 8] |= (unsigned char)(3u << (i % 8 & ~1u)); /* both units of the page */
		}
		written(BASE, bits, BYTES * 8);
		EXPECT(memcmp(dirty(0), want, BYTES) == 0);
	}
}

TEST(units, "30:IFD-161 31:TST-21", "a bit may stand for less than a page or for more")
{
	unsigned char bits[256] = { 0 };

	begin();
	written_at(BASE + 5 * PAGE + UNIT);
	written_at(BASE + 16 * PAGE);
	EXPECT_OK(dirty_get(fd, track, BASE, SIZE, PAGE, bits, KEEP));
	EXPECT(bits[0] == 0x20 && bits[1] == 0 && bits[2] == 1);
	memset(bits, 0, sizeof(bits));
	EXPECT_OK(dirty_get(fd, track, BASE, SIZE, 4 * PAGE, bits, KEEP));
	EXPECT(bits[0] == 0x12 && bits[1] == 0);
	memset(bits, 0, sizeof(bits));
	EXPECT_OK(dirty_get(fd, track, BASE, SIZE, SIZE, bits, KEEP));
	EXPECT(bits[0] == 1 && bits[1] == 0);
	memset(bits, 0, sizeof(bits));
	EXPECT_OK(dirty_get(fd, track, BASE, SIZE, 512, bits, KEEP));
	EXPECT(bits[4] == 0 && bits[5] == 0xff && bits[6] == 0 && bits[16] == 0xff && bits[17] == 0);
}

TEST(clears, "30:IFD-162", "telling clears, of what is told of; NO_CLEAR does not")
{
	unsigned char bits[8] = { 0 };

	begin();
	written(BASE, "\x04\x01", 16);
	for (int i = 0; i < 3; i++)
		EXPECT(dirty(KEEP)[0] == 0x0c && dirty(KEEP)[1] == 3);
	EXPECT_OK(dirty_get(fd, track, BASE, 4 * PAGE, UNIT, bits, 0));
	EXPECT_EQ(0x0c, bits[0]);
	EXPECT(dirty(KEEP)[0] == 0 && dirty(KEEP)[1] == 3);
	EXPECT(dirty(0)[1] == 3);
	EXPECT(clean());
	written_at(BASE + PAGE);
	EXPECT(dirty(0)[0] == 0x0c);
}

TEST(ors, "30:IFD-163", "bits are added to the caller's, wherever its bitmap begins, and bytes beside it are let alone")
{
	unsigned char bits[64];

	begin();
	written(BASE, "\x81\0\x10", 24);
	for (unsigned at = 1; at < 20; at++) {
		memset(bits, 0x20, sizeof(bits));
		EXPECT_OK(dirty_get(fd, track, BASE, 12 * PAGE, UNIT, bits + at, KEEP));
		EXPECT(bits[at] == 0xe3 && bits[at + 1] == 0x20 && bits[at + 2] == 0x30);
		EXPECT(bits[at - 1] == 0x20 && bits[at + 3] == 0x20);
	}
	memset(bits, 0, sizeof(bits));
	EXPECT_OK(dirty_get(fd, track, BASE + 3 * PAGE, 12 * PAGE, UNIT, bits, KEEP));
	EXPECT(bits[0] == 3 && bits[1] == 0xc0 && bits[2] == 0);
}

TEST(bitmap_pages, "30:IFD-163 30:IFD-165", "a bitmap may lie across pages; where it cannot be written the answer is 0 all the same")
{
	char *at = ram(3 * PAGE) + PAGE - 2;

	begin();
	written(BASE, "\x01\x02\x04\x08", 32);
	EXPECT_OK(dirty_get(fd, track, BASE, 16 * PAGE, UNIT, at, KEEP));
	EXPECT(memcmp(at, "\x03\x03\x0c\x0c", 4) == 0);
	at += PAGE;
	EXPECT_OK(mprotect(at + 2, PAGE, PROT_NONE));
	EXPECT_OK(dirty_get(fd, track, BASE, 16 * PAGE, UNIT, at, KEEP));
	EXPECT(memcmp(at, "\x03\x03", 2) == 0);
	EXPECT_OK(dirty_get(fd, track, BASE, SIZE, UNIT, (void *)8, KEEP));
	EXPECT_OK(dirty_get(fd, track, BASE, SIZE, UNIT, NULL, KEEP));
	EXPECT(dirty(0)[0] == 3);
}

TEST(enabling, "30:IFD-164", "enabling clears what was dirty, also when it is enabled already")
{
	begin();
	written_at(BASE);
	EXPECT_OK(dirty_track(fd, track, true));
	EXPECT(clean());
	written_at(BASE);
	EXPECT_OK(dirty_track(fd, track, false));
	EXPECT_OK(dirty_track(fd, track, true));
	EXPECT(clean());
	written_at(BASE + PAGE);
	EXPECT_EQ(0x0c, dirty(0)[0]);
}

TEST(holes, "30:IFD-165", "what is not mapped is no error, and nothing is told of what lies behind it")
{
	unsigned char bits[64] = { 0 };

	begin();
	EXPECT_OK(ioas_map_at(fd, ioas, mem, PAGE, BASE + SIZE));
	EXPECT_OK(ioas_map_at(fd, ioas, mem, PAGE, BASE + SIZE + 2 * PAGE));
	written_at(BASE + SIZE - PAGE);
	written_at(BASE + SIZE);
	written_at(BASE + SIZE + PAGE); /* nowhere */
	written_at(BASE + SIZE + 2 * PAGE);
	EXPECT_OK(dirty_get(fd, track, BASE + SIZE - 2 * PAGE, 5 * PAGE, UNIT, bits, KEEP));
	EXPECT(bits[0] == 0x3c && bits[1] == 0);
	bits[0] = 0;
	EXPECT_OK(dirty_get(fd, track, BASE + SIZE + PAGE, PAGE, UNIT, bits, KEEP));
	EXPECT_OK(dirty_get(fd, track, 0, PAGE, UNIT, bits, KEEP));
	EXPECT_OK(dirty_get(fd, track, MOCK_APERTURE_LAST + 1, PAGE, UNIT, bits, KEEP));
	EXPECT_OK(dirty_get(fd, track, ~0xfffull, PAGE, UNIT, bits, KEEP));
	EXPECT_EQ(0, bits[0]);
	EXPECT_OK(dirty_get(fd, track, BASE + SIZE + 2 * PAGE, PAGE, UNIT, bits, KEEP));
	EXPECT_EQ(3, bits[0]);
}

TEST(get_arguments, "30:IFD-166 30:IFD-160", "GET_DIRTY_BITMAP: flags, the HWPT, the range, its unit; then whether it tracks")
{
	unsigned char bits[64];
	uint32_t plain;

	begin();
	plain = hwpt(fd, dev.dev, ioas, 0);
	EXPECT_ERR(EOPNOTSUPP, dirty_get(fd, 99, BASE, 0, 0, bits, 2));
	EXPECT_ERR(ENOENT, dirty_get(fd, 99, BASE, 0, 0, bits, 0));
	EXPECT_ERR(ENOENT, dirty_get(fd, ioas, BASE, PAGE, PAGE, bits, 0));
	EXPECT_ERR(EINVAL, dirty_get(fd, track, BASE, 0, PAGE, bits, 0));
	EXPECT_ERR(EINVAL, dirty_get(fd, track, BASE, PAGE, 0, bits, 0));
	EXPECT_ERR(EINVAL, dirty_get(fd, track, BASE + UNIT, PAGE, UNIT, bits, 0)); /* without large pages: of whole pages */
	EXPECT_ERR(EINVAL, dirty_get(fd, track, BASE, PAGE + UNIT, UNIT, bits, 0));
	EXPECT_ERR(EINVAL, dirty_get(fd, track, BASE + PAGE, PAGE, 2 * PAGE, bits, 0));
	EXPECT_ERR(EINVAL, dirty_get(fd, track, BASE, 3 * PAGE, 2 * PAGE, bits, 0));
	EXPECT_ERR(EOVERFLOW, dirty_get(fd, track, ~0xfffull, 2 * PAGE, PAGE, bits, 0));
	EXPECT_ERR(EINVAL, dirty_get(fd, plain, BASE, 0, PAGE, bits, 0));
	EXPECT_ERR(EOPNOTSUPP, dirty_get(fd, plain, BASE, PAGE, PAGE, bits, 0));
	EXPECT_OK(dirty_get(fd, track, BASE, PAGE, PAGE, bits, KEEP));
	EXPECT_OK(dirty_track(fd, track, false));
	EXPECT_OK(dirty_get(fd, track, BASE, PAGE, PAGE, bits, KEEP));
}

TEST(own_bits, "30:IFD-161 31:TST-21", "each HWPT, and each place where a page is mapped, has bits of its own")
{
	unsigned char bits[BYTES] = { 0 };
	uint64_t iova = BASE + SIZE;
	uint32_t other;

	begin();
	other = hwpt(fd, dev.dev, ioas, TRACK);
	EXPECT_OK(dirty_track(fd, other, true));
	EXPECT_OK(ioas_copy(fd, ioas, ioas, BASE, SIZE, RW | FIXED, &iova));
	written_at(BASE);
	EXPECT_OK(dirty_get(fd, track, iova, SIZE, UNIT, bits, KEEP));
	EXPECT_OK(dirty_get(fd, other, BASE, SIZE, UNIT, bits, KEEP));
	EXPECT_EQ(0, bits[0]);
	EXPECT_EQ(3, dirty(KEEP)[0]);
	EXPECT_OK(dirty_track(fd, other, false));
	EXPECT_EQ(3, dirty(0)[0]);
}

TEST(unmapped, "30:IFD-161", "unmapping forgets; who copies by an access or pins writes nothing of the device's")
{
	uint32_t item = 0;
	int a;

	begin();
	written_at(BASE);
	EXPECT_OK(ioas_unmap_n(fd, ioas, BASE, SIZE));
	EXPECT_OK(ioas_map_at(fd, ioas, mem, SIZE, BASE));
	EXPECT(clean());
	a = EXPECT_OK(access_create(fd, ioas, PINS));
	EXPECT_OK(access_rw(fd, a, BASE, 8, "abcdefg", MOCK_ACCESS_RW_WRITE));
	EXPECT_OK(access_pin(fd, a, BASE, PAGE, mem, MOCK_FLAGS_ACCESS_WRITE, &item));
	EXPECT_OK(access_unpin(fd, a, item));
	EXPECT(clean());
}

TEST(added, "30:IFD-161 30:IFD-164", "what is mapped while tracking is on is clean, and is tracked")
{
	unsigned char bits[2] = { 0 };

	begin();
	EXPECT_OK(ioas_map_at(fd, ioas, mem, 2 * PAGE, BASE + SIZE));
	EXPECT_OK(dirty_get(fd, track, BASE + SIZE, 2 * PAGE, UNIT, bits, KEEP));
	EXPECT_EQ(0, bits[0]);
	written_at(BASE + SIZE + PAGE);
	EXPECT_OK(dirty_get(fd, track, BASE + SIZE, 2 * PAGE, UNIT, bits, KEEP));
	EXPECT_EQ(0x0c, bits[0]);
}

/* ---- large pages ---- */

#define HUGE (2ull << 20)

/* A device on a HWPT with @data that tracks, large pages as they come; HUGE bytes that lie together, at BASE */
static void begin_large(uint32_t pagetable)
{
	struct iommu_hwpt_selftest data = { .pagetable_type = pagetable };
	uintptr_t p = (uintptr_t)ram(2 * HUGE);

	mem = (char *)((p + HUGE - 1) & ~(HUGE - 1));
	EXPECT_OK(madvise(mem, HUGE, MADV_HUGEPAGE));
	memset(mem, 1, HUGE);
	fd = iommu_open();
	ioas = ioas_alloc(fd);
	dev = mock(fd, ioas, 0);
	EXPECT_OK(hwpt_alloc_data(fd, dev.dev, ioas, TRACK, 0, IOMMU_HWPT_DATA_SELFTEST, &data, sizeof(data), &track));
	EXPECT_OK(dirty_track(fd, track, true));
	EXPECT_OK(ioas_map_at(fd, ioas, mem, HUGE, BASE));
}

static unsigned dirty_pages(uint64_t iova, uint64_t length)
{
	unsigned char bits[HUGE / PAGE / 8] = { 0 };
	unsigned n = 0;

	EXPECT_OK(dirty_get(fd, track, iova, length, PAGE, bits, KEEP));
	for (unsigned i = 0; i < sizeof(bits); i++)
		n += (unsigned)__builtin_popcount(bits[i]);
	return n;
}

TEST(large, "31:TST-34", "memory that lies together is one large page, and dirty as one")
{
	begin_large(MOCK_IOMMUPT_DEFAULT);
	EXPECT_EQ(0, dirty_pages(BASE, HUGE));
	written_at(BASE + HUGE / 2 + UNIT);
	EXPECT_EQ(HUGE / PAGE, dirty_pages(BASE, HUGE));
	EXPECT_OK(dirty_track(fd, track, true));
	EXPECT_OK(ioas_map_at(fd, ioas, mem, HUGE, BASE + HUGE + HUGE / 2)); /* half as aligned: pages of 1 MiB */
	written_at(BASE + HUGE + HUGE / 2);
	EXPECT_EQ(HUGE / PAGE / 2, dirty_pages(BASE + HUGE + HUGE / 2, HUGE));
	EXPECT_EQ(0, dirty_pages(BASE, HUGE));
}

TEST(large_1, "31:TST-34 31:TST-33", "page table type 1 has pages of 1 MiB, where they fit, else of 4 KiB")
{
	begin_large(MOCK_IOMMUPT_HUGE);
	written_at(BASE);
	EXPECT_EQ(256, dirty_pages(BASE, HUGE));
	written_at(BASE + HUGE - UNIT);
	EXPECT_EQ(512, dirty_pages(BASE, HUGE));
	EXPECT_OK(ioas_map_at(fd, ioas, mem, HUGE, BASE + HUGE + PAGE));
	written_at(BASE + HUGE + PAGE);
	written_at(BASE + HUGE + PAGE + HUGE / 2 + UNIT);
	EXPECT_EQ(2, dirty_pages(BASE + HUGE + PAGE, HUGE));
}

TEST(small, "31:TST-34 31:TST-31", "where address and memory are aligned to half a page only, half pages are dirty")
{
	unsigned char bits[8] = { 0 };

	begin_large(MOCK_IOMMUPT_DEFAULT);
	EXPECT_OK(ioas_map_at(fd, ioas, mem, 2 * PAGE, BASE + HUGE + UNIT));
	written_at(BASE + HUGE + UNIT);
	written_at(BASE + HUGE + 3 * UNIT);
	EXPECT_OK(dirty_get(fd, track, BASE + HUGE + UNIT, 2 * PAGE, UNIT, bits, KEEP));
	EXPECT_EQ(5, bits[0]);
}
