/* SPDX-License-Identifier: MIT */
/* Files that poll(2) does not always find ready. */
#include "file/file.h"
#include <limits.h>
#include <poll.h>
#include <time.h>

void file_ready_init(struct file_ready *r, bool out)
{
	*r = (struct file_ready){ .out = out };
	mutex_init(&r->lock, RANK_FILE_READY);
	cond_init(&r->turned);
}

void file_ready_fini(struct file_ready *r)
{
	cond_fini(&r->turned);
	mutex_fini(&r->lock);
}

void file_ready_set(struct file_ready *r, bool in)
{
	SCOPED_LOCK(&r->lock);
	if (r->in == in)
		return;
	r->in = in;
	cond_broadcast(&r->turned);
	if (r->changed)
		r->changed(r->ctx, in);
}

void file_ready_watch(struct file_ready *r, void (*changed)(void *ctx, bool in), void *ctx)
{
	SCOPED_LOCK(&r->lock);
	r->changed = changed;
	r->ctx = ctx;
	if (changed)
		changed(ctx, r->in);
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int events_locked(const struct file_ready *r)
{
	return (r->in ? POLLIN | POLLRDNORM : 0) | (r->out ? POLLOUT : 0);
}

int file_poll(struct file *f, int events, int ms)
{
	const int64_t until = now_ms() + ms;
	struct file_ready *r = f->ready;

	if (!r)
		return events & (POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM);
	SCOPED_LOCK(&r->lock);
	while (!(events_locked(r) & events)) {
		int64_t left = ms < 0 ? INT_MAX : until - now_ms();

		if (left <= 0)
			return 0;
		cond_wait_ms(&r->turned, &r->lock, (unsigned)left);
	}
	return events_locked(r) & events;
}
