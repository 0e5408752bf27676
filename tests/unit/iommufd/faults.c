/* SPDX-License-Identifier: MIT */
/*
 * Queues of faults: requests made by hand, in the place of a device whose IOMMU asks. What programs see of them through a
 * mock device: tests/abi.
 */
#include "events_lab.h"

/* ---- a queue, and a device that joins it ---- */

static struct iommufd_fault *queue;
static uint32_t queue_id;
static struct iommu_dev *dev;
static struct iommufd_device *idev;

static void queue_make(void)
{
	struct iommu_fault_alloc a = { .size = sizeof(a) };

	program();
	assert_int_equal(lab_ioctl(IOMMU_FAULT_QUEUE_ALLOC, &a), 0);
	assert_int_equal(a.out_fault_fd, 77);
	queue_id = a.out_fault_id;
	queue = iommufd_fault_visit(lab.ctx, queue_id);
	assert_non_null(queue);
	iommufd_object_use(iommufd_fault_object(queue)); /* as an HWPT does */
	iommufd_object_leave(iommufd_fault_object(queue));
	dev = lab_alone("a", &unit_strong);
	idev = lab_bind(dev);
}

static void queue_end(void)
{
	iommufd_object_unuse(iommufd_fault_object(queue));
	if (installed)
		close_installed();
	assert_int_equal(lab_destroy(queue_id), 0);
	lab_unbind(idev);
	iommu_dev_destroy(dev);
}

static struct iommu_page_request *request_of(struct iommu_dev *d, uint32_t pasid, uint32_t group)
{
	const struct iommu_page_request init = { .dev = d, .has_pasid = pasid, .pasid = pasid, .group = group,
						 .prot = MEM_READ, .addr = group * PAGE };
	struct iommu_page_request *r = NULL;

	assert_int_equal(iommu_page_request_create(&init, &r), 0);
	return r;
}

static int ask(struct iommu_page_request *r)
{
	return iommufd_fault_ops.request(queue, r);
}

/* A request that the queue takes. */
static struct iommu_page_request *asked(uint32_t pasid, uint32_t group)
{
	struct iommu_page_request *r = request_of(dev, pasid, group);

	assert_int_equal(ask(r), 0);
	return r;
}

/* It has been answered, and so: whoever answers after that is too late. */
static void assert_answer(struct iommu_page_request *r, bool success)
{
	iommu_page_request_respond(r, !success);
	assert_int_equal(iommu_page_request_wait(r), success);
	iommu_page_request_put(r);
}

static ssize_t read_some(struct iommu_hwpt_pgfault *f, size_t n)
{
	return file_read(installed, &lab.caller.t, (uintptr_t)f, n * sizeof(*f));
}

/* The cookie of the next, which must be of @group. */
static uint32_t read_cookie(uint32_t group)
{
	struct iommu_hwpt_pgfault f;

	assert_int_equal(read_some(&f, 1), sizeof(f));
	assert_int_equal(f.grpid, group);
	return f.cookie;
}

static ssize_t respond(uint32_t cookie, uint32_t code)
{
	struct iommu_hwpt_page_response r = { cookie, code };

	return file_write(installed, &lab.caller.t, (uintptr_t)&r, sizeof(r));
}

/* ---- */

