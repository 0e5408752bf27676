/* SPDX-License-Identifier: MIT */
/*
 * The tree: directories, links and device nodes are struct node, found by (parent, name) in one hash table
 * for the whole tree; attributes are not nodes but rows of tables hung to directories (struct source).
 * 10,000 devices with 25 attributes cost 10,000 nodes.
 *
 * One lock guards names and places. It is never held over a function of another layer: such a call is
 * counted in its source instead (tree_enter), and tree_remove() waits for the count. Links are kept as the
 * relative text that readlink(2) shows and resolved by walking, ".." included.
 */
#include "file/tree_priv.h"
#include <limits.h>
#include <search.h>
#include <stdarg.h>
#include <string.h>

#define LINKS_MAX 40 /* followed in one walk, as Linux */

/* ---- names ---- */

static uint32_t name_hash(const struct node *parent, const char *name, size_t n)
{
	uint64_t h = 0xcbf29ce484222325u ^ ((uintptr_t)parent >> 4);

	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)name[i]) * 0x100000001b3u;
	return (uint32_t)(h ^ h >> 32);
}

static struct node *child_locked(struct tree *tree, struct node *dir, const char *name, size_t n)
{
	uint32_t h = name_hash(dir, name, n);
	struct node *c = tree->buckets[h & (tree->nbuckets - 1)];

	while (c && !(c->hash == h && c->parent == dir && strncmp(c->name, name, n) == 0 && !c->name[n]))
		c = c->hash_next;
	return c;
}

/* More buckets when the chains get long; without memory they stay long. */
static void hash_grow_locked(struct tree *tree)
{
	size_t n = tree->nbuckets * 2;
	struct node **b;

	if (tree->nnodes < tree->nbuckets)
		return;
	b = calloc(n, sizeof(struct node *));
	if (!b)
		return;
	for (size_t i = 0; i < tree->nbuckets; i++) {
		struct node *next;

		for (struct node *c = tree->buckets[i]; c; c = next) {
			next = c->hash_next;
			c->hash_next = b[c->hash & (n - 1)];
			b[c->hash & (n - 1)] = c;
		}
	}
	free(tree->buckets);
	tree->buckets = b;
	tree->nbuckets = n;
}

static int node_create_locked(struct tree *tree, struct node *dir, const char *name, size_t n, enum node_type type,
			      struct node **out)
{
	struct node *c = calloc(1, sizeof(*c) + n + 1);

	if (!c)
		return -ENOMEM;
	memcpy(c->name, name, n);
	c->type = type;
	c->ino = tree->next_ino++;
	TAILQ_INIT(&c->children);
	STAILQ_INIT(&c->sources);
	c->parent = dir ? dir : c;
	*out = c;
	if (!dir)
		return 0;
	hash_grow_locked(tree);
	c->hash = name_hash(dir, name, n);
	c->hash_next = tree->buckets[c->hash & (tree->nbuckets - 1)];
	tree->buckets[c->hash & (tree->nbuckets - 1)] = c;
	TAILQ_INSERT_TAIL(&dir->children, c, sibling);
	tree->nnodes++;
	atomic_fetch_add(&tree->generation, 1);
	return 0;
}

static void node_free(struct node *node)
{
	free(node->target);
	free(node);
}

/* ---- paths ---- */

static bool attr_locked(struct node *dir, const char *name, size_t n, struct found *f)
{
	struct source *src;

	STAILQ_FOREACH(src, &dir->sources, link) {
		const struct attr *a = tree_index_find(src->index, name, n);

		if (a) {
			*f = (struct found){ .node = dir, .attr = a, .src = src };
			return true;
		}
	}
	return false;
}

