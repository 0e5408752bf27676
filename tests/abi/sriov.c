/* SPDX-License-Identifier: MIT */
/* Virtual functions of a physical one that vfio-pci has: their number, their drivers, the token that opens them. */
#include "cdev.h"

#define IGB_SYS "/sys/bus/pci/devices/" IGB "/"
#define VF0     "0000:01:10.0"
#define VF1     "0000:01:10.2"
#define TOKEN   "83a81c6c-5e1c-4cd1-9f0c-a5a3c0c1d5f0"
#define OTHER   "83a81c6c-5e1c-4cd1-9f0c-a5a3c0c1d5f1"

/* Where the capability is: the oracle's QEMU and ours differ. */
static unsigned sriov_cap(int device)
{
	unsigned at = 0x100;

	while (at && (config_read(device, at, 4) & 0xffff) != 0x10)
		at = config_read(device, at, 4) >> 20;
	return at;
}

static const uint8_t token[16] = { 0x83, 0xa8, 0x1c, 0x6c, 0x5e, 0x1c, 0x4c, 0xd1,
				   0x9f, 0x0c, 0xa5, 0xa3, 0xc0, 0xc1, 0xd5, 0xf0 };

/* The physical function with vfio-pci and no virtual one, whatever the test before has left. */
static void begin(const char *allow)
{
	EXPECT_OK(sys_write(IGB_SYS "sriov_numvfs", "0"));
	bind_vfio(IGB);
	EXPECT_OK(sys_write("/sys/module/vfio_pci/parameters/enable_sriov", allow));
}

static void begin_with(const char *vfs)
{
	begin("Y");
	EXPECT_OK(sys_write(IGB_SYS "sriov_numvfs", vfs));
}

/* A group in a container of its own, without a device yet. Returns the group. */
static int in_container(const char *bdf)
{
	int g = EXPECT_OK(open_group(bdf)), c = EXPECT_OK(x_open("/dev/vfio/vfio", O_RDWR));

	EXPECT_OK(x_ioctl(g, VFIO_GROUP_SET_CONTAINER, &c));
	EXPECT_OK(x_ioctl(c, VFIO_SET_IOMMU, (void *)(uintptr_t)VFIO_TYPE1v2_IOMMU));
	return g;
}

static int get(int group, const char *name)
{
	return x_ioctl(group, VFIO_GROUP_GET_DEVICE_FD, (void *)(uintptr_t)name);
}

static int set_token(int device, uint32_t flags, const uint8_t *uuid)
{
	char buf[sizeof(struct vfio_device_feature) + 16];
	struct vfio_device_feature f = { .argsz = sizeof(buf), .flags = flags | VFIO_DEVICE_FEATURE_PCI_VF_TOKEN };

	memcpy(buf, &f, sizeof(f));
	memcpy(buf + sizeof(f), uuid, 16);
	return x_ioctl(device, VFIO_DEVICE_FEATURE, buf);
}

/* The physical function, open, with the token that the tests know. */
static int open_pf(int group)
{
	return EXPECT_OK(get(group, IGB " vf_token=" TOKEN));
}

TEST(off, "20:SRV-01", "without enable_sriov the number cannot be changed: ENOENT; 0 is what it is already")
{
	begin("N");
	EXPECT_ERR(ENOENT, sys_write(IGB_SYS "sriov_numvfs", "1"));
	EXPECT_OK(sys_write(IGB_SYS "sriov_numvfs", "0"));
	EXPECT(strcmp(sys_read(IGB_SYS "sriov_numvfs"), "0") == 0);
}

TEST(numbers, "20:SRV-02 20:SRV-03", "what is no number is EINVAL, more than there can be ERANGE, another number EBUSY")
{
	static const char *const bad[] = { "abc", "-1", "70000", "2 3", "" };

	begin("Y");
	EXPECT(strcmp(sys_read(IGB_SYS "sriov_totalvfs"), "8") == 0);
	EXPECT_ERR(ERANGE, sys_write(IGB_SYS "sriov_numvfs", "9"));
	for (unsigned i = 0; i < 4; i++)
		EXPECT_ERR(EINVAL, sys_write(IGB_SYS "sriov_numvfs", bad[i]));
	EXPECT_OK(sys_write(IGB_SYS "sriov_numvfs", "3"));
	EXPECT_OK(sys_write(IGB_SYS "sriov_numvfs", "3"));
	EXPECT_ERR(EBUSY, sys_write(IGB_SYS "sriov_numvfs", "8"));
	EXPECT_ERR(EBUSY, sys_write(IGB_SYS "sriov_numvfs", "1"));
	EXPECT_ERR(ERANGE, sys_write(IGB_SYS "sriov_numvfs", "9"));
	EXPECT(strcmp(sys_read(IGB_SYS "sriov_numvfs"), "3") == 0);
}

