/* SPDX-License-Identifier: MIT */
/* Pages: pinned once, counted once, for as long as somebody needs them. */
#include "iommufd_lab.h"
#include <sys/mman.h>

static struct iommu_dev *dev;
static struct iommufd_device *idev;

/* A device attached to an IOAS, which it returns */
static uint32_t attached(void)
{
	uint32_t ioas = lab_ioas(), pt = ioas;

	dev = lab_alone("a", &unit_strong);
	idev = lab_bind(dev);
	assert_int_equal(iommufd_device_attach(idev, IOMMUFD_NO_PASID, &pt), 0);
	return ioas;
}

static void end(void)
{
	lab_unbind(idev);
	iommu_dev_destroy(dev);
}

static void IFD_018_IFD_024_destroyed_and_closed_means_unpinned(void **state)
{
	uint32_t ioas = attached(), other = lab_ioas();

	assert_int_equal(lab_map(ioas, VA_SHARED, 0x1000, 16 * PAGE), 0);
	assert_int_equal(lab_copy(other, 0x8000, ioas, 0x2000, 2 * PAGE), 0);
	assert_int_equal(lab_destroy(other), 0);
	assert_int_equal(lab_pinned(), 16);
	end();
	assert_int_equal(lab_pinned(), 0);
}

static void IFD_062_IFD_076_maps_and_unmaps_are_seen_at_return(void **state)
{
	uint32_t ioas = attached();

	assert_int_equal(lab_map(ioas, VA_PRIVATE, 0x200000, 2 * MIB), 0);
	assert_int_equal(lab_map(ioas, VA_SHARED, 0x400000, PAGE), 0);
	assert_int_equal(lab_map(ioas, VA_SHARED + PAGE, 0x402000, PAGE), 0);
	assert_int_equal(lab_write(dev, 0x200000 + 2 * MIB - 8, 5), 0);
	assert_int_equal(*(uint64_t *)(lab.private + 2 * MIB - 8), 5);
	assert_true(lab_reaches(dev, 0x402000));
	assert_false(lab_reaches(dev, 0x401000));
	/* the last one is cut: what is before it goes */
	assert_int_equal(lab_map(ioas, VA_SHARED, 0x500000, 2 * PAGE), 0);
	assert_int_equal(lab_unmap(ioas, 0, 0x501000), -ENOENT);
	assert_false(lab_reaches(dev, 0x200000) || lab_reaches(dev, 0x400000) || lab_reaches(dev, 0x402000));
	assert_true(lab_reaches(dev, 0x500000));
	assert_int_equal(lab_pinned(), 2);
	end();
}

static void IFD_077_IFD_083_IFD_084_a_copy_shares_pages(void **state)
{
	uint32_t ioas = attached();

	assert_int_equal(lab_map(ioas, VA_SHARED, 0x10000, 8 * PAGE), 0);
	assert_int_equal(lab_pinned(), 8);
	assert_int_equal(lab_copy(ioas, 0x80000, ioas, 0x12000, 4 * PAGE), 0);
	assert_int_equal(lab_copy(ioas, 0xa0000, ioas, 0x10000, 8 * PAGE), 0);
	assert_int_equal(lab_pinned(), 8);
	lab.shared[0x3000] = 42;
	assert_int_equal(lab_unmap(ioas, 0x10000, 8 * PAGE), 0);
	assert_int_equal(lab_unmap(ioas, 0xa0000, 8 * PAGE), 0);
	assert_true(lab_reaches(dev, 0x83000));
	assert_false(lab_reaches(dev, 0x84000));
	assert_int_equal(lab_write(dev, 0x81000, 9), 0);
	assert_int_equal(*(uint64_t *)(lab.shared + 0x3000), 9);
	assert_int_equal(lab_unmap(ioas, 0x80000, 4 * PAGE), 0);
	assert_int_equal(lab_pinned(), 0);
	end();
}

