/* SPDX-License-Identifier: MIT */
/*
 * Groups: a number, members, and the domain they all are in. A group lives while it has members or
 * anybody else holds a reference (the open VFIO group); its number is free again afterwards.
 */
#include "iommu/priv.h"
#include <assert.h>
#include <string.h>

static int group_create(struct iommu *iommu, const char *name, struct iommu_group **out)
{
	struct iommu_group *g = calloc(1, sizeof(*g));
	int rc;

	if (!g)
		return -ENOMEM;
	if (name && !(g->name = strdup(name))) {
		free(g);
		return -ENOMEM;
	}
	mutex_lock(&iommu->lock);
	rc = ids_alloc(&iommu->group_ids, &g->id);
	if (rc == 0)
		iommu->groups++;
	mutex_unlock(&iommu->lock);
	if (rc) {
		free(g->name);
		free(g);
		return rc;
	}
	g->iommu = iommu;
	ref_init(&g->ref);
	mutex_init(&g->lock, RANK_IOMMU_GROUP);
	TAILQ_INIT(&g->members);
	RB_INIT(&g->pasids);
	*out = g;
	return 0;
}

int iommu_group_create(struct iommu *iommu, struct iommu_group **out)
{
	return group_create(iommu, NULL, out);
}

int iommu_group_create_fake(struct iommu *iommu, const char *name, struct iommu_group **out)
{
	return group_create(iommu, name, out);
}

struct iommu_group *iommu_group_get(struct iommu_group *g)
{
	ref_get(&g->ref);
	return g;
}

void iommu_group_put(struct iommu_group *g)
{
	struct iommu *iommu;

	if (!g || !ref_put(&g->ref))
		return;
	iommu = g->iommu;
	assert(TAILQ_EMPTY(&g->members));
	iommu_domain_destroy(g->default_domain);
	mutex_lock(&iommu->lock);
	ids_free(&iommu->group_ids, g->id);
	iommu->groups--;
	mutex_unlock(&iommu->lock);
	mutex_fini(&g->lock);
	free(g->name);
	free(g);
}

unsigned iommu_group_id(const struct iommu_group *g)
{
	return g->id;
}

const char *iommu_group_name(const struct iommu_group *g)
{
	return g->name;
}

const char *iommu_group_type(struct iommu_group *g)
{
	SCOPED_LOCK(&g->lock);
	return g->type ? g->type : "unknown";
}

/* ---- default domains ---- */

static const char *const types[] = { "DMA", "DMA-FQ", "identity" };

static const char *type_of(const char *text)
{
	for (unsigned i = 0; i < ARRAY_SIZE(types); i++) {
		if (strcmp(types[i], text) == 0)
			return types[i];
	}
	return NULL;
}

const char *iommu_default_type(const struct iommu_dev *d)
{
	const char *type = type_of(d->unit->default_domain);

	return d->untrusted || !type ? types[0] : type;
}

int iommu_default_take(struct iommu *iommu, const char *type, const struct iommu_unit *unit, struct iommu_domain **out)
{
	bool identity = strcmp(type, "identity") == 0;
	int rc = iommu_domain_take(iommu, identity ? IOMMU_IDENTITY : IOMMU_PAGING, unit, out);

	if (rc == 0)
		atomic_store(&(*out)->is_default, true);
	return rc;
}

static bool any_untrusted_locked(struct iommu_group *g)
{
	struct iommu_dev *d;

	TAILQ_FOREACH(d, &g->members, link) {
		if (d->untrusted)
			return true;
	}
	return false;
}

/* Nobody uses the default domain, but maybe somebody has attached one of his own over it. */
static int default_replace_locked(struct iommu_group *g, const char *type)
{
	struct iommu_domain *old = g->default_domain, *dom;
	int rc = iommu_default_take(g->iommu, type, TAILQ_FIRST(&g->members)->unit, &dom);

	if (rc)
		return rc;
	if (g->domain == old)
		rc = iommu_group_move_locked(g, dom);
	if (rc) {
		iommu_domain_destroy(dom);
		return rc;
	}
	g->default_domain = dom;
	g->type = type;
	iommu_domain_destroy(old);
	return 0;
}

int iommu_group_set_type(struct iommu_group *g, const char *text)
{
	const char *type = text ? type_of(text) : NULL;

	SCOPED_LOCK(&g->lock);
	if (!g->default_domain || (text && !type))
		return -EINVAL;
	/* The same page table, flushed later: nobody notices. */
	if (type == types[1] && g->type == types[0]) {
		g->type = type;
		return 0;
	}
	if (TAILQ_EMPTY(&g->members) || g->owner_cnt)
		return -EPERM;
	if (any_untrusted_locked(g)) {
		if (type && type != types[0])
			return -EINVAL;
		type = types[0];
	}
	if (!type)
		type = iommu_default_type(TAILQ_FIRST(&g->members));
	return type == g->type ? 0 : default_replace_locked(g, type);
}

