/* SPDX-License-Identifier: MIT */
/*
 * The IOMMU: groups, who owns their DMA, domains, translation.
 *
 * A group is what cannot be isolated from each other. Its DMA belongs to kernel drivers or to one user,
 * never both: owner_cnt counts bound kernel drivers or user claims, owner names the user. All of it
 * changes under the group's lock, and translation reads group->domain inside a DMA section, so that a
 * change of domain or an unmap returns only when no DMA uses what was there before.
 * Spec: 10, section 2.
 */
#ifndef UVFIO_IOMMU_IOMMU_H
#define UVFIO_IOMMU_IOMMU_H

#include "base/defs.h"
#include "base/log.h"
#include "mem/mem.h"
#include <stdio.h>

struct iommu;        /* per machine */
struct iommu_group;
struct iommu_domain;
struct iommu_dev;    /* one requester, embedded in or owned by the device */

enum iommu_resv_type {
	IOMMU_RESV_DIRECT,
	IOMMU_RESV_DIRECT_RELAXABLE,
	IOMMU_RESV_RESERVED,
	IOMMU_RESV_MSI,
	IOMMU_RESV_SW_MSI,
};
struct iommu_resv {
	iova_t start, last; /* inclusive */
	enum iommu_resv_type type;
};

enum iommu_kind { IOMMU_INTEL, IOMMU_AMD, IOMMU_SMMU, IOMMU_MOCK };
#define IOMMU_UNIT_RESV 8

/* How one IOMMU unit behaves. A device is behind exactly one unit, or none. */
struct iommu_unit {
	char name[32];
	enum iommu_kind kind;      /* what the platform is known to do: AMD's ACS quirks, Intel's directory in sysfs */
	iova_t first;              /* lowest IOVA: 0 */
	unsigned width;            /* IOVA bits: 48 */
	uint64_t pgsizes;          /* 0x40201000 */
	bool runs;                 /* pages of any sizes (pgsizes), also below 4 KiB; else 4 KiB, 2 MiB, 1 GiB of pgsizes */
	bool coherent;             /* can make snooped mappings */
	bool enforce_coherency;    /* can force them */
	bool msi_isolated;         /* interrupt remapping */
	bool dirty;                /* its page tables say what devices have written */
	bool nesting;              /* its page tables can be the second stage of others */
	bool requests_acs;         /* Intel, AMD: ACS is switched on before grouping */
	char default_domain[16];   /* "DMA", "DMA-FQ", "identity": what /sys/kernel/iommu_groups/N/type reads */
	/* Reserved for every device behind it; nresv 0: the MSI window of x86, or nothing behind a mock */
	struct iommu_resv resv[IOMMU_UNIT_RESV];
	unsigned nresv;
};

int iommu_create(struct mem *mem, struct log *log, struct iommu **out);
void iommu_destroy(struct iommu *iommu);

/* ---- groups ---- */

/** iommu_group_create - a new group with the lowest free id, no members, one reference */
int iommu_group_create(struct iommu *iommu, struct iommu_group **out);
/** iommu_group_create_fake - the same for No-IOMMU and emulated devices: named, no domain, no claims */
int iommu_group_create_fake(struct iommu *iommu, const char *name, struct iommu_group **out);
struct iommu_group *iommu_group_get(struct iommu_group *g);
void iommu_group_put(struct iommu_group *g); /* the last one frees the group and its id */
unsigned iommu_group_id(const struct iommu_group *g);
const char *iommu_group_name(const struct iommu_group *g); /* NULL: none */
/** iommu_group_type - text of sysfs "type": "DMA", "identity", "unknown" ...; for good */
const char *iommu_group_type(struct iommu_group *g);
/**
 * iommu_group_set_type - give kernel drivers another default domain
 * @type: "DMA", "DMA-FQ" or "identity"; NULL: what the unit starts with ("auto")
 * Return: 0; -EINVAL no default domain, another text, or a member is trusted with less; -EPERM no members, or a driver
 * or user has the group, unless DMA becomes DMA-FQ; -ENOMEM
 * Spec: 10, 1.7
 */
