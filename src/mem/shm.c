/* SPDX-License-Identifier: MIT */
/*
 * Device memory that programs map. While blocked, the file is empty, so every page of every mapping of it
 * raises SIGBUS, and the contents live in memory of the machine's own, where the device still finds them.
 * Only pages that hold something are carried to and fro: a page that was never written stays a hole.
 *
 * A store that a program makes while the file is being cut either lands before the copy or is lost, as a
 * posted write that reaches a device just after it stopped answering.
 */
#include "mem/priv.h"
#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct mem_shm {
	struct rwlock lock;   /* RANK_MEM; read: access, write: block and unblock */
	uint64_t length;      /* [I] page multiple */
	int fd;
	bool blocked;         /* [lock] */
	char *live;           /* [I] the file, mapped; use only while not blocked */
	char *aside;          /* [I] the contents while blocked */
	atomic_ullong *held;  /* [I] pages of aside that hold something, a bit each; all clear while not blocked */
};

static size_t held_words(const struct mem_shm *shm)
{
	return ((shm->length >> UVFIO_PAGE_SHIFT) + 63) / 64;
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
	/* Without MFD_ALLOW_SEALING nobody can seal it against being cut. */
	shm->fd = memfd_create(name, MFD_CLOEXEC);
	shm->held = calloc(held_words(shm), sizeof(*shm->held));
	if (shm->fd < 0 || ftruncate(shm->fd, (off_t)shm->length) < 0) {
		rc = -errno;
	} else if (!shm->held) {
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
	free(shm->held);
	rwlock_fini(&shm->lock);
	free(shm);
}

int mem_shm_fd(struct mem_shm *shm)
{
	return shm->fd;
}

void mem_shm_block(struct mem_shm *shm)
{
	off_t end = 0, data;

	SCOPED_WRITE(&shm->lock);
	if (shm->blocked)
		return;
	while ((data = lseek(shm->fd, end, SEEK_DATA)) >= 0) {
		end = lseek(shm->fd, data, SEEK_HOLE);
		if (end <= data)
			break;
		end = MIN(end, (off_t)shm->length);
		if (mem_copy_guarded(shm->aside + data, shm->live + data, (size_t)(end - data)) == 0)
			shm_hold(shm, (uint64_t)data, (uint64_t)(end - data));
	}
	/* Making a file of our own shorter cannot fail. */
	if (ftruncate(shm->fd, 0) < 0)
		assert(!"memfd cannot be cut");
	shm->blocked = true;
}

static void write_all(int fd, const char *p, uint64_t n, uint64_t offset)
{
	while (n) {
		ssize_t done = pwrite(fd, p, n, (off_t)offset);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return; /* the host is out of memory: the page reads as zeros */
		p += done;
		n -= (uint64_t)done;
		offset += (uint64_t)done;
	}
}

void mem_shm_unblock(struct mem_shm *shm)
{
	SCOPED_WRITE(&shm->lock);
	if (!shm->blocked)
		return;
	/* In order, each page beyond the end: it can be touched when its contents are there, and not before. */
	for (size_t w = 0; w < held_words(shm); w++) {
		uint64_t bits = atomic_exchange(&shm->held[w], 0);

		/* Runs of held pages, of this word. */
		while (bits) {
			unsigned first = (unsigned)__builtin_ctzll(bits);
			uint64_t rest = ~(bits >> first);
			unsigned n = rest ? (unsigned)__builtin_ctzll(rest) : 64;
			uint64_t offset = (w * 64 + first) << UVFIO_PAGE_SHIFT;

			n = MIN(n, 64 - first);
			write_all(shm->fd, shm->aside + offset, (uint64_t)n << UVFIO_PAGE_SHIFT, offset);
			bits = n == 64 ? 0 : bits & ~((BIT64(n) - 1) << first);
		}
	}
	if (ftruncate(shm->fd, (off_t)shm->length) < 0)
		assert(!"memfd cannot grow to the length it had");
	madvise(shm->aside, shm->length, MADV_DONTNEED);
	shm->blocked = false;
}

void mem_shm_reset(struct mem_shm *shm)
{
	SCOPED_WRITE(&shm->lock);
	for (size_t w = 0; w < held_words(shm); w++)
		atomic_store(&shm->held[w], 0);
	madvise(shm->aside, shm->length, MADV_DONTNEED);
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
