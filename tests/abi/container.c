/* SPDX-License-Identifier: MIT */
/* Container files: /dev/vfio/vfio before and after a group and a backend are set. */
#include "abi.h"

static int ext(int c, unsigned long n)
{
	return x_ioctl(c, VFIO_CHECK_EXTENSION, (void *)n);
}

/* A container with EDU's group set and no backend yet */
static int with_group(int *group)
{
	int c = open_container();

	*group = EXPECT_OK(open_group(EDU));
	EXPECT_OK(x_ioctl(*group, VFIO_GROUP_SET_CONTAINER, &c));
	return c;
}

TEST(api_version, "10:CNT-01", "GET_API_VERSION returns 0")
{
	EXPECT_EQ(0, x_ioctl(open_container(), VFIO_GET_API_VERSION, NULL));
}

TEST(extension_unknown, "10:CNT-02", "an unknown extension is 0, no error; all 64 bits count")
{
	int c = open_container();

	EXPECT_EQ(0, ext(c, 99));
	EXPECT_EQ(0, ext(c, 0x100000001ul));
	EXPECT_EQ(0, ext(c, ~0ul));
}

TEST(extension_fresh, "10:CNT-03", "a fresh container has type1, v2 and UNMAP_ALL, and not CC, nesting or UPDATE_VADDR")
{
	int c = open_container();

	EXPECT_EQ(1, ext(c, VFIO_TYPE1_IOMMU));
	EXPECT_EQ(1, ext(c, VFIO_TYPE1v2_IOMMU));
	EXPECT_EQ(1, ext(c, VFIO_UNMAP_ALL));
	EXPECT_EQ(0, ext(c, VFIO_DMA_CC_IOMMU));
	EXPECT_EQ(0, ext(c, VFIO_TYPE1_NESTING_IOMMU));
	EXPECT_EQ(0, ext(c, VFIO_UPDATE_VADDR));
}

TEST(set_iommu_no_group, "10:CNT-04", "SET_IOMMU without a group is EINVAL")
{
	EXPECT_ERR(EINVAL, set_iommu(open_container(), VFIO_TYPE1v2_IOMMU));
}

TEST(set_iommu_twice, "10:CNT-05", "a second SET_IOMMU is EINVAL")
{
	int g, c = with_group(&g);

	EXPECT_OK(set_iommu(c, VFIO_TYPE1v2_IOMMU));
	EXPECT_ERR(EINVAL, set_iommu(c, VFIO_TYPE1v2_IOMMU));
	EXPECT_ERR(EINVAL, set_iommu(c, 99));
}

TEST(set_iommu_types, "10:CNT-06", "unknown backends, nesting among them, are ENODEV")
{
	int g, c = with_group(&g);

	EXPECT_ERR(ENODEV, set_iommu(c, VFIO_TYPE1_NESTING_IOMMU));
	EXPECT_ERR(ENODEV, set_iommu(c, VFIO_DMA_CC_IOMMU));
	EXPECT_ERR(ENODEV, set_iommu(c, VFIO_NOIOMMU_IOMMU));
	EXPECT_ERR(ENODEV, set_iommu(c, 99));
	EXPECT_OK(set_iommu(c, VFIO_TYPE1_IOMMU));
}

TEST(set_iommu_unmap_all, "10:CNT-07", "SET_IOMMU(UNMAP_ALL) passes the probe and is refused by the constructor: EINVAL")
{
	int g, c = with_group(&g);

	EXPECT_ERR(EINVAL, set_iommu(c, VFIO_UNMAP_ALL));
}

TEST(bare_ioctls, "10:CNT-08", "a container without backend refuses everything else with EINVAL")
{
	struct vfio_iommu_type1_info info = { .argsz = sizeof(info) };
	int c = open_container();
	void *p = test_memory(4096, PROT_READ | PROT_WRITE, MAP_PRIVATE);

	EXPECT_ERR(EINVAL, map_dma(c, p, 0x1000, 4096, VFIO_DMA_MAP_FLAG_READ));
	EXPECT_ERR(EINVAL, x_ioctl(c, VFIO_IOMMU_GET_INFO, &info));
	EXPECT_ERR(EINVAL, x_ioctl(c, VFIO_IO(90), NULL));
}

TEST(unknown_ioctl, "10:CNT-09", "an unknown ioctl on a container with a backend is ENOTTY")
{
	struct setup s = open_device(EDU);

	EXPECT_ERR(ENOTTY, x_ioctl(s.container, VFIO_IO(90), NULL));
}

