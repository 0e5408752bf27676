/* SPDX-License-Identifier: MIT */
/* What inject.h is done to: the requests of /dev/iommu, but for those of containers and of the test interface. */
#ifndef INJECT_CALLS_H
#define INJECT_CALLS_H

#include "inject.h"

/* ---- the scene ---- */

static struct {
	uint32_t space, other;         /* mapped at HOME; not */
	struct mock a, b;              /* on an automatic HWPT; on a guest's page tables */
	uint32_t parent, tracking, fault, viommu, vdevice, veventq, nested;
	uint32_t fault_fd, veventq_fd, pin_fd, copy_fd, dmabuf_fd;
	uint64_t mapped;               /* offset of the virtual IOMMU's region */
	struct iommu_dev *real, *bare; /* behind VT-d; behind nothing, on an address space of its own: */
	struct iommufd_device *real_idev, *bare_idev;
	uint32_t real_parent, bare_space;
} scene;

static uint32_t made, made_fd; /* by the call */

static void scene_guest(void)
{
	struct iommu_viommu_selftest data = { .in_data = 1 };

	scene.fault = fault_make(&scene.fault_fd);
	scene.b = mock_make(scene.parent, MOCK_FLAGS_DEVICE_PASID);
	assert_int_equal(viommu_data(scene.b.dev, scene.parent, &data, &scene.viommu), 0);
	scene.mapped = data.out_mmap_offset;
	assert_int_equal(vdevice(scene.viommu, scene.b.dev, 1, &scene.vdevice), 0);
	scene.veventq = veventq_make(scene.viommu, IOMMU_VEVENTQ_TYPE_SELFTEST, &scene.veventq_fd);
	scene.nested = nested_make(scene.b.dev, scene.viommu, IOMMU_HWPT_ALLOC_PASID, scene.fault);
	assert_int_equal(mock_replace(scene.b.stdev, scene.nested), 0);
}

static void scene_real(void)
{
	uint32_t id, pt;

	scene.real = lab_alone("real", &unit_dirty);
	scene.real_idev = lab_bind(scene.real);
	scene.bare = lab_dev("bare", NULL, NULL);
	assert_int_equal(iommufd_device_bind_noiommu(lab.ctx, scene.bare, &scene.bare_idev, &id), 0);
	assert_int_equal(lab_hwpt(scene.real_idev, scene.other, IOMMU_HWPT_ALLOC_NEST_PARENT, &scene.real_parent), 0);
	scene.bare_space = pt = lab_ioas();
	assert_int_equal(lab_map(pt, VA_SHARED, HOME, 2 * PAGE), 0);
	assert_int_equal(iommufd_device_attach(scene.bare_idev, IOMMUFD_NO_PASID, &pt), 0);
}

static int inject_setup(void **state)
{
	struct iommu_test_cmd c = { .dmabuf_get = { .length = PAGE, .open_flags = O_RDWR } };

	if (mock_setup(state) || mem_ram_create(lab.mem))
		return -1;
	lab.caller.t.ops = &inject_ops;
	memset(&scene, 0, sizeof(scene));
	memset(&injected, 0, sizeof(injected));
	scene.space = lab_ioas();
	scene.other = lab_ioas();
	assert_int_equal(lab_map(scene.space, VA_SHARED, HOME, 8 * PAGE), 0);
	assert_int_equal(lab_map(scene.space, VA_PRIVATE, HOME + 8 * PAGE, 8 * PAGE), 0);
	scene.a = mock_make(scene.space, MOCK_FLAGS_DEVICE_PASID);
	scene.parent = hwpt_make(scene.a.dev, scene.space, IOMMU_HWPT_ALLOC_NEST_PARENT | IOMMU_HWPT_ALLOC_PASID);
	scene.tracking = hwpt_make(scene.a.dev, scene.space, IOMMU_HWPT_ALLOC_DIRTY_TRACKING);
	scene_guest();
	scene_real();
	scene.pin_fd = mock_access(scene.space, MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES);
	scene.copy_fd = mock_access(scene.space, 0);
	scene.dmabuf_fd = (uint32_t)test_op(&c, IOMMU_TEST_OP_DMABUF_GET, 0);
	assert_int_not_equal(mock_file(scene.dmabuf_fd), NULL);
	return 0;
}

