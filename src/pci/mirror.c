/* SPDX-License-Identifier: MIT */
/*
 * Registers whose load has no side effect, readable without calling the model: the model writes each new value
 * here, and the front end's fast path takes it from here with no lock (base/mirror.h). One page for a page of the BAR,
 * made at the first mirrored register of that page; from the front end's pool if it has one, so that programs can see
 * it.
 *
 * Pages are blocked until whoever gives the function to a program says that memory is enabled.
 *
 * A failed allocation only means that the page has no mirror: callers ask the model as before.
 */
#include "pci/priv.h"
#include <string.h>

static uint64_t mirror_pages(const struct pci_bar *b)
{
	return (b->size + UVFIO_PAGE_SIZE - 1) / UVFIO_PAGE_SIZE;
}

int pci_mirror_init(struct pci_dev *d)
{
	struct pci_priv *p = d->priv;

	p->mirror_blocked = true;
	for (unsigned i = 0; i < PCI_BARS; i++) {
		const struct pci_bar *b = &p->bar[i];

		if (!b->size || b->kind == PCI_BAR_IO || b->shm)
			continue;
		p->mirror[i] = calloc(mirror_pages(b), sizeof(*p->mirror[i]));
		if (!p->mirror[i])
			return -ENOMEM;
	}
	return 0;
}

static struct mirror_page *page_alloc(struct pci *pci)
{
	struct mirror_page *page;

	if (pci->mirror_pool)
		return pci->mirror_pool->alloc(pci->mirror_pool);
	page = calloc(1, sizeof(*page));
	if (page)
		page->blocked = true;
	return page;
}

static void page_free(struct pci *pci, struct mirror_page *page)
{
	if (pci->mirror_pool)
		pci->mirror_pool->free(pci->mirror_pool, page);
	else
		free(page);
}

void pci_mirror_fini(struct pci_dev *d)
{
	struct pci_priv *p = d->priv;

	for (unsigned i = 0; i < PCI_BARS; i++) {
		for (uint64_t n = 0; p->mirror[i] && p->mirrors && n < mirror_pages(&p->bar[i]); n++) {
			struct mirror_page *page = atomic_load(&p->mirror[i][n]);

			if (!page)
				continue;
			page_free(d->pci, page);
			p->mirrors--;
		}
		free(p->mirror[i]);
		p->mirror[i] = NULL;
	}
}

static struct mirror_page *page_at(struct pci_dev *d, unsigned bar, uint64_t offset)
{
	struct pci_priv *p = d->priv;

	if (bar >= PCI_BARS || !p->mirror[bar] || offset >= p->bar[bar].size)
		return NULL;
	return atomic_load_explicit(&p->mirror[bar][offset / UVFIO_PAGE_SIZE], memory_order_acquire);
}

/* The page, made if need be. The lock keeps it apart from pci_mirror_block(), which must not miss a new one. */
static struct mirror_page *page_make(struct pci_dev *d, unsigned bar, uint64_t offset)
{
	struct mirror_page *page = page_at(d, bar, offset);
	struct pci_priv *p = d->priv;

	if (page || bar >= PCI_BARS || !p->mirror[bar] || offset >= p->bar[bar].size)
		return page;
	SCOPED_LOCK(&d->lock);
	page = page_at(d, bar, offset);
	if (page)
		return page;
	page = page_alloc(d->pci);
	if (!page)
		return NULL;
	mirror_block(page, p->mirror_blocked);
	p->mirrors++;
	atomic_store_explicit(&p->mirror[bar][offset / UVFIO_PAGE_SIZE], page, memory_order_release);
	return page;
}

void pci_mirror_block(struct pci_dev *d, bool blocked)
{
	struct pci_priv *p = d->priv;
	unsigned left;

	SCOPED_LOCK(&d->lock);
	p->mirror_blocked = blocked;
	left = p->mirrors;
	for (unsigned i = 0; i < PCI_BARS; i++) {
		for (uint64_t n = 0; p->mirror[i] && left && n < mirror_pages(&p->bar[i]); n++) {
			struct mirror_page *page = atomic_load_explicit(&p->mirror[i][n], memory_order_relaxed);

			if (!page)
				continue;
			mirror_block(page, blocked);
			left--;
		}
	}
}

void pci_mirror_set(struct pci_dev *dev, unsigned bar, uint64_t offset, const void *data, unsigned width)
{
	struct mirror_page *page;
	uint64_t value = 0;

	/* The table and the pending bits are not the model's. */
	if (!mirror_shape_ok(offset, width) || pci_msix_bar_hit(dev, bar, offset, width))
		return;
	page = page_make(dev, bar, offset);
	if (!page)
		return;
	memcpy(&value, data, width);
	mirror_set(page, offset % UVFIO_PAGE_SIZE, width, value);
}

void pci_mirror_clear(struct pci_dev *dev, unsigned bar, uint64_t offset, unsigned width)
{
	struct mirror_page *page = mirror_shape_ok(offset, width) ? page_at(dev, bar, offset) : NULL;

	if (page)
		mirror_clear(page, offset % UVFIO_PAGE_SIZE, width);
}

bool pci_bar_mirror(struct pci_dev *d, unsigned bar, uint64_t offset, void *data, unsigned width)
{
	struct mirror_page *page = page_at(d, bar, offset);
	uint64_t value;

	if (!page || atomic_load_explicit(&d->priv->gone, memory_order_relaxed))
		return false;
	if (!mirror_get(page, offset % UVFIO_PAGE_SIZE, width, &value))
		return false;
	memcpy(data, &value, width);
	return true;
}

struct mirror_page *pci_bar_mirror_page(struct pci_dev *d, unsigned bar, uint64_t offset)
{
	return page_at(d, bar, offset);
}

void pci_mirror_from(struct pci *pci, struct mirror_pool *pool)
{
	pci->mirror_pool = pool;
}
