/* SPDX-License-Identifier: MIT */
/*
 * A domain's page table as a sorted tree of leaves, for an IOMMU whose pages may have any powers of two for their sizes:
 * an address space has as many leaves as it has runs of memory that are aligned alike, and a page may be smaller than
 * one of memory. It is the format of the mock IOMMU, whose programs ask what is mapped far more than they do DMA.
 *
 * The tree is changed with the domain's lock and runs_lock held, so one of them is enough to look. DMA takes runs_lock,
 * which is a leaf.
 */
#include "iommu/priv.h"
#include <assert.h>

struct iommu_run {
	RB_ENTRY(iommu_run) node;
	iova_t base;
	uint64_t size;
	phys_t phys;
	unsigned prot;
	atomic_bool dirty;
};

static int run_compare(const struct iommu_run *a, const struct iommu_run *b)
{
	return a->base < b->base ? -1 : a->base > b->base;
}
RB_GENERATE_INTERNAL(iommu_runs, iommu_run, node, run_compare, static __attribute__((unused)))

static iova_t run_last(const struct iommu_run *r)
{
	return r->base + (r->size - 1);
}

/* The leaf that @iova is in, or the next one above; NULL: none */
static struct iommu_run *run_from(struct iommu_domain *dom, iova_t iova)
{
	struct iommu_run *r = RB_ROOT(&dom->runs), *found = NULL;

	while (r) {
		if (run_last(r) < iova) {
			r = RB_RIGHT(r, node);
		} else {
			found = r;
			r = RB_LEFT(r, node);
		}
	}
	return found;
}

/* The largest page that may translate @iova to @phys, with @left bytes to go. */
static uint64_t run_size(const struct iommu_domain *dom, iova_t iova, phys_t phys, uint64_t left, bool small)
{
	const uint64_t aligned = (iova | phys) & -(iova | phys);
	uint64_t most = left;

	if (aligned)
		most = MIN(most, aligned);
	if (small)
		most = MIN(most, MAX(UVFIO_PAGE_SIZE, dom->page));
	/* Of the sizes there are, those up to @most; the smallest is always one, as all three are multiples of it. */
	most = BIT64(63 - __builtin_clzll(most));
	return BIT64(63 - __builtin_clzll(dom->unit->pgsizes & (most | (most - 1))));
}

static void runs_unmap(struct iommu_domain *dom, iova_t iova, iova_t last, struct iommu_gather *g)
{
	struct iommu_run *r, *next;

	SCOPED_LOCK(&dom->runs_lock);
	for (r = run_from(dom, iova); r && r->base <= last; r = next) {
		next = RB_NEXT(iommu_runs, &dom->runs, r);
		assert(r->base >= iova && run_last(r) <= last);
		if (g->bytes == 0)
			g->first = r->base;
		g->last = run_last(r);
		g->bytes += r->size;
		RB_REMOVE(iommu_runs, &dom->runs, r);
		slab_free(&dom->nodes, r);
	}
}

static int run_add(struct iommu_domain *dom, const struct iommu_leaf *range, uint64_t done, uint64_t *size)
{
	struct iommu_run *r = slab_alloc(&dom->nodes);

	if (!r)
		return -ENOMEM;
	r->base = range->base + done;
	r->phys = range->phys + done;
	r->size = run_size(dom, r->base, r->phys, range->size - done, range->small);
	r->prot = range->prot;
	atomic_init(&r->dirty, false);
	*size = r->size;
	SCOPED_LOCK(&dom->runs_lock);
	RB_INSERT(iommu_runs, &dom->runs, r);
	return 0;
}

static int runs_map(struct iommu_domain *dom, const struct iommu_leaf *range, struct iommu_gather *g)
{
	const struct iommu_run *next = run_from(dom, range->base);
	uint64_t size;

	if (next && next->base <= range->base + (range->size - 1))
		return -EEXIST;
	for (uint64_t done = 0; done < range->size; done += size) {
		int rc = run_add(dom, range, done, &size);

		if (rc) {
			if (done)
				runs_unmap(dom, range->base, range->base + (done - 1), g);
			return rc;
		}
	}
	return 0;
}

/* One look; for a write that is to be remembered, @mark. */
static bool runs_look(struct iommu_domain *dom, iova_t iova, bool mark, struct iommu_leaf *out)
{
	struct iommu_run *r;

	SCOPED_LOCK(&dom->runs_lock);
	r = run_from(dom, iova);
	if (!r || r->base > iova)
		return false;
	if (mark && (r->prot & MEM_WRITE))
		atomic_store(&r->dirty, true);
	*out = (struct iommu_leaf){ .base = r->base, .size = r->size, .phys = r->phys, .prot = r->prot,
				    .dirty = atomic_load(&r->dirty) };
	return true;
}

static bool runs_walk(struct iommu_domain *dom, iova_t iova, struct iommu_leaf *out)
{
	return runs_look(dom, iova, false, out);
}

static bool runs_mark(struct iommu_domain *dom, iova_t iova, struct iommu_leaf *out)
{
	return runs_look(dom, iova, true, out);
}

static bool runs_dirty(struct iommu_domain *dom, iova_t start, iova_t last, const struct iommu_dirty_look *look)
{
	bool cleared = false;

	for (struct iommu_run *r = run_from(dom, start); r && r->base <= last; r = RB_NEXT(iommu_runs, &dom->runs, r)) {
		if (!atomic_load(&r->dirty))
			continue;
		if (look->clear) {
			atomic_store(&r->dirty, false);
			cleared = true;
		}
		if (look->fn)
			look->fn(look->ctx, r->base, r->size);
	}
	return cleared;
}

static void runs_free(struct iommu_domain *dom)
{
	struct iommu_run *r;

	while ((r = RB_ROOT(&dom->runs))) {
		RB_REMOVE(iommu_runs, &dom->runs, r);
		slab_free(&dom->nodes, r);
	}
	slab_fini(&dom->nodes);
}

const struct iommu_pt_ops iommu_runs_ops = {
	.node_size = sizeof(struct iommu_run),
	.map = runs_map,
	.unmap = runs_unmap,
	.walk = runs_walk,
	.mark = runs_mark,
	.dirty = runs_dirty,
	.free = runs_free,
};
