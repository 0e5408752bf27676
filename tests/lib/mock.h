/* SPDX-License-Identifier: MIT */
/* Short names for IOMMU_TEST_CMD: mock devices, and looks inside. Results as of ioctl(2). */
#ifndef UVFIO_TESTS_MOCK_H
#define UVFIO_TESTS_MOCK_H

#include "abi/iommufd_test.h"
#include "ioas.h"

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

#endif
