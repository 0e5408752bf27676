/* SPDX-License-Identifier: MIT */
/*
 * Grouping: the worked examples of spec 10, 1.5, letter by letter, and what they leave out. A topology is a table of
 * functions; each names its bridge's row, and the letter of the group it must come out in.
 */
#include "harness.h"

#pragma GCC diagnostic ignored "-Wmissing-field-initializers" /* rows say only what differs */

#define R PCI_ACS_ISOLATION
#define ROWS 12

enum kind { END, RP, USP, DSP, P2P, EP, PCI };

struct fn {
	enum kind kind;
	int above;         /* row of the bridge; -1: root bus */
	uint8_t slot, function;
	bool acs;
	uint8_t cap;
	char group;
	uint16_t vendor, device;
	int told_single;   /* header says one function, whatever the slot holds (VFs) */
};

struct topology {
	const char *what;
	struct fn fn[ROWS];
};

#define ACS true, R

static const struct topology worked[] = {
	{ "a: port with ACS", { { RP, -1, 1, 0, ACS, 'a' }, { EP, 0, 0, 0, false, 0, 'b' } } },
	{ "b: port without ACS", { { RP, -1, 1, 0, false, 0, 'a' }, { EP, 0, 0, 0, false, 0, 'a' } } },
	{ "c: port without ACS, two functions",
	  { { RP, -1, 1, 0, false, 0, 'a' }, { EP, 0, 0, 0, false, 0, 'a' }, { EP, 0, 0, 1, false, 0, 'a' } } },
	{ "d: port with ACS, two functions without",
	  { { RP, -1, 1, 0, ACS, 'a' }, { EP, 0, 0, 0, false, 0, 'b' }, { EP, 0, 0, 1, false, 0, 'b' } } },
	{ "e: two functions whose ACS capability offers nothing",
	  { { RP, -1, 1, 0, ACS, 'a' }, { EP, 0, 0, 0, true, 0, 'b' }, { EP, 0, 0, 1, true, 0, 'c' } } },
	{ "f: two ports of one slot without ACS",
	  { { RP, -1, 0x1c, 0, false, 0, 'a' }, { RP, -1, 0x1c, 4, false, 0, 'a' }, { EP, 0, 0, 0, false, 0, 'a' },
	    { EP, 1, 0, 0, false, 0, 'a' } } },
	{ "g: two ports of one slot, the second with ACS",
	  { { RP, -1, 0x1c, 0, false, 0, 'a' }, { RP, -1, 0x1c, 4, ACS, 'b' }, { EP, 0, 0, 0, false, 0, 'a' },
	    { EP, 1, 0, 0, false, 0, 'c' } } },
	{ "h: a bridge to conventional PCI",
	  { { RP, -1, 1, 0, ACS, 'a' }, { P2P, 0, 0, 0, false, 0, 'b' }, { PCI, 1, 1, 0, false, 0, 'b' },
	    { PCI, 1, 2, 0, false, 0, 'b' } } },
	{ "i: conventional functions on the root bus",
	  { { PCI, -1, 3, 0, false, 0, 'a' }, { PCI, -1, 4, 0, false, 0, 'b' } } },
	{ "j: a conventional slot of three on the root bus",
	  { { PCI, -1, 0x1f, 0, false, 0, 'a' }, { PCI, -1, 0x1f, 2, false, 0, 'a' },
	    { PCI, -1, 0x1f, 3, false, 0, 'a' } } },
	{ "k: a switch whose downstream ports lack ACS (known gap)",
	  { { RP, -1, 1, 0, ACS, 'a' }, { USP, 0, 0, 0, false, 0, 'b' }, { DSP, 1, 0, 0, false, 0, 'c' },
	    { DSP, 1, 1, 0, false, 0, 'd' }, { EP, 2, 0, 0, false, 0, 'c' }, { EP, 3, 0, 0, false, 0, 'd' } } },
	{ "l: a switch below a port without ACS",
	  { { RP, -1, 1, 0, false, 0, 'a' }, { USP, 0, 0, 0, false, 0, 'a' }, { DSP, 1, 0, 0, false, 0, 'a' },
	    { DSP, 1, 1, 0, false, 0, 'a' }, { EP, 2, 0, 0, false, 0, 'a' }, { EP, 3, 0, 0, false, 0, 'a' } } },
	{ "m: virtual functions",
	  { { RP, -1, 1, 0, ACS, 'a' }, { EP, 0, 0, 0, false, 0, 'b' },
	    { EP, 0, 0x10, 0, false, 0, 'c', 0, 0, true }, { EP, 0, 0x10, 2, false, 0, 'd', 0, 0, true } } },
	{ "n: function 0 uses function 1's requester id",
	  { { RP, -1, 1, 0, ACS, 'a' }, { EP, 0, 0, 0, true, 0, 'b', 0x1b4b, 0x9230 },
	    { EP, 0, 0, 1, true, 0, 'b' } } },
	/* beyond the table */
	{ "switch ports as functions of one slot are merged",
	  { { RP, -1, 1, 0, ACS, 'a' }, { USP, 0, 0, 0, false, 0, 'b' }, { DSP, 1, 0, 0, false, 0, 'c' },
	    { DSP, 1, 0, 1, false, 0, 'c' }, { EP, 2, 0, 0, false, 0, 'c' }, { EP, 3, 0, 0, false, 0, 'c' } } },
	{ "one downstream port without ACS takes what is below it",
	  { { RP, -1, 1, 0, ACS, 'a' }, { USP, 0, 0, 0, false, 0, 'b' }, { DSP, 1, 0, 0, ACS, 'c' },
	    { DSP, 1, 1, 0, false, 0, 'd' }, { EP, 2, 0, 0, false, 0, 'e' }, { EP, 3, 0, 0, false, 0, 'd' } } },
	{ "a quirk stands for the capability: igb",
	  { { RP, -1, 1, 0, ACS, 'a' }, { EP, 0, 0, 0, false, 0, 'b', 0x8086, 0x10c9 },
	    { EP, 0, 0, 1, false, 0, 'c', 0x8086, 0x10c9 } } },
	{ "a bridge flagged to add no requester id of its own",
	  { { RP, -1, 1, 0, ACS, 'a' }, { P2P, 0, 0, 0, false, 0, 'b', 0x1a03, 0x1150 },
	    { PCI, 1, 0, 0, false, 0, 'b' } } },
	{ "a whole bus of aliases",
	  { { RP, -1, 1, 0, ACS, 'a' }, { EP, 0, 0, 0, false, 0, 'b', 0x10b5, 0x87b0 },
	    { EP, 0, 5, 0, false, 0, 'b' } } },
};

