/* SPDX-License-Identifier: MIT */
/*
 * Config space of functions that were made for it (tests/machines/pcitest.yaml): each capability, what of it is seen, and
 * what of a write reaches the hardware, which is seen through sysfs.
 */
#include "abi.h"

#define PLAIN        "0000:00:03.0"
#define BARE         "0000:00:04.0"
#define FIRST_HIDDEN "0000:01:00.0"
#define ALL_HIDDEN   "0000:02:00.0"
#define FACE         "0000:03:00.0"
#define COMMAND      4
#define MEM          2u
#define STATUS       6
#define BAR(i)       (0x10 + 4 * (i))
#define ROM          0x30

/* Config space as the hardware has it. */
static uint32_t hardware(const char *bdf, unsigned off, unsigned width)
{
	char path[128];
	uint32_t v = 0;
	int fd;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config", bdf);
	fd = EXPECT_OK(x_open(path, O_RDONLY));
	EXPECT_EQ(width, x_pread(fd, &v, width, off));
	x_close(fd);
	return v;
}

static void hardware_write(const char *bdf, unsigned off, unsigned width, uint32_t v)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config", bdf);
	fd = EXPECT_OK(x_open(path, O_RDWR));
	EXPECT_EQ(width, x_pwrite(fd, &v, width, off));
	x_close(fd);
}

/* Offset of a capability in the chain that the program sees; 0: it is not there */
static unsigned cap(int d, unsigned id)
{
	for (unsigned at = config_read(d, 0x34, 1), n = 0; at && n < 48; at = config_read(d, at + 1, 1), n++) {
		if (config_read(d, at, 1) == id)
			return at;
	}
	return 0;
}

static unsigned ext_cap(int d, unsigned id)
{
	for (unsigned at = 0x100, n = 0; at && n < 960; at = config_read(d, at, 4) >> 20, n++) {
		if ((config_read(d, at, 4) & 0xffff) == id)
			return at;
	}
	return 0;
}

/* Resets that a function with its log in BAR 1 has seen. */
static uint32_t resets(int d)
{
	uint32_t n = 0;

	EXPECT_EQ(4, x_pread(d, &n, 4, REGION(1) + 4));
	return n;
}

/* ---- the header ---- */

TEST_ON("pcitest", bar_sizing, "20:CFG-09 20:CFG-13 20:CFG-14 20:REG-04", "BARs of 64 bits size over two dwords, I/O BARs keep bit 0")
{
	struct setup s = open_device(FACE);

	for (unsigned i = 0; i < 6; i++)
		EXPECT_EQ(hardware(FACE, BAR(i), 4), config_read(s.device, BAR(i), 4));
	for (unsigned i = 0; i < 6; i++)
		config_write(s.device, BAR(i), 4, ~0u);
	EXPECT_EQ(0xffff0000, config_read(s.device, BAR(0), 4));
	EXPECT_EQ(0xfffff000, config_read(s.device, BAR(1), 4));
	EXPECT_EQ(0x0000000c, config_read(s.device, BAR(2), 4)); /* 8 GiB, prefetchable */
	EXPECT_EQ(0xfffffffe, config_read(s.device, BAR(3), 4));
	EXPECT_EQ(0xffffff81, config_read(s.device, BAR(4), 4));
	config_write(s.device, BAR(4), 4, 0);
	EXPECT_EQ(1, config_read(s.device, BAR(4), 4));
	EXPECT_EQ(8ull << 30, region_size(s.device, 2));
	EXPECT_EQ(0, region_size(s.device, 3));
}

TEST_ON("pcitest", rom_sizing, "20:CFG-11", "the ROM's BAR sizes, keeps its enable bit as written, and enables nothing")
{
	struct setup s = open_device(FACE);

	EXPECT_EQ(hardware(FACE, ROM, 4), config_read(s.device, ROM, 4));
	config_write(s.device, ROM, 4, ~0u);
	EXPECT_EQ(0xffff0001, config_read(s.device, ROM, 4));
	config_write(s.device, ROM, 4, 0xfffff800);
	EXPECT_EQ(0xffff0000, config_read(s.device, ROM, 4));
	config_write(s.device, ROM, 4, 1);
	EXPECT_EQ(1, config_read(s.device, ROM, 4));
	EXPECT_EQ(0, hardware(FACE, ROM, 4) & 1);
}

