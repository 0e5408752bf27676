/* SPDX-License-Identifier: MIT */
/*
 * The programs that super_toy.c runs: they know of the toy only its paths and ioctls. Linked dynamically and
 * statically. usage: super-prog CASE; status 0: as it should be; else a line says which check failed.
 */
#include "super_fuse.h"
#include "super_prog.h"
#include "super_toy.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEV "/sys/bus/toy/devices/0000:00:01.0"

int open_echo(void)
{
	int fd = open("/dev/toy/echo", O_RDWR | O_CLOEXEC);

	CHECK(fd >= 0);
	return fd;
}

static void case_files(void)
{
	char buf[4096], real[4096];
	struct stat st, fst;
	struct statx x;
	struct statfs fs;
	struct dirent *e;
	int fd, n = 0;
	DIR *d;

	CHECK(stat("/dev/toy/echo", &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(511, 1));
	CHECK(lstat(DEV, &st) == 0 && S_ISLNK(st.st_mode));
	CHECK(stat(DEV, &st) == 0 && S_ISDIR(st.st_mode));
	CHECK(stat(DEV "/value", &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 4096);
	CHECK(statx(AT_FDCWD, DEV "/config", 0, STATX_ALL, &x) == 0 && x.stx_size == 256);
	CHECK(statfs(DEV, &fs) == 0 && fs.f_type == 0x62656572);
	FAILS(stat("/sys/bus/toy/none", &st), ENOENT);
	FAILS(stat(DEV "/value/none", &st), ENOTDIR);
	FAILS(stat(DEV "/value/", &st), ENOTDIR);
	CHECK(realpath(DEV "/../0000:00:01.0/./subsystem", real) && strcmp(real, "/sys/bus/toy") == 0);
	CHECK(realpath("/sys//bus/../bus/toy/devices/", real) && strcmp(real, "/sys/bus/toy/devices") == 0);
	CHECK(stat("/proc/self/root" DEV "/value", &st) == 0 && st.st_size == 4096);
	CHECK(access(DEV "/value", W_OK) == 0);
	FAILS(access(DEV "/value", X_OK), EACCES);
	FAILS(access(DEV "/nothing", F_OK), ENOENT);

	d = opendir("/sys/devices/toy0/0000:00:01.0");
	CHECK(d);
	while ((e = readdir(d)))
		n += e->d_name[0] != '.';
	CHECK(n == 5);
	CHECK(fstat(dirfd(d), &fst) == 0 && stat("/sys/devices/toy0/0000:00:01.0", &st) == 0);
	CHECK(fst.st_ino == st.st_ino && fst.st_dev == st.st_dev);
	fd = openat(dirfd(d), "value", O_RDONLY);
	CHECK(fd >= 0 && read(fd, buf, sizeof(buf)) == 6 && memcmp(buf, "hello\n", 6) == 0 && read(fd, buf, 1) == 0);
	close(fd);
	CHECK(fstatat(dirfd(d), "subsystem/devices", &st, 0) == 0 && S_ISDIR(st.st_mode));
	CHECK(readlinkat(dirfd(d), "subsystem", buf, sizeof(buf)) > 0);
	closedir(d);

	FAILS(open("/sys/bus/toy/devices", O_RDWR), EISDIR);
	FAILS(open(DEV "/value", O_RDONLY | O_DIRECTORY), ENOTDIR);
	FAILS(open(DEV "/fresh", O_WRONLY | O_CREAT, 0600), EACCES);
	FAILS(open(DEV "/value", O_WRONLY | O_CREAT | O_EXCL, 0600), EEXIST);
	FAILS(open(DEV, O_RDONLY | O_NOFOLLOW), ELOOP);
	FAILS(open(DEV "/trigger", O_RDONLY), EACCES);
	FAILS(open((char *)8, O_RDONLY), EFAULT);
	fd = open(DEV "/broken", O_RDONLY);
	CHECK(fd >= 0);
	FAILS(read(fd, buf, 1), EIO);
	close(fd);
	fd = open_echo();
	CHECK(fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(511, 1));
	CHECK(fstatat(fd, "", &st, AT_EMPTY_PATH) == 0 && S_ISCHR(st.st_mode));
	snprintf(buf, sizeof(buf), "/proc/self/fd/%d", fd);
	n = (int)readlink(buf, real, sizeof(real));
	CHECK(n == (int)strlen("/dev/toy/echo") && memcmp(real, "/dev/toy/echo", (size_t)n) == 0);
	close(fd);
	/* The host's are the host's. */
	CHECK(open("/etc/passwd", O_RDONLY) >= 0 && stat("/", &st) == 0 && getcwd(buf, sizeof(buf)));
}

static void case_ioctl(void)
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

static void case_events(void)
{
	int fd = open_echo(), ev = eventfd(0, EFD_NONBLOCK), p[2];
	uint64_t n = 0;

	CHECK(ioctl(fd, TOY_SIGNAL, ev) == 0 && ioctl(fd, TOY_SIGNAL, ev) == 0);
	CHECK(read(ev, &n, 8) == 8 && n == 2);
	CHECK(pipe(p) == 0);
	FAILS(ioctl(fd, TOY_SIGNAL, p[1]), EINVAL);
	FAILS(ioctl(fd, TOY_SIGNAL, 12345), EBADF);
	FAILS(ioctl(fd, TOY_SIGNAL, fd), EINVAL);
}

static void case_release(void)
{
	int fd;
	void *m;

	for (int i = 0; i < 300; i++) {
		fd = open("/dev/toy/one", O_RDWR);
		CHECK(fd >= 0);
		FAILS(open("/dev/toy/one", O_RDWR), EBUSY);
		CHECK(close(fd) == 0);
	}
	fd = open("/dev/toy/one", O_RDWR);
	m = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, TOY_TRAP);
	CHECK(m != MAP_FAILED && close(fd) == 0);
	FAILS(open("/dev/toy/one", O_RDWR), EBUSY);
	CHECK(munmap(m, 4096) == 0);
	fd = open("/dev/toy/one", O_RDWR);
	CHECK(fd >= 0);
	/* Plain memory takes the place of the device's mapping, and must keep the file as that did. */
	m = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, TOY_PLAIN);
	CHECK(m != MAP_FAILED);
	*(volatile int *)m = 5;
	CHECK(close(fd) == 0);
	FAILS(open("/dev/toy/one", O_RDWR), EBUSY);
	CHECK(munmap(m, 4096) == 0);
	fd = open("/dev/toy/one", O_RDWR);
	CHECK(fd >= 0);
	if (fork() == 0) {
		usleep(30000);
		_exit(0);
	}
	CHECK(close(fd) == 0);
	FAILS(open("/dev/toy/one", O_RDWR), EBUSY);
	wait(NULL);
	CHECK((fd = open("/dev/toy/one", O_RDWR)) >= 0);
}

