/* SPDX-License-Identifier: MIT */
/*
 * A trapped page in the same process, each figure beside the least that the host could take for it:
 * name, nanoseconds of ours, nanoseconds of the floor, ratio. Medians of 11 rounds.
 *
 *	load32, store32, or32, movdqu, zmm_store
 *	              one instruction; floor: fault, signal, a handler that steps over an instruction, return
 *	rep_movsb_4k  4096 bytes to the device, one access each; floor: 4096 calls of the device
 *	decode        one instruction decoded and its thunk found; floor: none
 */
#include "bench.h"
#include "front/mmio.h"
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

static uint8_t *bar;
static uint8_t regs[4096];
static bool step_over;

static int dev_read(void *ctx, uint64_t addr, unsigned width, void *buf)
{
	if (addr - (uint64_t)bar >= sizeof(regs))
		return -6; /* -ENXIO */
	memcpy(buf, regs + (addr & 4095), width);
	return 0;
}

static int dev_write(void *ctx, uint64_t addr, unsigned width, const void *buf)
{
	if (addr - (uint64_t)bar >= sizeof(regs))
		return -6;
	memcpy(regs + (addr & 4095), buf, width);
	return 0;
}

static const struct mmio_ops ops = { .read = dev_read, .write = dev_write, .ask_first = 1 };

static void on_fault(int sig, siginfo_t *si, void *ctx)
{
	ucontext_t *uc = ctx;

	if (step_over) {
		uc->uc_mcontext.gregs[REG_RIP] += 2;
		return;
	}
	if (mmio_guard_fixup((uint64_t *)uc->uc_mcontext.gregs, sig, si->si_code))
		return;
	if (mmio_emulate(uc, (uint64_t)si->si_addr, &ops, NULL)) {
		signal(sig, SIG_DFL);
		fprintf(stderr, "bench_mmio: not carried out\n");
	}
}

static void print(const char *name, double ours, double floor_)
{
	printf("%s %.1f %.1f %.2f\n", name, ours, floor_, floor_ > 0 ? ours / floor_ : 0);
	fflush(stdout);
}

int main(void)
{
	struct sigaction sa = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER };
	static uint8_t ram[4096];
	struct mmio_thunks *t;
	struct mmio_insn insn;
	int (*volatile write_op)(void *, uint64_t, unsigned, const void *) = dev_write;
	uint32_t v = 0;
	double f, calls;

	bar = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (bar == MAP_FAILED || mmio_init() || mmio_thunks_create(16, &t))
		return 1;
	sigaction(SIGSEGV, &sa, NULL);
	step_over = true;
	f = BENCH_NS(20000, __asm__ volatile(".byte 0x8b, 0x00" : : "a"(bar) : "memory"));
	step_over = false;
	print("load32", BENCH_NS(20000, __asm__ volatile("movl (%1), %0" : "=r"(v) : "r"(bar) : "memory")), f);
	print("store32", BENCH_NS(20000, __asm__ volatile("movl %0, (%1)" : : "r"(v), "r"(bar) : "memory")), f);
	print("or32", BENCH_NS(20000, __asm__ volatile("orl $1, (%0)" : : "r"(bar) : "memory", "cc")), f);
	print("movdqu", BENCH_NS(20000, __asm__ volatile("movdqu (%0), %%xmm3" : : "r"(bar) : "xmm3", "memory")), f);
	if (__builtin_cpu_supports("avx512f"))
		print("zmm_store", BENCH_NS(20000, __asm__ volatile("vmovdqu64 %%zmm19, (%0)" : : "r"(bar) : "memory")), f);
	calls = BENCH_NS(200, for (unsigned i = 0; i < 4096; i++) write_op(NULL, (uint64_t)bar + i, 1, ram + i));
	print("rep_movsb_4k", BENCH_NS(200, {
		      void *d = bar, *s = ram;
		      uint64_t n = 4096;

		      __asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
	      }), calls);
	print("decode", BENCH_NS(20000, mmio_decode("\x83\x08\x01", 3, t, &insn)), 0);
	mmio_thunks_destroy(t);
	return 0;
}
