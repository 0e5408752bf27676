/* SPDX-License-Identifier: MIT */
/*
 * MSI and MSI-X: vectors, and the eventfds hooked to them (spec 20, 4.6).
 *
 * A vector without an eventfd is masked, if it can be (MSI-X, MSI with mask bits), so that the device keeps its message
 * pending; it is hooked
 * before it is unmasked and masked before it is unhooked, so no message is lost in between. Changes of the
 * hardware's table hold memory_lock for write, which keeps them apart from a reset that saves and restores it.
 * They do not depend on the user's COMMAND.
 */
#include "vfio/pci/priv.h"

void vfio_pci_msi_message(struct vfio_pci_device *v, unsigned vector)
{
	SCOPED_LOCK(&v->trigger_lock);
	if (vector < v->nslots && v->vector[vector])
		event_signal(v->vector[vector]);
}

static void vector_mask(struct vfio_pci_device *v, unsigned i, bool masked)
{
	SCOPED_WRITE(&v->memory_lock);
	if (v->irq_type == VFIO_PCI_MSIX_IRQ_INDEX)
		pci_msix_mask(v->pdev, i, masked);
	else
		pci_msi_mask(v->pdev, i, masked);
}

static struct event *vector_swap(struct vfio_pci_device *v, unsigned i, struct event *ev)
{
	struct event *old;

	SCOPED_LOCK(&v->trigger_lock);
	old = v->vector[i];
	v->vector[i] = ev;
	return old;
}

static void vector_unhook(struct vfio_pci_device *v, unsigned i)
{
	vector_mask(v, i, true);
	event_put(vector_swap(v, i, NULL));
}

bool vfio_pci_msix_dynamic(const struct vfio_pci_device *v)
{
	return vfio_has(v->vp->vfio, VFIO_WITHOUT_DYNAMIC_MSIX);
}

static int vector_hook(struct vfio_pci_device *v, unsigned i, const struct vfio_pci_irq_fd *f)
{
	vector_unhook(v, i);
	if (f->fd < 0)
		return 0;
	if (i >= v->nvectors && !(v->irq_type == VFIO_PCI_MSIX_IRQ_INDEX && vfio_pci_msix_dynamic(v)))
		return -EINVAL;
	if (f->rc)
		return f->rc;
	vector_swap(v, i, event_get(f->event));
	vector_mask(v, i, false);
	return 0;
}

static int block_hook(struct vfio_pci_device *v, const struct vfio_pci_irq_set *s)
{
	for (unsigned i = 0; i < s->count; i++) {
		int rc = vector_hook(v, s->start + i, &s->fds[i]);

		if (!rc)
			continue;
		for (unsigned j = 0; j < i; j++)
			vector_unhook(v, s->start + j);
		return rc;
	}
	return 0;
}

/* ceil(log2(n)), n > 0: the QSIZE of n messages */
static unsigned log2_up(unsigned n)
{
	unsigned bits = 0;

	while (BIT(bits) < n)
		bits++;
	return bits;
}

/* Return: 0; how many there are, if fewer: then nothing is enabled; -errno */
static int msi_enable_locked(struct vfio_pci_device *v, unsigned index, unsigned nvec)
{
	unsigned nslots = vfio_pci_irq_count(v, index);
	struct event **slots;
	bool msix = index == VFIO_PCI_MSIX_IRQ_INDEX;

	if (!nvec)
		return -ERANGE;
	if (!msix && nvec > pci_msi_available(v->pdev))
		return (int)pci_msi_available(v->pdev);
	slots = calloc(nslots, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	mutex_lock(&v->trigger_lock);
	v->vector = slots;
	v->nslots = nslots;
	mutex_unlock(&v->trigger_lock);
	v->nvectors = nvec;
	vfio_pci_irq_type_set_locked(v, index, msix ? 0 : log2_up(nvec));
	SCOPED_WRITE(&v->memory_lock);
	if (msix) {
		pci_msix_enable(v->pdev, true);
		return 0;
	}
	pci_msi_enable(v->pdev, BIT(log2_up(nvec)));
	for (unsigned i = 0; i < nslots; i++)
		pci_msi_mask(v->pdev, i, true);
	return 0;
}

void vfio_pci_msi_disable_locked(struct vfio_pci_device *v)
{
	struct event **slots;
	unsigned n;

	rwlock_write(&v->memory_lock);
	if (v->irq_type == VFIO_PCI_MSIX_IRQ_INDEX)
		pci_msix_enable(v->pdev, false);
	else
		pci_msi_enable(v->pdev, 0);
	for (unsigned i = 0; i < pci_msi_count(v->pdev) && v->irq_type == VFIO_PCI_MSI_IRQ_INDEX; i++)
		pci_msi_mask(v->pdev, i, false);
	if (v->nointx)
		pci_intx_disable(v->pdev, true);
	rwlock_unlock(&v->memory_lock);
	mutex_lock(&v->trigger_lock);
	slots = v->vector;
	n = v->nslots;
	v->vector = NULL;
	v->nslots = 0;
	mutex_unlock(&v->trigger_lock);
	for (unsigned i = 0; i < n; i++)
		event_put(slots[i]);
	free(slots);
	v->nvectors = 0;
	/* The limit on QSIZE stays what it was: as on Linux, only enabling changes it. */
	vfio_pci_irq_type_set_locked(v, VFIO_PCI_NO_IRQ, v->msi_qmax);
}

static void loopback(struct vfio_pci_device *v, const struct vfio_pci_irq_set *s)
{
	SCOPED_LOCK(&v->trigger_lock);
	for (unsigned i = 0; i < s->count; i++) {
		struct event *ev = v->vector[s->start + i];

		if (ev && (s->data == VFIO_IRQ_SET_DATA_NONE || s->bools[i]))
			event_signal(ev);
	}
}

int vfio_pci_msi_set_locked(struct vfio_pci_device *v, const struct vfio_pci_irq_set *s)
{
	bool active = v->irq_type == s->index;
	int rc;

	if (active && !s->count && s->data == VFIO_IRQ_SET_DATA_NONE) {
		vfio_pci_msi_disable_locked(v);
		return 0;
	}
	if (!active && v->irq_type != VFIO_PCI_NO_IRQ)
		return -EINVAL;
	if (s->data == VFIO_IRQ_SET_DATA_EVENTFD) {
		if (active)
			return block_hook(v, s);
		rc = msi_enable_locked(v, s->index, s->start + s->count);
		if (rc)
			return rc;
		rc = block_hook(v, s);
		if (rc)
			vfio_pci_msi_disable_locked(v);
		return rc;
	}
	if (!active)
		return -EINVAL;
	loopback(v, s);
	return 0;
}
