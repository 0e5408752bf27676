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

#define DEV_EPROBE_DEFER 517 /* "not yet": tried again after the next successful bind */
#define DRV_ANY_ID       0xffffffffu

/* One entry of a driver's static table; an entry with vendor 0 ends it. */
struct drv_id {
	uint32_t vendor, device, subvendor, subdevice; /* DRV_ANY_ID: any */
	uint32_t class_code, class_mask;
	unsigned long driver_data;
	bool override_only; /* matches only devices whose driver_override names the driver (vfio-pci's single entry) */
};

struct drv_ops {
	/*
	 * For what drv->ids cannot say; NULL: drv->ids alone decides. Asked when neither driver_override, a dynamic id
	 * nor drv->ids has matched (a driver_override always matches). @override is always false here.
	 */
	bool (*match)(struct drv *drv, struct dev *dev, bool override);
	/* 0; -ENODEV, -ENXIO: "not mine"; -DEV_EPROBE_DEFER; others */
	int (*probe)(struct drv *drv, struct dev *dev);
	/* May block until users let go (spec 10, 3.4). Cannot fail. */
	void (*remove)(struct drv *drv, struct dev *dev);
	/* For the bus: have @n parts of the device as devices of their own. Under its lock. NULL: cannot. 0; -errno */
	int (*split)(struct drv *drv, struct dev *dev, unsigned n);
};

/* A host driver. Storage is the registrant's; lives until drv_unregister() returned. */
struct drv {
	const char *name;
	const struct drv_ops *ops;
	const struct drv_id *ids; /* static table; NULL: none (pci-stub) */
	bool managed;   /* driver_managed_dma: binding does not count as kernel DMA */
	bool uses_dma;  /* what the audit and explain say of it (spec 10, 2.6) */
	bool maps_mmio;
	const char *what; /* a few words for people: "an NVMe-like host driver" */
	void *priv;
	/* core's own */
	TAILQ_ENTRY(drv) link;
	TAILQ_HEAD(, drv_dynid) dynids; /* [bus->lock] new_id */
	struct bus *bus;
	unsigned users;           /* [bus->lock] probing loops that look at it */
	bool gone;                /* [bus->lock] being unregistered */
};

struct bus_ops {
	/* Before a probe: spec 10, 2.4 step 3. 0; -EBUSY, -EPROBE_DEFER. Undone by dma_cleanup. */
	int (*dma_configure)(struct dev *dev, struct drv *drv);
	void (*dma_cleanup)(struct dev *dev, struct drv *drv);
	/* Around drv_ops: spec 10, 2.4 step 5; they call drv->ops. NULL: drv->ops directly. Called after a second match. */
	int (*probe)(struct dev *dev, struct drv *drv);
	void (*remove)(struct dev *dev, struct drv *drv);
	/* The ids a new_id line is compared with */
	void (*ids)(struct dev *dev, uint32_t *vendor, uint32_t *device, uint32_t *subvendor, uint32_t *subdevice,
		    uint32_t *class_code);
	/* sysfs "remove" and "rescan" (of the bus, or of a device); @dev is held meanwhile. NULL: nothing happens. */
	int (*unplug)(struct dev *dev);
	int (*rescan)(struct bus *bus, struct dev *dev); /* @dev NULL: the whole bus */
};

/* One device. Embedded in struct pci_dev. @driver is set before probe is called and cleared after remove returned. */
struct dev {
	char name[16];          /* "0000:01:00.0" */
	char sysfs[256];        /* [I] "/sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0" */
	struct bus *bus;
	bool within;            /* [I] it goes under the lock of the device that it is a part of */
	struct ref ref;
	void (*free)(struct dev *dev); /* after the last dev_put() */
	struct mutex lock;      /* RANK_DEVICE; RANK_DEVICE_WITHIN */
	struct drv *driver;     /* [lock]; read with dev_driver() */
	void *driver_data;      /* [lock] the bound driver's own */
	char *override;         /* [bus->lock] driver_override, NULL: none */
	bool dead;              /* [lock] being removed; binds are -ENODEV */
	bool can_match;         /* [bus->lock] early enumeration: matches nothing before dev_autoprobe() sets it */
	TAILQ_ENTRY(dev) link;
	/* core's own */
	bool listed;            /* [bus->lock] between dev_add() and dev_del() */
	bool deferred;          /* [bus->lock] on the list of those to be probed again */
	TAILQ_ENTRY(dev) deferred_link;
};

