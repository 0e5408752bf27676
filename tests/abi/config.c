/* SPDX-License-Identifier: MIT */
/* Config space as a program sees it: what is virtual, what is dropped, what reaches the device. */
#include "abi.h"

static unsigned find_cap(int d, unsigned id)
{
	for (unsigned at = config_read(d, 0x34, 1), n = 0; at && n < 48; at = config_read(d, at + 1, 1), n++) {
		if (config_read(d, at, 1) == id)
			return at;
	}
	return 0;
}

static unsigned sysfs_hex(const char *bdf, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", bdf, name);
	return (unsigned)strtoul(EXPECT_OK(sys_read(path) ? 0 : -1) == 0 ? sys_read(path) : "", NULL, 16);
}

TEST(ids, "20:CFG-01 20:CFG-02", "vendor and device are those of sysfs, and cannot be written")
{
	struct setup s = open_device(EDU);

	EXPECT_EQ(sysfs_hex(EDU, "vendor"), config_read(s.device, 0, 2));
	EXPECT_EQ(sysfs_hex(EDU, "device"), config_read(s.device, 2, 2));
	config_write(s.device, 0, 4, 0xffffffff);
	EXPECT_EQ(0x11e81234, config_read(s.device, 0, 4));
}

TEST(bus_master, "20:CFG-04", "bus mastering reads back as written, and without it no DMA moves")
{
	struct setup s = open_device(EDU);
	uint32_t *ram = test_memory(4096, PROT_READ | PROT_WRITE, MAP_SHARED);
	volatile uint32_t *bar = x_mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_SHARED, s.device, REGION(0));
	uint32_t cmd = config_read(s.device, 4, 2);

	EXPECT((void *)bar != MAP_FAILED);
	EXPECT_OK(map_dma(s.container, ram, 0x100000, 4096, VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE));
	config_write(s.device, 4, 2, cmd | 4);
	EXPECT_EQ(cmd | 4, config_read(s.device, 4, 2));
	ram[0] = 0xabcdef01;
	edu_dma(bar, 0x100000, 0x40000, 4, 0);
	config_write(s.device, 4, 2, cmd & ~4u);
	EXPECT_EQ(cmd & ~4u, config_read(s.device, 4, 2));
	edu_dma(bar, 0x40000, 0x100100, 4, 1);
	EXPECT_EQ(0, ((volatile uint32_t *)ram)[64]);
	config_write(s.device, 4, 2, cmd | 4);
	edu_dma(bar, 0x40000, 0x100100, 4, 1);
	EXPECT_EQ(0xabcdef01, ((volatile uint32_t *)ram)[64]);
}

TEST(status_rw1c, "20:CFG-05", "STATUS cannot be cleared by writing ones")
{
	struct setup s = open_device(EDU);
	uint32_t st = config_read(s.device, 6, 2);

	config_write(s.device, 6, 2, 0xffff);
	EXPECT_EQ(st, config_read(s.device, 6, 2));
}

TEST(interrupt_line, "20:CFG-06 20:CFG-07", "the interrupt line is scratch, the pin is read-only")
{
	struct setup s = open_device(EDU);

	config_write(s.device, 0x3c, 1, 0x5a);
	EXPECT_EQ(0x5a, config_read(s.device, 0x3c, 1));
	EXPECT_EQ(1, config_read(s.device, 0x3d, 1));
	config_write(s.device, 0x3d, 1, 4);
	EXPECT_EQ(1, config_read(s.device, 0x3d, 1));
}

TEST(bar_sizing, "20:CFG-08 20:CFG-10 20:CFG-12 20:CFG-14", "BARs size as hardware would, and never move the decoding")
{
	struct setup s = open_device(EDU);
	uint32_t first = config_read(s.device, 0x10, 4), v;

	EXPECT(first != 0 && (first & 0xfffff) == 0);
	config_write(s.device, 0x10, 4, 0xffffffff);
	EXPECT_EQ(0xfff00000, config_read(s.device, 0x10, 4));
	config_write(s.device, 0x14, 4, 0xffffffff);
	EXPECT_EQ(0, config_read(s.device, 0x14, 4));
	config_write(s.device, 0x10, 4, 0x12345678);
	EXPECT_EQ(0x12300000, config_read(s.device, 0x10, 4));
	EXPECT_EQ(4, x_pread(s.device, &v, 4, REGION(0)));
	EXPECT_EQ(0x010000ed, v);
}

TEST(intx_disable, "20:CFG-15 20:CFG-58", "COMMAND's INTx disable reads back as written, by word or by its byte")
{
	struct setup s = open_device(EDU);
	uint32_t cmd = config_read(s.device, 4, 2);

	config_write(s.device, 4, 2, cmd | 0x400);
	EXPECT_EQ(cmd | 0x400, config_read(s.device, 4, 2));
	config_write(s.device, 5, 1, cmd >> 8);
	EXPECT_EQ(cmd, config_read(s.device, 4, 2));
	config_write(s.device, 5, 1, cmd >> 8 | 4);
	EXPECT_EQ(cmd | 0x400, config_read(s.device, 4, 2));
}

