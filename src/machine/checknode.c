/* SPDX-License-Identifier: MIT */
/*
 * What one entry of a machine file's devices is by itself: its model, args, BARs, ids, ACS, IOMMU and driver. The
 * result is the struct pci_dev_desc that pci/ builds the function from.
 */
#include "devices/devices.h"
#include "machine/builtin.h"
#include "machine/desc.h"
#include <inttypes.h>
#include <string.h>

#define ACS_FULL PCI_ACS_ISOLATION

/* ---- model ---- */

static void check_args(struct machine_check *c, struct machine_node *n)
{
	char err[200];

	n->shape_args = calloc(n->args_count + 1, sizeof(*n->shape_args));
	if (!n->shape_args) {
		machine_complain(c->errors, NULL, "out of memory");
		return;
	}
	for (unsigned i = 0; i < n->args_count; i++) {
		n->shape_args[i] = n->args[i];
		if (!n->shape.shape)
			machine_complain_item(c, n->yaml, "args", i, "model \"%s\" takes no args", n->model);
		else if (n->shape.shape(&n->shape, n->args[i], err, sizeof(err)))
			machine_complain_item(c, n->yaml, "args", i, "%s", err);
	}
}

/* The arg that speaks of BAR @bar, for the place; else the model. */
static void complain_bar(struct machine_check *c, struct machine_node *n, unsigned bar, const char *what)
{
	char key[8];

	snprintf(key, sizeof(key), "bar%u", bar);
	for (unsigned i = 0; i < n->args_count; i++) {
		if (model_arg(n->args[i], key)) {
			machine_complain_item(c, n->yaml, "args", i, "bar %u of \"%s\": %s", bar, machine_node_label(n),
					      what);
			return;
		}
	}
	machine_complain_key(c, n->yaml, "model", "bar %u of \"%s\": %s", bar, machine_node_label(n), what);
}

static uint64_t next_power_of_two(uint64_t n)
{
	uint64_t p = 1;

	while (p < n && p << 1)
		p <<= 1;
	return p;
}

static void check_bar(struct machine_check *c, struct machine_node *n, unsigned i)
{
	const struct pci_bar_desc *b = &n->shape.bar[i];
	uint64_t least = b->kind == PCI_BAR_IO ? 4 : 16;
	uint64_t most = b->kind == PCI_BAR_IO ? 256 : b->kind == PCI_BAR_MEM32 ? BIT64(31) : BIT64(38);
	char what[96], size[24];

	if (b->kind == PCI_BAR_NONE)
		return;
	if (b->size & (b->size - 1)) {
		snprintf(what, sizeof(what), "size %" PRIu64 " is not a power of two (next: %" PRIu64 ")", b->size,
			 next_power_of_two(b->size));
		complain_bar(c, n, i, what);
	} else if (b->size < least || b->size > most) {
		snprintf(what, sizeof(what), "size %" PRIu64 " is too %s (%s: %s)", b->size,
			 b->size < least ? "small" : "large", b->size < least ? "smallest" : "largest",
			 model_size_format(b->size < least ? least : most, size));
		complain_bar(c, n, i, what);
	}
}

/* The table or the pending bits, in their BAR. */
struct msix_part {
	const char *what;
	unsigned bar;
	uint64_t from, end;
};

/* @at: the arg that speaks of them */
static void check_msix_part(struct machine_check *c, struct machine_node *n, unsigned at, const struct msix_part *part)
{
	const struct pci_bar_desc *b = part->bar < 6 ? &n->shape.bar[part->bar] : NULL;

	if (!b || (b->kind != PCI_BAR_MEM32 && b->kind != PCI_BAR_MEM64))
		machine_complain_item(c, n->yaml, "args", at,
				      "the MSI-X %s of \"%s\" is in BAR %u, which is no memory BAR", part->what,
				      machine_node_label(n), part->bar);
	else if (part->end > b->size)
		machine_complain_item(c, n->yaml, "args", at,
				      "the MSI-X %s of \"%s\" (0x%" PRIx64 " to 0x%" PRIx64
				      ") is outside BAR %u (size 0x%" PRIx64 ")",
				      part->what, machine_node_label(n), part->from, part->end - 1, part->bar, b->size);
	else if (part->from % 8)
		machine_complain_item(c, n->yaml, "args", at,
				      "the MSI-X table and pending bits start at multiples of 8");
}

