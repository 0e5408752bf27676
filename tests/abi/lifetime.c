/* SPDX-License-Identifier: MIT */
/* Unbinding a device that a program has open, and the index a device has while it is bound. Spec: 10, 3.1 and 3.4. */
#include "abi.h"
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>

#define UNBIND "/sys/bus/pci/drivers/vfio-pci/unbind"

/* ---- an unbind under way ---- */

/* Not on a stack: a test that fails goes away while the thread is still in the call. */
static struct {
	pthread_t thread;
	int file;
	atomic_bool back;
	ssize_t result;
} pending;

static void *pending_run(void *arg)
{
	pending.result = x_write(pending.file, arg, strlen(arg));
	atomic_store(&pending.back, true);
	return NULL;
}

static void pending_start(const char *bdf)
{
	pending.file = EXPECT_OK(x_open(UNBIND, O_WRONLY));
	atomic_store(&pending.back, false);
	EXPECT_EQ(0, pthread_create(&pending.thread, NULL, pending_run, (void *)(uintptr_t)bdf));
}

static void pending_end(const char *bdf)
{
	pthread_join(pending.thread, NULL);
	EXPECT_EQ(strlen(bdf), pending.result);
	EXPECT(!driver_of(bdf));
	EXPECT_OK(x_close(pending.file));
}

/* ---- the request ---- */

/* An eventfd that is signalled when the kernel wants the device back. */
static int request_event(int device)
{
	struct {
		struct vfio_irq_set head;
		int32_t fd;
	} r = { .head = {
		.argsz = sizeof(r),
		.flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
		.index = VFIO_PCI_REQ_IRQ_INDEX,
		.count = 1,
	} };

	r.fd = EXPECT_OK(eventfd(0, EFD_CLOEXEC));
	EXPECT_OK(x_ioctl(device, VFIO_DEVICE_SET_IRQS, &r));
	return r.fd;
}

/* Waits until it is signalled, or until nothing can be meant to come. */
static void request_wait(int event)
{
	struct pollfd p = { .fd = event, .events = POLLIN };
	uint64_t n;

	EXPECT_EQ(1, poll(&p, 1, 120000));
	EXPECT_EQ(8, read(event, &n, 8));
	EXPECT_EQ(1, n);
}

TEST(unbind_waits, "10:LIF-02 10:LIF-05", "unbind asks for an open device at once and waits for it; meanwhile it works, but is not found")
{
	struct setup s = open_device(EDU);
	int event = request_event(s.device), again = EXPECT_OK(x_ioctl(s.group, VFIO_GROUP_GET_DEVICE_FD, EDU));

	pending_start(EDU);
	request_wait(event);
	EXPECT_ERR(ENODEV, x_ioctl(s.group, VFIO_GROUP_GET_DEVICE_FD, EDU));
	EXPECT_EQ(0x11e81234, config_read(s.device, 0, 4));
	EXPECT_OK(x_close(s.device));
	EXPECT_EQ(0x11e81234, config_read(again, 0, 4));
	EXPECT_ERR(ENODEV, x_ioctl(s.group, VFIO_GROUP_GET_DEVICE_FD, EDU));
	EXPECT_ERR(EBUSY, x_ioctl(s.group, VFIO_GROUP_UNSET_CONTAINER, NULL));
	EXPECT(!atomic_load(&pending.back));
	EXPECT_OK(x_close(again));
	pending_end(EDU);
	close(event);
}

TEST(unbind_asks_again, "10:LIF-02", "as long as the device is open the request is repeated")
{
	struct setup s = open_device(EDU);
	int event = request_event(s.device);

	pending_start(EDU);
	request_wait(event);
	request_wait(event);
	EXPECT(!atomic_load(&pending.back));
	EXPECT_OK(x_close(s.device));
	pending_end(EDU);
	close(event);
}

static void signal_nothing(int sig)
{
}

