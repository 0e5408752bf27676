/* SPDX-License-Identifier: MIT */
/* A counted reference. The last put returns true, and the caller frees. */
#ifndef UVFIO_BASE_REF_H
#define UVFIO_BASE_REF_H

#include "base/defs.h"

struct ref {
	atomic_uint n;
};

static inline void ref_init(struct ref *r)
{
	atomic_init(&r->n, 1);
}

static inline void ref_get(struct ref *r)
{
	atomic_fetch_add_explicit(&r->n, 1, memory_order_relaxed);
}

/** ref_tryget - take a reference unless the last one is already gone */
static inline bool ref_tryget(struct ref *r)
{
	unsigned n = atomic_load_explicit(&r->n, memory_order_relaxed);

	while (n != 0) {
		if (atomic_compare_exchange_weak(&r->n, &n, n + 1))
			return true;
	}
	return false;
}

/** ref_is_one - is the caller's the only one? Without another, nobody can get one but from him */
static inline bool ref_is_one(struct ref *r)
{
	return atomic_load_explicit(&r->n, memory_order_acquire) == 1;
}

/** ref_put - drop a reference; true when it was the last */
static inline bool ref_put(struct ref *r)
{
	return atomic_fetch_sub_explicit(&r->n, 1, memory_order_acq_rel) == 1;
}

#endif
