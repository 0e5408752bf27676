/* SPDX-License-Identifier: MIT */
/*
 * Patience. While the tracer waits for one thread, which it has told to make a call, nobody else's calls are answered;
 * and a program can bring about that such a call never ends (it opens a path of which the program serves a part, say).
 * So a thread that sleeps at ten looks one behind the other, about a second, is given up. One that could run
 * and does not get to it is not asleep, however long that takes.
 *
 * And who waits in a call of the machine's, stopped, can be ended as in a call of Linux's: a stop holds back all signals
 * but SIGKILL, and nothing is told of those that come.
 */
#include "front/supervisor/tracer.h"
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LOOK_MS 100
#define LOOKS   10

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static bool asleep(pid_t tid)
{
	char path[64], line[256], state = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", tid);
	f = fopen(path, "re");
	while (f && !state && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "State: %c", &state) != 1)
			state = 0;
	}
	if (f)
		fclose(f);
	return state == 'S' || state == 'D';
}

int super_patience_init(struct super_patience *p)
{
	struct sigevent ev = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMAX };

	ev._sigev_un._tid = (pid_t)syscall(SYS_gettid);
	p->set = timer_create(CLOCK_MONOTONIC, &ev, &p->timer) == 0;
	return p->set ? 0 : -errno;
}

void super_patience_fini(struct super_patience *p)
{
	if (p->set)
		timer_delete(p->timer);
	p->set = false;
}

void super_patience_tick(struct super_patience *p, bool on)
{
	struct timespec every = { .tv_nsec = on ? LOOK_MS * 1000000 : 0 };
	struct itimerspec it = { .it_interval = every, .it_value = every };

	if (p->set && p->ticking != on)
		timer_settime(p->timer, 0, &it, NULL);
	p->ticking = on;
}

bool super_patience_ticked(struct super_patience *p)
{
	uint64_t now = p->ticking ? now_ms() : 0;

	if (now < p->next)
		return false;
	p->next = now + LOOK_MS;
	return p->ticking;
}

void super_patience_begin(struct super_patience *p, pid_t tid)
{
	p->tid = tid;
	p->looks = 0;
	p->next = now_ms() + LOOK_MS;
	super_patience_tick(p, true);
}

bool super_patience_over(struct super_patience *p)
{
	if (!super_patience_ticked(p))
		return false;
	p->looks = asleep(p->tid) ? p->looks + 1 : 0;
	return p->looks >= LOOKS;
}

/* Signals that end who has not said otherwise: all but those that stop, go on, or are ignored. */
static uint64_t fatal(void)
{
	static const int others[] = { SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH };
	uint64_t set = ~0ull;

	for (unsigned i = 0; i < ARRAY_SIZE(others); i++)
		set &= ~BIT64(others[i] - 1);
	return set;
}

bool super_trace_doomed(pid_t tid)
{
	static const char *const names[] = { "SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt" };
	uint64_t v[ARRAY_SIZE(names)];

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		if (super_proc_status(tid, names[i], 16, &v[i]))
			return false;
	}
	return (v[0] | v[1]) & ~(v[2] | v[3] | v[4]) & fatal();
}
