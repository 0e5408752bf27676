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

/* Kernel parameters, from the machine file. Changed at run time through /sys/module. */
struct vfio_params {
	bool type1_allow_unsafe_interrupts;
	bool type1_disable_hugepages;
	unsigned type1_dma_entry_limit; /* 65535 */
	bool enable_unsafe_noiommu_mode;
};

int vfio_create(struct tree *tree, struct mem *mem, struct iommu *iommu, struct log *log, struct event_loop *loop,
		const struct vfio_params *params, struct vfio **out);
void vfio_destroy(struct vfio *vfio);
struct event_loop *vfio_loop(struct vfio *vfio);

struct vfio_device_ops {
	const char *name;
	/* First open and last close. Called under the device-set lock. open: -EAGAIN and others fail the GET_DEVICE_FD */
	int (*open)(struct vfio_device *v);
	void (*close)(struct vfio_device *v);
	/* Does @text of GET_DEVICE_FD name this device? 1: yes, 0: no, -errno: stop (spec 10, 3.10). @t: the caller */
	int (*match)(struct vfio_device *v, const char *text);
	/* As file_ops, once access is granted */
	long (*ioctl)(struct vfio_device *v, struct task *t, unsigned cmd, uint64_t arg);
	ssize_t (*read)(struct vfio_device *v, struct task *t, uva_t buf, size_t count, uint64_t pos);
	ssize_t (*write)(struct vfio_device *v, struct task *t, uva_t buf, size_t count, uint64_t pos);
	int (*mmap)(struct vfio_device *v, struct task *t, const struct file_mmap *m);
	void (*page)(struct vfio_device *v, uint64_t offset, struct file_page *out);
	int (*mmio)(struct vfio_device *v, uint64_t offset, void *data, unsigned width, bool write);
	int (*dma_target)(struct vfio_device *v, uint64_t offset, phys_t *phys, uint64_t *length);
	/* VFIO_DEVICE_FEATURE, header already checked (spec 10, 3.15): -ENOTTY unknown */
	long (*feature)(struct vfio_device *v, struct task *t, uint32_t flags, uva_t data, size_t size);
	/* Please release: the count of calls so far (spec 10, 3.4) */
	void (*request)(struct vfio_device *v, unsigned count);
};

/* Embedded in the driver's own. Storage lives until vfio_unregister() returned. */
struct vfio_device {
	const struct vfio_device_ops *ops;
	struct dev *dev;
	struct iommu_dev *iommu;
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

/**
 * vfio_feature_check - what every device feature checks first (spec 10, 3.15)
 * @flags, @size: as passed to vfio_device_ops.feature; @supported: VFIO_DEVICE_FEATURE_GET and/or _SET
 * @payload: bytes the operation needs
 * Return: 1 go on; 0 it was a probe, answered; -EINVAL
 */
int vfio_feature_check(uint32_t flags, size_t size, uint32_t supported, size_t payload);

/* A capability chain being built for an INFO request; starts zeroed. */
struct vfio_caps {
	void *data;  /* the chain; next counts from its start until vfio_caps_shift() */
	size_t size; /* bytes */
	size_t last; /* offset of the newest capability */
};
/** vfio_caps_add - append a zeroed capability of @size bytes, header included. Valid until the next; NULL: no memory */
void *vfio_caps_add(struct vfio_caps *caps, uint16_t id, uint16_t version, size_t size);
/** vfio_caps_shift - make the links count from @offset bytes before the chain: once, before it is copied out */
void vfio_caps_shift(struct vfio_caps *caps, size_t offset);
void vfio_caps_fini(struct vfio_caps *caps);

/* For list and explain: who has what open. */
struct vfio_user {
	char node[64];   /* "/dev/vfio/1" */
	pid_t pid;
	char comm[16];
	int64_t since;   /* CLOCK_REALTIME ns */
	bool group_open, device_open;
};
/** vfio_user_of - the user of an iommu group, if its node is open; false: nobody */
bool vfio_user_of(struct vfio *vfio, unsigned group_id, struct vfio_user *out);

#endif
