/* SPDX-License-Identifier: MIT */
/*
 * Why a group can or cannot be given to a user now, in words: who stands in the way, who does not although one might
 * think so, why the members are one group, and the commands that change it.
 */
#include "machine/priv.h"
#include <string.h>
#include <time.h>

struct explain {
	struct machine *m;
	struct machine_picture picture;
	struct machine_look *asked;      /* the function asked for, NULL: a group was */
	struct machine_look **member;
	unsigned n;
	FILE *out;
};

static bool is_vfio(const struct machine_look *l)
{
	return l->driver && strcmp(l->driver->name, "vfio-pci") == 0;
}

static bool in_group(const struct explain *e, const struct machine_look *l)
{
	return l->group && e->n && l->group == e->member[0]->group;
}

/* ---- who stands in the way ---- */

static void tell_blocker(struct explain *e, const struct machine_look *l)
{
	const struct drv *d = l->driver;

	fprintf(e->out, "  %s (%04x:%04x) is bound to \"%s\", ", machine_short_name(l), l->dev->vendor, l->dev->device,
		d->name);
	if (d->uses_dma)
		fputs("which does DMA through the kernel: the group would have two owners.\n", e->out);
	else if (d->maps_mmio)
		fputs("which has its registers mapped: a user of the group could write to them peer to peer.\n",
		      e->out);
	else
		fputs("which does not declare driver_managed_dma: it counts as a user of kernel DMA.\n", e->out);
}

static void tell_harmless(struct explain *e, const struct machine_look *l)
{
	if (!l->driver)
		fprintf(e->out, "  %s has no driver: that is fine.\n", machine_short_name(l));
	else if (is_vfio(l))
		fprintf(e->out, "  %s is bound to vfio-pci: that is fine.\n", machine_short_name(l));
	else
		fprintf(e->out, "  %s is bound to %s: that is fine, %s does no DMA of its own.\n",
			machine_short_name(l), l->driver->name, l->driver->name);
}

/* ---- why they are one group ---- */

/* "a, b and c" of the members for which @pick holds; returns how many */
static unsigned tell_names(struct explain *e, bool (*pick)(const struct machine_look *l, const void *arg),
			   const void *arg)
{
	unsigned n = 0, i, left = 0;

	for (i = 0; i < e->n; i++)
		left += pick(e->member[i], arg);
	for (i = 0; i < e->n; i++) {
		if (!pick(e->member[i], arg))
			continue;
		left--;
		fprintf(e->out, "%s%s", n == 0 ? "" : left ? ", " : " and ", machine_short_name(e->member[i]));
		n++;
	}
	return n;
}

static unsigned count(struct explain *e, bool (*pick)(const struct machine_look *l, const void *arg), const void *arg)
{
	unsigned n = 0;

	for (unsigned i = 0; i < e->n; i++)
		n += pick(e->member[i], arg);
	return n;
}

static bool is_below(const struct machine_look *l, const void *bridge)
{
	for (l = l->parent; l; l = l->parent) {
		if (l == bridge)
			return true;
	}
	return false;
}

static bool same_slot(const struct machine_look *l, const void *other)
{
	const struct machine_look *o = other;

	return l->dev->bus == o->dev->bus && l->dev->devfn >> 3 == o->dev->devfn >> 3;
}

static bool conventional_bridge(const struct machine_look *l)
{
	return l->dev->bridge && (l->dev->type == PCI_PCIE_TO_PCI || l->dev->type == PCI_CONVENTIONAL);
}

/* A bridge that does not keep apart what is below it. Returns whether something was said. */
static bool tell_bridge(struct explain *e, const struct machine_look *l)
{
	uint8_t missing = pci_acs_missing(l->dev);
	char flags[24];
	unsigned n = count(e, is_below, l);

	if (!missing || !n || !l->dev->bridge)
		return false;
	fputs("  ", e->out);
	tell_names(e, is_below, l);
	if (conventional_bridge(l)) {
		fprintf(e->out,
			" %s behind the %s %s,\n  which passes their requests on as its own: the IOMMU cannot tell "
			"them apart.\n",
			n > 1 ? "share a group because they are" : "shares the group of the bridge because it is",
			machine_what(l), machine_short_name(l));
		return true;
	}
	fprintf(e->out, " %s because %s %s %s (missing: %s),\n",
		n > 1 ? "share a group" : "shares the group of what is above", machine_what(l), machine_short_name(l),
		pci_find_ext_cap(l->dev, PCI_EXT_CAP_ID_ACS) ? "has ACS not all on" : "has no ACS",
		machine_acs_text(missing, flags));
	if (n > 1)
		fputs("  so either could reach the other's memory peer to peer.\n", e->out);
	else
		fputs("  so requests may be turned round there, past the IOMMU.\n", e->out);
	return true;
}

