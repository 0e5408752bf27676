/* SPDX-License-Identifier: MIT */
/*
 * Groups behind IOMMUs that differ, in one container (spec 10, 4.7 and 4.8); tests/machines/attach.yaml has them, and
 * noremap.yaml has one that does not remap interrupts. A PC that QEMU makes has one IOMMU, so a real Linux can show
 * the second only. At the end, what iommufd says of it.
 */
#include "cdev.h"

#define PLAIN     EDU            /* 48 bits, enforces coherency */
#define NARROW    "0000:00:04.0" /* 39 bits, 40000000-4fffffff reserved */
#define WEAK      "0000:00:05.0" /* does not enforce coherency */
#define SNOOPLESS "0000:00:06.0" /* not coherent at all */
#define MIXED     "0000:00:07.0" /* as PLAIN, but its group has a member without interrupt remapping */
#define DMA_RW    (VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)
#define UNSAFE    "/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts"

static int unset(int group)
{
	return x_ioctl(group, VFIO_GROUP_UNSET_CONTAINER, NULL);
}

/* A container with the group of @bdf. */
static int container_of_group(const char *bdf)
{
	int g = EXPECT_OK(open_group(bdf)), c = EXPECT_OK(x_open("/dev/vfio/vfio", O_RDWR));

	EXPECT_OK(set_container(g, c));
	EXPECT_OK(set_iommu(c, VFIO_TYPE1v2_IOMMU));
	return c;
}

static int map_page(int container, uint64_t iova)
{
	return map_dma(container, test_memory(PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE), iova, PAGE, DMA_RW);
}

/* The ranges that may be mapped: how many, and the ends of all. */
static unsigned valid_ranges(int container, struct vfio_iova_range r[8])
{
	struct {
		struct vfio_iommu_type1_info info;
		char caps[512];
	} b = { .info.argsz = sizeof(b) };

	EXPECT_OK(x_ioctl(container, VFIO_IOMMU_GET_INFO, &b));
	for (uint32_t at = b.info.cap_offset; at;) {
		struct vfio_iommu_type1_info_cap_iova_range *c = (void *)((char *)&b + at);

		if (c->header.id == VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE) {
			EXPECT(c->nr_iovas <= 8);
			memcpy(r, c->iova_ranges, c->nr_iovas * sizeof(*r));
			return c->nr_iovas;
		}
		at = c->header.next;
	}
	return 0;
}

/* ---- ranges ---- */

TEST_ON("attach", reserved_region, "10:ATT-02 10:ATT-09", "a group does not join where its reserved region is mapped already")
{
	int c = container_of_group(PLAIN), g = EXPECT_OK(open_group(NARROW));

	EXPECT_OK(map_page(c, 0x4ffff000));
	EXPECT_OK(map_page(c, 0x50000000));
	EXPECT_ERR(EINVAL, set_container(g, c));
	EXPECT_EQ(VFIO_GROUP_FLAGS_VIABLE, group_flags(g));
	EXPECT_OK(map_page(c, 0x40000000)); /* nothing has changed */
	EXPECT_OK(unmap_dma(c, 0x40000000, 0x10000000, NULL));
	EXPECT_OK(set_container(g, c));
	EXPECT_ERR(EINVAL, map_page(c, 0x4ffff000));
	EXPECT_ERR(EEXIST, map_page(c, 0x50000000));
}

TEST_ON("attach", narrower, "10:ATT-03 10:ATT-09", "a group does not join when a mapping lies beyond what its IOMMU translates")
{
	int c = container_of_group(PLAIN), g = EXPECT_OK(open_group(NARROW));

	EXPECT_OK(map_page(c, 1ull << 39));
	EXPECT_ERR(EINVAL, set_container(g, c));
	EXPECT_EQ(VFIO_GROUP_FLAGS_VIABLE, group_flags(g));
	EXPECT_OK(map_page(c, 1ull << 40));
	EXPECT_OK(unmap_dma(c, 1ull << 39, 1ull << 41, NULL));
	EXPECT_OK(map_page(c, (1ull << 39) - PAGE));
	EXPECT_OK(set_container(g, c));
	EXPECT_ERR(EINVAL, map_page(c, 1ull << 39));
}

