/* SPDX-License-Identifier: MIT */
/*
 * iommufd: /dev/iommu for programs, and the same objects for the drivers that give devices to programs.
 *
 * A context is one open of /dev/iommu. It has I/O address spaces (IOAS), which programs fill by ioctl; a driver
 * binds a device to a context, which claims the DMA of the device's group for it, and attaches the device to an
 * address space. Software that stands for a device (no DMA of its own) attaches an access instead.
 *
 * For vfio/. A descriptor is turned into a context by iommufd_ctx_from_file(); from then on
 *
 *	BIND             iommufd_device_bind()     the reference on the context is the device's until unbind
 *	ATTACH           iommufd_device_attach() the first time, iommufd_device_replace() later
 *	DETACH           iommufd_device_detach()
 *	close            iommufd_device_detach() of whatever is attached, iommufd_device_unbind()
 *	SET_CONTAINER    iommufd_compat_ioas_create() or, for a No-IOMMU group, iommufd_compat_set_noiommu()
 *	GET_DEVICE_FD    bind, iommufd_compat_ioas_id(), attach at the device's first open
 *
 * Spec: 30. Errors are those of the ioctl that the call serves.
 */
#ifndef UVFIO_IOMMUFD_IOMMUFD_H
#define UVFIO_IOMMUFD_IOMMUFD_H

#include "base/defs.h"
#include "base/log.h"
#include "file/file.h"
#include "file/tree.h"
#include "iommu/iommu.h"
#include "mem/mem.h"
#include "task/task.h"

struct iommufd;        /* per machine */
struct iommufd_ctx;    /* per open of /dev/iommu */
struct iommufd_device; /* a bound device */
struct iommufd_access; /* software that uses an address space */

/* How the simulated kernel was built, and its parameters. */
struct iommufd_params {
	bool unsafe_interrupts; /* bind devices without isolated MSI too; changed at run time through /sys/module/iommufd */
	bool noiommu;           /* with No-IOMMU mode */
	bool test;              /* with the test interface, IOMMU_TEST_CMD: mock devices, and looks inside (spec 31) */
};

/** iommufd_create - the node /dev/iommu and its module's parameter. 0; -ENOMEM; -EEXIST */
int iommufd_create(struct tree *tree, struct mem *mem, struct iommu *iommu, struct log *log,
		   const struct iommufd_params *params, struct iommufd **out);
/** iommufd_destroy - no context is left; NULL is fine */
void iommufd_destroy(struct iommufd *fd);

/* ---- contexts ---- */

/** iommufd_ctx_from_file - the context of an open /dev/iommu, with a reference; NULL: another file */
struct iommufd_ctx *iommufd_ctx_from_file(struct file *f);
struct iommufd_ctx *iommufd_ctx_get(struct iommufd_ctx *ctx);
/**
 * iommufd_ctx_put - the last one destroys every object: all is unmapped and unpinned when it returns
 * Context: no lock of rank RANK_IOMMUFD_IOAS or above held. NULL is fine
 */
void iommufd_ctx_put(struct iommufd_ctx *ctx);

/* ---- a VFIO group whose container is a context (spec 30, 9.1) ---- */

/** iommufd_compat_ioas_create - SET_CONTAINER: the compat IOAS, unless there is one. -EINVAL No-IOMMU mode; -ENOMEM */
int iommufd_compat_ioas_create(struct iommufd_ctx *ctx);
/** iommufd_compat_ioas_id - where GET_DEVICE_FD attaches. -ENODEV it has none (any more) */
int iommufd_compat_ioas_id(struct iommufd_ctx *ctx, uint32_t *out);
/** iommufd_compat_set_noiommu - a No-IOMMU group joins: from now on only such. -EINVAL there is a compat IOAS */
int iommufd_compat_set_noiommu(struct iommufd_ctx *ctx);

/* ---- devices (spec 30, 6) ---- */

/**
 * iommufd_device_bind - the device's DMA belongs to the context from now on, and is blocked until it is attached
 * @d:  its group must not change while it is bound
 * @id: its id in the context
 * Takes a reference on the context. Several devices of one group can be bound, to one context.
 * Return: 0; -EINVAL not coherent; -ENODEV no group; -EPERM MSI not isolated, or the group is somebody else's;
 * -EBUSY a domain is attached without claim, or a member is being reset; -ENOMEM
 */
int iommufd_device_bind(struct iommufd_ctx *ctx, struct iommu_dev *d, struct iommufd_device **out, uint32_t *id);
/**
 * iommufd_device_bind_noiommu - the same for a device without IOMMU: nobody's DMA is claimed, and attaching it only
 * pins what is mapped, so that IOAS_NOIOMMU_GET_PA can say where it is. Who may open the device is the driver's to ask.
 * Return: 0; -EINVAL it has an IOMMU, or the kernel was built without No-IOMMU mode; -ENOMEM
 */
int iommufd_device_bind_noiommu(struct iommufd_ctx *ctx, struct iommu_dev *d, struct iommufd_device **out,
				uint32_t *id);
