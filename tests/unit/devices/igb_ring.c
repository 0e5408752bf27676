/* SPDX-License-Identifier: MIT */
/* The rings of the 82576 model, used as Linux's selftests and DPDK's net/e1000 use them, and as neither would. */
#include "igb.h"

static const uint8_t everybody[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

/* Often around the rings. */
static void copies(void **state)
{
	struct pci_dev *d = started();

	for (unsigned i = 0; i < 100; i++) {
		unsigned slot = i % RINGLEN, length = 60 + i;

		send(d, SRC + i, DATA | EOP | length);
		assert_int_equal(rx(d, slot)->status, 3);
		assert_int_equal(rx(d, slot)->length, length);
		assert_memory_equal(dst(d, slot), at(d, SRC + i), length);
		assert_int_equal(dst(d, slot)[length], 0);
		assert_int_equal(tx(d, slot)->status, 0); /* not asked for */
		assert_int_equal(load(d, TX + HEAD, 4), (slot + 1) % RINGLEN);
		assert_int_equal(load(d, RX + HEAD, 4), (slot + 1) % RINGLEN);
		memset(dst(d, slot), 0, BUFFER);
		offer(d, slot);
		store(d, RX + TAIL, slot, 4);
	}
	assert_int_equal(load(d, GPRC, 4), 100);
	assert_int_equal(load(d, GPRC, 4), 0);
	assert_int_equal(load(d, GPTC, 4), 100);
	assert_int_equal(load(d, GORC, 4), 100 * 64 + 99 * 100 / 2);
	assert_int_equal(load(d, GORC, 4), 100 * 64 + 99 * 100 / 2);
	assert_int_equal(load(d, GORC + 4, 4), 0);
	assert_int_equal(load(d, GORC, 4), 0);
	unplug(d);
}

/* Frames of several descriptors into buffers that are too small, both kinds of descriptors, and the CRC. */
static void formats(void **state)
{
	struct pci_dev *d = started();
	uint32_t crc;

	store(d, RX + SRRCTL, ADVANCED | 1, 4); /* 1 KiB */
	send(d, SRC, DATA | 1000);
	send(d, 0, 0x20200000); /* a context */
	send(d, SRC + 1000, DATA | 100);
	assert_int_equal(rx(d, 0)->status, 0);
	send(d, SRC + 1100, DATA | EOP | REPORT | 300);
	assert_int_equal(rx(d, 0)->status, 1);
	assert_int_equal(rx(d, 0)->length, 1024);
	assert_int_equal(rx(d, 1)->status, 3);
	assert_int_equal(rx(d, 1)->length, 376);
	assert_memory_equal(dst(d, 0), at(d, SRC), 1024);
	assert_memory_equal(dst(d, 1), at(d, SRC + 1024), 376);
	assert_int_equal(tx(d, 3)->status, 1);

	/* legacy: status at byte 12, the rest of the dword stays */
	store(d, RX + SRRCTL, 0, 4);
	store(d, RCTL, load(d, RCTL, 4) & ~STRIP, 4);
	*tx(d, 4) = (struct desc){ .address = SRC, .command = 60 | EOP | REPORT, .status = 0x12340000 };
	store(d, TX + TAIL, 5, 4);
	assert_int_equal(tx(d, 4)->status, 0x12340001);
	assert_true(*(uint64_t *)rx(d, 2) == DST + 2 * BUFFER);
	assert_int_equal(rx(d, 2)->status, 64); /* the length */
	assert_int_equal(rx(d, 2)->length, 7);
	assert_memory_equal(dst(d, 2), at(d, SRC), 60);
	memcpy(&crc, dst(d, 2) + 60, 4);
	assert_int_equal(crc, 0x82c45f56);

	/* padded; RCTL says the size of buffers; by the PHY's loopback */
	store(d, RCTL, ENABLE | UNICAST | STRIP | LONG | 3 << 16, 4);
	store(d, MDIC, MDIC_WRITE | 0x4140, 4);
	send(d, SRC, 20 | EOP);
	assert_int_equal(rx(d, 3)->status, 60);
	assert_memory_equal(dst(d, 3), at(d, SRC), 20);
	assert_int_equal(dst(d, 3)[20], 0);
	send(d, SRC, 2000 | EOP);
	for (unsigned i = 4; i < 12; i++)
		assert_int_equal(rx(d, i)->status, i < 11 ? 256 : 2000 - 7 * 256);
	unplug(d);
}

static void filters(void **state)
{
	static const struct {
		uint8_t mac[6];
		uint32_t rctl, mta;
		bool accepted;
	} frames[] = {
		{ { 0x02, 0, 0, 0, 0, 1 }, 0, 0, true },
		{ { 0x02, 0, 0, 0, 0, 2 }, 0, 0, false },
		{ { 0x02, 0, 0, 0, 0, 2 }, UNICAST, 0, true },
		{ { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }, MULTICAST, 0, false },
		{ { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }, BROADCAST, 0, true },
		{ { 0x01, 0, 0x5e, 0, 0, 0x12 }, UNICAST | BROADCAST, 0, false },
		{ { 0x01, 0, 0x5e, 0, 0, 0x12 }, MULTICAST, 0, true },
		{ { 0x01, 0, 0x5e, 0, 0x50, 0x12 }, 0, 0x125, true },            /* bits 47:36 */
		{ { 0x01, 0, 0x5e, 0, 0x50, 0x12 }, 1 << 12, 0x24a, true },      /* 46:35 */
		{ { 0x01, 0, 0x5e, 0, 0x50, 0x12 }, 3 << 12, 0x250, true },      /* 43:32 */
		{ { 0x01, 0, 0x5e, 0, 0x50, 0x12 }, 3 << 12, 0x125, false },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(frames); i++) {
		struct pci_dev *d = started();

		memcpy(at(d, SRC), frames[i].mac, 6);
		store(d, RCTL, ENABLE | LOOPBACK | STRIP | frames[i].rctl, 4);
		if (frames[i].mta)
			store(d, MTA + frames[i].mta / 32 * 4, 1u << frames[i].mta % 32, 4);
		send(d, SRC, DATA | EOP | 64);
		assert_int_equal(rx(d, 0)->status, frames[i].accepted ? 3 : 0);
		assert_int_equal(load(d, GPRC, 4), frames[i].accepted);
		assert_int_equal(load(d, TPR, 4), 1);
		unplug(d);
	}
}

static void counted(void **state)
{
	struct pci_dev *d = started();

	store(d, TCTL, ENABLE, 4);
	send(d, SRC, DATA | EOP | 59);
	send(d, SRC, DATA | EOP | 3);
	assert_int_equal(load(d, RUC, 4), 2);
	send(d, SRC, DATA | EOP | 1519);
	assert_int_equal(load(d, ROC, 4), 1);
	send(d, SRC, DATA | EOP | 1518);
	assert_int_equal(rx(d, 0)->length, 1518);
	store(d, RCTL, load(d, RCTL, 4) | LONG, 4);
	store(d, RLPML, 9000, 4);
	send(d, SRC, DATA | EOP | 8997);
	assert_int_equal(load(d, ROC, 4), 1);
	send(d, SRC, DATA | EOP | 8996); /* five buffers */
	assert_int_equal(rx(d, 5)->length, 8996 - 4 * 2048);
	memcpy(at(d, SRC), everybody, 6);
	send(d, SRC, DATA | EOP | 64);
	((uint8_t *)at(d, SRC))[1] = 0;
	send(d, SRC, DATA | EOP | 64);
	assert_int_equal(load(d, BPRC, 4), 1);
	assert_int_equal(load(d, MPRC, 4), 1);
	assert_int_equal(load(d, GPRC, 4), 4);
	/* seven buffers are left, of which none is used for a frame that needs more */
	store(d, RX + SRRCTL, ADVANCED | 1, 4);
	send(d, SRC, DATA | EOP | 8000);
	assert_int_equal(load(d, MPC, 4), 1);
	assert_int_equal(load(d, RNBC, 4), 1);
	assert_int_equal(rx(d, 8)->status, 0);
	store(d, RX + CONTROL, 0, 4);
	send(d, SRC, DATA | EOP | 64);
	assert_int_equal(load(d, MPC, 4), 1);
	assert_int_equal(load(d, TPR, 4), 10);
	/* nobody there */
	store(d, RCTL, LOOPBACK, 4);
	send(d, SRC, DATA | EOP | 64);
	store(d, RCTL, ENABLE | UNICAST, 4);
	send(d, SRC, DATA | EOP | 64);
	assert_int_equal(load(d, TPR, 4), 0);
	assert_int_equal(load(d, GPTC, 4), 12);
	assert_int_equal(load(d, TX + HEAD, 4), load(d, TX + TAIL, 4));
	unplug(d);
}

/* ---- faults and nonsense ---- */

static void bad_source(struct pci_dev *d)
{
	send(d, 0x1000, DATA | EOP | 64);
}

static void bad_destination(struct pci_dev *d)
{
	*(struct desc *)rx(d, 0) = (struct desc){ .address = 0x1000 };
	send(d, SRC, DATA | EOP | 64);
}

static void bad_tx_ring(struct pci_dev *d)
{
	store(d, TX + LOW, 0x1000, 4);
	send(d, SRC, DATA | EOP | 64);
}

static void bad_rx_ring(struct pci_dev *d)
{
	store(d, RX + HIGH, 0xffffffff, 4);
	send(d, SRC, DATA | EOP | 64);
}

static void no_bus_master(struct pci_dev *d)
{
	d->no_bus_master = true;
	send(d, SRC, DATA | EOP | 64);
	d->no_bus_master = false;
}

static void faults(void **state)
{
	static void (*const bad[])(struct pci_dev *) = {
		bad_source, bad_destination, bad_tx_ring, bad_rx_ring, no_bus_master,
	};

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		struct pci_dev *d = started();
		unsigned accesses;

		bad[i](d);
		assert_int_equal(rx(d, 0)->status, 0);
		assert_int_equal(load(d, TX + HEAD, 4), 0);
		assert_int_equal(load(d, EICR, 4), 0);
		/* stalled */
		accesses = d->accesses;
		send(d, SRC, DATA | EOP | 64);
		store(d, TCTL, 0, 4);
		store(d, RCTL, 0, 4);
		start(d);
		send(d, SRC, DATA | EOP | 64);
		assert_int_equal(d->accesses, accesses);
		if (i % 2)
			store(d, CTRL, RESET, 4);
		else
			igb_model.reset(d->state);
		start(d);
		send(d, SRC, DATA | EOP | 64);
		assert_int_equal(rx(d, 0)->status, 3);
		assert_int_equal(d->messages[0], 1);
		unplug(d);
	}
}

