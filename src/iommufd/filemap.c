/* SPDX-License-Identifier: MIT */
/*
 * A memfd as an address space, so that pinning a file is pinning memory: the address is the position. Whole pages
 * inside the file can be pinned; how long it is is looked at when they are (spec 30, 4.5). What it is is looked at before,
 * as the answer may be long in coming (FUSE), and pins are made under locks.
 */
#include "iommufd/pages.h"
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

struct filemap {
	struct mm mm;
	int file;      /* memfd, shmem or hugetlbfs; -1: nothing that has pages */
	bool writable; /* devices may write */
};

static int filemap_area(struct mm *mm, uva_t at, struct mm_area *out)
{
	struct filemap *m = container_of(mm, struct filemap, mm);
	struct stat st;

	if (m->file < 0 || fstat(m->file, &st))
		return -EINVAL;
	st.st_size = ALIGN_DOWN(st.st_size, (off_t)UVFIO_PAGE_SIZE);
	if (at >= (uva_t)st.st_size)
		return -EINVAL;
	*out = (struct mm_area){
		.start = 0,
		.last = (uva_t)st.st_size - 1,
		.readable = true,
		.writable = true,
		.shared = true,
		.dev = st.st_dev,
		.ino = st.st_ino,
	};
	return 0;
}

/* The caller's descriptor may have fewer rights than the file gives us. */
static void *map_anew(struct filemap *m, uva_t at, uint64_t length, int prot)
{
	char path[32];
	void *p;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", m->file);
	fd = open(path, (prot & PROT_WRITE ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	if (fd < 0)
		return MAP_FAILED;
	p = mmap(NULL, length, prot, MAP_SHARED, fd, (off_t)at);
	close(fd);
	return p;
}

static int filemap_share(struct mm *mm, const struct mm_area *area, uva_t uva, uint64_t length, void **host)
{
	struct filemap *m = container_of(mm, struct filemap, mm);
	int prot = PROT_READ | (m->writable ? PROT_WRITE : 0);
	void *p = mmap(NULL, length, prot, MAP_SHARED, m->file, (off_t)uva);

	if (p == MAP_FAILED)
		p = map_anew(m, uva, length, prot);
	if (p == MAP_FAILED)
		return errno == ENOMEM ? -ENOMEM : -EINVAL;
	*host = p;
	return 0;
}

static void filemap_unshare(struct mm *mm, void *host, uint64_t length)
{
	munmap(host, length);
}

static int filemap_read(struct mm *mm, void *dst, uva_t src, size_t n)
{
	return pread(container_of(mm, struct filemap, mm)->file, dst, n, (off_t)src) == (ssize_t)n ? 0 : -EFAULT;
}

static int filemap_write(struct mm *mm, uva_t dst, const void *src, size_t n)
{
	return pwrite(container_of(mm, struct filemap, mm)->file, src, n, (off_t)dst) == (ssize_t)n ? 0 : -EFAULT;
}

static uint64_t filemap_limit(struct mm *mm)
{
	return UINT64_MAX; /* locked pages are counted where the file was mapped from */
}

static void filemap_free(struct mm *mm)
{
	struct filemap *m = container_of(mm, struct filemap, mm);

	if (m->file >= 0)
		close(m->file);
	free(m);
}

static const struct mm_ops filemap_ops = {
	.area = filemap_area,
	.share = filemap_share,
	.unshare = filemap_unshare,
	.read = filemap_read,
	.write = filemap_write,
	.memlock_limit = filemap_limit,
	.free = filemap_free,
};

static bool has_pages(int file)
{
	struct statfs fs;
	struct stat st;

	if (fstatfs(file, &fs) || (fs.f_type != TMPFS_MAGIC && fs.f_type != HUGETLBFS_MAGIC))
		return false;
	return fstat(file, &st) == 0 && S_ISREG(st.st_mode);
}

int iommufd_filemap_create(int file, bool writable, struct mm **out)
{
	struct filemap *m = calloc(1, sizeof(*m));

	if (!m) {
		if (file >= 0)
			close(file);
		return -ENOMEM;
	}
	m->mm.ops = &filemap_ops;
	ref_init(&m->mm.ref);
	m->file = file;
	if (file >= 0 && !has_pages(file)) {
		close(file);
		m->file = -1;
	}
	m->writable = writable;
	*out = &m->mm;
	return 0;
}