static void check_msix(struct machine_check *c, struct machine_node *n)
{
	const struct pci_model *m = &n->shape;
	struct msix_part table = { "table", m->msix_bar, m->msix_table, m->msix_table + 16ull * m->msix_vectors };
	struct msix_part pba = { "pending bits", m->msix_pba_apart ? m->msix_pba_bar : m->msix_bar, m->msix_pba,
				 m->msix_pba + (m->msix_vectors + 63) / 64 * 8ull };
	unsigned at = 0, before = c->errors->count;

	if (!m->msix_vectors)
		return;
	while (at < n->args_count && !model_arg(n->args[at], "msix"))
		at++;
	check_msix_part(c, n, at, &table);
	if (c->errors->count == before)
		check_msix_part(c, n, at, &pba);
	if (c->errors->count == before && table.bar == pba.bar && table.from < pba.end && pba.from < table.end)
		machine_complain_item(c, n->yaml, "args", at, "the MSI-X table and pending bits of \"%s\" overlap",
				      machine_node_label(n));
}

static void check_model(struct machine_check *c, struct machine_node *n)
{
	const struct pci_model *model;
	char known[200];

	if (n->kind != MACHINE_FUNCTION) {
		if (n->model)
			machine_complain_key(c, n->yaml, "model", "a %s has no model", machine_kind_name(n->kind));
		if (n->args_count)
			machine_complain_key(c, n->yaml, "args", "a %s takes no args", machine_kind_name(n->kind));
		return;
	}
	model = n->model ? machine_builtin_model(n->model) : NULL;
	if (!model) {
		machine_builtin_models(known, sizeof(known));
		if (n->model)
			machine_complain_key(c, n->yaml, "model", "unknown model \"%s\" (known: %s)", n->model, known);
		else
			machine_complain_key(c, n->yaml, NULL, "neither \"model:\" nor \"kind:\" (models: %s)", known);
		return;
	}
	n->shape = *model;
	check_args(c, n);
	for (unsigned i = 0; i < 6; i++)
		check_bar(c, n, i);
	check_msix(c, n);
	n->pci.model = model; /* pci/ shapes it itself; n->shape is for what is checked here */
	n->pci.args = n->shape_args;
}

/* ---- identity ---- */

static bool read_ids(const char *text, uint16_t id[4])
{
	unsigned n, v[4] = { 0 };
	int end[4] = { -1, -1, -1, -1 };
	size_t length = strlen(text);

	sscanf(text, "%4x:%4x%n:%4x%n:%4x%n", &v[0], &v[1], &end[1], &v[2], &end[2], &v[3], &end[3]);
	for (n = 1; n < 4 && end[n] != (int)length; n++)
		;
	for (unsigned i = 0; i < 4; i++)
		id[i] = v[i];
	return n == 1 || n == 3;
}

static void check_identity(struct machine_check *c, struct machine_node *n)
{
	uint16_t id[4];
	unsigned class;
	int end = -1;

	if (n->kind == MACHINE_EVENT_COLLECTOR) {
		n->pci.vendor = 0x1234;
		n->pci.device = 0x0807;
		n->pci.class_code = 0x080700;
	}
	if (n->ids) {
		if (!read_ids(n->ids, id))
			machine_complain_key(c, n->yaml, "ids",
					     "\"%s\": expected VENDOR:DEVICE[:SUBVENDOR:SUBDEVICE] in hex, "
					     "such as 8086:10c9",
					     n->ids);
		else if (id[0] == 0 || id[0] == 0xffff)
			machine_complain_key(c, n->yaml, "ids", "vendor %04x means that nothing is there", id[0]);
		n->pci.vendor = id[0];
		n->pci.device = id[1];
		n->pci.subvendor = id[2];
		n->pci.subdevice = id[3];
	}
	if (n->class_code) {
		if (sscanf(n->class_code, "%6x%n", &class, &end) != 1 || end != 6 || n->class_code[end])
			machine_complain_key(c, n->yaml, "class", "\"%s\": expected six hex digits, such as 020000",
					     n->class_code);
		else
			n->pci.class_code = class;
	}
}

/* ---- ACS ---- */

static const struct {
	const char *name;
	uint8_t flag;
} acs_flags[] = {
	{ "SV", PCI_ACS_SV }, { "TB", PCI_ACS_TB }, { "RR", PCI_ACS_RR }, { "CR", PCI_ACS_CR },
	{ "UF", PCI_ACS_UF }, { "EC", PCI_ACS_EC }, { "DT", PCI_ACS_DT },
};

