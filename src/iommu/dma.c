/* SPDX-License-Identifier: MIT */
/*
 * DMA: a device's address becomes a place in memory, and bytes move.
 *
 * One access is one section of the gate of the domain that the device is in. Each thread keeps, in its slot
 * of that gate, a TLB of pages it has translated, with the machine's pointer to them where there is one.
 * An entry holds the domain's stamp of when it was made; the stamp changes with every unmap, so an access
 * that begins after an unmap uses nothing older, and unmap waits for those that began before.
 *
 * Pages that follow each other in memory are moved together. When that fails, the pages are tried one by
 * one, so that what lies before the bad page arrives and the fault names the right address.
 *
 * Writes to fee00000-feefffff without a PASID are messages to interrupt controllers. They are not memory and not
 * translated; pci/ raises interrupts itself, so here they go nowhere.
 */
#include "iommu/priv.h"

#define TLB_SIZE 256
#define TLB_HOST BIT64(2) /* beside MEM_READ and MEM_WRITE in the low bits of addr */
#define TLB_ADDR (~(uint64_t)(IOMMU_TLB_FLAG_END - 1))

#define MSI_FIRST 0xfee00000ull
#define MSI_LAST  0xfeefffffull

#define BOUNCE_SIZE 16384

struct tlb_entry {
	uint64_t stamp; /* 0: empty */
	iova_t base;
	uint64_t size;
	uint64_t addr;  /* of the page, a host pointer or a phys_t, | flags */
};

/* What a thread keeps for each domain it has used. */
struct iommu_dma_slot {
	struct gate_slot gate;
	atomic_ullong reads, writes, bytes; /* written by the owner only */
	struct tlb_entry tlb[TLB_SIZE];
};
const size_t iommu_dma_slot_size = sizeof(struct iommu_dma_slot);

/* One access under way. */
struct dma {
	struct iommu_dev *d;
	struct iommu_domain *dom;
	struct iommu_dma_slot *slot; /* NULL: out of the section, and no memory to enter one again */
	uint64_t stamp;
	uint32_t pasid; /* 0: none */
};

/* Bytes that follow each other both in IOVA space and where they are. */
struct run {
	enum { RUN_HOST, RUN_PHYS, RUN_DROP } kind;
	uint64_t addr;
	uint64_t n;
};

static inline bool dma_begin(struct dma *m, struct iommu_dev *d, uint32_t pasid)
{
	_Atomic(struct iommu_domain *) *where = pasid ? iommu_pasid_where(d, pasid) : &d->domain;
	struct iommu_domain *dom = atomic_load_explicit(where, memory_order_acquire);

	m->d = d;
	m->pasid = pasid;
	for (;;) {
		struct iommu_domain *again;
		struct gate_slot *slot = gate_enter(&dom->gate);

		if (!slot)
			return false;
		again = atomic_load_explicit(where, memory_order_acquire);
		if (__builtin_expect(again == dom, 1)) {
			m->slot = (struct iommu_dma_slot *)slot;
			break;
		}
		gate_leave(slot);
		dom = again;
	}
	m->dom = dom;
	m->stamp = atomic_load_explicit(&dom->stamp, memory_order_acquire);
	return true;
}

static void dma_end(struct dma *m)
{
	if (__builtin_expect(m->slot != NULL, 1))
		gate_leave(&m->slot->gate);
}

static void tally(atomic_ullong *counter, uint64_t n)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n, memory_order_relaxed);
}

static struct tlb_entry *tlb_slot(struct dma *m, iova_t iova)
{
	return &m->slot->tlb[(iova >> UVFIO_PAGE_SHIFT) % TLB_SIZE];
}

static bool tlb_hit(const struct dma *m, const struct tlb_entry *e, iova_t iova)
{
	return e->stamp == m->stamp && iova - e->base < e->size;
}

static bool is_msi(iova_t iova)
{
	return iova >= MSI_FIRST && iova <= MSI_LAST;
}

