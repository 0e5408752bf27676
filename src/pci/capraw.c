/* SPDX-License-Identifier: MIT */
/*
 * Capabilities that a description gives byte by byte. caps.c links them; the others are placed around them.
 */
#include "pci/priv.h"

static unsigned header_size(const struct pci_cap_desc *c)
{
	return c->at < PCI_CFG_SPACE_SIZE ? 2 : 4;
}

unsigned pci_raw_cap_size(const struct pci_cap_desc *c)
{
	return header_size(c) + c->length;
}

static bool touches(const struct pci_cap_desc *c, unsigned at, unsigned length)
{
	return c->at < at + length && at < c->at + pci_raw_cap_size(c);
}

const struct pci_cap_desc *pci_raw_cap_over(const struct pci_dev_desc *desc, unsigned at, unsigned length)
{
	for (unsigned i = 0; i < desc->ncaps; i++) {
		if (touches(&desc->caps[i], at, length))
			return &desc->caps[i];
	}
	return NULL;
}

const char *pci_cap_check(const struct pci_dev_desc *desc, unsigned i, unsigned config_size)
{
	const struct pci_cap_desc *c = &desc->caps[i];
	unsigned space = c->at < PCI_CFG_SPACE_SIZE ? PCI_CFG_SPACE_SIZE : PCI_CFG_SPACE_EXP_SIZE;

	if (c->at % 4 || c->at < PCI_STD_HEADER_SIZEOF)
		return "a capability is at a multiple of 4, from 0x40 on";
	if (c->at >= config_size)
		return "only functions of PCIe have extended capabilities (from 0x100 on)";
	if (c->at + pci_raw_cap_size(c) > space)
		return "the capability reaches over the end of config space";
	if (c->at < PCI_CFG_SPACE_SIZE ? c->id > 0xff : c->version > 15)
		return c->at < PCI_CFG_SPACE_SIZE ? "ids of standard capabilities have 8 bits" : "versions have 4 bits";
	for (unsigned j = 0; j < i; j++) {
		if (touches(&desc->caps[j], c->at, pci_raw_cap_size(c)))
			return "the capability overlaps one before it";
	}
	return NULL;
}

void pci_raw_cap_fill(struct pci_dev *d, const struct pci_cap_desc *c)
{
	struct pci_config *cfg = &d->priv->cfg;
	unsigned at = c->at + header_size(c);

	for (unsigned i = 0; i < c->length; i++) {
		cfg->val[at + i] = c->bytes ? c->bytes[i] : 0;
		cfg->wmask[at + i] = c->write ? c->write[i] : 0;
		cfg->w1c[at + i] = c->clear ? c->clear[i] : 0;
	}
}
