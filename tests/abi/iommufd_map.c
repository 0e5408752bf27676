/* SPDX-License-Identifier: MIT */
/* MAP, MAP_FILE, COPY, UNMAP in an address space that no device uses: what is said before anything is pinned. */
#include "ioas.h"

static int fd;
static uint32_t id;

/* Returns where memory might be: nobody looks as long as there is no device. */
static char *begin(void)
{
	fd = iommu_open();
	id = ioas_alloc(fd);
	return (char *)0x40000000;
}

/* An automatic address */
static uint64_t chosen(const void *va, uint64_t length)
{
	uint64_t iova = 0;

	EXPECT_OK(ioas_map(fd, id, va, length, RW, &iova));
	return iova;
}

static int map_with(const void *va, uint64_t length, uint32_t flags, uint64_t iova)
{
	return ioas_map(fd, id, va, length, flags, &iova);
}

TEST(map_flags, "30:IFD-039 30:IFD-040 30:IFD-044", "MAP: unknown flags, no access, no such IOAS, in this order")
{
	char *p = begin();

	EXPECT_ERR(EOPNOTSUPP, map_with(p, ALL, 8 | RW, ALL));
	EXPECT_ERR(EOPNOTSUPP, map_with(p, PAGE, 0x80000000, 0));
	EXPECT_ERR(EINVAL, map_with(p, PAGE, 0, 0));
	EXPECT_ERR(EINVAL, map_with(p, PAGE, FIXED, 0));
	EXPECT_ERR(EOVERFLOW, map_with(p, PAGE, 0, ALL));
	id += 5;
	EXPECT_ERR(EINVAL, map_with(p, PAGE, 0, 0));
	EXPECT_ERR(ENOENT, map_with(p, PAGE, RW, 0));
	EXPECT_ERR(ENOENT, map_with(p, 0, RW, 0));
}

TEST(map_overflow, "30:IFD-041 30:IFD-042 30:IFD-043 30:IFD-047", "MAP: lengths and addresses that end nowhere")
{
	char *p = begin();

	EXPECT_ERR(EOVERFLOW, map_with(p, ALL, RW, 0));
	EXPECT_ERR(EOVERFLOW, map_with(p, PAGE, RW, ALL));
	EXPECT_ERR(EOVERFLOW, map_with(p, PAGE, RW | FIXED, ALL));
	EXPECT_ERR(EINVAL, map_with(p, 0, RW, 0));
	EXPECT_ERR(EINVAL, map_with(p, 0, RW | FIXED, 0));
	EXPECT_ERR(EOVERFLOW, map_with((void *)~0xfffull, 2 * PAGE, RW, 0));
	EXPECT_ERR(EOVERFLOW, map_with((void *)0x2000, ALL - 0x1000, RW, 0));
	EXPECT_ERR(EINVAL, map_with(NULL, ALL - 0xffe, RW, 0));
	EXPECT_ERR(EOVERFLOW, map_with(p, 2 * PAGE, RW | FIXED, ~0xfffull));
	EXPECT_OK(map_with(p, PAGE, RW | FIXED, ~0xfffull));
	EXPECT_ERR(EEXIST, map_with(p, PAGE, RW | FIXED, ~0xfffull));
}

TEST(map_overlap, "30:IFD-045", "FIXED over anything is EEXIST")
{
	char *p = begin();

	EXPECT_OK(ioas_map_at(fd, id, p, 2 * PAGE, 0x10000));
	EXPECT_ERR(EEXIST, ioas_map_at(fd, id, p, 2 * PAGE, 0x10000));
	EXPECT_ERR(EEXIST, ioas_map_at(fd, id, p, PAGE, 0x11000));
	EXPECT_ERR(EEXIST, ioas_map_at(fd, id, p, 2 * PAGE, 0xf000));
	EXPECT_ERR(EEXIST, ioas_map_at(fd, id, p, 4 * PAGE, 0xf000));
	EXPECT_ERR(EEXIST, ioas_map_at(fd, id, p, 1, 0x11fff));
	EXPECT_OK(ioas_map_at(fd, id, p, PAGE, 0xf000));
	EXPECT_OK(ioas_map_at(fd, id, p, PAGE, 0x12000));
}

