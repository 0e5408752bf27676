/* SPDX-License-Identifier: MIT */
/*
 * Page requests by real DMA: what the program is told of them, that its answer decides, and that nothing which ends a
 * device's DMA waits for a program that does not answer.
 */
#include "guest.h"

#define PLAIN   "0000:00:04.0" /* an edu that asks for nothing */
#define IOAT    "0000:00:05.0" /* asks, as EDU does */
#define NARROW  "0000:00:06.0" /* has PASIDs, and does not ask */
#define SUCCESS IOMMUFD_PAGE_RESP_SUCCESS
#define INVALID IOMMUFD_PAGE_RESP_INVALID

/* An edu in an address space whose faults go to a queue. Nothing is mapped. */
struct stage {
	struct edu e;
	struct queue q;
	uint32_t ioas, hwpt;
};

static struct stage stage(void)
{
	struct stage s = { .e = edu_take(EDU, iommu_open()) };

	s.q = fault_queue(s.e.ctx);
	s.ioas = ioas_alloc(s.e.ctx);
	s.hwpt = paging(s.e.ctx, s.e.id, s.ioas, FOR_PASID, s.q.id);
	EXPECT_OK(cdev_attach_to(s.e.device, s.hwpt));
	return s;
}

/* Two that are mapped, with which a device shows whether it works. */
struct pair {
	struct page from, to;
};

static struct pair pair(int ctx, uint32_t ioas)
{
	struct pair p = { page_at(0x800000), page_at(0x900000) };

	EXPECT_OK(page_map(ctx, ioas, p.from));
	EXPECT_OK(page_map(ctx, ioas, p.to));
	return p;
}

static bool works(const struct stage *s, struct pair p)
{
	return edu_moves(&s->e, 0, p.from, p.to);
}

/* The device has begun to read at @iova, and waits: the fault was read and not answered. */
static struct iommu_hwpt_pgfault waits(const struct stage *s, uint32_t pasid, uint64_t iova)
{
	struct iommu_hwpt_pgfault f;

	edu_start(&s->e, pasid, iova, BUFFER, 4);
	f = fault_next(s->q.fd);
	fault_is(&s->e, &f, pasid, iova & ~(PAGE - 1), IOMMU_PGFAULT_PERM_READ);
	EXPECT(edu_running(&s->e));
	return f;
}

/* What was asked is over, and nothing of it is left. */
static void is_over(const struct stage *s, const struct iommu_hwpt_pgfault *f)
{
	EXPECT_ERR(EINVAL, respond(s->q.fd, f->cookie, SUCCESS));
	EXPECT_EQ(0, x_poll(s->q.fd, POLLIN, 0));
}

/* ---- answers ---- */

TEST(success, "30:IFD-168", "DMA waits for a page; mapped and answered it goes on where it was, and the data arrives")
{
	struct stage s = stage();
	struct page from = page_at(0x200000), to = page_at(0x300000);
	struct iommu_hwpt_pgfault f;

	EXPECT_EQ(POLLOUT, x_poll(s.q.fd, POLLIN | POLLOUT, 0));
	*from.at = 0x600d600d;
	f = waits(&s, 0, from.iova);
	EXPECT_EQ(0, x_poll(s.q.fd, POLLIN, 0));
	EXPECT_OK(page_map(s.e.ctx, s.ioas, from));
	fault_answer(s.q.fd, &f, SUCCESS);
	edu_end(&s.e);
	is_over(&s, &f);
	edu_start(&s.e, 0, BUFFER, to.iova + 40, 4);
	f = fault_next(s.q.fd);
	fault_is(&s.e, &f, 0, to.iova, IOMMU_PGFAULT_PERM_WRITE);
	EXPECT_OK(page_map(s.e.ctx, s.ioas, to));
	fault_answer(s.q.fd, &f, SUCCESS);
	edu_end(&s.e);
	EXPECT_EQ(0x600d600d, to.at[10]);
	EXPECT_EQ(0, x_poll(s.q.fd, POLLIN, 0));
	edu_start(&s.e, 0, BUFFER, to.iova + 80, 4); /* without asking */
	edu_end(&s.e);
	EXPECT_EQ(0x600d600d, to.at[20]);
	EXPECT_EQ(0, x_poll(s.q.fd, POLLIN, 0));
}