static void IFD_168_a_request_is_read_as_it_was_made(void **state)
{
	struct iommu_hwpt_pgfault f[3];
	struct iommu_page_request *r[2];

	queue_make();
	assert_int_equal(read_some(f, 2), 0);
	assert_int_equal(iommufd_fault_join(queue, idev, IOMMUFD_NO_PASID), 0);
	assert_int_equal(iommufd_fault_join(queue, idev, 5), 0);
	assert_int_equal(polled(), POLLOUT);
	r[0] = asked(0, 1);
	assert_int_equal(polled(), POLLOUT | READABLE);
	r[1] = asked(5, 2);
	assert_int_equal(read_some(f, 0), -EINVAL);
	assert_int_equal(file_read(installed, &lab.caller.t, (uintptr_t)f, 39), -ESPIPE);
	assert_int_equal(file_pread(installed, &lab.caller.t, (uintptr_t)f, 40, 0), -ESPIPE);
	assert_int_equal(read_some(f, 3), 2 * sizeof(f[0]));
	assert_memory_equal(&f[0], (&(struct iommu_hwpt_pgfault){
		.flags = IOMMU_PGFAULT_FLAGS_LAST_PAGE, .dev_id = iommufd_device_id(idev), .grpid = 1,
		.perm = IOMMU_PGFAULT_PERM_READ, .addr = PAGE, .cookie = 1 }), sizeof(f[0]));
	assert_memory_equal(&f[1], (&(struct iommu_hwpt_pgfault){
		.flags = IOMMU_PGFAULT_FLAGS_LAST_PAGE | IOMMU_PGFAULT_FLAGS_PASID_VALID, .dev_id = iommufd_device_id(idev),
		.pasid = 5, .grpid = 2, .perm = IOMMU_PGFAULT_PERM_READ, .addr = 2 * PAGE, .cookie = 2 }), sizeof(f[1]));
	assert_int_equal(polled(), POLLOUT);
	assert_int_equal(read_some(f, 1), 0);
	assert_int_equal(respond(2, IOMMUFD_PAGE_RESP_SUCCESS), 8);
	assert_int_equal(respond(1, IOMMUFD_PAGE_RESP_INVALID), 8);
	assert_answer(r[0], false);
	assert_answer(r[1], true);
	iommufd_fault_part(queue, idev, 5);
	iommufd_fault_part(queue, idev, IOMMUFD_NO_PASID);
	queue_end();
}

static void IFD_168_what_cannot_be_copied_stays(void **state)
{
	struct iommu_hwpt_pgfault f[2];
	struct iommu_page_request *r[2];

	queue_make();
	assert_int_equal(iommufd_fault_join(queue, idev, IOMMUFD_NO_PASID), 0);
	r[0] = asked(0, 1);
	r[1] = asked(0, 2);
	assert_int_equal(file_read(installed, &lab.caller.t, BAD, 80), -EFAULT);
	assert_int_equal(polled(), POLLOUT | READABLE);
	assert_int_equal(read_some(f, 1), 40);
	assert_int_equal(f[0].cookie, 1);
	assert_int_equal(f[0].grpid, 1);
	assert_int_equal(read_some(f, 1), 40);
	assert_int_equal(f[0].cookie, 2);
	assert_int_equal(f[0].grpid, 2);
	iommufd_fault_part(queue, idev, IOMMUFD_NO_PASID);
	assert_answer(r[0], false);
	assert_answer(r[1], false);
	queue_end();
}

static void IFD_169_answers_are_taken_one_by_one(void **state)
{
	struct iommu_hwpt_page_response w[3];
	struct iommu_page_request *r[2];

	queue_make();
	assert_int_equal(iommufd_fault_join(queue, idev, IOMMUFD_NO_PASID), 0);
	r[0] = asked(0, 1);
	r[1] = asked(0, 2);
	/* Nothing has been read, so no cookie is known. */
	assert_int_equal(respond(1, IOMMUFD_PAGE_RESP_SUCCESS), -EINVAL);
	assert_int_equal(read_cookie(1), 1);
	assert_int_equal(read_cookie(2), 2);
	assert_int_equal(respond(0, IOMMUFD_PAGE_RESP_SUCCESS), -EINVAL);
	assert_int_equal(respond(UINT32_MAX, IOMMUFD_PAGE_RESP_SUCCESS), -EINVAL);
	assert_int_equal(respond(1, 2), -EINVAL);
	assert_int_equal(file_write(installed, &lab.caller.t, (uintptr_t)w, 12), -ESPIPE);
	assert_int_equal(file_write(installed, &lab.caller.t, BAD, 8), -EFAULT);
	assert_int_equal(file_write(installed, &lab.caller.t, BAD, 0), 0);
	w[0] = (struct iommu_hwpt_page_response){ 2, IOMMUFD_PAGE_RESP_SUCCESS };
	w[1] = w[0];
	w[2] = (struct iommu_hwpt_page_response){ 1, IOMMUFD_PAGE_RESP_SUCCESS };
	assert_int_equal(file_write(installed, &lab.caller.t, (uintptr_t)w, sizeof(w)), 8);
	assert_answer(r[1], true);
	/* The lowest free cookie is the next. */
	r[1] = asked(0, 3);
	assert_int_equal(read_cookie(3), 2);
	assert_int_equal(respond(1, IOMMUFD_PAGE_RESP_INVALID), 8);
	assert_int_equal(respond(1, IOMMUFD_PAGE_RESP_SUCCESS), -EINVAL);
	assert_answer(r[0], false);
	assert_int_equal(respond(2, IOMMUFD_PAGE_RESP_SUCCESS), 8);
	assert_answer(r[1], true);
	iommufd_fault_part(queue, idev, IOMMUFD_NO_PASID);
	queue_end();
}

