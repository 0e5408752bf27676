/* SPDX-License-Identifier: MIT */
/* Calls made in the place of a stopped thread. */
#include "front/supervisor/tracer.h"
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
/* cmocka wants the above first */
#include <cmocka.h>

/* A program that does nothing, stopped by us. */
static pid_t stopped_program(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		for (;;)
			pause();
	}
	assert_int_equal(super_trace_attach(pid, PTRACE_O_EXITKILL), 0);
	assert_int_equal(super_trace_wait(), pid);
	return pid;
}

static int flags_there(pid_t pid, long fd)
{
	char path[64], line[64];
	int flags = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%ld", pid, fd);
	f = fopen(path, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		sscanf(line, "flags: %o", (unsigned *)&flags);
	fclose(f);
	return flags;
}

/* What is opened may be what another thread of the program has put there: it does not wait for the other end of a FIFO. */
static void a_fifo_is_not_waited_for(void **state)
{
	char dir[] = "/tmp/uvfio-trace-XXXXXX", path[64];
	pid_t pid = stopped_program();
	long n;
	int fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/fifo", dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
	alarm(20);
	n = super_trace_addfd(pid, fd, -1, O_CLOEXEC);
	alarm(0);
	assert_true(n >= 0);
	assert_int_equal(flags_there(pid, n) & (O_ACCMODE | O_NONBLOCK), O_RDONLY);
	/* Ours that are that way stay so. */
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	n = super_trace_addfd(pid, fd, -1, O_CLOEXEC);
	assert_true(n >= 0);
	assert_int_equal(flags_there(pid, n) & (O_ACCMODE | O_NONBLOCK), O_RDONLY | O_NONBLOCK);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	close(fd);
	unlink(path);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_fifo_is_not_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
