/* SPDX-License-Identifier: MIT */
/* What tree.c (names and places) and tree_attr.c (attribute files) share. */
#ifndef UVFIO_FILE_TREE_PRIV_H
#define UVFIO_FILE_TREE_PRIV_H

#include "base/lock.h"
#include "file/tree.h"
#include <sys/queue.h>

/* A table of attributes with an order to search by; one for all directories that use the table. */
struct attr_index {
	const struct attr *attrs;
	unsigned n;
	uint16_t sorted[];
};

/*
 * Another layer's functions behind a directory (one table of attributes) or a device node. A call into it is
 * counted in @active; removal marks it gone, then waits until only the remover's own calls are left.
 */
struct source {
	const struct attr_index *index; /* [I] NULL: a device node */
	node_open_fn open;              /* [I] device nodes */
	void *priv;                     /* [I] */
	uint64_t ino;                   /* [I] of the first attribute */
	unsigned refs, active;          /* [tree->lock] */
	bool gone;                      /* [tree->lock] */
	STAILQ_ENTRY(source) link;      /* [tree->lock] */
};

struct node {
	struct node *parent;        /* the root's is itself */
	struct node *hash_next;     /* also the list of removed nodes */
	TAILQ_ENTRY(node) sibling;
	uint64_t ino;
	uint32_t hash;
	enum node_type type;
	TAILQ_HEAD(, node) children;       /* DIR */
	STAILQ_HEAD(, source) sources;     /* DIR: its tables; CHR: its one node_open_fn */
	char *target;                      /* LINK */
	mode_t mode;                       /* CHR */
	dev_t rdev;                        /* CHR */
	char name[];
};

struct tree {
	struct mutex lock; /* RANK_TREE; everything below */
	struct cond idle;  /* a call into a removed source has ended */
	struct node *root;
	struct node **buckets;
	size_t nbuckets, nnodes;
	uint64_t next_ino;
	void *indexes;     /* tsearch of struct attr_index by attrs */
	char **roots;
	unsigned nroots;
	atomic_ullong generation;
};

/* What a walk ends at. */
struct found {
	struct node *node;       /* for an attribute: its directory */
	const struct attr *attr; /* NULL: the node itself */
	struct source *src;      /* of the attribute or the device node; else NULL */
};

/* One call under way, on its thread's stack; a thread's calls form a chain, innermost first. */
struct tree_call {
	struct source *src; /* NULL: none */
	struct tree_call *outer;
	bool detached;
};

/**
 * tree_walk_locked - from "/" to the end of @path; @create: make missing directories
 * Return: 0; -ENOENT; -ENOTDIR; -ELOOP; -ENAMETOOLONG; -ENOMEM
 */
int tree_walk_locked(struct tree *tree, const char *path, bool follow, bool create, struct found *f);
/** tree_path_locked - where @node is, "" for the root; returns the length, 0 when it does not fit */
size_t tree_path_locked(const struct tree *tree, const struct node *node, char *buf, size_t size);

/** tree_index_get_locked - the search order of a table, made on first use. -ENOMEM */
int tree_index_get_locked(struct tree *tree, const struct attr *attrs, const struct attr_index **out);
const struct attr *tree_index_find(const struct attr_index *ix, const char *name, size_t n);
int tree_source_add_locked(struct tree *tree, struct node *node, const struct attr_index *ix, node_open_fn open,
			   void *priv);
void tree_source_put_locked(struct source *src);
bool tree_enter_locked(struct source *src, struct tree_call *call);
/** tree_own_calls - calls of this thread into @src that count */
unsigned tree_own_calls(const struct source *src);

/** tree_enter - begin a call into @src; false: it is gone */
bool tree_enter(struct tree *tree, struct source *src, struct tree_call *call);
/** tree_leave - end the thread's innermost call; one without a source is fine */
void tree_leave(struct tree *tree, struct tree_call *call);
void tree_source_get(struct tree *tree, struct source *src);
void tree_source_put(struct tree *tree, struct source *src);

/** attr_size - st_size; the caller is inside a call of the source */
uint64_t attr_size(const struct attr *a, void *priv);
/** attr_file_create - open(2) of an attribute; the caller is inside a call of @src. 0; -EACCES; -ENOMEM */
int attr_file_create(struct tree *tree, struct source *src, const struct attr *a, struct task *t, int oflags,
		     struct file **out);

#endif
