/* SPDX-License-Identifier: MIT */
/* A bench for iommufd: the IOMMU's, with /dev/iommu, a program that has it open, and requests in short. */
#ifndef IOMMUFD_LAB_H
#define IOMMUFD_LAB_H

#include "../mem/fake_mm.h"
#include "abi/iommufd.h"
#include "abi/vfio.h"
#include "file/tree.h"
#include "iommufd/iommufd.h"
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define PAGE UVFIO_PAGE_SIZE
#define MIB  (1ull << 20)

#define VA_SHARED  0x10000000ull
#define VA_PRIVATE 0x20000000ull
#define VA_CONST   0x30000000ull /* the program may not write it */
#define VA_BAR     0x40000000ull
#define VA_NOTHING 0x50000000ull

#define LAB_UNIT .width = 48, .pgsizes = 0x40201000, .coherent = true, .msi_isolated = true, .default_domain = "DMA-FQ"
static const struct iommu_unit unit_strong = { .name = "dmar0", .enforce_coherency = true, LAB_UNIT };
static const struct iommu_unit unit_weak = { .name = "dmar1", LAB_UNIT };
static const struct iommu_unit unit_dirty = { .name = "dmar2", .dirty = true, .nesting = true, .enforce_coherency = true,
					      LAB_UNIT };
static const struct iommu_unit unit_narrow = { .name = "dmar3", .width = 39, .pgsizes = 0x1000, .coherent = true,
					       .msi_isolated = true, .default_domain = "DMA" };
static const struct iommu_unit unit_open = { .name = "dmar4", .width = 48, .pgsizes = 0x1000, .coherent = true,
					     .default_domain = "DMA" };
static const struct iommu_unit unit_incoherent = { .name = "dmar5", .width = 48, .pgsizes = 0x1000,
						   .msi_isolated = true, .default_domain = "DMA" };

static struct lab {
	struct log log;
	struct tree *tree;
	struct mem *mem;
	struct iommu *iommu;
	struct iommufd *fd;
	struct fake_mm mm;
	struct fake_task caller;
	char *shared, *private, *constant; /* the program's views, 4 MiB each */
	struct file *file;
	struct iommufd_ctx *ctx;
	int host_fd; /* what every descriptor of the program is; -1: not open */
} lab;

static inline int lab_in(struct task *t, void *dst, uva_t src, size_t n)
{
	return mem_copy_guarded(dst, (void *)src, n);
}

static inline int lab_out(struct task *t, uva_t dst, const void *src, size_t n)
{
	return mem_copy_guarded((void *)dst, src, n);
}

static inline int lab_host_fd(struct task *t, int fd)
{
	return lab.host_fd < 0 ? -EBADF : dup(lab.host_fd);
}

static const struct task_ops lab_ops = {
	.copy_in = lab_in, .copy_out = lab_out, .host_fd = lab_host_fd, .capable = fake_capable,
};

static inline struct file *lab_open(void)
{
	struct file *f = NULL;

	assert_int_equal(tree_open(lab.tree, &lab.caller.t, "/dev/iommu", O_RDWR, &f), 0);
	return f;
}

static inline int lab_setup(void **state)
{
	const struct iommufd_params params = { .noiommu = true };

	memset(&lab, 0, sizeof(lab));
	lab.host_fd = -1;
	log_init(&lab.log, NULL, NULL);
	fake_init(&lab.mm, &lab.caller);
	lab.caller.t.ops = &lab_ops;
	lab.shared = fake_add(&lab.mm, VA_SHARED, 4 * MIB, true, true);
	lab.private = fake_add(&lab.mm, VA_PRIVATE, 4 * MIB, false, true);
	lab.constant = fake_add(&lab.mm, VA_CONST, 4 * MIB, true, false);
	if (mem_create(&lab.log, &lab.mem) || tree_create(&lab.tree) || tree_root(lab.tree, "/dev/iommu") ||
	    tree_root(lab.tree, "/sys/module/iommufd") || iommu_create(lab.mem, &lab.log, &lab.iommu) ||
	    iommufd_create(lab.tree, lab.mem, lab.iommu, &lab.log, &params, &lab.fd))
		return -1;
	lab.file = lab_open();
	lab.ctx = iommufd_ctx_from_file(lab.file);
	return lab.ctx ? 0 : -1;
}

/* The end finds everything unpinned, uncharged and unshared. */
static inline int lab_teardown(void **state)
{
	iommufd_ctx_put(lab.ctx);
	file_put(lab.file);
	iommufd_destroy(lab.fd);
	iommu_destroy(lab.iommu);
	if (mem_pinned_pages(lab.mem) || lab.mm.shares || atomic_load(&lab.mm.mm.locked_pages))
		return -1;
	tree_destroy(lab.tree);
	mem_destroy(lab.mem);
	mm_put(&lab.mm.mm);
	log_fini(&lab.log);
	return lab.mm.freed ? 0 : -1;
}

#define T(f) cmocka_unit_test_setup_teardown(f, lab_setup, lab_teardown)

/* ---- hardware ---- */

static inline struct iommu_group *lab_group(void)
{
	struct iommu_group *g = NULL;

	assert_int_equal(iommu_group_create(lab.iommu, &g), 0);
	return g;
}

static inline struct iommu_dev *lab_dev(const char *name, const struct iommu_unit *unit, struct iommu_group *g)
{
	struct iommu_dev *d = NULL;

	assert_int_equal(iommu_dev_create(lab.iommu, name, unit, &d), 0);
	if (g)
		assert_int_equal(iommu_dev_join(d, g), 0);
	return d;
}

