/* SPDX-License-Identifier: MIT */
/*
 * Nested domains: a guest's table leads from the device's address to one of the guest's, and the parent from there to
 * memory. The guest's table is in its own memory, so each entry is found through the parent too.
 *
 * What a walk finds is both steps in one leaf, of the smaller of the two pages, and is remembered in threads' TLBs as
 * any other. So it is void when the guest says so, and when the parent changes: the parent changes its children's
 * stamps with its own, and waits for their DMA as for its own (domain.c). A walk is inside a section of the child's
 * gate, so that wait covers the parent's table too.
 *
 * As the first level of VT-d: requests have user's rights, the accessed bit is set on the way, and the dirty bit before
 * the first write. For that a page that is not dirty is not to be written by what a TLB remembers, as where writes are
 * tracked; a nested domain is tracked all its life, its parent when somebody asks for it. The guest may change an entry
 * at the same time: bits are set by a compare and exchange, which is one in memory that is shared with it.
 */
#include "iommu/priv.h"
#include <assert.h>

#define S1_PRESENT  BIT64(0)
#define S1_WRITE    BIT64(1)
#define S1_USER     BIT64(2)
#define S1_ACCESSED BIT64(5)
#define S1_DIRTY    BIT64(6)
#define S1_LARGE    BIT64(7)
#define S1_PAT      BIT64(12) /* of a large page */
#define S1_ADDR     (BIT64(52) - UVFIO_PAGE_SIZE)

#define S1_TRIES 64 /* against a guest that changes an entry all the time */

/* An entry of the guest's table. */
struct s1_entry {
	iova_t at;       /* in the parent's space */
	uint64_t value;
	unsigned level;
};

/* One walk. */
struct s1_walk {
	struct iommu_domain *dom;
	iova_t iova;
	bool write;
	bool tracking;           /* somebody wants to know what is written in the parent */
	uint64_t rights;         /* S1_WRITE, S1_USER: what all entries grant */
	struct s1_entry leaf;
};

static bool canonical(iova_t iova, unsigned levels)
{
	const unsigned above = 64 - UVFIO_PAGE_SHIFT - levels * IOMMU_PT_BITS;

	return (iova_t)((int64_t)(iova << above) >> above) == iova;
}

/* What the parent has at @at, which is about to be written. */
static bool parent_look(const struct s1_walk *w, iova_t at, bool write, struct iommu_leaf *out)
{
	struct iommu_domain *parent = w->dom->parent;

	return (write && w->tracking ? parent->pt->mark : parent->pt->walk)(parent, at, out);
}

/* Where an entry is in memory; false: nowhere. Registers of devices are no tables. */
static bool entry_find(const struct s1_walk *w, iova_t at, bool write, phys_t *out)
{
	const unsigned prot = MEM_READ | (write ? MEM_WRITE : 0);
	struct iommu_leaf leaf;

	if (!parent_look(w, at, write, &leaf) || (leaf.prot & prot) != prot)
		return false;
	*out = leaf.phys + (at - leaf.base);
	return *out >> MEM_REGION_SHIFT != 0;
}

static bool entry_read(struct s1_walk *w, struct s1_entry *e)
{
	phys_t phys;

	return entry_find(w, e->at, false, &phys) &&
	       mem_read(w->dom->iommu->mem, phys, &e->value, sizeof(e->value)) == 0;
}

/* 0; -EAGAIN the guest has changed it; -EFAULT it may not be written */
static int entry_set(struct s1_walk *w, struct s1_entry *e, uint64_t bits)
{
	phys_t phys;
	int rc;

	if ((e->value & bits) == bits)
		return 0;
	if (!entry_find(w, e->at, true, &phys))
		return -EFAULT;
	rc = mem_exchange(w->dom->iommu->mem, phys, e->value, e->value | bits);
	if (rc == 0)
		e->value |= bits;
	return rc;
}

static uint64_t level_span(unsigned level)
{
	return BIT64(UVFIO_PAGE_SHIFT + level * IOMMU_PT_BITS);
}

static bool is_leaf(const struct s1_entry *e)
{
	return e->level == 0 || (e->value & S1_LARGE);
}

static bool entry_valid(const struct s1_entry *e)
{
	if (!(e->value & S1_PRESENT))
		return false;
	if (e->level == 0 || !(e->value & S1_LARGE))
		return true;
	return e->level <= 2 && !(e->value & S1_ADDR & ~S1_PAT & (level_span(e->level) - 1));
}

/* Down to the leaf. 0; -EAGAIN; -EFAULT: nothing there */
static int s1_descend(struct s1_walk *w)
{
	const struct iommu_stage1 *s1 = &w->dom->stage1;
	struct s1_entry *e = &w->leaf;
	iova_t table = s1->table;

	w->rights = S1_WRITE | S1_USER;
	for (e->level = s1->levels; e->level-- > 0;) {
		unsigned shift = UVFIO_PAGE_SHIFT + e->level * IOMMU_PT_BITS;
		int rc;

		e->at = table + ((w->iova >> shift) & (IOMMU_PT_SIZE - 1)) * sizeof(e->value);
		if (!entry_read(w, e) || !entry_valid(e))
			return -EFAULT;
		rc = entry_set(w, e, S1_ACCESSED);
		if (rc)
			return rc;
		w->rights &= e->value;
		if (is_leaf(e))
			return 0;
		table = e->value & S1_ADDR;
	}
	return -EFAULT;
}

