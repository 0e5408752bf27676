/* SPDX-License-Identifier: MIT */
/*
 * Attaching devices to address spaces: what they reach then, what it narrows and what stands against it, which devices share a
 * page table, how a group moves as one, and what is there after each that failed.
 */
#include "iommufd_lab.h"

static void IFD_120_IFD_139_bound_and_detached_means_blocked(void **state)
{
	struct iommu_dev *d = lab_alone("a", &unit_strong);
	struct iommufd_device *idev = lab_bind(d);
	uint32_t ioas = lab_ioas();
	int rc;

	assert_false(lab_reaches(d, 0x1000));
	assert_int_equal(lab_map(ioas, VA_SHARED, 0x1000, PAGE), 0);
	assert_int_equal(lab_pinned(), 0);
	lab_attach(idev, ioas);
	memcpy(lab.shared + 8, "abcdefgh", 8);
	assert_int_equal(lab_read(d, 0x1008, &rc), 0x6867666564636261);
	assert_int_equal(rc, 0);
	assert_int_equal(lab_write(d, 0x1010, 77), 0);
	assert_int_equal(*(uint64_t *)(lab.shared + 16), 77);
	iommufd_device_detach(idev, IOMMUFD_NO_PASID);
	assert_false(lab_reaches(d, 0x1000));
	assert_int_equal(lab_pinned(), 0);
	iommufd_device_unbind(idev);
	assert_false(iommu_group_claimed(iommu_dev_group(d)));
	iommu_dev_destroy(d);
}

static void IFD_029_IFD_030_attaching_narrows(void **state)
{
	struct iommu_dev *d = lab_alone("a", &unit_narrow);
	struct iommufd_device *idev = lab_bind(d);
	uint32_t ioas = lab_ioas();
	struct iommu_iova_range r[8];
	uint64_t align;

	lab_attach(idev, ioas);
	assert_int_equal(lab_ranges(ioas, r, &align), 2);
	assert_int_equal(align, PAGE);
	assert_int_equal(r[0].start, 0);
	assert_int_equal(r[0].last, 0xfedfffff);
	assert_int_equal(r[1].start, 0xfef00000);
	assert_int_equal(r[1].last, (1ull << 39) - 1);
	assert_int_equal(lab_map(ioas, VA_SHARED, 0xfee00000, PAGE), -EINVAL);
	assert_int_equal(lab_map(ioas, VA_SHARED, 1ull << 39, PAGE), -EINVAL);
	iommufd_device_detach(idev, IOMMUFD_NO_PASID);
	assert_int_equal(lab_ranges(ioas, r, &align), 1);
	assert_int_equal(r[0].last, UINT64_MAX);
	assert_int_equal(align, 1);
	iommufd_device_unbind(idev);
	iommu_dev_destroy(d);
}

static void IFD_038_IFD_054_IFD_143_IFD_144_what_is_there_may_stand_against_it(void **state)
{
	const struct iommu_iova_range msi = { 0xfee00000, 0xfee0ffff };
	struct iommu_ioas_allow_iovas l = { .size = sizeof(l), .num_iovas = 1, .allowed_iovas = (uintptr_t)&msi };
	struct iommu_dev *d = lab_alone("a", &unit_narrow);
	struct iommufd_device *idev = lab_bind(d);
	uint32_t ioas = lab_ioas();

	assert_int_equal(lab_map(ioas, VA_SHARED, 0xfee00000, PAGE), 0);
	assert_int_equal(lab_attach_fails(idev, ioas), -EADDRINUSE);
	assert_int_equal(lab_unmap(ioas, 0xfee00000, PAGE), 0);
	assert_int_equal(lab_map(ioas, VA_SHARED, 1ull << 40, PAGE), 0);
	assert_int_equal(lab_attach_fails(idev, ioas), -EADDRINUSE);
	assert_int_equal(lab_unmap(ioas, 1ull << 40, PAGE), 0);
	assert_int_equal(lab_map(ioas, VA_SHARED + 1, 0x1000, 1), 0);
	assert_int_equal(lab_attach_fails(idev, ioas), -EADDRINUSE);
	assert_int_equal(lab_unmap(ioas, 0x1000, 1), 0);
	l.ioas_id = ioas;
	assert_int_equal(lab_ioctl(IOMMU_IOAS_ALLOW_IOVAS, &l), 0);
	assert_int_equal(lab_attach_fails(idev, ioas), -EADDRINUSE);
	l.num_iovas = 0;
	assert_int_equal(lab_ioctl(IOMMU_IOAS_ALLOW_IOVAS, &l), 0);
	lab_attach(idev, ioas);
	l.num_iovas = 1;
	assert_int_equal(lab_ioctl(IOMMU_IOAS_ALLOW_IOVAS, &l), -EADDRINUSE);
	assert_int_equal(lab_map(ioas, VA_SHARED, 0x1000, 1), -EINVAL);
	assert_int_equal(lab_map(ioas, VA_SHARED + 1, 0x1000, PAGE), -EINVAL);
	lab_unbind(idev);
	iommu_dev_destroy(d);
}

