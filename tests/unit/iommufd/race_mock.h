/* SPDX-License-Identifier: MIT */
/* What the threads of race_mock.c share: contexts, each with something to begin with, and descriptors. */
#ifndef RACE_MOCK_H
#define RACE_MOCK_H

#include "race_lab.h"
#include "base/lock.h"
#include "iommufd/mock.h"

#define IDS    16
#define HOME   0x10000000ull

/* Ids in a new context. Whoever guesses often guesses right. */
enum { SPACE = 1, STDEV, DEV, AUTOMATIC, PARENT, VIOMMU, VDEVICE, NESTED, TRACKING, QUEUE };

/* ---- descriptors, contexts: of all threads ---- */

#define FIRST_FD 1000
#define KIND     6  /* of each kind so many descriptors */
#define KINDS    4
#define FDS      (KINDS * KIND)
#define CONTEXTS 2

enum kind { FAULTS, EVENTS, ACCESSES, DMABUFS };

static struct {
	struct mutex lock;
	struct file *fds[FDS];           /* [lock] */
	struct file *contexts[CONTEXTS]; /* [lock] */
} open_files;

static int race_file_get(struct task *t, int fd, struct file **out)
{
	SCOPED_LOCK(&open_files.lock);
	if (fd < FIRST_FD || fd >= FIRST_FD + FDS || !open_files.fds[fd - FIRST_FD])
		return -EBADF;
	*out = file_get(open_files.fds[fd - FIRST_FD]);
	return 0;
}

static int race_host_fd(struct task *t, int fd)
{
	return -EBADFD; /* a file of the machine's, or none */
}

static enum kind kind_of(struct file *f)
{
	if (f->ready)
		return f->ops->write ? FAULTS : EVENTS;
	return mem_dmabuf_of(f) ? DMABUFS : ACCESSES;
}

static int race_install(struct task *t, struct file *f, int oflags)
{
	const int first = (int)kind_of(f) * KIND;

	SCOPED_LOCK(&open_files.lock);
	for (int i = first; i < first + KIND; i++) {
		if (!open_files.fds[i]) {
			open_files.fds[i] = file_get(f);
			return FIRST_FD + i;
		}
	}
	return -EMFILE;
}

static bool all_caps(struct task *t, enum task_cap cap)
{
	return true;
}

static const struct task_ops race_ops = { .copy_in = lab_in, .copy_out = lab_out, .file_get = race_file_get,
					  .host_fd = race_host_fd, .fd_install = race_install, .capable = all_caps };

static int any_fd(struct dice *d, enum kind kind)
{
	return FIRST_FD + (int)(kind * KIND + roll(d, KIND));
}

static void close_fd(int fd)
{
	struct file *f;

	mutex_lock(&open_files.lock);
	f = open_files.fds[fd - FIRST_FD];
	open_files.fds[fd - FIRST_FD] = NULL;
	mutex_unlock(&open_files.lock);
	file_put(f);
}

static struct file *context(struct dice *d)
{
	SCOPED_LOCK(&open_files.lock);
	return file_get(open_files.contexts[roll(d, CONTEXTS)]);
}

static long ask_file(struct file *f, unsigned cmd, void *arg)
{
	struct task t = { .ops = &race_ops, .mm = &flat };

	return file_ioctl(f, &t, cmd, (uintptr_t)arg);
}

/* Of any context */
static long ask(struct dice *d, unsigned cmd, void *arg)
{
	struct file *f = context(d);
	long rc = ask_file(f, cmd, arg);

	file_put(f);
	return rc;
}

static long test_op(struct dice *d, uint32_t op, uint32_t id, struct iommu_test_cmd *c)
{
	c->size = sizeof(*c);
	c->op = op;
	c->id = id;
	return ask(d, IOMMU_TEST_CMD, c);
}

static uint32_t guess(struct dice *d, uint32_t usual)
{
	return roll(d, 8) < 5 ? usual : roll(d, IDS) + 1;
}

/* ---- what there is at the beginning of each context ---- */

static uint32_t begin_hwpt(struct file *f, uint32_t dev, uint32_t pt, uint32_t flags, bool nested)
{
	struct iommu_hwpt_selftest data = { .iotlb = 1 };
	struct iommu_hwpt_alloc a = { .size = sizeof(a), .flags = flags, .dev_id = dev, .pt_id = pt };

	if (nested) {
		a.data_type = IOMMU_HWPT_DATA_SELFTEST;
		a.data_len = sizeof(data);
		a.data_uptr = (uintptr_t)&data;
	}
	ask_file(f, IOMMU_HWPT_ALLOC, &a);
	return a.out_hwpt_id;
}

static struct file *context_open(void)
{
	struct iommu_ioas_alloc ioas = { .size = sizeof(ioas) };
	struct iommu_ioas_map map = { .size = sizeof(map), .flags = RW | IOMMU_IOAS_MAP_FIXED_IOVA, .length = 8 * PAGE,
				      .iova = HOME };
	struct iommu_test_cmd c = { .size = sizeof(c), .op = IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS,
				    .mock_domain = { .dev_flags = MOCK_FLAGS_DEVICE_PASID } };
	struct iommu_viommu_alloc v = { .size = sizeof(v), .type = IOMMU_VIOMMU_TYPE_SELFTEST };
	struct iommu_vdevice_alloc vd = { .size = sizeof(vd), .virt_id = 1 };
	struct task t = { .ops = &race_ops, .mm = &flat };
	struct file *f = NULL;

	assert_int_equal(tree_open(lab.tree, &t, "/dev/iommu", O_RDWR, &f), 0);
	assert_int_equal(ask_file(f, IOMMU_IOAS_ALLOC, &ioas), 0);
	map.ioas_id = c.id = ioas.out_ioas_id;
	assert_int_equal(ask_file(f, IOMMU_IOAS_MAP, &map), 0);
	assert_int_equal(ask_file(f, IOMMU_TEST_CMD, &c), 0);
	v.dev_id = vd.dev_id = c.mock_domain.out_idev_id;
	v.hwpt_id = begin_hwpt(f, v.dev_id, map.ioas_id, IOMMU_HWPT_ALLOC_NEST_PARENT | IOMMU_HWPT_ALLOC_PASID, false);
	assert_int_equal(ask_file(f, IOMMU_VIOMMU_ALLOC, &v), 0);
	vd.viommu_id = v.out_viommu_id;
	assert_int_equal(ask_file(f, IOMMU_VDEVICE_ALLOC, &vd), 0);
	assert_int_equal(begin_hwpt(f, v.dev_id, v.out_viommu_id, IOMMU_HWPT_ALLOC_PASID, true), NESTED);
	assert_int_equal(begin_hwpt(f, v.dev_id, map.ioas_id, IOMMU_HWPT_ALLOC_DIRTY_TRACKING, false), TRACKING);
	return f;
}

/* ---- the world ---- */

static int race_setup(void **state)
{
	if (lab_setup(state) || mem_identify_pins(lab.mem))
		return -1;
	lab.fd->test = true;
	flat_init();
	memset(&open_files, 0, sizeof(open_files));
	mutex_init(&open_files.lock, RANK_NONE);
	for (unsigned i = 0; i < CONTEXTS; i++)
		open_files.contexts[i] = context_open();
	return 0;
}

static int race_teardown(void **state)
{
	for (int fd = FIRST_FD; fd < FIRST_FD + FDS; fd++)
		close_fd(fd);
	for (unsigned i = 0; i < CONTEXTS; i++)
		file_put(open_files.contexts[i]);
	mutex_fini(&open_files.lock);
	return lab_teardown(state);
}

#endif
