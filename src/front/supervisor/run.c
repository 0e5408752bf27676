/* SPDX-License-Identifier: MIT */
/*
 * A run from its beginning to its end. The main thread starts the guard, then watches: processes that end, the
 * leader of the notification threads, signals to pass on, and the guard's news.
 */
#include "front/supervisor/priv.h"
#include "front/supervisor/tracer.h"
#include "machine/machine.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MARK         BIT64(63) /* in epoll's data: not a process */
#define MARK_STATUS  (MARK | 1)
#define MARK_WATCH   (MARK | 2)
#define MARK_SIGNALS (MARK | 3)
#define MARK_FILES   (MARK | 4)

/* Where our descriptors go: above what programs use, and low enough that a fork need not copy a huge table. */
static int choose_numbers(struct super *s)
{
	struct rlimit rl;
	unsigned hard;

	if (getrlimit(RLIMIT_NOFILE, &rl) < 0)
		return -errno;
	hard = rl.rlim_max > 1000000 ? 1000000 : (unsigned)rl.rlim_max;
	if (hard < 1024)
		return -EMFILE;
	s->fd_base = hard >= 2 * SUPER_FD_ROOM + SUPER_FD_SPARE ? SUPER_FD_ROOM : (hard - SUPER_FD_SPARE) / 2;
	s->fd_top = MIN(s->fd_base + SUPER_FD_ROOM, hard - SUPER_FD_SPARE);
	s->soft_files = rl.rlim_cur;
	/* Memfds, pidfds, probes: this process needs many itself. */
	rl.rlim_cur = rl.rlim_max;
	setrlimit(RLIMIT_NOFILE, &rl);
	return 0;
}

static bool host_has_getfd(void)
{
	int self = (int)syscall(SYS_pidfd_open, getpid(), 0);
	int fd = self < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, self, self, 0);

	if (fd >= 0)
		close(fd);
	if (self >= 0)
		close(self);
	return fd >= 0;
}

static int watch(struct super *s, int fd, uint64_t mark)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = mark };

	return epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

static int super_init(struct super *s)
{
	struct seccomp_notif_sizes sizes;
	struct timespec now;
	int rc;

	mutex_init(&s->seize_lock, RANK_SUPER_SEIZE);
	mutex_init(&s->install_lock, RANK_SUPER_INSTALL);
	mutex_init(&s->window_lock, RANK_SUPER_WINDOW);
	cond_init(&s->window_idle);
	LIST_INIT(&s->events);
	LIST_INIT(&s->windows);
	LIST_INIT(&s->windows_ended);
	super_procs_init(s);
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	s->watchdog = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	rc = super_files_init(s);
	if (rc || s->epoll < 0 || s->watchdog < 0)
		return rc ? rc : -EMFILE;
	rc = choose_numbers(s);
	if (rc)
		return rc;
	if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) < 0)
		sizes.seccomp_notif = 0;
	s->notif_size = MAX((size_t)sizes.seccomp_notif, sizeof(struct seccomp_notif));
	clock_gettime(CLOCK_REALTIME, &now);
	s->epoch = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	s->getfd = !(s->o->without & SUPER_WITHOUT_GETFD) && host_has_getfd();
	s->inject = !(s->o->without & SUPER_WITHOUT_INJECT);
	rc = super_backing_create(s);
	if (rc == 0)
		rc = watch(s, s->watchdog, MARK_WATCH);
	return rc ? rc : watch(s, s->files.inotify, MARK_FILES);
}

/* All programs are gone. Also after a super_init() that failed. */
static void super_fini(struct super *s)
{
	super_windows_wait(s);
	super_files_fini(s);
	super_events_fini(s);
	super_procs_fini(s);
	super_backing_destroy(s);
	if (s->epoll >= 0)
		close(s->epoll);
	if (s->watchdog >= 0)
		close(s->watchdog);
	cond_fini(&s->window_idle);
	mutex_fini(&s->window_lock);
	mutex_fini(&s->install_lock);
	mutex_fini(&s->seize_lock);
}

static int signals_fd(sigset_t *old)
{
	static const int passed[] = { SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGINT, SIGQUIT };
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(passed); i++)
		sigaddset(&set, passed[i]);
	sigprocmask(SIG_BLOCK, &set, old);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/*
 * The terminal's INT and QUIT reach the program by themselves; what a process sent here is meant for it, or, when it has
 * ended, for those it has left. They have no use for USR1 and USR2.
 */
