/* SPDX-License-Identifier: MIT */
/* Accesses of IOMMU_TEST_CMD: what the kernel's own users of an IOAS may pin, read and write. */
#include "mock.h"

#define BASE   MOCK_APERTURE_START
#define WRITES MOCK_FLAGS_ACCESS_WRITE
#define LIMIT  (16ull << 20)

static int fd;
static uint32_t ioas;
static char *mem; /* PAGES pages of program memory, each of its own bytes, mapped at BASE */
#define PAGES 8

static void begin(void)
{
	mem = ram(PAGES * PAGE);
	for (unsigned i = 0; i < PAGES; i++)
		memset(mem + i * PAGE, (int)('a' + i), PAGE);
	fd = iommu_open();
	ioas = ioas_alloc(fd);
	EXPECT_OK(ioas_map_at(fd, ioas, mem, PAGES * PAGE, BASE));
}

static int access_new(uint32_t flags)
{
	return EXPECT_OK(access_create(fd, ioas, flags));
}

static uint32_t pin(int access, unsigned page, unsigned count)
{
	uint32_t item = 77;

	EXPECT_OK(access_pin(fd, access, BASE + page * PAGE, count * PAGE, mem + page * PAGE, 0, &item));
	return item;
}

/* ---- descriptors ---- */

TEST(create, "31:TST-11", "CREATE_ACCESS: an IOAS, one flag, a descriptor that exec closes")
{
	struct mock m;
	int a;

	begin();
	m = mock(fd, ioas, 0);
	EXPECT_ERR(EOPNOTSUPP, access_create(fd, ioas, 2));
	EXPECT_ERR(EOPNOTSUPP, access_create(fd, ioas, PINS | 0x80000000));
	EXPECT_ERR(EOPNOTSUPP, access_create(fd, 99, 2));
	EXPECT_ERR(ENOENT, access_create(fd, 99, PINS));
	EXPECT_ERR(ENOENT, access_create(fd, 0, 0));
	EXPECT_ERR(ENOENT, access_create(fd, m.hwpt, 0));
	EXPECT_ERR(ENOENT, access_create(fd, m.dev, PINS));
	a = access_new(0);
	if (test_door() != DOOR_CAPI) /* whose numbers are no descriptors */
		EXPECT_EQ(FD_CLOEXEC, fcntl(a, F_GETFD));
	EXPECT_OK(x_close(a));
	a = access_new(PINS);
	EXPECT_OK(x_close(a));
}

TEST(unwritable, "31:TST-11", "an access that cannot be told is not made")
{
	struct iommu_test_cmd *c = ram(PAGE);
	uint32_t next;

	begin();
	next = next_id(fd);
	*c = (struct iommu_test_cmd){ .size = sizeof(*c), .op = IOMMU_TEST_OP_CREATE_ACCESS, .id = ioas };
	EXPECT_OK(mprotect(c, PAGE, PROT_READ));
	EXPECT_ERR(EFAULT, x_ioctl(fd, IOMMU_TEST_CMD, c));
	EXPECT_EQ(next, next_id(fd));
	EXPECT_OK(destroy(fd, ioas));
}

TEST(holds_ioas, "31:TST-11 30:IFD-019", "an access holds its IOAS until it is closed")
{
	int a;

	begin();
	a = access_new(0);
	EXPECT_ERR(EBUSY, destroy(fd, ioas));
	EXPECT_OK(x_close(a));
	EXPECT_OK(destroy(fd, ioas));
}

TEST(no_access, "31:TST-12", "what wants an access takes no other descriptor: EBADFD")
{
	int file = memfd_create("x", 0), a, bad[5];
	uint32_t item = 0;

	begin();
	a = access_new(PINS);
	EXPECT_OK(x_close(a));
	bad[0] = a;
	bad[1] = -1;
	bad[2] = 999;
	bad[3] = fd;
	bad[4] = test_door() == DOOR_CAPI ? 999 : file;
	for (unsigned i = 0; i < 5; i++) {
		EXPECT_ERR(EBADFD, access_pin(fd, bad[i], BASE, PAGE, mem, 0, &item));
		EXPECT_ERR(EBADFD, access_unpin(fd, bad[i], 0));
		EXPECT_ERR(EBADFD, access_rw(fd, bad[i], BASE, PAGE, mem, 0));
		EXPECT_ERR(EBADFD, access_replace(fd, bad[i], ioas));
	}
	EXPECT_ERR(EBADFD, access_pin(fd, (int)ioas, BASE, PAGE, mem, 0, &item));
	close(file);
}

