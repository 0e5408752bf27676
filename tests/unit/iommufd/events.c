/* SPDX-License-Identifier: MIT */
/*
 * Queues of faults: requests made by hand, in the place of a device whose IOMMU asks. Queues of events of a virtual
 * IOMMU that does nothing else. What programs see of either through a mock device: tests/abi.
 */
#include "iommufd_lab.h"
#include "iommufd/priv.h"
#include <poll.h>

/* ---- a program that is given descriptors ---- */

static struct file *installed, *late; /* late: not installed, and released when it suits who could not */
static int install_rc;
static bool keep_late;

static int lab_install(struct task *t, struct file *f, int oflags)
{
	assert_int_equal(oflags, O_RDWR | O_CLOEXEC);
	if (install_rc) {
		late = keep_late ? file_get(f) : NULL;
		return install_rc;
	}
	assert_null(installed);
	installed = file_get(f);
	return 77;
}

#define BAD 8 /* an address where nothing is */

static int events_in(struct task *t, void *dst, uva_t src, size_t n)
{
	return src < PAGE ? -EFAULT : lab_in(t, dst, src, n);
}

static int events_out(struct task *t, uva_t dst, const void *src, size_t n)
{
	return dst < PAGE ? -EFAULT : lab_out(t, dst, src, n);
}

static const struct task_ops events_ops = {
	.copy_in = events_in,
	.copy_out = events_out,
	.fd_install = lab_install,
	.host_fd = lab_host_fd,
	.capable = fake_capable,
};

static void program(void)
{
	lab.caller.t.ops = &events_ops;
	installed = NULL;
	install_rc = 0;
	keep_late = false;
}

static int polled(void)
{
	return file_poll(installed, POLLIN | POLLOUT | POLLRDNORM, 0);
}
#define READABLE (POLLIN | POLLRDNORM)

static void close_installed(void)
{
	file_put(installed);
	installed = NULL;
}

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

/* ---- events ---- */

#define EVENT 7

static struct iommufd_viommu *viommu;

static void viommu_make(void)
{
	viommu = calloc(1, sizeof(*viommu));
	assert_non_null(viommu);
	assert_int_equal(iommufd_object_reserve(lab.ctx, IOMMUFD_VIOMMU, &viommu->obj), 0);
	mutex_init(&viommu->lock, RANK_IOMMUFD_VIOMMU);
	iommufd_object_publish(&viommu->obj);
	program();
}

static void viommu_end(void)
{
	assert_int_equal(viommu->obj.users, 0);
	iommufd_object_withdraw(&viommu->obj);
	mutex_fini(&viommu->lock);
	free(viommu);
}

static long veventq(uint32_t type, uint32_t depth, uint32_t *id)
{
	struct iommu_veventq_alloc a = { .size = sizeof(a), .viommu_id = viommu->obj.id, .type = type, .veventq_depth = depth };
	long rc = lab_ioctl(IOMMU_VEVENTQ_ALLOC, &a);

	if (!rc)
		assert_int_equal(a.out_veventq_fd, 77);
	*id = a.out_veventq_id;
	return rc;
}

/* The payload is the number of the event: then a reader can tell what it should have been. */
static void report(uint32_t n)
{
	assert_int_equal(iommufd_viommu_report(viommu, EVENT, &n, sizeof(n)), 0);
}

struct told {
	struct iommufd_vevent_header header;
	uint32_t data;
};

static ssize_t read_bytes(void *buf, size_t n)
{
	return file_read(installed, &lab.caller.t, (uintptr_t)buf, n);
}

static void assert_told(uint32_t n)
{
	struct told e;

	assert_int_equal(read_bytes(&e, sizeof(e)), sizeof(e));
	assert_int_equal(e.header.flags, 0);
	assert_int_equal(e.header.sequence, n);
	assert_int_equal(e.data, n);
}

static void assert_lost(uint32_t n)
{
	struct iommufd_vevent_header h;

	assert_int_equal(read_bytes(&h, sizeof(h)), sizeof(h));
	assert_int_equal(h.flags, IOMMU_VEVENTQ_FLAG_LOST_EVENTS);
	assert_int_equal(h.sequence, n);
}

