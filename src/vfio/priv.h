/* SPDX-License-Identifier: MIT */
/*
 * What the files of vfio/ share: the four objects and how they hold each other.
 *
 *	group file --> group --> iommu group        device file --> device (a registration)
 *	     ^           |                                              |
 *	     |           +--> container --> type1 instance              +--> set
 *	     +---- device, while it is open
 *
 * A group object lives while a device is registered in it or its file is open; without devices it is dead:
 * it has lost its iommu group, its node and its container. A container lives while its file is open or a
 * group is in it, its type1 instance until the last group leaves. An open device holds the group's file, so
 * a program may close its files in any order (spec 10, 3.16).
 *
 * No lock is held over a copy from or to a caller's memory: a hostile caller can make that last for ever.
 *
 * Lock order: vfio->lock, group->lock, container->lock, set->lock, type1, vfio->device_lock. Nodes are
 * removed under vfio->lock alone, as removal waits for opens under way, which take group->lock.
 */
#ifndef UVFIO_VFIO_PRIV_H
#define UVFIO_VFIO_PRIV_H

#include "base/ids.h"
#include "base/lock.h"
#include "vfio/vfio.h"
#include <sys/queue.h>

#define VFIO_GROUP_MAJOR     511u /* dynamic on Linux: any number programs have no use for */
#define VFIO_CONTAINER_MAJOR 10u
#define VFIO_CONTAINER_MINOR 196u
#define VFIO_REQUEST_MS      10000u

struct vfio_container;
struct vfio_type1;

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
};

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
	struct file *group_file;    /* [group lock] held while open_count > 0 */
	TAILQ_ENTRY(vfio_device_priv) link; /* [group lock] */
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
	struct iommu_group *iommu;  /* [g] NULL: dead */
	struct file *open_file;     /* [g] one opener at a time; not a reference: the file's release clears it */
	struct vfio_container *container; /* [g] with a reference; NULL: none set */
	unsigned container_users;   /* [g] 1 for the group, 1 for each open device; 0: no container */
	TAILQ_HEAD(, vfio_device_priv) devices; /* [g] newest first; those that can be found by name */
	unsigned ndevices;          /* [vfio->lock] registrations, those that wait to go included */
	TAILQ_ENTRY(vfio_group) link;           /* [vfio->lock] */
	TAILQ_ENTRY(vfio_group) container_link; /* [container->lock] */
};

/*
 * What /dev/vfio/vfio opens: a set of groups that share one address space.
 * [I] immutable after create   [c] lock
 */
struct vfio_container {
	struct vfio *vfio;             /* [I] */
	struct mutex lock;             /* RANK_VFIO_CONTAINER */
	struct ref ref;                /* the file, each group */
	struct vfio_group_list groups; /* [c] newest first */
	struct vfio_type1 *type1;      /* [c] the backend, with a reference; NULL: not chosen yet */
};

/* ---- group.c ---- */

/**
 * vfio_group_join - find or make the group of a device, and count the device in
 * Context: vfio->lock held. Return: 0; -EINVAL the device has no IOMMU group; -ENOMEM
 */
int vfio_group_join(struct vfio *vfio, struct iommu_group *ig, struct vfio_group **out) REQUIRES(&vfio->lock);
/** vfio_group_leave - count a device out; without devices the group dies. Context: vfio->lock held */
void vfio_group_leave(struct vfio_group *g);
void vfio_group_put(struct vfio_group *g);

/* ---- device.c ---- */

/**
 * vfio_device_open - GET_DEVICE_FD once the device is found: first-open work and a file
 * Context: p->group->lock held. Return: 0; errnos of spec 10, 3.11
 */
int vfio_device_open(struct vfio_device_priv *p, struct task *t, struct file **out);
/** vfio_device_find - by the text of GET_DEVICE_FD, with a reference. Group lock held. -ENODEV; what a matcher said */
int vfio_device_find(struct vfio_group *g, const char *text, struct vfio_device_priv **out);
void vfio_device_put(struct vfio_device_priv *p);

/* ---- container.c ---- */

int vfio_container_open(void *priv, struct task *t, int oflags, struct file **out);
/** vfio_container_of - the container behind a file, NULL: another kind of file */
struct vfio_container *vfio_container_of(struct file *f);
/** vfio_container_attach - SET_CONTAINER: claim the group and add it. Group lock held. Errnos of spec 10, 3.8 */
int vfio_container_attach(struct vfio_container *c, struct vfio_group *g);
/** vfio_container_detach - take the group out of its container, release the claim. Group lock held */
void vfio_container_detach(struct vfio_group *g);
/** vfio_container_ready - has the container of @g a backend? */
bool vfio_container_ready(struct vfio_container *c);

#endif
