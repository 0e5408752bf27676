/* SPDX-License-Identifier: MIT */
/*
 * IOMMU_TEST_CMD: one request with many operations, for programs that test an iommufd from outside. Here are those about
 * address spaces and HWPTs.
 *
 * Spec: 31.
 */
#include "iommufd/mock.h"

#define LIMIT_MIN 12 /* bytes: what Linux needs for one pointer and its length */

/* ---- address spaces ---- */

static int add_reserved(struct ucmd *u)
{
	const struct iommu_test_cmd *c = u->cmd;
	const uint64_t start = c->add_reserved.start, last = start + (c->add_reserved.length - 1);
	struct iommufd_ioas *ioas;
	int rc;

	if (!c->add_reserved.length)
		return -EINVAL;
	if (last < start)
		return -EOVERFLOW;
	ioas = iommufd_ioas_visit(u->ctx, c->id);
	if (!ioas)
		return -ENOENT;
	mutex_lock(&ioas->iopt.lock);
	rc = iopt_reserve_locked(&ioas->iopt, start, last);
	mutex_unlock(&ioas->iopt.lock);
	iommufd_ioas_leave(ioas);
	return rc;
}

iova_t iommufd_test_area(struct iommufd_ioas *ioas, iova_t iova)
{
	uint32_t n = (uint32_t)iova;
	struct iopt_area *a;

	SCOPED_LOCK(&ioas->iopt.lock);
	a = iopt_area_from_locked(&ioas->iopt, 0);
	while (a && n--)
		a = iopt_area_next_locked(&ioas->iopt, a);
	return a ? a->start + (iova >> 32) : 0;
}

void iommufd_test_copy_source(struct ucmd *u, struct iommu_ioas_copy *a)
{
	struct iommufd_ioas *src;

	if (!(a->flags & MOCK_FLAGS_ACCESS_SYZ))
		return;
	a->flags &= ~MOCK_FLAGS_ACCESS_SYZ;
	src = iommufd_ioas_visit(u->ctx, a->src_ioas_id);
	if (!src)
		return;
	a->src_iova = iommufd_test_area(src, a->src_iova);
	iommufd_ioas_leave(src);
}

/* How much memory a pin may take meanwhile: ours takes none that grows. */
static int memory_limit(struct ucmd *u)
{
	const struct iommu_test_cmd *c = u->cmd;

	return c->memory_limit.limit < LIMIT_MIN ? -EINVAL : 0;
}

/* ---- HWPTs ---- */

static int check_iotlb(struct ucmd *u)
{
	const struct iommu_test_cmd *c = u->cmd;
	struct iommufd_object *o = iommufd_object_visit(u->ctx, c->id, IOMMUFD_NESTED);
	uint32_t value;
	int rc;

	if (!o)
		return -ENOENT;
	rc = iommufd_mock_iotlb(container_of(o, struct iommufd_hwpt, obj), c->check_iotlb.id, &value);
	if (!rc && value != c->check_iotlb.iotlb)
		rc = -EINVAL;
	iommufd_object_leave(o);
	return rc;
}

#define DIRTY_MAX (1ull << 27) /* bits */

/* As devices' writes would: at each set bit's place. Returns how many */
static int mark_dirty(struct ucmd *u, struct iommufd_hwpt *hwpt, uint64_t bits)
{
	struct iommu_test_cmd *c = u->cmd;
	uint8_t piece[512];
	uint64_t n = 0;

	for (uint64_t i = 0; i < bits; i++) {
		const uint64_t byte = i / 8;

		if (i % (8 * sizeof(piece)) == 0 &&
		    task_copy_in(u->t, piece, c->dirty.uptr + byte, MIN(sizeof(piece), (bits - i + 7) / 8)))
			return -EFAULT;
		if (!(piece[byte % sizeof(piece)] & 1u << i % 8))
			continue;
		iommu_domain_mark(hwpt->domain, c->dirty.iova + i * c->dirty.page_size);
		n++;
	}
	c->dirty.out_nr_dirty = n;
	return 0;
}

static int dirty(struct ucmd *u)
{
	const struct iommu_test_cmd *c = u->cmd;
	const uint64_t size = c->dirty.page_size, bits = size ? c->dirty.length / size : 0;
	struct iommufd_object *o;
	struct iommufd_hwpt *hwpt;
	int rc;

	if (!size || !c->dirty.length || c->dirty.iova % size || c->dirty.length % size || !c->dirty.uptr)
		return -EINVAL;
	if (bits > DIRTY_MAX)
		return -EOVERFLOW;
	o = iommufd_object_visit(u->ctx, c->id, IOMMUFD_HWPT);
	if (!o)
		return -ENOENT;
	hwpt = container_of(o, struct iommufd_hwpt, obj);
	rc = iommu_domain_tracks(hwpt->domain) ? mark_dirty(u, hwpt, bits) : -EINVAL;
	iommufd_object_leave(o);
	return rc ? rc : ucmd_respond(u);
}

/* ---- the request ---- */

static int (*const operations[])(struct ucmd *u) = {
	[IOMMU_TEST_OP_ADD_RESERVED] = add_reserved,
	[IOMMU_TEST_OP_MOCK_DOMAIN] = iommufd_test_mock_domain,
	[IOMMU_TEST_OP_MD_CHECK_MAP] = iommufd_test_check_map,
	[IOMMU_TEST_OP_MD_CHECK_REFS] = iommufd_test_check_refs,
	[IOMMU_TEST_OP_CREATE_ACCESS] = iommufd_test_create_access,
	[IOMMU_TEST_OP_DESTROY_ACCESS_PAGES] = iommufd_test_destroy_pages,
	[IOMMU_TEST_OP_ACCESS_PAGES] = iommufd_test_access_pages,
	[IOMMU_TEST_OP_ACCESS_RW] = iommufd_test_access_rw,
	[IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT] = memory_limit,
	[IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE] = iommufd_test_mock_replace,
	[IOMMU_TEST_OP_ACCESS_REPLACE_IOAS] = iommufd_test_access_replace,
	[IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS] = iommufd_test_mock_domain_flags,
	[IOMMU_TEST_OP_DIRTY] = dirty,
	[IOMMU_TEST_OP_MD_CHECK_IOTLB] = check_iotlb,
	[IOMMU_TEST_OP_TRIGGER_IOPF] = iommufd_test_trigger_iopf,
	[IOMMU_TEST_OP_DEV_CHECK_CACHE] = iommufd_test_check_cache,
	[IOMMU_TEST_OP_TRIGGER_VEVENT] = iommufd_test_trigger_vevent,
	[IOMMU_TEST_OP_PASID_ATTACH] = iommufd_test_pasid_attach,
	[IOMMU_TEST_OP_PASID_REPLACE] = iommufd_test_pasid_replace,
	[IOMMU_TEST_OP_PASID_DETACH] = iommufd_test_pasid_detach,
	[IOMMU_TEST_OP_PASID_CHECK_HWPT] = iommufd_test_pasid_check,
	[IOMMU_TEST_OP_DMABUF_GET] = iommufd_test_dmabuf_get,
	[IOMMU_TEST_OP_DMABUF_REVOKE] = iommufd_test_dmabuf_revoke,
};

int iommufd_test_ioctl(struct ucmd *u)
{
	const struct iommu_test_cmd *c = u->cmd;

	if (c->op >= ARRAY_SIZE(operations) || !operations[c->op])
		return -EOPNOTSUPP;
	return operations[c->op](u);
}
