/* SPDX-License-Identifier: MIT */
/*
 * Groups: the node /dev/vfio/<id>, its single opener, and the way from there to a container and to device
 * files. See priv.h for who holds whom; here it matters that
 *
 * - group->lock is held over GET_DEVICE_FD's lookup and open together, so that the container cannot go away
 *   between them, but never over a copy from or to the caller, nor over putting a file (a release takes it);
 * - a dead group (no devices left) keeps its memory while its file is open, and answers -ENODEV.
 *
 * A group's container may be an iommufd instead (3.9): nothing is claimed then before a device is opened.
 * Spec: 10, 3.7.
 */
#include "vfio/priv.h"
#include "abi/vfio.h"
#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>

#define NAME_SIZE 4096 /* GET_DEVICE_FD's string, NUL included */

static int group_open(void *priv, struct task *t, int oflags, struct file **out);

/* ---- the object: made and ended under vfio->lock ---- */

void vfio_group_put(struct vfio_group *g)
{
	if (!ref_put(&g->ref))
		return;
	mutex_fini(&g->lock);
	free(g);
}

static int dev_show(void *priv, FILE *out)
{
	struct vfio_group *g = priv;

	fprintf(out, "%u:%u\n", VFIO_GROUP_MAJOR, g->minor);
	return 0;
}

static const struct attr group_attrs[] = {
	{ .name = "dev", .mode = 0444, .show = dev_show },
	ATTR_END,
};

static void group_tree_fini(struct vfio_group *g)
{
	tree_removef(g->vfio->tree, "/dev/vfio/%s", g->node);
	tree_removef(g->vfio->tree, "/sys/class/vfio/%s", g->node);
}

static int group_tree_init(struct vfio_group *g)
{
	char path[64];
	int rc;

	snprintf(path, sizeof(path), "/sys/class/vfio/%s", g->node);
	rc = tree_attrs(g->vfio->tree, path, group_attrs, g);
	if (rc)
		return rc;
	snprintf(path, sizeof(path), "/dev/vfio/%s", g->node);
	return tree_chr(g->vfio->tree, path, 0600, makedev(VFIO_GROUP_MAJOR, g->minor), group_open, g);
}

/* @ig: a reference goes to the group. */
static int group_create(struct vfio *vfio, struct iommu_group *ig, enum vfio_group_type type, struct vfio_group **out)
{
	struct vfio_group *g = calloc(1, sizeof(*g));
	int rc;

	if (!g)
		return -ENOMEM;
	g->vfio = vfio;
	mutex_init(&g->lock, RANK_VFIO_GROUP);
	ref_init(&g->ref);
	TAILQ_INIT(&g->devices);
	g->id = iommu_group_id(ig);
	g->type = type;
	snprintf(g->node, sizeof(g->node), "%s%u", type == VFIO_GROUP_NOIOMMU ? "noiommu-" : "", g->id);
	rc = ids_alloc(&vfio->minors, &g->minor);
	if (rc)
		goto err_free;
	g->iommu = ig;
	rc = group_tree_init(g);
	if (rc)
		goto err_tree;
	TAILQ_INSERT_TAIL(&vfio->groups, g, link);
	*out = g;
	return 0;

err_tree:
	group_tree_fini(g);
	ids_free(&vfio->minors, g->minor);
err_free:
	vfio_group_put(g);
	return rc;
}

/* A device that no IOMMU has grouped. */
static int join_fake(struct vfio *vfio, struct vfio_device *v, struct vfio_group **out)
{
	enum vfio_group_type type = v->iommu ? VFIO_GROUP_NOIOMMU : VFIO_GROUP_EMULATED;
	struct iommu_group *ig;
	int rc;

	if (type == VFIO_GROUP_NOIOMMU && !atomic_load(&vfio->noiommu))
		return -EINVAL;
	if (type == VFIO_GROUP_NOIOMMU && !vfio->ram) {
		rc = mem_ram_create(vfio->mem);
		if (rc)
			return rc;
		rc = vfio_pagemap_init(vfio);
		if (rc) {
			vfio_pagemap_fini(vfio);
			mem_ram_destroy(vfio->mem);
			return rc;
		}
		vfio->ram = true;
	}
	rc = vfio_fake_group_create(vfio, v, &ig);
	if (rc)
		return rc;
	rc = group_create(vfio, ig, type, out);
	if (rc)
		vfio_fake_group_destroy(vfio, v, ig);
	else if (type == VFIO_GROUP_NOIOMMU)
		vfio_noiommu_taint(vfio, v->dev->name);
	return rc;
}

static int join_iommu(struct vfio *vfio, struct iommu_group *ig, struct vfio_group **out)
{
	struct vfio_group *g;
	int rc;

	TAILQ_FOREACH(g, &vfio->groups, link) {
		if (g->iommu == ig) {
			*out = g;
			return 0;
		}
	}
	rc = group_create(vfio, iommu_group_get(ig), VFIO_GROUP_IOMMU, out);
	if (rc)
		iommu_group_put(ig);
	return rc;
}