/* Links are followed, at the end of the path when @follow or a slash says so. */
int tree_walk_locked(struct tree *tree, const char *path, bool follow, bool create, struct found *f)
{
	struct node *cur = tree->root, *next;
	char buf[PATH_MAX * 2], *p = buf;
	unsigned links = 0;
	size_t n, len = strlen(path);
	bool last;

	*f = (struct found){ 0 };
	if (len >= PATH_MAX)
		return -ENAMETOOLONG;
	memcpy(buf, path, len + 1);
	for (;;) {
		p += strspn(p, "/");
		n = strcspn(p, "/");
		if (n == 0)
			break;
		if (cur->type != NODE_DIR)
			return -ENOTDIR;
		last = p[n] == 0;
		if (n == 1 && p[0] == '.') {
			next = cur;
		} else if (n == 2 && p[0] == '.' && p[1] == '.') {
			next = cur->parent;
		} else if (n > NAME_MAX) {
			return -ENAMETOOLONG;
		} else {
			next = child_locked(tree, cur, p, n);
		}
		if (!next && attr_locked(cur, p, n, f)) {
			if (!last)
				return -ENOTDIR;
			return 0;
		}
		if (!next && (!create || node_create_locked(tree, cur, p, n, NODE_DIR, &next)))
			return create ? -ENOMEM : -ENOENT;
		p += n;
		if (next->type == NODE_LINK && (!last || follow)) {
			size_t tlen = strlen(next->target), rest = strlen(p);

			if (++links > LINKS_MAX)
				return -ELOOP;
			if (tlen + rest >= sizeof(buf))
				return -ENAMETOOLONG;
			memmove(buf + tlen, p, rest + 1);
			memcpy(buf, next->target, tlen);
			p = buf;
			if (buf[0] == '/')
				cur = tree->root;
			continue; /* the link's own directory is where its text starts */
		}
		cur = next;
	}
	f->node = cur;
	if (cur->type == NODE_CHR)
		f->src = STAILQ_FIRST(&cur->sources);
	return 0;
}

/* The place of @node as an absolute path. Returns its length, or 0 when it does not fit. */
size_t tree_path_locked(const struct tree *tree, const struct node *node, char *buf, size_t size)
{
	size_t n, at = 0;

	if (node == tree->root) {
		buf[0] = 0;
		return 0;
	}
	at = tree_path_locked(tree, node->parent, buf, size);
	n = strlen(node->name);
	if ((at == 0 && node->parent != tree->root) || at + n + 2 > size)
		return 0;
	buf[at] = '/';
	memcpy(buf + at + 1, node->name, n + 1);
	return at + 1 + n;
}

/* The directory a new name goes to, made when missing, and the name. */
static int parent_locked(struct tree *tree, const char *path, struct node **dir, const char **name)
{
	const char *slash = strrchr(path, '/');
	AUTO_FREE char *up = NULL;
	struct found f;
	int rc;

	if (!slash || !slash[1])
		return -EINVAL;
	if (strlen(slash + 1) > NAME_MAX)
		return -ENAMETOOLONG;
	up = strndup(path, (size_t)(slash - path));
	if (!up)
		return -ENOMEM;
	rc = tree_walk_locked(tree, up, true, true, &f);
	if (rc)
		return rc;
	if (f.attr || f.node->type != NODE_DIR)
		return -ENOTDIR;
	*dir = f.node;
	*name = slash + 1;
	return 0;
}

static bool taken_locked(struct tree *tree, struct node *dir, const char *name)
{
	struct found f;

	return child_locked(tree, dir, name, strlen(name)) || attr_locked(dir, name, strlen(name), &f);
}

/* ---- making ---- */

int tree_create(struct tree **out)
{
	struct tree *tree = calloc(1, sizeof(*tree));

	if (!tree)
		return -ENOMEM;
	tree->next_ino = 1;
	tree->nbuckets = 64;
	tree->buckets = calloc(tree->nbuckets, sizeof(struct node *));
	if (!tree->buckets || node_create_locked(tree, NULL, "", 0, NODE_DIR, &tree->root)) {
		free(tree->buckets);
		free(tree);
		return -ENOMEM;
	}
	mutex_init(&tree->lock, RANK_TREE);
	cond_init(&tree->idle);
	*out = tree;
	return 0;
}

