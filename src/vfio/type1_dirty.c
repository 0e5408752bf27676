/* SPDX-License-Identifier: MIT */
/*
 * Dirty tracking as type1 has it. Only devices that pin pages one by one could tell which pages they wrote;
 * groups behind an IOMMU cannot, so while one is attached every mapped page is reported dirty, on every call
 * (spec 10, 4.6, last line). As that is the only kind of group there is, no bitmap is kept: tracking is a
 * flag, and a report is a run of ones for each mapping.
 *
 * A report is written in whole 64-bit words. A mapping that begins inside a word is or-ed to what the
 * caller's word holds, so that neighbours share it; bits beyond a mapping's end are written as zeros.
 */
#include "vfio/type1.h"
#include <string.h>

#define PAGES_MAX (TYPE1_DIRTY_BITMAP_MAX * 8)
#define USER_LAST ((1ull << 47) - UVFIO_PAGE_SIZE) /* user space ends here, exclusive */

int type1_bitmap_check(const struct vfio_bitmap *b, uint64_t size)
{
	uint64_t pages;

	if (b->size > USER_LAST || b->data > USER_LAST - b->size)
		return -EINVAL;
	if (!b->pgsize)
		return -EINVAL;
	pages = size / b->pgsize;
	if (!pages || !b->size || b->size > TYPE1_DIRTY_BITMAP_MAX || pages > PAGES_MAX)
		return -EINVAL;
	return b->size < ALIGN_UP(pages, 64ull) / 8 ? -EINVAL : 0;
}

/* @n bits set from bit @first of the word at @at on, or-ed to the word there; returns how many were taken. */
static int write_first_word(struct task *t, uva_t at, unsigned first, uint64_t n, uint64_t *taken)
{
	uint64_t word, bits = ~0ull << first;
	int rc = task_copy_in(t, &word, at, sizeof(word));

	if (rc)
		return rc;
	*taken = MIN(n, 64u - first);
	if (first + *taken < 64)
		bits &= (1ull << (first + *taken)) - 1;
	word |= bits;
	return task_copy_out(t, at, &word, sizeof(word));
}

int type1_dirty_write(struct vfio_type1 *t1, struct task *t, const struct vfio_bitmap *b, iova_t base,
		      const struct type1_mapping *m)
{
	uint64_t pgsize = type1_pgsize(t1), bit = (m->start - base) / pgsize;
	uint64_t left = (m->last - m->start) / pgsize + 1, taken = 0;
	uva_t at = b->data + bit / 64 * 8;
	uint64_t words[512];
	int rc = 0;

	if (bit % 64) {
		rc = write_first_word(t, at, bit % 64, left, &taken);
		left -= taken;
		at += 8;
	}
	memset(words, 0xff, sizeof(words));
	while (left && !rc) {
		uint64_t n = MIN((left + 63) / 64, (uint64_t)ARRAY_SIZE(words));

		if (left < n * 64)
			words[n - 1] = (1ull << left % 64) - 1;
		rc = task_copy_out(t, at, words, n * 8);
		left -= MIN(left, n * 64);
		at += n * 8;
	}
	return rc;
}

static int report_locked(struct vfio_type1 *t1, struct task *t, const struct vfio_iommu_type1_dirty_bitmap_get *r)
{
	uint64_t pgsize = type1_pgsize(t1);
	iova_t last = r->iova + r->size - 1;
	struct type1_mapping *m;

	if (r->bitmap.pgsize != pgsize || !IS_ALIGNED(r->iova | r->size, pgsize))
		return -EINVAL;
	if (!t1->dirty_tracking || type1_bisects(t1, r->iova, last))
		return -EINVAL;
	for (m = type1_mapping_at(t1, r->iova); m && m->start <= last; m = type1_mapping_next(m)) {
		int rc = type1_dirty_write(t1, t, &r->bitmap, r->iova, m);

		if (rc)
			return rc;
	}
	return 0;
}

static int get_bitmap(struct vfio_type1 *t1, struct task *t, const struct vfio_iommu_type1_dirty_bitmap *a,
		      uint64_t arg)
{
	struct vfio_iommu_type1_dirty_bitmap_get r;
	int rc;

	if (a->argsz - sizeof(*a) < sizeof(r))
		return -EINVAL;
	rc = task_copy_in(t, &r, arg + sizeof(*a), sizeof(r));
	if (rc)
		return rc;
	if (!r.size)
		return -EINVAL;
	if (r.iova + r.size - 1 < r.iova)
		return -EOVERFLOW;
	rc = type1_bitmap_check(&r.bitmap, r.size);
	if (rc)
		return rc;
	SCOPED_LOCK(&t1->lock);
	return report_locked(t1, t, &r);
}

long type1_dirty_ioctl(struct vfio_type1 *t1, struct task *t, uint64_t arg)
{
	struct vfio_iommu_type1_dirty_bitmap a;
	int rc;

	if (!t1->v2)
		return -EACCES;
	rc = ucopy_argsz(t, &a, arg, VFIO_IOMMU_TYPE1_DIRTY_BITMAP_MINSZ);
	if (rc)
		return rc;
	if (a.flags == VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP)
		return get_bitmap(t1, t, &a, arg);
	if (a.flags != VFIO_IOMMU_DIRTY_PAGES_FLAG_START && a.flags != VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP)
		return -EINVAL;
	SCOPED_LOCK(&t1->lock);
	t1->dirty_tracking = a.flags == VFIO_IOMMU_DIRTY_PAGES_FLAG_START;
	return 0;
}
