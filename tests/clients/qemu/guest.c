/* SPDX-License-Identifier: MIT */
/*
 * A guest in one file, booted by QEMU's -kernel (multiboot, 32 bits, no paging): finds the edu on its PCI
 * bus, reads its identity in the BAR, moves data through guest RAM in both directions by the edu's DMA and
 * takes an MSI on its local APIC. Says so on the debug console (port 0xe9), one "ok"/"not ok" line each, and ends QEMU by
 * isa-debug-exit (port 0xf4).
 */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

static inline void outb(u16 port, u8 v)
{
	__asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}

static inline void outl(u16 port, u32 v)
{
	__asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(port));
}

static inline u32 inl(u16 port)
{
	u32 v;

	__asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static void say(const char *s)
{
	while (*s)
		outb(0xe9, (u8)*s++);
}

static int failed;

static void check(int ok, const char *what)
{
	failed |= !ok;
	say(ok ? "ok - guest: " : "not ok - guest: ");
	say(what);
	say("\n");
}

static u32 slot; /* config address of the edu */

static u32 config_read(u32 off)
{
	outl(0xcf8, slot | off);
	return inl(0xcfc);
}

static void config_write(u32 off, u32 v)
{
	outl(0xcf8, slot | off);
	outl(0xcfc, v);
}

static volatile u32 messages;

#define LAPIC ((volatile u32 *)0xfee00000)

__attribute__((used)) void message_arrived(void)
{
	messages++;
	LAPIC[0xb0 / 4] = 0;
}

__asm__(".globl message_entry\nmessage_entry:\n\tpushal\n\tcall message_arrived\n\tpopal\n\tiret\n");
extern char message_entry[];

#define VECTOR 0x41
static u64 gdt[] = { 0, 0x00cf9a000000ffffull, 0x00cf92000000ffffull };
static u64 idt[VECTOR + 1];

static void take_interrupts(void)
{
	struct __attribute__((packed)) {
		u16 limit;
		u32 base;
	} gdtr = { sizeof(gdt) - 1, (u32)gdt }, idtr = { sizeof(idt) - 1, (u32)idt };
	u32 at = (u32)message_entry;

	idt[VECTOR] = (u64)(at & 0xffff) | 0x8ull << 16 | 0x8e00ull << 32 | (u64)(at >> 16) << 48;
	__asm__ volatile("lgdt %0\n\tljmp $8, $1f\n1:\tmov $16, %%eax\n\tmov %%eax, %%ds\n\tmov %%eax, %%es\n\tmov %%eax, %%ss\n\t"
			 "lidt %1" : : "m"(gdtr), "m"(idtr) : "eax");
	outb(0x21, 0xff); /* the old interrupt controllers stay silent */
	outb(0xa1, 0xff);
	LAPIC[0xf0 / 4] = 0x1ff;
	__asm__ volatile("sti");
}

static int find_edu(void)
{
	for (u32 dev = 0; dev < 32; dev++) {
		slot = 0x80000000u | dev << 11;
		if (config_read(0) == 0x11e81234)
			return 1;
	}
	return 0;
}

static u32 find_msi(void)
{
	for (u32 at = config_read(0x34) & 0xfc; at; at = config_read(at) >> 8 & 0xfc) {
		if ((config_read(at) & 0xff) == 5)
			return at;
	}
	return 0;
}

static void dma(volatile u32 *bar, u32 src, u32 dst, u32 count, u32 command)
{
	bar[0x80 / 4] = src;
	bar[0x84 / 4] = 0;
	bar[0x88 / 4] = dst;
	bar[0x8c / 4] = 0;
	bar[0x90 / 4] = count;
	bar[0x94 / 4] = 0;
	bar[0x98 / 4] = command;
	while (bar[0x98 / 4] & 1)
		;
}

static u8 page[8192] __attribute__((aligned(4096)));

__attribute__((used)) void guest_main(void)
{
	volatile u32 *bar;
	u32 msi, same = 1;

	check(find_edu(), "the edu is on the bus");
	bar = (volatile u32 *)(config_read(0x10) & ~0xfu);
	config_write(4, config_read(4) | 6);
	check(bar[0] == 0x010000ed, "its BAR says 0x010000ed");
	bar[1] = 0x1badcafe;
	check(bar[1] == ~0x1badcafeu, "it is alive");

	for (u32 i = 0; i < 4096; i++)
		page[i] = (u8)(i * 13 + 5);
	dma(bar, (u32)page, 0x40000, 4000, 1);
	dma(bar, 0x40000, (u32)page + 4096, 4000, 3);
	for (u32 i = 0; i < 4000; i++)
		same &= ((volatile u8 *)page)[4096 + i] == (u8)(i * 13 + 5);
	check(same, "4000 bytes went from guest RAM to the edu and back");

	take_interrupts();
	msi = find_msi();
	check(msi != 0, "it has MSI");
	config_write(msi + 4, 0xfee00000);
	config_write(msi + 8, 0);
	config_write(msi + 12, VECTOR);
	config_write(msi, config_read(msi) | 0x10000);
	bar[0x60 / 4] = 0x55;
	for (u32 i = 0; i < 100000000 && !messages; i++)
		__asm__ volatile("pause");
	check(messages == 1, "an MSI arrived");
	check(bar[0x24 / 4] == 0x55, "the interrupt status says why");
	bar[0x64 / 4] = 0x55;
	check(bar[0x24 / 4] == 0, "acknowledged");
	outl(0xf4, failed ? 1 : 0);
	for (;;)
		__asm__ volatile("hlt");
}

__asm__(".section .multiboot, \"a\"\n\t.align 4\n\t.long 0x1badb002, 0, -0x1badb002\n"
	".section .text\n.globl _start\n_start:\n\tmov $stack_top, %esp\n\tcall guest_main\n"
	".section .bss\n\t.align 16\n\t.space 16384\nstack_top:\n");
