/* SPDX-License-Identifier: MIT */
/*
 * Virtual IOMMUs: the slice of a physical one that a guest is given, on the page tables of a nest parent; and the devices
 * that the guest knows behind it, by numbers of its own.
 *
 * A vdevice ends by DESTROY, or with its device, whichever is first; its id is a tombstone in the second case, so that
 * the program cannot take another object for it. idev->vdevice says which of the two has it.
 *
 * Spec: 30, 11.1 to 11.3.
 */
#include "iommufd/hw.h"
#include <assert.h>

/* ---- virtual IOMMUs ---- */

struct iommufd_viommu *iommufd_viommu_visit(struct iommufd_ctx *ctx, uint32_t id)
{
	struct iommufd_object *o = iommufd_object_visit(ctx, id, IOMMUFD_VIOMMU);

	return o ? container_of(o, struct iommufd_viommu, obj) : NULL;
}

static void viommu_end(struct iommufd_viommu *v)
{
	struct iommufd_object *parent = &v->parent->obj;

	assert(LIST_EMPTY(&v->vdevices) && LIST_EMPTY(&v->queues));
	if (v->hw->viommu_fini)
		v->hw->viommu_fini(v);
	mutex_fini(&v->lock);
	free(v->hw_data);
	free(v);
	iommufd_object_unuse(parent);
}

void iommufd_viommu_free(struct iommufd_object *o)
{
	viommu_end(container_of(o, struct iommufd_viommu, obj));
}

/* For the unit that @idev is behind, on @parent; reserved, not published. */
static int viommu_create(struct iommufd_device *idev, struct iommufd_hwpt *parent, uint32_t type,
			 struct hw_user *user, struct iommufd_viommu **out)
{
	struct iommufd_viommu *v = calloc(1, sizeof(*v));
	int rc;

	if (!v)
		return -ENOMEM;
	rc = iommufd_object_reserve(parent->obj.ctx, IOMMUFD_VIOMMU, &v->obj);
	if (rc)
		goto err_free;
	v->parent = parent;
	v->unit = idev->unit;
	v->hw = iommufd_hw_of(idev);
	v->type = type;
	mutex_init(&v->lock, RANK_IOMMUFD_VIOMMU);
	LIST_INIT(&v->vdevices);
	LIST_INIT(&v->queues);
	rc = v->hw->viommu(v, user);
	if (rc)
		goto err_abandon;
	iommufd_object_use(&parent->obj);
	*out = v;
	return 0;

err_abandon:
	iommufd_object_abandon(&v->obj);
	mutex_fini(&v->lock);
	free(v->hw_data);
err_free:
	free(v);
	return rc;
}

static int viommu_alloc(struct ucmd *u, struct iommufd_device *idev, struct hw_user *user, struct iommufd_viommu **out)
{
	const struct iommu_viommu_alloc *a = u->cmd;
	const struct iommufd_hw *hw = iommufd_hw_of(idev);
	struct iommufd_object *o;
	struct iommufd_hwpt *parent;
	int rc;

	if (!hw->has_viommu || !hw->has_viommu(a->type))
		return -EOPNOTSUPP;
	o = iommufd_object_visit(u->ctx, a->hwpt_id, IOMMUFD_HWPT);
	if (!o)
		return -ENOENT;
	parent = container_of(o, struct iommufd_hwpt, obj);
	if (parent->nest_parent && parent->hw == hw)
		rc = viommu_create(idev, parent, a->type, a->data_len ? user : NULL, out);
	else
		rc = -EINVAL;
	iommufd_object_leave(o);
	return rc;
}

int iommufd_viommu_alloc_ioctl(struct ucmd *u)
{
	struct iommu_viommu_alloc *a = u->cmd;
	struct iommufd_viommu *v;
	struct iommufd_device *idev;
	struct hw_user user;
	int rc;

	if (a->flags || !a->type)
		return -EOPNOTSUPP;
	hw_user_read(&user, u->t, a->type, a->data_len, a->data_uptr);
	idev = iommufd_device_visit(u->ctx, a->dev_id);
	if (!idev)
		return -ENOENT;
	rc = viommu_alloc(u, idev, &user, &v);
	iommufd_device_leave(idev); /* its unbind need not wait for copies to the program */
	if (rc)
		return rc;
	a->out_viommu_id = v->obj.id;
	rc = hw_user_write(&user, u->t, a->data_uptr);
	if (!rc)
		rc = ucmd_respond(u);
	if (rc) {
		iommufd_object_abandon(&v->obj);
		viommu_end(v);
	} else {
		iommufd_object_publish(&v->obj);
	}
	return rc;
}

/* ---- devices of the guest's ---- */

/* Only what is published is the guest's, and keeps its device as long as the lock is held. */
struct iommufd_vdevice *iommufd_vdevice_by_id_locked(struct iommufd_viommu *v, uint64_t virt_id)
{
	struct iommufd_vdevice *vd;

	LIST_FOREACH(vd, &v->vdevices, link) {
		if (vd->virt_id == virt_id)
			return iommufd_object_published(&vd->obj) ? vd : NULL;
	}
	return NULL;
}

