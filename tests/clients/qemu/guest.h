/* SPDX-License-Identifier: MIT */
/*
 * A guest without an operating system, booted by QEMU's -kernel (multiboot, 32 bits, no paging): ports, config space and
 * interrupts. It says what it sees on the debug console (port 0xe9), one "ok"/"not ok" line each, and ends QEMU by
 * isa-debug-exit (port 0xf4).
 */
#ifndef GUEST_H
#define GUEST_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

static inline void outb(u16 port, u8 v)
{
	__asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}

static inline void outw(u16 port, u16 v)
{
	__asm__ volatile("outw %0, %1" : : "a"(v), "Nd"(port));
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

static inline void relax(void)
{
	__asm__ volatile("pause" : : : "memory");
}

/* ---- guest.c ---- */

void say(const char *s);
void check(int ok, const char *what);
/* End QEMU: with status 1 if all was well */
void finish(void) __attribute__((noreturn));
/* *@n becomes @want, or there was time enough for it */
int comes_to(const volatile u32 *n, u32 want);

/* The functions of the guest's bus 0, and where QEMU's command line has put them. */
#define SLOT(dev, fn) (0x80000000u | (dev) << 11 | (fn) << 8)
#define EDU           SLOT(5, 0)
#define FACE          SLOT(6, 0) /* a pcitest with everything, machine.yaml */
#define TWIN(n)       SLOT(7, n) /* two that can only be reset together */

#define COMMAND       0x04
#define COMMAND_MEM   2u
#define COMMAND_BUS   4u /* master */
#define COMMAND_QUIET 0x400u /* no INTx */

u32 config_read(u32 slot, u32 off);
void config_write(u32 slot, u32 off, u32 v);
void config_write16(u32 slot, u32 off, u16 v);
/* Where the capability @id is; 0: nowhere */
u32 capability(u32 slot, u32 id);
/* A memory BAR below 4 GiB, memory and bus mastering switched on */
volatile u32 *bar(u32 slot, u32 n);

/* ---- irq.c ---- */

#define VECTOR_PIC  0x20u
#define VECTOR_MSI  0x40u
#define VECTOR_MSIX 0x50u
#define VECTORS     0x60u

extern volatile u32 arrived[VECTORS]; /* interrupts by vector */
#define LAPIC   ((volatile u32 *)0xfee00000)
#define MESSAGE 0xfee00000u /* where a message goes to reach this processor */

void take_interrupts(void);
/* Have the old interrupt controllers deliver that line: @handler at each, before its end is told */
void take_line(u32 irq, void (*handler)(void));
/* Another processor runs @code */
void start_processor(void (*code)(void));

/* ---- the tests ---- */

void test_edu(void);
void test_face(void);
void reset_begin(void);
int reset_begun(void);
void reset_check(void);
void touch_command(void);
void touch_racing(void);
void touch_asleep(void);

#endif
