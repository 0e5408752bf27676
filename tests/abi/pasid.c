/* SPDX-License-Identifier: MIT */
/*
 * What real DMA does with PASIDs, with page faults and with a guest's own page tables: an edu that says PASIDs and asks for
 * pages (tests/machines/pasid.yaml). The register of its PASID is uvfio's own, so no other kernel has such a device.
 */
#include "cdev.h"
#include "nested.h"

#define NO_PASIDS "0000:00:04.0"
#define BUFFER    0x40000ull /* edu's */
#define IOVA      0x200000ull

static int ctx, device;
static uint32_t dev_id;
static volatile uint32_t *bar;

static void begin(void)
{
	ctx = iommu_open();
	device = cdev_take(EDU);
	EXPECT_OK(cdev_bind_flags(device, ctx, sizeof(struct vfio_device_bind_iommufd), 0, &dev_id));
	bar = x_mmap(NULL, 0x100000, PROT_READ | PROT_WRITE, MAP_SHARED, device, REGION(0));
	EXPECT((void *)bar != MAP_FAILED);
	config_write(device, 4, 2, config_read(device, 4, 2) | 6);
}

static int attach_pasid(int fd, uint32_t pasid, uint32_t pt)
{
	struct vfio_device_attach_iommufd_pt a = { .argsz = sizeof(a), .flags = VFIO_DEVICE_ATTACH_PASID, .pt_id = pt,
						   .pasid = pasid };

	return x_ioctl(fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &a);
}

static int detach_pasid(uint32_t pasid)
{
	struct vfio_device_detach_iommufd_pt d = { .argsz = sizeof(d), .flags = VFIO_DEVICE_DETACH_PASID, .pasid = pasid };

	return x_ioctl(device, VFIO_DEVICE_DETACH_IOMMUFD_PT, &d);
}

/* An address space with one page at IOVA, which begins with @word; NULL: with none. */
static uint32_t space_with(uint32_t *page, uint32_t word)
{
	uint32_t id = ioas_alloc(ctx);

	if (page) {
		page[0] = word;
		EXPECT_OK(ioas_map_at(ctx, id, page, PAGE, IOVA));
	}
	return id;
}

static void pasid_select(uint32_t pasid)
{
	bar[0xa0 / 4] = pasid;
	EXPECT_EQ(pasid, bar[0xa0 / 4]);
}

/* The word at @iova as the device reads it: into its buffer and out again to @to, which RID 0 reaches at @out */
static void device_read(uint32_t pasid, uint64_t iova)
{
	pasid_select(pasid);
	edu_dma(bar, iova, BUFFER, 4, 0);
}

static void device_write(uint32_t pasid, uint64_t iova)
{
	pasid_select(pasid);
	edu_dma(bar, BUFFER, iova, 4, 1);
}

static volatile uint32_t *seen(void *page)
{
	return page;
}

TEST_ON("pasid", spaces, "30:IFD-146 30:IFD-150", "each PASID leads to the address space that is attached to it, none to nothing")
{
	uint32_t *own = ram(PAGE), *first = ram(PAGE), *second = ram(PAGE), rid, one, two;

	begin();
	rid = paging(ctx, dev_id, space_with(own, 0x11111111), FOR_PASID, 0);
	one = paging(ctx, dev_id, space_with(first, 0x22222222), FOR_PASID, 0);
	two = paging(ctx, dev_id, space_with(second, 0x33333333), FOR_PASID, 0);
	EXPECT_OK(cdev_attach_to(device, rid));
	EXPECT_OK(attach_pasid(device, 1, one));
	EXPECT_OK(attach_pasid(device, 77, two));
	device_read(1, IOVA);
	device_write(0, IOVA + 4);
	EXPECT_EQ(0x22222222, seen(own)[1]);
	device_read(77, IOVA);
	device_write(1, IOVA + 8);
	EXPECT_EQ(0x33333333, seen(first)[2]);
	EXPECT_OK(attach_pasid(device, 77, one)); /* replaces */
	device_read(77, IOVA);
	device_write(77, IOVA + 12);
	EXPECT_EQ(0x22222222, seen(first)[3]);
	EXPECT_OK(detach_pasid(77));
	device_write(77, IOVA + 16);
	device_write(78, IOVA + 16); /* never attached */
	EXPECT_EQ(0, seen(own)[4] | seen(first)[4] | seen(second)[4]);
	EXPECT_OK(cdev_detach(device));
	device_read(1, IOVA); /* of use without the device's own */
	device_write(1, IOVA + 20);
	EXPECT_EQ(0x22222222, seen(first)[5]);
	EXPECT_OK(x_close(device)); /* detaches what is left */
	EXPECT_OK(x_munmap((void *)bar, 0x100000));
	EXPECT_OK(destroy(ctx, one));
}

