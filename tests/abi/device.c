/* SPDX-License-Identifier: MIT */
/* Device files: information, regions, reading and writing, mapping, reset. */
#include "abi.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>

TEST(info_argsz, "20:DEV-01", "GET_INFO with argsz below 16 is EINVAL; with 16 it writes 16 bytes")
{
	struct setup s = open_device(EDU);
	struct vfio_device_info i = { .cap_offset = 0x77777777 };

	for (i.argsz = 0; i.argsz < 16; i.argsz++)
		EXPECT_ERR(EINVAL, x_ioctl(s.device, VFIO_DEVICE_GET_INFO, &i));
	EXPECT_OK(x_ioctl(s.device, VFIO_DEVICE_GET_INFO, &i));
	EXPECT_EQ(0x77777777, i.cap_offset);
}

TEST(info_edu, "20:DEV-02 20:DEV-03 20:DEV-05", "a plain device: PCI, 9 regions, 5 interrupts, no capabilities; RESET only where there is one")
{
	struct setup s = open_device(EDU), s2;
	struct vfio_device_info i = { .argsz = sizeof(i) };

	EXPECT_OK(x_ioctl(s.device, VFIO_DEVICE_GET_INFO, &i));
	EXPECT_EQ(VFIO_DEVICE_FLAGS_PCI, i.flags);
	EXPECT_EQ(9, i.num_regions);
	EXPECT_EQ(5, i.num_irqs);
	EXPECT_EQ(0, i.cap_offset);
	EXPECT_ERR(EINVAL, x_ioctl(s.device, VFIO_DEVICE_RESET, NULL));
	s2 = open_device(IGB);
	EXPECT_OK(x_ioctl(s2.device, VFIO_DEVICE_GET_INFO, &i));
	EXPECT(i.flags & VFIO_DEVICE_FLAGS_RESET);
	EXPECT_OK(x_ioctl(s2.device, VFIO_DEVICE_RESET, NULL));
}

TEST(bad_pointers, "20:DEV-06 20:RW-15", "bad pointers are EFAULT")
{
	struct setup s = open_device(EDU);

	for (unsigned cmd = VFIO_DEVICE_GET_INFO; cmd <= VFIO_DEVICE_SET_IRQS; cmd++) {
		EXPECT_ERR(EFAULT, x_ioctl(s.device, cmd, NULL));
		EXPECT_ERR(EFAULT, x_ioctl(s.device, cmd, (void *)~0xful));
	}
	EXPECT_ERR(EFAULT, x_ioctl(s.device, VFIO_DEVICE_FEATURE, NULL));
	EXPECT_ERR(EFAULT, x_pread(s.device, NULL, 4, REGION(7)));
	EXPECT_ERR(EFAULT, x_pwrite(s.device, (void *)8, 4, REGION(7)));
}

TEST(unknown, "20:DEV-07 20:DEV-08 10:DEV-03 10:DEV-04", "unknown ioctls, the GFX ones and ATTACH on a group's device are ENOTTY")
{
	struct setup s = open_device(EDU);
	struct vfio_device_attach_iommufd_pt a = { .argsz = sizeof(a) };

	EXPECT_ERR(ENOTTY, x_ioctl(s.device, VFIO_IO(90), NULL));
	EXPECT_ERR(ENOTTY, x_ioctl(s.device, VFIO_GET_API_VERSION, NULL));
	EXPECT_ERR(ENOTTY, x_ioctl(s.device, VFIO_DEVICE_QUERY_GFX_PLANE, NULL));
	EXPECT_ERR(ENOTTY, x_ioctl(s.device, VFIO_DEVICE_GET_GFX_DMABUF, NULL));
	EXPECT_ERR(ENOTTY, x_ioctl(s.device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &a));
}

