/* SPDX-License-Identifier: MIT */
/* PASIDs of real devices: what is said of them, which HWPTs they take, and that DMA with each goes where it is attached. */
#include "edu.h"

#define PLAIN    "0000:00:04.0" /* an edu without PASIDs */
#define IOAT     "0000:00:05.0" /* 256, and page requests */
#define NARROW   "0000:00:06.0" /* an edu with 256 */
#define OUTSIDER "0000:00:07.0" /* has ATS, and is not trusted with it */

/* An address space of its own, in an HWPT with @flags: two pages at the same addresses as in all others. */
struct space {
	uint32_t ioas, hwpt;
	struct page from, to;
};

static struct space space_of(const struct edu *e, uint32_t flags)
{
	struct space s = { .ioas = ioas_alloc(e->ctx), .from = page_at(0x200000), .to = page_at(0x300000) };

	EXPECT_OK(page_map(e->ctx, s.ioas, s.from));
	EXPECT_OK(page_map(e->ctx, s.ioas, s.to));
	s.hwpt = paging(e->ctx, e->id, s.ioas, flags, 0);
	return s;
}

static struct space space(const struct edu *e)
{
	return space_of(e, FOR_PASID);
}

/* Does DMA with @pasid use this one? */
static bool uses(const struct edu *e, uint32_t pasid, struct space s)
{
	return edu_moves(e, pasid, s.from, s.to);
}

/* ---- what is said of them ---- */

/* Does the capability of the host's say that @bit of what is enabled is? Without capability: no */
static bool pasid_enabled(const char *bdf, unsigned bit)
{
	uint32_t header = 0, control = 0;
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config", bdf);
	fd = EXPECT_OK(x_open(path, O_RDONLY));
	for (unsigned at = 0x100; at; at = header >> 20) {
		if (x_pread(fd, &header, 4, at) != 4)
			return false;
		if ((header & 0xffff) != 0x1b)
			continue;
		EXPECT_EQ(2, x_pread(fd, &control, 2, at + 6));
		return control & bit;
	}
	return false;
}

static void expect_info(const char *bdf, unsigned bits, bool ats)
{
	int ctx = iommu_open(), device = cdev_take(bdf);
	struct iommu_hw_info i = { .size = sizeof(i) };
	uint64_t want = IOMMU_HW_CAP_DIRTY_TRACKING | (ats ? 0 : IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED) |
			(pasid_enabled(bdf, 2) ? IOMMU_HW_CAP_PCI_PASID_EXEC : 0) |
			(pasid_enabled(bdf, 4) ? IOMMU_HW_CAP_PCI_PASID_PRIV : 0);

	EXPECT_OK(cdev_bind_flags(device, ctx, sizeof(struct vfio_device_bind_iommufd), 0, &i.dev_id));
	EXPECT_OK(x_ioctl(ctx, IOMMU_GET_HW_INFO, &i));
	EXPECT_EQ(bits, i.out_max_pasid_log2);
	EXPECT_EQ(want, i.out_capabilities);
}

TEST(information, "30:IFD-155", "GET_HW_INFO tells how many PASIDs a function has, and whether it can use ATS")
{
	expect_info(EDU, 20, true);
	expect_info(PLAIN, 0, false);
	expect_info(IOAT, 8, true);
	expect_info(NARROW, 8, false);
	expect_info(OUTSIDER, 0, false);
}

/* ---- DMA ---- */

TEST(spaces, "30:IFD-146 30:IFD-150", "each PASID leads to the address space that is attached to it, one without to nothing")
{
	struct edu e = edu_take(EDU, iommu_open());
	struct space own = space(&e), first = space(&e), second = space(&e);

	EXPECT(!uses(&e, 1, first));
	EXPECT_OK(cdev_attach_to(e.device, own.hwpt));
	EXPECT(!uses(&e, 1, own));
	EXPECT_OK(cdev_attach_pasid_to(e.device, 1, first.hwpt));
	EXPECT_OK(cdev_attach_pasid_to(e.device, 0xfffff, second.hwpt));
	EXPECT(uses(&e, 0, own));
	EXPECT(uses(&e, 1, first));
	EXPECT(uses(&e, 0xfffff, second));
	EXPECT(!uses(&e, 2, own) && !uses(&e, 2, first) && !uses(&e, 2, second));
	EXPECT_OK(cdev_detach_pasid(e.device, 1));
	EXPECT(!uses(&e, 1, first) && !uses(&e, 1, own));
	EXPECT(uses(&e, 0xfffff, second));
}

