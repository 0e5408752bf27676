/* SPDX-License-Identifier: MIT */
/*
 * VFIO as programs see it: containers, groups, device files; and as drivers see it: struct vfio_device.
 * A driver (vfio/pci) registers a device; the rest (nodes, group, container, open counts, request to
 * release) is here. Spec: 10, sections 3 and 4.
 */
#ifndef UVFIO_VFIO_VFIO_H
#define UVFIO_VFIO_VFIO_H

#include "base/event.h"
#include "core/core.h"
#include "file/tree.h"
#include "iommu/iommu.h"
#include "mem/mem.h"

struct vfio;        /* per machine */
struct vfio_group;
struct vfio_device;

/* What a simulated kernel lacks: it is older than the one that spec 10 describes, or was built without. */
enum vfio_without {
	VFIO_WITHOUT_TYPE1 = BIT(0),        /* CONFIG_VFIO_IOMMU_TYPE1 */
	VFIO_WITHOUT_NOIOMMU = BIT(1),      /* CONFIG_VFIO_NOIOMMU */
	VFIO_WITHOUT_DIRTY = BIT(2),        /* DIRTY_PAGES, its flag of UNMAP_DMA, the migration capability (5.8) */
	VFIO_WITHOUT_DMA_AVAIL = BIT(3),    /* the dma_avail capability (5.10) */
	VFIO_WITHOUT_UNMAP_ALL = BIT(4),    /* (5.12) */
	VFIO_WITHOUT_UPDATE_VADDR = BIT(5), /* (5.12) */
	VFIO_WITHOUT_DMA_OWNER = BIT(6),    /* who owns a group's DMA is looked at late: spec 10, 2.8 (5.19) */
	VFIO_WITHOUT_IOMMUFD = BIT(7),      /* CONFIG_IOMMUFD (6.2) */
	VFIO_WITHOUT_CDEV = BIT(8),         /* CONFIG_VFIO_DEVICE_CDEV (6.6) */
	VFIO_WITHOUT_DEBUGFS = BIT(9),      /* CONFIG_VFIO_DEBUGFS (6.8) */
	VFIO_WITHOUT_DYNAMIC_MSIX = BIT(10), /* MSI-X vectors beyond those asked for at first (6.5) */
};

/* Kernel parameters, from the machine file. Changed at run time through /sys/module. */
struct vfio_params {
	bool type1_allow_unsafe_interrupts;
	bool type1_disable_hugepages;
	unsigned type1_dma_entry_limit; /* 65535 */
	bool enable_unsafe_noiommu_mode;
	unsigned without; /* enum vfio_without */
};

int vfio_create(struct tree *tree, struct mem *mem, struct iommu *iommu, struct log *log, struct event_loop *loop,
		const struct vfio_params *params, struct vfio **out);
void vfio_destroy(struct vfio *vfio);
struct event_loop *vfio_loop(struct vfio *vfio);
bool vfio_has(const struct vfio *vfio, enum vfio_without what);

struct attr;

