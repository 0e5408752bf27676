/* SPDX-License-Identifier: MIT */
/*
 * Mappings of BARs: what may be mapped (spec 20, 1.6 and 1.7), what lies behind each page, and the accesses
 * that are carried here.
 *
 * A page is plain memory or trapped, and stays so while the device is open; whether it answers is another
 * matter. While memory is disabled plain memory is blocked (every touch of it is a fault, which the front end
 * carries to mmio()), and mmio() says what comes of it (blocked.c). So mmio() serves plain pages as well: a touch that
 * faulted only because a reset was under way waits here for the lock, and then succeeds (spec 20, 3.4).
 *
 * The MSI-X table may be mapped with the rest, and read; a store to it reaches nothing, as routing is the
 * host's (spec 20, 4.6). Pages that hold the table or the pending bits are trapped even in a plain BAR.
 */
#include "vfio/pci/priv.h"
#include <string.h>
#include <sys/mman.h>

/* ---- may it be mapped ---- */

struct page_scan {
	phys_t page;
	const struct pci_bar *except;
};

/* Does a BAR of @d, other than the one asked for, lie in the page? */
static int page_taken(struct pci_dev *d, void *ctx)
{
	const struct page_scan *s = ctx;

	for (unsigned i = 0; i < VFIO_PCI_NBARS; i++) {
		const struct pci_bar *bar = pci_bar(d, i);

		if (bar == s->except || !vfio_pci_bar_is_memory(bar))
			continue;
		if (bar->address < s->page + UVFIO_PAGE_SIZE && s->page < bar->address + bar->size)
			return 1;
	}
	return 0;
}

bool vfio_pci_bar_mappable(struct vfio_pci_device *v, unsigned index)
{
	const struct pci_bar *bar = pci_bar(v->pdev, index);
	struct page_scan scan = { .page = bar->address, .except = bar };

	if (!vfio_pci_bar_is_memory(bar))
		return false;
	if (bar->size >= UVFIO_PAGE_SIZE)
		return true;
	/* The rest of its page must be nobody's. Windows of bridges are larger than that: only the bus counts. */
	if (!IS_ALIGNED(bar->address, UVFIO_PAGE_SIZE) || page_taken(v->pdev, &scan))
		return false;
	return pci_hot_reset_scope(v->pdev, page_taken, &scan) <= 0;
}

int vfio_pci_device_mmap(struct vfio_device *vdev, struct task *t, const struct file_mmap *m)
{
	struct vfio_pci_device *v = vfio_pci_device_of(vdev);
	uint64_t index = m->offset >> VFIO_PCI_OFFSET_SHIFT;
	uint64_t pos = m->offset & VFIO_PCI_OFFSET_MASK;
	uint64_t size;

	if (index >= VFIO_PCI_NUM_REGIONS || !(m->flags & MAP_SHARED))
		return -EINVAL;
	if (index >= VFIO_PCI_NBARS || !v->bar_mmap[index])
		return -EINVAL;
	size = ALIGN_UP(v->bar_size[index], UVFIO_PAGE_SIZE);
	if (!m->length || m->length > size || pos > size - ALIGN_UP(m->length, UVFIO_PAGE_SIZE))
		return -EINVAL;
	return 0;
}

/* ---- what is behind a page ---- */

static bool range_in_page(uint64_t page, uint64_t start, uint64_t end)
{
	return start < page + UVFIO_PAGE_SIZE && page < end;
}

/* Are the table or the pending bits in this page of the BAR? */
static bool page_is_msix(struct vfio_pci_device *v, unsigned index, uint64_t page)
{
	if (index == v->msix_bar && range_in_page(page, v->msix_start, v->msix_end))
		return true;
	return index == v->pba_bar && range_in_page(page, v->pba_start, v->pba_end);
}

void vfio_pci_device_page(struct vfio_device *vdev, uint64_t offset, struct file_page *out)
{
	struct vfio_pci_device *v = vfio_pci_device_of(vdev);
	uint64_t index = offset >> VFIO_PCI_OFFSET_SHIFT;
	uint64_t pos = ALIGN_DOWN(offset & VFIO_PCI_OFFSET_MASK, (uint64_t)UVFIO_PAGE_SIZE);
	const struct pci_bar *bar;
	uint64_t end;
	bool msix;

	*out = (struct file_page){ .kind = FILE_PAGE_NONE, .memfd = -1, .length = UVFIO_PAGE_SIZE };
	if (index >= VFIO_PCI_NBARS || !v->bar_mmap[index])
		return;
	bar = pci_bar(v->pdev, (unsigned)index);
	if (pos >= v->bar_size[index])
		return;
	msix = page_is_msix(v, (unsigned)index, pos);
	out->kind = bar->shm && !msix ? FILE_PAGE_PLAIN : FILE_PAGE_TRAP;
	end = ALIGN_UP(v->bar_size[index], UVFIO_PAGE_SIZE);
	if (bar->shm && msix) {
		end = pos + UVFIO_PAGE_SIZE;
	} else if (bar->shm) {
		if (index == v->msix_bar && v->msix_start > pos)
			end = MIN(end, ALIGN_DOWN(v->msix_start, UVFIO_PAGE_SIZE));
		if (index == v->pba_bar && v->pba_start > pos)
			end = MIN(end, ALIGN_DOWN(v->pba_start, UVFIO_PAGE_SIZE));
	}
	out->length = end - pos;
	if (out->kind == FILE_PAGE_PLAIN) {
		out->memfd = mem_shm_fd(bar->shm);
		out->offset = pos;
	}
}

