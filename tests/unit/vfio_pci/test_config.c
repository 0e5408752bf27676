/* SPDX-License-Identifier: MIT */
#include "harness.h"

#define A "0000:01:00.0"
#define OLD "0000:03:00.0"

static struct use u;

static int setup(void **state)
{
	host_start();
	use_open(&u, A);
	return 0;
}

static int teardown(void **state)
{
	use_close(&u);
	host_stop();
	return 0;
}

static int setup_old(void **state)
{
	host_start();
	use_open(&u, OLD);
	return 0;
}

static uint32_t hw(const char *bdf, unsigned pos, unsigned width)
{
	return pci_config_read(pci_of(bdf), pos, width);
}

/* The bits of a byte that keep a write of ones and of zeroes. */
static uint8_t writable(unsigned pos)
{
	uint8_t was = (uint8_t)cfg_read(&u, pos, 1), ones, zeroes;

	cfg_write(&u, pos, 1, 0xff);
	ones = (uint8_t)cfg_read(&u, pos, 1);
	cfg_write(&u, pos, 1, 0);
	zeroes = (uint8_t)cfg_read(&u, pos, 1);
	cfg_write(&u, pos, 1, was);
	return ones & ~zeroes;
}

/* CFG-01, CFG-02, CFG-05, CFG-06, CFG-07, CFG-57: which bits of the header a program can change, byte by byte. */
static void header_bits(void **state)
{
	static const uint8_t want[0x40] = {
		[PCI_COMMAND] = PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY,
		[PCI_COMMAND + 1] = (PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE) >> 8,
		[PCI_CACHE_LINE_SIZE] = 0xff,
		[PCI_INTERRUPT_LINE] = 0xff,
	};

	for (unsigned i = 0; i < 0x40; i++) {
		uint8_t before = (uint8_t)cfg_read(&u, i, 1), bits;

		if (i >= PCI_BASE_ADDRESS_0 && i < PCI_CARDBUS_CIS)
			continue; /* bar_sizing */
		if (i >= PCI_ROM_ADDRESS && i < PCI_ROM_ADDRESS + 4)
			continue;
		bits = writable(i);
		if (i == PCI_LATENCY_TIMER || i == PCI_BIST)
			continue; /* passed on: the hardware says */
		if (bits != want[i])
			fail_msg("byte %#x: bits %#x can be written, not %#x", i, bits, want[i]);
		assert_int_equal(cfg_read(&u, i, 1), before);
	}
	assert_int_equal(cfg_read(&u, PCI_VENDOR_ID, 2), 0x1b36);
	assert_int_equal(cfg_read(&u, PCI_INTERRUPT_PIN, 1), 1);
}

/* DEV-19: as handed over. CFG-15, CFG-58: INTx disable is the program's own bit. */
static void command_bits(void **state)
{
	uint32_t c = cfg_read(&u, PCI_COMMAND, 2);

	assert_int_equal(c & (PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE), 0);
	assert_int_equal(c & 3, 3);
	cfg_write(&u, PCI_COMMAND + 1, 1, PCI_COMMAND_INTX_DISABLE >> 8);
	assert_true(cfg_read(&u, PCI_COMMAND, 2) & PCI_COMMAND_INTX_DISABLE);
	/* INTx is not active, so the line follows the program's view. */
	assert_true(hw(A, PCI_COMMAND, 2) & PCI_COMMAND_INTX_DISABLE);
	command(&u, 3);
	assert_false(hw(A, PCI_COMMAND, 2) & PCI_COMMAND_INTX_DISABLE);
	/* CFG-04: bus mastering is the hardware's */
	command(&u, 7);
	assert_true(hw(A, PCI_COMMAND, 2) & PCI_COMMAND_MASTER);
	assert_true(cfg_read(&u, PCI_COMMAND, 1) & PCI_COMMAND_MASTER);
}

