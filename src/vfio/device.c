/* SPDX-License-Identifier: MIT */
/*
 * Devices: what a driver registers, and the files GET_DEVICE_FD makes of it.
 *
 * A registration is referenced by each of its files. Unregistering takes it off its group's list first, so
 * that it cannot be found any more, then asks the users to let go, at once and every ten seconds, until the
 * last reference is gone: unbind never fails and never times out (spec 10, 3.4).
 *
 * Only the first open and the last close reach the driver, under the group's lock and the set's lock. While a device is
 * open it holds its group's file and counts as a user of the container, or is bound to an iommufd (iommufd.c). Files
 * that come from a group have access from the start; those of a device's own node (cdev.c) get it by BIND_IOMMUFD.
 */
#include "vfio/priv.h"
#include "abi/vfio.h"
#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* ---- sets ---- */

static struct vfio_set *set_get(struct vfio *vfio, const void *key)
{
	struct vfio_set *s;

	LIST_FOREACH(s, &vfio->sets, link) {
		if (s->key == key) {
			s->users++;
			return s;
		}
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	mutex_init(&s->lock, RANK_VFIO_DEVICE_SET);
	s->key = key;
	s->users = 1;
	LIST_INSERT_HEAD(&vfio->sets, s, link);
	return s;
}

static void set_put(struct vfio_set *s)
{
	if (--s->users)
		return;
	LIST_REMOVE(s, link);
	mutex_fini(&s->lock);
	free(s);
}

struct mutex *vfio_set_lock(struct vfio_device *v)
{
	return &v->priv->set->lock;
}

bool vfio_device_is_open(struct vfio_device *v)
{
	return atomic_load(&v->priv->open_count) > 0;
}

unsigned vfio_device_index(const struct vfio_device *v)
{
	return v->priv->index;
}

/* ---- references ---- */

void vfio_device_get(struct vfio_device_priv *p)
{
	SCOPED_LOCK(&p->vfio->device_lock);
	p->refs++;
}

/* The last put may free @p: only the machine's own lock and condition may be touched after it. */
void vfio_device_put(struct vfio_device_priv *p)
{
	struct vfio *vfio = p->vfio;

	SCOPED_LOCK(&vfio->device_lock);
	assert(p->refs > 0);
	if (--p->refs == 0)
		cond_broadcast(&vfio->device_released);
}

/* ---- first open and last close ---- */

static int driver_open(struct vfio_device_priv *p)
{
	return p->v->ops->open ? p->v->ops->open(p->v) : 0;
}

static void driver_close(struct vfio_device_priv *p)
{
	if (p->v->ops->close)
		p->v->ops->close(p->v);
}

static int open_in_container_locked(struct vfio_device_priv *p, struct vfio_backend *b)
{
	struct vfio_group *g = p->group;
	int rc = driver_open(p);

	if (rc)
		return rc;
	g->container_users++;
	p->group_file = file_get(g->open_file);
	p->backend = b;
	if (b->ops->device_open)
		b->ops->device_open(b, p);
	return 0;
}

int vfio_device_bind(struct vfio_device_priv *p, struct iommufd_ctx *ctx, uint32_t *id)
{
	int rc = vfio_iommufd_bind(p, ctx, id);

	if (rc)
		return rc;
	rc = driver_open(p);
	if (rc)
		vfio_iommufd_unbind(p);
	else
		atomic_store(&p->open_count, 1);
	return rc;
}

void vfio_device_unbind(struct vfio_device_priv *p)
{
	driver_close(p);
	vfio_iommufd_unbind(p);
	atomic_store(&p->open_count, 0);
}

/* By a group whose container is an iommufd: bound and attached at once, but for a No-IOMMU device. */
static int open_in_iommufd_locked(struct vfio_device_priv *p, struct task *t)
{
	uint32_t id;
	int rc = vfio_iommufd_use(p, t);

	if (rc)
		return rc;
	rc = driver_open(p);
	if (rc)
		goto err_unbind;
	if (p->ctx) {
		rc = iommufd_compat_ioas_id(p->ctx, &id);
		if (!rc)
			rc = vfio_iommufd_attach(p, &id);
		if (rc)
			goto err_close;
	}
	return 0;

err_close:
	driver_close(p);
err_unbind:
	vfio_iommufd_unbind(p);
	return rc;
}

static int open_locked(struct vfio_device_priv *p, struct task *t)
{
	bool first = atomic_load(&p->open_count) == 0;
	struct vfio_backend *b = NULL;
	int rc = 0;

	if (first && p->group->container)
		rc = vfio_container_use(p->group, t, &b);
	if (rc)
		return rc;
	SCOPED_LOCK(&p->set->lock);
	if (first)
		rc = b ? open_in_container_locked(p, b) : open_in_iommufd_locked(p, t);
	if (!rc)
		atomic_fetch_add(&p->open_count, 1);
	return rc;
}

/* Returns the group's file, to be put without locks; NULL: bound to an iommufd. */
static struct file *last_close_locked(struct vfio_device_priv *p)
{
	struct file *group_file = p->group_file;

