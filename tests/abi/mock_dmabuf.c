/* SPDX-License-Identifier: MIT */
/* Areas of an IOAS that are dma-bufs, which their exporter takes away and gives back. */
#include "nested.h"

#define LENGTH (4 * PAGE)
#define AT     MOCK_APERTURE_START

static int fd, buf;
static uint32_t ioas, table;
static struct mock m;

/* An IOAS that maps page by page, so that a page is seen by itself */
static uint32_t ioas_of_pages(int ctx)
{
	uint32_t id = ioas_alloc(ctx);

	EXPECT_OK(option_set(ctx, IOMMU_OPTION_HUGE_PAGES, id, 0));
	return id;
}

/* A context with a dma-buf of four pages, and a device that tells what it wrote to */
static void begin(void)
{
	fd = iommu_open();
	ioas = ioas_of_pages(fd);
	m = mock(fd, ioas, 0);
	table = paging(fd, m.dev, ioas, IOMMU_HWPT_ALLOC_DIRTY_TRACKING, 0);
	buf = EXPECT_OK(dmabuf_get(fd, LENGTH, O_RDWR | O_CLOEXEC));
}

static int map(uint64_t start, uint64_t length, uint64_t iova)
{
	return ioas_map_file(fd, ioas, buf, start, length, RW | FIXED, &iova);
}

/* Does the hardware have something at @iova? It has when a write there is noticed. */
static bool reached_through(uint32_t id, uint64_t iova)
{
	uint8_t one = 1, seen = 0;
	uint64_t n;

	EXPECT_OK(dirty_track(fd, id, true));
	EXPECT_OK(mock_dirty(fd, id, iova, PAGE, PAGE, &one, &n));
	EXPECT_OK(dirty_get(fd, id, iova, PAGE, PAGE, &seen, 0));
	return seen == 1;
}

static bool reached(uint64_t iova)
{
	return reached_through(table, iova);
}

TEST(get, "31:TST-28", "a dma-buf has up to 512 pages, as many as its length begins")
{
	int one;

	begin();
	EXPECT_ERR(EINVAL, dmabuf_get(fd, 0, O_RDWR));
	EXPECT_ERR(EINVAL, dmabuf_get(fd, 512 * PAGE + 1, O_RDWR));
	EXPECT_ERR(EINVAL, dmabuf_get(fd, UINT32_MAX, O_RDWR));
	one = EXPECT_OK(dmabuf_get(fd, 1, O_RDWR));
	EXPECT(one != buf);
	EXPECT_OK(x_close(buf));
	buf = one;
	EXPECT_OK(map(0, PAGE, AT));
	EXPECT_ERR(EINVAL, map(0, 2 * PAGE, AT + LENGTH));
	EXPECT_OK(x_close(buf));
	buf = EXPECT_OK(dmabuf_get(fd, 512 * PAGE, O_RDWR));
	EXPECT_OK(map(0, 512 * PAGE, AT + LENGTH));
	EXPECT_OK(x_close(buf));
}

TEST(range, "30:IFD-067 31:TST-28", "what is mapped of a dma-buf lies inside it")
{
	begin();
	EXPECT_ERR(EINVAL, map(0, 0, AT));
	EXPECT_ERR(EINVAL, map(0, LENGTH + 1, AT));
	EXPECT_ERR(EINVAL, map(0, LENGTH + PAGE, AT));
	EXPECT_ERR(EINVAL, map(PAGE, LENGTH, AT));
	EXPECT_ERR(EINVAL, map(LENGTH, PAGE, AT));
	EXPECT_ERR(EOVERFLOW, map(~(PAGE - 1), 2 * PAGE, AT));
	EXPECT_OK(map(0, LENGTH, AT));
	EXPECT_ERR(EEXIST, map(0, LENGTH, AT));
	EXPECT_OK(map(PAGE, 2 * PAGE, AT + LENGTH));
	EXPECT_OK(map(LENGTH - PAGE, PAGE, AT + 2 * LENGTH));
	EXPECT(reached(AT) && reached(AT + LENGTH - PAGE) && reached(AT + LENGTH + PAGE) && reached(AT + 2 * LENGTH));
	EXPECT(!reached(AT + LENGTH + 2 * PAGE));
	EXPECT_OK(x_close(buf)); /* the areas hold it */
	EXPECT(reached(AT));
	EXPECT_OK(ioas_unmap_n(fd, ioas, AT, LENGTH));
	EXPECT(!reached(AT));
	EXPECT(reached(AT + LENGTH));
}

