/* SPDX-License-Identifier: MIT */
/*
 * What other layers hang into the tree: tables of attributes with an order to search them by, and the calls
 * under way into them. A call is counted in its source; a removed source lets nobody in, and tree_remove()
 * waits until only calls of its own thread are left.
 */
#include "file/tree_priv.h"
#include <search.h>
#include <string.h>

static _Thread_local struct tree_call *tree_calls; /* the calls this thread is inside of */

/* ---- calls into other layers ---- */

void tree_source_put_locked(struct source *src)
{
	if (--src->refs == 0)
		free(src);
}

void tree_source_get(struct tree *tree, struct source *src)
{
	SCOPED_LOCK(&tree->lock);

	src->refs++;
}

void tree_source_put(struct tree *tree, struct source *src)
{
	SCOPED_LOCK(&tree->lock);

	tree_source_put_locked(src);
}

bool tree_enter_locked(struct source *src, struct tree_call *call)
{
	if (src->gone)
		return false;
	src->refs++;
	src->active++;
	*call = (struct tree_call){ .src = src, .outer = tree_calls };
	tree_calls = call;
	return true;
}

static void idle_locked(struct tree *tree, struct source *src)
{
	src->active--;
	if (src->gone)
		cond_broadcast(&tree->idle);
}

bool tree_enter(struct tree *tree, struct source *src, struct tree_call *call)
{
	SCOPED_LOCK(&tree->lock);

	return tree_enter_locked(src, call);
}

void tree_leave(struct tree *tree, struct tree_call *call)
{
	if (!call->src)
		return;
	tree_calls = call->outer;
	SCOPED_LOCK(&tree->lock);
	if (!call->detached)
		idle_locked(tree, call->src);
	tree_source_put_locked(call->src);
}

void tree_call_detach(struct tree *tree)
{
	struct tree_call *call = tree_calls;

	if (!call || call->detached)
		return;
	SCOPED_LOCK(&tree->lock);
	call->detached = true;
	idle_locked(tree, call->src);
}

unsigned tree_own_calls(const struct source *src)
{
	unsigned n = 0;

	for (const struct tree_call *c = tree_calls; c; c = c->outer)
		n += c->src == src && !c->detached;
	return n;
}

/* ---- attribute tables ---- */

static int index_compare(const void *a, const void *b)
{
	const struct attr_index *x = a, *y = b;

	return (x->attrs > y->attrs) - (x->attrs < y->attrs);
}

const struct attr *tree_index_find(const struct attr_index *ix, const char *name, size_t n)
{
	unsigned lo = 0, hi = ix->n;

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;
		const struct attr *a = &ix->attrs[ix->sorted[mid]];
		int d = strncmp(name, a->name, n);

		if (d == 0 && a->name[n])
			d = -1;
		if (d == 0)
			return a;
		if (d < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return NULL;
}

/* Insertion sort: tables are short and made once. */
static void index_sort(struct attr_index *ix)
{
	for (unsigned i = 0; i < ix->n; i++) {
		unsigned j = i;

		for (; j > 0 && strcmp(ix->attrs[i].name, ix->attrs[ix->sorted[j - 1]].name) < 0; j--)
			ix->sorted[j] = ix->sorted[j - 1];
		ix->sorted[j] = (uint16_t)i;
	}
}

int tree_index_get_locked(struct tree *tree, const struct attr *attrs, const struct attr_index **out)
{
	struct attr_index key = { .attrs = attrs }, **slot, *ix;
	unsigned n = 0;

	slot = tfind(&key, &tree->indexes, index_compare);
	if (slot) {
		*out = *slot;
		return 0;
	}
	while (attrs[n].name)
		n++;
	ix = malloc(sizeof(*ix) + n * sizeof(ix->sorted[0]));
	if (!ix)
		return -ENOMEM;
	ix->attrs = attrs;
	ix->n = n;
	index_sort(ix);
	if (!tsearch(ix, &tree->indexes, index_compare)) {
		free(ix);
		return -ENOMEM;
	}
	*out = ix;
	return 0;
}

int tree_source_add_locked(struct tree *tree, struct node *node, const struct attr_index *ix, node_open_fn open,
			     void *priv)
{
	struct source *src = calloc(1, sizeof(*src));

	if (!src)
		return -ENOMEM;
	src->refs = 1;
	src->index = ix;
	src->open = open;
	src->priv = priv;
	src->ino = tree->next_ino;
	tree->next_ino += ix ? ix->n : 0;
	STAILQ_INSERT_TAIL(&node->sources, src, link);
	atomic_fetch_add(&tree->generation, 1);
	return 0;
}