int iommu_group_set_type(struct iommu_group *g, const char *type);
/** iommu_group_resv_show - text of sysfs "reserved_regions" (spec 10, 1.7) */
void iommu_group_resv_show(struct iommu_group *g, FILE *out);
/** iommu_group_msi_isolated - does every member's IOMMU keep it from faking interrupts? */
bool iommu_group_msi_isolated(struct iommu_group *g);
/** iommu_group_resv - the group's merged reserved regions; *@out is malloc'ed. Returns the number; -ENOMEM */
int iommu_group_resv(struct iommu_group *g, struct iommu_resv **out);

/* ---- devices ---- */

/**
 * iommu_dev_create - a requester
 * @name: for messages: "0000:01:00.0"; borrowed
 * @unit: borrowed; NULL: not behind an IOMMU (then it never gets a group, and DMA is untranslated)
 */
int iommu_dev_create(struct iommu *iommu, const char *name, const struct iommu_unit *unit, struct iommu_dev **out);
void iommu_dev_destroy(struct iommu_dev *d);
/** iommu_dev_add_resv - before it joins a group: a reserved region of its own (its unit's are added by themselves) */
int iommu_dev_add_resv(struct iommu_dev *d, const struct iommu_resv *r);
/** iommu_dev_resv - its reserved regions, its unit's among them; valid while it is in a group. Returns the number */
unsigned iommu_dev_resv(const struct iommu_dev *d, const struct iommu_resv **out);
/** iommu_dev_set_pasids - before it joins: it can say PASIDs 1 to @count - 1, at most 2^20 - 1. 0; -EINVAL; -ENOMEM */
int iommu_dev_set_pasids(struct iommu_dev *d, uint32_t count);
uint32_t iommu_dev_pasids(const struct iommu_dev *d); /* 0: none */
/** iommu_dev_set_ats - before it joins: can it cache translations? */
void iommu_dev_set_ats(struct iommu_dev *d, bool on);
bool iommu_dev_ats(const struct iommu_dev *d); /* and may it? Not when it is distrusted */
/** iommu_dev_distrust - before it joins: kernel drivers get translated DMA for it, flushed at once, always */
void iommu_dev_distrust(struct iommu_dev *d);
/**
 * iommu_dev_join - become a member; goes to the group's current domain (spec 10, 1.6). Takes a reference on the group.
 * Return: 0; -EBUSY in a group already; -EINVAL the group's domain does not suit it, or it needs a direct region and
 * the group has a user, or only one of the two is a No-IOMMU thing; -ENOMEM
 */
int iommu_dev_join(struct iommu_dev *d, struct iommu_group *g);
/**
 * iommu_dev_reset_begin, iommu_dev_reset_end - around the reset of a function that caches translations (ATS)
 * Meanwhile its DMA is blocked, and attach and claim of its group are -EBUSY. Nest; without a group nothing happens.
 */
void iommu_dev_reset_begin(struct iommu_dev *d);
void iommu_dev_reset_end(struct iommu_dev *d);
void iommu_dev_leave(struct iommu_dev *d);
/** iommu_dev_group - its group, NULL: none; borrowed: for who knows that it does not leave meanwhile */
struct iommu_group *iommu_dev_group(struct iommu_dev *d);
/** iommu_dev_group_get - its group with a reference, NULL: none; for who looks at a device that may be unplugged */
struct iommu_group *iommu_dev_group_get(struct iommu_dev *d);
const struct iommu_unit *iommu_dev_unit(struct iommu_dev *d);

/* ---- ownership (spec 10, 2.2; errnos and order there) ---- */

int iommu_dev_use_default(struct iommu_dev *d);   /* a kernel driver is about to bind: 0, -EBUSY, -EPROBE_DEFER (517) */
void iommu_dev_unuse_default(struct iommu_dev *d);
int iommu_group_claim(struct iommu_group *g, void *owner);   /* -EINVAL, -EPERM, -EBUSY */
void iommu_group_release(struct iommu_group *g);             /* PASIDs that are attached still are detached */
int iommu_dev_claim(struct iommu_dev *d, void *owner);       /* -EINVAL, -ENODEV, -EPERM, -EBUSY */
void iommu_dev_release(struct iommu_dev *d);
bool iommu_group_claimed(struct iommu_group *g);  /* owner_cnt != 0: kernel drivers count */
/** iommu_group_owner - what explain and list show: count, user owner or NULL */
void iommu_group_owner(struct iommu_group *g, unsigned *count, void **owner);

#define UVFIO_EPROBE_DEFER 517

/* ---- domains ---- */

