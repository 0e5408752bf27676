/* SPDX-License-Identifier: MIT */
/*
 * The backing tree: real directories that mirror those of the machine's tree which programs have opened, so that
 * getdents, fstat and fchdir on them need no help. Attributes and device nodes are empty regular files there;
 * opening one is a path call and comes to us. A directory is brought up to date when it is opened and something
 * in the tree has changed.
 */
#include "front/supervisor/priv.h"
#include <dirent.h>
#include <fcntl.h>
#include <search.h>
#include <string.h>
#include <unistd.h>

struct dir {
	uint64_t generation; /* of the tree when it was filled */
	char path[];
};

struct super_backing {
	struct mutex lock; /* RANK_SUPER_BACKING */
	char root[64];
	size_t root_len;
	dev_t dev;
	void *dirs;        /* [lock] tsearch of struct dir by path */
};

static int dir_compare(const void *a, const void *b)
{
	return strcmp(((const struct dir *)a)->path, ((const struct dir *)b)->path);
}

static struct dir *dir_get_locked(struct super_backing *b, const char *path)
{
	struct dir *d = calloc(1, sizeof(*d) + strlen(path) + 1), **slot;

	if (!d)
		return NULL;
	memcpy(d->path, path, strlen(path) + 1);
	d->generation = UINT64_MAX;
	slot = tsearch(d, &b->dirs, dir_compare);
	if (!slot || *slot != d)
		free(d);
	return slot ? *slot : NULL;
}

/* Remove a file or a directory with all that is in it. */
static void remove_at(int at, const char *name)
{
	struct dirent *e;
	DIR *d;
	int fd;

	if (unlinkat(at, name, 0) == 0 || errno == ENOENT)
		return;
	fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	d = fd < 0 ? NULL : fdopendir(fd);
	while (d && (e = readdir(d))) {
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			remove_at(fd, e->d_name);
	}
	if (d)
		closedir(d);
	unlinkat(at, name, AT_REMOVEDIR);
}

static int make_dirs(struct super_backing *b, const char *path, char *real, size_t size)
{
	if (snprintf(real, size, "%s%s", b->root, path) >= (int)size)
		return -ENAMETOOLONG;
	if (mkdir(real, 0755) == 0 || errno == EEXIST)
		return 0;
	for (char *p = real + b->root_len + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		if (mkdir(real, 0755) < 0 && errno != EEXIST)
			return -errno;
		*p = '/';
	}
	return mkdir(real, 0755) == 0 || errno == EEXIST ? 0 : -errno;
}

/* ---- filling ---- */

struct fill {
	int fd;
	void *names; /* tsearch of the names the tree has */
	int rc;
};

static int name_compare(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* Does the entry already look as it should? */
static bool same_entry(int at, const char *name, const struct node_stat *st)
{
	mode_t want = st->type == NODE_DIR ? S_IFDIR : st->type == NODE_LINK ? S_IFLNK : S_IFREG;
	char target[sizeof(st->target)];
	struct stat have;
	ssize_t n;

	if (fstatat(at, name, &have, AT_SYMLINK_NOFOLLOW) < 0 || (have.st_mode & S_IFMT) != want)
		return false;
	if (st->type != NODE_LINK)
		return true;
	n = readlinkat(at, name, target, sizeof(target));
	return n == (ssize_t)strlen(st->target) && memcmp(target, st->target, (size_t)n) == 0;
}

static int fill_entry(void *ctx, const char *name, const struct node_stat *st)
{
	struct fill *f = ctx;
	char *copy = strdup(name);
	int fd, rc = 0;

	if (!copy || !tsearch(copy, &f->names, name_compare)) {
		free(copy);
		return -ENOMEM;
	}
	if (same_entry(f->fd, name, st))
		return 0;
	remove_at(f->fd, name);
	switch (st->type) {
	case NODE_DIR:
		rc = mkdirat(f->fd, name, 0755);
		break;
	case NODE_LINK:
		rc = symlinkat(st->target, f->fd, name);
		break;
	case NODE_ATTR:
	case NODE_CHR:
		fd = openat(f->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, st->mode & 0777);
		rc = fd < 0 ? -1 : close(fd);
		break;
	}
	return rc < 0 && errno != EEXIST ? -errno : 0;
}

/*
 * A directory that only leads to the machine's (/sys/module, say) shows what the host has as well, by links to it.
 */
static void fill_host(struct fill *f, const char *path)
{
	char target[PATH_MAX];
	struct dirent *e;
	DIR *d = opendir(path);

	while (d && (e = readdir(d))) {
		char *copy;

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || tfind(e->d_name, &f->names, name_compare))
			continue;
		if (snprintf(target, sizeof(target), "%s/%s", path, e->d_name) >= (int)sizeof(target))
			continue;
		copy = strdup(e->d_name);
		if (!copy || !tsearch(copy, &f->names, name_compare))
			free(copy);
		else
			(void)!symlinkat(target, f->fd, copy);
	}
	if (d)
		closedir(d);
}

