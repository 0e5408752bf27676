/* SPDX-License-Identifier: MIT */
/*
 * Inside iommufd/: contexts, objects, ioctls. Address spaces and pages have headers of their own: iopt.h, pages.h.
 *
 * Locks, outermost first: an IOAS's list of HWPTs; a group's attachment; what moves charges (CHANGE_PROCESS); an address
 * space; a pages object; the context's table of objects. All of them: base/lockrank.h.
 */
#ifndef UVFIO_IOMMUFD_PRIV_H
#define UVFIO_IOMMUFD_PRIV_H

#include "abi/iommufd.h"
#include "base/ids.h"
#include "base/lock.h"
#include "iommufd/iommufd.h"
#include "iommufd/iopt.h"
#include <sys/queue.h>

struct iommufd_account;

struct iommufd {
	struct tree *tree;
	struct mem *mem;
	struct iommu *iommu;
	struct log *log;
	struct iommufd_account *account;
	bool noiommu; /* [I] built with No-IOMMU mode, */
	bool test;    /* [I] and with the test interface */
	atomic_bool unsafe_interrupts;
	atomic_uint contexts; /* for the check at the end */
};

/* ---- objects (object.c) ---- */

enum iommufd_type {
	IOMMUFD_ANY,
	IOMMUFD_IOAS,
	IOMMUFD_HWPT,     /* with page tables of its own */
	IOMMUFD_NESTED,   /* the guest's page tables on those of another */
	IOMMUFD_DEVICE,
	IOMMUFD_ACCESS,
	IOMMUFD_FAULT,
	IOMMUFD_VIOMMU,
	IOMMUFD_VDEVICE,
	IOMMUFD_VEVENTQ,
	IOMMUFD_HW_QUEUE,
	IOMMUFD_SELFTEST, /* a mock device */
};

/*
 * What has an id. It is found by its id from publish to its removal. A user is whoever keeps it for longer than a call;
 * a visitor is a call that looked it up. DESTROY is refused while there are any.
 */
struct iommufd_object {
	struct iommufd_ctx *ctx;  /* [I] not a reference: the context outlives its objects */
	unsigned id;              /* [I] */
	enum iommufd_type type;   /* [I] */
	unsigned users, visitors; /* [ctx->lock] */
	bool automatic;           /* [ctx->lock] goes with its last user and visitor */
};

/* [I] immutable; [lock] */
struct iommufd_ctx {
	struct iommufd *fd;             /* [I] */
	struct ref ref;
	struct iopt_mover mover;        /* of the charges of all pages */
	struct mutex lock;              /* RANK_IOMMUFD */
	struct cond left;               /* [lock] the last visitor of some object has left */
	struct ids ids;                 /* [lock] of id - 1 */
	struct iommufd_object **objects;/* [lock] by id - 1; NULL: free, or not published yet */
	unsigned nobjects;              /* [lock] room */
	unsigned used;                  /* [lock] ids in use, those that stay so for good among them: */
	unsigned tombs;                 /* [lock] */
	bool by_mm;                     /* [lock] pins count in the process, not by user; stays while there are objects */
	bool noiommu;                   /* [lock] */
	struct iommufd_object *compat;  /* [lock] the compat IOAS, not a reference; NULL: none */
	RB_HEAD(iommufd_groups, iommufd_group) groups; /* [lock] those with a bound device */
	LIST_HEAD(, iommufd_region) regions; /* [lock] what can be mapped, by offset */
	int memfd;                      /* [lock] where they are, from the first one on until the end; -1: none was there */
	struct file *file;              /* [I] while a program has it, whose calls alone ask for it */
	LIST_HEAD(, iommufd_mock) orphans; /* [lock] mock devices that nobody finds, but something is still attached to */
	bool ending;                    /* [I] nobody has the context any more */
};