static void describe(const struct fn *f, struct pci_dev_desc *desc)
{
	static const enum pci_type type[] = { [RP] = PCI_ROOT_PORT, [USP] = PCI_UPSTREAM, [DSP] = PCI_DOWNSTREAM,
					      [P2P] = PCI_PCIE_TO_PCI };

	*desc = (struct pci_dev_desc){ .slot = f->slot, .function = f->function, .has_acs = f->acs, .acs_cap = f->cap,
				       .vendor = f->vendor, .device = f->device, .unit = &box.unit,
				       .multifunction = f->told_single ? 0 : -1 };
	if (f->kind == EP || f->kind == PCI) {
		desc->model = f->kind == EP ? &bare_model : &bare_pci_model;
	} else {
		desc->bridge = true;
		desc->type = type[f->kind];
	}
}

static void build_bus(const struct topology *t, int above, struct pci_bus *bus, struct pci_dev *made[ROWS])
{
	struct pci_dev_desc desc;

	for (int i = 0; i < ROWS && t->fn[i].kind; i++) {
		if (t->fn[i].above != above)
			continue;
		describe(&t->fn[i], &desc);
		assert_int_equal(pci_dev_create(bus, &desc, (uint8_t)(i + 1), &made[i]), 0);
	}
	for (int i = 0; i < ROWS && t->fn[i].kind; i++) {
		if (t->fn[i].above == above)
			assert_int_equal(pci_dev_announce(made[i]), 0);
	}
	for (int i = 0; i < ROWS && t->fn[i].kind; i++) {
		if (t->fn[i].above == above && made[i]->secondary)
			build_bus(t, i, made[i]->secondary, made);
	}
}

