/* SPDX-License-Identifier: MIT */
/*
 * Calls with a path, but for open. What is not the machine's is left to the kernel.
 *
 * stat tells of a directory what the backing directory is (device and inode), as fstat on it is native and find(1)
 * compares the two.
 */
#include "front/supervisor/priv.h"
#include <fcntl.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#define SYSFS_MAGIC 0x62656572
#define TMPFS_MAGIC 0x01021994

/* Look up what a call means. 0, or what the handler is to return. @real: with all links resolved; may be NULL */
static long look(struct super_call *c, int dirfd, uva_t path, bool follow, struct super_path *p, struct node_stat *st,
		 char *real)
{
	int rc = super_path_get(c, dirfd, path, p);

	if (rc <= 0)
		return rc ? rc : SUPER_CONTINUE;
	rc = tree_stat(c->s->tree, p->text, follow || p->dir, st, real);
	if (rc == 0 && p->dir && st->type != NODE_DIR)
		rc = -ENOTDIR;
	return rc;
}

void super_fill_stat(struct super *s, struct stat *st, mode_t mode, uint64_t ino, uint64_t size, dev_t rdev)
{
	struct timespec t = { .tv_sec = (time_t)(s->epoch / 1000000000), .tv_nsec = (long)(s->epoch % 1000000000) };

	memset(st, 0, sizeof(*st));
	st->st_dev = super_backing_dev(s);
	st->st_ino = ino;
	st->st_mode = mode;
	st->st_nlink = 1;
	st->st_rdev = rdev;
	st->st_size = (off_t)size;
	st->st_blksize = UVFIO_PAGE_SIZE;
	st->st_atim = st->st_mtim = st->st_ctim = t;
}

static int node_to_stat(struct super *s, const struct node_stat *ns, const char *real, struct stat *st)
{
	char dir[PATH_MAX];
	struct stat back;
	int rc;

	super_fill_stat(s, st, ns->mode, ns->ino, ns->type == NODE_LINK ? strlen(ns->target) : ns->size, ns->rdev);
	if (ns->type != NODE_DIR)
		return 0;
	rc = super_backing_dir(s, real, false, dir, sizeof(dir));
	if (rc)
		return rc;
	if (stat(dir, &back) < 0)
		return -errno;
	st->st_ino = back.st_ino;
	st->st_nlink = back.st_nlink;
	return 0;
}

/* @st of what a call means: 0, or what the handler is to return. @empty: the call takes "" for @dirfd itself. */
static long find_stat(struct super_call *c, int dirfd, uva_t path, bool follow, bool empty, struct stat *st)
{
	struct super_path p;
	struct node_stat ns;
	char real[PATH_MAX];
	struct super_file *sf;
	long rc = look(c, dirfd, path, follow, &p, &ns, real);

	if (rc == SUPER_CONTINUE) {
		if (!p.empty || !empty || !super_fd_ours(c->s, dirfd) || super_fd_get(c, dirfd, &sf))
			return rc;
		super_fill_stat(c->s, st, sf->file->mode, sf->st_ino, sf->file->size, sf->file->rdev);
		super_file_put(sf);
		return 0;
	}
	if (p.magic && !follow)
		return SUPER_CONTINUE;
	return rc ? rc : node_to_stat(c->s, &ns, real, st);
}

static long do_stat(struct super_call *c, int dirfd, uva_t path, uva_t out, bool follow, bool empty)
{
	struct stat st;
	long rc = find_stat(c, dirfd, path, follow, empty, &st);

	return rc ? rc : super_copy_out(c, out, &st, sizeof(st));
}

long super_stat(struct super_call *c)
{
	return do_stat(c, AT_FDCWD, super_arg(c, 0), super_arg(c, 1), true, false);
}

long super_lstat(struct super_call *c)
{
	return do_stat(c, AT_FDCWD, super_arg(c, 0), super_arg(c, 1), false, false);
}

long super_fstatat(struct super_call *c)
{
	int flags = (int)super_arg(c, 3);

	return do_stat(c, (int)super_arg(c, 0), super_arg(c, 1), super_arg(c, 2), !(flags & AT_SYMLINK_NOFOLLOW),
		       flags & AT_EMPTY_PATH);
}