static void IFD_078_what_is_pinned_can_be_copied_when_its_memory_is_gone(void **state)
{
	uint32_t ioas = attached();

	assert_int_equal(lab_map(ioas, VA_SHARED, 0x10000, 2 * PAGE), 0);
	lab.mm.area[0].gone = true;
	assert_int_equal(lab_copy(ioas, 0x80000, ioas, 0x10000, 2 * PAGE), 0);
	assert_int_equal(lab_write(dev, 0x81000, 9), 0);
	assert_int_equal(*(uint64_t *)(lab.shared + 0x1000), 9);
	assert_int_equal(lab_map(ioas, VA_SHARED, 0x20000, PAGE), -EFAULT);
	end();
}

static void IFD_061_what_is_pinned_stays_the_target(void **state)
{
	uint32_t ioas = attached();

	assert_int_equal(lab_map(ioas, VA_SHARED, 0x10000, PAGE), 0);
	lab.mm.area[0].gone = true;
	assert_int_equal(lab_write(dev, 0x10000, 3), 0);
	assert_int_equal(*(uint64_t *)lab.shared, 3);
	end();
}

static void copy_of_a_part_pins_a_part(void **state)
{
	uint32_t plain = lab_ioas(), ioas = attached();

	assert_int_equal(lab_map(plain, VA_SHARED, 0x10000, 16 * PAGE), 0);
	assert_int_equal(lab_copy(ioas, 0x80000, plain, 0x14000, 2 * PAGE), 0);
	assert_int_equal(lab_pinned(), 2);
	assert_int_equal(lab_copy(ioas, 0x90000, plain, 0x13000, 4 * PAGE), 0);
	assert_int_equal(lab_pinned(), 4);
	lab.shared[0x4000] = 1;
	lab.shared[0x6000] = 2;
	assert_int_equal(lab_unmap(ioas, 0x80000, 2 * PAGE), 0);
	assert_int_equal(lab_pinned(), 4);
	int rc;
	assert_int_equal(lab_read(dev, 0x91000, &rc), 1);
	assert_int_equal(lab_read(dev, 0x93000, &rc), 2);
	end();
}

static void IFD_096_IFD_097_IFD_094_counted_once_and_limited(void **state)
{
	struct iommu_dev *weak = lab_alone("b", &unit_weak);
	uint32_t ioas = lab_ioas(), pt = ioas;
	struct iommufd_device *iw;

	lab.mm.limit = 8 * PAGE;
	assert_int_equal(lab_map(ioas, VA_SHARED, 0x10000, 9 * PAGE), 0);
	dev = lab_alone("a", &unit_strong);
	idev = lab_bind(dev);
	iw = lab_bind(weak);
	assert_int_equal(iommufd_device_attach(idev, IOMMUFD_NO_PASID, &pt), -ENOMEM);
	assert_int_equal(lab_pinned(), 0);
	assert_int_equal(lab_unmap(ioas, 0x10000, 9 * PAGE), 0);
	assert_int_equal(lab_map(ioas, VA_SHARED, 0x10000, 5 * PAGE), 0);
	assert_int_equal(iommufd_device_attach(idev, IOMMUFD_NO_PASID, &pt), 0);
	pt = ioas;
	assert_int_equal(iommufd_device_attach(iw, IOMMUFD_NO_PASID, &pt), 0);
	assert_int_equal(lab_map(ioas, VA_PRIVATE, 0x20000, 4 * PAGE), -ENOMEM);
	assert_int_equal(lab_map(ioas, VA_PRIVATE, 0x20000, 3 * PAGE), 0);
	/* The same memory once more is another pages object. */
	assert_int_equal(lab_map(ioas, VA_PRIVATE, 0x30000, PAGE), -ENOMEM);
	assert_int_equal(lab_copy(ioas, 0x30000, ioas, 0x20000, PAGE), 0);
	assert_int_equal(lab_pinned(), 8);
	assert_int_equal(lab_unmap(ioas, 0x10000, 5 * PAGE), 0);
	assert_int_equal(lab_map(ioas, VA_PRIVATE, 0x10000, 5 * PAGE), 0);
	lab_unbind(iw);
	iommu_dev_destroy(weak);
	end();
}