/** iommu_domain_create - an empty paging domain for devices like @d. -ENODEV no IOMMU; -ENOMEM */
int iommu_domain_create(struct iommu_dev *d, struct iommu_domain **out);
/** iommu_domain_create_for - the same for devices behind units like @unit, which is borrowed. -ENOMEM */
int iommu_domain_create_for(struct iommu *iommu, const struct iommu_unit *unit, struct iommu_domain **out);
/** iommu_group_domain_create - an empty paging domain for the members of @g. -ENODEV it has none; -ENOMEM */
int iommu_group_domain_create(struct iommu_group *g, struct iommu_domain **out);
/** iommu_domain_destroy - nothing may be attached; mappings that are left go with it; NULL is fine */
void iommu_domain_destroy(struct iommu_domain *dom);
/**
 * iommu_group_attach - move all members to @dom; on failure none has moved
 * Return: 0; -EBUSY a private domain is attached, or a member is being reset; -EINVAL other kind of IOMMU, or no
 * members
 */
int iommu_group_attach(struct iommu_group *g, struct iommu_domain *dom);
/**
 * iommu_group_replace - the same for a group that is attached: each device is in the old domain or in the new one
 * Return: 0; -EBUSY a member is being reset; -EINVAL as attach, or not attached. On failure none has moved
 */
int iommu_group_replace(struct iommu_group *g, struct iommu_domain *dom);
/** iommu_group_detach - back to blocking (user-owned) or default; no DMA uses @dom after it returns */
void iommu_group_detach(struct iommu_group *g);
/**
 * iommu_group_attach_pasid - what the members say with @pasid goes to @dom from now on; those without PASIDs say nothing,
 * and any number will do for them
 * Return: 0; -EOPNOTSUPP no domains here; -EINVAL @pasid 0 or too large for one that has, other kind of IOMMU;
 * -EBUSY a domain is attached to it, or a member is being reset; -ENOMEM. On failure nothing has changed
 */
int iommu_group_attach_pasid(struct iommu_group *g, uint32_t pasid, struct iommu_domain *dom);
/** iommu_group_replace_pasid - the same where one is attached (else -EINVAL): each DMA goes to the old one or the new one */
int iommu_group_replace_pasid(struct iommu_group *g, uint32_t pasid, struct iommu_domain *dom);
/**
 * iommu_group_detach_pasid - DMA with @pasid is blocked; on return none uses what was attached
 * Nothing was: nothing happens. The last member that leaves the group, and the end of the claim, do it for all PASIDs.
 */
void iommu_group_detach_pasid(struct iommu_group *g, uint32_t pasid);
/** iommu_group_first - the first member; borrowed: for who knows that it does not leave meanwhile; NULL: none */
struct iommu_dev *iommu_group_first(struct iommu_group *g);

/*
 * Tables that a guest wrote, of 4 or 5 levels as x86-64 has them: 4 KiB, 2 MiB and 1 GiB pages; the bits for present,
 * write, user, accessed, dirty and page size. Addresses in them, and of them, are the parent's.
 */
struct iommu_stage1 {
	iova_t table;       /* the first one */
	unsigned levels;    /* 4, 5 */
	bool write_protect; /* for requests with supervisor's rights too; devices here make none, so it changes nothing */
};
/**
 * iommu_domain_create_nested - a domain that translates twice: by @s1, then by @parent, which must outlive it
 * @s1: copied; NULL: nothing passes
 * DMA walks the tables as they are, marking entries accessed, and dirty before the first write. What a thread has found
 * it may use until iommu_domain_invalidate(), or until something is unmapped in the parent, which is as good as an unmap
 * here. A write is remembered by the parent, where it tracks them.
 * Return: 0; -EINVAL @parent is not of a kind that can be one, @s1 cannot be; -ENOMEM
 */
int iommu_domain_create_nested(struct iommu_domain *parent, const struct iommu_stage1 *s1, struct iommu_domain **out);
/**
 * iommu_domain_invalidate - what was found for [@start, @last] is forgotten, and no DMA uses it when this returns
 * As in hardware, more may be forgotten. Context: as iommu_unmap()
 */
void iommu_domain_invalidate(struct iommu_domain *dom, iova_t start, iova_t last);

