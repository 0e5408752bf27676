/* SPDX-License-Identifier: MIT */
/*
 * Pins. A pin walks the caller's areas and makes of each as few pieces as it can, so it costs what the
 * areas cost, however many pages they have. Memory that the front end can map becomes a region with a
 * host pointer; all other memory of the pin becomes regions reached by address, neighbours in one (and is held by
 * its pages besides, where that was asked for: hold.c); a mapping of a BAR becomes the bus addresses behind it and costs neither a region nor a charge.
 *
 * Charging comes before pinning, area by area in address order, so that the first obstacle met decides
 * the errno, as on Linux.
 */
#include "mem/priv.h"
#include <assert.h>
#include <string.h>

/* Make room for one more element of an array, the first of which is in the pin itself. */
static int array_room(void **array, void *first, unsigned n, size_t size)
{
	void *p;

	if (n & (n - 1)) /* not yet at the next power of two */
		return 0;
	if (n == 0) {
		*array = first;
		return 0;
	}
	p = reallocarray(*array == first ? NULL : *array, 2ul * n, size);
	if (!p)
		return -ENOMEM;
	if (*array == first)
		memcpy(p, first, size);
	*array = p;
	return 0;
}

static void array_fini(void *array, void *first)
{
	if (array != first)
		free(array);
}

static int pin_add_piece(struct mem_pin *pin, phys_t phys, uint64_t length)
{
	int rc = array_room((void **)&pin->pieces, &pin->piece, pin->npieces, sizeof(*pin->pieces));

	if (rc)
		return rc;
	pin->pieces[pin->npieces++] = (struct mem_piece){ .phys = phys, .length = length };
	return 0;
}

/* [@at, +@n) of the pin is a BAR. Bus addresses that go on where the last piece ended make it longer. */
static int pin_bar(struct mem_pin *pin, const struct mm_area *a, uint64_t at, uint64_t n)
{
	uint64_t offset = a->file_offset + (pin->uva + at - a->start);
	const struct file_ops *ops = a->file->ops;

	if (!ops->dma_target || (pin->prot & MEM_RAM))
		return -EFAULT;
	while (n) {
		struct mem_piece *last = pin->npieces ? &pin->pieces[pin->npieces - 1] : NULL;
		uint64_t length = 0;
		phys_t phys = 0;
		int rc = ops->dma_target(a->file, offset, &phys, &length);

		if (rc)
			return rc;
		length = ALIGN_DOWN(MIN(length, n), UVFIO_PAGE_SIZE);
		if (length == 0 || !IS_ALIGNED(phys, UVFIO_PAGE_SIZE) || (phys + length - 1) >> MEM_REGION_SHIFT)
			return -EFAULT;
		if (last && last->phys >> MEM_REGION_SHIFT == 0 && last->phys + last->length == phys)
			last->length += length;
		else if ((rc = pin_add_piece(pin, phys, length)))
			return rc;
		offset += length;
		n -= length;
	}
	return 0;
}

/* Regions for [@at, +@n); @host: of the first byte, or NULL. */
static int pin_place(struct mem_pin *pin, uint64_t at, uint64_t n, char *host)
{
	while (n) {
		struct mem_region_init init = {
			.pin = pin,
			.start = (pin->iova + at) & MEM_PLACE_MASK,
			.at = at,
			.host = host,
		};
		phys_t phys;
		int rc;

		init.length = MIN(n, BIT64(MEM_REGION_SHIFT) - init.start);
		rc = mem_region_create(pin->mem, &init, &phys);
		if (rc)
			return rc;
		rc = pin_add_piece(pin, phys, init.length);
		if (rc) {
			mem_region_destroy(pin->mem, phys);
			return rc;
		}
		at += init.length;
		n -= init.length;
		if (host)
			host += init.length;
	}
	return 0;
}

