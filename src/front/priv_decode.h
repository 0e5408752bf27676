/* SPDX-License-Identifier: MIT */
/* Between the decoder (mmio_decode.c) and the thunk area (mmio_thunk.c). */
#ifndef UVFIO_FRONT_PRIV_DECODE_H
#define UVFIO_FRONT_PRIV_DECODE_H

#include "front/mmio.h"
#include "front/priv_mmio.h"
#include <Zydis/Zydis.h>

struct thunk_plan {
	unsigned memory; /* index of the memory operand */
	uint32_t used;   /* general registers the instruction names or implies, hardware numbers */
};

/**
 * mmio_thunk_make - find or write the thunk of out->bytes and set out->thunk
 * Return: 0; -EINVAL it cannot be re-encoded; -ENOSPC
 */
int mmio_thunk_make(struct mmio_thunks *t, const ZydisDecodedInstruction *i, const ZydisDecodedOperand *o,
		    const struct thunk_plan *plan, struct mmio_insn *out);
/** mmio_thunks_code - the area as this process may execute it, mapped on the first call; NULL: refused by the system */
const uint8_t *mmio_thunks_code(struct mmio_thunks *t);

#endif
