/* SPDX-License-Identifier: MIT */
/*
 * Functions that were made for it (tests/machines/pcitest.yaml): which accesses of regions arrive, ROMs of all kinds, and
 * interrupts without a listener.
 */
#include "face.h"

#define PLAIN        "0000:00:03.0"
#define BAD_ROM      "0000:00:08.0"
#define FIRMWARE_ROM "0000:00:09.0"
#define DISPLAY      "0000:00:0a.0"
#define SMALL        "0000:00:0b.0"
#define TABLE        0x8000u /* of FACE's BAR 0 */
#define PBA          0xc000u
#define FIRE         0x10u
#define ERROR        0x18u

/* ---- what arrives ---- */

/* The log that is BAR 1 of a function. */
struct entry {
	uint64_t offset;
	uint32_t value;
	uint8_t bar, width, write, zero;
};

static void forget(int d)
{
	put(d, 1, 0, 0);
}

static unsigned arrived(int d, struct entry *out, unsigned most)
{
	unsigned n = get(d, 1, 0);

	EXPECT(n <= most);
	EXPECT_EQ(n * sizeof(*out), x_pread(d, out, n * sizeof(*out), REGION(1) + 16));
	return n;
}

/* A transfer of @n bytes at @off arrives as accesses of these widths. */
static void expect_widths(int d, uint64_t off, size_t n, const char *widths)
{
	uint8_t buf[64], back[64];
	struct entry e[64];

	for (size_t i = 0; i < n; i++)
		buf[i] = (uint8_t)(i + off);
	forget(d);
	EXPECT_EQ(n, x_pwrite(d, buf, n, REGION(0) + off));
	EXPECT_EQ(n, x_pread(d, back, n, REGION(0) + off));
	EXPECT(memcmp(buf, back, n) == 0);
	EXPECT_EQ(2 * strlen(widths), arrived(d, e, 64));
	for (unsigned way = 0, i = 0; way < 2; way++) {
		uint64_t at = off;

		for (const char *w = widths; *w; at += (uint64_t)(*w++ - '0'), i++) {
			EXPECT_EQ(0, e[i].bar);
			EXPECT_EQ(!way, e[i].write);
			EXPECT_EQ(*w - '0', e[i].width);
			EXPECT_EQ(at, e[i].offset);
			EXPECT_EQ(buf[at - off], e[i].value & 0xff);
		}
	}
}

TEST(widths, "20:RW-04 20:RW-05 20:RW-06", "a transfer arrives in pieces as wide as their place and the rest allow")
{
	struct setup s = open_device(FACE);

	expect_widths(s.device, 0x100, 8, "8");
	expect_widths(s.device, 0x101, 7, "124");
	expect_widths(s.device, 0x104, 12, "48");
	expect_widths(s.device, 0x100, 4, "4");
	expect_widths(s.device, 0x102, 2, "2");
	expect_widths(s.device, 0x103, 1, "1");
	expect_widths(s.device, 0x103, 14, "1481");
	expect_widths(s.device, 0x10e, 19, "2881");
	expect_widths(s.device, 0xffe, 4, "22"); /* over the end of a page */
}

TEST(widths_mapped, "20:RW-04 20:MAP-04", "a load or store of a mapping arrives as the one access that it is")
{
	struct setup s = open_device(FACE);
	volatile uint8_t *map = x_mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, s.device, REGION(0));
	struct entry e[8];

	EXPECT((void *)map != MAP_FAILED);
	forget(s.device);
	*(volatile uint64_t *)(map + 0x100) = 0x1122334455667788;
	*(volatile uint16_t *)(map + 0x10a) = 0x99aa;
	EXPECT_EQ(0x55667788, *(volatile uint32_t *)(map + 0x100));
	EXPECT_EQ(3, arrived(s.device, e, 8));
	EXPECT(e[0].width == 8 && e[0].write && e[0].offset == 0x100 && e[0].value == 0x55667788);
	EXPECT(e[1].width == 2 && e[1].write && e[1].offset == 0x10a && e[1].value == 0x99aa);
	EXPECT(e[2].width == 4 && !e[2].write && e[2].offset == 0x100);
}

