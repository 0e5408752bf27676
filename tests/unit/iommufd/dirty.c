/* SPDX-License-Identifier: MIT */
/* Which pages devices have written. */
#include "iommufd_lab.h"
#include "base/lock.h"

static struct iommu_dev *dev;
static struct iommufd_device *idev;
static uint32_t ioas, hwpt;

static void begin(void)
{
	uint32_t pt;

	dev = lab_alone("a", &unit_dirty);
	idev = lab_bind(dev);
	ioas = lab_ioas();
	assert_int_equal(lab_hwpt(idev, ioas, IOMMU_HWPT_ALLOC_DIRTY_TRACKING, &hwpt), 0);
	pt = hwpt;
	assert_int_equal(iommufd_device_attach(idev, IOMMUFD_NO_PASID, &pt), 0);
}

static void end(void)
{
	lab_unbind(idev);
	iommu_dev_destroy(dev);
}

static long track(uint32_t id, uint32_t flags)
{
	struct iommu_hwpt_set_dirty_tracking a = { .size = sizeof(a), .flags = flags, .hwpt_id = id };

	return lab_ioctl(IOMMU_HWPT_SET_DIRTY_TRACKING, &a);
}

static long get(uint32_t flags, iova_t iova, uint64_t length, uint64_t page_size, void *data)
{
	struct iommu_hwpt_get_dirty_bitmap a = { .size = sizeof(a), .hwpt_id = hwpt, .flags = flags, .iova = iova,
						 .length = length, .page_size = page_size, .data = (uintptr_t)data };

	return lab_ioctl(IOMMU_HWPT_GET_DIRTY_BITMAP, &a);
}

/* Up to 64 pages */
static uint64_t bits(uint32_t flags, iova_t iova, uint64_t pages)
{
	uint64_t b = 0;

	assert_int_equal(get(flags, iova, pages * PAGE, PAGE, &b), 0);
	return b;
}

static void IFD_160_IFD_167_who_can_track(void **state)
{
	struct iommu_dev *other = lab_alone("b", &unit_strong);
	struct iommufd_device *io = lab_bind(other);
	uint32_t plain, pt;

	begin();
	pt = hwpt;
	assert_int_equal(iommufd_device_attach(io, IOMMUFD_NO_PASID, &pt), -EINVAL);
	assert_int_equal(lab_hwpt(idev, ioas, 0, &plain), 0);
	assert_int_equal(track(plain, 1), -EOPNOTSUPP);
	assert_int_equal(track(ioas, 1), -ENOENT);
	assert_int_equal(track(hwpt, 2), -EOPNOTSUPP);
	assert_int_equal(iommufd_device_attach(io, IOMMUFD_NO_PASID, &plain), 0);
	lab_unbind(io);
	iommu_dev_destroy(other);
	end();
}

static void IFD_161_IFD_162_IFD_164_writes_are_seen_until_they_are_asked_for(void **state)
{
	begin();
	assert_int_equal(lab_map(ioas, VA_SHARED, 0x10000, 16 * PAGE), 0);
	assert_int_equal(lab_write(dev, 0x10000, 1), 0);
	assert_int_equal(bits(0, 0x10000, 16), 0); /* nobody tracks */
	assert_int_equal(track(hwpt, 1), 0);
	assert_int_equal(bits(0, 0x10000, 16), 0);
	assert_true(lab_reaches(dev, 0x12000));
	assert_int_equal(lab_write(dev, 0x13000, 1), 0);
	assert_int_equal(lab_write(dev, 0x15ffc, 1), 0);
	assert_int_equal(lab_write(dev, 0x13008, 1), 0);
	assert_int_equal(bits(IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR, 0x10000, 16), 0x68);
	assert_int_equal(bits(IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR, 0x13000, 1), 1);
	assert_int_equal(bits(0, 0x10000, 16), 0x68);
	assert_int_equal(bits(0, 0x10000, 16), 0);
	assert_int_equal(lab_write(dev, 0x13000, 1), 0); /* a page it has just written */
	assert_int_equal(bits(IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR, 0x10000, 16), 8);
	assert_int_equal(track(hwpt, 1), 0);
	assert_int_equal(bits(0, 0x10000, 16), 0);
	assert_int_equal(lab_write(dev, 0x14000, 1), 0);
	assert_int_equal(track(hwpt, 0), 0);
	assert_int_equal(lab_write(dev, 0x15000, 1), 0);
	assert_int_equal(bits(0, 0x10000, 16), 0);
	end();
}

static void IFD_163_bits_are_added(void **state)
{
	unsigned char map[8] = { 0, 0x81, 0xa5 };

	begin();
	assert_int_equal(lab_map(ioas, VA_SHARED, 0x10000, 8 * PAGE), 0);
	assert_int_equal(track(hwpt, 1), 0);
	assert_int_equal(lab_write(dev, 0x11000, 1), 0);
	assert_int_equal(get(0, 0x10000, 8 * PAGE, PAGE, map + 1), 0);
	assert_int_equal(map[0], 0);
	assert_int_equal(map[1], 0x83);
	assert_int_equal(map[2], 0xa5);
	end();
}

static void large_pages_and_large_bits(void **state)
{
	uint64_t b[8] = { 0 };

	begin();
	assert_int_equal(lab_map(ioas, VA_SHARED, 0x200000, 4 * MIB), 0);
	assert_int_equal(track(hwpt, 1), 0);
	assert_int_equal(lab_write(dev, 0x5ff000, 1), 0);
	/* The second translation of 2 MiB, whole */
	assert_int_equal(get(IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR, 0x200000, 4 * MIB, MIB, b), 0);
	assert_int_equal(b[0], 0xc);
	b[0] = 0;
	assert_int_equal(get(IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR, 0x200000, 4 * MIB, 65536, b), 0);
	assert_int_equal(b[0], 0xffffffff00000000);
	assert_int_equal(bits(0, 0x400000, 64), UINT64_MAX);
	assert_int_equal(bits(0, 0x400000, 64), 0);
	end();
}