/* CFG-08..14 */
static void bar_sizing(void **state)
{
	static const uint32_t want[7] = {
		(uint32_t)~(BAR0_SIZE - 1), ~31u | 1, (uint32_t)~(BAR2_SIZE - 1) | 0xc, 0xffffffff,
		(uint32_t)~(BAR4_SIZE - 1), 0, 0,
	};
	uint32_t first[6];

	for (unsigned i = 0; i < 6; i++)
		first[i] = cfg_read(&u, PCI_BASE_ADDRESS_0 + 4 * i, 4);
	assert_int_equal(first[0], pci_bar(pci_of(A), 0)->address);
	assert_int_equal(first[1], pci_bar(pci_of(A), 1)->address | 1);
	assert_int_equal(first[2] | (uint64_t)first[3] << 32, pci_bar(pci_of(A), 2)->address | 0xc);
	for (unsigned i = 0; i < 7; i++) {
		unsigned pos = i < 6 ? PCI_BASE_ADDRESS_0 + 4 * i : PCI_ROM_ADDRESS;

		cfg_write(&u, pos, 4, 0xffffffff);
		assert_int_equal(cfg_read(&u, pos, 4), want[i]);
	}
	/* nothing of it reached the hardware: BAR 0 answers where it was */
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(hw(A, PCI_BASE_ADDRESS_0 + 4 * i, 4), first[i]);
	for (unsigned i = 0; i < 6; i++)
		cfg_write(&u, PCI_BASE_ADDRESS_0 + 4 * i, 4, first[i]);
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(cfg_read(&u, PCI_BASE_ADDRESS_0 + 4 * i, 4), first[i]);
	/* a byte at a time */
	cfg_write(&u, PCI_BASE_ADDRESS_0 + 3, 1, 0xab);
	assert_int_equal(cfg_read(&u, PCI_BASE_ADDRESS_0 + 3, 1), 0xab);
}

/* CFG-17 */
static void backdoor_reset(void **state)
{
	uint32_t bar0 = hw(A, PCI_BASE_ADDRESS_0, 4);

	pci_config_write(pci_of(A), PCI_BASE_ADDRESS_0, 4, 0);
	pci_config_write(pci_of(A), PCI_COMMAND, 2, 0);
	command(&u, 3);
	assert_int_equal(hw(A, PCI_BASE_ADDRESS_0, 4), bar0);
	assert_int_equal(hw(A, PCI_COMMAND, 2) & 3, 3);
}

/* CFG-49, CFG-50, CFG-51, CFG-52 */
static void pieces(void **state)
{
	uint8_t all[4096], one[4096];

	assert_rc(sys_pread(u.c, u.dev, all, 4, CONFIG + 4094), -EFAULT);
	assert_rc(sys_pread(u.c, u.dev, all, 1, CONFIG + 4096), -EFAULT);
	assert_rc(sys_pread(u.c, u.dev, all, SIZE_MAX, CONFIG), -EFAULT);
	assert_rc(sys_pwrite(u.c, u.dev, all, 4, CONFIG + 4094), -EFAULT);
	assert_rc(sys_pread(u.c, u.dev, (void *)BAD_PTR, 4, CONFIG), -EFAULT);
	assert_int_equal(sys_pread(u.c, u.dev, all, 4096, CONFIG), 4096);
	for (unsigned i = 0; i < 4096; i++)
		assert_int_equal(sys_pread(u.c, u.dev, &one[i], 1, CONFIG + i), 1);
	assert_memory_equal(all, one, 4096);
	assert_int_equal(sys_pread(u.c, u.dev, one, 4, CONFIG + 0x0d), 4);
	assert_memory_equal(one, all + 0x0d, 4);
	assert_int_equal(sys_pread(u.c, u.dev, one, 255, CONFIG + 1), 255);
	assert_memory_equal(one, all + 1, 255);
}

