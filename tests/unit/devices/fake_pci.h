/* SPDX-License-Identifier: MIT */
/*
 * A stand-in for pci/: memory of its own at IOVA 0x100000, messages and pin as counters, and a worker that runs when the
 * test says so, so that nothing depends on time. Included once by each test of a model.
 */
#ifndef FAKE_PCI_H
#define FAKE_PCI_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "devices/devices.h"

#define RAM_IOVA 0x100000ull
#define RAM_SIZE (8 * 1024 * 1024)

struct pci_worker {
	void (*fn)(void *state);
	void *state;
	bool kicked;
};

struct pci_dev {
	const struct pci_model *model;
	void *state;
	struct pci_model shape;
	uint8_t ram[RAM_SIZE];
	bool no_bus_master, msi_off;
	uint32_t pasids;    /* it has */
	bool page_requests; /* it makes */
	uint32_t pasid;     /* of the last transfer */
	unsigned messages[32], accesses;
	bool pin;
	struct pci_worker worker;
	uint8_t mirror[4096];
	/* Called before each transfer, as another thread would interfere */
	void (*meddle)(struct pci_dev *d);
};

static bool reaches(struct pci_dev *d, uint64_t iova, size_t n)
{
	d->accesses++;
	return !d->no_bus_master && iova >= RAM_IOVA && n <= RAM_SIZE && iova - RAM_IOVA <= RAM_SIZE - n;
}

static void meddle(struct pci_dev *d)
{
	void (*fn)(struct pci_dev *) = d->meddle;

	d->meddle = NULL;
	if (fn)
		fn(d);
}

bool pci_bus_master(struct pci_dev *d)
{
	return !d->no_bus_master;
}

uint32_t pci_pasids(const struct pci_dev *d)
{
	return d->pasids;
}

bool pci_page_requests(const struct pci_dev *d)
{
	return d->page_requests;
}

int pci_dma_read_pasid(struct pci_dev *d, uint32_t pasid, uint64_t iova, void *dst, size_t n)
{
	d->pasid = pasid;
	meddle(d);
	if (!reaches(d, iova, n))
		return -EFAULT;
	memcpy(dst, d->ram + (iova - RAM_IOVA), n);
	return 0;
}

int pci_dma_write_pasid(struct pci_dev *d, uint32_t pasid, uint64_t iova, const void *src, size_t n)
{
	d->pasid = pasid;
	meddle(d);
	if (!reaches(d, iova, n))
		return -EFAULT;
	memcpy(d->ram + (iova - RAM_IOVA), src, n);
	return 0;
}

int pci_dma_copy_pasid(struct pci_dev *d, uint32_t pasid, uint64_t dst, uint64_t src, size_t n, bool *fault_write)
{
	d->pasid = pasid;
	meddle(d);
	*fault_write = false;
	if (!reaches(d, src, n))
		return -EFAULT;
	*fault_write = true;
	if (!reaches(d, dst, n))
		return -EFAULT;
	memmove(d->ram + (dst - RAM_IOVA), d->ram + (src - RAM_IOVA), n);
	return 0;
}

int pci_dma_read(struct pci_dev *d, uint64_t iova, void *dst, size_t n)
{
	return pci_dma_read_pasid(d, 0, iova, dst, n);
}

int pci_dma_write(struct pci_dev *d, uint64_t iova, const void *src, size_t n)
{
	return pci_dma_write_pasid(d, 0, iova, src, n);
}

void pci_intx_set(struct pci_dev *d, bool asserted)
{
	d->pin = asserted;
}

void pci_msi_fire(struct pci_dev *d, unsigned vector)
{
	d->messages[vector]++;
}

void pci_msix_fire(struct pci_dev *d, unsigned vector)
{
	d->messages[vector]++;
}

bool pci_irq_fire(struct pci_dev *d, unsigned vector)
{
	if (d->msi_off)
		return false;
	d->messages[vector]++;
	return true;
}

void pci_error_report(struct pci_dev *d)
{
}

const char *pci_dev_name(const struct pci_dev *d)
{
	return "0000:01:00.0";
}

void pci_mirror_set(struct pci_dev *d, unsigned bar, uint64_t offset, const void *data, unsigned width)
{
	assert_true(bar == 0 && offset % 4 == 0 && offset + width <= sizeof(d->mirror));
	memcpy(d->mirror + offset, data, width);
}

void pci_mirror_clear(struct pci_dev *d, unsigned bar, uint64_t offset, unsigned width)
{
}

int pci_worker_create(struct pci_dev *d, void (*fn)(void *state), void *state, struct pci_worker **out)
{
	d->worker = (struct pci_worker){ fn, state, false };
	*out = &d->worker;
	return 0;
}

void pci_worker_kick(struct pci_worker *w)
{
	w->kicked = true;
}

void pci_worker_drain(struct pci_worker *w)
{
	while (w->kicked) {
		w->kicked = false;
		w->fn(w->state);
	}
}

void pci_worker_destroy(struct pci_worker *w)
{
	pci_worker_drain(w);
}

/* ---- what tests use ---- */

static struct pci_dev *plug(const struct pci_model *model, const char *const *args)
{
	struct pci_dev *d = calloc(1, sizeof(*d));
	char err[200];

	assert_non_null(d);
	d->model = model;
	d->shape = *model;
	for (const char *const *a = args; a && *a; a++)
		assert_int_equal(model->shape(&d->shape, *a, err, sizeof(err)), 0);
	d->pasids = d->shape.pasid_bits ? 1u << d->shape.pasid_bits : 0;
	d->page_requests = d->shape.page_requests;
	assert_int_equal(model->create(d, args, &d->state), 0);
	return d;
}

static void unplug(struct pci_dev *d)
{
	d->model->destroy(d->state);
	free(d);
}

static inline uint64_t load(struct pci_dev *d, uint64_t offset, unsigned width)
{
	uint64_t v = 0;

	d->model->read(d->state, 0, offset, &v, width);
	return v;
}

static inline void store(struct pci_dev *d, uint64_t offset, uint64_t v, unsigned width)
{
	d->model->write(d->state, 0, offset, &v, width);
}

/* The worker's turn. */
static inline void work(struct pci_dev *d)
{
	pci_worker_drain(&d->worker);
}

#endif
