/* SPDX-License-Identifier: MIT */
/* Group files, ownership and lifetime. */
#include "abi.h"

static int status(int g, uint32_t *flags)
{
	struct vfio_group_status st = { .argsz = sizeof(st) };
	int rc = x_ioctl(g, VFIO_GROUP_GET_STATUS, &st);

	*flags = st.flags;
	return rc;
}

static int device_fd(int g, const char *name)
{
	return x_ioctl(g, VFIO_GROUP_GET_DEVICE_FD, (void *)(uintptr_t)name);
}

TEST(second_open, "10:GRP-01", "a group has one opener: the second open is EBUSY")
{
	int g = EXPECT_OK(open_group(EDU));

	EXPECT_ERR(EBUSY, open_group(EDU));
	EXPECT_OK(x_close(g));
	EXPECT_OK(open_group(EDU));
}

TEST(close_group_first, "10:GRP-02 10:OWN-20 10:DEV-01", "with a device open, a closed group stays EBUSY and owned until the device is closed")
{
	struct setup s = open_device(EDU);

	EXPECT_OK(x_close(s.group));
	EXPECT_ERR(EBUSY, open_group(EDU));
	EXPECT_ERR(ESPIPE, x_lseek(s.device, 0, SEEK_SET));
	EXPECT_EQ(0x11e81234, config_read(s.device, 0, 4));
	EXPECT_OK(x_close(s.device));
	EXPECT_OK(open_group(EDU));
}

TEST(mapping_keeps_group, "20:DEV-22", "a BAR mapping alone keeps the device and its group open")
{
	struct setup s = open_device(EDU);
	void *bar = x_mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_SHARED, s.device, REGION(0));

	EXPECT(bar != MAP_FAILED);
	EXPECT_OK(x_close(s.group));
	EXPECT_OK(x_close(s.device));
	EXPECT_ERR(EBUSY, open_group(EDU));
	EXPECT_EQ(0x010000ed, *(volatile uint32_t *)bar);
	EXPECT_OK(x_munmap(bar, 0x1000));
	EXPECT_OK(open_group(EDU));
}

TEST(status_argsz, "10:GRP-03", "GET_STATUS with an argsz below 8 is EINVAL, a bad pointer EFAULT")
{
	int g = EXPECT_OK(open_group(EDU));
	struct vfio_group_status st = { .argsz = 7 };

	EXPECT_ERR(EINVAL, x_ioctl(g, VFIO_GROUP_GET_STATUS, &st));
	st.argsz = 0;
	EXPECT_ERR(EINVAL, x_ioctl(g, VFIO_GROUP_GET_STATUS, &st));
	EXPECT_ERR(EFAULT, x_ioctl(g, VFIO_GROUP_GET_STATUS, (void *)16));
	st.argsz = 4096;
	EXPECT_OK(x_ioctl(g, VFIO_GROUP_GET_STATUS, &st));
}

TEST(status_flags, "10:GRP-04", "GET_STATUS goes from VIABLE to VIABLE and CONTAINER_SET")
{
	int g = EXPECT_OK(open_group(EDU)), c = EXPECT_OK(x_open("/dev/vfio/vfio", O_RDWR));
	uint32_t flags;

	EXPECT_OK(status(g, &flags));
	EXPECT_EQ(1, flags);
	EXPECT_OK(x_ioctl(g, VFIO_GROUP_SET_CONTAINER, &c));
	EXPECT_OK(status(g, &flags));
	EXPECT_EQ(3, flags);
}

TEST(set_container_bad_fd, "10:GRP-05", "SET_CONTAINER with a closed descriptor is EBADF, a bad pointer EFAULT")
{
	int g = EXPECT_OK(open_group(EDU)), bad = -1;

	EXPECT_ERR(EBADF, x_ioctl(g, VFIO_GROUP_SET_CONTAINER, &bad));
	bad = 700;
	EXPECT_ERR(EBADF, x_ioctl(g, VFIO_GROUP_SET_CONTAINER, &bad));
	EXPECT_ERR(EFAULT, x_ioctl(g, VFIO_GROUP_SET_CONTAINER, (void *)4));
}

