/* SPDX-License-Identifier: MIT */
/* Resets of one function, and of all that share its bus: what they clear and keep, and who may ask for them. */
#include "cdev.h"
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#define LEFT     "0000:02:00.0" /* two functions of one bus, each in a group of its own */
#define RIGHT    "0000:02:00.1"
#define ONE      "0000:03:00.0" /* likewise, in one group */
#define OTHER    "0000:03:00.1" /* an edu: it has no reset of its own */
#define VF0      "0000:01:10.0"
#define VF1      "0000:01:10.2"
#define REGISTER 0x2800u        /* of an igb: keeps what is a multiple of 256 until it is reset */
#define MARK     0x5a5a0100u
#define CLOSED   699            /* no descriptor */
#define DRIVERS  "/sys/bus/pci/drivers/"

struct info {
	struct vfio_pci_hot_reset_info h;
	struct vfio_pci_dependent_device d[16];
};

static int info_room(int device, struct info *i, uint32_t argsz)
{
	*i = (struct info){ .h = { .argsz = argsz, .flags = 9, .count = 77 } };
	return x_ioctl(device, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, i);
}

static struct info info(int device)
{
	struct info i;

	EXPECT_OK(info_room(device, &i, sizeof(i)));
	return i;
}

/* What is said of a function; it must be there */
static const struct vfio_pci_dependent_device *entry(const struct info *i, unsigned bus, unsigned devfn)
{
	for (uint32_t n = 0; n < i->h.count; n++) {
		if (i->d[n].bus == bus && i->d[n].devfn == devfn && i->d[n].segment == 0)
			return &i->d[n];
	}
	test_fail(__FILE__, __LINE__, "%02x:%02x.%x is not listed", bus, devfn >> 3, devfn & 7);
}

static int hot_reset(int device, uint32_t flags, uint32_t count, const int32_t *fds)
{
	struct {
		struct vfio_pci_hot_reset h;
		int32_t fd[4];
	} r = { .h = { .argsz = sizeof(r), .flags = flags, .count = count } };

	for (uint32_t i = 0; i < count && count <= 4; i++)
		r.fd[i] = fds[i];
	return x_ioctl(device, VFIO_DEVICE_PCI_HOT_RESET, &r);
}

static void mark(int device)
{
	uint32_t v = MARK;

	EXPECT_EQ(4, x_pwrite(device, &v, 4, REGION(0) + REGISTER));
}

static bool marked(int device)
{
	uint32_t v;

	EXPECT_EQ(4, x_pread(device, &v, 4, REGION(0) + REGISTER));
	EXPECT(v == MARK || v == 0);
	return v == MARK;
}

/* LEFT and RIGHT in one container; the group and device of RIGHT in @right */
static struct setup open_both(struct setup *right)
{
	struct setup left;

	bind_vfio(RIGHT);
	left = open_device(LEFT);
	*right = (struct setup){ .container = left.container, .group = EXPECT_OK(open_group(RIGHT)) };
	EXPECT_OK(set_container(right->group, right->container));
	right->device = EXPECT_OK(x_ioctl(right->group, VFIO_GROUP_GET_DEVICE_FD, RIGHT));
	return left;
}

/* ---- one function ---- */

TEST(none, "20:RST-01 20:RST-08", "a function without a reset of its own: RESET is EINVAL; on a root bus there is no hot reset: ENODEV")
{
	struct setup s = open_device(EDU);
	struct info i;

	EXPECT_ERR(EINVAL, x_ioctl(s.device, VFIO_DEVICE_RESET, NULL));
	EXPECT_ERR(ENODEV, info_room(s.device, &i, sizeof(i)));
	EXPECT_ERR(ENODEV, hot_reset(s.device, 0, 1, &s.group));
}

