/* SPDX-License-Identifier: MIT */
/*
 * Accesses: software that reads and writes what an address space leads to, in place of a device. Each knows what it has
 * pinned, by range; so the pins of a range that is unmapped, or of an address space that it leaves, can be asked back.
 *
 * Callbacks are made without locks. Meanwhile the access is visited, which its end waits for. Copies are made without
 * locks too: the address space knows where, and an unmap waits for those of its range; the access counts them, and
 * leaves the address space after the last.
 *
 * Spec: 30, section 5.
 */
#include "iommufd/priv.h"
#include <assert.h>
#include <string.h>

/* A range that is pinned; the same range again counts. */
struct access_pin {
	RB_ENTRY(access_pin) node;
	iova_t start, last;
	unsigned users;
};
RB_HEAD(access_pins, access_pin);

struct iommufd_access {
	struct iommufd_object obj;              /* used by its owner */
	const struct iommufd_access_ops *ops;   /* [I] */
	void *priv;                             /* [I] */
	struct mutex lock;                      /* RANK_IOMMUFD_ACCESS */
	struct iommufd_ioas *ioas;              /* [lock] attached to, used; NULL: none */
	struct iommufd_ioas *leaving;           /* [lock] pins are being asked back from it */
	struct access_pins pins;                /* [lock] in ioas, or in leaving */
	unsigned copies;                        /* [lock] under way, which it does not leave before the end of */
	struct cond idle;                       /* there are none any more */
	LIST_ENTRY(iommufd_access) link;        /* [iopt lock] */
};

static int pin_compare(const struct access_pin *a, const struct access_pin *b)
{
	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	return a->last < b->last ? -1 : a->last > b->last;
}
RB_GENERATE_INTERNAL(access_pins, access_pin, node, pin_compare, static __attribute__((unused)))

/* ---- life ---- */

int iommufd_access_create(struct iommufd_ctx *ctx, const struct iommufd_access_ops *ops, void *priv,
			  struct iommufd_access **out, uint32_t *id)
{
	struct iommufd_access *a = calloc(1, sizeof(*a));
	int rc;

	if (!a)
		return -ENOMEM;
	rc = iommufd_object_reserve(ctx, IOMMUFD_ACCESS, &a->obj);
	if (rc) {
		free(a);
		return rc;
	}
	a->ops = ops;
	a->priv = priv;
	a->obj.users = 1;
	mutex_init(&a->lock, RANK_IOMMUFD_ACCESS);
	cond_init(&a->idle);
	RB_INIT(&a->pins);
	if (!ops->internal)
		iommufd_ctx_get(ctx);
	*id = a->obj.id;
	*out = a;
	iommufd_object_publish(&a->obj);
	return 0;
}

void iommufd_access_destroy(struct iommufd_access *a)
{
	struct iommufd_ctx *ctx = a->ops->internal ? NULL : a->obj.ctx;

	iommufd_access_detach(a);
	iommufd_object_withdraw(&a->obj);
	assert(RB_EMPTY(&a->pins));
	cond_fini(&a->idle);
	mutex_fini(&a->lock);
	free(a);
	iommufd_ctx_put(ctx);
}

void iommufd_access_free(struct iommufd_object *o)
{
	assert(!"an access ends by its owner");
}

/* ---- attach ---- */

uint64_t iommufd_access_align_locked(const struct iopt *t)
{
	struct iommufd_access *a;

	LIST_FOREACH(a, &t->accesses, link) {
		if (a->ops->needs_pin_pages)
			return UVFIO_PAGE_SIZE;
	}
	return 1;
}

static int join(struct iopt *t, struct iommufd_access *a)
{
	SCOPED_LOCK(&t->lock);
	if (a->ops->needs_pin_pages && iopt_aligned_locked(t, UVFIO_PAGE_SIZE))
		return -EADDRINUSE;
	LIST_INSERT_HEAD(&t->accesses, a, link);
	iopt_realign_locked(t);
	return 0;
}

static void part(struct iopt *t, struct iommufd_access *a)
{
	SCOPED_LOCK(&t->lock);
	LIST_REMOVE(a, link);
	iopt_realign_locked(t);
}

