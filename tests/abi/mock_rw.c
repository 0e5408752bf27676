/* SPDX-License-Identifier: MIT */
/* ACCESS_RW of IOMMU_TEST_CMD: the kernel reads and writes what is mapped, of its own and of other processes. */
#include "mock.h"
#include "process.h"

#define BASE   MOCK_APERTURE_START
#define WRITES MOCK_ACCESS_RW_WRITE
#define SLOW   MOCK_ACCESS_RW_SLOW_PATH
#define LIMIT  (16ull << 20)

static int fd, acc;
static uint32_t ioas;
static char *mem;
#define PAGES 8

/* A context with an access, and PAGES pages mapped at BASE */
static void begin(void)
{
	mem = ram(PAGES * PAGE);
	for (unsigned i = 0; i < PAGES; i++)
		memset(mem + i * PAGE, (int)('a' + i), PAGE);
	fd = iommu_open();
	ioas = ioas_alloc(fd);
	EXPECT_OK(ioas_map_at(fd, ioas, mem, PAGES * PAGE, BASE));
	acc = EXPECT_OK(access_create(fd, ioas, 0));
}

static int rw(uint64_t iova, uint64_t length, const void *buf, uint32_t flags)
{
	return access_rw(fd, acc, iova, length, buf, flags);
}

TEST(arguments, "31:TST-15", "ACCESS_RW: at most 16 MiB, known flags, an access; in this order")
{
	char *buf = ram(PAGE);

	begin();
	EXPECT_ERR(ENOMEM, rw(BASE, LIMIT + 1, buf, 2));
	EXPECT_ERR(ENOMEM, access_rw(fd, -1, BASE, ALL, buf, 2));
	EXPECT_ERR(EOPNOTSUPP, access_rw(fd, -1, BASE, PAGE, buf, 2));
	EXPECT_ERR(EOPNOTSUPP, rw(BASE, PAGE, buf, 8));
	EXPECT_ERR(EOPNOTSUPP, rw(BASE, PAGE, buf, 1u << 17));
	EXPECT_ERR(EBADFD, access_rw(fd, -1, BASE, PAGE, buf, 0));
}

TEST(ranges_of_it, "31:TST-15", "ACCESS_RW: nothing, a wrap, what is not mapped")
{
	char *buf = ram(2 * PAGE);

	begin();
	EXPECT_ERR(EINVAL, rw(BASE, 0, buf, 0));
	EXPECT_ERR(EINVAL, rw(BASE, 0, buf, WRITES));
	EXPECT_ERR(EOVERFLOW, rw(ALL, 2, buf, 0));
	EXPECT_ERR(ENOENT, rw(BASE - 1, 1, buf, 0));
	EXPECT_ERR(ENOENT, rw(BASE - 1, 2, buf, WRITES));
	EXPECT_ERR(ENOENT, rw(BASE + PAGES * PAGE, 1, buf, 0));
	EXPECT_ERR(ENOENT, rw(BASE + PAGES * PAGE, 1, buf, WRITES));
	EXPECT_ERR(ENOENT, rw(BASE + (PAGES - 1) * PAGE, PAGE + 1, buf, 0));
	EXPECT_ERR(ENOENT, rw(0, LIMIT, ram(LIMIT), 0));
	EXPECT_ERR(EFAULT, rw(BASE, 1, NULL, 0));
	EXPECT_ERR(EFAULT, rw(BASE, 1, NULL, WRITES));
	EXPECT_ERR(EFAULT, rw(BASE - 1, 1, NULL, WRITES)); /* what is to be written is fetched first */
	EXPECT_ERR(ENOENT, rw(BASE - 1, 1, NULL, 0));
}

/* Reads and writes of every small length at some places, against a copy of the memory */
static void rw_everywhere(uint32_t flags)
{
	static const uint64_t at[] = { 0, 1, 5, PAGE - 9, PAGE - 1, PAGE, 2 * PAGE - 3, 5 * PAGE + 100 };
	char *want = ram(PAGES * PAGE), *buf = ram(3 * PAGE);

	memcpy(want, mem, PAGES * PAGE);
	for (unsigned i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		for (uint64_t n = 1; n < 2 * PAGE; n = n * 3 - (n > 10 ? 7 : 1)) {
			memset(buf, (int)(n + i), n);
			EXPECT_OK(rw(BASE + at[i], n, buf, WRITES | flags));
			memset(want + at[i], (int)(n + i), n);
			EXPECT(memcmp(mem, want, PAGES * PAGE) == 0);
			memset(buf, 0, 3 * PAGE);
			EXPECT_OK(rw(BASE + (at[i] ? at[i] - 1 : 0), n + 1, buf, flags));
			EXPECT(memcmp(buf, want + (at[i] ? at[i] - 1 : 0), n + 1) == 0);
			EXPECT_EQ(0, buf[n + 1]);
		}
	}
}

