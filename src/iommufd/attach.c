/* SPDX-License-Identifier: MIT */
/*
 * Bound devices are attached to HWPTs. The hardware knows groups only. So the first device of a group that is attached
 * attaches the group, the others of the group can only join it there, and whoever replaces moves all of them. What
 * hardware reserves for a device is reserved in the address space as long as it is attached. So it is with each PASID:
 * they are slots of their own, but for the regions.
 *
 * A group is blocked while nothing is attached.
 *
 * Spec: 30, 6.2 to 6.5.
 */
#include "iommufd/priv.h"

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

/* ---- slots; the group's lock held ---- */

static int slot_compare(const struct iommufd_slot *a, const struct iommufd_slot *b)
{
	return a->pasid < b->pasid ? -1 : a->pasid > b->pasid;
}
RB_GENERATE_INTERNAL(iommufd_slots, iommufd_slot, node, slot_compare, static __attribute__((unused)))

static struct iommufd_slot *slot_find(struct iommufd_group *ig, uint32_t pasid)
{
	struct iommufd_slot key = { .pasid = pasid };

	return RB_FIND(iommufd_slots, &ig->slots, &key);
}

static struct iommufd_attachment *attachment_find(struct iommufd_slot *slot, const struct iommufd_device *idev)
{
	struct iommufd_attachment *at = NULL;

	if (!slot)
		return NULL;
	LIST_FOREACH(at, &slot->devices, link) {
		if (at->idev == idev)
			break;
	}
	return at;
}

static bool has_pasids(struct iommufd_group *ig)
{
	const struct iommufd_slot *last = RB_MAX(iommufd_slots, &ig->slots);

	return last && last->pasid != IOMMUFD_NO_PASID;
}

/* What the iommu layer does not look at: whether the hardware can do what the HWPT promises. */
static bool suits(const struct iommufd_hwpt *hwpt, const struct iommufd_device *idev)
{
	if (!iommufd_device_translated(idev))
		return true; /* nothing happens to it */
	return iommu_domain_unit(hwpt->domain) != &iommufd_noiommu_unit && (!hwpt->dirty || idev->unit->dirty);
}

/* While a group has PASIDs attached, every HWPT that it uses was made for them. */
static bool suits_slot(const struct iommufd_hwpt *hwpt, struct iommufd_group *ig, uint32_t pasid)
{
	struct iommufd_slot *rid = slot_find(ig, IOMMUFD_NO_PASID);

	if (pasid == IOMMUFD_NO_PASID)
		return hwpt->pasid || !has_pasids(ig);
	return hwpt->pasid && (!rid || rid->hwpt->pasid);
}

/* ---- attach; the group's lock held ---- */

/* What hardware does: it knows whole groups, and no unit knows PASIDs, so with one there is nothing to do. */
static int hardware_attach(struct iommufd_group *ig, uint32_t pasid, const struct iommufd_hwpt *hwpt)
{
	if (hwpt->fault)
		return -ENODEV; /* no device makes page requests */
	return ig->iommu && pasid == IOMMUFD_NO_PASID ? iommu_group_attach(ig->iommu, hwpt->domain) : 0;
}

static int hardware_replace(struct iommufd_group *ig, uint32_t pasid, const struct iommufd_hwpt *hwpt)
{
	if (hwpt->fault)
		return -ENODEV;
	return ig->iommu && pasid == IOMMUFD_NO_PASID ? iommu_group_replace(ig->iommu, hwpt->domain) : 0;
}

static void hardware_detach(struct iommufd_group *ig, uint32_t pasid)
{
	if (ig->iommu && pasid == IOMMUFD_NO_PASID)
		iommu_group_detach(ig->iommu);
}

/* The first device in a slot brings its group's hardware there. */
static int slot_open(struct iommufd_group *ig, uint32_t pasid, struct iommufd_hwpt *hwpt, struct iommufd_slot **out)
{
	struct iommufd_slot *slot;
	int rc;

	if (!suits_slot(hwpt, ig, pasid))
		return -EINVAL;
	slot = calloc(1, sizeof(*slot));
	if (!slot)
		return -ENOMEM;
	rc = hardware_attach(ig, pasid, hwpt);
	if (rc) {
		free(slot);
		return rc;
	}
	slot->pasid = pasid;
	slot->hwpt = hwpt;
	LIST_INIT(&slot->devices);
	RB_INSERT(iommufd_slots, &ig->slots, slot);
	*out = slot;
	return 0;
}

static int attach_to_slot(struct iommufd_device *idev, uint32_t pasid, struct iommufd_hwpt *hwpt,
			  struct iommufd_slot *slot)
{
	struct iommufd_attachment *at = calloc(1, sizeof(*at));
	int rc = at ? 0 : -ENOMEM;

