/* SPDX-License-Identifier: MIT */
/* Page faults of mock devices: which queue they come to, how they are read and answered, and when they are dropped. */
#include "nested.h"
#include <poll.h>

#define SUCCESS IOMMUFD_PAGE_RESP_SUCCESS
#define INVALID IOMMUFD_PAGE_RESP_INVALID
#define MESSAGE sizeof(struct iommu_hwpt_pgfault)

static int fd;
static uint32_t ioas, parent, rid;
static struct queue q;
static struct mock m;

/* A context with a device of PASIDs on @rid, a nest parent that is good for PASIDs too, and a fault queue */
static void begin_idle(void)
{
	fd = iommu_open();
	ioas = ioas_alloc(fd);
	m = mock(fd, ioas, MOCK_FLAGS_DEVICE_PASID);
	rid = parent = paging(fd, m.dev, ioas, PARENT | FOR_PASID, 0);
	EXPECT_OK(mock_replace_id(fd, m.stdev, parent));
	q = fault_queue(fd);
}

/* The same, and the device is on a nested HWPT whose faults come to the queue */
static void begin(void)
{
	begin_idle();
	rid = nested(fd, m.dev, parent, FOR_PASID, q.id);
	EXPECT_OK(mock_replace_id(fd, m.stdev, rid));
}

static void fault(uint32_t pasid, uint32_t grpid)
{
	EXPECT_OK(trigger_iopf(fd, m.dev, pasid, grpid, 0xabc000));
}

/* Reads one fault of @dev, and checks all of it but its cookie, which is returned */
static uint32_t want_of(int queue, uint32_t dev, uint32_t pasid, uint32_t grpid)
{
	struct iommu_hwpt_pgfault f = { .__reserved = 77, .length = 77 };

	EXPECT_EQ(MESSAGE, x_read(queue, &f, MESSAGE));
	EXPECT_EQ(IOMMU_PGFAULT_FLAGS_LAST_PAGE | (pasid ? IOMMU_PGFAULT_FLAGS_PASID_VALID : 0u), f.flags);
	EXPECT_EQ(dev, f.dev_id);
	EXPECT_EQ(pasid, f.pasid);
	EXPECT_EQ(grpid, f.grpid);
	EXPECT_EQ(IOMMU_PGFAULT_PERM_READ | IOMMU_PGFAULT_PERM_WRITE, f.perm);
	EXPECT_EQ(0, f.__reserved);
	EXPECT_EQ(0xabc000, f.addr);
	EXPECT_EQ(0, f.length);
	return f.cookie;
}

static uint32_t want(uint32_t pasid, uint32_t grpid)
{
	return want_of(q.fd, m.dev, pasid, grpid);
}

static void want_none(int queue)
{
	struct iommu_hwpt_pgfault f;

	EXPECT_EQ(0, x_read(queue, &f, MESSAGE));
}

static void done(void)
{
	EXPECT_OK(x_close(q.fd));
}

TEST(alloc_checks, "30:IFD-168 30:IFD-171", "a fault queue has no flags, and a descriptor of its own")
{
	struct iommu_fault_alloc a = { .size = sizeof(a), .flags = 1 }, *constant;
	uint32_t free_id;

	begin_idle();
	EXPECT_ERR(EOPNOTSUPP, x_ioctl(fd, IOMMU_FAULT_QUEUE_ALLOC, &a));
	free_id = next_id(fd);
	constant = ram(PAGE);
	*constant = (struct iommu_fault_alloc){ .size = sizeof(a) };
	EXPECT_OK(mprotect(constant, PAGE, PROT_READ));
	EXPECT_ERR(EFAULT, x_ioctl(fd, IOMMU_FAULT_QUEUE_ALLOC, constant));
	EXPECT_EQ(free_id, next_id(fd));
	if (test_door() != DOOR_CAPI) {
		EXPECT_EQ(FD_CLOEXEC, fcntl(q.fd, F_GETFD));
		EXPECT_EQ(O_RDWR, fcntl(q.fd, F_GETFL) & O_ACCMODE);
	}
	EXPECT_ERR(ESPIPE, x_lseek(q.fd, 0, SEEK_CUR));
	EXPECT_ERR(ENOTTY, x_ioctl(q.fd, IOMMU_DESTROY, &a));
	done();
}