TEST(automatic, "30:IFD-067 31:TST-28", "a dma-buf finds a place by itself; cutting it is refused")
{
	uint64_t iova = 0, n = PAGE;

	begin();
	EXPECT_OK(ioas_map_file(fd, ioas, buf, 0, LENGTH, RW, &iova));
	EXPECT(iova >= AT && reached(iova));
	EXPECT_ERR(ENOENT, ioas_unmap(fd, ioas, iova, &n));
	n = ALL;
	EXPECT_OK(ioas_unmap(fd, ioas, 0, &n));
	EXPECT_EQ(LENGTH, n);
	EXPECT_OK(x_close(buf));
}

TEST(later, "31:TST-28 30:IFD-067", "a dma-buf that was mapped before there was hardware is there when it comes")
{
	uint32_t late;

	begin();
	EXPECT_OK(map(0, LENGTH, AT));
	late = paging(fd, m.dev, ioas, IOMMU_HWPT_ALLOC_DIRTY_TRACKING, 0);
	EXPECT(reached_through(late, AT + PAGE));
	EXPECT_OK(dmabuf_revoke(fd, buf, true));
	EXPECT(!reached_through(late, AT + PAGE));
	EXPECT(!reached(AT + PAGE));
	EXPECT_OK(x_close(buf));
}

TEST(revoke_checks, "31:TST-29", "REVOKE takes dma-bufs of this exporter")
{
	int file = memfd_create("x", 0), closed = dup(file);

	begin();
	EXPECT_ERR(EBADF, dmabuf_revoke(fd, -1, true));
	close(closed);
	if (test_door() != DOOR_CAPI)
		EXPECT_ERR(EBADF, dmabuf_revoke(fd, closed, true));
	EXPECT_ERR(EINVAL, dmabuf_revoke(fd, file, true));
	EXPECT_ERR(EINVAL, dmabuf_revoke(fd, fd, true));
	EXPECT_ERR(EINVAL, dmabuf_revoke(fd, fd, false));
	close(file);
	EXPECT_OK(x_close(buf));
}

TEST(returned_unrevoked, "31:TST-29 30:IFD-069", "giving back what was not taken ends the areas there are, too")
{
	begin();
	EXPECT_OK(dmabuf_revoke(fd, buf, false));
	EXPECT_OK(map(0, LENGTH, AT));
	EXPECT(reached(AT));
	EXPECT_OK(dmabuf_revoke(fd, buf, false));
	EXPECT(!reached(AT));
	EXPECT_OK(map(0, LENGTH, AT + LENGTH));
	EXPECT(reached(AT + LENGTH));
	EXPECT_OK(x_close(buf));
}

TEST(revoked, "30:IFD-068 31:TST-29", "a revoked dma-buf is out of the hardware's reach, but keeps its place")
{
	begin();
	EXPECT_OK(map(0, LENGTH, AT));
	EXPECT_OK(map(PAGE, PAGE, AT + LENGTH));
	EXPECT_OK(dmabuf_revoke(fd, buf, true));
	EXPECT(!reached(AT) && !reached(AT + LENGTH - PAGE) && !reached(AT + LENGTH));
	EXPECT_ERR(ENODEV, map(0, LENGTH, AT + 4 * LENGTH));
	EXPECT_ERR(EINVAL, map(0, LENGTH + PAGE, AT + 4 * LENGTH)); /* size first */
	EXPECT_ERR(EEXIST, ioas_map_at(fd, ioas, ram(PAGE), PAGE, AT));
	EXPECT_OK(dmabuf_revoke(fd, buf, true));
	EXPECT_OK(ioas_unmap_n(fd, ioas, AT, LENGTH));
	EXPECT_OK(ioas_map_at(fd, ioas, ram(PAGE), PAGE, AT));
	EXPECT(reached(AT));
	EXPECT_OK(x_close(buf));
}

