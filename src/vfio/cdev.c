/* SPDX-License-Identifier: MIT */
/*
 * The node of a device's own, /dev/vfio/devices/vfioN. To open it grants nothing: every request but BIND_IOMMUFD is
 * refused until the file is bound to an iommufd, which one file of a device can be at a time, and stays until it is
 * closed. While one is, the group's node is refused to everybody.
 *
 * Spec: 10, 3.13 and 3.14; what comes from the caller is copied in before any lock is taken.
 */
#include "vfio/priv.h"
#include "abi/vfio.h"
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* ---- BIND_IOMMUFD ---- */

struct bind {
	struct vfio_device_bind_iommufd arg;
	uint8_t uuid[16];
	int uuid_error; /* of copying it in */
	struct file *iommufd;
	int iommufd_error; /* of finding it */
	struct vfio_user holder; /* when it is refused: who has the group already, if anybody */
	bool held;
};

static int bind_copy(struct bind *b, struct task *t, uint64_t arg)
{
	uint32_t argsz;
	int rc = task_copy_in(t, &argsz, arg, sizeof(argsz));

	memset(b, 0, sizeof(*b));
	if (rc)
		return rc;
	if (argsz < VFIO_DEVICE_BIND_IOMMUFD_MINSZ)
		return -EINVAL;
	rc = ucopy_struct(t, &b->arg, sizeof(b->arg), arg, argsz);
	if (rc)
		return rc;
	if (b->arg.iommufd < 0 || b->arg.flags & ~VFIO_DEVICE_BIND_FLAG_TOKEN)
		return -EINVAL;
	if (b->arg.flags & VFIO_DEVICE_BIND_FLAG_TOKEN)
		b->uuid_error = task_copy_in(t, b->uuid, b->arg.token_uuid_ptr, sizeof(b->uuid));
	b->iommufd_error = task_file_get(t, b->arg.iommufd, &b->iommufd);
	return 0;
}

static int check_token(struct vfio_device *v, const struct bind *b)
{
	bool given = b->arg.flags & VFIO_DEVICE_BIND_FLAG_TOKEN;

	if (!v->ops->token)
		return given ? -EINVAL : 0;
	if (given && b->uuid_error)
		return b->uuid_error;
	return v->ops->token(v, given ? b->uuid : NULL);
}

static int bind_to(struct vfio_device_priv *p, struct bind *b)
{
	struct iommufd_ctx *ctx = b->iommufd_error ? NULL : iommufd_ctx_from_file(b->iommufd);
	int rc;

	if (!ctx)
		return b->iommufd_error ? b->iommufd_error : -EBADFD;
	rc = atomic_load(&p->open_count) ? -EINVAL : vfio_device_bind(p, ctx, &b->arg.out_devid);
	iommufd_ctx_put(ctx); /* a bound device has a reference of its own */
	return rc;
}

static int bind_locked(struct vfio_device_file *df, struct file *f, struct bind *b)
{
	struct vfio_device_priv *p = df->p;
	int rc;

	SCOPED_LOCK(&p->group->lock);
	b->held = vfio_group_user_locked(p->group, &b->holder);
	if (p->group->open_file)
		return -EBUSY;
	SCOPED_LOCK(&p->set->lock);
	if (atomic_load(&df->access))
		return -EINVAL;
	rc = check_token(p->v, b);
	if (!rc)
		rc = bind_to(p, b);
	if (rc)
		return rc;
	p->bound = f;
	p->group->cdev_users++;
	return 0;
}

static void unbind_locked(struct vfio_device_priv *p)
{
	SCOPED_LOCK(&p->group->lock);
	SCOPED_LOCK(&p->set->lock);
	vfio_device_unbind(p);
	p->bound = NULL;
	p->group->cdev_users--;
}

static long bind_ioctl(struct vfio_device_file *df, struct file *f, struct task *t, uint64_t arg)
{
	const uint64_t out = arg + offsetof(struct vfio_device_bind_iommufd, out_devid);
	struct bind b;
	long rc;

	if (!vfio_has(df->p->vfio, VFIO_WITHOUT_CDEV))
		return -ENOTTY;
	rc = bind_copy(&b, t, arg);
	if (!rc && !df->cdev)
		rc = -EINVAL;
	if (!rc)
		rc = bind_locked(df, f, &b);
	if (!rc) {
		rc = task_copy_out(t, out, &b.arg.out_devid, sizeof(b.arg.out_devid));
		if (rc)
			unbind_locked(df->p);
		else
			atomic_store_explicit(&df->access, true, memory_order_release);
	}
	file_put(b.iommufd);
	if (rc == -EBUSY || rc == -EPERM)
		vfio_tell_refused(df->p->vfio, df->p->group->id, t, VFIO_REFUSED_BIND, (int)rc, b.held ? &b.holder : NULL);
	return rc;
}

/* ---- ATTACH and DETACH ---- */

