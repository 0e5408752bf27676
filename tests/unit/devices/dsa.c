/* SPDX-License-Identifier: MIT */
/* The DSA model, used as Linux's and DPDK's idxd drivers use it. */
#include "fake_pci.h"

enum { GENCAP = 0x10, WQCAP = 0x20, OPCAP = 0x40, OFFSETS = 0x60, GENCTRL = 0x88, GENSTS = 0x90, INTCAUSE = 0x98,
       CMD = 0xa0, CMDSTS = 0xa8, SWERR = 0xc0 };
enum { ENABLE = 1, DISABLE, DRAIN_ALL, ABORT_ALL, RESET, ENABLE_WQ, DISABLE_WQ, DRAIN_WQ, ABORT_WQ, RESET_WQ,
       DRAIN_PASID, ABORT_PASID, REQUEST_HANDLE };
enum { NOOP, BATCH, DRAIN, MEMMOVE, FILL, COMPARE, COMPARE_PATTERN, DELTA };
enum { FENCE = 1, RECORD = 4, ALWAYS = 8, INTERRUPT = 16, CHECK = 128 };
#define ACTIVE (1u << 31)

struct desc {
	uint32_t pasid, op;
	uint64_t record, src, dst;
	uint32_t size;
	uint16_t handle, reserved;
	uint8_t expected, rest[23];
};

struct record {
	uint8_t status, result, reserved[2];
	uint32_t done;
	uint64_t fault, rest[2];
};

#define RECORDS (RAM_IOVA + 0x8000)
#define LIST    (RAM_IOVA + 0xff80) /* two descriptors, and a page ends */
#define SRC     (RAM_IOVA + 0x100000)
#define DST     (RAM_IOVA + 0x200000)
#define NOWHERE 0x70000000ull
#define END     (RAM_IOVA + RAM_SIZE)

static void *at(struct pci_dev *d, uint64_t iova)
{
	return d->ram + (iova - RAM_IOVA);
}

static uint64_t wqcfg(struct pci_dev *d, unsigned wq, unsigned dword)
{
	return (load(d, OFFSETS, 8) >> 16 & 0xffff) * 0x100 + wq * 64 + dword * 4;
}

static uint64_t grpcfg(struct pci_dev *d, unsigned group)
{
	return (load(d, OFFSETS, 8) & 0xffff) * 0x100 + group * 64;
}

/* The error; 0: none. The command must be done when the store is. */
static unsigned command(struct pci_dev *d, unsigned cmd, uint32_t operand)
{
	store(d, CMD, cmd << 20 | operand, 4);
	assert_false(load(d, CMDSTS, 4) & ACTIVE);
	assert_memory_equal(d->mirror + CMDSTS, &(uint32_t){ load(d, CMDSTS, 4) }, 4);
	return load(d, CMDSTS, 4);
}

static void configure(struct pci_dev *d, unsigned wq, uint32_t size, uint32_t mode, uint32_t limits)
{
	store(d, wqcfg(d, wq, 0), size, 4);
	store(d, wqcfg(d, wq, 2), mode, 4);
	store(d, wqcfg(d, wq, 3), limits, 4);
}

#define MODE   0x11u                 /* dedicated, priority 1 */
#define LIMITS (20u | 10u << 5)

static struct pci_dev *started_with(const char *const *args, uint32_t mode)
{
	struct pci_dev *d = plug(&dsa_model, args);

	assert_int_equal(command(d, RESET, 0), 0);
	configure(d, 0, 64, mode, LIMITS);
	configure(d, 2, 2, mode, LIMITS);
	assert_int_equal(command(d, ENABLE, 0), 0);
	assert_int_equal(command(d, ENABLE_WQ, 0), 0);
	assert_int_equal(command(d, ENABLE_WQ, 2), 0);
	for (unsigned i = 0; i < 0x10000; i++)
		((uint8_t *)at(d, SRC))[i] = (uint8_t)(i * 7 + i / 256);
	return d;
}

