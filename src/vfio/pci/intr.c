/* SPDX-License-Identifier: MIT */
/*
 * SET_IRQS: validation in the order of spec 20, 4.2, then to the index: INTx (intx.c), MSI and MSI-X (msi.c),
 * and here ERR and REQ, which are eventfds and nothing more.
 *
 * The caller's eventfds are looked up before igate is taken, each with its own result, as an error counts only
 * when its vector's turn comes.
 */
#include "vfio/pci/priv.h"
#include <string.h>

unsigned vfio_pci_irq_count(struct vfio_pci_device *v, unsigned index)
{
	switch (index) {
	case VFIO_PCI_INTX_IRQ_INDEX:
		return vfio_pci_intx_pin(v) ? 1 : 0;
	case VFIO_PCI_MSI_IRQ_INDEX:
		return pci_msi_count(v->pdev);
	case VFIO_PCI_MSIX_IRQ_INDEX:
		return pci_msix_count(v->pdev);
	case VFIO_PCI_ERR_IRQ_INDEX:
	case VFIO_PCI_REQ_IRQ_INDEX:
		return 1;
	default:
		return 0;
	}
}

void vfio_pci_irq_type_set_locked(struct vfio_pci_device *v, unsigned type, unsigned msi_qmax)
{
	SCOPED_LOCK(&v->config_lock);
	v->irq_type = type;
	v->msi_qmax = msi_qmax;
}

/* ---- ERR and REQ ---- */

static int single_swap(struct vfio_pci_device *v, struct event **slot, struct event *ev)
{
	struct event *old;

	mutex_lock(&v->trigger_lock);
	old = *slot;
	*slot = ev ? event_get(ev) : NULL;
	mutex_unlock(&v->trigger_lock);
	event_put(old);
	return 0;
}

/* Signal, if there is one to signal. */
static int single_signal(struct vfio_pci_device *v, struct event **slot)
{
	SCOPED_LOCK(&v->trigger_lock);
	if (!*slot)
		return -EINVAL;
	event_signal(*slot);
	return 0;
}

static int single_set(struct vfio_pci_device *v, struct event **slot, const struct vfio_pci_irq_set *s)
{
	bool registered;

	if (s->start != 0 || s->count > 1)
		return -EINVAL;
	if (s->data == VFIO_IRQ_SET_DATA_NONE) {
		if (s->count)
			return single_signal(v, slot);
		mutex_lock(&v->trigger_lock);
		registered = *slot != NULL;
		mutex_unlock(&v->trigger_lock);
		return registered ? single_swap(v, slot, NULL) : -EINVAL;
	}
	if (!s->count)
		return -EINVAL;
	if (s->data == VFIO_IRQ_SET_DATA_BOOL) {
		if (s->bools[0])
			(void)single_signal(v, slot);
		return 0;
	}
	if (s->fds[0].fd < -1)
		return -EINVAL;
	if (s->fds[0].rc)
		return s->fds[0].rc;
	return single_swap(v, slot, s->fds[0].event);
}

void vfio_pci_device_request(struct vfio_device *vdev, unsigned count)
{
	struct vfio_pci_device *v = vfio_pci_device_of(vdev);

	if (single_signal(v, &v->req) == 0) {
		if (count % 10 == 0)
			log_msg(v->vp->log, LOG_INFO, "%s: relaying device request to user (#%u)",
				v->pdev->dev.name, count);
	} else if (count == 0) {
		log_msg(v->vp->log, LOG_WARN,
			"%s: no device request channel registered, blocked until released by user", v->pdev->dev.name);
	}
}

/* ---- dispatch ---- */

static int set_locked(struct vfio_pci_device *v, const struct vfio_pci_irq_set *s)
{
	bool trigger = s->action == VFIO_IRQ_SET_ACTION_TRIGGER;

	switch (s->index) {
	case VFIO_PCI_INTX_IRQ_INDEX:
		if (trigger || s->action == VFIO_IRQ_SET_ACTION_MASK || s->action == VFIO_IRQ_SET_ACTION_UNMASK)
			return vfio_pci_intx_set_locked(v, s);
		return -ENOTTY;
	case VFIO_PCI_MSI_IRQ_INDEX:
	case VFIO_PCI_MSIX_IRQ_INDEX:
		return trigger ? vfio_pci_msi_set_locked(v, s) : -ENOTTY;
	case VFIO_PCI_ERR_IRQ_INDEX:
		return trigger ? single_set(v, &v->err, s) : -ENOTTY;
	case VFIO_PCI_REQ_IRQ_INDEX:
		return trigger ? single_set(v, &v->req, s) : -ENOTTY;
	default:
		return -EINVAL;
	}
}

