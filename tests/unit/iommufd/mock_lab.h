/* SPDX-License-Identifier: MIT */
/*
 * The bench of iommufd with the test interface: a program with a table of descriptors, mock devices, and the requests of
 * virtual IOMMUs in short. What is asked for must come; ids are returned.
 */
#ifndef MOCK_LAB_H
#define MOCK_LAB_H

#include "iommufd_lab.h"
#include "iommufd/mock.h"

#define HOME     0x10000000ull
#define FIRST_FD 1000 /* number of the machine's first descriptor; below: a file of the host's */
#define MOCK_FDS 16

static struct file *mock_files[MOCK_FDS];

static inline int mock_file_get(struct task *t, int fd, struct file **out)
{
	if (fd >= 0 && fd < FIRST_FD)
		return -EBADFD;
	if (fd < 0 || fd >= FIRST_FD + MOCK_FDS || !mock_files[fd - FIRST_FD])
		return -EBADF;
	*out = file_get(mock_files[fd - FIRST_FD]);
	return 0;
}

static inline int mock_host_fd(struct task *t, int fd)
{
	struct file *f;
	int rc = mock_file_get(t, fd, &f);

	if (!rc)
		file_put(f);
	return rc == -EBADFD ? dup(lab.mm.area[0].memfd) : rc ? rc : -EBADFD;
}

static inline int mock_install(struct task *t, struct file *f, int oflags)
{
	for (int i = 0; i < MOCK_FDS; i++) {
		if (!mock_files[i]) {
			mock_files[i] = file_get(f);
			return FIRST_FD + i;
		}
	}
	return -EMFILE;
}

static inline bool mock_capable(struct task *t, enum task_cap cap)
{
	return cap == TASK_CAP_SYS_RAWIO || cap == TASK_CAP_SYS_RESOURCE;
}

#define MOCK_OPS .file_get = mock_file_get, .host_fd = mock_host_fd, .fd_install = mock_install, .capable = mock_capable
static const struct task_ops mock_ops = { .copy_in = lab_in, .copy_out = lab_out, MOCK_OPS };

static inline struct file *mock_file(uint32_t fd)
{
	return mock_files[fd - FIRST_FD];
}

static inline void mock_close(uint32_t fd)
{
	file_put(mock_files[fd - FIRST_FD]);
	mock_files[fd - FIRST_FD] = NULL;
}

static inline int mock_setup(void **state)
{
	memset(mock_files, 0, sizeof(mock_files));
	if (lab_setup(state) || mem_identify_pins(lab.mem))
		return -1;
	lab.fd->test = true;
	lab.caller.t.ops = &mock_ops;
	return 0;
}

/* Descriptors are closed first, as a program's end does. */
static inline int mock_teardown(void **state)
{
	for (uint32_t i = 0; i < MOCK_FDS; i++)
		mock_close(FIRST_FD + i);
	return lab_teardown(state);
}

/* ---- IOMMU_TEST_CMD ---- */

static inline long test_op(struct iommu_test_cmd *c, uint32_t op, uint32_t id)
{
	c->size = sizeof(*c);
	c->op = op;
	c->id = id;
	return lab_ioctl(IOMMU_TEST_CMD, c);
}

struct mock {
	uint32_t stdev, hwpt, dev;
};

static inline struct mock mock_make(uint32_t pt, uint32_t flags)
{
	struct iommu_test_cmd c = { .mock_domain = { .dev_flags = flags } };

	assert_int_equal(test_op(&c, IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS, pt), 0);
	return (struct mock){ c.mock_domain.out_stdev_id, c.mock_domain.out_hwpt_id, c.mock_domain.out_idev_id };
}

static inline long mock_replace(uint32_t stdev, uint32_t pt)
{
	struct iommu_test_cmd c = { .mock_domain_replace = { .pt_id = pt } };

	return test_op(&c, IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE, stdev);
}

static inline long mock_pasid(uint32_t op, uint32_t stdev, uint32_t pasid, uint32_t pt)
{
	struct iommu_test_cmd c = { .pasid_attach = { .pasid = pasid, .pt_id = pt } };

	return test_op(&c, op, stdev);
}