TEST(switches, "30:IFD-149", "a second ATTACH with a PASID replaces, and no other PASID notices")
{
	struct edu e = edu_take(EDU, iommu_open());
	struct space own = space(&e), first = space(&e), second = space(&e);

	EXPECT_OK(cdev_attach_to(e.device, own.hwpt));
	EXPECT_OK(cdev_attach_pasid_to(e.device, 5, first.hwpt));
	EXPECT_OK(cdev_attach_pasid_to(e.device, 6, first.hwpt));
	EXPECT(uses(&e, 5, first) && uses(&e, 6, first));
	EXPECT_OK(cdev_attach_pasid_to(e.device, 5, second.hwpt));
	EXPECT(uses(&e, 5, second) && !uses(&e, 5, first));
	EXPECT(uses(&e, 6, first) && uses(&e, 0, own));
	EXPECT_OK(cdev_attach_pasid_to(e.device, 5, second.hwpt));
	EXPECT(uses(&e, 5, second));
	EXPECT_OK(cdev_attach_to(e.device, second.hwpt));
	EXPECT(uses(&e, 0, second) && uses(&e, 5, second) && uses(&e, 6, first));
	EXPECT_OK(cdev_detach_pasid(e.device, 5));
	EXPECT(uses(&e, 0, second) && !uses(&e, 5, second));
}

TEST(independent, "30:IFD-139", "PASIDs are of use without the device's own address space, and outlive it")
{
	struct edu e = edu_take(EDU, iommu_open());
	struct space own = space(&e), other = space(&e);

	EXPECT_OK(cdev_attach_pasid_to(e.device, 7, other.hwpt));
	EXPECT(uses(&e, 7, other) && !uses(&e, 0, other));
	EXPECT_OK(cdev_attach_to(e.device, own.hwpt));
	EXPECT(uses(&e, 7, other) && uses(&e, 0, own));
	EXPECT_OK(cdev_detach(e.device));
	EXPECT(uses(&e, 7, other) && !uses(&e, 0, own));
	EXPECT_OK(cdev_detach_pasid(e.device, 8)); /* never attached: nothing happens */
	EXPECT(uses(&e, 7, other));
}

TEST(unmapped, "10:UNM-02", "what is unmapped is out of the reach of every PASID")
{
	struct edu e = edu_take(EDU, iommu_open());
	struct space s = space(&e);

	EXPECT_OK(cdev_attach_pasid_to(e.device, 1, s.hwpt));
	EXPECT_OK(cdev_attach_pasid_to(e.device, 2, s.hwpt));
	EXPECT(uses(&e, 1, s) && uses(&e, 2, s));
	EXPECT_OK(ioas_unmap_n(e.ctx, s.ioas, s.to.iova, PAGE));
	EXPECT(!uses(&e, 1, s) && !uses(&e, 2, s));
	EXPECT_OK(page_map(e.ctx, s.ioas, s.to));
	EXPECT(uses(&e, 1, s) && uses(&e, 2, s));
}

/* ---- what is refused ---- */

TEST(arguments, "30:IFD-146 10:CDV-16", "with the PASID flag ATTACH is of 16 bytes at least, DETACH of 12; other flags are EINVAL")
{
	struct edu e = edu_take(EDU, iommu_open());
	struct vfio_device_attach_iommufd_pt a = { .flags = VFIO_DEVICE_ATTACH_PASID, .pt_id = space(&e).hwpt, .pasid = 3 };
	struct vfio_device_detach_iommufd_pt d = { .flags = VFIO_DEVICE_DETACH_PASID, .pasid = 3 };

	for (a.argsz = 0; a.argsz < 16; a.argsz++)
		EXPECT_ERR(EINVAL, x_ioctl(e.device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &a));
	for (d.argsz = 0; d.argsz < 12; d.argsz++)
		EXPECT_ERR(EINVAL, x_ioctl(e.device, VFIO_DEVICE_DETACH_IOMMUFD_PT, &d));
	a.flags |= 2;
	d.flags |= 2;
	EXPECT_ERR(EINVAL, x_ioctl(e.device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &a));
	EXPECT_ERR(EINVAL, x_ioctl(e.device, VFIO_DEVICE_DETACH_IOMMUFD_PT, &d));
	EXPECT_ERR(ENOENT, cdev_attach_pasid_to(e.device, 3, 99));
	EXPECT_ERR(EINVAL, cdev_attach_pasid_to(e.device, 3, e.id));
	EXPECT_OK(cdev_attach_pasid(e.device, 3, &a.pt_id));
}