TEST_ON("pcitest", pin, "20:CFG-07 20:IRQ-01 20:IRQ-10", "a function without a pin has no INTx, not even to disable; one with a pin shows it")
{
	struct setup s = open_device(BARE);
	struct vfio_irq_info i = { .argsz = sizeof(i), .index = 0 };
	struct vfio_irq_set set = { sizeof(set), VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER, 0, 0, 0 };

	EXPECT_EQ(0, config_read(s.device, 0x3d, 1));
	EXPECT_OK(x_ioctl(s.device, VFIO_DEVICE_GET_IRQ_INFO, &i));
	EXPECT_EQ(0, i.count);
	EXPECT_EQ(7, i.flags);
	EXPECT_ERR(EINVAL, x_ioctl(s.device, VFIO_DEVICE_SET_IRQS, &set));
	s = open_device(FACE);
	EXPECT_EQ(1, config_read(s.device, 0x3d, 1));
	EXPECT_OK(x_ioctl(s.device, VFIO_DEVICE_GET_IRQ_INFO, &i));
	EXPECT_EQ(1, i.count);
}

TEST_ON("pcitest", pass_through, "20:CFG-57 20:CFG-12", "cache line size and latency timer reach the hardware; what is read-only or absent does not")
{
	struct setup s = open_device(PLAIN);

	config_write(s.device, 0x0c, 1, 0x20);
	config_write(s.device, 0x0d, 1, 0x40);
	config_write(s.device, 0x0f, 1, 0x80); /* no BIST here */
	EXPECT_EQ(0x4020, hardware(PLAIN, 0x0c, 2));
	EXPECT_EQ(0x4020, config_read(s.device, 0x0c, 2));
	EXPECT_EQ(0, config_read(s.device, 0x0f, 1));
	config_write(s.device, 0x08, 4, 0);
	config_write(s.device, 0x28, 4, ~0u);
	config_write(s.device, 0x2c, 4, ~0u);
	EXPECT_EQ(0xff000000, config_read(s.device, 0x08, 4));
	EXPECT_EQ(0, config_read(s.device, 0x28, 4));
	EXPECT_EQ(hardware(PLAIN, 0x2c, 4), config_read(s.device, 0x2c, 4));
	EXPECT(config_read(s.device, 0x2c, 4) != ~0u);
	config_write(s.device, BAR(3), 4, ~0u);
	EXPECT_EQ(0, config_read(s.device, BAR(3), 4));
}

/* ---- the standard chain ---- */

TEST_ON("pcitest", hidden, "20:CFG-18 20:CFG-19 20:CFG-21 20:CFG-53", "hidden capabilities are not in the chain; those around them are")
{
	static const uint8_t shown[] = { 0x01, 0x05, 0x11, 0x10, 0x03, 0x09, 0x13, 0x07 }, hid[] = { 0x0d, 0x14, 0x15 };
	struct setup s = open_device(FACE);
	unsigned at = config_read(s.device, 0x34, 1);

	for (unsigned i = 0; i < sizeof(shown); i++, at = config_read(s.device, at + 1, 1)) {
		EXPECT_EQ(shown[i], config_read(s.device, at, 1));
		/* byte, word and dword agree, and cannot be written */
		EXPECT_EQ(config_read(s.device, at, 1) | config_read(s.device, at + 1, 1) << 8, config_read(s.device, at, 2));
		EXPECT_EQ(config_read(s.device, at, 2), config_read(s.device, at, 4) & 0xffff);
		config_write(s.device, at, 2, 0);
		EXPECT_EQ(shown[i], config_read(s.device, at, 1));
	}
	EXPECT_EQ(0, at);
	for (unsigned i = 0; i < sizeof(hid); i++)
		EXPECT_EQ(0, cap(s.device, hid[i]));
	EXPECT_EQ(0x0d, hardware(FACE, 0xb0, 1));
	EXPECT_EQ(0x10, config_read(s.device, STATUS, 2) & 0x10);
}