static void case_dup(void)
{
	int fd = open_echo(), a, b, c;

	a = dup(fd);
	b = fcntl(fd, F_DUPFD, 10);
	c = fcntl(fd, F_DUPFD_CLOEXEC, fd);
	CHECK(a >= 0 && b >= 10 && c > fd && fcntl(c, F_GETFD) == FD_CLOEXEC && fcntl(a, F_GETFD) == 0);
	CHECK(close(fd) == 0);
	CHECK(ioctl(a, TOY_COUNT) > 0 && ioctl(b, TOY_COUNT) > 0 && ioctl(c, TOY_COUNT) > 0);
	CHECK(ioctl(a, TOY_OPEN) == 1);
	CHECK(dup2(a, b) == b && dup2(1, c) == c);
	FAILS(ioctl(c, TOY_COUNT), ENOTTY);
	CHECK(close(a) == 0 && ioctl(b, TOY_OPEN) == 1);
	CHECK(syscall(SYS_close_range, 3, ~0u, 0) == 0);
	FAILS(ioctl(b, TOY_COUNT), EBADF);
	fd = open_echo();
	CHECK(ioctl(fd, TOY_OPEN) == 1);
}

static void send_fd(int sock, int fd)
{
	char byte = 0;
	struct iovec v = { &byte, 1 };
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(sizeof(int))];
	} u;
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = &u, .msg_controllen = sizeof(u) };

	memset(&u, 0, sizeof(u));
	u.h.cmsg_level = SOL_SOCKET;
	u.h.cmsg_type = SCM_RIGHTS;
	u.h.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&u.h), &fd, sizeof(int));
	CHECK(sendmsg(sock, &m, 0) == 1);
}