static void IFD_095_who_may_lock_is_not_limited(void **state)
{
	uint32_t ioas = attached();

	lab.mm.limit = PAGE;
	lab.caller.ipc_lock = true;
	assert_int_equal(lab_map(ioas, VA_SHARED, 0x10000, 9 * PAGE), 0);
	lab.caller.ipc_lock = false;
	assert_int_equal(lab_map(ioas, VA_SHARED, 0x20000, PAGE), 0);
	assert_int_equal(lab_map(ioas, VA_SHARED, 0x30000, PAGE), -ENOMEM);
	end();
}

static bool all_caps(struct task *t, enum task_cap cap)
{
	return cap != TASK_CAP_IPC_LOCK;
}

/* By user: two processes of one share; by process: each its own. */
static void limit_by_user_or_process(void **state)
{
	struct task_ops ops = lab_ops;
	struct fake_task other;
	struct fake_mm mm;

	fake_init(&mm, &other);
	ops.capable = all_caps;
	other.t.ops = lab.caller.t.ops = &ops;
	fake_add(&mm, VA_SHARED, MIB, true, true);
	mm.limit = lab.mm.limit = 4 * PAGE;
	for (unsigned by_mm = 0; by_mm < 2; by_mm++) {
		struct fake_task mine = lab.caller;
		uint32_t ioas;

		if (by_mm)
			assert_int_equal(lab_option(IOMMU_OPTION_RLIMIT_MODE, 0, 1), 0);
		ioas = attached();
		assert_int_equal(lab_map(ioas, VA_SHARED, 0x10000, 3 * PAGE), 0);
		lab.caller = other;
		assert_int_equal(lab_map(ioas, VA_SHARED, 0x20000, 3 * PAGE), by_mm ? 0 : -ENOMEM);
		assert_int_equal(lab_map(ioas, VA_SHARED, 0x30000, PAGE), 0);
		lab.caller = mine;
		assert_int_equal(atomic_load(&lab.mm.mm.locked_pages), by_mm ? 3 : 0);
		assert_int_equal(atomic_load(&mm.mm.locked_pages), by_mm ? 4 : 0);
		end();
		assert_int_equal(lab_destroy(ioas), 0);
	}
	assert_int_equal(mm.shares, 0);
	lab.caller.t.ops = &lab_ops;
	mm_put(&mm.mm);
	assert_true(mm.freed);
}

static void IFD_086_large_pages_are_decided_before(void **state)
{
	uint32_t ioas = attached();

	assert_int_equal(lab_map(ioas, VA_SHARED, 0x10000, PAGE), 0);
	assert_int_equal(lab_option(IOMMU_OPTION_HUGE_PAGES, ioas, 0), -EINVAL);
	assert_int_equal(lab_unmap(ioas, 0x10000, PAGE), 0);
	assert_int_equal(lab_option(IOMMU_OPTION_HUGE_PAGES, ioas, 0), 0);
	assert_int_equal(lab_map(ioas, VA_SHARED, 0x10000, PAGE), 0);
	assert_int_equal(lab_option(IOMMU_OPTION_HUGE_PAGES, ioas, 0), 0);
	assert_int_equal(lab_option(IOMMU_OPTION_HUGE_PAGES, ioas, 1), 0);
	end();
}

static long compat_unmap(iova_t iova, uint64_t size, uint64_t *removed)
{
	struct vfio_iommu_type1_dma_unmap u = { .argsz = sizeof(u), .iova = iova, .size = size };
	long rc = lab_ioctl(VFIO_IOMMU_UNMAP_DMA, &u);

	*removed = u.size;
	return rc;
}

