/* SPDX-License-Identifier: MIT */
/* Mock devices of IOMMU_TEST_CMD: how they come, where they attach, what their IOMMU can, how they go. */
#include "mock.h"

static int fd;
static uint32_t ioas;

static void begin(void)
{
	fd = iommu_open();
	ioas = ioas_alloc(fd);
}

/* ---- the request itself ---- */

TEST(operations, "31:TST-30", "an operation that is not known is EOPNOTSUPP, whatever else is said")
{
	static const uint32_t bad[] = { 0, 24, 100, UINT32_MAX };
	struct iommu_test_cmd c;

	begin();
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		memset(&c, 0xff, sizeof(c));
		EXPECT_ERR(EOPNOTSUPP, test_cmd(fd, bad[i], ioas, &c));
	}
}

TEST(sizes, "31:TST-30 30:IFD-010 30:IFD-011 30:IFD-012", "the request is 68 bytes at least; what it does not know must be zeros")
{
	struct {
		struct iommu_test_cmd c;
		char tail[8];
	} x = { 0 };

	begin();
	for (x.c.size = 0; x.c.size < IOMMU_TEST_CMD_MIN; x.c.size++)
		EXPECT_ERR(EINVAL, x_ioctl(fd, IOMMU_TEST_CMD, &x));
	x.c.op = IOMMU_TEST_OP_ADD_RESERVED;
	x.c.id = ioas;
	x.c.add_reserved.length = PAGE;
	for (; x.c.size <= sizeof(x); x.c.size++)
		EXPECT_OK(x_ioctl(fd, IOMMU_TEST_CMD, &x));
	x.c.size = sizeof(x);
	x.tail[7] = 1;
	EXPECT_ERR(E2BIG, x_ioctl(fd, IOMMU_TEST_CMD, &x));
	x.c.op = 99;
	EXPECT_ERR(E2BIG, x_ioctl(fd, IOMMU_TEST_CMD, &x));
	EXPECT_ERR(EFAULT, x_ioctl(fd, IOMMU_TEST_CMD, NULL));
	EXPECT_ERR(EFAULT, x_ioctl(fd, 0xc0000000 | IOMMU_TEST_CMD, NULL));
	EXPECT_ERR(ENOTTY, x_ioctl(fd, 0xc0000000 | IOMMU_TEST_CMD, &x));
}

TEST(unchecked, "31:TST-30", "the reserved field and the last word mean nothing")
{
	struct iommu_test_cmd c = { .__reserved = 7, .last = 9, .add_reserved = { .length = PAGE } };

	begin();
	EXPECT_OK(test_cmd(fd, IOMMU_TEST_OP_ADD_RESERVED, ioas, &c));
}

/* ---- reserved ranges ---- */

TEST(reserved_range, "31:TST-01", "ADD_RESERVED: nothing, a wrap, no such IOAS")
{
	begin();
	EXPECT_ERR(EINVAL, add_reserved(fd, ioas, 0x1000, 0));
	EXPECT_ERR(EINVAL, add_reserved(fd, ioas, 0, 0));
	EXPECT_ERR(EOVERFLOW, add_reserved(fd, ioas, ALL, 2));
	EXPECT_ERR(EOVERFLOW, add_reserved(fd, ioas, 0x1000, ALL));
	EXPECT_ERR(ENOENT, add_reserved(fd, ioas + 1, 0x1000, PAGE));
	EXPECT_ERR(ENOENT, add_reserved(fd, 0, 0x1000, PAGE));
	EXPECT_OK(add_reserved(fd, ioas, ~0xfffull, PAGE));
	EXPECT_OK(add_reserved(fd, ioas, 0x1001, 1));
}

