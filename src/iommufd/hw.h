/* SPDX-License-Identifier: MIT */
/*
 * What the driver of an IOMMU adds to /dev/iommu: data of its own in requests, nested page tables, virtual IOMMUs. One
 * table for each kind of unit: vtd.c, mock.c; those that add nothing share iommufd_hw_plain (hw.c).
 */
#ifndef UVFIO_IOMMUFD_HW_H
#define UVFIO_IOMMUFD_HW_H

#include "iommufd/priv.h"

/*
 * Data of the program's that comes with a request: a structure of the driver's, older or newer. Copied before anything is
 * looked up, as the program's memory may keep us waiting, and what is visited then would have to wait too.
 */
struct hw_user {
	uint32_t type;
	uint32_t length;  /* bytes, the program's; 0: there is none */
	bool copied;      /* it could be read */
	bool answered;    /* the driver has changed data[], which goes back to where it came from */
#define HW_USER_MAX 64
	uint8_t data[HW_USER_MAX]; /* as far as it goes; then zeros */
};

/** hw_user_read - before anything is looked up; what is wrong with it is told when the driver wants it */
void hw_user_read(struct hw_user *user, struct task *t, uint32_t type, uint32_t length, uva_t uva);
/** hw_user_copy - into @dst; what the program's is short of is zeros. -EINVAL under @min bytes or over @full; -EFAULT */
int hw_user_copy(const struct hw_user *user, void *dst, size_t full, size_t min);
/** hw_user_answer - @src goes back, as much as the program has room for */
void hw_user_answer(struct hw_user *user, const void *src, size_t n);
/** hw_user_write - the answer, when nothing is looked up any more; none: nothing. -EFAULT */
int hw_user_write(const struct hw_user *user, struct task *t, uva_t uva);

/* Requests of HWPT_INVALIDATE, to be done in order. */
struct hw_batch {
	struct task *t;
	uint32_t type;
	uint32_t length;  /* of each, bytes */
	uint32_t count;
	uint32_t done;    /* how many took effect */
	uva_t uva;
};

/** hw_batch_copy - number @i, as hw_user_copy(). -EINVAL under @min bytes; -E2BIG more than is known; -EFAULT */
int hw_batch_copy(const struct hw_batch *b, uint32_t i, void *dst, size_t full, size_t min);

/* All flags of HWPT_ALLOC that Linux knows for paging ones */
#define IOMMUFD_HW_PAGING_FLAGS (IOMMU_HWPT_ALLOC_NEST_PARENT | IOMMU_HWPT_ALLOC_DIRTY_TRACKING | \
				 IOMMU_HWPT_FAULT_ID_VALID | IOMMU_HWPT_ALLOC_PASID)

struct iommufd_hw {
	uint32_t paging_flags;   /* of HWPT_ALLOC: those that can be had at all */
	uint32_t info_type;      /* of GET_HW_INFO */
	bool user_pasids;        /* PASID tables are the guest's: a fault with one may belong to what it nested */
#define HW_INFO_MAX 64
	/* Registers of the unit; returns their size. NULL: none */
	uint32_t (*info)(const struct iommu_unit *unit, void *out);
	/* The domain of a paging HWPT: @hwpt->domain. @user: its data, NULL: none. -EOPNOTSUPP, -EINVAL, -EFAULT, -ENOMEM */
	int (*paging)(struct iommufd_hwpt *hwpt, struct iommufd_device *idev, const struct hw_user *user);
	/* The same of a nested one: ->parent and ->viommu are set. NULL: the driver has none */
	int (*nested)(struct iommufd_hwpt *hwpt, const struct hw_user *user);
	/* NULL: nothing to invalidate. -EINVAL, -EOPNOTSUPP, -EFAULT, -E2BIG */
	int (*invalidate)(struct iommufd_hwpt *hwpt, struct hw_batch *b);
	/* Can the device be attached to it now, with a PASID or without? NULL: always */
	int (*attach)(struct iommufd_device *idev, uint32_t pasid, struct iommufd_hwpt *hwpt);
	/* It is attached now; NULL: to nothing. The group's lock is held. NULL: nobody wants to know */
	void (*attached)(struct iommufd_device *idev, uint32_t pasid, struct iommufd_hwpt *hwpt);
	/* Are there virtual IOMMUs of this type? NULL: of none */
	bool (*has_viommu)(uint32_t type);
	/* Make one: ->hw_data. @user: its data, to be answered; NULL: none */
	int (*viommu)(struct iommufd_viommu *v, struct hw_user *user);
	int (*viommu_invalidate)(struct iommufd_viommu *v, struct hw_batch *b);
	void (*viommu_fini)(struct iommufd_viommu *v);
	/* Are there queues of this type? NULL: of none */
	bool (*has_queue)(const struct iommufd_viommu *v, uint32_t type);
	/* Take a queue of the guest's into use, whose memory is pinned. -EINVAL, -EEXIST, -EIO, -EFAULT */
	int (*queue)(struct iommufd_hw_queue *q);
	void (*queue_fini)(struct iommufd_hw_queue *q);
};

extern const struct iommufd_hw iommufd_hw_plain, iommufd_hw_vtd, iommufd_hw_mock;
/** iommufd_hw_of - the driver of the device's unit */
const struct iommufd_hw *iommufd_hw_of(const struct iommufd_device *idev);
/** iommufd_hw_same_unit - is it one piece of hardware? */
bool iommufd_hw_same_unit(const struct iommu_unit *a, const struct iommu_unit *b);
/** iommufd_hw_paging - the usual domain: of the device's unit, without data of the program's */
int iommufd_hw_paging(struct iommufd_hwpt *hwpt, struct iommufd_device *idev, const struct hw_user *user);

#endif
