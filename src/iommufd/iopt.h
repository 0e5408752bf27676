/* SPDX-License-Identifier: MIT */
/*
 * An address space: areas, disjoint runs of I/O addresses that lead to a slice of a pages object; the addresses that
 * hardware reserves; those that the program allows for automatic choice; the domains that show all of it to devices.
 *
 *	iopt.c         areas by address, reserved and allowed ranges, alignment
 *	iopt_choose.c  choosing an address
 *	iopt_map.c     map, copy, unmap, split
 *	iopt_domain.c  domains come and go
 *
 * Spec: 30, section 4.
 */
#ifndef UVFIO_IOMMUFD_IOPT_H
#define UVFIO_IOMMUFD_IOPT_H

#include "abi/iommufd.h"
#include "base/lock.h"
#include "base/slab.h"
#include "iommu/iommu.h"
#include "iommufd/pages.h"
#include <bsd/sys/tree.h>
#include <sys/queue.h>

/* "byte" of an area: bytes from the first page of its pages object. All by the address space's lock. */
struct iopt_area {
	RB_ENTRY(iopt_area) node;
	iova_t start, last;     /* inclusive */
	struct iommufd_pages *pages;
	uint64_t at;            /* the byte that start leads to */
	uint8_t prot;           /* MEM_READ, MEM_WRITE */
	bool closing;           /* an unmap waits for its pins and copies to go: no new ones */
	unsigned pins;          /* of accesses */
	unsigned locks;         /* of them, those that no unmap can ask back */
};
RB_HEAD(iopt_areas, iopt_area);

/* A copy under way: what it reads or writes is not unmapped before it ends, but may be split. */
struct iopt_copy {
	iova_t start, last;
	LIST_ENTRY(iopt_copy) link;
};

/* One reserved range, however many devices reserve it. */
struct iopt_resv {
	iova_t start, last;
	unsigned owners;
};

#define IOPT_CHOICES 22 /* by the power of two that a chosen address is a multiple of: up to 2 MiB */
struct iopt_choice {
	uint64_t length; /* so long a run, and any longer one, fits in no hole below from; 0: not known */
	iova_t from;
};

struct iopt {
	struct iopt_mover *mover;    /* [I] of the context */
	LIST_ENTRY(iopt) link;       /* [mover lock] */
	struct mutex lock;           /* RANK_IOMMUFD_IOPT; everything below */
	struct iopt_areas areas;
	struct slab room;            /* of areas: a program may have a million */
	struct iopt_resv *resv;      /* by start, then last */
	unsigned nresv;
	struct iommu_iova_range *allowed; /* sorted, disjoint */
	unsigned nallowed;           /* 0: everything is */
	struct iommu_domain **domains;
	unsigned ndomains;
	unsigned ndmabufs;           /* areas of dma-bufs */
	LIST_HEAD(, iommufd_access) accesses;
	LIST_HEAD(, iopt_copy) copies;
	struct cond copied;          /* a copy has ended */
	uint64_t align;              /* of addresses and lengths; 1: bytes */
	bool small;                  /* every translation is of one page (OPTION HUGE_PAGES 0) */
	struct iopt_choice choice[IOPT_CHOICES];
};

/* A slice of a pages object, to be mapped. */
struct iopt_slice {
	struct iommufd_pages *pages; /* with a reference */
	uint64_t at, length;         /* bytes */
};

/*
 * Who pays for what is pinned in all address spaces of a context can change (CHANGE_PROCESS). Meanwhile nobody enters
 * any of them, and those who were in one have left.
 */
struct iopt_mover {
	struct mutex lock;           /* RANK_IOMMUFD_PROCESS */
	LIST_HEAD(, iopt) spaces;    /* [lock] */
	atomic_bool moving;
};

void iopt_mover_init(struct iopt_mover *m);
void iopt_mover_fini(struct iopt_mover *m);
/** iopt_mover_begin, iopt_mover_end - around a change; in between areas, and what is pinned, stay as they are */
void iopt_mover_begin(struct iopt_mover *m) ACQUIRES(&m->lock);
void iopt_mover_end(struct iopt_mover *m) RELEASES(&m->lock);

/** iopt_enter - take t->lock to change what is there or pinned */
void iopt_enter(struct iopt *t) ACQUIRES(&t->lock);
#define SCOPED_ENTER(t) \
	__attribute__((cleanup(mutex_scope_end), unused)) struct mutex *LOCK_CAT(scope_, __LINE__) = (iopt_enter(t), &(t)->lock)

void iopt_init(struct iopt *t, struct iopt_mover *mover);
/** iopt_fini - unmap everything; no domain or access is left */
void iopt_fini(struct iopt *t);

/* ---- iopt.c; "_locked": t->lock ---- */

