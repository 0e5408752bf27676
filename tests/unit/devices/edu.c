/* SPDX-License-Identifier: MIT */
/* The edu model, register by register. */
#include "fake_pci.h"

static void identity(void **state)
{
	struct pci_dev *d = plug(&edu_model, NULL);

	assert_int_equal(load(d, 0x00, 4), 0x010000ed);
	store(d, 0x00, 5, 4);
	assert_int_equal(load(d, 0x00, 4), 0x010000ed);
	assert_int_equal(load(d, 0x04, 4), 0);
	store(d, 0x04, 0x12345678, 4);
	assert_int_equal(load(d, 0x04, 4), 0xedcba987);
	unplug(d);
}

static void widths(void **state)
{
	struct pci_dev *d = plug(&edu_model, NULL);
	uint8_t vector[64];

	store(d, 0x04, 1, 4);
	store(d, 0x04, 7, 8);
	store(d, 0x04, 7, 2);
	assert_int_equal(load(d, 0x04, 4), ~1u);
	assert_int_equal(load(d, 0x00, 2), 0xffff);
	assert_true(load(d, 0x00, 8) == UINT64_MAX);
	store(d, 0x80, 0x1122334455667788, 8);
	assert_true(load(d, 0x80, 8) == 0x1122334455667788);
	assert_int_equal(load(d, 0x80, 4), 0x55667788);
	store(d, 0x80, 9, 4); /* half a register replaces all of it, as in QEMU */
	assert_true(load(d, 0x80, 8) == 9);
	assert_int_equal(load(d, 0x84, 4), 0xffffffff);
	assert_int_equal(load(d, 0x80, 1), 0xff);
	edu_model.read(d->state, 0, 0x80, vector, 64);
	assert_int_equal(vector[63], 0xff);
	edu_model.write(d->state, 0, 0x80, vector, 64);
	assert_true(load(d, 0x80, 8) == 9);
	assert_int_equal(load(d, 0x1000, 4), 0xffffffff);
	assert_int_equal(load(d, 0xffffc, 4), 0xffffffff);
	unplug(d);
}

static void factorial(void **state)
{
	static const struct { uint32_t n, result; } cases[] = { { 0, 1 }, { 1, 1 }, { 5, 120 }, { 12, 479001600 }, { 13, 1932053504 },
								 { 34, 0 }, { UINT32_MAX, 0 } };
	struct pci_dev *d = plug(&edu_model, NULL);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		store(d, 0x08, cases[i].n, 4);
		assert_int_equal(load(d, 0x20, 4), 1);
		store(d, 0x08, 3, 4); /* ignored while computing */
		work(d);
		assert_int_equal(load(d, 0x20, 4), 0);
		assert_int_equal(load(d, 0x08, 4), cases[i].result);
	}
	assert_int_equal(d->messages[0], 0);
	store(d, 0x20, 0xff, 4);
	assert_int_equal(load(d, 0x20, 4), 0x80);
	store(d, 0x08, 4, 4);
	work(d);
	assert_int_equal(d->messages[0], 1);
	assert_int_equal(load(d, 0x24, 4), 1);
	unplug(d);
}

static void interrupts(void **state)
{
	struct pci_dev *d = plug(&edu_model, NULL);

	store(d, 0x60, 0, 4);
	assert_int_equal(d->messages[0], 0);
	store(d, 0x60, 0x5, 4);
	store(d, 0x60, 0x2, 4);
	assert_int_equal(d->messages[0], 2);
	assert_int_equal(load(d, 0x24, 4), 7);
	store(d, 0x64, 0x7, 4);
	assert_int_equal(load(d, 0x24, 4), 0);
	d->msi_off = true;
	store(d, 0x60, 0x3, 4);
	assert_true(d->pin);
	store(d, 0x64, 0x1, 4);
	assert_true(d->pin);
	store(d, 0x64, 0x2, 4);
	assert_false(d->pin);
	unplug(d);
}

static void start(struct pci_dev *d, uint64_t src, uint64_t dst, uint64_t count, uint64_t command)
{
	store(d, 0x80, src, 8);
	store(d, 0x88, dst, 8);
	store(d, 0x90, count, 8);
	store(d, 0x98, command, 8);
}

static void dma(void **state)
{
	struct pci_dev *d = plug(&edu_model, NULL);

	strcpy((char *)d->ram, "hello, edu");
	start(d, RAM_IOVA, 0x40000 + 100, 11, 1);
	assert_int_equal(load(d, 0x98, 8), 1);
	store(d, 0x80, 0xdead, 8); /* a running transfer's registers stay */
	work(d);
	assert_int_equal(load(d, 0x98, 8), 0);
	assert_true(load(d, 0x80, 8) == RAM_IOVA);
	start(d, 0x40000 + 100, RAM_IOVA + 4096, 11, 1 | 2 | 4);
	work(d);
	assert_string_equal(d->ram + 4096, "hello, edu");
	assert_int_equal(load(d, 0x98, 8), 2 | 4);
	assert_int_equal(load(d, 0x24, 4), 0x100);
	assert_int_equal(d->messages[0], 1);
	store(d, 0x98, 2, 8); /* without the start bit nothing happens */
	assert_int_equal(load(d, 0x98, 8), 2 | 4);
	unplug(d);
}