/* No pin can be made in the old address space any more; ask those that are there back, and leave. */
static void leave_locked(struct iommufd_access *a, struct iommufd_ioas *to) REQUIRES(&a->lock)
{
	struct iommufd_ioas *old = a->ioas;

	a->ioas = NULL;
	a->leaving = old;
	mutex_unlock(&a->lock);
	if (a->ops->unmap)
		a->ops->unmap(a->priv, 0, UINT64_MAX);
	mutex_lock(&a->lock);
	while (a->copies)
		cond_wait(&a->idle, &a->lock);
	assert(RB_EMPTY(&a->pins));
	a->leaving = NULL;
	part(&old->iopt, a);
	a->ioas = to;
}

int iommufd_access_attach(struct iommufd_access *a, uint32_t ioas_id)
{
	struct iommufd_ioas *ioas = iommufd_ioas_visit(a->obj.ctx, ioas_id);
	int rc;

	if (!ioas)
		return -ENOENT;
	mutex_lock(&a->lock);
	rc = a->ioas || a->leaving ? -EINVAL : join(&ioas->iopt, a);
	if (!rc) {
		a->ioas = ioas;
		iommufd_object_use(&ioas->obj);
	}
	mutex_unlock(&a->lock);
	iommufd_ioas_leave(ioas);
	return rc;
}

/* Can the new one have it? It joins for good only when it has left the old one, as it is in one list. */
static int check_joinable(struct iopt *t, struct iommufd_access *a)
{
	SCOPED_LOCK(&t->lock);
	return a->ops->needs_pin_pages && iopt_aligned_locked(t, UVFIO_PAGE_SIZE) ? -EADDRINUSE : 0;
}

int iommufd_access_replace(struct iommufd_access *a, uint32_t ioas_id)
{
	struct iommufd_ioas *ioas = iommufd_ioas_visit(a->obj.ctx, ioas_id), *old;
	int rc = 0;

	if (!ioas)
		return -ENOENT;
	mutex_lock(&a->lock);
	old = a->ioas;
	if (!old)
		rc = -ENOENT;
	else if (old != ioas)
		rc = check_joinable(&ioas->iopt, a);
	if (rc || old == ioas) {
		mutex_unlock(&a->lock);
		iommufd_ioas_leave(ioas);
		return rc;
	}
	leave_locked(a, NULL);
	rc = join(&ioas->iopt, a);
	if (!rc) {
		a->ioas = ioas;
		iommufd_object_use(&ioas->obj);
	} else if (!join(&old->iopt, a)) { /* somebody mapped by the byte in between */
		a->ioas = old;
		old = NULL;
	}
	mutex_unlock(&a->lock);
	if (old)
		iommufd_object_unuse(&old->obj);
	iommufd_ioas_leave(ioas);
	return rc;
}

void iommufd_access_detach(struct iommufd_access *a)
{
	struct iommufd_ioas *old;

	mutex_lock(&a->lock);
	old = a->ioas;
	if (old)
		leave_locked(a, NULL);
	mutex_unlock(&a->lock);
	if (old)
		iommufd_object_unuse(&old->obj);
}

struct iommufd_ioas *iommufd_access_ioas_visit(struct iommufd_access *a)
{
	SCOPED_LOCK(&a->lock);
	return a->ioas && iommufd_object_revisit(&a->ioas->obj) ? a->ioas : NULL;
}

/* ---- pins ---- */

/* Where the pages are: a place for each, or whether they follow each other. */
struct places {
	phys_t *each;  /* NULL: nobody wants to know */
	phys_t first;
	uint64_t n;    /* pages that there were */
	bool broken;   /* one did not follow the one before */
};

static void place(struct places *w, const phys_t *pages, uint64_t n)
{
	if (!w->n)
		w->first = pages[0];
	for (uint64_t i = 0; i < n; i++)
		w->broken |= pages[i] != w->first + ((w->n + i) << UVFIO_PAGE_SHIFT);
	if (w->each)
		memcpy(w->each + w->n, pages, n * sizeof(*pages));
	w->n += n;
}

/* Of an area's bytes [@at, +@length), from a page's start on */
static void place_area(struct places *w, struct iommufd_pages *p, uint64_t at, uint64_t length)
{
	phys_t some[64];

	for (uint64_t done = 0, step; done < length; done += step) {
		step = MIN(length - done, ARRAY_SIZE(some) * UVFIO_PAGE_SIZE);
		place(w, some, iommufd_pages_phys(p, at + done, step, some));
	}
}

