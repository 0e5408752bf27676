/* SPDX-License-Identifier: MIT */
/* Devices without IOMMU by their own nodes, and an iommufd as their group's container: spec 10, 5.5. */
#include "cdev.h"

#define MODE "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode"

static const char *with_iommu(void)
{
	return getenv("UVFIO_WITH_IOMMU") ? getenv("UVFIO_WITH_IOMMU") : "0000:00:08.0";
}

/* The node of a device without IOMMU, opened. */
static int open_free(const char *bdf)
{
	if (test_caps(CAPS_ALL & ~CAPS_RAWIO) || test_caps(CAPS_ALL))
		test_skip("needs the right to give up and take back capabilities");
	EXPECT_OK(sys_write(MODE, "Y"));
	bind_vfio(bdf);
	return cdev_open(bdf);
}

static void need_iommu(void)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s", with_iommu());
	if (x_stat(path, &st) < 0)
		test_skip("this machine has no function behind an IOMMU beside those without");
}

static int open_free_group(const char *bdf)
{
	char path[64];

	x_close(EXPECT_OK(open_free(bdf)));
	snprintf(path, sizeof(path), "/dev/vfio/noiommu-%d", group_of(bdf));
	return EXPECT_OK(x_open(path, O_RDWR));
}

static int set_container(int group, int fd)
{
	return x_ioctl(group, VFIO_GROUP_SET_CONTAINER, &fd);
}

static int get_pa(int ctx, uint32_t id, uint64_t iova, uint64_t *length, uint64_t *phys)
{
	struct iommu_ioas_noiommu_get_pa g = { .size = sizeof(g), .ioas_id = id, .iova = iova, .length = *length };
	int rc = x_ioctl(ctx, IOMMU_IOAS_NOIOMMU_GET_PA, &g);

	*length = g.length;
	*phys = g.out_phys;
	return rc;
}

TEST(noiommu_cdev, "10:NOI-18 30:IFD-184", "the node of a device without IOMMU has a name that says so, and opens with CAP_SYS_RAWIO only")
{
	EXPECT_OK(open_free(EDU));
	EXPECT(strncmp(cdev_name(EDU), "noiommu-vfio", 12) == 0);
	EXPECT_OK(test_caps(CAPS_ALL & ~CAPS_RAWIO));
	EXPECT_ERR(EPERM, cdev_open(EDU));
}

TEST(noiommu_bind, "10:NOI-19", "such a device is bound and attached as others are, to a table that is software only")
{
	int d = EXPECT_OK(open_free(EDU)), ctx = iommu_open();
	uint32_t id, pt = ioas_alloc(ctx);
	void *p = ram(2 * PAGE);

	EXPECT_OK(cdev_bind_flags(d, ctx, 24, 0, &id));
	EXPECT(id > 0);
	EXPECT_OK(ioas_map_at(ctx, pt, p, PAGE, 0xfee00000)); /* nothing is reserved */
	EXPECT_OK(cdev_attach(d, &pt));
	EXPECT(pt != 1);
	EXPECT_OK(ioas_map_at(ctx, 1, (char *)p + PAGE, PAGE, 1ull << 60));
	EXPECT_EQ(0x11e81234, config_read(d, 0, 4));
	EXPECT_OK(cdev_detach(d));
	EXPECT_ERR(ENOENT, destroy(ctx, pt));
}

TEST(noiommu_pa, "10:NOI-20 30:IFD-187", "GET_PA tells where what is mapped lies, offset and all, and how far from there it goes on")
{
	int d = EXPECT_OK(open_free(EDU)), ctx = iommu_open();
	uint32_t id = ioas_alloc(ctx);
	uint64_t phys, again, n = 4 * PAGE;
	char *p = ram(2 * PAGE);

	memset(p, 1, 2 * PAGE);
	EXPECT_OK(cdev_bind(d, ctx));
	EXPECT_OK(cdev_attach_to(d, id));
	EXPECT_OK(ioas_map_at(ctx, id, p, 2 * PAGE, 0x10000));
	EXPECT_OK(get_pa(ctx, id, 0x10000, &n, &phys));
	EXPECT_EQ(0, phys % PAGE);
	EXPECT(phys != 0 && (n == PAGE || n == 2 * PAGE));
	n = 16;
	EXPECT_OK(get_pa(ctx, id, 0x10010, &n, &again));
	EXPECT_EQ(phys + 0x10, again);
	EXPECT_EQ(16, n);
	n = 4 * PAGE;
	EXPECT_OK(get_pa(ctx, id, 0x11010, &n, &again));
	EXPECT_EQ(PAGE - 0x10, n);
}

