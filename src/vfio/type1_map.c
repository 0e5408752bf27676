/* SPDX-License-Identifier: MIT */
/*
 * MAP_DMA and UNMAP_DMA.
 *
 * A mapping is pinned, then translated in every domain, then put into the tree; it leaves in the opposite
 * order. UNMAP_DMA removes the translations of everything it takes with one call for each domain, so that DMA
 * under way is waited for once, not once for each mapping. Mappings are never split.
 *
 * The instance's lock is held over pinning, which looks at the caller's mappings but not into its memory.
 * An instance without domains only remembers what is mapped; whoever adds the first one pins, on behalf of who
 * mapped (spec 10, 4.4).
 */
#include "vfio/type1.h"
#include <string.h>

static uint64_t mapping_length(const struct type1_mapping *m)
{
	return m->last - m->start + 1;
}

static void mapping_free(struct vfio_type1 *t1, struct type1_mapping *m)
{
	mem_unpin(m->pin);
	mm_put(m->mm);
	free(m->dirty);
	slab_free(&t1->memory, m);
}

/* ---- pins ---- */

/* Whoever made a mapping, as he was then. */
struct owner {
	struct task task;
	bool unlimited;
};

static bool owner_capable(struct task *t, enum task_cap cap)
{
	return cap == TASK_CAP_IPC_LOCK && container_of(t, struct owner, task)->unlimited;
}

static const struct task_ops owner_ops = { .capable = owner_capable };

int type1_pin_mapping(struct vfio_type1 *t1, struct type1_mapping *m)
{
	struct owner o = { .task = { .ops = &owner_ops, .mm = m->mm }, .unlimited = m->unlimited };
	int rc;

	if (m->pin)
		return 0;
	type1_pages_uncharge(m); /* one charge a page, whatever it is pinned by */
	rc = mem_pin_in(m->pin_storage, t1->vfio->mem, &o.task, m->vaddr, mapping_length(m), m->start, m->prot, true,
			&m->pin);
	if (rc)
		type1_pages_charge(m);
	return rc;
}

void type1_unpin_mapping(struct type1_mapping *m)
{
	if (!m->pin)
		return;
	mem_unpin(m->pin);
	m->pin = NULL;
	type1_pages_charge(m);
}

/* ---- map ---- */

int type1_domain_map(struct iommu_domain *dom, const struct type1_mapping *m)
{
	const struct mem_piece *pieces;
	unsigned n = mem_pin_pieces(m->pin, &pieces);
	iova_t iova = m->start;

	for (unsigned i = 0; i < n; i++) {
		int rc = iommu_map(dom, iova, pieces[i].phys, pieces[i].length, m->prot);

		if (rc) {
			if (iova != m->start)
				iommu_unmap(dom, m->start, iova - m->start);
			return rc;
		}
		iova += pieces[i].length;
	}
	return 0;
}

static int map_all_domains(struct vfio_type1 *t1, const struct type1_mapping *m)
{
	struct type1_domain *d, *undo;

	LIST_FOREACH(d, &t1->domains, link) {
		int rc = type1_domain_map(d->iommu, m);

		if (rc) {
			LIST_FOREACH(undo, &t1->domains, link) {
				if (undo == d)
					break;
				iommu_unmap(undo->iommu, m->start, mapping_length(m));
			}
			return rc;
		}
	}
	return 0;
}

static void unmap_all_domains(struct vfio_type1 *t1, iova_t start, iova_t last)
{
	struct type1_domain *d;

	LIST_FOREACH(d, &t1->domains, link)
		iommu_unmap(d->iommu, start, last - start + 1);
}

/* Where there are very many mappings, the page table's line for @iova is far away: let it come while others do. */
static void prefetch_domains(struct vfio_type1 *t1, iova_t iova)
{
	struct type1_domain *d;

	LIST_FOREACH(d, &t1->domains, link)
		iommu_prefetch(d->iommu, iova);
}

static bool valid_range(const struct vfio_type1 *t1, iova_t start, iova_t last)
{
	for (unsigned i = 0; i < t1->nvalid; i++) {
		if (start >= t1->valid[i].start && last <= t1->valid[i].last)
			return true;
	}
	return t1->nvalid == 0;
}

