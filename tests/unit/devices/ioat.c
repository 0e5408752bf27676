/* SPDX-License-Identifier: MIT */
/* The I/OAT model, used as DPDK's and Linux's drivers use it. */
#include "fake_pci.h"

enum { CHANCTRL = 0x80, CHANCMD = 0x84, DMACOUNT = 0x86, CHANSTS = 0x88, CHAINADDR = 0x90, CHANCMP = 0x98, CHANERR = 0xa8 };
enum { ACTIVE, DONE, SUSPENDED, HALTED, ARMED };
enum { SUSPEND = 0x04, RESET = 0x20 };
#define COMPLETE 0x8u /* bit of ctl: write the status to memory */

struct desc {
	uint32_t size, ctl;
	uint64_t src, dst, next, rest[4];
};

/* Where things are in memory. */
#define RING    RAM_IOVA
#define RINGLEN 16
#define STATUS  (RAM_IOVA + 0x8000)
#define SRC     (RAM_IOVA + 0x10000)
#define DST     (RAM_IOVA + 0x200000)

static void *at(struct pci_dev *d, uint64_t iova)
{
	return d->ram + (iova - RAM_IOVA);
}

static struct desc *desc(struct pci_dev *d, unsigned i)
{
	return (struct desc *)at(d, RING) + i % RINGLEN;
}

static uint64_t status(struct pci_dev *d)
{
	uint64_t v;

	memcpy(&v, at(d, STATUS), 8);
	return v;
}

static uint64_t address(unsigned i)
{
	return RING + i % RINGLEN * 64;
}

/* As dma/ioat starts: ring, chain address, completion address. */
static struct pci_dev *started_with(const char *const *args)
{
	struct pci_dev *d = plug(&ioat_model, args);

	store(d, CHANCMD, SUSPEND, 1);
	store(d, CHANCMD, RESET, 1);
	assert_int_equal(load(d, CHANCMD, 1), 0);
	assert_int_equal(load(d, CHANSTS, 8), HALTED);
	store(d, CHANCTRL, 0x8 | 0x4, 2);
	for (unsigned i = 0; i < RINGLEN; i++)
		*desc(d, i) = (struct desc){ .next = address(i + 1) };
	store(d, CHAINADDR, RING, 8);
	store(d, CHANCMP, STATUS, 8);
	assert_int_equal(load(d, CHANSTS, 8), ARMED);
	memset(at(d, SRC), 0x5a, 0x10000);
	return d;
}

static struct pci_dev *started(void)
{
	return started_with(NULL);
}

static void copy(struct pci_dev *d, unsigned i, uint64_t src, uint64_t dst, uint32_t size)
{
	*desc(d, i) = (struct desc){ .size = size, .ctl = COMPLETE, .src = src, .dst = dst, .next = address(i + 1) };
}

static void identity(void **state)
{
	const char *const icx[] = { "chip=icx", NULL };
	struct pci_dev *d = plug(&ioat_model, NULL);

	assert_int_equal(load(d, 0, 1), 1);
	assert_int_equal(load(d, 1, 1), 20);
	assert_int_equal(load(d, 8, 1), 0x33);
	store(d, 3, 0x08, 1);
	assert_int_equal(load(d, 3, 1), 8);
	assert_int_equal(load(d, 0, 4), 8u << 24 | 20 << 8 | 1);
	store(d, 8, 0xff, 1);
	assert_int_equal(load(d, 8, 1), 0x33);
	assert_int_equal(load(d, CHANSTS, 8), HALTED);
	assert_int_equal(load(d, 0x400, 8), 0);
	assert_int_equal(d->mirror[8], 0x33);
	assert_int_equal(d->mirror[CHANSTS], HALTED);
	unplug(d);
	d = plug(&ioat_model, icx);
	assert_int_equal(d->shape.device, 0x0b00);
	assert_int_equal(load(d, 8, 1), 0x34);
	unplug(d);
}

