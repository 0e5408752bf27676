/* SPDX-License-Identifier: MIT */
/* What the tracer (tracer.c), the threads it knows (tracee.c), its workers (tracejobs.c, traceask.c) share. */
#ifndef UVFIO_FRONT_SUPERVISOR_TRACER_PRIV_H
#define UVFIO_FRONT_SUPERVISOR_TRACER_PRIV_H

#include "front/supervisor/tracer.h"

#define TRACER_BUCKETS 256

struct job;

/* A thread of a program. The tracer's own. */
struct tracee {
	LIST_ENTRY(tracee) link;
	struct super_redirect r; /* its numbers, and the call it is in */
	struct job *job;         /* it is stopped at a call that is being answered */
	void (*todo)(pid_t tid); /* at its next stop */
	bool syscalls;           /* stop at each call */
	bool execed;             /* a new image, in which the stub is still to be put */
	bool left;               /* its call has been skipped or done: it stands at the end of it */
	bool pass;               /* it makes the call once more, and that is let pass */
	bool lost;               /* not in the stop it is thought to be in; the news is among the deferred */
	bool interrupt;          /* a group stop was passed over */
};

/* One call. */
struct job {
	TAILQ_ENTRY(job) link; /* [lock] */
	struct super_call c;
	struct seccomp_notif n;
	struct tracee *t;      /* the tracer's own; NULL: answered, or gone */
	atomic_bool gone;
};

/* What a worker wants done. On its stack. */
struct request {
	TAILQ_ENTRY(request) link; /* [lock] */
	struct job *job;
	long (*fn)(struct super_tracer *tr, struct job *j, void *ctx);
	void *ctx;
	long result;
	bool taken, done;      /* [lock] */
	struct cond cond;
};

struct deferred {
	STAILQ_ENTRY(deferred) link;
	pid_t tid;
	int status;
};

struct worker {
	LIST_ENTRY(worker) link; /* [lock] */
	struct super_tracer *tr;
	struct thread thread;
	bool ended;            /* [lock] may be joined */
};

struct super_tracer {
	struct super *s;
	pid_t program;         /* [I] */
	struct thread thread;
	pid_t tid;             /* [lock] */
	struct mutex lock;     /* RANK_SUPER_POOL */
	struct cond asked;     /* the tracer, when it has nobody to wait for, and whoever starts and stops it */
	struct cond wanted;    /* workers wait for jobs, and the stopper for workers */
	TAILQ_HEAD(, request) requests; /* [lock] */
	TAILQ_HEAD(, job) jobs; /* [lock] */
	LIST_HEAD(, worker) workers; /* [lock] */
	unsigned njobs, idle, nworkers; /* [lock] */
	bool attached;         /* [lock] rc is valid */
	bool waiting;          /* [lock] the tracer is in waitpid, or nearly */
	bool empty;            /* [lock] no program is left */
	bool stop;             /* [lock] workers end */
	bool over, ended;      /* [lock] the tracer is to end; has ended */
	int rc;                /* [lock] of attaching */
	uint64_t serial;       /* the tracer's own, as all below */
	struct super_patience patience;
	unsigned answered;     /* calls that are being: tracees with a job */
	STAILQ_HEAD(, deferred) deferred;
	LIST_HEAD(, tracee) tracees[TRACER_BUCKETS];
};

extern _Thread_local struct super_tracer *super_tracer_self; /* in the tracer; tracer.c */

/* tracee.c, of the tracer alone */
#define FOR_EACH_TRACEE(tr, t)                    \
	for (unsigned i_ = 0; i_ < TRACER_BUCKETS; i_++) \
		LIST_FOREACH(t, &(tr)->tracees[i_], link)

/** super_tracee_find - the thread of that number, if it has ever stopped */
struct tracee *super_tracee_find(struct super_tracer *tr, pid_t tid);
/** super_tracee_create - a thread that is not known yet; NULL: no memory */
struct tracee *super_tracee_create(struct super_tracer *tr, pid_t tid);
/** super_tracee_drop - forget it; its job, if it has one, is lost */
void super_tracee_drop(struct super_tracer *tr, struct tracee *t);
/** super_tracees_forget - all of them, and all news that was put aside */
void super_tracees_forget(struct super_tracer *tr);
/** super_tracee_job_lost - nothing that is asked for its job from now on does anything */
void super_tracee_job_lost(struct super_tracer *tr, struct tracee *t);
/** super_tracee_syscalls - all threads of the process of @of stop at each call, or not any more */
void super_tracee_syscalls(struct super_tracer *tr, struct tracee *of, bool on);
/** super_tracee_resume - let a stopped thread go on, after what it was to do at its stop; @sig: with that signal, or 0 */
void super_tracee_resume(struct tracee *t, int sig);
/** super_tracee_dies - thread @tid stands at its end */
void super_tracee_dies(struct super_tracer *tr, pid_t tid);
/** super_tracee_put_aside - news of one that is not waited for */
void super_tracee_put_aside(struct super_tracer *tr, pid_t tid, int status);
/** super_tracee_wait - wait for one thread's next stop. Return: @tid; -1 it does not come: it is gone, or lost */
pid_t super_tracee_wait(pid_t tid, int *status);
/** super_tracee_set_result - of the call it is at the end of, or skips */
void super_tracee_set_result(pid_t tid, long val);
/** super_tracee_skip_call - the call it stands at is not made */
void super_tracee_skip_call(pid_t tid);

/* tracejobs.c */
/** super_tracer_job - have a worker run the handler of a call */
void super_tracer_job(struct super_tracer *tr, struct job *j);
/** super_tracer_end_workers_locked - wait for all jobs to be done, and all workers gone */
void super_tracer_end_workers_locked(struct super_tracer *tr);

#endif