TEST(map_anywhere, "30:IFD-048 30:IFD-054 30:IFD-055", "address 0, a single byte, and memory that is not there can be mapped")
{
	char *p = begin();

	EXPECT_OK(ioas_map_at(fd, id, p, PAGE, 0));
	EXPECT_OK(ioas_map_at(fd, id, p + 5, 1, 0x1001));
	EXPECT_OK(ioas_map_at(fd, id, p, 1, 0x1000));
	EXPECT_OK(ioas_map_at(fd, id, p, 2 * PAGE, 0x10000));
	EXPECT_OK(ioas_map_at(fd, id, NULL, PAGE, 0x20000));
	EXPECT_OK(ioas_unmap_n(fd, id, 0x10000, 2 * PAGE));
}

TEST(choose_first_fit, "30:IFD-049 30:IFD-052", "automatic addresses: the first hole from 4096 on")
{
	char *p = begin();
	uint64_t a = chosen(p, PAGE), b = chosen(p + PAGE, PAGE), c = chosen(p, PAGE);

	EXPECT_EQ(0x1000, a);
	EXPECT_EQ(0x2000, b);
	EXPECT_EQ(0x3000, c);
	EXPECT_OK(ioas_unmap_n(fd, id, b, PAGE));
	EXPECT_EQ(b, chosen(p, PAGE));
	EXPECT_OK(ioas_unmap_n(fd, id, a, PAGE));
	EXPECT_EQ(4 * PAGE, chosen(p, 2 * PAGE));
	EXPECT_EQ(a, chosen(p, PAGE));
}

TEST(choose_offset, "30:IFD-050", "an automatic address keeps the place in the page")
{
	char *p = begin();

	EXPECT_EQ(0x1010, chosen(p + 0x10, 0x10));
	EXPECT_EQ(0x1020, chosen(p + 0x20, 0x20));
	EXPECT_EQ(0x1008, chosen(p + 8, 8));
	/* The hole begins at 0x1040: its start rounded up to 8, or 8. */
	EXPECT_EQ(0x1048, chosen(p + 8, 8));
	EXPECT_EQ(0x1100, chosen(p + 0x100, PAGE));
}

TEST(choose_align, "30:IFD-051", "an automatic address is a multiple of the length's power of two, the memory's, and 2 MiB at most")
{
	char *p = begin();

	EXPECT_EQ(0x1000, chosen(p + 0x1000, 0x8000));
	EXPECT_EQ(0x10000, chosen(p, 0x8001));
	EXPECT_EQ(0x20000, chosen(p + 0x8000, 0x20000));
	EXPECT_EQ(0x200000, chosen(p, 0x40000000));
	EXPECT_EQ(0x40200000, chosen(p, 0x400000));
	EXPECT_EQ(0x40600000, chosen(p + 0x200000, 0x200000));
	EXPECT_EQ(0x100000, chosen(p, 0x100000));
}

TEST(choose_limits, "30:IFD-053", "half of all addresses and more cannot be had; what does not fit is ENOSPC")
{
	char *p = begin();
	uint64_t iova = 0;

	EXPECT_ERR(EOVERFLOW, ioas_map(fd, id, p, UINT64_MAX / 2, RW, &iova));
	EXPECT_OK(ioas_map_at(fd, id, p, 1, 1ull << 62));
	EXPECT_OK(ioas_map_at(fd, id, p, 1, 2ull << 62));
	EXPECT_OK(ioas_map_at(fd, id, p, 1, 3ull << 62));
	EXPECT_ERR(ENOSPC, ioas_map(fd, id, p, (1ull << 62) + 4096, RW, &iova));
}

