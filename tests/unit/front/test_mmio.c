/* SPDX-License-Identifier: MIT */
/*
 * The instruction executor, in this process: pages that cannot be touched, a handler that carries the access
 * to a byte array, real instructions. Each test looks at what the instruction did and at what the device saw.
 *
 * window: page 0 memory | 1..4 device | 5 memory | 6 device, disabled | 7 nothing
 */
#include "front/mmio.h"
#include <cpuid.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE 4096ul
#define DEV_PAGES 4
static uint8_t *window, *bar, *after;
static uint8_t dev[DEV_PAGES * PAGE];
static unsigned reads, writes, last_width, batches;
static uint64_t last_offset;
static bool batching;
static sigjmp_buf escape;
static volatile bool expecting;
static volatile int faulted; /* the errno of a fault that was passed on */
static void *volatile fault_addr;

static int locate(uint64_t addr, unsigned width, uint64_t *offset)
{
	uint64_t page = (addr - (uint64_t)window) / PAGE;

	assert_true((addr & ~(PAGE - 1)) == ((addr + width - 1) & ~(PAGE - 1)));
	*offset = addr - (uint64_t)bar;
	return page >= 1 && page <= DEV_PAGES ? 0 : page == 6 ? -EFAULT : -ENXIO;
}

static int dev_read(void *ctx, uint64_t addr, unsigned width, void *buf)
{
	int rc = locate(addr, width, &last_offset);

	if (rc)
		return rc;
	reads++;
	last_width = width;
	memcpy(buf, dev + last_offset, width);
	return 0;
}

static int dev_write(void *ctx, uint64_t addr, unsigned width, const void *buf)
{
	int rc = locate(addr, width, &last_offset);

	if (rc)
		return rc;
	writes++;
	last_width = width;
	memcpy(dev + last_offset, buf, width);
	return 0;
}

static int dev_read_rep(void *ctx, uint64_t addr, unsigned width, unsigned count, void *buf)
{
	batches++;
	assert_true(count >= 2 && count * width <= MMIO_REP_MAX);
	for (unsigned i = 0; i < count; i++) {
		int rc = dev_read(ctx, addr + i * width, width, (uint8_t *)buf + i * width);

		if (rc)
			return i ? (int)i : rc;
	}
	return (int)count;
}

static int dev_write_rep(void *ctx, uint64_t addr, unsigned width, unsigned count, const void *buf)
{
	batches++;
	assert_true(count >= 2 && count * width <= MMIO_REP_MAX);
	for (unsigned i = 0; i < count; i++) {
		int rc = dev_write(ctx, addr + i * width, width, (const uint8_t *)buf + i * width);

		if (rc)
			return i ? (int)i : rc;
	}
	return (int)count;
}

static const struct mmio_ops single = { .read = dev_read, .write = dev_write };
static const struct mmio_ops batch = {
	.read = dev_read, .write = dev_write, .read_rep = dev_read_rep, .write_rep = dev_write_rep, .ask_first = 1,
};

/* Faults inside the handler are part of the game: SA_NODEFER. ThreadSanitizer has all signals blocked in it all the same */
static void open_faults(void)
{
#ifdef __SANITIZE_THREAD__
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGSEGV);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
#endif
}

static void on_fault(int sig, siginfo_t *si, void *ctx)
{
	ucontext_t *uc = ctx;
	int rc;

	open_faults();
	if (mmio_guard_fixup((uint64_t *)uc->uc_mcontext.gregs, sig, si->si_code))
		return;
	rc = mmio_emulate(uc, (uint64_t)si->si_addr, batching ? &batch : &single, NULL);
	if (!rc)
		return;
	if (!expecting) {
		fprintf(stderr, "rip %llx address %p: %s\n", uc->uc_mcontext.gregs[REG_RIP], si->si_addr,
			strerror(-rc));
		_exit(1);
	}
	faulted = -rc;
	fault_addr = si->si_addr;
	siglongjmp(escape, 1);
}

