/* SPDX-License-Identifier: MIT */
/*
 * A pages object: what one MAP named, a run of a program's memory or of a memfd. Areas of any address spaces share it,
 * after COPY and after a split. Its pages are pinned when somebody needs them, once, and counted once, however many
 * domains and accesses use them; they stay the same pages until the last one lets go.
 */
#ifndef UVFIO_IOMMUFD_PAGES_H
#define UVFIO_IOMMUFD_PAGES_H

#include "iommu/iommu.h"
#include "iommufd/account.h"
#include "mem/mem.h"
#include "task/task.h"

struct iommufd;
struct iommufd_dmabuf;
struct iommufd_pages;

/**
 * iommufd_pages_create - [@uva, +@length) of the task's memory
 * @writable: devices may write it, so the program must be able to
 * @by_mm:    how to count, unless the task may lock any amount
 * Nothing is looked at yet. Return: 0; -EOVERFLOW wraps; -EINVAL no @length, or too much; -ENOMEM
 */
int iommufd_pages_create(struct iommufd *fd, struct task *t, uva_t uva, uint64_t length, bool writable, bool by_mm,
			 struct iommufd_pages **out);
/** iommufd_pages_create_file - bytes of a file: @fd is ours, and is closed in any case; -1: a file that has no pages */
int iommufd_pages_create_file(struct iommufd *fd, struct task *t, int file, uint64_t start, uint64_t length,
			      bool writable, bool by_mm, struct iommufd_pages **out);
/** iommufd_pages_create_dmabuf - bytes of a dma-buf. -EINVAL not in it, or too many; -ENODEV revoked; -ENOMEM */
int iommufd_pages_create_dmabuf(struct iommufd *fd, struct task *t, struct mem_dmabuf *buf, uint64_t start,
				uint64_t length, bool writable, struct iommufd_pages **out);
struct iommufd_pages *iommufd_pages_get(struct iommufd_pages *p);
void iommufd_pages_put(struct iommufd_pages *p);

/** iommufd_pages_offset - where in its first page it begins: byte 0 of the object is that page's first */
uint64_t iommufd_pages_offset(const struct iommufd_pages *p);
/** iommufd_pages_address - the address or file position of a byte of the object */
uint64_t iommufd_pages_address(const struct iommufd_pages *p, uint64_t at);
bool iommufd_pages_writable(const struct iommufd_pages *p);
/** iommufd_pages_is_dmabuf - not memory of a program: nothing to pin, copy, or split; it may be taken away at any time */
bool iommufd_pages_is_dmabuf(const struct iommufd_pages *p);

/**
 * iommufd_pages_hold - pin the pages that bytes [@at, +@length) are in
 * @iova: of byte @at, for large pages
 * Return: 0; -EFAULT, -EINVAL (a file's), -ENOMEM. Nothing of it is held on failure
 */
int iommufd_pages_hold(struct iommufd_pages *p, uint64_t at, uint64_t length, iova_t iova);
/** iommufd_pages_release - the inverse; also of a part, if iommufd_pages_cut() made it one */
void iommufd_pages_release(struct iommufd_pages *p, uint64_t at, uint64_t length);
/** iommufd_pages_cut - what is held can be released up to byte @at and from it on, which is a page's first. -ENOMEM */
int iommufd_pages_cut(struct iommufd_pages *p, uint64_t at);

/* Where a domain is to show what a pages object holds. */
struct iommufd_place {
	struct iommu_domain *dom;
	iova_t iova;
	uint64_t length; /* bytes */
	unsigned prot;
	bool small;      /* pages of 4 KiB at most */
};

/**
 * iommufd_pages_map - translate to bytes from @at on, which are held. As iommu_map(), nothing stays on failure
 * What is revoked is not translated, which is no failure.
 */
