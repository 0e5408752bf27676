/* SPDX-License-Identifier: MIT */
/*
 * Devices without DMA of their own, bound to an iommufd: what their drivers pin and copy is an access (spec 30, 5).
 * The machine: tests/machines/emulated.yaml. No other Linux has its devices.
 */
#include "cdev.h"
#include "soft.h"

/* soft0 by its own node, bound to ctx and attached to an IOAS of it */
struct soft {
	int ctx, device;
	uint32_t id, ioas;
};

static int soft_node(const char *name)
{
	char path[128], *names;

	soft_group(name);
	snprintf(path, sizeof(path), SOFT_SYSFS "%s/vfio-dev", name);
	names = x_list(path);
	EXPECT(names);
	snprintf(path, sizeof(path), "/dev/vfio/devices/%.*s", (int)strcspn(names, "\n"), names);
	free(names);
	return EXPECT_OK(x_open(path, O_RDWR));
}

static struct soft soft_bound(const char *name)
{
	struct soft s = { .device = soft_node(name), .ctx = iommu_open() };

	EXPECT_OK(cdev_bind_flags(s.device, s.ctx, sizeof(struct vfio_device_bind_iommufd), 0, &s.id));
	s.ioas = ioas_alloc(s.ctx);
	return s;
}

static struct soft soft_attached(const char *name)
{
	struct soft s = soft_bound(name);

	EXPECT_OK(cdev_attach_to(s.device, s.ioas));
	return s;
}

static char *mapped(const struct soft *s, unsigned pages, uint64_t iova)
{
	char *p = ram(pages * PAGE);

	EXPECT_OK(ioas_map_at(s->ctx, s->ioas, p, pages * PAGE, iova));
	return p;
}

TEST(soft_bind, "30:IFD-020", "BIND gives the id of an access: no device, but used")
{
	struct soft s = soft_bound("soft0");
	struct iommu_hw_info info = { .size = sizeof(info), .dev_id = s.id };

	EXPECT(s.id);
	EXPECT_ERR(ENOENT, x_ioctl(s.ctx, IOMMU_GET_HW_INFO, &info));
	EXPECT_ERR(EBUSY, destroy(s.ctx, s.id));
	EXPECT_OK(x_close(s.device));
	EXPECT_ERR(ENOENT, destroy(s.ctx, s.id));
}

TEST(soft_attach, "10:CDV-14 10:CDV-15", "ATTACH takes an IOAS only, which stays named")
{
	struct soft s = soft_bound("soft0");
	uint32_t pt = s.id, other = ioas_alloc(s.ctx);
	struct vfio_device_attach_iommufd_pt a = { .argsz = sizeof(a), .flags = VFIO_DEVICE_ATTACH_PASID,
						   .pt_id = s.ioas, .pasid = 1 };

	EXPECT_ERR(ENOENT, cdev_attach(s.device, &pt));
	EXPECT_ERR(ENOENT, cdev_attach_to(s.device, 77));
	EXPECT_ERR(EOPNOTSUPP, x_ioctl(s.device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &a));
	EXPECT_OK(cdev_detach(s.device)); /* nothing is attached: nothing happens */
	pt = s.ioas;
	EXPECT_OK(cdev_attach(s.device, &pt));
	EXPECT_EQ(s.ioas, pt);
	EXPECT_ERR(EBUSY, destroy(s.ctx, s.ioas));
	EXPECT_OK(cdev_attach_to(s.device, s.ioas));
	EXPECT_OK(cdev_attach_to(s.device, other)); /* replaces */
	EXPECT_OK(destroy(s.ctx, s.ioas));
	EXPECT_ERR(ENOENT, cdev_attach_to(s.device, s.ioas));
	EXPECT_ERR(EBUSY, destroy(s.ctx, other)); /* as it was */
	EXPECT_OK(cdev_detach(s.device));
	EXPECT_OK(destroy(s.ctx, other));
}

TEST(soft_align, "30:IFD-030", "who pins takes whole pages")
{
	struct soft s = soft_bound("soft0");
	char *p = mapped(&s, 1, 0);

	EXPECT_OK(ioas_map_at(s.ctx, s.ioas, p, 100, 0x10000));
	EXPECT_ERR(EADDRINUSE, cdev_attach_to(s.device, s.ioas));
	EXPECT_OK(ioas_unmap_n(s.ctx, s.ioas, 0x10000, 100));
	EXPECT_OK(cdev_attach_to(s.device, s.ioas));
	EXPECT_ERR(EINVAL, ioas_map_at(s.ctx, s.ioas, p, 100, 0x10000));
}

