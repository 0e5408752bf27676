/* SPDX-License-Identifier: MIT */
/* Devices in address spaces, by their own nodes: what is pinned, counted and reached. */
#include "cdev.h"
#include <sys/resource.h>

static int fd, dev;
static uint32_t dev_id;

static int attach(uint32_t pt)
{
	return cdev_attach_to(dev, pt);
}

static int detach(void)
{
	return cdev_detach(dev);
}

/* A context with the edu bound */
static void begin(void)
{
	dev = cdev_take(EDU);
	fd = iommu_open();
	EXPECT_OK(cdev_bind_flags(dev, fd, sizeof(struct vfio_device_bind_iommufd), 0, &dev_id));
	/* An old Linux skips what a bus master may do: DMA must be on */
	config_write(dev, 4, 2, config_read(dev, 4, 2) | 6);
}

static int hwpt_alloc(uint32_t pt, uint32_t flags, uint32_t *out)
{
	struct iommu_hwpt_alloc a = { .size = sizeof(a), .flags = flags, .dev_id = dev_id, .pt_id = pt };
	int rc = x_ioctl(fd, IOMMU_HWPT_ALLOC, &a);

	*out = a.out_hwpt_id;
	return rc;
}

TEST(ids, "30:IFD-019 30:IFD-020 30:IFD-022 30:IFD-134 30:IFD-136", "what is in use cannot be destroyed, and an automatic HWPT goes with its last device")
{
	uint32_t ioas, pt;

	begin();
	pt = ioas = ioas_alloc(fd);
	EXPECT_ERR(EBUSY, destroy(fd, dev_id));
	EXPECT_ERR(ENOENT, attach(99));
	EXPECT_ERR(EINVAL, attach(dev_id));
	EXPECT_OK(cdev_attach(dev, &pt));
	EXPECT(pt != ioas && pt != dev_id);
	EXPECT_ERR(EBUSY, destroy(fd, ioas));
	EXPECT_ERR(EBUSY, destroy(fd, pt));
	EXPECT_ERR(EBUSY, destroy(fd, dev_id));
	EXPECT_OK(detach());
	EXPECT_OK(detach());
	EXPECT_ERR(ENOENT, destroy(fd, pt));
	EXPECT_OK(destroy(fd, ioas));
	EXPECT_OK(x_close(dev));
	EXPECT_ERR(ENOENT, destroy(fd, dev_id));
}

TEST(ranges_room, "30:IFD-028", "with room for one range of two, one is written, and EMSGSIZE")
{
	struct iommu_iova_range r[2] = { { 1, 1 }, { 7, 7 } };
	struct iommu_ioas_iova_ranges a = { .size = sizeof(a), .num_iovas = 1, .allowed_iovas = (uintptr_t)r };

	begin();
	a.ioas_id = ioas_alloc(fd);
	EXPECT_OK(attach(a.ioas_id));
	EXPECT_ERR(EMSGSIZE, x_ioctl(fd, IOMMU_IOAS_IOVA_RANGES, &a));
	EXPECT_EQ(2, a.num_iovas);
	EXPECT_EQ(PAGE, a.out_iova_alignment);
	EXPECT(r[0].start == 0 && r[0].last == 0xfedfffff && r[1].start == 7 && r[1].last == 7);
}

TEST(narrow, "30:IFD-029 30:IFD-030", "attaching leaves out what the hardware reserves, and whole pages only")
{
	struct iommu_iova_range r[8];
	struct iommu_ioas_iova_ranges a = { .size = sizeof(a), .num_iovas = 8, .allowed_iovas = (uintptr_t)r };

	begin();
	a.ioas_id = ioas_alloc(fd);
	EXPECT_OK(attach(a.ioas_id));
	EXPECT_OK(x_ioctl(fd, IOMMU_IOAS_IOVA_RANGES, &a));
	EXPECT_EQ(2, a.num_iovas);
	EXPECT_EQ(PAGE, a.out_iova_alignment);
	EXPECT(r[0].start == 0 && r[0].last == 0xfedfffff && r[1].start == 0xfef00000 && r[1].last < 1ull << 57);
	EXPECT_ERR(EINVAL, ioas_map_at(fd, a.ioas_id, ram(PAGE), PAGE, 0xfee00000));
	EXPECT_ERR(EINVAL, ioas_map_at(fd, a.ioas_id, ram(PAGE), 1, 0x1000));
	EXPECT_OK(detach());
	a.num_iovas = 8;
	EXPECT_OK(x_ioctl(fd, IOMMU_IOAS_IOVA_RANGES, &a));
	EXPECT_EQ(1, a.num_iovas);
	EXPECT_EQ(1, a.out_iova_alignment);
}

