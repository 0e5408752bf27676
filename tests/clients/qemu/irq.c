/* SPDX-License-Identifier: MIT */
/* Interrupts: messages on the local APIC, lines through the two 8259s behind it; and the start of another processor. */
#include "guest.h"

volatile u32 arrived[VECTORS];
static u32 line = ~0u; /* the one the 8259s may raise */
static void (*line_handler)(void);

__attribute__((used)) void interrupt(u32 vector)
{
	arrived[vector]++;
	if (vector == VECTOR_PIC + line) {
		line_handler();
		if (line >= 8)
			outb(0xa0, 0x20);
		outb(0x20, 0x20);
	} else if (vector >= VECTOR_MSI) {
		LAPIC[0xb0 / 4] = 0;
	}
}

/* Entries of 16 bytes, one for each vector, that push its number. */
__asm__(".globl entries\n.align 16\nentries:\n"
	".set v, 0\n"
	".rept 0x60\n"
	"	.align 16\n"
	"	push $v\n"
	"	jmp common\n"
	"	.set v, v + 1\n"
	".endr\n"
	"common:\n"
	"	pushal\n"
	"	cld\n"
	"	push 32(%esp)\n"
	"	call interrupt\n"
	"	add $4, %esp\n"
	"	popal\n"
	"	add $4, %esp\n"
	"	iret\n");
extern char entries[];

static u64 gdt[] = { 0, 0x00cf9a000000ffffull, 0x00cf92000000ffffull };
static u64 idt[VECTORS];
struct __attribute__((packed)) table {
	u16 limit;
	u32 base;
};
__attribute__((used)) struct table gdtr = { sizeof(gdt) - 1, (u32)gdt };

void take_interrupts(void)
{
	struct table idtr = { sizeof(idt) - 1, (u32)idt };

	for (u32 v = VECTOR_PIC; v < VECTORS; v++) {
		u32 at = (u32)entries + 16 * v;

		idt[v] = (u64)(at & 0xffff) | 0x8ull << 16 | 0x8e00ull << 32 | (u64)(at >> 16) << 48;
	}
	__asm__ volatile("lgdt gdtr\n\tljmp $8, $1f\n1:\tmov $16, %%eax\n\tmov %%eax, %%ds\n\tmov %%eax, %%es\n\tmov %%eax, %%ss\n\t"
			 "lidt %0" : : "m"(idtr) : "eax");
	outb(0x21, 0xff);
	outb(0xa1, 0xff);
	LAPIC[0xf0 / 4] = 0x1ff;
	__asm__ volatile("sti");
}

void take_line(u32 irq, void (*handler)(void))
{
	static const u8 init[4] = { 0x11, VECTOR_PIC, 4, 1 };

	line = irq;
	line_handler = handler;
	outb(0x20, init[0]);
	outb(0xa0, init[0]);
	for (u32 i = 1; i < 4; i++) {
		outb(0x21, init[i]);
		outb(0xa1, i == 1 ? VECTOR_PIC + 8 : i == 2 ? 2 : init[i]);
	}
	outb(0x21, (u8)~(irq < 8 ? 1u << irq : 4u));
	outb(0xa1, (u8)~(irq < 8 ? 0 : 1u << (irq - 8)));
}

/* ---- another processor ---- */

static u8 other_stack[4096] __attribute__((aligned(16)));
__attribute__((used)) u8 *other_top = other_stack + sizeof(other_stack);
__attribute__((used)) void (*other_code)(void);

#define TRAMPOLINE 0x8000u /* it begins there, in real mode */
__asm__(".code16\n"
	".globl trampoline, trampoline_end\n"
	"trampoline:\n"
	"	cli\n"
	"	xor %ax, %ax\n"
	"	mov %ax, %ds\n"
	"	lgdtl 0x8000 + trampoline_gdtr - trampoline\n"
	"	mov %cr0, %eax\n"
	"	or $1, %al\n"
	"	mov %eax, %cr0\n"
	"	ljmpl $8, $other_start\n"
	"trampoline_gdtr: .space 6\n"
	"trampoline_end:\n"
	".code32\n"
	"other_start:\n"
	"	mov $16, %eax\n"
	"	mov %eax, %ds\n"
	"	mov %eax, %es\n"
	"	mov %eax, %ss\n"
	"	mov other_top, %esp\n"
	"	call *other_code\n"
	"1:	hlt\n"
	"	jmp 1b\n");
extern u8 trampoline[], trampoline_end[];

void start_processor(void (*code)(void))
{
	u8 *to = (u8 *)TRAMPOLINE;
	u32 n = (u32)(trampoline_end - trampoline);

	other_code = code;
	for (u32 i = 0; i < n; i++)
		to[i] = i < n - sizeof(gdtr) ? trampoline[i] : ((u8 *)&gdtr)[i - (n - sizeof(gdtr))];
	LAPIC[0x300 / 4] = 0xc4500; /* INIT, to all others */
	for (u32 i = 0; i < 1000000; i++)
		relax();
	LAPIC[0x300 / 4] = 0xc4600 | TRAMPOLINE >> 12; /* start there */
}
