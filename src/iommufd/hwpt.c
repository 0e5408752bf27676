/* SPDX-License-Identifier: MIT */
/*
 * HWPTs: one hardware page table each, that shows all of an address space to the devices attached to it. A program
 * makes them (manual), or attaching a device to an IOAS does (automatic): those are shared by all devices that suit,
 * and go with the last one.
 *
 * Spec: 30, 6.3, 7.
 */
#include "iommufd/priv.h"
#include <assert.h>

#define PAGING_FLAGS (IOMMU_HWPT_ALLOC_NEST_PARENT | IOMMU_HWPT_ALLOC_DIRTY_TRACKING | IOMMU_HWPT_FAULT_ID_VALID | \
		      IOMMU_HWPT_ALLOC_PASID)

/* ---- life ---- */

int iommufd_hwpt_create(struct iommufd_ioas *ioas, struct iommufd_device *idev, bool automatic,
			struct iommufd_hwpt **out)
{
	struct iommufd_hwpt *hwpt = calloc(1, sizeof(*hwpt));
	int rc;

	if (!hwpt)
		return -ENOMEM;
	rc = iommufd_object_reserve(ioas->obj.ctx, IOMMUFD_HWPT, &hwpt->obj);
	if (rc)
		goto err_free;
	rc = iommu_domain_create_for(ioas->obj.ctx->fd->iommu, idev->unit, &hwpt->domain);
	if (rc)
		goto err_abandon;
	/* From the beginning: whatever is mapped later is snooped. */
	hwpt->enforces_coherency = iommu_domain_enforce_coherency(hwpt->domain);
	rc = iopt_add_domain(&ioas->iopt, hwpt->domain);
	if (rc)
		goto err_domain;
	hwpt->ioas = ioas;
	hwpt->obj.automatic = automatic;
	hwpt->obj.visitors = automatic;
	iommufd_object_use(&ioas->obj);
	*out = hwpt;
	return 0;

err_domain:
	iommu_domain_destroy(hwpt->domain);
err_abandon:
	iommufd_object_abandon(&hwpt->obj);
err_free:
	free(hwpt);
	return rc;
}

static void hwpt_end(struct iommufd_hwpt *hwpt)
{
	iopt_remove_domain(&hwpt->ioas->iopt, hwpt->domain);
	iommu_domain_destroy(hwpt->domain);
	if (hwpt->fault)
		iommufd_object_unuse(hwpt->fault);
	iommufd_object_unuse(&hwpt->ioas->obj);
	free(hwpt);
}

void iommufd_hwpt_free(struct iommufd_object *o)
{
	struct iommufd_hwpt *hwpt = container_of(o, struct iommufd_hwpt, obj);

	mutex_lock(&o->ctx->lock);
	TAILQ_REMOVE(&hwpt->ioas->hwpts, hwpt, link);
	mutex_unlock(&o->ctx->lock);
	hwpt_end(hwpt);
}

void iommufd_hwpt_abandon(struct iommufd_hwpt *hwpt)
{
	iommufd_object_abandon(&hwpt->obj);
	hwpt_end(hwpt);
}

void iommufd_hwpt_publish(struct iommufd_hwpt *hwpt)
{
	mutex_lock(&hwpt->obj.ctx->lock);
	TAILQ_INSERT_TAIL(&hwpt->ioas->hwpts, hwpt, link);
	mutex_unlock(&hwpt->obj.ctx->lock);
	iommufd_object_publish(&hwpt->obj);
}

static struct iommufd_hwpt *next_locked(struct iommufd_ioas *ioas, struct iommufd_hwpt *h)
{
	struct iommufd_object **objects = ioas->obj.ctx->objects;

	h = h ? TAILQ_NEXT(h, link) : TAILQ_FIRST(&ioas->hwpts);
	while (h && (!h->obj.automatic || objects[h->obj.id - 1] != &h->obj)) /* manual, or on its way out */
		h = TAILQ_NEXT(h, link);
	if (h)
		h->obj.visitors++;
	return h;
}

struct iommufd_hwpt *iommufd_hwpt_next(struct iommufd_ioas *ioas, struct iommufd_hwpt *prev)
{
	struct iommufd_hwpt *h;

	mutex_lock(&ioas->obj.ctx->lock);
	h = next_locked(ioas, prev);
	mutex_unlock(&ioas->obj.ctx->lock);
	if (prev)
		iommufd_object_leave(&prev->obj);
	return h;
}

bool iommufd_ioas_enforces_coherency(struct iommufd_ioas *ioas)
{
	struct iommufd_hwpt *h;

	SCOPED_LOCK(&ioas->obj.ctx->lock);
	TAILQ_FOREACH(h, &ioas->hwpts, link) {
		if (!h->enforces_coherency)
			return false;
	}
	return true;
}

/* ---- HWPT_ALLOC ---- */

