/* SPDX-License-Identifier: MIT */
/*
 * Device memory that programs map. While blocked, the file is empty, so every page of every mapping of it
 * raises SIGBUS, and the contents live in memory of the machine's own, where the device still finds them.
 * Only pages that hold something are carried to and fro: a page that was never written stays a hole.
 *
 * No store of a program is lost over that: each either faults or is in the contents. A copy made before the file is cut
 * would miss stores made in between; so the pages are held (a pipe has references to them), the file is cut, upon which
 * nobody can store to them any more, and then they are read. The file is cut from its end, a word of the bitmap at a
 * time. Exceptions: a page's very first store, if it comes between the search for pages that hold something and the cut;
 * a host that allows no pipes, or none so long; and huge pages (shmem_enabled): when only a part of one is cut off, the
 * kernel clears that part, whoever holds it. So a copy is made before, which counts if all that was held is zeros.
 */
#include "mem/priv.h"
#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Memory aside that is kept, though nothing is in it: to give it back and take it again costs more than to clear it. */
#define ASIDE_KEPT 0x10000u
#define WORD_BYTES (64ull << UVFIO_PAGE_SHIFT) /* that a word of the bitmap is about */

struct mem_shm {
	struct rwlock lock;   /* RANK_MEM; read: access, write: block and unblock */
	uint64_t length;      /* [I] page multiple */
	int fd;
	bool blocked;         /* [lock] */
	int pipe[2];          /* [lock] empty but while the file is cut; -1: not made yet, or there can be none */
	char *live;           /* [I] the file, mapped; use only while not blocked */
	char *aside;          /* [I] the contents while blocked */
	char *copy;           /* [lock] of a word's pages, while they are cut off; NULL: the file is cut at once */
	atomic_ullong *held;  /* [I] pages of aside that hold something, a bit each; all clear while not blocked */
};

static size_t held_words(const struct mem_shm *shm)
{
	return (shm->length + WORD_BYTES - 1) / WORD_BYTES;
}

static void shm_hold(struct mem_shm *shm, uint64_t offset, uint64_t n)
{
	for (uint64_t p = offset >> UVFIO_PAGE_SHIFT; p <= (offset + n - 1) >> UVFIO_PAGE_SHIFT; p++)
		atomic_fetch_or(&shm->held[p / 64], BIT64(p % 64));
}