static void nonsense(void **state)
{
	static const struct {
		uint32_t length, head, tail;
	} rings[] = {
		{ 0, 0, 1 }, { 0x7f, 0, 1 }, { 256, 16, 1 }, { 256, 0, 16 }, { 256, 0xffffffff, 0 }, { 256, 3, 0xffffffff },
		{ 256, 5, 5 }, { 0xffffffff, 0xffff, 0 }, { 0xffffffff, 0, 0xffff },
	};
	struct pci_dev *d = started();

	for (unsigned i = 0; i < ARRAY_SIZE(rings); i++) {
		unsigned accesses = d->accesses;

		store(d, TX + CONTROL, 0, 4);
		store(d, TX + LENGTH, rings[i].length, 4);
		store(d, TX + HEAD, rings[i].head, 4);
		store(d, TX + TAIL, rings[i].tail, 4);
		store(d, TX + CONTROL, QUEUE, 4);
		assert_int_equal(d->accesses, accesses);
	}
	/* of the receiving ring too: no buffers */
	store(d, CTRL, RESET, 4);
	start(d);
	store(d, RX + HEAD, 40, 4);
	send(d, SRC, DATA | EOP | 64);
	assert_int_equal(load(d, MPC, 4), 1);
	store(d, RX + HEAD, 0, 4);
	/* a frame longer than any, in pieces; and of nothing */
	for (unsigned i = 0; i < 3; i++)
		send(d, SRC, DATA | 0xffff);
	send(d, SRC, DATA | EOP | REPORT | 64);
	assert_int_equal(tx(d, 4)->status, 1);
	send(d, 0, DATA | EOP);
	assert_int_equal(load(d, GPTC, 4), 1);
	send(d, SRC, DATA | EOP | 64);
	assert_int_equal(rx(d, 0)->length, 64);
	/* a type that there is not */
	send(d, 0, 0x20f00000 | EOP | REPORT | 0xffff);
	assert_int_equal(tx(d, 7)->status, 1);
	unplug(d);
}

