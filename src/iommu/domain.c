/* SPDX-License-Identifier: MIT */
/*
 * Domains: a page table, or one of the two rules that need none (everything passes, nothing passes).
 *
 * A domain that is let go keeps its gate and waits for its next life: a DMA that read a device's domain a
 * moment ago may still be about to enter it (priv.h).
 */
#include "iommu/priv.h"
#include <assert.h>

static struct iommu_domain *domain_new(struct iommu *iommu)
{
	struct iommu_domain *dom = calloc(1, sizeof(*dom));

	if (!dom)
		return NULL;
	dom->iommu = iommu;
	gate_init(&dom->gate, iommu_dma_slot_size);
	mutex_init(&dom->family, RANK_IOMMU_FAMILY);
	mutex_init(&dom->lock, RANK_IOMMU_DOMAIN);
	mutex_init(&dom->runs_lock, RANK_IOMMU_RUNS);
	mutex_init(&dom->gone_lock, RANK_IOMMU_FAULT);
	RB_INIT(&dom->runs);
	return dom;
}

/* Which format of tables, over which addresses. */
static void domain_shape(struct iommu_domain *dom, enum iommu_domain_kind kind, const struct iommu_unit *unit)
{
	dom->kind = kind;
	dom->unit = unit;
	dom->first = dom->last = 0;
	dom->page = UVFIO_PAGE_SIZE;
	dom->pt = &iommu_radix_ops;
	if (kind == IOMMU_PAGING) {
		dom->first = unit->first;
		dom->last = unit->width >= 64 ? UINT64_MAX : BIT64(unit->width) - 1;
		dom->page = unit->pgsizes & -unit->pgsizes;
		if (unit->runs)
			dom->pt = &iommu_runs_ops;
		else
			dom->top = (unit->width - UVFIO_PAGE_SHIFT - 1) / IOMMU_PT_BITS;
	} else if (kind == IOMMU_NESTED) {
		dom->last = UINT64_MAX;
		dom->pt = &iommu_nested_ops;
	}
	slab_init(&dom->nodes, dom->pt->node_size);
}

int iommu_domain_take(struct iommu *iommu, enum iommu_domain_kind kind, const struct iommu_unit *unit,
		      struct iommu_domain **out)
{
	struct iommu_domain *dom;

	mutex_lock(&iommu->lock);
	dom = SLIST_FIRST(&iommu->free);
	if (dom) {
		SLIST_REMOVE_HEAD(&iommu->free, free_link);
	} else {
		dom = domain_new(iommu);
		if (dom)
			SLIST_INSERT_HEAD(&iommu->all, dom, all_link);
	}
	mutex_unlock(&iommu->lock);
	if (!dom)
		return -ENOMEM;
	domain_shape(dom, kind, unit);
	dom->enforced = false;
	dom->fault_ops = NULL;
	dom->ngone = 0;
	dom->parent = NULL;
	/* Of a nested one a write always shows: in the guest's table. */
	atomic_store(&dom->tracking, kind == IOMMU_NESTED);
	atomic_store(&dom->tracked, false);
	atomic_store(&dom->is_default, false);
	atomic_store(&dom->kernel_users, 0);
	/* Whatever a thread remembers of the last life is void. */
	atomic_fetch_add(&dom->stamp, 1);
	*out = dom;
	return 0;
}

int iommu_domain_create(struct iommu_dev *d, struct iommu_domain **out)
{
	if (!d->unit)
		return -ENODEV;
	return iommu_domain_take(d->iommu, IOMMU_PAGING, d->unit, out);
}

int iommu_domain_create_for(struct iommu *iommu, const struct iommu_unit *unit, struct iommu_domain **out)
{
	return iommu_domain_take(iommu, IOMMU_PAGING, unit, out);
}

int iommu_group_domain_create(struct iommu_group *g, struct iommu_domain **out)
{
	struct iommu_dev *d;

	SCOPED_LOCK(&g->lock);
	d = TAILQ_FIRST(&g->members);
	return d ? iommu_domain_create(d, out) : -ENODEV;
}

void iommu_domain_destroy(struct iommu_domain *dom)
{
	if (!dom)
		return;
	assert(dom->attached == 0 && LIST_EMPTY(&dom->children));
	if (dom->parent)
		iommu_nested_leave(dom);
	/* iommu_translate() of another thread would be a mistake of its caller's; DMA was waited for at detach. */
	dom->pt->free(dom);
	SCOPED_LOCK(&dom->iommu->lock);
	SLIST_INSERT_HEAD(&dom->iommu->free, dom, free_link);
}

