/* SPDX-License-Identifier: MIT */
/* No-IOMMU mode by groups: spec 10, section 5. The machine: tests/machines/noiommu.yaml. */
#include "abi.h"

#define MODE       "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode"

/* A function that has an IOMMU: its place differs where tools/run-host runs this */
static const char *with_iommu(void)
{
	return getenv("UVFIO_WITH_IOMMU") ? getenv("UVFIO_WITH_IOMMU") : "0000:00:08.0";
}

static void mode(bool on)
{
	EXPECT_OK(sys_write(MODE, on ? "Y" : "N"));
}

/* Whatever it was bound to; what comes of it is the test's to say. */
static void rebind(const char *bdf)
{
	char path[128];

	unbind(bdf);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver_override", bdf);
	EXPECT_OK(sys_write(path, "vfio-pci"));
	EXPECT_OK(sys_write("/sys/bus/pci/drivers_probe", bdf));
}

static bool is_vfio(const char *bdf)
{
	const char *d = driver_of(bdf);

	return d && strcmp(d, "vfio-pci") == 0;
}

/* Bound to vfio-pci without IOMMU. Returns its group's number. */
static int bind_noiommu(const char *bdf)
{
	mode(true);
	if (!is_vfio(bdf))
		rebind(bdf);
	EXPECT(is_vfio(bdf));
	return group_of(bdf);
}

static int open_noiommu(const char *bdf)
{
	char path[64];

	snprintf(path, sizeof(path), "/dev/vfio/noiommu-%d", bind_noiommu(bdf));
	return x_open(path, O_RDWR);
}

static int extension(int container, unsigned long ext)
{
	return x_ioctl(container, VFIO_CHECK_EXTENSION, (void *)ext);
}

static void need_caps(void)
{
	if (test_caps(CAPS_ALL & ~CAPS_RAWIO) || test_caps(CAPS_ALL))
		test_skip("needs the right to give up and take back capabilities");
}

/* Group, container and (with @type) backend. */
static struct setup set_up(const char *bdf, unsigned long type)
{
	struct setup s = { .device = -1 };

	need_caps();
	s.group = EXPECT_OK(open_noiommu(bdf));
	s.container = EXPECT_OK(x_open("/dev/vfio/vfio", O_RDWR));
	EXPECT_OK(x_ioctl(s.group, VFIO_GROUP_SET_CONTAINER, &s.container));
	if (type)
		EXPECT_OK(set_iommu(s.container, type));
	return s;
}

static int device_fd(int group, const char *bdf)
{
	return x_ioctl(group, VFIO_GROUP_GET_DEVICE_FD, (void *)(uintptr_t)bdf);
}

static void need_iommu(void)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s", with_iommu());
	if (x_stat(path, &st) < 0)
		test_skip("this machine has no function behind an IOMMU beside those without");
}

TEST(noiommu_off, "10:NOI-01 10:BND-21 10:TOP-21", "without the option vfio-pci does not bind to a device without group")
{
	mode(false);
	rebind(EDU);
	EXPECT(!driver_of(EDU));
	EXPECT_EQ(-1, group_of(EDU));
	EXPECT_ERR(EINVAL, sys_write("/sys/bus/pci/drivers/vfio-pci/bind", EDU));
}

TEST(noiommu_parameter, "10:NOI-01", "the option reads N, can be written, and takes the words of a bool only")
{
	mode(false);
	EXPECT(strcmp(sys_read(MODE), "N") == 0);
	EXPECT_OK(sys_write(MODE, "1\n"));
	EXPECT(strcmp(sys_read(MODE), "Y") == 0);
	EXPECT_ERR(EINVAL, sys_write(MODE, "maybe"));
	EXPECT(strcmp(sys_read(MODE), "Y") == 0);
}

