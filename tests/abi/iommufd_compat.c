/* SPDX-License-Identifier: MIT */
/* The requests of a VFIO container on /dev/iommu. */
#include "ioas.h"

#define INFO_MAX 256

static int fd;
static uint32_t id;

/* A context with a compat IOAS */
static void begin(void)
{
	fd = iommu_open();
	id = ioas_alloc(fd);
	EXPECT_OK(compat(fd, IOMMU_VFIO_IOAS_SET, &id));
}

static int extension(unsigned long e)
{
	return x_ioctl(fd, VFIO_CHECK_EXTENSION, (void *)e);
}

TEST(pointer, "30:IFD-100", "the compat IOAS is set, told and cleared")
{
	uint32_t v = 0;

	fd = iommu_open();
	EXPECT_ERR(ENODEV, compat(fd, IOMMU_VFIO_IOAS_GET, &v));
	v = 5;
	EXPECT_ERR(ENOENT, compat(fd, IOMMU_VFIO_IOAS_SET, &v));
	EXPECT_OK(compat(fd, IOMMU_VFIO_IOAS_CLEAR, &v));
	ioas_alloc(fd);
	v = ioas_alloc(fd);
	EXPECT_OK(compat(fd, IOMMU_VFIO_IOAS_SET, &v));
	v = 0;
	EXPECT_OK(compat(fd, IOMMU_VFIO_IOAS_GET, &v));
	EXPECT_EQ(2, v);
	v = 1;
	EXPECT_OK(compat(fd, IOMMU_VFIO_IOAS_SET, &v));
	EXPECT_ERR(EOPNOTSUPP, compat(fd, 3, &v));
	EXPECT_OK(compat(fd, IOMMU_VFIO_IOAS_CLEAR, &v));
	EXPECT_ERR(ENODEV, compat(fd, IOMMU_VFIO_IOAS_GET, &v));
	EXPECT_OK(destroy(fd, 1));
}

TEST(pointer_destroyed, "30:IFD-101", "the compat IOAS can be destroyed, and then there is none")
{
	uint32_t v = 0;

	begin();
	EXPECT_OK(destroy(fd, id));
	EXPECT_ERR(ENODEV, compat(fd, IOMMU_VFIO_IOAS_GET, &v));
	EXPECT_ERR(ENODEV, set_iommu(fd, VFIO_TYPE1_IOMMU));
	EXPECT_EQ(id, ioas_alloc(fd));
	EXPECT_ERR(ENODEV, compat(fd, IOMMU_VFIO_IOAS_GET, &v));
}

TEST(unset, "30:IFD-102 30:IFD-104", "without a compat IOAS: ENODEV, after what is wrong with the arguments")
{
	struct vfio_iommu_type1_dma_map m = { .argsz = 31, .flags = 3, .size = PAGE };
	struct vfio_iommu_type1_dma_unmap u = { .argsz = 23 };
	struct vfio_iommu_type1_info i = { .argsz = 15 };

	fd = iommu_open();
	ioas_alloc(fd);
	EXPECT_ERR(EINVAL, x_ioctl(fd, VFIO_IOMMU_MAP_DMA, &m));
	EXPECT_ERR(EINVAL, x_ioctl(fd, VFIO_IOMMU_UNMAP_DMA, &u));
	EXPECT_ERR(EINVAL, x_ioctl(fd, VFIO_IOMMU_GET_INFO, &i));
	m.argsz = 32;
	u.argsz = 24;
	i.argsz = sizeof(i);
	m.flags = 4;
	u.flags = 1;
	EXPECT_ERR(EINVAL, x_ioctl(fd, VFIO_IOMMU_MAP_DMA, &m));
	EXPECT_ERR(EINVAL, x_ioctl(fd, VFIO_IOMMU_UNMAP_DMA, &u));
	m.flags = 3;
	u.flags = 0;
	EXPECT_ERR(ENODEV, x_ioctl(fd, VFIO_IOMMU_MAP_DMA, &m));
	EXPECT_ERR(ENODEV, x_ioctl(fd, VFIO_IOMMU_UNMAP_DMA, &u));
	EXPECT_ERR(ENODEV, x_ioctl(fd, VFIO_IOMMU_GET_INFO, &i));
	u.flags = 2;
	EXPECT_ERR(ENODEV, x_ioctl(fd, VFIO_IOMMU_UNMAP_DMA, &u));
	EXPECT_ERR(EINVAL, set_iommu(fd, 2));
	EXPECT_ERR(ENODEV, set_iommu(fd, VFIO_TYPE1_IOMMU));
	EXPECT_ERR(ENODEV, extension(VFIO_DMA_CC_IOMMU));
	EXPECT_ERR(EFAULT, x_ioctl(fd, VFIO_IOMMU_MAP_DMA, (void *)8));
}

