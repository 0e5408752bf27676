/* SPDX-License-Identifier: MIT */
/* Config space as the hardware has it: ids, masks, capabilities, side effects, what firmware leaves. */
#include "harness.h"

static uint32_t r32(struct pci_dev *d, unsigned at)
{
	return pci_config_read(d, at, 4);
}

static struct pci_dev *fresh(const struct pci_model *m, struct pci_bus *bus)
{
	struct pci_dev_desc desc = { .slot = 5, .model = m, .multifunction = -1 };
	struct pci_dev *d;

	assert_int_equal(pci_dev_create(bus, &desc, 0, &d), 0);
	assert_int_equal(pci_dev_announce(d), 0);
	return d;
}

static void identity(void **state)
{
	struct pci_dev *port = add_port(1, 1, NULL), *d = fresh(&toy_model, port->secondary);

	assert_int_equal(r32(d, PCI_VENDOR_ID), 0x00011234);
	assert_int_equal(r32(d, PCI_CLASS_REVISION), 0x08800003);
	assert_int_equal(r32(d, PCI_SUBSYSTEM_VENDOR_ID), 0x11001af4);
	assert_int_equal(d->config_size, 4096);
	assert_int_equal(d->type, PCI_ENDPOINT);
	/* read-only, and reads of any width agree */
	pci_config_write(d, PCI_VENDOR_ID, 4, 0);
	assert_int_equal(r32(d, PCI_VENDOR_ID), 0x00011234);
	assert_int_equal(pci_config_read(d, PCI_DEVICE_ID + 1, 1), 0x00);
	assert_int_equal(pci_config_read(d, PCI_DEVICE_ID, 1), 0x01);
	assert_string_equal(d->dev.sysfs, "/sys/devices/pci0000:00/0000:00:01.0/0000:01:05.0");
}

/* 0x103, as observed on Linux behind firmware: MEM, IO, SERR; no bus master. */
static void firmware(void **state)
{
	struct pci_dev *d = fresh(&toy_pci_model, box.root);

	assert_int_equal(pci_config_read(d, PCI_COMMAND, 2), 0x103);
	assert_int_equal(pci_config_read(d, PCI_INTERRUPT_PIN, 1), 2);
	assert_int_not_equal(pci_config_read(d, PCI_INTERRUPT_LINE, 1), 0);
	assert_int_equal(d->config_size, 256);
	assert_int_equal(r32(d, 0x100), ~0u);
	assert_int_equal(pci_find_ext_cap(d, PCI_EXT_CAP_ID_ERR), 0);
}

static void command_masks(void **state)
{
	struct pci_dev *d = fresh(&toy_model, box.root);

	pci_config_write(d, PCI_COMMAND, 2, 0xffff);
	assert_int_equal(pci_config_read(d, PCI_COMMAND, 2), 0x0547);
	pci_config_write(d, PCI_COMMAND + 1, 1, 0);
	assert_int_equal(pci_config_read(d, PCI_COMMAND, 2), 0x0047);
	/* STATUS: the capability list stays, whatever is written */
	pci_config_write(d, PCI_STATUS, 2, 0xffff);
	assert_int_equal(pci_config_read(d, PCI_STATUS, 2) & 0x10, 0x10);
	pci_config_write(d, PCI_CACHE_LINE_SIZE, 1, 0x10);
	assert_int_equal(pci_config_read(d, PCI_CACHE_LINE_SIZE, 1), 0x10);
}

