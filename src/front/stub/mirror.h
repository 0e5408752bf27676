/* SPDX-License-Identifier: MIT */
/*
 * Registers that the stub can read without asking: one file of memory, written by the machine, mapped read-only by
 * the stub of every process (STUB_MIRROR).
 *
 * It has pages, each the values of the mirrored registers of one page of a BAR, and a directory: which page of which
 * file (device and inode of what the program has mapped) is shown by which of them. A device opened twice has two
 * files and one set of pages (base/mirror.h), which pci/ maintains. Registers whose load has a side effect are not to be
 * mirrored. Whoever can run a program under the stub can read all mirrored values.
 */
#ifndef UVFIO_FRONT_STUB_MIRROR_H
#define UVFIO_FRONT_STUB_MIRROR_H

#include "base/mirror.h"
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* ---- as it lies in memory ---- */

#define STUB_MIRROR_PAGES   1024
#define STUB_MIRROR_ENTRIES 4096 /* a power of two, never more than half full */

struct stub_mirror_entry {
	uint64_t ino;         /* 0: free */
	uint64_t offset;      /* in the file, of the page */
	uint32_t major, minor;
	uint32_t page;        /* in page[] */
	uint32_t reserved;
};

struct stub_mirror_file {
	uint64_t seq;         /* odd while the directory changes */
	uint64_t reserved[7];
	struct stub_mirror_entry entry[STUB_MIRROR_ENTRIES];
	struct mirror_page page[STUB_MIRROR_PAGES];
};

static inline uint32_t stub_mirror_hash(uint64_t ino, uint64_t offset)
{
	return (uint32_t)((ino * 0x9e3779b97f4a7c15ull ^ (offset >> 12) * 0xc2b2ae3d27d4eb4full) >> 32);
}

/* ---- the machine's side; may be called from any thread ---- */

struct stub_mirror;

/** stub_mirror_create - 0; -ENOMEM, -EMFILE ... */
int stub_mirror_create(struct stub_mirror **out);
/** stub_mirror_destroy - NULL is fine; processes that map it keep the memory as it is */
void stub_mirror_destroy(struct stub_mirror *m);
/** stub_mirror_fd - for struct stub_hello; borrowed */
int stub_mirror_fd(const struct stub_mirror *m);
size_t stub_mirror_size(const struct stub_mirror *m);

/** stub_mirror_pool - for who maintains pages; and back */
struct mirror_pool *stub_mirror_pool(struct stub_mirror *m);
struct stub_mirror *stub_mirror_of(struct mirror_pool *pool);
/** stub_mirror_page_alloc - a page without any valid register, blocked; NULL: all are in use, do without */
struct mirror_page *stub_mirror_page_alloc(struct stub_mirror *m);
/** stub_mirror_page_free - and all its places in the directory; NULL is fine */
void stub_mirror_page_free(struct stub_mirror *m, struct mirror_page *page);
/**
 * stub_mirror_bind - let @page be what lies at @offset (page-aligned) of file @dev, @ino
 * Return: 0, also if it was so already; -EINVAL it is not of @m; -ENOSPC: such loads go by RPC as before
 */
int stub_mirror_bind(struct stub_mirror *m, dev_t dev, ino_t ino, uint64_t offset, struct mirror_page *page);
/** stub_mirror_unbind - the file goes away: forget all its pages */
void stub_mirror_unbind(struct stub_mirror *m, dev_t dev, ino_t ino);

#endif
