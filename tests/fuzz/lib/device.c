/* SPDX-License-Identifier: MIT */
/* Devices. */
#include "fuzz.h"

void do_bind(void)
{
	struct vfio_device_bind_iommufd a = { .argsz = sizeof(a) };
	int fd = pick(DEVICE);

	a.iommufd = pick(CTX);
	a.flags = flags() & 3;
	if (a.flags & VFIO_DEVICE_BIND_FLAG_TOKEN)
		a.token_uuid_ptr = uva();
	CALL(fd, VFIO_DEVICE_BIND_IOMMUFD, a);
}

void do_attach(void)
{
	struct vfio_device_attach_iommufd_pt a = { .argsz = sizeof(a) };
	int fd = pick(DEVICE);

	a.pt_id = id();
	a.flags = flags() & 3;
	if (a.flags)
		a.pasid = id();
	CALL(fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, a);
}

void do_detach(void)
{
	struct vfio_device_detach_iommufd_pt a = { .argsz = sizeof(a) };
	int fd = pick(DEVICE);

	a.flags = flags() & 3;
	if (a.flags)
		a.pasid = id();
	CALL(fd, VFIO_DEVICE_DETACH_IOMMUFD_PT, a);
}

void do_master(void)
{
	int fd = pick(DEVICE);

	set_master(fd, !(byte() & 1));
}

void do_reset(void)
{
	try(pick(DEVICE), VFIO_DEVICE_RESET, NULL);
}

void do_dma(void)
{
	static uint8_t data[2 * PAGE];
	static const size_t sizes[] = { 4, 1, 8, 64, PAGE, 5000, 2 * PAGE, 0 };
	uint8_t b = byte();
	struct pci_dev *d = devices[b % npci].pci;
	size_t n = sizes[b >> 5];
	uint64_t at = iova();
	bool fault;
	int rc = 0;

	switch (byte() % 3) {
	case 0:
		rc = pci_dma_write(d, at, data, n);
		break;
	case 1:
		rc = pci_dma_read(d, at, data, n);
		break;
	case 2:
		rc = pci_dma_copy(d, at, iova(), n, &fault);
		break;
	}
	if (trace)
		fprintf(stderr, "dma(%s, %#lx, %zu): %d\n", pci_dev_name(d), at, n, rc);
}
