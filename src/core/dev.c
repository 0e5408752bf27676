/* SPDX-License-Identifier: MIT */
/*
 * Devices: joining and leaving the bus, being found, driver_override. A device is on the bus from dev_add()
 * to dev_del(); whoever holds a reference may still look at it afterwards, but finds it dead: nothing binds.
 */
#include "core/priv.h"
#include <search.h>
#include <string.h>

/* ---- sysfs ---- */

static int override_show(void *priv, FILE *out)
{
	struct dev *dev = priv;

	SCOPED_LOCK(&dev->bus->lock);
	fprintf(out, "%s\n", dev->override ? dev->override : "(null)");
	return 0;
}

static ssize_t override_store(void *priv, struct task *t, const char *buf, size_t n)
{
	AUTO_FREE char *name = NULL;
	int rc;

	if (n >= UVFIO_PAGE_SIZE - 1)
		return -EINVAL;
	name = strndup(buf, strcspn(buf, "\n"));
	if (!name)
		return -ENOMEM;
	rc = dev_override(priv, name[0] ? name : NULL);
	return rc ? rc : (ssize_t)n;
}

/* Removal waits for the attributes' callers, and we may wait for another removal: so do not count as one. */
static ssize_t remove_store(void *priv, struct task *t, const char *buf, size_t n)
{
	struct dev *dev = priv;
	unsigned long yes;
	int rc = 0;

	if (text_number(buf, &yes))
		return -EINVAL;
	if (!yes || !dev->bus->ops->unplug)
		return (ssize_t)n;
	dev_get(dev);
	tree_call_detach(dev->bus->tree);
	rc = dev->bus->ops->unplug(dev);
	dev_put(dev);
	return rc ? rc : (ssize_t)n;
}

static ssize_t dev_rescan_store(void *priv, struct task *t, const char *buf, size_t n)
{
	struct dev *dev = priv;
	unsigned long yes;
	int rc = 0;

	if (text_number(buf, &yes))
		return -EINVAL;
	if (!yes || !dev->bus->ops->rescan)
		return (ssize_t)n;
	/* It waits for a removal under way, maybe of this very device, which must not wait for us. */
	dev_get(dev);
	tree_call_detach(dev->bus->tree);
	rc = dev->bus->ops->rescan(dev->bus, dev);
	dev_put(dev);
	return rc ? rc : (ssize_t)n;
}

static bool is_whole(void *priv)
{
	return !((struct dev *)priv)->within;
}

static const struct attr dev_attrs[] = {
	{ .name = "driver_override", .mode = 0644, .show = override_show, .store = override_store },
	{ .name = "remove", .mode = 0220, .store = remove_store, .visible = is_whole },
	{ .name = "rescan", .mode = 0200, .store = dev_rescan_store, .visible = is_whole },
	ATTR_END
};

bool dev_override_name(struct dev *dev, char *buf, size_t size)
{
	SCOPED_LOCK(&dev->bus->lock);
	if (dev->override)
		snprintf(buf, size, "%s", dev->override);
	return dev->override != NULL;
}

bool dev_overridden(struct dev *dev)
{
	SCOPED_LOCK(&dev->bus->lock);
	return dev->override != NULL;
}

int dev_override(struct dev *dev, const char *name)
{
	char *old, *copy = NULL;

	if (name && strlen(name) >= UVFIO_PAGE_SIZE - 1)
		return -EINVAL;
	if (name) {
		copy = strdup(name);
		if (!copy)
			return -ENOMEM;
	}
	mutex_lock(&dev->bus->lock);
	old = dev->override;
	dev->override = copy;
	mutex_unlock(&dev->bus->lock);
	free(old);
	return 0;
}

/* ---- on and off the bus ---- */

static int name_compare(const void *a, const void *b)
{
	return strcmp(((const struct dev *)a)->name, ((const struct dev *)b)->name);
}

static int dev_list(struct bus *bus, struct dev *dev)
{
	struct dev **slot;

	SCOPED_LOCK(&bus->lock);
	slot = tsearch(dev, &bus->by_name, name_compare);
	if (!slot)
		return -ENOMEM;
	if (*slot != dev)
		return -EEXIST;
	TAILQ_INSERT_TAIL(&bus->devs, dev, link);
	dev->listed = true;
	bus->ndevs++;
	return 0;
}

static void dev_unlist(struct bus *bus, struct dev *dev)
{
	SCOPED_LOCK(&bus->lock);

	tdelete(dev, &bus->by_name, name_compare);
	TAILQ_REMOVE(&bus->devs, dev, link);
	dev->listed = false;
	bus->ndevs--;
	if (dev->deferred)
		TAILQ_REMOVE(&bus->deferred, dev, deferred_link);
	dev->deferred = false;
}

