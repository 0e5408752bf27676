/* SPDX-License-Identifier: MIT */
/*
 * Calls on descriptors. Each finds the machine's file and asks it; a descriptor that turns out to be the host's
 * (a program may have moved one of its own above fd_base) is left to the kernel, and so is a bad one.
 */
#include "front/supervisor/priv.h"
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#define RW_MAX     0x7ffff000u /* most bytes of one transfer, as Linux */
#define SYSFS_MAGIC 0x62656572

/* The file of argument @i and the caller as a task. 0, or what the handler is to return. */
static long get_file(struct super_call *c, unsigned i, struct super_file **sf, struct task **t)
{
	int rc = super_fd_get(c, (int)super_arg(c, i), sf);

	if (rc)
		return rc == -ESRCH ? rc : SUPER_CONTINUE;
	if (!t)
		return 0;
	*t = super_call_task(c);
	if (*t)
		return 0;
	super_file_put(*sf);
	return -ESRCH;
}

enum where { AT_POSITION, AT_OFFSET };

static ssize_t transfer(struct super_file *sf, struct task *t, uva_t buf, size_t n, bool write, enum where w, uint64_t pos)
{
	n = MIN(n, RW_MAX);
	if (w == AT_OFFSET)
		return write ? file_pwrite(sf->file, t, buf, n, pos) : file_pread(sf->file, t, buf, n, pos);
	return write ? file_write(sf->file, t, buf, n) : file_read(sf->file, t, buf, n);
}

/* A queue's messages depend on who is still there; what reads of a device or an attribute say does not. */
static void drain_before(struct super_call *c, const struct super_file *sf)
{
	if (sf->file->seek == FILE_SEEK_STREAM)
		super_files_drain(c->s);
}

static long plain_rw(struct super_call *c, bool write, enum where w)
{
	struct super_file *sf;
	struct task *t;
	long rc = get_file(c, 0, &sf, &t);

	if (rc)
		return rc;
	drain_before(c, sf);
	if (sf->text)
		super_call_may_block(c);
	rc = transfer(sf, t, super_arg(c, 1), super_arg(c, 2), write, w, super_arg(c, 3));
	super_file_put(sf);
	return rc;
}

/* One transfer a segment, until one is short; as Linux does for files that know no vectors. */
static long segments(struct super_call *c, struct super_file *sf, struct task *t, bool write, enum where w)
{
	struct iovec v[64];
	uint64_t count = super_arg(c, 2), pos = super_arg(c, 3);
	long done = 0;

	if (count > IOV_MAX)
		return -EINVAL;
	for (uint64_t i = 0; i < count; i++) {
		ssize_t k;

		if (i % ARRAY_SIZE(v) == 0 && super_copy_in(c, v, super_arg(c, 1) + i * sizeof(v[0]),
							    MIN(count - i, ARRAY_SIZE(v)) * sizeof(v[0])))
			return done ? done : -EFAULT;
		struct iovec *e = &v[i % ARRAY_SIZE(v)];

		if (e->iov_len == 0)
			continue;
		k = transfer(sf, t, (uva_t)e->iov_base, e->iov_len, write, w, pos);
		if (k < 0)
			return done ? done : k;
		done += k;
		pos += (uint64_t)k;
		if ((size_t)k < e->iov_len)
			break;
	}
	return done;
}

static long vector_rw(struct super_call *c, bool write, enum where w)
{
	int nr = c->n->data.nr;
	struct super_file *sf;
	struct task *t;
	long rc = get_file(c, 0, &sf, &t);

	if (rc)
		return rc;
	if (nr == SYS_preadv2 || nr == SYS_pwritev2) {
		if (super_arg(c, 5)) {
			super_file_put(sf);
			return -EOPNOTSUPP;
		}
		if ((int64_t)super_arg(c, 3) == -1)
			w = AT_POSITION;
	}
	drain_before(c, sf);
	if (sf->text)
		super_call_may_block(c);
	rc = segments(c, sf, t, write, w);
	super_file_put(sf);
	return rc;
}

long super_read(struct super_call *c)
{
	return plain_rw(c, false, AT_POSITION);
}

long super_write(struct super_call *c)
{
	return plain_rw(c, true, AT_POSITION);
}

long super_pread(struct super_call *c)
{
	return plain_rw(c, false, AT_OFFSET);
}

long super_pwrite(struct super_call *c)
{
	return plain_rw(c, true, AT_OFFSET);
}

