/* SPDX-License-Identifier: MIT */
/* Gates: who is waited for, who is not, and what becomes of the slots. Also threads and their signals. */
#include "base/gate.h"
#include "base/lock.h"
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>

#include <cmocka.h>

struct slot {
	struct gate_slot gate;
	unsigned mark;
};

/* A thread that goes in and out of a gate when told. */
struct walker {
	struct thread thread;
	struct gate *gate;
	atomic_int want; /* 0: be outside, 1: be inside, 2: end */
	atomic_int is;
	bool restless;   /* inside, then outside and in again without end, until told to end */
};

static void walk(void *arg)
{
	struct walker *w = arg;
	int want;

	while ((want = atomic_load(&w->want)) != 2) {
		struct gate_slot *s;

		if (want == 0) {
			sched_yield();
			continue;
		}
		s = gate_enter(w->gate);
		assert_non_null(s);
		atomic_store(&w->is, 1);
		while (!w->restless && atomic_load(&w->want) == 1)
			sched_yield();
		gate_leave(s);
		if (!w->restless)
			atomic_store(&w->is, 0);
	}
}

static void walker_start(struct walker *w, struct gate *g, bool restless)
{
	*w = (struct walker){ .gate = g, .restless = restless };
	assert_int_equal(thread_start(&w->thread, "walker", walk, w), 0);
}

static void walker_set(struct walker *w, int want)
{
	atomic_store(&w->want, want);
	if (want == 2)
		thread_join(&w->thread);
	else
		while (atomic_load(&w->is) != want)
			sched_yield();
}

static atomic_int waited;

static void wait_main(void *arg)
{
	gate_wait(arg);
	atomic_store(&waited, 1);
}

static void a_waiter_waits_for_the_section_that_is_open(void **state)
{
	struct gate g, other;
	struct walker in, elsewhere;
	struct thread t;

	gate_init(&g, sizeof(struct slot));
	gate_init(&other, sizeof(struct slot));
	walker_start(&in, &g, false);
	walker_start(&elsewhere, &other, false);
	walker_set(&in, 1);
	walker_set(&elsewhere, 1);
	atomic_store(&waited, 0);
	assert_int_equal(thread_start(&t, "waiter", wait_main, &g), 0);
	for (int i = 0; i < 200; i++)
		sched_yield();
	assert_int_equal(atomic_load(&waited), 0);
	walker_set(&in, 0);
	thread_join(&t); /* though the other gate's section is open */
	assert_int_equal(atomic_load(&waited), 1);
	walker_set(&in, 2);
	walker_set(&elsewhere, 2);
	gate_fini(&g);
	gate_fini(&other);
}

static void a_stream_of_new_sections_cannot_hold_a_waiter_up(void **state)
{
	struct gate g;
	struct walker w[2];

	gate_init(&g, sizeof(struct slot));
	for (int i = 0; i < 2; i++) {
		walker_start(&w[i], &g, true);
		walker_set(&w[i], 1);
	}
	for (int i = 0; i < 50; i++)
		gate_wait(&g);
	for (int i = 0; i < 2; i++)
		walker_set(&w[i], 2);
	gate_fini(&g);
}

static void sections_nest(void **state)
{
	struct gate a, b;
	struct gate_slot *s, *again, *t;

	gate_init(&a, sizeof(struct slot));
	gate_init(&b, sizeof(struct slot));
	s = gate_enter(&a);
	t = gate_enter(&b);
	again = gate_enter(&a);
	assert_ptr_equal(s, again);
	gate_leave(again);
	gate_leave(t);
	gate_wait(&b);
	gate_leave(s);
	gate_wait(&a);
	gate_fini(&a);
	gate_fini(&b);
}

static void slots_of_threads_that_ended_are_used_again(void **state)
{
	struct gate g;
	unsigned n = 0;

	gate_init(&g, sizeof(struct slot));
	for (int i = 0; i < 20; i++) {
		struct walker w;

		walker_start(&w, &g, false);
		walker_set(&w, 1);
		walker_set(&w, 2);
	}
	for (struct gate_slot *s = atomic_load(&g.slots); s; s = s->next)
		n++;
	assert_int_equal(n, 1);
	gate_fini(&g);
}

static void many_gates_come_and_go(void **state)
{
	for (unsigned round = 0; round < 50; round++) {
		struct gate g[40];

		for (unsigned i = 0; i < ARRAY_SIZE(g); i++) {
			gate_init(&g[i], sizeof(struct slot));
			struct slot *s = (struct slot *)gate_enter(&g[i]);

			assert_int_equal(s->mark, 0);
			s->mark = i + 1;
			gate_leave(&s->gate);
		}
		for (unsigned i = 0; i < ARRAY_SIZE(g); i++) {
			struct slot *s = (struct slot *)gate_enter(&g[i]);

			assert_int_equal(s->mark, i + 1);
			gate_leave(&s->gate);
			gate_fini(&g[i]);
		}
	}
}

static void look_at_signals(void *arg)
{
	pthread_sigmask(SIG_SETMASK, NULL, arg);
}

static void threads_block_signals_but_not_their_own_faults(void **state)
{
	struct thread t;
	sigset_t set;

	assert_int_equal(thread_start(&t, "signals", look_at_signals, &set), 0);
	thread_join(&t);
	assert_true(sigismember(&set, SIGINT));
	assert_true(sigismember(&set, SIGALRM));
	assert_false(sigismember(&set, SIGSEGV));
	assert_false(sigismember(&set, SIGBUS));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_waiter_waits_for_the_section_that_is_open),
		cmocka_unit_test(a_stream_of_new_sections_cannot_hold_a_waiter_up),
		cmocka_unit_test(sections_nest),
		cmocka_unit_test(slots_of_threads_that_ended_are_used_again),
		cmocka_unit_test(many_gates_come_and_go),
		cmocka_unit_test(threads_block_signals_but_not_their_own_faults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