TEST(not_for_pasids, "30:IFD-146", "a PASID takes no IOAS, and no HWPT that was not made for PASIDs: EINVAL")
{
	struct edu e = edu_take(EDU, iommu_open());
	struct space fit = space(&e), other = space_of(&e, NONE);

	EXPECT_ERR(EINVAL, cdev_attach_pasid_to(e.device, 3, fit.ioas));
	EXPECT_ERR(EINVAL, cdev_attach_pasid_to(e.device, 3, other.hwpt));
	EXPECT(!uses(&e, 3, fit) && !uses(&e, 3, other));
	EXPECT_OK(cdev_attach_pasid_to(e.device, 3, fit.hwpt));
	EXPECT(uses(&e, 3, fit));
}

TEST(beside, "30:IFD-147", "beside PASIDs the device's own HWPT is one for PASIDs too: EINVAL")
{
	struct edu e = edu_take(EDU, iommu_open());
	struct space fit = space(&e), other = space_of(&e, NONE);

	EXPECT_OK(cdev_attach_to(e.device, other.hwpt));
	EXPECT_ERR(EINVAL, cdev_attach_pasid_to(e.device, 3, fit.hwpt));
	EXPECT(uses(&e, 0, other) && !uses(&e, 3, fit));
	EXPECT_OK(cdev_attach_to(e.device, fit.hwpt));
	EXPECT_OK(cdev_attach_pasid_to(e.device, 3, fit.hwpt));
	EXPECT_ERR(EINVAL, cdev_attach_to(e.device, other.hwpt));
	EXPECT_ERR(EINVAL, cdev_attach_to(e.device, other.ioas));
	EXPECT(uses(&e, 0, fit) && uses(&e, 3, fit));
	EXPECT_OK(cdev_detach(e.device));
	EXPECT_ERR(EINVAL, cdev_attach_to(e.device, other.hwpt));
	EXPECT_ERR(EINVAL, cdev_attach_to(e.device, other.ioas));
	EXPECT_OK(cdev_detach_pasid(e.device, 3));
	EXPECT_OK(cdev_attach_to(e.device, other.ioas));
	EXPECT(uses(&e, 0, other));
}

TEST(numbers, "30:IFD-148", "a PASID that the device does not have is EINVAL, one beyond 31 bits ENOSPC; 0 is the device's own slot")
{
	struct edu e = edu_take(NARROW, iommu_open());
	struct space s = space(&e);

	EXPECT_ERR(EINVAL, cdev_attach_pasid_to(e.device, 256, s.hwpt));
	EXPECT_ERR(EINVAL, cdev_attach_pasid_to(e.device, INT32_MAX, s.hwpt));
	EXPECT_ERR(ENOSPC, cdev_attach_pasid_to(e.device, 1u << 31, s.hwpt));
	EXPECT_OK(cdev_attach_pasid_to(e.device, 255, s.hwpt));
	EXPECT(uses(&e, 255, s) && !uses(&e, 254, s));
	EXPECT_OK(cdev_attach_to(e.device, s.hwpt));
	EXPECT_ERR(EBUSY, cdev_attach_pasid_to(e.device, 0, s.hwpt));
	EXPECT(uses(&e, 0, s));
}

TEST(without, "30:IFD-147 30:IFD-150", "a function without PASIDs is attached by any and not told; the rules for its group's HWPTs hold")
{
	struct edu e = edu_take(PLAIN, iommu_open());
	struct space s = space(&e), other = space_of(&e, NONE);

	EXPECT_ERR(ENOSPC, cdev_attach_pasid_to(e.device, 1u << 31, s.hwpt));
	EXPECT_OK(cdev_attach_pasid_to(e.device, INT32_MAX, s.hwpt));
	EXPECT(!uses(&e, 0, s));
	EXPECT_ERR(EINVAL, cdev_attach_to(e.device, other.hwpt));
	EXPECT_ERR(EBUSY, destroy(e.ctx, s.hwpt));
	EXPECT_OK(cdev_detach_pasid(e.device, INT32_MAX));
	EXPECT_OK(destroy(e.ctx, s.hwpt));
	EXPECT_OK(cdev_attach_to(e.device, other.hwpt));
	EXPECT(uses(&e, 0, other));
}

TEST(failed_replace, "30:IFD-149", "a replace that fails leaves the PASID where it was")
{
	struct edu e = edu_take(EDU, iommu_open());
	struct space fit = space(&e), other = space_of(&e, NONE);

	EXPECT_OK(cdev_attach_pasid_to(e.device, 4, fit.hwpt));
	EXPECT(uses(&e, 4, fit));
	EXPECT_ERR(EINVAL, cdev_attach_pasid_to(e.device, 4, other.hwpt));
	EXPECT_ERR(EINVAL, cdev_attach_pasid_to(e.device, 4, other.ioas));
	EXPECT_ERR(ENOENT, cdev_attach_pasid_to(e.device, 4, 99));
	EXPECT(uses(&e, 4, fit) && !uses(&e, 4, other));
	EXPECT_ERR(EBUSY, destroy(e.ctx, fit.hwpt));
}