/** iommufd_object_reserve - an id that nobody can look up yet. -ENOMEM */
int iommufd_object_reserve(struct iommufd_ctx *ctx, enum iommufd_type type, struct iommufd_object *o);
void iommufd_object_publish(struct iommufd_object *o);
void iommufd_object_abandon(struct iommufd_object *o);
/** iommufd_object_visit - look up; IOMMUFD_ANY: of any type. NULL: none */
struct iommufd_object *iommufd_object_visit(struct iommufd_ctx *ctx, uint32_t id, enum iommufd_type type);
/** iommufd_object_revisit - look up what is still in some list; false: nobody can find it by its id any more */
bool iommufd_object_revisit(struct iommufd_object *o);
/** iommufd_object_leave - the visit is over; may destroy an automatic object: no lock held */
void iommufd_object_leave(struct iommufd_object *o);
bool iommufd_object_published(struct iommufd_object *o);
/** iommufd_object_use - for longer; the object is visited or used */
void iommufd_object_use(struct iommufd_object *o);
/** iommufd_object_unuse - may destroy an automatic object: no lock held */
void iommufd_object_unuse(struct iommufd_object *o);
/** iommufd_object_entomb - the same, and its id is not given to anybody else as long as the context is there */
void iommufd_object_entomb(struct iommufd_object *o);
/** iommufd_object_withdraw - nobody finds it any more, and all visitors have left; its owner destroys it */
void iommufd_object_withdraw(struct iommufd_object *o);
/** iommufd_objects_destroy_all - the context ends */
void iommufd_objects_destroy_all(struct iommufd_ctx *ctx);

/* ---- ioctls (main.c) ---- */

struct ucmd {
	struct iommufd_ctx *ctx;
	struct task *t;
	uva_t arg;
	uint32_t size;  /* the caller's */
	void *cmd;      /* the copy, all of it */
	size_t full;    /* bytes of cmd */
};

/** ucmd_respond - write the copy back, as far as the caller's size goes. -EFAULT */
int ucmd_respond(struct ucmd *u);

int iommufd_destroy_ioctl(struct ucmd *u);        /* object.c */
int iommufd_ioas_alloc_ioctl(struct ucmd *u);     /* ioas.c */
int iommufd_ioas_allow_ioctl(struct ucmd *u);
int iommufd_ioas_ranges_ioctl(struct ucmd *u);
int iommufd_ioas_map_ioctl(struct ucmd *u);       /* ioas_map.c */
int iommufd_ioas_map_file_ioctl(struct ucmd *u);
int iommufd_ioas_copy_ioctl(struct ucmd *u);
int iommufd_ioas_unmap_ioctl(struct ucmd *u);
int iommufd_option_ioctl(struct ucmd *u);         /* option.c */
int iommufd_change_process_ioctl(struct ucmd *u);
int iommufd_vfio_ioas_ioctl(struct ucmd *u);      /* vfio_compat.c */
long iommufd_vfio_ioctl(struct iommufd_ctx *ctx, struct task *t, unsigned cmd, uint64_t arg);
int iommufd_hwpt_alloc_ioctl(struct ucmd *u);     /* hwpt.c */
int iommufd_hwpt_invalidate_ioctl(struct ucmd *u); /* invalidate.c */
int iommufd_hw_info_ioctl(struct ucmd *u);        /* hwinfo.c */
int iommufd_set_dirty_ioctl(struct ucmd *u);      /* dirty.c */
int iommufd_get_dirty_ioctl(struct ucmd *u);
int iommufd_fault_alloc_ioctl(struct ucmd *u);    /* fault.c */
int iommufd_viommu_alloc_ioctl(struct ucmd *u);   /* viommu.c */
int iommufd_vdevice_alloc_ioctl(struct ucmd *u);
int iommufd_veventq_alloc_ioctl(struct ucmd *u);  /* veventq.c */
int iommufd_hw_queue_alloc_ioctl(struct ucmd *u); /* hwqueue.c */
int iommufd_get_pa_ioctl(struct ucmd *u);         /* noiommu.c */
int iommufd_test_ioctl(struct ucmd *u);           /* test.c */

/* ---- address spaces (ioas.c) ---- */

struct iommufd_ioas {
	struct iommufd_object obj;
	struct iopt iopt;
	struct mutex lock;                 /* RANK_IOMMUFD_IOAS */
	/* RANK_IOMMUFD_IOAS, above: held while an automatic HWPT is looked for or made, so that there are not two */
	TAILQ_HEAD(, iommufd_hwpt) hwpts;  /* [ctx->lock] oldest first */
};

int iommufd_ioas_create(struct iommufd_ctx *ctx, struct iommufd_ioas **out); /* reserved, not published. -ENOMEM */
void iommufd_ioas_abandon(struct iommufd_ioas *ioas);
/** iommufd_ioas_visit - NULL: no such IOAS */
struct iommufd_ioas *iommufd_ioas_visit(struct iommufd_ctx *ctx, uint32_t id);
static inline void iommufd_ioas_leave(struct iommufd_ioas *ioas)
{
	iommufd_object_leave(&ioas->obj);
}