TEST(table_straddled, "20:RW-12 20:RW-13", "around the MSI-X table the registers are read and written; the pending bits are readable")
{
	struct setup s = open_device(FACE);
	uint8_t buf[16], want[16] = { 0xa5, 0xa5, 0xa5, 0xa5 };
	struct entry e[8];
	unsigned n;

	memset(buf, 0xa5, sizeof(buf));
	forget(s.device);
	EXPECT_EQ(16, x_pwrite(s.device, buf, 16, REGION(0) + TABLE - 4));
	n = arrived(s.device, e, 8);
	EXPECT_EQ(1, n);
	EXPECT(e[0].offset == TABLE - 4 && e[0].width == 4);
	memset(want + 4, 0xff, 12);
	EXPECT_EQ(16, x_pread(s.device, buf, 16, REGION(0) + TABLE - 4));
	EXPECT(memcmp(buf, want, 16) == 0);
	memset(buf, 0x3c, sizeof(buf));
	EXPECT_EQ(16, x_pwrite(s.device, buf, 16, REGION(0) + TABLE + 8 * 16 - 8));
	EXPECT_EQ(0x3c3c3c3c, get(s.device, 0, TABLE + 8 * 16 + 4));
	EXPECT_EQ(0xffffffff, get(s.device, 0, TABLE + 8 * 16 - 4));
	EXPECT_EQ(0, get(s.device, 0, PBA));
}

TEST(ports, "20:REG-08 20:RW-14 20:REG-21", "an I/O BAR cannot be mapped, and answers without memory enabled; without capabilities cap_offset stays")
{
	struct setup s = open_device(FACE);
	struct vfio_region_info r = info(s.device, 4);

	EXPECT_EQ(3, r.flags);
	EXPECT_EQ(128, r.size);
	EXPECT_EQ(0x1234, r.cap_offset);
	EXPECT_EQ(7, info(s.device, 1).flags);
	EXPECT_EQ(7, info(s.device, 2).flags);
	EXPECT(x_mmap(NULL, 4096, PROT_READ, MAP_SHARED, s.device, REGION(4)) == MAP_FAILED);
	config_write(s.device, COMMAND, 2, config_read(s.device, COMMAND, 2) & ~MEM);
	put(s.device, 4, 8, 0x12345678);
	EXPECT_EQ(0x12345678, get(s.device, 4, 8));
	EXPECT_ERR(EIO, x_pread(s.device, &r, 4, REGION(0)));
}

TEST(reset_while_off, "20:MEM-07 20:CFG-54", "a reset of a function whose memory is disabled leaves it disabled")
{
	struct setup s = open_device(FACE);
	uint32_t cmd = config_read(s.device, COMMAND, 2), v = 0x55;

	put(s.device, 0, 0x100, 0x55);
	config_write(s.device, COMMAND, 2, cmd & ~MEM);
	EXPECT_OK(x_ioctl(s.device, VFIO_DEVICE_RESET, NULL));
	EXPECT_EQ(cmd & ~MEM, config_read(s.device, COMMAND, 2));
	EXPECT_ERR(EIO, x_pread(s.device, &v, 4, REGION(0) + 0x100));
	EXPECT_ERR(EIO, x_pwrite(s.device, &v, 4, REGION(0) + 0x100));
	config_write(s.device, COMMAND, 2, cmd);
	EXPECT_EQ(0, get(s.device, 0, 0x100));
}