/** iopt_area_from_locked - the area that holds @iova, or the next one above it; NULL: none */
struct iopt_area *iopt_area_from_locked(struct iopt *t, iova_t iova);
struct iopt_area *iopt_area_next_locked(struct iopt *t, struct iopt_area *a);
/** iopt_area_in_locked - the first area that has any of [@start, @last]; NULL: none */
struct iopt_area *iopt_area_in_locked(struct iopt *t, iova_t start, iova_t last);
void iopt_area_insert_locked(struct iopt *t, struct iopt_area *a);
void iopt_area_remove_locked(struct iopt *t, struct iopt_area *a);
static inline uint64_t iopt_area_length(const struct iopt_area *a)
{
	return a->last - a->start + 1;
}

/** iopt_reserve_locked - one owner more. -EADDRINUSE an area or an allowed range has some of it; -ENOMEM */
int iopt_reserve_locked(struct iopt *t, iova_t start, iova_t last);
void iopt_unreserve_locked(struct iopt *t, iova_t start, iova_t last);
/** iopt_reserved_locked - does anybody reserve any of [@start, @last]? */
bool iopt_reserved_locked(const struct iopt *t, iova_t start, iova_t last);
/** iopt_ranges - the holes of what is reserved, ascending. Returns how many, *@out is malloc'ed; -ENOMEM */
int iopt_ranges(struct iopt *t, struct iommu_iova_range **out, uint64_t *align);
/** iopt_sort_ranges - by start. -EINVAL: some overlap */
int iopt_sort_ranges(struct iommu_iova_range *list, unsigned n);
/** iopt_allow - take the list, none empty, as iopt_sort_ranges left it (malloc'ed, taken over on success). -EADDRINUSE */
int iopt_allow(struct iopt *t, struct iommu_iova_range *list, unsigned n);

/** iopt_aligned_locked - would all areas do with @align? 0; -EADDRINUSE */
int iopt_aligned_locked(struct iopt *t, uint64_t align);
/** iopt_realign_locked - to what domains, accesses and pages need now */
void iopt_realign_locked(struct iopt *t);
/** iopt_set_small - OPTION HUGE_PAGES; 0; -EINVAL; -EADDRINUSE */
int iopt_set_small(struct iopt *t, bool small);

/* ---- iopt_choose.c ---- */

/** iopt_choose_locked - a free place for @length bytes from address @a. -EOVERFLOW; -EINVAL; -ENOSPC */
int iopt_choose_locked(struct iopt *t, uint64_t a, uint64_t length, iova_t *out);
/** iopt_choice_freed_locked - what began at @start is free again */
void iopt_choice_freed_locked(struct iopt *t, iova_t start);

/* ---- iopt_map.c ---- */

/**
 * iopt_map - map slices one behind the other
 * @fixed: at *@iova; else where there is room, which *@iova says afterwards
 * Return: 0; -EINVAL; -EOVERFLOW; -EEXIST; -EPERM; -ENOSPC; -EFAULT; -ENOMEM. Nothing has changed on failure
 */
int iopt_map(struct iopt *t, const struct iopt_slice *s, unsigned n, unsigned prot, bool fixed, iova_t *iova);
/**
 * iopt_slices - what [@iova, +@length) leads to; *@out is malloc'ed
 * Returns how many; -ENOENT; -EINVAL; -EOVERFLOW; -ENOMEM
 */
int iopt_slices(struct iopt *t, iova_t iova, uint64_t length, struct iopt_slice **out);
void iopt_slices_put(struct iopt_slice *s, int n);
/**
 * iopt_unmap - remove whole areas
 * @removed: bytes; valid on failure too, as areas before the one in the way stay removed
 * Context: no lock of an access held, as accesses are called back; sleeps until copies of the range have ended.
 * Return: 0; -ENOENT the range cuts an area; -EBUSY a hardware queue is in one; -EDEADLOCK an access does not let go
 */
int iopt_unmap(struct iopt *t, iova_t start, iova_t last, uint64_t *removed);
/** iopt_cut - make @last the end of an area, if it is inside one (type1). -EINVAL; -EBUSY; -EOPNOTSUPP a dma-buf's; -ENOMEM */
int iopt_cut(struct iopt *t, iova_t last);

/* ---- iopt_domain.c ---- */

/** iopt_add_domain - show all areas to it. -EINVAL; -EADDRINUSE; -EFAULT; -ENOMEM */
int iopt_add_domain(struct iopt *t, struct iommu_domain *dom);
void iopt_remove_domain(struct iopt *t, struct iommu_domain *dom);
/** iopt_area_show_locked - pin an area and translate it in every domain, if there is one */
int iopt_area_show_locked(struct iopt *t, struct iopt_area *a);
/** iopt_hide_locked - no domain translates [@start, @last] any more; what is there stays pinned */
void iopt_hide_locked(struct iopt *t, iova_t start, iova_t last);
/** iopt_area_hidden_locked - no domain translates the area any more */
void iopt_area_hidden_locked(struct iopt *t, struct iopt_area *a);

/* ---- access.c ---- */

/** iommufd_access_notify - call back every access of the address space but internal ones. No lock held */
void iommufd_access_notify(struct iopt *t, iova_t iova, uint64_t length);
/** iommufd_access_align_locked - what the accesses need */
uint64_t iommufd_access_align_locked(const struct iopt *t);

#endif
