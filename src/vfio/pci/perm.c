/* SPDX-License-Identifier: MIT */
/*
 * Who may see and write which bit of config space: the tables of spec 20, 2.2, 2.5 and 2.9, laid over the
 * capabilities the hardware has.
 *
 * A capability of length 0 is hidden: its predecessor's next pointer skips it, and its body belongs to
 * nobody, that is, stays raw. The hardware's chains are not trusted: walks are bounded, and a capability
 * that reaches over the end or over another one takes only what is free.
 *
 * Linux keeps in the chain a hidden extended capability that follows two of one id lying back to back
 * (spec 20, 2.9, quirk); here it is hidden always.
 */
#include "vfio/pci/config.h"
#include <string.h>

#define ALL 0xffffffffu

/* One register: @width bytes at @offset of its capability. */
struct perm_field {
	uint8_t offset, width;
	uint32_t virt, write;
};

struct perm_table {
	const struct perm_field *fields;
	unsigned n;
	enum config_hook hook;
	bool raw; /* every byte but the chain's own can be written to the hardware */
};
#define PERM_FIELDS(f) .fields = (f), .n = ARRAY_SIZE(f)

static const struct perm_field header_fields[] = {
	{ PCI_VENDOR_ID, 2, 0xffff, 0 },
	{ PCI_DEVICE_ID, 2, 0xffff, 0 },
	{ PCI_COMMAND, 2, PCI_COMMAND_INTX_DISABLE, 0xffff },
	{ PCI_STATUS, 2, PCI_STATUS_CAP_LIST, 0 },
	{ PCI_CACHE_LINE_SIZE, 1, 0, 0xff },
	{ PCI_LATENCY_TIMER, 1, 0, 0xff },
	{ PCI_BIST, 1, 0, 0xff },
	{ PCI_BASE_ADDRESS_0, 4, ALL, ALL },
	{ PCI_BASE_ADDRESS_1, 4, ALL, ALL },
	{ PCI_BASE_ADDRESS_2, 4, ALL, ALL },
	{ PCI_BASE_ADDRESS_3, 4, ALL, ALL },
	{ PCI_BASE_ADDRESS_4, 4, ALL, ALL },
	{ PCI_BASE_ADDRESS_5, 4, ALL, ALL },
	{ PCI_ROM_ADDRESS, 4, ALL, ALL },
	{ PCI_CAPABILITY_LIST, 1, 0xff, 0 },
	{ PCI_INTERRUPT_LINE, 1, 0xff, 0xff },
	{ PCI_INTERRUPT_PIN, 1, 0xff, 0 },
};

#define PMCSR_PME (PCI_PM_CTRL_PME_ENABLE | PCI_PM_CTRL_PME_STATUS)
static const struct perm_field pm_fields[] = {
	{ PCI_PM_PMC, 2, PCI_PM_CAP_PME_MASK, 0 },
	{ PCI_PM_CTRL, 4, PMCSR_PME, ~(uint32_t)(PMCSR_PME | PCI_PM_CTRL_STATE_MASK) },
};

static const struct perm_field vpd_fields[] = {
	{ PCI_VPD_ADDR, 2, 0xffff, 0xffff },
	{ PCI_VPD_DATA, 4, ALL, ALL },
};

static const struct perm_field pcix_fields[] = {
	{ PCI_X_CMD, 2, 0, 0xffff },
	{ PCI_X_ECC_CSR, 4, 0, ALL },
};

static const struct perm_field exp_fields[] = {
	{ PCI_EXP_DEVCTL, 2, PCI_EXP_DEVCTL_BCR_FLR | PCI_EXP_DEVCTL_PAYLOAD | PCI_EXP_DEVCTL_READRQ,
	  0xffff & ~PCI_EXP_DEVCTL_PHANTOM },
	{ PCI_EXP_DEVCTL2, 2, 0, 0xffff & ~PCI_EXP_DEVCTL2_ARI },
};

static const struct perm_field af_fields[] = {
	{ PCI_AF_CTRL, 1, PCI_AF_CTRL_FLR, PCI_AF_CTRL_FLR },
};

