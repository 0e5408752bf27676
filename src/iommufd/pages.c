/* SPDX-License-Identifier: MIT */
/*
 * Pages objects. What is held is kept as spans: disjoint runs of pages, each with the number of its holders. Holding a
 * range cuts spans at its ends, so that the same range can be released later without memory; spans are never joined
 * again. Pins are made for whatever nobody holds yet, and a pin that was cut lives until the last of its spans goes;
 * the pages of a span are charged as long as the span is there.
 *
 * Whoever mapped is remembered: pages are pinned from his memory and charged to him, whoever needs them.
 *
 * Spec: 30, 4.8 and 8.
 */
#include "iommufd/pages_priv.h"
#include <assert.h>
#include <unistd.h>

static int span_compare(const struct pages_span *a, const struct pages_span *b)
{
	return a->first < b->first ? -1 : a->first > b->first;
}
RB_GENERATE_INTERNAL(pages_spans, pages_span, node, span_compare, static __attribute__((unused)))

/* ---- life ---- */

static int pages_create(struct iommufd *fd, struct task *t, struct mm *source, uint64_t start, uint64_t length,
			bool writable, bool by_mm, struct iommufd_pages **out)
{
	struct iommufd_pages *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->fd = fd;
	ref_init(&p->ref);
	p->source = source;
	p->writable = writable;
	p->base = ALIGN_DOWN(start, UVFIO_PAGE_SIZE);
	p->offset = start - p->base;
	p->npages = ((p->offset + length - 1) >> UVFIO_PAGE_SHIFT) + 1;
	if (task_capable(t, TASK_CAP_IPC_LOCK))
		p->how = IOMMUFD_CHARGE_NONE;
	else
		p->how = by_mm ? IOMMUFD_CHARGE_MM : IOMMUFD_CHARGE_USER;
	if (p->how == IOMMUFD_CHARGE_USER) {
		p->user = iommufd_user_get(fd->account, t->mm);
		if (!p->user) {
			free(p);
			return -ENOMEM;
		}
	}
	p->mm = mm_get(t->mm);
	mutex_init(&p->lock, RANK_IOMMUFD_PAGES);
	RB_INIT(&p->spans);
	*out = p;
	return 0;
}

int iommufd_pages_create(struct iommufd *fd, struct task *t, uva_t uva, uint64_t length, bool writable, bool by_mm,
			 struct iommufd_pages **out)
{
	int rc;

	if (uva + length < uva)
		return -EOVERFLOW;
	if (!length || length > UINT64_MAX - UVFIO_PAGE_SIZE)
		return -EINVAL;
	rc = pages_create(fd, t, mm_get(t->mm), uva, length, writable, by_mm, out);
	if (rc)
		mm_put(t->mm);
	return rc;
}

int iommufd_pages_create_file(struct iommufd *fd, struct task *t, int file, uint64_t start, uint64_t length,
			      bool writable, bool by_mm, struct iommufd_pages **out)
{
	struct mm *source;
	int rc = iommufd_filemap_create(file, writable, &source);

	if (rc)
		return rc;
	rc = pages_create(fd, t, source, start, length, writable, by_mm, out);
	if (rc)
		mm_put(source);
	else
		(*out)->file = true;
	return rc;
}

int iommufd_pages_create_dmabuf(struct iommufd *fd, struct task *t, struct mem_dmabuf *buf, uint64_t start,
				uint64_t length, bool writable, struct iommufd_pages **out)
{
	struct iommufd_dmabuf *d;
	int rc = iommufd_dmabuf_create(buf, start, length, &d);

	if (rc)
		return rc;
	rc = pages_create(fd, t, NULL, start, length, writable, true, out);
	if (rc)
		iommufd_dmabuf_destroy(d);
	else
		(*out)->dmabuf = d;
	return rc;
}

struct iommufd_pages *iommufd_pages_get(struct iommufd_pages *p)
{
	ref_get(&p->ref);
	return p;
}

void iommufd_pages_put(struct iommufd_pages *p)
{
	if (!p || !ref_put(&p->ref))
		return;
	assert(RB_EMPTY(&p->spans) && p->charged == 0);
	iommufd_user_put(p->fd->account, p->user);
	iommufd_dmabuf_destroy(p->dmabuf);
	mm_put(p->source);
	mm_put(p->mm);
	mutex_fini(&p->lock);
	free(p);
}

