/* SPDX-License-Identifier: MIT */
/*
 * Requests of a VFIO container on /dev/iommu, for programs that know nothing else. They act on the compat IOAS, which
 * is any IOAS of the context that was named so; to name it destroys and moves nothing.
 *
 * What can be said from the arguments alone is said before it is looked whether there is a compat IOAS.
 *
 * Spec: 30, section 9.
 */
#include "abi/vfio.h"
#include "iommufd/priv.h"
#include <assert.h>
#include <string.h>

/* ---- the compat IOAS ---- */

/* Visited. NULL: there is none. */
static struct iommufd_ioas *compat_visit(struct iommufd_ctx *ctx)
{
	struct iommufd_ioas *ioas = NULL;

	SCOPED_LOCK(&ctx->lock);
	if (ctx->compat) {
		ioas = container_of(ctx->compat, struct iommufd_ioas, obj);
		ioas->obj.visitors++;
	}
	return ioas;
}

int iommufd_compat_ioas_id(struct iommufd_ctx *ctx, uint32_t *out)
{
	SCOPED_LOCK(&ctx->lock);
	if (!ctx->compat)
		return -ENODEV;
	*out = ctx->compat->id;
	return 0;
}

int iommufd_compat_set_noiommu(struct iommufd_ctx *ctx)
{
	SCOPED_LOCK(&ctx->lock);
	if (ctx->compat)
		return -EINVAL;
	ctx->noiommu = true;
	return 0;
}

int iommufd_compat_ioas_create(struct iommufd_ctx *ctx)
{
	struct iommufd_ioas *ioas;
	bool unwanted;
	int rc = iommufd_ioas_create(ctx, &ioas);

	if (rc)
		return rc;
	mutex_lock(&ctx->lock);
	if (ctx->noiommu)
		rc = -EINVAL;
	unwanted = rc || ctx->compat;
	if (!unwanted) {
		ctx->objects[ioas->obj.id - 1] = &ioas->obj;
		ctx->compat = &ioas->obj;
	}
	mutex_unlock(&ctx->lock);
	if (unwanted)
		iommufd_ioas_abandon(ioas);
	return rc;
}

static int compat_set(struct iommufd_ctx *ctx, uint32_t id)
{
	struct iommufd_ioas *ioas = iommufd_ioas_visit(ctx, id);

	if (!ioas)
		return -ENOENT;
	mutex_lock(&ctx->lock);
	ctx->compat = &ioas->obj; /* visited, so it is not being destroyed */
	mutex_unlock(&ctx->lock);
	iommufd_ioas_leave(ioas);
	return 0;
}

