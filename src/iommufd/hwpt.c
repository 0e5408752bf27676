/* SPDX-License-Identifier: MIT */
/*
 * HWPTs: what devices are attached to. A paging one is one hardware page table, that shows all of an address space. A
 * program makes it (manual), or attaching a device to an IOAS does (automatic): those are shared by all devices that
 * suit, and go with the last one. A nested one is a guest's own page table, which leads to the addresses of a paging one,
 * its parent.
 *
 * Spec: 30, 6.3, 7.
 */
#include "iommufd/hw.h"
#include <assert.h>

#define NESTED_FLAGS (IOMMU_HWPT_FAULT_ID_VALID | IOMMU_HWPT_ALLOC_PASID)

/* ---- life ---- */

static int hwpt_new(struct iommufd_ctx *ctx, enum iommufd_type type, const struct iommufd_hw *hw,
		    struct iommufd_hwpt **out)
{
	struct iommufd_hwpt *hwpt = calloc(1, sizeof(*hwpt));
	int rc;

	if (!hwpt)
		return -ENOMEM;
	rc = iommufd_object_reserve(ctx, type, &hwpt->obj);
	if (rc) {
		free(hwpt);
		return rc;
	}
	hwpt->hw = hw;
	*out = hwpt;
	return 0;
}

/* The opposite, before it has a domain */
static void hwpt_drop(struct iommufd_hwpt *hwpt)
{
	iommufd_object_abandon(&hwpt->obj);
	free(hwpt);
}

static int create_paging(struct iommufd_ioas *ioas, struct iommufd_device *idev, const struct hw_user *user,
			 struct iommufd_hwpt **out)
{
	struct iommufd_hwpt *hwpt;
	int rc = hwpt_new(ioas->obj.ctx, IOMMUFD_HWPT, iommufd_hw_of(idev), &hwpt);

	if (rc)
		return rc;
	rc = hwpt->hw->paging(hwpt, idev, user);
	if (rc)
		goto err_drop;
	/* From the beginning: whatever is mapped later is snooped. */
	hwpt->enforces_coherency = iommu_domain_enforce_coherency(hwpt->domain);
	rc = iopt_add_domain(&ioas->iopt, hwpt->domain);
	if (rc)
		goto err_domain;
	hwpt->ioas = ioas;
	iommufd_object_use(&ioas->obj);
	*out = hwpt;
	return 0;

err_domain:
	iommu_domain_destroy(hwpt->domain);
err_drop:
	hwpt_drop(hwpt);
	return rc;
}

int iommufd_hwpt_create_auto(struct iommufd_ioas *ioas, struct iommufd_device *idev, struct iommufd_hwpt **out)
{
	int rc = create_paging(ioas, idev, NULL, out);

	if (rc)
		return rc;
	(*out)->obj.automatic = true;
	(*out)->obj.visitors = 1;
	return 0;
}

/* On @parent, or on what @viommu has for one */
static int create_nested(struct iommufd_hwpt *parent, struct iommufd_viommu *viommu, const struct hw_user *user,
			 struct iommufd_hwpt **out)
{
	struct iommufd_hwpt *hwpt;
	int rc = hwpt_new(parent->obj.ctx, IOMMUFD_NESTED, parent->hw, &hwpt);

	if (rc)
		return rc;
	hwpt->ioas = parent->ioas;
	hwpt->parent = parent;
	hwpt->viommu = viommu;
	rc = hwpt->hw->nested(hwpt, user);
	if (rc) {
		hwpt_drop(hwpt);
		return rc;
	}
	iommufd_object_use(viommu ? &viommu->obj : &parent->obj);
	*out = hwpt;
	return 0;
}

/* What it used */
static struct iommufd_object *base_of(const struct iommufd_hwpt *hwpt)
{
	if (!hwpt->parent)
		return &hwpt->ioas->obj;
	return hwpt->viommu ? &hwpt->viommu->obj : &hwpt->parent->obj;
}

static void hwpt_end(struct iommufd_hwpt *hwpt)
{
	struct iommufd_object *base = base_of(hwpt);

	if (!hwpt->parent)
		iopt_remove_domain(&hwpt->ioas->iopt, hwpt->domain);
	iommu_domain_destroy(hwpt->domain);
	if (hwpt->fault)
		iommufd_object_unuse(iommufd_fault_object(hwpt->fault));
	iommufd_object_unuse(base);
	free(hwpt->hw_data);
	free(hwpt);
}

void iommufd_hwpt_free(struct iommufd_object *o)
{
	struct iommufd_hwpt *hwpt = container_of(o, struct iommufd_hwpt, obj);

	if (!hwpt->parent) {
		mutex_lock(&o->ctx->lock);
		TAILQ_REMOVE(&hwpt->ioas->hwpts, hwpt, link);
		mutex_unlock(&o->ctx->lock);
	}
	hwpt_end(hwpt);
}

void iommufd_hwpt_abandon(struct iommufd_hwpt *hwpt)
{
	iommufd_object_abandon(&hwpt->obj);
	hwpt_end(hwpt);
}