static void IFD_135_IFD_145_suitable_devices_share(void **state)
{
	struct iommu_dev *a = lab_alone("a", &unit_strong), *b = lab_alone("b", &unit_strong),
			 *c = lab_alone("c", &unit_weak);
	struct iommufd_device *ia = lab_bind(a), *ib = lab_bind(b), *ic = lab_bind(c);
	uint32_t ioas = lab_ioas(), hwpt = lab_attach(ia, ioas), weak;

	assert_int_equal(lab_map(ioas, VA_PRIVATE, 0x200000, 4 * PAGE), 0);
	assert_int_equal(lab_pinned(), 4);
	assert_int_equal(lab_attach(ib, ioas), hwpt);
	weak = lab_attach(ic, ioas);
	assert_int_not_equal(weak, hwpt);
	assert_int_equal(lab_pinned(), 4);
	assert_true(lab_reaches(a, 0x200000) && lab_reaches(b, 0x201000) && lab_reaches(c, 0x203000));
	iommufd_device_detach(ia, IOMMUFD_NO_PASID);
	assert_true(lab_reaches(b, 0x200000));
	iommufd_device_detach(ib, IOMMUFD_NO_PASID);
	assert_int_equal(lab_destroy(hwpt), -ENOENT);
	/* The weak one suits all. */
	assert_int_equal(lab_attach(ia, ioas), weak);
	assert_int_equal(lab_unmap(ioas, 0x200000, 4 * PAGE), 0);
	assert_false(lab_reaches(a, 0x200000) || lab_reaches(c, 0x200000));
	lab_unbind(ia);
	lab_unbind(ib);
	lab_unbind(ic);
	iommu_dev_destroy(a);
	iommu_dev_destroy(b);
	iommu_dev_destroy(c);
}

static void IFD_136_what_cannot_be_attached_to(void **state)
{
	struct iommu_dev *d = lab_alone("a", &unit_strong);
	struct iommufd_device *idev = lab_bind(d);

	assert_int_equal(lab_attach_fails(idev, 99), -ENOENT);
	assert_int_equal(lab_attach_fails(idev, 0), -ENOENT);
	assert_int_equal(lab_attach_fails(idev, iommufd_device_id(idev)), -EINVAL);
	iommufd_device_detach(idev, IOMMUFD_NO_PASID);
	iommufd_device_unbind(idev);
	iommu_dev_destroy(d);
}

