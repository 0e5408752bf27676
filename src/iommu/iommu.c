/* SPDX-License-Identifier: MIT */
/*
 * The IOMMU of one machine, and its requesters.
 *
 * A device not behind a unit is in a domain that lets everything pass; one behind a unit and in no group
 * is blocked. Joining puts it where the group is now, so a function that is plugged into a group that a
 * user owns lands in that user's domain and never in the kernel's (spec 10, 1.6).
 */
#include "iommu/priv.h"
#include <assert.h>
#include <search.h>
#include <string.h>

int iommu_create(struct mem *mem, struct log *log, struct iommu **out)
{
	struct iommu *iommu = calloc(1, sizeof(*iommu));
	int rc;

	if (!iommu)
		return -ENOMEM;
	iommu->mem = mem;
	iommu->log = log;
	mutex_init(&iommu->lock, RANK_IOMMU);
	mutex_init(&iommu->fault_lock, RANK_IOMMU_FAULT);
	SLIST_INIT(&iommu->all);
	SLIST_INIT(&iommu->free);
	rc = iommu_domain_take(iommu, IOMMU_BLOCKING, NULL, &iommu->blocking);
	if (rc == 0)
		rc = iommu_domain_take(iommu, IOMMU_IDENTITY, NULL, &iommu->untranslated);
	if (rc) {
		iommu_destroy(iommu);
		return rc;
	}
	atomic_init(&iommu->nowhere, iommu->blocking);
	*out = iommu;
	return 0;
}

void iommu_destroy(struct iommu *iommu)
{
	struct iommu_domain *dom;

	if (!iommu)
		return;
	assert(iommu->groups == 0 && iommu->devs == 0);
	while ((dom = SLIST_FIRST(&iommu->all))) {
		SLIST_REMOVE_HEAD(&iommu->all, all_link);
		dom->pt->free(dom);
		gate_fini(&dom->gate);
		mutex_fini(&dom->lock);
		mutex_fini(&dom->family);
		mutex_fini(&dom->runs_lock);
		mutex_fini(&dom->gone_lock);
		free(dom);
	}
	tdestroy(iommu->names, free);
	ids_fini(&iommu->group_ids);
	mutex_fini(&iommu->lock);
	mutex_fini(&iommu->fault_lock);
	free(iommu);
}

/* Fault records outlive devices, so names live as long as the machine; one that comes back is the same. */
static const char *name_keep(struct iommu *iommu, const char *name)
{
	char *copy = strdup(name), **found;

	if (!copy)
		return NULL;
	SCOPED_LOCK(&iommu->lock);
	found = tsearch(copy, &iommu->names, (int (*)(const void *, const void *))strcmp);
	if (!found || *found != copy)
		free(copy);
	return found ? *found : NULL;
}

/* Low bits of addresses are flags in the tables (pgtable.c) and in TLBs (dma.c). */
static bool unit_valid(const struct iommu_unit *u)
{
	if (u->width <= UVFIO_PAGE_SHIFT || u->width > 64 || (u->width < 64 && u->first >> u->width))
		return false;
	if (u->runs)
		return u->pgsizes && IS_ALIGNED(u->first, u->pgsizes & -u->pgsizes) && !(u->pgsizes & (IOMMU_TLB_FLAG_END - 1));
	return u->first == 0 && (u->pgsizes & UVFIO_PAGE_SIZE) && !(u->pgsizes & (UVFIO_PAGE_SIZE - 1));
}

int iommu_dev_create(struct iommu *iommu, const char *name, const struct iommu_unit *unit, struct iommu_dev **out)
{
	static const struct iommu_resv x86_msi = { 0xfee00000, 0xfeefffff, IOMMU_RESV_MSI };
	const struct iommu_resv *resv = unit && unit->nresv ? unit->resv : &x86_msi;
	unsigned nresv = unit ? MAX(unit->nresv, unit->kind != IOMMU_MOCK) : 0;
	struct iommu_dev *d;
	int rc = 0;

	if (unit && !unit_valid(unit))
		return -EINVAL;
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	d->iommu = iommu;
	d->unit = unit;
	mutex_init(&d->ask_lock, RANK_IOMMU_ASKS);
	LIST_INIT(&d->asks);
	d->name = name_keep(iommu, name);
	atomic_init(&d->domain, unit ? iommu->blocking : iommu->untranslated);
	for (unsigned i = 0; rc == 0 && i < nresv; i++)
		rc = iommu_dev_add_resv(d, &resv[i]);
	if (!d->name)
		rc = -ENOMEM;
	if (rc) {
		mutex_fini(&d->ask_lock);
		free(d->resv);
		free(d);
		return rc;
	}
	mutex_lock(&iommu->lock);
	iommu->devs++;
	mutex_unlock(&iommu->lock);
	*out = d;
	return 0;
}

void iommu_dev_destroy(struct iommu_dev *d)
{
	if (!d)
		return;
	iommu_dev_leave(d);
	mutex_lock(&d->iommu->lock);
	d->iommu->devs--;
	mutex_unlock(&d->iommu->lock);
	for (uint32_t i = 0; i << IOMMU_PASID_BITS < d->npasids; i++)
		free(atomic_load(&d->pasids[i]));
	free(d->pasids);
	assert(LIST_EMPTY(&d->asks));
	mutex_fini(&d->ask_lock);
	free(d->resv);
	free(d);
}

int iommu_dev_add_resv(struct iommu_dev *d, const struct iommu_resv *r)
{
	struct iommu_resv *resv;

	if (d->group || r->start > r->last)
		return -EINVAL;
	resv = reallocarray(d->resv, d->nresv + 1, sizeof(*resv));
	if (!resv)
		return -ENOMEM;
	resv[d->nresv++] = *r;
	d->resv = resv;
	return 0;
}