static void bar_sizing(void **state)
{
	struct pci_dev *d = fresh(&toy_model, box.root);
	uint32_t was[6], at[6];

	for (unsigned i = 0; i < 6; i++) {
		at[i] = PCI_BASE_ADDRESS_0 + 4 * i;
		was[i] = r32(d, at[i]);
		pci_config_write(d, at[i], 4, ~0u);
	}
	assert_int_equal(r32(d, at[0]), 0xffffe000);
	assert_int_equal(r32(d, at[1]), 0);
	assert_int_equal(r32(d, at[2]), 0xffff000c);
	assert_int_equal(r32(d, at[3]), 0xffffffff);
	assert_int_equal(r32(d, at[4]), 0xffffffe1);
	assert_int_equal(r32(d, at[5]), 0);
	assert_false(pci_bar_decodes(d, 0));
	for (unsigned i = 0; i < 6; i++)
		pci_config_write(d, at[i], 4, was[i]);
	assert_int_equal(was[0], pci_bar(d, 0)->address);
	assert_int_equal(was[2] & ~0xfu, (uint32_t)pci_bar(d, 2)->address);
	assert_int_equal(was[3], pci_bar(d, 2)->address >> 32);
	assert_true(pci_bar_decodes(d, 0));
}

static void capabilities(void **state)
{
	struct pci_dev *port = add_port(1, 1, NULL), *d = fresh(&toy_model, port->secondary);
	unsigned pm = pci_find_cap(d, PCI_CAP_ID_PM), msi = pci_find_cap(d, PCI_CAP_ID_MSI);
	unsigned msix = pci_find_cap(d, PCI_CAP_ID_MSIX), exp = pci_find_cap(d, PCI_CAP_ID_EXP);

	assert_true(pm && msi && msix && exp);
	assert_int_equal(pci_find_cap(d, PCI_CAP_ID_AF), 0);
	assert_int_equal(pci_config_read(d, msi + PCI_MSI_FLAGS, 2), 0x0184); /* 4 vectors, 64 bits, masks */
	assert_int_equal(pci_config_read(d, msix + PCI_MSIX_FLAGS, 2), TOY_VECTORS - 1);
	assert_int_equal(r32(d, msix + PCI_MSIX_TABLE), 0x1000);
	assert_int_equal(r32(d, msix + PCI_MSIX_PBA), 0x1800);
	assert_true(r32(d, exp + PCI_EXP_DEVCAP) & PCI_EXP_DEVCAP_FLR);
	assert_int_equal(pci_config_read(d, exp + PCI_EXP_FLAGS, 2), 0x0002);
	/* AER at 0x100; nothing where models put raw registers (spec 40, 1) */
	assert_int_equal(pci_find_ext_cap(d, PCI_EXT_CAP_ID_ERR), 0x100);
	assert_int_equal(pci_find_ext_cap(d, PCI_EXT_CAP_ID_ACS), 0);
	assert_int_equal(r32(d, 0x148), 0);
	exp = pci_find_cap(port, PCI_CAP_ID_EXP);
	assert_int_equal(pci_config_read(port, exp + PCI_EXP_FLAGS, 2), 0x0142);
}

static void conventional_flr_is_af(void **state)
{
	struct pci_model m = toy_pci_model;
	struct pci_dev *d;
	unsigned af;

	m.flr = true;
	d = fresh(&m, box.root);
	af = pci_find_cap(d, PCI_CAP_ID_AF);
	assert_int_not_equal(af, 0);
	pci_config_write(d, af + PCI_AF_CTRL, 1, PCI_AF_CTRL_FLR);
	assert_int_equal(toy_of(d)->resets, 1);
	assert_int_equal(pci_config_read(d, af + PCI_AF_CTRL, 1), 0);
}

static void model_dwords(void **state)
{
	struct pci_dev *d = fresh(&toy_model, box.root);

	pci_config_write(d, 0x180, 4, 0x12345678);
	assert_int_equal(r32(d, 0x180), 0x12345678);
	pci_config_write(d, 0x182, 2, 0xabcd);
	assert_int_equal(toy_of(d)->dword, 0xabcd5678);
	assert_int_equal(pci_config_read(d, 0x183, 1), 0xab);
	pci_config_write(d, 0x184, 4, ~0u); /* unassigned, not the model's */
	assert_int_equal(r32(d, 0x184), 0);
}