static void check(const struct topology *t, struct pci_dev *made[ROWS])
{
	for (int i = 0; i < ROWS && t->fn[i].kind; i++) {
		for (int j = 0; j < i; j++) {
			bool same = iommu_dev_group(made[i]->iommu) == iommu_dev_group(made[j]->iommu);

			if (same != (t->fn[i].group == t->fn[j].group))
				fail_msg("%s: %s and %s are %sin one group", t->what, made[i]->dev.name,
					 made[j]->dev.name, same ? "" : "not ");
		}
	}
}

static void worked_groupings(void **state)
{
	for (unsigned i = 0; i < ARRAY_SIZE(worked); i++) {
		struct pci_dev *made[ROWS] = { 0 };

		box_start(NULL);
		build_bus(&worked[i], -1, box.root, made);
		check(&worked[i], made);
		box_stop(NULL);
	}
}

/* Ids are the lowest free ones, in scan order, and come back into use. */
static void group_ids(void **state)
{
	struct pci_dev *port = add_port(1, 1, &box.unit), *a = add(port->secondary, 0, 0, &bare_model, &box.unit);
	struct pci_dev *b = add(box.root, 2, 0, &bare_pci_model, &box.unit);

	assert_int_equal(iommu_group_id(iommu_dev_group(port->iommu)), 0);
	assert_int_equal(iommu_group_id(iommu_dev_group(a->iommu)), 1);
	assert_int_equal(iommu_group_id(iommu_dev_group(b->iommu)), 2);
	pci_dev_unplug(a);
	a = add(port->secondary, 0, 0, &bare_model, &box.unit);
	assert_int_equal(iommu_group_id(iommu_dev_group(a->iommu)), 1);
}

/* Without an IOMMU there is no group, and nothing about groups in sysfs. */
static void no_iommu(void **state)
{
	struct pci_dev *d = add(box.root, 2, 0, &bare_pci_model, NULL);

	assert_null(iommu_dev_group(d->iommu));
	assert_null(sysfs_read(d, "iommu_group/type"));
}

/* ACS counts only where it is switched on: by firmware, or by a platform that asks for it. */
static void acs_programming(void **state)
{
	struct pci_dev_desc desc = { .slot = 1, .bridge = true, .type = PCI_ROOT_PORT, .has_acs = true, .acs_cap = 0x1f,
				     .unit = &box.unit, .multifunction = -1 };
	struct pci_dev *d;
	unsigned at;

	box.unit.requests_acs = false;
	assert_int_equal(pci_dev_create(box.root, &desc, 1, &d), 0);
	assert_int_equal(pci_dev_announce(d), 0);
	assert_int_equal(pci_acs_missing(d), R);
	at = pci_find_ext_cap(d, PCI_EXT_CAP_ID_ACS);
	assert_int_not_equal(at, 0);
	assert_int_equal(pci_config_read(d, at + PCI_ACS_CTRL, 2), 0);
	pci_dev_unplug(d);

	box.unit.requests_acs = true;
	assert_int_equal(pci_dev_create(box.root, &desc, 1, &d), 0);
	assert_int_equal(pci_dev_announce(d), 0);
	assert_int_equal(pci_config_read(d, at + PCI_ACS_CTRL, 2), R);
	assert_int_equal(pci_acs_missing(d), 0);
	/* A flag the hardware does not offer is wired on, but for egress control. */
	assert_true(pci_acs_enabled(d, PCI_ACS_DT));
	assert_false(pci_acs_enabled(d, PCI_ACS_EC));
	assert_false(pci_acs_enabled(d, PCI_ACS_TB));
}

static struct pci_dev *port_of(uint16_t vendor, uint16_t device, bool acs)
{
	struct pci_dev_desc desc = { .slot = 1, .bridge = true, .type = PCI_ROOT_PORT, .has_acs = acs, .acs_cap = R,
				     .vendor = vendor, .device = device, .unit = &box.unit, .multifunction = -1 };
	struct pci_dev *d;

