/* SPDX-License-Identifier: MIT */
/* BARs: how accesses reach a model, plain memory, MSI-X in the middle, mirrors, placement. */
#include "harness.h"
#include <unistd.h>

static struct pci_dev *d;
static struct toy *t;

static int start(void **state)
{
	box_start(state);
	d = add(box.root, 1, 0, &toy_model, NULL);
	t = toy_of(d);
	return 0;
}

static void widths(void **state)
{
	uint8_t b[64];

	for (unsigned i = 0; i < 64; i++)
		b[i] = (uint8_t)i;
	for (unsigned w = 1; w <= 64; w *= 2) {
		unsigned before = t->writes;

		pci_bar_access(d, TOY_REGS, 0x40, b, w, true);
		assert_int_equal(t->writes, before + 1); /* vector stores in one piece */
		assert_int_equal(t->last_width, w);
	}
	pci_bar_access(d, TOY_REGS, 0x48, b, 16, true); /* not aligned to 16: two of 8 */
	assert_int_equal(t->last_width, 8);
	t->reads = 0;
	memset(b, 0, sizeof(b));
	pci_bar_access(d, TOY_REGS, 0x40, b, 32, false);
	assert_int_equal(t->reads, 4); /* loads of at most 8 */
	assert_int_equal(b[5], 5);
	/* 7 bytes at 1: 1, 2, 4 */
	t->writes = 0;
	pci_bar_access(d, TOY_REGS, 0x41, b, 7, true);
	assert_int_equal(t->writes, 3);
	assert_int_equal(t->last_width, 4);
	assert_int_equal(t->last_offset, 0x44);
}

static void outside(void **state)
{
	uint32_t v = 0;

	pci_bar_access(d, TOY_REGS, 0x1ffe, &v, 4, false);
	assert_int_equal(v, 0xffffffff);
	v = 0;
	pci_bar_access(d, 1, 0, &v, 4, false);
	assert_int_equal(v, 0xffffffff);
	v = 0;
	pci_bar_access(d, 7, 0, &v, 4, false);
	assert_int_equal(v, 0xffffffff);
	assert_null(pci_bar(d, 6));
}

/* A function whose memory is disabled, or asleep, hears nothing and answers nothing. */
static void gated(void **state)
{
	uint32_t v, on = pci_config_read(d, PCI_COMMAND, 2), before = t->writes;
	unsigned pm = pci_find_cap(d, PCI_CAP_ID_PM);

	for (unsigned i = 0; i < 2; i++) {
		static const unsigned bars[] = { TOY_REGS, TOY_MEM, TOY_IO };

		if (i == 0)
			pci_config_write(d, PCI_COMMAND, 2, on & ~(uint32_t)(PCI_COMMAND_MEMORY | PCI_COMMAND_IO));
		else
			pci_config_write(d, pm + PCI_PM_CTRL, 2, 3);
		for (unsigned b = 0; b < 3; b++) {
			v = 0;
			pci_bar_access(d, bars[b], 0x10, &v, 4, true);
			pci_bar_access(d, bars[b], 0x10, &v, 4, false);
			assert_int_equal(v, 0xffffffff);
		}
		assert_int_equal(t->reads, 0);
		assert_int_equal(t->writes, before);
		pci_config_write(d, PCI_COMMAND, 2, on);
	}
	pci_config_write(d, pm + PCI_PM_CTRL, 2, 0);
	pci_bar_access(d, TOY_IO, 0x10, &v, 4, false);
	assert_int_equal(t->reads, 1);
}

static void plain(void **state)
{
	uint64_t v = 0x1122334455667788ull, w = 0;

	assert_non_null(pci_bar(d, TOY_MEM)->shm);
	pci_bar_access(d, TOY_MEM, 0xfff8, &v, 8, true);
	assert_int_equal(pci_bar_memory(d, TOY_MEM, 0xfff8, &w, 8, false), 0);
	assert_true(v == w);
	assert_int_equal(pci_bar_memory(d, TOY_MEM, 0xfffc, &w, 8, false), -EINVAL);
	assert_int_equal(pci_bar_memory(d, TOY_REGS, 0, &w, 8, false), -EINVAL);
	assert_int_equal(t->reads + t->writes, 0);
}

