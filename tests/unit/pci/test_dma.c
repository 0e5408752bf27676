/* SPDX-License-Identifier: MIT */
/*
 * DMA: the bus-master bit, translation, and peers: functions whose DMA ends in another function's BAR, or in
 * their own. Memory is a peer's plain BAR, since nobody here has any other.
 */
#include "harness.h"

static struct pci_dev *d, *peer;

static int start(void **state)
{
	box_start(state);
	d = add(box.root, 1, 0, &toy_model, NULL);
	peer = add(add_port(2, 2, NULL)->secondary, 0, 0, &toy_model, NULL);
	return 0;
}

static uint64_t mem(struct pci_dev *of)
{
	return pci_bar(of, TOY_MEM)->address;
}

static uint64_t regs(struct pci_dev *of)
{
	return pci_bar(of, TOY_REGS)->address;
}

static uint64_t stored(uint64_t offset)
{
	uint64_t v = 0;

	assert_int_equal(pci_bar_memory(peer, TOY_MEM, offset, &v, 8, false), 0);
	return v;
}

static void plain_memory(void **state)
{
	uint64_t v = 0x0102030405060708ull, w = 0;
	bool fault_write;

	assert_int_equal(pci_dma_write(d, mem(peer) + 0x100, &v, 8), 0);
	assert_true(stored(0x100) == v);
	assert_int_equal(pci_dma_read(d, mem(peer) + 0x100, &w, 8), 0);
	assert_true(v == w);
	assert_int_equal(pci_dma_copy(d, mem(peer) + 0x200, mem(peer) + 0x100, 8, &fault_write), 0);
	assert_true(stored(0x200) == v);
	assert_int_equal(pci_dma_copy(d, 0x1000, mem(peer), 8, &fault_write), -EFAULT);
	assert_true(fault_write);
	/* beyond the BAR */
	assert_int_equal(pci_dma_write(d, mem(peer) + 0xfffc, &v, 8), -EFAULT);
}