/* CFG-18, CFG-53: the chain, and the next pointer in every width */
static void chain(void **state)
{
	unsigned msix = cfg_cap(&u, PCI_CAP_ID_MSIX), pm = cfg_cap(&u, PCI_CAP_ID_PM);

	assert_true(msix && pm && cfg_cap(&u, PCI_CAP_ID_MSI) && cfg_cap(&u, PCI_CAP_ID_EXP));
	assert_int_equal(cfg_read(&u, pm, 2) >> 8, cfg_read(&u, pm + 1, 1));
	assert_int_equal(cfg_read(&u, pm, 4) >> 8 & 0xff, cfg_read(&u, pm + 1, 1));
	cfg_write(&u, pm + 1, 1, 0);
	assert_true(cfg_cap(&u, PCI_CAP_ID_MSI));
}

/* CFG-22, CFG-23, CFG-56 */
static void power(void **state)
{
	unsigned pm = cfg_cap(&u, PCI_CAP_ID_PM);

	assert_int_equal(cfg_read(&u, pm + PCI_PM_PMC, 2) & PCI_PM_CAP_PME_MASK, 0);
	cfg_write(&u, pm + PCI_PM_CTRL, 2, PCI_PM_CTRL_PME_ENABLE);
	assert_int_equal(cfg_read(&u, pm + PCI_PM_CTRL, 2) & PCI_PM_CTRL_PME_ENABLE, 0);
	cfg_write(&u, pm + PCI_PM_CTRL, 2, 3);
	assert_int_equal(cfg_read(&u, pm + PCI_PM_CTRL, 2) & 3, 3);
	assert_int_equal(pci_power(pci_of(A)), 3);
	assert_int_equal(cfg_read(&u, PCI_VENDOR_ID, 2), 0x1b36);
	/* the state moves only by a write that starts there */
	cfg_write(&u, pm + PCI_PM_CTRL - 2, 2, 0);
	assert_int_equal(pci_power(pci_of(A)), 3);
	cfg_write(&u, pm + PCI_PM_CTRL, 1, 0);
	assert_int_equal(pci_power(pci_of(A)), 0);
	assert_int_equal(cfg_read(&u, PCI_COMMAND, 1) & 3, 3);
}

/* CFG-24: a function that forgets in D3hot */
static void power_forgets(void **state)
{
	unsigned pm = cfg_cap(&u, PCI_CAP_ID_PM);
	uint32_t bar0 = hw(OLD, PCI_BASE_ADDRESS_0, 4);

	command(&u, 7);
	cfg_write(&u, PCI_CACHE_LINE_SIZE, 1, 0x10);
	cfg_write(&u, pm + PCI_PM_CTRL, 4, 3);
	cfg_write(&u, pm + PCI_PM_CTRL, 4, 0);
	assert_int_equal(hw(OLD, PCI_COMMAND, 2) & 7, 7);
	assert_int_equal(hw(OLD, PCI_BASE_ADDRESS_0, 4), bar0);
	assert_int_equal(cfg_read(&u, PCI_CACHE_LINE_SIZE, 1), 0x10);
	/* a conventional function has 256 bytes */
	assert_rc(sys_pread(u.c, u.dev, &pm, 4, CONFIG + 256), -EFAULT);
}

