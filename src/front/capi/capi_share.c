/* SPDX-License-Identifier: MIT */
/*
 * Shared memory under DMA stays the device's target after the program has unmapped it (MAP-11), so the
 * machine holds a second mapping of it, made by mremap() of nothing, which duplicates. One for each area
 * of the address space, however many pins lie in it: a process has few mappings to spare.
 *
 * Private memory cannot be held like that and is used in place, as is shared memory when a duplicate is
 * refused: the device's accesses fail, and are counted, once it is unmapped. With true pins mem/ holds such memory by its
 * pages, and nothing is used in place.
 */
#include "front/capi/priv.h"
#include "mem/mem.h"
#include <search.h>
#include <string.h>
#include <sys/mman.h>

/* What makes two areas the same memory with the same rights. */
struct share_key {
	uint64_t dev, ino, offset, length;
	uint64_t writable;
};

struct capi_share {
	struct share_key key;
	char *host;         /* of key.length bytes */
	unsigned users;     /* [mm->lock] */
};

static int by_key(const void *a, const void *b)
{
	return memcmp(&((const struct capi_share *)a)->key, &((const struct capi_share *)b)->key,
		      sizeof(struct share_key));
}

/* Duplicates do not overlap; one that holds an address of the other is equal to it. */
static int by_host(const void *a, const void *b)
{
	const struct capi_share *x = a, *y = b;

	if (x->host + x->key.length <= y->host)
		return -1;
	return x->host >= y->host + y->key.length;
}

static void share_destroy_locked(struct capi_mm *cm, struct capi_share *s)
{
	tdelete(s, &cm->by_key, by_key);
	tdelete(s, &cm->by_host, by_host);
	munmap(s->host, s->key.length);
	free(s);
}

static struct capi_share *share_create_locked(struct capi_mm *cm, const struct mm_area *area,
					      const struct share_key *key)
{
	struct capi_share *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->key = *key;
	s->host = mremap((void *)(uintptr_t)area->start, 0, key->length, MREMAP_MAYMOVE);
	if (s->host == MAP_FAILED) {
		free(s);
		return NULL;
	}
	if (!tsearch(s, &cm->by_host, by_host) || !tsearch(s, &cm->by_key, by_key)) {
		share_destroy_locked(cm, s);
		return NULL;
	}
	return s;
}

/* The machine's own pointer to [@uva, +...) of a shared area; NULL: there is none. */
static char *share_get(struct capi_mm *cm, const struct mm_area *area, uva_t uva)
{
	struct capi_share key = { .key = { .dev = area->dev, .ino = area->ino, .offset = area->host_offset,
					   .length = area->last - area->start + 1, .writable = area->writable } };
	struct capi_share **slot, *s;

	SCOPED_LOCK(&cm->lock);
	slot = tfind(&key, &cm->by_key, by_key);
	s = slot ? *slot : share_create_locked(cm, area, &key.key);
	if (!s)
		return NULL;
	s->users++;
	return s->host + (uva - area->start);
}

int capi_share(struct mm *mm, const struct mm_area *area, uva_t uva, uint64_t length, void **host)
{
	struct capi_mm *cm = container_of(mm, struct capi_mm, mm);
	char *own = area->shared ? share_get(cm, area, uva) : NULL;
	char *at = own ? own : (char *)(uintptr_t)uva;
	char byte;

	if (!own && atomic_load(&cm->true_pins))
		return -EOPNOTSUPP;
	/* Behind the end of a file there are no pages to pin, so see whether the last one is there. */
	if (area->ino && mem_copy_guarded(&byte, at + length - 1, 1)) {
		if (own)
			capi_unshare(mm, own, length);
		return -EFAULT;
	}
	*host = at;
	return 0;
}

void capi_unshare(struct mm *mm, void *host, uint64_t length)
{
	struct capi_mm *cm = container_of(mm, struct capi_mm, mm);
	struct capi_share key = { .host = host, .key.length = 1 }, **slot;

	SCOPED_LOCK(&cm->lock);
	slot = tfind(&key, &cm->by_host, by_host);
	if (slot && --(*slot)->users == 0) /* none: memory used in place */
		share_destroy_locked(cm, *slot);
}
