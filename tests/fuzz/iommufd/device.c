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

void set_master(int fd, bool on)
{
	uint16_t command = on ? 6 : 2;

	uvfio_pwrite(m, fd, &command, 2, CONFIG + 4);
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
	struct pci_dev *d = pci[b % DEVICES];
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

/* Registers of the soft device: 8 IOVA, 16 count, 24 direction, 32 command; pages for commands 1 and 2, else bytes */
void do_soft(void)
{
	int fd = pick(DEVICE);
	uint8_t b = byte();
	uint64_t v[4] = { iova(), (b & 7) > 2 ? b * 8u : b >> 4, 3, b & 7 };

	for (unsigned i = 0; i < ARRAY_SIZE(v); i++)
		uvfio_pwrite(m, fd, &v[i], 8, 8 + 8 * i);
}
