/* SPDX-License-Identifier: MIT */
/* Emulated instructions that use general registers: moves, addressing, arithmetic, bits and what is locked. */
#include "mmio_lab.h"

/* ---- moves ---- */

static void loads(void **state)
{
	uint64_t v;

	dev[8] = 0xf0;
	dev[9] = 0x81;
	dev[10] = 0x82;
	dev[11] = 0x93;
#define LOAD(text, want, width)                                                                         \
	do {                                                                                            \
		v = 0x5555555555555555;                                                                 \
		asm volatile(text : "+a"(v) : "b"(bar) : "memory", "cc");                               \
		assert_int_equal(v, want);                                                              \
		assert_int_equal(last_width, width);                                                    \
	} while (0)
	LOAD("movb 8(%%rbx), %%al", 0x55555555555555f0, 1);
	LOAD("movb 8(%%rbx), %%ah", 0x555555555555f055, 1);
	LOAD("movw 8(%%rbx), %%ax", 0x55555555555581f0, 2);
	LOAD("movl 8(%%rbx), %%eax", 0x938281f0, 4);
	LOAD("movq 8(%%rbx), %%rax", dev64(8), 8);
	LOAD("movzbl 8(%%rbx), %%eax", 0xf0, 1);
	LOAD("movzwl 8(%%rbx), %%eax", 0x81f0, 2);
	LOAD("movzbw 8(%%rbx), %%ax", 0x55555555555500f0, 1);
	LOAD("movsbl 8(%%rbx), %%eax", 0xfffffff0, 1);
	LOAD("movsbq 8(%%rbx), %%rax", 0xfffffffffffffff0, 1);
	LOAD("movsbw 8(%%rbx), %%ax", 0x555555555555fff0, 1);
	LOAD("movswq 8(%%rbx), %%rax", 0xffffffffffff81f0, 2);
	LOAD("movslq 8(%%rbx), %%rax", 0xffffffff938281f0, 4);
	LOAD("xorl %%eax, %%eax; movb 8(%%rbx), %%al", 0xf0, 1);
	assert_int_equal(reads, 14);
	assert_int_equal(writes, 0);
}

static void addressing(void **state)
{
	uint64_t v = 0, index = 3;

	asm volatile("movq 16(%1,%2,8), %0" : "=r"(v) : "r"(bar), "r"(index) : "memory");
	assert_int_equal(v, dev64(40));
	asm volatile("movq -8(%1,%2,4), %0" : "=r"(v) : "r"(bar), "r"(index) : "memory");
	assert_int_equal(v, dev64(4));
	/* r12 and r13 need a SIB byte and a displacement; rbp as a base */
	asm volatile("mov %1, %%r12; mov %1, %%r13; push %%rbp; mov %1, %%rbp; mov (%%r12), %0; add (%%r13), %0;"
		     "add 8(%%rbp), %0; pop %%rbp" : "=&r"(v) : "r"(bar) : "r12", "r13", "memory", "cc");
	assert_int_equal(v, dev64(0) + dev64(0) + dev64(8));
	/* rsp as an index base: the stack pointer itself far from the device */
	asm volatile("mov %1, %%rcx; sub %%rsp, %%rcx; mov 24(%%rsp,%%rcx), %0"
		     : "=r"(v) : "r"(bar) : "rcx", "memory", "cc");
	assert_int_equal(v, dev64(24));
}

static void stores(void **state)
{
	uint64_t r = 0x1122334455667788;

	asm volatile("movb %%al, (%1); movb %%ah, 1(%1); movw %%ax, 2(%1); movl %%eax, 4(%1); movq %%rax, 8(%1)"
		     :: "a"(r), "b"(bar) : "memory");
	assert_int_equal(dev64(0), 0x5566778877887788);
	assert_int_equal(dev64(8), r);
	expect_access(0, 5, 8);
	asm volatile("movb $0x80, (%0); movw $0x8001, 2(%0); movl $0x80000002, 4(%0); movq $-3, 8(%0)"
		     :: "b"(bar) : "memory");
	assert_int_equal(dev64(0), 0x8000000280017780);
	assert_int_equal(dev64(8), (uint64_t)-3);
	asm volatile("movnti %%rax, 16(%1); movnti %%eax, 24(%1)" :: "a"(r), "b"(bar) : "memory");
	assert_int_equal(dev64(16), r);
	expect_access(0, 11, 4);
}

