/* SPDX-License-Identifier: MIT */
/*
 * What workers ask of the tracer, as ptrace belongs to its thread: each question is a function that runs there, between two
 * stops, while the worker waits for its result. The tracer sleeps in waitpid(2), out of which a signal gets it.
 *
 * The caller of the job a question is about may be gone by then, or lost. Then nothing is done.
 */
#include "front/supervisor/tracer_priv.h"
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <unistd.h>

static long ask(struct super_call *c, long (*fn)(struct super_tracer *tr, struct job *j, void *ctx), void *ctx)
{
	struct super_tracer *tr = c->s->tracer;
	struct request q = { .job = container_of(c, struct job, c), .fn = fn, .ctx = ctx };

	if (super_tracer_self)
		return fn(tr, q.job, ctx);
	cond_init(&q.cond);
	mutex_lock(&tr->lock);
	TAILQ_INSERT_TAIL(&tr->requests, &q, link);
	cond_broadcast(&tr->asked);
	while (!q.done) {
		if (q.taken) {
			cond_wait(&q.cond, &tr->lock);
			continue;
		}
		/* A signal that comes just before the tracer sleeps is lost, so there may have to be another. */
		if (tr->waiting)
			syscall(SYS_tgkill, getpid(), tr->tid, SIGRTMAX);
		cond_wait_ms(&q.cond, &tr->lock, 1);
	}
	mutex_unlock(&tr->lock);
	cond_fini(&q.cond);
	return q.result;
}

/* Go to the end of the call, doing it or not. */
static int leave(struct tracee *t, bool perform)
{
	int status;

	if (t->left)
		return 0;
	if (!perform)
		super_tracee_skip_call(t->r.tid);
	do {
		if (ptrace(PTRACE_SYSCALL, t->r.tid, 0, 0) < 0 || super_tracee_wait(t->r.tid, &status) < 0)
			return -ESRCH;
	} while (status >> 8 != (SIGTRAP | 0x80));
	t->left = true;
	return 0;
}

/* The end of a call in a process whose calls are all looked at: super_tracee_resume() would pass over it. */
static void left_redirected(struct super_tracer *tr, struct tracee *t)
{
	if (t->left && t->syscalls && !t->lost && !super_redirect_left(tr->s, &t->r))
		super_tracee_syscalls(tr, t, false);
}

static struct tracee *job_take(struct super_tracer *tr, struct job *j)
{
	struct tracee *t = j->t;

	if (t) {
		t->job = NULL;
		tr->answered--;
	}
	j->t = NULL;
	return t;
}

static long do_send(struct super_tracer *tr, struct job *j, void *ctx)
{
	struct tracee *t = job_take(tr, j);
	struct user_regs_struct r;
	long val = *(long *)ctx;

	if (!t || t->lost)
		return -ENOENT;
	if (val == SUPER_CONTINUE && t->left) {
		if (ptrace(PTRACE_GETREGS, t->r.tid, 0, &r) == 0) {
			r.rip -= 2;
			r.rax = (uint64_t)j->n.data.nr;
			t->pass = ptrace(PTRACE_SETREGS, t->r.tid, 0, &r) == 0;
		}
	} else if (val != SUPER_CONTINUE) {
		if (!t->left)
			super_tracee_skip_call(t->r.tid);
		left_redirected(tr, t);
		super_tracee_set_result(t->r.tid, val);
	}
	super_tracee_resume(t, 0);
	return 0;
}

int super_tracer_send(struct super_call *c, long val)
{
	return (int)ask(c, do_send, &val);
}

bool super_tracer_valid(struct super_call *c)
{
	return !atomic_load(&container_of(c, struct job, c)->gone);
}

/* ---- descriptors ---- */

struct addfd {
	int fd, at, oflags;
};

static long do_addfd(struct super_tracer *tr, struct job *j, void *ctx)
{
	const struct addfd *a = ctx;
	struct tracee *t = j->t;
	long n;

	if (!t || t->lost || leave(t, false))
		return -ENOENT;
	n = super_trace_addfd(t->r.tid, a->fd, a->at, a->oflags);
	return t->lost ? -ENOENT : n;
}

int super_tracer_addfd(struct super_call *c, int fd, int at, int oflags)
{
	struct addfd a = { fd, at, oflags };

	return (int)ask(c, do_addfd, &a);
}

/* ---- in a stop ---- */

struct in_stop {
	long val;
	void (*fn)(struct super_call *c, pid_t tid, void *ctx);
	void *ctx;
};

static long do_in_stop(struct super_tracer *tr, struct job *j, void *ctx)
{
	const struct in_stop *s = ctx;
	struct tracee *t = j->t;

	if (t && !t->lost && leave(t, s->val == SUPER_CONTINUE) == 0) {
		if (s->val != SUPER_CONTINUE)
			super_tracee_set_result(t->r.tid, s->val);
		left_redirected(tr, t);
		s->fn(&j->c, t->r.tid, s->ctx);
	}
	t = job_take(tr, j); /* NULL: lost meanwhile */
	if (t)
		super_tracee_resume(t, 0);
	return 0;
}

long super_tracer_in_stop(struct super_call *c, long val, void (*fn)(struct super_call *c, pid_t tid, void *ctx), void *ctx)
{
	struct in_stop s = { val, fn, ctx };

	ask(c, do_in_stop, &s);
	return SUPER_DONE;
}

struct within {
	long (*fn)(pid_t tid, void *ctx);
	void *ctx;
};

static long do_within(struct super_tracer *tr, struct job *j, void *ctx)
{
	const struct within *w = ctx;
	struct tracee *t = j->t;
	long rc;

	if (!t || t->lost || leave(t, false))
		return -ESRCH;
	rc = w->fn(t->r.tid, w->ctx);
	return t->lost ? -ESRCH : rc;
}

long super_tracer_within(struct super_call *c, long (*fn)(pid_t tid, void *ctx), void *ctx)
{
	struct within w = { fn, ctx };

	return ask(c, do_within, &w);
}

struct others {
	void (*fn)(pid_t tid);
};

static long do_others(struct super_tracer *tr, struct job *j, void *ctx)
{
	const struct others *o = ctx;
	struct tracee *t;

	if (!j->t)
		return 0;
	FOR_EACH_TRACEE(tr, t) {
		if (t == j->t || t->r.tgid != j->t->r.tgid)
			continue;
		t->todo = o->fn;
		ptrace(PTRACE_INTERRUPT, t->r.tid, 0, 0);
	}
	return 0;
}

void super_tracer_others(struct super_call *c, void (*fn)(pid_t tid))
{
	struct others o = { fn };

	ask(c, do_others, &o);
}

static long do_redirect(struct super_tracer *tr, struct job *j, void *ctx)
{
	(void)ctx;
	if (j->t)
		super_tracee_syscalls(tr, j->t, true);
	return 0;
}

void super_tracer_redirect(struct super_call *c)
{
	ask(c, do_redirect, NULL);
}
