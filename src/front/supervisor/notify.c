/* SPDX-License-Identifier: MIT */
/*
 * The threads that answer. One of them, the leader, waits for the next notification and answers it itself:
 * the caller and the leader then share a CPU and its caches, and no third thread is woken (SYNC_WAKE_UP).
 * A leader that is about to block gives the lead to another thread first. Whoever finishes and finds a
 * leader at work becomes a follower and sleeps.
 *
 * What blocks is not always known beforehand. So the main thread looks on as a watchdog: a leader found at the
 * same call for two ticks loses the lead. Nothing a caller does can stall the others for longer. The watchdog
 * sleeps while there is nothing to watch.
 */
#include "front/supervisor/priv.h"
#include "front/supervisor/tracer.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SPARE 3 /* followers kept */

struct super_worker {
	LIST_ENTRY(super_worker) all;
	struct super *s;
	struct thread thread;
	atomic_int tid;
	unsigned long long seq; /* its own: of the pool, while it answered last */
	bool ended;     /* [pool.lock] may be joined */
};

static int worker_start_locked(struct super *s);

int super_call_send(struct super_call *c, long val)
{
	struct seccomp_notif_resp r = { .id = c->n->id };

	if (c->stopped)
		return super_stop_answer(c, val);
	if (val == SUPER_CONTINUE) {
		r.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
		atomic_fetch_add_explicit(&c->s->continued, 1, memory_order_relaxed);
	} else {
		r.val = val;
	}
	if (c->s->tracer)
		return super_tracer_send(c, val);
	return ioctl(c->s->listener, SECCOMP_IOCTL_NOTIF_SEND, &r) < 0 ? -errno : 0;
}

int super_call_continue(struct super_call *c)
{
	return super_call_send(c, SUPER_CONTINUE);
}

