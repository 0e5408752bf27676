/* SPDX-License-Identifier: MIT */
/* What a program sees of a kernel without type1. The machine: tests/machines/profile_notype1.yaml. */
#include "abi.h"

#define FREE "0000:00:08.0" /* without IOMMU */

TEST(notype1_files, "10:CNT-03", "the module and its parameters are not there, the container is")
{
	struct stat st;

	EXPECT_ERR(ENOENT, x_stat("/sys/module/vfio_iommu_type1/parameters/dma_entry_limit", &st));
	EXPECT_OK(x_stat("/dev/vfio/vfio", &st));
}

TEST(notype1_extensions, "10:CNT-02 10:CNT-06", "no extension of type1 is offered, and SET_IOMMU finds nobody")
{
	int c = EXPECT_OK(x_open("/dev/vfio/vfio", O_RDWR)), g;

	for (unsigned long ext = 0; ext < 12; ext++)
		EXPECT_EQ(ext == VFIO_NOIOMMU_IOMMU, x_ioctl(c, VFIO_CHECK_EXTENSION, (void *)ext));
	g = EXPECT_OK(open_group(EDU));
	EXPECT_OK(x_ioctl(g, VFIO_GROUP_SET_CONTAINER, &c));
	EXPECT_EQ(0, x_ioctl(c, VFIO_CHECK_EXTENSION, (void *)VFIO_NOIOMMU_IOMMU));
	for (unsigned long type = 0; type < 12; type++)
		EXPECT_ERR(ENODEV, x_ioctl(c, VFIO_SET_IOMMU, (void *)type));
	EXPECT_ERR(EINVAL, x_ioctl(g, VFIO_GROUP_GET_DEVICE_FD, EDU));
}

TEST(notype1_noiommu, "10:NOI-10 10:NOI-25", "No-IOMMU needs no type1")
{
	char path[64];
	int g, c;

	snprintf(path, sizeof(path), "/dev/vfio/noiommu-%d", group_of(FREE));
	g = x_open(path, O_RDWR);
	if (g < 0 && errno == EPERM)
		test_skip("needs CAP_SYS_RAWIO");
	EXPECT_OK(g);
	c = EXPECT_OK(x_open("/dev/vfio/vfio", O_RDWR));
	EXPECT_OK(x_ioctl(g, VFIO_GROUP_SET_CONTAINER, &c));
	EXPECT_OK(x_ioctl(c, VFIO_SET_IOMMU, (void *)(uintptr_t)VFIO_NOIOMMU_IOMMU));
	EXPECT_OK(x_ioctl(g, VFIO_GROUP_GET_DEVICE_FD, FREE));
}
