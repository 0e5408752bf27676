/* SPDX-License-Identifier: MIT */
/*
 * Resets, power states, and the state that survives a reset because the kernel saves and restores it.
 *
 * pci_function_reset() is the hardware's part, common to every method: no DMA starts, what is queued for the
 * function is dropped, waits for pages end, accesses under way end (write side of "access"), the model goes to power-on,
 * DMA that had begun ends, and config space, MSI-X table and pin go to power-on. pci_reset_function() is Linux's part around
 * it: D0, save, COMMAND silenced, one method, restore (spec 20, 2.10 and 5.1).
 *
 * Saved state is every writable config bit but the power state, and the MSI-X table. What a function forgets in D3hot is
 * put back as it was when it went there, but for messages: these are as the host has them when it leaves.
 */
#include "pci/priv.h"
#include <string.h>

void pci_function_reset(struct pci_dev *d)
{
	struct pci_priv *p = d->priv;
	struct config_actions act = { 0 };

	atomic_fetch_add(&p->resetting, 1);
	iommu_dev_cancel_begin(d->iommu); /* the model's reset waits for its worker */
	pci_peer_forget(d->pci->peer, d);
	rwlock_write(&p->access);
	p->in_reset = true;
	if (p->has_model && p->model.reset)
		p->model.reset(p->state);
	p->in_reset = false;
	pci_dma_quiesce(d);
	for (unsigned i = 0; i < 6; i++) {
		if (pci_bar(d, i)->shm)
			mem_shm_reset(pci_bar(d, i)->shm);
	}
	mutex_lock(&d->lock);
	memcpy(p->cfg.val, p->cfg.power_on, d->priv->cfg.used);
	pci_sriov_settle_locked(d);
	pci_irq_reset_locked(d);
	pci_config_settle_locked(d, &act);
	mutex_unlock(&d->lock);
	rwlock_unlock(&p->access);
	iommu_dev_cancel_end(d->iommu);
	atomic_fetch_sub(&p->resetting, 1);
	/* Nothing but the pin can have come of it: power-on bytes ask for no reset. */
	if (act.pin)
		pci_intx_notify(d);
}

/* ---- saved state ---- */

int pci_state_init(struct pci_dev *d, struct pci_state *s)
{
	unsigned n = d->priv->msix.count;

	s->val = calloc(1, d->priv->cfg.used);
	s->entry = n ? calloc(n, sizeof(*s->entry)) : NULL;
	s->valid = false;
	return s->val && (s->entry || !n) ? 0 : -ENOMEM;
}

void pci_state_fini(struct pci_state *s)
{
	free(s->val);
	free(s->entry);
	s->val = NULL;
	s->entry = NULL;
}

/* The part of the state that is about messages. */
static void messages_save_locked(struct pci_dev *d, struct pci_state *s)
{
	struct pci_priv *p = d->priv;
	unsigned flags = p->cap_msi ? get16(&p->cfg.val[p->cap_msi + PCI_MSI_FLAGS]) : 0;
	unsigned n = 10 + (flags & PCI_MSI_FLAGS_64BIT ? 4 : 0) + (flags & PCI_MSI_FLAGS_MASKBIT ? 10 : 0);

	if (p->cap_msi)
		memcpy(&s->val[p->cap_msi], &p->cfg.val[p->cap_msi], n);
	if (p->cap_msix)
		memcpy(&s->val[p->cap_msix], &p->cfg.val[p->cap_msix], PCI_CAP_MSIX_SIZEOF);
	if (p->msix.count)
		memcpy(s->entry, p->msix.entry, p->msix.count * sizeof(*s->entry));
}

static void state_save_locked(struct pci_dev *d, struct pci_state *s)
{
	struct pci_priv *p = d->priv;

	memcpy(s->val, p->cfg.val, d->priv->cfg.used);
	messages_save_locked(d, s);
	s->valid = true;
}

