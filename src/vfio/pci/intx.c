/* SPDX-License-Identifier: MIT */
/*
 * INTx: a level, made into eventfd signals by masking the line at each one until the user unmasks it
 * (spec 20, 4.4).
 *
 * The state is struct vfio_pci_intx under trigger_lock, a leaf: interrupts come under the model's locks, and
 * calls into pci/ may bring interrupts, so neither is done with it held. `masked` decides whether a signal is
 * sent; COMMAND bit 10 of the hardware only follows it, brought up to date by intx_sync() after each change,
 * whoever comes last. A line that went up while nobody listened is found by asking for its level after
 * unmasking, never by an edge alone.
 *
 * Without PCI 2.3 masking (nointxmask) the line is masked "at the interrupt controller": by `masked` alone.
 */
#include "vfio/pci/priv.h"

void vfio_pci_intx_sync(struct vfio_pci_device *v)
{
	struct vfio_pci_intx *x = &v->intx;
	unsigned generation;
	bool off, settled;

	if (!v->pci_2_3)
		return;
	do {
		mutex_lock(&v->trigger_lock);
		generation = x->generation;
		off = x->active ? x->masked : x->virq_disabled;
		mutex_unlock(&v->trigger_lock);
		pci_intx_disable(v->pdev, off); /* switching it on may bring vfio_pci_intx_raise() */
		mutex_lock(&v->trigger_lock);
		settled = generation == x->generation;
		mutex_unlock(&v->trigger_lock);
	} while (!settled);
}

static void signal_locked(struct vfio_pci_intx *x)
{
	if (x->active && !x->virq_disabled && x->trigger)
		event_signal(x->trigger);
}

void vfio_pci_intx_raise(struct vfio_pci_device *v)
{
	struct vfio_pci_intx *x = &v->intx;
	bool raised;

	mutex_lock(&v->trigger_lock);
	raised = x->active && !x->masked;
	if (raised) {
		x->masked = true;
		x->generation++;
		signal_locked(x);
	}
	mutex_unlock(&v->trigger_lock);
	if (raised)
		vfio_pci_intx_sync(v);
}

static void intx_mask(struct vfio_pci_device *v)
{
	mutex_lock(&v->trigger_lock);
	v->intx.masked = true;
	v->intx.generation++;
	mutex_unlock(&v->trigger_lock);
	vfio_pci_intx_sync(v);
}

/* A line that is still up is signalled again and stays masked. */
static void intx_unmask(struct vfio_pci_device *v)
{
	struct vfio_pci_intx *x = &v->intx;
	bool up = pci_intx_asserted(v->pdev);
	bool opened = false;

	mutex_lock(&v->trigger_lock);
	if (x->active && x->masked && !x->virq_disabled) {
		if (up)
			signal_locked(x);
		else
			opened = true;
	}
	if (opened) {
		x->masked = false;
		x->generation++;
	}
	mutex_unlock(&v->trigger_lock);
	if (!opened)
		return;
	vfio_pci_intx_sync(v);
	if (pci_intx_asserted(v->pdev))
		vfio_pci_intx_raise(v);
}

static void intx_unmask_event(void *ctx)
{
	intx_unmask(ctx);
}

void vfio_pci_intx_virq(struct vfio_pci_device *v, bool disabled)
{
	struct vfio_pci_intx *x = &v->intx;
	bool unmask;

	mutex_lock(&v->trigger_lock);
	unmask = x->active && x->virq_disabled && !disabled;
	if (disabled && !x->virq_disabled)
		x->masked = true;
	x->virq_disabled = disabled;
	x->generation++;
	mutex_unlock(&v->trigger_lock);
	/* Also when nothing changed: the write of COMMAND may have carried an old bit 10 to the hardware. */
	vfio_pci_intx_sync(v);
	if (unmask)
		intx_unmask(v);
}

/* ---- SET_IRQS ---- */

