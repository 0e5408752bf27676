/* SPDX-License-Identifier: MIT */
/* Pages are known by what they are, not by where they are seen: files, processes, private copies, holes. */
#include "mock.h"
#include "process.h"

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

static int shows(uint64_t iova, uint64_t length, const void *va)
{
	return check_map(fd, dev.hwpt, iova, length, va);
}

static int refs(const void *va, uint64_t length, uint32_t n)
{
	return check_refs(fd, va, length, n);
}

/* A memory file of @n pages, each with bytes of its own */
static int memory_file(unsigned n)
{
	int file = EXPECT_OK(memfd_create("x", 0));

	for (unsigned i = 0; i < n; i++) {
		char page[PAGE];

		memset(page, (int)('a' + i), PAGE);
		EXPECT_EQ((ssize_t)PAGE, pwrite(file, page, PAGE, (off_t)(i * PAGE)));
	}
	return file;
}

/* A window on a file, at an address that ram() gives, so that it is unmapped with the test */
static char *view(int file, uint64_t start, size_t n, int prot, int flags)
{
	char *p = ram(n);

	EXPECT(mmap(p, n, prot, flags | MAP_FIXED, file, (off_t)start) == p);
	return p;
}

#define SHARED  PROT_READ | PROT_WRITE, MAP_SHARED
#define PRIVATE PROT_READ | PROT_WRITE, MAP_PRIVATE

/* ---- files ---- */

TEST(file, "31:TST-43 30:IFD-063", "what MAP_FILE maps is what any mapping of the file shows, at the same place in it")
{
	int file = memory_file(4);
	char *all = view(file, 0, 4 * PAGE, SHARED), *part = view(file, 2 * PAGE, 2 * PAGE, SHARED);
	uint64_t iova = BASE;

	begin();
	EXPECT_OK(ioas_map_file(fd, ioas, file, PAGE, 3 * PAGE, RW | FIXED, &iova));
	close(file);
	EXPECT_OK(shows(BASE, 3 * PAGE, all + PAGE));
	EXPECT_OK(shows(BASE + PAGE, 2 * PAGE, part));
	EXPECT_ERR(EINVAL, shows(BASE, PAGE, all));
	EXPECT_ERR(EINVAL, shows(BASE, PAGE, part));
	EXPECT_OK(refs(all, PAGE, 0));
	EXPECT_OK(refs(all + PAGE, 3 * PAGE, 1));
	EXPECT_OK(refs(part, 2 * PAGE, 1));
	EXPECT_OK(ioas_unmap_n(fd, ioas, BASE, 3 * PAGE));
	EXPECT_OK(refs(all, 4 * PAGE, 0));
}

TEST(file_and_memory, "31:TST-43 31:TST-10", "a file's page is one page, mapped as a file or as memory, here or there")
{
	int file = memory_file(2);
	char *one = view(file, 0, 2 * PAGE, SHARED), *two = view(file, 0, 2 * PAGE, SHARED);
	uint64_t iova = BASE + 0x10000;

	begin();
	EXPECT_OK(ioas_map_at(fd, ioas, one, 2 * PAGE, BASE));
	EXPECT_OK(shows(BASE, 2 * PAGE, two));
	EXPECT_OK(refs(two, 2 * PAGE, 1));
	EXPECT_OK(ioas_map_file(fd, ioas, file, 0, PAGE, READ | FIXED, &iova));
	EXPECT_OK(shows(iova, PAGE, one));
	EXPECT_OK(refs(two, PAGE, 2));
	EXPECT_OK(refs(two + PAGE, PAGE, 1));
	EXPECT_OK(ioas_map_at(fd, ioas, two, PAGE, BASE + 0x20000));
	EXPECT_OK(refs(one, PAGE, 3));
	EXPECT_OK(munmap(one, 2 * PAGE));
	EXPECT_OK(shows(BASE, 2 * PAGE, two));
	EXPECT_OK(refs(two, PAGE, 3));
	close(file);
}

