/* SPDX-License-Identifier: MIT */
/* Containers and groups, and what a context has of them. */
#include "fuzz.h"

void do_set_iommu(void)
{
	int fd = pick(CTX);

	try(fd, VFIO_SET_IOMMU, (void *)(uintptr_t)(byte() ^ VFIO_TYPE1v2_IOMMU));
}

void do_extension(void)
{
	int fd = pick(CTX);

	try(fd, VFIO_CHECK_EXTENSION, (void *)(uintptr_t)byte());
}

void do_map_dma(void)
{
	struct vfio_iommu_type1_dma_map a = { .argsz = sizeof(a) };
	int fd = pick(CTX);

	a.flags = flags() ^ 3;
	a.iova = iova();
	a.vaddr = uva();
	a.size = length();
	CALL(fd, VFIO_IOMMU_MAP_DMA, a);
}

void do_unmap_dma(void)
{
	struct {
		struct vfio_iommu_type1_dma_unmap a;
		struct vfio_bitmap bitmap;
	} x = { .a.argsz = sizeof(x), .bitmap.pgsize = PAGE };
	int fd = pick(CTX);

	x.a.flags = flags();
	x.a.iova = iova();
	x.a.size = length();
	if (x.a.flags & VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP) {
		x.bitmap.data = uva();
		x.bitmap.size = length();
	}
	CALL(fd, VFIO_IOMMU_UNMAP_DMA, x);
}

void do_dirty_pages(void)
{
	struct {
		struct vfio_iommu_type1_dirty_bitmap a;
		struct vfio_iommu_type1_dirty_bitmap_get get;
	} x = { .a.argsz = sizeof(x), .get.bitmap.pgsize = PAGE };
	int fd = pick(CTX);

	x.a.flags = flags();
	if (x.a.flags & VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP) {
		x.get.iova = iova();
		x.get.size = length();
		x.get.bitmap.data = uva();
		x.get.bitmap.size = length();
	}
	CALL(fd, VFIO_IOMMU_DIRTY_PAGES, x);
}

void do_get_info(void)
{
	struct {
		struct vfio_iommu_type1_info a;
		uint8_t caps[256];
	} x = { .a.argsz = sizeof(x) };

	CALL(pick(CTX), VFIO_IOMMU_GET_INFO, x);
}

void do_set_container(void)
{
	int group = pick(GROUP), fd;

	fd = pick(byte() & 1 ? CONTAINER : CTX);
	try(group, VFIO_GROUP_SET_CONTAINER, &fd);
}

void do_unset_container(void)
{
	try(pick(GROUP), VFIO_GROUP_UNSET_CONTAINER, NULL);
}

void do_get_device(void)
{
	int group = pick(GROUP);
	unsigned i = byte() % ndevices;

	file_add(try(group, VFIO_GROUP_GET_DEVICE_FD, (void *)devices[i].name), DEVICE);
}
