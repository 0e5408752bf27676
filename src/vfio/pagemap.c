/* SPDX-License-Identifier: MIT */
/*
 * /proc/self/pagemap of a machine that has a device without IOMMU: where programs learn the physical addresses
 * that such a device takes. A program that is on Linux would read the frames of the host here, and the device
 * models have no business there; so it reads frames of the machine's RAM (mem/ram.c), and for a mapped BAR the
 * frames of its bus addresses.
 *
 * The file is of the address space that opened it. Frames are shown to openers with CAP_SYS_ADMIN, others
 * read zeros in their place, as on Linux. Every mapped page counts as present, touched or not.
 */
#include "vfio/priv.h"
#include <fcntl.h>

#define PAGEMAP    "/proc/self/pagemap"
#define ENTRY      sizeof(uint64_t)
#define ENTRIES    512                   /* made at a time */
#define ENTRIES_MAX (64 * 1024)          /* in one read: more is read in parts */
#define PAGES      (1ull << (47 - UVFIO_PAGE_SHIFT)) /* of user space */

#define PRESENT BIT64(63)
#define SHARED  BIT64(61) /* a page of a file, or of shared memory */
#define PFN     (BIT64(55) - 1)

struct pagemap {
	struct mem *mem;      /* [I] */
	struct mm *mm;        /* [I] with a reference */
	bool frames;          /* [I] may be seen */
};

/* A page of a BAR; 0: it does not answer. */
static phys_t bar_page(const struct mm_area *a, uva_t page)
{
	uint64_t length = 0;
	phys_t phys = 0;

	if (!a->file->ops->dma_target ||
	    a->file->ops->dma_target(a->file, a->file_offset + (page - a->start), &phys, &length))
		return 0;
	return phys;
}

static uint64_t entry(struct pagemap *pm, const struct mm_area *a, uva_t page)
{
	uint64_t e = PRESENT | (a->shared || a->ino || a->file ? SHARED : 0);
	phys_t phys = 0;

	if (!pm->frames)
		return e;
	if (a->file)
		phys = bar_page(a, page);
	else if (mem_ram_locate(pm->mem, pm->mm, page, &phys, NULL))
		return 0; /* no RAM is left: as good as not there */
	return e | (phys >> UVFIO_PAGE_SHIFT & PFN);
}

/* Entries of @n pages from number @first on. */
static void entries(struct pagemap *pm, uint64_t first, unsigned n, uint64_t *out)
{
	struct mm_area a = { .start = 1, .last = 0 }; /* none */

	for (unsigned i = 0; i < n; i++) {
		uva_t page = (first + i) << UVFIO_PAGE_SHIFT;

		out[i] = 0;
		if (page < a.start || page > a.last) {
			a = (struct mm_area){ .start = 1, .last = 0 };
			if (pm->mm->ops->area(pm->mm, page, &a)) {
				a = (struct mm_area){ .start = 1, .last = 0 };
				continue;
			}
		}
		if (a.readable || a.writable)
			out[i] = entry(pm, &a, page);
	}
}

static ssize_t pagemap_read(struct file *f, struct task *t, uva_t buf, size_t count, uint64_t pos)
{
	uint64_t out[ENTRIES], first = pos / ENTRY, left;
	size_t done = 0;

	if (pos % ENTRY || count % ENTRY)
		return -EINVAL;
	if (first >= PAGES)
		return 0;
	left = MIN(MIN(count / ENTRY, PAGES - first), (uint64_t)ENTRIES_MAX);
	while (left) {
		unsigned n = (unsigned)MIN(left, (uint64_t)ENTRIES);

		entries(f->priv, first, n, out);
		if (task_copy_out(t, buf + done, out, n * ENTRY))
			return done ? (ssize_t)done : -EFAULT;
		done += n * ENTRY;
		first += n;
		left -= n;
	}
	return (ssize_t)done;
}

static void pagemap_release(struct file *f)
{
	struct pagemap *pm = f->priv;

	mm_put(pm->mm);
	free(pm);
}

static const struct file_ops pagemap_ops = {
	.name = PAGEMAP,
	.read = pagemap_read,
	.release = pagemap_release,
};

static int pagemap_open(void *priv, struct task *t, int oflags, struct file **out)
{
	struct vfio *vfio = priv;
	struct pagemap *pm;
	int rc;

	if ((oflags & O_ACCMODE) != O_RDONLY)
		return -EACCES;
	if (!t->mm)
		return -ESRCH;
	pm = calloc(1, sizeof(*pm));
	if (!pm)
		return -ENOMEM;
	pm->mem = vfio->mem;
	pm->mm = mm_get(t->mm);
	pm->frames = task_capable(t, TASK_CAP_SYS_ADMIN);
	rc = file_create(t, &pagemap_ops, pm, oflags, S_IFREG | 0400, out);
	if (rc) {
		mm_put(pm->mm);
		free(pm);
		return rc;
	}
	(*out)->seek = FILE_SEEK_POS;
	return 0;
}

int vfio_pagemap_init(struct vfio *vfio)
{
	int rc = tree_root(vfio->tree, PAGEMAP);

	return rc ? rc : tree_chr(vfio->tree, PAGEMAP, 0400, 0, pagemap_open, vfio);
}

void vfio_pagemap_fini(struct vfio *vfio)
{
	tree_remove(vfio->tree, PAGEMAP);
}
