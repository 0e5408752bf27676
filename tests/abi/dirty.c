/* SPDX-License-Identifier: MIT */
/* DIRTY_PAGES of groups behind an IOMMU, and UNMAP with a bitmap. Spec: 10, 4.6. Without IOMMU: emulated.c. */
#include "abi.h"

#define PAGE  4096ull
#define RW    (VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)
#define START VFIO_IOMMU_DIRTY_PAGES_FLAG_START
#define STOP  VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP
#define GET   VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP

static int with_type(unsigned long type)
{
	int g = EXPECT_OK(open_group(EDU)), c = EXPECT_OK(x_open("/dev/vfio/vfio", O_RDWR));

	EXPECT_OK(x_ioctl(g, VFIO_GROUP_SET_CONTAINER, &c));
	EXPECT_OK(x_ioctl(c, VFIO_SET_IOMMU, (void *)type));
	return c;
}

/* A container where 16 pages are mapped from 0x10000 on. */
static int with_pages(void)
{
	int c = with_type(VFIO_TYPE1v2_IOMMU);

	EXPECT_OK(map_dma(c, test_memory(16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE), 0x10000, 16 * PAGE, RW));
	return c;
}

static int tracking(int c, uint32_t flags)
{
	struct vfio_iommu_type1_dirty_bitmap b = { .argsz = sizeof(b), .flags = flags };

	return x_ioctl(c, VFIO_IOMMU_DIRTY_PAGES, &b);
}

struct report {
	struct vfio_iommu_type1_dirty_bitmap head;
	struct vfio_iommu_type1_dirty_bitmap_get get;
	uint64_t bits[16];
};

/* A request for @pages pages from @iova on, with room for all of them. */
static struct report request(uint64_t iova, uint64_t pages)
{
	struct report r = { .head = { sizeof(r.head) + sizeof(r.get), GET } };

	r.get.iova = iova;
	r.get.size = pages * PAGE;
	r.get.bitmap.pgsize = PAGE;
	r.get.bitmap.size = sizeof(r.bits);
	return r;
}

static int get(int c, struct report *r)
{
	if (!r->get.bitmap.data)
		r->get.bitmap.data = (uintptr_t)r->bits;
	return x_ioctl(c, VFIO_IOMMU_DIRTY_PAGES, r);
}

TEST(v1, "10:DRT-01", "a version 1 container knows no dirty pages, and says so before it looks at anything")
{
	struct vfio_iommu_type1_dirty_bitmap b = { .argsz = 0, .flags = ~0u };
	int c = with_type(VFIO_TYPE1_IOMMU);

	EXPECT_ERR(EACCES, tracking(c, START));
	EXPECT_ERR(EACCES, tracking(c, STOP));
	EXPECT_ERR(EACCES, x_ioctl(c, VFIO_IOMMU_DIRTY_PAGES, &b));
	EXPECT_ERR(EACCES, x_ioctl(c, VFIO_IOMMU_DIRTY_PAGES, NULL));
}

TEST(flags, "10:DRT-02", "one flag at a time, and no unknown one; starting and stopping twice is fine")
{
	struct vfio_iommu_type1_dirty_bitmap b = { .flags = START };
	int c = with_type(VFIO_TYPE1v2_IOMMU);

	EXPECT_ERR(EFAULT, x_ioctl(c, VFIO_IOMMU_DIRTY_PAGES, NULL));
	for (b.argsz = 0; b.argsz < 8; b.argsz++)
		EXPECT_ERR(EINVAL, x_ioctl(c, VFIO_IOMMU_DIRTY_PAGES, &b));
	EXPECT_ERR(EINVAL, tracking(c, 0));
	EXPECT_ERR(EINVAL, tracking(c, START | STOP));
	EXPECT_ERR(EINVAL, tracking(c, START | GET));
	EXPECT_ERR(EINVAL, tracking(c, 8));
	EXPECT_ERR(EINVAL, tracking(c, START | 0x80000000));
	EXPECT_OK(tracking(c, STOP));
	EXPECT_OK(tracking(c, START));
	EXPECT_OK(tracking(c, START));
	EXPECT_OK(tracking(c, STOP));
	EXPECT_OK(tracking(c, STOP));
}

TEST(off, "10:DRT-03", "GET_BITMAP before START and after STOP is EINVAL")
{
	int c = with_pages();
	struct report r = request(0x10000, 16);

	EXPECT_ERR(EINVAL, get(c, &r));
	EXPECT_OK(tracking(c, START));
	EXPECT_OK(get(c, &r));
	EXPECT_OK(tracking(c, STOP));
	EXPECT_ERR(EINVAL, get(c, &r));
}

