/* SPDX-License-Identifier: MIT */
/*
 * Groups join and leave a type1 instance. A group brings a domain of its own; when an existing domain has
 * the same coherency and takes the group, the new one is thrown away, otherwise every mapping is put into it
 * too. All checks come before anything of the instance changes.
 *
 * The valid ranges are what every domain can translate (the intersection of their apertures) without the
 * reserved regions of every group; they are computed anew whenever a group comes or goes. The group of an
 * emulated device is only noted.
 */
#include "vfio/type1.h"
#include <assert.h>
#include <string.h>

/* ---- valid ranges ---- */

/* A list being made. Room for one range more with each exclusion. */
struct ranges {
	struct type1_range *r;
	unsigned n;
};

static int ranges_exclude(struct ranges *l, const struct iommu_resv *x)
{
	struct type1_range *r = calloc(l->n + 1, sizeof(*r));
	unsigned n = 0;

	if (!r)
		return -ENOMEM;
	for (unsigned i = 0; i < l->n; i++) {
		struct type1_range a = l->r[i];

		if (x->last < a.start || x->start > a.last) {
			r[n++] = a;
			continue;
		}
		if (a.start < x->start)
			r[n++] = (struct type1_range){ a.start, x->start - 1 };
		if (a.last > x->last)
			r[n++] = (struct type1_range){ x->last + 1, a.last };
	}
	free(l->r);
	l->r = r;
	l->n = n;
	return 0;
}

/* Relaxable regions are for the host's own use of the device. */
static bool excludes(const struct iommu_resv *x)
{
	return x->type != IOMMU_RESV_DIRECT_RELAXABLE;
}

static int ranges_exclude_group(struct ranges *l, struct iommu_group *g)
{
	AUTO_FREE struct iommu_resv *resv = NULL;
	int n = iommu_group_resv(g, &resv), rc;

	for (int i = 0; i < n; i++) {
		if (!excludes(&resv[i]))
			continue;
		rc = ranges_exclude(l, &resv[i]);
		if (rc)
			return rc;
	}
	return n < 0 ? n : 0;
}

static void intersect_aperture(const struct iommu_domain *dom, struct type1_range *a)
{
	iova_t start, last;

	iommu_domain_aperture(dom, &start, &last);
	a->start = MAX(a->start, start);
	a->last = MIN(a->last, last);
}

/* What would be valid with a domain and a group more (both NULL: as things are). 0; -ENOMEM; *@out may be empty */
static int ranges_build(struct vfio_type1 *t1, struct type1_domain *more_domain, struct iommu_group *more_group,
			struct ranges *out)
{
	struct type1_range aperture = { 0, UINT64_MAX };
	struct ranges l = { .n = 0 };
	struct type1_domain *d;
	struct type1_group *g;
	int rc = 0;

	LIST_FOREACH(d, &t1->domains, link)
		intersect_aperture(d->iommu, &aperture);
	if (more_domain)
		intersect_aperture(more_domain->iommu, &aperture);
	l.r = calloc(1, sizeof(*l.r));
	if (!l.r)
		return -ENOMEM;
	if (aperture.start <= aperture.last)
		l.r[l.n++] = aperture;
	LIST_FOREACH(d, &t1->domains, link) {
		LIST_FOREACH(g, &d->groups, link) {
			if (!rc)
				rc = ranges_exclude_group(&l, g->iommu);
		}
	}
	if (!rc && more_group)
		rc = ranges_exclude_group(&l, more_group);
	if (rc) {
		free(l.r);
		return rc;
	}
	*out = l;
	return 0;
}

static void ranges_install(struct vfio_type1 *t1, const struct ranges *l)
{
	free(t1->valid);
	t1->valid = l->r;
	t1->nvalid = l->n;
}

static void pgsizes_update(struct vfio_type1 *t1)
{
	const uint64_t whole_pages = -(uint64_t)UVFIO_PAGE_SIZE;
	struct type1_domain *d;

	t1->pgsizes = UINT64_MAX;
	LIST_FOREACH(d, &t1->domains, link)
		t1->pgsizes &= iommu_domain_pgsizes(d->iommu);
	/* What is pinned is whole pages: smaller translations are not offered. */
	if (t1->pgsizes & ~whole_pages)
		t1->pgsizes = (t1->pgsizes & whole_pages) | UVFIO_PAGE_SIZE;
}