/* CFG-25, CFG-28, CFG-29, CFG-30, CFG-31 */
static void express(void **state)
{
	unsigned exp = cfg_cap(&u, PCI_CAP_ID_EXP), ctl = exp + PCI_EXP_DEVCTL;
	unsigned resets = probe_of(A)->resets;
	uint32_t lnkctl = cfg_read(&u, exp + PCI_EXP_LNKCTL, 2);

	cfg_write(&u, ctl, 2, 0x0040); /* payload 512, requests of 128 */
	assert_int_equal(cfg_read(&u, ctl, 2) & PCI_EXP_DEVCTL_PAYLOAD, 0x0040);
	assert_int_equal(hw(A, ctl, 2) & PCI_EXP_DEVCTL_PAYLOAD, 0);
	cfg_write(&u, ctl, 2, 0x5000);
	assert_int_equal(hw(A, ctl, 2) & PCI_EXP_DEVCTL_READRQ, 0x5000);
	cfg_write(&u, ctl, 2, 0x5000 | PCI_EXP_DEVCTL_PHANTOM);
	assert_int_equal(cfg_read(&u, ctl, 2) & PCI_EXP_DEVCTL_PHANTOM, 0);
	cfg_write(&u, exp + PCI_EXP_LNKCTL, 2, ~lnkctl);
	assert_int_equal(cfg_read(&u, exp + PCI_EXP_LNKCTL, 2), lnkctl);
	cfg_write(&u, exp + PCI_EXP_DEVCTL2, 2, PCI_EXP_DEVCTL2_ARI);
	assert_int_equal(cfg_read(&u, exp + PCI_EXP_DEVCTL2, 2) & PCI_EXP_DEVCTL2_ARI, 0);
	assert_int_equal(probe_of(A)->resets, resets);
	probe_of(A)->regs[0][0] = 1;
	command(&u, 7);
	cfg_write(&u, ctl, 2, PCI_EXP_DEVCTL_BCR_FLR);
	assert_int_equal(probe_of(A)->resets, resets + 1);
	assert_int_equal(probe_of(A)->regs[0][0], 0);
	assert_int_equal(cfg_read(&u, ctl, 2) & PCI_EXP_DEVCTL_BCR_FLR, 0);
	assert_int_equal(cfg_read(&u, PCI_COMMAND, 2) & 7, 7); /* CFG-54 */
}

/* CFG-32, CFG-33, CFG-34 */
static void msi(void **state)
{
	unsigned cap = cfg_cap(&u, PCI_CAP_ID_MSI), ctl = cap + PCI_MSI_FLAGS;
	uint32_t address = hw(A, cap + PCI_MSI_ADDRESS_LO, 4);
	int32_t fds[3] = { efd(), efd(), efd() };

	cfg_write(&u, cap + PCI_MSI_ADDRESS_LO, 4, 0xfee12000);
	assert_int_equal(cfg_read(&u, cap + PCI_MSI_ADDRESS_LO, 4), 0xfee12000);
	assert_int_equal(hw(A, cap + PCI_MSI_ADDRESS_LO, 4), address);
	cfg_write(&u, ctl, 2, PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE);
	assert_int_equal(cfg_read(&u, ctl, 2) & (PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE), 0);
	assert_int_equal(hw(A, ctl, 2) & PCI_MSI_FLAGS_ENABLE, 0);
	assert_rc(irq_fds(&u, VFIO_PCI_MSI_IRQ_INDEX, 0, 3, fds), 0);
	assert_int_equal(cfg_read(&u, ctl, 2) & PCI_MSI_FLAGS_ENABLE, 0);
	assert_int_equal(hw(A, ctl, 2) & PCI_MSI_FLAGS_ENABLE, PCI_MSI_FLAGS_ENABLE);
	cfg_write(&u, ctl, 2, PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE);
	assert_int_equal(cfg_read(&u, ctl, 2) & PCI_MSI_FLAGS_QSIZE, 2 << 4);
	cfg_write(&u, ctl, 1, 2 << 4);
	assert_int_equal(hw(A, ctl, 2) & PCI_MSI_FLAGS_ENABLE, 0);
	cfg_write(&u, ctl, 1, 2 << 4 | 1);
	assert_rc(irq_off(&u, VFIO_PCI_MSI_IRQ_INDEX), 0);
	assert_int_equal(cfg_read(&u, ctl, 2) & PCI_MSI_FLAGS_ENABLE, 1); /* as last written */
	assert_int_equal(hw(A, ctl, 2) & PCI_MSI_FLAGS_ENABLE, 0);
}

