/* SPDX-License-Identifier: MIT */
/* The test interface's comparison of pages. What it answers, and in which order, is Linux's. */
#include "iommufd_lab.h"
#include "abi/iommufd_test.h"
#include "iommufd/priv.h"

#define HOME   0x10000000ull
#define VA_TOP (UINT64_MAX - PAGE + 1)

#define HALF   MOCK_PAGE_SIZE

static uint32_t ioas, hwpt;

static long request(struct iommu_test_cmd *c, uint32_t op, uint32_t id)
{
	c->size = sizeof(*c);
	c->op = op;
	c->id = id;
	return lab_ioctl(IOMMU_TEST_CMD, c);
}

/* Attach a new mock device; returns its id, and that of the HWPT. */
static uint32_t mock_device(uint32_t space, uint32_t *pt)
{
	struct iommu_test_cmd c = { 0 };

	assert_int_equal(request(&c, IOMMU_TEST_OP_MOCK_DOMAIN, space), 0);
	*pt = c.mock_domain.out_hwpt_id;
	return c.mock_domain.out_stdev_id;
}

static int setup(void **state)
{
	if (lab_setup(state) || mem_identify_pins(lab.mem))
		return -1;
	lab.fd->test = true;
	ioas = lab_ioas();
	mock_device(ioas, &hwpt);
	return 0;
}

static long check_map(uint32_t id, iova_t iova, uint64_t length, uva_t uptr)
{
	struct iommu_test_cmd c = { .check_map = { .iova = iova, .length = length, .uptr = uptr } };

	return request(&c, IOMMU_TEST_OP_MD_CHECK_MAP, id);
}

static long check_refs(uva_t uptr, uint64_t length, uint32_t refs)
{
	struct iommu_test_cmd c = { .check_refs = { .length = length, .uptr = uptr, .refs = refs } };

	return request(&c, IOMMU_TEST_OP_MD_CHECK_REFS, 0);
}

static void a_domain_leads_to_what_the_caller_sees(void **state)
{
	assert_int_equal(lab_map(ioas, VA_SHARED, HOME, 4 * PAGE), 0);
	assert_int_equal(lab_map(ioas, VA_PRIVATE, HOME + 4 * PAGE, 2 * PAGE), 0);
	assert_int_equal(check_map(hwpt, HOME, 4 * PAGE, VA_SHARED), 0);
	assert_int_equal(check_map(hwpt, HOME + 2 * PAGE, PAGE, VA_SHARED + 2 * PAGE), 0);
	assert_int_equal(check_map(hwpt, HOME + 4 * PAGE, 2 * PAGE, VA_PRIVATE), 0);
	assert_int_equal(check_map(hwpt, HOME, 4 * PAGE, VA_SHARED + PAGE), -EINVAL);
	assert_int_equal(check_map(hwpt, HOME, PAGE, VA_PRIVATE), -EINVAL);
	assert_int_equal(check_map(hwpt, HOME + 5 * PAGE, 2 * PAGE, VA_PRIVATE + PAGE), -EINVAL); /* not mapped */
	assert_int_equal(check_map(hwpt, HOME, 0, VA_SHARED), 0);
}

/* The mock's pages are half as large as the program's. */
static void a_part_of_a_page_is_compared_with_its_part(void **state)
{
	assert_int_equal(lab_map(ioas, VA_SHARED + HALF, HOME, PAGE), 0);
	assert_int_equal(check_map(hwpt, HOME, PAGE, VA_SHARED + HALF), 0);
	assert_int_equal(check_map(hwpt, HOME + HALF, HALF, VA_SHARED + PAGE), 0);
	assert_int_equal(check_map(hwpt, HOME + HALF, HALF, VA_SHARED + PAGE + HALF), -EINVAL);
	assert_int_equal(check_map(hwpt, HOME + HALF, HALF, VA_SHARED), -EINVAL);
	assert_int_equal(check_map(hwpt, HOME + HALF / 2, HALF, VA_SHARED + PAGE), -EINVAL);
}

static void what_check_map_refuses_and_in_which_order(void **state)
{
	struct iommu_dev *real = lab_alone("real", &unit_strong);
	struct iommufd_device *bound = lab_bind(real);
	uint32_t pt = 0;

	assert_int_equal(lab_map(ioas, VA_SHARED, HOME, PAGE), 0);
	assert_int_equal(check_map(99, HOME + 1, PAGE, VA_SHARED), -ENOENT);
	assert_int_equal(check_map(ioas, HOME, PAGE, VA_SHARED), -ENOENT);
	assert_int_equal(check_map(hwpt, HOME + 1, PAGE, VA_SHARED), -EINVAL);
	assert_int_equal(check_map(hwpt, HOME, 100, VA_SHARED), -EINVAL);
	assert_int_equal(check_map(hwpt, HOME, PAGE, VA_SHARED + 1), -EINVAL);
	assert_int_equal(check_map(hwpt, HOME, PAGE, VA_TOP), -EINVAL);
	assert_int_equal(check_map(hwpt, HOME, 2 * PAGE, VA_TOP), -EINVAL);
	assert_int_equal(check_map(hwpt, HOME, 0, VA_TOP), 0);
	assert_int_equal(check_map(hwpt, HOME, PAGE, VA_NOTHING), -EFAULT);
	assert_int_equal(check_map(hwpt, HOME + MIB, PAGE, VA_NOTHING), -EFAULT);
	assert_int_equal(check_map(hwpt, UINT64_MAX - PAGE + 1, 2 * PAGE, VA_SHARED), -EINVAL);
	/* of other hardware */
	assert_int_equal(lab_hwpt(bound, ioas, 0, &pt), 0);
	assert_int_equal(check_map(pt, HOME, PAGE, VA_SHARED), -EINVAL);
	assert_int_equal(lab_destroy(pt), 0);
	lab_unbind(bound);
	iommu_dev_destroy(real);
}

