/* SPDX-License-Identifier: MIT */
/*
 * /dev/iommu: opening it, and the frame that every request goes through. A request is chosen by its number alone; the
 * caller's size is read before anything else is looked at, so a bad pointer is told before a bad request, and the
 * structure is copied in whole: what the caller's is short of is zeros, and what it has more must be zeros.
 *
 * Numbers outside the table are VFIO's, for programs that were written for containers (vfio_compat.c).
 *
 * Spec: 30, sections 1 to 3.
 */
#include "abi/iommufd_test.h"
#include "iommufd/account.h"
#include "iommufd/mock.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define MISC_MAJOR 10
#define MISC_MINOR 258 /* Linux gives it any from 256 on */

#define PARAMETERS "/sys/module/iommufd/parameters"

/* ---- ioctls ---- */

#define REQUEST(cmd_, type, min_, fn_) \
	[(cmd_)-IOMMU_DESTROY] = { .cmd = (cmd_), .full = sizeof(struct type), .min = (min_), .fn = (fn_) }
#define WHOLE(cmd_, type, fn_) REQUEST(cmd_, type, sizeof(struct type), fn_)

static const struct request {
	unsigned cmd;
	unsigned full, min; /* bytes of the structure, and the least size taken */
	int (*fn)(struct ucmd *u);
} requests[] = {
	WHOLE(IOMMU_DESTROY, iommu_destroy, iommufd_destroy_ioctl),
	WHOLE(IOMMU_IOAS_ALLOC, iommu_ioas_alloc, iommufd_ioas_alloc_ioctl),
	WHOLE(IOMMU_IOAS_ALLOW_IOVAS, iommu_ioas_allow_iovas, iommufd_ioas_allow_ioctl),
	WHOLE(IOMMU_IOAS_COPY, iommu_ioas_copy, iommufd_ioas_copy_ioctl),
	WHOLE(IOMMU_IOAS_IOVA_RANGES, iommu_ioas_iova_ranges, iommufd_ioas_ranges_ioctl),
	WHOLE(IOMMU_IOAS_MAP, iommu_ioas_map, iommufd_ioas_map_ioctl),
	WHOLE(IOMMU_IOAS_UNMAP, iommu_ioas_unmap, iommufd_ioas_unmap_ioctl),
	WHOLE(IOMMU_OPTION, iommu_option, iommufd_option_ioctl),
	WHOLE(IOMMU_VFIO_IOAS, iommu_vfio_ioas, iommufd_vfio_ioas_ioctl),
	REQUEST(IOMMU_HWPT_ALLOC, iommu_hwpt_alloc, IOMMU_HWPT_ALLOC_MIN, iommufd_hwpt_alloc_ioctl),
	REQUEST(IOMMU_GET_HW_INFO, iommu_hw_info, IOMMU_GET_HW_INFO_MIN, iommufd_hw_info_ioctl),
	WHOLE(IOMMU_HWPT_SET_DIRTY_TRACKING, iommu_hwpt_set_dirty_tracking, iommufd_set_dirty_ioctl),
	WHOLE(IOMMU_HWPT_GET_DIRTY_BITMAP, iommu_hwpt_get_dirty_bitmap, iommufd_get_dirty_ioctl),
	WHOLE(IOMMU_HWPT_INVALIDATE, iommu_hwpt_invalidate, iommufd_hwpt_invalidate_ioctl),
	WHOLE(IOMMU_FAULT_QUEUE_ALLOC, iommu_fault_alloc, iommufd_fault_alloc_ioctl),
	WHOLE(IOMMU_IOAS_MAP_FILE, iommu_ioas_map_file, iommufd_ioas_map_file_ioctl),
	REQUEST(IOMMU_VIOMMU_ALLOC, iommu_viommu_alloc, IOMMU_VIOMMU_ALLOC_MIN, iommufd_viommu_alloc_ioctl),
	WHOLE(IOMMU_VDEVICE_ALLOC, iommu_vdevice_alloc, iommufd_vdevice_alloc_ioctl),
	WHOLE(IOMMU_IOAS_CHANGE_PROCESS, iommu_ioas_change_process, iommufd_change_process_ioctl),
	REQUEST(IOMMU_VEVENTQ_ALLOC, iommu_veventq_alloc, IOMMU_VEVENTQ_ALLOC_MIN, iommufd_veventq_alloc_ioctl),
	WHOLE(IOMMU_HW_QUEUE_ALLOC, iommu_hw_queue_alloc, iommufd_hw_queue_alloc_ioctl),
	WHOLE(IOMMU_IOAS_NOIOMMU_GET_PA, iommu_ioas_noiommu_get_pa, iommufd_get_pa_ioctl),
	REQUEST(IOMMU_TEST_CMD, iommu_test_cmd, IOMMU_TEST_CMD_MIN, iommufd_test_ioctl), /* where it is built in */
};

