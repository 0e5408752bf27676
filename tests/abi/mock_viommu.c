/* SPDX-License-Identifier: MIT */
/* Virtual IOMMUs, and the devices they know by another id. */
#include "nested.h"

#define CACHE IOMMU_TEST_DEV_CACHE_DEFAULT
#define TYPE  IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST

static int fd;
static uint32_t ioas, parent;
static struct mock m;

/* A context with a device on an IOAS, and a nest parent over the same */
static void begin(void)
{
	fd = iommu_open();
	ioas = ioas_alloc(fd);
	m = mock(fd, ioas, 0);
	parent = paging(fd, m.dev, ioas, PARENT, 0);
}

static int alloc(uint32_t hwpt, uint32_t type, void *data, uint32_t length)
{
	uint32_t id = 0;
	int rc = viommu_alloc_data(fd, m.dev, hwpt, type, data, length, &id);

	return rc ? rc : (int)id;
}

TEST(viommu_alloc, "30:IFD-172 31:TST-37", "a VIOMMU is made of a device and a nest parent, and holds it")
{
	const uint32_t type = IOMMU_VIOMMU_TYPE_SELFTEST;
	uint32_t plain, id, none;

	begin();
	plain = paging(fd, m.dev, ioas, 0, 0);
	EXPECT_ERR(EOPNOTSUPP, alloc(parent, 0, NULL, 0));
	EXPECT_ERR(EOPNOTSUPP, alloc(99, 0, NULL, 0));
	EXPECT_ERR(EOPNOTSUPP, alloc(parent, 1, NULL, 0));
	EXPECT_ERR(EOPNOTSUPP, alloc(99, 2, NULL, 0));
	EXPECT_ERR(ENOENT, viommu_alloc_data(fd, 99, parent, 1, NULL, 0, &none));
	EXPECT_ERR(ENOENT, viommu_alloc_data(fd, m.stdev, parent, type, NULL, 0, &none));
	EXPECT_ERR(ENOENT, alloc(99, type, NULL, 0));
	EXPECT_ERR(ENOENT, alloc(ioas, type, NULL, 0));
	EXPECT_ERR(ENOENT, alloc(m.dev, type, NULL, 0));
	EXPECT_ERR(EINVAL, alloc(plain, type, NULL, 0));
	EXPECT_ERR(EINVAL, alloc(m.hwpt, type, NULL, 0));
	id = (uint32_t)EXPECT_OK(alloc(parent, type, NULL, 0));
	EXPECT_ERR(ENOENT, alloc(id, type, NULL, 0));
	EXPECT_ERR(EBUSY, destroy(fd, parent));
	none = viommu(fd, m.dev, parent); /* and another of the same */
	EXPECT_OK(destroy(fd, id));
	EXPECT_ERR(EBUSY, destroy(fd, parent));
	EXPECT_OK(destroy(fd, none));
	EXPECT_OK(destroy(fd, parent));
}

TEST(viommu_nested_parent, "30:IFD-172", "an HWPT that is nested is no parent for a VIOMMU")
{
	begin();
	EXPECT_ERR(ENOENT, alloc(nested(fd, m.dev, parent, 0, 0), IOMMU_VIOMMU_TYPE_SELFTEST, NULL, 0));
}

