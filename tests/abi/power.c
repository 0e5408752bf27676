/* SPDX-License-Identifier: MIT */
/* Low power mode: what sleeps, what wakes it, and what does not answer meanwhile. */
#include "face.h"
#include <sched.h>
#include <signal.h>

#define ENTRY  VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY
#define WAKEUP VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP
#define EXIT   VFIO_DEVICE_FEATURE_LOW_POWER_EXIT
#define SYS    "/sys/bus/pci/devices/" IGB "/"

static struct setup s;
static void *bar;

static int feature(uint32_t flags, const void *payload, uint32_t n)
{
	struct {
		struct vfio_device_feature f;
		char payload[16];
	} a = { .f = { .argsz = (uint32_t)sizeof(a.f) + n, .flags = flags } };

	memcpy(a.payload, payload, n);
	return x_ioctl(s.device, VFIO_DEVICE_FEATURE, &a);
}

static int set(uint32_t number)
{
	return feature(VFIO_DEVICE_FEATURE_SET | number, "", 0);
}

static int enter_with(int fd, uint32_t n)
{
	struct vfio_device_low_power_entry_with_wakeup w = { .wakeup_eventfd = fd };

	return feature(VFIO_DEVICE_FEATURE_SET | WAKEUP, &w, n);
}

static int event(void)
{
	return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

static void begin(void)
{
	s = open_device(IGB);
	bar = x_mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_SHARED, s.device, REGION(0));
	EXPECT(bar != MAP_FAILED);
}

static void touch(void *p)
{
	(void)*(volatile uint32_t *)p;
}

static bool answers(void)
{
	int sig = signal_of(touch, bar);

	EXPECT(sig == 0 || sig == SIGBUS);
	return sig == 0;
}

/* Linux puts the device to sleep some time after the call; looking does not wake it. */
static void wait_asleep(void)
{
	const char *state;

	while ((state = sys_read(SYS "power/runtime_status")) && strcmp(state, "suspended") != 0)
		sched_yield();
}

TEST(twice, "20:PWR-01 20:PWR-02", "low power mode is entered once, and left as often as one likes")
{
	begin();
	EXPECT_OK(set(EXIT));
	EXPECT_OK(set(EXIT));
	EXPECT_OK(set(ENTRY));
	EXPECT_ERR(EINVAL, set(ENTRY));
	EXPECT_ERR(EINVAL, enter_with(event(), 8));
	EXPECT_OK(set(EXIT));
	EXPECT_OK(set(EXIT));
	EXPECT_OK(set(ENTRY));
	EXPECT_OK(set(EXIT));
}

TEST(wakeup_checks, "20:PWR-03 20:PWR-05", "the wakeup's eventfd must be one, and all of the payload be there; else the mode is not entered")
{
	int pipes[2];

	begin();
	EXPECT_ERR(EINVAL, enter_with(-1, 8));
	EXPECT_ERR(EINVAL, enter_with(-2, 8));
	EXPECT_ERR(EBADF, enter_with(699, 8));
	EXPECT_OK(pipe(pipes));
	EXPECT_ERR(EINVAL, enter_with(pipes[0], 8));
	for (uint32_t n = 0; n < 8; n++)
		EXPECT_ERR(EINVAL, enter_with(pipes[0], n));
	EXPECT(answers());
	EXPECT_OK(set(ENTRY));
	EXPECT_OK(set(EXIT));
	close(pipes[0]);
	close(pipes[1]);
}

