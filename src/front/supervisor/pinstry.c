/* SPDX-License-Identifier: MIT */
/*
 * Do true pins work here? All of it is tried, with a child that has the stub's text and shares our descriptors: its page
 * is pinned by a call that it is made to do, and must be what DMA finds after it has mapped another there, and after it
 * has ended.
 */
#include "front/stub/blob.h"
#include "front/supervisor/priv.h"
#include "mem/mem.h"
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum step { STARTED, READY, PINNED, REPLACED, FAILED };

struct trial {
	struct mm mm;
	struct task task;
	char *page;            /* at the same address in both */
	atomic_int *step;      /* shared */
	pid_t child;
	double us;
};

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static char *new_page(void *at)
{
	return mmap(at, UVFIO_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | (at ? MAP_FIXED : 0), -1, 0);
}

static _Noreturn void child_main(struct trial *t)
{
	void *text;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	text = mmap((void *)STUB_TEXT, STUB_TEXT_SIZE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (text != (void *)STUB_TEXT) {
		atomic_store(t->step, FAILED);
		_exit(1);
	}
	memcpy(text, stub_blob, stub_blob_size);
	mprotect(text, STUB_TEXT_SIZE, PROT_READ | PROT_EXEC);
	strcpy(t->page, "before");
	atomic_store(t->step, READY);
	while (atomic_load(t->step) != PINNED)
		usleep(100);
	new_page(t->page);
	strcpy(t->page, "after");
	atomic_store(t->step, REPLACED);
	for (;;)
		pause();
}

static int trial_area(struct mm *mm, uva_t at, struct mm_area *out)
{
	struct trial *t = container_of(mm, struct trial, mm);

	*out = (struct mm_area){ .start = (uintptr_t)t->page, .last = (uintptr_t)t->page + UVFIO_PAGE_SIZE - 1,
				 .readable = true, .writable = true };
	return at >= out->start && at <= out->last ? 0 : -EFAULT;
}

static int trial_pin(struct mm *mm, int ring, unsigned slot, uva_t uva, uint64_t length)
{
	struct trial *t = container_of(mm, struct trial, mm);
	double start = now_us();
	long rc = super_trace_attach(t->child, 0);

	if (rc)
		return -EOPNOTSUPP;
	if (super_trace_wait() != t->child)
		return -ESRCH;
	rc = super_pin_there(t->child, ring, slot, uva, length);
	super_trace_detach(t->child, 0);
	t->us = now_us() - start;
	return (int)rc;
}

static int trial_move(struct mm *mm, void *dst, uva_t src, size_t n)
{
	return -EFAULT; /* by address is not what is tried */
}

static int trial_write(struct mm *mm, uva_t dst, const void *src, size_t n)
{
	return -EFAULT;
}

static uint64_t trial_limit(struct mm *mm)
{
	return UINT64_MAX;
}

static void trial_free(struct mm *mm)
{
}

static const struct mm_ops trial_ops = {
	.area = trial_area, .pin = trial_pin, .read = trial_move, .write = trial_write, .memlock_limit = trial_limit,
	.free = trial_free,
};

static bool wait_step(struct trial *t, enum step want)
{
	for (unsigned i = 0; i < 20000 && atomic_load(t->step) != (int)want && atomic_load(t->step) != FAILED; i++)
		usleep(100);
	return atomic_load(t->step) == (int)want;
}

static void child_end(struct trial *t)
{
	if (!t->child)
		return;
	kill(t->child, SIGKILL);
	waitpid(t->child, NULL, 0);
	t->child = 0;
}

/* What DMA finds, with the child alive and dead. */
static int try_dma(struct trial *t, struct mem *mem)
{
	const struct mem_piece *piece;
	struct mem_pin *pin;
	char seen[8] = "";
	int why, rc;

	rc = mem_pin(mem, &t->task, (uintptr_t)t->page, UVFIO_PAGE_SIZE, 0, MEM_READ | MEM_WRITE, false, &pin);
	if (rc)
		return rc;
	if (mem_pins_unheld(mem, &why))
		rc = -why;
	atomic_store(t->step, PINNED);
	mem_pin_pieces(pin, &piece);
	if (!rc && !wait_step(t, REPLACED))
		rc = -EIO;
	for (unsigned i = 0; !rc && i < 2; i++) {
		memset(seen, 0, sizeof(seen));
		rc = mem_read(mem, piece->phys, seen, sizeof(seen)) || strcmp(seen, "before") != 0 ? -EIO : 0;
		if (i == 0)
			child_end(t);
	}
	mem_unpin(pin);
	return rc;
}

static int try_child(struct trial *t, struct mem *mem)
{
	int rc;

	t->child = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, 0);
	if (t->child == 0)
		child_main(t);
	if (t->child < 0)
		return -errno;
	rc = wait_step(t, READY) ? try_dma(t, mem) : -EIO;
	child_end(t);
	return rc;
}

int super_try_pins(double *us)
{
	struct trial t = { .mm.ops = &trial_ops, .page = new_page(NULL) };
	struct mem *mem;
	int rc = mem_create(NULL, &mem);

	t.step = mmap(NULL, sizeof(*t.step), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (rc)
		return rc;
	ref_init(&t.mm.ref);
	t.task.mm = &t.mm;
	if (t.page == MAP_FAILED || (void *)t.step == MAP_FAILED)
		rc = -ENOMEM;
	if (!rc)
		rc = mem_pin_truly(mem);
	if (!rc)
		rc = try_child(&t, mem);
	mem_destroy(mem);
	if (t.page != MAP_FAILED)
		munmap(t.page, UVFIO_PAGE_SIZE);
	if ((void *)t.step != MAP_FAILED)
		munmap(t.step, sizeof(*t.step));
	*us = t.us;
	return rc;
}
