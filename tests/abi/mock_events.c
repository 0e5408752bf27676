/* SPDX-License-Identifier: MIT */
/* Queues of the events a virtual IOMMU tells of. */
#include "nested.h"
#include <poll.h>

#define TYPE IOMMU_VEVENTQ_TYPE_SELFTEST

/* An event of the mock, as it is read */
struct event {
	struct iommufd_vevent_header h;
	struct iommu_viommu_event_selftest e;
};

static int fd;
static uint32_t v, vdev, parent;
static struct mock m;

/* A device attached through a VIOMMU that knows it as 0x99 */
static void begin(void)
{
	uint32_t ioas;

	fd = iommu_open();
	ioas = ioas_alloc(fd);
	m = mock(fd, ioas, 0);
	parent = paging(fd, m.dev, ioas, PARENT, 0);
	v = viommu(fd, m.dev, parent);
	vdev = vdevice(fd, v, m.dev, 0x99);
	EXPECT_OK(mock_replace_id(fd, m.stdev, nested(fd, m.dev, v, 0, 0)));
}

static void triggers(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		EXPECT_OK(trigger_vevent(fd, m.dev));
}

/* The next one is an event with @sequence */
static void want_event(int queue, uint32_t sequence)
{
	struct event e = { .h = { 77, 77 } };

	EXPECT_EQ(sizeof(e), x_read(queue, &e, sizeof(e)));
	EXPECT_EQ(0, e.h.flags);
	EXPECT_EQ(sequence, e.h.sequence);
	EXPECT_EQ(0x99, e.e.virt_id);
}

/* The next one says that events up to @sequence were lost */
static void want_lost(int queue, uint32_t sequence)
{
	struct event e = { .h = { 77, 77 }, .e = { 77 } };

	EXPECT_EQ(sizeof(e.h), x_read(queue, &e, sizeof(e)));
	EXPECT_EQ(IOMMU_VEVENTQ_FLAG_LOST_EVENTS, e.h.flags);
	EXPECT_EQ(sequence, e.h.sequence);
	EXPECT_EQ(77, e.e.virt_id);
}

static void want_empty(int queue)
{
	struct event e;

	EXPECT_EQ(0, x_read(queue, &e, sizeof(e)));
}

TEST(alloc_checks, "30:IFD-175", "an event queue: flags, type, depth, then the VIOMMU; one of each type")
{
	struct iommu_veventq_alloc a = { .size = sizeof(a), .flags = 1, .type = TYPE };
	struct queue q, other, none;
	uint32_t w;

	begin();
	EXPECT_ERR(EOPNOTSUPP, x_ioctl(fd, IOMMU_VEVENTQ_ALLOC, &a));
	a.flags = 0;
	a.__reserved = 1;
	EXPECT_ERR(EOPNOTSUPP, x_ioctl(fd, IOMMU_VEVENTQ_ALLOC, &a));
	EXPECT_ERR(EOPNOTSUPP, veventq_alloc(fd, v, 0, 0, &none));
	EXPECT_ERR(EINVAL, veventq_alloc(fd, 99, TYPE, 0, &none));
	EXPECT_ERR(EINVAL, veventq_alloc(fd, 99, TYPE, (1u << 19) + 1, &none));
	EXPECT_ERR(ENOENT, veventq_alloc(fd, 99, TYPE, 1, &none));
	EXPECT_ERR(ENOENT, veventq_alloc(fd, parent, TYPE, 1, &none));
	EXPECT_OK(veventq_alloc(fd, v, TYPE, 1u << 19, &q));
	EXPECT_ERR(EEXIST, veventq_alloc(fd, v, TYPE, 1, &none));
	EXPECT_OK(veventq_alloc(fd, v, 1, 1, &other));
	EXPECT_ERR(EEXIST, veventq_alloc(fd, v, 1, 2, &none));
	w = viommu(fd, m.dev, parent);
	EXPECT_OK(veventq_alloc(fd, w, TYPE, 1, &none));
	EXPECT_OK(x_close(q.fd));
	EXPECT_ERR(EEXIST, veventq_alloc(fd, v, TYPE, 1, &none)); /* it is there still */
	EXPECT_OK(destroy(fd, q.id));
	EXPECT_OK(veventq_alloc(fd, v, TYPE, 1, &q));
	EXPECT_OK(x_close(q.fd));
	EXPECT_OK(x_close(other.fd));
}

