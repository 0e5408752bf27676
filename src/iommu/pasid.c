/* SPDX-License-Identifier: MIT */
/*
 * PASIDs: address spaces that a device can name in a request, beside its own. What a PASID means is the group's, as a
 * domain is: one domain, for every member that has PASIDs. Each of those has a table of its own, so that DMA finds the
 * domain as it finds the device's, by one pointer that is looked at twice (priv.h). A table has two levels; what is in
 * it stays until the device is destroyed, so looking needs no lock.
 */
#include "iommu/priv.h"
#include <assert.h>

#define PASIDS_MAX (1u << 20)

static int pasid_compare(const struct iommu_pasid *a, const struct iommu_pasid *b)
{
	return a->pasid < b->pasid ? -1 : a->pasid > b->pasid;
}
RB_GENERATE_INTERNAL(iommu_pasids, iommu_pasid, node, pasid_compare, static __attribute__((unused)))

int iommu_dev_set_pasids(struct iommu_dev *d, uint32_t count)
{
	if (d->group || d->pasids || count > PASIDS_MAX)
		return -EINVAL;
	if (count == 0)
		return 0;
	d->pasids = calloc(((count - 1) >> IOMMU_PASID_BITS) + 1, sizeof(*d->pasids));
	if (!d->pasids)
		return -ENOMEM;
	d->npasids = count;
	return 0;
}

uint32_t iommu_dev_pasids(const struct iommu_dev *d)
{
	return d->npasids;
}

static struct iommu_pasid *pasid_find(struct iommu_group *g, uint32_t pasid)
{
	struct iommu_pasid key = { .pasid = pasid };

	return RB_FIND(iommu_pasids, &g->pasids, &key);
}

/* ---- one device's table; group lock ---- */

static int leaf_make(struct iommu_dev *d, uint32_t pasid)
{
	struct iommu_pasid_leaf *leaf;

	if (pasid >= d->npasids || atomic_load(&d->pasids[pasid >> IOMMU_PASID_BITS]))
		return 0;
	leaf = malloc(sizeof(*leaf));
	if (!leaf)
		return -ENOMEM;
	for (unsigned i = 0; i < IOMMU_PASIDS; i++)
		atomic_init(&leaf->domain[i], d->iommu->blocking);
	atomic_store_explicit(&d->pasids[pasid >> IOMMU_PASID_BITS], leaf, memory_order_release);
	return 0;
}

static void slot_set(struct iommu_dev *d, uint32_t pasid, struct iommu_domain *dom)
{
	if (pasid < d->npasids)
		atomic_store(iommu_pasid_where(d, pasid), dom);
}

/* ---- attach, replace, detach ---- */

/* Who cannot say PASIDs at all is not asked: nothing is programmed for him. */
static int pasid_check_locked(struct iommu_group *g, uint32_t pasid)
{
	struct iommu_dev *d;

	if (!g->domain)
		return -EOPNOTSUPP;
	if (pasid == 0)
		return -EINVAL;
	TAILQ_FOREACH(d, &g->members, link) {
		if (d->npasids && pasid >= d->npasids)
			return -EINVAL;
	}
	return 0;
}

static int leaves_make_locked(struct iommu_group *g, uint32_t pasid)
{
	struct iommu_dev *d;
	int rc = 0;

	TAILQ_FOREACH(d, &g->members, link) {
		if (rc == 0)
			rc = leaf_make(d, pasid);
	}
	return rc;
}

/* Members that are being reset follow when that ends. */
static void pasid_show_locked(struct iommu_group *g, uint32_t pasid, struct iommu_domain *dom)
{
	struct iommu_dev *d;

	TAILQ_FOREACH(d, &g->members, link) {
		if (!d->resetting)
			slot_set(d, pasid, dom);
	}
}