int tree_dir(struct tree *tree, const char *path)
{
	struct found f;
	int rc;

	SCOPED_LOCK(&tree->lock);
	rc = tree_walk_locked(tree, path, true, true, &f);
	if (rc == -ENOTDIR || (rc == 0 && (f.attr || f.node->type != NODE_DIR)))
		return -EEXIST;
	return rc;
}

int tree_attrs(struct tree *tree, const char *dir, const struct attr *attrs, void *priv)
{
	const struct attr_index *ix;
	struct found f;
	int rc;

	SCOPED_LOCK(&tree->lock);
	rc = tree_walk_locked(tree, dir, true, true, &f);
	if (rc)
		return rc;
	if (f.attr || f.node->type != NODE_DIR)
		return -EEXIST;
	rc = tree_index_get_locked(tree, attrs, &ix);
	return rc ? rc : tree_source_add_locked(tree, f.node, ix, NULL, priv);
}

/* "/a/b/x" seen from directory "/a/c": "../b/x" */
static int relative(const char *dir, const char *target, char **out)
{
	size_t common = 0, i, n;
	unsigned up = 0;
	char *p;

	for (i = 0; dir[i] && dir[i] == target[i]; i++) {
		if (dir[i] == '/')
			common = i;
	}
	if (!dir[i] && (target[i] == '/' || !target[i]))
		common = i;
	for (const char *d = dir + common; *d; d++)
		up += *d == '/';
	target += common;
	target += *target == '/';
	n = strlen(target);
	*out = p = malloc(up * 3 + n + 2);
	if (!p)
		return -ENOMEM;
	for (; up > 0; up--, p += 3)
		memcpy(p, "../", 3);
	memcpy(p, target, n + 1);
	if (n == 0 && p > *out)
		p[-1] = 0;
	else if (n == 0)
		memcpy(p, ".", 2);
	return 0;
}

int tree_link(struct tree *tree, const char *path, const char *target)
{
	struct node *dir, *link;
	char place[PATH_MAX];
	const char *name;
	char *text;
	int rc;

	SCOPED_LOCK(&tree->lock);
	rc = parent_locked(tree, path, &dir, &name);
	if (rc)
		return rc;
	if (taken_locked(tree, dir, name))
		return -EEXIST;
	if (tree_path_locked(tree, dir, place, sizeof(place)) == 0 && dir != tree->root)
		return -ENAMETOOLONG;
	rc = relative(place, target, &text);
	if (rc)
		return rc;
	rc = strlen(text) >= sizeof(((struct node_stat *)0)->target) ? -ENAMETOOLONG : 0;
	if (rc == 0)
		rc = node_create_locked(tree, dir, name, strlen(name), NODE_LINK, &link);
	if (rc) {
		free(text);
		return rc;
	}
	link->target = text;
	return 0;
}

int tree_linkf(struct tree *tree, const char *target, const char *fmt, ...)
{
	char path[PATH_MAX];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	return n < 0 || (size_t)n >= sizeof(path) ? -ENAMETOOLONG : tree_link(tree, path, target);
}

static void unlink_locked(struct tree *tree, struct node *node, struct node **removed);

int tree_chr(struct tree *tree, const char *path, mode_t mode, dev_t rdev, node_open_fn open, void *priv)
{
	struct node *dir, *node, *removed = NULL;
	const char *name;
	int rc;

	SCOPED_LOCK(&tree->lock);
	rc = parent_locked(tree, path, &dir, &name);
	if (rc)
		return rc;
	if (taken_locked(tree, dir, name))
		return -EEXIST;
	rc = node_create_locked(tree, dir, name, strlen(name), NODE_CHR, &node);
	if (rc)
		return rc;
	node->mode = mode & 07777;
	node->rdev = rdev;
	rc = tree_source_add_locked(tree, node, NULL, open, priv);
	if (rc) {
		unlink_locked(tree, node, &removed);
		node_free(node);
	}
	return rc;
}

