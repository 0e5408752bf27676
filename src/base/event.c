/* SPDX-License-Identifier: MIT */
/*
 * One epoll thread per machine. A watch is removed by asking the thread: the remover waits until the
 * thread has passed a point where it cannot be inside the watch's callback.
 */
#include "base/event.h"
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/uio.h>
#include <unistd.h>

struct event_watch {
	TAILQ_ENTRY(event_watch) link;
	struct event_loop *loop;
	struct event *ev;
	void (*fn)(void *ctx);
	void *ctx;
	int fd;      /* [I] a duplicate: one epoll takes each descriptor once, and two may watch one event */
	bool keep;   /* [loop thread] the next call leaves the counter alone */
	bool dead;   /* [loop->lock] */
};

struct event_loop {
	struct mutex lock; /* RANK_EVENT */
	struct cond idle;
	struct thread thread;
	int epfd;
	int wake;                /* eventfd: stop, or reap dead watches */
	bool stop;               /* [lock] */
	TAILQ_HEAD(, event_watch) dead; /* [lock] removed, waiting for the thread to let go */
};

static bool is_nonblock(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && (flags & O_NONBLOCK);
}

int event_create(int fd, struct event **out)
{
	struct event *ev = calloc(1, sizeof(*ev));

	if (!ev) {
		close(fd);
		return -ENOMEM;
	}
	ref_init(&ev->ref);
	ev->fd = fd;
	ev->nonblock = is_nonblock(fd);
	*out = ev;
	return 0;
}

struct event *event_get(struct event *ev)
{
	ref_get(&ev->ref);
	return ev;
}

void event_put(struct event *ev)
{
	if (ev && ref_put(&ev->ref)) {
		close(ev->fd);
		free(ev);
	}
}

static bool is_writable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	return poll(&p, 1, 0) == 1 && (p.revents & POLLOUT);
}

/*
 * The caller made the eventfd and may have left it blocking: a counter at its limit must not stop the
 * machine, so look before writing. (Nothing writes to a blocking eventfd without waiting; a caller that fills its
 * own counter between the two makes this thread wait for it.) To ask whether one is still non-blocking, as most are,
 * takes half as long as to poll it.
 */
void event_signal(struct event *ev)
{
	uint64_t one = 1;

	if ((ev->nonblock && is_nonblock(ev->fd)) || is_writable(ev->fd))
		(void)!write(ev->fd, &one, sizeof(one));
}

static void watch_free(struct event_watch *w)
{
	if (w->fd >= 0)
		close(w->fd);
	event_put(w->ev);
	free(w);
}

static void loop_reap_locked(struct event_loop *loop)
{
	struct event_watch *w;

	while ((w = TAILQ_FIRST(&loop->dead))) {
		TAILQ_REMOVE(&loop->dead, w, link);
		watch_free(w);
	}
	cond_broadcast(&loop->idle);
}

/*
 * The counter is the caller's and may be blocking, and the caller may empty it between a look and a read:
 * that must not stop the loop. Kernels that know no RWF_NOWAIT here only leave the look.
 */
static void counter_consume(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t n;
	struct iovec iov = { .iov_base = &n, .iov_len = sizeof(n) };

	if (preadv2(fd, &iov, 1, -1, RWF_NOWAIT) < 0 && errno != EAGAIN && poll(&p, 1, 0) == 1 && (p.revents & POLLIN))
		(void)!read(fd, &n, sizeof(n));
}

static void watch_fire(struct event_watch *w)
{
	struct event_loop *loop = w->loop;

	mutex_lock(&loop->lock);
	bool dead = w->dead;
	mutex_unlock(&loop->lock);
	if (dead)
		return;
	if (w->keep)
		w->keep = false;
	else
		counter_consume(w->fd);
	w->fn(w->ctx);
}

static void loop_main(void *arg)
{
	struct event_loop *loop = arg;
	struct epoll_event ev[16];

	for (;;) {
		int n = epoll_wait(loop->epfd, ev, ARRAY_SIZE(ev), -1);
		uint64_t dummy;

		for (int i = 0; i < n; i++) {
			if (ev[i].data.ptr)
				watch_fire(ev[i].data.ptr);
			else
				(void)!read(loop->wake, &dummy, sizeof(dummy));
		}
		SCOPED_LOCK(&loop->lock);
		loop_reap_locked(loop);
		if (loop->stop)
			return;
	}
}

int event_loop_create(struct event_loop **out)
{
	struct event_loop *loop = calloc(1, sizeof(*loop));
	struct epoll_event ev = { .events = EPOLLIN };
	int rc;

	if (!loop)
		return -ENOMEM;
	mutex_init(&loop->lock, RANK_EVENT);
	cond_init(&loop->idle);
	TAILQ_INIT(&loop->dead);
	loop->epfd = epoll_create1(EPOLL_CLOEXEC);
	loop->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	rc = loop->epfd < 0 || loop->wake < 0 || epoll_ctl(loop->epfd, EPOLL_CTL_ADD, loop->wake, &ev) < 0 ? -errno : 0;
	if (rc == 0)
		rc = thread_start(&loop->thread, "uvfio-event", loop_main, loop);
	if (rc != 0) {
		if (loop->epfd >= 0)
			close(loop->epfd);
		if (loop->wake >= 0)
			close(loop->wake);
		free(loop);
		return rc;
	}
	*out = loop;
	return 0;
}

static void loop_wake(struct event_loop *loop)
{
	uint64_t one = 1;

	(void)!write(loop->wake, &one, sizeof(one));
}

void event_loop_destroy(struct event_loop *loop)
{
	if (!loop)
		return;
	mutex_lock(&loop->lock);
	loop->stop = true;
	mutex_unlock(&loop->lock);
	loop_wake(loop);
	thread_join(&loop->thread);
	close(loop->epfd);
	close(loop->wake);
	cond_fini(&loop->idle);
	mutex_fini(&loop->lock);
	free(loop);
}

/*
 * Edge-triggered: epoll reports a counter that is readable already once, by itself, and then each write.
 * Whether it was readable is asked before, so that a write after the question is consumed as any other.
 */
int event_watch_add(struct event_loop *loop, struct event *ev, void (*fn)(void *), void *ctx,
		    struct event_watch **out)
{
	struct event_watch *w = calloc(1, sizeof(*w));
	struct epoll_event ee = { .events = EPOLLIN | EPOLLET };
	struct pollfd p = { .fd = ev->fd, .events = POLLIN };
	int rc;

	if (!w)
		return -ENOMEM;
	w->loop = loop;
	w->ev = event_get(ev);
	w->fn = fn;
	w->ctx = ctx;
	w->keep = poll(&p, 1, 0) == 1 && (p.revents & POLLIN);
	w->fd = fcntl(ev->fd, F_DUPFD_CLOEXEC, 0);
	ee.data.ptr = w;
	if (w->fd < 0 || epoll_ctl(loop->epfd, EPOLL_CTL_ADD, w->fd, &ee) < 0) {
		rc = -errno;
		watch_free(w);
		return rc;
	}
	*out = w;
	return 0;
}

void event_watch_remove(struct event_watch *w)
{
	struct event_loop *loop;

	if (!w)
		return;
	loop = w->loop;
	epoll_ctl(loop->epfd, EPOLL_CTL_DEL, w->fd, NULL);
	SCOPED_LOCK(&loop->lock);
	w->dead = true;
	TAILQ_INSERT_TAIL(&loop->dead, w, link);
	loop_wake(loop);
	while (!TAILQ_EMPTY(&loop->dead))
		cond_wait(&loop->idle, &loop->lock);
}
