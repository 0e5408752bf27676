/* SPDX-License-Identifier: MIT */
/* Page requests: DMA that asks for its pages, waits, and tries again; and everything that ends such a wait. */
#include "iommu_lab.h"
#include <sched.h>

static struct iommu_group *group;
static struct iommu_dev *dev;
static struct iommu_domain *dom;

/* What the handler was asked; the test answers. */
static struct inbox {
	struct mutex lock;
	struct iommu_page_request *queue[16]; /* [lock] */
	unsigned n;                           /* [lock] */
	unsigned ever;                        /* [lock] */
	int refuse;
} inbox;

static int take(void *ctx, struct iommu_page_request *r)
{
	struct inbox *in = ctx;

	SCOPED_LOCK(&in->lock);
	in->ever++;
	if (in->refuse || in->n == ARRAY_SIZE(in->queue))
		return in->refuse ? in->refuse : -ENOSPC;
	in->queue[in->n++] = iommu_page_request_get(r);
	return 0;
}

static const struct iommu_fault_ops ops = { .request = take };

static unsigned asked_ever(void)
{
	SCOPED_LOCK(&inbox.lock);
	return inbox.ever;
}

/* The oldest request, waited for. */
static struct iommu_page_request *next_request(void)
{
	struct iommu_page_request *r = NULL;

	while (!r) {
		mutex_lock(&inbox.lock);
		if (inbox.n) {
			r = inbox.queue[0];
			inbox.n--;
			memmove(inbox.queue, inbox.queue + 1, inbox.n * sizeof(r));
		}
		mutex_unlock(&inbox.lock);
		sched_yield();
	}
	return r;
}

static void answer(struct iommu_page_request *r, bool success)
{
	iommu_page_request_respond(r, success);
	iommu_page_request_put(r);
}

static struct iommu_domain *domain_with_faults(void)
{
	struct iommu_domain *d = NULL;

	assert_int_equal(iommu_domain_create(dev, &d), 0);
	iommu_domain_handle_faults(d, &ops, &inbox);
	return d;
}

static int setup(void **state)
{
	if (lab_setup(state))
		return -1;
	memset(&inbox, 0, sizeof(inbox));
	mutex_init(&inbox.lock, RANK_NONE);
	group = lab_group();
	dev = lab_dev("0000:01:00.0", &unit_dma, NULL);
	iommu_dev_set_requests(dev, true);
	if (iommu_dev_set_pasids(dev, 256) || iommu_dev_join(dev, group) || iommu_group_claim(group, &dev))
		return -1;
	dom = domain_with_faults();
	return iommu_group_attach(group, dom);
}

static int teardown(void **state)
{
	iommu_group_release(group);
	iommu_domain_destroy(dom);
	iommu_dev_destroy(dev);
	iommu_group_put(group);
	while (inbox.n)
		iommu_page_request_put(inbox.queue[--inbox.n]);
	mutex_fini(&inbox.lock);
	return lab_teardown(state);
}

static uint64_t faults(void)
{
	struct iommu_fault f[IOMMU_FAULTS];
	uint64_t n;

	iommu_faults(lab.iommu, f, &n);
	return n;
}

/* ---- one transfer on a thread of its own ---- */

static struct transfer {
	struct thread thread;
	enum { READ, WRITE, COPY } what;
	uint32_t pasid;
	iova_t iova, from;
	size_t n;
	char buf[4 * PAGE];
	bool fault_write;
	int rc;
} transfer;

static void transfer_main(void *arg)
{
	struct transfer *t = arg;

	iommu_dma_patient(true);
	if (t->what == READ)
		t->rc = iommu_dma_read_pasid(dev, t->pasid, t->iova, t->buf, t->n);
	else if (t->what == WRITE)
		t->rc = iommu_dma_write_pasid(dev, t->pasid, t->iova, t->buf, t->n);
	else
		t->rc = iommu_dma_copy_pasid(dev, t->pasid, t->iova, t->from, t->n, &t->fault_write);
}

static void transfer_start(struct transfer t)
{
	transfer = t;
	memset(transfer.buf, 'w', sizeof(transfer.buf));
	assert_int_equal(thread_start(&transfer.thread, "dma", transfer_main, &transfer), 0);
}

static int transfer_end(void)
{
	thread_join(&transfer.thread);
	return transfer.rc;
}

/* ---- answers ---- */