TEST(message, "30:IFD-168 30:IFD-169 31:TST-23", "a fault is read once, and answered once")
{
	uint32_t cookie;

	begin();
	want_none(q.fd);
	EXPECT_ERR(ENOENT, trigger_iopf(fd, 99, 0, 1, 0));
	EXPECT_ERR(ENOENT, trigger_iopf(fd, m.stdev, 0, 1, 0));
	fault(0, 7);
	cookie = want(0, 7);
	EXPECT_EQ(1, cookie);
	want_none(q.fd);
	EXPECT_ERR(EINVAL, respond(q.fd, cookie + 1, SUCCESS));
	EXPECT_ERR(EINVAL, respond(q.fd, cookie, 2));
	EXPECT_EQ(8, respond(q.fd, cookie, SUCCESS));
	EXPECT_ERR(EINVAL, respond(q.fd, cookie, SUCCESS));
	fault(3, 9);
	EXPECT_EQ(1, want(3, 9)); /* the cookie is free again */
	EXPECT_EQ(8, respond(q.fd, 1, INVALID));
	done();
}

TEST(lengths, "30:IFD-168 30:IFD-169", "whole messages, at no other offset")
{
	struct iommu_hwpt_pgfault f[3] = { 0 };
	struct iommu_hwpt_page_response r[2] = { { 1, 0 }, { 2, 0 } };

	begin();
	EXPECT_EQ(0, x_read(q.fd, f, 0));
	EXPECT_EQ(0, x_read(q.fd, f, 3 * MESSAGE));
	EXPECT_EQ(0, x_read(q.fd, (void *)8, MESSAGE));
	EXPECT_ERR(ESPIPE, x_read(q.fd, f, MESSAGE - 1));
	EXPECT_ERR(ESPIPE, x_read(q.fd, f, MESSAGE + 8));
	EXPECT_ERR(ESPIPE, x_pread(q.fd, f, MESSAGE, MESSAGE));
	EXPECT_ERR(ESPIPE, x_pread(q.fd, f, MESSAGE, 0)); /* a stream: any place is refused */
	fault(0, 1);
	fault(0, 2);
	EXPECT_ERR(ESPIPE, x_read(q.fd, f, 8));
	EXPECT_ERR(EFAULT, x_read(q.fd, (void *)8, MESSAGE));
	EXPECT_EQ(MESSAGE, x_read(q.fd, f, MESSAGE));
	EXPECT(f[0].grpid == 1 && f[0].cookie == 1 && f[1].grpid == 0);
	EXPECT_EQ(MESSAGE, x_read(q.fd, f, 3 * MESSAGE));
	EXPECT(f[0].grpid == 2 && f[0].cookie == 2);
	EXPECT_EQ(0, x_write(q.fd, r, 0));
	EXPECT_ERR(ESPIPE, x_write(q.fd, r, 7));
	EXPECT_ERR(ESPIPE, x_write(q.fd, r, 12));
	EXPECT_ERR(ESPIPE, x_pwrite(q.fd, r, 8, 8));
	EXPECT_ERR(EFAULT, x_write(q.fd, (void *)8, 8));
	EXPECT_EQ(16, x_write(q.fd, r, 16));
	done();
}

TEST(no_room, "30:IFD-168", "no room for the first group: EINVAL")
{
	char buf[MESSAGE];

	begin();
	fault(0, 1);
	EXPECT_ERR(EINVAL, x_read(q.fd, buf, 0));
	want(0, 1);
	done();
}

TEST(several, "30:IFD-168 30:IFD-169", "one read takes what fits; cookies are the lowest free ones")
{
	struct iommu_hwpt_pgfault f[4] = { 0 };

	begin();
	for (uint32_t i = 0; i < 3; i++)
		fault(i, i);
	EXPECT_EQ(2 * MESSAGE, x_read(q.fd, f, 2 * MESSAGE));
	EXPECT(f[0].cookie == 1 && f[1].cookie == 2 && f[0].pasid == 0 && f[1].pasid == 1);
	EXPECT_EQ(8, respond(q.fd, 1, SUCCESS));
	fault(0, 0); /* the same numbers are another fault */
	EXPECT_EQ(2 * MESSAGE, x_read(q.fd, f, sizeof(f)));
	EXPECT(f[0].grpid == 2 && f[1].grpid == 0);
	EXPECT(f[0].cookie == 1 && f[1].cookie == 3);
	done();
}

