/* SPDX-License-Identifier: MIT */
/*
 * Processes of the tree. One is made when a thread of it first makes a call that needs it, and goes when its
 * pidfd reports the end. A thread is found by a small direct-mapped cache. The number of a process's first thread is
 * the process's until that end; of any other, tgkill(tgid, tid, 0) proves that it still means the same, as numbers
 * are reused.
 *
 * A child that has not called yet is not known; what it inherits is found in its memory (signals.c, image.c)
 * or copied from its parent here.
 */
#include "front/supervisor/priv.h"
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

static ssize_t read_file(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, buf, size - 1);
	close(fd);
	if (n < 0)
		return -errno;
	buf[n] = '\0';
	return n;
}

int super_proc_status(pid_t tid, const char *name, int base, uint64_t *out)
{
	char path[64], buf[4096];
	size_t len = strlen(name);
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/status", tid);
	n = read_file(path, buf, sizeof(buf));
	if (n <= 0)
		return n ? (int)n : -ESRCH;
	for (char *line = buf; line; line = strchr(line, '\n')) {
		line += line[0] == '\n';
		if (strncmp(line, name, len) == 0 && line[len] == ':') {
			*out = strtoull(line + len + 1, NULL, base);
			return 0;
		}
	}
	return -ESRCH;
}

pid_t super_proc_parent(pid_t tid)
{
	uint64_t v;

	return super_proc_status(tid, "PPid", 10, &v) == 0 ? (pid_t)v : 0;
}

int super_proc_threads(pid_t tgid, int (*fn)(void *ctx, pid_t tid), void *ctx)
{
	struct dirent *e;
	char path[64];
	int rc = 0;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/task", tgid);
	d = opendir(path);
	if (!d)
		return -errno;
	while (rc == 0 && (e = readdir(d))) {
		pid_t tid = (pid_t)atoi(e->d_name);

		if (tid > 0)
			rc = fn(ctx, tid);
	}
	closedir(d);
	return rc;
}

static struct super_proc_bucket *bucket(struct super *s, pid_t tgid)
{
	return &s->procs[(unsigned)tgid % SUPER_PROC_BUCKETS];
}

static void proc_free(struct super_proc *p)
{
	struct super *s = p->s;

	super_mm_put(p->mm);
	if (p->image)
		super_image_put(s, p->image);
	if (p->pidfd >= 0)
		close(p->pidfd);
	free(p->fds);
	mutex_fini(&p->lock);
	free(p);
}

void super_proc_put(struct super_proc *p)
{
	if (p && ref_put(&p->ref))
		proc_free(p);
}

static struct super_proc *find_locked(struct super *s, pid_t tgid)
{
	struct super_proc *p;

	LIST_FOREACH(p, bucket(s, tgid), link) {
		if (p->tgid == tgid)
			return p;
	}
	return NULL;
}

struct super_proc *super_proc_find(struct super *s, pid_t tgid)
{
	struct super_proc *p;

	SCOPED_LOCK(&s->procs_lock);
	p = find_locked(s, tgid);
	if (p)
		ref_get(&p->ref);
	return p;
}

/* What a new process has of its parent, if it has not exec'ed since: super_proc_execed() takes it away. */
static void proc_inherit(struct super_proc *p)
{
	pid_t ppid = super_proc_parent(p->tgid);
	struct super_proc *parent = ppid > 0 ? super_proc_find(p->s, ppid) : NULL;

	/* Without a known parent the mappings decide; that look is taken when something depends on it. */
	if (parent && atomic_load(&parent->devices))
		atomic_store(&p->devices, true);
	super_proc_put(parent);
}

static bool read_comm(struct super_proc *p)
{
	char path[64], comm[sizeof(p->comm)];

	snprintf(path, sizeof(path), "/proc/%d/comm", p->tgid);
	if (read_file(path, comm, sizeof(comm)) <= 0)
		return false;
	comm[strcspn(comm, "\n")] = '\0';
	task_comm(p->comm, comm);
	return true;
}

static struct super_proc *proc_create(struct super *s, pid_t tgid)
{
	struct super_proc *p = calloc(1, sizeof(*p));
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = (uint64_t)tgid };

	if (!p)
		return NULL;
	ref_init(&p->ref);
	mutex_init(&p->lock, RANK_SUPER_PROC);
	p->s = s;
	p->tgid = tgid;
	p->next_fd = s->fd_base;
	p->pidfd = (int)syscall(SYS_pidfd_open, tgid, 0);
	if (p->pidfd < 0 || !read_comm(p)) {
		super_proc_put(p);
		return NULL;
	}
	proc_inherit(p);

	SCOPED_LOCK(&s->procs_lock);
	struct super_proc *other = find_locked(s, tgid);

	if (other || epoll_ctl(s->epoll, EPOLL_CTL_ADD, p->pidfd, &ev) < 0) {
		if (other)
			ref_get(&other->ref);
		super_proc_put(p);
		return other;
	}
	LIST_INSERT_HEAD(bucket(s, tgid), p, link);
	ref_get(&p->ref);
	return p;
}