static int setup(void **state)
{
	window = mmap(NULL, 8 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(window, MAP_FAILED);
	bar = window + PAGE;
	after = window + 5 * PAGE;
	assert_int_equal(mprotect(window, PAGE, PROT_READ | PROT_WRITE), 0);
	assert_int_equal(mprotect(after, PAGE, PROT_READ | PROT_WRITE), 0);
	assert_int_equal(mmio_init(), 0);
	assert_int_equal(mmio_init(), 0);
	return 0;
}

static void before(void)
{
	for (unsigned i = 0; i < sizeof(dev); i++)
		dev[i] = (uint8_t)(i * 7 + (i >> 8));
	memset(window, 0x11, PAGE);
	memset(after, 0x22, PAGE);
	reads = writes = last_width = batches = 0;
	faulted = 0;
	batching = false;
}

/* cmocka puts handlers of its own around each test: ours go inside. */
static void run(void **state)
{
	struct sigaction sa = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK };
	struct sigaction old;
	void (**test)(void **) = *state;

	before();
	assert_int_equal(sigaction(SIGSEGV, &sa, &old), 0);
	(*test)(state);
	assert_int_equal(sigaction(SIGSEGV, &old, NULL), 0);
}

static uint64_t dev64(uint64_t offset)
{
	uint64_t v;

	memcpy(&v, dev + offset, 8);
	return v;
}

static void expect_access(unsigned r, unsigned w, unsigned width)
{
	assert_int_equal(reads, r);
	assert_int_equal(writes, w);
	assert_int_equal(last_width, width);
}