TEST(function, "20:RST-02", "RESET clears the device, and keeps DMA mappings, hooks of interrupts, and the user's config space")
{
	struct setup s = open_device(IGB);
	struct {
		struct vfio_irq_set h;
		int32_t fd;
	} a = { .h = { .argsz = 24, .flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, .index = 2, .count = 1 } };
	int32_t fd = eventfd(0, EFD_NONBLOCK);
	uint64_t n = 0, count = 0;

	memcpy((char *)&a + 20, &fd, 4);
	EXPECT_OK(x_ioctl(s.device, VFIO_DEVICE_SET_IRQS, &a));
	EXPECT_OK(map_dma(s.container, test_memory(PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE), 0x10000, PAGE, 3));
	config_write(s.device, 4, 2, config_read(s.device, 4, 2) | 6);
	config_write(s.device, 0x0c, 1, 0x10);
	config_write(s.device, 0x3c, 1, 0x5a);
	mark(s.device);
	EXPECT(marked(s.device));
	EXPECT_OK(x_ioctl(s.device, VFIO_DEVICE_RESET, NULL));
	EXPECT(!marked(s.device));
	EXPECT_EQ(6, config_read(s.device, 4, 2) & 6);
	EXPECT_EQ(0x10, config_read(s.device, 0x0c, 1));
	EXPECT_EQ(0x5a, config_read(s.device, 0x3c, 1));
	a.h = (struct vfio_irq_set){ .argsz = 20, .flags = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER, .index = 2, .count = 1 };
	EXPECT_OK(x_ioctl(s.device, VFIO_DEVICE_SET_IRQS, &a));
	EXPECT_EQ(8, read(fd, &count, 8));
	EXPECT_EQ(1, count);
	EXPECT_OK(unmap_dma(s.container, 0x10000, PAGE, &n));
	EXPECT_EQ(PAGE, n);
	close(fd);
}

TEST(alone, "20:RST-18", "RESET of one function leaves its neighbour alone")
{
	struct setup right, left = open_both(&right);

	mark(left.device);
	mark(right.device);
	EXPECT_OK(x_ioctl(left.device, VFIO_DEVICE_RESET, NULL));
	EXPECT(!marked(left.device) && marked(right.device));
	mark(left.device);
	EXPECT_OK(x_ioctl(right.device, VFIO_DEVICE_RESET, NULL));
	EXPECT(marked(left.device) && !marked(right.device));
}

TEST(memory_off, "20:MEM-07", "RESET with memory off leaves it off")
{
	struct setup s = open_device(IGB);
	uint32_t command = config_read(s.device, 4, 2), v;

	mark(s.device);
	config_write(s.device, 4, 2, command & ~2u);
	EXPECT_OK(x_ioctl(s.device, VFIO_DEVICE_RESET, NULL));
	EXPECT_EQ(command & ~2u, config_read(s.device, 4, 2));
	EXPECT_ERR(EIO, x_pread(s.device, &v, 4, REGION(0) + REGISTER));
	config_write(s.device, 4, 2, command);
	EXPECT(!marked(s.device));
}

/* ---- access meanwhile ---- */

struct readers {
	int device;
	volatile uint32_t *at;
	atomic_uint calls, loads, wrong;
	atomic_bool over;
};

static void touch(void *arg)
{
	struct readers *r = arg;
	uint32_t v = *r->at;

	if (v != MARK && v != 0)
		atomic_fetch_add(&r->wrong, 1);
}

static void *loads(void *arg)
{
	struct readers *r = arg;

	while (!atomic_load(&r->over)) {
		if (signal_of(touch, r))
			atomic_fetch_add(&r->wrong, 1);
		atomic_fetch_add(&r->loads, 1);
	}
	return NULL;
}

static void *calls(void *arg)
{
	struct readers *r = arg;
	uint32_t v;

	while (!atomic_load(&r->over)) {
		if (x_pread(r->device, &v, 4, REGION(0) + REGISTER) != 4 || (v != MARK && v != 0))
			atomic_fetch_add(&r->wrong, 1);
		atomic_fetch_add(&r->calls, 1);
	}
	return NULL;
}

