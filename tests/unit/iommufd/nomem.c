/* SPDX-License-Identifier: MIT */
/*
 * A program's life with memory running out: the n-th allocation fails, for every n until none does. Whatever is refused
 * is refused with ENOMEM and changes nothing; what takes things away never fails; nothing is left over.
 *
 * The linker puts these functions in the place of the allocator's (meson.build).
 */
#include "iommufd_lab.h"
#include "iommufd/priv.h"

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

/* Every descriptor is the dma-buf's. */
static struct file *dmabuf;

static int op_host_fd(struct task *t, int fd)
{
	return -EBADFD;
}

static int op_file_get(struct task *t, int fd, struct file **out)
{
	*out = file_get(dmabuf);
	return 0;
}

static const struct task_ops with_dmabuf = {
	.copy_in = lab_in, .copy_out = lab_out, .host_fd = op_host_fd, .file_get = op_file_get, .capable = fake_capable,
};

static struct mem_dmabuf *map_dmabuf(uint32_t space)
{
	struct iommu_ioas_map_file f = { .size = sizeof(f), .flags = RW | IOMMU_IOAS_MAP_FIXED_IOVA, .ioas_id = space,
					 .length = PAGE, .iova = 0x8000 };
	struct mem_dmabuf *buf;

	MUST(mem_dmabuf_create_memory(lab.mem, PAGE, "test", &buf));
	MUST(mem_dmabuf_open(buf, NULL, O_RDWR, &dmabuf));
	lab.caller.t.ops = &with_dmabuf;
	MUST(lab_ioctl(IOMMU_IOAS_MAP_FILE, &f));
	file_put(dmabuf);
	return buf;
}

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

/* ---- a queue of faults ---- */

static struct file *installed;

static int keep_file(struct task *t, struct file *f, int oflags)
{
	installed = file_get(f);
	return 5;
}

static long read_fault(void)
{
	struct iommu_hwpt_pgfault f;
	ssize_t n = file_read(installed, &lab.caller.t, (uintptr_t)&f, sizeof(f));

	return n == sizeof(f) ? 0 : n;
}

/* What is refused is not taken, and what cannot be told stays. */
static void faults(struct iommu_dev *d, struct iommufd_device *idev)
{
	const struct iommu_page_request init = { .dev = d };
	struct iommu_fault_alloc a = { .size = sizeof(a) };
	struct task_ops task_ops = lab_ops;
	struct iommu_page_request *r;
	struct iommufd_fault *q;

	task_ops.fd_install = keep_file;
	lab.caller.t.ops = &task_ops;
	MUST(lab_ioctl(IOMMU_FAULT_QUEUE_ALLOC, &a));
	q = iommufd_fault_visit(lab.ctx, a.out_fault_id);
	MUST(iommufd_fault_join(q, idev, IOMMUFD_NO_PASID));
	MUST(iommu_page_request_create(&init, &r));
	MUST(iommufd_fault_ops.request(q, r));
	MUST(read_fault());
	iommufd_fault_part(q, idev, IOMMUFD_NO_PASID);
	assert_false(iommu_page_request_wait(r));
	iommu_page_request_put(r);
	iommufd_object_leave(iommufd_fault_object(q));
	file_put(installed);
	assert_int_equal(lab_destroy(a.out_fault_id), 0);
	lab.caller.t.ops = &lab_ops;
}

/* The @n-th allocation of its requests fails. */
static void life(unsigned n_th)
{
	struct iommu_dev *d = lab_alone("a", &unit_dirty), *e = lab_alone("b", &unit_weak);
	struct iommu_vfio_ioas v = { .size = sizeof(v), .op = IOMMU_VFIO_IOAS_SET };
	struct vfio_iommu_type1_dma_unmap u = { .argsz = sizeof(u), .iova = 0x13000, .size = PAGE };
	struct iommufd_device *id, *ie;
	struct iommufd_access *soft;
	struct mem_dmabuf *buf;
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
	faults(d, id);
	pt = one;
	MUST(iommufd_device_attach(id, IOMMUFD_NO_PASID, &pt));
	pt = one;
	MUST(iommufd_device_attach(ie, IOMMUFD_NO_PASID, &pt));
	buf = map_dmabuf(one);
	MUST(lab_copy(two, 0x8000, one, 0x8000, PAGE));
	MUST(lab_copy(two, 0x30000, one, 0x14000, 8 * PAGE));
	MUST(lab_hwpt(id, two, IOMMU_HWPT_ALLOC_DIRTY_TRACKING, &hwpt));
	pt = hwpt;
	MUST(iommufd_device_replace(id, IOMMUFD_NO_PASID, &pt));
	assert_true(lab_reaches(d, 0x30000) && lab_reaches(e, 0x10000));
	assert_true(lab_reaches(d, 0x8000) && lab_reaches(e, 0x8000));
	mem_dmabuf_revoke(buf);
	assert_false(lab_reaches(d, 0x8000) || lab_reaches(e, 0x8000));
	mem_dmabuf_put(buf);
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
