/* SPDX-License-Identifier: MIT */
/*
 * Choosing an address: the first hole, from below, in which the run fits with the alignment that lets large pages do.
 *
 * A program that maps a million times must not look at a million holes each time. So for each alignment it is known,
 * of some length, below which address no hole has room for it; a longer run need not look there either. Whatever
 * frees addresses below takes that knowledge back as far.
 *
 * Spec: 30, 4.6.
 */
#include "iommufd/iopt.h"

#define HUGE_SIZE (2ull << 20)

/* A request. */
struct want {
	uint64_t length;
	uint64_t align;  /* power of two */
	uint64_t offset; /* in a page */
};

static uint64_t round_up_pow2(uint64_t x)
{
	return x <= 1 ? 1 : 1ull << (64 - __builtin_clzll(x - 1));
}

/* Does it fit in [*@start, @last]? Then *@start is where. */
static bool fits(const struct want *w, iova_t *start, iova_t last)
{
	iova_t at = ALIGN_UP(*start, w->align);

	if (at < *start)
		return false;
	at |= w->offset;
	if (at >= last || last - at < w->length - 1)
		return false;
	*start = at;
	return true;
}

/* The next range, of those reserved, that ends at or above @at; NULL: none. They overlap, but are few. */
static const struct iopt_resv *resv_from(const struct iopt *t, iova_t at)
{
	for (unsigned i = 0; i < t->nresv; i++) {
		if (t->resv[i].last >= at)
			return &t->resv[i];
	}
	return NULL;
}

/* The first hole in [@at, @last] where it fits; *@hole: where that hole begins. */
static bool search(struct iopt *t, const struct want *w, iova_t at, iova_t last, iova_t *out, iova_t *hole)
{
	struct iopt_area *a = iopt_area_from_locked(t, at);

	while (at <= last) {
		const struct iopt_resv *r = resv_from(t, at);
		iova_t end = last, next;

		if (a && a->start <= at) {
			next = a->last;
			a = iopt_area_next_locked(t, a);
		} else if (r && r->start <= at) {
			next = r->last;
			while (a && a->last <= next)
				a = iopt_area_next_locked(t, a);
		} else {
			if (a && a->start - 1 < end)
				end = a->start - 1;
			if (r && r->start - 1 < end)
				end = r->start - 1;
			*hole = *out = at;
			if (fits(w, out, end))
				return true;
			next = end;
		}
		if (next >= last)
			return false;
		at = next + 1;
	}
	return false;
}

static struct iopt_choice *choice_of(struct iopt *t, const struct want *w)
{
	if (t->nallowed || w->align < UVFIO_PAGE_SIZE)
		return NULL;
	return &t->choice[__builtin_ctzll(w->align)];
}

static int choose_anywhere(struct iopt *t, const struct want *w, iova_t *out)
{
	struct iopt_choice *c = choice_of(t, w);
	bool known = c && c->length && w->length >= c->length;
	iova_t hole;

	if (!search(t, w, known ? c->from : UVFIO_PAGE_SIZE, UINT64_MAX - UVFIO_PAGE_SIZE, out, &hole))
		return -ENOSPC;
	if (c && (!c->length || w->length <= c->length))
		*c = (struct iopt_choice){ .length = w->length, .from = hole };
	return 0;
}

static int choose_allowed(struct iopt *t, const struct want *w, iova_t *out)
{
	for (unsigned i = 0; i < t->nallowed; i++) {
		iova_t start = MAX(t->allowed[i].start, UVFIO_PAGE_SIZE), hole;
		iova_t last = MIN(t->allowed[i].last, UINT64_MAX - UVFIO_PAGE_SIZE);

		if (start <= last && fits(w, &start, last) && search(t, w, start, last, out, &hole))
			return 0;
	}
	return -ENOSPC;
}

int iopt_choose_locked(struct iopt *t, uint64_t a, uint64_t length, iova_t *out)
{
	struct want w = { .length = length, .offset = a & (UVFIO_PAGE_SIZE - 1) };

	if (!length || length >= UINT64_MAX / 2)
		return -EOVERFLOW;
	w.align = round_up_pow2(length);
	if (a)
		w.align = MIN(w.align, a & -a);
	w.align = MIN(w.align, HUGE_SIZE);
	if (w.align < t->align)
		return -EINVAL;
	return t->nallowed ? choose_allowed(t, &w, out) : choose_anywhere(t, &w, out);
}

/* Where the hole begins that @at is in now. */
static iova_t hole_start(struct iopt *t, iova_t at)
{
	struct iopt_area *a = RB_ROOT(&t->areas), *below = NULL;
	iova_t start = UVFIO_PAGE_SIZE;

	while (a) {
		if (a->start <= at) {
			below = a;
			a = RB_RIGHT(a, node);
		} else {
			a = RB_LEFT(a, node);
		}
	}
	if (below && below->last >= start)
		start = below->last + 1;
	for (unsigned i = 0; i < t->nresv; i++) {
		if (t->resv[i].last < at && t->resv[i].last >= start)
			start = t->resv[i].last + 1;
	}
	return start;
}

void iopt_choice_freed_locked(struct iopt *t, iova_t start)
{
	iova_t hole = 0;

	for (unsigned i = 0; i < IOPT_CHOICES; i++) {
		struct iopt_choice *c = &t->choice[i];

		if (!c->length || c->from <= start)
			continue;
		if (!hole)
			hole = hole_start(t, start);
		c->from = MIN(c->from, hole);
	}
}