/* Memory by address goes on where the last piece, of the same kind, ended. */
static bool pin_extend(struct mem_pin *pin, uint64_t n)
{
	struct mem_piece *last = pin->npieces ? &pin->pieces[pin->npieces - 1] : NULL;

	if (!last || last->phys >> MEM_REGION_SHIFT == 0 || mem_host(pin->mem, last->phys, 1))
		return false;
	if ((last->phys & MEM_OFFSET_MASK) + last->length + n > BIT64(MEM_REGION_SHIFT))
		return false;
	mem_region_extend(pin->mem, last->phys, n);
	last->length += n;
	return true;
}

static int pin_memory(struct mem_pin *pin, const struct mm_area *a, uint64_t at, uint64_t n)
{
	const struct mm_ops *ops = pin->mm->ops;
	void *host = NULL;
	int rc = array_room((void **)&pin->shares, &pin->share, pin->nshares, sizeof(*pin->shares));

	if (rc)
		return rc;
	rc = ops->share ? ops->share(pin->mm, a, pin->uva + at, n, &host) : -EOPNOTSUPP;
	if (rc == 0)
		pin->shares[pin->nshares++] = (struct mem_share){ .host = host, .length = n };
	else if (rc != -EOPNOTSUPP)
		return rc;
	else if (pin_extend(pin, n))
		goto count;
	rc = pin_place(pin, at, n, rc == 0 ? host : NULL);
	if (rc)
		return rc;
count:
	pin->pinned += n >> UVFIO_PAGE_SHIFT;
	return 0;
}

/* Pin the part of the pin at @at that lies in one area; *@n: its bytes. */
static int pin_area(struct mem_pin *pin, uint64_t at, bool unlimited, uint64_t *n)
{
	uva_t uva = pin->uva + at;
	struct mm_area a = { 0 };
	int rc = pin->mm->ops->area(pin->mm, uva, &a);

	if (rc)
		return rc;
	if (uva < a.start || uva > a.last || !(pin->prot & MEM_WRITE ? a.writable : a.readable))
		return -EFAULT;
	*n = ALIGN_DOWN(MIN(pin->length - at - 1, a.last - uva) + 1, UVFIO_PAGE_SIZE);
	if (*n == 0)
		return -EFAULT;
	if (a.file)
		return pin_bar(pin, &a, at, *n);
	rc = mem_identity_add(pin, &a, at, *n);
	if (rc)
		return rc;
	if (pin->charged) {
		rc = mm_charge(pin->mm, *n >> UVFIO_PAGE_SHIFT, unlimited);
		if (rc)
			return rc;
	}
	rc = pin_memory(pin, &a, at, *n);
	if (rc && pin->charged)
		mm_uncharge(pin->mm, *n >> UVFIO_PAGE_SHIFT);
	return rc;
}

static void pin_destroy(struct mem_pin *pin)
{
	struct mem_shard *s = &pin->mem->shard[pin->shard];

	mem_identity_remove(pin);
	for (unsigned i = 0; i < pin->npieces; i++) {
		if (pin->pieces[i].phys >> MEM_REGION_SHIFT)
			mem_region_destroy(pin->mem, pin->pieces[i].phys);
	}
	mem_hold_release(pin);
	for (unsigned i = 0; i < pin->nshares; i++)
		pin->share_mm->ops->unshare(pin->share_mm, pin->shares[i].host, pin->shares[i].length);
	if (pin->charged && pin->pinned)
		mm_uncharge(pin->mm, pin->pinned);
	if (pin->share_mm != pin->mm)
		mm_put(pin->share_mm);
	mm_put(pin->mm);
	array_fini(pin->shares, &pin->share);
	array_fini(pin->pieces, &pin->piece);
	if (pin->foreign)
		return;
	SCOPED_LOCK(&s->lock);
	slab_free(&s->pins, pin);
}

static struct mem_pin *pin_alloc(struct mem_shard *s)
{
	SCOPED_LOCK(&s->lock);
	return slab_alloc(&s->pins);
}

