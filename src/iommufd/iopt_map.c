/* SPDX-License-Identifier: MIT */
/*
 * Areas come and go. A new area is put in place first, so that its addresses are its own, and then shown to the
 * domains, which pins its pages; when that fails it goes again. An unmap takes what lies between two areas that are in
 * the way out of every domain with one call, so DMA under way is waited for once; then the pages are unpinned.
 *
 * An area that accesses have pinned is closed for new pins, and they are called back, without the lock; whoever finds
 * it still pinned a hundred times gives up. Copies end by themselves and are waited for, without the lock: it is a
 * program's memory that they wait for, and others go on mapping meanwhile.
 *
 * Spec: 30, 4.5, 4.9 to 4.11.
 */
#include "iommufd/iopt.h"
#include <assert.h>

#define TRIES 100

/* ---- map ---- */

static int area_create_locked(struct iopt *t, const struct iopt_slice *s, unsigned prot, iova_t iova,
			      struct iopt_area **out)
{
	struct iopt_area *a;

	if ((prot & MEM_WRITE) && !iommufd_pages_writable(s->pages))
		return -EPERM;
	if (!IS_ALIGNED((s->at & (UVFIO_PAGE_SIZE - 1)) | iova, t->align))
		return -EINVAL;
	a = slab_alloc(&t->room);
	if (!a)
		return -ENOMEM;
	*a = (struct iopt_area){ .start = iova, .last = iova + s->length - 1, .pages = iommufd_pages_get(s->pages),
				 .at = s->at, .prot = (uint8_t)prot };
	t->ndmabufs += iommufd_pages_is_dmabuf(a->pages);
	iopt_area_insert_locked(t, a);
	*out = a;
	return 0;
}

static void area_free_locked(struct iopt *t, struct iopt_area *a)
{
	t->ndmabufs -= iommufd_pages_is_dmabuf(a->pages);
	iommufd_pages_put(a->pages);
	slab_free(&t->room, a);
}

/* It is shown to no domain. */
static void area_destroy_locked(struct iopt *t, struct iopt_area *a)
{
	iopt_area_hidden_locked(t, a);
	if (t->ndomains)
		iommufd_pages_release(a->pages, a->at, iopt_area_length(a));
	iopt_area_remove_locked(t, a);
	area_free_locked(t, a);
}

/* Where the program wants it. */
static int check_place_locked(struct iopt *t, iova_t iova, uint64_t length)
{
	iova_t last = iova + (length - 1);

	if (!IS_ALIGNED(iova, t->align))
		return -EINVAL;
	if (last < iova)
		return -EOVERFLOW;
	if (iopt_reserved_locked(t, iova, last))
		return -EINVAL;
	return iopt_area_in_locked(t, iova, last) ? -EEXIST : 0;
}

/* Take back the @n areas of a map that failed; the first @shown are in the domains. */
static void undo_locked(struct iopt *t, struct iopt_area **areas, unsigned n, unsigned shown)
{
	if (shown)
		iopt_hide_locked(t, areas[0]->start, areas[shown - 1]->last);
	for (unsigned i = 0; i < n; i++) {
		if (i < shown) {
			area_destroy_locked(t, areas[i]);
		} else {
			iopt_area_remove_locked(t, areas[i]);
			area_free_locked(t, areas[i]);
		}
	}
}

static int fill_locked(struct iopt *t, const struct iopt_slice *s, unsigned n, unsigned prot, iova_t iova,
		       struct iopt_area **areas)
{
	unsigned made, shown = 0;
	int rc = 0;

	for (made = 0; made < n; made++) {
		rc = area_create_locked(t, &s[made], prot, iova, &areas[made]);
		if (rc)
			break;
		iova += s[made].length;
	}
	while (!rc && shown < made) {
		rc = iopt_area_show_locked(t, areas[shown]);
		if (!rc)
			shown++;
	}
	if (rc)
		undo_locked(t, areas, made, shown);
	return rc;
}

static int map_locked(struct iopt *t, const struct iopt_slice *s, unsigned n, unsigned prot, bool fixed, iova_t *iova)
{
	struct iopt_area *one, **areas = &one;
	uint64_t length = 0;
	iova_t at = *iova;
	int rc;

	for (unsigned i = 0; i < n; i++)
		length += s[i].length;
	if (!length || !IS_ALIGNED(length, t->align))
		return -EINVAL;
	if (fixed)
		rc = check_place_locked(t, at, length);
	else
		rc = iopt_choose_locked(t, iommufd_pages_address(s[0].pages, s[0].at), length, &at);
	if (rc)
		return rc;
	if (n > 1) {
		areas = calloc(n, sizeof(struct iopt_area *));
		if (!areas)
			return -ENOMEM;
	}
	rc = fill_locked(t, s, n, prot, at, areas);
	if (areas != &one)
		free(areas);
	if (!rc)
		*iova = at;
	return rc;
}

int iopt_map(struct iopt *t, const struct iopt_slice *s, unsigned n, unsigned prot, bool fixed, iova_t *iova)
{
	SCOPED_ENTER(t);
	return map_locked(t, s, n, prot, fixed, iova);
}

/* ---- copy: what a range leads to ---- */

/* How many areas cover [@iova, @last] without a hole; 0: there is one. */
static unsigned covered_locked(struct iopt *t, iova_t iova, iova_t last)
{
	struct iopt_area *a = iopt_area_from_locked(t, iova);
	unsigned n = 0;

	while (a && a->start <= iova) {
		n++;
		if (a->last >= last)
			return n;
		iova = a->last + 1;
		a = iopt_area_next_locked(t, a);
	}
	return 0;
}

