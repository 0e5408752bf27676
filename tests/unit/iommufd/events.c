/* SPDX-License-Identifier: MIT */
/* Queues of events of a virtual IOMMU that does nothing else. What programs see of them through a mock device: tests/abi. */
#include "events_lab.h"

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
		T(IFD_175_one_queue_for_each_type),
		T(IFD_176_a_full_queue_counts_on),
		T(IFD_177_events_are_read_whole),
		T(IFD_176_a_loss_that_cannot_be_told_stays),
		T(IFD_177_who_waits_is_woken),
		T(IFD_176_every_event_is_told_or_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
