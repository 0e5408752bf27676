/* SPDX-License-Identifier: MIT */
/*
 * Mock devices: each alone in a group behind the mock IOMMU, bound to the context that made it. They do no DMA; what
 * hardware would do of itself, a request does: page requests, events.
 *
 * A mock device does not keep its context, but ends with it. Ended by DESTROY it is detached, but not from its PASIDs,
 * which nobody can name any more then: what is left of it waits for the end of the context.
 *
 * Spec: 31, part 1.
 */
#include "iommufd/mock.h"

#define PASIDS     (1u << 20)
#define DEV_FLAGS  (MOCK_FLAGS_DEVICE_NO_DIRTY | MOCK_FLAGS_DEVICE_PASID)

/* ---- life ---- */

static int hardware_create(struct iommufd_ctx *ctx, struct iommufd_mock *mock, uint32_t flags)
{
	int rc = iommu_dev_create(ctx->fd->iommu, "iommufd_mock", iommufd_mock_unit(flags), &mock->dev);

	if (rc)
		return rc;
	iommu_dev_set_requests(mock->dev, true);
	rc = iommu_dev_set_pasids(mock->dev, flags & MOCK_FLAGS_DEVICE_PASID ? PASIDS : 1);
	if (!rc)
		rc = iommu_group_create(ctx->fd->iommu, &mock->group);
	if (rc)
		goto err_dev;
	rc = iommu_dev_join(mock->dev, mock->group);
	if (rc)
		goto err_group;
	return 0;

err_group:
	iommu_group_put(mock->group);
err_dev:
	iommu_dev_destroy(mock->dev);
	return rc;
}

static void hardware_destroy(struct iommufd_mock *mock)
{
	iommu_dev_leave(mock->dev);
	iommu_group_put(mock->group);
	iommu_dev_destroy(mock->dev);
}

/* Bound, not attached; reserved, not published. */
static int mock_create(struct iommufd_ctx *ctx, uint32_t flags, struct iommufd_mock **out)
{
	struct iommufd_mock *mock = calloc(1, sizeof(*mock));
	int rc;

	if (!mock)
		return -ENOMEM;
	rc = iommufd_object_reserve(ctx, IOMMUFD_SELFTEST, &mock->obj);
	if (rc)
		goto err_free;
	mutex_init(&mock->lock, RANK_IOMMUFD_MOCK);
	for (unsigned i = 0; i < MOCK_DEV_CACHES; i++)
		mock->caches[i] = IOMMU_TEST_DEV_CACHE_DEFAULT;
	rc = hardware_create(ctx, mock, flags);
	if (rc)
		goto err_abandon;
	rc = iommufd_device_bind_foreign(ctx, mock->dev, mock, &mock->idev);
	if (rc)
		goto err_hardware;
	*out = mock;
	return 0;

err_hardware:
	hardware_destroy(mock);
err_abandon:
	iommufd_object_abandon(&mock->obj);
	mutex_fini(&mock->lock);
err_free:
	free(mock);
	return rc;
}

static void mock_end(struct iommufd_mock *mock)
{
	iommufd_device_detach_all(mock->idev);
	iommufd_device_unbind(mock->idev);
	hardware_destroy(mock);
	mutex_fini(&mock->lock);
	free(mock);
}

void iommufd_selftest_free(struct iommufd_object *o)
{
	struct iommufd_mock *mock = container_of(o, struct iommufd_mock, obj);
	struct iommufd_ctx *ctx = o->ctx;

	iommufd_device_detach(mock->idev, IOMMUFD_NO_PASID);
	if (ctx->ending || iommufd_device_detached(mock->idev)) {
		mock_end(mock);
		return;
	}
	SCOPED_LOCK(&ctx->lock);
	LIST_INSERT_HEAD(&ctx->orphans, mock, orphan);
}

void iommufd_mock_end(struct iommufd_ctx *ctx)
{
	struct iommufd_mock *mock;

	while ((mock = LIST_FIRST(&ctx->orphans))) { /* nobody else is left */
		LIST_REMOVE(mock, orphan);
		mock_end(mock);
	}
}

