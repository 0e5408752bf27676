/* SPDX-License-Identifier: MIT */
/*
 * open(2) of the machine's paths.
 *	A directory: the folder that mirrors it, an ordinary low descriptor.
 *	A text attribute for reading: its text in a memfd, an ordinary low descriptor too, so that reading costs nothing
 *	and a shell may put it on its standard input.
 *	Anything else: a file of the machine on a high number, whose calls come to us.
 * And of the host's /proc what the machine has a say in: /proc/PID/fdinfo/N of such a file, which has lines of its own,
 * and /proc/PID/status of a process with memory that is locked or pinned for the machine.
 */
#include "front/supervisor/priv.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Hand @fd over as an answer and close it here. */
static long give(struct super_call *c, int fd, int oflags)
{
	int rc;

	if (fd < 0)
		return fd;
	rc = super_call_addfd(c, fd, -1, oflags);
	close(fd);
	return rc;
}

static int host_open(const char *path, int oflags)
{
	int fd = open(path, (oflags & ~(O_CREAT | O_EXCL | O_TRUNC)) | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* A read-only description of a memfd with these bytes */
static int text_file(const char *name, const char *text, size_t n)
{
	int memfd = memfd_create(name, MFD_CLOEXEC), fd;
	char path[64];

	if (memfd < 0)
		return -errno;
	for (size_t done = 0; done < n;) {
		ssize_t k = write(memfd, text + done, n - done);

		if (k <= 0) {
			close(memfd);
			return -ENOMEM;
		}
		done += (size_t)k;
	}
	fchmod(memfd, 0444);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", memfd);
	fd = host_open(path, O_RDONLY);
	close(memfd);
	return fd;
}

/* All of an attribute, by reading it as a program would. 0; -errno of the read */
static int slurp(struct super_call *c, struct file *f, char **text, size_t *n)
{
	size_t room = 0;
	struct task t;
	ssize_t k;

	super_local_task(c, &t);
	*text = NULL;
	*n = 0;
	do {
		char *more = *n + 4096 > room ? realloc(*text, room = room * 2 + 8192) : *text;

		if (!more) {
			free(*text);
			return -ENOMEM;
		}
		*text = more;
		k = file_pread(f, &t, (uintptr_t)*text + *n, 4096, *n);
		if (k > 0)
			*n += (size_t)k;
	} while (k > 0);
	if (k < 0)
		free(*text);
	return (int)k;
}

static long open_directory(struct super_call *c, const char *path, int oflags)
{
	char real[PATH_MAX];
	int rc;

	if ((oflags & O_ACCMODE) != O_RDONLY || (oflags & O_CREAT))
		return -EISDIR;
	rc = super_backing_dir(c->s, path, true, real, sizeof(real));
	return rc ? rc : give(c, host_open(real, oflags), oflags);
}

/* O_PATH: a name, not a file; the mirrored name does. */
static long open_name(struct super_call *c, const char *path, int oflags)
{
	char dir[PATH_MAX], real[PATH_MAX + 256];
	char *slash;
	int rc;

	strcpy(dir, path);
	slash = strrchr(dir, '/');
	*slash = '\0';
	rc = super_backing_dir(c->s, *dir ? dir : "/", true, real, PATH_MAX);
	if (rc)
		return rc;
	strcat(real, strrchr(path, '/'));
	return give(c, host_open(real, oflags), oflags);
}

static long open_file(struct super_call *c, const char *path, int oflags, const struct node_stat *st)
{
	struct task local, *t = super_call_task(c);
	struct file *f;
	struct stat backing;
	char *text;
	size_t n;
	int rc, fd;

	if (!t)
		return -ESRCH;
	if (st->type == NODE_ATTR) {
		super_local_task(c, &local);
		t = &local;
	}
	rc = tree_open(c->s->tree, t, path, oflags, &f);
	if (rc)
		return rc;
	if (st->type == NODE_ATTR && !st->binary && (oflags & O_ACCMODE) == O_RDONLY && slurp(c, f, &text, &n) == 0) {
		fd = text_file(strrchr(path, '/') + 1, text, n);
		free(text);
		file_put(f);
		return give(c, fd, oflags);
	}
	fd = super_file_create(c->s, f, path, st->ino, st->type == NODE_ATTR);
	file_put(f);
	if (fd < 0)
		return fd;
	rc = fstat(fd, &backing) < 0 ? -errno
				     : super_fd_install(c, fd, super_fd_known(c->s, backing.st_dev, backing.st_ino), 0, oflags);
	close(fd);
	return rc;
}

/* /proc/self/fdinfo/N or /proc/PID/fdinfo/N of the caller's own. -1: not that */
static int fdinfo_number(struct super_call *c, const char *path)
{
	int n, end = 0;
	unsigned pid;

	if (sscanf(path, "/proc/self/fdinfo/%d%n", &n, &end) == 1 && path[end] == '\0')
		return n;
	if (sscanf(path, "/proc/%u/fdinfo/%d%n", &pid, &n, &end) == 2 && path[end] == '\0' && c->proc &&
	    (pid_t)pid == c->proc->tgid)
		return n;
	return -1;
}

static long open_fdinfo(struct super_call *c, const char *path, int oflags)
{
	char extra[512] = "", text[1024];
	struct super_file *sf;
	int n, number;

	if (!super_call_proc(c))
		return -ESRCH;
	number = fdinfo_number(c, path);
	if (number < 0 || super_fd_get(c, number, &sf))
		return SUPER_CONTINUE;
	if (sf->file->ops->fdinfo)
		sf->file->ops->fdinfo(sf->file, extra, sizeof(extra));
	n = snprintf(text, sizeof(text), "pos:\t%llu\nflags:\t0%o\nmnt_id:\t15\nino:\t%llu\n%s",
		     (unsigned long long)atomic_load(&sf->file->pos), (unsigned)sf->file->oflags,
		     (unsigned long long)sf->st_ino, extra);
	super_file_put(sf);
	return give(c, text_file("fdinfo", text, (size_t)n), oflags);
}

/* ---- /proc/PID/status ---- */

/* /proc/WHO/status or /proc/WHO/task/TID/status: the process, and the file as it is called here. 0: neither */
static pid_t status_of(struct super_call *c, const char *path, char *real, size_t size)
{
	char who[16] = "";
	int at = 0, end = 0;
	pid_t pid, name;

	(void)sscanf(path, "/proc/%15[^/]/%n", who, &at);
	(void)sscanf(path + at, "task/%*u/status%n", &end);
	if (!at || (strcmp(path + at, "status") != 0 && (!end || path[at + end])))
		return 0;
	pid = name = atoi(who);
	if (strcmp(who, "self") == 0)
		pid = name = c->proc->tgid;
	if (strcmp(who, "thread-self") == 0) {
		pid = c->proc->tgid;
		name = (pid_t)c->n->pid;
	}
	snprintf(real, size, "/proc/%d/%s", name, path + at);
	return pid;
}

/* What is counted of a process. False: nothing */
static bool counts_of(struct super *s, pid_t pid, long long *locked, long long *pinned)
{
	struct super_proc *p = super_proc_find(s, pid);

	*locked = *pinned = 0;
	if (!p)
		return false;
	mutex_lock(&p->lock);
	if (p->mm) {
		*locked = (long long)atomic_load(&p->mm->mm.locked_pages);
		*pinned = atomic_load(&p->mm->mm.pinned_pages);
	}
	mutex_unlock(&p->lock);
	super_proc_put(p);
	return *locked > 0 || *pinned > 0;
}

/* In another namespace of numbers a process has another number, and it has none here by which we could say which. */
static bool same_pids(struct super_call *c)
{
	struct stat here, there;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%u/ns/pid", c->n->pid);
	return stat("/proc/self/ns/pid", &here) == 0 && stat(path, &there) == 0 && here.st_ino == there.st_ino;
}

/* "NAME: 12 kB" becomes that much more. */
static void add_pages(char *text, size_t size, const char *name, long long pages)
{
	char *at = strstr(text, name), *end, number[32];
	unsigned long long kb;
	size_t n, rest;

	if (!at || pages <= 0)
		return;
	at += strlen(name);
	kb = strtoull(at, &end, 10) + ((unsigned long long)pages << UVFIO_PAGE_SHIFT >> 10);
	n = (size_t)snprintf(number, sizeof(number), "%8llu", kb);
	rest = strlen(end) + 1;
	if ((size_t)(at - text) + n + rest > size)
		return;
	memmove(at + n, end, rest);
	memcpy(at, number, n);
}

static long open_status(struct super_call *c, const char *path, int oflags)
{
	char real[64], text[16384];
	long long locked, pinned;
	ssize_t n;
	pid_t pid;
	int fd;

	if (!super_call_proc(c))
		return -ESRCH;
	super_files_drain(c->s); /* what was closed before counts no more */
	pid = status_of(c, path, real, sizeof(real));
	if (!pid || (oflags & (O_ACCMODE | O_PATH | O_DIRECTORY)) || !counts_of(c->s, pid, &locked, &pinned))
		return SUPER_CONTINUE;
	fd = same_pids(c) ? host_open(real, O_RDONLY) : -1;
	if (fd < 0)
		return SUPER_CONTINUE;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0 || n == (ssize_t)sizeof(text) - 1)
		return SUPER_CONTINUE;
	text[n] = '\0';
	add_pages(text, sizeof(text), "\nVmLck:\t", locked);
	add_pages(text, sizeof(text), "\nVmPin:\t", pinned);
	return give(c, text_file("status", text, strlen(text)), oflags);
}

/* A path of /proc that is not the machine's. */
static long open_proc(struct super_call *c, const char *path, int oflags)
{
	const char *name = strrchr(path, '/') + 1;

	if (strstr(path, "/fdinfo/"))
		return open_fdinfo(c, path, oflags);
	return strcmp(name, "status") == 0 ? open_status(c, path, oflags) : SUPER_CONTINUE;
}

/* Does a link of /proc lead to what stands for a file of the machine? A program has no business with it. */
static bool is_machines(struct super_call *c, const char *link)
{
	struct super_file *sf;
	struct stat st;

	if (stat(link, &st) < 0)
		return false;
	sf = super_file_by_ino(c->s, st.st_dev, st.st_ino);
	super_file_put(sf);
	return sf != NULL;
}

static long open_at(struct super_call *c, int dirfd, uva_t path, int oflags)
{
	struct super_path p;
	struct node_stat st;
	char real[PATH_MAX];
	int rc = super_path_get(c, dirfd, path, &p);

	if (rc < 0)
		return rc;
	if (rc == 0 && p.magic && is_machines(c, p.link))
		return -ENXIO; /* as any file without a name */
	if (rc == 0)
		return !p.empty && strncmp(p.text, "/proc/", 6) == 0 ? open_proc(c, p.text, oflags) : SUPER_CONTINUE;
	super_files_drain(c->s);
	rc = tree_stat(c->s->tree, p.text, p.dir || !(oflags & O_NOFOLLOW), &st, real);
	if (rc == -ENOENT && (oflags & O_CREAT))
		return -EACCES; /* sysfs makes no files */
	if (rc)
		return rc;
	if ((oflags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
		return -EEXIST;
	if (st.type == NODE_DIR)
		return open_directory(c, real, oflags);
	if (p.dir || (oflags & O_DIRECTORY))
		return -ENOTDIR;
	if (oflags & O_PATH)
		return open_name(c, real, oflags);
	if (st.type == NODE_LINK)
		return -ELOOP;
	return open_file(c, real, oflags, &st);
}

long super_open(struct super_call *c)
{
	return open_at(c, AT_FDCWD, super_arg(c, 0), (int)super_arg(c, 1));
}

long super_creat(struct super_call *c)
{
	return open_at(c, AT_FDCWD, super_arg(c, 0), O_CREAT | O_WRONLY | O_TRUNC);
}

long super_openat(struct super_call *c)
{
	return open_at(c, (int)super_arg(c, 0), super_arg(c, 1), (int)super_arg(c, 2));
}

/* RESOLVE_* flags restrict where a path may lead; inside the machine's tree it leads nowhere else. */
long super_openat2(struct super_call *c)
{
	struct {
		uint64_t flags, mode, resolve;
	} how;

	if (super_arg(c, 3) < sizeof(how) || super_copy_in(c, &how, super_arg(c, 2), sizeof(how)))
		return SUPER_CONTINUE; /* the kernel says what is wrong */
	return open_at(c, (int)super_arg(c, 0), super_arg(c, 1), (int)how.flags);
}
