/* SPDX-License-Identifier: MIT */
/*
 * Regions: the MSI-X table in one, of any function that has MSI-X; and, of functions that were made for it
 * (tests/machines/pcitest.yaml), which accesses arrive, ROMs, and interrupts without a listener.
 */
#include "abi.h"
#include <poll.h>

#define PLAIN        "0000:00:03.0"
#define BAD_ROM      "0000:00:08.0"
#define FIRMWARE_ROM "0000:00:09.0"
#define DISPLAY      "0000:00:0a.0"
#define SMALL        "0000:00:0b.0"
#define FACE         "0000:03:00.0"
#define TABLE        0x8000u /* of FACE's BAR 0 */
#define PBA          0xc000u
#define FIRE         0x10u
#define ERROR        0x18u
#define COMMAND      4
#define MEM          2u
#define MASTER       4u

static unsigned cap(int d, unsigned id)
{
	for (unsigned at = config_read(d, 0x34, 1), n = 0; at && n < 48; at = config_read(d, at + 1, 1), n++) {
		if (config_read(d, at, 1) == id)
			return at;
	}
	return 0;
}

static struct vfio_region_info info(int d, unsigned index)
{
	struct vfio_region_info r = { .argsz = sizeof(r), .index = index, .cap_offset = 0x1234 };

	EXPECT_OK(x_ioctl(d, VFIO_DEVICE_GET_REGION_INFO, &r));
	EXPECT_EQ((uint64_t)index << 40, r.offset);
	return r;
}

static uint32_t get(int d, unsigned region, uint64_t off)
{
	uint32_t v = 0;

	EXPECT_EQ(4, x_pread(d, &v, 4, REGION(region) + off));
	return v;
}

static void put(int d, unsigned region, uint64_t off, uint32_t v)
{
	EXPECT_EQ(4, x_pwrite(d, &v, 4, REGION(region) + off));
}

/* ---- the MSI-X table, wherever a function has it ---- */

struct msix {
	int device;
	unsigned bar;
	uint64_t table, size, bar_size;
};

static struct msix msix_of(const char *bdf)
{
	struct msix m = { .device = open_device(bdf).device };
	unsigned at = cap(m.device, 0x11);

	EXPECT(at);
	m.bar = config_read(m.device, at + 4, 4) & 7;
	m.table = config_read(m.device, at + 4, 4) & ~7u;
	m.size = 16ul * ((config_read(m.device, at + 2, 2) & 0x7ff) + 1);
	m.bar_size = region_size(m.device, m.bar);
	return m;
}

static const char *with_msix(void)
{
	if (strcmp(test_machine(), "fewer") == 0)
		test_skip("no function here has MSI-X");
	return strcmp(test_machine(), "pcitest") == 0 ? FACE : IGB;
}

TEST(msix_capability, "20:REG-06 20:REG-07 20:REG-05", "the BAR with the MSI-X table says that it may be mapped: what is asked for with 32 bytes, told with 40")
{
	struct msix m = msix_of(with_msix());
	struct {
		struct vfio_region_info r;
		struct vfio_info_cap_header cap;
	} b = { .r = { .argsz = sizeof(b.r), .index = m.bar, .cap_offset = 0x1234 }, .cap = { 9, 9, 9 } };

	EXPECT_OK(x_ioctl(m.device, VFIO_DEVICE_GET_REGION_INFO, &b.r));
	EXPECT_EQ(0xf, b.r.flags);
	EXPECT_EQ(40, b.r.argsz);
	EXPECT_EQ(0, b.r.cap_offset);
	EXPECT_EQ(9, b.cap.id);
	EXPECT_OK(x_ioctl(m.device, VFIO_DEVICE_GET_REGION_INFO, &b.r));
	EXPECT_EQ(40, b.r.argsz);
	EXPECT_EQ(32, b.r.cap_offset);
	EXPECT_EQ(VFIO_REGION_INFO_CAP_MSIX_MAPPABLE, b.cap.id);
	EXPECT_EQ(1, b.cap.version);
	EXPECT_EQ(0, b.cap.next);
}

TEST(no_sparse, "20:REG-20", "no region of a plain device has another capability than that, so none is mappable in parts")
{
	struct msix m = msix_of(with_msix());

	for (unsigned i = 0; i < 8; i++) {
		struct {
			struct vfio_region_info r;
			struct vfio_info_cap_header cap;
			char rest[256];
		} b = { .r = { .argsz = sizeof(b), .index = i } };

		EXPECT_OK(x_ioctl(m.device, VFIO_DEVICE_GET_REGION_INFO, &b.r));
		EXPECT_EQ(i == m.bar ? VFIO_REGION_INFO_FLAG_CAPS : 0, b.r.flags & VFIO_REGION_INFO_FLAG_CAPS);
		EXPECT_EQ(i == m.bar ? VFIO_REGION_INFO_CAP_MSIX_MAPPABLE : 0, b.cap.id);
		EXPECT_EQ(0, b.cap.next);
	}
}

