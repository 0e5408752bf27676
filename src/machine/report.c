/* SPDX-License-Identifier: MIT */
/*
 * The end of a run: what was moved, and what went wrong. A run without DMA says nothing. Faults come with their
 * history, since "not mapped" is a riddle and "unmapped 3 ms before" is not; those alike are one line. So do loads and
 * stores of BARs that found memory disabled: the crash is one program's, the cause may be another's.
 */
#include "machine/priv.h"
#include <inttypes.h>
#include <string.h>
#include <time.h>

#define SHOWN_MAX 8

/* "171 MB" */
static const char *amount(uint64_t bytes, char buf[32])
{
	static const char *const units[] = { "bytes", "kB", "MB", "GB", "TB" };
	double v = bytes;
	unsigned u = 0;

	while (v >= 1000 && u + 1 < ARRAY_SIZE(units)) {
		v /= 1000;
		u++;
	}
	snprintf(buf, 32, u == 0 || v >= 10 ? "%.0f %s" : "%.1f %s", v, units[u]);
	return buf;
}

static const char *clock_time(int64_t ns, char buf[32])
{
	time_t t = ns / 1000000000;
	struct tm tm;
	size_t n = 0;

	if (localtime_r(&t, &tm))
		n = strftime(buf, 32, "%H:%M:%S", &tm);
	snprintf(buf + n, 32 - n, ".%03d", (int)(ns / 1000000 % 1000));
	return buf;
}

static const char *interval(int64_t ns, char buf[32])
{
	if (ns < 1000000)
		snprintf(buf, 32, "%" PRId64 " us", ns / 1000);
	else if (ns < 10000000000)
		snprintf(buf, 32, "%" PRId64 " ms", ns / 1000000);
	else
		snprintf(buf, 32, "%" PRId64 " s", ns / 1000000000);
	return buf;
}

static const char *reason(const struct iommu_fault *f)
{
	switch (f->reason) {
	case IOMMU_FAULT_NOT_MAPPED:
		return "not mapped";
	case IOMMU_FAULT_NO_PERMISSION:
		return f->write ? "mapped for reading only" : "mapped for writing only";
	case IOMMU_FAULT_BLOCKED:
		return f->pasid ? "the PASID is not attached to any mappings"
				: "the device's group is not attached to any mappings";
	case IOMMU_FAULT_ABORT:
		return "mapped, but nothing answers there: the program's memory is gone, or a BAR is disabled";
	}
	return "?";
}

static bool alike(const struct iommu_fault *a, const struct iommu_fault *b)
{
	return a->device == b->device && a->iova == b->iova && a->length == b->length && a->write == b->write &&
	       a->reason == b->reason && a->pasid == b->pasid && a->was_mapped == b->was_mapped;
}

static void report_fault(struct machine *m, const struct iommu_fault *f, unsigned times, FILE *out)
{
	const struct machine_node *n = machine_node_at(m, f->device);
	char when[32], before[32], pasid[32] = "";

	if (f->pasid)
		snprintf(pasid, sizeof(pasid), "PASID %u ", f->pasid);
	fprintf(out, "  %s%s%s %s %sIOVA 0x%" PRIx64 " (%" PRIu64 " byte%s): %s", n && n->model ? n->model : "",
		n && n->model ? " " : "", f->device, f->write ? "write" : "read", pasid, f->iova, f->length,
		f->length == 1 ? "" : "s", reason(f));
	if (times > 1)
		fprintf(out, "  (%u times)", times);
	fputc('\n', out);
	if (f->was_mapped)
		fprintf(out, "    it was mapped 0x%" PRIx64 "-0x%" PRIx64 " and unmapped at %s (%s before)\n",
			f->was_start, f->was_last, clock_time(f->unmapped_at, when),
			interval(f->when - f->unmapped_at, before));
}

static void report_faults(struct machine *m, FILE *out)
{
	AUTO_FREE struct iommu_fault *f = calloc(IOMMU_FAULTS, sizeof(*f));
	bool told[IOMMU_FAULTS] = { 0 };
	unsigned n, shown = 0, times;
	uint64_t total = 0;

	if (!f)
		return;
	n = iommu_faults(m->iommu, f, &total);
	if (!total)
		return;
	fprintf(out, "uvfio: %" PRIu64 " DMA fault%s\n", total, total == 1 ? "" : "s");
	for (unsigned i = 0; i < n; i++) {
		if (told[i])
			continue;
		times = 0;
		for (unsigned j = i; j < n; j++) {
			if (alike(&f[i], &f[j])) {
				told[j] = true;
				times++;
			}
		}
		if (shown++ < SHOWN_MAX)
			report_fault(m, &f[i], times, out);
	}
	if (shown > SHOWN_MAX)
		fprintf(out, "  and %u more places\n", shown - SHOWN_MAX);
	if (total > n)
		fprintf(out, "  (of the last %u faults)\n", n);
}