/* "SV RR CR UF", or a number */
static bool read_acs(char *text, uint8_t *out)
{
	char *word, *end;
	size_t i;

	*out = strtoul(text, &end, 0);
	if (end != text && !*end)
		return *out <= 0x7f;
	*out = 0;
	while ((word = strsep(&text, " "))) {
		for (i = 0; i < ARRAY_SIZE(acs_flags) && strcmp(acs_flags[i].name, word); i++)
			;
		if (i < ARRAY_SIZE(acs_flags))
			*out |= acs_flags[i].flag;
		else if (*word)
			return false;
	}
	return true;
}

/* none, off, full, or CAPABILITY[/CONTROL] */
static bool read_acs_words(const char *text, struct pci_dev_desc *d)
{
	AUTO_FREE char *copy = strdup(text);
	char *control = copy;

	d->has_acs = strcmp(text, "none") != 0;
	if (!copy || !d->has_acs)
		return copy;
	if (strcmp(text, "full") == 0 || strcmp(text, "off") == 0) {
		d->acs_cap = ACS_FULL;
		d->acs_ctrl = text[0] == 'f' ? ACS_FULL : 0;
		return true;
	}
	strsep(&control, "/");
	return read_acs(copy, &d->acs_cap) && (!control || read_acs(control, &d->acs_ctrl));
}

static void check_acs(struct machine_check *c, struct machine_node *n)
{
	static const char expected[] = "expected none, off, full, or flags (SV TB RR CR UF EC DT) it can and, behind a "
				       "\"/\", those switched on";
	bool port = n->kind == MACHINE_ROOT_PORT || n->kind == MACHINE_DOWNSTREAM;
	AUTO_FREE char *quirk = n->acs_quirk ? strdup(n->acs_quirk) : NULL;

	if (!read_acs_words(n->acs ? n->acs : port ? "full" : "none", &n->pci))
		machine_complain_key(c, n->yaml, "acs", "\"%s\": %s", n->acs, expected);
	else if (n->pci.has_acs && n->pci.type == PCI_CONVENTIONAL)
		machine_complain_key(c, n->yaml, "acs", "\"%s\" is conventional PCI, which has no ACS",
				     machine_node_label(n));
	if (!quirk)
		return;
	n->pci.acs_quirk = true;
	if (!read_acs(quirk, &n->pci.acs_quirk_set))
		machine_complain_key(c, n->yaml, "acs_quirk", "\"%s\": expected flags such as SV RR CR UF",
				     n->acs_quirk);
}

/* ---- IOMMU ---- */

static const struct iommu_unit *find_unit(struct machine_check *c, struct machine_node *n)
{
	struct machine_desc *d = c->d;

	if (!n->iommu) {
		if (n->parent)
			return n->parent->unit;
		return d->iommus_count ? &d->iommus[0].unit : &d->default_unit;
	}
	if (strcmp(n->iommu, "none") == 0)
		return NULL;
	for (unsigned i = 0; i < d->iommus_count; i++) {
		if (strcmp(d->iommus[i].name, n->iommu) == 0)
			return &d->iommus[i].unit;
	}
	machine_complain_key(c, n->yaml, "iommu", "unknown IOMMU \"%s\" (name one under \"iommus:\", or none)",
			     n->iommu);
	return NULL;
}

bool machine_resv_parse(const char *text, struct iommu_resv *r)
{
	static const char *const types[] = { "direct", "direct-relaxable", "reserved", "msi", "sw-msi" };
	char type[20], rest;
	int n = sscanf(text, "%" SCNi64 "-%" SCNi64 " %19s%c", (int64_t *)&r->start, (int64_t *)&r->last, type, &rest);

	if (n != 3 || r->start > r->last)
		return false;
	for (unsigned i = 0; i < ARRAY_SIZE(types); i++) {
		if (strcmp(types[i], type) == 0) {
			r->type = i;
			return true;
		}
	}
	return false;
}

static void check_iommu(struct machine_check *c, struct machine_node *n)
{
	n->unit = n->pci.unit = find_unit(c, n);
	n->resv = calloc(n->reserved_count + 1, sizeof(*n->resv));
	for (unsigned i = 0; n->resv && i < n->reserved_count; i++) {
		if (!machine_resv_parse(n->reserved[i], &n->resv[i]))
			machine_complain_item(c, n->yaml, "reserved", i, "\"%s\": " MACHINE_RESV_EXPECTED,
					      n->reserved[i]);
	}
	n->pci.resv = n->resv;
	n->pci.nresv = n->resv ? n->reserved_count : 0;
}