/* ---- time ---- */

/* More than a store may run: the worker ends it. */
static void long_run(void **state)
{
	enum { COUNT = 65528 };
	struct pci_dev *d = started();

	store(d, RCTL, 0, 4);
	store(d, TX + CONTROL, 0, 4);
	ring(d, TX, RAM_IOVA + 0x200000, COUNT);
	for (unsigned i = 0; i < COUNT; i++)
		((struct desc *)at(d, RAM_IOVA + 0x200000))[i] = (struct desc){ .address = SRC, .command = DATA | EOP | 60 };
	store(d, TX + TAIL, COUNT - 1, 4);
	assert_int_equal(load(d, TX + HEAD, 4), 4096);
	work(d);
	assert_int_equal(load(d, TX + HEAD, 4), COUNT - 1);
	assert_int_equal(load(d, GPTC, 4), COUNT - 1);
	/* reset while the worker has yet to come */
	store(d, TX + HEAD, 0, 4);
	assert_true(d->worker.kicked);
	igb_model.reset(d->state);
	assert_false(d->worker.kicked);
	assert_int_equal(load(d, GPTC, 4), 0);
	unplug(d);
}

static void page_requests(void **state)
{
	const char *const given[] = { "pri", NULL };
	struct pci_dev *d = started_with(given);

	send(d, SRC, DATA | EOP | 64);
	assert_int_equal(d->accesses, 0);
	work(d);
	assert_int_equal(rx(d, 0)->status, 3);
	unplug(d);
}

