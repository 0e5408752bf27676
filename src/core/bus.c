/* SPDX-License-Identifier: MIT */
/*
 * The bus: lists of devices and drivers, and the files /sys/bus/NAME/{drivers_probe,drivers_autoprobe,rescan}.
 * bus->lock guards lists and is never held over a callback; who walks takes references first.
 */
#include "core/priv.h"
#include <string.h>

int text_number(const char *text, unsigned long *out)
{
	unsigned long value;
	char *end;

	text += *text == '+';
	if (*text < '0' || *text > '9') /* strtoul would take spaces and a minus */
		return -EINVAL;
	errno = 0;
	value = strtoul(text, &end, 0);
	end += *end == '\n';
	if (*end)
		return -EINVAL;
	if (errno)
		return -errno;
	*out = value;
	return 0;
}

/* ---- sysfs ---- */

static ssize_t drivers_probe_store(void *priv, struct task *t, const char *buf, size_t n)
{
	int rc = dev_probe(priv, buf);

	return rc ? rc : (ssize_t)n;
}

static int drivers_autoprobe_show(void *priv, FILE *out)
{
	struct bus *bus = priv;

	SCOPED_LOCK(&bus->lock);
	fprintf(out, "%d\n", bus->autoprobe);
	return 0;
}

static ssize_t drivers_autoprobe_store(void *priv, struct task *t, const char *buf, size_t n)
{
	struct bus *bus = priv;

	SCOPED_LOCK(&bus->lock);
	bus->autoprobe = buf[0] != '0';
	return (ssize_t)n;
}

static ssize_t rescan_store(void *priv, struct task *t, const char *buf, size_t n)
{
	struct bus *bus = priv;
	unsigned long yes;
	int rc = text_number(buf, &yes);

	if (rc)
		return -EINVAL;
	if (yes && bus->ops->rescan)
		rc = bus->ops->rescan(bus, NULL);
	return rc ? rc : (ssize_t)n;
}

static const struct attr bus_attrs[] = {
	{ .name = "drivers_probe", .mode = 0200, .store = drivers_probe_store },
	{ .name = "drivers_autoprobe", .mode = 0644, .show = drivers_autoprobe_show, .store = drivers_autoprobe_store },
	{ .name = "rescan", .mode = 0200, .store = rescan_store },
	ATTR_END
};

/* ---- the bus ---- */

static int bus_tree_init(struct bus *bus)
{
	char path[64];
	int rc = tree_attrs(bus->tree, bus->sysfs, bus_attrs, bus);

	snprintf(path, sizeof(path), "%s/devices", bus->sysfs);
	if (rc == 0)
		rc = tree_dir(bus->tree, path);
	snprintf(path, sizeof(path), "%s/drivers", bus->sysfs);
	if (rc == 0)
		rc = tree_dir(bus->tree, path);
	return rc;
}

int bus_create(const char *name, const struct bus_ops *ops, struct tree *tree, struct log *log, struct bus **out)
{
	struct bus *bus;
	int rc;

	if (strlen(name) >= sizeof(bus->name))
		return -EINVAL;
	bus = calloc(1, sizeof(*bus));
	if (!bus)
		return -ENOMEM;
	strcpy(bus->name, name);
	snprintf(bus->sysfs, sizeof(bus->sysfs), "/sys/bus/%s", name);
	bus->ops = ops;
	bus->tree = tree;
	bus->log = log;
	bus->autoprobe = true;
	TAILQ_INIT(&bus->devs);
	TAILQ_INIT(&bus->drvs);
	TAILQ_INIT(&bus->deferred);
	mutex_init(&bus->lock, RANK_BUS);
	cond_init(&bus->unused);
	rc = bus_tree_init(bus);
	if (rc) {
		bus_destroy(bus);
		return rc;
	}
	*out = bus;
	return 0;
}

void bus_destroy(struct bus *bus)
{
	if (!bus)
		return;
	tree_remove(bus->tree, bus->sysfs);
	cond_fini(&bus->unused);
	mutex_fini(&bus->lock);
	free(bus);
}

struct tree *bus_tree(struct bus *bus)
{
	return bus->tree;
}

void bus_set_owner(struct bus *bus, void *owner)
{
	bus->owner = owner;
}

void *bus_owner(struct bus *bus)
{
	return bus->owner;
}

void bus_watch_refused(struct bus *bus, bus_refused_fn fn, void *ctx)
{
	bus->refused = fn;
	bus->refused_ctx = ctx;
}

struct log *bus_log(struct bus *bus)
{
	return bus->log;
}