/* ---- everything else that general registers do ---- */

static void arithmetic(void **state)
{
	uint64_t v, flags;
	uint8_t f;

	memcpy(dev, "\x0f\0\0\x80\xff\xff\xff\x7f", 8);
	asm volatile("testl $0x80000000, (%1); setnz %0" : "=q"(f) : "r"(bar) : "cc", "memory");
	assert_int_equal(f, 1);
	expect_access(1, 0, 4);
	asm volatile("cmpl $0x80000010, (%1); setb %0" : "=q"(f) : "r"(bar) : "cc", "memory");
	assert_int_equal(f, 1);
	asm volatile("orl $0x30, (%0)" :: "r"(bar) : "cc", "memory");
	assert_int_equal(dev64(0) & 0xffffffff, 0x8000003f);
	expect_access(3, 1, 4);
	asm volatile("andb $0xf5, (%0); xorw $0x100, (%0)" :: "r"(bar) : "cc", "memory");
	assert_int_equal(dev64(0) & 0xffffffff, 0x80000135);
	/* carry in, carry out, overflow */
	v = 1;
	asm volatile("stc; adcl %k0, 4(%2); pushf; pop %1" : "+r"(v), "=r"(flags) : "r"(bar) : "cc", "memory");
	assert_int_equal(dev64(0) >> 32, 0x80000001);
	assert_int_equal(flags & 0x8d5, 0x890 & 0x8d5); /* OF, SF, AF; the low byte 01 has odd parity */
	v = 5;
	asm volatile("addl (%1), %k0" : "+r"(v) : "r"(bar) : "cc", "memory");
	assert_int_equal(v, 0x8000013a);
	asm volatile("negl (%0); notl 4(%0); incl 8(%0); shll $4, (%0)" :: "r"(bar) : "cc", "memory");
	assert_int_equal(dev64(0), 0x7ffffffe00000000ull | (uint32_t)(-0x80000135 * 16u));
	/* mul uses rax and rdx, which are then not the scratch register */
	memcpy(dev, "\x03\0\0\0\0\0\0\0", 8);
	asm volatile("mov $-1, %%rax; mulq (%1); mov %%rdx, %0" : "=r"(v) : "r"(bar) : "rax", "rdx", "cc", "memory");
	assert_int_equal(v, 2);
	asm volatile("imull $7, (%1), %k0" : "=r"(v) : "r"(bar) : "cc", "memory");
	assert_int_equal(v, 21);
	asm volatile("clc; cmovncq (%1), %0" : "=r"(v) : "r"(bar) : "cc", "memory");
	assert_int_equal(v, 3);
	asm volatile("setc (%0)" :: "r"(bar), "a"(0) : "memory");
	asm volatile("stc; setc (%0)" :: "r"(bar) : "cc", "memory");
	assert_int_equal(dev[0], 1);
	if (HAS(1, c, 22)) {
		memcpy(dev, "\x01\x02\x03\x04", 4);
		asm volatile("movbel (%1), %k0; movbew %w0, 8(%1)" : "=&r"(v) : "r"(bar) : "memory");
		assert_int_equal(v, 0x01020304);
		assert_int_equal(dev64(8) & 0xffff, 0x0403);
	}
	asm volatile("popcntl (%1), %k0" : "=r"(v) : "r"(bar) : "cc", "memory");
	assert_int_equal(v, __builtin_popcount((unsigned)dev64(0)));
}

