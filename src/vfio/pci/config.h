/* SPDX-License-Identifier: MIT */
/*
 * The virtual config space of one open function. perm.c builds it from the hardware's capability chains,
 * config.c reads and writes through it.
 *
 * Each byte has an owner (the header, a capability, or nobody) and two masks. A bit of @virt is read from
 * @bytes instead of the hardware, a bit of @wmask can be written: to @bytes when it is virtual, to the
 * hardware when not. Bytes that nobody owns are the hardware's, both ways (spec 20, 2.1).
 */
#ifndef UVFIO_VFIO_PCI_CONFIG_H
#define UVFIO_VFIO_PCI_CONFIG_H

#include "vfio/pci/priv.h"

#define CONFIG_MAX      4096u
#define CONFIG_NO_OWNER 0xffffu

/* What a write does besides the masks. */
enum config_hook {
	HOOK_NONE,
	HOOK_HEADER,
	HOOK_PM,
	HOOK_VPD,
	HOOK_MSI,
	HOOK_EXP,
	HOOK_AF,
};

/* [c] config_lock: the bytes; the rest is immutable once built, but for bars_dirty [c] */
struct vfio_pci_config {
	unsigned size;              /* 256 or 4096 */
	uint8_t bytes[CONFIG_MAX];  /* [c] what the user sees and has written */
	uint8_t virt[CONFIG_MAX];
	uint8_t wmask[CONFIG_MAX];
	uint8_t hook[CONFIG_MAX];   /* enum config_hook, of the owner */
	uint16_t owner[CONFIG_MAX]; /* where the owning capability starts; 0: header; CONFIG_NO_OWNER */
	uint32_t rbar[VFIO_PCI_NBARS + 1]; /* the hardware's BARs and ROM at open, to repair a reset behind our back */
	bool bars_dirty;            /* [c] the user wrote a BAR: fix up before the next read of one */
};

static inline uint32_t config_get(const uint8_t *p, unsigned width)
{
	uint32_t x = 0;

	for (unsigned i = 0; i < width; i++)
		x |= (uint32_t)p[i] << (8 * i);
	return x;
}

static inline void config_put(uint8_t *p, unsigned width, uint32_t value)
{
	for (unsigned i = 0; i < width; i++)
		p[i] = (uint8_t)(value >> (8 * i));
}

#endif