TEST(noiommu_node, "10:NOI-02 10:SYS-11 10:SYS-12 10:SYS-13", "the node is noiommu-N, the group has a name and no type")
{
	int id = bind_noiommu(EDU);
	char path[128];
	struct stat st;

	EXPECT(id >= 0);
	snprintf(path, sizeof(path), "/dev/vfio/noiommu-%d", id);
	EXPECT_OK(x_stat(path, &st));
	EXPECT(S_ISCHR(st.st_mode));
	EXPECT_EQ(0600, st.st_mode & 07777);
	snprintf(path, sizeof(path), "/dev/vfio/%d", id);
	EXPECT_ERR(ENOENT, x_stat(path, &st));
	snprintf(path, sizeof(path), "/sys/class/vfio/noiommu-%d", id);
	EXPECT_OK(x_stat(path, &st));
	snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%d/name", id);
	EXPECT(sys_read(path) && strcmp(sys_read(path), "vfio-noiommu") == 0);
	snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%d/type", id);
	EXPECT(sys_read(path) && strcmp(sys_read(path), "unknown") == 0);
	snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%d/reserved_regions", id);
	EXPECT(sys_read(path) && strcmp(sys_read(path), "") == 0);
	snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%d/devices/" EDU, id);
	EXPECT_OK(x_stat(path, &st));
}

TEST(noiommu_node_goes, "10:NOI-02 10:VCO-02", "node and group vanish when the driver is unbound")
{
	int id = bind_noiommu(EDU);
	char path[128];
	struct stat st;

	EXPECT_OK(sys_write("/sys/bus/pci/drivers/vfio-pci/unbind", EDU));
	EXPECT_EQ(-1, group_of(EDU));
	snprintf(path, sizeof(path), "/dev/vfio/noiommu-%d", id);
	EXPECT_ERR(ENOENT, x_stat(path, &st));
	snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%d", id);
	EXPECT_ERR(ENOENT, x_stat(path, &st));
	EXPECT_EQ(id, bind_noiommu(EDU)); /* the number is free again */
}

TEST(noiommu_taint, "10:NOI-03", "the kernel is tainted with bit 6, and stays so")
{
	bind_noiommu(EDU);
	EXPECT(sys_read("/proc/sys/kernel/tainted") && atol(sys_read("/proc/sys/kernel/tainted")) & 64);
	EXPECT_OK(sys_write("/sys/bus/pci/drivers/vfio-pci/unbind", EDU));
	EXPECT(atol(sys_read("/proc/sys/kernel/tainted")) & 64);
}

static void expect_logged(const char *what)
{
	bool host = test_door() == DOOR_HOST, found = false;
	int fd = EXPECT_OK(x_open(host ? "/dev/kmsg" : "/sys/kernel/uvfio/log", O_RDONLY | (host ? O_NONBLOCK : 0)));
	static char text[1 << 17];
	size_t n = 0;
	ssize_t k;

	while (!found && n < sizeof(text) - 1 && (k = x_read(fd, text + n, sizeof(text) - 1 - n)) > 0) {
		n += (size_t)k;
		text[n] = 0;
		found = strstr(text, what);
		if (host)
			n = 0; /* a record a read */
	}
	EXPECT(found);
}

TEST(noiommu_log, "10:NOI-03 10:NOI-12", "the log tells of the taint, and of each open with program and pid")
{
	struct setup s = set_up(EDU, VFIO_NOIOMMU_IOMMU);
	char who[64], comm[17] = "";
	FILE *f = fopen("/proc/self/comm", "r");

	EXPECT(f && fscanf(f, "%16s", comm) == 1);
	fclose(f);
	snprintf(who, sizeof(who), "(%s:%d)", comm, (int)getpid());
	EXPECT_OK(device_fd(s.group, EDU));
	expect_logged("taint");
	expect_logged(who);
}

