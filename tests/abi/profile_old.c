/* SPDX-License-Identifier: MIT */
/*
 * What a program sees of an old kernel: spec 10, 2.8, and a type1 without what came later (docs/KERNELS.md).
 * The machine: tests/machines/profile_old.yaml.
 */
#include "face.h"

#define RW (VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)

static int extension(int container, unsigned long ext)
{
	return x_ioctl(container, VFIO_CHECK_EXTENSION, (void *)ext);
}

TEST(old_extensions, "10:CNT-03", "UNMAP_ALL and UPDATE_VADDR are not known, before or after SET_IOMMU")
{
	int c = EXPECT_OK(x_open("/dev/vfio/vfio", O_RDWR));
	struct setup s;

	EXPECT_EQ(1, extension(c, VFIO_TYPE1_IOMMU));
	EXPECT_EQ(1, extension(c, VFIO_TYPE1v2_IOMMU));
	EXPECT_EQ(0, extension(c, VFIO_UNMAP_ALL));
	s = open_device(EDU);
	EXPECT_EQ(0, extension(s.container, VFIO_UNMAP_ALL));
	EXPECT_EQ(0, extension(s.container, VFIO_UPDATE_VADDR));
}

TEST(old_info, "10:INF-02", "GET_INFO has the ranges and no other capability")
{
	struct setup s = open_device(EDU);
	struct {
		struct vfio_iommu_type1_info info;
		char caps[256];
	} r = { .info.argsz = sizeof(r) };
	struct vfio_info_cap_header *h;

	EXPECT_OK(x_ioctl(s.container, VFIO_IOMMU_GET_INFO, &r));
	EXPECT_EQ(VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS, r.info.flags);
	h = (void *)((char *)&r + r.info.cap_offset);
	EXPECT_EQ(VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, h->id);
	EXPECT_EQ(0, h->next);
}

TEST(old_requests, "10:UNM-06 10:DRT-02 10:MAP-01", "what came later is an unknown request or flag")
{
	struct vfio_iommu_type1_dirty_bitmap b = { .argsz = sizeof(b), .flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_START };
	struct vfio_iommu_type1_dma_unmap u = { .argsz = sizeof(u), .flags = VFIO_DMA_UNMAP_FLAG_ALL };
	struct setup s = open_device(EDU);
	void *p = test_memory(4096, PROT_READ | PROT_WRITE, MAP_PRIVATE);

	EXPECT_ERR(ENOTTY, x_ioctl(s.container, VFIO_IOMMU_DIRTY_PAGES, &b));
	EXPECT_ERR(EINVAL, x_ioctl(s.container, VFIO_IOMMU_UNMAP_DMA, &u));
	EXPECT_OK(map_dma(s.container, p, 0, 4096, RW));
	u.flags = VFIO_DMA_UNMAP_FLAG_VADDR;
	u.size = 4096;
	EXPECT_ERR(EINVAL, x_ioctl(s.container, VFIO_IOMMU_UNMAP_DMA, &u));
	EXPECT_ERR(EINVAL, map_dma(s.container, p, 0, 4096, VFIO_DMA_MAP_FLAG_VADDR));
	EXPECT_OK(unmap_dma(s.container, 0, 4096, NULL));
}

TEST(old_viability, "10:OWN-32", "a group in use by the host joins a container; its devices are refused")
{
	int g, c;

	bind_host(NVME_MATE);
	g = EXPECT_OK(open_group(EDU_SHARED));
	c = EXPECT_OK(x_open("/dev/vfio/vfio", O_RDWR));
	EXPECT_EQ(0, group_flags(g));
	EXPECT_OK(x_ioctl(g, VFIO_GROUP_SET_CONTAINER, &c));
	EXPECT_EQ(VFIO_GROUP_FLAGS_CONTAINER_SET, group_flags(g));
	EXPECT_ERR(EINVAL, x_ioctl(g, VFIO_GROUP_SET_CONTAINER, &c));
	EXPECT_OK(set_iommu(c, VFIO_TYPE1v2_IOMMU));
	EXPECT_EQ(VFIO_GROUP_FLAGS_CONTAINER_SET, group_flags(g));
	EXPECT_ERR(EINVAL, x_ioctl(g, VFIO_GROUP_GET_DEVICE_FD, EDU_SHARED));
	EXPECT_OK(x_ioctl(g, VFIO_GROUP_UNSET_CONTAINER, NULL));
	EXPECT_EQ(0, group_flags(g));
}

