/* SPDX-License-Identifier: MIT */
/*
 * Tracing instead of notification. A process may be under one seccomp filter with a listener at most; where the
 * host has put one above us (a container manager), the filter of the programs says SECCOMP_RET_TRACE and
 * ptrace does the rest: slower, but the same handlers answer the same calls.
 *
 * ptrace belongs to one thread, the tracer. It waits for stops of all threads of all programs. The stop of a call makes
 * a job; a worker runs the handler while the caller stays stopped, so a handler that blocks delays nobody else. What
 * has to be done to the caller, the worker asks of the tracer: a signal gets it out of waitpid(2).
 *
 *	answer      the call is skipped (orig_rax -1), rax is the answer
 *	descriptor  the caller leaves its call (skipped), and in the stop at the end of it runs system calls that open
 *	            /proc/PID/fd/N of ours and give it the number; then the answer goes into rax
 *	in a stop   in the stop at the end of the call
 *	exec        the stub is put in at the end of the call (inject.c)
 *	redirected  attributes on low numbers (window.c): their process is continued from call to call
 *
 * While the tracer waits for one thread, stops of others are put aside: also the end of the other threads of a
 * process, without which the end of its first thread would not be told.
 *
 * A thread that dies or execs under a job's hands loses it: whatever is asked for the job then does nothing. It stops
 * once more before it dies, so what meant the call it was in lets it go on dying, and not the thread that an exec gives
 * its number to. All programs die with this process (PTRACE_O_EXITKILL).
 *
 * Programs cannot trace each other in this mode. A child made with CLONE_UNTRACED gets ENOSYS for what should come here.
 */
#include "front/supervisor/tracer_priv.h"
#include <stddef.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define OPTIONS                                                                                                   \
	(PTRACE_O_TRACESECCOMP | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | \
	 PTRACE_O_TRACEEXIT | PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL)

static _Thread_local struct super_tracer *self; /* in the tracer */

/* ---- threads of programs ---- */

static struct tracee *tracee_find(struct super_tracer *tr, pid_t tid)
{
	struct tracee *t;

	LIST_FOREACH(t, &tr->tracees[(unsigned)tid % TRACER_BUCKETS], link) {
		if (t->r.tid == tid)
			return t;
	}
	return NULL;
}

#define FOR_EACH_TRACEE(tr, t)                    \
	for (unsigned i_ = 0; i_ < TRACER_BUCKETS; i_++) \
		LIST_FOREACH(t, &(tr)->tracees[i_], link)

static bool anybody_redirected(struct super_tracer *tr)
{
	struct tracee *t;

	FOR_EACH_TRACEE(tr, t) {
		if (t->syscalls)
			return true;
	}
	return false;
}

static struct tracee *tracee_create(struct super_tracer *tr, pid_t tid)
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

static void job_lost(struct super_tracer *tr, struct tracee *t)
{
	if (!t->job)
		return;
	atomic_store(&t->job->gone, true);
	t->job->t = NULL;
	t->job = NULL;
	tr->answered--;
}

static void tracee_drop(struct super_tracer *tr, struct tracee *t)
{
	job_lost(tr, t);
	LIST_REMOVE(t, link);
	free(t);
}

static void set_syscalls(struct super_tracer *tr, struct tracee *of, bool on)
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

static void resume(struct tracee *t, int sig)
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
static void dies(struct super_tracer *tr, pid_t tid)
{
	struct tracee *t = tracee_find(tr, tid);
	struct deferred *d, *next;

	for (d = STAILQ_FIRST(&tr->deferred); d; d = next) {
		next = STAILQ_NEXT(d, link);
		if (d->tid != tid)
			continue;
		STAILQ_REMOVE(&tr->deferred, d, deferred, link);
		free(d);
	}
	if (t) {
		job_lost(tr, t);
		t->todo = NULL;
		t->lost = true; /* until it, or who gets its number, stops again */
	}
	ptrace(PTRACE_CONT, tid, 0, 0);
}