TEST(set_container_foreign, "10:GRP-06", "SET_CONTAINER with a file that is no container is EBADFD")
{
	int g = EXPECT_OK(open_group(EDU));
	int other = EXPECT_OK(x_open("/sys/bus/pci/devices/" EDU "/vendor", O_RDONLY));

	EXPECT_ERR(EBADFD, x_ioctl(g, VFIO_GROUP_SET_CONTAINER, &other));
	EXPECT_ERR(EBADFD, x_ioctl(g, VFIO_GROUP_SET_CONTAINER, &g));
}

TEST(set_container_twice, "10:GRP-07", "SET_CONTAINER twice is EINVAL, even with a bad descriptor checked first")
{
	struct setup s = open_device(EDU);
	int bad = -1;

	EXPECT_ERR(EINVAL, x_ioctl(s.group, VFIO_GROUP_SET_CONTAINER, &s.container));
	EXPECT_ERR(EBADF, x_ioctl(s.group, VFIO_GROUP_SET_CONTAINER, &bad));
}

TEST(not_viable, "10:GRP-08 10:OWN-18 10:OWN-03", "a group with a mate on a DMA-using host driver is not viable: SET_CONTAINER EPERM")
{
	int g, c = EXPECT_OK(x_open("/dev/vfio/vfio", O_RDWR));
	uint32_t flags;

	EXPECT(driver_of(NVME_MATE) != NULL);
	g = EXPECT_OK(open_group(EDU_SHARED));
	EXPECT_OK(status(g, &flags));
	EXPECT_EQ(0, flags);
	EXPECT_ERR(EPERM, x_ioctl(g, VFIO_GROUP_SET_CONTAINER, &c));
	EXPECT_ERR(EINVAL, device_fd(g, EDU_SHARED));
}

TEST(unset_without, "10:GRP-09", "UNSET_CONTAINER with nothing set is EINVAL")
{
	EXPECT_ERR(EINVAL, x_ioctl(EXPECT_OK(open_group(EDU)), VFIO_GROUP_UNSET_CONTAINER, NULL));
}

TEST(unset_busy, "10:GRP-10", "UNSET_CONTAINER with a device open is EBUSY, afterwards fine")
{
	struct setup s = open_device(EDU);

	EXPECT_ERR(EBUSY, x_ioctl(s.group, VFIO_GROUP_UNSET_CONTAINER, NULL));
	EXPECT_OK(x_close(s.device));
	EXPECT_OK(x_ioctl(s.group, VFIO_GROUP_UNSET_CONTAINER, NULL));
}

TEST(device_before, "10:GRP-11 10:GRP-12 10:OWN-19", "GET_DEVICE_FD before SET_CONTAINER or before SET_IOMMU is EINVAL")
{
	int g = EXPECT_OK(open_group(EDU)), c = EXPECT_OK(x_open("/dev/vfio/vfio", O_RDWR));

	EXPECT_ERR(EINVAL, device_fd(g, EDU));
	EXPECT_OK(x_ioctl(g, VFIO_GROUP_SET_CONTAINER, &c));
	EXPECT_ERR(EINVAL, device_fd(g, EDU));
	EXPECT_OK(x_ioctl(c, VFIO_SET_IOMMU, (void *)VFIO_TYPE1v2_IOMMU));
	EXPECT_OK(device_fd(g, EDU));
}