TEST(file_halves, "31:TST-43 31:TST-31", "a file is mapped in the mock's pages")
{
	int file = memory_file(2);
	char *p = view(file, 0, 2 * PAGE, SHARED);
	uint64_t iova = BASE;

	begin();
	EXPECT_ERR(EINVAL, ioas_map_file(fd, ioas, file, 1024, PAGE, RW | FIXED, &iova));
	EXPECT_OK(ioas_map_file(fd, ioas, file, 2048, PAGE, RW | FIXED, &iova));
	EXPECT_OK(shows(BASE, PAGE, p + 2048));
	EXPECT_OK(refs(p, 2 * PAGE, 1));
	close(file);
}

TEST(file_limits, "31:TST-43 30:IFD-064 30:IFD-066", "MAP_FILE pins what is in the file, no more, and only memory files")
{
	int file = memory_file(3), plain = open("/proc/self/status", O_RDONLY);
	char *p = view(file, 0, 3 * PAGE, SHARED);
	uint64_t iova = BASE;

	begin();
	EXPECT_ERR(EINVAL, ioas_map_file(fd, ioas, file, PAGE, 3 * PAGE, RW | FIXED, &iova));
	EXPECT_ERR(EINVAL, ioas_map_file(fd, ioas, file, 3 * PAGE, PAGE, RW | FIXED, &iova));
	EXPECT_OK(refs(p, 3 * PAGE, 0));
	EXPECT_ERR(EINVAL, ioas_map_file(fd, ioas, plain, 0, PAGE, READ | FIXED, &iova));
	EXPECT_OK(ioas_map_file(fd, ioas, file, 0, 3 * PAGE, RW | FIXED, &iova));
	EXPECT_OK(shows(BASE, 3 * PAGE, p));
	close(file);
	close(plain);
}

TEST(file_truncated, "31:TST-43", "pages that a file has lost stay pinned; new ones are others")
{
	int file = memory_file(2);
	char *p = view(file, 0, 2 * PAGE, SHARED);
	uint64_t iova = BASE;

	need_page_identity();
	begin();
	EXPECT_OK(ioas_map_file(fd, ioas, file, 0, 2 * PAGE, RW | FIXED, &iova));
	EXPECT_OK(ftruncate(file, PAGE));
	EXPECT_OK(ftruncate(file, 2 * PAGE));
	EXPECT_OK(shows(BASE, PAGE, p));
	EXPECT_ERR(EINVAL, shows(BASE + PAGE, PAGE, p + PAGE));
	EXPECT_OK(refs(p, PAGE, 1));
	EXPECT_OK(refs(p + PAGE, PAGE, 0));
	close(file);
}

TEST(shared_anonymous, "31:TST-43", "memory shared without a name is known at another address, too")
{
	char *p = view(-1, 0, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS), *again = ram(PAGE);

	begin();
	memset(p, 1, 2 * PAGE);
	EXPECT_OK(ioas_map_at(fd, ioas, p, 2 * PAGE, BASE));
	EXPECT(mremap(p + PAGE, 0, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, again) == again);
	EXPECT_OK(shows(BASE + PAGE, PAGE, again));
	EXPECT_ERR(EINVAL, shows(BASE, PAGE, again));
	EXPECT_OK(refs(again, PAGE, 1));
}

/* ---- what becomes of an address ---- */

TEST(new_memory, "31:TST-43 30:IFD-061 30:IFD-078", "what is pinned stays when something else comes to its address; that is another page")
{
	int file = memory_file(2);
	char *p = view(file, 0, PAGE, SHARED), *same = view(file, 0, PAGE, SHARED);
	uint64_t iova = BASE + 0x10000;

	begin();
	EXPECT_OK(ioas_map_at(fd, ioas, p, PAGE, BASE));
	EXPECT(mmap(p, PAGE, SHARED | MAP_FIXED, file, PAGE) == p);
	EXPECT_ERR(EINVAL, shows(BASE, PAGE, p));
	EXPECT_OK(shows(BASE, PAGE, same));
	EXPECT_OK(refs(p, PAGE, 0));
	EXPECT_OK(refs(same, PAGE, 1));
	EXPECT_OK(munmap(p, PAGE));
	EXPECT_ERR(EFAULT, shows(BASE, PAGE, p));
	EXPECT_OK(ioas_copy(fd, ioas, ioas, BASE, PAGE, RW | FIXED, &iova));
	EXPECT_OK(shows(iova, PAGE, same));
	EXPECT_OK(refs(same, PAGE, 1));
	close(file);
}

