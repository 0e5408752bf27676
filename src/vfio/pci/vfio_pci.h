/* SPDX-License-Identifier: MIT */
/* vfio-pci: the host driver that gives a PCI function to a program. Spec: 20, sections 1 to 6. */
#ifndef UVFIO_VFIO_PCI_VFIO_PCI_H
#define UVFIO_VFIO_PCI_VFIO_PCI_H

#include "pci/pci.h"
#include "vfio/vfio.h"

struct vfio_pci;

struct vfio_pci_params {
	char ids[256];          /* "8086:2021,..." as the module parameter */
	bool nointxmask, disable_idle_d3, enable_sriov, disable_denylist, disable_vga;
	bool blocked_ones;      /* no parameter: mappings of disabled memory read as all ones, instead of SIGBUS */
};

/** vfio_pci_create - register the driver and its variants with the bus */
int vfio_pci_create(struct vfio *vfio, struct pci *pci, struct bus *bus, const struct vfio_pci_params *params,
		    struct vfio_pci **out);
/** vfio_pci_destroy - unregister; blocks until all its devices are given up; NULL is fine */
void vfio_pci_destroy(struct vfio_pci *vp);

/** vfio_pci_is - is it vfio-pci or a variant of it? */
bool vfio_pci_is(const struct drv *drv);
/** vfio_pci_denied - is @d on the denylist, and the list in force? */
bool vfio_pci_denied(struct vfio_pci *vp, const struct pci_dev *d);

/* ---- accesses that found memory disabled (blocked.c) ---- */

/* What keeps memory from answering. */
enum vfio_pci_why { VFIO_PCI_COMMAND, VFIO_PCI_D3HOT, VFIO_PCI_LOW_POWER };
#define VFIO_PCI_WHYS 3

/* How a program disabled a function's memory: by a write to config space, unless by LOW_POWER_ENTRY. */
struct vfio_pci_deed {
	pid_t pid;
	char comm[16];
	int64_t when;      /* CLOCK_REALTIME ns */
	unsigned at, width;
	uint32_t value;
};

/* Loads or stores alike, of a mapping. */
struct vfio_pci_blocked {
	char device[16];   /* "0000:01:00.0" */
	unsigned bar, width;
	uint64_t offset;   /* in the BAR */
	bool write;
	pid_t pid;
	char comm[16];
	int64_t when;      /* the last of them, CLOCK_REALTIME ns; */
	uint64_t times;
	enum vfio_pci_why why;
	struct vfio_pci_deed by; /* and who had disabled memory then */
};

#define VFIO_PCI_BLOCKED 64
/** vfio_pci_blocked - the kinds seen last, the newest at the end; @total: accesses of any kind. Return: how many */
unsigned vfio_pci_blocked(struct vfio_pci *vp, struct vfio_pci_blocked out[VFIO_PCI_BLOCKED], uint64_t *total);
/** vfio_pci_blocked_ones - were they answered with all ones? Else with SIGBUS */
bool vfio_pci_blocked_ones(const struct vfio_pci *vp);
/** vfio_pci_blocked_what, vfio_pci_blocked_why - in words, without times */
void vfio_pci_blocked_what(const struct vfio_pci_blocked *b, char *buf, size_t size);
void vfio_pci_blocked_why(const struct vfio_pci_blocked *b, char *buf, size_t size);

#endif