TEST_ON("pcitest", nothing_visible, "20:CFG-20", "with no capability to see, STATUS says that there is none")
{
	struct setup s = open_device(BARE);

	EXPECT_EQ(0x10, hardware(BARE, STATUS, 2) & 0x10);
	EXPECT_EQ(0, config_read(s.device, STATUS, 2) & 0x10);
}

TEST_ON("pcitest", raw, "20:CFG-39 20:CFG-40", "a vendor's capability and bytes of nobody are written through and read back")
{
	struct setup s = open_device(FACE);
	unsigned at = cap(s.device, 0x09);

	EXPECT_EQ(0xb8, at);
	config_write(s.device, at + 4, 4, 0xdeadbeef); /* its 4 highest bits are read-only in hardware */
	EXPECT_EQ(0x5eadbeef, hardware(FACE, at + 4, 4));
	EXPECT_EQ(0x5eadbeef, config_read(s.device, at + 4, 4));
	config_write(s.device, at + 2, 1, 0x77);
	EXPECT_EQ(0x08, config_read(s.device, at + 2, 1));
	/* the body of a hidden one is nobody's */
	EXPECT_EQ(0x11001af4, config_read(s.device, 0xb4, 4));
	config_write(s.device, 0xb5, 1, 0x99);
	EXPECT_EQ(0x110099f4, hardware(FACE, 0xb4, 4));
	config_write(s.device, 0xb4, 4, 0x12345678);
	EXPECT_EQ(0x12345678, hardware(FACE, 0xb4, 4));
	EXPECT_EQ(0x12345678, config_read(s.device, 0xb4, 4));
	config_write(s.device, 0x208, 2, 0xabcd);
	EXPECT_EQ(0xabcd, hardware(FACE, 0x208, 2));
	EXPECT_EQ(0xabcd, config_read(s.device, 0x208, 2));
}

TEST_ON("pcitest", power, "20:CFG-22 20:MEM-05", "PME is not offered; D1 and D2, where there are, gate nothing")
{
	struct setup s = open_device(FACE);
	unsigned pm = cap(s.device, 1);
	uint32_t v;

	EXPECT_EQ(0xf800, hardware(FACE, pm + 2, 2) & 0xf800);
	EXPECT_EQ(0, config_read(s.device, pm + 2, 2) & 0xf800);
	config_write(s.device, pm + 4, 2, config_read(s.device, pm + 4, 2) | 0x8100);
	EXPECT_EQ(0, config_read(s.device, pm + 4, 2) & 0x8100);
	EXPECT_EQ(0, hardware(FACE, pm + 4, 2) & 0x8100);
	s = open_device(PLAIN);
	pm = cap(s.device, 1);
	for (unsigned state = 1; state < 3; state++) {
		config_write(s.device, pm + 4, 2, state);
		EXPECT_EQ(state, config_read(s.device, pm + 4, 2) & 3);
		v = 0x1234 + state;
		EXPECT_EQ(4, x_pwrite(s.device, &v, 4, REGION(0) + 0x100));
		v = 0;
		EXPECT_EQ(4, x_pread(s.device, &v, 4, REGION(0) + 0x100));
		EXPECT_EQ(0x1234 + state, v);
	}
}