/* Whatever was mapped, unmapped and looked for before: the answer is that of a search from the beginning. */
TEST(choose_again, "30:IFD-052", "the first fit is found whatever went before")
{
	char *p = begin();
	unsigned char used[256] = { 1 };
	unsigned seed = 1;

	for (int i = 0; i < 4000; i++) {
		unsigned r = seed = seed * 1103515245 + 12345, n = (r >> 8) % 3 + 1, at = (r >> 16) % 200 + 1;

		if (used[at] > 1) {
			EXPECT_OK(ioas_unmap_n(fd, id, at * PAGE, (used[at] - 1) * PAGE));
			memset(used + at, 0, used[at] - 1u);
		} else {
			unsigned want = 1, first;

			for (first = want; first < 220; first++) {
				unsigned k = 0;

				while (k < n && !used[first + k])
					k++;
				if (k == n)
					break;
			}
			if (first >= 200)
				continue;
			EXPECT_EQ(first * PAGE, chosen(p + PAGE, n * PAGE));
			memset(used + first, 1, n);
			used[first] = (unsigned char)(n + 1);
		}
	}
}

TEST(map_file, "30:IFD-063 30:IFD-065", "MAP_FILE takes a descriptor that is open, and keeps the file")
{
	int file = memfd_create("x", 0);
	uint64_t iova = 0;

	begin();
	EXPECT_OK(ftruncate(file, 4 * PAGE));
	EXPECT_ERR(EINVAL, ioas_map_file(fd, id, file, 0, 0, RW, &iova));
	EXPECT_ERR(EOVERFLOW, ioas_map_file(fd, id, file, ~0xfffull, 2 * PAGE, RW, &iova));
	EXPECT_ERR(EBADF, ioas_map_file(fd, id, -1, 0, PAGE, RW, &iova));
	EXPECT_ERR(EOPNOTSUPP, ioas_map_file(fd, id, file, 0, PAGE, RW | 8, &iova));
	EXPECT_ERR(EINVAL, ioas_map_file(fd, id, file, 0, PAGE, 0, &iova));
	EXPECT_ERR(ENOENT, ioas_map_file(fd, id + 1, file, 0, PAGE, RW, &iova));
	EXPECT_OK(ioas_map_file(fd, id, file, 0, PAGE, RW, &iova));
	EXPECT_EQ(0x1000, iova);
	EXPECT_OK(ioas_map_file(fd, id, file, 0x2000, 2 * PAGE, RW, &iova));
	EXPECT_EQ(0x2000, iova);
	EXPECT_OK(ioas_map_file(fd, id, file, 100 * PAGE, PAGE, READ, &iova));
	EXPECT_OK(ioas_map_file(fd, id, file, 0x10, 0x10, READ, &iova));
	EXPECT_EQ(0x10, iova & 0xfff);
	close(file);
	EXPECT_ERR(EBADF, ioas_map_file(fd, id, file, 0, PAGE, RW, &iova));
	EXPECT_OK(ioas_unmap_n(fd, id, 0x1000, PAGE));
}

TEST(map_any_file, "30:IFD-066", "MAP_FILE takes any file, as long as nothing is pinned")
{
	int file = open("/proc/self/status", O_RDONLY);
	uint64_t iova = 0;

	begin();
	EXPECT(file >= 0);
	EXPECT_OK(ioas_map_file(fd, id, file, 0, PAGE, READ, &iova));
	EXPECT_OK(ioas_map_file(fd, id, fd, 0, PAGE, READ, &iova));
	close(file);
}

TEST(unmap_nothing, "30:IFD-070 30:IFD-071 30:IFD-075", "UNMAP of nothing is ENOENT; of everything it is 0")
{
	uint64_t n = ALL;

	begin();
	EXPECT_OK(ioas_unmap(fd, id, 0, &n));
	EXPECT_EQ(0, n);
	EXPECT_ERR(ENOENT, ioas_unmap_n(fd, id, 0, PAGE));
	EXPECT_ERR(ENOENT, ioas_unmap_n(fd, id, 0, ALL - 1));
	EXPECT_ERR(EINVAL, ioas_unmap_n(fd, id, 0x1000, 0));
	EXPECT_ERR(EOVERFLOW, ioas_unmap_n(fd, id, 0x1000, ALL));
	EXPECT_ERR(EOVERFLOW, ioas_unmap_n(fd, id, ALL, PAGE));
	EXPECT_ERR(EOVERFLOW, ioas_unmap_n(fd, id, 0x1000, ALL - 0xffe));
	EXPECT_ERR(ENOENT, ioas_unmap_n(fd, id, 0x1000, ALL - 0xfff));
	EXPECT_ERR(ENOENT, ioas_unmap_n(fd, id + 1, 0, ALL));
}

