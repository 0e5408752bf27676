/* SPDX-License-Identifier: MIT */
/*
 * A thread finds its slot in a small hash table of its own, by the gate's id. Ids are never reused, so an
 * entry of a gate that is gone matches nothing; such entries are swept when the table grows and when the
 * thread ends. A slot is freed when both its gate and its thread have let go of it, and belongs to the
 * next thread that enters the gate in between: the list of a gate is as long as the most threads it ever
 * had at once.
 */
#include "base/gate.h"
#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <time.h>

static struct gate_entry gate_no_entry[1];
_Thread_local struct gate_entry *gate_table = gate_no_entry;
_Thread_local size_t gate_mask;
static _Thread_local size_t gate_used;

static atomic_ullong gate_last_id;
static pthread_once_t gate_once = PTHREAD_ONCE_INIT;
static pthread_key_t gate_key;
static int gate_key_rc;

static void slot_put(struct gate_slot *s)
{
	if (ref_put(&s->ref))
		free(s);
}

static void gate_thread_exit(void *table)
{
	if (gate_table == gate_no_entry || gate_table != table)
		return;
	for (size_t i = 0; i <= gate_mask; i++) {
		struct gate_slot *s = gate_table[i].slot;

		if (!s)
			continue;
		assert((atomic_load(&s->seq) & 1) == 0);
		atomic_store_explicit(&s->owned, false, memory_order_release);
		slot_put(s);
	}
	free(gate_table);
	gate_table = gate_no_entry;
	gate_mask = 0;
	gate_used = 0;
}

static void gate_key_make(void)
{
	gate_key_rc = pthread_key_create(&gate_key, gate_thread_exit);
}

void gate_init(struct gate *g, size_t slot_size)
{
	assert(slot_size >= sizeof(struct gate_slot));
	g->id = atomic_fetch_add(&gate_last_id, 1) + 1;
	g->slot_size = slot_size;
	atomic_init(&g->slots, NULL);
	atomic_init(&g->waits, 0);
}

void gate_fini(struct gate *g)
{
	struct gate_slot *next;

	for (struct gate_slot *s = atomic_load(&g->slots); s; s = next) {
		next = s->next;
		assert((atomic_load(&s->seq) & 1) == 0);
		atomic_store(&s->dead, true);
		slot_put(s);
	}
	memset(g, 0, sizeof(*g));
}

static void table_insert(struct gate_entry *table, size_t mask, struct gate_entry e)
{
	size_t i = e.id & mask;

	while (table[i].id)
		i = (i + 1) & mask;
	table[i] = e;
}

/* Make room for one more entry: at most half of the table is in use. */
static int table_grow(void)
{
	size_t live = 0, n = 8;
	struct gate_entry *table;

	if (gate_used * 2 < gate_mask)
		return 0;
	for (size_t i = 0; i <= gate_mask; i++)
		live += gate_table[i].slot && !atomic_load(&gate_table[i].slot->dead);
	while (n < (live + 1) * 3)
		n *= 2;
	table = calloc(n, sizeof(*table));
	if (!table)
		return -ENOMEM;
	pthread_once(&gate_once, gate_key_make);
	if (gate_key_rc != 0 || pthread_setspecific(gate_key, table) != 0) {
		free(table);
		return -ENOMEM;
	}
	gate_used = 0;
	for (size_t i = 0; i <= gate_mask; i++) {
		if (!gate_table[i].slot)
			continue;
		if (atomic_load(&gate_table[i].slot->dead)) {
			slot_put(gate_table[i].slot);
			continue;
		}
		table_insert(table, n - 1, gate_table[i]);
		gate_used++;
	}
	if (gate_table != gate_no_entry)
		free(gate_table);
	gate_table = table;
	gate_mask = n - 1;
	return 0;
}

/* A slot left behind by a thread that ended, or a new one. */
static struct gate_slot *slot_take(struct gate *g)
{
	struct gate_slot *s;

	for (s = atomic_load(&g->slots); s; s = s->next) {
		bool owned = false;

		if (!atomic_load_explicit(&s->owned, memory_order_relaxed) &&
		    atomic_compare_exchange_strong(&s->owned, &owned, true)) {
			ref_get(&s->ref);
			return s;
		}
	}
	s = calloc(1, g->slot_size);
	if (!s)
		return NULL;
	ref_init(&s->ref);
	ref_get(&s->ref);
	atomic_init(&s->owned, true);
	s->next = atomic_load(&g->slots);
	while (!atomic_compare_exchange_weak(&g->slots, &s->next, s))
		;
	return s;
}

struct gate_slot *gate_slot_find(struct gate *g)
{
	struct gate_slot *s;

	for (size_t i = g->id & gate_mask; gate_table[i].id; i = (i + 1) & gate_mask) {
		if (gate_table[i].id == g->id)
			return gate_table[i].slot;
	}
	if (table_grow())
		return NULL;
	s = slot_take(g);
	if (!s)
		return NULL;
	table_insert(gate_table, gate_mask, (struct gate_entry){ .id = g->id, .slot = s });
	gate_used++;
	return s;
}

void gate_backoff(unsigned round)
{
	if (round < 64) {
		__builtin_ia32_pause();
	} else if (round < 80) {
		sched_yield();
	} else {
		struct timespec t = { .tv_nsec = round < 100 ? 20000 : 500000 };

		nanosleep(&t, NULL);
	}
}

void gate_wait(struct gate *g)
{
	/* A full barrier: what the caller took away is gone before the slots are looked at. */
	atomic_fetch_add(&g->waits, 1);
	for (struct gate_slot *s = atomic_load(&g->slots); s; s = s->next) {
		unsigned long long seq = atomic_load(&s->seq);

		if (!(seq & 1))
			continue;
		for (unsigned round = 0; atomic_load(&s->seq) == seq; round++)
			gate_backoff(round);
	}
}
