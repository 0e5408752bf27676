/* SPDX-License-Identifier: MIT */
/*
 * Whose DMA it is (spec 10, 2.1 to 2.3). owner_cnt counts kernel drivers bound to members, or the claims
 * of one user; owner is that user. The two kinds never coexist. While a user owns the group and has not
 * attached a domain, the members are blocked: between the kernel's domain and the user's there is no moment
 * in which a device sees the kernel's.
 *
 * Who is refused gets -EBUSY as a driver and -EPERM as a user; -EBUSY for a user means that somebody has
 * attached a domain without a claim, or that a member is being reset.
 */
#include "iommu/priv.h"
#include <assert.h>

static void kernel_users_show_locked(struct iommu_group *g)
{
	atomic_store(&g->default_domain->kernel_users, g->owner ? 0 : g->owner_cnt);
}

int iommu_dev_use_default(struct iommu_dev *d)
{
	struct iommu_group *g = d->group;

	if (!g)
		return 0;
	SCOPED_LOCK(&g->lock);
	if (!g->default_domain)
		return -UVFIO_EPROBE_DEFER;
	if (g->owner_cnt && (g->domain != g->default_domain || g->owner || !RB_EMPTY(&g->pasids)))
		return -EBUSY;
	g->owner_cnt++;
	kernel_users_show_locked(g);
	return 0;
}

void iommu_dev_unuse_default(struct iommu_dev *d)
{
	struct iommu_group *g = d->group;

	if (!g)
		return;
	SCOPED_LOCK(&g->lock);
	assert(g->owner_cnt && !g->owner);
	g->owner_cnt--;
	kernel_users_show_locked(g);
}

static int group_take_locked(struct iommu_group *g, void *owner)
{
	int rc;

	if (g->name)
		return -EINVAL; /* no DMA to own */
	if (g->domain != g->default_domain || g->recovering || !RB_EMPTY(&g->pasids))
		return -EBUSY;
	if (g->domain) {
		rc = iommu_group_move_locked(g, g->iommu->blocking);
		if (rc)
			return rc;
	}
	g->owner = owner;
	g->owner_cnt++;
	return 0;
}

static void group_give_back_locked(struct iommu_group *g)
{
	int rc;

	assert(g->owner);
	iommu_pasids_clear_locked(g);
	g->owner_cnt = 0;
	g->owner = NULL;
	if (!g->domain)
		return;
	rc = iommu_group_move_locked(g, g->default_domain);
	assert(rc == 0);
	(void)rc;
}

int iommu_group_claim(struct iommu_group *g, void *owner)
{
	if (!owner)
		return -EINVAL;
	SCOPED_LOCK(&g->lock);
	return g->owner_cnt ? -EPERM : group_take_locked(g, owner);
}

void iommu_group_release(struct iommu_group *g)
{
	SCOPED_LOCK(&g->lock);
	group_give_back_locked(g);
}

int iommu_dev_claim(struct iommu_dev *d, void *owner)
{
	struct iommu_group *g = d->group;

	if (!owner)
		return -EINVAL;
	if (!g)
		return -ENODEV;
	SCOPED_LOCK(&g->lock);
	if (g->owner_cnt == 0)
		return group_take_locked(g, owner);
	if (g->owner != owner)
		return -EPERM;
	g->owner_cnt++;
	return 0;
}

void iommu_dev_release(struct iommu_dev *d)
{
	struct iommu_group *g = d->group;

	if (!g)
		return;
	SCOPED_LOCK(&g->lock);
	if (g->owner_cnt > 1)
		g->owner_cnt--;
	else
		group_give_back_locked(g);
}

bool iommu_group_claimed(struct iommu_group *g)
{
	SCOPED_LOCK(&g->lock);
	return g->owner_cnt != 0;
}

void iommu_group_owner(struct iommu_group *g, unsigned *count, void **owner)
{
	SCOPED_LOCK(&g->lock);
	*count = g->owner_cnt;
	*owner = g->owner;
}
