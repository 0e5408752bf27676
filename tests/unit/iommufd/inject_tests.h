/* SPDX-License-Identifier: MIT */
/* What inject.h is done to: IOMMU_TEST_CMD, and what containers ask of a context. */
#ifndef INJECT_TESTS_H
#define INJECT_TESTS_H

#include "inject_calls.h"

/* ---- mock devices ---- */

static struct mock made_mock;

static long make_mock(uint32_t op, uint32_t pt)
{
	struct iommu_test_cmd c = { 0 };
	long rc = test_op(&c, op, pt);

	made_mock = (struct mock){ c.mock_domain.out_stdev_id, c.mock_domain.out_hwpt_id, c.mock_domain.out_idev_id };
	return rc;
}

static long c_mock(void)
{
	return make_mock(IOMMU_TEST_OP_MOCK_DOMAIN, scene.space);
}

/* The first on an address space */
static long c_mock_new(void)
{
	return make_mock(IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS, scene.other);
}

static void destroy_mock(void)
{
	assert_int_equal(lab_destroy(made_mock.stdev), 0);
}

static void p_mock(void)
{
	assert_int_equal(c_mock(), 0);
}

static long c_mock_end(void)
{
	return lab_destroy(made_mock.stdev);
}

static long c_mock_replace(void)
{
	return mock_replace(scene.a.stdev, scene.parent);
}

static long c_mock_replace_auto(void)
{
	return mock_replace(scene.b.stdev, scene.other);
}

static void u_mock_replace(void)
{
	assert_int_equal(mock_replace(scene.a.stdev, scene.space), 0);
	assert_int_equal(mock_replace(scene.b.stdev, scene.nested), 0);
}

static long c_pasid_attach(void)
{
	return mock_pasid(IOMMU_TEST_OP_PASID_ATTACH, scene.b.stdev, 5, scene.parent);
}

static long c_pasid_attach_fault(void)
{
	return mock_pasid(IOMMU_TEST_OP_PASID_ATTACH, scene.b.stdev, 5, scene.nested);
}

static void u_pasid(void)
{
	assert_int_equal(mock_pasid(IOMMU_TEST_OP_PASID_DETACH, scene.b.stdev, 5, 0), 0);
}

static void p_pasid(void)
{
	assert_int_equal(c_pasid_attach(), 0);
}

static long c_pasid_replace(void)
{
	return mock_pasid(IOMMU_TEST_OP_PASID_REPLACE, scene.b.stdev, 5, scene.nested);
}

static long c_pasid_detach(void)
{
	return mock_pasid(IOMMU_TEST_OP_PASID_DETACH, scene.b.stdev, 5, 0);
}

static long c_pasid_check(void)
{
	return mock_pasid(IOMMU_TEST_OP_PASID_CHECK_HWPT, scene.b.stdev, 5, 0);
}

/* One that nobody hears is dropped. */
static long c_trigger_iopf(void)
{
	struct iommu_test_cmd c = { .trigger_iopf = { .dev_id = scene.b.dev, .pasid = 9, .grpid = 1, .perm = 1 } };

	return test_op(&c, IOMMU_TEST_OP_TRIGGER_IOPF, 0);
}

static void u_iopf(void)
{
	struct iommu_hwpt_pgfault f;
	ssize_t n;

	while ((n = file_read(mock_file(scene.fault_fd), &lab.caller.t, (uintptr_t)&f, sizeof(f))) > 0) {
		made = f.cookie;
		u_answer();
	}
	assert_int_equal(n, 0);
}

static long c_trigger_vevent(void)
{
	struct iommu_test_cmd c = { .trigger_vevent = { .dev_id = scene.b.dev } };

	return test_op(&c, IOMMU_TEST_OP_TRIGGER_VEVENT, 0);
}

static void u_vevent(void)
{
	char e[12];

	while (file_read(mock_file(scene.veventq_fd), &lab.caller.t, (uintptr_t)e, sizeof(e)) > 0)
		;
}

/* ---- looks ---- */

static long c_check_map(void)
{
	struct iommu_test_cmd c = { .check_map = { .iova = HOME, .length = 2 * PAGE, .uptr = VA_SHARED } };

	return test_op(&c, IOMMU_TEST_OP_MD_CHECK_MAP, scene.parent);
}

/* The first look of a thread makes it known to the domains' gates. */
static void p_known(void)
{
	assert_int_equal(c_check_map(), 0);
}

static long c_check_refs(void)
{
	struct iommu_test_cmd c = { .check_refs = { .length = PAGE, .uptr = VA_SHARED + 4 * PAGE, .refs = 1 } };

	return test_op(&c, IOMMU_TEST_OP_MD_CHECK_REFS, 0);
}

