/* SPDX-License-Identifier: MIT */
/*
 * Containers: what each open of /dev/vfio/vfio makes. A container is a list of groups and, once SET_IOMMU
 * has chosen one, a backend that answers the rest of the requests. There is one backend, type1; a second one
 * (No-IOMMU) would make container->type1 a pair of ops and instance, and the two kinds of group exclusive.
 *
 * A request to the backend holds a reference on it but no lock, as it copies from the caller; if the last
 * group leaves meanwhile it finds a backend without domains, and answers as a container without backend.
 * Spec: 10, 3.6 and 3.8.
 */
#include "vfio/priv.h"
#include "abi/vfio.h"
#include "vfio/type1.h"
#include <assert.h>
#include <sys/sysmacros.h>

static void container_put(struct vfio_container *c)
{
	if (!ref_put(&c->ref))
		return;
	assert(TAILQ_EMPTY(&c->groups) && !c->type1);
	mutex_fini(&c->lock);
	free(c);
}

/* ---- groups ---- */

static int attach_locked(struct vfio_container *c, struct vfio_group *g)
{
	int rc = iommu_group_claim(g->iommu, g);

	if (rc)
		return rc;
	if (c->type1) {
		rc = vfio_type1_attach(c->type1, g->iommu);
		if (rc) {
			iommu_group_release(g->iommu);
			return rc;
		}
	}
	TAILQ_INSERT_HEAD(&c->groups, g, container_link);
	return 0;
}

int vfio_container_attach(struct vfio_container *c, struct vfio_group *g)
{
	int rc;

	mutex_lock(&c->lock);
	rc = attach_locked(c, g);
	mutex_unlock(&c->lock);
	if (rc)
		return rc;
	ref_get(&c->ref);
	g->container = c;
	g->container_users = 1;
	return 0;
}

void vfio_container_detach(struct vfio_group *g)
{
	struct vfio_container *c = g->container;

	assert(g->container_users == 1);
	mutex_lock(&c->lock);
	if (c->type1)
		vfio_type1_detach(c->type1, g->iommu);
	iommu_group_release(g->iommu);
	TAILQ_REMOVE(&c->groups, g, container_link);
	if (TAILQ_EMPTY(&c->groups)) {
		vfio_type1_put(c->type1);
		c->type1 = NULL;
	}
	mutex_unlock(&c->lock);
	g->container = NULL;
	g->container_users = 0;
	container_put(c);
}

bool vfio_container_ready(struct vfio_container *c)
{
	SCOPED_LOCK(&c->lock);
	return c->type1 != NULL;
}

/* ---- requests ---- */

static long get_api_version_ioctl(struct vfio_container *c, struct task *t, uint64_t arg)
{
	return VFIO_API_VERSION;
}

static long check_extension_ioctl(struct vfio_container *c, struct task *t, uint64_t arg)
{
	SCOPED_LOCK(&c->lock);
	return vfio_type1_check_extension(c->type1, arg);
}

/* Attach every group of the container to a new instance; none stays attached on failure. */
static int attach_all_locked(struct vfio_container *c, struct vfio_type1 *type1)
{
	struct vfio_group *g, *undo;
	int rc;

	TAILQ_FOREACH(g, &c->groups, container_link) {
		rc = vfio_type1_attach(type1, g->iommu);
		if (rc)
			goto err;
	}
	return 0;

err:
	TAILQ_FOREACH(undo, &c->groups, container_link) {
		if (undo == g)
			break;
		vfio_type1_detach(type1, undo->iommu);
	}
	return rc;
}

static long set_iommu_ioctl(struct vfio_container *c, struct task *t, uint64_t arg)
{
	struct vfio_type1 *type1;
	int rc;

	SCOPED_LOCK(&c->lock);
	if (TAILQ_EMPTY(&c->groups) || c->type1)
		return -EINVAL;
	if (vfio_type1_check_extension(NULL, arg) <= 0)
		return -ENODEV;
	rc = vfio_type1_create(c->vfio, arg, &type1);
	if (rc)
		return rc;
	rc = attach_all_locked(c, type1);
	if (rc) {
		vfio_type1_put(type1);
		return rc;
	}
	c->type1 = type1;
	return 0;
}

VFIO_IOCTL_TABLE(container_ioctl, struct vfio_container);
static const struct container_ioctl container_ioctls[] = {
	{ VFIO_GET_API_VERSION, get_api_version_ioctl },
	{ VFIO_CHECK_EXTENSION, check_extension_ioctl },
	{ VFIO_SET_IOMMU, set_iommu_ioctl },
};

static long backend_ioctl(struct vfio_container *c, struct task *t, unsigned cmd, uint64_t arg)
{
	struct vfio_type1 *type1;
	long rc;

	mutex_lock(&c->lock);
	type1 = vfio_type1_get(c->type1);
	mutex_unlock(&c->lock);
	if (!type1)
		return -EINVAL;
	rc = vfio_type1_ioctl(type1, t, cmd, arg);
	vfio_type1_put(type1);
	return rc;
}

static long container_file_ioctl(struct file *f, struct task *t, unsigned cmd, uint64_t arg)
{
	struct vfio_container *c = f->priv;

	for (size_t i = 0; i < ARRAY_SIZE(container_ioctls); i++) {
		if (container_ioctls[i].cmd == cmd)
			return container_ioctls[i].fn(c, t, arg);
	}
	return backend_ioctl(c, t, cmd, arg);
}

static void container_file_release(struct file *f)
{
	container_put(f->priv);
}

static const struct file_ops container_file_ops = {
	.name = "/dev/vfio/vfio",
	.ioctl = container_file_ioctl,
	.release = container_file_release,
};

struct vfio_container *vfio_container_of(struct file *f)
{
	return f->ops == &container_file_ops ? f->priv : NULL;
}

int vfio_container_open(void *priv, struct task *t, int oflags, struct file **out)
{
	struct vfio_container *c = calloc(1, sizeof(*c));
	int rc;

	if (!c)
		return -ENOMEM;
	c->vfio = priv;
	mutex_init(&c->lock, RANK_VFIO_CONTAINER);
	ref_init(&c->ref);
	TAILQ_INIT(&c->groups);
	rc = file_create(t, &container_file_ops, c, oflags, S_IFCHR | 0666, out);
	if (rc) {
		container_put(c);
		return rc;
	}
	(*out)->rdev = makedev(VFIO_CONTAINER_MAJOR, VFIO_CONTAINER_MINOR);
	return 0;
}
