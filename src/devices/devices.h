/* SPDX-License-Identifier: MIT */
/* The models that come with uvfio; wired up in machine/builtin.c. */
#ifndef UVFIO_DEVICES_DEVICES_H
#define UVFIO_DEVICES_DEVICES_H

#include "uvfio/model.h"

extern const struct pci_model edu_model;     /* QEMU's educational device */
extern const struct pci_model ioat_model;    /* Intel I/OAT, spec 40 section 1 */
extern const struct pci_model generic_model; /* a function whose BARs are plain memory: stands in for a NIC, an NVMe ... */

#endif
