/* SPDX-License-Identifier: MIT */
/* Inside a pages object: pages.c, which holds pages, and pages_held.c, which uses what is held. */
#ifndef UVFIO_IOMMUFD_PAGES_PRIV_H
#define UVFIO_IOMMUFD_PAGES_PRIV_H

#include "iommufd/pages.h"
#include "iommufd/priv.h"
#include <bsd/sys/tree.h>

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
	/* Who answers: changed between iopt_mover_begin() and end, read by who has entered an address space */
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

static inline uint64_t pages_first(uint64_t at)
{
	return at >> UVFIO_PAGE_SHIFT;
}

static inline uint64_t pages_last(uint64_t at, uint64_t length)
{
	return (at + length - 1) >> UVFIO_PAGE_SHIFT;
}

/* "_locked": p->lock */

/** iommufd_pages_span_locked - the span that page @page is in, or the next one above; NULL: none */
struct pages_span *iommufd_pages_span_locked(struct iommufd_pages *p, uint64_t page);
/** iommufd_pages_next_locked - the span above; NULL: none */
struct pages_span *iommufd_pages_next_locked(struct iommufd_pages *p, struct pages_span *s);
/** iommufd_pages_hold_locked, iommufd_pages_release_locked - iommufd_pages_hold() and its inverse, of pages [@first, @last] */
int iommufd_pages_hold_locked(struct iommufd_pages *p, uint64_t first, uint64_t last, iova_t iova);
void iommufd_pages_release_locked(struct iommufd_pages *p, uint64_t first, uint64_t last);

#endif