TEST(any_context, "31:TST-11 31:TST-12", "an access is known by its descriptor, whichever context is asked")
{
	int other, a;
	uint32_t item = 0;

	begin();
	a = access_new(PINS);
	other = iommu_open();
	EXPECT_OK(access_pin(other, a, BASE, PAGE, mem, 0, &item));
	EXPECT_OK(check_refs(fd, mem, PAGE, 1));
	EXPECT_OK(access_unpin(other, a, item));
	EXPECT_OK(check_refs(fd, mem, PAGE, 0));
}

TEST(keeps_context, "31:TST-11 31:TST-06 30:IFD-024", "an access keeps a closed context alive, with its mappings and pins, until it is closed itself")
{
	char buf[8] = { 0 };
	int a, other;

	begin();
	a = access_new(PINS);
	pin(a, 0, 2);
	EXPECT_OK(x_close(fd));
	other = iommu_open();
	EXPECT_OK(check_refs(other, mem, 2 * PAGE, 1));
	EXPECT_OK(access_rw(other, a, BASE + PAGE, 8, buf, 0));
	EXPECT_EQ('b', buf[7]);
	EXPECT_OK(x_close(a));
	EXPECT_OK(check_refs(other, mem, 2 * PAGE, 0));
}

TEST(close_unpins, "31:TST-11", "closing an access releases what it has pinned")
{
	int a, b;

	begin();
	a = access_new(PINS);
	b = access_new(PINS);
	pin(a, 0, 4);
	pin(a, 2, 4);
	pin(b, 3, 1);
	EXPECT_OK(check_refs(fd, mem, 6 * PAGE, 1));
	EXPECT_OK(x_close(a));
	EXPECT_OK(check_refs(fd, mem, 3 * PAGE, 0));
	EXPECT_OK(check_refs(fd, mem + 3 * PAGE, PAGE, 1));
	EXPECT_OK(check_refs(fd, mem + 4 * PAGE, 2 * PAGE, 0));
	EXPECT_OK(x_close(b));
	EXPECT_OK(check_refs(fd, mem, 6 * PAGE, 0));
}

/* ---- pins ---- */

TEST(pin_arguments, "31:TST-13", "ACCESS_PAGES: at most 16 MiB, known flags, and an access made for it; in this order")
{
	uint32_t item = 0, unknown = 1u << 17;
	int a, plain;

	begin();
	a = access_new(PINS);
	plain = access_new(0);
	EXPECT_ERR(ENOMEM, access_pin(fd, a, BASE, LIMIT + 1, mem, unknown, &item));
	EXPECT_ERR(ENOMEM, access_pin(fd, -1, BASE, ALL, mem, unknown, &item));
	EXPECT_ERR(EOPNOTSUPP, access_pin(fd, a, BASE, PAGE, mem, unknown, &item));
	EXPECT_ERR(EOPNOTSUPP, access_pin(fd, a, BASE, PAGE, mem, 2, &item));
	EXPECT_ERR(EOPNOTSUPP, access_pin(fd, -1, BASE, PAGE, mem, unknown, &item));
	EXPECT_ERR(EOPNOTSUPP, access_pin(fd, plain, BASE, PAGE, mem, 0, &item));
	EXPECT_ERR(EOPNOTSUPP, access_pin(fd, plain, BASE, 0, mem, 0, &item));
	EXPECT_ERR(ENOENT, access_pin(fd, a, BASE, LIMIT, mem, 0, &item));
	EXPECT_OK(access_pin(fd, a, BASE, PAGE, mem, 0, &item));
	EXPECT_EQ(0, item);
}

