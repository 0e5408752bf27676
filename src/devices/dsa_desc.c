/* SPDX-License-Identifier: MIT */
/*
 * One descriptor of dsa.c: checked, carried out, and told of. A transfer that meets a page that is not there ends
 * at that page, and the record says how far it has come and where it stopped: so what failed as a whole is done
 * again page by page. An error of which no record can tell goes to SWERR.
 */
#include "devices/dsa_priv.h"
#include <string.h>

#define PAGE 4096u

static uint32_t dsa_in_page(uint64_t address)
{
	return PAGE - address % PAGE;
}

static void dsa_fault(struct dsa_record *r, uint32_t done, uint64_t address, bool write)
{
	r->status = DSA_PAGE_FAULT | (write ? DSA_FAULT_WRITE : 0);
	r->done = done;
	r->fault = address;
}

/* ---- operations; success and all bytes are in the record beforehand ---- */

static void dsa_memmove(struct dsa *e, const struct dsa_desc *d, struct dsa_record *r)
{
	bool write;
	uint32_t n;

	if (d->src - d->dst < d->size || d->dst - d->src < d->size) {
		*r = (struct dsa_record){ .status = DSA_OVERLAP };
		return;
	}
	if (!pci_dma_copy_pasid(e->dev, e->job.pasid, d->dst, d->src, d->size, &write))
		return;
	for (uint32_t done = 0; done < d->size && !atomic_load(&e->cancel); done += n) {
		uint64_t src = d->src + done, dst = d->dst + done;

		n = MIN(d->size - done, MIN(dsa_in_page(src), dsa_in_page(dst)));
		if (pci_dma_copy_pasid(e->dev, e->job.pasid, dst, src, n, &write)) {
			dsa_fault(r, done, write ? dst : src, write);
			return;
		}
	}
}

/* The pattern over and over, in @buf: at byte i of a transfer it begins at i % 8. */
static const uint8_t *dsa_pattern(uint8_t *buf, uint64_t pattern)
{
	for (unsigned i = 0; i < PAGE + 8; i += 8)
		memcpy(buf + i, &pattern, 8);
	return buf;
}

static void dsa_fill(struct dsa *e, const struct dsa_desc *d, struct dsa_record *r)
{
	const uint8_t *pattern = dsa_pattern(e->data[0], d->src);
	uint32_t n;

	for (uint32_t done = 0; done < d->size && !atomic_load(&e->cancel); done += n) {
		n = MIN(d->size - done, dsa_in_page(d->dst + done));
		if (pci_dma_write_pasid(e->dev, e->job.pasid, d->dst + done, pattern + done % 8, n)) {
			dsa_fault(r, done, d->dst + done, true);
			return;
		}
	}
}

static void dsa_compare(struct dsa *e, const struct dsa_desc *d, struct dsa_record *r)
{
	bool by_pattern = dsa_opcode(d) == DSA_COMPARE_PATTERN;
	const uint8_t *a = e->data[0], *b = e->data[1];
	uint32_t n;

	if (by_pattern)
		dsa_pattern(e->data[1], d->dst);
	for (uint32_t done = 0; done < d->size && !atomic_load(&e->cancel); done += n) {
		uint64_t first = d->src + done, second = d->dst + done;

		n = MIN(d->size - done, dsa_in_page(first));
		if (by_pattern)
			b = e->data[1] + done % 8;
		else
			n = MIN(n, dsa_in_page(second));
		if (pci_dma_read_pasid(e->dev, e->job.pasid, first, e->data[0], n)) {
			dsa_fault(r, done, first, false);
			return;
		}
		if (!by_pattern && pci_dma_read_pasid(e->dev, e->job.pasid, second, e->data[1], n)) {
			dsa_fault(r, done, second, false);
			return;
		}
		for (uint32_t i = 0; i < n; i++) {
			if (a[i] != b[i]) {
				r->result = 1;
				r->done = done + i;
				return;
			}
		}
	}
}

/* ---- checks ---- */

static uint8_t dsa_check(const struct dsa *e, const struct dsa_desc *d)
{
	uint32_t flags = d->flags_opcode;
	unsigned opcode = dsa_opcode(d);

	if (opcode >= 64 || !(e->job.opcodes >> opcode & 1))
		return DSA_BAD_OPCODE;
	if ((flags & DSA_COMPLETION) && !(flags & DSA_COMPLETION_VALID))
		return DSA_BAD_FLAGS;
	if ((flags & DSA_COMPLETION_VALID) && d->completion % sizeof(struct dsa_record))
		return DSA_COMPLETION_ALIGN;
	if ((flags & DSA_INTERRUPT) && (d->handle == 0 || d->handle >= DSA_VECTORS))
		return DSA_BAD_HANDLE;
	if (opcode == DSA_BATCH && d->src % sizeof(*d))
		return DSA_LIST_ALIGN;
	if (opcode == DSA_BATCH && (d->size < 2 || d->size > e->job.max_batch))
		return DSA_BAD_COUNT;
	if (opcode >= DSA_MEMMOVE && (d->size == 0 || d->size > e->job.max_size))
		return DSA_BAD_SIZE;
	return DSA_SUCCESS;
}

