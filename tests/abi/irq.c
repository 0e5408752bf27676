/* SPDX-License-Identifier: MIT */
/* Interrupts: what can be set up, what is refused, what arrives. */
#include "abi.h"
#include <poll.h>

enum { INTX, MSI, MSIX, ERR, REQ };
#define TRIGGER VFIO_IRQ_SET_ACTION_TRIGGER
#define MASK    VFIO_IRQ_SET_ACTION_MASK
#define UNMASK  VFIO_IRQ_SET_ACTION_UNMASK
#define NONE    VFIO_IRQ_SET_DATA_NONE
#define BOOL    VFIO_IRQ_SET_DATA_BOOL
#define EVENTFD VFIO_IRQ_SET_DATA_EVENTFD

static int set_irqs(int d, uint32_t flags, unsigned index, unsigned start, unsigned count, const void *data, size_t n)
{
	struct {
		struct vfio_irq_set h;
		char data[256];
	} b = { .h = { .argsz = (uint32_t)(20 + n), .flags = flags, .index = index, .start = start, .count = count } };

	memcpy((char *)&b + 20, data, n);
	return x_ioctl(d, VFIO_DEVICE_SET_IRQS, &b);
}

static int none(int d, unsigned index, unsigned start, unsigned count)
{
	return set_irqs(d, NONE | TRIGGER, index, start, count, "", 0);
}

static int hook(int d, unsigned index, unsigned start, unsigned count, const int32_t *fds)
{
	return set_irqs(d, EVENTFD | TRIGGER, index, start, count, fds, 4 * count);
}