struct super_proc *super_proc_of(struct super *s, pid_t tid)
{
	unsigned slot = (unsigned)tid % SUPER_TID_CACHE;
	struct super_proc *p = NULL, *old = NULL;
	uint64_t tgid;

	mutex_lock(&s->procs_lock);
	if (s->tids[slot].tid == tid) {
		p = s->tids[slot].proc;
		ref_get(&p->ref);
	}
	mutex_unlock(&s->procs_lock);
	if (p) {
		if (tid == p->tgid || syscall(SYS_tgkill, p->tgid, tid, 0) == 0 || errno == EPERM)
			return p;
		super_proc_put(p);
	}
	if (super_proc_status(tid, "Tgid", 10, &tgid))
		return NULL;
	p = super_proc_find(s, (pid_t)tgid);
	if (!p)
		p = proc_create(s, (pid_t)tgid);
	if (!p)
		return NULL;
	mutex_lock(&s->procs_lock);
	/* If its end was reported meanwhile, nobody would take it out of the cache. */
	if (find_locked(s, p->tgid) == p) {
		old = s->tids[slot].proc;
		s->tids[slot].tid = tid;
		s->tids[slot].proc = p;
		ref_get(&p->ref);
	}
	mutex_unlock(&s->procs_lock);
	super_proc_put(old);
	return p;
}

struct super_proc *super_call_proc(struct super_call *c)
{
	if (!c->proc)
		c->proc = super_proc_of(c->s, (pid_t)c->n->pid);
	/* What was looked at may have been another's, if the caller died meanwhile. */
	if (c->proc && !c->proc->checked) {
		if (!super_call_valid(c)) {
			super_proc_put(c->proc);
			c->proc = NULL;
			return NULL;
		}
		c->proc->checked = true;
	}
	return c->proc;
}

/* Forget a process: nobody finds it any more. */
static void proc_drop(struct super *s, struct super_proc *p)
{
	unsigned cached = 0;

	epoll_ctl(s->epoll, EPOLL_CTL_DEL, p->pidfd, NULL);
	mutex_lock(&s->procs_lock);
	for (unsigned i = 0; i < SUPER_TID_CACHE; i++) {
		if (s->tids[i].proc == p) {
			cached++;
			s->tids[i].proc = NULL;
			s->tids[i].tid = 0;
		}
	}
	mutex_unlock(&s->procs_lock);
	while (cached-- > 0)
		super_proc_put(p);
	super_proc_put(p);
}

void super_proc_exited(struct super *s, pid_t tgid)
{
	struct super_proc *p;

	mutex_lock(&s->procs_lock);
	p = find_locked(s, tgid);
	if (p)
		LIST_REMOVE(p, link);
	mutex_unlock(&s->procs_lock);
	if (p)
		proc_drop(s, p);
	super_events_sweep(s, tgid);
}

void super_proc_execed(struct super_proc *p)
{
	struct super_image *im;
	struct super_mm *mm;

	mutex_lock(&p->lock);
	mm = p->mm;
	im = p->image;
	p->mm = NULL;
	p->image = NULL;
	/* close-on-exec ones are gone; the others are found again */
	for (unsigned i = 0; p->fds && i < p->s->fd_top - p->s->fd_base; i++)
		p->fds[i] = 0;
	p->stub = SUPER_UNKNOWN;
	/* Handlers are reset, what was ignored stays ignored. */
	for (unsigned i = 0; i < ARRAY_SIZE(p->action); i++) {
		bool ignored = p->action[i].handler == 1;

		memset(&p->action[i], 0, sizeof(p->action[i]));
		p->action[i].handler = ignored;
	}
	read_comm(p);
	mutex_unlock(&p->lock);
	atomic_store(&p->devices, false);
	if (mm)
		atomic_store(&mm->stale, true);
	super_mm_put(mm);
	if (im)
		super_image_put(p->s, im);
}

int super_proc_mm(struct super_proc *p, struct super_mm **out)
{
	struct super_mm *m = NULL;
	int rc = 0;

	mutex_lock(&p->lock);
	/* Where nothing is injected nobody has seen the exec. */
	if (!p->s->inject && p->mm && super_mm_gone(p->mm)) {
		super_mm_put(p->mm);
		p->mm = NULL;
		read_comm(p);
	}
	if (!p->mm)
		rc = super_mm_create(p->s, p->tgid, p->comm, &p->mm);
	m = p->mm;
	if (rc == 0)
		mm_get(&m->mm);
	mutex_unlock(&p->lock);
	if (rc == 0)
		*out = m;
	return rc;
}

int super_procs_init(struct super *s)
{
	mutex_init(&s->procs_lock, RANK_SUPER_TABLE);
	for (unsigned i = 0; i < SUPER_PROC_BUCKETS; i++)
		LIST_INIT(&s->procs[i]);
	LIST_INIT(&s->images);
	return 0;
}

void super_procs_fini(struct super *s)
{
	for (unsigned i = 0; i < SUPER_PROC_BUCKETS; i++) {
		struct super_proc *p;

		while ((p = LIST_FIRST(&s->procs[i]))) {
			LIST_REMOVE(p, link);
			proc_drop(s, p);
		}
	}
	super_images_fini(s);
	mutex_fini(&s->procs_lock);
}
