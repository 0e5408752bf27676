/* SPDX-License-Identifier: MIT */
/*
 * Which pages devices have written: SET_DIRTY_TRACKING, GET_DIRTY_BITMAP. The bitmap is the program's, and is filled
 * piece by piece, so a range of any length costs no memory; a large page may lie in several, and is read and cleared
 * with the first. What cannot be reported ends the report, without an error: a hole between the areas, memory that
 * cannot be written.
 *
 * Spec: 30, section 10.
 */
#include "iommufd/priv.h"
#include <string.h>

#define PIECE 4096 /* bytes of bitmap */

static struct iommufd_hwpt *hwpt_visit(struct iommufd_ctx *ctx, uint32_t id)
{
	struct iommufd_object *o = iommufd_object_visit(ctx, id, IOMMUFD_HWPT);

	return o ? container_of(o, struct iommufd_hwpt, obj) : NULL;
}

int iommufd_set_dirty_ioctl(struct ucmd *u)
{
	const struct iommu_hwpt_set_dirty_tracking *a = u->cmd;
	struct iommufd_hwpt *hwpt;
	int rc = 0;

	if (a->flags & ~(uint32_t)IOMMU_HWPT_DIRTY_TRACKING_ENABLE)
		return -EOPNOTSUPP;
	hwpt = hwpt_visit(u->ctx, a->hwpt_id);
	if (!hwpt)
		return -ENOENT;
	if (hwpt->dirty) {
		SCOPED_LOCK(&hwpt->ioas->iopt.lock);
		iommu_domain_track(hwpt->domain, a->flags & IOMMU_HWPT_DIRTY_TRACKING_ENABLE);
	} else {
		rc = -EOPNOTSUPP;
	}
	iommufd_object_leave(&hwpt->obj);
	return rc;
}

/* ---- reports ---- */

/* A piece of the bitmap: bits of [start, last]. */
struct piece {
	iova_t start, last;
	iova_t known;   /* below this all is written: the page that said so reaches beyond its piece. 0: nothing is */
	unsigned shift; /* of a bit's size */
	uint8_t bits[PIECE];
};

/* Bits @from to @to, inclusive */
static void set_bits(uint8_t *bits, uint64_t from, uint64_t to)
{
	const uint8_t head = (uint8_t)(0xff << from % 8), tail = (uint8_t)(0xff >> (7 - to % 8));

	if (from / 8 == to / 8) {
		bits[from / 8] |= head & tail;
		return;
	}
	bits[from / 8] |= head;
	memset(bits + from / 8 + 1, 0xff, to / 8 - from / 8 - 1);
	bits[to / 8] |= tail;
}

static void mark(void *ctx, iova_t base, uint64_t size)
{
	struct piece *p = ctx;
	iova_t from = MAX(base, p->start), end = base + (size - 1), to = MIN(end, p->last);

	set_bits(p->bits, (from - p->start) >> p->shift, (to - p->start) >> p->shift);
	if (end > p->last)
		p->known = end + 1;
}

/* Where the areas that begin at @start end without a hole, @last at most; false: there is none */
static bool covered_locked(struct iopt *t, iova_t start, iova_t last, iova_t *out)
{
	struct iopt_area *a = iopt_area_from_locked(t, start);

	if (!a || a->start > start)
		return false;
	while (a->last < last) {
		struct iopt_area *next = iopt_area_next_locked(t, a);

		if (!next || next->start != a->last + 1)
			break;
		a = next;
	}
	*out = MIN(a->last, last);
	return true;
}

/* Collect a piece; true: it was all mapped. */
static bool collect(struct iommufd_hwpt *hwpt, struct piece *p, bool clear)
{
	struct iopt *t = &hwpt->ioas->iopt;
	iova_t last;

	memset(p->bits, 0, sizeof(p->bits));
	SCOPED_LOCK(&t->lock);
	if (!covered_locked(t, p->start, p->last, &last))
		return false;
	if (p->known > p->start)
		mark(p, p->start, p->known - p->start);
	iommu_domain_dirty(hwpt->domain, p->start, last, clear, mark, p);
	return last == p->last;
}

/* Or a piece into the program's bitmap, page by page of it, as far as it can be written. */
static int deliver(struct task *t, uva_t at, const struct piece *p)
{
	const uint64_t n = (((p->last - p->start) >> p->shift) + 8) / 8;
	uint8_t there[PIECE];

	for (uint64_t done = 0, step; done < n; done += step) {
		step = MIN(n - done, UVFIO_PAGE_SIZE - ((at + done) & (UVFIO_PAGE_SIZE - 1)));
		if (task_copy_in(t, there, at + done, step))
			return -EFAULT;
		for (uint64_t i = 0; i < step; i++)
			there[i] |= p->bits[done + i];
		if (task_copy_out(t, at + done, there, step))
			return -EFAULT;
	}
	return 0;
}

static void report(struct task *t, struct iommufd_hwpt *hwpt, const struct iommu_hwpt_get_dirty_bitmap *a)
{
	const iova_t last = a->iova + (a->length - 1);
	const bool clear = !(a->flags & IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR);
	struct piece p = { .start = a->iova, .shift = (unsigned)__builtin_ctzll(a->page_size) };
	uint64_t span = p.shift > 48 ? 0 : (uint64_t)PIECE * 8 << p.shift; /* of a piece; 0: everything */
	uva_t at = a->data;
	bool whole;

	for (;;) {
		p.last = span && last - p.start >= span ? p.start + (span - 1) : last;
		whole = collect(hwpt, &p, clear);
		if (deliver(t, at, &p) || !whole || p.last == last)
			return;
		p.start = p.last + 1;
		at += PIECE;
	}
}

static int check_range(struct iommufd_hwpt *hwpt, const struct iommu_hwpt_get_dirty_bitmap *a)
{
	iova_t last = a->iova + (a->length - 1);
	uint64_t align;

	if (!a->length)
		return -EINVAL;
	if (last < a->iova)
		return -EOVERFLOW;
	mutex_lock(&hwpt->ioas->iopt.lock);
	align = hwpt->ioas->iopt.align;
	mutex_unlock(&hwpt->ioas->iopt.lock);
	if (!IS_ALIGNED(a->iova | (last + 1), align))
		return -EINVAL;
	if (!a->page_size || !IS_ALIGNED(a->iova | (last + 1), a->page_size))
		return -EINVAL;
	return 0;
}

int iommufd_get_dirty_ioctl(struct ucmd *u)
{
	const struct iommu_hwpt_get_dirty_bitmap *a = u->cmd;
	struct iommufd_hwpt *hwpt;
	int rc;

	if ((a->flags & ~(uint32_t)IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR) || a->__reserved)
		return -EOPNOTSUPP;
	hwpt = hwpt_visit(u->ctx, a->hwpt_id);
	if (!hwpt)
		return -ENOENT;
	rc = check_range(hwpt, a);
	if (!rc && !hwpt->dirty)
		rc = -EOPNOTSUPP;
	if (!rc && iommu_domain_tracks(hwpt->domain))
		report(u->t, hwpt, a);
	iommufd_object_leave(&hwpt->obj);
	return rc;
}
