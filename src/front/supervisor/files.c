/* SPDX-License-Identifier: MIT */
/*
 * Open files of the machine in the hands of programs. Each is represented by a memfd of size 0: its inode is
 * the file's identity, whatever number a descriptor has and however it got there, and every page of a mapping
 * lies beyond its end, so it traps.
 *
 * Release. When the last descriptor and the last mapping are gone, the memfd's only name goes, which inotify
 * reports as IN_DELETE_SELF before the close(2), munmap(2) or exit that did it returns. So no description of it
 * is ever kept here. Before an open, an ioctl, a read or write of a stream is answered the queue is drained: a program that
 * closes and opens again finds the file released, as with Linux. Somebody else may wait for that too (an unbind), so an event
 * also wakes the thread that watches the programs (run.c).
 *
 * Readiness. Where poll(2) is to say more than that a file is ready, the memfd is a FIFO without a name instead, in
 * which there is a byte as long as there is something to read. We write and read it by another link to the same inode:
 * it is the program's link that is gone with the program's last descriptor. Who cannot write to such a file has only
 * the reading end. The FIFO belongs to the program: what else it does with it can spoil what it is told, and nothing else.
 *
 * Plain memory. A BAR page without side effects is another memfd, mapped over the first by the stub; then the
 * mapping of the first is gone, but the file must live on. So each description of plain memory that is handed
 * out carries a read lock (fcntl F_OFD_SETLK) on the byte whose number is the file's id. The lock goes with the last
 * reference on the description, mappings included. Closing one raises IN_CLOSE, and F_OFD_GETLK tells whether
 * there are others: that is a lease.
 */
#include "front/supervisor/priv.h"
#include <fcntl.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <unistd.h>

static unsigned bucket_of(uint64_t n)
{
	return (unsigned)(n * 0x9e3779b97f4a7c15u >> 32) % SUPER_FILE_BUCKETS;
}

/* ---- marks on descriptions ---- */

int super_hold(int fd, uint64_t key)
{
	struct flock l = { .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = (off_t)key, .l_len = 1 };

	return fcntl(fd, F_OFD_SETLK, &l) < 0 ? -errno : 0;
}

bool super_held(int probe, uint64_t key)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)key, .l_len = 1 };

	return fcntl(probe, F_OFD_GETLK, &l) == 0 && l.l_type != F_UNLCK;
}

static int reopen(int fd, int oflags)
{
	char path[64];
	int n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = open(path, oflags | O_CLOEXEC);
	return n < 0 ? -errno : n;
}

static int watch(struct super_files *fs, int fd, uint32_t mask)
{
	char path[64];
	int wd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	wd = inotify_add_watch(fs->inotify, path, mask | IN_MASK_ADD);
	return wd < 0 ? -errno : wd;
}

/* ---- files ---- */

static void file_insert(struct super_files *fs, struct super_file *sf)
{
	SCOPED_LOCK(&fs->lock);
	sf->id = ++fs->next_id;
	fs->count++;
	TAILQ_INSERT_TAIL(&fs->all, sf, all);
	LIST_INSERT_HEAD(&fs->by_ino[bucket_of(sf->ino)], sf, by_ino);
	LIST_INSERT_HEAD(&fs->by_wd[bucket_of((uint64_t)sf->wd)], sf, by_wd);
}

static int memfd_open(const char *name, int oflags)
{
	int memfd = memfd_create(name, MFD_CLOEXEC), fd = memfd < 0 ? -errno : reopen(memfd, oflags);

	if (memfd >= 0)
		close(memfd);
	return fd;
}

/* What stands for @f in a program; *@fifo: our end of it, -1: it has none. */
static int placeholder(struct super *s, struct file *f, const char *name, int *fifo)
{
	*fifo = -1;
	if (f->ready)
		return super_backing_fifo(s, f->ops->name, f->ready->out ? O_RDWR : O_RDONLY, fifo);
	return memfd_open(name, f->oflags & O_ACCMODE);
}