static void stat_to_statx(const struct stat *st, struct statx *x)
{
	struct statx_timestamp t = { .tv_sec = st->st_mtim.tv_sec, .tv_nsec = (uint32_t)st->st_mtim.tv_nsec };

	memset(x, 0, sizeof(*x));
	x->stx_mask = STATX_BASIC_STATS;
	x->stx_blksize = (uint32_t)st->st_blksize;
	x->stx_nlink = (uint32_t)st->st_nlink;
	x->stx_mode = (uint16_t)st->st_mode;
	x->stx_ino = st->st_ino;
	x->stx_size = (uint64_t)st->st_size;
	x->stx_atime = x->stx_ctime = x->stx_mtime = t;
	x->stx_rdev_major = major(st->st_rdev);
	x->stx_rdev_minor = minor(st->st_rdev);
	x->stx_dev_major = major(st->st_dev);
	x->stx_dev_minor = minor(st->st_dev);
}

long super_statx(struct super_call *c)
{
	int flags = (int)super_arg(c, 2);
	struct stat st;
	struct statx x;
	long rc = find_stat(c, (int)super_arg(c, 0), super_arg(c, 1), !(flags & AT_SYMLINK_NOFOLLOW), flags & AT_EMPTY_PATH, &st);

	if (rc)
		return rc;
	stat_to_statx(&st, &x);
	return super_copy_out(c, super_arg(c, 4), &x, sizeof(x));
}

/* The caller plays root: it may do everything but execute what nobody may. */
static long do_access(struct super_call *c, int dirfd, uva_t path, int mode, bool follow)
{
	struct super_path p;
	struct node_stat ns;
	long rc = look(c, dirfd, path, follow, &p, &ns, NULL);

	if (rc)
		return rc;
	if (mode & ~(R_OK | W_OK | X_OK))
		return -EINVAL;
	return (mode & X_OK) && ns.type != NODE_DIR && !(ns.mode & 0111) ? -EACCES : 0;
}

long super_access(struct super_call *c)
{
	return do_access(c, AT_FDCWD, super_arg(c, 0), (int)super_arg(c, 1), true);
}

long super_faccessat(struct super_call *c)
{
	bool follow = c->n->data.nr == SYS_faccessat || !(super_arg(c, 3) & AT_SYMLINK_NOFOLLOW);

	return do_access(c, (int)super_arg(c, 0), super_arg(c, 1), (int)super_arg(c, 2), follow);
}

static long do_readlink(struct super_call *c, int dirfd, uva_t path, uva_t buf, int size)
{
	struct super_path p;
	struct node_stat ns;
	const char *text;
	long rc;
	size_t n;

	rc = look(c, dirfd, path, false, &p, &ns, NULL);
	if (rc == SUPER_CONTINUE || (rc && !p.magic))
		return rc;
	if (size <= 0)
		return -EINVAL;
	if (!p.magic && ns.type != NODE_LINK)
		return -EINVAL;
	text = p.magic ? p.text : ns.target;
	n = MIN(strlen(text), (size_t)size);
	rc = super_copy_out(c, buf, text, n);
	return rc ? rc : (long)n;
}

long super_readlink(struct super_call *c)
{
	return do_readlink(c, AT_FDCWD, super_arg(c, 0), super_arg(c, 1), (int)super_arg(c, 2));
}

long super_readlinkat(struct super_call *c)
{
	return do_readlink(c, (int)super_arg(c, 0), super_arg(c, 1), super_arg(c, 2), (int)super_arg(c, 3));
}

/* ---- the current directory ---- */

long super_getcwd(struct super_call *c)
{
	char link[64], real[PATH_MAX];
	const char *text;
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/%u/cwd", c->n->pid);
	n = readlink(link, real, sizeof(real) - 1);
	if (n < 0)
		return SUPER_CONTINUE;
	real[n] = '\0';
	text = super_backing_strip(c->s, real);
	if (!text)
		return SUPER_CONTINUE;
	if (strstr(text, " (deleted)"))
		return -ENOENT;
	n = (ssize_t)strlen(text) + 1;
	if ((uint64_t)n > super_arg(c, 1))
		return -ERANGE;
	return super_copy_out(c, super_arg(c, 0), text, (size_t)n) ? -EFAULT : n;
}

/* A directory to go to. */
struct enter {
	const char *dir;
	int at;         /* the caller's descriptor for it */
};

/* A high free number below ours: calls on it are not notified. Not the one of another thread that does the same. */
static int free_number(struct super_call *c)
{
	char path[64];
	struct stat st;
	int at;

	for (at = (int)(c->s->fd_base - 1 - atomic_fetch_add(&c->s->chdirs, 1) % 64); at > 0; at--) {
		snprintf(path, sizeof(path), "/proc/%u/fd/%d", c->n->pid, at);
		if (lstat(path, &st) < 0)
			break;
	}
	return at;
}

