/* SPDX-License-Identifier: MIT */
/*
 * Stopping a thread of a program for a moment, to run a system call in its context. The tracer is the thread of the
 * supervisor that asks, so waits are for threads it traces itself (__WNOTHREAD) and several can be at it at once.
 * Signals are held back while a call runs; the program gets them when it goes on.
 */
#include "front/stub/blob.h"
#include "front/supervisor/priv.h"
#include "front/supervisor/tracer.h"
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

int super_trace_attach(pid_t tid, unsigned long options)
{
	if (ptrace(PTRACE_SEIZE, tid, 0, options) < 0)
		return -errno;
	if (ptrace(PTRACE_INTERRUPT, tid, 0, 0) < 0) {
		int rc = -errno;

		super_trace_detach(tid, 0);
		return rc;
	}
	return 0;
}

/* 1 one of our threads; 0 nobody; -1 somebody else */
static int traced_by(pid_t tid)
{
	uint64_t tracer = 0;
	char path[64];

	if (super_proc_status(tid, "TracerPid", 10, &tracer) || tracer == 0)
		return 0;
	snprintf(path, sizeof(path), "/proc/self/task/%u", (unsigned)tracer);
	return access(path, F_OK) == 0 ? 1 : -1;
}

static int seize(struct super *s, pid_t tid)
{
	SCOPED_LOCK(&s->seize_lock);
	return super_trace_attach(tid, 0);
}

int super_trace_attach_other(struct super_call *c, pid_t tid)
{
	bool let_go = false; /* maybe since the last try: once more */
	int by, rc;

	while ((rc = seize(c->s, tid)) == -EPERM) {
		by = traced_by(tid);
		if (by < 0 || (by == 0 && let_go) || !super_call_valid(c))
			break;
		let_go = by == 0;
		if (by)
			usleep(100);
	}
	return rc;
}

bool super_trace_taken(struct super_call *c)
{
	if (traced_by((pid_t)c->n->pid) <= 0)
		return false;
	/* Whoever seized it has asked it to stop. */
	mutex_lock(&c->s->seize_lock);
	mutex_unlock(&c->s->seize_lock);
	return true;
}

bool super_trace_again(struct super_call *c)
{
	if (!super_trace_taken(c))
		return false;
	super_call_send(c, -TASK_RESTART);
	return true;
}

pid_t super_trace_wait(void)
{
	int status;
	pid_t tid;

	do
		tid = waitpid(-1, &status, __WALL | __WNOTHREAD);
	while (tid < 0 && errno == EINTR);
	if (tid < 0)
		return -errno;
	return WIFSTOPPED(status) ? tid : -ESRCH;
}

/*
 * One that cannot be let go of is dying, and has to be waited for: until then it stays a zombie, and an exec of another
 * thread of its process waits for it.
 */
void super_trace_detach(pid_t tid, int sig)
{
	int status;

	while (ptrace(PTRACE_DETACH, tid, 0, sig) < 0) {
		if (waitpid(tid, &status, __WALL | __WNOTHREAD) < 0 ? errno != EINTR : !WIFSTOPPED(status))
			return;
	}
}

int super_trace_stack(pid_t tid, uint64_t *sp)
{
	struct user_regs_struct r;

	if (ptrace(PTRACE_GETREGS, tid, 0, &r) < 0)
		return -ESRCH;
	*sp = r.rsp;
	return 0;
}

void super_trace_result(pid_t tid, long val)
{
	struct user_regs_struct r;

	if (ptrace(PTRACE_GETREGS, tid, 0, &r) < 0)
		return;
	r.rax = (uint64_t)val;
	ptrace(PTRACE_SETREGS, tid, 0, &r);
}

/* A number that an exec has given to another thread is that one's tracer's to wait for. */
static pid_t wait_one(pid_t tid, int *status)
{
	return waitpid(tid, status, __WALL | __WNOTHREAD);
}

static _Thread_local pid_t (*wait_by)(pid_t tid, int *status) = wait_one;

void super_trace_wait_by(pid_t (*wait)(pid_t tid, int *status))
{
	wait_by = wait;
}

/*
 * Let it run until it stops with SIGTRAP, or at a system call. Other stops (the filter's, say) are passed over. What
 * cannot be held back is SIGSTOP: it gets it, which stops its process, but this thread goes on for the moment.
 */
static int run_to_trap(pid_t tid, int request)
{
	int status, sig = 0;

	for (;;) {
		if (ptrace(request, tid, 0, sig) < 0 || wait_by(tid, &status) != tid || !WIFSTOPPED(status))
			return -ESRCH;
		if (status >> 8 == SIGTRAP || status >> 8 == (SIGTRAP | 0x80))
			return 0;
		sig = status >> 16 == 0 ? WSTOPSIG(status) : 0;
	}
}