/* ---- attach ---- */

static struct type1_group *find_in(struct type1_groups *groups, struct iommu_group *ig)
{
	struct type1_group *g;

	LIST_FOREACH(g, groups, link) {
		if (g->iommu == ig)
			break;
	}
	return g;
}

struct type1_group *type1_group_find(struct vfio_type1 *t1, struct iommu_group *ig, struct type1_domain **in)
{
	struct type1_group *g;

	LIST_FOREACH(*in, &t1->domains, link) {
		g = find_in(&(*in)->groups, ig);
		if (g)
			return g;
	}
	return find_in(&t1->emulated, ig);
}

/* Do the mappings there are fit behind @d and beside the reserved regions of @ig? */
static int mappings_fit(struct vfio_type1 *t1, struct type1_domain *d, struct iommu_group *ig)
{
	AUTO_FREE struct iommu_resv *resv = NULL;
	struct type1_range a = { 0, UINT64_MAX };
	int n;

	intersect_aperture(d->iommu, &a);
	if ((a.start > 0 && type1_overlaps(t1, 0, a.start - 1)) ||
	    (a.last < UINT64_MAX && type1_overlaps(t1, a.last + 1, UINT64_MAX)))
		return -EINVAL;
	n = iommu_group_resv(ig, &resv);
	for (int i = 0; i < n; i++) {
		if (excludes(&resv[i]) && type1_overlaps(t1, resv[i].start, resv[i].last))
			return -EINVAL;
	}
	return n < 0 ? n : 0;
}

static int check_domain(struct vfio_type1 *t1, struct type1_domain *d, struct iommu_group *ig, struct ranges *l)
{
	int rc = mappings_fit(t1, d, ig);

	if (rc)
		return rc;
	rc = ranges_build(t1, d, ig, l);
	if (rc)
		return rc;
	if (!l->n)
		return -EINVAL;
	if (!iommu_group_msi_isolated(ig) && !atomic_load(&t1->vfio->allow_unsafe_interrupts))
		return -EPERM;
	return 0;
}

/* Move @ig from its new domain @d to one of the instance; NULL: none would have it, and it is back in @d (or *@rc). */
static struct type1_domain *share_domain(struct vfio_type1 *t1, struct type1_domain *d, struct iommu_group *ig, int *rc)
{
	struct type1_domain *e;

	LIST_FOREACH(e, &t1->domains, link) {
		if (e->enforces_coherency != d->enforces_coherency)
			continue;
		iommu_group_detach(ig);
		if (!iommu_group_attach(ig, e->iommu))
			return e;
		*rc = iommu_group_attach(ig, d->iommu);
		if (*rc)
			break;
	}
	return NULL;
}

static int replay(struct vfio_type1 *t1, struct type1_domain *d)
{
	struct type1_mapping *m;

	for (m = type1_mapping_at(t1, 0); m; m = type1_mapping_next(t1, m)) {
		int rc = type1_pin_mapping(t1, m);

		if (!rc)
			rc = type1_domain_map(d->iommu, m);
		if (rc)
			return rc; /* what is in the domain goes with it */
	}
	return 0;
}

/* Without any domain nothing stays pinned whole. */
static void unpin_mappings(struct vfio_type1 *t1)
{
	struct type1_mapping *m;

	for (m = type1_mapping_at(t1, 0); m; m = type1_mapping_next(t1, m))
		type1_unpin_mapping(m);
}

/* @ig is attached to @d; find the domain it stays in. On failure it is attached to none. */
static int settle(struct vfio_type1 *t1, struct type1_domain *d, struct iommu_group *ig, struct ranges *l,
		  struct type1_domain **home)
{
	struct type1_domain *shared;
	int rc = check_domain(t1, d, ig, l);