TEST(closed, "30:IFD-150", "closing the device detaches all its PASIDs: their HWPTs can be destroyed, and its id is gone")
{
	struct edu e = edu_take(EDU, iommu_open());
	struct space s[3] = { space(&e), space(&e), space(&e) };

	EXPECT_OK(cdev_attach_to(e.device, s[0].hwpt));
	EXPECT_OK(cdev_attach_pasid_to(e.device, 1, s[1].hwpt));
	EXPECT_OK(cdev_attach_pasid_to(e.device, 1000, s[2].hwpt));
	for (int i = 0; i < 3; i++)
		EXPECT_ERR(EBUSY, destroy(e.ctx, s[i].hwpt));
	EXPECT_OK(x_munmap((void *)e.bar, PAGE));
	EXPECT_OK(x_close(e.device));
	for (int i = 0; i < 3; i++)
		EXPECT_OK(destroy(e.ctx, s[i].hwpt));
	EXPECT_ERR(ENOENT, destroy(e.ctx, e.id));
	/* Nor does the next one find them. */
	e = edu_take(EDU, e.ctx);
	EXPECT(!uses(&e, 1, s[1]) && !uses(&e, 1000, s[2]));
	s[1].hwpt = paging(e.ctx, e.id, s[1].ioas, FOR_PASID, 0);
	EXPECT_OK(cdev_attach_pasid_to(e.device, 1, s[1].hwpt));
	EXPECT(uses(&e, 1, s[1]));
}

TEST(reset, "20:RST-02", "a reset of the function leaves its PASIDs attached")
{
	struct edu e = edu_take(EDU, iommu_open());
	struct space s = space(&e);

	EXPECT_OK(cdev_attach_pasid_to(e.device, 9, s.hwpt));
	EXPECT(uses(&e, 9, s));
	EXPECT_OK(x_ioctl(e.device, VFIO_DEVICE_RESET, NULL));
	config_write(e.device, 4, 2, config_read(e.device, 4, 2) | 6);
	EXPECT(uses(&e, 9, s));
}

/* ---- a device with descriptors ---- */

struct descriptor {
	uint32_t size, control;
	uint64_t src, dst, next, rest[4];
};

/* The ioat carries out the one descriptor at the start of @from, all with @pasid. Its state: 1 done, 3 halted */
static unsigned ioat_run(int device, uint32_t pasid, struct page from)
{
	uint16_t one = 1;
	uint8_t reset = 0x20;
	uint64_t status = 0;

	EXPECT_EQ(1, x_pwrite(device, &reset, 1, REGION(0) + 0x84));
	EXPECT_EQ(4, x_pwrite(device, &pasid, 4, REGION(0) + 0x1000));
	EXPECT_EQ(8, x_pwrite(device, &from.iova, 8, REGION(0) + 0x90));
	EXPECT_EQ(2, x_pwrite(device, &one, 2, REGION(0) + 0x86));
	for (int i = 0; i < GIVE_UP && (status & 7) != 1 && (status & 7) != 3; i++) {
		EXPECT_EQ(8, x_pread(device, &status, 8, REGION(0) + 0x88));
		usleep(1000);
	}
	return status & 7;
}

TEST(descriptors, "30:IFD-146", "an ioat finds descriptor, source and destination in the address space of its PASID")
{
	int ctx = iommu_open();
	struct edu e = edu_take(IOAT, ctx);
	struct space own = space(&e), other = space(&e);
	struct descriptor d = { .size = 4, .src = own.from.iova + 64, .dst = own.to.iova + 64 };

	EXPECT_OK(cdev_attach_to(e.device, own.hwpt));
	EXPECT_OK(cdev_attach_pasid_to(e.device, 200, other.hwpt));
	memcpy((void *)other.from.at, &d, sizeof(d));
	other.from.at[16] = 0x600d;
	EXPECT_EQ(3, ioat_run(e.device, 0, other.from)); /* there is none of its own: a length of 0 */
	EXPECT_EQ(3, ioat_run(e.device, 201, other.from));
	EXPECT_EQ(0, other.to.at[16]);
	EXPECT_EQ(1, ioat_run(e.device, 200, other.from));
	EXPECT_EQ(0x600d, other.to.at[16]);
	EXPECT_EQ(0, own.to.at[16]);
}
