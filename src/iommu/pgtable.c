/* SPDX-License-Identifier: MIT */
/*
 * A domain's page table: a radix tree of 512 entries a node, leaves of 4 KiB, 2 MiB and 1 GiB.
 *
 * Changes are made under the domain's lock. Walks need none: an entry is one word, written at once; a node
 * is empty when it is taken out, and stays unchanged until no walk can be in it, which is the business of
 * the caller (iommu_pt_recycle() after gate_wait()). A walk that races with an unmap finds the old leaf or
 * nothing, both of which are right until the unmap returns.
 *
 * What was written through is remembered beside the entries, a bit each: of a leaf, that it was, of a table, that
 * something below it may have been. Who writes sets them from the leaf upwards, who looks clears them from the root
 * downwards, so nothing is lost between the two; and where nobody wrote, nobody looks.
 *
 * How many entries of a table are in use stands in the entry that points to the table: that one is near at hand when
 * its entries are changed, as one line of it covers 16 MiB.
 */
#include "iommu/priv.h"
#include <assert.h>
#include <string.h>

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

static atomic_ullong *dirty_word(struct iommu_node *n, unsigned index)
{
	return &n->dirty[index / 64];
}

static bool dirty_get(struct iommu_node *n, unsigned index)
{
	return atomic_load_explicit(dirty_word(n, index), memory_order_relaxed) & BIT64(index % 64);
}