/* A device alone in its group; the group goes with it. */
static inline struct iommu_dev *lab_alone(const char *name, const struct iommu_unit *unit)
{
	struct iommu_group *g = lab_group();
	struct iommu_dev *d = lab_dev(name, unit, g);

	iommu_group_put(g);
	return d;
}

static inline struct iommufd_device *lab_bind(struct iommu_dev *d)
{
	struct iommufd_device *idev = NULL;
	uint32_t id = 0;

	assert_int_equal(iommufd_device_bind(lab.ctx, d, &idev, &id), 0);
	assert_int_equal(id, iommufd_device_id(idev));
	assert_int_not_equal(id, 0);
	return idev;
}

static inline uint32_t lab_attach(struct iommufd_device *idev, uint32_t pt)
{
	assert_int_equal(iommufd_device_attach(idev, IOMMUFD_NO_PASID, &pt), 0);
	return pt;
}

static inline int lab_attach_fails(struct iommufd_device *idev, uint32_t pt)
{
	uint32_t was = pt;
	int rc = iommufd_device_attach(idev, IOMMUFD_NO_PASID, &pt);

	assert_int_equal(pt, was);
	assert_int_not_equal(rc, 0);
	return rc;
}

static inline void lab_unbind(struct iommufd_device *idev)
{
	iommufd_device_detach(idev, IOMMUFD_NO_PASID);
	iommufd_device_unbind(idev);
}

static inline uint64_t lab_read(struct iommu_dev *d, iova_t iova, int *rc)
{
	uint64_t v = 0;

	*rc = iommu_dma_read(d, iova, &v, sizeof(v));
	return v;
}

static inline int lab_write(struct iommu_dev *d, iova_t iova, uint64_t v)
{
	return iommu_dma_write(d, iova, &v, sizeof(v));
}

static inline bool lab_reaches(struct iommu_dev *d, iova_t iova)
{
	int rc;

	lab_read(d, iova, &rc);
	return rc == 0;
}

/* ---- requests ---- */

static inline long lab_ioctl(unsigned cmd, void *arg)
{
	return file_ioctl(lab.file, &lab.caller.t, cmd, (uintptr_t)arg);
}

static inline uint32_t lab_ioas(void)
{
	struct iommu_ioas_alloc a = { .size = sizeof(a) };

	assert_int_equal(lab_ioctl(IOMMU_IOAS_ALLOC, &a), 0);
	return a.out_ioas_id;
}

static inline long lab_destroy(uint32_t id)
{
	struct iommu_destroy a = { .size = sizeof(a), .id = id };

	return lab_ioctl(IOMMU_DESTROY, &a);
}

#define RW (IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE)

static inline long lab_map_flags(uint32_t ioas, uva_t uva, iova_t iova, uint64_t length, uint32_t flags)
{
	struct iommu_ioas_map a = { .size = sizeof(a), .flags = flags | IOMMU_IOAS_MAP_FIXED_IOVA, .ioas_id = ioas,
				    .user_va = uva, .length = length, .iova = iova };

	return lab_ioctl(IOMMU_IOAS_MAP, &a);
}

static inline long lab_map(uint32_t ioas, uva_t uva, iova_t iova, uint64_t length)
{
	return lab_map_flags(ioas, uva, iova, length, RW);
}

static inline long lab_unmap(uint32_t ioas, iova_t iova, uint64_t length)
{
	struct iommu_ioas_unmap a = { .size = sizeof(a), .ioas_id = ioas, .iova = iova, .length = length };

	return lab_ioctl(IOMMU_IOAS_UNMAP, &a);
}

static inline long lab_copy(uint32_t dst, iova_t dst_iova, uint32_t src, iova_t src_iova, uint64_t length)
{
	struct iommu_ioas_copy a = { .size = sizeof(a), .flags = RW | IOMMU_IOAS_MAP_FIXED_IOVA, .dst_ioas_id = dst,
				     .src_ioas_id = src, .length = length, .dst_iova = dst_iova, .src_iova = src_iova };

	return lab_ioctl(IOMMU_IOAS_COPY, &a);
}

static inline long lab_option(uint32_t id, uint32_t object, uint64_t value)
{
	struct iommu_option a = { .size = sizeof(a), .option_id = id, .op = IOMMU_OPTION_OP_SET, .object_id = object,
				  .val64 = value };

	return lab_ioctl(IOMMU_OPTION, &a);
}

static inline long lab_hwpt(struct iommufd_device *idev, uint32_t pt, uint32_t flags, uint32_t *out)
{
	struct iommu_hwpt_alloc a = { .size = sizeof(a), .flags = flags, .dev_id = iommufd_device_id(idev), .pt_id = pt };
	long rc = lab_ioctl(IOMMU_HWPT_ALLOC, &a);

	*out = a.out_hwpt_id;
	return rc;
}

/* The ranges of an IOAS; returns how many. */
static inline unsigned lab_ranges(uint32_t ioas, struct iommu_iova_range list[8], uint64_t *align)
{
	struct iommu_ioas_iova_ranges a = { .size = sizeof(a), .ioas_id = ioas, .num_iovas = 8,
					    .allowed_iovas = (uintptr_t)list };

	assert_int_equal(lab_ioctl(IOMMU_IOAS_IOVA_RANGES, &a), 0);
	*align = a.out_iova_alignment;
	return a.num_iovas;
}

static inline uint64_t lab_pinned(void)
{
	return mem_pinned_pages(lab.mem);
}

#endif
