/* SPDX-License-Identifier: MIT */
/*
 * Buses, and the life of functions on them: made in scan order (function.c), announced (grouped, shown, left to the
 * drivers), unplugged.
 *
 * A function is on its bus's list from creation to removal; announced ones are also core devices with counted
 * references, and what they are made of is freed with the last of these. Each holds the bridge above, and with it the
 * bus that it sits on. After an unplug the hardware is gone for everybody: config reads ones, nothing moves.
 *
 * hotplug is held over create, announce and unplug, as Linux holds its rescan-remove lock: unplugging may wait for a
 * driver's users. Virtual functions come and go without it, with their physical one's driver (sriov.c); change keeps
 * what both do to groups and sysfs apart. topo guards the lists and is never held over a callback.
 */
#include "pci/priv.h"
#include <search.h>
#include <string.h>

/* ---- buses ---- */

static int bus_compare(const void *a, const void *b)
{
	const struct pci_bus *x = a, *y = b;

	return x->domain != y->domain ? x->domain - y->domain : x->number - y->number;
}

struct pci_bus *pci_bus_find_locked(struct pci *pci, uint16_t domain, uint8_t number)
{
	struct pci_bus key = { .domain = domain, .number = number }, **found;

	found = tfind(&key, &pci->bus_by_number, bus_compare);
	return found ? *found : NULL;
}

int pci_bus_create_in(struct pci *pci, struct pci_bus *parent, struct pci_dev *bridge, uint16_t domain, uint8_t number,
		      struct pci_bus **out)
{
	struct pci_bus *bus = calloc(1, sizeof(*bus)), **slot;

	if (!bus)
		return -ENOMEM;
	bus->pci = pci;
	bus->parent = parent;
	bus->bridge = bridge;
	bus->domain = domain;
	bus->number = number;
	TAILQ_INIT(&bus->devs);
	SCOPED_LOCK(&pci->topo);
	slot = tsearch(bus, &pci->bus_by_number, bus_compare);
	if (!slot || *slot != bus) {
		free(bus);
		return slot ? -EEXIST : -ENOMEM;
	}
	TAILQ_INSERT_TAIL(&pci->buses, bus, link);
	bus->listed = true;
	*out = bus;
	return 0;
}

void pci_bus_unlist(struct pci_bus *bus)
{
	SCOPED_LOCK(&bus->pci->topo);

	if (!bus->listed)
		return;
	bus->listed = false;
	TAILQ_REMOVE(&bus->pci->buses, bus, link);
	tdelete(bus, &bus->pci->bus_by_number, bus_compare);
}

void pci_bus_free(struct pci_bus *bus)
{
	if (!bus)
		return;
	pci_bus_unlist(bus);
	free(bus);
}

int pci_root_bus(struct pci *pci, uint16_t domain, uint8_t number, struct pci_bus **out)
{
	struct pci_bus *bus;
	char path[64];
	int rc = pci_bus_create_in(pci, NULL, NULL, domain, number, &bus);

	if (rc)
		return rc;
	snprintf(path, sizeof(path), "/sys/devices/pci%04x:%02x", domain, number);
	rc = tree_dir(pci->tree, path);
	if (rc == 0)
		rc = pci_sysfs_bus_add(bus);
	if (rc) {
		pci_root_bus_destroy(bus);
		return rc;
	}
	*out = bus;
	return 0;
}

void pci_root_bus_destroy(struct pci_bus *bus)
{
	if (!bus)
		return;
	pci_sysfs_bus_remove(bus);
	tree_removef(bus->pci->tree, "/sys/devices/pci%04x:%02x", bus->domain, bus->number);
	pci_bus_free(bus);
}

struct pci_bus *pci_bus_parent(struct pci_bus *bus)
{
	return bus->parent;
}

struct pci_dev *pci_bus_bridge(struct pci_bus *bus)
{
	return bus->bridge;
}

uint8_t pci_bus_number(const struct pci_bus *bus)
{
	return bus->number;
}