TEST(close_container_first, "10:CNT-10", "mappings survive the close of the container's descriptor while a group is set")
{
	struct setup s = open_device(EDU);
	uint32_t *ram = test_memory(4096, PROT_READ | PROT_WRITE, MAP_SHARED);
	volatile uint32_t *bar = x_mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_SHARED, s.device, REGION(0));

	EXPECT((void *)bar != MAP_FAILED);
	EXPECT_OK(map_dma(s.container, ram, 0x100000, 4096, VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE));
	EXPECT_OK(x_close(s.container));
	config_write(s.device, 4, 2, config_read(s.device, 4, 2) | 4);
	ram[0] = 0x600d600d;
	edu_dma(bar, 0x100000, 0x40000, 4, 0);
	edu_dma(bar, 0x40000, 0x100010, 4, 1);
	EXPECT_EQ(0x600d600d, ((volatile uint32_t *)ram)[4]);
}

TEST(last_group_resets, "10:CNT-11", "when its last group leaves, a container is as fresh and can be used again")
{
	int g, c = with_group(&g);
	void *p = test_memory(4096, PROT_READ | PROT_WRITE, MAP_PRIVATE);

	EXPECT_OK(set_iommu(c, VFIO_TYPE1v2_IOMMU));
	EXPECT_OK(map_dma(c, p, 0x1000, 4096, VFIO_DMA_MAP_FLAG_READ));
	EXPECT_EQ(1, ext(c, VFIO_UPDATE_VADDR));
	EXPECT_OK(x_ioctl(g, VFIO_GROUP_UNSET_CONTAINER, NULL));
	EXPECT_EQ(0, ext(c, VFIO_UPDATE_VADDR));
	EXPECT_ERR(EINVAL, map_dma(c, p, 0x1000, 4096, VFIO_DMA_MAP_FLAG_READ));
	EXPECT_OK(x_ioctl(g, VFIO_GROUP_SET_CONTAINER, &c));
	EXPECT_OK(set_iommu(c, VFIO_TYPE1_IOMMU));
	EXPECT_OK(map_dma(c, p, 0x1000, 4096, VFIO_DMA_MAP_FLAG_READ));
}

TEST(two_groups, "10:CNT-12 10:ATT-04", "two groups share one container and its mappings, made before or after the second came")
{
	struct setup s = open_device(EDU);
	int g2 = EXPECT_OK(open_group(IGB)), d2;
	void *p = test_memory(8192, PROT_READ | PROT_WRITE, MAP_PRIVATE);

	EXPECT_OK(map_dma(s.container, p, 0x1000, 4096, VFIO_DMA_MAP_FLAG_READ));
	EXPECT_OK(x_ioctl(g2, VFIO_GROUP_SET_CONTAINER, &s.container));
	d2 = EXPECT_OK(x_ioctl(g2, VFIO_GROUP_GET_DEVICE_FD, IGB));
	EXPECT_ERR(EEXIST, map_dma(s.container, p, 0x1000, 4096, VFIO_DMA_MAP_FLAG_READ));
	EXPECT_OK(map_dma(s.container, p, 0x2000, 4096, VFIO_DMA_MAP_FLAG_READ));
	EXPECT_OK(x_close(d2));
	EXPECT_OK(x_ioctl(g2, VFIO_GROUP_UNSET_CONTAINER, NULL));
	EXPECT_ERR(EEXIST, map_dma(s.container, p, 0x2000, 4096, VFIO_DMA_MAP_FLAG_READ));
}

TEST(group_in_two_containers, "10:CNT-13", "a group cannot be in two containers")
{
	int g, c = with_group(&g), c2 = open_container();

	EXPECT_ERR(EINVAL, x_ioctl(g, VFIO_GROUP_SET_CONTAINER, &c2));
	EXPECT_OK(set_iommu(c, VFIO_TYPE1v2_IOMMU));
}

TEST(enable_disable, "10:CNT-14", "IOMMU_ENABLE and DISABLE are not type1's: ENOTTY")
{
	struct setup s = open_device(EDU);

	EXPECT_ERR(ENOTTY, x_ioctl(s.container, VFIO_IOMMU_ENABLE, NULL));
	EXPECT_ERR(ENOTTY, x_ioctl(s.container, VFIO_IOMMU_DISABLE, NULL));
}

TEST(node_modes, "10:VCO-01", "the container node is 0666, group nodes are 0600, all character devices")
{
	struct stat st;
	char path[32];

	bind_vfio(EDU);
	EXPECT_OK(x_stat("/dev/vfio/vfio", &st));
	EXPECT_EQ(S_IFCHR | 0666, st.st_mode);
	snprintf(path, sizeof(path), "/dev/vfio/%d", group_of(EDU));
	EXPECT_OK(x_stat(path, &st));
	EXPECT_EQ(S_IFCHR | 0600, st.st_mode);
}

