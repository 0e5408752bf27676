/* SPDX-License-Identifier: MIT */
/*
 * Windows: ranges of bus addresses that devices answer. They are kept in a balanced tree in which windows
 * that overlap compare as equal, so one search finds the window that holds an address, and also tells
 * whether a new one has room. An access counts itself in the window and runs without the tree's lock,
 * because a device's answer may be another access.
 */
#include "mem/priv.h"
#include "base/gate.h"
#include <search.h>

struct mem_window {
	struct mem *mem;
	phys_t base, last;               /* [I] inclusive */
	const struct mem_window_ops *ops;
	void *ctx;
	atomic_uint users;               /* accesses under way */
};

static int window_compare(const void *a, const void *b)
{
	const struct mem_window *x = a, *y = b;

	return x->last < y->base ? -1 : x->base > y->last;
}

int mem_window_add(struct mem *mem, phys_t base, uint64_t length, const struct mem_window_ops *ops, void *ctx,
		   struct mem_window **out)
{
	struct mem_window *w, **found;
	bool added;

	if (length == 0 || base >= BIT64(MEM_REGION_SHIFT) || length > BIT64(MEM_REGION_SHIFT) - base)
		return -EINVAL;
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->mem = mem;
	w->base = base;
	w->last = base + length - 1;
	w->ops = ops;
	w->ctx = ctx;
	rwlock_write(&mem->window_lock);
	found = tsearch(w, &mem->windows, window_compare);
	added = found && *found == w; /* without the lock the node may be gone */
	rwlock_unlock(&mem->window_lock);
	if (!added) {
		free(w);
		return found ? -EEXIST : -ENOMEM;
	}
	*out = w;
	return 0;
}

void mem_window_remove(struct mem_window *w)
{
	if (!w)
		return;
	rwlock_write(&w->mem->window_lock);
	tdelete(w, &w->mem->windows, window_compare);
	rwlock_unlock(&w->mem->window_lock);
	for (unsigned round = 0; atomic_load(&w->users); round++)
		gate_backoff(round);
	free(w);
}

static struct mem_window *window_get(struct mem *mem, phys_t phys)
{
	struct mem_window key = { .base = phys, .last = phys }, **found;

	SCOPED_READ(&mem->window_lock);
	found = tfind(&key, &mem->windows, window_compare);
	if (!found)
		return NULL;
	atomic_fetch_add(&(*found)->users, 1);
	return *found;
}

int mem_window_access(struct mem *mem, phys_t phys, void *buf, size_t n, bool write)
{
	struct mem_window *w = window_get(mem, phys);
	int rc = -EFAULT;

	if (!w)
		return -EFAULT;
	uint64_t offset = phys - w->base;

	if (n - 1 <= w->last - phys)
		rc = write ? w->ops->write(w->ctx, offset, buf, n) : w->ops->read(w->ctx, offset, buf, n);
	atomic_fetch_sub(&w->users, 1);
	return rc ? -EFAULT : 0;
}
