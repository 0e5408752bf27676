/* SPDX-License-Identifier: MIT */
/*
 * Inside iommu/.
 *
 * How translation and change meet. A device points at the domain it uses (struct iommu_dev.domain). A DMA
 * enters the gate of that domain (base/gate.h) and then looks again: still the same? From then on whoever
 * takes something away, a translation, a page table, the domain from the device, waits at the gate before
 * it returns. Domains are recycled and never freed while the iommu lives, so a DMA that comes late enters
 * the gate of a domain that is something else by now, finds so at the second look, and leaves.
 */
#ifndef UVFIO_IOMMU_PRIV_H
#define UVFIO_IOMMU_PRIV_H

#include "base/gate.h"
#include "base/ids.h"
#include "base/lock.h"
#include "base/slab.h"
#include "iommu/iommu.h"
#include <bsd/sys/tree.h>
#include <sys/queue.h>

/* ---- page tables ---- */

#define IOMMU_PT_BITS 9
#define IOMMU_PT_SIZE (1u << IOMMU_PT_BITS)
#define IOMMU_PT_LEVELS 6 /* 64 bits */

/*
 * Low bits of an entry; 0: nothing here. Leaves hold a phys_t above them, tables the address of a node and, above that,
 * how many of its entries are not 0.
 */
#define IOMMU_PTE_READ  MEM_READ
#define IOMMU_PTE_WRITE MEM_WRITE
#define IOMMU_PTE_LEAF  BIT64(2)
#define IOMMU_PTE_ADDR  (~0xfffull)
#define IOMMU_PTE_NODE  (BIT64(52) - 1)
#define IOMMU_PTE_USED  BIT64(52) /* one entry */

/* One table. A node with no entry in use is all zeros, so a free one needs no clearing. */
struct iommu_node {
	atomic_ullong e[IOMMU_PT_SIZE];
	atomic_ullong dirty[IOMMU_PT_SIZE / 64]; /* a bit for each entry: written through, while somebody wants to know */
	struct iommu_node *next;  /* list of nodes taken out */
};

/* What an unmap took out. */
struct iommu_gather {
	struct mem *mem;          /* [I] */
	uint64_t bytes;
	iova_t first, last;       /* extent of what was mapped; valid when bytes is not 0 */
	struct iommu_node *nodes; /* to be freed when no DMA can see them */
};

/* What a walk found. */
struct iommu_leaf {
	iova_t base;              /* of the page */
	uint64_t size;            /* a power of two */
	phys_t phys;              /* of the page */
	unsigned prot;
	bool small;               /* to be mapped with the smallest pages only */
	bool dirty;
};

/* Who looks for what was written through: iommu_domain_dirty(). */
struct iommu_dirty_look {
	bool clear;
	void (*fn)(void *ctx, iova_t base, uint64_t size); /* NULL: nobody asks */
	void *ctx;
};

/*
 * A format of page tables. Changes are made with dom->lock held; walks come from inside sections of dom->gate and from
 * wherever DMA does, so they take no lock but a leaf.
 */
struct iommu_pt_ops {
	size_t node_size;         /* of what dom->nodes holds */
	/* 0; -ENOMEM, -EEXIST: nothing new is mapped, and what was for a moment is in @g */
	int (*map)(struct iommu_domain *dom, const struct iommu_leaf *range, struct iommu_gather *g);
	/* Take the leaves inside [@iova, @last] out */
	void (*unmap)(struct iommu_domain *dom, iova_t iova, iova_t last, struct iommu_gather *g);
	/* false: nothing there */
	bool (*walk)(struct iommu_domain *dom, iova_t iova, struct iommu_leaf *out);
	/* The same for a write: the leaf found is dirty from now on, if it may be written */
	bool (*mark)(struct iommu_domain *dom, iova_t iova, struct iommu_leaf *out);
	/* iommu_domain_dirty(), without waiting; returns whether anything was cleared */
	bool (*dirty)(struct iommu_domain *dom, iova_t start, iova_t last, const struct iommu_dirty_look *look);
	/* iommu_prefetch(); NULL: nothing to be won */
	void (*prefetch)(struct iommu_domain *dom, iova_t iova);
	/* All of it; no DMA, no other user */
	void (*free)(struct iommu_domain *dom);
};
extern const struct iommu_pt_ops iommu_radix_ops; /* pgtable.c */
extern const struct iommu_pt_ops iommu_runs_ops;  /* runs.c */
extern const struct iommu_pt_ops iommu_nested_ops;  /* nested.c */

