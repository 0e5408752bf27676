/* SPDX-License-Identifier: MIT */
/*
 * Programs on descriptors: duplicates of one file, numbers that are not looked at, others that come over a socket, eventfds,
 * queues that are not always ready. A file is open for as long as anybody has it, be it by a mapping alone.
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
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

void case_events(void)
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

void case_release(void)
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

void case_dup(void)
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
void case_lowfd(void)
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
void case_poll(void)
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
void case_manyevents(void)
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

/*
 * Who is traced opens its descriptors itself, by /proc. With a /proc of its own that never answers it would wait for
 * ever, and the tracer for it. It is killed, and others go on: for them that was a call like any other.
 */
void case_stuckopen(void)
{
	struct toy_add a = { .argsz = sizeof(a), .a = 1, .b = 2 };
	struct fuse_server server;
	int fd = open_echo(), status;
	pid_t pid, ended = 0;

	if (fuse_start(&server, true)) {
		fprintf(stderr, "super_fds.c: no FUSE here\n");
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
		fprintf(stderr, "super_fds.c: no file systems of its own here\n");
	} else {
		CHECK(WTERMSIG(status) == SIGKILL);
	}
}