TEST(at_open, "20:DEV-19 20:DEV-20", "an opened device decodes memory and is no bus master; the last close takes mastering away")
{
	struct setup s = open_device(EDU);

	EXPECT_EQ(2, config_read(s.device, 4, 2) & 6);
	config_write(s.device, 4, 2, config_read(s.device, 4, 2) | 4);
	EXPECT_EQ(6, config_read(s.device, 4, 2) & 6);
	EXPECT_OK(x_close(s.device));
	s.device = EXPECT_OK(x_ioctl(s.group, VFIO_GROUP_GET_DEVICE_FD, EDU));
	EXPECT_EQ(2, config_read(s.device, 4, 2) & 6);
}

TEST(open_resets, "20:DEV-18", "open resets a function that can be: its registers are at power-on values")
{
	struct setup s = open_device(IGB);
	uint32_t v = 0x5a, before;

	EXPECT_EQ(4, x_pread(s.device, &before, 4, REGION(0) + 0x5b00)); /* GCR: stored as written */
	v = before ^ 0x10000;
	EXPECT_EQ(4, x_pwrite(s.device, &v, 4, REGION(0) + 0x5b00));
	EXPECT_EQ(4, x_pread(s.device, &v, 4, REGION(0) + 0x5b00));
	if (v == before)
		test_skip("this igb has no register to keep a value in");
	EXPECT_OK(x_close(s.device));
	s.device = EXPECT_OK(x_ioctl(s.group, VFIO_GROUP_GET_DEVICE_FD, IGB));
	EXPECT_EQ(4, x_pread(s.device, &v, 4, REGION(0) + 0x5b00));
	EXPECT_EQ(before, v);
}

TEST(fdinfo, "20:DEV-23 10:DEV-02", "fdinfo has the device's path in sysfs")
{
	char path[64], text[1024];
	struct setup s;
	ssize_t n;
	int fd;

	if (test_door() == DOOR_CAPI)
		test_skip("an embedded machine has no /proc");
	s = open_device(EDU);
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", s.device);
	fd = EXPECT_OK(open(path, O_RDONLY));
	n = EXPECT_OK(read(fd, text, sizeof(text) - 1));
	close(fd);
	text[n] = 0;
	EXPECT(strstr(text, "vfio-device-syspath: /sys/devices/pci0000:00/" EDU));
}

TEST(region_argsz, "20:REG-01 10:DEV-05", "REGION_INFO with argsz below 32 is EINVAL")
{
	struct setup s = open_device(EDU);
	struct vfio_region_info r = { 0 };

	for (r.argsz = 0; r.argsz < 32; r.argsz++)
		EXPECT_ERR(EINVAL, x_ioctl(s.device, VFIO_DEVICE_GET_REGION_INFO, &r));
}

TEST(region_offsets, "20:REG-02 20:REG-03", "region i is at offset i << 40; an absent BAR has size and flags 0")
{
	struct setup s = open_device(EDU);

	for (unsigned i = 0; i < 8; i++) {
		struct vfio_region_info r = { .argsz = sizeof(r), .index = i };

		EXPECT_OK(x_ioctl(s.device, VFIO_DEVICE_GET_REGION_INFO, &r));
		EXPECT_EQ(REGION(i), r.offset);
		EXPECT_EQ(i == 0 ? 0x100000 : i == 7 ? 256 : 0, r.size);
		EXPECT_EQ(i == 0 ? 7 : i == 7 ? 3 : 0, r.flags);
	}
}

TEST(region_none, "20:REG-16 20:REG-18", "VGA on a device without it, and every index above, is EINVAL")
{
	struct setup s = open_device(EDU);
	struct vfio_region_info r = { .argsz = sizeof(r), .index = 8 };

	EXPECT_ERR(EINVAL, x_ioctl(s.device, VFIO_DEVICE_GET_REGION_INFO, &r));
	r.index = 9;
	EXPECT_ERR(EINVAL, x_ioctl(s.device, VFIO_DEVICE_GET_REGION_INFO, &r));
	r.index = ~0u;
	EXPECT_ERR(EINVAL, x_ioctl(s.device, VFIO_DEVICE_GET_REGION_INFO, &r));
}