TEST(new_private_memory, "31:TST-44 30:IFD-061", "also of private memory, which nobody else can see")
{
	char *p = ram(2 * PAGE);

	need_page_identity();
	begin();
	memset(p, 1, 2 * PAGE);
	EXPECT_OK(ioas_map_at(fd, ioas, p, 2 * PAGE, BASE));
	EXPECT(mmap(p, PAGE, PRIVATE | MAP_FIXED | MAP_ANONYMOUS, -1, 0) == p);
	memset(p, 2, PAGE);
	EXPECT_ERR(EINVAL, shows(BASE, PAGE, p));
	EXPECT_OK(refs(p, PAGE, 0));
	EXPECT_OK(shows(BASE + PAGE, PAGE, p + PAGE));
	EXPECT_OK(ioas_map_at(fd, ioas, p, PAGE, BASE + 0x10000));
	EXPECT_OK(shows(BASE + 0x10000, PAGE, p));
	EXPECT_OK(refs(p, 2 * PAGE, 1));
}

TEST(dropped, "31:TST-44", "a page the program has dropped stays pinned; what it touches next is another")
{
	char *p = ram(2 * PAGE);

	need_page_identity();
	begin();
	memset(p, 1, 2 * PAGE);
	EXPECT_OK(ioas_map_at(fd, ioas, p, 2 * PAGE, BASE));
	EXPECT_OK(madvise(p, PAGE, MADV_DONTNEED));
	EXPECT_EQ(0, p[0]);
	p[0] = 1;
	EXPECT_ERR(EINVAL, shows(BASE, PAGE, p));
	EXPECT_OK(refs(p, PAGE, 0));
	EXPECT_OK(refs(p + PAGE, PAGE, 1));
}