TEST(answers, "30:IFD-169", "answers before a bad one count")
{
	struct iommu_hwpt_page_response r[3] = { { 1, SUCCESS }, { 2, 2 }, { 3, SUCCESS } };
	struct iommu_hwpt_pgfault f[3];
	char *p;

	begin();
	for (uint32_t i = 0; i < 3; i++)
		fault(0, i);
	EXPECT_EQ(sizeof(f), x_read(q.fd, f, sizeof(f)));
	EXPECT_EQ(8, x_write(q.fd, r, sizeof(r)));
	EXPECT_ERR(EINVAL, respond(q.fd, 1, SUCCESS));
	p = ram(2 * PAGE);
	EXPECT_OK(mprotect(p + PAGE, PAGE, PROT_NONE));
	r[1].code = INVALID;
	memcpy(p + PAGE - 8, &r[1], 8);
	EXPECT_EQ(8, x_write(q.fd, p + PAGE - 8, 16));
	EXPECT_ERR(EINVAL, respond(q.fd, 2, SUCCESS));
	EXPECT_EQ(8, respond(q.fd, 3, SUCCESS)); /* it was behind the bad one */
	EXPECT_ERR(EINVAL, respond(q.fd, 0, SUCCESS));
	done();
}

TEST(read_fault, "30:IFD-168", "a fault that cannot be written to memory stays, with those behind it")
{
	char *p;

	begin();
	p = ram(2 * PAGE);
	EXPECT_OK(mprotect(p + PAGE, PAGE, PROT_NONE));
	for (uint32_t i = 1; i < 4; i++)
		fault(0, i);
	EXPECT_EQ(MESSAGE, x_read(q.fd, p + PAGE - MESSAGE - 4, 3 * MESSAGE));
	EXPECT_EQ(2, want(0, 2));
	EXPECT_ERR(EFAULT, x_read(q.fd, p + PAGE - 4, MESSAGE));
	EXPECT_EQ(3, want(0, 3));
	want_none(q.fd);
	done();
}

TEST(poll, "30:IFD-168", "poll: there is always room for an answer, and something to read when there is")
{
	const int either = POLLIN | POLLOUT;

	begin();
	EXPECT_EQ(POLLOUT, x_poll(q.fd, either, 0));
	fault(0, 1);
	EXPECT_EQ(either, x_poll(q.fd, either, 0));
	want(0, 1);
	EXPECT_EQ(POLLOUT, x_poll(q.fd, either, 0));
	fault(0, 2);
	EXPECT_OK(mock_replace_id(fd, m.stdev, parent));
	EXPECT_EQ(POLLOUT, x_poll(q.fd, either, 0));
	done();
}

TEST(held, "30:IFD-171 30:IFD-154", "a queue stays while it is open, or an HWPT names it")
{
	uint32_t plain;

	begin_idle();
	plain = paging(fd, m.dev, ioas, 0, q.id);
	EXPECT_ERR(EBUSY, destroy(fd, q.id));
	EXPECT_OK(destroy(fd, plain));
	EXPECT_ERR(EBUSY, destroy(fd, q.id));
	rid = nested(fd, m.dev, parent, 0, q.id);
	done();
	EXPECT_ERR(EBUSY, destroy(fd, q.id));
	EXPECT_OK(destroy(fd, rid));
	EXPECT_OK(destroy(fd, q.id));
	EXPECT_ERR(ENOENT, nested_alloc(fd, m.dev, parent, 0, q.id, &rid));
}

TEST(closed, "30:IFD-171 30:IFD-170", "faults come to a queue whose descriptor is closed, and go with it")
{
	begin();
	done();
	fault(0, 1);
	EXPECT_OK(mock_replace_id(fd, m.stdev, parent));
	EXPECT_OK(destroy(fd, rid));
	EXPECT_OK(destroy(fd, q.id));
}

