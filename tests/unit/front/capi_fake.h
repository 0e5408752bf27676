/* SPDX-License-Identifier: MIT */
/* The fake machine (capi_fake.c) for the tests of the embedded door (capi.c). */
#ifndef UVFIO_TESTS_CAPI_FAKE_H
#define UVFIO_TESTS_CAPI_FAKE_H

#include "front/capi/priv.h"
#include "mem/mem.h"

#define PAGE 4096ul

struct machine {
	struct log log;
	struct tree *tree;
	struct mem *mem;
	int memfd;
	atomic_bool disabled;
	atomic_int open;
	unsigned char regs[5 * PAGE];
};

extern struct machine *last; /* the one made last */

/* ioctls of its files */
enum { GET_U64 = 1, SIGNAL, PIN, DUP, WHO, CAPS, SLEEP };

#endif
