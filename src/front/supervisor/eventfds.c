/* SPDX-License-Identifier: MIT */
/*
 * Eventfds of programs. The usual way is to take a copy of the descriptor (pidfd_getfd). Where the host denies
 * that, the filter notifies eventfd(2): the program is given one made here, and its id (fdinfo) tells later
 * which one a descriptor is.
 */
#include "front/supervisor/priv.h"
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

struct super_event {
	LIST_ENTRY(super_event) link;
	int id;           /* eventfd-id */
	struct event *ev;
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

/* eventfd(2), eventfd2(2) */
long super_eventfd(struct super_call *c)
{
	int flags = c->n->data.nr == SYS_eventfd2 ? (int)super_arg(c, 1) : 0;
	struct super_event *e;
	char path[64];
	int fd, rc, n = -1;

	fd = eventfd((unsigned)super_arg(c, 0), flags | EFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	e = calloc(1, sizeof(*e));
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	rc = e ? e->id = eventfd_id(path) : -ENOMEM;
	if (rc >= 0)
		rc = n = super_call_addfd(c, fd, -1, flags & EFD_CLOEXEC ? O_CLOEXEC : 0);
	if (rc < 0) {
		close(fd);
		free(e);
		return rc;
	}
	rc = event_create(fd, &e->ev);
	if (rc < 0) {
		free(e);
		return n;
	}
	SCOPED_LOCK(&c->s->files.lock);
	LIST_INSERT_HEAD(&c->s->events, e, link);
	return n;
}

void super_events_fini(struct super *s)
{
	struct super_event *e;

	while ((e = LIST_FIRST(&s->events))) {
		LIST_REMOVE(e, link);
		event_put(e->ev);
		free(e);
	}
}
