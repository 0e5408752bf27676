/* SPDX-License-Identifier: MIT */
/*
 * How a driver and a device meet: spec 10, 2.4 and the loops of 2.5. An attempt runs under the device's
 * lock and fails in one of two ways: an error before the probe (negative; it stops a loop over drivers) or
 * a refusal by the probe itself (positive; a loop over drivers goes on). Unbinding may block in the driver's
 * remove with the device's lock held, and every other attempt on the device waits for it.
 *
 * A probe that is not ready yet says -DEV_EPROBE_DEFER: the device goes onto the bus's list and is tried
 * again after the next successful bind, by the thread that bound, when it holds no lock any more.
 */
#include "core/priv.h"
#include <string.h>

/* ---- matching ---- */

static bool field_match(uint32_t want, uint32_t have)
{
	return want == DRV_ANY_ID || want == have;
}

bool drv_id_match(const struct drv_id *id, const struct drv_id *dev)
{
	return field_match(id->vendor, dev->vendor) && field_match(id->device, dev->device) &&
	       field_match(id->subvendor, dev->subvendor) && field_match(id->subdevice, dev->subdevice) &&
	       !((id->class_code ^ dev->class_code) & id->class_mask);
}

bool drv_matches(struct drv *drv, struct dev *dev)
{
	struct bus *bus = dev->bus;
	struct drv_dynid *dyn;
	struct drv_id ids = { 0 };

	bus->ops->ids(dev, &ids.vendor, &ids.device, &ids.subvendor, &ids.subdevice, &ids.class_code);
	mutex_lock(&bus->lock);
	if (!dev->can_match || dev->override) {
		bool is = dev->can_match && strcmp(dev->override, drv->name) == 0;

		mutex_unlock(&bus->lock);
		return is;
	}
	TAILQ_FOREACH(dyn, &drv->dynids, link) {
		if (drv_id_match(&dyn->id, &ids))
			break;
	}
	mutex_unlock(&bus->lock);
	if (dyn)
		return true;
	for (const struct drv_id *id = drv->ids; id && id->vendor; id++) {
		if (!id->override_only && drv_id_match(id, &ids))
			return true;
	}
	return drv->ops->match && drv->ops->match(drv, dev, false);
}

/* ---- one pair ---- */

static void driver_set(struct dev *dev, struct drv *drv)
{
	__atomic_store_n(&dev->driver, drv, __ATOMIC_RELEASE);
}

static void links_remove(struct dev *dev, struct drv *drv)
{
	struct bus *bus = dev->bus;

	tree_removef(bus->tree, "%s/driver", dev->sysfs);
	tree_removef(bus->tree, "%s/drivers/%s/%s", bus->sysfs, drv->name, dev->name);
}

static int links_add(struct dev *dev, struct drv *drv)
{
	struct bus *bus = dev->bus;
	char dir[128];
	int rc;

	snprintf(dir, sizeof(dir), "%s/drivers/%s", bus->sysfs, drv->name);
	rc = tree_linkf(bus->tree, dev->sysfs, "%s/%s", dir, dev->name);
	if (rc)
		return rc;
	rc = tree_linkf(bus->tree, dir, "%s/driver", dev->sysfs);
	if (rc)
		tree_removef(bus->tree, "%s/%s", dir, dev->name);
	return rc;
}

static int probe(struct drv *drv, struct dev *dev)
{
	const struct bus_ops *ops = dev->bus->ops;
	int rc;

	if (!drv_matches(drv, dev)) /* the override or the dynamic id may be gone by now */
		return -ENODEV;
	rc = ops->probe ? ops->probe(dev, drv) : drv->ops->probe(drv, dev);
	return MIN(rc, 0);
}

static void defer(struct dev *dev, bool on)
{
	struct bus *bus = dev->bus;

	SCOPED_LOCK(&bus->lock);
	if (on == dev->deferred)
		return;
	dev->deferred = on;
	if (on)
		TAILQ_INSERT_TAIL(&bus->deferred, dev, deferred_link);
	else
		TAILQ_REMOVE(&bus->deferred, dev, deferred_link);
}

