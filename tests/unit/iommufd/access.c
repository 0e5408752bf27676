/* SPDX-License-Identifier: MIT */
/* Accesses: pins that are called back, copies without pins. */
#include "iommufd_lab.h"

/* A device of software that remembers what it has pinned. */
static struct soft {
	struct iommufd_access *access;
	uint32_t id;
	iova_t iova;
	uint64_t length; /* 0: nothing is pinned */
	unsigned calls;
	iova_t last_iova;
	uint64_t last_length;
	bool deaf;
} soft;

static void soft_unmap(void *ctx, iova_t iova, uint64_t length)
{
	struct soft *s = ctx;

	s->calls++;
	s->last_iova = iova;
	s->last_length = length;
	if (s->length && !s->deaf) {
		uint64_t n = s->length;

		s->length = 0;
		iommufd_access_unpin(s->access, s->iova, n);
	}
}

static const struct iommufd_access_ops pinning = { .needs_pin_pages = true, .unmap = soft_unmap };
static const struct iommufd_access_ops copying = { .unmap = soft_unmap };

static uint32_t create(const struct iommufd_access_ops *ops)
{
	uint32_t ioas = lab_ioas();

	memset(&soft, 0, sizeof(soft));
	assert_int_equal(iommufd_access_create(lab.ctx, ops, &soft, &soft.access, &soft.id), 0);
	assert_int_equal(iommufd_access_attach(soft.access, ioas), 0);
	return ioas;
}

static int pin(iova_t iova, uint64_t length, bool write, phys_t *phys)
{
	int rc = iommufd_access_pin(soft.access, iova, length, write, phys);

	if (!rc) {
		soft.iova = iova;
		soft.length = length;
	}
	return rc;
}

static void end(void)
{
	iommufd_access_destroy(soft.access);
}

static void an_access_is_an_object_that_its_owner_ends(void **state)
{
	uint32_t ioas = create(&pinning);

	assert_int_equal(lab_destroy(soft.id), -EBUSY);
	assert_int_equal(lab_destroy(ioas), -EBUSY);
	assert_int_equal(iommufd_access_attach(soft.access, ioas), -EINVAL);
	iommufd_access_detach(soft.access);
	assert_int_equal(iommufd_access_attach(soft.access, 99), -ENOENT);
	assert_int_equal(iommufd_access_replace(soft.access, ioas), -ENOENT);
	assert_int_equal(lab_destroy(ioas), 0);
	end();
}

static void IFD_182_what_cannot_be_pinned(void **state)
{
	uint32_t ioas = create(&copying);
	phys_t phys[8];

	assert_int_equal(pin(0x1000, 0, false, phys), -EINVAL);
	assert_int_equal(pin(~0xfffull, 2 * PAGE, false, phys), -EOVERFLOW);
	assert_int_equal(pin(0x1000, PAGE, false, phys), -ENOENT);
	assert_int_equal(lab_map_flags(ioas, VA_SHARED, 0x1000, 2 * PAGE, IOMMU_IOAS_MAP_READABLE), 0);
	assert_int_equal(lab_map_flags(ioas, VA_SHARED, 0x8000, 2 * PAGE, IOMMU_IOAS_MAP_WRITEABLE), 0);
	assert_int_equal(lab_map(ioas, VA_SHARED + 16, 0x10000, PAGE), 0);
	assert_int_equal(lab_map(ioas, VA_NOTHING, 0x20000, PAGE), 0);
	assert_int_equal(lab_map(ioas, VA_SHARED, 0x30000, 16), 0);
	assert_int_equal(lab_map(ioas, VA_SHARED + 16, 0x30010, PAGE), 0);
	assert_int_equal(pin(0x1000, PAGE, true, phys), -EPERM);
	assert_int_equal(pin(0x8000, PAGE, false, phys), -EPERM);
	assert_int_equal(pin(0x1000, 3 * PAGE, false, phys), -ENOENT);
	assert_int_equal(pin(0x1010, 16, false, phys), -EINVAL);
	assert_int_equal(pin(0x10000, PAGE, false, phys), -EINVAL);
	assert_int_equal(pin(0x20000, PAGE, false, phys), -EFAULT);
	assert_int_equal(pin(0x30000, 32, false, phys), -EINVAL);
	assert_int_equal(lab_pinned(), 0);
	assert_int_equal(pin(0x1000, PAGE + 1, false, phys), 0);
	assert_int_equal(lab_pinned(), 2);
	end();
	assert_int_equal(lab_pinned(), 0);
}