TEST(table_reads_ones, "20:RW-10 20:RW-11", "the MSI-X table reads as ones and takes no writes, all of which count")
{
	struct msix m = msix_of(with_msix());
	uint8_t buf[4096], ones[4096];
	volatile uint32_t *map = x_mmap(NULL, m.bar_size, PROT_READ | PROT_WRITE, MAP_SHARED, m.device, REGION(m.bar));
	uint32_t was;

	EXPECT((void *)map != MAP_FAILED);
	was = map[m.table / 4 + 2];
	memset(ones, 0xff, sizeof(ones));
	memset(buf, 0, sizeof(buf));
	EXPECT_EQ(m.size, x_pread(m.device, buf, m.size, REGION(m.bar) + m.table));
	EXPECT(memcmp(buf, ones, m.size) == 0);
	memset(buf, 0x5a, sizeof(buf));
	EXPECT_EQ(m.size, x_pwrite(m.device, buf, m.size, REGION(m.bar) + m.table));
	EXPECT_EQ(3, x_pwrite(m.device, buf, 3, REGION(m.bar) + m.table + 9));
	EXPECT_EQ(was, map[m.table / 4 + 2]);
	EXPECT(map[m.table / 4 + 3] & 1); /* masked, as it was */
}

TEST(msix_bar_maps, "20:MAP-09", "the BAR with the MSI-X table maps in full")
{
	struct msix m = msix_of(with_msix());
	volatile uint32_t *map = x_mmap(NULL, m.bar_size, PROT_READ | PROT_WRITE, MAP_SHARED, m.device, REGION(m.bar));

	EXPECT((void *)map != MAP_FAILED);
	for (uint64_t at = 0; at < m.bar_size; at += 4096)
		(void)map[at / 4];
	EXPECT_EQ(1, map[m.table / 4 + 3] & 1);
}

TEST(reset_while_off_any, "20:MEM-07", "a reset leaves memory disabled as it was, and gated")
{
	int d = open_device(with_msix()).device;
	uint32_t cmd = config_read(d, COMMAND, 2), v;

	config_write(d, COMMAND, 2, cmd & ~MEM);
	EXPECT_OK(x_ioctl(d, VFIO_DEVICE_RESET, NULL));
	EXPECT_EQ(cmd & ~MEM, config_read(d, COMMAND, 2));
	EXPECT_ERR(EIO, x_pread(d, &v, 4, REGION(0)));
	config_write(d, COMMAND, 2, cmd);
	EXPECT_EQ(4, x_pread(d, &v, 4, REGION(0)));
}

/* ---- faces that QEMU's devices have too ---- */

#define LARGE  "0000:00:03.0"
#define VGA    "0000:00:04.0"
#define E1000E "0000:01:00.0" /* ROM; ports in BAR 2, the first 4 of which keep what is written */

TEST_ON("faces", large, "20:CFG-09 20:REG-04 20:REG-05", "a BAR of 8 GiB sizes over two dwords, and is one region")
{
	struct setup s = open_device(LARGE);

	config_write(s.device, 0x18, 4, ~0u);
	config_write(s.device, 0x1c, 4, ~0u);
	EXPECT_EQ(0x0000000c, config_read(s.device, 0x18, 4));
	EXPECT_EQ(0xfffffffe, config_read(s.device, 0x1c, 4));
	EXPECT_EQ(8ull << 30, info(s.device, 2).size);
	EXPECT_EQ(7, info(s.device, 2).flags);
	EXPECT_EQ(0, info(s.device, 3).size);
	EXPECT_EQ(0, info(s.device, 3).flags);
	put(s.device, 2, (8ull << 30) - 4, 0x1234);
	EXPECT_EQ(0x1234, get(s.device, 2, (8ull << 30) - 4));
	EXPECT_ERR(EINVAL, x_pread(s.device, &s, 4, REGION(2) + (8ull << 30)));
}

TEST_ON("faces", ports_of_any, "20:REG-08 20:RW-14 20:CFG-13 20:REG-21", "an I/O BAR cannot be mapped, keeps bit 0, and answers without memory enabled")
{
	struct setup s = open_device(E1000E);
	struct vfio_region_info r = info(s.device, 2);

	EXPECT_EQ(3, r.flags);
	EXPECT_EQ(32, r.size);
	EXPECT_EQ(0x1234, r.cap_offset);
	EXPECT(x_mmap(NULL, 4096, PROT_READ, MAP_SHARED, s.device, REGION(2)) == MAP_FAILED);
	config_write(s.device, 0x18, 4, 0);
	EXPECT_EQ(1, config_read(s.device, 0x18, 4));
	config_write(s.device, 0x18, 4, ~0u);
	EXPECT_EQ(0xffffffe1, config_read(s.device, 0x18, 4));
	config_write(s.device, COMMAND, 2, config_read(s.device, COMMAND, 2) & ~MEM);
	put(s.device, 2, 0, 0x5b00);
	EXPECT_EQ(0x5b00, get(s.device, 2, 0));
	EXPECT_ERR(EIO, x_pread(s.device, &r, 4, REGION(0)));
}

