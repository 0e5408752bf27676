/* SPDX-License-Identifier: MIT */
/* sysfs: groups, devices, and what writes to driver files do and return. */
#include "abi.h"

#define DRIVERS "/sys/bus/pci/drivers/"

static bool has_line(const char *text, const char *line)
{
	size_t n = strlen(line);

	for (const char *p = text; p && *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL) {
		if (strncmp(p, line, n) == 0 && (p[n] == '\n' || p[n] == 0))
			return true;
	}
	return false;
}

static char *members(const char *bdf)
{
	static char *text;
	char path[128];

	free(text);
	snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%d/devices", group_of(bdf));
	text = x_list(path);
	EXPECT(text);
	return text;
}

TEST(topology, "10:TOP-01 10:TOP-04 10:TOP-08 10:TOP-09 10:SYS-01", "ports with ACS are alone, functions of a slot together, everything behind a PCI bridge together")
{
	EXPECT(group_of(IGB) != group_of(IGB_PORT));
	EXPECT_EQ(group_of(EDU_SHARED), group_of(NVME_MATE));
	EXPECT(group_of(EDU) != group_of(EDU_SHARED));
	EXPECT_EQ(group_of(BRIDGE), group_of(EDU_BELOW));
	EXPECT(has_line(members(EDU), EDU) && !has_line(members(EDU), EDU_SHARED));
	EXPECT(has_line(members(EDU_BELOW), BRIDGE) && has_line(members(EDU_BELOW), EDU_BELOW));
	EXPECT(has_line(members(EDU_BELOW), "0000:04:02.0") && has_line(members(EDU_BELOW), "0000:04:03.0"));
}

TEST(reserved_regions, "10:SYS-02 10:SYS-03", "reserved_regions prints the MSI window, inclusive")
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%d/reserved_regions", group_of(EDU));
	EXPECT(has_line(sys_read(path), "0x00000000fee00000 0x00000000feefffff msi"));
}

TEST(group_type, "10:SYS-06", "type says what the default domain is")
{
	char path[128];
	const char *type;

	snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%d/type", group_of(EDU));
	type = sys_read(path);
	EXPECT(type && (strcmp(type, "DMA-FQ") == 0 || strcmp(type, "DMA") == 0 || strcmp(type, "identity") == 0));
}

TEST(vfio_dev, "10:SYS-13", "a bound device has a vfio-dev/vfioN directory")
{
	char *names;

	bind_vfio(EDU);
	names = x_list("/sys/bus/pci/devices/" EDU "/vfio-dev");
	EXPECT(names && strncmp(names, "vfio", 4) == 0);
	free(names);
}

TEST(identity, "20:CFG-01", "vendor, device, class and the resources read as of old")
{
	EXPECT(strcmp(sys_read("/sys/bus/pci/devices/" EDU "/vendor"), "0x1234") == 0);
	EXPECT(strcmp(sys_read("/sys/bus/pci/devices/" EDU "/device"), "0x11e8") == 0);
	EXPECT(strcmp(sys_read("/sys/bus/pci/devices/" EDU "/class"), "0x00ff00") == 0);
	EXPECT(strncmp(sys_read("/sys/bus/pci/devices/" EDU "/resource"), "0x", 2) == 0);
}

TEST(bind_unknown, "10:BND-01 10:BND-02 10:BND-16 10:BND-17", "bind of an unknown device, or by a driver that does not match, is ENODEV")
{
	bind_vfio(EDU);
	EXPECT_ERR(ENODEV, sys_write(DRIVERS "vfio-pci/bind", "0000:00:1e.7"));
	EXPECT_ERR(ENODEV, sys_write(DRIVERS "vfio-pci/bind", "nonsense"));
	EXPECT_OK(sys_write(DRIVERS "vfio-pci/unbind", EDU));
	EXPECT_OK(sys_write("/sys/bus/pci/devices/" EDU "/driver_override", "\n"));
	EXPECT_ERR(ENODEV, sys_write(DRIVERS "vfio-pci/bind", EDU));
	EXPECT_ERR(ENODEV, sys_write(DRIVERS "pci-stub/bind", EDU));
}

TEST(unbind_wrong, "10:BND-06 10:BND-07", "unbind from the wrong driver is ENODEV; a newline at the end is fine")
{
	bind_vfio(EDU);
	EXPECT_ERR(ENODEV, sys_write(DRIVERS "pci-stub/unbind", EDU));
	EXPECT_OK(sys_write(DRIVERS "vfio-pci/unbind", EDU "\n"));
	EXPECT_ERR(ENODEV, sys_write(DRIVERS "vfio-pci/unbind", EDU "\n"));
	EXPECT_OK(sys_write(DRIVERS "vfio-pci/bind", EDU "\n"));
}

TEST(probe_no_match, "10:BND-09", "drivers_probe of a device no driver wants succeeds")
{
	bind_vfio(EDU);
	EXPECT_OK(sys_write(DRIVERS "vfio-pci/unbind", EDU));
	EXPECT_OK(sys_write("/sys/bus/pci/devices/" EDU "/driver_override", "\n"));
	EXPECT_EQ(12, sys_write("/sys/bus/pci/drivers_probe", EDU));
	EXPECT(!driver_of(EDU));
	EXPECT_ERR(ENODEV, sys_write("/sys/bus/pci/drivers_probe", "0000:77:00.0"));
}