/* ---- domains ---- */

enum iommu_domain_kind { IOMMU_PAGING, IOMMU_IDENTITY, IOMMU_BLOCKING, IOMMU_NESTED };

#define IOMMU_GONE 16
struct iommu_gone {
	iova_t start, last;
	int64_t when; /* CLOCK_REALTIME ns; 0: none */
};

struct iommu_domain {
	/* What each DMA looks at. */
	struct gate gate;                     /* for the life of the iommu; slots are struct iommu_dma_slot */
	atomic_ullong stamp;                  /* never used twice: changes with every unmap and every new life */
	atomic_ullong root;                   /* an entry, of the table at the top; 0: nothing was ever mapped */
	enum iommu_domain_kind kind;          /* [I] of this life, as the rest of this part */
	const struct iommu_pt_ops *pt;
	unsigned top;                         /* level of root; 0 is the level of 4 KiB pages */
	uint64_t page;                        /* the smallest */
	iova_t first, last;                   /* the aperture, inclusive */
	const struct iommu_unit *unit;        /* the kind of IOMMU it was made for; NULL: not a unit's */
	struct iommu *iommu;
	const struct iommu_fault_ops *fault_ops; /* who answers page requests; NULL: nobody */
	void *fault_ctx;
	atomic_bool tracking;                 /* writes mark their leaf; a thread's TLB lets only marked pages be written */
	atomic_bool tracked;                  /* was so at any time of this life */

	/* A nested domain's tables are a guest's, in the space of its parent, who must outlive it. */
	struct iommu_domain *parent;          /* [I] NULL: not nested */
	struct iommu_stage1 stage1;           /* [I] levels 0: nothing passes */
	struct mutex family;                  /* RANK_IOMMU_FAMILY */
	LIST_HEAD(, iommu_domain) children;   /* [family and lock] */
	LIST_ENTRY(iommu_domain) child_link;  /* [the parent's family and lock] */
	atomic_uint nchildren;

	struct mutex lock;                    /* RANK_IOMMU_DOMAIN */
	struct slab nodes;                    /* [lock] */
	struct mutex runs_lock;               /* RANK_IOMMU_RUNS */
	RB_HEAD(iommu_runs, iommu_run) runs;  /* [lock and runs_lock] of a domain whose tables are runs */
	/* Of a nested one attached is guarded by its parent's lock, and the others are the parent's. */
	unsigned attached;                    /* [lock] devices, and PASIDs of devices */
	unsigned attached_weak;               /* [lock] of them, those whose unit cannot enforce coherency */
	bool enforced;                        /* [lock] */

	atomic_bool is_default;               /* a group's default domain, and ... */
	atomic_uint kernel_users;             /* ... how many kernel drivers use it: for the reason of a fault */

	struct mutex gone_lock;               /* RANK_IOMMU_FAULT */
	struct iommu_gone gone[IOMMU_GONE];   /* [gone_lock] */
	unsigned ngone;                       /* [gone_lock] ever */

	SLIST_ENTRY(iommu_domain) all_link;   /* [iommu->lock] */
	SLIST_ENTRY(iommu_domain) free_link;  /* [iommu->lock] */
};

/* ---- groups and devices ---- */

/* What translates DMA with a PASID; the blocking domain: nothing. Leaves come with the first use and stay with the device. */
#define IOMMU_PASID_BITS 10
#define IOMMU_PASIDS     (1u << IOMMU_PASID_BITS)
struct iommu_pasid_leaf {
	_Atomic(struct iommu_domain *) domain[IOMMU_PASIDS];
};