static void IFD_056_IFD_058_IFD_059_memory_that_cannot_be_pinned(void **state)
{
	static const struct file_ops bar_ops = { .name = "bar" };
	struct iommu_dev *d = lab_alone("a", &unit_strong);
	struct iommufd_device *idev = lab_bind(d);
	uint32_t ioas = lab_ioas();
	struct file *bar;

	assert_int_equal(file_create(NULL, &bar_ops, NULL, O_RDWR, S_IFCHR, &bar), 0);
	fake_add_bar(&lab.mm, VA_BAR, MIB, bar, 0);
	assert_int_equal(lab_map(ioas, VA_SHARED, 0x10000, PAGE), 0);
	assert_int_equal(lab_map(ioas, VA_NOTHING, 0x20000, PAGE), 0);
	assert_int_equal(lab_attach_fails(idev, ioas), -EFAULT);
	assert_int_equal(lab_pinned(), 0);
	assert_false(iommufd_device_attached(idev, IOMMUFD_NO_PASID));
	assert_int_equal(lab_unmap(ioas, 0x20000, PAGE), 0);
	lab_attach(idev, ioas);
	assert_int_equal(lab_pinned(), 1);
	assert_int_equal(lab_map(ioas, VA_NOTHING, 0x20000, PAGE), -EFAULT);
	/* the second half is not there */
	assert_int_equal(lab_map(ioas, VA_SHARED + 4 * MIB - PAGE, 0x20000, 2 * PAGE), -EFAULT);
	assert_int_equal(lab_map(ioas, VA_CONST, 0x20000, PAGE), -EFAULT);
	assert_int_equal(lab_map(ioas, VA_BAR, 0x20000, PAGE), -EFAULT);
	assert_int_equal(lab_pinned(), 1);
	assert_int_equal(lab_map_flags(ioas, VA_CONST, 0x20000, PAGE, IOMMU_IOAS_MAP_READABLE), 0);
	lab_unbind(idev);
	iommu_dev_destroy(d);
	file_put(bar);
}

static void IFD_060_read_only_means_it(void **state)
{
	struct iommu_dev *d = lab_alone("a", &unit_strong);
	struct iommufd_device *idev = lab_bind(d);
	uint32_t ioas = lab_ioas();

	lab_attach(idev, ioas);
	assert_int_equal(lab_map_flags(ioas, VA_SHARED, 0x1000, PAGE, IOMMU_IOAS_MAP_READABLE), 0);
	assert_true(lab_reaches(d, 0x1000));
	assert_int_equal(lab_write(d, 0x1000, 5), -EFAULT);
	assert_int_equal(*(uint64_t *)lab.shared, 0);
	lab_unbind(idev);
	iommu_dev_destroy(d);
}

static void IFD_140_IFD_141_IFD_142_a_group_moves_as_one(void **state)
{
	struct iommu_group *g = lab_group();
	struct iommu_dev *a = lab_dev("a", &unit_strong, g), *b = lab_dev("b", &unit_strong, g);
	struct iommufd_device *ia = lab_bind(a), *ib = lab_bind(b);
	uint32_t one = lab_ioas(), two = lab_ioas(), first, pt;

	assert_int_equal(lab_map(one, VA_SHARED, 0x1000, PAGE), 0);
	assert_int_equal(lab_map(two, VA_PRIVATE, 0x2000, PAGE), 0);
	first = lab_attach(ia, one);
	assert_true(lab_reaches(b, 0x1000)); /* the hardware knows groups only */
	assert_int_equal(lab_attach_fails(ib, two), -EINVAL);
	assert_int_equal(lab_attach_fails(ia, one), -EBUSY);
	pt = one;
	assert_int_equal(iommufd_device_replace(ib, IOMMUFD_NO_PASID, &pt), -EINVAL);
	assert_int_equal(lab_attach(ib, one), first);
	pt = two;
	assert_int_equal(iommufd_device_replace(ib, IOMMUFD_NO_PASID, &pt), 0);
	assert_int_equal(lab_destroy(first), -ENOENT);
	assert_false(lab_reaches(a, 0x1000));
	assert_true(lab_reaches(a, 0x2000) && lab_reaches(b, 0x2000));
	assert_int_equal(lab_destroy(one), 0);
	first = pt;
	assert_int_equal(iommufd_device_replace(ia, IOMMUFD_NO_PASID, &pt), 0);
	assert_int_equal(pt, first);
	iommufd_device_detach(ia, IOMMUFD_NO_PASID);
	assert_true(lab_reaches(a, 0x2000));
	iommufd_device_detach(ib, IOMMUFD_NO_PASID);
	assert_false(lab_reaches(a, 0x2000));
	iommufd_device_unbind(ia);
	iommufd_device_unbind(ib);
	iommu_dev_destroy(a);
	iommu_dev_destroy(b);
	iommu_group_put(g);
}