/* Steps 6 to 11 of spec 10, 4.2. */
static int map_locked(struct vfio_type1 *t1, struct task *t, const struct vfio_iommu_type1_dma_map *a)
{
	struct type1_mapping *m;
	iova_t last = a->iova + a->size - 1;
	int rc = 0;

	prefetch_domains(t1, a->iova);
	if (type1_overlaps(t1, a->iova, last))
		return -EEXIST;
	if (!t1->dma_avail)
		return -ENOSPC;
	if (!valid_range(t1, a->iova, last))
		return -EINVAL;
	m = slab_alloc(&t1->memory);
	if (!m)
		return -ENOMEM;
	memset(m, 0, offsetof(struct type1_mapping, pin_storage));
	m->start = a->iova;
	m->last = last;
	m->prot = (a->flags & VFIO_DMA_MAP_FLAG_READ ? MEM_READ : 0) |
		  (a->flags & VFIO_DMA_MAP_FLAG_WRITE ? MEM_WRITE : 0);
	m->unlimited = task_capable(t, TASK_CAP_IPC_LOCK);
	m->mm = mm_get(t->mm);
	m->vaddr = a->vaddr;
	if (!LIST_EMPTY(&t1->domains))
		rc = mem_pin_in(m->pin_storage, t1->vfio->mem, t, a->vaddr, a->size, a->iova, m->prot, true, &m->pin);
	if (!rc && t1->dirty_tracking && a->size / type1_pgsize(t1) > INT32_MAX)
		rc = -EINVAL;
	if (!rc)
		rc = map_all_domains(t1, m);
	if (!rc) {
		rc = type1_mapping_insert(t1, m);
		if (rc)
			unmap_all_domains(t1, m->start, m->last);
	}
	if (rc) {
		mapping_free(t1, m);
		return rc;
	}
	t1->dma_avail--;
	t1->generation++;
	return 0;
}

/* MAP_DMA with VADDR: the pages of an invalidated mapping have moved in the program's address space. */
static int revalidate_locked(struct vfio_type1 *t1, struct task *t, const struct vfio_iommu_type1_dma_map *a)
{
	iova_t last = a->iova + a->size - 1;
	struct type1_mapping *m = type1_mapping_overlap(t1, a->iova, last);
	int rc;

	if (!m)
		return -ENOENT;
	if (!m->vaddr_invalid || m->start != a->iova || m->last != last)
		return -EINVAL;
	/* No emulated device has joined since it was invalidated, so the mapping is pinned whole. */
	rc = mem_pin_repoint(m->pin, t, a->vaddr);
	if (rc)
		return rc;
	mm_put(m->mm);
	m->mm = mm_get(t->mm);
	m->vaddr = a->vaddr;
	m->unlimited = task_capable(t, TASK_CAP_IPC_LOCK);
	m->vaddr_invalid = false;
	t1->nvaddr_invalid--;
	return 0;
}

/* Steps 2 and 3: what can be said without the instance. */
static int check_map(const struct vfio *vfio, const struct vfio_iommu_type1_dma_map *a)
{
	const uint32_t access = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
	const uint32_t vaddr = vfio_has(vfio, VFIO_WITHOUT_UPDATE_VADDR) ? VFIO_DMA_MAP_FLAG_VADDR : 0;

	if (a->flags & ~(access | vaddr))
		return -EINVAL;
	if (!a->size)
		return -EINVAL;
	if (a->iova + a->size - 1 < a->iova || a->vaddr + a->size - 1 < a->vaddr)
		return -EOVERFLOW;
	if (!a->flags || ((a->flags & VFIO_DMA_MAP_FLAG_VADDR) && (a->flags & access)))
		return -EINVAL;
	return 0;
}

long type1_map_ioctl(struct vfio_type1 *t1, struct task *t, uint64_t arg)
{
	struct vfio_iommu_type1_dma_map a;
	int rc = ucopy_argsz(t, &a, arg, VFIO_IOMMU_TYPE1_DMA_MAP_MINSZ);

	if (!rc)
		rc = check_map(t1->vfio, &a);
	if (rc)
		return rc;
	SCOPED_LOCK(&t1->lock);
	if (type1_gone(t1) || !IS_ALIGNED(a.iova | a.vaddr | a.size, type1_pgsize(t1)))
		return -EINVAL;
	if (a.flags & VFIO_DMA_MAP_FLAG_VADDR)
		return revalidate_locked(t1, t, &a);
	return map_locked(t1, t, &a);
}