/* The driver is in use by the caller, so it is not going. */
static void refuse(struct bind_refusal *why, struct drv *drv, int error, bool probed)
{
	struct bus *bus = drv->bus;

	SCOPED_LOCK(&bus->lock);
	if (!why->drv)
		drv->users++;
	else if (why->drv != drv) {
		if (--why->drv->users == 0)
			cond_broadcast(&bus->unused);
		drv->users++;
	}
	*why = (struct bind_refusal){ .drv = drv, .error = error, .probed = probed };
}

static void bind_tell(struct dev *dev, struct bind_refusal *why)
{
	struct bus *bus = dev->bus;

	if (!why->drv)
		return;
	if (bus->refused)
		bus->refused(bus->refused_ctx, dev, why->drv, why->error, why->probed);
	drv_put(why->drv);
	why->drv = NULL;
}

int bind_attempt(struct drv *drv, struct dev *dev, struct bind_refusal *why)
{
	struct bus *bus = dev->bus;
	int rc;

	if (dev->dead)
		return -ENODEV;
	if (dev->driver)
		return -EBUSY;
	driver_set(dev, drv);
	rc = bus->ops->dma_configure ? bus->ops->dma_configure(dev, drv) : 0;
	if (rc) {
		driver_set(dev, NULL);
		if (rc != -DEV_EPROBE_DEFER)
			refuse(why, drv, rc, false);
		return rc;
	}
	rc = links_add(dev, drv);
	if (rc == 0) {
		rc = -probe(drv, dev); /* positive from here: refused by the probe */
		if (rc == 0) {
			defer(dev, false);
			SCOPED_LOCK(&bus->lock);
			bus->bound++;
			return 0;
		}
		links_remove(dev, drv);
		if (rc != ENODEV && rc != ENXIO && rc != DEV_EPROBE_DEFER) {
			log_msg(bus->log, LOG_WARN, "%s %s: probe with driver %s failed with error %d", drv->name,
				dev->name, drv->name, -rc);
			refuse(why, drv, -rc, true);
		}
	}
	dev->driver_data = NULL;
	if (bus->ops->dma_cleanup)
		bus->ops->dma_cleanup(dev, drv);
	driver_set(dev, NULL);
	return rc;
}

void bind_release(struct dev *dev)
{
	const struct bus_ops *ops = dev->bus->ops;
	struct drv *drv = dev->driver;

	if (!drv)
		return;
	links_remove(dev, drv);
	if (ops->remove)
		ops->remove(dev, drv);
	else if (drv->ops->remove)
		drv->ops->remove(drv, dev);
	dev->driver_data = NULL;
	if (ops->dma_cleanup)
		ops->dma_cleanup(dev, drv);
	driver_set(dev, NULL);
}

/* ---- loops ---- */

/* An attempt of a loop: what is not ready waits for better times. */
static int attempt_or_defer(struct drv *drv, struct dev *dev, struct bind_refusal *why)
{
	int rc = bind_attempt(drv, dev, why);

	if (rc == -DEV_EPROBE_DEFER || rc == DEV_EPROBE_DEFER)
		defer(dev, true);
	return rc;
}

/*
 * The driver after @drv that is not going away, in use; @drv is let go. A driver in use stays on the list, so
 * that what comes after it is known.
 */
static struct drv *drv_next(struct bus *bus, struct drv *drv)
{
	struct drv *next;

	SCOPED_LOCK(&bus->lock);
	next = drv ? TAILQ_NEXT(drv, link) : TAILQ_FIRST(&bus->drvs);
	while (next && next->gone)
		next = TAILQ_NEXT(next, link);
	if (next)
		next->users++;
	if (drv && --drv->users == 0)
		cond_broadcast(&bus->unused);
	return next;
}

static int bind_any_locked(struct dev *dev, struct bind_refusal *why) REQUIRES(&dev->lock);
static int bind_any_locked(struct dev *dev, struct bind_refusal *why)
{
	struct bus *bus = dev->bus;
	int rc = 0;

	if (dev->dead)
		return 0;
	if (dev->driver)
		return 1;
	for (struct drv *drv = drv_next(bus, NULL); drv; drv = drv_next(bus, drv)) {
		if (!drv_matches(drv, dev))
			continue;
		rc = attempt_or_defer(drv, dev, why);
		if (rc <= 0) {
			drv_put(drv);
			return rc == 0 ? 1 : rc;
		}
	}
	return 0;
}