TEST(unmap_superset, "30:IFD-072", "UNMAP tells the bytes that were mapped")
{
	char *p = begin();
	uint64_t n = 0x100000;

	EXPECT_OK(ioas_map_at(fd, id, p, PAGE, 0x10000));
	EXPECT_OK(ioas_map_at(fd, id, p, 3 * PAGE, 0x20000));
	EXPECT_OK(ioas_map_at(fd, id, p, PAGE, 0x100000));
	EXPECT_OK(ioas_unmap(fd, id, 0x8000, &n));
	EXPECT_EQ(5 * PAGE, n);
	EXPECT_OK(ioas_map_at(fd, id, p, PAGE, 0));
	EXPECT_OK(ioas_map_at(fd, id, p, PAGE, ~0xfffull));
	n = ALL;
	EXPECT_OK(ioas_unmap(fd, id, 0, &n));
	EXPECT_EQ(2 * PAGE, n);
}

TEST(unmap_part, "30:IFD-073", "UNMAP of a part is ENOENT, and the whole stays")
{
	char *p = begin();

	EXPECT_OK(ioas_map_at(fd, id, p, 4 * PAGE, 0x10000));
	EXPECT_ERR(ENOENT, ioas_unmap_n(fd, id, 0x10000, PAGE));
	EXPECT_ERR(ENOENT, ioas_unmap_n(fd, id, 0x11000, PAGE));
	EXPECT_ERR(ENOENT, ioas_unmap_n(fd, id, 0x11000, 3 * PAGE));
	EXPECT_ERR(ENOENT, ioas_unmap_n(fd, id, 0xf000, 2 * PAGE));
	EXPECT_ERR(EEXIST, ioas_map_at(fd, id, p, PAGE, 0x10000));
	EXPECT_ERR(EEXIST, ioas_map_at(fd, id, p, PAGE, 0x13000));
	EXPECT_OK(ioas_unmap_n(fd, id, 0x10000, 4 * PAGE));
}

TEST(unmap_some, "30:IFD-074", "what is removed before the obstacle stays removed, and the length is not told")
{
	char *p = begin();
	uint64_t n = 3 * PAGE;

	EXPECT_OK(ioas_map_at(fd, id, p, PAGE, 0x10000));
	EXPECT_OK(ioas_map_at(fd, id, p, 4 * PAGE, 0x11000));
	EXPECT_ERR(ENOENT, ioas_unmap(fd, id, 0x10000, &n));
	EXPECT_EQ(3 * PAGE, n);
	EXPECT_OK(ioas_map_at(fd, id, p, PAGE, 0x10000));
	EXPECT_ERR(EEXIST, ioas_map_at(fd, id, p, PAGE, 0x14000));
}

