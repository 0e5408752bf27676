/* SPDX-License-Identifier: MIT */
/*
 * DMA from several threads against everything that takes something away: unmap, change of domain, unpin,
 * claim and release, coming and going members. Meant for ThreadSanitizer; the assertions also bite without.
 */
#include "iommu_lab.h"

#define DEVS 3

static struct iommu_group *group[DEVS];
static struct iommu_dev *dev[DEVS];
static int user;

static struct dma_thread {
	struct thread thread;
	struct iommu_dev *d;
	unsigned good, bad;
} thread[DEVS];
static atomic_bool stop;
static atomic_uint moved; /* DMA that arrived */

static int setup(void **state)
{
	if (lab_setup(state))
		return -1;
	for (int i = 0; i < DEVS; i++) {
		group[i] = lab_group();
		dev[i] = lab_dev("dev", &unit_dma, group[i]);
	}
	return 0;
}

static int teardown(void **state)
{
	for (int i = 0; i < DEVS; i++) {
		iommu_dev_destroy(dev[i]);
		iommu_group_put(group[i]);
	}
	return lab_teardown(state);
}

static void dma_main(void *arg)
{
	struct dma_thread *t = arg;
	uint64_t buf[8] = { 0 };

	while (!atomic_load(&stop)) {
		bool w;

		if (iommu_dma_write(t->d, 0x1000, buf, sizeof(buf)) == 0) {
			t->good++;
			atomic_fetch_add(&moved, 1);
		} else {
			t->bad++;
		}
		(void)iommu_dma_read(t->d, 0x1ff0, buf, sizeof(buf));
		(void)iommu_dma_copy(t->d, 0x1800, 0x1000, 64, &w);
		buf[0]++;
	}
}

static void threads_start(void)
{
	atomic_store(&stop, false);
	for (int i = 0; i < DEVS; i++) {
		thread[i] = (struct dma_thread){ .d = dev[i] };
		assert_int_equal(thread_start(&thread[i].thread, "dma", dma_main, &thread[i]), 0);
	}
}

static void threads_stop(void)
{
	atomic_store(&stop, true);
	for (int i = 0; i < DEVS; i++)
		thread_join(&thread[i].thread);
}

/* Some DMA happens in between; the machine may be slow, so this counts and does not time. */
static void let_them_run(void)
{
	unsigned now = atomic_load(&moved);

	while (atomic_load(&moved) < now + 2)
		sched_yield();
}

static struct iommu_domain *shared_domain(void)
{
	struct iommu_domain *dom = NULL;

	assert_int_equal(iommu_domain_create(dev[0], &dom), 0);
	for (int i = 0; i < DEVS; i++) {
		assert_int_equal(iommu_group_claim(group[i], &user), 0);
		assert_int_equal(iommu_group_attach(group[i], dom), 0);
	}
	return dom;
}

static void unshare_domain(struct iommu_domain *dom)
{
	for (int i = 0; i < DEVS; i++)
		iommu_group_release(group[i]);
	iommu_domain_destroy(dom);
}

/* After unmap returns, a word in the page keeps the value that is stored there. */
static void no_dma_arrives_after_unmap_returned(void **state)
{
	struct iommu_domain *dom = shared_domain();
	_Atomic uint64_t *word = (_Atomic uint64_t *)lab.shared;

	threads_start();
	for (unsigned i = 0; i < 300; i++) {
		assert_int_equal(iommu_map(dom, 0x1000, lab.phys_shared, 2 * PAGE, RW), 0);
		let_them_run();
		assert_true(iommu_unmap(dom, 0x1000, 2 * PAGE) == 2 * PAGE);
		for (unsigned n = 0; n < 64; n++)
			atomic_store(&word[n], UINT64_MAX);
		for (int n = 0; n < 10; n++)
			sched_yield();
		for (unsigned n = 0; n < 8; n++)
			assert_true(atomic_load(&word[n]) == UINT64_MAX);
	}
	threads_stop();
	unshare_domain(dom);
}