TEST(reserved_order, "31:TST-01", "ADD_RESERVED looks at the length, then for the IOAS")
{
	struct mock m;

	begin();
	m = mock(fd, ioas, 0);
	EXPECT_ERR(EINVAL, add_reserved(fd, 99, 0x1000, 0));
	EXPECT_ERR(EOVERFLOW, add_reserved(fd, 99, ALL, 2));
	EXPECT_ERR(ENOENT, add_reserved(fd, m.hwpt, 0x1000, PAGE));
	EXPECT_ERR(ENOENT, add_reserved(fd, m.stdev, 0x1000, PAGE));
}

TEST(reserved_hole, "31:TST-02 30:IFD-029", "what is reserved is left out of the ranges, once, however often it is reserved")
{
	struct iommu_iova_range r[2];
	uint64_t align;

	begin();
	EXPECT_OK(add_reserved(fd, ioas, 0x10000, 0x1000));
	EXPECT_OK(add_reserved(fd, ioas, 0x10800, 0x1000));
	EXPECT_OK(add_reserved(fd, ioas, 0x10000, 0x1000));
	EXPECT_EQ(2, ranges(fd, ioas, r, &align));
	EXPECT(r[0].start == 0 && r[0].last == 0xffff && r[1].start == 0x11800 && r[1].last == ALL);
	EXPECT_EQ(1, align);
	EXPECT_OK(add_reserved(fd, ioas, 0, 0x10000));
	expect_range(fd, ioas, 0x11800, ALL, 1);
	EXPECT_OK(add_reserved(fd, ioas, 0, ALL));
	expect_range(fd, ioas, ALL, ALL, 1);
	EXPECT_OK(add_reserved(fd, ioas, ALL, 1));
	EXPECT_EQ(0, ranges(fd, ioas, r, &align));
}

TEST(reserved_use, "31:TST-02 30:IFD-046 30:IFD-053", "nothing is mapped where it is reserved, and nothing reserved where it is mapped or allowed")
{
	struct iommu_iova_range allow = { 0x100000, 0x1fffff };
	char *p = (char *)0x40000000;
	uint64_t iova = 0;

	begin();
	EXPECT_OK(ioas_map_at(fd, ioas, p, PAGE, 0x10000));
	EXPECT_ERR(EADDRINUSE, add_reserved(fd, ioas, 0x10fff, 1));
	EXPECT_ERR(EADDRINUSE, add_reserved(fd, ioas, 0, ALL));
	EXPECT_OK(add_reserved(fd, ioas, 0x11000, PAGE));
	EXPECT_ERR(EINVAL, ioas_map_at(fd, ioas, p, 2 * PAGE, 0x10000));
	EXPECT_ERR(EINVAL, ioas_map_at(fd, ioas, p, PAGE, 0x11000));
	EXPECT_OK(ioas_unmap_n(fd, ioas, 0x10000, PAGE));
	EXPECT_OK(add_reserved(fd, ioas, 0, 0x10000));
	EXPECT_OK(ioas_map(fd, ioas, p, 2 * PAGE, RW, &iova));
	EXPECT_EQ(0x12000, iova);
	EXPECT_OK(ioas_allow(fd, ioas, &allow, 1));
	EXPECT_ERR(EADDRINUSE, add_reserved(fd, ioas, 0x1fffff, 1));
	EXPECT_OK(add_reserved(fd, ioas, 0x200000, PAGE));
	allow.last++;
	EXPECT_ERR(EADDRINUSE, ioas_allow(fd, ioas, &allow, 1));
}

TEST(reserved_stays, "31:TST-02", "a reserved range stays while devices come and go")
{
	struct iommu_iova_range r[2];
	struct mock m;
	uint64_t align;

	begin();
	EXPECT_OK(add_reserved(fd, ioas, 0x2000000, 0x1000000));
	m = mock(fd, ioas, 0);
	EXPECT_EQ(2, ranges(fd, ioas, r, &align));
	EXPECT(r[0].start == MOCK_APERTURE_START && r[0].last == 0x1ffffff);
	EXPECT(r[1].start == 0x3000000 && r[1].last == MOCK_APERTURE_LAST);
	EXPECT_OK(destroy(fd, m.stdev));
	EXPECT_EQ(2, ranges(fd, ioas, r, &align));
	EXPECT(r[0].start == 0 && r[0].last == 0x1ffffff && r[1].start == 0x3000000 && r[1].last == ALL);
}