TEST_ON("attach", ranges, "10:ATT-08", "a group narrows what may be mapped while it is in the container")
{
	int c = container_of_group(PLAIN), g = EXPECT_OK(open_group(NARROW));
	struct vfio_iova_range r[8];

	EXPECT_EQ(2, valid_ranges(c, r));
	EXPECT_OK(set_container(g, c));
	EXPECT_EQ(3, valid_ranges(c, r));
	EXPECT_EQ(0x3fffffff, r[0].end);
	EXPECT_EQ(0x50000000, r[1].start);
	EXPECT_EQ((1ull << 39) - 1, r[2].end);
	EXPECT_OK(map_page(c, 0x1000));
	EXPECT_OK(unset(g));
	EXPECT_EQ(2, valid_ranges(c, r));
	EXPECT_EQ(0, r[0].start);
	EXPECT_EQ(0xfedfffff, r[0].end);
	EXPECT_EQ(0xfef00000, r[1].start);
	EXPECT_EQ((1ull << 48) - 1, r[1].end);
	EXPECT_OK(map_page(c, 0x40000000));
	EXPECT_OK(map_page(c, 1ull << 47));
	EXPECT_ERR(EEXIST, map_page(c, 0x1000)); /* mappings stay */
}

/* ---- coherency ---- */

static int enforces(int container)
{
	return x_ioctl(container, VFIO_CHECK_EXTENSION, (void *)VFIO_DMA_CC_IOMMU);
}

TEST_ON("attach", coherency, "10:ATT-07", "DMA_CC is 1 while every domain enforces coherency")
{
	int c = container_of_group(PLAIN), narrow = EXPECT_OK(open_group(NARROW)), weak = EXPECT_OK(open_group(WEAK));

	EXPECT_EQ(1, enforces(c));
	EXPECT_OK(set_container(narrow, c));
	EXPECT_EQ(1, enforces(c));
	EXPECT_OK(set_container(weak, c));
	EXPECT_EQ(0, enforces(c));
	EXPECT_OK(unset(narrow));
	EXPECT_EQ(0, enforces(c));
	EXPECT_OK(unset(weak));
	EXPECT_EQ(1, enforces(c));
}

/* Both see what is mapped, before and after: whatever domains there are. */
TEST_ON("attach", replay, "10:ATT-04", "a group behind another IOMMU has the mappings of the container")
{
	struct setup s = open_device(PLAIN), o = { .container = s.container };
	uint32_t *ram = test_memory(2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	volatile uint32_t *bar;

	EXPECT_OK(map_dma(s.container, ram, 0x100000, PAGE, DMA_RW));
	o.group = EXPECT_OK(open_group(WEAK));
	EXPECT_OK(set_container(o.group, o.container));
	o.device = EXPECT_OK(x_ioctl(o.group, VFIO_GROUP_GET_DEVICE_FD, WEAK));
	EXPECT_OK(map_dma(s.container, ram + 1024, 0x200000, PAGE, DMA_RW));
	bar = x_mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, o.device, REGION(0));
	EXPECT((void *)bar != MAP_FAILED);
	config_write(o.device, 4, 2, config_read(o.device, 4, 2) | 4);
	ram[0] = 0x600d600d;
	edu_dma(bar, 0x100000, 0x40000, 4, 0);
	edu_dma(bar, 0x40000, 0x200000, 4, 1);
	EXPECT_EQ(0x600d600d, ((volatile uint32_t *)ram)[1024]);
}

TEST_ON("attach", incoherent, "10:VCO-04", "vfio-pci does not take a function whose IOMMU cannot do coherent DMA: EINVAL")
{
	static const char *const others[] = { PLAIN, NARROW, WEAK, MIXED };
	char *names;

	for (int i = 0; i < 4; i++)
		bind_host(others[i]);
	EXPECT_OK(sys_write("/sys/bus/pci/devices/" SNOOPLESS "/driver_override", "vfio-pci"));
	EXPECT_ERR(EINVAL, sys_write("/sys/bus/pci/drivers/vfio-pci/bind", SNOOPLESS));
	EXPECT_OK(sys_write("/sys/bus/pci/drivers_probe", SNOOPLESS));
	EXPECT(!driver_of(SNOOPLESS));
	EXPECT(!x_list("/sys/bus/pci/devices/" SNOOPLESS "/vfio-dev"));
	bind_vfio(PLAIN);
	names = x_list("/sys/class/vfio-dev");
	EXPECT(names && strcmp(names, "vfio0\n") == 0); /* nothing is left of the attempt, nor its index */
	free(names);
}

