/* SPDX-License-Identifier: MIT */
/*
 * A dma-buf as what a pages object leads to. Nothing is pinned or counted. It can be revoked at any time by whoever has
 * exported it, who knows nothing of address spaces and must not wait for their locks; so what shows it in which domain
 * is remembered here, by a lock inside theirs, and taken away directly.
 *
 * Once revoked, this object shows nothing any more, also when the dma-buf is there again: areas of it keep their
 * addresses and lead nowhere, and who wants it back maps it anew.
 *
 * Whoever removes translations says so afterwards. Until then a revocation removes what is not there, which does no harm,
 * as the area and its address space's lock keep others away from the addresses.
 *
 * Spec: 30, 4.5 (IFD-067 to IFD-069).
 */
#include "iommufd/pages.h"
#include "base/lock.h"
#include <assert.h>
#include <bsd/sys/tree.h>

struct shown {
	RB_ENTRY(shown) node;
	struct iommu_domain *dom;
	iova_t iova;
	uint64_t length;
};
RB_HEAD(shown_tree, shown);

struct iommufd_dmabuf {
	struct mem_dmabuf_import import;
	phys_t phys;              /* [I] of byte 0 of the dma-buf */
	struct mutex lock;        /* RANK_IOMMUFD_PAGES; everything below */
	bool revoked;
	struct shown_tree shown;
};

static int shown_compare(const struct shown *a, const struct shown *b)
{
	if (a->dom != b->dom)
		return (uintptr_t)a->dom < (uintptr_t)b->dom ? -1 : 1;
	return a->iova < b->iova ? -1 : a->iova > b->iova;
}
RB_GENERATE_INTERNAL(shown_tree, shown, node, shown_compare, static __attribute__((unused)))

/* The dma-buf's lock is held. */
static void revoked(struct mem_dmabuf_import *import)
{
	struct iommufd_dmabuf *d = container_of(import, struct iommufd_dmabuf, import);
	struct shown *s;

	SCOPED_LOCK(&d->lock);
	d->revoked = true;
	while ((s = RB_ROOT(&d->shown))) {
		iommu_unmap(s->dom, s->iova, s->length);
		RB_REMOVE(shown_tree, &d->shown, s);
		free(s);
	}
}

int iommufd_dmabuf_create(struct mem_dmabuf *buf, uint64_t start, uint64_t length, struct iommufd_dmabuf **out)
{
	const uint64_t first = start >> UVFIO_PAGE_SHIFT, last = (start + (length - 1)) >> UVFIO_PAGE_SHIFT;
	struct iommufd_dmabuf *d;
	int rc;

	if (mem_dmabuf_length(buf) <= start + (length - 1) || last - first >= UINT32_MAX)
		return -EINVAL;
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	mutex_init(&d->lock, RANK_IOMMUFD_PAGES);
	RB_INIT(&d->shown);
	rc = mem_dmabuf_attach(buf, &d->import, revoked, &d->phys);
	if (rc) {
		mutex_fini(&d->lock);
		free(d);
		return rc;
	}
	*out = d;
	return 0;
}

void iommufd_dmabuf_destroy(struct iommufd_dmabuf *d)
{
	if (!d)
		return;
	mem_dmabuf_detach(&d->import);
	assert(RB_EMPTY(&d->shown));
	mutex_fini(&d->lock);
	free(d);
}

int iommufd_dmabuf_map(struct iommufd_dmabuf *d, uint64_t at, uint64_t length, struct iommu_domain *dom, iova_t iova,
		       unsigned prot, bool small)
{
	struct shown *s;
	int rc;

	SCOPED_LOCK(&d->lock);
	if (d->revoked)
		return 0;
	s = malloc(sizeof(*s));
	if (!s)
		return -ENOMEM;
	*s = (struct shown){ .dom = dom, .iova = iova, .length = length };
	rc = small ? iommu_map_small(dom, iova, d->phys + at, length, prot)
		   : iommu_map(dom, iova, d->phys + at, length, prot);
	if (rc) {
		free(s);
		return rc;
	}
	RB_INSERT(shown_tree, &d->shown, s);
	return 0;
}

void iommufd_dmabuf_unmapped(struct iommufd_dmabuf *d, struct iommu_domain *dom, iova_t iova)
{
	struct shown key = { .dom = dom, .iova = iova }, *s;

	SCOPED_LOCK(&d->lock);
	s = RB_FIND(shown_tree, &d->shown, &key);
	if (s)
		RB_REMOVE(shown_tree, &d->shown, s);
	free(s);
}

int iommufd_dmabuf_phys(struct iommufd_dmabuf *d, uint64_t at, phys_t *out)
{
	SCOPED_LOCK(&d->lock);
	if (d->revoked)
		return -EINVAL;
	*out = d->phys + at;
	return 0;
}
