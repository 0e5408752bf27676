/* SPDX-License-Identifier: MIT */
/* Emulated instructions that move more than a general register holds: SSE, x87, AVX, AVX-512 and direct stores. */
#include "mmio_lab.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(sse), T(x87), T(avx), T(avx512), T(movdir),
	};

	return cmocka_run_group_tests_name("mmio-vector", tests, setup, NULL);
}
