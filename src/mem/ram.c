/* SPDX-License-Identifier: MIT */
/*
 * Memory by physical address, for devices that no IOMMU translates for. A program's pages have no physical
 * addresses here until somebody asks for them (vfio/pagemap.c); then the 2 MiB of address space around the page
 * get 2 MiB of the machine's RAM, so what a huge page holds is contiguous, as programs rely on; where one
 * mapping covers a whole aligned GiB, it gets a GiB. The lowest RAM goes first: a device with few address
 * bits should reach what a small program uses.
 *
 * An address stands for (program, place in its address space), and is looked up at each access; it stays when
 * the program maps something else there, and leads nowhere once nothing is mapped or the program is gone.
 * RAM that nobody has asked for answers nothing: a device out of control reaches no other program.
 *
 * The layout is a PC's: RAM below 3 GiB, without the first MiBs, and from 4 GiB on; BARs lie elsewhere.
 */
#include "base/ids.h"
#include "mem/priv.h"
#include <search.h>
#include <string.h>
#include <sys/queue.h>

#define BLOCK_SHIFT 21
#define GIB_SHIFT   30
#define BLOCKS_GIB  (1u << (GIB_SHIFT - BLOCK_SHIFT))
#define LOW_BASE    (16ull << 20)
#define LOW_END     (3ull << 30)
#define HIGH_BASE   (4ull << 30)
#define HIGH_END    (512ull << 30)
#define GIBS        (HIGH_END >> GIB_SHIFT)
#define LOW_BLOCKS  ((LOW_END - LOW_BASE) >> BLOCK_SHIFT)

/* [I] but for the links */
struct block {
	struct mm *mm;   /* with a reference */
	uva_t start;
	unsigned shift;  /* of its length: BLOCK_SHIFT or GIB_SHIFT */
	phys_t phys;
	unsigned id;     /* of the small ones */
	LIST_ENTRY(block) link;
};

struct gib {
	struct block *block[BLOCKS_GIB];
	unsigned used;
};

struct mem_ram {
	struct mem *mem;            /* [I] */
	struct mem_window *low, *high; /* [I] */
	struct mutex lock;          /* RANK_MEM; everything below */
	void *by_place;             /* tsearch of struct block by mm and start */
	LIST_HEAD(, block) blocks;
	struct ids ids;             /* small blocks in use */
	struct gib *gib[GIBS];      /* by physical address */
};

/* Blocks that overlap compare as equal. */
static int block_compare(const void *a, const void *b)
{
	const struct block *x = a, *y = b;

	if (x->mm != y->mm)
		return (uintptr_t)x->mm < (uintptr_t)y->mm ? -1 : 1;
	if (x->start + (BIT64(x->shift) - 1) < y->start)
		return -1;
	return x->start > y->start + (BIT64(y->shift) - 1);
}

/* ---- places in RAM ---- */

static struct gib *gib_locked(struct mem_ram *ram, phys_t phys)
{
	struct gib **g = &ram->gib[phys >> GIB_SHIFT];

	if (!*g)
		*g = calloc(1, sizeof(**g));
	return *g;
}

static int place_small_locked(struct mem_ram *ram, struct block *b)
{
	struct gib *g;
	int rc = ids_alloc(&ram->ids, &b->id);

	if (rc)
		return rc;
	if (b->id < LOW_BLOCKS)
		b->phys = LOW_BASE + ((phys_t)b->id << BLOCK_SHIFT);
	else
		b->phys = HIGH_BASE + ((phys_t)(b->id - LOW_BLOCKS) << BLOCK_SHIFT);
	g = b->phys < HIGH_END ? gib_locked(ram, b->phys) : NULL;
	if (!g || g->block[b->phys >> BLOCK_SHIFT & (BLOCKS_GIB - 1)]) { /* small ones grow up, large ones down */
		ids_free(&ram->ids, b->id);
		return -ENOMEM;
	}
	g->block[b->phys >> BLOCK_SHIFT & (BLOCKS_GIB - 1)] = b;
	g->used++;
	return 0;
}