static void IFD_165_IFD_166_ranges(void **state)
{
	uint64_t b = 0;

	begin();
	assert_int_equal(lab_map(ioas, VA_SHARED, 0x10000, 4 * PAGE), 0);
	assert_int_equal(lab_map(ioas, VA_SHARED, 0x16000, 4 * PAGE), 0);
	assert_int_equal(track(hwpt, 1), 0);
	assert_int_equal(lab_write(dev, 0x11000, 1), 0);
	assert_int_equal(lab_write(dev, 0x17000, 1), 0);
	assert_int_equal(bits(IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR, 0x10000, 16), 2);
	assert_int_equal(bits(0, 0x8000, 16), 0);
	assert_int_equal(get(4, 0x10000, PAGE, PAGE, &b), -EOPNOTSUPP);
	assert_int_equal(get(0, 0x10000, 0, PAGE, &b), -EINVAL);
	assert_int_equal(get(0, 0x10000, PAGE, 0, &b), -EINVAL);
	assert_int_equal(get(0, 0x10010, PAGE, PAGE, &b), -EINVAL);
	assert_int_equal(get(0, 0x10000, PAGE + 16, PAGE, &b), -EINVAL);
	assert_int_equal(get(0, 0x11000, PAGE, 2 * PAGE, &b), -EINVAL);
	assert_int_equal(get(0, ~0xfffull, 2 * PAGE, PAGE, &b), -EOVERFLOW);
	fake_take_faults();
	assert_int_equal(get(0, 0x10000, PAGE, PAGE, (void *)8), 0);
	end();
}

/* A bitmap of many pieces */
static void long_bitmaps(void **state)
{
	static unsigned char map[20000];

	begin();
	assert_int_equal(lab_option(IOMMU_OPTION_HUGE_PAGES, ioas, 0), 0);
	fake_add(&lab.mm, 0x100000000, 512 * MIB, true, true);
	assert_int_equal(lab_map(ioas, 0x100000000, 0x100000000, 512 * MIB), 0);
	assert_int_equal(track(hwpt, 1), 0);
	memset(map, 0, sizeof(map));
	for (unsigned i = 0; i < 131072; i += 1021)
		assert_int_equal(lab_write(dev, 0x100000000 + i * PAGE, i), 0);
	assert_int_equal(get(0, 0x100000000, 512 * MIB, PAGE, map + 1), 0);
	for (unsigned i = 0; i < 131072; i++)
		assert_int_equal(map[1 + i / 8] >> i % 8 & 1, i % 1021 == 0);
	assert_int_equal(map[0], 0);
	assert_int_equal(map[1 + 16384], 0);
	end();
}

/* A page of 1 GiB lies in eight pieces, and is told and forgotten as one */
static void large_pages_in_many_pieces(void **state)
{
	static unsigned char map[3 * 32768];

	begin();
	fake_add(&lab.mm, 0x100000000, 3 * 1024 * MIB, true, true);
	assert_int_equal(lab_map(ioas, 0x100000000, 0x100000000, 3 * 1024 * MIB), 0);
	assert_int_equal(track(hwpt, 1), 0);
	memset(map, 0, sizeof(map));
	assert_int_equal(lab_write(dev, 0x140000000 + 512 * MIB, 1), 0);
	assert_int_equal(get(0, 0x100000000, 3 * 1024 * MIB, PAGE, map), 0);
	for (unsigned i = 0; i < sizeof(map); i++)
		assert_int_equal(map[i], i / 32768 == 1 ? 0xff : 0);
	memset(map, 0, sizeof(map));
	assert_int_equal(get(0, 0x100000000, 3 * 1024 * MIB, PAGE, map), 0);
	for (unsigned i = 0; i < sizeof(map); i++)
		assert_int_equal(map[i], 0);
	end();
}

#define HUNTED 512 /* pages */
static atomic_bool written;

static void writer(void *arg)
{
	for (unsigned i = 0; i < 40 * HUNTED; i++) {
		iova_t at = 0x200000 + (i * 37 % HUNTED) * PAGE;

		lab_write(dev, at, 1);
		if (i >= 39 * HUNTED)
			lab_write(dev, at + 0x200000, i); /* each page of the second half once */
	}
	atomic_store(&written, true);
}

/* Whatever is written while bits are fetched and cleared is told sooner or later. */
static void no_write_is_lost(void **state)
{
	unsigned char map[HUNTED * 2 / 8] = { 0 };
	struct thread t;
	bool last;

	begin();
	assert_int_equal(lab_option(IOMMU_OPTION_HUGE_PAGES, ioas, 0), 0);
	assert_int_equal(lab_map(ioas, VA_SHARED, 0x200000, 4 * MIB), 0);
	assert_int_equal(track(hwpt, 1), 0);
	atomic_store(&written, false);
	assert_int_equal(thread_start(&t, "write", writer, NULL), 0);
	do {
		last = atomic_load(&written);
		assert_int_equal(get(0, 0x200000, 4 * MIB, PAGE, map), 0);
	} while (!last);
	thread_join(&t);
	for (unsigned i = 0; i < sizeof(map); i++)
		assert_int_equal(map[i], 0xff);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(IFD_160_IFD_167_who_can_track),
		T(IFD_161_IFD_162_IFD_164_writes_are_seen_until_they_are_asked_for),
		T(IFD_163_bits_are_added),
		T(large_pages_and_large_bits),
		T(IFD_165_IFD_166_ranges),
		T(long_bitmaps),
		T(large_pages_in_many_pieces),
		T(no_write_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