	assert_int_equal(pci_dev_create(box.root, &desc, 1, &d), 0);
	return d;
}

static void acs_quirks(void **state)
{
	static const struct {
		uint16_t vendor, device;
		bool acs, before, after; /* isolated before and after the platform asked for ACS */
	} row[] = {
		{ 0x8086, 0x1c10, false, false, true },  /* PCH: after the workaround */
		{ 0x8086, 0x1d11, false, false, false }, /* between two PCH ids */
		{ 0x8086, 0xa110, true, false, true },   /* 32-bit registers */
		{ 0x177d, 0xa123, false, true, true },
		{ 0x1d17, 0x0710, false, true, true },
		{ 0x1d17, 0x0720, true, false, false },  /* other ports of that vendor: no, capability or not */
		{ 0x8088, 0x9999, true, false, false },
		{ 0x1b36, 0x000c, false, false, false },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(row); i++) {
		struct pci_dev *d = port_of(row[i].vendor, row[i].device, row[i].acs);

		if (pci_acs_enabled(d, R) != row[i].before)
			fail_msg("%04x:%04x before", row[i].vendor, row[i].device);
		pci_acs_setup(d);
		if (pci_acs_enabled(d, R) != row[i].after)
			fail_msg("%04x:%04x after", row[i].vendor, row[i].device);
		pci_dev_unplug(d);
	}
}

/* Functions of AMD's southbridge keep apart where an AMD IOMMU is at work, on the root bus. */
static void TOP_16_southbridge_of_amd(void **state)
{
	static const enum iommu_kind kinds[] = { IOMMU_INTEL, IOMMU_AMD };

	for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct pci_dev_desc desc = { .slot = 0x14, .model = &bare_pci_model, .unit = &box.unit,
					     .multifunction = -1, .vendor = 0x1002, .device = 0x4385 };
		struct pci_dev *a, *b;

		box.unit.kind = kinds[i];
		assert_int_equal(pci_dev_create(box.root, &desc, 0, &a), 0);
		desc.function = 2;
		desc.device = 0x4383;
		assert_int_equal(pci_dev_create(box.root, &desc, 0, &b), 0);
		assert_int_equal(pci_dev_announce(a), 0);
		assert_int_equal(pci_dev_announce(b), 0);
		assert_int_equal(iommu_dev_group(a->iommu) != iommu_dev_group(b->iommu), kinds[i] == IOMMU_AMD);
		assert_int_equal(pci_acs_missing(a) == 0, kinds[i] == IOMMU_AMD);
		pci_dev_unplug(b);
		pci_dev_unplug(a);
	}
}

/* Added after boot, function 1 counts as one of several only if its own header says so (spec 10, 1.2). */
static void hot_added_function(void **state)
{
	struct pci_dev_desc desc = { .slot = 3, .function = 1, .model = &bare_pci_model, .unit = &box.unit,
				     .hotplug = true };
	struct pci_dev *first = add(box.root, 3, 0, &bare_pci_model, &box.unit), *d;

	assert_int_equal(pci_dev_create(box.root, &desc, 0, &d), 0);
	assert_int_equal(pci_dev_announce(d), 0);
	assert_ptr_not_equal(iommu_dev_group(d->iommu), iommu_dev_group(first->iommu));
	pci_dev_unplug(d);
	desc.multifunction = 1;
	assert_int_equal(pci_dev_create(box.root, &desc, 0, &d), 0);
	assert_int_equal(pci_dev_announce(d), 0);
	assert_ptr_equal(iommu_dev_group(d->iommu), iommu_dev_group(first->iommu));
}

/* ---- the command line ---- */

