/* SPDX-License-Identifier: MIT */
/*
 * Bad input: every ioctl with every argsz, bad pointers, closed descriptors, wild mmaps. What counts is
 * that each call comes back with an errno that is one of the allowed, and that the machine works afterwards.
 */
#include "abi.h"

static void still_works(struct setup *s)
{
	uint32_t v;

	EXPECT_EQ(0x11e81234, config_read(s->device, 0, 4));
	EXPECT_EQ(4, x_pread(s->device, &v, 4, REGION(0)));
	EXPECT_EQ(0x010000ed, v);
}

TEST(every_argsz, "20:DEV-01 20:REG-01 20:IRQ-08", "every ioctl of every file with every argsz up to past the structure: an errno or success, never harm")
{
	struct setup s = open_device(EDU);
	static const struct { unsigned first, last; } range[] = { { 0, 2 }, { 12, 17 }, { 3, 5 }, { 7, 18 } };
	uint32_t *arg = test_memory(4096, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	int fds[] = { s.container, s.container, s.group, s.device };

	for (unsigned r = 0; r < 4; r++) {
		for (unsigned n = range[r].first; n <= range[r].last; n++) {
			if (r == 2 && n == 5)
				continue; /* UNSET_CONTAINER has no argument */
			for (uint32_t argsz = 0; argsz < 72; argsz++) {
				memset(arg, 0, 256);
				arg[0] = argsz;
				if (x_ioctl(fds[r], VFIO_IO(n), arg) < 0)
					EXPECT(errno == EINVAL || errno == ENOTTY || errno == ENODEV || errno == EFAULT ||
					       errno == EBADF || errno == ENOSPC || errno == EBADFD || errno == EPERM);
				memset(arg, 0xff, 256);
				arg[0] = argsz;
				if (n != 4)
					(void)x_ioctl(fds[r], VFIO_IO(n), arg);
			}
		}
	}
	still_works(&s);
}

TEST(page_end, "20:DEV-06", "a structure that runs into an unmapped page is EFAULT at every length")
{
	struct setup s = open_device(EDU);
	char *p = test_memory(8192, PROT_READ | PROT_WRITE, MAP_PRIVATE);

	EXPECT_OK(mprotect(p + 4096, 4096, PROT_NONE));
	for (unsigned n = 1; n < 16; n++) {
		uint32_t *arg = (void *)(p + 4096 - n);

		if (n >= 4)
			memcpy(arg, &(uint32_t){ 64 }, 4);
		EXPECT_ERR(EFAULT, x_ioctl(s.device, VFIO_DEVICE_GET_INFO, arg));
		EXPECT_ERR(EFAULT, x_ioctl(s.device, VFIO_DEVICE_GET_REGION_INFO, arg));
		EXPECT_ERR(EFAULT, x_ioctl(s.device, VFIO_DEVICE_SET_IRQS, arg));
		EXPECT_ERR(EFAULT, x_ioctl(s.container, VFIO_IOMMU_MAP_DMA, arg));
		EXPECT_ERR(EFAULT, x_ioctl(s.container, VFIO_IOMMU_UNMAP_DMA, arg));
		EXPECT_ERR(EFAULT, x_ioctl(s.container, VFIO_IOMMU_GET_INFO, arg));
	}
	still_works(&s);
}

TEST(unwritable, "20:DEV-06", "an answer that cannot be written is EFAULT")
{
	struct setup s = open_device(EDU);
	uint32_t *p = test_memory(4096, PROT_READ | PROT_WRITE, MAP_PRIVATE);

	p[0] = 32;
	EXPECT_OK(mprotect(p, 4096, PROT_READ));
	EXPECT_ERR(EFAULT, x_ioctl(s.device, VFIO_DEVICE_GET_INFO, p));
	EXPECT_ERR(EFAULT, x_ioctl(s.device, VFIO_DEVICE_GET_REGION_INFO, p));
	EXPECT_ERR(EFAULT, x_ioctl(s.device, VFIO_DEVICE_GET_IRQ_INFO, p));
	EXPECT_ERR(EFAULT, x_pread(s.device, p, 4, REGION(7)));
	EXPECT_ERR(EFAULT, x_pread(s.device, p, 4, REGION(0)));
	still_works(&s);
}

TEST(closed, "10:GRP-05", "calls on a closed descriptor are EBADF")
{
	struct setup s = open_device(EDU);
	int d = s.device;
	char b[4];

	EXPECT_OK(x_close(s.device));
	EXPECT_ERR(EBADF, x_ioctl(d, VFIO_DEVICE_GET_INFO, b));
	EXPECT_ERR(EBADF, x_pread(d, b, 4, REGION(7)));
	EXPECT_ERR(EBADF, x_close(d));
}

TEST(wild_mmap, "20:MAP-03", "mmap with every kind of bad offset and length: EINVAL")
{
	struct setup s = open_device(EDU);
	static const struct { uint64_t off, len; } bad[] = {
		{ REGION(0), 0x100001 }, { REGION(0) + 0x1000, 0x100000 }, { REGION(0) + 0x100000, 1 }, { REGION(2), 4096 },
		{ REGION(5), 4096 }, { REGION(6), 4096 }, { REGION(7), 4096 }, { REGION(9), 4096 }, { REGION(0x7fff), 4096 },
		{ 0x7ffffffffffff000, 4096 }, { REGION(0), 1ull << 46 },
	};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		errno = 0;
		EXPECT(x_mmap(NULL, bad[i].len, PROT_READ, MAP_SHARED, s.device, bad[i].off) == MAP_FAILED);
		EXPECT(errno == EINVAL || errno == ENOMEM || errno == EOVERFLOW);
	}
	EXPECT(x_mmap(NULL, 0, PROT_READ, MAP_SHARED, s.device, 0) == MAP_FAILED);
	still_works(&s);
}

TEST(dma_nowhere, "10:OWN-09 10:MAP-09", "DMA to addresses that are not mapped or read-only moves nothing and stops nobody")
{
	struct setup s = open_device(EDU);
	volatile uint32_t *bar = x_mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_SHARED, s.device, REGION(0));
	static const uint64_t where[] = { 0, 0x1000, 0xfee0000, 0xffffff0, 0x5000000 };

	EXPECT((void *)bar != MAP_FAILED);
	config_write(s.device, 4, 2, config_read(s.device, 4, 2) | 4);
	for (unsigned i = 0; i < sizeof(where) / sizeof(where[0]); i++) {
		edu_dma(bar, where[i], 0x40000, 16, 0);
		edu_dma(bar, 0x40000, where[i], 16, 1);
	}
	still_works(&s);
}

TEST(freed_memory, "10:MAP-11", "DMA into private memory the program has freed harms nobody")
{
	struct setup s = open_device(EDU);
	volatile uint32_t *bar = x_mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_SHARED, s.device, REGION(0));
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t n;

	EXPECT((void *)bar != MAP_FAILED && p != MAP_FAILED);
	EXPECT_OK(map_dma(s.container, p, 0x100000, 4096, VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE));
	EXPECT_OK(munmap(p, 4096));
	config_write(s.device, 4, 2, config_read(s.device, 4, 2) | 4);
	edu_dma(bar, 0x100000, 0x40000, 4096, 0);
	edu_dma(bar, 0x40000, 0x100000, 4096, 1);
	still_works(&s);
	EXPECT_OK(unmap_dma(s.container, 0x100000, 4096, &n));
	EXPECT_EQ(4096, n);
}
