/* SPDX-License-Identifier: MIT */
/*
 * The guard stands between the supervisor and the programs. It is the parent of the first program and adopts all
 * orphans (PR_SET_CHILD_SUBREAPER), so it knows when the last one has ended; and it holds one end of a pipe
 * whose other end only the supervisor has: when that closes, the machine is dead and the guard kills every program.
 * Nothing ever falls through to the host's own /dev or /sys.
 */
#include "front/supervisor/filter.h"
#include "front/supervisor/priv.h"
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the program says before it starts: its number, and with it the listener, or why there is none. */
struct word {
	pid_t pid;
	int error;
};

static void fd_send(int sock, int fd)
{
	struct word w = { getpid(), fd < 0 ? -fd : 0 };
	union {
		struct cmsghdr h;
		char c[CMSG_SPACE(sizeof(int))];
	} u = { 0 };
	struct iovec v = { &w, sizeof(w) };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };

	if (fd >= 0) {
		m.msg_control = &u;
		m.msg_controllen = sizeof(u);
	}
	u.h.cmsg_level = SOL_SOCKET;
	u.h.cmsg_type = SCM_RIGHTS;
	u.h.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&u.h), &fd, sizeof(fd));
	(void)!sendmsg(sock, &m, 0);
}

/* The listener; -1: refused, see *error; -EPIPE the program has ended */
static int fd_receive(int sock, pid_t *pid, int *error)
{
	struct word w;
	union {
		struct cmsghdr h;
		char c[CMSG_SPACE(sizeof(int))];
	} u = { 0 };
	struct iovec v = { &w, sizeof(w) };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = &u, .msg_controllen = sizeof(u) };
	int fd;

	if (recvmsg(sock, &m, MSG_CMSG_CLOEXEC) != (ssize_t)sizeof(w))
		return -EPIPE;
	*pid = w.pid;
	*error = -w.error;
	if (w.error)
		return -1;
	if (m.msg_controllen < CMSG_LEN(sizeof(int)))
		return -EPIPE;
	memcpy(&fd, CMSG_DATA(&u.h), sizeof(fd));
	return fd;
}

/*
 * Is @pid below @of? By parents, as the kernel tells them now. A parent that is gone when it is asked in turn has left
 * its children to another one: begin again.
 */
static bool is_below(pid_t pid, pid_t of)
{
	pid_t at = pid;
	uint64_t parent;

	for (int depth = 0; at > 1 && depth < 4096; depth++) {
		if (super_proc_status(at, "PPid", 10, &parent) == 0)
			at = (pid_t)parent;
		else if (at != pid)
			at = pid;
		else
			return false;
		if (at == of)
			return true;
	}
	return false;
}

int super_descendants(pid_t of, int (*fn)(void *ctx, pid_t pid), void *ctx)
{
	struct dirent *e;
	int rc = 0;
	DIR *d = opendir("/proc");

	if (!d)
		return -errno;
	while (rc == 0 && (e = readdir(d))) {
		pid_t pid = (pid_t)atoi(e->d_name);

		if (pid > 0 && is_below(pid, of))
			rc = fn(ctx, pid);
	}
	closedir(d);
	return rc;
}

struct killing {
	int sig;
	unsigned n;
};

static int kill_one(void *ctx, pid_t pid)
{
	struct killing *k = ctx;

	kill(pid, k->sig);
	k->n++;
	return 0;
}

unsigned super_kill_descendants(pid_t of, int sig)
{
	struct killing k = { .sig = sig };

	super_descendants(of, kill_one, &k);
	return k.n;
}

/* ---- the program ---- */

/* Under the filter: with a listener, or, when the host refuses that, with a tracer, as soon as it has come. */
static int enter_filter(struct super *s, int sock)
{
	static struct sock_filter prog[SUPER_FILTER_MAX];
	int fd = -EBUSY;
	char go;

	if (!(s->o->without & SUPER_WITHOUT_NOTIFY))
		fd = super_filter_install(prog, super_filter_build(s->fd_base, !s->getfd, false, prog), true);
	if (fd >= 0) {
		fd_send(sock, fd);
		close(fd);
		return 0;
	}
	if (fd != -EBUSY && fd != -ENOSYS && fd != -EINVAL)
		return fd;
	fd_send(sock, fd);
	if (read(sock, &go, 1) != 1)
		return fd;
	/* An eventfd cannot be handed to the program there, so nothing is gained by making it. */
	return super_filter_install(prog, super_filter_build(s->fd_base, false, true, prog), false);
}