uint64_t iommufd_pages_offset(const struct iommufd_pages *p)
{
	return p->offset;
}

uint64_t iommufd_pages_address(const struct iommufd_pages *p, uint64_t at)
{
	return p->base + at;
}

bool iommufd_pages_writable(const struct iommufd_pages *p)
{
	return p->writable;
}

bool iommufd_pages_is_dmabuf(const struct iommufd_pages *p)
{
	return p->dmabuf;
}

/* ---- spans; lock held ---- */

struct pages_span *iommufd_pages_span_locked(struct iommufd_pages *p, uint64_t page)
{
	struct pages_span *s = RB_ROOT(&p->spans), *found = NULL;

	while (s) {
		if (s->last < page) {
			s = RB_RIGHT(s, node);
		} else {
			found = s;
			s = RB_LEFT(s, node);
		}
	}
	return found;
}

struct pages_span *iommufd_pages_next_locked(struct iommufd_pages *p, struct pages_span *s)
{
	return RB_NEXT(pages_spans, &p->spans, s);
}

/* Make @page the first of a span, if it is in one. */
static int span_cut(struct iommufd_pages *p, uint64_t page)
{
	struct pages_span *s = iommufd_pages_span_locked(p, page), *upper;

	if (!s || s->first >= page)
		return 0;
	upper = malloc(sizeof(*upper));
	if (!upper)
		return -ENOMEM;
	*upper = *s;
	upper->first = page;
	s->last = page - 1;
	upper->pin->spans++;
	RB_INSERT(pages_spans, &p->spans, upper);
	return 0;
}

static struct pages_pin *pin_alloc(struct iommufd_pages *p)
{
	return p->pin.pin ? calloc(1, sizeof(struct pages_pin)) : &p->pin;
}

static void pin_free(struct iommufd_pages *p, struct pages_pin *pin)
{
	if (pin == &p->pin)
		pin->pin = NULL;
	else
		free(pin);
}

static void span_end(struct iommufd_pages *p, struct pages_span *s)
{
	struct pages_pin *pin = s->pin;
	const uint64_t at = s->first - pin->first, n = s->last - s->first + 1;

	RB_REMOVE(pages_spans, &p->spans, s);
	if (s != &pin->span)
		free(s);
	if (--pin->spans == 0) {
		mem_unpin(pin->pin);
		pin_free(p, pin);
	} else {
		mem_pin_part_gone(pin->pin, at << UVFIO_PAGE_SHIFT, n << UVFIO_PAGE_SHIFT);
	}
	iommufd_uncharge(p->how, p->user, p->mm, n);
	p->charged -= n;
}

/* Pin [@first, @last], which nobody holds; @iova: of the first page. */
static int span_create(struct iommufd_pages *p, uint64_t first, uint64_t last, iova_t iova)
{
	struct task mapper = { .mm = p->source };
	unsigned prot = MEM_RAM | MEM_READ | (p->writable ? MEM_WRITE : 0);
	struct pages_pin *pin = pin_alloc(p);
	const uva_t uva = p->base + (first << UVFIO_PAGE_SHIFT);
	uint64_t n = last - first + 1;
	int rc;

	if (!pin)
		return -ENOMEM;
	/* Programs that look at what a mock's page tables are like expect memory to be where its address says. */
	rc = mem_pin(p->fd->mem, &mapper, uva, n << UVFIO_PAGE_SHIFT,
		     p->fd->test ? uva : ALIGN_DOWN(iova, UVFIO_PAGE_SIZE), prot, false, &pin->pin);
	if (rc)
		goto err_free;
	rc = iommufd_charge(p->how, p->user, p->mm, n);
	if (rc)
		goto err_unpin;
	pin->first = first;
	pin->spans = 1;
	pin->span = (struct pages_span){ .first = first, .last = last, .holders = 1, .pin = pin };
	p->charged += n;
	RB_INSERT(pages_spans, &p->spans, &pin->span);
	return 0;

err_unpin:
	mem_unpin(pin->pin);
err_free:
	pin_free(p, pin);
	return rc;
}