TEST_ON("pcitest", forgets, "20:CFG-24 20:CFG-23", "a function that forgets in D3hot has its registers back in D0, and forgot the rest")
{
	struct setup s = open_device(PLAIN);
	unsigned pm = cap(s.device, 1);
	uint32_t v = 0x55aa, cmd, bar = config_read(s.device, BAR(0), 4);

	config_write(s.device, COMMAND, 2, config_read(s.device, COMMAND, 2) | 4);
	config_write(s.device, 0x0c, 1, 0x20);
	cmd = config_read(s.device, COMMAND, 2);
	EXPECT_EQ(4, x_pwrite(s.device, &v, 4, REGION(0) + 0x100));
	config_write(s.device, pm + 4, 2, 3);
	EXPECT_EQ(3, config_read(s.device, pm + 4, 2) & 3);
	EXPECT_ERR(EIO, x_pread(s.device, &v, 4, REGION(0) + 0x100));
	config_write(s.device, pm + 4, 2, 0);
	EXPECT_EQ(cmd, config_read(s.device, COMMAND, 2));
	EXPECT_EQ(bar, hardware(PLAIN, BAR(0), 4));
	EXPECT_EQ(0x20, config_read(s.device, 0x0c, 1));
	EXPECT_EQ(4, x_pread(s.device, &v, 4, REGION(0) + 0x100));
	EXPECT_EQ(0, v);
}

TEST_ON("pcitest", af, "20:CFG-27", "AF's FLR bit resets where the capability has both FLR and TP, and reads 0")
{
	struct setup s = open_device(PLAIN);
	unsigned at = cap(s.device, 0x13);
	uint32_t before = resets(s.device);

	EXPECT_EQ(3, config_read(s.device, at + 3, 1) & 3);
	config_write(s.device, at + 4, 1, 1);
	EXPECT_EQ(0, config_read(s.device, at + 4, 1));
	EXPECT_EQ(before + 1, resets(s.device));
	s = open_device(FACE);
	at = cap(s.device, 0x13);
	before = resets(s.device);
	EXPECT_EQ(2, config_read(s.device, at + 3, 1) & 3);
	config_write(s.device, at + 4, 1, 1);
	EXPECT_EQ(0, config_read(s.device, at + 4, 1));
	EXPECT_EQ(before, resets(s.device));
}

TEST_ON("pcitest", express, "20:CFG-28 20:CFG-29 20:CFG-30 20:CFG-31", "PCIe: the payload size is the program's own, a read request no smaller than the hardware's; Phantom, ARI and the link are not its")
{
	struct setup s = open_device(FACE);
	unsigned at = cap(s.device, 0x10);
	uint32_t ctl = config_read(s.device, at + 8, 2), link = hardware(FACE, at + 0x10, 2);

	EXPECT_EQ(hardware(FACE, at + 8, 2), ctl);
	config_write(s.device, at + 8, 2, (ctl & ~0xe0u) | 0x40); /* MPS 512 */
	EXPECT_EQ(0x40, config_read(s.device, at + 8, 2) & 0xe0);
	EXPECT_EQ(ctl, hardware(FACE, at + 8, 2));
	hardware_write(FACE, at + 8, 2, (ctl & ~0xe0u) | 0x20); /* the host's: 256 */
	config_write(s.device, at + 8, 2, ctl & ~0x7000u); /* 128 */
	EXPECT_EQ(0, config_read(s.device, at + 8, 2) & 0x7000);
	EXPECT_EQ(0x1000, hardware(FACE, at + 8, 2) & 0x7000);
	config_write(s.device, at + 8, 2, (ctl & ~0x7000u) | 0x5000);
	EXPECT_EQ(0x5000, hardware(FACE, at + 8, 2) & 0x7000);
	config_write(s.device, at + 8, 2, ctl ^ 0x200);
	EXPECT_EQ(ctl & 0x200, config_read(s.device, at + 8, 2) & 0x200);
	EXPECT_EQ(ctl & 0x200, hardware(FACE, at + 8, 2) & 0x200);
	config_write(s.device, at + 0x28, 2, 0x60);
	EXPECT_EQ(0x40, hardware(FACE, at + 0x28, 2));
	EXPECT_EQ(0x40, config_read(s.device, at + 0x28, 2));
	config_write(s.device, at + 0x10, 2, ~link);
	EXPECT_EQ(link, hardware(FACE, at + 0x10, 2));
}