TEST(refused, "30:IFD-169", "answered INVALID the transfer fails, and nothing is moved; the next one is asked for anew")
{
	struct stage s = stage();
	struct pair p = pair(s.e.ctx, s.ioas);
	struct iommu_hwpt_pgfault f;

	EXPECT(works(&s, p));
	f = waits(&s, 0, 0x200000);
	EXPECT_ERR(EINVAL, respond(s.q.fd, f.cookie, 2));
	EXPECT_ERR(EINVAL, respond(s.q.fd, f.cookie + 1, SUCCESS));
	EXPECT(edu_running(&s.e));
	fault_answer(s.q.fd, &f, INVALID);
	edu_end(&s.e);
	is_over(&s, &f);
	*p.to.at = 0x5555;
	edu_start(&s.e, 0, BUFFER, p.to.iova, 4); /* zeros, as where nothing can be read */
	edu_end(&s.e);
	EXPECT_EQ(0, *p.to.at);
	f = waits(&s, 0, 0x200000);
	fault_answer(s.q.fd, &f, INVALID);
	edu_end(&s.e);
	EXPECT(works(&s, p));
}

TEST(spaces, "30:IFD-168", "a request names its PASID, and another one's pages do not help it")
{
	struct stage s = stage();
	struct page p = page_at(0x200000);
	uint32_t other = ioas_alloc(s.e.ctx), hwpt = paging(s.e.ctx, s.e.id, other, FOR_PASID, s.q.id);
	struct pair out = pair(s.e.ctx, other);
	struct iommu_hwpt_pgfault f;

	EXPECT_OK(cdev_attach_pasid_to(s.e.device, 9, hwpt));
	EXPECT_OK(page_map(s.e.ctx, s.ioas, p)); /* the device's own has it */
	*p.at = 0x600d;
	f = waits(&s, 9, p.iova);
	EXPECT_OK(page_map(s.e.ctx, other, p));
	fault_answer(s.q.fd, &f, SUCCESS);
	edu_end(&s.e);
	edu_start(&s.e, 9, BUFFER, out.to.iova, 4);
	edu_end(&s.e);
	EXPECT_EQ(0x600d, *out.to.at);
	edu_start(&s.e, 8, p.iova, BUFFER, 4); /* nothing is attached: nobody is asked */
	edu_end(&s.e);
	EXPECT_EQ(0, x_poll(s.q.fd, POLLIN, 0));
}

TEST(rights, "30:IFD-168", "who may not write a page asks for it too")
{
	struct stage s = stage();
	struct pair p = pair(s.e.ctx, s.ioas);
	struct page only_read = page_at(0x200000);
	struct iommu_hwpt_pgfault f;

	EXPECT_OK(ioas_map(s.e.ctx, s.ioas, (void *)only_read.at, PAGE, READ | FIXED, &only_read.iova));
	EXPECT(edu_moves(&s.e, 0, only_read, p.to));
	edu_start(&s.e, 0, BUFFER, only_read.iova + 4, 4);
	f = fault_next(s.q.fd);
	fault_is(&s.e, &f, 0, only_read.iova, IOMMU_PGFAULT_PERM_WRITE);
	EXPECT_OK(ioas_unmap_n(s.e.ctx, s.ioas, only_read.iova, PAGE));
	EXPECT_OK(page_map(s.e.ctx, s.ioas, only_read));
	fault_answer(s.q.fd, &f, SUCCESS);
	edu_end(&s.e);
	EXPECT_EQ(only_read.at[0], only_read.at[1]);
}

TEST(page_by_page, "30:IFD-168", "a transfer over two pages asks for each, and all of it arrives")
{
	struct stage s = stage();
	volatile uint32_t *memory = ram(2 * PAGE);
	struct pair p = pair(s.e.ctx, s.ioas);
	struct iommu_hwpt_pgfault f;

	p.from.at[0] = 0x11111111;
	p.from.at[1] = 0x22222222;
	edu_start(&s.e, 0, p.from.iova, BUFFER, 8);
	edu_end(&s.e);
	edu_start(&s.e, 0, BUFFER, 0x200ffc, 8);
	for (unsigned i = 0; i < 2; i++) {
		f = fault_next(s.q.fd);
		fault_is(&s.e, &f, 0, 0x200000 + i * PAGE, IOMMU_PGFAULT_PERM_WRITE);
		EXPECT(edu_running(&s.e));
		EXPECT_OK(ioas_map_at(s.e.ctx, s.ioas, (char *)memory + i * PAGE, PAGE, 0x200000 + i * PAGE));
		fault_answer(s.q.fd, &f, SUCCESS);
	}
	edu_end(&s.e);
	EXPECT_EQ(0x11111111, memory[1023]);
	EXPECT_EQ(0x22222222, memory[1024]);
}