TEST(override, "10:BND-10 10:BND-11", "driver_override lets one driver match, by name; a newline clears it; unset reads (null)")
{
	EXPECT_OK(sys_write("/sys/bus/pci/devices/" EDU "/driver_override", "pci-stub\n"));
	EXPECT(strcmp(sys_read("/sys/bus/pci/devices/" EDU "/driver_override"), "pci-stub") == 0);
	if (driver_of(EDU))
		EXPECT_OK(sys_write("/sys/bus/pci/devices/" EDU "/driver/unbind", EDU));
	EXPECT_ERR(ENODEV, sys_write(DRIVERS "vfio-pci/bind", EDU));
	EXPECT_OK(sys_write("/sys/bus/pci/drivers_probe", EDU));
	EXPECT(strcmp(driver_of(EDU), "pci-stub") == 0);
	EXPECT_OK(sys_write("/sys/bus/pci/devices/" EDU "/driver_override", "\n"));
	EXPECT(strcmp(sys_read("/sys/bus/pci/devices/" EDU "/driver_override"), "(null)") == 0);
	EXPECT_OK(sys_write(DRIVERS "pci-stub/unbind", EDU));
}

TEST(new_id, "10:BND-12 10:BND-13 10:BND-15", "new_id wants two fields, refuses a duplicate; remove_id forgets and leaves devices bound")
{
	if (driver_of(EDU))
		EXPECT_OK(sys_write("/sys/bus/pci/devices/" EDU "/driver/unbind", EDU));
	EXPECT_ERR(EINVAL, sys_write(DRIVERS "pci-stub/new_id", "1234"));
	EXPECT_ERR(EINVAL, sys_write(DRIVERS "pci-stub/new_id", "zz"));
	EXPECT_OK(sys_write(DRIVERS "pci-stub/new_id", "1234 11e8"));
	EXPECT(strcmp(driver_of(EDU), "pci-stub") == 0);
	EXPECT_ERR(EEXIST, sys_write(DRIVERS "pci-stub/new_id", "1234 11e8"));
	EXPECT_ERR(EINVAL, sys_write(DRIVERS "pci-stub/remove_id", "1234"));
	EXPECT_ERR(ENODEV, sys_write(DRIVERS "pci-stub/remove_id", "1234 9999"));
	EXPECT_OK(sys_write(DRIVERS "pci-stub/remove_id", "1234 11e8"));
	EXPECT_ERR(ENODEV, sys_write(DRIVERS "pci-stub/remove_id", "1234 11e8"));
	EXPECT(strcmp(driver_of(EDU), "pci-stub") == 0);
	EXPECT_OK(sys_write(DRIVERS "pci-stub/unbind", EDU));
	if (driver_of(EDU_BELOW))
		EXPECT_OK(sys_write("/sys/bus/pci/devices/" EDU_BELOW "/driver/unbind", EDU_BELOW));
	if (driver_of(EDU_SHARED))
		EXPECT_OK(sys_write("/sys/bus/pci/devices/" EDU_SHARED "/driver/unbind", EDU_SHARED));
}

TEST(bridge_to_vfio, "10:BND-22 20:DEV-16 10:BND-04", "vfio-pci refuses a bridge: EINVAL, as its probe says")
{
	const char *port = IGB_PORT;

	EXPECT(strcmp(driver_of(port), "pcieport") == 0);
	EXPECT_OK(sys_write(DRIVERS "pcieport/unbind", port));
	EXPECT_OK(sys_write("/sys/bus/pci/devices/" IGB_PORT "/driver_override", "vfio-pci"));
	EXPECT_ERR(EINVAL, sys_write(DRIVERS "vfio-pci/bind", port));
	EXPECT(!driver_of(port));
	EXPECT_OK(sys_write("/sys/bus/pci/devices/" IGB_PORT "/driver_override", "\n"));
	EXPECT_OK(sys_write("/sys/bus/pci/drivers_probe", port));
	EXPECT(strcmp(driver_of(port), "pcieport") == 0);
}

TEST(kernel_claims, "10:OWN-01", "a kernel driver's bind makes the group unviable, its unbind viable again")
{
	struct vfio_group_status st = { .argsz = sizeof(st) };
	int g = EXPECT_OK(open_group(EDU_SHARED));

	EXPECT_OK(x_ioctl(g, VFIO_GROUP_GET_STATUS, &st));
	EXPECT_EQ(0, st.flags);
	EXPECT_OK(sys_write(DRIVERS "nvme/unbind", NVME_MATE));
	EXPECT_OK(x_ioctl(g, VFIO_GROUP_GET_STATUS, &st));
	EXPECT_EQ(1, st.flags);
	EXPECT_OK(sys_write(DRIVERS "nvme/bind", NVME_MATE));
	EXPECT_OK(x_ioctl(g, VFIO_GROUP_GET_STATUS, &st));
	EXPECT_EQ(0, st.flags);
}
