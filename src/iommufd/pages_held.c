/* SPDX-License-Identifier: MIT */
/*
 * What pages objects hold, in use: shown to domains, told by address, copied. Spec: 30, 4.8 and 5.
 */
#include "iommufd/pages_priv.h"
#include <assert.h>

/* ---- pieces of it ---- */

/* Consecutive pieces of what is held, from some byte on. */
struct cursor {
	struct pages_span *span;
	const struct mem_piece *piece;
	uint64_t skip;    /* bytes into the piece */
	uint64_t left;    /* bytes of the span from there on */
};

static void cursor_enter(struct cursor *c, uint64_t at)
{
	mem_pin_pieces(c->span->pin->pin, &c->piece);
	c->skip = at - (c->span->pin->first << UVFIO_PAGE_SHIFT);
	while (c->skip >= c->piece->length) {
		c->skip -= c->piece->length;
		c->piece++;
	}
	c->left = ((c->span->last + 1) << UVFIO_PAGE_SHIFT) - at;
}

static void cursor_begin(struct cursor *c, struct iommufd_pages *p, uint64_t at)
{
	c->span = iommufd_pages_span_locked(p, pages_first(at));
	assert(c->span && c->span->first <= pages_first(at));
	cursor_enter(c, at);
}

static phys_t cursor_phys(const struct cursor *c)
{
	return c->piece->phys + c->skip;
}

/* Bytes that follow each other from here. */
static uint64_t cursor_room(const struct cursor *c)
{
	return MIN(c->piece->length - c->skip, c->left);
}

static void cursor_step(struct cursor *c, struct iommufd_pages *p, uint64_t n)
{
	c->skip += n;
	c->left -= n;
	if (c->left == 0) {
		uint64_t end = (c->span->last + 1) << UVFIO_PAGE_SHIFT;

		c->span = iommufd_pages_next_locked(p, c->span);
		if (c->span && c->span->first << UVFIO_PAGE_SHIFT == end) /* else what was asked for ends here */
			cursor_enter(c, end);
	} else if (c->skip == c->piece->length) {
		c->piece++;
		c->skip = 0;
	}
}

static int map_locked(struct iommufd_pages *p, uint64_t at, const struct iommufd_place *to)
{
	struct cursor c;
	uint64_t done = 0;

	cursor_begin(&c, p, at);
	while (done < to->length) {
		uint64_t n = MIN(cursor_room(&c), to->length - done);
		int rc = to->small ? iommu_map_small(to->dom, to->iova + done, cursor_phys(&c), n, to->prot)
				   : iommu_map(to->dom, to->iova + done, cursor_phys(&c), n, to->prot);

		if (rc) {
			iommu_unmap(to->dom, to->iova, done);
			return rc;
		}
		done += n;
		cursor_step(&c, p, n);
	}
	return 0;
}

int iommufd_pages_map(struct iommufd_pages *p, uint64_t at, const struct iommufd_place *to)
{
	if (p->dmabuf)
		return iommufd_dmabuf_map(p->dmabuf, p->base + at, to->length, to->dom, to->iova, to->prot, to->small);
	SCOPED_LOCK(&p->lock);
	return map_locked(p, at, to);
}

int iommufd_pages_hold_map(struct iommufd_pages *p, uint64_t at, const struct iommufd_place *to)
{
	const uint64_t first = pages_first(at), last = pages_last(at, to->length);
	int rc;

	if (p->dmabuf)
		return iommufd_pages_map(p, at, to);
	SCOPED_LOCK(&p->lock);
	rc = iommufd_pages_hold_locked(p, first, last, to->iova - (at & (UVFIO_PAGE_SIZE - 1)));
	if (rc)
		return rc;
	rc = map_locked(p, at, to);
	if (rc)
		iommufd_pages_release_locked(p, first, last);
	return rc;
}

void iommufd_pages_unmapped(struct iommufd_pages *p, struct iommu_domain *dom, iova_t iova)
{
	if (p->dmabuf)
		iommufd_dmabuf_unmapped(p->dmabuf, dom, iova);
}

uint64_t iommufd_pages_phys(struct iommufd_pages *p, uint64_t at, uint64_t length, phys_t *out)
{
	const uint64_t first = pages_first(at), n = pages_last(at, length) - first + 1;
	struct cursor c;

	SCOPED_LOCK(&p->lock);
	cursor_begin(&c, p, first << UVFIO_PAGE_SHIFT);
	for (uint64_t i = 0; i < n; i++) {
		out[i] = cursor_phys(&c);
		cursor_step(&c, p, UVFIO_PAGE_SIZE);
	}
	return n;
}

