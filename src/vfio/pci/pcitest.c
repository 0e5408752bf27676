/* SPDX-License-Identifier: MIT */
/*
 * "pcitest-vfio-pci": a variant of vfio-pci for the model pcitest, as small as one can be. It shows what variants are
 * for: the upper half of BAR 2 is not the program's (as with devices whose migration registers lie there), and can be
 * read through a region of its own. The BAR as config space sizes it stays whole.
 */
#include "vfio/pci/priv.h"

#define SPLIT_BAR 2u

static uint64_t pcitest_bar_size(struct vfio_pci_device *v, unsigned bar)
{
	uint64_t size = pci_bar(v->pdev, bar)->size;

	return bar == SPLIT_BAR && size >= 2 * UVFIO_PAGE_SIZE ? size / 2 : size;
}

static uint64_t hidden_size(struct vfio_pci_device *v)
{
	return pci_bar(v->pdev, SPLIT_BAR)->size - v->bar_size[SPLIT_BAR];
}

static int hidden_rw(struct vfio_pci_device *v, uint64_t pos, void *data, size_t count, bool write)
{
	return vfio_pci_bar_bytes(v, SPLIT_BAR, v->bar_size[SPLIT_BAR] + pos, data, count, write);
}

static const struct vfio_pci_region regions[] = {
	{
		.type = VFIO_REGION_TYPE_PCI_VENDOR_TYPE | 0x1234, .subtype = 1, .flags = VFIO_REGION_INFO_FLAG_READ,
		.size = hidden_size, .rw = hidden_rw,
	},
};

static const struct drv_id ids[] = {
	{
		.vendor = 0x1234, .device = 0x0002, .subvendor = DRV_ANY_ID, .subdevice = DRV_ANY_ID,
		.override_only = true,
	},
	{ .vendor = 0 },
};

const struct vfio_pci_variant vfio_pci_pcitest = {
	.name = "pcitest-vfio-pci",
	.what = "gives a pcitest to a program, but for the upper half of BAR 2",
	.ids = ids,
	.bar_size = pcitest_bar_size,
	.regions = regions,
	.nregions = ARRAY_SIZE(regions),
};