static void dsa_one(struct dsa *e, const struct dsa_desc *d, struct dsa_record *r)
{
	switch (dsa_opcode(d)) {
	case DSA_MEMMOVE:
		dsa_memmove(e, d, r);
		break;
	case DSA_FILL:
		dsa_fill(e, d, r);
		break;
	case DSA_COMPARE:
	case DSA_COMPARE_PATTERN:
		dsa_compare(e, d, r);
		if (r->status == DSA_SUCCESS && (d->flags_opcode & DSA_CHECK_RESULT) && r->result != (d->expected & 1))
			r->status = DSA_SUCCESS_NOT_EXPECTED;
		break;
	default: /* all before it is done: nothing to drain */
		break;
	}
}

/* ---- telling ---- */

/* @index: of the descriptor in a batch; -1: it is in none */
static void dsa_software_error(struct dsa *e, const struct dsa_desc *d, int index, uint8_t status, uint64_t address)
{
	uint64_t *swerr = e->image.regs.swerr;

	mutex_lock(&e->lock);
	if (swerr[0] & DSA_SWERR_VALID) {
		swerr[0] |= DSA_SWERR_OVERFLOW;
	} else {
		/* valid, with descriptor and work queue */
		swerr[0] = DSA_SWERR_VALID | BIT(2) | BIT(3) | (index >= 0 ? BIT(4) : 0) |
			   (status & DSA_FAULT_WRITE ? BIT(5) : 0) | (uint64_t)(status & ~DSA_FAULT_WRITE) << 8 |
			   (uint64_t)e->job.wq << 16 | (uint64_t)dsa_opcode(d) << 32 | (uint64_t)e->job.pasid << 40;
		swerr[1] = index >= 0 ? (uint64_t)index : 0;
		swerr[2] = address;
	}
	if (e->image.regs.genctrl & DSA_CTRL_ERROR_INT)
		dsa_cause_locked(e, DSA_CAUSE_ERROR);
	dsa_mirror_locked(e);
	mutex_unlock(&e->lock);
}

static int dsa_write_record(struct dsa *e, uint64_t to, const struct dsa_record *r)
{
	const uint8_t *bytes = (const uint8_t *)r;

	if (pci_dma_write_pasid(e->dev, e->job.pasid, to + 1, bytes + 1, sizeof(*r) - 1))
		return -EFAULT;
	return pci_dma_write_pasid(e->dev, e->job.pasid, to, bytes, 1);
}

static void dsa_tell(struct dsa *e, const struct dsa_desc *d, int index, const struct dsa_record *r)
{
	bool failed = r->status > DSA_SUCCESS_NOT_EXPECTED;
	uint32_t flags = d->flags_opcode;

	if (atomic_load(&e->cancel))
		return;
	if (failed && (!(flags & DSA_COMPLETION_VALID) || r->status == DSA_COMPLETION_ALIGN)) {
		dsa_software_error(e, d, index, r->status, r->fault);
	} else if ((flags & DSA_COMPLETION) || failed) {
		if (dsa_write_record(e, d->completion, r))
			dsa_software_error(e, d, index, DSA_COMPLETION_FAULT | DSA_FAULT_WRITE, d->completion);
	}
	if ((flags & DSA_INTERRUPT) && r->status != DSA_BAD_HANDLE)
		pci_msix_fire(e->dev, d->handle);
}

/* ---- batches ---- */

/* Returns whether it succeeded. */
static bool dsa_member(struct dsa *e, const struct dsa_desc *d, int index)
{
	struct dsa_record r = { .status = dsa_check(e, d), .done = d->size };

	if (dsa_opcode(d) == DSA_BATCH)
		r.status = DSA_BAD_OPCODE;
	if (r.status == DSA_SUCCESS)
		dsa_one(e, d, &r);
	else
		r.done = 0;
	dsa_tell(e, d, index, &r);
	return r.status <= DSA_SUCCESS_NOT_EXPECTED;
}

static void dsa_batch(struct dsa *e, const struct dsa_desc *d, struct dsa_record *r)
{
	bool failed = false;
	uint32_t i;

	for (i = 0; i < d->size && !atomic_load(&e->cancel); i++) {
		uint64_t at = d->src + i * sizeof(*d);
		struct dsa_desc *member = &e->list[at % PAGE / sizeof(*d)];

		if (i == 0 || at % PAGE == 0) {
			size_t n = MIN((d->size - i) * sizeof(*d), dsa_in_page(at));

			if (pci_dma_read_pasid(e->dev, e->job.pasid, at, member, n)) {
				*r = (struct dsa_record){ .status = DSA_LIST_FAULT, .done = i, .fault = at };
				return;
			}
		}
		if (failed && (member->flags_opcode & DSA_FENCE))
			break;
		failed |= !dsa_member(e, member, (int)i);
	}
	r->done = i;
	if (failed)
		r->status = DSA_BATCH_FAILED;
}

void dsa_execute(struct dsa *e)
{
	const struct dsa_desc *d = &e->job.desc;
	struct dsa_record r = { .status = dsa_check(e, d), .done = d->size };

	if (dsa_opcode(d) != DSA_BATCH) {
		dsa_member(e, d, -1);
		return;
	}
	if (r.status == DSA_SUCCESS)
		dsa_batch(e, d, &r);
	else
		r.done = 0;
	dsa_tell(e, d, -1, &r);
}
