/* SPDX-License-Identifier: MIT */
/* A program for tests of whole machines: it shares this process's memory, may do anything, and has one descriptor. */
#ifndef PROGRAM_H
#define PROGRAM_H

#include "machine/priv.h"
#include <string.h>

#define PROGRAM_FD 7 /* container */

struct program {
	struct task task;       /* first */
	struct file *container; /* NULL: PROGRAM_FD is not open */
};

static inline int program_copy_in(struct task *t, void *dst, uva_t src, size_t n)
{
	memcpy(dst, (const void *)src, n);
	return 0;
}

static inline int program_copy_out(struct task *t, uva_t dst, const void *src, size_t n)
{
	memcpy((void *)dst, src, n);
	return 0;
}

static inline int program_file(struct task *t, int fd, struct file **out)
{
	struct program *p = (struct program *)t;

	if (fd != PROGRAM_FD || !p->container)
		return -EBADF;
	*out = file_get(p->container);
	return 0;
}

static inline bool program_capable(struct task *t, enum task_cap cap)
{
	return true;
}

static const struct task_ops program_ops = {
	.copy_in = program_copy_in, .copy_out = program_copy_out, .file_get = program_file, .capable = program_capable,
};

/* One write to a file of the machine: 0 or -errno */
static inline int program_echo(struct program *p, struct machine *m, const char *text, const char *path)
{
	struct file *f = NULL;
	ssize_t n;
	int rc = tree_open(m->tree, &p->task, path, 1, &f);

	if (rc)
		return rc;
	n = file_write(f, &p->task, (uva_t)text, strlen(text));
	file_put(f);
	return n < 0 ? (int)n : 0;
}

#endif
