/* SPDX-License-Identifier: MIT */
/*
 * What a machine file means: the IOMMU units, the drivers, and the tree of buses. Here every bus gets its number and
 * every function its address, in the order in which a PC's firmware would give them: depth first, functions in the
 * order of their slots. A bridge may ask for a higher number than its turn. What one function is by itself is
 * looked at in checknode.c.
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

static bool chosen(enum machine_choice c, bool otherwise)
{
	return c == MACHINE_DEFAULT ? otherwise : c == MACHINE_YES;
}

/* ---- parameters ---- */

static void check_parameters(struct machine_check *c)
{
	struct machine_parameters *p = &c->d->parameters;

	p->vfio.type1_allow_unsafe_interrupts = p->unsafe_interrupts == MACHINE_YES;
	p->vfio.type1_disable_hugepages = p->disable_hugepages == MACHINE_YES;
	p->vfio.enable_unsafe_noiommu_mode = p->noiommu == MACHINE_YES;
	p->vfio.type1_dma_entry_limit = p->dma_entry_limit ? p->dma_entry_limit : 65535;
	p->vfio_pci.nointxmask = p->nointxmask == MACHINE_YES;
	p->vfio_pci.disable_idle_d3 = p->disable_idle_d3 == MACHINE_YES;
	p->vfio_pci.enable_sriov = p->enable_sriov == MACHINE_YES;
	p->vfio_pci.disable_denylist = p->disable_denylist == MACHINE_YES;
	p->vfio_pci.disable_vga = p->disable_vga == MACHINE_YES;
	if (!p->ids)
		return;
	if (strlen(p->ids) >= sizeof(p->vfio_pci.ids))
		machine_complain(c->errors, NULL, "vfio_pci.ids is longer than %zu characters",
				 sizeof(p->vfio_pci.ids) - 1);
	else
		strcpy(p->vfio_pci.ids, p->ids);
}

/* ---- IOMMU units ---- */

static uint64_t check_page_sizes(struct machine_check *c, struct machine_unit *u)
{
	uint64_t sizes = 0, size;

	if (!u->page_sizes)
		return 0x40201000;
	for (unsigned i = 0; i < u->page_sizes_count; i++) {
		if (model_size_parse(u->page_sizes[i], &size) ||
		    (size != 0x1000 && size != 0x200000 && size != 0x40000000))
			machine_complain_item(c, u->yaml, "page_sizes", i, "page size \"%s\": expected 4K, 2M or 1G",
					      u->page_sizes[i]);
		else
			sizes |= size;
	}
	if (sizes && !(sizes & 0x1000))
		machine_complain_key(c, u->yaml, "page_sizes", "pages of 4K are missing: every IOMMU has them");
	return sizes;
}

static void unit_defaults(struct iommu_unit *u, const char *name, enum machine_unit_kind kind)
{
	snprintf(u->name, sizeof(u->name), "%s", name);
	u->width = 48;
	u->pgsizes = 0x40201000;
	u->coherent = true;
	u->enforce_coherency = true;
	u->msi_isolated = true;
	u->requests_acs = kind != MACHINE_SMMU;
	strcpy(u->default_domain, kind == MACHINE_INTEL ? "DMA-FQ" : "DMA");
}

static void check_unit(struct machine_check *c, struct machine_unit *u, unsigned index)
{
	static const char *const domains[] = { "DMA", "DMA-FQ", "identity" };
	bool known = !u->default_domain;

	if (strlen(u->name) >= sizeof(u->unit.name))
		machine_complain_key(c, u->yaml, "name", "longer than %zu characters", sizeof(u->unit.name) - 1);
	for (unsigned i = 0; i < index; i++) {
		if (strcmp(c->d->iommus[i].name, u->name) == 0)
			machine_complain_key(c, u->yaml, "name", "there is an IOMMU \"%s\" already (line %zu)", u->name,
					     c->d->iommus[i].yaml->start_mark.line + 1);
	}
	if (strcmp(u->name, "none") == 0)
		machine_complain_key(c, u->yaml, "name", "\"none\" means no IOMMU; call this one otherwise");
	unit_defaults(&u->unit, u->name, u->kind);
	if (u->width)
		u->unit.width = u->width;
	if (u->unit.width < 32 || u->unit.width > 57)
		machine_complain_key(c, u->yaml, "width", "%u address bits: expected 32 to 57", u->unit.width);
	u->unit.pgsizes = check_page_sizes(c, u);
	u->unit.coherent = chosen(u->coherent, true);
	u->unit.enforce_coherency = chosen(u->enforce_coherency, u->unit.coherent);
	u->unit.msi_isolated = chosen(u->interrupt_remapping, true);
	u->unit.requests_acs = chosen(u->acs, u->unit.requests_acs);
	for (size_t i = 0; u->default_domain && i < ARRAY_SIZE(domains); i++)
		known = known || strcmp(domains[i], u->default_domain) == 0;
	if (!known)
		machine_complain_key(c, u->yaml, "default_domain", "\"%s\": expected DMA, DMA-FQ or identity",
				     u->default_domain);
	else if (u->default_domain)
		strcpy(u->unit.default_domain, u->default_domain);
}

/* ---- drivers ---- */

static bool read_hex(const char **text, unsigned digits, uint32_t *out)
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