	if (rc)
		goto err_detach;
	d->enforces_coherency = iommu_domain_enforce_coherency(d->iommu);
	shared = share_domain(t1, d, ig, &rc);
	if (rc)
		return rc;
	*home = shared ? shared : d;
	if (shared)
		return 0;
	rc = replay(t1, d);
	if (!rc)
		return 0;
	if (LIST_EMPTY(&t1->domains))
		unpin_mappings(t1);

err_detach:
	iommu_group_detach(ig);
	return rc;
}

static void domain_destroy(struct type1_domain *d)
{
	iommu_domain_destroy(d->iommu);
	free(d);
}

static int domain_create(struct iommu_group *ig, struct type1_domain **out)
{
	struct type1_domain *d = calloc(1, sizeof(*d));
	int rc;

	if (!d)
		return -ENOMEM;
	LIST_INIT(&d->groups);
	rc = iommu_group_domain_create(ig, &d->iommu);
	if (rc) {
		free(d);
		return rc;
	}
	*out = d;
	return 0;
}

static int attach_locked(struct vfio_type1 *t1, struct iommu_group *ig, struct type1_group *g)
{
	struct type1_domain *d, *home;
	struct ranges l = { .r = NULL };
	int rc = domain_create(ig, &d);

	if (rc)
		return rc;
	rc = iommu_group_attach(ig, d->iommu);
	if (rc)
		goto err_domain;
	rc = settle(t1, d, ig, &l, &home);
	if (rc)
		goto err_domain;
	if (home == d)
		LIST_INSERT_HEAD(&t1->domains, d, link);
	else
		domain_destroy(d);
	LIST_INSERT_HEAD(&home->groups, g, link);
	t1->unseen++;
	ranges_install(t1, &l);
	pgsizes_update(t1);
	return 0;

err_domain:
	free(l.r);
	domain_destroy(d);
	return rc;
}

static int attach_emulated_locked(struct vfio_type1 *t1, struct type1_group *g)
{
	g->pins = true;
	LIST_INSERT_HEAD(&t1->emulated, g, link);
	return 0;
}

int type1_attach(struct vfio_backend *b, struct vfio_group *vg)
{
	struct type1_group *g = calloc(1, sizeof(*g));
	struct vfio_type1 *t1 = type1_of(b);
	struct type1_domain *d;
	int rc;

	if (!g)
		return -ENOMEM;
	g->iommu = vg->iommu;
	mutex_lock(&t1->lock);
	if (t1->nvaddr_invalid)
		rc = -EBUSY;
	else if (type1_group_find(t1, g->iommu, &d))
		rc = -EINVAL;
	else if (vg->type == VFIO_GROUP_EMULATED)
		rc = attach_emulated_locked(t1, g);
	else
		rc = attach_locked(t1, g->iommu, g);
	mutex_unlock(&t1->lock);
	if (rc)
		free(g);
	return rc;
}

/* ---- detach ---- */

static void detach_locked(struct vfio_type1 *t1, struct type1_domain *d, struct iommu_group *ig)
{
	struct ranges l = { .r = NULL };

	iommu_group_detach(ig);
	if (LIST_EMPTY(&d->groups)) {
		LIST_REMOVE(d, link);
		domain_destroy(d);
	}
	if (LIST_EMPTY(&t1->domains)) {
		unpin_mappings(t1);
		ranges_install(t1, &l);
	} else if (!ranges_build(t1, NULL, NULL, &l)) {
		ranges_install(t1, &l); /* without memory the old, narrower ranges stay */
	}
	pgsizes_update(t1);
}

void type1_detach(struct vfio_backend *b, struct vfio_group *vg)
{
	struct vfio_type1 *t1 = type1_of(b);
	struct type1_domain *d;
	struct type1_group *g;

	SCOPED_LOCK(&t1->lock);
	g = type1_group_find(t1, vg->iommu, &d);
	assert(g);
	LIST_REMOVE(g, link);
	if (d)
		detach_locked(t1, d, vg->iommu);
	if (type1_gone(t1)) {
		type1_unpin_all(t1);
	} else if (!g->pins && t1->dirty_tracking) {
		/* What it has written is not known, and now nobody answers for it any more. */
		type1_dirty_mark_all(t1);
	}
	if (!g->pins)
		t1->unseen--;
	free(g);
}
