/* SPDX-License-Identifier: MIT */
/*
 * pread and pwrite of a region: config space (config.c), the ROM (rom.c), BARs, the old addresses of displays, and what
 * a variant has of its own.
 *
 * A transfer is moved through a bounce buffer, so that the caller's memory is touched with no lock held; in it
 * each access to the device has the largest width its alignment allows, and holds memory_lock for itself alone
 * (spec 20, 1.8). Plain memory has no accesses to tell apart and goes in one piece.
 */
#include "vfio/pci/priv.h"
#include <string.h>

#define BOUNCE 4096u
#define CLASS_VGA 0x0300u
#define RW_MAX ((size_t)0x7ffff000) /* what one read or write moves on Linux */

/* A pass over part of a region. */
struct pass {
	struct vfio_pci_device *v;
	unsigned index;
	bool write;
	int (*bytes)(const struct pass *a, uint64_t pos, uint8_t *p, size_t count);
	const struct pci_bar *bar; /* of a BAR; also the next */
	bool plain;                /* nothing but memory */
};

/* Of @count bytes, none outside the region. */
static ssize_t pass_rw(const struct pass *a, struct task *t, uva_t buf, size_t count, uint64_t pos)
{
	uint8_t bytes[BOUNCE];

	for (size_t done = 0; done < count;) {
		/* Later pieces start aligned, so that cutting changes no access. */
		size_t n = MIN(count - done, BOUNCE - (pos + done) % BOUNCE);
		int rc;

		if (a->write && task_copy_in(t, bytes, buf + done, n))
			return -EFAULT;
		rc = a->bytes(a, pos + done, bytes, n);
		if (rc)
			return rc;
		if (!a->write && task_copy_out(t, buf + done, bytes, n))
			return -EFAULT;
		done += n;
	}
	return (ssize_t)count;
}

/* ---- BARs ---- */

static int bar_do(const struct pass *a, uint64_t pos, uint8_t *p, unsigned width)
{
	struct vfio_pci_device *v = a->v;

	SCOPED_READ(&v->memory_lock);
	if (a->bar->kind != PCI_BAR_IO && !vfio_pci_memory_enabled_locked(v))
		return -EIO;
	if (a->plain)
		mem_shm_access(a->bar->shm, pos, p, width, a->write);
	else
		pci_bar_access(v->pdev, a->index, pos, p, width, a->write);
	return 0;
}

static unsigned access_width(const struct pass *a, uint64_t pos, size_t count)
{
	if (a->plain)
		return (unsigned)count;
	for (unsigned w = 8; w > 1; w /= 2) {
		if (count >= w && IS_ALIGNED(pos, w))
			return w;
	}
	return 1;
}

/* [@p, +@count) to or from the BAR. The MSI-X table reads as ones and takes no writes. */
static int bar_bytes(const struct pass *a, uint64_t pos, uint8_t *p, size_t count)
{
	struct vfio_pci_device *v = a->v;
	bool table = a->index == v->msix_bar;

	while (count) {
		size_t n = count;
		int rc = 0;

		if (table && pos < v->msix_start)
			n = MIN(n, v->msix_start - pos);
		if (table && pos >= v->msix_start && pos < v->msix_end) {
			n = MIN(n, v->msix_end - pos);
			if (!a->write)
				memset(p, 0xff, n);
		} else {
			n = access_width(a, pos, n);
			rc = bar_do(a, pos, p, (unsigned)n);
		}
		if (rc)
			return rc;
		pos += n;
		p += n;
		count -= n;
	}
	return 0;
}

static struct pass bar_pass(struct vfio_pci_device *v, unsigned index, bool write)
{
	struct pass a = { .v = v, .index = index, .write = write, .bytes = bar_bytes, .bar = pci_bar(v->pdev, index) };

	a.plain = a.bar->shm && index != v->msix_bar && index != v->pba_bar;
	return a;
}

int vfio_pci_bar_bytes(struct vfio_pci_device *v, unsigned bar, uint64_t pos, void *data, size_t count, bool write)
{
	struct pass a = bar_pass(v, bar, write);

	return bar_bytes(&a, pos, data, count);
}

static ssize_t bar_rw(struct vfio_pci_device *v, unsigned index, struct task *t, uva_t buf, size_t count, uint64_t pos,
		      bool write)
{
	struct pass a = bar_pass(v, index, write);

	if (pos >= v->bar_size[index] || !a.bar->address)
		return -EINVAL;
	return pass_rw(&a, t, buf, MIN(count, v->bar_size[index] - pos), pos);
}

