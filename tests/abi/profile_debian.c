/* SPDX-License-Identifier: MIT */
/* What a program sees of a kernel as Debian builds it. The machine: tests/machines/profile_debian.yaml. */
#include "abi.h"

static int extension(int container, unsigned long ext)
{
	return x_ioctl(container, VFIO_CHECK_EXTENSION, (void *)ext);
}

TEST(debian_files, "10:NOI-25", "there is no parameter of a mode that is not built in, nor a node of what is not")
{
	struct stat st;

	EXPECT_ERR(ENOENT, x_stat("/sys/module/vfio/parameters/enable_unsafe_noiommu_mode", &st));
	EXPECT_OK(x_stat("/sys/module/vfio_iommu_type1/parameters/dma_entry_limit", &st));
	EXPECT_OK(x_stat("/dev/vfio/vfio", &st));
	EXPECT_ERR(ENOENT, x_stat("/dev/iommu", &st));
	bind_vfio(EDU);
	EXPECT_ERR(ENOENT, x_stat("/dev/vfio/devices", &st));
	EXPECT_ERR(ENOENT, x_stat("/sys/kernel/debug/vfio", &st));
}

TEST(debian_extensions, "10:CNT-03 10:NOI-25", "a fresh container offers type1, and does not know of No-IOMMU")
{
	int c = EXPECT_OK(x_open("/dev/vfio/vfio", O_RDWR));

	EXPECT_EQ(1, extension(c, VFIO_TYPE1_IOMMU));
	EXPECT_EQ(1, extension(c, VFIO_TYPE1v2_IOMMU));
	EXPECT_EQ(1, extension(c, VFIO_UNMAP_ALL));
	EXPECT_EQ(0, extension(c, VFIO_UPDATE_VADDR));
	EXPECT_EQ(0, extension(c, VFIO_NOIOMMU_IOMMU));
	EXPECT_EQ(0, extension(c, VFIO_TYPE1_NESTING_IOMMU));
}

TEST(debian_works, "10:CNT-03 10:GRP-08", "groups and type1 are all there")
{
	struct setup s = open_device(EDU);
	int g;

	EXPECT_EQ(1, extension(s.container, VFIO_UPDATE_VADDR));
	EXPECT_OK(map_dma(s.container, test_memory(4096, PROT_READ | PROT_WRITE, MAP_PRIVATE), 0, 4096, 3));
	EXPECT_ERR(ENOTTY, x_ioctl(s.device, VFIO_DEVICE_BIND_IOMMUFD, NULL));
	bind_host(NVME_MATE);
	g = EXPECT_OK(open_group(EDU_SHARED));
	EXPECT_ERR(EPERM, x_ioctl(g, VFIO_GROUP_SET_CONTAINER, &s.container));
}
