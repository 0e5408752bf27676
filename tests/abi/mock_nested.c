/* SPDX-License-Identifier: MIT */
/* HWPTs nested in another, and what invalidates them. */
#include "cdev.h"
#include "nested.h"

#define IOTLB IOMMU_TEST_IOTLB_DEFAULT
#define TYPE  IOMMU_HWPT_INVALIDATE_DATA_SELFTEST

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

static int alloc(uint32_t pt, uint32_t flags, uint32_t type, const void *data, uint32_t length)
{
	uint32_t id = 0;
	int rc = hwpt_alloc_data(fd, m.dev, pt, flags, 0, type, data, length, &id);

	return rc ? rc : (int)id;
}

TEST(parents, "30:IFD-153 30:IFD-151 31:TST-35", "a nested HWPT stands on a nest parent that a program made, and holds it")
{
	struct iommu_hwpt_selftest data = { .iotlb = IOTLB };
	uint32_t id, plain, other, none;

	begin();
	plain = paging(fd, m.dev, ioas, 0, 0);
	EXPECT_ERR(EINVAL, nested_alloc(fd, m.dev, m.hwpt, 0, 0, &none));
	EXPECT_ERR(EINVAL, nested_alloc(fd, m.dev, plain, 0, 0, &none));
	EXPECT_ERR(EINVAL, nested_alloc(fd, m.dev, 99, 0, 0, &none));
	EXPECT_ERR(EINVAL, nested_alloc(fd, m.dev, m.dev, 0, 0, &none));
	EXPECT_ERR(EINVAL, nested_alloc(fd, m.dev, m.stdev, 0, 0, &none));
	EXPECT_ERR(ENOENT, nested_alloc(fd, 99, parent, 0, 0, &none));
	EXPECT_ERR(ENOENT, nested_alloc(fd, m.stdev, parent, 0, 0, &none));
	id = nested(fd, m.dev, parent, 0, 0);
	EXPECT_ERR(EINVAL, nested_alloc(fd, m.dev, id, 0, 0, &none));
	EXPECT_ERR(EINVAL, hwpt_alloc(fd, m.dev, id, 0, &none));
	EXPECT_ERR(EBUSY, destroy(fd, parent));
	other = nested(fd, m.dev, parent, 0, 0);
	EXPECT_OK(destroy(fd, id));
	EXPECT_ERR(EBUSY, destroy(fd, parent));
	EXPECT_OK(destroy(fd, other));
	EXPECT_OK(destroy(fd, parent));
	EXPECT_ERR(EINVAL, hwpt_alloc_data(fd, m.dev, parent, 0, 0, IOMMU_HWPT_DATA_SELFTEST, &data, 4, &none));
}

TEST(data, "31:TST-35 30:IFD-152 31:TST-22", "what makes a nested HWPT: type, length, pointer and flags")
{
	struct { struct iommu_hwpt_selftest d; uint32_t more; } data = { .d = { .iotlb = 0x1234 } };
	const uint32_t type = IOMMU_HWPT_DATA_SELFTEST;
	uint32_t id;

	begin();
	EXPECT_ERR(EINVAL, alloc(parent, 0, IOMMU_HWPT_DATA_NONE, &data, 4));
	EXPECT_ERR(EOPNOTSUPP, alloc(parent, 0, IOMMU_HWPT_DATA_NONE, NULL, 0));
	EXPECT_ERR(EINVAL, alloc(parent, 0, type, &data, 0));
	EXPECT_ERR(EOPNOTSUPP, alloc(parent, 0, IOMMU_HWPT_DATA_VTD_S1, &data, 4));
	EXPECT_ERR(EOPNOTSUPP, alloc(parent, 0, IOMMU_HWPT_DATA_VTD_S1, &data, 24));
	EXPECT_ERR(EOPNOTSUPP, alloc(parent, 0, 99, NULL, 4));
	EXPECT_ERR(EINVAL, alloc(parent, 0, type, &data, 3));
	EXPECT_ERR(EINVAL, alloc(parent, 0, type, &data, 9));
	EXPECT_ERR(EINVAL, alloc(parent, 0, type, &data, 12));
	EXPECT_ERR(EINVAL, alloc(parent, 0, type, NULL, 12));
	EXPECT_ERR(EFAULT, alloc(parent, 0, type, NULL, 4));
	EXPECT_ERR(EFAULT, alloc(parent, 0, type, (void *)8, 8));
	EXPECT_ERR(EOPNOTSUPP, alloc(parent, PARENT, type, &data, 4));
	EXPECT_ERR(EOPNOTSUPP, alloc(parent, IOMMU_HWPT_ALLOC_DIRTY_TRACKING, type, &data, 4));
	EXPECT_ERR(EOPNOTSUPP, alloc(parent, 1u << 4, type, &data, 4));
	EXPECT_ERR(EOPNOTSUPP, alloc(parent, PARENT, type, NULL, 12)); /* flags before data, */
	EXPECT_ERR(EINVAL, alloc(m.hwpt, 0, 99, NULL, 12));            /* as is the parent, */
	EXPECT_ERR(EOPNOTSUPP, alloc(m.hwpt, PARENT, type, &data, 4)); /* and flags before it */
	id = (uint32_t)EXPECT_OK(alloc(parent, 0, type, &data, 8));
	EXPECT_OK(check_iotlb(fd, id, 0, 0x1234));
	id = (uint32_t)EXPECT_OK(alloc(parent, FOR_PASID, type, &data, 4));
	EXPECT_OK(check_iotlb(fd, id, 3, 0x1234));
	data.d.pagetable_type = 99; /* nothing looks at it here */
	EXPECT_OK(alloc(parent, 0, type, &data, 5));
	EXPECT_OK(alloc(parent, 0, type, &data, 8));
}