static void IFD_175_one_queue_for_each_type(void **state)
{
	struct iommu_veventq_alloc a = { .size = sizeof(a), .type = EVENT, .veventq_depth = 1u << 19 };
	uint32_t id, other, n = 0;
	struct file *first;

	viommu_make();
	a.viommu_id = viommu->obj.id + 1;
	assert_int_equal(lab_ioctl(IOMMU_VEVENTQ_ALLOC, &a), -ENOENT);
	a.viommu_id = lab_ioas();
	assert_int_equal(lab_ioctl(IOMMU_VEVENTQ_ALLOC, &a), -ENOENT);
	a.veventq_depth++;
	assert_int_equal(lab_ioctl(IOMMU_VEVENTQ_ALLOC, &a), -EINVAL);
	assert_int_equal(iommufd_viommu_report(viommu, EVENT, &n, sizeof(n)), -EOPNOTSUPP);
	install_rc = -EMFILE;
	assert_int_equal(veventq(EVENT, 1, &id), -EMFILE);
	keep_late = true;
	assert_int_equal(veventq(EVENT, 1, &id), -EMFILE);
	file_put(late);
	install_rc = 0;
	assert_int_equal(veventq(EVENT, 1, &id), 0);
	assert_int_equal(veventq(EVENT, 1, &other), -EEXIST);
	first = installed;
	installed = NULL;
	assert_int_equal(veventq(EVENT + 1, 1, &other), 0);
	assert_int_not_equal(id, other);
	assert_int_equal(lab_destroy(viommu->obj.id), -EBUSY);
	assert_int_equal(lab_destroy(other), -EBUSY);
	close_installed();
	assert_int_equal(lab_destroy(other), 0);
	/* What it has not told goes with it. */
	report(0);
	file_put(first);
	assert_int_equal(lab_destroy(id), 0);
	assert_int_equal(iommufd_viommu_report(viommu, EVENT, &n, sizeof(n)), -EOPNOTSUPP);
	viommu_end();
}

static void IFD_176_a_full_queue_counts_on(void **state)
{
	uint32_t id;

	viommu_make();
	assert_int_equal(veventq(EVENT, 2, &id), 0);
	for (uint32_t n = 0; n < 4; n++)
		report(n);
	assert_told(0);
	assert_told(1);
	assert_lost(3);
	assert_int_equal(read_bytes(&id, 8), 0);
	/* What comes after what was lost tells it by its number. */
	for (uint32_t n = 4; n < 7; n++)
		report(n);
	assert_told(4);
	report(7);
	assert_told(5);
	assert_told(7);
	assert_int_equal(read_bytes(&id, 8), 0);
	close_installed();
	assert_int_equal(lab_destroy(id), 0);
	viommu_end();
}

static void IFD_177_events_are_read_whole(void **state)
{
	struct told e[3];
	uint32_t id;

	viommu_make();
	assert_int_equal(veventq(EVENT, 2, &id), 0);
	assert_int_equal(read_bytes(e, 7), -EINVAL);
	assert_int_equal(read_bytes(e, 8), 0);
	assert_int_equal(file_pread(installed, &lab.caller.t, (uintptr_t)e, 8, 0), -ESPIPE);
	assert_int_equal(file_write(installed, &lab.caller.t, (uintptr_t)e, 8), -EINVAL);
	assert_int_equal(polled(), 0);
	report(0);
	report(1);
	report(2);
	assert_int_equal(polled(), READABLE);
	assert_int_equal(read_bytes(e, 8), -EINVAL);
	assert_int_equal(file_read(installed, &lab.caller.t, BAD, 12), -EFAULT);
	assert_int_equal(read_bytes(e, 23), 12);
	assert_int_equal(e[0].header.sequence, 0);
	assert_int_equal(read_bytes(e, sizeof(e)), 20);
	assert_int_equal(e[0].header.sequence, 1);
	assert_int_equal(e[1].header.flags, IOMMU_VEVENTQ_FLAG_LOST_EVENTS);
	assert_int_equal(e[1].header.sequence, 2);
	assert_int_equal(polled(), 0);
	close_installed();
	assert_int_equal(lab_destroy(id), 0);
	viommu_end();
}