/* Walk, and remember what was found in @e. Where writes are tracked, a page that is not dirty is not to be written. */
static bool tlb_fill(struct dma *m, struct tlb_entry *e, iova_t iova, unsigned prot)
{
	bool tracking = atomic_load_explicit(&m->dom->tracking, memory_order_relaxed);
	struct iommu_leaf leaf;
	void *host;

	if (!(tracking && prot == MEM_WRITE ? m->dom->pt->mark : m->dom->pt->walk)(m->dom, iova, &leaf))
		return false;
	if (tracking && !leaf.dirty)
		leaf.prot &= ~MEM_WRITE;
	if (leaf.size > UVFIO_PAGE_SIZE && leaf.base <= MSI_LAST && leaf.base + (leaf.size - 1) >= MSI_FIRST) {
		/* No entry may cover the message window: it is looked for only when there is none. */
		leaf.phys += ALIGN_DOWN(iova, UVFIO_PAGE_SIZE) - leaf.base;
		leaf.base = ALIGN_DOWN(iova, UVFIO_PAGE_SIZE);
		leaf.size = UVFIO_PAGE_SIZE;
	}
	host = mem_host(m->d->iommu->mem, leaf.phys, leaf.size);
	e->base = leaf.base;
	e->size = leaf.size;
	if (host && IS_ALIGNED((uintptr_t)host, IOMMU_TLB_FLAG_END))
		e->addr = (uintptr_t)host | leaf.prot | TLB_HOST;
	else
		e->addr = leaf.phys | leaf.prot;
	e->stamp = m->stamp;
	return true;
}

/* The page at @iova; -1, or why it cannot be used. */
static int run_page(struct dma *m, iova_t iova, unsigned prot, struct run *r)
{
	struct tlb_entry *e = tlb_slot(m, iova);

	if (!tlb_hit(m, e, iova) || (prot == MEM_WRITE && !(e->addr & MEM_WRITE))) {
		if ((prot & MEM_WRITE) && is_msi(iova) && !m->pasid) {
			*r = (struct run){ .kind = RUN_DROP, .addr = iova, .n = MSI_LAST - iova + 1 };
			return -1;
		}
		if (m->dom->kind == IOMMU_IDENTITY) {
			*r = (struct run){ .kind = RUN_PHYS, .addr = iova,
					   .n = UVFIO_PAGE_SIZE - (iova & (UVFIO_PAGE_SIZE - 1)) };
			return -1;
		}
		if (m->dom->kind == IOMMU_BLOCKING)
			return IOMMU_FAULT_BLOCKED;
		if (!tlb_fill(m, e, iova, prot)) {
			/* A default domain that no driver uses: the group belongs to nobody. */
			if (atomic_load(&m->dom->is_default) && atomic_load(&m->dom->kernel_users) == 0)
				return IOMMU_FAULT_BLOCKED;
			return IOMMU_FAULT_NOT_MAPPED;
		}
	}
	if (!(e->addr & prot))
		return IOMMU_FAULT_NO_PERMISSION;
	r->kind = e->addr & TLB_HOST ? RUN_HOST : RUN_PHYS;
	r->addr = (e->addr & TLB_ADDR) + (iova - e->base);
	r->n = e->size - (iova - e->base);
	return -1;
}

/* As many of @n bytes as follow each other, or why not the first; a message window ends a run. */
static int run_find(struct dma *m, iova_t iova, size_t n, unsigned prot, struct run *r)
{
	int reason = run_page(m, iova, prot, r);
	struct run next;

	if (reason >= 0)
		return reason;
	while (r->n < n && iova + r->n != 0 && run_page(m, iova + r->n, prot, &next) < 0) {
		/* Bus addresses are not joined: each window answers for itself. */
		if (next.kind != r->kind || next.addr != r->addr + r->n || next.kind == RUN_DROP ||
		    (next.kind == RUN_PHYS && next.addr >> MEM_REGION_SHIFT == 0))
			break;
		r->n += next.n;
	}
	r->n = MIN(r->n, n);
	return -1;
}

static int run_move(struct mem *mem, const struct run *r, void *buf, uint64_t n, bool write)
{
	if (r->kind == RUN_DROP)
		return 0;
	if (r->kind == RUN_PHYS)
		return write ? mem_write(mem, r->addr, buf, n) : mem_read(mem, r->addr, buf, n);
	return write ? mem_copy_guarded((void *)r->addr, buf, n) : mem_copy_guarded(buf, (void *)r->addr, n);
}

/* A run failed: its pages one by one. Returns the bytes moved before the page that fails. */
static uint64_t run_salvage(struct dma *m, iova_t iova, const struct run *r, void *buf, bool write)
{
	struct mem *mem = m->d->iommu->mem;
	uint64_t done = 0;

	if (r->kind == RUN_PHYS && r->addr >> MEM_REGION_SHIFT == 0)
		return 0; /* a device refused; asking twice could do things twice */
	while (done < r->n) {
		uint64_t n = UVFIO_PAGE_SIZE - ((iova + done) & (UVFIO_PAGE_SIZE - 1));
		struct iommu_leaf leaf;
		phys_t phys = r->addr + done;

		n = MIN(n, r->n - done);
		if (r->kind == RUN_HOST) {
			/* By its machine-physical address, so that mem/ counts what a caller took away. */
			if (!m->dom->pt->walk(m->dom, iova + done, &leaf))
				break; /* unmapped while this access was under way */
			phys = leaf.phys + (iova + done - leaf.base);
			n = MIN(n, leaf.base + leaf.size - (iova + done)); /* modulo 2^64 at the very end */
		}
		if (write ? mem_write(mem, phys, (char *)buf + done, n) : mem_read(mem, phys, (char *)buf + done, n))
			break;
		done += n;
	}
	return done;
}

