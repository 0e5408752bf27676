/* SPDX-License-Identifier: MIT */
/*
 * The driver of the mock IOMMU: page tables of 2 KiB and more, or of 4 KiB and 1 MiB; nested page tables that are only a
 * few words of cache, to see whether they are invalidated; virtual IOMMUs with a page to map and two queues.
 *
 * Spec: 31, part 2.
 */
#include "iommufd/mock.h"
#include <string.h>

#define WIDTH      31
#define WIDTH_HUGE 38
#define SIZES      ((BIT64(37) - 1) & ~(uint64_t)(MOCK_PAGE_SIZE - 1)) /* up to 64 GiB */
#define SIZES_HUGE ((uint64_t)MOCK_HUGE_PAGE_SIZE | UVFIO_PAGE_SIZE)

#define UNIT .kind = IOMMU_MOCK, .runs = true, .coherent = true, .msi_isolated = true, .nesting = true, .default_domain = "DMA"
#define UNIT_2K UNIT, .first = MOCK_APERTURE_START, .width = WIDTH, .pgsizes = SIZES

static const struct iommu_unit unit_usual = { .name = "mock", UNIT_2K, .dirty = true };
static const struct iommu_unit unit_not_dirty = { .name = "mock-not-dirty", UNIT_2K };
static const struct iommu_unit unit_huge = {
	.name = "mock-huge", UNIT, .width = WIDTH_HUGE, .pgsizes = SIZES_HUGE, .dirty = true,
};

const struct iommu_unit *iommufd_mock_unit(uint32_t flags)
{
	return flags & MOCK_FLAGS_DEVICE_NO_DIRTY ? &unit_not_dirty : &unit_usual;
}

static uint32_t mock_info(const struct iommu_unit *unit, void *out)
{
	const struct iommu_test_hw_info info = { .test_reg = IOMMU_HW_INFO_SELFTEST_REGVAL };

	memcpy(out, &info, sizeof(info));
	return sizeof(info);
}

/* ---- page tables ---- */

static int mock_paging(struct iommufd_hwpt *hwpt, struct iommufd_device *idev, const struct hw_user *user)
{
	struct iommu_hwpt_selftest data = { 0 };
	int rc = 0;

	if (user && user->type != IOMMU_HWPT_DATA_SELFTEST)
		return -EOPNOTSUPP;
	if (user)
		rc = hw_user_copy(user, &data, sizeof(data), IOMMU_HWPT_SELFTEST_MIN);
	if (rc)
		return rc;
	if (data.pagetable_type > MOCK_IOMMUPT_HUGE)
		return -EOPNOTSUPP;
	return iommu_domain_create_for(hwpt->obj.ctx->fd->iommu,
				       data.pagetable_type == MOCK_IOMMUPT_HUGE ? &unit_huge : idev->unit, &hwpt->domain);
}

/* ---- nested ones ---- */

struct nested {
	struct mutex lock; /* RANK_IOMMUFD_MOCK */
	uint32_t iotlb[MOCK_IOTLBS];
};

static int mock_nested(struct iommufd_hwpt *hwpt, const struct hw_user *user)
{
	struct iommu_hwpt_selftest data = { 0 };
	struct nested *n;
	int rc;

	if (user->type != IOMMU_HWPT_DATA_SELFTEST)
		return -EOPNOTSUPP;
	rc = hw_user_copy(user, &data, sizeof(data), IOMMU_HWPT_SELFTEST_MIN);
	if (rc)
		return rc;
	n = calloc(1, sizeof(*n));
	if (!n)
		return -ENOMEM;
	rc = iommu_domain_create_nested(hwpt->parent->domain, NULL, &hwpt->domain);
	if (rc) {
		free(n);
		return rc;
	}
	mutex_init(&n->lock, RANK_IOMMUFD_MOCK);
	for (unsigned i = 0; i < MOCK_IOTLBS; i++)
		n->iotlb[i] = data.iotlb;
	hwpt->hw_data = n;
	return 0;
}

int iommufd_mock_iotlb(struct iommufd_hwpt *hwpt, uint32_t id, uint32_t *out)
{
	struct nested *n = hwpt->hw_data;

	if (hwpt->hw != &iommufd_hw_mock || id >= MOCK_IOTLBS)
		return -EINVAL;
	SCOPED_LOCK(&n->lock);
	*out = n->iotlb[id];
	return 0;
}

