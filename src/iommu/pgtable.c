/* SPDX-License-Identifier: MIT */
/*
 * A domain's page table: a radix tree of 512 entries a node, leaves of 4 KiB, 2 MiB and 1 GiB.
 *
 * Changes are made under the domain's lock. Walks need none: an entry is one word, written at once; a node
 * is empty when it is taken out, and stays unchanged until no walk can be in it, which is the business of
 * the caller (iommu_pt_recycle() after gate_wait()). A walk that races with an unmap finds the old leaf or
 * nothing, both of which are right until the unmap returns.
 *
 * How many entries of a table are in use stands in the entry that points to the table: that one is near at hand when
 * its entries are changed, as one line of it covers 16 MiB.
 */
#include "iommu/priv.h"
#include <assert.h>

static unsigned level_shift(unsigned level)
{
	return UVFIO_PAGE_SHIFT + level * IOMMU_PT_BITS;
}

static unsigned level_index(iova_t iova, unsigned level)
{
	return (iova >> level_shift(level)) & (IOMMU_PT_SIZE - 1);
}

static struct iommu_node *pte_node(uint64_t e)
{
	return (struct iommu_node *)(uintptr_t)(e & IOMMU_PTE_NODE);
}

static uint64_t pte_used(uint64_t e)
{
	return e / IOMMU_PTE_USED;
}

static uint64_t pte_load(atomic_ullong *slot)
{
	return atomic_load_explicit(slot, memory_order_acquire);
}

static void pte_store(atomic_ullong *slot, uint64_t e)
{
	atomic_store_explicit(slot, e, memory_order_release);
}

/* The table at @slot has an entry more in use, or one less (-1). */
static void pte_count(atomic_ullong *slot, int more)
{
	pte_store(slot, atomic_load_explicit(slot, memory_order_relaxed) + IOMMU_PTE_USED * (uint64_t)(int64_t)more);
}

/* A node comes back as all zeros, and is found so. */
static struct iommu_node *node_take(struct iommu_domain *dom)
{
	return slab_alloc(&dom->nodes);
}

void iommu_pt_recycle(struct iommu_domain *dom, struct iommu_node *nodes)
{
	SCOPED_LOCK(&dom->lock);
	while (nodes) {
		struct iommu_node *n = nodes;

		nodes = n->next;
		n->next = NULL;
		slab_free(&dom->nodes, n);
	}
}

/* One call of map. */
struct pt_map {
	struct iommu_domain *dom;
	const struct iommu_leaf *range;
	struct iommu_gather *g;
	uint64_t done; /* bytes mapped so far, from the start of the range */
};

static bool leaf_fits(const struct pt_map *m, unsigned level, iova_t iova, iova_t end)
{
	uint64_t span = BIT64(level_shift(level));
	phys_t phys = m->range->phys + (iova - m->range->base);

	if (level > (m->range->small ? 0 : 2) || end - iova != span - 1)
		return false;
	return level == 0 || ((m->dom->unit->pgsizes & span) && IS_ALIGNED(phys, span));
}

/* Take the table at @slot out of the one at @parent, if nothing is in it. */
static void node_drop_if_empty(atomic_ullong *parent, atomic_ullong *slot, struct iommu_gather *g)
{
	uint64_t e = pte_load(slot);

	if (pte_used(e))
		return;
	pte_store(slot, 0);
	pte_count(parent, -1);
	pte_node(e)->next = g->nodes;
	g->nodes = pte_node(e);
}