static void state_restore_locked(struct pci_dev *d, const struct pci_state *s, struct config_actions *act)
{
	struct pci_priv *p = d->priv;
	unsigned power = p->cap_pm ? p->cap_pm + PCI_PM_CTRL : 0;

	if (!s->valid)
		return;
	for (unsigned i = 0; i < d->priv->cfg.used; i++) {
		uint8_t w = p->cfg.wmask[i];

		if (!power || i < power || i > power + 1)
			p->cfg.val[i] = (uint8_t)((p->cfg.val[i] & ~w) | (s->val[i] & w));
	}
	if (d->bridge)
		p->cfg.val[PCI_BRIDGE_CONTROL] &= (uint8_t)~PCI_BRIDGE_CTL_BUS_RESET;
	if (p->msix.count)
		memcpy(p->msix.entry, s->entry, p->msix.count * sizeof(*s->entry));
	pci_config_settle_locked(d, act);
}

static void state_restore(struct pci_dev *d, const struct pci_state *s)
{
	struct config_actions act = { 0 };

	rwlock_write(&d->priv->access);
	mutex_lock(&d->lock);
	state_restore_locked(d, s, &act);
	mutex_unlock(&d->lock);
	rwlock_unlock(&d->priv->access);
	pci_config_act(d, &act);
}

void pci_save_state(struct pci_dev *d)
{
	SCOPED_LOCK(&d->lock);
	state_save_locked(d, &d->priv->saved);
}

void pci_restore_state(struct pci_dev *d)
{
	state_restore(d, &d->priv->saved);
	pci_acs_setup(d);
}

/* D0, remember, silence: what Linux does to a function before any method. */
static int reset_begin(struct pci_dev *d, struct pci_state *s)
{
	int rc = pci_state_init(d, s);

	if (rc) {
		pci_state_fini(s);
		return rc;
	}
	if (d->priv->desc.ats)
		iommu_dev_reset_begin(d->iommu);
	pci_set_power(d, 0);
	mutex_lock(&d->lock);
	state_save_locked(d, s);
	mutex_unlock(&d->lock);
	pci_config_write(d, PCI_COMMAND, 2, PCI_COMMAND_INTX_DISABLE);
	return 0;
}

static void reset_end(struct pci_dev *d, struct pci_state *s)
{
	state_restore(d, s);
	pci_acs_setup(d);
	if (d->priv->desc.ats)
		iommu_dev_reset_end(d->iommu);
	pci_state_fini(s);
}

/* ---- power ---- */

unsigned pci_power(struct pci_dev *d)
{
	return atomic_load(&d->priv->power);
}

static void power_write(struct pci_dev *d, unsigned state)
{
	unsigned at = d->priv->cap_pm + PCI_PM_CTRL;
	uint32_t v = pci_config_read(d, at, 2);

	pci_config_write(d, at, 2, (v & ~(uint32_t)PCI_PM_CTRL_STATE_MASK) | (state & PCI_PM_CTRL_STATE_MASK));
}

bool pci_forgets_in_d3(const struct pci_dev *d)
{
	const struct pci_priv *p = d->priv;

	return p->cap_pm && !(p->cfg.power_on[p->cap_pm + PCI_PM_CTRL] & PCI_PM_CTRL_NO_SOFT_RESET);
}

void pci_set_power(struct pci_dev *d, unsigned state)
{
	struct pci_priv *p = d->priv;

	if (!p->cap_pm || pci_power(d) == state)
		return;
	if (pci_forgets_in_d3(d) && state == 3) {
		SCOPED_LOCK(&d->lock);
		state_save_locked(d, &p->pm_saved);
	} else if (p->pm_saved.valid) {
		SCOPED_LOCK(&d->lock);
		messages_save_locked(d, &p->pm_saved);
	}
	power_write(d, state);
	if (pci_forgets_in_d3(d) && state == 0) {
		state_restore(d, &p->pm_saved);
		p->pm_saved.valid = false;
	}
}

/* ---- methods ---- */

const char *pci_reset_method_name(unsigned method)
{
	static const char *const name[] = { "flr", "af_flr", "pm", "bus" };

	return method < ARRAY_SIZE(name) ? name[method] : NULL;
}

static bool alone_on_bus(struct pci_dev *d)
{
	bool alone;

	if (!d->bus->bridge || d->bridge)
		return false;
	mutex_lock(&d->pci->topo);
	alone = TAILQ_FIRST(&d->bus->devs) == d && !TAILQ_NEXT(d, bus_link);
	mutex_unlock(&d->pci->topo);
	return alone;
}