static int receive_fd(int sock)
{
	char byte;
	int fd;
	struct iovec v = { &byte, 1 };
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(sizeof(int))];
	} u;
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = &u, .msg_controllen = sizeof(u) };

	CHECK(recvmsg(sock, &m, 0) == 1);
	memcpy(&fd, CMSG_DATA(&u.h), sizeof(int));
	return fd;
}

/* Descriptors that got low numbers: by dup2, over a socket. */
static void case_lowfd(void)
{
	int fd = open_echo(), sock[2], low, status;
	struct toy_add a = { .argsz = sizeof(a), .a = 1, .b = 2 };
	uint8_t byte;

	CHECK(dup2(fd, 5) == 5 && close(fd) == 0);
	CHECK(ioctl(5, TOY_ADD, &a) == 0 && a.sum == 3);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, sock) == 0);
	if (fork() == 0) {
		close(5);
		low = receive_fd(sock[0]);
		CHECK(low < 100 && ioctl(low, TOY_ADD, &a) == 0);
		CHECK(pread(low, &byte, 1, (off_t)(TOY_CONFIG + 17)) == 1 && byte == 17);
		void *m = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, low, TOY_TRAP);
		CHECK(m != MAP_FAILED && *(volatile uint32_t *)m == TOY_ID_VALUE);
		_exit(0);
	}
	send_fd(sock[1], 5);
	close(5);
	CHECK(wait(&status) > 0 && status == 0);
}

#define ALL_EVENTS (POLLIN | POLLOUT | POLLPRI | POLLHUP | POLLERR)

static int polled(int fd)
{
	struct pollfd p = { .fd = fd, .events = ALL_EVENTS };

	CHECK(poll(&p, 1, 0) >= 0);
	return p.revents;
}

static int epolled(int ep)
{
	struct epoll_event e = { 0 };

	CHECK(epoll_wait(ep, &e, 1, 0) >= 0);
	return (int)e.events;
}

/* All who have the descriptor see the same. @out: POLLOUT, or nothing */
static void queue_seen(int fd, int q, int out)
{
	struct epoll_event e = { .events = ALL_EVENTS };
	int ep = epoll_create1(0), sock[2], status, low, copy = dup(q);
	char c = 0;

	CHECK(ep >= 0 && epoll_ctl(ep, EPOLL_CTL_ADD, q, &e) == 0 && copy >= 0);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, sock) == 0);
	send_fd(sock[1], copy);
	low = receive_fd(sock[0]);
	CHECK(polled(q) == out && polled(low) == out && epolled(ep) == out && read(q, &c, 1) == 0);
	CHECK(ioctl(fd, TOY_TURN, 1) == 0);
	CHECK(polled(q) == (POLLIN | out) && polled(copy) == (POLLIN | out) && polled(low) == (POLLIN | out));
	CHECK(epolled(ep) == (POLLIN | out));
	/* Reading does not change what is polled: the machine says when nothing is left. */
	CHECK(read(q, &c, 1) == 1 && c == 'q' && polled(q) == (POLLIN | out));
	if (fork() == 0)
		_exit(polled(q) == (POLLIN | out) && ioctl(fd, TOY_TURN, 0) == 0 && polled(q) == out ? 0 : 1);
	CHECK(wait(&status) > 0 && status == 0);
	CHECK(polled(q) == out && polled(low) == out && epolled(ep) == out);
	CHECK(close(copy) == 0 && close(low) == 0 && close(ep) == 0 && close(sock[0]) == 0 && close(sock[1]) == 0);
}

static void *turn_on(void *arg)
{
	int fd = *(int *)arg;

	CHECK(ioctl(fd, TOY_TURN, 1) == 0);
	return NULL;
}

