/* SPDX-License-Identifier: MIT */
/*
 * Devices that are bound: which hardware is good enough, who owns a group and until when, what a binding keeps, what is told
 * of the hardware. And a context as VFIO finds it: by its file, and with the address space of a container.
 */
#include "iommufd_lab.h"
#include "base/lock.h"

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
	hwpt = lab_attach(idev, ioas);
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
	lab_attach(idev, ioas);
	iommufd_ctx_put(lab.ctx);
	lab.ctx = NULL;
	file_put(lab.file);
	lab.file = NULL;
	assert_true(lab_reaches(d, 0x1000));
	lab_unbind(idev);
	assert_int_equal(lab_pinned(), 0);
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
		T(IFD_133_hardware_that_is_not_good_enough),
		T(IFD_121_IFD_122_IFD_123_one_owner_for_a_group),
		T(IFD_019_IFD_020_IFD_022_what_is_in_use_stays),
		T(IFD_023_a_bound_device_keeps_the_context),
		T(IFD_014_IFD_155_IFD_156_hardware_information),
		T(IFD_117_IFD_185_groups_of_a_container),
		T(another_file_is_no_context),
		T(IFD_124_IFD_126_harmless_drivers_and_after),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
