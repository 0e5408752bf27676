/* SPDX-License-Identifier: MIT */
/* A program's own page tables (VT-d's first stage) before those of an IOMMU: DMA through both. */
#include "guest.h"

/* ---- two stages ---- */

static void through_both(int sharing)
{
	struct guest g = guest_new(NONE, sharing);
	struct page from = guest_map(&g, 0, P | W | U), to = guest_map(&g, 1, P | W | U);

	EXPECT_OK(cdev_attach_to(g.e.device, g.nest));
	EXPECT(guest_moves(&g, from, to));
	EXPECT(guest_moves(&g, to, from));
	EXPECT(!guest_moves(&g, from, guest_page(&g, 2, VA + 2 * PAGE))); /* not in the guest's tables */
	EXPECT(!guest_moves(&g, from, guest_page(&g, 1, guest_address(1)))); /* the guest's address is not the device's */
	EXPECT_OK(cdev_attach_to(g.e.device, g.parent));
	EXPECT(!guest_moves(&g, from, to));
	EXPECT(guest_moves(&g, guest_page(&g, 0, guest_address(0)), guest_page(&g, 1, guest_address(1))));
}

TEST(both_shared, "30:IFD-153", "DMA goes through the program's tables and then the IOMMU's, in shared memory")
{
	through_both(MAP_SHARED);
}

TEST(both_private, "30:IFD-153", "DMA goes through the program's tables and then the IOMMU's, in private memory")
{
	through_both(MAP_PRIVATE);
}

TEST(all_levels, "30:IFD-153", "every level of the tables counts, up to the ends of both halves of the address space")
{
	static const uint64_t spots[] = { 0, PAGE, 0x201000, 0x40201000, 0x8040201000, 0x7ffffffff000, 0xffff800000000000,
					  0xfffffffffffff000 };
	struct guest g = guest();
	struct page from = guest_map(&g, 0, P | W | U);

	for (unsigned i = 0; i < sizeof(spots) / sizeof(spots[0]); i++) {
		struct page to = guest_page(&g, i + 1, spots[i]);

		EXPECT(!guest_moves(&g, from, to));
		*guest_entry(&g, spots[i], 0) = guest_address(i + 1) | P | W | U;
		EXPECT(guest_moves(&g, from, to));
	}
	EXPECT(!guest_moves(&g, from, guest_page(&g, 6, 0x800000000000))); /* bit 47 alone: neither half */
	*guest_entry(&g, 0x800000000000, 0) = guest_address(6) | P | W | U;
	EXPECT(!guest_moves(&g, from, guest_page(&g, 6, 0x800000000000)));
}

TEST(rights, "30:IFD-153", "what any of the entries on the way does not allow is not done")
{
	struct guest g = guest();
	struct page a = guest_map(&g, 0, P | W | U), b = guest_map(&g, 1, P | W | U);

	EXPECT(guest_moves(&g, a, b) && guest_moves(&g, b, a));
	*guest_entry(&g, b.iova, 0) = guest_address(1) | P | U;
	guest_forget(&g, b.iova, 1);
	EXPECT(!guest_moves(&g, a, b) && guest_moves(&g, b, a));
	*guest_entry(&g, b.iova, 0) = guest_address(1) | P | W; /* a supervisor's: no device is one */
	guest_forget(&g, b.iova, 1);
	EXPECT(!guest_moves(&g, a, b) && !guest_moves(&g, b, a));
	*guest_entry(&g, b.iova, 0) = guest_address(1) | W | U;
	guest_forget(&g, b.iova, 1);
	EXPECT(!guest_moves(&g, a, b) && !guest_moves(&g, b, a));
	*guest_entry(&g, b.iova, 0) = guest_address(1) | P | W | U;
	b.iova += BIT_(39); /* the same tables from level 2 down by another entry at the top */
	*guest_entry(&g, b.iova, 3) = *guest_entry(&g, VA, 3) & ~W;
	EXPECT(!guest_moves(&g, a, b) && guest_moves(&g, b, a));
	*guest_entry(&g, b.iova, 3) = *guest_entry(&g, VA, 3) & ~U;
	guest_forget(&g, b.iova, 1);
	EXPECT(!guest_moves(&g, a, b) && !guest_moves(&g, b, a));
}

TEST(parents_rights, "30:IFD-153", "tables cannot allow what the parent does not: memory mapped to be read is not written")
{
	struct guest g = guest();
	struct page a = guest_map(&g, 0, P | W | U), b = page_at(VA + PAGE), writable = page_at(VA + 2 * PAGE);
	uint64_t iova = ABOVE;

	EXPECT_OK(ioas_map(g.e.ctx, g.ioas, (void *)b.at, PAGE, READ | FIXED, &iova));
	EXPECT_OK(ioas_map_at(g.e.ctx, g.ioas, (void *)writable.at, PAGE, ABOVE + PAGE));
	*guest_entry(&g, b.iova, 0) = ABOVE | P | W | U;
	*guest_entry(&g, writable.iova, 0) = (ABOVE + PAGE) | P | W | U;
	EXPECT(guest_moves(&g, b, a));
	EXPECT(!guest_moves(&g, a, b));
	EXPECT_EQ(0, *guest_entry(&g, b.iova, 0) & D); /* it was not written */
	EXPECT(guest_moves(&g, a, writable));
}

