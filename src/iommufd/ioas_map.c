/* SPDX-License-Identifier: MIT */
/* MAP, MAP_FILE, COPY and UNMAP: the checks, in Linux's order. Spec: 30, 4.5, 4.9, 4.10. */
#include "iommufd/mock.h"
#include <unistd.h>

#define ACCESS_FLAGS (IOMMU_IOAS_MAP_WRITEABLE | IOMMU_IOAS_MAP_READABLE)
#define MAP_FLAGS    (IOMMU_IOAS_MAP_FIXED_IOVA | ACCESS_FLAGS)

/* What MAP, MAP_FILE and COPY ask for; @iova: the highest there is */
static int check(uint32_t flags, uint64_t length, iova_t iova)
{
	if (flags & ~MAP_FLAGS)
		return -EOPNOTSUPP;
	if (iova == UINT64_MAX || length == UINT64_MAX)
		return -EOVERFLOW;
	return flags & ACCESS_FLAGS ? 0 : -EINVAL;
}

static unsigned prot_of(uint32_t flags)
{
	return (flags & IOMMU_IOAS_MAP_WRITEABLE ? MEM_WRITE : 0) | (flags & IOMMU_IOAS_MAP_READABLE ? MEM_READ : 0);
}

/* One new pages object, all of it. Takes over @pages. */
static int map_pages(struct iommufd_ioas *ioas, struct iommufd_pages *pages, uint64_t length, uint32_t flags,
		     uint64_t *iova)
{
	struct iopt_slice s = { .pages = pages, .at = iommufd_pages_offset(pages), .length = length };
	int rc = iopt_map(&ioas->iopt, &s, 1, prot_of(flags), flags & IOMMU_IOAS_MAP_FIXED_IOVA, iova);

	iommufd_pages_put(pages);
	return rc;
}

int iommufd_ioas_map_user(struct iommufd_ctx *ctx, struct iommufd_ioas *ioas, struct task *t, uva_t uva,
			  uint64_t length, uint32_t flags, uint64_t *iova)
{
	struct iommufd_pages *pages;
	int rc = iommufd_pages_create(ctx->fd, t, uva, length, flags & IOMMU_IOAS_MAP_WRITEABLE, ctx->by_mm, &pages);

	return rc ? rc : map_pages(ioas, pages, length, flags, iova);
}

int iommufd_ioas_map_ioctl(struct ucmd *u)
{
	struct iommu_ioas_map *a = u->cmd;
	struct iommufd_ioas *ioas;
	int rc;

	if (a->__reserved)
		return -EOPNOTSUPP;
	rc = check(a->flags, a->length, a->iova);
	if (rc)
		return rc;
	ioas = iommufd_ioas_visit(u->ctx, a->ioas_id);
	if (!ioas)
		return -ENOENT;
	rc = iommufd_ioas_map_user(u->ctx, ioas, u->t, a->user_va, a->length, a->flags, &a->iova);
	iommufd_ioas_leave(ioas);
	return rc ? rc : ucmd_respond(u);
}

/* A file of the machine's: a dma-buf, or one that has no pages. */
static int machine_file_pages(struct ucmd *u, const struct iommu_ioas_map_file *a, struct iommufd_pages **out)
{
	const bool writable = a->flags & IOMMU_IOAS_MAP_WRITEABLE;
	struct mem_dmabuf *buf;
	struct file *f;
	int rc = task_file_get(u->t, a->fd, &f);

	if (rc)
		return rc == -EBADFD ? -EBADF : rc; /* another file has got the number meanwhile */
	buf = mem_dmabuf_of(f);
	if (buf)
		rc = iommufd_pages_create_dmabuf(u->ctx->fd, u->t, buf, a->start, a->length, writable, out);
	else
		rc = iommufd_pages_create_file(u->ctx->fd, u->t, -1, a->start, a->length, writable, u->ctx->by_mm, out);
	file_put(f);
	return rc;
}

static int file_pages(struct ucmd *u, const struct iommu_ioas_map_file *a, struct iommufd_pages **out)
{
	int rc = task_host_fd(u->t, a->fd);

	if (rc == -EBADFD)
		return machine_file_pages(u, a, out);
	if (rc < 0)
		return rc;
	return iommufd_pages_create_file(u->ctx->fd, u->t, rc, a->start, a->length, a->flags & IOMMU_IOAS_MAP_WRITEABLE,
					 u->ctx->by_mm, out);
}

