/* SPDX-License-Identifier: MIT */
/* Short names for IOMMU_TEST_CMD: mock devices, and looks inside. Results as of ioctl(2). */
#ifndef UVFIO_TESTS_MOCK_H
#define UVFIO_TESTS_MOCK_H

#include "abi/iommufd_test.h"
#include "ioas.h"

/* Private memory is known by its address in uvfio (docs/DIFFERENCES.md), unless it was asked for true pins. */
static inline void need_pins(void)
{
	if (test_door() != DOOR_HOST && !getenv("UVFIO_TEST_PINS"))
		test_skip("private memory is known by its address");
}

/* Which page is behind an address of private memory only a kernel knows, and which of a file's pages are new. */
static inline void need_page_identity(void)
{
	if (test_door() != DOOR_HOST)
		test_skip("private memory is known by its address, files' pages by their place");
}

/* A mock device, and what it is attached to. */
struct mock {
	uint32_t stdev, hwpt, dev;
};

static inline int test_cmd(int fd, uint32_t op, uint32_t id, struct iommu_test_cmd *c)
{
	c->size = sizeof(*c);
	c->op = op;
	c->id = id;
	return x_ioctl(fd, IOMMU_TEST_CMD, c);
}

static inline int mock_create(int fd, uint32_t pt, uint32_t flags, struct mock *out)
{
	struct iommu_test_cmd c = { .mock_domain = { .dev_flags = flags } };
	int rc = test_cmd(fd, flags ? IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS : IOMMU_TEST_OP_MOCK_DOMAIN, pt, &c);

	if (rc == 0)
		*out = (struct mock){ c.mock_domain.out_stdev_id, c.mock_domain.out_hwpt_id, c.mock_domain.out_idev_id };
	return rc;
}

static inline struct mock mock(int fd, uint32_t pt, uint32_t flags)
{
	struct mock m = { 0 };

	EXPECT_OK(mock_create(fd, pt, flags, &m));
	return m;
}

/* *@pt: the HWPT afterwards */
static inline int mock_replace(int fd, uint32_t stdev, uint32_t *pt)
{
	struct iommu_test_cmd c = { .mock_domain_replace = { .pt_id = *pt } };
	int rc = test_cmd(fd, IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE, stdev, &c);

	if (rc == 0)
		*pt = c.mock_domain_replace.pt_id;
	return rc;
}

static inline int mock_replace_id(int fd, uint32_t stdev, uint32_t pt)
{
	return mock_replace(fd, stdev, &pt);
}

static inline int check_map(int fd, uint32_t hwpt, uint64_t iova, uint64_t length, const void *va)
{
	struct iommu_test_cmd c = { .check_map = { .iova = iova, .length = length, .uptr = (uintptr_t)va } };

	return test_cmd(fd, IOMMU_TEST_OP_MD_CHECK_MAP, hwpt, &c);
}

static inline int check_refs(int fd, const void *va, uint64_t length, uint32_t refs)
{
	struct iommu_test_cmd c = { .check_refs = { .length = length, .uptr = (uintptr_t)va, .refs = refs } };

	return test_cmd(fd, IOMMU_TEST_OP_MD_CHECK_REFS, 0, &c);
}

/* *@id: the HWPT made, when 0 is returned. @fault: its queue, with IOMMU_HWPT_FAULT_ID_VALID in @flags */
static inline int hwpt_alloc_data(int fd, uint32_t dev, uint32_t pt, uint32_t flags, uint32_t fault, uint32_t type,
				  const void *data, uint32_t length, uint32_t *id)
{
	struct iommu_hwpt_alloc a = { .size = sizeof(a), .flags = flags, .dev_id = dev, .pt_id = pt, .data_type = type,
				      .data_len = length, .data_uptr = (uintptr_t)data, .fault_id = fault };
	int rc = x_ioctl(fd, IOMMU_HWPT_ALLOC, &a);

	if (rc == 0)
		*id = a.out_hwpt_id;
	return rc;
}

static inline int hwpt_alloc(int fd, uint32_t dev, uint32_t pt, uint32_t flags, uint32_t *id)
{
	return hwpt_alloc_data(fd, dev, pt, flags, 0, IOMMU_HWPT_DATA_NONE, NULL, 0, id);
}

/* One that must come */
static inline uint32_t hwpt(int fd, uint32_t dev, uint32_t pt, uint32_t flags)
{
	uint32_t id = 0;

	EXPECT_OK(hwpt_alloc(fd, dev, pt, flags, &id));
	return id;
}

static inline int add_reserved(int fd, uint32_t ioas, uint64_t start, uint64_t length)
{
	struct iommu_test_cmd c = { .add_reserved = { .start = start, .length = length } };

	return test_cmd(fd, IOMMU_TEST_OP_ADD_RESERVED, ioas, &c);
}