/* ---- a device comes and goes ---- */

TEST(create, "31:TST-03 31:TST-05 30:IFD-019 30:IFD-020 30:IFD-022", "MOCK_DOMAIN makes a device and attaches it; DESTROY of it undoes all")
{
	struct mock m;

	begin();
	m = mock(fd, ioas, 0);
	EXPECT(m.stdev && m.dev && m.hwpt && m.stdev != m.dev && m.dev != m.hwpt && m.hwpt != m.stdev);
	EXPECT_ERR(EBUSY, destroy(fd, m.dev));
	EXPECT_ERR(EBUSY, destroy(fd, m.hwpt));
	EXPECT_ERR(EBUSY, destroy(fd, ioas));
	EXPECT_OK(destroy(fd, m.stdev));
	EXPECT_ERR(ENOENT, destroy(fd, m.stdev));
	EXPECT_ERR(ENOENT, destroy(fd, m.dev));
	EXPECT_ERR(ENOENT, destroy(fd, m.hwpt));
	EXPECT_EQ(ioas + 1, next_id(fd));
	EXPECT_OK(destroy(fd, ioas));
}

TEST(two, "31:TST-03 30:IFD-135", "two mock devices share one automatic HWPT")
{
	struct mock a, b;

	begin();
	a = mock(fd, ioas, 0);
	b = mock(fd, ioas, 0);
	EXPECT_EQ(a.hwpt, b.hwpt);
	EXPECT(a.dev != b.dev && a.stdev != b.stdev);
	EXPECT_OK(destroy(fd, a.stdev));
	EXPECT_ERR(EBUSY, destroy(fd, b.hwpt));
	EXPECT_OK(destroy(fd, b.stdev));
	EXPECT_ERR(ENOENT, destroy(fd, b.hwpt));
}

TEST(own_groups, "31:TST-03", "mock devices are alone in their groups: each goes where it likes")
{
	struct mock a, b;
	uint32_t other, pt;

	begin();
	other = ioas_alloc(fd);
	a = mock(fd, ioas, 0);
	b = mock(fd, other, 0);
	EXPECT(a.hwpt != b.hwpt);
	pt = other;
	EXPECT_OK(mock_replace(fd, a.stdev, &pt));
	EXPECT_EQ(b.hwpt, pt);
}

TEST(at_once, "31:TST-03", "there may be many, also in many contexts")
{
	struct mock last = { 0 };

	begin();
	for (int i = 0; i < 100; i++)
		last = mock(fd, ioas, 0);
	for (int i = 0; i < 20; i++) {
		int other = iommu_open();

		mock(other, ioas_alloc(other), 0);
	}
	EXPECT_ERR(EBUSY, destroy(fd, last.hwpt));
}

TEST(to_hwpt, "31:TST-03 30:IFD-021", "MOCK_DOMAIN attaches to a HWPT that is named, too")
{
	struct mock a, b;
	uint32_t manual;

	begin();
	a = mock(fd, ioas, 0);
	manual = hwpt(fd, a.dev, ioas, 0);
	b = mock(fd, manual, 0);
	EXPECT_EQ(manual, b.hwpt);
	EXPECT_ERR(EBUSY, destroy(fd, manual));
	EXPECT_OK(destroy(fd, b.stdev));
	EXPECT_OK(destroy(fd, manual));
}