/* One entry of a cache, or all of it */
static int clear(uint32_t *cache, unsigned n, uint32_t flags, uint32_t id)
{
	if (flags & ~IOMMU_TEST_INVALIDATE_FLAG_ALL)
		return -EOPNOTSUPP;
	if (id >= n)
		return -EINVAL;
	if (flags & IOMMU_TEST_INVALIDATE_FLAG_ALL)
		memset(cache, 0, n * sizeof(*cache));
	else
		cache[id] = 0;
	return 0;
}

static int mock_invalidate(struct iommufd_hwpt *hwpt, struct hw_batch *b)
{
	struct iommu_hwpt_invalidate_selftest inv;
	struct nested *n = hwpt->hw_data;
	int rc = 0;

	if (b->type != IOMMU_HWPT_INVALIDATE_DATA_SELFTEST)
		return -EINVAL;
	if (b->count && b->length != sizeof(inv))
		return -EINVAL;
	while (!rc && b->done < b->count) {
		rc = hw_batch_copy(b, b->done, &inv, sizeof(inv), sizeof(inv));
		if (rc)
			break;
		SCOPED_LOCK(&n->lock);
		rc = clear(n->iotlb, MOCK_IOTLBS, inv.flags, inv.iotlb_id);
		b->done += !rc;
	}
	return rc;
}

/* ---- attaching ---- */

/* What the guest calls it must be known, and PASID 1024 fails the second time. */
static int mock_attach(struct iommufd_device *idev, uint32_t pasid, struct iommufd_hwpt *hwpt)
{
	struct iommufd_mock *mock = idev->hw_data;
	uint64_t virt_id;

	if (hwpt->viommu && pasid == IOMMUFD_NO_PASID) {
		if (!iommufd_vdevice_find(hwpt->viommu, idev, &virt_id))
			return -ENOENT;
		if (virt_id > UINT32_MAX)
			return -EINVAL;
	}
	if (pasid != IOMMU_TEST_PASID_RESERVED || !mock->trapped)
		return 0;
	mock->trapped = false;
	return -ENOMEM;
}

static void mock_attached(struct iommufd_device *idev, uint32_t pasid, struct iommufd_hwpt *hwpt)
{
	struct iommufd_mock *mock = idev->hw_data;

	if (pasid == IOMMU_TEST_PASID_RESERVED)
		mock->trapped = hwpt;
	if (pasid != IOMMUFD_NO_PASID)
		return;
	if (hwpt && hwpt->viommu && hwpt->viommu == mock->viommu)
		return; /* the name it came with stays, whatever has become of it */
	mock->viommu = hwpt ? hwpt->viommu : NULL;
	mock->virt_id = 0;
	if (mock->viommu)
		iommufd_vdevice_find(mock->viommu, idev, &mock->virt_id);
}

/* ---- virtual IOMMUs ---- */

struct mock_viommu {
	struct iommufd_region *region;                  /* NULL: nobody asked for it */
	struct iommufd_hw_queue *queues[MOCK_HW_QUEUES];/* by the virtual IOMMU's lock */
};

static bool mock_has_viommu(uint32_t type)
{
	return type == IOMMU_VIOMMU_TYPE_SELFTEST;
}

/* The data comes back, and as the first word of what can be mapped. */
static int viommu_data(struct iommufd_viommu *v, struct mock_viommu *m, struct hw_user *user)
{
	const uint64_t length = 2 * UVFIO_PAGE_SIZE;
	struct iommu_viommu_selftest data;
	int rc = hw_user_copy(user, &data, sizeof(data), IOMMU_VIOMMU_SELFTEST_MIN);

	if (rc)
		return rc;
	rc = iommufd_region_add(&v->obj, length, &m->region);
	if (rc)
		return rc;
	data.out_data = data.in_data;
	data.out_mmap_offset = iommufd_region_offset(m->region);
	data.out_mmap_length = length;
	rc = iommufd_region_write(m->region, 0, &data.in_data, sizeof(data.in_data));
	if (!rc)
		hw_user_answer(user, &data, sizeof(data));
	return rc;
}

