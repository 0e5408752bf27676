/* SPDX-License-Identifier: MIT */
/*
 * Devices: bound to a context, attached to an HWPT. The hardware knows groups only. So the first device of a group that
 * is attached attaches the group, the others of the group can only join it there, and whoever replaces moves all of them.
 * What hardware reserves for a device is reserved in the address space as long as it is attached.
 *
 * A group belongs to the context from the first bind to the last unbind, and is blocked while nothing is attached.
 *
 * Spec: 30, 6.1 to 6.4.
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
	LIST_INIT(&ig->attached);
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
	assert(!ig->hwpt && LIST_EMPTY(&ig->attached));
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

static bool has_hardware(const struct iommufd_device *idev)
{
	return idev->group->iommu != NULL;
}

/* The rest of a bind; takes over the use of @ig (NULL: there was no memory for it). */
static int bind_in(struct iommufd_ctx *ctx, struct iommu_dev *d, struct iommufd_group *ig, struct iommufd_device **out)
{
	struct iommufd_device *idev = calloc(1, sizeof(*idev));
	int rc = -ENOMEM;

	if (!idev || !ig)
		goto err_group;
	idev->iommu = d;
	idev->unit = ig->iommu ? iommu_dev_unit(d) : &iommufd_noiommu_unit;
	idev->group = ig;
	rc = has_hardware(idev) ? iommu_dev_claim(d, ctx) : 0;
	if (rc)
		goto err_group;
	rc = iommufd_object_reserve(ctx, IOMMUFD_DEVICE, &idev->obj);
	if (rc)
		goto err_release;
	idev->obj.users = 1;
	mutex_lock(&ctx->lock);
	LIST_INSERT_HEAD(&ig->devices, idev, bound);
	mutex_unlock(&ctx->lock);
	iommufd_ctx_get(ctx);
	*out = idev;
	iommufd_object_publish(&idev->obj);
	return 0;

err_release:
	if (has_hardware(idev))
		iommu_dev_release(d);
err_group:
	if (ig)
		group_put(ctx, ig);
	free(idev);
	return rc;
}

int iommufd_device_bind(struct iommufd_ctx *ctx, struct iommu_dev *d, struct iommufd_device **out, uint32_t *id)
{
	struct iommu_group *g = iommu_dev_group_get(d);
	int rc = check_hardware(ctx, d, g);

	if (rc) {
		iommu_group_put(g);
		return rc;
	}
	rc = bind_in(ctx, d, group_get(ctx, g), out);
	if (!rc)
		*id = (*out)->obj.id;
	return rc;
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
	rc = bind_in(ctx, d, ig, out);
	if (!rc)
		*id = (*out)->obj.id;
	return rc;
}

void iommufd_device_unbind(struct iommufd_device *idev)
{
	struct iommufd_ctx *ctx = idev->obj.ctx;

	assert(!idev->attached);
	iommufd_object_withdraw(&idev->obj);
	mutex_lock(&ctx->lock);
	LIST_REMOVE(idev, bound);
	mutex_unlock(&ctx->lock);
	if (has_hardware(idev))
		iommu_dev_release(idev->iommu);
	group_put(ctx, idev->group);
	free(idev);
	iommufd_ctx_put(ctx);
}

/* A bound device is used by its driver, so neither DESTROY nor the end of the context, which it keeps, comes here. */
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

/* ---- reserved regions ---- */

/* Relaxable regions are for the host's own use of the device. */
static bool reserves(const struct iommu_resv *r)
{
	return r->type != IOMMU_RESV_DIRECT_RELAXABLE;
}

static void unreserve_some(struct iopt *t, const struct iommu_resv *r, unsigned n)
{
	SCOPED_LOCK(&t->lock);
	for (unsigned i = 0; i < n; i++) {
		if (reserves(&r[i]))
			iopt_unreserve_locked(t, r[i].start, r[i].last);
	}
}

static int reserve(struct iopt *t, const struct iommufd_device *idev)
{
	const struct iommu_resv *r;
	unsigned n = iommu_dev_resv(idev->iommu, &r), i;
	int rc = 0;

	mutex_lock(&t->lock);
	for (i = 0; i < n && !rc; i++)
		rc = reserves(&r[i]) ? iopt_reserve_locked(t, r[i].start, r[i].last) : 0;
	mutex_unlock(&t->lock);
	if (rc)
		unreserve_some(t, r, i - 1);
	return rc;
}

