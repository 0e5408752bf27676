/* SPDX-License-Identifier: MIT */
/* What the bytes of the input mean: fuzz.h */
#include "fuzz.h"

const uint8_t *in, *in_end;

uint8_t byte(void)
{
	return in < in_end ? *in++ : 0;
}

uint64_t raw(unsigned n)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < n; i++)
		v |= (uint64_t)byte() << 8 * i;
	return v;
}

uint32_t id(void)
{
	uint8_t b = byte();

	return b < 0xf0 ? b % 16 : (uint32_t)raw(4);
}

uint32_t flags(void)
{
	uint8_t b = byte();

	return b < 0xf0 ? b : (uint32_t)raw(4);
}

uint64_t last_iova;

uint64_t iova(void)
{
	static const uint64_t table[] = {
		0x10000, 0, 0x1000, 0x20000, 0x1ff000, 0x200000, 0x400000, 0xfedff000, 0xfee00000, 0xfef00000, 0x3ffff000,
		0x50000000, 1ull << 32, (1ull << 39) - PAGE, 1ull << 39, (1ull << 48) - PAGE, 1ull << 48, 1ull << 57,
		1ull << 63, -(8 * PAGE), UINT64_MAX, 1, 0x800, 0xfff, 0x10800,
	};
	uint8_t b = byte();

	if (b >> 5 == 7)
		return raw(8);
	return ((b & 31) < ARRAY_SIZE(table) ? table[b & 31] : last_iova) + (b >> 5) * PAGE;
}

uint64_t length(void)
{
	static const uint64_t table[] = {
		PAGE, 2 * PAGE, 3 * PAGE, 4 * PAGE, 8 * PAGE, 16 * PAGE, 0x200000, 0x400000, 0, 1, 100, 0x800, 0xfff, 0x1001,
		1ull << 30, 1ull << 32, 1ull << 39, 1ull << 63, UINT64_MAX, -PAGE,
	};
	uint8_t b = byte();

	return b < 0xf0 ? table[b % ARRAY_SIZE(table)] : raw(8) & (BIT64(40) - 1);
}

uint64_t uva(void)
{
	static const uint64_t outside[] = { 0, 8, 1ull << 63, -PAGE, (uintptr_t)ARENA + HUGE, (uintptr_t)ARENA + HUGE + 0x200000 };
	uint8_t b = byte();
	uint64_t at = (uintptr_t)ARENA + (b & 63) * PAGE;

	switch (b >> 6) {
	case 1:
		return at + byte() * 16u;
	case 2:
		return at + PAGE - 1 - byte();
	case 3:
		return outside[b % ARRAY_SIZE(outside)];
	}
	return at;
}