TEST(appear, "20:SRV-04 20:SRV-05 10:BND-26", "virtual functions appear linked, grouped, overridden to vfio-pci and bound")
{
	char path[128], target[256];
	ssize_t n;

	begin_with("2");
	EXPECT(function_exists(VF0) && function_exists(VF1) && !function_exists("0000:01:10.4"));
	n = EXPECT_OK(x_readlink(IGB_SYS "virtfn1", target, sizeof(target)));
	EXPECT(n == 15 && memcmp(target, "../" VF1, 15) == 0);
	n = EXPECT_OK(x_readlink("/sys/bus/pci/devices/" VF1 "/physfn", target, sizeof(target)));
	EXPECT(n == 15 && memcmp(target, "../" IGB, 15) == 0);
	EXPECT(strcmp(sys_read("/sys/bus/pci/devices/" VF1 "/driver_override"), "vfio-pci") == 0);
	EXPECT(strcmp(driver_of(VF0), "vfio-pci") == 0);
	EXPECT(group_of(VF0) >= 0 && group_of(VF0) != group_of(IGB) && group_of(VF0) != group_of(VF1));
	snprintf(path, sizeof(path), "/dev/vfio/%d", group_of(VF0));
	EXPECT_OK(x_open(path, O_RDWR));
	EXPECT(sys_read("/sys/bus/pci/devices/" VF0 "/device"));
	EXPECT(strcmp(sys_read("/sys/bus/pci/devices/" VF0 "/device"), "0x10ca") == 0);
	EXPECT_ERR(ENOENT, x_open("/sys/bus/pci/devices/" VF0 "/remove", O_WRONLY));
}

TEST(vf_token, "10:GRP-20 10:GRP-21 20:SRV-06 20:SRV-07", "a virtual function opens with the physical one's token only")
{
	int pf, vf;

	begin_with("1");
	pf = in_container(IGB);
	vf = in_container(VF0);
	EXPECT_ERR(EACCES, get(vf, VF0));
	open_pf(pf);
	EXPECT_ERR(EACCES, get(vf, VF0));
	EXPECT_ERR(EACCES, get(vf, VF0 " vf_token=" OTHER));
	EXPECT_OK(get(vf, VF0 " vf_token=" TOKEN));
}

TEST(pf_closed, "20:SRV-08", "a virtual function needs the token when the physical one is closed again, too")
{
	int pf, vf;

	begin_with("1");
	pf = in_container(IGB);
	vf = in_container(VF0);
	EXPECT_OK(x_close(open_pf(pf)));
	EXPECT_ERR(EACCES, get(vf, VF0));
	EXPECT_OK(get(vf, VF0 " vf_token=" TOKEN));
}

TEST(pf_token, "10:GRP-23 20:SRV-11", "the physical function needs its token while a virtual one is open")
{
	int pf, vf, device, d;

	begin_with("2");
	pf = in_container(IGB);
	vf = in_container(VF1);
	d = open_pf(pf);
	device = EXPECT_OK(get(vf, VF1 " vf_token=" TOKEN));
	EXPECT_OK(x_close(d));
	EXPECT_ERR(EACCES, get(pf, IGB));
	EXPECT_ERR(EACCES, get(pf, IGB " vf_token=" OTHER));
	EXPECT_OK(x_close(open_pf(pf)));
	EXPECT_OK(x_close(device));
	EXPECT_OK(get(pf, IGB));
}

TEST(pf_sets_token, "10:GRP-24", "a token given to a physical function none of whose virtual ones is open is its token")
{
	int pf, vf;

	begin_with("1");
	pf = in_container(IGB);
	vf = in_container(VF0);
	EXPECT_OK(x_close(open_pf(pf)));
	EXPECT_OK(x_close(EXPECT_OK(get(pf, IGB))));
	EXPECT_OK(x_close(EXPECT_OK(get(vf, VF0 " vf_token=" TOKEN))));
	EXPECT_OK(get(pf, IGB " vf_token=" OTHER));
	EXPECT_ERR(EACCES, get(vf, VF0 " vf_token=" TOKEN));
	EXPECT_OK(get(vf, VF0 " vf_token=" OTHER));
}

