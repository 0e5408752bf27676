/* SPDX-License-Identifier: MIT */
/* Devices without an IOMMU: their HWPT is of a kind of its own, and physical addresses are told to who may do anything. */
#include "mock_lab.h"

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
	assert_int_equal(lab_attach_fails(ie, pt), -EINVAL);
	assert_int_equal(lab_unmap(ioas, 0xfee00000, 4 * PAGE), 0);
	lab_unbind(idev);
	lab_unbind(ie);
	iommu_dev_destroy(d);
	iommu_dev_destroy(e);
	mem_ram_destroy(lab.mem);
	lab.caller.t.ops = &lab_ops;
}

/* It takes any HWPT, and no driver of an IOMMU is asked about it: not even the mock's, which knows PASID 1024. */
static void the_driver_of_an_hwpt_is_not_asked(void **state)
{
	struct iommu_dev *d = lab_dev("a", NULL, NULL);
	uint32_t ioas = lab_ioas(), id, pt;
	struct mock m = mock_make(ioas, MOCK_FLAGS_DEVICE_PASID);
	struct iommu_hwpt_alloc a = { .size = sizeof(a), .flags = IOMMU_HWPT_ALLOC_PASID, .dev_id = m.dev, .pt_id = ioas };
	struct iommufd_device *idev;

	assert_int_equal(lab_ioctl(IOMMU_HWPT_ALLOC, &a), 0);
	assert_int_equal(iommufd_device_bind_noiommu(lab.ctx, d, &idev, &id), 0);
	for (int i = 0; i < 2; i++) {
		pt = a.out_hwpt_id;
		assert_int_equal(iommufd_device_attach(idev, IOMMU_TEST_PASID_RESERVED, &pt), 0);
		pt = a.out_hwpt_id;
		assert_int_equal(iommufd_device_replace(idev, IOMMU_TEST_PASID_RESERVED, &pt), 0);
		iommufd_device_detach(idev, IOMMU_TEST_PASID_RESERVED);
	}
	lab_unbind(idev);
	iommu_dev_destroy(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(IFD_186_IFD_187_IFD_188_without_iommu),
		cmocka_unit_test_setup_teardown(the_driver_of_an_hwpt_is_not_asked, mock_setup, mock_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