/* It is readable as long as there is a byte in it. */
static void fifo_turn(void *ctx, bool in)
{
	struct super_file *sf = ctx;
	char bytes[4096];

	if (in)
		(void)!write(sf->fifo, "", 1);
	else
		(void)!read(sf->fifo, bytes, sizeof(bytes));
}

/*
 * The watch is added while the lock is held off by nobody: the placeholder is still ours, so no event can come before
 * the file is in the tables.
 */
int super_file_create(struct super *s, struct file *f, const char *name, uint64_t st_ino, bool text)
{
	struct super_file *sf = calloc(1, sizeof(*sf) + strlen(name) + 1);
	struct stat st;
	int fd, rc;

	if (!sf)
		return -ENOMEM;
	rc = fd = placeholder(s, f, name, &sf->fifo);
	if (rc >= 0)
		rc = fstat(fd, &st) < 0 ? -errno : 0;
	if (rc == 0)
		rc = sf->wd = watch(&s->files, fd, IN_DELETE_SELF);
	if (rc < 0) {
		if (fd >= 0)
			close(fd);
		if (fd >= 0 && sf->fifo >= 0)
			close(sf->fifo);
		free(sf);
		return rc;
	}
	ref_init(&sf->ref);
	if (!f->mapped) {
		f->front = s;
		f->mapped = super_mapped;
	}
	sf->file = file_get(f);
	sf->dev = st.st_dev;
	sf->ino = st.st_ino;
	sf->st_ino = st_ino ? st_ino : st.st_ino;
	sf->text = text;
	sf->mirror = s->mirror;
	LIST_INIT(&sf->leases);
	memcpy(sf->name, name, strlen(name) + 1);
	file_insert(&s->files, sf);
	if (f->ready)
		file_ready_watch(f->ready, fifo_turn, sf);
	return fd;
}

void super_file_put(struct super_file *sf)
{
	if (!sf || !ref_put(&sf->ref))
		return;
	/* Nobody can bind it any more, and the pages are there until the file is released. */
	if (atomic_load(&sf->mirrored))
		stub_mirror_unbind(sf->mirror, sf->dev, sf->ino);
	if (sf->file->ready) {
		file_ready_watch(sf->file->ready, NULL, NULL);
		close(sf->fifo);
	}
	file_put(sf->file);
	free(sf);
}

void super_file_mirror(struct super_file *sf, uint64_t offset)
{
	struct mirror_page *page;

	if (!sf->mirror || !sf->file->ops->mirror)
		return;
	page = sf->file->ops->mirror(sf->file, offset);
	if (!page)
		return;
	atomic_store(&sf->mirrored, true);
	stub_mirror_bind(sf->mirror, sf->dev, sf->ino, offset, page);
}

struct super_file *super_file_by_ino(struct super *s, dev_t dev, uint64_t ino)
{
	struct super_files *fs = &s->files;
	struct super_file *sf;

	SCOPED_LOCK(&fs->lock);
	LIST_FOREACH(sf, &fs->by_ino[bucket_of(ino)], by_ino) {
		if (sf->ino == ino && sf->dev == dev) {
			ref_get(&sf->ref);
			return sf;
		}
	}
	return NULL;
}

/* ---- leases ---- */

static struct super_lease *lease_find_locked(struct super_files *fs, dev_t dev, uint64_t ino, struct super_file *sf)
{
	struct super_lease *l;

	LIST_FOREACH(l, &fs->leases[bucket_of(ino)], by_ino) {
		if (l->ino == ino && l->dev == dev && (!sf || l->sf == sf))
			return l;
	}
	return NULL;
}

static void lease_free_locked(struct super_lease *l)
{
	LIST_REMOVE(l, link);
	LIST_REMOVE(l, by_ino);
	close(l->probe);
	free(l);
}

/* Memory comes and goes with what it belongs to: what nobody has any more is not kept until the file is released. */
static void leases_prune_locked(struct super_file *sf)
{
	struct super_lease *l, *next;

	for (l = LIST_FIRST(&sf->leases); l; l = next) {
		next = LIST_NEXT(l, link);
		if (!super_held(l->probe, sf->id))
			lease_free_locked(l);
	}
}

