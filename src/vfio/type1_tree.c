/* SPDX-License-Identifier: MIT */
/*
 * The mappings of an instance by IOVA: disjoint, so a mapping is found by the page it begins at, and the one that holds
 * an address is the last that begins at or below it. They are in a Judy array, a radix tree that packs itself to what
 * is in it: at a million mappings a look takes some 60 ns, where a binary tree took a microsecond in cache misses.
 *
 * The low bits of an entry say how many pages the mapping has, up to 15, so that small neighbours of a range need not
 * be looked at.
 *
 * Removing may need memory, to pack anew. When there is none, the entry stays and is empty; so looks skip empty ones.
 */
#include "vfio/type1.h"
#include <Judy.h>
#include <assert.h>

#define LENGTH_MASK 15u /* as malloc aligns to 16; 0: more pages than fit */

static Word_t key_of(iova_t iova)
{
	return iova >> UVFIO_PAGE_SHIFT;
}

static Word_t entry_make(struct type1_mapping *m)
{
	uint64_t pages = ((m->last - m->start) >> UVFIO_PAGE_SHIFT) + 1;

	return (Word_t)m | (pages <= LENGTH_MASK ? pages : 0);
}

static struct type1_mapping *entry_mapping(Word_t e)
{
	return (struct type1_mapping *)(e & ~(Word_t)LENGTH_MASK);
}

static void entry_prefetch(Word_t e)
{
	const char *m = (const char *)entry_mapping(e);

	for (size_t i = 0; i < sizeof(struct type1_mapping); i += 64)
		__builtin_prefetch(m + i);
}

/* The last entry that begins at or below @iova; its first page in *@key; NULL: none */
static const Word_t *entry_below(const struct vfio_type1 *t1, iova_t iova, Word_t *key)
{
	const Word_t *e;

	*key = key_of(iova);
	e = (const Word_t *)JudyLLast(t1->mappings, key, PJE0);
	while (e && !*e)
		e = (const Word_t *)JudyLPrev(t1->mappings, key, PJE0);
	return e;
}

/* Does the entry that begins at page @key go on to @iova, which is not below it? */
static bool entry_reaches(Word_t e, Word_t key, iova_t iova)
{
	if (e & LENGTH_MASK)
		return key_of(iova) - key < (e & LENGTH_MASK);
	return entry_mapping(e)->last >= iova;
}

struct type1_mapping *type1_mapping_overlap(struct vfio_type1 *t1, iova_t start, iova_t last)
{
	Word_t key;
	const Word_t *e = entry_below(t1, last, &key);

	/* The last one that begins before @last; all others end before it begins. */
	if (!e || (key < key_of(start) && !entry_reaches(*e, key, start)))
		return NULL;
	return entry_mapping(*e);
}

bool type1_overlaps(struct vfio_type1 *t1, iova_t start, iova_t last)
{
	return type1_mapping_overlap(t1, start, last) != NULL;
}

bool type1_bisects(struct vfio_type1 *t1, iova_t start, iova_t last)
{
	Word_t key;
	const Word_t *e = entry_below(t1, last, &key);

	if (!e)
		return false;
	if (last != UINT64_MAX && entry_reaches(*e, key, last + 1))
		return true;
	if (key == key_of(start)) { /* nearly always: it is the range */
		entry_prefetch(*e);
		return false;
	}
	e = entry_below(t1, start, &key);
	return e && key != key_of(start) && entry_reaches(*e, key, start);
}

static struct type1_mapping *mapping_from(struct vfio_type1 *t1, Word_t key)
{
	const Word_t *e = (const Word_t *)JudyLFirst(t1->mappings, &key, PJE0);

	while (e && !*e)
		e = (const Word_t *)JudyLNext(t1->mappings, &key, PJE0);
	return e ? entry_mapping(*e) : NULL;
}

struct type1_mapping *type1_mapping_at(struct vfio_type1 *t1, iova_t iova)
{
	struct type1_mapping *m = type1_mapping_overlap(t1, iova, iova);

	return m ? m : mapping_from(t1, key_of(iova));
}

struct type1_mapping *type1_mapping_next(struct vfio_type1 *t1, struct type1_mapping *m)
{
	return m->last == UINT64_MAX ? NULL : mapping_from(t1, key_of(m->last) + 1);
}

int type1_mapping_insert(struct vfio_type1 *t1, struct type1_mapping *m)
{
	PPvoid_t e = JudyLIns(&t1->mappings, key_of(m->start), PJE0);

	if (!e || e == PPJERR)
		return -ENOMEM;
	assert(IS_ALIGNED((uintptr_t)m, LENGTH_MASK + 1));
	*(Word_t *)e = entry_make(m);
	return 0;
}

void type1_mapping_remove(struct vfio_type1 *t1, struct type1_mapping *m)
{
	if (JudyLDel(&t1->mappings, key_of(m->start), PJE0) == JERR)
		*(Word_t *)JudyLGet(t1->mappings, key_of(m->start), PJE0) = 0;
}

void type1_mappings_fini(struct vfio_type1 *t1)
{
	assert(!mapping_from(t1, 0));
	JudyLFreeArray(&t1->mappings, PJE0);
}