TEST(meanwhile, "20:MEM-06", "reads and loads while there are resets wait, succeed, and see the device before or after")
{
	struct readers r = { .device = open_device(IGB).device };
	pthread_t thread[2];

	r.at = x_mmap(NULL, PAGE, PROT_READ, MAP_SHARED, r.device, REGION(0) + (REGISTER & ~0xfffu));
	EXPECT((void *)r.at != MAP_FAILED);
	r.at += (REGISTER & 0xfff) / 4;
	EXPECT_EQ(0, pthread_create(&thread[0], NULL, loads, &r));
	EXPECT_EQ(0, pthread_create(&thread[1], NULL, calls, &r));
	for (unsigned i = 0; i < (test_door() == DOOR_HOST ? 10 : 100); i++) {
		unsigned l = atomic_load(&r.loads), c = atomic_load(&r.calls);
		uint32_t v = MARK;

		while (atomic_load(&r.loads) == l || atomic_load(&r.calls) == c)
			sched_yield();
		if (x_pwrite(r.device, &v, 4, REGION(0) + REGISTER) != 4 || x_ioctl(r.device, VFIO_DEVICE_RESET, NULL))
			atomic_fetch_add(&r.wrong, 1);
	}
	atomic_store(&r.over, true);
	pthread_join(thread[0], NULL);
	pthread_join(thread[1], NULL);
	EXPECT_EQ(0, atomic_load(&r.wrong));
	EXPECT(!marked(r.device));
}

/* ---- an unbind that waits ---- */

static void *unbinds(void *arg)
{
	atomic_int *rc = arg;

	atomic_store(rc, sys_write(DRIVERS "vfio-pci/unbind", IGB) < 0 ? errno : 0);
	return NULL;
}

static uint64_t wait_count(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t n;

	EXPECT_EQ(1, poll(&p, 1, 60000));
	return read(fd, &n, 8) == 8 ? n : 0;
}

TEST(unbind_waits, "20:IRQ-38 20:RST-03 10:LIF-02 10:LIF-05", "unbind asks for the device by REQ, at once and again; meanwhile it works, but for RESET and another open")
{
	struct setup s = open_device(IGB);
	struct {
		struct vfio_irq_set h;
		int32_t fd;
	} a = { .h = { .argsz = 24, .flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, .index = 4, .count = 1 } };
	int32_t req = eventfd(0, EFD_NONBLOCK);
	atomic_int rc = -1;
	pthread_t thread;

	memcpy((char *)&a + 20, &req, 4);
	EXPECT_OK(x_ioctl(s.device, VFIO_DEVICE_SET_IRQS, &a));
	EXPECT_EQ(0, pthread_create(&thread, NULL, unbinds, &rc));
	EXPECT_EQ(1, wait_count(req));
	EXPECT_ERR(EAGAIN, x_ioctl(s.device, VFIO_DEVICE_RESET, NULL));
	EXPECT_ERR(ENODEV, x_ioctl(s.group, VFIO_GROUP_GET_DEVICE_FD, IGB));
	mark(s.device);
	EXPECT(marked(s.device));
	EXPECT_EQ(1, wait_count(req));
	EXPECT_EQ(-1, atomic_load(&rc));
	EXPECT_OK(x_close(s.device));
	pthread_join(thread, NULL);
	EXPECT_EQ(0, atomic_load(&rc));
	EXPECT(!driver_of(IGB));
	close(req);
}

/* ---- hot reset by groups ---- */

TEST(info_room, "20:RST-04", "with too little room HOT_RESET_INFO is ENOSPC and tells the count")
{
	struct setup right, left = open_both(&right);
	struct info i;

	for (uint32_t argsz = 0; argsz < 12; argsz++)
		EXPECT_ERR(EINVAL, info_room(left.device, &i, argsz));
	for (uint32_t argsz = 12; argsz < 12 + 16; argsz++) {
		EXPECT_ERR(ENOSPC, info_room(left.device, &i, argsz));
		EXPECT_EQ(2, i.h.count);
		EXPECT_EQ(0, i.h.flags);
	}
	EXPECT_OK(info_room(left.device, &i, 12 + 16));
	EXPECT_EQ(2, i.h.count);
	EXPECT_ERR(EFAULT, x_ioctl(left.device, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, NULL));
}

TEST(info_groups, "20:RST-05 20:RST-06", "it lists every function of the bus by its group, whatever driver it has")
{
	struct setup s;
	struct info i;

	unbind(RIGHT);
	s = open_device(LEFT);
	for (unsigned pass = 0; pass < 3; pass++) {
		i = info(s.device);
		EXPECT_EQ(2, i.h.count);
		EXPECT_EQ(0, i.h.flags);
		EXPECT_EQ(group_of(LEFT), entry(&i, 2, 0)->group_id);
		EXPECT_EQ(group_of(RIGHT), entry(&i, 2, 1)->group_id);
		EXPECT(group_of(LEFT) != group_of(RIGHT));
		if (pass == 0)
			bind_host(RIGHT);
		else
			bind_vfio(RIGHT);
	}
}