#define HAS(leaf, reg, bit)                                                \
	({                                                                 \
		unsigned a_, b_, c_, d_, ok_;                              \
		ok_ = __get_cpuid_count((leaf), 0, &a_, &b_, &c_, &d_);    \
		ok_ && (reg##_ >> (bit) & 1);                              \
	})
#define HAS_AVX2   (HAS(7, b, 5) && HAS(1, c, 27))
#define HAS_AVX512 (HAS(7, b, 16) && HAS(7, b, 30) && HAS(7, b, 31) && HAS(1, c, 27))

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

/* ---- vectors ---- */

static void sse(void **state)
{
	uint8_t out[16];
	double d = 0;

	asm volatile("movdqu 3(%0), %%xmm3; movdqu %%xmm3, (%1)" :: "r"(bar), "r"(out) : "xmm3", "memory");
	assert_memory_equal(out, dev + 3, 16);
	expect_access(1, 0, 16);
	asm volatile("movups (%0), %%xmm12; movaps %%xmm12, 128(%0)" :: "r"(bar) : "xmm12", "memory");
	assert_memory_equal(dev + 128, dev, 16);
	expect_access(2, 1, 16);
	asm volatile("movq 8(%0), %%xmm4; movd %%xmm4, 64(%0); movhps %%xmm4, 80(%0); movntdq %%xmm4, 96(%0)"
		     :: "r"(bar) : "xmm4", "memory");
	assert_int_equal(dev64(64) & 0xffffffff, dev64(8) & 0xffffffff);
	assert_int_equal(dev64(80), 0);
	assert_int_equal(dev64(96), dev64(8));
	memcpy(dev, &(double){ 2.5 }, 8);
	asm volatile("movsd (%1), %0; addsd (%1), %0" : "=x"(d) : "r"(bar) : "memory");
	assert_true(d == 5.0);
	asm volatile("cvtsi2sdl 8(%1), %0" : "+x"(d) : "r"(bar) : "memory");
	assert_true(d == (double)(int32_t)dev64(8));
	/* other vector registers keep their values */
	asm volatile("movq %2, %%xmm7; movdqu (%1), %%xmm3; movq %%xmm7, %0"
		     : "=r"(d) : "r"(bar), "r"(d) : "xmm3", "xmm7", "memory");
	assert_true(d == (double)(int32_t)dev64(8));
}

static void x87(void **state)
{
	uint16_t cw = 0;
	long double ld;

	memcpy(dev, &(double){ 1.25 }, 8);
	asm volatile("fldl (%0); fldl (%0); faddp; fstpl 16(%0)" :: "r"(bar) : "st", "st(1)", "memory");
	assert_true(*(double *)(dev + 16) == 2.5);
	/* ten bytes travel as 8 + 2 */
	asm volatile("fld1; fstpt 32(%0)" :: "r"(bar) : "st", "memory");
	memcpy(&ld, dev + 32, 10);
	assert_int_equal(last_width, 2);
	memset((uint8_t *)&ld + 10, 0, sizeof(ld) - 10);
	assert_true(ld == 1.0L);
	asm volatile("fnstcw (%1); movw (%1), %0" : "=r"(cw) : "r"(bar) : "memory");
	assert_int_equal(cw & 0x3f, 0x3f);
	asm volatile("fldcw (%0)" :: "r"(bar) : "memory");
	asm volatile("fnstcw %0" : "=m"(cw));
	assert_int_equal(cw & 0x3f, 0x3f);
	/* a store that pops has popped once: the stack is empty again */
	for (int i = 0; i < 20; i++)
		asm volatile("fld1; fstps 64(%0)" :: "r"(bar) : "st", "memory");
	assert_true(*(float *)(dev + 64) == 1.0f);
	asm volatile("fnstsw %0" : "=a"(cw));
	assert_int_equal(cw & 0x41, 0); /* no stack fault */
}

static void avx(void **state)
{
	uint8_t out[32];

	if (!HAS_AVX2)
		skip();
	asm volatile("vmovdqu (%0), %%ymm9; vmovdqu %%ymm9, (%1)" :: "r"(bar), "r"(out) : "xmm9", "memory");
	assert_memory_equal(out, dev, 32);
	expect_access(1, 0, 32);
	asm volatile("vmovdqu (%0), %%ymm9; vpaddb (%0), %%ymm9, %%ymm9; vmovdqu %%ymm9, 64(%0); vzeroupper"
		     :: "r"(bar) : "xmm9", "memory");
	for (unsigned i = 0; i < 32; i++)
		assert_int_equal(dev[64 + i], (uint8_t)(2 * dev[i]));
	expect_access(3, 1, 32);
	/* a masked store writes the chosen elements only */
	memset(dev + 256, 0xee, 32);
	writes = 0;
	asm volatile("vmovdqu (%0), %%ymm1; vmovdqu (%1), %%ymm2; vpmaskmovd %%ymm1, %%ymm2, 256(%0); vzeroupper"
		     :: "r"(bar), "r"((uint32_t[8]){ 0, -1u, -1u, 0, 0, 0, 0, -1u }) : "xmm1", "xmm2", "memory");
	assert_int_equal(dev64(256) & 0xffffffff, 0xeeeeeeee);
	assert_memory_equal(dev + 260, dev + 4, 8);
	assert_int_equal(*(uint32_t *)(dev + 268), 0xeeeeeeee);
	assert_memory_equal(dev + 284, dev + 28, 4);
	expect_access(4, 3, 4); /* 4 and 4, as 260 is not 8-aligned, and 4 */
	assert_int_equal(last_offset, 284);
	asm volatile("vpbroadcastd 4(%0), %%ymm5; vmovdqu %%ymm5, (%1); vzeroupper"
		     :: "r"(bar), "r"(out) : "xmm5", "memory");
	assert_memory_equal(out + 28, dev + 4, 4);
	expect_access(5, 3, 4);
}

static void avx512(void **state)
{
	uint8_t out[64];
	uint64_t k = 0;

	if (!HAS_AVX512)
		skip();
	asm volatile("vmovdqu64 (%0), %%zmm19; vmovdqu64 %%zmm19, 128(%0); vmovdqu64 %%zmm19, (%1)"
		     :: "r"(bar), "r"(out) : "memory");
	assert_memory_equal(out, dev, 64);
	assert_memory_equal(dev + 128, dev, 64);
	expect_access(1, 1, 64); /* 64 bytes are one write */
	asm volatile("vmovntdq %%zmm19, 192(%0)" :: "r"(bar) : "memory");
	assert_memory_equal(dev + 192, dev, 64);
	/* masks, broadcast, mask registers */
	asm volatile("mov $0x5, %%eax; kmovw %%eax, %%k2; vmovdqu32 256(%0), %%zmm20%{%%k2%}%{z%};"
		     "vmovdqu64 %%zmm20, (%1)" :: "r"(bar), "r"(out) : "eax", "memory");
	assert_memory_equal(out, dev + 256, 4);
	assert_int_equal(*(uint32_t *)(out + 4), 0);
	assert_memory_equal(out + 8, dev + 264, 4);
	writes = 0;
	asm volatile("mov $0xf000, %%eax; kmovw %%eax, %%k2; vmovdqu32 %%zmm19, 1024(%0)%{%%k2%}"
		     :: "r"(bar) : "eax", "memory");
	assert_memory_equal(dev + 1024 + 48, dev + 48, 16);
	assert_int_equal(dev64(1024), *(uint64_t *)(dev + 1024));
	assert_int_equal(writes, 1);
	assert_int_equal(last_offset, 1024 + 48);
	reads = 0;
	asm volatile("vpxord %%zmm21, %%zmm21, %%zmm21; "
		     "vpaddd 8(%0)%{1to16%}, %%zmm21, %%zmm21; vmovdqu64 %%zmm21, (%1)"
		     :: "r"(bar), "r"(out) : "memory");
	assert_memory_equal(out + 60, dev + 8, 4);
	expect_access(1, 1, 4);
	asm volatile("kmovq 16(%1), %%k3; kmovq %%k3, %0; kmovq %%k3, 32(%1)" : "=&r"(k) : "r"(bar) : "memory");
	assert_int_equal(k, dev64(16));
	assert_int_equal(k, dev64(32));
}

static void movdir(void **state)
{
	uint8_t src[128] __attribute__((aligned(64)));

	if (HAS(7, c, 27)) {
		asm volatile("movdiri %0, (%1)" :: "r"(0x1234567890ull), "r"(bar) : "memory");
		assert_int_equal(dev64(0), 0x1234567890ull);
		expect_access(0, 1, 8);
	}
	if (!HAS(7, c, 28))
		skip();
	writes = 0;
	for (unsigned i = 0; i < sizeof(src); i++)
		src[i] = (uint8_t)(i + 1);
	asm volatile("movdir64b 8(%0), %1" :: "r"(src), "r"(bar + 64) : "memory");
	assert_memory_equal(dev + 64, src + 8, 64);
	expect_access(0, 1, 64);
	/* from the device to memory, with registers that need REX bits */
	asm volatile("mov %0, %%r9; mov %1, %%r14; movdir64b (%%r9), %%r14"
		     :: "r"(bar + 192), "r"(src) : "r9", "r14", "memory");
	assert_memory_equal(src, dev + 192, 64);
	assert_int_equal(reads, 1);
}

/* ---- strings ---- */

static void rep_moves(void **state)
{
	static uint8_t ram[4 * PAGE];
	void *d, *s;
	uint64_t n;

	for (int mode = 0; mode < 2; mode++) {
		batching = mode;
		for (unsigned i = 0; i < sizeof(ram); i++)
			ram[i] = (uint8_t)(i * 13 + mode);
		writes = 0;
		/* over two page borders of the device */
		d = bar + PAGE - 100, s = ram, n = PAGE + 200;
		asm volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n) :: "memory");
		assert_memory_equal(dev + PAGE - 100, ram, PAGE + 200);
		assert_int_equal(writes, PAGE + 200);
		assert_int_equal(last_width, 1);
		assert_int_equal(n, 0);
		assert_ptr_equal(d, bar + 2 * PAGE + 100);
		assert_ptr_equal(s, ram + PAGE + 200);
		/* elements of 4 that straddle the border are split */
		memset(ram, 0, sizeof(ram));
		d = ram, s = bar + 2, n = 3 * PAGE / 4;
		asm volatile("rep movsl" : "+D"(d), "+S"(s), "+c"(n) :: "memory");
		assert_memory_equal(ram, dev + 2, 3 * PAGE);
		/* from the device into memory behind it: ends exactly at the border */
		d = after, s = bar, n = PAGE / 8;
		asm volatile("rep movsq" : "+D"(d), "+S"(s), "+c"(n) :: "memory");
		assert_memory_equal(after, dev, PAGE);
		/* device to device */
		d = bar + 64, s = bar, n = 64;
		asm volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n) :: "memory");
		assert_memory_equal(dev + 64, dev, 64);
		d = bar + 1, s = bar, n = 64;
		asm volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n) :: "memory");
		for (unsigned i = 0; i < 65; i++)
			assert_int_equal(dev[i], dev[0]);
		assert_int_equal(batches != 0, mode);
	}
	/* longer than one turn */
	d = bar, s = ram, n = 3 * PAGE;
	asm volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n) :: "memory");
	assert_memory_equal(dev, ram, 3 * PAGE);
	/* none at all, and one without rep */
	writes = 0;
	d = bar, s = ram, n = 0;
	asm volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n) :: "memory");
	asm volatile("movsw" : "+D"(d), "+S"(s) :: "memory");
	assert_ptr_equal(d, bar + 2);
	expect_access(reads, 1, 2);
}

