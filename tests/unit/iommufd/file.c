/* SPDX-License-Identifier: MIT */
/*
 * A file that takes its time: whoever serves it (FUSE) decides when the question what it is is answered.
 *
 * The linker puts this fstatfs() in the place of the C library's (meson.build).
 */
#include "iommufd_lab.h"
#include <sys/vfs.h>

static uint32_t ioas; /* 0: nothing happens meanwhile */
static unsigned asked;

int __real_fstatfs64(int fd, struct statfs *out);
int __wrap_fstatfs64(int fd, struct statfs *out);

/* In the same thread: whoever held a lock would never come to the end. */
int __wrap_fstatfs64(int fd, struct statfs *out)
{
	asked++;
	if (ioas) {
		assert_int_equal(lab_map(ioas, VA_SHARED, 0x100000, PAGE), 0);
		assert_int_equal(lab_unmap(ioas, 0x100000, PAGE), 0);
	}
	return __real_fstatfs64(fd, out);
}

static void nobody_waits_for_the_server_of_a_file(void **state)
{
	struct iommu_dev *d = lab_alone("a", &unit_strong);
	struct iommufd_device *idev = lab_bind(d);
	uint32_t id = lab_ioas(), pt = id;
	struct iommu_ioas_map_file a = { .size = sizeof(a), .flags = RW | IOMMU_IOAS_MAP_FIXED_IOVA, .ioas_id = id, .fd = 3,
					 .length = PAGE, .iova = 0x1000 };

	assert_int_equal(iommufd_device_attach(idev, IOMMUFD_NO_PASID, &pt), 0);
	ioas = id;
	lab.host_fd = memfd_create("x", 0);
	assert_int_equal(ftruncate(lab.host_fd, PAGE), 0);
	assert_int_equal(lab_ioctl(IOMMU_IOAS_MAP_FILE, &a), 0);
	assert_int_not_equal(asked, 0);
	assert_true(lab_reaches(d, 0x1000));
	close(lab.host_fd);
	lab.host_fd = open("/proc/self/exe", O_RDONLY);
	a.iova = 0x8000;
	assert_int_equal(lab_ioctl(IOMMU_IOAS_MAP_FILE, &a), -EINVAL);
	close(lab.host_fd);
	ioas = 0;
	lab_unbind(idev);
	iommu_dev_destroy(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(nobody_waits_for_the_server_of_a_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
