/* SPDX-License-Identifier: MIT */
/*
 * A machine: every layer's context, wired together from a description. All state of uvfio hangs here, so
 * a test can build ten of them in one process.
 */
#ifndef UVFIO_MACHINE_MACHINE_H
#define UVFIO_MACHINE_MACHINE_H

#include "base/log.h"
#include "file/tree.h"
#include <stdio.h>

struct machine;
struct machine_desc; /* a parsed machine file */
struct mirror_pool;

/**
 * machine_desc_load - read and check a machine file
 * @path:  NULL: the built-in default machine
 * @err:   receives lines "FILE:LINE:COL: what is wrong (what was expected)\n"
 * Return: 0; -EINVAL with at least one line in @err; -ENOENT and the like with one line
 */
int machine_desc_load(const char *path, FILE *err, struct machine_desc **out);
/** machine_desc_parse - the same from memory; @name stands for the file in messages */
int machine_desc_parse(const char *name, const char *text, size_t n, FILE *err, struct machine_desc **out);
void machine_desc_free(struct machine_desc *d);
/**
 * machine_desc_audit - what is allowed in a machine file but unsafe: drivers of bridges that claim to be harmless to a
 * user of the group (managed) and do DMA or map registers. Returns the number of lines written to @out (spec 10, 2.6)
 */
unsigned machine_desc_audit(const struct machine_desc *d, FILE *out);
/** machine_default_text - the YAML of the built-in machine */
const char *machine_default_text(void);

struct machine_options {
	void (*log_sink)(void *ctx, enum log_level level, const char *line); /* may be NULL */
	void *log_ctx;
	bool true_pins;   /* hold private memory by its pages (mem_pin_truly); where that is not possible the log says so */
	struct mirror_pool *mirror; /* where registers that programs may read by themselves are kept; NULL: nowhere. Stays */
};
/** machine_create - build and boot: scan, group, bind. Return: 0; -errno with the reason in the log */
int machine_create(const struct machine_desc *d, const struct machine_options *o, struct machine **out);
/** machine_destroy - every file must be released; NULL is fine */
void machine_destroy(struct machine *m);

const char *machine_name(const struct machine *m);
struct tree *machine_tree(struct machine *m);
struct log *machine_log(struct machine *m);
struct iommu *machine_iommu(struct machine *m);
struct mem *machine_mem(struct machine *m);

/** machine_list - draw the machine: text, or JSON (jansson) */
int machine_list(struct machine *m, bool json, FILE *out);
/** machine_explain - who keeps BDF or group number @what from a user, and what to do. 0; -ENODEV unknown; -ENOMEM */
int machine_explain(struct machine *m, const char *what, FILE *out);
/** machine_report - what happened: DMA moved, faults with their history, mappings left. For the end of a run. */
void machine_report(struct machine *m, FILE *out);
/** machine_dma_faults - DMA accesses that the IOMMU refused, since the start (iommu_faults' total) */
uint64_t machine_dma_faults(struct machine *m);

#endif