static void rep_down(void **state)
{
	uint8_t ram[64];
	void *d = bar + PAGE + 24, *s = ram + 56;
	uint64_t n = 8;

	for (unsigned i = 0; i < sizeof(ram); i++)
		ram[i] = (uint8_t)(i + 100);
	batching = true;
	asm volatile("std; rep movsq; cld" : "+D"(d), "+S"(s), "+c"(n) :: "memory", "cc");
	assert_memory_equal(dev + PAGE - 32, ram, 64);
	assert_ptr_equal(d, bar + PAGE - 40);
	assert_int_equal(n, 0);
	/* an instruction in a thunk leaves the direction flag as the program had it */
	d = bar + 8;
	asm volatile("std; orl $1, (%0); stosl; cld" : "+D"(d) : "a"(7) : "memory", "cc");
	assert_ptr_equal(d, bar + 4);
}

static void rep_others(void **state)
{
	uint8_t ram[64];
	void *d = bar + 2, *s;
	uint64_t n = 10, a = 0x1122334455667788;
	uint8_t f;

	for (int mode = 0; mode < 2; mode++) {
		batching = mode;
		d = bar + 2, n = 10;
		asm volatile("rep stosq" : "+D"(d), "+c"(n) : "a"(a) : "memory");
		for (unsigned i = 0; i < 10; i++)
			assert_int_equal(dev64(2 + 8 * i), a);
		assert_int_equal(last_width, 8);
	}
	s = bar + 2;
	a = 0;
	asm volatile("lodsw; lodsb; lodsl" : "+a"(a), "+S"(s) :: "memory");
	assert_int_equal(a, 0x22334455);
	assert_ptr_equal(s, bar + 9);
	/* memcmp the old way: a difference at 20 */
	memcpy(ram, dev, 64);
	ram[20]++;
	s = bar, d = ram, n = 64;
	asm volatile("repe cmpsb; setb %3" : "+D"(d), "+S"(s), "+c"(n), "=q"(f) :: "memory", "cc");
	assert_int_equal(n, 64 - 21);
	assert_int_equal(f, 1);
	s = ram, d = bar, n = 20;
	asm volatile("repe cmpsb; sete %3" : "+D"(d), "+S"(s), "+c"(n), "=q"(f) :: "memory", "cc");
	assert_int_equal(n, 0);
	assert_int_equal(f, 1);
	/* strlen the old way */
	memcpy(dev + PAGE - 3, "abcdef", 7);
	d = bar + PAGE - 3, n = ~0ull;
	asm volatile("repne scasb" : "+D"(d), "+c"(n) : "a"(0) : "memory", "cc");
	assert_int_equal(~n - 1, 6);
}

