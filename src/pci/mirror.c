/* SPDX-License-Identifier: MIT */
/*
 * Registers whose load has no side effect, readable without calling the model: the model writes each new value
 * here, and the front end's fast path takes it from here with no lock. One table entry a page of the BAR, made at
 * the first mirrored register of that page. Values are kept in 8-byte words, so an aligned 8-byte register is never
 * seen half old, half new.
 *
 * A failed allocation only means that the page has no mirror: callers ask the model as before.
 */
#include "pci/priv.h"
#include <string.h>

#define WORDS (UVFIO_PAGE_SIZE / 8)

struct mirror_page {
	atomic_ullong value[WORDS];
	atomic_uint valid[WORDS / 16]; /* one bit a 4-byte register */
};

int pci_mirror_init(struct pci_dev *d)
{
	struct pci_priv *p = d->priv;

	for (unsigned i = 0; i < PCI_BARS; i++) {
		const struct pci_bar *b = &p->bar[i];

		if (!b->size || b->kind == PCI_BAR_IO || b->shm)
			continue;
		p->mirror[i] = calloc((b->size + UVFIO_PAGE_SIZE - 1) / UVFIO_PAGE_SIZE, sizeof(*p->mirror[i]));
		if (!p->mirror[i])
			return -ENOMEM;
	}
	return 0;
}

void pci_mirror_fini(struct pci_dev *d)
{
	struct pci_priv *p = d->priv;

	for (unsigned i = 0; i < PCI_BARS; i++) {
		const struct pci_bar *b = &p->bar[i];

		for (uint64_t n = 0; p->mirror[i] && n < (b->size + UVFIO_PAGE_SIZE - 1) / UVFIO_PAGE_SIZE; n++)
			free(atomic_load(&p->mirror[i][n]));
		free(p->mirror[i]);
		p->mirror[i] = NULL;
	}
}

static struct mirror_page *mirror_page(struct pci_priv *p, unsigned bar, uint64_t offset, bool make)
{
	_Atomic(struct mirror_page *) *slot;
	struct mirror_page *page, *none = NULL;

	if (bar >= PCI_BARS || !p->mirror[bar] || offset >= p->bar[bar].size)
		return NULL;
	slot = &p->mirror[bar][offset / UVFIO_PAGE_SIZE];
	page = atomic_load_explicit(slot, memory_order_acquire);
	if (page || !make)
		return page;
	page = calloc(1, sizeof(*page));
	if (!page)
		return NULL;
	if (atomic_compare_exchange_strong(slot, &none, page))
		return page;
	free(page);
	return none;
}

static bool bad_shape(uint64_t offset, unsigned width)
{
	return (width != 4 && width != 8) || offset % width;
}

/* The bits of the valid map that cover an access, and the word they are in. */
static unsigned valid_bits(uint64_t offset, unsigned width, unsigned *word)
{
	unsigned reg = (unsigned)(offset % UVFIO_PAGE_SIZE) / 4;

	*word = reg / 32;
	return (width == 8 ? 3u : 1u) << reg % 32;
}

void pci_mirror_set(struct pci_dev *dev, unsigned bar, uint64_t offset, const void *data, unsigned width)
{
	struct mirror_page *m = bad_shape(offset, width) ? NULL : mirror_page(dev->priv, bar, offset, true);
	unsigned word, bits;
	atomic_ullong *slot;
	uint32_t half;

	if (!m)
		return;
	slot = &m->value[offset % UVFIO_PAGE_SIZE / 8];
	if (width == 8) {
		unsigned long long v;

		memcpy(&v, data, 8);
		atomic_store_explicit(slot, v, memory_order_release);
	} else {
		unsigned long long was = atomic_load(slot), now;
		unsigned shift = offset & 4 ? 32 : 0;

		memcpy(&half, data, 4);
		do
			now = (was & ~(0xffffffffull << shift)) | (unsigned long long)half << shift;
		while (!atomic_compare_exchange_weak(slot, &was, now));
	}
	bits = valid_bits(offset, width, &word);
	if ((atomic_load_explicit(&m->valid[word], memory_order_relaxed) & bits) != bits)
		atomic_fetch_or_explicit(&m->valid[word], bits, memory_order_release);
}

void pci_mirror_clear(struct pci_dev *dev, unsigned bar, uint64_t offset, unsigned width)
{
	struct mirror_page *m = bad_shape(offset, width) ? NULL : mirror_page(dev->priv, bar, offset, false);
	unsigned word, bits;

	if (!m)
		return;
	bits = valid_bits(offset, width, &word);
	atomic_fetch_and(&m->valid[word], ~bits);
}

bool pci_bar_mirror(struct pci_dev *d, unsigned bar, uint64_t offset, void *data, unsigned width)
{
	struct mirror_page *m = bad_shape(offset, width) ? NULL : mirror_page(d->priv, bar, offset, false);
	unsigned word, bits;
	unsigned long long v;

	if (!m || atomic_load_explicit(&d->priv->gone, memory_order_relaxed))
		return false;
	bits = valid_bits(offset, width, &word);
	if ((atomic_load_explicit(&m->valid[word], memory_order_acquire) & bits) != bits)
		return false;
	v = atomic_load_explicit(&m->value[offset % UVFIO_PAGE_SIZE / 8], memory_order_acquire);
	if (width == 4)
		v >>= offset & 4 ? 32 : 0;
	memcpy(data, &v, width);
	return true;
}