struct iommufd_device;
struct iommufd_fault;
struct iommufd_hw;
struct iommufd_hw_queue;
struct iommufd_viommu;

/* ---- HWPTs (hwpt.c): what devices are attached to ---- */

/*
 * Either one domain that shows an address space (paging), or a guest's page tables, which lead to the addresses of such
 * a one, its parent (nested).
 */
struct iommufd_hwpt {
	struct iommufd_object obj;
	struct iommufd_ioas *ioas;        /* [I] that it, or its parent, shows; used by a paging one */
	struct iommufd_hwpt *parent;      /* [I] of a nested one; used, unless it is the virtual IOMMU's; NULL: paging */
	struct iommufd_viommu *viommu;    /* [I] that a nested one was made for, used; NULL: none */
	struct iommu_domain *domain;      /* [I] */
	const struct iommufd_hw *hw;      /* [I] whose it is */
	void *hw_data;                    /* [I] of the driver's own, malloc'ed; NULL: none */
	bool enforces_coherency;          /* [I] */
	bool nest_parent;                 /* [I] */
	bool dirty;                       /* [I] can track */
	bool pasid;                       /* [I] fit for PASIDs, and to be beside them */
	struct iommufd_fault *fault;      /* [I] used; where page requests go; NULL: nowhere */
	TAILQ_ENTRY(iommufd_hwpt) link;   /* [ctx->lock] paging ones of the IOAS */
};

/** iommufd_noiommu_unit - in the place of hardware for devices without: all addresses, and no translation */
extern const struct iommu_unit iommufd_noiommu_unit;
/**
 * iommufd_hwpt_create_auto - for devices like @idev, on its own when the last one goes; reserved and visited
 * Shows all of the address space. Return: 0; -EINVAL; -EADDRINUSE; -EFAULT; -ENOMEM
 */
int iommufd_hwpt_create_auto(struct iommufd_ioas *ioas, struct iommufd_device *idev, struct iommufd_hwpt **out);
void iommufd_hwpt_abandon(struct iommufd_hwpt *hwpt);
void iommufd_hwpt_publish(struct iommufd_hwpt *hwpt);
/** iommufd_hwpt_next - the automatic HWPT after @prev (NULL: the first), visited; @prev is left. NULL: none */
struct iommufd_hwpt *iommufd_hwpt_next(struct iommufd_ioas *ioas, struct iommufd_hwpt *prev);

/* ---- devices (device.c) ---- */

/* What a group is attached to, without PASID or with one. All by the group's lock. */
struct iommufd_slot {
	RB_ENTRY(iommufd_slot) node;
	uint32_t pasid;
	struct iommufd_hwpt *hwpt;        /* used once for each device */
	LIST_HEAD(, iommufd_attachment) devices;
};

struct iommufd_attachment {
	struct iommufd_device *idev;      /* used */
	LIST_ENTRY(iommufd_attachment) link;
};

/* A group with bound devices of one context. */
struct iommufd_group {
	RB_ENTRY(iommufd_group) node;     /* [ctx->lock] */
	struct iommu_group *iommu;        /* [I] with a reference; NULL: of one device without IOMMU */
	unsigned bound;                   /* [ctx->lock] devices */
	struct mutex lock;                /* RANK_IOMMUFD_GROUP */
	RB_HEAD(iommufd_slots, iommufd_slot) slots; /* [lock] those in use */
	LIST_HEAD(, iommufd_device) devices;  /* [ctx->lock] all bound */
};

struct iommufd_device {
	struct iommufd_object obj;        /* used by the binding, and by each attachment */
	struct iommu_dev *iommu;          /* [I] */
	const struct iommu_unit *unit;    /* [I] */
	struct iommufd_group *group;      /* [I] */
	LIST_ENTRY(iommufd_device) bound; /* [ctx->lock] */
	struct iommufd_vdevice *vdevice;  /* [ctx->lock] what stands for it in a virtual IOMMU; NULL: nothing */
	void *hw_data;                    /* [I] of the driver of its IOMMU; borrowed; NULL: none */
	bool foreign;                     /* [I] the context does not stay for it: it ends with the context */
};

