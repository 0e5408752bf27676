/* SPDX-License-Identifier: MIT */
/*
 * Config space at power-on: the header and the capabilities a function of its kind has, as three images
 * (value, writable bits, write-1-to-clear bits). config.c moves bits by these images; what a bit does is
 * decided there and in irq.c and reset.c.
 *
 * Standard capabilities follow each other from 0x40 on, around those that the description gives byte by byte, which come
 * last in the chain. Extended ones have fixed places: AER (or what the description has there instead) at 0x100, ACS at 0x160,
 * ATS at 0x170, SR-IOV at 0x180, PASID at 0x1c0, PRI at 0x1d0; endpoints leave the rest free, because models put raw registers there (spec 40, 1).
 */
#include "pci/priv.h"
#include <string.h>

#define EXT_AER     0x100
#define EXT_ACS     0x160
#define EXT_ATS     0x170
#define EXT_SRIOV   0x180
#define EXT_PASID   0x1c0
#define EXT_PRI     0x1d0
#define PRI_OUTSTANDING 32
#define EXP_LENGTH  0x3c /* PCIe capability, version 2 */
#define EXP_VERSION 2
#define SPEED_8GT   3
#define SPEEDS_TO_8GT (PCI_EXP_LNKCAP2_SLS_2_5GB | PCI_EXP_LNKCAP2_SLS_5_0GB | PCI_EXP_LNKCAP2_SLS_8_0GB)

static void set8(struct pci_dev *d, unsigned at, uint8_t value, uint8_t wmask)
{
	d->priv->cfg.val[at] = value;
	d->priv->cfg.wmask[at] = wmask;
}

static void set16(struct pci_dev *d, unsigned at, uint16_t value, uint16_t wmask)
{
	put16(&d->priv->cfg.val[at], value);
	put16(&d->priv->cfg.wmask[at], wmask);
}

static void set32(struct pci_dev *d, unsigned at, uint32_t value, uint32_t wmask)
{
	put32(&d->priv->cfg.val[at], value);
	put32(&d->priv->cfg.wmask[at], wmask);
}

