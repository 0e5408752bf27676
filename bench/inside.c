/* SPDX-License-Identifier: MIT */
/*
 * The same from inside uvfio run, on the built-in machine's edu.
 *	run.untrapped     a system call not meant for us
 *	run.config        a 4-byte config pread
 *	run.load          a load of the identity register through the mapping
 *	run.store         a store to the liveness register
 *	run.doorbell      a store that raises an MSI, until its eventfd was read
 *	run.map           MAP and UNMAP of 4 KiB, both
 *	run.ioas_map      the same by iommufd, the device attached
 */
#define BENCH_ROUNDS 1001 /* as floor.c */
#include "abi/iommufd.h"
#include "abi/vfio.h"
#include "bench.h"
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The device's group has left its container; now it is attached to an address space. */
static int bench_ioas(int g)
{
	void *ram = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct iommu_vfio_ioas compat = { .size = sizeof(compat), .op = IOMMU_VFIO_IOAS_GET };
	int fd = open("/dev/iommu", O_RDWR);

	if (ioctl(g, VFIO_GROUP_SET_CONTAINER, &fd) || ioctl(g, VFIO_GROUP_GET_DEVICE_FD, "0000:00:03.0") < 0 ||
	    ioctl(fd, IOMMU_VFIO_IOAS, &compat))
		return 1;
	struct iommu_ioas_map m = { .size = sizeof(m), .ioas_id = compat.ioas_id, .user_va = (uintptr_t)ram,
				    .length = 4096, .iova = 0x100000,
				    .flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE };
	struct iommu_ioas_unmap u = { .size = sizeof(u), .ioas_id = compat.ioas_id, .iova = 0x100000 };
	int rc = 0;

	BENCH("run.ioas_map", 20, rc |= ioctl(fd, IOMMU_IOAS_MAP, &m); u.length = 4096;
	      rc |= ioctl(fd, IOMMU_IOAS_UNMAP, &u));
	return rc != 0;
}

int main(void)
{
	int c = open("/dev/vfio/vfio", O_RDWR), g, d;
	volatile uint32_t *bar;
	char link[256], path[64];
	ssize_t n = readlink("/sys/bus/pci/devices/0000:00:03.0/iommu_group", link, 255);
	uint32_t v;
	uint16_t cmd = 6;
	uint64_t count;

	if (n < 0) {
		fprintf(stderr, "run me under uvfio run\n");
		return 1;
	}
	link[n] = 0;
	snprintf(path, sizeof(path), "/dev/vfio/%s", strrchr(link, '/') + 1);
	g = open(path, O_RDWR);
	if (ioctl(g, VFIO_GROUP_SET_CONTAINER, &c) || ioctl(c, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		return 1;
	d = ioctl(g, VFIO_GROUP_GET_DEVICE_FD, "0000:00:03.0");
	bar = mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_SHARED, d, 0);
	if (d < 0 || (void *)bar == MAP_FAILED)
		return 1;
	(void)!pwrite(d, &cmd, 2, ((off_t)7 << 40) + 4);

	BENCH("run.untrapped", 500, syscall(SYS_getppid));
	BENCH("run.config", 20, (void)!pread(d, &v, 4, (off_t)7 << 40));
	BENCH("run.load", 20, (void)bar[0]);
	BENCH("run.store", 20, bar[1] = 5);

	struct {
		struct vfio_irq_set h;
		int32_t fd;
	} irq = { { sizeof(irq), VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, 1, 0, 1 }, eventfd(0, 0) };
	if (ioctl(d, VFIO_DEVICE_SET_IRQS, &irq))
		return 1;
	BENCH("run.doorbell", 20, bar[0x60 / 4] = 1; (void)!read(irq.fd, &count, 8));

	void *ram = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct vfio_iommu_type1_dma_map m = { sizeof(m), 3, (uintptr_t)ram, 0x100000, 4096 };
	struct vfio_iommu_type1_dma_unmap u = { .argsz = sizeof(u), .iova = 0x100000 };
	BENCH("run.map", 20, ioctl(c, VFIO_IOMMU_MAP_DMA, &m); u.size = 4096; ioctl(c, VFIO_IOMMU_UNMAP_DMA, &u));

	munmap((void *)bar, 0x1000);
	close(d);
	if (ioctl(g, VFIO_GROUP_UNSET_CONTAINER))
		return 1;
	return bench_ioas(g);
}
