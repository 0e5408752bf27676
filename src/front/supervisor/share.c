/* SPDX-License-Identifier: MIT */
/*
 * The file that a program has mapped, opened once more. This happens while memory is pinned, under locks of the machine,
 * so nothing here may wait for a program: one that serves a file system (FUSE) would decide how long. Even to
 * ask such a file what it is, is to ask its server. So the mapping's device number decides first: the kernel's own
 * memory, or a file system of a kind that answers by itself, mounted where we are. Then each candidate is opened
 * without being touched (O_PATH), and compared by what the kernel knows (AT_STATX_DONT_SYNC).
 *
 * What is not opened is not lost: its memory is read and written by address.
 */
#include "front/supervisor/priv.h"
#include <dirent.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#ifndef RESOLVE_CACHED
#define RESOLVE_CACHED 0x20 /* Linux 5.12 */
#endif

/* Does a memfd of this kind live there? */
static bool memfd_dev(unsigned flags, dev_t dev)
{
	int fd = memfd_create("uvfio-probe", MFD_CLOEXEC | flags);
	struct stat st;
	bool same;

	if (fd < 0)
		return false;
	same = fstat(fd, &st) == 0 && st.st_dev == dev;
	close(fd);
	return same;
}

static bool answers_by_itself(const char *type, size_t n)
{
	static const char *const types[] = { "tmpfs", "ramfs", "hugetlbfs", "ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs",
					     "zfs", "bcachefs", "overlay" };

	for (unsigned i = 0; i < ARRAY_SIZE(types); i++) {
		if (strlen(types[i]) == n && memcmp(types[i], type, n) == 0)
			return true;
	}
	return false;
}

/* Our own mounts only: what a program mounts for itself may be layers over anything. */
static bool mounted_dev(dev_t dev)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	AUTO_FREE char *line = NULL;
	size_t room = 0;
	bool found = false;

	while (f && !found && getline(&line, &room, f) > 0) {
		const char *type = strstr(line, " - ");
		unsigned major, minor;

		if (type && sscanf(line, "%*d %*d %u:%u", &major, &minor) == 2 && makedev(major, minor) == dev)
			found = answers_by_itself(type + 3, strcspn(type + 3, " "));
	}
	if (f)
		fclose(f);
	return found;
}

static bool dev_answers(struct super *s, dev_t dev)
{
	return dev == super_files_dev(s) || mounted_dev(dev) || memfd_dev(MFD_HUGETLB | MFD_HUGE_2MB, dev) ||
	       memfd_dev(MFD_HUGETLB | MFD_HUGE_1GB, dev);
}

static bool same_file(int fd, const struct mm_area *a)
{
	struct statx x;

	return statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE | STATX_INO, &x) == 0 && S_ISREG(x.stx_mode) &&
	       x.stx_ino == a->ino && makedev(x.stx_dev_major, x.stx_dev_minor) == a->dev;
}

/* @path: an O_PATH descriptor, which is closed */
static int open_same(int path, const struct mm_area *a)
{
	char self[64];
	int fd = -1;

	if (path < 0)
		return -1;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", path);
	if (same_file(path, a))
		fd = open(self, (a->writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	close(path);
	return fd;
}

/* @link: one of /proc's, which leads to the file without a look at its name */
static int open_link(const char *link, const struct mm_area *a)
{
	return open_same(open(link, O_PATH | O_CLOEXEC), a);
}

/* By what the kernel remembers of the names alone. */
static int open_name(const char *name, const struct mm_area *a)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_CACHED };

	return open_same((int)syscall(SYS_openat2, AT_FDCWD, name, &how, sizeof(how)), a);
}

/* A descriptor of the process that is the mapped file. */
static int open_descriptor(struct super_mm *m, const struct mm_area *a)
{
	char dir[64], path[384];
	struct dirent *e;
	int fd = -1;
	DIR *d;

	snprintf(dir, sizeof(dir), "/proc/%d/fd", m->mm.tgid);
	d = opendir(dir);
	while (fd < 0 && d && (e = readdir(d))) {
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		if (e->d_name[0] != '.')
			fd = open_link(path, a);
	}
	if (d)
		closedir(d);
	return fd;
}

/* The kernel lets only the privileged open map_files; a file with a name can be opened by it. */
int super_share_open(struct super_mm *m, const struct mm_area *a)
{
	char path[128], name[PATH_MAX];
	ssize_t n;
	int fd;

	if (!dev_answers(m->s, a->dev))
		return -1;
	snprintf(path, sizeof(path), "/proc/%d/map_files/%llx-%llx", m->mm.tgid, (unsigned long long)a->start,
		 (unsigned long long)a->last + 1);
	fd = open_link(path, a);
	if (fd >= 0)
		return fd;
	fd = open_descriptor(m, a);
	if (fd >= 0)
		return fd;
	n = readlink(path, name, sizeof(name) - 1);
	if (n <= 0)
		return -1;
	name[n] = '\0';
	return name[0] == '/' ? open_name(name, a) : -1;
}