static int inject_teardown(void **state)
{
	lab_unbind(scene.bare_idev);
	iommu_dev_destroy(scene.bare);
	lab_unbind(scene.real_idev);
	iommu_dev_destroy(scene.real);
	for (uint32_t i = 0; i < MOCK_FDS; i++)
		mock_close(FIRST_FD + i);
	assert_int_equal(lab_destroy(scene.bare_space), 0);
	mem_ram_destroy(lab.mem);
	return mock_teardown(state);
}

/* ---- undoing ---- */

static void destroy_made(void)
{
	assert_int_equal(lab_destroy(made), 0);
}

static void close_made(void)
{
	mock_close(made_fd);
}

static void close_and_destroy(void)
{
	close_made();
	destroy_made();
}

/* ---- address spaces ---- */

#define FRESH 0x40000000ull /* nothing is mapped there */

static long c_ioas_alloc(void)
{
	struct iommu_ioas_alloc a = { .size = sizeof(a) };
	long rc = lab_ioctl(IOMMU_IOAS_ALLOC, &a);

	made = a.out_ioas_id;
	return rc;
}

static void p_ioas(void)
{
	made = lab_ioas();
}

static long c_destroy(void)
{
	return lab_destroy(made);
}

static long c_allow(void)
{
	const struct iommu_iova_range list[] = { { 0, HOME * 2 }, { HOME * 3, HOME * 4 } };
	struct iommu_ioas_allow_iovas a = { .size = sizeof(a), .ioas_id = made, .num_iovas = 2, .allowed_iovas = (uintptr_t)list };

	return lab_ioctl(IOMMU_IOAS_ALLOW_IOVAS, &a);
}

static long c_ranges(void)
{
	struct iommu_iova_range list[8];
	uint64_t align;
	struct iommu_ioas_iova_ranges a = { .size = sizeof(a), .ioas_id = scene.space, .num_iovas = 8,
					    .allowed_iovas = (uintptr_t)list };
	long rc = lab_ioctl(IOMMU_IOAS_IOVA_RANGES, &a);

	align = a.out_iova_alignment;
	return rc ? rc : align == PAGE ? 0 : -EDOM;
}

static long c_map(void)
{
	return lab_map(scene.space, VA_PRIVATE + MIB, FRESH, 3 * PAGE);
}

/* Where is to be found */
static long c_map_auto(void)
{
	struct iommu_ioas_map a = { .size = sizeof(a), .flags = RW, .ioas_id = made, .user_va = VA_SHARED, .length = PAGE };

	return lab_ioctl(IOMMU_IOAS_MAP, &a);
}

static long map_file(int fd)
{
	struct iommu_ioas_map_file a = { .size = sizeof(a), .flags = RW | IOMMU_IOAS_MAP_FIXED_IOVA, .ioas_id = scene.space,
					 .fd = fd, .length = PAGE, .iova = FRESH };

	return lab_ioctl(IOMMU_IOAS_MAP_FILE, &a);
}

static long c_map_file(void)
{
	return map_file(5);
}

static long c_map_dmabuf(void)
{
	return map_file((int)scene.dmabuf_fd);
}

static long c_copy(void)
{
	return lab_copy(scene.space, FRESH, scene.space, HOME + 6 * PAGE, 4 * PAGE);
}

static void u_fresh(void)
{
	assert_int_equal(lab_unmap(scene.space, FRESH, 8 * PAGE), 0);
}

static void p_fresh(void)
{
	assert_int_equal(c_map(), 0);
}

static long c_unmap(void)
{
	return lab_unmap(scene.space, FRESH, 3 * PAGE);
}

static void p_pinned(void)
{
	struct iommu_test_cmd c = { .access_pages = { .iova = FRESH, .length = PAGE } };

	p_fresh();
	assert_int_equal(test_op(&c, IOMMU_TEST_OP_ACCESS_PAGES, scene.pin_fd), 0);
}

static long c_small(void)
{
	return lab_option(IOMMU_OPTION_HUGE_PAGES, made, 0);
}