/* Whose lock guards what is attached to @dom. */
static struct iommu_domain *domain_head(struct iommu_domain *dom)
{
	return dom->parent ? dom->parent : dom;
}

/* Can translations of @dom serve a device behind @unit? */
static bool domain_suits_locked(struct iommu_domain *dom, const struct iommu_dev *d)
{
	if (dom->kind == IOMMU_BLOCKING)
		return !iommu_dev_needs_direct(d);
	if (dom->kind == IOMMU_IDENTITY)
		return true;
	if (d->unit->runs != dom->unit->runs)
		return false;
	/* A tree of leaves is read by whoever reads trees of leaves; a radix tree has its levels and sizes. */
	if (!d->unit->runs && (d->unit->width != dom->unit->width || d->unit->pgsizes != dom->unit->pgsizes))
		return false;
	return !domain_head(dom)->enforced || d->unit->enforce_coherency;
}

int iommu_domain_add(struct iommu_domain *dom, struct iommu_group *g, struct iommu_dev *one)
{
	struct iommu_domain *head = domain_head(dom);
	struct iommu_dev *d;

	SCOPED_LOCK(&head->lock);
	TAILQ_FOREACH(d, &g->members, link) {
		if ((!one || d == one) && !domain_suits_locked(dom, d))
			return -EINVAL;
	}
	TAILQ_FOREACH(d, &g->members, link) {
		if (one && d != one)
			continue;
		dom->attached++;
		head->attached_weak += !d->unit->enforce_coherency;
	}
	return 0;
}

void iommu_domain_sub(struct iommu_domain *dom, struct iommu_group *g, struct iommu_dev *one)
{
	struct iommu_domain *head = domain_head(dom);
	struct iommu_dev *d;

	SCOPED_LOCK(&head->lock);
	TAILQ_FOREACH(d, &g->members, link) {
		if (one && d != one)
			continue;
		dom->attached--;
		head->attached_weak -= !d->unit->enforce_coherency;
	}
}

void iommu_domain_aperture(const struct iommu_domain *dom, iova_t *start, iova_t *last)
{
	*start = dom->first;
	*last = dom->last;
}

uint64_t iommu_domain_pgsizes(const struct iommu_domain *dom)
{
	return dom->unit->pgsizes;
}

void iommu_domain_handle_faults(struct iommu_domain *dom, const struct iommu_fault_ops *ops, void *ctx)
{
	dom->fault_ops = ops;
	dom->fault_ctx = ctx;
}

const struct iommu_unit *iommu_domain_unit(const struct iommu_domain *dom)
{
	return dom->unit;
}

bool iommu_domain_enforce_coherency(struct iommu_domain *dom)
{
	struct iommu_domain *head = domain_head(dom);

	SCOPED_LOCK(&head->lock);
	if (!head->enforced && head->unit->enforce_coherency && head->attached_weak == 0)
		head->enforced = true;
	return head->enforced;
}

/* ---- mappings ---- */

static void domain_remember(struct iommu_domain *dom, const struct iommu_gather *g)
{
	int64_t now = iommu_now();

	SCOPED_LOCK(&dom->gone_lock);
	dom->gone[dom->ngone++ % IOMMU_GONE] = (struct iommu_gone){ .start = g->first, .last = g->last, .when = now };
}

bool iommu_domain_was(struct iommu_domain *dom, iova_t iova, struct iommu_gone *out)
{
	SCOPED_LOCK(&dom->gone_lock);
	for (unsigned n = dom->ngone; n > 0 && dom->ngone - n < IOMMU_GONE; n--) {
		const struct iommu_gone *gone = &dom->gone[(n - 1) % IOMMU_GONE];

		if (iova >= gone->start && iova <= gone->last) {
			*out = *gone;
			return true;
		}
	}
	return false;
}

/*
 * What a thread remembers is void. After the entries were changed and before the wait: a thread that keeps an old one
 * keeps the old stamp with it.
 */
static void domain_stale_locked(struct iommu_domain *dom)
{
	struct iommu_domain *child;

	atomic_fetch_add(&dom->stamp, 1);
	LIST_FOREACH(child, &dom->children, child_link)
		atomic_fetch_add(&child->stamp, 1);
}

/* A child that comes meanwhile walks what there is now. */
static void domain_wait(struct iommu_domain *dom)
{
	struct iommu_domain *child;

	gate_wait(&dom->gate);
	if (atomic_load(&dom->nchildren) == 0)
		return;
	SCOPED_LOCK(&dom->family);
	LIST_FOREACH(child, &dom->children, child_link)
		gate_wait(&child->gate);
}

void iommu_domain_forget(struct iommu_domain *dom)
{
	mutex_lock(&dom->lock);
	domain_stale_locked(dom);
	mutex_unlock(&dom->lock);
	domain_wait(dom);
}

