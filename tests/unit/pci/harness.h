/* SPDX-License-Identifier: MIT */
/*
 * A machine's PCI with nothing above it, and a toy model: registers that remember how they were accessed, memory,
 * every kind of interrupt.
 */
#ifndef UVFIO_TESTS_PCI_HARNESS_H
#define UVFIO_TESTS_PCI_HARNESS_H

#include "pci/priv.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct box {
	struct log log;
	struct tree *tree;
	struct mem *mem;
	struct iommu *iommu;
	struct bus *bus;
	struct pci *pci;
	struct pci_bus *root;
	struct iommu_unit unit;
};
extern struct box box;

int box_start(void **state);
int box_stop(void **state);

/* What the toy saw. */
struct toy {
	struct pci_dev *dev;
	struct pci_worker *worker;
	atomic_uint reads, writes, resets, works;
	atomic_ullong last_offset;
	atomic_uint last_width;
	uint8_t regs[0x1000];       /* BAR 0, first page */
	uint32_t dword;             /* config dword 0x180 */
	struct mutex lock;          /* RANK_MODEL: held over registers' accesses and DMA when hold is set */
	atomic_bool hold;
	atomic_ullong dma_to;            /* a write to register 0x100 writes 8 bytes there, to 0x108 reads them */
	atomic_int dma_result;
	uint64_t dma_data;
};

#define TOY_REGS   0 /* mem32, trapped: registers, MSI-X table at 0x1000, PBA at 0x1800 */
#define TOY_MEM    2 /* mem64, plain, prefetchable */
#define TOY_IO     4
#define TOY_VECTORS 70
/* Called in the middle of a toy's reset, of a load; NULL: nothing */
extern void (*toy_on_reset)(struct pci_dev *d), (*toy_on_read)(struct pci_dev *d);
extern const struct pci_model toy_model;          /* PCI Express */
extern const struct pci_model toy_pci_model;      /* conventional, PM with state loss */
extern const struct pci_model bare_model;         /* PCI Express, nothing but a header */
extern const struct pci_model bare_pci_model;     /* conventional, nothing but a header */

static inline struct toy *toy_of(struct pci_dev *d)
{
	return d->priv->state;
}

/** add - a function of @model at @slot.@function of @bus, announced, memory and bus mastering on */
struct pci_dev *add(struct pci_bus *bus, unsigned slot, unsigned function, const struct pci_model *model,
		    const struct iommu_unit *unit);
/** add_port - a root port with the bus @secondary below */
struct pci_dev *add_port(unsigned slot, uint8_t secondary, const struct iommu_unit *unit);

/** sysfs_read, sysfs_write - an attribute of a function; read: the text; write: as write(2), as root */
const char *sysfs_read(const struct pci_dev *d, const char *name);
long sysfs_write(const struct pci_dev *d, const char *name, const char *text);
const char *tree_read(const char *path);
long tree_write(const char *path, const char *text);

#endif