void iommu_domain_aperture(const struct iommu_domain *dom, iova_t *start, iova_t *last);
uint64_t iommu_domain_pgsizes(const struct iommu_domain *dom);
bool iommu_domain_enforce_coherency(struct iommu_domain *dom); /* try to; true when it holds */
const struct iommu_unit *iommu_domain_unit(const struct iommu_domain *dom);

/**
 * iommu_map - translate [@iova, +@length) to @phys with @prot (MEM_READ|MEM_WRITE)
 * Multiples of the smallest page. Uses the largest pages that fit. Nothing of it stays mapped on failure.
 * Return: 0; -ENOMEM; -EEXIST a page is mapped; -EINVAL not page multiples, outside the aperture, no or unknown @prot
 */
int iommu_map(struct iommu_domain *dom, iova_t iova, phys_t phys, uint64_t length, unsigned prot);
/** iommu_map_small - the same with no pages above 4 KiB, if there are such, so that any page of it can be unmapped alone */
int iommu_map_small(struct iommu_domain *dom, iova_t iova, phys_t phys, uint64_t length, unsigned prot);
/**
 * iommu_unmap - remove all translations inside [@iova, +@length); the range must not cut a large page in two
 * On return no DMA of any device uses them. Returns bytes removed.
 * Context: as all that changes what devices see (attach, detach, claim, release, leave) it waits for DMA that is
 * under way: not from inside one, not with a lock that a mem_window's ops take.
 */
uint64_t iommu_unmap(struct iommu_domain *dom, iova_t iova, uint64_t length);
/** iommu_prefetch - @iova is about to be mapped or unmapped. Context: nobody else changes @dom meanwhile */
void iommu_prefetch(struct iommu_domain *dom, iova_t iova);
/**
 * iommu_domain_track - from now on (@on) remember which pages devices write; what was remembered before is forgotten
 * Off, what is remembered stays. Context: as iommu_unmap()
 */
void iommu_domain_track(struct iommu_domain *dom, bool on);
bool iommu_domain_tracks(struct iommu_domain *dom);
/**
 * iommu_domain_dirty - call @fn for each translation that has any of [@start, @last] and was written through, or for
 * several small ones that follow each other
 * @clear: forget it: a write that comes after the return is remembered again
 * Context: as iommu_unmap(); @fn is called with the domain's lock held
 */
void iommu_domain_dirty(struct iommu_domain *dom, iova_t start, iova_t last, bool clear,
			void (*fn)(void *ctx, iova_t base, uint64_t size), void *ctx);
/** iommu_domain_mark - what a device's write does while writes are remembered; false: nothing is mapped at @iova */
bool iommu_domain_mark(struct iommu_domain *dom, iova_t iova);
/** iommu_translate - what a walk says, without fault: 0 or -EFAULT; for tests, dirty scans and GET_PA */
int iommu_translate(struct iommu_domain *dom, iova_t iova, phys_t *phys, unsigned *prot);

/* ---- DMA: called by pci_dma_*, from any thread ---- */

/**
 * iommu_dma_read, iommu_dma_write - a device moves bytes between itself and IOVA space
 * Page by page in address order; stops at the first page that fails, and records a fault.
 * Return: 0; -EFAULT. A device without IOMMU reaches machine-physical memory directly.
 */
int iommu_dma_read(struct iommu_dev *d, iova_t iova, void *dst, size_t n);
int iommu_dma_write(struct iommu_dev *d, iova_t iova, const void *src, size_t n);
/**
 * iommu_dma_copy - memory to memory through the device, without a bounce where both ends can be addressed
 * @fault_write: set when it failed: was it the destination?
 */
int iommu_dma_copy(struct iommu_dev *d, iova_t dst, iova_t src, size_t n, bool *fault_write);

/* The same with a PASID (PCIe's TLP prefix); 0: without. */
int iommu_dma_read_pasid(struct iommu_dev *d, uint32_t pasid, iova_t iova, void *dst, size_t n);
int iommu_dma_write_pasid(struct iommu_dev *d, uint32_t pasid, iova_t iova, const void *src, size_t n);
int iommu_dma_copy_pasid(struct iommu_dev *d, uint32_t pasid, iova_t dst, iova_t src, size_t n, bool *fault_write);

/* ---- page requests (PRI): a device asks for a page, and waits for the answer ---- */

