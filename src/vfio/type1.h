/* SPDX-License-Identifier: MIT */
/*
 * type1: the container's backend for devices behind an IOMMU. It keeps what the program has mapped (a tree
 * of disjoint IOVA ranges, each one pin of caller memory) and the paging domains the groups are attached to.
 * Every mapping is in every domain; a container has several domains only when its groups cannot share one.
 *
 *	type1.c         the instance, extensions, requests
 *	type1_map.c     MAP_DMA, UNMAP_DMA, the tree
 *	type1_attach.c  groups, domains, valid IOVA ranges
 *	type1_info.c    GET_INFO
 *	type1_dirty.c   DIRTY_PAGES and the bitmap of UNMAP_DMA
 *
 * Spec: 10, section 4. Emulated devices (4.5: pinned pages, unmap callbacks) have no place here yet: every
 * mapping is pinned whole from MAP_DMA to its end, as an instance in use always has a domain.
 */
#ifndef UVFIO_VFIO_TYPE1_H
#define UVFIO_VFIO_TYPE1_H

#include "abi/vfio.h"
#include "vfio/priv.h"
#include <bsd/sys/tree.h>

/* One MAP_DMA. */
struct type1_mapping {
	RB_ENTRY(type1_mapping) node;
	iova_t start, last;     /* [I] inclusive */
	unsigned prot;          /* [I] MEM_READ, MEM_WRITE */
	bool vaddr_invalid;     /* UNMAP_DMA with VADDR has come, MAP_DMA with VADDR has not */
	struct mem_pin *pin;
};
RB_HEAD(type1_tree, type1_mapping);

struct type1_group {
	struct iommu_group *iommu; /* borrowed: the vfio group holds it */
	LIST_ENTRY(type1_group) link;
};

struct type1_domain {
	struct iommu_domain *iommu;
	bool enforces_coherency;
	LIST_HEAD(, type1_group) groups;
	LIST_ENTRY(type1_domain) link;
};

struct type1_range {
	iova_t start, last; /* inclusive */
};

/* [I] immutable after create; all else by lock */
struct vfio_type1 {
	struct vfio *vfio;          /* [I] */
	struct ref ref;             /* the container, requests under way */
	bool v2;                    /* [I] UNMAP_DMA never removes more than asked */
	struct mutex lock;          /* RANK_TYPE1 */
	struct type1_tree mappings;
	uint64_t generation;        /* of the mappings: changes with them */
	LIST_HEAD(, type1_domain) domains; /* oldest last; none: the container has given the instance up */
	struct type1_range *valid;  /* sorted, disjoint: where MAP_DMA may map */
	unsigned nvalid;            /* 0: everywhere (no domain) */
	uint64_t pgsizes;           /* all domains have these */
	unsigned dma_avail;         /* mappings that may still be made */
	unsigned nvaddr_invalid;    /* mappings with vaddr_invalid */
	bool dirty_tracking;
};

/* ---- type1.c ---- */

/** vfio_type1_create - an instance without groups, one reference. @type: 1 or 3. -EINVAL another type; -ENOMEM */
int vfio_type1_create(struct vfio *vfio, uint64_t type, struct vfio_type1 **out);
struct vfio_type1 *vfio_type1_get(struct vfio_type1 *t1); /* NULL is fine */
/** vfio_type1_put - the last one frees it; every group must be detached; NULL is fine */
void vfio_type1_put(struct vfio_type1 *t1);
/** vfio_type1_check_extension - the answer to CHECK_EXTENSION; @t1 NULL: no instance yet */
int vfio_type1_check_extension(struct vfio_type1 *t1, uint64_t extension);
/** vfio_type1_ioctl - -ENOTTY: not one of type1's. Context: no lock held */
long vfio_type1_ioctl(struct vfio_type1 *t1, struct task *t, unsigned cmd, uint64_t arg);
/** type1_gone - has the container given it up? Then requests are -EINVAL. Lock held. */
static inline bool type1_gone(const struct vfio_type1 *t1)
{
	return LIST_EMPTY(&t1->domains);
}
/** type1_pgsize - the smallest page size: what MAP_DMA and UNMAP_DMA align to */
uint64_t type1_pgsize(const struct vfio_type1 *t1);

/* ---- type1_attach.c ---- */

/** vfio_type1_attach - add a group, with all mappings. Errnos of spec 10, 4.8; nothing changes on failure */
int vfio_type1_attach(struct vfio_type1 *t1, struct iommu_group *g);
/** vfio_type1_detach - the inverse; with the last group all mappings go */
void vfio_type1_detach(struct vfio_type1 *t1, struct iommu_group *g);

/* ---- type1_map.c ---- */

long type1_map_ioctl(struct vfio_type1 *t1, struct task *t, uint64_t arg);
long type1_unmap_ioctl(struct vfio_type1 *t1, struct task *t, uint64_t arg);
/** type1_mapping_at - the mapping that contains @iova, or the next one above it; NULL: none. Lock held. */
struct type1_mapping *type1_mapping_at(struct vfio_type1 *t1, iova_t iova);
struct type1_mapping *type1_mapping_next(struct type1_mapping *m);
/** type1_overlaps - is any of [@start, @last] mapped? Lock held. */
bool type1_overlaps(struct vfio_type1 *t1, iova_t start, iova_t last);
/** type1_bisects - would an end of [@start, @last] cut a mapping? Lock held. */
bool type1_bisects(struct vfio_type1 *t1, iova_t start, iova_t last);
/** type1_domain_map - translate all of a mapping in one domain; nothing stays on failure. Lock held. */
int type1_domain_map(struct iommu_domain *dom, const struct type1_mapping *m);
/** type1_unpin_all - forget all mappings, which no domain translates any more. Lock held. */
void type1_unpin_all(struct vfio_type1 *t1);

/* ---- type1_info.c ---- */

long type1_info_ioctl(struct vfio_type1 *t1, struct task *t, uint64_t arg);

/* ---- type1_dirty.c ---- */

#define TYPE1_DIRTY_BITMAP_MAX (1ull << 28) /* bytes of a bitmap: 2^31 pages */

long type1_dirty_ioctl(struct vfio_type1 *t1, struct task *t, uint64_t arg);
/** type1_bitmap_check - is @b a bitmap for @size bytes of IOVA space? 0; -EINVAL (spec 10, 4.3) */
int type1_bitmap_check(const struct vfio_bitmap *b, uint64_t size);
/**
 * type1_dirty_report - write the bits of the mappings that begin in [@start, @last] into the caller's bitmap
 * @generation: of the mappings reported
 * Bit 0 is the page at @start. Context: no lock held.
 * Return: 0; -EFAULT; -EINVAL tracking is off, @b is for other pages, an end cuts a mapping
 */
int type1_dirty_report(struct vfio_type1 *t1, struct task *t, const struct vfio_bitmap *b, iova_t start, iova_t last,
		       uint64_t *generation);

#endif
