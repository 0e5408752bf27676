/* SPDX-License-Identifier: MIT */
/* The 82576 model: registers, PHY, NVM and interrupts. */
#include "igb.h"

static uint16_t phy(struct pci_dev *d, unsigned reg)
{
	store(d, MDIC, MDIC_READ | reg << 16, 4);
	assert_int_equal(load(d, MDIC, 4) >> 28, 1); /* ready, no error */
	return load(d, MDIC, 2);
}

static void identity(void **state)
{
	const char *const args[] = { "mac=52:54:00:aB:cd:0e", NULL };
	const char *const bad[] = { "mac", "mac=1:2:3:4:5", "mac=1:2:3:4:5:6:7", "mac=01:00:00:00:00:01", "speed=1" };
	struct pci_dev *d = plug(&igb_model, args);
	uint16_t sum = 0;
	char err[200];

	assert_int_equal(load(d, STATUS, 4) & 0x83, 0x83); /* 1000, link, full duplex */
	assert_int_equal(load(d, EECD, 4) & 0x300, 0x300);
	assert_int_equal(load(d, RAL0, 4), 0xab005452);
	assert_int_equal(load(d, RAL0 + 4, 4), 0x80000ecd);
	assert_int_equal(load(d, RAL0 + 2, 4), 0x0ecdab00);
	for (unsigned i = 0; i < 64; i++) {
		store(d, EERD, i << 2 | 1, 4);
		assert_int_equal(load(d, EERD, 4) & 0xffff, i << 2 | 2);
		sum += load(d, EERD + 2, 2);
	}
	assert_int_equal(sum, 0xbaba);
	store(d, EERD, 64 << 2 | 1, 4);
	assert_int_equal(load(d, EERD + 2, 2), 0xffff);
	store(d, EECD, 0x40, 4);
	assert_int_equal(load(d, EECD, 4) & 0x3c0, 0x3c0); /* asked and granted */
	assert_int_equal(load(d, SWSM, 4), 0);
	assert_int_equal(load(d, SWSM, 4), 1);
	store(d, SWSM, 0, 4);
	assert_int_equal(load(d, SWSM, 4), 0);
	store(d, CTRL, 0x4, 4);
	assert_int_equal(load(d, STATUS, 4) & 0x80000, 0);
	store(d, CTRL, 0x1900, 4); /* forced: 100, half */
	assert_int_equal(load(d, STATUS, 4) & 0xc3, 0x42);
	unplug(d);
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		struct pci_model copy = igb_model;

		assert_int_equal(igb_model.shape(&copy, bad[i], err, sizeof(err)), -EINVAL);
	}
}

static void registers(void **state)
{
	struct pci_dev *d = plug(&igb_model, NULL);

	store(d, 0x18, 0x10000000, 4);
	store(d, 0x18, 0xff, 1);
	store(d, 0x1a, 0xffffffff, 4);
	store(d, STATUS, 0, 4);
	assert_int_equal(load(d, 0x18, 4), 0x10000000);
	assert_int_equal(load(d, 0x18, 8), 0x10000000);
	assert_int_equal(load(d, 0x1b, 1), 0x10);
	store(d, RX + LOW, 0x1234567812345680, 8);
	assert_true(load(d, RX, 8) == 0x1234567812345680);
	assert_true(load(d, 0xc000, 8) == 0x1234567812345680); /* the other place */
	store(d, 0xe008, 0xffffffff, 4);
	assert_int_equal(load(d, TX + LENGTH, 4), 0xfff80);
	store(d, 0x1ffff, 1, 1);
	store(d, 0x1fffc, 7, 4);
	assert_int_equal(load(d, 0x1fffc, 4), 7);
	store(d, CTRL, RESET, 4);
	assert_int_equal(load(d, CTRL, 4) & RESET, 0);
	assert_int_equal(load(d, 0x18, 4) | load(d, RX, 4) | load(d, 0x1fffc, 4), 0);
	unplug(d);
}

