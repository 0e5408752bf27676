/* SPDX-License-Identifier: MIT */
/*
 * Running the chain of ioat.c, one descriptor after the other. A driver may read CHANSTS right after its DMACOUNT
 * store, and a short job is done before a thread could even wake up: so the store itself runs the first descriptors
 * (IOAT_INLINE_*), and the worker runs the rest, for no store may keep its caller. One of them runs at a time (`busy`)
 * and the lock is not held over DMA: while a descriptor is carried out other stores go through. Those that end the run
 * (RESET, SUSPEND) take effect at the next descriptor; reset() of the whole function waits for it.
 *
 * After an error the hardware takes its time to run again, and drivers rely on it: DPDK's dma/ioat restarts the
 * channel while it reports the failure, and loses count when a descriptor behind the failed one is done before it has
 * returned. So the first run after a RESET that followed an error is the worker's, after IOAT_RECOVERY_US.
 */
#include "devices/ioat_priv.h"
#include <string.h>
#include <unistd.h>

void ioat_set_status(struct ioat *e, uint64_t desc, enum ioat_state state)
{
	e->regs.chansts = desc | state;
}

void ioat_set_state(struct ioat *e, enum ioat_state state)
{
	ioat_set_status(e, e->regs.chansts & ~(IOAT_DESC_ALIGN - 1ull), state);
}

/* 8 bytes at a time, so that CHANSTS is never torn. */
void ioat_mirror_locked(struct ioat *e)
{
	const uint8_t *now = (const uint8_t *)&e->regs;
	uint8_t *shown = (uint8_t *)&e->shown;

	for (size_t at = 0; at < sizeof(e->regs); at += 8) {
		if (memcmp(now + at, shown + at, 8) == 0)
			continue;
		memcpy(shown + at, now + at, 8);
		pci_mirror_set(e->dev, 0, at, now + at, 8);
	}
}

void ioat_channel_reset_locked(struct ioat *e)
{
	e->generation++;
	e->recovering |= e->failed;
	e->failed = e->suspend = e->reset = false;
	e->next = 0;
	e->done = 0;
	e->regs.chancmd = 0;
	e->regs.dmacount = 0;
	e->regs.chainaddr = 0;
	e->regs.chanerr = 0;
	ioat_set_status(e, 0, IOAT_HALTED);
}

static void ioat_interrupt_locked(struct ioat *e)
{
	if (e->regs.chanctrl & IOAT_CTRL_INT_DISABLE)
		return;
	e->regs.chanctrl |= IOAT_CTRL_INT_DISABLE;
	pci_msix_fire(e->dev, 0);
}

/* ---- one descriptor: no lock held ---- */

static uint32_t ioat_fill(struct ioat *e, const struct ioat_desc *d)
{
	uint64_t chunk;

	for (size_t i = 0; i < sizeof(e->pattern) && i < d->size; i += 8)
		memcpy(e->pattern + i, &d->src, 8);
	for (uint64_t at = 0; at < d->size; at += chunk) {
		chunk = MIN(d->size - at, sizeof(e->pattern));
		if (pci_dma_write_pasid(e->dev, e->space, d->dst + at, e->pattern, chunk))
			return IOAT_ERR_DST;
	}
	return 0;
}

static uint32_t ioat_copy(struct ioat *e, const struct ioat_desc *d)
{
	bool fault_write = false;

	if (pci_dma_copy_pasid(e->dev, e->space, d->dst, d->src, d->size, &fault_write))
		return fault_write ? IOAT_ERR_DST : IOAT_ERR_SRC;
	return 0;
}

/* Fetch the descriptor at @at and do what it says. Returns bits of CHANERR. */
static uint32_t ioat_execute(struct ioat *e, uint64_t at, struct ioat_desc *d)
{
	if (at % IOAT_DESC_ALIGN)
		return IOAT_ERR_ALIGN;
	if (pci_dma_read_pasid(e->dev, e->space, at, d, sizeof(*d)))
		return IOAT_ERR_NEXT | IOAT_ERR_READ;
	if (d->ctl & IOAT_DESC_NULL)
		return 0;
	if (d->size == 0 || d->size > BIT(IOAT_XFERCAP))
		return IOAT_ERR_LENGTH;
	switch (IOAT_DESC_OP(d->ctl)) {
	case IOAT_OP_COPY:
		return ioat_copy(e, d);
	case IOAT_OP_FILL:
		return ioat_fill(e, d);
	default:
		return IOAT_ERR_CONTROL;
	}
}

