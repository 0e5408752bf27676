/* SPDX-License-Identifier: MIT */
/* How drivers and functions meet: what the driver files of sysfs do and return where it depends on more than a name. */
#include "abi.h"

#define DRIVERS    "/sys/bus/pci/drivers/"
#define DEVICES    "/sys/bus/pci/devices/"
#define PROBE      "/sys/bus/pci/drivers_probe"
#define AUTOPROBE  "/sys/bus/pci/drivers_autoprobe"
#define VF         "0000:01:10.0"
#define BESIDE     "0000:00:08.0"
#define BROKEN     "0000:00:08.1" /* its driver fails with EIO */
#define STORE      "0000:00:09.0" /* driverless at boot */
#define WAITS      "0000:00:09.1" /* its driver waits until STORE has one */
#define DENIED     "0000:00:0a.0" /* 8086:0b25 */
#define NO_IOMMU   "0000:00:0b.0"

static void need(const char *bdf)
{
	if (!function_exists(bdf))
		test_skip("no such hardware");
}

TEST_ON("binding", names, "10:BND-01 10:BND-02 10:BND-03 10:BND-06 10:BND-07", "bind and unbind want a name they know, of a function that is theirs and free")
{
	EXPECT(bound_to(NVME_MATE, "nvme"));
	EXPECT_ERR(ENODEV, sys_write(DRIVERS "nvme/bind", "0000:00:1e.7"));
	EXPECT_ERR(ENODEV, sys_write(DRIVERS "nvme/bind", NVME_MATE " "));
	EXPECT_ERR(ENODEV, sys_write(DRIVERS "nvme/bind", NVME_MATE "\n\n"));
	EXPECT_ERR(ENODEV, sys_write(DRIVERS "nvme/bind", EDU)); /* not its kind */
	EXPECT_ERR(EBUSY, sys_write(DRIVERS "nvme/bind", NVME_MATE));
	EXPECT_ERR(ENODEV, sys_write(DRIVERS "pci-stub/unbind", NVME_MATE));
	EXPECT_EQ(13, sys_write(DRIVERS "nvme/unbind", NVME_MATE "\n"));
	EXPECT_EQ(13, sys_write(DRIVERS "nvme/bind", NVME_MATE "\n"));
	EXPECT_OK(sys_write(DEVICES NVME_MATE "/driver_override", "pci-stub"));
	EXPECT_ERR(EBUSY, sys_write(DRIVERS "pci-stub/bind", NVME_MATE)); /* bound to any driver */
	EXPECT_OK(sys_write(DEVICES NVME_MATE "/driver_override", "\n"));
}

TEST_ON("binding", probe_fails, "10:BND-04 10:BND-20", "a probe's error is bind's; its claim is gone, so a user may have the group")
{
	struct vfio_group_status st = { .argsz = sizeof(st) };
	int g, c = EXPECT_OK(x_open("/dev/vfio/vfio", O_RDWR));

	need(BROKEN);
	EXPECT(!driver_of(BROKEN));
	EXPECT_ERR(EIO, sys_write(DRIVERS "broken/bind", BROKEN));
	EXPECT_EQ(12, sys_write(PROBE, BROKEN)); /* nobody wanted it: that is a success */
	EXPECT(!driver_of(BROKEN));
	g = EXPECT_OK(open_group(BESIDE));
	EXPECT_OK(x_ioctl(g, VFIO_GROUP_GET_STATUS, &st));
	EXPECT_EQ(1, st.flags);
	EXPECT_OK(x_ioctl(g, VFIO_GROUP_SET_CONTAINER, &c));
	EXPECT_ERR(EBUSY, sys_write(DRIVERS "broken/bind", BROKEN)); /* its probe is not even called */
}

TEST_ON("binding", deferred, "10:BND-05", "a probe that is put off is EAGAIN, and tried again when something has been bound")
{
	need(WAITS);
	EXPECT(!driver_of(WAITS));
	EXPECT_ERR(EAGAIN, sys_write(DRIVERS "waits/bind", WAITS));
	EXPECT_OK(sys_write(PROBE, WAITS));
	EXPECT(!driver_of(WAITS));
	EXPECT_OK(sys_write(DRIVERS "store/bind", STORE));
	EXPECT(bound_to(WAITS, "waits"));
	unbind(WAITS);
	unbind(STORE);
}

TEST_ON("binding", probing, "10:BND-08 10:BND-09", "drivers_probe says EINVAL when ownership forbids, and success when nobody wants the function")
{
	struct setup s;

	unbind(NVME_MATE);
	s = open_device(EDU_SHARED);
	EXPECT_ERR(EINVAL, sys_write(PROBE, NVME_MATE));
	EXPECT(!driver_of(NVME_MATE));
	EXPECT_OK(sys_write(PROBE, EDU_SHARED)); /* bound already */
	EXPECT_OK(x_close(s.device));
	EXPECT_OK(x_close(s.group));
	EXPECT_ERR(ENODEV, sys_write(PROBE, "0000:00:1e.7"));
	EXPECT_OK(sys_write(PROBE, NVME_MATE));
	EXPECT(bound_to(NVME_MATE, "nvme"));
	unbind(EDU);
	EXPECT_OK(sys_write(DEVICES EDU "/driver_override", "\n"));
	EXPECT_EQ(12, sys_write(PROBE, EDU));
	EXPECT(!driver_of(EDU));
}