TEST(smaller_than_a_page, "20:REG-09 20:REG-10 20:MAP-10", "a BAR of 256 bytes maps, as a page, when it has its page for itself")
{
	struct setup s = open_device(SMALL);
	volatile uint32_t *p;

	for (unsigned i = 0; i < 5; i++) {
		EXPECT_EQ(i < 3 ? 256 : i < 4 ? 2048 : 4096, info(s.device, i).size);
		EXPECT_EQ(i == 1 || i == 2 ? 3 : 7, info(s.device, i).flags);
	}
	EXPECT_EQ(0, config_read(s.device, 0x14, 4) & 0xfff);
	EXPECT_EQ(0x100, config_read(s.device, 0x18, 4) & 0xfff);
	p = x_mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, s.device, REGION(0));
	EXPECT((void *)p != MAP_FAILED);
	p[63] = 0x1234;
	EXPECT_EQ(0x1234, get(s.device, 0, 252));
	for (unsigned i = 1; i < 3; i++) {
		EXPECT(x_mmap(NULL, 4096, PROT_READ, MAP_SHARED, s.device, REGION(i)) == MAP_FAILED && errno == EINVAL);
		put(s.device, i, 16, 0x5a00 + i);
	}
	EXPECT_EQ(0x5a01, get(s.device, 1, 16));
	EXPECT_EQ(0x5a02, get(s.device, 2, 16));
}

/* ---- ROMs ---- */

TEST(rom, "20:REG-12 20:REG-15 20:RW-07 20:RW-08 20:RW-09", "a ROM is as large as its BAR, also without memory enabled, which stays; behind its image it reads ones, never 8 bytes at once")
{
	struct setup s = open_device(FACE);
	uint32_t cmd = config_read(s.device, COMMAND, 2);
	static uint8_t all[65536];
	struct entry e[255];
	unsigned n;

	config_write(s.device, COMMAND, 2, cmd & ~MEM);
	EXPECT_EQ(1, info(s.device, 6).flags);
	EXPECT_EQ(65536, info(s.device, 6).size);
	EXPECT_EQ(cmd & ~MEM, config_read(s.device, COMMAND, 2));
	EXPECT_ERR(EIO, x_pread(s.device, all, 4, REGION(0)));
	EXPECT_ERR(ENOMEM, x_pread(s.device, all, 4, REGION(6)));
	config_write(s.device, COMMAND, 2, cmd);
	EXPECT_EQ(65536, info(s.device, 6).size);
	EXPECT_EQ(65536, x_pread(s.device, all, 65536, REGION(6)));
	EXPECT(all[0] == 0x55 && all[1] == 0xaa && memcmp(all + 0x1c, "PCIR", 4) == 0);
	EXPECT_EQ((uint8_t)(3071 * 7 + 3071 / 256), all[3071]);
	for (unsigned i = 3072; i < 65536; i++)
		EXPECT_EQ(0xff, all[i]);
	forget(s.device);
	EXPECT_EQ(16, x_pread(s.device, all, 16, REGION(6) + 0xbf0));
	EXPECT_EQ(5, x_pread(s.device, all, 64, REGION(6) + 65531));
	n = arrived(s.device, e, 255);
	EXPECT(n >= 4);
	for (unsigned i = 0; i < n; i++)
		EXPECT(e[i].bar == 6 && e[i].width <= 4 && !e[i].write);
	EXPECT_ERR(EINVAL, x_pread(s.device, all, 4, REGION(6) + 65536));
	EXPECT_ERR(EINVAL, x_pwrite(s.device, all, 4, REGION(6)));
	EXPECT(x_mmap(NULL, 4096, PROT_READ, MAP_SHARED, s.device, REGION(6)) == MAP_FAILED);
}

TEST(rom_bad, "20:REG-13", "a ROM without a signature is no region, yet its BAR sizes")
{
	struct setup s = open_device(BAD_ROM);
	uint32_t v;

	EXPECT_EQ(0, info(s.device, 6).size);
	EXPECT_EQ(0, info(s.device, 6).flags);
	config_write(s.device, 0x30, 4, ~0u);
	EXPECT_EQ(0xffff0001, config_read(s.device, 0x30, 4));
	EXPECT_ERR(ENOMEM, x_pread(s.device, &v, 4, REGION(6)));
}