TEST(large, "30:IFD-153", "entries for 2 MiB and 1 GiB lead as far as the parent goes; one with an address inside of a page to nothing")
{
	struct guest g = guest();
	struct page a = guest_map(&g, 0, P | W | U), b = guest_page(&g, 0x123, 0x80000000 + 0x123 * PAGE);

	*guest_entry(&g, b.iova, 1) = (GUEST + DATA) | P | W | U | LARGE;
	EXPECT(guest_moves(&g, a, b) && guest_moves(&g, b, a));
	*guest_entry(&g, b.iova, 1) = (GUEST + DATA + 0x2000) | P | W | U | LARGE;
	guest_forget(&g, b.iova & ~0x1fffffull, 512);
	EXPECT(!guest_moves(&g, a, b));
	b.iova = 0x8000000000 + DATA + 0x123 * PAGE;
	*guest_entry(&g, b.iova, 2) = GUEST | P | W | U | LARGE;
	EXPECT(guest_moves(&g, a, b) && guest_moves(&g, b, a));
	b.iova = 0x8000000000 + SIZE; /* behind the guest's memory */
	EXPECT(!guest_moves(&g, a, b));
}

TEST(tables_elsewhere, "30:IFD-153", "a table that is nowhere in the parent leads to nothing")
{
	struct guest g = guest();
	struct page a = guest_map(&g, 0, P | W | U), b = guest_map(&g, 1, P | W | U);

	EXPECT(guest_moves(&g, a, b));
	*guest_entry(&g, BIT_(39), 3) = (GUEST + SIZE) | P | W | U;
	b.iova += BIT_(39);
	EXPECT(!guest_moves(&g, a, b));
	g.nest = vtd(&g, GUEST + SIZE);
	EXPECT_OK(cdev_attach_to(g.e.device, g.nest));
	EXPECT(!guest_moves(&g, a, guest_page(&g, 1, VA + PAGE)));
}

TEST(accessed_dirty, "30:IFD-161", "entries say that they were used, and those of pages that they were written")
{
	struct guest g = guest();
	struct page a = guest_map(&g, 0, P | W | U), b = guest_map(&g, 1, P | W | U), other = guest_map(&g, 2, P | W | U);

	for (unsigned level = 0; level < 4; level++)
		EXPECT_EQ(0, *guest_entry(&g, VA, level) & (A | D));
	edu_start(&g.e, 0, a.iova, BUFFER, 4);
	edu_end(&g.e);
	for (unsigned level = 0; level < 4; level++)
		EXPECT_EQ(A, *guest_entry(&g, VA, level) & (A | D));
	EXPECT_EQ(0, *guest_entry(&g, b.iova, 0) & (A | D));
	EXPECT(guest_moves(&g, a, b));
	EXPECT_EQ(A | D, *guest_entry(&g, b.iova, 0) & (A | D));
	EXPECT_EQ(A, *guest_entry(&g, a.iova, 0) & (A | D));
	EXPECT_EQ(A, *guest_entry(&g, b.iova, 1) & (A | D));
	EXPECT_EQ(0, *guest_entry(&g, other.iova, 0) & (A | D));
	EXPECT(guest_moves(&g, b, a)); /* what was read before is known, and yet to be marked */
	EXPECT_EQ(A | D, *guest_entry(&g, a.iova, 0) & (A | D));
	*guest_entry(&g, a.iova, 0) &= ~(A | D);
	guest_forget(&g, a.iova, 1);
	EXPECT(guest_moves(&g, b, a));
	EXPECT_EQ(A | D, *guest_entry(&g, a.iova, 0) & (A | D));
}

/* ---- the parent changes ---- */

TEST(parent_unmap, "30:IFD-153", "what is unmapped in the parent is out of reach at once, whatever tables say; mapped again it is back")
{
	struct guest g = guest();
	struct page from = guest_map(&g, 0, P | W | U), to = page_at(VA + PAGE), again = page_at(VA + PAGE);

	EXPECT_OK(ioas_map_at(g.e.ctx, g.ioas, (void *)to.at, PAGE, ABOVE));
	*guest_entry(&g, to.iova, 0) = ABOVE | P | W | U;
	EXPECT(guest_moves(&g, from, to));
	EXPECT_OK(ioas_unmap_n(g.e.ctx, g.ioas, ABOVE, PAGE));
	EXPECT(!guest_moves(&g, from, to));
	EXPECT_OK(ioas_map_at(g.e.ctx, g.ioas, (void *)again.at, PAGE, ABOVE));
	EXPECT(guest_moves(&g, from, again) && !guest_moves(&g, from, to));
	EXPECT_OK(ioas_unmap_n(g.e.ctx, g.ioas, GUEST, SIZE)); /* with the tables */
	EXPECT(!guest_moves(&g, from, again));
}

