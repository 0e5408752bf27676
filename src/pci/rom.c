/* SPDX-License-Identifier: MIT */
/*
 * The expansion ROM: its bytes are the model's, read 1, 2 or 4 at a time. With a BAR of its own it is at an address
 * like other memory, which its register enables besides COMMAND. Without one its image is in the host's memory: firmware
 * has brought it, or copied it to where boot displays have theirs.
 */
#include "pci/priv.h"
#include <string.h>

#define ROM_LEAST     2048u
#define ROM_MOST      (16u << 20)
#define ROM_LONGEST   (64u << 20) /* of firmware's images */
#define SHADOW_ADDRESS 0xc0000u
#define SHADOW_SIZE    0x20000u

int pci_rom_take(struct pci_dev *d, const char **why)
{
	struct pci_priv *p = d->priv;
	uint64_t size = p->model.rom_size;
	bool power = !(size & (size - 1));

	*why = "a ROM's size is not a power of two from 2 KiB to 16 MiB";
	p->rom = (struct pci_rom){ .kind = p->model.rom_kind, .size = size };
	if (!size)
		return 0;
	switch (p->model.rom_kind) {
	case PCI_ROM_BAR:
		if (!power || size < ROM_LEAST || size > ROM_MOST)
			return -EINVAL;
		p->bar[PCI_ROM] = (struct pci_bar){ .kind = PCI_BAR_MEM32, .size = size };
		return 0;
	case PCI_ROM_FIRMWARE:
		*why = "firmware's image of a ROM is longer than 64 MiB";
		return size > ROM_LONGEST ? -EINVAL : 0;
	case PCI_ROM_SHADOW:
		p->rom.size = SHADOW_SIZE;
		p->rom.address = SHADOW_ADDRESS;
		return 0;
	}
	*why = "there is no such kind of ROM";
	return -EINVAL;
}

struct pci_rom pci_rom(struct pci_dev *d)
{
	struct pci_rom rom = d->priv->rom;

	if (rom.kind == PCI_ROM_BAR)
		rom.address = d->priv->bar[PCI_ROM].address;
	return rom;
}

/* The largest aligned piece that a ROM's bus carries. */
static unsigned piece(uint64_t offset, unsigned n)
{
	unsigned w = 4;

	while (w > n || offset % w)
		w /= 2;
	return w;
}

static void model_read(struct pci_dev *d, uint64_t offset, uint8_t *data, unsigned n)
{
	for (unsigned w; n; n -= w, offset += w, data += w) {
		w = piece(offset, n);
		pci_model_access(d, PCI_ROM, offset, data, w, false);
	}
}

void pci_rom_bar_read(struct pci_dev *d, uint64_t offset, void *data, unsigned width)
{
	model_read(d, offset, data, width);
}

void pci_rom_read(struct pci_dev *d, uint64_t offset, void *data, unsigned width)
{
	if (d->priv->rom.kind == PCI_ROM_BAR) {
		pci_bar_access(d, PCI_ROM, offset, data, width, false);
		return;
	}
	SCOPED_READ(&d->priv->access);
	memset(data, 0xff, width);
	if (!atomic_load(&d->priv->gone) && offset < d->priv->rom.size && width <= d->priv->rom.size - offset)
		model_read(d, offset, data, width);
}
