/* SPDX-License-Identifier: MIT */
/*
 * A gate lets many threads pass through short sections at almost no cost, and lets one thread wait until
 * every section that was open when it asked has ended. DMA passes through gates; unmap waits at them.
 *
 * Each thread has a slot of its own in each gate it has ever passed: a counter that is odd while the
 * thread is inside. Entering is one atomic addition on a cache line nobody else writes, leaving is a plain
 * store. A waiter looks at each slot once and waits for the odd ones to move on, so a stream of new
 * sections cannot keep it waiting, and its cost grows with the threads that use this gate, with nothing else.
 *
 * The order that makes it safe: the waiter first takes away what sections may find (a page table entry, a
 * pointer), then calls gate_wait(). A section begins with a full barrier, so either the waiter sees it, or
 * it sees that the thing is gone.
 */
#ifndef UVFIO_BASE_GATE_H
#define UVFIO_BASE_GATE_H

#include "base/defs.h"
#include "base/ref.h"

/* First member of whatever the user of a gate keeps per thread; the rest is zeroed once and then his own. */
struct gate_slot {
	atomic_ullong seq;      /* odd: inside; written by the owning thread only */
	unsigned nested;        /* sections open inside the outermost one, of the owning thread */
	/* Cold. */
	struct gate_slot *next; /* [I] the gate's list */
	struct ref ref;         /* one of the gate, one of the owning thread */
	atomic_bool owned;      /* a thread has it; a free one is given to the next thread that comes */
	atomic_bool dead;       /* the gate is gone */
};

struct gate {
	uint64_t id;            /* [I] never used again, in this process */
	size_t slot_size;       /* [I] */
	_Atomic(struct gate_slot *) slots;
	atomic_uint waits;
};

/** gate_init - @slot_size: of the struct that begins with struct gate_slot */
void gate_init(struct gate *g, size_t slot_size);
/** gate_fini - no section may be open or start any more; accepts zeroed memory */
void gate_fini(struct gate *g);
/**
 * gate_wait - return when every section of @g that was open at the call has ended
 * Context: sleeps; not from inside a section of @g; hold no lock that a section may wait for
 */
void gate_wait(struct gate *g);
/** gate_backoff - wait a little, longer with each @round: for polling loops that end soon */
void gate_backoff(unsigned round);

/* The threads' side. */
struct gate_entry {
	uint64_t id;
	struct gate_slot *slot;
};
extern _Thread_local struct gate_entry *gate_table __attribute__((tls_model("initial-exec")));
extern _Thread_local size_t gate_mask __attribute__((tls_model("initial-exec")));
struct gate_slot *gate_slot_find(struct gate *g);

/**
 * gate_enter - begin a section; sections nest, in one gate and across gates
 * Return: the thread's slot, for gate_leave(); NULL: no memory (a thread's first section only), no section began
 */
static inline struct gate_slot *gate_enter(struct gate *g)
{
	const struct gate_entry *e = &gate_table[g->id & gate_mask];
	struct gate_slot *s = e->slot;

	if (__builtin_expect(e->id != g->id, 0)) {
		s = gate_slot_find(g);
		if (!s)
			return NULL;
	}
	if (__builtin_expect(atomic_load_explicit(&s->seq, memory_order_relaxed) & 1, 0))
		s->nested++;
	else
		atomic_fetch_add(&s->seq, 1); /* a full barrier */
	return s;
}

static inline void gate_leave(struct gate_slot *s)
{
	if (__builtin_expect(s->nested, 0))
		s->nested--;
	else
		atomic_store_explicit(&s->seq, atomic_load_explicit(&s->seq, memory_order_relaxed) + 1,
				      memory_order_release);
}

#endif