static void a_page_that_is_asked_for_and_comes_is_used(void **state)
{
	struct iommu_page_request *r;
	unsigned group_was;

	assert_true(iommu_dev_requests(dev));
	lab.shared[5] = 'p';
	transfer_start((struct transfer){ .what = READ, .iova = 0x5005, .n = 1 });
	r = next_request();
	assert_ptr_equal(r->dev, dev);
	assert_false(r->has_pasid);
	assert_int_equal(r->pasid, 0);
	assert_int_equal(r->prot, MEM_READ);
	assert_true(r->addr == 0x5000);
	group_was = r->group;
	assert_int_equal(iommu_map(dom, 0x5000, lab.phys_shared, PAGE, MEM_READ), 0);
	answer(r, true);
	assert_int_equal(transfer_end(), 0);
	assert_int_equal(transfer.buf[0], 'p');
	/* It is there for reading; who writes asks again. */
	transfer_start((struct transfer){ .what = WRITE, .iova = 0x5008, .n = 4 });
	r = next_request();
	assert_int_equal(r->prot, MEM_WRITE);
	assert_int_not_equal(r->group, group_was);
	assert_true(iommu_unmap(dom, 0x5000, PAGE) == PAGE);
	assert_int_equal(iommu_map(dom, 0x5000, lab.phys_shared, PAGE, RW), 0);
	answer(r, true);
	assert_int_equal(transfer_end(), 0);
	assert_memory_equal(lab.shared + 8, "wwww", 4);
	assert_int_equal(faults(), 0);
}

static void each_page_is_asked_for_when_its_turn_comes(void **state)
{
	transfer_start((struct transfer){ .what = WRITE, .iova = 0x5800, .n = 2 * PAGE });
	for (unsigned i = 0; i < 3; i++) {
		struct iommu_page_request *r = next_request();

		assert_true(r->addr == 0x5000 + i * PAGE);
		assert_int_equal(lab.shared[i * PAGE], 0);
		if (i)
			assert_int_equal(lab.shared[i * PAGE - 1], 'w'); /* what lies before has arrived */
		assert_int_equal(iommu_map(dom, r->addr, lab.phys_shared + i * PAGE, PAGE, RW), 0);
		answer(r, true);
	}
	assert_int_equal(transfer_end(), 0);
	assert_int_equal(lab.shared[2 * PAGE + 0x7ff], 'w');
	assert_int_equal(lab.shared[2 * PAGE + 0x800], 0);
}

static void both_ends_of_a_copy_are_asked_for(void **state)
{
	struct iommu_page_request *r;

	strcpy(lab.shared, "copied");
	transfer_start((struct transfer){ .what = COPY, .iova = 0x9000, .from = 0x5000, .n = 7 });
	r = next_request();
	assert_true(r->addr == 0x5000 && r->prot == MEM_READ);
	assert_int_equal(iommu_map(dom, 0x5000, lab.phys_shared, PAGE, MEM_READ), 0);
	answer(r, true);
	r = next_request();
	assert_true(r->addr == 0x9000 && r->prot == MEM_WRITE);
	assert_int_equal(iommu_map(dom, 0x9000, lab.phys_shared + PAGE, PAGE, RW), 0);
	answer(r, true);
	assert_int_equal(transfer_end(), 0);
	assert_string_equal(lab.shared + PAGE, "copied");
}

static void an_answer_of_no_is_the_fault(void **state)
{
	struct iommu_page_request *r;

	transfer_start((struct transfer){ .what = WRITE, .iova = 0x5000, .n = 4 });
	r = next_request();
	iommu_page_request_respond(r, false);
	iommu_page_request_respond(r, true); /* the first one counts */
	iommu_page_request_put(r);
	assert_int_equal(transfer_end(), -EFAULT);
	assert_int_equal(lab_fault(1).reason, IOMMU_FAULT_NOT_MAPPED);
	assert_true(lab_fault(1).write && lab_fault(1).iova == 0x5000);
	assert_int_equal(asked_ever(), 1);
}

static void answers_that_do_not_help_end(void **state)
{
	struct iommu_page_request *r;

	transfer_start((struct transfer){ .what = READ, .iova = 0x5000, .n = 2 * PAGE });
	for (int i = 0; i < IOMMU_ASKS - 1; i++)
		answer(next_request(), true);
	r = next_request();
	assert_int_equal(iommu_map(dom, 0x5000, lab.phys_shared, PAGE, RW), 0);
	answer(r, true); /* the last one that is asked has helped; and the next page counts anew */
	for (int i = 0; i < IOMMU_ASKS; i++) {
		r = next_request();
		assert_true(r->addr == 0x6000);
		answer(r, true);
	}
	assert_int_equal(transfer_end(), -EFAULT);
	assert_true(lab_fault(1).iova == 0x6000);
	assert_int_equal(asked_ever(), 2 * IOMMU_ASKS);
}

