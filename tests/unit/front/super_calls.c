/* SPDX-License-Identifier: MIT */
/*
 * Programs that call the device: what ioctls are given and give back, from one thread and from many at once; calls that are
 * interrupted by signals, that block, and whose callers are killed meanwhile.
 */
#include "super_prog.h"
#include "super_toy.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

void case_ioctl(void)
{
	struct toy_add a = { .argsz = sizeof(a), .a = 40, .b = 2 };
	int fd = open_echo(), child, host = open("/dev/null", O_RDWR);

	CHECK(ioctl(fd, TOY_ADD, &a) == 0 && a.sum == 42);
	a.argsz = 4;
	FAILS(ioctl(fd, TOY_ADD, &a), EINVAL);
	FAILS(ioctl(fd, TOY_ADD, NULL), EFAULT);
	FAILS(ioctl(fd, TOY_ADD, (void *)-16), EFAULT);
	a.argsz = sizeof(a);
	void *ro = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memcpy(ro, &a, sizeof(a));
	CHECK(mprotect(ro, 4096, PROT_READ) == 0);
	FAILS(ioctl(fd, TOY_ADD, ro), EFAULT);
	FAILS(ioctl(fd, 0x3b60, 0), ENOTTY);
	child = ioctl(fd, TOY_CHILD);
	CHECK(child > fd && ioctl(child, TOY_COUNT) > 0);
	CHECK(ioctl(fd, TOY_SAME, child) == 0 && ioctl(fd, TOY_OPEN) == 2);
	FAILS(ioctl(fd, TOY_SAME, 12345), EBADF);
	FAILS(ioctl(fd, TOY_SAME, -1), EBADF);
	FAILS(ioctl(fd, TOY_SAME, host), EBADFD);
	CHECK(close(child) == 0 && ioctl(fd, TOY_OPEN) == 1);
	FAILS(ioctl(child, TOY_COUNT), EBADF);
	FAILS(ioctl(host, TOY_COUNT), ENOTTY);
	FAILS(ioctl(-1, TOY_COUNT), EBADF);
	CHECK(prctl(PR_SET_DUMPABLE, 0) == 0 && ioctl(fd, TOY_ADD, &a) == 0);
	close(fd);
	FAILS(ioctl(fd, TOY_COUNT), EBADF);
}

static void *hammer(void *arg)
{
	int fd = *(int *)arg;
	struct toy_add a = { .argsz = sizeof(a) };
	volatile uint32_t *r = (volatile uint32_t *)map_all(fd);

	for (unsigned i = 0; i < 200; i++) {
		a.a = i;
		a.b = i;
		if (ioctl(fd, TOY_ADD, &a) || a.sum != 2 * i || r[0] != TOY_ID_VALUE)
			return (void *)1;
	}
	return NULL;
}

void case_threads(void)
{
	pthread_t t[6];
	int fd = open_echo();
	void *bad;

	for (unsigned i = 0; i < 6; i++)
		CHECK(pthread_create(&t[i], NULL, hammer, &fd) == 0);
	for (unsigned i = 0; i < 6; i++)
		CHECK(pthread_join(t[i], &bad) == 0 && !bad);
}

void case_fork(void)
{
	int fd = open_echo(), status;

	for (int i = 0; i < 8; i++) {
		if (fork() == 0) {
			CHECK(hammer(&fd) == NULL);
			int mine = open_echo();
			CHECK(ioctl(mine, TOY_COUNT) > 0);
			_exit(0);
		}
	}
	for (int i = 0; i < 8; i++)
		CHECK(wait(&status) > 0 && status == 0);
	CHECK(ioctl(fd, TOY_OPEN) == 1);
}

static volatile int alarms;

static void on_alarm(int sig)
{
	(void)sig;
	alarms++;
}

/* A signal that comes before anybody has looked at a call ends it, as one without SA_RESTART may. */
static int again(int fd, unsigned cmd, long arg)
{
	int rc;

	do
		rc = ioctl(fd, cmd, arg);
	while (rc < 0 && errno == EINTR);
	return rc;
}

/* No call may run twice or be lost because a signal came. */
void case_storm(void)
{
	struct sigaction sa = { .sa_handler = on_alarm };
	struct itimerval it = { { 0, 700 }, { 0, 700 } };
	int fd = open_echo(), n, first;
	volatile uint32_t *r = (volatile uint32_t *)map_all(fd);

	CHECK(sigaction(SIGALRM, &sa, NULL) == 0 && setitimer(ITIMER_REAL, &it, NULL) == 0);
	first = again(fd, TOY_COUNT, 0);
	r[TOY_NEXT / 4] = 0;
	for (n = 1; n <= 200; n++) {
		CHECK(again(fd, TOY_SLOW, 1) == 0);
		CHECK(again(fd, TOY_COUNT, 0) == first + n);
		CHECK(r[TOY_NEXT / 4] == (uint32_t)n);
	}
	memset(&it, 0, sizeof(it));
	CHECK(setitimer(ITIMER_REAL, &it, NULL) == 0 && alarms > 10);
}

static void *block(void *arg)
{
	return (void *)(long)ioctl(*(int *)arg, TOY_BLOCK);
}

static void wait_blocked(int fd, int n)
{
	while (ioctl(fd, TOY_REQUESTS) != n)
		usleep(1000);
}

/* Calls that block hold up nobody. */
void case_stall(void)
{
	int fd = open_echo();
	struct toy_add a = { .argsz = sizeof(a), .a = 3, .b = 4 };
	pthread_t t[10];
	void *r;

	for (unsigned i = 0; i < 10; i++)
		CHECK(pthread_create(&t[i], NULL, block, &fd) == 0);
	wait_blocked(fd, 10);
	CHECK(ioctl(fd, TOY_ADD, &a) == 0 && a.sum == 7);
	CHECK(system("cat " DEV "/value > /dev/null") == 0);
	CHECK(ioctl(fd, TOY_UNBLOCK) == 0);
	for (unsigned i = 0; i < 10; i++)
		CHECK(pthread_join(t[i], &r) == 0 && !r);
}

/* SIGKILL in the middle of a call, others go on. */
void case_kill(void)
{
	int fd = open_echo(), status;
	struct toy_add a = { .argsz = sizeof(a), .a = 3, .b = 4 };
	pid_t pid = fork();

	if (pid == 0) {
		ioctl(fd, TOY_BLOCK);
		_exit(0);
	}
	wait_blocked(fd, 1);
	CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, &status, 0) == pid && WTERMSIG(status) == SIGKILL);
	CHECK(ioctl(fd, TOY_ADD, &a) == 0 && a.sum == 7);
	CHECK(ioctl(fd, TOY_UNBLOCK) == 0);
	wait_blocked(fd, 0);
}
