/* SPDX-License-Identifier: MIT */
/*
 * Programs of every awkward kind, in one: raw system calls, threads, fork with device descriptors open, a
 * descriptor passed over a socket, its own signal handlers, death in the middle of things. Built static and
 * dynamic; each check prints a line.
 */
#include "abi/vfio.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define EDU  "0000:00:03.0"
#define CONFIG ((off_t)7 << 40)

static int failed;

static void check(bool ok, const char *what)
{
	printf("%s - %s\n", ok ? "ok" : "not ok", what);
	fflush(stdout);
	failed |= !ok;
}

struct edu {
	int container, group, device;
	volatile uint32_t *bar;
};

static int group_id(void)
{
	char link[256];
	ssize_t n = readlink("/sys/bus/pci/devices/" EDU "/iommu_group", link, sizeof(link) - 1);

	if (n < 0)
		return -1;
	link[n] = 0;
	return atoi(strrchr(link, '/') + 1);
}

static bool edu_open(struct edu *e)
{
	char path[64];

	snprintf(path, sizeof(path), "/dev/vfio/%d", group_id());
	e->container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	e->group = open(path, O_RDWR | O_CLOEXEC);
	if (e->group < 0 || ioctl(e->group, VFIO_GROUP_SET_CONTAINER, &e->container) < 0 ||
	    ioctl(e->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) < 0)
		return false;
	e->device = ioctl(e->group, VFIO_GROUP_GET_DEVICE_FD, EDU);
	if (e->device < 0)
		return false;
	e->bar = mmap(NULL, 0x100000, PROT_READ | PROT_WRITE, MAP_SHARED, e->device, 0);
	return (void *)e->bar != MAP_FAILED;
}

static void edu_close(struct edu *e)
{
	munmap((void *)e->bar, 0x100000);
	close(e->device);
	close(e->group);
	close(e->container);
}

static void raw_calls(void)
{
	long fd = syscall(SYS_openat, AT_FDCWD, "/dev/vfio/vfio", O_RDWR, 0), r;
	struct edu e;
	uint32_t v = 0;

	check(fd >= 0, "raw openat of the container");
	r = syscall(SYS_ioctl, fd, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU);
	check(r == 1, "raw ioctl");
	syscall(SYS_close, fd);
	if (!edu_open(&e)) {
		check(false, "the edu opens");
		return;
	}
	r = syscall(SYS_pread64, e.device, &v, 4, CONFIG);
	check(r == 4 && v == 0x11e81234, "raw pread of config space");
	check(e.bar[0] == 0x010000ed, "a load from the mapped BAR");
	edu_close(&e);
}

static void *hammer(void *arg)
{
	struct edu *e = arg;
	uintptr_t bad = 0;
	uint32_t v;

	for (int i = 0; i < 2000; i++) {
		bad += e->bar[0] != 0x010000ed;
		bad += pread(e->device, &v, 4, CONFIG) != 4 || v != 0x11e81234;
	}
	return (void *)bad;
}

static void threads(void)
{
	pthread_t t[8];
	struct edu e;
	uintptr_t bad = 0;
	void *r;

	if (!edu_open(&e)) {
		check(false, "the edu opens for threads");
		return;
	}
	for (int i = 0; i < 8; i++)
		pthread_create(&t[i], NULL, hammer, &e);
	for (int i = 0; i < 8; i++) {
		pthread_join(t[i], &r);
		bad += (uintptr_t)r;
	}
	check(bad == 0, "8 threads, 2000 BAR loads and config reads each");
	edu_close(&e);
}

