/* SPDX-License-Identifier: MIT */
/*
 * Locks that know their rank. Thin wrappers over pthread; the only place besides base/thread.c that
 * names pthread. With UVFIO_LOCK_CHECK a thread that takes locks out of order aborts with both names.
 */
#ifndef UVFIO_BASE_LOCK_H
#define UVFIO_BASE_LOCK_H

#include "base/defs.h"
#include "base/lockrank.h"
#include <pthread.h>

struct CAPABILITY("mutex") mutex {
	pthread_mutex_t m;
	enum lock_rank rank;
};

struct CAPABILITY("rwlock") rwlock {
	pthread_rwlock_t rw; /* prefers writers, so readers must not recurse */
	enum lock_rank rank;
};

struct cond {
	pthread_cond_t c; /* CLOCK_MONOTONIC */
};

void mutex_init(struct mutex *l, enum lock_rank rank);
void mutex_fini(struct mutex *l);
void mutex_lock(struct mutex *l) ACQUIRES(l);
bool mutex_trylock(struct mutex *l) MUST_CHECK;
void mutex_unlock(struct mutex *l) RELEASES(l);

void rwlock_init(struct rwlock *l, enum lock_rank rank);
void rwlock_fini(struct rwlock *l);
void rwlock_read(struct rwlock *l) NO_TSA;
void rwlock_write(struct rwlock *l) NO_TSA;
bool rwlock_trywrite(struct rwlock *l) NO_TSA MUST_CHECK;
void rwlock_unlock(struct rwlock *l) NO_TSA;

void cond_init(struct cond *c);
void cond_fini(struct cond *c);
/** cond_wait - sleep until signalled; @l is held on entry and on return */
void cond_wait(struct cond *c, struct mutex *l) REQUIRES(l);
/** cond_wait_ms - as cond_wait, at most @ms milliseconds; returns false when the time ran out */
bool cond_wait_ms(struct cond *c, struct mutex *l, unsigned ms) REQUIRES(l);
void cond_signal(struct cond *c);
void cond_broadcast(struct cond *c);

struct thread {
	pthread_t t;
};

/**
 * thread_start - run @fn(@arg) on a new thread, all signals blocked but those of the thread's own faults
 * @name: shown by ps, at most 15 characters
 * Return: 0; -EAGAIN, -ENOMEM
 */
int thread_start(struct thread *t, const char *name, void (*fn)(void *), void *arg);
/** thread_join - wait for the thread to return */
void thread_join(struct thread *t);

static inline void mutex_scope_end(struct mutex **l) NO_TSA
{
	mutex_unlock(*l);
}
static inline void rwlock_scope_end(struct rwlock **l)
{
	rwlock_unlock(*l);
}
#define LOCK_CAT_(a, b) a##b
#define LOCK_CAT(a, b)  LOCK_CAT_(a, b)

/* Holds the lock until the end of the enclosing scope. */
#define SCOPED_LOCK(l)                                                                             \
	__attribute__((cleanup(mutex_scope_end), unused)) struct mutex *LOCK_CAT(scope_, __LINE__) = \
		(mutex_lock(l), (l))
#define SCOPED_READ(l)                                                                               \
	__attribute__((cleanup(rwlock_scope_end), unused)) struct rwlock *LOCK_CAT(scope_, __LINE__) = \
		(rwlock_read(l), (l))
#define SCOPED_WRITE(l)                                                                              \
	__attribute__((cleanup(rwlock_scope_end), unused)) struct rwlock *LOCK_CAT(scope_, __LINE__) = \
		(rwlock_write(l), (l))

#endif
