/* SPDX-License-Identifier: MIT */
/*
 * Devices without DMA of their own: spec 10, 3.2 and 4.5. The machine: tests/machines/emulated.yaml; its devices
 * soft0, soft1 and deaf have registers that pin, unpin and copy (src/vfio/emulated). No other Linux has them.
 */
#include "soft.h"
#include <sys/resource.h>

#define FREE  "0000:00:04.0" /* without IOMMU */
#define PAGE  4096ull
#define RW    (VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)

static int open_soft_group(const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/dev/vfio/%d", soft_group(name));
	return x_open(path, O_RDWR);
}

static struct rlimit memlock; /* as it was before the first test that changed it */

static struct setup open_soft(const char *name, unsigned long type)
{
	struct setup s;

	if (memlock.rlim_max)
		EXPECT_OK(setrlimit(RLIMIT_MEMLOCK, &memlock));
	s.group = EXPECT_OK(open_soft_group(name));
	s.container = EXPECT_OK(x_open("/dev/vfio/vfio", O_RDWR));
	EXPECT_OK(set_container(s.group, s.container));
	EXPECT_OK(set_iommu(s.container, type));
	s.device = EXPECT_OK(x_ioctl(s.group, VFIO_GROUP_GET_DEVICE_FD, (void *)(uintptr_t)name));
	return s;
}

/* A group more in the container, and its device. */
static struct setup join(const struct setup *with, const char *name)
{
	struct setup s = { .container = with->container };

	s.group = EXPECT_OK(open_soft_group(name));
	EXPECT_OK(set_container(s.group, s.container));
	s.device = EXPECT_OK(x_ioctl(s.group, VFIO_GROUP_GET_DEVICE_FD, (void *)(uintptr_t)name));
	return s;
}

