/* SPDX-License-Identifier: MIT */
/*
 * Looking into the tree: stat, open, list. Functions of other layers (visible, size, open) run after the
 * tree's lock is dropped, inside a call of their source; a directory is listed from a snapshot.
 */
#include "file/tree_priv.h"
#include <fcntl.h>
#include <limits.h>
#include <string.h>

static void node_stat(const struct node *node, struct node_stat *st)
{
	static const mode_t modes[] = {
		[NODE_DIR] = S_IFDIR | 0755, [NODE_LINK] = S_IFLNK | 0777, [NODE_CHR] = S_IFCHR,
	};

	*st = (struct node_stat){ .type = node->type, .mode = modes[node->type] | node->mode, .rdev = node->rdev,
				  .ino = node->ino };
	if (node->type == NODE_LINK) {
		st->size = strlen(node->target);
		memcpy(st->target, node->target, st->size + 1);
	}
}

/* Inside of a call of the attribute's source. False: not visible now. */
static bool attr_stat(const struct source *src, const struct attr *a, struct node_stat *st)
{
	if (a->visible && !a->visible(src->priv))
		return false;
	*st = (struct node_stat){ .type = NODE_ATTR, .mode = S_IFREG | (a->mode & 07777),
				  .ino = src->ino + (uint64_t)(a - src->index->attrs), .size = attr_size(a, src->priv),
				  .binary = a->pread || a->pwrite };
	return true;
}

/* Look a path up and step inside its source; tree_leave(@call) on success. */
static int find(struct tree *tree, const char *path, bool follow, struct found *f, struct tree_call *call,
		struct node_stat *st, char *real)
{
	int rc;

	*call = (struct tree_call){ 0 };
	mutex_lock(&tree->lock);
	rc = tree_walk_locked(tree, path, follow, false, f);
	if (rc == 0 && real) {
		size_t n = tree_path_locked(tree, f->node, real, PATH_MAX);

		if (n == 0 && f->node == tree->root && !f->attr)
			strcpy(real, "/");
		else if (n == 0 && f->node != tree->root)
			rc = -ENAMETOOLONG;
		else if (f->attr && snprintf(real + n, PATH_MAX - n, "/%s", f->attr->name) >= (int)(PATH_MAX - n))
			rc = -ENAMETOOLONG;
	}
	if (rc == 0)
		node_stat(f->node, st);
	if (rc == 0 && f->src && !tree_enter_locked(f->src, call))
		rc = -ENOENT;
	mutex_unlock(&tree->lock);
	if (rc == 0 && f->attr && !attr_stat(f->src, f->attr, st)) {
		tree_leave(tree, call);
		rc = -ENOENT;
	}
	return rc;
}

int tree_stat(struct tree *tree, const char *path, bool follow, struct node_stat *out, char *real)
{
	struct tree_call call;
	struct node_stat st;
	struct found f;
	int rc;

	rc = find(tree, path, follow, &f, &call, &st, real);
	if (rc)
		return rc;
	tree_leave(tree, &call);
	*out = st;
	return 0;
}

int tree_open(struct tree *tree, struct task *t, const char *path, int oflags, struct file **out)
{
	bool excl = (oflags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL);
	struct tree_call call;
	struct node_stat st;
	struct found f;
	int rc;

	rc = find(tree, path, !excl && !(oflags & O_NOFOLLOW), &f, &call, &st, NULL);
	if (rc == -ENOENT && (oflags & O_CREAT))
		return -EACCES;
	if (rc)
		return rc;
	if (excl)
		rc = -EEXIST;
	else if (st.type == NODE_LINK)
		rc = -ELOOP;
	else if (st.type == NODE_DIR)
		rc = -EISDIR;
	else if (oflags & O_DIRECTORY)
		rc = -ENOTDIR;
	else if (st.type == NODE_ATTR)
		rc = attr_file_create(tree, f.src, f.attr, t, oflags, out);
	else
		rc = f.src->open(f.src->priv, t, oflags, out);
	tree_leave(tree, &call);
	return rc;
}

/* ---- listing ---- */

struct list_entry {
	struct node_stat st;
	const char *name; /* of a node: malloc'ed; of an attribute: the table's */
};

struct listing {
	struct list_entry *nodes;
	struct source **sources;
	size_t nnodes, nsources;
};

static void listing_free(struct tree *tree, struct listing *l)
{
	for (size_t i = 0; i < l->nnodes; i++)
		free((char *)l->nodes[i].name);
	for (size_t i = 0; i < l->nsources; i++)
		tree_source_put(tree, l->sources[i]);
	free(l->nodes);
	free(l->sources);
}

/* A snapshot of what a directory holds, so that nothing is locked while others look at it. */
static int listing_take_locked(struct node *dir, struct listing *l)
{
	size_t nodes = 0, sources = 0;
	struct source *src;
	struct node *c;

	TAILQ_FOREACH(c, &dir->children, sibling)
		nodes++;
	STAILQ_FOREACH(src, &dir->sources, link)
		sources++;
	l->nodes = calloc(nodes + 1, sizeof(*l->nodes));
	l->sources = calloc(sources + 1, sizeof(*l->sources));
	if (!l->nodes || !l->sources)
		return -ENOMEM;
	STAILQ_FOREACH(src, &dir->sources, link) {
		src->refs++;
		l->sources[l->nsources++] = src;
	}
	TAILQ_FOREACH(c, &dir->children, sibling) {
		struct list_entry *e = &l->nodes[l->nnodes];

		node_stat(c, &e->st);
		e->name = strdup(c->name);
		if (!e->name)
			return -ENOMEM;
		l->nnodes++;
	}
	return 0;
}

typedef int (*list_fn)(void *ctx, const char *name, const struct node_stat *st);

/* What is visible of one table is found out first: @fn may do anything, even remove the directory. */
static int list_source(struct tree *tree, struct source *src, list_fn fn, void *ctx)
{
	AUTO_FREE struct list_entry *seen = calloc(src->index->n + 1, sizeof(*seen));
	struct tree_call call;
	unsigned n = 0;
	int rc = 0;

	if (!seen)
		return -ENOMEM;
	if (!tree_enter(tree, src, &call))
		return 0;
	for (unsigned i = 0; i < src->index->n; i++) {
		seen[n].name = src->index->attrs[i].name;
		n += attr_stat(src, &src->index->attrs[i], &seen[n].st);
	}
	tree_leave(tree, &call);
	for (unsigned i = 0; i < n && rc == 0; i++)
		rc = fn(ctx, seen[i].name, &seen[i].st);
	return rc;
}

int tree_list(struct tree *tree, const char *dir, list_fn fn, void *ctx)
{
	struct listing l = { 0 };
	struct found f;
	int rc;

	mutex_lock(&tree->lock);
	rc = tree_walk_locked(tree, dir, true, false, &f);
	if (rc == 0)
		rc = f.attr || f.node->type != NODE_DIR ? -ENOTDIR : listing_take_locked(f.node, &l);
	mutex_unlock(&tree->lock);
	for (size_t i = 0; i < l.nsources && rc == 0; i++)
		rc = list_source(tree, l.sources[i], fn, ctx);
	for (size_t i = 0; i < l.nnodes && rc == 0; i++)
		rc = fn(ctx, l.nodes[i].name, &l.nodes[i].st);
	listing_free(tree, &l);
	return rc;
}