/*
 * DMA of a device that makes them, that finds nothing mapped or not the right, in a domain with fault_ops: a request,
 * outside of any DMA section a wait, and another try. It is a fault when the answer is no, when nobody takes the request,
 * when IOMMU_ASKS answers in a row have not helped, and at once in a thread that may not wait.
 */
#define IOMMU_ASKS 3

/** iommu_dev_set_requests - before it joins: does it make page requests? */
void iommu_dev_set_requests(struct iommu_dev *d, bool on);
bool iommu_dev_requests(const struct iommu_dev *d);
/**
 * iommu_dma_patient - DMA of the calling thread may wait for answers from now on, or no more; at first it may not
 * For threads of devices' own, that hold no lock and no DMA section over a transfer: what ends such a wait is a program,
 * or iommu_dev_cancel_begin().
 */
void iommu_dma_patient(bool patient);
/**
 * iommu_dev_cancel_begin, iommu_dev_cancel_end - around what ends a device's DMA: a reset, its removal
 * Meanwhile no DMA of it waits for an answer: who does fails now, without a fault. Nest. Context: any thread, any lock
 */
void iommu_dev_cancel_begin(struct iommu_dev *d);
void iommu_dev_cancel_end(struct iommu_dev *d);

/* [I] all but what request.c keeps */
struct iommu_page_request {
	struct iommu_dev *dev;   /* borrowed: valid until it is answered */
	bool has_pasid;
	uint32_t pasid;          /* 0 without */
	uint32_t group;          /* the device's own number of what it asks for at once; one request each */
	unsigned prot;           /* what it wants to do: MEM_READ, MEM_WRITE; above those as PRI has it, 4 execute, 8 privileged */
	iova_t addr;             /* of the page */
};

/** iommu_page_request_create - a copy of @init, one reference. -ENOMEM */
int iommu_page_request_create(const struct iommu_page_request *init, struct iommu_page_request **out);
struct iommu_page_request *iommu_page_request_get(struct iommu_page_request *r);
void iommu_page_request_put(struct iommu_page_request *r);
/** iommu_page_request_respond - @success: the page is there now. The first answer counts. Context: any thread, any lock */
void iommu_page_request_respond(struct iommu_page_request *r, bool success);
/** iommu_page_request_wait - for the answer. Context: no lock held */
bool iommu_page_request_wait(struct iommu_page_request *r);

/* Who answers the requests of devices in a domain. */
struct iommu_fault_ops {
	/*
	 * Return: 0 it will be answered, a reference was taken for it; else it failed.
	 * Context: inside a DMA section, with whatever locks a model's DMA is made: must not wait, only leaf locks
	 */
	int (*request)(void *ctx, struct iommu_page_request *r);
};
/** iommu_domain_handle_faults - before anything is attached; @ops and @ctx live as long as the domain */
void iommu_domain_handle_faults(struct iommu_domain *dom, const struct iommu_fault_ops *ops, void *ctx);

enum iommu_fault_reason {
	IOMMU_FAULT_NOT_MAPPED,   /* no translation */
	IOMMU_FAULT_NO_PERMISSION,/* read of write-only, write of read-only */
	IOMMU_FAULT_BLOCKED,      /* owned but not attached, or not owned by anyone; a PASID without a domain */
	IOMMU_FAULT_ABORT,        /* translated, but the target did not answer: BAR disabled, caller's memory gone */
};
struct iommu_fault {
	int64_t when;        /* CLOCK_REALTIME ns */
	const char *device;  /* lives as long as the machine */
	iova_t iova;         /* the address that failed; what lies before it in the access has moved */
	uint64_t length;     /* of the access */
	bool write;
	uint32_t pasid;      /* 0: none */
	enum iommu_fault_reason reason;
	/* the last mapping that covered the address, if one is remembered (spec: EXPERIENCE, end of a run) */
	bool was_mapped;
	iova_t was_start, was_last;
	int64_t unmapped_at;
};
#define IOMMU_FAULTS 64
/** iommu_faults - copy the last faults, oldest first; returns how many; *@total: since the start */
unsigned iommu_faults(struct iommu *iommu, struct iommu_fault out[IOMMU_FAULTS], uint64_t *total);

struct iommu_stats {
	uint64_t reads, writes, bytes; /* DMA accesses and bytes, since the start */
};
void iommu_stats(struct iommu *iommu, struct iommu_stats *out);

#endif
