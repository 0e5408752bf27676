/* SPDX-License-Identifier: MIT */
/*
 * What is where: areas in a tree by address; reserved ranges, of which there are few, as every device behind the same
 * hardware reserves the same; the allowed list as the program gave it, sorted.
 */
#include "iommufd/iopt.h"
#include <assert.h>
#include <string.h>

static int area_compare(const struct iopt_area *a, const struct iopt_area *b)
{
	return a->start < b->start ? -1 : a->start > b->start;
}
RB_GENERATE_INTERNAL(iopt_areas, iopt_area, node, area_compare, static __attribute__((unused)))

/* ---- who pays changes ---- */

void iopt_mover_init(struct iopt_mover *m)
{
	mutex_init(&m->lock, RANK_IOMMUFD_PROCESS);
	LIST_INIT(&m->spaces);
	atomic_init(&m->moving, false);
}

void iopt_mover_fini(struct iopt_mover *m)
{
	assert(LIST_EMPTY(&m->spaces));
	mutex_fini(&m->lock);
}

void iopt_mover_begin(struct iopt_mover *m)
{
	struct iopt *t;

	mutex_lock(&m->lock);
	atomic_store(&m->moving, true);
	LIST_FOREACH(t, &m->spaces, link) {
		mutex_lock(&t->lock); /* whoever was in it has left */
		mutex_unlock(&t->lock);
	}
}

void iopt_mover_end(struct iopt_mover *m)
{
	atomic_store(&m->moving, false);
	mutex_unlock(&m->lock);
}

/* A lock for readers beside this one would cost as much again in every MAP and UNMAP. */
void iopt_enter(struct iopt *t)
{
	for (;;) {
		mutex_lock(&t->lock);
		if (!atomic_load(&t->mover->moving))
			return;
		mutex_unlock(&t->lock);
		mutex_lock(&t->mover->lock); /* until it is over */
		mutex_unlock(&t->mover->lock);
	}
}

/* ---- life ---- */

void iopt_init(struct iopt *t, struct iopt_mover *mover)
{
	memset(t, 0, sizeof(*t));
	t->mover = mover;
	mutex_init(&t->lock, RANK_IOMMUFD_IOPT);
	RB_INIT(&t->areas);
	slab_init(&t->room, sizeof(struct iopt_area));
	LIST_INIT(&t->accesses);
	LIST_INIT(&t->copies);
	cond_init(&t->copied);
	t->align = 1;
	mutex_lock(&mover->lock);
	LIST_INSERT_HEAD(&mover->spaces, t, link);
	mutex_unlock(&mover->lock);
}

void iopt_fini(struct iopt *t)
{
	uint64_t removed;

	assert(t->ndomains == 0 && LIST_EMPTY(&t->accesses) && LIST_EMPTY(&t->copies));
	iopt_unmap(t, 0, UINT64_MAX, &removed);
	assert(RB_EMPTY(&t->areas));
	mutex_lock(&t->mover->lock);
	LIST_REMOVE(t, link);
	mutex_unlock(&t->mover->lock);
	slab_fini(&t->room);
	free(t->domains);
	free(t->allowed);
	free(t->resv);
	cond_fini(&t->copied);
	mutex_fini(&t->lock);
}

/* ---- areas ---- */

struct iopt_area *iopt_area_from_locked(struct iopt *t, iova_t iova)
{
	struct iopt_area *a = RB_ROOT(&t->areas), *found = NULL;

	while (a) {
		if (a->last < iova) {
			a = RB_RIGHT(a, node);
		} else {
			found = a;
			a = RB_LEFT(a, node);
		}
	}
	return found;
}

struct iopt_area *iopt_area_next_locked(struct iopt *t, struct iopt_area *a)
{
	return RB_NEXT(iopt_areas, &t->areas, a);
}

struct iopt_area *iopt_area_in_locked(struct iopt *t, iova_t start, iova_t last)
{
	struct iopt_area *a = iopt_area_from_locked(t, start);

	return a && a->start <= last ? a : NULL;
}

void iopt_area_insert_locked(struct iopt *t, struct iopt_area *a)
{
	struct iopt_area *there = RB_INSERT(iopt_areas, &t->areas, a);

	assert(!there);
	(void)there;
}

void iopt_area_remove_locked(struct iopt *t, struct iopt_area *a)
{
	RB_REMOVE(iopt_areas, &t->areas, a);
	iopt_choice_freed_locked(t, a->start);
}

/* ---- reserved ---- */

static bool allowed_in(const struct iopt *t, iova_t start, iova_t last)
{
	unsigned lo = 0, hi = t->nallowed;

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;

		if (t->allowed[mid].last < start)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < t->nallowed && t->allowed[lo].start <= last;
}