/* The flags of cmps against the processor's own. */
static void compare_flags(void **state)
{
	static const uint64_t values[] = { 0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0x7fffffff, 0x80000000, 0xffffffff,
					   0x7fffffffffffffff, 0x8000000000000000, ~0ull, 0x123456789abcdef0 };
	unsigned n = sizeof(values) / sizeof(values[0]);

	for (unsigned i = 0; i < n * n; i++) {
		uint64_t a = values[i / n], b = values[i % n], got, want;

		memcpy(dev, &a, 8);
#define COMPARE(cmps, cmp, reg)                                                                               \
	do {                                                                                                  \
		void *s_ = bar, *d_ = &b;                                                                     \
		asm volatile(cmps "; pushf; pop %0" : "=r"(got), "+S"(s_), "+D"(d_) :: "cc", "memory");       \
		asm volatile(cmp " %" reg "2, %" reg "1; pushf; pop %0" : "=r"(want) : "r"(a), "r"(b) : "cc"); \
		assert_int_equal(got & 0x8d5, want & 0x8d5);                                                  \
	} while (0)
		COMPARE("cmpsb", "cmpb", "b");
		COMPARE("cmpsw", "cmpw", "w");
		COMPARE("cmpsl", "cmpl", "k");
		COMPARE("cmpsq", "cmpq", "q");
	}
}