TEST(noiommu_works, "10:NOI-09 10:NOI-10 10:NOI-11 10:NOI-15", "a container without IOMMU has SET_IOMMU(8) and nothing else")
{
	struct vfio_iommu_type1_dma_map map = { .argsz = sizeof(map), .flags = 3, .size = 4096 };
	struct vfio_group_status st = { .argsz = sizeof(st) };
	struct vfio_iommu_type1_info info = { .argsz = sizeof(info) };
	struct setup s = set_up(EDU, 0);

	EXPECT_OK(x_ioctl(s.group, VFIO_GROUP_GET_STATUS, &st));
	EXPECT_EQ(VFIO_GROUP_FLAGS_VIABLE | VFIO_GROUP_FLAGS_CONTAINER_SET, st.flags);
	EXPECT_EQ(0, extension(s.container, VFIO_TYPE1_IOMMU));
	EXPECT_EQ(0, extension(s.container, VFIO_TYPE1v2_IOMMU));
	EXPECT_EQ(0, extension(s.container, VFIO_UNMAP_ALL));
	EXPECT_EQ(1, extension(s.container, VFIO_NOIOMMU_IOMMU));
	EXPECT_ERR(EINVAL, x_ioctl(s.container, VFIO_IOMMU_MAP_DMA, &map));
	EXPECT_ERR(ENODEV, set_iommu(s.container, VFIO_TYPE1_IOMMU));
	EXPECT_ERR(ENODEV, set_iommu(s.container, VFIO_TYPE1v2_IOMMU));
	EXPECT_ERR(ENODEV, set_iommu(s.container, VFIO_UNMAP_ALL));
	EXPECT_ERR(EINVAL, device_fd(s.group, EDU));
	EXPECT_OK(set_iommu(s.container, VFIO_NOIOMMU_IOMMU));
	EXPECT_ERR(EINVAL, set_iommu(s.container, VFIO_NOIOMMU_IOMMU));
	EXPECT_EQ(1, extension(s.container, VFIO_NOIOMMU_IOMMU));
	EXPECT_EQ(0, extension(s.container, VFIO_TYPE1v2_IOMMU));
	EXPECT_EQ(0, x_ioctl(s.container, VFIO_GET_API_VERSION, NULL));
	EXPECT_ERR(ENOTTY, x_ioctl(s.container, VFIO_IOMMU_MAP_DMA, &map));
	EXPECT_ERR(ENOTTY, x_ioctl(s.container, VFIO_IOMMU_UNMAP_DMA, &map));
	EXPECT_ERR(ENOTTY, x_ioctl(s.container, VFIO_IOMMU_GET_INFO, &info));
	EXPECT_OK(device_fd(s.group, EDU));
}

TEST(noiommu_status, "10:NOI-15", "the group is viable: there is no ownership that anybody could have")
{
	struct vfio_group_status st = { .argsz = sizeof(st) };
	int g;

	need_caps();
	g = EXPECT_OK(open_noiommu(EDU_SHARED)); /* its slot mate has a host driver */
	EXPECT_OK(x_ioctl(g, VFIO_GROUP_GET_STATUS, &st));
	EXPECT_EQ(VFIO_GROUP_FLAGS_VIABLE, st.flags);
}

TEST(noiommu_fresh, "10:NOI-10", "a fresh container offers 8 while the option is on")
{
	int c = EXPECT_OK(x_open("/dev/vfio/vfio", O_RDWR));

	mode(false);
	EXPECT_EQ(0, extension(c, VFIO_NOIOMMU_IOMMU));
	mode(true);
	EXPECT_EQ(1, extension(c, VFIO_NOIOMMU_IOMMU));
	EXPECT_EQ(1, extension(c, VFIO_TYPE1v2_IOMMU));
	EXPECT_ERR(EINVAL, set_iommu(c, VFIO_NOIOMMU_IOMMU));
}

TEST(noiommu_turned_off, "10:NOI-14", "turned off, the option stops SET_IOMMU(8), but not what is open")
{
	struct setup a = set_up(EDU, VFIO_NOIOMMU_IOMMU), b = set_up(EDU_SHARED, 0);
	char path[64];

	mode(false);
	EXPECT_EQ(0, extension(b.container, VFIO_NOIOMMU_IOMMU));
	EXPECT_EQ(0, extension(a.container, VFIO_NOIOMMU_IOMMU));
	EXPECT_ERR(ENODEV, set_iommu(b.container, VFIO_NOIOMMU_IOMMU));
	EXPECT_OK(device_fd(a.group, EDU));
	EXPECT_OK(x_close(b.group));
	snprintf(path, sizeof(path), "/dev/vfio/noiommu-%d", group_of(EDU_SHARED));
	EXPECT_OK(x_open(path, O_RDWR));
	mode(true);
}

TEST(noiommu_two, "10:NOI-08", "two groups without IOMMU share a container")
{
	struct setup s = set_up(EDU, VFIO_NOIOMMU_IOMMU);
	int g = EXPECT_OK(open_noiommu(EDU_SHARED));

	EXPECT_OK(x_ioctl(g, VFIO_GROUP_SET_CONTAINER, &s.container));
	EXPECT_OK(device_fd(g, EDU_SHARED));
	EXPECT_OK(device_fd(s.group, EDU));
}