static void msix_interception(void **state)
{
	uint32_t v[4] = { 0xfee01004, 1, 0x55, 0 };

	pci_bar_access(d, TOY_REGS, 0x1010, v, 16, true); /* entry 1 */
	assert_int_equal(t->writes, 0);
	memset(v, 0, sizeof(v));
	pci_bar_access(d, TOY_REGS, 0x1010, v, 16, false);
	assert_int_equal(v[0], 0xfee01004);
	assert_int_equal(v[2], 0x55);
	assert_int_equal(v[3], 0); /* unmasked by that write */
	pci_bar_access(d, TOY_REGS, 0x1000, v, 16, false);
	assert_int_equal(v[3], 1); /* entry 0 masked as at power-on */
	/* around the table the model answers, also for a store that is half in it */
	pci_bar_access(d, TOY_REGS, 0xff8, v, 16, true);
	assert_int_equal(t->writes, 1);
	assert_int_equal(t->last_offset, 0xff8);
	/* the PBA is read-only */
	v[0] = ~0u;
	pci_bar_access(d, TOY_REGS, 0x1800, v, 4, true);
	pci_bar_access(d, TOY_REGS, 0x1800, v, 4, false);
	assert_int_equal(v[0], 0);
}

static void mirrors(void **state)
{
	uint64_t v = 0xaaaabbbbccccddddull, got = 0;
	uint32_t half = 0x12345678;

	assert_false(pci_bar_mirror(d, TOY_REGS, 8, &got, 8));
	pci_mirror_set(d, TOY_REGS, 8, &v, 8);
	assert_true(pci_bar_mirror(d, TOY_REGS, 8, &got, 8));
	assert_true(got == v);
	pci_mirror_set(d, TOY_REGS, 12, &half, 4);
	got = 0;
	assert_true(pci_bar_mirror(d, TOY_REGS, 12, &got, 4));
	assert_int_equal(got, half);
	assert_true(pci_bar_mirror(d, TOY_REGS, 8, &got, 8));
	assert_true(got == 0x12345678ccccddddull);
	pci_mirror_clear(d, TOY_REGS, 12, 4);
	assert_false(pci_bar_mirror(d, TOY_REGS, 8, &got, 8));
	assert_true(pci_bar_mirror(d, TOY_REGS, 8, &got, 4));
	/* two registers of 4 bytes are not one of 8 */
	pci_mirror_set(d, TOY_REGS, 0x100, &half, 4);
	pci_mirror_set(d, TOY_REGS, 0x104, &half, 4);
	assert_false(pci_bar_mirror(d, TOY_REGS, 0x100, &got, 8));
	/* odd shapes, other BARs, the outside: ask the model */
	assert_false(pci_bar_mirror(d, TOY_REGS, 8, &got, 2));
	assert_false(pci_bar_mirror(d, TOY_REGS, 10, &got, 4));
	assert_false(pci_bar_mirror(d, TOY_MEM, 0, &got, 4));
	assert_false(pci_bar_mirror(d, TOY_REGS, 0x10000, &got, 4));
	assert_false(pci_bar_mirror(d, 9, 0, &got, 4));
	pci_mirror_set(d, TOY_MEM, 0, &v, 8);
}

/* Programs may look once they are allowed to, at pages made before and since. */
static void mirror_blocks(void **state)
{
	uint32_t v = 0x12345678;
	uint64_t got;

	pci_mirror_set(d, TOY_REGS, 8, &v, 4);
	assert_null(pci_bar_mirror_page(d, TOY_REGS, 0x1000));
	assert_false(mirror_load(pci_bar_mirror_page(d, TOY_REGS, 0), 8, 4, &got));
	pci_mirror_block(d, false);
	pci_mirror_set(d, TOY_REGS, 0x1000, &v, 4); /* the table: not the model's */
	assert_null(pci_bar_mirror_page(d, TOY_REGS, 0x1000));
	pci_mirror_set(d, TOY_REGS, 0x1c10, &v, 4);
	assert_true(mirror_load(pci_bar_mirror_page(d, TOY_REGS, 0), 8, 4, &got));
	assert_true(mirror_load(pci_bar_mirror_page(d, TOY_REGS, 0x1fff), 0xc10, 4, &got));
	assert_int_equal(got, v);
	pci_mirror_block(d, true);
	assert_false(mirror_load(pci_bar_mirror_page(d, TOY_REGS, 0), 8, 4, &got));
	assert_false(mirror_load(pci_bar_mirror_page(d, TOY_REGS, 0x1000), 0xc10, 4, &got));
}

