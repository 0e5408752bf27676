/* SPDX-License-Identifier: MIT */
/*
 * Requests for hardware that no unit of ours is: virtual IOMMUs. They answer as on a Linux whose IOMMU
 * drivers offer none of it: what is wrong with the arguments first, then that it is not supported, or that there is no
 * such object, as none can be made. Spec: 30, 3 and 11.
 */
#include "iommufd/priv.h"

#define VEVENTQ_DEPTH_MAX (1u << 19)

int iommufd_viommu_alloc_ioctl(struct ucmd *u)
{
	const struct iommu_viommu_alloc *a = u->cmd;
	struct iommufd_object *idev;

	if (a->flags || !a->type)
		return -EOPNOTSUPP;
	idev = iommufd_object_visit(u->ctx, a->dev_id, IOMMUFD_DEVICE);
	if (!idev)
		return -ENOENT;
	iommufd_object_leave(idev);
	return -EOPNOTSUPP;
}

int iommufd_vdevice_alloc_ioctl(struct ucmd *u)
{
	return -ENOENT;
}

int iommufd_veventq_alloc_ioctl(struct ucmd *u)
{
	const struct iommu_veventq_alloc *a = u->cmd;

	if (a->flags || a->__reserved || !a->type)
		return -EOPNOTSUPP;
	return !a->veventq_depth || a->veventq_depth > VEVENTQ_DEPTH_MAX ? -EINVAL : -ENOENT;
}

int iommufd_hw_queue_alloc_ioctl(struct ucmd *u)
{
	const struct iommu_hw_queue_alloc *a = u->cmd;

	if (a->flags || !a->type)
		return -EOPNOTSUPP;
	if (!a->length)
		return -EINVAL;
	return a->nesting_parent_iova + (a->length - 1) < a->nesting_parent_iova ? -EOVERFLOW : -ENOENT;
}