static struct iommufd_mock *mock_visit(struct iommufd_ctx *ctx, uint32_t id)
{
	struct iommufd_object *o = iommufd_object_visit(ctx, id, IOMMUFD_SELFTEST);

	return o ? container_of(o, struct iommufd_mock, obj) : NULL;
}

/* ---- making and moving them ---- */

static int mock_domain(struct ucmd *u, uint32_t flags)
{
	struct iommu_test_cmd *c = u->cmd;
	uint32_t pt = c->id;
	struct iommufd_mock *mock;
	int rc;

	if (flags & ~DEV_FLAGS)
		return -EINVAL;
	rc = mock_create(u->ctx, flags, &mock);
	if (rc)
		return rc;
	rc = iommufd_device_attach(mock->idev, IOMMUFD_NO_PASID, &pt);
	if (!rc) {
		c->mock_domain.out_stdev_id = mock->obj.id;
		c->mock_domain.out_hwpt_id = pt;
		c->mock_domain.out_idev_id = iommufd_device_id(mock->idev);
		rc = ucmd_respond(u);
	}
	if (rc) {
		iommufd_object_abandon(&mock->obj);
		mock_end(mock);
		return rc;
	}
	iommufd_object_publish(&mock->obj);
	return 0;
}

int iommufd_test_mock_domain(struct ucmd *u)
{
	return mock_domain(u, 0);
}

int iommufd_test_mock_domain_flags(struct ucmd *u)
{
	const struct iommu_test_cmd *c = u->cmd;

	return mock_domain(u, c->mock_domain.dev_flags);
}

typedef int (*attach_fn)(struct iommufd_device *idev, uint32_t pasid, uint32_t *pt_id);

/* @pt_id: in the command; receives the HWPT. Attached without being told is not attached; what was left is not come back to. */
static int mock_change(struct ucmd *u, uint32_t pasid, uint32_t *pt_id, attach_fn fn)
{
	const struct iommu_test_cmd *c = u->cmd;
	struct iommufd_mock *mock = mock_visit(u->ctx, c->id);
	int rc;

	if (!mock)
		return -ENOENT;
	rc = fn(mock->idev, pasid, pt_id);
	if (!rc) {
		rc = ucmd_respond(u);
		if (rc && fn == iommufd_device_attach)
			iommufd_device_detach(mock->idev, pasid);
	}
	iommufd_object_leave(&mock->obj);
	return rc;
}

int iommufd_test_mock_replace(struct ucmd *u)
{
	struct iommu_test_cmd *c = u->cmd;

	return mock_change(u, IOMMUFD_NO_PASID, &c->mock_domain_replace.pt_id, iommufd_device_replace);
}

/* ---- PASIDs ---- */

int iommufd_test_pasid_attach(struct ucmd *u)
{
	struct iommu_test_cmd *c = u->cmd;

	return mock_change(u, c->pasid_attach.pasid, &c->pasid_attach.pt_id, iommufd_device_attach);
}

int iommufd_test_pasid_replace(struct ucmd *u)
{
	struct iommu_test_cmd *c = u->cmd;

	return mock_change(u, c->pasid_attach.pasid, &c->pasid_attach.pt_id, iommufd_device_replace);
}

int iommufd_test_pasid_detach(struct ucmd *u)
{
	const struct iommu_test_cmd *c = u->cmd;
	struct iommufd_mock *mock = mock_visit(u->ctx, c->id);

	if (!mock)
		return -ENOENT;
	iommufd_device_detach(mock->idev, c->pasid_detach.pasid);
	iommufd_object_leave(&mock->obj);
	return 0;
}

static struct iommufd_hwpt *attached_to(struct iommufd_device *idev, uint32_t pasid)
{
	SCOPED_LOCK(&idev->group->lock);
	return iommufd_device_hwpt_locked(idev, pasid);
}

