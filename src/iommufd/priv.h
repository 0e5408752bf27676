/* SPDX-License-Identifier: MIT */
/*
 * Inside iommufd/: contexts, objects, ioctls. Address spaces and pages have headers of their own: iopt.h, pages.h.
 *
 * Locks, outermost first: an IOAS's list of HWPTs; a group's attachment; the context's process lock (read by whoever
 * pins, written by CHANGE_PROCESS); an address space; a pages object; the context's table of objects.
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
	bool noiommu; /* [I] built with No-IOMMU mode */
	atomic_bool unsafe_interrupts;
	atomic_uint contexts; /* for the check at the end */
};

/* ---- objects (object.c) ---- */

enum iommufd_type { IOMMUFD_ANY, IOMMUFD_IOAS, IOMMUFD_HWPT, IOMMUFD_DEVICE, IOMMUFD_ACCESS, IOMMUFD_FAULT };

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
	struct rwlock process;          /* RANK_IOMMUFD_PROCESS: who moves the charges of all pages writes */
	struct mutex lock;              /* RANK_IOMMUFD */
	struct cond left;               /* [lock] the last visitor of some object has left */
	struct ids ids;                 /* [lock] of id - 1 */
	struct iommufd_object **objects;/* [lock] by id - 1; NULL: free, or not published yet */
	unsigned nobjects;              /* [lock] room */
	unsigned used;                  /* [lock] ids in use */
	bool by_mm;                     /* [lock] pins count in the process, not by user; stays while there are objects */
	bool noiommu;                   /* [lock] */
	struct iommufd_object *compat;  /* [lock] the compat IOAS, not a reference; NULL: none */
	RB_HEAD(iommufd_groups, iommufd_group) groups; /* [lock] those with a bound device */
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
/** iommufd_object_use - for longer; the object is visited or used */
void iommufd_object_use(struct iommufd_object *o);
/** iommufd_object_unuse - may destroy an automatic object: no lock held */
void iommufd_object_unuse(struct iommufd_object *o);
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
int iommufd_hwpt_invalidate_ioctl(struct ucmd *u);
int iommufd_hw_info_ioctl(struct ucmd *u);        /* hwinfo.c */
int iommufd_set_dirty_ioctl(struct ucmd *u);      /* dirty.c */
int iommufd_get_dirty_ioctl(struct ucmd *u);
int iommufd_fault_alloc_ioctl(struct ucmd *u);    /* fault.c */
int iommufd_viommu_alloc_ioctl(struct ucmd *u);   /* unbuilt.c */
int iommufd_vdevice_alloc_ioctl(struct ucmd *u);
int iommufd_veventq_alloc_ioctl(struct ucmd *u);
int iommufd_hw_queue_alloc_ioctl(struct ucmd *u);
int iommufd_get_pa_ioctl(struct ucmd *u);         /* noiommu.c */

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

/* ---- HWPTs (hwpt.c): one domain, that shows an address space ---- */

struct iommufd_hwpt {
	struct iommufd_object obj;
	struct iommufd_ioas *ioas;        /* [I] used */
	struct iommu_domain *domain;      /* [I] */
	bool enforces_coherency;          /* [I] */
	bool nest_parent;                 /* [I] */
	bool dirty;                       /* [I] can track */
	bool pasid;                       /* [I] fit for PASIDs, and to be beside them */
	struct iommufd_object *fault;     /* [I] used; where page requests would go; NULL: nowhere */
	TAILQ_ENTRY(iommufd_hwpt) link;   /* [ctx->lock] */
};

/** iommufd_noiommu_unit - in the place of hardware for devices without: all addresses, and no translation */
extern const struct iommu_unit iommufd_noiommu_unit;
/**
 * iommufd_hwpt_create - for devices like @idev; reserved, and visited when @automatic is set, not published
 * Shows all of the address space. Return: 0; -EINVAL; -EADDRINUSE; -EFAULT; -ENOMEM
 */
int iommufd_hwpt_create(struct iommufd_ioas *ioas, struct iommufd_device *idev, bool automatic,
			struct iommufd_hwpt **out);
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
};

/** iommufd_device_translated - is there an IOMMU before it? */
static inline bool iommufd_device_translated(const struct iommufd_device *idev)
{
	return idev->group->iommu != NULL;
}
/** iommufd_device_visit - NULL: no such device */
struct iommufd_device *iommufd_device_visit(struct iommufd_ctx *ctx, uint32_t id);
static inline void iommufd_device_leave(struct iommufd_device *idev)
{
	iommufd_object_leave(&idev->obj);
}

/** iommufd_ioas_enforces_coherency - does every HWPT of it? True when there is none */
bool iommufd_ioas_enforces_coherency(struct iommufd_ioas *ioas);
/** iommufd_ioas_map_user - MAP, checked as far as can be said without the address space (ioas_map.c) */
int iommufd_ioas_map_user(struct iommufd_ctx *ctx, struct iommufd_ioas *ioas, struct task *t, uva_t uva,
			  uint64_t length, uint32_t flags, uint64_t *iova);

/* What the last user or DESTROY calls, by type. */
void iommufd_ioas_free(struct iommufd_object *o);
void iommufd_hwpt_free(struct iommufd_object *o);
void iommufd_device_free(struct iommufd_object *o);
void iommufd_access_free(struct iommufd_object *o);
void iommufd_fault_free(struct iommufd_object *o);

#endif