/* ---- kind and driver ---- */

static void check_kind(struct machine_node *n)
{
	static const enum pci_type types[] = {
		[MACHINE_HOST_BRIDGE] = PCI_CONVENTIONAL,    [MACHINE_ROOT_PORT] = PCI_ROOT_PORT,
		[MACHINE_UPSTREAM] = PCI_UPSTREAM,           [MACHINE_DOWNSTREAM] = PCI_DOWNSTREAM,
		[MACHINE_PCIE_TO_PCI] = PCI_PCIE_TO_PCI,     [MACHINE_PCI_TO_PCIE] = PCI_PCI_TO_PCIE,
		[MACHINE_PCI_BRIDGE] = PCI_CONVENTIONAL,     [MACHINE_EVENT_COLLECTOR] = PCI_RC_EVENT,
	};
	bool root = !n->parent || n->parent->kind == MACHINE_HOST_BRIDGE;

	if (n->kind != MACHINE_FUNCTION)
		n->pci.type = types[n->kind];
	else if (!n->shape.express)
		n->pci.type = PCI_CONVENTIONAL;
	else if (n->integrated == MACHINE_YES || (n->integrated == MACHINE_DEFAULT && root))
		n->pci.type = PCI_RC_ENDPOINT;
	else
		n->pci.type = PCI_ENDPOINT;
	n->pci.host_bridge = n->kind == MACHINE_HOST_BRIDGE;
	n->pci.bridge = machine_node_bridge(n) && !n->pci.host_bridge;
	n->pci.multifunction = n->multifunction == MACHINE_DEFAULT ? -1 : n->multifunction == MACHINE_YES;
	n->pci.shpc = n->shpc;
	n->pci.ats = n->ats;
	n->pci.pasid = (uint8_t)MIN(n->pasid, 255u);
	n->pci.pri = n->pri;
	n->pci.untrusted = n->untrusted;
	n->pci.hotplug = n->present == MACHINE_NO;
}

/* Widths of AtomicOps, as DEVCAP2 has them. Ports of switches complete none; routing is a port's, and of all widths. */
static void check_atomics(struct machine_check *c, struct machine_node *n, bool express)
{
	AUTO_FREE char *list = n->atomics ? strdup(n->atomics) : NULL;
	char *save = NULL;

	if (!list)
		return;
	if (!express)
		machine_complain_key(c, n->yaml, "atomics", "\"%s\" is conventional PCI, which has no AtomicOps",
				     machine_node_label(n));
	for (char *word = strtok_r(list, ", ", &save); word; word = strtok_r(NULL, ", ", &save)) {
		uint16_t bit = strcmp(word, "32") == 0	 ? PCI_EXP_DEVCAP2_ATOMIC_COMP32 :
			       strcmp(word, "64") == 0	 ? PCI_EXP_DEVCAP2_ATOMIC_COMP64 :
			       strcmp(word, "128") == 0 ? PCI_EXP_DEVCAP2_ATOMIC_COMP128 : 0;

		if (!bit)
			machine_complain_key(c, n->yaml, "atomics", "\"%s\": expected widths in bits, such as \"32,64,128\"",
					     word);
		n->pci.atomics |= bit;
	}
	if (n->pci.type == PCI_UPSTREAM || n->pci.type == PCI_DOWNSTREAM)
		n->pci.atomics = PCI_EXP_DEVCAP2_ATOMIC_ROUTE;
	else if (n->pci.type == PCI_ROOT_PORT)
		n->pci.atomics |= PCI_EXP_DEVCAP2_ATOMIC_ROUTE;
}