static void who_takes_no_request_gets_a_fault(void **state)
{
	inbox.refuse = -ENODEV;
	transfer_start((struct transfer){ .what = READ, .iova = 0x5000, .n = 1 });
	assert_int_equal(transfer_end(), -EFAULT);
	assert_int_equal(asked_ever(), 1);
	assert_int_equal(faults(), 1);
}

static void who_may_not_wait_is_not_asked_for(void **state)
{
	struct iommu_group *g = lab_group();
	struct iommu_dev *plain = lab_dev("plain", &unit_dma, g);
	struct iommu_domain *none;
	char c;

	assert_int_equal(iommu_dma_read(dev, 0x5000, &c, 1), -EFAULT); /* this thread */
	assert_int_equal(faults(), 1);
	assert_false(iommu_dev_requests(plain));
	assert_int_equal(iommu_group_attach(g, dom), 0);
	iommu_dma_patient(true);
	assert_int_equal(iommu_dma_read(plain, 0x5000, &c, 1), -EFAULT); /* this device */
	assert_int_equal(faults(), 2);
	assert_int_equal(iommu_domain_create(dev, &none), 0);
	assert_int_equal(iommu_group_replace(group, none), 0);
	assert_int_equal(iommu_dma_read(dev, 0x5000, &c, 1), -EFAULT); /* this domain */
	assert_int_equal(iommu_group_replace(group, dom), 0);
	iommu_dma_patient(false);
	assert_int_equal(iommu_dma_read(dev, 0x5000, &c, 1), -EFAULT);
	assert_int_equal(faults(), 4);
	assert_int_equal(asked_ever(), 0);
	iommu_domain_destroy(none);
	iommu_dev_destroy(plain);
	iommu_group_put(g);
}

static void a_pasids_pages_are_asked_for_in_its_domain(void **state)
{
	struct iommu_domain *space = domain_with_faults();
	struct iommu_page_request *r;

	assert_int_equal(iommu_group_attach_pasid(group, 7, space), 0);
	assert_int_equal(iommu_map(dom, 0x5000, lab.phys_shared, PAGE, RW), 0);
	transfer_start((struct transfer){ .what = READ, .pasid = 7, .iova = 0x5000, .n = 1 });
	r = next_request();
	assert_true(r->has_pasid);
	assert_int_equal(r->pasid, 7);
	lab.shared[PAGE] = '7';
	assert_int_equal(iommu_map(space, 0x5000, lab.phys_shared + PAGE, PAGE, RW), 0);
	answer(r, true);
	assert_int_equal(transfer_end(), 0);
	assert_int_equal(transfer.buf[0], '7');
	iommu_group_detach_pasid(group, 7);
	iommu_domain_destroy(space);
}

/* ---- nobody waits for who waits for a program ---- */

static void whoever_takes_away_does_not_wait_for_an_answer(void **state)
{
	struct iommu_domain *other = domain_with_faults();
	struct iommu_page_request *r;

	lab.shared[0] = 'o';
	assert_int_equal(iommu_map(dom, 0x9000, lab.phys_shared + PAGE, PAGE, RW), 0);
	assert_int_equal(iommu_map(other, 0x5000, lab.phys_shared, PAGE, RW), 0);
	transfer_start((struct transfer){ .what = READ, .iova = 0x5000, .n = 1 });
	r = next_request();
	assert_true(iommu_unmap(dom, 0x9000, PAGE) == PAGE);
	iommu_domain_track(dom, true);
	iommu_dev_reset_begin(dev);
	iommu_dev_reset_end(dev);
	assert_int_equal(iommu_group_replace(group, other), 0); /* where the next try looks */
	answer(r, true);
	assert_int_equal(transfer_end(), 0);
	assert_int_equal(transfer.buf[0], 'o');
	transfer_start((struct transfer){ .what = READ, .iova = 0x7000, .n = 1 });
	r = next_request();
	iommu_group_detach(group);
	answer(r, true);
	assert_int_equal(transfer_end(), -EFAULT);
	assert_int_equal(lab_fault(1).reason, IOMMU_FAULT_BLOCKED);
	iommu_domain_destroy(other);
}

static void a_cancelled_wait_ends_without_an_answer_and_without_a_fault(void **state)
{
	struct iommu_page_request *r;

	transfer_start((struct transfer){ .what = READ, .iova = 0x5000, .n = 1 });
	r = next_request();
	iommu_dev_cancel_begin(dev);
	assert_int_equal(transfer_end(), -EFAULT);
	answer(r, true); /* too late */
	transfer_start((struct transfer){ .what = READ, .iova = 0x5000, .n = 1 });
	assert_int_equal(transfer_end(), -EFAULT);
	iommu_dev_cancel_begin(dev);
	iommu_dev_cancel_end(dev);
	transfer_start((struct transfer){ .what = READ, .iova = 0x5000, .n = 1 });
	assert_int_equal(transfer_end(), -EFAULT);
	iommu_dev_cancel_end(dev);
	assert_int_equal(asked_ever(), 1);
	assert_int_equal(faults(), 0);
	transfer_start((struct transfer){ .what = READ, .iova = 0x5000, .n = 1 });
	r = next_request();
	assert_int_equal(iommu_map(dom, 0x5000, lab.phys_shared, PAGE, RW), 0);
	answer(r, true);
	assert_int_equal(transfer_end(), 0);
}