static inline uint32_t mock_access(uint32_t ioas, uint32_t flags)
{
	struct iommu_test_cmd c = { .create_access = { .flags = flags } };

	assert_int_equal(test_op(&c, IOMMU_TEST_OP_CREATE_ACCESS, ioas), 0);
	return c.create_access.out_access_fd;
}

/* ---- HWPTs, virtual IOMMUs ---- */

static inline long hwpt_data(uint32_t dev, uint32_t pt, uint32_t flags, uint32_t fault, uint32_t type, const void *data,
			     uint32_t n, uint32_t *id)
{
	struct iommu_hwpt_alloc a = { .size = sizeof(a), .flags = flags, .dev_id = dev, .pt_id = pt, .data_type = type,
				      .data_len = n, .data_uptr = (uintptr_t)data, .fault_id = fault };
	long rc = lab_ioctl(IOMMU_HWPT_ALLOC, &a);

	*id = a.out_hwpt_id;
	return rc;
}

static inline uint32_t hwpt_make(uint32_t dev, uint32_t pt, uint32_t flags)
{
	uint32_t id;

	assert_int_equal(hwpt_data(dev, pt, flags, 0, IOMMU_HWPT_DATA_NONE, NULL, 0, &id), 0);
	return id;
}

/* @fault: 0: none */
static inline uint32_t nested_make(uint32_t dev, uint32_t pt, uint32_t flags, uint32_t fault)
{
	const struct iommu_hwpt_selftest data = { .iotlb = IOMMU_TEST_IOTLB_DEFAULT };
	uint32_t id;

	assert_int_equal(hwpt_data(dev, pt, flags | (fault ? IOMMU_HWPT_FAULT_ID_VALID : 0), fault, IOMMU_HWPT_DATA_SELFTEST,
				   &data, sizeof(data), &id), 0);
	return id;
}

static inline long viommu_data(uint32_t dev, uint32_t parent, struct iommu_viommu_selftest *data, uint32_t *id)
{
	struct iommu_viommu_alloc a = { .size = sizeof(a), .type = IOMMU_VIOMMU_TYPE_SELFTEST, .dev_id = dev,
					.hwpt_id = parent, .data_len = data ? sizeof(*data) : 0,
					.data_uptr = (uintptr_t)data };
	long rc = lab_ioctl(IOMMU_VIOMMU_ALLOC, &a);

	*id = a.out_viommu_id;
	return rc;
}

static inline uint32_t viommu_make(uint32_t dev, uint32_t parent)
{
	uint32_t id;

	assert_int_equal(viommu_data(dev, parent, NULL, &id), 0);
	return id;
}

static inline long vdevice(uint32_t viommu, uint32_t dev, uint64_t virt_id, uint32_t *id)
{
	struct iommu_vdevice_alloc a = { .size = sizeof(a), .viommu_id = viommu, .dev_id = dev, .virt_id = virt_id };
	long rc = lab_ioctl(IOMMU_VDEVICE_ALLOC, &a);

	*id = a.out_vdevice_id;
	return rc;
}

static inline long hw_queue(uint32_t viommu, uint32_t index, iova_t iova, uint64_t length, uint32_t *id)
{
	struct iommu_hw_queue_alloc a = { .size = sizeof(a), .viommu_id = viommu, .type = IOMMU_HW_QUEUE_TYPE_SELFTEST,
					  .index = index, .nesting_parent_iova = iova, .length = length };
	long rc = lab_ioctl(IOMMU_HW_QUEUE_ALLOC, &a);

	*id = a.out_hw_queue_id;
	return rc;
}

static inline uint32_t fault_make(uint32_t *fd)
{
	struct iommu_fault_alloc a = { .size = sizeof(a) };

	assert_int_equal(lab_ioctl(IOMMU_FAULT_QUEUE_ALLOC, &a), 0);
	*fd = a.out_fault_fd;
	return a.out_fault_id;
}

static inline uint32_t veventq_make(uint32_t viommu, uint32_t type, uint32_t *fd)
{
	struct iommu_veventq_alloc a = { .size = sizeof(a), .viommu_id = viommu, .type = type, .veventq_depth = 4 };

	assert_int_equal(lab_ioctl(IOMMU_VEVENTQ_ALLOC, &a), 0);
	*fd = a.out_veventq_fd;
	return a.out_veventq_id;
}

#endif
