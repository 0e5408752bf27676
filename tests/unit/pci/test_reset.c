/* SPDX-License-Identifier: MIT */
/* Resets and power: methods, what is lost, what is restored, who is in the scope of a bus reset. */
#include "harness.h"
#include <pthread.h>

static unsigned messages;

static void on_message(void *ctx, unsigned vector)
{
	messages++;
}

static const struct pci_irq_ops ops = { .message = on_message };

static struct pci_dev *below(uint8_t bus, const struct pci_model *m)
{
	return add(add_port(bus, bus, NULL)->secondary, 0, 0, m, NULL);
}

static uint32_t command(struct pci_dev *d)
{
	return pci_config_read(d, PCI_COMMAND, 2);
}

static void poke(struct pci_dev *d)
{
	uint32_t v = 0xdead;

	pci_bar_access(d, TOY_REGS, 0x10, &v, 4, true);
}

static uint32_t peek(struct pci_dev *d)
{
	uint32_t v = 0;

	pci_bar_access(d, TOY_REGS, 0x10, &v, 4, false);
	return v;
}

/* The model forgets; COMMAND, BARs, MSI-X and its masks come back (spec 20, 2.10). */
static void function_reset(void **state)
{
	struct pci_dev *d = below(1, &toy_model);
	uint32_t bar = pci_config_read(d, PCI_BASE_ADDRESS_0, 4);
	unsigned exp = pci_find_cap(d, PCI_CAP_ID_EXP);

	pci_irq_handler(d, &ops, NULL);
	messages = 0;
	pci_msix_enable(d, true);
	pci_msix_mask(d, 7, false);
	pci_msix_fire(d, 8); /* pends, and is forgotten */
	pci_config_write(d, exp + PCI_EXP_DEVCTL, 2, 0x5000);
	pci_intx_set(d, true);
	poke(d);
	assert_true(pci_can_reset(d));
	assert_int_equal(pci_reset_function(d), 0);
	assert_int_equal(toy_of(d)->resets, 1);
	assert_int_equal(peek(d), 0);
	assert_int_equal(command(d), PCI_COMMAND_MEMORY | PCI_COMMAND_IO | PCI_COMMAND_MASTER);
	assert_int_equal(pci_config_read(d, PCI_BASE_ADDRESS_0, 4), bar);
	assert_int_equal(pci_config_read(d, exp + PCI_EXP_DEVCTL, 2), 0x5000);
	assert_false(pci_intx_asserted(d));
	assert_true(pci_bar_decodes(d, TOY_REGS));
	pci_msix_fire(d, 7);
	assert_int_equal(messages, 1);
	pci_msix_mask(d, 8, false);
	assert_int_equal(messages, 1);
}

/* The bit itself, as a program with raw access to config space may write it: nothing is restored. */
static void flr_bit(void **state)
{
	struct pci_dev *d = below(1, &toy_model);
	unsigned exp = pci_find_cap(d, PCI_CAP_ID_EXP);

	pci_msix_enable(d, true);
	poke(d);
	pci_config_write(d, exp + PCI_EXP_DEVCTL, 2, PCI_EXP_DEVCTL_BCR_FLR);
	assert_int_equal(toy_of(d)->resets, 1);
	assert_int_equal(toy_of(d)->regs[0x10], 0);
	assert_int_equal(peek(d), ~0u); /* it decodes nothing now */
	assert_int_equal(command(d), 0);
	assert_int_equal(pci_config_read(d, exp + PCI_EXP_DEVCTL, 2), 0x2810);
	assert_int_equal(pci_config_read(d, PCI_BASE_ADDRESS_0, 4), 0);
	assert_false(pci_memory_decodes(d));
	assert_int_equal(pci_config_read(d, pci_find_cap(d, PCI_CAP_ID_MSIX) + PCI_MSIX_FLAGS, 2), TOY_VECTORS - 1);
}