	driver_close(p);
	if (!p->backend) {
		vfio_iommufd_unbind(p);
		return NULL;
	}
	if (p->backend->ops->device_close)
		p->backend->ops->device_close(p->backend, p);
	p->backend = NULL;
	p->group_file = NULL;
	p->group->container_users--;
	return group_file;
}

/* The device counts as open until its driver has closed it, which may still unpin pages. */
static struct file *close_locked(struct vfio_device_priv *p)
{
	struct file *group_file = NULL;

	SCOPED_LOCK(&p->set->lock);
	if (atomic_load(&p->open_count) == 1)
		group_file = last_close_locked(p);
	atomic_fetch_sub(&p->open_count, 1);
	return group_file;
}

/* ---- the file ---- */

static long feature_ioctl(struct vfio_device *v, struct task *t, uint64_t arg)
{
	const uint32_t ops = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET;
	struct vfio_device_feature h;
	int rc = ucopy_argsz(t, &h, arg, VFIO_DEVICE_FEATURE_MINSZ);

	if (rc)
		return rc;
	if (h.flags & ~(VFIO_DEVICE_FEATURE_MASK | ops | VFIO_DEVICE_FEATURE_PROBE))
		return -EINVAL;
	if (!(h.flags & VFIO_DEVICE_FEATURE_PROBE) && (h.flags & ops) == ops)
		return -EINVAL;
	/* Refused for want of PRE_COPY, which no device here has, before it is looked whether the device has any feature. */
	if ((h.flags & VFIO_DEVICE_FEATURE_MASK) == VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2)
		return -EINVAL;
	if (!v->ops->feature)
		return -ENOTTY;
	return v->ops->feature(v, t, h.flags, arg + VFIO_DEVICE_FEATURE_MINSZ, h.argsz - VFIO_DEVICE_FEATURE_MINSZ);
}

int vfio_feature_check(uint32_t flags, size_t size, uint32_t supported, size_t payload)
{
	const uint32_t ops = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET;

	if (flags & ops & ~supported)
		return -EINVAL;
	if (flags & VFIO_DEVICE_FEATURE_PROBE)
		return 0;
	if (!(flags & ops) || size < payload)
		return -EINVAL;
	return 1;
}

static struct vfio_device *device_of(struct file *f)
{
	struct vfio_device_file *df = f->priv;

	return df->p->v;
}

static bool has_access(struct file *f)
{
	struct vfio_device_file *df = f->priv;

	return atomic_load_explicit(&df->access, memory_order_acquire);
}

static long device_file_ioctl(struct file *f, struct task *t, unsigned cmd, uint64_t arg)
{
	struct vfio_device *v = device_of(f);
	long rc;

	if (vfio_cdev_ioctl(f->priv, f, t, cmd, arg, &rc))
		return rc;
	if (cmd == VFIO_DEVICE_FEATURE)
		return feature_ioctl(v, t, arg);
	return v->ops->ioctl ? v->ops->ioctl(v, t, cmd, arg) : -EINVAL;
}

static ssize_t device_file_read(struct file *f, struct task *t, uva_t buf, size_t count, uint64_t pos)
{
	struct vfio_device *v = device_of(f);

	return v->ops->read && has_access(f) ? v->ops->read(v, t, buf, count, pos) : -EINVAL;
}

static ssize_t device_file_write(struct file *f, struct task *t, uva_t buf, size_t count, uint64_t pos)
{
	struct vfio_device *v = device_of(f);

	return v->ops->write && has_access(f) ? v->ops->write(v, t, buf, count, pos) : -EINVAL;
}

static int device_file_mmap(struct file *f, struct task *t, const struct file_mmap *m)
{
	struct vfio_device *v = device_of(f);

	return v->ops->mmap && has_access(f) ? v->ops->mmap(v, t, m) : -EINVAL;
}

static void device_file_page(struct file *f, uint64_t offset, struct file_page *out)
{
	struct vfio_device *v = device_of(f);

	if (v->ops->page) {
		v->ops->page(v, offset, out);
		return;
	}
	*out = (struct file_page){ .kind = FILE_PAGE_NONE, .memfd = -1, .length = UVFIO_PAGE_SIZE };
}

static int device_file_mmio(struct file *f, struct task *t, uint64_t offset, void *data, unsigned width, bool write)
{
	struct vfio_device *v = device_of(f);

	return v->ops->mmio ? v->ops->mmio(v, t, offset, data, width, write) : -EFAULT;
}

static struct mirror_page *device_file_mirror(struct file *f, uint64_t offset)
{
	struct vfio_device *v = device_of(f);

