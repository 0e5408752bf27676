/* SPDX-License-Identifier: MIT */
/* What the files of core/ share. */
#ifndef UVFIO_CORE_PRIV_H
#define UVFIO_CORE_PRIV_H

#include "core/core.h"

struct bus {
	char name[16];             /* [I] */
	char sysfs[40];            /* [I] "/sys/bus/pci" */
	const struct bus_ops *ops; /* [I] */
	struct tree *tree;         /* [I] */
	void *owner;               /* [I] the owner's own */
	struct log *log;           /* [I] */
	bus_refused_fn refused;    /* [I] and its context; NULL: nobody wants to know */
	void *refused_ctx;
	struct mutex lock;         /* RANK_BUS; everything below */
	struct cond unused;        /* some drv->users has become 0 */
	TAILQ_HEAD(, dev) devs;
	TAILQ_HEAD(, drv) drvs;    /* in registration order */
	TAILQ_HEAD(, dev) deferred;
	unsigned ndevs;
	void *by_name;             /* tsearch of struct dev by name */
	bool autoprobe;
	uint64_t bound;            /* successful binds so far: whoever defers sees whether to be retried */
};

struct drv_dynid {
	struct drv_id id;
	TAILQ_ENTRY(drv_dynid) link;
};

/** text_number - a number as sysfs takes it: decimal, 0x or 0, one newline at its end. 0; -EINVAL; -ERANGE */
int text_number(const char *text, unsigned long *out);

/**
 * dev_next - the device after @dev (NULL: the first) with a reference; drops that of @dev
 * Starts anew when @dev has left the bus meanwhile, so a device may come twice. NULL: the end
 */
struct dev *dev_next(struct bus *bus, struct dev *dev);

/** drv_get - keep @drv from being unregistered; false: it is going */
bool drv_get(struct drv *drv);
void drv_put(struct drv *drv);
/** drv_id_match - does the table entry @id match the ids @dev? */
bool drv_id_match(const struct drv_id *id, const struct drv_id *dev);

/* Whom an attempt was refused to, to be told of when no lock is held any more: bind_tell(). */
struct bind_refusal {
	struct drv *drv; /* with a use; NULL: no refusal */
	int error;
	bool probed;
};
/**
 * bind_attempt - spec 10, 2.4: one pair
 * @why: of the last refusal, if it is worth telling; starts zeroed
 * Return: 0; negative: an error of steps 1 to 4; positive: the (positive) errno of a refused probe
 * Context: dev->lock held
 */
int bind_attempt(struct drv *drv, struct dev *dev, struct bind_refusal *why) REQUIRES(&dev->lock);
void bind_release(struct dev *dev) REQUIRES(&dev->lock);
/** bind_dev - every driver that matches, in order. 1: bound (or was); 0: nobody took it; -errno of steps 1 to 4 */
int bind_dev(struct dev *dev);
/** bind_drv - every unbound device that matches; results are dropped */
void bind_drv(struct drv *drv);
/** bind_retry_deferred - after a successful bind. Context: no lock held */
void bind_retry_deferred(struct bus *bus);

#endif
