/* SPDX-License-Identifier: MIT */
/* What a machine file means but for its devices: the kernel's parameters, the IOMMU units, the host drivers. */
#include "devices/devices.h"
#include "machine/builtin.h"
#include "machine/desc.h"
#include <string.h>

static bool chosen(enum machine_choice c, bool otherwise)
{
	return c == MACHINE_DEFAULT ? otherwise : c == MACHINE_YES;
}

/* ---- parameters ---- */

static void check_acs_parameter(struct machine_check *c, const char *key, const char *text, bool flags)
{
	const char *wrong = text ? pci_acs_param_check(text, flags) : NULL;
	yaml_node_t *map = machine_yaml_get(c->doc, yaml_document_get_root_node(c->doc), "parameters");

	if (wrong)
		machine_complain_key(c, map, key, "\"%s\" at character %zu: expected %sDEVICE[;...], DEVICE as "
				     "[DOMAIN:]BUS:SLOT.FUNCTION[/SLOT.FUNCTION] or pci:VENDOR:DEVICE", text,
				     (size_t)(wrong - text) + 1, flags ? "FLAGS@" : "");
}

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
	check_acs_parameter(c, "pci.config_acs", p->config_acs, true);
	check_acs_parameter(c, "pci.disable_acs_redir", p->disable_acs_redir, false);
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

/* What every device of the platform has reserved; Intel's MSI window goes without saying (spec 10, 1.8). */
static void unit_default_resv(struct iommu_unit *u)
{
	static const struct iommu_resv amd[] = {
		{ 0xfee00000, 0xfeefffff, IOMMU_RESV_MSI }, { 0xfd00000000, 0xffffffffff, IOMMU_RESV_RESERVED },
	};
	static const struct iommu_resv smmu = { 0x08000000, 0x080fffff, IOMMU_RESV_SW_MSI };

	if (u->kind == IOMMU_AMD) {
		memcpy(u->resv, amd, sizeof(amd));
		u->nresv = ARRAY_SIZE(amd);
	} else if (u->kind == IOMMU_SMMU) {
		u->resv[0] = smmu;
		u->nresv = 1;
	}
}

/* As a kernel chooses without being told: lazily on x86; unless it is told by the command line. */
static const char *default_domain(const struct machine_parameters *p, enum machine_unit_kind kind)
{
	if (p->passthrough == MACHINE_YES)
		return "identity";
	return kind == MACHINE_SMMU ? p->strict != MACHINE_NO ? "DMA" : "DMA-FQ" :
	       p->strict == MACHINE_YES ? "DMA" : "DMA-FQ";
}

static void unit_defaults(struct iommu_unit *u, const char *name, enum machine_unit_kind kind,
			  const struct machine_parameters *p)
{
	static const enum iommu_kind kinds[] = {
		[MACHINE_INTEL] = IOMMU_INTEL, [MACHINE_AMD] = IOMMU_AMD, [MACHINE_SMMU] = IOMMU_SMMU,
	};

	snprintf(u->name, sizeof(u->name), "%s", name);
	u->kind = kinds[kind];
	u->width = 48;
	u->pgsizes = 0x40201000;
	u->coherent = true;
	u->enforce_coherency = true;
	u->msi_isolated = true;
	u->requests_acs = kind != MACHINE_SMMU;
	strcpy(u->default_domain, default_domain(p, kind));
	unit_default_resv(u);
}

static void check_unit_resv(struct machine_check *c, struct machine_unit *u)
{
	if (u->reserved)
		u->unit.nresv = u->reserved_count;
	for (unsigned i = 0; i < u->reserved_count; i++) {
		if (!machine_resv_parse(u->reserved[i], &u->unit.resv[i]))
			machine_complain_item(c, u->yaml, "reserved", i, "\"%s\": " MACHINE_RESV_EXPECTED,
					      u->reserved[i]);
	}
}