/* A file's pages have no place in RAM, which depends on a program: they are known by what pins them. */
static void file_run(struct iommufd_pages *p, uint64_t at, uint64_t *length, phys_t *out)
{
	struct cursor c;
	uint64_t n = 0;

	SCOPED_LOCK(&p->lock);
	cursor_begin(&c, p, at);
	*out = cursor_phys(&c);
	while (n < *length && cursor_phys(&c) == *out + n) {
		uint64_t step = MIN(cursor_room(&c), *length - n);

		n += step;
		if (n < *length)
			cursor_step(&c, p, step);
	}
	*length = n;
}

int iommufd_pages_run(struct iommufd_pages *p, uint64_t at, uint64_t *length, phys_t *out)
{
	const uint64_t offset = at & (UVFIO_PAGE_SIZE - 1), wanted = *length;
	uint64_t room, done = 0;
	phys_t phys;
	int rc;

	if (p->dmabuf)
		return iommufd_dmabuf_phys(p->dmabuf, p->base + at, out);
	if (p->file) {
		file_run(p, at, length, out);
		return 0;
	}
	do {
		rc = mem_ram_locate(p->fd->mem, p->source, p->base + at + done, &phys, &room);
		if (rc && !done)
			return rc;
		if (!done)
			*out = phys + offset;
		else if (rc || phys != *out + done)
			break;
		done += room - (done ? 0 : offset);
	} while (done < wanted);
	*length = MIN(done, wanted);
	return 0;
}

/* ---- copying ---- */

/*
 * Hold what is pinned anyway: the spans that [*@first, *@last] is in, as they are, which are the pages then. They are
 * not cut, as copies are many and cuts stay; whoever else cuts them leaves each part as held as it was.
 * False: some page is not pinned.
 */
static bool hold_spans_locked(struct iommufd_pages *p, uint64_t *first, uint64_t *last)
{
	struct pages_span *s = iommufd_pages_span_locked(p, *first), *from = s;
	uint64_t page = *first;

	while (s && s->first <= page && s->last < *last) {
		page = s->last + 1;
		s = iommufd_pages_next_locked(p, s);
	}
	if (!s || s->first > page)
		return false;
	*first = from->first;
	*last = s->last;
	for (s = from; s && s->first <= *last; s = iommufd_pages_next_locked(p, s))
		s->holders++;
	return true;
}

/* Where byte @at is, which is held; *@n: bytes that follow each other from there, at most as many as it says. */
static phys_t held_at(struct iommufd_pages *p, uint64_t at, uint64_t *n)
{
	struct cursor c;

	SCOPED_LOCK(&p->lock);
	cursor_begin(&c, p, at);
	*n = MIN(cursor_room(&c), *n);
	return cursor_phys(&c);
}

static int copy_held(const struct iommufd_pages_copy *c, char *data, bool write)
{
	struct mem *mem = c->pages->fd->mem;
	uint64_t n;
	int rc = 0;

	for (uint64_t done = 0; !rc && done < c->length; done += n) {
		phys_t phys;

		n = c->length - done;
		phys = held_at(c->pages, c->at + done, &n);
		rc = write ? mem_write(mem, phys, data + done, n) : mem_read(mem, phys, data + done, n);
	}
	return rc;
}

/* Through the present mappings of the process, with the rights that they give. */
static int copy_present(const struct iommufd_pages_copy *c, char *data, bool write)
{
	struct mm *mm = c->pages->source;
	uva_t uva = c->pages->base + c->at;
	uint64_t n;

	for (uint64_t done = 0; done < c->length; done += n) {
		struct mm_area a = { 0 };
		int rc = mm->ops->area(mm, uva + done, &a);

		if (rc || a.file || !(write ? a.writable : a.readable))
			return -EFAULT;
		n = MIN(c->length - done - 1, a.last - (uva + done)) + 1;
		rc = write ? mm->ops->write(mm, uva + done, data + done, n) : mm->ops->read(mm, data + done, uva + done, n);
		if (rc)
			return rc;
	}
	return 0;
}

int iommufd_pages_copy_begin(struct iommufd_pages *p, struct mm *mm, uint64_t at, uint64_t length,
			     struct iommufd_pages_copy *out)
{
	struct iommufd_pages_copy c = { .pages = p, .at = at, .length = length, .first = pages_first(at),
					.last = pages_last(at, length) };
	int rc = 0;

	if (p->file || (mm != p->source && c.first != c.last) || !mm_alive(p->source)) {
		SCOPED_LOCK(&p->lock);
		c.held = hold_spans_locked(p, &c.first, &c.last);
		if (!c.held && p->file) {
			rc = iommufd_pages_hold_locked(p, c.first, c.last, 0);
			c.held = true;
		}
	}
	if (!rc)
		*out = c;
	return rc;
}

int iommufd_pages_copy(const struct iommufd_pages_copy *c, void *data, bool write)
{
	return c->held ? copy_held(c, data, write) : copy_present(c, data, write);
}

void iommufd_pages_copy_end(struct iommufd_pages_copy *c)
{
	if (!c->held)
		return;
	SCOPED_LOCK(&c->pages->lock);
	iommufd_pages_release_locked(c->pages, c->first, c->last);
}