unsigned iommu_dev_resv(const struct iommu_dev *d, const struct iommu_resv **out)
{
	*out = d->resv;
	return d->nresv;
}

void iommu_dev_distrust(struct iommu_dev *d)
{
	d->untrusted = true;
}

void iommu_dev_set_ats(struct iommu_dev *d, bool on)
{
	assert(!d->group);
	d->ats = on;
}

bool iommu_dev_ats(const struct iommu_dev *d)
{
	return d->ats && !d->untrusted;
}

bool iommu_dev_needs_direct(const struct iommu_dev *d)
{
	for (unsigned i = 0; i < d->nresv; i++) {
		if (d->resv[i].type == IOMMU_RESV_DIRECT)
			return true;
	}
	return false;
}

struct iommu_group *iommu_dev_group(struct iommu_dev *d)
{
	return d->group;
}

struct iommu_group *iommu_dev_group_get(struct iommu_dev *d)
{
	SCOPED_LOCK(&d->iommu->lock);

	return d->group ? iommu_group_get(d->group) : NULL;
}

/* Under the group's lock too; this one is for who does not know the group. */
static void dev_group_set(struct iommu_dev *d, struct iommu_group *g)
{
	SCOPED_LOCK(&d->iommu->lock);

	d->group = g;
}

const struct iommu_unit *iommu_dev_unit(struct iommu_dev *d)
{
	return d->unit;
}

/* The first member of a real group decides what kernel drivers get (spec 10, 1.6). */
static int default_domain_setup_locked(struct iommu_group *g, const struct iommu_dev *d)
{
	int rc;

	if (g->default_domain)
		return 0;
	rc = iommu_default_take(g->iommu, iommu_default_type(d), d->unit, &g->default_domain);
	if (rc)
		return rc;
	g->type = iommu_default_type(d);
	g->domain = g->default_domain;
	return 0;
}

static int group_admit_locked(struct iommu_group *g, struct iommu_dev *d)
{
	if (g->name) /* No-IOMMU: a number and a list, nothing else */
		return d->unit ? -EINVAL : 0;
	if (!d->unit)
		return -EINVAL;
	/* It could not be blocked when the user lets go of his domain. */
	if (g->owner && iommu_dev_needs_direct(d))
		return -EINVAL;
	return default_domain_setup_locked(g, d);
}

int iommu_dev_join(struct iommu_dev *d, struct iommu_group *g)
{
	int rc;

	if (d->group)
		return -EBUSY;
	SCOPED_LOCK(&g->lock);
	rc = group_admit_locked(g, d);
	if (rc)
		return rc;
	TAILQ_INSERT_TAIL(&g->members, d, link);
	if (g->domain) {
		rc = iommu_domain_add(g->domain, g, d);
		if (rc) {
			TAILQ_REMOVE(&g->members, d, link);
			return rc;
		}
		rc = iommu_pasids_join_locked(g, d);
		if (rc) {
			iommu_domain_sub(g->domain, g, d);
			TAILQ_REMOVE(&g->members, d, link);
			return rc;
		}
		atomic_store(&d->domain, g->domain);
		gate_wait(&g->iommu->blocking->gate);
	}
	dev_group_set(d, iommu_group_get(g));
	if (g->iommu->log)
		log_msg(g->iommu->log, LOG_INFO, "%s: Adding to iommu group %u", d->name, g->id);
	return 0;
}

void iommu_dev_leave(struct iommu_dev *d)
{
	struct iommu_group *g = d->group;

	if (!g)
		return;
	mutex_lock(&g->lock);
	if (g->domain) {
		iommu_pasids_leave_locked(g, d);
		iommu_domain_sub(g->domain, g, d);
		atomic_store(&d->domain, d->iommu->blocking);
		gate_wait(&g->domain->gate);
	}
	TAILQ_REMOVE(&g->members, d, link);
	if (TAILQ_EMPTY(&g->members)) /* nobody is counted in the domains any more, so they may go */
		iommu_pasids_clear_locked(g);
	g->recovering -= d->resetting != 0;
	d->resetting = 0;
	dev_group_set(d, NULL);
	if (g->iommu->log)
		log_msg(g->iommu->log, LOG_INFO, "%s: Removing from iommu group %u", d->name, g->id);
	mutex_unlock(&g->lock);
	iommu_group_put(g);
}

/* ---- resets ---- */

/* Nothing keeps the device from leaving the group meanwhile: then its reset is nobody's business any more. */
void iommu_dev_reset_begin(struct iommu_dev *d)
{
	struct iommu_group *g = iommu_dev_group_get(d);

	if (!g)
		return;
	mutex_lock(&g->lock);
	if (d->group == g && g->domain && d->resetting++ == 0) {
		g->recovering++;
		atomic_store(&d->domain, d->iommu->blocking);
		gate_wait(&g->domain->gate);
		iommu_pasids_block_locked(g, d, true);
	}
	mutex_unlock(&g->lock);
	iommu_group_put(g);
}

void iommu_dev_reset_end(struct iommu_dev *d)
{
	struct iommu_group *g = iommu_dev_group_get(d);

	if (!g)
		return;
	mutex_lock(&g->lock);
	/* 0: it was in no group when the reset began, or has been in none since */
	if (d->group == g && d->resetting && --d->resetting == 0) {
		g->recovering--;
		atomic_store(&d->domain, g->domain); /* where the group is by now */
		iommu_pasids_block_locked(g, d, false);
	}
	mutex_unlock(&g->lock);
	iommu_group_put(g);
}