void iommufd_hwpt_publish(struct iommufd_hwpt *hwpt)
{
	if (!hwpt->parent) {
		mutex_lock(&hwpt->obj.ctx->lock);
		TAILQ_INSERT_TAIL(&hwpt->ioas->hwpts, hwpt, link);
		mutex_unlock(&hwpt->obj.ctx->lock);
	}
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

static int check_paging(uint32_t flags, const struct iommufd_device *idev)
{
	if (flags & ~iommufd_hw_of(idev)->paging_flags)
		return -EOPNOTSUPP;
	if ((flags & IOMMU_HWPT_ALLOC_DIRTY_TRACKING) && !idev->unit->dirty)
		return -EOPNOTSUPP;
	if (!(flags & IOMMU_HWPT_ALLOC_NEST_PARENT))
		return 0;
	return (flags & IOMMU_HWPT_FAULT_ID_VALID) || !idev->unit->nesting ? -EOPNOTSUPP : 0;
}

/* The queue that an HWPT being made names. */
static int name_fault(struct ucmd *u, struct iommufd_hwpt *hwpt)
{
	const struct iommu_hwpt_alloc *a = u->cmd;
	struct iommufd_fault *fault;

	if (!(a->flags & IOMMU_HWPT_FAULT_ID_VALID))
		return 0;
	fault = iommufd_fault_visit(u->ctx, a->fault_id);
	if (!fault)
		return -ENOENT;
	iommufd_object_use(iommufd_fault_object(fault));
	hwpt->fault = fault;
	iommu_domain_handle_faults(hwpt->domain, &iommufd_fault_ops, fault);
	iommufd_object_leave(iommufd_fault_object(fault));
	return 0;
}

static int alloc_paging(uint32_t flags, struct iommufd_device *idev, struct iommufd_ioas *ioas,
			const struct hw_user *user, struct iommufd_hwpt **out)
{
	int rc = check_paging(flags, idev);

	return rc ? rc : create_paging(ioas, idev, user->type == IOMMU_HWPT_DATA_NONE ? NULL : user, out);
}

static int check_nested(uint32_t flags, const struct iommufd_hw *hw, const struct hw_user *user)
{
	return (flags & ~(uint32_t)NESTED_FLAGS) || !user->length || !hw->nested ? -EOPNOTSUPP : 0;
}

static int alloc_nested(uint32_t flags, struct iommufd_device *idev, struct iommufd_hwpt *parent,
			const struct hw_user *user, struct iommufd_hwpt **out)
{
	int rc = check_nested(flags, iommufd_hw_of(idev), user);

	if (rc)
		return rc;
	if (!parent->nest_parent || parent->hw != iommufd_hw_of(idev))
		return -EINVAL;
	return create_nested(parent, NULL, user, out);
}

static int alloc_virtual(uint32_t flags, struct iommufd_device *idev, struct iommufd_viommu *viommu,
			 const struct hw_user *user, struct iommufd_hwpt **out)
{
	int rc = check_nested(flags, viommu->hw, user);

	if (rc)
		return rc;
	return !iommufd_hw_same_unit(viommu->unit, idev->unit) ? -EINVAL : create_nested(viommu->parent, viommu, user, out);
}

static int alloc_on(uint32_t flags, struct iommufd_device *idev, struct iommufd_object *pt, const struct hw_user *user,
		    struct iommufd_hwpt **out)
{
	switch (pt->type) {
	case IOMMUFD_IOAS:
		return alloc_paging(flags, idev, container_of(pt, struct iommufd_ioas, obj), user, out);
	case IOMMUFD_HWPT:
		return alloc_nested(flags, idev, container_of(pt, struct iommufd_hwpt, obj), user, out);
	case IOMMUFD_VIOMMU:
		return alloc_virtual(flags, idev, container_of(pt, struct iommufd_viommu, obj), user, out);
	default:
		return -EINVAL;
	}
}

static int alloc_for(struct ucmd *u, struct iommufd_device *idev, const struct hw_user *user, struct iommufd_hwpt **out)
{
	struct iommu_hwpt_alloc *a = u->cmd;
	struct iommufd_object *pt = iommufd_object_visit(u->ctx, a->pt_id, IOMMUFD_ANY);
	struct iommufd_hwpt *hwpt;
	int rc;

	if (!pt)
		return -EINVAL;
	rc = alloc_on(a->flags, idev, pt, user, &hwpt);
	if (rc) {
		iommufd_object_leave(pt);
		return rc;
	}
	hwpt->nest_parent = a->flags & IOMMU_HWPT_ALLOC_NEST_PARENT;
	hwpt->dirty = a->flags & IOMMU_HWPT_ALLOC_DIRTY_TRACKING;
	hwpt->pasid = a->flags & IOMMU_HWPT_ALLOC_PASID;
	a->out_hwpt_id = hwpt->obj.id;
	rc = name_fault(u, hwpt);
	if (rc)
		iommufd_hwpt_abandon(hwpt);
	else
		*out = hwpt;
	iommufd_object_leave(pt); /* the HWPT uses it by now */
	return rc;
}

int iommufd_hwpt_alloc_ioctl(struct ucmd *u)
{
	const struct iommu_hwpt_alloc *a = u->cmd;
	struct iommufd_device *idev;
	struct iommufd_hwpt *hwpt;
	struct hw_user user;
	int rc;

	if (a->__reserved)
		return -EOPNOTSUPP;
	if ((a->data_type == IOMMU_HWPT_DATA_NONE) != (a->data_len == 0))
		return -EINVAL;
	hw_user_read(&user, u->t, a->data_type, a->data_len, a->data_uptr);
	idev = iommufd_device_visit(u->ctx, a->dev_id);
	if (!idev)
		return -ENOENT;
	rc = alloc_for(u, idev, &user, &hwpt);
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
