/* SPDX-License-Identifier: MIT */
/*
 * Dma-bufs: memory of a device, or of the machine's own, that others may do DMA to, until it is taken from them.
 *
 * There are three who know of one. Its exporter has made it, and revokes it when the memory goes. Files are how programs
 * hand it on. Importers have found it behind a file, and translate to it. All hold references, and none needs another to
 * be there: an exporter may be gone while files and importers keep what is revoked for good, and it can let go of one
 * that nobody else has without being told when that is.
 *
 * An importer is called with the lock held that it attaches and detaches with, so it is never called after it has
 * detached; for the same reason it can detach with whatever locks it may hold then, but not those that it takes when it
 * is called.
 */
#include "mem/priv.h"
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

struct mem_dmabuf {
	struct ref ref;
	const char *exporter;       /* [I] */
	phys_t phys;                /* [I] */
	uint64_t length;            /* [I] */
	struct mem_pin own;         /* [I] what its own memory is to the region table */
	void *memory;               /* [I] its own, NULL: somebody else's */
	struct mutex lock;          /* RANK_DMABUF; everything below */
	bool revoked;
	LIST_HEAD(, mem_dmabuf_import) imports;
};

/* ---- life ---- */

int mem_dmabuf_create(phys_t phys, uint64_t length, const char *exporter, struct mem_dmabuf **out)
{
	struct mem_dmabuf *b = calloc(1, sizeof(*b));

	assert(length && IS_ALIGNED(length, UVFIO_PAGE_SIZE));
	assert(phys == MEM_DMABUF_PIECES || IS_ALIGNED(phys, UVFIO_PAGE_SIZE));
	if (!b)
		return -ENOMEM;
	ref_init(&b->ref);
	b->exporter = exporter;
	b->phys = phys;
	b->length = length;
	mutex_init(&b->lock, RANK_DMABUF);
	LIST_INIT(&b->imports);
	*out = b;
	return 0;
}

int mem_dmabuf_create_memory(struct mem *mem, uint64_t length, const char *exporter, struct mem_dmabuf **out)
{
	struct mem_region_init init = { .length = length };
	struct mem_dmabuf *b;
	int rc = mem_dmabuf_create(0, length, exporter, &b);

	if (rc)
		return rc;
	b->own = (struct mem_pin){ .mem = mem, .length = length, .prot = MEM_READ | MEM_WRITE };
	b->memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (b->memory == MAP_FAILED) {
		rc = -ENOMEM;
		goto err_free;
	}
	init.pin = &b->own;
	init.host = b->memory;
	rc = mem_region_create(mem, &init, &b->phys);
	if (rc)
		goto err_unmap;
	*out = b;
	return 0;

err_unmap:
	munmap(b->memory, length);
err_free:
	mutex_fini(&b->lock);
	free(b);
	return rc;
}

struct mem_dmabuf *mem_dmabuf_get(struct mem_dmabuf *b)
{
	ref_get(&b->ref);
	return b;
}

void mem_dmabuf_put(struct mem_dmabuf *b)
{
	if (!b || !ref_put(&b->ref))
		return;
	assert(LIST_EMPTY(&b->imports));
	if (b->memory) {
		mem_region_destroy(b->own.mem, b->phys);
		munmap(b->memory, b->length);
	}
	mutex_fini(&b->lock);
	free(b);
}

bool mem_dmabuf_unused(struct mem_dmabuf *b)
{
	return ref_is_one(&b->ref);
}

uint64_t mem_dmabuf_length(const struct mem_dmabuf *b)
{
	return b->length;
}

const char *mem_dmabuf_exporter(const struct mem_dmabuf *b)
{
	return b->exporter;
}

/* ---- importers ---- */

int mem_dmabuf_attach(struct mem_dmabuf *b, struct mem_dmabuf_import *imp,
		      void (*revoked)(struct mem_dmabuf_import *imp), phys_t *out)
{
	SCOPED_LOCK(&b->lock);
	if (b->revoked)
		return -ENODEV;
	if (b->phys == MEM_DMABUF_PIECES)
		return -EOPNOTSUPP;
	imp->buf = mem_dmabuf_get(b);
	imp->revoked = revoked;
	LIST_INSERT_HEAD(&b->imports, imp, link);
	*out = b->phys;
	return 0;
}

void mem_dmabuf_detach(struct mem_dmabuf_import *imp)
{
	struct mem_dmabuf *b = imp->buf;

	mutex_lock(&b->lock);
	LIST_REMOVE(imp, link);
	mutex_unlock(&b->lock);
	mem_dmabuf_put(b);
}

void mem_dmabuf_revoke(struct mem_dmabuf *b)
{
	struct mem_dmabuf_import *imp;

	SCOPED_LOCK(&b->lock);
	b->revoked = true;
	LIST_FOREACH(imp, &b->imports, link)
		imp->revoked(imp);
}

void mem_dmabuf_restore(struct mem_dmabuf *b)
{
	SCOPED_LOCK(&b->lock);
	b->revoked = false;
}

/* ---- files ---- */

/* What Linux says of one that its exporter does not let programs map. */
static int dmabuf_mmap(struct file *f, struct task *t, const struct file_mmap *m)
{
	return -EINVAL;
}

static void dmabuf_fdinfo(struct file *f, char *buf, size_t size)
{
	struct mem_dmabuf *b = f->priv;
	struct mem_dmabuf_import *imp;
	unsigned users = 1;

	SCOPED_LOCK(&b->lock);
	LIST_FOREACH(imp, &b->imports, link)
		users++;
	snprintf(buf, size, "size:\t%llu\ncount:\t%u\nexp_name:\t%s\n", (unsigned long long)b->length, users, b->exporter);
}

static void dmabuf_release(struct file *f)
{
	mem_dmabuf_put(f->priv);
}

static const struct file_ops dmabuf_ops = {
	.name = "/dmabuf:",
	.mmap = dmabuf_mmap,
	.fdinfo = dmabuf_fdinfo,
	.release = dmabuf_release,
};

int mem_dmabuf_open(struct mem_dmabuf *b, struct task *t, int oflags, struct file **out)
{
	struct file *f;
	int rc = file_create(t, &dmabuf_ops, b, oflags, S_IRUSR | S_IWUSR, &f);

	if (rc)
		return rc;
	mem_dmabuf_get(b);
	f->size = b->length;
	f->seek = FILE_SEEK_POS; /* its end is how programs ask for its length */
	*out = f;
	return 0;
}

struct mem_dmabuf *mem_dmabuf_of(struct file *f)
{
	return f->ops == &dmabuf_ops ? f->priv : NULL;
}
