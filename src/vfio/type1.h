/* SPDX-License-Identifier: MIT */
/*
 * type1: the container's backend for devices behind an IOMMU. It keeps what the program has mapped (a tree
 * of disjoint IOVA ranges, each one pin of caller memory) and the paging domains the groups are attached to.
 * Every mapping is in every domain; a container has several domains only when its groups cannot share one.
 *
 * Groups of emulated devices have no domain. While an instance has none at all, mappings are only recorded,
 * and what such a device wants to use is pinned page by page when it asks (type1_pin.c); with the first domain
 * every mapping is pinned whole, with the last one's end it is page by page again.
 *
 *	type1.c         the instance, extensions, requests
 *	type1_map.c     MAP_DMA, UNMAP_DMA
 *	type1_tree.c    mappings by address
 *	type1_attach.c  groups, domains, valid IOVA ranges
 *	type1_info.c    GET_INFO
 *	type1_dirty.c   DIRTY_PAGES and the bitmap of UNMAP_DMA
 *	type1_pin.c     pages pinned by emulated devices
 *
 * Spec: 10, section 4.
 */
#ifndef UVFIO_VFIO_TYPE1_H
#define UVFIO_VFIO_TYPE1_H

#include "abi/vfio.h"
#include "base/slab.h"
#include "vfio/priv.h"
#include <assert.h>
#include <bsd/sys/tree.h>

/* A page that emulated devices have pinned. */
struct type1_page {
	RB_ENTRY(type1_page) node;
	iova_t iova;            /* [I] */
	unsigned users;
	bool charged;           /* by itself, not with its mapping */
	struct mem_pin *pin;
};
RB_HEAD(type1_pages, type1_page);

/* One MAP_DMA. */
struct type1_mapping {
	iova_t start, last;     /* [I] inclusive */
	uint8_t prot;           /* [I] MEM_READ, MEM_WRITE */
	bool unlimited;         /* who mapped may lock any amount */
	bool vaddr_invalid;     /* UNMAP_DMA with VADDR has come, MAP_DMA with VADDR has not */
	bool dirty_all;         /* every page is dirty, and there was no memory for a bitmap */
	unsigned users;         /* copies under way */
	struct mm *mm;          /* whose memory; with a reference */
	uva_t vaddr;
	struct mem_pin *pin;    /* of all of it; NULL: the instance has no domain */
	uint64_t *dirty;        /* a bit a page; NULL: no page is, or nobody tracks */
	struct type1_pages pages;
	char pin_storage[MEM_PIN_SIZE] __attribute__((aligned(64))); /* of pin */
};
static_assert(offsetof(struct type1_mapping, pin_storage) == 64, "one cache line");

struct type1_group {
	struct iommu_group *iommu; /* borrowed: the vfio group holds it */
	bool pins;                 /* writes memory only by pinning it, so that dirty pages are known */
	LIST_ENTRY(type1_group) link;
};
LIST_HEAD(type1_groups, type1_group);

struct type1_domain {
	struct iommu_domain *iommu;
	bool enforces_coherency;
	struct type1_groups groups;
	LIST_ENTRY(type1_domain) link;
};

struct type1_range {
	iova_t start, last; /* inclusive */
};

/* [I] immutable after create; [d] devices_lock; all else by lock */
struct vfio_type1 {
	struct vfio_backend backend;
	struct vfio *vfio;          /* [I] */
	bool v2;                    /* [I] UNMAP_DMA never removes more than asked */
	struct mutex devices_lock;  /* RANK_TYPE1_DEVICES, held over dma_unmap */
	LIST_HEAD(, vfio_device_priv) devices; /* [d] and [lock] to change: open, with dma_unmap */
	struct mutex lock;          /* RANK_TYPE1 */
	struct cond idle;           /* a mapping's users have become 0 */
	void *mappings;             /* type1_tree.c */
	struct slab memory;         /* of struct type1_mapping */
	uint64_t generation;        /* of the mappings: changes with them */
	LIST_HEAD(, type1_domain) domains; /* oldest last */
	struct type1_groups emulated;
	unsigned unseen;            /* groups that may write any mapped page without telling */
	struct type1_range *valid;  /* sorted, disjoint: where MAP_DMA may map */
	unsigned nvalid;            /* 0: everywhere (no domain) */
	uint64_t pgsizes;           /* all domains have these */
	unsigned dma_avail;         /* mappings that may still be made */
	unsigned nvaddr_invalid;    /* mappings with vaddr_invalid */
	bool dirty_tracking;
};

/* ---- type1.c ---- */

static inline struct vfio_type1 *type1_of(struct vfio_backend *b)
{
	return container_of(b, struct vfio_type1, backend);
}
/** type1_gone - has the container given it up? Then requests are -EINVAL. Lock held. */
static inline bool type1_gone(const struct vfio_type1 *t1)
{
	return LIST_EMPTY(&t1->domains) && LIST_EMPTY(&t1->emulated);
}
/** type1_pgsize - the smallest page size: what MAP_DMA and UNMAP_DMA align to */
uint64_t type1_pgsize(const struct vfio_type1 *t1);

/* ---- type1_attach.c ---- */

/** type1_attach - add a group, with all mappings. Errnos of spec 10, 4.8; nothing changes on failure */
int type1_attach(struct vfio_backend *b, struct vfio_group *g);
/** type1_detach - the inverse; with the last group all mappings go */
void type1_detach(struct vfio_backend *b, struct vfio_group *g);
/** type1_group_find - the attached group, in *@in or (NULL) emulated; NULL: it is not attached. Lock held. */
struct type1_group *type1_group_find(struct vfio_type1 *t1, struct iommu_group *ig, struct type1_domain **in);

