/* SPDX-License-Identifier: MIT */
/*
 * A machine file in memory. The first part of each struct is what the file says, filled in by libcyaml
 * (schema.c); the part below the line is what check.c makes of it, ready for create.c.
 */
#ifndef UVFIO_MACHINE_DESC_H
#define UVFIO_MACHINE_DESC_H

#include "base/defs.h"
#include "pci/pci.h"
#include "vfio/pci/vfio_pci.h"
#include "vfio/vfio.h"
#include <cyaml/cyaml.h>
#include <stdio.h>
#include <yaml.h>

/* Strings of libcyaml have no useful upper bound but this. */
#define MACHINE_STRING_MAX 1000

/* yes, no, or as the rest of the description has it */
enum machine_choice { MACHINE_DEFAULT, MACHINE_YES, MACHINE_NO };

enum machine_kind {
	MACHINE_FUNCTION,     /* an endpoint, with a model */
	MACHINE_HOST_BRIDGE,  /* a root bus, and its function 00.0 */
	MACHINE_ROOT_PORT,
	MACHINE_UPSTREAM,
	MACHINE_DOWNSTREAM,
	MACHINE_PCIE_TO_PCI,
	MACHINE_PCI_TO_PCIE,
	MACHINE_PCI_BRIDGE,   /* conventional to conventional */
	MACHINE_EVENT_COLLECTOR,
};

enum machine_unit_kind { MACHINE_INTEL, MACHINE_AMD, MACHINE_SMMU };

struct machine_unit {
	char *name;
	enum machine_unit_kind kind;
	unsigned width;
	char **page_sizes;
	unsigned page_sizes_count;
	enum machine_choice coherent, enforce_coherency, interrupt_remapping, dirty_tracking, nesting, acs;
	char *default_domain;
	char **reserved;
	unsigned reserved_count;
	/* ---- */
	yaml_node_t *yaml;
	struct iommu_unit unit;
};

struct machine_driver {
	char *name, *what;
	char **match;
	unsigned match_count;
	enum machine_choice does_dma, maps_mmio, managed, sriov;
	char *probe; /* an errno's name; NULL: probing works */
	char *needs; /* the driver that must have a device before this one's probing works; NULL: none */
	/* ---- */
	yaml_node_t *yaml;
	unsigned line;
	struct drv_id *table; /* match_count entries and the end */
	int probe_error; /* 0 or -errno */
};

/* Virtual functions a function can have at run time. */
struct machine_sriov {
	unsigned vfs, offset, stride;
	char *model, *ids;
	char **args;
	unsigned args_count;
};

/* A capability by its bytes. */
struct machine_capability {
	unsigned id, at, version;
	char *bytes, *write, *clear; /* hexadecimal */
};

struct machine_node {
	enum machine_kind kind;
	char *at, *bus, *name, *model;
	char **args;
	unsigned args_count;
	char *ids, *class_code, *acs, *acs_quirk, *iommu, *bind, *physfn;
	enum machine_choice multifunction, integrated, present;
	bool shpc, ats, pri, untrusted;
	unsigned pasid;              /* bits */
	char *atomics;               /* "32,64,128" */
	struct machine_capability *capabilities;
	unsigned capabilities_count;
	struct machine_sriov *sriov;
	char **reserved;
	unsigned reserved_count;
	struct machine_node *below;
	unsigned below_count;
	/* ---- */
	yaml_node_t *yaml;
	struct machine_node *parent; /* NULL: a host bridge */
	char address[16];            /* "0000:01:00.0" */
	uint8_t number;              /* the bus it is on; of a host bridge: its root bus */
	uint8_t secondary;           /* bridges: the bus below */
	struct machine_node **order; /* below, by slot and function */
	const struct iommu_unit *unit;
	struct pci_model shape;      /* the model as the args have it */
	const char **shape_args;     /* args, NULL-terminated */
	struct iommu_resv *resv;
	struct pci_cap_desc *caps;
	uint8_t *cap_bytes;          /* that they point to */
	struct pci_dev_desc pci;
	struct machine_node *virtual; /* what one of sriov is; NULL: none */
	struct pci_sriov_desc vfs;
};

struct machine_parameters {
	struct vfio_params vfio;
	struct vfio_pci_params vfio_pci;
	/* what libcyaml can fill; check.c copies it above */
	enum machine_choice unsafe_interrupts, disable_hugepages, noiommu;
	unsigned dma_entry_limit;
	char *ids, *stub_ids;
	char *config_acs, *disable_acs_redir;
	enum machine_choice passthrough, strict;
	enum machine_choice nointxmask, disable_idle_d3, enable_sriov, disable_denylist, disable_vga;
};

/* Linux, as VFIO showed itself from this version on */
enum machine_version {
	MACHINE_LINUX_7_3,
	MACHINE_LINUX_6_2,
	MACHINE_LINUX_6_1,
	MACHINE_LINUX_5_15,
	MACHINE_LINUX_5_10,
	MACHINE_LINUX_5_8,
	MACHINE_LINUX_5_4,
	MACHINE_DEBIAN_13, /* as distributed: 7.3 without what is unsafe or new */
};

