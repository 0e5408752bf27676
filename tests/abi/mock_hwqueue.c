/* SPDX-License-Identifier: MIT */
/* Hardware queues of virtual IOMMUs, and the memory they lock. */
#include "nested.h"

static int fd;
static uint32_t ioas, parent, v;
static struct mock m;

/* A context with a device on an IOAS, and a VIOMMU on a nest parent over the same */
static void begin(void)
{
	fd = iommu_open();
	ioas = ioas_alloc(fd);
	m = mock(fd, ioas, 0);
	parent = paging(fd, m.dev, ioas, PARENT, 0);
	v = viommu(fd, m.dev, parent);
}

TEST(checks, "31:TST-41 30:IFD-178", "what makes a hardware queue, and in which order it is checked")
{
	const uint64_t at = MOCK_APERTURE_START;
	struct iommu_hw_queue_alloc a = { .size = sizeof(a), .flags = 1, .type = IOMMU_HW_QUEUE_TYPE_SELFTEST };
	uint32_t none;

	begin();
	EXPECT_ERR(EOPNOTSUPP, x_ioctl(fd, IOMMU_HW_QUEUE_ALLOC, &a));
	a.flags = a.type = 0;
	EXPECT_ERR(EOPNOTSUPP, x_ioctl(fd, IOMMU_HW_QUEUE_ALLOC, &a));
	a.type = 1;
	EXPECT_ERR(EINVAL, x_ioctl(fd, IOMMU_HW_QUEUE_ALLOC, &a));
	a.length = PAGE;
	EXPECT_ERR(ENOENT, x_ioctl(fd, IOMMU_HW_QUEUE_ALLOC, &a));
	a.viommu_id = v;
	EXPECT_ERR(EOPNOTSUPP, x_ioctl(fd, IOMMU_HW_QUEUE_ALLOC, &a));
	EXPECT_ERR(EOVERFLOW, hw_queue_alloc(fd, 99, 0, ~(PAGE - 1), 2 * PAGE, &none));
	EXPECT_ERR(EINVAL, hw_queue_alloc(fd, v, 0, at, 0, &none));
	EXPECT_ERR(ENOENT, hw_queue_alloc(fd, parent, 0, at, PAGE, &none));
	EXPECT_ERR(ENOENT, hw_queue_alloc(fd, v, 0, at, PAGE, &none));
	EXPECT_ERR(ENOENT, hw_queue_alloc(fd, v, MOCK_HW_QUEUES, at, PAGE, &none));
	EXPECT_OK(ioas_map_at(fd, ioas, ram(PAGE), PAGE, at));
	EXPECT_ERR(EINVAL, hw_queue_alloc(fd, v, MOCK_HW_QUEUES, at, PAGE, &none));
	EXPECT_ERR(EIO, hw_queue_alloc(fd, v, 1, at, PAGE, &none));
	EXPECT_ERR(ENOENT, hw_queue_alloc(fd, v, 0, at, 2 * PAGE, &none));
	EXPECT_OK(ioas_unmap_n(fd, ioas, at, PAGE)); /* nothing held it */
}

TEST(queues, "31:TST-41 30:IFD-178", "hardware queues lock their memory; the second one holds the first")
{
	const uint64_t at = MOCK_APERTURE_START;
	uint32_t zero, one, none;
	char *p;

	begin();
	p = ram(PAGE);
	*p = 1;
	EXPECT_OK(ioas_map_at(fd, ioas, p, PAGE, at));
	EXPECT_OK(hw_queue_alloc(fd, v, 0, at, PAGE, &zero));
	EXPECT_ERR(EEXIST, hw_queue_alloc(fd, v, 0, at, PAGE, &none));
	EXPECT_ERR(EBUSY, ioas_unmap_n(fd, ioas, at, PAGE));
	EXPECT_ERR(EBUSY, ioas_unmap_n(fd, ioas, 0, ALL));
	EXPECT_ERR(EBUSY, destroy(fd, v));
	EXPECT_OK(hw_queue_alloc(fd, v, 1, at + 0x100, 0x100, &one)); /* any bytes of a page */
	EXPECT_ERR(EEXIST, hw_queue_alloc(fd, v, 1, at, PAGE, &none));
	EXPECT_ERR(EBUSY, destroy(fd, zero));
	EXPECT_OK(destroy(fd, one));
	EXPECT_OK(destroy(fd, zero));
	EXPECT_OK(ioas_unmap_n(fd, ioas, at, PAGE));
	EXPECT_OK(destroy(fd, v));
}