TEST_ON("faces", rom_of_any, "20:REG-12 20:REG-15 20:RW-08 20:RW-09 20:CFG-11", "a ROM is as large as its BAR, also without memory enabled, which stays; behind its image it reads ones")
{
	struct setup s = open_device(E1000E);
	uint32_t cmd = config_read(s.device, COMMAND, 2), v = 0;
	struct vfio_region_info r = info(s.device, 6);

	EXPECT_EQ(1, r.flags);
	config_write(s.device, 0x30, 4, ~0u);
	EXPECT_EQ((uint32_t)~(r.size - 1) | 1, config_read(s.device, 0x30, 4));
	config_write(s.device, 0x30, 4, 0xfffff800);
	EXPECT_EQ((uint32_t)~(r.size - 1), config_read(s.device, 0x30, 4));
	config_write(s.device, COMMAND, 2, cmd & ~MEM);
	EXPECT_EQ(r.size, info(s.device, 6).size);
	EXPECT_EQ(cmd & ~MEM, config_read(s.device, COMMAND, 2));
	EXPECT_ERR(EIO, x_pread(s.device, &v, 4, REGION(0)));
	EXPECT_ERR(ENOMEM, x_pread(s.device, &v, 4, REGION(6)));
	config_write(s.device, COMMAND, 2, cmd);
	EXPECT_EQ(2, x_pread(s.device, &v, 2, REGION(6)));
	EXPECT_EQ(0xaa55, v);
	EXPECT_EQ(0xffffffff, get(s.device, 6, r.size - 4));
	EXPECT_EQ(3, x_pread(s.device, &v, 16, REGION(6) + r.size - 3));
	EXPECT_ERR(EINVAL, x_pread(s.device, &v, 4, REGION(6) + r.size));
	EXPECT_ERR(EINVAL, x_pwrite(s.device, &v, 4, REGION(6)));
	EXPECT(x_mmap(NULL, 4096, PROT_READ, MAP_SHARED, s.device, REGION(6)) == MAP_FAILED);
}

TEST_ON("faces", vga_of_any, "20:REG-16 20:REG-17 20:RW-18", "a display's old addresses are a region, in three windows, and others have none")
{
	struct setup s = open_device(VGA);
	struct vfio_region_info r = { .argsz = sizeof(r), .index = 8 };
	uint8_t buf[100];

	if (x_ioctl(s.device, VFIO_DEVICE_GET_REGION_INFO, &r) < 0 && test_door() == DOOR_HOST)
		test_skip("this Linux is built without it");
	EXPECT_EQ(0xc0000, info(s.device, 8).size);
	EXPECT_EQ(3, info(s.device, 8).flags);
	EXPECT_EQ(12, x_pread(s.device, buf, 100, REGION(8) + 0x3b0));
	EXPECT_EQ(32, x_pread(s.device, buf, 100, REGION(8) + 0x3c0));
	EXPECT_EQ(8, x_pread(s.device, buf, 100, REGION(8) + 0xbfff8));
	EXPECT_ERR(EINVAL, x_pread(s.device, buf, 1, REGION(8) + 0x3bc));
	EXPECT_ERR(EINVAL, x_pread(s.device, buf, 1, REGION(8) + 0x3e0));
	EXPECT_ERR(EINVAL, x_pread(s.device, buf, 1, REGION(8) + 0x9ffff));
	EXPECT_ERR(EINVAL, x_pread(s.device, buf, 1, REGION(8) + 0xc0000));
	s = open_device(E1000E);
	EXPECT_ERR(EINVAL, x_ioctl(s.device, VFIO_DEVICE_GET_REGION_INFO, &r));
	EXPECT_ERR(EINVAL, x_pread(s.device, buf, 1, REGION(8) + 0x3c0));
}

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

TEST_ON("pcitest", widths, "20:RW-04 20:RW-05 20:RW-06", "a transfer arrives in pieces as wide as their place and the rest allow")
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

TEST_ON("pcitest", widths_mapped, "20:RW-04 20:MAP-04", "a load or store of a mapping arrives as the one access that it is")
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

TEST_ON("pcitest", table_straddled, "20:RW-12 20:RW-13", "around the MSI-X table the registers are read and written; the pending bits are readable")
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

