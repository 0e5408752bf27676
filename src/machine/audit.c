/* SPDX-License-Identifier: MIT */
/*
 * The audit of bridge drivers (spec 10, 2.6). A bridge is a member of the group of what is below it when it does not
 * keep it apart, so its driver works inside the group that a user gets. A driver that is "managed" vouches for two things:
 *
 *	it does no DMA: the group's DMA is the user's, mappings of the kernel are not there any more;
 *	it maps no registers: the user's devices can write to them peer to peer, past the IOMMU, and what the driver
 *	reads back is what the user wants it to read.
 *
 * Drivers of other functions are not looked at: to be given to users is what some are for.
 */
#include "machine/desc.h"
#include "machine/machine.h"
#include <string.h>

#define CLASS_BRIDGE 0x060400u

static bool yes(enum machine_choice c)
{
	return c == MACHINE_YES;
}

/* Does it take bridges by what they are? */
static bool matches_class(const struct machine_driver *r)
{
	for (unsigned i = 0; i < r->match_count; i++) {
		const struct drv_id *id = &r->table[i];

		if (id->class_mask && !((id->class_code ^ CLASS_BRIDGE) & id->class_mask & 0xffff00))
			return true;
	}
	return false;
}

struct search {
	const struct machine_driver *r;
	bool found;
};

static bool matches_ids(const struct machine_driver *r, const struct machine_node *n)
{
	for (unsigned i = 0; i < r->match_count; i++) {
		const struct drv_id *id = &r->table[i];

		if (!id->class_mask && n->pci.vendor == id->vendor &&
		    (id->device == DRV_ANY_ID || n->pci.device == id->device))
			return true;
	}
	return false;
}

static int look(struct machine_node *n, void *ctx)
{
	struct search *s = ctx;

	if (n->pci.bridge && ((n->bind && strcmp(n->bind, s->r->name) == 0) || matches_ids(s->r, n)))
		s->found = true;
	return s->found;
}

bool machine_audit_driver(const struct machine_desc *d, const struct machine_driver *r)
{
	struct search s = { .r = r, .found = matches_class(r) };

	if (!yes(r->managed) || (!yes(r->does_dma) && !yes(r->maps_mmio)))
		return false;
	machine_for_each((struct machine_desc *)d, look, &s);
	return s.found;
}

const char *machine_audit_why(const struct machine_driver *r)
{
	if (yes(r->does_dma) && yes(r->maps_mmio))
		return "it does DMA, which a user's mappings would take from it, and maps registers, which a user's "
		       "devices "
		       "could write to peer to peer";
	if (yes(r->does_dma))
		return "it does DMA, which a user's mappings would take from it";
	return "it maps registers, which a user's devices could write to peer to peer";
}

unsigned machine_desc_audit(const struct machine_desc *d, FILE *out)
{
	unsigned found = 0;

	for (unsigned i = 0; i < d->drivers_count; i++) {
		const struct machine_driver *r = &d->drivers[i];

		if (!machine_audit_driver(d, r))
			continue;
		found++;
		fprintf(out,
			"%s:%u: warning: driver \"%s\" of bridges says that users may have its group (managed: yes), "
			"but "
			"%s\n"
			"  say managed: no, or does_dma: no and maps_mmio: no once it is so\n",
			d->file, r->line, r->name, machine_audit_why(r));
	}
	return found;
}