int bind_dev(struct dev *dev)
{
	struct bind_refusal why = { 0 };
	int rc;

	mutex_lock(&dev->lock);
	rc = bind_any_locked(dev, &why);
	mutex_unlock(&dev->lock);
	bind_tell(dev, &why);
	return rc;
}

void bind_drv(struct drv *drv)
{
	struct bind_refusal why = { 0 };
	bool bound = false;

	for (struct dev *dev = dev_next(drv->bus, NULL); dev; dev = dev_next(drv->bus, dev)) {
		if (dev_driver(dev) || !drv_matches(drv, dev))
			continue;
		mutex_lock(&dev->lock);
		if (!dev->driver && attempt_or_defer(drv, dev, &why) == 0)
			bound = true;
		mutex_unlock(&dev->lock);
		bind_tell(dev, &why);
	}
	if (bound)
		bind_retry_deferred(drv->bus);
}

/* All on the list, taken off it, each with a reference; NULL-terminated. */
static struct dev **deferred_take(struct bus *bus, uint64_t *bound)
{
	struct dev **devs, *dev;
	size_t n = 0;

	SCOPED_LOCK(&bus->lock);
	*bound = bus->bound;
	TAILQ_FOREACH(dev, &bus->deferred, deferred_link)
		n++;
	devs = n && bus->autoprobe ? calloc(n + 1, sizeof(*devs)) : NULL;
	if (!devs)
		return NULL;
	for (n = 0; (dev = TAILQ_FIRST(&bus->deferred)); n++) {
		TAILQ_REMOVE(&bus->deferred, dev, deferred_link);
		dev->deferred = false;
		devs[n] = dev_get(dev);
	}
	return devs;
}

static bool bound_since(struct bus *bus, uint64_t before)
{
	SCOPED_LOCK(&bus->lock);

	return bus->bound != before;
}

/*
 * Rounds over the list until a round has seen no successful bind by anybody: one that happened while a probe was
 * being deferred would be missed otherwise.
 */
void bind_retry_deferred(struct bus *bus)
{
	struct dev **devs;
	uint64_t before;

	do {
		devs = deferred_take(bus, &before);
		if (!devs)
			return;
		for (struct dev **d = devs; *d; d++) {
			bind_dev(*d);
			dev_put(*d);
		}
		free(devs);
	} while (bound_since(bus, before));
}

/* ---- by name: bind, unbind, drivers_probe ---- */

int drv_bind(struct drv *drv, const char *devname)
{
	struct bus *bus = drv->bus;
	struct bind_refusal why = { 0 };
	struct dev *dev;
	int rc;

	if (!drv_get(drv))
		return -ENODEV;
	dev = dev_find(bus, devname);
	if (!dev || !drv_matches(drv, dev)) {
		rc = -ENODEV;
	} else {
		mutex_lock(&dev->lock);
		rc = bind_attempt(drv, dev, &why);
		mutex_unlock(&dev->lock);
		bind_tell(dev, &why);
	}
	if (dev)
		dev_put(dev);
	drv_put(drv);
	if (rc == 0)
		bind_retry_deferred(bus);
	rc = rc > 0 ? -rc : rc;
	return rc == -DEV_EPROBE_DEFER ? -EAGAIN : rc;
}

int drv_unbind(struct drv *drv, const char *devname)
{
	struct dev *dev = dev_find(drv->bus, devname);
	int rc = -ENODEV;

	if (dev && dev_driver(dev) == drv) {
		SCOPED_LOCK(&dev->lock);
		if (dev->driver == drv) /* else somebody else has unbound it while we waited: just as good */
			bind_release(dev);
		rc = 0;
	}
	if (dev)
		dev_put(dev);
	return rc;
}

int dev_probe(struct bus *bus, const char *devname)
{
	struct dev *dev = dev_find(bus, devname);
	int rc;

	if (!dev)
		return -ENODEV;
	rc = bind_dev(dev);
	dev_put(dev);
	if (rc > 0)
		bind_retry_deferred(bus);
	return rc < 0 ? -EINVAL : 0;
}
