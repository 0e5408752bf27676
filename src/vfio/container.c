/* SPDX-License-Identifier: MIT */
/*
 * Containers: what each open of /dev/vfio/vfio makes. A container is a list of groups and, once SET_IOMMU
 * has chosen one, a backend that answers the rest of the requests. Groups without IOMMU and others never
 * share a container, and each backend takes one of the two kinds.
 *
 * Joining claims the group's DMA and attaches it to the backend: the group is "admitted". A kernel without
 * ownership (spec 10, 2.8) lets a group join that host drivers still use, and refuses to open its devices.
 * Here such a group is in the container but not admitted: its DMA stays the host's until a device is opened
 * at a moment when nobody else uses it. So even then no program's mappings are ever behind a host driver.
 *
 * A request to the backend holds a reference on it but no lock, as it copies from the caller; if the last
 * group leaves meanwhile it finds a backend without domains, and answers as a container without backend.
 * Spec: 10, 3.6 and 3.8.
 */
#include "vfio/priv.h"
#include "abi/vfio.h"
#include <assert.h>
#include <sys/sysmacros.h>

static void container_put(struct vfio_container *c)
{
	if (!ref_put(&c->ref))
		return;
	assert(TAILQ_EMPTY(&c->groups) && !c->backend);
	mutex_fini(&c->lock);
	free(c);
}

/* ---- groups ---- */

/* Only the IOMMU's own groups have DMA that can be owned. */
static int claim(struct vfio_group *g)
{
	return g->type == VFIO_GROUP_IOMMU ? iommu_group_claim(g->iommu, g) : 0;
}

static void release(struct vfio_group *g)
{
	if (g->type == VFIO_GROUP_IOMMU)
		iommu_group_release(g->iommu);
}

static int admit_locked(struct vfio_container *c, struct vfio_group *g)
{
	int rc = claim(g);

	if (rc)
		return rc;
	if (c->backend) {
		rc = c->backend->ops->attach(c->backend, g);
		if (rc) {
			release(g);
			return rc;
		}
	}
	g->admitted = true;
	return 0;
}

static int attach_locked(struct vfio_container *c, struct vfio_group *g)
{
	bool noiommu = g->type == VFIO_GROUP_NOIOMMU;
	int rc;

	if (!TAILQ_EMPTY(&c->groups) && c->noiommu != noiommu)
		return -EPERM;
	rc = admit_locked(c, g);
	if (rc && (rc != -EPERM || vfio_has(c->vfio, VFIO_WITHOUT_DMA_OWNER)))
		return rc;
	c->noiommu = noiommu;
	TAILQ_INSERT_HEAD(&c->groups, g, container_link);
	return 0;
}

int vfio_container_attach(struct vfio_container *c, struct vfio_group *g, struct task *t)
{
	int rc = vfio_noiommu_allowed(g, t);

	if (rc)
		return rc;
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
	struct vfio_backend *unused = NULL;

	assert(g->container_users == 1);
	mutex_lock(&c->lock);
	if (g->admitted) {
		if (c->backend)
			c->backend->ops->detach(c->backend, g);
		release(g);
		g->admitted = false;
	}
	TAILQ_REMOVE(&c->groups, g, container_link);
	if (TAILQ_EMPTY(&c->groups)) {
		unused = c->backend;
		c->backend = NULL;
	}
	mutex_unlock(&c->lock);
	vfio_backend_put(unused);
	g->container = NULL;
	g->container_users = 0;
	container_put(c);
}

int vfio_container_use(struct vfio_group *g, struct task *t, struct vfio_backend **out)
{
	struct vfio_container *c = g->container;
	int rc;

	SCOPED_LOCK(&c->lock);
	if (!c->backend)
		return -EINVAL;
	rc = vfio_noiommu_allowed(g, t);
	if (rc)
		return rc;
	if (!g->admitted && admit_locked(c, g))
		return -EINVAL;
	*out = c->backend;
	return 0;
}