static long c_option_get(void)
{
	struct iommu_option o = { .size = sizeof(o), .option_id = IOMMU_OPTION_RLIMIT_MODE, .op = IOMMU_OPTION_OP_GET };

	return lab_ioctl(IOMMU_OPTION, &o);
}

static long vfio_ioas(uint16_t op)
{
	struct iommu_vfio_ioas v = { .size = sizeof(v), .ioas_id = scene.other, .op = op };

	return lab_ioctl(IOMMU_VFIO_IOAS, &v);
}

static long c_vfio_ioas_set(void)
{
	return vfio_ioas(IOMMU_VFIO_IOAS_SET);
}

static long c_vfio_ioas_get(void)
{
	return vfio_ioas(IOMMU_VFIO_IOAS_GET);
}

static long c_vfio_ioas_clear(void)
{
	return vfio_ioas(IOMMU_VFIO_IOAS_CLEAR);
}

static void p_vfio_ioas(void)
{
	assert_int_equal(c_vfio_ioas_set(), 0);
}

static void u_vfio_ioas(void)
{
	assert_int_equal(c_vfio_ioas_clear(), 0);
}

static long c_get_pa(void)
{
	struct iommu_ioas_noiommu_get_pa a = { .size = sizeof(a), .ioas_id = scene.bare_space, .iova = HOME, .length = PAGE };

	return lab_ioctl(IOMMU_IOAS_NOIOMMU_GET_PA, &a);
}

/* ---- HWPTs ---- */

static long c_hwpt(void)
{
	return hwpt_data(scene.a.dev, scene.space, IOMMU_HWPT_ALLOC_DIRTY_TRACKING, 0, IOMMU_HWPT_DATA_NONE, NULL, 0, &made);
}

static long hwpt_mock_data(uint32_t pt, uint32_t flags, uint32_t fault)
{
	const struct iommu_hwpt_selftest data = { .iotlb = 7 };

	return hwpt_data(scene.b.dev, pt, flags, fault, IOMMU_HWPT_DATA_SELFTEST, &data, sizeof(data), &made);
}

static long c_hwpt_data(void)
{
	return hwpt_mock_data(scene.space, 0, 0);
}

static long c_hwpt_fault(void)
{
	return hwpt_mock_data(scene.space, IOMMU_HWPT_FAULT_ID_VALID, scene.fault);
}

static long c_nested(void)
{
	return hwpt_mock_data(scene.parent, IOMMU_HWPT_FAULT_ID_VALID, scene.fault);
}

static long c_nested_virtual(void)
{
	return hwpt_mock_data(scene.viommu, IOMMU_HWPT_FAULT_ID_VALID, scene.fault);
}

static long c_nested_vtd(void)
{
	const struct iommu_hwpt_vtd_s1 s1 = { .addr_width = 48 };

	return hwpt_data(iommufd_device_id(scene.real_idev), scene.real_parent, 0, 0, IOMMU_HWPT_DATA_VTD_S1, &s1, sizeof(s1),
			 &made);
}

static long c_hw_info(void)
{
	char data[100];
	struct iommu_hw_info a = { .size = sizeof(a), .dev_id = scene.a.dev, .data_len = sizeof(data),
				   .data_uptr = (uintptr_t)data };

	return lab_ioctl(IOMMU_GET_HW_INFO, &a);
}

static long set_dirty(uint32_t flags)
{
	struct iommu_hwpt_set_dirty_tracking a = { .size = sizeof(a), .hwpt_id = scene.tracking, .flags = flags };

	return lab_ioctl(IOMMU_HWPT_SET_DIRTY_TRACKING, &a);
}

static long c_set_dirty(void)
{
	return set_dirty(IOMMU_HWPT_DIRTY_TRACKING_ENABLE);
}

static void p_dirty(void)
{
	assert_int_equal(c_set_dirty(), 0);
}

static void u_dirty(void)
{
	assert_int_equal(set_dirty(0), 0);
}

static long c_get_dirty(void)
{
	uint64_t bits = 0;
	struct iommu_hwpt_get_dirty_bitmap a = { .size = sizeof(a), .hwpt_id = scene.tracking, .iova = HOME,
						 .length = 16 * PAGE, .page_size = PAGE, .data = (uintptr_t)&bits };

	return lab_ioctl(IOMMU_HWPT_GET_DIRTY_BITMAP, &a);
}

