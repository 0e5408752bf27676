/* SPDX-License-Identifier: MIT */
/* Reads, writes and mappings of regions; loads and stores. */
#include "calls.h"
#include "touch.h"
#include <string.h>
#include <sys/mman.h>

/* What is at interesting places: the registers, the tables and pending bits, the ends. */
uint64_t offset_in(unsigned region)
{
	static const uint64_t bar[] = { 0, 0x10, 0x14, 0x18, 0x1c, 0x20, 0x28, 0x80, 0x90, 0x98, 0xff8, 0xfff, 0x1000,
					0x800, 0x87c, 0x880, 0x7fc, 0x8000, 0x7ffc, 0x8008, 0xfff8, 0xffff, 0x10000,
					0x100, 0x130, 0x400, 0x3ffc, 0x4000, 0x7c, 0xfc };
	static const uint64_t config[] = { 4, 0x10, 0x30, 0x3c, 0x40, 0x50, 0x60, 0x70, 0x80, 0x90, 0xa0, 0xb0, 0xb8,
					   0xe0, 0xe4, 0xfe, 0x100, 0x200, 0xffc, 0xfff, 0x1000, 6, 0xc, 0x34 };
	static const uint64_t vga[] = { 0xa0000, 0xbffff, 0x3b0, 0x3bb, 0x3c0, 0x3df, 0x3bc, 0xc0000, 0x9ffff };
	uint8_t b = byte();

	if (b >= 0xf0)
		return raw(5);
	if (region == VFIO_PCI_CONFIG_REGION_INDEX)
		return b & 0x80 ? (b & 0x7fu) * 2 : config[b % ARRAY_SIZE(config)] + b / 32;
	if (region == VFIO_PCI_VGA_REGION_INDEX)
		return vga[b % ARRAY_SIZE(vga)];
	return bar[b % 32 % ARRAY_SIZE(bar)] + b / 32 * 4;
}

static size_t count(void)
{
	static const size_t table[] = { 4, 1, 2, 8, 3, 16, 64, 7, 0, PAGE, 5000, 1ul << 31, 17, 12, 6, 5 };

	return table[byte() % ARRAY_SIZE(table)];
}

/* Through the arena: what is written is what is there, or what the program says. */
void do_region(void)
{
	int fd = pick(DEVICE);
	uint8_t b = byte();
	unsigned region = b & 0xf;
	off_t at = REGION(region) | (off_t)offset_in(region);
	size_t n = count();
	uint64_t value;

	if (b & 0x80) {
		value = byte();
		uvfio_pwrite(m, fd, &value, MIN(n, sizeof(value)), at);
	} else if (b & 0x40) {
		uvfio_pwrite(m, fd, (void *)uva(), n, at);
	} else {
		uvfio_pread(m, fd, (void *)uva(), n, at);
	}
}

void do_config(void)
{
	int fd = pick(DEVICE);
	off_t at = CONFIG | (off_t)offset_in(VFIO_PCI_CONFIG_REGION_INDEX);
	uint64_t value;
	size_t n = 1u << (byte() & 3);

	value = raw((unsigned)n);
	uvfio_pwrite(m, fd, &value, n, at);
}

void do_command(void)
{
	static const uint16_t table[] = { 6, 4, 2, 0, 7, 0x406, 0x400, 0x107 };
	int fd = pick(DEVICE);
	uint16_t v = table[byte() & 7];

	uvfio_pwrite(m, fd, &v, 2, CONFIG + PCI_COMMAND);
}

static uint8_t config_byte(int fd, unsigned at)
{
	uint8_t b = 0;

	uvfio_pread(m, fd, &b, 1, CONFIG + at);
	return b;
}

/* By the capability, or low power. */
void do_power(void)
{
	int fd = pick(DEVICE);
	unsigned at = config_byte(fd, PCI_CAPABILITY_LIST);
	uint8_t b = byte();

	while (at && config_byte(fd, at) != PCI_CAP_ID_PM)
		at = config_byte(fd, at + 1);
	if (at)
		uvfio_pwrite(m, fd, &b, 1, CONFIG + at + PCI_PM_CTRL);
}

/* ---- mappings ---- */

void window_end(void)
{
	uvfio_munmap(m, WINDOW, WINDOW_MAX * PAGE);
}

void do_mmap(void)
{
	static const unsigned offsets[] = { 0, 1, 8, 15, 7, 3 };
	int fd = pick(DEVICE);
	uint8_t b = byte(), c = byte();
	unsigned page = c % WINDOW_MAX, n = MIN((c >> 4) + 1u, WINDOW_MAX - page);
	int prot = b & 8 ? PROT_READ : PROT_READ | PROT_WRITE;

	uvfio_mmap(m, WINDOW + page * PAGE, n * PAGE, prot, (b & 0x80 ? MAP_PRIVATE : MAP_SHARED) | MAP_FIXED, fd,
		   REGION(b & 7) + (off_t)(offsets[(b >> 4 & 7) % ARRAY_SIZE(offsets)] * PAGE));
}

void do_munmap(void)
{
	uint8_t b = byte();
	unsigned page = b % WINDOW_MAX;

	uvfio_munmap(m, WINDOW + page * PAGE, MIN((b >> 4) + 1u, WINDOW_MAX - page) * PAGE);
}

void do_touch(void)
{
	uint8_t b = byte(), c = byte();
	uint64_t value = 0;
	char *at = WINDOW + (b & 0xf) * PAGE + (offset_in(VFIO_PCI_BAR0_REGION_INDEX) & (PAGE - 1));

	if (c & 0x80)
		value = byte();
	touch(at, 1u << (c & 3), c & 0x80, &value);
}
