/* SPDX-License-Identifier: MIT */
/* PASIDs: one domain for each, who may attach what, resets, members that come and go, DMA under all of it. */
#include "iommu_lab.h"

#define COUNT (1u << 20)

static struct iommu_group *group;
static struct iommu_dev *dev;
static struct iommu_domain *rid, *first, *second;
static int user;

static struct iommu_dev *pasid_dev(const char *name, const struct iommu_unit *unit, uint32_t count)
{
	struct iommu_dev *d = lab_dev(name, unit, NULL);

	assert_int_equal(iommu_dev_set_pasids(d, count), 0);
	assert_int_equal(iommu_dev_pasids(d), count);
	return d;
}

/* Page 0x5000 is page @n of shared memory in domain @n, and begins with @n. */
static struct iommu_domain *domain_of(unsigned n)
{
	struct iommu_domain *dom = NULL;

	lab.shared[n * PAGE] = (char)n;
	assert_int_equal(iommu_domain_create(dev, &dom), 0);
	assert_int_equal(iommu_map(dom, 0x5000, lab.phys_shared + n * PAGE, PAGE, RW), 0);
	return dom;
}

static int setup(void **state)
{
	if (lab_setup(state))
		return -1;
	group = lab_group();
	dev = pasid_dev("0000:01:00.0", &unit_dma, COUNT);
	if (iommu_dev_join(dev, group) || iommu_group_claim(group, &user))
		return -1;
	rid = domain_of(1);
	first = domain_of(2);
	second = domain_of(3);
	return iommu_group_attach(group, rid);
}

static int teardown(void **state)
{
	iommu_group_release(group);
	iommu_domain_destroy(rid);
	iommu_domain_destroy(first);
	iommu_domain_destroy(second);
	iommu_dev_destroy(dev);
	iommu_group_put(group);
	return lab_teardown(state);
}

/* Which domain @pasid leads to; -1: none */
static int leads_to(struct iommu_dev *d, uint32_t pasid)
{
	char c = 0;

	return iommu_dma_read_pasid(d, pasid, 0x5000, &c, 1) ? -1 : c;
}

static void each_pasid_has_a_space_of_its_own(void **state)
{
	char buf[16] = "written", c;
	bool w;

	assert_int_equal(iommu_group_attach_pasid(group, 1, first), 0);
	assert_int_equal(iommu_group_attach_pasid(group, COUNT - 1, second), 0);
	assert_int_equal(leads_to(dev, 0), 1);
	assert_int_equal(leads_to(dev, 1), 2);
	assert_int_equal(leads_to(dev, COUNT - 1), 3);
	assert_int_equal(iommu_dma_read(dev, 0x5000, &c, 1), 0);
	assert_int_equal(c, 1);
	assert_int_equal(iommu_dma_write_pasid(dev, 1, 0x5010, buf, 8), 0);
	assert_string_equal(lab.shared + 2 * PAGE + 0x10, "written");
	assert_int_equal(iommu_dma_copy_pasid(dev, 1, 0x5020, 0x5010, 8, &w), 0);
	assert_string_equal(lab.shared + 2 * PAGE + 0x20, "written");
	assert_int_equal(iommu_unmap(first, 0x5000, PAGE), PAGE);
	assert_int_equal(leads_to(dev, 1), -1);
	assert_int_equal(leads_to(dev, COUNT - 1), 3);
	assert_int_equal(lab_fault(1).pasid, 1);
	assert_int_equal(lab_fault(1).reason, IOMMU_FAULT_NOT_MAPPED);
	assert_true(lab_fault(1).was_mapped);
}

static void a_pasid_without_a_domain_is_blocked(void **state)
{
	const uint32_t none[] = { 1, 4000, COUNT - 1, COUNT, UINT32_MAX };
	struct iommu_dev *bare = lab_dev("bare", NULL, NULL);
	uint64_t faults = 0;
	char c;

	assert_int_equal(iommu_group_attach_pasid(group, 4001, first), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(none); i++) {
		struct iommu_fault f;

		assert_int_equal(leads_to(dev, none[i]), -1);
		f = lab_fault(++faults);
		assert_int_equal(f.pasid, none[i]);
		assert_int_equal(f.reason, IOMMU_FAULT_BLOCKED);
	}
	/* Nor does one mean anything where nothing is translated. */
	assert_int_equal(iommu_dma_read_pasid(bare, 1, lab.phys_shared, &c, 1), -EFAULT);
	assert_int_equal(lab_fault(++faults).reason, IOMMU_FAULT_BLOCKED);
	iommu_dev_destroy(bare);
}