TEST(reserved_field, "31:TST-35", "the reserved field of HWPT_ALLOC is looked at before anything else, the second one never")
{
	const struct iommu_hwpt_selftest data = { .iotlb = IOTLB };
	struct iommu_hwpt_alloc a = { .size = sizeof(a), .dev_id = 99, .pt_id = 99, .__reserved = 1, .data_len = 4 };

	begin();
	EXPECT_ERR(EOPNOTSUPP, x_ioctl(fd, IOMMU_HWPT_ALLOC, &a));
	a.__reserved = 0;
	EXPECT_ERR(EINVAL, x_ioctl(fd, IOMMU_HWPT_ALLOC, &a));
	a.data_type = IOMMU_HWPT_DATA_SELFTEST;
	EXPECT_ERR(ENOENT, x_ioctl(fd, IOMMU_HWPT_ALLOC, &a));
	a.dev_id = m.dev;
	EXPECT_ERR(EINVAL, x_ioctl(fd, IOMMU_HWPT_ALLOC, &a));
	a.pt_id = parent;
	a.data_uptr = (uintptr_t)&data;
	a.__reserved2 = 1;
	EXPECT_OK(x_ioctl(fd, IOMMU_HWPT_ALLOC, &a));
	a.__reserved2 = 0;
	a.fault_id = 99; /* without the flag it is not looked at */
	EXPECT_OK(x_ioctl(fd, IOMMU_HWPT_ALLOC, &a));
}

TEST(bad_fault, "30:IFD-154", "a fault queue that is none leaves no HWPT behind")
{
	uint32_t none = 0, free_id;

	begin();
	free_id = next_id(fd);
	EXPECT_ERR(ENOENT, nested_alloc(fd, m.dev, parent, 0, 99, &none));
	EXPECT_ERR(ENOENT, nested_alloc(fd, m.dev, parent, 0, ioas, &none));
	EXPECT_ERR(ENOENT, hwpt_alloc_data(fd, m.dev, parent, FAULTING, 0, IOMMU_HWPT_DATA_SELFTEST, "none", 4, &none));
	EXPECT_ERR(ENOENT, hwpt_alloc_data(fd, m.dev, ioas, FAULTING, 99, IOMMU_HWPT_DATA_NONE, NULL, 0, &none));
	EXPECT_EQ(free_id, next_id(fd));
	EXPECT_OK(destroy(fd, parent)); /* nobody holds it */
	EXPECT_OK(destroy(fd, m.stdev));
	EXPECT_OK(destroy(fd, ioas));
}

