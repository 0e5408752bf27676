/* SPDX-License-Identifier: MIT */
#include "file/file.h"
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

int file_create(struct task *t, const struct file_ops *ops, void *priv, int oflags, mode_t mode, struct file **out)
{
	struct file *f = calloc(1, sizeof(*f));
	struct timespec now;

	if (!f)
		return -ENOMEM;
	ref_init(&f->ref);
	f->ops = ops;
	f->priv = priv;
	f->oflags = oflags;
	f->mode = mode;
	if (t) {
		f->opener = t->tgid;
		memcpy(f->opener_comm, t->comm, sizeof(f->opener_comm));
	}
	clock_gettime(CLOCK_REALTIME, &now);
	f->opened_at = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
	*out = f;
	return 0;
}

void file_put(struct file *f)
{
	if (!f || !ref_put(&f->ref))
		return;
	if (f->ops->release)
		f->ops->release(f);
	free(f);
}

long file_ioctl(struct file *f, struct task *t, unsigned cmd, uint64_t arg)
{
	return f->ops->ioctl ? f->ops->ioctl(f, t, cmd, arg) : -ENOTTY;
}

static ssize_t read_at(struct file *f, struct task *t, uva_t buf, size_t count, uint64_t pos)
{
	if ((f->oflags & O_ACCMODE) == O_WRONLY)
		return -EBADF;
	return f->ops->read ? f->ops->read(f, t, buf, count, pos) : -EINVAL;
}

static ssize_t write_at(struct file *f, struct task *t, uva_t buf, size_t count, uint64_t pos)
{
	if ((f->oflags & O_ACCMODE) == O_RDONLY)
		return -EBADF;
	return f->ops->write ? f->ops->write(f, t, buf, count, pos) : -EINVAL;
}

static int check_pos(const struct file *f, uint64_t pos)
{
	if ((int64_t)pos < 0)
		return -EINVAL;
	return f->seek == FILE_SEEK_STREAM ? -ESPIPE : 0;
}

ssize_t file_pread(struct file *f, struct task *t, uva_t buf, size_t count, uint64_t pos)
{
	int rc = check_pos(f, pos);

	return rc ? rc : read_at(f, t, buf, count, pos);
}

ssize_t file_pwrite(struct file *f, struct task *t, uva_t buf, size_t count, uint64_t pos)
{
	int rc = check_pos(f, pos);

	return rc ? rc : write_at(f, t, buf, count, pos);
}

static void advance(struct file *f, ssize_t n)
{
	if (n > 0 && f->seek != FILE_SEEK_STREAM)
		atomic_fetch_add(&f->pos, (uint64_t)n);
}

ssize_t file_read(struct file *f, struct task *t, uva_t buf, size_t count)
{
	ssize_t n = read_at(f, t, buf, count, atomic_load(&f->pos));

	advance(f, n);
	return n;
}

ssize_t file_write(struct file *f, struct task *t, uva_t buf, size_t count)
{
	ssize_t n = write_at(f, t, buf, count, atomic_load(&f->pos));

	advance(f, n);
	return n;
}

off_t file_lseek(struct file *f, off_t offset, int whence)
{
	off_t base = 0;

	if (f->seek != FILE_SEEK_POS)
		return -ESPIPE;
	if (whence == SEEK_CUR)
		base = (off_t)atomic_load(&f->pos);
	else if (whence == SEEK_END)
		base = (off_t)f->size;
	else if (whence != SEEK_SET)
		return -EINVAL;
	if (__builtin_add_overflow(base, offset, &offset) || offset < 0)
		return -EINVAL;
	atomic_store(&f->pos, (uint64_t)offset);
	return offset;
}

int file_mmap(struct file *f, struct task *t, const struct file_mmap *m)
{
	if (!f->ops->mmap)
		return -ENODEV;
	if ((f->oflags & O_ACCMODE) == O_WRONLY)
		return -EACCES;
	if ((m->flags & MAP_TYPE) != MAP_PRIVATE && (m->prot & PROT_WRITE) && (f->oflags & O_ACCMODE) != O_RDWR)
		return -EACCES;
	return f->ops->mmap(f, t, m);
}
