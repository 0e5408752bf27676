/* SPDX-License-Identifier: MIT */
/* The event loop: who is called, how often, and what happens to the counter. */
#include "base/event.h"
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

static struct event_loop *loop;

static int setup(void **state)
{
	return event_loop_create(&loop);
}

static int teardown(void **state)
{
	event_loop_destroy(loop);
	return 0;
}

static struct event *event_make(unsigned initial)
{
	struct event *ev = NULL;

	assert_int_equal(event_create(eventfd(initial, EFD_CLOEXEC | EFD_NONBLOCK), &ev), 0);
	return ev;
}

/* Counts calls; the waiter learns of each. */
struct counter {
	struct mutex lock;
	struct cond more;
	unsigned n;
};

static void counter_init(struct counter *c)
{
	mutex_init(&c->lock, RANK_NONE);
	cond_init(&c->more);
	c->n = 0;
}

static void counter_add(void *ctx)
{
	struct counter *c = ctx;

	SCOPED_LOCK(&c->lock);
	c->n++;
	cond_broadcast(&c->more);
}

static void counter_wait(struct counter *c, unsigned n)
{
	SCOPED_LOCK(&c->lock);
	while (c->n < n)
		cond_wait(&c->more, &c->lock);
	assert_int_equal(c->n, n);
}

static void counter_fini(struct counter *c)
{
	cond_fini(&c->more);
	mutex_fini(&c->lock);
}

/* The loop has dealt with everything before: it serves in order. */
static void loop_settle(void)
{
	struct event *ev = event_make(1);
	struct event_watch *w;
	struct counter c;

	counter_init(&c);
	assert_int_equal(event_watch_add(loop, ev, counter_add, &c, &w), 0);
	counter_wait(&c, 1);
	event_watch_remove(w);
	counter_fini(&c);
	event_put(ev);
}

static uint64_t drain(struct event *ev)
{
	uint64_t n = 0;

	return read(ev->fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static void each_signal_calls_back_and_is_consumed(void **state)
{
	struct event *ev = event_make(0);
	struct event_watch *w;
	struct counter c;

	counter_init(&c);
	assert_int_equal(event_watch_add(loop, ev, counter_add, &c, &w), 0);
	for (unsigned i = 1; i <= 5; i++) {
		event_signal(ev);
		counter_wait(&c, i);
	}
	assert_int_equal(drain(ev), 0);
	event_watch_remove(w);
	event_put(ev);
	counter_fini(&c);
}

static void readable_at_registration_calls_back_once_and_keeps_the_counter(void **state)
{
	struct event *ev = event_make(3);
	struct event_watch *w;
	struct counter c;

	counter_init(&c);
	assert_int_equal(event_watch_add(loop, ev, counter_add, &c, &w), 0);
	counter_wait(&c, 1);
	loop_settle();
	counter_wait(&c, 1);
	assert_int_equal(drain(ev), 3);
	event_signal(ev);
	counter_wait(&c, 2);
	loop_settle();
	assert_int_equal(drain(ev), 0);
	event_watch_remove(w);
	event_put(ev);
	counter_fini(&c);
}

static void an_event_can_be_watched_twice(void **state)
{
	struct event *ev = event_make(1);
	struct event_watch *w[2];
	struct counter c[2];

	for (int i = 0; i < 2; i++) {
		counter_init(&c[i]);
		assert_int_equal(event_watch_add(loop, ev, counter_add, &c[i], &w[i]), 0);
	}
	for (int i = 0; i < 2; i++) {
		counter_wait(&c[i], 1);
		event_watch_remove(w[i]);
		counter_fini(&c[i]);
	}
	event_put(ev);
}

static void nothing_is_called_after_removal(void **state)
{
	struct event *ev = event_make(0);
	struct event_watch *w;
	struct counter c;

	counter_init(&c);
	for (int i = 0; i < 200; i++) {
		unsigned n;

		assert_int_equal(event_watch_add(loop, ev, counter_add, &c, &w), 0);
		event_signal(ev);
		event_watch_remove(w);
		mutex_lock(&c.lock);
		n = c.n;
		mutex_unlock(&c.lock);
		event_signal(ev);
		drain(ev);
		mutex_lock(&c.lock);
		assert_int_equal(c.n, n);
		mutex_unlock(&c.lock);
	}
	event_put(ev);
	counter_fini(&c);
}

static void a_failed_watch_leaves_the_result_alone(void **state)
{
	struct event *ev = NULL;
	struct event_watch *w = (void *)0x1234;
	int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC); /* epoll refuses regular files */

	assert_true(fd >= 0);
	assert_int_equal(event_create(fd, &ev), 0);
	assert_int_equal(event_watch_add(loop, ev, counter_add, NULL, &w), -EPERM);
	assert_ptr_equal(w, (void *)0x1234);
	event_put(ev);
}

static void a_full_counter_stays_full(void **state)
{
	/* What the caller makes it with, and then turns it to. */
	static const int flags[][2] = { { 0, 0 }, { EFD_NONBLOCK, O_NONBLOCK }, { EFD_NONBLOCK, 0 } };

	for (unsigned i = 0; i < ARRAY_SIZE(flags); i++) {
		struct event *ev = NULL;
		uint64_t full = UINT64_MAX - 1;

		assert_int_equal(event_create(eventfd(0, EFD_CLOEXEC | flags[i][0]), &ev), 0);
		assert_int_equal(fcntl(ev->fd, F_SETFL, O_RDWR | flags[i][1]), 0);
		assert_int_equal(write(ev->fd, &full, sizeof(full)), sizeof(full));
		event_signal(ev);
		assert_true(drain(ev) == full);
		event_put(ev);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(each_signal_calls_back_and_is_consumed),
		T(readable_at_registration_calls_back_once_and_keeps_the_counter),
		T(an_event_can_be_watched_twice),
		T(nothing_is_called_after_removal),
		T(a_failed_watch_leaves_the_result_alone),
		cmocka_unit_test(a_full_counter_stays_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