TEST(old_becomes_viable, "10:OWN-32", "once the host lets go, the group is viable and works with what was mapped before")
{
	volatile char *p = test_memory(8192, PROT_READ | PROT_WRITE, MAP_SHARED);
	struct setup s = open_device(EDU);
	volatile void *bar;
	int g, d;

	bind_host(NVME_MATE);
	g = EXPECT_OK(open_group(EDU_SHARED));
	EXPECT_OK(x_ioctl(g, VFIO_GROUP_SET_CONTAINER, &s.container));
	EXPECT_OK(map_dma(s.container, (void *)p, 0x10000, 8192, RW));
	EXPECT_ERR(EINVAL, x_ioctl(g, VFIO_GROUP_GET_DEVICE_FD, EDU_SHARED));
	EXPECT_OK(sys_write("/sys/bus/pci/drivers/nvme/unbind", NVME_MATE));
	EXPECT_EQ(VFIO_GROUP_FLAGS_VIABLE | VFIO_GROUP_FLAGS_CONTAINER_SET, group_flags(g));
	d = EXPECT_OK(x_ioctl(g, VFIO_GROUP_GET_DEVICE_FD, EDU_SHARED));
	EXPECT_ERR(EBUSY, sys_write("/sys/bus/pci/drivers/nvme/bind", NVME_MATE)); /* where the old kernel died */
	config_write(d, 4, 2, 6);
	bar = x_mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, d, REGION(0));
	EXPECT(bar != MAP_FAILED);
	p[0] = 42;
	edu_dma(bar, 0x10000, 0x40000, 4096, 0);
	edu_dma(bar, 0x40000, 0x11000, 4096, 1);
	EXPECT_EQ(42, p[4096]);
}

TEST(old_msix, "20:IRQ-21", "MSI-X vectors are those that were enabled first: the others cannot be hooked, and can be unhooked")
{
	struct vfio_irq_info i = { .argsz = sizeof(i), .index = VFIO_PCI_MSIX_IRQ_INDEX };
	int32_t fd[4], off = -1;
	struct setup s;

	bind_vfio(NVME_MATE);
	bind_vfio(EDU_SHARED);
	s = open_device(NVME_MATE);
	EXPECT_OK(x_ioctl(s.device, VFIO_DEVICE_GET_IRQ_INFO, &i));
	EXPECT_EQ(4, i.count);
	EXPECT_EQ(VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE, i.flags);
	for (int k = 0; k < 4; k++)
		fd[k] = eventfd(0, EFD_NONBLOCK);
	EXPECT_OK(hook(s.device, VFIO_PCI_MSIX_IRQ_INDEX, 0, 2, fd));
	EXPECT_ERR(EINVAL, hook(s.device, VFIO_PCI_MSIX_IRQ_INDEX, 2, 1, fd + 2));
	EXPECT_OK(hook(s.device, VFIO_PCI_MSIX_IRQ_INDEX, 2, 1, &off));
	EXPECT_OK(hook(s.device, VFIO_PCI_MSIX_IRQ_INDEX, 1, 1, &off));
	EXPECT_OK(hook(s.device, VFIO_PCI_MSIX_IRQ_INDEX, 1, 1, fd + 1));
	EXPECT_OK(disable(s.device, VFIO_PCI_MSIX_IRQ_INDEX));
	EXPECT_OK(hook(s.device, VFIO_PCI_MSIX_IRQ_INDEX, 0, 4, fd));
	for (int k = 0; k < 4; k++)
		close(fd[k]);
}
