/* SPDX-License-Identifier: MIT */
/* What tests of regions and interrupts need: registers, capabilities, hooks. Included once by each. */
#ifndef UVFIO_TESTS_FACE_H
#define UVFIO_TESTS_FACE_H

#include "abi.h"
#include <poll.h>

#define FACE    "0000:03:00.0" /* of tests/machines/pcitest.yaml: everything */
#define COMMAND 4
#define MEM     2u
#define MASTER  4u

static inline unsigned cap(int d, unsigned id)
{
	for (unsigned at = config_read(d, 0x34, 1), n = 0; at && n < 48; at = config_read(d, at + 1, 1), n++) {
		if (config_read(d, at, 1) == id)
			return at;
	}
	return 0;
}

static inline struct vfio_region_info info(int d, unsigned index)
{
	struct vfio_region_info r = { .argsz = sizeof(r), .index = index, .cap_offset = 0x1234 };

	EXPECT_OK(x_ioctl(d, VFIO_DEVICE_GET_REGION_INFO, &r));
	EXPECT_EQ((uint64_t)index << 40, r.offset);
	return r;
}

static inline uint32_t get(int d, unsigned region, uint64_t off)
{
	uint32_t v = 0;

	EXPECT_EQ(4, x_pread(d, &v, 4, REGION(region) + off));
	return v;
}

static inline void put(int d, unsigned region, uint64_t off, uint32_t v)
{
	EXPECT_EQ(4, x_pwrite(d, &v, 4, REGION(region) + off));
}

static inline int hook(int d, unsigned index, unsigned start, unsigned count, const int32_t *fds)
{
	struct {
		struct vfio_irq_set h;
		int32_t fd[8];
	} b = { .h = { 20 + 4 * count, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, index, start, count } };

	memcpy((char *)&b + 20, fds, 4ul * count);
	return x_ioctl(d, VFIO_DEVICE_SET_IRQS, &b);
}

static inline int disable(int d, unsigned index)
{
	struct vfio_irq_set h = { sizeof(h), VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER, index, 0, 0 };

	return x_ioctl(d, VFIO_DEVICE_SET_IRQS, &h);
}

static inline uint64_t count_of(int fd)
{
	uint64_t n = 0;

	return read(fd, &n, 8) == 8 ? n : 0;
}

static inline uint64_t wait_count(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	EXPECT_EQ(1, poll(&p, 1, 60000));
	return count_of(fd);
}

#endif
