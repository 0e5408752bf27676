/* SPDX-License-Identifier: MIT */
/* The machine drawn as a tree, for people, and the same as JSON, for programs. */
#include "machine/priv.h"
#include <jansson.h>
#include <string.h>

#define COLUMN_GROUP 50 /* at least; further right when something is wider */

/* ---- what both say ---- */

/* The ACS flags in effect at a port. */
static uint8_t acs_flags(struct pci_dev *d)
{
	uint8_t flags = 0;

	for (unsigned i = 0; i < 7; i++) {
		if (pci_acs_enabled(d, BIT(i)) && BIT(i) & PCI_ACS_ISOLATION)
			flags |= BIT(i);
	}
	return flags;
}

static bool is_port(const struct machine_look *l)
{
	return l->dev->type == PCI_ROOT_PORT || l->dev->type == PCI_DOWNSTREAM;
}

static const struct iommu_unit *first_unit(const struct machine_picture *p)
{
	for (unsigned i = 0; i < p->n; i++) {
		const struct iommu_unit *u = iommu_dev_unit(p->at[i].dev->iommu);

		if (u)
			return u;
	}
	return NULL;
}

/* The function of the root bus that stands for the bus itself. */
static bool is_root(const struct machine_look *l)
{
	return l->node && l->node->kind == MACHINE_HOST_BRIDGE;
}

/* ---- text ---- */

/* Columns, not bytes: the lines of the tree are three bytes each. */
static unsigned width(const char *s)
{
	unsigned n = 0;

	for (; *s; s++)
		n += (*s & 0xc0) != 0x80;
	return n;
}

static void branches(const struct machine_look *l, FILE *out)
{
	if (!l)
		return;
	branches(l->parent, out);
	fputs(l->last ? "   " : "│  ", out);
}

/* The left part: where and what. */
static char *left(const struct machine_look *l)
{
	char *text = NULL, flags[24];
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	if (is_root(l)) {
		fprintf(f, "%.7s  host bridge", l->dev->dev.name);
	} else {
		branches(l->parent, f);
		fprintf(f, "%s %s  ", l->last ? "└─" : "├─", machine_short_name(l));
		if (l->dev->bridge)
			fputs(machine_what(l), f);
		else
			fprintf(f, "%04x:%04x %s", l->dev->vendor, l->dev->device, machine_what(l));
		if (is_port(l) && acs_flags(l->dev))
			fprintf(f, "  ACS %s", machine_acs_text(acs_flags(l->dev), flags));
		else if (is_port(l))
			fputs(pci_find_ext_cap(l->dev, PCI_EXT_CAP_ID_ACS) ? "  ACS off" : "  no ACS", f);
	}
	fclose(f);
	return text;
}

static void put_line(struct machine *m, const struct machine_look *l, unsigned column, FILE *out)
{
	AUTO_FREE char *text = left(l);
	struct vfio_user user;

	if (!text)
		return;
	fprintf(out, "%s%*s", text, (int)(column - width(text)), "");
	if (l->group)
		fprintf(out, "group %-3u ", l->group_id);
	else
		fputs("no group  ", out);
	if (!l->driver)
		fputs("-", out);
	else
		fprintf(out, "%s%s", l->driver->name, l->driver->uses_dma ? " (does DMA)" : "");
	if (machine_blocks(l))
		fprintf(out, "   <- keeps group %u from users", l->group_id);
	else if (l->driver && vfio_pci_is(l->driver) && l->group &&
		 vfio_user_of(m->vfio, l->group_id, &user) && user.group_open)
		fprintf(out, "   %s (pid %d) via %s", user.comm, (int)user.pid, user.node);
	fputc('\n', out);
}

