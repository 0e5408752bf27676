/* SPDX-License-Identifier: MIT */
/* Inside mem/: the region table, and what the files know of each other. */
#ifndef UVFIO_MEM_PRIV_H
#define UVFIO_MEM_PRIV_H

#include "base/lock.h"
#include "base/slab.h"
#include "mem/mem.h"
#include <assert.h>
#include <sys/queue.h>

#define MEM_CHUNK_BITS  16 /* regions in a chunk of the table: 2 MiB */
#define MEM_CHUNKS      (1u << (64 - MEM_REGION_SHIFT - MEM_CHUNK_BITS))
#define MEM_OFFSET_MASK (BIT64(MEM_REGION_SHIFT) - 1)
#define MEM_PLACE_MASK  (BIT64(30) - 1) /* regions start at their iova modulo this */

/*
 * A region. What a translation needs is the first two words. An access that is not protected by a translation (mem_read
 * of any number a device made up) counts itself in users, and finds no MEM_REGION_LIVE when nothing is here.
 */
struct mem_region {
	/*
	 * Where offset 0 of the region would be in the machine's memory; or, when it is reached by address, how far
	 * behind the pin's first address (modulo 2^64).
	 */
	atomic_uintptr_t base;
	/* The first page and the page behind the last one, 28 bits each: MEM_HOST | first << 32 | end */
	atomic_ullong bounds;
	struct mem_pin *pin;
	atomic_uint users;    /* MEM_REGION_LIVE | accesses under way */
	unsigned next;        /* [shard lock] while free: the next free one, as struct mem_shard.free */
};
#define MEM_HOST        BIT64(63)
#define MEM_REGION_LIVE BIT(31)

struct mem_chunk {
	struct mem_region region[1u << MEM_CHUNK_BITS];
};

/*
 * Regions that are free. Threads take from different shards, so callers that pin at the same time meet at no lock; a
 * shard takes chunks as it needs them and keeps them.
 */
#define MEM_SHARDS 64
struct mem_shard {
	struct mutex lock;          /* RANK_MEM */
	unsigned free;              /* [lock] the number of a region, + 1; 0: none. The last one that came back is first */
	unsigned fresh, end;        /* [lock] numbers of the newest chunk that were never used; end exclusive */
	struct slab pins;           /* [lock] struct mem_pin */
	atomic_ullong pinned;       /* pages pinned by this shard's threads less pages unpinned (modulo 2^64) */
} __attribute__((aligned(64)));

/* Pins share their locks, as there may be very many. */
#define MEM_PIN_LOCKS 64

struct mem_holds;
struct mem_identity;
struct mem_ring;
struct mem_rings;
struct mem_run;

struct mem {
	struct log *log;
	struct rwlock window_lock;  /* RANK_MEM; the tree only, never held over an access */
	void *windows;              /* [window_lock] tsearch tree by address */
	struct mem_ram *ram;        /* [I] once it is used; NULL: nobody has asked for it */
	struct mem_identity *identity; /* [I] from the start on; NULL: nobody asks which page is which */
	struct mem_rings *rings;    /* [I] from the start on; NULL: private memory is reached by address */
	int denied;                 /* [I] true pins were asked for, and this is why they are not made: an errno */
	atomic_ullong unheld;       /* ranges that were to be held and are not */
	atomic_int unheld_why;      /* the first one's errno */
	atomic_ullong stale;
	atomic_uint nchunks;        /* taken from chunk[] */
	struct mem_shard shard[MEM_SHARDS];
	struct rwlock pin_lock[MEM_PIN_LOCKS]; /* RANK_MEM; see mem_pin_lock() */
	uint8_t chunk_shard[MEM_CHUNKS]; /* [I] once the chunk is there: whose free list its regions go back to */
	_Atomic(struct mem_chunk *) chunk[MEM_CHUNKS]; /* grows, never moves */
};

struct mem_share {
	void *host;
	uint64_t length;
};

/* Two cache lines. */
struct mem_pin {
	struct mem *mem;
	uint64_t length;
	union {
		iova_t iova;              /* while it is being made; */
		struct mem_holds *holds;  /* [I] then: what of it is held by its pages; NULL: nothing */
	};
	struct mm *mm;              /* [lock] where the pages are, */
	uva_t uva;                  /* [lock] and at which address */
	struct mm *share_mm;        /* [I] who made the shares; a reference of its own when it is not mm */
	uint64_t pinned;            /* pages, for mem_pinned_pages(); the same are charged to mm, */
	bool charged;               /* or none are */
	uint8_t prot;
	bool foreign;               /* in storage of the caller's; else: */
	uint8_t shard;              /* of which shard's slab */
	unsigned npieces, nshares;  /* there is room for the next power of two */
	struct mem_piece *pieces;
	struct mem_share *shares;
	struct mem_piece piece;     /* the first, */
	struct mem_share share;     /* as most pins have no more */
	struct mem_run *runs;       /* [identity lock] identity.c; NULL: not remembered */
};

