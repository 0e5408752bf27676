/* SPDX-License-Identifier: MIT */
/*
 * Descriptors of programs. Ours get numbers from fd_base on, so that the filter tells their calls from all
 * others by the number. What a number means is asked of the kernel once (the inode of /proc/PID/fd/N) and remembered
 * until the number is closed or reused, both of which are notified. Low numbers (dup2, SCM_RIGHTS) are asked each time.
 */
#include "front/supervisor/priv.h"
#include <string.h>

static int ask(struct super_call *c, int fd, struct stat *st)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%u/fd/%d", c->n->pid, fd);
	return stat(path, st) < 0 ? -EBADF : 0;
}

static uint64_t remembered(struct super_proc *p, int fd)
{
	atomic_ullong *fds = atomic_load(&p->fds);

	return fd < (int)p->s->fd_base || fd >= (int)p->s->fd_top || !fds ? 0 : fds[(unsigned)fd - p->s->fd_base];
}

static void remember(struct super_proc *p, int fd, uint64_t ino)
{
	struct super *s = p->s;

	if (fd < (int)s->fd_base || fd >= (int)s->fd_top)
		return;
	SCOPED_LOCK(&p->lock);
	if (!p->fds)
		p->fds = calloc(s->fd_top - s->fd_base, sizeof(*p->fds));
	if (p->fds)
		p->fds[(unsigned)fd - s->fd_base] = ino;
}

void super_fd_forget(struct super_proc *p, unsigned first, unsigned last)
{
	struct super *s = p->s;

	SCOPED_LOCK(&p->lock);
	for (unsigned fd = MAX(first, s->fd_base); p->fds && fd < s->fd_top && fd <= last; fd++)
		p->fds[fd - s->fd_base] = 0;
}

int super_fd_get(struct super_call *c, int fd, struct super_file **out)
{
	struct super_proc *p = super_call_proc(c);
	struct super_file *sf;
	struct stat st;
	uint64_t ino;

	if (!p)
		return -ESRCH;
	if (fd < 0)
		return -EBADF;
	if (fd >= SUPER_ALIAS)
		return super_window_file(p, fd - SUPER_ALIAS, out);
	ino = remembered(p, fd);
	sf = ino ? super_file_by_ino(c->s, super_files_dev(c->s), ino) : NULL;
	if (!sf) {
		if (ask(c, fd, &st))
			return -EBADF;
		sf = super_file_by_ino(c->s, st.st_dev, st.st_ino);
		if (!sf)
			return -EBADFD;
		remember(p, fd, super_fd_known(c->s, st.st_dev, st.st_ino));
	}
	*out = sf;
	return 0;
}

static bool is_free(struct super_call *c, int fd)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%u/fd/%d", c->n->pid, fd);
	return lstat(path, &st) < 0;
}

/* A number nobody in this process uses, searched from where the last one was found. -EMFILE */
static int pick(struct super_call *c, struct super_proc *p, unsigned min)
{
	struct super *s = c->s;
	unsigned room, n;

	min = MAX(min, s->fd_base);
	if (min >= s->fd_top)
		return -EMFILE;
	room = s->fd_top - min;
	mutex_lock(&p->lock);
	n = p->next_fd;
	mutex_unlock(&p->lock);
	for (unsigned i = 0; i < room; i++, n++) {
		if (n < min || n >= s->fd_top)
			n = min;
		if (!is_free(c, (int)n))
			continue;
		SCOPED_LOCK(&p->lock);
		p->next_fd = n + 1;
		return (int)n;
	}
	return -EMFILE;
}

int super_fd_install(struct super_call *c, int src, uint64_t known, unsigned min, int oflags)
{
	struct super_proc *p = super_call_proc(c);
	int fd, rc;

	if (!p)
		return -ESRCH;
	/* Two threads of a program may be given descriptors at once; only the second pick differs. */
	SCOPED_LOCK(&c->s->install_lock);
	fd = pick(c, p, min);
	if (fd < 0)
		return fd;
	rc = super_call_addfd(c, src, fd, oflags);
	/* The caller may have lowered its limit below our numbers. */
	if (rc == -EBADF)
		return -EMFILE;
	if (rc < 0)
		return rc;
	remember(p, fd, known);
	return fd;
}
