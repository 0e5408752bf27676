/* SPDX-License-Identifier: MIT */
/*
 * Dirty tracking as type1 has it. Only devices that pin pages one by one could tell which pages they wrote;
 * groups behind an IOMMU cannot, so while one is attached every mapped page is reported dirty, on every call
 * (spec 10, 4.6, last line). As that is the only kind of group there is, no bitmap is kept: tracking is a
 * flag, and a report is a run of ones for each mapping.
 *
 * A report is written in whole 64-bit words. A mapping that begins inside a word is or-ed to what the
 * caller's word holds, so that neighbours share it; bits beyond a mapping's end are written as zeros. What is
 * to be reported is copied out of the tree some mappings at a time, and written without the lock.
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

/* Bits [@first, @first + @n) of the word at @at, or-ed to what is there. */
static int write_into_word(struct task *t, uva_t at, unsigned first, unsigned n)
{
	uint64_t word, bits = (n < 64 ? (1ull << n) - 1 : ~0ull) << first;
	int rc = task_copy_in(t, &word, at, sizeof(word));

	if (rc)
		return rc;
	word |= bits;
	return task_copy_out(t, at, &word, sizeof(word));
}

/* Bits [@bit, @bit + @left) of the bitmap at @data. */
static int write_run(struct task *t, uva_t data, uint64_t bit, uint64_t left)
{
	uva_t at = data + bit / 64 * 8;
	uint64_t words[512];
	int rc = 0;

	if (bit % 64) {
		unsigned n = (unsigned)MIN(left, 64 - bit % 64);

		rc = write_into_word(t, at, bit % 64, n);
		left -= n;
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

/* The next mappings of [@start, @last], cut to it: at most @n, copied out of the tree. Returns how many. */
static unsigned runs_locked(struct vfio_type1 *t1, iova_t start, iova_t last, struct type1_range *runs, unsigned n)
{
	struct type1_mapping *m = type1_mapping_at(t1, start);
	unsigned i = 0;

	for (; m && m->start <= last && i < n; m = type1_mapping_next(m))
		runs[i++] = (struct type1_range){ MAX(m->start, start), MIN(m->last, last) };
	return i;
}

static bool reportable_locked(struct vfio_type1 *t1, const struct vfio_bitmap *b, iova_t start, iova_t last)
{
	return !type1_gone(t1) && t1->dirty_tracking && b->pgsize == type1_pgsize(t1) && !type1_bisects(t1, start, last);
}

int type1_dirty_report(struct vfio_type1 *t1, struct task *t, const struct vfio_bitmap *b, iova_t start, iova_t last,
		       uint64_t *generation)
{
	struct type1_range runs[64];
	iova_t at = start;
	unsigned n;
	bool ok;

	mutex_lock(&t1->lock);
	ok = reportable_locked(t1, b, start, last);
	*generation = t1->generation;
	n = ok ? runs_locked(t1, at, last, runs, ARRAY_SIZE(runs)) : 0;
	mutex_unlock(&t1->lock);
	if (!ok)
		return -EINVAL;
	while (n) {
		for (unsigned i = 0; i < n; i++) {
			uint64_t pages = (runs[i].last - runs[i].start) / b->pgsize + 1;
			int rc = write_run(t, b->data, (runs[i].start - start) / b->pgsize, pages);

			if (rc)
				return rc;
		}
		if (runs[n - 1].last == last)
			return 0;
		at = runs[n - 1].last + 1;
		mutex_lock(&t1->lock);
		n = runs_locked(t1, at, last, runs, ARRAY_SIZE(runs));
		mutex_unlock(&t1->lock);
	}
	return 0;
}

static int get_bitmap(struct vfio_type1 *t1, struct task *t, const struct vfio_iommu_type1_dirty_bitmap *a,
		      uint64_t arg)
{
	struct vfio_iommu_type1_dirty_bitmap_get r;
	uint64_t generation;
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
	if (!IS_ALIGNED(r.iova | r.size, r.bitmap.pgsize)) /* which must be the instance's page size */
		return -EINVAL;
	return type1_dirty_report(t1, t, &r.bitmap, r.iova, r.iova + r.size - 1, &generation);
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
	if (type1_gone(t1))
		return -EINVAL;
	t1->dirty_tracking = a.flags == VFIO_IOMMU_DIRTY_PAGES_FLAG_START;
	return 0;
}