struct iommu_dev {
	struct iommu *iommu;
	const char *name;                     /* [I] as long as the machine lives */
	const struct iommu_unit *unit;        /* [I] NULL: untranslated */
	_Atomic(struct iommu_domain *) domain;/* what translates its DMA; changed under the group's lock */
	uint32_t npasids;                     /* [I] once joined; 0: none */
	_Atomic(struct iommu_pasid_leaf *) *pasids; /* [I] once joined, npasids / IOMMU_PASIDS; leaves: group lock */
	struct iommu_group *group;            /* changed by join and leave, under the group's lock and iommu->lock */
	struct iommu_resv *resv;              /* [I] once joined */
	unsigned nresv;
	bool untrusted;                       /* [I] once joined */
	bool ats;                             /* [I] once joined: can cache translations */
	bool requests;                        /* [I] once joined: makes page requests */
	struct mutex ask_lock;                /* RANK_IOMMU_ASKS */
	LIST_HEAD(, iommu_ask) asks;          /* [ask_lock] who waits */
	unsigned ask_group;                   /* [ask_lock] of the last request */
	unsigned cancelling;                  /* [ask_lock] nobody waits */
	unsigned resetting;                   /* [group lock] resets under way: its domain is the blocking one */
	TAILQ_ENTRY(iommu_dev) link;          /* [group lock] */
};

/* A PASID in use: a domain for all members that have PASIDs. */
struct iommu_pasid {
	RB_ENTRY(iommu_pasid) node;
	uint32_t pasid;
	struct iommu_domain *domain;
};

struct iommu_group {
	struct iommu *iommu;
	unsigned id;                          /* [I] */
	char *name;                           /* [I] NULL: none; set: a fake group */
	struct ref ref;
	struct mutex lock;                    /* RANK_IOMMU_GROUP */
	TAILQ_HEAD(, iommu_dev) members;      /* [lock] */
	unsigned owner_cnt;                   /* [lock] kernel drivers, or claims of owner */
	void *owner;                          /* [lock] the user; NULL: kernel or idle */
	struct iommu_domain *domain;          /* [lock] what members are attached to; NULL: no member yet, or fake */
	RB_HEAD(iommu_pasids, iommu_pasid) pasids; /* [lock] */
	struct iommu_domain *default_domain;  /* [lock] made with the first member, lives as long as the group */
	const char *type;                     /* [lock] of the default domain, a literal; NULL: none */
	unsigned recovering;                  /* [lock] members with resetting != 0 */
};

struct iommu {
	struct mem *mem;
	struct log *log;
	struct mutex lock;                    /* RANK_IOMMU */
	struct ids group_ids;                 /* [lock] */
	unsigned groups, devs;                /* [lock] alive; for the check at destroy */
	SLIST_HEAD(, iommu_domain) all;       /* [lock] every domain ever made */
	SLIST_HEAD(, iommu_domain) free;      /* [lock] those not in use */
	void *names;                          /* [lock] tsearch tree of device names */
	struct iommu_domain *blocking;        /* [I] the unit's static blocking domain, one for all */
	_Atomic(struct iommu_domain *) nowhere; /* [I] the same, for PASIDs that a device does not have */
	struct iommu_domain *untranslated;    /* [I] of devices not behind a unit */

	struct mutex fault_lock;              /* RANK_IOMMU_FAULT */
	struct iommu_fault faults[IOMMU_FAULTS]; /* [fault_lock] fault n is at n % IOMMU_FAULTS */
	uint64_t nfaults;                     /* [fault_lock] ever */
};

/* iommu.c */

/** iommu_dev_needs_direct - firmware needs a 1:1 mapping for it, so it can never be blocked (spec 10, 1.8) */
bool iommu_dev_needs_direct(const struct iommu_dev *d);

/* pgtable.c */

/** iommu_pt_recycle - nodes no DMA can see any more are free */
void iommu_pt_recycle(struct iommu_domain *dom, struct iommu_node *nodes);

/* group.c */

/** iommu_default_type - what a group's first member @d gives kernel drivers: a literal */
const char *iommu_default_type(const struct iommu_dev *d);
/** iommu_default_take - a default domain of @type for @unit. 0; -ENOMEM */
int iommu_default_take(struct iommu *iommu, const char *type, const struct iommu_unit *unit, struct iommu_domain **out);

