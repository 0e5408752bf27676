/* SPDX-License-Identifier: MIT */
/* A variant driver: part of a BAR is not the program's, and there is a region that other devices do not have. */
#include "face.h"

#define SPLIT   "0000:00:0c.0" /* of tests/machines/pcitest.yaml */
#define HALF    0x4000u        /* of BAR 2, which is twice that */
#define COUNTER (HALF - 4)     /* loads of it count */
#define HIDDEN  0x10u          /* beyond the half: a constant */
#define OWN     VFIO_PCI_NUM_REGIONS

static int ioeventfd(int d, uint64_t pos, int fd)
{
	struct vfio_device_ioeventfd a = {
		.argsz = sizeof(a), .flags = VFIO_DEVICE_IOEVENTFD_32, .offset = REGION(2) + pos, .fd = fd,
	};

	return x_ioctl(d, VFIO_DEVICE_IOEVENTFD, &a);
}

TEST(variant_bar, "20:RW-02 20:RW-03", "a BAR ends where the driver says, for its information, pread, pwrite and mmap; its sizing says all")
{
	struct setup s = open_device(SPLIT);
	uint8_t bytes[16];
	void *p;

	EXPECT_EQ(HALF, info(s.device, 2).size);
	EXPECT_EQ(16, x_pread(s.device, bytes, 16, REGION(2) + HALF - 16));
	EXPECT_EQ(8, x_pread(s.device, bytes, 16, REGION(2) + HALF - 8));
	EXPECT_EQ(8, x_pwrite(s.device, bytes, 16, REGION(2) + HALF - 8));
	EXPECT_ERR(EINVAL, x_pread(s.device, bytes, 4, REGION(2) + HALF));
	EXPECT_ERR(EINVAL, x_pwrite(s.device, bytes, 4, REGION(2) + HALF + HIDDEN));
	p = x_mmap(NULL, HALF, PROT_READ, MAP_SHARED, s.device, REGION(2));
	EXPECT(p != MAP_FAILED);
	EXPECT_OK(x_munmap(p, HALF));
	EXPECT(x_mmap(NULL, HALF + 4096, PROT_READ, MAP_SHARED, s.device, REGION(2)) == MAP_FAILED && errno == EINVAL);
	EXPECT(x_mmap(NULL, 4096, PROT_READ, MAP_SHARED, s.device, REGION(2) + HALF) == MAP_FAILED && errno == EINVAL);
	config_write(s.device, 0x18, 4, ~0u);
	EXPECT_EQ(-(2 * HALF), config_read(s.device, 0x18, 4));
}

/* Where a link of sysfs leads, by its last name */
static void expect_link(const char *path, const char *want)
{
	char target[256] = "";

	EXPECT(x_readlink(path, target, sizeof(target) - 1) > 0);
	EXPECT_EQ(0, strcmp(strrchr(target, '/') + 1, want));
}

TEST(variant_region, "20:REG-19", "a driver of its own has a region of its own, which says its type and subtype, and can be read")
{
	struct setup s = open_device(SPLIT);
	struct vfio_device_info device = { .argsz = sizeof(device) };
	struct {
		struct vfio_region_info info;
		struct vfio_region_info_cap_type type;
	} r = { .info = { .argsz = sizeof(r.info), .index = OWN } };
	uint32_t v = 0;

	expect_link("/sys/bus/pci/devices/" SPLIT "/driver", "pcitest-vfio-pci");
	expect_link("/sys/bus/pci/drivers/pcitest-vfio-pci/module", "pcitest_vfio_pci");
	EXPECT_OK(x_ioctl(s.device, VFIO_DEVICE_GET_INFO, &device));
	EXPECT_EQ(OWN + 1, device.num_regions);
	EXPECT_OK(x_ioctl(s.device, VFIO_DEVICE_GET_REGION_INFO, &r));
	EXPECT_EQ(sizeof(r), r.info.argsz);
	EXPECT_EQ(0, r.info.cap_offset);
	EXPECT_OK(x_ioctl(s.device, VFIO_DEVICE_GET_REGION_INFO, &r));
	EXPECT_EQ(VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_CAPS, r.info.flags);
	EXPECT_EQ(HALF, r.info.size);
	EXPECT_EQ(sizeof(r.info), r.info.cap_offset);
	EXPECT_EQ(VFIO_REGION_INFO_CAP_TYPE, r.type.header.id);
	EXPECT_EQ(1, r.type.header.version);
	EXPECT_EQ(0, r.type.header.next);
	EXPECT_EQ(VFIO_REGION_TYPE_PCI_VENDOR_TYPE | 0x1234, r.type.type);
	EXPECT_EQ(1, r.type.subtype);
	EXPECT_EQ(0x5eed, get(s.device, OWN, HIDDEN));
	EXPECT_EQ(2, x_pread(s.device, &v, 4, REGION(OWN) + HALF - 2));
	EXPECT_ERR(EINVAL, x_pread(s.device, &v, 4, REGION(OWN) + HALF));
	EXPECT_ERR(EINVAL, x_pwrite(s.device, &v, 4, REGION(OWN) + HIDDEN));
	EXPECT(x_mmap(NULL, 4096, PROT_READ, MAP_SHARED, s.device, REGION(OWN)) == MAP_FAILED && errno == EINVAL);
	r.info.index = OWN + 1;
	EXPECT_ERR(EINVAL, x_ioctl(s.device, VFIO_DEVICE_GET_REGION_INFO, &r));
	config_write(s.device, COMMAND, 2, 0);
	EXPECT_ERR(EIO, x_pread(s.device, &v, 4, REGION(OWN) + HIDDEN));
}

TEST(variant_ioeventfd, "20:IOE-11", "an ioeventfd reaches what the program may reach, and nothing beyond")
{
	struct setup s = open_device(SPLIT);
	int fd = eventfd(0, EFD_NONBLOCK);

	EXPECT_ERR(EINVAL, ioeventfd(s.device, HALF, fd));
	EXPECT_ERR(EINVAL, ioeventfd(s.device, HALF - 2, fd));
	EXPECT_ERR(EINVAL, ioeventfd(s.device, 2 * HALF - 4, fd));
	EXPECT_OK(ioeventfd(s.device, COUNTER, fd));
	EXPECT_OK(ioeventfd(s.device, COUNTER, -1));
	close(fd);
}