TEST(device_unknown, "10:GRP-13", "GET_DEVICE_FD of a name not in the group is ENODEV, a bad pointer EFAULT")
{
	struct setup s = open_device(EDU);

	EXPECT_ERR(ENODEV, device_fd(s.group, "0000:00:1e.7"));
	EXPECT_ERR(ENODEV, device_fd(s.group, IGB));
	EXPECT_ERR(ENODEV, device_fd(s.group, ""));
	EXPECT_ERR(ENODEV, device_fd(s.group, EDU "x"));
	EXPECT_ERR(EFAULT, x_ioctl(s.group, VFIO_GROUP_GET_DEVICE_FD, (void *)8));
}

TEST(device_of_stub, "10:GRP-14 10:OWN-30 10:OWN-02", "a member on pci-stub does not block the group, and cannot be opened")
{
	struct setup s;

	EXPECT_OK(sys_write("/sys/bus/pci/devices/" NVME_MATE "/driver/unbind", NVME_MATE));
	EXPECT_OK(sys_write("/sys/bus/pci/devices/" NVME_MATE "/driver_override", "pci-stub"));
	EXPECT_OK(sys_write("/sys/bus/pci/drivers_probe", NVME_MATE));
	EXPECT(strcmp(driver_of(NVME_MATE), "pci-stub") == 0);
	s = open_device(EDU_SHARED);
	EXPECT_ERR(ENODEV, device_fd(s.group, NVME_MATE));
	EXPECT_OK(x_close(s.device));
	EXPECT_OK(x_close(s.group));
	bind_host(NVME_MATE);
}

TEST(device_cloexec, "10:GRP-15", "a device descriptor is close-on-exec")
{
	struct setup s;

	if (test_door() == DOOR_CAPI)
		test_skip("an embedded machine's descriptors are not the process's");
	s = open_device(EDU);
	EXPECT_EQ(FD_CLOEXEC, fcntl(s.device, F_GETFD));
}

TEST(device_twice, "10:GRP-16 20:DEV-12 20:DEV-21", "GET_DEVICE_FD twice gives two descriptors of one device; closing one resets nothing")
{
	struct setup s = open_device(EDU);
	int d2 = EXPECT_OK(device_fd(s.group, EDU));

	config_write(s.device, 4, 2, config_read(s.device, 4, 2) | 4);
	EXPECT_EQ(4, config_read(d2, 4, 2) & 4);
	EXPECT_OK(x_close(s.device));
	EXPECT_EQ(4, config_read(d2, 4, 2) & 4);
	EXPECT_OK(x_close(d2));
	d2 = EXPECT_OK(device_fd(s.group, EDU));
	EXPECT_EQ(0, config_read(d2, 4, 2) & 4);
}

TEST(group_unknown_ioctl, "10:GRP-17", "an unknown ioctl on a group is ENOTTY")
{
	int g = EXPECT_OK(open_group(EDU));

	EXPECT_ERR(ENOTTY, x_ioctl(g, VFIO_IO(90), NULL));
	EXPECT_ERR(ENOTTY, x_ioctl(g, VFIO_GET_API_VERSION, NULL));
}

TEST(name_options, "10:GRP-19 10:GRP-22 10:GRP-25", "options after the name: unknown, a token for a plain device, a malformed one: EINVAL")
{
	struct setup s = open_device(EDU);

	EXPECT_OK(device_fd(s.group, EDU " "));
	EXPECT_ERR(EINVAL, device_fd(s.group, EDU " nonsense=1"));
	EXPECT_ERR(EINVAL, device_fd(s.group, EDU " vf_token=11111111-2222-3333-4444-555555555555"));
	EXPECT_ERR(EINVAL, device_fd(s.group, EDU " vf_token=1234"));
	EXPECT_ERR(EINVAL, device_fd(s.group, EDU " vf_token=zzzzzzzz-2222-3333-4444-555555555555"));
}

TEST(name_long, "10:GRP-26", "a name longer than a page is EINVAL")
{
	struct setup s = open_device(EDU);
	char *name = test_memory(8192, PROT_READ | PROT_WRITE, MAP_PRIVATE);

	memset(name, 'a', 8191);
	EXPECT_ERR(EINVAL, device_fd(s.group, name));
}