/* [@iova, @last] lies inside what the table at @table spans. */
static int map_node(struct pt_map *m, atomic_ullong *table, unsigned level, iova_t iova, iova_t last)
{
	const iova_t span_mask = BIT64(level_shift(level)) - 1;
	struct iommu_node *n = pte_node(pte_load(table));

	for (;;) {
		iova_t end = MIN(last, iova | span_mask);
		atomic_ullong *slot = &n->e[level_index(iova, level)];
		uint64_t e = pte_load(slot);
		int rc;

		if (e & IOMMU_PTE_LEAF)
			return -EEXIST;
		if (leaf_fits(m, level, iova, end)) {
			if (e)
				return -EEXIST;
			pte_store(slot, (m->range->phys + m->done) | m->range->prot | IOMMU_PTE_LEAF);
			pte_count(table, 1);
			m->done += end - iova + 1;
		} else {
			if (!e) {
				struct iommu_node *child = node_take(m->dom);

				if (!child)
					return -ENOMEM;
				pte_store(slot, (uintptr_t)child);
				pte_count(table, 1);
			}
			rc = map_node(m, slot, level - 1, iova, end);
			if (rc) {
				node_drop_if_empty(table, slot, m->g);
				return rc;
			}
		}
		if (end == last)
			return 0;
		iova = end + 1;
	}
}

static void unmap_node(atomic_ullong *table, unsigned level, iova_t iova, iova_t last, struct iommu_gather *g)
{
	const iova_t span_mask = BIT64(level_shift(level)) - 1;
	struct iommu_node *n = pte_node(pte_load(table));

	for (;;) {
		iova_t end = MIN(last, iova | span_mask);
		atomic_ullong *slot = &n->e[level_index(iova, level)];
		uint64_t e = pte_load(slot);

		if (e & IOMMU_PTE_LEAF) {
			assert((iova & span_mask) == 0 && end == (iova | span_mask));
			pte_store(slot, 0);
			pte_count(table, -1);
			if (g->bytes == 0) {
				mem_prefetch(g->mem, e & IOMMU_PTE_ADDR); /* to be unpinned, most likely */
				g->first = iova & ~span_mask;
			}
			g->last = iova | span_mask;
			g->bytes += span_mask + 1;
		} else if (e) {
			unmap_node(slot, level - 1, iova, end, g);
			node_drop_if_empty(table, slot, g);
		}
		if (end == last || !pte_used(pte_load(table)))
			return;
		iova = end + 1;
	}
}

static void radix_unmap(struct iommu_domain *dom, iova_t iova, iova_t last, struct iommu_gather *g)
{
	if (atomic_load_explicit(&dom->root, memory_order_relaxed) && iova <= dom->last)
		unmap_node(&dom->root, dom->top, iova, MIN(last, dom->last), g);
}

static int radix_map(struct iommu_domain *dom, const struct iommu_leaf *range, struct iommu_gather *g)
{
	struct pt_map m = { .dom = dom, .range = range, .g = g };
	int rc;

	if (!atomic_load_explicit(&dom->root, memory_order_relaxed)) {
		struct iommu_node *root = node_take(dom);

		if (!root)
			return -ENOMEM;
		pte_store(&dom->root, (uintptr_t)root);
	}
	rc = map_node(&m, &dom->root, dom->top, range->base, range->base + (range->size - 1));
	if (rc && m.done)
		radix_unmap(dom, range->base, range->base + (m.done - 1), g);
	return rc;
}

/* The leaf that @iova is in; NULL: none. *@e: what was in it */
static atomic_ullong *find_leaf(struct iommu_domain *dom, iova_t iova, uint64_t *e, unsigned *level)
{
	*e = pte_load(&dom->root);
	if (iova > dom->last)
		return NULL;
	for (*level = dom->top; *e; --*level) {
		atomic_ullong *slot = &pte_node(*e)->e[level_index(iova, *level)];

		*e = pte_load(slot);
		if (*e & IOMMU_PTE_LEAF)
			return slot;
	}
	return NULL;
}

static void leaf_set(struct iommu_leaf *out, iova_t iova, uint64_t e, unsigned level)
{
	out->size = BIT64(level_shift(level));
	out->base = iova & ~(out->size - 1);
	out->phys = e & IOMMU_PTE_ADDR;
	out->prot = e & (IOMMU_PTE_READ | IOMMU_PTE_WRITE);
	out->dirty = e & IOMMU_PTE_DIRTY;
}

