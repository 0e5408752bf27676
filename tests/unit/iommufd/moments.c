/* SPDX-License-Identifier: MIT */
/*
 * Programs that do the wrong thing at the worst moment: while a call of theirs waits for their memory, another thread
 * of theirs makes a call. The moment is the copy itself, so nothing here depends on time; who must not wait and does, hangs.
 */
#include "mock_lab.h"
#include "base/lock.h"

static struct {
	uva_t at;            /* the copy that touches this byte ... */
	unsigned after;      /* ... but for so many before */
	void (*then)(void);  /* ... has this happen first, */
	bool fails;          /* and fails */
	bool happened;
} moment;

static int meet(uva_t start, size_t n)
{
	void (*then)(void) = moment.then;

	if (!then || moment.at < start || moment.at - start >= n || moment.after-- > 0)
		return 0;
	moment.then = NULL; /* once */
	moment.happened = true;
	then();
	return moment.fails ? -EFAULT : 0;
}

static int moment_in(struct task *t, void *dst, uva_t src, size_t n)
{
	int rc = meet(src, n);

	return rc ? rc : lab_in(t, dst, src, n);
}

static int moment_out(struct task *t, uva_t dst, const void *src, size_t n)
{
	int rc = meet(dst, n);

	return rc ? rc : lab_out(t, dst, src, n);
}

static const struct task_ops moment_ops = { .copy_in = moment_in, .copy_out = moment_out, MOCK_OPS };

static int setup(void **state)
{
	int rc = mock_setup(state);

	memset(&moment, 0, sizeof(moment));
	lab.caller.t.ops = &moment_ops;
	return rc;
}

static void nothing(void)
{
}

/* ---- what all need: a nest parent, and a device on it ---- */

static uint32_t space, parent;
static struct mock dev;

static void begin(void)
{
	struct mock maker;

	space = lab_ioas();
	assert_int_equal(lab_map(space, VA_SHARED, HOME, 8 * PAGE), 0);
	maker = mock_make(space, 0);
	parent = hwpt_make(maker.dev, space, IOMMU_HWPT_ALLOC_NEST_PARENT | IOMMU_HWPT_ALLOC_PASID);
	dev = mock_make(parent, MOCK_FLAGS_DEVICE_PASID);
}

static void dev_goes(void)
{
	assert_int_equal(lab_destroy(dev.stdev), 0);
}

static uint32_t free_id(void)
{
	uint32_t id = lab_ioas();

	assert_int_equal(lab_destroy(id), 0);
	return id;
}

/* ---- a device goes while a request that names it waits for its program ---- */

static void a_device_goes_while_data_of_an_hwpt_is_read(void **state)
{
	struct iommu_hwpt_selftest data = { .iotlb = 1 };
	uint32_t id, next;

	begin();
	next = free_id();
	moment.at = (uintptr_t)&data;
	moment.then = dev_goes;
	assert_int_equal(hwpt_data(dev.dev, parent, 0, 0, IOMMU_HWPT_DATA_SELFTEST, &data, sizeof(data), &id), -ENOENT);
	assert_true(moment.happened);
	assert_in_range(free_id(), 1, next);
}

static void a_device_goes_while_data_of_a_viommu_is_read(void **state)
{
	struct iommu_viommu_selftest data = { .in_data = 1 };
	uint32_t id;

	begin();
	moment.at = (uintptr_t)&data.in_data;
	moment.then = dev_goes;
	assert_int_equal(viommu_data(dev.dev, parent, &data, &id), -ENOENT);
	assert_true(moment.happened);
}

/* The virtual IOMMU does not need the device that it was made with. */
static void a_device_goes_while_a_viommu_answers(void **state)
{
	struct iommu_viommu_selftest data = { .in_data = 1 };
	uint32_t id, other;

	begin();
	moment.at = (uintptr_t)&data.in_data;
	moment.after = 1;
	moment.then = dev_goes;
	assert_int_equal(viommu_data(dev.dev, parent, &data, &id), 0);
	assert_true(moment.happened);
	assert_int_equal(data.out_data, 1);
	assert_int_equal(lab_destroy(id), 0);
	/* And one that cannot answer is not made. */
	dev = mock_make(parent, 0);
	moment.after = 1;
	moment.fails = true;
	moment.happened = false;
	moment.then = nothing;
	assert_int_equal(viommu_data(dev.dev, parent, &data, &other), -EFAULT);
	assert_true(moment.happened);
	assert_true(LIST_EMPTY(&lab.ctx->regions));
}