TEST(lock, "30:IFD-178", "the areas of a queue are locked whole, others are not, and each queue locks for itself")
{
	const uint64_t at = MOCK_APERTURE_START;
	uint32_t w, zero, same;
	char *p;

	begin();
	w = viommu(fd, m.dev, parent);
	p = ram(4 * PAGE);
	EXPECT_OK(ioas_map_at(fd, ioas, p, 2 * PAGE, at));
	EXPECT_OK(ioas_map_at(fd, ioas, p + 2 * PAGE, PAGE, at + 0x10000));
	EXPECT_OK(hw_queue_alloc(fd, v, 0, at + PAGE, PAGE, &zero));
	EXPECT_OK(hw_queue_alloc(fd, w, 0, at, PAGE, &same));
	EXPECT_ERR(EBUSY, ioas_unmap_n(fd, ioas, at, 2 * PAGE));
	EXPECT_OK(ioas_unmap_n(fd, ioas, at + 0x10000, PAGE));
	EXPECT_OK(destroy(fd, zero));
	EXPECT_ERR(EBUSY, ioas_unmap_n(fd, ioas, at, 2 * PAGE));
	EXPECT_OK(destroy(fd, same));
	EXPECT_OK(ioas_unmap_n(fd, ioas, at, 2 * PAGE));
}

TEST(pages, "30:IFD-178", "a queue's pages are readable and follow one another in memory")
{
	const uint64_t at = MOCK_APERTURE_START;
	int file = memfd_create("x", 0);
	uint64_t iova = at;
	uint32_t none;

	begin();
	EXPECT_OK(ftruncate(file, (off_t)PAGE));
	EXPECT_OK(ioas_map_file(fd, ioas, file, 0, PAGE, RW | FIXED, &iova));
	iova = at + PAGE;
	EXPECT_OK(ioas_map_file(fd, ioas, file, 0, PAGE, RW | FIXED, &iova));
	close(file);
	EXPECT_ERR(EFAULT, hw_queue_alloc(fd, v, 0, at, 2 * PAGE, &none)); /* one page twice */
	EXPECT_ERR(EFAULT, hw_queue_alloc(fd, v, 0, at + PAGE - 8, 16, &none));
	EXPECT_ERR(EFAULT, hw_queue_alloc(fd, v, MOCK_HW_QUEUES, at, 2 * PAGE, &none));
	EXPECT_OK(hw_queue_alloc(fd, v, 0, at + PAGE - 8, 8, &none));
	EXPECT_OK(destroy(fd, none));
	EXPECT_OK(ioas_unmap_n(fd, ioas, at, 2 * PAGE));
	EXPECT_OK(ioas_map(fd, ioas, ram(PAGE), PAGE, WRITE | FIXED, &iova));
	EXPECT_ERR(EPERM, hw_queue_alloc(fd, v, 0, iova, PAGE, &none));
	EXPECT_OK(ioas_unmap_n(fd, ioas, iova, PAGE));
	EXPECT_OK(ioas_map(fd, ioas, ram(PAGE), PAGE, READ | FIXED, &iova));
	EXPECT_OK(hw_queue_alloc(fd, v, 0, iova, PAGE, &none));
}

TEST(of_one_ioas, "30:IFD-178", "a queue is of the nest parent's IOAS")
{
	const uint64_t at = MOCK_APERTURE_START;
	uint32_t other, none;

	begin();
	other = ioas_alloc(fd);
	EXPECT_OK(mock_replace_id(fd, m.stdev, other));
	EXPECT_OK(ioas_map_at(fd, other, ram(PAGE), PAGE, at));
	EXPECT_ERR(ENOENT, hw_queue_alloc(fd, v, 0, at, PAGE, &none));
	EXPECT_OK(ioas_map_at(fd, ioas, ram(PAGE), PAGE, at));
	EXPECT_OK(hw_queue_alloc(fd, v, 0, at, PAGE, &none));
	EXPECT_OK(ioas_unmap_n(fd, other, at, PAGE));
	EXPECT_ERR(EBUSY, ioas_unmap_n(fd, ioas, at, PAGE));
	EXPECT_OK(x_close(fd)); /* with all in place */
}
