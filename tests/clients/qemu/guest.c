/* SPDX-License-Identifier: MIT */
/* Start, end, and what lies between: chosen by the last word of QEMU's -append. Then the edu. */
#include "guest.h"

/* ---- the console ---- */

void say(const char *s)
{
	while (*s)
		outb(0xe9, (u8)*s++);
}

static int failed;

void check(int ok, const char *what)
{
	failed |= !ok;
	say(ok ? "ok - guest: " : "not ok - guest: ");
	say(what);
	say("\n");
}

void finish(void)
{
	outl(0xf4, failed ? 1 : 0);
	for (;;)
		__asm__ volatile("hlt");
}

int comes_to(const volatile u32 *n, u32 want)
{
	for (u32 i = 0; i < 1000000000 && *n != want; i++)
		relax();
	return *n == want;
}

/* ---- config space ---- */

u32 config_read(u32 slot, u32 off)
{
	outl(0xcf8, slot | off);
	return inl(0xcfc);
}

void config_write(u32 slot, u32 off, u32 v)
{
	outl(0xcf8, slot | off);
	outl(0xcfc, v);
}

void config_write16(u32 slot, u32 off, u16 v)
{
	outl(0xcf8, slot | (off & ~3u));
	outw((u16)(0xcfc + (off & 2)), v);
}

u32 capability(u32 slot, u32 id)
{
	for (u32 at = config_read(slot, 0x34) & 0xfc; at; at = config_read(slot, at) >> 8 & 0xfc) {
		if ((config_read(slot, at) & 0xff) == id)
			return at;
	}
	return 0;
}

volatile u32 *bar(u32 slot, u32 n)
{
	config_write16(slot, COMMAND, (u16)(config_read(slot, COMMAND) | COMMAND_MEM | COMMAND_BUS));
	return (volatile u32 *)(config_read(slot, 0x10 + 4 * n) & ~0xfu);
}

/* ---- the edu ---- */

static void dma(volatile u32 *edu, u32 src, u32 dst, u32 count, u32 command)
{
	edu[0x80 / 4] = src;
	edu[0x84 / 4] = 0;
	edu[0x88 / 4] = dst;
	edu[0x8c / 4] = 0;
	edu[0x90 / 4] = count;
	edu[0x94 / 4] = 0;
	edu[0x98 / 4] = command;
	while (edu[0x98 / 4] & 1)
		;
}

static u8 page[8192] __attribute__((aligned(4096)));

/* Reads its identity, moves data through guest RAM in both directions by its DMA, and takes an MSI. */
void test_edu(void)
{
	volatile u32 *edu;
	u32 msi, same = 1;

	check(config_read(EDU, 0) == 0x11e81234, "the edu is on the bus");
	edu = bar(EDU, 0);
	check(edu[0] == 0x010000ed, "its BAR says 0x010000ed");
	edu[1] = 0x1badcafe;
	check(edu[1] == ~0x1badcafeu, "it is alive");

	for (u32 i = 0; i < 4096; i++)
		page[i] = (u8)(i * 13 + 5);
	dma(edu, (u32)page, 0x40000, 4000, 1);
	dma(edu, 0x40000, (u32)page + 4096, 4000, 3);
	for (u32 i = 0; i < 4000; i++)
		same &= ((volatile u8 *)page)[4096 + i] == (u8)(i * 13 + 5);
	check(same, "4000 bytes went from guest RAM to the edu and back");

	msi = capability(EDU, 5);
	check(msi != 0, "it has MSI");
	config_write(EDU, msi + 4, MESSAGE);
	config_write(EDU, msi + 8, 0);
	config_write(EDU, msi + 12, VECTOR_MSI);
	config_write(EDU, msi, config_read(EDU, msi) | 0x10000);
	edu[0x60 / 4] = 0x55;
	check(comes_to(&arrived[VECTOR_MSI], 1), "an MSI arrived");
	check(edu[0x24 / 4] == 0x55, "the interrupt status says why");
	edu[0x64 / 4] = 0x55;
	check(edu[0x24 / 4] == 0, "acknowledged");
	arrived[VECTOR_MSI] = 0;
}

/* ---- what is asked for ---- */

static int same(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

/* @info: of the multiboot loader; the command line is its fifth number. */
static const char *last_word(const u32 *info)
{
	const char *line = info[0] & 4 ? (const char *)info[4] : "", *word = line;

	for (; *line; line++) {
		if (*line == ' ')
			word = line + 1;
	}
	return word;
}

__attribute__((used)) void guest_main(const u32 *info)
{
	const char *word = last_word(info);

	take_interrupts();
	if (same(word, "command")) {
		touch_command();
	} else if (same(word, "racing")) {
		touch_racing();
	} else if (same(word, "asleep")) {
		touch_asleep();
	} else if (reset_begun()) {
		reset_check();
	} else {
		test_edu();
		test_face();
		reset_begin();
	}
	finish();
}

__asm__(".section .multiboot, \"a\"\n\t.align 4\n\t.long 0x1badb002, 0, -0x1badb002\n"
	".section .text\n.globl _start\n_start:\n\tmov $stack_top, %esp\n\tpush %ebx\n\tcall guest_main\n"
	".section .bss\n\t.align 16\n\t.space 16384\nstack_top:\n");