TEST(pin_ranges, "31:TST-13 30:IFD-182", "a pin begins where a page begins, and lies in what is mapped; its length is any")
{
	uint32_t item = 0;
	int a;

	begin();
	a = access_new(PINS);
	EXPECT_ERR(EINVAL, access_pin(fd, a, BASE, 0, mem, 0, &item));
	EXPECT_ERR(EOVERFLOW, access_pin(fd, a, ALL, 2, mem, 0, &item));
	EXPECT_ERR(ENOENT, access_pin(fd, a, BASE - PAGE, PAGE, NULL, 0, &item));
	EXPECT_ERR(ENOENT, access_pin(fd, a, BASE - PAGE, 2 * PAGE, NULL, 0, &item));
	EXPECT_ERR(ENOENT, access_pin(fd, a, BASE, PAGES * PAGE + 1, NULL, 0, &item));
	EXPECT_ERR(EINVAL, access_pin(fd, a, BASE + 1, PAGE, NULL, 0, &item));
	EXPECT_ERR(EINVAL, access_pin(fd, a, BASE + 2048, 2048, NULL, 0, &item));
	EXPECT_OK(check_refs(fd, mem, PAGES * PAGE, 0));
	EXPECT_OK(access_pin(fd, a, BASE + PAGE, 1, mem + PAGE, 0, &item));
	EXPECT_OK(access_pin(fd, a, BASE + 2 * PAGE, PAGE + 1, mem + 2 * PAGE, 0, &item));
	EXPECT_OK(check_refs(fd, mem + PAGE, 3 * PAGE, 1));
	EXPECT_OK(check_refs(fd, mem + 4 * PAGE, PAGE, 0));
}

TEST(pin_across, "31:TST-13 30:IFD-182", "a pin runs over areas that adjoin, when they meet at whole pages")
{
	uint32_t item = 0;
	char *far;
	int a;

	begin();
	far = ram(2 * PAGE);
	memset(far, 'z', 2 * PAGE);
	a = access_new(PINS);
	EXPECT_OK(ioas_map_at(fd, ioas, far, 2 * PAGE, BASE + PAGES * PAGE));
	EXPECT_OK(access_pin(fd, a, BASE + (PAGES - 1) * PAGE, 3 * PAGE, NULL, 0, &item));
	EXPECT_OK(check_refs(fd, mem + (PAGES - 1) * PAGE, PAGE, 1));
	EXPECT_OK(check_refs(fd, far, 2 * PAGE, 1));
	EXPECT_OK(access_unpin(fd, a, item));
	EXPECT_OK(check_refs(fd, mem, PAGES * PAGE, 0));
	EXPECT_OK(check_refs(fd, far, 2 * PAGE, 0));
	EXPECT_OK(ioas_unmap_n(fd, ioas, BASE + PAGES * PAGE, 2 * PAGE));
	EXPECT_OK(ioas_map_at(fd, ioas, (char *)0x1000, PAGE, BASE + PAGES * PAGE));
	EXPECT_ERR(EFAULT, access_pin(fd, a, BASE, (PAGES + 1) * PAGE, NULL, 0, &item));
	EXPECT_OK(check_refs(fd, mem, PAGES * PAGE, 0));
}

TEST(align, "31:TST-13 30:IFD-030", "an access that pins needs whole pages in its IOAS, one that does not needs nothing")
{
	int a;

	begin();
	EXPECT_OK(ioas_map_at(fd, ioas, mem, 100, 0x10010));
	a = access_new(0);
	expect_range(fd, ioas, 0, ALL, 1);
	EXPECT_ERR(EADDRINUSE, access_create(fd, ioas, PINS));
	EXPECT_OK(ioas_unmap_n(fd, ioas, 0x10010, 100));
	EXPECT_OK(x_close(a));
	a = access_new(PINS);
	expect_range(fd, ioas, 0, ALL, PAGE);
	EXPECT_ERR(EINVAL, ioas_map_at(fd, ioas, mem, 100, 0x10010));
	EXPECT_OK(x_close(a));
	expect_range(fd, ioas, 0, ALL, 1);
}

