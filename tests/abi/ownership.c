/* SPDX-License-Identifier: MIT */
/* Whose DMA a group's is: kernel drivers' or one user's. What sysfs and the ioctls show of spec 10, section 2. */
#include "abi.h"

#define DRIVERS      "/sys/bus/pci/drivers/"
#define DEVICES      "/sys/bus/pci/devices/"
#define NIC_BELOW    "0000:04:02.0" /* behind BRIDGE, bound to a host driver that does DMA */
#define PORT         "0000:00:0a.0" /* without ACS, bound to pcieport */
#define BELOW_PORT   "0000:05:00.0"
#define NEEDS_DIRECT "0000:00:0b.0"
#define BESIDE_STUB  "0000:00:0c.0"
#define PF_STUB      "0000:00:0c.1"

/* Bind by driver_override; the result of drivers_probe */
static int bind_to(const char *bdf, const char *driver)
{
	char path[128];

	unbind(bdf);
	snprintf(path, sizeof(path), DEVICES "%s/driver_override", bdf);
	EXPECT_OK(sys_write(path, driver));
	return (int)sys_write("/sys/bus/pci/drivers_probe", bdf);
}

/* The group behind BRIDGE with nobody but BRIDGE's driver in the way; its file */
static int group_behind_bridge(void)
{
	unbind(NIC_BELOW);
	return EXPECT_OK(open_group(EDU_BELOW));
}

static void need_shpchp(void)
{
	struct stat st;

	if (x_stat(DRIVERS "shpchp", &st) != 0)
		test_skip("this kernel has no shpchp");
	if (!bound_to(BRIDGE, "shpchp"))
		bind_host(BRIDGE);
	EXPECT(bound_to(BRIDGE, "shpchp"));
}

/* ---- bridges ---- */

TEST(shpchp_blocks, "10:OWN-23", "shpchp on a bridge of the group makes it not viable, and SET_CONTAINER EPERM")
{
	int g;

	need_shpchp();
	g = group_behind_bridge();
	EXPECT_EQ(0, group_flags(g));
	EXPECT_ERR(EPERM, set_container(g, open_container()));
	EXPECT_EQ(0, group_flags(g));
}

TEST(shpchp_gone, "10:OWN-26 10:OWN-30", "once shpchp is unbound the group can be had, its other members driverless")
{
	int g;

	need_shpchp();
	g = group_behind_bridge();
	EXPECT_OK(sys_write(DRIVERS "shpchp/unbind", BRIDGE));
	EXPECT_EQ(1, group_flags(g));
	EXPECT_OK(set_container(g, open_container()));
	EXPECT(!driver_of(NIC_BELOW) && !driver_of(BRIDGE));
}

TEST(shpchp_late, "10:OWN-24 10:OWN-21 10:BND-08", "shpchp cannot bind to a bridge of a user's group: EBUSY, and the user does not notice")
{
	struct setup s;

	need_shpchp();
	EXPECT_OK(x_close(group_behind_bridge()));
	EXPECT_OK(sys_write(DRIVERS "shpchp/unbind", BRIDGE));
	s = open_device(EDU_BELOW);
	EXPECT_ERR(EBUSY, sys_write(DRIVERS "shpchp/bind", BRIDGE));
	EXPECT(!driver_of(BRIDGE));
	EXPECT_ERR(EINVAL, sys_write("/sys/bus/pci/drivers_probe", BRIDGE));
	EXPECT(!driver_of(BRIDGE));
	EXPECT_EQ(3, group_flags(s.group));
	EXPECT_EQ(0x11e81234, config_read(s.device, 0, 4));
	EXPECT_OK(x_close(s.device));
	EXPECT_OK(x_close(s.group));
	EXPECT_OK(sys_write(DRIVERS "shpchp/bind", BRIDGE));
	EXPECT(bound_to(BRIDGE, "shpchp"));
}