TEST(viommu_data, "31:TST-37 30:IFD-172", "the data of a VIOMMU: its length, and what is written back")
{
	struct { struct iommu_viommu_selftest d; uint32_t more; } data = { .d = { .in_data = 0xcafe } };
	struct iommu_viommu_alloc a = { .size = sizeof(a), .flags = 1, .type = IOMMU_VIOMMU_TYPE_SELFTEST };
	const uint32_t type = a.type;

	begin();
	a.dev_id = m.dev;
	a.hwpt_id = parent;
	EXPECT_ERR(EOPNOTSUPP, x_ioctl(fd, IOMMU_VIOMMU_ALLOC, &a));
	a.flags = 0;
	a.__reserved = 1; /* nobody looks */
	EXPECT_OK(x_ioctl(fd, IOMMU_VIOMMU_ALLOC, &a));
	EXPECT(a.out_viommu_id != 0);
	a.size = IOMMU_VIOMMU_ALLOC_MIN;
	EXPECT_OK(x_ioctl(fd, IOMMU_VIOMMU_ALLOC, &a));
	a.size--;
	EXPECT_ERR(EINVAL, x_ioctl(fd, IOMMU_VIOMMU_ALLOC, &a));
	EXPECT_ERR(EINVAL, alloc(parent, type, &data, 7));
	EXPECT_ERR(EINVAL, alloc(parent, type, &data, 25));
	EXPECT_ERR(EINVAL, alloc(parent, type, &data, 32));
	EXPECT_ERR(EINVAL, alloc(parent, type, NULL, 4));
	EXPECT_ERR(EFAULT, alloc(parent, type, NULL, 24));
	EXPECT_ERR(EFAULT, alloc(parent, type, (void *)8, 24));
	EXPECT_OK(alloc(parent, type, &data, 8));
	EXPECT_EQ(0xcafe, data.d.out_data);
	EXPECT(data.d.out_mmap_offset == 0 && data.d.out_mmap_length == 0);
	data.d.in_data = 0xbeef;
	EXPECT_OK(alloc(parent, type, &data, 24));
	EXPECT_EQ(0xbeef, data.d.out_data);
	EXPECT(data.d.out_mmap_offset >= PAGE && data.d.out_mmap_length == 2 * PAGE && data.more == 0);
}

TEST(viommu_rollback, "31:TST-37 30:IFD-172", "data that cannot be written back, or ids that cannot: nothing is made")
{
	struct iommu_viommu_selftest data = { .in_data = 1 }, *constant;
	uint32_t none, free_id;

	begin();
	free_id = next_id(fd);
	constant = ram(PAGE);
	*constant = data;
	EXPECT_OK(mprotect(constant, PAGE, PROT_READ));
	EXPECT_ERR(EFAULT, viommu_alloc_data(fd, m.dev, parent, IOMMU_VIOMMU_TYPE_SELFTEST, constant, 24, &none));
	EXPECT_EQ(free_id, next_id(fd));
	EXPECT_OK(destroy(fd, parent));
}

TEST(vdevice_alloc_checks, "30:IFD-173", "a device has one VDEVICE, and a VIOMMU one of each virtual id")
{
	uint32_t id, v, w, none;
	struct mock second;

	begin();
	second = mock(fd, ioas, 0);
	v = viommu(fd, m.dev, parent);
	w = viommu(fd, m.dev, parent);
	EXPECT_ERR(ENOENT, vdevice_alloc(fd, 99, m.dev, 1, &none));
	EXPECT_ERR(ENOENT, vdevice_alloc(fd, parent, m.dev, 1, &none));
	EXPECT_ERR(ENOENT, vdevice_alloc(fd, v, 99, 1, &none));
	EXPECT_ERR(ENOENT, vdevice_alloc(fd, v, m.stdev, 1, &none));
	id = vdevice(fd, v, m.dev, 0x10);
	EXPECT_ERR(EEXIST, vdevice_alloc(fd, v, m.dev, 0x10, &none));
	EXPECT_ERR(EEXIST, vdevice_alloc(fd, v, m.dev, 0x11, &none));
	EXPECT_ERR(EEXIST, vdevice_alloc(fd, w, m.dev, 0x12, &none));
	EXPECT_ERR(EEXIST, vdevice_alloc(fd, v, second.dev, 0x10, &none));
	EXPECT_ERR(EBUSY, destroy(fd, v));
	none = vdevice(fd, w, second.dev, 0x10); /* another VIOMMU has ids of its own */
	EXPECT_OK(destroy(fd, none));
	none = vdevice(fd, v, second.dev, 0xffffffff);
	EXPECT_OK(destroy(fd, id));
	EXPECT_EQ(id, vdevice(fd, v, m.dev, 0x10));
	EXPECT_OK(destroy(fd, id));
	EXPECT_OK(destroy(fd, none));
	EXPECT_OK(destroy(fd, v));
	EXPECT_OK(destroy(fd, w));
	EXPECT_OK(destroy(fd, parent));
}