static int dma_fault(struct dma *m, iova_t iova, size_t n, bool write, enum iommu_fault_reason reason)
{
	struct iommu_fault f = { .iova = iova, .length = n, .write = write, .pasid = m->pasid, .reason = reason };

	iommu_fault_record(m->d, m->dom, f);
	return -EFAULT;
}

/* What one page was asked for, again and again. */
struct asked {
	iova_t page;
	unsigned times;
};

static bool dma_may_ask(const struct dma *m, int reason)
{
	return m->d->requests && m->dom->fault_ops && m->slot->gate.nested == 0 && iommu_thread_patient() &&
	       (reason == IOMMU_FAULT_NOT_MAPPED || reason == IOMMU_FAULT_NO_PERMISSION);
}

/*
 * Out of the section, so that nobody waits for this thread while it waits for a program, and back in: the domain may be
 * another one then. 0: try again; -ECANCELED: it is over; -EFAULT: it is a fault
 */
static int dma_ask(struct dma *m, iova_t iova, bool write, struct asked *a)
{
	const struct iommu_page_request init = { .dev = m->d, .has_pasid = m->pasid, .pasid = m->pasid,
						 .prot = write ? MEM_WRITE : MEM_READ,
						 .addr = ALIGN_DOWN(iova, UVFIO_PAGE_SIZE) };
	struct iommu_ask ask;
	int rc;

	if (a->page != init.addr)
		*a = (struct asked){ .page = init.addr };
	if (a->times++ == IOMMU_ASKS)
		return -EFAULT;
	rc = iommu_ask_begin(m->dom, &init, &ask);
	if (rc)
		return rc;
	dma_end(m);
	rc = iommu_ask_end(&ask);
	if (!dma_begin(m, m->d, m->pasid)) {
		m->slot = NULL;
		return -ECANCELED;
	}
	return rc;
}

/* The general way: any number of pages of any kind. *@moved: bytes before the failure, or all. */
static int dma_move(struct dma *m, iova_t iova, char *buf, size_t n, bool write, size_t *moved)
{
	struct asked asked = { 0 };

	for (size_t done = 0; done < n;) {
		iova_t at = iova + done;
		struct run r;
		int reason = IOMMU_FAULT_NOT_MAPPED, rc;

		*moved = done;
		if (!m->slot)
			return -EFAULT;
		if (at >= iova) /* no access goes on behind the end of the address space */
			reason = run_find(m, at, n - done, write ? MEM_WRITE : MEM_READ, &r);
		if (reason >= 0) {
			rc = dma_may_ask(m, reason) && at >= iova ? dma_ask(m, at, write, &asked) : -EFAULT;
			if (rc == 0)
				continue;
			return rc == -ECANCELED ? -EFAULT : dma_fault(m, at, n, write, (enum iommu_fault_reason)reason);
		}
		if (run_move(m->d->iommu->mem, &r, buf + done, r.n, write)) {
			*moved += run_salvage(m, at, &r, buf + done, write);
			if (*moved < done + r.n)
				return dma_fault(m, iova + *moved, n, write, IOMMU_FAULT_ABORT);
		}
		done += r.n;
	}
	*moved = n;
	return 0;
}

/* Nearly every access: one page, seen before, with a pointer to it. */
static inline bool dma_fast(struct dma *m, iova_t iova, size_t n, unsigned prot, void **host)
{
	const struct tlb_entry *e = tlb_slot(m, iova);
	uint64_t offset = iova - e->base;

	if (!tlb_hit(m, e, iova) || (e->addr & (prot | TLB_HOST)) != (prot | TLB_HOST) || n > e->size - offset)
		return false;
	*host = (void *)((e->addr & TLB_ADDR) + offset);
	return true;
}

