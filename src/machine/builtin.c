/* SPDX-License-Identifier: MIT */
/*
 * The tables of what every machine has: device models, host drivers, files outside of any device; and the machine
 * that is used when no file is given. Whoever adds a model or a driver adds a line here.
 */
#include "machine/builtin.h"
#include "devices/devices.h"
#include "machine/machine.h"
#include <string.h>

/* ---- models ---- */

static const struct pci_model *const models[] = {
	&dsa_model,
	&edu_model,
	&generic_model,
	&igb_model,
	&ioat_model,
	&pcitest_model,
};

const struct pci_model *machine_builtin_model(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(models); i++) {
		if (strcmp(models[i]->name, name) == 0)
			return models[i];
	}
	return NULL;
}

void machine_builtin_models(char *buf, size_t size)
{
	size_t n = 0;

	buf[0] = 0;
	for (size_t i = 0; i < ARRAY_SIZE(models) && n < size; i++)
		n += snprintf(buf + n, size - n, "%s%s", i ? ", " : "", models[i]->name);
}

/* ---- host drivers (spec 10, 2.6) ---- */

#define ANY_ID .vendor = DRV_ANY_ID, .device = DRV_ANY_ID, .subvendor = DRV_ANY_ID, .subdevice = DRV_ANY_ID
#define CLASS(code, mask) { ANY_ID, .class_code = (code), .class_mask = (mask) }

static const struct drv_id port_ids[] = {
	CLASS(0x060400, 0xffffff), CLASS(0x060401, 0xffffff), CLASS(0x080700, 0xffffff), { 0 },
};
static const struct drv_id bridge_ids[] = { CLASS(0x060400, 0xffffff), { 0 } };
static const struct drv_id nic_ids[] = { CLASS(0x020000, 0xff0000), { 0 } };
static const struct drv_id pf_stub_ids[] = {
	{ .vendor = 0x1d0f, .device = 0x0053, .subvendor = DRV_ANY_ID, .subdevice = DRV_ANY_ID }, { 0 },
};
static const struct drv_id nvme_ids[] = { CLASS(0x010802, 0xffffff), { 0 } };

/* In the order of registration, which is the order in which they are tried. */
static const struct machine_builtin_driver drivers[] = {
	{ .name = "pcieport",
	  .what = "services of PCIe ports",
	  .managed = true,
	  .ids = port_ids,
	  .probe = MACHINE_PROBE_PORT },
	{ .name = "shpchp",
	  .what = "hot-plug of conventional PCI slots",
	  .uses_dma = true,
	  .maps_mmio = true,
	  .ids = bridge_ids,
	  .probe = MACHINE_PROBE_SHPC },
	{ .name = "pci-stub", .what = "holds a device and leaves it alone", .managed = true },
	{ .name = "pci-pf-stub", .what = "lets a function have virtual ones and does no more", .ids = pf_stub_ids,
	  .vfs = MACHINE_VFS_LEFT },
	/* One of each class of bridge drivers that are unsafe in a user's group; they bind by driver_override only. */
	{ .name = "bridge-dma", .what = "a bridge driver that does DMA", .uses_dma = true },
	{ .name = "bridge-mmio", .what = "a bridge driver that maps registers", .maps_mmio = true },
	{ .name = "bridge-quiet", .what = "a bridge driver that does neither, which nobody has vouched for" },
	{ .name = "nic",
	  .what = "like a network driver",
	  .uses_dma = true,
	  .maps_mmio = true,
	  .vfs = MACHINE_VFS_TAKEN,
	  .module = true,
	  .ids = nic_ids },
	{ .name = "nvme",
	  .what = "like an NVMe driver",
	  .uses_dma = true,
	  .maps_mmio = true,
	  .module = true,
	  .ids = nvme_ids },
	{ .name = "vfio-pci",
	  .what = "gives functions to programs",
	  .managed = true,
	  .probe = MACHINE_PROBE_ELSEWHERE },
	{ .name = "pcitest-vfio-pci",
	  .what = "the same for a pcitest, but for a part of it",
	  .managed = true,
	  .probe = MACHINE_PROBE_ELSEWHERE },
};

