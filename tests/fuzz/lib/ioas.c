/* SPDX-License-Identifier: MIT */
/* Address spaces. */
#include "fuzz.h"

void do_destroy(void)
{
	struct iommu_destroy a = { .size = sizeof(a) };
	int fd = pick(CTX);

	a.id = id();
	CALL(fd, IOMMU_DESTROY, a);
}

void do_ioas_alloc(void)
{
	struct iommu_ioas_alloc a = { .size = sizeof(a) };

	CALL(pick(CTX), IOMMU_IOAS_ALLOC, a);
}

void do_map(void)
{
	struct iommu_ioas_map a = { .size = sizeof(a) };
	int fd = pick(CTX);

	a.ioas_id = id();
	a.flags = flags() ^ 7;
	a.iova = iova();
	a.user_va = uva();
	a.length = length();
	CALL(fd, IOMMU_IOAS_MAP, a);
	last_iova = a.iova;
}

void do_map_file(void)
{
	struct iommu_ioas_map_file a = { .size = sizeof(a) };
	int fd = pick(CTX);

	a.ioas_id = id();
	a.flags = flags() ^ 7;
	a.iova = iova();
	a.fd = pick_host();
	a.start = iova();
	a.length = length();
	CALL(fd, IOMMU_IOAS_MAP_FILE, a);
	last_iova = a.iova;
}

void do_copy(void)
{
	struct iommu_ioas_copy a = { .size = sizeof(a) };
	int fd = pick(CTX);

	a.src_ioas_id = id();
	a.dst_ioas_id = id();
	a.flags = flags() ^ 7;
	a.src_iova = iova();
	a.dst_iova = iova();
	a.length = length();
	CALL(fd, IOMMU_IOAS_COPY, a);
	last_iova = a.dst_iova;
}

void do_unmap(void)
{
	struct iommu_ioas_unmap a = { .size = sizeof(a) };
	int fd = pick(CTX);

	a.ioas_id = id();
	a.iova = iova();
	a.length = length();
	CALL(fd, IOMMU_IOAS_UNMAP, a);
}

/* Ranges are made of the same numbers, where they can be read and written. */
void do_allow(void)
{
	struct iommu_iova_range r[4];
	struct iommu_ioas_allow_iovas a = { .size = sizeof(a) };
	int fd = pick(CTX);

	a.ioas_id = id();
	a.num_iovas = flags();
	a.allowed_iovas = (uintptr_t)r;
	for (unsigned i = 0; i < MIN(a.num_iovas, ARRAY_SIZE(r)); i++) {
		r[i].start = iova();
		r[i].last = r[i].start + length() - 1;
	}
	if (a.num_iovas > ARRAY_SIZE(r))
		a.allowed_iovas = uva();
	CALL(fd, IOMMU_IOAS_ALLOW_IOVAS, a);
}

void do_ranges(void)
{
	struct iommu_ioas_iova_ranges a = { .size = sizeof(a) };
	int fd = pick(CTX);

	a.ioas_id = id();
	a.num_iovas = flags();
	a.allowed_iovas = uva();
	CALL(fd, IOMMU_IOAS_IOVA_RANGES, a);
}

void do_option(void)
{
	struct iommu_option a = { .size = sizeof(a) };
	int fd = pick(CTX);
	uint8_t b = byte();

	a.option_id = b & 3;
	a.op = b >> 2 & 3;
	a.val64 = b >> 4;
	a.object_id = id();
	CALL(fd, IOMMU_OPTION, a);
}

void do_vfio_ioas(void)
{
	struct iommu_vfio_ioas a = { .size = sizeof(a) };
	int fd = pick(CTX);

	a.op = byte() & 3;
	a.ioas_id = id();
	CALL(fd, IOMMU_VFIO_IOAS, a);
}

void do_change_process(void)
{
	struct iommu_ioas_change_process a = { .size = sizeof(a) };

	CALL(pick(CTX), IOMMU_IOAS_CHANGE_PROCESS, a);
}

void do_get_pa(void)
{
	struct iommu_ioas_noiommu_get_pa a = { .size = sizeof(a) };
	int fd = pick(CTX);

	a.ioas_id = id();
	a.iova = iova();
	a.length = length();
	CALL(fd, IOMMU_IOAS_NOIOMMU_GET_PA, a);
}
