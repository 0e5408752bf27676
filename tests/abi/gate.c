/* SPDX-License-Identifier: MIT */
/*
 * BARs while memory is switched off and on and the device is reset: what other devices, other threads and system calls
 * with a buffer in the BAR itself see.
 */
#include "abi.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>

#define COUNTER    "0000:02:00.0" /* uvfio's own: counts accesses to BAR 0, where a store at 16 raises a vector */
#define REGISTER   0x2800u        /* of an igb: keeps what is a multiple of 256, as 0x3800 does */
#define EDU_BUFFER 0x40000u
#define PAGE       4096u
#define IOVA       0x100000ull

static struct setup s;

static volatile char *map_bar(int device, unsigned index, size_t n)
{
	void *p = x_mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, device, REGION(index));

	EXPECT(p != MAP_FAILED);
	return p;
}

static bool have_counter(void)
{
	return test_door() != DOOR_HOST;
}

static void reg_set(int device, uint32_t v)
{
	EXPECT_EQ(4, x_pwrite(device, &v, 4, REGION(0) + REGISTER));
}

static uint32_t reg(int device)
{
	uint32_t v;

	EXPECT_EQ(4, x_pread(device, &v, 4, REGION(0) + REGISTER));
	return v;
}

/* ---- another device's DMA ---- */

TEST(dma, "20:MEM-15 20:MEM-12", "what type1 maps of a BAR stays mapped while memory is off: DMA is lost then, and arrives when it is on again")
{
	struct setup edu = open_device(EDU);
	int group, igb;
	volatile uint32_t *bar = (void *)map_bar(edu.device, 0, 0x100000);
	uint32_t *ram = test_memory(PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE), command;
	uint64_t n = 0;
	void *target;

	bind_vfio(IGB);
	group = EXPECT_OK(open_group(IGB));
	EXPECT_OK(set_container(group, edu.container));
	igb = EXPECT_OK(x_ioctl(group, VFIO_GROUP_GET_DEVICE_FD, IGB));
	config_write(edu.device, 4, 2, config_read(edu.device, 4, 2) | 6);
	command = config_read(igb, 4, 2);
	target = (void *)map_bar(igb, 0, 0x4000);
	EXPECT_OK(map_dma(edu.container, target, IOVA, 0x4000, 3));
	EXPECT_OK(map_dma(edu.container, ram, 2 * IOVA, PAGE, 3));
	*ram = 0x5a5a0100;
	edu_dma(bar, 2 * IOVA, EDU_BUFFER, 4, 0);
	edu_dma(bar, EDU_BUFFER, IOVA + REGISTER, 4, 1);
	EXPECT_EQ(0x5a5a0100, reg(igb));
	config_write(igb, 4, 2, command & ~2u);
	*ram = 0x5a5a0200;
	edu_dma(bar, 2 * IOVA, EDU_BUFFER, 4, 0);
	edu_dma(bar, EDU_BUFFER, IOVA + REGISTER, 4, 1);
	config_write(igb, 4, 2, command);
	EXPECT_EQ(0x5a5a0100, reg(igb));
	*ram = 0x5a5a0300;
	edu_dma(bar, 2 * IOVA, EDU_BUFFER, 4, 0);
	edu_dma(bar, EDU_BUFFER, IOVA + REGISTER, 4, 1);
	EXPECT_EQ(0x5a5a0300, reg(igb));
	EXPECT_OK(unmap_dma(edu.container, IOVA, 0x4000, &n));
	EXPECT_EQ(0x4000, n);
}

/* ---- a system call whose buffer is the BAR ---- */