TEST(get_header, "10:DRT-03", "GET_BITMAP wants its 40 bytes, readable")
{
	int c = with_pages();
	struct report r = request(0x10000, 16);
	char *end = test_memory(2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	struct vfio_iommu_type1_dirty_bitmap *last = (void *)(end + PAGE - sizeof(*last));

	EXPECT_OK(tracking(c, START));
	for (r.head.argsz = 8; r.head.argsz < 48; r.head.argsz++)
		EXPECT_ERR(EINVAL, get(c, &r));
	EXPECT_OK(get(c, &r));
	EXPECT_OK(munmap(end + PAGE, PAGE));
	*last = r.head;
	EXPECT_ERR(EFAULT, x_ioctl(c, VFIO_IOMMU_DIRTY_PAGES, last));
	last->argsz = 47;
	EXPECT_ERR(EINVAL, x_ioctl(c, VFIO_IOMMU_DIRTY_PAGES, last));
}

TEST(page_size, "10:DRT-04", "GET_BITMAP takes the smallest page size only, and multiples of it")
{
	static const uint64_t sizes[] = { 1, 2048, 8192, 0x200000, 0x40000000 };
	int c = with_pages();
	struct report r = request(0, 0x40000);
	uint64_t *bits = test_memory(0x8000000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE);

	EXPECT_OK(tracking(c, START));
	r.get.bitmap.data = (uintptr_t)bits;
	r.get.bitmap.size = 0x8000000;
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		r.get.bitmap.pgsize = sizes[i];
		EXPECT_ERR(EINVAL, get(c, &r));
	}
	r.get.bitmap.pgsize = PAGE;
	EXPECT_OK(get(c, &r));
	r.get.iova = 0x800;
	EXPECT_ERR(EINVAL, get(c, &r));
	r.get.iova = 0;
	r.get.size -= 0x800;
	EXPECT_ERR(EINVAL, get(c, &r));
	r.get.size = 0;
	EXPECT_ERR(EINVAL, get(c, &r));
}

TEST(bisect, "10:DRT-03", "GET_BITMAP does not cut a mapping; holes are fine")
{
	int c = with_pages();
	struct report r;

	EXPECT_OK(tracking(c, START));
	r = request(0x10000, 8);
	EXPECT_ERR(EINVAL, get(c, &r));
	r = request(0x11000, 15);
	EXPECT_ERR(EINVAL, get(c, &r));
	r = request(0, 64);
	EXPECT_OK(get(c, &r));
	EXPECT_EQ(0xffff0000, r.bits[0] & 0xffff0000); /* what is in no mapping means nothing */
}

TEST(all_dirty, "10:DRT-05", "every page that is mapped is dirty, whether it was written or not, and stays so")
{
	int c = with_pages();
	struct report r = request(0x10000, 16);

	EXPECT_OK(map_dma(c, test_memory(PAGE, PROT_READ, MAP_PRIVATE), 0x40000, PAGE, VFIO_DMA_MAP_FLAG_READ));
	EXPECT_OK(tracking(c, START));
	for (int i = 0; i < 3; i++) {
		r.bits[0] = 0;
		EXPECT_OK(get(c, &r));
		EXPECT_EQ(0xffff, r.bits[0] & 0xffff);
	}
	r = request(0x40000, 1);
	EXPECT_OK(get(c, &r));
	EXPECT_EQ(1, r.bits[0] & 1);
	EXPECT_OK(map_dma(c, test_memory(PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE), 0x50000, PAGE, RW));
	r = request(0x50000, 1); /* mapped since */
	EXPECT_OK(get(c, &r));
	EXPECT_EQ(1, r.bits[0] & 1);
}

TEST(bitmap_size, "10:DRT-07", "a bitmap has a bit for every page, in whole words of 64, and at most 256 MiB")
{
	int c = with_pages();
	struct report r = request(0x10000, 65);

	EXPECT_OK(tracking(c, START));
	for (r.get.bitmap.size = 0; r.get.bitmap.size < 16; r.get.bitmap.size++)
		EXPECT_ERR(EINVAL, get(c, &r));
	EXPECT_OK(get(c, &r));
	r = request(0x10000, 16);
	r.get.bitmap.size = 7;
	EXPECT_ERR(EINVAL, get(c, &r));
	r.get.bitmap.size = 8;
	EXPECT_OK(get(c, &r));
	r.get.bitmap.size = 268435457;
	EXPECT_ERR(EINVAL, get(c, &r));
	r.get.bitmap.size = 8;
	r.get.bitmap.data = 8;
	EXPECT_ERR(EFAULT, get(c, &r));
	r.get.bitmap.data = ~0xfffull;
	EXPECT_ERR(EINVAL, get(c, &r));
}

TEST(unmap, "10:DRT-08", "UNMAP with a bitmap reports the bits of what it removes; not while tracking is off")
{
	int c = with_pages();
	uint64_t bits[2] = { 0 };
	struct {
		struct vfio_iommu_type1_dma_unmap head;
		struct vfio_bitmap bitmap;
	} u = { .head = { sizeof(u), VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP, 0x10000, 16 * PAGE } };

	u.bitmap = (struct vfio_bitmap){ PAGE, sizeof(bits), (uintptr_t)bits };
	EXPECT_ERR(EINVAL, x_ioctl(c, VFIO_IOMMU_UNMAP_DMA, &u));
	EXPECT_OK(tracking(c, START));
	for (u.head.argsz = 24; u.head.argsz < 48; u.head.argsz++)
		EXPECT_ERR(EINVAL, x_ioctl(c, VFIO_IOMMU_UNMAP_DMA, &u));
	u.bitmap.size = 7;
	EXPECT_ERR(EINVAL, x_ioctl(c, VFIO_IOMMU_UNMAP_DMA, &u));
	u.bitmap.size = sizeof(bits);
	u.bitmap.pgsize = 2 * PAGE;
	EXPECT_ERR(EINVAL, x_ioctl(c, VFIO_IOMMU_UNMAP_DMA, &u));
	u.bitmap.pgsize = PAGE;
	EXPECT_OK(x_ioctl(c, VFIO_IOMMU_UNMAP_DMA, &u));
	EXPECT_EQ(16 * PAGE, u.head.size);
	EXPECT_EQ(0xffff, bits[0] & 0xffff);
	EXPECT_OK(map_dma(c, test_memory(PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE), 0x10000, PAGE, RW));
}
