/* SPDX-License-Identifier: MIT */
/*
 * The region table: from a phys_t to what is behind it in one array access. The array is cut in chunks
 * that are made as needed and never move, so that looking needs no lock.
 *
 * Two kinds of accesses come here. Those through a translation know that the region lives: iommu/ unmaps,
 * and waits for its DMA, before a pin is let go; they may use mem_host() and its pointer. The others (a
 * device that is not translated, a test) may come with any number, so mem_read() and mem_write() count
 * themselves in the region while they are in it, and mem_unpin() waits for them.
 */
#include "mem/priv.h"
#include "base/gate.h"
#include <assert.h>
#include <stdalign.h>
#include <string.h>
#include <sys/mman.h>

static void shard_init(struct mem_shard *s)
{
	mutex_init(&s->lock, RANK_MEM);
	slab_init(&s->pins, sizeof(struct mem_pin));
}

static void shard_fini(struct mem_shard *s)
{
	slab_fini(&s->pins);
	mutex_fini(&s->lock);
}

int mem_create(struct log *log, struct mem **out)
{
	struct mem *mem;
	int rc = mem_copy_install();

	if (rc)
		return rc;
	mem = aligned_alloc(alignof(struct mem), sizeof(*mem));
	if (!mem)
		return -ENOMEM;
	memset(mem, 0, sizeof(*mem));
	mem->log = log;
	rwlock_init(&mem->window_lock, RANK_MEM);
	for (unsigned i = 0; i < MEM_PIN_LOCKS; i++)
		rwlock_init(&mem->pin_lock[i], RANK_MEM);
	for (unsigned i = 0; i < MEM_SHARDS; i++)
		shard_init(&mem->shard[i]);
	*out = mem;
	return 0;
}

void mem_destroy(struct mem *mem)
{
	if (!mem)
		return;
	assert(!mem->windows && mem_pinned_pages(mem) == 0);
	for (unsigned i = 0; i < MEM_CHUNKS; i++) {
		if (atomic_load(&mem->chunk[i]))
			munmap(atomic_load(&mem->chunk[i]), sizeof(struct mem_chunk));
	}
	for (unsigned i = 0; i < MEM_SHARDS; i++)
		shard_fini(&mem->shard[i]);
	for (unsigned i = 0; i < MEM_PIN_LOCKS; i++)
		rwlock_fini(&mem->pin_lock[i]);
	rwlock_fini(&mem->window_lock);
	mem_identity_destroy(mem->identity);
	mem_rings_destroy(mem->rings);
	free(mem);
}

/* ---- free regions ---- */

struct mem_shard *mem_shard_mine(struct mem *mem)
{
	static atomic_uint last;
	static _Thread_local unsigned mine __attribute__((tls_model("initial-exec"))); /* + 1; 0: not chosen yet */

	if (!mine)
		mine = atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) % MEM_SHARDS + 1;
	return &mem->shard[mine - 1];
}

static struct mem_region *region_number(struct mem *mem, unsigned id)
{
	struct mem_chunk *c = atomic_load_explicit(&mem->chunk[id >> MEM_CHUNK_BITS], memory_order_relaxed);

	return &c->region[id % ARRAY_SIZE(c->region)];
}

