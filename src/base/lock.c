/* SPDX-License-Identifier: MIT */
/*
 * Ranked locks. Each thread keeps the ranks it holds on a small stack; taking a lock whose rank is not
 * above the highest held is a bug of ours and aborts in checked builds. try-locks are exempt from the
 * order, as they cannot deadlock, but count as held.
 *
 * Checked builds also tell which locks were taken inside which, for tools/lockgraph: each pair once, when it is first
 * seen, as a line "HELD TAKEN lock" or "HELD TAKEN try", ranks by number, appended to the file $UVFIO_LOCK_GRAPH.
 */
#include "base/lock.h"
#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifdef UVFIO_LOCK_CHECK
#define HELD_MAX 1024 /* a hot reset holds two locks for each function of a bus */
static _Thread_local enum lock_rank held[HELD_MAX];
static _Thread_local unsigned nheld;

static int graph = -1;
static atomic_bool graph_seen[2][RANK_LAST][RANK_LAST];

__attribute__((constructor)) static void graph_open(void)
{
	const char *path = getenv("UVFIO_LOCK_GRAPH");

	if (path)
		graph = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
}

static void graph_add(enum lock_rank outer, enum lock_rank inner, bool ordered)
{
	char line[32];
	int n;

	if (atomic_load_explicit(&graph_seen[ordered][outer][inner], memory_order_relaxed) ||
	    atomic_exchange(&graph_seen[ordered][outer][inner], true))
		return;
	n = snprintf(line, sizeof(line), "%d %d %s\n", outer, inner, ordered ? "lock" : "try");
	if (write(graph, line, (size_t)n) < 0)
		fprintf(stderr, "uvfio: the lock graph: %s\n", strerror(errno));
}

static void rank_take(enum lock_rank rank, bool ordered)
{
	if (rank == RANK_NONE)
		return;
	for (unsigned i = 0; ordered && i < nheld; i++) {
		if (held[i] >= rank) {
			fprintf(stderr, "uvfio: lock of rank %d taken while %d is held\n", rank, held[i]);
			abort();
		}
	}
	for (unsigned i = 0; graph >= 0 && i < nheld; i++)
		graph_add(held[i], rank, ordered);
	assert(nheld < HELD_MAX);
	held[nheld++] = rank;
}

static void rank_drop(enum lock_rank rank)
{
	if (rank == RANK_NONE)
		return;
	for (unsigned i = nheld; i-- > 0;) {
		if (held[i] == rank) {
			memmove(&held[i], &held[i + 1], (nheld - i - 1) * sizeof(held[0]));
			nheld--;
			return;
		}
	}
	assert(!"lock released by a thread that does not hold it");
}
#else
static void rank_take(enum lock_rank rank, bool ordered) { (void)rank; (void)ordered; }
static void rank_drop(enum lock_rank rank) { (void)rank; }
#endif

void mutex_init(struct mutex *l, enum lock_rank rank)
{
	pthread_mutex_init(&l->m, NULL);
	l->rank = rank;
}

void mutex_fini(struct mutex *l)
{
	pthread_mutex_destroy(&l->m);
}

void mutex_lock(struct mutex *l) NO_TSA
{
	rank_take(l->rank, true);
	pthread_mutex_lock(&l->m);
}

bool mutex_trylock(struct mutex *l)
{
	if (pthread_mutex_trylock(&l->m) != 0)
		return false;
	rank_take(l->rank, false);
	return true;
}

void mutex_unlock(struct mutex *l) NO_TSA
{
	enum lock_rank rank = l->rank; /* the next holder may free the lock */

	pthread_mutex_unlock(&l->m);
	rank_drop(rank);
}

void rwlock_init(struct rwlock *l, enum lock_rank rank)
{
	l->rw = (pthread_rwlock_t)PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP; /* cheaper than the attribute */
	l->rank = rank;
}

void rwlock_fini(struct rwlock *l)
{
	pthread_rwlock_destroy(&l->rw);
}

void rwlock_read(struct rwlock *l)
{
	rank_take(l->rank, true);
	pthread_rwlock_rdlock(&l->rw);
}

void rwlock_write(struct rwlock *l)
{
	rank_take(l->rank, true);
	pthread_rwlock_wrlock(&l->rw);
}

bool rwlock_trywrite(struct rwlock *l)
{
	if (pthread_rwlock_trywrlock(&l->rw) != 0)
		return false;
	rank_take(l->rank, false);
	return true;
}

void rwlock_unlock(struct rwlock *l)
{
	enum lock_rank rank = l->rank;

	pthread_rwlock_unlock(&l->rw);
	rank_drop(rank);
}

void cond_init(struct cond *c)
{
	pthread_condattr_t a;

	pthread_condattr_init(&a);
	pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
	pthread_cond_init(&c->c, &a);
	pthread_condattr_destroy(&a);
}

void cond_fini(struct cond *c)
{
	pthread_cond_destroy(&c->c);
}

void cond_wait(struct cond *c, struct mutex *l)
{
	pthread_cond_wait(&c->c, &l->m);
}

bool cond_wait_ms(struct cond *c, struct mutex *l, unsigned ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += (long)(ms % 1000) * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_nsec -= 1000000000;
		t.tv_sec++;
	}
	return pthread_cond_timedwait(&c->c, &l->m, &t) == 0;
}

void cond_signal(struct cond *c)
{
	pthread_cond_signal(&c->c);
}

void cond_broadcast(struct cond *c)
{
	pthread_cond_broadcast(&c->c);
}

struct thread_start_arg {
	void (*fn)(void *);
	void *arg;
	char name[16];
};

static void *thread_main(void *p)
{
	struct thread_start_arg a = *(struct thread_start_arg *)p;

	free(p);
	pthread_setname_np(pthread_self(), a.name);
	a.fn(a.arg);
	return NULL;
}

int thread_start(struct thread *t, const char *name, void (*fn)(void *), void *arg)
{
	struct thread_start_arg *a = calloc(1, sizeof(*a));
	sigset_t all, old;
	int rc;

	if (!a)
		return -ENOMEM;
	a->fn = fn;
	a->arg = arg;
	snprintf(a->name, sizeof(a->name), "%s", name);
	sigfillset(&all);
	/* A fault of the thread itself cannot be blocked: the kernel would kill the process past every handler. */
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGILL);
	sigdelset(&all, SIGFPE);
	sigdelset(&all, SIGTRAP);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&t->t, NULL, thread_main, a);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc != 0)
		free(a);
	return -rc;
}

void thread_join(struct thread *t)
{
	pthread_join(t->t, NULL);
}