static void check_abilities(struct machine_check *c, struct machine_unit *u)
{
	u->unit.coherent = chosen(u->coherent, true);
	u->unit.enforce_coherency = chosen(u->enforce_coherency, u->unit.coherent);
	u->unit.msi_isolated = chosen(u->interrupt_remapping, true);
	u->unit.dirty = chosen(u->dirty_tracking, false);
	u->unit.nesting = chosen(u->nesting, false);
	if (u->unit.nesting && u->kind != MACHINE_INTEL)
		machine_complain_key(c, u->yaml, "nesting", "only an IOMMU of kind intel reads the tables of guests");
	u->unit.requests_acs = chosen(u->acs, u->unit.requests_acs);
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
	unit_defaults(&u->unit, u->name, u->kind, &c->d->parameters);
	if (u->width)
		u->unit.width = u->width;
	if (u->unit.width < 32 || u->unit.width > 57)
		machine_complain_key(c, u->yaml, "width", "%u address bits: expected 32 to 57", u->unit.width);
	u->unit.pgsizes = check_page_sizes(c, u);
	check_unit_resv(c, u);
	check_abilities(c, u);
	for (size_t i = 0; u->default_domain && i < ARRAY_SIZE(domains); i++)
		known = known || strcmp(domains[i], u->default_domain) == 0;
	if (!known)
		machine_complain_key(c, u->yaml, "default_domain", "\"%s\": expected DMA, DMA-FQ or identity",
				     u->default_domain);
	else if (u->default_domain)
		strcpy(u->unit.default_domain, u->default_domain);
}

/* ---- drivers ---- */

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
		if (!machine_read_hex(&p, 6, &m->class_code) || *p || digits % 2)
			return false;
		m->class_code <<= 4 * (6 - digits);
		m->class_mask = (0xffffffu << 4 * (6 - digits)) & 0xffffff;
		return true;
	}
	if (!machine_read_hex(&p, 4, &m->vendor) || !m->vendor || *p++ != ':')
		return false;
	if (strcmp(p, "*") == 0)
		return true;
	return machine_read_hex(&p, 4, &m->device) && !*p;
}

static int errno_of(const char *name)
{
	const char *n;

	if (strcmp(name, "EPROBE_DEFER") == 0)
		return DEV_EPROBE_DEFER;
	for (int i = 1; i < 134; i++) {
		n = strerrorname_np(i);
		if (n && strcmp(n, name) == 0)
			return i;
	}
	return 0;
}

/* vfio-pci is not one to wait for: what it is bound to is for users to say. */
static bool known_driver(struct machine_check *c, const char *name)
{
	const struct machine_builtin_driver *b = machine_builtin_driver(name);

	for (unsigned i = 0; i < c->d->drivers_count; i++) {
		if (strcmp(c->d->drivers[i].name, name) == 0)
			return true;
	}
	return b && b->probe != MACHINE_PROBE_ELSEWHERE;
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
	r->line = (unsigned)r->yaml->start_mark.line + 1;
	if (r->needs && !known_driver(c, r->needs))
		machine_complain_key(c, r->yaml, "needs", "unknown driver \"%s\" (a built-in one, or one under "
							  "\"drivers:\")",
				     r->needs);
	r->table = calloc(r->match_count + 1, sizeof(*r->table));
	for (unsigned i = 0; r->table && i < r->match_count; i++) {
		if (!read_match(r->match[i], &r->table[i]))
			machine_complain_item(c, r->yaml, "match", i,
					      "\"%s\": expected VENDOR:DEVICE, VENDOR:* or "
					      "\"class CC[SS[PP]]\", in hex",
					      r->match[i]);
	}
}

/* ---- all of it ---- */

void machine_parts_check(struct machine_check *c)
{
	struct machine_desc *d = c->d;
	yaml_node_t *root = yaml_document_get_root_node(c->doc);

	check_parameters(c);
	d->parameters.vfio_pci.blocked_ones = d->blocked_access == MACHINE_ALL_ONES;
	unit_defaults(&d->default_unit, "dmar0", MACHINE_INTEL, &d->parameters);
	for (unsigned i = 0; i < d->iommus_count; i++) {
		d->iommus[i].yaml = machine_yaml_item(c->doc, machine_yaml_get(c->doc, root, "iommus"), i);
		check_unit(c, &d->iommus[i], i);
	}
	for (unsigned i = 0; i < d->drivers_count; i++)
		d->drivers[i].yaml = machine_yaml_item(c->doc, machine_yaml_get(c->doc, root, "drivers"), i);
	for (unsigned i = 0; i < d->drivers_count; i++)
		check_driver(c, &d->drivers[i], i);
}