/* Descriptors that are not always ready. */
static void case_poll(void)
{
	int fd = open_echo(), open = ioctl(fd, TOY_OPEN);

	for (int writable = 0; writable < 2; writable++) {
		int q = ioctl(fd, TOY_QUEUE, writable), out = writable ? POLLOUT : 0;
		struct pollfd p = { .events = POLLIN };
		static char junk[1 << 17];
		pthread_t thread;
		struct stat st;

		CHECK(q >= 0 && ioctl(fd, TOY_OPEN) == open + 1);
		CHECK(fcntl(q, F_GETFL) == O_RDWR && fcntl(q, F_GETFD) == FD_CLOEXEC);
		CHECK(fstat(q, &st) == 0 && (st.st_mode & 07777) == 0600 && !S_ISFIFO(st.st_mode));
		FAILS(lseek(q, 0, SEEK_CUR), ESPIPE);
		FAILS(pread(q, junk, 1, 0), ESPIPE);
		CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, q, 0) == MAP_FAILED && errno == ENODEV);
		queue_seen(fd, q, out);
		/* Somebody waits. */
		p.fd = q;
		CHECK(pthread_create(&thread, NULL, turn_on, &fd) == 0);
		CHECK(poll(&p, 1, -1) == 1 && p.revents == POLLIN && pthread_join(thread, NULL) == 0);
		CHECK(ioctl(fd, TOY_TURN, 0) == 0 && polled(q) == out);
		/* A number that is not looked at: what is done to it harms nobody but who looks there. */
		CHECK(dup2(q, 5) == 5);
		FAILS(read(5, junk, 1), EAGAIN);
		while (writable && write(5, junk, sizeof(junk)) > 0)
			;
		CHECK(ioctl(fd, TOY_TURN, 1) == 0 && polled(q) & POLLIN && ioctl(fd, TOY_TURN, 0) == 0);
		CHECK(read(q, junk, 1) == 0);
		CHECK(close(q) == 0 && ioctl(fd, TOY_OPEN) == open + 1);
		CHECK(close(5) == 0 && ioctl(fd, TOY_OPEN) == open);
		CHECK(ioctl(fd, TOY_TURN, 1) == 0 && ioctl(fd, TOY_TURN, 0) == 0);
	}
}

static void case_rw(void)
{
	int fd = open_echo(), attr;
	uint8_t b[256];
	struct iovec v[3] = { { b, 10 }, { NULL, 0 }, { b + 10, 20 } };

	CHECK(pread(fd, b, 4, (off_t)(TOY_CONFIG + 8)) == 4 && b[0] == 8 && b[3] == 11);
	CHECK(pread(fd, b, 16, (off_t)(TOY_CONFIG + 250)) == 6);
	FAILS(pread(fd, b, 4, 0), EINVAL);
	FAILS(syscall(SYS_pread64, fd, 8, 4, (off_t)TOY_CONFIG), EFAULT);
	FAILS(pread(fd, b, 4, -1), EINVAL);
	CHECK(preadv(fd, v, 3, (off_t)TOY_CONFIG) == 30 && b[29] == 29);
	FAILS(syscall(SYS_preadv, fd, v, -1, (off_t)TOY_CONFIG), EINVAL);
	CHECK(pwrite(fd, b, 4, (off_t)TOY_CONFIG) == 4);
	FAILS(lseek(fd, 0, SEEK_CUR), ESPIPE);
	FAILS(ftruncate(fd, 0), EINVAL);
	FAILS(fallocate(fd, 0, 0, 1), EINVAL);
	attr = open(DEV "/value", O_RDWR);
	CHECK(attr >= 0 && read(attr, b, 3) == 3 && read(attr, b + 3, 10) == 3 && memcmp(b, "hello\n", 6) == 0);
	CHECK(lseek(attr, 0, SEEK_SET) == 0 && write(attr, "again", 5) == 5);
	CHECK(lseek(attr, 0, SEEK_SET) == 0 && read(attr, b, 100) == 6 && memcmp(b, "again\n", 6) == 0);
	FAILS(write(attr, "bad", 3), EBUSY);
	v[0] = (struct iovec){ "hel", 3 };
	CHECK(lseek(attr, 0, SEEK_SET) == 0 && writev(attr, v, 1) == 3);
	CHECK(lseek(attr, 0, SEEK_SET) == 0 && write(attr, "hello", 5) == 5);
	close(attr);
	attr = open(DEV "/config", O_RDONLY);
	CHECK(attr >= 0 && lseek(attr, 100, SEEK_SET) == 100 && read(attr, b, 2) == 2 && b[0] == 100);
	FAILS(write(attr, b, 1), EBADF);
	FILE *f = fopen(DEV "/value", "r");
	CHECK(f && fgets((char *)b, sizeof(b), f) && strcmp((char *)b, "hello\n") == 0);
	fclose(f);
}