/* The pin goes away as soon as unmap has returned: a late access would read unmapped memory of ours. */
static void memory_can_be_unpinned_after_unmap(void **state)
{
	struct iommu_domain *dom = shared_domain();

	threads_start();
	for (unsigned i = 0; i < 200; i++) {
		uva_t uva = i & 1 ? 0x20000000 : 0x10000000;
		const struct mem_piece *piece;
		struct mem_pin *pin;

		assert_int_equal(mem_pin(lab.mem, &lab.caller.t, uva, 2 * PAGE, 0x1000, RW, true, &pin), 0);
		mem_pin_pieces(pin, &piece);
		assert_int_equal(iommu_map(dom, 0x1000, piece->phys, 2 * PAGE, RW), 0);
		let_them_run();
		assert_true(iommu_unmap(dom, 0x1000, 2 * PAGE) == 2 * PAGE);
		mem_unpin(pin);
	}
	threads_stop();
	assert_int_equal(mem_stale(lab.mem), 0);
	unshare_domain(dom);
}

/* Domains are freed and come back as others while DMA goes on. */
static void domains_change_under_dma(void **state)
{
	threads_start();
	for (unsigned i = 0; i < 100; i++) {
		struct iommu_domain *dom[DEVS];

		for (int n = 0; n < DEVS; n++) {
			phys_t phys = lab.phys_shared + (unsigned)n * 2 * PAGE;

			assert_int_equal(iommu_domain_create(dev[n], &dom[n]), 0);
			assert_int_equal(iommu_map(dom[n], 0x1000, phys, 2 * PAGE, RW), 0);
			assert_int_equal(iommu_group_claim(group[n], &user), 0);
			assert_int_equal(iommu_group_attach(group[n], dom[n]), 0);
		}
		let_them_run();
		for (int n = 0; n < DEVS; n++) {
			iommu_group_detach(group[n]);
			iommu_domain_destroy(dom[n]);
			iommu_group_release(group[n]);
		}
	}
	threads_stop();
}

/* An unmap in one domain is not held up by DMA that is stuck in another. */
static struct {
	struct mem_window *w;
	atomic_int inside, go;
} stuck;

static int stuck_read(void *ctx, uint64_t offset, void *dst, size_t n)
{
	atomic_store(&stuck.inside, 1);
	while (!atomic_load(&stuck.go))
		sched_yield();
	return 0;
}

static const struct mem_window_ops stuck_ops = { .read = stuck_read };

static void stuck_main(void *arg)
{
	char c;

	(void)iommu_dma_read(arg, 0x5000, &c, 1);
}

static void unmap_waits_for_its_own_domain_only(void **state)
{
	struct iommu_domain *a, *b;
	struct thread t;

	assert_int_equal(iommu_domain_create(dev[0], &a), 0);
	assert_int_equal(iommu_domain_create(dev[1], &b), 0);
	assert_int_equal(iommu_group_attach(group[0], a), 0);
	assert_int_equal(iommu_group_attach(group[1], b), 0);
	assert_int_equal(mem_window_add(lab.mem, 0xe0000000, PAGE, &stuck_ops, NULL, &stuck.w), 0);
	assert_int_equal(iommu_map(a, 0x5000, 0xe0000000, PAGE, RW), 0);
	assert_int_equal(iommu_map(b, 0x5000, lab.phys_shared, PAGE, RW), 0);
	assert_int_equal(thread_start(&t, "stuck", stuck_main, dev[0]), 0);
	while (!atomic_load(&stuck.inside))
		sched_yield();
	assert_true(iommu_unmap(b, 0x5000, PAGE) == PAGE);
	iommu_group_detach(group[1]);
	iommu_domain_destroy(b);
	atomic_store(&stuck.go, 1);
	assert_true(iommu_unmap(a, 0x5000, PAGE) == PAGE);
	mem_window_remove(stuck.w);
	thread_join(&t);
	iommu_group_detach(group[0]);
	iommu_domain_destroy(a);
}