static void save_restore(void **state)
{
	struct pci_dev *d = below(1, &toy_model);

	pci_config_write(d, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	pci_config_write(d, PCI_CACHE_LINE_SIZE, 1, 0x40);
	pci_save_state(d);
	pci_config_write(d, PCI_COMMAND, 2, PCI_COMMAND_MASTER);
	pci_config_write(d, PCI_CACHE_LINE_SIZE, 1, 0);
	pci_config_write(d, PCI_BASE_ADDRESS_0, 4, 0);
	assert_int_equal(pci_reset_function(d), 0); /* has saved state of its own */
	assert_int_equal(command(d), PCI_COMMAND_MASTER);
	pci_restore_state(d);
	assert_int_equal(command(d), PCI_COMMAND_MEMORY);
	assert_int_equal(pci_config_read(d, PCI_CACHE_LINE_SIZE, 1), 0x40);
	assert_true(pci_bar_decodes(d, TOY_REGS));
}

static void methods(void **state)
{
	struct pci_dev *express = below(1, &bare_model), *flr = below(2, &toy_model);
	struct pci_dev *root = add(box.root, 8, 0, &bare_pci_model, NULL);
	struct pci_dev *pm = add(box.root, 9, 0, &toy_pci_model, NULL);

	assert_true(pci_can_reset(express)); /* alone on its bus */
	assert_string_equal(sysfs_read(express, "reset_method"), "bus\n");
	assert_string_equal(sysfs_read(flr, "reset_method"), "flr bus\n");
	assert_string_equal(sysfs_read(pm, "reset_method"), "pm\n");
	assert_false(pci_can_reset(root));
	assert_int_equal(pci_reset_function(root), -ENOTTY);
	assert_int_equal(pci_reset_function(pm), 0);
	assert_int_equal(toy_of(pm)->resets, 1);
	assert_int_equal(command(pm), PCI_COMMAND_MEMORY | PCI_COMMAND_IO | PCI_COMMAND_MASTER);
	/* a neighbour takes the bus reset away */
	add(express->bus, 1, 0, &bare_model, NULL);
	assert_false(pci_can_reset(express));
}

static void method_order(void **state)
{
	struct pci_dev *d = below(1, &toy_model);

	assert_int_equal(sysfs_write(d, "reset_method", "bus\n"), 4);
	assert_string_equal(sysfs_read(d, "reset_method"), "bus\n");
	assert_int_equal(pci_reset_function(d), 0);
	assert_int_equal(toy_of(d)->resets, 1);
	assert_int_equal(sysfs_write(d, "reset_method", "pm"), -EINVAL); /* it keeps its state in D3hot */
	assert_int_equal(sysfs_write(d, "reset_method", "flr flr"), -EINVAL);
	assert_int_equal(sysfs_write(d, "reset_method", "\n"), 1);
	assert_int_equal(pci_reset_function(d), -ENOTTY);
	assert_int_equal(sysfs_write(d, "reset_method", "default"), 7);
	assert_int_equal(sysfs_write(d, "reset", "1\n"), 2);
	assert_int_equal(toy_of(d)->resets, 2);
	assert_int_equal(sysfs_write(d, "reset", "0"), -EINVAL);
}

static void power(void **state)
{
	struct pci_dev *keeps = below(1, &toy_model), *forgets = add(box.root, 9, 0, &toy_pci_model, NULL);
	struct pci_dev *without = add(box.root, 10, 0, &bare_pci_model, NULL);

	pci_set_power(keeps, 3);
	assert_int_equal(pci_power(keeps), 3);
	assert_string_equal(sysfs_read(keeps, "power_state"), "D3hot\n");
	assert_false(pci_memory_decodes(keeps));
	pci_set_power(keeps, 1); /* not a state it has */
	assert_int_equal(pci_power(keeps), 3);
	pci_set_power(keeps, 0);
	assert_true(pci_memory_decodes(keeps));
	assert_int_equal(toy_of(keeps)->resets, 0);

	poke(forgets);
	pci_set_power(forgets, 3);
	pci_set_power(forgets, 0);
	assert_int_equal(toy_of(forgets)->resets, 1);
	assert_int_equal(peek(forgets), 0);
	assert_true(command(forgets) & PCI_COMMAND_MASTER); /* restored */
	pci_set_power(without, 3);
	assert_int_equal(pci_power(without), 0);
}

static int count(struct pci_dev *d, void *ctx)
{
	return ++*(int *)ctx == 3 ? 42 : 0;
}

static void bus_reset(void **state)
{
	struct pci_dev *port = add_port(1, 1, NULL), *a = add(port->secondary, 0, 0, &toy_model, NULL);
	struct pci_dev *b = add(port->secondary, 0, 1, &toy_model, NULL), *other = below(2, &toy_model);
	struct pci_dev_desc desc = { .slot = 1, .bridge = true, .type = PCI_PCIE_TO_PCI, .multifunction = -1 };
	struct pci_dev *bridge, *c;
	int n = 0;

	assert_int_equal(pci_dev_create(port->secondary, &desc, 5, &bridge), 0);
	assert_int_equal(pci_dev_announce(bridge), 0);
	c = add(bridge->secondary, 3, 0, &toy_pci_model, NULL);
	poke(a);
	pci_config_write(b, PCI_CACHE_LINE_SIZE, 1, 0x20);
	assert_int_equal(pci_hot_reset_scope(a, count, &n), 42);
	assert_int_equal(n, 3);
	n = 10;
	assert_int_equal(pci_hot_reset_scope(a, count, &n), 0);
	assert_int_equal(n, 14); /* a, b, the bridge, and c below it */
	assert_int_equal(pci_hot_reset_scope(port, count, &n), -ENODEV);
	assert_int_equal(pci_reset_bus(port), -ENODEV);
	assert_int_equal(pci_reset_bus(b), 0);
	assert_int_equal(toy_of(a)->resets, 1);
	assert_int_equal(toy_of(b)->resets, 1);
	assert_int_equal(toy_of(c)->resets, 1);
	assert_int_equal(toy_of(other)->resets, 0);
	assert_int_equal(peek(a), 0);
	assert_int_equal(pci_config_read(b, PCI_CACHE_LINE_SIZE, 1), 0x20);
	assert_int_equal(pci_config_read(bridge, PCI_SECONDARY_BUS, 1), 5);
	assert_true(pci_bar_decodes(c, TOY_REGS));
	/* the bridge's own bit resets and restores nothing; held, it resets once */
	pci_config_write(port, PCI_BRIDGE_CONTROL, 2, PCI_BRIDGE_CTL_BUS_RESET);
	pci_config_write(port, PCI_BRIDGE_CONTROL, 2, PCI_BRIDGE_CTL_BUS_RESET);
	assert_int_equal(toy_of(a)->resets, 2);
	assert_int_equal(command(a), 0);
}

/* A reset waits for the worker, and the worker's DMA does not wait for the reset. */
static void reset_against_worker(void **state)
{
	struct pci_dev *d = below(1, &toy_model), *target = below(2, &toy_model);
	struct toy *t = toy_of(d);

	t->dma_to = pci_bar(target, TOY_MEM)->address;
	for (unsigned i = 0; i < 200; i++) {
		pci_worker_kick(t->worker);
		assert_int_equal(pci_reset_function(d), 0);
	}
	pci_worker_drain(t->worker);
	assert_int_equal(t->resets, 200);
	assert_true(t->works > 0);
}

static int claim_in_reset;

static void *claim(void *group)
{
	claim_in_reset = iommu_group_claim(group, &claim_in_reset);
	return NULL;
}

/* By another thread: the one that resets holds locks. */
static void try_claim(struct pci_dev *d)
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, claim, iommu_dev_group(d->iommu)), 0);
	pthread_join(thread, NULL);
}