TEST(cannot_attach, "31:TST-04 30:IFD-056 30:IFD-136 30:IFD-144", "MOCK_DOMAIN that cannot attach leaves nothing behind")
{
	struct mock m, n;
	uint32_t next;

	begin();
	m = mock(fd, ioas, 0);
	next = next_id(fd);
	EXPECT_ERR(ENOENT, mock_create(fd, 0, 0, &n));
	EXPECT_ERR(ENOENT, mock_create(fd, 99, 0, &n));
	EXPECT_ERR(EINVAL, mock_create(fd, m.dev, 0, &n));
	EXPECT_ERR(EINVAL, mock_create(fd, m.stdev, 0, &n));
	EXPECT_EQ(next, next_id(fd));
	EXPECT_OK(destroy(fd, m.stdev));
	EXPECT_OK(ioas_map_at(fd, ioas, NULL, PAGE, MOCK_APERTURE_START));
	EXPECT_ERR(EFAULT, mock_create(fd, ioas, 0, &n));
	EXPECT_OK(ioas_unmap_n(fd, ioas, MOCK_APERTURE_START, PAGE));
	EXPECT_OK(ioas_map_at(fd, ioas, NULL, PAGE, MOCK_APERTURE_START - PAGE));
	EXPECT_ERR(EADDRINUSE, mock_create(fd, ioas, 0, &n));
	EXPECT_OK(ioas_unmap_n(fd, ioas, 0, ALL));
	EXPECT_OK(ioas_map_at(fd, ioas, ram(PAGE), 1024, MOCK_APERTURE_START));
	EXPECT_ERR(EADDRINUSE, mock_create(fd, ioas, 0, &n));
	EXPECT_EQ(ioas + 1, next_id(fd));
	expect_range(fd, ioas, 0, ALL, 1);
}

TEST(context_ends, "31:TST-06 30:IFD-024", "mock devices do not hold the context: they go when it is closed")
{
	void *p = ram(4 * PAGE);

	for (int i = 0; i < 10; i++) {
		begin();
		mock(fd, ioas, 0);
		memset(p, 1, 4 * PAGE);
		EXPECT_OK(ioas_map_at(fd, ioas, p, 4 * PAGE, MOCK_APERTURE_START));
		EXPECT_OK(check_refs(fd, p, 4 * PAGE, 1));
		EXPECT_OK(x_close(fd));
		fd = iommu_open();
		EXPECT_OK(check_refs(fd, p, 4 * PAGE, 0));
		EXPECT_EQ(1, ioas_alloc(fd));
		EXPECT_OK(x_close(fd));
	}
}

/* ---- it moves ---- */

TEST(replace, "31:TST-17 30:IFD-137", "MOCK_DOMAIN_REPLACE moves a device and tells its HWPT")
{
	struct mock m;
	uint32_t other, pt;

	begin();
	m = mock(fd, ioas, 0);
	pt = ioas;
	EXPECT_OK(mock_replace(fd, m.stdev, &pt));
	EXPECT_EQ(m.hwpt, pt);
	EXPECT_OK(mock_replace(fd, m.stdev, &pt));
	EXPECT_EQ(m.hwpt, pt);
	other = ioas_alloc(fd);
	pt = other;
	EXPECT_OK(mock_replace(fd, m.stdev, &pt));
	EXPECT(pt != other && pt != ioas);
	EXPECT_ERR(ENOENT, destroy(fd, m.hwpt));
	EXPECT_OK(destroy(fd, ioas));
	EXPECT_ERR(EBUSY, destroy(fd, other));
	EXPECT_ERR(EBUSY, destroy(fd, pt));
}

