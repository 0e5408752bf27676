/* SPDX-License-Identifier: MIT */
/* A type1 instance: what it can do, its life, its table of requests. See type1.h. */
#include "vfio/type1.h"
#include <assert.h>

uint64_t type1_pgsize(const struct vfio_type1 *t1)
{
	return t1->pgsizes & -t1->pgsizes;
}

int vfio_type1_create(struct vfio *vfio, uint64_t type, struct vfio_type1 **out)
{
	struct vfio_type1 *t1;

	if (type != VFIO_TYPE1_IOMMU && type != VFIO_TYPE1v2_IOMMU)
		return -EINVAL; /* UNMAP_ALL: an extension that the probe claims, but no type */
	t1 = calloc(1, sizeof(*t1));
	if (!t1)
		return -ENOMEM;
	t1->vfio = vfio;
	ref_init(&t1->ref);
	t1->v2 = type == VFIO_TYPE1v2_IOMMU;
	mutex_init(&t1->lock, RANK_TYPE1);
	RB_INIT(&t1->mappings);
	LIST_INIT(&t1->domains);
	t1->pgsizes = -(uint64_t)UVFIO_PAGE_SIZE;
	t1->dma_avail = atomic_load(&vfio->dma_entry_limit);
	*out = t1;
	return 0;
}

struct vfio_type1 *vfio_type1_get(struct vfio_type1 *t1)
{
	if (t1)
		ref_get(&t1->ref);
	return t1;
}

void vfio_type1_put(struct vfio_type1 *t1)
{
	if (!t1 || !ref_put(&t1->ref))
		return;
	assert(LIST_EMPTY(&t1->domains) && RB_EMPTY(&t1->mappings));
	free(t1->valid);
	mutex_fini(&t1->lock);
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

int vfio_type1_check_extension(struct vfio_type1 *t1, uint64_t extension)
{
	switch (extension) {
	case VFIO_TYPE1_IOMMU:
	case VFIO_TYPE1v2_IOMMU:
	case VFIO_UNMAP_ALL:
		return 1;
	case VFIO_UPDATE_VADDR: /* 0 with an emulated group attached */
		return t1 != NULL;
	case VFIO_DMA_CC_IOMMU:
		return t1 && all_enforce_coherency(t1);
	default:
		return 0;
	}
}

VFIO_IOCTL_TABLE(type1_ioctl, struct vfio_type1);
static const struct type1_ioctl type1_ioctls[] = {
	{ VFIO_IOMMU_MAP_DMA, type1_map_ioctl },
	{ VFIO_IOMMU_UNMAP_DMA, type1_unmap_ioctl },
	{ VFIO_IOMMU_GET_INFO, type1_info_ioctl },
	{ VFIO_IOMMU_DIRTY_PAGES, type1_dirty_ioctl },
};

long vfio_type1_ioctl(struct vfio_type1 *t1, struct task *t, unsigned cmd, uint64_t arg)
{
	for (size_t i = 0; i < ARRAY_SIZE(type1_ioctls); i++) {
		if (type1_ioctls[i].cmd == cmd)
			return type1_ioctls[i].fn(t1, t, arg);
	}
	return -ENOTTY;
}