TEST(held, "30:IFD-175 30:IFD-177", "an event queue holds its VIOMMU, and its descriptor the queue")
{
	struct queue q;

	begin();
	EXPECT_OK(mock_replace_id(fd, m.stdev, parent));
	EXPECT_OK(destroy(fd, vdev));
	q = veventq(fd, v, 2);
	if (test_door() != DOOR_CAPI)
		EXPECT_EQ(FD_CLOEXEC, fcntl(q.fd, F_GETFD));
	EXPECT_ERR(EBUSY, destroy(fd, v));
	EXPECT_ERR(EBUSY, destroy(fd, q.id));
	EXPECT_OK(x_close(q.fd));
	EXPECT_OK(destroy(fd, q.id));
	EXPECT_ERR(ENOENT, destroy(fd, q.id));
}

TEST(lengths, "30:IFD-177", "a read has room for a header, is at no other offset, and never waits; nobody writes")
{
	struct queue q;
	char buf[64];

	begin();
	q = veventq(fd, v, 2);
	EXPECT_ERR(EINVAL, x_read(q.fd, buf, 7));
	EXPECT_ERR(EINVAL, x_read(q.fd, buf, 0));
	EXPECT_EQ(0, x_read(q.fd, buf, 8));
	EXPECT_EQ(0, x_read(q.fd, buf, 9));
	EXPECT_EQ(0, x_read(q.fd, buf, sizeof(buf)));
	EXPECT_EQ(0, x_read(q.fd, (void *)8, 8));
	EXPECT_ERR(ESPIPE, x_pread(q.fd, buf, 8, 8));
	EXPECT_ERR(ESPIPE, x_pread(q.fd, buf, 8, 0)); /* a stream: any place is refused */
	EXPECT_ERR(ESPIPE, x_lseek(q.fd, 0, SEEK_CUR));
	EXPECT_ERR(EINVAL, x_write(q.fd, buf, 8));
	EXPECT_ERR(ENOTTY, x_ioctl(q.fd, IOMMU_DESTROY, buf));
	triggers(1);
	EXPECT_ERR(EINVAL, x_read(q.fd, buf, 7));
	EXPECT_ERR(EINVAL, x_read(q.fd, buf, 8));
	EXPECT_ERR(EINVAL, x_read(q.fd, buf, 11));
	EXPECT_ERR(EFAULT, x_read(q.fd, (void *)8, 12));
	want_event(q.fd, 0);
	want_empty(q.fd);
	EXPECT_OK(x_close(q.fd));
}

TEST(several, "30:IFD-177 31:TST-25", "a read takes as many whole events as fit, oldest first")
{
	struct event e[4] = { 0 };
	struct queue q;

	begin();
	q = veventq(fd, v, 8);
	triggers(5);
	EXPECT_EQ(2 * sizeof(e[0]), x_read(q.fd, e, 3 * sizeof(e[0]) - 1));
	EXPECT(e[0].h.sequence == 0 && e[1].h.sequence == 1 && e[2].h.sequence == 0);
	EXPECT(e[0].e.virt_id == 0x99 && e[1].e.virt_id == 0x99 && e[2].e.virt_id == 0);
	EXPECT_EQ(3 * sizeof(e[0]), x_read(q.fd, e, sizeof(e)));
	EXPECT(e[0].h.sequence == 2 && e[1].h.sequence == 3 && e[2].h.sequence == 4);
	want_empty(q.fd);
	triggers(1);
	want_event(q.fd, 5);
	EXPECT_OK(x_close(q.fd));
}