/* A virtual IOMMU is a part of the one whose page tables it stands on. */
static void IFD_172_a_viommu_stands_on_its_own_kind(void **state)
{
	struct iommu_dev *real = lab_alone("real", &unit_dirty);
	struct iommufd_device *idev = lab_bind(real);
	uint32_t other, id;

	begin();
	assert_int_equal(lab_hwpt(idev, space, IOMMU_HWPT_ALLOC_NEST_PARENT, &other), 0);
	assert_int_equal(viommu_data(dev.dev, other, NULL, &id), -EINVAL);
	assert_int_equal(viommu_data(dev.dev, parent, NULL, &id), 0);
	assert_int_equal(lab_destroy(id), 0);
	assert_int_equal(lab_destroy(other), 0);
	lab_unbind(idev);
	iommu_dev_destroy(real);
}

/* A vdevice that its device has left before anybody knew of it is a tombstone from the beginning. */
static uint32_t viommu;

static void IFD_174_a_device_goes_while_its_vdevice_is_told(void **state)
{
	struct iommu_vdevice_alloc a = { .size = sizeof(a), .virt_id = 7 };
	struct mock other;
	uint32_t id;

	begin();
	viommu = viommu_make(dev.dev, parent);
	a.viommu_id = viommu;
	a.dev_id = dev.dev;
	moment.at = (uintptr_t)&a;
	moment.after = 1; /* not when it is read */
	moment.then = dev_goes;
	assert_int_equal(lab_ioctl(IOMMU_VDEVICE_ALLOC, &a), 0);
	assert_true(moment.happened);
	assert_int_equal(lab_destroy(a.out_vdevice_id), -ENOENT);
	assert_int_equal(lab.ctx->tombs, 1);
	other = mock_make(parent, 0);
	assert_int_equal(vdevice(viommu, other.dev, 7, &id), 0); /* its number is free */
	assert_int_not_equal(id, a.out_vdevice_id);
	assert_int_equal(lab_destroy(id), 0);
	assert_int_equal(lab_destroy(viommu), 0);
}

/* ---- hardware queues that come and go ---- */

static long second_rc;
static uint32_t second;

static void second_queue(void)
{
	second_rc = hw_queue(viommu, 1, HOME, PAGE, &second);
}

/* The first queue is none before it is told: it may still go, and with it what the second one uses. */
static void a_queue_that_is_not_told_yet_is_none(void **state)
{
	struct iommu_hw_queue_alloc a = { .size = sizeof(a), .type = IOMMU_HW_QUEUE_TYPE_SELFTEST,
					  .nesting_parent_iova = HOME, .length = PAGE };
	uint32_t first, taken;

	begin();
	a.viommu_id = viommu = viommu_make(dev.dev, parent);
	moment.at = (uintptr_t)&a;
	moment.after = 1;
	moment.then = second_queue;
	moment.fails = true;
	assert_int_equal(lab_ioctl(IOMMU_HW_QUEUE_ALLOC, &a), -EFAULT);
	assert_int_equal(second_rc, -EIO);
	assert_int_equal(hw_queue(viommu, 0, HOME, PAGE, &first), 0);
	assert_int_equal(hw_queue(viommu, 0, HOME, PAGE, &taken), -EEXIST);
	assert_int_equal(hw_queue(viommu, 1, HOME + PAGE, PAGE, &second), 0);
	assert_int_equal(lab_destroy(first), -EBUSY);
	assert_int_equal(lab_destroy(second), 0);
	assert_int_equal(lab_destroy(first), 0);
	assert_int_equal(lab_destroy(viommu), 0);
}

/* However long a queue is said to be, it takes no memory for what is not there. */
static void IFD_178_a_queue_is_as_long_as_what_is_mapped(void **state)
{
	uint32_t id;

	begin();
	viommu = viommu_make(dev.dev, parent);
	assert_int_equal(hw_queue(viommu, 0, HOME, 1ull << 60, &id), -ENOENT);
	assert_int_equal(hw_queue(viommu, 0, HOME, 8 * PAGE, &id), 0);
	assert_int_equal(lab_unmap(space, HOME, 8 * PAGE), -EBUSY);
	assert_int_equal(lab_destroy(id), 0);
	assert_int_equal(lab_destroy(viommu), 0);
}

/* ---- pages to map ---- */

static void page_at(uint64_t offset, struct file_page *out)
{
	lab.file->ops->page(lab.file, offset, out);
}

