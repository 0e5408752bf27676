/* SPDX-License-Identifier: MIT */
/*
 * A libFuzzer target: the input is a program of calls on a machine of its own (iommufd.yaml), embedded in this process.
 * The machine outlives programs; after each, all files are closed and the arena is as it was, and nothing may be left:
 * no context, no pinned or charged page, no claimed group.
 *
 * The input is bytes; what is behind its end reads as zero. The first byte is what there is at the beginning, by bit:
 *
 *	0	no context; else there is one, with an IOAS, which has id 1
 *	1	no device is bound; else device 0 is (id 2), and is a bus master
 *	2	device 0 is attached to the IOAS (id 3: its HWPT)
 *	3	device 1 is bound too
 *	4	the first eight pages of the arena are mapped at 0x10000 of the IOAS
 *	5	the soft device is bound, and attached to the IOAS
 *	6	the program may not lock more memory than RLIMIT_MEMLOCK, which is LIMIT
 *	7	one more context
 *
 * Then calls follow: a byte for which (modulo their number, in the order of the table at the end), and bytes for its
 * arguments, in the order in which the call's function here takes them:
 *
 *	file	below 0x80: the one of this (modulo) number of those of the wanted kind; else of all that are open
 *	id	below 0xf0: modulo 16; else four bytes follow
 *	iova	low 5 bits: one of a table (modulo); high 3 bits: so many pages further; 7: instead of all, eight bytes follow
 *	length	one of a table; from 0xf0 on eight bytes follow, of which 40 bits count
 *	uva	low 6 bits: page of the arena; high 2 bits: 0; 1: bytes further; one before the end; or outside of it altogether
 *	flags	the byte, and from 0xf0 on four bytes instead
 *
 * A call's structure is on the stack; after the call "place" the next one's is at a uva, and says another size.
 *
 * With UVFIO_FUZZ_TRACE set, requests and their results are printed.
 *
 * Addresses that are not in the arena are never our own memory: devices would write to it.
 */
#include "fuzz.h"
#include "iommufd/priv.h"
#include "machine/priv.h"
#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIMIT     (16 * PAGE)
#define CALLS_MAX 200

const char *const bdfs[] = { "0000:00:03.0", "0000:00:04.0", "0000:00:04.1",
				    "0000:00:05.0", "0000:00:06.0", "0000:00:07.0" };

struct uvfio_machine *m;
struct pci_dev *pci[DEVICES];
char nodes[DEVICES + 1][64], groups[DEVICES + 1][64];
int memfd;
bool trace;

static void (*const calls[])(void) = {
	do_map, do_unmap, do_copy, do_attach, do_detach, do_dma, do_destroy, do_ioas_alloc, do_bind, do_open_device,
	do_open_ctx, do_close, do_hwpt_alloc, do_soft, do_remap, do_map_file, do_allow, do_ranges, do_option, do_vfio_ioas,
	do_hw_info, do_set_dirty, do_get_dirty, do_invalidate, do_fault_alloc, do_change_process, do_get_pa, do_open_group,
	do_set_container, do_unset_container, do_get_device, do_set_iommu, do_extension, do_map_dma, do_unmap_dma,
	do_dirty_pages, do_get_info, do_dup, do_place, do_any, do_master, do_reset, do_read_write,
	/* What came later is behind, so that older programs stay what they are. */
	do_scene, do_nested_alloc, do_viommu_alloc, do_vdevice_alloc, do_veventq_alloc, do_hw_queue_alloc, do_invalidate_entries,
	do_region, do_answer, do_mock, do_mock_replace, do_pasid, do_trigger, do_check, do_mark, do_reserve, do_access,
	do_access_pages, do_access_copy, do_access_replace, do_dmabuf, do_dmabuf_revoke, do_dmabuf_map, do_limit,
};

static void program_begin(void)
{
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind) };
	struct vfio_device_attach_iommufd_pt attach = { .argsz = sizeof(attach), .pt_id = 1 };
	struct iommu_ioas_map map = { .size = sizeof(map), .flags = 7, .ioas_id = 1, .iova = 0x10000,
				      .user_va = (uintptr_t)ARENA, .length = 8 * PAGE };
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };
	uint8_t b = byte();
	int fd = -1;

	uvfio_set_caps(m, 1, !(b & 0x40), 1);
	if (!(b & 1)) {
		bind.iommufd = fd = file_add(uvfio_open(m, "/dev/iommu", O_RDWR), CTX);
		try(fd, IOMMU_IOAS_ALLOC, &alloc);
	}
	if (!(b & 2)) {
		int d = file_add(uvfio_open(m, nodes[0], O_RDWR), DEVICE);

		try(d, VFIO_DEVICE_BIND_IOMMUFD, &bind);
		set_master(d, true);
		if (b & 4)
			try(d, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach);
	}
	if (b & 8) {
		int d = file_add(uvfio_open(m, nodes[1], O_RDWR), DEVICE);

		try(d, VFIO_DEVICE_BIND_IOMMUFD, &bind);
		set_master(d, true);
	}
	if (b & 0x10)
		try(fd, IOMMU_IOAS_MAP, &map);
	if (b & 0x20) {
		int d = file_add(uvfio_open(m, nodes[SOFT], O_RDWR), DEVICE);

		try(d, VFIO_DEVICE_BIND_IOMMUFD, &bind);
		attach.pt_id = 1;
		try(d, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach);
	}
	if (b & 0x80)
		do_open_ctx();
}

