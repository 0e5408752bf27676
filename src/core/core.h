/* SPDX-License-Identifier: MIT */
/*
 * The driver core: one bus, its devices and drivers, and how they meet. The bus's owner (pci/) fills in
 * bus_ops; drivers fill in drv_ops. Binding follows spec 10, 2.4, to the order of its steps: a driver
 * that does not declare driver_managed_dma takes a kernel-DMA use of the device's group before its probe
 * is called, and is refused when the group has a user.
 *
 * Locks: dev->lock ("device lock", RANK_DEVICE) is held over bind, unbind and reset of that device;
 * bus->lock guards the lists only and is never held over a callback.
 */
#ifndef UVFIO_CORE_CORE_H
#define UVFIO_CORE_CORE_H

#include "base/defs.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/ref.h"
#include "file/tree.h"
#include <sys/queue.h>

struct bus;
struct dev;
struct drv;

/* Negative results of probe; -ENODEV, -ENXIO: "not mine" */
struct drv_ops {
	/* Does a table of the driver match? @override: the device asks for this driver by name. (dynamic ids are the bus's) */
	bool (*match)(struct drv *drv, struct dev *dev, bool override);
	int (*probe)(struct drv *drv, struct dev *dev);
	/* May block until users let go (spec 10, 3.4). Cannot fail. */
	void (*remove)(struct drv *drv, struct dev *dev);
};

/* A host driver. Storage is the registrant's; lives until drv_unregister() returned. */
struct drv {
	const char *name;
	const struct drv_ops *ops;
	bool managed;   /* driver_managed_dma: binding does not count as kernel DMA */
	bool uses_dma;  /* what the audit and explain say of it (spec 10, 2.6) */
	bool maps_mmio;
	const char *what; /* a few words for people: "an NVMe-like host driver" */
	void *priv;
	/* core's own */
	TAILQ_ENTRY(drv) link;
	TAILQ_HEAD(, drv_dynid) dynids; /* [bus->lock] new_id */
	struct bus *bus;
};

struct bus_ops {
	/* Before a probe: spec 10, 2.4 step 3. 0; -EBUSY, -EPROBE_DEFER. Undone by dma_cleanup. */
	int (*dma_configure)(struct dev *dev, struct drv *drv);
	void (*dma_cleanup)(struct dev *dev, struct drv *drv);
	/* Around drv_ops: spec 10, 2.4 step 5 */
	int (*probe)(struct dev *dev, struct drv *drv);
	void (*remove)(struct dev *dev, struct drv *drv);
	/* The ids a new_id line is compared with */
	void (*ids)(struct dev *dev, uint32_t *vendor, uint32_t *device, uint32_t *subvendor, uint32_t *subdevice,
		    uint32_t *class_code);
	/* sysfs "remove" and "rescan" */
	int (*unplug)(struct dev *dev);
	int (*rescan)(struct bus *bus);
};

/* One device. Embedded in struct pci_dev. */
struct dev {
	char name[16];          /* "0000:01:00.0" */
	char sysfs[256];        /* [I] "/sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0" */
	struct bus *bus;
	struct ref ref;
	void (*free)(struct dev *dev); /* after the last dev_put() */
	struct mutex lock;      /* RANK_DEVICE */
	struct drv *driver;     /* [lock]; read with dev_driver() */
	void *driver_data;      /* [lock] the bound driver's own */
	char *override;         /* [bus->lock] driver_override, NULL: none */
	bool dead;              /* [lock] being removed; binds are -ENODEV */
	bool can_match;         /* [lock] early enumeration: matches nothing before it is set */
	TAILQ_ENTRY(dev) link;
};

/**
 * bus_create - a bus and its sysfs: /sys/bus/NAME/{devices,drivers,drivers_probe,drivers_autoprobe,rescan}
 */
int bus_create(const char *name, const struct bus_ops *ops, struct tree *tree, struct log *log, struct bus **out);
/** bus_destroy - every device and driver must be gone */
void bus_destroy(struct bus *bus);
struct tree *bus_tree(struct bus *bus);
struct log *bus_log(struct bus *bus);

/** dev_add - make a device visible: sysfs directory, /sys/bus/NAME/devices link, core attributes (driver_override, remove). @dev->name and sysfs are set, one reference held by the bus afterwards */
int dev_add(struct bus *bus, struct dev *dev);
/** dev_autoprobe - try the drivers, when the bus autoprobes (spec 10, 2.5 last paragraph) */
void dev_autoprobe(struct dev *dev);
/** dev_del - unbind and remove from sysfs and the bus; drops the bus's reference */
void dev_del(struct dev *dev);
static inline struct dev *dev_get(struct dev *dev)
{
	ref_get(&dev->ref);
	return dev;
}
void dev_put(struct dev *dev);
/** dev_find - by name; with a reference; NULL: none */
struct dev *dev_find(struct bus *bus, const char *name);
/** dev_driver - a snapshot of the bound driver, NULL: none */
struct drv *dev_driver(struct dev *dev);
/** dev_for_each - call @fn with a reference held, in the order devices were added; stops at its first non-zero result */
int dev_for_each(struct bus *bus, int (*fn)(struct dev *dev, void *ctx), void *ctx);
/** dev_override - set or clear (NULL) driver_override, as the sysfs file does. -ENOMEM; -EINVAL too long */
int dev_override(struct dev *dev, const char *name);

/** drv_register - add to the bus (sysfs: drivers/NAME/{bind,unbind,new_id,remove_id}), then try unbound devices */
int drv_register(struct bus *bus, struct drv *drv);
void drv_unregister(struct drv *drv);
struct drv *drv_find(struct bus *bus, const char *name);
/**
 * drv_bind, drv_unbind, dev_probe - what sysfs bind, unbind, drivers_probe do and return
 * Spec: BND-01..20
 */
int drv_bind(struct drv *drv, const char *devname);
int drv_unbind(struct drv *drv, const char *devname);
int dev_probe(struct bus *bus, const char *devname);

/* One line of new_id, and whether a device matches a dynamic id of the driver. */
struct drv_dynid;
int drv_new_id(struct drv *drv, const char *text);
int drv_remove_id(struct drv *drv, const char *text);

#endif