static int check_paging(const struct iommu_hwpt_alloc *a, const struct iommu_unit *unit)
{
	const bool nest = a->flags & IOMMU_HWPT_ALLOC_NEST_PARENT;

	if ((a->flags & ~PAGING_FLAGS) || (a->flags && unit == &iommufd_noiommu_unit))
		return -EOPNOTSUPP;
	if ((a->flags & IOMMU_HWPT_ALLOC_DIRTY_TRACKING) && !unit->dirty)
		return -EOPNOTSUPP;
	if (nest && ((a->flags & IOMMU_HWPT_FAULT_ID_VALID) || !unit->nesting))
		return -EOPNOTSUPP;
	/* No unit's page tables need to be told anything. */
	return a->data_type != IOMMU_HWPT_DATA_NONE ? -EOPNOTSUPP : 0;
}

/* The queue that an HWPT being made names. */
static int name_fault(struct ucmd *u, struct iommufd_hwpt *hwpt)
{
	const struct iommu_hwpt_alloc *a = u->cmd;
	struct iommufd_object *fault;

	if (!(a->flags & IOMMU_HWPT_FAULT_ID_VALID))
		return 0;
	fault = iommufd_object_visit(u->ctx, a->fault_id, IOMMUFD_FAULT);
	if (!fault)
		return -ENOENT;
	iommufd_object_use(fault);
	hwpt->fault = fault;
	iommufd_object_leave(fault);
	return 0;
}

static int alloc_paging(struct ucmd *u, struct iommufd_device *idev, struct iommufd_ioas *ioas,
			struct iommufd_hwpt **out)
{
	struct iommu_hwpt_alloc *a = u->cmd;
	struct iommufd_hwpt *hwpt;
	int rc = check_paging(a, idev->unit);

	if (rc)
		return rc;
	rc = iommufd_hwpt_create(ioas, idev, false, &hwpt);
	if (rc)
		return rc;
	hwpt->nest_parent = a->flags & IOMMU_HWPT_ALLOC_NEST_PARENT;
	hwpt->dirty = a->flags & IOMMU_HWPT_ALLOC_DIRTY_TRACKING;
	hwpt->pasid = a->flags & IOMMU_HWPT_ALLOC_PASID;
	a->out_hwpt_id = hwpt->obj.id;
	rc = name_fault(u, hwpt);
	if (rc)
		iommufd_hwpt_abandon(hwpt);
	else
		*out = hwpt;
	return rc;
}

static int alloc_for(struct ucmd *u, struct iommufd_device *idev, struct iommufd_hwpt **out)
{
	const struct iommu_hwpt_alloc *a = u->cmd;
	struct iommufd_object *pt = iommufd_object_visit(u->ctx, a->pt_id, IOMMUFD_ANY);
	int rc = -EINVAL;

	if (!pt)
		return -EINVAL;
	if (pt->type == IOMMUFD_IOAS)
		rc = alloc_paging(u, idev, container_of(pt, struct iommufd_ioas, obj), out);
	else if (pt->type == IOMMUFD_HWPT)
		rc = -EOPNOTSUPP; /* no unit's driver has nested ones */
	iommufd_object_leave(pt);
	return rc;
}

int iommufd_hwpt_alloc_ioctl(struct ucmd *u)
{
	const struct iommu_hwpt_alloc *a = u->cmd;
	struct iommufd_device *idev;
	struct iommufd_hwpt *hwpt;
	int rc;

	if (a->__reserved)
		return -EOPNOTSUPP;
	if ((a->data_type == IOMMU_HWPT_DATA_NONE) != (a->data_len == 0))
		return -EINVAL;
	idev = iommufd_device_visit(u->ctx, a->dev_id);
	if (!idev)
		return -ENOENT;
	rc = alloc_for(u, idev, &hwpt);
	iommufd_device_leave(idev); /* its unbind need not wait for copies to the program */
	if (rc)
		return rc;
	rc = ucmd_respond(u);
	if (rc)
		iommufd_hwpt_abandon(hwpt);
	else
		iommufd_hwpt_publish(hwpt);
	return rc;
}

/* ---- HWPT_INVALIDATE ---- */

#define INVALIDATE_MAX (1u << 19)

/* Only nested page tables and virtual IOMMUs have caches to invalidate. */
static int invalidate(struct ucmd *u, const struct iommu_hwpt_invalidate *a)
{
	struct iommufd_object *o;

	if (a->__reserved)
		return -EOPNOTSUPP;
	if (a->entry_num && (!a->data_uptr || !a->entry_len || a->entry_len > UVFIO_PAGE_SIZE ||
			     a->entry_num > INVALIDATE_MAX))
		return -EINVAL;
	o = iommufd_object_visit(u->ctx, a->hwpt_id, IOMMUFD_ANY);
	if (!o)
		return -ENOENT;
	iommufd_object_leave(o);
	return -EINVAL;
}

int iommufd_hwpt_invalidate_ioctl(struct ucmd *u)
{
	struct iommu_hwpt_invalidate *a = u->cmd;
	int rc = invalidate(u, a);

	a->entry_num = 0; /* done */
	return ucmd_respond(u) ? -EFAULT : rc;
}
