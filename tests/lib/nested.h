/* SPDX-License-Identifier: MIT */
/*
 * Short names for what stands on a nest parent, for page faults and for PASIDs, with mock devices. Results as of ioctl(2);
 * ids are written at failure too, as 0.
 */
#ifndef UVFIO_TESTS_NESTED_H
#define UVFIO_TESTS_NESTED_H

#include "mock.h"

#define NONE      0
#define PARENT    IOMMU_HWPT_ALLOC_NEST_PARENT
#define FOR_PASID IOMMU_HWPT_ALLOC_PASID
#define FAULTING  IOMMU_HWPT_FAULT_ID_VALID

/* An HWPT that can be had. @fault: 0 for none */
static inline uint32_t paging(int fd, uint32_t dev, uint32_t ioas, uint32_t flags, uint32_t fault)
{
	uint32_t id = 0;

	EXPECT_OK(hwpt_alloc_data(fd, dev, ioas, flags | (fault ? FAULTING : 0), fault, IOMMU_HWPT_DATA_NONE, NULL, 0, &id));
	return id;
}

/* @parent: a nest parent or a VIOMMU. @fault: 0 for none */
static inline int nested_alloc(int fd, uint32_t dev, uint32_t parent, uint32_t flags, uint32_t fault, uint32_t *id)
{
	const struct iommu_hwpt_selftest data = { .iotlb = IOMMU_TEST_IOTLB_DEFAULT };

	return hwpt_alloc_data(fd, dev, parent, flags | (fault ? FAULTING : 0), fault, IOMMU_HWPT_DATA_SELFTEST, &data,
			       IOMMU_HWPT_SELFTEST_MIN, id);
}

static inline uint32_t nested(int fd, uint32_t dev, uint32_t parent, uint32_t flags, uint32_t fault)
{
	uint32_t id = 0;

	EXPECT_OK(nested_alloc(fd, dev, parent, flags, fault, &id));
	return id;
}

static inline int invalidate(int fd, uint32_t id, uint32_t type, const void *entries, uint32_t length, uint32_t *num)
{
	struct iommu_hwpt_invalidate a = { .size = sizeof(a), .hwpt_id = id, .data_uptr = (uintptr_t)entries,
					   .data_type = type, .entry_len = length, .entry_num = *num };
	int rc = x_ioctl(fd, IOMMU_HWPT_INVALIDATE, &a);

	*num = a.entry_num;
	return rc;
}

static inline int check_iotlb(int fd, uint32_t hwpt, uint32_t id, uint32_t value)
{
	struct iommu_test_cmd c = { .check_iotlb = { .id = id, .iotlb = value } };

	return test_cmd(fd, IOMMU_TEST_OP_MD_CHECK_IOTLB, hwpt, &c);
}

static inline int check_cache(int fd, uint32_t dev, uint32_t id, uint32_t value)
{
	struct iommu_test_cmd c = { .check_dev_cache = { .id = id, .cache = value } };

	return test_cmd(fd, IOMMU_TEST_OP_DEV_CHECK_CACHE, dev, &c);
}

static inline int viommu_alloc_data(int fd, uint32_t dev, uint32_t hwpt, uint32_t type, void *data, uint32_t length,
				    uint32_t *id)
{
	struct iommu_viommu_alloc a = { .size = sizeof(a), .type = type, .dev_id = dev, .hwpt_id = hwpt, .data_len = length,
					.data_uptr = (uintptr_t)data };
	int rc = x_ioctl(fd, IOMMU_VIOMMU_ALLOC, &a);

	*id = a.out_viommu_id;
	return rc;
}

static inline uint32_t viommu(int fd, uint32_t dev, uint32_t hwpt)
{
	uint32_t id = 0;

	EXPECT_OK(viommu_alloc_data(fd, dev, hwpt, IOMMU_VIOMMU_TYPE_SELFTEST, NULL, 0, &id));
	return id;
}

static inline int vdevice_alloc(int fd, uint32_t viommu_id, uint32_t dev, uint64_t virt, uint32_t *id)
{
	struct iommu_vdevice_alloc a = { .size = sizeof(a), .viommu_id = viommu_id, .dev_id = dev, .virt_id = virt };
	int rc = x_ioctl(fd, IOMMU_VDEVICE_ALLOC, &a);

	*id = a.out_vdevice_id;
	return rc;
}

static inline uint32_t vdevice(int fd, uint32_t viommu_id, uint32_t dev, uint64_t virt)
{
	uint32_t id = 0;

	EXPECT_OK(vdevice_alloc(fd, viommu_id, dev, virt, &id));
	return id;
}

/* A queue of events or of faults: the object, and the descriptor */
struct queue {
	uint32_t id;
	int fd;
};

