/* SPDX-License-Identifier: MIT */
/* MAP_DMA and UNMAP_DMA, version 1 and 2. */
#include "abi.h"
#include <sys/resource.h>
#include <time.h>

#define RW (VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)

static int with_type(unsigned long type)
{
	int g = EXPECT_OK(open_group(EDU)), c = EXPECT_OK(x_open("/dev/vfio/vfio", O_RDWR));

	EXPECT_OK(x_ioctl(g, VFIO_GROUP_SET_CONTAINER, &c));
	EXPECT_OK(x_ioctl(c, VFIO_SET_IOMMU, (void *)type));
	return c;
}

static void *ram(size_t n)
{
	return test_memory(n, PROT_READ | PROT_WRITE, MAP_PRIVATE);
}

TEST(map_argsz, "10:MAP-01", "MAP with argsz below 32, an unknown flag or a bad pointer is refused")
{
	int c = with_type(VFIO_TYPE1v2_IOMMU);
	struct vfio_iommu_type1_dma_map m = { .flags = RW, .vaddr = (uintptr_t)ram(4096), .iova = 0x1000, .size = 4096 };

	for (m.argsz = 0; m.argsz < 32; m.argsz++)
		EXPECT_ERR(EINVAL, x_ioctl(c, VFIO_IOMMU_MAP_DMA, &m));
	m.argsz = 32;
	m.flags = RW | 8;
	EXPECT_ERR(EINVAL, x_ioctl(c, VFIO_IOMMU_MAP_DMA, &m));
	m.flags = RW | 0x80000000;
	EXPECT_ERR(EINVAL, x_ioctl(c, VFIO_IOMMU_MAP_DMA, &m));
	EXPECT_ERR(EFAULT, x_ioctl(c, VFIO_IOMMU_MAP_DMA, (void *)8));
	EXPECT_ERR(EFAULT, x_ioctl(c, VFIO_IOMMU_MAP_DMA, NULL));
	m.flags = RW;
	m.argsz = 100;
	EXPECT_OK(x_ioctl(c, VFIO_IOMMU_MAP_DMA, &m));
}

TEST(map_zero, "10:MAP-02", "MAP of nothing is EINVAL")
{
	EXPECT_ERR(EINVAL, map_dma(with_type(VFIO_TYPE1v2_IOMMU), ram(4096), 0x1000, 0, RW));
}

TEST(map_wrap, "10:MAP-03", "a range that wraps is EOVERFLOW; one that ends at the last byte passes that test")
{
	int c = with_type(VFIO_TYPE1v2_IOMMU);
	char *p = ram(8192);

	EXPECT_ERR(EOVERFLOW, map_dma(c, p, ~0xfffull, 8192, RW));
	EXPECT_ERR(EOVERFLOW, map_dma(c, (void *)~0xffful, 0x1000, 8192, RW));
	EXPECT_ERR(EINVAL, map_dma(c, p, ~0xfffull, 4096, RW));
}

TEST(map_no_permission, "10:MAP-04", "MAP without READ, WRITE or VADDR, or with VADDR and READ, is EINVAL")
{
	int c = with_type(VFIO_TYPE1v2_IOMMU);

	EXPECT_ERR(EINVAL, map_dma(c, ram(4096), 0x1000, 4096, 0));
	EXPECT_ERR(EINVAL, map_dma(c, ram(4096), 0x1000, 4096, VFIO_DMA_MAP_FLAG_VADDR | VFIO_DMA_MAP_FLAG_READ));
}

TEST(map_align, "10:MAP-05", "iova, vaddr and size must be multiples of 4 KiB")
{
	int c = with_type(VFIO_TYPE1v2_IOMMU);
	char *p = ram(8192);

	EXPECT_ERR(EINVAL, map_dma(c, p, 0x1001, 4096, RW));
	EXPECT_ERR(EINVAL, map_dma(c, p + 8, 0x1000, 4096, RW));
	EXPECT_ERR(EINVAL, map_dma(c, p, 0x1000, 4095, RW));
	EXPECT_ERR(EINVAL, map_dma(c, p, 0x1000, 2048, RW));
}