int mem_shm_create(const char *name, uint64_t length, struct mem_shm **out)
{
	struct mem_shm *shm;
	int rc = 0;

	if (length == 0 || length > INT64_MAX - UVFIO_PAGE_SIZE)
		return -EINVAL;
	shm = calloc(1, sizeof(*shm));
	if (!shm)
		return -ENOMEM;
	rwlock_init(&shm->lock, RANK_MEM);
	shm->length = ALIGN_UP(length, UVFIO_PAGE_SIZE);
	shm->live = shm->aside = MAP_FAILED;
	shm->pipe[0] = shm->pipe[1] = -1;
	/* Without MFD_ALLOW_SEALING nobody can seal it against being cut. */
	shm->fd = memfd_create(name, MFD_CLOEXEC);
	shm->held = calloc(held_words(shm), sizeof(*shm->held));
	shm->copy = shm->length > WORD_BYTES ? malloc(WORD_BYTES) : NULL;
	if (shm->fd < 0 || ftruncate(shm->fd, (off_t)shm->length) < 0) {
		rc = -errno;
	} else if (!shm->held || (shm->length > WORD_BYTES && !shm->copy)) {
		rc = -ENOMEM;
	} else {
		shm->live = mmap(NULL, shm->length, PROT_READ | PROT_WRITE, MAP_SHARED, shm->fd, 0);
		shm->aside = mmap(NULL, shm->length, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (shm->live == MAP_FAILED || shm->aside == MAP_FAILED)
			rc = -ENOMEM;
	}
	if (rc) {
		mem_shm_destroy(shm);
		return rc;
	}
	*out = shm;
	return 0;
}

void mem_shm_destroy(struct mem_shm *shm)
{
	if (!shm)
		return;
	if (shm->live != MAP_FAILED)
		munmap(shm->live, shm->length);
	if (shm->aside != MAP_FAILED)
		munmap(shm->aside, shm->length);
	if (shm->fd >= 0)
		close(shm->fd);
	if (shm->pipe[0] >= 0) {
		close(shm->pipe[0]);
		close(shm->pipe[1]);
	}
	free(shm->copy);
	free(shm->held);
	rwlock_fini(&shm->lock);
	free(shm);
}

int mem_shm_fd(struct mem_shm *shm)
{
	return shm->fd;
}

/* What the file has of them, and zeros: a program holds it too, and may have cut it. */
static void read_all(int fd, char *p, uint64_t n, uint64_t offset)
{
	uint64_t done = 0;

	while (done < n) {
		ssize_t k = pread(fd, p + done, n - done, (off_t)(offset + done));

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			break;
		done += (uint64_t)k;
	}
	memset(p + done, 0, n - done);
}

/* Mark the pages that hold something; returns where the first is, or the end. */
static uint64_t data_find_locked(struct mem_shm *shm)
{
	off_t end = 0, data, first = (off_t)shm->length;

	while ((data = lseek(shm->fd, end, SEEK_DATA)) >= 0) {
		end = lseek(shm->fd, data, SEEK_HOLE);
		if (end <= data || data >= (off_t)shm->length)
			break;
		end = MIN(end, (off_t)shm->length);
		first = MIN(first, data);
		shm_hold(shm, (uint64_t)data, (uint64_t)(end - data));
	}
	return (uint64_t)first;
}

static void pipe_make_locked(struct mem_shm *shm)
{
	if (shm->pipe[0] >= 0 || pipe2(shm->pipe, O_CLOEXEC | O_NONBLOCK) < 0)
		return;
	/* A user with very many pipes is refused, and has a smaller one. */
	(void)fcntl(shm->pipe[1], F_SETPIPE_SZ, (int)MIN(shm->length, WORD_BYTES));
}

/* Returns how many of the @n bytes are in the pipe, by reference. */
static size_t pages_hold_locked(struct mem_shm *shm, uint64_t offset, size_t n)
{
	size_t done = 0;

	while (done < n) {
		off64_t at = (off64_t)(offset + done);
		ssize_t more = splice(shm->fd, &at, shm->pipe[1], NULL, n - done, SPLICE_F_NONBLOCK);

		if (more <= 0)
			break;
		done += (size_t)more;
	}
	return done;
}

static void pages_read_locked(struct mem_shm *shm, uint64_t offset, size_t n)
{
	while (n) {
		ssize_t done = read(shm->pipe[0], shm->aside + offset, n);

		if (done < 0 && errno == EINTR)
			continue;
		assert(done > 0); /* they are there */
		offset += (uint64_t)done;
		n -= (size_t)done;
	}
}

static void file_cut_locked(struct mem_shm *shm, uint64_t length)
{
	/* Making a file of our own shorter cannot fail. */
	if (ftruncate(shm->fd, (off_t)length) < 0)
		assert(!"memfd cannot be cut");
}

/* Where the lowest run of pages in @bits of word @w is, and its length; they are taken out of @bits. */
static uint64_t run_take(size_t w, uint64_t *bits, uint64_t *n)
{
	unsigned first = (unsigned)__builtin_ctzll(*bits);
	uint64_t rest = ~(*bits >> first);
	unsigned pages = rest ? (unsigned)__builtin_ctzll(rest) : 64;

	*bits &= pages == 64 ? 0 : ~((BIT64(pages) - 1) << first);
	*n = (uint64_t)pages << UVFIO_PAGE_SHIFT;
	return w * WORD_BYTES + ((uint64_t)first << UVFIO_PAGE_SHIFT);
}

static void word_copy_locked(struct mem_shm *shm, size_t w)
{
	uint64_t bits = atomic_load(&shm->held[w]), offset, n;

	while (bits) {
		offset = run_take(w, &bits, &n);
		read_all(shm->fd, shm->copy + offset % WORD_BYTES, n, offset);
	}
}

/* Returns how many bytes of its pages are in the pipe, the first ones; the others are copied. */
static uint64_t word_hold_locked(struct mem_shm *shm, size_t w)
{
	uint64_t bits = atomic_load(&shm->held[w]), held = 0, offset, n;
	bool full = false;

	while (bits) {
		uint64_t more;

		offset = run_take(w, &bits, &n);
		more = full ? 0 : pages_hold_locked(shm, offset, n);
		held += more;
		full = more < n;
		if (full)
			read_all(shm->fd, shm->aside + offset + more, n - more, offset + more);
	}
	return held;
}

/* @held: bytes in the pipe. Returns where they end. */
static uint64_t word_read_locked(struct mem_shm *shm, size_t w, uint64_t held)
{
	uint64_t bits = atomic_load(&shm->held[w]), offset, n, end = w * WORD_BYTES;

	for (; held; held -= n) {
		offset = run_take(w, &bits, &n);
		n = MIN(n, held);
		pages_read_locked(shm, offset, n);
		end = offset + n;
	}
	return end;
}

static bool is_zero(const char *p, uint64_t n)
{
	return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

static void word_restore_locked(struct mem_shm *shm, size_t w)
{
	uint64_t bits = atomic_load(&shm->held[w]), offset, n;

	while (bits) {
		offset = run_take(w, &bits, &n);
		memcpy(shm->aside + offset, shm->copy + offset % WORD_BYTES, n);
	}
}

/* The pages of a word, the last that the file has. @all: and the only ones */
static void word_cut_locked(struct mem_shm *shm, size_t w, bool all)
{
	uint64_t start = w * WORD_BYTES, held, end;

	if (!all)
		word_copy_locked(shm, w);
	held = word_hold_locked(shm, w);
	file_cut_locked(shm, all ? 0 : start);
	end = word_read_locked(shm, w, held);
	/* Zeros before, or cleared. */
	if (!all && is_zero(shm->aside + start, end - start))
		word_restore_locked(shm, w);
}

void mem_shm_block(struct mem_shm *shm)
{
	uint64_t first;

	SCOPED_WRITE(&shm->lock);
	if (shm->blocked)
		return;
	first = data_find_locked(shm);
	if (first < shm->length)
		pipe_make_locked(shm);
	else
		file_cut_locked(shm, 0);
	for (size_t w = held_words(shm); w-- > 0;) {
		if (atomic_load(&shm->held[w]))
			word_cut_locked(shm, w, w == first / WORD_BYTES);
	}
	shm->blocked = true;
}

/* Returns where it ends. */
static uint64_t write_all(int fd, const char *p, uint64_t n, uint64_t offset)
{
	while (n) {
		ssize_t done = pwrite(fd, p, n, (off_t)offset);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			break; /* the host is out of memory: the page reads as zeros */
		p += done;
		n -= (uint64_t)done;
		offset += (uint64_t)done;
	}
	return offset;
}

/* What is aside is somewhere else by now, or not wanted. */
static void aside_clear(struct mem_shm *shm)
{
	uint64_t held = 0;

	for (size_t w = 0; w < held_words(shm); w++)
		held |= atomic_exchange(&shm->held[w], 0);
	if (held && shm->length <= ASIDE_KEPT)
		memset(shm->aside, 0, shm->length);
	else if (held)
		madvise(shm->aside, shm->length, MADV_DONTNEED);
}

void mem_shm_unblock(struct mem_shm *shm)
{
	uint64_t end = 0;

	SCOPED_WRITE(&shm->lock);
	if (!shm->blocked)
		return;
	/* In order, each page beyond the end: it can be touched when its contents are there, and not before. */
	for (size_t w = 0; w < held_words(shm); w++) {
		uint64_t bits = atomic_load(&shm->held[w]), offset, n;

		while (bits) {
			offset = run_take(w, &bits, &n);
			end = write_all(shm->fd, shm->aside + offset, n, offset);
		}
	}
	if (end < shm->length && ftruncate(shm->fd, (off_t)shm->length) < 0)
		assert(!"memfd cannot grow to the length it had");
	aside_clear(shm);
	shm->blocked = false;
}

void mem_shm_reset(struct mem_shm *shm)
{
	SCOPED_WRITE(&shm->lock);
	aside_clear(shm);
	/* Mappings stay and find empty pages. */
	if (!shm->blocked && fallocate(shm->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)shm->length) < 0)
		assert(!"a memfd takes holes");
}

void mem_shm_access(struct mem_shm *shm, uint64_t offset, void *data, size_t n, bool write)
{
	char *p;

	assert(offset <= shm->length && n <= shm->length - offset);
	if (n == 0)
		return;
	SCOPED_READ(&shm->lock);
	p = (shm->blocked ? shm->aside : shm->live) + offset;
	if (write && shm->blocked)
		shm_hold(shm, offset, n);
	/* Guarded: a program holds the file too, and may have cut it. */
	if (write)
		(void)mem_copy_guarded(p, data, n);
	else if (mem_copy_guarded(data, p, n))
		memset(data, 0xff, n);
}