static void forks(void)
{
	struct edu e;
	int status;
	pid_t pid;

	if (!edu_open(&e)) {
		check(false, "the edu opens before fork");
		return;
	}
	pid = fork();
	if (pid == 0) {
		uint32_t v = 0;

		e.bar[1] = 0x77;
		_exit(pread(e.device, &v, 4, CONFIG) == 4 && v == 0x11e81234 && e.bar[1] == ~0x77u ? 0 : 1);
	}
	waitpid(pid, &status, 0);
	check(status == 0, "a child uses the device descriptor and the mapping");
	check(e.bar[1] == ~0x77u, "parent and child see one device");
	edu_close(&e);
	check(edu_open(&e), "the group opens again after all is closed");
	edu_close(&e);
}

static void send_fd(int s, int fd)
{
	union { struct cmsghdr h; char c[CMSG_SPACE(sizeof(int))]; } u = { 0 };
	struct iovec v = { "x", 1 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = &u, .msg_controllen = sizeof(u) };

	u.h.cmsg_level = SOL_SOCKET;
	u.h.cmsg_type = SCM_RIGHTS;
	u.h.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&u.h), &fd, sizeof(fd));
	sendmsg(s, &m, 0);
}

static int recv_fd(int s)
{
	union { struct cmsghdr h; char c[CMSG_SPACE(sizeof(int))]; } u = { 0 };
	char b;
	struct iovec v = { &b, 1 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = &u, .msg_controllen = sizeof(u) };
	int fd;

	if (recvmsg(s, &m, 0) <= 0)
		return -1;
	memcpy(&fd, CMSG_DATA(&u.h), sizeof(fd));
	return fd;
}

static void passing(void)
{
	int sv[2], status;
	struct edu e;
	pid_t pid;

	socketpair(AF_UNIX, SOCK_STREAM, 0, sv);
	pid = fork();
	if (pid == 0) {
		int fd = recv_fd(sv[1]);
		struct vfio_device_info info = { .argsz = sizeof(info) };
		volatile uint32_t *bar;
		uint32_t v = 0;

		if (ioctl(fd, VFIO_DEVICE_GET_INFO, &info) < 0 || info.num_regions != 9)
			_exit(1);
		if (pread(fd, &v, 4, CONFIG) != 4 || v != 0x11e81234)
			_exit(2);
		bar = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		_exit((void *)bar != MAP_FAILED && bar[0] == 0x010000ed ? 0 : 3);
	}
	if (!edu_open(&e)) {
		check(false, "the edu opens for passing");
		return;
	}
	send_fd(sv[0], e.device);
	waitpid(pid, &status, 0);
	check(status == 0, "another process uses a descriptor passed over a socket");
	edu_close(&e);
}

static sigjmp_buf jump;
static volatile sig_atomic_t caught;
static volatile uintptr_t caught_at;

static void on_fault(int sig, siginfo_t *si, void *uc)
{
	(void)uc;
	caught = sig;
	caught_at = (uintptr_t)si->si_addr;
	siglongjmp(jump, 1);
}

static void own_handlers(void)
{
	struct sigaction sa = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO }, old;
	char *wall = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct edu e;
	sigset_t set;

	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	if (!edu_open(&e)) {
		check(false, "the edu opens with handlers");
		return;
	}
	check(e.bar[0] == 0x010000ed && !caught, "BAR loads do not reach the program's handlers");
	if (sigsetjmp(jump, 1) == 0)
		*(volatile char *)(wall + 5) = 1;
	check(caught == SIGSEGV && caught_at == (uintptr_t)wall + 5, "its own SIGSEGV reaches its handler, with the address");
	caught = 0;
	if (sigsetjmp(jump, 1) == 0)
		*(volatile char *)(wall + 6) = 1;
	check(caught == SIGSEGV, "and again");
	sigaction(SIGSEGV, NULL, &old);
	check(old.sa_sigaction == on_fault && (old.sa_flags & SA_SIGINFO), "sigaction tells the program what it had set");
	sigemptyset(&set);
	sigaddset(&set, SIGBUS);
	sigaddset(&set, SIGSEGV);
	sigprocmask(SIG_BLOCK, &set, NULL);
	check(e.bar[0] == 0x010000ed, "a BAR load with SIGBUS and SIGSEGV blocked");
	sigemptyset(&set);
	sigprocmask(SIG_SETMASK, &set, NULL);
	signal(SIGSEGV, SIG_DFL);
	signal(SIGBUS, SIG_DFL);
	check(e.bar[0] == 0x010000ed, "a BAR load after the handlers are back to default");
	edu_close(&e);
}

