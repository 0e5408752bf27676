/* SPDX-License-Identifier: MIT */
/*
 * What the files of vfio/ share: the four objects and how they hold each other.
 *
 *	group file --> group --> iommu group        device file --> device (a registration)
 *	     ^           |                                              |
 *	     |           +--> container --> backend instance            +--> set
 *	     +---- device, while it is open                             +--> iommufd, instead of a container
 *
 * A group object lives while a device is registered in it or its file is open; without devices it is dead:
 * it has lost its iommu group, its node and its container. A container lives while its file is open or a
 * group is in it, its backend's instance until the last group leaves. An open device holds the group's file, so
 * a program may close its files in any order (spec 10, 3.16). A device that is bound to an iommufd holds that instead,
 * whether it was opened by its group or by a node of its own.
 *
 * No lock is held over a copy from or to a caller's memory: a hostile caller can make that last for ever.
 *
 * Lock order: vfio->lock, group->lock, container->lock, set->lock, vfio->device_lock, type1. Nodes are
 * removed under vfio->lock alone, as removal waits for opens under way, which take group->lock.
 */
#ifndef UVFIO_VFIO_PRIV_H
#define UVFIO_VFIO_PRIV_H

#include "base/ids.h"
#include "base/lock.h"
#include "iommufd/iommufd.h"
#include "vfio/vfio.h"
#include <sys/queue.h>

#define VFIO_GROUP_MAJOR     511u /* dynamic on Linux: any number programs have no use for */
#define VFIO_DEVICE_MAJOR    510u /* likewise */
#define VFIO_CONTAINER_MAJOR 10u
#define VFIO_CONTAINER_MINOR 196u
#define VFIO_REQUEST_MS      10000u

struct vfio_container;

TAILQ_HEAD(vfio_group_list, vfio_group);
LIST_HEAD(vfio_set_list, vfio_set);

/*
 * One machine's VFIO.
 * [I] immutable after create   [l] lock   [d] device_lock   [a] atomic
 */
struct vfio {
	struct tree *tree;           /* [I] and the next four, borrowed */
	struct mem *mem;
	struct iommu *iommu;
	struct log *log;
	struct event_loop *loop;
	vfio_refused_fn refused;     /* [I] NULL: nobody watches */
	void *refused_ctx;

	struct mutex lock;           /* RANK_VFIO */
	struct vfio_group_list groups; /* [l] those with devices */
	struct vfio_set_list sets;   /* [l] */
	struct ids minors;           /* [l] of group nodes */
	struct ids indexes;          /* [l] N of vfioN */

	/* Not a lock of the device itself, as whoever drops the last reference unlocks after the device may be gone. */
	struct mutex device_lock;    /* RANK_VFIO_DEVICE */
	struct cond device_released; /* [d] some device's references reached 0 */
	unsigned request_ms;         /* [I] between two requests to release; tests shorten it */

	/* module parameters */
	atomic_bool allow_unsafe_interrupts, disable_hugepages; /* [a] */
	atomic_uint dma_entry_limit; /* [a] */
	atomic_bool noiommu;         /* [a] */
	unsigned without;            /* [I] enum vfio_without */
	atomic_ulong tainted;        /* [a] /proc/sys/kernel/tainted */
	bool ram;                    /* [l] programs can have physical addresses: a device without IOMMU has come */
};

/** vfio_tell_refused - to who watches; no lock held. @holder: NULL: unknown */
void vfio_tell_refused(struct vfio *vfio, unsigned group_id, struct task *t, enum vfio_refusal what, int error,
		       const struct vfio_user *holder);

/* One requests table entry; each file type has a table of its own. */
#define VFIO_IOCTL_TABLE(name, object)                                        \
	struct name {                                                         \
		unsigned cmd;                                                 \
		long (*fn)(object *obj, struct task *t, uint64_t arg);        \
	}

/* Devices that reset together. */
struct vfio_set {
	struct mutex lock;          /* RANK_VFIO_DEVICE_SET: open, close and hot reset of its devices */
	const void *key;            /* [I] */
	unsigned users;             /* [vfio->lock] */
	LIST_ENTRY(vfio_set) link;  /* [vfio->lock] */
};

