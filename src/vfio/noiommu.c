/* SPDX-License-Identifier: MIT */
/*
 * No-IOMMU mode: devices that nothing restrains, for programs that have a capability to hurt the machine
 * anyway. The backend has one request, SET_IOMMU, and maps nothing: programs give such a device physical
 * addresses (pagemap.c). What makes the mode safe to live with are the questions asked on the way, each time
 * of the task that takes the step, and the marks it leaves: the kernel is tainted, the log names the program.
 * Spec: 10, section 5.
 */
#include "vfio/priv.h"
#include "abi/vfio.h"

#define TAINTED    "/proc/sys/kernel/tainted"
#define TAINT_USER BIT(6)

int vfio_noiommu_allowed(const struct vfio_group *g, struct task *t)
{
	return g->type == VFIO_GROUP_NOIOMMU && !task_capable(t, TASK_CAP_SYS_RAWIO) ? -EPERM : 0;
}

/* ---- marks ---- */

void vfio_noiommu_taint(struct vfio *vfio, const char *device)
{
	atomic_fetch_or(&vfio->tainted, TAINT_USER);
	log_msg(vfio->log, LOG_WARN, "%s: vfio-noiommu: no IOMMU restrains this device; the kernel is tainted", device);
}

void vfio_noiommu_warn(const struct vfio_group *g, const char *device, struct task *t)
{
	if (g->type == VFIO_GROUP_NOIOMMU)
		log_msg(g->vfio->log, LOG_WARN, "%s: vfio-noiommu: device opened by user (%.16s:%d)", device, t->comm,
			(int)t->tgid);
}

static int tainted_show(void *priv, FILE *out)
{
	struct vfio *vfio = priv;

	fprintf(out, "%lu\n", atomic_load(&vfio->tainted));
	return 0;
}

/* Bits can be set by hand, never cleared. */
static ssize_t tainted_store(void *priv, struct task *t, const char *buf, size_t n)
{
	struct vfio *vfio = priv;
	unsigned long bits;
	char *end;

	if (!task_capable(t, TASK_CAP_SYS_ADMIN))
		return -EPERM;
	if (buf[0] < '0' || buf[0] > '9')
		return -EINVAL;
	bits = strtoul(buf, &end, 0);
	if (*end && *end != '\n')
		return -EINVAL;
	atomic_fetch_or(&vfio->tainted, bits);
	return (ssize_t)n;
}

static const struct attr kernel_attrs[] = {
	{ .name = "tainted", .mode = 0644, .show = tainted_show, .store = tainted_store },
	ATTR_END,
};

int vfio_noiommu_init(struct vfio *vfio)
{
	int rc = tree_root(vfio->tree, TAINTED);

	return rc ? rc : tree_attrs(vfio->tree, "/proc/sys/kernel", kernel_attrs, vfio);
}

void vfio_noiommu_fini(struct vfio *vfio)
{
	tree_remove(vfio->tree, "/proc/sys/kernel");
}

/* ---- the backend ---- */

static int noiommu_check_extension(struct vfio *vfio, struct vfio_backend *b, uint64_t extension)
{
	return extension == VFIO_NOIOMMU_IOMMU && atomic_load(&vfio->noiommu);
}

static int noiommu_create(struct vfio *vfio, struct task *t, uint64_t type, struct vfio_backend **out)
{
	struct vfio_backend *b;

	if (!task_capable(t, TASK_CAP_SYS_RAWIO))
		return -EPERM;
	b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	b->ops = &vfio_noiommu_ops;
	ref_init(&b->ref);
	*out = b;
	return 0;
}

static void noiommu_destroy(struct vfio_backend *b)
{
	free(b);
}

static int noiommu_attach(struct vfio_backend *b, struct vfio_group *g)
{
	return 0;
}

static void noiommu_detach(struct vfio_backend *b, struct vfio_group *g)
{
}

static long noiommu_ioctl(struct vfio_backend *b, struct task *t, unsigned cmd, uint64_t arg)
{
	return -ENOTTY;
}

const struct vfio_backend_ops vfio_noiommu_ops = {
	.name = "noiommu",
	.option = VFIO_WITHOUT_NOIOMMU,
	.noiommu = true,
	.check_extension = noiommu_check_extension,
	.create = noiommu_create,
	.destroy = noiommu_destroy,
	.attach = noiommu_attach,
	.detach = noiommu_detach,
	.ioctl = noiommu_ioctl,
};
