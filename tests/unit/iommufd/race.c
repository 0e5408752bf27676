/* SPDX-License-Identifier: MIT */
/*
 * Everything at once on one context: threads guess each other's ids, map, copy, unmap and destroy what others use,
 * while devices move between address spaces under DMA and software pins what is being unmapped. Nothing is expected of
 * any one call but that it ends; of all of them, that nothing is left over.
 */
#include "race_lab.h"
#include "base/lock.h"

#define ROUNDS 3000
#define SPACES 2 /* ids 1 and 2: always there, with a page at HOME */
#define HOME   0x10000000

static bool no_caps(struct task *t, enum task_cap cap)
{
	return false;
}

static const struct task_ops thread_ops = { .copy_in = lab_in, .copy_out = lab_out, .capable = no_caps };

static long ask(unsigned cmd, void *arg)
{
	struct task t = { .ops = &thread_ops, .mm = &flat };

	return file_ioctl(lab.file, &t, cmd, (uintptr_t)arg);
}

static atomic_bool stop;

/* ---- who maps ---- */

static void map_something(struct dice *d, uint32_t id)
{
	struct iommu_ioas_map m = { .size = sizeof(m), .flags = RW | (roll(d, 2) ? IOMMU_IOAS_MAP_FIXED_IOVA : 0), .ioas_id = id,
				    .user_va = roll(d, 64) * PAGE, .length = (roll(d, 8) + 1) * PAGE,
				    .iova = 0x100000 + roll(d, 32) * PAGE };

	ask(IOMMU_IOAS_MAP, &m);
}

static void unmap_something(struct dice *d, uint32_t id)
{
	struct iommu_ioas_unmap u = { .size = sizeof(u), .ioas_id = id, .iova = roll(d, 64) * PAGE,
				      .length = 0x100000 + roll(d, 64) * PAGE };

	ask(IOMMU_IOAS_UNMAP, &u);
}

static void copy_something(struct dice *d, uint32_t from, uint32_t to)
{
	struct iommu_ioas_copy c = { .size = sizeof(c), .flags = RW, .dst_ioas_id = to, .src_ioas_id = from,
				     .length = (roll(d, 4) + 1) * PAGE, .src_iova = 0x100000 + roll(d, 32) * PAGE };

	ask(IOMMU_IOAS_COPY, &c);
}

static void guess(struct dice *d)
{
	uint32_t id = roll(d, 12) + 1;
	struct iommu_ioas_alloc a = { .size = sizeof(a) };
	struct iommu_destroy x = { .size = sizeof(x), .id = id };
	struct iommu_hwpt_alloc h = { .size = sizeof(h), .dev_id = id, .pt_id = roll(d, 12) + 1 };
	struct iommu_vfio_ioas v = { .size = sizeof(v), .ioas_id = id, .op = (uint16_t)roll(d, 3) };
	struct iommu_option o = { .size = sizeof(o), .option_id = IOMMU_OPTION_HUGE_PAGES, .object_id = id, .val64 = roll(d, 2) };
	struct iommu_ioas_change_process c = { .size = sizeof(c) };

	switch (roll(d, 10)) {
	case 0: ask(IOMMU_IOAS_ALLOC, &a); break;
	case 1: if (id > SPACES) ask(IOMMU_DESTROY, &x); break;
	case 2: ask(IOMMU_HWPT_ALLOC, &h); break;
	case 3: ask(IOMMU_VFIO_IOAS, &v); break;
	case 4: ask(IOMMU_OPTION, &o); break;
	case 5: ask(IOMMU_IOAS_CHANGE_PROCESS, &c); break;
	case 6: copy_something(d, id, roll(d, 12) + 1); break;
	case 7: unmap_something(d, id); break;
	default: map_something(d, id); break;
	}
}

static void guesser(void *arg)
{
	struct dice d = { .seed = (unsigned)(uintptr_t)arg };

	for (unsigned i = 0; i < ROUNDS; i++)
		guess(&d);
}

/* ---- devices ---- */

static void mover(void *arg)
{
	struct dice d = { .seed = 99 };
	struct iommufd_device *idev = arg;

	for (unsigned i = 0; i < ROUNDS; i++) {
		uint32_t pt = roll(&d, 4) ? roll(&d, SPACES) + 1 : roll(&d, 12) + 1;

		/* Where it is lost, it goes back. */
		if (!iommufd_device_replace(idev, IOMMUFD_NO_PASID, &pt) && pt) {
			pt = 1;
			iommufd_device_replace(idev, IOMMUFD_NO_PASID, &pt);
		}
	}
	atomic_store(&stop, true);
}

static void binder(void *arg)
{
	struct dice d = { .seed = 5 };

	for (unsigned i = 0; i < ROUNDS / 4; i++) {
		struct iommufd_device *idev;
		uint32_t id, pt = roll(&d, 6) + 1;

		assert_int_equal(iommufd_device_bind(lab.ctx, arg, &idev, &id), 0);
		iommufd_device_attach(idev, IOMMUFD_NO_PASID, &pt);
		iommufd_device_detach(idev, IOMMUFD_NO_PASID);
		iommufd_device_unbind(idev);
	}
}

static atomic_uint failures;

/* Address spaces 1 and 2 both have a page at HOME; others may not. */
static void reader(void *arg)
{
	while (!atomic_load(&stop)) {
		if (!lab_reaches(arg, HOME))
			atomic_fetch_add(&failures, 1);
	}
}

/* ---- software ---- */

static struct soft {
	struct iommufd_access *access;
	struct mutex lock; /* of what is pinned */
	iova_t at;
	uint64_t length;
} soft;