int iopt_slices(struct iopt *t, iova_t iova, uint64_t length, struct iopt_slice **out)
{
	iova_t last = iova + (length - 1);
	struct iopt_slice *s;
	struct iopt_area *a;
	unsigned n;

	if (!length)
		return -EINVAL;
	if (last < iova)
		return -EOVERFLOW;
	SCOPED_LOCK(&t->lock);
	n = covered_locked(t, iova, last);
	if (!n)
		return -ENOENT;
	s = calloc(n, sizeof(*s));
	if (!s)
		return -ENOMEM;
	a = iopt_area_from_locked(t, iova);
	for (unsigned i = 0; i < n; i++, a = iopt_area_next_locked(t, a)) {
		iova_t from = MAX(a->start, iova), to = MIN(a->last, last);

		s[i] = (struct iopt_slice){ .pages = iommufd_pages_get(a->pages), .at = a->at + (from - a->start),
					    .length = to - from + 1 };
	}
	*out = s;
	return (int)n;
}

void iopt_slices_put(struct iopt_slice *s, int n)
{
	for (int i = 0; i < n; i++)
		iommufd_pages_put(s[i].pages);
	if (n > 0)
		free(s);
}

/* ---- unmap ---- */

/* One unmap under way. */
struct unmap {
	iova_t start, last;
	uint64_t removed;
	iova_t waiting;  /* start of the area that was pinned the last time, ... */
	unsigned tries;  /* ... and how often it was */
};

static bool copied_locked(const struct iopt *t, const struct iopt_area *a)
{
	const struct iopt_copy *c;

	LIST_FOREACH(c, &t->copies, link) {
		if (c->start <= a->last && c->last >= a->start)
			return true;
	}
	return false;
}

/* May it be removed? 0; -EAGAIN when its pins and copies are gone; or why not. */
static int removable_locked(const struct iopt *t, const struct iopt_area *a, const struct unmap *u)
{
	if (a->locks)
		return -EBUSY;
	if (a->start < u->start || a->last > u->last)
		return -ENOENT;
	return a->pins || copied_locked(t, a) ? -EAGAIN : 0;
}

/* Remove areas until the range ends or one is in the way, which is *@out. */
static int remove_locked(struct iopt *t, struct unmap *u, struct iopt_area **out)
{
	struct iopt_area *first = iopt_area_in_locked(t, u->start, u->last), *a, *next;
	iova_t last = 0;
	int rc = 0;

	for (a = first; a && a->start <= u->last; a = iopt_area_next_locked(t, a)) {
		rc = removable_locked(t, a, u);
		if (rc)
			break;
		last = a->last;
	}
	*out = a;
	if (!first || a == first)
		return rc;
	iopt_hide_locked(t, first->start, last);
	for (a = first; a && a->start <= last; a = next) {
		next = iopt_area_next_locked(t, a);
		u->removed += iopt_area_length(a);
		area_destroy_locked(t, a);
	}
	/* The rest is looked at again later, and its first area begins above. */
	if (rc == -EAGAIN)
		u->start = last + 1;
	return rc;
}

/* The area in the way is pinned: nobody pins it again until its pins have been called back. */
static int close_locked(struct iopt_area *a, struct unmap *u, iova_t *start, uint64_t *length)
{
	if (u->tries && u->waiting == a->start) {
		if (++u->tries > TRIES)
			return -EDEADLOCK;
	} else {
		u->waiting = a->start;
		u->tries = 1;
	}
	a->closing = true;
	*start = a->start;
	*length = iopt_area_length(a);
	return -EAGAIN;
}

/* One try. *@length is what to call accesses back for; 0 with -EAGAIN: copies were in the way, and one has ended. */
static int try_unmap(struct iopt *t, struct unmap *u, iova_t *start, uint64_t *length)
{
	struct iopt_area *a;
	int rc;

	*length = 0;
	SCOPED_ENTER(t);
	rc = remove_locked(t, u, &a);
	if (rc == -EAGAIN && a->pins)
		rc = close_locked(a, u, start, length);
	else if (rc == -EAGAIN)
		a->closing = true;
	if (rc == -EDEADLOCK)
		a->closing = false;
	if (rc == -EAGAIN && !*length)
		cond_wait(&t->copied, &t->lock);
	return rc;
}

int iopt_unmap(struct iopt *t, iova_t start, iova_t last, uint64_t *removed)
{
	struct unmap u = { .start = start, .last = last };
	int rc;

	do {
		iova_t at = 0;
		uint64_t length;

		rc = try_unmap(t, &u, &at, &length);
		if (rc == -EAGAIN && length)
			iommufd_access_notify(t, at, length);
	} while (rc == -EAGAIN);
	*removed = u.removed;
	return rc;
}

/* ---- split (type1) ---- */

int iopt_cut(struct iopt *t, iova_t last)
{
	struct iopt_area *a, *upper;
	uint64_t at;
	int rc = 0;

	SCOPED_ENTER(t);
	a = iopt_area_in_locked(t, last, last);
	if (!a || last == a->start || last == a->last)
		return 0;
	if (a->closing)
		return -EBUSY;
	if (iommufd_pages_is_dmabuf(a->pages))
		return -EOPNOTSUPP;
	at = a->at + (last + 1 - a->start);
	if (!IS_ALIGNED((last + 1) | (at & (UVFIO_PAGE_SIZE - 1)), t->align) || a->pins || (t->ndomains && !t->small))
		return -EINVAL;
	upper = slab_alloc(&t->room);
	if (!upper)
		return -ENOMEM;
	if (t->ndomains)
		rc = iommufd_pages_cut(a->pages, at);
	if (rc) {
		slab_free(&t->room, upper);
		return rc;
	}
	*upper = *a;
	upper->start = last + 1;
	upper->at = at;
	upper->pages = iommufd_pages_get(a->pages);
	a->last = last;
	iopt_area_insert_locked(t, upper);
	return 0;
}