static void libc(void **state)
{
	uint8_t ram[700];

	for (unsigned n = 0; n < 600; n = n * 2 + 1) {
		for (unsigned i = 0; i < sizeof(ram); i++)
			ram[i] = (uint8_t)(i * 3 + n);
		/* volatile: not inlined, and not looked into by sanitizers, which would touch the page */
		void *(*volatile copy)(void *, const void *, size_t) = memcpy;
		void *(*volatile fill)(void *, int, size_t) = memset;
		int (*volatile compare)(const void *, const void *, size_t) = memcmp;

		copy(bar + 5, ram, n);
		assert_memory_equal(dev + 5, ram, n);
		assert_int_equal(compare(bar + 5, ram, n), 0);
		memset(ram, 0, sizeof(ram));
		copy(ram, bar + 5, n);
		assert_memory_equal(ram, dev + 5, n);
		fill(bar + PAGE - 300, 0x5a, n);
		for (unsigned i = 0; i < n; i++)
			assert_int_equal(dev[PAGE - 300 + i], 0x5a);
	}
}

/* ---- borders ---- */

static void crossing(void **state)
{
	uint64_t v;
	uint8_t out[64];

	/* memory, then device */
	asm volatile("movq -4(%1), %0" : "=r"(v) : "r"(bar) : "memory");
	assert_int_equal(v, 0x11111111ull | (dev64(0) & 0xffffffff) << 32);
	expect_access(1, 0, 4);
	asm volatile("movq %0, -2(%1)" :: "r"(0xa1a2a3a4a5a6a7a8ull), "r"(bar) : "memory");
	assert_int_equal(window[PAGE - 2], 0xa8);
	assert_int_equal(window[PAGE - 1], 0xa7);
	assert_int_equal(dev[5], 0xa1);
	expect_access(1, 2, 2); /* 4 + 2 */
	/* device, then memory */
	asm volatile("orl $0xff, -1(%0); incw -1(%0)" :: "r"(after) : "memory", "cc");
	assert_int_equal(dev[DEV_PAGES * PAGE - 1], 0);
	assert_int_equal(after[0], 0x23);
	/* device, then device */
	asm volatile("movdqu -8(%0), %%xmm0; movdqu %%xmm0, (%1)" :: "r"(bar + PAGE), "r"(out) : "xmm0", "memory");
	assert_memory_equal(out, dev + PAGE - 8, 16);
	v = 1;
	asm volatile("lock xaddq %0, -3(%1)" : "+r"(v) : "r"(bar + PAGE) : "memory", "cc");
	assert_int_equal(dev64(PAGE - 3), v + 1);
	if (HAS_AVX512) {
		asm volatile("vmovdqu64 -13(%0), %%zmm17; vmovdqu64 %%zmm17, -50(%0)" :: "r"(bar + PAGE) : "memory");
		for (unsigned i = 50; i < 64; i++)
			assert_int_equal(dev[PAGE - 50 + i], dev[PAGE - 50 + i]);
		asm volatile("vmovdqu64 -50(%0), %%zmm18; vmovdqu64 %%zmm18, (%1)"
			     :: "r"(bar + PAGE), "r"(out) : "memory");
		assert_memory_equal(out, dev + PAGE - 50, 64);
	}
}

#define FAULTS(...)                           \
	({                                    \
		faulted = 0;                  \
		expecting = true;             \
		if (!sigsetjmp(escape, 1)) {  \
			__VA_ARGS__;          \
		}                             \
		expecting = false;            \
		faulted;                      \
	})

