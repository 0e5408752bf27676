/* SPDX-License-Identifier: MIT */
/*
 * SIGBUS, SIGSEGV and SIGILL of programs belong to the stub; what a program asks for is kept here, and in the memory of
 * the process, where the stub finds what fork inherits (front/stub/stub.h, 4).
 *
 * A blocked SIGBUS at a trapped page would kill the program. So a process that has mapped a device keeps these
 * signals open: rt_sigprocmask is answered here for it, and they are left out of what the kernel is told.
 * Such a program that asks for its mask sees them open. Masks of handlers (sa_mask) are not looked at.
 */
#include "front/supervisor/priv.h"
#include "front/supervisor/tracer.h"
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <unistd.h>

#define OPEN_SIGNALS (BIT64(SIGBUS - 1) | BIT64(SIGSEGV - 1) | BIT64(SIGILL - 1))

static int peek(struct super_mm *m, void *dst, uint64_t at, size_t n)
{
	return super_mm_read(m, dst, at, n);
}

static int poke(struct super_mm *m, uint64_t at, const void *src, size_t n)
{
	return m->mm.ops->write(&m->mm, at, src, n);
}

/* Does this process run with the stub? A fork of one that does, does. */
static bool has_stub_locked(struct super_proc *p, struct super_mm *m)
{
	uint32_t version;

	if (p->stub == SUPER_UNKNOWN)
		p->stub = peek(m, &version, STUB_DATA + offsetof(struct stub_data, version), sizeof(version)) == 0 &&
					  version == STUB_VERSION
				  ? SUPER_YES : SUPER_NO;
	return p->stub == SUPER_YES;
}

bool super_proc_has_stub(struct super_call *c)
{
	struct super_proc *p = super_call_proc(c);
	struct super_mm *m;
	bool has;

	if (!p || super_proc_mm(p, &m))
		return false;
	mutex_lock(&p->lock);
	has = has_stub_locked(p, m);
	mutex_unlock(&p->lock);
	super_mm_put(m);
	return has;
}

/* The actions of a process not seen before are those in its memory. A fresh fork becomes the owner of its copy. */
static bool actions_locked(struct super_proc *p, struct super_mm *m)
{
	uint32_t alive = 1, one = 1, owner = 0;

	if (!p->actions_known) {
		if (peek(m, p->action, STUB_DATA + offsetof(struct stub_data, action), sizeof(p->action)))
			memset(p->action, 0, sizeof(p->action));
		p->actions_known = true;
	}
	if (peek(m, &owner, STUB_DATA + offsetof(struct stub_data, owner), sizeof(owner)))
		return false;
	if (owner != (uint32_t)p->tgid && peek(m, &alive, STUB_FORK + offsetof(struct stub_fork, alive), sizeof(alive)) == 0 &&
	    alive == 0) {
		owner = (uint32_t)p->tgid;
		poke(m, STUB_DATA + offsetof(struct stub_data, owner), &owner, sizeof(owner));
		poke(m, STUB_FORK + offsetof(struct stub_fork, alive), &one, sizeof(one));
	}
	return owner == (uint32_t)p->tgid;
}

static void publish_locked(struct super_proc *p, struct super_mm *m)
{
	uint32_t seq = 0;

	peek(m, &seq, STUB_DATA + offsetof(struct stub_data, seq), sizeof(seq));
	seq |= 1;
	poke(m, STUB_DATA + offsetof(struct stub_data, seq), &seq, sizeof(seq));
	poke(m, STUB_DATA + offsetof(struct stub_data, action), p->action, sizeof(p->action));
	seq++;
	poke(m, STUB_DATA + offsetof(struct stub_data, seq), &seq, sizeof(seq));
}

long super_sigaction(struct super_call *c)
{
	int i = stub_signal((int)super_arg(c, 0));
	struct super_proc *p = super_call_proc(c);
	struct stub_action old, new;
	struct super_mm *m;
	bool set = super_arg(c, 1) != 0;

	if (i < 0 || super_arg(c, 3) != 8 || !p)
		return SUPER_CONTINUE;
	if (super_proc_mm(p, &m))
		return SUPER_CONTINUE;
	mutex_lock(&p->lock);
	if (!has_stub_locked(p, m)) {
		mutex_unlock(&p->lock);
		super_mm_put(m);
		return SUPER_CONTINUE;
	}
	if (set && super_copy_in(c, &new, super_arg(c, 1), sizeof(new))) {
		mutex_unlock(&p->lock);
		super_mm_put(m);
		return -EFAULT;
	}
	bool owner = actions_locked(p, m);

	old = p->action[i];
	if (set) {
		p->action[i] = new;
		if (owner)
			publish_locked(p, m);
	}
	mutex_unlock(&p->lock);
	super_mm_put(m);
	return super_arg(c, 2) && super_copy_out(c, super_arg(c, 2), &old, sizeof(old)) ? -EFAULT : 0;
}

