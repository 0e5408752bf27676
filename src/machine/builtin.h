/* SPDX-License-Identifier: MIT */
/* What every machine has: models, host drivers, the files outside of any device. */
#ifndef UVFIO_MACHINE_BUILTIN_H
#define UVFIO_MACHINE_BUILTIN_H

#include "machine/desc.h"

/** machine_builtin_model - by name; NULL: unknown */
const struct pci_model *machine_builtin_model(const char *name);
/** machine_builtin_models - the names, for messages */
void machine_builtin_models(char *buf, size_t size);

/* What a host driver finds when it probes. */
enum machine_probe {
	MACHINE_PROBE_OK,
	MACHINE_PROBE_PORT,      /* pcieport: PCIe ports and event collectors only */
	MACHINE_PROBE_SHPC,      /* shpchp: bridges with the capability only */
	MACHINE_PROBE_ELSEWHERE, /* another layer registers this driver */
};

/* Does it make virtual functions when asked, and are they still there when it goes? */
enum machine_vfs { MACHINE_VFS_NONE, MACHINE_VFS_LEFT, MACHINE_VFS_TAKEN };

/* A host driver every machine has. */
struct machine_builtin_driver {
	const char *name, *what;
	bool managed, uses_dma, maps_mmio;
	enum machine_vfs vfs;
	bool module; /* not part of the kernel itself: /sys/module has it */
	const struct drv_id *ids;
	enum machine_probe probe;
};
/** machine_builtin_driver - by name; NULL: unknown */
const struct machine_builtin_driver *machine_builtin_driver(const char *name);
/** machine_builtin_drivers - the @i-th, in the order of registration; NULL: no more */
const struct machine_builtin_driver *machine_builtin_drivers(unsigned i);

/** machine_builtin_roots - the paths that belong to the machine whole, NULL-terminated */
extern const char *const machine_builtin_roots[];
/** machine_builtin_dirs - directories that exist whatever the devices, NULL-terminated */
extern const char *const machine_builtin_dirs[];

#endif