int iommu_group_attach_pasid(struct iommu_group *g, uint32_t pasid, struct iommu_domain *dom)
{
	struct iommu_pasid *p;
	int rc;

	SCOPED_LOCK(&g->lock);
	rc = pasid_check_locked(g, pasid);
	if (rc)
		return rc;
	if (dom->iommu != g->iommu)
		return -EINVAL;
	if (pasid_find(g, pasid) || g->recovering)
		return -EBUSY;
	p = malloc(sizeof(*p));
	if (!p)
		return -ENOMEM;
	rc = leaves_make_locked(g, pasid);
	if (rc == 0)
		rc = iommu_domain_add(dom, g, NULL);
	if (rc) {
		free(p);
		return rc;
	}
	p->pasid = pasid;
	p->domain = dom;
	RB_INSERT(iommu_pasids, &g->pasids, p);
	pasid_show_locked(g, pasid, dom);
	return 0;
}

int iommu_group_replace_pasid(struct iommu_group *g, uint32_t pasid, struct iommu_domain *dom)
{
	struct iommu_domain *old;
	struct iommu_pasid *p;
	int rc;

	SCOPED_LOCK(&g->lock);
	rc = pasid_check_locked(g, pasid);
	if (rc)
		return rc;
	p = pasid_find(g, pasid);
	if (!p || dom->iommu != g->iommu)
		return -EINVAL;
	if (g->recovering)
		return -EBUSY;
	old = p->domain;
	if (old == dom)
		return 0;
	rc = iommu_domain_add(dom, g, NULL);
	if (rc)
		return rc;
	p->domain = dom;
	pasid_show_locked(g, pasid, dom);
	iommu_domain_sub(old, g, NULL);
	gate_wait(&old->gate);
	return 0;
}

static void pasid_detach_locked(struct iommu_group *g, struct iommu_pasid *p)
{
	struct iommu_domain *dom = p->domain;

	pasid_show_locked(g, p->pasid, g->iommu->blocking);
	RB_REMOVE(iommu_pasids, &g->pasids, p);
	iommu_domain_sub(dom, g, NULL);
	gate_wait(&dom->gate);
	free(p);
}

void iommu_group_detach_pasid(struct iommu_group *g, uint32_t pasid)
{
	struct iommu_pasid *p;

	SCOPED_LOCK(&g->lock);
	p = pasid_find(g, pasid);
	if (p)
		pasid_detach_locked(g, p);
}

void iommu_pasids_clear_locked(struct iommu_group *g)
{
	struct iommu_pasid *p;

	while ((p = RB_ROOT(&g->pasids)))
		pasid_detach_locked(g, p);
}

/* ---- members that come, go and are reset ---- */

int iommu_pasids_join_locked(struct iommu_group *g, struct iommu_dev *d)
{
	struct iommu_pasid *p, *undo;
	int rc = 0;

	RB_FOREACH(p, iommu_pasids, &g->pasids) {
		rc = leaf_make(d, p->pasid);
		if (rc == 0)
			rc = iommu_domain_add(p->domain, g, d);
		if (rc)
			break;
	}
	if (rc) {
		for (undo = RB_MIN(iommu_pasids, &g->pasids); undo != p; undo = RB_NEXT(iommu_pasids, &g->pasids, undo))
			iommu_domain_sub(undo->domain, g, d);
		return rc;
	}
	iommu_pasids_block_locked(g, d, false);
	return 0;
}

void iommu_pasids_leave_locked(struct iommu_group *g, struct iommu_dev *d)
{
	struct iommu_pasid *p;

	iommu_pasids_block_locked(g, d, true);
	RB_FOREACH(p, iommu_pasids, &g->pasids)
		iommu_domain_sub(p->domain, g, d);
}

void iommu_pasids_block_locked(struct iommu_group *g, struct iommu_dev *d, bool block)
{
	struct iommu_pasid *p;

	RB_FOREACH(p, iommu_pasids, &g->pasids)
		slot_set(d, p->pasid, block ? d->iommu->blocking : p->domain);
	if (!block)
		return;
	RB_FOREACH(p, iommu_pasids, &g->pasids)
		gate_wait(&p->domain->gate);
}