long super_readv(struct super_call *c)
{
	return vector_rw(c, false, AT_POSITION);
}

long super_writev(struct super_call *c)
{
	return vector_rw(c, true, AT_POSITION);
}

long super_preadv(struct super_call *c)
{
	return vector_rw(c, false, AT_OFFSET);
}

long super_pwritev(struct super_call *c)
{
	return vector_rw(c, true, AT_OFFSET);
}

long super_lseek(struct super_call *c)
{
	struct super_file *sf;
	long rc = get_file(c, 0, &sf, NULL);

	if (rc)
		return rc;
	rc = file_lseek(sf->file, (off_t)super_arg(c, 1), (int)super_arg(c, 2));
	super_file_put(sf);
	return rc;
}

long super_ioctl(struct super_call *c)
{
	unsigned cmd = (unsigned)super_arg(c, 1), type = cmd >> 8 & 0xff;
	struct super_file *sf;
	struct task *t;
	long rc;

	if ((int)super_arg(c, 0) == STUB_RPC_FD && cmd >= STUB_RPC_FIRST && cmd <= STUB_RPC_LAST)
		return super_stub_call(c);
	if (type == 'T')
		return SUPER_CONTINUE; /* FIOCLEX and its like are the kernel's for every file */
	super_files_drain(c->s);
	rc = get_file(c, 0, &sf, &t);
	if (rc)
		return rc;
	rc = file_ioctl(sf->file, t, cmd, super_arg(c, 2));
	super_file_put(sf);
	/* What is not ours may still be known to the kernel. */
	return rc == -ENOTTY && type != ';' ? SUPER_CONTINUE : rc;
}

/* Without a stub nobody carries accesses to trapped pages, so those cannot be mapped. */
static bool has_trap(struct file *f, uint64_t offset, uint64_t length)
{
	for (uint64_t at = offset; at < offset + length;) {
		struct file_page p = { .kind = FILE_PAGE_NONE };

		if (!f->ops->page)
			return false;
		f->ops->page(f, at, &p);
		if (p.kind != FILE_PAGE_NONE)
			return true;
		at += MAX(p.length, UVFIO_PAGE_SIZE);
	}
	return false;
}

/* The kernel makes the mapping; we say whether it may. Nonsense is left to the kernel's own checks. */
long super_mmap(struct super_call *c)
{
	struct file_mmap m = { .offset = super_arg(c, 5), .length = super_arg(c, 1), .prot = (int)super_arg(c, 2),
			       .flags = (int)super_arg(c, 3) };
	struct super_file *sf;
	struct task *t;
	long rc;

	if ((m.flags & MAP_ANONYMOUS) || m.length == 0 || m.length > INT64_MAX || !IS_ALIGNED(m.offset, UVFIO_PAGE_SIZE))
		return SUPER_CONTINUE;
	rc = get_file(c, 4, &sf, &t);
	if (rc)
		return rc;
	rc = file_mmap(sf->file, t, &m);
	if (rc == 0 && !super_proc_has_stub(c) && has_trap(sf->file, m.offset, m.length)) {
		super_log_once(c->s, SUPER_SAID_NO_STUB, "%s (pid %d) runs without the stub: device memory cannot be mapped",
			       t->comm, t->tgid);
		rc = -ENODEV;
	}
	super_file_put(sf);
	return rc ? rc : super_signals_mmap(c);
}

long super_fstat(struct super_call *c)
{
	struct super_file *sf;
	struct stat st;
	long rc = get_file(c, 0, &sf, NULL);

	if (rc)
		return rc;
	super_fill_stat(c->s, &st, sf->file->mode, sf->st_ino, sf->file->size, sf->file->rdev);
	super_file_put(sf);
	return super_copy_out(c, super_arg(c, 1), &st, sizeof(st));
}

long super_fstatfs(struct super_call *c)
{
	struct statfs fs = { .f_type = SYSFS_MAGIC, .f_bsize = 4096, .f_namelen = 255, .f_frsize = 4096 };
	struct super_file *sf;
	long rc = get_file(c, 0, &sf, NULL);

	if (rc)
		return rc;
	super_file_put(sf);
	return super_copy_out(c, super_arg(c, 1), &fs, sizeof(fs));
}

/* ---- descriptors as such ---- */

long super_close(struct super_call *c)
{
	struct super_proc *p = super_call_proc(c);

	if (p)
		super_fd_forget(p, (unsigned)super_arg(c, 0), (unsigned)super_arg(c, 0));
	return SUPER_CONTINUE;
}