/* ---- type1_tree.c; lock held ---- */

/** type1_mapping_at - the mapping that contains @iova, or the next one above it; NULL: none */
struct type1_mapping *type1_mapping_at(struct vfio_type1 *t1, iova_t iova);
struct type1_mapping *type1_mapping_next(struct vfio_type1 *t1, struct type1_mapping *m);
/** type1_mapping_overlap - the last mapping that has any of [@start, @last]; NULL: none */
struct type1_mapping *type1_mapping_overlap(struct vfio_type1 *t1, iova_t start, iova_t last);
/** type1_overlaps - is any of [@start, @last] mapped? */
bool type1_overlaps(struct vfio_type1 *t1, iova_t start, iova_t last);
/** type1_bisects - would an end of [@start, @last] cut a mapping? */
bool type1_bisects(struct vfio_type1 *t1, iova_t start, iova_t last);
/** type1_mapping_insert - it overlaps none. 0; -ENOMEM */
int type1_mapping_insert(struct vfio_type1 *t1, struct type1_mapping *m);
void type1_mapping_remove(struct vfio_type1 *t1, struct type1_mapping *m);
/** type1_mappings_fini - there are no mappings any more */
void type1_mappings_fini(struct vfio_type1 *t1);

/* ---- type1_map.c ---- */

long type1_map_ioctl(struct vfio_type1 *t1, struct task *t, uint64_t arg);
long type1_unmap_ioctl(struct vfio_type1 *t1, struct task *t, uint64_t arg);
/** type1_domain_map - translate all of a (pinned) mapping in one domain; nothing stays on failure. Lock held. */
int type1_domain_map(struct iommu_domain *dom, const struct type1_mapping *m);
/** type1_pin_mapping - pin all of a mapping, charging who made it; pinned already is fine. Lock held. */
int type1_pin_mapping(struct vfio_type1 *t1, struct type1_mapping *m);
/** type1_unpin_mapping - only single pages stay pinned, and charged. Lock held. */
void type1_unpin_mapping(struct type1_mapping *m);
/** type1_unpin_all - forget all mappings, which no domain translates any more. Lock held. */
void type1_unpin_all(struct vfio_type1 *t1);

/* ---- type1_info.c ---- */

long type1_info_ioctl(struct vfio_type1 *t1, struct task *t, uint64_t arg);

/* ---- type1_dirty.c ---- */

#define TYPE1_DIRTY_BITMAP_MAX (1ull << 28) /* bytes of a bitmap: 2^31 pages */

/** type1_dirty_mark - pages of [@start, @last] of a mapping were written, if anybody wants to know. Lock held. */
void type1_dirty_mark(struct vfio_type1 *t1, struct type1_mapping *m, iova_t start, iova_t last);
/** type1_dirty_mark_all - a group that may have written anything leaves. Lock held. */
void type1_dirty_mark_all(struct vfio_type1 *t1);

long type1_dirty_ioctl(struct vfio_type1 *t1, struct task *t, uint64_t arg);
/** type1_bitmap_check - is @b a bitmap for @size bytes of IOVA space? 0; -EINVAL (spec 10, 4.3) */
int type1_bitmap_check(const struct vfio_bitmap *b, uint64_t size);
/**
 * type1_dirty_report - write the bits of the mappings that begin in [@start, @last] into the caller's bitmap
 * @generation: of the mappings reported
 * @clear: what is reported is clean from then on, but for pages that are pinned
 * Bit 0 is the page at @start. Context: no lock held.
 * Return: 0; -EFAULT; -EINVAL tracking is off, @b is for other pages, an end cuts a mapping
 */
int type1_dirty_report(struct vfio_type1 *t1, struct task *t, const struct vfio_bitmap *b, iova_t start, iova_t last,
		       bool clear, uint64_t *generation);

/* ---- type1_pin.c ---- */

void type1_device_open(struct vfio_backend *b, struct vfio_device_priv *p);
void type1_device_close(struct vfio_backend *b, struct vfio_device_priv *p);
int type1_pin(struct vfio_backend *b, struct vfio_group *g, iova_t iova, int npages, unsigned prot, phys_t *phys);
void type1_unpin(struct vfio_backend *b, iova_t iova, int npages);
int type1_dma_rw(struct vfio_backend *b, struct task *t, iova_t iova, void *data, size_t n, bool write);
/** type1_pages_charge, type1_pages_uncharge - the single pages of a mapping, by themselves; never refused. Lock held. */
void type1_pages_charge(struct type1_mapping *m);
void type1_pages_uncharge(struct type1_mapping *m);
/** type1_pages_drop - whatever is pinned of a mapping that goes. Lock held. */
void type1_pages_drop(struct type1_mapping *m);
/** type1_pages_mark - pages that are pinned are dirty: somebody may be writing them. Lock held. */
void type1_pages_mark(struct vfio_type1 *t1, struct type1_mapping *m, iova_t start, iova_t last);
/**
 * type1_wait_unused - before @m and the mappings behind it, up to @last, go: have pinned pages unpinned, wait for copies
 * Context: lock held; released and taken again when there was something to do: then true, and all must be looked at anew
 */
bool type1_wait_unused(struct vfio_type1 *t1, struct type1_mapping *m, iova_t last);

#endif