void iommufd_pages_release_locked(struct iommufd_pages *p, uint64_t first, uint64_t last)
{
	struct pages_span *s, *next;

	for (s = iommufd_pages_span_locked(p, first); s && s->first <= last; s = next) {
		assert(s->first >= first && s->last <= last);
		next = RB_NEXT(pages_spans, &p->spans, s);
		if (--s->holders == 0)
			span_end(p, s);
	}
}

/* ---- holding ---- */

/* Most objects are held as a whole, again and again. */
static bool hold_whole_locked(struct iommufd_pages *p, uint64_t first, uint64_t last)
{
	struct pages_span *s = RB_ROOT(&p->spans);

	if (!s || s->first != first || s->last != last)
		return false;
	s->holders++;
	return true;
}

int iommufd_pages_hold_locked(struct iommufd_pages *p, uint64_t first, uint64_t last, iova_t iova)
{
	uint64_t page = first;
	int rc;

	if (hold_whole_locked(p, first, last))
		return 0;
	rc = span_cut(p, first);

	if (!rc)
		rc = span_cut(p, last + 1);
	while (!rc && page <= last) {
		struct pages_span *s = iommufd_pages_span_locked(p, page);

		if (s && s->first <= page) {
			s->holders++;
			page = s->last + 1;
		} else {
			uint64_t end = s && s->first <= last ? s->first - 1 : last;

			rc = span_create(p, page, end, iova + ((page - first) << UVFIO_PAGE_SHIFT));
			if (!rc)
				page = end + 1;
		}
	}
	if (rc && page > first)
		iommufd_pages_release_locked(p, first, page - 1);
	return rc;
}

int iommufd_pages_hold(struct iommufd_pages *p, uint64_t at, uint64_t length, iova_t iova)
{
	if (p->dmabuf)
		return 0;
	SCOPED_LOCK(&p->lock);
	return iommufd_pages_hold_locked(p, pages_first(at), pages_last(at, length), iova - (at & (UVFIO_PAGE_SIZE - 1)));
}

void iommufd_pages_release(struct iommufd_pages *p, uint64_t at, uint64_t length)
{
	if (p->dmabuf)
		return;
	SCOPED_LOCK(&p->lock);
	iommufd_pages_release_locked(p, pages_first(at), pages_last(at, length));
}

int iommufd_pages_cut(struct iommufd_pages *p, uint64_t at)
{
	SCOPED_LOCK(&p->lock);
	return span_cut(p, pages_first(at));
}

/* ---- CHANGE_PROCESS ---- */

bool iommufd_pages_movable(const struct iommufd_pages *p)
{
	return p->file;
}

/*
 * As a user's pages are also those of a process, they are charged to the same user once more, before the former charge
 * goes. What is not charged stays where it is seen, in VmPin of the former process; when it is unpinned it is taken from
 * that of the new one (30:IFD-098).
 */
static bool recharge(const struct iommufd_pages *p, const struct iommufd_user *user, const struct mm *mm)
{
	return p->how != IOMMUFD_CHARGE_NONE && (p->mm != mm || p->user != user);
}

int iommufd_pages_move_begin(struct iommufd_pages *p, struct task *t)
{
	struct iommufd_user *user = NULL;
	int rc;

	if (p->next_mm)
		return 0; /* another area of it came first */
	if (p->how == IOMMUFD_CHARGE_USER) {
		user = iommufd_user_get(p->fd->account, t->mm);
		if (!user)
			return -ENOMEM;
	}
	p->recharged = recharge(p, user, t->mm);
	rc = p->recharged ? iommufd_charge(p->how, user, t->mm, p->charged) : 0;
	if (rc) {
		iommufd_user_put(p->fd->account, user);
		return rc;
	}
	p->next_user = user;
	p->next_mm = mm_get(t->mm);
	return 0;
}

void iommufd_pages_move_end(struct iommufd_pages *p, struct task *t, bool undo)
{
	struct iommufd_user *user = undo ? p->next_user : p->user;
	struct mm *mm = undo ? p->next_mm : p->mm;

	if (!p->next_mm)
		return;
	if (!undo) {
		p->user = p->next_user;
		p->mm = p->next_mm;
	}
	p->next_mm = NULL;
	p->next_user = NULL;
	if (p->recharged)
		iommufd_uncharge(p->how, user, mm, p->charged);
	iommufd_user_put(p->fd->account, user);
	mm_put(mm);
}
