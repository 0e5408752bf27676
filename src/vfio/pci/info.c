/* SPDX-License-Identifier: MIT */
/* What a program asks first: the device, its regions, its interrupts (spec 20, 1.5, 1.6, 4.1). */
#include "vfio/pci/config.h"

/* The widths of AtomicOps that the function completes, and the way to the root complex carries. */
static int atomics_add(struct vfio_pci_device *v, struct vfio_caps *caps)
{
	static const struct {
		uint32_t devcap2, flag;
	} widths[] = {
		{ PCI_EXP_DEVCAP2_ATOMIC_COMP32, VFIO_PCI_ATOMIC_COMP32 },
		{ PCI_EXP_DEVCAP2_ATOMIC_COMP64, VFIO_PCI_ATOMIC_COMP64 },
		{ PCI_EXP_DEVCAP2_ATOMIC_COMP128, VFIO_PCI_ATOMIC_COMP128 },
	};
	struct pci_dev *d = v->pdev->physfn ? v->pdev->physfn : v->pdev;
	struct vfio_device_info_cap_pci_atomic_comp *cap;
	uint32_t flags = 0;

	for (size_t i = 0; i < ARRAY_SIZE(widths); i++)
		flags |= pci_atomics_to_root(d, widths[i].devcap2) ? widths[i].flag : 0;
	if (!flags)
		return 0;
	cap = vfio_caps_add(caps, VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP, 1, sizeof(*cap));
	if (!cap)
		return -ENOMEM;
	cap->flags = flags;
	return 0;
}

long vfio_pci_get_info(struct vfio_pci_device *v, struct task *t, uva_t arg)
{
	struct vfio_device_info info = { 0 };
	struct vfio_caps caps = { 0 };
	int rc = ucopy_argsz(t, &info, arg, VFIO_DEVICE_INFO_MINSZ);
	uint32_t size = MIN(info.argsz, sizeof(info));

	if (rc)
		return rc;
	info.flags = VFIO_DEVICE_FLAGS_PCI | (v->reset_works ? VFIO_DEVICE_FLAGS_RESET : 0);
	info.num_regions = VFIO_PCI_NUM_REGIONS + v->variant->nregions;
	info.num_irqs = VFIO_PCI_NUM_IRQS;
	rc = atomics_add(v, &caps);
	if (!rc && caps.size)
		info.flags |= VFIO_DEVICE_FLAGS_CAPS;
	if (!rc)
		rc = vfio_caps_copy_out(&caps, t, arg, sizeof(info), &info.argsz, &info.cap_offset);
	if (!rc)
		rc = task_copy_out(t, arg, &info, size);
	vfio_caps_fini(&caps);
	return rc;
}

/* ---- regions ---- */

const struct vfio_pci_region *vfio_pci_own_region(const struct vfio_pci_device *v, unsigned index)
{
	unsigned i = index - VFIO_PCI_NUM_REGIONS;

	return index >= VFIO_PCI_NUM_REGIONS && i < v->variant->nregions ? &v->variant->regions[i] : NULL;
}

static int own_region_fill(struct vfio_pci_device *v, struct vfio_region_info *info, struct vfio_caps *caps)
{
	const struct vfio_pci_region *r = vfio_pci_own_region(v, info->index);
	struct vfio_region_info_cap_type *cap;

	if (!r)
		return -EINVAL;
	info->size = r->size(v);
	info->flags = r->flags;
	cap = vfio_caps_add(caps, VFIO_REGION_INFO_CAP_TYPE, 1, sizeof(*cap));
	if (!cap)
		return -ENOMEM;
	cap->type = r->type;
	cap->subtype = r->subtype;
	return 0;
}

static int region_fill(struct vfio_pci_device *v, struct vfio_region_info *info, struct vfio_caps *caps)
{
	info->offset = (uint64_t)info->index << VFIO_PCI_OFFSET_SHIFT;
	info->size = 0;
	info->flags = 0;
	switch (info->index) {
	case VFIO_PCI_BAR0_REGION_INDEX ... VFIO_PCI_BAR5_REGION_INDEX:
		info->size = v->bar_size[info->index];
		if (!info->size)
			return 0;
		info->flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
		if (!v->bar_mmap[info->index])
			return 0;
		info->flags |= VFIO_REGION_INFO_FLAG_MMAP;
		if (info->index == v->msix_bar &&
		    !vfio_caps_add(caps, VFIO_REGION_INFO_CAP_MSIX_MAPPABLE, 1, sizeof(struct vfio_info_cap_header)))
			return -ENOMEM;
		return 0;
	case VFIO_PCI_ROM_REGION_INDEX:
		info->size = vfio_pci_rom_region(v);
		info->flags = info->size ? VFIO_REGION_INFO_FLAG_READ : 0;
		return 0;
	case VFIO_PCI_CONFIG_REGION_INDEX:
		info->size = v->config->size;
		info->flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
		return 0;
	case VFIO_PCI_VGA_REGION_INDEX:
		if (!vfio_pci_has_vga(v))
			return -EINVAL;
		info->size = VFIO_PCI_VGA_SIZE;
		info->flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
		return 0;
	default:
		return own_region_fill(v, info, caps);
	}
}

long vfio_pci_get_region_info(struct vfio_pci_device *v, struct task *t, uva_t arg)
{
	struct vfio_region_info info;
	struct vfio_caps caps = { 0 };
	int rc = ucopy_argsz(t, &info, arg, VFIO_REGION_INFO_MINSZ);

	if (rc)
		return rc;
	rc = region_fill(v, &info, &caps);
	if (!rc && caps.size)
		info.flags |= VFIO_REGION_INFO_FLAG_CAPS;
	if (!rc)
		rc = vfio_caps_copy_out(&caps, t, arg, sizeof(info), &info.argsz, &info.cap_offset);
	if (!rc)
		rc = task_copy_out(t, arg, &info, sizeof(info));
	vfio_caps_fini(&caps);
	return rc;
}

/* ---- interrupts ---- */

long vfio_pci_get_irq_info(struct vfio_pci_device *v, struct task *t, uva_t arg)
{
	struct vfio_irq_info info;
	int rc = ucopy_argsz(t, &info, arg, VFIO_IRQ_INFO_MINSZ);

	if (rc)
		return rc;
	if (info.index >= VFIO_PCI_NUM_IRQS)
		return -EINVAL;
	info.flags = VFIO_IRQ_INFO_EVENTFD;
	if (info.index == VFIO_PCI_INTX_IRQ_INDEX)
		info.flags |= VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED;
	else if (info.index != VFIO_PCI_MSIX_IRQ_INDEX || !vfio_pci_msix_dynamic(v))
		info.flags |= VFIO_IRQ_INFO_NORESIZE;
	info.count = vfio_pci_irq_count(v, info.index);
	return task_copy_out(t, arg, &info, sizeof(info));
}