static void soft_unmap(void *ctx, iova_t iova, uint64_t length)
{
	SCOPED_LOCK(&soft.lock);
	if (soft.length)
		iommufd_access_unpin(soft.access, soft.at, soft.length);
	soft.length = 0;
}

static const struct iommufd_access_ops soft_ops = { .needs_pin_pages = true, .unmap = soft_unmap };

static const struct iommufd_access_ops copy_ops = { .needs_pin_pages = false };

static void pinner(void *arg)
{
	struct dice d = { .seed = 31 };
	phys_t phys[8];

	for (unsigned i = 0; i < ROUNDS; i++) {
		iova_t at = 0x100000 + roll(&d, 32) * PAGE;
		uint64_t n = (roll(&d, 4) + 1) * PAGE;

		if (roll(&d, 16) == 0) {
			iommufd_access_replace(soft.access, roll(&d, 6) + 1);
			continue;
		}
		SCOPED_LOCK(&soft.lock);
		if (soft.length)
			iommufd_access_unpin(soft.access, soft.at, soft.length);
		soft.length = 0;
		if (!iommufd_access_pin(soft.access, at, n, true, phys)) {
			soft.at = at;
			soft.length = n;
		}
	}
}

/* Copies, by whoever mapped and by others, inside what comes and goes. */
static void copier(void *arg)
{
	struct task t = { .ops = &thread_ops, .mm = &flat };
	struct dice d = { .seed = 77 };
	char buf[3 * PAGE];

	memset(buf, 0, sizeof(buf));
	for (unsigned i = 0; i < ROUNDS; i++) {
		iova_t at = 0x100000 + roll(&d, 32 * PAGE);

		if (roll(&d, 16) == 0)
			iommufd_access_replace(arg, roll(&d, 6) + 1);
		iommufd_access_rw(arg, roll(&d, 2) ? &t : NULL, at, buf, roll(&d, sizeof(buf)) + 1, roll(&d, 2));
	}
}

static void everything_at_once(void **state)
{
	struct iommu_dev *moved = lab_alone("a", &unit_strong), *bound = lab_alone("b", &unit_dirty);
	struct iommufd_device *idev = lab_bind(moved);
	struct iommufd_access *copying;
	struct thread t[8];
	uint32_t pt = 1, id;

	flat_init();
	/* The device has the first id: make it one that guesses do not destroy. */
	lab_unbind(idev);
	for (unsigned i = 0; i < SPACES; i++) {
		struct iommu_ioas_map m = { .size = sizeof(m), .flags = RW | IOMMU_IOAS_MAP_FIXED_IOVA, .ioas_id = lab_ioas(),
					    .length = PAGE, .iova = HOME };

		assert_int_equal(m.ioas_id, i + 1);
		assert_int_equal(ask(IOMMU_IOAS_MAP, &m), 0);
	}
	idev = lab_bind(moved);
	assert_int_equal(iommufd_device_attach(idev, IOMMUFD_NO_PASID, &pt), 0);
	mutex_init(&soft.lock, RANK_NONE);
	assert_int_equal(iommufd_access_create(lab.ctx, &soft_ops, NULL, &soft.access, &id), 0);
	assert_int_equal(iommufd_access_attach(soft.access, 2), 0);
	assert_int_equal(iommufd_access_create(lab.ctx, &copy_ops, NULL, &copying, &id), 0);
	assert_int_equal(iommufd_access_attach(copying, 1), 0);
	atomic_store(&stop, false);
	thread_start(&t[0], "guess1", guesser, (void *)1);
	thread_start(&t[1], "guess2", guesser, (void *)2);
	thread_start(&t[2], "guess3", guesser, (void *)3);
	thread_start(&t[3], "move", mover, idev);
	thread_start(&t[4], "bind", binder, bound);
	thread_start(&t[5], "pin", pinner, NULL);
	thread_start(&t[6], "read", reader, moved);
	thread_start(&t[7], "copy", copier, copying);
	for (unsigned i = 0; i < ARRAY_SIZE(t); i++)
		thread_join(&t[i]);
	iommufd_access_destroy(copying);
	iommufd_access_destroy(soft.access);
	mutex_fini(&soft.lock);
	lab_unbind(idev);
	iommu_dev_destroy(moved);
	iommu_dev_destroy(bound);
}

/* A device that moves between two address spaces that have the same page is never without it. */
static void IFD_138_a_replace_has_no_gap(void **state)
{
	struct iommu_dev *d = lab_alone("a", &unit_strong);
	struct iommufd_device *idev = lab_bind(d);
	uint32_t space[2] = { lab_ioas(), lab_ioas() }, pt = space[0];
	struct thread t;

	assert_int_equal(lab_map(space[0], VA_SHARED, HOME, PAGE), 0);
	assert_int_equal(lab_map(space[1], VA_PRIVATE, HOME, PAGE), 0);
	assert_int_equal(iommufd_device_attach(idev, IOMMUFD_NO_PASID, &pt), 0);
	atomic_store(&stop, false);
	atomic_store(&failures, 0);
	thread_start(&t, "read", reader, d);
	for (unsigned i = 0; i < ROUNDS; i++) {
		pt = space[i % 2];
		assert_int_equal(iommufd_device_replace(idev, IOMMUFD_NO_PASID, &pt), 0);
	}
	atomic_store(&stop, true);
	thread_join(&t);
	assert_int_equal(atomic_load(&failures), 0);
	lab_unbind(idev);
	iommu_dev_destroy(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(everything_at_once),
		T(IFD_138_a_replace_has_no_gap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