TEST(outlives, "30:IFD-171 30:IFD-168", "the descriptor is good after that of its context is closed")
{
	begin();
	fault(0, 4);
	EXPECT_OK(x_close(fd));
	EXPECT_EQ(8, respond(q.fd, want(0, 4), SUCCESS));
	done();
}

TEST(paging_faults, "31:TST-23 30:IFD-154", "faults of a paging HWPT come without PASID; with one they are dropped")
{
	begin_idle();
	fault(0, 1); /* no queue yet */
	EXPECT_OK(mock_replace_id(fd, m.stdev, paging(fd, m.dev, ioas, FOR_PASID, q.id)));
	want_none(q.fd);
	fault(0, 2);
	fault(5, 3);
	fault(0, 4);
	want(0, 2);
	want(0, 4);
	want_none(q.fd);
	done();
}

TEST(routing, "31:TST-23", "a fault goes to the HWPT of its PASID, else to the nested one of the device")
{
	struct queue other;
	uint32_t at_pasid, quiet;

	begin();
	other = fault_queue(fd);
	at_pasid = paging(fd, m.dev, ioas, FOR_PASID, other.id);
	quiet = paging(fd, m.dev, ioas, FOR_PASID, 0);
	fault(0, 1);
	fault(5, 2);
	want(0, 1);
	want(5, 2);
	EXPECT_OK(pasid_attach(fd, m.stdev, 5, at_pasid));
	EXPECT_OK(pasid_attach(fd, m.stdev, 6, quiet));
	fault(0, 3);
	fault(5, 4);
	fault(6, 5); /* to an HWPT without a queue: dropped */
	fault(7, 6);
	want(0, 3);
	want(7, 6);
	want_none(q.fd);
	want_of(other.fd, m.dev, 5, 4);
	want_none(other.fd);
	EXPECT_OK(pasid_detach(fd, m.stdev, 5));
	fault(5, 7);
	want(5, 7);
	want_none(other.fd);
	EXPECT_OK(pasid_detach(fd, m.stdev, 6));
	EXPECT_OK(x_close(other.fd));
	done();
}

TEST(routing_quiet, "31:TST-23", "a nested HWPT without a queue drops what is for it, also when a PASID has a queue")
{
	uint32_t quiet;

	begin();
	quiet = nested(fd, m.dev, parent, FOR_PASID, 0);
	EXPECT_OK(mock_replace_id(fd, m.stdev, quiet));
	EXPECT_OK(pasid_attach(fd, m.stdev, 5, rid));
	fault(0, 1);
	fault(6, 2);
	fault(5, 3);
	want(5, 3);
	want_none(q.fd);
	EXPECT_OK(pasid_detach(fd, m.stdev, 5));
	fault(5, 4);
	want_none(q.fd);
	done();
}

TEST(replaced, "30:IFD-170", "an HWPT that is replaced takes its faults with it, read or not")
{
	uint32_t cookie;

	begin();
	fault(0, 1);
	fault(0, 2);
	cookie = want(0, 1);
	EXPECT_OK(mock_replace_id(fd, m.stdev, rid)); /* by itself: nothing happens */
	fault(0, 3);
	want(0, 2);
	EXPECT_OK(mock_replace_id(fd, m.stdev, parent));
	EXPECT_ERR(EINVAL, respond(q.fd, cookie, SUCCESS));
	EXPECT_ERR(EINVAL, respond(q.fd, cookie + 1, SUCCESS));
	want_none(q.fd);
	fault(0, 4);
	want_none(q.fd);
	EXPECT_OK(mock_replace_id(fd, m.stdev, rid));
	want_none(q.fd);
	fault(0, 5);
	EXPECT_EQ(8, respond(q.fd, want(0, 5), SUCCESS));
	done();
}