/* Nearly always it is set already. */
static void dirty_set(struct iommu_node *n, unsigned index)
{
	if (!(atomic_load(dirty_word(n, index)) & BIT64(index % 64)))
		atomic_fetch_or(dirty_word(n, index), BIT64(index % 64));
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
		if (dom->tracked)
			memset(n->dirty, 0, sizeof(n->dirty));
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
			if (m->dom->tracked) /* what was here before does not count */
				atomic_fetch_and(dirty_word(n, level_index(iova, level)), ~BIT64(level_index(iova, level) % 64));
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

/* The way from the root to a leaf. */
struct path {
	struct iommu_node *node[IOMMU_PT_LEVELS]; /* by level */
	unsigned level;                           /* of the leaf */
	uint64_t e;                               /* the leaf */
};

static bool find_leaf(struct iommu_domain *dom, iova_t iova, struct path *p)
{
	p->e = pte_load(&dom->root);
	if (iova > dom->last)
		return false;
	for (p->level = dom->top; p->e; p->level--) {
		struct iommu_node *n = pte_node(p->e);

		p->node[p->level] = n;
		p->e = pte_load(&n->e[level_index(iova, p->level)]);
		if (p->e & IOMMU_PTE_LEAF)
			return true;
	}
	return false;
}

static void leaf_set(struct iommu_leaf *out, iova_t iova, const struct path *p)
{
	out->size = BIT64(level_shift(p->level));
	out->base = iova & ~(out->size - 1);
	out->phys = p->e & IOMMU_PTE_ADDR;
	out->prot = p->e & (IOMMU_PTE_READ | IOMMU_PTE_WRITE);
}

static bool radix_walk(struct iommu_domain *dom, iova_t iova, struct iommu_leaf *out)
{
	struct path p;

	if (!find_leaf(dom, iova, &p))
		return false;
	leaf_set(out, iova, &p);
	out->dirty = dom->tracked && dirty_get(p.node[p.level], level_index(iova, p.level));
	return true;
}

static bool radix_mark(struct iommu_domain *dom, iova_t iova, struct iommu_leaf *out)
{
	struct path p;

	if (!find_leaf(dom, iova, &p))
		return false;
	leaf_set(out, iova, &p);
	out->dirty = p.e & IOMMU_PTE_WRITE;
	for (unsigned level = p.level; out->dirty && level <= dom->top; level++)
		dirty_set(p.node[level], level_index(iova, level));
	return true;
}

/* Runs of leaves of the lowest level, by their bits: those of one word, the first of which is at @base */
static void tell_runs(const struct iommu_dirty_look *look, uint64_t bits, iova_t base)
{
	while (look->fn && bits) {
		unsigned from = (unsigned)__builtin_ctzll(bits);
		uint64_t rest = bits >> from;
		unsigned n = ~rest ? (unsigned)__builtin_ctzll(~rest) : 64;

		look->fn(look->ctx, base + ((iova_t)from << UVFIO_PAGE_SHIFT), (uint64_t)n << UVFIO_PAGE_SHIFT);
		bits = n + from >= 64 ? 0 : bits & (UINT64_MAX << (n + from));
	}
}

/* The bits of a node's entries [@from, @to], in one word; those of tables that are not covered whole stay */
static uint64_t take_bits(const struct iommu_dirty_look *look, struct iommu_node *n, unsigned from, unsigned to,
			  uint64_t keep)
{
	const uint64_t mask = (UINT64_MAX << from % 64) & (UINT64_MAX >> (63 - to % 64));
	uint64_t bits = atomic_load(dirty_word(n, from)) & mask;

	if (look->clear && (bits & ~keep))
		bits &= atomic_fetch_and(dirty_word(n, from), ~(bits & ~keep));
	return bits;
}

static bool dirty_node(const struct iommu_dirty_look *look, struct iommu_node *n, unsigned level, iova_t iova, iova_t last);

/* What the entry that leads to @base has to tell: it is a large leaf, or a table. */
static void dirty_entry(const struct iommu_dirty_look *look, struct iommu_node *n, unsigned level, iova_t base,
			iova_t iova, iova_t last)
{
	const iova_t mask = BIT64(level_shift(level)) - 1;
	const unsigned index = level_index(base, level);
	const uint64_t e = pte_load(&n->e[index]);

	if (!(e & IOMMU_PTE_LEAF)) {
		if (e)
			dirty_node(look, pte_node(e), level - 1, MAX(iova, base), MIN(last, base | mask));
		return;
	}
	if (look->clear) /* it may have been kept as if it were a table */
		atomic_fetch_and(dirty_word(n, index), ~BIT64(index % 64));
	if (look->fn)
		look->fn(look->ctx, base, mask + 1);
}

/* [@iova, @last] lies inside what the table spans; only what has a bit is looked at. Returns whether anything had one */
static bool dirty_node(const struct iommu_dirty_look *look, struct iommu_node *n, unsigned level, iova_t iova, iova_t last)
{
	const iova_t mask = BIT64(level_shift(level)) - 1;
	const unsigned first = level_index(iova, level), end = level_index(last, level);
	const iova_t table = (iova & ~mask) - ((iova_t)first << level_shift(level)); /* where entry 0 leads to */
	bool found = false;

	for (unsigned from = first; from <= end; from = (from | 63) + 1) {
		const unsigned to = MIN(end, from | 63);
		const iova_t base = table + ((iova_t)(from & ~63u) << level_shift(level));
		uint64_t keep = 0, bits;

		/* Of a table that only a part is asked of, something may be left. */
		if (from == first && (iova & mask))
			keep |= BIT64(first % 64);
		if (to == end && (last & mask) != mask)
			keep |= BIT64(end % 64);
		bits = take_bits(look, n, from, to, level ? keep : 0);
		found |= bits != 0;
		if (!level)
			tell_runs(look, bits, base);
		for (; level && bits; bits &= bits - 1)
			dirty_entry(look, n, level, base + ((iova_t)__builtin_ctzll(bits) << level_shift(level)), iova, last);
	}
	return found;
}

static bool radix_dirty(struct iommu_domain *dom, iova_t start, iova_t last, const struct iommu_dirty_look *look)
{
	uint64_t root = pte_load(&dom->root);

	return root && start <= dom->last &&
	       dirty_node(look, pte_node(root), dom->top, start, MIN(last, dom->last)) && look->clear;
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