TEST(own_buffer, "20:MEM-20", "a mapping of the BAR is a buffer for a read and a write of the BAR as any other; with memory off they fail")
{
	/* Linux copies byte by byte, each of which an igb takes for a whole register. */
	bool memory = test_door() != DOOR_HOST;
	volatile char *bar, *to;
	uint32_t v, command;

	s = open_device(IGB);
	bar = map_bar(s.device, 0, 0x4000);
	to = bar + 0x3800; /* as REGISTER */
	command = config_read(s.device, 4, 2);
	(void)*(volatile uint32_t *)to;
	reg_set(s.device, 0x5a5a0100);
	EXPECT_EQ(4, x_pread(s.device, (void *)to, 4, REGION(0) + REGISTER));
	EXPECT_EQ(4, x_pread(s.device, &v, 4, REGION(0) + 0x3800));
	EXPECT(v == 0x5a5a0100 || !memory);
	*(volatile uint32_t *)to = 0x5a5a0200;
	EXPECT_EQ(4, x_pwrite(s.device, (void *)to, 4, REGION(0) + REGISTER));
	EXPECT(reg(s.device) == 0x5a5a0200 || !memory);
	config_write(s.device, 4, 2, command & ~2u);
	EXPECT_ERR(EIO, x_pread(s.device, (void *)to, 4, REGION(0) + REGISTER));
	EXPECT_ERR(EFAULT, x_pread(s.device, (void *)to, 4, REGION(7)));
	EXPECT_ERR(EFAULT, x_pwrite(s.device, (void *)to, 4, REGION(7) + 0x10));
	config_write(s.device, 4, 2, command);
	EXPECT(reg(s.device) == 0x5a5a0200 || !memory);
}

TEST(own_buffer_trapped, "20:MEM-20", "registers whose every access is carried to the device are no buffer: EFAULT, and no harm done")
{
	volatile char *bar;
	uint32_t v = 0x5a5a0100;

	if (!have_counter())
		test_skip("on a real Linux all BARs are alike");
	s = open_device(COUNTER);
	bar = map_bar(s.device, 0, 0x4000);
	EXPECT_EQ(4, x_pwrite(s.device, &v, 4, REGION(0) + 0x100));
	EXPECT_ERR(EFAULT, x_pread(s.device, (void *)(bar + 0x200), 4, REGION(0) + 0x100));
	EXPECT_ERR(EFAULT, x_pwrite(s.device, (void *)(bar + 0x100), 4, REGION(0) + 0x200));
	EXPECT_EQ(0x5a5a0100, *(volatile uint32_t *)(bar + 0x100));
	EXPECT_EQ(0, *(volatile uint32_t *)(bar + 0x200));
}

/* ---- threads ---- */

struct race {
	volatile char *bar;
	atomic_uint on, off, calls, refused, wrong;
	atomic_bool over;
};

static void touch(void *p)
{
	(void)*(volatile uint32_t *)((char *)p + REGISTER);
}

static void *loads(void *arg)
{
	struct race *r = arg;

	while (!atomic_load(&r->over)) {
		int sig = signal_of(touch, (void *)r->bar);

		atomic_fetch_add(sig == 0 ? &r->on : sig == SIGBUS ? &r->off : &r->wrong, 1);
	}
	return NULL;
}

static void *calls(void *arg)
{
	struct race *r = arg;

	while (!atomic_load(&r->over)) {
		uint32_t v;
		ssize_t n = x_pread(s.device, &v, 4, REGION(0) + REGISTER);

		atomic_fetch_add(n == 4 ? &r->calls : n < 0 && errno == EIO ? &r->refused : &r->wrong, 1);
	}
	return NULL;
}

static void *resets(void *arg)
{
	struct race *r = arg;

	while (!atomic_load(&r->over)) {
		if (x_ioctl(s.device, VFIO_DEVICE_RESET, NULL) && errno != EAGAIN)
			atomic_fetch_add(&r->wrong, 1);
		sched_yield();
	}
	return NULL;
}

static void command_write(struct race *r, uint32_t v)
{
	if (x_pwrite(s.device, &v, 2, REGION(7) + 4) != 2)
		atomic_fetch_add(&r->wrong, 1);
}

/* Wait until one more of each has been seen */
static void wait_for(atomic_uint *a, atomic_uint *b)
{
	unsigned x = atomic_load(a), y = atomic_load(b);

	while (atomic_load(a) == x || atomic_load(b) == y)
		sched_yield();
}

static unsigned rounds(void)
{
	return test_door() == DOOR_HOST ? 5 : 100;
}