static void IFD_170_who_parts_is_answered_for(void **state)
{
	struct iommu_page_request *read, *unread, *other;

	queue_make();
	assert_int_equal(iommufd_fault_join(queue, idev, IOMMUFD_NO_PASID), 0);
	assert_int_equal(iommufd_fault_join(queue, idev, 5), 0);
	read = asked(0, 1);
	assert_int_equal(read_cookie(1), 1);
	unread = asked(0, 2);
	iommufd_fault_part(queue, idev, IOMMUFD_NO_PASID);
	assert_int_equal(polled(), POLLOUT);
	other = asked(5, 3);
	assert_answer(read, false);
	assert_answer(unread, false);
	assert_int_equal(respond(1, IOMMUFD_PAGE_RESP_SUCCESS), -EINVAL);
	assert_int_equal(read_cookie(3), 1);
	assert_int_equal(respond(1, IOMMUFD_PAGE_RESP_SUCCESS), 8);
	assert_answer(other, true);
	iommufd_fault_part(queue, idev, 5);
	queue_end();
}

static void IFD_170_who_has_not_joined_is_not_served(void **state)
{
	struct iommu_dev *stranger = lab_alone("b", &unit_strong);
	struct iommu_page_request *r = request_of(stranger, 0, 1), *p;

	queue_make();
	assert_int_equal(iommufd_fault_join(queue, idev, 5), 0);
	assert_int_equal(ask(r), -ENODEV);
	iommu_page_request_put(r);
	r = request_of(dev, 0, 1);
	assert_int_equal(ask(r), -ENODEV);
	/* With a PASID of nobody's it is served by who has none. */
	p = request_of(dev, 6, 2);
	assert_int_equal(ask(p), -ENODEV);
	assert_int_equal(iommufd_fault_join(queue, idev, IOMMUFD_NO_PASID), 0);
	assert_int_equal(ask(p), 0);
	iommufd_fault_part(queue, idev, IOMMUFD_NO_PASID);
	assert_answer(p, false);
	assert_int_equal(ask(r), -ENODEV);
	iommu_page_request_put(r);
	iommufd_fault_part(queue, idev, 5);
	queue_end();
	iommu_dev_destroy(stranger);
}

/* From one HWPT to another with the same queue. */
static void IFD_170_who_moves_is_answered_for_what_was_before(void **state)
{
	struct iommu_page_request *before, *after;

	queue_make();
	assert_int_equal(iommufd_fault_join(queue, idev, IOMMUFD_NO_PASID), 0);
	before = asked(0, 1);
	assert_int_equal(iommufd_fault_join(queue, idev, IOMMUFD_NO_PASID), 0);
	after = asked(0, 2);
	iommufd_fault_part(queue, idev, IOMMUFD_NO_PASID);
	assert_answer(before, false);
	/* A move that fails: nobody is answered for. */
	assert_int_equal(iommufd_fault_join(queue, idev, IOMMUFD_NO_PASID), 0);
	before = asked(0, 3);
	iommufd_fault_unjoin(queue, idev, IOMMUFD_NO_PASID);
	assert_int_equal(read_cookie(2), 1);
	assert_int_equal(read_cookie(3), 2);
	assert_int_equal(respond(1, IOMMUFD_PAGE_RESP_SUCCESS), 8);
	assert_answer(after, true);
	assert_int_equal(respond(2, IOMMUFD_PAGE_RESP_SUCCESS), 8);
	assert_answer(before, true);
	/* And one that fails where nothing was: what came meanwhile has nobody. */
	iommufd_fault_part(queue, idev, IOMMUFD_NO_PASID);
	assert_int_equal(iommufd_fault_join(queue, idev, IOMMUFD_NO_PASID), 0);
	after = asked(0, 4);
	iommufd_fault_unjoin(queue, idev, IOMMUFD_NO_PASID);
	assert_answer(after, false);
	queue_end();
}