/* ---- VGA ---- */

bool vfio_pci_has_vga(const struct vfio_pci_device *v)
{
	return v->pdev->class_code >> 8 == CLASS_VGA && !v->vp->disable_vga;
}

/* The end of the window that @pos is in; 0: it is in none */
static unsigned vga_window_end(uint64_t pos)
{
	if (pos >= 0xa0000 && pos < 0xc0000)
		return 0xc0000;
	if (pos >= 0x3b0 && pos < 0x3bc)
		return 0x3bc;
	return pos >= 0x3c0 && pos < 0x3e0 ? 0x3e0 : 0;
}

static int vga_bytes(const struct pass *a, uint64_t pos, uint8_t *p, size_t n)
{
	while (n) {
		unsigned w = 4;

		while (w > n || pos % w)
			w /= 2;
		pci_vga_access(a->v->pdev, (unsigned)pos, p, w, a->write);
		pos += w;
		p += w;
		n -= w;
	}
	return 0;
}

/* Memory need not be enabled: whoever gives out the old addresses sees to that. */
static ssize_t vga_rw(struct vfio_pci_device *v, struct task *t, uva_t buf, size_t count, uint64_t pos, bool write)
{
	const struct pass a = { .v = v, .write = write, .bytes = vga_bytes };
	unsigned end = vfio_pci_has_vga(v) ? vga_window_end(pos) : 0;

	return end ? pass_rw(&a, t, buf, MIN(count, end - pos), pos) : -EINVAL;
}

/* ---- regions of a variant's own ---- */

static int own_bytes(const struct pass *a, uint64_t pos, uint8_t *p, size_t n)
{
	return vfio_pci_own_region(a->v, a->index)->rw(a->v, pos, p, n, a->write);
}

static ssize_t own_rw(struct vfio_pci_device *v, unsigned index, struct task *t, uva_t buf, size_t count, uint64_t pos,
		      bool write)
{
	const struct pass a = { .v = v, .index = index, .write = write, .bytes = own_bytes };
	const struct vfio_pci_region *r = vfio_pci_own_region(v, index);
	uint64_t size = r ? r->size(v) : 0;

	if (pos >= size || !(r->flags & (write ? VFIO_REGION_INFO_FLAG_WRITE : VFIO_REGION_INFO_FLAG_READ)))
		return -EINVAL;
	return pass_rw(&a, t, buf, MIN(count, size - pos), pos);
}

/* ---- regions ---- */

static ssize_t region_rw(struct vfio_pci_device *v, struct task *t, uva_t buf, size_t count, uint64_t pos, bool write)
{
	uint64_t index = pos >> VFIO_PCI_OFFSET_SHIFT;

	pos &= VFIO_PCI_OFFSET_MASK;
	if (index < VFIO_PCI_NBARS)
		return bar_rw(v, (unsigned)index, t, buf, count, pos, write);
	if (index == VFIO_PCI_ROM_REGION_INDEX)
		return write ? -EINVAL : vfio_pci_rom_read(v, t, buf, count, pos);
	if (index == VFIO_PCI_CONFIG_REGION_INDEX)
		return vfio_pci_config_rw(v, t, buf, count, pos, write);
	if (index == VFIO_PCI_VGA_REGION_INDEX)
		return vga_rw(v, t, buf, count, pos, write);
	return own_rw(v, (unsigned)MIN(index, UINT32_MAX), t, buf, count, pos, write);
}

static ssize_t device_rw(struct vfio_device *vdev, struct task *t, uva_t buf, size_t count, uint64_t pos, bool write)
{
	struct vfio_pci_device *v = vfio_pci_device_of(vdev);
	ssize_t n;

	if (!count)
		return 0;
	vfio_pci_call_begin(v);
	n = region_rw(v, t, buf, MIN(count, RW_MAX), pos, write);
	vfio_pci_call_end(v);
	return n;
}

ssize_t vfio_pci_device_read(struct vfio_device *vdev, struct task *t, uva_t buf, size_t count, uint64_t pos)
{
	return device_rw(vdev, t, buf, count, pos, false);
}

ssize_t vfio_pci_device_write(struct vfio_device *vdev, struct task *t, uva_t buf, size_t count, uint64_t pos)
{
	return device_rw(vdev, t, buf, count, pos, true);
}
