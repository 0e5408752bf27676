/* SPDX-License-Identifier: MIT */
/* A type1 instance: what it can do, its life, its table of requests. See type1.h. */
#include "vfio/type1.h"
#include <assert.h>

uint64_t type1_pgsize(const struct vfio_type1 *t1)
{
	return t1->pgsizes & -t1->pgsizes;
}

static int type1_create(struct vfio *vfio, struct task *t, uint64_t type, struct vfio_backend **out)
{
	struct vfio_type1 *t1;

	if (type != VFIO_TYPE1_IOMMU && type != VFIO_TYPE1v2_IOMMU)
		return -EINVAL; /* UNMAP_ALL: an extension that the probe claims, but no type */
	t1 = calloc(1, sizeof(*t1));
	if (!t1)
		return -ENOMEM;
	t1->vfio = vfio;
	t1->backend.ops = &vfio_type1_ops;
	ref_init(&t1->backend.ref);
	t1->v2 = type == VFIO_TYPE1v2_IOMMU;
	mutex_init(&t1->devices_lock, RANK_TYPE1_DEVICES);
	mutex_init(&t1->lock, RANK_TYPE1);
	cond_init(&t1->idle);
	LIST_INIT(&t1->devices);
	LIST_INIT(&t1->emulated);
	slab_init(&t1->memory, sizeof(struct type1_mapping));
	LIST_INIT(&t1->domains);
	t1->pgsizes = -(uint64_t)UVFIO_PAGE_SIZE;
	t1->dma_avail = atomic_load(&vfio->dma_entry_limit);
	*out = &t1->backend;
	return 0;
}

static void type1_destroy(struct vfio_backend *b)
{
	struct vfio_type1 *t1 = type1_of(b);

	assert(type1_gone(t1) && LIST_EMPTY(&t1->devices));
	type1_mappings_fini(t1);
	slab_fini(&t1->memory);
	free(t1->valid);
	cond_fini(&t1->idle);
	mutex_fini(&t1->lock);
	mutex_fini(&t1->devices_lock);
	free(t1);
}

static bool all_enforce_coherency(struct vfio_type1 *t1)
{
	struct type1_domain *d;

	SCOPED_LOCK(&t1->lock);
	LIST_FOREACH(d, &t1->domains, link) {
		if (!d->enforces_coherency)
			return false;
	}
	return true;
}

static bool has_emulated(struct vfio_type1 *t1)
{
	SCOPED_LOCK(&t1->lock);
	return !LIST_EMPTY(&t1->emulated);
}

static int type1_check_extension(struct vfio *vfio, struct vfio_backend *b, uint64_t extension)
{
	struct vfio_type1 *t1 = b ? type1_of(b) : NULL;

	switch (extension) {
	case VFIO_TYPE1_IOMMU:
	case VFIO_TYPE1v2_IOMMU:
		return 1;
	case VFIO_UNMAP_ALL:
		return vfio_has(vfio, VFIO_WITHOUT_UNMAP_ALL);
	case VFIO_UPDATE_VADDR:
		return t1 && vfio_has(vfio, VFIO_WITHOUT_UPDATE_VADDR) && !has_emulated(t1);
	case VFIO_DMA_CC_IOMMU:
		return t1 && all_enforce_coherency(t1);
	default:
		return 0;
	}
}

VFIO_IOCTL_TABLE(type1_request, struct vfio_type1);
static const struct type1_request type1_requests[] = {
	{ VFIO_IOMMU_MAP_DMA, type1_map_ioctl },
	{ VFIO_IOMMU_UNMAP_DMA, type1_unmap_ioctl },
	{ VFIO_IOMMU_GET_INFO, type1_info_ioctl },
	{ VFIO_IOMMU_DIRTY_PAGES, type1_dirty_ioctl },
};

static long type1_ioctl(struct vfio_backend *b, struct task *t, unsigned cmd, uint64_t arg)
{
	struct vfio_type1 *t1 = type1_of(b);

	for (size_t i = 0; i < ARRAY_SIZE(type1_requests); i++) {
		if (type1_requests[i].cmd == cmd)
			return type1_requests[i].fn(t1, t, arg);
	}
	return -ENOTTY;
}

const struct vfio_backend_ops vfio_type1_ops = {
	.name = "type1",
	.option = VFIO_WITHOUT_TYPE1,
	.check_extension = type1_check_extension,
	.create = type1_create,
	.destroy = type1_destroy,
	.attach = type1_attach,
	.detach = type1_detach,
	.ioctl = type1_ioctl,
	.device_open = type1_device_open,
	.device_close = type1_device_close,
	.pin = type1_pin,
	.unpin = type1_unpin,
	.dma_rw = type1_dma_rw,
};