/** iommufd_device_translated - is there an IOMMU before it? */
static inline bool iommufd_device_translated(const struct iommufd_device *idev)
{
	return idev->group->iommu != NULL;
}
/** iommufd_device_request - the device asks for a page with r->pasid; -EINVAL: nobody is there to answer. As the ops' */
int iommufd_device_request(struct iommufd_device *idev, struct iommu_page_request *r);
/** iommufd_device_detach_all - without PASID and with every one; iommufd_device_detached: is there nothing left of it? */
void iommufd_device_detach_all(struct iommufd_device *idev);
bool iommufd_device_detached(struct iommufd_device *idev);
/** iommufd_device_hwpt_locked - what it is attached to, NULL: nothing. The group's lock held */
struct iommufd_hwpt *iommufd_device_hwpt_locked(struct iommufd_device *idev, uint32_t pasid);
/**
 * iommufd_device_bind_foreign - as iommufd_device_bind(), but the device does not keep the context: who binds it unbinds it
 * then. @hw_data: its ->hw_data, as it can be found at once
 */
int iommufd_device_bind_foreign(struct iommufd_ctx *ctx, struct iommu_dev *d, void *hw_data, struct iommufd_device **out);
/** iommufd_device_visit - NULL: no such device */
struct iommufd_device *iommufd_device_visit(struct iommufd_ctx *ctx, uint32_t id);
static inline void iommufd_device_leave(struct iommufd_device *idev)
{
	iommufd_object_leave(&idev->obj);
}

/**
 * iommufd_access_pin_run - as iommufd_access_pin() to read, of pages that follow each other: from *@phys on
 * Return: also -EFAULT: they do not. However long the range is said to be, it costs no memory that is not pinned
 */
int iommufd_access_pin_run(struct iommufd_access *access, iova_t iova, uint64_t length, phys_t *phys);
/** iommufd_access_ioas_visit - what it is attached to, to be left; NULL: nothing (access.c) */
struct iommufd_ioas *iommufd_access_ioas_visit(struct iommufd_access *a);
/** iommufd_ioas_enforces_coherency - does every HWPT of it? True when there is none */
bool iommufd_ioas_enforces_coherency(struct iommufd_ioas *ioas);
/** iommufd_ioas_map_user - MAP, checked as far as can be said without the address space (ioas_map.c) */
int iommufd_ioas_map_user(struct iommufd_ctx *ctx, struct iommufd_ioas *ioas, struct task *t, uva_t uva,
			  uint64_t length, uint32_t flags, uint64_t *iova);

/* ---- fault queues (fault.c): page requests, and the program's answers ---- */

/** iommufd_fault_visit - NULL: no such queue */
struct iommufd_fault *iommufd_fault_visit(struct iommufd_ctx *ctx, uint32_t id);
struct iommufd_object *iommufd_fault_object(struct iommufd_fault *fault);
/** iommufd_fault_ops - for iommu_domain_handle_faults(); the context is the queue */
extern const struct iommu_fault_ops iommufd_fault_ops;
/**
 * iommufd_fault_join - requests of the device with @pasid are taken from now on, under its id. -ENOMEM
 * iommufd_fault_part - no more are; those not answered yet are answered as invalid, and their cookies are void
 * iommufd_fault_unjoin - instead, when the attachment was not made: the last join has not been
 * Each pair for one attachment to an HWPT that names the queue, around it. Who moves from one HWPT to another of the
 * same queue joins again before, and parts once after.
 */
int iommufd_fault_join(struct iommufd_fault *fault, struct iommufd_device *idev, uint32_t pasid);
void iommufd_fault_part(struct iommufd_fault *fault, struct iommufd_device *idev, uint32_t pasid);
void iommufd_fault_unjoin(struct iommufd_fault *fault, struct iommufd_device *idev, uint32_t pasid);

/* ---- what programs map from /dev/iommu (region.c) ---- */

struct iommufd_region;

/** iommufd_region_add - @length bytes of zeros, page multiple, that go with @owner: he removes it. -ENOMEM */
int iommufd_region_add(struct iommufd_object *owner, uint64_t length, struct iommufd_region **out);
void iommufd_region_remove(struct iommufd_region *r); /* NULL is fine */
uint64_t iommufd_region_offset(const struct iommufd_region *r);
int iommufd_region_write(struct iommufd_region *r, uint64_t at, const void *data, size_t n);
/** iommufd_region_busy - has a program mapped what belongs to the object? Context: a call of the program's, no lock held */
bool iommufd_region_busy(struct iommufd_ctx *ctx, uint32_t id);
int iommufd_region_mmap(struct iommufd_ctx *ctx, const struct file_mmap *m);
void iommufd_region_page(struct iommufd_ctx *ctx, uint64_t offset, struct file_page *out);