/* A registration, from vfio_register() to vfio_unregister(). */
struct vfio_device_priv {
	struct vfio *vfio;          /* [I] */
	struct vfio_device *v;      /* [I] */
	struct vfio_group *group;   /* [I] valid while registered */
	struct vfio_set *set;       /* [I] */
	unsigned index;             /* [I] N of vfioN */
	unsigned refs;              /* [vfio->device_lock] 1 for the registration, 1 for each device file */
	atomic_uint open_count;     /* changed under group lock and set lock, read under either */
	struct file *group_file;    /* [group lock] held while open by the group with a container */
	struct vfio_backend *backend; /* as open_count; the container's, borrowed, while it is open; NULL: iommufd */
	struct file *bound;         /* [group lock] the file of its own node that has access; not a reference; NULL: none */
	struct iommufd_ctx *ctx;    /* as open_count, and the next two: what it is bound to, borrowed; NULL: nothing */
	struct iommufd_device *idev;
	struct iommufd_access *access; /* of an emulated device, instead of idev */
	bool attached;              /* [set lock] access is attached */
	void *pasids;               /* [set lock] of idev, attached: tsearch of the numbers + 1 */
	TAILQ_ENTRY(vfio_device_priv) link; /* [group lock] */
	LIST_ENTRY(vfio_device_priv) backend_link; /* the backend's, while open */
};

/* One open of a device, behind its file. */
struct vfio_device_file {
	struct vfio_device_priv *p; /* [I] */
	bool cdev;                  /* [I] by the device's own node: no access before it is bound to an iommufd */
	atomic_bool access;         /* written once, under the set lock */
};

/* What a group is (spec 10, 3.2). */
enum vfio_group_type {
	VFIO_GROUP_IOMMU,    /* of the IOMMU: its DMA is claimed */
	VFIO_GROUP_EMULATED, /* a device that does no DMA; its iommu group is a number and a name */
	VFIO_GROUP_NOIOMMU,  /* a device that no IOMMU restrains; likewise */
};

/*
 * One IOMMU group as the user sees it: the node /dev/vfio/<id>.
 * [I] immutable after create   [g] lock
 */
struct vfio_group {
	struct vfio *vfio;          /* [I] */
	struct mutex lock;          /* RANK_VFIO_GROUP */
	struct ref ref;             /* devices, the open file, opens under way */
	unsigned id;                /* [I] of the iommu group */
	unsigned minor;             /* [I] */
	enum vfio_group_type type;  /* [I] */
	char node[24];              /* [I] "7", "noiommu-7" */
	struct iommu_group *iommu;  /* [g] NULL: dead */
	struct file *open_file;     /* [g] one opener at a time; not a reference: the file's release clears it */
	struct vfio_container *container; /* [g] with a reference; NULL: none set */
	unsigned container_users;   /* [g] 1 for the group, 1 for each open device; 0: no container */
	struct iommufd_ctx *iommufd;/* [g] set as container, with a reference; NULL: none */
	unsigned cdev_users;        /* [g] devices that are bound by their own nodes */
	bool admitted;              /* [g] [container->lock] claimed and in the backend, see container.c */
	TAILQ_HEAD(, vfio_device_priv) devices; /* [g] newest first; those that can be found by name */
	unsigned ndevices;          /* [vfio->lock] registrations, those that wait to go included */
	TAILQ_ENTRY(vfio_group) link;           /* [vfio->lock] */
	TAILQ_ENTRY(vfio_group) container_link; /* [container->lock] */
};

/*
 * What a container gets its address space from: type1, or none (noiommu.c). SET_IOMMU makes an instance.
 */