static bool is_dirty(const struct guest *g, uint64_t address)
{
	uint8_t bits = 0;

	EXPECT_OK(dirty_get(g->e.ctx, g->parent, address, PAGE, PAGE, &bits, 0));
	return bits;
}

TEST(parent_dirty, "30:IFD-161 30:IFD-160", "the parent remembers what was written through tables, exactly those pages, and the tables that were marked")
{
	struct guest g = guest_new(IOMMU_HWPT_ALLOC_DIRTY_TRACKING, MAP_SHARED);
	struct page from = guest_map(&g, 0, P | W | U), to = guest_map(&g, 1, P | W | U), other = guest_map(&g, 2, P | W | U);

	EXPECT_OK(cdev_attach_to(g.e.device, g.nest));
	EXPECT(guest_moves(&g, from, to)); /* dirty and known already when it begins to be remembered */
	EXPECT(guest_moves(&g, from, other));
	EXPECT_ERR(ENOENT, dirty_track(g.e.ctx, g.nest, true));
	EXPECT_OK(dirty_track(g.e.ctx, g.parent, true));
	EXPECT(!is_dirty(&g, guest_address(1)) && !is_dirty(&g, GUEST));
	EXPECT(guest_moves(&g, from, to));
	EXPECT(is_dirty(&g, guest_address(1)));
	EXPECT(!is_dirty(&g, guest_address(0)) && !is_dirty(&g, guest_address(2)) && !is_dirty(&g, GUEST));
	EXPECT(!is_dirty(&g, guest_address(1))); /* it was cleared */
	EXPECT(guest_moves(&g, from, to));
	EXPECT(is_dirty(&g, guest_address(1)));
	*guest_entry(&g, VA, 3) &= ~A;
	guest_forget(&g, 0, UINT64_MAX);
	EXPECT(guest_moves(&g, from, to));
	EXPECT(is_dirty(&g, GUEST)); /* the table at the top was marked */
	EXPECT_OK(dirty_track(g.e.ctx, g.parent, false));
	EXPECT(guest_moves(&g, from, other));
	EXPECT(!is_dirty(&g, guest_address(2)));
}

/* ---- more than one ---- */

TEST(one_each, "30:IFD-146", "PASIDs can have tables of their own beside the device, which has the parent or others of its own")
{
	struct guest g = guest_new(NONE, MAP_SHARED);
	struct page a = guest_map(&g, 0, P | W | U), b = guest_map(&g, 1, P | W | U), elsewhere = guest_page(&g, 3, b.iova);
	uint64_t second = guest_table(&g), tables = GUEST;
	uint32_t other;

	/* The second ones are the same but for b. */
	for (unsigned level = 3; level > 0; level--) {
		uint64_t next = guest_table(&g), old = *guest_entry(&g, VA, level) & ADDRESS;

		*(guest_at(&g, level == 3 ? second : tables) + (VA >> (12 + 9 * level) & 511)) = next | P | W | U;
		memcpy((void *)guest_at(&g, next), (void *)guest_at(&g, old), PAGE);
		tables = next;
	}
	guest_at(&g, tables)[(b.iova >> 12) & 511] = guest_address(3) | P | W | U;
	other = vtd(&g, second);
	EXPECT_OK(cdev_attach_to(g.e.device, g.parent));
	EXPECT_OK(cdev_attach_pasid_to(g.e.device, 1, g.nest));
	EXPECT_OK(cdev_attach_pasid_to(g.e.device, 2, other));
	EXPECT(edu_moves(&g.e, 1, a, b) && !edu_moves(&g.e, 1, a, elsewhere));
	EXPECT(edu_moves(&g.e, 2, a, elsewhere) && !edu_moves(&g.e, 2, a, b));
	EXPECT(!guest_moves(&g, a, b));
	EXPECT_OK(cdev_attach_to(g.e.device, g.nest));
	EXPECT(guest_moves(&g, a, b));
	EXPECT_OK(cdev_attach_to(g.e.device, other));
	EXPECT(guest_moves(&g, a, elsewhere) && edu_moves(&g.e, 1, a, b));
	EXPECT_OK(cdev_attach_pasid_to(g.e.device, 1, other));
	EXPECT(edu_moves(&g.e, 1, a, elsewhere) && !edu_moves(&g.e, 1, a, b));
	EXPECT_OK(cdev_detach_pasid(g.e.device, 1));
	EXPECT(!edu_moves(&g.e, 1, a, elsewhere) && edu_moves(&g.e, 2, a, elsewhere));
}