#define CMD_MAX 72 /* bytes of the largest structure */

int ucmd_respond(struct ucmd *u)
{
	return task_copy_out(u->t, u->arg, u->cmd, MIN(u->size, u->full));
}

/* One copy where it will do, as each may be a system call: nearly always the caller's memory has room for ours. */
static int copy_in(struct ucmd *u, const struct request *r, unsigned cmd)
{
	const bool whole = r->fn && task_copy_in(u->t, u->cmd, u->arg, r->full) == 0;
	int rc;

	if (whole)
		memcpy(&u->size, u->cmd, sizeof(u->size));
	else if (task_copy_in(u->t, &u->size, u->arg, sizeof(u->size)))
		return -EFAULT;
	if (r->cmd != cmd)
		return -ENOTTY;
	if (u->size < r->min)
		return -EINVAL;
	if (whole && u->size <= r->full) {
		memset((char *)u->cmd + u->size, 0, r->full - u->size);
		return 0;
	}
	rc = ucopy_struct(u->t, u->cmd, r->full, u->arg, u->size);
	memcpy(u->cmd, &u->size, sizeof(u->size)); /* what was checked */
	return rc;
}

/* Without the test interface the table ends before it. */
static unsigned nrequests(const struct iommufd *fd)
{
	return fd->test ? ARRAY_SIZE(requests) : IOMMU_IOAS_NOIOMMU_GET_PA - IOMMU_DESTROY + 1;
}

static long ctx_ioctl(struct file *f, struct task *t, unsigned cmd, uint64_t arg)
{
	const unsigned nr = cmd & 0xff, first = IOMMU_DESTROY & 0xff;
	uint64_t buf[CMD_MAX / sizeof(uint64_t)];
	struct ucmd u = { .ctx = f->priv, .t = t, .arg = arg, .cmd = buf };
	const struct request *r;
	int rc;

	if (nr < first || nr - first >= nrequests(u.ctx->fd))
		return iommufd_vfio_ioctl(u.ctx, t, cmd, arg);
	r = &requests[nr - first];
	assert(r->full <= sizeof(buf));
	u.full = r->full;
	rc = copy_in(&u, r, cmd);
	return rc ? rc : r->fn(&u);
}

/* ---- contexts ---- */

struct iommufd_ctx *iommufd_ctx_get(struct iommufd_ctx *ctx)
{
	ref_get(&ctx->ref);
	return ctx;
}

void iommufd_ctx_put(struct iommufd_ctx *ctx)
{
	if (!ctx || !ref_put(&ctx->ref))
		return;
	ctx->ending = true;
	iommufd_mock_end(ctx);
	iommufd_objects_destroy_all(ctx);
	assert(RB_EMPTY(&ctx->groups));
	if (ctx->memfd >= 0)
		close(ctx->memfd);
	atomic_fetch_sub(&ctx->fd->contexts, 1);
	cond_fini(&ctx->left);
	mutex_fini(&ctx->lock);
	iopt_mover_fini(&ctx->mover);
	free(ctx);
}

static int ctx_mmap(struct file *f, struct task *t, const struct file_mmap *m)
{
	return iommufd_region_mmap(f->priv, m);
}

static void ctx_page(struct file *f, uint64_t offset, struct file_page *out)
{
	iommufd_region_page(f->priv, offset, out);
}

