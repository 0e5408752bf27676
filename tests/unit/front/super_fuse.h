/* SPDX-License-Identifier: MIT */
/* A file system that a program serves itself; see super_fuse.c. */
#ifndef UVFIO_TESTS_SUPER_FUSE_H
#define UVFIO_TESTS_SUPER_FUSE_H

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/types.h>

struct fuse_server {
	pid_t pid;
	atomic_uint *asked; /* requests so far */
};

/** fuse_start - mount it at a new directory. -1: not allowed here */
int fuse_start(char dir[32], struct fuse_server *s);
/** fuse_stop - all its files are closed */
void fuse_stop(const char *dir, struct fuse_server *s);

#endif