static void unreserve(struct iopt *t, const struct iommufd_device *idev)
{
	const struct iommu_resv *r;
	unsigned n = iommu_dev_resv(idev->iommu, &r);

	unreserve_some(t, r, n);
}

/* ---- attach; the group's lock held ---- */

/* What the iommu layer does not look at: whether the hardware can do what the HWPT promises. */
static bool suits(const struct iommufd_hwpt *hwpt, const struct iommufd_device *idev)
{
	const struct iommu_unit *made_for = iommu_domain_unit(hwpt->domain);

	if ((made_for == &iommufd_noiommu_unit) != !has_hardware(idev))
		return false;
	return !hwpt->dirty || idev->unit->dirty;
}

static int attach_locked(struct iommufd_device *idev, struct iommufd_hwpt *hwpt)
{
	struct iommufd_group *ig = idev->group;
	int rc;

	if (idev->attached)
		return -EBUSY;
	if ((ig->hwpt && ig->hwpt != hwpt) || !suits(hwpt, idev))
		return -EINVAL;
	rc = reserve(&hwpt->ioas->iopt, idev);
	if (rc)
		return rc;
	if (hwpt->fault)
		rc = -ENODEV; /* the device makes no page requests */
	else if (!ig->hwpt && ig->iommu)
		rc = iommu_group_attach(ig->iommu, hwpt->domain);
	if (rc) {
		unreserve(&hwpt->ioas->iopt, idev);
		return rc;
	}
	ig->hwpt = hwpt;
	LIST_INSERT_HEAD(&ig->attached, idev, link);
	idev->attached = true;
	iommufd_object_use(&hwpt->obj);
	iommufd_object_use(&idev->obj);
	return 0;
}

/* Reserve for all of the group in another address space; nothing stays on failure. */
static int reserve_all(struct iommufd_group *ig, struct iopt *t)
{
	struct iommufd_device *d, *undo;
	int rc;

	LIST_FOREACH(d, &ig->attached, link) {
		rc = reserve(t, d);
		if (rc) {
			LIST_FOREACH(undo, &ig->attached, link) {
				if (undo == d)
					break;
				unreserve(t, undo);
			}
			return rc;
		}
	}
	return 0;
}

static void unreserve_all(struct iommufd_group *ig, struct iopt *t)
{
	struct iommufd_device *d;

	LIST_FOREACH(d, &ig->attached, link)
		unreserve(t, d);
}

/* *@old and *@moved: what @moved devices do not use any more, to be told without the lock. */
static int replace_locked(struct iommufd_device *idev, struct iommufd_hwpt *hwpt, struct iommufd_hwpt **old,
			  unsigned *moved)
{
	struct iommufd_group *ig = idev->group;
	struct iopt *to = &hwpt->ioas->iopt;
	struct iommufd_device *d;
	bool elsewhere;
	int rc = 0;

	if (!idev->attached)
		return -EINVAL;
	if (ig->hwpt == hwpt)
		return 0;
	LIST_FOREACH(d, &ig->attached, link) {
		if (!suits(hwpt, d))
			return -EINVAL;
	}
	elsewhere = ig->hwpt->ioas != hwpt->ioas;
	if (elsewhere)
		rc = reserve_all(ig, to);
	if (rc)
		return rc;
	if (hwpt->fault)
		rc = -ENODEV;
	else if (ig->iommu)
		rc = iommu_group_replace(ig->iommu, hwpt->domain);
	if (rc) {
		if (elsewhere)
			unreserve_all(ig, to);
		return rc;
	}
	if (elsewhere)
		unreserve_all(ig, &ig->hwpt->ioas->iopt);
	*old = ig->hwpt;
	ig->hwpt = hwpt;
	LIST_FOREACH(d, &ig->attached, link) {
		iommufd_object_use(&hwpt->obj);
		++*moved;
	}
	return 0;
}

/* ---- attach ---- */

typedef int (*change_fn)(struct iommufd_device *idev, struct iommufd_hwpt *hwpt);

static int attach_hwpt(struct iommufd_device *idev, struct iommufd_hwpt *hwpt)
{
	SCOPED_LOCK(&idev->group->lock);
	return attach_locked(idev, hwpt);
}