/* Claims, drivers and newcomers fight for one group: whoever wins, the rules hold. */
static atomic_uint fights;

static void driver_main(void *arg)
{
	while (!atomic_load(&stop)) {
		struct iommu_group *g = group[0];
		unsigned count;
		void *owner;

		if (iommu_dev_use_default(dev[0]) == 0) {
			iommu_group_owner(g, &count, &owner);
			assert_null(owner);
			assert_true(count >= 1);
			iommu_dev_unuse_default(dev[0]);
			atomic_fetch_add(&fights, 1);
		}
		sched_yield();
	}
}

static void user_main(void *arg)
{
	while (!atomic_load(&stop)) {
		unsigned count;
		void *owner;

		if (iommu_group_claim(group[0], arg) == 0) {
			iommu_group_owner(group[0], &count, &owner);
			assert_ptr_equal(owner, arg);
			assert_int_equal(count, 1);
			assert_int_equal(iommu_dev_use_default(dev[0]), -EBUSY);
			iommu_group_release(group[0]);
			atomic_fetch_add(&fights, 1);
		}
		sched_yield();
	}
}

static void ownership_is_exclusive_under_contention(void **state)
{
	struct thread t[4];
	int users[2];

	atomic_store(&stop, false);
	atomic_store(&fights, 0);
	assert_int_equal(thread_start(&t[0], "driver", driver_main, NULL), 0);
	assert_int_equal(thread_start(&t[1], "driver", driver_main, NULL), 0);
	assert_int_equal(thread_start(&t[2], "user", user_main, &users[0]), 0);
	assert_int_equal(thread_start(&t[3], "user", user_main, &users[1]), 0);
	while (atomic_load(&fights) < 500) {
		struct iommu_dev *d = lab_dev("guest", &unit_dma, group[0]);
		char c;

		assert_int_equal(iommu_dma_read(d, 0x1000, &c, 1), -EFAULT);
		iommu_dev_destroy(d);
	}
	atomic_store(&stop, true);
	for (int i = 0; i < 4; i++)
		thread_join(&t[i]);
	assert_false(iommu_group_claimed(group[0]));
}

/* Map and unmap of one domain from several threads, each in its own part. */
static struct iommu_domain *busy;

static void map_main(void *arg)
{
	iova_t base = (uintptr_t)arg * 64 * PAGE; /* parts share tables */

	for (unsigned i = 0; i < 2000; i++) {
		iova_t at = base + (i % 8) * 8 * PAGE;
		phys_t phys;
		unsigned prot;

		assert_int_equal(iommu_map(busy, at, lab.phys_shared, 8 * PAGE, RW), 0);
		assert_int_equal(iommu_translate(busy, at + 5 * PAGE, &phys, &prot), 0);
		assert_true(phys == lab.phys_shared + 5 * PAGE);
		assert_true(iommu_unmap(busy, at, 8 * PAGE) == 8 * PAGE);
		assert_int_equal(iommu_translate(busy, at, &phys, &prot), -EFAULT);
	}
}

static void many_threads_map_one_domain(void **state)
{
	struct thread t[3];

	assert_int_equal(iommu_domain_create(dev[0], &busy), 0);
	for (uintptr_t i = 0; i < 3; i++)
		assert_int_equal(thread_start(&t[i], "map", map_main, (void *)(i * 3)), 0);
	for (int i = 0; i < 3; i++)
		thread_join(&t[i]);
	iommu_domain_destroy(busy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#undef T
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(no_dma_arrives_after_unmap_returned),
		T(memory_can_be_unpinned_after_unmap),
		T(domains_change_under_dma),
		T(unmap_waits_for_its_own_domain_only),
		T(ownership_is_exclusive_under_contention),
		T(many_threads_map_one_domain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