TEST_ON("pasid", without, "30:IFD-148", "a function without PASIDs has none attached")
{
	int plain;
	uint32_t id, pt;

	begin();
	plain = cdev_take(NO_PASIDS);
	EXPECT_OK(cdev_bind_flags(plain, ctx, sizeof(struct vfio_device_bind_iommufd), 0, &id));
	pt = paging(ctx, id, space_with(NULL, 0), FOR_PASID, 0);
	EXPECT(attach_pasid(plain, 1, pt) != 0);
	EXPECT_OK(attach_pasid(device, (1u << 20) - 1, paging(ctx, dev_id, space_with(NULL, 0), FOR_PASID, 0)));
	EXPECT_ERR(EINVAL, attach_pasid(device, 1u << 20, pt));
}

/* ---- page faults ---- */

/* The transfer is under way: edu_dma() would wait for it. */
static void start(uint32_t pasid, uint64_t src, uint64_t dst, unsigned direction)
{
	volatile uint64_t *r = (volatile uint64_t *)((volatile char *)bar + 0x80);

	pasid_select(pasid);
	r[0] = src;
	r[1] = dst;
	r[2] = 4;
	r[3] = 1 | (uint64_t)direction << 1;
}

static bool running(void)
{
	return bar[0x98 / 4] & 1;
}

static void end(void)
{
	while (running())
		usleep(1000);
}

/* The next fault, which comes sooner or later */
static struct iommu_hwpt_pgfault next_fault(int queue)
{
	struct iommu_hwpt_pgfault f;
	long n;

	while ((n = x_read(queue, &f, sizeof(f))) == 0)
		usleep(1000);
	EXPECT_EQ(sizeof(f), n);
	return f;
}

static void fault_is(const struct iommu_hwpt_pgfault *f, uint32_t pasid, uint64_t addr, uint32_t perm)
{
	EXPECT_EQ(IOMMU_PGFAULT_FLAGS_LAST_PAGE | (pasid ? IOMMU_PGFAULT_FLAGS_PASID_VALID : 0u), f->flags);
	EXPECT_EQ(dev_id, f->dev_id);
	EXPECT_EQ(pasid, f->pasid);
	EXPECT_EQ(perm, f->perm);
	EXPECT_EQ(addr, f->addr);
}

TEST_ON("pasid", page_comes, "30:IFD-168", "DMA waits for a page, and goes on when the program has brought it")
{
	uint32_t *page = ram(PAGE), ioas, pt;
	struct iommu_hwpt_pgfault f;
	struct queue q;

	begin();
	q = fault_queue(ctx);
	ioas = space_with(NULL, 0);
	pt = paging(ctx, dev_id, ioas, FOR_PASID, q.id);
	EXPECT_OK(cdev_attach_to(device, pt));
	EXPECT_OK(attach_pasid(device, 9, pt));
	page[0] = 0x600d600d;
	start(9, IOVA, BUFFER, 0);
	f = next_fault(q.fd);
	fault_is(&f, 9, IOVA, IOMMU_PGFAULT_PERM_READ);
	EXPECT(running());
	EXPECT_OK(ioas_map_at(ctx, ioas, page, PAGE, IOVA));
	EXPECT_EQ(sizeof(struct iommu_hwpt_page_response), respond(q.fd, f.cookie, IOMMUFD_PAGE_RESP_SUCCESS));
	end();
	start(0, BUFFER, IOVA + PAGE + 8, 1);
	f = next_fault(q.fd);
	fault_is(&f, 0, IOVA + PAGE, IOMMU_PGFAULT_PERM_WRITE);
	EXPECT_OK(ioas_map_at(ctx, ioas, page, PAGE, IOVA + PAGE)); /* the same one again */
	EXPECT_EQ(sizeof(struct iommu_hwpt_page_response), respond(q.fd, f.cookie, IOMMUFD_PAGE_RESP_SUCCESS));
	end();
	EXPECT_EQ(0x600d600d, seen(page)[2]);
}

TEST_ON("pasid", page_refused, "30:IFD-169 30:IFD-170", "DMA ends when its page is refused, and when the address space is taken away")
{
	uint32_t *page = ram(PAGE), ioas, pt;
	struct iommu_hwpt_pgfault f;
	struct queue q;

	begin();
	q = fault_queue(ctx);
	ioas = space_with(page, 0xbadbad);
	pt = paging(ctx, dev_id, ioas, 0, q.id);
	EXPECT_OK(cdev_attach_to(device, pt));
	device_read(0, IOVA);
	start(0, IOVA + PAGE, BUFFER, 0);
	f = next_fault(q.fd);
	EXPECT_EQ(sizeof(struct iommu_hwpt_page_response), respond(q.fd, f.cookie, IOMMUFD_PAGE_RESP_INVALID));
	end();
	device_write(0, IOVA + 4); /* zeros, as where nothing can be read */
	EXPECT_EQ(0, seen(page)[1]);
	start(0, IOVA + PAGE, BUFFER, 0);
	f = next_fault(q.fd);
	EXPECT_OK(cdev_detach(device));
	end();
	EXPECT_ERR(EINVAL, respond(q.fd, f.cookie, IOMMUFD_PAGE_RESP_SUCCESS));
}