/* By the system call instruction at its instruction pointer: once in, once out. */
static int run_by_syscall(pid_t tid, struct user_regs_struct *r)
{
	if (ptrace(PTRACE_SETREGS, tid, 0, r) < 0 || run_to_trap(tid, PTRACE_SYSCALL) || run_to_trap(tid, PTRACE_SYSCALL))
		return -ESRCH;
	return ptrace(PTRACE_GETREGS, tid, 0, r) < 0 ? -ESRCH : 0;
}

/* At the entry of a new image, whose only thread it is: by an instruction put there for the moment. */
static int run_by_poke(pid_t tid, struct user_regs_struct *r)
{
	uint64_t at = r->rip;
	long old, rc;

	errno = 0;
	old = ptrace(PTRACE_PEEKTEXT, tid, at, 0);
	if (errno || ptrace(PTRACE_POKETEXT, tid, at, (old & ~0xffffffl) | 0xcc050f) < 0) /* syscall; int3 */
		return -ESRCH;
	rc = ptrace(PTRACE_SETREGS, tid, 0, r) < 0 || run_to_trap(tid, PTRACE_CONT) ||
	     ptrace(PTRACE_GETREGS, tid, 0, r) < 0 ? -ESRCH : 0;
	ptrace(PTRACE_POKETEXT, tid, at, old);
	return (int)rc;
}

static bool is_syscall_at(pid_t tid, uint64_t at)
{
	long insn;

	errno = 0;
	insn = ptrace(PTRACE_PEEKTEXT, tid, at, 0);
	return errno == 0 && (insn & 0xffff) == 0x050f;
}

/* @insn: a system call instruction of its; 0: it is at the entry of a new image */
static long run_call(pid_t tid, struct user_regs_struct saved, uint64_t insn, long nr, const uint64_t args[6])
{
	uint64_t mask, all = ~BIT64(SIGTRAP - 1);
	struct user_regs_struct r = saved;
	int rc;

	if (ptrace(PTRACE_GETSIGMASK, tid, sizeof(mask), &mask) < 0)
		return -ESRCH;
	r.rax = (uint64_t)nr;
	r.orig_rax = (uint64_t)-1;
	r.rdi = args[0];
	r.rsi = args[1];
	r.rdx = args[2];
	r.r10 = args[3];
	r.r8 = args[4];
	r.r9 = args[5];
	ptrace(PTRACE_SETSIGMASK, tid, sizeof(all), &all);
	if (insn)
		r.rip = insn;
	rc = insn ? run_by_syscall(tid, &r) : run_by_poke(tid, &r);
	if (rc)
		return rc; /* whoever has the number now, these registers are not its own */
	saved.orig_rax = (uint64_t)-1;
	ptrace(PTRACE_SETREGS, tid, 0, &saved);
	ptrace(PTRACE_SETSIGMASK, tid, sizeof(mask), &mask);
	return (long)r.rax;
}

long super_trace_call(pid_t tid, long nr, const uint64_t args[6])
{
	struct user_regs_struct r;

	if (ptrace(PTRACE_GETREGS, tid, 0, &r) < 0)
		return -ESRCH;
	return run_call(tid, r, r.rcx == r.rip && is_syscall_at(tid, r.rip - 2) ? r.rip - 2 : 0, nr, args);
}

/* What the stub calls is its own business to the filter (filter.c); any two bytes that say "syscall" will do. */
long super_trace_call_quiet(pid_t tid, long nr, const uint64_t args[6])
{
	const unsigned char *insn = memmem(stub_blob, stub_blob_size, "\x0f\x05", 2);
	uint64_t at = insn ? STUB_TEXT + (uint64_t)(insn - stub_blob) : 0;
	struct user_regs_struct r;

	if (ptrace(PTRACE_GETREGS, tid, 0, &r) < 0)
		return -ESRCH;
	return at && is_syscall_at(tid, at) ? run_call(tid, r, at, nr, args) : -EOPNOTSUPP;
}

long super_call_in_stop(struct super_call *c, const struct super_in_stop *s)
{
	pid_t tid = (pid_t)c->n->pid;
	int rc;

	if (!c->s->inject)
		return SUPER_CONTINUE;
	if (c->s->tracer) {
		rc = s->before ? s->before(c, s->ctx) : 0;
		return rc ? rc : super_tracer_in_stop(c, s->val, s->fn, s->ctx);
	}
	rc = super_trace_attach(tid, 0);
	if (rc)
		return rc == -EPERM && s->val != SUPER_CONTINUE && super_trace_again(c) ? SUPER_DONE : SUPER_CONTINUE;
	rc = s->before ? s->before(c, s->ctx) : 0;
	/* Once the answer is taken, it is the caller that was seized, not one that has got its number since. */
	bool taken = super_call_send(c, rc ? rc : s->val) == 0;

	if (super_trace_wait() == tid) {
		if (taken && !rc)
			s->fn(c, tid, s->ctx);
		super_trace_detach(tid, 0);
	}
	return SUPER_DONE;
}
