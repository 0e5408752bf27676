/* SPDX-License-Identifier: MIT */
/* Accesses and dma-bufs of the test interface. An access is named by its descriptor in the place of an id. */
#include "calls.h"

void do_access(void)
{
	struct iommu_test_cmd c = { 0 };
	int fd = pick(CTX);
	uint32_t ioas = id();

	c.create_access.flags = (byte() & 3) ^ 1;
	c.create_access.out_access_fd = UINT32_MAX;
	if (test_call(fd, IOMMU_TEST_OP_CREATE_ACCESS, ioas, &c) == 0 && (int)c.create_access.out_access_fd >= 0)
		file_add((int)c.create_access.out_access_fd, ACCESS);
}

void do_access_pages(void)
{
	struct iommu_test_cmd c = { 0 };
	int fd = pick(CTX), access = pick(ACCESS);
	uint8_t b = byte();

	if (b & 1) {
		c.destroy_access_pages.access_pages_id = b >> 1 & 7;
		test_call(fd, IOMMU_TEST_OP_DESTROY_ACCESS_PAGES, (uint32_t)access, &c);
		return;
	}
	c.access_pages.flags = (b >> 1 & 3) | (b & 0x10 ? MOCK_FLAGS_ACCESS_SYZ : 0);
	c.access_pages.iova = b & 0x10 ? (b >> 5) * (1 + (PAGE << 32)) : iova();
	c.access_pages.length = length();
	c.access_pages.uptr = b & 8 ? uva() : 0;
	test_call(fd, IOMMU_TEST_OP_ACCESS_PAGES, (uint32_t)access, &c);
}

void do_access_copy(void)
{
	struct iommu_test_cmd c = { 0 };
	int fd = pick(CTX), access = pick(ACCESS);
	uint8_t b = byte();

	c.access_rw.flags = (b & 7) | (b & 8 ? MOCK_FLAGS_ACCESS_SYZ : 0);
	c.access_rw.iova = b & 8 ? (b >> 4) * (1 + (100ull << 32)) : iova();
	c.access_rw.length = length();
	c.access_rw.uptr = uva();
	test_call(fd, IOMMU_TEST_OP_ACCESS_RW, (uint32_t)access, &c);
}

void do_access_replace(void)
{
	struct iommu_test_cmd c = { 0 };
	int fd = pick(CTX), access = pick(ACCESS);

	c.access_replace_ioas.ioas_id = id();
	test_call(fd, IOMMU_TEST_OP_ACCESS_REPLACE_IOAS, (uint32_t)access, &c);
}

void do_dmabuf(void)
{
	struct iommu_test_cmd c = { 0 };
	int fd = pick(CTX);

	c.dmabuf_get.length = (uint32_t)length();
	c.dmabuf_get.open_flags = 2;
	file_add(test_call(fd, IOMMU_TEST_OP_DMABUF_GET, 0, &c), DMABUF);
}

void do_dmabuf_revoke(void)
{
	struct iommu_test_cmd c = { 0 };
	int fd = pick(CTX);

	c.dmabuf_revoke.dmabuf_fd = pick(DMABUF);
	c.dmabuf_revoke.revoked = byte() & 1;
	test_call(fd, IOMMU_TEST_OP_DMABUF_REVOKE, 0, &c);
}

void do_dmabuf_map(void)
{
	struct iommu_ioas_map_file a = { .size = sizeof(a) };
	int fd = pick(CTX);
	uint8_t b = byte();

	a.fd = pick(DMABUF);
	a.ioas_id = id();
	a.flags = (b & 7) ^ 7;
	a.iova = iova();
	a.start = (b >> 3) * PAGE / 2;
	a.length = length();
	CALL(fd, IOMMU_IOAS_MAP_FILE, a);
	last_iova = a.iova;
}