static long c_invalidate(void)
{
	const struct iommu_hwpt_invalidate_selftest e[2] = { { 0, 1 }, { 0, 2 } };
	struct iommu_hwpt_invalidate a = { .size = sizeof(a), .hwpt_id = scene.nested, .data_uptr = (uintptr_t)e,
					   .data_type = IOMMU_HWPT_INVALIDATE_DATA_SELFTEST, .entry_len = sizeof(e[0]),
					   .entry_num = 2 };

	return lab_ioctl(IOMMU_HWPT_INVALIDATE, &a);
}

static long c_invalidate_virtual(void)
{
	const struct iommu_viommu_invalidate_selftest e[2] = { { 0, 1, 1 }, { 0, 1, 2 } };
	struct iommu_hwpt_invalidate a = { .size = sizeof(a), .hwpt_id = scene.viommu, .data_uptr = (uintptr_t)e,
					   .data_type = IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST, .entry_len = sizeof(e[0]),
					   .entry_num = 2 };

	return lab_ioctl(IOMMU_HWPT_INVALIDATE, &a);
}

/* ---- queues, virtual IOMMUs ---- */

static long c_fault(void)
{
	struct iommu_fault_alloc a = { .size = sizeof(a) };
	long rc = lab_ioctl(IOMMU_FAULT_QUEUE_ALLOC, &a);

	made = a.out_fault_id;
	made_fd = a.out_fault_fd;
	return rc;
}

static long c_viommu(void)
{
	struct iommu_viommu_selftest data = { .in_data = 1 };

	return viommu_data(scene.b.dev, scene.parent, &data, &made);
}

static long c_vdevice(void)
{
	return vdevice(scene.viommu, scene.a.dev, 2, &made);
}

static long c_veventq(void)
{
	struct iommu_veventq_alloc a = { .size = sizeof(a), .viommu_id = scene.viommu, .type = 3, .veventq_depth = 4 };
	long rc = lab_ioctl(IOMMU_VEVENTQ_ALLOC, &a);

	made = a.out_veventq_id;
	made_fd = a.out_veventq_fd;
	return rc;
}

static long c_hw_queue(void)
{
	return hw_queue(scene.viommu, 0, HOME, 2 * PAGE, &made);
}

static void p_fault_waits(void)
{
	struct iommu_test_cmd c = { .trigger_iopf = { .dev_id = scene.b.dev, .grpid = 1, .perm = 1 } };

	assert_int_equal(test_op(&c, IOMMU_TEST_OP_TRIGGER_IOPF, 0), 0);
}

static long c_read_fault(void)
{
	struct iommu_hwpt_pgfault f;
	ssize_t n = file_read(mock_file(scene.fault_fd), &lab.caller.t, (uintptr_t)&f, sizeof(f));

	made = f.cookie;
	return n == sizeof(f) ? 0 : n;
}

static long c_answer_fault(void)
{
	const struct iommu_hwpt_page_response r = { made, IOMMUFD_PAGE_RESP_SUCCESS };
	ssize_t n = file_write(mock_file(scene.fault_fd), &lab.caller.t, (uintptr_t)&r, sizeof(r));

	return n == sizeof(r) ? 0 : n;
}

static void u_answer(void)
{
	assert_int_equal(c_answer_fault(), 0);
}

static void p_fault_told(void)
{
	p_fault_waits();
	assert_int_equal(c_read_fault(), 0);
}

static void p_event_waits(void)
{
	struct iommu_test_cmd c = { .trigger_vevent = { .dev_id = scene.b.dev } };

	assert_int_equal(test_op(&c, IOMMU_TEST_OP_TRIGGER_VEVENT, 0), 0);
}

static long read_event(size_t wanted)
{
	char e[12];
	ssize_t n = file_read(mock_file(scene.veventq_fd), &lab.caller.t, (uintptr_t)e, wanted);

	return n == (ssize_t)wanted ? 0 : n < 0 ? n : -EDOM;
}

static long c_read_event(void)
{
	return read_event(12);
}

/* The queue is of four: the fifth is lost, and that is all that is left to tell. */
static void p_loss_waits(void)
{
	for (unsigned i = 0; i < 5; i++)
		p_event_waits();
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(c_read_event(), 0);
}

