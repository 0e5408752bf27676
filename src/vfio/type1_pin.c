/* SPDX-License-Identifier: MIT */
/*
 * Pages for devices that do no DMA of their own (spec 10, 4.5): pinned one by one and counted, or copied from
 * and to without pinning. A mapping keeps the pages that are pinned of it in a tree. While the instance has a
 * domain the mapping itself is pinned and charged whole, and single pages cost nothing; else each is charged
 * when it is pinned.
 *
 * A mapping cannot go while its pages are pinned: who unmaps first calls the devices' dma_unmap, without the
 * instance's lock, as they unpin through the same door. A copy happens without the lock too, since a hostile
 * program can make it last; it holds the mapping, and only that program's own unmap waits for it.
 */
#include "vfio/type1.h"
#include <assert.h>
#include <string.h>

static int page_compare(struct type1_page *a, struct type1_page *b)
{
	return a->iova < b->iova ? -1 : a->iova > b->iova;
}

RB_GENERATE_INTERNAL(type1_pages, type1_page, node, page_compare, static __attribute__((unused)))

/* ---- the pages of a mapping ---- */

static struct type1_page *page_find(struct type1_mapping *m, iova_t iova)
{
	struct type1_page key = { .iova = iova };

	return RB_FIND(type1_pages, &m->pages, &key);
}

static void page_uncharge(struct type1_mapping *m, struct type1_page *p)
{
	if (p->charged)
		mm_uncharge(m->mm, 1);
	p->charged = false;
}

void type1_pages_charge(struct type1_mapping *m)
{
	struct type1_page *p;

	RB_FOREACH(p, type1_pages, &m->pages) {
		if (!p->charged)
			mm_charge(m->mm, 1, true);
		p->charged = true;
	}
}

void type1_pages_uncharge(struct type1_mapping *m)
{
	struct type1_page *p;

	RB_FOREACH(p, type1_pages, &m->pages)
		page_uncharge(m, p);
}

static void page_drop(struct type1_mapping *m, struct type1_page *p)
{
	RB_REMOVE(type1_pages, &m->pages, p);
	page_uncharge(m, p);
	mem_unpin(p->pin);
	free(p);
}

void type1_pages_drop(struct type1_mapping *m)
{
	struct type1_page *p;

	while ((p = RB_MIN(type1_pages, &m->pages)))
		page_drop(m, p);
}

void type1_pages_mark(struct vfio_type1 *t1, struct type1_mapping *m, iova_t start, iova_t last)
{
	struct type1_page key = { .iova = start }, *p;

	for (p = RB_NFIND(type1_pages, &m->pages, &key); p && p->iova <= last; p = RB_NEXT(type1_pages, , p))
		type1_dirty_mark(t1, m, p->iova, p->iova);
}

/* ---- pin ---- */

static bool page_owner_capable(struct task *t, enum task_cap cap)
{
	return false; /* charging is done here, not by mem/ */
}

static const struct task_ops page_owner_ops = { .capable = page_owner_capable };

static int page_create(struct vfio_type1 *t1, struct type1_mapping *m, iova_t iova, struct type1_page **out)
{
	struct task owner = { .ops = &page_owner_ops, .mm = m->mm };
	struct type1_page *p = calloc(1, sizeof(*p));
	const struct mem_piece *pieces;
	int rc;

	if (!p)
		return -ENOMEM;
	p->iova = iova;
	rc = mm_alive(m->mm) ? mem_pin(t1->vfio->mem, &owner, m->vaddr + (iova - m->start), UVFIO_PAGE_SIZE, iova,
				       m->prot, false, &p->pin)
			     : -ENODEV;
	if (rc)
		goto err_free;
	if (mem_pin_pieces(p->pin, &pieces) != 1 || pieces[0].phys >> MEM_REGION_SHIFT == 0) {
		rc = -EINVAL; /* a BAR: no memory */
		goto err_unpin;
	}
	if (!m->pin) {
		rc = mm_charge(m->mm, 1, m->unlimited);
		if (rc)
			goto err_unpin;
		p->charged = true;
	}
	RB_INSERT(type1_pages, &m->pages, p);
	*out = p;
	return 0;

err_unpin:
	mem_unpin(p->pin);
err_free:
	free(p);
	return rc;
}

static int pin_page(struct vfio_type1 *t1, iova_t iova, unsigned prot, phys_t *phys)
{
	struct type1_mapping *m = type1_mapping_at(t1, iova);
	const struct mem_piece *pieces;
	struct type1_page *p;
	int rc;

	if (!m || m->start > iova || m->last - iova < UVFIO_PAGE_SIZE - 1)
		return -EINVAL;
	if ((m->prot & prot) != prot)
		return -EPERM;
	p = page_find(m, iova);
	if (!p) {
		rc = page_create(t1, m, iova, &p);
		if (rc)
			return rc;
		type1_dirty_mark(t1, m, iova, iova);
	}
	p->users++;
	mem_pin_pieces(p->pin, &pieces);
	*phys = pieces[0].phys;
	return 0;
}

/* Stops at the first page that is not mapped. */
static void unpin_locked(struct vfio_type1 *t1, iova_t iova, int npages)
{
	for (int i = 0; i < npages; i++, iova += UVFIO_PAGE_SIZE) {
		struct type1_mapping *m = type1_mapping_at(t1, iova);
		struct type1_page *p;

		if (!m || m->start > iova)
			return;
		p = page_find(m, iova);
		if (p && --p->users == 0)
			page_drop(m, p);
	}
}