static void dev_tree_fini(struct dev *dev)
{
	tree_removef(dev->bus->tree, "%s/devices/%s", dev->bus->sysfs, dev->name);
	tree_remove(dev->bus->tree, dev->sysfs);
}

static int dev_tree_init(struct dev *dev)
{
	struct bus *bus = dev->bus;
	int rc = tree_attrs(bus->tree, dev->sysfs, dev_attrs, dev);

	if (rc)
		return rc;
	rc = tree_linkf(bus->tree, bus->sysfs, "%s/subsystem", dev->sysfs);
	if (rc == 0)
		rc = tree_linkf(bus->tree, dev->sysfs, "%s/devices/%s", bus->sysfs, dev->name);
	if (rc)
		dev_tree_fini(dev);
	return rc;
}

int dev_add(struct bus *bus, struct dev *dev)
{
	int rc;

	dev->bus = bus;
	ref_init(&dev->ref);
	mutex_init(&dev->lock, dev->within ? RANK_DEVICE_WITHIN : RANK_DEVICE);
	rc = dev_list(bus, dev);
	if (rc)
		goto err;
	rc = dev_tree_init(dev);
	if (rc)
		goto err_unlist;
	return 0;

err_unlist:
	dev_unlist(bus, dev);
err:
	mutex_fini(&dev->lock);
	return rc;
}

void dev_autoprobe(struct dev *dev)
{
	struct bus *bus = dev->bus;
	bool probe;

	mutex_lock(&bus->lock);
	dev->can_match = true;
	probe = bus->autoprobe;
	mutex_unlock(&bus->lock);
	if (probe && bind_dev(dev) > 0)
		bind_retry_deferred(bus);
}

void dev_del(struct dev *dev)
{
	mutex_lock(&dev->lock);
	if (dev->dead) {
		mutex_unlock(&dev->lock);
		return;
	}
	dev->dead = true;
	bind_release(dev);
	mutex_unlock(&dev->lock);
	dev_tree_fini(dev);
	dev_unlist(dev->bus, dev); /* last: from here on another may be added by that name */
	dev_put(dev);
}

void dev_put(struct dev *dev)
{
	if (!ref_put(&dev->ref))
		return;
	free(dev->override);
	dev->override = NULL;
	mutex_fini(&dev->lock);
	if (dev->free)
		dev->free(dev);
}

/* ---- looking ---- */

struct dev *dev_find(struct bus *bus, const char *name)
{
	struct dev key, **slot;
	size_t n = strcspn(name, "\n");

	if (n >= sizeof(key.name) || (name[n] && name[n + 1])) /* one newline at the end is fine */
		return NULL;
	memcpy(key.name, name, n);
	key.name[n] = 0;
	SCOPED_LOCK(&bus->lock);
	slot = tfind(&key, &bus->by_name, name_compare);
	return slot ? dev_get(*slot) : NULL;
}

struct drv *dev_driver(struct dev *dev)
{
	return __atomic_load_n(&dev->driver, __ATOMIC_ACQUIRE);
}

struct dev *dev_next(struct bus *bus, struct dev *dev)
{
	struct dev *next;

	mutex_lock(&bus->lock);
	next = dev && dev->listed ? TAILQ_NEXT(dev, link) : TAILQ_FIRST(&bus->devs);
	if (next)
		dev_get(next);
	mutex_unlock(&bus->lock);
	if (dev)
		dev_put(dev);
	return next;
}

/* All devices, each with a reference; NULL-terminated, malloc'ed. */
static struct dev **bus_devs(struct bus *bus)
{
	struct dev **devs, *dev;
	size_t n = 0;

	SCOPED_LOCK(&bus->lock);
	devs = calloc(bus->ndevs + 1, sizeof(*devs));
	if (!devs)
		return NULL;
	TAILQ_FOREACH(dev, &bus->devs, link)
		devs[n++] = dev_get(dev);
	return devs;
}

int dev_for_each(struct bus *bus, int (*fn)(struct dev *dev, void *ctx), void *ctx)
{
	struct dev **devs = bus_devs(bus);
	int rc = 0;

	if (!devs)
		return -ENOMEM;
	for (struct dev **d = devs; *d; d++) {
		if (rc == 0)
			rc = fn(*d, ctx);
		dev_put(*d);
	}
	free(devs);
	return rc;
}