static struct pci_dev *started(void)
{
	return started_with(NULL, MODE);
}

static struct desc move(unsigned n, uint64_t src, uint64_t dst, uint32_t size)
{
	return (struct desc){ .op = (uint32_t)MEMMOVE << 24 | RECORD | ALWAYS, .record = RECORDS + 32 * n, .src = src,
			      .dst = dst, .size = size };
}

static void submit(struct pci_dev *d, unsigned wq, const struct desc *desc)
{
	d->model->write(d->state, 2, wq * 0x4000ull + 64, desc, sizeof(*desc));
}

static struct record *record(struct pci_dev *d, unsigned n)
{
	return (struct record *)at(d, RECORDS) + n;
}

/* Carried out to the end; the record, which was clear before. */
static struct record run(struct pci_dev *d, const struct desc *desc)
{
	struct record *r = at(d, desc->record);

	memset(r, 0, sizeof(*r));
	submit(d, 0, desc);
	work(d);
	return *r;
}

static unsigned status(struct pci_dev *d, const struct desc *desc)
{
	return run(d, desc).status;
}

static void identity(void **state)
{
	static const struct {
		const char *arg;
		unsigned device, version;
	} chips[] = { { "chip=gnr", 0x11fb, 0x200 }, { "chip=spr", 0x0b25, 0x100 }, { "chip=dmr", 0x1212, 0x300 } };
	struct pci_dev *d = plug(&dsa_model, NULL);
	char err[200];

	assert_int_equal(d->shape.device, 0x11fb);
	assert_int_equal(load(d, GENCAP, 8), 1u << 31 | 10 << 21 | 20 << 16);
	assert_int_equal(load(d, WQCAP, 8) & 0xffffffff, 1 << 24 | 8 << 16 | 128);
	assert_int_equal(load(d, OPCAP, 8), 0x7f);
	store(d, GENCAP, 0, 8);
	assert_int_equal(load(d, GENCAP, 8), 1u << 31 | 10 << 21 | 20 << 16);
	assert_int_equal(load(d, 0x8000, 8), 0);
	assert_int_equal(d->model->shape(&d->shape, "chip=icx", err, sizeof(err)), -EINVAL);
	unplug(d);
	for (unsigned i = 0; i < ARRAY_SIZE(chips); i++) {
		const char *const args[] = { chips[i].arg, NULL };

		d = plug(&dsa_model, args);
		assert_int_equal(d->shape.device, chips[i].device);
		assert_int_equal(load(d, 0, 4), chips[i].version);
		unplug(d);
	}
}

