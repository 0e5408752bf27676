/* SPDX-License-Identifier: MIT */
/*
 * The stub's short cut: the load of a mirrored register, with no other process involved.
 *
 * What is at the address is asked of the kernel each time (PROCMAP_QUERY on a descriptor of /proc/self/maps, a
 * third of a microsecond), as the program may have unmapped or remapped anything: the file and the offset in it are
 * then looked up in the mirror. An address whose page is not in the mirror is remembered until the directory changes.
 *
 * The descriptor is the stub's own, at a number that the supervisor reserved. The program may close it all the same:
 * then it is opened again. It shows the memory of the process that opened it, so a forked child, whose struct
 * stub_fork is wiped, needs its own and replaces what it inherited. Kernels before 6.11 have no PROCMAP_QUERY: no
 * short cut.
 */
#include "front/stub/fast.h"
#include "front/stub/mirror.h"
#include "front/stub/stub.h"
#include "front/stub/sys.h"
#include <stdbool.h>

#define DATA ((struct stub_data *)STUB_DATA)
#define FORK ((struct stub_fork *)STUB_FORK)
#define MIRROR ((const struct stub_mirror_file *)STUB_MIRROR)

#define PROCMAP_QUERY 0xc0686611u
struct procmap_query {
	uint64_t size, flags, addr;
	uint64_t start, end, vma_flags, page_size, offset, ino;
	uint32_t major, minor;
	uint32_t name_size, build_id_size;
	uint64_t name, build_id;
};
_Static_assert(sizeof(struct procmap_query) == 104, "kernel layout");

static long query(int fd, uint64_t addr, struct procmap_query *q)
{
	q->size = sizeof(*q);
	q->flags = 0;
	q->addr = addr;
	q->name_size = q->build_id_size = 0;
	q->name = q->build_id = 0;
	return stub_syscall(SYS_ioctl, (uint64_t)fd, PROCMAP_QUERY, (uint64_t)q, 0);
}

/* Is the descriptor one on a maps file (perhaps the parent's), and not what the program has put there? */
static bool is_maps(int fd)
{
	struct procmap_query q;
	long rc = query(fd, STUB_TEXT, &q);

	return rc != -E_NOTTY && rc != -E_BADF && rc != -E_INVAL;
}

/* A new descriptor at the reserved number, or the next free one above. 0: not possible, do not try again. */
static int maps_open(void)
{
	static const char path[] = "/proc/self/maps";
	struct procmap_query q;
	long low, fd;
	int32_t none = 0;

	if (DATA->maps_fd && !FORK->maps_fd && is_maps(DATA->maps_fd))
		stub_syscall(SYS_close, (uint64_t)DATA->maps_fd, 0, 0, 0); /* the parent's */
	low = stub_syscall(SYS_open, (uint64_t)path, O_RDONLY_CLOEXEC, 0, 0);
	if (low < 0)
		goto bad;
	fd = stub_syscall(SYS_fcntl, (uint64_t)low, F_DUPFD_CLOEXEC, DATA->own_fd, 0);
	stub_syscall(SYS_close, (uint64_t)low, 0, 0, 0);
	if (fd < 0)
		goto bad;
	if (query((int)fd, STUB_TEXT, &q)) {
		stub_syscall(SYS_close, (uint64_t)fd, 0, 0, 0);
		goto bad;
	}
	if (!__atomic_compare_exchange_n(&FORK->maps_fd, &none, (int32_t)fd, false, __ATOMIC_SEQ_CST,
					 __ATOMIC_SEQ_CST)) {
		stub_syscall(SYS_close, (uint64_t)fd, 0, 0, 0); /* another thread was first */
		return none;
	}
	DATA->maps_fd = (int32_t)fd;
	return (int)fd;

bad:
	FORK->maps_bad = 1;
	return 0;
}

static bool locate(uint64_t addr, struct procmap_query *q)
{
	for (int tries = 0; tries < 2; tries++) {
		int32_t fd = __atomic_load_n(&FORK->maps_fd, __ATOMIC_ACQUIRE);
		long rc;

		if (!fd)
			fd = maps_open();
		if (!fd)
			return false;
		rc = query(fd, addr, q);
		if (!rc)
			return true;
		if (rc != -E_BADF && rc != -E_NOTTY && rc != -E_INVAL)
			return false; /* nothing there, or the file shows a memory that is gone */
		/* The program has closed it, or put its own there. */
		__atomic_compare_exchange_n(&FORK->maps_fd, &fd, 0, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
		DATA->maps_fd = 0;
	}
	return false;
}

static const struct mirror_page *find_page(const struct procmap_query *q, uint64_t addr)
{
	uint64_t offset = (addr - q->start + q->offset) & ~0xfffull;
	uint32_t i = stub_mirror_hash(q->ino, offset);

	for (unsigned n = 0; n < STUB_MIRROR_ENTRIES; n++, i++) {
		const struct stub_mirror_entry *e = &MIRROR->entry[i % STUB_MIRROR_ENTRIES];
		uint64_t ino = __atomic_load_n(&e->ino, __ATOMIC_ACQUIRE);

		if (!ino)
			break;
		if (ino == q->ino && e->offset == offset && e->major == q->major && e->minor == q->minor)
			return e->page < STUB_MIRROR_PAGES ? &MIRROR->page[e->page] : NULL;
	}
	return NULL;
}

int stub_fast_load(uint64_t addr, unsigned width, uint64_t *value)
{
	const struct mirror_page *page;
	struct procmap_query q;
	uint64_t seq, miss;
	uint64_t *missed;

	if (!DATA->own_fd || FORK->maps_bad || !mirror_shape_ok(addr, width))
		return 0;
	seq = __atomic_load_n(&MIRROR->seq, __ATOMIC_ACQUIRE);
	if (seq & 1)
		return 0;
	/* Page number and directory's number in one word: never half written. */
	miss = (addr >> 12) << 28 | (seq >> 1 & 0xfffffff);
	missed = &FORK->missed[(addr >> 12) % STUB_MISSED];
	if (__atomic_load_n(missed, __ATOMIC_RELAXED) == miss)
		return 0;
	if (!locate(addr, &q))
		return 0;
	page = find_page(&q, addr);
	if (page && mirror_load(page, addr & 0xfff, width, value))
		return __atomic_load_n(&MIRROR->seq, __ATOMIC_ACQUIRE) == seq;
	if (!page)
		__atomic_store_n(missed, miss, __ATOMIC_RELAXED);
	return 0;
}