TEST(stub_instead, "10:OWN-25 10:OWN-02", "pci-stub on that bridge is as good as no driver, before and while a user has the group")
{
	struct setup s;
	int g = group_behind_bridge();

	EXPECT_OK(bind_to(BRIDGE, "pci-stub"));
	EXPECT(bound_to(BRIDGE, "pci-stub"));
	EXPECT_EQ(1, group_flags(g));
	EXPECT_OK(x_close(g));
	s = open_device(EDU_BELOW);
	EXPECT_OK(sys_write(DRIVERS "pci-stub/unbind", BRIDGE));
	EXPECT_OK(sys_write(DRIVERS "pci-stub/bind", BRIDGE));
	EXPECT_EQ(3, group_flags(s.group));
	EXPECT_OK(x_close(s.device));
	EXPECT_OK(x_close(s.group));
	EXPECT_OK(sys_write(DEVICES BRIDGE "/driver_override", "\n"));
	unbind(BRIDGE);
}

TEST(pcieport_harmless, "10:OWN-22 10:OWN-02 10:TOP-02", "pcieport on a port of the group blocks nobody, and comes and goes as it likes")
{
	struct setup s;
	int g;

	EXPECT_EQ(group_of(PORT), group_of(BELOW_PORT));
	EXPECT(bound_to(PORT, "pcieport"));
	g = EXPECT_OK(open_group(BELOW_PORT));
	EXPECT_EQ(1, group_flags(g));
	EXPECT_OK(x_close(g));
	s = open_device(BELOW_PORT);
	EXPECT_OK(sys_write(DRIVERS "pcieport/unbind", PORT));
	EXPECT_OK(sys_write(DRIVERS "pcieport/bind", PORT));
	EXPECT(bound_to(PORT, "pcieport"));
	EXPECT_EQ(3, group_flags(s.group));
}

TEST(new_safe_driver, "10:OWN-29", "a bridge driver that is marked managed may have a bridge of a user's group")
{
	struct setup s;

	if (test_door() == DOOR_HOST)
		test_skip("a driver of the machine file");
	unbind(BRIDGE);
	unbind(NIC_BELOW);
	s = open_device(EDU_BELOW);
	EXPECT_OK(bind_to(BRIDGE, "bridge-safe"));
	EXPECT(bound_to(BRIDGE, "bridge-safe"));
	EXPECT_EQ(3, group_flags(s.group));
	EXPECT_OK(x_close(s.device));
	EXPECT_OK(x_close(s.group));
	EXPECT_EQ(1, group_flags(EXPECT_OK(open_group(EDU_BELOW))));
	EXPECT_OK(sys_write(DEVICES BRIDGE "/driver_override", "\n"));
	unbind(BRIDGE);
}

TEST(unsafe_classes, "10:OWN-23 10:OWN-24", "a bridge driver that does DMA, one that maps registers and one nobody vouches for all keep the group")
{
	static const char *const drivers[] = { "bridge-dma", "bridge-mmio", "bridge-quiet" };
	struct setup s;
	int g;

	if (test_door() == DOOR_HOST)
		test_skip("drivers of the machine");
	for (int i = 0; i < 3; i++) {
		char path[64];

		g = group_behind_bridge();
		EXPECT_OK(bind_to(BRIDGE, drivers[i]));
		EXPECT_EQ(0, group_flags(g));
		EXPECT_ERR(EPERM, set_container(g, open_container()));
		unbind(BRIDGE);
		EXPECT_OK(x_close(g));
		s = open_device(EDU_BELOW);
		snprintf(path, sizeof(path), DRIVERS "%s/bind", drivers[i]);
		EXPECT_ERR(EBUSY, sys_write(path, BRIDGE));
		EXPECT_OK(x_close(s.device));
		EXPECT_OK(x_close(s.group));
	}
	EXPECT_OK(sys_write(DEVICES BRIDGE "/driver_override", "\n"));
}

/* ---- any driver ---- */