TEST(no_help, "30:IFD-168", "answers that bring no page are not asked for without end")
{
	struct stage s = stage();
	struct pair p = pair(s.e.ctx, s.ioas);
	struct iommu_hwpt_pgfault f;
	int asked = 0;

	edu_start(&s.e, 0, 0x200000, BUFFER, 4);
	for (; edu_running(&s.e); asked++) {
		for (int i = 0; i < GIVE_UP && edu_running(&s.e) && !x_poll(s.q.fd, POLLIN, 1); i++)
			;
		if (!edu_running(&s.e))
			break;
		f = fault_next(s.q.fd);
		fault_is(&s.e, &f, 0, 0x200000, IOMMU_PGFAULT_PERM_READ);
		fault_answer(s.q.fd, &f, SUCCESS);
		EXPECT(asked < 1000);
	}
	EXPECT(asked > 0);
	EXPECT(works(&s, p));
}

TEST(guests_fault, "30:IFD-168 30:IFD-153", "what a program's own tables lack is asked for where they are attached, and put there it goes on")
{
	struct guest g = guest_new(NONE, MAP_SHARED);
	const struct iommu_hwpt_vtd_s1 s1 = { .pgtbl_addr = GUEST, .addr_width = 48 };
	struct queue q = fault_queue(g.e.ctx);
	struct page from = guest_map(&g, 0, P | W | U), to = guest_page(&g, 1, VA + PAGE);
	struct iommu_hwpt_pgfault f;
	uint32_t id = 0;

	EXPECT_OK(hwpt_alloc_data(g.e.ctx, g.e.id, g.parent, FOR_PASID | FAULTING, q.id, IOMMU_HWPT_DATA_VTD_S1, &s1, sizeof(s1),
				  &id));
	EXPECT_OK(cdev_attach_pasid_to(g.e.device, 0x1234, id));
	*from.at = 0x600d;
	edu_start(&g.e, 0x1234, from.iova, BUFFER, 4);
	edu_end(&g.e);
	edu_start(&g.e, 0x1234, BUFFER, to.iova, 4);
	f = fault_next(q.fd);
	fault_is(&g.e, &f, 0x1234, to.iova, IOMMU_PGFAULT_PERM_WRITE);
	EXPECT_EQ(to.iova, guest_map(&g, 1, P | W | U).iova);
	fault_answer(q.fd, &f, SUCCESS);
	edu_end(&g.e);
	EXPECT_EQ(0x600d, *to.at);
	EXPECT_EQ(D, *guest_entry(&g, to.iova, 0) & D);
}

TEST(two_devices, "30:IFD-169", "answers reach the device that asked, in whatever order")
{
	struct stage s = stage();
	struct edu other = edu_take(IOAT, s.e.ctx);
	struct pair p = pair(s.e.ctx, s.ioas);
	uint64_t chain = 0x400000, status = 0;
	struct iommu_hwpt_pgfault f[2];
	uint8_t reset = 0x20;
	uint16_t one = 1;

	EXPECT_OK(cdev_attach_to(other.device, s.hwpt));
	f[0] = waits(&s, 0, 0x200000);
	EXPECT_EQ(1, x_pwrite(other.device, &reset, 1, REGION(0) + 0x84));
	EXPECT_EQ(8, x_pwrite(other.device, &chain, 8, REGION(0) + 0x90));
	EXPECT_EQ(2, x_pwrite(other.device, &one, 2, REGION(0) + 0x86));
	f[1] = fault_next(s.q.fd);
	fault_is(&other, &f[1], 0, chain, IOMMU_PGFAULT_PERM_READ);
	EXPECT(f[0].cookie != f[1].cookie);
	fault_answer(s.q.fd, &f[1], INVALID);
	for (int i = 0; i < GIVE_UP && (status & 7) != 3; i++) { /* halted */
		EXPECT_EQ(8, x_pread(other.device, &status, 8, REGION(0) + 0x88));
		usleep(1000);
	}
	EXPECT_EQ(3, status & 7);
	EXPECT(edu_running(&s.e));
	fault_answer(s.q.fd, &f[0], INVALID);
	edu_end(&s.e);
	EXPECT(works(&s, p));
}

