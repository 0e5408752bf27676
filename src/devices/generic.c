/* SPDX-License-Identifier: MIT */
/*
 * A function that does nothing but be there: BARs, identity and capabilities as its args say. It stands in
 * for a NIC, an NVMe drive, a graphics card: for group mates, host drivers, BARs of any size.
 *
 *	bar0=64K                 memory, 32 bits
 *	bar2=1M,prefetch,64      prefetchable, 64 bits (takes BAR 3 too)
 *	bar4=256,io              I/O ports
 *	bar5=4K,counter          memory that counts: every access is carried to this model (see below)
 *	msix=8                   MSI-X in a BAR of its own, the last that is free
 *	msix=8@0:0x2000:0x3000   MSI-X in BAR 0, table and pending bits at these offsets
 *	msi=4, flr, pm, express, intx=A   capabilities and pin
 *
 * Plain BARs are pages that programs share; nobody sees their loads and stores. A counter BAR holds bytes
 * as well, but its first 8 bytes count the loads and the next 8 the stores it has seen, reads of the counters
 * themselves included: for whoever wants to know how many accesses an instruction makes. Storing to offset
 * 16 raises interrupt vector (value).
 */
#include "base/lock.h"
#include "devices/devices.h"
#include <stdio.h>
#include <string.h>

#define GENERIC_COUNTER_LOADS  0
#define GENERIC_COUNTER_STORES 8
#define GENERIC_COUNTER_RAISE  16
#define GENERIC_TRAPPED_MAX    (16 * 1024 * 1024ull)

/* The trapped BARs: I/O and counters. */
struct generic_bar {
	uint8_t *bytes; /* [lock] NULL: absent or plain */
	uint64_t size;  /* [I] */
	bool counter;   /* [I] */
};

struct generic {
	struct pci_dev *dev;
	struct mutex lock; /* RANK_MODEL */
	struct generic_bar bar[6];
};

static const struct model_bar_kind generic_kinds[] = { { "counter", false }, { NULL, true } };

static int generic_shape(struct pci_model *copy, const char *arg, char *err, size_t err_size)
{
	struct model_bar_arg bar;
	const char *value;
	int rc = model_parse_bar(arg, generic_kinds, &bar, err, err_size);

	if (rc < 0)
		return rc;
	if (rc && !bar.desc.plain && bar.desc.size > GENERIC_TRAPPED_MAX) {
		snprintf(err, err_size, "bar %u: a BAR that is not plain has at most 16M", bar.index);
		return -EINVAL;
	}
	if (rc)
		return model_shape_bar(copy, &bar, err, err_size);
	if ((value = model_arg(arg, "msix")))
		return model_shape_msix(copy, value, err, err_size);
	if ((value = model_arg(arg, "intx")))
		return model_shape_intx(copy, value, err, err_size);
	return model_shape_common(copy, arg, "bar0 to bar5, msix, intx", err, err_size);
}

/* ---- access to the trapped BARs ---- */

static void generic_count_locked(struct generic_bar *b, unsigned counter)
{
	uint64_t n;

	if (!b->counter || b->size < 16)
		return;
	memcpy(&n, b->bytes + counter, 8);
	n++;
	memcpy(b->bytes + counter, &n, 8);
}

static void generic_read(void *state, unsigned bar, uint64_t offset, void *data, unsigned width)
{
	struct generic *g = state;
	struct generic_bar *b = &g->bar[bar];
	SCOPED_LOCK(&g->lock);

	memset(data, 0, width);
	if (!b->bytes)
		return;
	generic_count_locked(b, GENERIC_COUNTER_LOADS);
	memcpy(data, b->bytes + offset, MIN(width, b->size - offset));
}

static void generic_write(void *state, unsigned bar, uint64_t offset, const void *data, unsigned width)
{
	struct generic *g = state;
	struct generic_bar *b = &g->bar[bar];
	unsigned keep = 0;
	uint32_t vector;
	SCOPED_LOCK(&g->lock);

	if (!b->bytes)
		return;
	generic_count_locked(b, GENERIC_COUNTER_STORES);
	if (b->counter && offset == GENERIC_COUNTER_RAISE && width == 4) {
		memcpy(&vector, data, 4);
		pci_irq_fire(g->dev, vector);
	}
	if (b->counter && offset < GENERIC_COUNTER_RAISE)
		keep = MIN(width, GENERIC_COUNTER_RAISE - offset); /* the counters are read-only */
	if (offset + keep < b->size)
		memcpy(b->bytes + offset + keep, (const uint8_t *)data + keep, MIN(width, b->size - offset) - keep);
}

/* ---- life ---- */

static void generic_reset(void *state)
{
	struct generic *g = state;
	SCOPED_LOCK(&g->lock);

	for (unsigned i = 0; i < 6; i++) {
		if (g->bar[i].bytes)
			memset(g->bar[i].bytes, 0, g->bar[i].size);
	}
}

static void generic_destroy(void *state)
{
	struct generic *g = state;

	for (unsigned i = 0; i < 6; i++)
		free(g->bar[i].bytes);
	mutex_fini(&g->lock);
	free(g);
}

static int generic_create(struct pci_dev *dev, const char *const *args, void **state)
{
	struct generic *g = calloc(1, sizeof(*g));
	struct model_bar_arg a;
	char err[128];

	if (!g)
		return -ENOMEM;
	g->dev = dev;
	mutex_init(&g->lock, RANK_MODEL);
	for (; args && *args; args++) {
		if (model_parse_bar(*args, generic_kinds, &a, err, sizeof(err)) != 1 || a.desc.plain)
			continue;
		g->bar[a.index].size = a.desc.size;
		g->bar[a.index].counter = a.kind;
		g->bar[a.index].bytes = calloc(1, a.desc.size);
		if (!g->bar[a.index].bytes) {
			generic_destroy(g);
			return -ENOMEM;
		}
	}
	*state = g;
	return 0;
}

const struct pci_model generic_model = {
	.size = sizeof(struct pci_model),
	.name = "generic",
	.what = "plain memory behind BARs: stands in for any function",
	.vendor = 0x1234,
	.device = 0x0001,
	.class_code = 0xff0000,
	.create = generic_create,
	.destroy = generic_destroy,
	.reset = generic_reset,
	.read = generic_read,
	.write = generic_write,
	.shape = generic_shape,
};