static void IFD_137_a_replace_that_fails_changes_nothing(void **state)
{
	struct iommu_dev *d = lab_alone("a", &unit_strong);
	struct iommufd_device *idev = lab_bind(d);
	uint32_t one = lab_ioas(), two = lab_ioas(), pt, hwpt;
	struct iommu_iova_range r[8];
	uint64_t align;

	assert_int_equal(lab_map(one, VA_SHARED, 0x1000, PAGE), 0);
	hwpt = lab_attach(idev, one);
	assert_int_equal(lab_map(two, VA_SHARED, 0xfee01000, PAGE), 0);
	pt = two;
	assert_int_equal(iommufd_device_replace(idev, IOMMUFD_NO_PASID, &pt), -EADDRINUSE);
	assert_int_equal(lab_unmap(two, 0xfee01000, PAGE), 0);
	assert_int_equal(lab_map(two, VA_NOTHING, 0x1000, PAGE), 0);
	assert_int_equal(iommufd_device_replace(idev, IOMMUFD_NO_PASID, &pt), -EFAULT);
	assert_int_equal(pt, two);
	assert_true(lab_reaches(d, 0x1000));
	assert_int_equal(lab_destroy(hwpt), -EBUSY);
	assert_int_equal(lab_ranges(two, r, &align), 1);
	assert_int_equal(lab_ranges(one, r, &align), 2);
	assert_int_equal(lab_unmap(two, 0x1000, PAGE), 0);
	assert_int_equal(iommufd_device_replace(idev, IOMMUFD_NO_PASID, &pt), 0);
	assert_int_equal(lab_ranges(two, r, &align), 2);
	assert_int_equal(lab_ranges(one, r, &align), 1);
	lab_unbind(idev);
	iommu_dev_destroy(d);
}

static void IFD_183_pinned_stays_when_its_process_has_gone(void **state)
{
	struct iommu_dev *d = lab_alone("a", &unit_strong);
	struct iommufd_device *idev = lab_bind(d);
	uint32_t one = lab_ioas(), two = lab_ioas(), pt = one;

	assert_int_equal(lab_map(one, VA_SHARED, 0x1000, PAGE), 0);
	assert_int_equal(lab_map(two, VA_SHARED, 0x1000, PAGE), 0);
	assert_int_equal(iommufd_device_attach(idev, IOMMUFD_NO_PASID, &pt), 0);
	for (unsigned i = 0; i < lab.mm.n; i++)
		lab.mm.area[i].gone = true;
	assert_true(lab_reaches(d, 0x1000));
	pt = two;
	assert_int_equal(iommufd_device_replace(idev, IOMMUFD_NO_PASID, &pt), -EFAULT);
	assert_true(lab_reaches(d, 0x1000));
	lab_unbind(idev);
	iommu_dev_destroy(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(IFD_120_IFD_139_bound_and_detached_means_blocked),
		T(IFD_029_IFD_030_attaching_narrows),
		T(IFD_038_IFD_054_IFD_143_IFD_144_what_is_there_may_stand_against_it),
		T(IFD_135_IFD_145_suitable_devices_share),
		T(IFD_136_what_cannot_be_attached_to),
		T(IFD_056_IFD_058_IFD_059_memory_that_cannot_be_pinned),
		T(IFD_060_read_only_means_it),
		T(IFD_140_IFD_141_IFD_142_a_group_moves_as_one),
		T(IFD_137_a_replace_that_fails_changes_nothing),
		T(IFD_183_pinned_stays_when_its_process_has_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