/* @next: the one after it; NULL: the last. One cause of several is told once, behind them. */
static void report_blocked_kind(struct machine *m, const struct vfio_pci_blocked *b,
				const struct vfio_pci_blocked *next, FILE *out)
{
	const struct machine_node *n = machine_node_at(m, b->device);
	char what[100], why[120], when[32], before[32];

	vfio_pci_blocked_what(b, what, sizeof(what));
	fprintf(out, "  %s%s%s %s", n && n->model ? n->model : "", n && n->model ? " " : "", b->device, what);
	if (b->times > 1)
		fprintf(out, "  (%" PRIu64 " times)", b->times);
	fputc('\n', out);
	if (next && next->by.when == b->by.when && strcmp(next->device, b->device) == 0)
		return;
	vfio_pci_blocked_why(b, why, sizeof(why));
	fprintf(out, "    %s, at %s (%s before)\n", why, clock_time(b->by.when, when),
		interval(b->when - b->by.when, before));
}

static void report_blocked(struct machine *m, FILE *out)
{
	AUTO_FREE struct vfio_pci_blocked *b = calloc(VFIO_PCI_BLOCKED, sizeof(*b));
	uint64_t total = 0;
	unsigned n;

	if (!b)
		return;
	n = vfio_pci_blocked(m->vfio_pci, b, &total);
	if (!total)
		return;
	fprintf(out, "uvfio: %" PRIu64 " load%s or store%s of mapped BARs with memory disabled: %s\n", total,
		total == 1 ? "" : "s", total == 1 ? "" : "s",
		vfio_pci_blocked_ones(m->vfio_pci) ? "all ones, stores are lost (blocked_access)" : "SIGBUS");
	for (unsigned i = n > SHOWN_MAX ? n - SHOWN_MAX : 0; i < n; i++)
		report_blocked_kind(m, &b[i], i + 1 < n ? &b[i + 1] : NULL, out);
	if (n > SHOWN_MAX)
		fprintf(out, "  (of %s%u kinds, those seen last)\n", n == VFIO_PCI_BLOCKED ? "at least " : "", n);
}

/* True pins were asked for, and not all are. */
static void report_unheld(struct machine *m, FILE *out)
{
	int why;
	uint64_t n = mem_pins_unheld(m->mem, &why);

	if (n)
		fprintf(out,
			"uvfio: %" PRIu64 " range%s of private memory had no true pin (%s) and %s reached by address\n", n,
			n == 1 ? "" : "s", mem_pin_reason(why), n == 1 ? "was" : "were");
	else if (why)
		fprintf(out, "uvfio: no true pins (%s): private memory was reached by address\n", mem_pin_reason(why));
}

void machine_report(struct machine *m, FILE *out)
{
	uint64_t stale = mem_stale(m->mem), pinned = mem_pinned_pages(m->mem);
	struct iommu_stats s;
	char size[32];

	iommu_stats(m->iommu, &s);
	if (s.reads || s.writes)
		fprintf(out, "uvfio: %s moved through the IOMMU in %" PRIu64 " DMA reads and %" PRIu64 " writes\n",
			amount(s.bytes, size), s.reads, s.writes);
	report_faults(m, out);
	report_blocked(m, out);
	if (stale)
		fprintf(out,
			"uvfio: %" PRIu64 " DMA access%s to memory that was mapped for DMA and that the program has "
					  "unmapped or lost\n",
			stale, stale == 1 ? "" : "es");
	report_unheld(m, out);
	if (pinned)
		fprintf(out, "uvfio: %s still mapped for DMA at the end\n", amount(pinned * UVFIO_PAGE_SIZE, size));
}

uint64_t machine_dma_faults(struct machine *m)
{
	AUTO_FREE struct iommu_fault *f = calloc(IOMMU_FAULTS, sizeof(*f));
	uint64_t total = 0;

	if (f)
		iommu_faults(m->iommu, f, &total);
	return total;
}