static void commands(void **state)
{
	static const struct {
		uint32_t size, mode, limits;
		unsigned error;
	} wrong[] = {
		{ 0, MODE, LIMITS, 0x22 }, { 4, 0x01, LIMITS, 0x23 }, { 4, 0x10, LIMITS, 0x24 },
		{ 4, MODE | 2, LIMITS, 0x25 }, { 4, MODE | 1u << 28, LIMITS, 0x26 },
		{ 4, MODE, 20 | 11 << 5, 0x27 }, { 4, MODE, 21, 0x28 },
	};
	struct pci_dev *d = plug(&dsa_model, NULL);

	assert_int_equal(command(d, 0, 0), 1);
	assert_int_equal(command(d, REQUEST_HANDLE, 0), 1);
	assert_int_equal(command(d, ENABLE_WQ, 0), 0x20);
	assert_int_equal(command(d, DISABLE, 0), 0x31);
	d->no_bus_master = true;
	assert_int_equal(command(d, ENABLE, 0), 0x12);
	d->no_bus_master = false;
	configure(d, 1, 129, MODE, LIMITS);
	assert_int_equal(command(d, ENABLE, 0), 0x14);
	for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++) {
		assert_int_equal(command(d, RESET, 0), 0);
		configure(d, 1, wrong[i].size, wrong[i].mode, wrong[i].limits);
		assert_int_equal(command(d, ENABLE, 0), 0);
		assert_int_equal(command(d, ENABLE_WQ, 1), wrong[i].error);
	}
	assert_int_equal(command(d, ENABLE, 0), 0x10);
	store(d, wqcfg(d, 1, 0), 8, 4); /* fixed now */
	configure(d, 1, 8, MODE, LIMITS);
	assert_int_equal(load(d, wqcfg(d, 1, 0), 4), 4);
	assert_int_equal(command(d, ENABLE_WQ, 8), 2);
	assert_int_equal(command(d, ENABLE_WQ, 1), 0);
	assert_int_equal(command(d, ENABLE_WQ, 1), 0x21);
	assert_int_equal(load(d, wqcfg(d, 1, 6), 4) >> 30, 1);
	store(d, wqcfg(d, 1, 2), 0, 4);
	assert_int_equal(load(d, wqcfg(d, 1, 2), 4), MODE);
	assert_int_equal(command(d, DRAIN_WQ, 1 << 0), 0x32);
	assert_int_equal(command(d, DRAIN_WQ, 1 << 1), 0);
	assert_int_equal(command(d, DRAIN_WQ, 1 << 8), 2);
	assert_int_equal(command(d, DISABLE_WQ, 1 << 1), 0);
	assert_int_equal(load(d, wqcfg(d, 1, 6), 4) >> 30, 0);
	assert_int_equal(load(d, GENSTS, 4), 1);
	assert_int_equal(command(d, RESET_WQ, 1 << 1), 0);
	assert_int_equal(load(d, wqcfg(d, 1, 0), 4), 0);
	store(d, CMD, 1u << 31 | DISABLE << 20, 4);
	assert_int_equal(d->messages[0], 1);
	assert_int_equal(load(d, INTCAUSE, 4), 2);
	store(d, INTCAUSE, 2, 4);
	assert_int_equal(load(d, INTCAUSE, 4), 0);
	assert_int_equal(load(d, GENSTS, 4), 0);
	unplug(d);
}

/* Every register and every byte of the tables takes any store, and none changes what it must not. */
static void tables(void **state)
{
	struct pci_dev *d = plug(&dsa_model, NULL);
	uint64_t gencap = load(d, GENCAP, 8), perm = (load(d, OFFSETS, 8) >> 32 & 0xffff) * 0x100;
	uint8_t ones[64];

	memset(ones, 0xff, sizeof(ones));
	for (unsigned group = 0; group < 4; group++) {
		store(d, grpcfg(d, group), 1 << group, 8);
		store(d, grpcfg(d, group) + 32, 1 << group, 8);
	}
	for (unsigned vector = 0; vector < 9; vector++)
		store(d, perm + vector * 8, vector << 8 | 8, 4);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(load(d, grpcfg(d, i) + 32, 8), 1 << i);
	for (unsigned i = 0; i < 9; i++)
		assert_int_equal(load(d, perm + i * 8, 8), i << 8 | 8);
	assert_int_equal(command(d, ENABLE, 0), 0);
	store(d, grpcfg(d, 1), 77, 8);
	assert_int_equal(load(d, grpcfg(d, 1), 8), 2);
	for (unsigned width = 1; width <= 64; width *= 2) {
		for (uint64_t offset = 0; offset < 0x10000; offset += width)
			d->model->write(d->state, 0, offset, ones, width);
	}
	assert_int_equal(load(d, GENCAP, 8), gencap);
	assert_int_equal(load(d, wqcfg(d, 3, 6), 4), 0);
	assert_int_equal(load(d, wqcfg(d, 7, 15), 4), UINT32_MAX);
	assert_int_equal(load(d, grpcfg(d, 1), 8), 2);
	assert_int_equal(command(d, RESET, 0), 0);
	assert_int_equal(load(d, wqcfg(d, 7, 8), 8), 0x7f);
	unplug(d);
}