static void phy_registers(void **state)
{
	struct pci_dev *d = plug(&igb_model, NULL);

	assert_int_equal(phy(d, 2), 0x02a8);
	assert_int_equal(phy(d, 1) & 0x24, 0x24); /* link, negotiated */
	store(d, MDIC, MDIC_WRITE | 0x1200, 4);
	assert_int_equal(load(d, MDIC, 4) >> 28, 1);
	assert_int_equal(phy(d, 0), 0x1000);
	store(d, MDIC, MDIC_WRITE | 2 << 16 | 0xffff, 4);
	assert_int_equal(phy(d, 2), 0x02a8);
	store(d, MDIC, MDIC_WRITE | 17 << 16 | 0x1111, 4);
	store(d, MDIC, MDIC_WRITE | 31 << 16 | 1, 4); /* another page */
	assert_int_equal(phy(d, 17), 0);
	store(d, MDIC, MDIC_WRITE | 17 << 16 | 0x2222, 4);
	store(d, MDIC, MDIC_WRITE | 31 << 16, 4);
	assert_int_equal(phy(d, 17), 0x1111);
	store(d, CTRL, RESET, 4); /* not the PHY's */
	assert_int_equal(phy(d, 17), 0x1111);
	store(d, MDIC, MDIC_WRITE | 0x8000, 4);
	assert_int_equal(phy(d, 17), 0);
	assert_int_equal(phy(d, 0), 0x1140);
	store(d, MDIC, MDIC_WRITE | 17 << 16 | 0x1111, 4);
	store(d, CTRL, 0x80000000, 4);
	assert_int_equal(phy(d, 17), 0);
	store(d, MDIC, 0x08400000, 4); /* PHY 2 */
	assert_int_equal(load(d, MDIC, 4) >> 28, 5);
	unplug(d);
}

/* ---- interrupts ---- */

static void interrupts(void **state)
{
	struct pci_dev *d = started();

	store(d, EICS, 1, 4);
	assert_int_equal(d->messages[0], 1);
	assert_int_equal(load(d, EIMS, 4), 0); /* masked and cleared by it */
	assert_int_equal(load(d, EICS, 4), 0);
	store(d, EIMS, 1, 4);
	assert_int_equal(d->messages[0], 1);
	/* polling: nothing comes of a cause that was cleared */
	store(d, EIMC, 1, 4);
	send(d, SRC, DATA | EOP | 64);
	store(d, EICR, 0xffffffff, 4);
	store(d, EIMS, 1, 4);
	assert_int_equal(d->messages[0], 1);
	/* a cause that was not */
	store(d, EIMC, 1, 4);
	send(d, SRC, DATA | EOP | 64);
	assert_int_equal(d->messages[0], 1);
	store(d, EIMS, 1, 4);
	assert_int_equal(d->messages[0], 2);
	/* routed: transmit to 2, which nothing clears; receive nowhere */
	store(d, IVAR0, (VALID | 2) << 8, 4);
	store(d, EIMS, 0xf, 4);
	send(d, SRC, DATA | EOP | REPORT | 64);
	send(d, SRC, DATA | EOP | REPORT | 64);
	assert_int_equal(d->messages[2], 1);
	assert_int_equal(d->messages[0], 2);
	assert_int_equal(load(d, EICR, 4), 4);
	send(d, SRC, DATA | EOP | REPORT | 64);
	assert_int_equal(d->messages[2], 2);
	/* without EIAME an access to EICR disables */
	store(d, GPIE, MULTIPLE, 4);
	store(d, EIAM, 4, 4);
	store(d, EICR, 0, 4);
	assert_int_equal(load(d, EIMS, 4) & 4, 0);
	/* more causes than vectors */
	store(d, EIMS, 0xffffffff, 4);
	store(d, EICR, 0xffffffff, 4);
	store(d, EIMS, 0xffffffff, 4);
	memset(d->messages, 0, sizeof(d->messages));
	store(d, EICS, 0xffffffff, 4);
	for (unsigned i = 0; i < 32; i++)
		assert_int_equal(d->messages[i], i < 10);
	unplug(d);
}

static void other_causes(void **state)
{
	struct pci_dev *d = started();

	store(d, IVAR_MISC, (VALID | 3) << 8, 4);
	store(d, EIMS, 8, 4);
	store(d, ICS, 4, 4);
	assert_int_equal(d->messages[3], 0);
	store(d, IMS, 4, 4);
	assert_int_equal(d->messages[3], 1);
	assert_int_equal(load(d, ICR, 4), 0x80000004);
	assert_int_equal(load(d, ICR, 4), 0);
	store(d, IMC, 4, 4);
	assert_int_equal(load(d, IMS, 4), 0);
	/* one vector for all */
	store(d, GPIE, 0, 4);
	store(d, IMS, 0x281, 4);
	send(d, SRC, DATA | EOP | REPORT | 64);
	assert_int_equal(d->messages[0], 2);
	assert_int_equal(load(d, ICR, 4), 0x80000081);
	store(d, MDIC, MDIC_READ | 0x20000000, 4);
	assert_int_equal(d->messages[0], 3);
	store(d, ICR, 0x200, 4);
	assert_int_equal(load(d, ICR, 4), 0);
	unplug(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(identity), cmocka_unit_test(registers), cmocka_unit_test(phy_registers),
		cmocka_unit_test(interrupts), cmocka_unit_test(other_causes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