/* Tell the driver in its memory. */
static uint32_t ioat_complete(struct ioat *e, uint64_t chancmp, uint64_t status)
{
	if (!chancmp || !pci_dma_write_pasid(e->dev, e->space, chancmp, &status, sizeof(status)))
		return 0;
	return IOAT_ERR_COMPLETION;
}

/* ---- the chain ---- */

static void ioat_fail_locked(struct ioat *e, uint32_t errors)
{
	e->regs.chanerr |= errors;
	e->chanerr_int |= errors;
	e->failed = true;
	ioat_set_state(e, IOAT_HALTED);
	ioat_mirror_locked(e);
	if (e->regs.chanctrl & IOAT_CTRL_ERR_INT)
		ioat_interrupt_locked(e);
	if (e->regs.chanctrl & IOAT_CTRL_ERR_COMPLETION && !(errors & IOAT_ERR_COMPLETION)) {
		uint64_t chancmp = e->regs.chancmp, status = e->regs.chansts;

		/* From here on the driver may reset the channel and begin anew; the run loop looks again. */
		mutex_unlock(&e->lock);
		ioat_complete(e, chancmp, status);
		mutex_lock(&e->lock);
	}
}

/* Carry out the descriptor at e->next. Gives the lock up meanwhile; the caller has set busy. */
static void ioat_step_locked(struct ioat *e, struct ioat_budget *budget)
{
	uint64_t at = e->next, chancmp = e->regs.chancmp;
	unsigned generation = e->generation;
	bool last = (uint16_t)(e->done + 1) == e->regs.dmacount;
	struct ioat_desc d = { 0 };
	uint32_t errors;

	e->space = e->pasid;
	mutex_unlock(&e->lock);
	errors = ioat_execute(e, at, &d);
	if (!errors && d.ctl & IOAT_DESC_COMPLETION)
		errors = ioat_complete(e, chancmp, at | (last ? IOAT_DONE : IOAT_ACTIVE));
	mutex_lock(&e->lock);

	budget->descs--;
	budget->bytes -= MIN(budget->bytes, d.size);
	if (generation != e->generation)
		return;
	if (errors) {
		ioat_fail_locked(e, errors);
		return;
	}
	e->next = d.next;
	e->done++;
	ioat_set_status(e, at, e->done == e->regs.dmacount ? IOAT_DONE : IOAT_ACTIVE);
	if (d.ctl & IOAT_DESC_INT)
		ioat_interrupt_locked(e);
}

void ioat_run_locked(struct ioat *e, struct ioat_budget budget)
{
	if (e->busy)
		return;
	e->busy = true;
	while (ioat_state(e) == IOAT_ACTIVE && budget.descs && budget.bytes) {
		ioat_step_locked(e, &budget);
		if (e->reset)
			ioat_channel_reset_locked(e);
		if (e->suspend && ioat_state(e) != IOAT_HALTED)
			ioat_set_state(e, IOAT_SUSPENDED);
		e->suspend = false;
		ioat_mirror_locked(e);
	}
	e->busy = false;
	cond_broadcast(&e->idle);
	if (ioat_state(e) == IOAT_ACTIVE)
		pci_worker_kick(e->worker);
}

void ioat_work(void *state)
{
	struct ioat *e = state;
	const struct ioat_budget budget = { .descs = UINT32_MAX, .bytes = UINT64_MAX };

	mutex_lock(&e->lock);
	if (e->recovering) {
		mutex_unlock(&e->lock);
		usleep(IOAT_RECOVERY_US);
		mutex_lock(&e->lock);
		e->recovering = false;
	}
	ioat_run_locked(e, budget);
	mutex_unlock(&e->lock);
}