TEST(extensions, "30:IFD-103 10:CMP-05", "API version 0; type1, type1v2 and UNMAP_ALL, whatever is set")
{
	for (int set = 0; set < 2; set++) {
		if (set)
			begin();
		else
			fd = iommu_open();
		EXPECT_EQ(0, x_ioctl(fd, VFIO_GET_API_VERSION, NULL));
		EXPECT_EQ(1, extension(VFIO_TYPE1_IOMMU));
		EXPECT_EQ(1, extension(VFIO_TYPE1v2_IOMMU));
		EXPECT_EQ(1, extension(VFIO_UNMAP_ALL));
		EXPECT_EQ(0, extension(VFIO_TYPE1_NESTING_IOMMU));
		EXPECT_EQ(0, extension(VFIO_UPDATE_VADDR));
		EXPECT_EQ(1, extension(VFIO_NOIOMMU_IOMMU));
		EXPECT_EQ(0, extension(0));
		EXPECT_EQ(0, extension(1ul << 40 | 1));
	}
	EXPECT_EQ(1, extension(VFIO_DMA_CC_IOMMU));
}

TEST(set_iommu_types, "30:IFD-105 30:IFD-106 10:CMP-04", "SET_IOMMU can be repeated; type1 turns large pages off, and nothing on")
{
	begin();
	EXPECT_OK(set_iommu(fd, VFIO_TYPE1v2_IOMMU));
	EXPECT_EQ(1, option_get(fd, IOMMU_OPTION_HUGE_PAGES, id));
	EXPECT_ERR(EINVAL, set_iommu(fd, 2));
	EXPECT_ERR(EINVAL, set_iommu(fd, 7));
	EXPECT_ERR(EINVAL, set_iommu(fd, VFIO_NOIOMMU_IOMMU));
	EXPECT_OK(set_iommu(fd, VFIO_TYPE1_IOMMU));
	EXPECT_EQ(0, option_get(fd, IOMMU_OPTION_HUGE_PAGES, id));
	EXPECT_OK(set_iommu(fd, VFIO_TYPE1v2_IOMMU));
	EXPECT_EQ(0, option_get(fd, IOMMU_OPTION_HUGE_PAGES, id));
}

static struct vfio_iommu_type1_info *info(unsigned char *buf, uint32_t argsz)
{
	struct vfio_iommu_type1_info *i = (void *)buf;

	memset(buf, 0xa5, INFO_MAX);
	i->argsz = argsz;
	EXPECT_OK(x_ioctl(fd, VFIO_IOMMU_GET_INFO, i));
	for (unsigned n = argsz; n < INFO_MAX; n++)
		EXPECT_EQ(0xa5, buf[n]);
	return i;
}

TEST(info_sizes, "30:IFD-107 30:IFD-109", "GET_INFO writes what there is room for, and tells how much there is")
{
	unsigned char buf[INFO_MAX];
	uint32_t total;

	begin();
	total = info(buf, sizeof(buf))->argsz;
	EXPECT_EQ(24 + 16 + 32, total);
	for (uint32_t n = 16; n <= total + 8; n++) {
		struct vfio_iommu_type1_info *i = info(buf, n);

		EXPECT_EQ(total, i->argsz);
		EXPECT_EQ(3, i->flags);
		EXPECT_EQ(0xfffffffffffff000, n >= 16 ? i->iova_pgsizes : 0);
		if (n >= 24)
			EXPECT_EQ(n >= total ? 24 : 0, i->cap_offset);
		/* The links are there as soon as what they lead to would begin inside. */
		if (n >= 36)
			EXPECT_EQ(3, ((struct vfio_info_cap_header *)(buf + 24))->id);
	}
}

TEST(info_chain, "30:IFD-108 30:IFD-110 10:CMP-06", "GET_INFO's chain: dma_avail without limit, and the ranges of the IOAS")
{
	unsigned char buf[INFO_MAX];
	struct vfio_iommu_type1_info_dma_avail *avail = (void *)(buf + 24);
	struct vfio_iommu_type1_info_cap_iova_range *r = (void *)(buf + 40);

	begin();
	EXPECT_EQ(0, info(buf, 24)->cap_offset);
	EXPECT_EQ(24, info(buf, 72)->cap_offset);
	EXPECT(avail->header.id == 3 && avail->header.version == 1 && avail->header.next == 40);
	EXPECT_EQ(UINT32_MAX, avail->avail);
	EXPECT(r->header.id == 1 && r->header.version == 1 && r->header.next == 0);
	EXPECT_EQ(1, r->nr_iovas);
	EXPECT(r->iova_ranges[0].start == 0 && r->iova_ranges[0].end == UINT64_MAX);
}

TEST(map_unmap, "30:IFD-111 30:IFD-102", "MAP_DMA and UNMAP_DMA work without SET_IOMMU; UNMAP of nothing is 0")
{
	char *p = ram(4 * PAGE);
	uint64_t n = 77;

	begin();
	EXPECT_OK(map_dma(fd, p, 0x10000, 4 * PAGE, 3));
	EXPECT_ERR(EEXIST, map_dma(fd, p, 0x10000, PAGE, 3));
	EXPECT_ERR(EEXIST, ioas_map_at(fd, id, p, PAGE, 0x11000));
	EXPECT_OK(unmap_dma(fd, 0x20000, PAGE, &n));
	EXPECT_EQ(0, n);
	EXPECT_OK(unmap_dma(fd, 0, 0x100000, &n));
	EXPECT_EQ(4 * PAGE, n);
	EXPECT_OK(map_dma(fd, p, 0x10000, PAGE, 0));
	EXPECT_OK(ioas_unmap_n(fd, id, 0x10000, PAGE));
}