static void TOP_23_command_line_forms(void **state)
{
	static const struct {
		const char *text;
		bool flags, port, below; /* does it name 00:01.0, 01:00.0? */
		uint8_t mask, value;
	} row[] = {
		{ "00:01.0", false, true, false, 0x2c, 0 },
		{ "0000:00:01.0", false, true, false, 0x2c, 0 },
		{ "0001:00:01.0", false, false, false, 0, 0 },
		{ "00:01.0/00.0", false, false, true, 0x2c, 0 },
		{ "00:02.0;01:00.0", false, false, true, 0x2c, 0 },
		{ "00:02.0,01:00.0", false, false, true, 0x2c, 0 },
		{ "pci:1b36:000c", false, true, false, 0x2c, 0 },
		{ "pci:1b36:ffff", false, true, false, 0x2c, 0 },
		{ "pci:1234:0003", false, false, true, 0x2c, 0 },
		{ "pci:1234:0003:1:2", false, false, false, 0, 0 },
		{ "zz;01:00.0", false, false, false, 0, 0 }, /* a mistake ends it */
		{ "00:01.0 01:00.0", false, false, false, 0, 0 },
		{ "101@01:00.0", true, false, true, 0x07, 0x05 },
		{ "1xX0@01:00.0", true, false, true, 0x09, 0x08 },
		{ "1@00:01.0;0000000@01:00.0", true, true, true, 0x01, 0x01 },
		{ "12@01:00.0", true, false, false, 0, 0 },
		{ "01:00.0", true, false, false, 0, 0 },
		{ "11111111@01:00.0", true, false, false, 0, 0 },
		{ "", false, false, false, 0, 0 },
	};
	struct pci_dev *port = add_port(1, 1, &box.unit), *d = add(port->secondary, 0, 0, &bare_model, &box.unit);

	for (unsigned i = 0; i < ARRAY_SIZE(row); i++) {
		uint8_t mask = 0, value = 0;

		if (pci_acs_param(d, row[i].text, row[i].flags, &mask, &value) != row[i].below)
			fail_msg("%s below", row[i].text);
		if (row[i].below && !row[i].port && (mask != row[i].mask || value != row[i].value))
			fail_msg("%s below: %x %x", row[i].text, mask, value);
		if (pci_acs_param(port, row[i].text, row[i].flags, &mask, &value) != row[i].port)
			fail_msg("%s port", row[i].text);
		if (row[i].port && (mask != row[i].mask || value != row[i].value))
			fail_msg("%s port: %x %x", row[i].text, mask, value);
	}
	assert_false(pci_acs_param(d, NULL, false, &(uint8_t){ 0 }, &(uint8_t){ 0 }));
}

/* A vendor's word against the default of a function that is alone in its slot. */
static void TOP_17_quirk_against_single_function(void **state)
{
	struct pci_dev_desc desc = { .model = &bare_model, .unit = &box.unit, .multifunction = -1, .vendor = 0x8088 };
	struct pci_dev *port = add_port(1, 1, &box.unit), *d;

	desc.device = 0x9999;
	assert_int_equal(pci_dev_create(port->secondary, &desc, 0, &d), 0);
	assert_false(pci_acs_enabled(d, R));
	pci_dev_unplug(d);
	desc.device = 0x0100;
	assert_int_equal(pci_dev_create(port->secondary, &desc, 0, &d), 0);
	assert_true(pci_acs_enabled(d, R));
	pci_dev_unplug(d);
	desc.vendor = 0;
	assert_int_equal(pci_dev_create(port->secondary, &desc, 0, &d), 0);
	assert_true(pci_acs_enabled(d, R));
}

/* ---- virtual functions, and what is not there yet ---- */

static struct pci_dev *add_vf(struct pci_bus *bus, unsigned slot)
{
	struct pci_dev_desc desc = { .slot = (uint8_t)slot, .model = &bare_model, .unit = &box.unit, .multifunction = 0,
				     .virtual = true, .physfn = 0 };
	struct pci_dev *d;

	assert_int_equal(pci_dev_create(bus, &desc, 0, &d), 0);
	assert_int_equal(pci_dev_announce(d), 0);
	return d;
}

