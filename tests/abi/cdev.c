/* SPDX-License-Identifier: MIT */
/* Devices by their own nodes: BIND_IOMMUFD, ATTACH, DETACH; and a group whose container is an iommufd. */
#include "cdev.h"

#define EDU_BUFFER 0x40000u
#define CLOSED     1000 /* no descriptor */

/* A bound edu: its registers, a bus master. */
static volatile uint32_t *edu_begin(int device)
{
	volatile uint32_t *bar = x_mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_SHARED, device, REGION(0));

	EXPECT(bar != MAP_FAILED);
	config_write(device, 4, 2, config_read(device, 4, 2) | 6);
	return bar;
}

/* Does the edu move a word from one IOVA to another? It cannot say that it did not. */
static bool moves(volatile uint32_t *bar, volatile uint32_t *from, uint64_t src, volatile uint32_t *to, uint64_t dst)
{
	static uint32_t word = 0x1234;

	*from = ++word;
	*to = 0;
	edu_dma(bar, src, EDU_BUFFER, 4, 0);
	edu_dma(bar, EDU_BUFFER, dst, 4, 1);
	return *to == word;
}

/* ---- before BIND ---- */

TEST(unbound, "10:CDV-01 30:IFD-119 20:DEV-09", "a device's own node grants nothing: every request, read, write and mmap is EINVAL")
{
	int d = cdev_take(EDU);
	struct vfio_device_info i = { .argsz = sizeof(i) };
	char c[4] = { 0 };

	EXPECT_ERR(EINVAL, x_ioctl(d, VFIO_DEVICE_GET_INFO, &i));
	EXPECT_ERR(EINVAL, x_ioctl(d, VFIO_DEVICE_RESET, NULL));
	EXPECT_ERR(EINVAL, x_ioctl(d, VFIO_IO(90), NULL));
	EXPECT_ERR(EINVAL, cdev_attach_to(d, 1));
	EXPECT_ERR(EINVAL, cdev_detach(d));
	EXPECT_ERR(EINVAL, x_pread(d, c, 4, REGION(7)));
	EXPECT_ERR(EINVAL, x_pwrite(d, c, 4, REGION(7) + 0x3c));
	errno = 0;
	EXPECT(x_mmap(NULL, 0x1000, PROT_READ, MAP_SHARED, d, REGION(0)) == MAP_FAILED);
	EXPECT_EQ(EINVAL, errno);
}

TEST(node, "10:SYS-09", "the node is a character device whose number sysfs tells; it opens more than once, beside the group's")
{
	char path[128], want[32], *names;
	struct stat st;

	cdev_take(EDU);
	cdev_take(EDU);
	EXPECT_OK(open_group(EDU));
	names = x_list("/sys/bus/pci/devices/" EDU "/vfio-dev");
	names[strcspn(names, "\n")] = 0;
	snprintf(path, sizeof(path), "/dev/vfio/devices/%s", names);
	EXPECT_OK(x_stat(path, &st));
	EXPECT(S_ISCHR(st.st_mode));
	EXPECT_EQ(0600, st.st_mode & 0777);
	snprintf(want, sizeof(want), "%u:%u", (unsigned)(st.st_rdev >> 8 & 0xfff), (unsigned)(st.st_rdev & 0xff));
	snprintf(path, sizeof(path), "/sys/class/vfio-dev/%s/dev", names);
	free(names);
	EXPECT(strcmp(sys_read(path), want) == 0);
}

/* ---- BIND ---- */