/* Is the device attached to the HWPT @id, 0: to none? */
static int check_attached(struct iommufd_ctx *ctx, struct iommufd_device *idev, uint32_t pasid, uint32_t id)
{
	struct iommufd_object *o;
	int rc = -EINVAL;

	if (!id)
		return attached_to(idev, pasid) ? -EINVAL : 0;
	o = iommufd_object_visit(ctx, id, IOMMUFD_ANY);
	if (!o)
		return -ENOENT;
	if (o->type == IOMMUFD_HWPT || o->type == IOMMUFD_NESTED)
		rc = attached_to(idev, pasid) == container_of(o, struct iommufd_hwpt, obj) ? 0 : -EINVAL;
	iommufd_object_leave(o);
	return rc;
}

int iommufd_test_pasid_check(struct ucmd *u)
{
	const struct iommu_test_cmd *c = u->cmd;
	struct iommufd_mock *mock = mock_visit(u->ctx, c->id);
	int rc;

	if (!mock)
		return -ENOENT;
	rc = check_attached(u->ctx, mock->idev, c->pasid_check.pasid, c->pasid_check.hwpt_id);
	iommufd_object_leave(&mock->obj);
	return rc;
}

/* ---- what hardware would do ---- */

/* A device that is named by its DEVICE id. NULL: no device, or none of ours; *@rc why */
static struct iommufd_device *mock_device_visit(struct iommufd_ctx *ctx, uint32_t id, int *rc)
{
	struct iommufd_device *idev = iommufd_device_visit(ctx, id);

	*rc = -ENOENT;
	if (!idev || iommufd_hw_of(idev) == &iommufd_hw_mock)
		return idev;
	*rc = -EINVAL;
	iommufd_device_leave(idev);
	return NULL;
}

int iommufd_test_trigger_iopf(struct ucmd *u)
{
	const struct iommu_test_cmd *c = u->cmd;
	struct iommu_page_request *r, init = { .has_pasid = c->trigger_iopf.pasid != IOMMUFD_NO_PASID,
					       .pasid = c->trigger_iopf.pasid, .group = c->trigger_iopf.grpid,
					       .prot = c->trigger_iopf.perm, .addr = c->trigger_iopf.addr };
	int rc;
	struct iommufd_device *idev = mock_device_visit(u->ctx, c->trigger_iopf.dev_id, &rc);

	if (!idev)
		return rc;
	init.dev = idev->iommu;
	rc = iommu_page_request_create(&init, &r);
	if (!rc) {
		iommufd_device_request(idev, r); /* one that nobody takes is dropped */
		iommu_page_request_put(r);
	}
	iommufd_device_leave(idev);
	return rc;
}

int iommufd_test_check_cache(struct ucmd *u)
{
	const struct iommu_test_cmd *c = u->cmd;
	struct iommufd_device *idev;
	struct iommufd_mock *mock;
	int rc;

	idev = mock_device_visit(u->ctx, c->id, &rc);
	if (!idev)
		return rc;
	mock = idev->hw_data;
	mutex_lock(&mock->lock);
	rc = c->check_dev_cache.id < MOCK_DEV_CACHES && mock->caches[c->check_dev_cache.id] == c->check_dev_cache.cache ?
		     0 : -EINVAL;
	mutex_unlock(&mock->lock);
	iommufd_device_leave(idev);
	return rc;
}

int iommufd_test_trigger_vevent(struct ucmd *u)
{
	const struct iommu_test_cmd *c = u->cmd;
	int rc;
	struct iommufd_device *idev = mock_device_visit(u->ctx, c->trigger_vevent.dev_id, &rc);
	struct iommu_viommu_event_selftest event;
	struct iommufd_mock *mock;

	if (!idev)
		return rc;
	mock = idev->hw_data;
	mutex_lock(&idev->group->lock);
	if (mock->viommu && mock->virt_id) {
		event.virt_id = (uint32_t)mock->virt_id;
		rc = iommufd_viommu_report(mock->viommu, IOMMU_VEVENTQ_TYPE_SELFTEST, &event, sizeof(event));
	} else {
		rc = -ENOENT;
	}
	mutex_unlock(&idev->group->lock);
	iommufd_device_leave(idev);
	return rc;
}