bool super_call_valid(struct super_call *c)
{
	uint64_t id = c->n->id;

	if (c->stopped)
		return super_stop_valid(c);
	if (c->s->tracer)
		return super_tracer_valid(c);
	return ioctl(c->s->listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
}

int super_call_addfd(struct super_call *c, int fd, int at, int oflags)
{
	struct seccomp_notif_addfd a = {
		.id = c->n->id,
		.flags = at >= 0 ? SECCOMP_ADDFD_FLAG_SETFD : 0,
		.srcfd = (unsigned)fd,
		.newfd = at >= 0 ? (unsigned)at : 0,
		.newfd_flags = (unsigned)oflags & O_CLOEXEC,
	};
	int n;

	if (c->stopped)
		return (int)super_trace_addfd((pid_t)c->n->pid, fd, at, oflags);
	if (c->s->tracer)
		return super_tracer_addfd(c, fd, at, oflags);
	n = ioctl(c->s->listener, SECCOMP_IOCTL_NOTIF_ADDFD, &a);
	return n < 0 ? -errno : n;
}

/* ---- the lead ---- */

/*
 * Give the lead away, waking or making who takes it, unless the leader has finished answering meanwhile (it is the one
 * who makes seq even otherwise, with no lock). @seq: odd, of the call at which it was seen.
 */
static void lead_pass_locked(struct super *s, unsigned long long seq)
{
	struct super_pool *p = &s->pool;

	if (p->idle == 0 && worker_start_locked(s) != 0)
		return;
	if (!atomic_compare_exchange_strong(&p->seq, &seq, seq + 1))
		return;
	p->leader = NULL;
	cond_signal(&p->wanted);
}

void super_call_may_block(struct super_call *c)
{
	struct super_pool *p = &c->s->pool;

	if (c->s->tracer)
		return; /* nobody leads: each call has its thread */
	SCOPED_LOCK(&p->lock);
	if (p->leader == c->worker)
		lead_pass_locked(c->s, c->worker->seq);
}

bool super_pool_tick(struct super *s)
{
	struct super_pool *p = &s->pool;
	unsigned long long now = atomic_load(&p->seq);

	if (now != p->seen) {
		p->seen = now;
		p->quiet = 0;
		return true;
	}
	if (now % 2) {
		SCOPED_LOCK(&p->lock);
		if (p->leader)
			lead_pass_locked(s, now);
		return true;
	}
	if (p->quiet++ < 20)
		return true;
	p->quiet = 0;
	atomic_store(&p->armed, false);
	/* A leader that did not see it cleared has made seq odd before. */
	return atomic_load(&p->seq) != now && !atomic_exchange(&p->armed, true);
}

/* Wait until this thread leads. False: it is not needed any more. */
static bool lead_take(struct super_worker *w)
{
	struct super_pool *p = &w->s->pool;

	SCOPED_LOCK(&p->lock);
	while (!p->stop && p->leader && p->leader != w) {
		if (p->idle >= SPARE)
			return false;
		p->idle++;
		cond_wait(&p->wanted, &p->lock);
		p->idle--;
	}
	if (p->stop)
		return false;
	p->leader = w;
	return true;
}

static void lead_begin(struct super_worker *w)
{
	struct super *s = w->s;
	uint64_t one = 1;

	w->seq = atomic_fetch_add(&s->pool.seq, 1) + 1;
	if (!atomic_load(&s->pool.armed) && !atomic_exchange(&s->pool.armed, true))
		(void)!write(s->watchdog, &one, sizeof(one));
}

/* The leader has answered. When the lead is gone already, seq has gone on with it. */
static bool lead_end(struct super_worker *w)
{
	struct super_pool *p = &w->s->pool;
	unsigned long long seq = w->seq;

	return atomic_compare_exchange_strong(&p->seq, &seq, seq + 1) && !atomic_load(&p->stop);
}

/* ---- one notification ---- */

static _Thread_local struct super_call *current;

struct super_call *super_call_current(void)
{
	return current;
}

bool super_call_hold(struct super_file *sf)
{
	struct super_call *c = current;

	for (unsigned i = 0; c && i < c->nheld; i++) {
		if (c->held[i] == sf) {
			super_file_put(sf);
			return true;
		}
	}
	if (!c || c->nheld == ARRAY_SIZE(c->held)) {
		super_file_put(sf);
		return false;
	}
	c->held[c->nheld++] = sf;
	return true;
}

void super_call_answer(struct super_call *c)
{
	super_handler h = super_dispatch(c->n->data.nr);
	long r;

	current = c;
	r = h ? h(c) : SUPER_CONTINUE;
	current = NULL;
	atomic_fetch_add_explicit(&c->s->notified, 1, memory_order_relaxed);
	if (r != SUPER_DONE)
		super_call_send(c, r);
	while (c->nheld > 0)
		super_file_put(c->held[--c->nheld]);
	super_call_task_end(c);
	super_proc_put(c->proc);
}

static bool pool_stopping(struct super *s)
{
	return atomic_load(&s->pool.stop);
}

/* The next notification. False: there will be none. */
static bool call_receive(struct super *s, struct seccomp_notif *n)
{
	while (!pool_stopping(s)) {
		struct pollfd pf = { .fd = s->listener, .events = POLLIN };

		memset(n, 0, s->notif_size);
		if (ioctl(s->listener, SECCOMP_IOCTL_NOTIF_RECV, n) == 0)
			return true;
		if (errno == EINTR)
			continue;
		/* ENOENT: that caller is gone, or all are. */
		if (errno != ENOENT || (poll(&pf, 1, 0) == 1 && (pf.revents & (POLLHUP | POLLERR))))
			break;
	}
	return false;
}

static void worker_lead(struct super_worker *w, struct seccomp_notif *n)
{
	struct super *s = w->s;

	do {
		struct super_call c = { .s = s, .n = n, .worker = w };

		if (!call_receive(s, n)) {
			SCOPED_LOCK(&s->pool.lock);
			/* No caller is left: keep the lead until the end of the run. */
			while (!s->pool.stop)
				cond_wait(&s->pool.wanted, &s->pool.lock);
			return;
		}
		lead_begin(w);
		super_call_answer(&c);
	} while (lead_end(w));
}

static void worker_main(void *arg)
{
	struct super_worker *w = arg;
	struct super *s = w->s;
	struct seccomp_notif *n = malloc(s->notif_size);
	sigset_t wake;

	/* super_pool_stop() interrupts a wait for notifications with this one. */
	sigemptyset(&wake);
	sigaddset(&wake, SIGRTMAX);
	sigprocmask(SIG_UNBLOCK, &wake, NULL);
	atomic_store(&w->tid, (int)syscall(SYS_gettid));
	while (n && !pool_stopping(s) && lead_take(w))
		worker_lead(w, n);
	free(n);
	SCOPED_LOCK(&s->pool.lock);
	w->ended = true;
	s->pool.workers--;
	cond_broadcast(&s->pool.wanted);
}

static void pool_reap_locked(struct super_pool *p)
{
	struct super_worker *w = LIST_FIRST(&p->all), *next;

	for (; w; w = next) {
		next = LIST_NEXT(w, all);
		if (!w->ended)
			continue;
		LIST_REMOVE(w, all);
		thread_join(&w->thread);
		free(w);
	}
}

static int worker_start_locked(struct super *s)
{
	struct super_worker *w = calloc(1, sizeof(*w));
	int rc;

	if (!w)
		return -ENOMEM;
	pool_reap_locked(&s->pool);
	w->s = s;
	rc = thread_start(&w->thread, "uvfio-call", worker_main, w);
	if (rc) {
		free(w);
		return rc;
	}
	LIST_INSERT_HEAD(&s->pool.all, w, all);
	s->pool.workers++;
	return 0;
}

static void wake_nothing(int sig)
{
	(void)sig;
}

int super_pool_start(struct super *s)
{
	struct sigaction sa = { .sa_handler = wake_nothing };

	mutex_init(&s->pool.lock, RANK_SUPER_POOL);
	cond_init(&s->pool.wanted);
	LIST_INIT(&s->pool.all);
	sigaction(SIGRTMAX, &sa, NULL);
	SCOPED_LOCK(&s->pool.lock);
	return worker_start_locked(s);
}

void super_pool_stop(struct super *s)
{
	struct super_pool *p = &s->pool;
	struct super_worker *w;

	mutex_lock(&p->lock);
	p->stop = true;
	cond_broadcast(&p->wanted);
	while (p->workers > 0) {
		LIST_FOREACH(w, &p->all, all) {
			if (!w->ended && atomic_load(&w->tid))
				syscall(SYS_tgkill, getpid(), atomic_load(&w->tid), SIGRTMAX);
		}
		cond_wait_ms(&p->wanted, &p->lock, 10);
	}
	pool_reap_locked(p);
	mutex_unlock(&p->lock);
	cond_fini(&p->wanted);
	mutex_fini(&p->lock);
}
