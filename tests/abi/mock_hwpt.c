/* SPDX-License-Identifier: MIT */
/* What a mock device and its IOMMU can: its flags, its information, its apertures and page sizes. */
#include "mock.h"

static int fd;
static uint32_t ioas;

static void begin(void)
{
	fd = iommu_open();
	ioas = ioas_alloc(fd);
}

/* ---- what it can ---- */

TEST(flags, "31:TST-19", "MOCK_DOMAIN_FLAGS knows two flags; MOCK_DOMAIN does not look at them")
{
	struct iommu_test_cmd c = { .mock_domain = { .dev_flags = UINT32_MAX } };
	struct mock m;

	begin();
	EXPECT_ERR(EINVAL, mock_create(fd, ioas, 2, &m));
	EXPECT_ERR(EINVAL, mock_create(fd, ioas, 8, &m));
	EXPECT_ERR(EINVAL, mock_create(fd, 99, UINT32_MAX, &m));
	EXPECT_EQ(ioas + 1, next_id(fd));
	mock(fd, ioas, MOCK_FLAGS_DEVICE_NO_DIRTY | MOCK_FLAGS_DEVICE_PASID);
	EXPECT_OK(test_cmd(fd, IOMMU_TEST_OP_MOCK_DOMAIN, ioas, &c));
	c.mock_domain.dev_flags = 0;
	EXPECT_OK(test_cmd(fd, IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS, ioas, &c));
}

static struct iommu_hw_info hw_info(uint32_t dev, void *data, uint32_t length)
{
	struct iommu_hw_info i = { .size = sizeof(i), .dev_id = dev, .data_len = length, .data_uptr = (uintptr_t)data };

	EXPECT_OK(x_ioctl(fd, IOMMU_GET_HW_INFO, &i));
	return i;
}

TEST(info, "31:TST-32 31:TST-19 30:IFD-155", "GET_HW_INFO of a mock device, filled as far as there is room, zeros behind")
{
	struct iommu_test_hw_info t;
	unsigned char buf[16];
	struct iommu_hw_info i;
	struct mock m;

	begin();
	m = mock(fd, ioas, 0);
	i = hw_info(m.dev, &t, sizeof(t));
	EXPECT_EQ(IOMMU_HW_INFO_TYPE_SELFTEST, i.out_data_type);
	EXPECT_EQ(sizeof(t), i.data_len);
	EXPECT(t.flags == 0 && t.test_reg == IOMMU_HW_INFO_SELFTEST_REGVAL);
	EXPECT_EQ(0, i.out_max_pasid_log2);
	EXPECT_EQ(IOMMU_HW_CAP_DIRTY_TRACKING | IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED, i.out_capabilities);
	memset(buf, 0xa5, sizeof(buf));
	EXPECT_EQ(8, hw_info(m.dev, buf, 15).data_len);
	EXPECT(buf[4] == 0xef && buf[8] == 0 && buf[14] == 0 && buf[15] == 0xa5);
	memset(buf, 0xa5, sizeof(buf));
	EXPECT_EQ(8, hw_info(m.dev, buf, 5).data_len);
	EXPECT(buf[4] == 0xef && buf[5] == 0xa5);
	m = mock(fd, ioas, MOCK_FLAGS_DEVICE_NO_DIRTY);
	EXPECT_EQ(IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED, hw_info(m.dev, &t, sizeof(t)).out_capabilities);
	m = mock(fd, ioas, MOCK_FLAGS_DEVICE_PASID);
	EXPECT_EQ(20, hw_info(m.dev, &t, sizeof(t)).out_max_pasid_log2);
}