static void IFD_176_a_loss_that_cannot_be_told_stays(void **state)
{
	uint32_t id;

	viommu_make();
	assert_int_equal(veventq(EVENT, 1, &id), 0);
	report(0);
	report(1);
	assert_told(0);
	assert_int_equal(polled(), READABLE);
	assert_int_equal(file_read(installed, &lab.caller.t, BAD, 8), -EFAULT);
	assert_int_equal(polled(), READABLE);
	assert_lost(1);
	assert_int_equal(polled(), 0);
	report(2);
	report(3);
	assert_told(2);
	assert_int_equal(file_read(installed, &lab.caller.t, BAD, 8), -EFAULT);
	report(4);
	assert_told(4);
	close_installed();
	assert_int_equal(lab_destroy(id), 0);
	viommu_end();
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

/* Who waits for events by poll(2) is told of each. */
static void waiter(void *arg)
{
	uint32_t *last = arg;
	struct told e;

	while (*last != ROUNDS - 1) {
		assert_int_equal(file_poll(installed, POLLIN, -1), POLLIN);
		if (read_bytes(&e, sizeof(e)) > 0)
			*last = e.header.sequence;
	}
}

static void IFD_177_who_waits_is_woken(void **state)
{
	uint32_t id, last = UINT32_MAX;
	struct thread t;

	viommu_make();
	assert_int_equal(veventq(EVENT, 4, &id), 0);
	assert_int_equal(file_poll(installed, POLLIN, 1), 0);
	thread_start(&t, "wait", waiter, &last);
	for (uint32_t n = 0; n < ROUNDS; n++)
		report(n);
	thread_join(&t);
	assert_int_equal(last, ROUNDS - 1);
	close_installed();
	assert_int_equal(lab_destroy(id), 0);
	viommu_end();
}

static void reporter(void *arg)
{
	for (uint32_t n = 0; n < ROUNDS; n++)
		report(n);
	atomic_store(&stop, true);
}

/* Takes from its reader what it cannot have. */
static void bad_reader(void *arg)
{
	while (!atomic_load(&stop))
		file_read(installed, &lab.caller.t, BAD, sizeof(struct told));
}

/* Another queue of the same virtual IOMMU comes and goes. */
static void neighbour(void *arg)
{
	const struct iommufd_object *o = &viommu->obj;

	while (!atomic_load(&stop)) {
		struct iommu_veventq_alloc a = { .size = sizeof(a), .viommu_id = o->id, .type = EVENT, .veventq_depth = 1 };

		assert_int_equal(lab_ioctl(IOMMU_VEVENTQ_ALLOC, &a), -EEXIST);
		a.type++;
		install_rc = -EMFILE;
		assert_int_equal(lab_ioctl(IOMMU_VEVENTQ_ALLOC, &a), -EMFILE);
	}
}

/* Each event is told at most once, and the newest is told, if only as lost. */
static void IFD_176_every_event_is_told_or_lost(void **state)
{
	static unsigned char seen[ROUNDS];
	struct thread t[3];
	struct told e = { 0 };
	uint32_t id;

	viommu_make();
	assert_int_equal(veventq(EVENT, 4, &id), 0);
	atomic_store(&stop, false);
	memset(seen, 0, sizeof(seen));
	thread_start(&t[0], "report", reporter, NULL);
	thread_start(&t[1], "bad", bad_reader, NULL);
	thread_start(&t[2], "neighbour", neighbour, NULL);
	for (bool last = false; !last;) {
		if (read_bytes(&e, sizeof(e)) <= 0)
			continue;
		assert_true(e.header.sequence < ROUNDS);
		if (!(e.header.flags & IOMMU_VEVENTQ_FLAG_LOST_EVENTS)) {
			assert_int_equal(e.data, e.header.sequence);
			assert_int_equal(seen[e.data]++, 0);
		}
		last = e.header.sequence == ROUNDS - 1;
	}
	for (unsigned i = 0; i < ARRAY_SIZE(t); i++)
		thread_join(&t[i]);
	close_installed();
	assert_int_equal(lab_destroy(id), 0);
	viommu_end();
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
		T(IFD_175_one_queue_for_each_type),
		T(IFD_176_a_full_queue_counts_on),
		T(IFD_177_events_are_read_whole),
		T(IFD_176_a_loss_that_cannot_be_told_stays),
		T(IFD_177_who_waits_is_woken),
		T(IFD_170_every_request_is_answered),
		T(IFD_176_every_event_is_told_or_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