TEST(msi_virtual, "20:CFG-32 20:CFG-33", "MSI address and data are the program's own; the enable bit is SET_IRQS's")
{
	struct setup s = open_device(EDU);
	unsigned msi = find_cap(s.device, 5);

	EXPECT(msi);
	config_write(s.device, msi + 4, 4, 0xfee01234);
	EXPECT_EQ(0xfee01234, config_read(s.device, msi + 4, 4));
	config_write(s.device, msi + 2, 2, config_read(s.device, msi + 2, 2) | 1);
	EXPECT_EQ(0, config_read(s.device, msi + 2, 2) & 1);
}

TEST(msix_control, "20:CFG-35", "MSI-X control cannot be written, and shows what SET_IRQS did")
{
	struct setup s = open_device(IGB);
	unsigned cap = find_cap(s.device, 0x11);
	struct {
		struct vfio_irq_set h;
		int32_t fd;
	} irq = { { sizeof(irq), VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, 2, 0, 1 }, eventfd(0, EFD_CLOEXEC) };

	EXPECT(cap);
	config_write(s.device, cap + 2, 2, 0x8000);
	EXPECT_EQ(0, config_read(s.device, cap + 2, 2) & 0x8000);
	EXPECT_OK(x_ioctl(s.device, VFIO_DEVICE_SET_IRQS, &irq));
	EXPECT_EQ(0x8000, config_read(s.device, cap + 2, 2) & 0x8000);
	close(irq.fd);
}

TEST(unaligned, "20:CFG-50 20:CFG-51 20:CFG-53", "any width at any offset equals the bytes; the whole space reads in one call")
{
	struct setup s = open_device(EDU);
	uint8_t all[256], one[256];
	uint32_t v;

	EXPECT_EQ(256, x_pread(s.device, all, 256, REGION(7)));
	for (unsigned i = 0; i < 256; i++)
		one[i] = (uint8_t)config_read(s.device, i, 1);
	EXPECT(memcmp(all, one, 256) == 0);
	for (unsigned i = 0; i + 4 <= 256; i++) {
		EXPECT_EQ(4, x_pread(s.device, &v, 4, REGION(7) + i));
		EXPECT(memcmp(&v, one + i, 4) == 0);
	}
}

TEST(express, "20:CFG-52 20:REG-11", "a PCIe function has 4096 bytes, in one call")
{
	static uint8_t all[4096];
	struct setup s = open_device(IGB);

	EXPECT_EQ(4096, region_size(s.device, 7));
	EXPECT_EQ(4096, x_pread(s.device, all, 4096, REGION(7)));
	EXPECT_ERR(EFAULT, x_pread(s.device, all, 4096, REGION(7) + 1));
	EXPECT_EQ(0x86, all[0]);
}

TEST(flr_bit, "20:CFG-25 20:CFG-54", "the FLR bit resets and reads 0; COMMAND stays as the program set it")
{
	struct setup s = open_device(IGB);
	unsigned pcie = find_cap(s.device, 0x10);
	uint32_t cmd;

	EXPECT(pcie);
	EXPECT(config_read(s.device, pcie + 4, 4) & 1u << 28);
	config_write(s.device, 4, 2, config_read(s.device, 4, 2) | 4);
	cmd = config_read(s.device, 4, 2);
	config_write(s.device, pcie + 8, 2, config_read(s.device, pcie + 8, 2) | 0x8000);
	EXPECT_EQ(0, config_read(s.device, pcie + 8, 2) & 0x8000);
	EXPECT_EQ(cmd, config_read(s.device, 4, 2));
	EXPECT_OK(x_ioctl(s.device, VFIO_DEVICE_RESET, NULL));
	EXPECT_EQ(cmd, config_read(s.device, 4, 2));
}

TEST(power, "20:CFG-23 20:CFG-56 20:MEM-04 20:CFG-22", "D3hot by PMCSR gates memory, config goes on; D0 returns")
{
	struct setup s = open_device(IGB);
	unsigned pm = find_cap(s.device, 1);
	uint32_t v;

	EXPECT(pm);
	EXPECT_EQ(0, config_read(s.device, pm + 2, 2) & 0xf800);
	config_write(s.device, pm + 4, 2, 3);
	EXPECT_EQ(3, config_read(s.device, pm + 4, 2) & 3);
	EXPECT_ERR(EIO, x_pread(s.device, &v, 4, REGION(0)));
	EXPECT_EQ(0x10c98086, config_read(s.device, 0, 4));
	config_write(s.device, pm + 4, 2, 0);
	EXPECT_EQ(0, config_read(s.device, pm + 4, 2) & 3);
	EXPECT_EQ(4, x_pread(s.device, &v, 4, REGION(0)));
}