/* "8086:10c9", "8086:*", "class 0200" */
static bool read_match(const char *text, struct drv_id *m)
{
	const char *p = text;
	size_t digits;

	*m = (struct drv_id){
		.vendor = DRV_ANY_ID, .device = DRV_ANY_ID, .subvendor = DRV_ANY_ID, .subdevice = DRV_ANY_ID
	};
	if (strncmp(p, "class ", 6) == 0) {
		p += 6;
		digits = strlen(p);
		if (!read_hex(&p, 6, &m->class_code) || *p || digits % 2)
			return false;
		m->class_code <<= 4 * (6 - digits);
		m->class_mask = (0xffffffu << 4 * (6 - digits)) & 0xffffff;
		return true;
	}
	if (!read_hex(&p, 4, &m->vendor) || !m->vendor || *p++ != ':')
		return false;
	if (strcmp(p, "*") == 0)
		return true;
	return read_hex(&p, 4, &m->device) && !*p;
}

static int errno_of(const char *name)
{
	const char *n;

	for (int i = 1; i < 134; i++) {
		n = strerrorname_np(i);
		if (n && strcmp(n, name) == 0)
			return i;
	}
	return 0;
}

static void check_driver(struct machine_check *c, struct machine_driver *r, unsigned index)
{
	for (unsigned i = 0; i < index; i++) {
		if (strcmp(c->d->drivers[i].name, r->name) == 0)
			machine_complain_key(c, r->yaml, "name", "there is a driver \"%s\" already (line %zu)", r->name,
					     c->d->drivers[i].yaml->start_mark.line + 1);
	}
	if (machine_builtin_driver(r->name))
		machine_complain_key(c, r->yaml, "name", "\"%s\" is a driver every machine has", r->name);
	if (strchr(r->name, '/') || strcmp(r->name, "none") == 0)
		machine_complain_key(c, r->yaml, "name", "\"%s\" cannot be the name of a driver", r->name);
	if (r->probe) {
		r->probe_error = -errno_of(r->probe);
		if (!r->probe_error)
			machine_complain_key(c, r->yaml, "probe", "\"%s\": expected the name of an error, such as EIO",
					     r->probe);
	}
	r->table = calloc(r->match_count + 1, sizeof(*r->table));
	for (unsigned i = 0; r->table && i < r->match_count; i++) {
		if (!read_match(r->match[i], &r->table[i]))
			machine_complain_item(c, r->yaml, "match", i,
					      "\"%s\": expected VENDOR:DEVICE, VENDOR:* or "
					      "\"class CC[SS[PP]]\", in hex",
					      r->match[i]);
	}
}

/* ---- the tree ---- */

static void attach_yaml(struct machine_check *c, struct machine_node *n, struct machine_node *parent, yaml_node_t *yaml)
{
	yaml_node_t *below = machine_yaml_get(c->doc, yaml, "below");

	n->yaml = yaml;
	n->parent = parent;
	for (unsigned i = 0; i < n->below_count; i++)
		attach_yaml(c, &n->below[i], n, machine_yaml_item(c->doc, below, i));
}

/* "01.0": slot and function, in hex */
static void check_at(struct machine_check *c, struct machine_node *n)
{
	const char *p = n->at;
	uint32_t slot, function;

	if (!n->at) {
		machine_complain_key(c, n->yaml, NULL, "\"at:\" is missing: slot and function, such as 01.0");
		return;
	}
	if (!read_hex(&p, 4, &slot) || *p++ != '.' || !read_hex(&p, 4, &function) || *p) {
		machine_complain_key(c, n->yaml, "at", "\"%s\": expected slot and function in hex, such as 01.0",
				     n->at);
		return;
	}
	if (slot > 0x1f)
		machine_complain_key(c, n->yaml, "at", "slot %s: a bus has slots 00 to 1f", n->at);
	else if (function > 7)
		machine_complain_key(c, n->yaml, "at", "function %s: a slot has functions 0 to 7", n->at);
	n->pci.slot = slot & 0x1f;
	n->pci.function = function & 7;
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
	if (!read_hex(&p, 4, &domain) || *p++ != ':' || !read_hex(&p, 2, &bus) || *p)
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
	else if (port && n->pci.slot)
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
	qsort(n->order, n->below_count, sizeof(*n->order), by_address);
}

/* A bridge's own idea of its number, or -1 */
static int wanted_number(struct machine_check *c, struct machine_node *n)
{
	const char *p = n->bus;
	uint32_t bus;

	if (!p)
		return -1;
	if (!read_hex(&p, 2, &bus) || *p) {
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
		if (child->pci.function == 0)
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
	yaml_node_t *root = yaml_document_get_root_node(c->doc);

	check_parameters(c);
	unit_defaults(&d->default_unit, "dmar0", MACHINE_INTEL);
	for (unsigned i = 0; i < d->iommus_count; i++) {
		d->iommus[i].yaml = machine_yaml_item(c->doc, machine_yaml_get(c->doc, root, "iommus"), i);
		check_unit(c, &d->iommus[i], i);
	}
	for (unsigned i = 0; i < d->drivers_count; i++) {
		d->drivers[i].yaml = machine_yaml_item(c->doc, machine_yaml_get(c->doc, root, "drivers"), i);
		check_driver(c, &d->drivers[i], i);
	}
	check_tree(c);
	if (c->errors->count)
		return;
	machine_for_each(d, check_one, c);
	machine_for_each(d, forget_yaml, NULL);
}