static void bridge_header(void **state)
{
	struct pci_dev *port = add_port(1, 0x20, NULL), *d = fresh(&toy_model, port->secondary);
	uint64_t base, limit;

	assert_int_equal(pci_config_read(port, PCI_HEADER_TYPE, 1), PCI_HEADER_TYPE_BRIDGE);
	assert_int_equal(r32(port, PCI_PRIMARY_BUS) & 0xffffff, 0x202000);
	base = (uint64_t)pci_config_read(port, PCI_MEMORY_BASE, 2) << 16;
	limit = ((uint64_t)pci_config_read(port, PCI_MEMORY_LIMIT, 2) << 16) + 0xfffff;
	assert_true(base <= pci_bar(d, 0)->address && pci_bar(d, 0)->address + 0x1fff <= limit);
	base = (uint64_t)r32(port, PCI_PREF_BASE_UPPER32) << 32;
	base |= (pci_config_read(port, PCI_PREF_MEMORY_BASE, 2) & 0xfff0u) << 16;
	assert_int_equal(base, pci_bar(d, 2)->address & ~0xfffffull);
}

static void subordinate_numbers(void **state)
{
	struct pci_dev *port = add_port(1, 0x20, NULL), *down;
	struct pci_dev_desc desc = { .bridge = true, .type = PCI_UPSTREAM, .multifunction = -1 };

	assert_int_equal(pci_dev_create(port->secondary, &desc, 0x33, &down), 0);
	assert_int_equal(pci_dev_announce(down), 0);
	assert_int_equal(pci_config_read(port, PCI_SUBORDINATE_BUS, 1), 0x33);
	assert_int_equal(pci_config_read(down, PCI_PRIMARY_BUS, 1), 0x20);
}

static void multifunction_bit(void **state)
{
	struct pci_dev *a = add(box.root, 3, 0, &bare_pci_model, NULL), *b;

	assert_int_equal(pci_config_read(a, PCI_HEADER_TYPE, 1), 0);
	b = add(box.root, 3, 2, &bare_pci_model, NULL);
	assert_int_equal(pci_config_read(a, PCI_HEADER_TYPE, 1), 0x80);
	assert_int_equal(pci_config_read(b, PCI_HEADER_TYPE, 1), 0x80);
}

#define RP PCI_ROOT_PORT

static int create_rc(struct pci_dev_desc desc, uint8_t secondary)
{
	struct pci_dev *d = NULL;
	int rc = pci_dev_create(box.root, &desc, secondary, &d);

	assert_null(d);
	return rc;
}

static void refusals(void **state)
{
	struct pci_model m = toy_model;

	add(box.root, 3, 0, &bare_pci_model, NULL);
	add_port(4, 7, NULL);
	assert_int_equal(create_rc((struct pci_dev_desc){ .slot = 3, .model = &bare_model }, 0), -EEXIST);
	assert_int_equal(create_rc((struct pci_dev_desc){ .slot = 5, .bridge = true, .type = RP }, 7), -EEXIST);
	assert_int_equal(create_rc((struct pci_dev_desc){ .slot = 32, .model = &bare_model }, 0), -EINVAL);
	assert_int_equal(create_rc((struct pci_dev_desc){ .function = 8, .model = &bare_model }, 0), -EINVAL);
	assert_int_equal(create_rc((struct pci_dev_desc){ .slot = 5 }, 0), -EINVAL);
	assert_int_equal(create_rc((struct pci_dev_desc){ .slot = 5, .bridge = true, .type = RP }, 0), -EINVAL);
	m.bar[0].size = 3000;
	assert_int_equal(create_rc((struct pci_dev_desc){ .slot = 5, .model = &m }, 0), -EINVAL);
	m.bar[0].size = 1u << 31;
	assert_int_equal(create_rc((struct pci_dev_desc){ .slot = 5, .model = &m }, 0), -ENOSPC);
	m = toy_model;
	m.msix_pba = 0x1008;
	assert_int_equal(create_rc((struct pci_dev_desc){ .slot = 5, .model = &m }, 0), -EINVAL);
	m = toy_model;
	m.msix_table = 0x1ff0;
	assert_int_equal(create_rc((struct pci_dev_desc){ .slot = 5, .model = &m }, 0), -EINVAL);
	m = toy_model;
	m.msi_vectors = 3;
	assert_int_equal(create_rc((struct pci_dev_desc){ .slot = 5, .model = &m }, 0), -EINVAL);
	m = toy_model;
	m.extended_config_writable[0] = 0x100;
	assert_int_equal(create_rc((struct pci_dev_desc){ .slot = 5, .model = &m }, 0), -EINVAL);
	/* nothing stays behind: the address and its windows are free again */
	add(box.root, 5, 0, &toy_model, NULL);
}