TEST(read_ends, "20:RW-01 20:RW-02 20:RW-03 20:RW-16 20:RW-17 20:CFG-49", "a BAR is read up to its end, not at it; config space past its end is EFAULT; bad regions EINVAL")
{
	struct setup s = open_device(EDU);
	uint64_t size = region_size(s.device, 0);
	char b[16];

	EXPECT_ERR(EINVAL, x_pread(s.device, b, 4, REGION(0) + size));
	EXPECT_EQ(4, x_pread(s.device, b, 16, REGION(0) + size - 4));
	EXPECT_ERR(EFAULT, x_pread(s.device, b, 4, REGION(7) + 256));
	EXPECT_ERR(EFAULT, x_pread(s.device, b, 8, REGION(7) + 252));
	EXPECT_ERR(EINVAL, x_pread(s.device, b, 4, REGION(20)));
	EXPECT_ERR(EINVAL, x_pread(s.device, b, 4, REGION(1)));
	EXPECT_EQ(0, x_pread(s.device, b, 0, REGION(20)));
}

TEST(bar_read, "20:REG-05", "registers read by pread and by the mapping are the same")
{
	struct setup s = open_device(EDU);
	volatile uint32_t *bar = x_mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_SHARED, s.device, REGION(0));
	uint32_t v;

	EXPECT((void *)bar != MAP_FAILED);
	EXPECT_EQ(4, x_pread(s.device, &v, 4, REGION(0)));
	EXPECT_EQ(0x010000ed, v);
	EXPECT_EQ(0x010000ed, bar[0]);
	bar[1] = 0x12345678;
	EXPECT_EQ(~0x12345678u, bar[1]);
	v = 0xf0f0f0f0;
	EXPECT_EQ(4, x_pwrite(s.device, &v, 4, REGION(0) + 4));
	EXPECT_EQ(0x0f0f0f0f, bar[1]);
}

TEST(mmap_checks, "20:MAP-01 20:MAP-02 20:MAP-03 20:MAP-10", "mmap: private, past the end, an absent BAR, config space: EINVAL")
{
	struct setup s = open_device(EDU);
	const int rw = PROT_READ | PROT_WRITE;

#define REFUSED(...) do { errno = 0; EXPECT(x_mmap(NULL, __VA_ARGS__) == MAP_FAILED); EXPECT_EQ(EINVAL, errno); } while (0)
	REFUSED(0x1000, rw, MAP_PRIVATE, s.device, REGION(0));
	REFUSED(0x101000, rw, MAP_SHARED, s.device, REGION(0));
	REFUSED(0x2000, rw, MAP_SHARED, s.device, REGION(0) + 0xff000);
	REFUSED(0x1000, rw, MAP_SHARED, s.device, REGION(0) + 0x100000);
	REFUSED(0x1000, rw, MAP_SHARED, s.device, REGION(1));
	REFUSED(0x1000, rw, MAP_SHARED, s.device, REGION(6));
	REFUSED(0x1000, rw, MAP_SHARED, s.device, REGION(7));
	REFUSED(0x1000, rw, MAP_SHARED, s.device, REGION(8));
	REFUSED(0x1000, rw, MAP_SHARED, s.device, REGION(100));
	REFUSED(0x1000, rw, MAP_SHARED, s.device, REGION(0) + 1);
	EXPECT(x_mmap(NULL, 0x100000, rw, MAP_SHARED, s.device, REGION(0)) != MAP_FAILED);
}

static void touch(void *p)
{
	(void)*(volatile uint32_t *)p;
}

