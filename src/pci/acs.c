/* SPDX-License-Identifier: MIT */
/*
 * Access Control Services: does a function keep its traffic from its neighbours, so that only the IOMMU decides
 * where it goes? (spec 10, 1.4) Some hardware isolates without saying so, some says so in odd places: that is the
 * table below, first matching row wins, in the order of the spec.
 */
#include "pci/priv.h"
#include <string.h>

#define ACS_BASIC PCI_ACS_ISOLATION
#define ACS_NIC   (PCI_ACS_SV | PCI_ACS_TB | PCI_ACS_RR | PCI_ACS_CR | PCI_ACS_UF | PCI_ACS_DT)

enum acs_kind {
	ACS_SET,  /* isolation holds for a fixed set of flags */
	ACS_AMD,  /* southbridge functions: see acs_amd() */
	ACS_PCH,  /* a set once the workaround was applied, else none */
	ACS_WIDE, /* a capability with registers of 32 bits */
};

#define ANY_TYPE (-2)
#define PORTS    (-3) /* root and switch downstream ports */

struct acs_quirk {
	uint16_t vendor, first, last;
	int8_t type;    /* enum pci_type, ANY_TYPE or PORTS; another type: the row does not apply */
	uint8_t kind;
	uint8_t set;
	uint8_t step;   /* 2: every other id of the range; 0: every one */
};

#define NIC(v, a, b)   { v, a, b, ANY_TYPE, ACS_SET, ACS_NIC, 0 }
#define ROOT(v, a, b)  { v, a, b, PCI_ROOT_PORT, ACS_SET, ACS_BASIC, 0 }
#define ANY(v, a, b)   { v, a, b, ANY_TYPE, ACS_SET, ACS_BASIC, 0 }
#define PCH(a, b)      { 0x8086, a, b, PCI_ROOT_PORT, ACS_PCH, ACS_BASIC, 0 }
#define PCH2(a, b)     { 0x8086, a, b, PCI_ROOT_PORT, ACS_PCH, ACS_BASIC, 2 }
#define WIDE(a, b)     { 0x8086, a, b, PCI_ROOT_PORT, ACS_WIDE, 0, 0 }
#define AMD(v, a)      { v, a, a, ANY_TYPE, ACS_AMD, 0, 0 }
#define ZHAOXIN(a, b)  { 0x1d17, a, b, PORTS, ACS_SET, ACS_BASIC, 0 }