/* ---- unmap ---- */

/* An UNMAP_DMA under way. */
struct unmap {
	iova_t start, last;
	struct vfio_bitmap bitmap; /* with GET_DIRTY_BITMAP */
	bool reported;             /* its bits have been written, */
	uint64_t generation;       /* for these mappings */
	uint64_t removed;          /* result, bytes */
};

static void forget(struct vfio_type1 *t1, struct type1_mapping *m)
{
	type1_mapping_remove(t1, m);
	type1_pages_drop(m);
	if (m->vaddr_invalid)
		t1->nvaddr_invalid--;
	t1->dma_avail++;
	t1->generation++;
	mapping_free(t1, m);
}

void type1_unpin_all(struct vfio_type1 *t1)
{
	struct type1_mapping *m;

	while ((m = type1_mapping_at(t1, 0)))
		forget(t1, m);
}

static struct type1_mapping *first_to_unmap(struct vfio_type1 *t1, const struct unmap *u)
{
	struct type1_mapping *m = type1_mapping_at(t1, u->start);

	/* v1: a mapping that begins before the range ends the search (spec 10, 4.3) */
	return m && m->start <= u->last && m->start >= u->start ? m : NULL;
}

static struct type1_mapping *next_to_unmap(struct vfio_type1 *t1, struct type1_mapping *m,
						   const struct unmap *u)
{
	if (m->last >= u->last)
		return NULL;
	m = type1_mapping_next(t1, m);
	return m && m->start <= u->last ? m : NULL;
}

/* Mark everything in range; a mapping marked before undoes what this call has marked. */
static int invalidate_locked(struct vfio_type1 *t1, struct unmap *u)
{
	struct type1_mapping *m, *undo;

	for (m = first_to_unmap(t1, u); m; m = next_to_unmap(t1, m, u)) {
		if (m->vaddr_invalid)
			goto err;
		m->vaddr_invalid = true;
		t1->nvaddr_invalid++;
		u->removed += mapping_length(m);
	}
	return 0;

err:
	for (undo = first_to_unmap(t1, u); undo != m; undo = next_to_unmap(t1, undo, u)) {
		undo->vaddr_invalid = false;
		t1->nvaddr_invalid--;
	}
	return -EINVAL;
}

static void remove_locked(struct vfio_type1 *t1, struct unmap *u, struct type1_mapping *first)
{
	struct type1_mapping *m, *next;
	iova_t last = 0;

	for (m = first; m; m = next_to_unmap(t1, m, u))
		last = m->last;
	unmap_all_domains(t1, first->start, last);
	for (m = first; m; m = next) {
		next = next_to_unmap(t1, m, u);
		u->removed += mapping_length(m);
		forget(t1, m);
	}
}

/* Steps 4 and 5 of spec 10, 4.3. */
static int unmap_range(const struct vfio_iommu_type1_dma_unmap *a, uint64_t pgsize, struct unmap *u)
{
	if (!IS_ALIGNED(a->iova, pgsize))
		return -EINVAL;
	u->start = a->iova;
	if (a->flags & VFIO_DMA_UNMAP_FLAG_ALL) {
		u->last = UINT64_MAX;
		return a->iova || a->size ? -EINVAL : 0;
	}
	if (!a->size || !IS_ALIGNED(a->size, pgsize))
		return -EINVAL;
	u->last = a->iova + a->size - 1;
	return u->last < a->iova ? -EOVERFLOW : 0;
}

/* Steps 3 to 5. */
static int check_unmap_locked(struct vfio_type1 *t1, const struct vfio_iommu_type1_dma_unmap *a, struct unmap *u)
{
	if (type1_gone(t1))
		return -EINVAL;
	if ((a->flags & VFIO_DMA_UNMAP_FLAG_VADDR) && !LIST_EMPTY(&t1->emulated))
		return -EBUSY;
	return unmap_range(a, type1_pgsize(t1), u);
}