static long c_read_loss(void)
{
	return read_event(8);
}

static const struct row call_rows[] = {
	{ "IOAS_ALLOC", NULL, c_ioas_alloc, destroy_made, NEEDS },
	{ "DESTROY", p_ioas, c_destroy, NULL, 0 },
	{ "IOAS_ALLOW_IOVAS", p_ioas, c_allow, destroy_made, NEEDS },
	{ "IOAS_IOVA_RANGES", NULL, c_ranges, NULL, NEEDS },
	{ "IOAS_MAP", NULL, c_map, u_fresh, NEEDS | STICKS },
	{ "IOAS_MAP, anywhere", p_ioas, c_map_auto, destroy_made, NEEDS | STICKS },
	{ "IOAS_MAP_FILE", NULL, c_map_file, u_fresh, NEEDS | STICKS },
	{ "IOAS_MAP_FILE, dma-buf", NULL, c_map_dmabuf, u_fresh, NEEDS | STICKS },
	{ "IOAS_COPY", NULL, c_copy, u_fresh, NEEDS | STICKS },
	{ "IOAS_UNMAP", p_fresh, c_unmap, NULL, STICKS },
	{ "IOAS_UNMAP, pinned", p_pinned, c_unmap, NULL, STICKS | QUIET },
	{ "OPTION, set", p_ioas, c_small, destroy_made, STICKS },
	{ "OPTION, get", NULL, c_option_get, NULL, 0 },
	{ "VFIO_IOAS, set", NULL, c_vfio_ioas_set, u_vfio_ioas, 0 },
	{ "VFIO_IOAS, get", p_vfio_ioas, c_vfio_ioas_get, u_vfio_ioas, 0 },
	{ "VFIO_IOAS, clear", p_vfio_ioas, c_vfio_ioas_clear, NULL, 0 },
	{ "IOAS_NOIOMMU_GET_PA", NULL, c_get_pa, NULL, 0 },
	{ "HWPT_ALLOC", NULL, c_hwpt, destroy_made, NEEDS },
	{ "HWPT_ALLOC, data", NULL, c_hwpt_data, destroy_made, NEEDS },
	{ "HWPT_ALLOC, faults", NULL, c_hwpt_fault, destroy_made, NEEDS },
	{ "HWPT_ALLOC, nested", NULL, c_nested, destroy_made, NEEDS },
	{ "HWPT_ALLOC, nested in a virtual IOMMU", NULL, c_nested_virtual, destroy_made, NEEDS },
	{ "HWPT_ALLOC, nested in VT-d", NULL, c_nested_vtd, destroy_made, NEEDS },
	{ "GET_HW_INFO", NULL, c_hw_info, NULL, 0 },
	{ "HWPT_SET_DIRTY_TRACKING", NULL, c_set_dirty, u_dirty, 0 },
	{ "HWPT_GET_DIRTY_BITMAP", p_dirty, c_get_dirty, u_dirty, QUIET },
	{ "HWPT_INVALIDATE", NULL, c_invalidate, NULL, 0 },
	{ "HWPT_INVALIDATE, virtual IOMMU", NULL, c_invalidate_virtual, NULL, NEEDS },
	{ "FAULT_QUEUE_ALLOC", NULL, c_fault, close_and_destroy, NEEDS | LEAVES },
	{ "VIOMMU_ALLOC", NULL, c_viommu, destroy_made, NEEDS },
	{ "VDEVICE_ALLOC", NULL, c_vdevice, destroy_made, NEEDS },
	{ "VEVENTQ_ALLOC", NULL, c_veventq, close_and_destroy, NEEDS | LEAVES },
	{ "HW_QUEUE_ALLOC", NULL, c_hw_queue, destroy_made, NEEDS },
	{ "a fault is read", p_fault_waits, c_read_fault, u_answer, NEEDS },
	{ "a fault is answered", p_fault_told, c_answer_fault, NULL, 0 },
	{ "an event is read", p_event_waits, c_read_event, NULL, 0 },
	{ "a loss is read", p_loss_waits, c_read_loss, NULL, NEEDS },
};

#endif
