/* SPDX-License-Identifier: MIT */
/* GET_HW_INFO: what the IOMMU in front of a device says of itself. Spec: 30, section 7. */
#include "iommufd/priv.h"
#include <string.h>

#define KNOWN_FLAGS IOMMU_HW_INFO_FLAG_INPUT_TYPE

/* The registers of a VT-d unit, as far as they follow from what is known of it. */
#define VTD_CAP              0x00d2008022000006ull /* as QEMU's: 16 bits of domain ids, ... */
#define VTD_CAP_SAGAW(width) ((width) > 48 ? 0xeull << 8 : (width) > 39 ? 6ull << 8 : 2ull << 8)
#define VTD_CAP_MGAW(width)  ((uint64_t)((width) - 1) << 16)
#define VTD_CAP_SLLPS_2M     BIT64(34)
#define VTD_CAP_SLLPS_1G     BIT64(35)
#define VTD_ECAP             0xf00f42ull        /* queued invalidation, pass-through ... */
#define VTD_ECAP_IR          BIT64(3)
#define VTD_ECAP_SC          BIT64(7)           /* snooping can be forced */

static uint32_t vtd_info(const struct iommu_unit *unit, struct iommu_hw_info_vtd *v)
{
	memset(v, 0, sizeof(*v));
	v->cap_reg = VTD_CAP | VTD_CAP_SAGAW(unit->width) | VTD_CAP_MGAW(unit->width) |
		     (unit->pgsizes & BIT64(21) ? VTD_CAP_SLLPS_2M : 0) | (unit->pgsizes & BIT64(30) ? VTD_CAP_SLLPS_1G : 0);
	v->ecap_reg = VTD_ECAP | (unit->msi_isolated ? VTD_ECAP_IR : 0) | (unit->enforce_coherency ? VTD_ECAP_SC : 0);
	return sizeof(*v);
}

/* As much as fits, and zeros behind it. */
static int copy_info(struct ucmd *u, const struct iommu_hw_info *a, const void *data, uint32_t n)
{
	static const char zeros[4096];
	uint32_t done = MIN(n, a->data_len);

	if (task_copy_out(u->t, a->data_uptr, data, done))
		return -EFAULT;
	while (done < a->data_len) {
		uint32_t step = MIN(a->data_len - done, (uint32_t)sizeof(zeros));

		if (task_copy_out(u->t, a->data_uptr + done, zeros, step))
			return -EFAULT;
		done += step;
	}
	return 0;
}

static int hw_info(struct ucmd *u, struct iommu_hw_info *a, const struct iommu_unit *unit)
{
	uint32_t wanted = a->flags & IOMMU_HW_INFO_FLAG_INPUT_TYPE ? a->out_data_type : IOMMU_HW_INFO_TYPE_NONE;
	uint32_t type = unit->kind == IOMMU_INTEL ? IOMMU_HW_INFO_TYPE_INTEL_VTD : IOMMU_HW_INFO_TYPE_NONE;
	struct iommu_hw_info_vtd v;
	uint32_t n = 0;
	int rc;

	if (wanted != IOMMU_HW_INFO_TYPE_NONE && wanted != type)
		return -EOPNOTSUPP;
	if (type == IOMMU_HW_INFO_TYPE_INTEL_VTD)
		n = vtd_info(unit, &v);
	rc = copy_info(u, a, &v, n);
	if (rc)
		return rc;
	a->data_len = n;
	a->out_data_type = type;
	a->out_max_pasid_log2 = 0;
	a->out_capabilities = IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED | (unit->dirty ? IOMMU_HW_CAP_DIRTY_TRACKING : 0);
	return ucmd_respond(u);
}

int iommufd_hw_info_ioctl(struct ucmd *u)
{
	struct iommu_hw_info *a = u->cmd;
	const struct iommu_unit *unit;
	struct iommufd_device *idev;

	if ((a->flags & ~KNOWN_FLAGS) || a->__reserved[0] || a->__reserved[1] || a->__reserved[2])
		return -EOPNOTSUPP;
	idev = iommufd_device_visit(u->ctx, a->dev_id);
	if (!idev)
		return -ENOENT;
	unit = idev->unit; /* it is the machine's: the device's unbind need not wait for copies to the program */
	iommufd_device_leave(idev);
	return unit == &iommufd_noiommu_unit ? -EOPNOTSUPP : hw_info(u, a, unit);
}