TEST(info_type, "31:TST-32 30:IFD-156", "GET_HW_INFO gives the type asked for, or its own for 0")
{
	struct iommu_hw_info i = { .size = sizeof(i), .flags = IOMMU_HW_INFO_FLAG_INPUT_TYPE };
	struct mock m;

	begin();
	m = mock(fd, ioas, 0);
	i.dev_id = m.dev;
	EXPECT_OK(x_ioctl(fd, IOMMU_GET_HW_INFO, &i));
	EXPECT_EQ(IOMMU_HW_INFO_TYPE_SELFTEST, i.out_data_type);
	EXPECT_EQ(8, i.data_len);
	EXPECT_ERR(EFAULT, x_ioctl(fd, IOMMU_GET_HW_INFO, &i)); /* 8 bytes to nowhere */
	i.data_len = 0;
	EXPECT_OK(x_ioctl(fd, IOMMU_GET_HW_INFO, &i));
	EXPECT_EQ(IOMMU_HW_INFO_TYPE_SELFTEST, i.out_data_type);
	i.data_len = 0;
	i.out_data_type = IOMMU_HW_INFO_TYPE_INTEL_VTD;
	EXPECT_ERR(EOPNOTSUPP, x_ioctl(fd, IOMMU_GET_HW_INFO, &i));
	i.flags = 0;
	EXPECT_OK(x_ioctl(fd, IOMMU_GET_HW_INFO, &i));
	i.data_len = 0;
	i.dev_id = m.stdev;
	EXPECT_ERR(ENOENT, x_ioctl(fd, IOMMU_GET_HW_INFO, &i));
}

/* ---- what its HWPTs can ---- */

TEST(aperture, "31:TST-31 30:IFD-029 30:IFD-030", "the mock's aperture and its pages of 2048 bytes are the IOAS's while it is attached")
{
	char *p = ram(PAGE);
	uint64_t iova = 0;
	struct mock m;

	begin();
	m = mock(fd, ioas, 0);
	expect_range(fd, ioas, MOCK_APERTURE_START, MOCK_APERTURE_LAST, MOCK_PAGE_SIZE);
	EXPECT_ERR(EINVAL, ioas_map_at(fd, ioas, p, PAGE, MOCK_APERTURE_START - PAGE));
	EXPECT_ERR(EINVAL, ioas_map_at(fd, ioas, p, PAGE, MOCK_APERTURE_LAST + 1));
	EXPECT_ERR(EINVAL, ioas_map_at(fd, ioas, p, 1024, MOCK_APERTURE_START));
	EXPECT_ERR(EINVAL, ioas_map_at(fd, ioas, p, PAGE, MOCK_APERTURE_START + 1024));
	EXPECT_ERR(EINVAL, ioas_map_at(fd, ioas, p + 1024, 2048, MOCK_APERTURE_START));
	EXPECT_OK(ioas_map_at(fd, ioas, p + 2048, 2048, MOCK_APERTURE_START + 2048));
	EXPECT_OK(ioas_map_at(fd, ioas, p, 2048, MOCK_APERTURE_LAST - 2047));
	EXPECT_OK(ioas_map(fd, ioas, p, PAGE, RW, &iova));
	EXPECT_EQ(MOCK_APERTURE_START + PAGE, iova);
	EXPECT_OK(destroy(fd, m.stdev));
	expect_range(fd, ioas, 0, ALL, 1);
}

TEST(aperture_small_off, "31:TST-31 30:IFD-085", "without large pages the IOAS is aligned to whole pages")
{
	begin();
	EXPECT_OK(option_set(fd, IOMMU_OPTION_HUGE_PAGES, ioas, 0));
	mock(fd, ioas, 0);
	expect_range(fd, ioas, MOCK_APERTURE_START, MOCK_APERTURE_LAST, PAGE);
	EXPECT_OK(option_set(fd, IOMMU_OPTION_HUGE_PAGES, ioas, 1));
	expect_range(fd, ioas, MOCK_APERTURE_START, MOCK_APERTURE_LAST, MOCK_PAGE_SIZE);
	EXPECT_OK(option_set(fd, IOMMU_OPTION_HUGE_PAGES, ioas, 0));
	expect_range(fd, ioas, MOCK_APERTURE_START, MOCK_APERTURE_LAST, PAGE);
}

static int with_data(uint32_t dev, uint32_t type, const void *data, uint32_t length, uint32_t *id)
{
	return hwpt_alloc_data(fd, dev, ioas, 0, 0, type, data, length, id);
}