/* Who was told which pages to map may do so a moment after they have gone: the memfd must not be another by then. */
static void IFD_179_a_region_goes_before_it_is_mapped(void **state)
{
	struct iommu_viommu_selftest data = { .in_data = 0x5eed };
	struct stat before, after;
	struct file_page page;
	uint32_t word = 1;
	int other;

	begin();
	assert_int_equal(viommu_data(dev.dev, parent, &data, &viommu), 0);
	page_at(data.out_mmap_offset, &page);
	assert_int_equal(page.kind, FILE_PAGE_PLAIN);
	assert_int_equal(fstat(page.memfd, &before), 0);
	assert_int_equal(lab_destroy(viommu), 0);
	other = memfd_create("other", MFD_CLOEXEC);
	assert_int_not_equal(other, page.memfd);
	assert_int_equal(fstat(page.memfd, &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	close(other);
	/* What comes there later begins with zeros. */
	assert_int_equal(pwrite(page.memfd, &word, sizeof(word), (off_t)page.offset + 8), sizeof(word));
	assert_int_equal(viommu_data(dev.dev, parent, &data, &viommu), 0);
	page_at(data.out_mmap_offset, &page);
	assert_int_equal(pread(page.memfd, &word, sizeof(word), (off_t)page.offset + 8), sizeof(word));
	assert_int_equal(word, 0);
	assert_int_equal(pread(page.memfd, &word, sizeof(word), (off_t)page.offset), sizeof(word));
	assert_int_equal(word, 0x5eed);
	assert_int_equal(lab_destroy(viommu), 0);
}

/* ---- memory that goes between two copies ---- */

static uint64_t ids_used(void)
{
	return lab.ctx->used;
}

/* The descriptor is there and cannot be taken back, but it leads to nothing that has a name or keeps pages. */
static void who_is_not_told_has_nothing(void **state)
{
	struct iommu_fault_alloc f = { .size = sizeof(f) };
	struct iommu_test_cmd c = { .size = sizeof(c), .op = IOMMU_TEST_OP_CREATE_ACCESS,
				    .create_access = { .flags = MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES } };
	uint64_t used;

	begin();
	used = ids_used();
	moment.at = (uintptr_t)&f;
	moment.after = 2; /* read, tried */
	moment.then = nothing;
	moment.fails = true;
	assert_int_equal(lab_ioctl(IOMMU_FAULT_QUEUE_ALLOC, &f), -EFAULT);
	assert_non_null(mock_file(FIRST_FD));
	assert_int_equal(lab_destroy(f.out_fault_id), -ENOENT);
	mock_close(FIRST_FD);
	assert_int_equal(ids_used(), used);
	moment.at = (uintptr_t)&c;
	moment.after = 2;
	moment.then = nothing;
	c.id = space;
	assert_int_equal(lab_ioctl(IOMMU_TEST_CMD, &c), -EFAULT);
	assert_non_null(mock_file(FIRST_FD));
	c.op = IOMMU_TEST_OP_ACCESS_PAGES;
	c.id = FIRST_FD;
	c.access_pages.iova = HOME;
	c.access_pages.length = PAGE;
	c.access_pages.flags = 0;
	assert_int_equal(lab_ioctl(IOMMU_TEST_CMD, &c), -ENOENT);
	mock_close(FIRST_FD);
	assert_int_equal(ids_used(), used);
}

static void an_attachment_that_is_not_told_is_none(void **state)
{
	struct iommu_test_cmd c = { .size = sizeof(c), .op = IOMMU_TEST_OP_PASID_ATTACH,
				    .pasid_attach = { .pasid = 3 } };

	begin();
	c.id = dev.stdev;
	c.pasid_attach.pt_id = parent;
	moment.at = (uintptr_t)&c;
	moment.after = 1;
	moment.then = nothing;
	moment.fails = true;
	assert_int_equal(lab_ioctl(IOMMU_TEST_CMD, &c), -EFAULT);
	assert_int_equal(mock_pasid(IOMMU_TEST_OP_PASID_CHECK_HWPT, dev.stdev, 3, 0), 0);
	assert_int_equal(mock_pasid(IOMMU_TEST_OP_PASID_ATTACH, dev.stdev, 3, parent), 0);
	assert_int_equal(mock_pasid(IOMMU_TEST_OP_PASID_DETACH, dev.stdev, 3, 0), 0);
}

#undef T
#define T(f) cmocka_unit_test_setup_teardown(f, setup, mock_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_device_goes_while_data_of_an_hwpt_is_read),
		T(a_device_goes_while_data_of_a_viommu_is_read),
		T(a_device_goes_while_a_viommu_answers),
		T(IFD_172_a_viommu_stands_on_its_own_kind),
		T(IFD_174_a_device_goes_while_its_vdevice_is_told),
		T(a_queue_that_is_not_told_yet_is_none),
		T(IFD_178_a_queue_is_as_long_as_what_is_mapped),
		T(IFD_179_a_region_goes_before_it_is_mapped),
		T(who_is_not_told_has_nothing),
		T(an_attachment_that_is_not_told_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