static int replace_hwpt(struct iommufd_device *idev, struct iommufd_hwpt *hwpt)
{
	struct iommufd_hwpt *old = NULL;
	unsigned moved = 0;
	int rc;

	mutex_lock(&idev->group->lock);
	rc = replace_locked(idev, hwpt, &old, &moved);
	mutex_unlock(&idev->group->lock);
	while (moved--)
		iommufd_object_unuse(&old->obj);
	return rc;
}

/* What is wrong with the device whatever the HWPT, before one is made. */
static int check_state(struct iommufd_device *idev, change_fn change)
{
	SCOPED_LOCK(&idev->group->lock);
	if (change == replace_hwpt)
		return idev->attached ? 0 : -EINVAL;
	return idev->attached ? -EBUSY : idev->group->hwpt ? -EINVAL : 0;
}

/* No automatic HWPT is there that suits. What the device reserves stands against it before pages are looked at. */
static int change_to_new(struct iommufd_device *idev, struct iommufd_ioas *ioas, change_fn change, uint32_t *id)
{
	struct iommufd_hwpt *hwpt;
	int rc = check_state(idev, change);

	if (!rc)
		rc = reserve(&ioas->iopt, idev);
	if (rc)
		return rc;
	rc = iommufd_hwpt_create(ioas, idev, true, &hwpt);
	unreserve(&ioas->iopt, idev);
	if (rc)
		return rc;
	iommufd_hwpt_publish(hwpt);
	rc = change(idev, hwpt);
	*id = hwpt->obj.id;
	iommufd_object_leave(&hwpt->obj); /* nobody attached: it goes again */
	return rc;
}

/* To the oldest automatic HWPT of the address space that has the device, or one more. */
static int change_to_ioas(struct iommufd_device *idev, struct iommufd_ioas *ioas, change_fn change, uint32_t *id)
{
	struct iommufd_hwpt *hwpt = NULL;
	int rc;

	SCOPED_LOCK(&ioas->lock);
	while ((hwpt = iommufd_hwpt_next(ioas, hwpt))) {
		rc = change(idev, hwpt);
		if (rc == -EINVAL)
			continue;
		*id = hwpt->obj.id;
		iommufd_object_leave(&hwpt->obj);
		return rc;
	}
	return change_to_new(idev, ioas, change, id);
}

static int change(struct iommufd_device *idev, uint32_t *pt_id, change_fn fn)
{
	struct iommufd_object *pt = iommufd_object_visit(idev->obj.ctx, *pt_id, IOMMUFD_ANY);
	uint32_t id = *pt_id;
	int rc = -EINVAL;

	if (!pt)
		return -ENOENT;
	if (pt->type == IOMMUFD_HWPT)
		rc = fn(idev, container_of(pt, struct iommufd_hwpt, obj));
	else if (pt->type == IOMMUFD_IOAS)
		rc = change_to_ioas(idev, container_of(pt, struct iommufd_ioas, obj), fn, &id);
	iommufd_object_leave(pt);
	if (!rc)
		*pt_id = id;
	return rc;
}

int iommufd_device_attach(struct iommufd_device *idev, uint32_t *pt_id)
{
	return change(idev, pt_id, attach_hwpt);
}

int iommufd_device_replace(struct iommufd_device *idev, uint32_t *pt_id)
{
	return change(idev, pt_id, replace_hwpt);
}

void iommufd_device_detach(struct iommufd_device *idev)
{
	struct iommufd_group *ig = idev->group;
	struct iommufd_hwpt *hwpt;

	mutex_lock(&ig->lock);
	if (!idev->attached) {
		mutex_unlock(&ig->lock);
		return;
	}
	hwpt = ig->hwpt;
	LIST_REMOVE(idev, link);
	idev->attached = false;
	if (LIST_EMPTY(&ig->attached)) {
		if (ig->iommu)
			iommu_group_detach(ig->iommu);
		ig->hwpt = NULL;
	}
	unreserve(&hwpt->ioas->iopt, idev);
	mutex_unlock(&ig->lock);
	iommufd_object_unuse(&hwpt->obj);
	iommufd_object_unuse(&idev->obj);
}

bool iommufd_device_attached(struct iommufd_device *idev)
{
	SCOPED_LOCK(&idev->group->lock);
	return idev->attached;
}
