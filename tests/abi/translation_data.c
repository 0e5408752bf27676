/* SPDX-License-Identifier: MIT */
/* What comes with a program's own page tables (VT-d's first stage): HWPT_ALLOC's data, and HWPT_INVALIDATE's. */
#include "guest.h"

/* ---- HWPT_INVALIDATE ---- */

TEST(changes, "30:IFD-158", "a change of the tables is seen when what was known is invalidated: a page, a range, everything")
{
	struct guest g = guest();
	struct page from = guest_map(&g, 0, P | W | U), to = guest_map(&g, 1, P | W | U), other = guest_page(&g, 2, to.iova);

	EXPECT(guest_moves(&g, from, to));
	*guest_entry(&g, to.iova, 0) = guest_address(2) | P | W | U;
	guest_forget(&g, to.iova, 1);
	EXPECT(guest_moves(&g, from, other) && !guest_moves(&g, from, to));
	*guest_entry(&g, to.iova, 0) = guest_address(1) | P | W | U;
	guest_forget(&g, VA, 512);
	EXPECT(guest_moves(&g, from, to) && !guest_moves(&g, from, other));
	*guest_entry(&g, VA, 1) = 0; /* a whole table */
	guest_forget(&g, 0, UINT64_MAX);
	EXPECT(!guest_moves(&g, from, to) && !guest_moves(&g, from, other));
	from = guest_map(&g, 0, P | W | U);
	to = guest_map(&g, 1, P | W | U);
	EXPECT(guest_moves(&g, from, to));
}

TEST(invalidate_target, "30:IFD-157", "only nested HWPTs are invalidated: a paging one is EINVAL and nothing done, none is ENOENT")
{
	const struct iommu_hwpt_vtd_s1_invalidate inv = { .npages = 1 };
	struct guest g = guest();
	const uint32_t ids[] = { g.parent, g.ioas, g.e.id };
	uint32_t n = 1;

	for (unsigned i = 0; i < 3; i++, n = 1) {
		EXPECT_ERR(EINVAL, invalidate(g.e.ctx, ids[i], VTD_S1, &inv, sizeof(inv), &n));
		EXPECT_EQ(0, n);
	}
	EXPECT_ERR(ENOENT, invalidate(g.e.ctx, 99, VTD_S1, &inv, sizeof(inv), &n));
	EXPECT_EQ(0, n);
	EXPECT_OK(invalidate(g.e.ctx, g.nest, VTD_S1, NULL, 0, &n)); /* is the type known? */
	EXPECT_ERR(EINVAL, invalidate(g.e.ctx, g.nest, 1, NULL, 0, &n));
}

TEST(invalidate_one, "30:IFD-158", "an entry with unknown flags is EOPNOTSUPP, with half a page, or with all pages from the middle on, EINVAL")
{
	static const struct {
		struct iommu_hwpt_vtd_s1_invalidate inv;
		int error;
	} rows[] = {
		{ { .addr = VA, .npages = 1, .flags = IOMMU_VTD_INV_FLAGS_LEAF }, 0 },
		{ { .addr = VA }, 0 },
		{ { .addr = VA, .npages = UINT64_MAX - 1 }, 0 },
		{ { .npages = UINT64_MAX }, 0 },
		{ { .addr = VA, .npages = UINT64_MAX }, EINVAL },
		{ { .addr = VA + 8, .npages = 1 }, EINVAL },
		{ { .addr = VA, .npages = 1, .flags = 2 }, EOPNOTSUPP },
		{ { .addr = VA, .npages = 1, .__reserved = 1 }, EOPNOTSUPP },
	};
	struct guest g = guest();

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint32_t n = 1;
		int rc = invalidate(g.e.ctx, g.nest, VTD_S1, &rows[i].inv, sizeof(rows[i].inv), &n);

		EXPECT_EQ(rows[i].error ? -1 : 0, rc);
		EXPECT_EQ(rows[i].error, rc ? errno : 0);
		EXPECT_EQ(!rows[i].error, n);
	}
}

TEST(invalidate_some, "30:IFD-158", "entries take effect in order up to the first bad one, and it is said how many did")
{
	struct guest g = guest();
	struct page from = guest_map(&g, 0, P | W | U), to[4];
	struct iommu_hwpt_vtd_s1_invalidate inv[4];
	uint32_t n = 4;

	for (unsigned i = 0; i < 4; i++) {
		to[i] = guest_map(&g, 1 + i, P | W | U);
		inv[i] = (struct iommu_hwpt_vtd_s1_invalidate){ .addr = to[i].iova, .npages = 1, .flags = i == 2 ? 8 : 0 };
		EXPECT(guest_moves(&g, from, to[i]));
		*guest_entry(&g, to[i].iova, 0) = 0;
	}
	EXPECT_ERR(EOPNOTSUPP, invalidate(g.e.ctx, g.nest, VTD_S1, inv, sizeof(inv[0]), &n));
	EXPECT_EQ(2, n);
	EXPECT(!guest_moves(&g, from, to[0]) && !guest_moves(&g, from, to[1]));
	n = 2;
	EXPECT_OK(invalidate(g.e.ctx, g.nest, VTD_S1, inv, sizeof(inv[0]), &n));
	EXPECT_EQ(2, n);
}

