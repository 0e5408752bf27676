/* SPDX-License-Identifier: MIT */
/*
 * Has a program pages of a file mapped now? The kernel knows: it is asked for the mappings of every process of the tree,
 * known here or not, as a fork has its parent's before it has made any call. A page that has been touched is plain
 * memory under a lease, one that has not is a page of what stands for the file: either leads to the file.
 *
 * One that lets nobody look, and had not called before it did that, counts as one that has nothing mapped.
 *
 * The processes come in order of their numbers, so a child made meanwhile comes after its parent.
 */
#include "front/supervisor/priv.h"
#include <fcntl.h>
#include <unistd.h>

struct search {
	struct super *s;
	struct file *f;
	uint64_t offset, last;
};

static int search_vma(void *ctx, const struct super_vma *v)
{
	const struct search *x = ctx;
	uint64_t at;
	struct super_file *sf = super_vma_file(x->s, v, &at);
	bool found = sf && sf->file == x->f && at <= x->last && x->offset <= at + (v->end - v->start - 1);

	super_file_put(sf);
	return found;
}

/* A program may have closed /proc to us (PR_SET_DUMPABLE), but not what has been opened before. */
static int known_maps(struct super *s, pid_t pid)
{
	struct super_proc *p = super_proc_find(s, pid);
	struct super_mm *m;
	int fd = -1;

	if (p && super_proc_mm(p, &m) == 0) {
		if (m->maps >= 0)
			fd = fcntl(m->maps, F_DUPFD_CLOEXEC, 0);
		super_mm_put(m);
	}
	super_proc_put(p);
	return fd;
}

static int search_process(void *ctx, pid_t pid)
{
	struct search *x = ctx;
	char path[64];
	int fd, rc;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == EACCES)
		fd = known_maps(x->s, pid);
	else if (fd < 0 && errno != ENOENT && errno != ESRCH)
		return -errno;
	if (fd < 0)
		return 0;
	rc = super_maps_each(x->s, fd, search_vma, x);
	close(fd);
	return rc == -EACCES ? 0 : rc;
}

bool super_mapped(struct file *f, uint64_t offset, uint64_t length)
{
	struct search x = { .s = f->front, .f = f, .offset = offset, .last = offset + (length - 1) };

	/* Who cannot find out says yes: the program may ask again. */
	return super_descendants(getpid(), search_process, &x) != 0;
}