static int check_area(const struct iopt_area *a, iova_t from, iova_t last, unsigned prot)
{
	uint64_t byte = a->at + (from - a->start);

	if (a->closing || iommufd_pages_is_dmabuf(a->pages))
		return -EINVAL;
	if ((a->prot & prot) != prot)
		return -EPERM;
	/* Each page of the range is one page of memory. */
	if (!IS_ALIGNED(byte, UVFIO_PAGE_SIZE))
		return -EINVAL;
	return a->last < last && !IS_ALIGNED(byte + (a->last - from) + 1, UVFIO_PAGE_SIZE) ? -EINVAL : 0;
}

/* Let the areas of [@start, @end) of a pin go. */
static void unpin_areas_locked(struct iommufd_access *access, struct iopt *t, iova_t start, iova_t last)
{
	for (iova_t at = start;;) {
		struct iopt_area *a = iopt_area_from_locked(t, at);
		iova_t to = MIN(a->last, last);

		iommufd_pages_release(a->pages, a->at + (at - a->start), to - at + 1);
		a->pins--;
		a->locks -= access->ops->internal;
		if (to == last)
			return;
		at = to + 1;
	}
}

static int pin_areas_locked(struct iommufd_access *access, struct iopt *t, iova_t start, iova_t last, unsigned prot,
			    struct places *where)
{
	iova_t at = start;
	int rc = 0;

	for (;;) {
		struct iopt_area *a = iopt_area_from_locked(t, at);
		iova_t to;

		if (!a || a->start > at) {
			rc = -ENOENT;
			break;
		}
		rc = check_area(a, at, last, prot);
		if (rc)
			break;
		to = MIN(a->last, last);
		rc = iommufd_pages_hold(a->pages, a->at + (at - a->start), to - at + 1, at);
		if (rc)
			break;
		a->pins++;
		a->locks += access->ops->internal;
		place_area(where, a->pages, a->at + (at - a->start), to - at + 1);
		if (to == last)
			return 0;
		at = to + 1;
	}
	if (at != start)
		unpin_areas_locked(access, t, start, at - 1);
	return rc;
}

static int pin_locked(struct iommufd_access *a, iova_t start, iova_t last, unsigned prot, struct places *where)
{
	struct access_pin key = { .start = start, .last = last }, *p, *fresh = NULL;
	struct iopt *t = &a->ioas->iopt;
	int rc;

	p = RB_FIND(access_pins, &a->pins, &key);
	if (!p) {
		p = fresh = calloc(1, sizeof(*p));
		if (!p)
			return -ENOMEM;
		*p = key;
	}
	iopt_enter(t);
	rc = pin_areas_locked(a, t, start, last, prot, where);
	mutex_unlock(&t->lock);
	if (rc) {
		free(fresh);
		return rc;
	}
	if (fresh)
		RB_INSERT(access_pins, &a->pins, fresh);
	p->users++;
	return 0;
}

static int pin(struct iommufd_access *a, iova_t iova, uint64_t length, unsigned prot, struct places *where)
{
	iova_t last = iova + (length - 1);

	if (!length)
		return -EINVAL;
	if (last < iova)
		return -EOVERFLOW;
	SCOPED_LOCK(&a->lock);
	return a->ioas ? pin_locked(a, iova, last, prot, where) : -ENOENT;
}

int iommufd_access_pin(struct iommufd_access *a, iova_t iova, uint64_t length, bool write, phys_t *phys)
{
	struct places where = { .each = phys };

	return pin(a, iova, length, write ? MEM_WRITE : MEM_READ, &where);
}

int iommufd_access_pin_run(struct iommufd_access *a, iova_t iova, uint64_t length, phys_t *phys)
{
	struct places where = { 0 };
	int rc = pin(a, iova, length, MEM_READ, &where);

	if (rc)
		return rc;
	if (where.broken) {
		iommufd_access_unpin(a, iova, length);
		return -EFAULT;
	}
	*phys = where.first;
	return 0;
}

