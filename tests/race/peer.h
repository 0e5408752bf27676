/* SPDX-License-Identifier: MIT */
/* A device, an edu, that does DMA for a race test: words to and from where the test says, with the test waiting. */
#ifndef UVFIO_TESTS_RACE_PEER_H
#define UVFIO_TESTS_RACE_PEER_H

#include "race.h"

#define PEER_BDF  "0000:00:05.0"
#define PEER_WORD 0x100000u /* IOVA of the test's own memory, one page; addresses have 28 bits */

struct peer {
	int device;
	volatile uint64_t *page; /* to be mapped at PEER_WORD */
};

/** peer_begin - @device is open; memory and bus mastering on */
void peer_begin(struct peer *p, int device);
void peer_end(struct peer *p);
/** peer_store, peer_load - one word; what does not get there is lost, or reads 0 */
void peer_store(struct peer *p, uint64_t iova, uint64_t value);
uint64_t peer_load(struct peer *p, uint64_t iova);

#endif