static int map_file(struct ucmd *u, struct iommufd_ioas *ioas, struct iommu_ioas_map_file *a)
{
	struct iommufd_pages *pages;
	int rc;

	if (!a->length)
		return -EINVAL;
	if (a->start + (a->length - 1) < a->start)
		return -EOVERFLOW;
	rc = file_pages(u, a, &pages);
	return rc ? rc : map_pages(ioas, pages, a->length, a->flags, &a->iova);
}

int iommufd_ioas_map_file_ioctl(struct ucmd *u)
{
	struct iommu_ioas_map_file *a = u->cmd;
	struct iommufd_ioas *ioas;
	int rc;

	rc = check(a->flags, a->length, a->iova);
	if (rc)
		return rc;
	ioas = iommufd_ioas_visit(u->ctx, a->ioas_id);
	if (!ioas)
		return -ENOENT;
	rc = map_file(u, ioas, a);
	iommufd_ioas_leave(ioas);
	return rc ? rc : ucmd_respond(u);
}

static int copy_from(struct ucmd *u, const struct iommu_ioas_copy *a, struct iopt_slice **out)
{
	struct iommufd_ioas *src = iommufd_ioas_visit(u->ctx, a->src_ioas_id);
	int n;

	if (!src)
		return -ENOENT;
	n = iopt_slices(&src->iopt, a->src_iova, a->length, out);
	iommufd_ioas_leave(src);
	return n;
}

/* What is found in the source may be unmapped before it is in the destination: its pages stay what they are. */
static int copy(struct ucmd *u, struct iommu_ioas_copy *a)
{
	struct iopt_slice *s = NULL;
	struct iommufd_ioas *dst;
	int n = copy_from(u, a, &s), rc;

	if (n < 0)
		return n;
	dst = iommufd_ioas_visit(u->ctx, a->dst_ioas_id);
	if (!dst) {
		iopt_slices_put(s, n);
		return -ENOENT;
	}
	rc = iopt_map(&dst->iopt, s, (unsigned)n, prot_of(a->flags), a->flags & IOMMU_IOAS_MAP_FIXED_IOVA, &a->dst_iova);
	iommufd_ioas_leave(dst);
	iopt_slices_put(s, n);
	return rc;
}

int iommufd_ioas_copy_ioctl(struct ucmd *u)
{
	struct iommu_ioas_copy *a = u->cmd;
	int rc;

	if (u->ctx->fd->test)
		iommufd_test_copy_source(u, a);
	rc = check(a->flags, a->length, MAX(a->src_iova, a->dst_iova));
	if (!rc)
		rc = copy(u, a);
	return rc ? rc : ucmd_respond(u);
}

static int unmap_range(struct iommufd_ioas *ioas, const struct iommu_ioas_unmap *a, uint64_t *removed)
{
	int rc;

	if (a->iova == UINT64_MAX || a->length == UINT64_MAX)
		return -EOVERFLOW;
	if (!a->length)
		return -EINVAL;
	if (a->iova + (a->length - 1) < a->iova)
		return -EOVERFLOW;
	rc = iopt_unmap(&ioas->iopt, a->iova, a->iova + (a->length - 1), removed);
	return rc ? rc : *removed ? 0 : -ENOENT;
}

int iommufd_ioas_unmap_ioctl(struct ucmd *u)
{
	struct iommu_ioas_unmap *a = u->cmd;
	struct iommufd_ioas *ioas = iommufd_ioas_visit(u->ctx, a->ioas_id);
	uint64_t removed = 0;
	int rc;

	if (!ioas)
		return -ENOENT;
	if (a->iova == 0 && a->length == UINT64_MAX)
		rc = iopt_unmap(&ioas->iopt, 0, UINT64_MAX, &removed);
	else
		rc = unmap_range(ioas, a, &removed);
	iommufd_ioas_leave(ioas);
	a->length = removed;
	return rc ? rc : ucmd_respond(u);
}