TEST(items, "31:TST-14", "pins are numbered from 0 on in each access, and no number comes again")
{
	int a, b;

	begin();
	a = access_new(PINS);
	b = access_new(PINS);
	EXPECT_EQ(0, pin(a, 0, 1));
	EXPECT_EQ(1, pin(a, 0, 1));
	EXPECT_EQ(0, pin(b, 0, 1));
	EXPECT_OK(check_refs(fd, mem, PAGE, 1));
	EXPECT_OK(access_unpin(fd, a, 0));
	EXPECT_ERR(ENOENT, access_unpin(fd, a, 0));
	EXPECT_EQ(2, pin(a, 1, 1));
	EXPECT_ERR(ENOENT, access_unpin(fd, a, 3));
	EXPECT_ERR(ENOENT, access_unpin(fd, b, 1));
	EXPECT_OK(access_unpin(fd, a, 1));
	EXPECT_OK(check_refs(fd, mem, PAGE, 1));
	EXPECT_OK(access_unpin(fd, b, 0));
	EXPECT_OK(check_refs(fd, mem, PAGE, 0));
	EXPECT_OK(access_unpin(fd, a, 2));
}

TEST(other_pages, "31:TST-14", "ACCESS_PAGES compares the pages with those it is told: EBADE, and nothing stays pinned")
{
	uint32_t item = 0;
	int a;

	begin();
	a = access_new(PINS);
	EXPECT_ERR(EBADE, access_pin(fd, a, BASE, PAGE, mem + PAGE, 0, &item));
	EXPECT_ERR(EBADE, access_pin(fd, a, BASE, 2 * PAGE, mem + PAGE, 0, &item));
	EXPECT_ERR(EFAULT, access_pin(fd, a, BASE, PAGE, (char *)0x1000, 0, &item));
	EXPECT_OK(check_refs(fd, mem, PAGES * PAGE, 0));
	EXPECT_OK(access_pin(fd, a, BASE, PAGE, NULL, 0, &item));
}

TEST(pin_permission, "31:TST-13 30:IFD-182", "a pin for writing wants a mapping for writing, one for reading a mapping for reading")
{
	uint64_t r = BASE + 0x100000, w = BASE + 0x200000;
	uint32_t item = 0;
	int a;

	begin();
	EXPECT_OK(ioas_map(fd, ioas, mem, PAGE, READ | FIXED, &r));
	EXPECT_OK(ioas_map(fd, ioas, mem, PAGE, WRITE | FIXED, &w));
	a = access_new(PINS);
	EXPECT_OK(access_pin(fd, a, r, PAGE, mem, 0, &item));
	EXPECT_ERR(EPERM, access_pin(fd, a, r, PAGE, mem, WRITES, &item));
	EXPECT_OK(access_pin(fd, a, w, PAGE, mem, WRITES, &item));
	EXPECT_ERR(EPERM, access_pin(fd, a, w, PAGE, mem, 0, &item));
	EXPECT_OK(access_pin(fd, a, BASE, PAGE, mem, WRITES, &item));
}

/* ---- pins and the IOAS ---- */

TEST(unmap_revokes, "30:IFD-180 31:TST-14", "UNMAP has accesses let go of what it removes, whole pins and those of others left")
{
	uint64_t far = BASE + 0x100000;
	uint32_t inside, over, other = 0;
	int a, b;

	begin();
	EXPECT_OK(ioas_map_at(fd, ioas, mem, PAGE, far));
	a = access_new(PINS);
	b = access_new(PINS);
	inside = pin(a, 1, 2);
	over = pin(b, 0, PAGES);
	EXPECT_OK(access_pin(fd, a, far, PAGE, mem, 0, &other));
	EXPECT_OK(check_refs(fd, mem, PAGE, 2));
	EXPECT_OK(ioas_unmap_n(fd, ioas, BASE, PAGES * PAGE));
	EXPECT_OK(check_refs(fd, mem, PAGE, 1));
	EXPECT_OK(check_refs(fd, mem + PAGE, (PAGES - 1) * PAGE, 0));
	EXPECT_ERR(ENOENT, access_unpin(fd, a, inside));
	EXPECT_ERR(ENOENT, access_unpin(fd, b, over));
	EXPECT_OK(access_unpin(fd, a, other));
	EXPECT_OK(check_refs(fd, mem, PAGE, 0));
}