static void IFD_115_type1_unmaps_any_page_of_what_is_pinned(void **state)
{
	uint32_t ioas = attached();
	struct iommu_vfio_ioas v = { .size = sizeof(v), .ioas_id = ioas, .op = IOMMU_VFIO_IOAS_SET };
	struct vfio_iommu_type1_dma_map m = { .argsz = sizeof(m), .flags = 3, .vaddr = VA_SHARED, .iova = 0x200000,
					      .size = 2 * MIB };
	uint64_t n;

	assert_int_equal(lab_ioctl(IOMMU_VFIO_IOAS, &v), 0);
	assert_int_equal(lab_ioctl(VFIO_IOMMU_MAP_DMA, &m), 0);
	assert_int_equal(compat_unmap(0x201000, PAGE, &n), -ENOENT);
	assert_int_equal(n, 0);
	assert_int_equal(compat_unmap(0x200000, 2 * MIB, &n), 0);
	assert_int_equal(lab_ioctl(VFIO_SET_IOMMU, (void *)VFIO_TYPE1_IOMMU), 0);
	assert_int_equal(lab_ioctl(VFIO_IOMMU_MAP_DMA, &m), 0);
	assert_int_equal(compat_unmap(0x201000, PAGE, &n), 0);
	assert_int_equal(n, PAGE);
	assert_int_equal(lab_pinned(), 512); /* the pin is one, but ... */
	assert_true(lab_reaches(dev, 0x200000) && lab_reaches(dev, 0x202000));
	assert_false(lab_reaches(dev, 0x201000));
	lab.mm.limit = 511 * PAGE; /* ... a page less is counted */
	m = (struct vfio_iommu_type1_dma_map){ .argsz = sizeof(m), .flags = 3, .vaddr = VA_SHARED, .iova = 0x201000, .size = PAGE };
	assert_int_equal(lab_ioctl(VFIO_IOMMU_MAP_DMA, &m), -ENOMEM);
	lab.mm.limit = 512 * PAGE;
	assert_int_equal(lab_ioctl(VFIO_IOMMU_MAP_DMA, &m), 0);
	assert_int_equal(compat_unmap(0x280000, 0x80000, &n), 0);
	assert_int_equal(n, 0x80000);
	assert_false(lab_reaches(dev, 0x280000) || lab_reaches(dev, 0x2ff000));
	assert_true(lab_reaches(dev, 0x27f000) && lab_reaches(dev, 0x300000));
	assert_int_equal(compat_unmap(0, 1ull << 40, &n), 0);
	assert_int_equal(n, 2 * MIB - 0x80000);
	assert_int_equal(lab_pinned(), 0);
	end();
}

static long map_file(uint32_t ioas, uint64_t start, uint64_t length, iova_t iova)
{
	struct iommu_ioas_map_file a = { .size = sizeof(a), .flags = RW | IOMMU_IOAS_MAP_FIXED_IOVA, .ioas_id = ioas, .fd = 3,
					 .start = start, .length = length, .iova = iova };

	return lab_ioctl(IOMMU_IOAS_MAP_FILE, &a);
}