TEST(noiommu_mix, "10:NOI-08 10:NOI-13", "groups with and without IOMMU do not mix, in either order")
{
	struct setup s;
	int real;

	need_iommu();
	mode(true);
	real = EXPECT_OK(open_group(with_iommu())); /* by its plain number, option or not */
	s = set_up(EDU, 0);
	EXPECT_ERR(EPERM, x_ioctl(real, VFIO_GROUP_SET_CONTAINER, &s.container));
	EXPECT_OK(x_ioctl(s.group, VFIO_GROUP_UNSET_CONTAINER, NULL));
	/* an emptied container is as good as new */
	EXPECT_OK(x_ioctl(real, VFIO_GROUP_SET_CONTAINER, &s.container));
	EXPECT_ERR(EPERM, x_ioctl(s.group, VFIO_GROUP_SET_CONTAINER, &s.container));
	EXPECT_OK(set_iommu(s.container, VFIO_TYPE1v2_IOMMU));
	EXPECT_ERR(EPERM, x_ioctl(s.group, VFIO_GROUP_SET_CONTAINER, &s.container));
}

TEST(noiommu_real, "10:NOI-09 10:NOI-10 10:NOI-13", "a container of real groups hides 8")
{
	int g, c;

	need_iommu();
	mode(true);
	g = EXPECT_OK(open_group(with_iommu()));
	c = EXPECT_OK(x_open("/dev/vfio/vfio", O_RDWR));
	EXPECT_EQ(1, extension(c, VFIO_NOIOMMU_IOMMU));
	EXPECT_OK(x_ioctl(g, VFIO_GROUP_SET_CONTAINER, &c));
	EXPECT_EQ(0, extension(c, VFIO_NOIOMMU_IOMMU));
	EXPECT_ERR(ENODEV, set_iommu(c, VFIO_NOIOMMU_IOMMU));
	EXPECT_OK(set_iommu(c, VFIO_TYPE1v2_IOMMU));
	EXPECT_EQ(0, extension(c, VFIO_NOIOMMU_IOMMU));
}

TEST(noiommu_rawio_open, "10:NOI-04", "opening the group takes CAP_SYS_RAWIO, before it is found busy")
{
	int g;

	need_caps();
	g = EXPECT_OK(open_noiommu(EDU));
	EXPECT_OK(test_caps(CAPS_ALL & ~CAPS_RAWIO));
	EXPECT_ERR(EPERM, open_noiommu(EDU));
	EXPECT_OK(test_caps(CAPS_ALL));
	EXPECT_ERR(EBUSY, open_noiommu(EDU));
	EXPECT_OK(x_close(g));
	EXPECT_OK(open_noiommu(EDU));
}

TEST(noiommu_rawio_steps, "10:NOI-05 10:NOI-06 10:NOI-07", "so does each step after it, of the task that takes it")
{
	int g, c, d;

	need_caps();
	g = EXPECT_OK(open_noiommu(EDU));
	c = EXPECT_OK(x_open("/dev/vfio/vfio", O_RDWR));
	EXPECT_OK(test_caps(CAPS_ALL & ~CAPS_RAWIO));
	EXPECT_ERR(EPERM, x_ioctl(g, VFIO_GROUP_SET_CONTAINER, &c));
	EXPECT_OK(test_caps(CAPS_ALL));
	EXPECT_OK(x_ioctl(g, VFIO_GROUP_SET_CONTAINER, &c));
	EXPECT_OK(test_caps(CAPS_ALL & ~CAPS_RAWIO));
	EXPECT_EQ(1, extension(c, VFIO_NOIOMMU_IOMMU));
	EXPECT_ERR(EPERM, set_iommu(c, VFIO_NOIOMMU_IOMMU));
	EXPECT_ERR(EINVAL, device_fd(g, EDU)); /* no backend is told first */
	EXPECT_OK(test_caps(CAPS_ALL));
	EXPECT_OK(set_iommu(c, VFIO_NOIOMMU_IOMMU));
	EXPECT_OK(test_caps(CAPS_ALL & ~CAPS_RAWIO));
	EXPECT_ERR(EPERM, device_fd(g, EDU));
	EXPECT_ERR(ENODEV, device_fd(g, "0000:ff:1f.7"));
	EXPECT_OK(test_caps(CAPS_ALL));
	d = EXPECT_OK(device_fd(g, EDU));
	EXPECT_OK(test_caps(CAPS_ALL & ~CAPS_RAWIO));
	EXPECT_OK(device_fd(g, EDU)); /* it is open already */
	EXPECT_EQ(0x11e81234, config_read(d, 0, 4));
}