static int give_dir(struct super_call *c, void *ctx)
{
	struct enter *e = ctx;
	int fd = open(e->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	e->at = super_call_addfd(c, fd, free_number(c), O_CLOEXEC);
	close(fd);
	return e->at < 0 ? e->at : 0;
}

/* In the caller's context: go where the descriptor leads, and close it. */
static void enter_dir(struct super_call *c, pid_t tid, void *ctx)
{
	const struct enter *e = ctx;
	uint64_t args[6] = { (uint64_t)e->at };
	long rc = super_trace_call(tid, SYS_fchdir, args);

	(void)c;
	if (rc != -ESRCH && super_trace_call(tid, SYS_close, args) != -ESRCH && rc < 0)
		super_trace_result(tid, rc);
}

long super_chdir(struct super_call *c)
{
	struct super_path p;
	struct node_stat ns;
	char real[PATH_MAX], dir[PATH_MAX];
	struct enter e = { .dir = dir };
	long rc = look(c, AT_FDCWD, super_arg(c, 0), true, &p, &ns, real);

	if (rc)
		return rc;
	if (ns.type != NODE_DIR)
		return -ENOTDIR;
	rc = super_backing_dir(c->s, real, true, dir, sizeof(dir));
	if (rc)
		return rc;
	return super_call_in_stop(c, &(struct super_in_stop){ .before = give_dir, .fn = enter_dir, .ctx = &e });
}

long super_statfs(struct super_call *c)
{
	struct statfs fs = { .f_bsize = 4096, .f_namelen = 255, .f_frsize = 4096 };
	struct super_path p;
	struct node_stat ns;
	long rc = look(c, AT_FDCWD, super_arg(c, 0), true, &p, &ns, NULL);

	if (rc)
		return rc;
	fs.f_type = strncmp(p.text, "/dev", 4) == 0 ? TMPFS_MAGIC : SYSFS_MAGIC;
	return super_copy_out(c, super_arg(c, 1), &fs, sizeof(fs));
}

/* ---- changes: programs cannot make or remove anything here ---- */

static long refuse(struct super_call *c, int dirfd, uva_t path)
{
	int nr = c->n->data.nr;
	struct super_path p;
	struct node_stat ns;
	long rc = look(c, dirfd, path, false, &p, &ns, NULL);
	bool makes = nr == SYS_mkdir || nr == SYS_mkdirat || nr == SYS_mknod || nr == SYS_mknodat || nr == SYS_symlink ||
		     nr == SYS_symlinkat || nr == SYS_link || nr == SYS_linkat;

	if (rc == SUPER_CONTINUE)
		return rc;
	if (makes)
		return rc == -ENOENT ? -EPERM : rc ? rc : -EEXIST;
	return rc ? rc : -EPERM;
}

long super_refuse(struct super_call *c)
{
	return refuse(c, AT_FDCWD, super_arg(c, 0));
}

long super_refuse_at(struct super_call *c)
{
	return refuse(c, (int)super_arg(c, 0), super_arg(c, 1));
}

static long refuse_two(struct super_call *c, int d1, uva_t p1, int d2, uva_t p2)
{
	struct super_path p;
	struct node_stat ns;
	long a = look(c, d1, p1, false, &p, &ns, NULL), b = look(c, d2, p2, false, &p, &ns, NULL);

	if (a == SUPER_CONTINUE && b == SUPER_CONTINUE)
		return a;
	if (a == SUPER_CONTINUE || b == SUPER_CONTINUE)
		return -EXDEV;
	return a ? a : -EPERM;
}

long super_refuse_two(struct super_call *c)
{
	return refuse_two(c, AT_FDCWD, super_arg(c, 0), AT_FDCWD, super_arg(c, 1));
}

long super_refuse_two_at(struct super_call *c)
{
	return refuse_two(c, (int)super_arg(c, 0), super_arg(c, 1), (int)super_arg(c, 2), super_arg(c, 3));
}

long super_refuse_symlink(struct super_call *c)
{
	return refuse(c, AT_FDCWD, super_arg(c, 1));
}

long super_refuse_symlinkat(struct super_call *c)
{
	return refuse(c, (int)super_arg(c, 1), super_arg(c, 2));
}

static long accept_it(struct super_call *c, int dirfd, uva_t path)
{
	struct super_path p;
	struct node_stat ns;

	return look(c, dirfd, path, true, &p, &ns, NULL);
}

long super_accept(struct super_call *c)
{
	return accept_it(c, AT_FDCWD, super_arg(c, 0));
}

long super_accept_at(struct super_call *c)
{
	return accept_it(c, (int)super_arg(c, 0), super_arg(c, 1));
}

long super_xattr(struct super_call *c)
{
	struct super_path p;
	struct node_stat ns;
	long rc = look(c, AT_FDCWD, super_arg(c, 0), false, &p, &ns, NULL);

	return rc ? rc : -EOPNOTSUPP;
}