TEST(map_overlap, "10:MAP-06", "MAP over an existing mapping is EEXIST, in v1 and v2")
{
	static const unsigned long type[] = { VFIO_TYPE1_IOMMU, VFIO_TYPE1v2_IOMMU };
	char *p = ram(16384);

	for (int i = 0; i < 2; i++) {
		int g = EXPECT_OK(open_group(EDU)), c = EXPECT_OK(x_open("/dev/vfio/vfio", O_RDWR));

		EXPECT_OK(x_ioctl(g, VFIO_GROUP_SET_CONTAINER, &c));
		EXPECT_OK(x_ioctl(c, VFIO_SET_IOMMU, (void *)type[i]));
		EXPECT_OK(map_dma(c, p, 0x10000, 8192, RW));
		EXPECT_ERR(EEXIST, map_dma(c, p, 0x10000, 8192, RW));
		EXPECT_ERR(EEXIST, map_dma(c, p, 0x11000, 8192, RW));
		EXPECT_ERR(EEXIST, map_dma(c, p, 0xf000, 8192, RW));
		EXPECT_ERR(EEXIST, map_dma(c, p, 0xf000, 16384, RW));
		EXPECT_OK(map_dma(c, p, 0xf000, 4096, RW));
		EXPECT_OK(map_dma(c, p, 0x12000, 4096, RW));
		EXPECT_OK(x_close(g));
		EXPECT_OK(x_close(c));
	}
}

TEST(map_limit, "10:MAP-07", "the 65536th mapping is ENOSPC, an overlap is told first")
{
	int c = with_type(VFIO_TYPE1v2_IOMMU);
	char *p = ram(4096);

	for (uint64_t i = 0; i < 65535; i++)
		EXPECT_OK(map_dma(c, p, 0x100000000ull + (i << 12), 4096, VFIO_DMA_MAP_FLAG_READ));
	EXPECT_ERR(EEXIST, map_dma(c, p, 0x100000000ull, 4096, VFIO_DMA_MAP_FLAG_READ));
	EXPECT_ERR(ENOSPC, map_dma(c, p, 0x1000, 4096, VFIO_DMA_MAP_FLAG_READ));
	EXPECT_ERR(ENOSPC, map_dma(c, p, 0xfee00000, 4096, VFIO_DMA_MAP_FLAG_READ));
	EXPECT_OK(unmap_dma(c, 0x100000000ull, 4096, NULL));
	EXPECT_OK(map_dma(c, p, 0x1000, 4096, VFIO_DMA_MAP_FLAG_READ));
}

TEST(map_reserved, "10:MAP-08", "MAP that touches the MSI window or leaves the address width is EINVAL")
{
	int c = with_type(VFIO_TYPE1v2_IOMMU);
	char *p = ram(8192);

	EXPECT_ERR(EINVAL, map_dma(c, p, 0xfee00000, 4096, RW));
	EXPECT_ERR(EINVAL, map_dma(c, p, 0xfedff000, 8192, RW));
	EXPECT_ERR(EINVAL, map_dma(c, p, 0xfeeff000, 8192, RW));
	EXPECT_ERR(EINVAL, map_dma(c, p, 1ull << 60, 4096, RW));
	EXPECT_OK(map_dma(c, p, 0xfedff000, 4096, RW));
	EXPECT_OK(map_dma(c, p, 0xfef00000, 4096, RW));
}

TEST(map_unmapped, "10:MAP-09", "MAP of memory that is not there is EFAULT, and nothing stays mapped")
{
	int c = with_type(VFIO_TYPE1v2_IOMMU);
	char *p = ram(3 * 4096);
	uint64_t n;

	EXPECT_OK(munmap(p + 4096, 4096));
	EXPECT_ERR(EFAULT, map_dma(c, p, 0x10000, 3 * 4096, RW));
	EXPECT_OK(unmap_dma(c, 0x10000, 3 * 4096, &n));
	EXPECT_EQ(0, n);
	EXPECT_OK(map_dma(c, p, 0x10000, 4096, RW));
	EXPECT_ERR(EFAULT, map_dma(c, NULL, 0x20000, 4096, RW));
}

TEST(map_read_only, "10:MAP-10", "read-only memory may be mapped for reading only")
{
	int c = with_type(VFIO_TYPE1v2_IOMMU);
	void *p = test_memory(4096, PROT_READ, MAP_PRIVATE);

	EXPECT_ERR(EFAULT, map_dma(c, p, 0x1000, 4096, RW));
	EXPECT_ERR(EFAULT, map_dma(c, p, 0x1000, 4096, VFIO_DMA_MAP_FLAG_WRITE));
	EXPECT_OK(map_dma(c, p, 0x1000, 4096, VFIO_DMA_MAP_FLAG_READ));
}