static const struct acs_quirk quirks[] = {
	AMD(0x1002, 0x4385), AMD(0x1002, 0x439c), AMD(0x1002, 0x4383), AMD(0x1002, 0x439d), AMD(0x1002, 0x4384),
	AMD(0x1002, 0x4399), AMD(0x1022, 0x780f), AMD(0x1022, 0x7809),
	/* multifunction endpoints whose functions do not talk to each other */
	NIC(0x1924, 0x0903, 0x0903), NIC(0x1924, 0x0923, 0x0923), NIC(0x1924, 0x0a03, 0x0a03),
	NIC(0x8086, 0x10c6, 0x10c6), NIC(0x8086, 0x10db, 0x10db), NIC(0x8086, 0x10dd, 0x10dd),
	NIC(0x8086, 0x10e1, 0x10e1), NIC(0x8086, 0x10f1, 0x10f1), NIC(0x8086, 0x10f7, 0x10fc),
	NIC(0x8086, 0x1507, 0x1507), NIC(0x8086, 0x1514, 0x1514), NIC(0x8086, 0x151c, 0x151c),
	NIC(0x8086, 0x1529, 0x152a), NIC(0x8086, 0x154d, 0x154d), NIC(0x8086, 0x154f, 0x154f),
	NIC(0x8086, 0x1551, 0x1551), NIC(0x8086, 0x1558, 0x1558), NIC(0x8086, 0x1509, 0x1509),
	NIC(0x8086, 0x150d, 0x1511), NIC(0x8086, 0x1516, 0x1516), NIC(0x8086, 0x1527, 0x1527),
	NIC(0x8086, 0x10c9, 0x10c9), NIC(0x8086, 0x10e6, 0x10e8), NIC(0x8086, 0x150a, 0x150a),
	NIC(0x8086, 0x1518, 0x1518), NIC(0x8086, 0x1526, 0x1526), NIC(0x8086, 0x10a7, 0x10a7),
	NIC(0x8086, 0x10a9, 0x10a9), NIC(0x8086, 0x10d6, 0x10d6), NIC(0x8086, 0x1521, 0x1524),
	NIC(0x8086, 0x105e, 0x1060), NIC(0x8086, 0x10d9, 0x10d9), NIC(0x8086, 0x15b7, 0x15b8),
	NIC(0x19a2, 0x0710, 0x0710), NIC(0x10df, 0x0720, 0x0720), NIC(0x177d, 0xa026, 0xa026),
	NIC(0x177d, 0xa059, 0xa060), NIC(0x14e4, 0x16d7, 0x16d7), NIC(0x14e4, 0x1750, 0x1752),
	NIC(0x14e4, 0x1760, 0x1763), NIC(0x1d17, 0x3038, 0x3038), NIC(0x1d17, 0x3104, 0x3104),
	NIC(0x1d17, 0x9083, 0x9083),
	{ 0x8086, 0x0000, 0xffff, PCI_RC_ENDPOINT, ACS_SET, ACS_BASIC, 0 },
	PCH(0x3b42, 0x3b51), PCH(0x1c10, 0x1c1f), PCH(0x1e10, 0x1e1f), PCH(0x8c10, 0x8c1f), PCH(0x9c10, 0x9c1b),
	PCH(0x9c90, 0x9c9b), PCH2(0x1d10, 0x1d1e), PCH(0x8d10, 0x8d1e), PCH2(0x8c90, 0x8c9e),
	WIDE(0xa110, 0xa11f), WIDE(0xa167, 0xa16a), WIDE(0xa290, 0xa29f), WIDE(0xa2e7, 0xa2ee), WIDE(0x9d10, 0x9d1b),
	ROOT(0x177d, 0xa000, 0xa7ff), ROOT(0x177d, 0xaf84, 0xaf84), ROOT(0x177d, 0xb884, 0xb884),
	ANY(0x10e8, 0xe004, 0xe004), ANY(0x1def, 0xe005, 0xe00c),
	ROOT(0x17cb, 0x0400, 0x0401), ROOT(0x17cb, 0x0115, 0x0115), ROOT(0x17cb, 0x0111, 0x0111),
	ROOT(0x17cb, 0x0120, 0x0120), ROOT(0x1dbf, 0x0401, 0x0401),
	ANY(0x14e4, 0xd714, 0xd714),
	ROOT(0x0014, 0x3c09, 0x3c09), ROOT(0x0014, 0x3c19, 0x3c19), ROOT(0x0014, 0x3c29, 0x3c29),
	ROOT(0x0014, 0x7a09, 0x7a09), ROOT(0x0014, 0x7a19, 0x7a19), ROOT(0x0014, 0x7a29, 0x7a29),
	ROOT(0x0014, 0x7a39, 0x7a39), ROOT(0x0014, 0x7a49, 0x7a49), ROOT(0x0014, 0x7a59, 0x7a59),
	ROOT(0x0014, 0x7a69, 0x7a69),
	ROOT(0x1c36, 0x0031, 0x0031),
	ROOT(0x1957, 0x8d80, 0x8d83), ROOT(0x1957, 0x8d88, 0x8d8b), ROOT(0x1957, 0x8d90, 0x8d93),
	ROOT(0x1957, 0x8d98, 0x8d9b), ROOT(0x1957, 0x8da0, 0x8da1), ROOT(0x1957, 0x8da8, 0x8da9),
	ROOT(0x1957, 0x8db0, 0x8db1), ROOT(0x1957, 0x8db8, 0x8db9),
	ZHAOXIN(0x0710, 0x071e), ZHAOXIN(0x0721, 0x0721), ZHAOXIN(0x0723, 0x0752),
	{ 0x1d17, 0x0000, 0xffff, PORTS, ACS_SET, 0, 0 },
	ANY(0x8088, 0x0100, 0x010f), ANY(0x8088, 0x1001, 0x1001), ANY(0x8088, 0x2001, 0x2001),
	ANY(0x8088, 0x5010, 0x5010), ANY(0x8088, 0x5025, 0x5025), ANY(0x8088, 0x5040, 0x5040),
	ANY(0x8088, 0x5110, 0x5110), ANY(0x8088, 0x5125, 0x5125), ANY(0x8088, 0x5140, 0x5140),
	{ 0x8088, 0x0000, 0xffff, ANY_TYPE, ACS_SET, 0, 0 },
};

static bool quirk_applies(const struct acs_quirk *q, const struct pci_dev *d)
{
	if (q->vendor != d->vendor || d->device < q->first || d->device > q->last)
		return false;
	if (q->step && (d->device - q->first) % q->step)
		return false;
	if (q->type == ANY_TYPE)
		return true;
	if (q->type == PORTS)
		return d->type == PCI_ROOT_PORT || d->type == PCI_DOWNSTREAM;
	return (int)d->type == q->type;
}

static const struct acs_quirk *quirk_find(const struct pci_dev *d)
{
	for (unsigned i = 0; i < ARRAY_SIZE(quirks); i++) {
		if (quirk_applies(&quirks[i], d))
			return &quirks[i];
	}
	return NULL;
}

bool pci_acs_is_wide(const struct pci_dev *d)
{
	const struct acs_quirk *q = quirk_find(d);

	return q && q->kind == ACS_WIDE;
}

static bool subset(uint8_t flags, uint8_t set)
{
	return (flags & ~set) == 0;
}

