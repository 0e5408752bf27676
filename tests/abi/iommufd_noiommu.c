/* SPDX-License-Identifier: MIT */
/* A device without IOMMU in an address space: pinned, and told where. The machine: tests/machines/noiommu.yaml. */
#include "cdev.h"

#define MODE "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode"

static int fd, dev;
static uint32_t dev_id, ioas;

static int get_pa(uint64_t iova, uint64_t *length, uint64_t *phys)
{
	struct iommu_ioas_noiommu_get_pa a = { .size = sizeof(a), .ioas_id = ioas, .iova = iova, .length = *length };
	int rc = x_ioctl(fd, IOMMU_IOAS_NOIOMMU_GET_PA, &a);

	*length = a.length;
	*phys = a.out_phys;
	return rc;
}

TEST(get_pa_checks, "30:IFD-186 10:NOI-21", "GET_PA: the right to, the arguments, the IOAS, in this order; an IOAS without such a device has nothing to tell")
{
	struct iommu_ioas_noiommu_get_pa a = { .size = sizeof(a), .flags = 1 };

	fd = iommu_open();
	if (test_caps(CAPS_ALL & ~CAPS_RAWIO) || test_caps(CAPS_ALL))
		test_skip("needs the right to give up and take back capabilities");
	test_caps(CAPS_ALL & ~CAPS_RAWIO);
	EXPECT_ERR(EPERM, x_ioctl(fd, IOMMU_IOAS_NOIOMMU_GET_PA, &a));
	test_caps(CAPS_ALL);
	EXPECT_ERR(EOPNOTSUPP, x_ioctl(fd, IOMMU_IOAS_NOIOMMU_GET_PA, &a));
	a.flags = 0;
	a.__reserved = 1;
	EXPECT_ERR(EOPNOTSUPP, x_ioctl(fd, IOMMU_IOAS_NOIOMMU_GET_PA, &a));
	a.__reserved = 0;
	a.iova = UINT64_MAX;
	EXPECT_ERR(EINVAL, x_ioctl(fd, IOMMU_IOAS_NOIOMMU_GET_PA, &a));
	a.length = 1;
	EXPECT_ERR(EOVERFLOW, x_ioctl(fd, IOMMU_IOAS_NOIOMMU_GET_PA, &a));
	a.iova = 0x1000;
	EXPECT_ERR(ENOENT, x_ioctl(fd, IOMMU_IOAS_NOIOMMU_GET_PA, &a));
	a.ioas_id = ioas_alloc(fd);
	EXPECT_ERR(ENOENT, x_ioctl(fd, IOMMU_IOAS_NOIOMMU_GET_PA, &a));
	EXPECT_OK(ioas_map_at(fd, a.ioas_id, ram(PAGE), PAGE, 0x1000));
	EXPECT_ERR(EOPNOTSUPP, x_ioctl(fd, IOMMU_IOAS_NOIOMMU_GET_PA, &a));
}

/* The edu, bound to a context */
static void begin(void)
{
	EXPECT_OK(sys_write(MODE, "Y"));
	dev = cdev_take(EDU);
	EXPECT_EQ(0, strncmp(cdev_name(EDU), "noiommu-", 8));
	fd = iommu_open();
	EXPECT_OK(cdev_bind_flags(dev, fd, sizeof(struct vfio_device_bind_iommufd), 0, &dev_id));
	ioas = ioas_alloc(fd);
}

TEST(get_pa, "30:IFD-187 30:IFD-186 10:NOI-20", "GET_PA tells where pages are, as far as they follow each other, to the end of the area")
{
	uint64_t n = PAGE, phys = 0, first;
	struct iommu_iova_range r;
	struct iommu_ioas_iova_ranges a = { .size = sizeof(a), .num_iovas = 1, .allowed_iovas = (uintptr_t)&r };
	uint32_t pt;
	char *p;

	begin();
	p = ram(4 * PAGE);
	memset(p, 1, 4 * PAGE);
	EXPECT_OK(ioas_map_at(fd, ioas, p, 4 * PAGE, 0xfee00000));
	pt = ioas;
	EXPECT_OK(cdev_attach(dev, &pt));
	EXPECT(pt != ioas);
	a.ioas_id = ioas;
	EXPECT_OK(x_ioctl(fd, IOMMU_IOAS_IOVA_RANGES, &a));
	EXPECT(a.num_iovas == 1 && r.start == 0 && r.last == UINT64_MAX && a.out_iova_alignment == PAGE);
	EXPECT_OK(get_pa(0xfee00000, &n, &first));
	EXPECT_EQ(PAGE, n);
	EXPECT(first != 0 && (first & 0xfff) == 0);
	n = 16;
	EXPECT_OK(get_pa(0xfee00123, &n, &phys));
	EXPECT_EQ(16, n);
	EXPECT_EQ(first + 0x123, phys);
	n = 100 * PAGE;
	EXPECT_OK(get_pa(0xfee03000, &n, &phys));
	EXPECT_EQ(PAGE, n);
	n = 100 * PAGE;
	EXPECT_OK(get_pa(0xfee00000, &n, &phys));
	EXPECT(phys == first && n >= PAGE && n <= 4 * PAGE);
	n = 1;
	EXPECT_ERR(ENOENT, get_pa(0xfee04000, &n, &phys));
}

TEST(noiommu_hwpt, "30:IFD-188 10:NOI-22", "a device without IOMMU has plain HWPTs, and nothing to tell of hardware")
{
	struct iommu_hwpt_alloc h = { .size = sizeof(h), .flags = IOMMU_HWPT_ALLOC_NEST_PARENT };
	struct iommu_hw_info i = { .size = sizeof(i) };
	struct iommu_viommu_alloc v = { .size = sizeof(v), .type = 1 };
	uint32_t pt;

	begin();
	h.dev_id = i.dev_id = v.dev_id = dev_id;
	h.pt_id = ioas;
	EXPECT_ERR(EOPNOTSUPP, x_ioctl(fd, IOMMU_HWPT_ALLOC, &h));
	h.flags = IOMMU_HWPT_ALLOC_DIRTY_TRACKING;
	EXPECT_ERR(EOPNOTSUPP, x_ioctl(fd, IOMMU_HWPT_ALLOC, &h));
	h.flags = IOMMU_HWPT_ALLOC_PASID;
	EXPECT_ERR(EOPNOTSUPP, x_ioctl(fd, IOMMU_HWPT_ALLOC, &h));
	EXPECT_ERR(EOPNOTSUPP, x_ioctl(fd, IOMMU_GET_HW_INFO, &i));
	EXPECT_ERR(EOPNOTSUPP, x_ioctl(fd, IOMMU_VIOMMU_ALLOC, &v));
	h.flags = 0;
	EXPECT_OK(x_ioctl(fd, IOMMU_HWPT_ALLOC, &h));
	pt = h.out_hwpt_id;
	EXPECT_OK(cdev_attach(dev, &pt));
	EXPECT_EQ(h.out_hwpt_id, pt);
	EXPECT_ERR(EBUSY, destroy(fd, pt));
}
