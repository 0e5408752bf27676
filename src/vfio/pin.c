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

/* Page by page, as what a driver pins in one call it may unpin in many. */
static void access_unpin(struct iommufd_access *a, iova_t page, int npages)
{
	for (int i = 0; i < npages; i++)
		iommufd_access_unpin(a, page + (iova_t)i * UVFIO_PAGE_SIZE, UVFIO_PAGE_SIZE);
}

static int access_pin(struct iommufd_access *a, iova_t page, int npages, bool write, phys_t *phys)
{
	if (page + ((uint64_t)npages << UVFIO_PAGE_SHIFT) - 1 < page)
		return -EOVERFLOW;
	for (int i = 0; i < npages; i++) {
		int rc = iommufd_access_pin(a, page + (iova_t)i * UVFIO_PAGE_SIZE, UVFIO_PAGE_SIZE, write, &phys[i]);

		if (rc) {
			access_unpin(a, page, i);
			return rc;
		}
	}
	return npages;
}

int vfio_pin_pages(struct vfio_device *v, iova_t iova, int npages, unsigned prot, phys_t *phys)
{
	struct vfio_backend *b = backend_of(v);
	struct iommufd_access *a = access_of(v);

	if ((!b && !a) || npages <= 0 || !v->ops->dma_unmap)
		return -EINVAL;
	if (npages > VFIO_PIN_PAGES_MAX)
		return -E2BIG;
	if (a)
		return access_pin(a, ALIGN_DOWN(iova, UVFIO_PAGE_SIZE), npages, prot & MEM_WRITE, phys);
	if (!b->ops->pin)
		return -ENOTTY;
	return b->ops->pin(b, v->priv->group, iova, npages, prot, phys);
}

void vfio_unpin_pages(struct vfio_device *v, iova_t iova, int npages)
{
	struct vfio_backend *b = backend_of(v);
	struct iommufd_access *a = access_of(v);

	if (a)
		access_unpin(a, ALIGN_DOWN(iova, UVFIO_PAGE_SIZE), npages);
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
