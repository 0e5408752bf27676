/* SPDX-License-Identifier: MIT */
/*
 * Where emulation ends: accesses that cross into memory or into another page, that the device or the executor refuses, that
 * touch nothing; and code that changes under a decoding that is kept.
 */
#include "mmio_lab.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(crossing), T(refused), T(half_a_move), T(harmless), T(changing_code),
	};

	return cmocka_run_group_tests_name("mmio-border", tests, setup, NULL);
}
