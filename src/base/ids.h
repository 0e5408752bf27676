/* SPDX-License-Identifier: MIT */
/* Small integers, lowest free first (group ids, vfioN, region slots). Not locked: the owner's lock guards it. */
#ifndef UVFIO_BASE_IDS_H
#define UVFIO_BASE_IDS_H

#include "base/defs.h"

struct ids {
	uint64_t *words; /* a set bit is a used id */
	unsigned nwords;
	unsigned hint;   /* every word below is full */
};

/** ids_fini - free the set; accepts zeroed memory, which is also a valid empty set */
void ids_fini(struct ids *s);
/**
 * ids_alloc - take the lowest free id
 * @out: the id; untouched on failure
 * Return: 0; -ENOMEM
 */
int ids_alloc(struct ids *s, unsigned *out);
/** ids_free - give an id back; it must be in use */
void ids_free(struct ids *s, unsigned id);

#endif
