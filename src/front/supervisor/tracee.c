/* SPDX-License-Identifier: MIT */
/*
 * The threads of programs, as the tracer knows them: in which stop each is, what is to be done at its next one, and how it
 * goes on from there. They are known from their first stop to their end. A thread that is waited for may do something else
 * instead of stopping where it should: exec, die, or nothing at all. Then it is lost, until its next news is looked at.
 *
 * Waiting is for one thread (for trace.c, and for traceask.c), but news comes of all. What cannot be looked at now is put
 * aside, in order, for the tracer.
 */
#include "front/supervisor/tracer_priv.h"
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>

struct tracee *super_tracee_find(struct super_tracer *tr, pid_t tid)
{
	struct tracee *t;

	LIST_FOREACH(t, &tr->tracees[(unsigned)tid % TRACER_BUCKETS], link) {
		if (t->r.tid == tid)
			return t;
	}
	return NULL;
}

static bool anybody_redirected(struct super_tracer *tr)
{
	struct tracee *t;

	FOR_EACH_TRACEE(tr, t) {
		if (t->syscalls)
			return true;
	}
	return false;
}

struct tracee *super_tracee_create(struct super_tracer *tr, pid_t tid)
{
	struct tracee *t = calloc(1, sizeof(*t));
	uint64_t tgid;

	if (!t)
		return NULL;
	t->r.tid = tid;
	t->r.tgid = super_proc_status(tid, "Tgid", 10, &tgid) == 0 ? (pid_t)tgid : tid;
	t->syscalls = anybody_redirected(tr) && super_redirect_any(tr->s, t->r.tgid);
	LIST_INSERT_HEAD(&tr->tracees[(unsigned)tid % TRACER_BUCKETS], t, link);
	return t;
}

void super_tracee_job_lost(struct super_tracer *tr, struct tracee *t)
{
	if (!t->job)
		return;
	atomic_store(&t->job->gone, true);
	t->job->t = NULL;
	t->job = NULL;
	tr->answered--;
}

void super_tracee_drop(struct super_tracer *tr, struct tracee *t)
{
	super_tracee_job_lost(tr, t);
	LIST_REMOVE(t, link);
	free(t);
}

void super_tracee_syscalls(struct super_tracer *tr, struct tracee *of, bool on)
{
	struct tracee *t;

	FOR_EACH_TRACEE(tr, t) {
		if (t->r.tgid != of->r.tgid || t->syscalls == on)
			continue;
		t->syscalls = on;
		if (on && t != of)
			ptrace(PTRACE_INTERRUPT, t->r.tid, 0, 0);
	}
}

void super_tracee_resume(struct tracee *t, int sig)
{
	pid_t tid = t->r.tid;

	if (t->lost)
		return;
	if (t->todo)
		t->todo(tid);
	t->todo = NULL;
	if (t->interrupt)
		ptrace(PTRACE_INTERRUPT, tid, 0, 0);
	t->interrupt = false;
	t->left = false;
	ptrace(t->syscalls || t->execed ? PTRACE_SYSCALL : PTRACE_CONT, tid, 0, sig);
}

static void defer(struct super_tracer *tr, pid_t tid, int status)
{
	struct deferred *d = malloc(sizeof(*d));

	if (!d) {
		super_log(tr->s, LOG_ERR, "no memory: thread %d is killed", tid);
		kill(tid, SIGKILL);
		return;
	}
	d->tid = tid;
	d->status = status;
	STAILQ_INSERT_TAIL(&tr->deferred, d, link);
}

/*
 * It stands at its end: let it. What it did before means nothing now, and what it will be asked to do neither. Not put
 * aside, as the end of a process's first thread is not told before those of the others, nor is its exec.
 */
void super_tracee_dies(struct super_tracer *tr, pid_t tid)
{
	struct tracee *t = super_tracee_find(tr, tid);
	struct deferred *d, *next;

	for (d = STAILQ_FIRST(&tr->deferred); d; d = next) {
		next = STAILQ_NEXT(d, link);
		if (d->tid != tid)
			continue;
		STAILQ_REMOVE(&tr->deferred, d, deferred, link);
		free(d);
	}
	if (t) {
		super_tracee_job_lost(tr, t);
		t->todo = NULL;
		t->lost = true; /* until it, or who gets its number, stops again */
	}
	ptrace(PTRACE_CONT, tid, 0, 0);
}

void super_tracee_put_aside(struct super_tracer *tr, pid_t tid, int status)
{
	if (status >> 16 == PTRACE_EVENT_EXIT)
		super_tracee_dies(tr, tid);
	else
		defer(tr, tid, status);
}

/* Its next stop; what others do is put aside. 0: it sleeps, and will go on sleeping */
static pid_t next_of(struct super_tracer *tr, pid_t tid, int *status)
{
	for (;;) {
		pid_t got = waitpid(-1, status, __WALL | __WNOTHREAD);

		if (got == tid && *status >> 16 != PTRACE_EVENT_EXIT)
			return tid;
		if (got < 0 && errno != EINTR)
			return -1;
		if (got > 0)
			super_tracee_put_aside(tr, got, *status);
		if (super_patience_over(&tr->patience))
			return 0;
	}
}

/* Whoever keeps the tracer waiting keeps all programs waiting. It may take its time to die. */
static void give_up(struct super_tracer *tr, struct tracee *t, pid_t tid)
{
	pid_t tgid = t ? t->r.tgid : tid;

	super_log(tr->s, LOG_ERR, "process %d does not come to the end of a call made in its place: it is killed", tgid);
	kill(tgid, SIGKILL);
	if (t)
		t->lost = true;
}

pid_t super_tracee_wait(pid_t tid, int *status)
{
	struct tracee *t = super_tracee_find(super_tracer_self, tid);
	int event;
	pid_t got;

	super_patience_begin(&super_tracer_self->patience, tid);
	got = next_of(super_tracer_self, tid, status);
	if (got == 0)
		give_up(super_tracer_self, t, tid);
	if (got <= 0)
		return -1;
	event = *status >> 16;
	if (!WIFSTOPPED(*status) || event == PTRACE_EVENT_EXEC) {
		defer(super_tracer_self, tid, *status);
		if (t)
			t->lost = true;
		return -1;
	}
	if (t && event == PTRACE_EVENT_STOP && WSTOPSIG(*status) != SIGTRAP)
		t->interrupt = true;
	return tid;
}
void super_tracee_set_result(pid_t tid, long val)
{
	ptrace(PTRACE_POKEUSER, tid, offsetof(struct user_regs_struct, rax), val);
}

void super_tracee_skip_call(pid_t tid)
{
	ptrace(PTRACE_POKEUSER, tid, offsetof(struct user_regs_struct, orig_rax), -1L);
}

void super_tracees_forget(struct super_tracer *tr)
{
	struct deferred *d;
	struct tracee *t;

	for (unsigned i = 0; i < TRACER_BUCKETS; i++) {
		while ((t = LIST_FIRST(&tr->tracees[i])))
			super_tracee_drop(tr, t);
	}
	while ((d = STAILQ_FIRST(&tr->deferred))) {
		STAILQ_REMOVE_HEAD(&tr->deferred, link);
		free(d);
	}
}
