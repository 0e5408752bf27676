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

TEST(noiommu_cdev, "10:NOI-18 30:IFD-184", "the node of a device without IOMMU has a name that says so, and opens with CAP_SYS_RAWIO only")
{
	EXPECT_OK(open_free(EDU));
	EXPECT(strncmp(cdev_name(EDU), "noiommu-vfio", 12) == 0);
	EXPECT_OK(test_caps(CAPS_ALL & ~CAPS_RAWIO));
	EXPECT_ERR(EPERM, cdev_open(EDU));
}

TEST(noiommu_bind, "10:NOI-19 10:NOI-17", "such a device is bound and attached as others are, to a table that is software only, and enforces no coherency")
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
	id = 1;
	EXPECT_OK(compat(ctx, IOMMU_VFIO_IOAS_SET, &id));
	EXPECT_EQ(0, x_ioctl(ctx, VFIO_CHECK_EXTENSION, (void *)(uintptr_t)VFIO_DMA_CC_IOMMU));
	EXPECT_OK(cdev_detach(d));
	EXPECT_ERR(ENOENT, destroy(ctx, pt));
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