static void ctx_release(struct file *f)
{
	struct iommufd_ctx *ctx = f->priv;

	ctx->file = NULL;
	iommufd_ctx_put(ctx);
}

static const struct file_ops ctx_file_ops = {
	.name = "/dev/iommu",
	.ioctl = ctx_ioctl,
	.mmap = ctx_mmap,
	.page = ctx_page,
	.release = ctx_release,
};

struct iommufd_ctx *iommufd_ctx_from_file(struct file *f)
{
	return f->ops == &ctx_file_ops ? iommufd_ctx_get(f->priv) : NULL;
}

static int ctx_open(void *priv, struct task *t, int oflags, struct file **out)
{
	struct iommufd_ctx *ctx = calloc(1, sizeof(*ctx));
	int rc;

	if (!ctx)
		return -ENOMEM;
	ctx->fd = priv;
	atomic_fetch_add(&ctx->fd->contexts, 1);
	ref_init(&ctx->ref);
	iopt_mover_init(&ctx->mover);
	mutex_init(&ctx->lock, RANK_IOMMUFD);
	cond_init(&ctx->left);
	RB_INIT(&ctx->groups);
	LIST_INIT(&ctx->regions);
	ctx->memfd = -1;
	LIST_INIT(&ctx->orphans);
	rc = file_create(t, &ctx_file_ops, ctx, oflags, S_IFCHR | 0660, out);
	if (rc) {
		iommufd_ctx_put(ctx);
		return rc;
	}
	(*out)->rdev = makedev(MISC_MAJOR, MISC_MINOR);
	ctx->file = *out;
	return 0;
}

/* ---- the module ---- */

static int unsafe_show(void *priv, FILE *out)
{
	struct iommufd *fd = priv;

	fputs(atomic_load(&fd->unsafe_interrupts) ? "Y\n" : "N\n", out);
	return 0;
}

static ssize_t unsafe_store(void *priv, struct task *t, const char *buf, size_t n)
{
	struct iommufd *fd = priv;
	bool on = buf[0] && strchr("yYtT1", buf[0]), off = buf[0] && strchr("nNfF0", buf[0]);

	if (buf[0] == 'o' || buf[0] == 'O') {
		on = buf[1] == 'n' || buf[1] == 'N';
		off = buf[1] == 'f' || buf[1] == 'F';
	}
	if (!on && !off)
		return -EINVAL;
	atomic_store(&fd->unsafe_interrupts, on);
	return (ssize_t)n;
}

static const struct attr parameters[] = {
	{ .name = "allow_unsafe_interrupts", .mode = 0644, .show = unsafe_show, .store = unsafe_store },
	ATTR_END,
};

int iommufd_create(struct tree *tree, struct mem *mem, struct iommu *iommu, struct log *log,
		   const struct iommufd_params *params, struct iommufd **out)
{
	struct iommufd *fd = calloc(1, sizeof(*fd));
	int rc;

	if (!fd)
		return -ENOMEM;
	fd->tree = tree;
	fd->mem = mem;
	fd->iommu = iommu;
	fd->log = log;
	fd->noiommu = params->noiommu;
	fd->test = params->test;
	atomic_init(&fd->unsafe_interrupts, params->unsafe_interrupts);
	rc = iommufd_account_create(&fd->account);
	if (!rc)
		rc = tree_attrs(tree, PARAMETERS, parameters, fd);
	if (!rc)
		rc = tree_chr(tree, "/dev/iommu", 0660, makedev(MISC_MAJOR, MISC_MINOR), ctx_open, fd);
	if (rc) {
		iommufd_destroy(fd);
		return rc;
	}
	*out = fd;
	return 0;
}

void iommufd_destroy(struct iommufd *fd)
{
	if (!fd)
		return;
	assert(atomic_load(&fd->contexts) == 0);
	tree_remove(fd->tree, "/dev/iommu");
	tree_remove(fd->tree, "/sys/module/iommufd");
	iommufd_account_destroy(fd->account);
	free(fd);
}