static volatile uint8_t *map_all(int fd)
{
	void *m = mmap(NULL, TOY_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	CHECK(m != MAP_FAILED);
	return m;
}

static void case_mmio(void)
{
	int fd = open_echo();
	volatile uint8_t *m;
	volatile uint32_t *r;
	uint8_t image[64];

	FAILS((long)mmap(NULL, TOY_SIZE * 2, PROT_READ, MAP_SHARED, fd, 0), EINVAL);
	FAILS((long)mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 12345), EINVAL);
	m = map_all(fd);
	r = (volatile uint32_t *)m;
	CHECK(r[TOY_ID / 4] == TOY_ID_VALUE);
	r[TOY_NEXT / 4] = 41;
	CHECK(r[TOY_NEXT / 4] == 42 && r[TOY_NEXT / 4] == 43);
	/* Values that look like errors */
	for (unsigned i = 0; i < 8; i++)
		m[TOY_SCRATCH + i] = 0xff;
	CHECK(*(volatile uint64_t *)(m + TOY_SCRATCH) == ~0ull && m[TOY_SCRATCH + 3] == 0xff);
	for (unsigned i = 0; i < sizeof(image); i++)
		image[i] = (uint8_t)(i * 7);
	memcpy((void *)(m + TOY_SCRATCH), image, sizeof(image));
	CHECK(memcmp((void *)(m + TOY_SCRATCH), image, sizeof(image)) == 0);
	__atomic_fetch_or((uint32_t *)(m + TOY_SCRATCH), 0x80000000u, __ATOMIC_SEQ_CST);
	CHECK(m[TOY_SCRATCH + 3] == (image[3] | 0x80));
	/* Plain memory: the same page through another mapping and in a child */
	m[TOY_PLAIN + 100] = 77;
	volatile uint8_t *n = map_all(fd);
	CHECK(n[TOY_PLAIN + 100] == 77);
	if (fork() == 0) {
		CHECK(m[TOY_PLAIN + 100] == 77 && r[TOY_ID / 4] == TOY_ID_VALUE);
		n[TOY_PLAIN + 101] = 78;
		_exit(0);
	}
	int status;
	CHECK(wait(&status) > 0 && status == 0 && m[TOY_PLAIN + 101] == 78);
	/* A call of the kernel that is given such a page cannot touch it */
	int p[2];
	CHECK(pipe(p) == 0);
	FAILS(write(p[1], (void *)m, 4), EFAULT);
}

static void case_nommio(void)
{
	int fd = open_echo();

	FAILS((long)mmap(NULL, TOY_SIZE, PROT_READ, MAP_SHARED, fd, 0), ENODEV);
}

static sigjmp_buf back;
static volatile int got;
static void *volatile where;

static void on_fault(int sig, siginfo_t *si, void *uc)
{
	(void)uc;
	got = sig;
	where = si->si_addr;
	siglongjmp(back, 1);
}

static void handle(int sig)
{
	struct sigaction sa = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };

	CHECK(sigaction(sig, &sa, NULL) == 0);
}

#define FAULTS(sig, at, what)                                            \
	do {                                                             \
		got = 0;                                                 \
		if (!sigsetjmp(back, 1)) {                               \
			what;                                            \
		}                                                        \
		CHECK(got == (sig) && where == (void *)(at));            \
	} while (0)