TEST(vdevice_ids, "30:IFD-173", "virtual ids are of 64 bits, and 0 is one")
{
	uint32_t v, id, none;
	struct mock second;

	begin();
	second = mock(fd, ioas, 0);
	v = viommu(fd, m.dev, parent);
	id = vdevice(fd, v, m.dev, 0);
	EXPECT_ERR(EEXIST, vdevice_alloc(fd, v, second.dev, 0, &none));
	EXPECT_OK(destroy(fd, id));
	EXPECT_OK(vdevice_alloc(fd, v, m.dev, UINT64_MAX, &id));
	EXPECT_OK(vdevice_alloc(fd, v, second.dev, UINT32_MAX, &none));
}

TEST(tombstone, "30:IFD-174", "a device that goes leaves its VDEVICE's id unusable for good")
{
	uint32_t v, id, next;

	begin();
	v = viommu(fd, m.dev, parent);
	id = vdevice(fd, v, m.dev, 5);
	EXPECT_ERR(EBUSY, destroy(fd, m.dev));
	EXPECT_OK(destroy(fd, m.stdev));
	EXPECT_ERR(ENOENT, destroy(fd, id));
	EXPECT_ERR(ENOENT, destroy(fd, m.dev));
	for (int i = 0; i < 8; i++) {
		next = ioas_alloc(fd);
		EXPECT(next != id);
	}
	m = mock(fd, parent, 0);
	EXPECT(m.dev != id && m.stdev != id);
	next = vdevice(fd, v, m.dev, 5); /* its virtual id is free again */
	EXPECT(next != id);
	EXPECT_ERR(ENOENT, destroy(fd, id));
	EXPECT_OK(destroy(fd, next));
	EXPECT_OK(destroy(fd, v));
}

TEST(tombstone_counts, "30:IFD-174", "a tombstone is an object to RLIMIT_MODE")
{
	uint32_t v, id;

	begin();
	v = viommu(fd, m.dev, parent);
	id = vdevice(fd, v, m.dev, 5);
	EXPECT_OK(destroy(fd, m.stdev));
	EXPECT_OK(destroy(fd, v));
	EXPECT_OK(destroy(fd, parent));
	EXPECT_OK(destroy(fd, ioas));
	EXPECT_ERR(ENOENT, destroy(fd, id));
	if (test_caps(CAPS_ALL) || (option_set(fd, IOMMU_OPTION_RLIMIT_MODE, 0, 2) && errno == EPERM))
		test_skip("not privileged");
	EXPECT_ERR(EBUSY, option_set(fd, IOMMU_OPTION_RLIMIT_MODE, 0, 0));
}

TEST(attach_wants_vdevice, "31:TST-39 31:TST-40 30:IFD-153", "an HWPT nested by a VIOMMU takes devices it knows; it may forget them later")
{
	uint32_t v, id, dev, pt;

	begin();
	v = viommu(fd, m.dev, parent);
	pt = id = nested(fd, m.dev, v, 0, 0);
	EXPECT_ERR(EBUSY, destroy(fd, v));
	EXPECT_ERR(EBUSY, destroy(fd, parent));
	EXPECT_ERR(ENOENT, mock_replace(fd, m.stdev, &pt));
	dev = vdevice(fd, v, m.dev, 3);
	EXPECT_OK(mock_replace(fd, m.stdev, &pt));
	EXPECT_EQ(id, pt);
	EXPECT_ERR(EBUSY, destroy(fd, id));
	EXPECT_OK(destroy(fd, dev));
	EXPECT_OK(mock_replace(fd, m.stdev, &pt)); /* nothing to do */
	EXPECT_OK(mock_replace_id(fd, m.stdev, ioas));
	EXPECT_ERR(ENOENT, mock_replace(fd, m.stdev, &pt));
	EXPECT_OK(destroy(fd, id));
	EXPECT_OK(destroy(fd, v));
	EXPECT_OK(destroy(fd, parent));
}