struct iommu_dev *iommu_group_first(struct iommu_group *g)
{
	SCOPED_LOCK(&g->lock);
	return TAILQ_FIRST(&g->members);
}

int iommu_group_move_locked(struct iommu_group *g, struct iommu_domain *dom)
{
	struct iommu_domain *old = g->domain;
	struct iommu_dev *d;
	int rc;

	if (old == dom)
		return 0;
	/* Every member can, or none moves: there is nothing to roll back. */
	rc = iommu_domain_add(dom, g, NULL);
	if (rc)
		return rc;
	TAILQ_FOREACH(d, &g->members, link) {
		if (!d->resetting) /* it follows when its reset ends */
			atomic_store(&d->domain, dom);
	}
	g->domain = dom;
	iommu_domain_sub(old, g, NULL);
	gate_wait(&old->gate);
	return 0;
}

int iommu_group_attach(struct iommu_group *g, struct iommu_domain *dom)
{
	SCOPED_LOCK(&g->lock);
	if (g->domain && g->domain != g->default_domain && g->domain != g->iommu->blocking)
		return -EBUSY;
	if (!g->domain || TAILQ_EMPTY(&g->members) || dom->iommu != g->iommu)
		return -EINVAL;
	return g->recovering ? -EBUSY : iommu_group_move_locked(g, dom);
}

int iommu_group_replace(struct iommu_group *g, struct iommu_domain *dom)
{
	SCOPED_LOCK(&g->lock);
	if (!g->domain || g->domain == g->default_domain || g->domain == g->iommu->blocking || dom->iommu != g->iommu)
		return -EINVAL;
	return g->recovering ? -EBUSY : iommu_group_move_locked(g, dom);
}

void iommu_group_detach(struct iommu_group *g)
{
	int rc;

	SCOPED_LOCK(&g->lock);
	if (!g->domain)
		return;
	/* Cannot fail: members were in these domains before, or were checked against them when they joined. */
	rc = iommu_group_move_locked(g, g->owner ? g->iommu->blocking : g->default_domain);
	assert(rc == 0);
	(void)rc;
}

bool iommu_group_msi_isolated(struct iommu_group *g)
{
	struct iommu_dev *d;

	SCOPED_LOCK(&g->lock);
	TAILQ_FOREACH(d, &g->members, link) {
		if (!d->unit->msi_isolated)
			return false;
	}
	return true;
}

/* ---- reserved regions (spec 10, 1.7) ---- */

static int resv_by_type(const void *a, const void *b)
{
	const struct iommu_resv *x = a, *y = b;

	if (x->type != y->type)
		return x->type < y->type ? -1 : 1;
	return x->start < y->start ? -1 : x->start > y->start;
}

static int resv_by_start(const void *a, const void *b)
{
	const struct iommu_resv *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return (int)x->type - (int)y->type;
}

/* Those of one type that overlap or touch become one. */
static unsigned resv_merge(struct iommu_resv *r, unsigned n)
{
	unsigned kept = 0;

	qsort(r, n, sizeof(*r), resv_by_type);
	for (unsigned i = 0; i < n; i++) {
		struct iommu_resv *last = kept ? &r[kept - 1] : NULL;

		if (last && last->type == r[i].type && (last->last == UINT64_MAX || r[i].start <= last->last + 1))
			last->last = MAX(last->last, r[i].last);
		else
			r[kept++] = r[i];
	}
	qsort(r, kept, sizeof(*r), resv_by_start);
	return kept;
}

int iommu_group_resv(struct iommu_group *g, struct iommu_resv **out)
{
	struct iommu_resv *all;
	struct iommu_dev *d;
	unsigned n = 0;

	SCOPED_LOCK(&g->lock);
	TAILQ_FOREACH(d, &g->members, link)
		n += d->nresv;
	all = calloc(n ? n : 1, sizeof(*all));
	if (!all)
		return -ENOMEM;
	n = 0;
	TAILQ_FOREACH(d, &g->members, link) {
		for (unsigned i = 0; i < d->nresv; i++)
			all[n++] = d->resv[i];
	}
	*out = all;
	return (int)resv_merge(all, n);
}

void iommu_group_resv_show(struct iommu_group *g, FILE *out)
{
	static const char *const type[] = {
		[IOMMU_RESV_DIRECT] = "direct",
		[IOMMU_RESV_DIRECT_RELAXABLE] = "direct-relaxable",
		[IOMMU_RESV_RESERVED] = "reserved",
		[IOMMU_RESV_MSI] = "msi",
		[IOMMU_RESV_SW_MSI] = "msi",
	};
	AUTO_FREE struct iommu_resv *r = NULL;
	int n = iommu_group_resv(g, &r);

	for (int i = 0; i < n; i++)
		fprintf(out, "0x%016llx 0x%016llx %s\n", (unsigned long long)r[i].start, (unsigned long long)r[i].last,
			type[r[i].type]);
}