	if (!rc && pasid == IOMMUFD_NO_PASID)
		rc = reserve(&hwpt->ioas->iopt, idev);
	if (rc)
		goto err_free;
	if (!slot)
		rc = slot_open(idev->group, pasid, hwpt, &slot);
	if (rc)
		goto err_unreserve;
	at->idev = idev;
	LIST_INSERT_HEAD(&slot->devices, at, link);
	iommufd_object_use(&hwpt->obj);
	iommufd_object_use(&idev->obj);
	return 0;

err_unreserve:
	if (pasid == IOMMUFD_NO_PASID)
		unreserve(&hwpt->ioas->iopt, idev);
err_free:
	free(at);
	return rc;
}

static int attach_locked(struct iommufd_device *idev, uint32_t pasid, struct iommufd_hwpt *hwpt)
{
	struct iommufd_slot *slot = slot_find(idev->group, pasid);

	if (attachment_find(slot, idev))
		return -EBUSY;
	if ((slot && slot->hwpt != hwpt) || !suits(hwpt, idev))
		return -EINVAL;
	return attach_to_slot(idev, pasid, hwpt, slot);
}

/* Reserve for all of a slot in another address space; nothing stays on failure. */
static int reserve_all(struct iommufd_slot *slot, struct iopt *t)
{
	struct iommufd_attachment *at, *undo;
	int rc;

	LIST_FOREACH(at, &slot->devices, link) {
		rc = reserve(t, at->idev);
		if (rc) {
			LIST_FOREACH(undo, &slot->devices, link) {
				if (undo == at)
					break;
				unreserve(t, undo->idev);
			}
			return rc;
		}
	}
	return 0;
}

static void unreserve_all(struct iommufd_slot *slot, struct iopt *t)
{
	struct iommufd_attachment *at;

	LIST_FOREACH(at, &slot->devices, link)
		unreserve(t, at->idev);
}

static int check_replace(struct iommufd_group *ig, struct iommufd_slot *slot, const struct iommufd_hwpt *hwpt)
{
	struct iommufd_attachment *at;

	if (!suits_slot(hwpt, ig, slot->pasid))
		return -EINVAL;
	LIST_FOREACH(at, &slot->devices, link) {
		if (!suits(hwpt, at->idev))
			return -EINVAL;
	}
	return 0;
}

/* *@old and *@moved: what @moved devices do not use any more, to be told without the lock. */
static int replace_locked(struct iommufd_device *idev, uint32_t pasid, struct iommufd_hwpt *hwpt,
			  struct iommufd_hwpt **old, unsigned *moved)
{
	struct iommufd_slot *slot = slot_find(idev->group, pasid);
	struct iopt *to = &hwpt->ioas->iopt;
	struct iommufd_attachment *at;
	bool elsewhere;
	int rc;

	if (!attachment_find(slot, idev))
		return -EINVAL;
	if (slot->hwpt == hwpt)
		return 0;
	rc = check_replace(idev->group, slot, hwpt);
	if (rc)
		return rc;
	elsewhere = pasid == IOMMUFD_NO_PASID && slot->hwpt->ioas != hwpt->ioas;
	if (elsewhere)
		rc = reserve_all(slot, to);
	if (rc)
		return rc;
	rc = hardware_replace(idev->group, pasid, hwpt);
	if (rc) {
		if (elsewhere)
			unreserve_all(slot, to);
		return rc;
	}
	if (elsewhere)
		unreserve_all(slot, &slot->hwpt->ioas->iopt);
	*old = slot->hwpt;
	slot->hwpt = hwpt;
	LIST_FOREACH(at, &slot->devices, link) {
		iommufd_object_use(&hwpt->obj);
		++*moved;
	}
	return 0;
}

/* ---- attach ---- */

typedef int (*change_fn)(struct iommufd_device *idev, uint32_t pasid, struct iommufd_hwpt *hwpt);

static int attach_hwpt(struct iommufd_device *idev, uint32_t pasid, struct iommufd_hwpt *hwpt)
{
	SCOPED_LOCK(&idev->group->lock);
	return attach_locked(idev, pasid, hwpt);
}

static int replace_hwpt(struct iommufd_device *idev, uint32_t pasid, struct iommufd_hwpt *hwpt)
{
	struct iommufd_hwpt *old = NULL;
	unsigned moved = 0;
	int rc;

	mutex_lock(&idev->group->lock);
	rc = replace_locked(idev, pasid, hwpt, &old, &moved);
	mutex_unlock(&idev->group->lock);
	while (moved--)
		iommufd_object_unuse(&old->obj);
	return rc;
}

