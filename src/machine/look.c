/* SPDX-License-Identifier: MIT */
/*
 * Looking at a running machine for list and explain: one pass over the functions takes references, the rest is read
 * from this picture. Drivers may come and go meanwhile; a picture is for people.
 */
#include "machine/priv.h"
#include <string.h>

struct collect {
	struct pci_dev **devs;
	unsigned n, room;
};

static int collect_one(struct pci_dev *d, void *ctx)
{
	struct collect *c = ctx;
	struct pci_dev **more;

	if (c->n == c->room) {
		more = realloc(c->devs, (c->room * 2 + 16) * sizeof(struct pci_dev *));
		if (!more)
			return -ENOMEM;
		c->devs = more;
		c->room = c->room * 2 + 16;
	}
	dev_get(&d->dev);
	c->devs[c->n++] = d;
	return 0;
}

/* The bridge a function is below; buses of virtual functions have none of their own. */
static struct pci_dev *bridge_of(struct pci_dev *d)
{
	for (struct pci_bus *b = d->bus; b; b = pci_bus_parent(b)) {
		if (pci_bus_bridge(b))
			return pci_bus_bridge(b);
	}
	return NULL;
}

/* A function and where it hangs, for sorting siblings together. */
struct sibling {
	struct pci_dev *dev, *bridge;
	unsigned order; /* of the scan */
};

static int by_bridge(const void *a, const void *b)
{
	const struct sibling *x = a, *y = b;

	if (x->bridge != y->bridge)
		return x->bridge < y->bridge ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

static unsigned first_below(const struct sibling *s, unsigned n, const struct pci_dev *bridge)
{
	unsigned low = 0, high = n;

	while (low < high) {
		unsigned mid = (low + high) / 2;

		if (s[mid].bridge < bridge)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static void fill(struct machine *m, struct machine_look *l, struct pci_dev *d)
{
	l->dev = d;
	l->node = machine_node_at(m, d->dev.name);
	l->driver = dev_driver(&d->dev);
	l->group = iommu_dev_group_get(d->iommu);
	l->group_id = l->group ? iommu_group_id(l->group) : 0;
}

static void place(struct machine *m, struct machine_picture *p, const struct sibling *s, unsigned n,
		  struct machine_look *parent)
{
	struct pci_dev *bridge = parent ? parent->dev : NULL;
	struct machine_look *l;

	if (parent && !bridge->bridge)
		return;
	for (unsigned i = first_below(s, n, bridge); i < n && s[i].bridge == bridge; i++) {
		l = &p->at[p->n++];
		fill(m, l, s[i].dev);
		l->parent = parent;
		l->last = i + 1 == n || s[i + 1].bridge != bridge || s[i + 1].dev->domain != l->dev->domain ||
			  (!bridge && s[i + 1].dev->bus != l->dev->bus);
		place(m, p, s, n, l);
	}
}

int machine_picture_take(struct machine *m, struct machine_picture *p)
{
	struct collect c = { 0 };
	AUTO_FREE struct sibling *s = NULL;
	int rc = pci_for_each(m->pci, collect_one, &c);

	*p = (struct machine_picture){ 0 };
	s = calloc(c.n + 1, sizeof(*s));
	p->at = calloc(c.n + 1, sizeof(*p->at));
	if (rc || !s || !p->at) {
		for (unsigned i = 0; i < c.n; i++)
			dev_put(&c.devs[i]->dev);
		free(c.devs);
		free(p->at);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < c.n; i++)
		s[i] = (struct sibling){ c.devs[i], bridge_of(c.devs[i]), i };
	qsort(s, c.n, sizeof(*s), by_bridge);
	place(m, p, s, c.n, NULL);
	free(c.devs);
	return 0;
}

struct name_list {
	char (*name)[16];
	unsigned n, room;
};

static int collect_name(void *ctx, const char *name, const struct node_stat *st)
{
	struct name_list *l = ctx;
	void *more;

	if (l->n == l->room) {
		more = realloc(l->name, (l->room * 2 + 8) * sizeof(*l->name));
		if (!more)
			return -ENOMEM;
		l->name = more;
		l->room = l->room * 2 + 8;
	}
	snprintf(l->name[l->n++], sizeof(*l->name), "%s", name);
	return 0;
}

int machine_picture_group(struct machine *m, unsigned group_id, struct machine_picture *p)
{
	struct name_list names = { 0 };
	char path[64];
	int rc;

	*p = (struct machine_picture){ 0 };
	snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%u/devices", group_id);
	rc = tree_list(m->tree, path, collect_name, &names);
	if (!rc) {
		p->at = calloc(names.n + 1, sizeof(*p->at));
		rc = p->at ? 0 : -ENOMEM;
	}
	for (unsigned i = 0; !rc && i < names.n; i++) {
		struct pci_dev *d = pci_find(m->pci, names.name[i]);

		if (d)
			fill(m, &p->at[p->n++], d);
	}
	free(names.name);
	return rc;
}

void machine_picture_drop(struct machine_picture *p)
{
	for (unsigned i = 0; i < p->n; i++) {
		iommu_group_put(p->at[i].group);
		dev_put(&p->at[i].dev->dev);
	}
	free(p->at);
}

struct machine_look *machine_picture_find(struct machine_picture *p, const char *bdf)
{
	for (unsigned i = 0; i < p->n; i++) {
		const char *name = p->at[i].dev->dev.name;

		if (strcmp(name, bdf) == 0 || (strncmp(name, "0000:", 5) == 0 && strcmp(name + 5, bdf) == 0))
			return &p->at[i];
	}
	return NULL;
}

const char *machine_short_name(const struct machine_look *l)
{
	const char *name = l->dev->dev.name;

	return strncmp(name, "0000:", 5) == 0 ? name + 5 : name;
}

const char *machine_what(const struct machine_look *l)
{
	switch (l->dev->type) {
	case PCI_ROOT_PORT:
		return "root port";
	case PCI_UPSTREAM:
		return "upstream port";
	case PCI_DOWNSTREAM:
		return "downstream port";
	case PCI_PCIE_TO_PCI:
		return "PCIe-to-PCI bridge";
	case PCI_PCI_TO_PCIE:
		return "PCI-to-PCIe bridge";
	case PCI_RC_EVENT:
		return "event collector";
	default:
		break;
	}
	if (l->dev->bridge)
		return "PCI bridge";
	if (l->dev->class_code >> 8 == 0x0600)
		return "host bridge";
	if (!l->node || !l->node->model)
		return "function";
	return strcmp(l->node->model, "generic") == 0 && l->node->name ? l->node->name : l->node->model;
}

const char *machine_acs_text(uint8_t flags, char buf[24])
{
	static const char names[][4] = { "SV", "TB", "RR", "CR", "UF", "EC", "DT" };
	size_t n = 0;

	buf[0] = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		if (flags & BIT(i))
			n += snprintf(buf + n, 24 - n, "%s%s", n ? " " : "", names[i]);
	}
	return buf;
}

bool machine_blocks(const struct machine_look *l)
{
	return l->group && l->driver && !l->driver->managed;
}
