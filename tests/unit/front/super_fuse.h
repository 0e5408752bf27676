/* SPDX-License-Identifier: MIT */
/* A file system that a program serves itself; see super_fuse.c. */
#ifndef UVFIO_TESTS_SUPER_FUSE_H
#define UVFIO_TESTS_SUPER_FUSE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/types.h>

struct fuse_server {
	pid_t pid;
	int dev;             /* for fuse_mount() */
	bool mute;           /* never answers who looks a name up */
	atomic_uint *asked;  /* requests so far */
	atomic_bool *stuck;  /* somebody waits for an answer that does not come */
};

/** fuse_start - a server. -1: the host has none of it */
int fuse_start(struct fuse_server *s, bool mute);
/** fuse_mount - its file system; once. -1: not allowed here */
int fuse_mount(const struct fuse_server *s, const char *dir);
/** fuse_stop - whoever waits for it gets an error */
void fuse_stop(struct fuse_server *s);

#endif