TEST(feature, "10:FEA-11 20:SRV-09 20:SRV-10", "the token feature sets, and never gets; a virtual function and a plain device lack it")
{
	int pf, vf, d, v;

	begin_with("1");
	pf = in_container(IGB);
	vf = in_container(VF0);
	d = EXPECT_OK(get(pf, IGB));
	EXPECT_ERR(EINVAL, set_token(d, VFIO_DEVICE_FEATURE_GET, token));
	EXPECT_OK(set_token(d, VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_SET, token));
	EXPECT_ERR(EACCES, get(vf, VF0 " vf_token=" TOKEN));
	EXPECT_OK(set_token(d, VFIO_DEVICE_FEATURE_SET, token));
	v = EXPECT_OK(get(vf, VF0 " vf_token=" TOKEN));
	EXPECT_ERR(ENOTTY, set_token(v, VFIO_DEVICE_FEATURE_SET, token));
	EXPECT_ERR(ENOTTY, set_token(open_device(EDU).device, VFIO_DEVICE_FEATURE_SET, token));
}

static int bind_token(int device, int ctx, const uint8_t *uuid)
{
	struct vfio_device_bind_iommufd b = { .argsz = sizeof(b), .iommufd = ctx, .token_uuid_ptr = (uintptr_t)uuid,
					      .flags = uuid ? VFIO_DEVICE_BIND_FLAG_TOKEN : 0 };

	return x_ioctl(device, VFIO_DEVICE_BIND_IOMMUFD, &b);
}

TEST(bound, "20:SRV-07 20:SRV-09 30:IFD-189", "by their own nodes: BIND of the physical function sets the token, BIND of a virtual one asks for it")
{
	static const uint8_t other[16] = { 1, 2, 3 };
	int pf, vf, ctx = iommu_open();

	begin_with("1");
	pf = cdev_take(IGB);
	vf = cdev_take(VF0);
	EXPECT_OK(bind_token(pf, ctx, token));
	EXPECT_ERR(EACCES, bind_token(vf, ctx, NULL));
	EXPECT_ERR(EACCES, bind_token(vf, ctx, other));
	EXPECT_ERR(EFAULT, bind_token(vf, ctx, (void *)8));
	EXPECT_OK(set_token(pf, VFIO_DEVICE_FEATURE_SET, other));
	EXPECT_ERR(EACCES, bind_token(vf, ctx, token));
	EXPECT_OK(bind_token(vf, ctx, other));
	EXPECT_OK(x_close(pf));
	pf = cdev_take(IGB);
	EXPECT_ERR(EACCES, bind_token(pf, ctx, NULL));
	EXPECT_ERR(EACCES, bind_token(pf, ctx, token));
	EXPECT_OK(bind_token(pf, ctx, other));
}

TEST(name, "20:SRV-12 20:SRV-13 20:SRV-16", "a token for a plain device, a bad one, two, or another option: EINVAL")
{
	static const char *const bad[] = {
		" vf_token=83a81c6c-5e1c-4cd1-9f0c-a5a3c0c1d5f", " vf_token=83a81c6c5e1c-4cd1-9f0c-a5a3c0c1d5f00-",
		" vf_token=83a81c6c-5e1c-4cd1-9f0c-a5a3c0c1d5fg", " vf_token=", " vf=1", " x",
		" vf_token=" TOKEN " vf_token=" TOKEN,
	};
	char text[160];
	int g;

	begin("Y");
	g = in_container(IGB);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), IGB "%s", bad[i]);
		EXPECT_ERR(EINVAL, get(g, text));
	}
	EXPECT_ERR(ENODEV, get(g, IGB "x"));
	EXPECT_OK(x_close(EXPECT_OK(get(g, IGB "   vf_token=" TOKEN "  "))));
	EXPECT_ERR(EINVAL, get(in_container(EDU), EDU " vf_token=" TOKEN));
}

static bool has_driver(const char *name)
{
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), "/sys/bus/pci/drivers/%s", name);
	return x_stat(path, &st) == 0;
}