/* Address and data are never the user's; mask and pending bits are the hardware's. */
static const struct perm_field msi32_fields[] = {
	{ PCI_MSI_FLAGS, 1, 0xff, 0xff },
	{ PCI_MSI_ADDRESS_LO, 4, ALL, ALL },
	{ PCI_MSI_DATA_32, 2, 0xffff, 0xffff },
	{ PCI_MSI_MASK_32, 4, 0, ALL },
	{ PCI_MSI_PENDING_32, 4, 0, ALL },
};
static const struct perm_field msi64_fields[] = {
	{ PCI_MSI_FLAGS, 1, 0xff, 0xff },
	{ PCI_MSI_ADDRESS_LO, 4, ALL, ALL },
	{ PCI_MSI_ADDRESS_HI, 4, ALL, ALL },
	{ PCI_MSI_DATA_64, 2, 0xffff, 0xffff },
	{ PCI_MSI_MASK_64, 4, 0, ALL },
	{ PCI_MSI_PENDING_64, 4, 0, ALL },
};

static const struct perm_table read_only = { 0 };
static const struct perm_table msi32 = { PERM_FIELDS(msi32_fields), .hook = HOOK_MSI };
static const struct perm_table msi64 = { PERM_FIELDS(msi64_fields), .hook = HOOK_MSI };

/* Bits that are defined, so that reserved ones stay as they are. */
#define AER_UNCORRECTABLE 0x03fff031u
#define AER_CORRECTABLE   0x0000f1c1u
static const struct perm_field aer_fields[] = {
	{ PCI_ERR_UNCOR_STATUS, 4, 0, AER_UNCORRECTABLE },
	{ PCI_ERR_UNCOR_MASK, 4, 0, AER_UNCORRECTABLE },
	{ PCI_ERR_UNCOR_SEVER, 4, 0, AER_UNCORRECTABLE },
	{ PCI_ERR_COR_STATUS, 4, 0, AER_CORRECTABLE },
	{ PCI_ERR_COR_MASK, 4, 0, AER_CORRECTABLE },
	{ PCI_ERR_CAP, 4, 0, PCI_ERR_CAP_ECRC_GENE | PCI_ERR_CAP_ECRC_CHKE },
};
static const struct perm_field power_budget_fields[] = {
	{ PCI_PWR_DSR, 1, 0, 0xff },
};

#define LENGTH_VARIES 0xff
struct perm_cap {
	uint8_t length; /* 0: hidden */
	struct perm_table perm;
};

static const struct perm_cap std_caps[] = {
	[PCI_CAP_ID_PM] = { PCI_PM_SIZEOF, { PERM_FIELDS(pm_fields), .hook = HOOK_PM } },
	[PCI_CAP_ID_AGP] = { PCI_AGP_SIZEOF, { 0 } },
	[PCI_CAP_ID_VPD] = { PCI_CAP_VPD_SIZEOF, { PERM_FIELDS(vpd_fields), .hook = HOOK_VPD } },
	[PCI_CAP_ID_MSI] = { LENGTH_VARIES, { 0 } }, /* msi32, msi64 */
	[PCI_CAP_ID_PCIX] = { LENGTH_VARIES, { PERM_FIELDS(pcix_fields) } },
	[PCI_CAP_ID_HT] = { LENGTH_VARIES, { 0 } },
	[PCI_CAP_ID_VNDR] = { LENGTH_VARIES, { .raw = true } },
	[PCI_CAP_ID_EXP] = { LENGTH_VARIES, { PERM_FIELDS(exp_fields), .hook = HOOK_EXP } },
	[PCI_CAP_ID_MSIX] = { PCI_CAP_MSIX_SIZEOF, { 0 } },
	[PCI_CAP_ID_SATA] = { LENGTH_VARIES, { 0 } },
	[PCI_CAP_ID_AF] = { PCI_CAP_AF_SIZEOF, { PERM_FIELDS(af_fields), .hook = HOOK_AF } },
};