TEST(checks, "20:RST-09 20:RST-10 20:RST-11 20:RST-12", "HOT_RESET: no flags; by groups at least one, at most as many as functions, each an open group")
{
	struct setup right, left = open_both(&right);
	int32_t fds[4] = { left.group, right.group, left.group, right.group };
	struct vfio_pci_hot_reset h = { 0 };

	mark(left.device);
	mark(right.device);
	for (h.argsz = 0; h.argsz < 12; h.argsz++)
		EXPECT_ERR(EINVAL, x_ioctl(left.device, VFIO_DEVICE_PCI_HOT_RESET, &h));
	EXPECT_ERR(EFAULT, x_ioctl(left.device, VFIO_DEVICE_PCI_HOT_RESET, NULL));
	for (unsigned bit = 0; bit < 32; bit++)
		EXPECT_ERR(EINVAL, hot_reset(left.device, 1u << bit, 2, fds));
	EXPECT_ERR(EINVAL, hot_reset(left.device, 0, 0, fds));
	EXPECT_ERR(EINVAL, hot_reset(left.device, 0, 3, fds));
	EXPECT_ERR(EINVAL, hot_reset(left.device, 0, UINT32_MAX, fds));
	fds[1] = CLOSED;
	EXPECT_ERR(EBADF, hot_reset(left.device, 0, 2, fds));
	fds[1] = -1;
	EXPECT_ERR(EBADF, hot_reset(left.device, 0, 2, fds));
	fds[1] = right.device;
	EXPECT_ERR(EINVAL, hot_reset(left.device, 0, 2, fds));
	fds[1] = left.container;
	EXPECT_ERR(EINVAL, hot_reset(left.device, 0, 2, fds));
	EXPECT(marked(left.device) && marked(right.device));
}

TEST(proof, "20:RST-13 20:RST-15", "every group of the set must be shown; then all functions are reset, and their config space is kept")
{
	struct setup right, left = open_both(&right);
	int32_t both[2] = { right.group, left.group }, twice[2] = { left.group, left.group };

	mark(left.device);
	mark(right.device);
	config_write(right.device, 4, 2, config_read(right.device, 4, 2) | 6);
	config_write(right.device, 0x3c, 1, 0x5a);
	EXPECT_ERR(EINVAL, hot_reset(left.device, 0, 1, &left.group));
	EXPECT_ERR(EINVAL, hot_reset(left.device, 0, 1, &right.group));
	EXPECT_ERR(EINVAL, hot_reset(left.device, 0, 2, twice));
	EXPECT(marked(left.device) && marked(right.device));
	EXPECT_OK(hot_reset(left.device, 0, 2, both));
	EXPECT(!marked(left.device) && !marked(right.device));
	EXPECT_EQ(6, config_read(right.device, 4, 2) & 6);
	EXPECT_EQ(0x5a, config_read(right.device, 0x3c, 1));
	/* a device that is not open counts as well, and is reset too */
	mark(left.device);
	EXPECT_OK(x_close(right.device));
	EXPECT_ERR(EINVAL, hot_reset(left.device, 0, 1, &left.group));
	EXPECT(marked(left.device));
	EXPECT_OK(hot_reset(left.device, 0, 2, both));
	EXPECT(!marked(left.device));
}

TEST(foreign, "20:RST-14", "a function with another driver, or with none, is nobody's to reset")
{
	struct setup s;
	int32_t fds[2];

	bind_vfio(RIGHT);
	s = open_device(LEFT);
	fds[0] = s.group;
	unbind(RIGHT);
	mark(s.device);
	EXPECT_ERR(EINVAL, hot_reset(s.device, 0, 1, fds));
	EXPECT_OK(sys_write("/sys/bus/pci/devices/" RIGHT "/driver_override", "pci-stub"));
	EXPECT_OK(sys_write("/sys/bus/pci/drivers_probe", RIGHT));
	EXPECT_ERR(EINVAL, hot_reset(s.device, 0, 1, fds));
	EXPECT(marked(s.device));
	bind_vfio(RIGHT);
	fds[1] = EXPECT_OK(open_group(RIGHT));
	EXPECT_OK(hot_reset(s.device, 0, 2, fds));
	EXPECT(!marked(s.device));
}

