/* SPDX-License-Identifier: MIT */
/* Short names for what programs do with a device by its own node. Results as of ioctl(2). */
#ifndef UVFIO_TESTS_CDEV_H
#define UVFIO_TESTS_CDEV_H

#include "ioas.h"

/* The node of a function that is bound to vfio-pci: its name below /dev/vfio/devices, in a static buffer */
static inline const char *cdev_name(const char *bdf)
{
	static char name[32];
	char path[128], *names;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vfio-dev", bdf);
	names = x_list(path);
	EXPECT(names);
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(names, "\n"), names);
	free(names);
	return name;
}

static inline int cdev_open(const char *bdf)
{
	char path[128];

	snprintf(path, sizeof(path), "/dev/vfio/devices/%s", cdev_name(bdf));
	return x_open(path, O_RDWR);
}

/* The same of a function that may have another driver yet */
static inline int cdev_take(const char *bdf)
{
	bind_vfio(bdf);
	return EXPECT_OK(cdev_open(bdf));
}

static inline int cdev_bind_flags(int device, int ctx, uint32_t argsz, uint32_t flags, uint32_t *id)
{
	struct vfio_device_bind_iommufd b = { .argsz = argsz, .flags = flags, .iommufd = ctx };
	int rc = x_ioctl(device, VFIO_DEVICE_BIND_IOMMUFD, &b);

	if (id)
		*id = b.out_devid;
	return rc;
}

static inline int cdev_bind(int device, int ctx)
{
	return cdev_bind_flags(device, ctx, sizeof(struct vfio_device_bind_iommufd), 0, NULL);
}

/* *@pt_id becomes the table's */
static inline int cdev_attach(int device, uint32_t *pt_id)
{
	struct vfio_device_attach_iommufd_pt a = { .argsz = sizeof(a), .pt_id = *pt_id };
	int rc = x_ioctl(device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &a);

	*pt_id = a.pt_id;
	return rc;
}

static inline int cdev_attach_to(int device, uint32_t pt_id)
{
	return cdev_attach(device, &pt_id);
}

static inline int cdev_detach(int device)
{
	struct vfio_device_detach_iommufd_pt d = { .argsz = sizeof(d) };

	return x_ioctl(device, VFIO_DEVICE_DETACH_IOMMUFD_PT, &d);
}

/* With a PASID; *@pt_id as cdev_attach() */
static inline int cdev_attach_pasid(int device, uint32_t pasid, uint32_t *pt_id)
{
	struct vfio_device_attach_iommufd_pt a = { .argsz = sizeof(a), .flags = VFIO_DEVICE_ATTACH_PASID, .pt_id = *pt_id,
						   .pasid = pasid };
	int rc = x_ioctl(device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &a);

	*pt_id = a.pt_id;
	return rc;
}

static inline int cdev_attach_pasid_to(int device, uint32_t pasid, uint32_t pt_id)
{
	return cdev_attach_pasid(device, pasid, &pt_id);
}

static inline int cdev_detach_pasid(int device, uint32_t pasid)
{
	struct vfio_device_detach_iommufd_pt d = { .argsz = sizeof(d), .flags = VFIO_DEVICE_DETACH_PASID, .pasid = pasid };

	return x_ioctl(device, VFIO_DEVICE_DETACH_IOMMUFD_PT, &d);
}

#endif
