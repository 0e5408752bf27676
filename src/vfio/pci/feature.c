/* SPDX-License-Identifier: MIT */
/*
 * Device features that vfio-pci answers itself, and the low power mode behind three of them (spec 20, 5.5, 6).
 *
 * Low power mode blocks mappings until it is left. The device really sleeps once no call is under way; the next
 * call wakes it, and with a wakeup eventfd ends the mode. Sleeping is only this bookkeeping: a model has no
 * power to save.
 */
#include "vfio/pci/priv.h"

/* ---- the mode ---- */

static int low_power_enter(struct vfio_pci_device *v, const struct task *t, struct event *wakeup)
{
	SCOPED_WRITE(&v->memory_lock);
	if (v->low_power)
		return -EINVAL;
	vfio_pci_memory_block_locked(v);
	vfio_pci_disabled_by_locked(v, VFIO_PCI_LOW_POWER, (struct vfio_pci_deed){ 0 }, t);
	v->wakeup = wakeup ? event_get(wakeup) : NULL;
	v->low_power = true;
	return 0;
}

/* Returns the wakeup eventfd, now the caller's. */
static struct event *low_power_leave_locked(struct vfio_pci_device *v)
{
	struct event *wakeup = v->wakeup;

	if (!v->low_power)
		return NULL;
	v->low_power = false;
	v->suspended = false;
	v->wakeup = NULL;
	vfio_pci_memory_update_locked(v);
	return wakeup;
}

void vfio_pci_low_power_end(struct vfio_pci_device *v)
{
	struct event *wakeup;

	rwlock_write(&v->memory_lock);
	wakeup = low_power_leave_locked(v);
	rwlock_unlock(&v->memory_lock);
	event_put(wakeup);
}

static void wake(struct vfio_pci_device *v)
{
	struct event *wakeup = NULL;

	rwlock_write(&v->memory_lock);
	if (v->suspended) {
		v->suspended = false;
		if (v->wakeup)
			wakeup = low_power_leave_locked(v);
	}
	rwlock_unlock(&v->memory_lock);
	if (wakeup)
		event_signal(wakeup);
	event_put(wakeup);
}

void vfio_pci_call_begin(struct vfio_pci_device *v)
{
	atomic_fetch_add(&v->calls, 1);
	if (v->suspended)
		wake(v);
}

void vfio_pci_call_end(struct vfio_pci_device *v)
{
	if (atomic_fetch_sub(&v->calls, 1) != 1 || !v->low_power)
		return;
	/* A call that begins now either sees `suspended` or is seen in `calls`. */
	SCOPED_WRITE(&v->memory_lock);
	v->suspended = v->low_power;
	if (atomic_load(&v->calls))
		v->suspended = false;
}

/* ---- the features ---- */

static long low_power_entry(struct vfio_pci_device *v, struct task *t, uint32_t flags, uva_t data, size_t size)
{
	int rc = vfio_feature_check(flags, size, VFIO_DEVICE_FEATURE_SET, 0);

	return rc == 1 ? low_power_enter(v, t, NULL) : rc;
}

static long low_power_entry_with_wakeup(struct vfio_pci_device *v, struct task *t, uint32_t flags, uva_t data,
					size_t size)
{
	struct vfio_device_low_power_entry_with_wakeup entry;
	int rc = vfio_feature_check(flags, size, VFIO_DEVICE_FEATURE_SET, sizeof(entry));
	struct event *wakeup;

	if (rc != 1)
		return rc;
	if (task_copy_in(t, &entry, data, sizeof(entry)))
		return -EFAULT;
	if (entry.wakeup_eventfd < 0)
		return -EINVAL;
	rc = task_event_get(t, entry.wakeup_eventfd, &wakeup);
	if (rc)
		return rc;
	rc = low_power_enter(v, t, wakeup);
	event_put(wakeup);
	return rc;
}

static long low_power_exit(struct vfio_pci_device *v, struct task *t, uint32_t flags, uva_t data, size_t size)
{
	int rc = vfio_feature_check(flags, size, VFIO_DEVICE_FEATURE_SET, 0);

	if (rc != 1)
		return rc;
	vfio_pci_low_power_end(v);
	return 0;
}

long vfio_pci_device_feature(struct vfio_device *vdev, struct task *t, uint32_t flags, uva_t data, size_t size)
{
	struct vfio_pci_device *v = vfio_pci_device_of(vdev);
	long rc;

	vfio_pci_call_begin(v);
	switch (flags & VFIO_DEVICE_FEATURE_MASK) {
	case VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY:
		rc = low_power_entry(v, t, flags, data, size);
		break;
	case VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP:
		rc = low_power_entry_with_wakeup(v, t, flags, data, size);
		break;
	case VFIO_DEVICE_FEATURE_LOW_POWER_EXIT:
		rc = low_power_exit(v, t, flags, data, size);
		break;
	case VFIO_DEVICE_FEATURE_PCI_VF_TOKEN:
		rc = vfio_pci_token_feature(v, t, flags, data, size);
		break;
	case VFIO_DEVICE_FEATURE_DMA_BUF:
		rc = vfio_pci_dmabuf_feature(v, t, flags, data, size);
		break;
	default:
		rc = -ENOTTY;
		break;
	}
	vfio_pci_call_end(v);
	return rc;
}
