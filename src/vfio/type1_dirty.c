/* SPDX-License-Identifier: MIT */
/*
 * Dirty tracking. Devices that pin pages one by one tell which pages they may have written; groups behind an
 * IOMMU cannot, so while one is attached (type1.unseen) every page that is mapped for it is reported dirty, on
 * every call. What the others write is kept in a bitmap of each mapping, made when its first bit is set. A
 * report clears the bits it has read, but for pages that are still pinned.
 *
 * A report is written in whole 64-bit words. A mapping that begins inside a word is or-ed to what the
 * caller's word holds, so that neighbours share it; bits beyond a mapping's end are written as zeros. It is
 * taken from the mappings a piece at a time, and written without the lock; bits that could not be written to
 * the caller are set again.
 */
#include "vfio/type1.h"
#include <string.h>

#define PAGES_MAX (TYPE1_DIRTY_BITMAP_MAX * 8)
#define USER_LAST ((1ull << 47) - UVFIO_PAGE_SIZE) /* user space ends here, exclusive */

/* ---- the bitmap of a mapping ---- */

static uint64_t pages_of(const struct vfio_type1 *t1, const struct type1_mapping *m)
{
	return (m->last - m->start) / type1_pgsize(t1) + 1;
}

/* Bits [@first, @last] of @bits; @set: to 1 or to 0. */
static void bits_fill(uint64_t *bits, uint64_t first, uint64_t last, bool set)
{
	for (uint64_t w = first / 64; w <= last / 64; w++) {
		uint64_t mask = ~0ull;

		if (w == first / 64)
			mask &= ~0ull << first % 64;
		if (w == last / 64)
			mask &= ~0ull >> (63 - last % 64);
		bits[w] = set ? bits[w] | mask : bits[w] & ~mask;
	}
}

static bool bit_test(const uint64_t *bits, uint64_t i)
{
	return bits[i / 64] >> i % 64 & 1;
}

void type1_dirty_mark(struct vfio_type1 *t1, struct type1_mapping *m, iova_t start, iova_t last)
{
	uint64_t pgsize = type1_pgsize(t1);

	if (!t1->dirty_tracking || m->dirty_all)
		return;
	if (!m->dirty)
		m->dirty = calloc((pages_of(t1, m) + 63) / 64, sizeof(*m->dirty));
	if (m->dirty)
		bits_fill(m->dirty, (start - m->start) / pgsize, (last - m->start) / pgsize, true);
	else
		m->dirty_all = true; /* rather too many than too few */
}

void type1_dirty_mark_all(struct vfio_type1 *t1)
{
	struct type1_mapping *m;

	for (m = type1_mapping_at(t1, 0); m; m = type1_mapping_next(t1, m))
		type1_dirty_mark(t1, m, m->start, m->last);
}

static void tracking_start_locked(struct vfio_type1 *t1)
{
	struct type1_mapping *m;

	if (t1->dirty_tracking)
		return;
	t1->dirty_tracking = true;
	for (m = type1_mapping_at(t1, 0); m; m = type1_mapping_next(t1, m))
		type1_pages_mark(t1, m, m->start, m->last);
}

static void tracking_stop_locked(struct vfio_type1 *t1)
{
	struct type1_mapping *m;

	t1->dirty_tracking = false;
	for (m = type1_mapping_at(t1, 0); m; m = type1_mapping_next(t1, m)) {
		free(m->dirty);
		m->dirty = NULL;
		m->dirty_all = false;
	}
}

/* ---- the caller's bitmap ---- */

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

/* A piece of a report: bits [first, first + n) of the caller's bitmap, from the word that holds the first one on. */
#define PIECE_WORDS 512
struct piece {
	iova_t start, last;
	uint64_t first, n;
	uint64_t words[PIECE_WORDS];
};

/* Is everything that is mapped dirty? */
static bool all_dirty(const struct vfio_type1 *t1, const struct type1_mapping *m)
{
	return m->dirty_all || (t1->unseen && m->pin);
}

