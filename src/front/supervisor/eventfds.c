/* SPDX-License-Identifier: MIT */
/*
 * Eventfds of programs. The usual way is to take a copy of the descriptor (pidfd_getfd). Where the host denies
 * that, the filter notifies eventfd(2): the program is given one made here, and its id (fdinfo) tells later
 * which one a descriptor is.
 *
 * Nothing tells when the programs have closed theirs. So each is somebody's, the maker's at first. When he ends, or has
 * many, it is looked who still has which: they go over to whoever has them, and what nobody has is closed.
 */
#include "front/supervisor/priv.h"
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EVENTS_MAX 4096 /* of a process */

struct super_event {
	LIST_ENTRY(super_event) link;
	pid_t tgid;       /* [files.lock] whose it is */
	bool given;       /* [files.lock] a program has it */
	bool doubted;     /* [files.lock] has anybody still got it? */
	int id;           /* [I] eventfd-id */
	struct event *ev; /* [I] */
};

static bool is_eventfd(int fd)
{
	char path[64], target[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return false;
	target[n] = '\0';
	return strcmp(target, "anon_inode:[eventfd]") == 0;
}

static int eventfd_id(const char *fdinfo)
{
	FILE *f = fopen(fdinfo, "re");
	char line[128];
	int id = -1;

	if (!f)
		return -EBADF;
	while (id < 0 && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "eventfd-id: %d", &id) != 1)
			id = -1;
	}
	fclose(f);
	return id < 0 ? -EINVAL : id;
}

static int from_ours(struct super_call *c, int fd, struct event **out)
{
	struct super_event *e;
	char path[64];
	int id;

	snprintf(path, sizeof(path), "/proc/%u/fdinfo/%d", c->n->pid, fd);
	id = eventfd_id(path);
	if (id < 0)
		return id;
	SCOPED_LOCK(&c->s->files.lock);
	LIST_FOREACH(e, &c->s->events, link) {
		if (e->id == id) {
			*out = event_get(e->ev);
			return 0;
		}
	}
	return -EINVAL;
}

int super_event_get(struct super_call *c, int fd, struct event **out)
{
	struct super_proc *p = super_call_proc(c);
	int copy;

	if (!p)
		return -ESRCH;
	if (fd < 0)
		return -EBADF;
	if (!c->s->getfd)
		return from_ours(c, fd, out);
	copy = (int)syscall(SYS_pidfd_getfd, p->pidfd, fd, 0);
	if (copy < 0)
		return errno == EBADF ? -EBADF : -errno;
	if (!is_eventfd(copy)) {
		close(copy);
		return -EINVAL;
	}
	fcntl(copy, F_SETFD, FD_CLOEXEC);
	return event_create(copy, out);
}

/* ---- eventfds made here ---- */

static void end_locked(struct super_event *e)
{
	LIST_REMOVE(e, link);
	event_put(e->ev);
	free(e);
}

/* Those of @tgid are in doubt. False: there are none. */
static bool doubt(struct super *s, pid_t tgid)
{
	struct super_event *e;
	bool any = false;

	SCOPED_LOCK(&s->files.lock);
	LIST_FOREACH(e, &s->events, link) {
		if (e->tgid == tgid && e->given)
			e->doubted = any = true;
	}
	return any;
}

/* The process has it. */
static void confirm(struct super *s, pid_t tgid, int id)
{
	struct super_event *e;

	SCOPED_LOCK(&s->files.lock);
	LIST_FOREACH(e, &s->events, link) {
		if (e->id == id && e->doubted) {
			e->tgid = tgid;
			e->doubted = false;
		}
	}
}

/* All that a process has. */
static void confirm_process(struct super *s, pid_t tgid)
{
	char dir[32], path[320];
	struct dirent *e;
	DIR *d;

	snprintf(dir, sizeof(dir), "/proc/%d/fdinfo", tgid);
	d = opendir(dir);
	while (d && (e = readdir(d))) {
		int id;

		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		id = e->d_name[0] == '.' ? -1 : eventfd_id(path);
		if (id >= 0)
			confirm(s, tgid, id);
	}
	if (d)
		closedir(d);
}

/* Children and whoever was sent one: of all processes, as not all have called yet. */
static void confirm_others(struct super *s, pid_t tgid)
{
	struct dirent *e;
	DIR *d = opendir("/proc");

	while (d && (e = readdir(d))) {
		pid_t pid = isdigit((unsigned char)e->d_name[0]) ? (pid_t)atoi(e->d_name) : 0;

		if (pid > 0 && pid != getpid() && pid != tgid)
			confirm_process(s, pid);
	}
	if (d)
		closedir(d);
}

void super_events_sweep(struct super *s, pid_t tgid)
{
	struct super_event *e, *next;

	if (!doubt(s, tgid))
		return;
	confirm_process(s, tgid);
	confirm_others(s, tgid);
	SCOPED_LOCK(&s->files.lock);
	for (e = LIST_FIRST(&s->events); e; e = next) {
		next = LIST_NEXT(e, link);
		if (e->tgid == tgid && e->doubted)
			end_locked(e);
	}
}

/* One more of a process. -EMFILE: it has many. */
static int event_add(struct super *s, struct super_event *e)
{
	struct super_event *other;
	unsigned n = 0;

	SCOPED_LOCK(&s->files.lock);
	LIST_FOREACH(other, &s->events, link)
		n += other->tgid == e->tgid;
	if (n >= EVENTS_MAX)
		return -EMFILE;
	LIST_INSERT_HEAD(&s->events, e, link);
	return 0;
}

/* All that can fail, so that no program has an eventfd that is not known. */
static int event_make(struct super_call *c, unsigned count, int flags, struct super_event **out)
{
	struct super_proc *p = super_call_proc(c);
	struct super_event *e;
	char path[64];
	int fd, rc;

	if (!p)
		return -ESRCH;
	fd = eventfd(count, flags | EFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	e = calloc(1, sizeof(*e));
	if (!e) {
		close(fd);
		return -ENOMEM;
	}
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	e->id = eventfd_id(path);
	e->tgid = p->tgid;
	rc = event_create(fd, &e->ev);
	if (rc)
		goto err_free;
	rc = e->id < 0 ? e->id : event_add(c->s, e);
	if (rc == -EMFILE) {
		super_events_sweep(c->s, e->tgid);
		rc = event_add(c->s, e);
	}
	if (rc)
		goto err_put;
	*out = e;
	return 0;

err_put:
	event_put(e->ev);
err_free:
	free(e);
	return rc;
}

/* eventfd(2), eventfd2(2) */
long super_eventfd(struct super_call *c)
{
	int flags = c->n->data.nr == SYS_eventfd2 ? (int)super_arg(c, 1) : 0;
	struct super_event *e = NULL;
	int n, rc = event_make(c, (unsigned)super_arg(c, 0), flags, &e);

	if (rc)
		return rc;
	n = super_call_addfd(c, e->ev->fd, -1, flags & EFD_CLOEXEC ? O_CLOEXEC : 0);
	SCOPED_LOCK(&c->s->files.lock);
	if (n < 0)
		end_locked(e);
	else
		e->given = true;
	return n;
}

void super_events_fini(struct super *s)
{
	struct super_event *e;

	while ((e = LIST_FIRST(&s->events)))
		end_locked(e);
}