TEST(group_node_life, "10:VCO-02", "a group's node comes with its first vfio device and goes with its last")
{
	char path[32];
	struct stat st;

	bind_vfio(EDU);
	snprintf(path, sizeof(path), "/dev/vfio/%d", group_of(EDU));
	EXPECT_OK(x_stat(path, &st));
	bind_host(EDU);
	EXPECT_ERR(ENOENT, x_stat(path, &st));
	EXPECT_ERR(ENOENT, x_open(path, O_RDWR));
	bind_vfio(EDU);
	EXPECT_OK(x_stat(path, &st));
}

TEST(info_small, "10:INF-01", "GET_INFO with argsz 16 works and says how much it needs; no chain")
{
	struct setup s = open_device(EDU);
	struct vfio_iommu_type1_info i = { .argsz = 16, .cap_offset = 0x5a5a5a5a };

	EXPECT_OK(x_ioctl(s.container, VFIO_IOMMU_GET_INFO, &i));
	EXPECT_EQ(3, i.flags);
	EXPECT(i.argsz > 24);
	EXPECT_EQ(0x5a5a5a5a, i.cap_offset);
	i.argsz = 15;
	EXPECT_ERR(EINVAL, x_ioctl(s.container, VFIO_IOMMU_GET_INFO, &i));
	i.argsz = 24;
	EXPECT_OK(x_ioctl(s.container, VFIO_IOMMU_GET_INFO, &i));
	EXPECT_EQ(0, i.cap_offset);
	EXPECT_ERR(EFAULT, x_ioctl(s.container, VFIO_IOMMU_GET_INFO, (void *)8));
}

struct info {
	struct vfio_iommu_type1_info i;
	char rest[1000];
};

TEST(info_chain, "10:INF-02 10:INF-03 10:INF-05", "the chain is migration, dma_avail, iova_range; the ranges leave the MSI window out")
{
	struct setup s = open_device(EDU);
	struct info b = { .i.argsz = sizeof(b) };
	unsigned want[] = { 2, 3, 1 }, at;

	EXPECT_OK(x_ioctl(s.container, VFIO_IOMMU_GET_INFO, &b));
	EXPECT_EQ(sizeof(b), b.i.argsz);
	at = b.i.cap_offset;
	EXPECT_EQ(24, at);
	for (unsigned k = 0; k < 3; k++) {
		struct vfio_info_cap_header *h = (void *)((char *)&b + at);
		uint64_t *q = (uint64_t *)(h + 1);

		EXPECT_EQ(want[k], h->id);
		EXPECT_EQ(1, h->version);
		if (h->id == 2) {
			EXPECT_EQ(4096, q[1]);
			EXPECT_EQ(268435456, q[2]);
		} else if (h->id == 1) {
			EXPECT_EQ(2, *(uint32_t *)q);
			EXPECT_EQ(0, q[1]);
			EXPECT_EQ(0xfedfffff, q[2]);
			EXPECT_EQ(0xfef00000, q[3]);
			EXPECT_EQ(0xffffffffffff, q[4]);
		}
		EXPECT((k == 2) == (h->next == 0));
		at = h->next;
	}
}

static uint32_t dma_avail(int c)
{
	struct info b = { .i.argsz = sizeof(b) };

	EXPECT_OK(x_ioctl(c, VFIO_IOMMU_GET_INFO, &b));
	for (unsigned at = b.i.cap_offset; at;) {
		struct vfio_info_cap_header *h = (void *)((char *)&b + at);

		if (h->id == 3)
			return *(uint32_t *)(h + 1);
		at = h->next;
	}
	test_fail(__FILE__, __LINE__, "no dma_avail capability");
}

TEST(info_avail, "10:INF-04", "dma_avail falls by one with each MAP and rises with each UNMAP")
{
	struct setup s = open_device(EDU);
	void *p = test_memory(8192, PROT_READ | PROT_WRITE, MAP_PRIVATE);

	EXPECT_EQ(65535, dma_avail(s.container));
	EXPECT_OK(map_dma(s.container, p, 0x1000, 4096, VFIO_DMA_MAP_FLAG_READ));
	EXPECT_OK(map_dma(s.container, p, 0x8000, 8192, VFIO_DMA_MAP_FLAG_READ));
	EXPECT_EQ(65533, dma_avail(s.container));
	EXPECT_OK(unmap_dma(s.container, 0x8000, 8192, NULL));
	EXPECT_EQ(65534, dma_avail(s.container));
}