static int unmap_flags(uint32_t flags, uint64_t iova, uint64_t *size)
{
	struct vfio_iommu_type1_dma_unmap u = { .argsz = sizeof(u), .flags = flags, .iova = iova, .size = *size };
	int rc = x_ioctl(fd, VFIO_IOMMU_UNMAP_DMA, &u);

	*size = u.size;
	return rc;
}

TEST(unmap_all, "30:IFD-112 30:IFD-113 10:CMP-05", "UNMAP_ALL names no range; bitmaps, addresses anew and DIRTY_PAGES there are not")
{
	struct vfio_iommu_type1_dirty_bitmap d = { .argsz = sizeof(d), .flags = 1 };
	char *p = ram(PAGE);
	uint64_t n = PAGE;

	begin();
	EXPECT_OK(map_dma(fd, p, 0x10000, PAGE, 3));
	EXPECT_ERR(EINVAL, unmap_flags(2, 0, &n));
	EXPECT_EQ(PAGE, n);
	n = 0;
	EXPECT_ERR(EINVAL, unmap_flags(2, 0x1000, &n));
	EXPECT_ERR(EINVAL, unmap_flags(1, 0, &n));
	EXPECT_ERR(EINVAL, unmap_flags(4, 0, &n));
	EXPECT_OK(unmap_flags(2, 0, &n));
	EXPECT_EQ(PAGE, n);
	n = 0;
	EXPECT_OK(unmap_flags(2, 0, &n));
	EXPECT_EQ(0, n);
	EXPECT_ERR(ENOTTY, x_ioctl(fd, VFIO_IOMMU_DIRTY_PAGES, &d));
	EXPECT_ERR(ENOTTY, x_ioctl(fd, VFIO_IOMMU_ENABLE, NULL));
	EXPECT_ERR(ENOTTY, x_ioctl(fd, VFIO_GROUP_GET_STATUS, &d));
}

TEST(unmap_inside, "30:IFD-114 10:CMP-03", "v2: UNMAP inside a mapping is ENOENT, and the size says 0")
{
	char *p = ram(4 * PAGE);
	uint64_t n = PAGE;

	begin();
	EXPECT_OK(set_iommu(fd, VFIO_TYPE1v2_IOMMU));
	EXPECT_OK(map_dma(fd, p, 0x10000, 4 * PAGE, 3));
	EXPECT_ERR(ENOENT, unmap_flags(0, 0x11000, &n));
	EXPECT_EQ(0, n);
	EXPECT_ERR(EINVAL, unmap_flags(0, 0x11000, &n));
	EXPECT_EQ(0, n);
	EXPECT_ERR(EEXIST, map_dma(fd, p, 0x11000, PAGE, 3));
}

TEST(unmap_type1, "30:IFD-115 10:CMP-07", "type1: any pages of a mapping can be unmapped")
{
	char *p = ram(8 * PAGE);
	uint64_t n = 2 * PAGE;

	begin();
	EXPECT_OK(set_iommu(fd, VFIO_TYPE1_IOMMU));
	EXPECT_OK(map_dma(fd, p, 0x10000, 8 * PAGE, 3));
	EXPECT_OK(unmap_flags(0, 0x12000, &n));
	EXPECT_EQ(2 * PAGE, n);
	EXPECT_OK(map_dma(fd, p, 0x12000, 2 * PAGE, 3));
	EXPECT_ERR(EEXIST, map_dma(fd, p, 0x11000, PAGE, 3));
	EXPECT_ERR(EEXIST, map_dma(fd, p, 0x14000, PAGE, 3));
	n = 0x800;
	EXPECT_ERR(EINVAL, unmap_flags(0, 0x15000, &n));
	EXPECT_EQ(0x800, n);
	n = 2 * PAGE;
	EXPECT_OK(unmap_flags(0, 0xf000, &n));
	EXPECT_EQ(PAGE, n);
	n = 0x100000;
	EXPECT_OK(unmap_flags(0, 0, &n));
	EXPECT_EQ(7 * PAGE, n);
}

TEST(wrap, "30:IFD-116", "ranges that end nowhere are EOVERFLOW")
{
	uint64_t n = 2 * PAGE;

	begin();
	EXPECT_ERR(EOVERFLOW, map_dma(fd, ram(2 * PAGE), ~0xfffull, 2 * PAGE, 3));
	EXPECT_ERR(EOVERFLOW, unmap_flags(0, ~0xfffull, &n));
	EXPECT_EQ(0, n);
	n = UINT64_MAX;
	EXPECT_ERR(EOVERFLOW, unmap_flags(0, 0x1000, &n));
}