TEST(bind_argsz, "10:CDV-02 30:IFD-132", "BIND with an argsz below 16 is EINVAL, with something in what is behind 24 bytes E2BIG")
{
	struct { struct vfio_device_bind_iommufd b; uint64_t more; } x = { .b.iommufd = iommu_open() };
	int d = cdev_take(EDU);

	for (x.b.argsz = 0; x.b.argsz < 16; x.b.argsz++)
		EXPECT_ERR(EINVAL, x_ioctl(d, VFIO_DEVICE_BIND_IOMMUFD, &x));
	x.b.argsz = 32;
	x.more = 1;
	EXPECT_ERR(E2BIG, x_ioctl(d, VFIO_DEVICE_BIND_IOMMUFD, &x));
	EXPECT_ERR(EFAULT, x_ioctl(d, VFIO_DEVICE_BIND_IOMMUFD, NULL));
	x.more = 0;
	EXPECT_OK(x_ioctl(d, VFIO_DEVICE_BIND_IOMMUFD, &x));
	EXPECT_EQ(1, x.b.out_devid);
}

TEST(bind_short, "10:CDV-02", "BIND with the 16 bytes it had at first is enough")
{
	int d = cdev_take(EDU);

	EXPECT_OK(cdev_bind_flags(d, iommu_open(), 16, 0, NULL));
}

TEST(bind_iommufd, "10:CDV-03 10:CDV-04 30:IFD-130 30:IFD-132 20:DEV-14", "BIND to a negative number or with an unknown flag is EINVAL, a closed one EBADF, another file EBADFD")
{
	int d = cdev_take(EDU), ctx = iommu_open(), other = EXPECT_OK(x_open("/dev/vfio/vfio", O_RDWR));

	EXPECT_ERR(EINVAL, cdev_bind(d, -1));
	EXPECT_ERR(EINVAL, cdev_bind_flags(d, ctx, 24, 2, NULL));
	EXPECT_ERR(EINVAL, cdev_bind_flags(d, ctx, 24, 0x80000000, NULL));
	EXPECT_ERR(EBADFD, cdev_bind(d, other));
	EXPECT_ERR(EBADFD, cdev_bind(d, d));
	EXPECT_ERR(EBADF, cdev_bind(d, CLOSED));
	EXPECT_OK(cdev_bind(d, ctx));
}

TEST(bind_twice, "10:CDV-05 10:CDV-06 30:IFD-131 20:DEV-10 20:DEV-11", "a device is bound once: again by the same file or by another one is EINVAL")
{
	int d = cdev_take(EDU), other = cdev_take(EDU), ctx = iommu_open();

	EXPECT_OK(cdev_bind(d, ctx));
	EXPECT_ERR(EINVAL, cdev_bind(d, ctx));
	EXPECT_ERR(EINVAL, cdev_bind(d, iommu_open()));
	EXPECT_ERR(EINVAL, cdev_bind(other, ctx));
	EXPECT_OK(x_close(d));
	EXPECT_OK(cdev_bind(other, ctx));
}

TEST(bind_group, "10:CDV-07 10:CDV-08 10:GRP-18 30:IFD-125 20:DEV-13", "BIND while the group is open is EBUSY, opening the group of a bound device too; a group's file is not bound")
{
	int d = cdev_take(EDU), ctx = iommu_open(), g = EXPECT_OK(open_group(EDU));
	struct setup s;

	EXPECT_ERR(EBUSY, cdev_bind(d, ctx));
	EXPECT_OK(x_close(g));
	EXPECT_OK(cdev_bind(d, ctx));
	EXPECT_ERR(EBUSY, open_group(EDU));
	EXPECT_OK(x_close(d));
	s = open_device(EDU);
	EXPECT_ERR(EINVAL, cdev_bind(s.device, ctx));
	EXPECT_ERR(ENOTTY, cdev_attach_to(s.device, 1));
	EXPECT_ERR(ENOTTY, cdev_detach(s.device));
}

TEST(bind_owner, "10:CDV-09 10:CDV-10 30:IFD-121 30:IFD-122 10:OWN-04 10:OWN-05 10:OWN-12", "a group belongs to one iommufd, and to none while a kernel driver of it does DMA: EPERM")
{
	int d, e, ctx = iommu_open();

	bind_host(NVME_MATE);
	d = cdev_take(EDU_SHARED);
	EXPECT_ERR(EPERM, cdev_bind(d, ctx));
	bind_vfio(NVME_MATE);
	e = cdev_take(NVME_MATE);
	EXPECT_OK(cdev_bind(d, ctx));
	EXPECT_ERR(EPERM, cdev_bind(e, iommu_open()));
	EXPECT_OK(cdev_bind(e, ctx));
	EXPECT_OK(x_close(d));
	EXPECT_ERR(EPERM, cdev_bind(cdev_take(EDU_SHARED), iommu_open()));
}