TEST(attach_other_viommu, "31:TST-39", "a VDEVICE in one VIOMMU does not let its device into the HWPTs of another")
{
	uint32_t v, w, id;

	begin();
	v = viommu(fd, m.dev, parent);
	w = viommu(fd, m.dev, parent);
	vdevice(fd, w, m.dev, 3);
	id = nested(fd, m.dev, v, 0, 0);
	EXPECT_ERR(ENOENT, mock_replace_id(fd, m.stdev, id));
	id = nested(fd, m.dev, w, 0, 0);
	EXPECT_OK(mock_replace_id(fd, m.stdev, id));
}

TEST(viommu_nested_data, "31:TST-35 30:IFD-152 31:TST-36", "an HWPT nested by a VIOMMU is made and invalidated as any other")
{
	const struct iommu_hwpt_selftest data = { .iotlb = 0x77 };
	const struct iommu_hwpt_invalidate_selftest one = { 0, 1 };
	const uint32_t type = IOMMU_HWPT_DATA_SELFTEST;
	uint32_t v, id = 0, none, num = 1;

	begin();
	v = viommu(fd, m.dev, parent);
	EXPECT_ERR(EOPNOTSUPP, hwpt_alloc_data(fd, m.dev, v, 0, 0, IOMMU_HWPT_DATA_NONE, NULL, 0, &none));
	EXPECT_ERR(EOPNOTSUPP, hwpt_alloc_data(fd, m.dev, v, 0, 0, IOMMU_HWPT_DATA_VTD_S1, &data, 4, &none));
	EXPECT_ERR(EOPNOTSUPP, hwpt_alloc_data(fd, m.dev, v, PARENT, 0, type, &data, 4, &none));
	EXPECT_ERR(EOPNOTSUPP, hwpt_alloc_data(fd, m.dev, v, IOMMU_HWPT_ALLOC_DIRTY_TRACKING, 0, type, &data, 4, &none));
	EXPECT_ERR(EINVAL, hwpt_alloc_data(fd, m.dev, v, 0, 0, type, &data, 3, &none));
	EXPECT_ERR(EFAULT, hwpt_alloc_data(fd, m.dev, v, 0, 0, type, NULL, 4, &none));
	EXPECT_ERR(ENOENT, hwpt_alloc_data(fd, m.dev, v, FAULTING, 99, type, &data, 4, &none));
	EXPECT_OK(hwpt_alloc_data(fd, m.dev, v, FOR_PASID, 0, type, &data, 4, &id));
	EXPECT_OK(check_iotlb(fd, id, 1, 0x77));
	EXPECT_OK(invalidate(fd, id, IOMMU_HWPT_INVALIDATE_DATA_SELFTEST, &one, sizeof(one), &num));
	EXPECT_OK(check_iotlb(fd, id, 1, 0));
	EXPECT_OK(destroy(fd, id));
	EXPECT_OK(destroy(fd, v));
}

/* Wants @err with @done entries done */
static void stops(int err, uint32_t id, uint32_t type, const void *entries, uint32_t length, uint32_t num, uint32_t done)
{
	uint32_t n = num;
	int rc = invalidate(fd, id, type, entries, length, &n);

	if ((rc ? errno : 0) != err || n != done)
		test_fail(__FILE__, __LINE__, "invalidate %u, type 0x%x, %u of %u bytes: wanted %d with %u done, got %d %s, %u done", id,
			  type, num, length, err, done, rc, rc ? strerrorname_np(errno) : "", n);
}

