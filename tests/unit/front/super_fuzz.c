/* SPDX-License-Identifier: MIT */
/*
 * Whatever a program throws at the supervisor, it gets an errno, or dies alone.
 *
 * Most of these calls reach the real kernel too. So the thrower is nobody, sits in a directory where nothing can be
 * made, may not make large files, and every path it uses is from a list: bytes that a call has left in a buffer
 * never serve as a path.
 */
#include "super_prog.h"
#include "super_toy.h"
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct throwable {
	short nr;
	signed char path[2]; /* which arguments are paths; -1: none */
} throwables[] = {
	{ SYS_read, { -1, -1 } }, { SYS_write, { -1, -1 } }, { SYS_open, { 0, -1 } }, { SYS_close, { -1, -1 } },
	{ SYS_stat, { 0, -1 } }, { SYS_fstat, { -1, -1 } }, { SYS_lstat, { 0, -1 } }, { SYS_lseek, { -1, -1 } },
	{ SYS_mmap, { -1, -1 } }, { SYS_rt_sigaction, { -1, -1 } }, { SYS_rt_sigprocmask, { -1, -1 } },
	{ SYS_ioctl, { -1, -1 } }, { SYS_ioctl, { -1, -1 } }, { SYS_ioctl, { -1, -1 } }, { SYS_pread64, { -1, -1 } },
	{ SYS_pwrite64, { -1, -1 } }, { SYS_readv, { -1, -1 } }, { SYS_writev, { -1, -1 } }, { SYS_access, { 0, -1 } },
	{ SYS_dup, { -1, -1 } }, { SYS_dup2, { -1, -1 } }, { SYS_sendfile, { -1, -1 } }, { SYS_fcntl, { -1, -1 } },
	{ SYS_truncate, { 0, -1 } }, { SYS_ftruncate, { -1, -1 } }, { SYS_getcwd, { -1, -1 } }, { SYS_chdir, { 0, -1 } },
	{ SYS_mkdir, { 0, -1 } }, { SYS_readlink, { 0, -1 } }, { SYS_statfs, { 0, -1 } }, { SYS_fstatfs, { -1, -1 } },
	{ SYS_getxattr, { 0, -1 } }, { SYS_openat, { 1, -1 } }, { SYS_newfstatat, { 1, -1 } }, { SYS_unlinkat, { 1, -1 } },
	{ SYS_readlinkat, { 1, -1 } }, { SYS_faccessat, { 1, -1 } }, { SYS_splice, { -1, -1 } }, { SYS_fallocate, { -1, -1 } },
	{ SYS_dup3, { -1, -1 } }, { SYS_preadv, { -1, -1 } }, { SYS_pwritev2, { -1, -1 } }, { SYS_statx, { 1, -1 } },
	{ SYS_openat2, { 1, -1 } }, { SYS_faccessat2, { 1, -1 } }, { SYS_copy_file_range, { -1, -1 } },
	{ SYS_renameat2, { 1, 3 } }, { SYS_rename, { 0, 1 } },
};

static long throw_path(void)
{
	static const char *const paths[] = {
		"/dev/toy/echo", "/dev/toy/one", DEV "/value", DEV "/config", DEV, "/sys/bus/toy/devices/", "/sys/bus/toy/./../toy",
		"/sys/devices/toy0/../../../../dev/toy//echo", "/dev/toy/none", "value", "", "/proc/self/fd/4096",
		"/proc/self/cwd/value",
	};
	int i = rand() % 16;

	return i < 13 ? (long)paths[i] : i == 13 ? 8 : i == 14 ? -1 : 0;
}

static long throw_word(int fd, char *page)
{
	static const unsigned ioctls[] = { TOY_ADD, TOY_COUNT, TOY_CHILD, TOY_SIGNAL, TOY_MEMORY, TOY_OPEN, TOY_SAME, TOY_PEEK,
					   0x3bf1, 0x3bf2, 0x3bf3, 0x3bf4, 0x3bf5, 0x3bf6, 0x3bf7, 0x3bf8, 0x3bff, 0x3b71 };
	const long choice[] = {
		fd, -1, rand() % 20, fd + rand() % 8, 0x40000000 + rand() % 20, (long)page, (long)page + 4090, 8, rand() % 64,
		4096, (long)(1ul << (rand() % 64)), 0, ioctls[rand() % 18], ioctls[rand() % 18], -100, (long)page,
	};

	return choice[rand() % 16];
}

static void throw(unsigned seed, int fd)
{
	char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	munmap(page + 4096, 4096);
	srand(seed);
	for (int i = 0; i < 3000; i++) {
		const struct throwable *w = &throwables[rand() % (int)(sizeof(throwables) / sizeof(throwables[0]))];
		long a[6];

		for (int k = 0; k < 6; k++)
			a[k] = k == w->path[0] || k == w->path[1] ? throw_path() : throw_word(fd, page);
		/* not the program's own feet: no mapping over itself, no filling of memory, no waiting for input */
		if (w->nr == SYS_mmap)
			a[3] &= MAP_SHARED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
		if ((w->nr == SYS_close || w->nr == SYS_read || w->nr == SYS_readv) && a[0] < 3 && a[0] >= 0)
			continue;
		if (w->nr == SYS_rt_sigaction)
			a[0] = 11;
		syscall(w->nr, a[0], a[1], a[2], a[3], a[4], a[5]);
	}
	_exit(0);
}

static void confine(int quiet, int keep)
{
	struct rlimit files = { 1 << 16, 1 << 16 };

	for (int k = 0; k < 3; k++)
		dup2(quiet, k);
	syscall(SYS_close_range, 3, keep - 1, 0); /* whatever a tester has open is not ours to play with */
	if (chdir("/proc") || setrlimit(RLIMIT_FSIZE, &files))
		_exit(1);
	if (geteuid() == 0 && (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534)))
		_exit(1);
	alarm(20);
}

void case_fuzz(void)
{
	int fd = open_echo(), quiet = open("/dev/null", O_RDWR), status;
	struct toy_add a = { .argsz = sizeof(a), .a = 1, .b = 2 };

	const char *from = getenv("SUPER_SEED"); /* for longer hunts */
	unsigned first = from ? (unsigned)atoi(from) : 1;

	for (unsigned seed = first; seed < first + 8; seed++) {
		if (fork() == 0) {
			confine(quiet, fd);
			throw(seed, fd);
		}
	}
	for (int i = 0; i < 8; i++)
		CHECK(wait(&status) > 0);
	CHECK(ioctl(fd, TOY_ADD, &a) == 0 && a.sum == 3);
}
