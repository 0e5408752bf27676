/* SPDX-License-Identifier: MIT */
/* Regions of any function, and of faces that QEMU's devices have too: MSI-X tables, ROMs, ports, VGA. */
#include "face.h"

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

/* ---- interrupts ---- */

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