static const struct perm_cap ext_caps[] = {
	[PCI_EXT_CAP_ID_ERR] = { 0x2c, { PERM_FIELDS(aer_fields) } },
	[PCI_EXT_CAP_ID_VC] = { LENGTH_VARIES, { 0 } },
	[PCI_EXT_CAP_ID_DSN] = { PCI_EXT_CAP_DSN_SIZEOF, { 0 } },
	[PCI_EXT_CAP_ID_PWR] = { PCI_EXT_CAP_PWR_SIZEOF, { PERM_FIELDS(power_budget_fields) } },
	[PCI_EXT_CAP_ID_MFVC] = { LENGTH_VARIES, { 0 } },
	[PCI_EXT_CAP_ID_VC9] = { LENGTH_VARIES, { 0 } },
	[PCI_EXT_CAP_ID_VNDR] = { LENGTH_VARIES, { .raw = true } },
	[PCI_EXT_CAP_ID_ACS] = { LENGTH_VARIES, { 0 } },
	[PCI_EXT_CAP_ID_ARI] = { PCI_EXT_CAP_ARI_SIZEOF, { 0 } },
	[PCI_EXT_CAP_ID_ATS] = { PCI_EXT_CAP_ATS_SIZEOF, { 0 } },
	[PCI_EXT_CAP_ID_SRIOV] = { 0x40, { 0 } },
	[PCI_EXT_CAP_ID_MCAST] = { 40, { 0 } },
	[PCI_EXT_CAP_ID_PRI] = { PCI_EXT_CAP_PRI_SIZEOF, { 0 } },
	[PCI_EXT_CAP_ID_REBAR] = { LENGTH_VARIES, { 0 } },
	[PCI_EXT_CAP_ID_DPA] = { LENGTH_VARIES, { 0 } },
	[PCI_EXT_CAP_ID_TPH] = { LENGTH_VARIES, { 0 } },
	[PCI_EXT_CAP_ID_LTR] = { PCI_EXT_CAP_LTR_SIZEOF, { 0 } },
	[PCI_EXT_CAP_ID_DVSEC] = { LENGTH_VARIES, { .raw = true } },
};

static unsigned hw(struct vfio_pci_device *v, unsigned pos, unsigned width)
{
	return pos + width <= v->config->size ? pci_config_read(v->pdev, pos, width) : 0;
}

static unsigned std_cap_length(struct vfio_pci_device *v, unsigned id, unsigned pos)
{
	unsigned x;

	if (id >= ARRAY_SIZE(std_caps))
		return 0;
	switch (id) {
	case PCI_CAP_ID_MSI:
		x = hw(v, pos + PCI_MSI_FLAGS, 2);
		return 10 + (x & PCI_MSI_FLAGS_64BIT ? 4 : 0) + (x & PCI_MSI_FLAGS_MASKBIT ? 10 : 0);
	case PCI_CAP_ID_PCIX:
		return hw(v, pos + PCI_X_CMD, 2) & 0x3000 ? 24 : 8;
	case PCI_CAP_ID_HT:
		return hw(v, pos + 3, 1) & HT_3BIT_CAP_MASK ? 24 : 28;
	case PCI_CAP_ID_VNDR:
		return hw(v, pos + 2, 1);
	case PCI_CAP_ID_EXP:
		x = hw(v, pos + PCI_EXP_FLAGS, 2);
		if ((x & PCI_EXP_FLAGS_VERS) == 1)
			return (x & PCI_EXP_FLAGS_TYPE) >> 4 == PCI_EXP_TYPE_RC_END ? 12 : 20;
		return (x & PCI_EXP_FLAGS_TYPE) >> 4 == PCI_EXP_TYPE_RC_END ? 44 : 52;
	case PCI_CAP_ID_SATA:
		return (hw(v, pos + PCI_SATA_REGS, 1) & PCI_SATA_REGS_MASK) == PCI_SATA_REGS_INLINE ? 16 : 8;
	default:
		return std_caps[id].length;
	}
}

/* The registers of each channel, and the arbitration table when it lies behind them. */
static unsigned vc_length(struct vfio_pci_device *v, unsigned pos)
{
	unsigned channels = (hw(v, pos + PCI_VC_PORT_CAP1, 4) & PCI_VC_CAP1_EVCC) + 1;
	uint32_t cap2 = hw(v, pos + PCI_VC_PORT_CAP2, 4);
	unsigned end = PCI_CAP_VC_BASE_SIZEOF + channels * PCI_CAP_VC_PER_VC_SIZEOF;
	unsigned table = (cap2 >> 24) * 16;
	unsigned phases = cap2 & PCI_VC_CAP2_128_PHASE ? 128 :
			  cap2 & PCI_VC_CAP2_64_PHASE ? 64 :
			  cap2 & PCI_VC_CAP2_32_PHASE ? 32 : 0;

	return table && phases ? MAX(end, table + phases / 2) : end;
}