static inline int veventq_alloc(int fd, uint32_t viommu_id, uint32_t type, uint32_t depth, struct queue *out)
{
	struct iommu_veventq_alloc a = { .size = sizeof(a), .viommu_id = viommu_id, .type = type, .veventq_depth = depth };
	int rc = x_ioctl(fd, IOMMU_VEVENTQ_ALLOC, &a);

	*out = (struct queue){ a.out_veventq_id, (int)a.out_veventq_fd };
	return rc;
}

static inline struct queue veventq(int fd, uint32_t viommu_id, uint32_t depth)
{
	struct queue q = { 0 };

	EXPECT_OK(veventq_alloc(fd, viommu_id, IOMMU_VEVENTQ_TYPE_SELFTEST, depth, &q));
	return q;
}

static inline int trigger_vevent(int fd, uint32_t dev)
{
	struct iommu_test_cmd c = { .trigger_vevent = { .dev_id = dev } };

	return test_cmd(fd, IOMMU_TEST_OP_TRIGGER_VEVENT, 0, &c);
}

static inline int hw_queue_alloc(int fd, uint32_t viommu_id, uint32_t index, uint64_t iova, uint64_t length, uint32_t *id)
{
	struct iommu_hw_queue_alloc a = { .size = sizeof(a), .viommu_id = viommu_id, .type = IOMMU_HW_QUEUE_TYPE_SELFTEST,
					  .index = index, .nesting_parent_iova = iova, .length = length };
	int rc = x_ioctl(fd, IOMMU_HW_QUEUE_ALLOC, &a);

	*id = a.out_hw_queue_id;
	return rc;
}

static inline struct queue fault_queue(int fd)
{
	struct iommu_fault_alloc a = { .size = sizeof(a) };

	EXPECT_OK(x_ioctl(fd, IOMMU_FAULT_QUEUE_ALLOC, &a));
	return (struct queue){ a.out_fault_id, (int)a.out_fault_fd };
}

/* @pasid: 0 for none */
static inline int trigger_iopf(int fd, uint32_t dev, uint32_t pasid, uint32_t grpid, uint64_t addr)
{
	struct iommu_test_cmd c = { .trigger_iopf = { .dev_id = dev, .pasid = pasid, .grpid = grpid,
						      .perm = IOMMU_PGFAULT_PERM_READ | IOMMU_PGFAULT_PERM_WRITE, .addr = addr } };

	return test_cmd(fd, IOMMU_TEST_OP_TRIGGER_IOPF, 0, &c);
}

static inline int respond(int queue, uint32_t cookie, uint32_t code)
{
	struct iommu_hwpt_page_response r = { cookie, code };

	return (int)x_write(queue, &r, sizeof(r));
}

/* One of PASID_ATTACH and PASID_REPLACE. *@pt: the HWPT afterwards */
static inline int pasid_set(int fd, uint32_t op, uint32_t stdev, uint32_t pasid, uint32_t *pt)
{
	struct iommu_test_cmd c = { .pasid_attach = { .pasid = pasid, .pt_id = *pt } };
	int rc = test_cmd(fd, op, stdev, &c);

	*pt = c.pasid_attach.pt_id;
	return rc;
}

static inline int pasid_attach(int fd, uint32_t stdev, uint32_t pasid, uint32_t pt)
{
	return pasid_set(fd, IOMMU_TEST_OP_PASID_ATTACH, stdev, pasid, &pt);
}

static inline int pasid_replace(int fd, uint32_t stdev, uint32_t pasid, uint32_t pt)
{
	return pasid_set(fd, IOMMU_TEST_OP_PASID_REPLACE, stdev, pasid, &pt);
}

static inline int pasid_detach(int fd, uint32_t stdev, uint32_t pasid)
{
	struct iommu_test_cmd c = { .pasid_detach = { .pasid = pasid } };

	return test_cmd(fd, IOMMU_TEST_OP_PASID_DETACH, stdev, &c);
}

static inline int pasid_check(int fd, uint32_t stdev, uint32_t pasid, uint32_t hwpt)
{
	struct iommu_test_cmd c = { .pasid_check = { .pasid = pasid, .hwpt_id = hwpt } };

	return test_cmd(fd, IOMMU_TEST_OP_PASID_CHECK_HWPT, stdev, &c);
}

/* A dma-buf, as a descriptor. Linux 7.3 makes one, the lowest that is free, and returns 0. */
static inline int dmabuf_get(int fd, uint32_t length, uint32_t open_flags)
{
	struct iommu_test_cmd c = { .dmabuf_get = { .length = length, .open_flags = open_flags } };
	int lowest = dup(fileno(stdout)), rc;

	close(lowest);
	rc = test_cmd(fd, IOMMU_TEST_OP_DMABUF_GET, 0, &c);
	return rc == 0 && test_door() == DOOR_HOST ? lowest : rc;
}

static inline int dmabuf_revoke(int fd, int buf, bool revoked)
{
	struct iommu_test_cmd c = { .dmabuf_revoke = { .dmabuf_fd = buf, .revoked = revoked } };

	return test_cmd(fd, IOMMU_TEST_OP_DMABUF_REVOKE, 0, &c);
}

#endif
