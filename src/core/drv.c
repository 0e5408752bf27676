/* SPDX-License-Identifier: MIT */
/*
 * Drivers: registration, the files of /sys/bus/NAME/drivers/D, and dynamic ids. The storage of a driver is
 * its registrant's: drv_unregister() returns only when no loop looks at the driver and no device is bound.
 */
#include "core/priv.h"
#include <ctype.h>
#include <string.h>

bool drv_get(struct drv *drv)
{
	SCOPED_LOCK(&drv->bus->lock);

	if (drv->gone)
		return false;
	drv->users++;
	return true;
}

void drv_put(struct drv *drv)
{
	SCOPED_LOCK(&drv->bus->lock);

	if (--drv->users == 0)
		cond_broadcast(&drv->bus->unused);
}

/* ---- dynamic ids ---- */

/*
 * Up to @max hexadecimal fields separated by white space, as the kernel's sscanf reads "%x %x ...": a 0x in front is
 * fine, a sign is not, and the first thing that is no number ends it. Returns the number of fields.
 */
static unsigned hex_fields(const char *text, unsigned long *field, unsigned max)
{
	unsigned n = 0;

	for (; n < max; n++) {
		char *end;

		while (isspace((unsigned char)*text))
			text++;
		if (!isxdigit((unsigned char)*text))
			break;
		field[n] = strtoul(text, &end, 16);
		text = end;
	}
	return n;
}

/* A line of new_id or remove_id; returns the number of fields. */
static unsigned id_parse(const char *text, unsigned max, struct drv_id *id)
{
	unsigned long f[7] = { 0, 0, DRV_ANY_ID, DRV_ANY_ID, 0, 0, 0 };
	unsigned n = hex_fields(text, f, max);

	*id = (struct drv_id){ .vendor = (uint32_t)f[0], .device = (uint32_t)f[1], .subvendor = (uint32_t)f[2],
			       .subdevice = (uint32_t)f[3], .class_code = (uint32_t)f[4], .class_mask = (uint32_t)f[5],
			       .driver_data = f[6] };
	return n;
}

static bool static_match(const struct drv *drv, const struct drv_id *id)
{
	for (const struct drv_id *s = drv->ids; s && s->vendor; s++) {
		if (!s->override_only && drv_id_match(s, id))
			return true;
	}
	return false;
}

static bool data_known(const struct drv *drv, unsigned long data)
{
	if (!drv->ids)
		return true;
	for (const struct drv_id *s = drv->ids; s->vendor; s++) {
		if (s->driver_data == data)
			return true;
	}
	return false;
}

static bool dynamic_match_locked(const struct drv *drv, const struct drv_id *id)
{
	const struct drv_dynid *d;

	TAILQ_FOREACH(d, &drv->dynids, link) {
		if (drv_id_match(&d->id, id))
			return true;
	}
	return false;
}

/* Everything of new_id but the probing. */
static int dynid_add(struct drv *drv, const char *text)
{
	struct drv_dynid *d;
	unsigned fields;
	struct drv_id id;

	fields = id_parse(text, 7, &id);
	if (fields < 2)
		return -EINVAL;
	SCOPED_LOCK(&drv->bus->lock);
	if (fields != 7 && (static_match(drv, &id) || dynamic_match_locked(drv, &id)))
		return -EEXIST;
	if (!data_known(drv, id.driver_data))
		return -EINVAL;
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	d->id = id;
	TAILQ_INSERT_TAIL(&drv->dynids, d, link);
	return 0;
}

int drv_new_id(struct drv *drv, const char *text)
{
	int rc;

	if (!drv_get(drv))
		return -ENODEV;
	rc = dynid_add(drv, text);
	if (rc == 0)
		bind_drv(drv);
	drv_put(drv);
	return rc;
}

int drv_remove_id(struct drv *drv, const char *text)
{
	struct drv_dynid *d;
	struct drv_id id;

	if (id_parse(text, 6, &id) < 2)
		return -EINVAL;
	SCOPED_LOCK(&drv->bus->lock);
	TAILQ_FOREACH(d, &drv->dynids, link) {
		if (d->id.vendor == id.vendor && d->id.device == id.device &&
		    (id.subvendor == DRV_ANY_ID || d->id.subvendor == id.subvendor) &&
		    (id.subdevice == DRV_ANY_ID || d->id.subdevice == id.subdevice) &&
		    !((d->id.class_code ^ id.class_code) & id.class_mask)) {
			TAILQ_REMOVE(&drv->dynids, d, link);
			free(d);
			return 0;
		}
	}
	return -ENODEV;
}