static void bus_master_off(void **state)
{
	uint64_t v = 0x55;
	bool fault_write;

	pci_config_write(d, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_int_equal(pci_dma_write(d, mem(peer), &v, 8), -EFAULT);
	assert_int_equal(pci_dma_read(d, mem(peer), &v, 8), -EFAULT);
	assert_int_equal(pci_dma_copy(d, mem(peer), mem(peer) + 64, 8, &fault_write), -EFAULT);
	assert_true(stored(0) == 0);
	assert_false(pci_bus_master(d));
	pci_config_write(d, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	assert_true(pci_bus_master(d));
	pci_set_power(d, 3);
	assert_false(pci_bus_master(d));
	assert_int_equal(pci_dma_write(d, mem(peer), &v, 8), -EFAULT);
	pci_set_power(d, 0);
	assert_int_equal(pci_dma_write(d, mem(peer), &v, 8), 0);
}

/* Gates of the target: its decode bit, its power, the bridge above, a BAR that was moved. */
static void target_gates(void **state)
{
	struct pci_dev *port = pci_bus_bridge(peer->bus);
	uint64_t v = 1;
	uint32_t bar = pci_config_read(peer, PCI_BASE_ADDRESS_2, 4);

	pci_config_write(peer, PCI_COMMAND, 2, PCI_COMMAND_MASTER);
	assert_int_equal(pci_dma_write(d, mem(peer), &v, 8), -EFAULT);
	pci_config_write(peer, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_int_equal(pci_dma_write(d, mem(peer), &v, 8), 0);
	pci_set_power(peer, 3);
	assert_int_equal(pci_dma_write(d, mem(peer), &v, 8), -EFAULT);
	pci_set_power(peer, 0);
	pci_config_write(port, PCI_COMMAND, 2, PCI_COMMAND_MASTER);
	assert_int_equal(pci_dma_read(d, mem(peer), &v, 8), -EFAULT);
	pci_config_write(port, PCI_COMMAND, 2, PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY);
	pci_config_write(peer, PCI_BASE_ADDRESS_2, 4, bar ^ 0x100000);
	assert_int_equal(pci_dma_write(d, mem(peer), &v, 8), -EFAULT);
	pci_config_write(peer, PCI_BASE_ADDRESS_2, 4, bar);
	assert_int_equal(pci_dma_write(d, mem(peer), &v, 8), 0);
}

/* Writes to registers are posted; a read comes after them. */
static void registers(void **state)
{
	uint8_t b[20], c[20] = { 0 };

	for (unsigned i = 0; i < sizeof(b); i++)
		b[i] = (uint8_t)(i + 1);
	assert_int_equal(pci_dma_write(d, regs(peer) + 0x204, b, sizeof(b)), 0);
	assert_int_equal(pci_dma_read(d, regs(peer) + 0x204, c, sizeof(c)), 0);
	assert_memory_equal(b, c, sizeof(b));
	assert_int_equal(toy_of(peer)->writes, 3); /* 4, 8, 8 */
	assert_int_equal(pci_dma_write(d, regs(peer) + 0x1ffe, b, 8), -EFAULT);
}

/* A function that aims at itself while its model holds its lock: aborted, not stuck. */
static void at_itself(void **state)
{
	struct toy *t = toy_of(d);
	uint32_t go = 1;

	t->hold = true;
	t->dma_to = regs(d) + 0x10;
	t->dma_data = 0x77;
	pci_bar_access(d, TOY_REGS, 0x100, &go, 4, true); /* write: posted */
	assert_int_equal(t->dma_result, 0);
	pci_bar_access(d, TOY_REGS, 0x108, &go, 4, true); /* read: no completion comes */
	assert_int_equal(t->dma_result, -EFAULT);
	t->hold = false;
	pci_bar_access(d, TOY_REGS, 0x108, &go, 4, true); /* without the lock it is served */
	assert_int_equal(t->dma_result, 0);
	assert_int_equal(t->dma_data, 0x77);
}

/* Two functions that aim at each other with their locks held. */
static void at_each_other(void **state)
{
	struct toy *a = toy_of(d), *b = toy_of(peer);
	uint32_t go = 1;

	a->hold = b->hold = true;
	a->dma_to = regs(peer) + 0x100; /* makes the peer write here: */
	b->dma_to = regs(d) + 0x20;
	b->dma_data = 0x99;
	pci_bar_access(d, TOY_REGS, 0x100, &go, 4, true);
	assert_int_equal(a->dma_result, 0);
	for (unsigned i = 0; i < 1000; i++) {
		uint64_t v = 0;

		if (pci_dma_read(peer, regs(d) + 0x20, &v, 8) == 0 && v == 0x99)
			return;
	}
	fail_msg("the answer never came");
}

/* More posted bytes than the queue holds, to a target that is slow to take them. */
static void many_posted(void **state)
{
	uint8_t *big = calloc(1, 1 << 20);

	for (unsigned at = 0; at < 1 << 20; at += 0x1000)
		assert_int_equal(pci_dma_write(d, regs(peer), big + at, 0x1000), 0);
	free(big);
}

static void target_unplugged(void **state)
{
	uint64_t at = regs(peer), plain = mem(peer), v = 1;

	pci_dma_write(d, at, &v, 8); /* may still be queued */
	pci_dev_unplug(pci_bus_bridge(peer->bus));
	assert_int_equal(pci_dma_write(d, at, &v, 8), -EFAULT);
	assert_int_equal(pci_dma_write(d, plain, &v, 8), -EFAULT);
}

/* Behind an IOMMU the same goes through the translation. */
static void translated(void **state)
{
	struct pci_dev *e = add(box.root, 5, 0, &toy_model, &box.unit);
	struct iommu_group *g = iommu_dev_group(e->iommu);
	struct iommu_domain *dom;
	uint64_t v = 0xabcdef, owner;
	struct iommu_fault faults[IOMMU_FAULTS];
	uint64_t total;

	assert_int_equal(iommu_group_claim(g, &owner), 0);
	assert_int_equal(iommu_domain_create(e->iommu, &dom), 0);
	assert_int_equal(iommu_group_attach(g, dom), 0);
	assert_int_equal(iommu_map(dom, 0x40000, mem(peer), 0x1000, MEM_READ | MEM_WRITE), 0);
	assert_int_equal(pci_dma_write(e, 0x40ff8, &v, 8), 0);
	assert_true(stored(0xff8) == v);
	assert_int_equal(pci_dma_write(e, 0x41000, &v, 8), -EFAULT);
	assert_int_equal(iommu_faults(box.iommu, faults, &total), 1);
	assert_string_equal(faults[0].device, "0000:00:05.0");
	/* translated, but the target does not answer */
	pci_config_write(peer, PCI_COMMAND, 2, 0);
	assert_int_equal(pci_dma_write(e, 0x40000, &v, 8), -EFAULT);
	assert_int_equal(iommu_faults(box.iommu, faults, &total), 2);
	assert_int_equal(faults[1].reason, IOMMU_FAULT_ABORT);
	iommu_group_detach(g);
	iommu_domain_destroy(dom);
	iommu_group_release(g);
}

struct stopper {
	struct toy *t;
	atomic_bool stop;
};

static void hammer(void *arg)
{
	struct stopper *s = arg;
	uint64_t v = 1;

	while (!atomic_load(&s->stop))
		pci_dma_write(s->t->dev, s->t->dma_to, &v, 8);
}

/* After the bus-master bit is cleared, not one more byte moves. */
static void clearing_bus_master(void **state)
{
	struct stopper s = { .t = toy_of(d) };
	struct thread th;
	uint64_t zero = 0;

	s.t->dma_to = mem(peer);
	assert_int_equal(thread_start(&th, "hammer", hammer, &s), 0);
	for (unsigned i = 0; i < 300; i++) {
		pci_config_write(d, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
		pci_config_write(d, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
		pci_bar_memory(peer, TOY_MEM, 0, &zero, 8, true);
		for (unsigned j = 0; j < 50; j++)
			assert_true(stored(0) == 0);
		zero = 0;
	}
	atomic_store(&s.stop, true);
	thread_join(&th);
}

static void worker(void **state)
{
	struct toy *t = toy_of(d);

	t->dma_to = mem(peer) + 8;
	t->dma_data = 0x1234;
	pci_worker_drain(t->worker); /* nothing kicked: at once */
	assert_int_equal(t->works, 0);
	pci_worker_kick(t->worker);
	pci_worker_drain(t->worker);
	assert_int_equal(t->works, 1);
	assert_true(stored(8) == 0x1234);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(plain_memory, start, box_stop),
		cmocka_unit_test_setup_teardown(bus_master_off, start, box_stop),
		cmocka_unit_test_setup_teardown(target_gates, start, box_stop),
		cmocka_unit_test_setup_teardown(registers, start, box_stop),
		cmocka_unit_test_setup_teardown(at_itself, start, box_stop),
		cmocka_unit_test_setup_teardown(at_each_other, start, box_stop),
		cmocka_unit_test_setup_teardown(many_posted, start, box_stop),
		cmocka_unit_test_setup_teardown(target_unplugged, start, box_stop),
		cmocka_unit_test_setup_teardown(translated, start, box_stop),
		cmocka_unit_test_setup_teardown(clearing_bus_master, start, box_stop),
		cmocka_unit_test_setup_teardown(worker, start, box_stop),
	};

	return cmocka_run_group_tests_name("pci dma", tests, NULL, NULL);
}