static void moves(void **state)
{
	struct pci_dev *d = started();
	struct desc m = move(0, SRC, DST, 5000);
	struct record r;

	/* a short one: done by the store */
	submit(d, 0, &m);
	assert_int_equal(record(d, 0)->status, 1);
	assert_int_equal(record(d, 0)->done, 5000);
	assert_memory_equal(at(d, DST), at(d, SRC), 5000);
	assert_int_equal(d->messages[1], 0);
	/* a longer one is the worker's, and nothing overtakes it */
	m = move(1, SRC, DST, 0x10001);
	submit(d, 0, &m);
	m = move(2, SRC, DST, 8);
	m.op |= INTERRUPT;
	m.handle = 3;
	submit(d, 2, &m);
	assert_int_equal(record(d, 1)->status | record(d, 2)->status, 0);
	work(d);
	assert_int_equal(record(d, 1)->status & record(d, 2)->status, 1);
	assert_int_equal(d->messages[3], 1);
	/* no record unless asked for */
	m = move(3, SRC, DST, 8);
	m.op &= ~(uint32_t)ALWAYS;
	assert_int_equal(status(d, &m), 0);
	/* a page in the middle is not there: what came before it is done */
	m = move(0, END - 5000, DST, 9000);
	r = run(d, &m);
	assert_int_equal(r.status, 3);
	assert_true(r.fault == END && r.done == 5000);
	m = move(0, SRC, END - 100, 4096);
	m.op &= ~(uint32_t)ALWAYS;
	r = run(d, &m);
	assert_int_equal(r.status, 0x83);
	assert_true(r.fault == END && r.done == 100);
	assert_int_equal(load(d, SWERR, 8), 0);
	unplug(d);
}

static void refused(void **state)
{
	struct pci_dev *d = started();
	struct desc m;

	m = move(0, SRC, DST, (1 << 20) + 1);
	assert_int_equal(status(d, &m), 0x13);
	m = move(0, SRC, DST, 0);
	assert_int_equal(status(d, &m), 0x13);
	m = move(0, SRC, SRC + 10, 11);
	assert_int_equal(status(d, &m), 0x16);
	m = move(0, SRC + 10, SRC, 11);
	assert_int_equal(status(d, &m), 0x16);
	m = move(0, SRC, SRC + 10, 10);
	assert_int_equal(status(d, &m), 1);
	m.op = DELTA << 24 | RECORD;
	assert_int_equal(status(d, &m), 0x10);
	m.op = 0xff000000u | RECORD;
	assert_int_equal(status(d, &m), 0x10);
	m = move(0, SRC, DST, 8);
	m.op |= INTERRUPT;
	assert_int_equal(status(d, &m), 0x19);
	m.handle = 9;
	assert_int_equal(status(d, &m), 0x19);
	/* not one 64-byte store: not heard */
	m = move(0, SRC, DST, 8);
	memset(record(d, 0), 0, 32);
	for (unsigned i = 0; i < 64; i += 8)
		d->model->write(d->state, 2, i, (char *)&m + i, 8);
	d->model->write(d->state, 2, 32, &m, 64);
	submit(d, 1, &m); /* not enabled */
	work(d);
	assert_int_equal(record(d, 0)->status, 0);
	/* opcodes that the queue has not been given */
	assert_int_equal(command(d, DISABLE_WQ, 1), 0);
	store(d, wqcfg(d, 0, 8), 1 << NOOP | 1 << DELTA, 4);
	assert_int_equal(command(d, ENABLE_WQ, 0), 0);
	assert_int_equal(status(d, &m), 0x10);
	m.op = DELTA << 24 | RECORD | ALWAYS;
	assert_int_equal(status(d, &m), 0x10);
	m.op = NOOP << 24 | RECORD | ALWAYS;
	assert_int_equal(status(d, &m), 1);
	assert_int_equal(load(d, SWERR, 8), 0);
	unplug(d);
}

