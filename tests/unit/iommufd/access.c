/* SPDX-License-Identifier: MIT */
/* Accesses: pins that are called back, copies without pins. */
#include "iommufd_lab.h"
#include "base/lock.h"

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

/* ---- memory that keeps whoever touches it waiting ---- */

static struct slow {
	struct mm_ops ops;
	int (*write)(struct mm *mm, uva_t dst, const void *src, size_t n); /* of the memory itself */
	void (*meanwhile)(struct slow *s);
	uint32_t ioas;
	struct thread thread;
	atomic_bool unmapped;
	long rc;
} slow;

/* Once: what happens in between may write, too. */
static int slow_write(struct mm *mm, uva_t dst, const void *src, size_t n)
{
	void (*meanwhile)(struct slow *s) = slow.meanwhile;

	slow.meanwhile = NULL;
	if (meanwhile)
		meanwhile(&slow);
	return slow.write(mm, dst, src, n);
}

/* What a copy of @n bytes to 0x1000 returns, while @meanwhile happens to those. */
static int slow_rw(struct task *t, uint32_t ioas, uint64_t n, void (*meanwhile)(struct slow *s))
{
	char buf[2 * PAGE];
	int rc;

	memset(buf, 'y', sizeof(buf));
	if (lab.mm.mm.ops != &slow.ops) {
		slow.ops = *lab.mm.mm.ops;
		slow.write = slow.ops.write;
		slow.ops.write = slow_write;
	}
	slow.meanwhile = meanwhile;
	slow.ioas = ioas;
	atomic_store(&slow.unmapped, false);
	lab.mm.mm.ops = &slow.ops;
	rc = rw(t, 0x1000, buf, n, true);
	assert_null(slow.meanwhile);
	return rc;
}

/* In the same thread: whoever held a lock would never come to the end. */
static void others_go_on(struct slow *s)
{
	struct iommu_ioas_change_process c = { .size = sizeof(c) };
	struct iommufd_access *other;
	phys_t phys;
	uint32_t id;

	assert_int_equal(lab_map(s->ioas, VA_SHARED, 0x100000, PAGE), 0);
	assert_int_equal(lab_copy(s->ioas, 0x200000, s->ioas, 0x1000, 4 * PAGE), 0);
	assert_int_equal(lab_unmap(s->ioas, 0x200000, 4 * PAGE), 0); /* the same pages */
	assert_int_equal(lab_unmap(s->ioas, 0x100000, PAGE), 0);
	assert_int_equal(lab_ioctl(IOMMU_IOAS_CHANGE_PROCESS, &c), -EINVAL);
	assert_int_equal(iommufd_access_create(lab.ctx, &copying, &soft, &other, &id), 0);
	assert_int_equal(iommufd_access_attach(other, s->ioas), 0);
	assert_int_equal(iommufd_access_pin(other, 0x1000, PAGE, true, &phys), 0);
	iommufd_access_unpin(other, 0x1000, PAGE);
	iommufd_access_destroy(other);
	assert_int_equal(iommufd_access_pin(soft.access, 0x1000, PAGE, true, &phys), 0);
	iommufd_access_unpin(soft.access, 0x1000, PAGE);
}

static void nobody_waits_for_a_copy_elsewhere(void **state)
{
	struct iommu_dev *d = lab_alone("a", &unit_strong);
	uint32_t ioas = create(&copying), pt = ioas;
	struct iommufd_device *idev = lab_bind(d);

	assert_int_equal(lab_map(ioas, VA_PRIVATE, 0x1000, 4 * PAGE), 0);
	assert_int_equal(slow_rw(&lab.caller.t, ioas, 2 * PAGE, others_go_on), 0);
	assert_memory_equal(lab.private, "yyyy", 4);
	memset(lab.private, 0, 2 * PAGE);
	/* Pinned, and nobody's copy: through the pins. */
	assert_int_equal(iommufd_device_attach(idev, IOMMUFD_NO_PASID, &pt), 0);
	assert_int_equal(slow_rw(NULL, ioas, 2 * PAGE, others_go_on), 0);
	assert_memory_equal(lab.private + 2 * PAGE - 4, "yyyy\0", 5);
	assert_int_equal(lab_unmap(ioas, 0x1000, 4 * PAGE), 0);
	lab_unbind(idev);
	iommu_dev_destroy(d);
	end();
}

static void unmap_it(void *arg)
{
	struct slow *s = arg;

	s->rc = lab_unmap(s->ioas, 0x1000, 4 * PAGE);
	atomic_store(&s->unmapped, true);
}

/* Wait until the unmap has come as far as the area, which refuses new copies and pins from then on. */
static void an_unmap_comes(struct slow *s)
{
	phys_t phys;
	char c = 0;
	int rc;

	thread_start(&s->thread, "unmap", unmap_it, s);
	while ((rc = rw(&lab.caller.t, 0x1000, &c, 1, false)) == 0)
		;
	assert_int_equal(rc, -EINVAL);
	assert_int_equal(iommufd_access_pin(soft.access, 0x1000, PAGE, true, &phys), -EINVAL);
	assert_int_equal(lab_map(s->ioas, VA_SHARED, 0x1000, PAGE), -EEXIST);
	assert_false(atomic_load(&s->unmapped));
}

static void an_unmap_waits_for_copies(void **state)
{
	uint32_t ioas = create(&copying);

	assert_int_equal(lab_map(ioas, VA_PRIVATE, 0x1000, 4 * PAGE), 0);
	assert_int_equal(slow_rw(&lab.caller.t, ioas, 2 * PAGE, an_unmap_comes), 0);
	thread_join(&slow.thread);
	assert_int_equal(slow.rc, 0);
	assert_memory_equal(lab.private, "yyyy", 4);
	assert_int_equal(lab_map(ioas, VA_SHARED, 0x1000, PAGE), 0);
	assert_int_equal(soft.calls, 0); /* it has pinned nothing */
	end();
}

static void part_it(void *arg)
{
	struct slow *s = arg;

	iommufd_access_detach(soft.access);
	atomic_store(&s->unmapped, true);
}

/* Wait until it finds nothing any more: it is leaving. */
static void a_detach_comes(struct slow *s)
{
	char c;

	thread_start(&s->thread, "detach", part_it, s);
	while (rw(&lab.caller.t, 0x3000, &c, 1, false) == 0)
		;
	assert_int_equal(rw(&lab.caller.t, 0x3000, &c, 1, false), -ENOENT);
	assert_int_equal(iommufd_access_attach(soft.access, s->ioas), -EINVAL);
	assert_int_equal(lab_destroy(s->ioas), -EBUSY);
	assert_false(atomic_load(&s->unmapped));
}

static void who_copies_has_not_left(void **state)
{
	uint32_t ioas = create(&copying);

	assert_int_equal(lab_map(ioas, VA_PRIVATE, 0x1000, 4 * PAGE), 0);
	assert_int_equal(slow_rw(&lab.caller.t, ioas, 2 * PAGE, a_detach_comes), 0);
	thread_join(&slow.thread);
	assert_int_equal(lab_destroy(ioas), 0);
	end();
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
		T(nobody_waits_for_a_copy_elsewhere),
		T(an_unmap_waits_for_copies),
		T(who_copies_has_not_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