static int32_t event(void)
{
	return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

/* The counter, 0 when nothing came */
static uint64_t count_of(int fd)
{
	uint64_t n = 0;

	return read(fd, &n, 8) == 8 ? n : 0;
}

static uint64_t wait_count(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	EXPECT_EQ(1, poll(&p, 1, 60000));
	return count_of(fd);
}

static struct vfio_irq_info info(int d, unsigned index)
{
	struct vfio_irq_info i = { .argsz = sizeof(i), .index = index };

	EXPECT_OK(x_ioctl(d, VFIO_DEVICE_GET_IRQ_INFO, &i));
	return i;
}

TEST(infos, "20:IRQ-01 20:IRQ-02 20:IRQ-04 20:IRQ-05", "IRQ_INFO of an edu: INTx 7, MSI 9, ERR and REQ 9; index 5 is EINVAL")
{
	struct setup s = open_device(EDU);
	struct vfio_irq_info i = { .argsz = sizeof(i), .index = 5 };

	EXPECT_EQ(7, info(s.device, INTX).flags);
	EXPECT_EQ(1, info(s.device, INTX).count);
	EXPECT_EQ(9, info(s.device, MSI).flags);
	EXPECT_EQ(1, info(s.device, MSI).count);
	EXPECT_EQ(0, info(s.device, MSIX).count);
	EXPECT_EQ(9, info(s.device, ERR).flags);
	EXPECT_EQ(1, info(s.device, ERR).count);
	EXPECT_EQ(1, info(s.device, REQ).count);
	EXPECT_ERR(EINVAL, x_ioctl(s.device, VFIO_DEVICE_GET_IRQ_INFO, &i));
	EXPECT_ERR(EINVAL, none(s.device, 5, 0, 1));
	i.index = 0;
	for (i.argsz = 0; i.argsz < 16; i.argsz++)
		EXPECT_ERR(EINVAL, x_ioctl(s.device, VFIO_DEVICE_GET_IRQ_INFO, &i));
}

TEST(msix_info, "20:IRQ-03", "MSI-X with dynamic vectors has flag EVENTFD only")
{
	struct setup s = open_device(IGB);

	EXPECT_EQ(1, info(s.device, MSIX).flags);
	EXPECT_EQ(10, info(s.device, MSIX).count);
}

TEST(checks, "20:IRQ-06 20:IRQ-07 20:IRQ-08 20:IRQ-09 20:IRQ-10 20:IRQ-45", "SET_IRQS checks its header in order")
{
	struct setup s = open_device(EDU);
	int32_t fd = event();
	struct vfio_irq_set h = { .flags = NONE | TRIGGER, .index = MSI, .count = 1 };

	for (h.argsz = 0; h.argsz < 20; h.argsz++)
		EXPECT_ERR(EINVAL, x_ioctl(s.device, VFIO_DEVICE_SET_IRQS, &h));
	EXPECT_ERR(EINVAL, set_irqs(s.device, NONE | BOOL | TRIGGER, MSI, 0, 1, "\1\1\1\1", 4));
	EXPECT_ERR(EINVAL, set_irqs(s.device, TRIGGER, MSI, 0, 1, "", 0));
	EXPECT_ERR(EINVAL, set_irqs(s.device, NONE | TRIGGER | 64, MSI, 0, 1, "", 0));
	EXPECT_ERR(ENOTTY, set_irqs(s.device, NONE, MSI, 0, 1, "", 0));
	EXPECT_ERR(ENOTTY, set_irqs(s.device, NONE | TRIGGER | MASK, MSI, 0, 1, "", 0));
	EXPECT_ERR(EINVAL, set_irqs(s.device, EVENTFD | TRIGGER, MSI, 0, 1, &fd, 3));
	EXPECT_ERR(EINVAL, set_irqs(s.device, BOOL | TRIGGER, MSI, 0, 1, "", 0));
	EXPECT_ERR(EINVAL, none(s.device, MSI, 0, 2));
	EXPECT_ERR(EINVAL, none(s.device, MSI, 1, 1));
	EXPECT_ERR(EINVAL, none(s.device, MSI, 0xffffffff, 1));
	EXPECT_ERR(EINVAL, none(s.device, MSI, 0, 0xffffffff));
	EXPECT_ERR(EINVAL, none(s.device, MSIX, 0, 0));
	close(fd);
}

TEST(mask_msi, "20:IRQ-11 20:IRQ-12 20:IRQ-34", "MSI and MSI-X know no MASK; INTx no MASK while inactive, and never one by eventfd")
{
	struct setup s = open_device(EDU);
	int32_t fd = event();

	EXPECT_ERR(ENOTTY, set_irqs(s.device, NONE | MASK, MSI, 0, 1, "", 0));
	EXPECT_ERR(ENOTTY, set_irqs(s.device, NONE | UNMASK, MSI, 0, 1, "", 0));
	EXPECT_ERR(EINVAL, set_irqs(s.device, NONE | MASK, INTX, 0, 1, "", 0));
	EXPECT_ERR(EINVAL, set_irqs(s.device, EVENTFD | MASK, INTX, 0, 1, &fd, 4));
	EXPECT_OK(hook(s.device, INTX, 0, 1, &fd));
	EXPECT_ERR(ENOTTY, set_irqs(s.device, EVENTFD | MASK, INTX, 0, 1, &fd, 4));
	close(fd);
}

TEST(one_at_a_time, "20:IRQ-13 20:IRQ-16", "a second index cannot be active; loopback needs the active one")
{
	struct setup s = open_device(EDU);
	int32_t fd = event();

	EXPECT_ERR(EINVAL, none(s.device, MSI, 0, 1));
	EXPECT_OK(hook(s.device, MSI, 0, 1, &fd));
	EXPECT_ERR(EINVAL, hook(s.device, INTX, 0, 1, &fd));
	EXPECT_ERR(EINVAL, none(s.device, INTX, 0, 1));
	EXPECT_OK(none(s.device, MSI, 0, 0));
	EXPECT_OK(hook(s.device, INTX, 0, 1, &fd));
	close(fd);
}

TEST(loopback, "20:IRQ-14 20:IRQ-15", "loopback by NONE fires each hooked vector once, by BOOL the chosen ones")
{
	struct setup s = open_device(IGB);
	int32_t fd[4];

	for (int i = 0; i < 4; i++)
		fd[i] = event();
	EXPECT_OK(hook(s.device, MSIX, 0, 4, fd));
	EXPECT_OK(none(s.device, MSIX, 0, 4));
	for (int i = 0; i < 4; i++)
		EXPECT_EQ(1, count_of(fd[i]));
	EXPECT_OK(set_irqs(s.device, BOOL | TRIGGER, MSIX, 0, 4, "\0\1\0\1", 4));
	for (int i = 0; i < 4; i++)
		EXPECT_EQ(i & 1, count_of(fd[i]));
	for (int i = 0; i < 4; i++)
		close(fd[i]);
}

TEST(detach_one, "20:IRQ-17 20:IRQ-20", "-1 unhooks one vector; vectors beyond the first set can be hooked later")
{
	struct setup s = open_device(IGB);
	int32_t fd[2] = { event(), event() }, off = -1;

	EXPECT_OK(hook(s.device, MSIX, 0, 1, fd));
	EXPECT_OK(hook(s.device, MSIX, 5, 1, fd + 1));
	EXPECT_OK(none(s.device, MSIX, 0, 6));
	EXPECT_EQ(1, count_of(fd[0]));
	EXPECT_EQ(1, count_of(fd[1]));
	EXPECT_OK(hook(s.device, MSIX, 0, 1, &off));
	EXPECT_OK(none(s.device, MSIX, 0, 6));
	EXPECT_EQ(0, count_of(fd[0]));
	EXPECT_EQ(1, count_of(fd[1]));
	close(fd[0]);
	close(fd[1]);
}

TEST(bad_fds, "20:IRQ-18 20:IRQ-19", "a closed descriptor is EBADF, one that is no eventfd EINVAL; nothing is enabled then")
{
	struct setup s = open_device(EDU);
	int32_t bad = 699, pipes[2];

	EXPECT_ERR(EBADF, hook(s.device, MSI, 0, 1, &bad));
	EXPECT_ERR(EINVAL, none(s.device, MSI, 0, 1));
	EXPECT_OK(pipe(pipes));
	EXPECT_ERR(EINVAL, hook(s.device, MSI, 0, 1, pipes));
	EXPECT_ERR(EINVAL, none(s.device, MSI, 0, 0));
	close(pipes[0]);
	close(pipes[1]);
}

TEST(disable, "20:IRQ-24 20:IRQ-25", "count 0 disables, once; the eventfds may be closed before")
{
	struct setup s = open_device(EDU);
	int32_t fd = event();

	EXPECT_ERR(EINVAL, none(s.device, MSI, 0, 0));
	EXPECT_OK(hook(s.device, MSI, 0, 1, &fd));
	close(fd);
	EXPECT_OK(none(s.device, MSI, 0, 1));
	EXPECT_OK(none(s.device, MSI, 0, 0));
	EXPECT_ERR(EINVAL, none(s.device, MSI, 0, 0));
}

static volatile uint32_t *map_edu(struct setup *s)
{
	volatile uint32_t *bar;

	*s = open_device(EDU);
	bar = x_mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_SHARED, s->device, REGION(0));
	EXPECT((void *)bar != MAP_FAILED);
	config_write(s->device, 4, 2, config_read(s->device, 4, 2) | 4); /* messages are writes: the master bit */
	return bar;
}

