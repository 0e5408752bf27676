/* SPDX-License-Identifier: MIT */
/*
 * What a machine file means: the tree of buses. Here every bus gets its number and
 * every function its address, in the order in which a PC's firmware would give them: depth first, functions in the
 * order of their slots. A bridge may ask for a higher number than its turn. What one function is by itself is
 * looked at in checknode.c; parameters, IOMMU units and drivers in checkparts.c.
 */
#include "devices/devices.h"
#include "machine/builtin.h"
#include "machine/desc.h"
#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#define BUSES_IN_ALL (65536u * 256)
#define DEPTH_MAX    16 /* bridges below bridges: a function's path in sysfs names each */

static void complain_va(struct machine_check *c, const yaml_mark_t *mark, const char *fmt, va_list ap)
{
	AUTO_FREE char *line = NULL;

	if (vasprintf(&line, fmt, ap) >= 0)
		machine_complain(c->errors, mark, "%s", line);
}

void machine_complain_key(struct machine_check *c, const yaml_node_t *map, const char *key, const char *fmt, ...)
{
	const yaml_node_t *value = key ? machine_yaml_get(c->doc, map, key) : NULL;
	va_list ap;

	va_start(ap, fmt);
	complain_va(c, value ? &value->start_mark : &map->start_mark, fmt, ap);
	va_end(ap);
}

void machine_complain_item(struct machine_check *c, const yaml_node_t *map, const char *key, unsigned index,
			   const char *fmt, ...)
{
	const yaml_node_t *item = machine_yaml_item(c->doc, machine_yaml_get(c->doc, map, key), index);
	va_list ap;

	va_start(ap, fmt);
	complain_va(c, item ? &item->start_mark : &map->start_mark, fmt, ap);
	va_end(ap);
}

const char *machine_node_label(const struct machine_node *n)
{
	if (n->name)
		return n->name;
	return n->model ? n->model : machine_kind_name(n->kind);
}

bool machine_node_bridge(const struct machine_node *n)
{
	return n->kind != MACHINE_FUNCTION && n->kind != MACHINE_EVENT_COLLECTOR;
}

/* ---- the tree ---- */

bool machine_read_hex(const char **text, unsigned digits, uint32_t *out)
{
	char buf[9] = "";
	unsigned n = 0;

	while (n < digits && isxdigit((unsigned char)(*text)[n])) {
		buf[n] = (*text)[n];
		n++;
	}
	*text += n;
	*out = strtoul(buf, NULL, 16);
	return n > 0;
}

static void attach_yaml(struct machine_check *c, struct machine_node *n, struct machine_node *parent, yaml_node_t *yaml)
{
	yaml_node_t *below = machine_yaml_get(c->doc, yaml, "below");

	n->yaml = yaml;
	n->parent = parent;
	for (unsigned i = 0; i < n->below_count; i++)
		attach_yaml(c, &n->below[i], n, machine_yaml_item(c->doc, below, i));
}

/* "01.0": slot and function, in hex; the devfn, or -1 */
static int check_address(struct machine_check *c, struct machine_node *n, const char *key, const char *text)
{
	const char *p = text;
	uint32_t slot, function;

	if (!machine_read_hex(&p, 4, &slot) || *p++ != '.' || !machine_read_hex(&p, 4, &function) || *p) {
		machine_complain_key(c, n->yaml, key, "\"%s\": expected slot and function in hex, such as 01.0", text);
		return -1;
	}
	if (slot > 0x1f)
		machine_complain_key(c, n->yaml, key, "slot %s: a bus has slots 00 to 1f", text);
	else if (function > 7)
		machine_complain_key(c, n->yaml, key, "function %s: a slot has functions 0 to 7", text);
	return (int)((slot & 0x1f) << 3 | (function & 7));
}