TEST(data, "31:TST-33", "a paging HWPT may be given data of 4 to 8 bytes of the mock's type")
{
	struct iommu_hwpt_selftest d[2] = { { 0x1234, MOCK_IOMMUPT_DEFAULT } };
	struct mock m;
	uint32_t id = 0;

	begin();
	m = mock(fd, ioas, 0);
	for (uint32_t n = IOMMU_HWPT_SELFTEST_MIN; n <= sizeof(d[0]); n++)
		EXPECT_OK(with_data(m.dev, IOMMU_HWPT_DATA_SELFTEST, d, n, &id));
	id = next_id(fd);
	for (uint32_t n = 0; n < IOMMU_HWPT_SELFTEST_MIN; n++)
		EXPECT_ERR(EINVAL, with_data(m.dev, IOMMU_HWPT_DATA_SELFTEST, d, n, &id));
	EXPECT_ERR(EINVAL, with_data(m.dev, IOMMU_HWPT_DATA_SELFTEST, d, sizeof(d[0]) + 1, &id));
	EXPECT_ERR(EINVAL, with_data(m.dev, IOMMU_HWPT_DATA_SELFTEST, d, sizeof(d), &id));
	EXPECT_ERR(EFAULT, with_data(m.dev, IOMMU_HWPT_DATA_SELFTEST, (void *)8, 8, &id));
	EXPECT_ERR(EFAULT, with_data(m.dev, IOMMU_HWPT_DATA_SELFTEST, NULL, 8, &id));
	EXPECT_ERR(EOPNOTSUPP, with_data(m.dev, IOMMU_HWPT_DATA_VTD_S1, d, 8, &id));
	EXPECT_ERR(EINVAL, with_data(m.dev, IOMMU_HWPT_DATA_NONE, d, 8, &id));
	d[0].pagetable_type = 2;
	EXPECT_ERR(EOPNOTSUPP, with_data(m.dev, IOMMU_HWPT_DATA_SELFTEST, d, 8, &id));
	EXPECT_OK(with_data(m.dev, IOMMU_HWPT_DATA_SELFTEST, d, 4, &id));
	EXPECT_EQ(id + 1, next_id(fd));
}

/* A device on a HWPT of page table type 1, and nothing else in the IOAS */
static struct mock with_huge(void)
{
	struct iommu_hwpt_selftest d = { .pagetable_type = MOCK_IOMMUPT_HUGE };
	struct mock m;

	begin();
	m = mock(fd, ioas, 0);
	EXPECT_OK(with_data(m.dev, IOMMU_HWPT_DATA_SELFTEST, &d, sizeof(d), &m.hwpt));
	EXPECT_OK(mock_replace_id(fd, m.stdev, m.hwpt));
	return m;
}

TEST(page_table_1, "31:TST-33 31:TST-31", "page table type 1 has pages of 4 KiB and 38 bits of address")
{
	char *p = ram(PAGE);
	struct mock m = with_huge();

	memset(p, 1, PAGE);
	expect_range(fd, ioas, 0, (1ull << 38) - 1, PAGE);
	EXPECT_OK(ioas_map_at(fd, ioas, p, PAGE, 0));
	EXPECT_OK(ioas_map_at(fd, ioas, p, PAGE, (1ull << 38) - PAGE));
	EXPECT_ERR(EINVAL, ioas_map_at(fd, ioas, p, PAGE, 1ull << 38));
	EXPECT_ERR(EINVAL, ioas_map_at(fd, ioas, p, 2048, 0x10000));
	EXPECT_OK(check_map(fd, m.hwpt, 0, PAGE, p));
	EXPECT_OK(check_map(fd, m.hwpt, (1ull << 38) - PAGE, PAGE, p));
	EXPECT_ERR(EINVAL, check_map(fd, m.hwpt, 0, 2048, p));
	EXPECT_ERR(EINVAL, check_map(fd, m.hwpt, PAGE, PAGE, p));
}