const char *pci_dev_name(const struct pci_dev *d)
{
	return d->dev.name;
}

/* ---- AtomicOps ---- */

static uint32_t devcap2(struct pci_dev *d)
{
	return pci_config_read(d, d->priv->cap_exp + PCI_EXP_DEVCAP2, 4);
}

static bool passes_atomics(struct pci_dev *bridge, uint32_t width)
{
	unsigned control = bridge->priv->cap_exp + PCI_EXP_DEVCTL2;

	if (bridge->type == PCI_ROOT_PORT)
		return devcap2(bridge) & width;
	if (bridge->type != PCI_UPSTREAM && bridge->type != PCI_DOWNSTREAM)
		return true;
	if (bridge->type == PCI_UPSTREAM &&
	    (pci_config_read(bridge, control, 2) & PCI_EXP_DEVCTL2_ATOMIC_EGRESS_BLOCK))
		return false;
	return devcap2(bridge) & PCI_EXP_DEVCAP2_ATOMIC_ROUTE;
}

bool pci_atomics_to_root(struct pci_dev *d, uint32_t width)
{
	unsigned control = d->priv->cap_exp + PCI_EXP_DEVCTL2;

	if (!pci_is_express(d) || d->bridge || d->type == PCI_RC_EVENT || !(devcap2(d) & width))
		return false;
	for (struct pci_bus *b = d->bus; pci_bus_bridge(b); b = pci_bus_parent(b)) {
		if (!passes_atomics(pci_bus_bridge(b), width))
			return false;
	}
	pci_config_write(d, control, 2, pci_config_read(d, control, 2) | PCI_EXP_DEVCTL2_ATOMIC_REQ);
	return true;
}

/* ---- coming and going ---- */

/* Under topo too, as who collects functions there takes references, which announced ones alone have. */
static void set_announced(struct pci_dev *d, bool on)
{
	SCOPED_LOCK(&d->pci->topo);
	d->priv->announced = on;
}

int pci_dev_announce_locked(struct pci_dev *d)
{
	SCOPED_LOCK(&d->pci->change);
	int rc;

	pci_acs_setup(d);
	rc = pci_group_join(d);
	if (rc)
		return rc;
	rc = dev_add(d->pci->bus, &d->dev);
	if (rc) {
		pci_dev_leave_group(d);
		return rc;
	}
	if (d->bus->bridge && d->bus->bridge->priv->announced) {
		dev_get(&d->bus->bridge->dev);
		d->priv->bridge_held = true;
	}
	set_announced(d, true);
	rc = pci_sysfs_add(d);
	if (rc == 0 && d->priv->desc.bind && d->priv->desc.bind[0])
		rc = dev_override(&d->dev, d->priv->desc.bind);
	return rc;
}

int pci_dev_announce(struct pci_dev *d)
{
	SCOPED_LOCK(&d->pci->hotplug);
	return pci_dev_announce_locked(d);
}

void pci_dev_unplug_one(struct pci_dev *d)
{
	struct pci_priv *p = d->priv;

	if (!p->announced) {
		pci_dev_free(d);
		return;
	}
	dev_get(&d->dev);
	dev_del(&d->dev); /* waits for the driver's users */
	if (!d->physfn)
		pci_sriov_unplug(d); /* the last that its driver has had made */
	mutex_lock(&d->pci->change);
	set_announced(d, false);
	pci_sysfs_remove(d);
	pci_dev_set_gone(d);
	pci_dma_quiesce(d);
	pci_dev_leave_group(d);
	pci_dev_unlist(d);
	if (d->secondary)
		pci_bus_unlist(d->secondary);
	mutex_unlock(&d->pci->change);
	dev_put(&d->dev);
}

/* The last function of a bus. A virtual one may go at any time, so instead of it the one that it goes with. */
static struct pci_dev *last_locked(struct pci_bus *bus) REQUIRES(&bus->pci->topo);
static struct pci_dev *last_locked(struct pci_bus *bus)
{
	struct pci_dev *d = TAILQ_LAST(&bus->devs, pci_dev_list);

