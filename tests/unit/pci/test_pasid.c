/* SPDX-License-Identifier: MIT */
/*
 * PASIDs and page requests of functions: what config space says, where DMA goes, and that nobody who ends a function's
 * DMA waits for a program that does not answer. Memory is a peer's plain BAR.
 */
#include "harness.h"
#include <sched.h>

#define IOVA 0x10000ull

static struct pci_dev *d, *peer;
static struct iommu_domain *dom, *space;

/* Requests are kept and not answered. */
static _Atomic(struct iommu_page_request *) asked;

static int keep(void *ctx, struct iommu_page_request *r)
{
	iommu_page_request_put(atomic_exchange(&asked, iommu_page_request_get(r)));
	return 0;
}

static const struct iommu_fault_ops ops = { .request = keep };

static struct iommu_domain *domain(uint64_t offset)
{
	struct iommu_domain *out = NULL;

	assert_int_equal(iommu_domain_create(d->iommu, &out), 0);
	iommu_domain_handle_faults(out, &ops, NULL);
	if (offset)
		assert_int_equal(iommu_map(out, IOVA, pci_bar(peer, TOY_MEM)->address + offset, 4096, MEM_READ | MEM_WRITE), 0);
	return out;
}

static int start(void **state)
{
	struct pci_dev_desc desc = { .model = &toy_model, .pasid = 8, .pri = true, .unit = &box.unit, .multifunction = -1 };

	box_start(state);
	peer = add(add_port(2, 2, NULL)->secondary, 0, 0, &toy_model, NULL);
	if (pci_dev_create(add_port(1, 1, &box.unit)->secondary, &desc, 0, &d) || pci_dev_announce(d))
		return -1;
	pci_config_write(d, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	dom = domain(0);
	space = domain(4096);
	dev_get(&d->dev);
	return iommu_group_claim(iommu_dev_group(d->iommu), d) || iommu_group_attach(iommu_dev_group(d->iommu), dom) ||
	       iommu_group_attach_pasid(iommu_dev_group(d->iommu), 5, space);
}

static int stop(void **state)
{
	iommu_page_request_put(atomic_exchange(&asked, NULL));
	if (iommu_dev_group(d->iommu))
		iommu_group_release(iommu_dev_group(d->iommu));
	iommu_domain_destroy(dom);
	iommu_domain_destroy(space);
	dev_put(&d->dev);
	return box_stop(state);
}

static void config_space_tells(void **state)
{
	unsigned pasid = pci_find_ext_cap(d, PCI_EXT_CAP_ID_PASID), pri = pci_find_ext_cap(d, PCI_EXT_CAP_ID_PRI);

	assert_int_not_equal(pasid, 0);
	assert_int_not_equal(pri, 0);
	assert_int_not_equal(pci_find_ext_cap(d, PCI_EXT_CAP_ID_ATS), 0); /* who asks for pages keeps translations */
	assert_int_equal(pci_config_read(d, pasid + PCI_PASID_CAP, 2), 8 << 8);
	pci_config_write(d, pasid + PCI_PASID_CTRL, 2, 0xffff);
	assert_int_equal(pci_config_read(d, pasid + PCI_PASID_CTRL, 2), PCI_PASID_CTRL_ENABLE);
	pci_config_write(d, pri + PCI_PRI_CTRL, 2, 0xffff);
	assert_int_equal(pci_config_read(d, pri + PCI_PRI_CTRL, 2), PCI_PRI_CTRL_ENABLE);
	assert_int_equal(pci_config_read(d, pri + PCI_PRI_STATUS, 2), PCI_PRI_STATUS_STOPPED | PCI_PRI_STATUS_PASID);
	assert_int_equal(pci_pasids(d), 256);
	assert_true(pci_page_requests(d));
	assert_true(iommu_dev_ats(d->iommu));
	assert_false(iommu_dev_ats(peer->iommu));
	assert_int_equal(pci_find_ext_cap(peer, PCI_EXT_CAP_ID_PASID), 0);
	assert_int_equal(pci_find_ext_cap(peer, PCI_EXT_CAP_ID_PRI), 0);
	assert_int_equal(pci_pasids(peer), 0);
	assert_false(pci_page_requests(peer));
}

static void what_cannot_be_is_refused(void **state)
{
	struct pci_dev_desc desc = { .slot = 9, .model = &toy_pci_model, .pasid = 8, .unit = &box.unit, .multifunction = -1 };
	struct pci_dev *out;

	assert_int_equal(pci_dev_create(box.root, &desc, 0, &out), -EINVAL);
	desc.pasid = 0;
	desc.pri = true;
	assert_int_equal(pci_dev_create(box.root, &desc, 0, &out), -EINVAL);
	desc = (struct pci_dev_desc){ .slot = 9, .model = &toy_model, .pasid = 21, .unit = &box.unit, .multifunction = -1 };
	assert_int_equal(pci_dev_create(box.root, &desc, 0, &out), -EINVAL);
}

static void dma_with_a_pasid_goes_where_it_leads(void **state)
{
	uint64_t v = 0x1122334455667788ull, w = 0;
	bool fault_write = false;

	assert_int_equal(pci_dma_write_pasid(d, 5, IOVA, &v, 8), 0);
	assert_int_equal(pci_bar_memory(peer, TOY_MEM, 4096, &w, 8, false), 0);
	assert_true(w == v);
	assert_int_equal(pci_dma_copy_pasid(d, 5, IOVA + 8, IOVA, 8, &fault_write), 0);
	assert_int_equal(pci_dma_read_pasid(d, 5, IOVA + 8, &w, 8), 0);
	assert_true(w == v);
	assert_int_equal(pci_dma_read_pasid(d, 6, IOVA, &w, 8), -EFAULT);
	assert_int_equal(pci_dma_read_pasid(d, 256, IOVA, &w, 8), -EFAULT);
	assert_int_equal(pci_dma_read(d, IOVA, &w, 8), -EFAULT); /* nor does a callback's DMA wait for anybody */
	assert_null(atomic_load(&asked));
	pci_config_write(d, PCI_COMMAND, 2, 0);
	assert_int_equal(pci_dma_read_pasid(d, 5, IOVA, &w, 8), -EFAULT);
	assert_int_equal(pci_dma_copy_pasid(d, 5, IOVA, IOVA, 8, &fault_write), -EFAULT);
}

/* The worker begins to write, and waits for a page. */
static void begin_to_wait(void)
{
	struct toy *t = toy_of(d);

	iommu_page_request_put(atomic_exchange(&asked, NULL));
	t->dma_result = 1;
	t->dma_to = IOVA;
	t->dma_data = 0x77;
	pci_worker_kick(t->worker);
	while (!atomic_load(&asked))
		sched_yield();
}

static void assert_ended(void)
{
	pci_worker_drain(toy_of(d)->worker);
	assert_int_equal(toy_of(d)->dma_result, -EFAULT);
}

static void a_worker_waits_for_its_page(void **state)
{
	uint64_t w = 0;

	begin_to_wait();
	assert_true(atomic_load(&asked)->addr == IOVA && atomic_load(&asked)->dev == d->iommu);
	assert_int_equal(toy_of(d)->dma_result, 1);
	assert_int_equal(iommu_map(dom, IOVA, pci_bar(peer, TOY_MEM)->address, 4096, MEM_READ | MEM_WRITE), 0);
	iommu_page_request_respond(atomic_load(&asked), true);
	pci_worker_drain(toy_of(d)->worker);
	assert_int_equal(toy_of(d)->dma_result, 0);
	assert_int_equal(pci_bar_memory(peer, TOY_MEM, 0, &w, 8, false), 0);
	assert_int_equal(w, 0x77);
}

/* A program that never answers can still do all of these, and goes on working with the device after some. */
static void whatever_ends_dma_does_not_wait_for_an_answer(void **state)
{
	unsigned exp = pci_find_cap(d, PCI_CAP_ID_EXP) + PCI_EXP_DEVCTL;

	begin_to_wait();
	assert_int_equal(pci_reset_function(d), 0);
	assert_ended();
	begin_to_wait();
	pci_config_write(d, exp, 2, PCI_EXP_DEVCTL_BCR_FLR);
	assert_ended();
	pci_config_write(d, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	begin_to_wait();
	assert_int_equal(pci_reset_bus(d), 0);
	assert_ended();
	begin_to_wait();
	pci_config_write(d, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_ended();
	pci_config_write(d, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	begin_to_wait();
	pci_set_power(d, 3);
	assert_ended();
	pci_set_power(d, 0);
	begin_to_wait();
	iommu_group_detach(iommu_dev_group(d->iommu)); /* ends nothing, and does not wait either */
	assert_int_equal(toy_of(d)->dma_result, 1);
	/* Config space and registers answer all the time. */
	pci_config_read(d, 0, 4);
	pci_bar_access(d, TOY_REGS, 0x10, &(uint32_t){ 0 }, 4, false);
	iommu_group_release(iommu_dev_group(d->iommu));
	pci_dev_unplug(d);
	assert_ended();
	iommu_page_request_respond(atomic_load(&asked), true); /* to nobody */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(config_space_tells, start, stop),
		cmocka_unit_test_setup_teardown(what_cannot_be_is_refused, start, stop),
		cmocka_unit_test_setup_teardown(dma_with_a_pasid_goes_where_it_leads, start, stop),
		cmocka_unit_test_setup_teardown(a_worker_waits_for_its_page, start, stop),
		cmocka_unit_test_setup_teardown(whatever_ends_dma_does_not_wait_for_an_answer, start, stop),
	};

	return cmocka_run_group_tests_name("pci pasid", tests, NULL, NULL);
}