TEST(in_the_way, "30:IFD-034 30:IFD-038 30:IFD-046 30:IFD-054 30:IFD-144", "what is mapped or allowed where the hardware cannot go keeps the device out")
{
	const struct iommu_iova_range msi = { 0xfee00000, 0xfee0ffff }, some = { 0x700000, 0x70ffff };
	uint64_t iova = 0;
	uint32_t ioas;
	char *p;

	begin();
	p = ram(2 * PAGE);
	ioas = ioas_alloc(fd);
	EXPECT_OK(ioas_map_at(fd, ioas, p, PAGE, 0xfee01000));
	EXPECT_ERR(EADDRINUSE, attach(ioas));
	EXPECT_OK(ioas_unmap_n(fd, ioas, 0xfee01000, PAGE));
	EXPECT_OK(ioas_map_at(fd, ioas, p, PAGE, 1ull << 60));
	EXPECT_ERR(EADDRINUSE, attach(ioas));
	EXPECT_OK(ioas_unmap_n(fd, ioas, 1ull << 60, PAGE));
	EXPECT_OK(ioas_map_at(fd, ioas, p, 100, 0x1000));
	EXPECT_ERR(EADDRINUSE, attach(ioas));
	EXPECT_OK(ioas_unmap_n(fd, ioas, 0x1000, 100));
	EXPECT_OK(ioas_allow(fd, ioas, &msi, 1));
	EXPECT_ERR(EADDRINUSE, attach(ioas));
	EXPECT_OK(ioas_allow(fd, ioas, NULL, 0));
	EXPECT_OK(attach(ioas));
	EXPECT_OK(ioas_allow(fd, ioas, &some, 1));
	EXPECT_ERR(EADDRINUSE, ioas_allow(fd, ioas, &msi, 1));
	EXPECT_OK(ioas_map(fd, ioas, p, PAGE, RW, &iova));
	EXPECT_EQ(0x700000, iova); /* the old list is in force */
	EXPECT_OK(ioas_map_at(fd, ioas, p, PAGE, 0xfedff000));
	EXPECT_ERR(EINVAL, ioas_map_at(fd, ioas, p, 2 * PAGE, 0xfedff000));
}

TEST(unpinnable, "30:IFD-056 30:IFD-057 30:IFD-058", "memory that cannot be pinned keeps a device out, or is not mapped")
{
	uint32_t ioas;
	char *p, *half, *constant;

	begin();
	p = ram(PAGE);
	half = ram(2 * PAGE);
	constant = test_memory(PAGE, PROT_READ, MAP_PRIVATE);
	EXPECT_OK(mprotect(half + PAGE, PAGE, PROT_NONE));
	ioas = ioas_alloc(fd);
	EXPECT_OK(ioas_map_at(fd, ioas, p, PAGE, 0x1000));
	EXPECT_OK(ioas_map_at(fd, ioas, half, 2 * PAGE, 0x10000));
	EXPECT_ERR(EFAULT, attach(ioas));
	EXPECT_OK(ioas_unmap_n(fd, ioas, 0x10000, 2 * PAGE));
	EXPECT_OK(attach(ioas));
	EXPECT_ERR(EFAULT, ioas_map_at(fd, ioas, half, 2 * PAGE, 0x10000));
	EXPECT_ERR(EFAULT, ioas_map_at(fd, ioas, (void *)0x1000, PAGE, 0x10000));
	EXPECT_ERR(EFAULT, ioas_map_at(fd, ioas, constant, PAGE, 0x10000));
	EXPECT_OK(ioas_map_at(fd, ioas, half, PAGE, 0x10000));
}

