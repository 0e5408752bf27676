/* SPDX-License-Identifier: MIT */
/*
 * Pages of private memory. Whoever has them can make them a registered buffer of an io_uring (struct mm_ops.pin): the
 * kernel then pins the pages themselves, and who has the ring moves bytes from and to them, by the addresses they had, also
 * when something else is mapped there by now, or nobody runs there any more. It is what pinning for VFIO is, with the same
 * function of the kernel underneath.
 *
 * A program has the ring in its hands for a moment, maybe for longer than it should, and could change what we ask of it
 * before the kernel sees it. So rings are of one address space each, and are restricted for good before anybody sees them:
 * they move bytes between what was put into their slots and their own pipe, and do nothing else for anybody. A ring
 * has as many slots as Linux allows; where they do not suffice there are several. An empty one is kept for the next
 * pin, until its address space is gone and somebody else needs one.
 *
 * The other end of every transfer is a pipe, empty before and after: both ends of it are then done within the system
 * call that asks for them, which files in memory are not. What is larger than the pipe goes in pieces. A program that
 * has the ring could still keep us from an answer, so a transfer has a limit, and a ring that does not do as it should
 * is never used again.
 */
#include "base/ids.h"
#include "mem/priv.h"
#include <fcntl.h>
#include <liburing.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SLOTS      (1u << 14) /* Linux's limit */
#define LIMIT_SECS 10

struct mem_ring {
	struct mm *mm;            /* [I] whose; with a reference. NULL: a trial */
	struct mutex lock;        /* RANK_MEM_RING */
	struct io_uring uring;    /* [lock] but for its descriptor */
	int pipe[2];              /* [lock] */
	size_t room;              /* [I] of the pipe, bytes */
	uint64_t serial;          /* [lock] of the last transfer */
	bool broken;              /* [lock] */
	struct ids ids;           /* [rings lock] slots in use, */
	unsigned used;            /* [rings lock] and their number */
	LIST_ENTRY(mem_ring) link; /* [rings lock] */
};
LIST_HEAD(ring_list, mem_ring);

struct mem_rings {
	struct mutex lock;        /* RANK_MEM */
	struct ring_list all;     /* [lock] */
};

/* ---- life ---- */

static void ring_destroy(struct mem_ring *r)
{
	assert(r->used == 0);
	io_uring_queue_exit(&r->uring);
	close(r->pipe[0]);
	close(r->pipe[1]);
	ids_fini(&r->ids);
	mutex_fini(&r->lock);
	mm_put(r->mm);
	free(r);
}

