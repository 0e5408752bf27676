/* SPDX-License-Identifier: MIT */
/*
 * Interrupts of a function: the pin, MSI, MSI-X.
 *
 * Messages: a masked one pends in the capability's pending bits (MSI with per-vector masking, MSI-X) and is
 * delivered when the mask goes; one of a disabled capability, or without bus mastering, is lost, as a memory
 * write that never leaves. Delivery happens under the function's lock, so taking the handler away under the
 * same lock leaves none running. Vectors are routed by number: address and data are kept for reading back and
 * mean nothing, so a program that scribbles on a mapped table re-routes nothing (spec 20, 4.6).
 *
 * The pin is a level. Outside it is seen through COMMAND bit 10; the handler hears of changes of what is seen
 * outside, with no lock held, because it may turn bit 10 itself.
 */
#include "pci/priv.h"
#include <string.h>

#define MSIX_MASKED 1u
#define MSI_WINDOW  0xfee00000u

int pci_irq_init(struct pci_dev *d)
{
	struct pci_priv *p = d->priv;
	struct pci_msix *x = &p->msix;

	x->count = p->model.msix_vectors;
	if (x->count == 0)
		return 0;
	x->bar = p->model.msix_bar;
	x->pba_bar = p->model.msix_pba_apart ? p->model.msix_pba_bar : x->bar;
	x->table = p->model.msix_table;
	x->pba = p->model.msix_pba;
	x->entry = calloc(x->count, sizeof(*x->entry));
	x->pending = calloc((x->count + 63) / 64, sizeof(*x->pending));
	if (!x->entry || !x->pending)
		return -ENOMEM;
	for (unsigned i = 0; i < x->count; i++)
		x->entry[i].word[3] = MSIX_MASKED;
	return 0;
}

void pci_irq_fini(struct pci_dev *d)
{
	free(d->priv->msix.entry);
	free(d->priv->msix.pending);
	cond_fini(&d->priv->pin_idle);
}

static bool can_send(const struct pci_priv *p)
{
	return (atomic_load(&p->command) & PCI_COMMAND_MASTER) && atomic_load(&p->power) == 0 && !atomic_load(&p->gone);
}

static void deliver_locked(struct pci_priv *p, unsigned vector)
{
	if (can_send(p) && p->irq && p->irq->message)
		p->irq->message(p->irq_ctx, vector);
}

/* ---- MSI-X ---- */

static unsigned msix_flags_locked(const struct pci_priv *p)
{
	return p->cap_msix ? get16(&p->cfg.val[p->cap_msix + PCI_MSIX_FLAGS]) : 0;
}

static bool msix_open_locked(const struct pci_priv *p)
{
	return (msix_flags_locked(p) & (PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL)) == PCI_MSIX_FLAGS_ENABLE;
}

static void msix_flush_one_locked(struct pci_priv *p, unsigned vector)
{
	uint64_t *word = &p->msix.pending[vector / 64], bit = BIT64(vector % 64);

	if (!(*word & bit) || (p->msix.entry[vector].word[3] & MSIX_MASKED) || !msix_open_locked(p))
		return;
	*word &= ~bit;
	deliver_locked(p, vector);
}

static void msix_fire_locked(struct pci_priv *p, unsigned vector)
{
	if (!(msix_flags_locked(p) & PCI_MSIX_FLAGS_ENABLE) || vector >= p->msix.count)
		return;
	if (!msix_open_locked(p) || (p->msix.entry[vector].word[3] & MSIX_MASKED))
		p->msix.pending[vector / 64] |= BIT64(vector % 64);
	else
		deliver_locked(p, vector);
}

void pci_msix_fire(struct pci_dev *d, unsigned vector)
{
	SCOPED_LOCK(&d->lock);
	msix_fire_locked(d->priv, vector);
}

unsigned pci_msix_count(struct pci_dev *d)
{
	return d->priv->msix.count;
}