/* What only PCIe has, and what cannot be left out. */
static void check_express(struct machine_check *c, struct machine_node *n)
{
	bool express = n->pci.type != PCI_CONVENTIONAL;

	check_atomics(c, n, express);
	if (n->ats && !express)
		machine_complain_key(c, n->yaml, "ats", "\"%s\" is conventional PCI, which has no ATS",
				     machine_node_label(n));
	if (n->pasid > 20)
		machine_complain_key(c, n->yaml, "pasid", "%u bits: PASIDs have at most 20", n->pasid);
	if (n->pasid && (!express || n->kind != MACHINE_FUNCTION))
		machine_complain_key(c, n->yaml, "pasid", "\"%s\" is no endpoint of PCIe: only those have PASIDs",
				     machine_node_label(n));
	if (n->pri && (!express || n->kind != MACHINE_FUNCTION))
		machine_complain_key(c, n->yaml, "pri", "\"%s\" is no endpoint of PCIe: only those ask for pages",
				     machine_node_label(n));
	if (n->physfn && !express)
		machine_complain_key(c, n->yaml, "physfn", "\"%s\" is conventional PCI, which has no virtual functions",
				     machine_node_label(n));
	if (n->present == MACHINE_NO && n->kind == MACHINE_HOST_BRIDGE)
		machine_complain_key(c, n->yaml, "present", "a host bridge is always present");
	if (n->present == MACHINE_NO && n->physfn)
		machine_complain_key(c, n->yaml, "present", "no rescan finds a virtual function");
}

static void check_bind(struct machine_check *c, struct machine_node *n)
{
	if (n->shpc && !n->pci.bridge)
		machine_complain_key(c, n->yaml, "shpc", "only bridges have a hot-plug controller for what is below");
	if (!n->bind)
		return;
	n->pci.bind = strcmp(n->bind, "none") == 0 ? "" : n->bind;
	if (!n->pci.bind[0] || machine_builtin_driver(n->bind))
		return;
	for (unsigned i = 0; i < c->d->drivers_count; i++) {
		if (strcmp(c->d->drivers[i].name, n->bind) == 0)
			return;
	}
	machine_complain_key(c, n->yaml, "bind",
			     "unknown driver \"%s\" (vfio-pci, none, a built-in one, or one under \"drivers:\")",
			     n->bind);
}

/* ---- virtual functions ---- */

/* One of them, described as if it were written in the file: its address comes later, its class is the function's. */
static void check_virtual(struct machine_check *c, struct machine_node *n)
{
	const struct machine_sriov *s = n->sriov;
	struct machine_node *v = n->virtual = calloc(1, sizeof(*v));

	if (!v) {
		machine_complain(c->errors, NULL, "out of memory");
		return;
	}
	v->yaml = machine_yaml_get(c->doc, n->yaml, "sriov");
	v->parent = n->parent;
	v->name = n->name;
	v->model = s->model;
	v->args = s->args;
	v->args_count = s->args_count;
	v->ids = s->ids;
	v->iommu = n->iommu;
	machine_node_check(c, v);
	if (v->pci.model && !v->shape.express)
		machine_complain_key(c, v->yaml, "args", "a virtual function is PCIe: \"express\" is missing");
	v->pci.class_code = n->pci.class_code;
	n->vfs.function = v->pci;
	n->pci.sriov = &n->vfs;
}

static void check_sriov(struct machine_check *c, struct machine_node *n)
{
	const struct machine_sriov *s = n->sriov;
	unsigned offset, stride, last;
	yaml_node_t *yaml;

	if (!s)
		return;
	yaml = machine_yaml_get(c->doc, n->yaml, "sriov");
	offset = s->offset ? s->offset : 1;
	stride = s->stride ? s->stride : 1;
	if (n->kind != MACHINE_FUNCTION || n->pci.type == PCI_CONVENTIONAL || n->physfn) {
		machine_complain_key(c, n->yaml, "sriov", "only physical functions of PCIe have virtual ones");
		return;
	}
	last = (unsigned)(n->pci.slot << 3 | n->pci.function) + MIN(offset, 256u) +
	       (MIN(s->vfs, 256u) - 1) * MIN(stride, 256u);
	if (s->vfs == 0 || last > 255) {
		machine_complain_key(c, yaml, "vfs",
				     "%u functions from %u on, each %u further: expected at least one, and that all have room "
				     "on the bus (256 addresses)",
				     s->vfs, offset, stride);
		return;
	}
	n->vfs.total = (uint16_t)s->vfs;
	n->vfs.offset = (uint16_t)offset;
	n->vfs.stride = (uint16_t)stride;
	check_virtual(c, n);
}

void machine_node_check(struct machine_check *c, struct machine_node *n)
{
	check_model(c, n);
	check_kind(n);
	check_express(c, n);
	machine_capabilities_check(c, n);
	check_identity(c, n);
	check_acs(c, n);
	check_iommu(c, n);
	check_bind(c, n);
	check_sriov(c, n);
}
