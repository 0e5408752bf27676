/* SPDX-License-Identifier: MIT */
/*
 * Devices of a context, by their groups: whoever binds the first device of a group claims it for the context, which has
 * it until the last one is unbound. What a bound device is attached to is attach.c's.
 *
 * Spec: 30, 6.1.
 */
#include "iommufd/priv.h"
#include <assert.h>

/* ---- groups ---- */

static int group_compare(const struct iommufd_group *a, const struct iommufd_group *b)
{
	return a->iommu < b->iommu ? -1 : a->iommu > b->iommu;
}
RB_GENERATE_INTERNAL(iommufd_groups, iommufd_group, node, group_compare, static __attribute__((unused)))

static struct iommufd_group *group_find_locked(struct iommufd_ctx *ctx, struct iommu_group *g)
{
	struct iommufd_group key = { .iommu = g };

	return RB_FIND(iommufd_groups, &ctx->groups, &key);
}

static struct iommufd_group *group_new(struct iommu_group *g)
{
	struct iommufd_group *ig = calloc(1, sizeof(*ig));

	if (!ig)
		return NULL;
	ig->iommu = g;
	mutex_init(&ig->lock, RANK_IOMMUFD_GROUP);
	RB_INIT(&ig->slots);
	LIST_INIT(&ig->devices);
	return ig;
}

static void group_free(struct iommufd_group *ig)
{
	mutex_fini(&ig->lock);
	free(ig);
}

/* The group of a device that is being bound; takes over the reference on @g. NULL: no memory */
static struct iommufd_group *group_get(struct iommufd_ctx *ctx, struct iommu_group *g)
{
	struct iommufd_group *new = group_new(g), *ig;

	mutex_lock(&ctx->lock);
	ig = group_find_locked(ctx, g);
	if (!ig && new) {
		ig = new;
		RB_INSERT(iommufd_groups, &ctx->groups, ig);
	}
	if (ig)
		ig->bound++;
	mutex_unlock(&ctx->lock);
	if (ig != new || !new) {
		if (new)
			group_free(new);
		iommu_group_put(g);
	}
	return ig;
}

static void group_put(struct iommufd_ctx *ctx, struct iommufd_group *ig)
{
	bool last;

	mutex_lock(&ctx->lock);
	last = --ig->bound == 0;
	if (last && ig->iommu)
		RB_REMOVE(iommufd_groups, &ctx->groups, ig);
	mutex_unlock(&ctx->lock);
	if (!last)
		return;
	assert(RB_EMPTY(&ig->slots));
	iommu_group_put(ig->iommu);
	group_free(ig);
}

bool iommufd_ctx_has_group(struct iommufd_ctx *ctx, struct iommu_group *g)
{
	SCOPED_LOCK(&ctx->lock);
	return group_find_locked(ctx, g) != NULL;
}

int iommufd_ctx_device_id(struct iommufd_ctx *ctx, struct iommu_dev *d)
{
	struct iommu_group *g = iommu_dev_group_get(d);
	struct iommufd_device *idev;
	struct iommufd_group *ig;
	int id = -1;

	if (!g)
		return -1;
	mutex_lock(&ctx->lock);
	ig = group_find_locked(ctx, g);
	if (ig) {
		id = 0;
		LIST_FOREACH(idev, &ig->devices, bound) {
			if (idev->iommu == d)
				id = (int)idev->obj.id;
		}
	}
	mutex_unlock(&ctx->lock);
	iommu_group_put(g);
	return id;
}

/* ---- bind ---- */

static int check_hardware(struct iommufd_ctx *ctx, struct iommu_dev *d, struct iommu_group *g)
{
	const struct iommu_unit *unit = iommu_dev_unit(d);

	if (!unit || !unit->coherent)
		return -EINVAL;
	if (!g)
		return -ENODEV;
	return unit->msi_isolated || atomic_load(&ctx->fd->unsafe_interrupts) ? 0 : -EPERM;
}

/* The rest of a bind; takes over the use of @ig (NULL: there was no memory for it). @hw_data, @foreign: of the device */
static int bind_in(struct iommufd_ctx *ctx, struct iommu_dev *d, struct iommufd_group *ig, void *hw_data, bool foreign,
		   struct iommufd_device **out)
{
	struct iommufd_device *idev = calloc(1, sizeof(*idev));
	int rc = -ENOMEM;