long super_close_range(struct super_call *c)
{
	struct super_proc *p = super_call_proc(c);

	if (p)
		super_fd_forget(p, (unsigned)super_arg(c, 0), (unsigned)super_arg(c, 1));
	return SUPER_CONTINUE;
}

/* A copy of one of ours gets a number of ours too. Where we may not fetch it, it gets a low one, and works by inode. */
static long dup_high(struct super_call *c, unsigned min, int oflags)
{
	int fd = (int)super_arg(c, 0), copy, n;
	struct super_file *sf;
	long rc = get_file(c, 0, &sf, NULL);

	if (rc)
		return rc;
	copy = c->s->getfd ? (int)syscall(SYS_pidfd_getfd, c->proc->pidfd, fd, 0) : -1;
	if (copy < 0) {
		super_file_put(sf);
		return SUPER_CONTINUE;
	}
	n = super_fd_install(c, copy, super_fd_known(c->s, sf->dev, sf->ino), min, oflags);
	close(copy);
	super_file_put(sf);
	return n;
}

long super_dup(struct super_call *c)
{
	return dup_high(c, 0, 0);
}

/* A FIFO is opened as suits poll(2), and never blocks who reads or writes it by a number that we do not look at. */
static long get_flags(struct super_call *c)
{
	const unsigned hidden = O_ACCMODE | O_NONBLOCK | O_CLOEXEC | 0100000 /* O_LARGEFILE */;
	struct super_file *sf;
	char path[64];
	unsigned flags = 0;
	long rc = get_file(c, 0, &sf, NULL);
	FILE *f;

	if (rc)
		return rc;
	snprintf(path, sizeof(path), "/proc/%u/fdinfo/%d", c->n->pid, (int)super_arg(c, 0));
	f = sf->fifo >= 0 ? fopen(path, "re") : NULL;
	rc = f && fscanf(f, "pos: %*u flags: %o", &flags) == 1
		     ? (long)((flags & ~hidden) | (unsigned)(sf->file->oflags & O_ACCMODE))
		     : SUPER_CONTINUE;
	if (f)
		fclose(f);
	super_file_put(sf);
	return rc;
}

long super_fcntl(struct super_call *c)
{
	int cmd = (int)super_arg(c, 1);

	if (cmd == F_GETFL)
		return get_flags(c);
	if (cmd != F_DUPFD && cmd != F_DUPFD_CLOEXEC)
		return SUPER_CONTINUE;
	if (super_arg(c, 2) >= c->s->fd_top)
		return SUPER_CONTINUE;
	return dup_high(c, (unsigned)super_arg(c, 2), cmd == F_DUPFD_CLOEXEC ? O_CLOEXEC : 0);
}

/* dup2, dup3 */
long super_dup2(struct super_call *c)
{
	int from = (int)super_arg(c, 0), to = (int)super_arg(c, 1);
	struct super_file *sf;
	long rc;

	if (!super_call_proc(c))
		return -ESRCH;
	if (from == to)
		return SUPER_CONTINUE;
	super_fd_forget(c->proc, (unsigned)to, (unsigned)to);
	if (!super_fd_ours(c->s, from) || super_fd_ours(c->s, to) || to < 0)
		return SUPER_CONTINUE;
	rc = get_file(c, 0, &sf, NULL);
	if (rc)
		return rc;
	rc = sf->text ? super_window_redirect(c, sf, to) : SUPER_CONTINUE;
	super_file_put(sf);
	return rc;
}

/* ---- refused and accepted ---- */

/* fallocate, sendfile, splice, copy_file_range: programs fall back to read and write. */
long super_einval(struct super_call *c)
{
	static const unsigned args[] = { 0, 1, 2 };

	for (unsigned i = 0; i < ARRAY_SIZE(args); i++) {
		struct super_file *sf;

		if (!super_fd_ours(c->s, (int)super_arg(c, i)) || super_fd_get(c, (int)super_arg(c, i), &sf))
			continue;
		super_file_put(sf);
		return -EINVAL;
	}
	return SUPER_CONTINUE;
}

/* ftruncate, fchmod, fchown: attributes take them and do nothing. */
long super_ok(struct super_call *c)
{
	struct super_file *sf;
	long rc = get_file(c, 0, &sf, NULL);

	if (rc)
		return rc;
	if (c->n->data.nr == SYS_ftruncate && !sf->text)
		rc = -EINVAL;
	super_file_put(sf);
	return rc;
}
