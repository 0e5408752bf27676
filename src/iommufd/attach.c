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
#include "iommufd/hw.h"

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
	return hwpt->hw == iommufd_hw_of(idev) && (!hwpt->dirty || idev->unit->dirty);
}

/* While a group has PASIDs attached, every HWPT that it uses was made for them. */
static bool suits_slot(const struct iommufd_hwpt *hwpt, struct iommufd_group *ig, uint32_t pasid)
{
	struct iommufd_slot *rid = slot_find(ig, IOMMUFD_NO_PASID);

	if (pasid == IOMMUFD_NO_PASID)
		return hwpt->pasid || !has_pasids(ig);
	return hwpt->pasid && (!rid || rid->hwpt->pasid);
}

/* ---- hardware; the group's lock held ---- */

/* Does its driver want it, and can it ask for pages, where somebody waits to be asked? */
static int check_hardware(struct iommufd_device *idev, uint32_t pasid, struct iommufd_hwpt *hwpt)
{
	const struct iommufd_hw *hw = iommufd_hw_of(idev); /* not the HWPT's: a device without IOMMU takes any */

	if (hwpt->fault && !(iommufd_device_translated(idev) && iommu_dev_requests(idev->iommu)))
		return -ENODEV;
	return hw->attach ? hw->attach(idev, pasid, hwpt) : 0;
}

/* The whole group; one without IOMMU has nothing to be told. */
static int hardware_attach(struct iommufd_group *ig, uint32_t pasid, const struct iommufd_hwpt *hwpt)
{
	if (!ig->iommu)
		return 0;
	return pasid == IOMMUFD_NO_PASID ? iommu_group_attach(ig->iommu, hwpt->domain)
					 : iommu_group_attach_pasid(ig->iommu, pasid, hwpt->domain);
}

static int hardware_replace(struct iommufd_group *ig, uint32_t pasid, const struct iommufd_hwpt *hwpt)
{
	if (!ig->iommu)
		return 0;
	return pasid == IOMMUFD_NO_PASID ? iommu_group_replace(ig->iommu, hwpt->domain)
					 : iommu_group_replace_pasid(ig->iommu, pasid, hwpt->domain);
}

static void hardware_detach(struct iommufd_group *ig, uint32_t pasid)
{
	if (!ig->iommu)
		return;
	if (pasid == IOMMUFD_NO_PASID)
		iommu_group_detach(ig->iommu);
	else
		iommu_group_detach_pasid(ig->iommu, pasid);
}

/* From before a device can ask for pages, until after it has asked for the last */
static int faults_join(struct iommufd_device *idev, uint32_t pasid, struct iommufd_hwpt *hwpt)
{
	return hwpt->fault ? iommufd_fault_join(hwpt->fault, idev, pasid) : 0;
}

static void faults_unjoin(struct iommufd_device *idev, uint32_t pasid, struct iommufd_hwpt *hwpt)
{
	if (hwpt->fault)
		iommufd_fault_unjoin(hwpt->fault, idev, pasid);
}

static void faults_part(struct iommufd_device *idev, uint32_t pasid, struct iommufd_hwpt *hwpt)
{
	if (hwpt->fault)
		iommufd_fault_part(hwpt->fault, idev, pasid);
}

static void tell_driver(struct iommufd_device *idev, uint32_t pasid, struct iommufd_hwpt *hwpt)
{
	const struct iommufd_hw *hw = iommufd_hw_of(idev);

	if (hw->attached)
		hw->attached(idev, pasid, hwpt);
}

/* ---- attach; the group's lock held ---- */