static void IFD_063_IFD_064_IFD_065_IFD_066_files(void **state)
{
	uint32_t ioas = attached();
	int rc, plain = open("/proc/self/exe", O_RDONLY);
	char *view;

	assert_int_equal(map_file(ioas, 0, PAGE, 0x1000), -EBADF);
	lab.host_fd = memfd_create("x", 0);
	assert_int_equal(ftruncate(lab.host_fd, 4 * PAGE + 100), 0);
	view = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, lab.host_fd, 0);
	assert_int_equal(map_file(ioas, 0, 5 * PAGE, 0x1000), -EINVAL);
	assert_int_equal(map_file(ioas, 0x10000, PAGE, 0x1000), -EINVAL);
	assert_int_equal(map_file(ioas, 0x10, PAGE, 0x1000), -EINVAL);
	assert_int_equal(map_file(ioas, PAGE, 3 * PAGE, 0x10000), 0);
	close(lab.host_fd);
	lab.host_fd = -1;
	view[PAGE + 5] = 7;
	assert_int_equal(lab_read(dev, 0x10005, &rc) & 0xff, 7);
	assert_int_equal(lab_write(dev, 0x12000, 0x11), 0);
	assert_int_equal(view[3 * PAGE], 0x11);
	assert_int_equal(lab_pinned(), 3);
	munmap(view, 4 * PAGE);
	assert_true(lab_reaches(dev, 0x12000));
	lab.host_fd = plain;
	assert_int_equal(map_file(ioas, 0, PAGE, 0x20000), -EINVAL);
	iommufd_device_detach(idev, IOMMUFD_NO_PASID);
	assert_int_equal(map_file(ioas, 0, PAGE, 0x20000), 0);
	assert_int_equal(iommufd_device_attach(idev, IOMMUFD_NO_PASID, &ioas), -EINVAL);
	close(plain);
	lab.host_fd = -1;
	end();
}

static long change_process(void)
{
	struct iommu_ioas_change_process a = { .size = sizeof(a) };

	return lab_ioctl(IOMMU_IOAS_CHANGE_PROCESS, &a);
}

static void IFD_098_IFD_099_change_process(void **state)
{
	struct task_ops ops = lab_ops;
	struct fake_task mine, other;
	struct fake_mm mm;
	uint32_t ioas;

	fake_init(&mm, &other);
	ops.capable = all_caps;
	other.t.ops = lab.caller.t.ops = &ops;
	mine = lab.caller;
	assert_int_equal(lab_option(IOMMU_OPTION_RLIMIT_MODE, 0, 1), 0);
	ioas = attached();
	lab.host_fd = memfd_create("x", 0);
	assert_int_equal(ftruncate(lab.host_fd, 8 * PAGE), 0);
	assert_int_equal(map_file(ioas, 0, 3 * PAGE, 0x10000), 0);
	assert_int_equal(map_file(ioas, 0, 2 * PAGE, 0x20000), 0);
	assert_int_equal(lab_copy(ioas, 0x30000, ioas, 0x20000, 2 * PAGE), 0);
	assert_int_equal(atomic_load(&lab.mm.mm.locked_pages), 5);
	lab.caller = other;
	mm.limit = 4 * PAGE;
	assert_int_equal(change_process(), -ENOMEM);
	assert_int_equal(atomic_load(&lab.mm.mm.locked_pages), 5);
	assert_int_equal(atomic_load(&mm.mm.locked_pages), 0);
	mm.limit = 5 * PAGE;
	assert_int_equal(change_process(), 0);
	assert_int_equal(atomic_load(&lab.mm.mm.locked_pages), 0);
	assert_int_equal(atomic_load(&mm.mm.locked_pages), 5);
	assert_int_equal(change_process(), 0); /* to itself: nothing is charged twice */
	assert_int_equal(atomic_load(&mm.mm.locked_pages), 5);
	assert_int_equal(lab_unmap(ioas, 0x10000, 3 * PAGE), 0);
	assert_int_equal(atomic_load(&mm.mm.locked_pages), 2);
	lab.caller = mine;
	assert_int_equal(lab_map(ioas, VA_SHARED, 0x40000, PAGE), 0);
	assert_int_equal(change_process(), -EINVAL);
	end();
	assert_int_equal(atomic_load(&mm.mm.locked_pages), 0);
	assert_int_equal(lab_destroy(ioas), 0);
	close(lab.host_fd);
	lab.host_fd = -1;
	lab.caller.t.ops = &lab_ops;
	mm_put(&mm.mm);
	assert_true(mm.freed);
}

