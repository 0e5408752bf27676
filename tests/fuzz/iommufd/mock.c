/* SPDX-License-Identifier: MIT */
/* Mock devices and the rest of the test interface, but for accesses and dma-bufs. */
#include "calls.h"

int test_call(int fd, uint32_t op, uint32_t id, struct iommu_test_cmd *c)
{
	c->size = sizeof(*c);
	c->op = op;
	c->id = id;
	return call(fd, IOMMU_TEST_CMD, c, sizeof(*c));
}

void do_mock(void)
{
	struct iommu_test_cmd c = { 0 };
	int fd = pick(CTX);
	uint32_t pt = id();
	uint8_t b = byte();

	c.mock_domain.dev_flags = b & 7;
	test_call(fd, b & 7 ? IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS : IOMMU_TEST_OP_MOCK_DOMAIN, pt, &c);
}

void do_mock_replace(void)
{
	struct iommu_test_cmd c = { 0 };
	int fd = pick(CTX);
	uint32_t stdev = id();

	c.mock_domain_replace.pt_id = id();
	test_call(fd, IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE, stdev, &c);
}

static uint32_t pasid(void)
{
	uint8_t b = byte();

	return b < 0xc0 ? b & 3 : b < 0xe0 ? IOMMU_TEST_PASID_RESERVED : (uint32_t)raw(4);
}

void do_pasid(void)
{
	static const uint32_t ops[] = { IOMMU_TEST_OP_PASID_ATTACH, IOMMU_TEST_OP_PASID_REPLACE, IOMMU_TEST_OP_PASID_DETACH,
					IOMMU_TEST_OP_PASID_CHECK_HWPT };
	struct iommu_test_cmd c = { 0 };
	int fd = pick(CTX);
	uint32_t op = ops[byte() % ARRAY_SIZE(ops)], stdev = id();

	c.pasid_attach.pasid = pasid();
	c.pasid_attach.pt_id = id(); /* at the same place in all */
	test_call(fd, op, stdev, &c);
}

void do_trigger(void)
{
	struct iommu_test_cmd c = { 0 };
	int fd = pick(CTX);
	uint8_t b = byte();

	if (b & 1) {
		c.trigger_vevent.dev_id = id();
		test_call(fd, IOMMU_TEST_OP_TRIGGER_VEVENT, 0, &c);
		return;
	}
	c.trigger_iopf.dev_id = id();
	c.trigger_iopf.pasid = b & 2 ? pasid() : 0;
	c.trigger_iopf.grpid = b >> 2;
	c.trigger_iopf.perm = b >> 4;
	c.trigger_iopf.addr = iova();
	test_call(fd, IOMMU_TEST_OP_TRIGGER_IOPF, 0, &c);
}

void do_check(void)
{
	struct iommu_test_cmd c = { 0 };
	int fd = pick(CTX);
	uint8_t b = byte();
	uint32_t of = id();

	switch (b % 4) {
	case 0:
		c.check_map.iova = iova();
		c.check_map.length = length();
		c.check_map.uptr = uva();
		test_call(fd, IOMMU_TEST_OP_MD_CHECK_MAP, of, &c);
		break;
	case 1:
		c.check_refs.length = length();
		c.check_refs.uptr = uva();
		c.check_refs.refs = b >> 6;
		test_call(fd, IOMMU_TEST_OP_MD_CHECK_REFS, 0, &c);
		break;
	case 2:
		c.check_iotlb.id = b >> 5;
		c.check_iotlb.iotlb = IOMMU_TEST_IOTLB_DEFAULT;
		test_call(fd, IOMMU_TEST_OP_MD_CHECK_IOTLB, of, &c);
		break;
	case 3:
		c.check_dev_cache.id = b >> 5;
		c.check_dev_cache.cache = IOMMU_TEST_DEV_CACHE_DEFAULT;
		test_call(fd, IOMMU_TEST_OP_DEV_CHECK_CACHE, of, &c);
		break;
	}
}

void do_mark(void)
{
	struct iommu_test_cmd c = { 0 };
	int fd = pick(CTX);
	uint32_t hwpt = id();

	c.dirty.iova = iova();
	c.dirty.length = length();
	c.dirty.page_size = length();
	c.dirty.uptr = uva();
	test_call(fd, IOMMU_TEST_OP_DIRTY, hwpt, &c);
}