static int ring_pipe(struct mem_ring *r)
{
	int room;

	if (pipe2(r->pipe, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	room = fcntl(r->pipe[0], F_GETPIPE_SZ);
	r->room = room > 0 ? (size_t)room : UVFIO_PAGE_SIZE;
	return 0;
}

/* Some of these calls are missing from the exports of liburing 2.3. */
static int ring_register(int ring, unsigned what, void *arg, unsigned n)
{
	return syscall(SYS_io_uring_register, ring, what, arg, n) < 0 ? -errno : 0;
}

/* From here on it does what it is for, and nothing else. */
static int ring_restrict(struct mem_ring *r)
{
	struct io_uring_restriction only[] = {
		{ .opcode = IORING_RESTRICTION_REGISTER_OP, .register_op = IORING_REGISTER_BUFFERS_UPDATE },
		{ .opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_READ_FIXED },
		{ .opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_WRITE_FIXED },
		{ .opcode = IORING_RESTRICTION_SQE_FLAGS_REQUIRED, .sqe_flags = IOSQE_FIXED_FILE },
	};
	int rc = io_uring_register_files(&r->uring, r->pipe, 2);

	if (!rc)
		rc = io_uring_register_buffers_sparse(&r->uring, SLOTS);
	if (!rc)
		rc = ring_register(mem_ring_fd(r), IORING_REGISTER_RESTRICTIONS, only, ARRAY_SIZE(only));
	return rc ? rc : ring_register(mem_ring_fd(r), IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}

static int ring_create(struct mm *mm, struct mem_ring **out)
{
	struct mem_ring *r = calloc(1, sizeof(*r));
	int rc;

	if (!r)
		return -ENOMEM;
	rc = ring_pipe(r);
	if (rc)
		goto err_free;
	rc = io_uring_queue_init(4, &r->uring, IORING_SETUP_R_DISABLED);
	if (rc)
		goto err_pipe;
	rc = ring_restrict(r);
	if (rc)
		goto err_ring;
	mutex_init(&r->lock, RANK_MEM_RING);
	r->mm = mm ? mm_get(mm) : NULL;
	*out = r;
	return 0;

err_ring:
	io_uring_queue_exit(&r->uring);
err_pipe:
	close(r->pipe[0]);
	close(r->pipe[1]);
err_free:
	free(r);
	return rc;
}

int mem_ring_fd(const struct mem_ring *r)
{
	return r->uring.ring_fd;
}

/* ---- slots ---- */

int mem_pin_slot(int ring, unsigned slot, uva_t uva, uint64_t length)
{
	struct iovec v = { (void *)(uintptr_t)uva, length };
	struct io_uring_rsrc_update2 u = { .offset = slot, .data = (uintptr_t)&v, .nr = 1 };
	long n = syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS_UPDATE, &u, sizeof(u));

	if (n < 0)
		return -errno;
	return n == 1 ? 0 : -EFAULT;
}

static bool slot_take_locked(struct mem_ring *r, unsigned *slot)
{
	if (r->used == SLOTS || ids_alloc(&r->ids, slot))
		return false;
	r->used++;
	return true;
}

static int reserve_locked(struct mem_rings *all, struct mm *mm, struct mem_ring **out, unsigned *slot)
{
	struct mem_ring *r;

	LIST_FOREACH(r, &all->all, link) {
		if (r->mm == mm && slot_take_locked(r, slot)) {
			*out = r;
			return 0;
		}
	}
	return -ENOENT;
}

/* Rings of programs that have ended, and whose pins have too. */
static void sweep_locked(struct mem_rings *all, struct ring_list *gone)
{
	struct mem_ring *r, *next;

	for (r = LIST_FIRST(&all->all); r; r = next) {
		next = LIST_NEXT(r, link);
		if (r->used || mm_alive(r->mm))
			continue;
		LIST_REMOVE(r, link);
		LIST_INSERT_HEAD(gone, r, link);
	}
}

static void destroy_all(struct ring_list *l)
{
	struct mem_ring *r;

	while ((r = LIST_FIRST(l))) {
		LIST_REMOVE(r, link);
		ring_destroy(r);
	}
}

int mem_ring_reserve(struct mem *mem, struct mm *mm, struct mem_ring **out, unsigned *slot)
{
	struct ring_list gone = LIST_HEAD_INITIALIZER(gone);
	struct mem_rings *all = mem->rings;
	struct mem_ring *r;
	int rc;

	mutex_lock(&all->lock);
	rc = reserve_locked(all, mm, out, slot);
	mutex_unlock(&all->lock);
	if (rc == 0)
		return 0;
	rc = ring_create(mm, &r);
	if (rc)
		return rc;
	mutex_lock(&all->lock);
	sweep_locked(all, &gone);
	LIST_INSERT_HEAD(&all->all, r, link);
	rc = slot_take_locked(r, slot) ? 0 : -ENOMEM;
	*out = r;
	mutex_unlock(&all->lock);
	destroy_all(&gone);
	return rc;
}

void mem_ring_abandon(struct mem *mem, struct mem_ring *r, unsigned slot)
{
	SCOPED_LOCK(&mem->rings->lock);
	ids_free(&r->ids, slot);
	r->used--;
}

void mem_ring_clear(struct mem *mem, struct mem_ring *r, unsigned slot)
{
	mem_pin_slot(mem_ring_fd(r), slot, 0, 0);
	mem_ring_abandon(mem, r, slot);
}

/* ---- transfers ---- */

/* Between the pipe and the slot. Bytes; -errno; anything but @n means that it cannot be said what is in the pipe. */
static int transfer_locked(struct mem_ring *r, unsigned slot, uva_t uva, unsigned n, bool into) REQUIRES(&r->lock)
{
	struct __kernel_timespec limit = { .tv_sec = LIMIT_SECS };
	struct io_uring_sqe *sqe = io_uring_get_sqe(&r->uring);
	struct io_uring_cqe *cqe = NULL;
	int rc;

	if (!sqe)
		return -EIO;
	if (into)
		io_uring_prep_read_fixed(sqe, 0, (void *)(uintptr_t)uva, n, 0, (int)slot);
	else
		io_uring_prep_write_fixed(sqe, 1, (void *)(uintptr_t)uva, n, 0, (int)slot);
	sqe->flags = IOSQE_FIXED_FILE; /* of pipe[] */
	sqe->user_data = ++r->serial;
	rc = io_uring_submit_and_wait_timeout(&r->uring, &cqe, 1, &limit, NULL);
	while (rc == -EINTR)
		rc = io_uring_wait_cqe_timeout(&r->uring, &cqe, &limit);
	if (rc < 0 || !cqe)
		return rc < 0 ? rc : -EIO;
	rc = cqe->user_data == r->serial ? cqe->res : -EIO;
	io_uring_cqe_seen(&r->uring, cqe);
	return rc;
}

static bool move_piece_locked(struct mem_ring *r, unsigned slot, uva_t uva, void *buf, size_t n, bool into)
	REQUIRES(&r->lock)
{
	if (into && (size_t)TEMP_FAILURE_RETRY(write(r->pipe[1], buf, n)) != n)
		return false;
	if (transfer_locked(r, slot, uva, (unsigned)n, into) != (int)n)
		return false;
	return into || (size_t)TEMP_FAILURE_RETRY(read(r->pipe[0], buf, n)) == n;
}

int mem_ring_move(struct mem_ring *r, unsigned slot, uva_t uva, void *buf, size_t n, bool write)
{
	size_t step;

	SCOPED_LOCK(&r->lock);
	for (size_t done = 0; done < n; done += step) {
		step = MIN(n - done, r->room);
		if (r->broken || !move_piece_locked(r, slot, uva + done, (char *)buf + done, step, write)) {
			r->broken = true;
			return -EFAULT;
		}
	}
	return 0;
}

/* ---- is it allowed here? ---- */

static char *new_page(void *at)
{
	void *p = mmap(at, UVFIO_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | (at ? MAP_FIXED : 0), -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* Both directions reach the page that was there first. */
static int try_page(struct mem_ring *r, char *page)
{
	static const char before[] = "pinned";
	char seen[sizeof(before)] = "";
	int rc;

	memcpy(page, before, sizeof(before));
	rc = mem_pin_slot(mem_ring_fd(r), 0, (uintptr_t)page, UVFIO_PAGE_SIZE);
	if (rc)
		return rc;
	if (!new_page(page))
		return -ENOMEM;
	rc = mem_ring_move(r, 0, (uintptr_t)page + 64, (void *)before, sizeof(before), true);
	if (!rc)
		rc = mem_ring_move(r, 0, (uintptr_t)page + 64, seen, sizeof(seen), false);
	if (!rc && (memcmp(seen, before, sizeof(seen)) != 0 || page[64]))
		rc = -EIO;
	if (!rc)
		rc = mem_ring_move(r, 0, (uintptr_t)page, seen, sizeof(seen), false);
	return rc ? rc : memcmp(seen, before, sizeof(seen)) == 0 ? 0 : -EIO;
}

static int try_ring(void)
{
	char *page = new_page(NULL);
	struct mem_ring *r;
	int rc;

	if (!page)
		return -ENOMEM;
	rc = ring_create(NULL, &r);
	if (!rc) {
		rc = try_page(r, page);
		ring_destroy(r);
	}
	munmap(page, UVFIO_PAGE_SIZE);
	return rc;
}

int mem_pin_truly(struct mem *mem)
{
	struct mem_rings *all;
	int rc;

	if (mem->rings)
		return 0;
	rc = try_ring();
	all = rc ? NULL : calloc(1, sizeof(*all));
	if (!rc && !all)
		rc = -ENOMEM;
	mem->denied = -rc;
	if (rc)
		return rc;
	mutex_init(&all->lock, RANK_MEM);
	LIST_INIT(&all->all);
	mem->rings = all;
	return 0;
}

void mem_rings_destroy(struct mem_rings *all)
{
	if (!all)
		return;
	destroy_all(&all->all);
	mutex_fini(&all->lock);
	free(all);
}