/* ---- requests ---- */

static long get_api_version_ioctl(struct vfio_container *c, struct task *t, uint64_t arg)
{
	return VFIO_API_VERSION;
}

/* In the order in which they are asked. */
static const struct vfio_backend_ops *const backends[] = { &vfio_type1_ops, &vfio_noiommu_ops };

static bool suits_locked(struct vfio_container *c, const struct vfio_backend_ops *ops)
{
	return vfio_has(c->vfio, ops->option) && (TAILQ_EMPTY(&c->groups) || c->noiommu == ops->noiommu);
}

static long check_extension_ioctl(struct vfio_container *c, struct task *t, uint64_t arg)
{
	int answer = 0;

	SCOPED_LOCK(&c->lock);
	if (c->backend)
		return c->backend->ops->check_extension(c->vfio, c->backend, arg);
	for (size_t i = 0; i < ARRAY_SIZE(backends) && answer <= 0; i++) {
		if (suits_locked(c, backends[i]))
			answer = backends[i]->check_extension(c->vfio, NULL, arg);
	}
	return answer;
}

/* Attach every admitted group of the container to a new instance; none stays attached on failure. */
static int attach_all_locked(struct vfio_container *c, struct vfio_backend *b)
{
	struct vfio_group *g, *undo;
	int rc;

	TAILQ_FOREACH(g, &c->groups, container_link) {
		if (!g->admitted)
			continue;
		rc = b->ops->attach(b, g);
		if (rc)
			goto err;
	}
	return 0;

err:
	TAILQ_FOREACH(undo, &c->groups, container_link) {
		if (undo == g)
			break;
		if (undo->admitted)
			b->ops->detach(b, undo);
	}
	return rc;
}

static int choose_locked(struct vfio_container *c, const struct vfio_backend_ops *ops, struct task *t, uint64_t type)
{
	struct vfio_backend *b;
	int rc = ops->create(c->vfio, t, type, &b);

	if (rc)
		return rc;
	rc = attach_all_locked(c, b);
	if (rc)
		vfio_backend_put(b);
	else
		c->backend = b;
	return rc;
}

static int set_iommu(struct vfio_container *c, struct task *t, uint64_t arg, unsigned *group_id)
{
	int rc = -ENODEV;

	SCOPED_LOCK(&c->lock);
	if (TAILQ_EMPTY(&c->groups) || c->backend)
		return -EINVAL;
	for (size_t i = 0; i < ARRAY_SIZE(backends) && rc; i++) {
		if (suits_locked(c, backends[i]) && backends[i]->check_extension(c->vfio, NULL, arg) > 0)
			rc = choose_locked(c, backends[i], t, arg);
	}
	*group_id = TAILQ_FIRST(&c->groups)->id;
	return rc;
}

static long set_iommu_ioctl(struct vfio_container *c, struct task *t, uint64_t arg)
{
	unsigned group_id = 0;
	int rc = set_iommu(c, t, arg, &group_id);

	if (rc == -EPERM)
		vfio_tell_refused(c->vfio, group_id, t, VFIO_REFUSED_IOMMU, rc, NULL);
	return rc;
}

VFIO_IOCTL_TABLE(container_ioctl, struct vfio_container);
static const struct container_ioctl container_ioctls[] = {
	{ VFIO_GET_API_VERSION, get_api_version_ioctl },
	{ VFIO_CHECK_EXTENSION, check_extension_ioctl },
	{ VFIO_SET_IOMMU, set_iommu_ioctl },
};

static long backend_ioctl(struct vfio_container *c, struct task *t, unsigned cmd, uint64_t arg)
{
	struct vfio_backend *b;
	long rc;

	mutex_lock(&c->lock);
	b = c->backend;
	if (b)
		ref_get(&b->ref);
	mutex_unlock(&c->lock);
	if (!b)
		return -EINVAL;
	rc = b->ops->ioctl(b, t, cmd, arg);
	vfio_backend_put(b);
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