static void ring(void **state)
{
	struct pci_dev *d = started();
	uint16_t issued = 0;

	/* past the end of the ring and of the 16-bit count, the chain address written once */
	for (unsigned round = 0; round < 70000; round += 7) {
		for (unsigned i = 0; i < 7; i++)
			copy(d, round + i, SRC, DST + i * 64, 64);
		issued += 7;
		store(d, DMACOUNT, issued, 2);
		assert_true(status(d) == (address(round + 6) | DONE));
		assert_true(load(d, CHANSTS, 8) == (address(round + 6) | DONE));
		assert_true(memcmp(d->mirror + CHANSTS, at(d, STATUS), 8) == 0);
	}
	assert_memory_equal(at(d, DST), at(d, SRC), 7 * 64);
	assert_int_equal(((uint8_t *)at(d, DST))[7 * 64], 0);
	assert_int_equal(load(d, CHANERR, 4), 0);
	unplug(d);
}

static void fill(void **state)
{
	static const unsigned lengths[] = { 8, 64, 1024, 50, 100, 89, 4096, 4099, 70001 };
	const uint64_t pattern = 0xfedcba9876543210;
	struct pci_dev *d = started();

	for (unsigned i = 0; i < ARRAY_SIZE(lengths); i++) {
		memset(at(d, DST), 0, 80000);
		copy(d, i, pattern, DST + 1, lengths[i]);
		desc(d, i)->ctl |= 1u << 24;
		store(d, DMACOUNT, i + 1, 2);
		for (unsigned j = 0; j < 80000; j++)
			assert_int_equal(((uint8_t *)at(d, DST))[j],
					 j >= 1 && j <= lengths[i] ? ((const uint8_t *)&pattern)[(j - 1) % 8] : 0);
	}
	unplug(d);
}

/* As dma/ioat recovers: clear, reset, chain at the descriptor behind the bad one. */
static void recover(struct pci_dev *d, unsigned next)
{
	store(d, CHANERR, load(d, CHANERR, 4), 4);
	store(d, CHANCMD, RESET, 1);
	store(d, CHAINADDR, address(next), 8);
	store(d, CHANCTRL, 0x8 | 0x4, 2);
	store(d, CHANCMP, STATUS, 8);
	assert_int_equal(load(d, CHANSTS, 8), ARMED);
	assert_int_equal(load(d, CHANERR, 4), 0);
}

/* After an error the channel takes its time, but CHANSTS has left HALTED at once. */
static void run_recovered(struct pci_dev *d, unsigned count)
{
	store(d, DMACOUNT, count, 2);
	assert_int_not_equal(load(d, CHANSTS, 8) & 7, HALTED);
	pci_worker_drain(&d->worker);
}

static void errors(void **state)
{
	static const struct {
		uint64_t src, dst;
		uint32_t size, ctl, chanerr;
	} bad[] = {
		{ 0, DST, 64, COMPLETE, 0x1 },
		{ SRC, 0, 64, COMPLETE, 0x2 },
		{ SRC, RAM_IOVA + RAM_SIZE - 32, 64, COMPLETE, 0x2 },
		{ SRC, DST, 0, COMPLETE, 0x800 },
		{ SRC, DST, (1 << 20) + 1, COMPLETE, 0x800 },
		{ SRC, DST, UINT32_MAX, COMPLETE, 0x800 },
		{ SRC, DST, 64, COMPLETE | 0x87u << 24, 0x400 },
		{ 1, 0, 64, COMPLETE | 1u << 24, 0x2 },
	};
	struct pci_dev *d = started();

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		copy(d, 0, SRC, DST, 64);
		copy(d, 1, SRC, DST, 64);
		copy(d, 2, bad[i].src, bad[i].dst, bad[i].size);
		desc(d, 2)->ctl = bad[i].ctl;
		copy(d, 3, SRC, DST, 64);
		store(d, DMACOUNT, 4, 2);
		assert_int_equal(load(d, CHANERR, 4), bad[i].chanerr);
		assert_true(load(d, CHANSTS, 8) == (address(1) | HALTED));
		assert_true(status(d) == (address(1) | HALTED));
		assert_int_equal(ioat_model.config_read(d->state, 0x180), bad[i].chanerr);
		ioat_model.config_write(d->state, 0x180, bad[i].chanerr, UINT32_MAX);
		assert_int_equal(ioat_model.config_read(d->state, 0x180), 0);
		/* nothing but RESET helps */
		store(d, DMACOUNT, 9, 2);
		store(d, CHAINADDR, RING, 8);
		store(d, DMACOUNT, 1, 2);
		store(d, CHANCMD, SUSPEND, 1);
		assert_int_equal(load(d, CHANSTS, 8) & 7, HALTED);
		recover(d, 3);
		run_recovered(d, 1); /* counted anew */
		assert_true(status(d) == (address(3) | DONE));
		store(d, CHAINADDR, address(0), 8);
	}
	/* the first descriptor of a chain: no address yet */
	copy(d, 0, 0, DST, 64);
	store(d, DMACOUNT, 1, 2);
	assert_true(status(d) == HALTED);
	assert_int_equal(d->messages[0], 0);
	unplug(d);
}

