/* SPDX-License-Identifier: MIT */
/*
 * Why a group can or cannot be given to a user now, in words: who stands in the way, who does not although one might
 * think so, why the members are one group, and the commands that change it. The question is what Linux's VFIO asks when
 * a program opens, sets a container or binds; each of its refusals has its sentence here, in explain_bind.c or, when it
 * is refused to somebody, in refused.c.
 */
#include "machine/explain.h"
#include <string.h>
#include <time.h>

bool explain_is_vfio(const struct machine_look *l)
{
	return l->driver && vfio_pci_is(l->driver);
}

/* ---- who stands in the way ---- */

static void tell_blocker(struct explain *e, const struct machine_look *l)
{
	static const char reach[] = "a user's devices could write to them peer to peer, past the IOMMU";
	const struct drv *d = l->driver;

	fprintf(e->out, "  %s (%04x:%04x) is bound to \"%s\", ", machine_short_name(l), l->dev->vendor, l->dev->device,
		d->name);
	if (d->uses_dma)
		fputs("which does DMA through the kernel: the group would have two owners.\n", e->out);
	else if (d->maps_mmio)
		fprintf(e->out, "which maps registers: %s.\n", reach);
	else
		fputs("which does neither DMA nor map registers, but nobody has vouched for that "
		      "(driver_managed_dma):\n"
		      "    the kernel counts it as a user of DMA.\n", e->out);
	if (d->uses_dma && d->maps_mmio)
		fprintf(e->out, "    It maps registers too: %s.\n", reach);
}

unsigned explain_blockers(struct explain *e)
{
	unsigned n = 0;

	for (unsigned i = 0; i < e->n; i++) {
		if (machine_blocks(e->member[i])) {
			tell_blocker(e, e->member[i]);
			n++;
		}
	}
	return n;
}

static void tell_harmless(struct explain *e, const struct machine_look *l)
{
	const char *name = machine_short_name(l);

	if (!l->driver)
		fprintf(e->out, "  %s has no driver: that is fine.\n", name);
	else if (explain_is_vfio(l))
		fprintf(e->out, "  %s is bound to %s: that is fine, it is for users.\n", name, l->driver->name);
	else if (strcmp(l->driver->name, "pci-stub") == 0)
		fprintf(e->out, "  %s is bound to pci-stub: that is fine, it leaves the function alone.\n", name);
	else if (l->driver->uses_dma || l->driver->maps_mmio)
		fprintf(e->out, "  %s is bound to %s, which is let pass (managed) although it %s: uvfio check warns "
				"of it.\n",
			name, l->driver->name, l->driver->uses_dma ? "does DMA" : "maps registers");
	else
		fprintf(e->out, "  %s is bound to %s: that is fine, %s does no DMA of its own and maps no "
				"registers.\n", name,
			l->driver->name, l->driver->name);
}

/* ---- what to do ---- */

static void tell_bind(FILE *out, const struct machine_look *l, const char *driver)
{
	fprintf(out, "  echo %s > /sys/bus/pci/devices/%s/driver_override && echo %s > "
		     "/sys/bus/pci/drivers_probe\n", driver,
		l->dev->dev.name, l->dev->dev.name);
}

static void tell_unbind(struct explain *e, const struct machine_look *l)
{
	char line[160];
	const char *then = "then it stays driverless, or";

	if (l->dev->bridge)
		then = "a bridge works without a driver; or with one that is harmless:";
	else if (l == e->asked)
		then = "its host driver lets go, then";
	snprintf(line, sizeof(line), "echo %s > /sys/bus/pci/drivers/%s/unbind", l->dev->dev.name, l->driver->name);
	fprintf(e->out, "  %-62s # %s\n", line, then);
}

