/* SPDX-License-Identifier: MIT */
/* Data of programs' for drivers of IOMMUs, and the driver that adds nothing. */
#include "iommufd/hw.h"
#include <assert.h>
#include <string.h>

void hw_user_read(struct hw_user *user, struct task *t, uint32_t type, uint32_t length, uva_t uva)
{
	*user = (struct hw_user){ .type = type, .length = length };
	user->copied = task_copy_in(t, user->data, uva, MIN(length, (uint32_t)sizeof(user->data))) == 0;
}

int hw_user_copy(const struct hw_user *user, void *dst, size_t full, size_t min)
{
	assert(full <= sizeof(user->data));
	if (user->length < min || user->length > full)
		return -EINVAL;
	if (!user->copied)
		return -EFAULT;
	memcpy(dst, user->data, full);
	return 0;
}

void hw_user_answer(struct hw_user *user, const void *src, size_t n)
{
	memcpy(user->data, src, n);
	user->answered = true;
}

int hw_user_write(const struct hw_user *user, struct task *t, uva_t uva)
{
	return user->answered ? task_copy_out(t, uva, user->data, MIN(user->length, (uint32_t)sizeof(user->data))) : 0;
}

int hw_batch_copy(const struct hw_batch *b, uint32_t i, void *dst, size_t full, size_t min)
{
	if (b->length < min)
		return -EINVAL;
	return ucopy_struct(b->t, dst, full, b->uva + (uint64_t)i * b->length, b->length);
}

int iommufd_hw_paging(struct iommufd_hwpt *hwpt, struct iommufd_device *idev, const struct hw_user *user)
{
	if (user)
		return -EOPNOTSUPP;
	return iommu_domain_create_for(hwpt->obj.ctx->fd->iommu, idev->unit, &hwpt->domain);
}

const struct iommufd_hw iommufd_hw_plain = {
	.paging_flags = IOMMUFD_HW_PAGING_FLAGS,
	.paging = iommufd_hw_paging,
};

/* Page tables that no hardware walks are of no use to anybody but GET_PA. */
static const struct iommufd_hw hw_noiommu = { .paging = iommufd_hw_paging };

const struct iommufd_hw *iommufd_hw_of(const struct iommufd_device *idev)
{
	if (idev->unit == &iommufd_noiommu_unit)
		return &hw_noiommu;
	if (idev->unit->kind == IOMMU_MOCK)
		return &iommufd_hw_mock;
	return idev->unit->kind == IOMMU_INTEL ? &iommufd_hw_vtd : &iommufd_hw_plain;
}

bool iommufd_hw_same_unit(const struct iommu_unit *a, const struct iommu_unit *b)
{
	return a == b || (a->kind == IOMMU_MOCK && b->kind == IOMMU_MOCK); /* mock devices differ, their IOMMU does not */
}
