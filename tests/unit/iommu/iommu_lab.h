/* SPDX-License-Identifier: MIT */
/* A bench for the IOMMU: units of two kinds, a caller with a shared and a private buffer, both pinned. */
#ifndef IOMMU_LAB_H
#define IOMMU_LAB_H

#include "../mem/fake_mm.h"
#include "iommu/iommu.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define PAGE UVFIO_PAGE_SIZE
#define MIB  (1ull << 20)
#define GIB  (1ull << 30)
#define RW   (MEM_READ | MEM_WRITE)

static const struct iommu_unit unit_dma = { .name = "dmar0", .width = 48, .pgsizes = 0x40201000, .coherent = true,
					    .enforce_coherency = true, .default_domain = "DMA-FQ" };
/* Suits unit_dma's domains, but cannot enforce coherency. */
static const struct iommu_unit unit_weak = { .name = "dmar1", .width = 48, .pgsizes = 0x40201000,
					     .default_domain = "DMA" };
static const struct iommu_unit unit_small = { .name = "small", .width = 39, .pgsizes = 0x1000,
					      .default_domain = "identity" };
static const struct iommu_unit unit_wide = { .name = "wide", .width = 64, .pgsizes = 0x40201000,
					     .default_domain = "DMA" };

static struct lab {
	struct mem *mem;
	struct iommu *iommu;
	struct log log;
	struct fake_mm mm;
	struct fake_task caller;
	char *shared, *private; /* the caller's views, 8 MiB each */
	struct mem_pin *pin_shared, *pin_private;
	phys_t phys_shared, phys_private; /* agree with iova 0 modulo 1 GiB */
} lab;

static inline int lab_setup(void **state)
{
	const struct mem_piece *piece;

	memset(&lab, 0, sizeof(lab));
	log_init(&lab.log, NULL, NULL);
	fake_init(&lab.mm, &lab.caller);
	lab.shared = fake_add(&lab.mm, 0x10000000, 8 * MIB, true, true);
	lab.private = fake_add(&lab.mm, 0x20000000, 8 * MIB, false, true);
	if (mem_create(&lab.log, &lab.mem) || iommu_create(lab.mem, &lab.log, &lab.iommu) ||
	    mem_pin(lab.mem, &lab.caller.t, 0x10000000, 8 * MIB, 0, RW, true, &lab.pin_shared) ||
	    mem_pin(lab.mem, &lab.caller.t, 0x20000000, 8 * MIB, 0, RW, true, &lab.pin_private))
		return -1;
	mem_pin_pieces(lab.pin_shared, &piece);
	lab.phys_shared = piece->phys;
	mem_pin_pieces(lab.pin_private, &piece);
	lab.phys_private = piece->phys;
	return 0;
}

static inline int lab_teardown(void **state)
{
	iommu_destroy(lab.iommu);
	mem_unpin(lab.pin_shared);
	mem_unpin(lab.pin_private);
	mem_destroy(lab.mem);
	mm_put(&lab.mm.mm);
	log_fini(&lab.log);
	return lab.mm.freed ? 0 : -1;
}

static inline struct iommu_dev *lab_dev(const char *name, const struct iommu_unit *unit, struct iommu_group *g)
{
	struct iommu_dev *d = NULL;

	assert_int_equal(iommu_dev_create(lab.iommu, name, unit, &d), 0);
	if (g)
		assert_int_equal(iommu_dev_join(d, g), 0);
	return d;
}

static inline struct iommu_group *lab_group(void)
{
	struct iommu_group *g = NULL;

	assert_int_equal(iommu_group_create(lab.iommu, &g), 0);
	return g;
}

/* What a domain says of an address, and that it says nothing */
static inline void assert_at(struct iommu_domain *d, iova_t iova, phys_t phys, unsigned prot)
{
	phys_t p = 0;
	unsigned got = 0;

	assert_int_equal(iommu_translate(d, iova, &p, &got), 0);
	assert_true(p == phys);
	assert_int_equal(got, prot);
}

static inline void assert_nothing(struct iommu_domain *d, iova_t iova)
{
	phys_t p;
	unsigned prot;

	assert_int_equal(iommu_translate(d, iova, &p, &prot), -EFAULT);
}

/* The fault that came last; @total: how many there must be. */
static inline struct iommu_fault lab_fault(uint64_t total)
{
	struct iommu_fault f[IOMMU_FAULTS];
	uint64_t n;
	unsigned kept = iommu_faults(lab.iommu, f, &n);

	assert_int_equal(n, total);
	assert_true(kept > 0 && kept == MIN(n, IOMMU_FAULTS));
	return f[kept - 1];
}

#define T(f) cmocka_unit_test_setup_teardown(f, lab_setup, lab_teardown)

#endif
