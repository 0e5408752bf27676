/* SPDX-License-Identifier: MIT */
/*
 * Fault queues: where page requests of devices would be read, and answered. No device here makes any, so a queue is
 * always empty, no answer has a cookie that is known, and an HWPT that names a queue can be made, but no device can be
 * attached to it.
 *
 * Spec: 30, section 12.
 */
#include "iommufd/priv.h"
#include <assert.h>
#include <fcntl.h>

#define MESSAGE_SIZE 40

struct response {
	uint32_t cookie, code;
};
#define RESPONSE_SUCCESS 0
#define RESPONSE_INVALID 1

struct iommufd_fault {
	struct iommufd_object obj; /* used by the open file, and by HWPTs */
};

void iommufd_fault_free(struct iommufd_object *o)
{
	free(container_of(o, struct iommufd_fault, obj));
}

/* ---- the file ---- */

static ssize_t fault_read(struct file *f, struct task *t, uva_t buf, size_t count, uint64_t pos)
{
	return pos || count % MESSAGE_SIZE ? -ESPIPE : 0;
}

static ssize_t fault_write(struct file *f, struct task *t, uva_t buf, size_t count, uint64_t pos)
{
	struct response r;

	if (pos || count % sizeof(r))
		return -ESPIPE;
	if (count && task_copy_in(t, &r, buf, sizeof(r)))
		return -EFAULT;
	/* A wrong code and an unknown cookie are the same error. */
	return count ? -EINVAL : 0;
}

static void fault_release(struct file *f)
{
	struct iommufd_fault *fault = f->priv;
	struct iommufd_ctx *ctx = fault->obj.ctx;

	iommufd_object_unuse(&fault->obj);
	iommufd_ctx_put(ctx);
}

static const struct file_ops fault_file_ops = {
	.name = "anon_inode:[iommufd-pgfault]",
	.read = fault_read,
	.write = fault_write,
	.release = fault_release,
};

/* ---- FAULT_QUEUE_ALLOC ---- */

static int install(struct ucmd *u, struct iommufd_fault *fault)
{
	struct iommu_fault_alloc *a = u->cmd;
	struct file *f;
	int rc = file_create(u->t, &fault_file_ops, fault, O_RDWR, S_IFREG | 0600, &f);

	if (rc)
		return rc;
	fault->obj.users = 1;
	iommufd_ctx_get(u->ctx);
	/* What cannot be told is not made: a descriptor that is there cannot be taken back. */
	rc = ucmd_respond(u);
	if (!rc)
		rc = task_fd_install(u->t, f, O_RDWR | O_CLOEXEC);
	if (rc >= 0)
		a->out_fault_fd = (uint32_t)rc;
	file_put(f);
	return rc < 0 ? rc : 0;
}

int iommufd_fault_alloc_ioctl(struct ucmd *u)
{
	struct iommu_fault_alloc *a = u->cmd;
	struct iommufd_fault *fault;
	int rc;

	if (a->flags)
		return -EOPNOTSUPP;
	fault = calloc(1, sizeof(*fault));
	if (!fault)
		return -ENOMEM;
	rc = iommufd_object_reserve(u->ctx, IOMMUFD_FAULT, &fault->obj);
	if (rc) {
		free(fault);
		return rc;
	}
	a->out_fault_id = fault->obj.id;
	rc = install(u, fault);
	if (rc) {
		iommufd_object_abandon(&fault->obj);
		free(fault);
		return rc;
	}
	iommufd_object_publish(&fault->obj);
	return ucmd_respond(u);
}