TEST(fault_in_copy, "30:IFD-177", "an event that cannot be written to memory stays, with those behind it")
{
	struct queue q;
	char *p;

	begin();
	q = veventq(fd, v, 4);
	p = ram(2 * PAGE);
	EXPECT_OK(mprotect(p + PAGE, PAGE, PROT_NONE));
	triggers(3);
	EXPECT_EQ(sizeof(struct event), x_read(q.fd, p + PAGE - 12, 36));
	want_event(q.fd, 1);
	EXPECT_ERR(EFAULT, x_read(q.fd, p + PAGE - 8, 12));
	want_event(q.fd, 2);
	want_empty(q.fd);
	EXPECT_OK(x_close(q.fd));
}

TEST(overflow, "30:IFD-176", "what does not fit is counted, and told by one header behind what did")
{
	struct queue q;

	begin();
	q = veventq(fd, v, 2);
	triggers(3);
	want_event(q.fd, 0);
	want_event(q.fd, 1);
	want_lost(q.fd, 2);
	want_empty(q.fd);
	triggers(6);
	want_event(q.fd, 3);
	want_event(q.fd, 4);
	want_lost(q.fd, 8);
	want_empty(q.fd);
	triggers(1);
	want_event(q.fd, 9);
	want_empty(q.fd);
	EXPECT_OK(x_close(q.fd));
}

TEST(overflow_replaced, "30:IFD-176", "an event that fits again takes the place of the header; the gap in the sequence tells")
{
	struct queue q;

	begin();
	q = veventq(fd, v, 2);
	triggers(4);
	want_event(q.fd, 0);
	triggers(1);
	want_event(q.fd, 1);
	want_event(q.fd, 4);
	want_empty(q.fd);
	triggers(4);
	want_event(q.fd, 5);
	triggers(2);
	want_event(q.fd, 6);
	want_event(q.fd, 9);
	want_lost(q.fd, 10);
	want_empty(q.fd);
	EXPECT_OK(x_close(q.fd));
}

TEST(overflow_read, "30:IFD-176 30:IFD-177", "the header fits where an event does not, and one read takes events and header")
{
	struct iommufd_vevent_header h;
	struct queue q;
	char buf[40];

	begin();
	q = veventq(fd, v, 1);
	triggers(2);
	EXPECT_ERR(EINVAL, x_read(q.fd, &h, sizeof(h)));
	EXPECT_EQ(12, x_read(q.fd, buf, 19));
	EXPECT_EQ(8, x_read(q.fd, &h, sizeof(h)));
	EXPECT(h.flags == IOMMU_VEVENTQ_FLAG_LOST_EVENTS && h.sequence == 1);
	triggers(2);
	EXPECT_EQ(20, x_read(q.fd, buf, sizeof(buf)));
	memcpy(&h, buf + 12, sizeof(h));
	EXPECT(h.flags == IOMMU_VEVENTQ_FLAG_LOST_EVENTS && h.sequence == 3);
	want_empty(q.fd);
	EXPECT_OK(x_close(q.fd));
}

#define EITHER (POLLIN | POLLOUT)

TEST(poll, "30:IFD-177", "poll says whether there is something to read")
{
	struct queue q;

	begin();
	q = veventq(fd, v, 1);
	EXPECT_EQ(0, x_poll(q.fd, EITHER, 0));
	triggers(1);
	EXPECT_EQ(POLLIN, x_poll(q.fd, EITHER, 0));
	triggers(1);
	want_event(q.fd, 0);
	EXPECT_EQ(POLLIN, x_poll(q.fd, EITHER, 0));
	want_lost(q.fd, 1);
	EXPECT_EQ(0, x_poll(q.fd, EITHER, 0));
	EXPECT_OK(x_close(q.fd));
}