struct vfio_backend;
struct vfio_backend_ops {
	const char *name;
	enum vfio_without option; /* the kernel has it unless this says otherwise */
	bool noiommu;             /* for No-IOMMU groups, and for no others */
	/* CHECK_EXTENSION; @b NULL: before SET_IOMMU */
	int (*check_extension)(struct vfio *vfio, struct vfio_backend *b, uint64_t extension);
	/* SET_IOMMU by @t, of a type that check_extension() says 1 to. One reference. */
	int (*create)(struct vfio *vfio, struct task *t, uint64_t type, struct vfio_backend **out);
	void (*destroy)(struct vfio_backend *b); /* after the last put; every group is detached */
	int (*attach)(struct vfio_backend *b, struct vfio_group *g);
	void (*detach)(struct vfio_backend *b, struct vfio_group *g);
	/* The container's other requests. -ENOTTY: not one of them. Context: no lock held */
	long (*ioctl)(struct vfio_backend *b, struct task *t, unsigned cmd, uint64_t arg);
	/* Below: NULL when there are no pages to pin. A device of the container opens first, closes last. */
	void (*device_open)(struct vfio_backend *b, struct vfio_device_priv *p);
	void (*device_close)(struct vfio_backend *b, struct vfio_device_priv *p);
	/* As vfio_pin_pages() and its like, checked so far as they need no backend */
	int (*pin)(struct vfio_backend *b, struct vfio_group *g, iova_t iova, int npages, unsigned prot, phys_t *phys);
	void (*unpin)(struct vfio_backend *b, iova_t iova, int npages);
	int (*dma_rw)(struct vfio_backend *b, struct task *t, iova_t iova, void *data, size_t n, bool write);
};

/* An instance; the backend's own begins with it. */
struct vfio_backend {
	const struct vfio_backend_ops *ops;
	struct ref ref; /* the container, requests under way */
};

extern const struct vfio_backend_ops vfio_type1_ops, vfio_noiommu_ops;

static inline void vfio_backend_put(struct vfio_backend *b)
{
	if (b && ref_put(&b->ref))
		b->ops->destroy(b);
}

/*
 * What /dev/vfio/vfio opens: a set of groups that share one address space.
 * [I] immutable after create   [c] lock
 */
struct vfio_container {
	struct vfio *vfio;             /* [I] */
	struct mutex lock;             /* RANK_VFIO_CONTAINER */
	struct ref ref;                /* the file, each group */
	struct vfio_group_list groups; /* [c] newest first */
	bool noiommu;                  /* [c] what kind of groups it has, if any */
	struct vfio_backend *backend;  /* [c] with a reference; NULL: not chosen yet */
};

/* ---- group.c ---- */

/**
 * vfio_group_join - find or make the group of a device, and count the device in
 * Context: vfio->lock held. Return: 0; -EINVAL the device has no IOMMU group and No-IOMMU is off; -ENOMEM
 */
int vfio_group_join(struct vfio *vfio, struct vfio_device *v, struct vfio_group **out) REQUIRES(&vfio->lock);
/** vfio_group_leave - count a device out; without devices the group dies. Context: vfio->lock held */
void vfio_group_leave(struct vfio_group *g, struct vfio_device *v);
void vfio_group_put(struct vfio_group *g);
/** vfio_group_user_locked - who has the group's node or a device's own open, if anybody; false: nobody */
bool vfio_group_user_locked(struct vfio_group *g, struct vfio_user *out) REQUIRES(&g->lock);

/* ---- device.c ---- */

/**
 * vfio_device_open - GET_DEVICE_FD once the device is found: first-open work and a file
 * Context: p->group->lock held. Return: 0; errnos of spec 10, 3.11
 */
int vfio_device_open(struct vfio_device_priv *p, struct task *t, struct file **out);
/** vfio_device_file_create - a file of @p, whose reference it takes; on failure it is the caller's still. -ENOMEM */
int vfio_device_file_create(struct vfio_device_priv *p, struct task *t, int oflags, bool cdev, struct file **out);
/**
 * vfio_device_bind - first open by a file of the device's own node. Group lock and set lock held
 * Return: 0 and the id in the context; errnos of spec 10, 3.13 from 9 on
 */
int vfio_device_bind(struct vfio_device_priv *p, struct iommufd_ctx *ctx, uint32_t *id);
/** vfio_device_unbind - last close of such a file. Group lock and set lock held */
void vfio_device_unbind(struct vfio_device_priv *p);
void vfio_device_get(struct vfio_device_priv *p);
/** vfio_device_find - by the text of GET_DEVICE_FD, with a reference. Group lock held. -ENODEV; what a matcher said */
int vfio_device_find(struct vfio_group *g, const char *text, struct vfio_device_priv **out);
void vfio_device_put(struct vfio_device_priv *p);

/* ---- container.c ---- */

