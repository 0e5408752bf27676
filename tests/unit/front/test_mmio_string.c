/* SPDX-License-Identifier: MIT */
/*
 * Emulated string instructions: one element at a time or many, upwards and downwards, between devices and memory; and the
 * C library's functions that may be made of them.
 */
#include "mmio_lab.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(rep_moves), T(rep_down), T(rep_others), T(compare_flags), T(libc),
	};

	return cmocka_run_group_tests_name("mmio-string", tests, setup, NULL);
}