static void IFD_180_an_unmap_calls_back(void **state)
{
	uint32_t ioas = create(&pinning);
	phys_t phys[2];
	uint64_t v = 0x55;

	assert_int_equal(lab_map(ioas, VA_PRIVATE, 0x1000, 4 * PAGE), 0);
	assert_int_equal(pin(0x2000, 2 * PAGE, true, phys), 0);
	assert_int_equal(mem_write(lab.mem, phys[1], &v, sizeof(v)), 0);
	assert_int_equal(*(uint64_t *)(lab.private + 2 * PAGE), 0x55);
	assert_int_equal(lab_unmap(ioas, 0x1000, PAGE), -ENOENT);
	assert_int_equal(soft.calls, 0);
	assert_int_equal(lab_unmap(ioas, 0x1000, 4 * PAGE), 0);
	assert_int_equal(soft.calls, 1);
	assert_int_equal(soft.last_iova, 0x1000);
	assert_int_equal(soft.last_length, 4 * PAGE);
	assert_int_equal(lab_pinned(), 0);
	assert_int_equal(pin(0x2000, PAGE, false, phys), -ENOENT);
	end();
}

static void who_does_not_let_go_is_given_up(void **state)
{
	uint32_t ioas = create(&pinning);
	phys_t phys[2];

	assert_int_equal(lab_map(ioas, VA_PRIVATE, 0x1000, PAGE), 0);
	assert_int_equal(pin(0x1000, PAGE, false, phys), 0);
	soft.deaf = true;
	assert_int_equal(lab_unmap(ioas, 0x1000, PAGE), -EDEADLOCK);
	assert_int_equal(soft.calls, 100);
	soft.deaf = false;
	assert_int_equal(pin(0x1000, PAGE, false, phys), 0); /* a second time */
	iommufd_access_unpin(soft.access, 0x1000, PAGE);
	assert_int_equal(lab_pinned(), 1);
	iommufd_access_unpin(soft.access, 0x1000, 2 * PAGE); /* another range: nothing */
	assert_int_equal(lab_pinned(), 1);
	assert_int_equal(lab_unmap(ioas, 0x1000, PAGE), 0);
	end();
}

static void IFD_181_another_address_space(void **state)
{
	uint32_t one = create(&pinning), two = lab_ioas();
	phys_t phys[2];

	assert_int_equal(lab_map(one, VA_SHARED, 0x1000, PAGE), 0);
	assert_int_equal(lab_map(two, VA_PRIVATE, 0x1000, PAGE), 0);
	assert_int_equal(pin(0x1000, PAGE, false, phys), 0);
	assert_int_equal(iommufd_access_replace(soft.access, 99), -ENOENT);
	assert_int_equal(soft.calls, 0);
	assert_int_equal(iommufd_access_replace(soft.access, two), 0);
	assert_int_equal(soft.calls, 1);
	assert_true(soft.last_length == UINT64_MAX); /* all there is */
	assert_int_equal(lab_pinned(), 0);
	assert_int_equal(lab_destroy(one), 0);
	assert_int_equal(pin(0x1000, PAGE, false, phys), 0);
	assert_int_equal(iommufd_access_replace(soft.access, two), 0);
	assert_int_equal(lab_pinned(), 1);
	assert_int_equal(lab_map(two, VA_SHARED, 0x8000, 16), -EINVAL);
	end();
}

static void who_pins_wants_whole_pages(void **state)
{
	uint32_t ioas = create(&copying), id;
	struct iommufd_access *other;

	assert_int_equal(lab_map(ioas, VA_SHARED, 0x1000, 16), 0);
	assert_int_equal(iommufd_access_create(lab.ctx, &pinning, &soft, &other, &id), 0);
	assert_int_equal(iommufd_access_attach(other, ioas), -EADDRINUSE);
	assert_int_equal(lab_unmap(ioas, 0x1000, 16), 0);
	assert_int_equal(iommufd_access_attach(other, ioas), 0);
	assert_int_equal(lab_map(ioas, VA_SHARED, 0x1000, 16), -EINVAL);
	iommufd_access_destroy(other);
	assert_int_equal(lab_map(ioas, VA_SHARED, 0x1000, 16), 0);
	end();
}