/* ---- ends of DMA that nobody answers ---- */

TEST(detached, "30:IFD-170", "DETACH ends what is asked for, read or not, and its cookie is void")
{
	struct stage s = stage();
	struct pair p = pair(s.e.ctx, s.ioas);
	struct iommu_hwpt_pgfault f = waits(&s, 0, 0x200000);

	EXPECT_OK(cdev_detach(s.e.device));
	edu_end(&s.e);
	is_over(&s, &f);
	EXPECT(!works(&s, p));
	EXPECT_OK(cdev_attach_to(s.e.device, s.hwpt));
	EXPECT(works(&s, p));
	edu_start(&s.e, 0, 0x200000, BUFFER, 4);
	EXPECT_EQ(POLLIN, x_poll(s.q.fd, POLLIN, GIVE_UP));
	EXPECT_OK(cdev_detach(s.e.device)); /* before it is read */
	edu_end(&s.e);
	EXPECT_EQ(0, x_poll(s.q.fd, POLLIN, 0));
	EXPECT_EQ(0, x_read(s.q.fd, &f, sizeof(f)));
}

TEST(pasid_detached, "30:IFD-170", "DETACH of a PASID ends what is asked for with it, that of another one nothing")
{
	struct stage s = stage();
	struct iommu_hwpt_pgfault f;

	EXPECT_OK(cdev_attach_pasid_to(s.e.device, 1, s.hwpt));
	EXPECT_OK(cdev_attach_pasid_to(s.e.device, 2, s.hwpt));
	f = waits(&s, 1, 0x200000);
	EXPECT_OK(cdev_detach_pasid(s.e.device, 2));
	EXPECT_OK(cdev_detach(s.e.device));
	EXPECT(edu_running(&s.e));
	EXPECT_OK(cdev_detach_pasid(s.e.device, 1));
	edu_end(&s.e);
	is_over(&s, &f);
}

TEST(replaced, "30:IFD-170", "a replace ends what was asked for before, also by an HWPT of the same queue; later faults are the new one's")
{
	struct stage s = stage();
	struct queue q = fault_queue(s.e.ctx);
	const uint32_t same = paging(s.e.ctx, s.e.id, s.ioas, FOR_PASID, s.q.id),
		       quiet = paging(s.e.ctx, s.e.id, s.ioas, FOR_PASID, 0),
		       other = paging(s.e.ctx, s.e.id, s.ioas, FOR_PASID, q.id);
	struct pair p = pair(s.e.ctx, s.ioas);
	struct iommu_hwpt_pgfault f = waits(&s, 0, 0x200000);

	EXPECT_OK(cdev_attach_to(s.e.device, same));
	edu_end(&s.e);
	is_over(&s, &f);
	f = waits(&s, 0, 0x200000);
	EXPECT_OK(cdev_attach_to(s.e.device, quiet));
	edu_end(&s.e);
	is_over(&s, &f);
	edu_start(&s.e, 0, 0x200000, BUFFER, 4); /* asks nobody */
	edu_end(&s.e);
	EXPECT_EQ(0, x_poll(s.q.fd, POLLIN, 0));
	EXPECT_OK(cdev_attach_to(s.e.device, other));
	edu_start(&s.e, 0, 0x200000, BUFFER, 4);
	f = fault_next(q.fd);
	EXPECT_EQ(0, x_poll(s.q.fd, POLLIN, 0));
	fault_answer(q.fd, &f, INVALID);
	edu_end(&s.e);
	EXPECT(works(&s, p));
}

TEST(reset, "30:IFD-170 20:RST-02", "VFIO_DEVICE_RESET ends it; the device stays attached, and asks again")
{
	struct stage s = stage();
	struct pair p = pair(s.e.ctx, s.ioas);
	struct iommu_hwpt_pgfault f = waits(&s, 0, 0x200000);

	EXPECT_EQ(0x1234, config_read(s.e.device, 0, 2)); /* it answers meanwhile */
	*(volatile uint32_t *)(s.e.bar + 4) = 5;
	EXPECT_EQ(~5u, *(volatile uint32_t *)(s.e.bar + 4));
	EXPECT_OK(x_ioctl(s.e.device, VFIO_DEVICE_RESET, NULL));
	EXPECT(!edu_running(&s.e));
	config_write(s.e.device, 4, 2, config_read(s.e.device, 4, 2) | 6);
	EXPECT(works(&s, p));
	f = waits(&s, 0, 0x200000);
	config_write(s.e.device, 4, 2, config_read(s.e.device, 4, 2) & ~4u); /* no bus master any more */
	edu_end(&s.e);
	config_write(s.e.device, 4, 2, config_read(s.e.device, 4, 2) | 4);
	EXPECT(works(&s, p));
	f = waits(&s, 0, 0x200000);
	fault_answer(s.q.fd, &f, INVALID);
	edu_end(&s.e);
}