/* @fd: a description of the memory, held already */
static int lease_add(struct super_files *fs, struct super_file *sf, int fd, uint64_t delta)
{
	struct super_lease *l = calloc(1, sizeof(*l));
	struct stat st;
	int rc;

	if (!l)
		return -ENOMEM;
	l->probe = reopen(fd, O_RDWR);
	rc = l->probe < 0 ? l->probe : fstat(l->probe, &st) < 0 ? -errno : watch(fs, l->probe, IN_CLOSE);
	if (rc < 0) {
		if (l->probe >= 0)
			close(l->probe);
		free(l);
		return rc;
	}
	l->dev = st.st_dev;
	l->ino = st.st_ino;
	l->sf = sf;
	l->delta = delta;

	SCOPED_LOCK(&fs->lock);
	leases_prune_locked(sf);
	if (lease_find_locked(fs, l->dev, l->ino, sf)) {
		close(l->probe);
		free(l);
		return 0;
	}
	LIST_INSERT_HEAD(&sf->leases, l, link);
	LIST_INSERT_HEAD(&fs->leases[bucket_of(l->ino)], l, by_ino);
	return 0;
}

/*
 * Is @fd what is behind the page? The memory stays while the page is mapped, but a program may have unmapped it since @page
 * was told, and then another file may have had the number.
 */