/* News of one that is not waited for. */
static void put_aside(struct super_tracer *tr, pid_t tid, int status)
{
	if (status >> 16 == PTRACE_EVENT_EXIT)
		dies(tr, tid);
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
			put_aside(tr, got, *status);
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

/* Wait for one thread's next stop, for trace.c and for us. */
static pid_t wait_for(pid_t tid, int *status)
{
	struct tracee *t = tracee_find(self, tid);
	int event;
	pid_t got;

	super_patience_begin(&self->patience, tid);
	got = next_of(self, tid, status);
	if (got == 0)
		give_up(self, t, tid);
	if (got <= 0)
		return -1;
	event = *status >> 16;
	if (!WIFSTOPPED(*status) || event == PTRACE_EVENT_EXEC) {
		defer(self, tid, *status);
		if (t)
			t->lost = true;
		return -1;
	}
	if (t && event == PTRACE_EVENT_STOP && WSTOPSIG(*status) != SIGTRAP)
		t->interrupt = true;
	return tid;
}

/* ---- what workers ask ---- */

static long ask(struct super_call *c, long (*fn)(struct super_tracer *tr, struct job *j, void *ctx), void *ctx)
{
	struct super_tracer *tr = c->s->tracer;
	struct request q = { .job = container_of(c, struct job, c), .fn = fn, .ctx = ctx };

	if (self)
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

static void set_result(pid_t tid, long val)
{
	ptrace(PTRACE_POKEUSER, tid, offsetof(struct user_regs_struct, rax), val);
}

static void skip_call(pid_t tid)
{
	ptrace(PTRACE_POKEUSER, tid, offsetof(struct user_regs_struct, orig_rax), -1L);
}

/* Go to the end of the call, doing it or not. */
static int leave(struct tracee *t, bool perform)
{
	int status;

	if (t->left)
		return 0;
	if (!perform)
		skip_call(t->r.tid);
	do {
		if (ptrace(PTRACE_SYSCALL, t->r.tid, 0, 0) < 0 || wait_for(t->r.tid, &status) < 0)
			return -ESRCH;
	} while (status >> 8 != (SIGTRAP | 0x80));
	t->left = true;
	return 0;
}

/* The end of a call in a process whose calls are all looked at: resume() would pass over it. */
static void left_redirected(struct super_tracer *tr, struct tracee *t)
{
	if (t->left && t->syscalls && !t->lost && !super_redirect_left(tr->s, &t->r))
		set_syscalls(tr, t, false);
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
			skip_call(t->r.tid);
		left_redirected(tr, t);
		set_result(t->r.tid, val);
	}
	resume(t, 0);
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
			set_result(t->r.tid, s->val);
		left_redirected(tr, t);
		s->fn(&j->c, t->r.tid, s->ctx);
	}
	t = job_take(tr, j); /* NULL: lost meanwhile */
	if (t)
		resume(t, 0);
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
		set_syscalls(tr, j->t, true);
	return 0;
}

void super_tracer_redirect(struct super_call *c)
{
	ask(c, do_redirect, NULL);
}

/* ---- stops ---- */

/*
 * The kernel tells the end of a process to its tracer, and only then to its parent; but a pidfd is ready at once. So who
 * is told by that, and asks without waiting, would be told that there is nobody (WNOHANG: 0). All ends that there
 * are by now are taken first.
 */
static bool asks_for_children(struct super_tracer *tr, long nr)
{
	int status;
	pid_t tid;

	if (nr != SYS_wait4 && nr != SYS_waitid)
		return false;
	while ((tid = waitpid(-1, &status, __WALL | __WNOTHREAD | WNOHANG)) > 0)
		put_aside(tr, tid, status);
	return true;
}

static void call_stopped(struct super_tracer *tr, struct tracee *t)
{
	struct __ptrace_syscall_info info;
	struct job *j;

	if (t->pass) {
		t->pass = false;
		resume(t, 0);
		return;
	}
	if (ptrace(PTRACE_GET_SYSCALL_INFO, t->r.tid, sizeof(info), &info) <= 0 || info.op != PTRACE_SYSCALL_INFO_SECCOMP)
		return; /* it is being killed */
	if (asks_for_children(tr, (long)info.seccomp.nr)) {
		resume(t, 0);
		return;
	}
	j = calloc(1, sizeof(*j));
	if (!j) {
		skip_call(t->r.tid);
		set_result(t->r.tid, -ENOMEM);
		resume(t, 0);
		return;
	}
	j->n.id = ++tr->serial;
	j->n.pid = (uint32_t)t->r.tid;
	j->n.data.nr = (int)info.seccomp.nr;
	j->n.data.arch = info.arch;
	j->n.data.instruction_pointer = info.instruction_pointer;
	for (unsigned i = 0; i < ARRAY_SIZE(j->n.data.args); i++)
		j->n.data.args[i] = info.seccomp.args[i];
	j->c.s = tr->s;
	j->c.n = &j->n;
	j->t = t;
	t->job = j;
	tr->answered++;
	t->r.nr = (long)info.seccomp.nr;
	super_tracer_job(tr, j);
}

