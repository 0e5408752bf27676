/* SPDX-License-Identifier: MIT */
/*
 * Callers that are stopped before their call is answered, so that system calls can be run in them on which the answer
 * depends. A caller that waits for its notification cannot be stopped. So it is seized and interrupted, and given some
 * answer; then it stops on its way back to user mode, having seen nothing yet, and stays there while the handler goes
 * on. The real answer is put into its registers when it is known (super_call_send), and it is let go.
 *
 * It is traced by the handler's thread meanwhile, and other threads of ours that want to stop it wait (trace.c). One that
 * was faster waits for the answer: then the call is to fail, and is made again. Where a debugger traces it, or a window
 * (window.c), it cannot be stopped so.
 *
 * Under the tracer it is simply left at the end of its call.
 */
#include "front/supervisor/tracer.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

static pid_t tid_of(const struct super_call *c)
{
	return (pid_t)c->n->pid;
}

/* -EPERM may be over when it is asked why. */
static int attach(struct super_call *c)
{
	int rc = super_trace_attach(tid_of(c), 0);

	if (rc == -EPERM && !super_trace_taken(c))
		rc = super_trace_attach(tid_of(c), 0);
	if (rc == -EPERM && super_trace_taken(c))
		return -TASK_RESTART;
	return rc && rc != -ESRCH ? -EOPNOTSUPP : rc;
}

/*
 * Stop it. What it is to be given is given between its being seized and its answer: before, it might turn out that it
 * cannot be stopped, and thus not be made to close it.
 */
static int stop(struct super_call *c, int give)
{
	struct super_proc *p = super_call_proc(c);
	int rc, at;

	if (!p)
		return -ESRCH;
	if (!c->s->inject || super_window_owns(p))
		return -EOPNOTSUPP;
	super_call_may_block(c);
	rc = attach(c);
	if (rc)
		return rc;
	at = super_fd_install(c, give, 0, 0, O_CLOEXEC);
	/* Once the answer is taken, it is the caller that was seized, not one that has got its number since. */
	rc = super_call_send(c, 0);
	if (super_trace_wait() != tid_of(c))
		return -ESRCH;
	if (rc) {
		super_trace_detach(tid_of(c), 0);
		return -ESRCH;
	}
	c->stopped = true;
	c->given = give;
	c->given_at = at < 0 ? -1 : at;
	return 0;
}

static void take_back(pid_t tid, int at)
{
	const uint64_t args[6] = { (uint64_t)at };

	super_trace_call_quiet(tid, SYS_close, args);
}

int super_stop_answer(struct super_call *c, long val)
{
	pid_t tid = tid_of(c);
	bool there;

	if (c->given_at >= 0)
		take_back(tid, c->given_at);
	there = super_stop_valid(c);
	super_trace_result(tid, val == SUPER_CONTINUE ? -ENOTTY : val); /* the host knows none of the calls that stop */
	c->stopped = false;
	super_trace_detach(tid, 0);
	return there ? 0 : -ENOENT;
}

bool super_stop_valid(struct super_call *c)
{
	errno = 0;
	ptrace(PTRACE_PEEKUSER, tid_of(c), 0, 0);
	return errno == 0;
}

/* ---- under the tracer ---- */

struct traced {
	int give;
	long (*fn)(pid_t tid, int at, void *ctx);
	void *ctx;
};

static long within_traced(pid_t tid, void *ctx)
{
	const struct traced *w = ctx;
	long rc, at = super_trace_addfd(tid, w->give, -1, O_CLOEXEC);

	if (at < 0)
		return at == -ESRCH ? at : -EOPNOTSUPP;
	rc = w->fn(tid, (int)at, w->ctx);
	if (rc != -ESRCH)
		take_back(tid, (int)at);
	return rc;
}

long super_call_within(struct super_call *c, int give, long (*fn)(pid_t tid, int at, void *ctx), void *ctx)
{
	struct traced w = { give, fn, ctx };
	int rc;

	if (c->s->tracer)
		return c->s->inject ? super_tracer_within(c, within_traced, &w) : -EOPNOTSUPP;
	rc = c->stopped ? 0 : stop(c, give);
	if (rc)
		return rc;
	return c->given == give && c->given_at >= 0 ? fn(tid_of(c), c->given_at, ctx) : -EOPNOTSUPP;
}