static inline int dma_read(struct iommu_dev *d, uint32_t pasid, iova_t iova, void *dst, size_t n)
{
	struct dma m;
	size_t moved;
	void *host;
	int rc;

	if (!dma_begin(&m, d, pasid))
		return -EFAULT;
	tally(&m.slot->reads, 1);
	tally(&m.slot->bytes, n);
	if (!dma_fast(&m, iova, n, MEM_READ, &host) || mem_copy_guarded(dst, host, n))
		rc = dma_move(&m, iova, dst, n, false, &moved);
	else
		rc = 0;
	dma_end(&m);
	return rc;
}

static inline int dma_write(struct iommu_dev *d, uint32_t pasid, iova_t iova, const void *src, size_t n)
{
	struct dma m;
	size_t moved;
	void *host;
	int rc;

	if (!dma_begin(&m, d, pasid))
		return -EFAULT;
	tally(&m.slot->writes, 1);
	tally(&m.slot->bytes, n);
	if (!dma_fast(&m, iova, n, MEM_WRITE, &host) || mem_copy_guarded(host, src, n))
		rc = dma_move(&m, iova, (void *)src, n, true, &moved);
	else
		rc = 0;
	dma_end(&m);
	return rc;
}

int iommu_dma_read(struct iommu_dev *d, iova_t iova, void *dst, size_t n)
{
	return dma_read(d, 0, iova, dst, n);
}

int iommu_dma_write(struct iommu_dev *d, iova_t iova, const void *src, size_t n)
{
	return dma_write(d, 0, iova, src, n);
}

int iommu_dma_read_pasid(struct iommu_dev *d, uint32_t pasid, iova_t iova, void *dst, size_t n)
{
	return dma_read(d, pasid, iova, dst, n);
}

int iommu_dma_write_pasid(struct iommu_dev *d, uint32_t pasid, iova_t iova, const void *src, size_t n)
{
	return dma_write(d, pasid, iova, src, n);
}

/* Through memory of our own: any two kinds of ends, at most BOUNCE_SIZE bytes. What could be read is written. */
static int copy_bounce(struct dma *m, iova_t dst, iova_t src, size_t n, bool *fault_write)
{
	char bounce[BOUNCE_SIZE];
	size_t got = 0, put;
	int rc = dma_move(m, src, bounce, n, false, &got);

	*fault_write = got && dma_move(m, dst, bounce, got, true, &put);
	return *fault_write ? -EFAULT : rc;
}

int iommu_dma_copy_pasid(struct iommu_dev *d, uint32_t pasid, iova_t dst, iova_t src, size_t n, bool *fault_write)
{
	struct dma m;
	bool failed_write = false;
	int rc = 0;

	if (!dma_begin(&m, d, pasid))
		return -EFAULT;
	tally(&m.slot->reads, 1);
	tally(&m.slot->writes, 1);
	tally(&m.slot->bytes, 2 * n);
	for (size_t done = 0, step; done < n && rc == 0; done += step) {
		struct run from, to;

		step = MIN(n - done, (size_t)BOUNCE_SIZE);
		failed_write = src + done >= src;
		if (src + done < src || dst + done < dst)
			rc = dma_fault(&m, 0, n, failed_write, IOMMU_FAULT_NOT_MAPPED);
		else if (run_find(&m, src + done, n - done, MEM_READ, &from) < 0 && from.kind == RUN_HOST &&
			 run_find(&m, dst + done, from.n, MEM_WRITE, &to) < 0 && to.kind == RUN_HOST &&
			 mem_copy_guarded((void *)to.addr, (void *)from.addr, to.n) == 0)
			step = to.n;
		else
			rc = copy_bounce(&m, dst + done, src + done, step, &failed_write);
	}
	dma_end(&m);
	if (rc && fault_write)
		*fault_write = failed_write;
	return rc;
}

int iommu_dma_copy(struct iommu_dev *d, iova_t dst, iova_t src, size_t n, bool *fault_write)
{
	return iommu_dma_copy_pasid(d, 0, dst, src, n, fault_write);
}

void iommu_stats(struct iommu *iommu, struct iommu_stats *out)
{
	struct iommu_domain *dom;

	*out = (struct iommu_stats){ 0 };
	SCOPED_LOCK(&iommu->lock);
	SLIST_FOREACH(dom, &iommu->all, all_link) {
		for (struct gate_slot *g = atomic_load(&dom->gate.slots); g; g = g->next) {
			struct iommu_dma_slot *s = (struct iommu_dma_slot *)g;

			out->reads += atomic_load_explicit(&s->reads, memory_order_relaxed);
			out->writes += atomic_load_explicit(&s->writes, memory_order_relaxed);
			out->bytes += atomic_load_explicit(&s->bytes, memory_order_relaxed);
		}
	}
}