/* ---- virtual IOMMUs (viommu.c), their events (veventq.c) ---- */

struct iommufd_viommu {
	struct iommufd_object obj;
	struct iommufd_hwpt *parent;          /* [I] the nest parent, used */
	const struct iommu_unit *unit;        /* [I] of the device that it was made with */
	const struct iommufd_hw *hw;          /* [I] */
	uint32_t type;                        /* [I] */
	void *hw_data;                        /* [I] of the driver's own, malloc'ed; NULL: none */
	struct mutex lock;                    /* RANK_IOMMUFD_VIOMMU */
	LIST_HEAD(, iommufd_vdevice) vdevices;/* [lock] */
	LIST_HEAD(, iommufd_veventq) queues;  /* [lock] at most one of each type */
};

/** iommufd_viommu_visit - NULL: no such virtual IOMMU */
struct iommufd_viommu *iommufd_viommu_visit(struct iommufd_ctx *ctx, uint32_t id);
/* A device as the guest knows it. */
struct iommufd_vdevice {
	struct iommufd_object obj;
	struct iommufd_viommu *viommu;        /* [I] used */
	struct iommufd_device *idev;          /* [ctx->lock] whose ->vdevice this is; it goes with it. NULL: gone already */
	bool published;                       /* [ctx->lock] */
	uint64_t virt_id;                     /* [I] */
	LIST_ENTRY(iommufd_vdevice) link;     /* [viommu lock] */
};

/**
 * iommufd_vdevice_find - what the guest calls the device; false: it does not know it
 * Context: the device is not unbound meanwhile
 */
bool iommufd_vdevice_find(struct iommufd_viommu *v, const struct iommufd_device *idev, uint64_t *virt_id);
/** iommufd_vdevice_by_id_locked - v->lock; NULL: the guest has no such device */
struct iommufd_vdevice *iommufd_vdevice_by_id_locked(struct iommufd_viommu *v, uint64_t virt_id);
/** iommufd_vdevice_orphan - the device is unbound and found no more: what stood for it goes, and its id is never used again */
void iommufd_vdevice_orphan(struct iommufd_device *idev);

/* A queue in the guest's memory that hardware reads by itself (hwqueue.c). */
struct iommufd_hw_queue {
	struct iommufd_object obj;
	struct iommufd_viommu *viommu;        /* [I] used */
	struct iommufd_access *access;        /* [I] pins it */
	uint32_t type;                        /* [I] */
	uint32_t index;                       /* [I] */
	iova_t base;                          /* [I] in the parent's addresses, */
	uint64_t length;                      /* [I] bytes, */
	phys_t phys;                          /* [I] and where that is */
};

/**
 * iommufd_viommu_report - hardware has an event for the guest
 * @type: whose queue it goes to. @data: is copied
 * Return: 0, also when the queue was full and the event is counted as lost; -EOPNOTSUPP no queue of that type; -ENOMEM
 */
int iommufd_viommu_report(struct iommufd_viommu *v, uint32_t type, const void *data, size_t n);

/* ---- the test interface: which page is which (testpages.c); after mem_identify_pins() ---- */

int iommufd_test_check_map(struct ucmd *u);  /* cmd: struct iommu_test_cmd, as in all of the test interface */
int iommufd_test_check_refs(struct ucmd *u);
/**
 * iommufd_test_same_page - is what was pinned at @phys, and stays so meanwhile, the page that the program sees at @uva?
 * Return: 0; -EINVAL another, or nothing of a program's; -EFAULT the program sees nothing there
 */
int iommufd_test_same_page(struct iommufd_ctx *ctx, struct task *t, phys_t phys, uva_t uva);

/* What the last user or DESTROY calls, by type. */
void iommufd_ioas_free(struct iommufd_object *o);
void iommufd_hwpt_free(struct iommufd_object *o);
void iommufd_device_free(struct iommufd_object *o);
void iommufd_access_free(struct iommufd_object *o);
void iommufd_fault_free(struct iommufd_object *o);
void iommufd_viommu_free(struct iommufd_object *o);
void iommufd_vdevice_free(struct iommufd_object *o);
void iommufd_veventq_free(struct iommufd_object *o);
void iommufd_hw_queue_free(struct iommufd_object *o);
void iommufd_selftest_free(struct iommufd_object *o);

#endif