void do_reserve(void)
{
	struct iommu_test_cmd c = { 0 };
	int fd = pick(CTX);
	uint32_t ioas = id();

	c.add_reserved.start = iova();
	c.add_reserved.length = length();
	test_call(fd, IOMMU_TEST_OP_ADD_RESERVED, ioas, &c);
}

void do_limit(void)
{
	struct iommu_test_cmd c = { 0 };
	int fd = pick(CTX);

	c.memory_limit.limit = byte();
	test_call(fd, IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT, 0, &c);
}

/* ---- what takes many calls to get to ---- */

struct scene {
	int fd;
	uint32_t ioas, stdev, dev, parent, fault, viommu, nested;
};

static bool scene_device(struct scene *s)
{
	struct iommu_ioas_alloc ioas = { .size = sizeof(ioas) };
	struct iommu_ioas_map map = { .size = sizeof(map), .flags = 7, .iova = MOCK_APERTURE_START,
				      .user_va = (uintptr_t)ARENA + 24 * PAGE, .length = 8 * PAGE };
	struct iommu_test_cmd c = { .mock_domain = { .dev_flags = MOCK_FLAGS_DEVICE_PASID } };

	if (try(s->fd, IOMMU_IOAS_ALLOC, &ioas))
		return false;
	map.ioas_id = s->ioas = ioas.out_ioas_id;
	try(s->fd, IOMMU_IOAS_MAP, &map);
	last_iova = map.iova;
	if (test_call(s->fd, IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS, s->ioas, &c))
		return false;
	s->stdev = c.mock_domain.out_stdev_id;
	s->dev = c.mock_domain.out_idev_id;
	return true;
}

static uint32_t scene_hwpt(struct scene *s, uint32_t pt, uint32_t flags, bool nested)
{
	struct iommu_hwpt_selftest data = { .iotlb = IOMMU_TEST_IOTLB_DEFAULT };
	struct iommu_hwpt_alloc a = { .size = sizeof(a), .flags = flags, .dev_id = s->dev, .pt_id = pt, .fault_id = s->fault };

	if (nested) {
		a.data_type = IOMMU_HWPT_DATA_SELFTEST;
		a.data_len = sizeof(data);
		a.data_uptr = (uintptr_t)&data;
	}
	return try(s->fd, IOMMU_HWPT_ALLOC, &a) ? 0 : a.out_hwpt_id;
}

static bool scene_guest(struct scene *s)
{
	struct iommu_fault_alloc fault = { .size = sizeof(fault) };
	struct iommu_viommu_alloc v = { .size = sizeof(v), .type = IOMMU_VIOMMU_TYPE_SELFTEST, .dev_id = s->dev };
	struct iommu_vdevice_alloc vd = { .size = sizeof(vd), .dev_id = s->dev, .virt_id = 1 };

	if (try(s->fd, IOMMU_FAULT_QUEUE_ALLOC, &fault))
		return false;
	file_add((int)fault.out_fault_fd, OTHER);
	s->fault = fault.out_fault_id;
	v.hwpt_id = s->parent;
	if (try(s->fd, IOMMU_VIOMMU_ALLOC, &v))
		return false;
	vd.viommu_id = s->viommu = v.out_viommu_id;
	try(s->fd, IOMMU_VDEVICE_ALLOC, &vd);
	s->nested = scene_hwpt(s, s->viommu, IOMMU_HWPT_FAULT_ID_VALID | IOMMU_HWPT_ALLOC_PASID, true);
	return s->nested;
}

/* A mock device; a nest parent; a guest on it with a queue of faults; and the device in the guest's hands */
void do_scene(void)
{
	struct scene s = { .fd = pick(CTX) };
	uint8_t b = byte();
	struct iommu_test_cmd c = { 0 };

	place.set = false;
	if (!scene_device(&s) || b % 4 < 1)
		return;
	s.parent = scene_hwpt(&s, s.ioas, IOMMU_HWPT_ALLOC_NEST_PARENT | IOMMU_HWPT_ALLOC_PASID |
			      (b & 4 ? IOMMU_HWPT_ALLOC_DIRTY_TRACKING : 0), false);
	if (!s.parent || b % 4 < 2 || !scene_guest(&s) || b % 4 < 3)
		return;
	c.mock_domain_replace.pt_id = s.nested;
	test_call(s.fd, IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE, s.stdev, &c);
}