static void remove_others(int fd, void *names)
{
	int copy = dup(fd);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *e;

	if (d)
		rewinddir(d);
	while (d && (e = readdir(d))) {
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
		    !tfind(e->d_name, &names, name_compare))
			remove_at(fd, e->d_name);
	}
	if (d)
		closedir(d);
}

static int fill_locked(struct super *s, const char *path, const char *real)
{
	struct fill f = { .fd = open(real, O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
	int rc;

	if (f.fd < 0)
		return -errno;
	rc = tree_list(s->tree, path, fill_entry, &f);
	if (rc == 0 && !tree_covers(s->tree, path))
		fill_host(&f, path);
	if (rc == 0)
		remove_others(f.fd, f.names);
	close(f.fd);
	tdestroy(f.names, free);
	return rc;
}

int super_backing_dir(struct super *s, const char *path, bool fill, char *real, size_t size)
{
	struct super_backing *b = s->backing;
	uint64_t generation = tree_generation(s->tree);
	struct dir *d;
	int rc;

	SCOPED_LOCK(&b->lock);
	rc = make_dirs(b, path, real, size);
	if (rc || !fill)
		return rc;
	d = dir_get_locked(b, path);
	if (!d)
		return -ENOMEM;
	if (d->generation == generation)
		return 0;
	rc = fill_locked(s, path, real);
	d->generation = rc ? UINT64_MAX : generation;
	return rc;
}

/* Both ends, each by a name of its own. */
static int open_fifo(const char *name, const char *other_name, int oflags, int *other)
{
	int fd;

	if (mkfifo(other_name, 0600) < 0 || link(other_name, name) < 0)
		return -errno;
	*other = open(other_name, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (*other < 0)
		return -errno;
	fd = open(name, oflags | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	fd = -errno;
	close(*other);
	return fd;
}

int super_backing_fifo(struct super *s, const char *label, int oflags, int *other)
{
	struct super_backing *b = s->backing;
	char name[sizeof(b->root) + 64], other_name[sizeof(name)];
	int fd;

	snprintf(name, sizeof(name), "%s/%s", b->root, label);
	snprintf(other_name, sizeof(other_name), "%s/fifo of %s", b->root, label);
	SCOPED_LOCK(&b->lock);
	fd = open_fifo(name, other_name, oflags, other);
	unlink(name);
	unlink(other_name);
	return fd;
}

const char *super_backing_strip(struct super *s, const char *real)
{
	struct super_backing *b = s->backing;

	if (strncmp(real, b->root, b->root_len) != 0)
		return NULL;
	if (real[b->root_len] == '\0')
		return "/";
	return real[b->root_len] == '/' ? real + b->root_len : NULL;
}

dev_t super_backing_dev(struct super *s)
{
	return s->backing->dev;
}

int super_backing_create(struct super *s)
{
	static const char *const places[] = { "/dev/shm/uvfio-XXXXXX", "/tmp/uvfio-XXXXXX" };
	struct super_backing *b = calloc(1, sizeof(*b));
	struct stat st;
	int rc = -ENOENT;

	if (!b)
		return -ENOMEM;
	for (unsigned i = 0; rc && i < ARRAY_SIZE(places); i++) {
		snprintf(b->root, sizeof(b->root), "%s", places[i]);
		rc = mkdtemp(b->root) ? 0 : -errno;
	}
	if (rc || chmod(b->root, 0755) < 0 || stat(b->root, &st) < 0) {
		free(b);
		return rc ? rc : -errno;
	}
	b->root_len = strlen(b->root);
	b->dev = st.st_dev;
	mutex_init(&b->lock, RANK_SUPER_BACKING);
	s->backing = b;
	return 0;
}

void super_backing_remove(struct super *s)
{
	if (s->backing)
		remove_at(AT_FDCWD, s->backing->root);
}

void super_backing_destroy(struct super *s)
{
	struct super_backing *b = s->backing;

	if (!b)
		return;
	super_backing_remove(s);
	tdestroy(b->dirs, free);
	mutex_fini(&b->lock);
	free(b);
	s->backing = NULL;
}