static void pass_signals(struct super *s, const struct super_guard *g, int fd)
{
	struct signalfd_siginfo si;

	while (read(fd, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
		int sig = (int)si.ssi_signo;

		if ((sig == SIGINT || sig == SIGQUIT) && si.ssi_code == SI_KERNEL)
			continue;
		if (s->root > 0)
			kill(s->root, sig);
		else if (sig != SIGUSR1 && sig != SIGUSR2)
			super_kill_descendants(g->pid, sig);
	}
}

/* Until the guard has nobody left. Files are released here when whoever closed them makes no call that would do it. */
static void watch_run(struct super *s, struct super_guard *g, int signals, int *status)
{
	struct epoll_event ev[32];
	bool ticking = false, over = false;
	uint64_t n;

	while (!over) {
		int k = epoll_wait(s->epoll, ev, ARRAY_SIZE(ev), ticking ? 10 : -1);

		for (int i = 0; i < k; i++) {
			if (ev[i].data.u64 == MARK_WATCH) {
				(void)!read(s->watchdog, &n, sizeof(n));
				ticking = true;
			} else if (ev[i].data.u64 == MARK_SIGNALS) {
				pass_signals(s, g, signals);
			} else if (ev[i].data.u64 == MARK_STATUS) {
				over = read(g->status, status, sizeof(*status)) <= 0;
				s->root = 0; /* its number may be another's now */
			} else if (ev[i].data.u64 != MARK_FILES) {
				super_proc_exited(s, (pid_t)ev[i].data.u64);
			}
		}
		if (ticking)
			ticking = super_pool_tick(s);
		super_files_drain(s);
	}
}

/*
 * The guard is dead without having seen the last program end, so somebody has killed it. What it has left is ours
 * now (PR_SET_CHILD_SUBREAPER): this is a machine that must not go on, as nobody would guard it.
 */
static void after_guard(struct super *s, pid_t guard, int *status)
{
	struct pollfd p = { .fd = s->listener };
	int how;

	if (waitpid(guard, &how, 0) != guard || WIFEXITED(how))
		return;
	super_log(s, LOG_ERR, "the guard was killed, and with it all programs");
	*status = SIGKILL;
	for (unsigned i = 0; i < 1000; i++) {
		if (s->tracer ? super_tracer_idle(s) : poll(&p, 1, 0) == 1 && (p.revents & POLLHUP))
			break;
		super_kill_descendants(getpid(), SIGKILL);
		usleep(1000);
		while (waitpid(-1, &how, WNOHANG) > 0)
			;
	}
}

/* The threads that answer. Where the host allows no listener, a tracer and its workers. */
static int start_answering(struct super *s, struct super_guard *g)
{
	int rc;

	if (s->listener >= 0) {
		ioctl(s->listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
		return super_pool_start(s);
	}
	super_log(s, s->o->quiet ? LOG_INFO : LOG_WARN, "%s (%s): calls are traced with ptrace instead, which is slower",
		  g->refused == -EBUSY ? "this process is under another seccomp filter with a listener"
				       : "this host has no usable seccomp notification", strerror(-g->refused));
	rc = super_tracer_start(s, g->program);
	if (rc)
		super_log(s, LOG_ERR, "ptrace: %s", strerror(-rc));
	super_guard_go(g, rc == 0);
	return rc;
}

static void stop_answering(struct super *s)
{
	if (s->tracer)
		super_tracer_stop(s);
	else
		super_pool_stop(s);
}

static int run(struct super *s, char *const argv[], int *status)
{
	struct super_guard g;
	sigset_t old;
	int rc, signals, err = 0, was_reaper = 0;

	prctl(PR_GET_CHILD_SUBREAPER, &was_reaper);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	signals = signals_fd(&old);
	s->program_mask = old;
	rc = super_guard_start(s, argv, &g);
	if (rc) {
		prctl(PR_SET_CHILD_SUBREAPER, was_reaper);
		sigprocmask(SIG_SETMASK, &old, NULL);
		close(signals);
		return rc;
	}
	s->listener = g.listener;
	s->root = g.program;
	watch(s, g.status, MARK_STATUS);
	watch(s, signals, MARK_SIGNALS);
	rc = start_answering(s, &g);
	if (rc == 0) {
		watch_run(s, &g, signals, status);
		after_guard(s, g.pid, status);
		stop_answering(s);
		if (read(g.error, &err, sizeof(err)) == (ssize_t)sizeof(err))
			rc = -err;
	}
	close(g.alive);
	close(g.error);
	close(g.status);
	waitpid(g.pid, NULL, 0); /* unless it was waited for already */
	if (s->listener >= 0)
		close(s->listener);
	prctl(PR_SET_CHILD_SUBREAPER, was_reaper);
	sigprocmask(SIG_SETMASK, &old, NULL);
	close(signals);
	return rc;
}

int super_run_tree(struct tree *tree, struct log *log, const struct super_options *o, char *const argv[], int *status)
{
	struct super *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return -ENOMEM;
	s->tree = tree;
	s->log = log;
	s->o = o;
	s->mirror = o->mirror ? stub_mirror_of(o->mirror) : NULL;
	rc = super_init(s);
	if (rc == 0)
		rc = run(s, argv, status);
	super_fini(s);
	free(s);
	return rc;
}

int super_mirror_create(struct mirror_pool **out)
{
	struct stub_mirror *m;
	int rc = stub_mirror_create(&m);

	if (rc == 0)
		*out = stub_mirror_pool(m);
	return rc;
}

void super_mirror_destroy(struct mirror_pool *pool)
{
	if (pool)
		stub_mirror_destroy(stub_mirror_of(pool));
}

int super_run(struct machine *m, const struct super_options *o, char *const argv[], int *status)
{
	return super_run_tree(machine_tree(m), machine_log(m), o, argv, status);
}