/* Errors that no record can tell of. */
static void software_errors(void **state)
{
	struct pci_dev *d = started();
	struct desc m = move(0, SRC, DST, 8);

	store(d, GENCTRL, 1, 4);
	m.record = NOWHERE;
	submit(d, 2, &m);
	assert_true(load(d, SWERR, 8) == ((uint64_t)MEMMOVE << 32 | 2 << 16 | 0x1a << 8 | 0x20 | 0xd));
	assert_int_equal(load(d, SWERR + 16, 8), NOWHERE);
	assert_memory_equal(d->mirror + SWERR, &(uint64_t){ load(d, SWERR, 8) }, 8);
	assert_int_equal(d->messages[0], 1);
	assert_int_equal(load(d, INTCAUSE, 4), 1);
	m = move(0, NOWHERE, DST, 8);
	m.op = (uint32_t)MEMMOVE << 24;
	submit(d, 0, &m);
	assert_int_equal(load(d, SWERR, 4) & 3, 3);
	store(d, SWERR, 3, 8);
	assert_int_equal(load(d, SWERR, 4) & 3, 0);
	submit(d, 0, &m);
	assert_int_equal(load(d, SWERR, 4) >> 8, 3);
	store(d, SWERR, 3, 8);
	m = move(0, SRC, DST, 8);
	m.record += 8;
	submit(d, 0, &m);
	assert_int_equal(load(d, SWERR, 4) >> 8, 0x1b);
	store(d, SWERR, 3, 8);
	m = move(0, SRC, DST, 8);
	m.op &= ~(uint32_t)RECORD;
	submit(d, 0, &m);
	assert_int_equal(load(d, SWERR, 4) >> 8, 0x11);
	unplug(d);
}

static void fill_compare(void **state)
{
	struct pci_dev *d = started();
	const uint64_t pattern = 0xfedcba9876543210;
	struct desc m = move(0, pattern, DST + 3, 9001);
	struct record r;

	m.op = (uint32_t)FILL << 24 | RECORD | ALWAYS;
	assert_int_equal(status(d, &m), 1);
	for (unsigned i = 0; i < 9010; i++)
		assert_int_equal(((uint8_t *)at(d, DST))[i],
				 i >= 3 && i < 9004 ? ((const uint8_t *)&pattern)[(i - 3) % 8] : 0);
	m = move(0, DST + 3, pattern, 9001);
	m.op = (uint32_t)COMPARE_PATTERN << 24 | RECORD | ALWAYS;
	r = run(d, &m);
	assert_true(r.status == 1 && r.result == 0 && r.done == 9001);
	m.size++;
	r = run(d, &m);
	assert_true(r.status == 1 && r.result == 1 && r.done == 9001);
	m.op |= CHECK;
	assert_int_equal(status(d, &m), 2);
	m.expected = 1;
	assert_int_equal(status(d, &m), 1);
	m = move(0, SRC + 1, DST + 7, 20000);
	assert_int_equal(status(d, &m), 1);
	m.op = (uint32_t)COMPARE << 24 | RECORD | ALWAYS;
	r = run(d, &m);
	assert_true(r.status == 1 && r.result == 0);
	((uint8_t *)at(d, DST + 7))[19999] ^= 1;
	r = run(d, &m);
	assert_true(r.status == 1 && r.result == 1 && r.done == 19999);
	memcpy(at(d, END - 4), at(d, SRC), 4);
	m = move(0, SRC, END - 4, 8);
	m.op = (uint32_t)COMPARE << 24 | RECORD | ALWAYS;
	r = run(d, &m);
	assert_true(r.status == 3 && r.done == 4 && r.fault == END);
	m = move(0, pattern, END - 4, 8);
	m.op = (uint32_t)FILL << 24 | RECORD | ALWAYS;
	assert_int_equal(status(d, &m), 0x83);
	unplug(d);
}

static struct desc batch(unsigned n, uint64_t list, uint32_t count)
{
	return (struct desc){ .op = (uint32_t)BATCH << 24 | RECORD | ALWAYS, .record = RECORDS + 32 * n, .src = list,
			      .size = count };
}