static void refused(void **state)
{
	uint8_t *disabled = window + 6 * PAGE, *nothing = window + 7 * PAGE;
	static uint64_t v = 1;

	assert_int_equal(FAULTS(asm volatile("movl (%1), %k0" : "+r"(v) : "r"(disabled) : "memory")), EFAULT);
	assert_int_equal(FAULTS(asm volatile("movl %k0, (%1)" : "+r"(v) : "r"(disabled) : "memory")), EFAULT);
	assert_int_equal(FAULTS(asm volatile("incl (%0)" :: "r"(disabled) : "memory", "cc")), EFAULT);
	assert_int_equal(FAULTS(asm volatile("movl (%1), %k0" : "+r"(v) : "r"(nothing) : "memory")), ENXIO);
	assert_int_equal(FAULTS(asm volatile("movq (%1), %0" : "+r"(v) : "r"(NULL) : "memory")), ENXIO);
	assert_int_equal(v, 1);
	assert_int_equal(reads + writes, 0);
	/* half in memory, half disabled: nothing is written to a device */
	assert_int_equal(FAULTS(asm volatile("movq %0, -4(%1)" :: "r"(v), "r"(disabled) : "memory")), EFAULT);
	assert_int_equal(reads + writes, 0);
	/* not emulated */
	assert_int_equal(FAULTS(asm volatile("pushq (%0); pop %%rax" :: "r"(bar) : "rax", "memory")), EINVAL);
	assert_int_equal(FAULTS(asm volatile("fnsave (%0)" :: "r"(bar) : "memory")), EINVAL);
	assert_int_equal(FAULTS(asm volatile("jmp *(%0)" :: "r"(bar) : "memory")), EINVAL);
}

/* The other side of a string move is missing: the program sees its own fault and what was done counts. */
static void half_a_move(void **state)
{
	uint8_t *nothing = window + 7 * PAGE;
	void *d, *s;
	uint64_t n;

	assert_int_equal(FAULTS({
		d = nothing, s = bar, n = 8;
		asm volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n) :: "memory");
	}), ENXIO);
	assert_int_equal(FAULTS({
		d = bar, s = after + PAGE - 8, n = 100;
		asm volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n) :: "memory");
	}), EFAULT); /* runs from memory into the disabled page */
	assert_int_equal(writes, 8);
	assert_memory_equal(dev, after + PAGE - 8, 8);
}

static void harmless(void **state)
{
	asm volatile("clflush (%0); prefetcht0 (%0); lea 8(%0), %%rax" :: "r"(bar) : "rax", "memory");
	assert_int_equal(reads + writes, 0);
}

/* Code may be replaced under a cached decoding. */
static void changing_code(void **state)
{
	uint8_t *code = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t v;

	assert_ptr_not_equal(code, MAP_FAILED);
	for (int i = 0; i < 4; i++) {
		/* mov eax, [rdi] or or dword [rdi], 1; ret; the last byte at the end of the page */
		const char *text = i & 1 ? "\x83\x0f\x01\xc3" : "\x8b\x07\xc3";
		size_t len = i & 1 ? 4 : 3;
		uint8_t *at = code + PAGE - 4;

		memcpy(at, text, len);
		dev[0] = (uint8_t)(0x10 + 2 * i);
		v = ((uint64_t(*)(void *))(uintptr_t)at)(bar);
		if (i & 1)
			assert_int_equal(dev[0], 0x11 + 2 * i);
		else
			assert_int_equal(v, dev64(0) & 0xffffffff);
	}
	munmap(code, PAGE);
}

#define T(f) { #f, run, NULL, NULL, &(void (*)(void **)){ f } }

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(loads), T(addressing), T(stores), T(arithmetic), T(high_bytes), T(locked), T(bits), T(sse), T(x87),
		T(avx), T(avx512), T(movdir), T(rep_moves), T(rep_down), T(rep_others), T(compare_flags), T(libc),
		T(crossing), T(refused), T(half_a_move), T(harmless), T(changing_code),
	};

	return cmocka_run_group_tests_name("mmio", tests, setup, NULL);
}