	if (!idev || !ig)
		goto err_group;
	idev->iommu = d;
	idev->unit = ig->iommu ? iommu_dev_unit(d) : &iommufd_noiommu_unit;
	idev->group = ig;
	idev->hw_data = hw_data;
	idev->foreign = foreign;
	rc = iommufd_device_translated(idev) ? iommu_dev_claim(d, ctx) : 0;
	if (rc)
		goto err_group;
	rc = iommufd_object_reserve(ctx, IOMMUFD_DEVICE, &idev->obj);
	if (rc)
		goto err_release;
	idev->obj.users = 1;
	mutex_lock(&ctx->lock);
	LIST_INSERT_HEAD(&ig->devices, idev, bound);
	mutex_unlock(&ctx->lock);
	if (!foreign)
		iommufd_ctx_get(ctx);
	*out = idev;
	iommufd_object_publish(&idev->obj);
	return 0;

err_release:
	if (iommufd_device_translated(idev))
		iommu_dev_release(d);
err_group:
	if (ig)
		group_put(ctx, ig);
	free(idev);
	return rc;
}

static int bind(struct iommufd_ctx *ctx, struct iommu_dev *d, void *hw_data, bool foreign, struct iommufd_device **out)
{
	struct iommu_group *g = iommu_dev_group_get(d);
	int rc = check_hardware(ctx, d, g);

	if (rc) {
		iommu_group_put(g);
		return rc;
	}
	return bind_in(ctx, d, group_get(ctx, g), hw_data, foreign, out);
}

int iommufd_device_bind(struct iommufd_ctx *ctx, struct iommu_dev *d, struct iommufd_device **out, uint32_t *id)
{
	int rc = bind(ctx, d, NULL, false, out);

	if (!rc)
		*id = (*out)->obj.id;
	return rc;
}

int iommufd_device_bind_foreign(struct iommufd_ctx *ctx, struct iommu_dev *d, void *hw_data, struct iommufd_device **out)
{
	return bind(ctx, d, hw_data, true, out);
}

int iommufd_device_bind_noiommu(struct iommufd_ctx *ctx, struct iommu_dev *d, struct iommufd_device **out, uint32_t *id)
{
	struct iommufd_group *ig;
	int rc;

	if (iommu_dev_unit(d) || !ctx->fd->noiommu)
		return -EINVAL;
	ig = group_new(NULL);
	if (ig)
		ig->bound = 1;
	rc = bind_in(ctx, d, ig, NULL, false, out);
	if (!rc)
		*id = (*out)->obj.id;
	return rc;
}

void iommufd_device_unbind(struct iommufd_device *idev)
{
	struct iommufd_ctx *ctx = idev->obj.ctx;
	const bool foreign = idev->foreign;

	assert(idev->obj.users == 1); /* ours: it is not attached */
	iommufd_object_withdraw(&idev->obj);
	iommufd_vdevice_orphan(idev);
	mutex_lock(&ctx->lock);
	LIST_REMOVE(idev, bound);
	mutex_unlock(&ctx->lock);
	if (iommufd_device_translated(idev))
		iommu_dev_release(idev->iommu);
	group_put(ctx, idev->group);
	free(idev);
	iommufd_ctx_put(foreign ? NULL : ctx);
}

/* A bound device is used by its driver, so neither DESTROY nor the end of the context comes here. */
void iommufd_device_free(struct iommufd_object *o)
{
	assert(!"a device is unbound, not destroyed");
}

struct iommufd_ctx *iommufd_device_ctx(struct iommufd_device *idev)
{
	return idev->obj.ctx;
}

uint32_t iommufd_device_id(struct iommufd_device *idev)
{
	return idev->obj.id;
}

struct iommufd_device *iommufd_device_visit(struct iommufd_ctx *ctx, uint32_t id)
{
	struct iommufd_object *o = iommufd_object_visit(ctx, id, IOMMUFD_DEVICE);

	return o ? container_of(o, struct iommufd_device, obj) : NULL;
}
