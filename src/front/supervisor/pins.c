/* SPDX-License-Identifier: MIT */
/*
 * True pins (mem/hold.c): a thread of the program makes its memory a buffer of a ring of ours. It is the caller whose call
 * pins, stopped for it (stop.c); the ring is among its descriptors until it is answered. Memory of another process than the
 * caller's is not reached so.
 *
 * A program that has put itself under a seccomp filter of its own may be killed by it for a call that it does not
 * expect, so it is not made to do any.
 */
#include "front/supervisor/priv.h"
#include <linux/io_uring.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define RED_ZONE 128

/* What the call needs in the program's memory. */
struct request {
	struct io_uring_rsrc_update2 update;
	struct iovec range;
};
#define WORDS (sizeof(struct request) / sizeof(long))

static bool poke(pid_t tid, uint64_t at, const long words[WORDS])
{
	for (unsigned i = 0; i < WORDS; i++) {
		if (ptrace(PTRACE_POKEDATA, tid, at + i * sizeof(long), words[i]) < 0)
			return false;
	}
	return true;
}

static bool peek(pid_t tid, uint64_t at, long words[WORDS])
{
	errno = 0;
	for (unsigned i = 0; i < WORDS && errno == 0; i++)
		words[i] = ptrace(PTRACE_PEEKDATA, tid, at + i * sizeof(long), 0);
	return errno == 0;
}

/* Bytes that nobody uses below the thread's stack; where that has not grown so far, some that it uses. */
static uint64_t scratch(pid_t tid, long saved[WORDS])
{
	uint64_t sp, at;

	if (super_trace_stack(tid, &sp))
		return 0;
	at = ALIGN_DOWN(sp - RED_ZONE - sizeof(struct request), 16);
	if (peek(tid, at, saved))
		return at;
	at = ALIGN_DOWN(sp, 16);
	return peek(tid, at, saved) ? at : 0;
}

long super_pin_there(pid_t tid, int fd, unsigned slot, uva_t uva, uint64_t length)
{
	struct request q = { .update = { .offset = slot, .nr = 1 }, .range = { (void *)uva, length } };
	uint64_t args[6] = { (uint64_t)fd, IORING_REGISTER_BUFFERS_UPDATE, 0, sizeof(q.update) };
	long saved[WORDS], words[WORDS], rc;
	uint64_t at = scratch(tid, saved);

	if (!at)
		return -EOPNOTSUPP;
	q.update.data = at + offsetof(struct request, range);
	args[2] = at;
	memcpy(words, &q, sizeof(q));
	rc = poke(tid, at, words) ? super_trace_call_quiet(tid, SYS_io_uring_register, args) : -EOPNOTSUPP;
	if (rc != -ESRCH)
		poke(tid, at, saved);
	return rc == 1 ? 0 : rc < 0 ? rc : -EFAULT;
}

struct range {
	unsigned slot;
	uva_t uva;
	uint64_t length;
};

static long pin_there(pid_t tid, int at, void *ctx)
{
	const struct range *r = ctx;

	return super_pin_there(tid, at, r->slot, r->uva, r->length);
}

/* Has the thread filters beyond ours, and those that we are under as well? */
static bool filtered(struct super *s, pid_t tid)
{
	unsigned ours = atomic_load(&s->filters);
	uint64_t n;

	if (!ours && super_proc_status(getpid(), "Seccomp_filters", 10, &n) == 0)
		atomic_store(&s->filters, ours = (unsigned)n + 1);
	return !ours || super_proc_status(tid, "Seccomp_filters", 10, &n) || n != ours;
}

int super_pin(struct mm *mm, int ring, unsigned slot, uva_t uva, uint64_t length)
{
	struct super_call *c = super_call_current();
	struct range r = { slot, uva, length };
	long rc = -EOPNOTSUPP;

	if (container_of(mm, struct super_mm, mm)->s->o->without & SUPER_WITHOUT_PINS)
		return -EPERM;
	if (!c || !c->task_made || &c->task.smm->mm != mm || atomic_load(&c->task.smm->stale))
		return -EOPNOTSUPP;
	if (!filtered(c->s, (pid_t)c->n->pid))
		rc = super_call_within(c, ring, pin_there, &r);
	return rc == -EOPNOTSUPP && !super_call_valid(c) ? -ESRCH : (int)rc;
}