void super_signals_exec(struct super_proc *p)
{
	struct super_mm *m;

	if (super_proc_mm(p, &m))
		return;
	mutex_lock(&p->lock);
	if (has_stub_locked(p, m))
		actions_locked(p, m);
	mutex_unlock(&p->lock);
	super_mm_put(m);
}

long super_stub_action(struct super_call *c, int sig, uva_t out, bool deliver)
{
	int i = stub_signal(sig);
	struct super_proc *p = super_call_proc(c);
	struct stub_action now;
	struct super_mm *m;

	if (i < 0 || !p || super_proc_mm(p, &m))
		return -EINVAL;
	mutex_lock(&p->lock);
	bool owner = actions_locked(p, m);

	now = p->action[i];
	if (deliver && (now.flags & SA_RESETHAND))
		p->action[i].handler = 0;
	if (owner)
		publish_locked(p, m);
	mutex_unlock(&p->lock);
	super_mm_put(m);
	return super_copy_out(c, out, &now, sizeof(now));
}

/* ---- masks ---- */

struct mask_change {
	int how;
	uint64_t set;
};

static void mask_in_stop(struct super_call *c, pid_t tid, void *ctx)
{
	struct mask_change *m = ctx;
	uint64_t mask;

	(void)c;
	if (ptrace(PTRACE_GETSIGMASK, tid, sizeof(mask), &mask) < 0)
		return;
	mask = m->how == SIG_BLOCK ? mask | m->set : m->set;
	mask &= ~OPEN_SIGNALS;
	ptrace(PTRACE_SETSIGMASK, tid, sizeof(mask), &mask);
}

long super_sigprocmask(struct super_call *c)
{
	struct mask_change m = { .how = (int)super_arg(c, 0) };
	uint64_t blocked;
	struct super_proc *p;

	if (atomic_load(&c->s->device_procs) == 0)
		return SUPER_CONTINUE;
	p = super_call_proc(c);
	if (m.how != SIG_BLOCK && m.how != SIG_SETMASK)
		return SUPER_CONTINUE;
	if (!p || !atomic_load(&p->devices) || super_arg(c, 3) != sizeof(m.set) ||
	    super_copy_in(c, &m.set, super_arg(c, 1), sizeof(m.set)) || !(m.set & OPEN_SIGNALS))
		return SUPER_CONTINUE;
	if (super_arg(c, 2)) {
		if (super_proc_status((pid_t)c->n->pid, "SigBlk", 16, &blocked))
			return SUPER_CONTINUE;
		if (super_copy_out(c, super_arg(c, 2), &blocked, sizeof(blocked)))
			return -EFAULT;
	}
	return super_call_in_stop(c, &(struct super_in_stop){ .fn = mask_in_stop, .ctx = &m });
}

static void open_stopped(pid_t tid)
{
	uint64_t mask;

	if (ptrace(PTRACE_GETSIGMASK, tid, sizeof(mask), &mask) == 0 && (mask & OPEN_SIGNALS)) {
		mask &= ~OPEN_SIGNALS;
		ptrace(PTRACE_SETSIGMASK, tid, sizeof(mask), &mask);
	}
}

/* Not the caller, which cannot stop while its call is unanswered: it is opened on its way back. */
static int open_other(void *call, pid_t tid)
{
	struct super_call *c = call;
	uint64_t blocked;

	if (tid == (pid_t)c->n->pid || super_proc_status(tid, "SigBlk", 16, &blocked) || !(blocked & OPEN_SIGNALS))
		return 0;
	/* It may be stopped by another of our threads, for a call of its own. */
	if (super_trace_attach_other(c, tid))
		return 0;
	if (super_trace_wait() != tid)
		return 0;
	open_stopped(tid);
	super_trace_detach(tid, 0);
	return 0;
}

static void open_in_stop(struct super_call *c, pid_t tid, void *ctx)
{
	struct mask_change none = { .how = SIG_BLOCK };

	(void)ctx;
	mask_in_stop(c, tid, &none);
}

long super_signals_mmap(struct super_call *c)
{
	struct super_proc *p = super_call_proc(c);
	pid_t tid = (pid_t)c->n->pid;
	uint64_t blocked;

	if (!p)
		return -ESRCH;
	if (!atomic_exchange(&p->devices, true)) {
		atomic_fetch_add(&c->s->device_procs, 1);
		if (c->s->tracer)
			super_tracer_others(c, open_stopped);
		else if (c->s->inject)
			super_proc_threads(p->tgid, open_other, c);
	}
	if (c->s->inject && super_proc_status(tid, "SigBlk", 16, &blocked) == 0 && (blocked & OPEN_SIGNALS))
		return super_call_in_stop(c, &(struct super_in_stop){ .val = SUPER_CONTINUE, .fn = open_in_stop });
	return SUPER_CONTINUE;
}