/* The device is gone when the answer comes. */
static void a_request_outlives_its_device(void **state)
{
	struct iommu_dev *mine = dev;
	struct iommu_page_request *r;

	dev = lab_dev("other", &unit_dma, NULL);
	iommu_dev_set_requests(dev, true);
	assert_int_equal(iommu_dev_join(dev, group), 0);
	transfer_start((struct transfer){ .what = READ, .iova = 0x5000, .n = 1 });
	r = next_request();
	iommu_dev_cancel_begin(dev);
	assert_int_equal(transfer_end(), -EFAULT);
	iommu_dev_cancel_end(dev);
	iommu_dev_destroy(dev);
	answer(r, true);
	dev = mine;
}

/* ---- threads ---- */

static atomic_bool stop;
static atomic_uint done;

static void dma_main(void *arg)
{
	uint32_t pasid = (uint32_t)(uintptr_t)arg;
	char buf[2 * PAGE] = "";

	iommu_dma_patient(true);
	while (!atomic_load(&stop)) {
		iommu_dma_write_pasid(dev, pasid, 0x5800, buf, PAGE);
		atomic_fetch_add(&done, 1);
		sched_yield();
	}
}

/* Answers some, now and then with a page, and takes it away again. */
static void answer_main(void *arg)
{
	unsigned seed = 1;

	while (!atomic_load(&stop)) {
		struct iommu_page_request *r = NULL;
		iova_t addr;

		mutex_lock(&inbox.lock);
		if (inbox.n)
			r = inbox.queue[--inbox.n];
		mutex_unlock(&inbox.lock);
		sched_yield();
		if (!r)
			continue;
		addr = r->addr;
		if (rand_r(&seed) % 3)
			(void)iommu_map(dom, addr, lab.phys_shared, PAGE, RW);
		answer(r, rand_r(&seed) % 4);
		if (rand_r(&seed) % 2)
			iommu_unmap(dom, addr, PAGE);
	}
}

static void answers_cancels_and_changes_meet(void **state)
{
	struct iommu_domain *other = domain_with_faults();
	struct thread t[4];

	atomic_store(&stop, false);
	assert_int_equal(iommu_group_attach_pasid(group, 1, dom), 0);
	assert_int_equal(thread_start(&t[0], "answer", answer_main, NULL), 0);
	for (uintptr_t i = 1; i < 4; i++)
		assert_int_equal(thread_start(&t[i], "dma", dma_main, (void *)(i & 1)), 0);
	for (unsigned i = 0; i < 200; i++) {
		unsigned now = atomic_load(&done);

		iommu_dev_cancel_begin(dev);
		if (i % 4 == 0)
			assert_int_equal(iommu_group_replace(group, i % 8 ? dom : other), 0);
		if (i % 4 == 1)
			iommu_group_detach_pasid(group, 1);
		if (i % 4 == 2)
			assert_int_equal(iommu_group_attach_pasid(group, 1, i % 8 == 2 ? other : dom), 0);
		iommu_dev_cancel_end(dev);
		while (atomic_load(&done) < now + 3)
			sched_yield();
	}
	atomic_store(&stop, true);
	iommu_dev_cancel_begin(dev);
	for (int i = 0; i < 4; i++)
		thread_join(&t[i]);
	iommu_dev_cancel_end(dev);
	assert_int_equal(iommu_group_replace(group, dom), 0);
	iommu_group_detach_pasid(group, 1);
	iommu_domain_destroy(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#undef T
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(a_page_that_is_asked_for_and_comes_is_used),
		T(each_page_is_asked_for_when_its_turn_comes),
		T(both_ends_of_a_copy_are_asked_for),
		T(an_answer_of_no_is_the_fault),
		T(answers_that_do_not_help_end),
		T(who_takes_no_request_gets_a_fault),
		T(who_may_not_wait_is_not_asked_for),
		T(a_pasids_pages_are_asked_for_in_its_domain),
		T(whoever_takes_away_does_not_wait_for_an_answer),
		T(a_cancelled_wait_ends_without_an_answer_and_without_a_fault),
		T(a_request_outlives_its_device),
		T(answers_cancels_and_changes_meet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