/* The thread that called exec has got the number of the process's first. */
static void exec_stopped(struct super_tracer *tr, struct tracee *t)
{
	struct super_proc *p = super_proc_of(tr->s, t->r.tid);
	unsigned long former = 0;
	struct tracee *old;

	ptrace(PTRACE_GETEVENTMSG, t->r.tid, 0, &former);
	old = former && (pid_t)former != t->r.tid ? tracee_find(tr, (pid_t)former) : NULL;
	if (old) {
		t->syscalls |= old->syscalls;
		tracee_drop(tr, old);
	}
	job_lost(tr, t);
	t->r = (struct super_redirect){ .tid = t->r.tid, .tgid = t->r.tgid, .nr = SYS_execve };
	t->todo = NULL;
	t->pass = false;
	t->execed = true;
	if (p)
		super_proc_execed(p);
	super_proc_put(p);
	resume(t, 0);
}

static void syscall_stopped(struct super_tracer *tr, struct tracee *t)
{
	struct __ptrace_syscall_info info;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, t->r.tid, sizeof(info), &info) <= 0)
		return;
	if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
		if (t->syscalls)
			super_redirect_entered(tr->s, &t->r);
	} else if (t->execed) {
		t->execed = false;
		if (tr->s->inject)
			super_inject(tr->s, t->r.tid);
		if (t->syscalls && !super_redirect_any(tr->s, t->r.tgid))
			set_syscalls(tr, t, false);
	} else if (t->syscalls && !super_redirect_left(tr->s, &t->r)) {
		set_syscalls(tr, t, false);
	}
	resume(t, 0);
}

static void stopped(struct super_tracer *tr, pid_t tid, int status)
{
	struct tracee *t = tracee_find(tr, tid);
	int event = status >> 16, sig = WSTOPSIG(status);

	if (!WIFSTOPPED(status)) {
		if (t)
			tracee_drop(tr, t);
		return;
	}
	if (!t && !(t = tracee_create(tr, tid))) {
		kill(tid, SIGKILL);
		return;
	}
	t->lost = false;
	if (event == PTRACE_EVENT_EXIT) {
		dies(tr, tid);
	} else if (event == PTRACE_EVENT_SECCOMP) {
		call_stopped(tr, t);
	} else if (event == PTRACE_EVENT_EXEC) {
		exec_stopped(tr, t);
	} else if (sig == (SIGTRAP | 0x80)) {
		syscall_stopped(tr, t);
	} else if (event == PTRACE_EVENT_STOP && sig != SIGTRAP) {
		if (t->todo)
			t->todo(tid);
		t->todo = NULL;
		ptrace(PTRACE_LISTEN, tid, 0, 0); /* a group stop: SIGCONT ends it */
	} else {
		resume(t, event == 0 ? sig : 0);
	}
}

/* ---- the tracer ---- */

static void serve_locked(struct super_tracer *tr)
{
	struct request *q;

	while ((q = TAILQ_FIRST(&tr->requests))) {
		TAILQ_REMOVE(&tr->requests, q, link);
		q->taken = true;
		mutex_unlock(&tr->lock);
		q->result = q->fn(tr, q->job, q->ctx);
		mutex_lock(&tr->lock);
		q->done = true;
		cond_signal(&q->cond);
	}
}

static void forget_all(struct super_tracer *tr)
{
	struct deferred *d;
	struct tracee *t;

	for (unsigned i = 0; i < TRACER_BUCKETS; i++) {
		while ((t = LIST_FIRST(&tr->tracees[i])))
			tracee_drop(tr, t);
	}
	while ((d = STAILQ_FIRST(&tr->deferred))) {
		STAILQ_REMOVE_HEAD(&tr->deferred, link);
		free(d);
	}
}

/* What is to be done before the next stop is looked at. False: the run is over. */
static bool serve(struct super_tracer *tr)
{
	SCOPED_LOCK(&tr->lock);
	serve_locked(tr);
	while (tr->empty && !tr->over) {
		cond_wait(&tr->asked, &tr->lock);
		serve_locked(tr);
	}
	tr->waiting = STAILQ_EMPTY(&tr->deferred);
	return !tr->over;
}

