/* SPDX-License-Identifier: MIT */
/* The generic model: what its args make of it, and its trapped BARs. */
#include "fake_pci.h"

static void shapes(void **state)
{
	const char *const given[] = { "bar0=64K", "bar1=1M,prefetch,64", "bar3=128,io", "bar4=4K,counter", "msix=8", "express",
				      "flr", "pm=no", "msi=4", "intx=B", NULL };
	struct pci_dev *d = plug(&generic_model, given);
	const struct pci_model *m = &d->shape;

	assert_true(m->bar[0].kind == PCI_BAR_MEM32 && m->bar[0].plain && m->bar[0].size == 65536);
	assert_true(m->bar[1].kind == PCI_BAR_MEM64 && m->bar[1].prefetchable && m->bar[1].size == 1 << 20);
	assert_true(m->bar[2].kind == PCI_BAR_NONE);
	assert_true(m->bar[3].kind == PCI_BAR_IO && !m->bar[3].plain);
	assert_true(m->bar[4].kind == PCI_BAR_MEM32 && !m->bar[4].plain);
	assert_true(m->msix_vectors == 8 && m->msix_bar == 5 && m->msix_table == 0 && m->msix_pba == 4096);
	assert_true(m->bar[5].size == 8192 && !m->bar[5].plain);
	assert_true(m->express && m->flr && !m->power_management && m->msi_vectors == 4 && m->intx_pin == 2);
	unplug(d);
}

static void counter(void **state)
{
	const char *const given[] = { "bar0=4K,counter", "msix=2", NULL };
	struct pci_dev *d = plug(&generic_model, given);

	store(d, 0x100, 0x1122334455667788, 8);
	assert_int_equal(load(d, 0x102, 2), 0x5566);
	assert_int_equal(load(d, 0, 8), 2);
	assert_int_equal(load(d, 8, 8), 1);
	store(d, 0, 99, 8);  /* counters are read-only, */
	store(d, 12, UINT64_MAX, 8); /* what is behind them is not */
	assert_int_equal(load(d, 8, 8), 3);
	assert_int_equal(load(d, 16, 4), 0xffffffff);
	store(d, 16, 1, 4);
	assert_int_equal(d->messages[1], 1);
	generic_model.reset(d->state);
	assert_int_equal(load(d, 0, 8), 1);
	assert_int_equal(load(d, 0x100, 8), 0);
	unplug(d);
}

static void sizes(void **state)
{
	static const struct { const char *text; int rc; uint64_t value; } cases[] = {
		{ "0", 0, 0 }, { "4096", 0, 4096 }, { "0x1000", 0, 4096 }, { "4K", 0, 4096 }, { "1M", 0, 1 << 20 }, { "64G", 0, 64ull << 30 },
		{ "0x10T", 0, 16ull << 40 }, { "18446744073709551615", 0, UINT64_MAX }, { "18446744073709551616", -ERANGE, 0 },
		{ "16777216T", -ERANGE, 0 }, { "", -EINVAL, 0 }, { "K", -EINVAL, 0 }, { "-1", -EINVAL, 0 }, { " 1", -EINVAL, 0 },
		{ "4KB", -EINVAL, 0 }, { "4k", -EINVAL, 0 }, { "1.5M", -EINVAL, 0 },
	};
	char buf[24];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t v = 0;

		assert_int_equal(model_size_parse(cases[i].text, &v), cases[i].rc);
		assert_true(v == cases[i].value);
	}
	assert_string_equal(model_size_format(4096, buf), "4K");
	assert_string_equal(model_size_format(3000, buf), "3000");
	assert_string_equal(model_size_format(0, buf), "0");
	assert_string_equal(model_size_format(2048ull << 40, buf), "2048T");
	assert_string_equal(model_size_format(UINT64_MAX, buf), "18446744073709551615");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(shapes), cmocka_unit_test(counter), cmocka_unit_test(sizes) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