TEST(mapping, "20:MEM-09", "in low power mode mappings raise SIGBUS, reads and writes work, and neither ends it; EXIT does")
{
	uint32_t v;

	begin();
	EXPECT(answers());
	EXPECT_OK(set(ENTRY));
	EXPECT(!answers());
	wait_asleep();
	EXPECT(!answers());
	EXPECT_EQ(4, x_pread(s.device, &v, 4, REGION(0)));
	EXPECT_EQ(4, x_pwrite(s.device, &v, 4, REGION(0)));
	EXPECT_EQ(0x8086, config_read(s.device, 0, 2));
	EXPECT(!answers());
	config_write(s.device, 4, 2, config_read(s.device, 4, 2));
	EXPECT(!answers());
	EXPECT_ERR(EINVAL, set(ENTRY));
	EXPECT_OK(set(EXIT));
	EXPECT(answers());
	config_write(s.device, 4, 2, config_read(s.device, 4, 2) & ~2u);
	EXPECT_OK(set(ENTRY));
	EXPECT_OK(set(EXIT));
	EXPECT(!answers());
}

TEST(wakeup, "20:PWR-04", "with a wakeup the first access after it slept signals, once, and ends the mode")
{
	int fd = event();

	begin();
	EXPECT_OK(enter_with(fd, 8));
	wait_asleep();
	EXPECT(!answers());
	EXPECT_EQ(0, count_of(fd));
	EXPECT_EQ(0x8086, config_read(s.device, 0, 2));
	EXPECT_EQ(1, count_of(fd));
	EXPECT(answers());
	EXPECT_EQ(0x8086, config_read(s.device, 0, 2));
	EXPECT_EQ(0, count_of(fd));
	EXPECT_OK(set(EXIT));
	/* entered anew, left by hand: that is an access, too */
	EXPECT_OK(enter_with(fd, 8));
	wait_asleep();
	EXPECT_OK(set(EXIT));
	EXPECT_EQ(1, count_of(fd));
	EXPECT(answers());
	/* without one nobody is told */
	EXPECT_OK(set(ENTRY));
	wait_asleep();
	EXPECT_EQ(0x8086, config_read(s.device, 0, 2));
	EXPECT_EQ(0, count_of(fd));
	EXPECT(!answers());
	EXPECT_OK(set(EXIT));
	close(fd);
}

TEST(latched, "20:PWR-07", "debugfs has the module's parameters as they were when the device was bound")
{
	static const char *const names[] = { "disable_idle_d3", "nointxmask" };
	char param[128], own[128];
	struct stat st;

	if (test_door() == DOOR_HOST && x_stat("/sys/kernel/debug/vfio", &st))
		test_skip("this kernel has nothing there");
	for (unsigned i = 0; i < 2; i++) {
		snprintf(param, sizeof(param), "/sys/module/vfio_pci/parameters/%s", names[i]);
		snprintf(own, sizeof(own), "/sys/kernel/debug/vfio/" IGB "/pci/%s", names[i]);
		unbind(IGB);
		EXPECT(!sys_read(own));
		EXPECT_OK(sys_write(param, "Y"));
		bind_vfio(IGB);
		EXPECT_OK(sys_write(param, "N"));
		EXPECT(strcmp(sys_read(own), "Y") == 0);
		unbind(IGB);
		bind_vfio(IGB);
		EXPECT_OK(sys_write(param, "Y"));
		EXPECT(strcmp(sys_read(own), "N") == 0);
		EXPECT_OK(sys_write(param, "N"));
		EXPECT_OK(x_stat(own, &st));
		EXPECT_EQ(S_IFREG | 0444, st.st_mode);
	}
}

TEST(last_close, "20:PWR-06", "the last close leaves the mode, and signals nobody later")
{
	int fd = event();

	begin();
	EXPECT_OK(enter_with(fd, 8));
	wait_asleep();
	EXPECT_OK(x_munmap(bar, 0x1000));
	EXPECT_OK(x_close(s.device));
	(void)count_of(fd); /* a close is an access or is none */
	s.device = EXPECT_OK(x_ioctl(s.group, VFIO_GROUP_GET_DEVICE_FD, IGB));
	bar = x_mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_SHARED, s.device, REGION(0));
	EXPECT(answers());
	EXPECT_OK(set(ENTRY));
	EXPECT(!answers());
	EXPECT_OK(set(EXIT));
	EXPECT_EQ(0, count_of(fd));
	close(fd);
}
