/* SPDX-License-Identifier: MIT */
/* What the files of machine/ share about a running machine. */
#ifndef UVFIO_MACHINE_PRIV_H
#define UVFIO_MACHINE_PRIV_H

#include "base/event.h"
#include "base/log.h"
#include "iommufd/iommufd.h"
#include "machine/builtin.h"
#include "machine/desc.h"
#include "machine/machine.h"
#include "vfio/emulated/vfio_emulated.h"
#include "vfio/pci/vfio_pci.h"

struct machine_live;
struct machine_refused;

/* A registered host driver. */
struct machine_host_driver {
	struct drv drv;
	enum machine_probe probe;
	int probe_error; /* every probe fails with it; 0: none does */
	const struct machine_host_driver *needs; /* probes are put off until this one has a device; NULL: none */
	atomic_uint bound; /* devices it has */
};

/* [I] all of it after machine_create */
struct machine {
	struct machine_desc *desc;
	struct log log;
	struct event_loop *loop;
	struct tree *tree;
	struct mem *mem;
	struct iommu *iommu;
	struct bus *bus;
	struct pci *pci;
	struct iommufd *iommufd; /* NULL: the kernel was built without */
	struct vfio *vfio;
	struct vfio_pci *vfio_pci;
	struct machine_host_driver *drivers;
	unsigned ndrivers; /* registered */
	const struct machine_node **nodes; /* the functions of the file, by address */
	unsigned nnodes;
	struct machine_live *live;
	struct machine_refused *refused;
	struct vfio_emu **emulated; /* ended by NULL */
};

/* ---- drivers.c ---- */
int machine_drivers_register(struct machine *m);
void machine_drivers_unregister(struct machine *m);

/* ---- kernel.c ---- */
int machine_emulated_create(struct machine *m);
void machine_emulated_destroy(struct machine *m);

/** machine_node_at - what the file says of "0000:01:00.0"; NULL: nothing */
const struct machine_node *machine_node_at(struct machine *m, const char *address);

/* ---- live.c: /sys/kernel/uvfio, the running machine as its programs can ask it ---- */
int machine_live_create(struct machine *m);
void machine_live_destroy(struct machine *m);

/* ---- refused.c: the log says why something was refused ---- */
int machine_refused_create(struct machine *m);
void machine_refused_destroy(struct machine *m);

/* ---- look.c: a consistent-enough picture of the running machine, for list and explain ---- */

struct machine_look {
	struct machine_look *parent; /* the bridge above; NULL: on a root bus */
	struct pci_dev *dev;         /* with a reference */
	const struct machine_node *node; /* what the file said; NULL: not in the file (hot-plugged) */
	struct drv *driver;          /* NULL: none */
	struct iommu_group *group;   /* with a reference; NULL: none */
	unsigned group_id;
	bool last;                   /* of its bus */
};

struct machine_picture {
	struct machine_look *at; /* in the order of the tree: what is below a bridge follows it */
	unsigned n;
};

/** machine_picture_take - look at every function now. -ENOMEM */
int machine_picture_take(struct machine *m, struct machine_picture *p);
/** machine_picture_group - look at the members of one group now; no parents. -ENOENT no such group; -ENOMEM */
int machine_picture_group(struct machine *m, unsigned group_id, struct machine_picture *p);
void machine_picture_drop(struct machine_picture *p);
/** machine_picture_find - by "0000:01:00.0" or "01:00.0"; NULL: none */
struct machine_look *machine_picture_find(struct machine_picture *p, const char *bdf);
/** machine_short_name - without the domain when it is 0000 */
const char *machine_short_name(const struct machine_look *l);
/** machine_what - "edu", "root port": what it is, in a word or two */
const char *machine_what(const struct machine_look *l);
/** machine_acs_text - "SV RR CR UF" into @buf, which is returned */
const char *machine_acs_text(uint8_t flags, char buf[24]);
/** machine_blocks - its driver keeps the group from users */
bool machine_blocks(const struct machine_look *l);

#endif