TEST(one_group, "20:RST-13 20:RST-14", "functions of one group need one proof, and all of them vfio's")
{
	struct setup s;

	bind_vfio(OTHER);
	s = open_device(ONE);
	EXPECT_OK(hot_reset(s.device, 0, 1, &s.group));
	unbind(OTHER);
	EXPECT_ERR(EINVAL, hot_reset(s.device, 0, 1, &s.group));
	bind_vfio(OTHER);
	EXPECT_OK(hot_reset(s.device, 0, 1, &s.group));
}

static void *right_calls(void *arg)
{
	struct readers *r = arg;
	uint32_t v;

	while (!atomic_load(&r->over)) {
		if (x_pread(r->device, &v, 4, REGION(0) + REGISTER) != 4)
			atomic_fetch_add(&r->wrong, 1);
		atomic_fetch_add(&r->calls, 1);
	}
	return NULL;
}

TEST(contended, "20:MEM-18", "a hot reset while another thread reads is done, or EBUSY; the reads succeed, and nothing stays locked")
{
	struct setup right, left = open_both(&right);
	int32_t both[2] = { right.group, left.group };
	struct readers r = { .device = right.device };
	pthread_t thread;

	EXPECT_EQ(0, pthread_create(&thread, NULL, right_calls, &r));
	for (unsigned i = 0; i < (test_door() == DOOR_HOST ? 3 : 100); i++) {
		unsigned c = atomic_load(&r.calls);

		while (atomic_load(&r.calls) == c)
			sched_yield();
		if (hot_reset(left.device, 0, 2, both) && errno != EBUSY)
			atomic_fetch_add(&r.wrong, 1);
	}
	atomic_store(&r.over, true);
	pthread_join(thread, NULL);
	EXPECT_EQ(0, atomic_load(&r.wrong));
	mark(left.device);
	mark(right.device);
	EXPECT_OK(hot_reset(left.device, 0, 2, both));
	EXPECT(!marked(left.device) && !marked(right.device));
}

/* ---- hot reset by an iommufd ---- */

TEST(owned_bound, "20:RST-07 20:RST-10", "by an iommufd: an id for what is bound to it, -1 for what is not; it may reset when it has all")
{
	int ctx = iommu_open(), left = cdev_take(LEFT), right = cdev_take(RIGHT), other = iommu_open();
	uint32_t id, second;
	int32_t fd = ctx;
	struct info i;

	EXPECT_OK(cdev_bind_flags(left, ctx, 24, 0, &id));
	mark(left);
	i = info(left);
	EXPECT_EQ(2, i.h.count);
	EXPECT_EQ(VFIO_PCI_HOT_RESET_FLAG_DEV_ID, i.h.flags);
	EXPECT_EQ(id, entry(&i, 2, 0)->devid);
	EXPECT_EQ(VFIO_PCI_DEVID_NOT_OWNED, entry(&i, 2, 1)->devid);
	EXPECT_ERR(EINVAL, hot_reset(left, 0, 0, NULL));
	EXPECT_OK(cdev_bind(right, other));
	i = info(left);
	EXPECT_EQ(VFIO_PCI_HOT_RESET_FLAG_DEV_ID, i.h.flags);
	EXPECT_EQ(VFIO_PCI_DEVID_NOT_OWNED, entry(&i, 2, 1)->devid);
	EXPECT_ERR(EINVAL, hot_reset(left, 0, 0, NULL));
	EXPECT(marked(left));
	EXPECT_OK(x_close(right));
	right = cdev_take(RIGHT);
	EXPECT_OK(cdev_bind_flags(right, ctx, 24, 0, &second));
	mark(right);
	i = info(left);
	EXPECT_EQ(VFIO_PCI_HOT_RESET_FLAG_DEV_ID | VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED, i.h.flags);
	EXPECT_EQ(id, entry(&i, 2, 0)->devid);
	EXPECT_EQ(second, entry(&i, 2, 1)->devid);
	EXPECT_ERR(EINVAL, hot_reset(left, 0, 1, &fd));
	EXPECT(marked(left) && marked(right));
	EXPECT_OK(hot_reset(left, 0, 0, NULL));
	EXPECT(!marked(left) && !marked(right));
}

