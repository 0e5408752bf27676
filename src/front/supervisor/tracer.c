/* SPDX-License-Identifier: MIT */
/*
 * Tracing instead of notification. A process may be under one seccomp filter with a listener at most; where the
 * host has put one above us (a container manager), the filter of the programs says SECCOMP_RET_TRACE and
 * ptrace does the rest: slower, but the same handlers answer the same calls.
 *
 * ptrace belongs to one thread, the tracer. It waits for stops of all threads of all programs. The stop of a call makes
 * a job; a worker runs the handler while the caller stays stopped, so a handler that blocks delays nobody else. What
 * has to be done to the caller, the worker asks of the tracer (traceask.c): a signal gets it out of waitpid(2).
 *
 *	answer      the call is skipped (orig_rax -1), rax is the answer
 *	descriptor  the caller leaves its call (skipped), and in the stop at the end of it runs system calls that open
 *	            /proc/PID/fd/N of ours and give it the number; then the answer goes into rax
 *	in a stop   in the stop at the end of the call
 *	exec        the stub is put in at the end of the call (inject.c)
 *	redirected  attributes on low numbers (window.c): their process is continued from call to call
 *
 * While the tracer waits for one thread (tracee.c), stops of others are put aside: also the end of the other threads of a
 * process, without which the end of its first thread would not be told.
 *
 * A thread that dies or execs under a job's hands loses it: whatever is asked for the job then does nothing. It stops
 * once more before it dies, so what meant the call it was in lets it go on dying, and not the thread that an exec gives
 * its number to. All programs die with this process (PTRACE_O_EXITKILL).
 *
 * Programs cannot trace each other in this mode. A child made with CLONE_UNTRACED gets ENOSYS for what should come here.
 */
#include "front/supervisor/tracer_priv.h"
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define OPTIONS                                                                                                   \
	(PTRACE_O_TRACESECCOMP | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | \
	 PTRACE_O_TRACEEXIT | PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL)

_Thread_local struct super_tracer *super_tracer_self;

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
		super_tracee_put_aside(tr, tid, status);
	return true;
}

static void call_stopped(struct super_tracer *tr, struct tracee *t)
{
	struct __ptrace_syscall_info info;
	struct job *j;

	if (t->pass) {
		t->pass = false;
		super_tracee_resume(t, 0);
		return;
	}
	if (ptrace(PTRACE_GET_SYSCALL_INFO, t->r.tid, sizeof(info), &info) <= 0 || info.op != PTRACE_SYSCALL_INFO_SECCOMP)
		return; /* it is being killed */
	if (asks_for_children(tr, (long)info.seccomp.nr)) {
		super_tracee_resume(t, 0);
		return;
	}
	j = calloc(1, sizeof(*j));
	if (!j) {
		super_tracee_skip_call(t->r.tid);
		super_tracee_set_result(t->r.tid, -ENOMEM);
		super_tracee_resume(t, 0);
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
	old = former && (pid_t)former != t->r.tid ? super_tracee_find(tr, (pid_t)former) : NULL;
	if (old) {
		t->syscalls |= old->syscalls;
		super_tracee_drop(tr, old);
	}
	super_tracee_job_lost(tr, t);
	t->r = (struct super_redirect){ .tid = t->r.tid, .tgid = t->r.tgid, .nr = SYS_execve };
	t->todo = NULL;
	t->pass = false;
	t->execed = true;
	if (p)
		super_proc_execed(p);
	super_proc_put(p);
	super_tracee_resume(t, 0);
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
			super_tracee_syscalls(tr, t, false);
	} else if (t->syscalls && !super_redirect_left(tr->s, &t->r)) {
		super_tracee_syscalls(tr, t, false);
	}
	super_tracee_resume(t, 0);
}

static void stopped(struct super_tracer *tr, pid_t tid, int status)
{
	struct tracee *t = super_tracee_find(tr, tid);
	int event = status >> 16, sig = WSTOPSIG(status);

	if (!WIFSTOPPED(status)) {
		if (t)
			super_tracee_drop(tr, t);
		return;
	}
	if (!t && !(t = super_tracee_create(tr, tid))) {
		kill(tid, SIGKILL);
		return;
	}
	t->lost = false;
	if (event == PTRACE_EVENT_EXIT) {
		super_tracee_dies(tr, tid);
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
		super_tracee_resume(t, event == 0 ? sig : 0);
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
		super_tracees_forget(tr);
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
		super_tracee_job_lost(tr, t);
		if (!t->left)
			super_tracee_skip_call(t->r.tid);
		super_tracee_set_result(t->r.tid, -EINTR);
		super_tracee_resume(t, 0);
	}
}

static int attach(struct super_tracer *tr)
{
	if (ptrace(PTRACE_SEIZE, tr->program, 0, OPTIONS) < 0)
		return -errno;
	return super_tracee_create(tr, tr->program) ? 0 : -ENOMEM;
}

static void tracer_main(void *arg)
{
	struct super_tracer *tr = arg;
	int status, rc = attach(tr);
	sigset_t wake;
	pid_t tid;

	super_tracer_self = tr;
	super_trace_wait_by(super_tracee_wait);
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
	super_tracees_forget(tr);
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
