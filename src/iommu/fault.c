/* SPDX-License-Identifier: MIT */
/*
 * Faults: the last 64, with what is remembered of the address. Recording happens inside the DMA that
 * failed, under whatever locks its device holds, so all locks here are leaves.
 */
#include "iommu/priv.h"
#include <time.h>

int64_t iommu_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void iommu_fault_record(struct iommu_dev *d, struct iommu_domain *dom, struct iommu_fault f)
{
	struct iommu *iommu = d->iommu;
	struct iommu_gone gone;

	f.when = iommu_now();
	f.device = d->name;
	if (f.reason == IOMMU_FAULT_NOT_MAPPED && iommu_domain_was(dom, f.iova, &gone)) {
		f.was_mapped = true;
		f.was_start = gone.start;
		f.was_last = gone.last;
		f.unmapped_at = gone.when;
	}
	SCOPED_LOCK(&iommu->fault_lock);
	iommu->faults[iommu->nfaults++ % IOMMU_FAULTS] = f;
}

unsigned iommu_faults(struct iommu *iommu, struct iommu_fault out[IOMMU_FAULTS], uint64_t *total)
{
	SCOPED_LOCK(&iommu->fault_lock);
	unsigned n = (unsigned)MIN(iommu->nfaults, (uint64_t)IOMMU_FAULTS);

	for (unsigned i = 0; i < n; i++)
		out[i] = iommu->faults[(iommu->nfaults - n + i) % IOMMU_FAULTS];
	*total = iommu->nfaults;
	return n;
}