/* The first device in a slot brings its group's hardware there. */
static int slot_open(struct iommufd_group *ig, uint32_t pasid, struct iommufd_hwpt *hwpt, struct iommufd_slot **out)
{
	struct iommufd_slot *slot;
	int rc;

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
	rc = faults_join(idev, pasid, hwpt);
	if (rc)
		goto err_unreserve;
	if (!slot)
		rc = slot_open(idev->group, pasid, hwpt, &slot);
	if (rc)
		goto err_unjoin;
	tell_driver(idev, pasid, hwpt);
	at->idev = idev;
	LIST_INSERT_HEAD(&slot->devices, at, link);
	iommufd_object_use(&hwpt->obj);
	iommufd_object_use(&idev->obj);
	return 0;

err_unjoin:
	faults_unjoin(idev, pasid, hwpt);
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
	int rc;

	if (attachment_find(slot, idev))
		return -EBUSY;
	if ((slot ? slot->hwpt != hwpt : !suits_slot(hwpt, idev->group, pasid)) || !suits(hwpt, idev))
		return -EINVAL;
	rc = check_hardware(idev, pasid, hwpt);
	return rc ? rc : attach_to_slot(idev, pasid, hwpt, slot);
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

/* Requests of all of a slot; nothing stays on failure. */
static int faults_join_all(struct iommufd_slot *slot, struct iommufd_hwpt *hwpt)
{
	struct iommufd_attachment *at, *undo;
	int rc;

	LIST_FOREACH(at, &slot->devices, link) {
		rc = faults_join(at->idev, slot->pasid, hwpt);
		if (rc) {
			LIST_FOREACH(undo, &slot->devices, link) {
				if (undo == at)
					break;
				faults_unjoin(undo->idev, slot->pasid, hwpt);
			}
			return rc;
		}
	}
	return 0;
}

static int check_replace(struct iommufd_group *ig, struct iommufd_slot *slot, struct iommufd_hwpt *hwpt)
{
	struct iommufd_attachment *at;
	int rc = 0;

	if (!suits_slot(hwpt, ig, slot->pasid))
		return -EINVAL;
	LIST_FOREACH(at, &slot->devices, link) {
		rc = suits(hwpt, at->idev) ? check_hardware(at->idev, slot->pasid, hwpt) : -EINVAL;
		if (rc)
			break;
	}
	return rc;
}

/* Hardware goes over, and what devices ask for with it. */
static int switch_over(struct iommufd_group *ig, struct iommufd_slot *slot, struct iommufd_hwpt *hwpt)
{
	struct iommufd_attachment *at;
	int rc = faults_join_all(slot, hwpt);

	if (rc)
		return rc;
	rc = hardware_replace(ig, slot->pasid, hwpt);
	LIST_FOREACH(at, &slot->devices, link) {
		if (rc)
			faults_unjoin(at->idev, slot->pasid, hwpt);
		else
			faults_part(at->idev, slot->pasid, slot->hwpt);
	}
	return rc;
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
	rc = switch_over(idev->group, slot, hwpt);
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
		tell_driver(at->idev, pasid, hwpt);
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
	rc = iommufd_hwpt_create_auto(ioas, idev, &hwpt);
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
	if (pt->type == IOMMUFD_HWPT || pt->type == IOMMUFD_NESTED)
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
	faults_part(idev, pasid, hwpt);
	tell_driver(idev, pasid, NULL);
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

/* ---- page requests that did not come from DMA ---- */

/* Who answers what a device asks for with this PASID; without a slot of its own it may be the nested one's. */
static const struct iommufd_hwpt *answers(struct iommufd_device *idev, uint32_t pasid)
{
	struct iommufd_slot *slot = slot_find(idev->group, pasid);

	if (slot || pasid == IOMMUFD_NO_PASID || !iommufd_hw_of(idev)->user_pasids)
		return slot ? slot->hwpt : NULL;
	slot = slot_find(idev->group, IOMMUFD_NO_PASID);
	return slot && slot->hwpt->parent ? slot->hwpt : NULL;
}

int iommufd_device_request(struct iommufd_device *idev, struct iommu_page_request *r)
{
	const struct iommufd_hwpt *hwpt;

	SCOPED_LOCK(&idev->group->lock);
	hwpt = answers(idev, r->pasid);
	return hwpt && hwpt->fault ? iommufd_fault_ops.request(hwpt->fault, r) : -EINVAL;
}

void iommufd_device_detach_all(struct iommufd_device *idev)
{
	struct iommufd_slot *slot;
	uint32_t pasid;

	do {
		mutex_lock(&idev->group->lock);
		RB_FOREACH(slot, iommufd_slots, &idev->group->slots) {
			if (attachment_find(slot, idev))
				break;
		}
		pasid = slot ? slot->pasid : 0;
		mutex_unlock(&idev->group->lock);
		if (slot)
			iommufd_device_detach(idev, pasid);
	} while (slot);
}

bool iommufd_device_detached(struct iommufd_device *idev)
{
	struct iommufd_slot *slot;

	SCOPED_LOCK(&idev->group->lock);
	RB_FOREACH(slot, iommufd_slots, &idev->group->slots) {
		if (attachment_find(slot, idev))
			return false;
	}
	return true;
}

struct iommufd_hwpt *iommufd_device_hwpt_locked(struct iommufd_device *idev, uint32_t pasid)
{
	struct iommufd_slot *slot = slot_find(idev->group, pasid);

	return attachment_find(slot, idev) ? slot->hwpt : NULL;
}