TEST(rom_without_bar, "20:REG-14", "an image that firmware brought counts as the next power of two, a display's copy as 128 KiB")
{
	struct setup s = open_device(FIRMWARE_ROM);
	uint32_t v = 0;

	EXPECT_EQ(131072, info(s.device, 6).size);
	EXPECT_EQ(1, info(s.device, 6).flags);
	config_write(s.device, 0x30, 4, ~0u);
	EXPECT_EQ(0xfffe0001, config_read(s.device, 0x30, 4));
	config_write(s.device, COMMAND, 2, 0);
	EXPECT_EQ(2, x_pread(s.device, &v, 2, REGION(6)));
	EXPECT_EQ(0xaa55, v);
	EXPECT_EQ(0xffffffff, get(s.device, 6, 70000));
	s = open_device(DISPLAY);
	EXPECT_EQ(0x20000, info(s.device, 6).size);
	config_write(s.device, 0x30, 4, ~0u);
	EXPECT_EQ(0xfffe0001, config_read(s.device, 0x30, 4));
	EXPECT_EQ(2, x_pread(s.device, &v, 2, REGION(6)));
	EXPECT_EQ(0xaa55, v);
	EXPECT_EQ(0xffffffff, get(s.device, 6, 0x8000));
	config_write(s.device, COMMAND, 2, config_read(s.device, COMMAND, 2) & ~MEM);
	EXPECT_EQ(0x20000, info(s.device, 6).size);
	EXPECT_ERR(EIO, x_pread(s.device, &v, 2, REGION(6)));
	s = open_device(PLAIN);
	EXPECT_EQ(0, info(s.device, 6).size);
	EXPECT_ERR(EINVAL, x_pread(s.device, &v, 2, REGION(6)));
}

TEST(vga, "20:REG-16 20:REG-17 20:RW-18 20:RW-07", "a display's old addresses are a region, in three windows, and others have none")
{
	struct setup s = open_device(DISPLAY);
	uint8_t buf[100] = { 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88 };
	struct vfio_region_info r = { .argsz = sizeof(r), .index = 8 };
	struct entry e[16];
	unsigned n;

	EXPECT_EQ(0xc0000, info(s.device, 8).size);
	EXPECT_EQ(3, info(s.device, 8).flags);
	EXPECT_EQ(12, x_pread(s.device, buf + 8, 92, REGION(8) + 0x3b0));
	forget(s.device);
	EXPECT_EQ(8, x_pwrite(s.device, buf, 8, REGION(8) + 0xb8000));
	EXPECT_EQ(8, x_pwrite(s.device, buf, 10, REGION(8) + 0xbfff8));
	EXPECT_EQ(1, x_pwrite(s.device, buf, 1, REGION(8) + 0x3da));
	n = arrived(s.device, e, 16);
	EXPECT_EQ(5, n);
	for (unsigned i = 0; i < n; i++)
		EXPECT(e[i].bar == 7 && e[i].width == (i < 4 ? 4 : 1) && e[i].write);
	EXPECT_EQ(0x3da, e[4].offset);
	config_write(s.device, COMMAND, 2, 0);
	EXPECT_EQ(0x88776655, get(s.device, 8, 0xb8004));
	EXPECT_EQ(0x88776655, get(s.device, 8, 0xbfffc));
	EXPECT_ERR(EINVAL, x_pread(s.device, buf, 1, REGION(8) + 0x3bc));
	EXPECT_ERR(EINVAL, x_pread(s.device, buf, 1, REGION(8) + 0x3e0));
	EXPECT_ERR(EINVAL, x_pread(s.device, buf, 1, REGION(8) + 0x9ffff));
	EXPECT_ERR(EINVAL, x_pread(s.device, buf, 1, REGION(8) + 0xc0000));
	EXPECT(x_mmap(NULL, 4096, PROT_READ, MAP_SHARED, s.device, REGION(8) + 0xa0000) == MAP_FAILED);
	s = open_device(FACE);
	EXPECT_ERR(EINVAL, x_ioctl(s.device, VFIO_DEVICE_GET_REGION_INFO, &r));
	EXPECT_ERR(EINVAL, x_pread(s.device, buf, 1, REGION(8) + 0x3c0));
}