TEST_ON("pcitest", no_flr, "20:CFG-26 20:CFG-25", "the FLR bit of a function that cannot resets nothing and reads 0; of one that can it resets")
{
	struct setup s = open_device(FIRST_HIDDEN);
	unsigned at = cap(s.device, 0x10);
	uint32_t v = 0x5a, before;

	EXPECT_EQ(0, config_read(s.device, at + 4, 4) & 1u << 28);
	EXPECT_EQ(4, x_pwrite(s.device, &v, 4, REGION(0)));
	config_write(s.device, at + 8, 2, 0x8000);
	EXPECT_EQ(0, config_read(s.device, at + 8, 2) & 0x8000);
	EXPECT_EQ(4, x_pread(s.device, &v, 4, REGION(0)));
	EXPECT_EQ(0x5a, v);
	s = open_device(FACE);
	at = cap(s.device, 0x10);
	before = resets(s.device);
	config_write(s.device, at + 8, 2, 0x8000);
	EXPECT_EQ(0, config_read(s.device, at + 8, 2) & 0x8000);
	EXPECT_EQ(before + 1, resets(s.device));
}

static int msi_enable(int d, unsigned count)
{
	struct {
		struct vfio_irq_set h;
		int32_t fd[4];
	} b = { { 20 + 4 * count, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_PCI_MSI_IRQ_INDEX, 0, count },
		{ -1, -1, -1, -1 } };

	return x_ioctl(d, VFIO_DEVICE_SET_IRQS, &b);
}

TEST_ON("pcitest", msi, "20:CFG-32 20:CFG-33 20:CFG-34", "MSI: address and data are the program's own; QSIZE is clamped to what SET_IRQS has; mask bits are the hardware's")
{
	struct setup s = open_device(FACE);
	unsigned at = cap(s.device, 5);

	EXPECT_EQ(0x0184, config_read(s.device, at + 2, 2)); /* 4 of them, 64 bits, masks */
	config_write(s.device, at + 4, 4, 0xfee01234);
	config_write(s.device, at + 8, 4, 0x11);
	config_write(s.device, at + 12, 2, 0x4321);
	EXPECT_EQ(0xfee01234, config_read(s.device, at + 4, 4));
	EXPECT_EQ(0x11, config_read(s.device, at + 8, 4));
	EXPECT_EQ(0x4321, config_read(s.device, at + 12, 2));
	EXPECT_EQ(0, hardware(FACE, at + 4, 4));
	EXPECT_EQ(0, hardware(FACE, at + 12, 2));
	config_write(s.device, at + 16, 4, 0xf);
	EXPECT_EQ(0xf, hardware(FACE, at + 16, 4));
	config_write(s.device, at + 16, 4, 0);
	config_write(s.device, at + 2, 2, 0x01b5);
	EXPECT_EQ(0x0184, config_read(s.device, at + 2, 2));
	EXPECT_OK(msi_enable(s.device, 2));
	EXPECT_EQ(0x0195, hardware(FACE, at + 2, 2));
	EXPECT_EQ(0x0184, config_read(s.device, at + 2, 2));
	config_write(s.device, at + 2, 2, 0x01a5);
	EXPECT_EQ(0x0195, config_read(s.device, at + 2, 2));
	EXPECT_EQ(0x0195, hardware(FACE, at + 2, 2));
	config_write(s.device, at + 2, 2, 0x0184);
	EXPECT_EQ(0x0184, hardware(FACE, at + 2, 2));
}

