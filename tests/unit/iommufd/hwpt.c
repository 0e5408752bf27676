/* SPDX-License-Identifier: MIT */
/* Page tables that programs make themselves: for a device, with a queue of faults, for PASIDs. */
#include "iommufd_lab.h"

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
	assert_int_equal(lab_attach(idev, id), id);
	assert_int_equal(lab_destroy(id), -EBUSY);
	assert_true(lab_reaches(d, 0x1000));
	iommufd_device_detach(idev, IOMMUFD_NO_PASID);
	/* It is not found automatically. */
	other = lab_attach(idev, ioas);
	assert_int_not_equal(other, id);
	assert_int_equal(iommufd_device_replace(idev, IOMMUFD_NO_PASID, &id), 0);
	assert_int_equal(lab_destroy(other), -ENOENT);
	iommufd_device_detach(idev, IOMMUFD_NO_PASID);
	assert_int_equal(lab_destroy(id), 0);
	assert_int_equal(lab_pinned(), 0);
	iommufd_device_unbind(idev);
	iommu_dev_destroy(d);
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
	assert_int_equal(lab_attach_fails(idev, a.out_hwpt_id), -ENODEV);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(IFD_021_IFD_151_IFD_152_manual_hwpts),
		T(IFD_154_IFD_168_IFD_169_IFD_171_fault_queues),
		T(IFD_146_IFD_147_IFD_148_IFD_149_pasids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