/* What a program has to be able to do when nobody answers; at the end it goes, with a fault in the queue. */
TEST_ON("pasid", never_answered, "30:IFD-168", "a device whose fault is never answered can be reset, switched off and closed")
{
	struct queue q;
	uint32_t pt;

	begin();
	q = fault_queue(ctx);
	pt = paging(ctx, dev_id, space_with(NULL, 0), 0, q.id);
	EXPECT_OK(cdev_attach_to(device, pt));
	start(0, IOVA, BUFFER, 0);
	next_fault(q.fd);
	EXPECT_EQ(0x010000ed, bar[0]);
	bar[1] = 5;
	EXPECT_EQ(~5u, bar[1]);
	EXPECT_EQ(0x1234, config_read(device, 0, 2));
	EXPECT_OK(x_ioctl(device, VFIO_DEVICE_RESET, NULL));
	EXPECT(!running());
	config_write(device, 4, 2, config_read(device, 4, 2) | 6);
	start(0, IOVA, BUFFER, 0);
	next_fault(q.fd);
	config_write(device, 4, 2, config_read(device, 4, 2) & ~4u);
	end();
	config_write(device, 4, 2, config_read(device, 4, 2) | 4);
	start(0, IOVA, BUFFER, 0);
	next_fault(q.fd);
	EXPECT_OK(x_munmap((void *)bar, 0x100000));
	EXPECT_OK(x_close(device));
	EXPECT_OK(x_close(q.fd));
	EXPECT_OK(x_close(ctx));
	begin(); /* as if nothing had been */
	EXPECT(!running());
	pt = paging(ctx, dev_id, space_with(NULL, 0), 0, (q = fault_queue(ctx)).id);
	EXPECT_OK(cdev_attach_to(device, pt));
	start(0, IOVA, BUFFER, 0);
	next_fault(q.fd);
}

/* ---- a guest's own page tables ---- */

#define P_W_U 7ull

/* Pages 0 to 3 of @guest are tables that lead IOVA to its page 4; guest addresses begin at @base. */
static void guest_tables(uint64_t *guest, uint64_t base)
{
	guest[0] = (base + PAGE) | P_W_U;
	guest[512] = (base + 2 * PAGE) | P_W_U;
	guest[1024 + (IOVA >> 21)] = (base + 3 * PAGE) | P_W_U;
	guest[1536 + (IOVA >> 12 & 511)] = (base + 4 * PAGE) | P_W_U;
}

static uint32_t nested_vtd(uint32_t parent_id, uint64_t tables, uint32_t flags)
{
	const struct iommu_hwpt_vtd_s1 s1 = { .pgtbl_addr = tables, .addr_width = 48 };
	uint32_t id = 0;

	EXPECT_OK(hwpt_alloc_data(ctx, dev_id, parent_id, flags, 0, IOMMU_HWPT_DATA_VTD_S1, &s1, sizeof(s1), &id));
	return id;
}

TEST_ON("pasid", guest_tables_translate, "30:IFD-153 30:IFD-158", "DMA goes through a guest's tables, as they are and as they are invalidated")
{
	const uint64_t base = 0x10000000;
	uint64_t *guest = ram(6 * PAGE);
	volatile uint64_t *entry = &guest[1536 + (IOVA >> 12 & 511)];
	uint32_t parent, ioas, nest, num = 1;
	struct iommu_hwpt_vtd_s1_invalidate inv = { .addr = IOVA, .npages = 1 };

	begin();
	ioas = ioas_alloc(ctx);
	EXPECT_OK(ioas_map_at(ctx, ioas, guest, 6 * PAGE, base));
	guest_tables(guest, base);
	parent = paging(ctx, dev_id, ioas, PARENT | FOR_PASID, 0);
	nest = nested_vtd(parent, base, FOR_PASID);
	EXPECT_OK(cdev_attach_to(device, parent));
	EXPECT_OK(attach_pasid(device, 3, nest));
	guest[4 * 512] = 0x4444444400000000;
	device_read(3, IOVA + 4);
	device_write(3, IOVA + 8);
	EXPECT_EQ(0x44444444, ((volatile uint32_t *)guest)[4 * 1024 + 2]);
	EXPECT_EQ(0x60, *entry & 0x60); /* accessed and dirty */
	EXPECT_EQ(0x20, ((volatile uint64_t *)guest)[0] & 0x60);
	*entry = (base + 5 * PAGE) | P_W_U;
	EXPECT_OK(invalidate(ctx, nest, IOMMU_HWPT_INVALIDATE_DATA_VTD_S1, &inv, sizeof(inv), &num));
	EXPECT_EQ(1, num);
	device_write(3, IOVA);
	EXPECT_EQ(0x44444444, ((volatile uint32_t *)guest)[5 * 1024]);
	/* Taken away below. */
	EXPECT_OK(ioas_unmap_n(ctx, ioas, base, 6 * PAGE));
	device_write(3, IOVA + 16);
	EXPECT_EQ(0, ((volatile uint32_t *)guest)[5 * 1024 + 4]);
}