static void chain_errors(void **state)
{
	struct pci_dev *d = started();

	store(d, CHAINADDR, RING + 8, 8);
	store(d, DMACOUNT, 1, 2);
	assert_int_equal(load(d, CHANERR, 4), 0x8);
	recover(d, 0);
	store(d, CHAINADDR, 0x40, 8);
	run_recovered(d, 1);
	assert_int_equal(load(d, CHANERR, 4), 0x104);
	recover(d, 0);
	copy(d, 0, SRC, DST, 64);
	store(d, CHANCMP, 0x1000, 8);
	run_recovered(d, 1);
	assert_int_equal(load(d, CHANERR, 4), 0x1000);
	recover(d, 0);
	d->no_bus_master = true;
	run_recovered(d, 1);
	assert_int_equal(load(d, CHANSTS, 8), HALTED);
	unplug(d);
}

static void suspend(void **state)
{
	struct pci_dev *d = started();

	store(d, CHANCMD, SUSPEND, 1);
	assert_int_equal(load(d, CHANSTS, 8), SUSPENDED);
	store(d, CHAINADDR, RING, 8);
	assert_int_equal(load(d, CHANSTS, 8), ARMED);
	copy(d, 0, SRC, DST, 64);
	store(d, DMACOUNT, 1, 2);
	assert_true(load(d, CHANSTS, 8) == (address(0) | DONE));
	store(d, CHANCMD, SUSPEND, 1);
	assert_true(load(d, CHANSTS, 8) == (address(0) | SUSPENDED));
	copy(d, 1, SRC, DST, 64);
	store(d, DMACOUNT, 2, 2); /* goes on where it was */
	assert_true(load(d, CHANSTS, 8) == (address(1) | DONE));
	store(d, DMACOUNT, 2, 2); /* nothing new */
	assert_true(load(d, CHANSTS, 8) == (address(1) | DONE));
	unplug(d);
}

/* More than a store may run: the store returns with the channel active, the worker ends it. */
static void long_run(void **state)
{
	struct pci_dev *d = started();

	copy(d, 0, SRC, DST, 64);
	desc(d, 0)->next = RING;
	store(d, DMACOUNT, 5000, 2);
	assert_true(load(d, CHANSTS, 8) == (address(0) | ACTIVE));
	assert_true(d->worker.kicked);
	work(d);
	assert_true(load(d, CHANSTS, 8) == (address(0) | DONE));
	/* by bytes */
	store(d, CHAINADDR, RING, 8);
	desc(d, 0)->size = 1 << 20;
	store(d, DMACOUNT, 3, 2);
	assert_int_equal(load(d, CHANSTS, 8) & 7, ACTIVE);
	store(d, CHANCMD, SUSPEND, 1); /* between the store and the worker */
	assert_int_equal(load(d, CHANSTS, 8) & 7, SUSPENDED);
	work(d);
	assert_int_equal(load(d, CHANSTS, 8) & 7, SUSPENDED);
	store(d, DMACOUNT, 3, 2);
	work(d);
	assert_int_equal(load(d, CHANSTS, 8) & 7, DONE);
	/* reset while the worker has yet to come */
	store(d, CHAINADDR, RING, 8);
	store(d, DMACOUNT, 60000, 2);
	ioat_model.reset(d->state);
	assert_int_equal(load(d, CHANSTS, 8), HALTED);
	assert_int_equal(load(d, CHANCTRL, 2), 0);
	assert_false(d->worker.kicked);
	unplug(d);
}