/* Give the shard a chunk more, if there is room in the table. One that needs a second has very many: huge pages. */
static int shard_grow_locked(struct mem *mem, struct mem_shard *s) REQUIRES(&s->lock)
{
	unsigned i = atomic_load(&mem->nchunks);
	struct mem_chunk *c;

	c = mmap(NULL, sizeof(*c), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (c == MAP_FAILED)
		return -ENOMEM;
	do {
		if (i == MEM_CHUNKS) {
			munmap(c, sizeof(*c));
			return -ENOMEM;
		}
	} while (!atomic_compare_exchange_weak(&mem->nchunks, &i, i + 1));
	if (s->end)
		madvise(c, sizeof(*c), MADV_HUGEPAGE);
	mem->chunk_shard[i] = (uint8_t)(s - mem->shard);
	s->fresh = i << MEM_CHUNK_BITS;
	s->end = s->fresh + ARRAY_SIZE(c->region);
	/* Region n is phys n+1, and the last number would wrap to a bus address. */
	if (i == MEM_CHUNKS - 1)
		s->end--;
	atomic_store_explicit(&mem->chunk[i], c, memory_order_release);
	return 0;
}

static int shard_take(struct mem *mem, struct mem_shard *s, bool grow, unsigned *id)
{
	SCOPED_LOCK(&s->lock);
	if (s->free) {
		*id = s->free - 1;
		s->free = region_number(mem, *id)->next;
		return 0;
	}
	if (s->fresh == s->end && (!grow || shard_grow_locked(mem, s)))
		return -ENOMEM;
	*id = s->fresh++;
	return 0;
}

/* Of another thread's shard when the table is full. */
static int region_alloc(struct mem *mem, unsigned *id)
{
	struct mem_shard *mine = mem_shard_mine(mem);
	int rc = shard_take(mem, mine, true, id);

	for (unsigned i = 0; rc && i < MEM_SHARDS; i++)
		rc = shard_take(mem, &mem->shard[i], false, id);
	return rc;
}

static void region_free(struct mem *mem, struct mem_region *r, unsigned id)
{
	struct mem_shard *s = &mem->shard[mem->chunk_shard[id >> MEM_CHUNK_BITS]];

	SCOPED_LOCK(&s->lock);
	r->next = s->free;
	s->free = id + 1;
}

/* ---- regions ---- */

static uint64_t bounds_make(uint64_t start, uint64_t end)
{
	return (start >> UVFIO_PAGE_SHIFT) << 32 | end >> UVFIO_PAGE_SHIFT;
}

static uint64_t bounds_start(uint64_t bounds)
{
	return (bounds & ~MEM_HOST) >> 32 << UVFIO_PAGE_SHIFT;
}

static uint64_t bounds_end(uint64_t bounds)
{
	return (bounds & UINT32_MAX) << UVFIO_PAGE_SHIFT;
}

int mem_region_create(struct mem *mem, const struct mem_region_init *init, phys_t *out)
{
	uint64_t bounds = bounds_make(init->start, init->start + init->length);
	struct mem_region *r;
	unsigned id;
	int rc = region_alloc(mem, &id);

	if (rc)
		return rc;
	assert(init->start + init->length <= BIT64(MEM_REGION_SHIFT));
	r = region_number(mem, id);
	r->pin = init->pin;
	atomic_store_explicit(&r->base, (init->host ? (uintptr_t)init->host : init->at) - init->start,
			      memory_order_relaxed);
	atomic_store_explicit(&r->bounds, bounds | (init->host ? MEM_HOST : 0), memory_order_relaxed);
	atomic_store_explicit(&r->users, MEM_REGION_LIVE, memory_order_release);
	*out = (phys_t)(id + 1) << MEM_REGION_SHIFT | init->start;
	return 0;
}

/* NULL: the number is of a chunk that is not there. */
static struct mem_region *region_of(struct mem *mem, phys_t phys)
{
	uint64_t id = (phys >> MEM_REGION_SHIFT) - 1;
	struct mem_chunk *c = atomic_load_explicit(&mem->chunk[id >> MEM_CHUNK_BITS], memory_order_acquire);

	return c ? &c->region[id % ARRAY_SIZE(c->region)] : NULL;
}

void mem_region_extend(struct mem *mem, phys_t phys, uint64_t length)
{
	struct mem_region *r = region_of(mem, phys);
	uint64_t bounds = atomic_load_explicit(&r->bounds, memory_order_relaxed);

	atomic_store_explicit(&r->bounds, bounds_make(bounds_start(bounds), bounds_end(bounds) + length),
			      memory_order_relaxed);
}

void mem_region_destroy(struct mem *mem, phys_t phys)
{
	struct mem_region *r = region_of(mem, phys);

	atomic_fetch_and(&r->users, ~MEM_REGION_LIVE);
	for (unsigned round = 0; atomic_load(&r->users); round++)
		gate_backoff(round);
	atomic_store_explicit(&r->bounds, 0, memory_order_relaxed);
	r->pin = NULL;
	region_free(mem, r, (unsigned)(phys >> MEM_REGION_SHIFT) - 1);
}

/* Is [@phys, +@n) inside the region? */
static bool bounds_hold(uint64_t bounds, phys_t phys, size_t n)
{
	uint64_t at = phys & MEM_OFFSET_MASK, end = bounds_end(bounds);

	return at >= bounds_start(bounds) && at < end && n <= end - at;
}

static bool region_get(struct mem_region *r)
{
	unsigned users = atomic_load_explicit(&r->users, memory_order_relaxed);

	do {
		if (!(users & MEM_REGION_LIVE))
			return false;
	} while (!atomic_compare_exchange_weak(&r->users, &users, users + 1));
	return true;
}

static int region_access(struct mem *mem, phys_t phys, void *buf, size_t n, bool write)
{
	struct mem_region *r = region_of(mem, phys);
	int rc = -EFAULT;

	if (!r || !region_get(r))
		return -EFAULT;
	uint64_t bounds = atomic_load_explicit(&r->bounds, memory_order_relaxed);

	if (bounds_hold(bounds, phys, n) && (!write || (r->pin->prot & MEM_WRITE))) {
		uint64_t at = atomic_load_explicit(&r->base, memory_order_relaxed) + (phys & MEM_OFFSET_MASK);

		if (!(bounds & MEM_HOST))
			rc = mem_pin_access(r->pin, at, buf, n, write);
		else
			rc = write ? mem_copy_guarded((void *)at, buf, n) : mem_copy_guarded(buf, (void *)at, n);
		if (rc)
			atomic_fetch_add(&mem->stale, 1);
	}
	atomic_fetch_sub(&r->users, 1);
	return rc ? -EFAULT : 0;
}

/* 0, -EFAULT; 1: they are something else */
static int exchange_by_address(struct mem_pin *pin, uint64_t at, uint64_t was, uint64_t is)
{
	uint64_t now;
	int rc = mem_pin_access(pin, at, &now, sizeof(now), false);

	if (rc)
		return rc;
	return now == was ? mem_pin_access(pin, at, &is, sizeof(is), true) : 1;
}

int mem_exchange(struct mem *mem, phys_t phys, uint64_t was, uint64_t is)
{
	struct mem_region *r = phys >> MEM_REGION_SHIFT ? region_of(mem, phys) : NULL;
	int rc = -EFAULT;

	assert(IS_ALIGNED(phys, sizeof(was)));
	if (!r || !region_get(r))
		return -EFAULT;
	uint64_t bounds = atomic_load_explicit(&r->bounds, memory_order_relaxed);

	if (bounds_hold(bounds, phys, sizeof(was)) && (r->pin->prot & MEM_WRITE)) {
		uint64_t at = atomic_load_explicit(&r->base, memory_order_relaxed) + (phys & MEM_OFFSET_MASK);

		rc = bounds & MEM_HOST ? mem_cas_guarded((void *)at, was, is) : exchange_by_address(r->pin, at, was, is);
		if (rc < 0)
			atomic_fetch_add(&mem->stale, 1);
	}
	atomic_fetch_sub(&r->users, 1);
	if (rc > 0)
		return -EAGAIN;
	return rc ? -EFAULT : 0;
}

int mem_read(struct mem *mem, phys_t phys, void *dst, size_t n)
{
	if (n == 0)
		return 0;
	if (phys >> MEM_REGION_SHIFT == 0)
		return mem_window_access(mem, phys, dst, n, false);
	return region_access(mem, phys, dst, n, false);
}

int mem_write(struct mem *mem, phys_t phys, const void *src, size_t n)
{
	if (n == 0)
		return 0;
	if (phys >> MEM_REGION_SHIFT == 0)
		return mem_window_access(mem, phys, (void *)src, n, true);
	return region_access(mem, phys, (void *)src, n, true);
}

void *mem_host(struct mem *mem, phys_t phys, size_t n)
{
	struct mem_region *r;
	uint64_t bounds;

	if (phys >> MEM_REGION_SHIFT == 0)
		return NULL;
	r = region_of(mem, phys);
	if (!r)
		return NULL;
	bounds = atomic_load_explicit(&r->bounds, memory_order_relaxed);
	if (!(bounds & MEM_HOST) || !bounds_hold(bounds, phys, n))
		return NULL;
	return (void *)(atomic_load_explicit(&r->base, memory_order_relaxed) + (phys & MEM_OFFSET_MASK));
}

struct mem_pin *mem_region_pin(struct mem *mem, phys_t phys)
{
	struct mem_region *r = phys >> MEM_REGION_SHIFT ? region_of(mem, phys) : NULL;

	if (!r || !bounds_hold(atomic_load_explicit(&r->bounds, memory_order_relaxed), phys, 1))
		return NULL;
	return r->pin;
}

void mem_prefetch(struct mem *mem, phys_t phys)
{
	if (phys >> MEM_REGION_SHIFT)
		__builtin_prefetch(region_of(mem, phys));
}

uint64_t mem_stale(struct mem *mem)
{
	return atomic_load(&mem->stale);
}

uint64_t mem_pinned_pages(struct mem *mem)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < MEM_SHARDS; i++)
		n += atomic_load(&mem->shard[i].pinned);
	return n;
}
