/* SPDX-License-Identifier: MIT */
/*
 * A libFuzzer target: programs of calls on device files of vfio-pci, with groups, containers, an iommufd and mappings
 * around them (lib/fuzz.h; device.yaml is the machine). pci/bar.c asserts that nothing arrives at a function that does
 * not decode. After each program, the registers of config space are what they were before.
 *
 * The first byte: low 3 bits: the device that is open, if there is such; bits 3 and 4: 0: by its node, attached, with
 * the arena mapped at 0x10000; 1: by its group and a container, the same; 2: by its node, not attached; 3: not at
 * all. Bit 5: its first BAR is mapped, too.
 */
#include "calls.h"
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

static const char *const names[] = { "0000:01:00.0", "0000:02:00.0", "0000:02:00.1", "0000:00:05.0", "0000:00:06.0",
				     "0000:03:00.0", "0000:04:00.0", NULL };
enum { PHYSICAL = 6 };

static void (*const calls[])(void) = {
	do_set_irqs, do_region, do_config, do_command, do_power, do_mmap, do_munmap, do_touch, do_fire, do_signal,
	do_ioeventfd, do_feature, do_reset, do_hot_reset, do_hot_reset_info, do_device_info, do_region_info,
	do_irq_info, do_open_device, do_open_group, do_open_ctx, do_bind, do_attach, do_detach, do_close, do_dup,
	do_set_container, do_unset_container, do_get_device, do_set_iommu, do_map_dma, do_unmap_dma, do_map,
	do_map_file, do_unmap, do_dma, do_master, do_place, do_any, do_remap,
};

/* ---- what is left ---- */

/* Config space of the hardware after the last close. */
static uint8_t left[DEVICES_MAX][4096];
static bool left_known[DEVICES_MAX];

static void look(unsigned i, uint8_t *out)
{
	struct pci_dev *d = devices[i].pci;

	memset(out, 0, 4096);
	for (unsigned at = 0; at < d->config_size; at += 4) {
		uint32_t v = pci_config_read(d, at, 4);

		memcpy(out + at, &v, 4);
	}
}

static void nothing_left(void)
{
	static uint8_t now[4096];

	for (unsigned i = 0; i < npci; i++) {
		look(i, left_known[i] ? now : left[i]);
		for (unsigned at = 0; left_known[i] && at < sizeof(now); at++) {
			if (now[at] == left[i][at])
				continue;
			fprintf(stderr, "%s: config %#x was %#x, is %#x\n", devices[i].name, at, left[i][at], now[at]);
			abort();
		}
		left_known[i] = true;
	}
}

/* ---- a program ---- */

static int open_by_group(unsigned i)
{
	struct vfio_iommu_type1_dma_map map = { .argsz = sizeof(map), .flags = 3, .vaddr = (uintptr_t)ARENA,
						.iova = 0x10000, .size = 8 * PAGE };
	int container = file_add(uvfio_open(m, "/dev/vfio/vfio", O_RDWR), CONTAINER), d;
	int group = file_add(uvfio_open(m, devices[i].group, O_RDWR), GROUP);

	try(group, VFIO_GROUP_SET_CONTAINER, &container);
	try(container, VFIO_SET_IOMMU, (void *)VFIO_TYPE1v2_IOMMU);
	try(container, VFIO_IOMMU_MAP_DMA, &map);
	d = file_add(try(group, VFIO_GROUP_GET_DEVICE_FD, (void *)devices[i].name), DEVICE);
	set_master(d, true);
	return d;
}

static int open_by_node(unsigned i, bool attached)
{
	int ctx = open_ctx(), d = open_device(i, ctx);

	if (attached) {
		attach(d, 1);
		map_arena(ctx, 1);
	}
	return d;
}

static void begin(void)
{
	uint8_t b = byte();
	unsigned i = (b & 7) % ndevices;
	int d = -1;

	switch (b >> 3 & 3) {
	case 0:
		d = open_by_node(i, true);
		break;
	case 1:
		d = open_by_group(i);
		break;
	case 2:
		d = open_by_node(i, false);
		break;
	}
	if (b & 0x20)
		uvfio_mmap(m, WINDOW, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, d, 0);
}

/* The token of the physical function and its virtual one: zeros, from the start of a program on */
static void token_begin(void)
{
	struct {
		struct vfio_device_feature a;
		uint8_t token[16];
	} x = { .a.argsz = sizeof(x), .a.flags = VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_PCI_VF_TOKEN };

	assert(try(open_by_group(PHYSICAL), VFIO_DEVICE_FEATURE, &x) == 0);
	fuzz_end();
	token_changed = false;
}

static void boot(void)
{
	fuzz_boot(FUZZ_MACHINE, names);
	events_boot();
	fuzz_put("/sys/bus/pci/devices/0000:04:00.0/sriov_numvfs", "1");
	fuzz_device_add("0000:04:01.0 vf_token=00000000-0000-0000-0000-000000000000");
	token_begin();
	/* Each has been used once. */
	for (unsigned i = 0; i < ndevices; i++)
		open_by_group(i);
	fuzz_end();
	nothing_left();
}

__attribute__((visibility("default"))) int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!m)
		boot();
	in = data;
	in_end = data + size;
	begin();
	fuzz_run(calls, ARRAY_SIZE(calls));
	window_end();
	fuzz_end();
	events_end();
	if (token_changed)
		token_begin();
	nothing_left();
	return 0;
}