static void list_text(struct machine *m, struct machine_picture *p, FILE *out)
{
	const struct iommu_unit *u = first_unit(p);
	unsigned column = COLUMN_GROUP;

	for (unsigned i = 0; i < p->n; i++) {
		AUTO_FREE char *text = left(&p->at[i]);

		column = text ? MAX(column, width(text) + 2) : column;
	}
	fprintf(out, "machine \"%s\"  %s profile, ", machine_name(m),
		machine_version_name(m->desc->kernel.version));
	if (u)
		fprintf(out, "IOMMU %s (%u bit)\n", u->name, u->width);
	else
		fputs("no IOMMU\n", out);
	for (unsigned i = 0; i < p->n; i++)
		put_line(m, &p->at[i], column, out);
}

/* ---- JSON ---- */

static json_t *json_user(struct machine *m, const struct machine_look *l)
{
	struct vfio_user user;

	if (!l->group || !vfio_user_of(m->vfio, l->group_id, &user) || !user.group_open)
		return json_null();
	return json_pack("{s:s, s:s, s:i, s:I, s:b}", "node", user.node, "command", user.comm, "pid", (int)user.pid,
			 "since_ns", (json_int_t)user.since, "device_open", (int)user.device_open);
}

static json_t *json_driver(const struct machine_look *l)
{
	if (!l->driver)
		return json_null();
	return json_pack("{s:s, s:b, s:b, s:b}", "name", l->driver->name, "managed", (int)l->driver->managed,
			 "does_dma", (int)l->driver->uses_dma, "maps_mmio", (int)l->driver->maps_mmio);
}

static json_t *json_function(struct machine *m, const struct machine_look *l)
{
	char ids[12], class_code[8], acs[24];
	json_t *o;

	snprintf(ids, sizeof(ids), "%04x:%04x", l->dev->vendor, l->dev->device);
	snprintf(class_code, sizeof(class_code), "%06x", l->dev->class_code & 0xffffff);
	o = json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:b}", "address", l->dev->dev.name, "what", machine_what(l),
		      "ids", ids, "class", class_code, "group", l->group ? json_integer(l->group_id) : json_null(),
		      "driver", json_driver(l), "user", json_user(m, l), "blocks_group", (int)machine_blocks(l));
	if (o && l->node && l->node->name)
		json_object_set_new(o, "name", json_string(l->node->name));
	if (o && l->node && l->node->model)
		json_object_set_new(o, "model", json_string(l->node->model));
	if (o && is_port(l))
		json_object_set_new(o, "acs", json_string(machine_acs_text(acs_flags(l->dev), acs)));
	if (o && l->dev->bridge)
		json_object_set_new(o, "below", json_array());
	return o;
}

static int list_json(struct machine *m, struct machine_picture *p, FILE *out)
{
	const struct iommu_unit *u = first_unit(p);
	AUTO_FREE json_t **made = calloc(p->n + 1, sizeof(json_t *));
	json_t *devices = json_array(), *root, *into;
	int rc;

	for (unsigned i = 0; made && i < p->n; i++) {
		const struct machine_look *l = &p->at[i];

		made[i] = json_function(m, l);
		into = l->parent ? json_object_get(made[l->parent - p->at], "below") : devices;
		json_array_append_new(into, made[i]);
	}
	root = json_pack("{s:s, s:s, s:o, s:o}", "machine", machine_name(m), "profile",
			 machine_version_name(m->desc->kernel.version), "iommu",
			 u ? json_pack("{s:s, s:i}", "name", u->name, "width", (int)u->width) : json_null(), "devices",
			 devices);
	if (!made || !root) {
		json_decref(root);
		return -ENOMEM;
	}
	rc = json_dumpf(root, out, JSON_INDENT(2)) ? -EIO : 0;
	fputc('\n', out);
	json_decref(root);
	return rc;
}

int machine_list(struct machine *m, bool json, FILE *out)
{
	struct machine_picture p;
	int rc = machine_picture_take(m, &p);

	if (rc)
		return rc;
	if (json)
		rc = list_json(m, &p, out);
	else
		list_text(m, &p, out);
	machine_picture_drop(&p);
	return rc;
}
