/* SPDX-License-Identifier: MIT */
/*
 * A program's life with memory running out: the n-th allocation fails, for every n until none does. Whatever is refused
 * is refused with ENOMEM and changes nothing; what takes things away never fails; nothing is left over.
 *
 * The linker puts these functions in the place of the allocator's (meson.build).
 */
#include "iommufd_lab.h"

static unsigned left; /* allocations until one fails; 0: none does */
static bool failed;

static bool fails(void)
{
	if (!left || --left)
		return false;
	failed = true;
	return true;
}

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_reallocarray(void *p, size_t n, size_t size);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_reallocarray(void *p, size_t n, size_t size);

void *__wrap_malloc(size_t n)
{
	return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
	return fails() ? NULL : __real_realloc(p, n);
}

void *__wrap_reallocarray(void *p, size_t n, size_t size)
{
	return fails() ? NULL : __real_reallocarray(p, n, size);
}

/* The one failure has to be told as such, once; then the call is made again and works. */
#define MUST(call)                                   \
	do {                                         \
		long rc_ = (call);                   \
		if (rc_) {                           \
			assert_true(failed);         \
			assert_int_equal(rc_, -ENOMEM); \
			assert_int_equal((call), 0); \
		}                                    \
	} while (0)

static uint32_t ioas(void)
{
	struct iommu_ioas_alloc a = { .size = sizeof(a) };

	MUST(lab_ioctl(IOMMU_IOAS_ALLOC, &a));
	return a.out_ioas_id;
}

static void soft_unmap(void *ctx, iova_t iova, uint64_t length)
{
	iommufd_access_unpin(*(struct iommufd_access **)ctx, 0x11000, 2 * PAGE);
}

static const struct iommufd_access_ops ops = { .needs_pin_pages = true, .unmap = soft_unmap };

static void unmaps(uint32_t space, iova_t start, uint64_t length)
{
	/* Taking away needs nothing, even when there is nothing. */
	unsigned was = left;
	bool had = failed;

	left = 1;
	assert_int_equal(lab_unmap(space, start, length), 0);
	left = was;
	failed = had;
}

/* The @n-th allocation of its requests fails. */
static void life(unsigned n_th)
{
	struct iommu_dev *d = lab_alone("a", &unit_dirty), *e = lab_alone("b", &unit_weak);
	struct iommu_vfio_ioas v = { .size = sizeof(v), .op = IOMMU_VFIO_IOAS_SET };
	struct vfio_iommu_type1_dma_unmap u = { .argsz = sizeof(u), .iova = 0x13000, .size = PAGE };
	struct iommufd_device *id, *ie;
	struct iommufd_access *soft;
	uint32_t one, two, hwpt, pt, n;
	phys_t phys[2];

	left = n_th;
	one = ioas();
	two = ioas();
	MUST(lab_map(one, VA_SHARED, 0x10000, 8 * PAGE));
	MUST(lab_map(one, VA_PRIVATE, 0x18000, 8 * PAGE));
	MUST(iommufd_access_create(lab.ctx, &ops, &soft, &soft, &n));
	MUST(iommufd_access_attach(soft, one));
	MUST(iommufd_access_pin(soft, 0x11000, 2 * PAGE, true, phys));
	MUST(iommufd_device_bind(lab.ctx, d, &id, &n));
	MUST(iommufd_device_bind(lab.ctx, e, &ie, &n));
	pt = one;
	MUST(iommufd_device_attach(id, IOMMUFD_NO_PASID, &pt));
	pt = one;
	MUST(iommufd_device_attach(ie, IOMMUFD_NO_PASID, &pt));
	MUST(lab_copy(two, 0x30000, one, 0x14000, 8 * PAGE));
	MUST(lab_hwpt(id, two, IOMMU_HWPT_ALLOC_DIRTY_TRACKING, &hwpt));
	pt = hwpt;
	MUST(iommufd_device_replace(id, IOMMUFD_NO_PASID, &pt));
	assert_true(lab_reaches(d, 0x30000) && lab_reaches(e, 0x10000));
	MUST(lab_map(two, VA_SHARED, 0x100000, 300 * PAGE));
	unmaps(two, 0x100000, 300 * PAGE);
	MUST(iommufd_access_replace(soft, two));
	iommufd_device_detach(ie, IOMMUFD_NO_PASID);
	iommufd_device_detach(id, IOMMUFD_NO_PASID);
	unmaps(one, 0, UINT64_MAX);
	assert_int_equal(lab_destroy(hwpt), 0);
	v.ioas_id = one;
	assert_int_equal(lab_ioctl(IOMMU_VFIO_IOAS, &v), 0);
	MUST(lab_ioctl(VFIO_SET_IOMMU, (void *)VFIO_TYPE1_IOMMU));
	MUST(lab_map(one, VA_SHARED, 0x10000, 8 * PAGE));
	pt = one;
	MUST(iommufd_device_attach(id, IOMMUFD_NO_PASID, &pt));
	MUST(lab_ioctl(VFIO_IOMMU_UNMAP_DMA, &u));
	assert_true(lab_reaches(d, 0x12000) && !lab_reaches(d, 0x13000) && lab_reaches(d, 0x14000));
	left = 0;
	lab_unbind(id);
	lab_unbind(ie);
	iommufd_access_destroy(soft);
	assert_int_equal(lab_destroy(one), 0);
	assert_int_equal(lab_destroy(two), 0);
	assert_int_equal(lab_pinned(), 0);
	iommu_dev_destroy(d);
	iommu_dev_destroy(e);
}

static void the_nth_allocation_fails(void **state)
{
	unsigned n = 0;

	do {
		failed = false;
		life(++n);
	} while (failed && n < 1000);
	assert_true(n > 30 && n < 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = { T(the_nth_allocation_fails) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
