/* SPDX-License-Identifier: MIT */
/* Devices: bind, attach, replace, detach; automatic and manual HWPTs. */
#include "iommufd_lab.h"
#include "base/lock.h"

static uint32_t attach(struct iommufd_device *idev, uint32_t pt)
{
	assert_int_equal(iommufd_device_attach(idev, IOMMUFD_NO_PASID, &pt), 0);
	return pt;
}

static int attach_fails(struct iommufd_device *idev, uint32_t pt)
{
	uint32_t was = pt;
	int rc = iommufd_device_attach(idev, IOMMUFD_NO_PASID, &pt);

	assert_int_equal(pt, was);
	assert_int_not_equal(rc, 0);
	return rc;
}

static void IFD_120_IFD_139_bound_and_detached_means_blocked(void **state)
{
	struct iommu_dev *d = lab_alone("a", &unit_strong);
	struct iommufd_device *idev = lab_bind(d);
	uint32_t ioas = lab_ioas();
	int rc;

	assert_false(lab_reaches(d, 0x1000));
	assert_int_equal(lab_map(ioas, VA_SHARED, 0x1000, PAGE), 0);
	assert_int_equal(lab_pinned(), 0);
	attach(idev, ioas);
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

static void IFD_133_hardware_that_is_not_good_enough(void **state)
{
	struct iommu_dev *noisy = lab_alone("a", &unit_open), *bare = lab_dev("b", NULL, NULL),
			 *incoherent = lab_alone("c", &unit_incoherent), *lost = lab_dev("d", &unit_strong, NULL);
	struct iommufd_device *idev;
	uint32_t id;

	assert_int_equal(iommufd_device_bind(lab.ctx, noisy, &idev, &id), -EPERM);
	assert_int_equal(iommufd_device_bind(lab.ctx, bare, &idev, &id), -EINVAL);
	assert_int_equal(iommufd_device_bind(lab.ctx, incoherent, &idev, &id), -EINVAL);
	assert_int_equal(iommufd_device_bind(lab.ctx, lost, &idev, &id), -ENODEV);
	assert_int_equal(lab_ioas(), 1);
	iommu_dev_destroy(noisy);
	iommu_dev_destroy(bare);
	iommu_dev_destroy(incoherent);
	iommu_dev_destroy(lost);
}

static void IFD_121_IFD_122_IFD_123_one_owner_for_a_group(void **state)
{
	struct iommu_group *g = lab_group();
	struct iommu_dev *a = lab_dev("a", &unit_strong, g), *b = lab_dev("b", &unit_strong, g);
	struct file *other = lab_open();
	struct iommufd_ctx *there = iommufd_ctx_from_file(other);
	struct iommufd_device *ia, *ib;
	uint32_t id;

	assert_int_equal(iommu_dev_use_default(b), 0);
	assert_int_equal(iommufd_device_bind(lab.ctx, a, &ia, &id), -EPERM);
	iommu_dev_unuse_default(b);
	ia = lab_bind(a);
	assert_int_equal(iommu_dev_use_default(b), -EBUSY);
	assert_int_equal(iommufd_device_bind(there, b, &ib, &id), -EPERM);
	assert_true(iommufd_ctx_has_group(lab.ctx, g));
	assert_false(iommufd_ctx_has_group(there, g));
	assert_int_equal(iommufd_ctx_device_id(lab.ctx, a), iommufd_device_id(ia));
	assert_int_equal(iommufd_ctx_device_id(lab.ctx, b), 0);
	assert_int_equal(iommufd_ctx_device_id(there, b), -1);
	ib = lab_bind(b);
	iommufd_device_unbind(ia);
	assert_int_equal(iommu_dev_use_default(a), -EBUSY);
	iommufd_device_unbind(ib);
	assert_int_equal(iommu_dev_use_default(a), 0);
	iommu_dev_unuse_default(a);
	iommufd_ctx_put(there);
	file_put(other);
	iommu_dev_destroy(a);
	iommu_dev_destroy(b);
	iommu_group_put(g);
}

static void IFD_019_IFD_020_IFD_022_what_is_in_use_stays(void **state)
{
	struct iommu_dev *d = lab_alone("a", &unit_strong);
	struct iommufd_device *idev = lab_bind(d);
	uint32_t ioas = lab_ioas(), hwpt;

	assert_int_equal(lab_destroy(iommufd_device_id(idev)), -EBUSY);
	hwpt = attach(idev, ioas);
	assert_int_not_equal(hwpt, ioas);
	assert_int_equal(lab_destroy(ioas), -EBUSY);
	assert_int_equal(lab_destroy(hwpt), -EBUSY);
	assert_int_equal(lab_destroy(iommufd_device_id(idev)), -EBUSY);
	iommufd_device_detach(idev, IOMMUFD_NO_PASID);
	assert_int_equal(lab_destroy(hwpt), -ENOENT);
	assert_int_equal(lab_destroy(ioas), 0);
	iommufd_device_unbind(idev);
	iommu_dev_destroy(d);
}

static void IFD_023_a_bound_device_keeps_the_context(void **state)
{
	struct iommu_dev *d = lab_alone("a", &unit_strong);
	struct iommufd_device *idev = lab_bind(d);
	uint32_t ioas = lab_ioas();

	assert_int_equal(lab_map(ioas, VA_SHARED, 0x1000, PAGE), 0);
	attach(idev, ioas);
	iommufd_ctx_put(lab.ctx);
	lab.ctx = NULL;
	file_put(lab.file);
	lab.file = NULL;
	assert_true(lab_reaches(d, 0x1000));
	lab_unbind(idev);
	assert_int_equal(lab_pinned(), 0);
	iommu_dev_destroy(d);
}

static void IFD_029_IFD_030_attaching_narrows(void **state)
{
	struct iommu_dev *d = lab_alone("a", &unit_narrow);
	struct iommufd_device *idev = lab_bind(d);
	uint32_t ioas = lab_ioas();
	struct iommu_iova_range r[8];
	uint64_t align;

	attach(idev, ioas);
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
	assert_int_equal(attach_fails(idev, ioas), -EADDRINUSE);
	assert_int_equal(lab_unmap(ioas, 0xfee00000, PAGE), 0);
	assert_int_equal(lab_map(ioas, VA_SHARED, 1ull << 40, PAGE), 0);
	assert_int_equal(attach_fails(idev, ioas), -EADDRINUSE);
	assert_int_equal(lab_unmap(ioas, 1ull << 40, PAGE), 0);
	assert_int_equal(lab_map(ioas, VA_SHARED + 1, 0x1000, 1), 0);
	assert_int_equal(attach_fails(idev, ioas), -EADDRINUSE);
	assert_int_equal(lab_unmap(ioas, 0x1000, 1), 0);
	l.ioas_id = ioas;
	assert_int_equal(lab_ioctl(IOMMU_IOAS_ALLOW_IOVAS, &l), 0);
	assert_int_equal(attach_fails(idev, ioas), -EADDRINUSE);
	l.num_iovas = 0;
	assert_int_equal(lab_ioctl(IOMMU_IOAS_ALLOW_IOVAS, &l), 0);
	attach(idev, ioas);
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
	uint32_t ioas = lab_ioas(), hwpt = attach(ia, ioas), weak;

	assert_int_equal(lab_map(ioas, VA_PRIVATE, 0x200000, 4 * PAGE), 0);
	assert_int_equal(lab_pinned(), 4);
	assert_int_equal(attach(ib, ioas), hwpt);
	weak = attach(ic, ioas);
	assert_int_not_equal(weak, hwpt);
	assert_int_equal(lab_pinned(), 4);
	assert_true(lab_reaches(a, 0x200000) && lab_reaches(b, 0x201000) && lab_reaches(c, 0x203000));
	iommufd_device_detach(ia, IOMMUFD_NO_PASID);
	assert_true(lab_reaches(b, 0x200000));
	iommufd_device_detach(ib, IOMMUFD_NO_PASID);
	assert_int_equal(lab_destroy(hwpt), -ENOENT);
	/* The weak one suits all. */
	assert_int_equal(attach(ia, ioas), weak);
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

	assert_int_equal(attach_fails(idev, 99), -ENOENT);
	assert_int_equal(attach_fails(idev, 0), -ENOENT);
	assert_int_equal(attach_fails(idev, iommufd_device_id(idev)), -EINVAL);
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
	assert_int_equal(attach_fails(idev, ioas), -EFAULT);
	assert_int_equal(lab_pinned(), 0);
	assert_false(iommufd_device_attached(idev, IOMMUFD_NO_PASID));
	assert_int_equal(lab_unmap(ioas, 0x20000, PAGE), 0);
	attach(idev, ioas);
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

	attach(idev, ioas);
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
	first = attach(ia, one);
	assert_true(lab_reaches(b, 0x1000)); /* the hardware knows groups only */
	assert_int_equal(attach_fails(ib, two), -EINVAL);
	assert_int_equal(attach_fails(ia, one), -EBUSY);
	pt = one;
	assert_int_equal(iommufd_device_replace(ib, IOMMUFD_NO_PASID, &pt), -EINVAL);
	assert_int_equal(attach(ib, one), first);
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
	hwpt = attach(idev, one);
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

static void IFD_021_IFD_151_IFD_152_manual_hwpts(void **state)
{
	struct iommu_dev *d = lab_alone("a", &unit_strong);
	struct iommufd_device *idev = lab_bind(d);
	uint32_t ioas = lab_ioas(), id, other, none;
	struct iommu_hwpt_alloc a = { .size = 24, .dev_id = iommufd_device_id(idev), .pt_id = ioas };

	assert_int_equal(lab_map(ioas, VA_SHARED, 0x1000, PAGE), 0);
	assert_int_equal(lab_hwpt(idev, 99, 0, &none), -EINVAL);
	assert_int_equal(lab_hwpt(idev, iommufd_device_id(idev), 0, &none), -EINVAL);
	assert_int_equal(lab_hwpt(idev, ioas, 1u << 4, &none), -EOPNOTSUPP);
	assert_int_equal(lab_hwpt(idev, ioas, IOMMU_HWPT_ALLOC_DIRTY_TRACKING, &none), -EOPNOTSUPP);
	assert_int_equal(lab_hwpt(idev, ioas, IOMMU_HWPT_ALLOC_NEST_PARENT | IOMMU_HWPT_FAULT_ID_VALID, &none), -EOPNOTSUPP);
	assert_int_equal(lab_hwpt(idev, ioas, IOMMU_HWPT_FAULT_ID_VALID, &none), -ENOENT);
	assert_int_equal(lab_pinned(), 0);
	a.dev_id = 77;
	assert_int_equal(lab_ioctl(IOMMU_HWPT_ALLOC, &a), -ENOENT);
	a.dev_id = iommufd_device_id(idev);
	assert_int_equal(lab_ioctl(IOMMU_HWPT_ALLOC, &a), 0);
	id = a.out_hwpt_id;
	assert_int_equal(lab_pinned(), 1); /* before anybody is attached */
	assert_int_equal(lab_hwpt(idev, id, 0, &none), -EOPNOTSUPP);
	assert_int_equal(lab_destroy(ioas), -EBUSY);
	assert_int_equal(attach(idev, id), id);
	assert_int_equal(lab_destroy(id), -EBUSY);
	assert_true(lab_reaches(d, 0x1000));
	iommufd_device_detach(idev, IOMMUFD_NO_PASID);
	/* It is not found automatically. */
	other = attach(idev, ioas);
	assert_int_not_equal(other, id);
	assert_int_equal(iommufd_device_replace(idev, IOMMUFD_NO_PASID, &id), 0);
	assert_int_equal(lab_destroy(other), -ENOENT);
	iommufd_device_detach(idev, IOMMUFD_NO_PASID);
	assert_int_equal(lab_destroy(id), 0);
	assert_int_equal(lab_pinned(), 0);
	iommufd_device_unbind(idev);
	iommu_dev_destroy(d);
}

static void IFD_014_IFD_155_IFD_156_hardware_information(void **state)
{
	struct iommu_dev *d = lab_alone("a", &unit_dirty);
	struct iommufd_device *idev = lab_bind(d);
	unsigned char buf[64];
	struct {
		struct iommu_hw_info a;
		uint64_t canary;
	} x = { .a = { .size = sizeof(x.a), .dev_id = iommufd_device_id(idev), .data_len = 40, .data_uptr = (uintptr_t)buf } };
	struct iommu_hw_info_vtd v;

	memset(buf, 0xa5, sizeof(buf));
	assert_int_equal(lab_ioctl(IOMMU_GET_HW_INFO, &x.a), 0);
	assert_int_equal(x.a.out_data_type, IOMMU_HW_INFO_TYPE_INTEL_VTD);
	assert_int_equal(x.a.data_len, 24);
	assert_int_equal(x.a.out_max_pasid_log2, 0);
	assert_int_equal(x.a.out_capabilities, IOMMU_HW_CAP_DIRTY_TRACKING | IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED);
	memcpy(&v, buf, sizeof(v));
	assert_int_equal((v.cap_reg >> 16 & 0x3f) + 1, 48);
	assert_int_equal(buf[24], 0);
	assert_int_equal(buf[39], 0);
	assert_int_equal(buf[40], 0xa5);
	/* Only as long as it is wanted, and told in full. */
	memset(buf, 0xa5, sizeof(buf));
	x.a = (struct iommu_hw_info){ .size = 32, .dev_id = iommufd_device_id(idev), .data_len = 10, .data_uptr = (uintptr_t)buf,
				      .out_data_type = 99, .out_capabilities = 0x1234 };
	assert_int_equal(lab_ioctl(IOMMU_GET_HW_INFO, &x.a), 0);
	assert_int_equal(x.a.data_len, 24);
	assert_int_equal(buf[10], 0xa5);
	assert_int_equal(x.a.out_capabilities, 0x1234);
	x.a.flags = 2;
	assert_int_equal(lab_ioctl(IOMMU_GET_HW_INFO, &x.a), -EOPNOTSUPP);
	x.a.flags = IOMMU_HW_INFO_FLAG_INPUT_TYPE;
	x.a.out_data_type = 2;
	assert_int_equal(lab_ioctl(IOMMU_GET_HW_INFO, &x.a), -EOPNOTSUPP);
	x.a.out_data_type = 1;
	x.a.data_len = 0;
	x.a.data_uptr = 0;
	assert_int_equal(lab_ioctl(IOMMU_GET_HW_INFO, &x.a), 0);
	x.a.dev_id = 55;
	assert_int_equal(lab_ioctl(IOMMU_GET_HW_INFO, &x.a), -ENOENT);
	iommufd_device_unbind(idev);
	iommu_dev_destroy(d);
}

static void IFD_117_IFD_185_groups_of_a_container(void **state)
{
	struct iommu_vfio_ioas v = { .size = sizeof(v), .op = IOMMU_VFIO_IOAS_GET };
	uint32_t id;

	assert_int_equal(iommufd_compat_ioas_id(lab.ctx, &id), -ENODEV);
	assert_int_equal(iommufd_compat_ioas_create(lab.ctx), 0);
	assert_int_equal(iommufd_compat_ioas_id(lab.ctx, &id), 0);
	assert_int_equal(lab_ioctl(IOMMU_VFIO_IOAS, &v), 0);
	assert_int_equal(v.ioas_id, id);
	assert_int_equal(iommufd_compat_ioas_create(lab.ctx), 0);
	assert_int_equal(iommufd_compat_ioas_id(lab.ctx, &v.ioas_id), 0);
	assert_int_equal(v.ioas_id, id);
	assert_int_equal(iommufd_compat_set_noiommu(lab.ctx), -EINVAL);
	assert_int_equal(lab_destroy(id), 0);
	assert_int_equal(iommufd_compat_set_noiommu(lab.ctx), 0);
	assert_int_equal(iommufd_compat_ioas_create(lab.ctx), -EINVAL);
	assert_int_equal(lab_ioctl(VFIO_CHECK_EXTENSION, (void *)VFIO_TYPE1_IOMMU), 0);
	assert_int_equal(lab_ioas(), 1);
}

static void another_file_is_no_context(void **state)
{
	static const struct file_ops ops = { .name = "other" };
	struct file *f;

	assert_int_equal(file_create(NULL, &ops, NULL, O_RDWR, S_IFCHR, &f), 0);
	assert_null(iommufd_ctx_from_file(f));
	file_put(f);
}

static struct file *installed;

static int keep_file(struct task *t, struct file *f, int oflags)
{
	installed = file_get(f);
	return 5;
}

static void IFD_154_IFD_168_IFD_169_IFD_171_fault_queues(void **state)
{
	struct iommu_dev *d = lab_alone("a", &unit_strong);
	struct iommufd_device *idev = lab_bind(d);
	struct iommu_fault_alloc f = { .size = sizeof(f) };
	struct iommu_hwpt_alloc a = { .size = sizeof(a), .flags = IOMMU_HWPT_FAULT_ID_VALID, .pt_id = lab_ioas() };
	struct task_ops ops = lab_ops;
	uint32_t answer[2] = { 1, 0 };
	uint64_t buf[10];

	ops.fd_install = keep_file;
	lab.caller.t.ops = &ops;
	assert_int_equal(lab_ioctl(IOMMU_FAULT_QUEUE_ALLOC, &f), 0);
	assert_int_equal(f.out_fault_fd, 5);
	assert_int_equal(file_read(installed, &lab.caller.t, (uintptr_t)buf, 80), 0);
	assert_int_equal(file_read(installed, &lab.caller.t, (uintptr_t)buf, 41), -ESPIPE);
	assert_int_equal(file_pread(installed, &lab.caller.t, (uintptr_t)buf, 40, 40), -ESPIPE);
	assert_int_equal(file_write(installed, &lab.caller.t, (uintptr_t)answer, 4), -ESPIPE);
	assert_int_equal(file_write(installed, &lab.caller.t, (uintptr_t)answer, 8), -EINVAL);
	assert_int_equal(lab_destroy(f.out_fault_id), -EBUSY);
	a.dev_id = iommufd_device_id(idev);
	a.fault_id = a.pt_id;
	assert_int_equal(lab_ioctl(IOMMU_HWPT_ALLOC, &a), -ENOENT);
	a.fault_id = f.out_fault_id;
	assert_int_equal(lab_ioctl(IOMMU_HWPT_ALLOC, &a), 0);
	assert_int_equal(attach_fails(idev, a.out_hwpt_id), -ENODEV);
	file_put(installed);
	assert_int_equal(lab_destroy(f.out_fault_id), -EBUSY);
	assert_int_equal(lab_destroy(a.out_hwpt_id), 0);
	assert_int_equal(lab_destroy(f.out_fault_id), 0);
	/* One that stays open keeps the context. */
	assert_int_equal(lab_ioctl(IOMMU_FAULT_QUEUE_ALLOC, &f), 0);
	iommufd_device_unbind(idev);
	iommu_dev_destroy(d);
	iommufd_ctx_put(lab.ctx);
	file_put(lab.file);
	lab.ctx = NULL;
	lab.file = NULL;
	file_put(installed);
	lab.caller.t.ops = &lab_ops;
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

static void IFD_124_IFD_126_harmless_drivers_and_after(void **state)
{
	struct iommu_group *g = lab_group();
	struct iommu_dev *a = lab_dev("a", &unit_strong, g), *b = lab_dev("b", &unit_strong, g);
	struct iommufd_device *idev = lab_bind(a); /* b has no driver, or one that manages DMA itself */
	unsigned count;
	void *owner;

	iommufd_device_unbind(idev);
	iommu_group_owner(g, &count, &owner);
	assert_int_equal(count, 0);
	assert_null(owner);
	assert_int_equal(iommu_dev_use_default(b), 0);
	iommu_dev_unuse_default(b);
	idev = lab_bind(b);
	iommufd_device_unbind(idev);
	iommu_dev_destroy(a);
	iommu_dev_destroy(b);
	iommu_group_put(g);
}

static long get_pa(uint32_t ioas, iova_t iova, uint64_t *length, uint64_t *phys)
{
	struct iommu_ioas_noiommu_get_pa a = { .size = sizeof(a), .ioas_id = ioas, .iova = iova, .length = *length };
	long rc = lab_ioctl(IOMMU_IOAS_NOIOMMU_GET_PA, &a);

	*length = a.length;
	*phys = a.out_phys;
	return rc;
}

static bool may_do_anything(struct task *t, enum task_cap cap)
{
	return true;
}

static void IFD_186_IFD_187_IFD_188_without_iommu(void **state)
{
	struct iommu_dev *d = lab_dev("a", NULL, NULL), *e = lab_alone("b", &unit_strong);
	struct iommufd_device *idev, *ie = lab_bind(e);
	uint32_t ioas = lab_ioas(), pt = ioas, id, none;
	struct task_ops ops = lab_ops;
	uint64_t n = PAGE, phys;
	struct iommu_iova_range r[8];

	assert_int_equal(mem_ram_create(lab.mem), 0);
	assert_int_equal(get_pa(ioas, 0x1000, &n, &phys), -EPERM);
	ops.capable = may_do_anything;
	lab.caller.t.ops = &ops;
	assert_int_equal(iommufd_device_bind_noiommu(lab.ctx, e, &idev, &id), -EINVAL);
	assert_int_equal(iommufd_device_bind_noiommu(lab.ctx, d, &idev, &id), 0);
	assert_int_equal(lab_map(ioas, VA_SHARED, 0xfee00000, 4 * PAGE), 0);
	assert_int_equal(get_pa(ioas, 0xfee00000, &n, &phys), -EOPNOTSUPP);
	assert_int_equal(iommufd_device_attach(idev, IOMMUFD_NO_PASID, &pt), 0);
	assert_int_equal(lab_pinned(), 4);
	assert_int_equal(lab_ranges(ioas, r, &n), 1);
	assert_int_equal(n, PAGE);
	n = 100 * PAGE;
	assert_int_equal(get_pa(ioas, 0xfee01010, &n, &phys), 0);
	assert_int_equal(n, 3 * PAGE - 16);
	assert_int_equal(lab_write(d, phys, 0x77), 0);
	assert_int_equal(*(uint64_t *)(lab.shared + PAGE + 16), 0x77);
	n = 1;
	assert_int_equal(get_pa(ioas, 0xfee04000, &n, &phys), -ENOENT);
	assert_int_equal(lab_hwpt(idev, ioas, IOMMU_HWPT_ALLOC_NEST_PARENT, &none), -EOPNOTSUPP);
	/* The very ends of the address space */
	assert_int_equal(lab_map(ioas, VA_SHARED, 0, PAGE), 0);
	assert_int_equal(lab_map(ioas, VA_SHARED + PAGE, -PAGE, PAGE), 0);
	n = 2 * PAGE;
	assert_int_equal(get_pa(ioas, -PAGE, &n, &phys), 0);
	assert_int_equal(n, PAGE);
	iommufd_device_detach(idev, IOMMUFD_NO_PASID);
	assert_int_equal(lab_pinned(), 0);
	pt = ioas;
	assert_int_equal(iommufd_device_attach(idev, IOMMUFD_NO_PASID, &pt), 0);
	assert_int_equal(lab_pinned(), 6);
	assert_int_equal(lab_unmap(ioas, 0, PAGE), 0);
	assert_int_equal(lab_unmap(ioas, -PAGE, PAGE), 0);
	n = 1;
	assert_int_equal(get_pa(ioas, 0xfee01010, &n, &phys), 0);
	/* Neither has the other's HWPT. */
	assert_int_equal(attach_fails(ie, pt), -EINVAL);
	assert_int_equal(lab_unmap(ioas, 0xfee00000, 4 * PAGE), 0);
	lab_unbind(idev);
	lab_unbind(ie);
	iommu_dev_destroy(d);
	iommu_dev_destroy(e);
	mem_ram_destroy(lab.mem);
	lab.caller.t.ops = &lab_ops;
}

static void IFD_146_IFD_147_IFD_148_IFD_149_pasids(void **state)
{
	struct iommu_dev *d = lab_dev("a", &unit_strong, NULL);
	struct iommu_group *g = lab_group();
	struct iommufd_device *idev;
	uint32_t ioas = lab_ioas(), fit, other, plain, pt;

	assert_int_equal(iommu_dev_set_pasids(d, 16), 0);
	assert_int_equal(iommu_dev_join(d, g), 0);
	iommu_group_put(g);
	idev = lab_bind(d);
	assert_int_equal(lab_hwpt(idev, ioas, IOMMU_HWPT_ALLOC_PASID, &fit), 0);
	assert_int_equal(lab_hwpt(idev, ioas, IOMMU_HWPT_ALLOC_PASID, &other), 0);
	assert_int_equal(lab_hwpt(idev, ioas, 0, &plain), 0);
	pt = 99;
	assert_int_equal(iommufd_device_attach(idev, 5, &pt), -ENOENT);
	pt = ioas;
	assert_int_equal(iommufd_device_attach(idev, 5, &pt), -EINVAL);
	pt = plain;
	assert_int_equal(iommufd_device_attach(idev, 5, &pt), -EINVAL);
	assert_int_equal(iommufd_device_attach(idev, IOMMUFD_NO_PASID, &pt), 0);
	pt = fit;
	assert_int_equal(iommufd_device_attach(idev, 5, &pt), -EINVAL); /* beside a plain one */
	assert_int_equal(iommufd_device_replace(idev, 5, &pt), -EINVAL);
	assert_int_equal(iommufd_device_replace(idev, IOMMUFD_NO_PASID, &pt), 0);
	assert_int_equal(iommufd_device_attach(idev, 5, &pt), 0);
	assert_int_equal(iommufd_device_attach(idev, 5, &pt), -EBUSY);
	pt = other;
	assert_int_equal(iommufd_device_attach(idev, 5, &pt), -EBUSY);
	assert_int_equal(iommufd_device_attach(idev, IOMMUFD_NO_PASID, &pt), -EBUSY);
	pt = plain;
	assert_int_equal(iommufd_device_replace(idev, IOMMUFD_NO_PASID, &pt), -EINVAL);
	assert_int_equal(iommufd_device_replace(idev, 5, &pt), -EINVAL);
	pt = ioas;
	assert_int_equal(iommufd_device_replace(idev, IOMMUFD_NO_PASID, &pt), -EINVAL);
	assert_int_equal(lab_destroy(fit), -EBUSY);
	pt = other;
	assert_int_equal(iommufd_device_replace(idev, 5, &pt), 0);
	assert_int_equal(iommufd_device_attach(idev, 6, &pt), 0);
	assert_int_equal(lab_destroy(other), -EBUSY);
	iommufd_device_detach(idev, IOMMUFD_NO_PASID);
	assert_int_equal(lab_destroy(fit), 0);
	pt = plain;
	assert_int_equal(iommufd_device_attach(idev, IOMMUFD_NO_PASID, &pt), -EINVAL);
	iommufd_device_detach(idev, 5);
	assert_false(iommufd_device_attached(idev, 5));
	assert_true(iommufd_device_attached(idev, 6));
	iommufd_device_detach(idev, 6);
	assert_int_equal(iommufd_device_attach(idev, IOMMUFD_NO_PASID, &pt), 0);
	assert_int_equal(lab_destroy(other), 0);
	lab_unbind(idev);
	iommu_dev_destroy(d);
}

/* ---- a caller whose memory cannot be written for a while ---- */

static struct {
	struct mutex lock;
	struct cond changed;
	bool waits, go; /* [lock] */
	uint32_t device;
} slow;

static int slow_out(struct task *t, uva_t dst, const void *src, size_t n)
{
	SCOPED_LOCK(&slow.lock);
	slow.waits = true;
	cond_broadcast(&slow.changed);
	while (!slow.go)
		cond_wait(&slow.changed, &slow.lock);
	return 0;
}

static void slow_info(void *arg)
{
	const struct task_ops ops = { .copy_in = lab_in, .copy_out = slow_out, .capable = fake_capable };
	char buf[64];
	struct iommu_hw_info a = { .size = sizeof(a), .dev_id = slow.device, .data_len = 64, .data_uptr = (uintptr_t)buf };
	struct task t = lab.caller.t;

	t.ops = &ops;
	file_ioctl(lab.file, &t, IOMMU_GET_HW_INFO, (uintptr_t)&a);
}

static void unbind_does_not_wait_for_copies(void **state)
{
	struct iommu_dev *d = lab_alone("a", &unit_strong);
	struct iommufd_device *idev = lab_bind(d);
	struct thread caller;

	mutex_init(&slow.lock, RANK_NONE);
	cond_init(&slow.changed);
	slow.device = iommufd_device_id(idev);
	thread_start(&caller, "caller", slow_info, NULL);
	mutex_lock(&slow.lock);
	while (!slow.waits)
		cond_wait(&slow.changed, &slow.lock);
	mutex_unlock(&slow.lock);
	iommufd_device_unbind(idev); /* returns */
	mutex_lock(&slow.lock);
	slow.go = true;
	cond_broadcast(&slow.changed);
	mutex_unlock(&slow.lock);
	thread_join(&caller);
	cond_fini(&slow.changed);
	mutex_fini(&slow.lock);
	iommu_dev_destroy(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(unbind_does_not_wait_for_copies),
		T(IFD_120_IFD_139_bound_and_detached_means_blocked),
		T(IFD_133_hardware_that_is_not_good_enough),
		T(IFD_121_IFD_122_IFD_123_one_owner_for_a_group),
		T(IFD_019_IFD_020_IFD_022_what_is_in_use_stays),
		T(IFD_023_a_bound_device_keeps_the_context),
		T(IFD_029_IFD_030_attaching_narrows),
		T(IFD_038_IFD_054_IFD_143_IFD_144_what_is_there_may_stand_against_it),
		T(IFD_135_IFD_145_suitable_devices_share),
		T(IFD_136_what_cannot_be_attached_to),
		T(IFD_056_IFD_058_IFD_059_memory_that_cannot_be_pinned),
		T(IFD_060_read_only_means_it),
		T(IFD_140_IFD_141_IFD_142_a_group_moves_as_one),
		T(IFD_137_a_replace_that_fails_changes_nothing),
		T(IFD_021_IFD_151_IFD_152_manual_hwpts),
		T(IFD_014_IFD_155_IFD_156_hardware_information),
		T(IFD_117_IFD_185_groups_of_a_container),
		T(another_file_is_no_context),
		T(IFD_154_IFD_168_IFD_169_IFD_171_fault_queues),
		T(IFD_186_IFD_187_IFD_188_without_iommu),
		T(IFD_146_IFD_147_IFD_148_IFD_149_pasids),
		T(IFD_183_pinned_stays_when_its_process_has_gone),
		T(IFD_124_IFD_126_harmless_drivers_and_after),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