static_assert(sizeof(struct mem_pin) <= MEM_PIN_SIZE, "what callers set aside");

/** mem_pin_lock - what guards pin->mm and pin->uva */
static inline struct rwlock *mem_pin_lock(struct mem_pin *pin)
{
	return &pin->mem->pin_lock[(uintptr_t)pin / sizeof(*pin) % MEM_PIN_LOCKS];
}

/* What a new region is like. */
struct mem_region_init {
	struct mem_pin *pin;
	uint64_t start;             /* offset of the first byte in the region */
	uint64_t length;
	uint64_t at;                /* bytes from the pin's first address */
	void *host;                 /* of the first byte; NULL: by address */
};

/** mem_shard_mine - the shard of this thread */
struct mem_shard *mem_shard_mine(struct mem *mem);
/** mem_region_create - Return: 0 and the machine-physical address of the first byte; -ENOMEM */
int mem_region_create(struct mem *mem, const struct mem_region_init *init, phys_t *out);
/** mem_region_extend - make a region that nobody uses yet longer */
void mem_region_extend(struct mem *mem, phys_t phys, uint64_t length);
/** mem_region_destroy - on return no access runs */
void mem_region_destroy(struct mem *mem, phys_t phys);
/** mem_region_pin - whose region @phys is in, of a pin that stays meanwhile; NULL: a bus address, or nothing is there */
struct mem_pin *mem_region_pin(struct mem *mem, phys_t phys);
/** mem_pin_access - by address: @at bytes behind the pin's first address */
int mem_pin_access(struct mem_pin *pin, uint64_t at, void *buf, size_t n, bool write);
/**
 * mem_hold_pin - hold what of the pin is reached by address, if that was asked for and is possible
 * Return: 0; -EFAULT there is no memory, as the kernel finds; -TASK_RESTART
 * mem_hold_release - the inverse
 */
int mem_hold_pin(struct mem_pin *pin);
void mem_hold_release(struct mem_pin *pin);
/** mem_hold_access - @at in a pin with holds, at most *@n bytes, of which *@n are alike. 0; -EFAULT; 1: they are not held */
int mem_hold_access(const struct mem_pin *pin, uint64_t at, void *buf, size_t *n, bool write);

#define MEM_RING_BUFFER_MAX BIT64(30) /* bytes in a slot: Linux's limit */
/** mem_ring_reserve - a free slot of a ring of @mm's. 0; -errno */
int mem_ring_reserve(struct mem *mem, struct mm *mm, struct mem_ring **out, unsigned *slot);
/** mem_ring_abandon - a slot that nothing was put into; mem_ring_clear - let go of what is in it, and then the same */
void mem_ring_abandon(struct mem *mem, struct mem_ring *r, unsigned slot);
void mem_ring_clear(struct mem *mem, struct mem_ring *r, unsigned slot);
int mem_ring_fd(const struct mem_ring *r);
/** mem_ring_move - copy from or to the memory in a slot, which was at @uva. 0; -EFAULT */
int mem_ring_move(struct mem_ring *r, unsigned slot, uva_t uva, void *buf, size_t n, bool write);
void mem_rings_destroy(struct mem_rings *all); /* NULL is fine */
/** mem_window_access - bus addresses */
int mem_window_access(struct mem *mem, phys_t phys, void *buf, size_t n, bool write);
/**
 * mem_identity_add - [@at, +@length) of the pin is part of @a; does nothing when nobody asks. -ENOMEM
 * mem_identity_remove - the pin ends
 * mem_identity_repoint - it is at another place now
 */
int mem_identity_add(struct mem_pin *pin, const struct mm_area *a, uint64_t at, uint64_t length);
void mem_identity_remove(struct mem_pin *pin);
void mem_identity_repoint(struct mem_pin *pin);
void mem_identity_destroy(struct mem_identity *all); /* NULL is fine */
/** mem_cas_guarded - 8 aligned bytes become @is, if they are @was: 0; else 1; -EFAULT as mem_copy_guarded() */
int mem_cas_guarded(void *place, uint64_t was, uint64_t is);
/** mem_copy_install - make the process survive faults in mem_copy_guarded(); once */
int mem_copy_install(void);

#endif
