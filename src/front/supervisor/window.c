/* SPDX-License-Identifier: MIT */
/*
 * Redirection. "echo x > attribute" in a shell opens the attribute (a high number), moves it to descriptor 1 (dup2) and
 * writes to 1, which the filter does not see. So from that dup2 on, until the process has no such low descriptor any
 * more, a thread of the supervisor stops it at each system call (ptrace) and turns the descriptor of a write into
 * an alias that is high: SUPER_ALIAS + number. The kernel shows a call to the tracer before the filter, so the call
 * is then notified like any other. Forks and execs of the process are followed. This is slow, and rare: a few
 * calls of a shell.
 *
 * Only writable attributes need it: what is read has real bytes behind it, ioctl and mmap know files by their inode.
 */
#include "front/supervisor/priv.h"
#include "front/supervisor/tracer.h"
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define OPTIONS (PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC)

/* One traced thread. */
struct member {
	LIST_ENTRY(member) link;
	struct super_redirect r;
	bool execed;      /* a new image, to be given the stub when the call is left */
};

struct super_window {
	struct super *s;
	struct thread thread;
	pid_t first;
	bool attached;             /* [super.window_lock] the first thread is traced, or cannot be */
	int rc;                    /* [super.window_lock] */
	LIST_HEAD(, member) members; /* [super.window_lock] changed by the window's thread only */
	LIST_ENTRY(super_window) link; /* [super.window_lock] */
};

static struct member *member_get(struct super_window *w, pid_t tid)
{
	struct super *s = w->s;
	struct member *m;
	uint64_t tgid;

	LIST_FOREACH(m, &w->members, link) {
		if (m->r.tid == tid)
			return m;
	}
	m = calloc(1, sizeof(*m));
	if (!m)
		return NULL;
	m->r.tid = tid;
	m->r.tgid = super_proc_status(tid, "Tgid", 10, &tgid) == 0 ? (pid_t)tgid : tid;
	SCOPED_LOCK(&s->window_lock);
	LIST_INSERT_HEAD(&w->members, m, link);
	return m;
}

static void member_drop(struct super_window *w, struct member *m)
{
	SCOPED_LOCK(&w->s->window_lock);
	LIST_REMOVE(m, link);
	free(m);
}

/* What a low descriptor is, if it is one of the machine's writable attributes; referenced. */
static struct super_file *redirected(struct super *s, pid_t tgid, int fd)
{
	struct super_file *sf;
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", tgid, fd);
	if (fd < 0 || fd >= (int)s->fd_base || stat(path, &st) < 0)
		return NULL;
	sf = super_file_by_ino(s, st.st_dev, st.st_ino);
	if (sf && !(sf->text && (sf->file->oflags & O_ACCMODE) != O_RDONLY)) {
		super_file_put(sf);
		return NULL;
	}
	return sf;
}

bool super_redirect_any(struct super *s, pid_t tgid)
{
	bool found = false;
	struct dirent *e;
	char path[64];
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/fd", tgid);
	d = opendir(path);
	while (d && !found && (e = readdir(d))) {
		struct super_file *sf = e->d_name[0] == '.' ? NULL : redirected(s, tgid, atoi(e->d_name));

		found = sf != NULL;
		super_file_put(sf);
	}
	if (d)
		closedir(d);
	return found;
}

static bool is_write(long nr)
{
	return nr == SYS_write || nr == SYS_writev || nr == SYS_pwrite64 || nr == SYS_pwritev || nr == SYS_pwritev2;
}

static bool may_end(long nr)
{
	return nr == SYS_dup2 || nr == SYS_dup3 || nr == SYS_close || nr == SYS_close_range || nr == SYS_fcntl;
}

void super_redirect_entered(struct super *s, struct super_redirect *m)
{
	struct user_regs_struct r;
	struct super_file *sf;

	if (ptrace(PTRACE_GETREGS, m->tid, 0, &r) < 0)
		return;
	m->nr = (long)r.orig_rax;
	if (!is_write(m->nr) || !(sf = redirected(s, m->tgid, (int)r.rdi)))
		return;
	super_file_put(sf);
	m->fd = r.rdi;
	m->renamed = true;
	r.rdi = SUPER_ALIAS + r.rdi;
	ptrace(PTRACE_SETREGS, m->tid, 0, &r);
}

bool super_redirect_left(struct super *s, struct super_redirect *m)
{
	struct user_regs_struct r;

	if (m->renamed && ptrace(PTRACE_GETREGS, m->tid, 0, &r) == 0) {
		r.rdi = m->fd;
		ptrace(PTRACE_SETREGS, m->tid, 0, &r);
	}
	m->renamed = false;
	return !may_end(m->nr) || super_redirect_any(s, m->tgid);
}

/* Returns false when the process needs its window no more. */
static bool call_left(struct super_window *w, struct member *m)
{
	if (!m->execed)
		return super_redirect_left(w->s, &m->r);
	m->execed = false;
	m->r.renamed = false;
	super_inject(w->s, m->r.tid);
	return super_redirect_any(w->s, m->r.tgid);
}

/* A fork's child begins with the end of a call that it has not entered, so counting would not do. */
static bool is_entry(pid_t tid)
{
	struct __ptrace_syscall_info info;

	return ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof(info), &info) > 0 && info.op == PTRACE_SYSCALL_INFO_ENTRY;
}