static void dynids_free(struct drv *drv)
{
	struct drv_dynid *d;

	while ((d = TAILQ_FIRST(&drv->dynids))) {
		TAILQ_REMOVE(&drv->dynids, d, link);
		free(d);
	}
}

/* ---- sysfs ---- */

static ssize_t bind_store(void *priv, struct task *t, const char *buf, size_t n)
{
	int rc = drv_bind(priv, buf);

	return rc ? rc : (ssize_t)n;
}

static ssize_t unbind_store(void *priv, struct task *t, const char *buf, size_t n)
{
	int rc = drv_unbind(priv, buf);

	return rc ? rc : (ssize_t)n;
}

static ssize_t new_id_store(void *priv, struct task *t, const char *buf, size_t n)
{
	int rc = drv_new_id(priv, buf);

	return rc ? rc : (ssize_t)n;
}

static ssize_t remove_id_store(void *priv, struct task *t, const char *buf, size_t n)
{
	int rc = drv_remove_id(priv, buf);

	return rc ? rc : (ssize_t)n;
}

static const struct attr drv_attrs[] = {
	{ .name = "bind", .mode = 0200, .store = bind_store },
	{ .name = "unbind", .mode = 0200, .store = unbind_store },
	{ .name = "new_id", .mode = 0200, .store = new_id_store },
	{ .name = "remove_id", .mode = 0200, .store = remove_id_store },
	ATTR_END
};

/* ---- registration ---- */

static int drv_list(struct bus *bus, struct drv *drv)
{
	struct drv *other;

	SCOPED_LOCK(&bus->lock);
	TAILQ_FOREACH(other, &bus->drvs, link) {
		if (strcmp(other->name, drv->name) == 0)
			return -EBUSY;
	}
	TAILQ_INSERT_TAIL(&bus->drvs, drv, link);
	drv->users = 1; /* ours, until the devices there are have been tried */
	return 0;
}

/* From here on nobody new gets at the driver; wait for those who have. */
static void drv_unlist(struct bus *bus, struct drv *drv)
{
	SCOPED_LOCK(&bus->lock);

	drv->gone = true;
	while (drv->users)
		cond_wait(&bus->unused, &bus->lock);
	TAILQ_REMOVE(&bus->drvs, drv, link);
}

int drv_register(struct bus *bus, struct drv *drv)
{
	char path[128];
	bool probe;
	int rc;

	if ((size_t)snprintf(path, sizeof(path), "%s/drivers/%s", bus->sysfs, drv->name) >= sizeof(path))
		return -EINVAL;
	drv->bus = bus;
	drv->gone = false;
	TAILQ_INIT(&drv->dynids);
	rc = drv_list(bus, drv);
	if (rc)
		return rc;
	rc = tree_attrs(bus->tree, path, drv_attrs, drv);
	if (rc) {
		drv_put(drv);
		drv_unlist(bus, drv);
		return rc;
	}
	mutex_lock(&bus->lock);
	probe = bus->autoprobe;
	mutex_unlock(&bus->lock);
	if (probe)
		bind_drv(drv);
	drv_put(drv);
	return 0;
}

void drv_unregister(struct drv *drv)
{
	struct bus *bus = drv->bus;

	drv_unlist(bus, drv);
	for (struct dev *dev = dev_next(bus, NULL); dev; dev = dev_next(bus, dev)) {
		if (dev_driver(dev) != drv)
			continue;
		SCOPED_LOCK(&dev->lock);
		if (dev->driver == drv)
			bind_release(dev);
	}
	tree_removef(bus->tree, "%s/drivers/%s", bus->sysfs, drv->name);
	dynids_free(drv);
}

struct drv *drv_find(struct bus *bus, const char *name)
{
	struct drv *drv;

	SCOPED_LOCK(&bus->lock);
	TAILQ_FOREACH(drv, &bus->drvs, link) {
		if (!drv->gone && strcmp(drv->name, name) == 0)
			break;
	}
	return drv;
}