static int place_large_locked(struct mem_ram *ram, struct block *b)
{
	for (unsigned i = GIBS - 1; i >= HIGH_BASE >> GIB_SHIFT; i--) {
		struct gib *g = gib_locked(ram, (phys_t)i << GIB_SHIFT);

		if (!g)
			return -ENOMEM;
		if (g->used)
			continue;
		b->phys = (phys_t)i << GIB_SHIFT;
		for (unsigned k = 0; k < BLOCKS_GIB; k++)
			g->block[k] = b;
		g->used = BLOCKS_GIB;
		return 0;
	}
	return -ENOMEM;
}

static void displace_locked(struct mem_ram *ram, struct block *b)
{
	struct gib *g = ram->gib[b->phys >> GIB_SHIFT];

	if (b->shift == GIB_SHIFT) {
		memset(g, 0, sizeof(*g));
		return;
	}
	g->block[b->phys >> BLOCK_SHIFT & (BLOCKS_GIB - 1)] = NULL;
	g->used--;
	ids_free(&ram->ids, b->id);
}

/* ---- blocks ---- */

/* The caller puts the mm, without the lock. */
static struct mm *block_free_locked(struct mem_ram *ram, struct block *b)
{
	struct mm *mm = b->mm;

	tdelete(b, &ram->by_place, block_compare);
	displace_locked(ram, b);
	LIST_REMOVE(b, link);
	free(b);
	return mm;
}

/* Programs that have ended give their blocks back when somebody else wants one. */
static void sweep(struct mem_ram *ram, struct mm *newcomer)
{
	struct block *b, *next;
	struct mm *gone[64];
	unsigned n = 0;

	mutex_lock(&ram->lock);
	for (b = LIST_FIRST(&ram->blocks); b && n < ARRAY_SIZE(gone); b = next) {
		next = LIST_NEXT(b, link);
		if (b->mm != newcomer && !mm_alive(b->mm))
			gone[n++] = block_free_locked(ram, b);
	}
	mutex_unlock(&ram->lock);
	while (n)
		mm_put(gone[--n]);
}

static bool covers_gib(struct mm *mm, uva_t page)
{
	uva_t start = ALIGN_DOWN(page, BIT64(GIB_SHIFT));
	struct mm_area a = { 0 };

	return !mm->ops->area(mm, page, &a) && a.start <= start && a.last >= start + (BIT64(GIB_SHIFT) - 1);
}

static int block_create_locked(struct mem_ram *ram, const struct block *like, struct block **out)
{
	struct block *b = malloc(sizeof(*b)), **found;
	int rc;

	if (!b)
		return -ENOMEM;
	*b = *like;
	rc = b->shift == GIB_SHIFT ? place_large_locked(ram, b) : place_small_locked(ram, b);
	if (rc) {
		free(b);
		return rc;
	}
	found = tsearch(b, &ram->by_place, block_compare);
	if (!found || *found != b) {
		displace_locked(ram, b);
		free(b);
		return found ? -EEXIST : -ENOMEM;
	}
	mm_get(b->mm);
	LIST_INSERT_HEAD(&ram->blocks, b, link);
	*out = b;
	return 0;
}

static void place_in(const struct block *b, uva_t page, phys_t *out, uint64_t *room)
{
	*out = b->phys + (page - b->start);
	if (room)
		*room = BIT64(b->shift) - (page - b->start);
}

static struct block *find_locked(struct mem_ram *ram, struct mm *mm, uva_t page)
{
	struct block key = { .mm = mm, .start = page, .shift = UVFIO_PAGE_SHIFT }, **found;

	found = tfind(&key, &ram->by_place, block_compare);
	return found ? *found : NULL;
}

static int make_locked(struct mem_ram *ram, struct block *like, uva_t page, struct block **out)
{
	int rc;

	like->start = ALIGN_DOWN(page, BIT64(like->shift));
	rc = block_create_locked(ram, like, out);
	if (!rc || like->shift != GIB_SHIFT)
		return rc;
	/* Part of the GiB has small blocks already, or there is no room. */
	like->shift = BLOCK_SHIFT;
	like->start = ALIGN_DOWN(page, BIT64(BLOCK_SHIFT));
	return block_create_locked(ram, like, out);
}