TEST(soft_pin_errors, "30:IFD-182", "what is not mapped, or not for that, is not pinned, nor are the pages before it")
{
	struct soft s = soft_bound("soft0");
	uint64_t iova = 0x11000;

	EXPECT_EQ(-ENOENT, command(s.device, PIN, 0x10000, 1, 1)); /* not attached */
	EXPECT_OK(cdev_attach_to(s.device, s.ioas));
	mapped(&s, 1, 0x10000);
	EXPECT_OK(ioas_map(s.ctx, s.ioas, ram(PAGE), PAGE, READ | FIXED, &iova));
	EXPECT_EQ(-EINVAL, command(s.device, PIN, 0x10000, 0, 3));
	EXPECT_EQ(-E2BIG, command(s.device, PIN, 0x10000, 513, 3));
	EXPECT_EQ(-ENOENT, command(s.device, PIN, 0x20000, 1, 1));
	EXPECT_EQ(-EPERM, command(s.device, PIN, 0x11000, 1, 3));
	EXPECT_EQ(-EPERM, command(s.device, PIN, 0x10000, 2, 3));
	EXPECT_EQ(-ENOENT, command(s.device, PIN, 0x10000, 3, 1));
	EXPECT_EQ(-EOVERFLOW, command(s.device, PIN, -PAGE, 2, 1));
	EXPECT_EQ(0, reg(s.device, PINNED));
	EXPECT_EQ(0, command(s.device, UNPIN, 0x30000, 1, 0)); /* ignored */
	EXPECT_OK(ioas_unmap_n(s.ctx, s.ioas, 0, ALL)); /* no pin was left */
	EXPECT_EQ(0, reg(s.device, NOTICES));
}

TEST(soft_pin_memory, "10:PIN-03", "a pinned page is the program's memory; pages pinned together go one by one")
{
	struct soft s = soft_attached("soft0");
	char *p = mapped(&s, 2, 0x40000), got[16];

	strcpy(p + PAGE + 100, "to the device");
	EXPECT_EQ(2, command(s.device, PIN, 0x40000, 2, 3));
	EXPECT_EQ(0, command(s.device, UNPIN, 0x40000, 1, 0));
	EXPECT_EQ(0, command(s.device, LOAD, 0x41000 + 100, 14, 0));
	EXPECT_EQ(14, x_pread(s.device, got, 14, DATA));
	EXPECT(strcmp(got, "to the device") == 0);
	EXPECT_EQ(14, x_pwrite(s.device, "and back again", 14, DATA));
	EXPECT_EQ(0, command(s.device, STORE, 0x41000 + 200, 14, 0));
	EXPECT(memcmp(p + PAGE + 200, "and back again", 14) == 0);
	EXPECT_EQ(0, command(s.device, UNPIN, 0x41000, 1, 0));
	EXPECT_OK(ioas_unmap_n(s.ctx, s.ioas, 0x40000, 2 * PAGE));
	EXPECT_EQ(0, reg(s.device, NOTICES));
}

TEST(soft_copy, "10:PIN-04", "copies go over mappings, and need no pin: a device that is not told of unmaps may copy")
{
	struct soft s = soft_attached("deaf");
	char *a = mapped(&s, 1, 0x10000), *b = mapped(&s, 1, 0x11000), got[16];

	memcpy(a + PAGE - 8, "across t", 8);
	memcpy(b, "wo pages", 8);
	EXPECT_EQ(-EINVAL, command(s.device, PIN, 0x10000, 1, 3));
	EXPECT_EQ(0, command(s.device, COPY_IN, 0x11000 - 8, 16, 0));
	EXPECT_EQ(16, x_pread(s.device, got, 16, DATA));
	EXPECT(memcmp(got, "across two pages", 16) == 0);
	EXPECT_EQ(0, command(s.device, COPY_OUT, 0x10000, 16, 0));
	EXPECT(memcmp(a, "across two pages", 16) == 0);
	EXPECT_EQ(-ENOENT, command(s.device, COPY_IN, 0x20000, 8, 0));
	EXPECT_EQ(-EINVAL, command(s.device, COPY_IN, 0x10000, 0, 0));
	EXPECT_OK(ioas_map_at(s.ctx, s.ioas, a, 100, 0x20000)); /* by the byte, as nothing is pinned */
}