TEST(close_orders, "10:LIF-01", "container, group and device can be closed in all six orders")
{
	static const int order[6][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 }, { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };
	void *p = test_memory(4096, PROT_READ | PROT_WRITE, MAP_PRIVATE);

	for (int i = 0; i < 6; i++) {
		struct setup s = open_device(EDU);
		int fd[3] = { s.container, s.group, s.device };

		EXPECT_OK(map_dma(s.container, p, 0x1000, 4096, VFIO_DMA_MAP_FLAG_READ));
		for (int k = 0; k < 3; k++)
			EXPECT_OK(x_close(fd[order[i][k]]));
	}
	EXPECT_OK(open_group(EDU));
}

TEST(group_does_not_hold_unbind, "10:LIF-04 10:LIF-06", "an open group alone does not hold an unbind; then the file is dead")
{
	int g = EXPECT_OK(open_group(EDU)), c = EXPECT_OK(x_open("/dev/vfio/vfio", O_RDWR));
	uint32_t flags;

	EXPECT_OK(sys_write("/sys/bus/pci/drivers/vfio-pci/unbind", EDU));
	EXPECT_ERR(ENODEV, status(g, &flags));
	EXPECT_ERR(ENODEV, x_ioctl(g, VFIO_GROUP_SET_CONTAINER, &c));
	EXPECT_ERR(EINVAL, x_ioctl(g, VFIO_GROUP_UNSET_CONTAINER, NULL));
	bind_vfio(EDU);
}

TEST(bind_into_owned, "10:OWN-06 10:OWN-21 10:BND-08", "binding a DMA-using driver into a user's group is refused, nothing breaks; drivers_probe says EINVAL")
{
	struct setup s;

	EXPECT_OK(sys_write("/sys/bus/pci/devices/" NVME_MATE "/driver/unbind", NVME_MATE));
	s = open_device(EDU_SHARED);
	EXPECT_ERR(EBUSY, sys_write("/sys/bus/pci/drivers/nvme/bind", NVME_MATE));
	EXPECT_ERR(EINVAL, sys_write("/sys/bus/pci/drivers_probe", NVME_MATE));
	EXPECT(!driver_of(NVME_MATE));
	EXPECT_EQ(0x11e81234, config_read(s.device, 0, 4));
	EXPECT_OK(x_close(s.device));
	EXPECT_OK(x_close(s.group));
	EXPECT_OK(sys_write("/sys/bus/pci/drivers/nvme/bind", NVME_MATE));
	EXPECT(strcmp(driver_of(NVME_MATE), "nvme") == 0);
}

TEST(managed_into_owned, "10:OWN-02 10:BND-03", "drivers that declare managed DMA bind into a user's group; binding a bound device is EBUSY")
{
	struct setup s;

	EXPECT_OK(sys_write("/sys/bus/pci/devices/" NVME_MATE "/driver/unbind", NVME_MATE));
	s = open_device(EDU_SHARED);
	EXPECT_OK(sys_write("/sys/bus/pci/devices/" NVME_MATE "/driver_override", "pci-stub"));
	EXPECT_OK(sys_write("/sys/bus/pci/drivers/pci-stub/bind", NVME_MATE));
	EXPECT_ERR(EBUSY, sys_write("/sys/bus/pci/drivers/pci-stub/bind", NVME_MATE));
	EXPECT_OK(x_close(s.device));
	EXPECT_OK(x_close(s.group));
	bind_host(NVME_MATE);
}

TEST(port_is_harmless, "10:OWN-22", "a PCIe port bound to pcieport keeps nobody from a device below it")
{
	struct setup s;

	EXPECT(strcmp(driver_of(IGB_PORT), "pcieport") == 0);
	s = open_device(IGB);
	EXPECT_EQ(0x10c98086, config_read(s.device, 0, 4));
}