struct vfio_device_ops {
	const char *name;
	/* Attributes in debugfs, in a directory of that name below the device's; their priv is the device. NULL: none */
	const char *debug_dir;
	const struct attr *debug;
	/* First open and last close. Called under the device-set lock. open: -EAGAIN and others fail the GET_DEVICE_FD */
	int (*open)(struct vfio_device *v);
	void (*close)(struct vfio_device *v);
	/* Does @text of GET_DEVICE_FD name this device? 1: yes, 0: no, -errno: stop (spec 10, 3.10). @t: the caller */
	int (*match)(struct vfio_device *v, const char *text);
	/* Does @uuid (16 bytes; NULL: none was given) open it? 0; -errno. NULL: a driver without tokens (spec 10, 3.10) */
	int (*token)(struct vfio_device *v, const uint8_t *uuid);
	/* As file_ops, once access is granted */
	long (*ioctl)(struct vfio_device *v, struct task *t, unsigned cmd, uint64_t arg);
	ssize_t (*read)(struct vfio_device *v, struct task *t, uva_t buf, size_t count, uint64_t pos);
	ssize_t (*write)(struct vfio_device *v, struct task *t, uva_t buf, size_t count, uint64_t pos);
	int (*mmap)(struct vfio_device *v, struct task *t, const struct file_mmap *m);
	void (*page)(struct vfio_device *v, uint64_t offset, struct file_page *out);
	int (*mmio)(struct vfio_device *v, struct task *t, uint64_t offset, void *data, unsigned width, bool write);
	struct mirror_page *(*mirror)(struct vfio_device *v, uint64_t offset);
	int (*dma_target)(struct vfio_device *v, uint64_t offset, phys_t *phys, uint64_t *length);
	/* VFIO_DEVICE_FEATURE, header already checked (spec 10, 3.15): -ENOTTY unknown */
	long (*feature)(struct vfio_device *v, struct task *t, uint32_t flags, uva_t data, size_t size);
	/* Please release: the count of calls so far (spec 10, 3.4) */
	void (*request)(struct vfio_device *v, unsigned count);
	/*
	 * Who pins pages must have this: [@iova, +@length) is about to be unmapped, unpin all of it before returning
	 * (and pin nothing of it again). Context: no lock of the backend held; not from inside a call on the device.
	 */
	void (*dma_unmap)(struct vfio_device *v, iova_t iova, uint64_t length);
};

/* Embedded in the driver's own. Storage lives until vfio_unregister() returned. */
struct vfio_device {
	const struct vfio_device_ops *ops;
	struct dev *dev; /* name, sysfs: a directory that is there; an emulated device needs no more of it */
	struct iommu_dev *iommu; /* NULL: emulated, software that does no DMA but by the functions below */
	/* Devices with the same set key reset together; the set's lock is held over open, close, hot reset (spec 10, 3.3) */
	const void *set_key;
	/* vfio/'s own */
	struct vfio_device_priv *priv;
};

/**
 * vfio_register - a driver's probe succeeded up to here: make nodes, join the group (spec 10, 3.3)
 * Return: 0; -EINVAL no IOMMU group and No-IOMMU is off, not coherent, or twice; -ENOMEM
 */
int vfio_register(struct vfio *vfio, struct vfio_device *v);
/** vfio_unregister - blocks until every file of the device is closed, asking users (spec 10, 3.4) */
void vfio_unregister(struct vfio_device *v);
/** vfio_device_index - N of vfioN */
unsigned vfio_device_index(const struct vfio_device *v);
/** vfio_set_lock - the device set's lock; for the driver's hot reset */
struct mutex *vfio_set_lock(struct vfio_device *v);
bool vfio_device_is_open(struct vfio_device *v);
/**
 * vfio_group_of_file - the iommu group behind a group file, for hot reset's proof
 * @out: to be compared with, not used: no reference is taken
 * Context: takes the group's lock, so not under the set lock. Return: 0; -EINVAL another file, a dead group
 */
int vfio_group_of_file(struct file *f, struct iommu_group **out);

/** vfio_device_is_cdev - is it open by its own node, bound to an iommufd? Context: the set lock */
bool vfio_device_is_cdev(struct vfio_device *v);
/**
 * vfio_device_owned_id - what the iommufd that @v is bound to calls another device
 * Context: the set lock. Return: > 0 its id; 0 its group is owned, it is not bound itself; -1 not owned
 */
int vfio_device_owned_id(struct vfio_device *v, struct iommu_dev *d);

/**
 * vfio_feature_check - what every device feature checks first (spec 10, 3.15)
 * @flags, @size: as passed to vfio_device_ops.feature; @supported: VFIO_DEVICE_FEATURE_GET and/or _SET
 * @payload: bytes the operation needs
 * Return: 1 go on; 0 it was a probe, answered; -EINVAL
 */
int vfio_feature_check(uint32_t flags, size_t size, uint32_t supported, size_t payload);

/*
 * Memory of the program, for devices without DMA of their own (spec 10, 4.5), while they are open. The addresses
 * are those of MAP_DMA. Context: no lock held of rank RANK_TYPE1 or above.
 */