/* What is wrong whatever the HWPT, before an automatic one is made, which none for PASIDs is. */
static int check_state(struct iommufd_device *idev, uint32_t pasid, change_fn change)
{
	struct iommufd_slot *slot;
	bool attached;

	SCOPED_LOCK(&idev->group->lock);
	slot = slot_find(idev->group, pasid);
	attached = attachment_find(slot, idev);
	if (change == replace_hwpt && !attached)
		return -EINVAL;
	if (change == attach_hwpt && slot)
		return attached ? -EBUSY : -EINVAL;
	return pasid != IOMMUFD_NO_PASID || has_pasids(idev->group) ? -EINVAL : 0;
}

/* No automatic HWPT is there that suits. What the device reserves stands against it before pages are looked at. */
static int change_to_new(struct iommufd_device *idev, uint32_t pasid, struct iommufd_ioas *ioas, change_fn change,
			 uint32_t *id)
{
	struct iommufd_hwpt *hwpt;
	int rc = check_state(idev, pasid, change);

	if (!rc)
		rc = reserve(&ioas->iopt, idev);
	if (rc)
		return rc;
	rc = iommufd_hwpt_create(ioas, idev, true, &hwpt);
	unreserve(&ioas->iopt, idev);
	if (rc)
		return rc;
	iommufd_hwpt_publish(hwpt);
	rc = change(idev, pasid, hwpt);
	*id = hwpt->obj.id;
	iommufd_object_leave(&hwpt->obj); /* nobody attached: it goes again */
	return rc;
}

/* To the oldest automatic HWPT of the address space that has the device, or one more. */
static int change_to_ioas(struct iommufd_device *idev, uint32_t pasid, struct iommufd_ioas *ioas, change_fn change,
			  uint32_t *id)
{
	struct iommufd_hwpt *hwpt = NULL;
	int rc;

	SCOPED_LOCK(&ioas->lock);
	while ((hwpt = iommufd_hwpt_next(ioas, hwpt))) {
		rc = change(idev, pasid, hwpt);
		if (rc == -EINVAL)
			continue;
		*id = hwpt->obj.id;
		iommufd_object_leave(&hwpt->obj);
		return rc;
	}
	return change_to_new(idev, pasid, ioas, change, id);
}

static int change(struct iommufd_device *idev, uint32_t pasid, uint32_t *pt_id, change_fn fn)
{
	struct iommufd_object *pt = iommufd_object_visit(idev->obj.ctx, *pt_id, IOMMUFD_ANY);
	uint32_t id = *pt_id;
	int rc = -EINVAL;

	if (!pt)
		return -ENOENT;
	if (pt->type == IOMMUFD_HWPT)
		rc = fn(idev, pasid, container_of(pt, struct iommufd_hwpt, obj));
	else if (pt->type == IOMMUFD_IOAS)
		rc = change_to_ioas(idev, pasid, container_of(pt, struct iommufd_ioas, obj), fn, &id);
	iommufd_object_leave(pt);
	if (!rc)
		*pt_id = id;
	return rc;
}

int iommufd_device_attach(struct iommufd_device *idev, uint32_t pasid, uint32_t *pt_id)
{
	return change(idev, pasid, pt_id, attach_hwpt);
}

int iommufd_device_replace(struct iommufd_device *idev, uint32_t pasid, uint32_t *pt_id)
{
	return change(idev, pasid, pt_id, replace_hwpt);
}

/* Returns the HWPT that it was attached to; NULL: none */
static struct iommufd_hwpt *detach_locked(struct iommufd_device *idev, uint32_t pasid)
{
	struct iommufd_slot *slot = slot_find(idev->group, pasid);
	struct iommufd_attachment *at = attachment_find(slot, idev);
	struct iommufd_hwpt *hwpt;

	if (!at)
		return NULL;
	hwpt = slot->hwpt;
	LIST_REMOVE(at, link);
	free(at);
	if (LIST_EMPTY(&slot->devices)) {
		hardware_detach(idev->group, pasid);
		RB_REMOVE(iommufd_slots, &idev->group->slots, slot);
		free(slot);
	}
	if (pasid == IOMMUFD_NO_PASID)
		unreserve(&hwpt->ioas->iopt, idev);
	return hwpt;
}

void iommufd_device_detach(struct iommufd_device *idev, uint32_t pasid)
{
	struct iommufd_hwpt *hwpt;

	mutex_lock(&idev->group->lock);
	hwpt = detach_locked(idev, pasid);
	mutex_unlock(&idev->group->lock);
	if (!hwpt)
		return;
	iommufd_object_unuse(&hwpt->obj);
	iommufd_object_unuse(&idev->obj);
}

bool iommufd_device_attached(struct iommufd_device *idev, uint32_t pasid)
{
	SCOPED_LOCK(&idev->group->lock);
	return attachment_find(slot_find(idev->group, pasid), idev);
}
