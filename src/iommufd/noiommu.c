/* SPDX-License-Identifier: MIT */
/*
 * Devices without IOMMU. Their HWPT is a page table that no hardware walks: it pins what is mapped, and a program with
 * CAP_SYS_RAWIO may ask where that is, and give the device those addresses itself: places in the machine's RAM, the same
 * that /proc/self/pagemap tells.
 *
 * Spec: 30, 6.8.
 */
#include "iommufd/priv.h"

const struct iommu_unit iommufd_noiommu_unit = { .name = "noiommu", .width = 64, .pgsizes = UVFIO_PAGE_SIZE };

static int locate(struct iopt *t, struct iommu_ioas_noiommu_get_pa *a)
{
	struct iopt_area *area;

	SCOPED_ENTER(t);
	area = iopt_area_in_locked(t, a->iova, a->iova);
	if (!area)
		return -ENOENT;
	if (!t->ndomains || iommu_domain_unit(t->domains[0]) != &iommufd_noiommu_unit)
		return -EOPNOTSUPP;
	a->length = MIN(a->length - 1, area->last - a->iova) + 1;
	return iommufd_pages_run(area->pages, area->at + (a->iova - area->start), &a->length, &a->out_phys);
}

int iommufd_get_pa_ioctl(struct ucmd *u)
{
	struct iommu_ioas_noiommu_get_pa *a = u->cmd;
	struct iommufd_ioas *ioas;
	int rc;

	if (!u->ctx->fd->noiommu)
		return -EOPNOTSUPP;
	if (!task_capable(u->t, TASK_CAP_SYS_RAWIO))
		return -EPERM;
	if (a->flags || a->__reserved)
		return -EOPNOTSUPP;
	if (!a->length)
		return -EINVAL;
	if (a->iova == UINT64_MAX)
		return -EOVERFLOW;
	ioas = iommufd_ioas_visit(u->ctx, a->ioas_id);
	if (!ioas)
		return -ENOENT;
	rc = locate(&ioas->iopt, a);
	iommufd_ioas_leave(ioas);
	return rc ? rc : ucmd_respond(u);
}