/* Only a request without PASID is a message to an interrupt controller. */
static void a_write_with_pasid_is_no_message(void **state)
{
	uint32_t data = 0x41;

	assert_int_equal(iommu_group_attach_pasid(group, 1, first), 0);
	assert_int_equal(iommu_dma_write(dev, 0xfee00000, &data, 4), 0);
	assert_int_equal(iommu_dma_write_pasid(dev, 1, 0xfee00000, &data, 4), -EFAULT);
	assert_int_equal(lab_fault(1).reason, IOMMU_FAULT_NOT_MAPPED);
}

/* IFD-148 */
static void attach_replace_and_detach_follow_the_rules(void **state)
{
	assert_int_equal(iommu_group_attach_pasid(group, 0, first), -EINVAL);
	assert_int_equal(iommu_group_attach_pasid(group, COUNT, first), -EINVAL);
	assert_int_equal(iommu_group_replace_pasid(group, 7, first), -EINVAL);
	assert_int_equal(iommu_group_attach_pasid(group, 7, first), 0);
	assert_int_equal(iommu_group_attach_pasid(group, 7, first), -EBUSY);
	assert_int_equal(iommu_group_attach_pasid(group, 7, second), -EBUSY);
	assert_int_equal(iommu_group_replace_pasid(group, 7, first), 0);
	assert_int_equal(leads_to(dev, 7), 2);
	assert_int_equal(iommu_group_replace_pasid(group, 7, second), 0);
	assert_int_equal(leads_to(dev, 7), 3);
	assert_int_equal(iommu_group_replace_pasid(group, 0, second), -EINVAL);
	assert_int_equal(iommu_group_replace_pasid(group, COUNT, second), -EINVAL);
	/* One domain may be all of them, beside being the device's own. */
	assert_int_equal(iommu_group_attach_pasid(group, 8, rid), 0);
	assert_int_equal(leads_to(dev, 8), 1);
	iommu_group_detach_pasid(group, 7);
	iommu_group_detach_pasid(group, 7);
	iommu_group_detach_pasid(group, COUNT);
	assert_int_equal(leads_to(dev, 7), -1);
	assert_int_equal(leads_to(dev, 8), 1);
	iommu_group_detach(group); /* of the device itself: PASIDs stay */
	assert_int_equal(leads_to(dev, 0), -1);
	assert_int_equal(leads_to(dev, 8), 1);
	iommu_group_detach_pasid(group, 8);
	assert_int_equal(iommu_group_attach_pasid(group, 7, first), 0);
	assert_int_equal(leads_to(dev, 7), 2);
}

/* IFD-149 */
static void a_domain_that_does_not_suit_is_refused_and_the_old_one_stays(void **state)
{
	struct iommu_domain *small;

	assert_int_equal(iommu_domain_create_for(lab.iommu, &unit_small, &small), 0);
	assert_int_equal(iommu_group_attach_pasid(group, 7, small), -EINVAL);
	assert_int_equal(iommu_group_attach_pasid(group, 7, first), 0);
	assert_int_equal(iommu_group_replace_pasid(group, 7, small), -EINVAL);
	assert_int_equal(leads_to(dev, 7), 2);
	iommu_domain_destroy(small);
}

