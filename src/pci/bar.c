/* SPDX-License-Identifier: MIT */
/*
 * BARs: where they lie on the bus, and what a load or store does.
 *
 * Placement plays firmware. 32-bit memory goes from 0xc0000000 up to the chipset's own addresses below 4 GiB
 * (interrupt window included), 64-bit memory from 512 GiB up to 2^40, where machine-physical memory begins; I/O
 * has its 64 KiB. Space is handed out upwards and, when the end is reached, again from the start where a gap is:
 * for memory mem/ knows what is taken, since every memory BAR is a window there. Machines are built in scan order,
 * so all that lies below one bridge comes in one run, and bridge windows are the runs' hulls, kept in the bridges'
 * registers; BARs of different buses never share the 1 MiB (4 KiB for I/O) that a window can express.
 *
 * Accesses are cut so that a model sees what a device sees: naturally aligned 1, 2, 4 or 8 bytes, or an aligned
 * vector store in one piece. MSI-X table and PBA are answered by irq.c. Nothing reaches a function that does not
 * decode: COMMAND, the power state and the ROM's enable change, and the function goes, with nobody at the BARs (write
 * side of "access"). Whoever lets accesses through asks before, in words of its own; that no model is ever called
 * otherwise is asserted where all of them are called, before the call and after it.
 */
#include "pci/priv.h"
#include <assert.h>
#include <string.h>

#define MEM32_BASE  0xc0000000ull
#define MEM32_END   0xfe000000ull
#define MEM64_BASE  0x8000000000ull
#define MEM64_END   BIT64(MEM_REGION_SHIFT)
#define IO_BASE     0x1000u
#define WINDOW_MEM  0x100000ull
#define WINDOW_IO   0x1000u

void pci_spaces_init(struct pci *pci)
{
	pci->mem32 = (struct pci_space){ .base = MEM32_BASE, .end = MEM32_END, .next = MEM32_BASE };
	pci->mem64 = (struct pci_space){ .base = MEM64_BASE, .end = MEM64_END, .next = MEM64_BASE };
}

/* ---- placement ---- */

static int mem_place_range(struct pci_dev *d, unsigned bar, uint64_t align, uint64_t from, uint64_t end)
{
	struct pci_priv *p = d->priv;
	struct pci_bar *b = &p->bar[bar];

	for (uint64_t at = ALIGN_UP(from, align); at < end && b->size <= end - at; at += align) {
		int rc = mem_window_add(d->pci->mem, at, ALIGN_UP(b->size, (uint64_t)PCI_MIN_BAR_ALIGN),
					&pci_peer_window_ops, &p->window[bar], &p->window[bar].mem);

		if (rc == 0)
			b->address = at;
		if (rc != -EEXIST)
			return rc;
	}
	return -ENOSPC;
}

/* Behind the BAR before, which has the page: it alone is a window for peers. */
static int mem_pack(struct pci_dev *d, unsigned bar)
{
	struct pci_bar *b = &d->priv->bar[bar];
	const struct pci_bar *before = bar ? &d->priv->bar[bar - 1] : NULL;
	uint64_t at;

	if (!before || !before->size || before->kind != b->kind)
		return -ENOSPC;
	at = ALIGN_UP(before->address + before->size, b->size);
	if (at + b->size > ALIGN_UP(before->address + 1, (uint64_t)PCI_MIN_BAR_ALIGN))
		return -ENOSPC;
	b->address = at;
	return 0;
}

/*
 * The window answers from the moment it is added, before the function is complete: COMMAND is zero until
 * firmware's turn, so nothing gets through.
 */
static int mem_place(struct pci_dev *d, unsigned bar)
{
	struct pci_bar *b = &d->priv->bar[bar];
	struct pci_space *s = b->kind == PCI_BAR_MEM64 ? &d->pci->mem64 : &d->pci->mem32;
	uint64_t align = MAX(b->size, (uint64_t)PCI_MIN_BAR_ALIGN), from;
	int rc;

	if (b->size > s->end - s->base)
		return -ENOSPC;
	if (bar < PCI_BARS && d->priv->model.bar[bar].packed)
		return mem_pack(d, bar);
	mutex_lock(&d->pci->topo);
	from = s->last_bus == d->bus ? s->next : ALIGN_UP(s->next, WINDOW_MEM);
	mutex_unlock(&d->pci->topo);
	rc = mem_place_range(d, bar, align, from, s->end);
	if (rc == -ENOSPC)
		rc = mem_place_range(d, bar, MAX(align, WINDOW_MEM), s->base, from);
	if (rc == 0) {
		SCOPED_LOCK(&d->pci->topo);
		s->next = b->address + align;
		s->last_bus = d->bus;
	}
	return rc;
}

static bool io_free_locked(struct pci *pci, unsigned at, unsigned size)
{
	for (unsigned g = at / PCI_IO_GRAIN; g < (at + size) / PCI_IO_GRAIN; g++) {
		if (pci->io_used[g / 8] & BIT(g % 8))
			return false;
	}
	return true;
}