TEST(iotlb, "31:TST-22 31:TST-36", "entries begin as they were asked for; one or all are cleared")
{
	struct iommu_hwpt_invalidate_selftest one[2] = { { 0, 1 }, { 0, 3 } }, all = { IOMMU_TEST_INVALIDATE_FLAG_ALL, 0 };
	uint32_t id, other, num = 1;

	begin();
	id = nested(fd, m.dev, parent, 0, 0);
	other = nested(fd, m.dev, parent, 0, 0);
	for (uint32_t i = 0; i < MOCK_IOTLBS; i++)
		EXPECT_OK(check_iotlb(fd, id, i, IOTLB));
	EXPECT_ERR(EINVAL, check_iotlb(fd, id, MOCK_IOTLBS, IOTLB));
	EXPECT_ERR(EINVAL, check_iotlb(fd, id, 0, IOTLB + 1));
	EXPECT_ERR(ENOENT, check_iotlb(fd, parent, 0, IOTLB));
	EXPECT_ERR(ENOENT, check_iotlb(fd, 99, 0, IOTLB));
	EXPECT_OK(invalidate(fd, id, TYPE, one, sizeof(one[0]), &num));
	EXPECT_EQ(1, num);
	EXPECT_OK(check_iotlb(fd, id, 0, IOTLB));
	EXPECT_OK(check_iotlb(fd, id, 1, 0));
	EXPECT_OK(check_iotlb(fd, id, 3, IOTLB));
	num = 2;
	EXPECT_OK(invalidate(fd, id, TYPE, one, sizeof(one[0]), &num));
	EXPECT_EQ(2, num);
	EXPECT_OK(check_iotlb(fd, id, 3, 0));
	EXPECT_OK(check_iotlb(fd, id, 2, IOTLB));
	num = 1;
	EXPECT_OK(invalidate(fd, id, TYPE, &all, sizeof(all), &num));
	for (uint32_t i = 0; i < MOCK_IOTLBS; i++) {
		EXPECT_OK(check_iotlb(fd, id, i, 0));
		EXPECT_OK(check_iotlb(fd, other, i, IOTLB));
	}
}

TEST(entries, "31:TST-36 30:IFD-158", "invalidation stops at the first bad entry and says how many were done")
{
	struct iommu_hwpt_invalidate_selftest e[4] = { { 0, 0 }, { 2, 1 }, { 0, 2 }, { 0, 3 } };
	uint32_t id, num = 4;

	begin();
	id = nested(fd, m.dev, parent, 0, 0);
	EXPECT_ERR(EOPNOTSUPP, invalidate(fd, id, TYPE, e, sizeof(e[0]), &num));
	EXPECT_EQ(1, num);
	EXPECT_OK(check_iotlb(fd, id, 0, 0));
	EXPECT_OK(check_iotlb(fd, id, 1, IOTLB));
	EXPECT_OK(check_iotlb(fd, id, 2, IOTLB));
	e[1] = (struct iommu_hwpt_invalidate_selftest){ 0, MOCK_IOTLBS };
	e[0] = (struct iommu_hwpt_invalidate_selftest){ 0, 3 };
	num = 4;
	EXPECT_ERR(EINVAL, invalidate(fd, id, TYPE, e, sizeof(e[0]), &num));
	EXPECT_EQ(1, num);
	EXPECT_OK(check_iotlb(fd, id, 3, 0));
	e[0] = (struct iommu_hwpt_invalidate_selftest){ IOMMU_TEST_INVALIDATE_FLAG_ALL, MOCK_IOTLBS };
	num = 1; /* the id is checked though it is not used */
	EXPECT_ERR(EINVAL, invalidate(fd, id, TYPE, e, sizeof(e[0]), &num));
	EXPECT_EQ(0, num);
	e[0] = (struct iommu_hwpt_invalidate_selftest){ 2, MOCK_IOTLBS };
	num = 1;
	EXPECT_ERR(EOPNOTSUPP, invalidate(fd, id, TYPE, e, sizeof(e[0]), &num));
	EXPECT_OK(check_iotlb(fd, id, 1, IOTLB));
}

TEST(entries_unreadable, "30:IFD-158", "entries behind the end of memory: those before it are done")
{
	const struct iommu_hwpt_invalidate_selftest good[2] = { { 0, 0 }, { 0, 1 } };
	uint32_t id, num = 3;
	char *p;

	begin();
	id = nested(fd, m.dev, parent, 0, 0);
	p = ram(2 * PAGE);
	EXPECT_OK(mprotect(p + PAGE, PAGE, PROT_NONE));
	memcpy(p + PAGE - sizeof(good), good, sizeof(good));
	EXPECT_ERR(EFAULT, invalidate(fd, id, TYPE, p + PAGE - sizeof(good), sizeof(good[0]), &num));
	EXPECT_EQ(2, num);
	EXPECT_OK(check_iotlb(fd, id, 0, 0));
	EXPECT_OK(check_iotlb(fd, id, 1, 0));
	EXPECT_OK(check_iotlb(fd, id, 2, IOTLB));
	num = 1;
	EXPECT_ERR(EFAULT, invalidate(fd, id, TYPE, (void *)8, 8, &num));
	EXPECT_EQ(0, num);
}

/* Wants @err with no entry done */
static void refused(int err, uint32_t id, uint32_t type, const void *entries, uint32_t length, uint32_t num)
{
	uint32_t n = num;
	int rc = invalidate(fd, id, type, entries, length, &n);

	if (rc != -1 || errno != err || n != 0)
		test_fail(__FILE__, __LINE__, "invalidate %u, type 0x%x, %u of %u bytes: wanted %s, got %d %s, %u done", id, type, num,
			  length, strerrorname_np(err), rc, rc ? strerrorname_np(errno) : "", n);
}