/* A standard capability, linked to the chain's end. */
static void cap_link(struct pci_dev *d, unsigned at, uint8_t id)
{
	struct pci_priv *p = d->priv;

	p->cfg.val[p->cap_link ? p->cap_link + 1 : PCI_CAPABILITY_LIST] = (uint8_t)at;
	p->cfg.val[at] = id;
	p->cap_link = at;
	p->cfg.val[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
}

/* Room for one of @length bytes, where the description has none of its own. Returns its offset. */
static unsigned cap_add(struct pci_dev *d, uint8_t id, unsigned length)
{
	struct pci_priv *p = d->priv;
	const struct pci_cap_desc *raw;
	unsigned at = p->cap_next ? p->cap_next : PCI_STD_HEADER_SIZEOF;

	while ((raw = pci_raw_cap_over(&p->desc, at, length)))
		at = ALIGN_UP(raw->at + pci_raw_cap_size(raw), 4u);
	if (at + length > PCI_CFG_SPACE_SIZE) {
		p->caps_wrong = "there is no room for the capabilities";
		at = PCI_STD_HEADER_SIZEOF;
	}
	p->cap_next = ALIGN_UP(at + length, 4u);
	cap_link(d, at, id);
	return at;
}

static void ext_link(struct pci_dev *d, unsigned at, uint16_t id, unsigned version)
{
	struct pci_priv *p = d->priv;

	put32(&p->cfg.val[at], id | version << 16);
	if (p->ext_link)
		put32(&p->cfg.val[p->ext_link], (get32(&p->cfg.val[p->ext_link]) & 0xfffff) | at << 20);
	p->ext_link = at;
}

static void ext_add(struct pci_dev *d, unsigned at, unsigned length, uint16_t id, unsigned version)
{
	if (pci_raw_cap_over(&d->priv->desc, at, length))
		d->priv->caps_wrong = "a capability given by bytes overlaps one that the function has anyhow";
	ext_link(d, at, id, version);
}

static void build_pm(struct pci_dev *d)
{
	unsigned at = cap_add(d, PCI_CAP_ID_PM, PCI_PM_SIZEOF), flags = d->priv->model.pm_flags;
	/* Who forgets in D3hot, as conventional functions do unless told, can be reset by going there and back. */
	bool keeps = (flags & PCI_MODEL_PM_KEEPS) || (pci_is_express(d) && !(flags & PCI_MODEL_PM_FORGETS));
	unsigned pmc = 3; /* version 1.2 */
	uint16_t wmask = PCI_PM_CTRL_STATE_MASK;

	pmc |= (flags & PCI_MODEL_PM_D1 ? PCI_PM_CAP_D1 : 0) | (flags & PCI_MODEL_PM_D2 ? PCI_PM_CAP_D2 : 0);
	if (flags & PCI_MODEL_PM_PME) {
		pmc |= PCI_PM_CAP_PME_MASK;
		wmask |= PCI_PM_CTRL_PME_ENABLE;
	}
	set16(d, at + PCI_PM_PMC, (uint16_t)pmc, 0);
	set16(d, at + PCI_PM_CTRL, keeps ? PCI_PM_CTRL_NO_SOFT_RESET : 0, wmask);
	d->priv->cap_pm = (uint16_t)at;
}

static void build_msi(struct pci_dev *d)
{
	const struct pci_model *m = &d->priv->model;
	unsigned length = 10 + (m->msi_64bit ? 4 : 0) + (m->msi_maskable ? 10 : 0);
	unsigned at = cap_add(d, PCI_CAP_ID_MSI, length);
	unsigned log2 = (unsigned)__builtin_ctz(m->msi_vectors);
	unsigned data = at + (m->msi_64bit ? PCI_MSI_DATA_64 : PCI_MSI_DATA_32);
	uint16_t flags = (uint16_t)(log2 << 1);

	flags |= (m->msi_64bit ? PCI_MSI_FLAGS_64BIT : 0) | (m->msi_maskable ? PCI_MSI_FLAGS_MASKBIT : 0);
	set16(d, at + PCI_MSI_FLAGS, flags, PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE);
	set32(d, at + PCI_MSI_ADDRESS_LO, 0, ~3u);
	if (m->msi_64bit)
		set32(d, at + PCI_MSI_ADDRESS_HI, 0, ~0u);
	set16(d, data, 0, 0xffff);
	if (m->msi_maskable)
		set32(d, data + 4, 0, m->msi_vectors == 32 ? ~0u : (1u << m->msi_vectors) - 1);
	d->priv->cap_msi = (uint16_t)at;
}

static void build_msix(struct pci_dev *d)
{
	const struct pci_model *m = &d->priv->model;
	unsigned at = cap_add(d, PCI_CAP_ID_MSIX, PCI_CAP_MSIX_SIZEOF);

	set16(d, at + PCI_MSIX_FLAGS, (uint16_t)(m->msix_vectors - 1), PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	set32(d, at + PCI_MSIX_TABLE, m->msix_table | m->msix_bar, 0);
	set32(d, at + PCI_MSIX_PBA, m->msix_pba | d->priv->msix.pba_bar, 0);
	d->priv->cap_msix = (uint16_t)at;
}

static void build_exp_link(struct pci_dev *d, unsigned at)
{
	uint16_t status = SPEED_8GT | 1 << 4; /* x1 */

	set32(d, at + PCI_EXP_LNKCAP, SPEED_8GT | 1u << 4 | (d->bridge ? PCI_EXP_LNKCAP_DLLLARC : 0), 0);
	set16(d, at + PCI_EXP_LNKCTL, 0, 0x0ffb);
	set16(d, at + PCI_EXP_LNKSTA, status | (d->bridge ? PCI_EXP_LNKSTA_DLLLA : 0), 0);
	set32(d, at + PCI_EXP_LNKCAP2, SPEEDS_TO_8GT, 0);
	set16(d, at + PCI_EXP_LNKCTL2, SPEED_8GT, 0xffff);
}

static void build_exp(struct pci_dev *d)
{
	struct pci_priv *p = d->priv;
	unsigned at = cap_add(d, PCI_CAP_ID_EXP, EXP_LENGTH);
	bool down = d->type == PCI_ROOT_PORT || d->type == PCI_DOWNSTREAM;
	uint32_t devcap = PCI_EXP_DEVCAP_RBER | PCI_EXP_DEVCAP_EXT_TAG | 1 /* payload up to 256 */;

	p->cap_exp = (uint16_t)at;
	set16(d, at + PCI_EXP_FLAGS,
	      (uint16_t)(EXP_VERSION | (unsigned)d->type << 4 | (down ? PCI_EXP_FLAGS_SLOT : 0)), 0);
	if (p->model.flr)
		devcap |= PCI_EXP_DEVCAP_FLR;
	set32(d, at + PCI_EXP_DEVCAP, devcap, 0);
	/* relaxed ordering, no snoop, read requests of 512: the reset values; bit 15 is FLR */
	set16(d, at + PCI_EXP_DEVCTL, 0x2810, 0x7fff | (p->model.flr ? PCI_EXP_DEVCTL_BCR_FLR : 0));
	put16(&p->cfg.w1c[at + PCI_EXP_DEVSTA], 0x000f);
	set32(d, at + PCI_EXP_DEVCAP2, p->desc.atomics, 0);
	set16(d, at + PCI_EXP_DEVCTL2, 0, 0xffff);
	if (d->type != PCI_RC_ENDPOINT && d->type != PCI_RC_EVENT)
		build_exp_link(d, at);
	if (down) {
		set32(d, at + PCI_EXP_SLTCAP, (uint32_t)d->secondary->number << 19, 0);
		set16(d, at + PCI_EXP_SLTCTL, 0, 0x1fff);
		set16(d, at + PCI_EXP_SLTSTA, PCI_EXP_SLTSTA_PDS, 0);
	}
	if (d->type == PCI_ROOT_PORT)
		set16(d, at + PCI_EXP_RTCTL, 0, 0x001f);
}

static void build_af(struct pci_dev *d)
{
	unsigned at = cap_add(d, PCI_CAP_ID_AF, PCI_CAP_AF_SIZEOF);

	set8(d, at + PCI_AF_LENGTH, PCI_CAP_AF_SIZEOF, 0);
	set8(d, at + PCI_AF_CAP, PCI_AF_CAP_TP | PCI_AF_CAP_FLR, 0);
	set8(d, at + PCI_AF_CTRL, 0, PCI_AF_CTRL_FLR);
	d->priv->cap_af = (uint16_t)at;
}

static void build_vpd(struct pci_dev *d)
{
	unsigned at = cap_add(d, PCI_CAP_ID_VPD, PCI_CAP_VPD_SIZEOF);

	set16(d, at + PCI_VPD_ADDR, 0, 0xffff);
	set32(d, at + PCI_VPD_DATA, 0, ~0u);
	d->priv->cap_vpd = (uint16_t)at;
}

static void build_raw(struct pci_dev *d, const struct pci_cap_desc *c)
{
	if (c->at < PCI_CFG_SPACE_SIZE)
		cap_link(d, c->at, (uint8_t)c->id);
	else
		ext_link(d, c->at, c->id, c->version);
	pci_raw_cap_fill(d, c);
}

/* All but the one that is built before the others, as the chain begins there. */
static void build_raws(struct pci_dev *d, const struct pci_dev_desc *desc)
{
	for (unsigned i = 0; i < desc->ncaps; i++) {
		if (desc->caps[i].at != PCI_CFG_SPACE_SIZE)
			build_raw(d, &desc->caps[i]);
	}
}

static void build_aer(struct pci_dev *d)
{
	struct pci_priv *p = d->priv;

	ext_add(d, EXT_AER, 0x38, PCI_EXT_CAP_ID_ERR, 1);
	put32(&p->cfg.w1c[EXT_AER + PCI_ERR_UNCOR_STATUS], 0x01ff0031);
	set32(d, EXT_AER + PCI_ERR_UNCOR_MASK, 0, 0x01ff0031);
	set32(d, EXT_AER + PCI_ERR_UNCOR_SEVER, 0x00062011, 0x01ff0031);
	put32(&p->cfg.w1c[EXT_AER + PCI_ERR_COR_STATUS], 0x0000f1c1);
	set32(d, EXT_AER + PCI_ERR_COR_MASK, 0x00002000, 0x0000f1c1);
	set32(d, EXT_AER + PCI_ERR_CAP, PCI_ERR_CAP_ECRC_GENC | PCI_ERR_CAP_ECRC_CHKC,
	      PCI_ERR_CAP_ECRC_GENE | PCI_ERR_CAP_ECRC_CHKE);
}

/* Some Intel root ports have the three registers four bytes apart instead of two (spec 10, 1.4). */
static void build_acs(struct pci_dev *d, const struct pci_dev_desc *desc)
{
	struct pci_priv *p = d->priv;
	uint16_t wmask = desc->acs_cap & 0x7f;

	ext_add(d, EXT_ACS, p->acs_wide ? 12 : 8, PCI_EXT_CAP_ID_ACS, 1);
	p->ext_acs = EXT_ACS;
	if (p->acs_wide) {
		set32(d, EXT_ACS + PCI_ACS_CAP, desc->acs_cap, 0);
		set32(d, EXT_ACS + 8, desc->acs_ctrl & wmask, wmask);
	} else {
		set16(d, EXT_ACS + PCI_ACS_CAP, desc->acs_cap, 0);
		set16(d, EXT_ACS + PCI_ACS_CTRL, desc->acs_ctrl & wmask, wmask);
	}
	p->acs_firmware = desc->acs_ctrl & (uint8_t)wmask;
}

/* Only that it is there and can be switched on: nobody here keeps translations. */
static void build_ats(struct pci_dev *d)
{
	ext_add(d, EXT_ATS, PCI_EXT_CAP_ATS_SIZEOF, PCI_EXT_CAP_ID_ATS, 1);
	set16(d, EXT_ATS + PCI_ATS_CAP, PCI_ATS_CAP_PAGE_ALIGNED, 0);
	set16(d, EXT_ATS + PCI_ATS_CTRL, 0, PCI_ATS_CTRL_ENABLE | PCI_ATS_CTRL_STU(0x1f));
}

/* What the host switches on before it lets programs attach to them; nobody here looks whether it did. */
static void build_pasid(struct pci_dev *d, uint8_t bits)
{
	ext_add(d, EXT_PASID, PCI_EXT_CAP_PASID_SIZEOF, PCI_EXT_CAP_ID_PASID, 1);
	set16(d, EXT_PASID + PCI_PASID_CAP, (uint16_t)(bits << 8), 0);
	set16(d, EXT_PASID + PCI_PASID_CTRL, 0, PCI_PASID_CTRL_ENABLE);
}

static void build_pri(struct pci_dev *d, bool pasid)
{
	ext_add(d, EXT_PRI, PCI_EXT_CAP_PRI_SIZEOF, PCI_EXT_CAP_ID_PRI, 1);
	set16(d, EXT_PRI + PCI_PRI_CTRL, 0, PCI_PRI_CTRL_ENABLE);
	set16(d, EXT_PRI + PCI_PRI_STATUS, PCI_PRI_STATUS_STOPPED | (pasid ? PCI_PRI_STATUS_PASID : 0), 0);
	set32(d, EXT_PRI + PCI_PRI_MAX_REQ, PRI_OUTSTANDING, 0);
	set32(d, EXT_PRI + PCI_PRI_ALLOC_REQ, 0, ~0u);
}

/* What the host's software writes, sriov.c does. The virtual functions' BARs are not declared here but in themselves. */
static void build_sriov(struct pci_dev *d, const struct pci_sriov_desc *s)
{
	ext_add(d, EXT_SRIOV, PCI_EXT_CAP_SRIOV_SIZEOF, PCI_EXT_CAP_ID_SRIOV, 1);
	set16(d, EXT_SRIOV + PCI_SRIOV_INITIAL_VF, s->total, 0);
	set16(d, EXT_SRIOV + PCI_SRIOV_TOTAL_VF, s->total, 0);
	set16(d, EXT_SRIOV + PCI_SRIOV_VF_OFFSET, s->offset, 0);
	set16(d, EXT_SRIOV + PCI_SRIOV_VF_STRIDE, s->stride, 0);
	set16(d, EXT_SRIOV + PCI_SRIOV_VF_DID, s->function.device, 0);
	set32(d, EXT_SRIOV + PCI_SRIOV_SUP_PGSIZE, 0x553, 0); /* 4 KiB to 4 MiB, every second power */
	set32(d, EXT_SRIOV + PCI_SRIOV_SYS_PGSIZE, 1, 0);
	d->priv->ext_sriov = EXT_SRIOV;
}

static void build_ssvid(struct pci_dev *d)
{
	unsigned at = cap_add(d, PCI_CAP_ID_SSVID, 8);

	set16(d, at + PCI_SSVID_VENDOR_ID, d->subvendor, 0);
	set16(d, at + PCI_SSVID_DEVICE_ID, d->subdevice, 0);
}

/* Only that it is there: a driver that finds it binds; the slots behind it are not modelled. */
static void build_shpc(struct pci_dev *d)
{
	unsigned at = cap_add(d, PCI_CAP_ID_SHPC, 8);

	set8(d, at + 2, 0, 0xff);
	set32(d, at + 4, 0, 0);
}

static void build_bars(struct pci_dev *d)
{
	for (unsigned i = 0; i < PCI_BARS; i++) {
		const struct pci_bar *b = &d->priv->bar[i];
		unsigned at = PCI_BASE_ADDRESS_0 + 4 * i;
		uint64_t mask = ~(b->size - 1);
		uint32_t flags = b->prefetchable ? PCI_BASE_ADDRESS_MEM_PREFETCH : 0;

		switch (b->size ? b->kind : PCI_BAR_NONE) {
		case PCI_BAR_MEM64:
			set32(d, at, flags | PCI_BASE_ADDRESS_MEM_TYPE_64, (uint32_t)mask & ~0xfu);
			set32(d, at + 4, 0, (uint32_t)(mask >> 32));
			i++;
			break;
		case PCI_BAR_MEM32:
			set32(d, at, flags, (uint32_t)mask & ~0xfu);
			break;
		case PCI_BAR_IO:
			set32(d, at, PCI_BASE_ADDRESS_SPACE_IO, (uint32_t)mask & ~3u);
			break;
		case PCI_BAR_NONE:
			break;
		}
	}
	if (d->priv->bar[PCI_ROM].size)
		set32(d, PCI_ROM_ADDRESS, 0, (uint32_t)~(d->priv->bar[PCI_ROM].size - 1) | PCI_ROM_ADDRESS_ENABLE);
}

static void build_endpoint_header(struct pci_dev *d)
{
	const struct pci_model *m = &d->priv->model;

	set16(d, PCI_SUBSYSTEM_VENDOR_ID, d->subvendor, 0);
	set16(d, PCI_SUBSYSTEM_ID, d->subdevice, 0);
	if (d->priv->desc.virtual)
		return;
	set8(d, PCI_INTERRUPT_PIN, m->intx_pin, 0);
	build_bars(d);
}

static void build_bridge_header(struct pci_dev *d)
{
	set32(d, PCI_PRIMARY_BUS, 0, 0xffffff);
	set8(d, PCI_SEC_LATENCY_TIMER, 0, pci_is_express(d) ? 0 : 0xff);
	set16(d, PCI_IO_BASE, 0x00f0 | PCI_IO_RANGE_TYPE_32 | PCI_IO_RANGE_TYPE_32 << 8, 0xf0f0);
	put16(&d->priv->cfg.w1c[PCI_SEC_STATUS], 0xf900);
	set32(d, PCI_MEMORY_BASE, 0x0000fff0, 0xfff0fff0);
	set32(d, PCI_PREF_MEMORY_BASE, 0x0000fff0 | PCI_PREF_RANGE_TYPE_64 | PCI_PREF_RANGE_TYPE_64 << 16, 0xfff0fff0);
	set32(d, PCI_PREF_BASE_UPPER32, 0, ~0u);
	set32(d, PCI_PREF_LIMIT_UPPER32, 0, ~0u);
	set32(d, PCI_IO_BASE_UPPER16, 0, ~0u);
	set8(d, PCI_INTERRUPT_PIN, pci_is_express(d) ? 1 : 0, 0);
	set16(d, PCI_BRIDGE_CONTROL, 0, pci_is_express(d) ? 0x005f : 0x0fff);
}

static void build_header(struct pci_dev *d)
{
	bool vf = d->priv->desc.virtual; /* its ids and its BARs are in the physical function's capability */
	uint16_t command = vf ? PCI_COMMAND_MASTER : PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY |
			   PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE;

	set16(d, PCI_VENDOR_ID, vf ? 0xffff : d->vendor, 0);
	set16(d, PCI_DEVICE_ID, vf ? 0xffff : d->device, 0);
	set16(d, PCI_COMMAND, 0, command);
	put16(&d->priv->cfg.w1c[PCI_STATUS], 0xf900);
	set32(d, PCI_CLASS_REVISION, d->class_code << 8 | d->priv->model.revision, 0);
	set8(d, PCI_CACHE_LINE_SIZE, 0, 0xff);
	set8(d, PCI_LATENCY_TIMER, 0, pci_is_express(d) ? 0 : 0xff);
	set8(d, PCI_HEADER_TYPE, (d->bridge ? PCI_HEADER_TYPE_BRIDGE : 0) | (d->multifunction ? 0x80 : 0), 0);
	set8(d, PCI_INTERRUPT_LINE, 0, 0xff);
	if (d->bridge)
		build_bridge_header(d);
	else
		build_endpoint_header(d);
}

/* Extended capabilities beside a model's raw registers: the model must not claim a byte of ours. */
static int check_model_dwords(struct pci_dev *d)
{
	const struct pci_model *m = &d->priv->model;

	for (unsigned i = 0; i < ARRAY_SIZE(m->extended_config_writable) && m->extended_config_writable[i]; i++) {
		unsigned at = m->extended_config_writable[i];

		if (at < 0x100 || at % 4 || at >= d->config_size || get32(&d->priv->cfg.val[at])) {
			log_msg(d->pci->log, LOG_ERR, "%s: model %s claims config dword 0x%x, which is not free",
				d->dev.name, m->name, at);
			return -EINVAL;
		}
	}
	return 0;
}

int pci_caps_build(struct pci_dev *d, const struct pci_dev_desc *desc)
{
	const struct pci_model *m = &d->priv->model;

	build_header(d);
	if (m->power_management || (d->bridge && pci_is_express(d)))
		build_pm(d);
	if (m->msi_vectors)
		build_msi(d);
	if (m->msix_vectors)
		build_msix(d);
	if (d->bridge && desc->shpc)
		build_shpc(d);
	if (d->bridge && d->subvendor)
		build_ssvid(d);
	if (pci_is_express(d))
		build_exp(d);
	if (m->af || (m->flr && !pci_is_express(d)))
		build_af(d);
	if (m->vpd_size)
		build_vpd(d);
	if (d->config_size > PCI_CFG_SPACE_SIZE) {
		const struct pci_cap_desc *first = pci_raw_cap_over(desc, PCI_CFG_SPACE_SIZE, 4);

		if (first)
			build_raw(d, first);
		else
			build_aer(d);
		if (desc->has_acs)
			build_acs(d, desc);
		if (desc->ats)
			build_ats(d);
		if (desc->sriov)
			build_sriov(d, desc->sriov);
		/* Virtual functions have their physical one's. */
		if (desc->pasid && !desc->virtual)
			build_pasid(d, desc->pasid);
		if (desc->pri && !desc->virtual)
			build_pri(d, desc->pasid);
	}
	build_raws(d, desc);
	if (d->priv->caps_wrong) {
		log_msg(d->pci->log, LOG_ERR, "%s: %s", d->dev.name, d->priv->caps_wrong);
		return -EINVAL;
	}
	return check_model_dwords(d);
}
