/* SPDX-License-Identifier: MIT */
/*
 * Chunks double in size, so that a slab of few objects is small, up to 2 MiB, which is a huge page where the host has
 * one. Under AddressSanitizer each object is one of malloc's, as there a use after free is to be seen.
 */
#include "base/slab.h"
#include <assert.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define SLAB_MALLOC 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SLAB_MALLOC 1
#endif
#endif
#ifndef SLAB_MALLOC
#define SLAB_MALLOC 0
#endif

#define LINE       64ul
#define CHUNK_MIN  4096ul
#define CHUNK_HUGE (2ul << 20)

/* At the start of each chunk. */
struct slab_chunk {
	struct slab_chunk *next;
	size_t bytes;
};

void slab_init(struct slab *s, size_t size)
{
	*s = (struct slab){ .size = ALIGN_UP(size, LINE), .next = CHUNK_MIN };
	while (s->next < LINE + s->size)
		s->next *= 2;
}

/* Mapped memory is zeros. A huge chunk begins where a huge page does. */
static struct slab_chunk *chunk_map(size_t bytes)
{
	size_t room = bytes < CHUNK_HUGE ? bytes : bytes + CHUNK_HUGE - UVFIO_PAGE_SIZE;
	char *p = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0), *start = p;

	if (p == MAP_FAILED)
		return NULL;
	if (room > bytes) {
		start = (char *)ALIGN_UP((uintptr_t)p, CHUNK_HUGE);
		if (start > p)
			munmap(p, (size_t)(start - p));
		if (start + bytes < p + room)
			munmap(start + bytes, (size_t)(p + room - (start + bytes)));
		madvise(start, bytes, MADV_HUGEPAGE); /* a wish */
	}
	return (struct slab_chunk *)start;
}

static bool slab_grow(struct slab *s)
{
	struct slab_chunk *c = chunk_map(s->next);

	if (!c)
		return false;
	c->next = s->chunks;
	c->bytes = s->next;
	s->chunks = c;
	s->fresh = (char *)c + LINE;
	s->end = (char *)c + c->bytes;
	if (s->next < CHUNK_HUGE)
		s->next *= 2;
	return true;
}

void slab_fini(struct slab *s)
{
	struct slab_chunk *c;

	assert(s->live == 0);
	while ((c = s->chunks)) {
		s->chunks = c->next;
		munmap(c, c->bytes);
	}
	memset(s, 0, sizeof(*s));
}

void *slab_alloc(struct slab *s)
{
	void *p = s->free;

	if (SLAB_MALLOC) {
		p = aligned_alloc(LINE, s->size);
		if (p)
			memset(p, 0, s->size);
	} else if (p) {
		memcpy(&s->free, p, sizeof(s->free));
		memset(p, 0, sizeof(s->free));
	} else {
		if (s->size > (size_t)(s->end - s->fresh) && !slab_grow(s))
			return NULL;
		p = s->fresh;
		s->fresh += s->size;
	}
	s->live += p != NULL;
	return p;
}

void slab_free(struct slab *s, void *p)
{
	if (!p)
		return;
	assert(s->live);
	s->live--;
	if (SLAB_MALLOC) {
		free(p);
		return;
	}
	memcpy(p, &s->free, sizeof(s->free));
	s->free = p;
}