static _Noreturn void program(struct super *s, int sock, int error, char *const argv[])
{
	struct rlimit rl;
	int rc;

	getrlimit(RLIMIT_NOFILE, &rl);
	rl.rlim_cur = MAX(s->soft_files, MIN(rl.rlim_max, (rlim_t)s->fd_top + SUPER_FD_SPARE));
	setrlimit(RLIMIT_NOFILE, &rl);
	rc = -enter_filter(s, sock);
	if (rc == 0) {
		execvp(argv[0], argv);
		rc = errno;
	}
	(void)!write(error, &rc, sizeof(rc));
	_exit(127);
}

/* ---- the guard ---- */

static void reap(pid_t first, int status)
{
	int st;
	pid_t pid;

	while ((pid = waitpid(-1, &st, WNOHANG)) > 0) {
		if (pid == first)
			(void)!write(status, &st, sizeof(st));
	}
	if (pid < 0 && errno == ECHILD)
		_exit(0);
}

static _Noreturn void guard_main(struct super *s, pid_t first, int alive, int status)
{
	struct pollfd p[2] = { { .fd = alive, .events = POLLIN }, { .events = POLLIN } };
	struct signalfd_siginfo si;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	p[1].fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	for (;;) {
		reap(first, status);
		if (poll(p, 2, -1) < 0)
			continue;
		while (read(p[1].fd, &si, sizeof(si)) > 0)
			;
		if (p[0].revents) {
			super_kill_descendants(getpid(), SIGKILL);
			super_backing_remove(s);
			reap(first, status);
			usleep(1000);
		}
	}
}

/* What a program is to inherit of signals is what this process was started with. */
static _Noreturn void guard_child(struct super *s, char *const argv[], int sock, int alive, int status, int error,
				  const sigset_t *mask)
{
	sigset_t all;
	pid_t first;

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	prctl(PR_SET_NAME, "uvfio-guard");
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	first = fork();
	if (first == 0) {
		close(alive);
		close(status);
		signal(SIGBUS, SIG_DFL);
		signal(SIGSEGV, SIG_DFL);
		signal(SIGRTMAX, SIG_DFL);
		sigprocmask(SIG_SETMASK, mask, NULL);
		program(s, sock, error, argv);
	}
	close(sock);
	close(error);
	close(s->guard_pipe);
	guard_main(s, first, alive, status);
}

int super_guard_start(struct super *s, char *const argv[], struct super_guard *g)
{
	int fds[8] = { -1, -1, -1, -1, -1, -1, -1, -1 }, *sock = fds, *alive = fds + 2, *status = fds + 4, *error = fds + 6, rc;
	sigset_t all, old;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock) < 0 || pipe2(alive, O_CLOEXEC) < 0 ||
	    pipe2(status, O_CLOEXEC) < 0 || pipe2(error, O_CLOEXEC) < 0) {
		rc = -errno;
		for (unsigned i = 0; i < ARRAY_SIZE(fds); i++) {
			if (fds[i] >= 0)
				close(fds[i]);
		}
		return rc;
	}
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	s->guard_pipe = alive[1];
	g->pid = fork();
	if (g->pid == 0) {
		close(sock[0]);
		close(status[0]);
		close(error[0]);
		guard_child(s, argv, sock[1], alive[0], status[1], error[1], &s->program_mask);
	}
	sigprocmask(SIG_SETMASK, &old, NULL);
	close(sock[1]);
	close(alive[0]);
	close(status[1]);
	close(error[1]);
	g->status = status[0];
	g->alive = alive[1];
	g->error = error[0];
	g->sock = sock[0];
	g->refused = 0;
	g->listener = g->pid < 0 ? -EAGAIN : fd_receive(sock[0], &g->program, &g->refused);
	if (g->listener == -1 && g->refused)
		return 0;
	close(sock[0]);
	if (g->listener >= 0)
		return 0;
	/* The filter could not be installed: the program has said why. */
	if (read(g->error, &rc, sizeof(rc)) != (ssize_t)sizeof(rc))
		rc = EPIPE;
	close(g->alive);
	close(g->status);
	close(g->error);
	if (g->pid > 0)
		waitpid(g->pid, NULL, 0);
	return -rc;
}

void super_guard_go(struct super_guard *g, bool go)
{
	if (go)
		(void)!write(g->sock, "g", 1);
	close(g->sock);
}
