/* SPDX-License-Identifier: MIT */
/*
 * A program that plays a guest: its memory is at GUEST, where a parent HWPT shows it, and page tables in it (VT-d's first
 * stage) lead from what its edu says to addresses there.
 */
#ifndef UVFIO_TESTS_GUEST_H
#define UVFIO_TESTS_GUEST_H

#include "edu.h"

#define GUEST 0x40000000ull
#define SIZE  0x400000ull    /* of its memory: two pages of 2 MiB */
#define DATA  0x200000ull    /* from here on in it is no table */
#define ABOVE 0x300000000ull /* its addresses for more memory */
#define VA    0x200000ull    /* where tests map things, as the device says it */

#define P       BIT_(0)
#define W       BIT_(1)
#define U       BIT_(2)
#define A       BIT_(5)
#define D       BIT_(6)
#define LARGE   BIT_(7)
#define BIT_(n) (1ull << (n))
#define ADDRESS 0xffffffffff000ull
#define VTD_S1  IOMMU_HWPT_INVALIDATE_DATA_VTD_S1

struct guest {
	struct edu e;
	uint32_t ioas, parent, nest;
	volatile char *memory;
	uint64_t used; /* bytes of it that are tables */
};

static inline volatile uint64_t *guest_at(const struct guest *g, uint64_t address)
{
	return (volatile uint64_t *)(g->memory + (address - GUEST));
}

static inline uint64_t guest_table(struct guest *g)
{
	g->used += PAGE;
	EXPECT(g->used <= DATA);
	return GUEST + g->used - PAGE;
}

/* The entry for @va of the table at @level, 0 for pages of 4 KiB; missing tables on the way are made. */
static inline volatile uint64_t *guest_entry(struct guest *g, uint64_t va, unsigned level)
{
	uint64_t table = GUEST;

	for (unsigned l = 3;; l--) {
		volatile uint64_t *e = guest_at(g, table) + (va >> (12 + 9 * l) & 511);

		if (l == level)
			return e;
		if (!*e)
			*e = guest_table(g) | P | W | U;
		table = *e & ADDRESS;
	}
}

/* Page @n of the guest's data, which is at @va for the device, if tables say so. */
static inline struct page guest_page(const struct guest *g, unsigned n, uint64_t va)
{
	return (struct page){ (volatile uint32_t *)(g->memory + DATA + n * PAGE), va };
}

static inline uint64_t guest_address(unsigned n)
{
	return GUEST + DATA + n * PAGE;
}

/* Page @n is at page @n from VA on. */
static inline struct page guest_map(struct guest *g, unsigned n, uint64_t bits)
{
	uint64_t va = VA + n * PAGE;

	*guest_entry(g, va, 0) = guest_address(n) | bits;
	return guest_page(g, n, va);
}

static inline int vtd_alloc(const struct guest *g, uint32_t pt, uint32_t flags, const struct iommu_hwpt_vtd_s1 *s1, uint32_t *id)
{
	return hwpt_alloc_data(g->e.ctx, g->e.id, pt, flags, 0, IOMMU_HWPT_DATA_VTD_S1, s1, sizeof(*s1), id);
}

static inline uint32_t vtd(const struct guest *g, uint64_t table)
{
	const struct iommu_hwpt_vtd_s1 s1 = { .pgtbl_addr = table, .addr_width = 48 };
	uint32_t id = 0;

	EXPECT_OK(vtd_alloc(g, g->parent, FOR_PASID, &s1, &id));
	return id;
}

/* With empty tables; nothing is attached. @flags: more, of the parent; @sharing: MAP_ */
static inline struct guest guest_new(uint32_t flags, int sharing)
{
	struct guest g = { .e = edu_take(EDU, iommu_open()) };

	g.memory = test_memory(SIZE, PROT_READ | PROT_WRITE, sharing);
	g.ioas = ioas_alloc(g.e.ctx);
	EXPECT_OK(option_set(g.e.ctx, IOMMU_OPTION_HUGE_PAGES, g.ioas, 0));
	EXPECT_OK(ioas_map_at(g.e.ctx, g.ioas, (void *)g.memory, SIZE, GUEST));
	g.parent = paging(g.e.ctx, g.e.id, g.ioas, PARENT | FOR_PASID | flags, 0);
	g.nest = vtd(&g, guest_table(&g));
	return g;
}

/* The usual one: all DMA goes through its tables. */
static inline struct guest guest(void)
{
	struct guest g = guest_new(NONE, MAP_SHARED);

	EXPECT_OK(cdev_attach_to(g.e.device, g.nest));
	return g;
}

static inline bool guest_moves(const struct guest *g, struct page from, struct page to)
{
	return edu_moves(&g->e, 0, from, to);
}

static inline void guest_forget(const struct guest *g, uint64_t va, uint64_t pages)
{
	const struct iommu_hwpt_vtd_s1_invalidate inv = { .addr = va, .npages = pages };
	uint32_t n = 1;

	EXPECT_OK(invalidate(g->e.ctx, g->nest, VTD_S1, &inv, sizeof(inv), &n));
	EXPECT_EQ(1, n);
}

#endif
