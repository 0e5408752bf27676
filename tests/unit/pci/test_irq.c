/* SPDX-License-Identifier: MIT */
/* Interrupts: the pin and COMMAND bit 10, MSI with masks, MSI-X with masks and pending bits, bus mastering. */
#include "harness.h"

static struct pci_dev *d;
static unsigned hits[TOY_VECTORS], total;
static int level;      /* last told */
static unsigned edges; /* times told */
static bool mask_in_handler;

static void on_message(void *ctx, unsigned vector)
{
	assert_ptr_equal(ctx, &total);
	hits[vector]++;
	total++;
}

static void on_intx(void *ctx, bool asserted)
{
	edges++;
	level = asserted;
	if (asserted && mask_in_handler)
		pci_intx_disable(d, true);
}

static const struct pci_irq_ops ops = { .message = on_message, .intx = on_intx };

static int start(void **state)
{
	box_start(state);
	memset(hits, 0, sizeof(hits));
	total = edges = 0;
	level = 0;
	mask_in_handler = false;
	d = add(box.root, 1, 0, &toy_model, NULL);
	pci_irq_handler(d, &ops, &total);
	return 0;
}

static void pin(void **state)
{
	pci_intx_set(d, true);
	assert_int_equal(level, 1);
	assert_true(pci_intx_asserted(d));
	assert_true(pci_config_read(d, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT);
	pci_intx_set(d, true); /* no change, no call */
	assert_int_equal(edges, 1);
	pci_intx_set(d, false);
	assert_int_equal(level, 0);
	assert_false(pci_config_read(d, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT);
}

static void pin_disabled(void **state)
{
	pci_intx_disable(d, true);
	pci_intx_set(d, true);
	assert_int_equal(edges, 0);
	assert_true(pci_intx_asserted(d)); /* the line itself */
	pci_intx_disable(d, false);
	assert_int_equal(level, 1);
	/* the same by the config register */
	pci_config_write(d, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_INTX_DISABLE);
	assert_int_equal(level, 0);
	pci_config_write(d, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_int_equal(level, 1);
}

/* What a driver that masks automatically does: bit 10 from inside the handler. */
static void pin_masked_by_handler(void **state)
{
	mask_in_handler = true;
	pci_intx_set(d, true);
	assert_true(pci_config_read(d, PCI_COMMAND, 2) & PCI_COMMAND_INTX_DISABLE);
	assert_true(pci_intx_asserted(d));
	edges = 0;
	pci_intx_disable(d, false); /* still asserted: comes again, and is masked again */
	assert_int_equal(edges, 2);
	pci_intx_set(d, false);
	pci_intx_disable(d, false);
	assert_int_equal(edges, 2);
}

static void pin_new_handler(void **state)
{
	pci_irq_handler(d, NULL, NULL);
	pci_intx_set(d, true);
	assert_int_equal(edges, 0);
	pci_irq_handler(d, &ops, &total);
	assert_int_equal(level, 1);
}

static void msi(void **state)
{
	unsigned at = pci_find_cap(d, PCI_CAP_ID_MSI);

	assert_int_equal(pci_msi_count(d), 4);
	pci_msi_fire(d, 0);
	assert_int_equal(total, 0); /* off */
	assert_false(pci_irq_fire(d, 0));
	pci_msi_enable(d, 4);
	assert_int_equal(pci_config_read(d, at + PCI_MSI_FLAGS, 2), 0x01a5);
	assert_true(pci_irq_fire(d, 2));
	pci_msi_fire(d, 7);
	assert_int_equal(hits[2], 1);
	assert_int_equal(total, 1);
	/* two granted: vectors fold */
	pci_msi_enable(d, 2);
	pci_msi_fire(d, 3);
	assert_int_equal(hits[1], 1);
	/* a mask bit pends, and delivers once when it goes */
	pci_config_write(d, at + PCI_MSI_MASK_64, 4, 1);
	pci_msi_fire(d, 0);
	pci_msi_fire(d, 0);
	assert_int_equal(hits[0], 0);
	assert_int_equal(pci_config_read(d, at + PCI_MSI_PENDING_64, 4), 1);
	pci_config_write(d, at + PCI_MSI_MASK_64, 4, 0);
	assert_int_equal(hits[0], 1);
	assert_int_equal(pci_config_read(d, at + PCI_MSI_PENDING_64, 4), 0);
	pci_msi_enable(d, 0);
	pci_msi_fire(d, 0);
	assert_int_equal(hits[0], 1);
}

static void msix(void **state)
{
	assert_int_equal(pci_msix_count(d), TOY_VECTORS);
	pci_msix_fire(d, 3);
	assert_int_equal(total, 0); /* off: lost */
	pci_msix_enable(d, true);
	pci_msix_fire(d, 3); /* masked: pends */
	pci_msix_fire(d, 3);
	pci_msix_fire(d, 69);
	pci_msix_fire(d, 70); /* beyond the table */
	assert_int_equal(total, 0);
	pci_msix_mask(d, 3, false);
	assert_int_equal(hits[3], 1);
	pci_msix_fire(d, 3);
	assert_int_equal(hits[3], 2);
	pci_msix_mask(d, 69, false);
	assert_int_equal(hits[69], 1);
	assert_int_equal(total, 3);
	pci_msix_mask(d, 200, false);
	assert_true(pci_irq_fire(d, 3));
	assert_int_equal(hits[3], 3);
	/* off and on again: nothing of before is left */
	pci_msix_fire(d, 4);
	pci_msix_enable(d, false);
	pci_msix_enable(d, true);
	pci_msix_mask(d, 4, false);
	assert_int_equal(hits[4], 0);
}

static void msix_function_mask(void **state)
{
	unsigned at = pci_find_cap(d, PCI_CAP_ID_MSIX) + PCI_MSIX_FLAGS;
	uint64_t pba = 0;

	pci_msix_enable(d, true);
	pci_msix_mask(d, 1, false);
	pci_msix_mask(d, 65, false);
	pci_config_write(d, at, 2, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	pci_msix_fire(d, 1);
	pci_msix_fire(d, 65);
	pci_msix_fire(d, 2);
	assert_int_equal(total, 0);
	pci_bar_access(d, TOY_REGS, 0x1800, &pba, 8, false);
	assert_int_equal(pba, 6);
	pci_config_write(d, at, 2, PCI_MSIX_FLAGS_ENABLE);
	assert_int_equal(hits[1], 1);
	assert_int_equal(hits[65], 1);
	assert_int_equal(hits[2], 0); /* its own mask */
	pci_bar_access(d, TOY_REGS, 0x1800, &pba, 8, false);
	assert_int_equal(pba, 4);
}

/* A mask bit cleared through the mapped table delivers too; address and data route nothing. */
static void msix_by_table(void **state)
{
	uint32_t entry[4] = { 0xfee00000, 0, 9, 0 };

	pci_msix_enable(d, true);
	pci_msix_fire(d, 5);
	pci_bar_access(d, TOY_REGS, 0x1050, entry, 16, true);
	assert_int_equal(hits[5], 1);
	assert_int_equal(hits[9], 0);
}

static void needs_bus_master(void **state)
{
	pci_msix_enable(d, true);
	pci_msix_mask(d, 0, false);
	pci_config_write(d, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	pci_msix_fire(d, 0);
	assert_int_equal(total, 0);
	pci_config_write(d, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	pci_msix_fire(d, 0);
	assert_int_equal(total, 1);
}

static void no_handler(void **state)
{
	pci_msix_enable(d, true);
	pci_msix_mask(d, 0, false);
	pci_irq_handler(d, NULL, NULL);
	pci_msix_fire(d, 0);
	pci_intx_set(d, true);
	assert_int_equal(total, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(pin, start, box_stop),
		cmocka_unit_test_setup_teardown(pin_disabled, start, box_stop),
		cmocka_unit_test_setup_teardown(pin_masked_by_handler, start, box_stop),
		cmocka_unit_test_setup_teardown(pin_new_handler, start, box_stop),
		cmocka_unit_test_setup_teardown(msi, start, box_stop),
		cmocka_unit_test_setup_teardown(msix, start, box_stop),
		cmocka_unit_test_setup_teardown(msix_function_mask, start, box_stop),
		cmocka_unit_test_setup_teardown(msix_by_table, start, box_stop),
		cmocka_unit_test_setup_teardown(needs_bus_master, start, box_stop),
		cmocka_unit_test_setup_teardown(no_handler, start, box_stop),
	};

	return cmocka_run_group_tests_name("pci interrupts", tests, NULL, NULL);
}