static void IFD_171_a_queue_outlives_its_file(void **state)
{
	struct iommu_page_request *r;

	queue_make();
	assert_int_equal(lab_destroy(queue_id), -EBUSY);
	assert_int_equal(iommufd_fault_join(queue, idev, IOMMUFD_NO_PASID), 0);
	r = asked(0, 1);
	close_installed();
	assert_int_equal(lab_destroy(queue_id), -EBUSY);
	iommufd_fault_part(queue, idev, IOMMUFD_NO_PASID);
	assert_answer(r, false);
	queue_end();
}

static void IFD_168_a_queue_without_a_descriptor_is_none(void **state)
{
	struct iommu_fault_alloc a = { .size = sizeof(a) };

	program();
	install_rc = -EMFILE;
	assert_int_equal(lab_ioctl(IOMMU_FAULT_QUEUE_ALLOC, &a), -EMFILE);
	assert_int_equal(lab_destroy(1), -ENOENT);
	keep_late = true;
	assert_int_equal(lab_ioctl(IOMMU_FAULT_QUEUE_ALLOC, &a), -EMFILE);
	assert_int_equal(lab_destroy(1), -ENOENT);
	file_put(late);
	assert_int_equal(lab_ioas(), 1);
}

/* ---- all at once ---- */

#define ROUNDS 2000

static atomic_bool stop;

/* A device that asks and waits; what is refused is asked again. */
static void asker(void *arg)
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct iommu_page_request *r = request_of(dev, 0, i);

		if (ask(r) == 0)
			iommu_page_request_wait(r);
		iommu_page_request_put(r);
	}
}

static void answerer(void *arg)
{
	struct iommu_hwpt_pgfault f[2];

	while (!atomic_load(&stop)) {
		ssize_t n = read_some(f, 2);

		for (unsigned i = 0; n > 0 && i < (size_t)n / sizeof(f[0]); i++)
			respond(f[i].cookie, i);
	}
}

/* Reads to where nothing is, and answers what it has not read. */
static void fool(void *arg)
{
	while (!atomic_load(&stop)) {
		file_read(installed, &lab.caller.t, BAD, 40);
		respond(1, IOMMUFD_PAGE_RESP_INVALID);
	}
}

static void mover(void *arg)
{
	while (!atomic_load(&stop)) {
		assert_int_equal(iommufd_fault_join(queue, idev, IOMMUFD_NO_PASID), 0);
		iommufd_fault_part(queue, idev, IOMMUFD_NO_PASID);
		assert_int_equal(iommufd_fault_join(queue, idev, IOMMUFD_NO_PASID), 0);
		iommufd_fault_unjoin(queue, idev, IOMMUFD_NO_PASID);
	}
}

static void IFD_170_every_request_is_answered(void **state)
{
	struct thread asking[2], other[3];

	queue_make();
	assert_int_equal(iommufd_fault_join(queue, idev, IOMMUFD_NO_PASID), 0);
	atomic_store(&stop, false);
	thread_start(&other[0], "answer", answerer, NULL);
	thread_start(&other[1], "fool", fool, NULL);
	thread_start(&other[2], "move", mover, NULL);
	for (unsigned i = 0; i < ARRAY_SIZE(asking); i++)
		thread_start(&asking[i], "ask", asker, NULL);
	for (unsigned i = 0; i < ARRAY_SIZE(asking); i++)
		thread_join(&asking[i]);
	atomic_store(&stop, true);
	for (unsigned i = 0; i < ARRAY_SIZE(other); i++)
		thread_join(&other[i]);
	iommufd_fault_part(queue, idev, IOMMUFD_NO_PASID);
	queue_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(IFD_168_a_request_is_read_as_it_was_made),
		T(IFD_168_what_cannot_be_copied_stays),
		T(IFD_169_answers_are_taken_one_by_one),
		T(IFD_170_who_parts_is_answered_for),
		T(IFD_170_who_has_not_joined_is_not_served),
		T(IFD_170_who_moves_is_answered_for_what_was_before),
		T(IFD_171_a_queue_outlives_its_file),
		T(IFD_168_a_queue_without_a_descriptor_is_none),
		T(IFD_170_every_request_is_answered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