struct machine_kernel {
	enum machine_version version;
	enum machine_choice type1, noiommu, dma_ownership, dynamic_msix; /* built in; default: as the version has it */
	enum machine_choice iommufd_test; /* the test interface; default: no */
};

/* What a load from a mapped BAR comes to while memory is disabled */
enum machine_blocked { MACHINE_SIGBUS, MACHINE_ALL_ONES };

/* A software device that does no DMA (vfio/emulated). */
struct machine_emulated {
	char *name;
	bool deaf; /* is not told of unmaps */
};

struct machine_desc {
	char *name;
	struct machine_kernel kernel;
	struct machine_parameters parameters;
	enum machine_blocked blocked_access;
	struct machine_unit *iommus;
	unsigned iommus_count;
	struct machine_driver *drivers;
	unsigned drivers_count;
	struct machine_node *devices;
	unsigned devices_count;
	struct machine_emulated *emulated;
	unsigned emulated_count;
	/* ---- */
	struct ref ref;              /* the reader's, and one of each machine built from it */
	char *file;
	struct iommu_unit default_unit; /* when the file names none */
};

/** machine_desc_get - for a machine that goes on using the description; machine_desc_free() gives it back */
struct machine_desc *machine_desc_get(const struct machine_desc *d);

/* ---- schema.c ---- */
extern const struct cyaml_schema_value machine_schema;

/* ---- yamldoc.c: what is wrong with a document, and where ---- */

#define MACHINE_ERRORS_MAX 25

struct machine_errors {
	const char *file;
	FILE *out;
	unsigned count;
};

/** machine_complain - one line "FILE:LINE:COL: ..." at a place of the document */
void machine_complain(struct machine_errors *e, const yaml_mark_t *mark, const char *fmt, ...) PRINTF(3, 4);
/** machine_yaml_get - the value of a key of a mapping; NULL: not there */
yaml_node_t *machine_yaml_get(yaml_document_t *doc, const yaml_node_t *map, const char *key);
/** machine_yaml_item - an item of a sequence */
yaml_node_t *machine_yaml_item(yaml_document_t *doc, const yaml_node_t *seq, unsigned index);
/**
 * machine_yaml_check - compare a document with the schema: unknown, missing and repeated keys, words that are no
 * numbers, lists that are none, aliases that contain themselves
 */
void machine_yaml_check(struct machine_errors *e, yaml_document_t *doc, const struct cyaml_schema_value *schema);

/* ---- check.c ---- */

struct machine_check {
	struct machine_errors *errors;
	yaml_document_t *doc;
	struct machine_desc *d;
};

/** machine_desc_check - the meaning: addresses, models, drivers; fills in the lower parts */
void machine_desc_check(struct machine_check *c);
/** machine_parts_check - parameters, IOMMU units, drivers (checkparts.c) */
void machine_parts_check(struct machine_check *c);
/** machine_read_hex - 1 to @digits hex digits, stepping over them; false: there is none */
bool machine_read_hex(const char **text, unsigned digits, uint32_t *out);
/** machine_resv_parse - "0xfd000000-0xfdffffff direct" */
bool machine_resv_parse(const char *text, struct iommu_resv *r);
#define MACHINE_RESV_EXPECTED "expected FIRST-LAST and direct, direct-relaxable, reserved, msi or sw-msi"
/** machine_kernel_check - the kernel and the emulated devices (kernel.c) */
void machine_kernel_check(struct machine_check *c);
/** machine_node_check - one function or bridge, but for its place in the tree (checknode.c) */
void machine_node_check(struct machine_check *c, struct machine_node *n);
/** machine_capabilities_check - those given by their bytes (checkcaps.c); the node's type is known */
void machine_capabilities_check(struct machine_check *c, struct machine_node *n);
/** machine_complain_key - complain at the value of @key of @map, or at @map */
void machine_complain_key(struct machine_check *c, const yaml_node_t *map, const char *key, const char *fmt, ...)
	PRINTF(4, 5);
/** machine_complain_item - complain at item @index of the list @key of @map */
void machine_complain_item(struct machine_check *c, const yaml_node_t *map, const char *key, unsigned index,
			   const char *fmt, ...) PRINTF(5, 6);
/** machine_node_label - its name, model or kind, for messages */
const char *machine_node_label(const struct machine_node *n);
/** machine_node_bridge - has a bus below */
bool machine_node_bridge(const struct machine_node *n);
/** machine_for_each - every node, depth first in scan order, parents first; stops when @fn returns non-zero */
int machine_for_each(struct machine_desc *d, int (*fn)(struct machine_node *n, void *ctx), void *ctx);
/** machine_audit_driver - is @r a driver of bridges that is called harmless and is not? (audit.c) */
bool machine_audit_driver(const struct machine_desc *d, const struct machine_driver *r);
/** machine_audit_why - what makes it unsafe, in a few words */
const char *machine_audit_why(const struct machine_driver *r);
/** machine_kind_name - as machine files write it */
const char *machine_kind_name(enum machine_kind kind);
const char *machine_version_name(enum machine_version version);

#endif