/* Capability and control word; no capability: false. */
static bool acs_words(struct pci_dev *d, uint8_t *cap, uint8_t *ctrl)
{
	struct pci_priv *p = d->priv;

	if (!p->ext_acs)
		return false;
	SCOPED_LOCK(&d->lock);
	*cap = p->cfg.val[p->ext_acs + PCI_ACS_CAP];
	*ctrl = p->cfg.val[p->ext_acs + (p->acs_wide ? 8 : PCI_ACS_CTRL)];
	return true;
}

/* A flag that the capability does not offer is wired on; egress control alone is not. */
static bool acs_by_capability(struct pci_dev *d, uint8_t flags)
{
	uint8_t cap, ctrl;

	if (!acs_words(d, &cap, &ctrl))
		return false;
	flags &= cap | PCI_ACS_EC;
	return (ctrl & flags) == flags;
}

/* Functions of AMD southbridges, on a root bus under an AMD IOMMU, do not redirect to each other. */
static int acs_amd(struct pci_dev *d, uint8_t flags)
{
	const struct iommu_unit *unit = d->priv->unit;

	if (!d->priv->slot_scan_mf || d->bus->parent || !unit || unit->kind != IOMMU_AMD)
		return -ENOTTY;
	return subset(flags & (PCI_ACS_RR | PCI_ACS_CR | PCI_ACS_EC | PCI_ACS_DT), PCI_ACS_RR | PCI_ACS_CR);
}

/* 0 or 1; -ENOTTY: no quirk says anything */
static int acs_by_quirk(struct pci_dev *d, uint8_t flags)
{
	const struct acs_quirk *q;

	if (d->priv->acs_quirk)
		return subset(flags, d->priv->acs_quirk_set);
	q = quirk_find(d);
	if (!q)
		return -ENOTTY;
	switch (q->kind) {
	case ACS_SET:
		return subset(flags, q->set);
	case ACS_AMD:
		return acs_amd(d, flags);
	case ACS_PCH:
		return d->priv->ext_acs ? -ENOTTY : subset(flags, d->priv->acs_pch ? q->set : 0);
	default:
		return acs_by_capability(d, flags);
	}
}

bool pci_acs_enabled(struct pci_dev *d, uint8_t flags)
{
	int rc = acs_by_quirk(d, flags);

	if (rc >= 0)
		return rc;
	switch (d->type) {
	case PCI_CONVENTIONAL:
	case PCI_PCI_TO_PCIE:
	case PCI_PCIE_TO_PCI:
	case PCI_RC_EVENT:
		return false;
	case PCI_ROOT_PORT:
	case PCI_DOWNSTREAM:
		return acs_by_capability(d, flags);
	case PCI_ENDPOINT:
	case PCI_LEGACY_ENDPOINT:
	case PCI_UPSTREAM:
	case PCI_RC_ENDPOINT:
		return !d->priv->slot_scan_mf || acs_by_capability(d, flags);
	}
	return true;
}

uint8_t pci_acs_missing(struct pci_dev *d)
{
	uint8_t missing = 0;

	for (uint8_t flag = 1; flag; flag = (uint8_t)(flag << 1)) {
		if ((flag & PCI_ACS_ISOLATION) && !pci_acs_enabled(d, flag))
			missing |= flag;
	}
	return missing;
}

/* The control word as the kernel leaves it, from the one it finds. */
static uint8_t acs_control(struct pci_dev *d, uint8_t cap, uint8_t found, bool asked)
{
	uint8_t ctrl = found, mask, value;

	if (asked)
		ctrl |= cap & (PCI_ACS_ISOLATION | (d->priv->desc.untrusted ? PCI_ACS_TB : 0));
	/* The administrator's word replaces bits of what was found; of the kernel's own nothing stays. */
	if (pci_acs_param(d, d->pci->disable_acs_redir, false, &mask, &value))
		ctrl = (uint8_t)(found & ~mask);
	if (pci_acs_param(d, d->pci->config_acs, true, &mask, &value))
		ctrl = (uint8_t)((found & ~mask) | value);
	return ctrl;
}

void pci_acs_setup(struct pci_dev *d)
{
	struct pci_priv *p = d->priv;
	const struct acs_quirk *q = quirk_find(d);
	uint8_t *ctrl;
	bool asked;

	mutex_lock(&d->pci->topo);
	asked = d->pci->requests_acs;
	mutex_unlock(&d->pci->topo);
	SCOPED_LOCK(&d->lock);
	if (!p->ext_acs) {
		p->acs_pch |= asked && q && q->kind == ACS_PCH;
	} else if (p->acs_wide) {
		ctrl = &p->cfg.val[p->ext_acs + 8];
		*ctrl |= asked ? p->cfg.val[p->ext_acs + PCI_ACS_CAP] & PCI_ACS_ISOLATION : 0;
	} else {
		ctrl = &p->cfg.val[p->ext_acs + PCI_ACS_CTRL];
		*ctrl = acs_control(d, p->cfg.val[p->ext_acs + PCI_ACS_CAP], *ctrl, asked);
	}
}