static int mock_viommu(struct iommufd_viommu *v, struct hw_user *user)
{
	struct mock_viommu *m = calloc(1, sizeof(*m));
	int rc;

	if (!m)
		return -ENOMEM;
	v->hw_data = m; /* freed with it */
	rc = user ? viommu_data(v, m, user) : 0;
	if (rc)
		iommufd_region_remove(m->region);
	return rc;
}

static void mock_viommu_fini(struct iommufd_viommu *v)
{
	struct mock_viommu *m = v->hw_data;

	iommufd_region_remove(m->region);
}

static int clear_device(struct iommufd_viommu *v, const struct iommu_viommu_invalidate_selftest *inv)
{
	struct iommufd_vdevice *vd;
	struct iommufd_mock *mock;

	if (inv->flags & ~IOMMU_TEST_INVALIDATE_FLAG_ALL)
		return -EOPNOTSUPP;
	if (inv->cache_id >= MOCK_DEV_CACHES)
		return -EINVAL;
	SCOPED_LOCK(&v->lock);
	vd = iommufd_vdevice_by_id_locked(v, inv->vdev_id);
	if (!vd)
		return -EINVAL;
	mock = vd->idev->hw_data;
	SCOPED_LOCK(&mock->lock);
	return clear(mock->caches, MOCK_DEV_CACHES, inv->flags, inv->cache_id);
}

/* All are read before any takes effect. */
static int mock_viommu_invalidate(struct iommufd_viommu *v, struct hw_batch *b)
{
	struct iommu_viommu_invalidate_selftest *list;
	int rc = 0;

	if (b->type != IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST)
		return -EINVAL;
	list = calloc(b->count + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	for (uint32_t i = 0; !rc && i < b->count; i++)
		rc = hw_batch_copy(b, i, &list[i], sizeof(*list), 0);
	while (!rc && b->done < b->count) {
		rc = clear_device(v, &list[b->done]);
		b->done += !rc;
	}
	free(list);
	return rc;
}

/* ---- hardware queues ---- */

static bool mock_has_queue(const struct iommufd_viommu *v, uint32_t type)
{
	return type == IOMMU_HW_QUEUE_TYPE_SELFTEST;
}

/*
 * They are taken into use in order. One that nobody can find yet, or any more, may go whoever uses it: it is none. @rc: what
 * else is wrong
 */
static int use_before(struct iommufd_hw_queue *before, int rc)
{
	if (!before || !iommufd_object_revisit(&before->obj))
		return -EIO;
	if (!rc)
		iommufd_object_use(&before->obj);
	iommufd_object_leave(&before->obj);
	return rc;
}

static int mock_queue(struct iommufd_hw_queue *q)
{
	struct mock_viommu *m = q->viommu->hw_data;
	unsigned prot;
	phys_t phys;
	int rc = 0;

	if (q->index >= MOCK_HW_QUEUES)
		return -EINVAL;
	SCOPED_LOCK(&q->viommu->lock);
	if (m->queues[q->index])
		return -EEXIST;
	if (iommu_translate(q->viommu->parent->domain, q->base, &phys, &prot) || phys != q->phys)
		rc = -EFAULT;
	if (q->index)
		rc = use_before(m->queues[q->index - 1], rc);
	if (!rc)
		m->queues[q->index] = q;
	return rc;
}

static void mock_queue_fini(struct iommufd_hw_queue *q)
{
	struct mock_viommu *m = q->viommu->hw_data;
	struct iommufd_hw_queue *before;

	mutex_lock(&q->viommu->lock);
	before = q->index ? m->queues[q->index - 1] : NULL;
	m->queues[q->index] = NULL;
	mutex_unlock(&q->viommu->lock);
	if (before)
		iommufd_object_unuse(&before->obj);
}

const struct iommufd_hw iommufd_hw_mock = {
	.paging_flags = IOMMUFD_HW_PAGING_FLAGS,
	.info_type = IOMMU_HW_INFO_TYPE_SELFTEST,
	.user_pasids = true,
	.info = mock_info,
	.paging = mock_paging,
	.nested = mock_nested,
	.invalidate = mock_invalidate,
	.attach = mock_attach,
	.attached = mock_attached,
	.has_viommu = mock_has_viommu,
	.viommu = mock_viommu,
	.viommu_invalidate = mock_viommu_invalidate,
	.viommu_fini = mock_viommu_fini,
	.has_queue = mock_has_queue,
	.queue = mock_queue,
	.queue_fini = mock_queue_fini,
};
