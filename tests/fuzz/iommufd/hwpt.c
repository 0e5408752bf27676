/* SPDX-License-Identifier: MIT */
/* HWPTs, their dirty pages and queues of faults; virtual IOMMUs. */
#include "calls.h"

void do_hwpt_alloc(void)
{
	struct iommu_hwpt_alloc a = { .size = sizeof(a) };
	int fd = pick(CTX);
	uint32_t f = flags();

	a.dev_id = id();
	a.pt_id = id();
	a.flags = f & 0xf;
	a.data_type = f >> 4 & 1;
	a.data_len = f >> 5 & 1 ? 16 : 0;
	a.data_uptr = f >> 6 & 1 ? (uintptr_t)ARENA : 0;
	if (a.flags & IOMMU_HWPT_FAULT_ID_VALID)
		a.fault_id = id();
	CALL(fd, IOMMU_HWPT_ALLOC, a);
}

void do_hw_info(void)
{
	struct iommu_hw_info a = { .size = sizeof(a) };
	int fd = pick(CTX);

	a.dev_id = id();
	a.flags = flags() & 3;
	a.data_len = (uint32_t)length();
	a.data_uptr = uva();
	CALL(fd, IOMMU_GET_HW_INFO, a);
}

void do_set_dirty(void)
{
	struct iommu_hwpt_set_dirty_tracking a = { .size = sizeof(a) };
	int fd = pick(CTX);

	a.hwpt_id = id();
	a.flags = flags() ^ 1;
	CALL(fd, IOMMU_HWPT_SET_DIRTY_TRACKING, a);
}

void do_get_dirty(void)
{
	struct iommu_hwpt_get_dirty_bitmap a = { .size = sizeof(a) };
	int fd = pick(CTX);

	a.hwpt_id = id();
	a.flags = flags();
	a.iova = iova();
	a.length = length();
	a.page_size = length();
	a.data = uva();
	CALL(fd, IOMMU_HWPT_GET_DIRTY_BITMAP, a);
}

void do_invalidate(void)
{
	struct iommu_hwpt_invalidate a = { .size = sizeof(a) };
	int fd = pick(CTX);

	a.hwpt_id = id();
	a.data_uptr = uva();
	a.data_type = flags();
	a.entry_len = (uint32_t)length();
	a.entry_num = id();
	CALL(fd, IOMMU_HWPT_INVALIDATE, a);
}

void do_fault_alloc(void)
{
	struct iommu_fault_alloc a = { .size = sizeof(a), .out_fault_fd = UINT32_MAX };

	if (CALL(pick(CTX), IOMMU_FAULT_QUEUE_ALLOC, a) == 0 && (int)a.out_fault_fd >= 0)
		file_add((int)a.out_fault_fd, OTHER);
}
