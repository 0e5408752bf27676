/* SPDX-License-Identifier: MIT */
/*
 * What programs map from /dev/iommu: pages that belong to an object, each run of them at an offset of its own, and mapped
 * as a whole or not at all. While a program has them mapped their object cannot be destroyed.
 *
 * All of a context are in one memfd, each at its offset: a front end that is told which pages to map may use the memfd's
 * number after the object has gone, and must not find another file under it.
 *
 * Spec: 30, sections 1 and 11.
 */
#include "iommufd/priv.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct iommufd_region {
	LIST_ENTRY(iommufd_region) link; /* [ctx->lock] by offset */
	struct iommufd_object *owner;    /* [I] */
	uint64_t offset, length;         /* [I] */
	bool mapped;                     /* [ctx->lock] since it is there, by anybody */
};

/* The lowest place, page 0 is none. */
static void place_locked(struct iommufd_ctx *ctx, struct iommufd_region *r)
{
	struct iommufd_region *at, *before = NULL;

	r->offset = UVFIO_PAGE_SIZE;
	LIST_FOREACH(at, &ctx->regions, link) {
		if (at->offset - r->offset >= r->length)
			break;
		r->offset = at->offset + at->length;
		before = at;
	}
	if (before)
		LIST_INSERT_AFTER(before, r, link);
	else
		LIST_INSERT_HEAD(&ctx->regions, r, link);
}

/* The context's memfd; it can only grow, whoever else has it. */
static int memfd_locked(struct iommufd_ctx *ctx)
{
	int fd = ctx->memfd;

	if (fd >= 0)
		return fd;
	fd = memfd_create("iommufd", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -ENOMEM;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_SEAL)) {
		close(fd);
		return -ENOMEM;
	}
	ctx->memfd = fd;
	return fd;
}

/* Zeros, whatever was there before. */
static int clear_locked(struct iommufd_ctx *ctx, const struct iommufd_region *r)
{
	const int fd = memfd_locked(ctx);
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st))
		return -ENOMEM;
	if ((uint64_t)st.st_size < r->offset + r->length && ftruncate(fd, (off_t)(r->offset + r->length)))
		return -ENOMEM;
	return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)r->offset, (off_t)r->length) ? -ENOMEM : 0;
}

int iommufd_region_add(struct iommufd_object *owner, uint64_t length, struct iommufd_region **out)
{
	struct iommufd_region *r = calloc(1, sizeof(*r));
	int rc;

	if (!r)
		return -ENOMEM;
	r->owner = owner;
	r->length = length;
	mutex_lock(&owner->ctx->lock);
	place_locked(owner->ctx, r);
	rc = clear_locked(owner->ctx, r);
	if (rc)
		LIST_REMOVE(r, link);
	mutex_unlock(&owner->ctx->lock);
	if (rc)
		free(r);
	else
		*out = r;
	return rc;
}

void iommufd_region_remove(struct iommufd_region *r)
{
	if (!r)
		return;
	mutex_lock(&r->owner->ctx->lock);
	LIST_REMOVE(r, link);
	mutex_unlock(&r->owner->ctx->lock);
	free(r);
}

uint64_t iommufd_region_offset(const struct iommufd_region *r)
{
	return r->offset;
}

int iommufd_region_write(struct iommufd_region *r, uint64_t at, const void *data, size_t n)
{
	return pwrite(r->owner->ctx->memfd, data, n, (off_t)(r->offset + at)) == (ssize_t)n ? 0 : -ENOMEM;
}

/* ---- the program's side ---- */

static struct iommufd_region *region_at_locked(struct iommufd_ctx *ctx, uint64_t offset)
{
	struct iommufd_region *r;

	LIST_FOREACH(r, &ctx->regions, link) {
		if (offset >= r->offset && offset - r->offset < r->length)
			break;
	}
	return r;
}

int iommufd_region_mmap(struct iommufd_ctx *ctx, const struct file_mmap *m)
{
	struct iommufd_region *r;

	if (!(m->flags & MAP_SHARED))
		return -EINVAL;
	if (m->prot & PROT_EXEC)
		return -EPERM;
	SCOPED_LOCK(&ctx->lock);
	r = region_at_locked(ctx, m->offset);
	if (!r || r->offset != m->offset || r->length != ALIGN_UP(m->length, UVFIO_PAGE_SIZE))
		return -ENXIO;
	r->mapped = true;
	return 0;
}

void iommufd_region_page(struct iommufd_ctx *ctx, uint64_t offset, struct file_page *out)
{
	struct iommufd_region *r;

	SCOPED_LOCK(&ctx->lock);
	r = region_at_locked(ctx, offset);
	if (r)
		*out = (struct file_page){ .kind = FILE_PAGE_PLAIN, .memfd = ctx->memfd, .offset = offset,
					   .length = r->length - (offset - r->offset) };
	else
		*out = (struct file_page){ .kind = FILE_PAGE_NONE, .length = UVFIO_PAGE_SIZE };
}

bool iommufd_region_busy(struct iommufd_ctx *ctx, uint32_t id)
{
	uint64_t offset = 0, length = 0;
	struct iommufd_region *r;

	mutex_lock(&ctx->lock);
	LIST_FOREACH(r, &ctx->regions, link) {
		if (r->owner->id == id && r->mapped) {
			offset = r->offset;
			length = r->length;
		}
	}
	mutex_unlock(&ctx->lock);
	return length && ctx->file && file_mapped(ctx->file, offset, length);
}