/* Where the first step leads. */
static iova_t guest_address(const struct s1_walk *w)
{
	const uint64_t span = level_span(w->leaf.level);

	return (w->leaf.value & S1_ADDR & ~(span - 1)) + (w->iova & (span - 1));
}

/* Both steps in one. */
static void leaf_join(const struct s1_walk *w, const struct iommu_leaf *below, struct iommu_leaf *out)
{
	out->size = MIN(level_span(w->leaf.level), below->size);
	out->base = w->iova & ~(out->size - 1);
	out->phys = below->phys + ((guest_address(w) & ~(out->size - 1)) - below->base);
	out->prot = 0;
	if (w->rights & S1_USER)
		out->prot = below->prot & (w->rights & S1_WRITE ? MEM_READ | MEM_WRITE : MEM_READ);
	out->dirty = (w->leaf.value & S1_DIRTY) && (below->dirty || !w->tracking);
}

static int s1_look(struct s1_walk *w, struct iommu_leaf *out)
{
	struct iommu_leaf below;
	bool write;
	int rc = s1_descend(w);

	if (rc)
		return rc;
	write = w->write && w->rights == (S1_WRITE | S1_USER);
	if (!parent_look(w, guest_address(w), write, &below))
		return -EFAULT;
	/* Only for a write that will take place. */
	if (write && (below.prot & MEM_WRITE))
		rc = entry_set(w, &w->leaf, S1_DIRTY);
	leaf_join(w, &below, out);
	return rc;
}

static bool nested_look(struct iommu_domain *dom, iova_t iova, bool write, struct iommu_leaf *out)
{
	struct s1_walk w = { .dom = dom, .iova = iova, .write = write };
	int rc = -EAGAIN;

	w.tracking = atomic_load(&dom->parent->tracking);
	if (!dom->stage1.levels || !canonical(iova, dom->stage1.levels))
		return false;
	for (unsigned i = 0; rc == -EAGAIN && i < S1_TRIES; i++)
		rc = s1_look(&w, out);
	return rc == 0;
}

static bool nested_walk(struct iommu_domain *dom, iova_t iova, struct iommu_leaf *out)
{
	return nested_look(dom, iova, false, out);
}

static bool nested_mark(struct iommu_domain *dom, iova_t iova, struct iommu_leaf *out)
{
	return nested_look(dom, iova, true, out);
}

/* Nothing is mapped in one by us, and nobody asks it what was written. */

static int nested_map(struct iommu_domain *dom, const struct iommu_leaf *range, struct iommu_gather *g)
{
	return -EINVAL;
}

static void nested_unmap(struct iommu_domain *dom, iova_t iova, iova_t last, struct iommu_gather *g)
{
}

static bool nested_dirty(struct iommu_domain *dom, iova_t start, iova_t last, const struct iommu_dirty_look *look)
{
	return false;
}

static void nested_free(struct iommu_domain *dom)
{
	slab_fini(&dom->nodes);
}

const struct iommu_pt_ops iommu_nested_ops = {
	.node_size = sizeof(struct iommu_node), /* never one */
	.map = nested_map,
	.unmap = nested_unmap,
	.walk = nested_walk,
	.mark = nested_mark,
	.dirty = nested_dirty,
	.free = nested_free,
};

/* ---- life ---- */

static bool stage1_valid(const struct iommu_stage1 *s1)
{
	return (s1->levels == 4 || s1->levels == 5) && !(s1->table & ~S1_ADDR);
}

int iommu_domain_create_nested(struct iommu_domain *parent, const struct iommu_stage1 *s1, struct iommu_domain **out)
{
	struct iommu_domain *dom;
	int rc;

	if (parent->kind != IOMMU_PAGING || !parent->unit->nesting || (s1 && !stage1_valid(s1)))
		return -EINVAL;
	rc = iommu_domain_take(parent->iommu, IOMMU_NESTED, parent->unit, &dom);
	if (rc)
		return rc;
	dom->parent = parent;
	dom->stage1 = s1 ? *s1 : (struct iommu_stage1){ 0 };
	mutex_lock(&parent->family);
	mutex_lock(&parent->lock);
	LIST_INSERT_HEAD(&parent->children, dom, child_link);
	atomic_fetch_add(&parent->nchildren, 1);
	mutex_unlock(&parent->lock);
	mutex_unlock(&parent->family);
	*out = dom;
	return 0;
}

void iommu_nested_leave(struct iommu_domain *dom)
{
	struct iommu_domain *parent = dom->parent;

	SCOPED_LOCK(&parent->family);
	mutex_lock(&parent->lock);
	LIST_REMOVE(dom, child_link);
	atomic_fetch_sub(&parent->nchildren, 1);
	mutex_unlock(&parent->lock);
}

void iommu_domain_invalidate(struct iommu_domain *dom, iova_t start, iova_t last)
{
	iommu_domain_forget(dom);
}
