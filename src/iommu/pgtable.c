/* SPDX-License-Identifier: MIT */
/*
 * A domain's page table: a radix tree of 512 entries a node, leaves of 4 KiB, 2 MiB and 1 GiB.
 *
 * Changes are made under the domain's lock. Walks need none: an entry is one word, written at once; a node
 * is empty when it is taken out, and stays unchanged until no walk can be in it, which is the business of
 * the caller (iommu_pt_recycle() after gate_wait()). A walk that races with an unmap finds the old leaf or
 * nothing, both of which are right until the unmap returns.
 */
#include "iommu/priv.h"
#include <assert.h>
#include <string.h>

#define SPARE_MAX 16 /* nodes a domain keeps */

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
	return (struct iommu_node *)(uintptr_t)e;
}

static uint64_t pte_load(struct iommu_node *n, unsigned i)
{
	return atomic_load_explicit(&n->e[i], memory_order_acquire);
}

static void pte_store(struct iommu_node *n, unsigned i, uint64_t e)
{
	atomic_store_explicit(&n->e[i], e, memory_order_release);
}

static struct iommu_node *node_take(struct iommu_domain *dom)
{
	struct iommu_node *n = dom->spare;

	if (!n) {
		/* A cache line's alignment is enough: the low bits only tell a node from a leaf. */
		n = aligned_alloc(64, ALIGN_UP(sizeof(*n), 64ul));
		if (n)
			memset(n, 0, sizeof(*n));
		return n;
	}
	dom->spare = n->next;
	dom->nspare--;
	n->next = NULL;
	return n;
}

void iommu_pt_recycle(struct iommu_domain *dom, struct iommu_node *nodes)
{
	SCOPED_LOCK(&dom->lock);
	while (nodes) {
		struct iommu_node *n = nodes;

		nodes = n->next;
		if (dom->nspare == SPARE_MAX) {
			free(n);
			continue;
		}
		n->next = dom->spare;
		dom->spare = n;
		dom->nspare++;
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

	if (level > 2 || end - iova != span - 1)
		return false;
	return level == 0 || ((m->dom->unit->pgsizes & span) && IS_ALIGNED(phys, span));
}

static void node_drop_if_empty(struct iommu_node *parent, unsigned i, struct iommu_node *child, struct iommu_gather *g)
{
	if (child->used)
		return;
	pte_store(parent, i, 0);
	parent->used--;
	child->next = g->nodes;
	g->nodes = child;
}

/* [@iova, @last] lies inside what @n spans. */
static int map_node(struct pt_map *m, struct iommu_node *n, unsigned level, iova_t iova, iova_t last)
{
	const iova_t span_mask = BIT64(level_shift(level)) - 1;

	for (;;) {
		iova_t end = MIN(last, iova | span_mask);
		unsigned i = level_index(iova, level);
		uint64_t e = pte_load(n, i);
		int rc;

		if (e & IOMMU_PTE_LEAF)
			return -EEXIST;
		if (leaf_fits(m, level, iova, end)) {
			if (e)
				return -EEXIST;
			pte_store(n, i, (m->range->phys + m->done) | m->range->prot | IOMMU_PTE_LEAF);
			n->used++;
			m->done += end - iova + 1;
		} else {
			struct iommu_node *child = e ? pte_node(e) : node_take(m->dom);

			if (!child)
				return -ENOMEM;
			if (!e) {
				pte_store(n, i, (uintptr_t)child);
				n->used++;
			}
			rc = map_node(m, child, level - 1, iova, end);
			if (rc) {
				node_drop_if_empty(n, i, child, m->g);
				return rc;
			}
		}
		if (end == last)
			return 0;
		iova = end + 1;
	}
}

int iommu_pt_map_locked(struct iommu_domain *dom, const struct iommu_leaf *range, struct iommu_gather *g)
{
	struct pt_map m = { .dom = dom, .range = range, .g = g };
	struct iommu_node *root = atomic_load_explicit(&dom->root, memory_order_relaxed);
	int rc;

	if (!root) {
		root = node_take(dom);
		if (!root)
			return -ENOMEM;
		atomic_store_explicit(&dom->root, root, memory_order_release);
	}
	rc = map_node(&m, root, dom->top, range->base, range->base + (range->size - 1));
	if (rc && m.done)
		iommu_pt_unmap_locked(dom, range->base, range->base + (m.done - 1), g);
	return rc;
}

static void unmap_node(struct iommu_node *n, unsigned level, iova_t iova, iova_t last, struct iommu_gather *g)
{
	const iova_t span_mask = BIT64(level_shift(level)) - 1;

	for (;;) {
		iova_t end = MIN(last, iova | span_mask);
		unsigned i = level_index(iova, level);
		uint64_t e = pte_load(n, i);

		if (e & IOMMU_PTE_LEAF) {
			assert((iova & span_mask) == 0 && end == (iova | span_mask));
			pte_store(n, i, 0);
			n->used--;
			if (g->bytes == 0)
				g->first = iova & ~span_mask;
			g->last = iova | span_mask;
			g->bytes += span_mask + 1;
		} else if (e) {
			unmap_node(pte_node(e), level - 1, iova, end, g);
			node_drop_if_empty(n, i, pte_node(e), g);
		}
		if (end == last || n->used == 0)
			return;
		iova = end + 1;
	}
}

void iommu_pt_unmap_locked(struct iommu_domain *dom, iova_t iova, iova_t last, struct iommu_gather *g)
{
	struct iommu_node *root = atomic_load_explicit(&dom->root, memory_order_relaxed);

	if (root && iova <= dom->last)
		unmap_node(root, dom->top, iova, MIN(last, dom->last), g);
}

bool iommu_pt_walk(struct iommu_domain *dom, iova_t iova, struct iommu_leaf *out)
{
	struct iommu_node *n = atomic_load_explicit(&dom->root, memory_order_acquire);

	if (!n || iova > dom->last)
		return false;
	for (unsigned level = dom->top;; level--) {
		uint64_t e = pte_load(n, level_index(iova, level));

		if (e & IOMMU_PTE_LEAF) {
			out->size = BIT64(level_shift(level));
			out->base = iova & ~(out->size - 1);
			out->phys = e & IOMMU_PTE_ADDR;
			out->prot = e & (IOMMU_PTE_READ | IOMMU_PTE_WRITE);
			return true;
		}
		if (!e)
			return false;
		n = pte_node(e);
	}
}

static void free_node(struct iommu_node *n)
{
	for (unsigned i = 0; i < IOMMU_PT_SIZE && n->used; i++) {
		uint64_t e = pte_load(n, i);

		if (!e)
			continue;
		if (!(e & IOMMU_PTE_LEAF))
			free_node(pte_node(e));
		n->used--;
	}
	free(n);
}

void iommu_pt_free(struct iommu_domain *dom)
{
	struct iommu_node *root = atomic_exchange(&dom->root, NULL), *n;

	if (root)
		free_node(root);
	while ((n = dom->spare)) {
		dom->spare = n->next;
		free(n);
	}
	dom->nspare = 0;
}