static long c_check_iotlb(void)
{
	struct iommu_test_cmd c = { .check_iotlb = { .id = 1, .iotlb = IOMMU_TEST_IOTLB_DEFAULT } };

	return test_op(&c, IOMMU_TEST_OP_MD_CHECK_IOTLB, scene.nested);
}

static long c_check_cache(void)
{
	struct iommu_test_cmd c = { .check_dev_cache = { .id = 1, .cache = IOMMU_TEST_DEV_CACHE_DEFAULT } };

	return test_op(&c, IOMMU_TEST_OP_DEV_CHECK_CACHE, scene.b.dev);
}

static long c_limit(void)
{
	struct iommu_test_cmd c = { .memory_limit = { .limit = 65536 } };

	return test_op(&c, IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT, 0);
}

static long c_mark(void)
{
	const uint64_t bits = 5;
	struct iommu_test_cmd c = { .dirty = { .iova = HOME, .length = 16 * PAGE, .page_size = PAGE, .uptr = (uintptr_t)&bits } };

	return test_op(&c, IOMMU_TEST_OP_DIRTY, scene.tracking);
}

static long c_reserve(void)
{
	struct iommu_test_cmd c = { .add_reserved = { .start = FRESH, .length = PAGE } };

	return test_op(&c, IOMMU_TEST_OP_ADD_RESERVED, made);
}

/* ---- accesses ---- */

static long c_access(void)
{
	struct iommu_test_cmd c = { .create_access = { .flags = MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES } };
	long rc = test_op(&c, IOMMU_TEST_OP_CREATE_ACCESS, scene.space);

	made_fd = c.create_access.out_access_fd;
	return rc;
}

static long c_access_pages(void)
{
	struct iommu_test_cmd c = { .access_pages = { .iova = HOME + 6 * PAGE, .length = 4 * PAGE } };
	long rc = test_op(&c, IOMMU_TEST_OP_ACCESS_PAGES, scene.pin_fd);

	made = c.access_pages.out_access_pages_id;
	return rc;
}

static long c_access_unpin(void)
{
	struct iommu_test_cmd c = { .destroy_access_pages = { .access_pages_id = made } };

	return test_op(&c, IOMMU_TEST_OP_DESTROY_ACCESS_PAGES, scene.pin_fd);
}

static void p_access_pages(void)
{
	assert_int_equal(c_access_pages(), 0);
}

static void u_access_pages(void)
{
	assert_int_equal(c_access_unpin(), 0);
}

static long access_rw(uint32_t flags)
{
	char data[100] = "";
	struct iommu_test_cmd c = { .access_rw = { .iova = HOME + 8 * PAGE - 50, .length = sizeof(data),
						   .uptr = (uintptr_t)data, .flags = flags } };

	return test_op(&c, IOMMU_TEST_OP_ACCESS_RW, scene.copy_fd);
}

static long c_access_read(void)
{
	return access_rw(0);
}

static long c_access_write(void)
{
	return access_rw(MOCK_ACCESS_RW_WRITE);
}

static long c_access_slow(void)
{
	return access_rw(MOCK_ACCESS_RW_SLOW_PATH);
}

static long access_replace(uint32_t ioas)
{
	struct iommu_test_cmd c = { .access_replace_ioas = { .ioas_id = ioas } };

	return test_op(&c, IOMMU_TEST_OP_ACCESS_REPLACE_IOAS, scene.pin_fd);
}

static long c_access_replace(void)
{
	return access_replace(scene.other);
}

static void u_access_replace(void)
{
	assert_int_equal(access_replace(scene.space), 0);
}

/* ---- dma-bufs ---- */

static long c_dmabuf(void)
{
	struct iommu_test_cmd c = { .dmabuf_get = { .length = 2 * PAGE, .open_flags = O_RDWR } };
	long rc = test_op(&c, IOMMU_TEST_OP_DMABUF_GET, 0);

	if (rc < 0)
		return rc;
	made_fd = (uint32_t)rc;
	return 0;
}

static long dmabuf_revoke(uint32_t on)
{
	struct iommu_test_cmd c = { .dmabuf_revoke = { .dmabuf_fd = (int)scene.dmabuf_fd, .revoked = on } };

	return test_op(&c, IOMMU_TEST_OP_DMABUF_REVOKE, 0);
}

static void p_dmabuf_mapped(void)
{
	assert_int_equal(c_map_dmabuf(), 0);
}

static long c_dmabuf_revoke(void)
{
	return dmabuf_revoke(1);
}

static void u_dmabuf_revoke(void)
{
	assert_int_equal(dmabuf_revoke(0), 0);
	u_fresh();
}

/* ---- containers' requests ---- */

