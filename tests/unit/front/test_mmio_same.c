/* SPDX-License-Identifier: MIT */
/*
 * The same instruction twice: on memory, by the processor, and on a page that cannot be touched, by the executor,
 * from the same registers. Everything must come out the same: general registers, flags, vector, mask and x87 registers,
 * memory. The instructions are all opcodes of all maps, with prefixes, registers and immediates by chance (of a fixed
 * seed), as far as the decoder takes them and this processor has them.
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
#define MIDDLE 2048 /* the operand */

/* Known to the assembler below by these names. */
struct machine_state {
	uint8_t x[8192] __attribute__((aligned(64)));
	uint64_t g[16];
	uint64_t flags;
};
struct machine_state same_in, same_out;
uint64_t same_rsp;
void *same_code;
uint32_t same_mask;
void same_run(void);
extern const char same_done[];

__asm__(".text\n"
	"same_run:\n"
	"	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
	"	mov %rsp, same_rsp(%rip)\n"
	"	mov same_mask(%rip), %eax\n"
	"	xor %edx, %edx\n"
	"	xrstor64 same_in(%rip)\n"
	"	pushq same_in+8192+128(%rip)\n"
	"	popfq\n"
	"	mov same_in+8192+0(%rip), %rax\n"
	"	mov same_in+8192+8(%rip), %rcx\n"
	"	mov same_in+8192+16(%rip), %rdx\n"
	"	mov same_in+8192+24(%rip), %rbx\n"
	"	mov same_in+8192+40(%rip), %rbp\n"
	"	mov same_in+8192+48(%rip), %rsi\n"
	"	mov same_in+8192+56(%rip), %rdi\n"
	"	mov same_in+8192+64(%rip), %r8\n"
	"	mov same_in+8192+72(%rip), %r9\n"
	"	mov same_in+8192+80(%rip), %r10\n"
	"	mov same_in+8192+88(%rip), %r11\n"
	"	mov same_in+8192+96(%rip), %r12\n"
	"	mov same_in+8192+104(%rip), %r13\n"
	"	mov same_in+8192+112(%rip), %r14\n"
	"	mov same_in+8192+120(%rip), %r15\n"
	"	jmp *same_code(%rip)\n"
	"same_done:\n"
	"	mov %rax, same_out+8192+0(%rip)\n"
	"	mov %rcx, same_out+8192+8(%rip)\n"
	"	mov %rdx, same_out+8192+16(%rip)\n"
	"	mov %rbx, same_out+8192+24(%rip)\n"
	"	mov %rsp, same_out+8192+32(%rip)\n"
	"	mov %rbp, same_out+8192+40(%rip)\n"
	"	mov %rsi, same_out+8192+48(%rip)\n"
	"	mov %rdi, same_out+8192+56(%rip)\n"
	"	mov %r8, same_out+8192+64(%rip)\n"
	"	mov %r9, same_out+8192+72(%rip)\n"
	"	mov %r10, same_out+8192+80(%rip)\n"
	"	mov %r11, same_out+8192+88(%rip)\n"
	"	mov %r12, same_out+8192+96(%rip)\n"
	"	mov %r13, same_out+8192+104(%rip)\n"
	"	mov %r14, same_out+8192+112(%rip)\n"
	"	mov %r15, same_out+8192+120(%rip)\n"
	"	mov same_rsp(%rip), %rsp\n"
	"	pushfq\n"
	"	popq same_out+8192+128(%rip)\n"
	"	mov same_mask(%rip), %eax\n"
	"	xor %edx, %edx\n"
	"	xsave64 same_out(%rip)\n"
	"	cld\n"
	"	fninit\n"
	"	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
	"	ret\n");

static uint8_t *page;
static uint8_t dev[PAGE];
static uint8_t *code;
static sigjmp_buf escape;
static volatile bool native;
static volatile int refused;
static uint64_t seed = 88172645463325252ull;