TEST_ON("binding", override, "10:BND-10 10:BND-11 10:BND-16 10:BND-17", "driver_override is the name of the one driver that matches, and needs no id")
{
	char long_name[4097];

	unbind(EDU);
	memset(long_name, 'a', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = 0;
	EXPECT_ERR(EINVAL, sys_write(DEVICES EDU "/driver_override", long_name));
	EXPECT_OK(sys_write(DEVICES EDU "/driver_override", "\n"));
	EXPECT(strcmp(sys_read(DEVICES EDU "/driver_override"), "(null)") == 0);
	EXPECT_ERR(ENODEV, sys_write(DRIVERS "vfio-pci/bind", EDU));
	EXPECT_ERR(ENODEV, sys_write(DRIVERS "pci-stub/bind", EDU));
	EXPECT_OK(sys_write(DEVICES EDU "/driver_override", "pci-stub\nvfio-pci\n"));
	EXPECT(strcmp(sys_read(DEVICES EDU "/driver_override"), "pci-stub") == 0);
	EXPECT_ERR(ENODEV, sys_write(DRIVERS "vfio-pci/bind", EDU));
	EXPECT(!driver_of(EDU)); /* the override alone binds nothing */
	EXPECT_OK(sys_write(PROBE, EDU));
	EXPECT(bound_to(EDU, "pci-stub"));
	EXPECT_OK(sys_write(DEVICES EDU "/driver_override", "nosuch"));
	EXPECT(bound_to(EDU, "pci-stub")); /* nor does it unbind */
	unbind(EDU);
	EXPECT_OK(sys_write(PROBE, EDU));
	EXPECT(!driver_of(EDU));
	EXPECT_OK(sys_write(DEVICES EDU "/driver_override", "\n"));
}

TEST_ON("binding", new_id, "10:BND-12 10:BND-13 10:BND-15", "new_id takes two fields or more and no id twice, but for seven; remove_id forgets and unbinds nobody")
{
	static const char *const edus[] = { EDU, EDU_SHARED, EDU_BELOW, BESIDE, NO_IOMMU };

	unbind(EDU);
	unbind(EDU_BELOW);
	EXPECT_ERR(EINVAL, sys_write(DRIVERS "pci-stub/new_id", "1234\n"));
	EXPECT_ERR(EINVAL, sys_write(DRIVERS "vfio-pci/new_id", "1234 11e8 0 0 0 0 77")); /* driver data nobody has */
	EXPECT_OK(sys_write(DRIVERS "pci-stub/new_id", "0x1234 0x11e8\n"));
	EXPECT(bound_to(EDU, "pci-stub"));
	EXPECT_ERR(EEXIST, sys_write(DRIVERS "pci-stub/new_id", "1234 11e8"));
	EXPECT_OK(sys_write(DRIVERS "pci-stub/new_id", "1234 11e8 ffffffff ffffffff 0 0 0"));
	EXPECT_ERR(EINVAL, sys_write(DRIVERS "pci-stub/remove_id", "1234"));
	EXPECT_OK(sys_write(DRIVERS "pci-stub/remove_id", "1234 11e8"));
	EXPECT_OK(sys_write(DRIVERS "pci-stub/remove_id", "1234 11e8"));
	EXPECT_ERR(ENODEV, sys_write(DRIVERS "pci-stub/remove_id", "1234 11e8"));
	EXPECT(bound_to(EDU, "pci-stub"));
	for (size_t i = 0; i < sizeof(edus) / sizeof(edus[0]); i++) {
		if (bound_to(edus[i], "pci-stub"))
			unbind(edus[i]);
	}
	EXPECT_ERR(ENODEV, sys_write(DRIVERS "pci-stub/bind", EDU)); /* the id is forgotten */
}

TEST_ON("binding", bridge_drivers, "10:BND-18 10:BND-22", "pcieport does not want a bridge to conventional PCI, and the next driver is tried; vfio-pci wants no bridge at all")
{
	struct stat st;

	if (x_stat(DRIVERS "shpchp", &st) != 0)
		test_skip("this kernel has no shpchp");
	unbind(BRIDGE);
	EXPECT_ERR(ENODEV, sys_write(DRIVERS "pcieport/bind", BRIDGE));
	EXPECT_OK(sys_write(PROBE, BRIDGE));
	EXPECT(bound_to(BRIDGE, "shpchp"));
	unbind(BRIDGE);
	EXPECT_OK(sys_write(DEVICES BRIDGE "/driver_override", "vfio-pci"));
	EXPECT_ERR(EINVAL, sys_write(DRIVERS "vfio-pci/bind", BRIDGE));
	EXPECT_OK(sys_write(PROBE, BRIDGE)); /* refused by the probe: a success nevertheless */
	EXPECT(!driver_of(BRIDGE));
	EXPECT_OK(sys_write(DEVICES BRIDGE "/driver_override", "\n"));
	EXPECT_OK(sys_write(PROBE, BRIDGE));
}

TEST_ON("binding", autoprobe, "10:BND-19", "with drivers_autoprobe 0 what is plugged in stays driverless, until it is asked for")
{
	EXPECT(strcmp(sys_read(AUTOPROBE), "1") == 0);
	EXPECT_OK(sys_write(AUTOPROBE, "0"));
	EXPECT(strcmp(sys_read(AUTOPROBE), "0") == 0);
	remove_function(NVME_MATE);
	rescan();
	EXPECT(function_exists(NVME_MATE) && !driver_of(NVME_MATE));
	EXPECT_OK(sys_write(AUTOPROBE, "yes"));
	EXPECT(strcmp(sys_read(AUTOPROBE), "1") == 0);
	EXPECT(!driver_of(NVME_MATE));
	EXPECT_OK(sys_write(PROBE, NVME_MATE));
	EXPECT(bound_to(NVME_MATE, "nvme"));
	remove_function(NVME_MATE);
	rescan();
	EXPECT(bound_to(NVME_MATE, "nvme"));
}

TEST_ON("binding", no_group, "10:BND-21", "vfio-pci does not take a function behind no IOMMU: EINVAL")
{
	need(NO_IOMMU);
	EXPECT_OK(sys_write(DEVICES NO_IOMMU "/driver_override", "vfio-pci"));
	EXPECT_ERR(EINVAL, sys_write(DRIVERS "vfio-pci/bind", NO_IOMMU));
	EXPECT_OK(sys_write(PROBE, NO_IOMMU));
	EXPECT(!driver_of(NO_IOMMU));
	EXPECT_OK(sys_write(DEVICES NO_IOMMU "/driver_override", "\n"));
}

TEST_ON("binding", with_vfs, "10:BND-23", "vfio-pci does not take a physical function that has virtual ones: EBUSY")
{
	if (test_door() == DOOR_HOST)
		test_skip("its driver takes the virtual functions with it");
	unbind(IGB);
	EXPECT_OK(sys_write(DEVICES IGB "/driver_override", "vfio-pci"));
	EXPECT_ERR(EBUSY, sys_write(DRIVERS "vfio-pci/bind", IGB));
	EXPECT(!driver_of(IGB));
	EXPECT_OK(sys_write(DEVICES IGB "/driver_override", "\n"));
	EXPECT_OK(sys_write(PROBE, IGB));
}

TEST_ON("binding", vf_autoprobe, "10:BND-25", "with sriov_drivers_autoprobe 0 a virtual function gets no driver but one named for it")
{
	if (test_door() == DOOR_HOST) {
		EXPECT(bound_to(IGB, "igb"));
		EXPECT_OK(sys_write(DEVICES IGB "/sriov_drivers_autoprobe", "0"));
		EXPECT_OK(sys_write(DEVICES IGB "/sriov_numvfs", "1"));
	} else {
		EXPECT(driver_of(VF)); /* it had one from boot on */
		unbind(VF);
		EXPECT_OK(sys_write(DEVICES IGB "/sriov_drivers_autoprobe", "0"));
	}
	EXPECT(strcmp(sys_read(DEVICES IGB "/sriov_drivers_autoprobe"), "0") == 0);
	EXPECT(function_exists(VF) && !driver_of(VF));
	EXPECT_OK(sys_write(PROBE, VF));
	EXPECT(!driver_of(VF));
	EXPECT_OK(sys_write(DEVICES VF "/driver_override", "vfio-pci"));
	EXPECT_OK(sys_write(PROBE, VF));
	EXPECT(bound_to(VF, "vfio-pci"));
	unbind(VF);
	EXPECT_OK(sys_write(DEVICES VF "/driver_override", "\n"));
	EXPECT_OK(sys_write(DEVICES IGB "/sriov_drivers_autoprobe", "1"));
	EXPECT_OK(sys_write(PROBE, VF));
	EXPECT(driver_of(VF));
	if (test_door() == DOOR_HOST)
		EXPECT_OK(sys_write(DEVICES IGB "/sriov_numvfs", "0"));
}

TEST_ON("binding", denied, "10:BND-24 20:DEV-17", "vfio-pci does not take a function of its denylist: EINVAL")
{
	need(DENIED);
	EXPECT_OK(sys_write(DEVICES DENIED "/driver_override", "vfio-pci"));
	EXPECT_ERR(EINVAL, sys_write(DRIVERS "vfio-pci/bind", DENIED));
	EXPECT(!driver_of(DENIED));
	EXPECT_OK(sys_write(DEVICES DENIED "/driver_override", "\n"));
}

TEST_ON("denylist", allowed, "10:BND-24 20:DEV-17", "with disable_denylist it does")
{
	bind_vfio(DENIED);
	EXPECT(bound_to(DENIED, "vfio-pci"));
}