/* ---- accesses ---- */

/* The bytes of a store that hit the table are lost; the rest arrives as what is left of the access. */
static void store_around_table(struct vfio_pci_device *v, unsigned index, uint64_t pos, uint8_t *p, unsigned width)
{
	uint64_t end = pos + width;

	if (index != v->msix_bar || end <= v->msix_start || pos >= v->msix_end) {
		pci_bar_access(v->pdev, index, pos, p, width, true);
		return;
	}
	if (pos < v->msix_start)
		pci_bar_access(v->pdev, index, pos, p, (unsigned)(v->msix_start - pos), true);
	if (end > v->msix_end)
		pci_bar_access(v->pdev, index, v->msix_end, p + (v->msix_end - pos),
			       (unsigned)(end - v->msix_end), true);
}

/* Where in which BAR, if it can be mapped, @offset of the file is: 0; -EFAULT beyond its last page. */
static int locate(struct vfio_pci_device *v, uint64_t offset, unsigned *index, uint64_t *pos)
{
	uint64_t region = offset >> VFIO_PCI_OFFSET_SHIFT;

	if (region >= VFIO_PCI_NBARS || !v->bar_mmap[region])
		return -EFAULT;
	*index = (unsigned)region;
	*pos = offset & VFIO_PCI_OFFSET_MASK;
	return *pos < ALIGN_UP(v->bar_size[*index], UVFIO_PAGE_SIZE) ? 0 : -EFAULT;
}

int vfio_pci_device_mmio(struct vfio_device *vdev, struct task *t, uint64_t offset, void *data, unsigned width,
			 bool write)
{
	struct vfio_pci_device *v = vfio_pci_device_of(vdev);
	const struct pci_bar *bar;
	unsigned index, inside;
	uint64_t pos;

	if (locate(v, offset, &index, &pos))
		return -EFAULT;
	bar = pci_bar(v->pdev, index);
	/* Nobody answers in the rest of the page behind a small BAR. */
	inside = pos < bar->size ? (unsigned)MIN(width, bar->size - pos) : 0;
	if (!write)
		memset((uint8_t *)data + inside, 0xff, width - inside);
	SCOPED_READ(&v->memory_lock);
	if (!vfio_pci_memory_enabled_locked(v) || v->low_power) {
		const struct vfio_pci_blocked b = { .bar = index, .offset = pos, .width = width, .write = write };

		return vfio_pci_blocked_access_locked(v, t, b, data);
	}
	if (!inside)
		return 0;
	if (write)
		store_around_table(v, index, pos, data, inside);
	else
		pci_bar_access(v->pdev, index, pos, data, inside, false);
	return 0;
}

/* What it says is blocked with the rest of memory, core.c. */
struct mirror_page *vfio_pci_device_mirror(struct vfio_device *vdev, uint64_t offset)
{
	struct vfio_pci_device *v = vfio_pci_device_of(vdev);
	unsigned index;
	uint64_t pos;

	return locate(v, offset, &index, &pos) ? NULL : pci_bar_mirror_page(v->pdev, index, pos);
}

int vfio_pci_device_dma_target(struct vfio_device *vdev, uint64_t offset, phys_t *phys, uint64_t *length)
{
	struct vfio_pci_device *v = vfio_pci_device_of(vdev);
	const struct pci_bar *bar;
	unsigned index;
	uint64_t pos;

	if (locate(v, offset, &index, &pos))
		return -EFAULT;
	bar = pci_bar(v->pdev, index);
	SCOPED_READ(&v->memory_lock);
	if (!vfio_pci_memory_enabled_locked(v) || v->low_power)
		return -EFAULT;
	*phys = bar->address + pos;
	*length = ALIGN_UP(v->bar_size[index], UVFIO_PAGE_SIZE) - pos;
	return 0;
}