/* ---- physical memory ---- */

#define EDU_BUFFER 0x40000

/* The frame of a page, 0: hidden or not there. */
static uint64_t frame_of(const volatile void *page)
{
	int fd = EXPECT_OK(x_open("/proc/self/pagemap", O_RDONLY));
	uint64_t e = 0;

	EXPECT_EQ(8, x_pread(fd, &e, 8, (uintptr_t)page / 4096 * 8));
	EXPECT_OK(x_close(fd));
	return e >> 63 ? e & ((1ull << 55) - 1) : 0;
}

/* A page that the edu's 28 bits of address reach. */
static volatile char *low_page(uint64_t *phys)
{
	for (unsigned i = 0; i < 48; i++) {
		volatile char *p = test_memory(4 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_POPULATE);

		for (size_t at = 0; at < 4 << 20; at += 1 << 18) {
			uint64_t f = frame_of(p + at);

			if (f && f < 1 << 16) {
				*phys = f << 12;
				return p + at;
			}
		}
	}
	test_skip("no page below 256 MiB");
}

TEST(noiommu_dma, "10:NOI-16", "the device reaches physical memory, where pagemap says that the program's pages are")
{
	struct setup s = set_up(EDU, VFIO_NOIOMMU_IOMMU);
	volatile char *page;
	volatile void *bar;
	uint64_t phys;
	int d;

	d = EXPECT_OK(device_fd(s.group, EDU));
	config_write(d, 4, 2, 6);
	bar = x_mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, d, REGION(0));
	EXPECT(bar != MAP_FAILED);
	page = low_page(&phys);
	for (unsigned i = 0; i < 512; i++)
		page[i] = (char)(i * 7);
	edu_dma(bar, phys, EDU_BUFFER, 512, 0);
	edu_dma(bar, EDU_BUFFER, phys + 1024, 512, 1);
	for (unsigned i = 0; i < 512; i++)
		EXPECT_EQ((char)(i * 7), page[1024 + i]);
}

TEST(noiommu_pagemap, "10:NOI-16", "pagemap is read in entries, and hides frames from those without CAP_SYS_ADMIN")
{
	volatile char *p;
	uint64_t e[2];
	char odd[9];
	int fd;

	bind_noiommu(EDU);
	p = test_memory(4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_POPULATE);
	*p = 1;
	fd = EXPECT_OK(x_open("/proc/self/pagemap", O_RDONLY));
	EXPECT_ERR(EINVAL, x_pread(fd, odd, 9, 0));
	EXPECT_ERR(EINVAL, x_pread(fd, odd, 8, 4));
	EXPECT_EQ(8, x_pread(fd, e, 8, 0)); /* page 0 is nobody's */
	EXPECT_EQ(0, e[0]);
	EXPECT_EQ(0, x_pread(fd, e, 8, 1ull << 62));
	EXPECT_EQ((uintptr_t)p / 4096 * 8, x_lseek(fd, (off_t)((uintptr_t)p / 4096 * 8), SEEK_SET));
	EXPECT_EQ(8, x_read(fd, e, 8));
	EXPECT(e[0] >> 63);
	need_caps();
	EXPECT_OK(test_caps(0));
	EXPECT_EQ(0, frame_of(p));
	EXPECT_OK(test_caps(CAPS_ALL));
	EXPECT_EQ(e[0] & ((1ull << 55) - 1), frame_of(p));
	EXPECT(frame_of(p));
}

TEST(noiommu_type_write, "10:SYS-07", "the type of such a group cannot be changed")
{
	char path[64];

	need_caps();
	snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%d/type", bind_noiommu(EDU));
	EXPECT_ERR(EINVAL, sys_write(path, "DMA"));
	EXPECT_OK(test_caps(CAPS_ALL & ~CAPS_RAWIO));
	EXPECT_ERR(EACCES, sys_write(path, "DMA"));
	EXPECT_OK(test_caps(CAPS_ALL));
}