TEST(limit, "30:IFD-094 30:IFD-095 30:IFD-096 30:IFD-077", "pages are counted when they are pinned, once, against the limit")
{
	struct rlimit old, low = { 64 * PAGE, 64 * PAGE };
	uint32_t ioas, other;
	uint64_t iova = 0x100000;
	char *p;

	begin();
	if (test_caps(CAPS_RAWIO | CAPS_ADMIN))
		test_skip("cannot drop capabilities");
	getrlimit(RLIMIT_MEMLOCK, &old);
	if (old.rlim_max != RLIM_INFINITY && old.rlim_max < low.rlim_cur)
		test_skip("the limit is too low already");
	low.rlim_max = old.rlim_max;
	setrlimit(RLIMIT_MEMLOCK, &low);
	p = ram(256 * PAGE);
	ioas = ioas_alloc(fd);
	other = ioas_alloc(fd);
	EXPECT_OK(ioas_map_at(fd, ioas, p, 65 * PAGE, 0x100000));
	EXPECT_ERR(ENOMEM, attach(ioas));
	EXPECT_OK(ioas_unmap_n(fd, ioas, 0x100000, 65 * PAGE));
	EXPECT_OK(ioas_map_at(fd, ioas, p, 60 * PAGE, 0x100000));
	EXPECT_OK(attach(ioas));
	EXPECT_ERR(ENOMEM, ioas_map_at(fd, ioas, p, 5 * PAGE, 0x200000));
	EXPECT_OK(ioas_map_at(fd, ioas, p, 4 * PAGE, 0x200000));
	EXPECT_ERR(ENOMEM, ioas_map_at(fd, ioas, p, PAGE, 0x300000));
	iova = 0x300000;
	EXPECT_OK(ioas_copy(fd, ioas, ioas, 0x100000, 60 * PAGE, RW | FIXED, &iova));
	EXPECT_OK(ioas_copy(fd, other, ioas, 0x100000, 60 * PAGE, RW | FIXED, &iova));
	EXPECT_OK(ioas_unmap_n(fd, ioas, 0x100000, 60 * PAGE));
	EXPECT_ERR(ENOMEM, ioas_map_at(fd, ioas, p, PAGE, 0x100000));
	EXPECT_OK(ioas_unmap_n(fd, ioas, 0x300000, 60 * PAGE));
	EXPECT_OK(ioas_map_at(fd, ioas, p, 60 * PAGE, 0x100000));
	EXPECT_OK(ioas_unmap_n(fd, ioas, 0, ALL));
	if (!test_caps(CAPS_ALL))
		EXPECT_OK(ioas_map_at(fd, ioas, p, 256 * PAGE, 0x100000));
	setrlimit(RLIMIT_MEMLOCK, &old);
}

TEST(replace, "30:IFD-137 30:IFD-143", "attaching again replaces, or leaves the device where it is")
{
	uint32_t one, two, pt, old;
	volatile char *bar;
	char *p;

	begin();
	p = ram(4 * PAGE);
	one = ioas_alloc(fd);
	two = ioas_alloc(fd);
	EXPECT_OK(ioas_map_at(fd, one, p, PAGE, 0x10000));
	EXPECT_OK(ioas_map_at(fd, two, p + PAGE, PAGE, 0x20000));
	EXPECT_OK(ioas_map_at(fd, two, p, PAGE, 0xfee01000));
	old = one;
	EXPECT_OK(cdev_attach(dev, &old));
	bar = x_mmap(NULL, region_size(dev, 0), PROT_READ | PROT_WRITE, MAP_SHARED, dev, 0);
	EXPECT(bar != MAP_FAILED);
	pt = two;
	EXPECT_ERR(EADDRINUSE, cdev_attach(dev, &pt));
	EXPECT_EQ(two, pt);
	strcpy(p, "first");
	edu_dma(bar, 0x10000, 0x40000, 8, 0);
	EXPECT_OK(ioas_unmap_n(fd, two, 0xfee01000, PAGE));
	EXPECT_OK(cdev_attach(dev, &pt));
	EXPECT_ERR(ENOENT, destroy(fd, old));
	EXPECT_OK(destroy(fd, one));
	edu_dma(bar, 0x40000, 0x20000, 8, 1);
	EXPECT(strcmp(p + PAGE, "first") == 0);
	old = pt;
	EXPECT_OK(cdev_attach(dev, &pt));
	EXPECT_EQ(old, pt);
}