/* The next piece at or after @at, for a report that begins at @start. False: there is none up to @last. */
static bool piece_take_locked(struct vfio_type1 *t1, iova_t start, iova_t at, iova_t last, bool clear, struct piece *p)
{
	struct type1_mapping *m = type1_mapping_at(t1, at);
	uint64_t pgsize = type1_pgsize(t1), page, bit;

	if (!m || m->start > last)
		return false;
	p->start = MAX(m->start, at);
	p->first = (p->start - start) / pgsize;
	bit = p->first % 64;
	p->n = MIN((MIN(m->last, last) - p->start) / pgsize + 1, PIECE_WORDS * 64 - bit);
	p->last = p->start + (p->n * pgsize - 1);
	memset(p->words, 0, ((bit + p->n + 63) / 64) * 8);
	page = (p->start - m->start) / pgsize;
	if (all_dirty(t1, m)) {
		bits_fill(p->words, bit, bit + p->n - 1, true);
	} else if (m->dirty) {
		for (uint64_t i = 0; i < p->n; i++)
			p->words[(bit + i) / 64] |= (uint64_t)bit_test(m->dirty, page + i) << (bit + i) % 64;
	}
	if (clear && m->dirty) {
		bits_fill(m->dirty, page, page + p->n - 1, false);
		type1_pages_mark(t1, m, p->start, p->last);
	}
	return true;
}

/* It did not reach the caller, so nobody knows of it. */
static void piece_give_back(struct vfio_type1 *t1, const struct piece *p, uint64_t generation)
{
	uint64_t pgsize = type1_pgsize(t1), bit = p->first % 64;
	struct type1_mapping *m;

	SCOPED_LOCK(&t1->lock);
	m = t1->generation == generation ? type1_mapping_at(t1, p->start) : NULL;
	for (uint64_t i = 0; m && i < p->n; i++) {
		if (bit_test(p->words, bit + i))
			type1_dirty_mark(t1, m, p->start + i * pgsize, p->start + i * pgsize);
	}
}

static int piece_write(struct task *t, uva_t data, struct piece *p)
{
	uva_t at = data + p->first / 64 * 8;
	uint64_t words = (p->first % 64 + p->n + 63) / 64, old;

	if (p->first % 64) { /* the word is shared with what lies before */
		if (task_copy_in(t, &old, at, sizeof(old)))
			return -EFAULT;
		p->words[0] |= old;
	}
	return task_copy_out(t, at, p->words, words * 8);
}

static bool reportable_locked(struct vfio_type1 *t1, const struct vfio_bitmap *b, iova_t start, iova_t last)
{
	return !type1_gone(t1) && t1->dirty_tracking && b->pgsize == type1_pgsize(t1) && !type1_bisects(t1, start, last);
}

int type1_dirty_report(struct vfio_type1 *t1, struct task *t, const struct vfio_bitmap *b, iova_t start, iova_t last,
		       bool clear, uint64_t *generation)
{
	AUTO_FREE struct piece *p = malloc(sizeof(*p));
	iova_t at = start;
	uint64_t now;
	bool ok, more;

	if (!p)
		return -ENOMEM;
	mutex_lock(&t1->lock);
	ok = reportable_locked(t1, b, start, last);
	now = *generation = t1->generation;
	more = ok && piece_take_locked(t1, start, at, last, clear, p);
	mutex_unlock(&t1->lock);
	if (!ok)
		return -EINVAL;
	while (more) {
		if (piece_write(t, b->data, p)) {
			if (clear)
				piece_give_back(t1, p, now);
			return -EFAULT;
		}
		if (p->last >= last)
			break;
		at = p->last + 1;
		mutex_lock(&t1->lock);
		now = t1->generation;
		more = piece_take_locked(t1, start, at, last, clear, p);
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
	return type1_dirty_report(t1, t, &r.bitmap, r.iova, r.iova + r.size - 1, true, &generation);
}

long type1_dirty_ioctl(struct vfio_type1 *t1, struct task *t, uint64_t arg)
{
	struct vfio_iommu_type1_dirty_bitmap a;
	int rc;

	if (!vfio_has(t1->vfio, VFIO_WITHOUT_DIRTY))
		return -ENOTTY;
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
	if (a.flags == VFIO_IOMMU_DIRTY_PAGES_FLAG_START)
		tracking_start_locked(t1);
	else
		tracking_stop_locked(t1);
	return 0;
}