TEST(bind_split, "20:SRV-14", "a function whose virtual ones another driver has left behind cannot be bound to vfio-pci")
{
	if (!has_driver("pci-pf-stub"))
		test_skip("this kernel has no driver that leaves virtual functions behind");
	begin("Y");
	EXPECT_OK(sys_write(IGB_SYS "driver/unbind", IGB));
	EXPECT_OK(sys_write(IGB_SYS "driver_override", "pci-pf-stub"));
	EXPECT_OK(sys_write("/sys/bus/pci/drivers_probe", IGB));
	EXPECT_OK(sys_write(IGB_SYS "sriov_numvfs", "1"));
	EXPECT_OK(sys_write(IGB_SYS "driver/unbind", IGB));
	EXPECT(function_exists(VF0));
	EXPECT_OK(sys_write(IGB_SYS "driver_override", "vfio-pci"));
	EXPECT_ERR(EBUSY, sys_write("/sys/bus/pci/drivers/vfio-pci/bind", IGB));
	EXPECT_OK(sys_write(IGB_SYS "driver_override", "pci-pf-stub"));
	EXPECT_OK(sys_write("/sys/bus/pci/drivers_probe", IGB));
	EXPECT_OK(sys_write(IGB_SYS "sriov_numvfs", "0"));
	EXPECT(!function_exists(VF0));
}

TEST(host_vfs, "10:GRP-22", "virtual functions that a host driver has had made need no token, and are given none")
{
	int g;

	begin("Y");
	bind_host(IGB);
	EXPECT_OK(sys_write(IGB_SYS "sriov_numvfs", "1"));
	g = in_container(VF0);
	EXPECT_ERR(EINVAL, get(g, VF0 " vf_token=" TOKEN));
	EXPECT_OK(get(g, VF0));
}

TEST(pf_reset, "20:SRV-03", "virtual functions stay over a reset of the physical one")
{
	int pf, d;

	begin_with("2");
	pf = in_container(IGB);
	d = open_pf(pf);
	EXPECT_OK(x_ioctl(d, VFIO_DEVICE_RESET, NULL));
	EXPECT(strcmp(sys_read(IGB_SYS "sriov_numvfs"), "2") == 0);
	EXPECT_EQ(2, config_read(d, sriov_cap(d) + 0x10, 2));
	EXPECT_EQ(9, config_read(d, sriov_cap(d) + 8, 2) & 9);
	EXPECT(function_exists(VF1));
}

static unsigned pmcsr(int device)
{
	unsigned at = config_read(device, 0x34, 1);

	while (at && config_read(device, at, 1) != 1)
		at = config_read(device, at + 1, 1);
	EXPECT(at);
	return at + 4;
}

TEST(asleep, "20:CFG-55", "a physical function with virtual ones does not go to sleep, and is woken to get them")
{
	volatile uint32_t *bar;
	int d;

	begin("Y");
	d = open_pf(in_container(IGB));
	bar = x_mmap(NULL, 0x1000, PROT_READ, MAP_SHARED, d, REGION(0));
	EXPECT((void *)bar != MAP_FAILED);
	config_write(d, pmcsr(d), 2, 3);
	EXPECT_EQ(3, config_read(d, pmcsr(d), 2) & 3);
	EXPECT_OK(sys_write(IGB_SYS "sriov_numvfs", "1"));
	EXPECT_EQ(0, config_read(d, pmcsr(d), 2) & 3);
	(void)bar[2];
	for (unsigned state = 1; state < 4; state++) {
		config_write(d, pmcsr(d), 2, state);
		EXPECT_EQ(0, config_read(d, pmcsr(d), 2) & 3);
		(void)bar[2];
	}
	EXPECT_OK(sys_write(IGB_SYS "sriov_numvfs", "0"));
	config_write(d, pmcsr(d), 2, 3);
	EXPECT_EQ(3, config_read(d, pmcsr(d), 2) & 3);
	config_write(d, pmcsr(d), 2, 0);
}

TEST(unbind, "20:SRV-15", "with the physical function's driver go its virtual functions")
{
	begin_with("2");
	EXPECT_OK(sys_write("/sys/bus/pci/drivers/vfio-pci/unbind", IGB));
	EXPECT(!function_exists(VF0) && !function_exists(VF1));
	EXPECT(strcmp(sys_read(IGB_SYS "sriov_numvfs"), "0") == 0);
	bind_vfio(IGB);
	EXPECT_OK(sys_write(IGB_SYS "sriov_numvfs", "2"));
	EXPECT(function_exists(VF0));
}
