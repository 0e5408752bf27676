/* SPDX-License-Identifier: MIT */
/*
 * ioeventfds: an eventfd whose signal becomes a store to a BAR (spec 20, 1.9).
 *
 * The store is made on the event loop's thread under the read side of memory_lock, and dropped while memory is
 * disabled. An entry stays until it is removed by its identity or the device is closed, also when its eventfd
 * is closed before.
 */
#include "vfio/pci/priv.h"

#define IOEVENTFD_MAX 1000u

struct vfio_pci_ioeventfd {
	LIST_ENTRY(vfio_pci_ioeventfd) link;
	struct vfio_pci_device *v;
	struct event_watch *watch;
	unsigned bar, width;
	uint64_t pos, data;
};

static void ioeventfd_fire(void *ctx)
{
	struct vfio_pci_ioeventfd *e = ctx;
	struct vfio_pci_device *v = e->v;
	uint8_t bytes[8];

	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(e->data >> (8 * i));
	SCOPED_READ(&v->memory_lock);
	if (pci_bar(v->pdev, e->bar)->kind == PCI_BAR_IO || vfio_pci_memory_enabled_locked(v))
		pci_bar_access(v->pdev, e->bar, e->pos, bytes, e->width, true);
}

static struct vfio_pci_ioeventfd *ioeventfd_find_locked(struct vfio_pci_device *v,
							const struct vfio_pci_ioeventfd *like)
{
	struct vfio_pci_ioeventfd *e;

	LIST_FOREACH(e, &v->ioeventfds, link) {
		if (e->bar == like->bar && e->pos == like->pos && e->data == like->data && e->width == like->width)
			return e;
	}
	return NULL;
}

static void ioeventfd_destroy_locked(struct vfio_pci_device *v, struct vfio_pci_ioeventfd *e)
{
	event_watch_remove(e->watch);
	LIST_REMOVE(e, link);
	v->nioeventfds--;
	free(e);
}

static int ioeventfd_add_locked(struct vfio_pci_device *v, const struct vfio_pci_ioeventfd *like, struct event *ev)
{
	struct vfio_pci_ioeventfd *e;
	int rc;

	if (v->nioeventfds >= IOEVENTFD_MAX)
		return -ENOSPC;
	e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	*e = *like;
	rc = event_watch_add(v->vp->loop, ev, ioeventfd_fire, e, &e->watch);
	if (rc) {
		free(e);
		return rc;
	}
	LIST_INSERT_HEAD(&v->ioeventfds, e, link);
	v->nioeventfds++;
	return 0;
}

/* @ev: NULL: remove. @rc: of the eventfd's lookup, which counts after the entry was looked for. */
static int ioeventfd_set(struct vfio_pci_device *v, const struct vfio_pci_ioeventfd *like, struct event *ev, int rc,
			 bool remove)
{
	struct vfio_pci_ioeventfd *e;

	SCOPED_LOCK(&v->ioeventfd_lock);
	e = ioeventfd_find_locked(v, like);
	if (remove) {
		if (!e)
			return -ENODEV;
		ioeventfd_destroy_locked(v, e);
		return 0;
	}
	if (e)
		return -EEXIST;
	if (v->nioeventfds >= IOEVENTFD_MAX)
		return -ENOSPC;
	return rc ? rc : ioeventfd_add_locked(v, like, ev);
}

/* What the request asks for, as the entry it would make. */
static int ioeventfd_parse(struct vfio_pci_device *v, const struct vfio_device_ioeventfd *io,
			   struct vfio_pci_ioeventfd *e)
{
	uint32_t width = io->flags & VFIO_DEVICE_IOEVENTFD_SIZE_MASK;
	uint64_t index = io->offset >> VFIO_PCI_OFFSET_SHIFT;

	/* The flag of each width is the width itself. */
	if (io->flags & ~VFIO_DEVICE_IOEVENTFD_SIZE_MASK || !width || width & (width - 1) || io->fd < -1)
		return -EINVAL;
	if (index >= VFIO_PCI_NBARS)
		return -EINVAL;
	*e = (struct vfio_pci_ioeventfd){
		.v = v, .bar = (unsigned)index, .width = width, .pos = io->offset & VFIO_PCI_OFFSET_MASK,
		.data = io->data,
	};
	if (e->pos + width > v->bar_size[index])
		return -EINVAL;
	if (index == v->msix_bar && e->pos < v->msix_end && e->pos + width > v->msix_start)
		return -EINVAL;
	return 0;
}

long vfio_pci_ioeventfd_ioctl(struct vfio_pci_device *v, struct task *t, uva_t arg)
{
	struct vfio_device_ioeventfd io = { 0 };
	struct vfio_pci_ioeventfd like;
	struct event *ev = NULL;
	int rc = ucopy_argsz(t, &io, arg, VFIO_DEVICE_IOEVENTFD_MINSZ), lookup = 0;

	if (!rc)
		rc = ioeventfd_parse(v, &io, &like);
	if (rc)
		return rc;
	if (io.fd >= 0)
		lookup = task_event_get(t, io.fd, &ev);
	if (lookup)
		ev = NULL;
	rc = ioeventfd_set(v, &like, ev, lookup, io.fd < 0);
	event_put(ev);
	return rc;
}

void vfio_pci_ioeventfds_destroy(struct vfio_pci_device *v)
{
	SCOPED_LOCK(&v->ioeventfd_lock);
	while (!LIST_EMPTY(&v->ioeventfds))
		ioeventfd_destroy_locked(v, LIST_FIRST(&v->ioeventfds));
}