static unsigned ext_cap_length(struct vfio_pci_device *v, unsigned id, unsigned pos)
{
	unsigned x;

	if (id >= ARRAY_SIZE(ext_caps))
		return 0;
	switch (id) {
	case PCI_EXT_CAP_ID_VC:
	case PCI_EXT_CAP_ID_MFVC:
	case PCI_EXT_CAP_ID_VC9:
		return vc_length(v, pos);
	case PCI_EXT_CAP_ID_VNDR:
	case PCI_EXT_CAP_ID_DVSEC:
		return hw(v, pos + 4, 4) >> 20;
	case PCI_EXT_CAP_ID_ACS:
		x = hw(v, pos + PCI_ACS_CAP, 2);
		if (!(x & PCI_ACS_EC))
			return 8;
		return 8 + ALIGN_UP(x >> 8 ? x >> 8 : 256u, 32u) / 8;
	case PCI_EXT_CAP_ID_REBAR:
		return 4 + 8 * ((hw(v, pos + PCI_REBAR_CTRL, 4) & PCI_REBAR_CTRL_NBAR_MASK) >> 5);
	case PCI_EXT_CAP_ID_DPA:
		return 16 + (hw(v, pos + PCI_DPA_CAP, 1) & PCI_DPA_CAP_SUBSTATE_MASK) + 1;
	case PCI_EXT_CAP_ID_TPH:
		x = hw(v, pos + PCI_TPH_CAP, 4);
		if ((x & 0x600) != 0x200) /* the steering table is not in the capability */
			return 12;
		return 12 + ALIGN_UP(((x & 0x07ff0000) >> 16) * 2 + 2, 4u);
	default:
		return ext_caps[id].length;
	}
}

/* ---- painting ---- */

/* Fields beyond the length belong to longer variants of the capability: MSI's mask bits, PCI-X's ECC. */
static void paint_fields(struct vfio_pci_config *c, unsigned pos, unsigned length, const struct perm_table *t)
{
	for (unsigned i = 0; i < t->n; i++) {
		const struct perm_field *f = &t->fields[i];

		for (unsigned b = 0; b < f->width && f->offset + b < length; b++) {
			if (c->owner[pos + f->offset + b] != pos)
				continue;
			c->virt[pos + f->offset + b] = (uint8_t)(f->virt >> (8 * b));
			c->wmask[pos + f->offset + b] = (uint8_t)(f->write >> (8 * b));
		}
	}
}

/* Give [@pos, +@length) to a capability, as far as it is free. */
static void paint(struct vfio_pci_device *v, unsigned pos, unsigned length, const struct perm_table *t)
{
	struct vfio_pci_config *c = v->config;

	for (unsigned i = pos; i < pos + length; i++) {
		if (c->owner[i] != CONFIG_NO_OWNER) {
			log_msg(v->vp->log, LOG_WARN, "%s: capability at %#x overlaps another at %#x",
				v->pdev->dev.name, pos, i);
			continue;
		}
		c->owner[i] = (uint16_t)pos;
		c->hook[i] = (uint8_t)t->hook;
		c->virt[i] = 0;
		c->wmask[i] = t->raw ? 0xff : 0;
		c->bytes[i] = (uint8_t)pci_config_read(v->pdev, i, 1);
	}
	paint_fields(c, pos, length, t);
}

/* Bytes of the chain itself: shown as patched, never written. */
static void paint_chain(struct vfio_pci_config *c, unsigned pos, unsigned n)
{
	memset(c->virt + pos, 0xff, n);
	memset(c->wmask + pos, 0, n);
}

static const struct perm_table *std_cap_perm(struct vfio_pci_device *v, unsigned id, unsigned pos)
{
	if (id == PCI_CAP_ID_MSI)
		return hw(v, pos + PCI_MSI_FLAGS, 2) & PCI_MSI_FLAGS_64BIT ? &msi64 : &msi32;
	return &std_caps[id].perm;
}

static void std_caps_init(struct vfio_pci_device *v)
{
	struct vfio_pci_config *c = v->config;
	unsigned pos, visible = 0, prev = PCI_CAPABILITY_LIST;

	if (!(hw(v, PCI_STATUS, 2) & PCI_STATUS_CAP_LIST))
		return;
	pos = hw(v, PCI_CAPABILITY_LIST, 1) & ~3u;
	for (unsigned loops = 48; pos >= PCI_STD_HEADER_SIZEOF && loops; loops--) {
		unsigned id = hw(v, pos, 1);
		unsigned next = hw(v, pos + PCI_CAP_LIST_NEXT, 1) & ~3u;
		unsigned length = std_cap_length(v, id, pos);

		if (!length) {
			c->bytes[prev] = (uint8_t)next;
			pos = next;
			continue;
		}
		length = MIN(MAX(length, 2u), 256 - pos);
		paint(v, pos, length, std_cap_perm(v, id, pos));
		paint_chain(c, pos + PCI_CAP_LIST_NEXT, 1);
		prev = pos + PCI_CAP_LIST_NEXT;
		pos = next;
		visible++;
	}
	if (!visible)
		c->bytes[PCI_STATUS] &= (uint8_t)~PCI_STATUS_CAP_LIST;
}