static void check_at(struct machine_check *c, struct machine_node *n)
{
	int devfn;

	if (!n->at) {
		machine_complain_key(c, n->yaml, NULL, "\"at:\" is missing: slot and function, such as 01.0");
		return;
	}
	devfn = check_address(c, n, "at", n->at);
	if (devfn >= 0) {
		n->pci.slot = (uint8_t)(devfn >> 3);
		n->pci.function = devfn & 7;
	}
	devfn = n->physfn ? check_address(c, n, "physfn", n->physfn) : -1;
	if (devfn >= 0) {
		n->pci.virtual = true;
		n->pci.physfn = (uint8_t)devfn;
	}
}

/* A virtual function's physical one comes before it on the bus, as it would be found before. */
static void check_physfn(struct machine_check *c, struct machine_node *n)
{
	uint8_t devfn = (uint8_t)(n->pci.slot << 3 | n->pci.function);

	if (!n->physfn)
		return;
	if (n->kind != MACHINE_FUNCTION || n->below_count)
		machine_complain_key(c, n->yaml, "physfn", "a %s is no virtual function", machine_kind_name(n->kind));
	for (unsigned i = 0; i < n->parent->below_count; i++) {
		const struct machine_node *o = &n->parent->below[i];

		if (o->kind == MACHINE_FUNCTION && !o->physfn && n->pci.physfn < devfn &&
		    (o->pci.slot << 3 | o->pci.function) == n->pci.physfn)
			return;
	}
	machine_complain_key(c, n->yaml, "physfn",
			     "\"%s\": there is no function at a lower address of this bus that \"%s\" could be part of",
			     n->physfn, machine_node_label(n));
}

static void check_root(struct machine_check *c, struct machine_node *n)
{
	const char *p = n->bus ? n->bus : "0000:00";
	uint32_t domain, bus;

	if (n->kind != MACHINE_HOST_BRIDGE) {
		machine_complain_key(c, n->yaml, "kind",
				     "\"%s\" has no bus: the devices of a machine are host bridges, with all others "
				     "\"below:\" them",
				     machine_node_label(n));
		return;
	}
	if (n->at)
		machine_complain_key(c, n->yaml, "at", "a host bridge is at 00.0 of its bus; say \"bus: 0000:00\"");
	if (!machine_read_hex(&p, 4, &domain) || *p++ != ':' || !machine_read_hex(&p, 2, &bus) || *p)
		machine_complain_key(c, n->yaml, "bus", "\"%s\": expected domain and bus in hex, such as 0000:00",
				     n->bus);
	else {
		n->pci.domain = domain;
		n->number = n->secondary = bus;
	}
}

/* What may stand below what. */
static void check_place(struct machine_check *c, struct machine_node *n)
{
	const struct machine_node *up = n->parent;
	bool port = up->kind == MACHINE_ROOT_PORT || up->kind == MACHINE_DOWNSTREAM;

	if (n->kind == MACHINE_HOST_BRIDGE)
		machine_complain_key(c, n->yaml, "kind", "a host bridge is below nothing");
	else if ((n->kind == MACHINE_ROOT_PORT || n->kind == MACHINE_EVENT_COLLECTOR) &&
		 up->kind != MACHINE_HOST_BRIDGE)
		machine_complain_key(c, n->yaml, "kind", "a %s is directly below a host bridge",
				     machine_kind_name(n->kind));
	else if (n->kind == MACHINE_UPSTREAM && !port)
		machine_complain_key(c, n->yaml, "kind",
				     "an upstream port (of a switch) is below a root or downstream port");
	else if (n->kind == MACHINE_DOWNSTREAM && up->kind != MACHINE_UPSTREAM)
		machine_complain_key(c, n->yaml, "kind", "a downstream port is below the upstream port of its switch");
	else if (up->kind == MACHINE_UPSTREAM && n->kind != MACHINE_DOWNSTREAM)
		machine_complain_key(c, n->yaml, "at", "below an upstream port are the downstream ports of its switch");
	else if (port && n->pci.slot && !n->physfn)
		machine_complain_key(c, n->yaml, "at", "slot %s: below a %s there is slot 00 only", n->at,
				     machine_kind_name(up->kind));
	if (n->bus && !machine_node_bridge(n))
		machine_complain_key(c, n->yaml, "bus", "\"%s\" is no bridge and has no bus", machine_node_label(n));
	if (n->below_count && !machine_node_bridge(n))
		machine_complain_key(c, n->yaml, "below",
				     "\"%s\" is an endpoint: only ports and bridges have devices below",
				     machine_node_label(n));
}

