/* SPDX-License-Identifier: MIT */
/* Short names for the requests of /dev/iommu, for the programs that test them. Results as of ioctl(2). */
#ifndef UVFIO_TESTS_IOAS_H
#define UVFIO_TESTS_IOAS_H

#include "abi.h"
#include "abi/iommufd.h"

#define PAGE   4096ull
#define READ   IOMMU_IOAS_MAP_READABLE
#define WRITE  IOMMU_IOAS_MAP_WRITEABLE
#define RW     (READ | WRITE)
#define FIXED  IOMMU_IOAS_MAP_FIXED_IOVA
#define ALL    UINT64_MAX

static inline int iommu_open(void)
{
	return EXPECT_OK(x_open("/dev/iommu", O_RDWR));
}

static inline uint32_t ioas_alloc(int fd)
{
	struct iommu_ioas_alloc a = { .size = sizeof(a) };

	EXPECT_OK(x_ioctl(fd, IOMMU_IOAS_ALLOC, &a));
	return a.out_ioas_id;
}

static inline int destroy(int fd, uint32_t id)
{
	struct iommu_destroy a = { .size = sizeof(a), .id = id };

	return x_ioctl(fd, IOMMU_DESTROY, &a);
}

static inline int ioas_map(int fd, uint32_t id, const void *va, uint64_t length, uint32_t flags, uint64_t *iova)
{
	struct iommu_ioas_map a = { .size = sizeof(a), .flags = flags, .ioas_id = id, .user_va = (uintptr_t)va,
				    .length = length, .iova = *iova };
	int rc = x_ioctl(fd, IOMMU_IOAS_MAP, &a);

	*iova = a.iova;
	return rc;
}

static inline int ioas_map_at(int fd, uint32_t id, const void *va, uint64_t length, uint64_t iova)
{
	return ioas_map(fd, id, va, length, RW | FIXED, &iova);
}

static inline int ioas_map_file(int fd, uint32_t id, int file, uint64_t start, uint64_t length, uint32_t flags, uint64_t *iova)
{
	struct iommu_ioas_map_file a = { .size = sizeof(a), .flags = flags, .ioas_id = id, .fd = file, .start = start,
					 .length = length, .iova = *iova };
	int rc = x_ioctl(fd, IOMMU_IOAS_MAP_FILE, &a);

	*iova = a.iova;
	return rc;
}

static inline int ioas_copy(int fd, uint32_t dst, uint32_t src, uint64_t src_iova, uint64_t length, uint32_t flags,
			    uint64_t *iova)
{
	struct iommu_ioas_copy a = { .size = sizeof(a), .flags = flags, .dst_ioas_id = dst, .src_ioas_id = src,
				     .length = length, .dst_iova = *iova, .src_iova = src_iova };
	int rc = x_ioctl(fd, IOMMU_IOAS_COPY, &a);

	*iova = a.dst_iova;
	return rc;
}

/* *@length: what was removed; untouched on failure */
static inline int ioas_unmap(int fd, uint32_t id, uint64_t iova, uint64_t *length)
{
	struct iommu_ioas_unmap a = { .size = sizeof(a), .ioas_id = id, .iova = iova, .length = *length };
	int rc = x_ioctl(fd, IOMMU_IOAS_UNMAP, &a);

	*length = a.length;
	return rc;
}

static inline int ioas_unmap_n(int fd, uint32_t id, uint64_t iova, uint64_t length)
{
	return ioas_unmap(fd, id, iova, &length);
}

static inline int ioas_allow(int fd, uint32_t id, const struct iommu_iova_range *list, uint32_t n)
{
	struct iommu_ioas_allow_iovas a = { .size = sizeof(a), .ioas_id = id, .num_iovas = n,
					    .allowed_iovas = (uintptr_t)list };

	return x_ioctl(fd, IOMMU_IOAS_ALLOW_IOVAS, &a);
}

static inline int option(int fd, uint32_t id, uint32_t object, unsigned op, uint64_t *value)
{
	struct iommu_option a = { .size = sizeof(a), .option_id = id, .op = (uint16_t)op, .object_id = object, .val64 = *value };
	int rc = x_ioctl(fd, IOMMU_OPTION, &a);

	*value = a.val64;
	return rc;
}

static inline int option_set(int fd, uint32_t id, uint32_t object, uint64_t value)
{
	return option(fd, id, object, IOMMU_OPTION_OP_SET, &value);
}

static inline uint64_t option_get(int fd, uint32_t id, uint32_t object)
{
	uint64_t value = 77;

	EXPECT_OK(option(fd, id, object, IOMMU_OPTION_OP_GET, &value));
	return value;
}

static inline int compat(int fd, unsigned op, uint32_t *id)
{
	struct iommu_vfio_ioas a = { .size = sizeof(a), .ioas_id = *id, .op = (uint16_t)op };
	int rc = x_ioctl(fd, IOMMU_VFIO_IOAS, &a);

	*id = a.ioas_id;
	return rc;
}

static inline void *ram(size_t n)
{
	return test_memory(n, PROT_READ | PROT_WRITE, MAP_PRIVATE);
}

#endif