TEST(copies, "31:TST-15", "ACCESS_RW copies both ways, wherever it begins and ends, and leaves no pins")
{
	begin();
	rw_everywhere(0);
	EXPECT_OK(check_refs(fd, mem, PAGES * PAGE, 0));
}

TEST(copies_slowly, "31:TST-15", "the slow path copies the same")
{
	begin();
	rw_everywhere(SLOW);
	EXPECT_OK(check_refs(fd, mem, PAGES * PAGE, 0));
}

TEST(copies_pinned, "31:TST-15", "also what is pinned, with a domain or by an access")
{
	uint32_t item;
	int pins;

	begin();
	mock(fd, ioas, 0);
	rw_everywhere(0);
	rw_everywhere(SLOW);
	begin();
	pins = EXPECT_OK(access_create(fd, ioas, PINS));
	EXPECT_OK(access_pin(fd, pins, BASE + PAGE, 3 * PAGE, NULL, MOCK_FLAGS_ACCESS_WRITE, &item));
	rw_everywhere(0);
	rw_everywhere(SLOW);
	EXPECT_OK(check_refs(fd, mem + PAGE, 3 * PAGE, 1));
}

TEST(copies_file, "31:TST-15 30:IFD-063", "also what is mapped of a file, beginning inside a page")
{
	int file = memfd_create("x", 0);
	uint64_t iova = BASE;

	EXPECT_OK(ftruncate(file, (PAGES + 1) * PAGE));
	fd = iommu_open();
	ioas = ioas_alloc(fd);
	EXPECT_OK(ioas_map_file(fd, ioas, file, 16, PAGES * PAGE, RW | FIXED, &iova));
	acc = EXPECT_OK(access_create(fd, ioas, 0));
	mem = mmap(NULL, (PAGES + 1) * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	EXPECT(mem != MAP_FAILED);
	mem += 16;
	close(file);
	rw_everywhere(0);
	rw_everywhere(SLOW);
	munmap(mem - 16, (PAGES + 1) * PAGE);
}

TEST(areas, "31:TST-15", "ACCESS_RW runs over areas that adjoin, of any bytes; before a hole it has copied what was there")
{
	char *far, buf[64];

	begin();
	far = ram(2 * PAGE);
	EXPECT_OK(ioas_map_at(fd, ioas, far + 3, 10, BASE + PAGES * PAGE));
	EXPECT_OK(ioas_map_at(fd, ioas, far + 100, 20, BASE + PAGES * PAGE + 10));
	EXPECT_OK(rw(BASE + PAGES * PAGE - 4, 34, "0123456789012345678901234567890123", WRITES));
	EXPECT(memcmp(mem + PAGES * PAGE - 4, "0123", 4) == 0);
	EXPECT(memcmp(far, "\0\0\0" "4567890123", 14) == 0);
	EXPECT(memcmp(far + 100, "45678901234567890123", 21) == 0);
	EXPECT_OK(rw(BASE + PAGES * PAGE - 4, 34, buf, 0));
	EXPECT(memcmp(buf, "0123456789012345678901234567890123", 34) == 0);
	EXPECT_ERR(ENOENT, rw(BASE + PAGES * PAGE - 4, 35, buf, 0));
	EXPECT_ERR(ENOENT, rw(BASE + PAGES * PAGE + 30, 1, buf, 0));
}

TEST(permission, "31:TST-15", "ACCESS_RW does what the mapping allows, and what the memory allows")
{
	uint64_t r = BASE + 0x100000, w = BASE + 0x200000, c = BASE + 0x300000;
	char buf[8] = "abcdefg", *constant = test_memory(PAGE, PROT_READ, MAP_PRIVATE);

	begin();
	EXPECT_OK(ioas_map(fd, ioas, mem, PAGE, READ | FIXED, &r));
	EXPECT_OK(ioas_map(fd, ioas, mem, PAGE, WRITE | FIXED, &w));
	EXPECT_OK(ioas_map(fd, ioas, constant, PAGE, RW | FIXED, &c));
	EXPECT_OK(rw(r, 8, buf, 0));
	EXPECT_ERR(EPERM, rw(r, 8, buf, WRITES));
	EXPECT_OK(rw(w, 8, buf, WRITES));
	EXPECT_ERR(EPERM, rw(w, 8, buf, 0));
	EXPECT_OK(rw(c, 8, buf, 0));
	EXPECT_ERR(EFAULT, rw(c, 8, buf, WRITES));
	EXPECT_ERR(EFAULT, rw(c, 8, buf, WRITES | SLOW));
}

TEST(limit_of_memory, "31:TST-16", "SET_TEMP_MEMORY_LIMIT takes 12 bytes and more, of any context")
{
	struct iommu_test_cmd c = { 0 };

	begin();
	for (unsigned n = 0; n < 12; n++) {
		c.memory_limit.limit = n;
		EXPECT_ERR(EINVAL, test_cmd(fd, IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT, 0, &c));
	}
	for (unsigned n = 0; n < 3; n++) { /* the last is what Linux begins with */
		c.memory_limit.limit = n == 0 ? 12 : n == 1 ? 16 * 1024 : 65536;
		EXPECT_OK(test_cmd(fd, IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT, 0, &c));
		EXPECT_OK(ioas_map_at(fd, ioas, ram(256 * PAGE), 256 * PAGE, BASE + 0x1000000 * (n + 1)));
		mock(fd, ioas, 0);
		EXPECT_OK(ioas_unmap_n(fd, ioas, BASE + 0x1000000 * (n + 1), 256 * PAGE));
	}
}

/* ---- addresses as a fuzzer says them ---- */

#define AREA(n, offset) ((uint64_t)(offset) << 32 | (n))

TEST(by_area, "31:TST-47", "with flag 0x10000 an address is the number of an area and an offset in it")
{
	uint32_t item, syz = MOCK_FLAGS_ACCESS_SYZ;
	char buf[2] = { 0 };
	int pins;

	begin();
	EXPECT_OK(ioas_map_at(fd, ioas, mem + 5 * PAGE, PAGE, BASE - PAGE)); /* area 0 now */
	EXPECT_OK(rw(AREA(0, 0), 1, buf, syz));
	EXPECT_EQ('f', buf[0]);
	EXPECT_OK(rw(AREA(1, 2 * PAGE), 1, buf, syz));
	EXPECT_EQ('c', buf[0]);
	EXPECT_OK(rw(AREA(1, 3), 1, "X", syz | WRITES));
	EXPECT_EQ('X', mem[3]);
	EXPECT_ERR(ENOENT, rw(AREA(2, 0), 1, buf, syz));
	EXPECT_ERR(ENOENT, rw(AREA(1, PAGES * PAGE), 1, buf, syz));
	pins = EXPECT_OK(access_create(fd, ioas, PINS));
	EXPECT_OK(access_pin(fd, pins, AREA(1, PAGE), PAGE, mem + PAGE, syz, &item));
	EXPECT_ERR(EBADE, access_pin(fd, pins, AREA(1, PAGE), PAGE, mem, syz, &item));
	EXPECT_ERR(EINVAL, access_pin(fd, pins, AREA(1, 1), PAGE, mem, syz, &item));
}

TEST(copy_by_area, "31:TST-47 30:IFD-015", "IOAS_COPY takes such an address of its source; MAP does not")
{
	uint32_t syz = MOCK_FLAGS_ACCESS_SYZ, other;
	uint64_t iova = 0;
	char buf[1];

	begin();
	other = ioas_alloc(fd);
	EXPECT_ERR(EOPNOTSUPP, ioas_map(fd, ioas, mem, PAGE, RW | syz, &iova));
	EXPECT_ERR(EOPNOTSUPP, ioas_copy(fd, other, ioas, AREA(0, PAGE), PAGE, RW | syz << 1, &iova));
	EXPECT_OK(ioas_copy(fd, other, ioas, AREA(0, PAGE), 2 * PAGE, RW | syz, &iova));
	EXPECT_ERR(ENOENT, ioas_copy(fd, other, ioas, AREA(1, 0), PAGE, RW | syz, &iova));
	EXPECT_ERR(ENOENT, ioas_copy(fd, other, 99, AREA(0, 0), PAGE, RW | syz, &iova));
	EXPECT_OK(access_replace(fd, acc, other));
	EXPECT_OK(rw(iova, 1, buf, 0));
	EXPECT_EQ('b', buf[0]);
}

/* ---- whose memory it is ---- */

TEST(new_memory, "31:TST-15", "copying goes to what is at the address now, also when other pages are pinned")
{
	char buf[2 * PAGE];

	begin();
	mock(fd, ioas, 0);
	EXPECT(mmap(mem, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == mem);
	memset(mem, 'N', 2 * PAGE);
	EXPECT_OK(rw(BASE + PAGE - 1, 2, buf, 0));
	EXPECT(memcmp(buf, "NN", 2) == 0);
	EXPECT_OK(rw(BASE + 10, 1, buf, SLOW));
	EXPECT_EQ('N', buf[0]);
	EXPECT_OK(rw(BASE, 1, "W", WRITES));
	EXPECT_EQ('W', mem[0]);
	EXPECT_OK(munmap(mem, PAGE));
	EXPECT_ERR(EFAULT, rw(BASE, 1, buf, 0));
	EXPECT_ERR(EFAULT, rw(BASE, 1, buf, WRITES));
}

static int child_copies(void)
{
	char buf[2 * PAGE];

	memset(mem, 'C', 2 * PAGE); /* its own */
	if (rw(BASE, 1, buf, 0) || buf[0] != 'a')
		return 1;
	if (rw(BASE, PAGE + 1, buf, 0) || buf[0] != 'a' || buf[PAGE] != 'b')
		return 2;
	if (rw(BASE, 1, "P", WRITES) || rw(BASE + PAGE - 1, 2, "QR", WRITES))
		return 3;
	return mem[0] == 'C' && mem[PAGE] == 'C' ? 0 : 4;
}

TEST(child_copies, "31:TST-15 30:IFD-025", "a child that copies gets at its parent's memory, who mapped it")
{
	need_processes();
	begin();
	EXPECT_EQ(0, in_child(child_copies));
	EXPECT(mem[0] == 'P' && mem[PAGE - 1] == 'Q' && mem[PAGE] == 'R');
}

static int child_copies_pinned(void)
{
	char buf[2 * PAGE];

	if (rw(BASE, 1, buf, 0) || buf[0] != 'N')
		return 1;
	if (rw(BASE, PAGE + 1, buf, 0) || buf[0] != 'a' || buf[PAGE] != 'b')
		return 2;
	if (rw(BASE + 5, 1, buf, SLOW) || buf[0] != 'N')
		return 3;
	return 0;
}

TEST(child_copies_pinned, "31:TST-15", "of several pages of another's memory those that are pinned are copied, of one that is there now")
{
	need_processes();
	need_pins();
	begin();
	mock(fd, ioas, 0);
	EXPECT(mmap(mem, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == mem);
	memset(mem, 'N', 2 * PAGE);
	EXPECT_EQ(0, in_child(child_copies_pinned));
}

static int child_maps(void)
{
	char *own = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	memset(own, 'c', 2 * PAGE);
	return ioas_map_at(fd, ioas, own, 2 * PAGE, BASE + 0x100000) ? 1 : 0;
}

TEST(child_gone, "31:TST-15 30:IFD-183", "what a child mapped and nobody pinned cannot be copied when it is gone")
{
	char buf[2 * PAGE];

	need_processes();
	begin();
	EXPECT_EQ(0, in_child(child_maps));
	EXPECT_ERR(EFAULT, rw(BASE + 0x100000, 1, buf, 0));
	EXPECT_ERR(EFAULT, rw(BASE + 0x100000, PAGE + 1, buf, 0));
	EXPECT_ERR(EFAULT, rw(BASE + 0x100000, 1, "x", WRITES));
}

TEST(child_gone_pinned, "31:TST-15 30:IFD-183 31:TST-45", "what it mapped and a domain shows can")
{
	char buf[4];

	need_processes();
	need_pins();
	begin();
	mock(fd, ioas, 0);
	EXPECT_EQ(0, in_child(child_maps));
	EXPECT_OK(rw(BASE + 0x100000, 1, buf, 0));
	EXPECT_EQ('c', buf[0]);
	EXPECT_OK(rw(BASE + 0x100000 + PAGE - 1, 2, "xy", WRITES));
	EXPECT_OK(rw(BASE + 0x100000 + PAGE - 2, 4, buf, 0));
	EXPECT(memcmp(buf, "cxyc", 4) == 0);
}