/* COMMAND as the hardware has it */
static unsigned command_of(const char *bdf)
{
	uint16_t command;
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config", bdf);
	fd = EXPECT_OK(x_open(path, O_RDONLY));
	EXPECT_EQ(2, x_pread(fd, &command, 2, 4));
	EXPECT_OK(x_close(fd));
	return command;
}

TEST(edu_msi, "20:IRQ-26", "each message of the device adds 1")
{
	struct setup s;
	volatile uint32_t *bar = map_edu(&s);
	int32_t fd = event();

	EXPECT_OK(hook(s.device, MSI, 0, 1, &fd));
	bar[0x60 / 4] = 1;
	EXPECT_EQ(1, wait_count(fd));
	EXPECT_EQ(1, bar[0x24 / 4]);
	bar[0x64 / 4] = 1;
	EXPECT_EQ(0, bar[0x24 / 4]);
	bar[0x60 / 4] = 2;
	EXPECT_EQ(1, wait_count(fd));
	bar[0x64 / 4] = 2;
	close(fd);
}

TEST(edu_intx, "20:IRQ-28 20:IRQ-29", "INTx masks itself when it arrives; unmasked while high it comes again and stays masked")
{
	struct setup s;
	volatile uint32_t *bar = map_edu(&s);
	int32_t fd = event();

	EXPECT_OK(hook(s.device, INTX, 0, 1, &fd));
	bar[0x60 / 4] = 1;
	EXPECT_EQ(1, wait_count(fd));
	EXPECT_EQ(0x400, command_of(EDU) & 0x400); /* so it is masked */
	EXPECT_EQ(0, config_read(s.device, 4, 2) & 0x400);
	bar[0x60 / 4] = 2;
	EXPECT_EQ(0, count_of(fd));
	EXPECT_OK(set_irqs(s.device, NONE | UNMASK, INTX, 0, 1, "", 0));
	EXPECT_EQ(1, wait_count(fd));
	EXPECT_EQ(0, count_of(fd));
	bar[0x64 / 4] = 3;
	EXPECT_OK(set_irqs(s.device, NONE | UNMASK, INTX, 0, 1, "", 0));
	EXPECT_EQ(0, count_of(fd));
	bar[0x60 / 4] = 4;
	EXPECT_EQ(1, wait_count(fd));
	bar[0x64 / 4] = 4;
	close(fd);
}