static long c_set_iommu(void)
{
	return lab_ioctl(VFIO_SET_IOMMU, (void *)VFIO_TYPE1v2_IOMMU);
}

static long c_dma_map(void)
{
	struct vfio_iommu_type1_dma_map m = { .argsz = sizeof(m), .flags = 3, .vaddr = VA_SHARED, .iova = FRESH, .size = PAGE };

	return lab_ioctl(VFIO_IOMMU_MAP_DMA, &m);
}

static long c_dma_unmap(void)
{
	struct vfio_iommu_type1_dma_unmap u = { .argsz = sizeof(u), .iova = FRESH, .size = PAGE };

	return lab_ioctl(VFIO_IOMMU_UNMAP_DMA, &u);
}

static void p_dma_map(void)
{
	p_vfio_ioas();
	assert_int_equal(c_dma_map(), 0);
}

static void u_dma_map(void)
{
	assert_int_equal(c_dma_unmap(), 0);
	u_vfio_ioas();
}

static long c_get_info(void)
{
	struct {
		struct vfio_iommu_type1_info info;
		char caps[200];
	} i = { .info.argsz = sizeof(i) };

	return lab_ioctl(VFIO_IOMMU_GET_INFO, &i);
}

static const struct row test_rows[] = {
	{ "MOCK_DOMAIN", NULL, c_mock, destroy_mock, NEEDS },
	{ "MOCK_DOMAIN_FLAGS, a new HWPT", NULL, c_mock_new, destroy_mock, NEEDS },
	{ "DESTROY, mock device", p_mock, c_mock_end, NULL, 0 },
	{ "MOCK_DOMAIN_REPLACE", NULL, c_mock_replace, u_mock_replace, STICKS },
	{ "MOCK_DOMAIN_REPLACE, a new HWPT", NULL, c_mock_replace_auto, u_mock_replace, NEEDS | STICKS },
	{ "PASID_ATTACH", NULL, c_pasid_attach, u_pasid, NEEDS },
	{ "PASID_ATTACH, faults", NULL, c_pasid_attach_fault, u_pasid, NEEDS },
	{ "PASID_REPLACE", p_pasid, c_pasid_replace, u_pasid, NEEDS | STICKS },
	{ "PASID_DETACH", p_pasid, c_pasid_detach, NULL, 0 },
	{ "PASID_CHECK_HWPT", NULL, c_pasid_check, NULL, 0 },
	{ "TRIGGER_IOPF", NULL, c_trigger_iopf, u_iopf, NEEDS | QUIET },
	{ "TRIGGER_VEVENT", NULL, c_trigger_vevent, u_vevent, NEEDS },
	{ "MD_CHECK_MAP", p_known, c_check_map, NULL, 0 },
	{ "MD_CHECK_REFS", NULL, c_check_refs, NULL, 0 },
	{ "MD_CHECK_IOTLB", NULL, c_check_iotlb, NULL, 0 },
	{ "DEV_CHECK_CACHE", NULL, c_check_cache, NULL, 0 },
	{ "SET_TEMP_MEMORY_LIMIT", NULL, c_limit, NULL, 0 },
	{ "DIRTY", p_dirty, c_mark, u_dirty, 0 },
	{ "ADD_RESERVED", p_ioas, c_reserve, destroy_made, NEEDS },
	{ "CREATE_ACCESS", NULL, c_access, close_made, NEEDS | LEAVES },
	{ "ACCESS_PAGES", NULL, c_access_pages, u_access_pages, NEEDS },
	{ "DESTROY_ACCESS_PAGES", p_access_pages, c_access_unpin, NULL, 0 },
	{ "ACCESS_RW, read", NULL, c_access_read, NULL, NEEDS },
	{ "ACCESS_RW, write", NULL, c_access_write, NULL, NEEDS },
	{ "ACCESS_RW, slow", NULL, c_access_slow, NULL, NEEDS },
	{ "ACCESS_REPLACE_IOAS", NULL, c_access_replace, u_access_replace, 0 },
	{ "DMABUF_GET", NULL, c_dmabuf, close_made, NEEDS },
	{ "DMABUF_REVOKE", p_dmabuf_mapped, c_dmabuf_revoke, u_dmabuf_revoke, 0 },
	{ "SET_IOMMU", p_vfio_ioas, c_set_iommu, u_vfio_ioas, ALONE },
	{ "MAP_DMA", p_vfio_ioas, c_dma_map, u_dma_map, NEEDS },
	{ "UNMAP_DMA", p_dma_map, c_dma_unmap, u_vfio_ioas, STICKS },
	{ "IOMMU_GET_INFO", p_vfio_ioas, c_get_info, u_vfio_ioas, NEEDS },
};

#endif