void explain_commands(struct explain *e)
{
	fputs("To give the group to a user:\n", e->out);
	for (unsigned i = 0; i < e->n; i++) {
		struct machine_look *l = e->member[i];

		if (!machine_blocks(l))
			continue;
		tell_unbind(e, l);
		if (l->dev->bridge)
			tell_bind(e->out, l, "pci-stub");
		else if (l != e->asked)
			tell_bind(e->out, l, "vfio-pci");
	}
	if (e->asked && !e->asked->dev->bridge && !explain_is_vfio(e->asked) &&
	    !explain_vfio_refuses(e->m, e->asked->dev, e->out))
		tell_bind(e->out, e->asked, "vfio-pci");
}

/* ---- the verdicts ---- */

void explain_holder(const struct vfio_user *u, FILE *out)
{
	time_t t = u->since / 1000000000;
	struct tm tm;
	char when[16] = "?";

	if (localtime_r(&t, &tm))
		strftime(when, sizeof(when), "%H:%M:%S", &tm);
	fprintf(out, "  %s (pid %d) has %s open since %s%s: a group has one user at a time.\n", u->comm, (int)u->pid,
		u->node, when, u->device_open ? ", and a device of it" : "");
}

static void tell_user(struct explain *e, unsigned id, const struct vfio_user *u)
{
	fprintf(e->out, "Group %u is in use.\n", id);
	explain_holder(u, e->out);
	for (unsigned i = 0; i < e->n; i++) {
		if (!e->member[i]->driver)
			explain_driverless(e->m, e->member[i]->dev, iommu_group_claimed(e->member[i]->group), e->out);
	}
	fprintf(e->out, "To give the group to another: end that program, or let it close %s and its "
			"devices.\n", u->node);
}

/* The IOMMU of a member that could fake interrupts */
static const struct iommu_unit *unsafe_unit(struct explain *e)
{
	for (unsigned i = 0; i < e->n; i++) {
		const struct iommu_unit *u = iommu_dev_unit(e->member[i]->dev->iommu);

		if (u && !u->msi_isolated)
			return u;
	}
	return NULL;
}

bool explain_hardware(struct explain *e)
{
	const struct machine_look *first = e->member[0];
	const struct iommu_unit *u = unsafe_unit(e);
	AUTO_FREE struct iommu_resv *resv = NULL;
	int n = iommu_group_resv(first->group, &resv);

	for (int i = 0; i < n; i++) {
		if (resv[i].type != IOMMU_RESV_DIRECT)
			continue;
		fprintf(e->out,
			"  Firmware wants 0x%llx-0x%llx mapped one to one for it at all times (\"direct\" in "
			"reserved_regions),\n"
			"  and a user's group is cut off first: the claim is EINVAL. No command changes that; another "
			"device "
			"is needed,\n  or \"direct-relaxable\" in the machine file if firmware only wants it during "
			"boot.\n",
			(unsigned long long)resv[i].start, (unsigned long long)resv[i].last);
		return true;
	}
	if (u && !vfio_unsafe_interrupts(e->m->vfio)) {
		fprintf(e->out,
			"  IOMMU %s does not remap interrupts: a device could fake any interrupt of the machine, so "
			"SET_IOMMU "
			"is EPERM.\nTo allow it nevertheless:\n"
			"  echo Y > /sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts\n",
			u->name);
		return true;
	}
	return false;
}

/* The group's own state is fine: what of the function that was asked for? */
static void tell_asked(struct explain *e)
{
	struct machine_look *l = e->asked;

	if (explain_is_vfio(l) || explain_vfio_refuses(e->m, l->dev, e->out) || l->dev->bridge)
		return;
	if (!l->driver)
		explain_driverless(e->m, l->dev, false, e->out);
	explain_override(l->dev, "vfio-pci", e->out);
	fprintf(e->out, "To give %s to a user:\n", machine_short_name(l));
	if (l->driver)
		fprintf(e->out, "  echo %s > /sys/bus/pci/drivers/%s/unbind\n", l->dev->dev.name, l->driver->name);
	tell_bind(e->out, l, "vfio-pci");
}