TEST(edu_intx_disable, "20:IRQ-30", "COMMAND's INTx disable holds an interrupt back, clearing it delivers")
{
	struct setup s;
	volatile uint32_t *bar = map_edu(&s);
	int32_t fd = event();
	uint32_t cmd = config_read(s.device, 4, 2);

	EXPECT_OK(hook(s.device, INTX, 0, 1, &fd));
	config_write(s.device, 4, 2, cmd | 0x400);
	bar[0x60 / 4] = 1;
	EXPECT_EQ(0, count_of(fd));
	config_write(s.device, 4, 2, cmd);
	EXPECT_EQ(1, wait_count(fd));
	bar[0x64 / 4] = 1;
	close(fd);
}

TEST(unmask_eventfd, "20:IRQ-31", "an eventfd unmasks INTx; a second one is EBUSY; -1 takes it away")
{
	struct setup s;
	volatile uint32_t *bar = map_edu(&s);
	int32_t fd = event(), un = event(), off = -1;
	uint64_t one = 1;

	EXPECT_OK(hook(s.device, INTX, 0, 1, &fd));
	EXPECT_OK(set_irqs(s.device, EVENTFD | UNMASK, INTX, 0, 1, &un, 4));
	EXPECT_ERR(EBUSY, set_irqs(s.device, EVENTFD | UNMASK, INTX, 0, 1, &un, 4));
	bar[0x60 / 4] = 1;
	EXPECT_EQ(1, wait_count(fd));
	EXPECT_EQ(8, write(un, &one, 8));
	EXPECT_EQ(1, wait_count(fd));
	bar[0x64 / 4] = 1;
	EXPECT_OK(set_irqs(s.device, EVENTFD | UNMASK, INTX, 0, 1, &off, 4));
	EXPECT_OK(set_irqs(s.device, EVENTFD | UNMASK, INTX, 0, 1, &un, 4));
	close(fd);
	close(un);
}