TEST(replace_ids, "31:TST-17 30:IFD-137 30:IFD-136", "MOCK_DOMAIN_REPLACE wants a SELFTEST object, and something to attach to")
{
	struct mock m;

	begin();
	m = mock(fd, ioas, 0);
	EXPECT_ERR(ENOENT, mock_replace_id(fd, 0, ioas));
	EXPECT_ERR(ENOENT, mock_replace_id(fd, 99, ioas));
	EXPECT_ERR(ENOENT, mock_replace_id(fd, ioas, ioas));
	EXPECT_ERR(ENOENT, mock_replace_id(fd, m.dev, ioas));
	EXPECT_ERR(ENOENT, mock_replace_id(fd, m.hwpt, ioas));
	EXPECT_ERR(ENOENT, mock_replace_id(fd, m.stdev, 99));
	EXPECT_ERR(ENOENT, mock_replace_id(fd, m.stdev, 0));
	EXPECT_ERR(EINVAL, mock_replace_id(fd, m.stdev, m.dev));
	EXPECT_ERR(EINVAL, mock_replace_id(fd, m.stdev, m.stdev));
	EXPECT_ERR(EBUSY, destroy(fd, m.hwpt));
	EXPECT_OK(mock_replace_id(fd, m.stdev, ioas));
}

TEST(replace_fails, "31:TST-17 30:IFD-137 30:IFD-143", "a device that cannot move stays where it was, with what is mapped there")
{
	char *p = ram(2 * PAGE);
	struct mock m;
	uint32_t bad, next;

	memset(p, 1, 2 * PAGE);
	begin();
	bad = ioas_alloc(fd);
	m = mock(fd, ioas, 0);
	EXPECT_OK(ioas_map_at(fd, ioas, p, PAGE, MOCK_APERTURE_START));
	EXPECT_OK(ioas_map_at(fd, bad, p + PAGE, PAGE, MOCK_APERTURE_START));
	EXPECT_OK(ioas_map_at(fd, bad, NULL, PAGE, MOCK_APERTURE_START + PAGE));
	next = next_id(fd);
	EXPECT_ERR(EFAULT, mock_replace_id(fd, m.stdev, bad));
	EXPECT_OK(ioas_unmap_n(fd, bad, MOCK_APERTURE_START + PAGE, PAGE));
	EXPECT_OK(ioas_map_at(fd, bad, p, PAGE, 0x1000));
	EXPECT_ERR(EADDRINUSE, mock_replace_id(fd, m.stdev, bad));
	EXPECT_EQ(next, next_id(fd));
	EXPECT_OK(check_map(fd, m.hwpt, MOCK_APERTURE_START, PAGE, p));
	EXPECT_OK(check_refs(fd, p, PAGE, 1));
	EXPECT_OK(check_refs(fd, p + PAGE, PAGE, 0));
	EXPECT_OK(destroy(fd, bad));
	EXPECT_ERR(EBUSY, destroy(fd, ioas));
}

TEST(replace_mapped, "31:TST-17 30:IFD-022 30:IFD-062", "a device that moves sees what is mapped there, and what it left is let go")
{
	char *p = ram(2 * PAGE);
	struct mock m;
	uint32_t other, pt;

	memset(p, 1, 2 * PAGE);
	begin();
	pt = other = ioas_alloc(fd);
	m = mock(fd, ioas, 0);
	EXPECT_OK(ioas_map_at(fd, ioas, p, PAGE, MOCK_APERTURE_START));
	EXPECT_OK(ioas_map_at(fd, other, p + PAGE, PAGE, MOCK_APERTURE_START));
	EXPECT_OK(check_refs(fd, p + PAGE, PAGE, 0));
	EXPECT_OK(mock_replace(fd, m.stdev, &pt));
	EXPECT_OK(check_map(fd, pt, MOCK_APERTURE_START, PAGE, p + PAGE));
	EXPECT_ERR(ENOENT, check_map(fd, m.hwpt, MOCK_APERTURE_START, PAGE, p));
	EXPECT_OK(check_refs(fd, p, PAGE, 0));
	EXPECT_OK(check_refs(fd, p + PAGE, PAGE, 1));
	EXPECT_OK(destroy(fd, m.stdev));
	EXPECT_OK(check_refs(fd, p + PAGE, PAGE, 0));
}
