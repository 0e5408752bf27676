/* SPDX-License-Identifier: MIT */
/* What the files of explain share: the question, and the sentences. */
#ifndef UVFIO_MACHINE_EXPLAIN_H
#define UVFIO_MACHINE_EXPLAIN_H

#include "machine/priv.h"

struct explain {
	struct machine *m;
	struct machine_picture picture;
	struct machine_look *asked;      /* the function asked for, NULL: a group was */
	struct machine_look **member;
	unsigned n;
	FILE *out;
};

/* ---- explain.c ---- */
bool explain_is_vfio(const struct machine_look *l);
/** explain_find_members - those of the picture that are in @group */
int explain_find_members(struct explain *e, struct iommu_group *group);
/** explain_blockers - a line or two for each member whose driver is in the way; how many */
unsigned explain_blockers(struct explain *e);
/** explain_commands - what to type so that a user can have the group */
void explain_commands(struct explain *e);
/** explain_holder - who has the group's node open; a line */
void explain_holder(const struct vfio_user *u, FILE *out);
/** explain_hardware - what no command of a driver changes; false: nothing is wrong */
bool explain_hardware(struct explain *e);

/* ---- explain_why.c ---- */
/** explain_why - why the members are one group, or why one is alone that might not be expected to be */
void explain_why(struct explain *e);
/** explain_apart - what would part the function asked for from the others */
void explain_apart(struct explain *e);
/** explain_count - members for which @pick holds */
unsigned explain_count(struct explain *e, bool (*pick)(const struct machine_look *l, const void *arg), const void *arg);

/* ---- explain_bind.c ---- */
/** explain_vfio_refuses - why vfio-pci does not take a function; false: it does, nothing is said */
bool explain_vfio_refuses(struct machine *m, struct pci_dev *d, FILE *out);
/** explain_driverless - which host driver would take it, and what keeps it off; @owned: a user has the group */
void explain_driverless(struct machine *m, struct pci_dev *d, bool owned, FILE *out);
/** explain_override - does driver_override keep all drivers but @driver away? Says so. */
bool explain_override(struct pci_dev *d, const char *driver, FILE *out);

#endif