TEST(manual, "30:IFD-021 30:IFD-022 30:IFD-013 30:IFD-151 30:IFD-152 30:IFD-153", "HWPTs that a program makes stay until it destroys them")
{
	uint32_t ioas, id, other, none, pt;
	struct iommu_hwpt_alloc a = { .size = 24 };

	begin();
	ioas = ioas_alloc(fd);
	EXPECT_ERR(EINVAL, hwpt_alloc(99, 0, &none));
	EXPECT_ERR(EINVAL, hwpt_alloc(dev_id, 0, &none));
	EXPECT_ERR(EOPNOTSUPP, hwpt_alloc(ioas, 1u << 4, &none));
	EXPECT_ERR(EOPNOTSUPP, hwpt_alloc(ioas, IOMMU_HWPT_ALLOC_NEST_PARENT | IOMMU_HWPT_FAULT_ID_VALID, &none));
	EXPECT_ERR(EOPNOTSUPP, hwpt_alloc(ioas, IOMMU_HWPT_ALLOC_DIRTY_TRACKING, &none));
	EXPECT_ERR(EOPNOTSUPP, hwpt_alloc(ioas, IOMMU_HWPT_ALLOC_NEST_PARENT, &none));
	EXPECT_ERR(ENOENT, hwpt_alloc(ioas, IOMMU_HWPT_FAULT_ID_VALID, &none));
	a.dev_id = dev_id;
	a.pt_id = ioas;
	EXPECT_OK(x_ioctl(fd, IOMMU_HWPT_ALLOC, &a));
	id = a.out_hwpt_id;
	EXPECT_ERR(EOPNOTSUPP, hwpt_alloc(id, 0, &none));
	EXPECT_ERR(EBUSY, destroy(fd, ioas));
	pt = id;
	EXPECT_OK(cdev_attach(dev, &pt));
	EXPECT_EQ(id, pt);
	EXPECT_ERR(EBUSY, destroy(fd, id));
	EXPECT_OK(detach());
	pt = ioas;
	EXPECT_OK(cdev_attach(dev, &pt));
	EXPECT(pt != id);
	other = pt;
	pt = id;
	EXPECT_OK(cdev_attach(dev, &pt));
	EXPECT_ERR(ENOENT, destroy(fd, other));
	EXPECT_OK(detach());
	EXPECT_OK(destroy(fd, id));
	EXPECT_OK(destroy(fd, ioas));
}

TEST(hw_info, "30:IFD-014 30:IFD-155 30:IFD-156", "GET_HW_INFO fills what there is room for, and zeros behind")
{
	unsigned char buf[64];
	struct {
		struct iommu_hw_info a;
		uint64_t canary;
	} x = { .canary = 0x1234 };

	begin();
	memset(buf, 0xa5, sizeof(buf));
	x.a = (struct iommu_hw_info){ .size = sizeof(x.a), .dev_id = dev_id, .data_len = 40, .data_uptr = (uintptr_t)buf };
	EXPECT_OK(x_ioctl(fd, IOMMU_GET_HW_INFO, &x.a));
	EXPECT_EQ(IOMMU_HW_INFO_TYPE_INTEL_VTD, x.a.out_data_type);
	EXPECT_EQ(24, x.a.data_len);
	EXPECT_EQ(0, x.a.out_max_pasid_log2);
	EXPECT_EQ(IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED, x.a.out_capabilities);
	EXPECT(buf[24] == 0 && buf[39] == 0 && buf[40] == 0xa5);
	memset(buf, 0xa5, sizeof(buf));
	x.a = (struct iommu_hw_info){ .size = 32, .dev_id = dev_id, .data_len = 10, .data_uptr = (uintptr_t)buf,
				      .out_data_type = 99, .out_capabilities = 0x5678 };
	EXPECT_OK(x_ioctl(fd, IOMMU_GET_HW_INFO, &x.a));
	EXPECT(x.a.data_len == 24 && buf[10] == 0xa5 && x.a.out_capabilities == 0x5678 && x.canary == 0x1234);
	x.a.flags = 2;
	EXPECT_ERR(EOPNOTSUPP, x_ioctl(fd, IOMMU_GET_HW_INFO, &x.a));
	x.a.flags = 1;
	x.a.out_data_type = 2;
	EXPECT_ERR(EOPNOTSUPP, x_ioctl(fd, IOMMU_GET_HW_INFO, &x.a));
	x.a.out_data_type = 1;
	EXPECT_OK(x_ioctl(fd, IOMMU_GET_HW_INFO, &x.a));
	x.a.data_len = 0;
	x.a.data_uptr = 0;
	EXPECT_OK(x_ioctl(fd, IOMMU_GET_HW_INFO, &x.a));
}