/* ---- interrupts ---- */

TEST_ON("attach", unsafe_member, "10:ATT-01", "one member of the group without interrupt remapping is enough for EPERM")
{
	int g = EXPECT_OK(open_group(MIXED)), c = EXPECT_OK(x_open("/dev/vfio/vfio", O_RDWR));

	EXPECT_OK(set_container(g, c));
	EXPECT_ERR(EPERM, set_iommu(c, VFIO_TYPE1v2_IOMMU));
	EXPECT_OK(sys_write(UNSAFE, "Y"));
	EXPECT_OK(set_iommu(c, VFIO_TYPE1v2_IOMMU));
	EXPECT_OK(sys_write(UNSAFE, "N"));
}

TEST_ON("noremap", unsafe_interrupts, "10:ATT-01", "without interrupt remapping SET_IOMMU is EPERM, but for allow_unsafe_interrupts")
{
	int g = EXPECT_OK(open_group(EDU)), c = EXPECT_OK(x_open("/dev/vfio/vfio", O_RDWR));

	EXPECT_OK(sys_write(UNSAFE, "N"));
	EXPECT_OK(set_container(g, c));
	EXPECT_ERR(EPERM, set_iommu(c, VFIO_TYPE1_IOMMU));
	EXPECT_ERR(EPERM, set_iommu(c, VFIO_TYPE1v2_IOMMU));
	EXPECT_ERR(EINVAL, map_page(c, 0x1000)); /* there is still no backend */
	EXPECT_OK(sys_write(UNSAFE, "Y"));
	EXPECT_OK(set_iommu(c, VFIO_TYPE1v2_IOMMU));
	EXPECT_OK(map_page(c, 0x1000));
	EXPECT_OK(sys_write(UNSAFE, "N"));
	EXPECT_OK(map_page(c, 0x2000)); /* who is in stays in */
}

TEST_ON("noremap", unsafe_join, "10:ATT-01 10:ATT-09", "so is SET_CONTAINER when the container has a backend; all stays as it was")
{
	int c, g = EXPECT_OK(open_group(IGB));

	EXPECT_OK(sys_write(UNSAFE, "Y"));
	c = container_of_group(EDU);
	EXPECT_OK(map_page(c, 0x1000));
	EXPECT_OK(sys_write(UNSAFE, "N"));
	EXPECT_ERR(EPERM, set_container(g, c));
	EXPECT_EQ(VFIO_GROUP_FLAGS_VIABLE, group_flags(g));
	EXPECT_OK(map_page(c, 0x2000));
	EXPECT_OK(sys_write(UNSAFE, "Y"));
	EXPECT_OK(set_container(g, c));
	EXPECT_OK(sys_write(UNSAFE, "N"));
}

#define IOMMUFD_UNSAFE "/sys/module/iommufd/parameters/allow_unsafe_interrupts"

TEST_ON("noremap", unsafe_bind, "10:CDV-20 30:IFD-133", "so is BIND, but for iommufd's own allow_unsafe_interrupts")
{
	int d = cdev_take(EDU), ctx = iommu_open();

	EXPECT_OK(sys_write(UNSAFE, "Y"));
	EXPECT_OK(sys_write(IOMMUFD_UNSAFE, "N"));
	EXPECT_ERR(EPERM, cdev_bind(d, ctx));
	EXPECT_OK(sys_write(IOMMUFD_UNSAFE, "Y"));
	EXPECT_OK(cdev_bind(d, ctx));
	EXPECT_OK(sys_write(IOMMUFD_UNSAFE, "N"));
	EXPECT_ERR(EPERM, cdev_bind(cdev_take(IGB), ctx));
	EXPECT_OK(cdev_attach_to(d, ioas_alloc(ctx)));
	EXPECT_OK(sys_write(UNSAFE, "N"));
}