bool iopt_reserved_locked(const struct iopt *t, iova_t start, iova_t last)
{
	for (unsigned i = 0; i < t->nresv; i++) {
		if (t->resv[i].start <= last && t->resv[i].last >= start)
			return true;
	}
	return false;
}

int iopt_reserve_locked(struct iopt *t, iova_t start, iova_t last)
{
	struct iopt_resv *r;
	unsigned i;

	if (iopt_area_in_locked(t, start, last) || allowed_in(t, start, last))
		return -EADDRINUSE;
	for (i = 0; i < t->nresv; i++) {
		if (t->resv[i].start > start || (t->resv[i].start == start && t->resv[i].last >= last))
			break;
	}
	if (i < t->nresv && t->resv[i].start == start && t->resv[i].last == last) {
		t->resv[i].owners++;
		return 0;
	}
	r = reallocarray(t->resv, t->nresv + 1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	t->resv = r;
	memmove(r + i + 1, r + i, (t->nresv - i) * sizeof(*r));
	r[i] = (struct iopt_resv){ .start = start, .last = last, .owners = 1 };
	t->nresv++;
	return 0;
}

void iopt_unreserve_locked(struct iopt *t, iova_t start, iova_t last)
{
	unsigned i = 0;

	while (i < t->nresv && (t->resv[i].start != start || t->resv[i].last != last))
		i++;
	assert(i < t->nresv);
	if (--t->resv[i].owners)
		return;
	t->nresv--;
	memmove(t->resv + i, t->resv + i + 1, (t->nresv - i) * sizeof(*t->resv));
	iopt_choice_freed_locked(t, start);
}

/* One hole more than there are ranges, at most. */
static int ranges_locked(const struct iopt *t, struct iommu_iova_range **out)
{
	struct iommu_iova_range *list = calloc(t->nresv + 1, sizeof(*list));
	iova_t next = 0; /* nothing below is left to say */
	bool done = false;
	int n = 0;

	if (!list)
		return -ENOMEM;
	for (unsigned i = 0; i < t->nresv && !done; i++) {
		const struct iopt_resv *r = &t->resv[i];

		if (r->start > next)
			list[n++] = (struct iommu_iova_range){ .start = next, .last = r->start - 1 };
		done = r->last == UINT64_MAX;
		if (r->last >= next)
			next = r->last + 1;
	}
	if (!done)
		list[n++] = (struct iommu_iova_range){ .start = next, .last = UINT64_MAX };
	*out = list;
	return n;
}

int iopt_ranges(struct iopt *t, struct iommu_iova_range **out, uint64_t *align)
{
	SCOPED_LOCK(&t->lock);
	*align = t->align;
	return ranges_locked(t, out);
}

/* ---- allowed ---- */

static int by_start(const void *a, const void *b)
{
	const struct iommu_iova_range *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

int iopt_sort_ranges(struct iommu_iova_range *list, unsigned n)
{
	if (n)
		qsort(list, n, sizeof(*list), by_start);
	for (unsigned i = 1; i < n; i++) {
		if (list[i].start <= list[i - 1].last)
			return -EINVAL;
	}
	return 0;
}

int iopt_allow(struct iopt *t, struct iommu_iova_range *list, unsigned n)
{
	SCOPED_LOCK(&t->lock);
	for (unsigned i = 0; i < n; i++) {
		if (iopt_reserved_locked(t, list[i].start, list[i].last))
			return -EADDRINUSE;
	}
	free(t->allowed);
	t->allowed = list;
	t->nallowed = n;
	return 0;
}

/* ---- alignment ---- */

int iopt_aligned_locked(struct iopt *t, uint64_t align)
{
	struct iopt_area *a;

	if (align <= t->align)
		return 0; /* they were when they came */
	RB_FOREACH(a, iopt_areas, &t->areas) {
		if (!IS_ALIGNED(a->start | iopt_area_length(a) | (a->at & (UVFIO_PAGE_SIZE - 1)), align))
			return -EADDRINUSE;
	}
	return 0;
}

void iopt_realign_locked(struct iopt *t)
{
	uint64_t align = MAX(iommufd_access_align_locked(t), t->small ? UVFIO_PAGE_SIZE : 1);

	for (unsigned i = 0; i < t->ndomains; i++) {
		uint64_t sizes = iommu_domain_pgsizes(t->domains[i]);

		align = MAX(align, sizes & -sizes);
	}
	t->align = align;
}

int iopt_set_small(struct iopt *t, bool small)
{
	SCOPED_LOCK(&t->lock);
	if (small && !t->small) {
		/* What is translated with large pages stays so. */
		if (t->ndomains && !RB_EMPTY(&t->areas))
			return -EINVAL;
		if (iopt_aligned_locked(t, UVFIO_PAGE_SIZE))
			return -EADDRINUSE;
	}
	t->small = small;
	iopt_realign_locked(t);
	return 0;
}