static void batches(void **state)
{
	struct pci_dev *d = started();
	struct desc *list = at(d, LIST), b = batch(0, LIST, 1000);
	struct record r;

	for (unsigned i = 0; i < 1000; i++) {
		list[i] = move(1, SRC + i * 16, DST + i * 16, 16);
		list[i].op &= ~(uint32_t)ALWAYS;
	}
	r = run(d, &b);
	assert_true(r.status == 1 && r.done == 1000);
	assert_memory_equal(at(d, DST), at(d, SRC), 16000);
	assert_int_equal(record(d, 1)->status, 0);
	/* one fails; those behind it are done, up to a fence */
	memset(at(d, DST), 0, 16000);
	list[5].src = NOWHERE;
	list[8].op |= FENCE;
	r = run(d, &b);
	assert_true(r.status == 5 && r.done == 8);
	assert_int_equal(record(d, 1)->status, 3);
	assert_memory_equal(at(d, DST + 6 * 16), at(d, SRC + 6 * 16), 32);
	assert_int_equal(((uint8_t *)at(d, DST))[8 * 16 + 1], 0);
	/* none in another; and no record: a software error */
	list[0] = batch(1, LIST, 2);
	b = batch(0, LIST, 2);
	assert_int_equal(status(d, &b), 5);
	assert_int_equal(record(d, 1)->status, 0x10);
	assert_int_equal(load(d, SWERR, 4), 0);
	list[1].op = 0x77u << 24;
	assert_int_equal(status(d, &b), 5);
	assert_int_equal(load(d, SWERR, 4), 0x10 << 8 | 0x1d);
	assert_int_equal(load(d, SWERR + 8, 4), 1);
	/* lists that are none */
	b = batch(0, LIST + 32, 2);
	assert_int_equal(status(d, &b), 0x18);
	b = batch(0, LIST, 1);
	assert_int_equal(status(d, &b), 0x14);
	b = batch(0, LIST, 1025);
	assert_int_equal(status(d, &b), 0x14);
	b = batch(0, LIST, UINT32_MAX);
	assert_int_equal(status(d, &b), 0x14);
	b = batch(0, END - 128, 1024);
	memset(at(d, END - 128), 0, 128);
	r = run(d, &b);
	assert_true(r.status == 6 && r.done == 2 && r.fault == END);
	b = batch(0, ~63ull, 1024);
	assert_int_equal(status(d, &b), 6);
	unplug(d);
}

/* What lasts: the command is active until the descriptor that is carried out has ended. */
static unsigned meddled;

static void reset_meanwhile(struct pci_dev *d)
{
	meddled++;
	store(d, CMD, RESET << 20, 4);
	assert_int_equal(load(d, CMDSTS, 4), ACTIVE);
	store(d, CMD, ENABLE << 20, 4); /* too early: not heard */
	assert_int_equal(load(d, CMDSTS, 4), ACTIVE);
}

static void drain_meanwhile(struct pci_dev *d)
{
	meddled++;
	assert_int_equal(command(d, DRAIN_WQ, 1 << 2), 0);
	store(d, CMD, DISABLE_WQ << 20 | 1, 4);
	assert_int_equal(load(d, CMDSTS, 4), ACTIVE);
	assert_int_equal(load(d, GENSTS, 4), 1);
}

static void abort_others_meanwhile(struct pci_dev *d)
{
	meddled++;
	assert_int_equal(command(d, ABORT_WQ, 1 << 2), 0);
}