TEST_ON("pcitest", vpd, "20:CFG-36 20:CFG-37 20:CFG-38", "VPD: a write with F set ends with F clear, a read the other way round; beyond the end F stays")
{
	struct setup s = open_device(FACE);
	unsigned at = cap(s.device, 3);

	config_write(s.device, at + 4, 4, 0x12345678);
	config_write(s.device, at + 2, 2, 0x8000 | 8);
	EXPECT_EQ(8, config_read(s.device, at + 2, 2));
	config_write(s.device, at + 4, 4, 0x99);
	config_write(s.device, at + 2, 2, 12);
	EXPECT_EQ(0x8000 | 12, config_read(s.device, at + 2, 2));
	EXPECT_EQ(0, config_read(s.device, at + 4, 4));
	config_write(s.device, at + 2, 1, 8); /* nothing yet: F is in the other byte */
	EXPECT_EQ(0, config_read(s.device, at + 4, 4));
	config_write(s.device, at + 3, 1, 0);
	EXPECT_EQ(0x8008, config_read(s.device, at + 2, 2));
	EXPECT_EQ(0x12345678, config_read(s.device, at + 4, 4));
	config_write(s.device, at + 2, 2, 64);
	EXPECT_EQ(64, config_read(s.device, at + 2, 2));
	EXPECT_EQ(0x12345678, config_read(s.device, at + 4, 4));
	config_write(s.device, at + 2, 2, 0x8000 | 64);
	EXPECT_EQ(0x8000 | 64, config_read(s.device, at + 2, 2));
	/* the hardware has it: the next one to open the device finds it */
	EXPECT_OK(x_close(s.device));
	s.device = EXPECT_OK(x_ioctl(s.group, VFIO_GROUP_GET_DEVICE_FD, FACE));
	config_write(s.device, at + 2, 2, 8);
	EXPECT_EQ(0x8008, config_read(s.device, at + 2, 2));
	EXPECT_EQ(0x12345678, config_read(s.device, at + 4, 4));
}

/* ---- the extended chain ---- */

TEST_ON("pcitest", ext_hidden, "20:CFG-41", "PASID, DPC, L1SS, PTM and DOE are not in the chain; what is between them is")
{
	static const uint16_t shown[] = { 0x01, 0x10, 0x23, 0x0b, 0x15, 0x04 }, hid[] = { 0x1d, 0x1e, 0x1f, 0x2e };
	struct setup s = open_device(FACE), t;
	unsigned at = 0x100;

	for (unsigned i = 0; i < 6; i++, at = config_read(s.device, at, 4) >> 20) {
		EXPECT_EQ(shown[i], config_read(s.device, at, 4) & 0xffff);
		EXPECT_EQ(hardware(FACE, at, 4) & 0xfffff, config_read(s.device, at, 4) & 0xfffff);
		config_write(s.device, at, 4, 0);
		EXPECT_EQ(shown[i], config_read(s.device, at, 2));
	}
	EXPECT_EQ(0, at);
	for (unsigned i = 0; i < 4; i++)
		EXPECT_EQ(0, ext_cap(s.device, hid[i]));
	EXPECT_EQ(0x1d, hardware(FACE, 0x200, 2));
	t = open_device(FIRST_HIDDEN);
	EXPECT_EQ(0, ext_cap(t.device, 0x1b));
}

TEST_ON("pcitest", ext_first_hidden, "20:CFG-42", "the first one, hidden, stays as an anchor with id 0, version 0 and its next")
{
	struct setup s = open_device(FIRST_HIDDEN);

	EXPECT_EQ(0x1101001b, hardware(FIRST_HIDDEN, 0x100, 4));
	EXPECT_EQ(0x11000000, config_read(s.device, 0x100, 4));
	EXPECT_EQ(0x00001006, config_read(s.device, 0x104, 4));
	EXPECT_EQ(0x110, ext_cap(s.device, 0x03));
	EXPECT_EQ(0x04030201, config_read(s.device, 0x114, 4));
}

TEST_ON("pcitest", ext_all_hidden, "20:CFG-43", "with all hidden, the dword at 0x100 reads 0")
{
	struct setup s = open_device(ALL_HIDDEN);

	EXPECT_EQ(0x1101001b, hardware(ALL_HIDDEN, 0x100, 4));
	EXPECT_EQ(0, config_read(s.device, 0x100, 4));
	EXPECT_EQ(4096, region_size(s.device, 7));
}