/* pasid.c */

/** iommu_pasids_join - @d, which has just become a member, gets what the group's PASIDs have. 0; -EINVAL, -ENOMEM: none */
int iommu_pasids_join_locked(struct iommu_group *g, struct iommu_dev *d);
/** iommu_pasids_leave_locked - the reverse; waits for DMA */
void iommu_pasids_leave_locked(struct iommu_group *g, struct iommu_dev *d);
/** iommu_pasids_block_locked - @d's DMA with PASIDs is blocked, or goes where the group's does again; waits for it */
void iommu_pasids_block_locked(struct iommu_group *g, struct iommu_dev *d, bool block);
/** iommu_pasids_clear_locked - detach all that are left */
void iommu_pasids_clear_locked(struct iommu_group *g);
/** iommu_pasid_where - what translates @d's DMA with @pasid, not 0; as struct iommu_dev.domain */
static inline _Atomic(struct iommu_domain *) *iommu_pasid_where(struct iommu_dev *d, uint32_t pasid)
{
	struct iommu_pasid_leaf *leaf;

	if (pasid >= d->npasids)
		return &d->iommu->nowhere;
	leaf = atomic_load_explicit(&d->pasids[pasid >> IOMMU_PASID_BITS], memory_order_acquire);
	return leaf ? &leaf->domain[pasid & (IOMMU_PASIDS - 1)] : &d->iommu->nowhere;
}

/* domain.c */

/** iommu_domain_forget - threads forget what they know of leaves, and what they do with it is over; of children too */
void iommu_domain_forget(struct iommu_domain *dom);

/** iommu_domain_take - a domain in use, recycled or new. 0; -ENOMEM */
int iommu_domain_take(struct iommu *iommu, enum iommu_domain_kind kind, const struct iommu_unit *unit,
		      struct iommu_domain **out);
/** iommu_domain_add - count @devs devices of @g in, or say why one cannot: -EINVAL. All members when @one is NULL. */
int iommu_domain_add(struct iommu_domain *dom, struct iommu_group *g, struct iommu_dev *one);
void iommu_domain_sub(struct iommu_domain *dom, struct iommu_group *g, struct iommu_dev *one);
/** iommu_domain_was - the last unmapped range that held @iova; false: none is remembered */
bool iommu_domain_was(struct iommu_domain *dom, iova_t iova, struct iommu_gone *out);
/** iommu_group_move_locked - all members to @dom, waiting for their DMA. 0; -EINVAL: one cannot, nothing changed */
int iommu_group_move_locked(struct iommu_group *g, struct iommu_domain *dom);

/* nested.c */

/** iommu_nested_leave - the parent knows @dom no more; nothing is attached to it */
void iommu_nested_leave(struct iommu_domain *dom);

/* fault.c */

/** iommu_now - CLOCK_REALTIME ns */
int64_t iommu_now(void);
/** iommu_fault_record - complete @f (time, device, history) and keep it */
void iommu_fault_record(struct iommu_dev *d, struct iommu_domain *dom, struct iommu_fault f);

/* request.c */

/* A thread that waits for the answer to its request. */
struct iommu_ask {
	LIST_ENTRY(iommu_ask) link;           /* [ask_lock] */
	struct iommu_page_request *request;
	bool cancelled;                       /* [ask_lock] */
};

/** iommu_thread_patient - may this thread wait? */
bool iommu_thread_patient(void);
/**
 * iommu_ask_begin - tell whoever answers in @dom what @init (but for its group) says; in a section of @dom
 * Return: 0: iommu_ask_end() is called outside of the section; -ECANCELED; -ENOMEM; what the handler said
 */
int iommu_ask_begin(struct iommu_domain *dom, const struct iommu_page_request *init, struct iommu_ask *ask);
/** iommu_ask_end - wait. 0: the page is there now; -EFAULT it is not; -ECANCELED */
int iommu_ask_end(struct iommu_ask *ask);

/* dma.c */

/* A TLB's addresses have flags in their low bits, so a page is no smaller than this. */
#define IOMMU_TLB_FLAG_END 8u
extern const size_t iommu_dma_slot_size;

#endif
