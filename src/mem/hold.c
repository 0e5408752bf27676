/* SPDX-License-Identifier: MIT */
/*
 * What of a pin is held by its pages (ring.c): runs of private memory, each a slot of a ring. A run goes over areas that
 * are alike, as far as a slot may. What cannot be held stays reached by address, and is counted, since a user who has asked
 * for true pins wants to know: memory that may only be read (Linux registers buffers for writing), memory of a program that
 * is not the one that calls, whatever the kernel's own count of locked pages refuses. Memory that is not there is a
 * fault, as VFIO finds when it pins.
 */
#include "mem/priv.h"
#include <string.h>

struct hold {
	uint64_t at, length; /* in the pin */
	uva_t uva;           /* where it was then */
	struct mem_ring *ring;
	unsigned slot;
};

/* By place in the pin. */
struct mem_holds {
	unsigned n, room;
	struct hold hold[];
};

/* ---- what could not be held ---- */

const char *mem_pin_reason(int why)
{
	switch (why) {
	case EPERM:
	case EACCES:
	case ENOSYS:
		return "io_uring is not allowed here (a container's seccomp profile, or kernel.io_uring_disabled)";
	case EINVAL:
		return "io_uring is too old here: Linux 5.19 is needed";
	case ENOMEM:
		return "the host's limit of locked memory (ulimit -l) is used up";
	case EMFILE:
	case ENFILE:
		return "no descriptors are left";
	case EROFS:
		return "memory that may only be read cannot be held";
	case EOPNOTSUPP:
		return "no thread of the memory's program could be made to do it";
	case EFAULT:
		return "the host does not pin this kind of memory";
	default:
		return strerror(why);
	}
}

uint64_t mem_pins_unheld(struct mem *mem, int *why)
{
	uint64_t n = atomic_load(&mem->unheld);

	*why = n ? atomic_load(&mem->unheld_why) : mem->denied;
	return n;
}

static void unheld(struct mem_pin *pin, int why)
{
	struct mem *mem = pin->mem;
	int none = 0;

	if (why == ESRCH)
		return; /* the program is ending */
	if (atomic_compare_exchange_strong(&mem->unheld_why, &none, why) && mem->log)
		log_msg(mem->log, LOG_WARN,
			"uvfio: no true pin of memory of %.16s (pid %d): %s; such memory is reached by address: DMA goes to "
			"what the program has there by then", pin->mm->comm, pin->mm->tgid, mem_pin_reason(why));
	atomic_fetch_add(&mem->unheld, 1);
}

/* ---- holding ---- */

static struct hold *hold_room(struct mem_pin *pin)
{
	struct mem_holds *h = pin->holds;

	if (!h || h->n == h->room) {
		unsigned n = h ? h->n : 0, room = n ? 2 * n : 1;

		h = realloc(h, sizeof(*h) + room * sizeof(h->hold[0]));
		if (!h)
			return NULL;
		h->n = n;
		h->room = room;
		pin->holds = h;
	}
	return &h->hold[h->n];
}

static int hold_run(struct mem_pin *pin, uint64_t at, uint64_t length)
{
	struct hold *h = hold_room(pin);
	int rc;

	if (!h)
		return -ENOMEM;
	*h = (struct hold){ .at = at, .length = length, .uva = pin->uva + at };
	rc = mem_ring_reserve(pin->mem, pin->mm, &h->ring, &h->slot);
	if (rc)
		return rc;
	rc = pin->mm->ops->pin(pin->mm, mem_ring_fd(h->ring), h->slot, h->uva, length);
	if (rc)
		mem_ring_abandon(pin->mem, h->ring, h->slot);
	else
		pin->holds->n++;
	return rc;
}

static bool alike(const struct mm_area *a, const struct mm_area *b)
{
	return a->writable == b->writable && a->shared == b->shared;
}

/* How far from @at to @end it is all alike, and what it is like: *@first. 0: nothing is there any more */
static uint64_t run_length(struct mem_pin *pin, uint64_t at, uint64_t end, struct mm_area *first)
{
	uint64_t stop = MIN(end, at + MEM_RING_BUFFER_MAX), to = at;
	struct mm_area a;

	while (to < stop) {
		memset(&a, 0, sizeof(a));
		if (pin->mm->ops->area(pin->mm, pin->uva + to, &a) || a.file)
			break;
		if (to == at)
			*first = a;
		else if (!alike(first, &a))
			break;
		to += MIN(stop - to - 1, a.last - (pin->uva + to)) + 1;
	}
	return to - at;
}

static int hold_range(struct mem_pin *pin, uint64_t at, uint64_t end)
{
	struct mm_area a = { 0 };

	while (at < end) {
		uint64_t n = run_length(pin, at, end, &a);
		int rc;

		if (n == 0)
			return -EFAULT;
		rc = a.writable ? hold_run(pin, at, n) : -EROFS;
		if ((rc == -EFAULT && !a.shared) || rc == -TASK_RESTART)
			return rc;
		if (rc)
			unheld(pin, -rc);
		at += n;
	}
	return 0;
}

int mem_hold_pin(struct mem_pin *pin)
{
	uint64_t at = 0;
	int rc = 0;

	if (!pin->mem->rings || !pin->mm->ops->pin)
		return 0;
	for (unsigned i = 0; !rc && i < pin->npieces; i++) {
		const struct mem_piece *p = &pin->pieces[i];

		if (p->phys >> MEM_REGION_SHIFT && !mem_host(pin->mem, p->phys, 1))
			rc = hold_range(pin, at, at + p->length);
		at += p->length;
	}
	return rc;
}

void mem_hold_release(struct mem_pin *pin)
{
	struct mem_holds *h = pin->holds;

	for (unsigned i = 0; h && i < h->n; i++)
		mem_ring_clear(pin->mem, h->hold[i].ring, h->hold[i].slot);
	free(h);
	pin->holds = NULL;
}

/* ---- access ---- */

/* The first one that ends behind @at. */
static unsigned hold_from(const struct mem_holds *h, uint64_t at)
{
	unsigned lo = 0, hi = h->n;

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;

		if (h->hold[mid].at + h->hold[mid].length <= at)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

int mem_hold_access(const struct mem_pin *pin, uint64_t at, void *buf, size_t *n, bool write)
{
	const struct mem_holds *all = pin->holds;
	unsigned i = hold_from(all, at);
	const struct hold *h = &all->hold[i];

	if (i == all->n)
		return 1;
	if (at < h->at) {
		*n = MIN(*n, h->at - at);
		return 1;
	}
	*n = MIN(*n, h->at + h->length - at);
	return mem_ring_move(h->ring, h->slot, h->uva + (at - h->at), buf, *n, write);
}