int mem_pin(struct mem *mem, struct task *t, uva_t uva, uint64_t length, iova_t iova, unsigned prot, bool charge,
	    struct mem_pin **out)
{
	return mem_pin_in(NULL, mem, t, uva, length, iova, prot, charge, out);
}

int mem_pin_in(void *storage, struct mem *mem, struct task *t, uva_t uva, uint64_t length, iova_t iova, unsigned prot,
	       bool charge, struct mem_pin **out)
{
	bool unlimited = charge && task_capable(t, TASK_CAP_IPC_LOCK);
	struct mem_shard *s = mem_shard_mine(mem);
	struct mem_pin *pin = storage ? storage : pin_alloc(s);
	uint64_t n;
	int rc = 0;

	if (!pin)
		return -ENOMEM;
	assert(length && IS_ALIGNED(uva | length | iova, UVFIO_PAGE_SIZE) && uva + (length - 1) >= uva);
	*pin = (struct mem_pin){
		.mem = mem,
		.length = length,
		.iova = iova,
		.mm = mm_get(t->mm),
		.uva = uva,
		.share_mm = t->mm, /* one reference for both, while they are the same */
		.charged = charge,
		.prot = (uint8_t)prot,
		.foreign = storage != NULL,
		.shard = (uint8_t)(s - mem->shard),
	};
	for (uint64_t at = 0; !rc && at < length; at += n)
		rc = pin_area(pin, at, unlimited, &n);
	pin->holds = NULL;
	if (!rc)
		rc = mem_hold_pin(pin);
	if (rc) {
		pin_destroy(pin);
		return rc;
	}
	atomic_fetch_add(&s->pinned, pin->pinned);
	*out = pin;
	return 0;
}

void mem_unpin(struct mem_pin *pin)
{
	if (!pin)
		return;
	atomic_fetch_sub(&pin->mem->shard[pin->shard].pinned, pin->pinned);
	pin_destroy(pin);
}

unsigned mem_pin_pieces(const struct mem_pin *pin, const struct mem_piece **pieces)
{
	*pieces = pin->pieces;
	return pin->npieces;
}

int mem_pin_repoint(struct mem_pin *pin, struct task *t, uva_t uva)
{
	struct mm *old = pin->mm, *mm = t->mm;

	if (old != mm && pin->charged) {
		int rc = mm_charge(mm, pin->pinned, task_capable(t, TASK_CAP_IPC_LOCK));

		if (rc)
			return rc;
		mm_uncharge(old, pin->pinned);
	}
	if (mm != pin->share_mm)
		mm_get(mm);
	rwlock_write(mem_pin_lock(pin));
	pin->mm = mm;
	pin->uva = uva;
	rwlock_unlock(mem_pin_lock(pin));
	mem_identity_repoint(pin);
	if (old != pin->share_mm)
		mm_put(old);
	return 0;
}

static int access_address(struct mem_pin *pin, uint64_t at, void *buf, size_t n, bool write)
{
	struct mm *mm;
	uva_t uva;
	int rc;

	rwlock_read(mem_pin_lock(pin));
	mm = mm_get(pin->mm);
	uva = pin->uva + at;
	rwlock_unlock(mem_pin_lock(pin));
	/* Without the lock, which others share: the program may keep whoever touches its memory waiting. */
	rc = write ? mm->ops->write(mm, uva, buf, n) : mm->ops->read(mm, buf, uva, n);
	mm_put(mm);
	return rc;
}

int mem_pin_access(struct mem_pin *pin, uint64_t at, void *buf, size_t n, bool write)
{
	size_t step;
	int rc = 0;

	if (!pin->holds)
		return access_address(pin, at, buf, n, write);
	for (size_t done = 0; rc == 0 && done < n; done += step) {
		step = n - done;
		rc = mem_hold_access(pin, at + done, (char *)buf + done, &step, write);
		if (rc > 0)
			rc = access_address(pin, at + done, (char *)buf + done, step, write);
	}
	return rc;
}