int vfio_container_open(void *priv, struct task *t, int oflags, struct file **out);
/** vfio_container_of - the container behind a file, NULL: another kind of file */
struct vfio_container *vfio_container_of(struct file *f);
/** vfio_container_attach - SET_CONTAINER: claim the group and add it. Group lock held. Errnos of spec 10, 3.8 */
int vfio_container_attach(struct vfio_container *c, struct vfio_group *g, struct task *t);
/** vfio_container_detach - take the group out of its container, release the claim. Group lock held */
void vfio_container_detach(struct vfio_group *g);
/**
 * vfio_container_use - may devices of @g be opened? Group lock held.
 * @out: the backend; it stays as long as the group does, so as long as a device is open
 * Return: 0; -EINVAL no backend, or (kernels without ownership) the group is not viable; -EPERM
 */
int vfio_container_use(struct vfio_group *g, struct task *t, struct vfio_backend **out);

/* ---- cdev.c: the device's own node ---- */

/** vfio_cdev_init - /dev/vfio/devices/@name, and "dev" in @dir of sysfs; nothing where the kernel has no such nodes */
int vfio_cdev_init(struct vfio_device_priv *p, const char *name, const char *dir);
/** vfio_cdev_fini - waits for opens under way */
void vfio_cdev_fini(struct vfio_device_priv *p, const char *name);
/** vfio_cdev_ioctl - the requests of such files alone. False: not one of them */
bool vfio_cdev_ioctl(struct vfio_device_file *df, struct file *f, struct task *t, unsigned cmd, uint64_t arg, long *rc);
/** vfio_cdev_release - such a file goes */
void vfio_cdev_release(struct vfio_device_file *df);

/* ---- iommufd.c: devices and iommufd. Set lock held ---- */

/** vfio_iommufd_bind - to @ctx, which stays until unbind. 0; errnos of iommufd_device_bind() */
int vfio_iommufd_bind(struct vfio_device_priv *p, struct iommufd_ctx *ctx, uint32_t *id);
void vfio_iommufd_unbind(struct vfio_device_priv *p); /* detaches too; not bound: nothing */
/** vfio_iommufd_attach - @pt_id: becomes the HWPT's; an emulated device's stays */
int vfio_iommufd_attach(struct vfio_device_priv *p, uint32_t *pt_id);
void vfio_iommufd_detach(struct vfio_device_priv *p);
/** vfio_iommufd_attach_pasid - likewise, one of its PASIDs. -EOPNOTSUPP an emulated device; -ENOSPC no PASID is so large */
int vfio_iommufd_attach_pasid(struct vfio_device_priv *p, uint32_t pasid, uint32_t *pt_id);
void vfio_iommufd_detach_pasid(struct vfio_device_priv *p, uint32_t pasid);
/** vfio_iommufd_use - first open by a group whose container is an iommufd: bind, but not a No-IOMMU device. */
int vfio_iommufd_use(struct vfio_device_priv *p, struct task *t);

/* ---- fake.c: groups that no IOMMU made ---- */

/** vfio_fake_group_create - an iommu group of @v's own, in sysfs. -ENOMEM */
int vfio_fake_group_create(struct vfio *vfio, struct vfio_device *v, struct iommu_group **out);
/** vfio_fake_group_destroy - out of sysfs; drops the caller's reference */
void vfio_fake_group_destroy(struct vfio *vfio, struct vfio_device *v, struct iommu_group *ig);

/* ---- noiommu.c ---- */

/** vfio_noiommu_allowed - has @t what each step of No-IOMMU needs? 0; -EPERM. Other groups: always 0 */
int vfio_noiommu_allowed(const struct vfio_group *g, struct task *t);
/** vfio_noiommu_taint - a group without IOMMU comes to be: the kernel is not what it was */
void vfio_noiommu_taint(struct vfio *vfio, const char *device);
/** vfio_noiommu_warn - @t has opened a device of @g; other groups: nothing happens */
void vfio_noiommu_warn(const struct vfio_group *g, const char *device, struct task *t);
/** vfio_noiommu_init - /proc/sys/kernel/tainted. 0; -ENOMEM. vfio_noiommu_fini - accepts what was never made */
int vfio_noiommu_init(struct vfio *vfio);
void vfio_noiommu_fini(struct vfio *vfio);

/* ---- pagemap.c ---- */

/** vfio_pagemap_init - /proc/self/pagemap is the machine's. 0; -ENOMEM. fini accepts what was never made */
int vfio_pagemap_init(struct vfio *vfio);
void vfio_pagemap_fini(struct vfio *vfio);

#endif