/* A model compiled against an older header, without the last fields. */
static void older_model(void **state)
{
	struct pci_model m = toy_model;
	struct pci_dev *d;

	m.size = offsetof(struct pci_model, config_read);
	d = fresh(&m, box.root);
	assert_int_equal(r32(d, 0x180), 0);
	pci_config_write(d, 0x180, 4, ~0u);
	assert_int_equal(toy_of(d)->dword, 0);
}

static int count(struct pci_dev *d, void *ctx)
{
	char *at = ctx;

	sprintf(at + strlen(at), "%s ", d->dev.name + 5);
	return 0;
}

static void scan_order(void **state)
{
	char order[200] = "";
	struct pci_dev *a = add_port(1, 1, NULL), *b = add_port(2, 2, NULL), *found;

	add(box.root, 3, 0, &bare_pci_model, NULL);
	add(b->secondary, 0, 0, &bare_model, NULL);
	add(a->secondary, 0, 0, &bare_model, NULL);
	pci_for_each(box.pci, count, order);
	assert_string_equal(order, "00:01.0 00:02.0 00:03.0 01:00.0 02:00.0 ");
	found = pci_find(box.pci, "0000:02:00.0");
	assert_non_null(found);
	/* unplugging a bridge takes what is below; a reference keeps a dead function readable */
	pci_dev_unplug(b);
	order[0] = 0;
	pci_for_each(box.pci, count, order);
	assert_string_equal(order, "00:01.0 00:03.0 01:00.0 ");
	assert_int_equal(pci_config_read(found, 0, 4), ~0u);
	assert_null(pci_find(box.pci, "0000:02:00.0"));
	dev_put(&found->dev);
}

/* What the description gives byte by byte comes last; the others find room around it. */
static void raw_capabilities(void **state)
{
	static const uint8_t bytes[] = { 0x04, 0xaa, 0x55, 0x0f }, write[] = { 0, 0xf0, 0, 0 }, clear[] = { 0, 0, 0xff, 0 };
	static const struct pci_cap_desc caps[] = {
		{ .id = 0x23, .at = 0x100, .version = 1, .length = 4, .bytes = bytes, .write = write },
		{ .id = PCI_CAP_ID_VNDR, .at = 0x44, .length = 4, .bytes = bytes, .write = write, .clear = clear },
		{ .id = 0x1b, .at = 0x200, .version = 2, .length = 4 },
	};
	struct pci_dev_desc desc = { .slot = 7, .model = &toy_model, .multifunction = -1, .caps = caps, .ncaps = 3 };
	struct pci_dev *d;

	assert_int_equal(pci_dev_create(box.root, &desc, 0, &d), 0);
	assert_int_equal(pci_dev_announce(d), 0);
	assert_int_equal(pci_find_cap(d, PCI_CAP_ID_PM), 0x4c);
	assert_int_equal(pci_find_cap(d, PCI_CAP_ID_VNDR), 0x44);
	assert_int_equal(r32(d, 0x44), 0xaa040009);
	pci_config_write(d, 0x44, 4, 0x0f000000);
	assert_int_equal(r32(d, 0x44), 0x0a040009);
	pci_config_write(d, 0x48, 2, 0x0f50);
	assert_int_equal(pci_config_read(d, 0x48, 2), 0x0f05);
	assert_int_equal(r32(d, 0x100), 0x20010023);
	assert_int_equal(r32(d, 0x104), 0x0f55aa04);
	assert_int_equal(r32(d, 0x200), 0x0002001b);
	assert_int_equal(pci_find_ext_cap(d, PCI_EXT_CAP_ID_ERR), 0);

	desc.slot = 8;
	desc.ats = true;
	desc.caps = &(struct pci_cap_desc){ .id = 0x23, .at = 0x170, .version = 1, .length = 4 };
	desc.ncaps = 1;
	assert_int_equal(pci_dev_create(box.root, &desc, 0, &d), -EINVAL);
	desc.ats = false;
	desc.caps = &(struct pci_cap_desc){ .id = 0x23, .at = 0xffc, .version = 1, .length = 4 };
	assert_int_equal(pci_dev_create(box.root, &desc, 0, &d), -EINVAL);
	desc.caps = &(struct pci_cap_desc){ .id = 0x09, .at = 0x40, .length = 120 };
	assert_int_equal(pci_dev_create(box.root, &desc, 0, &d), -EINVAL); /* no room for the toy's own */
}

