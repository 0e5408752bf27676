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

#endif