TEST(bind_token, "10:CDV-19 20:DEV-15", "a token for a plain device is EINVAL; a zero one without the flag is none")
{
	struct vfio_device_bind_iommufd b = { .argsz = sizeof(b), .flags = VFIO_DEVICE_BIND_FLAG_TOKEN, .iommufd = iommu_open() };
	uint8_t uuid[16] = { 0 };
	int d = cdev_take(EDU);

	b.token_uuid_ptr = (uintptr_t)uuid;
	EXPECT_ERR(EINVAL, x_ioctl(d, VFIO_DEVICE_BIND_IOMMUFD, &b));
	b.token_uuid_ptr = 8;
	EXPECT_ERR(EFAULT, x_ioctl(d, VFIO_DEVICE_BIND_IOMMUFD, &b));
	b.flags = 0;
	b.token_uuid_ptr = 0;
	EXPECT_OK(x_ioctl(d, VFIO_DEVICE_BIND_IOMMUFD, &b));
}

TEST(bind_ids, "10:CDV-12 30:IFD-134 30:IFD-019 30:IFD-020 30:IFD-022", "the first object of a context has id 1; ATTACH of an address space tells the table it made")
{
	int d = cdev_take(EDU), ctx = iommu_open();
	uint32_t id, pt;

	EXPECT_OK(cdev_bind_flags(d, ctx, 24, 0, &id));
	EXPECT_EQ(1, id);
	pt = ioas_alloc(ctx);
	EXPECT_EQ(2, pt);
	EXPECT_OK(cdev_attach(d, &pt));
	EXPECT_EQ(3, pt);
	EXPECT_ERR(EBUSY, destroy(ctx, 1));
	EXPECT_ERR(EBUSY, destroy(ctx, 2));
	EXPECT_ERR(EBUSY, destroy(ctx, 3));
	EXPECT_OK(cdev_detach(d));
	EXPECT_ERR(ENOENT, destroy(ctx, 3));
	EXPECT_OK(destroy(ctx, 2));
	EXPECT_OK(x_close(d));
	EXPECT_ERR(ENOENT, destroy(ctx, 1));
}

TEST(bind_mates, "30:IFD-123 30:IFD-124 30:IFD-126", "a driverless mate is harmless, a kernel driver for it is refused while the device is bound, and not afterwards")
{
	int d, ctx = iommu_open();

	bind_host(NVME_MATE);
	EXPECT_OK(sys_write("/sys/bus/pci/devices/" NVME_MATE "/driver/unbind", NVME_MATE));
	d = cdev_take(EDU_SHARED);
	EXPECT_OK(cdev_bind(d, ctx));
	EXPECT_ERR(EBUSY, sys_write("/sys/bus/pci/drivers/nvme/bind", NVME_MATE));
	EXPECT_OK(sys_write("/sys/bus/pci/devices/" NVME_MATE "/driver_override", "pci-stub"));
	EXPECT_OK(sys_write("/sys/bus/pci/drivers_probe", NVME_MATE));
	EXPECT_OK(sys_write("/sys/bus/pci/drivers/pci-stub/unbind", NVME_MATE));
	EXPECT_OK(sys_write("/sys/bus/pci/devices/" NVME_MATE "/driver_override", "\n"));
	EXPECT_OK(x_close(d));
	EXPECT_OK(sys_write("/sys/bus/pci/drivers/nvme/bind", NVME_MATE));
}