static uint64_t chance(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static int dev_read(void *ctx, uint64_t addr, unsigned width, void *buf)
{
	if (addr - (uint64_t)page + width > PAGE)
		return -ENXIO;
	memcpy(buf, dev + (addr - (uint64_t)page), width);
	return 0;
}

static int dev_write(void *ctx, uint64_t addr, unsigned width, const void *buf)
{
	if (addr - (uint64_t)page + width > PAGE)
		return -ENXIO;
	memcpy(dev + (addr - (uint64_t)page), buf, width);
	return 0;
}

static const struct mmio_ops ops = { .read = dev_read, .write = dev_write };

static void on_signal(int sig, siginfo_t *si, void *ctx)
{
	ucontext_t *uc = ctx;

	if (!native && sig == SIGSEGV) {
		if (mmio_guard_fixup((uint64_t *)uc->uc_mcontext.gregs, sig, si->si_code))
			return;
		refused = mmio_emulate(uc, (uint64_t)si->si_addr, &ops, NULL);
		if (!refused)
			return;
	}
	siglongjmp(escape, sig);
}

/* 0, or the signal it ended with. */
static int run_it(bool natively)
{
	int sig;

	native = natively;
	refused = 0;
	mprotect(page, PAGE, natively ? PROT_READ | PROT_WRITE : PROT_NONE);
	sig = sigsetjmp(escape, 1);
	if (!sig)
		same_run();
	mprotect(page, PAGE, PROT_READ | PROT_WRITE);
	return sig;
}

/* An instruction of map and opcode, its memory operand at [rdi + disp8]. Returns its length, without immediates. */
static unsigned compose(uint8_t *p, unsigned map, unsigned opcode)
{
	static const uint8_t simd[] = { 0, 0x66, 0xf3, 0xf2 };
	uint64_t r = chance();
	unsigned n = 0, pp = r & 3, w = r >> 2 & 1, l = r >> 3 & 3, ext = r >> 5 & 1, v = r >> 6 & 15;

	if (map < 4) { /* legacy */
		if (r >> 12 & 1 && map == 0)
			p[n++] = 0xf0;
		if (simd[pp])
			p[n++] = simd[pp];
		if (r >> 13 & 1)
			p[n++] = (uint8_t)(0x40 | w << 3 | ext << 2);
		if (map)
			p[n++] = 0x0f;
		if (map > 1)
			p[n++] = map == 2 ? 0x38 : 0x3a;
	} else if (map < 7) { /* VEX */
		p[n++] = 0xc4;
		p[n++] = (uint8_t)((ext ? 0x60 : 0xe0) | (map - 3));
		p[n++] = (uint8_t)(w << 7 | (r >> 14 & 1 ? 15 : v) << 3 | (l & 1) << 2 | pp);
	} else { /* EVEX, maps 1 2 3 5 6 */
		static const uint8_t evex_map[] = { 1, 2, 3, 5, 6 };

		p[n++] = 0x62;
		p[n++] = (uint8_t)((ext ? 0x60 : 0xe0) | (r >> 15 & 1) << 4 | evex_map[map - 7]);
		p[n++] = (uint8_t)(w << 7 | (r >> 14 & 1 ? 15 : v) << 3 | 4 | pp);
		p[n++] = (uint8_t)((r >> 16 & 1) << 7 | (l % 3) << 5 | (r >> 17 & 1) << 4 | 8 |
				   (r >> 18 & 1 ? r >> 19 & 7 : 0));
	}
	p[n++] = (uint8_t)opcode;
	p[n++] = (uint8_t)(0x47 | (r >> 22 & 7) << 3); /* mod 1, rm rdi */
	p[n++] = 0;
	return n;
}

/* Parts of the state behind the first 512 bytes: ymm, masks, two of zmm. Where they are differs between processors. */
#define COMPONENTS 4u
#define STATE_BV   512u
static struct {
	unsigned bit, at, size; /* size 0: it has none */
} component[COMPONENTS] = { { .bit = 2 }, { .bit = 5 }, { .bit = 6 }, { .bit = 7 } };

static void find_components(void)
{
	for (unsigned i = 0; i < COMPONENTS; i++) {
		unsigned size, at, c, d;

		if (!(same_mask >> component[i].bit & 1))
			continue;
		__cpuid_count(13, component[i].bit, size, at, c, d);
		component[i].size = size;
		component[i].at = at;
	}
}

/* A part that is as at power-on (zero) may be said to be so, or not. */
static void say_components(struct machine_state *s)
{
	for (unsigned i = 0; i < COMPONENTS; i++) {
		if (!(s->x[STATE_BV] >> component[i].bit & 1))
			memset(s->x + component[i].at, 0, component[i].size);
	}
	s->x[STATE_BV] |= same_mask;
}

static bool differs(const char *what, const void *a, const void *b, size_t n, const struct mmio_insn *insn)
{
	const uint8_t *x = a, *y = b;

	for (size_t i = 0; i < n; i++) {
		if (x[i] == y[i])
			continue;
		fprintf(stderr, "%s byte %zu: %02x, should be %02x:", what, i, y[i], x[i]);
		for (unsigned j = 0; j < insn->len; j++)
			fprintf(stderr, " %02x", insn->bytes[j]);
		fprintf(stderr, "\n");
		return true;
	}
	return false;
}

static bool components_differ(const struct machine_state *a, const struct machine_state *b, const struct mmio_insn *insn)
{
	bool differ = differs("state", a->x, b->x, STATE_BV + 8, insn);

	for (unsigned i = 0; !differ && i < COMPONENTS; i++)
		differ = differs("component", a->x + component[i].at, b->x + component[i].at, component[i].size, insn);
	return differ;
}

static void fill(const struct mmio_insn *insn)
{
	for (unsigned i = 0; i < 16; i++)
		same_in.g[i] = chance() >> (chance() & 63);
	same_in.g[7] = (uint64_t)page + MIDDLE;
	if (insn->flags & MMIO_F_BITREG)
		same_in.g[insn->reg] = (chance() & 0x1fff) - 0x1000;
	same_in.flags = 0x202 | (chance() & 0x8d5);
	for (unsigned i = 0; i < PAGE; i += 8)
		*(uint64_t *)(dev + i) = chance();
	/* small numbers and floating point ones too */
	if (chance() & 1)
		*(double *)(dev + MIDDLE) = (double)(int)chance();
	memset(same_in.x, 0, sizeof(same_in.x));
	for (unsigned i = 160; i < 416; i++)
		same_in.x[i] = (uint8_t)chance(); /* xmm */
	for (unsigned c = 0; c < COMPONENTS; c++)
		for (unsigned i = 0; i < component[c].size; i++)
			same_in.x[component[c].at + i] = (uint8_t)chance();
	for (unsigned i = 0; i < 8; i++) /* st: 2^(i+2) */
		memcpy(same_in.x + 32 + 16 * i + 7, (uint8_t[]){ 0x80, (uint8_t)(i + 1), 0x40 }, 3);
	*(uint16_t *)(same_in.x + 0) = 0x37f;
	same_in.x[4] = chance() & 1 ? 0x0f : 0; /* x87 tags */
	*(uint16_t *)(same_in.x + 2) = same_in.x[4] ? 4 << 11 : 0;
	*(uint32_t *)(same_in.x + 24) = 0x1f80;
	*(uint64_t *)(same_in.x + STATE_BV) = same_mask;
}

/* What holds code addresses: opcode, instruction and data pointers of the x87. */
static void forget_pointers(struct machine_state *s)
{
	memset(s->x + 6, 0, 18);
	memset(s->x + 464, 0, 48);
	s->g[4] = 0;
	s->flags &= 0xcd5;
}

/* fnstenv, fnsave write code addresses to memory. */
static bool stores_pointers(const struct mmio_insn *insn)
{
	return insn->width == 28;
}

static struct {
	unsigned tried, decoded, native_signal, same, different;
} count;

static void compare_one(const uint8_t *bytes, struct mmio_thunks *t)
{
	static struct machine_state want;
	static uint8_t before[PAGE], want_mem[PAGE];
	struct mmio_insn insn;
	int sig;

	count.tried++;
	if (mmio_decode(bytes, MMIO_INSN_MAX, t, &insn) || insn.kind == MMIO_STRING || insn.kind == MMIO_BLOCK64)
		return;
	if (insn.base != 7 || insn.index != MMIO_REG_NONE || stores_pointers(&insn))
		return;
	if ((insn.flags & MMIO_F_BITREG) && insn.reg == 7)
		return; /* the operand could be anywhere */
	if ((insn.flags & MMIO_F_ADDR32) && (uintptr_t)page >> 32)
		return; /* run natively it would reach whatever is at half the address */
	count.decoded++;
	memcpy(code, bytes, insn.len);
	memcpy(code + insn.len, "\xff\x25\0\0\0\0", 6);
	memcpy(code + insn.len + 6, &(const void *){ same_done }, 8);
	fill(&insn);
	memcpy(before, dev, PAGE);
	memcpy(page, dev, PAGE);
	if (run_it(true)) {
		count.native_signal++;
		return;
	}
	want = same_out;
	memcpy(want_mem, page, PAGE);
	memcpy(dev, before, PAGE);
	sig = run_it(false);
	forget_pointers(&want);
	forget_pointers(&same_out);
	say_components(&want);
	say_components(&same_out);
	if (sig)
		fprintf(stderr, "signal %d, refused %d:", sig, refused);
	if ((sig && differs("signal", "", "x", 1, &insn)) || differs("memory", want_mem, dev, PAGE, &insn) ||
	    differs("register", want.g, same_out.g, sizeof(want.g), &insn) ||
	    differs("flags", &want.flags, &same_out.flags, 8, &insn) ||
	    components_differ(&want, &same_out, &insn))
		count.different++;
	else
		count.same++;
}

static void all_opcodes(void **state)
{
	struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_NODEFER };
	struct sigaction old[32];
	static const int caught[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP };
	const unsigned rounds = 20; /* more would fill the process's thunk area */
	struct mmio_thunks *t;
	unsigned a, b, c, d;

	if (!__get_cpuid_count(1, 0, &a, &b, &c, &d) || !(c & 1u << 27))
		skip(); /* no xsave */
	__cpuid_count(13, 0, a, b, c, d);
	same_mask = a & 0xe7;
	find_components();
	if (getenv("MMIO_SEED"))
		seed += strtoull(getenv("MMIO_SEED"), NULL, 0) * 0x9e3779b97f4a7c15;
	page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	code = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(page != MAP_FAILED && code != MAP_FAILED);
	same_code = code;
	assert_int_equal(mmio_init(), 0);
	assert_int_equal(mmio_thunks_create(65535, &t), 0);
	for (unsigned i = 0; i < 5; i++)
		sigaction(caught[i], &sa, &old[i]);
	for (unsigned round = 0; round < rounds; round++)
		for (unsigned map = 0; map < 12; map++)
			for (unsigned opcode = 0; opcode < 256; opcode++) {
				uint8_t bytes[MMIO_INSN_MAX + 8];
				uint64_t immediate = chance();

				memcpy(bytes + compose(bytes, map, opcode), &immediate, 8);
				compare_one(bytes, t);
			}
	for (unsigned i = 0; i < 5; i++)
		sigaction(caught[i], &old[i], NULL);
	fprintf(stderr, "%u tried, %u decoded, %u this processor refuses, %u the same, %u different\n", count.tried,
		count.decoded, count.native_signal, count.same, count.different);
	assert_int_equal(count.different, 0);
	assert_true(count.same > 1000);
	mmio_thunks_destroy(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(all_opcodes) };

	return cmocka_run_group_tests_name("mmio_same", tests, NULL, NULL);
}
