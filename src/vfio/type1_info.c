/* SPDX-License-Identifier: MIT */
/* GET_INFO: page sizes, and the chain of migration, dma_avail and iova_range. Spec: 10, 4.9. */
#include "vfio/type1.h"
#include <string.h>

static int info_caps_locked(struct vfio_type1 *t1, struct vfio_caps *caps)
{
	struct vfio_iommu_type1_info_cap_migration *migration;
	struct vfio_iommu_type1_info_dma_avail *avail;
	struct vfio_iommu_type1_info_cap_iova_range *ranges;
	size_t n = t1->nvalid * sizeof(ranges->iova_ranges[0]);

	if (vfio_has(t1->vfio, VFIO_WITHOUT_DIRTY)) {
		migration = vfio_caps_add(caps, VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION, 1, sizeof(*migration));
		if (!migration)
			return -ENOMEM;
		migration->pgsize_bitmap = type1_pgsize(t1);
		migration->max_dirty_bitmap_size = TYPE1_DIRTY_BITMAP_MAX;
	}
	if (vfio_has(t1->vfio, VFIO_WITHOUT_DMA_AVAIL)) {
		avail = vfio_caps_add(caps, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, 1, sizeof(*avail));
		if (!avail)
			return -ENOMEM;
		avail->avail = t1->dma_avail;
	}
	if (!n)
		return 0;
	ranges = vfio_caps_add(caps, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, 1, sizeof(*ranges) + n);
	if (!ranges)
		return -ENOMEM;
	ranges->nr_iovas = t1->nvalid;
	for (unsigned i = 0; i < t1->nvalid; i++) {
		ranges->iova_ranges[i].start = t1->valid[i].start;
		ranges->iova_ranges[i].end = t1->valid[i].last;
	}
	return 0;
}

long type1_info_ioctl(struct vfio_type1 *t1, struct task *t, uint64_t arg)
{
	struct vfio_caps caps = { .data = NULL };
	struct vfio_iommu_type1_info info;
	size_t size; /* of the base structure that the caller knows */
	int rc;

	memset(&info, 0, sizeof(info));
	rc = ucopy_argsz(t, &info, arg, VFIO_IOMMU_TYPE1_INFO_MINSZ);
	if (rc)
		return rc;
	size = MIN(info.argsz, sizeof(info));
	mutex_lock(&t1->lock);
	if (type1_gone(t1))
		rc = -EINVAL;
	info.flags = VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS;
	info.iova_pgsizes = t1->pgsizes;
	if (!rc)
		rc = info_caps_locked(t1, &caps);
	mutex_unlock(&t1->lock);
	if (!caps.size)
		info.flags = VFIO_IOMMU_INFO_PGSIZES; /* an old kernel, without domain */
	if (!rc)
		rc = vfio_caps_copy_out(&caps, t, arg, sizeof(info), &info.argsz, &info.cap_offset);
	if (!rc)
		rc = task_copy_out(t, arg, &info, size);
	vfio_caps_fini(&caps);
	return rc;
}
