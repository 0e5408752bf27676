/* SPDX-License-Identifier: MIT */
/*
 * DMA to BARs by others: ranges of a BAR are handed out as a dma-buf, which an address space of iommufd maps (spec 20,
 * 3.6 and 6).
 *
 * What is handed out is gated as mappings are: whatever blocks memory revokes every dma-buf of the device, on which
 * importers lose it, and whatever lets memory through again allows new imports, no more. A dma-buf that is exported while
 * memory is disabled is born revoked. The last close revokes all for good; files of them stay, and lead nowhere.
 *
 * Low power mode does not make a dma-buf be born revoked, though it revokes those there are; as on Linux.
 */
#include "vfio/pci/priv.h"
#include <fcntl.h>

#define RANGES_MAX (4 * 1024 * 1024 / sizeof(struct vfio_region_dma_range)) /* what Linux allocates in one piece */

struct vfio_pci_dmabuf {
	LIST_ENTRY(vfio_pci_dmabuf) link;
	struct mem_dmabuf *buf;
};

/* ---- what was exported ---- */

void vfio_pci_dmabufs_block_locked(struct vfio_pci_device *v, bool blocked)
{
	struct vfio_pci_dmabuf *e;

	LIST_FOREACH(e, &v->dmabufs, link) {
		if (blocked)
			mem_dmabuf_revoke(e->buf);
		else
			mem_dmabuf_restore(e->buf);
	}
}

static void forget(struct vfio_pci_dmabuf *e)
{
	LIST_REMOVE(e, link);
	mem_dmabuf_put(e->buf);
	free(e);
}

void vfio_pci_dmabufs_destroy(struct vfio_pci_device *v)
{
	SCOPED_WRITE(&v->memory_lock);
	vfio_pci_dmabufs_block_locked(v, true);
	while (!LIST_EMPTY(&v->dmabufs))
		forget(LIST_FIRST(&v->dmabufs));
}

/* Nobody tells when the last file of one is closed; so a new one is the occasion to look. */
static void remember(struct vfio_pci_device *v, struct vfio_pci_dmabuf *new)
{
	struct vfio_pci_dmabuf *e, *next;

	SCOPED_WRITE(&v->memory_lock);
	for (e = LIST_FIRST(&v->dmabufs); e; e = next) {
		next = LIST_NEXT(e, link);
		if (mem_dmabuf_unused(e->buf))
			forget(e);
	}
	if (!vfio_pci_memory_enabled_locked(v))
		mem_dmabuf_revoke(new->buf);
	LIST_INSERT_HEAD(&v->dmabufs, new, link);
}

/* ---- exporting ---- */

static int ranges_length(const struct vfio_region_dma_range *r, unsigned n, uint64_t *length)
{
	*length = 0;
	for (unsigned i = 0; i < n; i++) {
		if (!r[i].length || !IS_ALIGNED(r[i].offset | r[i].length, UVFIO_PAGE_SIZE) ||
		    __builtin_add_overflow(*length, r[i].length, length))
			return -EINVAL;
	}
	return *length >> 63 ? -EINVAL : 0;
}

static int ranges_inside(const struct vfio_region_dma_range *r, unsigned n, const struct pci_bar *bar, uint64_t size)
{
	for (unsigned i = 0; i < n; i++) {
		uint64_t start, end;

		if (__builtin_add_overflow(bar->address, r[i].offset, &start) ||
		    __builtin_add_overflow(start, r[i].length, &end))
			return -EOVERFLOW;
		if (end > bar->address + size)
			return -EINVAL;
	}
	return 0;
}

static int ranges_create(struct vfio_pci_device *v, const struct vfio_device_feature_dma_buf *h,
			 const struct vfio_region_dma_range *r, struct mem_dmabuf **out)
{
	const struct pci_bar *bar = pci_bar(v->pdev, h->region_index);
	uint64_t length;
	int rc = ranges_length(r, h->nr_ranges, &length);

	if (rc)
		return rc;
	if (!vfio_pci_bar_is_memory(bar))
		return -EINVAL;
	rc = ranges_inside(r, h->nr_ranges, bar, v->bar_size[h->region_index]);
	if (rc)
		return rc;
	return mem_dmabuf_create(h->nr_ranges == 1 ? bar->address + r->offset : MEM_DMABUF_PIECES, length,
				 "vfio_pci_core", out);
}

static int hand_out(struct vfio_pci_device *v, struct task *t, struct mem_dmabuf *buf, int oflags)
{
	struct vfio_pci_dmabuf *e = malloc(sizeof(*e));
	struct file *f;
	int rc;

	if (!e)
		return -ENOMEM;
	rc = mem_dmabuf_open(buf, t, oflags & (O_ACCMODE | O_NONBLOCK), &f);
	if (rc) {
		free(e);
		return rc;
	}
	e->buf = mem_dmabuf_get(buf);
	remember(v, e);
	rc = task_fd_install(t, f, oflags & (O_ACCMODE | O_CLOEXEC));
	file_put(f);
	return rc;
}

static long export(struct vfio_pci_device *v, struct task *t, const struct vfio_device_feature_dma_buf *h, uva_t ranges)
{
	AUTO_FREE struct vfio_region_dma_range *r = NULL;
	struct mem_dmabuf *buf;
	int rc;

	if (h->nr_ranges > RANGES_MAX)
		return -ENOMEM;
	r = calloc(h->nr_ranges, sizeof(*r));
	if (!r)
		return -ENOMEM;
	if (task_copy_in(t, r, ranges, h->nr_ranges * sizeof(*r)))
		return -EFAULT;
	rc = ranges_create(v, h, r, &buf);
	if (rc)
		return rc;
	rc = hand_out(v, t, buf, (int)h->open_flags);
	mem_dmabuf_put(buf);
	return rc;
}

long vfio_pci_dmabuf_feature(struct vfio_pci_device *v, struct task *t, uint32_t flags, uva_t data, size_t size)
{
	struct vfio_device_feature_dma_buf h;
	int rc = vfio_feature_check(flags, size, VFIO_DEVICE_FEATURE_GET, sizeof(h));

	if (rc != 1)
		return rc;
	if (task_copy_in(t, &h, data, sizeof(h)))
		return -EFAULT;
	if (!h.nr_ranges || h.flags)
		return -EINVAL;
	if (h.region_index >= VFIO_PCI_NBARS || !v->bar_size[h.region_index])
		return -ENODEV;
	return export(v, t, &h, data + sizeof(h));
}