TEST(copy_checks, "30:IFD-081 30:IFD-082", "COPY: arguments, holes, permissions")
{
	char *p = begin();
	uint32_t other = ioas_alloc(fd);
	uint64_t iova = 0, at = 0x10000;

	EXPECT_OK(ioas_map(fd, id, p, 4 * PAGE, READ | FIXED, &at));
	EXPECT_ERR(EOPNOTSUPP, ioas_copy(fd, other, id, at, ALL, READ | 8, &iova));
	EXPECT_ERR(EOVERFLOW, ioas_copy(fd, other, id, at, ALL, 0, &iova));
	EXPECT_ERR(EOVERFLOW, ioas_copy(fd, other, id, ALL, PAGE, 0, &iova));
	EXPECT_ERR(EINVAL, ioas_copy(fd, other, id, at, PAGE, 0, &iova));
	EXPECT_ERR(ENOENT, ioas_copy(fd, other, 77, at, 0, READ, &iova));
	EXPECT_ERR(EINVAL, ioas_copy(fd, 77, id, at, 0, READ, &iova));
	EXPECT_ERR(EOVERFLOW, ioas_copy(fd, other, id, ~0xfffull, 2 * PAGE, READ, &iova));
	EXPECT_ERR(ENOENT, ioas_copy(fd, 77, id, at, PAGE, READ, &iova));
	EXPECT_ERR(ENOENT, ioas_copy(fd, other, id, at, 5 * PAGE, READ, &iova));
	EXPECT_ERR(ENOENT, ioas_copy(fd, other, id, at - PAGE, 2 * PAGE, READ, &iova));
	EXPECT_ERR(ENOENT, ioas_copy(fd, other, id, 0x30000, PAGE, READ, &iova));
	EXPECT_ERR(EPERM, ioas_copy(fd, other, id, at, PAGE, RW, &iova));
	EXPECT_OK(ioas_copy(fd, other, id, at, 4 * PAGE, READ, &iova));
	EXPECT_EQ(0x4000, iova);
	EXPECT_ERR(EEXIST, ioas_copy(fd, other, id, at, 4 * PAGE, READ | FIXED, &iova));
	EXPECT_OK(ioas_unmap_n(fd, other, 0x4000, 4 * PAGE));
}

TEST(copy_part, "30:IFD-079 30:IFD-083 30:IFD-084", "COPY takes a part, also within one IOAS, and stays when the source goes")
{
	char *p = begin();
	uint64_t iova = 0x50000;

	EXPECT_OK(ioas_map_at(fd, id, p, 8 * PAGE, 0x10000));
	EXPECT_OK(ioas_copy(fd, id, id, 0x12000, 2 * PAGE, RW | FIXED, &iova));
	EXPECT_OK(ioas_copy(fd, id, id, 0x12008, 8, RW, &iova));
	EXPECT_EQ(8, iova & 0xfff);
	EXPECT_OK(ioas_unmap_n(fd, id, 0x10000, 8 * PAGE));
	EXPECT_ERR(EEXIST, ioas_map_at(fd, id, p, PAGE, 0x51000));
	EXPECT_OK(ioas_unmap_n(fd, id, 0x50000, 2 * PAGE));
}

TEST(copy_two, "30:IFD-080", "COPY across two areas makes two")
{
	char *p = begin();
	uint32_t other = ioas_alloc(fd);
	uint64_t iova = 0x80000;

	EXPECT_OK(ioas_map_at(fd, id, p, 2 * PAGE, 0x10000));
	EXPECT_OK(ioas_map_at(fd, id, p + 4 * PAGE, 2 * PAGE, 0x12000));
	EXPECT_OK(ioas_copy(fd, other, id, 0x11000, 2 * PAGE, RW | FIXED, &iova));
	EXPECT_OK(ioas_unmap_n(fd, other, 0x80000, PAGE));
	EXPECT_ERR(ENOENT, ioas_unmap_n(fd, other, 0x80000, PAGE));
	EXPECT_OK(ioas_unmap_n(fd, other, 0x81000, PAGE));
	EXPECT_OK(ioas_copy(fd, other, id, 0x10000, 4 * PAGE, RW, &iova));
	EXPECT_OK(ioas_unmap_n(fd, other, iova, 4 * PAGE));
}

TEST(many, "30:IFD-052", "a hundred thousand areas are as quick as one")
{
	char *p = begin();
	uint64_t iova = 0, n = ALL;
	const unsigned count = test_door() == DOOR_CAPI ? 100000 : 10000;

	for (unsigned i = 0; i < count; i++)
		EXPECT_OK(ioas_map(fd, id, p, PAGE, READ, &iova));
	EXPECT_EQ(count * PAGE, iova);
	EXPECT_OK(ioas_unmap(fd, id, 0, &n));
	EXPECT_EQ(count * PAGE, n);
}
