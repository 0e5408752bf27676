/* SPDX-License-Identifier: MIT */
/*
 * The machine's half of the mirror: a memfd with a hash table (open addressing, linear probing) and page slots. The
 * readers are other processes, which are not to be trusted with more than looking, and which never wait: they take a
 * change of the directory, seen by its sequence number, for a miss. So nothing here is read back to decide anything
 * but what only this side writes.
 */
#include "front/stub/mirror.h"
#include "base/lock.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x10
#endif

struct stub_mirror {
	struct mirror_pool pool;       /* [I] */
	struct mutex lock;             /* a leaf, not ranked */
	struct stub_mirror_file *file; /* [lock] for the directory and page[].used */
	unsigned entries;              /* [lock] in use */
	int fd;                        /* [I] */
};

static struct mirror_page *pool_alloc(struct mirror_pool *pool)
{
	return stub_mirror_page_alloc(stub_mirror_of(pool));
}

static void pool_free(struct mirror_pool *pool, struct mirror_page *page)
{
	stub_mirror_page_free(stub_mirror_of(pool), page);
}

int stub_mirror_create(struct stub_mirror **out)
{
	struct stub_mirror *m = calloc(1, sizeof(*m));
	int rc;

	if (!m)
		return -ENOMEM;
	m->fd = memfd_create("uvfio-mirror", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (m->fd < 0) {
		rc = -errno;
		free(m);
		return rc;
	}
	if (ftruncate(m->fd, (off_t)stub_mirror_size(m)))
		goto err_close;
	m->file = mmap(NULL, stub_mirror_size(m), PROT_READ | PROT_WRITE, MAP_SHARED, m->fd, 0);
	if (m->file == MAP_FAILED)
		goto err_close;
	/* Nobody else maps it writable. */
	(void)fcntl(m->fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK | F_SEAL_GROW);
	mutex_init(&m->lock, RANK_NONE);
	m->pool.alloc = pool_alloc;
	m->pool.free = pool_free;
	*out = m;
	return 0;

err_close:
	rc = -errno;
	close(m->fd);
	free(m);
	return rc;
}

void stub_mirror_destroy(struct stub_mirror *m)
{
	if (!m)
		return;
	munmap(m->file, stub_mirror_size(m));
	close(m->fd);
	mutex_fini(&m->lock);
	free(m);
}

int stub_mirror_fd(const struct stub_mirror *m)
{
	return m->fd;
}

size_t stub_mirror_size(const struct stub_mirror *m)
{
	(void)m;
	return (sizeof(struct stub_mirror_file) + 4095) & ~4095ul;
}

struct mirror_pool *stub_mirror_pool(struct stub_mirror *m)
{
	return &m->pool;
}

struct stub_mirror *stub_mirror_of(struct mirror_pool *pool)
{
	return container_of(pool, struct stub_mirror, pool);
}

struct mirror_page *stub_mirror_page_alloc(struct stub_mirror *m)
{
	SCOPED_LOCK(&m->lock);
	for (unsigned i = 0; i < STUB_MIRROR_PAGES; i++) {
		struct mirror_page *p = &m->file->page[i];

		if (!p->used) {
			p->used = 1;
			mirror_block(p, true);
			return p;
		}
	}
	return NULL;
}

/* ---- the directory ---- */

static void change_begin(struct stub_mirror *m)
{
	__atomic_fetch_add(&m->file->seq, 1, __ATOMIC_SEQ_CST);
}

static void change_end(struct stub_mirror *m)
{
	__atomic_fetch_add(&m->file->seq, 1, __ATOMIC_SEQ_CST);
}

static unsigned home(const struct stub_mirror_entry *e)
{
	return stub_mirror_hash(e->ino, e->offset) % STUB_MIRROR_ENTRIES;
}

/* Empty entry @i and close the gap that it leaves in its chain. */
static void remove_locked(struct stub_mirror *m, unsigned i)
{
	struct stub_mirror_entry *entry = m->file->entry;
	unsigned j = i;

	for (;;) {
		entry[i].ino = 0;
		do {
			unsigned h;

			j = (j + 1) % STUB_MIRROR_ENTRIES;
			if (!entry[j].ino) {
				m->entries--;
				return;
			}
			h = home(&entry[j]);
			/* May j's stay where it is? Yes if its home lies cyclically in (i, j]. */
			if (i <= j ? (h > i && h <= j) : (h > i || h <= j))
				continue;
			break;
		} while (1);
		entry[i] = entry[j];
		i = j;
	}
}

int stub_mirror_bind(struct stub_mirror *m, dev_t dev, ino_t ino, uint64_t offset, struct mirror_page *page)
{
	struct stub_mirror_entry want = {
		.ino = ino, .offset = offset & ~0xfffull, .major = major(dev), .minor = minor(dev),
		.page = (uint32_t)(page - m->file->page),
	};
	struct stub_mirror_entry *e;
	unsigned i;

	if (!ino || page < m->file->page || page >= m->file->page + STUB_MIRROR_PAGES)
		return -EINVAL;
	SCOPED_LOCK(&m->lock);
	for (i = home(&want);; i = (i + 1) % STUB_MIRROR_ENTRIES) {
		e = &m->file->entry[i];
		if (!e->ino)
			break;
		if (e->ino == want.ino && e->offset == want.offset && e->major == want.major &&
		    e->minor == want.minor) {
			if (e->page == want.page)
				return 0;
			m->entries--; /* to be replaced */
			break;
		}
	}
	if (m->entries >= STUB_MIRROR_ENTRIES / 2)
		return -ENOSPC;
	change_begin(m);
	*e = want;
	change_end(m);
	m->entries++;
	return 0;
}

/* Forget all entries that match: a page, or a file. */
static void forget_locked(struct stub_mirror *m, const struct stub_mirror_entry *like, bool by_page)
{
	unsigned i = 0;

	change_begin(m);
	while (i < STUB_MIRROR_ENTRIES) {
		const struct stub_mirror_entry *e = &m->file->entry[i];

		if (e->ino && (by_page ? e->page == like->page
				       : e->ino == like->ino && e->major == like->major && e->minor == like->minor))
			remove_locked(m, i); /* another may have moved here */
		else
			i++;
	}
	change_end(m);
}

void stub_mirror_unbind(struct stub_mirror *m, dev_t dev, ino_t ino)
{
	struct stub_mirror_entry like = { .ino = ino, .major = major(dev), .minor = minor(dev) };

	SCOPED_LOCK(&m->lock);
	forget_locked(m, &like, false);
}

void stub_mirror_page_free(struct stub_mirror *m, struct mirror_page *page)
{
	struct stub_mirror_entry like;

	if (!page)
		return;
	like.page = (uint32_t)(page - m->file->page);
	SCOPED_LOCK(&m->lock);
	forget_locked(m, &like, true);
	memset(page, 0, sizeof(*page));
}
