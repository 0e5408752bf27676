/* SPDX-License-Identifier: MIT */
/*
 * Removal by a program ("echo 1 > remove") takes a function from the system, not from its slot: "echo 1 > rescan"
 * finds it again, a new device in a group decided anew (spec 10, 1.1.3), without the driver_override it had.
 * So the description of what was removed is kept, in the order of a scan, until a rescan. What a machine
 * file leaves out at boot lies there too.
 *
 * What is found is announced and offered to the drivers one by one; a function whose bridge is still
 * removed stays where it is.
 */
#include "pci/priv.h"

struct pci_removed {
	TAILQ_ENTRY(pci_removed) link;
	struct pci_dev_desc desc;
	uint16_t domain;
	uint8_t bus, secondary;
};

/* In the order of a scan: buses are numbered depth first. */
static bool comes_before(const struct pci_removed *a, const struct pci_removed *b)
{
	if (a->domain != b->domain)
		return a->domain < b->domain;
	if (a->bus != b->bus)
		return a->bus < b->bus;
	return (a->desc.slot << 3 | a->desc.function) < (b->desc.slot << 3 | b->desc.function);
}

/* What is removed together mostly comes in order. */
static void keep_locked(struct pci *pci, struct pci_removed *r) REQUIRES(&pci->hotplug);
static void keep_locked(struct pci *pci, struct pci_removed *r)
{
	struct pci_removed *before = TAILQ_LAST(&pci->removed, pci_removed_list);

	while (before && comes_before(r, before))
		before = TAILQ_PREV(before, pci_removed_list, link);
	if (before)
		TAILQ_INSERT_AFTER(&pci->removed, before, r, link);
	else
		TAILQ_INSERT_HEAD(&pci->removed, r, link);
}

static int note_locked(struct pci_dev *d)
{
	struct pci_removed *r;

	if (d->physfn)
		return 0; /* never found by a scan */
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->desc = d->priv->desc;
	r->desc.bind = NULL;
	r->desc.hotplug = true;
	r->desc.multifunction = d->multifunction;
	r->domain = d->domain;
	r->bus = d->bus->number;
	r->secondary = d->secondary ? d->secondary->number : 0;
	keep_locked(d->pci, r);
	return 0;
}

int pci_dev_absent(struct pci *pci, uint8_t bus, const struct pci_dev_desc *desc, uint8_t secondary)
{
	struct pci_removed *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->desc = *desc;
	r->desc.hotplug = true;
	r->domain = desc->domain;
	r->bus = bus;
	r->secondary = secondary;
	SCOPED_LOCK(&pci->hotplug);
	keep_locked(pci, r);
	return 0;
}

/* On failure some are noted that stay: a rescan sees that they are there and forgets them. */
int pci_remove(struct pci_dev *d)
{
	struct pci *pci = d->pci;
	struct pci_dev **list = NULL;
	int n, rc;

	SCOPED_LOCK(&pci->hotplug);
	if (d->physfn) {
		pci_vf_unplug(d);
		return 0;
	}
	if (!d->priv->listed)
		return 0; /* somebody was faster */
	n = d->secondary ? pci_collect(d->secondary, &list) : 0;
	rc = n < 0 ? n : note_locked(d);
	for (int i = 0; rc == 0 && i < n; i++)
		rc = note_locked(list[i]);
	pci_collect_put(list, n);
	if (rc == 0)
		pci_dev_unplug_locked(d);
	return rc;
}

void pci_rescan_fini(struct pci *pci)
{
	struct pci_removed *r;

	while ((r = TAILQ_FIRST(&pci->removed))) {
		TAILQ_REMOVE(&pci->removed, r, link);
		free(r);
	}
}

/* Is @bus @top or below it? */
static bool below(const struct pci_bus *bus, const struct pci_bus *top)
{
	while (bus && bus != top)
		bus = bus->parent;
	return bus;
}

/* The first one whose bus is there, at or below @top (NULL: anywhere), off the list. */
static struct pci_removed *take_next_locked(struct pci *pci, const struct pci_bus *top, struct pci_bus **bus)
{
	struct pci_removed *r;

	SCOPED_LOCK(&pci->topo);
	TAILQ_FOREACH(r, &pci->removed, link) {
		*bus = pci_bus_find_locked(pci, r->domain, r->bus);
		if (*bus && (!top || below(*bus, top)))
			break;
	}
	if (r)
		TAILQ_REMOVE(&pci->removed, r, link);
	return r;
}

/* One function found again, with a reference in *@out. 0; -ENOENT: no more; -errno */
static int find_next(struct pci *pci, const struct pci_bus *top, struct pci_dev **out)
{
	struct pci_removed *r;
	struct pci_bus *bus;
	struct pci_dev *d;
	int rc;

	SCOPED_LOCK(&pci->hotplug);
	do {
		r = take_next_locked(pci, top, &bus);
		if (!r)
			return -ENOENT;
		rc = pci_dev_create_locked(bus, &r->desc, r->secondary, &d);
		free(r);
	} while (rc == -EEXIST);
	if (rc)
		return rc;
	rc = pci_dev_announce_locked(d);
	if (rc) {
		pci_dev_unplug_locked(d);
		return rc;
	}
	dev_get(&d->dev);
	*out = d;
	return 0;
}

int pci_rescan(struct pci *pci, const struct pci_bus *top)
{
	struct pci_dev *d;
	int rc;

	while ((rc = find_next(pci, top, &d)) == 0) {
		dev_autoprobe(&d->dev);
		dev_put(&d->dev);
	}
	return rc == -ENOENT ? 0 : rc;
}
