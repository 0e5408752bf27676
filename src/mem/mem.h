/* SPDX-License-Identifier: MIT */
/*
 * Machine-physical memory: what the IOMMU's translations point at.
 *
 * A phys_t is either a bus address (below 2^40: device BARs, the MSI window) or a place in a region:
 * bits 63..40 are the region's number + 1, bits 39..0 the offset in it. A region is a run of pinned caller
 * memory, or a BAR. So finding what is behind a translation is one array access, never a search, and
 * neighbouring pages of one pin are neighbouring phys_t, which lets page tables use large pages: regions
 * are placed so that (phys mod 1 GiB) can be chosen, see mem_pin().
 *
 * Pinned memory is reached in one of three ways, and nobody above can tell: shared memory is mapped into
 * the machine and copied at memcpy speed; private memory is reached by address through struct mm, or, when
 * true pins were asked for and the host lets us, by its pages, wherever they are mapped by then (hold.c).
 */
#ifndef UVFIO_MEM_MEM_H
#define UVFIO_MEM_MEM_H

#include "base/defs.h"
#include "base/log.h"
#include "file/file.h"
#include "task/task.h"
#include <sys/queue.h>

#define MEM_REGION_SHIFT 40
#define MEM_READ  BIT(0) /* the device may read */
#define MEM_WRITE BIT(1) /* the device may write */
#define MEM_RAM   BIT(2) /* of mem_pin() only: no BARs */

struct mem;
struct mem_pin;

int mem_create(struct log *log, struct mem **out);
void mem_destroy(struct mem *mem);

/* One run of a pin that is contiguous in machine-physical memory. */
struct mem_piece {
	phys_t phys;
	uint64_t length; /* bytes, page multiple */
};

/**
 * mem_pin - pin a range of the caller's memory
 * @uva, @length: page multiples, @length > 0, not wrapping
 * @iova:   where it will be mapped: pieces are placed so that phys and iova agree modulo 1 GiB where
 *          possible, so that large pages fit
 * @prot:   MEM_READ and/or MEM_WRITE, the device's view; WRITE needs memory the caller may write; with MEM_RAM a
 *          mapping of a BAR is -EFAULT
 * @charge: charge locked pages to t->mm (spec 10, 4.4); BAR mappings never are
 * @out:    the pin; holds t->mm
 *
 * Return: 0; -EFAULT not mapped, not permitted, or a BAR whose memory is disabled; -ENOMEM memory or memlock limit;
 *         -TASK_RESTART of struct mm_ops.pin
 * Context: may sleep; takes no lock above RANK_MEM
 * Spec: MAP-09..15, LCK-01..03
 */
int mem_pin(struct mem *mem, struct task *t, uva_t uva, uint64_t length, iova_t iova, unsigned prot, bool charge,
	    struct mem_pin **out);
/**
 * mem_pin_in - the same in storage of the caller's, MEM_PIN_SIZE bytes at a cache line, which is his again after
 * mem_unpin(): for those who keep very many pins beside what they know of them
 */
#define MEM_PIN_SIZE 128
int mem_pin_in(void *storage, struct mem *mem, struct task *t, uva_t uva, uint64_t length, iova_t iova, unsigned prot,
	       bool charge, struct mem_pin **out);
/** mem_unpin - release; no DMA may be able to reach it any more; uncharges; NULL is fine */
void mem_unpin(struct mem_pin *pin);
/** mem_pin_pieces - the pieces in address order; @pieces stays valid until mem_unpin() */
unsigned mem_pin_pieces(const struct mem_pin *pin, const struct mem_piece **pieces);
/**
 * mem_pin_repoint - the same pages are now at @uva of @t's address space (UPDATE_VADDR); moves the charge. -ENOMEM
 * Does not wait for accesses under way, which find the pages where they were.
 */
int mem_pin_repoint(struct mem_pin *pin, struct task *t, uva_t uva);

/**
 * mem_pin_truly - from now on pins hold private memory by its pages, where struct mm_ops.pin can; before the first pin
 * Tries it with a page of this process. What cannot be held so is pinned by address, as without; the first is logged.
 * Return: 0; -errno this host denies it: nothing changes, but mem_pins_unheld() says why
 */
int mem_pin_truly(struct mem *mem);
/** mem_pins_unheld - how many ranges are, or were, pinned by address though true pins were asked for; 0: *@why is 0, or denied at all */
uint64_t mem_pins_unheld(struct mem *mem, int *why);
/** mem_pin_reason - words for *@why */
const char *mem_pin_reason(int why);
/** mem_pin_slot - the system call of struct mm_ops.pin, for who is the address space; @length 0: let go. 0; -errno */
int mem_pin_slot(int ring, unsigned slot, uva_t uva, uint64_t length);

