/* SPDX-License-Identifier: MIT */
/*
 * A bench for the instruction executor, in this process: pages that cannot be touched, a handler that carries the access
 * to a byte array, real instructions. Each test looks at what the instruction did and at what the device saw.
 *
 * window: page 0 memory | 1..4 device | 5 memory | 6 device, disabled | 7 nothing
 */
#ifndef MMIO_LAB_H
#define MMIO_LAB_H

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

static inline int locate(uint64_t addr, unsigned width, uint64_t *offset)
{
	uint64_t page = (addr - (uint64_t)window) / PAGE;

	assert_true((addr & ~(PAGE - 1)) == ((addr + width - 1) & ~(PAGE - 1)));
	*offset = addr - (uint64_t)bar;
	return page >= 1 && page <= DEV_PAGES ? 0 : page == 6 ? -EFAULT : -ENXIO;
}

static inline int dev_read(void *ctx, uint64_t addr, unsigned width, void *buf)
{
	int rc = locate(addr, width, &last_offset);

	if (rc)
		return rc;
	reads++;
	last_width = width;
	memcpy(buf, dev + last_offset, width);
	return 0;
}

static inline int dev_write(void *ctx, uint64_t addr, unsigned width, const void *buf)
{
	int rc = locate(addr, width, &last_offset);

	if (rc)
		return rc;
	writes++;
	last_width = width;
	memcpy(dev + last_offset, buf, width);
	return 0;
}

static inline int dev_read_rep(void *ctx, uint64_t addr, unsigned width, unsigned count, void *buf)
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

static inline int dev_write_rep(void *ctx, uint64_t addr, unsigned width, unsigned count, const void *buf)
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
static inline void open_faults(void)
{
#ifdef __SANITIZE_THREAD__
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGSEGV);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
#endif
}

static inline void on_fault(int sig, siginfo_t *si, void *ctx)
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

static inline int setup(void **state)
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

static inline void before(void)
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
static inline void run(void **state)
{
	struct sigaction sa = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK };
	struct sigaction old;
	void (**test)(void **) = *state;

	before();
	assert_int_equal(sigaction(SIGSEGV, &sa, &old), 0);
	(*test)(state);
	assert_int_equal(sigaction(SIGSEGV, &old, NULL), 0);
}

static inline uint64_t dev64(uint64_t offset)
{
	uint64_t v;

	memcpy(&v, dev + offset, 8);
	return v;
}

static inline void expect_access(unsigned r, unsigned w, unsigned width)
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

#define T(f) { #f, run, NULL, NULL, &(void (*)(void **)){ f } }

#endif
