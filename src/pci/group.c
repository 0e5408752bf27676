/* SPDX-License-Identifier: MIT */
/*
 * Which functions share an IOMMU group: those whose DMA the IOMMU cannot tell apart, and those that can reach each
 * other without passing it. (spec 10, 1.2 and 1.3)
 *
 * The decision looks for groups that exist already, so it is right only in scan order: bridges before what is below
 * them. It is made once for each function, when it appears.
 */
#include "pci/priv.h"
#include <string.h>

/* ---- quirks: requester ids other than the function's own ---- */

enum alias_kind { ALIAS_FN0, ALIAS_FN1, ALIAS_LIST, ALIAS_SLOTS_FN0_4, ALIAS_ALL };

struct alias_quirk {
	uint16_t vendor, device, subvendor, subdevice; /* subsystem 0: any */
	uint8_t kind;
	uint8_t list[3], n; /* ALIAS_LIST: devfns */
};

#define FN0(v, d) { v, d, 0, 0, ALIAS_FN0, { 0 }, 0 }
#define FN1(v, d) { v, d, 0, 0, ALIAS_FN1, { 0 }, 0 }
#define DEVFN(s, f) ((s) << 3 | (f))

static const struct alias_quirk aliases[] = {
	FN0(0x1180, 0xe832), FN0(0x1180, 0xe476), FN0(0x6766, 0x3d40), FN0(0x6766, 0x3d41),
	FN1(0x1b4b, 0x9120), FN1(0x1b4b, 0x9123), FN1(0x1b4b, 0x9125), FN1(0x1b4b, 0x9128), FN1(0x1b4b, 0x9130),
	FN1(0x1b4b, 0x9170), FN1(0x1b4b, 0x9172), FN1(0x1b4b, 0x917a), FN1(0x1b4b, 0x9182), FN1(0x1b4b, 0x9183),
	FN1(0x1b4b, 0x91a0), FN1(0x1b4b, 0x9215), FN1(0x1b4b, 0x9220), FN1(0x1b4b, 0x9230), FN1(0x1b4b, 0x9235),
	FN1(0x1103, 0x0642), FN1(0x1103, 0x0645), FN1(0x197b, 0x2392), FN1(0x1c28, 0x0122),
	{ 0x9005, 0x0285, 0x9005, 0x02bb, ALIAS_LIST, { DEVFN(1, 0) }, 1 },
	{ 0x9005, 0x0285, 0x9005, 0x02bc, ALIAS_LIST, { DEVFN(1, 0) }, 1 },
	{ 0x8086, 0x2260, 0, 0, ALIAS_LIST, { DEVFN(0x10, 0), DEVFN(0x11, 0), DEVFN(0x12, 3) }, 3 },
	{ 0x8086, 0x2264, 0, 0, ALIAS_LIST, { DEVFN(0x10, 0), DEVFN(0x11, 0), DEVFN(0x12, 3) }, 3 },
	{ 0x8086, 0x2954, 0, 0, ALIAS_SLOTS_FN0_4, { 0 }, 0 },
	{ 0x8086, 0x2955, 0, 0, ALIAS_SLOTS_FN0_4, { 0 }, 0 },
	{ 0x8086, 0x2956, 0, 0, ALIAS_SLOTS_FN0_4, { 0 }, 0 },
	{ 0x8086, 0x2958, 0, 0, ALIAS_SLOTS_FN0_4, { 0 }, 0 },
	{ 0x8086, 0x2959, 0, 0, ALIAS_SLOTS_FN0_4, { 0 }, 0 },
	{ 0x8086, 0x295a, 0, 0, ALIAS_SLOTS_FN0_4, { 0 }, 0 },
	{ 0x10b5, 0x87b0, 0, 0, ALIAS_ALL, { 0 }, 0 },
	{ 0x10b5, 0x87b1, 0, 0, ALIAS_ALL, { 0 }, 0 },
};

/* Bridges that need more than their type to be understood. */
struct id {
	uint16_t vendor, device;
};

static const struct id translation_root[] = { { 0x14e4, 0x9000 }, { 0x14e4, 0x9084 } };
static const struct id no_alias[] = { { 0x1a03, 0x1150 } };
static const struct id hidden_express[] = { { 0x1b21, 0x1080 }, { 0x10e3, 0x8113 }, { 0x1283, 0x8892 },
					    { 0x1283, 0x8893 }, { 0x8086, 0x244e } };

static bool is_listed(const struct pci_dev *d, const struct id *id, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (id[i].vendor == d->vendor && id[i].device == d->device)
			return true;
	}
	return false;
}

static bool quirk_covers(const struct alias_quirk *q, const struct pci_dev *d, uint8_t devfn)
{
	switch (q->kind) {
	case ALIAS_FN0:
		return devfn == DEVFN(pci_slot(d), 0);
	case ALIAS_FN1:
		return devfn == DEVFN(pci_slot(d), 1);
	case ALIAS_LIST:
		return memchr(q->list, devfn, q->n) != NULL;
	case ALIAS_SLOTS_FN0_4:
		return (devfn & 7) <= 4;
	default:
		return true;
	}
}