/* ---- interrupts ---- */

TEST(msi_grows_not, "20:IRQ-22", "MSI vectors beyond those enabled together cannot be hooked")
{
	struct setup s = open_device(FACE);
	int32_t fd[2] = { eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), -1 };

	EXPECT_OK(hook(s.device, VFIO_PCI_MSI_IRQ_INDEX, 0, 1, fd));
	EXPECT_ERR(EINVAL, hook(s.device, VFIO_PCI_MSI_IRQ_INDEX, 1, 1, fd));
	EXPECT_OK(hook(s.device, VFIO_PCI_MSI_IRQ_INDEX, 1, 1, fd + 1)); /* to have none is fine */
	EXPECT_ERR(EINVAL, hook(s.device, VFIO_PCI_MSI_IRQ_INDEX, 4, 1, fd));
	config_write(s.device, COMMAND, 2, config_read(s.device, COMMAND, 2) | MASTER);
	put(s.device, 0, FIRE, 0);
	EXPECT_EQ(1, wait_count(fd[0]));
	close(fd[0]);
}

TEST(nobody_listens, "20:IRQ-27 20:IRQ-26", "a vector without an eventfd signals nobody; where it can be masked it is pending until it is hooked, else lost")
{
	struct setup s = open_device(FACE);
	int32_t fd[2] = { eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), -1 }, late = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	config_write(s.device, COMMAND, 2, config_read(s.device, COMMAND, 2) | MASTER);
	EXPECT_OK(hook(s.device, VFIO_PCI_MSIX_IRQ_INDEX, 0, 2, fd));
	put(s.device, 0, FIRE, 1);
	put(s.device, 0, FIRE, 1);
	EXPECT_EQ(2, get(s.device, 0, PBA));
	put(s.device, 0, FIRE, 0);
	EXPECT_EQ(1, wait_count(fd[0]));
	EXPECT_OK(hook(s.device, VFIO_PCI_MSIX_IRQ_INDEX, 1, 1, &late));
	EXPECT_EQ(1, wait_count(late));
	EXPECT_EQ(0, get(s.device, 0, PBA));
	EXPECT_EQ(0, count_of(fd[0]));

	/* MSI that can be masked is like MSI-X */
	EXPECT_OK(disable(s.device, VFIO_PCI_MSIX_IRQ_INDEX));
	EXPECT_OK(hook(s.device, VFIO_PCI_MSI_IRQ_INDEX, 0, 2, fd));
	EXPECT_EQ(0xe, config_read(s.device, cap(s.device, 5) + 16, 4));
	put(s.device, 0, FIRE, 1);
	EXPECT_EQ(2, config_read(s.device, cap(s.device, 5) + 20, 4));
	EXPECT_OK(hook(s.device, VFIO_PCI_MSI_IRQ_INDEX, 1, 1, &late));
	EXPECT_EQ(1, wait_count(late));
	EXPECT_EQ(0, config_read(s.device, cap(s.device, 5) + 20, 4));
	EXPECT_OK(disable(s.device, VFIO_PCI_MSI_IRQ_INDEX));
	EXPECT_EQ(0, config_read(s.device, cap(s.device, 5) + 16, 4));

	s = open_device(PLAIN);
	config_write(s.device, COMMAND, 2, config_read(s.device, COMMAND, 2) | MASTER);
	EXPECT_OK(hook(s.device, VFIO_PCI_MSI_IRQ_INDEX, 0, 2, fd));
	put(s.device, 0, FIRE, 1);
	EXPECT_OK(hook(s.device, VFIO_PCI_MSI_IRQ_INDEX, 1, 1, &late));
	put(s.device, 0, FIRE, 0);
	EXPECT_EQ(1, wait_count(fd[0]));
	EXPECT_EQ(0, count_of(late));
	put(s.device, 0, FIRE, 1);
	EXPECT_EQ(1, wait_count(late));
	close(fd[0]);
	close(late);
}