/* Steps 3 to 8. */
static int unmap_locked(struct vfio_type1 *t1, const struct vfio_iommu_type1_dma_unmap *a, struct unmap *u)
{
	struct type1_mapping *first;
	int rc = check_unmap_locked(t1, a, u);

	if (rc)
		return rc;
	if (u->reported && !t1->dirty_tracking)
		return -EINVAL;
	prefetch_domains(t1, u->start);
	if (t1->v2 && !(a->flags & VFIO_DMA_UNMAP_FLAG_ALL) && type1_bisects(t1, u->start, u->last))
		return -EINVAL;
	if (u->reported && u->generation != t1->generation)
		return -EAGAIN;
	if (a->flags & VFIO_DMA_UNMAP_FLAG_VADDR)
		return invalidate_locked(t1, u);
	first = first_to_unmap(t1, u);
	if (!first)
		return 0;
	if (type1_wait_unused(t1, first, u->last))
		return -EAGAIN;
	remove_locked(t1, u, first);
	return 0;
}

/*
 * The bits are written before the mappings go, but not under the lock: when another thread has changed the
 * mappings in between they are written again.
 */
static int unmap_reporting(struct vfio_type1 *t1, struct task *t, const struct vfio_iommu_type1_dma_unmap *a,
			   struct unmap *u)
{
	int rc;

	u->reported = true;
	do {
		mutex_lock(&t1->lock);
		rc = check_unmap_locked(t1, a, u);
		mutex_unlock(&t1->lock);
		if (!rc)
			rc = type1_dirty_report(t1, t, &u->bitmap, u->start, u->last, false, &u->generation);
		if (rc)
			return rc;
		mutex_lock(&t1->lock);
		rc = unmap_locked(t1, a, u);
		mutex_unlock(&t1->lock);
	} while (rc == -EAGAIN);
	return rc;
}

static uint32_t known_unmap_flags(const struct vfio *vfio)
{
	return (vfio_has(vfio, VFIO_WITHOUT_DIRTY) ? VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP : 0) |
	       (vfio_has(vfio, VFIO_WITHOUT_UNMAP_ALL) ? VFIO_DMA_UNMAP_FLAG_ALL : 0) |
	       (vfio_has(vfio, VFIO_WITHOUT_UPDATE_VADDR) ? VFIO_DMA_UNMAP_FLAG_VADDR : 0);
}

/* Steps 1 and 2. */
static int check_unmap(struct vfio_type1 *t1, struct task *t, uint64_t arg,
		       const struct vfio_iommu_type1_dma_unmap *a, struct unmap *u)
{
	const uint32_t no_bitmap = VFIO_DMA_UNMAP_FLAG_ALL | VFIO_DMA_UNMAP_FLAG_VADDR;
	int rc;

	if (a->flags & ~known_unmap_flags(t1->vfio))
		return -EINVAL;
	if (!(a->flags & VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP))
		return 0;
	if ((a->flags & no_bitmap) || a->argsz < sizeof(*a) + sizeof(u->bitmap))
		return -EINVAL;
	rc = task_copy_in(t, &u->bitmap, arg + sizeof(*a), sizeof(u->bitmap));
	return rc ? rc : type1_bitmap_check(&u->bitmap, a->size);
}

long type1_unmap_ioctl(struct vfio_type1 *t1, struct task *t, uint64_t arg)
{
	struct vfio_iommu_type1_dma_unmap a;
	struct unmap u = { .removed = 0 };
	int rc = ucopy_argsz(t, &a, arg, VFIO_IOMMU_TYPE1_DMA_UNMAP_MINSZ);

	if (!rc)
		rc = check_unmap(t1, t, arg, &a, &u);
	if (rc)
		return rc;
	if (a.flags & VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP) {
		rc = unmap_reporting(t1, t, &a, &u);
	} else {
		mutex_lock(&t1->lock);
		do
			rc = unmap_locked(t1, &a, &u);
		while (rc == -EAGAIN);
		mutex_unlock(&t1->lock);
	}
	if (rc)
		return rc;
	a.size = u.removed;
	return task_copy_out(t, arg, &a, sizeof(a));
}
