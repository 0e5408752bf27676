/* SPDX-License-Identifier: MIT */
/*
 * Memory that may not be there: copies that survive a fault, and the cache of decoded instructions, which
 * must compare what it knows with code that may have been unmapped or rewritten since.
 *
 * mmio_guard_copy touches foreign memory only between two labels. The fault handler finds the interrupted rip
 * there and moves it to a landing pad. Built into the blob too: no libc.
 */
#include "front/priv_mmio.h"

#define HIDDEN __attribute__((visibility("hidden")))
extern const char mmio_guard_begin[] HIDDEN, mmio_guard_end[] HIDDEN, mmio_guard_fail[] HIDDEN;

/* rdi dst, rsi src, edx width, rcx info. On a fault eax holds what the handler put there. */
__asm__(".text\n"
	".p2align 4\n"
	".globl mmio_guard_copy, mmio_guard_begin, mmio_guard_end, mmio_guard_fail\n"
	".hidden mmio_guard_copy, mmio_guard_begin, mmio_guard_end, mmio_guard_fail\n"
	".type mmio_guard_copy, @function\n"
	"mmio_guard_copy:\n"
	"	endbr64\n"
	"mmio_guard_begin:\n"
	"	cmpl $4, %edx\n"
	"	je 4f\n"
	"	cmpl $2, %edx\n"
	"	je 2f\n"
	"8:	cmpl $8, %edx\n"
	"	jb 1f\n"
	"	movq (%rsi), %r8\n"
	"	movq %r8, (%rdi)\n"
	"	addq $8, %rsi\n"
	"	addq $8, %rdi\n"
	"	subl $8, %edx\n"
	"	jmp 8b\n"
	"1:	testl %edx, %edx\n"
	"	jz 9f\n"
	"	movb (%rsi), %r8b\n"
	"	movb %r8b, (%rdi)\n"
	"	incq %rsi\n"
	"	incq %rdi\n"
	"	decl %edx\n"
	"	jmp 1b\n"
	"4:	movl (%rsi), %r8d\n"
	"	movl %r8d, (%rdi)\n"
	"	jmp 9f\n"
	"2:	movw (%rsi), %r8w\n"
	"	movw %r8w, (%rdi)\n"
	"9:\n"
	"mmio_guard_end:\n"
	"	xorl %eax, %eax\n"
	"	ret\n"
	"mmio_guard_fail:\n"
	"	movl %eax, (%rcx)\n"
	"	movl $-14, %eax\n" /* -EFAULT */
	"	ret\n"
	".size mmio_guard_copy, . - mmio_guard_copy\n");

int mmio_guard_fixup(uint64_t *g, int signo, int code)
{
	uint64_t rip = g[MMIO_G_RIP];

	/* A code of 0 or less: sent by kill(2), no fault. */
	if (code <= 0 || rip < (uintptr_t)mmio_guard_begin || rip >= (uintptr_t)mmio_guard_end)
		return 0;
	g[13] = (uint32_t)signo | (uint32_t)code << 8; /* rax */
	g[MMIO_G_RIP] = (uintptr_t)mmio_guard_fail;
	return 1;
}

int mmio_insn_matches(const struct mmio_insn *insn, const void *ip)
{
	const uint8_t *p = ip;
	unsigned len = insn->len;
	unsigned done = 0;
	uint32_t info;

	/* Overlapping words: never a byte beyond the instruction, which may end at the end of its page. */
	while (done < len) {
		unsigned n = len >= 8 ? 8 : len >= 4 ? 4 : len >= 2 ? 2 : 1;
		unsigned at = done + n <= len ? done : len - n;
		uint64_t now = 0, then = 0;

		if (mmio_guard_copy(&now, p + at, n, &info))
			return 0;
		for (unsigned i = 0; i < n; i++)
			then |= (uint64_t)insn->bytes[at + i] << (8 * i);
		if (now != then)
			return 0;
		done = at + n;
	}
	return len != 0;
}

#define INSN_WORDS (offsetof(struct mmio_insn, seq) / 8)
typedef uint64_t word_t __attribute__((may_alias));

static struct mmio_insn *cache_slot(struct mmio_insn *cache, unsigned n, uint64_t rip)
{
	return &cache[(rip * 0x9e3779b97f4a7c15ull >> 40) & (n - 1)];
}

int mmio_cache_find(struct mmio_insn *cache, unsigned n, uint64_t rip, struct mmio_insn *out)
{
	struct mmio_insn *e = cache_slot(cache, n, rip);
	word_t *from = (word_t *)e;
	word_t *to = (word_t *)out;
	uint64_t seq = __atomic_load_n(&e->seq, __ATOMIC_ACQUIRE);

	if (seq & 1)
		return 0;
	for (unsigned i = 0; i < INSN_WORDS; i++)
		to[i] = __atomic_load_n(&from[i], __ATOMIC_ACQUIRE);
	if (__atomic_load_n(&e->seq, __ATOMIC_RELAXED) != seq)
		return 0;
	return out->rip == rip && out->kind != MMIO_NONE && mmio_insn_matches(out, (const void *)(uintptr_t)rip);
}

void mmio_cache_put(struct mmio_insn *cache, unsigned n, const struct mmio_insn *insn)
{
	struct mmio_insn *e = cache_slot(cache, n, insn->rip);
	const word_t *from = (const word_t *)insn;
	word_t *to = (word_t *)e;
	uint64_t seq = __atomic_load_n(&e->seq, __ATOMIC_RELAXED);

	/* Odd: another thread is at it, or was when this process was forked off. Then it is not remembered. */
	if ((seq & 1) ||
	    !__atomic_compare_exchange_n(&e->seq, &seq, seq + 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return;
	for (unsigned i = 0; i < INSN_WORDS; i++)
		__atomic_store_n(&to[i], from[i], __ATOMIC_RELEASE);
	__atomic_store_n(&e->seq, seq + 2, __ATOMIC_RELEASE);
}