TEST(bind_container, "30:IFD-128", "a group that a container holds cannot be bound, nor its mates: EBUSY; nor can it join one while it is bound")
{
	int d, ctx = iommu_open(), c = EXPECT_OK(x_open("/dev/vfio/vfio", O_RDWR)), g;
	struct setup s;

	bind_vfio(NVME_MATE);
	s = open_device(EDU_SHARED);
	d = cdev_take(EDU_SHARED);
	EXPECT_ERR(EBUSY, cdev_bind(d, ctx));
	EXPECT_ERR(EBUSY, cdev_bind(cdev_take(NVME_MATE), ctx));
	EXPECT_OK(x_close(s.group));
	EXPECT_ERR(EBUSY, cdev_bind(d, ctx));
	EXPECT_OK(x_close(s.device));
	EXPECT_OK(cdev_bind(d, ctx));
	EXPECT_ERR(EBUSY, open_group(EDU_SHARED));
	EXPECT_OK(x_close(d));
	g = EXPECT_OK(open_group(EDU_SHARED));
	EXPECT_OK(x_ioctl(g, VFIO_GROUP_SET_CONTAINER, &c));
}

TEST(unmapped_last, "30:IFD-127", "a mapped BAR keeps a device bound when its file is closed, until it is unmapped")
{
	int d = cdev_take(EDU), other = cdev_take(EDU), ctx = iommu_open();
	volatile uint32_t *bar;

	EXPECT_OK(cdev_bind(d, ctx));
	bar = x_mmap(NULL, PAGE, PROT_READ, MAP_SHARED, d, REGION(0));
	EXPECT(bar != MAP_FAILED);
	EXPECT_OK(x_close(d));
	EXPECT_EQ(0x010000ed, bar[0]);
	EXPECT_ERR(EINVAL, cdev_bind(other, ctx));
	EXPECT_OK(x_munmap((void *)bar, PAGE));
	EXPECT_OK(cdev_bind(other, ctx));
}

/* ---- ATTACH and DETACH ---- */

TEST(attach_args, "10:CDV-14 10:CDV-15 10:CDV-16 30:IFD-136", "ATTACH checks its arguments and the id; DETACH of what is not attached is fine")
{
	struct vfio_device_attach_iommufd_pt a = { .pt_id = 1 };
	struct vfio_device_detach_iommufd_pt x = { 0 };
	int d = cdev_take(EDU), ctx = iommu_open();
	uint32_t id;

	EXPECT_OK(cdev_bind_flags(d, ctx, 24, 0, &id));
	for (a.argsz = 0; a.argsz < 12; a.argsz++)
		EXPECT_ERR(EINVAL, x_ioctl(d, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &a));
	for (x.argsz = 0; x.argsz < 8; x.argsz++)
		EXPECT_ERR(EINVAL, x_ioctl(d, VFIO_DEVICE_DETACH_IOMMUFD_PT, &x));
	EXPECT_ERR(EFAULT, x_ioctl(d, VFIO_DEVICE_ATTACH_IOMMUFD_PT, NULL));
	a.flags = 2;
	EXPECT_ERR(EINVAL, x_ioctl(d, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &a));
	x.flags = 2;
	EXPECT_ERR(EINVAL, x_ioctl(d, VFIO_DEVICE_DETACH_IOMMUFD_PT, &x));
	a.flags = VFIO_DEVICE_ATTACH_PASID;
	EXPECT_ERR(EINVAL, x_ioctl(d, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &a));
	EXPECT_ERR(ENOENT, cdev_attach_to(d, 99));
	EXPECT_ERR(ENOENT, cdev_attach_to(d, 0));
	EXPECT_ERR(EINVAL, cdev_attach_to(d, id));
	EXPECT_OK(cdev_detach(d));
	x.flags = 0;
	EXPECT_OK(x_ioctl(d, VFIO_DEVICE_DETACH_IOMMUFD_PT, &x));
}

