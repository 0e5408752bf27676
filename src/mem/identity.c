/* SPDX-License-Identifier: MIT */
/*
 * Which page is it? For the test interface of iommufd, which compares what devices reach with what programs see, and
 * counts pins. Shared memory is known by its file and the place in it, whoever maps it where; private memory by
 * whose it is and its address, which is also how it is reached.
 *
 * Nothing of it is needed otherwise, so pins are remembered only when asked for, beside the pins: as runs of pages that
 * follow each other in a file or an address space, one or more for each pin. A count looks at all runs.
 *
 * What an area says is asked when a page is pinned and not again: the identity stays when the program maps something
 * else there.
 */
#include "mem/priv.h"
#include <assert.h>

struct mem_run {
	LIST_ENTRY(mem_run) link;
	struct mem_run *next;     /* of the same pin */
	uint64_t at;              /* where in the pin it begins */
	uint64_t pages;
	struct mem_page_id first;
	uint64_t gone[];          /* a bit for each page that the pin has let go of before its end */
};

struct mem_identity {
	struct mutex lock;        /* RANK_MEM; everything below, and the runs of each pin */
	LIST_HEAD(, mem_run) runs;
};

int mem_identify_pins(struct mem *mem)
{
	struct mem_identity *all = calloc(1, sizeof(*all));

	assert(!mem->identity && mem_pinned_pages(mem) == 0);
	if (!all)
		return -ENOMEM;
	mutex_init(&all->lock, RANK_MEM);
	LIST_INIT(&all->runs);
	mem->identity = all;
	return 0;
}

void mem_identity_destroy(struct mem_identity *all)
{
	if (!all)
		return;
	assert(LIST_EMPTY(&all->runs));
	mutex_fini(&all->lock);
	free(all);
}

static struct mem_page_id page_of(struct mm *mm, const struct mm_area *a, uva_t page)
{
	if (a->shared && a->ino)
		return (struct mem_page_id){ a->dev, a->ino, a->host_offset + (page - a->start) };
	return (struct mem_page_id){ (uintptr_t)mm, 0, page };
}

/* ---- pins ---- */

int mem_identity_add(struct mem_pin *pin, const struct mm_area *a, uint64_t at, uint64_t length)
{
	struct mem_identity *all = pin->mem->identity;
	const uint64_t pages = length >> UVFIO_PAGE_SHIFT, words = (pages + 63) / 64;
	struct mem_run *r;

	if (!all)
		return 0;
	r = calloc(1, sizeof(*r) + words * sizeof(r->gone[0]));
	if (!r)
		return -ENOMEM;
	r->at = at;
	r->pages = pages;
	r->first = page_of(pin->mm, a, pin->uva + at);
	SCOPED_LOCK(&all->lock);
	r->next = pin->runs;
	pin->runs = r;
	LIST_INSERT_HEAD(&all->runs, r, link);
	return 0;
}

void mem_identity_remove(struct mem_pin *pin)
{
	struct mem_run *r;

	if (!pin->runs)
		return;
	SCOPED_LOCK(&pin->mem->identity->lock);
	while ((r = pin->runs)) {
		pin->runs = r->next;
		LIST_REMOVE(r, link);
		free(r);
	}
}

void mem_identity_repoint(struct mem_pin *pin)
{
	if (!pin->runs)
		return;
	SCOPED_LOCK(&pin->mem->identity->lock);
	for (struct mem_run *r = pin->runs; r; r = r->next) {
		if (!r->first.ino)
			r->first = (struct mem_page_id){ (uintptr_t)pin->mm, 0, pin->uva + r->at };
	}
}

void mem_pin_part_gone(struct mem_pin *pin, uint64_t at, uint64_t length)
{
	if (!pin->runs)
		return;
	SCOPED_LOCK(&pin->mem->identity->lock);
	for (struct mem_run *r = pin->runs; r; r = r->next) {
		for (uint64_t i = 0; i < r->pages; i++) {
			uint64_t page = r->at + (i << UVFIO_PAGE_SHIFT);

			if (page >= at && page - at < length)
				r->gone[i / 64] |= BIT64(i % 64);
		}
	}
}

/* ---- questions ---- */

int mem_page_of_task(struct mm *mm, uva_t page, struct mem_page_id *out, bool *compound)
{
	struct mm_area a = { 0 };
	int rc = mm->ops->area(mm, page, &a);

	if (rc)
		return rc;
	if (page < a.start || page > a.last || !a.readable || a.file)
		return -EFAULT;
	*out = page_of(mm, &a, page);
	*compound = a.huge;
	return 0;
}

/* Where in the pin is it? */
static bool pin_find(const struct mem_pin *pin, phys_t phys, uint64_t *at)
{
	*at = 0;
	for (unsigned i = 0; i < pin->npieces; i++) {
		const struct mem_piece *piece = &pin->pieces[i];

		if (phys >= piece->phys && phys - piece->phys < piece->length) {
			*at += phys - piece->phys;
			return true;
		}
		*at += piece->length;
	}
	return false;
}

int mem_page_of_phys(struct mem *mem, phys_t phys, struct mem_page_id *out)
{
	const struct mem_pin *pin = mem_region_pin(mem, phys);
	uint64_t at;

	assert(mem->identity);
	if (!pin || !pin_find(pin, ALIGN_DOWN(phys, UVFIO_PAGE_SIZE), &at))
		return -EFAULT;
	SCOPED_LOCK(&mem->identity->lock);
	for (const struct mem_run *r = pin->runs; r; r = r->next) {
		if (at >= r->at && (at - r->at) >> UVFIO_PAGE_SHIFT < r->pages) {
			*out = r->first;
			out->at += at - r->at;
			return 0;
		}
	}
	return -EFAULT;
}

static bool run_has(const struct mem_run *r, const struct mem_page_id *id)
{
	uint64_t i = (id->at - r->first.at) >> UVFIO_PAGE_SHIFT;

	if (r->first.dev != id->dev || r->first.ino != id->ino || id->at < r->first.at || i >= r->pages)
		return false;
	return !(r->gone[i / 64] & BIT64(i % 64));
}

unsigned mem_page_pins(struct mem *mem, const struct mem_page_id *id)
{
	const struct mem_run *r;
	unsigned n = 0;

	assert(mem->identity);
	SCOPED_LOCK(&mem->identity->lock);
	LIST_FOREACH(r, &mem->identity->runs, link)
		n += run_has(r, id);
	return n;
}