/* ---- what other threads do in the middle of a descriptor ---- */

static void meddle_reset(struct pci_dev *d)
{
	store(d, CHANCMD, RESET, 1);
	assert_int_equal(load(d, CHANCMD, 1), RESET);
}

static void meddle_suspend(struct pci_dev *d)
{
	store(d, CHANCMD, SUSPEND, 1);
}

static void meddle_more(struct pci_dev *d)
{
	store(d, DMACOUNT, 3, 2);
	assert_int_equal(load(d, CHANSTS, 8) & 7, ACTIVE);
}

static void meddle_chain(struct pci_dev *d)
{
	store(d, CHAINADDR, 0, 8);
}

static void meanwhile(void **state)
{
	struct pci_dev *d = started();

	for (unsigned i = 0; i < 4; i++)
		copy(d, i, SRC, DST, 64);
	d->meddle = meddle_more;
	store(d, DMACOUNT, 1, 2);
	assert_true(load(d, CHANSTS, 8) == (address(2) | DONE));
	d->meddle = meddle_suspend;
	store(d, DMACOUNT, 5, 2);
	assert_true(load(d, CHANSTS, 8) == (address(3) | SUSPENDED));
	d->meddle = meddle_chain;
	store(d, DMACOUNT, 4, 2); /* nothing to do, so no meddling */
	assert_non_null(d->meddle);
	store(d, CHAINADDR, RING, 8);
	store(d, DMACOUNT, 2, 2); /* CHAINADDR while active is ignored */
	assert_true(load(d, CHANSTS, 8) == (address(1) | DONE));
	d->meddle = meddle_reset;
	store(d, DMACOUNT, 4, 2);
	assert_int_equal(load(d, CHANSTS, 8), HALTED);
	assert_int_equal(load(d, CHANCMD, 1), 0);
	store(d, CHAINADDR, RING, 8);
	store(d, DMACOUNT, 1, 2);
	assert_true(load(d, CHANSTS, 8) == (address(0) | DONE));
	unplug(d);
}

/* The driver sees the failure in memory and recovers before the store that failed has returned. */
static unsigned transfers_left;

static void meddle_recover(struct pci_dev *d)
{
	if (--transfers_left) {
		d->meddle = meddle_recover;
		return;
	}
	recover(d, 1);
	store(d, DMACOUNT, 1, 2);
}

static void recover_at_once(void **state)
{
	struct pci_dev *d = started();

	copy(d, 0, 0, DST, 64);
	copy(d, 1, SRC, DST, 64);
	transfers_left = 3; /* fetch, copy, completion */
	d->meddle = meddle_recover;
	store(d, DMACOUNT, 1, 2);
	assert_true(load(d, CHANSTS, 8) == (address(1) | DONE));
	assert_int_equal(load(d, CHANERR, 4), 0);
	unplug(d);
}