static int pin_locked(struct vfio_type1 *t1, struct vfio_group *g, iova_t iova, int npages, unsigned prot, phys_t *phys)
{
	struct type1_domain *d;
	struct type1_group *tg;

	if (t1->nvaddr_invalid)
		return -EBUSY;
	if (LIST_EMPTY(&t1->devices))
		return -EINVAL;
	for (int i = 0; i < npages; i++) {
		int rc = pin_page(t1, iova + (iova_t)i * UVFIO_PAGE_SIZE, prot, &phys[i]);

		if (rc) {
			unpin_locked(t1, iova, i);
			return rc;
		}
	}
	tg = type1_group_find(t1, g->iommu, &d);
	if (tg && !tg->pins) {
		tg->pins = true; /* from now on it is taken at its word */
		t1->unseen--;
	}
	return npages;
}

int type1_pin(struct vfio_backend *b, struct vfio_group *g, iova_t iova, int npages, unsigned prot, phys_t *phys)
{
	struct vfio_type1 *t1 = type1_of(b);

	if (!t1->v2)
		return -EACCES;
	if (iova + ((iova_t)npages * UVFIO_PAGE_SIZE - 1) < iova)
		return -EOVERFLOW;
	SCOPED_LOCK(&t1->lock);
	return pin_locked(t1, g, ALIGN_DOWN(iova, UVFIO_PAGE_SIZE), npages, prot, phys);
}

void type1_unpin(struct vfio_backend *b, iova_t iova, int npages)
{
	struct vfio_type1 *t1 = type1_of(b);

	if (!t1->v2)
		return;
	SCOPED_LOCK(&t1->lock);
	unpin_locked(t1, ALIGN_DOWN(iova, UVFIO_PAGE_SIZE), npages);
}

/* ---- copy ---- */

/* One copy under way, inside one mapping. */
struct chunk {
	struct type1_mapping *m;
	uva_t at;
	size_t n;
};

static int chunk_begin(struct vfio_type1 *t1, struct task *t, iova_t iova, size_t n, bool write, struct chunk *c)
{
	struct type1_mapping *m;

	SCOPED_LOCK(&t1->lock);
	if (t1->nvaddr_invalid)
		return -EBUSY;
	m = type1_mapping_at(t1, iova);
	if (!m || m->start > iova)
		return -EINVAL;
	if ((write && !(m->prot & MEM_WRITE)) || !(m->prot & MEM_READ) || !mm_alive(m->mm))
		return -EPERM;
	if (t && t->mm != m->mm)
		return -EFAULT;
	m->users++;
	c->m = m;
	c->at = m->vaddr + (iova - m->start);
	c->n = MIN(n - 1, m->last - iova) + 1;
	return 0;
}

static void chunk_end(struct vfio_type1 *t1, const struct chunk *c, iova_t iova, bool dirty)
{
	SCOPED_LOCK(&t1->lock);
	if (dirty)
		type1_dirty_mark(t1, c->m, iova, iova + (c->n - 1));
	if (--c->m->users == 0)
		cond_broadcast(&t1->idle);
}

static int chunk_copy(struct task *t, const struct chunk *c, void *data, bool write)
{
	const struct mm_ops *ops = c->m->mm->ops; /* the mapping stays while it has users */

	if (t)
		return write ? task_copy_out(t, c->at, data, c->n) : task_copy_in(t, data, c->at, c->n);
	return write ? ops->write(c->m->mm, c->at, data, c->n) : ops->read(c->m->mm, data, c->at, c->n);
}

int type1_dma_rw(struct vfio_backend *b, struct task *t, iova_t iova, void *data, size_t n, bool write)
{
	struct vfio_type1 *t1 = type1_of(b);
	struct chunk c = { .n = 0 };

	for (size_t done = 0; done < n; done += c.n) {
		int rc = chunk_begin(t1, t, iova + done, n - done, write, &c);

		if (rc)
			return rc;
		rc = chunk_copy(t, &c, (char *)data + done, write);
		chunk_end(t1, &c, iova + done, write && !rc);
		if (rc)
			return rc;
	}
	return 0;
}

/* ---- devices ---- */

void type1_device_open(struct vfio_backend *b, struct vfio_device_priv *p)
{
	struct vfio_type1 *t1 = type1_of(b);

	if (!p->v->ops->dma_unmap)
		return;
	SCOPED_LOCK(&t1->devices_lock);
	SCOPED_LOCK(&t1->lock);
	LIST_INSERT_HEAD(&t1->devices, p, backend_link);
}

void type1_device_close(struct vfio_backend *b, struct vfio_device_priv *p)
{
	struct vfio_type1 *t1 = type1_of(b);

	if (!p->v->ops->dma_unmap)
		return;
	SCOPED_LOCK(&t1->devices_lock);
	SCOPED_LOCK(&t1->lock);
	LIST_REMOVE(p, backend_link);
}

static void call_devices(struct vfio_type1 *t1, iova_t start, iova_t last)
{
	struct vfio_device_priv *p;

	SCOPED_LOCK(&t1->devices_lock);
	LIST_FOREACH(p, &t1->devices, backend_link)
		p->v->ops->dma_unmap(p->v, start, last - start + 1);
}

bool type1_wait_unused(struct vfio_type1 *t1, struct type1_mapping *m, iova_t last)
{
	for (; m && m->start <= last; m = m->last < last ? type1_mapping_next(t1, m) : NULL) {
		if (!RB_EMPTY(&m->pages)) {
			iova_t from = m->start, to = m->last;

			mutex_unlock(&t1->lock);
			call_devices(t1, from, to);
			mutex_lock(&t1->lock);
			return true;
		}
		if (m->users) {
			cond_wait(&t1->idle, &t1->lock);
			return true;
		}
	}
	return false;
}