TEST(pins_in_domain, "30:IFD-180 31:TST-10", "what a domain shows is pinned once, whoever else pins it")
{
	struct mock m;
	int a;

	begin();
	a = access_new(PINS);
	pin(a, 0, 2);
	m = mock(fd, ioas, 0);
	EXPECT_OK(check_refs(fd, mem, PAGES * PAGE, 1));
	pin(a, 1, 2);
	EXPECT_OK(check_refs(fd, mem, PAGES * PAGE, 1));
	EXPECT_OK(destroy(fd, m.stdev));
	EXPECT_OK(check_refs(fd, mem, 3 * PAGE, 1));
	EXPECT_OK(check_refs(fd, mem + 3 * PAGE, (PAGES - 3) * PAGE, 0));
	EXPECT_OK(x_close(a));
	EXPECT_OK(check_refs(fd, mem, PAGES * PAGE, 0));
}

TEST(replace, "31:TST-18 30:IFD-181", "ACCESS_REPLACE_IOAS moves an access; its pins are gone, and the old IOAS is free")
{
	uint32_t other, item = 0;
	char buf[8];
	int a;

	begin();
	other = ioas_alloc(fd);
	EXPECT_OK(ioas_map_at(fd, other, mem + PAGE, PAGE, BASE));
	a = access_new(PINS);
	item = pin(a, 0, 2);
	EXPECT_ERR(EBUSY, destroy(fd, ioas));
	EXPECT_OK(destroy(fd, other));
	other = ioas_alloc(fd);
	EXPECT_OK(ioas_map_at(fd, other, mem + PAGE, PAGE, BASE));
	EXPECT_OK(access_replace(fd, a, other));
	EXPECT_OK(check_refs(fd, mem, PAGES * PAGE, 0));
	EXPECT_ERR(ENOENT, access_unpin(fd, a, item));
	EXPECT_OK(destroy(fd, ioas));
	EXPECT_ERR(EBUSY, destroy(fd, other));
	EXPECT_OK(access_pin(fd, a, BASE, PAGE, mem + PAGE, 0, &item));
	EXPECT_OK(access_rw(fd, a, BASE, 8, buf, 0));
	EXPECT_EQ('b', buf[0]);
}

TEST(replace_fails, "31:TST-18", "an access that cannot move stays, with its pins")
{
	uint32_t other, item = 0;
	struct mock m;
	int a;

	begin();
	m = mock(fd, ioas, 0);
	other = ioas_alloc(fd);
	EXPECT_OK(ioas_map_at(fd, other, mem, 100, 0x1000));
	a = access_new(PINS);
	item = pin(a, 0, 1);
	EXPECT_OK(destroy(fd, m.stdev));
	EXPECT_ERR(ENOENT, access_replace(fd, a, 0));
	EXPECT_ERR(ENOENT, access_replace(fd, a, 99));
	EXPECT_ERR(EADDRINUSE, access_replace(fd, a, other));
	EXPECT_OK(destroy(fd, other));
	EXPECT_ERR(EBUSY, destroy(fd, ioas));
	EXPECT_OK(check_refs(fd, mem, PAGE, 1));
	EXPECT_OK(access_unpin(fd, a, item));
}

TEST(replace_itself, "31:TST-18", "an access that is moved to where it is keeps its pins")
{
	uint32_t item = 0;
	int a;

	begin();
	a = access_new(PINS);
	item = pin(a, 0, 1);
	EXPECT_OK(access_replace(fd, a, ioas));
	EXPECT_OK(check_refs(fd, mem, PAGE, 1));
	EXPECT_OK(access_unpin(fd, a, item));
}

TEST(replace_foreign, "31:TST-18 31:TST-12", "an access moves only within its context, and other ids are ENOENT")
{
	struct mock m;
	int a, other;

	begin();
	m = mock(fd, ioas, 0);
	a = access_new(0);
	other = iommu_open();
	for (int i = 0; i < 20; i++)
		ioas_alloc(other);
	EXPECT_ERR(ENOENT, access_replace(other, a, 20));
	EXPECT_OK(access_replace(other, a, ioas));
	EXPECT_ERR(ENOENT, access_replace(fd, a, m.hwpt));
	EXPECT_ERR(ENOENT, access_replace(fd, a, m.stdev));
}