TEST(unbind_signal, "10:LIF-07", "a signal to the writer does not end the wait: another request comes, and unbind succeeds")
{
	struct sigaction sa = { .sa_handler = signal_nothing }, old;
	struct setup s = open_device(EDU);
	int event = request_event(s.device);

	EXPECT_OK(sigaction(SIGUSR1, &sa, &old));
	pending_start(EDU);
	request_wait(event);
	EXPECT_EQ(0, pthread_kill(pending.thread, SIGUSR1));
	request_wait(event);
	EXPECT(!atomic_load(&pending.back));
	EXPECT_OK(x_close(s.device));
	pending_end(EDU);
	EXPECT_OK(sigaction(SIGUSR1, &old, NULL));
	close(event);
}

TEST(unbind_killed, "10:LIF-07", "nor does the death of the writer: once the device is closed it is unbound")
{
	struct timespec ms = { .tv_nsec = 1000000 };
	struct setup s;
	pid_t child;
	int event;

	if (test_door() == DOOR_CAPI)
		test_skip("an embedded machine is not shared with a child");
	s = open_device(EDU);
	event = request_event(s.device);
	child = fork();
	if (child == 0) {
		x_close(s.device);
		sys_write(UNBIND, EDU);
		_exit(0);
	}
	EXPECT(child > 0);
	request_wait(event);
	EXPECT_OK(kill(child, SIGKILL));
	EXPECT_ERR(ENODEV, x_ioctl(s.group, VFIO_GROUP_GET_DEVICE_FD, EDU));
	EXPECT_EQ(0x11e81234, config_read(s.device, 0, 4));
	EXPECT_OK(x_close(s.device));
	EXPECT_EQ(child, waitpid(child, NULL, 0)); /* Linux lets it die now only */
	for (int i = 0; i < 60000 && driver_of(EDU); i++)
		nanosleep(&ms, NULL);
	EXPECT(!driver_of(EDU));
	close(event);
}

TEST(unbind_unheard, "10:LIF-02", "a device without an eventfd for requests keeps its unbind waiting all the same")
{
	struct setup s = open_device(EDU);

	pending_start(EDU);
	/* Nothing tells that the wait has begun, but that the device is not found any more. */
	for (;;) {
		int d = x_ioctl(s.group, VFIO_GROUP_GET_DEVICE_FD, EDU);

		if (d < 0)
			break;
		EXPECT_OK(x_close(d));
	}
	EXPECT_EQ(ENODEV, errno);
	EXPECT(!atomic_load(&pending.back));
	EXPECT_OK(x_close(s.device));
	pending_end(EDU);
}

/* ---- indexes ---- */

/* N of the function's vfio-dev/vfioN */
static int index_of(const char *bdf)
{
	char path[128], *names;
	int n = -1;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vfio-dev", bdf);
	names = x_list(path);
	EXPECT(names && sscanf(names, "vfio%d\n", &n) == 1);
	free(names);
	return n;
}

TEST(lowest_index, "10:VCO-03", "a device gets the lowest index that is free, whoever had it before")
{
	int low, high;
	char path[64];
	struct stat st;

	bind_host(EDU);
	bind_host(IGB);
	bind_vfio(EDU);
	bind_vfio(IGB);
	low = index_of(EDU);
	high = index_of(IGB);
	EXPECT(low < high);
	bind_host(EDU);
	EXPECT_EQ(high, index_of(IGB)); /* it keeps its own */
	bind_vfio(EDU);
	EXPECT_EQ(low, index_of(EDU));
	bind_host(EDU);
	bind_host(IGB);
	bind_vfio(IGB);
	bind_vfio(EDU);
	EXPECT_EQ(low, index_of(IGB));
	EXPECT_EQ(high, index_of(EDU));
	snprintf(path, sizeof(path), "/sys/class/vfio-dev/vfio%d", high);
	EXPECT_OK(x_stat(path, &st));
	bind_host(EDU);
	EXPECT_ERR(ENOENT, x_stat(path, &st));
}