/* The next stop of anybody. False: there is none yet. */
static bool next_stop(struct super_tracer *tr, pid_t *tid, int *status)
{
	struct deferred *d = STAILQ_FIRST(&tr->deferred);

	if (d) {
		*tid = d->tid;
		*status = d->status;
		STAILQ_REMOVE_HEAD(&tr->deferred, link);
		free(d);
		return true;
	}
	super_patience_tick(&tr->patience, tr->answered);
	*tid = waitpid(-1, status, __WALL | __WNOTHREAD);
	bool none = *tid < 0 && errno == ECHILD;

	mutex_lock(&tr->lock);
	tr->waiting = false;
	tr->empty |= none;
	mutex_unlock(&tr->lock);
	if (none)
		forget_all(tr);
	return *tid > 0;
}

/* Who waits for an answer, and is to die: on with it. Its call goes on without it. */
static void release_doomed(struct super_tracer *tr)
{
	struct tracee *t;

	if (!super_patience_ticked(&tr->patience))
		return;
	FOR_EACH_TRACEE(tr, t) {
		if (!t->job || t->lost || !super_trace_doomed(t->r.tid))
			continue;
		job_lost(tr, t);
		if (!t->left)
			skip_call(t->r.tid);
		set_result(t->r.tid, -EINTR);
		resume(t, 0);
	}
}

static int attach(struct super_tracer *tr)
{
	if (ptrace(PTRACE_SEIZE, tr->program, 0, OPTIONS) < 0)
		return -errno;
	return tracee_create(tr, tr->program) ? 0 : -ENOMEM;
}

static void tracer_main(void *arg)
{
	struct super_tracer *tr = arg;
	int status, rc = attach(tr);
	sigset_t wake;
	pid_t tid;

	self = tr;
	super_trace_wait_by(wait_for);
	mutex_lock(&tr->lock);
	tr->tid = (pid_t)syscall(SYS_gettid);
	tr->attached = true;
	tr->rc = rc;
	cond_broadcast(&tr->asked);
	mutex_unlock(&tr->lock);
	sigemptyset(&wake);
	sigaddset(&wake, SIGRTMAX);
	sigprocmask(SIG_UNBLOCK, &wake, NULL);
	super_patience_init(&tr->patience);
	while (rc == 0 && serve(tr)) {
		if (next_stop(tr, &tid, &status))
			stopped(tr, tid, status);
		release_doomed(tr);
	}
	forget_all(tr);
	super_patience_fini(&tr->patience);
	mutex_lock(&tr->lock);
	tr->ended = true;
	cond_broadcast(&tr->asked);
	mutex_unlock(&tr->lock);
}

static void wake_nothing(int sig)
{
	(void)sig;
}

/* Its thread has ended, or will. */
static void tracer_join(struct super *s)
{
	struct super_tracer *tr = s->tracer;

	s->tracer = NULL;
	thread_join(&tr->thread);
	cond_fini(&tr->wanted);
	cond_fini(&tr->asked);
	mutex_fini(&tr->lock);
	free(tr);
}

int super_tracer_start(struct super *s, pid_t program)
{
	struct sigaction sa = { .sa_handler = wake_nothing };
	struct super_tracer *tr = calloc(1, sizeof(*tr));
	int rc;

	if (!tr)
		return -ENOMEM;
	sigaction(SIGRTMAX, &sa, NULL);
	tr->s = s;
	tr->program = program;
	mutex_init(&tr->lock, RANK_SUPER_POOL);
	cond_init(&tr->asked);
	cond_init(&tr->wanted);
	TAILQ_INIT(&tr->requests);
	TAILQ_INIT(&tr->jobs);
	LIST_INIT(&tr->workers);
	STAILQ_INIT(&tr->deferred);
	rc = thread_start(&tr->thread, "uvfio-tracer", tracer_main, tr);
	if (rc) {
		free(tr);
		return rc;
	}
	s->tracer = tr;
	mutex_lock(&tr->lock);
	while (!tr->attached)
		cond_wait(&tr->asked, &tr->lock);
	rc = tr->rc;
	mutex_unlock(&tr->lock);
	if (rc)
		tracer_join(s);
	return rc;
}

bool super_tracer_idle(struct super *s)
{
	SCOPED_LOCK(&s->tracer->lock);
	return s->tracer->empty;
}

/* Workers may still need the tracer, so it ends last. */
void super_tracer_stop(struct super *s)
{
	struct super_tracer *tr = s->tracer;

	mutex_lock(&tr->lock);
	super_tracer_end_workers_locked(tr);
	tr->over = true;
	cond_broadcast(&tr->asked);
	while (!tr->ended) {
		syscall(SYS_tgkill, getpid(), tr->tid, SIGRTMAX);
		cond_wait_ms(&tr->asked, &tr->lock, 10);
	}
	mutex_unlock(&tr->lock);
	tracer_join(s);
}