TEST(large_pages, "30:IFD-086 30:IFD-115", "large pages are decided before anything is mapped; type1 takes any page back")
{
	uint64_t n;
	uint32_t ioas;
	char *p;

	begin();
	ioas = ioas_alloc(fd);
	p = ram(8 * PAGE);
	EXPECT_OK(attach(ioas));
	EXPECT_OK(ioas_map_at(fd, ioas, p, 8 * PAGE, 0x10000));
	EXPECT_ERR(EINVAL, option_set(fd, IOMMU_OPTION_HUGE_PAGES, ioas, 0));
	EXPECT_OK(compat(fd, IOMMU_VFIO_IOAS_SET, &ioas));
	EXPECT_ERR(EINVAL, x_ioctl(fd, VFIO_SET_IOMMU, (void *)VFIO_TYPE1_IOMMU));
	EXPECT_ERR(ENOENT, unmap_dma(fd, 0x11000, PAGE, &n));
	EXPECT_OK(ioas_unmap_n(fd, ioas, 0x10000, 8 * PAGE));
	EXPECT_OK(x_ioctl(fd, VFIO_SET_IOMMU, (void *)VFIO_TYPE1_IOMMU));
	EXPECT_OK(map_dma(fd, p, 0x10000, 8 * PAGE, 3));
	EXPECT_OK(unmap_dma(fd, 0x11000, PAGE, &n));
	EXPECT_EQ(PAGE, n);
	EXPECT_OK(map_dma(fd, p, 0x11000, PAGE, 3));
	EXPECT_OK(unmap_dma(fd, 0, 0x100000, &n));
	EXPECT_EQ(8 * PAGE, n);
}

TEST(files, "30:IFD-063 30:IFD-064 30:IFD-066", "MAP_FILE pins whole pages of memory files")
{
	int file = memfd_create("x", 0), plain = open("/proc/self/status", O_RDONLY);
	uint64_t iova = 0x10000;
	volatile char *bar;
	uint32_t ioas;
	char *view;

	begin();
	ioas = ioas_alloc(fd);
	EXPECT_OK(ftruncate(file, 4 * PAGE + 100));
	EXPECT_OK(attach(ioas));
	EXPECT_ERR(EINVAL, ioas_map_file(fd, ioas, file, 0, 5 * PAGE, RW | FIXED, &iova));
	EXPECT_ERR(EINVAL, ioas_map_file(fd, ioas, file, 0x100000, PAGE, RW | FIXED, &iova));
	EXPECT_ERR(EINVAL, ioas_map_file(fd, ioas, file, 0x10, PAGE, RW | FIXED, &iova));
	EXPECT_ERR(EINVAL, ioas_map_file(fd, ioas, plain, 0, PAGE, READ | FIXED, &iova));
	EXPECT_OK(ioas_map_file(fd, ioas, file, PAGE, 2 * PAGE, RW | FIXED, &iova));
	view = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	close(file);
	close(plain);
	bar = x_mmap(NULL, region_size(dev, 0), PROT_READ | PROT_WRITE, MAP_SHARED, dev, 0);
	EXPECT(bar != MAP_FAILED);
	strcpy(view + PAGE, "file");
	edu_dma(bar, 0x10000, 0x40000, 8, 0);
	edu_dma(bar, 0x40000, 0x11008, 8, 1);
	EXPECT(strcmp(view + 2 * PAGE + 8, "file") == 0);
	munmap(view, 4 * PAGE);
}

TEST(own_bar, "30:IFD-059", "a mapped BAR is no memory")
{
	volatile char *bar;
	uint32_t ioas;

	begin();
	ioas = ioas_alloc(fd);
	EXPECT_OK(attach(ioas));
	bar = x_mmap(NULL, region_size(dev, 0), PROT_READ | PROT_WRITE, MAP_SHARED, dev, 0);
	EXPECT(bar != MAP_FAILED);
	EXPECT_ERR(EFAULT, ioas_map_at(fd, ioas, (void *)bar, PAGE, 0x10000));
}