static int by_address(const void *a, const void *b)
{
	const struct machine_node *x = *(struct machine_node *const *)a, *y = *(struct machine_node *const *)b;
	int d = (x->pci.slot << 3 | x->pci.function) - (y->pci.slot << 3 | y->pci.function);

	return d ? d : x < y ? -1 : x > y; /* file order among equals, so that the later one is blamed */
}

/* Addresses as written, and the order of each bus. */
static void check_bus(struct machine_check *c, struct machine_node *n, unsigned depth)
{
	if (depth == DEPTH_MAX && n->below_count) {
		machine_complain_key(c, n->yaml, "below", "more than %d bridges below each other", DEPTH_MAX);
		return;
	}
	n->order = calloc(n->below_count + 1, sizeof(*n->order));
	if (!n->order) {
		machine_complain(c->errors, NULL, "out of memory");
		return;
	}
	for (unsigned i = 0; i < n->below_count; i++) {
		struct machine_node *child = &n->below[i];

		n->order[i] = child;
		child->pci.domain = n->pci.domain;
		check_at(c, child);
		check_place(c, child);
		check_bus(c, child, depth + 1);
	}
	for (unsigned i = 0; i < n->below_count; i++)
		check_physfn(c, &n->below[i]);
	qsort(n->order, n->below_count, sizeof(*n->order), by_address);
}

/* A bridge's own idea of its number, or -1 */
static int wanted_number(struct machine_check *c, struct machine_node *n)
{
	const char *p = n->bus;
	uint32_t bus;

	if (!p)
		return -1;
	if (!machine_read_hex(&p, 2, &bus) || *p) {
		machine_complain_key(c, n->yaml, "bus",
				     "\"%s\": expected the number of the bus below, in hex, such as 04", n->bus);
		return -1;
	}
	return bus;
}

/* Number the buses below @n from *@next on. */
static void check_numbers(struct machine_check *c, struct machine_node *n, unsigned *next, uint8_t *used)
{
	int wanted;

	for (unsigned i = 0; i < n->below_count; i++) {
		struct machine_node *child = n->order[i];

		child->number = n->secondary;
		snprintf(child->address, sizeof(child->address), "%04x:%02x:%02x.%x", child->pci.domain, child->number,
			 child->pci.slot, child->pci.function);
	}
	for (unsigned i = 0; i < n->below_count && *next <= 256; i++) {
		struct machine_node *child = n->order[i];

		if (!machine_node_bridge(child))
			continue;
		wanted = wanted_number(c, child);
		if (wanted >= 0 && wanted < (int)*next)
			machine_complain_key(c, child->yaml, "bus",
					     "bus %02x is taken: numbers rise with the address of the bridge, here "
					     "from %02x on",
					     wanted, *next);
		else if (wanted >= 0)
			*next = wanted;
		if (*next > 255) {
			machine_complain_key(c, child->yaml, NULL,
					     "no bus number is left for what is below \"%s\" (256 a domain)",
					     machine_node_label(child));
			*next = 257;
			return;
		}
		child->secondary = (*next)++;
		if (used[child->pci.domain << 8 | child->secondary]++)
			machine_complain_key(c, child->yaml, NULL,
					     "bus %04x:%02x exists twice: give the host bridges' buses more room",
					     child->pci.domain, child->secondary);
		check_numbers(c, child, next, used);
	}
}

static void both_at(struct machine_check *c, const struct machine_node *n, const struct machine_node *other)
{
	machine_complain_key(c, n->yaml, "at", "\"%s\" and \"%s\" (line %zu) are both at %s", machine_node_label(n),
			     machine_node_label(other), other->yaml->start_mark.line + 1, n->address);
}

