/* SPDX-License-Identifier: MIT */
/*
 * Vital product data: an address, a data register, and a flag that tells whose turn it is. The hardware is done before
 * the write that asks it returns. An address beyond the end is not answered: the flag stays as it was written.
 */
#include "pci/priv.h"
#include <string.h>

int pci_vpd_init(struct pci_dev *d)
{
	struct pci_priv *p = d->priv;

	if (!p->model.vpd_size)
		return 0;
	p->vpd = calloc(1, p->model.vpd_size);
	return p->vpd ? 0 : -ENOMEM;
}

void pci_vpd_fini(struct pci_dev *d)
{
	free(d->priv->vpd);
}

void pci_vpd_written_locked(struct pci_dev *d, unsigned offset, unsigned width)
{
	struct pci_priv *p = d->priv;
	uint8_t *reg = &p->cfg.val[p->cap_vpd];
	unsigned flag_at = p->cap_vpd + PCI_VPD_ADDR + 1u, at;

	if (!p->cap_vpd || offset > flag_at || offset + width <= flag_at)
		return;
	at = get16(reg + PCI_VPD_ADDR) & PCI_VPD_ADDR_MASK;
	if (at + 4u > p->model.vpd_size)
		return;
	if (reg[PCI_VPD_ADDR + 1] & PCI_VPD_ADDR_F >> 8)
		memcpy(p->vpd + at, reg + PCI_VPD_DATA, 4);
	else
		memcpy(reg + PCI_VPD_DATA, p->vpd + at, 4);
	reg[PCI_VPD_ADDR + 1] ^= PCI_VPD_ADDR_F >> 8;
}