static void virtual_functions_go_first(void **state)
{
	struct pci_dev_desc orphan = { .slot = 5, .model = &bare_model, .virtual = true, .physfn = 0 };
	struct pci_dev *port = add_port(1, 1, &box.unit), *pf = add(port->secondary, 0, 0, &bare_model, &box.unit);
	struct pci_dev *a = add_vf(port->secondary, 16), *b = add_vf(port->secondary, 17), *none;

	assert_ptr_equal(a->physfn, pf);
	assert_int_equal(pci_vfs(pf), 2);
	assert_true(pci_vf_autoprobe(a));
	assert_int_equal(pci_dev_create(box.root, &orphan, 0, &none), -EINVAL); /* nothing it could be part of */
	dev_get(&a->dev);
	dev_get(&b->dev);
	pci_dev_unplug(a);
	assert_int_equal(pci_vfs(pf), 1);
	assert_int_equal(tree_write("/sys/bus/pci/devices/0000:01:00.0/remove", "1"), 1);
	assert_null(pci_find(box.pci, "0000:01:11.0"));
	dev_put(&b->dev); /* the last reference on the physical one, too */
	dev_put(&a->dev);
	assert_int_equal(tree_write("/sys/bus/pci/rescan", "1"), 1);
	pf = pci_find(box.pci, "0000:01:00.0");
	assert_non_null(pf);
	assert_int_equal(pci_vfs(pf), 0); /* no rescan finds virtual ones */
	dev_put(&pf->dev);
}

static void absent_until_a_rescan(void **state)
{
	struct pci_dev_desc port = { .slot = 1, .bridge = true, .type = PCI_ROOT_PORT, .unit = &box.unit,
				     .multifunction = -1 };
	struct pci_dev_desc end = { .model = &bare_model, .unit = &box.unit, .multifunction = -1 };
	struct pci_dev *d;

	assert_int_equal(pci_dev_absent(box.pci, 0, &port, 1), 0);
	assert_int_equal(pci_dev_absent(box.pci, 1, &end, 0), 0);
	assert_null(pci_find(box.pci, "0000:00:01.0"));
	assert_int_equal(tree_write("/sys/bus/pci/rescan", "1"), 1);
	d = pci_find(box.pci, "0000:01:00.0");
	assert_non_null(d);
	dev_put(&d->dev);
	assert_int_equal(tree_write("/sys/bus/pci/devices/0000:01:00.0/remove", "1"), 1);
	assert_int_equal(tree_write("/sys/class/pci_bus/0000:00/rescan", "x"), -EINVAL);
	assert_int_equal(tree_write("/sys/class/pci_bus/0000:01/rescan", "1"), 1);
	d = pci_find(box.pci, "0000:01:00.0");
	assert_non_null(d);
	dev_put(&d->dev);
	/* what is below a bridge that is still away waits for it */
	assert_int_equal(tree_write("/sys/bus/pci/devices/0000:00:01.0/remove", "1"), 1);
	assert_int_equal(pci_dev_absent(box.pci, 9, &end, 0), 0);
	assert_int_equal(tree_write("/sys/bus/pci/rescan", "1"), 1);
	assert_null(pci_find(box.pci, "0000:09:00.0"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(worked_groupings),
		cmocka_unit_test_setup_teardown(group_ids, box_start, box_stop),
		cmocka_unit_test_setup_teardown(no_iommu, box_start, box_stop),
		cmocka_unit_test_setup_teardown(acs_programming, box_start, box_stop),
		cmocka_unit_test_setup_teardown(acs_quirks, box_start, box_stop),
		cmocka_unit_test_setup_teardown(TOP_16_southbridge_of_amd, box_start, box_stop),
		cmocka_unit_test_setup_teardown(hot_added_function, box_start, box_stop),
		cmocka_unit_test_setup_teardown(TOP_23_command_line_forms, box_start, box_stop),
		cmocka_unit_test_setup_teardown(TOP_17_quirk_against_single_function, box_start, box_stop),
		cmocka_unit_test_setup_teardown(virtual_functions_go_first, box_start, box_stop),
		cmocka_unit_test_setup_teardown(absent_until_a_rescan, box_start, box_stop),
	};

	return cmocka_run_group_tests_name("pci groups", tests, NULL, NULL);
}
