/* SPDX-License-Identifier: MIT */
/* ioeventfds: an eventfd's signal becomes a store to a BAR. An edu tells how many stores there were by its messages. */
#include "face.h"
#include <sched.h>

#define RAISE   0x60u /* of an edu: each store is a message */
#define LOWER   0x64u
#define DMA_SRC 0x80u /* keeps what a store of 4 or 8 bytes brought */

static struct setup s;

static int io(uint32_t flags, uint64_t offset, uint64_t data, int fd)
{
	struct vfio_device_ioeventfd a = { .argsz = sizeof(a), .flags = flags, .offset = offset, .data = data, .fd = fd };

	return x_ioctl(s.device, VFIO_DEVICE_IOEVENTFD, &a);
}

static int event(void)
{
	return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

static void signal_it(int fd, uint64_t n)
{
	EXPECT_EQ(8, write(fd, &n, 8));
}

/* Until the counter was taken by who is signalled */
static void wait_taken(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	while (poll(&p, 1, 0) == 1)
		sched_yield();
}

/* An edu, and the eventfd that counts its messages */
static int begin(void)
{
	struct {
		struct vfio_irq_set h;
		int32_t fd;
	} a = { .h = { .argsz = 24, .flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, .index = 1, .count = 1 } };
	int32_t fd = event();
	uint32_t all = ~0u;

	s = open_device(EDU);
	EXPECT_EQ(4, x_pwrite(s.device, &all, 4, REGION(0) + LOWER)); /* what the test before has left */
	config_write(s.device, 4, 2, config_read(s.device, 4, 2) | 6);
	memcpy((char *)&a + 20, &fd, 4);
	EXPECT_OK(x_ioctl(s.device, VFIO_DEVICE_SET_IRQS, &a));
	return fd;
}

static uint64_t load(uint64_t offset, unsigned width)
{
	uint64_t v = 0;

	EXPECT_EQ(width, x_pread(s.device, &v, width, REGION(0) + offset));
	return v;
}

TEST(checks, "20:IOE-01 20:IOE-08", "one width, in a BAR, inside of it")
{
	struct vfio_device_ioeventfd a = { .flags = 4, .offset = REGION(0) };
	int fd = event();

	begin();
	a.fd = fd;
	for (a.argsz = 0; a.argsz < 28; a.argsz++)
		EXPECT_ERR(EINVAL, x_ioctl(s.device, VFIO_DEVICE_IOEVENTFD, &a));
	EXPECT_OK(x_ioctl(s.device, VFIO_DEVICE_IOEVENTFD, &a));
	EXPECT_ERR(EFAULT, x_ioctl(s.device, VFIO_DEVICE_IOEVENTFD, NULL));
	EXPECT_ERR(EINVAL, io(0, REGION(0), 1, fd));
	for (uint32_t i = 1; i < 16; i++) {
		if (i & (i - 1))
			EXPECT_ERR(EINVAL, io(i, REGION(0), 1, fd));
		EXPECT_ERR(EINVAL, io(i | 16, REGION(0), 1, fd));
	}
	EXPECT_ERR(EINVAL, io(16, REGION(0), 1, fd));
	EXPECT_ERR(EINVAL, io(4 | 1u << 31, REGION(0), 1, fd));
	for (unsigned i = 6; i < 12; i++)
		EXPECT_ERR(EINVAL, io(4, REGION(i), 1, fd));
	EXPECT_ERR(EINVAL, io(4, REGION(1), 1, fd)); /* absent */
	EXPECT_ERR(EINVAL, io(4, REGION(0) + 0x100000 - 3, 1, fd));
	EXPECT_ERR(EINVAL, io(1, REGION(0) + 0x100000, 1, fd));
	EXPECT_OK(io(4, REGION(0) + 0xffffc, 1, fd));
	EXPECT_OK(io(2, REGION(0) + 0xffffd, 1, fd)); /* aligned or not */
	close(fd);
}

TEST(fires, "20:IOE-02", "each signal, of any count, is one store of the width")
{
	int msi = begin(), fd = event(), wide = event(), narrow = event();

	EXPECT_OK(io(4, REGION(0) + RAISE, 1, fd));
	for (unsigned i = 1; i <= 5; i++) {
		signal_it(fd, i);
		EXPECT_EQ(1, wait_count(msi));
		EXPECT_EQ(0, count_of(fd));
	}
	EXPECT_OK(io(4, REGION(0) + RAISE, 1, -1));
	EXPECT_EQ(0, count_of(msi));
	signal_it(fd, 7);
	EXPECT_EQ(7, count_of(fd)); /* nobody takes it any more */

	EXPECT_OK(io(8, REGION(0) + DMA_SRC, 0x1122334455667788, wide));
	EXPECT_OK(io(4, REGION(0) + DMA_SRC, 0x99aabbccddeeff00, narrow));
	signal_it(wide, 1);
	wait_taken(wide);
	EXPECT_OK(io(8, REGION(0) + DMA_SRC, 0x1122334455667788, -1)); /* waits for a store under way */
	EXPECT_EQ(0x1122334455667788, load(DMA_SRC, 8));
	signal_it(narrow, 1);
	wait_taken(narrow);
	EXPECT_OK(io(4, REGION(0) + DMA_SRC, 0x99aabbccddeeff00, -1));
	EXPECT_EQ(0xddeeff00, load(DMA_SRC, 4));
	close(fd);
	close(wide);
	close(narrow);
	close(msi);
}

TEST(fires_memory, "20:IOE-02", "a store of 1, 2, 4 or 8 bytes changes just these")
{
	int fd = event();

	if (test_door() == DOOR_HOST)
		test_skip("none of its BARs has bytes");
	s = open_device(IGB);
	for (uint32_t width = 1; width <= 8; width *= 2) {
		uint64_t data = 0x8877665544332211, got = 0, want = 0;

		EXPECT_EQ(8, x_pwrite(s.device, &want, 8, REGION(0) + 0x100));
		EXPECT_OK(io(width, REGION(0) + 0x100, data, fd));
		signal_it(fd, 1);
		wait_taken(fd);
		EXPECT_OK(io(width, REGION(0) + 0x100, data, -1));
		EXPECT_EQ(8, x_pread(s.device, &got, 8, REGION(0) + 0x100));
		memcpy(&want, &data, width);
		EXPECT_EQ(want, got);
	}
	close(fd);
}

TEST(identity, "20:IOE-03 20:IOE-04", "BAR, offset, width and data are an entry; it is there once, until it is removed, whatever its eventfd does")
{
	int fd = event(), other = event();

	begin();
	EXPECT_ERR(ENODEV, io(4, REGION(0) + 4, 1, -1));
	EXPECT_OK(io(4, REGION(0) + 4, 1, fd));
	EXPECT_ERR(EEXIST, io(4, REGION(0) + 4, 1, fd));
	EXPECT_ERR(EEXIST, io(4, REGION(0) + 4, 1, other));
	EXPECT_OK(io(4, REGION(0) + 4, 2, fd));
	EXPECT_OK(io(8, REGION(0) + 4, 1, fd));
	EXPECT_OK(io(4, REGION(0) + 8, 1, other));
	EXPECT_ERR(ENODEV, io(4, REGION(0) + 4, 3, -1));
	EXPECT_ERR(ENODEV, io(2, REGION(0) + 4, 1, -1));
	close(fd);
	EXPECT_ERR(EEXIST, io(4, REGION(0) + 4, 1, other));
	EXPECT_OK(io(4, REGION(0) + 4, 1, -1));
	EXPECT_ERR(ENODEV, io(4, REGION(0) + 4, 1, -1));
	EXPECT_OK(io(4, REGION(0) + 4, 1, other));
	close(other);
}

TEST(descriptors, "20:IOE-05", "a number below -1 and what is no eventfd are EINVAL, what is closed EBADF")
{
	int pipes[2];

	begin();
	EXPECT_ERR(EINVAL, io(4, REGION(0) + 4, 1, -2));
	EXPECT_ERR(EBADF, io(4, REGION(0) + 4, 1, 699));
	EXPECT_OK(pipe(pipes));
	EXPECT_ERR(EINVAL, io(4, REGION(0) + 4, 1, pipes[0]));
	EXPECT_ERR(EINVAL, io(4, REGION(0) + 4, 1, s.device));
	EXPECT_ERR(ENODEV, io(4, REGION(0) + 4, 1, -1));
	close(pipes[0]);
	close(pipes[1]);
}

TEST(many, "20:IOE-06", "there are up to 1000, those included whose eventfd is closed")
{
	int fd = event(), gone = event();

	begin();
	for (unsigned i = 0; i < 1000; i++)
		EXPECT_OK(io(4, REGION(0) + 4, i, i < 10 ? gone : fd));
	close(gone);
	EXPECT_ERR(ENOSPC, io(4, REGION(0) + 4, 1000, fd));
	EXPECT_ERR(EEXIST, io(4, REGION(0) + 4, 500, fd));
	EXPECT_OK(io(4, REGION(0) + 4, 5, -1));
	EXPECT_OK(io(4, REGION(0) + 4, 1000, fd));
	EXPECT_ERR(ENOSPC, io(4, REGION(0) + 4, 1001, fd));
	close(fd);
}

TEST(msix_table, "20:IOE-07", "what touches the MSI-X table is EINVAL; right behind it is not")
{
	int fd = event();
	unsigned cap, n;
	uint32_t table;
	uint64_t at;

	s = open_device(IGB);
	for (cap = config_read(s.device, 0x34, 1); cap && config_read(s.device, cap, 1) != 0x11;)
		cap = config_read(s.device, cap + 1, 1);
	EXPECT(cap);
	n = (config_read(s.device, cap + 2, 2) & 0x7ff) + 1;
	table = config_read(s.device, cap + 4, 4);
	at = REGION(table & 7) + (table & ~7u);
	for (uint32_t width = 1; width <= 8; width *= 2) {
		EXPECT_ERR(EINVAL, io(width, at, 0, fd));
		EXPECT_ERR(EINVAL, io(width, at + 16 * n - 1, 0, fd));
		EXPECT_OK(io(width, at + 16 * n, 0, fd));
	}
	close(fd);
}

TEST(memory_off, "20:IOE-09", "while memory is off a signal is taken and stores nothing; entries come and go as ever")
{
	int msi = begin(), fd = event(), late = event();
	uint32_t command = config_read(s.device, 4, 2);

	EXPECT_OK(io(4, REGION(0) + RAISE, 1, fd));
	config_write(s.device, 4, 2, command & ~2u);
	signal_it(fd, 1);
	wait_taken(fd);
	EXPECT_OK(io(4, REGION(0) + RAISE, 1, -1)); /* waits for a store under way */
	EXPECT_OK(io(4, REGION(0) + RAISE, 2, late));
	config_write(s.device, 4, 2, command);
	EXPECT_EQ(0, count_of(msi));
	EXPECT_EQ(0, load(0x24, 4));
	signal_it(late, 1);
	EXPECT_EQ(1, wait_count(msi));
	EXPECT_EQ(2, load(0x24, 4));
	close(fd);
	close(late);
	close(msi);
}

TEST(readable, "20:IOE-10", "an eventfd that is readable already stores at once and keeps its count, for the next signal's store")
{
	int msi = begin(), fd = event();

	signal_it(fd, 3);
	EXPECT_OK(io(4, REGION(0) + RAISE, 1, fd));
	EXPECT_EQ(1, wait_count(msi));
	EXPECT_EQ(3, count_of(fd));
	EXPECT_OK(io(4, REGION(0) + RAISE, 1, -1));
	signal_it(fd, 3);
	EXPECT_OK(io(4, REGION(0) + RAISE, 1, fd));
	EXPECT_EQ(1, wait_count(msi));
	signal_it(fd, 1);
	EXPECT_EQ(1, wait_count(msi));
	EXPECT_EQ(0, count_of(fd)); /* now it has gone with the signal's */
	EXPECT_OK(io(4, REGION(0) + RAISE, 1, -1));
	EXPECT_EQ(0, count_of(msi));
	close(fd);
	close(msi);
}

TEST(last_close, "20:IRQ-42", "the last close ends them")
{
	int msi = begin(), fd = event();

	EXPECT_OK(io(4, REGION(0) + RAISE, 1, fd));
	EXPECT_OK(x_close(s.device));
	s.device = EXPECT_OK(x_ioctl(s.group, VFIO_GROUP_GET_DEVICE_FD, EDU));
	signal_it(fd, 1);
	EXPECT_EQ(1, count_of(fd));
	EXPECT_ERR(ENODEV, io(4, REGION(0) + RAISE, 1, -1));
	close(fd);
	close(msi);
}