const struct machine_builtin_driver *machine_builtin_drivers(unsigned i)
{
	return i < ARRAY_SIZE(drivers) ? &drivers[i] : NULL;
}

const struct machine_builtin_driver *machine_builtin_driver(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(drivers); i++) {
		if (strcmp(drivers[i].name, name) == 0)
			return &drivers[i];
	}
	return NULL;
}

/* ---- files ---- */

/* Below these everything is the machine's; the rest of /sys and /dev is the host's. */
const char *const machine_builtin_roots[] = {
	"/sys/bus/pci",
	"/sys/devices/pci*",
	"/sys/devices/virtual/iommu",
	"/sys/devices/virtual/vfio",
	"/sys/devices/virtual/vfio-dev",
	"/sys/devices/virtual/vfio-emulated",
	"/sys/kernel/debug/vfio",
	"/sys/kernel/iommu_groups",
	"/sys/kernel/uvfio",
	"/sys/class/iommu",
	"/sys/class/pci_bus",
	"/sys/class/vfio",
	"/sys/class/vfio-dev",
	"/sys/module/iommufd",
	"/sys/module/pcitest_vfio_pci",
	"/sys/module/vfio",
	"/sys/module/vfio-pci",
	"/sys/module/vfio_iommu_type1",
	"/sys/module/vfio_pci",
	"/sys/module/vfio_pci_core",
	"/dev/vfio",
	"/dev/iommu",
	NULL,
};

const char *const machine_builtin_dirs[] = {
	"/sys/kernel/iommu_groups",
	"/sys/class/iommu",
	"/sys/class/vfio",
	"/sys/class/vfio-dev",
	"/sys/devices/virtual/iommu",
	"/sys/module/vfio_pci",
	"/sys/module/vfio_pci_core",
	"/dev/vfio",
	NULL,
};

/* ---- the machine without a file ---- */

static const char default_text[] =
"# The machine that uvfio runs when it is given no file. Copy it (uvfio machine > my.yaml), change it, and see\n"
"# what is wrong with it (uvfio check my.yaml), what it looks like (uvfio list -m my.yaml) and what runs on it\n"
"# (uvfio run -m my.yaml -- PROGRAM). examples/machines/reference.yaml has all that can be said.\n"
"machine: default\n"
"\n"
"devices:\n"
"  - kind: host-bridge\n"
"    bus: 0000:00\n"
"    below:\n"
"      # Alone in its group, thanks to the port's ACS: a DMA engine that DPDK and Linux know.\n"
"      - at: 01.0\n"
"        kind: root-port\n"
"        acs: full\n"
"        below:\n"
"          - at: 00.0\n"
"            name: ioat0\n"
"            model: ioat\n"
"            args: [chip=icx]\n"
"            bind: vfio-pci\n"
"\n"
"      # No ACS: both functions and the port are one group, and the host's NIC driver does DMA.\n"
"      - at: 02.0\n"
"        kind: root-port\n"
"        acs: none\n"
"        below:\n"
"          - at: 00.0\n"
"            name: edu1\n"
"            model: edu\n"
"          - at: 00.1\n"
"            name: nic0\n"
"            model: generic\n"
"            ids: 8086:10c9\n"
"            class: 020000\n"
"            args:\n"
"              - express\n"
"              - bar0=128K\n"
"              - msix=10\n"
"\n"
"      # QEMU's educational device, alone.\n"
"      - at: 03.0\n"
"        name: edu0\n"
"        model: edu\n"
"        bind: vfio-pci\n"
"\n"
"      # A function without driver, to bind by hand.\n"
"      - at: 04.0\n"
"        kind: root-port\n"
"        acs: full\n"
"        bus: 04\n"
"        below:\n"
"          - at: 00.0\n"
"            name: card0\n"
"            model: generic\n"
"            args:\n"
"              - express\n"
"              - flr\n"
"              - bar0=64K\n"
"              - bar2=1M,prefetch,64\n"
"              - msix=8\n";

const char *machine_default_text(void)
{
	return default_text;
}
