/* SPDX-License-Identifier: MIT */
/*
 * A device that is all software: no bus, no DMA of its own, a page of registers through which its program has it
 * use the functions that such devices have (pin, unpin, copy; spec 10, 4.5) and read what they said. It stands
 * for the mediated devices of a kernel, and is the one to copy when writing another.
 *
 * One region, read and written with pread and pwrite in 8-byte registers:
 *	0x00 ID            "UVFIOEMU"
 *	0x08 IOVA          what a command is about: an address,
 *	0x10 COUNT         pages (pin, unpin) or bytes (the others),
 *	0x18 PROT          1 the device may read, 2 write (pin)
 *	0x20 COMMAND       a write carries it out, see enum below
 *	0x28 RESULT        what the function returned: pages, 0, or a negative errno; read only, as all below
 *	0x30 PINNED        pins that are held
 *	0x38 NOTICES       unmaps that it was told of, and the last one's
 *	0x40 NOTICE_IOVA   address
 *	0x48 NOTICE_LENGTH and bytes
 *	0x800 DATA         2 KiB that copies go to and come from
 * It is found below /sys/devices/virtual/vfio-emulated by its name, which is also its name for GET_DEVICE_FD.
 */
#ifndef UVFIO_VFIO_EMULATED_H
#define UVFIO_VFIO_EMULATED_H

#include "vfio/vfio.h"

enum vfio_emu_command {
	VFIO_EMU_PIN = 1,
	VFIO_EMU_UNPIN = 2,
	VFIO_EMU_COPY_IN = 3,  /* program's memory to DATA */
	VFIO_EMU_COPY_OUT = 4, /* DATA to program's memory */
	VFIO_EMU_LOAD = 5,     /* as COPY_IN and _OUT, but by the address that pinning gave: one pinned page */
	VFIO_EMU_STORE = 6,
};

#define VFIO_EMU_SIZE 4096
#define VFIO_EMU_DATA 0x800

struct vfio_emu;

/**
 * vfio_emu_create - make and register one
 * @name: at most 15 characters; @deaf: one without the callback of unmaps, that may not pin
 * Return: 0; -EEXIST the name is taken; -ENOMEM
 */
int vfio_emu_create(struct vfio *vfio, struct tree *tree, struct mem *mem, const char *name, bool deaf,
		    struct vfio_emu **out);
/** vfio_emu_destroy - blocks until its files are closed; NULL is fine */
void vfio_emu_destroy(struct vfio_emu *e);

#endif