TEST(unmap_argsz, "10:UNM-11", "UNMAP with a short argsz or an unknown flag is EINVAL, and the struct stays as it was")
{
	int c = with_type(VFIO_TYPE1v2_IOMMU);
	struct vfio_iommu_type1_dma_unmap u = { .iova = 0x1000, .size = 4096 };

	EXPECT_OK(map_dma(c, ram(8192), 0x1000, 8192, RW));
	for (u.argsz = 0; u.argsz < 24; u.argsz++)
		EXPECT_ERR(EINVAL, x_ioctl(c, VFIO_IOMMU_UNMAP_DMA, &u));
	u.argsz = 24;
	u.flags = 8;
	EXPECT_ERR(EINVAL, x_ioctl(c, VFIO_IOMMU_UNMAP_DMA, &u));
	u.flags = 0;
	EXPECT_ERR(EINVAL, x_ioctl(c, VFIO_IOMMU_UNMAP_DMA, &u));
	EXPECT_EQ(4096, u.size);
	EXPECT_ERR(EFAULT, x_ioctl(c, VFIO_IOMMU_UNMAP_DMA, (void *)8));
	EXPECT_ERR(EINVAL, unmap_dma(c, 0x1000, 0, NULL));
	EXPECT_ERR(EINVAL, unmap_dma(c, 0x1001, 4096, NULL));
	EXPECT_ERR(EINVAL, unmap_dma(c, 0x1000, 100, NULL));
	EXPECT_ERR(EOVERFLOW, unmap_dma(c, ~0xfffull, 8192, NULL));
}

TEST(unmap_bisect, "10:UNM-01", "v2: a range that cuts a mapping is EINVAL and removes nothing")
{
	int c = with_type(VFIO_TYPE1v2_IOMMU);
	char *p = ram(16384);

	EXPECT_OK(map_dma(c, p, 0x10000, 16384, RW));
	EXPECT_ERR(EINVAL, unmap_dma(c, 0x10000, 4096, NULL));
	EXPECT_ERR(EINVAL, unmap_dma(c, 0x11000, 4096, NULL));
	EXPECT_ERR(EINVAL, unmap_dma(c, 0x13000, 8192, NULL));
	EXPECT_ERR(EINVAL, unmap_dma(c, 0x8000, 0x9000, NULL));
	EXPECT_ERR(EEXIST, map_dma(c, p, 0x12000, 4096, RW));
}

TEST(unmap_superset, "10:UNM-02", "v2: a range over several mappings and holes removes them all and says how much")
{
	int c = with_type(VFIO_TYPE1v2_IOMMU);
	char *p = ram(16384);
	uint64_t n;

	EXPECT_OK(map_dma(c, p, 0x10000, 4096, RW));
	EXPECT_OK(map_dma(c, p, 0x14000, 8192, RW));
	EXPECT_OK(map_dma(c, p, 0x20000, 4096, RW));
	EXPECT_OK(unmap_dma(c, 0xf000, 0x10000, &n));
	EXPECT_EQ(12288, n);
	EXPECT_ERR(EEXIST, map_dma(c, p, 0x20000, 4096, RW));
	EXPECT_OK(map_dma(c, p, 0x10000, 4096, RW));
}

TEST(unmap_v1, "10:UNM-03 10:UNM-04", "v1: a start inside a mapping removes nothing; an end inside one removes it whole")
{
	int c = with_type(VFIO_TYPE1_IOMMU);
	char *p = ram(16384);
	uint64_t n;

	EXPECT_OK(map_dma(c, p, 0x10000, 16384, RW));
	EXPECT_OK(unmap_dma(c, 0x11000, 4096, &n));
	EXPECT_EQ(0, n);
	EXPECT_ERR(EEXIST, map_dma(c, p, 0x12000, 4096, RW));
	EXPECT_OK(unmap_dma(c, 0x10000, 4096, &n));
	EXPECT_EQ(16384, n);
	EXPECT_OK(map_dma(c, p, 0x12000, 4096, RW));
}

