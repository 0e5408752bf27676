/* SPDX-License-Identifier: MIT */
/*
 * Eventfds as the machine sees them. An event wraps an eventfd the machine holds itself (a caller's,
 * fetched by task_event_get, or one of its own); signalling it adds 1 to the counter. The loop is one
 * epoll thread that calls back when a watched eventfd becomes readable (INTx unmask, ioeventfd).
 */
#ifndef UVFIO_BASE_EVENT_H
#define UVFIO_BASE_EVENT_H

#include "base/defs.h"
#include "base/lock.h"
#include "base/ref.h"

struct event {
	struct ref ref;
	int fd;        /* [I] owned */
	bool nonblock; /* [I] it was non-blocking when it was wrapped; its owner may have changed that */
};

/**
 * event_create - wrap an eventfd
 * @fd: taken over, on failure too (closed)
 * Return: 0; -ENOMEM
 */
int event_create(int fd, struct event **out);
struct event *event_get(struct event *ev);
/** event_put - drop a reference; NULL is fine; the last one closes the fd */
void event_put(struct event *ev);
/** event_signal - add 1; never blocks (a full counter stays full). Callable under any lock. */
void event_signal(struct event *ev);

struct event_loop;
struct event_watch;

int event_loop_create(struct event_loop **out);
/** event_loop_destroy - stop the thread; every watch must have been removed; NULL is fine */
void event_loop_destroy(struct event_loop *loop);
/**
 * event_watch_add - call @fn(@ctx) on the loop's thread each time @ev becomes readable
 * The counter is consumed before each call but the first when it was readable already at registration
 * (as Linux does; spec 20, 1.9 and 4.4). @fn is called with no lock held, maybe before this returns.
 * Several watches of one event are each called.
 * Return: 0; -ENOMEM, -EMFILE and other errors of epoll_ctl; *@out is untouched then
 */
int event_watch_add(struct event_loop *loop, struct event *ev, void (*fn)(void *ctx), void *ctx,
		    struct event_watch **out);
/** event_watch_remove - no call of @fn runs or starts after this returns; not from @fn itself; NULL is fine */
void event_watch_remove(struct event_watch *w);

#endif