/* How many ranges the IOAS has; the first two, and its alignment */
static inline unsigned ranges(int fd, uint32_t ioas, struct iommu_iova_range r[2], uint64_t *align)
{
	struct iommu_ioas_iova_ranges a = { .size = sizeof(a), .ioas_id = ioas, .num_iovas = 2,
					    .allowed_iovas = (uintptr_t)r };
	int rc = x_ioctl(fd, IOMMU_IOAS_IOVA_RANGES, &a);

	EXPECT(rc == 0 || errno == EMSGSIZE);
	*align = a.out_iova_alignment;
	return a.num_iovas;
}

static inline void expect_range(int fd, uint32_t ioas, uint64_t start, uint64_t last, uint64_t align)
{
	struct iommu_iova_range r[2];
	uint64_t is;

	EXPECT_EQ(1, ranges(fd, ioas, r, &is));
	EXPECT_EQ(start, r[0].start);
	EXPECT_EQ(last, r[0].last);
	EXPECT_EQ(align, is);
}

/* The number of the next object: what a failure left behind would have taken it */
static inline uint32_t next_id(int fd)
{
	uint32_t id = ioas_alloc(fd);

	EXPECT_OK(destroy(fd, id));
	return id;
}

/* ---- accesses: descriptors through which a test uses an IOAS as the kernel would ---- */

#define PINS MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES

static inline int access_create(int fd, uint32_t ioas, uint32_t flags)
{
	struct iommu_test_cmd c = { .create_access = { .flags = flags } };
	int rc = test_cmd(fd, IOMMU_TEST_OP_CREATE_ACCESS, ioas, &c);

	return rc ? rc : (int)c.create_access.out_access_fd;
}

/* @va: what the pages should be, NULL: anything. *@item: their number, when 0 is returned */
static inline int access_pin(int fd, int access, uint64_t iova, uint64_t length, const void *va, uint32_t flags,
			     uint32_t *item)
{
	struct iommu_test_cmd c = { .access_pages = { .flags = flags, .iova = iova, .length = length,
						      .uptr = (uintptr_t)va } };
	int rc = test_cmd(fd, IOMMU_TEST_OP_ACCESS_PAGES, (uint32_t)access, &c);

	if (rc == 0)
		*item = c.access_pages.out_access_pages_id;
	return rc;
}

static inline int access_unpin(int fd, int access, uint32_t item)
{
	struct iommu_test_cmd c = { .destroy_access_pages = { .access_pages_id = item } };

	return test_cmd(fd, IOMMU_TEST_OP_DESTROY_ACCESS_PAGES, (uint32_t)access, &c);
}

static inline int access_rw(int fd, int access, uint64_t iova, uint64_t length, const void *buf, uint32_t flags)
{
	struct iommu_test_cmd c = { .access_rw = { .iova = iova, .length = length, .uptr = (uintptr_t)buf, .flags = flags } };

	return test_cmd(fd, IOMMU_TEST_OP_ACCESS_RW, (uint32_t)access, &c);
}

static inline int access_replace(int fd, int access, uint32_t ioas)
{
	struct iommu_test_cmd c = { .access_replace_ioas = { .ioas_id = ioas } };

	return test_cmd(fd, IOMMU_TEST_OP_ACCESS_REPLACE_IOAS, (uint32_t)access, &c);
}

/* ---- dirty bits ---- */

/* Pretend that the device wrote to each unit whose bit is set. *@count: how many, when 0 is returned */
static inline int mock_dirty(int fd, uint32_t hwpt, uint64_t iova, uint64_t length, uint64_t unit, const void *bits,
			     uint64_t *count)
{
	struct iommu_test_cmd c = { .dirty = { .iova = iova, .length = length, .page_size = unit, .uptr = (uintptr_t)bits } };
	int rc = test_cmd(fd, IOMMU_TEST_OP_DIRTY, hwpt, &c);

	if (rc == 0)
		*count = c.dirty.out_nr_dirty;
	return rc;
}

static inline int dirty_track(int fd, uint32_t hwpt, bool on)
{
	struct iommu_hwpt_set_dirty_tracking s = { .size = sizeof(s), .hwpt_id = hwpt,
						   .flags = on ? IOMMU_HWPT_DIRTY_TRACKING_ENABLE : 0 };

	return x_ioctl(fd, IOMMU_HWPT_SET_DIRTY_TRACKING, &s);
}

static inline int dirty_get(int fd, uint32_t hwpt, uint64_t iova, uint64_t length, uint64_t unit, void *bits, uint32_t flags)
{
	struct iommu_hwpt_get_dirty_bitmap g = { .size = sizeof(g), .hwpt_id = hwpt, .flags = flags, .iova = iova,
						 .length = length, .page_size = unit, .data = (uintptr_t)bits };

	return x_ioctl(fd, IOMMU_HWPT_GET_DIRTY_BITMAP, &g);
}

#endif