/** iommufd_device_unbind - nothing is attached; waits for ioctls that name it; the group's last gives the group back */
void iommufd_device_unbind(struct iommufd_device *idev);
struct iommufd_ctx *iommufd_device_ctx(struct iommufd_device *idev); /* borrowed */
uint32_t iommufd_device_id(struct iommufd_device *idev);

#define IOMMUFD_NO_PASID 0
/**
 * iommufd_device_attach - put a device that is not attached into an address space
 * @pasid: IOMMUFD_NO_PASID, or one of the address spaces that a device tells apart by itself. Each is attached,
 *         replaced and detached on its own; all must be detached before unbind. No unit translates them
 * @pt_id: an IOAS or HWPT; on success the id of the HWPT in use
 * Return: 0; -ENOENT no such id; -EINVAL another type, does not suit the device, the group uses another HWPT, or only
 * one of the HWPTs of the group is fit for PASIDs; -EBUSY attached already; -EADDRINUSE what is mapped or allowed is
 * reserved for the device; -ENODEV its page requests are wanted; -EFAULT, -ENOMEM pins
 */
int iommufd_device_attach(struct iommufd_device *idev, uint32_t pasid, uint32_t *pt_id);
/**
 * iommufd_device_replace - the same for a device that is attached: its whole group moves, and is never in any domain
 * but the old and the new one. On failure nothing has changed. -EINVAL also: it is not attached
 */
int iommufd_device_replace(struct iommufd_device *idev, uint32_t pasid, uint32_t *pt_id);
/** iommufd_device_detach - blocked again; an automatic HWPT goes with its last device. Not attached: nothing */
void iommufd_device_detach(struct iommufd_device *idev, uint32_t pasid);
bool iommufd_device_attached(struct iommufd_device *idev, uint32_t pasid);

/**
 * iommufd_ctx_has_group - is any device of the group bound to the context? For hot reset
 * iommufd_ctx_device_id - the id of a device in the context: > 0; 0 owned through its group but not bound itself;
 * -1 not owned (spec 30, 6.6b)
 */
bool iommufd_ctx_has_group(struct iommufd_ctx *ctx, struct iommu_group *g);
int iommufd_ctx_device_id(struct iommufd_ctx *ctx, struct iommu_dev *d);

/* ---- accesses (spec 30, 5) ---- */

struct iommufd_access_ops {
	bool needs_pin_pages;
	/* It belongs to an object of the context, so it does not keep it; what it has pinned cannot be unmapped at all */
	bool internal;
	/*
	 * [@iova, +@length) is about to be unmapped (0, UINT64_MAX: all there is): unpin everything of it before returning.
	 * Context: no lock of iommufd's held; may be called for a range that is not pinned.
	 */
	void (*unmap)(void *ctx, iova_t iova, uint64_t length);
};

/** iommufd_access_create - takes a reference on the context, unless it is internal. -ENOMEM */
int iommufd_access_create(struct iommufd_ctx *ctx, const struct iommufd_access_ops *ops, void *priv,
			  struct iommufd_access **out, uint32_t *id);
/** iommufd_access_destroy - detaches; waits for callbacks under way */
void iommufd_access_destroy(struct iommufd_access *access);
/** iommufd_access_attach - -EINVAL attached already; -ENOENT no such IOAS; -EADDRINUSE what is mapped is not aligned */
int iommufd_access_attach(struct iommufd_access *access, uint32_t ioas_id);
/** iommufd_access_replace - to another IOAS; pins on the old one are called back. -ENOENT also: not attached */
int iommufd_access_replace(struct iommufd_access *access, uint32_t ioas_id);
/** iommufd_access_detach - all pins are called back; not attached: nothing */
void iommufd_access_detach(struct iommufd_access *access);
/**
 * iommufd_access_pin - keep the pages of a range, and say where they are
 * @phys: receives the address of each page, from the one that @iova is in
 * Return: 0; -EINVAL no @length, not at a page's start, or an unmap of it is under way; -EOVERFLOW; -ENOENT not
 * attached, or a hole; -EPERM; -EFAULT; -ENOMEM. Nothing stays pinned on failure.
 */
int iommufd_access_pin(struct iommufd_access *access, iova_t iova, uint64_t length, bool write, phys_t *phys);
/** iommufd_access_unpin - the inverse, of exactly the same range; one that is not pinned is left alone */
void iommufd_access_unpin(struct iommufd_access *access, iova_t iova, uint64_t length);
/**
 * iommufd_access_rw - copy from (@write: to) the program's memory without leaving pins
 * @t: the program on whose behalf; NULL: a thread of the device's own
 * Context: no lock held while it copies, which takes as long as the program likes; UNMAP of the range waits for it
 * Return: as pin; what lies before the failure may have moved
 */
int iommufd_access_rw(struct iommufd_access *access, struct task *t, iova_t iova, void *data, uint64_t length,
		      bool write);

#endif