TEST(error, "20:IRQ-39", "an uncorrectable error that the function reports signals ERR")
{
	struct setup s = open_device(FACE);
	int32_t fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	put(s.device, 0, ERROR, 1); /* nobody wants to know */
	EXPECT_OK(hook(s.device, VFIO_PCI_ERR_IRQ_INDEX, 0, 1, &fd));
	EXPECT_EQ(0, count_of(fd));
	put(s.device, 0, ERROR, 1);
	EXPECT_EQ(1, wait_count(fd));
	close(fd);
}

#define ATOMICS  "0000:0a:00.0"
#define UPSTREAM "0000:08:00.0"

/* GET_INFO with room for a capability; its flags, 0: it is not there */
static uint32_t atomics(int d)
{
	struct {
		struct vfio_device_info info;
		struct vfio_device_info_cap_pci_atomic_comp cap;
	} r = { .info.argsz = sizeof(r) };

	EXPECT_OK(x_ioctl(d, VFIO_DEVICE_GET_INFO, &r));
	if (!(r.info.flags & VFIO_DEVICE_FLAGS_CAPS))
		return 0;
	EXPECT_EQ(sizeof(r.info), r.info.cap_offset);
	EXPECT_EQ(VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP, r.cap.header.id);
	EXPECT_EQ(1, r.cap.header.version);
	EXPECT_EQ(0, r.cap.header.next);
	return r.cap.flags;
}

/* The PCIe capability, as sysfs shows config space */
static unsigned express_cap(int config)
{
	uint8_t space[256];

	EXPECT_EQ(256, x_pread(config, space, sizeof(space), 0));
	for (unsigned at = space[0x34]; at; at = space[at + 1]) {
		if (space[at] == 0x10)
			return at;
	}
	test_fail(__FILE__, __LINE__, "no PCIe capability");
}

TEST(atomic_ops, "20:DEV-04", "AtomicOps that the function completes and its way to the root carries are told; a port can block them")
{
	struct setup s = open_device(ATOMICS);
	struct vfio_device_info i = { .argsz = sizeof(i) };
	unsigned exp = cap(s.device, 0x10);
	int port = EXPECT_OK(x_open("/sys/bus/pci/devices/" UPSTREAM "/config", O_RDWR));
	unsigned at = express_cap(port);
	uint16_t control, blocked;
	uint32_t can;

	EXPECT_OK(x_ioctl(s.device, VFIO_DEVICE_GET_INFO, &i));
	EXPECT_EQ(40, i.argsz);
	EXPECT_EQ(0, i.cap_offset);
	EXPECT(i.flags & VFIO_DEVICE_FLAGS_CAPS);
	EXPECT_EQ(VFIO_PCI_ATOMIC_COMP32, atomics(s.device));
	EXPECT(config_read(s.device, exp + 0x28, 2) & 0x40); /* it may ask for them */
	/* A function completes, a switch's port routes. */
	EXPECT_EQ(0x180, config_read(s.device, exp + 0x24, 4) & 0x3c0);
	EXPECT_EQ(4, x_pread(port, &can, 4, at + 0x24));
	EXPECT_EQ(0x40, can & 0x3c0);
	EXPECT_EQ(2, x_pread(port, &control, 2, at + 0x28));
	blocked = control | 0x80;
	EXPECT_EQ(2, x_pwrite(port, &blocked, 2, at + 0x28));
	EXPECT_EQ(0, atomics(s.device));
	EXPECT_EQ(2, x_pwrite(port, &control, 2, at + 0x28));
	EXPECT_EQ(VFIO_PCI_ATOMIC_COMP32, atomics(s.device));
	close(port);
}