/* May @d put @devfn of its bus on its requests? (its own number aside) */
static bool has_alias(const struct pci_dev *d, uint8_t devfn)
{
	for (unsigned i = 0; i < ARRAY_SIZE(aliases); i++) {
		const struct alias_quirk *q = &aliases[i];

		if (q->vendor != d->vendor || q->device != d->device)
			continue;
		if (q->subvendor && (q->subvendor != d->subvendor || q->subdevice != d->subdevice))
			continue;
		return devfn != d->devfn && quirk_covers(q, d, devfn);
	}
	return false;
}

/* ---- the alias walk (1.3) ---- */

static bool acts_as_pcie_to_pci(const struct pci_dev *t)
{
	const struct pci_dev *up = t->bus->bridge;

	if (t->type == PCI_PCIE_TO_PCI)
		return true;
	return t->type == PCI_CONVENTIONAL && t->bridge && up && pci_is_express(up) && up->type != PCI_PCIE_TO_PCI &&
	       is_listed(t, hidden_express, ARRAY_SIZE(hidden_express));
}

/*
 * The owners of the requester ids that @d's requests may carry upstream, from @d upwards; the ids themselves matter
 * to nobody here. Returns the last owner, or the first one that has a group.
 */
static struct pci_dev *alias_top(struct pci_dev *d, struct iommu_group **group)
{
	struct pci_dev *top = d;

	for (struct pci_bus *bus = d->bus; bus->parent; bus = bus->parent) {
		struct pci_dev *t = bus->bridge;

		if (!t)
			continue;
		if (is_listed(t, translation_root, ARRAY_SIZE(translation_root)))
			break;
		if (pci_is_port(t))
			continue;
		if (acts_as_pcie_to_pci(t) && is_listed(t, no_alias, ARRAY_SIZE(no_alias)))
			continue;
		top = t;
		*group = iommu_dev_group(t->iommu);
		if (*group)
			break;
	}
	return top;
}

/* ---- the decision (1.2) ---- */

struct search {
	uint64_t seen[4]; /* devfns of top's bus */
};

static bool isolated(struct pci_dev *d)
{
	return pci_acs_enabled(d, PCI_ACS_ISOLATION);
}

static bool same_slot(const struct pci_dev *a, const struct pci_dev *b)
{
	return a->bus == b->bus && pci_slot(a) == pci_slot(b);
}

static struct iommu_group *search_aliases(struct pci_dev *d, struct search *s);

/* Step 4: the other functions of a slot that are not isolated either. */
static struct iommu_group *search_functions(struct pci_dev *d, struct search *s)
{
	struct pci_dev *o;

	if (!d->priv->slot_scan_mf || isolated(d))
		return NULL;
	TAILQ_FOREACH(o, &d->bus->devs, bus_link) {
		struct iommu_group *g;

		if (o == d || !same_slot(o, d) || isolated(o))
			continue;
		g = search_aliases(o, s);
		if (g)
			return g;
	}
	return NULL;
}

/* Step 3: whoever shares requester ids with @d, and who shares with those. */
static struct iommu_group *search_aliases(struct pci_dev *d, struct search *s)
{
	struct iommu_group *g;
	struct pci_dev *o;

	if (s->seen[d->devfn / 64] & BIT64(d->devfn % 64))
		return NULL;
	s->seen[d->devfn / 64] |= BIT64(d->devfn % 64);
	g = iommu_dev_group(d->iommu);
	if (g)
		return g;
	TAILQ_FOREACH(o, &d->bus->devs, bus_link) {
		if (o == d || (!has_alias(d, o->devfn) && !has_alias(o, d->devfn)))
			continue;
		g = search_aliases(o, s);
		if (!g)
			g = search_functions(o, s);
		if (g)
			return g;
	}
	return NULL;
}

static bool path_isolated(struct pci_dev *bridge)
{
	for (struct pci_dev *b = bridge; b;) {
		struct pci_bus *bus = b->bus;

		if (!isolated(b))
			return false;
		while (bus->parent && !bus->bridge)
			bus = bus->parent;
		b = bus->bridge;
	}
	return true;
}

static struct iommu_group *find_group_locked(struct pci_dev *d)
{
	struct search s = { { 0 } };
	struct iommu_group *g = NULL;
	struct pci_dev *top = alias_top(d, &g);

	if (g)
		return g;
	for (struct pci_bus *bus = top->bus; bus->parent; bus = bus->parent) {
		if (!bus->bridge)
			continue;
		if (path_isolated(bus->bridge))
			break;
		top = bus->bridge;
		g = iommu_dev_group(top->iommu);
		if (g)
			return g;
	}
	g = search_aliases(top, &s);
	return g ? g : search_functions(top, &s);
}

int pci_group_join(struct pci_dev *d)
{
	struct iommu_group *g;
	int rc = 0;

	if (!d->priv->unit || iommu_dev_group(d->iommu))
		return 0;
	mutex_lock(&d->pci->topo);
	g = find_group_locked(d);
	if (g)
		iommu_group_get(g);
	mutex_unlock(&d->pci->topo);
	if (!g)
		rc = iommu_group_create(d->pci->iommu, &g);
	if (rc)
		return rc;
	rc = iommu_dev_join(d->iommu, g);
	iommu_group_put(g); /* membership holds its own */
	return rc;
}