/* A function that caches translations keeps its group from changing hands while it is reset; others do not. */
static void OWN_15_nobody_claims_a_group_whose_member_is_reset(void **state)
{
	struct pci_dev_desc desc = { .model = &toy_model, .ats = true, .unit = &box.unit, .multifunction = -1 };
	struct pci_dev *port = add_port(1, 1, &box.unit), *with, *without = add(box.root, 2, 0, &toy_model, &box.unit);
	struct iommu_group *g;

	assert_int_equal(pci_dev_create(port->secondary, &desc, 0, &with), 0);
	assert_int_equal(pci_dev_announce(with), 0);
	assert_int_not_equal(pci_find_ext_cap(with, PCI_EXT_CAP_ID_ATS), 0);
	assert_int_equal(pci_find_ext_cap(without, PCI_EXT_CAP_ID_ATS), 0);
	toy_on_reset = try_claim;
	assert_int_equal(pci_reset_function(with), 0);
	assert_int_equal(claim_in_reset, -EBUSY);
	claim_in_reset = 0;
	assert_int_equal(pci_reset_bus(with), 0);
	assert_int_equal(claim_in_reset, -EBUSY);
	assert_int_equal(pci_reset_function(without), 0);
	assert_int_equal(claim_in_reset, 0);
	toy_on_reset = NULL;
	iommu_group_release(iommu_dev_group(without->iommu));
	g = iommu_dev_group(with->iommu);
	assert_int_equal(iommu_group_claim(g, state), 0);
	iommu_group_release(g);
}