TEST(blocked, "10:CDV-11 30:IFD-120 30:IFD-139 10:OWN-13", "a bound device reaches nothing before it is attached, nor after it is detached")
{
	int d = cdev_take(EDU), ctx = iommu_open();
	volatile uint32_t *bar, *p = ram(PAGE), *q = ram(PAGE);
	uint32_t id;

	EXPECT_OK(cdev_bind(d, ctx));
	id = ioas_alloc(ctx);
	EXPECT_OK(ioas_map_at(ctx, id, (void *)p, PAGE, 0x10000));
	EXPECT_OK(ioas_map_at(ctx, id, (void *)q, PAGE, 0x20000));
	bar = edu_begin(d);
	EXPECT(!moves(bar, p, 0x10000, q, 0x20000));
	EXPECT_OK(cdev_attach_to(d, id));
	EXPECT(moves(bar, p, 0x10000, q, 0x20000));
	EXPECT_OK(cdev_detach(d));
	EXPECT(!moves(bar, p, 0x10000, q, 0x20000));
}

TEST(replace, "10:CDV-13 30:IFD-137", "ATTACH of an attached device replaces: what both spaces map alike goes on being reached")
{
	int d = cdev_take(EDU), ctx = iommu_open();
	volatile uint32_t *bar, *p = ram(PAGE), *q = ram(PAGE), *r = ram(PAGE);
	uint32_t a, b, pt;

	EXPECT_OK(cdev_bind(d, ctx));
	a = ioas_alloc(ctx);
	b = ioas_alloc(ctx);
	EXPECT_OK(ioas_map_at(ctx, a, (void *)p, PAGE, 0x10000));
	EXPECT_OK(ioas_map_at(ctx, a, (void *)q, PAGE, 0x20000));
	EXPECT_OK(ioas_map_at(ctx, b, (void *)p, PAGE, 0x10000));
	EXPECT_OK(ioas_map_at(ctx, b, (void *)r, PAGE, 0x20000));
	bar = edu_begin(d);
	pt = a;
	EXPECT_OK(cdev_attach(d, &pt));
	EXPECT(moves(bar, p, 0x10000, q, 0x20000));
	EXPECT_OK(cdev_attach_to(d, b));
	EXPECT(moves(bar, p, 0x10000, r, 0x20000));
	EXPECT_ERR(ENOENT, cdev_attach_to(d, 99));
	EXPECT_ERR(ENOENT, destroy(ctx, pt));
	EXPECT(moves(bar, p, 0x10000, r, 0x20000));
	EXPECT_OK(destroy(ctx, a));
	EXPECT_OK(cdev_attach_to(d, b));
	EXPECT(moves(bar, p, 0x10000, r, 0x20000));
}

TEST(siblings, "10:CDV-17 30:IFD-140 30:IFD-141", "all of a group have one table: another is EINVAL for a sibling's first ATTACH, and a replace moves all")
{
	int d, e, ctx = iommu_open();
	uint32_t a, b, pa, pb;

	bind_vfio(NVME_MATE);
	d = cdev_take(EDU_SHARED);
	e = cdev_take(NVME_MATE);
	EXPECT_OK(cdev_bind(d, ctx));
	EXPECT_OK(cdev_bind(e, ctx));
	pa = a = ioas_alloc(ctx);
	pb = b = ioas_alloc(ctx);
	EXPECT_OK(cdev_attach(d, &pa));
	EXPECT_ERR(EINVAL, cdev_attach_to(e, b));
	EXPECT_OK(cdev_attach_to(e, a));
	EXPECT_OK(cdev_attach(e, &pb));
	EXPECT_ERR(ENOENT, destroy(ctx, pa));
	EXPECT_OK(cdev_detach(e));
	EXPECT_ERR(EBUSY, destroy(ctx, pb));
	EXPECT_OK(cdev_detach(d));
	EXPECT_ERR(ENOENT, destroy(ctx, pb));
}

TEST(shared_table, "10:CDV-12 30:IFD-135", "compatible devices of different groups in one address space share one table")
{
	int d = cdev_take(EDU), e = cdev_take(IGB), ctx = iommu_open();
	uint32_t id = ioas_alloc(ctx), pd = id, pe = id;

	EXPECT_OK(cdev_bind(d, ctx));
	EXPECT_OK(cdev_bind(e, ctx));
	EXPECT_OK(cdev_attach(d, &pd));
	EXPECT_OK(cdev_attach(e, &pe));
	EXPECT_EQ(pd, pe);
}

