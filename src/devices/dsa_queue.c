/* SPDX-License-Identifier: MIT */
/*
 * The work queues of dsa.c: one ring, in the order of arrival, of which each work queue may take as many entries
 * as it has been given; what finds no room, or its queue disabled, is lost. A short descriptor that finds the
 * device idle is carried out by the store that brings it, sooner than a thread could wake up; all others by the
 * worker. One of them runs at a time (`busy`), without the lock, so everything is done in order: a batch is
 * through before its successor begins.
 */
#include "devices/dsa_priv.h"

#define DSA_INLINE_BYTES (64 * 1024)

static bool dsa_short(const struct dsa *e, const struct dsa_desc *d)
{
	return !e->asks && dsa_opcode(d) != DSA_BATCH && d->size <= DSA_INLINE_BYTES;
}

/* Carry out the first of the ring. Gives the lock up meanwhile; the caller has set busy. */
static void dsa_step_locked(struct dsa *e)
{
	unsigned wq;

	e->job = e->queue[e->head];
	e->head = (e->head + 1) % DSA_ENTRIES;
	e->count--;
	wq = e->job.wq;
	e->running = BIT(wq);
	atomic_store(&e->cancel, false);
	mutex_unlock(&e->lock);
	dsa_execute(e);
	mutex_lock(&e->lock);
	e->running = 0;
	e->queued[wq]--;
	dsa_command_progress_locked(e);
	dsa_mirror_locked(e);
}

static void dsa_run_locked(struct dsa *e, unsigned most)
{
	if (e->busy)
		return;
	e->busy = true;
	for (; e->count && most; most--)
		dsa_step_locked(e);
	e->busy = false;
	cond_broadcast(&e->idle);
	if (e->count)
		pci_worker_kick(e->worker);
}

void dsa_submit_locked(struct dsa *e, unsigned wq, const struct dsa_desc *d)
{
	const uint32_t *config = e->image.wqcfg[wq];
	uint32_t mode = config[DSA_WQ_MODE], limits = config[DSA_WQ_LIMITS];

	if (!dsa_wq_enabled(e, wq) || e->queued[wq] >= (config[DSA_WQ_SIZE] & 0xffff) || e->count == DSA_ENTRIES)
		return;
	e->queue[(e->head + e->count) % DSA_ENTRIES] = (struct dsa_job){
		.desc = *d,
		.wq = wq,
		.pasid = mode & DSA_WQ_PASID_EN ? DSA_WQ_PASID(mode) : 0,
		.opcodes = config[DSA_WQ_OPCODES] & DSA_OPCODES,
		.max_size = BIT(DSA_WQ_XFER(limits)),
		.max_batch = BIT(DSA_WQ_BATCH(limits)),
	};
	e->count++;
	e->queued[wq]++;
	if (e->count == 1 && dsa_short(e, d))
		dsa_run_locked(e, 1);
	else
		pci_worker_kick(e->worker);
}

void dsa_cancel_locked(struct dsa *e, uint32_t wqs)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < e->count; i++) {
		struct dsa_job *job = &e->queue[(e->head + i) % DSA_ENTRIES];

		if (wqs & BIT(job->wq))
			e->queued[job->wq]--;
		else
			e->queue[(e->head + kept++) % DSA_ENTRIES] = *job;
	}
	e->count = kept;
	if (e->running & wqs)
		atomic_store(&e->cancel, true);
}

void dsa_work(void *state)
{
	struct dsa *e = state;

	mutex_lock(&e->lock);
	dsa_run_locked(e, UINT32_MAX);
	mutex_unlock(&e->lock);
}
