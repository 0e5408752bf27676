/* SPDX-License-Identifier: MIT */
/* GET_HW_INFO: what the IOMMU in front of a device says of itself. Spec: 30, section 7. */
#include "iommufd/hw.h"
#include <string.h>

#define KNOWN_FLAGS IOMMU_HW_INFO_FLAG_INPUT_TYPE

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

/* log2 of the number of PASIDs that the device can have, rounded up */
static uint8_t pasid_bits(uint32_t count)
{
	return count > 1 ? (uint8_t)(32 - __builtin_clz(count - 1)) : 0;
}

/* What is known of the device and its IOMMU, without it */
struct answer {
	uint32_t type;
	uint32_t n; /* bytes of data */
	uint8_t data[HW_INFO_MAX];
	uint8_t pasid_bits;
	uint64_t capabilities;
};

static int ask(const struct iommu_hw_info *a, const struct iommufd_device *idev, struct answer *out)
{
	const uint32_t wanted = a->flags & IOMMU_HW_INFO_FLAG_INPUT_TYPE ? a->out_data_type : IOMMU_HW_INFO_TYPE_NONE;
	const struct iommufd_hw *hw = iommufd_hw_of(idev);

	if (!iommufd_device_translated(idev) || (wanted != IOMMU_HW_INFO_TYPE_NONE && wanted != hw->info_type))
		return -EOPNOTSUPP;
	*out = (struct answer){ .type = hw->info_type,
				.pasid_bits = pasid_bits(iommu_dev_pasids(idev->iommu)) };
	if (hw->info)
		out->n = hw->info(idev->unit, out->data);
	if (idev->unit->dirty)
		out->capabilities |= IOMMU_HW_CAP_DIRTY_TRACKING;
	if (!iommu_dev_ats(idev->iommu))
		out->capabilities |= IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED;
	/* No function here can ask to execute, nor for a supervisor: its PASID capability says so, and here nothing does. */
	return 0;
}

int iommufd_hw_info_ioctl(struct ucmd *u)
{
	struct iommu_hw_info *a = u->cmd;
	struct iommufd_device *idev;
	struct answer answer;
	int rc;

	if ((a->flags & ~KNOWN_FLAGS) || a->__reserved[0] || a->__reserved[1] || a->__reserved[2])
		return -EOPNOTSUPP;
	idev = iommufd_device_visit(u->ctx, a->dev_id);
	if (!idev)
		return -ENOENT;
	rc = ask(a, idev, &answer);
	iommufd_device_leave(idev); /* its unbind need not wait for copies to the program */
	if (!rc)
		rc = copy_info(u, a, answer.data, answer.n);
	if (rc)
		return rc;
	a->data_len = answer.n;
	a->out_data_type = answer.type;
	a->out_max_pasid_log2 = answer.pasid_bits;
	a->out_capabilities = answer.capabilities;
	return ucmd_respond(u);
}
