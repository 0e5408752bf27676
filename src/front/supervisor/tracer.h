/* SPDX-License-Identifier: MIT */
/* The fallback of notification: tracing. What notify.c, trace.c and others ask of it when super.tracer is set. */
#ifndef UVFIO_FRONT_SUPERVISOR_TRACER_H
#define UVFIO_FRONT_SUPERVISOR_TRACER_H

#include "front/supervisor/priv.h"
#include <time.h>

/**
 * super_tracer_start - trace @program, which waits to be told to go on, and all that it will start
 * Sets s->tracer. Return: 0; -EPERM the host does not allow it
 */
int super_tracer_start(struct super *s, pid_t program);
/** super_tracer_stop - no program is left: end all threads */
void super_tracer_stop(struct super *s);
/** super_tracer_idle - has the last traced program ended? */
bool super_tracer_idle(struct super *s);

/* As super_call_*() of priv.h. */
int super_tracer_send(struct super_call *c, long val);
bool super_tracer_valid(struct super_call *c);
int super_tracer_addfd(struct super_call *c, int fd, int at, int oflags);
long super_tracer_in_stop(struct super_call *c, long val, void (*fn)(struct super_call *c, pid_t tid, void *ctx), void *ctx);
/** super_tracer_within - the caller's call is done, but for its answer: run @fn there. Its result; -ESRCH */
long super_tracer_within(struct super_call *c, long (*fn)(pid_t tid, void *ctx), void *ctx);
/** super_tracer_others - run @fn on each other thread of the calling process, in a stop that comes before its next step */
void super_tracer_others(struct super_call *c, void (*fn)(pid_t tid));
/** super_tracer_redirect - the calling process may have low descriptors that are attributes: look at all its calls */
void super_tracer_redirect(struct super_call *c);

/**
 * super_trace_addfd - tracefd.c: in a stopped thread at the end of a call: a descriptor for what @fd is here
 * @at: the number; -1: the lowest free. Return: the number; -ESRCH it is gone; -errno
 */
long super_trace_addfd(pid_t tid, int fd, int at, int oflags);

/* tracewait.c: how long to wait for a thread. Of the tracer's thread, in which SIGRTMAX only interrupts. */
struct super_patience {
	timer_t timer;
	bool set;        /* there is a timer; else a wait is for ever */
	bool ticking;
	pid_t tid;
	unsigned looks;  /* at which it slept */
	uint64_t next;   /* ms */
};
int super_patience_init(struct super_patience *p);
void super_patience_fini(struct super_patience *p);
/** super_patience_tick - from now on calls are interrupted now and then, or not any more */
void super_patience_tick(struct super_patience *p, bool on);
/** super_patience_ticked - is it time for a look? */
bool super_patience_ticked(struct super_patience *p);
/** super_patience_begin - a wait for a thread: ticks */
void super_patience_begin(struct super_patience *p, pid_t tid);
/** super_patience_over - has it slept for too long? To be asked after each call that may have been interrupted */
bool super_patience_over(struct super_patience *p);

/** super_trace_doomed - has a stopped thread a signal that ends it as soon as it goes on? */
bool super_trace_doomed(pid_t tid);

#endif