static bool is_behind(int fd, struct super_file *sf, uint64_t offset, const struct file_page *page)
{
	struct file_page now = { .kind = FILE_PAGE_NONE };
	struct stat a, b;

	sf->file->ops->page(sf->file, offset, &now);
	return now.kind == FILE_PAGE_PLAIN && now.memfd == page->memfd && now.offset == page->offset && fstat(fd, &a) == 0 &&
	       fstat(now.memfd, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

int super_file_lease(struct super *s, struct super_file *sf, uint64_t offset, const struct file_page *page)
{
	int fd = reopen(page->memfd, O_RDWR), rc;

	if (fd < 0)
		return fd;
	rc = is_behind(fd, sf, offset, page) ? super_hold(fd, sf->id) : -EAGAIN;
	if (rc == 0)
		rc = lease_add(&s->files, sf, fd, offset - page->offset);
	if (rc < 0) {
		close(fd);
		return rc;
	}
	return fd;
}

struct super_file *super_file_of_lease(struct super *s, dev_t dev, uint64_t ino, uint64_t *offset)
{
	struct super_files *fs = &s->files;

	SCOPED_LOCK(&fs->lock);
	struct super_lease *l = lease_find_locked(fs, dev, ino, NULL);

	if (!l)
		return NULL;
	*offset += l->delta;
	ref_get(&l->sf->ref);
	return l->sf;
}

int super_lease_access(struct super *s, dev_t dev, uint64_t ino, uint64_t offset, void *data, size_t n, bool write)
{
	struct super_files *fs = &s->files;
	struct super_lease *l;
	struct stat st;
	ssize_t k;

	SCOPED_LOCK(&fs->lock);
	l = lease_find_locked(fs, dev, ino, NULL);
	if (!l)
		return -ENXIO;
	if (fstat(l->probe, &st) < 0 || offset + n > (uint64_t)st.st_size)
		return -EFAULT;
	k = write ? pwrite(l->probe, data, n, (off_t)offset) : pread(l->probe, data, n, (off_t)offset);
	return k == (ssize_t)n ? 0 : -EFAULT;
}

static bool leased_locked(struct super_file *sf)
{
	struct super_lease *l;

	LIST_FOREACH(l, &sf->leases, link) {
		if (super_held(l->probe, sf->id))
			return true;
	}
	return false;
}

/* ---- release ---- */

static void unlink_locked(struct super_files *fs, struct super_file *sf)
{
	struct super_lease *l;

	TAILQ_REMOVE(&fs->gone, sf, all);
	LIST_REMOVE(sf, by_ino);
	fs->count--;
	while ((l = LIST_FIRST(&sf->leases)))
		lease_free_locked(l);
}

static void mark_gone_locked(struct super_files *fs, struct super_file *sf)
{
	LIST_REMOVE(sf, by_wd);
	TAILQ_REMOVE(&fs->all, sf, all);
	TAILQ_INSERT_TAIL(&fs->gone, sf, all);
}

static void mark_gone(struct super_files *fs, int wd)
{
	struct super_file *sf;

	SCOPED_LOCK(&fs->lock);
	LIST_FOREACH(sf, &fs->by_wd[bucket_of((uint64_t)wd)], by_wd) {
		if (sf->wd == wd) {
			mark_gone_locked(fs, sf);
			return;
		}
	}
}

/* The first of the files without a descriptor that has no lease either. */
static struct super_file *next_released(struct super_files *fs)
{
	struct super_file *sf;

	SCOPED_LOCK(&fs->lock);
	TAILQ_FOREACH(sf, &fs->gone, all) {
		if (!leased_locked(sf)) {
			unlink_locked(fs, sf);
			return sf;
		}
	}
	return NULL;
}

static void release_gone(struct super_files *fs)
{
	struct super_file *sf;

	while ((sf = next_released(fs)))
		super_file_put(sf);
}

void super_files_drain(struct super *s)
{
	struct super_files *fs = &s->files;
	char buf[8192] __attribute__((aligned(8)));
	ssize_t n;

	SCOPED_LOCK(&fs->release_lock);
	while ((n = read(fs->inotify, buf, sizeof(buf))) > 0) {
		for (char *p = buf; p < buf + n;) {
			struct inotify_event *e = (struct inotify_event *)p;

			if (e->mask & IN_DELETE_SELF)
				mark_gone(fs, e->wd);
			if (e->mask & IN_Q_OVERFLOW)
				super_log(s, LOG_ERR, "the queue of closed files overflowed: some stay open until the end");
			if (e->mask & (IN_DELETE_SELF | IN_CLOSE))
				release_gone(fs);
			p += sizeof(*e) + e->len;
		}
	}
}

int super_files_init(struct super *s)
{
	struct super_files *fs = &s->files;
	struct stat st;
	int fd;

	mutex_init(&fs->release_lock, RANK_SUPER_RELEASE);
	mutex_init(&fs->lock, RANK_SUPER_FDS);
	TAILQ_INIT(&fs->all);
	TAILQ_INIT(&fs->gone);
	for (unsigned i = 0; i < SUPER_FILE_BUCKETS; i++) {
		LIST_INIT(&fs->by_ino[i]);
		LIST_INIT(&fs->by_wd[i]);
		LIST_INIT(&fs->leases[i]);
	}
	fs->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	fd = memfd_create("uvfio", MFD_CLOEXEC);
	if (fs->inotify < 0 || fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	close(fd);
	fs->dev = st.st_dev;
	return 0;
}

/* The last program is gone; its files go with it, but give the kernel's deferred work a moment. */
void super_files_fini(struct super *s)
{
	struct super_files *fs = &s->files;
	struct super_file *sf;

	for (unsigned i = 0; i < 200; i++) {
		super_files_drain(s);
		mutex_lock(&fs->lock);
		unsigned left = fs->count;
		mutex_unlock(&fs->lock);
		if (left == 0)
			break;
		usleep(5000);
	}
	if (fs->count)
		super_log(s, LOG_WARN, "%u files were still open after the last program had ended", fs->count);
	mutex_lock(&fs->lock);
	while ((sf = TAILQ_FIRST(&fs->all)))
		mark_gone_locked(fs, sf);
	mutex_unlock(&fs->lock);
	while ((sf = TAILQ_FIRST(&fs->gone))) {
		mutex_lock(&fs->lock);
		unlink_locked(fs, sf);
		mutex_unlock(&fs->lock);
		super_file_put(sf);
	}
	if (fs->inotify >= 0)
		close(fs->inotify);
	mutex_fini(&fs->lock);
	mutex_fini(&fs->release_lock);
}
