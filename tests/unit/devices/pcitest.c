/* SPDX-License-Identifier: MIT */
/* The model pcitest: what its args make of it, its registers, its log. */
#include "fake_pci.h"

static void shapes(void **state)
{
	const char *const given[] = { "bar0=64G,64,prefetch", "bar2=32,io", "bar3=1M,plain", "bar4=4K,log", "bar5=4K",
				      "msix=8@0:0x2000:5:0x100", "msi=8,mask,32", "pm=d1,pme,forgets", "vpd=256", "af",
				      "rom=64K,image=3K", "intx=D", "express", NULL };
	struct pci_dev *d = plug(&pcitest_model, given);
	const struct pci_model *m = &d->shape;

	assert_true(m->bar[0].kind == PCI_BAR_MEM64 && m->bar[0].prefetchable && !m->bar[0].plain);
	assert_true(m->bar[2].kind == PCI_BAR_IO && m->bar[3].plain && !m->bar[4].plain);
	assert_true(m->msix_vectors == 8 && m->msix_bar == 0 && m->msix_pba_apart && m->msix_pba_bar == 5);
	assert_true(m->msi_vectors == 8 && m->msi_maskable && !m->msi_64bit);
	assert_int_equal(m->pm_flags, PCI_MODEL_PM_D1 | PCI_MODEL_PM_PME | PCI_MODEL_PM_FORGETS);
	assert_true(m->power_management && m->af && m->vpd_size == 256 && m->rom_size == 65536 && m->intx_pin == 4);
	store(d, (64ull << 30) - 8, 0x1122334455667788, 8);
	assert_int_equal(load(d, (64ull << 30) - 4, 4), 0x11223344);
	unplug(d);
}

static void refuses(void **state)
{
	static const char *const bad[] = { "bar0=4K,counter", "bar0=2M,log", "reg=0@0:ro", "reg=0@2:ro", "reg=x", "rom=3K",
					   "rom=64K,image=1", "rom=64K,worse", "msi=3", "msi=4,16", "pm=d4", "vpd=3", "intx=E",
					   "bar6=4K", "no" };
	char err[200];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct pci_model m = pcitest_model;

		err[0] = 0;
		assert_int_equal(m.shape(&m, bad[i], err, sizeof(err)), -EINVAL);
		assert_true(err[0]);
	}
}

static void registers(void **state)
{
	const char *const given[] = { "bar0=4K", "reg=0@0x10:counter", "reg=0@0x14:clear=0x5a", "reg=0@0x18:w1c=0xff",
				      "reg=0@0x20/8:ro=0x123456789", "reg=0@0x28:fire", "reg=0@0x2c:pin", NULL };
	struct pci_dev *d = plug(&pcitest_model, given);

	for (unsigned round = 0; round < 2; round++) {
		assert_int_equal(load(d, 0x10, 4), 1);
		assert_int_equal(load(d, 0x10, 4), 2);
		assert_int_equal(load(d, 0x10, 2), 2); /* another width: no effect */
		store(d, 0x10, 0, 4);
		assert_int_equal(load(d, 0x10, 4), 3);
		assert_int_equal(load(d, 0x14, 4), 0x5a);
		assert_int_equal(load(d, 0x14, 4), 0);
		store(d, 0x18, 0x0f, 4);
		assert_int_equal(load(d, 0x18, 4), 0xf0);
		store(d, 0x20, 0, 8);
		assert_int_equal(load(d, 0x20, 8), 0x123456789);
		pcitest_model.reset(d->state);
	}
	store(d, 0x28, 2, 4);
	assert_int_equal(d->messages[2], 1);
	store(d, 0x2c, 1, 4);
	assert_true(d->pin);
	store(d, 0x2c, 0, 4);
	assert_false(d->pin);
	unplug(d);
}

static uint64_t log_at(struct pci_dev *d, uint64_t offset, unsigned width)
{
	uint64_t v = 0;

	d->model->read(d->state, 2, offset, &v, width);
	return v;
}

static void logs(void **state)
{
	const char *const given[] = { "bar0=4K", "bar2=64,log", "rom=64K", NULL };
	struct pci_dev *d = plug(&pcitest_model, given);
	uint32_t v = 0;

	store(d, 0x123, 0xab, 1);
	load(d, 0x200, 8);
	d->model->read(d->state, PCI_ROM, 0, &v, 2);
	assert_int_equal(v, 0xaa55);
	load(d, 0, 4); /* there is room for three */
	assert_int_equal(log_at(d, 0, 4), 4);
	assert_int_equal(log_at(d, 16, 8), 0x123);
	assert_int_equal(log_at(d, 24, 8), 0x00010100000000ab);
	assert_int_equal(log_at(d, 40, 8), 0x0000080000000000);
	assert_int_equal(log_at(d, 56, 8), 0x000002060000aa55);
	pcitest_model.reset(d->state);
	assert_int_equal(log_at(d, 0, 8), 1ull << 32);
	store(d, 0, 1, 4);
	d->model->write(d->state, 2, 0, &v, 4);
	assert_int_equal(log_at(d, 0, 8), 1ull << 32);
	unplug(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shapes),
		cmocka_unit_test(refuses),
		cmocka_unit_test(registers),
		cmocka_unit_test(logs),
	};

	return cmocka_run_group_tests_name("pcitest", tests, NULL, NULL);
}