TEST(managed_do_not_count, "10:OWN-02", "vfio-pci and pci-stub on members leave the group viable")
{
	int g;

	bind_vfio(EDU_SHARED);
	EXPECT_OK(bind_to(NVME_MATE, "pci-stub"));
	g = EXPECT_OK(open_group(EDU_SHARED));
	EXPECT_EQ(1, group_flags(g));
	EXPECT_OK(bind_to(NVME_MATE, "vfio-pci"));
	EXPECT_EQ(1, group_flags(g));
	bind_host(NVME_MATE);
	EXPECT_EQ(0, group_flags(g));
}

TEST(owned, "10:OWN-06 10:OWN-11 10:OWN-21 10:BND-14 10:BND-03", "while a user has the group its mate's host driver gets EBUSY; afterwards it binds")
{
	struct setup s;

	unbind(NVME_MATE);
	s = open_device(EDU_SHARED);
	EXPECT_ERR(EBUSY, sys_write(DRIVERS "nvme/bind", NVME_MATE));
	EXPECT(!driver_of(NVME_MATE));
	EXPECT_OK(sys_write(DRIVERS "nvme/new_id", "1b36 0010 ffffffff ffffffff 0 0 0")); /* its attempts are nobody's business */
	EXPECT(!driver_of(NVME_MATE));
	EXPECT_OK(sys_write(DRIVERS "nvme/remove_id", "1b36 0010"));
	EXPECT_OK(x_close(s.device));
	EXPECT_ERR(EBUSY, sys_write(DRIVERS "nvme/bind", NVME_MATE)); /* the container still has the group */
	EXPECT_OK(x_ioctl(s.group, VFIO_GROUP_UNSET_CONTAINER, NULL));
	EXPECT_OK(sys_write(DRIVERS "nvme/bind", NVME_MATE));
	EXPECT(bound_to(NVME_MATE, "nvme"));
	EXPECT_EQ(0, group_flags(s.group));
	EXPECT_ERR(EPERM, set_container(s.group, s.container));
}

TEST(device_keeps_claim, "10:OWN-20 10:OWN-21", "an open device keeps host drivers out though its group is closed")
{
	struct setup s;

	unbind(NVME_MATE);
	s = open_device(EDU_SHARED);
	EXPECT_OK(x_close(s.group));
	EXPECT_OK(x_close(s.container));
	EXPECT_ERR(EBUSY, sys_write(DRIVERS "nvme/bind", NVME_MATE));
	EXPECT_OK(x_close(s.device));
	EXPECT_OK(sys_write(DRIVERS "nvme/bind", NVME_MATE));
}

TEST(claim_before_attach, "10:OWN-06", "SET_CONTAINER alone, before there is an address space, keeps host drivers out")
{
	int g, c = open_container();

	unbind(NVME_MATE);
	g = EXPECT_OK(open_group(EDU_SHARED));
	EXPECT_OK(set_container(g, c));
	EXPECT_ERR(EBUSY, sys_write(DRIVERS "nvme/bind", NVME_MATE));
	EXPECT_OK(x_ioctl(g, VFIO_GROUP_UNSET_CONTAINER, NULL));
	EXPECT_OK(sys_write(DRIVERS "nvme/bind", NVME_MATE));
}

TEST(direct_region, "10:OWN-10", "a group that firmware wants a direct mapping for cannot be had: EINVAL, and its host driver may still bind")
{
	int g, c = open_container();

	if (test_door() == DOOR_HOST)
		test_skip("this machine's firmware wants no mapping");
	g = EXPECT_OK(open_group(NEEDS_DIRECT));
	EXPECT_EQ(1, group_flags(g));
	EXPECT_ERR(EINVAL, set_container(g, c));
	EXPECT_EQ(1, group_flags(g));
	EXPECT_ERR(EINVAL, set_container(g, c));
	EXPECT_OK(bind_to(NEEDS_DIRECT, "nic"));
	EXPECT(bound_to(NEEDS_DIRECT, "nic"));
	bind_host(NEEDS_DIRECT);
}