static void ext_caps_init(struct vfio_pci_device *v)
{
	struct vfio_pci_config *c = v->config;
	unsigned pos = 256, prev = 0, visible = 0;

	for (unsigned loops = (CONFIG_MAX - 256) / 8; pos >= 256 && loops; loops--) {
		uint32_t header = hw(v, pos, 4);
		unsigned id = PCI_EXT_CAP_ID(header), next = PCI_EXT_CAP_NEXT(header);
		unsigned length = header ? ext_cap_length(v, id, pos) : 0;
		bool hidden = !length;

		if (hidden && prev) {
			config_put(c->bytes + prev, 4, (config_get(c->bytes + prev, 4) & 0x000fffff) | next << 20);
			pos = next;
			continue;
		}
		/* The first cannot be skipped: it stays as an anchor without a name. */
		length = hidden ? 4 : MIN(MAX(length, 4u), CONFIG_MAX - pos);
		paint(v, pos, length, hidden ? &read_only : &ext_caps[id].perm);
		paint_chain(c, pos, 4);
		if (hidden)
			config_put(c->bytes + pos, 4, next << 20);
		else
			visible++;
		prev = pos;
		pos = next;
	}
	if (!visible && prev)
		config_put(c->bytes + 256, 4, 0);
}

/* ---- the header, and what the user must not see of it ---- */

/* A virtual function's header is empty: memory looks enabled, BARs read their flags, and there is no pin. */
static void virtual_init(struct vfio_pci_config *c)
{
	c->virt[PCI_COMMAND] |= PCI_COMMAND_MEMORY;
	c->bytes[PCI_COMMAND] |= PCI_COMMAND_MEMORY;
	c->bytes[PCI_INTERRUPT_PIN] = 0;
	c->bars_dirty = true;
}

static void header_init(struct vfio_pci_device *v)
{
	static const struct perm_table header = { PERM_FIELDS(header_fields), .hook = HOOK_HEADER };
	struct vfio_pci_config *c = v->config;

	paint(v, 0, PCI_STD_HEADER_SIZEOF, &header);
	for (unsigned i = 0; i < VFIO_PCI_NBARS; i++)
		c->rbar[i] = hw(v, PCI_BASE_ADDRESS_0 + 4 * i, 4);
	c->rbar[VFIO_PCI_NBARS] = hw(v, PCI_ROM_ADDRESS, 4);
	/* The core's own idea of the ids, as a VF's header reads all ones. */
	config_put(c->bytes + PCI_VENDOR_ID, 2, v->pdev->vendor);
	config_put(c->bytes + PCI_DEVICE_ID, 2, v->pdev->device);
	if (v->nointx)
		c->bytes[PCI_INTERRUPT_PIN] = 0;
	if (v->pdev->physfn)
		virtual_init(c);
	/* INTx disable is the user's own bit and starts clear. */
	c->bytes[PCI_COMMAND + 1] &= (uint8_t)~(PCI_COMMAND_INTX_DISABLE >> 8);
}

/* PME is not offered: its bits read 0. */
static void pm_init(struct vfio_pci_device *v)
{
	struct vfio_pci_config *c = v->config;

	for (unsigned pos = PCI_STD_HEADER_SIZEOF; pos < 256; pos++) {
		if (c->owner[pos] != pos || c->hook[pos] != HOOK_PM)
			continue;
		c->bytes[pos + PCI_PM_PMC + 1] &= (uint8_t)~(PCI_PM_CAP_PME_MASK >> 8);
		c->bytes[pos + PCI_PM_CTRL + 1] &= (uint8_t)~(PMCSR_PME >> 8);
	}
}

int vfio_pci_config_create(struct vfio_pci_device *v, struct vfio_pci_config **out)
{
	struct vfio_pci_config *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->size = v->pdev->config_size;
	memset(c->owner, 0xff, sizeof(c->owner));
	memset(c->wmask, 0xff, sizeof(c->wmask));
	v->config = c;
	header_init(v);
	std_caps_init(v);
	if (c->size == CONFIG_MAX && hw(v, 256, 4) != 0)
		ext_caps_init(v);
	pm_init(v);
	v->config = NULL;
	*out = c;
	return 0;
}

void vfio_pci_config_destroy(struct vfio_pci_config *c)
{
	free(c);
}