/* A window of bus addresses that belongs to a device: peer-to-peer DMA ends here. */
struct mem_window_ops {
	/* @offset in the window; -EFAULT: target abort */
	int (*read)(void *ctx, uint64_t offset, void *dst, size_t n);
	int (*write)(void *ctx, uint64_t offset, const void *src, size_t n);
};
struct mem_window;
/** mem_window_add - [@base, +@length) below 2^40 answers by @ops. -EEXIST overlaps; -EINVAL; -ENOMEM */
int mem_window_add(struct mem *mem, phys_t base, uint64_t length, const struct mem_window_ops *ops, void *ctx,
		   struct mem_window **out);
/** mem_window_remove - after it returns no access runs: not from its ops, not with a lock they take; NULL is fine */
void mem_window_remove(struct mem_window *w);

/**
 * mem_read, mem_write - move bytes from or to machine-physical memory
 * May cross regions' ends only to fail. Return: 0; -EFAULT nothing there, or the caller has unmapped it
 * (counted by mem_stale()), or a target abort; bytes before the fault may have moved.
 */
int mem_read(struct mem *mem, phys_t phys, void *dst, size_t n);
int mem_write(struct mem *mem, phys_t phys, const void *src, size_t n);
/**
 * mem_exchange - 8 aligned bytes become @is, if they are @was
 * At once for everybody who has that memory, but for private memory: there a program's store may get lost in between.
 * Return: 0; -EAGAIN they are something else; -EFAULT as mem_write(), and for bus addresses
 */
int mem_exchange(struct mem *mem, phys_t phys, uint64_t was, uint64_t is);
/**
 * mem_host - the machine's own pointer to [@phys, +@n), or NULL when it has none (private memory, a BAR).
 * Valid while the pin is. May be cached beside the translation.
 */
void *mem_host(struct mem *mem, phys_t phys, size_t n);
/** mem_prefetch - what is behind @phys is about to be unpinned: where there are very many pins, it is far away */
void mem_prefetch(struct mem *mem, phys_t phys);
/** mem_copy_guarded - memcpy between machine memory and a mem_host() pointer; -EFAULT where the backing file was cut */
int mem_copy_guarded(void *dst, const void *src, size_t n);
/**
 * mem_fault_fixup - was the fault one of mem_copy_guarded()? Then @ucontext continues with its failure.
 * For a process's own SIGSEGV or SIGBUS handler that was installed after mem_create(); the one mem_create()
 * installs, once a process, passes everything else to the handler it found.
 */
bool mem_fault_fixup(void *ucontext);
/** mem_stale - how often memory was not there any more because a caller unmapped what is pinned, since the start */
uint64_t mem_stale(struct mem *mem);
/** mem_pinned_pages - pages pinned now, for leak checks */
uint64_t mem_pinned_pages(struct mem *mem);

/*
 * Which page is it? For tests that compare what a device reaches with what a program sees. A page of shared memory is
 * known by its file, wherever it is mapped; private memory by whose it is and its address.
 */
struct mem_page_id {
	uint64_t dev, ino; /* its file; ino 0: of no file, and dev is the address space */
	uint64_t at;       /* bytes from the file's start, or the address */
};
static inline bool mem_page_same(const struct mem_page_id *a, const struct mem_page_id *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->at == b->at;
}
/** mem_identify_pins - from now on remember which pages are pinned; before the first pin, once. -ENOMEM */
int mem_identify_pins(struct mem *mem);
/**
 * mem_page_of_task - which page a program sees at the address @page
 * @compound: a huge page, of which it is a part
 * Return: 0; -EFAULT nothing there that it can read, or a device's memory
 */
int mem_page_of_task(struct mm *mm, uva_t page, struct mem_page_id *out, bool *compound);
/** mem_page_of_phys - which page was pinned there; it stays pinned meanwhile. -EFAULT not memory of a program */
int mem_page_of_phys(struct mem *mem, phys_t phys, struct mem_page_id *out);
/** mem_page_pins - how often the page is pinned */
unsigned mem_page_pins(struct mem *mem, const struct mem_page_id *id);
/** mem_pin_part_gone - [@at, +@length) of the pin does not count as pinned any more, though it ends as a whole */
void mem_pin_part_gone(struct mem_pin *pin, uint64_t at, uint64_t length);

/*
 * The machine's RAM, for devices that no IOMMU translates for: pages of programs get places in it when somebody asks.
 */