TEST_ON("pcitest", ext_bodies, "20:CFG-45 20:CFG-46 20:CFG-47 20:CFG-48", "REBAR is read-only, AER's defined bits are not, power budgeting's select is written through, and so are DVSEC and VSEC")
{
	struct setup s = open_device(FACE);
	unsigned at = ext_cap(s.device, 0x15);

	EXPECT_EQ(0x1020, config_read(s.device, at + 8, 4));
	config_write(s.device, at + 8, 4, 0x0f20);
	EXPECT_EQ(0x1020, hardware(FACE, at + 8, 4));
	at = ext_cap(s.device, 0x01);
	config_write(s.device, at + 8, 4, ~0u); /* mask of uncorrectable errors; reserved bits stay */
	EXPECT_EQ(0x01fff031 & hardware(FACE, at + 8, 4), hardware(FACE, at + 8, 4));
	EXPECT(hardware(FACE, at + 8, 4));
	config_write(s.device, at + 8, 4, 0);
	EXPECT_EQ(0, config_read(s.device, at + 8, 4));
	config_write(s.device, at + 0x14, 4, ~0u);
	EXPECT_EQ(0xf1c1, hardware(FACE, at + 0x14, 4));
	config_write(s.device, at + 0x18, 4, 0x140);
	EXPECT_EQ(0x140, hardware(FACE, at + 0x18, 4) & 0x140);
	at = ext_cap(s.device, 0x04);
	config_write(s.device, at + 4, 1, 3);
	EXPECT_EQ(3, hardware(FACE, at + 4, 1));
	EXPECT_EQ(0x78563412, config_read(s.device, at + 8, 4));
	at = ext_cap(s.device, 0x23);
	config_write(s.device, at + 0x0c, 4, 0xa5a5a5a5);
	EXPECT_EQ(0xa5a5a5a5, hardware(FACE, at + 0x0c, 4));
	EXPECT_EQ(0x01408086, config_read(s.device, at + 4, 4));
	at = ext_cap(s.device, 0x0b);
	config_write(s.device, at + 8, 4, 0x5a5a5a5a);
	EXPECT_EQ(0x5a5a5a5a, hardware(FACE, at + 8, 4));
}

/* ---- behind VFIO's back ---- */

TEST_ON("pcitest", backdoor, "20:CFG-17", "a function that lost its BARs has them again after a write of COMMAND")
{
	struct setup s = open_device(FACE);
	uint32_t cmd = config_read(s.device, COMMAND, 2), bar0 = hardware(FACE, BAR(0), 4), bar2 = hardware(FACE, BAR(2), 4);
	uint32_t v = 0x77;

	EXPECT_EQ(4, x_pwrite(s.device, &v, 4, REGION(0) + 0x40));
	hardware_write(FACE, COMMAND, 2, 0);
	hardware_write(FACE, BAR(0), 4, 0);
	hardware_write(FACE, BAR(2), 4, 0);
	EXPECT_EQ(4, x_pread(s.device, &v, 4, REGION(0) + 0x40)); /* nobody answers */
	EXPECT_EQ(0xffffffff, v);
	config_write(s.device, COMMAND, 2, cmd);
	EXPECT_EQ(bar0, hardware(FACE, BAR(0), 4));
	EXPECT_EQ(bar2, hardware(FACE, BAR(2), 4));
	EXPECT_EQ(4, x_pread(s.device, &v, 4, REGION(0) + 0x40));
	EXPECT_EQ(0x77, v);
}

/* ---- virtual functions, of whatever machine has some ---- */

#define TOKEN " vf_token=83a81c6c-5e1c-4cd1-9f0c-a5a3c0c1d5f0"

static bool on_oracle(void)
{
	return strcmp(test_machine(), "oracle") == 0;
}

static const char *physical(void)
{
	return on_oracle() ? IGB : FACE;
}

static const char *virtual(void)
{
	return on_oracle() ? "0000:01:10.0" : "0000:03:01.0";
}