static void interrupts(void **state)
{
	struct pci_dev *d = started();

	copy(d, 0, SRC, DST, 64);
	desc(d, 0)->next = RING;
	store(d, DMACOUNT, 1, 2);
	assert_int_equal(d->messages[0], 0);
	desc(d, 0)->ctl |= 1;
	store(d, DMACOUNT, 3, 2);
	assert_int_equal(d->messages[0], 1); /* once, until re-armed */
	assert_int_equal(load(d, CHANCTRL, 2), 0x8 | 0x4 | 0x1);
	store(d, CHANCTRL, 0x8, 2);
	store(d, DMACOUNT, 4, 2);
	assert_int_equal(d->messages[0], 1);
	store(d, CHANCTRL, 0x8 | 0x1, 2);
	assert_int_equal(load(d, CHANCTRL, 2), 0x8);
	store(d, DMACOUNT, 5, 2);
	assert_int_equal(d->messages[0], 2);
	store(d, CHANCTRL, 0x10 | 0x8 | 0x1, 2);
	desc(d, 0)->src = 0;
	store(d, DMACOUNT, 6, 2); /* error interrupts are asked for */
	assert_int_equal(d->messages[0], 3);
	unplug(d);
}

static void null_and_halves(void **state)
{
	struct pci_dev *d = started();

	copy(d, 0, 0, 0, 1);
	desc(d, 0)->ctl |= 0x20;
	store(d, CHAINADDR, (uint32_t)RING, 4);
	store(d, CHAINADDR + 4, RING >> 32, 4);
	store(d, CHANCMP, (uint32_t)(STATUS + 16), 4);
	store(d, CHANCMD, 1ull << 16, 4); /* CHANCMD 0 and DMACOUNT 1 in one store */
	assert_true(load(d, CHANSTS, 8) == (address(0) | DONE));
	assert_int_equal(load(d, CHANSTS, 4), (uint32_t)(address(0) | DONE));
	assert_int_equal(load(d, CHANSTS + 4, 4), address(0) >> 32);
	assert_true(memcmp(at(d, STATUS + 16), d->mirror + CHANSTS, 8) == 0);
	unplug(d);
}

/* Descriptors, data and status are all in the space that the register says. */
static void pasid(void **state)
{
	const char *const given[] = { "pasid", NULL };
	struct pci_dev *d = started_with(given);

	store(d, 0x1000, 0xfff00007, 4);
	assert_int_equal(load(d, 0x1000, 4), 7);
	copy(d, 0, SRC, DST, 64);
	store(d, DMACOUNT, 1, 2);
	assert_int_equal(d->pasid, 7);
	store(d, 0x1000, 0, 4);
	copy(d, 1, SRC, DST, 64);
	store(d, DMACOUNT, 2, 2);
	assert_int_equal(d->pasid, 0);
	store(d, 0x1000, 9, 4);
	d->model->reset(d->state);
	assert_int_equal(load(d, 0x1000, 4), 0);
	unplug(d);

	d = started();
	store(d, 0x1000, 7, 4);
	assert_int_equal(load(d, 0x1000, 4), 0);
	copy(d, 0, SRC, DST, 64);
	store(d, DMACOUNT, 1, 2);
	assert_int_equal(d->pasid, 0);
	unplug(d);
}

/* What may have to wait for a page is not done in a store. */
static void page_requests(void **state)
{
	const char *const given[] = { "pri", NULL };
	struct pci_dev *d = started_with(given);

	copy(d, 0, SRC, DST, 64);
	store(d, DMACOUNT, 1, 2);
	assert_int_equal(load(d, CHANSTS, 8) & 7, ACTIVE);
	assert_int_equal(d->accesses, 0);
	work(d);
	assert_true(status(d) == (address(0) | DONE));
	assert_memory_equal(at(d, DST), at(d, SRC), 64);
	unplug(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(identity), cmocka_unit_test(ring), cmocka_unit_test(fill), cmocka_unit_test(errors),
		cmocka_unit_test(chain_errors), cmocka_unit_test(suspend), cmocka_unit_test(long_run), cmocka_unit_test(meanwhile),
		cmocka_unit_test(recover_at_once), cmocka_unit_test(interrupts), cmocka_unit_test(null_and_halves), cmocka_unit_test(pasid),
		cmocka_unit_test(page_requests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
