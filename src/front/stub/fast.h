/* SPDX-License-Identifier: MIT */
/* Blob only: a load answered from the mirror. */
#ifndef UVFIO_FRONT_STUB_FAST_H
#define UVFIO_FRONT_STUB_FAST_H

#include <stdint.h>

/** stub_fast_load - 1: *@value is what the device would have answered; 0: ask the supervisor */
int stub_fast_load(uint64_t addr, unsigned width, uint64_t *value);

#endif