TEST(unmask_signalled, "20:IRQ-32", "an unmask eventfd that is readable already unmasks at once and keeps its count")
{
	struct setup s;
	volatile uint32_t *bar = map_edu(&s);
	int32_t fd = event(), un = event();
	uint64_t two = 2;

	EXPECT_OK(hook(s.device, INTX, 0, 1, &fd));
	bar[0x60 / 4] = 1;
	EXPECT_EQ(1, wait_count(fd));
	EXPECT_EQ(8, write(un, &two, 8));
	EXPECT_OK(set_irqs(s.device, EVENTFD | UNMASK, INTX, 0, 1, &un, 4));
	EXPECT_EQ(1, wait_count(fd)); /* the line is up still */
	EXPECT_EQ(2, count_of(un));
	bar[0x64 / 4] = 1;
	close(fd);
	close(un);
}

TEST(intx_silent, "20:IRQ-33", "INTx without an eventfd is active and signals nobody; one can be given later")
{
	struct setup s;
	volatile uint32_t *bar = map_edu(&s);
	int32_t fd = event(), off = -1;

	EXPECT_OK(hook(s.device, INTX, 0, 1, &off));
	EXPECT_ERR(EINVAL, hook(s.device, MSI, 0, 1, &fd));
	EXPECT_OK(none(s.device, INTX, 0, 1));
	bar[0x60 / 4] = 1;
	EXPECT_OK(hook(s.device, INTX, 0, 1, &fd));
	EXPECT_EQ(0, count_of(fd)); /* it has come, and masked itself */
	EXPECT_OK(set_irqs(s.device, NONE | UNMASK, INTX, 0, 1, "", 0));
	EXPECT_EQ(1, wait_count(fd));
	bar[0x64 / 4] = 1;
	EXPECT_OK(none(s.device, INTX, 0, 0));
	EXPECT_ERR(EINVAL, none(s.device, INTX, 0, 0));
	close(fd);
}

TEST(intx_swap, "20:IRQ-35", "another eventfd for INTx does not unmask it")
{
	struct setup s;
	volatile uint32_t *bar = map_edu(&s);
	int32_t fd = event(), other = event();

	EXPECT_OK(hook(s.device, INTX, 0, 1, &fd));
	bar[0x60 / 4] = 1;
	EXPECT_EQ(1, wait_count(fd));
	EXPECT_OK(hook(s.device, INTX, 0, 1, &other));
	bar[0x60 / 4] = 2;
	EXPECT_EQ(0, count_of(fd) + count_of(other));
	EXPECT_OK(set_irqs(s.device, NONE | UNMASK, INTX, 0, 1, "", 0));
	EXPECT_EQ(1, wait_count(other));
	EXPECT_EQ(0, count_of(fd));
	bar[0x64 / 4] = 3;
	/* one that was masked by hand stays so, too */
	EXPECT_OK(set_irqs(s.device, NONE | UNMASK, INTX, 0, 1, "", 0));
	EXPECT_OK(set_irqs(s.device, NONE | MASK, INTX, 0, 1, "", 0));
	EXPECT_OK(hook(s.device, INTX, 0, 1, &fd));
	bar[0x60 / 4] = 4;
	EXPECT_EQ(0, count_of(fd) + count_of(other));
	EXPECT_OK(set_irqs(s.device, NONE | UNMASK, INTX, 0, 1, "", 0));
	EXPECT_EQ(1, wait_count(fd));
	bar[0x64 / 4] = 4;
	close(fd);
	close(other);
}