#define VFIO_PIN_PAGES_MAX 512 /* in one call */
/**
 * vfio_pin_pages - keep pages, and say where they are
 * @prot: MEM_READ and/or MEM_WRITE; @phys: receives @npages addresses for mem_read() and mem_write()
 * A page pinned n times is unpinned n times. Nothing stays pinned on failure.
 * Return: @npages; -EINVAL not open, no @npages, no dma_unmap, a page not mapped or no memory; -E2BIG; -ENOTTY the
 * container's backend has no pages; -EACCES type1 v1; -EOVERFLOW; -EBUSY; -EPERM; -ENODEV the program is gone;
 * -EFAULT; -ENOMEM
 */
int vfio_pin_pages(struct vfio_device *v, iova_t iova, int npages, unsigned prot, phys_t *phys);
/** vfio_unpin_pages - the inverse; pages that are not pinned are left alone */
void vfio_unpin_pages(struct vfio_device *v, iova_t iova, int npages);
/**
 * vfio_dma_rw - copy from (@write: to) the program's memory, without pinning
 * @t: on whose behalf; another program than that which mapped is refused. NULL: a thread of the device's own
 * Return: 0; -EINVAL not open, no @n, or a part is not mapped; -EPERM; -ENOTTY; -EBUSY; -EFAULT. Parts may have moved.
 */
int vfio_dma_rw(struct vfio_device *v, struct task *t, iova_t iova, void *data, size_t n, bool write);

/* A capability chain being built for an INFO request; starts zeroed. */
struct vfio_caps {
	void *data;  /* the chain; next counts from its start until it is copied out */
	size_t size; /* bytes */
	size_t last; /* offset of the newest capability */
};
/** vfio_caps_add - append a zeroed capability of @size bytes, header included. Valid until the next; NULL: no memory */
void *vfio_caps_add(struct vfio_caps *caps, uint16_t id, uint16_t version, size_t size);
/**
 * vfio_caps_copy_out - the chain behind a structure of @fixed bytes at @arg: once, and before the structure
 * @argsz:      the structure's. With no room for the chain it becomes what there must be, and nothing is copied
 * @cap_offset: the structure's: where the chain begins; 0 without room; left as it is without capabilities
 * Return: 0; -EFAULT. Spec: 20, 0.3
 */
int vfio_caps_copy_out(struct vfio_caps *caps, struct task *t, uva_t arg, size_t fixed, uint32_t *argsz,
		       uint32_t *cap_offset);
void vfio_caps_fini(struct vfio_caps *caps);

/* For list and explain: who has what open. */
struct vfio_user {
	char node[64];   /* "/dev/vfio/1" */
	pid_t pid;
	char comm[16];
	int64_t since;   /* CLOCK_REALTIME ns */
	bool group_open, device_open;
};
/** vfio_unsafe_interrupts, vfio_noiommu_on - the parameters of /sys/module as they are now */
bool vfio_unsafe_interrupts(struct vfio *vfio);
bool vfio_noiommu_on(struct vfio *vfio);

enum vfio_refusal {
	VFIO_REFUSED_OPEN,  /* the group's node: somebody has it open */
	VFIO_REFUSED_CLAIM, /* SET_CONTAINER */
	VFIO_REFUSED_IOMMU, /* SET_IOMMU */
	VFIO_REFUSED_BIND,  /* BIND_IOMMUFD */
};
/*
 * Hears what programs were refused: @error is what they got, @holder who has the node open (else NULL). Called with no
 * lock of vfio's held, but maybe from inside an open that others wait for: it asks nothing of vfio.
 */
typedef void (*vfio_refused_fn)(void *ctx, unsigned group_id, struct task *t, enum vfio_refusal what, int error,
				const struct vfio_user *holder);
/** vfio_watch_refused - before there are groups; NULL: nobody */
void vfio_watch_refused(struct vfio *vfio, vfio_refused_fn fn, void *ctx);
/** vfio_user_of - the user of an iommu group, if its node is open; false: nobody */
bool vfio_user_of(struct vfio *vfio, unsigned group_id, struct vfio_user *out);

#endif