TEST(outlives, "10:CDV-18 30:IFD-023", "DMA goes on when the iommufd is closed, until the device is")
{
	int d = cdev_take(EDU), ctx = iommu_open();
	volatile uint32_t *bar, *p = ram(PAGE), *q = ram(PAGE);
	uint32_t id = ioas_alloc(ctx);

	EXPECT_OK(cdev_bind(d, ctx));
	EXPECT_OK(ioas_map_at(ctx, id, (void *)p, PAGE, 0x10000));
	EXPECT_OK(ioas_map_at(ctx, id, (void *)q, PAGE, 0x20000));
	EXPECT_OK(cdev_attach_to(d, id));
	bar = edu_begin(d);
	EXPECT_OK(x_close(ctx));
	EXPECT(moves(bar, p, 0x10000, q, 0x20000));
	EXPECT_ERR(EINVAL, cdev_bind(cdev_take(EDU), iommu_open()));
}

/* ---- a group with an iommufd as its container ---- */

static int get_device(int group, const char *bdf)
{
	return x_ioctl(group, VFIO_GROUP_GET_DEVICE_FD, (void *)(uintptr_t)bdf);
}

static int compat_ioas(int ctx, uint32_t *id)
{
	struct iommu_vfio_ioas v = { .size = sizeof(v), .op = IOMMU_VFIO_IOAS_GET };
	int rc = x_ioctl(ctx, IOMMU_VFIO_IOAS, &v);

	*id = v.ioas_id;
	return rc;
}

TEST(as_container, "10:CMP-01 30:IFD-117", "an iommufd can be a group's container: it gets an address space, in which the device's DMA is")
{
	volatile uint32_t *bar, *p = ram(PAGE), *q = ram(PAGE);
	int g, ctx = iommu_open(), d;
	uint32_t id;

	EXPECT_ERR(ENODEV, compat_ioas(ctx, &id));
	g = EXPECT_OK(open_group(EDU));
	EXPECT_EQ(1, group_flags(g));
	EXPECT_OK(set_container(g, ctx));
	EXPECT_EQ(3, group_flags(g));
	EXPECT_ERR(EINVAL, set_container(g, ctx));
	EXPECT_OK(compat_ioas(ctx, &id));
	EXPECT_EQ(1, id);
	EXPECT_EQ(0, x_ioctl(ctx, VFIO_GET_API_VERSION, NULL));
	d = EXPECT_OK(get_device(g, EDU));
	EXPECT_OK(map_dma(ctx, (void *)p, 0x10000, PAGE, 3));
	EXPECT_OK(ioas_map_at(ctx, id, (void *)q, PAGE, 0x20000));
	bar = edu_begin(d);
	EXPECT(moves(bar, p, 0x10000, q, 0x20000));
	EXPECT_ERR(EINVAL, cdev_bind(d, ctx));
	EXPECT_ERR(ENOTTY, cdev_attach_to(d, id));
}

TEST(not_viable, "10:CMP-02 30:IFD-129", "SET_CONTAINER to an iommufd claims nothing: a group that is not viable has status 3, its device EPERM")
{
	int g, ctx = iommu_open();

	bind_host(NVME_MATE);
	g = EXPECT_OK(open_group(EDU_SHARED));
	EXPECT_EQ(0, group_flags(g));
	EXPECT_OK(set_container(g, ctx));
	EXPECT_EQ(3, group_flags(g));
	EXPECT_ERR(EPERM, get_device(g, EDU_SHARED));
	bind_vfio(NVME_MATE);
	EXPECT_OK(get_device(g, EDU_SHARED));
}