/* Descriptors of our own: the lowest free number is what it was after the first program, but for libFuzzer's symbolizer. */
static void count_descriptors(void)
{
	static int first = -1;
	int fd = fcntl(memfd, F_DUPFD_CLOEXEC, 0);
	struct stat st;

	close(fd);
	while (first >= 0 && first < fd && fstat(first, &st) == 0 && S_ISFIFO(st.st_mode))
		first++;
	if (first < 0)
		first = fd;
	assert(fd <= first);
}

static void program_end(void)
{
	if (arena_changed) {
		uvfio_munmap(m, ARENA, PAGES * PAGE);
		arena_begin();
	}
	/* Also those that we were not told of */
	for (unsigned fd = 0; fd < m->nfiles; fd++) {
		if (m->files[fd])
			uvfio_close(m, (int)fd);
	}
	nfiles = 0;
	place.set = false;
	last_iova = 0;
	count_descriptors();
	assert(atomic_load(&m->machine->iommufd->contexts) == 0);
	assert(mem_pinned_pages(m->machine->mem) == 0);
	assert(atomic_load(&m->mm->mm.locked_pages) == 0);
	for (unsigned i = 0; i < DEVICES; i++) {
		struct iommu_group *g = iommu_dev_group(pci[i]->iommu);
		unsigned count = 0;
		void *owner = NULL;

		if (!g)
			continue;
		iommu_group_owner(g, &count, &owner);
		assert(count == 0 && !owner);
	}
}

/* The node of the device whose vfio-dev is @dir */
static void node_of(char *out, size_t size, const char *dir)
{
	char *names = uvfio_list_dir(m, dir);

	assert(names);
	snprintf(out, size, "/dev/vfio/devices/%.*s", (int)strcspn(names, "\n"), names);
	free(names);
}

static void group_of(char *out, size_t size, const char *dir)
{
	char path[128], target[128];
	ssize_t n;

	snprintf(path, sizeof(path), "%s/iommu_group", dir);
	n = uvfio_readlink(m, path, target, sizeof(target) - 1);
	assert(n > 0);
	target[n] = 0;
	snprintf(out, size, "/dev/vfio/%.16s", strrchr(target, '/') + 1);
	if (uvfio_close(m, uvfio_open(m, out, O_RDWR)))
		snprintf(out, size, "/dev/vfio/noiommu-%.16s", strrchr(target, '/') + 1);
}

/* Not in LLVMFuzzerInitialize: libFuzzer sets its signal handlers after it, and the machine's must come first. */
static void boot(void)
{
	struct rlimit r = { LIMIT, LIMIT };
	char err[1024], dir[128];
	int fd;

	trace = getenv("UVFIO_FUZZ_TRACE") != NULL;
	m = uvfio_create(getenv("UVFIO_MACHINE") ? getenv("UVFIO_MACHINE") : FUZZ_MACHINE, err, sizeof(err));
	if (!m) {
		fputs(err, stderr);
		abort();
	}
	for (unsigned i = 0; i <= DEVICES; i++) {
		if (i == SOFT) {
			snprintf(dir, sizeof(dir), "/sys/devices/virtual/vfio-emulated/soft0");
		} else {
			snprintf(dir, sizeof(dir), "/sys/bus/pci/devices/%s", bdfs[i]);
			pci[i] = pci_find(m->machine->pci, bdfs[i]);
			assert(pci[i]);
		}
		group_of(groups[i], sizeof(groups[i]), dir);
		strcat(dir, "/vfio-dev");
		node_of(nodes[i], sizeof(nodes[i]), dir);
	}
	memfd = memfd_create("arena", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert(ftruncate(memfd, HUGE) == 0);
	assert(dup2(memfd, HOST_FILE) == HOST_FILE);
	fd = memfd_create("short", MFD_CLOEXEC);
	assert(ftruncate(fd, 3 * PAGE + 5) == 0);
	assert(dup2(fd, HOST_SHORT) == HOST_SHORT);
	arena_begin();
	assert(mmap(ARENA + HUGE, HUGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED_NOREPLACE, memfd, 0) == ARENA + HUGE);
	setrlimit(RLIMIT_MEMLOCK, &r);
}

/* tests/lib/door_capi.c */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "intercept_tls_get_addr=0";
}

__attribute__((visibility("default"))) int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!m)
		boot();
	in = data;
	in_end = data + size;
	program_begin();
	for (unsigned i = 0; in < in_end && i < CALLS_MAX; i++)
		calls[byte() % ARRAY_SIZE(calls)]();
	program_end();
	return 0;
}