TEST(noiommu_pa_errors, "10:NOI-21 30:IFD-186", "GET_PA needs CAP_SYS_RAWIO, a length, an address that is mapped, and a table of such a device")
{
	int d = EXPECT_OK(open_free(EDU)), ctx = iommu_open();
	uint32_t id = ioas_alloc(ctx), plain = ioas_alloc(ctx);
	uint64_t phys, n = PAGE;
	char *p = ram(PAGE);

	EXPECT_OK(cdev_bind(d, ctx));
	EXPECT_OK(cdev_attach_to(d, id));
	EXPECT_OK(ioas_map_at(ctx, id, p, PAGE, 0x10000));
	EXPECT_OK(ioas_map_at(ctx, plain, p, PAGE, 0x10000));
	EXPECT_ERR(ENOENT, get_pa(ctx, id, 0x20000, &n, &phys));
	EXPECT_ERR(ENOENT, get_pa(ctx, 99, 0x10000, &n, &phys));
	EXPECT_ERR(EOPNOTSUPP, get_pa(ctx, plain, 0x10000, &n, &phys));
	EXPECT_ERR(EOVERFLOW, get_pa(ctx, id, UINT64_MAX, &n, &phys));
	n = 0;
	EXPECT_ERR(EINVAL, get_pa(ctx, id, 0x10000, &n, &phys));
	EXPECT_OK(test_caps(CAPS_ALL & ~CAPS_RAWIO));
	EXPECT_ERR(EPERM, get_pa(ctx, id, 0x10000, &n, &phys));
}

TEST(noiommu_info, "10:NOI-22 30:IFD-188", "GET_HW_INFO and tables with flags are not for such a device: EOPNOTSUPP")
{
	int d = EXPECT_OK(open_free(EDU)), ctx = iommu_open();
	struct iommu_hw_info i = { .size = sizeof(i) };
	struct iommu_hwpt_alloc a = { .size = sizeof(a), .pt_id = ioas_alloc(ctx), .flags = IOMMU_HWPT_ALLOC_NEST_PARENT };

	EXPECT_OK(cdev_bind_flags(d, ctx, 24, 0, &i.dev_id));
	EXPECT_ERR(EOPNOTSUPP, x_ioctl(ctx, IOMMU_GET_HW_INFO, &i));
	a.dev_id = i.dev_id;
	EXPECT_ERR(EOPNOTSUPP, x_ioctl(ctx, IOMMU_HWPT_ALLOC, &a));
}

TEST(noiommu_compat, "10:NOI-23", "an iommufd with an address space for VFIO is no container for such a group: EINVAL")
{
	int g = open_free_group(EDU), ctx = iommu_open();
	uint32_t id = ioas_alloc(ctx);

	EXPECT_OK(compat(ctx, IOMMU_VFIO_IOAS_SET, &id));
	EXPECT_ERR(EINVAL, set_container(g, ctx));
	EXPECT_OK(compat(ctx, IOMMU_VFIO_IOAS_CLEAR, &id));
	EXPECT_OK(set_container(g, ctx));
	EXPECT_OK(x_ioctl(g, VFIO_GROUP_GET_DEVICE_FD, EDU));
}

TEST(noiommu_sticky, "10:NOI-24 30:IFD-185", "an iommufd that was a container for such a group is none for others")
{
	int g = open_free_group(EDU), ctx = iommu_open();

	need_iommu();
	EXPECT_OK(set_container(g, ctx));
	EXPECT_ERR(EINVAL, x_ioctl(ctx, VFIO_SET_IOMMU, (void *)(uintptr_t)VFIO_TYPE1v2_IOMMU));
	EXPECT_OK(x_ioctl(ctx, VFIO_SET_IOMMU, (void *)(uintptr_t)VFIO_NOIOMMU_IOMMU));
	EXPECT_OK(x_close(g));
	EXPECT_ERR(EINVAL, set_container(EXPECT_OK(open_group(with_iommu())), ctx));
}
