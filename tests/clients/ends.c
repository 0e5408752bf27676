/* SPDX-License-Identifier: MIT */
/*
 * A run ends when it is told to: by SIGTERM or SIGINT to uvfio run, whatever its programs are waiting for. Each check
 * prints a line. usage: ends UVFIO [OPTION OF RUN]...
 */
#include "abi/vfio.h"
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define EDU "0000:00:03.0"

static int failed;
static const char *self;
static char **run; /* uvfio run OPTIONS -- and room for a program */
static int nrun;

static void check(bool ok, const char *what)
{
	printf("%s - %s\n", ok ? "ok" : "not ok", what);
	fflush(stdout);
	failed |= !ok;
}

static void nap(void)
{
	struct timespec t = { 0, 1000000 };

	nanosleep(&t, NULL);
}

/* Under uvfio: take a device away from its driver that is open here, which waits for the one who holds it. */
static int hold(void)
{
	int container = open("/dev/vfio/vfio", O_RDWR), group = open("/dev/vfio/3", O_RDWR), unbind, device;

	if (container < 0 || group < 0 || ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) ||
	    ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		return 3;
	device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, EDU);
	unbind = open("/sys/bus/pci/drivers/vfio-pci/unbind", O_WRONLY);
	if (device < 0 || unbind < 0)
		return 4;
	printf("%d\n", getpid());
	fflush(stdout);
	(void)!write(unbind, EDU, strlen(EDU));
	return 5;
}

/* Start a program under uvfio; *@out: what it says. */
static pid_t start(const char *a, const char *b, const char *c, FILE **out)
{
	int p[2];
	pid_t pid;

	run[nrun] = (char *)a;
	run[nrun + 1] = (char *)b;
	run[nrun + 2] = (char *)c;
	if (pipe2(p, O_CLOEXEC) || (pid = fork()) < 0)
		exit(2);
	if (pid == 0) {
		dup2(p[1], 1);
		execv(run[0], run);
		_exit(127);
	}
	close(p[1]);
	*out = fdopen(p[0], "r");
	return pid;
}

static int number_from(FILE *f)
{
	char line[32];

	return fgets(line, sizeof(line), f) ? atoi(line) : 0;
}

/* Wait until a process is in the call. */
static void await_call(int pid, long nr)
{
	char path[64];
	long now = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/syscall", pid);
	while (now != nr && (f = fopen(path, "r"))) {
		if (fscanf(f, "%ld", &now) != 1)
			now = -1;
		fclose(f);
		nap();
	}
}

static void in_a_call(int sig, bool of_the_program, const char *what)
{
	int status = 0, pid;
	FILE *out;
	pid_t top = start(self, "hold", NULL, &out);

	pid = number_from(out);
	await_call(pid, SYS_write);
	kill(of_the_program ? pid : top, sig);
	waitpid(top, &status, 0);
	fclose(out);
	check(pid > 0 && WIFSIGNALED(status) && WTERMSIG(status) == sig, what);
}

/* The program has ended, what it has started has not. */
static void with_others_left(void)
{
	int status;
	FILE *out;
	pid_t top = start("/bin/sh", "-c", "sleep 100000 >/dev/null & echo 1; exit 7", &out);
	bool ok = number_from(out) == 1;

	while (waitpid(top, &status, WNOHANG) == 0) {
		kill(top, SIGTERM);
		nap();
	}
	fclose(out);
	check(ok && (WIFEXITED(status) ? WEXITSTATUS(status) == 7 : WTERMSIG(status) == SIGTERM),
	      "SIGTERM reaches those who are left");
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "hold") == 0)
		return hold();
	self = argv[0];
	run = calloc((size_t)argc + 8, sizeof(char *));
	if (argc < 2 || !run)
		return 2;
	run[nrun++] = argv[1];
	run[nrun++] = (char *)"run";
	run[nrun++] = (char *)"-q";
	for (int i = 2; i < argc; i++)
		run[nrun++] = argv[i];
	run[nrun++] = (char *)"--";
	in_a_call(SIGTERM, false, "SIGTERM ends a program that waits for itself");
	in_a_call(SIGINT, false, "SIGINT does");
	in_a_call(SIGTERM, true, "and so does one that is sent to the program");
	with_others_left();
	return failed;
}