TEST(unmap_nothing, "10:UNM-05", "UNMAP where nothing is succeeds with size 0")
{
	uint64_t n;

	EXPECT_OK(unmap_dma(with_type(VFIO_TYPE1v2_IOMMU), 0x1000, 4096, &n));
	EXPECT_EQ(0, n);
}

TEST(unmap_all, "10:UNM-06 10:UNM-07 10:UNM-08", "UNMAP ALL takes no range, removes everything and tells the total")
{
	int c = with_type(VFIO_TYPE1v2_IOMMU);
	struct vfio_iommu_type1_dma_unmap u = { .argsz = sizeof(u), .flags = VFIO_DMA_UNMAP_FLAG_ALL, .size = 4096 };
	char *p = ram(16384);

	EXPECT_ERR(EINVAL, x_ioctl(c, VFIO_IOMMU_UNMAP_DMA, &u));
	u.size = 0;
	u.iova = 4096;
	EXPECT_ERR(EINVAL, x_ioctl(c, VFIO_IOMMU_UNMAP_DMA, &u));
	u.iova = 0;
	u.flags |= VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP;
	EXPECT_ERR(EINVAL, x_ioctl(c, VFIO_IOMMU_UNMAP_DMA, &u));
	u.flags = VFIO_DMA_UNMAP_FLAG_ALL;
	EXPECT_OK(map_dma(c, p, 0x10000, 4096, RW));
	EXPECT_OK(map_dma(c, p, 0x7000000000, 16384, RW));
	EXPECT_OK(x_ioctl(c, VFIO_IOMMU_UNMAP_DMA, &u));
	EXPECT_EQ(20480, u.size);
	u.size = 0;
	EXPECT_OK(x_ioctl(c, VFIO_IOMMU_UNMAP_DMA, &u));
	EXPECT_EQ(0, u.size);
}

TEST(map_kinds, "10:MAP-11", "pages stay the device's target after the program unmapped them (shared memory)")
{
	struct setup s = open_device(EDU);
	int fd = memfd_create("ram", 0);
	volatile uint32_t *bar = x_mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_SHARED, s.device, REGION(0));
	uint32_t *p, *again;

	EXPECT((void *)bar != MAP_FAILED);
	EXPECT_OK(ftruncate(fd, 8192));
	p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	again = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	EXPECT(p != MAP_FAILED && again != MAP_FAILED);
	EXPECT_OK(map_dma(s.container, p, 0x100000, 8192, RW));
	p[0] = 0x12345678;
	munmap(p, 8192);
	close(fd);
	config_write(s.device, 4, 2, config_read(s.device, 4, 2) | 4);
	edu_dma(bar, 0x100000, 0x40000, 4, 0);
	edu_dma(bar, 0x40000, 0x101000, 4, 1);
	EXPECT_EQ(0x12345678, ((volatile uint32_t *)again)[1024]);
	munmap(again, 8192);
}

static int unmap_vaddr(int c, uint64_t iova, uint64_t size)
{
	struct vfio_iommu_type1_dma_unmap u = {
		.argsz = sizeof(u), .flags = VFIO_DMA_UNMAP_FLAG_VADDR, .iova = iova, .size = size,
	};

	return x_ioctl(c, VFIO_IOMMU_UNMAP_DMA, &u);
}

TEST(update_vaddr, "10:MAP-16 10:MAP-17 10:UNM-10", "VADDR: nothing mapped ENOENT, valid EINVAL; invalidated once, then given a new address")
{
	int c = with_type(VFIO_TYPE1v2_IOMMU);
	char *p = ram(8192);

	EXPECT_ERR(ENOENT, map_dma(c, p, 0x1000, 4096, VFIO_DMA_MAP_FLAG_VADDR));
	EXPECT_OK(map_dma(c, p, 0x1000, 8192, RW));
	EXPECT_ERR(EINVAL, map_dma(c, p, 0x1000, 8192, VFIO_DMA_MAP_FLAG_VADDR));
	EXPECT_OK(unmap_vaddr(c, 0x1000, 8192));
	EXPECT_ERR(EINVAL, unmap_vaddr(c, 0x1000, 8192));
	EXPECT_ERR(EINVAL, map_dma(c, p, 0x1000, 4096, VFIO_DMA_MAP_FLAG_VADDR));
	EXPECT_OK(map_dma(c, p, 0x1000, 8192, VFIO_DMA_MAP_FLAG_VADDR));
	EXPECT_ERR(EINVAL, map_dma(c, p, 0x1000, 8192, VFIO_DMA_MAP_FLAG_VADDR));
	EXPECT_OK(unmap_dma(c, 0x1000, 8192, NULL));
}