static void high_bytes(void **state)
{
	uint64_t v = 0x1234;

	dev[0] = 0x40;
	asm volatile("addb (%%rbx), %%ah" : "+a"(v) : "b"(bar) : "cc", "memory");
	assert_int_equal(v, 0x5234);
	asm volatile("orb %%ah, (%%rbx)" : "+a"(v) : "b"(bar) : "cc", "memory");
	assert_int_equal(dev[0], 0x52);
	asm volatile("xchgb %%ah, (%%rbx)" : "+a"(v) : "b"(bar) : "cc", "memory");
	assert_int_equal(v, 0x5234);
	asm volatile("mov %%rax, %%rcx; mov %%rbx, %%rdx; mov %%rdx, %%rbx; movb %%ch, 1(%%rdx)"
		     : "+a"(v) : "b"(bar) : "rcx", "rdx", "memory");
	assert_int_equal(dev[1], 0x52);
}

static void locked(void **state)
{
	uint64_t a, b;
	uint8_t f;

	memcpy(dev, "\x05\0\0\0\0\0\0\0", 8);
	a = 77;
	asm volatile("xchgl %k0, (%1)" : "+r"(a) : "r"(bar) : "memory");
	assert_int_equal(a, 5);
	expect_access(1, 1, 4);
	a = 3;
	asm volatile("lock xaddq %0, (%1)" : "+r"(a) : "r"(bar) : "memory", "cc");
	assert_int_equal(a, 77);
	assert_int_equal(dev64(0), 80);
	a = 80;
	b = 99;
	asm volatile("lock cmpxchgl %k3, (%2); sete %1" : "+a"(a), "=q"(f) : "r"(bar), "r"(b) : "memory", "cc");
	assert_int_equal(f, 1);
	assert_int_equal(dev64(0), 99);
	asm volatile("lock cmpxchgl %k3, (%2); sete %1" : "+a"(a), "=q"(f) : "r"(bar), "r"(b) : "memory", "cc");
	assert_int_equal(f, 0);
	assert_int_equal(a, 99);
	asm volatile("lock orl $0x100, (%0); lock incb 2(%0)" :: "r"(bar) : "memory", "cc");
	assert_int_equal(dev64(0), 0x10163);
	if (HAS(1, c, 13)) {
		uint64_t lo = dev64(16), hi = dev64(24);

		asm volatile("push %%rbx; mov $7, %%rbx; mov $8, %%rcx; lock cmpxchg16b 16(%3); pop %%rbx; sete %2"
			     : "+a"(lo), "+d"(hi), "=q"(f) : "r"(bar) : "rcx", "memory", "cc");
		assert_int_equal(f, 1);
		assert_int_equal(dev64(16), 7);
		assert_int_equal(dev64(24), 8);
		assert_int_equal(last_width, 16);
	}
}

static void bits(void **state)
{
	uint64_t n = 8;
	uint8_t f;

	memset(dev, 0, 64);
	memset(bar - 8, 0, 8);
	asm volatile("btsl $9, (%0); btsl %k1, 4(%0)" :: "r"(bar), "r"(n) : "memory", "cc");
	assert_int_equal(dev64(0), 0x10000000200);
	/* the bit number moves the operand: dword 3 of the device, then one before its start */
	n = 3 * 32 + 5;
	asm volatile("lock btsl %k1, (%2); setc %0" : "=q"(f) : "r"(n), "r"(bar) : "memory", "cc");
	assert_int_equal(f, 0);
	assert_int_equal(dev64(8), 0x20ull << 32);
	assert_int_equal(last_offset, 12);
	asm volatile("btl %k1, (%2); setc %0" : "=q"(f) : "r"(n), "r"(bar) : "memory", "cc");
	assert_int_equal(f, 1);
	n = (uint64_t)-64 + 1;
	asm volatile("btsq %0, 16(%1)" : "+r"(n) : "r"(bar) : "memory", "cc");
	assert_int_equal(dev64(8), 0x20ull << 32 | 2);
	assert_int_equal(n, (uint64_t)-64 + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(loads), T(addressing), T(stores), T(arithmetic), T(high_bytes), T(locked), T(bits),
	};

	return cmocka_run_group_tests_name("mmio", tests, setup, NULL);
}