TEST(caches, "31:TST-24 31:TST-38 30:IFD-158", "the caches of devices are invalidated by virtual id")
{
	struct iommu_viommu_invalidate_selftest e[3] = { { 0, 0x21, 1 }, { 0, 0x22, 2 }, { 0, 0x23, 0 } };
	struct mock second;
	uint32_t v;

	begin();
	second = mock(fd, ioas, 0);
	v = viommu(fd, m.dev, parent);
	vdevice(fd, v, m.dev, 0x21);
	vdevice(fd, v, second.dev, 0x22);
	for (uint32_t i = 0; i < MOCK_DEV_CACHES; i++)
		EXPECT_OK(check_cache(fd, m.dev, i, CACHE));
	EXPECT_ERR(EINVAL, check_cache(fd, m.dev, MOCK_DEV_CACHES, CACHE));
	EXPECT_ERR(EINVAL, check_cache(fd, m.dev, 0, 0));
	EXPECT_ERR(ENOENT, check_cache(fd, 99, 0, CACHE));
	EXPECT_ERR(ENOENT, check_cache(fd, m.stdev, 0, CACHE));
	stops(EINVAL, v, TYPE, e, sizeof(e[0]), 3, 2);
	EXPECT_OK(check_cache(fd, m.dev, 0, CACHE));
	EXPECT_OK(check_cache(fd, m.dev, 1, 0));
	EXPECT_OK(check_cache(fd, second.dev, 1, CACHE));
	EXPECT_OK(check_cache(fd, second.dev, 2, 0));
	e[0].cache_id = MOCK_DEV_CACHES;
	stops(EINVAL, v, TYPE, e, sizeof(e[0]), 1, 0);
	e[0] = (struct iommu_viommu_invalidate_selftest){ 2, 0x21, 2 };
	stops(EOPNOTSUPP, v, TYPE, e, sizeof(e[0]), 1, 0);
	EXPECT_OK(check_cache(fd, m.dev, 2, CACHE));
	e[0] = (struct iommu_viommu_invalidate_selftest){ IOMMU_TEST_INVALIDATE_FLAG_ALL, 0x21, 0 };
	stops(0, v, TYPE, e, sizeof(e[0]), 1, 1);
	for (uint32_t i = 0; i < MOCK_DEV_CACHES; i++)
		EXPECT_OK(check_cache(fd, m.dev, i, 0));
	EXPECT_OK(check_cache(fd, second.dev, 3, CACHE));
}

TEST(cache_entries, "31:TST-38 30:IFD-159", "types and lengths of what invalidates caches")
{
	struct { struct iommu_viommu_invalidate_selftest e; uint32_t tail; } e[2] = { { { 0, 9, 1 }, 0 }, { { 0, 9, 2 }, 0 } };
	uint32_t v;
	char *p;

	begin();
	v = viommu(fd, m.dev, parent);
	vdevice(fd, v, m.dev, 9);
	stops(0, v, TYPE, NULL, 0, 0, 0);
	stops(EINVAL, v, TYPE + 1, NULL, 0, 0, 0);
	stops(EINVAL, v, TYPE + 1, e, 12, 1, 0);
	stops(EINVAL, v, TYPE, NULL, 12, 1, 0);
	stops(EINVAL, v, TYPE, e, PAGE + 1, 1, 0);
	stops(EINVAL, v, TYPE, e, 12, (1u << 19) + 1, 0);
	stops(0, v, TYPE, e, sizeof(e[0]), 2, 2); /* longer ones with zeros behind */
	EXPECT_OK(check_cache(fd, m.dev, 1, 0));
	EXPECT_OK(check_cache(fd, m.dev, 2, 0));
	e[0].e.cache_id = 3;
	e[1].tail = 1;
	stops(E2BIG, v, TYPE, e, sizeof(e[0]), 2, 0); /* all are read before the first is done */
	EXPECT_OK(check_cache(fd, m.dev, 3, CACHE));
	stops(0, v, TYPE, e, 8, 1, 1); /* a short one has zeros behind */
	EXPECT_OK(check_cache(fd, m.dev, 0, 0));
	p = ram(2 * PAGE);
	EXPECT_OK(mprotect(p + PAGE, PAGE, PROT_NONE));
	memcpy(p + PAGE - 12, &e[0], 12);
	stops(EFAULT, v, TYPE, p + PAGE - 12, 12, 2, 0);
	EXPECT_OK(check_cache(fd, m.dev, 3, CACHE));
}