TEST(invalidate_limits, "30:IFD-159", "entries of no bytes or more than a page, more than half a million, or at NULL: EINVAL")
{
	struct { struct iommu_hwpt_vtd_s1_invalidate inv; uint64_t more; } long_one = { .inv.npages = 1 };
	struct guest g = guest();
	char *bytes = ram(2 * PAGE);
	uint32_t n;

	EXPECT_ERR(EINVAL, invalidate(g.e.ctx, g.nest, VTD_S1, bytes, PAGE + 1, (n = 1, &n)));
	EXPECT_EQ(0, n);
	EXPECT_ERR(EINVAL, invalidate(g.e.ctx, g.nest, VTD_S1, bytes, 0, (n = 1, &n)));
	EXPECT_ERR(EINVAL, invalidate(g.e.ctx, g.nest, VTD_S1, bytes, 24, (n = (1u << 19) + 1, &n)));
	EXPECT_EQ(0, n);
	EXPECT_ERR(EINVAL, invalidate(g.e.ctx, g.nest, VTD_S1, NULL, 24, (n = 1, &n)));
	EXPECT_ERR(EINVAL, invalidate(g.e.ctx, 99, VTD_S1, NULL, 24, (n = 1, &n))); /* before the id is looked at */
	EXPECT_ERR(EINVAL, invalidate(g.e.ctx, g.nest, VTD_S1, bytes, 16, (n = 1, &n)));
	EXPECT_ERR(EFAULT, invalidate(g.e.ctx, g.nest, VTD_S1, (void *)PAGE, 24, (n = 1, &n)));
	EXPECT_EQ(0, n);
	EXPECT_OK(invalidate(g.e.ctx, g.nest, VTD_S1, bytes, PAGE, (n = 2, &n)));
	EXPECT_EQ(2, n);
	EXPECT_OK(invalidate(g.e.ctx, g.nest, VTD_S1, &long_one, sizeof(long_one), (n = 1, &n)));
	long_one.more = 1;
	EXPECT_ERR(E2BIG, invalidate(g.e.ctx, g.nest, VTD_S1, &long_one, sizeof(long_one), (n = 1, &n)));
	EXPECT_EQ(0, n);
}

/* ---- HWPT_ALLOC and ATTACH ---- */

TEST(information, "30:IFD-155", "GET_HW_INFO says that the unit nests, in VT-d's own register")
{
	struct edu e = edu_take(EDU, iommu_open());
	struct iommu_hw_info_vtd v = { 0 };
	struct iommu_hw_info i = { .size = sizeof(i), .dev_id = e.id, .data_len = sizeof(v), .data_uptr = (uintptr_t)&v };

	EXPECT_OK(x_ioctl(e.ctx, IOMMU_GET_HW_INFO, &i));
	EXPECT_EQ(IOMMU_HW_INFO_TYPE_INTEL_VTD, i.out_data_type);
	EXPECT(v.ecap_reg & BIT_(26)); /* nested translation */
	EXPECT(v.ecap_reg & BIT_(47)); /* tables of the first stage */
	EXPECT(!(v.cap_reg & BIT_(60))); /* of four levels only */
}