static void io_mark(struct pci *pci, unsigned at, unsigned size, bool used)
{
	SCOPED_LOCK(&pci->topo);
	for (unsigned g = at / PCI_IO_GRAIN; g < (at + size) / PCI_IO_GRAIN; g++) {
		if (used)
			pci->io_used[g / 8] |= (uint8_t)BIT(g % 8);
		else
			pci->io_used[g / 8] &= (uint8_t)~BIT(g % 8);
	}
}

/* Behind a bridge each function has 4 KiB runs of its own; on a root bus BARs may lie side by side. */
static int io_place(struct pci_dev *d, unsigned bar)
{
	struct pci_bar *b = &d->priv->bar[bar];
	unsigned size = (unsigned)b->size, step = d->bus->parent ? MAX(size, WINDOW_IO) : size;

	for (unsigned at = IO_BASE; at + step <= PCI_IO_SIZE; at += step) {
		bool ok;

		mutex_lock(&d->pci->topo);
		ok = io_free_locked(d->pci, at, step);
		mutex_unlock(&d->pci->topo);
		if (ok) {
			io_mark(d->pci, at, step, true);
			b->address = at;
			return 0;
		}
	}
	return -ENOSPC;
}

/* Every bridge above passes down what its children have. */
static void windows_grow(struct pci_dev *d, const struct pci_bar *b)
{
	enum pci_win w = b->kind == PCI_BAR_IO ? PCI_WIN_IO : b->kind == PCI_BAR_MEM64 ? PCI_WIN_PREF : PCI_WIN_MEM;
	uint64_t gran = w == PCI_WIN_IO ? WINDOW_IO : WINDOW_MEM;
	uint64_t first = ALIGN_DOWN(b->address, gran), last = ALIGN_UP(b->address + b->size, gran) - 1;

	for (struct pci_bus *bus = d->bus; bus; bus = bus->parent) {
		struct pci_dev *br = bus->bridge;
		struct pci_range r;

		if (!br)
			continue;
		mutex_lock(&d->pci->topo);
		r = br->priv->win[w];
		if (r.first > r.last)
			r = (struct pci_range){ first, last };
		r = (struct pci_range){ MIN(r.first, first), MAX(r.last, last) };
		br->priv->win[w] = r;
		mutex_unlock(&d->pci->topo);
		if (w == PCI_WIN_IO) {
			pci_config_write(br, PCI_IO_BASE, 2, (uint32_t)((r.first >> 8 & 0xf0) | (r.last & 0xf000)));
			continue;
		}
		pci_config_write(br, w == PCI_WIN_MEM ? PCI_MEMORY_BASE : PCI_PREF_MEMORY_BASE, 4,
				 (uint32_t)((r.first >> 16 & 0xfff0) | (r.last & 0xfff00000)));
		if (w == PCI_WIN_PREF) {
			pci_config_write(br, PCI_PREF_BASE_UPPER32, 4, (uint32_t)(r.first >> 32));
			pci_config_write(br, PCI_PREF_LIMIT_UPPER32, 4, (uint32_t)(r.last >> 32));
		}
	}
}

static int plain_memory(struct pci_dev *d, unsigned bar)
{
	struct pci_bar *b = &d->priv->bar[bar];
	char name[40];

	if (bar == PCI_ROM || !d->priv->model.bar[bar].plain || b->kind == PCI_BAR_IO)
		return 0;
	snprintf(name, sizeof(name), "%s BAR%u", d->dev.name, bar);
	return mem_shm_create(name, ALIGN_UP(b->size, (uint64_t)UVFIO_PAGE_SIZE), &b->shm);
}

int pci_bars_place(struct pci_dev *d)
{
	struct pci_priv *p = d->priv;

	for (unsigned i = 0; i <= PCI_ROM; i++) {
		struct pci_bar *b = &p->bar[i];
		int rc;

		p->window[i].d = d;
		p->window[i].bar = i;
		if (!b->size)
			continue;
		rc = plain_memory(d, i);
		if (rc == 0)
			rc = b->kind == PCI_BAR_IO ? io_place(d, i) : mem_place(d, i);
		if (rc) {
			log_msg(d->pci->log, LOG_ERR, "%s: BAR %u: no room for 0x%llx bytes", d->dev.name, i,
				(unsigned long long)b->size);
			return rc;
		}
		windows_grow(d, b);
	}
	return 0;
}

void pci_bars_withdraw(struct pci_dev *d)
{
	struct pci_priv *p = d->priv;

	for (unsigned i = 0; i <= PCI_ROM; i++) {
		mem_window_remove(p->window[i].mem);
		p->window[i].mem = NULL;
	}
	pci_peer_forget(d->pci->peer, d);
}

void pci_bars_fini(struct pci_dev *d)
{
	for (unsigned i = 0; i < PCI_BARS; i++) {
		struct pci_bar *b = &d->priv->bar[i];

		if (b->kind == PCI_BAR_IO && b->address)
			io_mark(d->pci, (unsigned)b->address,
				d->bus->parent ? MAX((unsigned)b->size, WINDOW_IO) : (unsigned)b->size, false);
		if (b->shm)
			mem_shm_destroy(b->shm);
		b->shm = NULL;
	}
}