static bool has_method(struct pci_dev *d, unsigned method)
{
	struct pci_priv *p = d->priv;

	switch (method) {
	case PCI_RESET_FLR:
		return p->cap_exp && p->model.flr;
	case PCI_RESET_AF:
		return p->cap_af != 0;
	case PCI_RESET_PM:
		return !d->bridge && pci_forgets_in_d3(d);
	case PCI_RESET_BUS:
		return alone_on_bus(d);
	default:
		return false;
	}
}

unsigned pci_reset_methods(struct pci_dev *d, uint8_t out[PCI_RESET_METHODS])
{
	unsigned n = 0;

	for (unsigned m = 0; m < PCI_RESET_METHODS; m++) {
		if (has_method(d, m))
			out[n++] = (uint8_t)m;
	}
	return n;
}

/* The order in force: the administrator's, less what the hardware has no longer. */
static int pick_method(struct pci_dev *d)
{
	uint8_t order[PCI_RESET_METHODS];
	unsigned n;

	mutex_lock(&d->lock);
	n = d->priv->nreset;
	memcpy(order, d->priv->reset_order, n);
	mutex_unlock(&d->lock);
	for (unsigned i = 0; i < n; i++) {
		if (has_method(d, order[i]))
			return order[i];
	}
	return -ENOTTY;
}

bool pci_can_reset(struct pci_dev *d)
{
	return !atomic_load(&d->priv->gone) && pick_method(d) >= 0;
}

int pci_reset_function(struct pci_dev *d)
{
	int method = pick_method(d);
	struct pci_priv *p = d->priv;
	struct pci_state s;
	int rc;

	if (method < 0)
		return method;
	if (atomic_load(&p->gone))
		return -ENOTTY;
	rc = reset_begin(d, &s);
	if (rc)
		return rc;
	switch (method) {
	case PCI_RESET_FLR:
		pci_config_write(d, p->cap_exp + PCI_EXP_DEVCTL, 2, PCI_EXP_DEVCTL_BCR_FLR);
		break;
	case PCI_RESET_AF:
		pci_config_write(d, p->cap_af + PCI_AF_CTRL, 1, PCI_AF_CTRL_FLR);
		break;
	case PCI_RESET_PM:
		power_write(d, 3);
		power_write(d, 0);
		break;
	case PCI_RESET_BUS:
		pci_bus_reset_below(d->bus->bridge);
		break;
	}
	reset_end(d, &s);
	return 0;
}

/* ---- bus ---- */

void pci_bus_reset_below(struct pci_dev *d)
{
	struct pci_dev **list;
	int n = pci_collect(d->secondary, &list);

	for (int i = 0; i < n; i++)
		pci_function_reset(list[i]);
	pci_collect_put(list, n);
}

int pci_hot_reset_scope(struct pci_dev *d, int (*fn)(struct pci_dev *d, void *ctx), void *ctx)
{
	struct pci_dev **list;
	int n, rc = 0;

	if (!d->bus->bridge)
		return -ENODEV;
	n = pci_collect(d->bus, &list);
	for (int i = 0; i < n && rc == 0; i++)
		rc = fn(list[i], ctx);
	pci_collect_put(list, n);
	return n < 0 ? n : rc;
}

int pci_reset_bus(struct pci_dev *d)
{
	struct pci_dev **list;
	struct pci_state *s;
	int n, saved = 0, rc = 0;

	if (!d->bus->bridge)
		return -ENODEV;
	n = pci_collect(d->bus, &list);
	if (n < 0)
		return n;
	s = calloc((size_t)n, sizeof(*s));
	if (!s)
		rc = -ENOMEM;
	for (; rc == 0 && saved < n; saved++) {
		rc = reset_begin(list[saved], &s[saved]);
		if (rc)
			break;
	}
	for (int i = 0; rc == 0 && i < n; i++)
		pci_function_reset(list[i]);
	for (int i = 0; i < saved; i++)
		reset_end(list[i], &s[i]);
	free(s);
	pci_collect_put(list, n);
	return rc;
}