static void placement(void **state)
{
	struct pci_dev *other = add(box.root, 2, 0, &toy_model, NULL);
	const struct pci_bar *a = pci_bar(d, TOY_REGS), *b = pci_bar(other, TOY_REGS);
	uint64_t was = b->address;

	assert_true(a->address >= 0xc0000000 && a->address + a->size <= 0xfe000000);
	assert_true(b->address >= a->address + a->size);
	assert_true(b->address % b->size == 0);
	a = pci_bar(other, TOY_MEM);
	assert_true(a->address >= BIT64(39) && a->address < BIT64(40) && a->address % a->size == 0);
	assert_int_equal(pci_bar(d, TOY_MEM + 1)->size, 0);
	/* space comes back: many times more than there is room for at once */
	pci_dev_unplug(other);
	for (unsigned i = 0; i < 20; i++) {
		struct pci_model m = toy_model;

		m.bar[TOY_REGS].size = 0x8000000;
		m.bar[TOY_IO].size = 256;
		other = add(box.root, 2, 0, &m, NULL);
		assert_true(pci_bar(other, TOY_REGS)->address % 0x8000000 == 0);
		pci_dev_unplug(other);
	}
	assert_true(was);
}

static void unplugged(void **state)
{
	struct dev *dev = dev_get(&d->dev);
	uint32_t v = 0;

	pci_dev_unplug(d);
	pci_bar_access(d, TOY_REGS, 0, &v, 4, false);
	assert_int_equal(v, 0xffffffff);
	pci_bar_access(d, TOY_MEM, 0, &v, 4, false);
	assert_int_equal(v, 0xffffffff);
	assert_false(pci_memory_decodes(d));
	assert_false(pci_can_reset(d));
	pci_dev_unplug(d); /* the second does nothing */
	dev_put(dev);
}

/* A ROM answers when memory decodes and its own register says so; a copy in the host's memory always does. */
static void rom(void **state)
{
	struct pci_model m = bare_model;
	struct pci_dev *r;
	struct toy *rt;
	uint64_t v;

	m.rom_size = 64 * 1024;
	m.create = toy_model.create;
	m.destroy = toy_model.destroy;
	m.read = toy_model.read;
	r = add(box.root, 2, 0, &m, NULL);
	rt = toy_of(r);
	assert_int_equal(pci_rom(r).kind, PCI_ROM_BAR);
	assert_int_equal(pci_rom(r).size, 64 * 1024);
	assert_int_equal(pci_config_read(r, PCI_ROM_ADDRESS, 4), pci_rom(r).address);
	pci_rom_read(r, 0x10, &v, 4);
	assert_int_equal((uint32_t)v, ~0u);
	pci_config_write(r, PCI_ROM_ADDRESS, 4, ~0u);
	assert_int_equal(pci_config_read(r, PCI_ROM_ADDRESS, 4), 0xffff0001);
	pci_config_write(r, PCI_ROM_ADDRESS, 4, (uint32_t)pci_rom(r).address | PCI_ROM_ADDRESS_ENABLE);
	pci_rom_read(r, 0x10, &v, 4);
	assert_int_equal((uint32_t)v, 0);
	pci_bar_access(r, PCI_ROM, 0x10, &v, 8, false); /* as a peer's: in two pieces */
	assert_int_equal(rt->reads, 3);
	assert_int_equal(rt->last_width, 4);
	pci_bar_access(r, PCI_ROM, 0x10, &v, 8, true);
	assert_int_equal(rt->writes, 0);
	pci_config_write(r, PCI_COMMAND, 2, 0);
	pci_rom_read(r, 0x10, &v, 4);
	assert_int_equal((uint32_t)v, ~0u);

	m.rom_kind = PCI_ROM_SHADOW;
	r = add(box.root, 3, 0, &m, NULL);
	pci_config_write(r, PCI_COMMAND, 2, 0);
	assert_int_equal(pci_rom(r).size, 0x20000);
	assert_int_equal(pci_config_read(r, PCI_ROM_ADDRESS, 4), 0);
	pci_rom_read(r, 0x10, &v, 4);
	assert_int_equal((uint32_t)v, 0);
}