/* ATTACH and DETACH end alike: flags, of which there is one, and the PASID that it asks for, at @at. */
static int copy_pasid(struct vfio_device_file *df, struct task *t, uint32_t flags, uint32_t argsz, uint64_t arg, size_t at,
		      uint32_t *pasid)
{
	if (flags & ~VFIO_DEVICE_ATTACH_PASID)
		return -EINVAL;
	if (!flags)
		return 0;
	if (!df->p->v->iommu)
		return -EOPNOTSUPP;
	return argsz < at + sizeof(*pasid) ? -EINVAL : task_copy_in(t, pasid, arg + at, sizeof(*pasid));
}

static int attach(struct vfio_device_file *df, struct vfio_device_attach_iommufd_pt *a)
{
	SCOPED_LOCK(&df->p->set->lock);
	return a->flags ? vfio_iommufd_attach_pasid(df->p, a->pasid, &a->pt_id) : vfio_iommufd_attach(df->p, &a->pt_id);
}

static void detach(struct vfio_device_file *df, bool pasid, uint32_t number)
{
	SCOPED_LOCK(&df->p->set->lock);
	if (pasid)
		vfio_iommufd_detach_pasid(df->p, number);
	else
		vfio_iommufd_detach(df->p);
}

static long attach_ioctl(struct vfio_device_file *df, struct task *t, uint64_t arg)
{
	const size_t minsz = offsetof(struct vfio_device_attach_iommufd_pt, pasid);
	const uint64_t out = arg + offsetof(struct vfio_device_attach_iommufd_pt, pt_id);
	struct vfio_device_attach_iommufd_pt a;
	long rc = ucopy_argsz(t, &a, arg, minsz);

	if (!rc)
		rc = copy_pasid(df, t, a.flags, a.argsz, arg, minsz, &a.pasid);
	if (!rc)
		rc = attach(df, &a);
	if (rc)
		return rc;
	rc = task_copy_out(t, out, &a.pt_id, sizeof(a.pt_id));
	if (rc)
		detach(df, a.flags, a.pasid);
	return rc;
}

static long detach_ioctl(struct vfio_device_file *df, struct task *t, uint64_t arg)
{
	const size_t minsz = offsetof(struct vfio_device_detach_iommufd_pt, pasid);
	struct vfio_device_detach_iommufd_pt d;
	int rc = ucopy_argsz(t, &d, arg, minsz);

	if (!rc)
		rc = copy_pasid(df, t, d.flags, d.argsz, arg, minsz, &d.pasid);
	if (!rc)
		detach(df, d.flags, d.pasid);
	return rc;
}

bool vfio_cdev_ioctl(struct vfio_device_file *df, struct file *f, struct task *t, unsigned cmd, uint64_t arg, long *rc)
{
	if (cmd == VFIO_DEVICE_BIND_IOMMUFD)
		*rc = bind_ioctl(df, f, t, arg);
	else if (!atomic_load_explicit(&df->access, memory_order_acquire))
		*rc = -EINVAL;
	else if (df->cdev && cmd == VFIO_DEVICE_ATTACH_IOMMUFD_PT)
		*rc = attach_ioctl(df, t, arg);
	else if (df->cdev && cmd == VFIO_DEVICE_DETACH_IOMMUFD_PT)
		*rc = detach_ioctl(df, t, arg);
	else
		return false;
	return true;
}

/* ---- the node ---- */

static int cdev_open(void *priv, struct task *t, int oflags, struct file **out)
{
	struct vfio_device_priv *p = priv;
	int rc = vfio_noiommu_allowed(p->group, t);

	if (rc)
		return rc;
	vfio_device_get(p);
	rc = vfio_device_file_create(p, t, oflags, true, out);
	if (rc) {
		vfio_device_put(p);
		return rc;
	}
	(*out)->rdev = makedev(VFIO_DEVICE_MAJOR, p->index);
	return 0;
}

void vfio_cdev_release(struct vfio_device_file *df)
{
	if (atomic_load(&df->access))
		unbind_locked(df->p);
}

static int dev_show(void *priv, FILE *out)
{
	struct vfio_device_priv *p = priv;

	fprintf(out, "%u:%u\n", VFIO_DEVICE_MAJOR, p->index);
	return 0;
}

static const struct attr cdev_attrs[] = {
	{ .name = "dev", .mode = 0444, .show = dev_show },
	ATTR_END,
};

int vfio_cdev_init(struct vfio_device_priv *p, const char *name, const char *dir)
{
	char path[64];
	int rc;

	if (!vfio_has(p->vfio, VFIO_WITHOUT_CDEV))
		return 0;
	rc = tree_attrs(p->vfio->tree, dir, cdev_attrs, p);
	snprintf(path, sizeof(path), "/dev/vfio/devices/%s", name);
	return rc ? rc : tree_chr(p->vfio->tree, path, 0600, makedev(VFIO_DEVICE_MAJOR, p->index), cdev_open, p);
}

void vfio_cdev_fini(struct vfio_device_priv *p, const char *name)
{
	tree_removef(p->vfio->tree, "/dev/vfio/devices/%s", name);
}