int mem_ram_locate(struct mem *mem, struct mm *mm, uva_t page, phys_t *out, uint64_t *room)
{
	struct block like = { .mm = mm, .shift = GIB_SHIFT }, *b;
	struct mem_ram *ram = mem->ram;
	int rc = 0;

	page = ALIGN_DOWN(page, UVFIO_PAGE_SIZE);
	mutex_lock(&ram->lock);
	b = find_locked(ram, mm, page);
	if (b)
		place_in(b, page, out, room);
	mutex_unlock(&ram->lock);
	if (b)
		return 0;
	sweep(ram, mm);
	if (!covers_gib(mm, page))
		like.shift = BLOCK_SHIFT;
	SCOPED_LOCK(&ram->lock);
	b = find_locked(ram, mm, page); /* another thread was faster */
	if (!b)
		rc = make_locked(ram, &like, page, &b);
	if (!rc)
		place_in(b, page, out, room);
	return rc;
}

/* ---- accesses ---- */

/* Whose memory is @phys? Its mm with a reference, NULL: nobody's. */
static struct mm *resolve(struct mem_ram *ram, phys_t phys, uva_t *at, uint64_t *room)
{
	struct block *b;
	struct gib *g;

	SCOPED_LOCK(&ram->lock);
	g = ram->gib[phys >> GIB_SHIFT];
	b = g ? g->block[phys >> BLOCK_SHIFT & (BLOCKS_GIB - 1)] : NULL;
	if (!b)
		return NULL;
	*at = b->start + (phys - b->phys);
	*room = BIT64(b->shift) - (phys - b->phys);
	return mm_get(b->mm);
}

static int ram_access(struct mem_ram *ram, phys_t phys, void *buf, size_t n, bool write)
{
	int rc = 0;

	for (size_t done = 0, step; done < n && !rc; done += step) {
		uint64_t room = 0;
		uva_t at = 0;
		struct mm *mm = resolve(ram, phys + done, &at, &room);

		if (!mm)
			return -EFAULT;
		step = MIN(n - done, room);
		rc = write ? mm->ops->write(mm, at, (char *)buf + done, step)
			   : mm->ops->read(mm, (char *)buf + done, at, step);
		mm_put(mm);
	}
	return rc;
}

static int low_read(void *ctx, uint64_t offset, void *dst, size_t n)
{
	return ram_access(ctx, LOW_BASE + offset, dst, n, false);
}

static int low_write(void *ctx, uint64_t offset, const void *src, size_t n)
{
	return ram_access(ctx, LOW_BASE + offset, (void *)src, n, true);
}

static int high_read(void *ctx, uint64_t offset, void *dst, size_t n)
{
	return ram_access(ctx, HIGH_BASE + offset, dst, n, false);
}

static int high_write(void *ctx, uint64_t offset, const void *src, size_t n)
{
	return ram_access(ctx, HIGH_BASE + offset, (void *)src, n, true);
}

static const struct mem_window_ops low_ops = { .read = low_read, .write = low_write };
static const struct mem_window_ops high_ops = { .read = high_read, .write = high_write };

/* ---- life ---- */

int mem_ram_create(struct mem *mem)
{
	struct mem_ram *ram = calloc(1, sizeof(*ram));
	int rc;

	if (!ram)
		return -ENOMEM;
	mem->ram = ram;
	ram->mem = mem;
	mutex_init(&ram->lock, RANK_MEM);
	LIST_INIT(&ram->blocks);
	rc = mem_window_add(mem, LOW_BASE, LOW_END - LOW_BASE, &low_ops, ram, &ram->low);
	if (!rc)
		rc = mem_window_add(mem, HIGH_BASE, HIGH_END - HIGH_BASE, &high_ops, ram, &ram->high);
	if (rc)
		mem_ram_destroy(mem);
	return rc;
}

void mem_ram_destroy(struct mem *mem)
{
	struct mem_ram *ram = mem->ram;
	struct block *b;

	if (!ram)
		return;
	mem->ram = NULL;
	mem_window_remove(ram->low);
	mem_window_remove(ram->high);
	while ((b = LIST_FIRST(&ram->blocks))) {
		struct mm *mm;

		mutex_lock(&ram->lock);
		mm = block_free_locked(ram, b);
		mutex_unlock(&ram->lock);
		mm_put(mm);
	}
	for (unsigned i = 0; i < GIBS; i++)
		free(ram->gib[i]);
	ids_fini(&ram->ids);
	mutex_fini(&ram->lock);
	free(ram);
}