TEST(whose, "31:TST-25 30:IFD-175", "events are of devices attached through the VIOMMU, for the queue of their type")
{
	struct queue q, other;
	struct mock plain;

	begin();
	plain = mock(fd, parent, 0);
	EXPECT_ERR(ENOENT, trigger_vevent(fd, 99));
	EXPECT_ERR(ENOENT, trigger_vevent(fd, m.stdev));
	EXPECT_ERR(ENOENT, trigger_vevent(fd, plain.dev));
	EXPECT_ERR(EOPNOTSUPP, trigger_vevent(fd, m.dev));
	EXPECT_OK(veventq_alloc(fd, v, 1, 4, &other));
	EXPECT_ERR(EOPNOTSUPP, trigger_vevent(fd, m.dev));
	q = veventq(fd, v, 4);
	vdevice(fd, v, plain.dev, 5); /* known, but not attached through it */
	EXPECT_ERR(ENOENT, trigger_vevent(fd, plain.dev));
	triggers(1);
	want_event(q.fd, 0);
	want_empty(other.fd);
	EXPECT_OK(mock_replace_id(fd, m.stdev, nested(fd, m.dev, parent, 0, 0)));
	EXPECT_ERR(ENOENT, trigger_vevent(fd, m.dev));
	want_empty(q.fd);
	EXPECT_OK(x_close(q.fd));
	EXPECT_OK(x_close(other.fd));
}

TEST(which_id, "31:TST-25 31:TST-40", "the virtual id in an event is that of the attachment, and 0 is none")
{
	struct event e = { 0 };
	uint32_t id, hwpt;
	struct queue q;

	begin();
	hwpt = nested(fd, m.dev, v, 0, 0);
	q = veventq(fd, v, 4);
	EXPECT_OK(destroy(fd, vdev));
	triggers(1);
	want_event(q.fd, 0);
	id = vdevice(fd, v, m.dev, 0x55);
	triggers(1);
	want_event(q.fd, 1);
	EXPECT_OK(mock_replace_id(fd, m.stdev, hwpt)); /* another HWPT of the same VIOMMU changes nothing */
	triggers(1);
	want_event(q.fd, 2);
	EXPECT_OK(mock_replace_id(fd, m.stdev, parent));
	EXPECT_OK(mock_replace_id(fd, m.stdev, hwpt));
	triggers(1);
	EXPECT_EQ(sizeof(e), x_read(q.fd, &e, sizeof(e)));
	EXPECT(e.e.virt_id == 0x55 && e.h.sequence == 3);
	EXPECT_OK(mock_replace_id(fd, m.stdev, parent));
	EXPECT_OK(destroy(fd, id));
	vdevice(fd, v, m.dev, 0);
	EXPECT_OK(mock_replace_id(fd, m.stdev, hwpt));
	EXPECT_ERR(ENOENT, trigger_vevent(fd, m.dev));
	EXPECT_OK(x_close(q.fd));
}

TEST(queue_of_two, "31:TST-25", "events of all devices of a VIOMMU share its queue")
{
	struct event e[2];
	struct mock second;
	struct queue q;

	begin();
	second = mock(fd, parent, 0);
	vdevice(fd, v, second.dev, 0xfffffffful);
	EXPECT_OK(mock_replace_id(fd, second.stdev, nested(fd, second.dev, v, 0, 0)));
	q = veventq(fd, v, 4);
	triggers(1);
	EXPECT_OK(trigger_vevent(fd, second.dev));
	EXPECT_EQ(sizeof(e), x_read(q.fd, e, sizeof(e)));
	EXPECT(e[0].e.virt_id == 0x99 && e[1].e.virt_id == 0xffffffff && e[1].h.sequence == 1);
	EXPECT_OK(x_close(q.fd));
}

TEST(closed_queue, "30:IFD-175 30:IFD-176", "a queue whose descriptor is closed still fills, until it is destroyed")
{
	struct queue q;

	begin();
	q = veventq(fd, v, 1);
	EXPECT_OK(x_close(q.fd));
	triggers(3);
	EXPECT_OK(destroy(fd, q.id));
	EXPECT_ERR(EOPNOTSUPP, trigger_vevent(fd, m.dev));
	q = veventq(fd, v, 1);
	triggers(1);
	want_event(q.fd, 0); /* it counts from the start */
	EXPECT_OK(x_close(q.fd));
}

TEST(outlives, "30:IFD-175 30:IFD-177", "the descriptor of a queue is good after that of its context is closed")
{
	struct queue q;

	begin();
	q = veventq(fd, v, 4);
	triggers(2);
	EXPECT_OK(x_close(fd));
	want_event(q.fd, 0);
	want_event(q.fd, 1);
	want_empty(q.fd);
	EXPECT_OK(x_close(q.fd));
}