static void a_page_of_a_memfd_is_the_same_through_a_mapping(void **state)
{
	struct iommu_ioas_map_file f = { .size = sizeof(f), .flags = RW | IOMMU_IOAS_MAP_FIXED_IOVA, .ioas_id = ioas,
					 .start = PAGE, .length = 2 * PAGE, .iova = HOME };

	lab.host_fd = lab.mm.area[0].memfd;
	assert_int_equal(lab_ioctl(IOMMU_IOAS_MAP_FILE, &f), 0);
	assert_int_equal(check_map(hwpt, HOME, 2 * PAGE, VA_SHARED + PAGE), 0);
	assert_int_equal(check_map(hwpt, HOME, PAGE, VA_SHARED), -EINVAL);
	assert_int_equal(check_map(hwpt, HOME, PAGE, VA_CONST + PAGE), -EINVAL);
	assert_int_equal(check_refs(VA_SHARED + PAGE, 2 * PAGE, 1), 0);
}

static void references_are_pins_of_pages_objects(void **state)
{
	uint32_t other = lab_ioas(), pt, id = mock_device(other, &pt);

	assert_int_equal(check_refs(VA_SHARED, 8 * PAGE, 0), 0);
	assert_int_equal(lab_map(ioas, VA_SHARED, HOME, 4 * PAGE), 0);
	assert_int_equal(check_refs(VA_SHARED, 4 * PAGE, 1), 0);
	assert_int_equal(check_refs(VA_SHARED, 5 * PAGE, 1), -EIO);
	assert_int_equal(check_refs(VA_SHARED + 4 * PAGE, PAGE, 0), 0);
	/* a copy is of the same object, a second map is another one */
	assert_int_equal(lab_copy(other, HOME, ioas, HOME, PAGE), 0);
	assert_int_equal(check_refs(VA_SHARED, 4 * PAGE, 1), 0);
	assert_int_equal(lab_map(other, VA_SHARED + PAGE, HOME + PAGE, PAGE), 0);
	assert_int_equal(check_refs(VA_SHARED + PAGE, PAGE, 2), 0);
	/* what only the copy holds */
	assert_int_equal(lab_unmap(ioas, HOME, 4 * PAGE), 0);
	assert_int_equal(check_refs(VA_SHARED, 2 * PAGE, 1), 0);
	assert_int_equal(check_refs(VA_SHARED + 2 * PAGE, 2 * PAGE, 0), 0);
	assert_int_equal(check_map(pt, HOME, 2 * PAGE, VA_SHARED), 0);
	assert_int_equal(lab_destroy(id), 0);
	assert_int_equal(check_refs(VA_SHARED, 4 * PAGE, 0), 0);
}

static void what_check_refs_refuses(void **state)
{
	assert_int_equal(check_refs(VA_SHARED + 1, PAGE, 0), -EINVAL);
	assert_int_equal(check_refs(VA_SHARED, PAGE + 1, 0), -EINVAL);
	assert_int_equal(check_refs(VA_TOP, PAGE, 0), -EINVAL);
	assert_int_equal(check_refs(VA_TOP, 0, 7), 0);
	assert_int_equal(check_refs(VA_SHARED, 0, 7), 0);
	assert_int_equal(check_refs(VA_NOTHING, PAGE, 0), -EFAULT);
	lab.mm.area[0].a.huge = true; /* not looked at */
	assert_int_equal(check_refs(VA_SHARED, PAGE, 7), 0);
}

static void the_same_page(void **state)
{
	struct iommufd_access_ops pinning = { .needs_pin_pages = true };
	struct iommufd_access *access;
	phys_t phys[2];
	uint32_t id;

	assert_int_equal(lab_map(ioas, VA_PRIVATE, HOME, 2 * PAGE), 0);
	assert_int_equal(iommufd_access_create(lab.ctx, &pinning, NULL, &access, &id), 0);
	assert_int_equal(iommufd_access_attach(access, ioas), 0);
	assert_int_equal(iommufd_access_pin(access, HOME, 2 * PAGE, true, phys), 0);
	assert_int_equal(iommufd_test_same_page(lab.ctx, &lab.caller.t, phys[1], VA_PRIVATE + PAGE), 0);
	assert_int_equal(iommufd_test_same_page(lab.ctx, &lab.caller.t, phys[1], VA_PRIVATE + PAGE + 7), 0);
	assert_int_equal(iommufd_test_same_page(lab.ctx, &lab.caller.t, phys[0], VA_PRIVATE + PAGE), -EINVAL);
	assert_int_equal(iommufd_test_same_page(lab.ctx, &lab.caller.t, phys[0], VA_NOTHING), -EFAULT);
	assert_int_equal(check_refs(VA_PRIVATE, 2 * PAGE, 1), 0); /* domain and access share the pin */
	iommufd_access_unpin(access, HOME, 2 * PAGE);
	iommufd_access_destroy(access);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#undef T
#define T(f) cmocka_unit_test_setup_teardown(f, setup, lab_teardown)
		T(a_domain_leads_to_what_the_caller_sees),
		T(a_part_of_a_page_is_compared_with_its_part),
		T(what_check_map_refuses_and_in_which_order),
		T(a_page_of_a_memfd_is_the_same_through_a_mapping),
		T(references_are_pins_of_pages_objects),
		T(what_check_refs_refuses),
		T(the_same_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