TEST(lengths, "31:TST-36 30:IFD-159", "lengths and numbers are checked before the id; an entry has its own length")
{
	struct { struct iommu_hwpt_invalidate_selftest e; uint32_t tail[2]; } e = { .e = { 0, 2 } };
	uint32_t id;

	begin();
	id = nested(fd, m.dev, parent, 0, 0);
	refused(EINVAL, 99, TYPE, NULL, 8, 1);
	refused(EINVAL, 99, TYPE, &e, 0, 1);
	refused(EINVAL, 99, TYPE, &e, PAGE + 1, 1);
	refused(EINVAL, 99, TYPE, &e, 8, (1u << 19) + 1);
	refused(ENOENT, 99, TYPE, &e, PAGE, 1);
	refused(ENOENT, 99, TYPE, &e, 8, 1u << 19);
	refused(EINVAL, id, TYPE, NULL, 8, 1);
	refused(EINVAL, id, TYPE, &e, PAGE + 1, 1);
	refused(EINVAL, id, TYPE, &e, 8, (1u << 19) + 1);
	refused(EINVAL, id, TYPE, &e, 7, 1);
	refused(EINVAL, id, TYPE, &e, 4, 1);
	refused(EINVAL, id, TYPE, &e, 9, 1);
	refused(EINVAL, id, TYPE, &e, 16, 1);
	e.tail[1] = 1;
	refused(EINVAL, id, TYPE, &e, 16, 1);
	refused(EINVAL, id, TYPE + 1, &e, 8, 1);
	refused(EINVAL, id, IOMMU_HWPT_INVALIDATE_DATA_VTD_S1, &e, 8, 1);
	EXPECT_OK(check_iotlb(fd, id, 2, IOTLB));
}

TEST(probe, "31:TST-36 30:IFD-157", "no entries: a question about the type")
{
	struct iommu_hwpt_invalidate a = { .size = sizeof(a), .data_type = TYPE, .__reserved = 1 };
	uint32_t id, num = 0;

	begin();
	id = a.hwpt_id = nested(fd, m.dev, parent, 0, 0);
	EXPECT_OK(invalidate(fd, id, TYPE, NULL, 0, &num));
	EXPECT_OK(invalidate(fd, id, TYPE, (void *)8, PAGE + 1, &num));
	EXPECT_EQ(0, num);
	refused(EINVAL, id, TYPE + 1, NULL, 0, 0);
	refused(ENOENT, 99, TYPE, NULL, 0, 0);
	refused(EINVAL, ioas, TYPE, NULL, 0, 0);
	refused(EINVAL, parent, TYPE, NULL, 0, 0);
	refused(EINVAL, m.hwpt, TYPE, "8 bytes.", 8, 1);
	refused(EINVAL, m.dev, TYPE, "8 bytes.", 8, 1);
	a.entry_num = 7;
	EXPECT_ERR(EOPNOTSUPP, x_ioctl(fd, IOMMU_HWPT_INVALIDATE, &a));
	EXPECT_EQ(0, a.entry_num);
}

TEST(attached, "30:IFD-153 31:TST-22", "a device is replaced to a nested HWPT and back; what is nested in an IOAS stays its HWPT")
{
	uint32_t id, pt, none;
	struct mock other;
	char *p;

	begin();
	p = ram(PAGE);
	EXPECT_OK(ioas_map_at(fd, ioas, p, PAGE, MOCK_APERTURE_START));
	pt = id = nested(fd, m.dev, parent, 0, 0);
	EXPECT_OK(mock_replace(fd, m.stdev, &pt));
	EXPECT_EQ(id, pt);
	EXPECT_ERR(ENOENT, destroy(fd, m.hwpt)); /* the automatic one is gone */
	EXPECT_ERR(EBUSY, destroy(fd, id));
	EXPECT_ERR(EBUSY, destroy(fd, parent));
	EXPECT_OK(mock_replace_id(fd, m.stdev, id));
	EXPECT_OK(check_map(fd, parent, MOCK_APERTURE_START, PAGE, p));
	EXPECT_ERR(ENOENT, check_map(fd, id, MOCK_APERTURE_START, PAGE, p));
	EXPECT_ERR(EBUSY, destroy(fd, ioas));
	other = mock(fd, id, 0); /* another group's device, straight to it */
	EXPECT_EQ(id, other.hwpt);
	EXPECT_OK(destroy(fd, other.stdev));
	EXPECT_OK(mock_replace_id(fd, m.stdev, parent));
	EXPECT_OK(destroy(fd, id));
	EXPECT_ERR(EINVAL, nested_alloc(fd, m.dev, m.hwpt, 0, 0, &none));
	pt = ioas;
	EXPECT_OK(mock_replace(fd, m.stdev, &pt));
	EXPECT(pt != parent);
	EXPECT_OK(destroy(fd, parent));
}

