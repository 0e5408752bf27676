/* SPDX-License-Identifier: MIT */
/*
 * A libFuzzer target: programs of calls on iommufd and on the containers of VFIO (lib/fuzz.h; iommufd.yaml is the
 * machine). The first byte is what there is at the beginning, by bit:
 *
 *	0	no context; else there is one, with an IOAS, which has id 1
 *	1	no device is bound; else device 0 is (id 2), and is a bus master
 *	2	device 0 is attached to the IOAS (id 3: its HWPT)
 *	3	device 1 is bound too
 *	4	the first eight pages of the arena are mapped at 0x10000 of the IOAS
 *	5	the soft device is bound, and attached to the IOAS
 *	6	the program may not lock more memory than RLIMIT_MEMLOCK
 *	7	one more context
 */
#include "calls.h"
#include <fcntl.h>

static const char *const names[] = { "0000:00:03.0", "0000:00:04.0", "0000:00:04.1", "0000:00:05.0", "0000:00:06.0",
				     "0000:00:07.0", "soft0", NULL };
enum { SOFT = 6 };

static void (*const calls[])(void) = {
	do_map, do_unmap, do_copy, do_attach, do_detach, do_dma, do_destroy, do_ioas_alloc, do_bind, do_open_device,
	do_open_ctx, do_close, do_hwpt_alloc, do_soft, do_remap, do_map_file, do_allow, do_ranges, do_option,
	do_vfio_ioas,
	do_hw_info, do_set_dirty, do_get_dirty, do_invalidate, do_fault_alloc, do_change_process, do_get_pa,
	do_open_group,
	do_set_container, do_unset_container, do_get_device, do_set_iommu, do_extension, do_map_dma, do_unmap_dma,
	do_dirty_pages, do_get_info, do_dup, do_place, do_any, do_master, do_reset, do_read_write,
	/* What came later is behind, so that older programs stay what they are. */
	do_scene, do_nested_alloc, do_viommu_alloc, do_vdevice_alloc, do_veventq_alloc, do_hw_queue_alloc,
	do_invalidate_entries,
	do_region, do_answer, do_mock, do_mock_replace, do_pasid, do_trigger, do_check, do_mark, do_reserve, do_access,
	do_access_pages, do_access_copy, do_access_replace, do_dmabuf, do_dmabuf_revoke, do_dmabuf_map, do_limit,
};

static void begin(void)
{
	uint8_t b = byte();
	int ctx = -1;

	uvfio_set_caps(m, 1, !(b & 0x40), 1);
	if (!(b & 1))
		ctx = open_ctx();
	if (!(b & 2)) {
		int d = open_device(0, ctx);

		if (b & 4)
			attach(d, 1);
	}
	if (b & 8)
		open_device(1, ctx);
	if (b & 0x10)
		map_arena(ctx, 1);
	if (b & 0x20)
		attach(open_device(SOFT, ctx), 1);
	if (b & 0x80)
		do_open_ctx();
}

__attribute__((visibility("default"))) int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!m)
		fuzz_boot(FUZZ_MACHINE, names);
	in = data;
	in_end = data + size;
	begin();
	fuzz_run(calls, ARRAY_SIZE(calls));
	fuzz_end();
	return 0;
}
