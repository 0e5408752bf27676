/* SPDX-License-Identifier: MIT */
/*
 * Args that shape BARs and interrupts, for models whose face is theirs: generic and pcitest.
 *
 *	bar0=64K                 memory, 32 bits
 *	bar2=1M,prefetch,64      prefetchable, 64 bits (takes BAR 3 too)
 *	bar4=256,io              I/O ports
 *	bar1=256,packed          in the page of the BAR before, which is smaller than a page
 *	bar5=4K,WORD             a kind of the model's own
 *	msix=8                   MSI-X in a BAR of its own, the last that is free
 *	msix=8@0:0x2000:0x3000   MSI-X in BAR 0, table and pending bits at these offsets
 *	msix=8@0:0x2000:2:0x100  the pending bits in BAR 2
 *	intx=A                   pin
 */
#include "devices/devices.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int complain(char *err, size_t err_size, unsigned bar, const char *fmt, ...) PRINTF(4, 5);
static int complain(char *err, size_t err_size, unsigned bar, const char *fmt, ...)
{
	int n = snprintf(err, err_size, "bar %u: ", bar);
	va_list ap;

	va_start(ap, fmt);
	if (n > 0 && (size_t)n < err_size)
		vsnprintf(err + n, err_size - (size_t)n, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

/* One word of a BAR's that is a kind of the model's; NULL: it is none */
static const struct model_bar_kind *find_kind(const struct model_bar_kind *kinds, const char *word)
{
	for (; kinds->word; kinds++) {
		if (strcmp(kinds->word, word) == 0)
			return kinds;
	}
	return NULL;
}

static int parse_word(const char *word, const struct model_bar_kind *kinds, struct model_bar_arg *out, char *err,
		      size_t err_size)
{
	const struct model_bar_kind *kind = find_kind(kinds, word);
	char known[80] = "";

	if (strcmp(word, "prefetch") == 0) {
		out->desc.prefetchable = true;
	} else if (strcmp(word, "64") == 0) {
		out->desc.kind = PCI_BAR_MEM64;
	} else if (strcmp(word, "io") == 0) {
		out->desc.kind = PCI_BAR_IO;
		out->desc.plain = false;
	} else if (strcmp(word, "packed") == 0) {
		out->desc.packed = true;
	} else if (kind) {
		out->kind = kind->word;
		out->desc.plain = kind->plain;
	} else {
		for (; kinds->word; kinds++)
			snprintf(known + strlen(known), sizeof(known) - strlen(known), ", %s", kinds->word);
		return complain(err, err_size, out->index, "unknown word \"%s\" (known: prefetch, 64, io, packed%s)", word,
				known);
	}
	return 0;
}

int model_parse_bar(const char *arg, const struct model_bar_kind *kinds, struct model_bar_arg *out, char *err,
		    size_t err_size)
{
	const struct model_bar_kind *usual = kinds;
	AUTO_FREE char *text = NULL;
	char *flags, *word;
	int rc;

	if (strncmp(arg, "bar", 3) != 0 || arg[3] < '0' || arg[3] > '9' || arg[4] != '=')
		return 0;
	while (usual->word)
		usual++;
	*out = (struct model_bar_arg){ .index = arg[3] - '0', .desc = { .kind = PCI_BAR_MEM32, .plain = usual->plain } };
	if (out->index > 5)
		return complain(err, err_size, out->index, "there are BARs 0 to 5");
	text = strdup(arg + 5);
	if (!text)
		return complain(err, err_size, out->index, "out of memory");
	flags = text;
	strsep(&flags, ",");
	rc = model_arg_number(text, &out->desc.size, err, err_size);
	while (rc == 0 && (word = strsep(&flags, ",")))
		rc = parse_word(word, kinds, out, err, err_size);
	if (rc)
		return rc;
	if (out->desc.kind == PCI_BAR_IO && (out->desc.prefetchable || out->kind))
		return complain(err, err_size, out->index, "I/O goes with neither prefetch nor %s",
				out->kind ? out->kind : kinds->word);
	return 1;
}

static bool bar_taken(const struct pci_model *m, unsigned index)
{
	return m->bar[index].kind != PCI_BAR_NONE || (index && m->bar[index - 1].kind == PCI_BAR_MEM64);
}

int model_shape_bar(struct pci_model *copy, const struct model_bar_arg *a, char *err, size_t err_size)
{
	if (a->desc.kind == PCI_BAR_MEM64 && a->index == 5)
		return complain(err, err_size, a->index, "64 bits take two BARs, and this is the last");
	if (copy->msix_vectors && copy->msix_bar == a->index && bar_taken(copy, a->index))
		return complain(err, err_size, a->index,
				"holds the MSI-X table already (put msix= last, or say msix=N@BAR:TABLE:PBA)");
	if (bar_taken(copy, a->index))
		return complain(err, err_size, a->index, "given twice, or the upper half of a 64-bit BAR");
	if (a->desc.kind == PCI_BAR_MEM64 && bar_taken(copy, a->index + 1))
		return complain(err, err_size, a->index, "64 bits need the next BAR too, which is taken");
	copy->bar[a->index] = a->desc;
	return 0;
}

/* The last BAR that is free, for table and pending bits alone. */
static int msix_own_bar(struct pci_model *copy, unsigned vectors, unsigned *bar, unsigned *pba)
{
	for (*bar = 5; bar_taken(copy, *bar); --*bar) {
		if (*bar == 0)
			return -EINVAL;
	}
	*pba = vectors * 16 <= 4096 ? 4096 : 32768;
	copy->bar[*bar] = (struct pci_bar_desc){ .kind = PCI_BAR_MEM32, .size = *pba * 2 };
	return 0;
}

/* N, N@BAR:TABLE:PBA or N@BAR:TABLE:PBABAR:PBA */
int model_shape_msix(struct pci_model *copy, const char *value, char *err, size_t err_size)
{
	unsigned vectors, bar, table = 0, pba, pba_bar;
	char end;
	int n = sscanf(value, "%u@%u:%i:%u:%i%c", &vectors, &bar, (int *)&table, &pba_bar, (int *)&pba, &end);

	if (n != 5) {
		n = sscanf(value, "%u@%u:%i:%i%c", &vectors, &bar, (int *)&table, (int *)&pba, &end);
		pba_bar = bar;
	}
	if ((n != 1 || strchr(value, '@')) && n != 4 && n != 5) {
		snprintf(err, err_size, "msix=%s: expected N or N@BAR:TABLE:PBA, such as 8 or 8@0:0x2000:0x3000",
			 value);
		return -EINVAL;
	}
	if (vectors < 1 || vectors > 2048) {
		snprintf(err, err_size, "%u MSI-X vectors: must be 1 to 2048", vectors);
		return -EINVAL;
	}
	if (n == 1 && msix_own_bar(copy, vectors, &bar, &pba)) {
		snprintf(err, err_size, "msix: no BAR is free for the table; say msix=N@BAR:TABLE:PBA");
		return -EINVAL;
	}
	copy->msix_vectors = vectors;
	copy->msix_bar = bar;
	copy->msix_table = table;
	copy->msix_pba = pba;
	copy->msix_pba_apart = n == 5;
	copy->msix_pba_bar = n == 5 ? pba_bar : 0;
	return 0;
}

int model_shape_intx(struct pci_model *copy, const char *value, char *err, size_t err_size)
{
	if (value[0] < 'A' || value[0] > 'D' || value[1]) {
		snprintf(err, err_size, "intx=%s: expected A, B, C or D", value);
		return -EINVAL;
	}
	copy->intx_pin = value[0] - 'A' + 1;
	return 0;
}