	return d && d->physfn ? d->physfn : d;
}

void pci_dev_unplug_locked(struct pci_dev *d)
{
	pci_sriov_unplug(d);
	for (;;) {
		struct pci_dev *child = NULL;

		if (!d->secondary)
			break;
		mutex_lock(&d->pci->topo);
		child = last_locked(d->secondary);
		mutex_unlock(&d->pci->topo);
		if (!child)
			break;
		pci_dev_unplug_locked(child);
	}
	pci_dev_unplug_one(d);
}

void pci_dev_unplug(struct pci_dev *d)
{
	struct pci *pci = d->pci;

	SCOPED_LOCK(&pci->hotplug);
	if (d->physfn)
		pci_vf_unplug(d);
	else if (d->priv->listed) /* else somebody was faster */
		pci_dev_unplug_locked(d);
}

void pci_unplug_all(struct pci *pci)
{
	SCOPED_LOCK(&pci->hotplug);
	for (;;) {
		struct pci_dev *d = NULL;
		struct pci_bus *bus;

		mutex_lock(&pci->topo);
		TAILQ_FOREACH(bus, &pci->buses, link) {
			if (!bus->parent && !d)
				d = last_locked(bus);
		}
		mutex_unlock(&pci->topo);
		if (!d)
			break;
		pci_dev_unplug_locked(d);
	}
}

/* ---- looking ---- */

struct pci_dev *pci_find(struct pci *pci, const char *bdf)
{
	struct dev *dev = dev_find(pci->bus, bdf);

	return dev ? pci_dev_of(dev) : NULL;
}

struct collect {
	struct pci_dev **list;
	int n, room;
};

static int collect_locked(struct pci_bus *bus, struct collect *c, bool whole_bus_first)
{
	struct pci_dev *d;
	int rc = 0;

	TAILQ_FOREACH(d, &bus->devs, bus_link) {
		if (d->priv->announced) {
			if (c->n == c->room) {
				int room = c->room ? 2 * c->room : 16;
				struct pci_dev **more = realloc(c->list, (size_t)room * sizeof(*more));

				if (!more)
					return -ENOMEM;
				c->list = more;
				c->room = room;
			}
			dev_get(&d->dev);
			c->list[c->n++] = d;
		}
		if (!whole_bus_first && d->secondary)
			rc = collect_locked(d->secondary, c, false);
		if (rc)
			return rc;
	}
	if (whole_bus_first) {
		TAILQ_FOREACH(d, &bus->devs, bus_link) {
			if (d->secondary && (rc = collect_locked(d->secondary, c, true)))
				return rc;
		}
	}
	return 0;
}

int pci_collect(struct pci_bus *bus, struct pci_dev ***out)
{
	struct collect c = { 0 };
	int rc;

	mutex_lock(&bus->pci->topo);
	rc = collect_locked(bus, &c, false);
	mutex_unlock(&bus->pci->topo);
	if (rc) {
		pci_collect_put(c.list, c.n);
		return rc;
	}
	*out = c.list;
	return c.n;
}

void pci_collect_put(struct pci_dev **list, int n)
{
	if (n < 0)
		return;
	for (int i = 0; i < n; i++)
		dev_put(&list[i]->dev);
	free(list);
}

int pci_for_each(struct pci *pci, int (*fn)(struct pci_dev *d, void *ctx), void *ctx)
{
	struct collect c = { 0 };
	struct pci_bus *bus;
	int rc = 0;

	mutex_lock(&pci->topo);
	TAILQ_FOREACH(bus, &pci->buses, link) {
		if (!bus->parent && rc == 0)
			rc = collect_locked(bus, &c, true);
	}
	mutex_unlock(&pci->topo);
	for (int i = 0; rc == 0 && i < c.n; i++)
		rc = fn(c.list[i], ctx);
	pci_collect_put(c.list, c.n);
	return rc;
}