void pci_msix_enable(struct pci_dev *d, bool on)
{
	struct pci_priv *p = d->priv;
	struct pci_msix *x = &p->msix;
	unsigned flags;

	if (!x->count)
		return;
	SCOPED_LOCK(&d->lock);
	flags = msix_flags_locked(p) & ~(unsigned)(PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	for (unsigned i = 0; i < x->count; i++)
		x->entry[i] = (struct msix_entry){ { on ? MSI_WINDOW : 0, 0, on ? i : 0, MSIX_MASKED } };
	memset(x->pending, 0, (x->count + 63) / 64 * sizeof(*x->pending));
	put16(&p->cfg.val[p->cap_msix + PCI_MSIX_FLAGS], (uint16_t)(flags | (on ? PCI_MSIX_FLAGS_ENABLE : 0)));
}

void pci_msix_mask(struct pci_dev *d, unsigned vector, bool masked)
{
	struct pci_msix *x = &d->priv->msix;

	if (vector >= x->count)
		return;
	SCOPED_LOCK(&d->lock);
	if (masked)
		x->entry[vector].word[3] |= MSIX_MASKED;
	else
		x->entry[vector].word[3] &= ~MSIX_MASKED;
	msix_flush_one_locked(d->priv, vector);
}

void pci_msix_where(struct pci_dev *d, unsigned *bar, uint64_t *table_offset)
{
	*bar = d->priv->msix.bar;
	*table_offset = d->priv->msix.table;
}

static bool overlaps(uint64_t a, uint64_t na, uint64_t b, uint64_t nb)
{
	return a < b + nb && b < a + na;
}

bool pci_msix_bar_hit(const struct pci_dev *d, unsigned bar, uint64_t offset, unsigned width)
{
	const struct pci_msix *x = &d->priv->msix;

	if (x->count && bar == x->bar && overlaps(offset, width, x->table, 16ull * x->count))
		return true;
	return x->count && bar == x->pba_bar && overlaps(offset, width, x->pba, (x->count + 63) / 64 * 8ull);
}

/* One byte at a time: these are rare, and any width and alignment is the program's choice. */
static void msix_byte_locked(struct pci_priv *p, unsigned bar, uint64_t at, uint8_t *data, bool write)
{
	struct pci_msix *x = &p->msix;
	uint64_t in_table = at - x->table, in_pba = at - x->pba;

	if (bar == x->bar && at >= x->table && in_table < 16ull * x->count) {
		uint32_t *word = &x->entry[in_table / 16].word[in_table % 16 / 4];
		unsigned shift = 8 * (at & 3);

		if (!write)
			*data = (uint8_t)(*word >> shift);
		else if (in_table % 16 < 12) /* address and data: all bits but the two low ones of the address */
			*word = (*word & ~(0xffu << shift)) | (uint32_t)(in_table % 16 ? *data : *data & 0xfc) << shift;
		else if (shift == 0) /* control: the mask bit alone */
			*word = (*word & ~MSIX_MASKED) | (*data & MSIX_MASKED);
	} else if (bar == x->pba_bar && at >= x->pba && in_pba < (x->count + 63) / 64 * 8ull && !write) {
		*data = (uint8_t)(x->pending[in_pba / 8] >> 8 * (in_pba % 8));
	}
}

void pci_msix_bar_access(struct pci_dev *d, unsigned bar, uint64_t offset, uint8_t *data, unsigned width, bool write)
{
	struct pci_priv *p = d->priv;

	SCOPED_LOCK(&d->lock);
	for (unsigned i = 0; i < width; i++)
		msix_byte_locked(p, bar, offset + i, data + i, write);
	if (write && bar == p->msix.bar) {
		for (unsigned i = 0; i < width; i++) {
			uint64_t in_table = offset + i - p->msix.table;

			if (offset + i >= p->msix.table && in_table < 16ull * p->msix.count && in_table % 16 == 12)
				msix_flush_one_locked(p, (unsigned)(in_table / 16));
		}
	}
}

/* ---- MSI ---- */

static unsigned msi_flags_locked(const struct pci_priv *p)
{
	return p->cap_msi ? get16(&p->cfg.val[p->cap_msi + PCI_MSI_FLAGS]) : 0;
}

static uint8_t *msi_mask_at(const struct pci_priv *p, unsigned flags)
{
	return &p->cfg.val[p->cap_msi + (flags & PCI_MSI_FLAGS_64BIT ? PCI_MSI_MASK_64 : PCI_MSI_MASK_32)];
}

/* Vectors the system gave it: 1 << QSIZE, never more than it has. */
static unsigned msi_granted(const struct pci_priv *p, unsigned flags)
{
	return MIN(1u << ((flags & PCI_MSI_FLAGS_QSIZE) >> 4), (unsigned)p->model.msi_vectors);
}

static void msi_flush_locked(struct pci_priv *p)
{
	unsigned flags = msi_flags_locked(p);
	uint32_t open;

	if (!(flags & PCI_MSI_FLAGS_ENABLE) || !(flags & PCI_MSI_FLAGS_MASKBIT))
		return;
	open = get32(msi_mask_at(p, flags) + 4) & ~get32(msi_mask_at(p, flags));
	put32(msi_mask_at(p, flags) + 4, get32(msi_mask_at(p, flags) + 4) & ~open);
	while (open) {
		deliver_locked(p, (unsigned)__builtin_ctz(open));
		open &= open - 1;
	}
}

static void msi_fire_locked(struct pci_priv *p, unsigned vector)
{
	unsigned flags = msi_flags_locked(p);

	if (!(flags & PCI_MSI_FLAGS_ENABLE) || vector >= p->model.msi_vectors)
		return;
	vector &= msi_granted(p, flags) - 1; /* fewer were granted: the model's vectors share them */
	if ((flags & PCI_MSI_FLAGS_MASKBIT) && (get32(msi_mask_at(p, flags)) & 1u << vector))
		put32(msi_mask_at(p, flags) + 4, get32(msi_mask_at(p, flags) + 4) | 1u << vector);
	else
		deliver_locked(p, vector);
}

void pci_msi_fire(struct pci_dev *d, unsigned vector)
{
	SCOPED_LOCK(&d->lock);
	msi_fire_locked(d->priv, vector);
}

unsigned pci_msi_count(struct pci_dev *d)
{
	return d->priv->model.msi_vectors;
}

/* They have one address and numbers in a row, which only a table in between can spread over the processors' vectors. */
unsigned pci_msi_available(struct pci_dev *d)
{
	const struct iommu_unit *unit = d->priv->unit;

	return unit && unit->msi_isolated ? pci_msi_count(d) : MIN(1u, pci_msi_count(d));
}

void pci_msi_enable(struct pci_dev *d, unsigned nvec)
{
	struct pci_priv *p = d->priv;
	unsigned flags, log2 = 0;

	if (!p->cap_msi)
		return;
	nvec = MIN(nvec, (unsigned)p->model.msi_vectors);
	while (1u << log2 < nvec)
		log2++;
	SCOPED_LOCK(&d->lock);
	flags = msi_flags_locked(p) & ~(unsigned)(PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE);
	if (nvec) {
		flags |= PCI_MSI_FLAGS_ENABLE | log2 << 4;
		put32(&p->cfg.val[p->cap_msi + PCI_MSI_ADDRESS_LO], MSI_WINDOW);
		if (flags & PCI_MSI_FLAGS_MASKBIT) {
			put32(msi_mask_at(p, flags), 0);
			put32(msi_mask_at(p, flags) + 4, 0);
		}
	}
	put16(&p->cfg.val[p->cap_msi + PCI_MSI_FLAGS], (uint16_t)flags);
}

void pci_msi_mask(struct pci_dev *d, unsigned vector, bool masked)
{
	struct pci_priv *p = d->priv;
	uint32_t bits;
	uint8_t *at;
	SCOPED_LOCK(&d->lock);

	if (vector >= p->model.msi_vectors || !(msi_flags_locked(p) & PCI_MSI_FLAGS_MASKBIT))
		return;
	at = msi_mask_at(p, msi_flags_locked(p));
	bits = get32(at);
	put32(at, masked ? bits | 1u << vector : bits & ~(1u << vector));
	msi_flush_locked(p);
}

bool pci_irq_fire(struct pci_dev *d, unsigned vector)
{
	struct pci_priv *p = d->priv;

	SCOPED_LOCK(&d->lock);
	if (msix_flags_locked(p) & PCI_MSIX_FLAGS_ENABLE)
		msix_fire_locked(p, vector);
	else if (msi_flags_locked(p) & PCI_MSI_FLAGS_ENABLE)
		msi_fire_locked(p, vector);
	else
		return false;
	return true;
}

void pci_irq_flush_locked(struct pci_dev *d)
{
	struct pci_priv *p = d->priv;

	msi_flush_locked(p);
	if (!msix_open_locked(p))
		return;
	for (unsigned w = 0; w < (p->msix.count + 63) / 64; w++) {
		for (uint64_t bits = p->msix.pending[w]; bits; bits &= bits - 1)
			msix_flush_one_locked(p, w * 64 + (unsigned)__builtin_ctzll(bits));
	}
}

void pci_irq_reset_locked(struct pci_dev *d)
{
	struct pci_msix *x = &d->priv->msix;

	for (unsigned i = 0; i < x->count; i++)
		x->entry[i] = (struct msix_entry){ { 0, 0, 0, MSIX_MASKED } };
	if (x->count)
		memset(x->pending, 0, (x->count + 63) / 64 * sizeof(*x->pending));
	d->priv->pin = false;
}

void pci_error_report(struct pci_dev *d)
{
	struct pci_priv *p = d->priv;

	if (!pci_find_ext_cap(d, PCI_EXT_CAP_ID_ERR))
		return;
	SCOPED_LOCK(&d->lock);
	if (p->irq && p->irq->error)
		p->irq->error(p->irq_ctx);
}

/* ---- the pin ---- */

void pci_intx_notify(struct pci_dev *d)
{
	struct pci_priv *p = d->priv;
	const struct pci_irq_ops *ops;
	void *ctx;
	bool out;

	mutex_lock(&d->lock);
	out = p->pin && !(atomic_load(&p->command) & PCI_COMMAND_INTX_DISABLE);
	ops = p->irq;
	ctx = p->irq_ctx;
	if (out == p->pin_out || !ops || !ops->intx) {
		p->pin_out = out;
		mutex_unlock(&d->lock);
		return;
	}
	p->pin_out = out;
	p->pin_calls++;
	mutex_unlock(&d->lock);
	ops->intx(ctx, out);
	mutex_lock(&d->lock);
	if (--p->pin_calls == 0)
		cond_broadcast(&p->pin_idle);
	mutex_unlock(&d->lock);
}

void pci_intx_set(struct pci_dev *d, bool asserted)
{
	mutex_lock(&d->lock);
	d->priv->pin = asserted && d->priv->model.intx_pin;
	mutex_unlock(&d->lock);
	pci_intx_notify(d);
}

bool pci_intx_asserted(struct pci_dev *d)
{
	SCOPED_LOCK(&d->lock);
	return d->priv->pin;
}

void pci_intx_disable(struct pci_dev *d, bool disabled)
{
	struct pci_priv *p = d->priv;
	unsigned command;

	mutex_lock(&d->lock);
	command = get16(&p->cfg.val[PCI_COMMAND]);
	command = disabled ? command | PCI_COMMAND_INTX_DISABLE : command & ~(unsigned)PCI_COMMAND_INTX_DISABLE;
	put16(&p->cfg.val[PCI_COMMAND], (uint16_t)command);
	atomic_store(&p->command, command);
	mutex_unlock(&d->lock);
	pci_intx_notify(d);
}

void pci_irq_handler(struct pci_dev *d, const struct pci_irq_ops *ops, void *ctx)
{
	struct pci_priv *p = d->priv;

	mutex_lock(&d->lock);
	p->irq = NULL;
	while (p->pin_calls)
		cond_wait(&p->pin_idle, &d->lock);
	p->irq = ops;
	p->irq_ctx = ctx;
	p->pin_out = false;
	mutex_unlock(&d->lock);
	if (ops)
		pci_intx_notify(d);
}