TEST(soft_unmap, "30:IFD-180", "an unmap asks pins of what it removes back; the device is not asked of what it has not")
{
	struct soft s = soft_attached("soft0");

	mapped(&s, 4, 0x10000);
	mapped(&s, 1, 0x20000);
	EXPECT_EQ(2, command(s.device, PIN, 0x11000, 2, 3));
	EXPECT_OK(ioas_unmap_n(s.ctx, s.ioas, 0x20000, PAGE));
	EXPECT_EQ(0, reg(s.device, NOTICES));
	EXPECT_OK(ioas_unmap_n(s.ctx, s.ioas, 0x10000, 4 * PAGE));
	EXPECT_EQ(1, reg(s.device, NOTICES));
	EXPECT_EQ(0x10000, reg(s.device, NOTICE_IOVA));
	EXPECT_EQ(4 * PAGE, reg(s.device, NOTICE_LENGTH));
	EXPECT_EQ(0, reg(s.device, PINNED));
	EXPECT_EQ(-ENOENT, command(s.device, PIN, 0x11000, 1, 3));
}

TEST(soft_leave, "30:IFD-181", "another ATTACH, DETACH and the last close take all pins; the address space can go")
{
	struct soft s = soft_attached("soft0"), t;
	uint32_t other = ioas_alloc(s.ctx);

	mapped(&s, 2, 0);
	EXPECT_EQ(2, command(s.device, PIN, 0, 2, 3));
	EXPECT_OK(cdev_attach_to(s.device, other));
	EXPECT_EQ(0, reg(s.device, PINNED));
	EXPECT_OK(destroy(s.ctx, s.ioas));
	s.ioas = other;
	mapped(&s, 2, 0x10000);
	EXPECT_EQ(2, command(s.device, PIN, 0x10000, 2, 3));
	EXPECT_OK(cdev_detach(s.device));
	EXPECT_EQ(0, reg(s.device, PINNED));
	EXPECT_EQ(-ENOENT, command(s.device, PIN, 0x10000, 1, 3));
	EXPECT_OK(cdev_attach_to(s.device, s.ioas));
	EXPECT_EQ(2, command(s.device, PIN, 0x10000, 2, 3));
	EXPECT_OK(x_close(s.device));
	EXPECT_OK(destroy(s.ctx, s.ioas));
	t = soft_attached("soft0");
	EXPECT_EQ(0, reg(t.device, PINNED));
}

TEST(soft_both, "30:IFD-180", "two devices in one address space are asked both")
{
	struct soft s = soft_attached("soft0");
	int o = soft_node("soft1");

	EXPECT_OK(cdev_bind(o, s.ctx));
	EXPECT_OK(cdev_attach_to(o, s.ioas));
	mapped(&s, 1, 0);
	EXPECT_EQ(1, command(s.device, PIN, 0, 1, 3));
	EXPECT_EQ(1, command(s.device, PIN, 0, 1, 3)); /* counts */
	EXPECT_EQ(1, command(o, PIN, 0, 1, 1));
	EXPECT_OK(ioas_unmap_n(s.ctx, s.ioas, 0, PAGE));
	EXPECT_EQ(0, reg(s.device, PINNED));
	EXPECT_EQ(0, reg(o, PINNED));
}

TEST(soft_container, "10:CMP-01", "an iommufd as the container of an emulated device's group leads to its compat IOAS")
{
	int group, ctx, device;
	char path[64], *p = ram(PAGE), got[8];

	snprintf(path, sizeof(path), "/dev/vfio/%d", soft_group("soft0"));
	group = EXPECT_OK(x_open(path, O_RDWR));
	ctx = iommu_open();
	EXPECT_OK(x_ioctl(group, VFIO_GROUP_SET_CONTAINER, &ctx));
	device = EXPECT_OK(x_ioctl(group, VFIO_GROUP_GET_DEVICE_FD, "soft0"));
	EXPECT_OK(map_dma(ctx, p, 0x10000, PAGE, VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE));
	memcpy(p, "compat", 7);
	EXPECT_EQ(1, command(device, PIN, 0x10000, 1, 3));
	EXPECT_EQ(0, command(device, COPY_IN, 0x10000, 8, 0));
	EXPECT_EQ(8, x_pread(device, got, 8, DATA));
	EXPECT(strcmp(got, "compat") == 0);
	EXPECT_OK(unmap_dma(ctx, 0x10000, PAGE, NULL));
	EXPECT_EQ(1, reg(device, NOTICES));
}