TEST(sriov, "20:CFG-44", "the SR-IOV capability is there to read, and its numbers are not the program's")
{
	struct setup s = open_device(physical());
	unsigned at = ext_cap(s.device, 0x10);
	char total[128];

	EXPECT(at);
	snprintf(total, sizeof(total), "/sys/bus/pci/devices/%s/sriov_totalvfs", physical());
	EXPECT_EQ(atoi(sys_read(total)), config_read(s.device, at + 0x0e, 2));
	for (unsigned i = 4; i < 0x40; i += 4) {
		uint32_t was = hardware(physical(), at + i, 4);

		EXPECT_EQ(was, config_read(s.device, at + i, 4));
		config_write(s.device, at + i, 4, ~was);
		EXPECT_EQ(was, hardware(physical(), at + i, 4));
	}
}

/* The physical function and one virtual one, both open. Returns the latter. */
static int open_vf(void)
{
	int container = open_container(), g;
	char text[128];

	bind_vfio(physical());
	EXPECT_OK(sys_write("/sys/module/vfio_pci/parameters/enable_sriov", "Y"));
	snprintf(text, sizeof(text), "/sys/bus/pci/devices/%s/sriov_numvfs", physical());
	EXPECT_OK(sys_write(text, "1"));
	g = EXPECT_OK(open_group(physical()));
	EXPECT_OK(set_container(g, container));
	EXPECT_OK(set_iommu(container, VFIO_TYPE1v2_IOMMU));
	snprintf(text, sizeof(text), "%s" TOKEN, physical());
	EXPECT_OK(x_ioctl(g, VFIO_GROUP_GET_DEVICE_FD, text));
	g = EXPECT_OK(open_group(virtual()));
	EXPECT_OK(set_container(g, container));
	snprintf(text, sizeof(text), "%s" TOKEN, virtual());
	return EXPECT_OK(x_ioctl(g, VFIO_GROUP_GET_DEVICE_FD, text));
}

TEST(vf_header, "20:CFG-03 20:CFG-07 20:CFG-14 20:CFG-08", "a virtual function shows the ids that its hardware has not; its BARs their flags; no pin")
{
	int d = open_vf();
	uint32_t flags = config_read(d, BAR(0), 4);
	uint64_t mask = ~(region_size(d, 0) - 1);

	EXPECT_EQ(0xffffffff, hardware(virtual(), 0, 4));
	EXPECT_EQ(on_oracle() ? 0x10ca8086 : 0x00031234, config_read(d, 0, 4));
	EXPECT_EQ(0, config_read(d, 0x3d, 1));
	EXPECT_EQ(0, flags & ~0xfu);
	config_write(d, BAR(0), 4, ~0u);
	config_write(d, BAR(1), 4, ~0u);
	EXPECT_EQ((uint32_t)mask | flags, config_read(d, BAR(0), 4));
	EXPECT_EQ(flags & 4 ? mask >> 32 : 0, config_read(d, BAR(1), 4));
	EXPECT_EQ(0, hardware(virtual(), BAR(0), 4));
}

TEST(vf_memory, "20:CFG-16 20:MEM-11", "a virtual function's MEM reads 1, then as written, and gates nothing")
{
	int d = open_vf();
	uint32_t v;
	volatile uint32_t *p = x_mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, d, REGION(0));

	EXPECT((void *)p != MAP_FAILED);
	EXPECT_EQ(MEM, config_read(d, COMMAND, 2) & MEM);
	(void)p[2];
	config_write(d, COMMAND, 2, 0);
	EXPECT_EQ(0, config_read(d, COMMAND, 2) & MEM);
	EXPECT_EQ(4, x_pread(d, &v, 4, REGION(0) + 8));
	EXPECT_EQ(v, p[2]);
	config_write(d, COMMAND, 2, MEM);
	EXPECT_EQ(MEM, config_read(d, COMMAND, 2) & MEM);
	EXPECT_EQ(v, p[2]);
}