TEST(bar_as_memory, "10:MAP-12 10:MAP-13 20:MEM-12 20:MEM-13", "a BAR mapping can be mapped for DMA untouched; not while memory is disabled")
{
	struct setup s = open_device(EDU);
	void *bar = x_mmap(NULL, 0x2000, PROT_READ | PROT_WRITE, MAP_SHARED, s.device, REGION(0));
	uint32_t cmd = config_read(s.device, 4, 2);

	EXPECT(bar != MAP_FAILED);
	EXPECT_OK(map_dma(s.container, bar, 0x100000, 0x1000, RW));
	EXPECT_OK(unmap_dma(s.container, 0x100000, 0x1000, NULL));
	config_write(s.device, 4, 2, cmd & ~2u);
	EXPECT_ERR(EFAULT, map_dma(s.container, bar, 0x100000, 0x2000, RW));
	config_write(s.device, 4, 2, cmd);
	EXPECT_OK(map_dma(s.container, bar, 0x100000, 0x2000, RW));
}

/* What the edu has at 0x40000 goes to @iova: 4 bytes. */
static void edu_store(volatile void *bar, uint64_t iova)
{
	edu_dma(bar, 0x40000, iova, 4, 1);
}

/* Writes from device to device are posted: they may arrive after the transfer has ended. */
static void expect_arrives(const volatile uint32_t *reg, uint32_t value)
{
	struct timespec ms = { .tv_nsec = 1000000 };

	for (int i = 0; i < 60000 && *reg != value; i++)
		nanosleep(&ms, NULL);
	EXPECT_EQ(value, *reg);
}

TEST(bar_goes_off, "10:MAP-15", "disabling memory leaves its mapping in the IOMMU: DMA comes to nothing, and works again when it is on")
{
	uint32_t *ram = test_memory(4096, PROT_READ | PROT_WRITE, MAP_SHARED), cmd;
	struct setup s = open_device(EDU), o = { .container = s.container };
	volatile uint32_t *bar = x_mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_SHARED, s.device, REGION(0)), *target;
	uint64_t n;

	EXPECT_OK(sys_write("/sys/bus/pci/devices/" NVME_MATE "/driver/unbind", NVME_MATE));
	o.group = EXPECT_OK(open_group(EDU_SHARED));
	EXPECT_OK(x_ioctl(o.group, VFIO_GROUP_SET_CONTAINER, &o.container));
	o.device = EXPECT_OK(x_ioctl(o.group, VFIO_GROUP_GET_DEVICE_FD, EDU_SHARED));
	target = x_mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_SHARED, o.device, REGION(0));
	EXPECT((void *)bar != MAP_FAILED && (void *)target != MAP_FAILED);
	EXPECT_OK(map_dma(s.container, ram, 0x100000, 4096, RW));
	EXPECT_OK(map_dma(s.container, (void *)target, 0x200000, 4096, RW));
	config_write(s.device, 4, 2, config_read(s.device, 4, 2) | 4);
	ram[0] = 0x12345678;
	edu_dma(bar, 0x100000, 0x40000, 4, 0);
	edu_store(bar, 0x200004);
	expect_arrives(&target[1], ~0x12345678u); /* the register of the other edu that inverts */
	target[1] = 0;
	cmd = config_read(o.device, 4, 2);
	config_write(o.device, 4, 2, cmd & ~2u);
	edu_store(bar, 0x200004);
	EXPECT_ERR(EEXIST, map_dma(s.container, ram, 0x200000, 4096, RW));
	config_write(o.device, 4, 2, cmd);
	EXPECT_EQ(~0u, target[1]);
	edu_store(bar, 0x200004);
	expect_arrives(&target[1], ~0x12345678u);
	config_write(o.device, 4, 2, cmd & ~2u);
	EXPECT_OK(unmap_dma(s.container, 0x200000, 4096, &n));
	EXPECT_EQ(4096, n);
	EXPECT_OK(x_munmap((void *)(uintptr_t)target, 0x1000));
	EXPECT_OK(x_close(o.device));
	EXPECT_OK(x_close(o.group));
	bind_host(NVME_MATE);
}