/* Vital product data is there when the write that asks returns; beyond its end nobody answers. */
static void vital_product_data(void **state)
{
	struct pci_model m = bare_pci_model;
	struct pci_dev *d;
	unsigned vpd;

	m.vpd_size = 64;
	d = fresh(&m, box.root);
	vpd = pci_find_cap(d, PCI_CAP_ID_VPD);
	assert_int_not_equal(vpd, 0);
	pci_config_write(d, vpd + PCI_VPD_DATA, 4, 0x12345678);
	pci_config_write(d, vpd + PCI_VPD_ADDR, 2, 0x8000 | 60);
	assert_int_equal(pci_config_read(d, vpd + PCI_VPD_ADDR, 2), 60);
	pci_config_write(d, vpd + PCI_VPD_ADDR, 2, 0);
	assert_int_equal(r32(d, vpd + PCI_VPD_DATA), 0);
	pci_config_write(d, vpd + PCI_VPD_ADDR, 1, 60); /* nothing is asked yet */
	assert_int_equal(r32(d, vpd + PCI_VPD_DATA), 0);
	pci_config_write(d, vpd + PCI_VPD_ADDR + 1, 1, 0);
	assert_int_equal(pci_config_read(d, vpd + PCI_VPD_ADDR, 2), 0x8000 | 60);
	assert_int_equal(r32(d, vpd + PCI_VPD_DATA), 0x12345678);
	pci_config_write(d, vpd + PCI_VPD_ADDR, 2, 64);
	assert_int_equal(pci_config_read(d, vpd + PCI_VPD_ADDR, 2), 64);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(identity, box_start, box_stop),
		cmocka_unit_test_setup_teardown(firmware, box_start, box_stop),
		cmocka_unit_test_setup_teardown(command_masks, box_start, box_stop),
		cmocka_unit_test_setup_teardown(bar_sizing, box_start, box_stop),
		cmocka_unit_test_setup_teardown(capabilities, box_start, box_stop),
		cmocka_unit_test_setup_teardown(conventional_flr_is_af, box_start, box_stop),
		cmocka_unit_test_setup_teardown(model_dwords, box_start, box_stop),
		cmocka_unit_test_setup_teardown(raw_capabilities, box_start, box_stop),
		cmocka_unit_test_setup_teardown(vital_product_data, box_start, box_stop),
		cmocka_unit_test_setup_teardown(bridge_header, box_start, box_stop),
		cmocka_unit_test_setup_teardown(subordinate_numbers, box_start, box_stop),
		cmocka_unit_test_setup_teardown(multifunction_bit, box_start, box_stop),
		cmocka_unit_test_setup_teardown(refusals, box_start, box_stop),
		cmocka_unit_test_setup_teardown(older_model, box_start, box_stop),
		cmocka_unit_test_setup_teardown(scan_order, box_start, box_stop),
	};

	return cmocka_run_group_tests_name("pci config", tests, NULL, NULL);
}