TEST(memory_off, "20:MEM-01 20:MEM-02 20:MEM-03 20:MAP-05", "with COMMAND.MEM off, a mapped BAR raises SIGBUS, pread is EIO; on again, all works as before")
{
	struct setup s = open_device(EDU);
	volatile uint32_t *bar = x_mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_SHARED, s.device, REGION(0));
	uint32_t v, cmd = config_read(s.device, 4, 2);

	EXPECT((void *)bar != MAP_FAILED);
	EXPECT_EQ(0x010000ed, bar[0]);
	config_write(s.device, 4, 2, cmd & ~2u);
	EXPECT_EQ(SIGBUS, signal_of(touch, (void *)bar));
	EXPECT_ERR(EIO, x_pread(s.device, &v, 4, REGION(0)));
	EXPECT_ERR(EIO, x_pwrite(s.device, &v, 4, REGION(0)));
	EXPECT(x_mmap(NULL, 0x1000, PROT_READ, MAP_SHARED, s.device, REGION(0)) != MAP_FAILED);
	config_write(s.device, 4, 2, cmd);
	EXPECT_EQ(0, signal_of(touch, (void *)bar));
	EXPECT_EQ(0x010000ed, bar[0]);
}

/* What the other thread does to memory, in this order; a load that begins and ends in one of them has one outcome. */
enum { MEMORY_ON, MEMORY_GOING, MEMORY_OFF, MEMORY_COMING, MEMORY_STATES };

struct memory_race {
	void *bar;
	atomic_uint turn;               /* turn % MEMORY_STATES: what memory is */
	atomic_uint seen[MEMORY_STATES]; /* loads that began and ended in one turn */
	atomic_uint wrong;
	atomic_bool over;
};

static void *memory_race_loads(void *arg)
{
	struct memory_race *r = arg;

	while (!atomic_load(&r->over)) {
		unsigned turn = atomic_load(&r->turn), state = turn % MEMORY_STATES;
		int sig = signal_of(touch, r->bar);

		if (atomic_load(&r->turn) != turn)
			continue;
		atomic_fetch_add(&r->wrong, (state == MEMORY_ON && sig != 0) || (state == MEMORY_OFF && sig != SIGBUS));
		atomic_fetch_add(&r->seen[state], 1);
	}
	return NULL;
}

TEST(memory_off_race, "20:MEM-02 20:MEM-03", "no load is answered that begins after the write that disabled memory has returned")
{
	struct setup s = open_device(EDU);
	struct memory_race r = { .bar = x_mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_SHARED, s.device, REGION(0)) };
	uint32_t cmd = config_read(s.device, 4, 2);
	pthread_t thread;

	EXPECT(r.bar != MAP_FAILED);
	EXPECT_EQ(0, pthread_create(&thread, NULL, memory_race_loads, &r));
	for (unsigned i = 1; i <= 200; i++) {
		atomic_fetch_add(&r.turn, 1);
		config_write(s.device, 4, 2, cmd & ~2u);
		atomic_fetch_add(&r.turn, 1);
		while (atomic_load(&r.seen[MEMORY_OFF]) < i)
			sched_yield();
		atomic_fetch_add(&r.turn, 1);
		config_write(s.device, 4, 2, cmd);
		atomic_fetch_add(&r.turn, 1);
		while (atomic_load(&r.seen[MEMORY_ON]) < i)
			sched_yield();
	}
	atomic_store(&r.over, true);
	pthread_join(thread, NULL);
	EXPECT_EQ(0, atomic_load(&r.wrong));
}