/** mem_ram_create - windows of @mem that lead to programs' memory; once. -ENOMEM */
int mem_ram_create(struct mem *mem);
void mem_ram_destroy(struct mem *mem); /* no DMA may come any more; none created: nothing */
/**
 * mem_ram_locate - the physical address of a page of @mm, given on first demand; it stays
 * @room: bytes from there on that follow each other in both; NULL: does not matter. Return: 0; -ENOMEM
 */
int mem_ram_locate(struct mem *mem, struct mm *mm, uva_t page, phys_t *out, uint64_t *room);

/*
 * Memory of a device that programs may map: plain BARs. It is a memfd; while access is blocked the file
 * is cut to nothing, so every mapping in every process raises SIGBUS (DESIGN 2.1), and the contents wait aside.
 */
struct mem_shm;
int mem_shm_create(const char *name, uint64_t length, struct mem_shm **out);
void mem_shm_destroy(struct mem_shm *shm);
int mem_shm_fd(struct mem_shm *shm);              /* borrowed */
void mem_shm_block(struct mem_shm *shm);          /* idempotent */
void mem_shm_unblock(struct mem_shm *shm);
/** mem_shm_reset - all zeros, blocked or not, as after power-on */
void mem_shm_reset(struct mem_shm *shm);
/** mem_shm_access - the device's and the machine's own access, blocked or not. The range must lie inside. */
void mem_shm_access(struct mem_shm *shm, uint64_t offset, void *data, size_t n, bool write);

/*
 * A dma-buf: a run of machine-physical memory that is handed to others as a file, and can be taken from them again.
 * Its exporter keeps a reference, and revokes it, for good in the end, before the memory goes.
 */
struct mem_dmabuf;
struct mem_dmabuf_import {
	struct mem_dmabuf *buf;       /* [I] used */
	/* [I] See that no DMA reaches it when it returns. Context: as mem_dmabuf_revoke(), RANK_DMABUF held */
	void (*revoked)(struct mem_dmabuf_import *imp);
	LIST_ENTRY(mem_dmabuf_import) link; /* [the dma-buf's lock] */
};

#define MEM_DMABUF_PIECES (~(phys_t)0) /* not one run: nobody here can import it */
/**
 * mem_dmabuf_create - of [@phys, +@length), page multiples, of somebody else's: a part of a BAR. One reference
 * @phys: or MEM_DMABUF_PIECES
 * @exporter: its name, for good; whoever exports many knows his own by the pointer. -ENOMEM
 */
int mem_dmabuf_create(phys_t phys, uint64_t length, const char *exporter, struct mem_dmabuf **out);
/** mem_dmabuf_create_memory - of new memory, all zeros, that goes with it. -ENOMEM */
int mem_dmabuf_create_memory(struct mem *mem, uint64_t length, const char *exporter, struct mem_dmabuf **out);
struct mem_dmabuf *mem_dmabuf_get(struct mem_dmabuf *buf);
void mem_dmabuf_put(struct mem_dmabuf *buf); /* NULL is fine */
/** mem_dmabuf_unused - has nobody but the caller, who asks with his one reference, got it? Then it stays so */
bool mem_dmabuf_unused(struct mem_dmabuf *buf);
uint64_t mem_dmabuf_length(const struct mem_dmabuf *buf);
const char *mem_dmabuf_exporter(const struct mem_dmabuf *buf);
/** mem_dmabuf_open - a file of it, for a descriptor of @t. -ENOMEM */
int mem_dmabuf_open(struct mem_dmabuf *buf, struct task *t, int oflags, struct file **out);
/** mem_dmabuf_of - what is behind a file, as long as that is there; NULL: another file */
struct mem_dmabuf *mem_dmabuf_of(struct file *f);
/**
 * mem_dmabuf_attach - import it: DMA may reach @out until @revoked is called
 * mem_dmabuf_detach - no DMA reaches it; waits for a call under way
 * Context: no lock held that @revoked takes. Return: 0; -ENODEV it is revoked; -EOPNOTSUPP it is in pieces
 */
int mem_dmabuf_attach(struct mem_dmabuf *buf, struct mem_dmabuf_import *imp,
		      void (*revoked)(struct mem_dmabuf_import *imp), phys_t *out);
void mem_dmabuf_detach(struct mem_dmabuf_import *imp);
/**
 * mem_dmabuf_revoke - on return no DMA of any importer reaches it, and none begins before mem_dmabuf_restore()
 * Context: waits for DMA under way, as iommu_unmap(); no lock of rank RANK_DMABUF or further in held. Idempotent
 */
void mem_dmabuf_revoke(struct mem_dmabuf *buf);
/** mem_dmabuf_restore - it can be imported again; who has lost it does not get it back by this. Idempotent */
void mem_dmabuf_restore(struct mem_dmabuf *buf);

#endif