static void case_blocked(void)
{
	int fd = open_echo();
	volatile uint8_t *m = map_all(fd);
	volatile uint32_t v;

	m[TOY_PLAIN] = 9;
	handle(SIGBUS);
	CHECK(ioctl(fd, TOY_MEMORY, 0) == 0);
	FAULTS(SIGBUS, m, v = *(volatile uint32_t *)m);
	FAULTS(SIGBUS, m + TOY_NEXT, *(volatile uint32_t *)(m + TOY_NEXT) = 1);
	FAULTS(SIGBUS, m + TOY_PLAIN, v = m[TOY_PLAIN]);
	CHECK(ioctl(fd, TOY_MEMORY, 1) == 0);
	v = *(volatile uint32_t *)m;
	CHECK(v == TOY_ID_VALUE);
	v = m[TOY_PLAIN];
	(void)v;
	if (fork() == 0) {
		signal(SIGBUS, SIG_DFL);
		ioctl(fd, TOY_MEMORY, 0);
		(void)*m;
		_exit(0);
	}
	int status;
	CHECK(wait(&status) > 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
	CHECK(ioctl(fd, TOY_MEMORY, 1) == 0);
}

/* The program's own handlers, as if nobody else wanted those signals. */
static void case_handlers(void)
{
	struct sigaction old, sa = { .sa_handler = SIG_IGN };
	volatile uint32_t *r;
	int fd, status;

	CHECK(sigaction(SIGSEGV, NULL, &old) == 0 && old.sa_handler == SIG_DFL);
	handle(SIGSEGV);
	CHECK(sigaction(SIGSEGV, NULL, &old) == 0 && old.sa_sigaction == on_fault && (old.sa_flags & SA_SIGINFO));
	FAULTS(SIGSEGV, 16, *(volatile int *)16 = 1);
	got = 0;
	if (!sigsetjmp(back, 1))
		raise(SIGSEGV);
	CHECK(got == SIGSEGV);
	fd = open_echo();
	r = (volatile uint32_t *)map_all(fd);
	CHECK(*r == TOY_ID_VALUE);
	FAULTS(SIGSEGV, 24, *(volatile int *)24 = 1);
	CHECK(*r == TOY_ID_VALUE);
	if (fork() == 0) {
		FAULTS(SIGSEGV, 32, *(volatile int *)32 = 1);
		CHECK(*r == TOY_ID_VALUE);
		signal(SIGSEGV, SIG_DFL);
		*(volatile int *)40 = 1;
	}
	CHECK(wait(&status) > 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	/* The child's change was its own. */
	FAULTS(SIGSEGV, 48, *(volatile int *)48 = 1);
	/* posix_spawn resets handlers in a child that shares our memory */
	CHECK(system("exit 3") == 3 << 8);
	FAULTS(SIGSEGV, 56, *(volatile int *)56 = 1);
	CHECK(sigaction(SIGBUS, &sa, NULL) == 0 && sigaction(SIGBUS, NULL, &old) == 0 && old.sa_handler == SIG_IGN);
	CHECK(*r == TOY_ID_VALUE);
	FAILS(syscall(SYS_rt_sigaction, SIGSEGV, (void *)8, NULL, 8), EFAULT);
	FAILS(syscall(SYS_rt_sigaction, SIGSEGV, NULL, NULL, 4), EINVAL);
}

static void *touch(void *arg)
{
	return (void *)(long)(*(volatile uint32_t *)arg == TOY_ID_VALUE);
}

/* Programs that block all signals and then touch a register. */
static void case_masked(void)
{
	volatile uint32_t *r;
	sigset_t all, old, now;
	pthread_t t;
	void *ok;
	int fd;

	sigfillset(&all);
	CHECK(sigprocmask(SIG_SETMASK, &all, &old) == 0);
	fd = open_echo();
	r = (volatile uint32_t *)map_all(fd);
	CHECK(*r == TOY_ID_VALUE);
	CHECK(sigprocmask(SIG_SETMASK, &old, &now) == 0 && sigismember(&now, SIGUSR1) && !sigismember(&old, SIGUSR1));
	CHECK(sigprocmask(SIG_BLOCK, &all, NULL) == 0 && *r == TOY_ID_VALUE);
	CHECK(sigprocmask(SIG_BLOCK, NULL, &now) == 0 && sigismember(&now, SIGUSR1));
	CHECK(pthread_create(&t, NULL, touch, (void *)r) == 0 && pthread_join(t, &ok) == 0 && ok);
	FAILS(sigprocmask(77, &all, NULL), EINVAL);
	FAILS(syscall(SYS_rt_sigprocmask, SIG_SETMASK, (void *)8, NULL, 8), EFAULT);
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

static void case_threads(void)
{
	pthread_t t[6];
	int fd = open_echo();
	void *bad;

	for (unsigned i = 0; i < 6; i++)
		CHECK(pthread_create(&t[i], NULL, hammer, &fd) == 0);
	for (unsigned i = 0; i < 6; i++)
		CHECK(pthread_join(t[i], &bad) == 0 && !bad);
}

static void case_fork(void)
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
static void case_storm(void)
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
static void case_stall(void)
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
static void case_kill(void)
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

/* Memory as DMA sees it: shared memory is mapped (0x100), private memory read by address. */
static void case_memory(void)
{
	int fd = open_echo(), mem = memfd_create("shared", 0);
	uint8_t *a = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *s, *h;

	CHECK(ftruncate(mem, 8192) == 0);
	s = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, mem, 0);
	a[4100] = 11;
	s[4100] = 12;
	CHECK(ioctl(fd, TOY_PEEK, a + 4100) == 11);
	CHECK(ioctl(fd, TOY_PEEK, s + 4100) == (12 | 0x100));
	CHECK(munmap(a, 8192) == 0);
	FAILS(ioctl(fd, TOY_PEEK, a), EFAULT);
	h = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	h[7] = 13;
	CHECK((ioctl(fd, TOY_PEEK, h + 7) & 0xff) == 13);
}

/* Descriptors of the process that runs us: the guard's parent. */
unsigned supervisor_fds(void)
{
	char path[64], line[256];
	int pid = 0;
	unsigned n = 0;
	DIR *d;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", getppid());
	f = fopen(path, "r");
	CHECK(f);
	while (!pid && fgets(line, sizeof(line), f))
		sscanf(line, "PPid: %d", &pid);
	fclose(f);
	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	d = opendir(path);
	CHECK(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* Eventfds that are made for us: what is closed is let go, and there is an end. */
static void case_manyevents(void)
{
	static int many[5000];
	struct rlimit rl = { 6000, 6000 };
	int fd = open_echo(), status, go[2], done[2];
	unsigned before = supervisor_fds(), n;
	uint64_t v;
	char c;

	CHECK(setrlimit(RLIMIT_NOFILE, &rl) == 0 && pipe(go) == 0 && pipe(done) == 0);
	if (fork() == 0) {
		for (n = 0; n < 5000 && (many[n] = eventfd(0, 0)) >= 0; n++)
			;
		CHECK(n == 4096 && errno == EMFILE);
		CHECK(close(many[9]) == 0 && (many[9] = eventfd(0, 0)) >= 0);
		CHECK(ioctl(fd, TOY_SIGNAL, many[9]) == 0 && read(many[9], &v, 8) == 8 && v == 1);
		FAILS(eventfd(0, 0), EMFILE);
		_exit(0);
	}
	CHECK(wait(&status) > 0 && status == 0);
	/* One that a child still has is known after its maker's end. */
	if (fork() == 0) {
		many[0] = eventfd(0, EFD_NONBLOCK);
		if (fork() == 0) {
			CHECK(read(go[0], &c, 1) == 1);
			CHECK(ioctl(fd, TOY_SIGNAL, many[0]) == 0 && read(many[0], &v, 8) == 8 && v == 1);
			CHECK(write(done[1], "y", 1) == 1);
			_exit(0);
		}
		_exit(0);
	}
	CHECK(wait(&status) > 0 && status == 0);
	while (supervisor_fds() > before + 64) /* it learns of their end a moment later */
		usleep(1000);
	CHECK(close(done[1]) == 0 && write(go[1], "x", 1) == 1);
	CHECK(read(done[0], &c, 1) == 1);
}

/* A file that a program serves: it is not asked anything for the machine, which would wait with its locks held. */
static void case_fuse(void)
{
	int fd = open_echo(), file, other;
	struct fuse_server server;
	char dir[] = "/tmp/super-fuse-XXXXXX", path[64];
	uint8_t *p;
	unsigned asked;

	if (!mkdtemp(dir) || fuse_start(&server, false) || fuse_mount(&server, dir)) {
		fprintf(stderr, "super_prog.c: no FUSE here\n");
		exit(rmdir(dir));
	}
	snprintf(path, sizeof(path), "%s/f", dir);
	file = open(path, O_RDONLY);
	other = memfd_create("shared", 0);
	umount2(dir, MNT_DETACH);
	CHECK(rmdir(dir) == 0);
	CHECK(file >= 0 && other >= 0 && ftruncate(other, 4096) == 0);
	p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, file, 0);
	CHECK(p != MAP_FAILED && p[0] == 'f');
	asked = atomic_load(server.asked);
	CHECK(ioctl(fd, TOY_PEEK, p) == 'f');
	CHECK(atomic_load(server.asked) == asked);
	/* Nor while another mapping's file is looked for among the descriptors. */
	CHECK(mmap(p, 4096, PROT_READ, MAP_SHARED | MAP_FIXED, other, 0) == p);
	CHECK(ioctl(fd, TOY_PEEK, p) == 0x100);
	CHECK(atomic_load(server.asked) == asked);
	fuse_stop(&server);
}

/*
 * Who is traced opens its descriptors itself, by /proc. With a /proc of its own that never answers it would wait for
 * ever, and the tracer for it. It is killed, and others go on: for them that was a call like any other.
 */
static void case_stuckopen(void)
{
	struct toy_add a = { .argsz = sizeof(a), .a = 1, .b = 2 };
	struct fuse_server server;
	int fd = open_echo(), status;
	pid_t pid, ended = 0;

	if (fuse_start(&server, true)) {
		fprintf(stderr, "super_prog.c: no FUSE here\n");
		return;
	}
	pid = fork();
	if (pid == 0) {
		if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) || fuse_mount(&server, "/proc"))
			_exit(7);
		close(server.dev); /* only the server's: its end is the end of the file system */
		open_echo();
		_exit(8);
	}
	/* It may be given up before the server gets to see what it asks. */
	while (!atomic_load(server.stuck) && (ended = waitpid(pid, &status, WNOHANG)) == 0)
		usleep(1000);
	CHECK(ioctl(fd, TOY_ADD, &a) == 0 && a.sum == 3);
	fuse_stop(&server); /* it does not die before its request does */
	CHECK(ended || waitpid(pid, &status, 0) == pid);
	if (WIFEXITED(status)) {
		CHECK(WEXITSTATUS(status) == 7);
		fprintf(stderr, "super_prog.c: no file systems of its own here\n");
	} else {
		CHECK(WTERMSIG(status) == SIGKILL);
	}
}

static atomic_bool mapped;

/* With everything blocked, so that the first mapping of a device has to open it. */
static void *goes_around(void *arg)
{
	sigset_t all;

	sigfillset(&all);
	while (!atomic_load(&mapped)) {
		CHECK(pthread_sigmask(SIG_SETMASK, &all, NULL) == 0);
		CHECK(chdir("/sys/bus/toy/devices") == 0);
		CHECK(access("0000:00:01.0/value", F_OK) == 0);
	}
	return arg;
}

/* The first mapping of a device stops the other threads, whatever they are doing: their calls are answered all the same. */
static void case_firstmap(void)
{
	int fd = open_echo(), status;

	for (int i = 0; i < 100; i++) {
		if (fork() == 0) {
			pthread_t t[3];
			void *m;

			for (int k = 0; k < 3; k++)
				CHECK(pthread_create(&t[k], NULL, goes_around, NULL) == 0);
			usleep((useconds_t)i * 10);
			m = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, TOY_TRAP);
			CHECK(m != MAP_FAILED);
			atomic_store(&mapped, true);
			for (int k = 0; k < 3; k++)
				pthread_join(t[k], NULL);
			_exit(0);
		}
		CHECK(wait(&status) > 0 && status == 0);
	}
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

/*
 * Whatever a program throws at the supervisor, it gets an errno, or dies alone.
 *
 * Most of these calls reach the real kernel too. So the thrower is nobody, sits in a directory where nothing can be
 * made, may not make large files, and every path it uses is from a list: bytes that a call has left in a buffer
 * never serve as a path.
 */
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

static void case_fuzz(void)
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