/* ---- what other threads do in the middle of a transfer ---- */

static unsigned transfers_before;
static void (*then)(struct pci_dev *d);

static void meddle_later(struct pci_dev *d)
{
	if (transfers_before--)
		d->meddle = meddle_later;
	else
		then(d);
}

static void meddle_after(struct pci_dev *d, unsigned transfers, void (*fn)(struct pci_dev *d))
{
	transfers_before = transfers;
	then = fn;
	d->meddle = meddle_later;
}

static void restart(struct pci_dev *d)
{
	store(d, CTRL, RESET, 4);
	start(d);
}

static void move_ring(struct pci_dev *d)
{
	store(d, TX + HEAD, 8, 4);
	store(d, TX + TAIL, 8, 4);
}

static void send_more(struct pci_dev *d)
{
	send(d, SRC, DATA | EOP | 100);
}

static void meanwhile(void **state)
{
	struct pci_dev *d = started();

	/* fetch, read, fetch, write, two for the receive descriptor, one for the other */
	for (unsigned i = 0; i < 7; i++) {
		restart(d);
		memset(d->messages, 0, sizeof(d->messages));
		meddle_after(d, i, restart);
		send(d, SRC, DATA | EOP | REPORT | 64);
		assert_null(d->meddle);
		assert_int_equal(load(d, TX + HEAD, 4), 0);
		assert_int_equal(load(d, RX + HEAD, 4), 0);
		assert_int_equal(d->messages[0], i == 6);
		send(d, SRC, DATA | EOP | REPORT | 64);
		assert_int_equal(rx(d, 0)->status, 3);
	}
	for (unsigned i = 0; i < 7; i++) {
		restart(d);
		meddle_after(d, i, move_ring);
		send(d, SRC, DATA | EOP | REPORT | 64);
		assert_int_equal(load(d, TX + HEAD, 4), 8);
	}
	for (unsigned i = 0; i < 7; i++) {
		restart(d);
		meddle_after(d, i, send_more);
		send(d, SRC, DATA | EOP | REPORT | 64);
		assert_int_equal(rx(d, 0)->length, 64);
		assert_int_equal(rx(d, 1)->length, 100);
	}
	/* half a frame is gone with the reset */
	restart(d);
	send(d, SRC, DATA | 500);
	restart(d);
	send(d, SRC, DATA | EOP | 64);
	assert_int_equal(rx(d, 0)->length, 64);
	unplug(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(copies), cmocka_unit_test(formats), cmocka_unit_test(filters),
		cmocka_unit_test(counted), cmocka_unit_test(faults), cmocka_unit_test(nonsense),
		cmocka_unit_test(long_run), cmocka_unit_test(page_requests), cmocka_unit_test(meanwhile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