TEST(no_dirty, "30:IFD-160 30:IFD-166", "an HWPT without dirty tracking says so, after the range was checked")
{
	struct iommu_hwpt_set_dirty_tracking s = { .size = sizeof(s), .flags = 1 };
	struct iommu_hwpt_get_dirty_bitmap g = { .size = sizeof(g), .page_size = PAGE };
	uint32_t pt;

	begin();
	pt = ioas_alloc(fd);
	s.hwpt_id = pt;
	EXPECT_ERR(ENOENT, x_ioctl(fd, IOMMU_HWPT_SET_DIRTY_TRACKING, &s));
	EXPECT_OK(cdev_attach(dev, &pt));
	s.hwpt_id = g.hwpt_id = pt;
	EXPECT_ERR(EOPNOTSUPP, x_ioctl(fd, IOMMU_HWPT_SET_DIRTY_TRACKING, &s));
	EXPECT_ERR(EINVAL, x_ioctl(fd, IOMMU_HWPT_GET_DIRTY_BITMAP, &g));
	g.length = 2 * PAGE;
	g.iova = ~0xfffull;
	EXPECT_ERR(EOVERFLOW, x_ioctl(fd, IOMMU_HWPT_GET_DIRTY_BITMAP, &g));
	g.iova = 0x10;
	EXPECT_ERR(EINVAL, x_ioctl(fd, IOMMU_HWPT_GET_DIRTY_BITMAP, &g));
	g.iova = 0x1000;
	g.page_size = 2 * PAGE;
	EXPECT_ERR(EINVAL, x_ioctl(fd, IOMMU_HWPT_GET_DIRTY_BITMAP, &g));
	g.page_size = 0;
	EXPECT_ERR(EINVAL, x_ioctl(fd, IOMMU_HWPT_GET_DIRTY_BITMAP, &g));
	g.page_size = PAGE;
	EXPECT_ERR(EOPNOTSUPP, x_ioctl(fd, IOMMU_HWPT_GET_DIRTY_BITMAP, &g));
}

TEST(invalidate, "30:IFD-157", "a paging HWPT has nothing to invalidate")
{
	struct iommu_hwpt_invalidate n = { .size = sizeof(n), .entry_num = 3, .entry_len = 8, .data_uptr = 8 };
	uint32_t pt;

	begin();
	pt = ioas_alloc(fd);
	EXPECT_OK(cdev_attach(dev, &pt));
	n.hwpt_id = pt;
	EXPECT_ERR(EINVAL, x_ioctl(fd, IOMMU_HWPT_INVALIDATE, &n));
	EXPECT_EQ(0, n.entry_num);
}

