/* SPDX-License-Identifier: MIT */
/*
 * The test interface (spec 31): IOMMU_TEST_CMD, and the mock IOMMU that its devices are behind.
 *
 *	test.c         the request, and what looks at address spaces and HWPTs
 *	testaccess.c   accesses, as descriptors
 *	testpages.c    which page is where, and how often it is pinned
 *	testdmabuf.c   dma-bufs
 *	mockdev.c      mock devices
 *	mock.c         the driver of the mock IOMMU
 */
#ifndef UVFIO_IOMMUFD_MOCK_H
#define UVFIO_IOMMUFD_MOCK_H

#include "abi/iommufd_test.h"
#include "iommufd/hw.h"

/* A mock device: its idev->hw_data. What is attached to it is protected by its group's lock. */
struct iommufd_mock {
	struct iommufd_object obj;          /* SELFTEST */
	struct iommu_dev *dev;              /* [I] */
	struct iommu_group *group;          /* [I] */
	struct iommufd_device *idev;        /* [I] bound */
	struct iommufd_viommu *viommu;      /* that it is attached through; NULL: none */
	uint64_t virt_id;                   /* what the guest called it then */
	bool trapped;                       /* the next PASID 1024 fails */
	struct mutex lock;                  /* RANK_IOMMUFD_MOCK */
	uint32_t caches[MOCK_DEV_CACHES];   /* [lock] */
	LIST_ENTRY(iommufd_mock) orphan;    /* [ctx->lock] */
};

/** iommufd_mock_end - the context ends: what is left of mock devices goes */
void iommufd_mock_end(struct iommufd_ctx *ctx);

/** iommufd_mock_unit - of a device with these MOCK_FLAGS_DEVICE_* */
const struct iommu_unit *iommufd_mock_unit(uint32_t flags);
/** iommufd_mock_iotlb - an entry of a nested HWPT */
int iommufd_mock_iotlb(struct iommufd_hwpt *hwpt, uint32_t id, uint32_t *out);

/**
 * iommufd_test_area - fuzzers do not know addresses: theirs is {u32 number of an area, u32 offset in it}
 * Return: the address; 0 there is no such area
 */
iova_t iommufd_test_area(struct iommufd_ioas *ioas, iova_t iova);
/** iommufd_test_copy_source - the same in IOAS_COPY, where the test interface is built in */
void iommufd_test_copy_source(struct ucmd *u, struct iommu_ioas_copy *a);

/* Operations of IOMMU_TEST_CMD: u->cmd is a struct iommu_test_cmd. Spec 31, part 1 */
int iommufd_test_mock_domain(struct ucmd *u);
int iommufd_test_mock_domain_flags(struct ucmd *u);
int iommufd_test_mock_replace(struct ucmd *u);
int iommufd_test_trigger_iopf(struct ucmd *u);
int iommufd_test_check_cache(struct ucmd *u);
int iommufd_test_trigger_vevent(struct ucmd *u);
int iommufd_test_pasid_attach(struct ucmd *u);
int iommufd_test_pasid_replace(struct ucmd *u);
int iommufd_test_pasid_detach(struct ucmd *u);
int iommufd_test_pasid_check(struct ucmd *u);

int iommufd_test_create_access(struct ucmd *u);
int iommufd_test_destroy_pages(struct ucmd *u);
int iommufd_test_access_pages(struct ucmd *u);
int iommufd_test_access_rw(struct ucmd *u);
int iommufd_test_access_replace(struct ucmd *u);

int iommufd_test_check_map(struct ucmd *u);
int iommufd_test_check_refs(struct ucmd *u);

int iommufd_test_dmabuf_get(struct ucmd *u); /* returns the descriptor */
int iommufd_test_dmabuf_revoke(struct ucmd *u);

#endif