bool iommufd_vdevice_find(struct iommufd_viommu *v, const struct iommufd_device *idev, uint64_t *virt_id)
{
	struct iommufd_vdevice *vd;

	SCOPED_LOCK(&idev->obj.ctx->lock);
	vd = idev->vdevice;
	if (!vd || vd->viommu != v)
		return false;
	*virt_id = vd->virt_id;
	return true;
}

/* The device is without it. Nobody can find it any more. */
static void vdevice_end(struct iommufd_vdevice *vd)
{
	struct iommufd_ctx *ctx = vd->obj.ctx;
	struct iommufd_object *viommu = &vd->viommu->obj;

	mutex_lock(&vd->viommu->lock);
	LIST_REMOVE(vd, link);
	mutex_unlock(&vd->viommu->lock);
	mutex_lock(&ctx->lock);
	if (vd->idev)
		vd->idev->vdevice = NULL;
	cond_broadcast(&ctx->left);
	mutex_unlock(&ctx->lock);
	free(vd);
	iommufd_object_unuse(viommu);
}

void iommufd_vdevice_free(struct iommufd_object *o)
{
	vdevice_end(container_of(o, struct iommufd_vdevice, obj));
}

/*
 * The device's vdevice, which nobody else ends from now on. One that is on its way out is waited for; one that is not
 * published yet is left to who makes it, as that may take as long as the program likes.
 */
static struct iommufd_vdevice *vdevice_take(struct iommufd_device *idev)
{
	struct iommufd_ctx *ctx = idev->obj.ctx;
	struct iommufd_vdevice *vd;

	SCOPED_LOCK(&ctx->lock);
	while ((vd = idev->vdevice)) {
		if (!vd->published) {
			vd->idev = NULL;
			idev->vdevice = NULL;
		} else if (ctx->objects[vd->obj.id - 1] == &vd->obj) {
			ctx->objects[vd->obj.id - 1] = NULL;
			return vd;
		} else {
			cond_wait(&ctx->left, &ctx->lock);
		}
	}
	return NULL;
}

void iommufd_vdevice_orphan(struct iommufd_device *idev)
{
	struct iommufd_vdevice *vd = vdevice_take(idev);

	if (!vd)
		return;
	iommufd_object_entomb(&vd->obj);
	vdevice_end(vd);
}

/* One for each device, and one device for each number. */
static int vdevice_enter(struct iommufd_vdevice *vd)
{
	struct iommufd_vdevice *other;

	SCOPED_LOCK(&vd->viommu->lock);
	LIST_FOREACH(other, &vd->viommu->vdevices, link) {
		if (other->virt_id == vd->virt_id)
			return -EEXIST;
	}
	SCOPED_LOCK(&vd->obj.ctx->lock);
	if (vd->idev->vdevice)
		return -EEXIST;
	vd->idev->vdevice = vd;
	LIST_INSERT_HEAD(&vd->viommu->vdevices, vd, link);
	return 0;
}

static int vdevice_create(struct iommufd_viommu *v, struct iommufd_device *idev, uint64_t virt_id,
			  struct iommufd_vdevice **out)
{
	struct iommufd_vdevice *vd;
	int rc;

	if (!iommufd_hw_same_unit(v->unit, idev->unit))
		return -EINVAL;
	vd = calloc(1, sizeof(*vd));
	if (!vd)
		return -ENOMEM;
	rc = iommufd_object_reserve(v->obj.ctx, IOMMUFD_VDEVICE, &vd->obj);
	if (rc)
		goto err_free;
	vd->viommu = v;
	vd->idev = idev;
	vd->virt_id = virt_id;
	rc = vdevice_enter(vd);
	if (rc)
		goto err_abandon;
	iommufd_object_use(&v->obj);
	*out = vd;
	return 0;

err_abandon:
	iommufd_object_abandon(&vd->obj);
err_free:
	free(vd);
	return rc;
}

/* It can be found now, unless its device has gone in the meantime. */
static void vdevice_publish(struct iommufd_vdevice *vd)
{
	struct iommufd_ctx *ctx = vd->obj.ctx;
	bool orphan;

	mutex_lock(&ctx->lock);
	orphan = !vd->idev;
	vd->published = !orphan;
	if (vd->published)
		ctx->objects[vd->obj.id - 1] = &vd->obj;
	mutex_unlock(&ctx->lock);
	if (!orphan)
		return;
	iommufd_object_entomb(&vd->obj);
	vdevice_end(vd);
}

int iommufd_vdevice_alloc_ioctl(struct ucmd *u)
{
	struct iommu_vdevice_alloc *a = u->cmd;
	struct iommufd_viommu *v = iommufd_viommu_visit(u->ctx, a->viommu_id);
	struct iommufd_device *idev = v ? iommufd_device_visit(u->ctx, a->dev_id) : NULL;
	struct iommufd_vdevice *vd;
	int rc = idev ? vdevice_create(v, idev, a->virt_id, &vd) : -ENOENT;

	if (idev)
		iommufd_device_leave(idev);
	if (v)
		iommufd_object_leave(&v->obj);
	if (rc)
		return rc;
	a->out_vdevice_id = vd->obj.id;
	rc = ucmd_respond(u);
	if (rc) {
		iommufd_object_abandon(&vd->obj);
		vdevice_end(vd);
	} else {
		vdevice_publish(vd);
	}
	return rc;
}
