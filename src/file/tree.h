/* SPDX-License-Identifier: MIT */
/*
 * The machine's part of the file system: /sys/bus/pci, /sys/kernel/iommu_groups, /sys/devices/pci*,
 * /sys/class/vfio*, /sys/module/vfio*, /dev/vfio, /dev/iommu. Directories, links, device nodes, and
 * directories whose attributes come from tables (one table for all devices, so that 10,000 devices cost
 * directories, not attributes). Paths are absolute, without "." or ".." or a trailing slash.
 */
#ifndef UVFIO_FILE_TREE_H
#define UVFIO_FILE_TREE_H

#include "file/file.h"
#include <stdio.h>
#include <sys/stat.h>

struct tree;
struct node;

/* One attribute of a directory. show or pread, store or pwrite, or neither. */
struct attr {
	const char *name;
	mode_t mode; /* permission bits */
	/* Write the text, newline included, to @out. 0 or -errno (the open(2) succeeds, read(2) fails). */
	int (*show)(void *priv, FILE *out);
	/*
	 * One write(2): 1 to 4096 bytes (a longer write is cut, as by sysfs), a NUL-terminated copy. Returns @n or
	 * -errno. May block.
	 */
	ssize_t (*store)(void *priv, struct task *t, const char *buf, size_t n);
	/* Binary attributes (config): a window of bytes. Returns bytes moved or -errno. */
	ssize_t (*pread)(void *priv, void *buf, size_t n, uint64_t pos);
	ssize_t (*pwrite)(void *priv, const void *buf, size_t n, uint64_t pos);
	uint64_t (*size)(void *priv); /* st_size of a binary attribute; text attributes say 4096 */
	bool (*visible)(void *priv);  /* NULL: always there */
};
#define ATTR_END { .name = NULL }

/* Called for open(2) of a device node; makes the file. */
typedef int (*node_open_fn)(void *priv, struct task *t, int oflags, struct file **out);

int tree_create(struct tree **out);
void tree_destroy(struct tree *tree);

/** tree_dir - make a directory and its missing parents; one that is there is fine. 0; -ENOMEM; -EEXIST not a directory */
int tree_dir(struct tree *tree, const char *path);
/**
 * tree_attrs - add a table of attributes to a directory (made when missing); several tables may be added
 * @attrs: ends with ATTR_END; borrowed for the tree's life
 * @priv:  passed to their functions; must live until tree_remove() of the directory returned
 */
int tree_attrs(struct tree *tree, const char *dir, const struct attr *attrs, void *priv);
/**
 * tree_link - make a symbolic link; @target is an absolute path in the tree, stored as a relative link
 * Missing directories above it are made. 0; -EEXIST; -ENOTDIR; -ENAMETOOLONG; -ENOMEM
 */
int tree_link(struct tree *tree, const char *path, const char *target);
/** tree_chr - make a character device node, and missing directories above it. -EEXIST */
int tree_chr(struct tree *tree, const char *path, mode_t mode, dev_t rdev, node_open_fn open, void *priv);
/**
 * tree_remove - remove a path and all below it; nothing there is fine
 * On return no attribute function or node open of what was removed runs or will run, but for those of the calling
 * thread itself; attribute files still open answer -ENODEV. So the caller holds no lock that such a function takes.
 */
void tree_remove(struct tree *tree, const char *path);
/**
 * tree_call_detach - from inside an attribute function: tree_remove() no longer waits for this call, in any thread
 * For attributes like "remove" that end in the removal of their own directory, perhaps by another thread that they
 * must wait for. From here on the caller keeps @priv alive by itself.
 */
void tree_call_detach(struct tree *tree);
/**
 * tree_removef, tree_linkf - the same with a printf path, for callers that build names
 */
void tree_removef(struct tree *tree, const char *fmt, ...) PRINTF(2, 3);
int tree_linkf(struct tree *tree, const char *target, const char *fmt, ...) PRINTF(3, 4);

enum node_type { NODE_DIR, NODE_LINK, NODE_ATTR, NODE_CHR };

/* What stat(2) would say. */
struct node_stat {
	enum node_type type;
	mode_t mode;   /* type bits included */
	dev_t rdev;
	uint64_t ino;  /* stable while the node lives */
	uint64_t size;
	bool binary;   /* NODE_ATTR: a window of bytes, not a text rendered by a read from 0 */
	char target[256]; /* NODE_LINK: the relative link text */
};

/**
 * tree_stat - look a path up
 * @path:   absolute; links in its middle are followed, at its end only with @follow
 * @real:   when not NULL, receives the path with every followed link resolved (4096 bytes)
 * Return: 0; -ENOENT; -ENOTDIR; -ELOOP
 */
int tree_stat(struct tree *tree, const char *path, bool follow, struct node_stat *out, char *real);
/**
 * tree_list - call @fn for each entry of a directory, attributes first, then nodes in the order they were made
 * @fn runs with nothing locked, on a snapshot. 0; -ENOENT; -ENOTDIR; -ENOMEM; or @fn's non-zero result, which ends it
 */
int tree_list(struct tree *tree, const char *dir, int (*fn)(void *ctx, const char *name, const struct node_stat *st),
	      void *ctx);
/** tree_covers - is @path one the machine answers for: at or below a path given to tree_root()? */
bool tree_covers(struct tree *tree, const char *path);
/** tree_root - everything at and below @path (a '*' at its end: any rest of the name) is the machine's. 0; -ENOMEM */
int tree_root(struct tree *tree, const char *path);
/** tree_generation - changes whenever a node appears or goes; front ends that mirror the tree compare it */
uint64_t tree_generation(struct tree *tree);
/**
 * tree_open - open(2) by path, links followed
 * @oflags: of open(2). Modes are not checked against the caller's uid: the caller plays root (DIFFERENCES).
 *          O_CREAT on an existing node and O_TRUNC are fine, as on sysfs.
 * Return: 0; -ENOENT; -EISDIR; -EACCES writing what has no store or reading what has no show, or creating;
 *         -EEXIST O_EXCL; -ENOTDIR O_DIRECTORY; -ELOOP O_NOFOLLOW on a link; what the node's open says
 */
int tree_open(struct tree *tree, struct task *t, const char *path, int oflags, struct file **out);

#endif