/* ---- decoding ---- */

const struct pci_bar *pci_bar(struct pci_dev *d, unsigned bar)
{
	return bar < PCI_BARS ? &d->priv->bar[bar] : NULL;
}

bool pci_memory_decodes(struct pci_dev *d)
{
	struct pci_priv *p = d->priv;
	/* The physical one's capability has one bit for all its virtual functions, which the host has set. */
	bool on = d->physfn || (atomic_load(&p->command) & PCI_COMMAND_MEMORY);

	return on && atomic_load(&p->power) < 3 && !atomic_load(&p->gone);
}

static bool io_decodes(const struct pci_priv *p)
{
	return (atomic_load(&p->command) & PCI_COMMAND_IO) && atomic_load(&p->power) < 3 && !atomic_load(&p->gone);
}

bool pci_decodes(struct pci_dev *d, unsigned bar)
{
	struct pci_priv *p = d->priv;

	if (bar == PCI_VGA)
		return p->model.vga && !atomic_load(&p->gone);
	if (bar == PCI_ROM && p->rom.kind != PCI_ROM_BAR)
		return !atomic_load(&p->gone);
	if (bar > PCI_ROM || !p->bar[bar].size)
		return false;
	if (bar == PCI_ROM && !(atomic_load(&p->bars_here) & BIT(PCI_ROM)))
		return false;
	return p->bar[bar].kind == PCI_BAR_IO ? io_decodes(p) : pci_memory_decodes(d);
}

bool pci_bar_decodes(struct pci_dev *d, unsigned bar)
{
	if (!pci_memory_decodes(d) || !(atomic_load(&d->priv->bars_here) & BIT(bar)))
		return false;
	for (struct pci_bus *bus = d->bus; bus; bus = bus->parent) {
		if (bus->bridge && !pci_memory_decodes(bus->bridge))
			return false;
	}
	return true;
}

/* ---- access ---- */

void pci_model_access(struct pci_dev *d, unsigned bar, uint64_t offset, uint8_t *data, unsigned width, bool write)
{
	struct pci_priv *p = d->priv;

	assert(pci_decodes(d, bar) && !p->in_reset);
	if (write) {
		if (p->model.write)
			p->model.write(p->state, bar, offset, data, width);
	} else {
		memset(data, 0, width);
		if (p->model.read)
			p->model.read(p->state, bar, offset, data, width);
	}
	assert(pci_decodes(d, bar) && !p->in_reset);
}

/* The largest piece at @offset that the bus would carry as one: a power of two, aligned, at most @n. */
static unsigned piece(uint64_t offset, unsigned n, bool write)
{
	unsigned w = write ? 64 : 8;

	while (w > n || offset % w)
		w /= 2;
	return w;
}

/* [access] read side: decoding does not end while the model is called. */
static void trapped_access(struct pci_dev *d, unsigned bar, uint64_t offset, uint8_t *data, unsigned n, bool write)
{
	while (n) {
		unsigned w = piece(offset, n, write);

		/* a vector store is whole only in model registers */
		while (w > 8 && pci_msix_bar_hit(d, bar, offset, w))
			w /= 2;
		if (pci_msix_bar_hit(d, bar, offset, w))
			pci_msix_bar_access(d, bar, offset, data, w, write);
		else
			pci_model_access(d, bar, offset, data, w, write);
		offset += w;
		data += w;
		n -= w;
	}
}

void pci_bar_access(struct pci_dev *d, unsigned bar, uint64_t offset, void *data, unsigned width, bool write)
{
	const struct pci_bar *b = bar <= PCI_ROM ? &d->priv->bar[bar] : NULL;
	bool inside = b && offset < b->size && width <= b->size - offset;
	SCOPED_READ(&d->priv->access);

	if (!inside || !pci_decodes(d, bar)) {
		if (!write)
			memset(data, 0xff, width); /* nobody answers */
		return;
	}
	if (bar == PCI_ROM) {
		if (!write)
			pci_rom_bar_read(d, offset, data, width);
		return;
	}
	/* The table wins over plain memory below it, so that a program can never re-route a message. */
	if (b->shm && !pci_msix_bar_hit(d, bar, offset, width))
		mem_shm_access(b->shm, offset, data, width, write);
	else if (b->shm)
		pci_msix_bar_access(d, bar, offset, data, width, write);
	else
		trapped_access(d, bar, offset, data, width, write);
}

void pci_vga_access(struct pci_dev *d, unsigned address, void *data, unsigned width, bool write)
{
	SCOPED_READ(&d->priv->access);
	if (pci_decodes(d, PCI_VGA))
		pci_model_access(d, PCI_VGA, address, data, width, write);
	else if (!write)
		memset(data, 0xff, width);
}

int pci_bar_memory(struct pci_dev *dev, unsigned bar, uint64_t offset, void *data, size_t n, bool write)
{
	const struct pci_bar *b = pci_bar(dev, bar);

	if (!b || !b->shm || offset > b->size || n > b->size - offset)
		return -EINVAL;
	mem_shm_access(b->shm, offset, data, n, write);
	return 0;
}