TEST(group_again, "10:LIF-08 10:LIF-09", "with an iommufd the group can leave it, or be closed and opened, while a device is open")
{
	int g = EXPECT_OK(open_group(EDU)), ctx = iommu_open(), d;

	EXPECT_OK(set_container(g, ctx));
	d = EXPECT_OK(get_device(g, EDU));
	EXPECT_OK(x_ioctl(g, VFIO_GROUP_UNSET_CONTAINER, NULL));
	EXPECT_ERR(EINVAL, x_ioctl(g, VFIO_GROUP_UNSET_CONTAINER, NULL));
	EXPECT_ERR(EINVAL, get_device(g, EDU));
	EXPECT_EQ(0x11e81234, config_read(d, 0, 4));
	EXPECT_OK(x_close(g));
	g = EXPECT_OK(open_group(EDU));
	EXPECT_ERR(EINVAL, get_device(g, EDU));
	EXPECT_OK(set_container(g, ctx));
	EXPECT_OK(get_device(g, EDU));
	EXPECT_EQ(0x11e81234, config_read(d, 0, 4));
}

TEST(compat_gone, "10:CMP-04", "without its address space, an iommufd that is a container opens no device: ENODEV")
{
	int g = EXPECT_OK(open_group(EDU)), ctx = iommu_open();
	struct iommu_vfio_ioas v = { .size = sizeof(v), .op = IOMMU_VFIO_IOAS_CLEAR };

	EXPECT_OK(set_container(g, ctx));
	EXPECT_OK(x_ioctl(ctx, VFIO_SET_IOMMU, (void *)(uintptr_t)VFIO_TYPE1v2_IOMMU));
	EXPECT_OK(x_ioctl(ctx, VFIO_SET_IOMMU, (void *)(uintptr_t)VFIO_TYPE1_IOMMU));
	EXPECT_ERR(EINVAL, x_ioctl(ctx, VFIO_SET_IOMMU, (void *)7ul));
	EXPECT_OK(x_ioctl(ctx, IOMMU_VFIO_IOAS, &v));
	EXPECT_ERR(ENODEV, x_ioctl(ctx, VFIO_SET_IOMMU, (void *)(uintptr_t)VFIO_TYPE1v2_IOMMU));
	EXPECT_ERR(ENODEV, get_device(g, EDU));
}

TEST(container_fds, "30:IFD-118", "SET_CONTAINER knows containers and iommufds only, and once")
{
	int g = EXPECT_OK(open_group(EDU)), ctx = iommu_open();

	EXPECT_ERR(EBADFD, set_container(g, g));
	EXPECT_ERR(EBADF, set_container(g, CLOSED));
	EXPECT_ERR(EBADF, set_container(g, -1));
	EXPECT_OK(set_container(g, ctx));
	EXPECT_ERR(EINVAL, set_container(g, iommu_open()));
	EXPECT_ERR(EINVAL, set_container(g, EXPECT_OK(x_open("/dev/vfio/vfio", O_RDWR))));
}

/* ---- hot reset ---- */

TEST(hot_reset, "20:RST-07 20:RST-10", "a device bound by its own node proves a hot reset by its iommufd: ids, no group files")
{
	struct { struct vfio_pci_hot_reset_info h; struct vfio_pci_dependent_device d[8]; } i = { .h.argsz = sizeof(i) };
	struct { struct vfio_pci_hot_reset h; int32_t fd; } r = { .h.argsz = sizeof(r), .h.count = 1 };
	int d = cdev_take(IGB), ctx = iommu_open();
	uint32_t id;

	EXPECT_OK(cdev_bind_flags(d, ctx, 24, 0, &id));
	EXPECT_OK(x_ioctl(d, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &i));
	EXPECT_EQ(1, i.h.count);
	EXPECT_EQ(VFIO_PCI_HOT_RESET_FLAG_DEV_ID | VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED, i.h.flags);
	EXPECT_EQ(id, i.d[0].devid);
	r.fd = ctx;
	EXPECT_ERR(EINVAL, x_ioctl(d, VFIO_DEVICE_PCI_HOT_RESET, &r));
	r.h.count = 0;
	EXPECT_OK(x_ioctl(d, VFIO_DEVICE_PCI_HOT_RESET, &r));
}