static void dma_wrong(void **state)
{
	struct pci_dev *d = plug(&edu_model, NULL);
	unsigned before;

	memset(d->ram, 0x55, 8192);
	start(d, RAM_IOVA, 0x40000, 4096, 1);
	work(d);
	/* outside the buffer: it ends, and nothing moves */
	before = d->accesses;
	start(d, RAM_IOVA, 0x40000, 4097, 1);
	work(d);
	start(d, RAM_IOVA, 0x3ffff, 1, 1);
	work(d);
	start(d, 0x41000, RAM_IOVA, 1, 3);
	work(d);
	start(d, UINT64_MAX, RAM_IOVA, 2, 3);
	work(d);
	start(d, 0x40000, RAM_IOVA, UINT64_MAX, 3);
	work(d);
	assert_int_equal(d->accesses, before);
	assert_int_equal(load(d, 0x98, 8), 2);
	/* 28 address bits: the rest is cut off */
	start(d, 0x40000, 0xf0000000 + RAM_IOVA + 100, 1, 3);
	work(d);
	assert_int_equal(d->ram[100], 0x55);
	/* what cannot be read arrives as zeros */
	start(d, 0x10, 0x40000, 4096, 1);
	work(d);
	start(d, 0x40000, RAM_IOVA, 4096, 3);
	work(d);
	assert_int_equal(d->ram[4095], 0);
	unplug(d);
}

static void other_thread_stores(struct pci_dev *d)
{
	store(d, 0x60, 1, 4);
	edu_model.reset(d->state);
}

static void reset(void **state)
{
	struct pci_dev *d = plug(&edu_model, NULL);

	d->msi_off = true;
	store(d, 0x04, 1, 4);
	store(d, 0x60, 1, 4);
	store(d, 0x20, 0x80, 4);
	store(d, 0x08, 5, 4);
	start(d, RAM_IOVA, 0x40000, 4, 5);
	edu_model.reset(d->state);
	assert_false(d->pin);
	assert_false(d->worker.kicked);
	for (uint64_t r = 4; r < 0x28; r += 4)
		assert_int_equal(load(d, r, 4), r < 0xc || r == 0x20 || r == 0x24 ? 0 : 0xffffffff);
	assert_true(load(d, 0x98, 8) == 0 && load(d, 0x80, 8) == 0);
	/* while bytes move: the lock is free, and the end of the old transfer changes nothing */
	d->meddle = other_thread_stores;
	start(d, RAM_IOVA, 0x40000, 4, 5);
	work(d);
	assert_int_equal(load(d, 0x24, 4), 0);
	assert_true(load(d, 0x98, 8) == 0);
	unplug(d);
}

/* A register that the real one has not: whose address space the next transfer is in. */
static void pasid(void **state)
{
	const char *const given[] = { "pasid=16", NULL };
	struct pci_dev *d = plug(&edu_model, given);

	assert_true(d->shape.express);
	assert_int_equal(load(d, 0xa0, 4), 0);
	store(d, 0xa0, 0x30007, 4); /* bits there are */
	assert_int_equal(load(d, 0xa0, 4), 7);
	assert_int_equal(load(d, 0xa0, 8), 7);
	start(d, RAM_IOVA, 0x40000, 4, 1);
	store(d, 0xa0, 9, 4); /* stays while a transfer runs */
	work(d);
	assert_int_equal(d->pasid, 7);
	store(d, 0xa0, 9, 8);
	start(d, 0x40000, RAM_IOVA, 4, 3);
	work(d);
	assert_int_equal(d->pasid, 9);
	d->model->reset(d->state);
	start(d, RAM_IOVA, 0x40000, 4, 1);
	work(d);
	assert_int_equal(d->pasid, 0);
	unplug(d);

	d = plug(&edu_model, NULL);
	store(d, 0xa0, 7, 4);
	assert_int_equal(load(d, 0xa0, 4), 0xffffffff); /* as any other that is not there */
	start(d, RAM_IOVA, 0x40000, 4, 1);
	work(d);
	assert_int_equal(d->pasid, 0);
	unplug(d);
}

static void args(void **state)
{
	const char *const given[] = { "dma_mask=0xffffffffffffffff", "flr=yes", NULL };
	struct pci_dev *d = plug(&edu_model, given);
	struct pci_model copy = edu_model;
	char err[200];

	assert_true(d->shape.flr);
	assert_false(edu_model.flr);
	start(d, RAM_IOVA + (1ull << 40), 0x40000, 4, 1); /* no bit is cut off, so it is not there */
	work(d);
	assert_int_equal(edu_model.shape(&copy, "dma_mask=x", err, sizeof(err)), -EINVAL);
	assert_string_equal(err, "\"x\" is not a number (such as 4096, 0x1000, 4K, 1M or 64G)");
	assert_int_equal(edu_model.shape(&copy, "flr=maybe", err, sizeof(err)), -EINVAL);
	assert_string_equal(err, "\"maybe\" is neither yes nor no");
	assert_int_equal(edu_model.shape(&copy, "pasid=21", err, sizeof(err)), -EINVAL);
	assert_string_equal(err, "21 bits: PASIDs have at most 20");
	assert_int_equal(edu_model.shape(&copy, "pri=no", err, sizeof(err)), 0);
	assert_false(copy.page_requests || copy.express);
	assert_int_equal(edu_model.shape(&copy, "pasid", err, sizeof(err)), 0);
	assert_int_equal(copy.pasid_bits, 20);
	assert_int_equal(edu_model.shape(&copy, "pri", err, sizeof(err)), 0);
	assert_true(copy.page_requests && copy.express);
	unplug(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(identity), cmocka_unit_test(widths), cmocka_unit_test(factorial), cmocka_unit_test(interrupts),
		cmocka_unit_test(dma), cmocka_unit_test(dma_wrong), cmocka_unit_test(reset), cmocka_unit_test(pasid),
		cmocka_unit_test(args),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