static void devices_without_pasids_have_none(void **state)
{
	struct iommu_group *g = lab_group();
	struct iommu_dev *plain, *late;

	assert_int_equal(iommu_group_attach_pasid(g, 1, first), -EOPNOTSUPP);
	plain = lab_dev("plain", &unit_dma, g);
	assert_int_equal(iommu_dev_pasids(plain), 0);
	assert_int_equal(iommu_group_replace_pasid(g, 1, first), -EINVAL);
	assert_int_equal(iommu_group_attach_pasid(g, 1, first), 0); /* as VT-d does: nobody is told */
	assert_int_equal(iommu_group_attach_pasid(g, 1u << 20, first), 0);
	iommu_group_detach_pasid(g, 1u << 20);
	iommu_group_detach_pasid(g, 1);
	assert_int_equal(iommu_dev_set_pasids(plain, 16), -EINVAL); /* too late */
	late = pasid_dev("late", &unit_dma, 16);
	assert_int_equal(iommu_dev_set_pasids(late, 16), -EINVAL); /* twice */
	assert_int_equal(iommu_dev_join(late, g), 0);
	/* Who has some decides; who has none never says one. */
	assert_int_equal(iommu_group_attach_pasid(g, 16, first), -EINVAL);
	assert_int_equal(iommu_group_attach_pasid(g, 15, first), 0);
	assert_int_equal(leads_to(late, 15), 2);
	assert_int_equal(leads_to(plain, 15), -1);
	iommu_group_detach_pasid(g, 15);
	iommu_dev_destroy(plain);
	iommu_dev_destroy(late);
	iommu_group_put(g);
	plain = lab_dev("plain", &unit_dma, NULL);
	assert_int_equal(iommu_dev_set_pasids(plain, COUNT + 1), -EINVAL);
	assert_int_equal(iommu_dev_set_pasids(plain, 0), 0);
	iommu_dev_destroy(plain);
}

static void members_that_come_and_go_see_what_the_group_has(void **state)
{
	struct iommu_dev *other = pasid_dev("other", &unit_dma, 2048);

	assert_int_equal(iommu_group_attach_pasid(group, 1, first), 0);
	assert_int_equal(iommu_group_attach_pasid(group, 1500, second), 0);
	assert_int_equal(iommu_group_attach_pasid(group, 5000, second), 0);
	assert_int_equal(leads_to(other, 1), -1);
	assert_int_equal(iommu_dev_join(other, group), 0);
	assert_int_equal(leads_to(other, 1), 2);
	assert_int_equal(leads_to(other, 1500), 3);
	assert_int_equal(leads_to(other, 5000), -1); /* it cannot say that */
	assert_int_equal(iommu_group_replace_pasid(group, 1, second), 0);
	assert_int_equal(leads_to(other, 1), 3);
	assert_int_equal(leads_to(dev, 1), 3);
	iommu_dev_leave(other);
	assert_int_equal(leads_to(other, 1), -1);
	assert_int_equal(leads_to(dev, 1), 3);
	assert_int_equal(iommu_dev_join(other, group), 0);
	iommu_dev_destroy(other);
	iommu_group_detach_pasid(group, 1);
	iommu_group_detach_pasid(group, 1500);
	iommu_group_detach_pasid(group, 5000);
}

/* A domain of another kind than the newcomer's: it stays out, and all counts are as before. */
static void a_newcomer_must_suit_every_pasid(void **state)
{
	struct iommu_dev *weak = pasid_dev("weak", &unit_weak, 64);

	assert_int_equal(iommu_group_attach_pasid(group, 1, first), 0);
	assert_true(iommu_domain_enforce_coherency(second));
	assert_int_equal(iommu_group_attach_pasid(group, 2, second), 0);
	assert_int_equal(iommu_dev_join(weak, group), -EINVAL);
	assert_int_equal(leads_to(weak, 1), -1);
	iommu_group_detach_pasid(group, 2);
	assert_int_equal(iommu_dev_join(weak, group), 0);
	assert_int_equal(leads_to(weak, 1), 2);
	assert_false(iommu_domain_enforce_coherency(first));
	iommu_dev_destroy(weak);
	assert_true(iommu_domain_enforce_coherency(first));
}

static void a_reset_blocks_pasids_and_refuses_changes(void **state)
{
	assert_int_equal(iommu_group_attach_pasid(group, 1, first), 0);
	assert_int_equal(iommu_group_attach_pasid(group, 2, second), 0);
	iommu_dev_reset_begin(dev);
	assert_int_equal(leads_to(dev, 1), -1);
	assert_int_equal(iommu_group_attach_pasid(group, 3, first), -EBUSY);
	assert_int_equal(iommu_group_replace_pasid(group, 1, second), -EBUSY);
	iommu_group_detach_pasid(group, 2);
	iommu_dev_reset_end(dev);
	assert_int_equal(leads_to(dev, 1), 2);
	assert_int_equal(leads_to(dev, 2), -1);
}

