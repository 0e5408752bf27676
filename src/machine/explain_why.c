/* SPDX-License-Identifier: MIT */
/*
 * Why functions share a group (spec 10, 1.2 and 1.4), and what would part them. What is said is what holds now; a group
 * was made by what held when its members were found, so that sometimes nothing can be found any more.
 */
#include "machine/explain.h"

unsigned explain_count(struct explain *e, bool (*pick)(const struct machine_look *l, const void *arg), const void *arg)
{
	unsigned n = 0;

	for (unsigned i = 0; i < e->n; i++)
		n += pick(e->member[i], arg);
	return n;
}

/* "a, b and c" of the members for which @pick holds */
static void tell_names(struct explain *e, bool (*pick)(const struct machine_look *l, const void *arg), const void *arg)
{
	unsigned n = 0, left = explain_count(e, pick, arg);

	for (unsigned i = 0; i < e->n; i++) {
		if (!pick(e->member[i], arg))
			continue;
		left--;
		fprintf(e->out, "%s%s", n == 0 ? "" : left ? ", " : " and ", machine_short_name(e->member[i]));
		n++;
	}
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

	return l->dev->bus == o->dev->bus && l->dev->devfn >> 3 == o->dev->devfn >> 3 && !l->dev->physfn &&
	       !o->dev->physfn;
}

static bool in_group(const struct explain *e, const struct machine_look *l)
{
	return l->group && e->n && l->group == e->member[0]->group;
}

/* To conventional PCI: nothing tells the requests of what is behind it apart. */
static bool conventional_bridge(const struct machine_look *l)
{
	return l->dev->bridge && (l->dev->type == PCI_PCIE_TO_PCI || l->dev->type == PCI_CONVENTIONAL);
}

static bool has_acs(const struct machine_look *l)
{
	return pci_find_ext_cap(l->dev, PCI_EXT_CAP_ID_ACS);
}

/* ---- why ---- */

/* A bridge that does not keep apart what is below it. Returns whether something was said. */
static bool tell_bridge(struct explain *e, const struct machine_look *l)
{
	uint8_t missing = pci_acs_missing(l->dev);
	char flags[24];
	unsigned n = explain_count(e, is_below, l);

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
		has_acs(l) ? "has ACS not all on" : "has no ACS", machine_acs_text(missing, flags));
	if (n > 1)
		fputs("  so either could reach the other's memory peer to peer.\n", e->out);
	else
		fputs("  so requests may be turned round there, past the IOMMU.\n", e->out);
	return true;
}

static bool tell_slots(struct explain *e)
{
	bool said = false;

	for (unsigned i = 0; i < e->n; i++) {
		struct machine_look *l = e->member[i];
		bool first = true;

		for (unsigned j = 0; j < i; j++)
			first &= !same_slot(e->member[j], l);
		if (!first || explain_count(e, same_slot, l) < 2 || !pci_acs_missing(l->dev))
			continue;
		fputs("  ", e->out);
		tell_names(e, same_slot, l);
		fputs(" are functions of one device without ACS: they could reach each other inside it.\n", e->out);
		said = true;
	}
	return said;
}

/* Plugged in late, a function may miss the group of its slot (spec 10, 1.2). */
static void tell_latecomer(struct explain *e, const struct machine_look *l)
{
	if (!pci_acs_missing(l->dev) || l->dev->multifunction || !(l->dev->devfn & 7))
		return;
	for (unsigned i = 0; i < e->picture.n; i++) {
		const struct machine_look *o = &e->picture.at[i];

		if (o == l || !same_slot(o, l) || !o->group || o->group == l->group || !pci_acs_missing(o->dev))
			continue;
		fprintf(e->out,
			"  %s sits in one slot with %s of group %u, and yet has a group of its own: it was plugged in "
			"after boot,\n  and its header does not say that the slot has several functions.\n",
			machine_short_name(l), machine_short_name(o), o->group_id);
		return;
	}
}

void explain_why(struct explain *e)
{
	bool said = false;

	for (unsigned i = 0; i < e->n; i++)
		tell_latecomer(e, e->member[i]);
	if (e->n < 2)
		return;
	for (unsigned i = 0; i < e->picture.n; i++)
		said |= tell_bridge(e, &e->picture.at[i]);
	said |= tell_slots(e);
	if (!said)
		fputs("  They use each other's requester ids, or were put together by what held when they were "
		      "found.\n",
		      e->out);
}

/* ---- what would part them ---- */

/* A port that would keep what is below it to itself, all the way up. */
static bool isolates(const struct machine_look *l)
{
	bool apart = l->dev->type == PCI_ROOT_PORT || l->dev->type == PCI_DOWNSTREAM;

	for (; apart && l; l = l->parent)
		apart = !pci_acs_missing(l->dev);
	return apart;
}

static const struct machine_look *isolating_port(struct explain *e)
{
	for (unsigned i = 0; i < e->picture.n; i++) {
		if (isolates(&e->picture.at[i]) && !in_group(e, &e->picture.at[i]))
			return &e->picture.at[i];
	}
	return NULL;
}

/* The ports of the group that let pass what they should not. */
static void tell_ports(struct explain *e)
{
	for (const struct machine_look *l = e->asked->parent; l; l = l->parent) {
		if (!in_group(e, l) || !pci_acs_missing(l->dev) || conventional_bridge(l) ||
		    l->dev->type == PCI_UPSTREAM)
			continue;
		if (has_acs(l))
			fprintf(e->out,
				"Or switch on the ACS of %s: pci.config_acs: \"111x1@%s\" in the machine file "
				"(pci=config_acs=... for a real kernel).\n",
				machine_short_name(l), l->dev->dev.name);
		else
			fprintf(e->out, "Or give %s ACS: acs: full in the machine file; a real board has it or not.\n",
				machine_short_name(l));
	}
}

void explain_apart(struct explain *e)
{
	const struct machine_look *port, *l = e->asked;
	unsigned mates;

	if (e->n < 2 || !l || l->dev->bridge)
		return;
	mates = pci_acs_missing(l->dev) ? explain_count(e, same_slot, l) : 1;
	if (mates > 1) {
		tell_names(e, same_slot, l);
		fputs(" stay together in any slot, unless the device itself has ACS (acs: full in the machine file).\n",
		      e->out);
	}
	if (mates == e->n)
		return;
	port = isolating_port(e);
	fputs("To have ", e->out);
	if (mates > 1)
		tell_names(e, same_slot, l);
	else
		fputs(machine_short_name(l), e->out);
	if (port)
		fprintf(e->out, " alone: below %s, which has ACS, with nothing else.\n", machine_short_name(port));
	else
		fputs(" alone: below a port with ACS (SV RR CR UF), with nothing else; this machine has "
		      "none.\n", e->out);
	tell_ports(e);
}
