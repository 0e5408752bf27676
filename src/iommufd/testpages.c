/* SPDX-License-Identifier: MIT */
/*
 * The part of the test interface that compares pages: does a mock domain lead to what the caller sees, and how often are
 * the caller's pages pinned. Spec: 31, 1 and 3.
 */
#include "abi/iommufd_test.h"
#include "iommufd/priv.h"

/* A page of an address space stays pinned while its lock is held, so what a domain says is true until then. */
static int check_place(struct iommufd_hwpt *hwpt, struct task *t, iova_t iova, uva_t uva)
{
	struct iommufd_ctx *ctx = hwpt->obj.ctx;
	phys_t phys = 0;
	unsigned prot;
	int rc, found;

	SCOPED_LOCK(&hwpt->ioas->iopt.lock);
	found = iommu_translate(hwpt->domain, iova, &phys, &prot);
	rc = iommufd_test_same_page(ctx, t, phys, uva);
	if (rc == -EFAULT)
		return rc; /* told before a translation that is missing */
	return rc || found || (phys ^ uva) & (UVFIO_PAGE_SIZE - 1) ? -EINVAL : 0;
}

int iommufd_test_same_page(struct iommufd_ctx *ctx, struct task *t, phys_t phys, uva_t uva)
{
	struct mem_page_id seen, pinned;
	bool compound;

	if (mem_page_of_task(t->mm, ALIGN_DOWN(uva, UVFIO_PAGE_SIZE), &seen, &compound))
		return -EFAULT;
	if (mem_page_of_phys(ctx->fd->mem, phys, &pinned) || !mem_page_same(&seen, &pinned))
		return -EINVAL;
	return 0;
}

static int check_map(struct ucmd *u, struct iommufd_hwpt *hwpt)
{
	const struct iommu_test_cmd *c = u->cmd;
	const uint64_t sizes = iommu_domain_pgsizes(hwpt->domain), step = sizes & -sizes;
	const uint64_t length = c->check_map.length;
	int rc = 0;

	if (iommu_domain_unit(hwpt->domain)->kind != IOMMU_MOCK)
		return -EINVAL;
	if (!IS_ALIGNED(c->check_map.iova | length | c->check_map.uptr, step) || c->check_map.uptr + length < length)
		return -EINVAL;
	for (uint64_t at = 0; !rc && at < length; at += step)
		rc = check_place(hwpt, u->t, c->check_map.iova + at, c->check_map.uptr + at);
	return rc;
}

int iommufd_test_check_map(struct ucmd *u)
{
	const struct iommu_test_cmd *c = u->cmd;
	struct iommufd_object *o = iommufd_object_visit(u->ctx, c->id, IOMMUFD_HWPT);
	int rc;

	if (!o)
		return -ENOENT;
	rc = check_map(u, container_of(o, struct iommufd_hwpt, obj));
	iommufd_object_leave(o);
	return rc;
}

int iommufd_test_check_refs(struct ucmd *u)
{
	const struct iommu_test_cmd *c = u->cmd;
	const uint64_t length = c->check_refs.length, uptr = c->check_refs.uptr;

	if (!IS_ALIGNED(length | uptr, UVFIO_PAGE_SIZE) || uptr + length < length)
		return -EINVAL;
	for (uint64_t at = 0; at < length; at += UVFIO_PAGE_SIZE) {
		struct mem_page_id page;
		bool compound;

		if (mem_page_of_task(u->t->mm, uptr + at, &page, &compound))
			return -EFAULT;
		if (!compound && mem_page_pins(u->ctx->fd->mem, &page) != c->check_refs.refs)
			return -EIO;
	}
	return 0;
}
