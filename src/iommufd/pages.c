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
#include "iommufd/pages.h"
#include "iommufd/priv.h"
#include <assert.h>
#include <bsd/sys/tree.h>
#include <unistd.h>

struct pages_span {
	RB_ENTRY(pages_span) node;
	uint64_t first, last; /* pages, inclusive */
	unsigned holders;
	struct pages_pin *pin;
};
RB_HEAD(pages_spans, pages_span);

/* One mem_pin, of pages [first, ...) of the object. */
struct pages_pin {
	struct mem_pin *pin;    /* NULL: not in use */
	uint64_t first;
	unsigned spans;
	struct pages_span span; /* what it was made for; those cut off are by themselves */
};

struct iommufd_pages {
	struct iommufd *fd;         /* [I] */
	struct ref ref;
	struct mutex lock;          /* RANK_IOMMUFD_PAGES */
	struct mm *source;          /* [I] where the pages are: the process's memory, or a file's; NULL: */
	struct iommufd_dmabuf *dmabuf; /* [I] in a dma-buf, of which no pages are held */
	bool file;                  /* [I] */
	bool writable;              /* [I] */
	uva_t base;                 /* [I] of page 0 */
	uint64_t offset;            /* [I] in page 0, where what was mapped begins */
	uint64_t npages;            /* [I] */
	/* Who answers: changed with the context's process lock written, read with it read */
	struct mm *mm;              /* whose limit */
	enum iommufd_charge how;
	struct iommufd_user *user;  /* NULL: how is not USER */
	struct mm *next_mm;         /* between move_begin and move_end */
	bool recharged;             /* the same: who pays changes */
	struct iommufd_user *next_user;
	struct pages_spans spans;   /* [lock] */
	uint64_t charged;           /* [lock] pages */
	struct pages_pin pin;       /* [lock] the first, as most objects never have another */
};

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

static uint64_t first_page(uint64_t at)
{
	return at >> UVFIO_PAGE_SHIFT;
}

static uint64_t last_page(uint64_t at, uint64_t length)
{
	return (at + length - 1) >> UVFIO_PAGE_SHIFT;
}

/* ---- spans; lock held ---- */

/* The span that page @page is in, or the next one above; NULL: none */
static struct pages_span *span_from(struct iommufd_pages *p, uint64_t page)
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

/* Make @page the first of a span, if it is in one. */
static int span_cut(struct iommufd_pages *p, uint64_t page)
{
	struct pages_span *s = span_from(p, page), *upper;

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

static void release_locked(struct iommufd_pages *p, uint64_t first, uint64_t last)
{
	struct pages_span *s, *next;

	for (s = span_from(p, first); s && s->first <= last; s = next) {
		assert(s->first >= first && s->last <= last);
		next = RB_NEXT(pages_spans, &p->spans, s);
		if (--s->holders == 0)
			span_end(p, s);
	}
}

/* ---- holding ---- */

static int hold_locked(struct iommufd_pages *p, uint64_t first, uint64_t last, iova_t iova)
{
	uint64_t page = first;
	int rc = span_cut(p, first);

	if (!rc)
		rc = span_cut(p, last + 1);
	while (!rc && page <= last) {
		struct pages_span *s = span_from(p, page);

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
		release_locked(p, first, page - 1);
	return rc;
}

int iommufd_pages_hold(struct iommufd_pages *p, uint64_t at, uint64_t length, iova_t iova)
{
	if (p->dmabuf)
		return 0;
	SCOPED_LOCK(&p->lock);
	return hold_locked(p, first_page(at), last_page(at, length), iova - (at & (UVFIO_PAGE_SIZE - 1)));
}

void iommufd_pages_release(struct iommufd_pages *p, uint64_t at, uint64_t length)
{
	if (p->dmabuf)
		return;
	SCOPED_LOCK(&p->lock);
	release_locked(p, first_page(at), last_page(at, length));
}

int iommufd_pages_cut(struct iommufd_pages *p, uint64_t at)
{
	SCOPED_LOCK(&p->lock);
	return span_cut(p, first_page(at));
}

/* ---- what is held ---- */

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
	c->span = span_from(p, first_page(at));
	assert(c->span && c->span->first <= first_page(at));
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

		c->span = RB_NEXT(pages_spans, &p->spans, c->span);
		if (c->span && c->span->first << UVFIO_PAGE_SHIFT == end) /* else what was asked for ends here */
			cursor_enter(c, end);
	} else if (c->skip == c->piece->length) {
		c->piece++;
		c->skip = 0;
	}
}

int iommufd_pages_map(struct iommufd_pages *p, uint64_t at, uint64_t length, struct iommu_domain *dom, iova_t iova,
		      unsigned prot, bool small)
{
	struct cursor c;
	uint64_t done = 0;

	if (p->dmabuf)
		return iommufd_dmabuf_map(p->dmabuf, p->base + at, length, dom, iova, prot, small);
	SCOPED_LOCK(&p->lock);
	cursor_begin(&c, p, at);
	while (done < length) {
		uint64_t n = MIN(cursor_room(&c), length - done);
		int rc = small ? iommu_map_small(dom, iova + done, cursor_phys(&c), n, prot)
			       : iommu_map(dom, iova + done, cursor_phys(&c), n, prot);

		if (rc) {
			iommu_unmap(dom, iova, done);
			return rc;
		}
		done += n;
		cursor_step(&c, p, n);
	}
	return 0;
}

void iommufd_pages_unmapped(struct iommufd_pages *p, struct iommu_domain *dom, iova_t iova)
{
	if (p->dmabuf)
		iommufd_dmabuf_unmapped(p->dmabuf, dom, iova);
}

uint64_t iommufd_pages_phys(struct iommufd_pages *p, uint64_t at, uint64_t length, phys_t *out)
{
	const uint64_t first = first_page(at), n = last_page(at, length) - first + 1;
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
	struct pages_span *s = span_from(p, *first), *from = s;
	uint64_t page = *first;

	while (s && s->first <= page && s->last < *last) {
		page = s->last + 1;
		s = RB_NEXT(pages_spans, &p->spans, s);
	}
	if (!s || s->first > page)
		return false;
	*first = from->first;
	*last = s->last;
	for (s = from; s && s->first <= *last; s = RB_NEXT(pages_spans, &p->spans, s))
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
	struct iommufd_pages_copy c = { .pages = p, .at = at, .length = length, .first = first_page(at),
					.last = last_page(at, length) };
	int rc = 0;

	if (p->file || (mm != p->source && c.first != c.last) || !mm_alive(p->source)) {
		SCOPED_LOCK(&p->lock);
		c.held = hold_spans_locked(p, &c.first, &c.last);
		if (!c.held && p->file) {
			rc = hold_locked(p, c.first, c.last, 0);
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
	release_locked(c->pages, c->first, c->last);
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
