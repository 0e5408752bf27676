/* SPDX-License-Identifier: MIT */
/*
 * What drivers of emulated devices do with the memory of their program: checks that need no backend, then the
 * backend of the container, or the iommufd. They stay while the device is open, which is the only time these may be called.
 */
#include "vfio/priv.h"

/* The backend, NULL: the device is not open. */
static struct vfio_backend *backend_of(struct vfio_device *v)
{
	return v->priv && vfio_device_is_open(v) ? v->priv->backend : NULL;
}

/* The access, NULL: it is not bound to an iommufd. */
static struct iommufd_access *access_of(struct vfio_device *v)
{
	return v->priv && vfio_device_is_open(v) ? v->priv->access : NULL;
}

int vfio_pin_pages(struct vfio_device *v, iova_t iova, int npages, unsigned prot, phys_t *phys)
{
	struct vfio_backend *b = backend_of(v);
	struct iommufd_access *a = access_of(v);
	int rc;

	if ((!b && !a) || npages <= 0 || !v->ops->dma_unmap)
		return -EINVAL;
	if (npages > VFIO_PIN_PAGES_MAX)
		return -E2BIG;
	if (a) {
		rc = iommufd_access_pin(a, ALIGN_DOWN(iova, UVFIO_PAGE_SIZE), (uint64_t)npages << UVFIO_PAGE_SHIFT,
					prot & MEM_WRITE, phys);
		return rc ? rc : npages;
	}
	if (!b->ops->pin)
		return -ENOTTY;
	return b->ops->pin(b, v->priv->group, iova, npages, prot, phys);
}

void vfio_unpin_pages(struct vfio_device *v, iova_t iova, int npages)
{
	struct vfio_backend *b = backend_of(v);
	struct iommufd_access *a = access_of(v);

	if (a && npages > 0)
		iommufd_access_unpin(a, ALIGN_DOWN(iova, UVFIO_PAGE_SIZE), (uint64_t)npages << UVFIO_PAGE_SHIFT);
	if (b && b->ops->unpin && npages > 0 && v->ops->dma_unmap)
		b->ops->unpin(b, iova, npages);
}

int vfio_dma_rw(struct vfio_device *v, struct task *t, iova_t iova, void *data, size_t n, bool write)
{
	struct vfio_backend *b = backend_of(v);
	struct iommufd_access *a = access_of(v);

	if ((!b && !a) || !n)
		return -EINVAL;
	if (a)
		return iommufd_access_rw(a, t, iova, data, n, write);
	if (!b->ops->dma_rw)
		return -ENOTTY;
	return b->ops->dma_rw(b, t, iova, data, n, write);
}