static bool radix_walk(struct iommu_domain *dom, iova_t iova, struct iommu_leaf *out)
{
	unsigned level;
	uint64_t e;

	if (!find_leaf(dom, iova, &e, &level))
		return false;
	leaf_set(out, iova, e, level);
	return true;
}

static bool radix_mark(struct iommu_domain *dom, iova_t iova, struct iommu_leaf *out)
{
	unsigned level;
	uint64_t e;
	atomic_ullong *slot = find_leaf(dom, iova, &e, &level);

	if (!slot)
		return false;
	/* Only a leaf that is still there: an unmap leaves nothing behind. */
	while ((e & IOMMU_PTE_WRITE) && !(e & IOMMU_PTE_DIRTY)) {
		unsigned long long was = e;

		if (atomic_compare_exchange_weak(slot, &was, e | IOMMU_PTE_DIRTY))
			was |= IOMMU_PTE_DIRTY;
		e = was;
		if (!(e & IOMMU_PTE_LEAF))
			return false;
	}
	leaf_set(out, iova, e, level);
	return true;
}

/* [@iova, @last] lies inside what the table spans. */
static bool dirty_node(const struct iommu_dirty_look *look, uint64_t table, unsigned level, iova_t iova, iova_t last)
{
	const iova_t span_mask = BIT64(level_shift(level)) - 1;
	struct iommu_node *n = pte_node(table);
	bool cleared = false;

	for (;;) {
		iova_t end = MIN(last, iova | span_mask);
		atomic_ullong *slot = &n->e[level_index(iova, level)];
		uint64_t e = pte_load(slot);

		if ((e & IOMMU_PTE_LEAF) && (e & IOMMU_PTE_DIRTY)) {
			if (look->clear) {
				atomic_fetch_and(slot, ~IOMMU_PTE_DIRTY);
				cleared = true;
			}
			if (look->fn)
				look->fn(look->ctx, iova & ~span_mask, span_mask + 1);
		} else if (e && !(e & IOMMU_PTE_LEAF)) {
			cleared |= dirty_node(look, e, level - 1, iova, end);
		}
		if (end == last)
			return cleared;
		iova = end + 1;
	}
}

static bool radix_dirty(struct iommu_domain *dom, iova_t start, iova_t last, const struct iommu_dirty_look *look)
{
	uint64_t root = pte_load(&dom->root);

	return root && start <= dom->last && dirty_node(look, root, dom->top, start, MIN(last, dom->last));
}

static void radix_prefetch(struct iommu_domain *dom, iova_t iova)
{
	uint64_t e = pte_load(&dom->root);

	if (iova > dom->last)
		return;
	for (unsigned level = dom->top; e && !(e & IOMMU_PTE_LEAF); level--) {
		atomic_ullong *slot = &pte_node(e)->e[level_index(iova, level)];

		if (level == 0) {
			__builtin_prefetch(slot, 1);
			return;
		}
		e = pte_load(slot);
	}
}

static void free_table(struct iommu_domain *dom, uint64_t table)
{
	struct iommu_node *n = pte_node(table);
	uint64_t left = pte_used(table);

	for (unsigned i = 0; i < IOMMU_PT_SIZE && left; i++) {
		uint64_t e = pte_load(&n->e[i]);

		if (!e)
			continue;
		if (!(e & IOMMU_PTE_LEAF))
			free_table(dom, e);
		left--;
	}
	slab_free(&dom->nodes, n);
}

static void radix_free(struct iommu_domain *dom)
{
	uint64_t root = atomic_exchange(&dom->root, 0);

	if (root)
		free_table(dom, root);
	slab_fini(&dom->nodes);
}

const struct iommu_pt_ops iommu_radix_ops = {
	.node_size = sizeof(struct iommu_node),
	.map = radix_map,
	.unmap = radix_unmap,
	.walk = radix_walk,
	.mark = radix_mark,
	.dirty = radix_dirty,
	.prefetch = radix_prefetch,
	.free = radix_free,
};
