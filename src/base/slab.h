/* SPDX-License-Identifier: MIT */
/*
 * Objects of one size, very many of them: what a program may have a million of. They begin at cache lines, are not
 * mixed with anything else, and from some 2 MiB of them on lie in huge pages, so that reaching one at random costs one
 * cache miss and no walk of the host's page tables. Memory goes back when the slab ends, not before.
 *
 * Not locked: the owner's lock guards it.
 */
#ifndef UVFIO_BASE_SLAB_H
#define UVFIO_BASE_SLAB_H

#include "base/defs.h"

struct slab_chunk;

struct slab {
	size_t size;              /* [I] of an object, a multiple of 64 */
	void *free;               /* objects that came back, linked by their first word; the last one first */
	char *fresh, *end;        /* the newest chunk's part that was never used */
	struct slab_chunk *chunks;
	size_t next;              /* bytes of the next chunk */
	size_t live;              /* objects in use */
};

/** slab_init - @size: bytes of an object */
void slab_init(struct slab *s, size_t size);
/** slab_fini - every object has been given back; accepts zeroed memory */
void slab_fini(struct slab *s);
/**
 * slab_alloc - an object: zeros the first time, later as it was when it was given back, but for its first word, which is 0
 * Return: NULL: no memory
 */
void *slab_alloc(struct slab *s);
/** slab_free - @p: of this slab; NULL is fine */
void slab_free(struct slab *s, void *p);

#endif