TEST(kinds_together, "31:TST-31 31:TST-33 30:IFD-062", "an IOAS is as narrow and as coarse as all its page tables together")
{
	struct iommu_hwpt_selftest d = { .pagetable_type = MOCK_IOMMUPT_HUGE };
	char *p = ram(PAGE);
	uint32_t other = 0;
	struct mock m;

	memset(p, 1, PAGE);
	begin();
	m = mock(fd, ioas, 0);
	EXPECT_OK(ioas_map_at(fd, ioas, p, PAGE, MOCK_APERTURE_START));
	EXPECT_OK(with_data(m.dev, IOMMU_HWPT_DATA_SELFTEST, &d, sizeof(d), &other));
	expect_range(fd, ioas, MOCK_APERTURE_START, MOCK_APERTURE_LAST, PAGE);
	EXPECT_OK(check_map(fd, other, MOCK_APERTURE_START, PAGE, p));
	EXPECT_OK(check_map(fd, m.hwpt, MOCK_APERTURE_START, PAGE, p));
	EXPECT_OK(check_refs(fd, p, PAGE, 1));
	EXPECT_OK(destroy(fd, other));
	expect_range(fd, ioas, MOCK_APERTURE_START, MOCK_APERTURE_LAST, MOCK_PAGE_SIZE);
	EXPECT_OK(ioas_unmap_n(fd, ioas, 0, ALL));
	EXPECT_OK(ioas_map_at(fd, ioas, p, 2048, MOCK_APERTURE_START));
	EXPECT_ERR(EADDRINUSE, with_data(m.dev, IOMMU_HWPT_DATA_SELFTEST, &d, sizeof(d), &other));
}

TEST(hwpt_flags, "31:TST-33 31:TST-19 30:IFD-152", "a paging HWPT of the mock: nesting parents, dirty tracking, PASIDs, nothing else")
{
	uint32_t id = 0, next, one = IOMMU_HWPT_ALLOC_NEST_PARENT, two = IOMMU_HWPT_ALLOC_DIRTY_TRACKING;
	struct mock m, n;

	begin();
	m = mock(fd, ioas, 0);
	n = mock(fd, ioas, MOCK_FLAGS_DEVICE_NO_DIRTY);
	hwpt(fd, m.dev, ioas, one);
	hwpt(fd, m.dev, ioas, two);
	hwpt(fd, m.dev, ioas, one | two | IOMMU_HWPT_ALLOC_PASID);
	hwpt(fd, n.dev, ioas, one | IOMMU_HWPT_ALLOC_PASID);
	next = next_id(fd);
	EXPECT_ERR(EOPNOTSUPP, hwpt_alloc(fd, n.dev, ioas, two, &id));
	EXPECT_ERR(EOPNOTSUPP, hwpt_alloc(fd, n.dev, ioas, one | two, &id));
	EXPECT_ERR(EOPNOTSUPP, hwpt_alloc(fd, m.dev, ioas, 16, &id));
	EXPECT_ERR(EOPNOTSUPP, hwpt_alloc(fd, m.dev, ioas, one | IOMMU_HWPT_FAULT_ID_VALID, &id));
	EXPECT_ERR(ENOENT, hwpt_alloc(fd, m.stdev, ioas, 0, &id));
	EXPECT_ERR(EINVAL, hwpt_alloc(fd, m.dev, 99, 0, &id));
	EXPECT_ERR(EINVAL, hwpt_alloc(fd, m.dev, m.stdev, 0, &id));
	EXPECT_EQ(next, next_id(fd));
}

TEST(dirty_device, "31:TST-19 30:IFD-167", "a HWPT that tracks dirty pages takes no device that does not")
{
	struct mock m, n;
	uint32_t tracks, next;

	begin();
	m = mock(fd, ioas, 0);
	tracks = hwpt(fd, m.dev, ioas, IOMMU_HWPT_ALLOC_DIRTY_TRACKING);
	next = next_id(fd);
	EXPECT_ERR(EINVAL, mock_create(fd, tracks, MOCK_FLAGS_DEVICE_NO_DIRTY, &n));
	EXPECT_EQ(next, next_id(fd));
	n = mock(fd, ioas, MOCK_FLAGS_DEVICE_NO_DIRTY);
	EXPECT_EQ(m.hwpt, n.hwpt);
	EXPECT_ERR(EINVAL, mock_replace_id(fd, n.stdev, tracks));
	EXPECT_OK(mock_replace_id(fd, n.stdev, ioas));
	EXPECT_OK(mock_replace_id(fd, m.stdev, tracks));
}
