/* SPDX-License-Identifier: MIT */
/*
 * Models in a real machine, programmed by somebody who means no good: descriptors that point at the device's own
 * registers, chains without end, stores, loads and resets from several threads at once. Everything must come to rest and
 * go away. Memory is the BAR of a generic function, so no program is needed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "machine/priv.h"

#define OWN    0x100000ull  /* IOVA of the device's own BAR 0 */
#define RAM    0x200000ull  /* IOVA of 64 KiB of memory */
#define ROUNDS 1500

enum { CHANCTRL = 0x80, CHANCMD = 0x84, DMACOUNT = 0x86, CHANSTS = 0x88, CHAINADDR = 0x90, CHANCMP = 0x98 };

static const char text[] =
	"machine: hostile\n"
	"devices:\n"
	"- kind: host-bridge\n"
	"  below:\n"
	"  - {at: 01.0, kind: root-port, below: [{at: 00.0, model: ioat}]}\n"
	"  - {at: 02.0, model: edu, args: [flr, dma_mask=0xffffffffffffffff]}\n"
	"  - {at: 03.0, model: generic, args: [bar0=64K, pm]}\n";

struct bench {
	struct machine *m;
	struct pci_dev *dev, *ram;
	struct iommu_domain *domain;
};

static struct pci_dev *enable(struct machine *m, const char *bdf)
{
	struct pci_dev *d = pci_find(m->pci, bdf);