TEST(owned_group, "20:RST-07", "0 for what is not bound but whose group is the iommufd's; without vfio's driver it is not owned")
{
	int ctx = iommu_open(), d;
	uint32_t id;
	struct info i;

	bind_vfio(OTHER);
	d = cdev_take(ONE);
	EXPECT_OK(cdev_bind_flags(d, ctx, 24, 0, &id));
	i = info(d);
	EXPECT_EQ(VFIO_PCI_HOT_RESET_FLAG_DEV_ID | VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED, i.h.flags);
	EXPECT_EQ(id, entry(&i, 3, 0)->devid);
	EXPECT_EQ(VFIO_PCI_DEVID_OWNED, entry(&i, 3, 1)->devid);
	EXPECT_OK(hot_reset(d, 0, 0, NULL));
	unbind(OTHER);
	i = info(d);
	EXPECT_EQ(VFIO_PCI_HOT_RESET_FLAG_DEV_ID, i.h.flags);
	EXPECT_EQ(VFIO_PCI_DEVID_NOT_OWNED, entry(&i, 3, 1)->devid);
	EXPECT_ERR(EINVAL, hot_reset(d, 0, 0, NULL));
	bind_vfio(OTHER);
}

/* ---- virtual functions ---- */

static int group_in_container(const char *bdf)
{
	int g = EXPECT_OK(open_group(bdf)), c = EXPECT_OK(open_container());

	EXPECT_OK(set_container(g, c));
	EXPECT_OK(set_iommu(c, VFIO_TYPE1v2_IOMMU));
	return g;
}

TEST(virtual, "20:RST-16", "a virtual function lists all of its bus, but is a set of its own: no hot reset, nor of the physical one")
{
	static const char token[] = " vf_token=83a81c6c-5e1c-4cd1-9f0c-a5a3c0c1d5f0";
	char name[80];
	int32_t g[3];
	int pf, vf;
	struct info i;

	bind_vfio(IGB);
	EXPECT_OK(sys_write("/sys/module/vfio_pci/parameters/enable_sriov", "Y"));
	EXPECT_OK(sys_write("/sys/bus/pci/devices/" IGB "/sriov_numvfs", "2"));
	g[0] = group_in_container(IGB);
	g[1] = group_in_container(VF0);
	g[2] = EXPECT_OK(open_group(VF1));
	snprintf(name, sizeof(name), IGB "%s", token);
	pf = EXPECT_OK(x_ioctl(g[0], VFIO_GROUP_GET_DEVICE_FD, name));
	snprintf(name, sizeof(name), VF0 "%s", token);
	vf = EXPECT_OK(x_ioctl(g[1], VFIO_GROUP_GET_DEVICE_FD, name));
	i = info(vf);
	EXPECT_EQ(3, i.h.count);
	EXPECT_EQ(group_of(IGB), entry(&i, 1, 0)->group_id);
	EXPECT_EQ(group_of(VF0), entry(&i, 1, 0x80)->group_id);
	EXPECT_EQ(group_of(VF1), entry(&i, 1, 0x82)->group_id);
	i = info(pf);
	EXPECT_EQ(3, i.h.count);
	mark(pf);
	EXPECT_ERR(EINVAL, hot_reset(vf, 0, 3, g));
	EXPECT_ERR(EINVAL, hot_reset(vf, 0, 1, &g[1]));
	EXPECT_ERR(EINVAL, hot_reset(pf, 0, 3, g));
	EXPECT_ERR(EINVAL, hot_reset(pf, 0, 1, g));
	EXPECT(marked(pf));
	EXPECT_OK(x_close(vf));
	EXPECT_OK(x_close(pf));
	EXPECT_OK(sys_write("/sys/bus/pci/devices/" IGB "/sriov_numvfs", "0"));
}