/* A mapping over areas of all kinds: spans and pieces of every length. */
static void pieces_of_many_kinds(void **state)
{
	uint32_t ioas = attached(), other = lab_ioas();
	int rc;

	for (unsigned i = 0; i < 8; i++) /* 0x60000000: shared and private pages by turns, in one range */
		memset(fake_add(&lab.mm, 0x60000000 + i * 4 * PAGE, 4 * PAGE, i % 2, true), (int)i + 1, 4 * PAGE);
	assert_int_equal(lab_map(ioas, 0x60000000, 0x200000, 32 * PAGE), 0);
	for (unsigned i = 0; i < 32; i++)
		assert_int_equal(lab_read(dev, 0x200000 + i * PAGE, &rc) & 0xff, i / 4 + 1);
	for (unsigned n = 1; n < 32; n++) {
		for (unsigned from = 0; from + n <= 32; from += 5) {
			assert_int_equal(lab_copy(other, 0x1000, ioas, 0x200000 + from * PAGE, n * PAGE), 0);
			assert_int_equal(lab_copy(ioas, 0x800000, other, 0x1000, n * PAGE), 0);
			assert_int_equal(lab_read(dev, 0x800000 + (n - 1) * PAGE, &rc) & 0xff, (from + n - 1) / 4 + 1);
			assert_int_equal(lab_unmap(ioas, 0x800000, n * PAGE), 0);
			assert_int_equal(lab_unmap(other, 0x1000, n * PAGE), 0);
		}
	}
	assert_int_equal(lab_pinned(), 32);
	end();
}

/* Against a model of pages and counts: random maps, copies, unmaps. */
static void random_copies(void **state)
{
	uint32_t ioas = attached();
	unsigned seed = 7;
	struct { unsigned page, n; } area[64] = { { 0, 0 } };

	assert_int_equal(lab_map(ioas, VA_PRIVATE, 0x40000000, 128 * PAGE), 0);
	for (unsigned i = 0; i < 128; i++)
		*(uint64_t *)(lab.private + i * PAGE) = i + 1000;
	for (unsigned round = 0; round < 5000; round++) {
		unsigned r = seed = seed * 1103515245 + 12345, k = (r >> 8) % 64;
		iova_t at = 0x50000000 + (iova_t)k * 0x100000;
		int rc;

		if (area[k].n) {
			unsigned i = (r >> 16) % area[k].n;

			assert_int_equal(lab_read(dev, at + i * PAGE, &rc), area[k].page + i + 1000);
			assert_int_equal(lab_unmap(ioas, at, area[k].n * PAGE), 0);
			area[k].n = 0;
		} else {
			area[k].page = (r >> 14) % 100;
			area[k].n = (r >> 22) % 28 + 1;
			assert_int_equal(lab_copy(ioas, at, ioas, 0x40000000 + area[k].page * PAGE, area[k].n * PAGE), 0);
		}
		assert_int_equal(lab_pinned(), 128);
	}
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(IFD_018_IFD_024_destroyed_and_closed_means_unpinned),
		T(IFD_062_IFD_076_maps_and_unmaps_are_seen_at_return),
		T(IFD_077_IFD_083_IFD_084_a_copy_shares_pages),
		T(IFD_078_what_is_pinned_can_be_copied_when_its_memory_is_gone),
		T(IFD_061_what_is_pinned_stays_the_target),
		T(copy_of_a_part_pins_a_part),
		T(IFD_096_IFD_097_IFD_094_counted_once_and_limited),
		T(IFD_095_who_may_lock_is_not_limited),
		T(limit_by_user_or_process),
		T(IFD_086_large_pages_are_decided_before),
		T(IFD_115_type1_unmaps_any_page_of_what_is_pinned),
		T(IFD_063_IFD_064_IFD_065_IFD_066_files),
		T(IFD_098_IFD_099_change_process),
		T(pieces_of_many_kinds),
		T(random_copies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