	return v->ops->mirror ? v->ops->mirror(v, offset) : NULL;
}

static int device_file_dma_target(struct file *f, uint64_t offset, phys_t *phys, uint64_t *length)
{
	struct vfio_device *v = device_of(f);

	return v->ops->dma_target ? v->ops->dma_target(v, offset, phys, length) : -EFAULT;
}

static void device_file_fdinfo(struct file *f, char *buf, size_t size)
{
	snprintf(buf, size, "vfio-device-syspath: %s\n", device_of(f)->dev->sysfs);
}

static void device_file_release(struct file *f)
{
	struct vfio_device_file *df = f->priv;
	struct vfio_device_priv *p = df->p;
	struct file *group_file = NULL;

	if (df->cdev) {
		vfio_cdev_release(df);
	} else {
		mutex_lock(&p->group->lock);
		group_file = close_locked(p);
		mutex_unlock(&p->group->lock);
	}
	free(df);
	file_put(group_file);
	vfio_device_put(p);
}

static const struct file_ops device_file_ops = {
	.name = "anon_inode:[vfio-device]",
	.ioctl = device_file_ioctl,
	.read = device_file_read,
	.write = device_file_write,
	.mmap = device_file_mmap,
	.page = device_file_page,
	.mmio = device_file_mmio,
	.mirror = device_file_mirror,
	.dma_target = device_file_dma_target,
	.fdinfo = device_file_fdinfo,
	.release = device_file_release,
};

int vfio_device_file_create(struct vfio_device_priv *p, struct task *t, int oflags, bool cdev, struct file **out)
{
	struct vfio_device_file *df = calloc(1, sizeof(*df));
	int rc;

	if (!df)
		return -ENOMEM;
	df->p = p;
	df->cdev = cdev;
	atomic_init(&df->access, !cdev);
	rc = file_create(t, &device_file_ops, df, oflags, cdev ? S_IFCHR | 0600 : 0600, out);
	if (rc)
		free(df);
	return rc;
}

int vfio_device_find(struct vfio_group *g, const char *text, struct vfio_device_priv **out)
{
	struct vfio_device_priv *p;

	TAILQ_FOREACH(p, &g->devices, link) {
		const struct vfio_device_ops *ops = p->v->ops;
		int rc = ops->match ? ops->match(p->v, text) : !strcmp(p->v->dev->name, text);

		if (rc < 0)
			return rc;
		if (rc) {
			vfio_device_get(p);
			*out = p;
			return 0;
		}
	}
	return -ENODEV;
}

int vfio_device_open(struct vfio_device_priv *p, struct task *t, struct file **out)
{
	int rc;

	if (!p->group->container && !p->group->iommufd)
		return -EINVAL;
	rc = open_locked(p, t);
	if (rc)
		return rc;
	rc = vfio_device_file_create(p, t, O_RDWR, false, out);
	if (rc)
		file_put(close_locked(p)); /* never the last reference: the caller is in a call on that file */
	else
		vfio_noiommu_warn(p->group, p->v->dev->name, t);
	return rc;
}

/* ---- registration ---- */

static void device_name(const struct vfio_device_priv *p, char name[32])
{
	snprintf(name, 32, "%svfio%u", p->group->type == VFIO_GROUP_NOIOMMU ? "noiommu-" : "", p->index);
}

#define DEBUG_DIR "/sys/kernel/debug/vfio"

static int debug_init(struct vfio_device_priv *p)
{
	char path[320];
	int n = snprintf(path, sizeof(path), DEBUG_DIR "/%s", p->v->dev->name);

	if (!vfio_has(p->vfio, VFIO_WITHOUT_DEBUGFS))
		return 0;
	if (!p->v->ops->debug)
		return tree_dir(p->vfio->tree, path);
	snprintf(path + n, sizeof(path) - (size_t)n, "/%s", p->v->ops->debug_dir);
	return tree_attrs(p->vfio->tree, path, p->v->ops->debug, p->v);
}

/* Called with vfio->lock held. What the group node needs is made by the group. */
static int device_tree_init(struct vfio_device_priv *p)
{
	const char *dir = p->v->dev->sysfs;
	struct tree *tree = p->vfio->tree;
	char path[320], name[32];
	int rc;

	device_name(p, name);
	snprintf(path, sizeof(path), "%s/vfio-dev/%s", dir, name);
	rc = tree_dir(tree, path);
	if (!rc)
		rc = tree_linkf(tree, dir, "%s/device", path);
	if (!rc)
		rc = tree_linkf(tree, "/sys/class/vfio-dev", "%s/subsystem", path);
	if (!rc)
		rc = tree_linkf(tree, path, "/sys/class/vfio-dev/%s", name);
	if (!rc)
		rc = debug_init(p);
	if (!rc)
		rc = vfio_cdev_init(p, name, path);
	return rc;
}

static void device_tree_fini(struct vfio_device_priv *p)
{
	char name[32];

	device_name(p, name);
	tree_removef(p->vfio->tree, DEBUG_DIR "/%s", p->v->dev->name);
	vfio_cdev_fini(p, name);
	tree_removef(p->vfio->tree, "/sys/class/vfio-dev/%s", name);
	tree_removef(p->vfio->tree, "%s/vfio-dev", p->v->dev->sysfs);
}

static bool registered_locked(struct vfio_group *g, struct vfio_device *v)
{
	struct vfio_device_priv *p;

	SCOPED_LOCK(&g->lock);
	TAILQ_FOREACH(p, &g->devices, link) {
		if (p->v->dev == v->dev)
			return true;
	}
	return false;
}

static int register_locked(struct vfio *vfio, struct vfio_device_priv *p)
{
	struct vfio_device *v = p->v;
	int rc = ids_alloc(&vfio->indexes, &p->index);

	if (rc)
		return rc;
	rc = vfio_group_join(vfio, v, &p->group);
	if (rc)
		goto err_index;
	rc = -EINVAL;
	if (registered_locked(p->group, v))
		goto err_group;
	if (p->group->type == VFIO_GROUP_IOMMU && !iommu_dev_unit(v->iommu)->coherent)
		goto err_group;
	rc = -ENOMEM;
	p->set = set_get(vfio, v->set_key ? v->set_key : v);
	if (!p->set)
		goto err_group;
	rc = device_tree_init(p);
	if (rc)
		goto err_tree;
	v->priv = p;
	mutex_lock(&p->group->lock);
	TAILQ_INSERT_HEAD(&p->group->devices, p, link);
	mutex_unlock(&p->group->lock);
	return 0;

err_tree:
	device_tree_fini(p);
	set_put(p->set);
err_group:
	vfio_group_leave(p->group, v);
err_index:
	ids_free(&vfio->indexes, p->index);
	return rc;
}

int vfio_register(struct vfio *vfio, struct vfio_device *v)
{
	struct vfio_device_priv *p = calloc(1, sizeof(*p));
	int rc;

	if (!p)
		return -ENOMEM;
	p->vfio = vfio;
	p->v = v;
	p->refs = 1;
	mutex_lock(&vfio->lock);
	rc = register_locked(vfio, p);
	mutex_unlock(&vfio->lock);
	if (rc)
		free(p);
	return rc;
}

static void log_user(struct vfio_device_priv *p)
{
	struct vfio_user u;

	if (vfio_user_of(p->vfio, p->group->id, &u))
		log_msg(p->vfio->log, LOG_INFO, "vfio: %s is in use by %s (pid %d): waiting until it lets go",
			p->v->dev->name, u.comm, (int)u.pid);
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Wait for the last reference, at most until the next request is due; true: it is gone. */
static bool wait_once(struct vfio_device_priv *p, uint64_t due)
{
	struct vfio *vfio = p->vfio;
	uint64_t now;

	SCOPED_LOCK(&vfio->device_lock);
	while (p->refs > 0) { /* woken for other devices too */
		now = now_ms();
		if (now >= due)
			return false;
		cond_wait_ms(&vfio->device_released, &vfio->device_lock, (unsigned)(due - now));
	}
	return true;
}

/* Drop the registration's own reference and wait for those of the files. */
static void wait_released(struct vfio_device_priv *p)
{
	vfio_device_put(p);
	for (unsigned count = 0; !wait_once(p, count ? now_ms() + p->vfio->request_ms : 0); count++) {
		if (count == 0)
			log_user(p);
		if (p->v->ops->request)
			p->v->ops->request(p->v, count);
	}
}

void vfio_unregister(struct vfio_device *v)
{
	struct vfio_device_priv *p = v->priv;
	struct vfio *vfio = p->vfio;

	mutex_lock(&p->group->lock);
	TAILQ_REMOVE(&p->group->devices, p, link);
	mutex_unlock(&p->group->lock);
	device_tree_fini(p);
	wait_released(p);
	mutex_lock(&vfio->lock);
	vfio_group_leave(p->group, v);
	set_put(p->set);
	ids_free(&vfio->indexes, p->index);
	mutex_unlock(&vfio->lock);
	v->priv = NULL;
	free(p);
}