int vfio_group_join(struct vfio *vfio, struct vfio_device *v, struct vfio_group **out)
{
	struct iommu_group *ig = v->iommu ? iommu_dev_group(v->iommu) : NULL;
	int rc = ig ? join_iommu(vfio, ig, out) : join_fake(vfio, v, out);

	if (!rc)
		(*out)->ndevices++;
	return rc;
}

/* Out of its container, of either kind. Returns the iommufd, to be put without locks. */
static struct iommufd_ctx *container_drop(struct vfio_group *g) REQUIRES(&g->lock);
static struct iommufd_ctx *container_drop(struct vfio_group *g)
{
	struct iommufd_ctx *ctx = g->iommufd;

	if (g->container)
		vfio_container_detach(g);
	g->iommufd = NULL;
	return ctx;
}

void vfio_group_leave(struct vfio_group *g, struct vfio_device *v)
{
	struct vfio *vfio = g->vfio;
	struct iommufd_ctx *ctx;
	struct iommu_group *ig;

	assert(g->ndevices > 0);
	if (--g->ndevices)
		return;
	TAILQ_REMOVE(&vfio->groups, g, link);
	group_tree_fini(g);
	mutex_lock(&g->lock);
	assert(TAILQ_EMPTY(&g->devices));
	ctx = container_drop(g);
	ig = g->iommu;
	g->iommu = NULL;
	mutex_unlock(&g->lock);
	ids_free(&vfio->minors, g->minor);
	if (g->type == VFIO_GROUP_IOMMU)
		iommu_group_put(ig);
	else
		vfio_fake_group_destroy(vfio, v, ig);
	vfio_group_put(g);
	iommufd_ctx_put(ctx);
}

/* ---- requests ---- */

static long get_status_ioctl(struct vfio_group *g, struct task *t, uint64_t arg)
{
	struct vfio_group_status st;
	int rc = ucopy_argsz(t, &st, arg, VFIO_GROUP_STATUS_MINSZ);

	if (rc)
		return rc;
	st.flags = 0;
	mutex_lock(&g->lock);
	if (!g->iommu)
		rc = -ENODEV;
	else
		st.flags = (g->container || g->iommufd ? VFIO_GROUP_FLAGS_CONTAINER_SET : 0) |
			   (g->iommufd || g->admitted || !iommu_group_claimed(g->iommu) ? VFIO_GROUP_FLAGS_VIABLE : 0);
	mutex_unlock(&g->lock);
	if (rc)
		return rc;
	return task_copy_out(t, arg, &st, sizeof(st));
}

/* The caller of the ioctl has @f, so no put here is the last one. */
static int set_iommufd_locked(struct vfio_group *g, struct file *f) REQUIRES(&g->lock);
static int set_iommufd_locked(struct vfio_group *g, struct file *f)
{
	struct iommufd_ctx *ctx = iommufd_ctx_from_file(f);
	int rc;

	if (!ctx)
		return -EBADFD;
	rc = g->type == VFIO_GROUP_NOIOMMU ? iommufd_compat_set_noiommu(ctx) : iommufd_compat_ioas_create(ctx);
	if (rc)
		iommufd_ctx_put(ctx);
	else
		g->iommufd = ctx;
	return rc;
}

/* @foreign: the descriptor is open, but not one of the machine's files. @claimed: it came so far that a claim was tried */
static int set_container(struct vfio_group *g, struct file *f, bool foreign, struct task *t, bool *claimed)
{
	struct vfio_container *c;

	*claimed = false;
	SCOPED_LOCK(&g->lock);
	if (g->container || g->iommufd)
		return -EINVAL;
	if (!g->iommu)
		return -ENODEV;
	c = foreign ? NULL : vfio_container_of(f);
	*claimed = c != NULL;
	if (c)
		return vfio_container_attach(c, g, t);
	return foreign ? -EBADFD : set_iommufd_locked(g, f);
}

static long set_container_ioctl(struct vfio_group *g, struct task *t, uint64_t arg)
{
	struct file *f = NULL;
	int32_t fd;
	int rc = task_copy_in(t, &fd, arg, sizeof(fd));
	bool foreign, claimed;

	if (rc)
		return rc;
	rc = task_file_get(t, fd, &f);
	foreign = rc == -EBADFD;
	if (rc && !foreign)
		return rc;
	rc = set_container(g, f, foreign, t, &claimed);
	file_put(f);
	if (rc && claimed)
		vfio_tell_refused(g->vfio, g->id, t, VFIO_REFUSED_CLAIM, rc, NULL);
	return rc;
}

static long unset_container_ioctl(struct vfio_group *g, struct task *t, uint64_t arg)
{
	struct iommufd_ctx *ctx = NULL;
	int rc = 0;

	mutex_lock(&g->lock);
	if (!g->container && !g->iommufd)
		rc = -EINVAL;
	else if (g->container && g->container_users != 1)
		rc = -EBUSY;
	else
		ctx = container_drop(g);
	mutex_unlock(&g->lock);
	iommufd_ctx_put(ctx);
	return rc;
}