/* Spec 30, 6.1: a group with PASIDs attached is not for others. */
static void a_group_with_pasids_cannot_be_claimed_or_driven(void **state)
{
	int other;

	iommu_group_detach(group);
	iommu_group_release(group);
	assert_int_equal(iommu_dev_use_default(dev), 0);
	assert_int_equal(iommu_group_attach_pasid(group, 1, first), 0);
	assert_int_equal(iommu_dev_use_default(dev), -EBUSY);
	iommu_dev_unuse_default(dev);
	assert_int_equal(iommu_group_claim(group, &other), -EBUSY);
	assert_int_equal(iommu_dev_claim(dev, &other), -EBUSY);
	iommu_group_detach_pasid(group, 1);
	assert_int_equal(iommu_group_claim(group, &user), 0);
}

/* What a user leaves attached is not there for the kernel's drivers. */
static void release_detaches_what_is_left(void **state)
{
	assert_int_equal(iommu_group_attach_pasid(group, 1, first), 0);
	assert_int_equal(iommu_group_attach_pasid(group, 2, second), 0);
	iommu_group_release(group);
	assert_int_equal(leads_to(dev, 1), -1);
	assert_int_equal(leads_to(dev, 2), -1);
	iommu_group_detach_pasid(group, 1);
	assert_int_equal(iommu_group_claim(group, &user), 0);
	assert_int_equal(leads_to(dev, 1), -1);
}

/* Nor for who comes when all have gone: the domains may have gone too. */
static void the_last_member_takes_them_along(void **state)
{
	assert_int_equal(iommu_group_attach_pasid(group, 1, first), 0);
	iommu_dev_leave(dev);
	iommu_domain_destroy(first);
	assert_int_equal(iommu_dev_join(dev, group), 0);
	assert_int_equal(leads_to(dev, 1), -1);
	first = domain_of(2);
	assert_int_equal(iommu_group_attach_pasid(group, 1, first), 0);
	assert_int_equal(leads_to(dev, 1), 2);
}

/* ---- threads ---- */

static atomic_bool stop;
static atomic_uint moved;

/* In one of the two domains or in none, and never elsewhere. */
static void dma_main(void *arg)
{
	bool replaced = arg;

	while (!atomic_load(&stop)) {
		int at = leads_to(dev, 1);

		assert_true(at == 2 || at == 3 || (!replaced && at == -1));
		if (at >= 0)
			atomic_fetch_add(&moved, 1);
		sched_yield();
	}
}

static void let_them_run(void)
{
	unsigned now = atomic_load(&moved);

	while (atomic_load(&moved) < now + 2)
		sched_yield();
}

static void a_replace_is_never_a_gap(void **state)
{
	struct thread t[2];

	atomic_store(&stop, false);
	assert_int_equal(iommu_group_attach_pasid(group, 1, first), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(thread_start(&t[i], "dma", dma_main, &stop), 0);
	for (int i = 0; i < 300; i++) {
		assert_int_equal(iommu_group_replace_pasid(group, 1, i & 1 ? first : second), 0);
		let_them_run();
	}
	atomic_store(&stop, true);
	for (int i = 0; i < 2; i++)
		thread_join(&t[i]);
}

static void after_a_detach_the_domain_can_go(void **state)
{
	struct thread t[2];

	atomic_store(&stop, false);
	for (int i = 0; i < 2; i++)
		assert_int_equal(thread_start(&t[i], "dma", dma_main, NULL), 0);
	for (int i = 0; i < 300; i++) {
		struct iommu_domain *dom = domain_of(2);

		assert_int_equal(iommu_group_attach_pasid(group, 1, dom), 0);
		let_them_run();
		iommu_group_detach_pasid(group, 1);
		iommu_domain_destroy(dom);
	}
	atomic_store(&stop, true);
	for (int i = 0; i < 2; i++)
		thread_join(&t[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#undef T
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(each_pasid_has_a_space_of_its_own),
		T(a_pasid_without_a_domain_is_blocked),
		T(a_write_with_pasid_is_no_message),
		T(attach_replace_and_detach_follow_the_rules),
		T(a_domain_that_does_not_suit_is_refused_and_the_old_one_stays),
		T(devices_without_pasids_have_none),
		T(members_that_come_and_go_see_what_the_group_has),
		T(a_newcomer_must_suit_every_pasid),
		T(a_reset_blocks_pasids_and_refuses_changes),
		T(a_group_with_pasids_cannot_be_claimed_or_driven),
		T(release_detaches_what_is_left),
		T(the_last_member_takes_them_along),
		T(a_replace_is_never_a_gap),
		T(after_a_detach_the_domain_can_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
