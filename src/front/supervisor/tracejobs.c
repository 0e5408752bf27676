/* SPDX-License-Identifier: MIT */
/* The workers of the tracer: each runs the handler of one stopped call at a time; there are as many as calls that wait. */
#include "front/supervisor/tracer_priv.h"

#define SPARE 3 /* idle workers kept */

static struct job *job_next(struct super_tracer *tr)
{
	struct job *j;

	SCOPED_LOCK(&tr->lock);
	while (TAILQ_EMPTY(&tr->jobs) && !tr->stop) {
		if (tr->idle >= SPARE)
			return NULL;
		tr->idle++;
		cond_wait(&tr->wanted, &tr->lock);
		tr->idle--;
	}
	j = TAILQ_FIRST(&tr->jobs);
	if (j) {
		TAILQ_REMOVE(&tr->jobs, j, link);
		tr->njobs--;
	}
	return j;
}

static void worker_main(void *arg)
{
	struct worker *w = arg;
	struct super_tracer *tr = w->tr;
	struct job *j;

	while ((j = job_next(tr))) {
		super_call_answer(&j->c);
		free(j);
	}
	SCOPED_LOCK(&tr->lock);
	w->ended = true;
	tr->nworkers--;
	cond_broadcast(&tr->wanted);
}

static void reap_workers_locked(struct super_tracer *tr)
{
	struct worker *w = LIST_FIRST(&tr->workers), *next;

	for (; w; w = next) {
		next = LIST_NEXT(w, link);
		if (!w->ended)
			continue;
		LIST_REMOVE(w, link);
		thread_join(&w->thread);
		free(w);
	}
}

/* Without a new worker the job waits for an old one. */
static void worker_start_locked(struct super_tracer *tr)
{
	struct worker *w = calloc(1, sizeof(*w));

	reap_workers_locked(tr);
	if (!w)
		return;
	w->tr = tr;
	if (thread_start(&w->thread, "uvfio-call", worker_main, w)) {
		free(w);
		return;
	}
	LIST_INSERT_HEAD(&tr->workers, w, link);
	tr->nworkers++;
}

void super_tracer_job(struct super_tracer *tr, struct job *j)
{
	SCOPED_LOCK(&tr->lock);
	TAILQ_INSERT_TAIL(&tr->jobs, j, link);
	if (++tr->njobs > tr->idle)
		worker_start_locked(tr);
	cond_signal(&tr->wanted);
}

void super_tracer_end_workers_locked(struct super_tracer *tr)
{
	tr->stop = true;
	cond_broadcast(&tr->wanted);
	while (tr->nworkers > 0)
		cond_wait(&tr->wanted, &tr->lock);
	reap_workers_locked(tr);
}