void iommufd_access_unpin(struct iommufd_access *a, iova_t iova, uint64_t length)
{
	struct access_pin key = { .start = iova, .last = iova + (length - 1) }, *p;
	struct iommufd_ioas *ioas;
	struct iopt *t;

	SCOPED_LOCK(&a->lock);
	ioas = a->ioas ? a->ioas : a->leaving;
	p = ioas && length ? RB_FIND(access_pins, &a->pins, &key) : NULL;
	if (!p)
		return;
	t = &ioas->iopt;
	iopt_enter(t);
	unpin_areas_locked(a, t, key.start, key.last);
	mutex_unlock(&t->lock);
	if (--p->users == 0) {
		RB_REMOVE(access_pins, &a->pins, p);
		free(p);
	}
}

/* ---- copying ---- */

/* The part of a copy that lies in one area. */
struct part {
	struct iopt_copy copy;
	struct iommufd_pages_copy pages;
};

static int part_begin(struct iopt *t, struct mm *mm, iova_t iova, iova_t last, bool write, struct part *p)
{
	struct iopt_area *a;
	int rc;

	SCOPED_ENTER(t);
	a = iopt_area_from_locked(t, iova);
	if (!a || a->start > iova)
		return -ENOENT;
	if (a->closing || iommufd_pages_is_dmabuf(a->pages))
		return -EINVAL;
	if (!(a->prot & (write ? MEM_WRITE : MEM_READ)))
		return -EPERM;
	p->copy = (struct iopt_copy){ .start = iova, .last = MIN(a->last, last) };
	rc = iommufd_pages_copy_begin(a->pages, mm, a->at + (iova - a->start), p->copy.last - iova + 1, &p->pages);
	if (!rc)
		LIST_INSERT_HEAD(&t->copies, &p->copy, link);
	return rc;
}

static void part_end(struct iopt *t, struct part *p)
{
	SCOPED_ENTER(t);
	iommufd_pages_copy_end(&p->pages);
	LIST_REMOVE(&p->copy, link);
	cond_broadcast(&t->copied);
}

/* The memory may be a program's that keeps whoever touches it waiting: only the access is busy meanwhile. */
static int copy(struct iopt *t, struct mm *mm, iova_t iova, char *data, iova_t last, bool write)
{
	struct part p;

	for (;; data += p.copy.last - iova + 1, iova = p.copy.last + 1) {
		int rc = part_begin(t, mm, iova, last, write, &p);

		if (rc)
			return rc;
		rc = iommufd_pages_copy(&p.pages, data, write);
		part_end(t, &p);
		if (rc || p.copy.last == last)
			return rc;
	}
}

int iommufd_access_rw(struct iommufd_access *a, struct task *t, iova_t iova, void *data, uint64_t length, bool write)
{
	iova_t last = iova + (length - 1);
	struct iommufd_ioas *ioas;
	int rc;

	if (!length)
		return -EINVAL;
	if (last < iova)
		return -EOVERFLOW;
	mutex_lock(&a->lock);
	ioas = a->ioas;
	if (ioas)
		a->copies++;
	mutex_unlock(&a->lock);
	if (!ioas)
		return -ENOENT;
	rc = copy(&ioas->iopt, t ? t->mm : NULL, iova, data, last, write);
	SCOPED_LOCK(&a->lock);
	if (--a->copies == 0)
		cond_broadcast(&a->idle);
	return rc;
}

/* ---- calls back ---- */

/* An access of the address space that was not called yet, visited. NULL: all were */
static struct iommufd_access *next_to_call(struct iopt *t, struct iommufd_access **called, unsigned n)
{
	struct iommufd_access *a;

	SCOPED_LOCK(&t->lock);
	LIST_FOREACH(a, &t->accesses, link) {
		bool done = !a->ops->unmap;

		for (unsigned i = 0; i < n && !done; i++)
			done = called[i] == a;
		if (!done && iommufd_object_revisit(&a->obj))
			return a;
	}
	return NULL;
}

void iommufd_access_notify(struct iopt *t, iova_t iova, uint64_t length)
{
	struct iommufd_access **called = NULL, *a;
	unsigned n = 0;

	while ((a = next_to_call(t, called, n))) {
		struct iommufd_access **more = reallocarray(called, n + 1, sizeof(struct iommufd_access *));

		a->ops->unmap(a->priv, iova, length);
		if (!more) {
			iommufd_object_leave(&a->obj); /* it may be called once more */
			break;
		}
		called = more;
		called[n++] = a;
	}
	while (n > 0)
		iommufd_object_leave(&called[--n]->obj);
	free(called);
}