static void tell_free(struct explain *e, unsigned id)
{
	unsigned vfio = 0, bridges = 0;

	for (unsigned i = 0; i < e->n; i++) {
		vfio += explain_is_vfio(e->member[i]);
		bridges += e->member[i]->dev->bridge;
	}
	if (bridges == e->n)
		fprintf(e->out, "Group %u has only bridges: nothing to give to a user.\n", id);
	else if (vfio)
		fprintf(e->out, "Group %u is free: a program can open /dev/vfio/%u.\n", id, id);
	else
		fprintf(e->out,
			"Group %u could be given to a user, but none of its functions is bound to vfio-pci, so there "
			"is no "
			"/dev/vfio/%u.\n",
			id, id);
	for (unsigned i = 0; i < e->n; i++)
		tell_harmless(e, e->member[i]);
	explain_why(e);
	if (e->asked)
		tell_asked(e);
}

static void tell_group(struct explain *e)
{
	unsigned id = e->member[0]->group_id, blockers = 0;
	struct vfio_user user;

	if (vfio_user_of(e->m->vfio, id, &user) && user.group_open) {
		tell_user(e, id, &user);
		return;
	}
	if (iommu_group_name(e->member[0]->group)) {
		fprintf(e->out,
			"Group %u is free: a program with CAP_SYS_RAWIO can open /dev/vfio/noiommu-%u.\n"
			"  It is behind no IOMMU: nothing confines its DMA.\n",
			id, id);
		return;
	}
	for (unsigned i = 0; i < e->n; i++)
		blockers += machine_blocks(e->member[i]);
	if (!blockers) {
		AUTO_FREE char *why = NULL;
		size_t size;
		FILE *out = e->out;
		bool wrong;

		e->out = open_memstream(&why, &size);
		wrong = e->out && explain_hardware(e);
		if (e->out)
			fclose(e->out);
		e->out = out;
		if (wrong)
			fprintf(out, "Group %u cannot be given to a user%s.\n%s", id,
				strstr(why, "echo") ? " now" : "", why);
		else
			tell_free(e, id);
		explain_apart(e);
		return;
	}
	fprintf(e->out, "Group %u cannot be given to a user now.\n", id);
	explain_blockers(e);
	explain_why(e);
	for (unsigned i = 0; i < e->n; i++) {
		if (!machine_blocks(e->member[i]))
			tell_harmless(e, e->member[i]);
	}
	explain_commands(e);
	explain_apart(e);
}

/* ---- finding what was asked for ---- */

int explain_find_members(struct explain *e, struct iommu_group *group)
{
	e->member = calloc(e->picture.n + 1, sizeof(*e->member));
	if (!e->member)
		return -ENOMEM;
	for (unsigned i = 0; i < e->picture.n && group; i++) {
		if (e->picture.at[i].group == group)
			e->member[e->n++] = &e->picture.at[i];
	}
	return 0;
}

static int find(struct explain *e, const char *what)
{
	struct iommu_group *group = NULL;
	unsigned long id;
	char *end;

	e->asked = machine_picture_find(&e->picture, what);
	if (e->asked)
		return explain_find_members(e, e->asked->group);
	id = strtoul(what, &end, 10);
	if (end == what || *end)
		return -ENODEV;
	for (unsigned i = 0; i < e->picture.n && !group; i++) {
		if (e->picture.at[i].group && e->picture.at[i].group_id == id)
			group = e->picture.at[i].group;
	}
	return group ? explain_find_members(e, group) : -ENODEV;
}

static void tell_alone(struct explain *e)
{
	fprintf(e->out, "%s is in no group: it is behind no IOMMU.\n", machine_short_name(e->asked));
	if (!explain_vfio_refuses(e->m, e->asked->dev, e->out) &&
	    !explain_override(e->asked->dev, "vfio-pci", e->out)) {
		fprintf(e->out, "To give it to a user, without protection of any memory:\n");
		tell_bind(e->out, e->asked, "vfio-pci");
	}
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
		tell_alone(&e);
	free(e.member);
	machine_picture_drop(&e.picture);
	return rc;
}