static void *memory(unsigned pages)
{
	return test_memory(pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
}

static uint64_t unmapped(int container, uint64_t iova, uint64_t size)
{
	uint64_t n = 0;

	EXPECT_OK(unmap_dma(container, iova, size, &n));
	return n;
}

/* ---- what programs find ---- */

TEST(emulated_node, "10:VCO-05 10:SYS-11 10:SYS-12", "the node has a plain number, the group a name")
{
	int id = soft_group("soft0");
	char path[96];
	struct stat st;

	snprintf(path, sizeof(path), "/dev/vfio/%d", id);
	EXPECT_OK(x_stat(path, &st));
	snprintf(path, sizeof(path), "/dev/vfio/noiommu-%d", id);
	EXPECT_ERR(ENOENT, x_stat(path, &st));
	snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%d/name", id);
	EXPECT(sys_read(path) && strcmp(sys_read(path), "vfio-noiommu") == 0);
	snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%d/type", id);
	EXPECT(sys_read(path) && strcmp(sys_read(path), "unknown") == 0);
}

TEST(emulated_no_caps, "10:VCO-05", "no step takes a capability")
{
	soft_group("soft0");
	if (test_caps(0))
		test_skip("needs the right to give up capabilities");
	open_soft("soft0", VFIO_TYPE1v2_IOMMU);
}

TEST(emulated_mix, "10:CNT-12 10:NOI-08", "emulated groups mix with real ones, not with those without IOMMU")
{
	struct setup s = open_soft("soft0", VFIO_TYPE1v2_IOMMU);
	int real, free;
	char path[64];

	join(&s, "soft1");
	real = EXPECT_OK(open_group(EDU));
	EXPECT_OK(set_container(real, s.container));
	snprintf(path, sizeof(path), "/dev/vfio/noiommu-%d", group_of(FREE));
	if (test_caps(CAPS_ALL))
		test_skip("needs CAP_SYS_RAWIO");
	free = EXPECT_OK(x_open(path, O_RDWR));
	EXPECT_ERR(EPERM, set_container(free, s.container));
}

TEST(emulated_info, "10:INF-06", "without a domain all page sizes are offered, and no ranges")
{
	struct setup s = open_soft("soft0", VFIO_TYPE1v2_IOMMU);
	struct {
		struct vfio_iommu_type1_info info;
		char caps[256];
	} r = { .info.argsz = sizeof(r) };

	EXPECT_OK(x_ioctl(s.container, VFIO_IOMMU_GET_INFO, &r));
	EXPECT_EQ(0xfffffffffffff000ull, r.info.iova_pgsizes);
	for (uint32_t at = r.info.cap_offset; at;) {
		struct vfio_info_cap_header *h = (void *)((char *)&r + at);

		EXPECT(h->id != VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE);
		at = h->next;
	}
	EXPECT_OK(map_dma(s.container, memory(1), -PAGE, PAGE, RW)); /* everything is valid */
	EXPECT_EQ(0, x_ioctl(s.container, VFIO_CHECK_EXTENSION, (void *)VFIO_UPDATE_VADDR));
	EXPECT_EQ(1, x_ioctl(s.container, VFIO_CHECK_EXTENSION, (void *)VFIO_DMA_CC_IOMMU));
}

TEST(emulated_late_memory, "10:LCK-04", "MAP_DMA only records: what is not there is found missing at pin")
{
	struct setup s = open_soft("soft0", VFIO_TYPE1v2_IOMMU);
	char *p = memory(2);

	EXPECT_OK(map_dma(s.container, p, 0, 2 * PAGE, RW));
	EXPECT_OK(munmap(p + PAGE, PAGE));
	EXPECT_EQ(1, command(s.device, PIN, 0, 1, 3));
	EXPECT_EQ(-EFAULT, command(s.device, PIN, PAGE, 1, 3));
}

/* ---- pin ---- */

TEST(pin_v1, "10:PIN-01", "type1 v1 pins nothing")
{
	struct setup s = open_soft("soft0", VFIO_TYPE1_IOMMU);

	EXPECT_OK(map_dma(s.container, memory(1), 0, PAGE, RW));
	EXPECT_EQ(-EACCES, command(s.device, PIN, 0, 1, 3));
}

TEST(pin_errors, "10:PIN-02", "a page that is not mapped, or not for that, is not pinned, nor are those before it")
{
	struct setup s = open_soft("soft0", VFIO_TYPE1v2_IOMMU);

	EXPECT_OK(map_dma(s.container, memory(1), 0x10000, PAGE, RW));
	EXPECT_OK(map_dma(s.container, memory(1), 0x11000, PAGE, VFIO_DMA_MAP_FLAG_READ));
	EXPECT_EQ(-EINVAL, command(s.device, PIN, 0x10000, 0, 3));
	EXPECT_EQ(-E2BIG, command(s.device, PIN, 0x10000, 513, 3));
	EXPECT_EQ(-EINVAL, command(s.device, PIN, 0x20000, 1, 1));
	EXPECT_EQ(-EPERM, command(s.device, PIN, 0x11000, 1, 3));
	EXPECT_EQ(-EPERM, command(s.device, PIN, 0x10000, 2, 3));
	EXPECT_EQ(-EINVAL, command(s.device, PIN, 0x10000, 3, 1));
	EXPECT_EQ(-EOVERFLOW, command(s.device, PIN, -PAGE, 2, 1));
	EXPECT_EQ(0, reg(s.device, PINNED));
	EXPECT_EQ(2, command(s.device, PIN, 0x10000, 2, 1));
	EXPECT_EQ(1, command(s.device, PIN, 0x11000, 1, 1));
	EXPECT_EQ(0, command(s.device, UNPIN, 0x30000, 1, 0)); /* ignored */
}

TEST(pin_deaf, "10:PIN-02", "a device that is not told of unmaps may not pin, but copy")
{
	struct setup s = open_soft("deaf", VFIO_TYPE1v2_IOMMU);

	EXPECT_OK(map_dma(s.container, memory(1), 0, PAGE, RW));
	EXPECT_EQ(-EINVAL, command(s.device, PIN, 0, 1, 3));
	EXPECT_EQ(0, command(s.device, COPY_IN, 0, 8, 0));
}

TEST(pin_twice, "10:PIN-03", "a page pinned twice is unpinned twice")
{
	struct setup s = open_soft("soft0", VFIO_TYPE1v2_IOMMU);
	struct setup o = join(&s, "soft1");

	EXPECT_OK(map_dma(s.container, memory(1), 0, PAGE, RW));
	EXPECT_EQ(1, command(s.device, PIN, 0, 1, 3));
	EXPECT_EQ(1, command(s.device, PIN, 0, 1, 3));
	EXPECT_EQ(1, command(o.device, PIN, 0, 1, 3));
	EXPECT_EQ(0, command(s.device, UNPIN, 0, 1, 0));
	/* still pinned: who unmaps must ask */
	EXPECT_EQ(PAGE, unmapped(s.container, 0, PAGE));
	EXPECT_EQ(1, reg(s.device, NOTICES));
	EXPECT_EQ(0, reg(s.device, PINNED));
	EXPECT_EQ(0, reg(o.device, PINNED));
}

TEST(pin_memory, "10:PIN-03", "a pinned page is the program's memory")
{
	struct setup s = open_soft("soft0", VFIO_TYPE1v2_IOMMU);
	char *p = memory(2), got[16];

	EXPECT_OK(map_dma(s.container, p, 0x40000, 2 * PAGE, RW));
	strcpy(p + PAGE + 100, "to the device");
	EXPECT_EQ(2, command(s.device, PIN, 0x40000, 2, 3));
	EXPECT_EQ(0, command(s.device, LOAD, 0x41000 + 100, 14, 0));
	EXPECT_EQ(14, x_pread(s.device, got, 14, DATA));
	EXPECT(strcmp(got, "to the device") == 0);
	EXPECT_EQ(14, x_pwrite(s.device, "and back again", 14, DATA));
	EXPECT_EQ(0, command(s.device, STORE, 0x40000 + 200, 14, 0));
	EXPECT(memcmp(p + 200, "and back again", 14) == 0);
}

TEST(copy, "10:PIN-04", "copies take READ always, WRITE to write, and go on behind the end of a mapping")
{
	struct setup s = open_soft("soft0", VFIO_TYPE1v2_IOMMU);
	char *a = memory(1), *b = memory(1), got[32];

	EXPECT_OK(map_dma(s.container, a, 0x10000, PAGE, RW));
	EXPECT_OK(map_dma(s.container, b, 0x11000, PAGE, RW));
	EXPECT_OK(map_dma(s.container, memory(1), 0x12000, PAGE, VFIO_DMA_MAP_FLAG_READ));
	EXPECT_OK(map_dma(s.container, memory(1), 0x14000, PAGE, VFIO_DMA_MAP_FLAG_WRITE));
	memcpy(a + PAGE - 8, "across t", 8);
	memcpy(b, "wo pages", 8);
	EXPECT_EQ(0, command(s.device, COPY_IN, 0x11000 - 8, 16, 0));
	EXPECT_EQ(16, x_pread(s.device, got, 16, DATA));
	EXPECT(memcmp(got, "across two pages", 16) == 0);
	EXPECT_EQ(16, x_pwrite(s.device, "two pages across", 16, DATA));
	EXPECT_EQ(0, command(s.device, COPY_OUT, 0x11000 - 8, 16, 0));
	EXPECT(memcmp(a + PAGE - 8, "two page", 8) == 0 && memcmp(b, "s across", 8) == 0);
	EXPECT_EQ(0, command(s.device, COPY_IN, 0x12000, 8, 0));
	EXPECT_EQ(-EPERM, command(s.device, COPY_OUT, 0x12000, 8, 0));
	EXPECT_EQ(-EPERM, command(s.device, COPY_OUT, 0x14000, 8, 0));
	EXPECT_EQ(-EPERM, command(s.device, COPY_IN, 0x14000, 8, 0));
	EXPECT_EQ(-EINVAL, command(s.device, COPY_IN, 0x20000, 8, 0));
	EXPECT_EQ(-EINVAL, command(s.device, COPY_IN, 0x10000, 0, 0));
}

/* ---- unmap ---- */

TEST(unmap_notice, "10:UNM-12", "devices are told before what they have pinned is unmapped, and unpin it")
{
	struct setup s = open_soft("soft0", VFIO_TYPE1v2_IOMMU);

	EXPECT_OK(map_dma(s.container, memory(4), 0x10000, 4 * PAGE, RW));
	EXPECT_OK(map_dma(s.container, memory(1), 0x20000, PAGE, RW));
	EXPECT_EQ(PAGE, unmapped(s.container, 0x20000, PAGE)); /* nothing of it is pinned */
	EXPECT_EQ(0, reg(s.device, NOTICES));
	EXPECT_EQ(2, command(s.device, PIN, 0x11000, 2, 3));
	EXPECT_EQ(4 * PAGE, unmapped(s.container, 0, 0x40000));
	EXPECT_EQ(1, reg(s.device, NOTICES));
	EXPECT_EQ(0x10000, reg(s.device, NOTICE_IOVA));
	EXPECT_EQ(4 * PAGE, reg(s.device, NOTICE_LENGTH));
	EXPECT_EQ(0, reg(s.device, PINNED));
	EXPECT_EQ(-EINVAL, command(s.device, PIN, 0x11000, 1, 3));
}

TEST(unmap_vaddr, "10:UNM-09", "vaddrs cannot be taken away from an emulated device")
{
	struct setup s = open_soft("soft0", VFIO_TYPE1v2_IOMMU);
	struct vfio_iommu_type1_dma_unmap u = { .argsz = sizeof(u), .flags = VFIO_DMA_UNMAP_FLAG_VADDR, .size = PAGE };

	EXPECT_OK(map_dma(s.container, memory(1), 0, PAGE, RW));
	EXPECT_ERR(EBUSY, x_ioctl(s.container, VFIO_IOMMU_UNMAP_DMA, &u));
	u.iova = 1; /* told first */
	EXPECT_ERR(EBUSY, x_ioctl(s.container, VFIO_IOMMU_UNMAP_DMA, &u));
}

TEST(attach_invalid, "10:ATT-06", "an emulated group does not join while a vaddr is invalid")
{
	struct setup s = open_device(EDU);
	struct vfio_iommu_type1_dma_unmap u = { .argsz = sizeof(u), .flags = VFIO_DMA_UNMAP_FLAG_VADDR, .size = PAGE };
	int g;

	soft_group("soft0");
	EXPECT_OK(map_dma(s.container, memory(1), 0, PAGE, RW));
	EXPECT_OK(x_ioctl(s.container, VFIO_IOMMU_UNMAP_DMA, &u));
	g = EXPECT_OK(open_soft_group("soft0"));
	EXPECT_ERR(EBUSY, set_container(g, s.container));
}

TEST(close_pinned, "10:CNT-11", "closing the device lets go of its pins, the last group of the mappings")
{
	struct setup s = open_soft("soft0", VFIO_TYPE1v2_IOMMU);

	EXPECT_OK(map_dma(s.container, memory(2), 0, 2 * PAGE, RW));
	EXPECT_EQ(2, command(s.device, PIN, 0, 2, 3));
	EXPECT_OK(x_close(s.device));
	EXPECT_EQ(2 * PAGE, unmapped(s.container, 0, 2 * PAGE));
	EXPECT_OK(map_dma(s.container, memory(1), 0, PAGE, RW));
	EXPECT_OK(x_ioctl(s.group, VFIO_GROUP_UNSET_CONTAINER, NULL));
	EXPECT_ERR(EINVAL, map_dma(s.container, memory(1), 0x10000, PAGE, RW));
	EXPECT_OK(set_container(s.group, s.container));
	EXPECT_OK(set_iommu(s.container, VFIO_TYPE1v2_IOMMU));
	EXPECT_EQ(0, unmapped(s.container, 0, PAGE));
}

/* ---- locked memory ---- */

static void limit(unsigned pages)
{
	struct rlimit r;

	EXPECT_OK(getrlimit(RLIMIT_MEMLOCK, &r));
	if (!memlock.rlim_max)
		memlock = r;
	if (test_caps(CAPS_ALL & ~CAPS_IPC_LOCK))
		test_skip("needs the right to give up capabilities");
	r.rlim_cur = pages * PAGE;
	EXPECT_OK(setrlimit(RLIMIT_MEMLOCK, &r));
}

TEST(charge_at_pin, "10:LCK-04", "without a domain pages are charged as they are pinned")
{
	struct setup s = open_soft("soft0", VFIO_TYPE1v2_IOMMU);

	limit(4);
	EXPECT_OK(map_dma(s.container, memory(64), 0, 64 * PAGE, RW));
	EXPECT_EQ(3, command(s.device, PIN, 0, 3, 3));
	EXPECT_EQ(3, command(s.device, PIN, 0, 3, 3)); /* charged once */
	EXPECT_EQ(-ENOMEM, command(s.device, PIN, 0x8000, 2, 3));
	EXPECT_EQ(1, command(s.device, PIN, 0x8000, 1, 3));
	EXPECT_EQ(-ENOMEM, command(s.device, PIN, 0x9000, 1, 3));
	EXPECT_EQ(0, command(s.device, UNPIN, 0x8000, 1, 0));
	EXPECT_EQ(1, command(s.device, PIN, 0x9000, 1, 3));
	EXPECT_EQ(64 * PAGE, unmapped(s.container, 0, 64 * PAGE));
	EXPECT_OK(map_dma(s.container, memory(4), 0, 4 * PAGE, RW));
	EXPECT_EQ(4, command(s.device, PIN, 0, 4, 3));
}

TEST(charge_at_attach, "10:LCK-05 10:ATT-09", "a group behind an IOMMU has all mappings charged when it joins")
{
	struct setup s = open_soft("soft0", VFIO_TYPE1v2_IOMMU);
	int real;

	limit(8);
	EXPECT_OK(map_dma(s.container, memory(6), 0, 6 * PAGE, RW));
	EXPECT_OK(map_dma(s.container, memory(6), 0x10000, 6 * PAGE, RW));
	EXPECT_EQ(2, command(s.device, PIN, 0, 2, 3));
	real = EXPECT_OK(open_group(EDU));
	EXPECT_ERR(ENOMEM, set_container(real, s.container));
	EXPECT_EQ(6, command(s.device, PIN, 0x10000, 6, 3)); /* all is as it was: these are the last of 8 */
	EXPECT_EQ(-ENOMEM, command(s.device, PIN, 0x2000, 1, 3));
	EXPECT_EQ(6 * PAGE, unmapped(s.container, 0x10000, 6 * PAGE));
	EXPECT_OK(set_container(real, s.container)); /* 6: the two that were pinned are not charged again */
	EXPECT_OK(map_dma(s.container, memory(2), 0x10000, 2 * PAGE, RW));
	EXPECT_ERR(ENOMEM, map_dma(s.container, memory(1), 0x20000, PAGE, RW));
	EXPECT_EQ(1, command(s.device, PIN, 0x3000, 1, 3)); /* costs nothing now */
	EXPECT_OK(x_ioctl(real, VFIO_GROUP_UNSET_CONTAINER, NULL)); /* 3 stay charged */
	EXPECT_EQ(2, command(s.device, PIN, 0x10000, 2, 3));
	EXPECT_EQ(2, command(s.device, PIN, 0x4000, 2, 3));
	EXPECT_OK(map_dma(s.container, memory(2), 0x30000, 2 * PAGE, RW));
	EXPECT_EQ(1, command(s.device, PIN, 0x30000, 1, 3));
	EXPECT_EQ(-ENOMEM, command(s.device, PIN, 0x31000, 1, 3));
}

/* ---- dirty pages ---- */

static void tracking(int container, uint32_t flag)
{
	struct vfio_iommu_type1_dirty_bitmap b = { .argsz = sizeof(b), .flags = flag };

	EXPECT_OK(x_ioctl(container, VFIO_IOMMU_DIRTY_PAGES, &b));
}

/* The first word of the bitmap of [iova, +pages). */
static uint64_t dirty(int container, uint64_t iova, uint64_t pages)
{
	struct {
		struct vfio_iommu_type1_dirty_bitmap head;
		struct vfio_iommu_type1_dirty_bitmap_get get;
	} r = { .head.argsz = sizeof(r), .head.flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP };
	uint64_t bits[4] = { 0 };

	r.get.iova = iova;
	r.get.size = pages * PAGE;
	r.get.bitmap.pgsize = PAGE;
	r.get.bitmap.size = sizeof(bits);
	r.get.bitmap.data = (uintptr_t)bits;
	EXPECT_OK(x_ioctl(container, VFIO_IOMMU_DIRTY_PAGES, &r));
	return bits[0];
}

TEST(dirty_pinned, "10:DRT-06", "only what is pinned or was written is dirty")
{
	struct setup s = open_soft("soft0", VFIO_TYPE1v2_IOMMU);

	EXPECT_OK(map_dma(s.container, memory(16), 0x10000, 16 * PAGE, RW));
	EXPECT_EQ(2, command(s.device, PIN, 0x11000, 2, 3));
	tracking(s.container, VFIO_IOMMU_DIRTY_PAGES_FLAG_START);
	EXPECT_EQ(0x6, dirty(s.container, 0x10000, 16)); /* pinned before tracking began */
	EXPECT_EQ(0x6, dirty(s.container, 0x10000, 16)); /* and still */
	EXPECT_EQ(1, command(s.device, PIN, 0x18000, 1, 3));
	EXPECT_EQ(0, command(s.device, UNPIN, 0x18000, 1, 0));
	EXPECT_EQ(0, command(s.device, COPY_OUT, 0x1a000 - 8, 16, 0));
	EXPECT_EQ(0, command(s.device, COPY_IN, 0x1f000, 16, 0));
	EXPECT_EQ(0x706, dirty(s.container, 0x10000, 16));
	EXPECT_EQ(0x6, dirty(s.container, 0x10000, 16)); /* reported once */
	EXPECT_EQ(0, command(s.device, UNPIN, 0x11000, 2, 0));
	EXPECT_EQ(0x6, dirty(s.container, 0x10000, 16)); /* was pinned since the last report */
	EXPECT_EQ(0, dirty(s.container, 0x10000, 16));
	tracking(s.container, VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP);
}

TEST(dirty_unmap, "10:DRT-08", "the bits of what is unmapped come with the unmap")
{
	struct setup s = open_soft("soft0", VFIO_TYPE1v2_IOMMU);
	uint64_t bits[2] = { 0 };
	struct {
		struct vfio_iommu_type1_dma_unmap head;
		struct vfio_bitmap bitmap;
	} u = { .head.argsz = sizeof(u), .head.flags = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP };

	EXPECT_OK(map_dma(s.container, memory(16), 0x10000, 16 * PAGE, RW));
	tracking(s.container, VFIO_IOMMU_DIRTY_PAGES_FLAG_START);
	EXPECT_EQ(1, command(s.device, PIN, 0x13000, 1, 3));
	EXPECT_EQ(0, command(s.device, COPY_OUT, 0x15000, 16, 0));
	u.head.iova = 0x10000;
	u.head.size = 16 * PAGE;
	u.bitmap.pgsize = PAGE;
	u.bitmap.size = sizeof(bits);
	u.bitmap.data = (uintptr_t)bits;
	EXPECT_OK(x_ioctl(s.container, VFIO_IOMMU_UNMAP_DMA, &u));
	EXPECT_EQ(16 * PAGE, u.head.size);
	EXPECT_EQ(0x28, bits[0]);
	EXPECT_EQ(0, reg(s.device, PINNED));
}

TEST(dirty_scope, "10:DRT-05 10:DRT-06", "with a group behind an IOMMU all is dirty; when it leaves, once more, then no longer")
{
	struct setup s = open_soft("soft0", VFIO_TYPE1v2_IOMMU);
	int real = EXPECT_OK(open_group(EDU));

	EXPECT_OK(map_dma(s.container, memory(16), 0x10000, 16 * PAGE, RW));
	EXPECT_OK(set_container(real, s.container));
	tracking(s.container, VFIO_IOMMU_DIRTY_PAGES_FLAG_START);
	EXPECT_EQ(1, command(s.device, PIN, 0x13000, 1, 3));
	EXPECT_EQ(0xffff, dirty(s.container, 0x10000, 16));
	EXPECT_EQ(0xffff, dirty(s.container, 0x10000, 16));
	EXPECT_OK(x_ioctl(real, VFIO_GROUP_UNSET_CONTAINER, NULL));
	EXPECT_EQ(0xffff, dirty(s.container, 0x10000, 16));
	EXPECT_EQ(0x8, dirty(s.container, 0x10000, 16));
}

TEST(dirty_words, "10:DRT-06", "mappings that begin inside a word of the bitmap share it")
{
	struct setup s = open_soft("soft0", VFIO_TYPE1v2_IOMMU);

	EXPECT_OK(map_dma(s.container, memory(3), 0x10000, 3 * PAGE, RW));
	EXPECT_OK(map_dma(s.container, memory(70), 0x14000, 70 * PAGE, RW));
	tracking(s.container, VFIO_IOMMU_DIRTY_PAGES_FLAG_START);
	EXPECT_EQ(1, command(s.device, PIN, 0x11000, 1, 3));
	EXPECT_EQ(1, command(s.device, PIN, 0x14000, 1, 3));
	EXPECT_EQ(1, command(s.device, PIN, 0x16000, 1, 3));
	EXPECT_EQ(0x52, dirty(s.container, 0x10000, 74));
	EXPECT_EQ(0, command(s.device, UNPIN, 0x14000, 1, 0));
	dirty(s.container, 0x10000, 74);
	EXPECT_EQ(0x42, dirty(s.container, 0x10000, 74));
}