TEST(pf_stub, "10:OWN-31", "pci-pf-stub, which vouches for nothing, keeps its group")
{
	int g;

	if (!function_exists(PF_STUB))
		test_skip("no such hardware");
	EXPECT(bound_to(PF_STUB, "pci-pf-stub"));
	g = EXPECT_OK(open_group(BESIDE_STUB));
	EXPECT_EQ(0, group_flags(g));
	EXPECT_ERR(EPERM, set_container(g, open_container()));
	unbind(PF_STUB);
	EXPECT_OK(set_container(g, open_container()));
	EXPECT_ERR(EBUSY, sys_write(DRIVERS "pci-pf-stub/bind", PF_STUB));
	EXPECT_OK(x_close(g));
	EXPECT_OK(sys_write(DRIVERS "pci-pf-stub/bind", PF_STUB));
}

/* ---- the default domain's type ---- */

static const char *type_path(void)
{
	static char path[64];

	snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%d/type", group_of(EDU_SHARED));
	return path;
}

static bool type_is(const char *type)
{
	return strcmp(sys_read(type_path()), type) == 0;
}

TEST(type_without_caps, "10:SYS-07", "the type is not for a program without CAP_SYS_ADMIN or CAP_SYS_RAWIO: EACCES, before anything else")
{
	if (test_caps(CAPS_ALL) < 0)
		test_skip("this program has no capabilities to give up");
	EXPECT_OK(test_caps(CAPS_ALL & ~CAPS_RAWIO));
	EXPECT_ERR(EACCES, sys_write(type_path(), "identity"));
	EXPECT_ERR(EACCES, sys_write(type_path(), "nonsense"));
	EXPECT_OK(test_caps(CAPS_ALL & ~CAPS_ADMIN));
	EXPECT_ERR(EACCES, sys_write(type_path(), "identity"));
	EXPECT_OK(test_caps(CAPS_ALL));
}

TEST(type_text, "10:SYS-10", "a type nobody knows is EINVAL")
{
	if (test_caps(CAPS_ALL) < 0)
		test_skip("this program lacks the capabilities");
	EXPECT_ERR(EINVAL, sys_write(type_path(), "DMA-XX"));
	EXPECT_ERR(EINVAL, sys_write(type_path(), "blocked"));
	EXPECT_ERR(EINVAL, sys_write(type_path(), "\n"));
	EXPECT_ERR(EINVAL, sys_write(type_path(), "DMA\n\n"));
}

TEST(type_in_use, "10:SYS-08 10:SYS-09", "with a driver or a user the type stays (EPERM), but DMA becomes DMA-FQ at any time")
{
	int g;

	if (test_caps(CAPS_ALL) < 0)
		test_skip("this program lacks the capabilities");
	bind_host(NVME_MATE);
	EXPECT(bound_to(NVME_MATE, "nvme"));
	EXPECT_ERR(EPERM, sys_write(type_path(), "identity"));
	EXPECT_ERR(EPERM, sys_write(type_path(), "auto"));
	unbind(NVME_MATE);
	EXPECT_OK(sys_write(type_path(), "DMA\n"));
	EXPECT(type_is("DMA"));
	bind_host(NVME_MATE);
	EXPECT(bound_to(NVME_MATE, "nvme"));
	EXPECT_ERR(EPERM, sys_write(type_path(), "DMA"));
	EXPECT_EQ(6, sys_write(type_path(), "DMA-FQ"));
	EXPECT(type_is("DMA-FQ"));

	unbind(NVME_MATE);
	g = EXPECT_OK(open_group(EDU_SHARED));
	EXPECT_OK(set_container(g, open_container()));
	EXPECT_ERR(EPERM, sys_write(type_path(), "identity"));
	EXPECT_OK(x_close(g));
	EXPECT_OK(sys_write(type_path(), "identity"));
	EXPECT(type_is("identity"));
	EXPECT_OK(sys_write(type_path(), "auto"));
	EXPECT(type_is("DMA-FQ"));
	bind_host(NVME_MATE);
}