TEST(replaced_by_faulting, "30:IFD-170", "also when the other HWPT has a queue, even the same")
{
	struct queue other;
	uint32_t cookie, next;

	begin();
	other = fault_queue(fd);
	fault(0, 1);
	cookie = want(0, 1);
	fault(0, 2);
	EXPECT_OK(mock_replace_id(fd, m.stdev, nested(fd, m.dev, parent, FOR_PASID, q.id)));
	EXPECT_ERR(EINVAL, respond(q.fd, cookie, SUCCESS));
	want_none(q.fd);
	fault(0, 3);
	cookie = want(0, 3);
	fault(0, 4);
	EXPECT_OK(mock_replace_id(fd, m.stdev, paging(fd, m.dev, ioas, FOR_PASID, other.id)));
	EXPECT_ERR(EINVAL, respond(q.fd, cookie, SUCCESS));
	fault(0, 5);
	want_none(q.fd);
	next = want_of(other.fd, m.dev, 0, 5);
	EXPECT_ERR(EINVAL, respond(q.fd, next, SUCCESS));
	EXPECT_EQ(8, respond(other.fd, next, SUCCESS));
	EXPECT_OK(x_close(other.fd));
	done();
}

TEST(refused_replace, "30:IFD-170", "a replacement that fails leaves the faults")
{
	uint32_t cookie, plain;

	begin();
	plain = paging(fd, m.dev, ioas, 0, 0);
	EXPECT_OK(pasid_attach(fd, m.stdev, 5, parent));
	fault(0, 1);
	fault(0, 2);
	cookie = want(0, 1);
	EXPECT_ERR(EINVAL, mock_replace_id(fd, m.stdev, plain));
	EXPECT_EQ(8, respond(q.fd, cookie, SUCCESS));
	EXPECT_EQ(8, respond(q.fd, want(0, 2), SUCCESS));
	EXPECT_OK(pasid_detach(fd, m.stdev, 5));
	done();
}

TEST(detached, "30:IFD-170", "a device that goes takes its faults; another's on the same HWPT stay")
{
	uint32_t mine, theirs;
	struct mock second;

	begin();
	second = mock(fd, rid, MOCK_FLAGS_DEVICE_PASID);
	fault(0, 1);
	EXPECT_OK(trigger_iopf(fd, second.dev, 0, 2, 0xabc000));
	mine = want(0, 1);
	theirs = want_of(q.fd, second.dev, 0, 2);
	EXPECT_OK(trigger_iopf(fd, second.dev, 0, 3, 0xabc000));
	fault(0, 4);
	EXPECT_OK(destroy(fd, second.stdev));
	EXPECT_ERR(EINVAL, respond(q.fd, theirs, SUCCESS));
	EXPECT_EQ(8, respond(q.fd, mine, SUCCESS));
	EXPECT_EQ(8, respond(q.fd, want(0, 4), INVALID));
	want_none(q.fd);
	done();
}

TEST(pasid_detached, "30:IFD-170 31:TST-26", "a PASID that goes or moves takes its own faults, no others")
{
	uint32_t one, two, none;

	begin();
	EXPECT_OK(pasid_attach(fd, m.stdev, 5, rid));
	EXPECT_OK(pasid_attach(fd, m.stdev, 6, rid));
	fault(5, 1);
	fault(6, 2);
	fault(0, 3);
	one = want(5, 1);
	two = want(6, 2);
	none = want(0, 3);
	fault(6, 4);
	EXPECT_OK(pasid_detach(fd, m.stdev, 5));
	EXPECT_ERR(EINVAL, respond(q.fd, one, SUCCESS));
	EXPECT_OK(pasid_replace(fd, m.stdev, 6, parent));
	EXPECT_ERR(EINVAL, respond(q.fd, two, SUCCESS));
	want_none(q.fd);
	fault(6, 5);
	want_none(q.fd);
	EXPECT_EQ(8, respond(q.fd, none, SUCCESS));
	EXPECT_OK(pasid_detach(fd, m.stdev, 6));
	done();
}

TEST(through_viommu, "31:TST-23 30:IFD-170", "faults of an HWPT that a VIOMMU made come as others do")
{
	uint32_t v, cookie;

	begin_idle();
	v = viommu(fd, m.dev, parent);
	vdevice(fd, v, m.dev, 0x20);
	EXPECT_OK(mock_replace_id(fd, m.stdev, nested(fd, m.dev, v, 0, q.id)));
	fault(0, 1);
	fault(5, 2);
	cookie = want(0, 1);
	EXPECT_EQ(8, respond(q.fd, want(5, 2), SUCCESS));
	EXPECT_OK(mock_replace_id(fd, m.stdev, parent));
	EXPECT_ERR(EINVAL, respond(q.fd, cookie, SUCCESS));
	done();
}