TEST(feature, "10:FEA-01 10:FEA-02 10:FEA-03 10:FEA-06 10:FEA-07 20:FTR-01 20:FTR-02 20:FTR-03 20:FTR-07", "FEATURE checks its header in order; what a plain device lacks is ENOTTY")
{
	struct setup s = open_device(EDU);
	struct vfio_device_feature f = { .argsz = 7, .flags = VFIO_DEVICE_FEATURE_PROBE };

	EXPECT_ERR(EINVAL, x_ioctl(s.device, VFIO_DEVICE_FEATURE, &f));
	f.argsz = 8;
	f.flags = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_LOW_POWER_EXIT;
	EXPECT_ERR(EINVAL, x_ioctl(s.device, VFIO_DEVICE_FEATURE, &f));
	f.flags = 1u << 19;
	EXPECT_ERR(EINVAL, x_ioctl(s.device, VFIO_DEVICE_FEATURE, &f));
	f.flags = VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET | 0x1234;
	EXPECT_ERR(ENOTTY, x_ioctl(s.device, VFIO_DEVICE_FEATURE, &f)); /* together is fine for PROBE */
	f.flags = VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_BUS_MASTER;
	EXPECT_ERR(ENOTTY, x_ioctl(s.device, VFIO_DEVICE_FEATURE, &f));
	f.flags = VFIO_DEVICE_FEATURE_PROBE | 0x1234;
	EXPECT_ERR(ENOTTY, x_ioctl(s.device, VFIO_DEVICE_FEATURE, &f));
	f.flags = VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_MIGRATION;
	EXPECT_ERR(ENOTTY, x_ioctl(s.device, VFIO_DEVICE_FEATURE, &f));
	f.flags = VFIO_DEVICE_FEATURE_LOW_POWER_EXIT;
	EXPECT_ERR(EINVAL, x_ioctl(s.device, VFIO_DEVICE_FEATURE, &f));
	f.flags = VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_LOW_POWER_EXIT;
	EXPECT_ERR(EINVAL, x_ioctl(s.device, VFIO_DEVICE_FEATURE, &f));
}

TEST(feature_probe, "10:FEA-04 10:FEA-05 20:FTR-04 20:FTR-05 20:FTR-06", "PROBE tells which operations a feature has, and does none of them")
{
	struct setup s = open_device(EDU);
	volatile uint32_t *bar = x_mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_SHARED, s.device, REGION(0));
	struct vfio_device_feature f = { .argsz = sizeof(f) };

	EXPECT((void *)bar != MAP_FAILED);
	for (unsigned n = VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY; n <= VFIO_DEVICE_FEATURE_LOW_POWER_EXIT; n++) {
		f.flags = VFIO_DEVICE_FEATURE_PROBE | n;
		EXPECT_EQ(0, x_ioctl(s.device, VFIO_DEVICE_FEATURE, &f));
		f.flags = VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_SET | n;
		EXPECT_EQ(0, x_ioctl(s.device, VFIO_DEVICE_FEATURE, &f));
		f.flags = VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_GET | n;
		EXPECT_ERR(EINVAL, x_ioctl(s.device, VFIO_DEVICE_FEATURE, &f));
		f.flags |= VFIO_DEVICE_FEATURE_SET;
		EXPECT_ERR(EINVAL, x_ioctl(s.device, VFIO_DEVICE_FEATURE, &f));
		f.flags = VFIO_DEVICE_FEATURE_GET | n;
		EXPECT_ERR(EINVAL, x_ioctl(s.device, VFIO_DEVICE_FEATURE, &f));
		f.flags = n;
		EXPECT_ERR(EINVAL, x_ioctl(s.device, VFIO_DEVICE_FEATURE, &f));
	}
	EXPECT_EQ(0x010000ed, bar[0]); /* not asleep */
}

TEST(feature_precopy, "10:FEA-08 20:FTR-10", "MIG_PRECOPY_INFOv2 of a device without PRE_COPY is EINVAL, not ENOTTY, whatever is asked")
{
	static const uint32_t ops[] = {
		0, VFIO_DEVICE_FEATURE_GET, VFIO_DEVICE_FEATURE_SET, VFIO_DEVICE_FEATURE_PROBE,
		VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_SET, VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_GET,
	};
	struct setup s = open_device(EDU);
	struct vfio_device_feature f = { .argsz = sizeof(f) };

	for (unsigned i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		f.flags = ops[i] | VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2;
		EXPECT_ERR(EINVAL, x_ioctl(s.device, VFIO_DEVICE_FEATURE, &f));
		f.flags = ops[i] | VFIO_DEVICE_FEATURE_MIG_DATA_SIZE;
		EXPECT_ERR(ENOTTY, x_ioctl(s.device, VFIO_DEVICE_FEATURE, &f));
	}
}