int iommufd_pages_map(struct iommufd_pages *p, uint64_t at, const struct iommufd_place *to);
/** iommufd_pages_hold_map - iommufd_pages_hold() and that, or nothing of both */
int iommufd_pages_hold_map(struct iommufd_pages *p, uint64_t at, const struct iommufd_place *to);
/** iommufd_pages_unmapped - what iommufd_pages_map() has translated at @iova is not any more; @dom may go afterwards */
void iommufd_pages_unmapped(struct iommufd_pages *p, struct iommu_domain *dom, iova_t iova);
/** iommufd_pages_phys - the addresses of the pages that the bytes are in, which are held; returns how many */
uint64_t iommufd_pages_phys(struct iommufd_pages *p, uint64_t at, uint64_t length, phys_t *out);
/**
 * iommufd_pages_run - where byte @at, which is held, is to a device without IOMMU: a place in the machine's RAM
 * @length: bytes from there on that follow each other, at most as many as it says before. Return: 0; -ENOMEM; -EINVAL revoked
 */
int iommufd_pages_run(struct iommufd_pages *p, uint64_t at, uint64_t *length, phys_t *out);
/* A copy under way. */
struct iommufd_pages_copy {
	struct iommufd_pages *pages;
	uint64_t at, length;  /* bytes */
	bool held;            /* of pages that are pinned; else of what the process has there now */
	uint64_t first, last; /* pages held for it */
};

/**
 * iommufd_pages_copy_begin - bytes [@at, +@length) of an object that stays until the end are going to be copied
 * @mm: whose process asks; NULL: nobody's. Return: 0; a file's: -EINVAL, -ENOMEM (spec 30, 5)
 */
int iommufd_pages_copy_begin(struct iommufd_pages *p, struct mm *mm, uint64_t at, uint64_t length,
			     struct iommufd_pages_copy *out);
/** iommufd_pages_copy - no lock held: it may take as long as the process likes. -EFAULT */
int iommufd_pages_copy(const struct iommufd_pages_copy *c, void *data, bool write);
void iommufd_pages_copy_end(struct iommufd_pages_copy *c);

/*
 * CHANGE_PROCESS, in steps, between iopt_mover_begin() and end: is it possible, charge the new one, and then
 * for all either take the old charge back or (@undo) the new one.
 */
bool iommufd_pages_movable(const struct iommufd_pages *p);
int iommufd_pages_move_begin(struct iommufd_pages *p, struct task *t);
void iommufd_pages_move_end(struct iommufd_pages *p, struct task *t, bool undo);

/* ---- dmabuf.c: a dma-buf as what a pages object leads to; bytes are those of the dma-buf ---- */

/** iommufd_dmabuf_create - bytes [@start, +@length) of it, not wrapping. -EINVAL; -ENODEV; -ENOMEM */
int iommufd_dmabuf_create(struct mem_dmabuf *buf, uint64_t start, uint64_t length, struct iommufd_dmabuf **out);
void iommufd_dmabuf_destroy(struct iommufd_dmabuf *d); /* nothing shows it; NULL is fine */
/** iommufd_dmabuf_map - as iommufd_pages_map() */
int iommufd_dmabuf_map(struct iommufd_dmabuf *d, uint64_t at, uint64_t length, struct iommu_domain *dom, iova_t iova,
		       unsigned prot, bool small);
void iommufd_dmabuf_unmapped(struct iommufd_dmabuf *d, struct iommu_domain *dom, iova_t iova);
/** iommufd_dmabuf_phys - where byte @at is; all others are around it. -EINVAL revoked */
int iommufd_dmabuf_phys(struct iommufd_dmabuf *d, uint64_t at, phys_t *out);

/* ---- filemap.c: a file as an address space ---- */

/**
 * iommufd_filemap_create - addresses are positions in the file; only memfds, shmem and hugetlbfs have pages
 * Context: no lock held, as it asks the file. -ENOMEM
 */
int iommufd_filemap_create(int file, bool writable, struct mm **out);

#endif