static struct iommu_domain *attach_to;
static int attach_in_reset;

static void *attach(void *group)
{
	attach_in_reset = iommu_group_attach(group, attach_to);
	return NULL;
}

static void try_attach(struct pci_dev *d)
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, attach, iommu_dev_group(d->iommu)), 0);
	pthread_join(thread, NULL);
}

static void RST_17_who_caches_translations_is_not_attached_while_it_is_reset(void **state)
{
	struct pci_dev_desc desc = { .model = &toy_model, .ats = true, .unit = &box.unit, .multifunction = -1 };
	struct pci_dev *port = add_port(1, 1, &box.unit), *d[2] = { [1] = add(box.root, 2, 0, &toy_model, &box.unit) };

	assert_int_equal(pci_dev_create(port->secondary, &desc, 0, &d[0]), 0);
	assert_int_equal(pci_dev_announce(d[0]), 0);
	toy_on_reset = try_attach;
	for (unsigned i = 0; i < 2; i++) {
		struct iommu_group *g = iommu_dev_group(d[i]->iommu);

		assert_int_equal(iommu_group_claim(g, state), 0);
		assert_int_equal(iommu_domain_create(d[i]->iommu, &attach_to), 0);
		attach_in_reset = 1;
		assert_int_equal(pci_reset_function(d[i]), 0);
		assert_int_equal(attach_in_reset, i == 0 ? -EBUSY : 0);
		if (i == 0)
			assert_int_equal(iommu_group_attach(g, attach_to), 0);
		iommu_group_detach(g);
		iommu_domain_destroy(attach_to);
		iommu_group_release(g);
	}
	toy_on_reset = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(function_reset, box_start, box_stop),
		cmocka_unit_test_setup_teardown(flr_bit, box_start, box_stop),
		cmocka_unit_test_setup_teardown(save_restore, box_start, box_stop),
		cmocka_unit_test_setup_teardown(methods, box_start, box_stop),
		cmocka_unit_test_setup_teardown(method_order, box_start, box_stop),
		cmocka_unit_test_setup_teardown(power, box_start, box_stop),
		cmocka_unit_test_setup_teardown(bus_reset, box_start, box_stop),
		cmocka_unit_test_setup_teardown(reset_against_worker, box_start, box_stop),
		cmocka_unit_test_setup_teardown(OWN_15_nobody_claims_a_group_whose_member_is_reset, box_start, box_stop),
		cmocka_unit_test_setup_teardown(RST_17_who_caches_translations_is_not_attached_while_it_is_reset, box_start,
						box_stop),
	};

	return cmocka_run_group_tests_name("pci reset", tests, NULL, NULL);
}