static void default_death(void)
{
	volatile char *volatile wild = (void *)8;
	int status;
	pid_t pid = fork();

	if (pid == 0)
		*wild = 1;
	waitpid(pid, &status, 0);
	check(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV, "a wild store dies of SIGSEGV");
}

static void on_alarm(int sig)
{
	(void)sig;
}

static void interrupted(void)
{
	struct itimerval fast = { { 0, 700 }, { 0, 700 } }, off = { 0 };
	struct sigaction sa = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
	struct edu e;
	int bad = 0;

	if (!edu_open(&e)) {
		check(false, "the edu opens for signals");
		return;
	}
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &fast, NULL);
	for (uint32_t i = 0; i < 3000; i++) {
		uint32_t v;

		bad += pread(e.device, &v, 4, CONFIG) != 4;
		e.bar[1] = i;
		bad += e.bar[1] != ~i;
	}
	setitimer(ITIMER_REAL, &off, NULL);
	check(bad == 0, "a storm of signals interrupts no call and loses no access");
	edu_close(&e);
}

/* A child is killed at a random point of a loop of ioctls, loads and DMA; then the device must be free again. */
static void killed(void)
{
	bool all = true;

	for (int round = 0; round < 20; round++) {
		int go[2], status;
		struct edu e;
		pid_t pid;
		char c;

		if (pipe(go) < 0)
			return;
		pid = fork();
		if (pid == 0) {
			char *ram = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
			uint16_t cmd = 6;

			if (!edu_open(&e))
				_exit(1);
			pwrite(e.device, &cmd, 2, CONFIG + 4);
			write(go[1], "x", 1);
			for (;;) {
				struct vfio_iommu_type1_dma_map m = { sizeof(m), 3, (uintptr_t)ram, 0x100000, 1 << 20 };
				struct vfio_iommu_type1_dma_unmap u = { .argsz = sizeof(u), .iova = 0x100000, .size = 1 << 20 };

				ioctl(e.container, VFIO_IOMMU_MAP_DMA, &m);
				e.bar[0x80 / 4] = 0x100000;
				e.bar[0x88 / 4] = 0x40000;
				e.bar[0x90 / 4] = 4096;
				e.bar[0x98 / 4] = 1;
				ioctl(e.container, VFIO_IOMMU_UNMAP_DMA, &u);
			}
		}
		if (read(go[0], &c, 1) != 1)
			all = false;
		usleep((useconds_t)(round * 137 % 3000));
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		close(go[0]);
		close(go[1]);
		if (!edu_open(&e)) {
			all = false;
			continue;
		}
		all &= e.bar[0] == 0x010000ed;
		edu_close(&e);
	}
	check(all, "killed 20 times in the middle of ioctls and DMA, the device is free again each time");
}

static void low_numbers(void)
{
	struct edu e;
	uint32_t v = 0;
	int low;

	if (!edu_open(&e)) {
		check(false, "the edu opens for dup");
		return;
	}
	low = dup(e.device);
	check(low >= 0 && pread(low, &v, 4, CONFIG) == 4 && v == 0x11e81234, "dup of a device descriptor");
	close(low);
	check(dup2(e.device, 77) == 77 && pread(77, &v, 4, CONFIG) == 4 && v == 0x11e81234, "dup2 to a low number");
	close(77);
	edu_close(&e);
}

int main(void)
{
	raw_calls();
	threads();
	forks();
	passing();
	own_handlers();
	default_death();
	interrupted();
	low_numbers();
	killed();
	return failed;
}