	assert_non_null(d);
	pci_config_write(d, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	return d;
}

static void setup(struct bench *b, const char *bdf)
{
	struct machine_desc *desc = NULL;
	struct iommu_group *g;

	assert_int_equal(machine_desc_parse("hostile", text, strlen(text), stderr, &desc), 0);
	assert_int_equal(machine_create(desc, NULL, &b->m), 0);
	machine_desc_free(desc);
	b->dev = enable(b->m, bdf);
	b->ram = enable(b->m, "0000:00:03.0");
	g = iommu_dev_group(b->dev->iommu);
	assert_int_equal(iommu_group_claim(g, b), 0);
	assert_int_equal(iommu_domain_create(b->dev->iommu, &b->domain), 0);
	assert_int_equal(iommu_group_attach(g, b->domain), 0);
	assert_int_equal(iommu_map(b->domain, OWN, pci_bar(b->dev, 0)->address, 0x1000, MEM_READ | MEM_WRITE), 0);
	assert_int_equal(iommu_map(b->domain, RAM, pci_bar(b->ram, 0)->address, 0x10000, MEM_READ | MEM_WRITE), 0);
}

static void teardown(struct bench *b)
{
	struct iommu_group *g = iommu_dev_group(b->dev->iommu);

	iommu_group_detach(g);
	iommu_group_release(g);
	iommu_domain_destroy(b->domain);
	dev_put(&b->dev->dev);
	dev_put(&b->ram->dev);
	machine_destroy(b->m);
}

static void store(struct pci_dev *d, uint64_t offset, uint64_t v, unsigned width)
{
	pci_bar_access(d, 0, offset, &v, width, true);
}

static uint64_t load(struct pci_dev *d, uint64_t offset, unsigned width)
{
	uint64_t v = 0;

	pci_bar_access(d, 0, offset, &v, width, false);
	return v;
}

struct desc {
	uint32_t size, ctl;
	uint64_t src, dst, next, rest[4];
};

static void put(struct bench *b, uint64_t iova, const void *data, unsigned n)
{
	for (unsigned i = 0; i < n; i += 8)
		pci_bar_access(b->ram, 0, iova - RAM + i, (char *)data + i, 8, true);
}

static void chain(struct bench *b, unsigned i, uint64_t src, uint64_t dst, uint32_t size, unsigned next)
{
	const struct desc d = { size, 8, src, dst, RAM + next * 64, { 0 } };

	put(b, RAM + i * 64, &d, sizeof(d));
}

/* Until the worker rests: bounded, as nothing here runs for ever. */
static uint64_t settle(struct pci_dev *d)
{
	for (unsigned i = 0; i < 100000000 && (load(d, CHANSTS, 8) & 7) == 0; i++)
		;
	return load(d, CHANSTS, 8);
}

/* Copy through the real thing: IOMMU, window, BAR memory. */
static void ioat_copies(void **state)
{
	struct bench b;
	uint64_t v = 0x0123456789abcdef, got = 0;

	setup(&b, "0000:01:00.0");
	put(&b, RAM + 0x1000, &v, 8);
	chain(&b, 0, RAM + 0x1000, RAM + 0x2000, 64, 0);
	store(b.dev, CHAINADDR, RAM, 8);
	store(b.dev, CHANCMP, RAM + 0x3000, 8);
	store(b.dev, DMACOUNT, 3, 2);
	assert_true(settle(b.dev) == (RAM | 1));
	pci_bar_access(b.ram, 0, 0x2000, &got, 8, false);
	assert_true(got == v);
	pci_bar_access(b.ram, 0, 0x3000, &got, 8, false);
	assert_true(got == (RAM | 1));
	/* a fault, and the report tells */
	chain(&b, 0, 0x10, RAM + 0x2000, 64, 0);
	store(b.dev, DMACOUNT, 4, 2);
	assert_int_equal(settle(b.dev) & 7, 3);
	assert_int_equal(machine_dma_faults(b.m), 1);
	{
		char *said = NULL;
		size_t size;
		FILE *f = open_memstream(&said, &size);

		machine_report(b.m, f);
		fclose(f);
		assert_non_null(strstr(said, "moved through the IOMMU"));
		assert_non_null(strstr(said, "uvfio: 1 DMA fault\n  ioat 0000:01:00.0 read IOVA 0x10 (64 bytes): not mapped\n"));
		free(said);
	}
	teardown(&b);
}

/* The device rings its own doorbell, suspends and resets itself by DMA. */
static void ioat_itself(void **state)
{
	static const struct {
		uint64_t reg;
		uint64_t value;
		uint32_t size;
	} own[] = {
		{ DMACOUNT, 60000, 2 }, { CHANCMD, 0x20, 1 }, { CHANCMD, 0x04, 1 }, { CHAINADDR, RAM, 8 }, { CHANCTRL, 1, 2 },
	};
	struct bench b;

	setup(&b, "0000:01:00.0");
	for (unsigned i = 0; i < ARRAY_SIZE(own); i++) {
		put(&b, RAM + 0x1000, &own[i].value, 8);
		chain(&b, 0, RAM + 0x1000, OWN + own[i].reg, own[i].size, 1);
		chain(&b, 1, RAM + 0x1000, RAM + 0x2000, 8, 1);
		store(b.dev, CHANCMD, 0x20, 1);
		store(b.dev, CHAINADDR, RAM, 8);
		store(b.dev, DMACOUNT, 2, 2);
		settle(b.dev);
		/* its status into its doorbell, over and over */
		chain(&b, 0, OWN + CHANSTS, OWN + DMACOUNT, 2, 0);
		store(b.dev, DMACOUNT, 5000, 2);
		assert_int_equal(pci_reset_function(b.dev), 0);
		pci_config_write(b.dev, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
		assert_int_equal(load(b.dev, CHANSTS, 8), 3);
	}
	teardown(&b);
}

struct attack {
	struct bench *b;
	unsigned seed;
	bool edu;
};

static void ioat_attack(struct attack *a)
{
	static const struct {
		uint64_t reg;
		unsigned width;
	} regs[] = {
		{ CHANCMD, 1 }, { DMACOUNT, 2 }, { DMACOUNT, 2 }, { CHAINADDR, 8 }, { CHANCMP, 8 }, { CHANCTRL, 2 }, { 0xa8, 4 },
		{ CHANCMD, 4 }, { 0x88, 8 },
	};
	unsigned r = rand_r(&a->seed), i = r % ARRAY_SIZE(regs);
	uint64_t value = rand_r(&a->seed);

	if (regs[i].reg == CHAINADDR)
		value = RAM + value % 4 * 64;
	else if (regs[i].reg == CHANCMP)
		value = RAM + 0x3000 + value % 64;
	else if (regs[i].reg == CHANCMD && regs[i].width == 1)
		value = value % 3 ? 0x04 : 0x20;
	store(a->b->dev, regs[i].reg, value, regs[i].width);
	load(a->b->dev, CHANSTS, 8);
}

static void edu_attack(struct attack *a)
{
	static const uint64_t regs[] = { 0x04, 0x08, 0x20, 0x60, 0x64, 0x80, 0x88, 0x90, 0x98, 0x98 };
	static const uint64_t addresses[] = { RAM, OWN, OWN + 0x98, 0x40000, 0x40fff, 0x41000, 0, UINT64_MAX };
	uint64_t reg = regs[(unsigned)rand_r(&a->seed) % ARRAY_SIZE(regs)];
	uint64_t value = (unsigned)rand_r(&a->seed);

	if (reg == 0x80 || reg == 0x88)
		value = addresses[value % ARRAY_SIZE(addresses)];
	else if (reg == 0x90)
		value %= 4100;
	else if (reg == 0x98)
		value = value % 8 | 1;
	store(a->b->dev, reg, value, reg < 0x80 ? 4 : 8);
	load(a->b->dev, reg, 4);
}

static void attacker(void *arg)
{
	struct attack *a = arg;

	for (unsigned i = 0; i < ROUNDS; i++) {
		if (a->edu)
			edu_attack(a);
		else
			ioat_attack(a);
	}
}

static void assault(const char *bdf, bool edu)
{
	struct attack a[3];
	struct thread t[3];
	struct bench b;

	setup(&b, bdf);
	chain(&b, 0, RAM + 0x1000, RAM + 0x2000, 4096, 1);
	chain(&b, 1, RAM + 0x1000, OWN + DMACOUNT, 2, 2);
	chain(&b, 2, OWN + CHANSTS, RAM + 0x4000, 64, 3);
	chain(&b, 3, RAM + 0x1000, OWN + CHANCMD, 1, 0);
	for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
		a[i] = (struct attack){ &b, i + 1, edu };
		assert_int_equal(thread_start(&t[i], "attacker", attacker, &a[i]), 0);
	}
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(pci_reset_function(b.dev), 0);
		pci_config_write(b.dev, PCI_COMMAND, 2, i % 3 ? PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER : 0);
	}
	pci_config_write(b.dev, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	for (unsigned i = 0; i < ARRAY_SIZE(t); i++)
		thread_join(&t[i]);
	assert_int_equal(pci_reset_function(b.dev), 0);
	if (edu)
		assert_int_equal(load(b.dev, 0, 4), 0x010000ed);
	else
		assert_int_equal(load(b.dev, CHANSTS, 8), 3);
	teardown(&b);
}

static void ioat_assault(void **state)
{
	assault("0000:01:00.0", false);
}

static void edu_assault(void **state)
{
	assault("0000:00:02.0", true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ioat_copies), cmocka_unit_test(ioat_itself), cmocka_unit_test(ioat_assault),
		cmocka_unit_test(edu_assault),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