static int rw(struct task *t, iova_t iova, void *data, uint64_t length, bool write)
{
	return iommufd_access_rw(soft.access, t, iova, data, length, write);
}

static void copies_leave_no_pins(void **state)
{
	uint32_t ioas = create(&copying);
	char buf[2 * PAGE];

	assert_int_equal(lab_map(ioas, VA_SHARED + 100, 0x1001, 5000), 0);
	assert_int_equal(lab_map(ioas, VA_PRIVATE, 0x1001 + 5000, 100), 0);
	assert_int_equal(lab_map_flags(ioas, VA_CONST, 0x8000, PAGE, IOMMU_IOAS_MAP_READABLE), 0);
	assert_int_equal(lab_map(ioas, VA_CONST, 0x9000, PAGE), 0);
	memset(buf, 'x', sizeof(buf));
	assert_int_equal(rw(&lab.caller.t, 0x1001 + 4990, buf, 20, true), 0);
	assert_memory_equal(lab.shared + 100 + 4990, "xxxxxxxxxx", 10);
	assert_memory_equal(lab.private, "xxxxxxxxxx\0", 11);
	assert_int_equal(rw(NULL, 0x1001 + 4990, buf, 10, false), 0);
	assert_int_equal(rw(NULL, 0x1000, buf, 10, false), -ENOENT);
	assert_int_equal(rw(NULL, 0x1001 + 5000, buf, 101, false), -ENOENT);
	assert_int_equal(rw(NULL, 0x8000, buf, 8, true), -EPERM);
	assert_int_equal(rw(NULL, 0x9000, buf, 8, true), -EFAULT);
	assert_int_equal(rw(NULL, 0x9000, buf, 8, false), 0);
	assert_int_equal(rw(NULL, 0x9000, buf, 0, false), -EINVAL);
	assert_int_equal(rw(NULL, UINT64_MAX, buf, 2, false), -EOVERFLOW);
	assert_int_equal(lab_pinned(), 0);
	end();
}

static void pins_and_domains_share_pages(void **state)
{
	struct iommu_dev *d = lab_alone("a", &unit_strong);
	uint32_t ioas = create(&pinning), pt = ioas;
	struct iommufd_device *idev = lab_bind(d);
	phys_t phys[4];

	lab.mm.limit = 8 * PAGE;
	assert_int_equal(lab_map(ioas, VA_SHARED, 0x10000, 8 * PAGE), 0);
	assert_int_equal(pin(0x12000, 3 * PAGE, true, phys), 0);
	assert_int_equal(lab_pinned(), 3);
	assert_int_equal(iommufd_device_attach(idev, IOMMUFD_NO_PASID, &pt), 0);
	assert_int_equal(lab_pinned(), 8);
	assert_true(lab_reaches(d, 0x10000) && lab_reaches(d, 0x13000) && lab_reaches(d, 0x17000));
	iommufd_device_detach(idev, IOMMUFD_NO_PASID);
	assert_int_equal(lab_pinned(), 3);
	lab_unbind(idev);
	iommu_dev_destroy(d);
	end();
}

static void a_pin_ends_before_another_one(void **state)
{
	uint32_t ioas = create(&pinning);
	phys_t third, first[2];

	assert_int_equal(lab_map(ioas, VA_PRIVATE, 0x10000, 4 * PAGE), 0);
	assert_int_equal(pin(0x12000, PAGE, true, &third), 0);
	/* A page is left out in between. */
	assert_int_equal(iommufd_access_pin(soft.access, 0x10000, PAGE, true, &first[0]), 0);
	assert_int_equal(iommufd_access_pin(soft.access, 0x11000, PAGE, true, &first[1]), 0);
	assert_true(first[0] != first[1] && first[0] != third && first[1] != third);
	assert_int_equal(lab_pinned(), 3);
	iommufd_access_unpin(soft.access, 0x10000, PAGE);
	iommufd_access_unpin(soft.access, 0x11000, PAGE);
	end();
	assert_int_equal(lab_pinned(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(an_access_is_an_object_that_its_owner_ends),
		T(IFD_182_what_cannot_be_pinned),
		T(IFD_180_an_unmap_calls_back),
		T(who_does_not_let_go_is_given_up),
		T(IFD_181_another_address_space),
		T(who_pins_wants_whole_pages),
		T(copies_leave_no_pins),
		T(pins_and_domains_share_pages),
		T(a_pin_ends_before_another_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
