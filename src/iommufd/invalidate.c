/* SPDX-License-Identifier: MIT */
/*
 * HWPT_INVALIDATE: a guest has changed its page tables, or its view of a device, and what hardware remembers of them
 * must go. Only nested page tables and virtual IOMMUs have anything like that.
 *
 * Spec: 30, section 7.
 */
#include "iommufd/hw.h"

#define INVALIDATE_MAX (1u << 19)

static int invalidate_on(struct iommufd_object *o, struct hw_batch *b)
{
	struct iommufd_hwpt *hwpt;
	struct iommufd_viommu *v;

	switch (o->type) {
	case IOMMUFD_NESTED:
		hwpt = container_of(o, struct iommufd_hwpt, obj);
		return hwpt->hw->invalidate ? hwpt->hw->invalidate(hwpt, b) : -EOPNOTSUPP;
	case IOMMUFD_VIOMMU:
		v = container_of(o, struct iommufd_viommu, obj);
		return v->hw->viommu_invalidate ? v->hw->viommu_invalidate(v, b) : -EOPNOTSUPP;
	default:
		return -EINVAL;
	}
}

static int invalidate(struct ucmd *u, const struct iommu_hwpt_invalidate *a, uint32_t *done)
{
	struct hw_batch b = { .t = u->t, .type = a->data_type, .length = a->entry_len, .count = a->entry_num,
			      .uva = a->data_uptr };
	struct iommufd_object *o;
	int rc;

	if (a->__reserved)
		return -EOPNOTSUPP;
	if (a->entry_num && (!a->data_uptr || !a->entry_len || a->entry_len > UVFIO_PAGE_SIZE ||
			     a->entry_num > INVALIDATE_MAX))
		return -EINVAL;
	o = iommufd_object_visit(u->ctx, a->hwpt_id, IOMMUFD_ANY);
	if (!o)
		return -ENOENT;
	rc = invalidate_on(o, &b);
	iommufd_object_leave(o);
	*done = b.done;
	return rc;
}

int iommufd_hwpt_invalidate_ioctl(struct ucmd *u)
{
	struct iommu_hwpt_invalidate *a = u->cmd;
	uint32_t done = 0;
	int rc = invalidate(u, a, &done);

	a->entry_num = done;
	return ucmd_respond(u) ? -EFAULT : rc;
}
