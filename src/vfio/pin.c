/* SPDX-License-Identifier: MIT */
/*
 * What drivers of emulated devices do with the memory of their program: checks that need no backend, then the
 * backend of the container. It stays while the device is open, which is the only time these may be called.
 */
#include "vfio/priv.h"

/* The backend, NULL: the device is not open. */
static struct vfio_backend *backend_of(struct vfio_device *v)
{
	return v->priv && vfio_device_is_open(v) ? v->priv->backend : NULL;
}

int vfio_pin_pages(struct vfio_device *v, iova_t iova, int npages, unsigned prot, phys_t *phys)
{
	struct vfio_backend *b = backend_of(v);

	if (!b || npages <= 0 || !v->ops->dma_unmap)
		return -EINVAL;
	if (npages > VFIO_PIN_PAGES_MAX)
		return -E2BIG;
	if (!b->ops->pin)
		return -ENOTTY;
	return b->ops->pin(b, v->priv->group, iova, npages, prot, phys);
}

void vfio_unpin_pages(struct vfio_device *v, iova_t iova, int npages)
{
	struct vfio_backend *b = backend_of(v);

	if (b && b->ops->unpin && npages > 0 && v->ops->dma_unmap)
		b->ops->unpin(b, iova, npages);
}

int vfio_dma_rw(struct vfio_device *v, struct task *t, iova_t iova, void *data, size_t n, bool write)
{
	struct vfio_backend *b = backend_of(v);

	if (!b || !n)
		return -EINVAL;
	if (!b->ops->dma_rw)
		return -ENOTTY;
	return b->ops->dma_rw(b, t, iova, data, n, write);
}
