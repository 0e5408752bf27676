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
#include <inttypes.h>
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

/* What one "barN=..." arg says. */
struct generic_arg {
	unsigned index;
	struct pci_bar_desc desc;
	bool counter;
};

static int generic_complain(char *err, size_t err_size, unsigned bar, const char *what)
{
	snprintf(err, err_size, "bar %u: %s", bar, what);
	return -EINVAL;
}

static int generic_parse_flags(char *flags, struct generic_arg *out, char *err, size_t err_size)
{
	char *word;

	while ((word = strsep(&flags, ","))) {
		if (strcmp(word, "prefetch") == 0) {
			out->desc.prefetchable = true;
		} else if (strcmp(word, "64") == 0) {
			out->desc.kind = PCI_BAR_MEM64;
		} else if (strcmp(word, "io") == 0) {
			out->desc.kind = PCI_BAR_IO;
			out->desc.plain = false;
		} else if (strcmp(word, "counter") == 0) {
			out->counter = true;
			out->desc.plain = false;
		} else {
			snprintf(err, err_size, "bar %u: unknown word \"%s\" (known: prefetch, 64, io, counter)",
				 out->index, word);
			return -EINVAL;
		}
	}
	if (out->desc.kind == PCI_BAR_IO && (out->desc.prefetchable || out->counter))
		return generic_complain(err, err_size, out->index, "I/O goes with neither prefetch nor counter");
	return 0;
}

/* Is @arg about a BAR? 1: yes, and *@out says how; 0: no; -EINVAL */
static int generic_parse_bar(const char *arg, struct generic_arg *out, char *err, size_t err_size)
{
	AUTO_FREE char *text = NULL;
	char *flags;
	int rc;

	if (strncmp(arg, "bar", 3) != 0 || arg[3] < '0' || arg[3] > '9' || arg[4] != '=')
		return 0;
	*out = (struct generic_arg){ .index = arg[3] - '0', .desc = { .kind = PCI_BAR_MEM32, .plain = true } };
	if (out->index > 5)
		return generic_complain(err, err_size, out->index, "there are BARs 0 to 5");
	text = strdup(arg + 5);
	if (!text)
		return generic_complain(err, err_size, out->index, "out of memory");
	flags = text;
	strsep(&flags, ",");
	rc = model_arg_number(text, &out->desc.size, err, err_size);
	if (rc)
		return rc;
	rc = flags ? generic_parse_flags(flags, out, err, err_size) : 0;
	if (rc)
		return rc;
	if (!out->desc.plain && out->desc.size > GENERIC_TRAPPED_MAX)
		return generic_complain(err, err_size, out->index, "a BAR that is not plain has at most 16M");
	return 1;
}

static bool generic_bar_taken(const struct pci_model *m, unsigned index)
{
	return m->bar[index].kind != PCI_BAR_NONE || (index && m->bar[index - 1].kind == PCI_BAR_MEM64);
}

static int generic_shape_bar(struct pci_model *copy, const struct generic_arg *a, char *err, size_t err_size)
{
	if (a->desc.kind == PCI_BAR_MEM64 && a->index == 5)
		return generic_complain(err, err_size, a->index, "64 bits take two BARs, and this is the last");
	if (copy->msix_vectors && copy->msix_bar == a->index && generic_bar_taken(copy, a->index))
		return generic_complain(err, err_size, a->index,
					"holds the MSI-X table already (put msix= last, or say msix=N@BAR:TABLE:PBA)");
	if (generic_bar_taken(copy, a->index))
		return generic_complain(err, err_size, a->index,
					"given twice, or the upper half of a 64-bit BAR");
	if (a->desc.kind == PCI_BAR_MEM64 && generic_bar_taken(copy, a->index + 1))
		return generic_complain(err, err_size, a->index, "64 bits need the next BAR too, which is taken");
	copy->bar[a->index] = a->desc;
	return 0;
}

/* N, or N@BAR:TABLE:PBA */
static int generic_shape_msix(struct pci_model *copy, const char *value, char *err, size_t err_size)
{
	unsigned vectors, bar, table, pba;
	char end;
	int n = sscanf(value, "%u@%u:%i:%i%c", &vectors, &bar, (int *)&table, (int *)&pba, &end);

	if ((n != 1 || strchr(value, '@')) && n != 4) {
		snprintf(err, err_size, "msix=%s: expected N or N@BAR:TABLE:PBA, such as 8 or 8@0:0x2000:0x3000",
			 value);
		return -EINVAL;
	}
	if (vectors < 1 || vectors > 2048) {
		snprintf(err, err_size, "%u MSI-X vectors: must be 1 to 2048", vectors);
		return -EINVAL;
	}
	if (n == 1) {
		for (bar = 5; generic_bar_taken(copy, bar); bar--) {
			if (bar == 0) {
				snprintf(err, err_size, "msix: no BAR is free for the table; say msix=N@BAR:TABLE:PBA");
				return -EINVAL;
			}
		}
		table = 0;
		pba = vectors * 16 <= 4096 ? 4096 : 32768;
		copy->bar[bar] = (struct pci_bar_desc){ .kind = PCI_BAR_MEM32, .size = pba * 2 };
	}
	copy->msix_vectors = vectors;
	copy->msix_bar = bar;
	copy->msix_table = table;
	copy->msix_pba = pba;
	return 0;
}

static int generic_shape(struct pci_model *copy, const char *arg, char *err, size_t err_size)
{
	struct generic_arg bar;
	const char *value;
	int rc = generic_parse_bar(arg, &bar, err, err_size);

	if (rc < 0)
		return rc;
	if (rc)
		return generic_shape_bar(copy, &bar, err, err_size);
	if ((value = model_arg(arg, "msix")))
		return generic_shape_msix(copy, value, err, err_size);
	if ((value = model_arg(arg, "intx"))) {
		if (value[0] < 'A' || value[0] > 'D' || value[1]) {
			snprintf(err, err_size, "intx=%s: expected A, B, C or D", value);
			return -EINVAL;
		}
		copy->intx_pin = value[0] - 'A' + 1;
		return 0;
	}
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
	struct generic_arg a;
	char err[128];

	if (!g)
		return -ENOMEM;
	g->dev = dev;
	mutex_init(&g->lock, RANK_MODEL);
	for (; args && *args; args++) {
		if (generic_parse_bar(*args, &a, err, sizeof(err)) != 1 || a.desc.plain)
			continue;
		g->bar[a.index].size = a.desc.size;
		g->bar[a.index].counter = a.counter;
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