TEST(fault_queue, "30:IFD-154 30:IFD-168 30:IFD-169 30:IFD-171", "a fault queue is read and answered in whole messages, and stays while it is open or named")
{
	struct iommu_fault_alloc f = { .size = sizeof(f), .flags = 1 };
	struct iommu_hwpt_alloc a = { .size = sizeof(a), .flags = IOMMU_HWPT_FAULT_ID_VALID, .fault_id = 99 };
	uint32_t answer[4] = { 1, 0, 1, 2 }, ioas, pt;
	char buf[80];

	begin();
	EXPECT_ERR(EOPNOTSUPP, x_ioctl(fd, IOMMU_FAULT_QUEUE_ALLOC, &f));
	f.flags = 0;
	EXPECT_OK(x_ioctl(fd, IOMMU_FAULT_QUEUE_ALLOC, &f));
	EXPECT(f.out_fault_id != 0);
	EXPECT_EQ(0, x_read((int)f.out_fault_fd, buf, 40));
	EXPECT_EQ(0, x_read((int)f.out_fault_fd, buf, 80));
	EXPECT_ERR(ESPIPE, x_read((int)f.out_fault_fd, buf, 39));
	EXPECT_ERR(ESPIPE, x_pread((int)f.out_fault_fd, buf, 40, 40));
	EXPECT_ERR(ESPIPE, x_write((int)f.out_fault_fd, answer, 7));
	EXPECT_ERR(EINVAL, x_write((int)f.out_fault_fd, answer, 8));
	EXPECT_ERR(EINVAL, x_write((int)f.out_fault_fd, answer + 2, 8));
	EXPECT_ERR(EFAULT, x_write((int)f.out_fault_fd, (void *)8, 8));
	EXPECT_ERR(EBUSY, destroy(fd, f.out_fault_id));
	ioas = ioas_alloc(fd);
	a.dev_id = dev_id;
	a.pt_id = ioas;
	EXPECT_ERR(ENOENT, x_ioctl(fd, IOMMU_HWPT_ALLOC, &a));
	EXPECT_OK(destroy(fd, ioas));
	ioas = a.pt_id = ioas_alloc(fd);
	a.fault_id = ioas;
	EXPECT_ERR(ENOENT, x_ioctl(fd, IOMMU_HWPT_ALLOC, &a));
	a.fault_id = f.out_fault_id;
	EXPECT_OK(x_ioctl(fd, IOMMU_HWPT_ALLOC, &a));
	pt = a.out_hwpt_id;
	EXPECT_ERR(ENODEV, cdev_attach(dev, &pt));
	EXPECT_OK(x_close((int)f.out_fault_fd));
	EXPECT_ERR(EBUSY, destroy(fd, f.out_fault_id));
	EXPECT_OK(destroy(fd, a.out_hwpt_id));
	EXPECT_OK(destroy(fd, f.out_fault_id));
}

static int pasid_attach(uint32_t pasid, uint32_t pt)
{
	struct vfio_device_attach_iommufd_pt a = { .argsz = sizeof(a), .flags = VFIO_DEVICE_ATTACH_PASID, .pt_id = pt,
						   .pasid = pasid };

	return x_ioctl(dev, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &a);
}

static int pasid_detach(uint32_t pasid)
{
	struct vfio_device_detach_iommufd_pt d = { .argsz = sizeof(d), .flags = VFIO_DEVICE_DETACH_PASID, .pasid = pasid };

	return x_ioctl(dev, VFIO_DEVICE_DETACH_IOMMUFD_PT, &d);
}

TEST(pasids, "30:IFD-146 30:IFD-147 30:IFD-150", "PASIDs want HWPTs that were made for them, also beside them")
{
	uint32_t ioas, fit, other, plain;

	begin();
	ioas = ioas_alloc(fd);
	EXPECT_OK(hwpt_alloc(ioas, IOMMU_HWPT_ALLOC_PASID, &fit));
	EXPECT_OK(hwpt_alloc(ioas, IOMMU_HWPT_ALLOC_PASID, &other));
	EXPECT_OK(hwpt_alloc(ioas, 0, &plain));
	EXPECT_ERR(ENOENT, pasid_attach(5, 99));
	EXPECT_ERR(EINVAL, pasid_attach(5, dev_id));
	EXPECT_ERR(EINVAL, pasid_attach(5, ioas));
	EXPECT_ERR(EINVAL, pasid_attach(5, plain));
	EXPECT_ERR(ENOSPC, pasid_attach(0x80000000, fit));
	EXPECT_OK(attach(plain));
	EXPECT_ERR(EINVAL, pasid_attach(5, fit));
	EXPECT_OK(attach(fit));
	EXPECT_OK(pasid_attach(5, fit));
	EXPECT_ERR(EINVAL, attach(plain));
	EXPECT_ERR(EINVAL, attach(ioas));
	EXPECT_ERR(EINVAL, pasid_attach(5, plain));
	EXPECT_ERR(EBUSY, pasid_attach(0, fit));
	EXPECT_OK(pasid_attach(5, other));
	EXPECT_OK(pasid_attach(6, other));
	EXPECT_OK(detach());
	EXPECT_OK(destroy(fd, fit));
	EXPECT_ERR(EINVAL, attach(plain));
	EXPECT_OK(pasid_detach(5));
	EXPECT_OK(pasid_detach(5));
	EXPECT_ERR(EBUSY, destroy(fd, other));
	EXPECT_OK(x_close(dev));
	EXPECT_OK(destroy(fd, other));
	EXPECT_OK(destroy(fd, plain));
	EXPECT_OK(destroy(fd, ioas));
}