TEST(bases, "30:IFD-153", "tables stand on an HWPT that was made to be a parent, and keep it: not on an automatic one, nor on others")
{
	const struct iommu_hwpt_vtd_s1 s1 = { .pgtbl_addr = GUEST, .addr_width = 48 };
	struct guest g = guest_new(NONE, MAP_SHARED);
	uint32_t plain = paging(g.e.ctx, g.e.id, g.ioas, FOR_PASID, 0), automatic = g.ioas, id = 0;

	EXPECT_OK(cdev_attach(g.e.device, &automatic));
	EXPECT_ERR(EINVAL, vtd_alloc(&g, automatic, NONE, &s1, &id));
	EXPECT_ERR(EINVAL, vtd_alloc(&g, plain, NONE, &s1, &id));
	EXPECT_ERR(EINVAL, vtd_alloc(&g, g.nest, NONE, &s1, &id));
	EXPECT_ERR(EINVAL, vtd_alloc(&g, 99, NONE, &s1, &id));
	EXPECT_ERR(EOPNOTSUPP, vtd_alloc(&g, g.ioas, NONE, &s1, &id));
	EXPECT_ERR(EOPNOTSUPP, vtd_alloc(&g, g.parent, PARENT, &s1, &id));
	EXPECT_ERR(EOPNOTSUPP, vtd_alloc(&g, g.parent, IOMMU_HWPT_ALLOC_DIRTY_TRACKING, &s1, &id));
	EXPECT_ERR(EBUSY, destroy(g.e.ctx, g.parent));
	EXPECT_OK(cdev_attach_to(g.e.device, g.nest));
	EXPECT_ERR(EBUSY, destroy(g.e.ctx, g.nest));
	EXPECT_OK(cdev_detach(g.e.device));
	EXPECT_OK(destroy(g.e.ctx, g.nest));
	EXPECT_OK(destroy(g.e.ctx, g.parent));
}

TEST(formats, "30:IFD-153", "data of another type is EOPNOTSUPP, too short or too long EINVAL, unreadable EFAULT, a table inside of a page EINVAL")
{
	struct { struct iommu_hwpt_vtd_s1 s1; uint64_t more; } d = { .s1 = { .pgtbl_addr = GUEST, .addr_width = 48 } };
	struct guest g = guest_new(NONE, MAP_SHARED);
	int fd = g.e.ctx;
	uint32_t dev = g.e.id, id = 0, length;

	for (uint32_t type = 2; type < 5; type++)
		EXPECT_ERR(EOPNOTSUPP, hwpt_alloc_data(fd, dev, g.parent, 0, 0, type, &d, sizeof(d.s1), &id));
	EXPECT_ERR(EOPNOTSUPP, hwpt_alloc_data(fd, dev, g.parent, 0, 0, IOMMU_HWPT_DATA_NONE, NULL, 0, &id));
	EXPECT_ERR(EINVAL, hwpt_alloc_data(fd, dev, g.parent, 0, 0, IOMMU_HWPT_DATA_NONE, &d, sizeof(d.s1), &id));
	for (length = 0; length < 40; length++) {
		if (length != sizeof(d.s1))
			EXPECT_ERR(EINVAL, hwpt_alloc_data(fd, dev, g.parent, 0, 0, IOMMU_HWPT_DATA_VTD_S1, &d, length, &id));
	}
	EXPECT_ERR(EFAULT, hwpt_alloc_data(fd, dev, g.parent, 0, 0, IOMMU_HWPT_DATA_VTD_S1, (void *)PAGE, sizeof(d.s1), &id));
	d.s1.pgtbl_addr = GUEST + 8;
	EXPECT_ERR(EINVAL, vtd_alloc(&g, g.parent, 0, &d.s1, &id));
	d.s1 = (struct iommu_hwpt_vtd_s1){ .flags = IOMMU_VTD_S1_SRE | IOMMU_VTD_S1_WPE, .pgtbl_addr = GUEST, .addr_width = 48 };
	EXPECT_OK(vtd_alloc(&g, g.parent, 0, &d.s1, &id));
	EXPECT_OK(cdev_attach_to(g.e.device, id));
}

TEST(not_by_this_unit, "30:IFD-153", "tables of five levels, and such as want a flag of their own for accesses, can be made and not attached: EINVAL")
{
	static const struct iommu_hwpt_vtd_s1 wrong[] = {
		{ .pgtbl_addr = GUEST, .addr_width = 57 },
		{ .pgtbl_addr = GUEST, .addr_width = 39 },
		{ .pgtbl_addr = GUEST, .addr_width = 48, .flags = IOMMU_VTD_S1_EAFE },
	};
	struct guest g = guest();
	struct page a = guest_map(&g, 0, P | W | U), b = guest_map(&g, 1, P | W | U);

	EXPECT(guest_moves(&g, a, b));
	for (unsigned i = 0; i < 3; i++) {
		uint32_t id = 0;

		EXPECT_OK(vtd_alloc(&g, g.parent, FOR_PASID, &wrong[i], &id));
		EXPECT_ERR(EINVAL, cdev_attach_to(g.e.device, id)); /* a replace */
		EXPECT_ERR(EINVAL, cdev_attach_pasid_to(g.e.device, 1, id));
		EXPECT(guest_moves(&g, a, b));
		EXPECT_OK(cdev_detach(g.e.device));
		EXPECT_ERR(EINVAL, cdev_attach_to(g.e.device, id));
		EXPECT_OK(cdev_attach_to(g.e.device, g.nest));
	}
}