TEST(revoked_hardware, "30:IFD-068", "hardware that comes while a dma-buf is revoked leaves it out, and takes the rest")
{
	uint32_t late;

	begin();
	EXPECT_OK(map(0, LENGTH, AT));
	EXPECT_OK(ioas_map_at(fd, ioas, ram(PAGE), PAGE, AT + LENGTH));
	EXPECT_OK(dmabuf_revoke(fd, buf, true));
	late = paging(fd, m.dev, ioas, IOMMU_HWPT_ALLOC_DIRTY_TRACKING, 0);
	EXPECT(!reached_through(late, AT) && reached_through(late, AT + LENGTH));
	EXPECT_OK(dmabuf_revoke(fd, buf, false));
	EXPECT(!reached_through(late, AT));
	EXPECT_OK(destroy(fd, late));
	EXPECT_OK(x_close(buf));
}

TEST(returned, "30:IFD-069 31:TST-29", "a dma-buf that is given back is mapped anew; the old areas stay dead")
{
	begin();
	EXPECT_OK(map(0, LENGTH, AT));
	EXPECT_OK(dmabuf_revoke(fd, buf, true));
	EXPECT_OK(dmabuf_revoke(fd, buf, false));
	EXPECT(!reached(AT));
	EXPECT_OK(map(0, LENGTH, AT + LENGTH));
	EXPECT(reached(AT + LENGTH) && !reached(AT));
	EXPECT_OK(ioas_unmap_n(fd, ioas, AT, LENGTH));
	EXPECT_OK(map(0, LENGTH, AT));
	EXPECT(reached(AT));
	EXPECT_OK(dmabuf_revoke(fd, buf, true));
	EXPECT(!reached(AT) && !reached(AT + LENGTH));
	EXPECT_OK(x_close(buf));
}

TEST(all_areas, "30:IFD-068 31:TST-29", "revoking reaches every IOAS and context that has the dma-buf")
{
	uint32_t second, its, far, far_ioas;
	uint64_t iova = AT;
	struct mock there;
	int other, here;

	begin();
	second = ioas_of_pages(fd);
	its = paging(fd, m.dev, second, IOMMU_HWPT_ALLOC_DIRTY_TRACKING, 0);
	EXPECT_OK(map(0, LENGTH, AT));
	EXPECT_OK(ioas_map_file(fd, second, buf, 0, LENGTH, RW | FIXED, &iova));
	other = iommu_open();
	far_ioas = ioas_of_pages(other);
	there = mock(other, far_ioas, 0);
	far = paging(other, there.dev, far_ioas, IOMMU_HWPT_ALLOC_DIRTY_TRACKING, 0);
	EXPECT_OK(ioas_map_file(other, far_ioas, buf, 0, LENGTH, RW | FIXED, &iova));
	here = fd;
	fd = other;
	EXPECT(reached_through(far, AT));
	EXPECT_OK(dmabuf_revoke(here, buf, true));
	EXPECT(!reached_through(far, AT));
	fd = here;
	EXPECT(!reached(AT) && !reached_through(its, AT));
	EXPECT_OK(x_close(buf));
}

TEST(no_access, "31:TST-28", "what uses an IOAS as the kernel does cannot read a dma-buf")
{
	char byte[8];
	uint32_t item;
	int access;

	begin();
	EXPECT_OK(map(0, LENGTH, AT));
	access = EXPECT_OK(access_create(fd, ioas, PINS));
	EXPECT_ERR(EINVAL, access_pin(fd, access, AT, PAGE, NULL, 0, &item));
	EXPECT_ERR(EINVAL, access_rw(fd, access, AT, sizeof(byte), byte, 0));
	EXPECT_OK(x_close(access));
	EXPECT_OK(x_close(buf));
}

TEST(change_process, "31:TST-28", "an IOAS with a dma-buf stays with its process")
{
	struct iommu_ioas_change_process c = { .size = sizeof(c) };

	begin();
	EXPECT_OK(x_ioctl(fd, IOMMU_IOAS_CHANGE_PROCESS, &c));
	EXPECT_OK(map(0, LENGTH, AT));
	EXPECT_ERR(EINVAL, x_ioctl(fd, IOMMU_IOAS_CHANGE_PROCESS, &c));
	EXPECT_OK(x_close(buf));
}
