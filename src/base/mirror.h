/* SPDX-License-Identifier: MIT */
/*
 * Registers whose load has no side effect, as they lie in memory: one page of this for one page of a BAR. pci/ writes
 * it (pci_mirror_set()), and who maps the memory reads it without asking anybody: the stub in a program. So nothing
 * here needs a library, and a reader is never made to wait.
 *
 * A register is mirrored for loads of its own width: one of 4 bytes for loads of 4, one of 8 for loads of 8 and of
 * either half. All other loads are the model's, which alone knows what it does with them.
 *
 * blocked says that the BAR does not answer now. It is looked at after the value: a load that starts once
 * mirror_block() has returned is not answered from here.
 */
#ifndef UVFIO_BASE_MIRROR_H
#define UVFIO_BASE_MIRROR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mirror_page {
	uint64_t value[512];  /* byte n of the BAR's page is byte n of this */
	uint32_t valid[32];   /* a bit for each 4 bytes: loads of 4 bytes */
	uint32_t wide[16];    /* a bit for each 8 bytes: loads of 8 bytes */
	uint32_t blocked;
	uint32_t used;        /* the pool's own */
	uint32_t reserved[14];
};
_Static_assert(sizeof(struct mirror_page) == 4352, "known to the stub");

/* Where pages come from. Its functions may be called from any thread, with locks held. */
struct mirror_pool {
	/* A page without any valid register, blocked; NULL: there is none, do without */
	struct mirror_page *(*alloc)(struct mirror_pool *pool);
	void (*free)(struct mirror_pool *pool, struct mirror_page *page); /* NULL is fine */
};

static inline bool mirror_shape_ok(uint64_t offset, unsigned width)
{
	return (width == 4 || width == 8) && offset % width == 0;
}

/** mirror_set - @width 4 or 8, @offset in the page and aligned. Atomic for the reader. */
static inline void mirror_set(struct mirror_page *page, unsigned offset, unsigned width, uint64_t value)
{
	uint32_t bits = (width == 8 ? 3u : 1u) << (offset / 4 % 32), wide = 1u << (offset / 8 % 32);

	if (width == 8)
		__atomic_store_n(&page->value[offset / 8], value, __ATOMIC_RELEASE);
	else
		__atomic_store_n((uint32_t *)(void *)((char *)page->value + offset), (uint32_t)value, __ATOMIC_RELEASE);
	if ((__atomic_load_n(&page->valid[offset / 128], __ATOMIC_RELAXED) & bits) != bits)
		__atomic_fetch_or(&page->valid[offset / 128], bits, __ATOMIC_RELEASE);
	if (width == 8 && !(__atomic_load_n(&page->wide[offset / 256], __ATOMIC_RELAXED) & wide))
		__atomic_fetch_or(&page->wide[offset / 256], wide, __ATOMIC_RELEASE);
}

/** mirror_clear - the register is not mirrored any more */
static inline void mirror_clear(struct mirror_page *page, unsigned offset, unsigned width)
{
	uint32_t bits = (width == 8 ? 3u : 1u) << (offset / 4 % 32);

	__atomic_fetch_and(&page->wide[offset / 256], ~(1u << (offset / 8 % 32)), __ATOMIC_SEQ_CST);
	__atomic_fetch_and(&page->valid[offset / 128], ~bits, __ATOMIC_SEQ_CST);
}

/** mirror_block - once this returns no load that starts is answered from @page (or is again, with false) */
static inline void mirror_block(struct mirror_page *page, bool blocked)
{
	__atomic_store_n(&page->blocked, blocked, __ATOMIC_SEQ_CST);
}

/** mirror_get - the value of a register, blocked or not; false: it is not mirrored for such loads */
static inline bool mirror_get(const struct mirror_page *page, unsigned offset, unsigned width, uint64_t *value)
{
	uint64_t v;

	if (!mirror_shape_ok(offset, width))
		return false;
	if (width == 8 ? !(__atomic_load_n(&page->wide[offset / 256], __ATOMIC_ACQUIRE) >> (offset / 8 % 32) & 1)
		       : !(__atomic_load_n(&page->valid[offset / 128], __ATOMIC_ACQUIRE) >> (offset / 4 % 32) & 1))
		return false;
	v = __atomic_load_n(&page->value[offset / 8], __ATOMIC_ACQUIRE);
	*value = width == 8 ? v : (uint32_t)(v >> 8 * (offset & 7));
	return true;
}

/** mirror_load - the same for who must not see a BAR that does not answer */
static inline bool mirror_load(const struct mirror_page *page, unsigned offset, unsigned width, uint64_t *value)
{
	return mirror_get(page, offset, width, value) && !__atomic_load_n(&page->blocked, __ATOMIC_ACQUIRE);
}

#endif
