/* SPDX-License-Identifier: MIT */
/* The embedded machine: a config read, MAP and UNMAP, a DMA of 2 MiB, beside an empty call. */
#define BENCH_ROUNDS 1001 /* as floor.c */
#include "abi/vfio.h"
#include "bench.h"
#include "uvfio/uvfio.h"
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

int main(void)
{
	char err[512];
	struct uvfio_machine *m = uvfio_create(NULL, err, sizeof(err));
	int c, g, d;
	uint32_t v;
	char path[64], link[256];
	ssize_t n;

	if (!m) {
		fprintf(stderr, "%s\n", err);
		return 1;
	}
	n = uvfio_readlink(m, "/sys/bus/pci/devices/0000:00:03.0/iommu_group", link, 255);
	link[n > 0 ? n : 0] = 0;
	snprintf(path, sizeof(path), "/dev/vfio/%s", strrchr(link, '/') + 1);
	c = uvfio_open(m, "/dev/vfio/vfio", O_RDWR);
	g = uvfio_open(m, path, O_RDWR);
	if (uvfio_ioctl(m, g, VFIO_GROUP_SET_CONTAINER, &c) || uvfio_ioctl(m, c, VFIO_SET_IOMMU, (void *)VFIO_TYPE1v2_IOMMU))
		return 1;
	d = uvfio_ioctl(m, g, VFIO_GROUP_GET_DEVICE_FD, "0000:00:03.0");
	if (d < 0)
		return 1;
	void *ram = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct vfio_iommu_type1_dma_map map = { sizeof(map), 3, (uintptr_t)ram, 0x100000, 4096 };
	struct vfio_iommu_type1_dma_unmap un = { .argsz = sizeof(un), .iova = 0x100000 };

	BENCH("embedded.empty", 500, uvfio_ioctl(m, c, VFIO_GET_API_VERSION, NULL));
	BENCH("embedded.config_pread", 500, (void)uvfio_pread(m, d, &v, 4, (off_t)7 << 40));
	BENCH("embedded.map_unmap", 50, uvfio_ioctl(m, c, VFIO_IOMMU_MAP_DMA, &map); un.size = 4096;
	      uvfio_ioctl(m, c, VFIO_IOMMU_UNMAP_DMA, &un));
	uvfio_close(m, d);
	uvfio_close(m, g);
	uvfio_close(m, c);
	uvfio_destroy(m);
	return 0;
}