static int open_named(struct vfio_group *g, struct task *t, const char *name, struct file **out)
{
	struct vfio_device_priv *p = NULL;
	int rc;

	mutex_lock(&g->lock);
	rc = vfio_device_find(g, name, &p);
	if (!rc)
		rc = vfio_device_open(p, t, out);
	mutex_unlock(&g->lock);
	if (rc && p)
		vfio_device_put(p);
	return rc;
}

static long get_device_fd_ioctl(struct vfio_group *g, struct task *t, uint64_t arg)
{
	AUTO_FREE char *name = malloc(NAME_SIZE);
	struct file *f;
	ssize_t n;
	int rc;

	if (!name)
		return -ENOMEM;
	n = ucopy_string(t, name, arg, NAME_SIZE);
	if (n < 0)
		return n;
	rc = open_named(g, t, name, &f);
	if (rc)
		return rc;
	rc = task_fd_install(t, f, O_RDWR | O_CLOEXEC);
	file_put(f); /* a failed install ends in the file's release, which undoes the open */
	return rc;
}

VFIO_IOCTL_TABLE(group_ioctl, struct vfio_group);
static const struct group_ioctl group_ioctls[] = {
	{ VFIO_GROUP_GET_STATUS, get_status_ioctl },
	{ VFIO_GROUP_SET_CONTAINER, set_container_ioctl },
	{ VFIO_GROUP_UNSET_CONTAINER, unset_container_ioctl },
	{ VFIO_GROUP_GET_DEVICE_FD, get_device_fd_ioctl },
};

static long group_file_ioctl(struct file *f, struct task *t, unsigned cmd, uint64_t arg)
{
	for (size_t i = 0; i < ARRAY_SIZE(group_ioctls); i++) {
		if (group_ioctls[i].cmd == cmd)
			return group_ioctls[i].fn(f->priv, t, arg);
	}
	return -ENOTTY;
}

static void group_file_release(struct file *f)
{
	struct vfio_group *g = f->priv;
	struct iommufd_ctx *ctx;

	mutex_lock(&g->lock);
	assert(g->container_users <= 1); /* an open device would hold the file */
	ctx = container_drop(g);
	g->open_file = NULL;
	mutex_unlock(&g->lock);
	iommufd_ctx_put(ctx);
	vfio_group_put(g);
}

static const struct file_ops group_file_ops = {
	.name = "/dev/vfio/<group>",
	.ioctl = group_file_ioctl,
	.release = group_file_release,
};

bool vfio_group_user_locked(struct vfio_group *g, struct vfio_user *out)
{
	struct file *f = g->open_file;
	struct vfio_device_priv *p;

	memset(out, 0, sizeof(*out));
	snprintf(out->node, sizeof(out->node), "/dev/vfio/%s", g->node);
	out->group_open = f != NULL;
	TAILQ_FOREACH(p, &g->devices, link) {
		out->device_open |= atomic_load(&p->open_count) > 0;
		if (f || !p->bound)
			continue;
		f = p->bound;
		snprintf(out->node, sizeof(out->node), "/dev/vfio/devices/vfio%u", p->index);
	}
	if (!f)
		return false;
	out->pid = f->opener;
	memcpy(out->comm, f->opener_comm, sizeof(out->comm));
	out->since = f->opened_at;
	return true;
}

/* -EBUSY: *@holder is who has it open */
static int open_once(struct vfio_group *g, struct task *t, int oflags, struct vfio_user *holder, struct file **out)
{
	struct file *f;
	int rc;

	SCOPED_LOCK(&g->lock);
	if (!g->iommu)
		return -ENODEV;
	rc = vfio_noiommu_allowed(g, t);
	if (rc)
		return rc;
	if (g->cdev_users || g->open_file) {
		vfio_group_user_locked(g, holder);
		return -EBUSY;
	}
	rc = file_create(t, &group_file_ops, g, oflags, S_IFCHR | 0600, &f);
	if (rc)
		return rc;
	f->rdev = makedev(VFIO_GROUP_MAJOR, g->minor);
	ref_get(&g->ref);
	g->open_file = f;
	*out = f;
	return 0;
}

static int group_open(void *priv, struct task *t, int oflags, struct file **out)
{
	struct vfio_group *g = priv;
	struct vfio_user holder = { 0 };
	int rc = open_once(g, t, oflags, &holder, out);

	if (rc == -EBUSY)
		vfio_tell_refused(g->vfio, g->id, t, VFIO_REFUSED_OPEN, rc, &holder);
	return rc;
}

int vfio_group_of_file(struct file *f, struct iommu_group **out)
{
	struct vfio_group *g;

	if (f->ops != &group_file_ops)
		return -EINVAL;
	g = f->priv;
	SCOPED_LOCK(&g->lock);
	if (!g->iommu)
		return -EINVAL;
	*out = g->iommu;
	return 0;
}

bool vfio_user_of(struct vfio *vfio, unsigned group_id, struct vfio_user *out)
{
	struct vfio_group *g;
	bool open = false;

	SCOPED_LOCK(&vfio->lock);
	TAILQ_FOREACH(g, &vfio->groups, link) {
		if (g->id != group_id)
			continue;
		mutex_lock(&g->lock);
		open = vfio_group_user_locked(g, out);
		mutex_unlock(&g->lock);
		break;
	}
	return open;
}