/* What was taken out under the lock is out of every DMA's sight when this returns. */
static void domain_flush(struct iommu_domain *dom, const struct iommu_gather *g)
{
	if (g->bytes == 0 && !g->nodes)
		return;
	domain_wait(dom);
	if (g->nodes)
		iommu_pt_recycle(dom, g->nodes);
}

static int domain_map(struct iommu_domain *dom, const struct iommu_leaf *range)
{
	const iova_t iova = range->base;
	const phys_t phys = range->phys;
	const uint64_t length = range->size;
	const unsigned prot = range->prot;
	struct iommu_gather g = { .mem = dom->iommu->mem };
	int rc;

	if (length == 0 || !IS_ALIGNED(iova | phys | length, dom->page) || prot == 0 ||
	    (prot & ~(MEM_READ | MEM_WRITE)) || iova + (length - 1) < iova || iova < dom->first ||
	    iova + (length - 1) > dom->last || phys + (length - 1) < phys)
		return -EINVAL;
	mutex_lock(&dom->lock);
	rc = dom->pt->map(dom, range, &g);
	if (g.bytes)
		domain_stale_locked(dom);
	mutex_unlock(&dom->lock);
	domain_flush(dom, &g);
	return rc;
}

int iommu_map(struct iommu_domain *dom, iova_t iova, phys_t phys, uint64_t length, unsigned prot)
{
	return domain_map(dom, &(struct iommu_leaf){ .base = iova, .size = length, .phys = phys, .prot = prot });
}

int iommu_map_small(struct iommu_domain *dom, iova_t iova, phys_t phys, uint64_t length, unsigned prot)
{
	const struct iommu_leaf range = { .base = iova, .size = length, .phys = phys, .prot = prot, .small = true };

	return domain_map(dom, &range);
}

uint64_t iommu_unmap(struct iommu_domain *dom, iova_t iova, uint64_t length)
{
	struct iommu_gather g = { .mem = dom->iommu->mem };
	iova_t last = length - 1 > UINT64_MAX - iova ? UINT64_MAX : iova + (length - 1);

	if (length == 0)
		return 0;
	mutex_lock(&dom->lock);
	dom->pt->unmap(dom, iova, last, &g);
	if (g.bytes) {
		domain_stale_locked(dom);
		domain_remember(dom, &g);
	}
	mutex_unlock(&dom->lock);
	domain_flush(dom, &g);
	return g.bytes;
}

void iommu_prefetch(struct iommu_domain *dom, iova_t iova)
{
	if (dom->pt->prefetch)
		dom->pt->prefetch(dom, iova);
}

void iommu_domain_track(struct iommu_domain *dom, bool on)
{
	const struct iommu_dirty_look forget = { .clear = true };

	if (on) {
		mutex_lock(&dom->lock);
		dom->pt->dirty(dom, 0, UINT64_MAX, &forget);
		atomic_store(&dom->tracked, true);
		mutex_unlock(&dom->lock);
	}
	atomic_store(&dom->tracking, on);
	iommu_domain_forget(dom);
}

bool iommu_domain_tracks(struct iommu_domain *dom)
{
	return atomic_load(&dom->tracking);
}

void iommu_domain_dirty(struct iommu_domain *dom, iova_t start, iova_t last, bool clear,
			void (*fn)(void *ctx, iova_t base, uint64_t size), void *ctx)
{
	const struct iommu_dirty_look look = { .clear = clear, .fn = fn, .ctx = ctx };
	bool cleared;

	mutex_lock(&dom->lock);
	cleared = dom->pt->dirty(dom, start, last, &look);
	mutex_unlock(&dom->lock);
	if (cleared)
		iommu_domain_forget(dom);
}

bool iommu_domain_mark(struct iommu_domain *dom, iova_t iova)
{
	struct iommu_leaf leaf;

	/* What is found under the lock stays, so no section is needed; nested tables are somebody else's. */
	SCOPED_LOCK(&dom->lock);
	return dom->kind == IOMMU_PAGING && dom->pt->mark(dom, iova, &leaf);
}

int iommu_translate(struct iommu_domain *dom, iova_t iova, phys_t *phys, unsigned *prot)
{
	struct gate_slot *slot = gate_enter(&dom->gate);
	struct iommu_leaf leaf = { 0 };
	bool found;

	if (!slot)
		return -EFAULT;
	found = dom->pt->walk(dom, iova, &leaf);
	gate_leave(slot);
	if (!found)
		return -EFAULT;
	*phys = leaf.phys + (iova - leaf.base);
	*prot = leaf.prot;
	return 0;
}