/* CFG-35 */
static void msix(void **state)
{
	unsigned ctl = cfg_cap(&u, PCI_CAP_ID_MSIX) + PCI_MSIX_FLAGS;
	int32_t fd = efd();

	cfg_write(&u, ctl, 2, PCI_MSIX_FLAGS_ENABLE);
	assert_int_equal(cfg_read(&u, ctl, 2) & PCI_MSIX_FLAGS_ENABLE, 0);
	assert_rc(irq_fds(&u, VFIO_PCI_MSIX_IRQ_INDEX, 0, 1, &fd), 0);
	assert_int_equal(cfg_read(&u, ctl, 2) & PCI_MSIX_FLAGS_ENABLE, PCI_MSIX_FLAGS_ENABLE);
	cfg_write(&u, ctl, 2, 0);
	assert_int_equal(cfg_read(&u, ctl, 2) & PCI_MSIX_FLAGS_ENABLE, PCI_MSIX_FLAGS_ENABLE);
}

/* CFG-40: bytes of no capability are the model's */
static void raw(void **state)
{
	cfg_write(&u, RAW_DWORD, 4, 0x12345678);
	assert_int_equal(probe_of(A)->raw, 0x12345678);
	assert_int_equal(cfg_read(&u, RAW_DWORD + 2, 2), 0x1234);
	cfg_write(&u, RAW_DWORD + 1, 1, 0xaa);
	assert_int_equal(probe_of(A)->raw, 0x1234aa78);
}

/* CFG-46: the capability is there, its header is not for writing */
static void extended(void **state)
{
	uint32_t header = cfg_read(&u, 256, 4);

	assert_int_equal(PCI_EXT_CAP_ID(header), PCI_EXT_CAP_ID_ERR);
	cfg_write(&u, 256, 4, 0);
	assert_int_equal(cfg_read(&u, 256, 4), header);
	assert_int_equal(hw(A, 256, 4), header);
}

/* What the last user wrote is gone. DEV-18, DEV-20 */
static void next_user(void **state)
{
	unsigned exp = cfg_cap(&u, PCI_CAP_ID_EXP);
	uint32_t devctl = hw(A, exp + PCI_EXP_DEVCTL, 2);

	command(&u, 7);
	cfg_write(&u, PCI_INTERRUPT_LINE, 1, 0x42);
	cfg_write(&u, PCI_CACHE_LINE_SIZE, 1, 0x42);
	cfg_write(&u, exp + PCI_EXP_DEVCTL, 2, 0x5000);
	cfg_write(&u, PCI_BASE_ADDRESS_0, 4, 0);
	probe_of(A)->regs[0][8] = 1;
	use_close(&u);
	assert_int_equal(hw(A, PCI_COMMAND, 2) & PCI_COMMAND_MASTER, 0);
	use_open(&u, A);
	assert_int_equal(probe_of(A)->regs[0][8], 0);
	assert_int_equal(hw(A, exp + PCI_EXP_DEVCTL, 2), devctl);
	assert_int_equal(cfg_read(&u, PCI_BASE_ADDRESS_0, 4), pci_bar(pci_of(A), 0)->address);
	assert_int_not_equal(cfg_read(&u, PCI_INTERRUPT_LINE, 1), 0x42);
	assert_int_not_equal(cfg_read(&u, PCI_CACHE_LINE_SIZE, 1), 0x42);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(header_bits, setup, teardown),
		cmocka_unit_test_setup_teardown(command_bits, setup, teardown),
		cmocka_unit_test_setup_teardown(bar_sizing, setup, teardown),
		cmocka_unit_test_setup_teardown(backdoor_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(pieces, setup, teardown),
		cmocka_unit_test_setup_teardown(chain, setup, teardown),
		cmocka_unit_test_setup_teardown(power, setup, teardown),
		cmocka_unit_test_setup_teardown(power_forgets, setup_old, teardown),
		cmocka_unit_test_setup_teardown(express, setup, teardown),
		cmocka_unit_test_setup_teardown(msi, setup, teardown),
		cmocka_unit_test_setup_teardown(msix, setup, teardown),
		cmocka_unit_test_setup_teardown(raw, setup, teardown),
		cmocka_unit_test_setup_teardown(extended, setup, teardown),
		cmocka_unit_test_setup_teardown(next_user, setup, teardown),
	};

	return cmocka_run_group_tests_name("vfio_pci-config", tests, NULL, NULL);
}