TEST_ON("pcitest", ports, "20:REG-08 20:RW-14 20:REG-21", "an I/O BAR cannot be mapped, and answers without memory enabled; without capabilities cap_offset stays")
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

TEST_ON("pcitest", reset_while_off, "20:MEM-07 20:CFG-54", "a reset of a function whose memory is disabled leaves it disabled")
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

TEST_ON("pcitest", smaller_than_a_page, "20:REG-09 20:REG-10 20:MAP-10", "a BAR of 256 bytes maps, as a page, when it has its page for itself")
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

TEST_ON("pcitest", rom, "20:REG-12 20:REG-15 20:RW-07 20:RW-08 20:RW-09", "a ROM is as large as its BAR, also without memory enabled, which stays; behind its image it reads ones, never 8 bytes at once")
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

TEST_ON("pcitest", rom_bad, "20:REG-13", "a ROM without a signature is no region, yet its BAR sizes")
{
	struct setup s = open_device(BAD_ROM);
	uint32_t v;

	EXPECT_EQ(0, info(s.device, 6).size);
	EXPECT_EQ(0, info(s.device, 6).flags);
	config_write(s.device, 0x30, 4, ~0u);
	EXPECT_EQ(0xffff0001, config_read(s.device, 0x30, 4));
	EXPECT_ERR(ENOMEM, x_pread(s.device, &v, 4, REGION(6)));
}

TEST_ON("pcitest", rom_without_bar, "20:REG-14", "an image that firmware brought counts as the next power of two, a display's copy as 128 KiB")
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

TEST_ON("pcitest", vga, "20:REG-16 20:REG-17 20:RW-18 20:RW-07", "a display's old addresses are a region, in three windows, and others have none")
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

static int hook(int d, unsigned index, unsigned start, unsigned count, const int32_t *fds)
{
	struct {
		struct vfio_irq_set h;
		int32_t fd[8];
	} b = { .h = { 20 + 4 * count, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, index, start, count } };

	memcpy((char *)&b + 20, fds, 4ul * count);
	return x_ioctl(d, VFIO_DEVICE_SET_IRQS, &b);
}

static int disable(int d, unsigned index)
{
	struct vfio_irq_set h = { sizeof(h), VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER, index, 0, 0 };

	return x_ioctl(d, VFIO_DEVICE_SET_IRQS, &h);
}

static uint64_t count_of(int fd)
{
	uint64_t n = 0;

	return read(fd, &n, 8) == 8 ? n : 0;
}

static uint64_t wait_count(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	EXPECT_EQ(1, poll(&p, 1, 60000));
	return count_of(fd);
}

TEST_ON("pcitest", msi_grows_not, "20:IRQ-22", "MSI vectors beyond those enabled together cannot be hooked")
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

TEST_ON("pcitest", nobody_listens, "20:IRQ-27 20:IRQ-26", "a vector without an eventfd signals nobody; where it can be masked it is pending until it is hooked, else lost")
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

TEST_ON("pcitest", error, "20:IRQ-39", "an uncorrectable error that the function reports signals ERR")
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

TEST_ON("fewer", fewer, "20:IRQ-23", "asked for more MSI vectors than there are, SET_IRQS says how many and enables none")
{
	int32_t fd[2] = { eventfd(0, EFD_CLOEXEC), eventfd(0, EFD_CLOEXEC) };
	struct vfio_irq_info i = { .argsz = sizeof(i), .index = VFIO_PCI_MSI_IRQ_INDEX };
	struct vfio_irq_set none = { sizeof(none), VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_PCI_MSI_IRQ_INDEX, 0, 0 };
	struct setup s;

	EXPECT_OK(sys_write("/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts", "Y"));
	s = open_device("0000:00:03.0");
	EXPECT_OK(x_ioctl(s.device, VFIO_DEVICE_GET_IRQ_INFO, &i));
	EXPECT_EQ(16, i.count);
	EXPECT_EQ(1, hook(s.device, VFIO_PCI_MSI_IRQ_INDEX, 0, 2, fd));
	EXPECT_EQ(1, hook(s.device, VFIO_PCI_MSI_IRQ_INDEX, 1, 1, fd));
	EXPECT_ERR(EINVAL, x_ioctl(s.device, VFIO_DEVICE_SET_IRQS, &none));
	EXPECT_OK(hook(s.device, VFIO_PCI_MSI_IRQ_INDEX, 0, 1, fd));
	EXPECT_ERR(EINVAL, hook(s.device, VFIO_PCI_MSI_IRQ_INDEX, 1, 1, fd));
	EXPECT_OK(x_ioctl(s.device, VFIO_DEVICE_SET_IRQS, &none));
	close(fd[0]);
	close(fd[1]);
}