TEST(nointxmask, "20:IRQ-44", "with nointxmask, read when the driver is bound, INTx works without COMMAND's bit 10, which is the user's alone")
{
	const char *param = "/sys/module/vfio_pci/parameters/nointxmask";
	struct setup s;
	volatile uint32_t *bar;
	int32_t fd = event();
	uint32_t cmd;

	unbind(EDU);
	EXPECT_OK(sys_write(param, "Y"));
	bind_vfio(EDU);
	EXPECT_OK(sys_write(param, "N"));
	bar = map_edu(&s);
	cmd = config_read(s.device, 4, 2);
	EXPECT_EQ(0, cmd & 0x400);
	EXPECT_OK(hook(s.device, INTX, 0, 1, &fd));
	bar[0x60 / 4] = 1;
	EXPECT_EQ(1, wait_count(fd));
	EXPECT_EQ(0, config_read(s.device, 4, 2) & 0x400);
	EXPECT_EQ(0, command_of(EDU) & 0x400);
	bar[0x60 / 4] = 2;
	EXPECT_EQ(0, count_of(fd));
	EXPECT_OK(set_irqs(s.device, NONE | UNMASK, INTX, 0, 1, "", 0));
	EXPECT_EQ(1, wait_count(fd));
	bar[0x64 / 4] = 3;
	EXPECT_OK(set_irqs(s.device, NONE | UNMASK, INTX, 0, 1, "", 0));
	config_write(s.device, 4, 2, cmd | 0x400);
	EXPECT_EQ(cmd | 0x400, config_read(s.device, 4, 2));
	EXPECT_EQ(0, command_of(EDU) & 0x400);
	bar[0x60 / 4] = 4;
	EXPECT_EQ(0, count_of(fd));
	config_write(s.device, 4, 2, cmd);
	EXPECT_EQ(1, wait_count(fd));
	bar[0x64 / 4] = 4;
	close(fd);
	EXPECT_OK(x_munmap((void *)bar, 0x1000));
	EXPECT_OK(x_close(s.device));
	unbind(EDU);
}

TEST(err, "20:IRQ-36 20:IRQ-37", "ERR: hook, loopback, remove once; a descriptor below -1 is EINVAL")
{
	struct setup s = open_device(EDU);
	int32_t fd = event(), bad = -2;

	EXPECT_ERR(EINVAL, hook(s.device, ERR, 0, 1, &bad));
	EXPECT_OK(hook(s.device, ERR, 0, 1, &fd));
	EXPECT_OK(set_irqs(s.device, BOOL | TRIGGER, ERR, 0, 1, "\1", 1));
	EXPECT_EQ(1, count_of(fd));
	EXPECT_OK(none(s.device, ERR, 0, 0));
	EXPECT_ERR(EINVAL, none(s.device, ERR, 0, 0));
	close(fd);
}

TEST(across_reset, "20:IRQ-40 20:IRQ-41 20:RST-02", "RESET keeps MSI-X hooks, and they can be set again")
{
	struct setup s = open_device(IGB);
	int32_t fd[2] = { event(), event() };

	EXPECT_OK(hook(s.device, MSIX, 0, 2, fd));
	EXPECT_OK(x_ioctl(s.device, VFIO_DEVICE_RESET, NULL));
	EXPECT_OK(none(s.device, MSIX, 0, 2));
	EXPECT_EQ(1, count_of(fd[0]));
	EXPECT_EQ(1, count_of(fd[1]));
	EXPECT_OK(hook(s.device, MSIX, 0, 2, fd));
	close(fd[0]);
	close(fd[1]);
}

TEST(msix_while_off, "20:MEM-08 20:IRQ-42", "MSI-X can be set up with COMMAND.MEM off, and COMMAND is left alone; the last close drops all")
{
	struct setup s = open_device(IGB);
	int32_t fd = event();
	uint32_t cmd = config_read(s.device, 4, 2) & ~2u;

	config_write(s.device, 4, 2, cmd);
	EXPECT_OK(hook(s.device, MSIX, 0, 1, &fd));
	EXPECT_EQ(cmd, config_read(s.device, 4, 2));
	EXPECT_OK(none(s.device, MSIX, 0, 1));
	EXPECT_EQ(1, count_of(fd));
	EXPECT_OK(x_close(s.device));
	s.device = EXPECT_OK(x_ioctl(s.group, VFIO_GROUP_GET_DEVICE_FD, IGB));
	EXPECT_ERR(EINVAL, none(s.device, MSIX, 0, 1));
	close(fd);
}