TEST(moved, "31:TST-43", "private memory that is moved is the same memory")
{
	char *p = ram(2 * PAGE), *to = ram(2 * PAGE);

	need_page_identity();
	begin();
	memset(p, 1, 2 * PAGE);
	EXPECT_OK(ioas_map_at(fd, ioas, p, 2 * PAGE, BASE));
	EXPECT(mremap(p, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
	EXPECT_OK(shows(BASE, 2 * PAGE, to));
	EXPECT_OK(refs(to, 2 * PAGE, 1));
	EXPECT_ERR(EFAULT, shows(BASE, 2 * PAGE, p));
}

/* ---- private copies ---- */

TEST(untouched, "31:TST-44", "memory never touched is pinned as what it will be, for reading too")
{
	char *p = ram(2 * PAGE);
	uint64_t iova = BASE;

	begin();
	EXPECT_OK(ioas_map(fd, ioas, p, PAGE, READ | FIXED, &iova));
	EXPECT_OK(ioas_map_at(fd, ioas, p + PAGE, PAGE, BASE + PAGE));
	EXPECT_OK(shows(BASE, 2 * PAGE, p));
	EXPECT_OK(refs(p, 2 * PAGE, 1));
	p[0] = 1;
	p[PAGE] = 1;
	EXPECT_OK(shows(BASE, 2 * PAGE, p));
	EXPECT_OK(refs(p, 2 * PAGE, 1));
}

TEST(private_file, "31:TST-44", "pinning a private mapping of a file makes the copy, which writing then keeps; the file's page is another")
{
	int file = memory_file(2);
	char *own = view(file, 0, 2 * PAGE, PRIVATE), *shared = view(file, 0, 2 * PAGE, SHARED);
	uint64_t iova = BASE;

	begin();
	EXPECT_OK(ioas_map(fd, ioas, own, PAGE, READ | FIXED, &iova));
	EXPECT_OK(shows(BASE, PAGE, own));
	EXPECT_ERR(EINVAL, shows(BASE, PAGE, shared));
	EXPECT_OK(refs(own, PAGE, 1));
	EXPECT_OK(refs(shared, PAGE, 0));
	own[0] = 'W';
	EXPECT_OK(shows(BASE, PAGE, own));
	EXPECT_OK(refs(own, PAGE, 1));
	EXPECT_EQ('a', shared[0]);
	shared[1] = 'S';
	EXPECT_EQ('a', own[1]);
	close(file);
}

TEST(private_unwritten, "31:TST-44", "a private mapping that was neither written nor pinned shows the file's pages")
{
	int file = memory_file(1);
	char *own = view(file, 0, PAGE, PRIVATE);
	uint64_t iova = BASE;

	need_page_identity();
	begin();
	EXPECT_OK(ioas_map_file(fd, ioas, file, 0, PAGE, RW | FIXED, &iova));
	EXPECT_EQ('a', own[0]);
	EXPECT_OK(shows(BASE, PAGE, own));
	EXPECT_OK(refs(own, PAGE, 1));
	own[0] = 'W';
	EXPECT_ERR(EINVAL, shows(BASE, PAGE, own));
	EXPECT_OK(refs(own, PAGE, 0));
	close(file);
}

TEST(read_only_file, "31:TST-44", "read-only private memory of a file can be pinned for reading")
{
	int file = memory_file(1);
	char *own = view(file, 0, PAGE, PROT_READ, MAP_PRIVATE);
	uint64_t iova = BASE;

	begin();
	EXPECT_ERR(EFAULT, ioas_map_at(fd, ioas, own, PAGE, BASE));
	EXPECT_OK(ioas_map(fd, ioas, own, PAGE, READ | FIXED, &iova));
	EXPECT_OK(shows(BASE, PAGE, own));
	EXPECT_OK(refs(own, PAGE, 1));
	EXPECT_OK(mprotect(own, PAGE, PROT_READ | PROT_WRITE));
	own[0] = 'W';
	EXPECT_OK(shows(BASE, PAGE, own));
	close(file);
}

/* ---- processes ---- */

static char *mem;

/* What a child says that is not so: @n */
#define SAY(n, c)                                                                                                     \
	do {                                                                                                          \
		if (!(c))                                                                                             \
			return n;                                                                                     \
	} while (0)

static bool is(int want, int rc)
{
	return want ? rc == -1 && errno == want : rc == 0;
}

static int file_of_child = -1;

static int child_sees_file(void)
{
	char *p = mmap(NULL, 2 * PAGE, SHARED, file_of_child, 0);

	SAY(1, is(0, shows(BASE, 2 * PAGE, p)));
	SAY(2, is(0, shows(BASE, 2 * PAGE, mem)));
	SAY(3, is(EINVAL, shows(BASE, PAGE, p + PAGE)));
	SAY(4, is(0, refs(p, 2 * PAGE, 1)));
	SAY(5, is(0, ioas_map_at(fd, ioas, p, PAGE, BASE + 0x10000)));
	SAY(6, is(0, refs(mem, PAGE, 2)));
	return 0;
}

TEST(child_file, "31:TST-43 31:TST-45 30:IFD-025", "a child sees the pages of a file as its parent does, and what it pins stays after it")
{
	need_processes();
	file_of_child = memory_file(2);
	mem = view(file_of_child, 0, 2 * PAGE, SHARED);
	begin();
	EXPECT_OK(ioas_map_at(fd, ioas, mem, 2 * PAGE, BASE));
	EXPECT_EQ(0, in_child(child_sees_file));
	EXPECT_OK(shows(BASE + 0x10000, PAGE, mem));
	EXPECT_OK(refs(mem, PAGE, 2));
	EXPECT_OK(refs(mem + PAGE, PAGE, 1));
	EXPECT_OK(ioas_unmap_n(fd, ioas, BASE + 0x10000, PAGE));
	EXPECT_OK(refs(mem, 2 * PAGE, 1));
	close(file_of_child);
}

static int child_sees_copy(void)
{
	SAY(1, is(EINVAL, shows(BASE, PAGE, mem)));
	SAY(2, is(0, refs(mem, 2 * PAGE, 0)));
	mem[0] = 'c';
	SAY(3, is(EINVAL, shows(BASE, PAGE, mem)));
	return 0;
}

TEST(forked_after, "31:TST-44", "private memory that is pinned stays its owner's when it forks, and writes")
{
	need_processes();
	mem = ram(2 * PAGE);
	memset(mem, 'p', 2 * PAGE);
	begin();
	EXPECT_OK(ioas_map_at(fd, ioas, mem, 2 * PAGE, BASE));
	EXPECT_EQ(0, in_child(child_sees_copy));
	EXPECT_EQ('p', mem[0]);
	EXPECT_OK(shows(BASE, 2 * PAGE, mem));
	mem[0] = 'q';
	EXPECT_OK(shows(BASE, 2 * PAGE, mem));
	EXPECT_OK(refs(mem, 2 * PAGE, 1));
}

static uint32_t how;

static int child_maps_inherited(void)
{
	uint64_t iova = BASE;

	SAY(1, is(0, ioas_map(fd, ioas, mem, 2 * PAGE, how | FIXED, &iova)));
	SAY(2, is(0, shows(BASE, 2 * PAGE, mem)));
	SAY(3, is(0, refs(mem, 2 * PAGE, 1)));
	mem[0] = 'c';
	SAY(4, is(0, shows(BASE, 2 * PAGE, mem)));
	SAY(5, is(0, refs(mem, 2 * PAGE, 1)));
	return 0;
}

TEST(forked_before, "31:TST-44 31:TST-45", "what a child pins of memory it got by fork is its own, for reading and for writing")
{
	need_processes();
	for (how = READ; how; how = how == READ ? RW : 0) {
		mem = ram(2 * PAGE);
		memset(mem, 'p', 2 * PAGE);
		begin();
		EXPECT_EQ(0, in_child(child_maps_inherited));
		EXPECT_EQ('p', mem[0]);
		EXPECT_ERR(EINVAL, shows(BASE, PAGE, mem));
		EXPECT_OK(refs(mem, 2 * PAGE, 0));
		mem[0] = 'q';
		EXPECT_ERR(EINVAL, shows(BASE, PAGE, mem));
		EXPECT_OK(ioas_unmap_n(fd, ioas, BASE, 2 * PAGE));
	}
}

static int child_maps(void)
{
	return ioas_map_at(fd, ioas, mem, PAGE, BASE) ? 1 : 0;
}

TEST(child_gone, "31:TST-45 30:IFD-183", "what a child mapped stays pinned as long as a domain shows it, and a copy has it too; unpinned it is lost")
{
	uint64_t iova = BASE;
	uint32_t other;

	need_processes();
	mem = view(-1, 0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS);
	mem[0] = 1;
	begin();
	EXPECT_EQ(0, in_child(child_maps));
	EXPECT_OK(shows(BASE, PAGE, mem));
	EXPECT_OK(refs(mem, PAGE, 1));
	other = ioas_alloc(fd);
	mock(fd, other, 0);
	EXPECT_OK(ioas_copy(fd, other, ioas, BASE, PAGE, RW | FIXED, &iova));
	EXPECT_OK(refs(mem, PAGE, 1));
	EXPECT_OK(destroy(fd, dev.stdev));
	EXPECT_OK(refs(mem, PAGE, 1));
	dev = mock(fd, ioas, 0);
	EXPECT_OK(shows(BASE, PAGE, mem));
	EXPECT_OK(destroy(fd, dev.stdev));
	EXPECT_OK(ioas_unmap_n(fd, other, BASE, PAGE));
	EXPECT_OK(refs(mem, PAGE, 0));
	EXPECT_ERR(EFAULT, mock_create(fd, ioas, 0, &dev));
}