/* ---- who makes a function stop answering waits for the access under way ---- */

static struct ending {
	struct pci_dev *d;
	unsigned bar;
	void (*fn)(struct pci_dev *d);
	struct thread thread;
	atomic_bool begun, done;
	bool waited;
} ending;

static void ending_main(void *arg)
{
	atomic_store(&ending.begun, true);
	ending.fn(ending.d);
	atomic_store(&ending.done, true);
}

static void end_meanwhile(struct pci_dev *dev)
{
	toy_on_read = NULL;
	assert_int_equal(thread_start(&ending.thread, "ending", ending_main, NULL), 0);
	while (!atomic_load(&ending.begun))
		usleep(100);
	usleep(20000); /* who does not wait is done by now, or the test sees nothing */
	ending.waited = !atomic_load(&ending.done) && pci_decodes(dev, ending.bar);
}

static void ends(struct pci_dev *dev, unsigned bar, void (*fn)(struct pci_dev *d))
{
	uint32_t v;

	ending = (struct ending){ .d = dev, .bar = bar, .fn = fn };
	assert_true(pci_decodes(dev, bar));
	toy_on_read = end_meanwhile;
	pci_bar_access(dev, bar, 0, &v, 4, false);
	thread_join(&ending.thread);
	assert_true(ending.waited);
	assert_false(pci_decodes(dev, bar));
}

static void memory_off(struct pci_dev *dev)
{
	pci_config_write(dev, PCI_COMMAND, 2, 0);
}

static void sleep_deeply(struct pci_dev *dev)
{
	pci_set_power(dev, 3);
}

static void rom_off(struct pci_dev *dev)
{
	pci_config_write(dev, PCI_ROM_ADDRESS, 4, (uint32_t)pci_rom(dev).address);
}

static void endings(void **state)
{
	struct pci_model m = toy_model;
	struct dev *dev;
	struct pci_dev *r;

	m.rom_size = 2048;
	r = add(box.root, 2, 0, &m, NULL);
	dev = dev_get(&r->dev);
	ends(r, TOY_REGS, memory_off);
	pci_config_write(r, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	ends(r, TOY_REGS, sleep_deeply);
	pci_set_power(r, 0);
	pci_config_write(r, PCI_ROM_ADDRESS, 4, (uint32_t)pci_rom(r).address | PCI_ROM_ADDRESS_ENABLE);
	ends(r, PCI_ROM, rom_off);
	ends(r, TOY_REGS, pci_dev_unplug);
	dev_put(dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(widths, start, box_stop),
		cmocka_unit_test_setup_teardown(outside, start, box_stop),
		cmocka_unit_test_setup_teardown(gated, start, box_stop),
		cmocka_unit_test_setup_teardown(plain, start, box_stop),
		cmocka_unit_test_setup_teardown(msix_interception, start, box_stop),
		cmocka_unit_test_setup_teardown(mirrors, start, box_stop),
		cmocka_unit_test_setup_teardown(mirror_blocks, start, box_stop),
		cmocka_unit_test_setup_teardown(placement, start, box_stop),
		cmocka_unit_test_setup_teardown(rom, start, box_stop),
		cmocka_unit_test_setup_teardown(unplugged, start, box_stop),
		cmocka_unit_test_setup_teardown(endings, start, box_stop),
	};

	return cmocka_run_group_tests_name("pci bars", tests, NULL, NULL);
}
