/* SPDX-License-Identifier: MIT */
/*
 * The ROM region (spec 20, 1.6 and 1.8). It is as large as its BAR if there is an image in it, and the image says itself
 * how long it is: what is behind it reads ones. To look, memory and the ROM's own decoding are switched on and back, with
 * memory_lock held for write, so nobody sees it. To read it, the program must have memory enabled.
 *
 * Linux looks and reads under the lock too, but not in one go; here a piece of a read finds the image and takes its bytes
 * under one lock.
 */
#include "vfio/pci/priv.h"
#include <string.h>

#define BOUNCE          4096u
#define ROM_SIGNATURE   0xaa55u
#define ROM_POINTER     0x18u      /* of an image: where its data structure is */
#define PCIR_SIGNATURE  0x52494350u
#define PCIR_LENGTH     16u        /* in the data structure: of the image, in blocks */
#define PCIR_INDICATOR  21u
#define PCIR_LAST       0x80u
#define ROM_BLOCK       512u

/* ---- the image ---- */

/* A word of the ROM wherever it is; ones outside. */
static uint32_t rom_get(struct pci_dev *d, uint64_t at, unsigned width)
{
	uint64_t size = pci_rom(d).size;
	uint32_t v = 0;

	for (unsigned i = 0; i < width; i++) {
		uint8_t byte = 0xff;

		if (at + i < size)
			pci_rom_read(d, at + i, &byte, 1);
		v |= (uint32_t)byte << 8 * i;
	}
	return v;
}

/* Bytes of all images, one behind the other; 0: there is none. */
static uint64_t image_length(struct pci_dev *d)
{
	uint64_t size = pci_rom(d).size, at = 0;

	while (at < size && rom_get(d, at, 2) == ROM_SIGNATURE) {
		uint64_t pcir = at + rom_get(d, at + ROM_POINTER, 2);
		uint32_t blocks;

		if (rom_get(d, pcir, 4) != PCIR_SIGNATURE)
			break;
		blocks = rom_get(d, pcir + PCIR_LENGTH, 2);
		at += (uint64_t)blocks * ROM_BLOCK;
		if (!blocks || (rom_get(d, pcir + PCIR_INDICATOR, 1) & PCIR_LAST))
			break;
	}
	return MIN(at, size);
}

/* A ROM with a BAR decodes between these two. */
static void rom_enable(struct pci_dev *d, bool on)
{
	struct pci_rom rom = pci_rom(d);

	if (rom.kind == PCI_ROM_BAR)
		pci_config_write(d, PCI_ROM_ADDRESS, 4, (uint32_t)rom.address | (on ? PCI_ROM_ADDRESS_ENABLE : 0));
}

static uint64_t power_of_two(uint64_t n)
{
	uint64_t p = 1;

	while (p < n)
		p *= 2;
	return p;
}

uint64_t vfio_pci_rom_region(struct vfio_pci_device *v)
{
	struct pci_dev *d = v->pdev;
	struct pci_rom rom = pci_rom(d);
	uint32_t command;
	uint64_t length;

	if (!rom.size || rom.kind == PCI_ROM_FIRMWARE)
		return rom.size ? power_of_two(rom.size) : 0;
	SCOPED_WRITE(&v->memory_lock);
	command = pci_config_read(d, PCI_COMMAND, 2);
	if (!(command & PCI_COMMAND_MEMORY))
		pci_config_write(d, PCI_COMMAND, 2, command | PCI_COMMAND_MEMORY);
	rom_enable(d, true);
	length = image_length(d);
	rom_enable(d, false);
	if (!(command & PCI_COMMAND_MEMORY))
		pci_config_write(d, PCI_COMMAND, 2, command);
	return length ? rom.size : 0;
}

/* ---- reading ---- */

/* [@p, +@n) of the ROM, ones from @length on, as the bus carries it: 1, 2 or 4 bytes at once. */
static void rom_bytes(struct pci_dev *d, uint64_t pos, uint8_t *p, size_t n, uint64_t length)
{
	while (n) {
		unsigned w = 4;

		if (pos >= length) {
			memset(p, 0xff, n);
			return;
		}
		while (w > n || pos % w || w > length - pos)
			w /= 2;
		pci_rom_read(d, pos, p, w);
		pos += w;
		p += w;
		n -= w;
	}
}

/* -ENOMEM: there is no image to be found, which is also what a ROM that does not decode looks like */
static int rom_piece(struct vfio_pci_device *v, uint64_t pos, uint8_t *p, size_t n)
{
	struct pci_rom rom = pci_rom(v->pdev);
	uint64_t length = rom.size;
	SCOPED_WRITE(&v->memory_lock);

	rom_enable(v->pdev, true);
	if (rom.kind != PCI_ROM_FIRMWARE)
		length = image_length(v->pdev);
	if (length)
		rom_bytes(v->pdev, pos, p, n, length);
	rom_enable(v->pdev, false);
	if (!length)
		return -ENOMEM;
	/* The shadow is in the host's memory, but counts as memory of the function. */
	return rom.kind == PCI_ROM_SHADOW && !vfio_pci_memory_enabled_locked(v) ? -EIO : 0;
}

ssize_t vfio_pci_rom_read(struct vfio_pci_device *v, struct task *t, uva_t buf, size_t count, uint64_t pos)
{
	uint64_t end = power_of_two(pci_rom(v->pdev).size);
	uint8_t bytes[BOUNCE];
	size_t done = 0;

	if (!pci_rom(v->pdev).size || pos >= end)
		return -EINVAL;
	count = MIN(count, end - pos);
	while (done < count) {
		size_t n = MIN(count - done, BOUNCE - (pos + done) % BOUNCE);
		int rc = rom_piece(v, pos + done, bytes, n);

		if (rc) /* found before and gone now: memory was disabled meanwhile */
			return done ? -EIO : rc;
		if (task_copy_out(t, buf + done, bytes, n))
			return -EFAULT;
		done += n;
	}
	return (ssize_t)done;
}