/**
 * bus_create - a bus and its sysfs: /sys/bus/NAME/{devices,drivers,drivers_probe,drivers_autoprobe,rescan}
 */
int bus_create(const char *name, const struct bus_ops *ops, struct tree *tree, struct log *log, struct bus **out);
/** bus_destroy - every device and driver must be gone */
void bus_destroy(struct bus *bus);
struct tree *bus_tree(struct bus *bus);
/** bus_set_owner, bus_owner - for the owner of bus_ops, which are called with the bus alone; set before devices come */
void bus_set_owner(struct bus *bus, void *owner);
void *bus_owner(struct bus *bus);
struct log *bus_log(struct bus *bus);
/*
 * Hears of each bind that was refused: @error is dma_configure's (then @probed is false) or the probe's, but not its
 * "not mine" (-ENODEV, -ENXIO) or "not yet". Called with no lock of core's held; @dev and @drv stay until it returns.
 */
typedef void (*bus_refused_fn)(void *ctx, struct dev *dev, struct drv *drv, int error, bool probed);
/** bus_watch_refused - before devices come; NULL: nobody */
void bus_watch_refused(struct bus *bus, bus_refused_fn fn, void *ctx);

/**
 * dev_add - make a device visible
 * @dev: name, sysfs, within and free are set, the rest of it is zero; lock and ref are initialised here, and the one
 *       reference is the bus's. Directories above sysfs are made when missing.
 * Makes the directory, its link in /sys/bus/NAME/devices, "subsystem", and the core attributes (driver_override,
 * remove, rescan). Nothing is probed. Return: 0; -EEXIST; -ENOMEM; on failure @dev is the caller's as before
 */
int dev_add(struct bus *bus, struct dev *dev);
/** dev_autoprobe - let it match from now on; try the drivers, when the bus autoprobes (spec 10, 2.5 last paragraph) */
void dev_autoprobe(struct dev *dev);
/**
 * dev_del - unbind (may block) and remove from sysfs and the bus; drops the bus's reference
 * The sysfs directory goes with all that other layers have put there. The second of two calls does nothing.
 * Context: no lock held; from an attribute function of the device only after tree_call_detach() (core's "remove" does)
 */
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
/** dev_for_each - call @fn with a reference held, in the order of dev_add(); stops at its first non-zero result */
int dev_for_each(struct bus *bus, int (*fn)(struct dev *dev, void *ctx), void *ctx);
/** dev_override_name - the driver_override, cut to @size; false: none is set */
bool dev_override_name(struct dev *dev, char *buf, size_t size);
/** dev_overridden - is a driver_override set? */
bool dev_overridden(struct dev *dev);
/** dev_override - set or clear (NULL) driver_override, as the sysfs file does. -ENOMEM; -EINVAL too long */
int dev_override(struct dev *dev, const char *name);

/**
 * drv_register - sysfs (drivers/NAME/{bind,unbind,new_id,remove_id}), then try unbound devices if the bus autoprobes
 * Return: 0; -EBUSY the name is taken; -ENOMEM
 */
int drv_register(struct bus *bus, struct drv *drv);
/** drv_unregister - remove from sysfs, unbind its devices (may block); nobody uses @drv afterwards */
void drv_unregister(struct drv *drv);
/** drv_find - by name, borrowed: for those who know that it stays registered; NULL: none */
struct drv *drv_find(struct bus *bus, const char *name);
/** drv_matches - would a probing loop try this pair? (spec 10, 2.5 "Matching rules") */
bool drv_matches(struct drv *drv, struct dev *dev);
/**
 * drv_bind, drv_unbind, dev_probe - what sysfs bind, unbind, drivers_probe do and return
 * Spec: BND-01..20
 */
int drv_bind(struct drv *drv, const char *devname);
int drv_unbind(struct drv *drv, const char *devname);
int dev_probe(struct bus *bus, const char *devname);

/**
 * drv_new_id, drv_remove_id - what a write of the text to new_id and remove_id does (spec 10, 2.5)
 * Return: 0; -EINVAL; -EEXIST; -ENOMEM; remove_id -ENODEV
 */
struct drv_dynid;
int drv_new_id(struct drv *drv, const char *text);
int drv_remove_id(struct drv *drv, const char *text);

#endif