/* One stop of one thread. @sig: what to deliver. False: let it go. */
static bool stopped(struct super_window *w, struct member *m, int status, int *sig, bool *listen)
{
	int event = status >> 16;

	*sig = 0;
	*listen = false;
	if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
		if (!is_entry(m->r.tid))
			return call_left(w, m);
		super_redirect_entered(w->s, &m->r);
		return true;
	}
	if (event == PTRACE_EVENT_EXEC) {
		struct super_proc *p = super_proc_of(w->s, m->r.tid);

		m->r.nr = SYS_execve; /* it is left in the next stop, where registers may be set */
		m->execed = true;
		if (p)
			super_proc_execed(p);
		super_proc_put(p);
		return true;
	}
	if (event == PTRACE_EVENT_STOP) {
		*listen = WSTOPSIG(status) != SIGTRAP; /* a group stop */
		return true;
	}
	if (event == 0 && WSTOPSIG(status) != SIGTRAP)
		*sig = WSTOPSIG(status);
	return true;
}

static void window_loop(struct super_window *w)
{
	int status, sig;
	bool listen;
	pid_t tid;

	for (;;) {
		struct member *m;

		tid = waitpid(-1, &status, __WALL | __WNOTHREAD);
		if (tid < 0 && errno == EINTR)
			continue;
		if (tid < 0)
			return;
		m = member_get(w, tid);
		if (!WIFSTOPPED(status)) {
			if (m)
				member_drop(w, m);
			continue;
		}
		if (m && stopped(w, m, status, &sig, &listen)) {
			ptrace(listen ? PTRACE_LISTEN : PTRACE_SYSCALL, tid, 0, sig);
			continue;
		}
		if (m)
			member_drop(w, m);
		ptrace(PTRACE_DETACH, tid, 0, 0);
	}
}

static int seize(void *ctx, pid_t tid)
{
	struct super_window *w = ctx;

	if (tid != w->first && ptrace(PTRACE_SEIZE, tid, 0, OPTIONS) == 0)
		ptrace(PTRACE_INTERRUPT, tid, 0, 0);
	return 0;
}

static void window_main(void *arg)
{
	struct super_window *w = arg;
	struct super *s = w->s;
	struct member *m;
	int rc = ptrace(PTRACE_SEIZE, w->first, 0, OPTIONS) < 0 ? -errno : 0;

	if (rc == 0) {
		ptrace(PTRACE_INTERRUPT, w->first, 0, 0);
		m = member_get(w, w->first);
		if (m)
			super_proc_threads(m->r.tgid, seize, w);
	}
	mutex_lock(&s->window_lock);
	w->rc = rc;
	w->attached = true;
	cond_broadcast(&s->window_idle);
	mutex_unlock(&s->window_lock);
	if (rc == 0)
		window_loop(w);
	mutex_lock(&s->window_lock);
	LIST_REMOVE(w, link);
	LIST_INSERT_HEAD(&s->windows_ended, w, link);
	cond_broadcast(&s->window_idle);
	mutex_unlock(&s->window_lock);
}

static void reap_locked(struct super *s)
{
	struct super_window *w;

	while ((w = LIST_FIRST(&s->windows_ended))) {
		LIST_REMOVE(w, link);
		thread_join(&w->thread);
		free(w);
	}
}

bool super_window_owns(struct super_proc *p)
{
	struct super *s = p->s;
	struct super_window *w;
	struct member *m;

	SCOPED_LOCK(&s->window_lock);
	LIST_FOREACH(w, &s->windows, link) {
		LIST_FOREACH(m, &w->members, link) {
			if (m->r.tgid == p->tgid)
				return true;
		}
	}
	return false;
}

long super_window_redirect(struct super_call *c, struct super_file *sf, int fd)
{
	struct super *s = c->s;
	struct super_window *w;
	int rc;

	(void)sf;
	(void)fd;
	if (s->tracer) {
		super_tracer_redirect(c);
		return SUPER_CONTINUE;
	}
	if (super_window_owns(c->proc))
		return SUPER_CONTINUE;
	w = s->inject ? calloc(1, sizeof(*w)) : NULL;
	if (!w)
		return SUPER_CONTINUE;
	w->s = s;
	w->first = (pid_t)c->n->pid;
	LIST_INIT(&w->members);
	mutex_lock(&s->window_lock);
	reap_locked(s);
	LIST_INSERT_HEAD(&s->windows, w, link);
	rc = thread_start(&w->thread, "uvfio-window", window_main, w);
	if (rc) {
		LIST_REMOVE(w, link);
		free(w);
	}
	while (rc == 0 && !w->attached)
		cond_wait(&s->window_idle, &s->window_lock);
	mutex_unlock(&s->window_lock);
	return SUPER_CONTINUE;
}

int super_window_file(struct super_proc *p, int fd, struct super_file **out)
{
	struct super_file *sf = redirected(p->s, p->tgid, fd);

	if (!sf)
		return -EBADF;
	*out = sf;
	return 0;
}

void super_windows_wait(struct super *s)
{
	SCOPED_LOCK(&s->window_lock);
	while (!LIST_EMPTY(&s->windows))
		cond_wait(&s->window_idle, &s->window_lock);
	reap_locked(s);
}
