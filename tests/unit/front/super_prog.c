/* SPDX-License-Identifier: MIT */
/*
 * The programs that test_super.c runs: they know of the toy only its paths and ioctls. Linked dynamically and
 * statically. usage: super-prog CASE; status 0: as it should be; else a line says which check failed.
 */
#include "super_prog.h"
#include "super_toy.h"
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

int open_echo(void)
{
	int fd = open("/dev/toy/echo", O_RDWR | O_CLOEXEC);

	CHECK(fd >= 0);
	return fd;
}

/* What survives an exec, and what does not. */
static void case_exec(void)
{
	int keep = open("/dev/toy/echo", O_RDWR), gone = open_echo(), status;
	char a[16], b[16];

	snprintf(a, sizeof(a), "%d", keep);
	snprintf(b, sizeof(b), "%d", gone);
	signal(SIGSEGV, SIG_IGN);
	if (fork() == 0) {
		execl("/nonexistent", "x", NULL);
		execl("/proc/self/exe", "super-prog", "execed", a, b, NULL);
		_exit(9);
	}
	CHECK(wait(&status) > 0 && status == 0);
	CHECK(ioctl(keep, TOY_OPEN) == 2);
	/* PATH searches fail many times, vfork and all */
	for (int i = 0; i < 20; i++)
		CHECK(system("true") == 0);
}

static void case_execed(char **argv)
{
	struct sigaction old;

	CHECK(ioctl(atoi(argv[2]), TOY_COUNT) > 0);
	FAILS(ioctl(atoi(argv[3]), TOY_COUNT), EBADF);
	CHECK(sigaction(SIGSEGV, NULL, &old) == 0 && old.sa_handler == SIG_IGN);
	CHECK(*(volatile uint32_t *)map_all(atoi(argv[2])) == TOY_ID_VALUE);
}

int main(int argc, char **argv)
{
#define CASE(name) { #name, case_##name }
	static const struct {
		const char *name;
		void (*fn)(void);
	} cases[] = {
		CASE(files),
		CASE(ioctl),
		CASE(events),
		CASE(release),
		CASE(dup),
		CASE(lowfd),
		CASE(poll),
		CASE(rw),
		CASE(mmio),
		CASE(nommio),
		CASE(blocked),
		CASE(handlers),
		CASE(masked),
		CASE(threads),
		CASE(fork),
		CASE(storm),
		CASE(stall),
		CASE(kill),
		CASE(memory),
		CASE(manyevents),
		CASE(fuse),
		CASE(stuckopen),
		CASE(firstmap),
		CASE(region),
		CASE(mapped),
		CASE(exec),
		CASE(fuzz),
	};

	if (argc == 3 && strcmp(argv[1], "sit") == 0) {
		case_sit(atoi(argv[2]));
		return 0;
	}
	if (argc >= 4 && strcmp(argv[1], "execed") == 0) {
		case_execed(argv);
		return 0;
	}
	for (size_t i = 0; argc == 2 && i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (strcmp(argv[1], cases[i].name) == 0) {
			cases[i].fn();
			return 0;
		}
	}
	return 2;
}