static void intx_enable_locked(struct vfio_pci_device *v, struct event *trigger)
{
	struct vfio_pci_intx *x = &v->intx;

	vfio_pci_irq_type_set_locked(v, VFIO_PCI_INTX_IRQ_INDEX, v->msi_qmax);
	mutex_lock(&v->trigger_lock);
	x->trigger = trigger ? event_get(trigger) : NULL;
	x->masked = x->virq_disabled;
	x->active = true;
	x->generation++;
	mutex_unlock(&v->trigger_lock);
	vfio_pci_intx_sync(v);
	if (pci_intx_asserted(v->pdev))
		vfio_pci_intx_raise(v);
}

void vfio_pci_intx_disable_locked(struct vfio_pci_device *v)
{
	struct vfio_pci_intx *x = &v->intx;
	struct event *trigger;

	event_watch_remove(x->unmask);
	x->unmask = NULL;
	mutex_lock(&v->trigger_lock);
	trigger = x->trigger;
	x->trigger = NULL;
	x->active = false;
	x->masked = false;
	x->generation++;
	mutex_unlock(&v->trigger_lock);
	event_put(trigger);
	vfio_pci_irq_type_set_locked(v, VFIO_PCI_NO_IRQ, v->msi_qmax);
	vfio_pci_intx_sync(v);
}

static void intx_swap_trigger(struct vfio_pci_device *v, struct event *trigger)
{
	struct event *old;

	mutex_lock(&v->trigger_lock);
	old = v->intx.trigger;
	v->intx.trigger = trigger ? event_get(trigger) : NULL;
	mutex_unlock(&v->trigger_lock);
	event_put(old);
}

static int intx_trigger(struct vfio_pci_device *v, const struct vfio_pci_irq_set *s)
{
	bool active = v->irq_type == VFIO_PCI_INTX_IRQ_INDEX;

	if (active && !s->count && s->data == VFIO_IRQ_SET_DATA_NONE) {
		vfio_pci_intx_disable_locked(v);
		return 0;
	}
	if ((!active && v->irq_type != VFIO_PCI_NO_IRQ) || s->start != 0 || s->count != 1)
		return -EINVAL;
	if (s->data == VFIO_IRQ_SET_DATA_EVENTFD) {
		if (s->fds[0].rc)
			return s->fds[0].rc;
		if (active)
			intx_swap_trigger(v, s->fds[0].event);
		else
			intx_enable_locked(v, s->fds[0].event);
		return 0;
	}
	if (!active)
		return -EINVAL;
	if (s->data == VFIO_IRQ_SET_DATA_NONE || s->bools[0]) {
		SCOPED_LOCK(&v->trigger_lock);
		signal_locked(&v->intx);
	}
	return 0;
}

static int intx_unmask_eventfd(struct vfio_pci_device *v, const struct vfio_pci_irq_fd *f)
{
	struct vfio_pci_intx *x = &v->intx;

	if (f->fd < 0) {
		event_watch_remove(x->unmask);
		x->unmask = NULL;
		return 0;
	}
	if (f->rc)
		return f->rc;
	if (x->unmask)
		return -EBUSY;
	return event_watch_add(v->vp->loop, f->event, intx_unmask_event, v, &x->unmask);
}

int vfio_pci_intx_set_locked(struct vfio_pci_device *v, const struct vfio_pci_irq_set *s)
{
	if (s->action == VFIO_IRQ_SET_ACTION_TRIGGER)
		return intx_trigger(v, s);
	if (v->irq_type != VFIO_PCI_INTX_IRQ_INDEX || s->start != 0 || s->count != 1)
		return -EINVAL;
	if (s->data == VFIO_IRQ_SET_DATA_EVENTFD) {
		if (s->action == VFIO_IRQ_SET_ACTION_MASK)
			return -ENOTTY;
		return intx_unmask_eventfd(v, &s->fds[0]);
	}
	if (s->data == VFIO_IRQ_SET_DATA_BOOL && !s->bools[0])
		return 0;
	if (s->action == VFIO_IRQ_SET_ACTION_MASK)
		intx_mask(v);
	else
		intx_unmask(v);
	return 0;
}