/* What is made by a request that cannot be answered is gone: the id is free and nothing is held */
static void not_answered(unsigned long cmd, const void *arg, size_t size, uint32_t free_id)
{
	char *p = ram(PAGE);

	memcpy(p, arg, size);
	EXPECT_OK(mprotect(p, PAGE, PROT_READ));
	EXPECT_ERR(EFAULT, x_ioctl(fd, cmd, p));
	EXPECT_EQ(free_id, next_id(fd));
}

TEST(rollback, "30:IFD-172 30:IFD-173 30:IFD-175 30:IFD-178", "an answer that cannot be written undoes the request")
{
	struct iommu_viommu_alloc a = { .size = sizeof(a), .type = IOMMU_VIOMMU_TYPE_SELFTEST };
	struct iommu_vdevice_alloc d = { .size = sizeof(d) };
	struct iommu_veventq_alloc e = { .size = sizeof(e), .type = IOMMU_VEVENTQ_TYPE_SELFTEST, .veventq_depth = 1 };
	struct iommu_hw_queue_alloc q = { .size = sizeof(q), .type = IOMMU_HW_QUEUE_TYPE_SELFTEST, .length = PAGE,
					  .nesting_parent_iova = MOCK_APERTURE_START };
	uint32_t v, free_id;

	begin();
	a.dev_id = d.dev_id = m.dev;
	a.hwpt_id = parent;
	v = d.viommu_id = e.viommu_id = q.viommu_id = viommu(fd, m.dev, parent);
	EXPECT_OK(ioas_map_at(fd, ioas, ram(PAGE), PAGE, MOCK_APERTURE_START));
	free_id = next_id(fd);
	not_answered(IOMMU_VIOMMU_ALLOC, &a, sizeof(a), free_id);
	not_answered(IOMMU_VDEVICE_ALLOC, &d, sizeof(d), free_id);
	not_answered(IOMMU_VEVENTQ_ALLOC, &e, sizeof(e), free_id);
	not_answered(IOMMU_HW_QUEUE_ALLOC, &q, sizeof(q), free_id);
	EXPECT_OK(ioas_unmap_n(fd, ioas, MOCK_APERTURE_START, PAGE));
	EXPECT_OK(x_ioctl(fd, IOMMU_VDEVICE_ALLOC, &d));
	EXPECT_EQ(free_id, d.out_vdevice_id);
	EXPECT_OK(destroy(fd, free_id));
	EXPECT_OK(destroy(fd, v));
	EXPECT_OK(destroy(fd, parent));
}

TEST(all_at_once, "30:IFD-174 30:IFD-178 30:IFD-150", "closing a context takes all that stands on another down in order, pins too")
{
	uint32_t v, id;
	struct queue q;
	char *p;

	begin();
	p = ram(PAGE);
	EXPECT_OK(ioas_map_at(fd, ioas, p, PAGE, MOCK_APERTURE_START));
	v = viommu(fd, m.dev, parent);
	vdevice(fd, v, m.dev, 1);
	EXPECT_OK(hw_queue_alloc(fd, v, 0, MOCK_APERTURE_START, PAGE, &id));
	EXPECT_OK(hw_queue_alloc(fd, v, 1, MOCK_APERTURE_START, PAGE, &id));
	EXPECT_OK(x_close(veventq(fd, v, 1).fd));
	q = fault_queue(fd);
	EXPECT_OK(mock_replace_id(fd, m.stdev, nested(fd, m.dev, v, 0, q.id)));
	EXPECT_OK(trigger_iopf(fd, m.dev, 0, 1, 0));
	EXPECT_OK(trigger_vevent(fd, m.dev));
	EXPECT_OK(x_close(q.fd));
	EXPECT_OK(x_close(fd));
	fd = iommu_open();
	EXPECT_OK(check_refs(fd, p, PAGE, 0));
}
