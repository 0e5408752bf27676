/* SPDX-License-Identifier: MIT */
/*
 * A machine in 60 lines: take the edu of the default machine through VFIO, give it a page of memory, have it copy
 * a sentence into its own buffer and back.   cc embedded.c $(pkg-config --cflags --libs libuvfio)
 */
#include <err.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <uvfio/uvfio.h>

#define BDF   "0000:00:03.0"
#define IOVA  0x100000ul
#define CHECK(x) ({ __typeof__(x) r_ = (x); if ((long)r_ == -1) err(1, "%s", #x); r_; })

static volatile uint64_t *reg64(volatile char *bar, unsigned offset)
{
	return (volatile uint64_t *)(bar + offset);
}

static void dma(volatile char *bar, uint64_t src, uint64_t dst, uint64_t count, uint64_t direction)
{
	*reg64(bar, 0x80) = src;
	*reg64(bar, 0x88) = dst;
	*reg64(bar, 0x90) = count;
	*reg64(bar, 0x98) = 1 | direction << 1;
	while (*reg64(bar, 0x98) & 1)
		;
}

int main(void)
{
	char why[1024], link[256] = "", node[300];
	struct uvfio_machine *m = uvfio_create(NULL, why, sizeof(why));

	if (!m)
		errx(1, "%s", why);
	CHECK(uvfio_readlink(m, "/sys/bus/pci/devices/" BDF "/iommu_group", link, sizeof(link) - 1));
	snprintf(node, sizeof(node), "/dev/vfio%s", strrchr(link, '/'));

	int container = CHECK(uvfio_open(m, "/dev/vfio/vfio", O_RDWR));
	int group = CHECK(uvfio_open(m, node, O_RDWR));
	CHECK(uvfio_ioctl(m, group, VFIO_GROUP_SET_CONTAINER, &container));
	CHECK(uvfio_ioctl(m, container, VFIO_SET_IOMMU, (void *)VFIO_TYPE1v2_IOMMU));
	int device = CHECK(uvfio_ioctl(m, group, VFIO_GROUP_GET_DEVICE_FD, BDF));

	char *ram = CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	struct vfio_iommu_type1_dma_map map = { .argsz = sizeof(map), .flags = VFIO_DMA_MAP_FLAG_READ |
		VFIO_DMA_MAP_FLAG_WRITE, .vaddr = (uintptr_t)ram, .iova = IOVA, .size = 4096 };
	CHECK(uvfio_ioctl(m, container, VFIO_IOMMU_MAP_DMA, &map));

	struct vfio_region_info config = { .argsz = sizeof(config), .index = VFIO_PCI_CONFIG_REGION_INDEX };
	struct vfio_region_info bar0 = { .argsz = sizeof(bar0), .index = VFIO_PCI_BAR0_REGION_INDEX };
	uint16_t command = 6; /* answer at BARs, be bus master */
	CHECK(uvfio_ioctl(m, device, VFIO_DEVICE_GET_REGION_INFO, &config));
	CHECK(uvfio_ioctl(m, device, VFIO_DEVICE_GET_REGION_INFO, &bar0));
	CHECK(uvfio_pwrite(m, device, &command, 2, (off_t)config.offset + 4));
	volatile char *bar = CHECK(uvfio_mmap(m, NULL, bar0.size, PROT_READ | PROT_WRITE, MAP_SHARED, device,
					      (off_t)bar0.offset));

	strcpy(ram, "hello from the device's own memory");
	dma(bar, IOVA, 0x40000, 64, 0);
	dma(bar, 0x40000, IOVA + 1024, 64, 1);
	printf("edu %#x says: %s\n", *(volatile uint32_t *)bar, ram + 1024);
	uvfio_report(m, stdout);
	uvfio_destroy(m);
	return 0;
}
