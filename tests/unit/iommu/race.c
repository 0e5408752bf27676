/* SPDX-License-Identifier: MIT */
/*
 * DMA from several threads against everything that takes something away: unmap, change of domain, unpin,
 * claim and release, coming and going members. Meant for ThreadSanitizer; the assertions also bite without.
 */
#include "iommu_lab.h"

#define DEVS 3
#define SPAN (16 * PAGE) /* what is mapped at 0x1000; DMA is long enough to be caught in the middle */

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
	uint64_t *buf = calloc(1, SPAN);
	bool w;

	while (!atomic_load(&stop)) {
		if (iommu_dma_write(t->d, 0x1000, buf, SPAN) == 0) {
			t->good++;
			atomic_fetch_add(&moved, 1);
		} else {
			t->bad++;
			sched_yield(); /* there are fewer processors than threads */
		}
		(void)iommu_dma_read(t->d, 0x1ff0, buf, 64);
		(void)iommu_dma_copy(t->d, 0x1800, 0x8000, 0x4000, &w);
		memset(buf, 0, 128);
		if (t->good % 8 == 0)
			sched_yield();
	}
	free(buf);
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

/* After unmap has returned, memory keeps the values that are stored there. */
static void no_dma_arrives_after_unmap_returned(void **state)
{
	struct iommu_domain *dom = shared_domain();

	threads_start();
	for (unsigned i = 0; i < 1000; i++) {
		_Atomic uint64_t *word = (_Atomic uint64_t *)lab.shared;

		assert_int_equal(iommu_map(dom, 0x1000, lab.phys_shared, SPAN, RW), 0);
		let_them_run();
		assert_true(iommu_unmap(dom, 0x1000, SPAN) == SPAN);
		for (unsigned n = 0; n < SPAN / 8; n += 64)
			atomic_store(&word[n], UINT64_MAX);
		sched_yield();
		for (unsigned n = 0; n < SPAN / 8; n += 64)
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
	for (unsigned i = 0; i < 1000; i++) {
		uva_t uva = i & 1 ? 0x20000000 : 0x10000000;
		const struct mem_piece *piece;
		struct mem_pin *pin;

		assert_int_equal(mem_pin(lab.mem, &lab.caller.t, uva, SPAN, 0x1000, RW, true, &pin), 0);
		mem_pin_pieces(pin, &piece);
		assert_int_equal(iommu_map(dom, 0x1000, piece->phys, SPAN, RW), 0);
		let_them_run();
		assert_true(iommu_unmap(dom, 0x1000, SPAN) == SPAN);
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
	for (unsigned i = 0; i < 500; i++) {
		struct iommu_domain *dom[DEVS];

		for (int n = 0; n < DEVS; n++) {
			phys_t phys = lab.phys_shared + (unsigned)n * SPAN;

			assert_int_equal(iommu_domain_create(dev[n], &dom[n]), 0);
			assert_int_equal(iommu_map(dom[n], 0x1000, phys, SPAN, RW), 0);
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

/* ---- a DMA that is stuck in a peer that does not answer, until told ---- */

static struct {
	struct mem_window *w;
	struct thread dma, waiter;
	atomic_int inside, go, returned;
	struct iommu_domain *dom;
} stuck;

static int stuck_read(void *ctx, uint64_t offset, void *dst, size_t n)
{
	atomic_store(&stuck.inside, 1);
	while (!atomic_load(&stuck.go))
		sched_yield();
	return 0;
}

static const struct mem_window_ops stuck_ops = { .read = stuck_read };

static void stuck_dma(void *arg)
{
	char c;

	assert_int_equal(iommu_dma_read(dev[0], 0x5000, &c, 1), 0);
}

/* Page 0x5000 of a new domain is the peer, 0x7000 memory; dev[0] is in it and stuck. */
static void stuck_begin(void)
{
	memset(&stuck, 0, sizeof(stuck));
	assert_int_equal(iommu_domain_create(dev[0], &stuck.dom), 0);
	assert_int_equal(iommu_group_attach(group[0], stuck.dom), 0);
	assert_int_equal(mem_window_add(lab.mem, 0xe0000000, PAGE, &stuck_ops, NULL, &stuck.w), 0);
	assert_int_equal(iommu_map(stuck.dom, 0x5000, 0xe0000000, PAGE, RW), 0);
	assert_int_equal(iommu_map(stuck.dom, 0x7000, lab.phys_shared, PAGE, RW), 0);
	assert_int_equal(thread_start(&stuck.dma, "stuck", stuck_dma, NULL), 0);
	while (!atomic_load(&stuck.inside))
		sched_yield();
}

static void stuck_end(void)
{
	atomic_store(&stuck.go, 1);
	thread_join(&stuck.dma);
	mem_window_remove(stuck.w);
	iommu_group_detach(group[0]);
	iommu_domain_destroy(stuck.dom);
}

static void unmap_waits_for_its_own_domain_only(void **state)
{
	struct iommu_domain *other;

	stuck_begin();
	assert_int_equal(iommu_domain_create(dev[1], &other), 0);
	assert_int_equal(iommu_group_attach(group[1], other), 0);
	assert_int_equal(iommu_map(other, 0x5000, lab.phys_shared, PAGE, RW), 0);
	assert_true(iommu_unmap(other, 0x5000, PAGE) == PAGE);
	iommu_group_detach(group[1]);
	iommu_domain_destroy(other);
	/* And mapping, in the very domain, waits for nobody. */
	assert_int_equal(iommu_map(stuck.dom, 0x9000, lab.phys_shared, PAGE, RW), 0);
	assert_int_equal(iommu_map(stuck.dom, 0x9000, lab.phys_shared, PAGE, RW), -EEXIST);
	stuck_end();
}

static void unmap(void *arg)
{
	iommu_unmap(stuck.dom, 0x7000, PAGE);
	atomic_store(&stuck.returned, 1);
}

static void detach(void *arg)
{
	iommu_group_detach(group[0]);
	atomic_store(&stuck.returned, 1);
}

static void leave(void *arg)
{
	iommu_dev_leave(dev[0]);
	atomic_store(&stuck.returned, 1);
}

static void what_takes_away_returns_after_dma_has_let_go(void **state)
{
	void (*const fn[])(void *) = { unmap, detach, leave };

	for (unsigned i = 0; i < ARRAY_SIZE(fn); i++) {
		stuck_begin();
		assert_int_equal(thread_start(&stuck.waiter, "waiter", fn[i], NULL), 0);
		for (int n = 0; n < 300; n++)
			sched_yield();
		assert_int_equal(atomic_load(&stuck.returned), 0);
		atomic_store(&stuck.go, 1);
		thread_join(&stuck.waiter);
		stuck_end();
	}
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
	while (atomic_load(&fights) < 2000) {
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
		T(what_takes_away_returns_after_dma_has_let_go),
		T(ownership_is_exclusive_under_contention),
		T(many_threads_map_one_domain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
