/* SPDX-License-Identifier: MIT */
/*
 * Devices bound to an iommufd. One that does DMA is a device there, whose group's DMA belongs to the context from then
 * on; an emulated one is an access, which pins pages when it asks.
 *
 * Spec: 10, 3.9, 3.11, 3.13, 3.14; 30, 6.
 */
#include "vfio/priv.h"
#include <search.h>

/* ---- emulated devices ---- */

static void access_unmap(void *ctx, iova_t iova, uint64_t length)
{
	struct vfio_device_priv *p = ctx;

	if (p->v->ops->dma_unmap)
		p->v->ops->dma_unmap(p->v, iova, length);
}

static const struct iommufd_access_ops access_ops = { .needs_pin_pages = true, .unmap = access_unmap };

/* Pages can be taken from who does not answer an unmap. */
static const struct iommufd_access_ops deaf_ops = { .needs_pin_pages = false };

static int access_attach(struct vfio_device_priv *p, uint32_t ioas_id)
{
	int rc = p->attached ? iommufd_access_replace(p->access, ioas_id) : iommufd_access_attach(p->access, ioas_id);

	if (!rc)
		p->attached = true;
	return rc;
}

/* ---- PASIDs: which are attached, as a second ATTACH replaces ---- */

#define PASID_KEY(pasid) ((void *)((uintptr_t)(pasid) + 1))

static int pasid_compare(const void *a, const void *b)
{
	return (uintptr_t)a < (uintptr_t)b ? -1 : (uintptr_t)a > (uintptr_t)b;
}

int vfio_iommufd_attach_pasid(struct vfio_device_priv *p, uint32_t pasid, uint32_t *pt_id)
{
	int rc;

	if (!p->idev)
		return -EOPNOTSUPP;
	if (tfind(PASID_KEY(pasid), &p->pasids, pasid_compare))
		return iommufd_device_replace(p->idev, pasid, pt_id);
	if (pasid > INT32_MAX)
		return -ENOSPC;
	if (!tsearch(PASID_KEY(pasid), &p->pasids, pasid_compare))
		return -ENOMEM;
	rc = iommufd_device_attach(p->idev, pasid, pt_id);
	if (rc)
		tdelete(PASID_KEY(pasid), &p->pasids, pasid_compare);
	return rc;
}

void vfio_iommufd_detach_pasid(struct vfio_device_priv *p, uint32_t pasid)
{
	if (!p->idev || !tdelete(PASID_KEY(pasid), &p->pasids, pasid_compare))
		return;
	iommufd_device_detach(p->idev, pasid);
}

static void detach_pasids(struct vfio_device_priv *p)
{
	while (p->pasids)
		vfio_iommufd_detach_pasid(p, (uint32_t)(*(uintptr_t *)p->pasids - 1));
}

/* ---- both ---- */

static int bind_device(struct vfio_device_priv *p, struct iommufd_ctx *ctx, uint32_t *id)
{
	if (p->group->type == VFIO_GROUP_NOIOMMU)
		return iommufd_device_bind_noiommu(ctx, p->v->iommu, &p->idev, id);
	return iommufd_device_bind(ctx, p->v->iommu, &p->idev, id);
}

int vfio_iommufd_bind(struct vfio_device_priv *p, struct iommufd_ctx *ctx, uint32_t *id)
{
	int rc;

	if (p->v->iommu)
		rc = bind_device(p, ctx, id);
	else
		rc = iommufd_access_create(ctx, p->v->ops->dma_unmap ? &access_ops : &deaf_ops, p, &p->access, id);
	if (!rc)
		p->ctx = ctx;
	return rc;
}

void vfio_iommufd_unbind(struct vfio_device_priv *p)
{
	detach_pasids(p);
	vfio_iommufd_detach(p);
	if (p->idev)
		iommufd_device_unbind(p->idev);
	if (p->access)
		iommufd_access_destroy(p->access);
	p->idev = NULL;
	p->access = NULL;
	p->ctx = NULL;
}

int vfio_iommufd_attach(struct vfio_device_priv *p, uint32_t *pt_id)
{
	if (p->access)
		return access_attach(p, *pt_id);
	return iommufd_device_attached(p->idev, IOMMUFD_NO_PASID) ?
		       iommufd_device_replace(p->idev, IOMMUFD_NO_PASID, pt_id) :
		       iommufd_device_attach(p->idev, IOMMUFD_NO_PASID, pt_id);
}

void vfio_iommufd_detach(struct vfio_device_priv *p)
{
	if (p->idev && iommufd_device_attached(p->idev, IOMMUFD_NO_PASID))
		iommufd_device_detach(p->idev, IOMMUFD_NO_PASID);
	if (p->access && p->attached)
		iommufd_access_detach(p->access);
	p->attached = false;
}

/* ---- a group with an iommufd as its container ---- */

int vfio_iommufd_use(struct vfio_device_priv *p, struct task *t)
{
	struct vfio_group *g = p->group;
	uint32_t id;

	if (g->type != VFIO_GROUP_NOIOMMU)
		return vfio_iommufd_bind(p, g->iommufd, &id);
	/* It is let loose as it is. A program that has mapped something would take that for a bound. */
	return vfio_noiommu_allowed(g, t) || iommufd_compat_ioas_id(g->iommufd, &id) == 0 ? -EPERM : 0;
}

/* ---- what drivers ask ---- */

bool vfio_device_is_cdev(struct vfio_device *v)
{
	return v->priv->bound != NULL;
}

int vfio_device_owned_id(struct vfio_device *v, struct iommu_dev *d)
{
	return v->priv->ctx ? iommufd_ctx_device_id(v->priv->ctx, d) : -1;
}
