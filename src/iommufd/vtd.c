/* SPDX-License-Identifier: MIT */
/*
 * Intel's VT-d, as far as programs see it: its registers, and a guest's first-stage page tables, which are those of the
 * processor.
 *
 * Spec: 30, section 7.
 */
#include "iommufd/hw.h"
#include <string.h>

/* The registers of a VT-d unit, as far as they follow from what is known of it. */
#define VTD_CAP              0x00d2008022000006ull /* as QEMU's: 16 bits of domain ids, ... */
#define VTD_CAP_SAGAW(width) ((width) > 48 ? 0xeull << 8 : (width) > 39 ? 6ull << 8 : 2ull << 8)
#define VTD_CAP_MGAW(width)  ((uint64_t)((width) - 1) << 16)
#define VTD_CAP_SLLPS_2M     BIT64(34)
#define VTD_CAP_SLLPS_1G     BIT64(35)
#define VTD_ECAP             0xf00f42ull        /* queued invalidation, pass-through ... */
#define VTD_ECAP_IR          BIT64(3)
#define VTD_ECAP_SC          BIT64(7)           /* snooping can be forced */
#define VTD_ECAP_NEST        (BIT64(26) | BIT64(31) | BIT64(43) | BIT64(47)) /* NEST, SRS, SMTS, FLTS */

static uint32_t vtd_info(const struct iommu_unit *unit, void *out)
{
	struct iommu_hw_info_vtd *v = out;

	memset(v, 0, sizeof(*v));
	v->cap_reg = VTD_CAP | VTD_CAP_SAGAW(unit->width) | VTD_CAP_MGAW(unit->width) |
		     (unit->pgsizes & BIT64(21) ? VTD_CAP_SLLPS_2M : 0) | (unit->pgsizes & BIT64(30) ? VTD_CAP_SLLPS_1G : 0);
	v->ecap_reg = VTD_ECAP | (unit->msi_isolated ? VTD_ECAP_IR : 0) | (unit->enforce_coherency ? VTD_ECAP_SC : 0) |
		      (unit->nesting ? VTD_ECAP_NEST : 0);
	return sizeof(*v);
}

/* ---- nested page tables ---- */

#define WIDTH_4 48
#define WIDTH_5 57

static int vtd_nested(struct iommufd_hwpt *hwpt, const struct hw_user *user)
{
	struct iommu_hwpt_vtd_s1 *s1;
	struct iommu_stage1 tables;
	int rc;

	if (user->type != IOMMU_HWPT_DATA_VTD_S1)
		return -EOPNOTSUPP;
	s1 = calloc(1, sizeof(*s1));
	if (!s1)
		return -ENOMEM;
	rc = hw_user_copy(user, s1, sizeof(*s1), sizeof(*s1));
	if (rc)
		goto err_free;
	tables = (struct iommu_stage1){ .table = s1->pgtbl_addr, .levels = s1->addr_width == WIDTH_5 ? 5 : 4,
					.write_protect = s1->flags & IOMMU_VTD_S1_WPE };
	rc = iommu_domain_create_nested(hwpt->parent->domain, &tables, &hwpt->domain);
	if (rc)
		goto err_free;
	hwpt->hw_data = s1;
	return 0;

err_free:
	free(s1);
	return rc;
}

/* What the hardware cannot do is found out when it is to be done: tables of five levels, accessed flags of its own. */
static int vtd_attach(struct iommufd_device *idev, uint32_t pasid, struct iommufd_hwpt *hwpt)
{
	const struct iommu_hwpt_vtd_s1 *s1 = hwpt->hw_data;

	return s1 && (s1->addr_width != WIDTH_4 || (s1->flags & IOMMU_VTD_S1_EAFE)) ? -EINVAL : 0;
}

static int invalidate_one(struct iommufd_hwpt *hwpt, const struct iommu_hwpt_vtd_s1_invalidate *inv)
{
	const uint64_t pages = (UINT64_MAX - inv->addr) >> UVFIO_PAGE_SHIFT; /* that follow the first */
	iova_t last = UINT64_MAX;

	if ((inv->flags & ~IOMMU_VTD_INV_FLAGS_LEAF) || inv->__reserved)
		return -EOPNOTSUPP;
	if (!IS_ALIGNED(inv->addr, UVFIO_PAGE_SIZE) || (inv->npages == UINT64_MAX && inv->addr))
		return -EINVAL;
	if (!inv->npages)
		return 0;
	if (inv->npages <= pages)
		last = inv->addr + (inv->npages << UVFIO_PAGE_SHIFT) - 1;
	iommu_domain_invalidate(hwpt->domain, inv->addr, last);
	return 0;
}

static int vtd_invalidate(struct iommufd_hwpt *hwpt, struct hw_batch *b)
{
	struct iommu_hwpt_vtd_s1_invalidate inv;
	int rc = 0;

	if (b->type != IOMMU_HWPT_INVALIDATE_DATA_VTD_S1)
		return -EINVAL;
	while (!rc && b->done < b->count) {
		rc = hw_batch_copy(b, b->done, &inv, sizeof(inv), sizeof(inv));
		if (!rc)
			rc = invalidate_one(hwpt, &inv);
		b->done += !rc;
	}
	return rc;
}

const struct iommufd_hw iommufd_hw_vtd = {
	.paging_flags = IOMMUFD_HW_PAGING_FLAGS,
	.info_type = IOMMU_HW_INFO_TYPE_INTEL_VTD,
	.info = vtd_info,
	.paging = iommufd_hw_paging,
	.nested = vtd_nested,
	.invalidate = vtd_invalidate,
	.attach = vtd_attach,
};