TEST(closed, "30:IFD-170 30:IFD-150", "closing the device ends it, with a PASID or without, and all that it used can be destroyed")
{
	struct stage s = stage();
	struct iommu_hwpt_pgfault f;

	EXPECT_OK(cdev_attach_pasid_to(s.e.device, 3, s.hwpt));
	f = waits(&s, 3, 0x200000);
	EXPECT_OK(x_munmap((void *)s.e.bar, PAGE));
	EXPECT_OK(x_close(s.e.device));
	is_over(&s, &f);
	EXPECT_OK(destroy(s.e.ctx, s.hwpt));
	EXPECT_ERR(EBUSY, destroy(s.e.ctx, s.q.id));
	EXPECT_OK(x_close(s.q.fd));
	EXPECT_OK(destroy(s.e.ctx, s.q.id));
}

TEST(queue_closed, "30:IFD-171", "a queue is kept by its descriptor, then by its HWPT; closed with a fault in it that waits, all the same")
{
	struct stage s = stage();
	struct pair p = pair(s.e.ctx, s.ioas);

	waits(&s, 0, 0x200000);
	EXPECT_ERR(EBUSY, destroy(s.e.ctx, s.q.id));
	EXPECT_OK(x_close(s.q.fd));
	EXPECT_ERR(EBUSY, destroy(s.e.ctx, s.q.id));
	EXPECT(edu_running(&s.e));
	EXPECT_OK(cdev_detach(s.e.device));
	edu_end(&s.e);
	EXPECT_OK(destroy(s.e.ctx, s.hwpt));
	EXPECT_OK(destroy(s.e.ctx, s.q.id));
	EXPECT_OK(cdev_attach_to(s.e.device, s.ioas));
	EXPECT(works(&s, p));
}

TEST(everything_closed, "30:IFD-170", "all descriptors can be closed while a fault waits, and the device be used anew")
{
	struct stage s = stage();
	struct pair p;

	waits(&s, 0, 0x200000);
	EXPECT_OK(x_close(s.e.ctx));
	EXPECT_OK(x_close(s.q.fd));
	EXPECT_OK(x_munmap((void *)s.e.bar, PAGE));
	EXPECT_OK(x_close(s.e.device));
	s = stage();
	EXPECT(!edu_running(&s.e));
	p = pair(s.e.ctx, s.ioas);
	EXPECT(works(&s, p));
	waits(&s, 0, 0x200000); /* and so the test ends */
}

/* ---- who asks nobody ---- */

TEST(not_asking, "30:IFD-154", "an HWPT with a queue takes no device that asks for nothing: ENODEV, also for a PASID and in a replace")
{
	int ctx = iommu_open();
	struct edu plain = edu_take(PLAIN, ctx), narrow = edu_take(NARROW, ctx);
	struct queue q = fault_queue(ctx);
	uint32_t ioas = ioas_alloc(ctx), hwpt = paging(ctx, narrow.id, ioas, FOR_PASID, q.id);
	struct pair p = pair(ctx, ioas);
	uint32_t quiet = paging(ctx, narrow.id, ioas, FOR_PASID, 0);

	EXPECT_ERR(ENODEV, cdev_attach_to(plain.device, hwpt));
	EXPECT_ERR(ENODEV, cdev_attach_to(narrow.device, hwpt));
	EXPECT_ERR(ENODEV, cdev_attach_pasid_to(narrow.device, 1, hwpt));
	EXPECT_OK(cdev_attach_to(narrow.device, quiet));
	EXPECT_OK(cdev_attach_pasid_to(narrow.device, 1, quiet));
	EXPECT_ERR(ENODEV, cdev_attach_to(narrow.device, hwpt));
	EXPECT_ERR(ENODEV, cdev_attach_pasid_to(narrow.device, 1, hwpt));
	EXPECT(edu_moves(&narrow, 0, p.from, p.to) && edu_moves(&narrow, 1, p.from, p.to));
	EXPECT_OK(destroy(ctx, hwpt));
}
