/* SPDX-License-Identifier: MIT */
/* What a program asks of a device, its features and its resets. */
#include "calls.h"
#include <assert.h>
#include <string.h>

/* Mostly what is right. */
static uint32_t argsz(size_t right)
{
	uint8_t b = byte();

	return b < 0xc0 ? (uint32_t)right : b < 0xf0 ? b - 0xc0u : (uint32_t)raw(4);
}

void do_device_info(void)
{
	struct vfio_device_info a = { 0 };
	int fd = pick(DEVICE);

	a.argsz = argsz(sizeof(a));
	CALL(fd, VFIO_DEVICE_GET_INFO, a);
}

void do_region_info(void)
{
	struct {
		struct vfio_region_info a;
		uint8_t caps[64];
	} x = { 0 };
	int fd = pick(DEVICE);

	x.a.argsz = argsz(sizeof(x));
	x.a.index = flags();
	x.a.cap_offset = 0x5a5a5a5a;
	CALL(fd, VFIO_DEVICE_GET_REGION_INFO, x);
}

void do_irq_info(void)
{
	struct vfio_irq_info a = { 0 };
	int fd = pick(DEVICE);

	a.argsz = argsz(sizeof(a));
	a.index = flags();
	CALL(fd, VFIO_DEVICE_GET_IRQ_INFO, a);
}

void do_hot_reset_info(void)
{
	struct {
		struct vfio_pci_hot_reset_info a;
		struct vfio_pci_dependent_device list[8];
	} x = { 0 };
	int fd = pick(DEVICE);

	x.a.argsz = argsz(sizeof(x));
	if (CALL(fd, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, x) == 0)
		assert(x.a.count);
}

/* Shows up to four files, groups if there are. */
void do_hot_reset(void)
{
	struct {
		struct vfio_pci_hot_reset a;
		int32_t fds[4];
	} x = { 0 };
	int fd = pick(DEVICE);
	uint8_t b = byte();

	x.a.argsz = argsz(sizeof(x));
	x.a.count = b & 7 ? b & 7 : b == 0x80 ? (uint32_t)raw(4) : 0;
	x.a.flags = b == 0x81;
	for (unsigned i = 0; i < MIN(x.a.count, ARRAY_SIZE(x.fds)); i++)
		x.fds[i] = pick(GROUP);
	CALL(fd, VFIO_DEVICE_PCI_HOT_RESET, x);
}

/* ---- features ---- */

bool token_changed;

struct feature {
	struct vfio_device_feature a;
	uint8_t data[64];
};

static size_t dmabuf(uint8_t *data)
{
	struct {
		struct vfio_device_feature_dma_buf h;
		struct vfio_region_dma_range r[3];
	} x = { 0 };
	uint8_t b = byte();

	x.h.region_index = b & 7;
	x.h.open_flags = 2;
	x.h.flags = b >> 7;
	x.h.nr_ranges = b >> 4 & 7;
	for (unsigned i = 0; i < MIN(x.h.nr_ranges, ARRAY_SIZE(x.r)); i++) {
		x.r[i].offset = offset_in(b & 7);
		x.r[i].length = length();
	}
	memcpy(data, &x, sizeof(x));
	return sizeof(x);
}

static size_t payload(unsigned feature, uint8_t *data)
{
	struct vfio_device_low_power_entry_with_wakeup wakeup = { 0 };

	switch (feature) {
	case VFIO_DEVICE_FEATURE_DMA_BUF:
		return dmabuf(data);
	case VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP:
		wakeup.wakeup_eventfd = event_pick();
		memcpy(data, &wakeup, sizeof(wakeup));
		return sizeof(wakeup);
	case VFIO_DEVICE_FEATURE_PCI_VF_TOKEN:
		data[0] = byte();
		token_changed = true;
		return 16;
	default:
		return 0;
	}
}

void do_feature(void)
{
	static const unsigned usual[] = { 3, 4, 5, 11, 0, 10, 1, 2 };
	struct feature x = { 0 };
	int fd = pick(DEVICE), rc;
	uint8_t b = byte();
	unsigned feature = b & 0x80 ? (unsigned)raw(2) : usual[b & 7];
	size_t n = payload(feature, x.data);

	x.a.argsz = argsz(sizeof(x.a) + n);
	x.a.flags = feature | (b >> 3 & 7u) << 16;
	if (!(b >> 3 & 7))
		x.a.flags |= feature == VFIO_DEVICE_FEATURE_DMA_BUF ? VFIO_DEVICE_FEATURE_GET : VFIO_DEVICE_FEATURE_SET;
	rc = CALL(fd, VFIO_DEVICE_FEATURE, x);
	if (rc >= 0 && feature == VFIO_DEVICE_FEATURE_DMA_BUF && !(x.a.flags & VFIO_DEVICE_FEATURE_PROBE))
		file_add(rc, DMABUF);
}