TEST(dirty, "30:IFD-160", "a nested HWPT has no dirty tracking of its own")
{
	struct iommu_hwpt_set_dirty_tracking s = { .size = sizeof(s), .flags = IOMMU_HWPT_DIRTY_TRACKING_ENABLE };
	uint32_t tracking;

	begin();
	tracking = paging(fd, m.dev, ioas, PARENT | IOMMU_HWPT_ALLOC_DIRTY_TRACKING, 0);
	s.hwpt_id = nested(fd, m.dev, tracking, 0, 0);
	EXPECT_ERR(ENOENT, x_ioctl(fd, IOMMU_HWPT_SET_DIRTY_TRACKING, &s));
	s.hwpt_id = tracking;
	EXPECT_OK(x_ioctl(fd, IOMMU_HWPT_SET_DIRTY_TRACKING, &s));
}

TEST(paging_flags, "30:IFD-151 30:IFD-152 30:IFD-154", "flags and data of paging HWPTs, and the ids they are made of")
{
	struct queue q;
	uint32_t none;

	begin();
	EXPECT_ERR(ENOENT, hwpt_alloc(fd, 99, ioas, 0, &none));
	EXPECT_ERR(ENOENT, hwpt_alloc(fd, m.hwpt, ioas, 0, &none));
	EXPECT_ERR(EINVAL, hwpt_alloc(fd, m.dev, 99, 0, &none));
	EXPECT_ERR(EINVAL, hwpt_alloc(fd, m.dev, 0, 0, &none));
	EXPECT_ERR(EINVAL, hwpt_alloc(fd, m.dev, m.dev, 0, &none));
	EXPECT_ERR(EOPNOTSUPP, hwpt_alloc(fd, m.dev, parent, 0, &none));
	EXPECT_ERR(EINVAL, alloc(ioas, 0, IOMMU_HWPT_DATA_NONE, NULL, 4));
	EXPECT_ERR(EOPNOTSUPP, hwpt_alloc(fd, m.dev, ioas, 1u << 4, &none));
	EXPECT_ERR(EOPNOTSUPP, hwpt_alloc(fd, m.dev, ioas, 1u << 31, &none));
	EXPECT_ERR(EOPNOTSUPP, hwpt_alloc(fd, m.dev, ioas, PARENT | FAULTING, &none));
	q = fault_queue(fd);
	EXPECT_ERR(EOPNOTSUPP, hwpt_alloc_data(fd, m.dev, ioas, PARENT | FAULTING, q.id, 0, NULL, 0, &none));
	EXPECT_OK(hwpt_alloc_data(fd, m.dev, ioas, FAULTING, q.id, 0, NULL, 0, &none));
	EXPECT_OK(hwpt_alloc(fd, m.dev, ioas, PARENT | FOR_PASID | IOMMU_HWPT_ALLOC_DIRTY_TRACKING, &none));
	EXPECT_OK(x_close(q.fd));
}

TEST(foreign, "30:IFD-153 30:IFD-172 30:IFD-173 30:IFD-137", "what one kind of IOMMU made is not for the devices of another")
{
	uint32_t edu_id, v, hwpt, none;
	int edu;

	begin();
	edu = cdev_take(EDU);
	EXPECT_OK(cdev_bind_flags(edu, fd, sizeof(struct vfio_device_bind_iommufd), 0, &edu_id));
	v = viommu(fd, m.dev, parent);
	hwpt = nested(fd, m.dev, v, 0, 0);
	EXPECT_ERR(EINVAL, vdevice_alloc(fd, v, edu_id, 1, &none));
	EXPECT_ERR(EINVAL, nested_alloc(fd, edu_id, v, 0, 0, &none));
	EXPECT_ERR(EINVAL, nested_alloc(fd, edu_id, parent, 0, 0, &none));
	EXPECT_ERR(EOPNOTSUPP, viommu_alloc_data(fd, edu_id, parent, IOMMU_VIOMMU_TYPE_SELFTEST, NULL, 0, &none));
	EXPECT_ERR(EINVAL, cdev_attach_to(edu, parent));
	EXPECT_ERR(EINVAL, cdev_attach_to(edu, hwpt));
	EXPECT_OK(x_close(edu));
}
