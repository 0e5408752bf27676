/* SPDX-License-Identifier: MIT */
/*
 * A copy that survives. The machine's pointers into callers' memory can go bad at any moment: a caller cuts
 * the file short that both have mapped, or, with the machine inside its own process, unmaps its buffer. The
 * copy is a leaf function without a stack frame, so that from any of its instructions "return -EFAULT" is
 * a change of the instruction pointer, which the fault handler makes. Nothing is saved or armed per call.
 *
 * It is also what a device's bytes pass through, so each byte is stored once, upwards, and 1, 2, 4 and 8
 * bytes move as one load and one store: a program that polls a completion word sees it whole, and not
 * written again after it was taken. mem_cas_guarded() is of the same kind, for what devices change in place.
 */
#include "mem/priv.h"
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>

#ifndef __x86_64__
#error "mem_copy_guarded() is written for x86-64"
#endif

extern const char mem_copy_end[] __attribute__((visibility("hidden")));
extern const char mem_copy_fault[] __attribute__((visibility("hidden")));

__asm__(
	"	.text\n"
	"	.p2align 6\n"
	"	.globl mem_copy_guarded\n"
	"	.hidden mem_copy_guarded\n"
	"	.type mem_copy_guarded, @function\n"
	"mem_copy_guarded:\n"		/* rdi: dst, rsi: src, rdx: n */
	"	.cfi_startproc\n"
	"	cmp $64, %rdx\n"
	"	jb 2f\n"
	"	cmp $1024, %rdx\n"
	"	jae 9f\n"
	"	mov %rdx, %rcx\n"
	"	shr $6, %rcx\n"
	"1:	movups (%rsi), %xmm0\n"
	"	movups 16(%rsi), %xmm1\n"
	"	movups 32(%rsi), %xmm2\n"
	"	movups 48(%rsi), %xmm3\n"
	"	movups %xmm0, (%rdi)\n"
	"	movups %xmm1, 16(%rdi)\n"
	"	movups %xmm2, 32(%rdi)\n"
	"	movups %xmm3, 48(%rdi)\n"
	"	add $64, %rsi\n"
	"	add $64, %rdi\n"
	"	dec %rcx\n"
	"	jnz 1b\n"
	"2:	test $32, %dl\n"
	"	jz 3f\n"
	"	movups (%rsi), %xmm0\n"
	"	movups 16(%rsi), %xmm1\n"
	"	movups %xmm0, (%rdi)\n"
	"	movups %xmm1, 16(%rdi)\n"
	"	add $32, %rsi\n"
	"	add $32, %rdi\n"
	"3:	test $16, %dl\n"
	"	jz 4f\n"
	"	movups (%rsi), %xmm0\n"
	"	movups %xmm0, (%rdi)\n"
	"	add $16, %rsi\n"
	"	add $16, %rdi\n"
	"4:	test $8, %dl\n"
	"	jz 5f\n"
	"	mov (%rsi), %rax\n"
	"	mov %rax, (%rdi)\n"
	"	add $8, %rsi\n"
	"	add $8, %rdi\n"
	"5:	test $7, %dl\n"
	"	jz 8f\n"
	"	test $4, %dl\n"
	"	jz 6f\n"
	"	mov (%rsi), %eax\n"
	"	mov %eax, (%rdi)\n"
	"	add $4, %rsi\n"
	"	add $4, %rdi\n"
	"6:	test $2, %dl\n"
	"	jz 7f\n"
	"	movzwl (%rsi), %eax\n"
	"	mov %ax, (%rdi)\n"
	"	add $2, %rsi\n"
	"	add $2, %rdi\n"
	"7:	test $1, %dl\n"
	"	jz 8f\n"
	"	movzbl (%rsi), %eax\n"
	"	mov %al, (%rdi)\n"
	"8:	xor %eax, %eax\n"
	"	ret\n"
	"9:	mov %rdx, %rcx\n"
	"	rep movsb\n"
	"	xor %eax, %eax\n"
	"	ret\n"
	"	.globl mem_cas_guarded\n"
	"	.hidden mem_cas_guarded\n"
	"	.type mem_cas_guarded, @function\n"
	"mem_cas_guarded:\n"		/* rdi: place, rsi: was, rdx: is */
	"	mov %rsi, %rax\n"
	"	lock cmpxchg %rdx, (%rdi)\n"
	"	setne %al\n"
	"	movzbl %al, %eax\n"
	"	ret\n"
	"	.size mem_cas_guarded, . - mem_cas_guarded\n"
	"	.globl mem_copy_end\n"
	"	.hidden mem_copy_end\n"
	"mem_copy_end:\n"
	"	.globl mem_copy_fault\n"
	"	.hidden mem_copy_fault\n"
	"mem_copy_fault:\n"
	"	mov $-14, %eax\n"	/* -EFAULT */
	"	ret\n"
	"	.cfi_endproc\n"
	"	.size mem_copy_guarded, . - mem_copy_guarded\n");

bool mem_fault_fixup(void *ucontext)
{
	greg_t *rip = &((ucontext_t *)ucontext)->uc_mcontext.gregs[REG_RIP];

	if ((uintptr_t)*rip < (uintptr_t)mem_copy_guarded || (uintptr_t)*rip >= (uintptr_t)mem_copy_end)
		return false;
	*rip = (greg_t)(uintptr_t)mem_copy_fault;
	return true;
}

static const int fault_signals[2] = { SIGSEGV, SIGBUS };
static struct sigaction fault_old[2]; /* who had the signal before us */

/* Not ours: what would have happened without us. */
static void fault_pass_on(int sig, siginfo_t *info, void *uc)
{
	const struct sigaction *old = &fault_old[sig == SIGBUS];
	bool sent = info->si_code <= 0; /* by kill() and the like; the instruction did nothing wrong */

	if (old->sa_flags & SA_SIGINFO) {
		old->sa_sigaction(sig, info, uc);
	} else if (old->sa_handler == SIG_IGN && sent) {
		return;
	} else if (old->sa_handler == SIG_DFL || old->sa_handler == SIG_IGN) {
		signal(sig, SIG_DFL); /* the instruction faults again, and ends the process */
		if (sent)
			raise(sig);
	} else {
		old->sa_handler(sig);
	}
}

static void fault_handler(int sig, siginfo_t *info, void *uc)
{
	int saved = errno;

	if (info->si_code <= 0 || !mem_fault_fixup(uc))
		fault_pass_on(sig, info, uc);
	errno = saved;
}

/* Signal handlers are the process's, so this is the one piece of state that all machines share. */
int mem_copy_install(void)
{
	static atomic_int state; /* 0: to do, 1: somebody does it, 2: done */
	struct sigaction sa = { .sa_sigaction = fault_handler, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
	int expected = 0;

	if (!atomic_compare_exchange_strong(&state, &expected, 1)) {
		while (atomic_load(&state) == 1)
			sched_yield();
		return 0;
	}
	sigemptyset(&sa.sa_mask);
	for (unsigned i = 0; i < ARRAY_SIZE(fault_signals); i++) {
		/* The old one first: a fault may come before the second call returns. */
		if (sigaction(fault_signals[i], NULL, &fault_old[i]) || sigaction(fault_signals[i], &sa, NULL)) {
			int rc = -errno;

			atomic_store(&state, 0);
			return rc;
		}
	}
	atomic_store(&state, 2);
	return 0;
}