/* Returns bytes of payload, or -EINVAL. */
static ssize_t validate(struct vfio_pci_device *v, const struct vfio_irq_set *h)
{
	unsigned num;
	size_t size;

	if (h->index >= VFIO_PCI_NUM_IRQS || h->count >= UINT32_MAX - h->start ||
	    h->flags & ~(VFIO_IRQ_SET_DATA_TYPE_MASK | VFIO_IRQ_SET_ACTION_TYPE_MASK))
		return -EINVAL;
	num = vfio_pci_irq_count(v, h->index);
	if (h->start >= num || h->start + h->count > num)
		return -EINVAL;
	switch (h->flags & VFIO_IRQ_SET_DATA_TYPE_MASK) {
	case VFIO_IRQ_SET_DATA_NONE:
		size = 0;
		break;
	case VFIO_IRQ_SET_DATA_BOOL:
		size = sizeof(uint8_t);
		break;
	case VFIO_IRQ_SET_DATA_EVENTFD:
		size = sizeof(int32_t);
		break;
	default:
		return -EINVAL;
	}
	size *= h->count; /* count is at most 2048, the largest MSI-X table */
	return h->argsz - VFIO_IRQ_SET_MINSZ < size ? -EINVAL : (ssize_t)size;
}

static struct vfio_pci_irq_fd *fds_lookup(struct task *t, const uint8_t *data, unsigned count)
{
	struct vfio_pci_irq_fd *fds = calloc(count ? count : 1, sizeof(*fds));

	for (unsigned i = 0; fds && i < count; i++) {
		memcpy(&fds[i].fd, data + 4 * i, 4);
		if (fds[i].fd >= 0)
			fds[i].rc = task_event_get(t, fds[i].fd, &fds[i].event);
		if (fds[i].rc)
			fds[i].event = NULL;
	}
	return fds;
}

static void fds_free(struct vfio_pci_irq_fd *fds, unsigned count)
{
	for (unsigned i = 0; fds && i < count; i++)
		event_put(fds[i].event);
	free(fds);
}

long vfio_pci_set_irqs(struct vfio_pci_device *v, struct task *t, uva_t arg)
{
	AUTO_FREE uint8_t *data = NULL;
	struct vfio_pci_irq_fd *fds = NULL;
	struct vfio_pci_irq_set s;
	struct vfio_irq_set h;
	ssize_t size;
	int rc = ucopy_argsz(t, &h, arg, VFIO_IRQ_SET_MINSZ);

	if (rc)
		return rc;
	size = validate(v, &h);
	if (size < 0)
		return size;
	data = malloc(size ? (size_t)size : 1);
	if (!data)
		return -ENOMEM;
	if (task_copy_in(t, data, arg + VFIO_IRQ_SET_MINSZ, (size_t)size))
		return -EFAULT;
	s = (struct vfio_pci_irq_set){
		.index = h.index, .start = h.start, .count = h.count, .bools = data,
		.data = h.flags & VFIO_IRQ_SET_DATA_TYPE_MASK, .action = h.flags & VFIO_IRQ_SET_ACTION_TYPE_MASK,
	};
	if (s.data == VFIO_IRQ_SET_DATA_EVENTFD) {
		fds = fds_lookup(t, data, s.count);
		if (!fds)
			return -ENOMEM;
		s.fds = fds;
	}
	mutex_lock(&v->igate);
	rc = set_locked(v, &s);
	mutex_unlock(&v->igate);
	fds_free(fds, s.count);
	return rc;
}

void vfio_pci_irqs_disable(struct vfio_pci_device *v)
{
	SCOPED_LOCK(&v->igate);
	if (v->irq_type == VFIO_PCI_INTX_IRQ_INDEX)
		vfio_pci_intx_disable_locked(v);
	else if (v->irq_type != VFIO_PCI_NO_IRQ)
		vfio_pci_msi_disable_locked(v);
}

void vfio_pci_irqs_drop(struct vfio_pci_device *v)
{
	single_swap(v, &v->err, NULL);
	single_swap(v, &v->req, NULL);
}

/* ---- from the hardware ---- */

static void irq_message(void *ctx, unsigned vector)
{
	vfio_pci_msi_message(ctx, vector);
}

static void irq_intx(void *ctx, bool asserted)
{
	struct vfio_pci_device *v = ctx;

	if (asserted && pci_intx_asserted(v->pdev))
		vfio_pci_intx_raise(v);
}

static void irq_error(void *ctx)
{
	struct vfio_pci_device *v = ctx;

	(void)single_signal(v, &v->err); /* nobody may want to know */
}

const struct pci_irq_ops vfio_pci_irq_ops = {
	.error = irq_error,
	.message = irq_message,
	.intx = irq_intx,
};