static void meanwhile(void **state)
{
	struct pci_dev *d = started();
	struct desc m = move(0, SRC, DST, 8), b = batch(1, LIST, 500);
	struct desc *list = at(d, LIST);

	for (unsigned i = 0; i < 500; i++)
		list[i] = move(2, SRC, DST, 8);
	meddled = 0;
	/* what is under way goes on, what waits does too, and nothing more is taken */
	submit(d, 0, &b);
	submit(d, 0, &m);
	d->meddle = drain_meanwhile;
	work(d);
	assert_int_equal(load(d, CMDSTS, 4), 0);
	assert_int_equal(record(d, 0)->status & record(d, 1)->status, 1);
	assert_int_equal(load(d, wqcfg(d, 0, 6), 4) >> 30, 0);
	memset(at(d, RECORDS), 0, 256);
	assert_int_equal(command(d, ENABLE_WQ, 0), 0);
	/* another queue's are dropped */
	submit(d, 0, &b);
	submit(d, 2, &m);
	submit(d, 0, &(struct desc){ .op = NOOP << 24 | RECORD | ALWAYS, .record = RECORDS + 32 * 5 });
	d->meddle = abort_others_meanwhile;
	work(d);
	assert_int_equal(record(d, 1)->status & record(d, 5)->status, 1);
	assert_int_equal(record(d, 0)->status, 0);
	memset(at(d, RECORDS), 0, 256);
	/* a queue takes as many as it is long */
	submit(d, 0, &b);
	for (unsigned i = 0; i < 3; i++) {
		m = move(3 + i, SRC, DST, 8);
		submit(d, 2, &m);
	}
	work(d);
	assert_int_equal(record(d, 3)->status & record(d, 4)->status, 1);
	assert_int_equal(record(d, 5)->status, 0);
	memset(at(d, RECORDS), 0, 256);
	/* a batch ends at the member it is at, and nothing tells of it */
	submit(d, 0, &b);
	submit(d, 0, &m);
	d->meddle = reset_meanwhile;
	d->accesses = 0;
	work(d);
	assert_int_equal(d->accesses, 3); /* the list, and that member's two ends */
	assert_int_equal(load(d, CMDSTS, 4), 0);
	assert_int_equal(load(d, GENSTS, 4), 0);
	assert_int_equal(load(d, wqcfg(d, 0, 0), 4), 0);
	assert_int_equal(record(d, 1)->status, 0);
	assert_int_equal(meddled, 3);
	unplug(d);
}

static void function_reset(void **state)
{
	struct pci_dev *d = started();
	struct desc b = batch(0, LIST, 2);

	submit(d, 0, &b);
	d->accesses = 0;
	d->model->reset(d->state);
	assert_int_equal(d->accesses, 0);
	assert_int_equal(load(d, GENSTS, 4), 0);
	assert_int_equal(load(d, wqcfg(d, 0, 0), 4), 0);
	assert_int_equal(command(d, ENABLE, 0), 0);
	submit(d, 0, &b); /* and goes away with work to do */
	unplug(d);
}

/* The work queue says in whose address space. With page requests the worker does it all, as it may have to wait. */
static void spaces(void **state)
{
	const char *const args[] = { "pasid", "pri", NULL };
	struct pci_dev *d = started_with(args, MODE | 2 | 1u << 28 | 77u << 8);
	struct desc m = move(0, SRC, DST, 8);

	assert_int_equal(load(d, GENCAP, 4) & 1, 1);
	submit(d, 0, &m);
	assert_int_equal(record(d, 0)->status, 0);
	work(d);
	assert_int_equal(record(d, 0)->status, 1);
	assert_int_equal(d->pasid, 77);
	assert_int_equal(command(d, DRAIN_PASID, 77), 0);
	submit(d, 0, &m);
	assert_int_equal(command(d, ABORT_PASID, 77), 0);
	d->accesses = 0;
	work(d);
	assert_int_equal(d->accesses, 0);
	unplug(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(identity), cmocka_unit_test(commands), cmocka_unit_test(tables),
		cmocka_unit_test(moves), cmocka_unit_test(refused), cmocka_unit_test(software_errors),
		cmocka_unit_test(fill_compare), cmocka_unit_test(batches), cmocka_unit_test(meanwhile),
		cmocka_unit_test(function_reset), cmocka_unit_test(spaces),
	};

	return cmocka_run_group_tests_name("dsa", tests, NULL, NULL);
}
