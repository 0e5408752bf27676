/* SPDX-License-Identifier: MIT */
/*
 * What kernel a machine plays: a version's abilities, what it was built with, and the devices that are nothing but
 * a driver. A program sees the difference by what its feature detection asks: nodes, parameters, CHECK_EXTENSION,
 * capability chains, errnos.
 *
 * The versions are those after which something that programs can see was new in VFIO (the numbers are in vfio.h);
 * for a version between two of them, take the older one. docs/KERNELS.md has the table.
 */
#include "machine/priv.h"
#include <string.h>

#define SINCE_5_8  VFIO_WITHOUT_DIRTY
#define SINCE_5_10 VFIO_WITHOUT_DMA_AVAIL
#define SINCE_5_12 (VFIO_WITHOUT_UNMAP_ALL | VFIO_WITHOUT_UPDATE_VADDR)
#define SINCE_5_19 VFIO_WITHOUT_DMA_OWNER
#define SINCE_6_2  VFIO_WITHOUT_IOMMUFD
#define SINCE_6_5  VFIO_WITHOUT_DYNAMIC_MSIX
#define SINCE_6_6  VFIO_WITHOUT_CDEV
#define SINCE_6_8  VFIO_WITHOUT_DEBUGFS

static const unsigned lacks[] = {
	[MACHINE_LINUX_7_3] = 0,
	[MACHINE_LINUX_6_2] = SINCE_6_8 | SINCE_6_6 | SINCE_6_5,
	[MACHINE_LINUX_6_1] = SINCE_6_8 | SINCE_6_6 | SINCE_6_5 | SINCE_6_2,
	[MACHINE_LINUX_5_15] = SINCE_6_8 | SINCE_6_6 | SINCE_6_5 | SINCE_6_2 | SINCE_5_19,
	[MACHINE_LINUX_5_10] = SINCE_6_8 | SINCE_6_6 | SINCE_6_5 | SINCE_6_2 | SINCE_5_19 | SINCE_5_12,
	[MACHINE_LINUX_5_8] = SINCE_6_8 | SINCE_6_6 | SINCE_6_5 | SINCE_6_2 | SINCE_5_19 | SINCE_5_12 | SINCE_5_10,
	[MACHINE_DEBIAN_13] = VFIO_WITHOUT_NOIOMMU | VFIO_WITHOUT_IOMMUFD | VFIO_WITHOUT_CDEV |
			      VFIO_WITHOUT_DEBUGFS,
	[MACHINE_LINUX_5_4] = SINCE_6_8 | SINCE_6_6 | SINCE_6_5 | SINCE_6_2 | SINCE_5_19 | SINCE_5_12 | SINCE_5_10 | SINCE_5_8,
};

static unsigned kernel_without(const struct machine_kernel *k)
{
	const struct {
		enum machine_choice choice;
		unsigned what;
	} options[] = {
		{ k->type1, VFIO_WITHOUT_TYPE1 },
		{ k->noiommu, VFIO_WITHOUT_NOIOMMU },
		{ k->dma_ownership, VFIO_WITHOUT_DMA_OWNER },
		{ k->dynamic_msix, VFIO_WITHOUT_DYNAMIC_MSIX },
	};
	unsigned without = lacks[k->version];

	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		if (options[i].choice == MACHINE_YES)
			without &= ~options[i].what;
		else if (options[i].choice == MACHINE_NO)
			without |= options[i].what;
	}
	return without;
}

/* The test interface is one of /dev/iommu's. */
static void check_test(struct machine_check *c)
{
	const struct machine_kernel *k = &c->d->kernel;
	yaml_node_t *map = machine_yaml_get(c->doc, yaml_document_get_root_node(c->doc), "kernel");

	if (k->iommufd_test == MACHINE_YES && (c->d->parameters.vfio.without & VFIO_WITHOUT_IOMMUFD))
		machine_complain_key(c, map, "iommufd_test", "%s has no iommufd to test", machine_version_name(k->version));
}

static void check_emulated(struct machine_check *c)
{
	struct machine_desc *d = c->d;
	yaml_node_t *list = machine_yaml_get(c->doc, yaml_document_get_root_node(c->doc), "emulated");

	for (unsigned i = 0; i < d->emulated_count; i++) {
		const char *name = d->emulated[i].name;
		bool twice = false;

		for (unsigned k = 0; k < i; k++)
			twice |= strcmp(d->emulated[k].name, name) == 0;
		if (twice || !name[0] || strlen(name) > 15 || strpbrk(name, "/ ") || name[0] == '.')
			machine_complain_key(c, machine_yaml_item(c->doc, list, i), "name",
					     "\"%s\": expected a name of its own, at most 15 characters, without space or slash",
					     name);
	}
}

void machine_kernel_check(struct machine_check *c)
{
	c->d->parameters.vfio.without = kernel_without(&c->d->kernel);
	check_test(c);
	check_emulated(c);
}

int machine_emulated_create(struct machine *m)
{
	const struct machine_desc *d = m->desc;
	int rc = 0;

	m->emulated = calloc(d->emulated_count + 1, sizeof(struct vfio_emu *));
	if (!m->emulated)
		return -ENOMEM;
	for (unsigned i = 0; !rc && i < d->emulated_count; i++)
		rc = vfio_emu_create(m->vfio, m->tree, m->mem, d->emulated[i].name, d->emulated[i].deaf,
				     &m->emulated[i]);
	return rc;
}

void machine_emulated_destroy(struct machine *m)
{
	for (unsigned i = 0; m->emulated && m->emulated[i]; i++)
		vfio_emu_destroy(m->emulated[i]);
	free(m->emulated);
}