static void tell_why(struct explain *e)
{
	bool said = false;

	if (e->n < 2)
		return;
	for (unsigned i = 0; i < e->picture.n; i++)
		said |= tell_bridge(e, &e->picture.at[i]);
	for (unsigned i = 0; i < e->n; i++) {
		struct machine_look *l = e->member[i];

		if (l->dev->devfn & 7 || count(e, same_slot, l) < 2 || !pci_acs_missing(l->dev))
			continue;
		fputs("  ", e->out);
		tell_names(e, same_slot, l);
		fputs(" are functions of one device without ACS: they could reach each other inside it.\n", e->out);
		said = true;
	}
	if (!said) {
		fputs("  ", e->out);
		tell_names(e, same_slot, e->member[0]);
		fputs(" were put together with the others when they were found (or use each other's requester ids).\n",
		      e->out);
	}
}

/* ---- what to do ---- */

static void tell_bind(struct explain *e, const struct machine_look *l)
{
	fprintf(e->out,
		"  echo vfio-pci > /sys/bus/pci/devices/%s/driver_override && echo %s > /sys/bus/pci/drivers_probe\n",
		l->dev->dev.name, l->dev->dev.name);
}

static void tell_commands(struct explain *e)
{
	char line[160];

	fputs("To give the group to a user:\n", e->out);
	for (unsigned i = 0; i < e->n; i++) {
		struct machine_look *l = e->member[i];

		if (!machine_blocks(l))
			continue;
		snprintf(line, sizeof(line), "echo %s > /sys/bus/pci/drivers/%s/unbind", l->dev->dev.name,
			 l->driver->name);
		fprintf(e->out, "  %-62s # %s\n", line, l->dev->bridge ? "a bridge can stay driverless" :
			l == e->asked ? "its host driver lets go, then" : "then it stays driverless, or");
		if (!l->dev->bridge && l != e->asked)
			tell_bind(e, l);
	}
	for (unsigned i = 0; i < e->n; i++) {
		struct machine_look *l = e->member[i];

		if (l == e->asked && !l->dev->bridge && !is_vfio(l))
			tell_bind(e, l);
	}
}

/* A port that would keep what is below it to itself. */
static const struct machine_look *isolating_port(struct explain *e)
{
	for (unsigned i = 0; i < e->picture.n; i++) {
		const struct machine_look *l = &e->picture.at[i];
		bool apart = l->dev->type == PCI_ROOT_PORT || l->dev->type == PCI_DOWNSTREAM;

		for (; apart && l; l = l->parent)
			apart = !pci_acs_missing(l->dev);
		if (apart && !in_group(e, &e->picture.at[i]))
			return &e->picture.at[i];
	}
	return NULL;
}

static void tell_alone(struct explain *e)
{
	const struct machine_look *port = e->n > 1 && e->asked && !e->asked->dev->bridge ? isolating_port(e) : NULL;

	if (port)
		fprintf(e->out, "To have %s alone: put it by itself below %s, which has ACS.\n",
			machine_short_name(e->asked), machine_short_name(port));
}

/* ---- the verdicts ---- */

static void tell_user(struct explain *e, unsigned id, const struct vfio_user *u)
{
	time_t t = u->since / 1000000000;
	struct tm tm;
	char when[16] = "?";

	if (localtime_r(&t, &tm))
		strftime(when, sizeof(when), "%H:%M:%S", &tm);
	fprintf(e->out, "Group %u is in use.\n  %s (pid %d) has %s open since %s", id, u->comm, (int)u->pid, u->node,
		when);
	fprintf(e->out, "%s: a group has one user at a time.\n", u->device_open ? ", and a device of it" : "");
	fprintf(e->out, "To give the group to another: end that program, or let it close %s and its devices.\n",
		u->node);
}

/* What would still stop a user who opens a free group. Returns whether something would. */
static bool tell_hardware(struct explain *e, unsigned id)
{
	const struct iommu_unit *u = iommu_dev_unit(e->member[0]->dev->iommu);
	struct iommu_resv *resv = NULL;
	int n = iommu_group_resv(e->member[0]->group, &resv);
	bool direct = false;

	for (int i = 0; i < n; i++)
		direct |= resv[i].type == IOMMU_RESV_DIRECT;
	free(resv);
	if (direct) {
		fprintf(e->out,
			"Group %u cannot be given to a user.\n  The firmware wants a direct mapping for it "
			"(reserved_regions says where), "
			"which no user may replace.\n",
			id);
		return true;
	}
	if (u && !u->msi_isolated && !e->m->desc->parameters.vfio.type1_allow_unsafe_interrupts) {
		fprintf(e->out,
			"Group %u cannot be given to a user now.\n  IOMMU %s does not remap interrupts: a device could "
			"fake any "
			"interrupt of the machine.\nTo allow it nevertheless:\n"
			"  echo Y > /sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts\n",
			id, u->name);
		return true;
	}
	return false;
}