int iommufd_vfio_ioas_ioctl(struct ucmd *u)
{
	struct iommu_vfio_ioas *a = u->cmd;
	int rc;

	if (a->__reserved)
		return -EOPNOTSUPP;
	switch (a->op) {
	case IOMMU_VFIO_IOAS_GET:
		rc = iommufd_compat_ioas_id(u->ctx, &a->ioas_id);
		return rc ? rc : ucmd_respond(u);
	case IOMMU_VFIO_IOAS_SET:
		return compat_set(u->ctx, a->ioas_id);
	case IOMMU_VFIO_IOAS_CLEAR:
		mutex_lock(&u->ctx->lock);
		u->ctx->compat = NULL;
		mutex_unlock(&u->ctx->lock);
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

/* ---- MAP_DMA, UNMAP_DMA ---- */

static int compat_map(struct iommufd_ctx *ctx, struct task *t, uint64_t arg)
{
	struct vfio_iommu_type1_dma_map a;
	struct iommufd_ioas *ioas;
	uint32_t flags = IOMMU_IOAS_MAP_FIXED_IOVA;
	int rc = ucopy_argsz(t, &a, arg, VFIO_IOMMU_TYPE1_DMA_MAP_MINSZ);

	if (rc)
		return rc;
	if (a.flags & ~(VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE))
		return -EINVAL;
	flags |= a.flags & VFIO_DMA_MAP_FLAG_READ ? IOMMU_IOAS_MAP_READABLE : 0;
	flags |= a.flags & VFIO_DMA_MAP_FLAG_WRITE ? IOMMU_IOAS_MAP_WRITEABLE : 0;
	ioas = compat_visit(ctx);
	if (!ioas)
		return -ENODEV;
	rc = iommufd_ioas_map_user(ctx, ioas, t, a.vaddr, a.size, flags, &a.iova);
	iommufd_ioas_leave(ioas);
	return rc;
}

/* type1 takes any part of a mapping; the cuts are made first, and stay. */
static int cut_ends(struct iopt *space, iova_t start, iova_t last)
{
	bool cuts;
	int rc;

	mutex_lock(&space->lock);
	cuts = space->small;
	mutex_unlock(&space->lock);
	if (!cuts)
		return 0;
	rc = iopt_cut(space, last);
	return !rc && start ? iopt_cut(space, start - 1) : rc;
}

static int unmap_range(struct iopt *space, const struct vfio_iommu_type1_dma_unmap *a, uint64_t *removed)
{
	iova_t last = a->iova + (a->size - 1);

	if (!a->size)
		return -EINVAL;
	if (last < a->iova)
		return -EOVERFLOW;
	return iopt_unmap(space, a->iova, last, removed);
}

/* Whatever becomes of the unmap itself, the size that was removed is told. */
static int unmap_told(struct iopt *space, struct task *t, uint64_t arg, struct vfio_iommu_type1_dma_unmap *a)
{
	uint64_t removed = 0;
	int rc;

	if (a->flags & VFIO_DMA_UNMAP_FLAG_ALL) {
		if (a->iova || a->size)
			return -EINVAL;
		rc = iopt_unmap(space, 0, UINT64_MAX, &removed);
	} else {
		rc = cut_ends(space, a->iova, a->iova + (a->size - 1));
		if (rc)
			return rc;
		rc = unmap_range(space, a, &removed);
	}
	a->size = removed;
	return task_copy_out(t, arg, a, VFIO_IOMMU_TYPE1_DMA_UNMAP_MINSZ) ? -EFAULT : rc;
}

static int compat_unmap(struct iommufd_ctx *ctx, struct task *t, uint64_t arg)
{
	struct vfio_iommu_type1_dma_unmap a;
	struct iommufd_ioas *ioas;
	int rc = ucopy_argsz(t, &a, arg, VFIO_IOMMU_TYPE1_DMA_UNMAP_MINSZ);

	if (rc)
		return rc;
	if (a.flags & ~VFIO_DMA_UNMAP_FLAG_ALL)
		return -EINVAL;
	ioas = compat_visit(ctx);
	if (!ioas)
		return -ENODEV;
	rc = unmap_told(&ioas->iopt, t, arg, &a);
	iommufd_ioas_leave(ioas);
	return rc;
}

/* ---- GET_INFO ---- */

/* The header, then each capability if there is room for all of it. */
struct info {
	struct task *t;
	uva_t arg;
	uint32_t room;   /* the caller's argsz */
	uint32_t total;  /* bytes that everything up to here needs */
};

static uint64_t pgsizes(struct iopt *space)
{
	const uint64_t whole_pages = -(uint64_t)UVFIO_PAGE_SIZE;
	uint64_t sizes = UINT64_MAX;

	SCOPED_LOCK(&space->lock);
	for (unsigned i = 0; i < space->ndomains; i++)
		sizes &= iommu_domain_pgsizes(space->domains[i]);
	if (sizes & ~whole_pages)
		sizes = (sizes & whole_pages) | UVFIO_PAGE_SIZE;
	return sizes & -MAX(space->align, UVFIO_PAGE_SIZE);
}

static int info_add(struct info *i, const struct vfio_info_cap_header *h, uint32_t size)
{
	uint32_t at = i->total;

	i->total = ALIGN_UP(at + size, 8u);
	return at + size > i->room ? 0 : task_copy_out(i->t, i->arg + at, h, size);
}

static int info_avail(struct info *i)
{
	struct vfio_iommu_type1_info_dma_avail c = {
		.header = { .id = VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, .version = 1 },
		.avail = UINT32_MAX,
	};
	uint32_t next = ALIGN_UP(i->total + (uint32_t)sizeof(c), 8u);

	if (next <= i->room)
		c.header.next = next;
	return info_add(i, &c.header, sizeof(c));
}

static int info_ranges(struct info *i, struct iopt *space)
{
	struct vfio_iommu_type1_info_cap_iova_range *c;
	AUTO_FREE struct iommu_iova_range *list = NULL;
	AUTO_FREE void *cap = NULL;
	uint64_t align;
	int n = iopt_ranges(space, &list, &align);
	size_t size;

	if (n < 0)
		return n;
	size = sizeof(*c) + (size_t)n * sizeof(c->iova_ranges[0]);
	c = cap = calloc(1, size);
	if (!c)
		return -ENOMEM;
	c->header = (struct vfio_info_cap_header){ .id = VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, .version = 1 };
	c->nr_iovas = (uint32_t)n;
	for (int k = 0; k < n; k++) {
		c->iova_ranges[k].start = list[k].start;
		c->iova_ranges[k].end = list[k].last;
	}
	return info_add(i, &c->header, (uint32_t)size);
}

static int compat_info(struct iommufd_ctx *ctx, struct task *t, uint64_t arg)
{
	struct vfio_iommu_type1_info a;
	struct info i = { .t = t, .arg = arg, .total = sizeof(a) };
	struct iommufd_ioas *ioas;
	int rc;

	memset(&a, 0, sizeof(a));
	rc = ucopy_argsz(t, &a, arg, VFIO_IOMMU_TYPE1_INFO_MINSZ);
	if (rc)
		return rc;
	i.room = a.argsz;
	ioas = compat_visit(ctx);
	if (!ioas)
		return -ENODEV;
	a.flags = VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS;
	a.iova_pgsizes = pgsizes(&ioas->iopt);
	rc = info_avail(&i);
	if (!rc)
		rc = info_ranges(&i, &ioas->iopt);
	iommufd_ioas_leave(ioas);
	if (rc)
		return rc;
	a.argsz = i.total;
	a.cap_offset = i.total <= i.room ? sizeof(a) : 0;
	return task_copy_out(t, arg, &a, MIN(i.room, sizeof(a)));
}

/* ---- the rest ---- */

static int compat_set_iommu(struct iommufd_ctx *ctx, struct task *t, uint64_t type)
{
	struct iommufd_ioas *ioas;
	bool noiommu;
	int rc = 0;

	mutex_lock(&ctx->lock);
	noiommu = ctx->noiommu;
	mutex_unlock(&ctx->lock);
	if (noiommu) {
		if (type != VFIO_NOIOMMU_IOMMU)
			return -EINVAL;
		return task_capable(t, TASK_CAP_SYS_RAWIO) ? 0 : -EPERM;
	}
	if (type != VFIO_TYPE1_IOMMU && type != VFIO_TYPE1v2_IOMMU)
		return -EINVAL;
	ioas = compat_visit(ctx);
	if (!ioas)
		return -ENODEV;
	if (type == VFIO_TYPE1_IOMMU)
		rc = iopt_set_small(&ioas->iopt, true);
	iommufd_ioas_leave(ioas);
	return rc;
}

static int compat_coherent(struct iommufd_ctx *ctx)
{
	struct iommufd_ioas *ioas = compat_visit(ctx);
	int rc;

	if (!ioas)
		return -ENODEV;
	rc = iommufd_ioas_enforces_coherency(ioas);
	iommufd_ioas_leave(ioas);
	return rc;
}

static int compat_extension(struct iommufd_ctx *ctx, uint64_t extension)
{
	switch (extension) {
	case VFIO_TYPE1_IOMMU:
	case VFIO_TYPE1v2_IOMMU:
	case VFIO_UNMAP_ALL: {
		SCOPED_LOCK(&ctx->lock);
		return !ctx->noiommu;
	}
	case VFIO_DMA_CC_IOMMU:
		return compat_coherent(ctx);
	case VFIO_NOIOMMU_IOMMU:
		return ctx->fd->noiommu;
	default:
		return 0;
	}
}

long iommufd_vfio_ioctl(struct iommufd_ctx *ctx, struct task *t, unsigned cmd, uint64_t arg)
{
	switch (cmd) {
	case VFIO_GET_API_VERSION:
		return VFIO_API_VERSION;
	case VFIO_CHECK_EXTENSION:
		return compat_extension(ctx, arg);
	case VFIO_SET_IOMMU:
		return compat_set_iommu(ctx, t, arg);
	case VFIO_IOMMU_GET_INFO:
		return compat_info(ctx, t, arg);
	case VFIO_IOMMU_MAP_DMA:
		return compat_map(ctx, t, arg);
	case VFIO_IOMMU_UNMAP_DMA:
		return compat_unmap(ctx, t, arg);
	default:
		return -ENOTTY;
	}
}
