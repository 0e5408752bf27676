/* SPDX-License-Identifier: MIT */
/*
 * Domains of an address space. Each shows every area. Pages are held once while there is any domain: the first one that
 * comes pins, the last one that goes unpins, the others share what is pinned.
 *
 * Spec: 30, 4.1, 4.2, 4.12.
 */
#include "iommufd/iopt.h"
#include <assert.h>

/* The first domain that shows an area holds its pages. */
static int area_map(struct iopt *t, struct iopt_area *a, struct iommu_domain *dom, bool first)
{
	const struct iommufd_place to = { .dom = dom, .iova = a->start, .length = iopt_area_length(a), .prot = a->prot,
					  .small = t->small };

	return first ? iommufd_pages_hold_map(a->pages, a->at, &to) : iommufd_pages_map(a->pages, a->at, &to);
}

static void area_unmap(struct iopt_area *a, struct iommu_domain *dom)
{
	iommu_unmap(dom, a->start, iopt_area_length(a));
	iommufd_pages_unmapped(a->pages, dom, a->start);
}

int iopt_area_show_locked(struct iopt *t, struct iopt_area *a)
{
	unsigned i;
	int rc = 0;

	for (i = 0; !rc && i < t->ndomains; i++)
		rc = area_map(t, a, t->domains[i], i == 0);
	if (!rc)
		return 0;
	if (--i == 0)
		return rc; /* nothing is held */
	while (i > 0)
		area_unmap(a, t->domains[--i]);
	iommufd_pages_release(a->pages, a->at, iopt_area_length(a));
	return rc;
}

static void hide(struct iommu_domain *dom, iova_t start, iova_t last)
{
	const iova_t half = BIT64(63);

	/* The length of the whole space does not fit in 64 bits. */
	if (start == 0 && last == UINT64_MAX) {
		iommu_unmap(dom, 0, half);
		start = half;
	}
	iommu_unmap(dom, start, last - start + 1);
}

void iopt_hide_locked(struct iopt *t, iova_t start, iova_t last)
{
	for (unsigned i = 0; i < t->ndomains; i++)
		hide(t->domains[i], start, last);
}

void iopt_area_hidden_locked(struct iopt *t, struct iopt_area *a)
{
	if (!iommufd_pages_is_dmabuf(a->pages))
		return;
	for (unsigned i = 0; i < t->ndomains; i++)
		iommufd_pages_unmapped(a->pages, t->domains[i], a->start);
}

/* A domain that shows nothing any more. */
static void hide_all_locked(struct iopt *t, struct iommu_domain *dom)
{
	struct iopt_area *a = t->ndmabufs ? iopt_area_from_locked(t, 0) : NULL;

	hide(dom, 0, UINT64_MAX);
	for (; a; a = iopt_area_next_locked(t, a))
		iommufd_pages_unmapped(a->pages, dom, a->start);
}

/* ---- the aperture ---- */

static int reserve_aperture_locked(struct iopt *t, struct iommu_domain *dom)
{
	iova_t start, last;
	int rc = 0;

	iommu_domain_aperture(dom, &start, &last);
	if (start > 0)
		rc = iopt_reserve_locked(t, 0, start - 1);
	if (rc || last == UINT64_MAX)
		return rc;
	rc = iopt_reserve_locked(t, last + 1, UINT64_MAX);
	if (rc && start > 0)
		iopt_unreserve_locked(t, 0, start - 1);
	return rc;
}

static void unreserve_aperture_locked(struct iopt *t, struct iommu_domain *dom)
{
	iova_t start, last;

	iommu_domain_aperture(dom, &start, &last);
	if (start > 0)
		iopt_unreserve_locked(t, 0, start - 1);
	if (last < UINT64_MAX)
		iopt_unreserve_locked(t, last + 1, UINT64_MAX);
}

/* ---- domains ---- */

static void release_until_locked(struct iopt *t, const struct iopt_area *end)
{
	struct iopt_area *a;

	for (a = iopt_area_from_locked(t, 0); a && a != end; a = iopt_area_next_locked(t, a))
		iommufd_pages_release(a->pages, a->at, iopt_area_length(a));
}

/* Show all areas to a domain that is not in the list yet. */
static int populate_locked(struct iopt *t, struct iommu_domain *dom)
{
	struct iopt_area *a;
	int rc = 0;

	for (a = iopt_area_from_locked(t, 0); a; a = iopt_area_next_locked(t, a)) {
		rc = area_map(t, a, dom, t->ndomains == 0);
		if (rc)
			break;
	}
	if (!rc)
		return 0;
	hide_all_locked(t, dom);
	if (!t->ndomains)
		release_until_locked(t, a);
	return rc;
}

int iopt_add_domain(struct iopt *t, struct iommu_domain *dom)
{
	const uint64_t sizes = iommu_domain_pgsizes(dom), align = sizes & -sizes;
	struct iommu_domain **domains;
	int rc;

	SCOPED_ENTER(t);
	if (align > UVFIO_PAGE_SIZE)
		return -EINVAL;
	rc = iopt_aligned_locked(t, align);
	if (rc)
		return rc;
	domains = reallocarray(t->domains, t->ndomains + 1, sizeof(struct iommu_domain *));
	if (!domains)
		return -ENOMEM;
	t->domains = domains;
	rc = reserve_aperture_locked(t, dom);
	if (rc)
		return rc;
	rc = populate_locked(t, dom);
	if (rc) {
		unreserve_aperture_locked(t, dom);
		return rc;
	}
	t->domains[t->ndomains++] = dom;
	iopt_realign_locked(t);
	return 0;
}

void iopt_remove_domain(struct iopt *t, struct iommu_domain *dom)
{
	unsigned i = 0;

	SCOPED_ENTER(t);
	while (i < t->ndomains && t->domains[i] != dom)
		i++;
	assert(i < t->ndomains);
	hide_all_locked(t, dom);
	t->domains[i] = t->domains[--t->ndomains];
	if (!t->ndomains)
		release_until_locked(t, NULL);
	unreserve_aperture_locked(t, dom);
	iopt_realign_locked(t);
}