static void tell_free(struct explain *e, unsigned id)
{
	unsigned vfio = 0, bridges = 0;

	for (unsigned i = 0; i < e->n; i++) {
		vfio += is_vfio(e->member[i]);
		bridges += e->member[i]->dev->bridge;
	}
	if (bridges == e->n) {
		fprintf(e->out, "Group %u has only bridges: nothing to give to a user.\n", id);
	} else if (iommu_group_name(e->member[0]->group)) {
		fprintf(e->out,
			"Group %u is free: a program with CAP_SYS_RAWIO can open /dev/vfio/noiommu-%u.\n"
			"  It is behind no IOMMU: nothing confines its DMA.\n",
			id, id);
	} else if (vfio) {
		fprintf(e->out, "Group %u is free: a program can open /dev/vfio/%u.\n", id, id);
	} else {
		fprintf(e->out,
			"Group %u could be given to a user, but none of its functions is bound to vfio-pci, so there "
			"is no "
			"/dev/vfio/%u.\n",
			id, id);
	}
	for (unsigned i = 0; i < e->n; i++)
		tell_harmless(e, e->member[i]);
	tell_why(e);
	if (e->asked && !is_vfio(e->asked) && !e->asked->dev->bridge) {
		fprintf(e->out, "To give %s to a user:\n", machine_short_name(e->asked));
		if (e->asked->driver)
			fprintf(e->out, "  echo %s > /sys/bus/pci/drivers/%s/unbind\n", e->asked->dev->dev.name,
				e->asked->driver->name);
		tell_bind(e, e->asked);
	}
}

static void tell_group(struct explain *e)
{
	unsigned id = e->member[0]->group_id, blockers = 0;
	struct vfio_user user;

	if (vfio_user_of(e->m->vfio, id, &user) && user.group_open) {
		tell_user(e, id, &user);
		return;
	}
	for (unsigned i = 0; i < e->n; i++)
		blockers += machine_blocks(e->member[i]);
	if (!blockers) {
		if (!tell_hardware(e, id))
			tell_free(e, id);
		tell_alone(e);
		return;
	}
	fprintf(e->out, "Group %u cannot be given to a user now.\n", id);
	for (unsigned i = 0; i < e->n; i++) {
		if (machine_blocks(e->member[i]))
			tell_blocker(e, e->member[i]);
	}
	tell_why(e);
	for (unsigned i = 0; i < e->n; i++) {
		if (!machine_blocks(e->member[i]))
			tell_harmless(e, e->member[i]);
	}
	tell_commands(e);
	tell_alone(e);
}

/* ---- finding what was asked for ---- */

static int find(struct explain *e, const char *what)
{
	struct iommu_group *group = NULL;
	unsigned long id;
	char *end;

	e->asked = machine_picture_find(&e->picture, what);
	if (e->asked) {
		group = e->asked->group;
	} else {
		id = strtoul(what, &end, 10);
		if (end == what || *end)
			return -ENODEV;
		for (unsigned i = 0; i < e->picture.n && !group; i++) {
			if (e->picture.at[i].group && e->picture.at[i].group_id == id)
				group = e->picture.at[i].group;
		}
		if (!group)
			return -ENODEV;
	}
	e->member = calloc(e->picture.n + 1, sizeof(*e->member));
	if (!e->member)
		return -ENOMEM;
	for (unsigned i = 0; i < e->picture.n && group; i++) {
		if (e->picture.at[i].group == group)
			e->member[e->n++] = &e->picture.at[i];
	}
	return 0;
}

int machine_explain(struct machine *m, const char *what, FILE *out)
{
	struct explain e = { .m = m, .out = out };
	int rc = machine_picture_take(m, &e.picture);

	if (rc)
		return rc;
	rc = find(&e, what);
	if (!rc && e.n)
		tell_group(&e);
	else if (!rc)
		fprintf(out,
			"%s is in no group: it is behind no IOMMU, so nothing confines its DMA, and it cannot be given "
			"to a user.\n"
			"Give it one: leave \"iommu: none\" out of the machine file.\n%s",
			machine_short_name(e.asked),
			m->desc->parameters.vfio.without & VFIO_WITHOUT_NOIOMMU
				? ""
				: "Or do without: echo Y > /sys/module/vfio/parameters/enable_unsafe_noiommu_mode, "
				  "then bind it to vfio-pci.\n");
	free(e.member);
	machine_picture_drop(&e.picture);
	return rc;
}