TEST(contention, "20:MEM-19", "who loads while others write COMMAND, set up MSI-X and reset, memory being on, waits and is never refused")
{
	struct {
		struct vfio_irq_set h;
		int32_t fd;
	} a = { .h = { .argsz = 24, .flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, .index = 2, .count = 1 } };
	struct vfio_irq_set off = { .argsz = 20, .flags = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER, .index = 2 };
	int32_t fd = eventfd(0, EFD_NONBLOCK);
	struct race r = { 0 };
	pthread_t thread[2];
	uint32_t command;

	memcpy((char *)&a + 20, &fd, 4);
	s = open_device(IGB);
	r.bar = map_bar(s.device, 0, 0x4000);
	command = config_read(s.device, 4, 2);
	EXPECT_EQ(0, pthread_create(&thread[0], NULL, loads, &r));
	EXPECT_EQ(0, pthread_create(&thread[1], NULL, calls, &r));
	for (unsigned i = 0; i < rounds(); i++) {
		command_write(&r, command | (i & 1 ? 4 : 0));
		if (x_ioctl(s.device, VFIO_DEVICE_SET_IRQS, &a) || x_ioctl(s.device, VFIO_DEVICE_RESET, NULL) ||
		    x_ioctl(s.device, VFIO_DEVICE_SET_IRQS, &off))
			atomic_fetch_add(&r.wrong, 1);
		wait_for(&r.on, &r.calls);
	}
	atomic_store(&r.over, true);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	EXPECT_EQ(0, atomic_load(&r.wrong));
	EXPECT_EQ(0, atomic_load(&r.off));
	EXPECT_EQ(0, atomic_load(&r.refused));
	close(fd);
}

TEST(toggling, "20:MEM-21", "while one thread switches memory off and on and another resets, a load is answered or SIGBUS, a read is done or EIO")
{
	struct race r = { 0 };
	pthread_t thread[3];
	uint32_t command;

	s = open_device(IGB);
	r.bar = map_bar(s.device, 0, 0x4000);
	command = config_read(s.device, 4, 2);
	EXPECT_EQ(0, pthread_create(&thread[0], NULL, loads, &r));
	EXPECT_EQ(0, pthread_create(&thread[1], NULL, calls, &r));
	EXPECT_EQ(0, pthread_create(&thread[2], NULL, resets, &r));
	for (unsigned i = 0; i < rounds(); i++) {
		command_write(&r, command & ~2u);
		wait_for(&r.off, &r.refused);
		command_write(&r, command | 2);
		wait_for(&r.on, &r.calls);
	}
	atomic_store(&r.over, true);
	for (unsigned i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	EXPECT_EQ(0, atomic_load(&r.wrong));
	reg_set(s.device, 0x5a5a0100);
	EXPECT_EQ(0x5a5a0100, reg(s.device));
}

/* ---- the MSI-X table ---- */

TEST(msix_table, "20:IRQ-43", "stores to the MSI-X table by a mapping change nothing: messages go where they went")
{
	struct {
		struct vfio_irq_set h;
		int32_t fd[2];
	} a = { .h = { .argsz = 28, .flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, .index = 2, .count = 2 } };
	int32_t fd[2] = { eventfd(0, EFD_NONBLOCK), eventfd(0, EFD_NONBLOCK) };
	volatile uint32_t *bar, *table, *other, entry[8];
	uint64_t n;

	if (!have_counter())
		test_skip("a real Linux lets it happen, and relies on interrupt remapping");
	memcpy((char *)&a + 20, fd, 8);
	s = open_device(COUNTER);
	bar = (void *)map_bar(s.device, 0, 0x4000);
	other = (void *)map_bar(s.device, 2, 0x4000);
	table = other + 0x1000 / 4;
	config_write(s.device, 4, 2, config_read(s.device, 4, 2) | 6);
	EXPECT_OK(x_ioctl(s.device, VFIO_DEVICE_SET_IRQS, &a));
	for (unsigned i = 0; i < 8; i++)
		entry[i] = table[i];
	for (unsigned i = 0; i < 4; i++) { /* vector 0 as vector 1, and masked */
		table[i] = i == 3 ? 1 : table[4 + i];
		table[4 + i] = 0xffffffff;
	}
	for (unsigned i = 0; i < 8; i++)
		EXPECT_EQ(entry[i], table[i]);
	bar[16 / 4] = 0;
	EXPECT_EQ(8, read(fd[0], &n, 8));
	EXPECT_EQ(1, n);
	bar[16 / 4] = 1;
	EXPECT_EQ(8, read(fd[1], &n, 8));
	EXPECT_EQ(1, n);
	errno = 0;
	EXPECT(read(fd[0], &n, 8) < 0 && errno == EAGAIN);
	other[0] = 0x12345678; /* what is beside the table is memory */
	EXPECT_EQ(0x12345678, other[0]);
	close(fd[0]);
	close(fd[1]);
}