/* Two at one address; a slot without function 0. */
static void check_addresses(struct machine_check *c, struct machine_node *n)
{
	const struct machine_node *before = NULL, *child;
	bool slot_found = n->kind == MACHINE_HOST_BRIDGE; /* 00.0 is the host bridge itself */

	for (unsigned i = 0; i < n->below_count; i++, before = child) {
		child = n->order[i];
		if (before && child->pci.slot == before->pci.slot && child->pci.function == before->pci.function)
			both_at(c, child, before);
		if (!before && n->kind == MACHINE_HOST_BRIDGE && !child->pci.slot && !child->pci.function)
			both_at(c, child, n);
		if (before ? child->pci.slot != before->pci.slot : child->pci.slot != 0)
			slot_found = false;
		if (child->pci.function == 0 || child->physfn)
			slot_found = true;
		else if (!slot_found)
			machine_complain_key(c, child->yaml, "at", "\"%s\" is never found: slot %02x has no function 0",
					     machine_node_label(child), child->pci.slot);
		slot_found = true;
		check_addresses(c, n->order[i]);
	}
}

static void check_names(struct machine_check *c)
{
	struct machine_node *n = c->d->devices;

	for (unsigned i = 0; i < c->d->devices_count; i++) {
		check_root(c, &n[i]);
		check_bus(c, &n[i], 0);
	}
}

static void check_tree(struct machine_check *c)
{
	yaml_node_t *list = machine_yaml_get(c->doc, yaml_document_get_root_node(c->doc), "devices");
	struct machine_node *n = c->d->devices;
	AUTO_FREE uint8_t *used = calloc(BUSES_IN_ALL, 1);
	unsigned next;

	for (unsigned i = 0; i < c->d->devices_count; i++)
		attach_yaml(c, &n[i], NULL, machine_yaml_item(c->doc, list, i));
	check_names(c);
	if (!used)
		machine_complain(c->errors, NULL, "out of memory");
	if (c->errors->count)
		return;
	for (unsigned i = 0; i < c->d->devices_count; i++) {
		snprintf(n[i].address, sizeof(n[i].address), "%04x:%02x:00.0", n[i].pci.domain, n[i].number);
		if (used[n[i].pci.domain << 8 | n[i].number]++)
			machine_complain_key(c, n[i].yaml, "bus", "there is a bus %04x:%02x already", n[i].pci.domain,
					     n[i].number);
	}
	for (unsigned i = 0; i < c->d->devices_count; i++) {
		next = n[i].number + 1;
		check_numbers(c, &n[i], &next, used);
		check_addresses(c, &n[i]);
	}
}

/* ---- all of it ---- */

static int for_each_below(struct machine_node *n, int (*fn)(struct machine_node *n, void *ctx), void *ctx)
{
	int rc = 0;

	for (unsigned i = 0; i < n->below_count && !rc; i++)
		rc = fn(n->order[i], ctx);
	for (unsigned i = 0; i < n->below_count && !rc; i++)
		rc = for_each_below(n->order[i], fn, ctx);
	return rc;
}

int machine_for_each(struct machine_desc *d, int (*fn)(struct machine_node *n, void *ctx), void *ctx)
{
	int rc = 0;

	for (unsigned i = 0; i < d->devices_count && !rc; i++) {
		rc = fn(&d->devices[i], ctx);
		if (!rc)
			rc = for_each_below(&d->devices[i], fn, ctx);
	}
	return rc;
}

static int check_one(struct machine_node *n, void *ctx)
{
	machine_node_check(ctx, n);
	return 0;
}

static int forget_yaml(struct machine_node *n, void *ctx)
{
	n->yaml = NULL;
	return 0;
}

void machine_desc_check(struct machine_check *c)
{
	struct machine_desc *d = c->d;

	machine_parts_check(c);
	machine_kernel_check(c);
	check_tree(c);
	if (c->errors->count)
		return;
	machine_for_each(d, check_one, c);
	machine_for_each(d, forget_yaml, NULL);
}