/* ---- removing ---- */

/* Take a node and all below out of the names, onto a list; their sources let nobody in any more. */
static void unlink_locked(struct tree *tree, struct node *node, struct node **removed)
{
	struct node **slot = &tree->buckets[node->hash & (tree->nbuckets - 1)];
	struct source *src;

	while (!TAILQ_EMPTY(&node->children))
		unlink_locked(tree, TAILQ_FIRST(&node->children), removed);
	while (*slot != node)
		slot = &(*slot)->hash_next;
	*slot = node->hash_next;
	TAILQ_REMOVE(&node->parent->children, node, sibling);
	tree->nnodes--;
	atomic_fetch_add(&tree->generation, 1);
	STAILQ_FOREACH(src, &node->sources, link)
		src->gone = true;
	node->hash_next = *removed;
	*removed = node;
}

/* Wait until nobody else is inside of a removed node, and free it. */
static void reap_locked(struct tree *tree, struct node *node) REQUIRES(&tree->lock)
{
	struct source *src;

	while ((src = STAILQ_FIRST(&node->sources))) {
		while (src->active > tree_own_calls(src))
			cond_wait(&tree->idle, &tree->lock);
		STAILQ_REMOVE_HEAD(&node->sources, link);
		tree_source_put_locked(src);
	}
	node_free(node);
}

void tree_remove(struct tree *tree, const char *path)
{
	struct node *removed = NULL, *next;
	struct found f;

	SCOPED_LOCK(&tree->lock);
	if (tree_walk_locked(tree, path, false, false, &f) || f.attr || f.node == tree->root)
		return;
	unlink_locked(tree, f.node, &removed);
	for (; removed; removed = next) {
		next = removed->hash_next;
		reap_locked(tree, removed);
	}
}

void tree_removef(struct tree *tree, const char *fmt, ...)
{
	char path[PATH_MAX];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	if (n > 0 && (size_t)n < sizeof(path))
		tree_remove(tree, path);
}

void tree_destroy(struct tree *tree)
{
	struct node *removed = NULL, *next;
	struct source *src;

	if (!tree)
		return;
	mutex_lock(&tree->lock);
	while (!TAILQ_EMPTY(&tree->root->children))
		unlink_locked(tree, TAILQ_FIRST(&tree->root->children), &removed);
	STAILQ_FOREACH(src, &tree->root->sources, link)
		src->gone = true;
	tree->root->hash_next = removed;
	for (removed = tree->root; removed; removed = next) {
		next = removed->hash_next;
		reap_locked(tree, removed);
	}
	mutex_unlock(&tree->lock);
	tdestroy(tree->indexes, free);
	for (unsigned i = 0; i < tree->nroots; i++)
		free(tree->roots[i]);
	free(tree->roots);
	free(tree->buckets);
	cond_fini(&tree->idle);
	mutex_fini(&tree->lock);
	free(tree);
}

/* ---- what is the machine's ---- */

int tree_root(struct tree *tree, const char *path)
{
	char **roots, *copy = strdup(path);

	if (!copy)
		return -ENOMEM;
	SCOPED_LOCK(&tree->lock);
	roots = realloc(tree->roots, (tree->nroots + 1) * sizeof(char *));
	if (!roots) {
		free(copy);
		return -ENOMEM;
	}
	tree->roots = roots;
	roots[tree->nroots++] = copy;
	return 0;
}

bool tree_covers(struct tree *tree, const char *path)
{
	SCOPED_LOCK(&tree->lock);

	for (unsigned i = 0; i < tree->nroots; i++) {
		const char *root = tree->roots[i];
		size_t n = strlen(root);
		bool rest = n > 0 && root[n - 1] == '*';

		n -= rest;
		if (strncmp(path, root, n) == 0 && (rest || !path[n] || path[n] == '/'))
			return true;
	}
	return false;
}

uint64_t tree_generation(struct tree *tree)
{
	return atomic_load(&tree->generation);
}
