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
#include "abi/iommufd.h"
#include "abi/vfio.h"
#include "front/capi/priv.h"
#include "iommufd/priv.h"
#include "machine/priv.h"
#include "pci/pci.h"
#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <unistd.h>

#define PAGE       4096ul
#define ARENA      ((char *)0x200000000000)
#define PAGES      64
#define HUGE       0x400000ul /* behind the pages, at 4 MiB: shared, for large pages */
#define LIMIT      (16 * PAGE)
#define CALLS_MAX  200
#define FILES_MAX  24
#define CONFIG     ((off_t)VFIO_PCI_CONFIG_REGION_INDEX << 40)
#define HOST_FILE  1000 /* a memfd, sealed as MAP_FILE wants it or not */
#define HOST_SHORT 1001

static const char *const bdfs[] = { "0000:00:03.0", "0000:00:04.0", "0000:00:04.1",
				    "0000:00:05.0", "0000:00:06.0", "0000:00:07.0" };
#define DEVICES ARRAY_SIZE(bdfs)
#define SOFT    DEVICES

static struct uvfio_machine *m;
static struct pci_dev *pci[DEVICES];
static char nodes[DEVICES + 1][64], groups[DEVICES + 1][64];
static int memfd;
static bool arena_changed;

static bool trace;

static int try(int fd, unsigned long cmd, void *arg)
{
	int rc = uvfio_ioctl(m, fd, cmd, arg);

	if (trace)
		fprintf(stderr, "ioctl(%d, %#lx): %s\n", fd, cmd, rc < 0 ? strerrorname_np(errno) : "fine");
	return rc;
}

/* ---- the input ---- */

static const uint8_t *in, *in_end;

static uint8_t byte(void)
{
	return in < in_end ? *in++ : 0;
}

static uint64_t raw(unsigned n)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < n; i++)
		v |= (uint64_t)byte() << 8 * i;
	return v;
}

static uint32_t id(void)
{
	uint8_t b = byte();

	return b < 0xf0 ? b % 16 : (uint32_t)raw(4);
}

static uint32_t flags(void)
{
	uint8_t b = byte();

	return b < 0xf0 ? b : (uint32_t)raw(4);
}

static uint64_t last_iova;

static uint64_t iova(void)
{
	static const uint64_t table[] = {
		0x10000, 0, 0x1000, 0x20000, 0x1ff000, 0x200000, 0x400000, 0xfedff000, 0xfee00000, 0xfef00000, 0x3ffff000,
		0x50000000, 1ull << 32, (1ull << 39) - PAGE, 1ull << 39, (1ull << 48) - PAGE, 1ull << 48, 1ull << 57,
		1ull << 63, -(8 * PAGE), UINT64_MAX, 1, 0x800, 0xfff, 0x10800,
	};
	uint8_t b = byte();

	if (b >> 5 == 7)
		return raw(8);
	return ((b & 31) < ARRAY_SIZE(table) ? table[b & 31] : last_iova) + (b >> 5) * PAGE;
}

static uint64_t length(void)
{
	static const uint64_t table[] = {
		PAGE, 2 * PAGE, 3 * PAGE, 4 * PAGE, 8 * PAGE, 16 * PAGE, 0x200000, 0x400000, 0, 1, 100, 0x800, 0xfff, 0x1001,
		1ull << 30, 1ull << 32, 1ull << 39, 1ull << 63, UINT64_MAX, -PAGE,
	};
	uint8_t b = byte();

	return b < 0xf0 ? table[b % ARRAY_SIZE(table)] : raw(8) & (BIT64(40) - 1);
}

static uint64_t uva(void)
{
	static const uint64_t outside[] = { 0, 8, 1ull << 63, -PAGE, (uintptr_t)ARENA + HUGE, (uintptr_t)ARENA + HUGE + 0x200000 };
	uint8_t b = byte();
	uint64_t at = (uintptr_t)ARENA + (b & 63) * PAGE;

	switch (b >> 6) {
	case 1:
		return at + byte() * 16u;
	case 2:
		return at + PAGE - 1 - byte();
	case 3:
		return outside[b % ARRAY_SIZE(outside)];
	}
	return at;
}

/* ---- files ---- */

enum kind { CTX, DEVICE, GROUP, CONTAINER, OTHER };
static struct {
	int fd;
	enum kind kind;
} files[FILES_MAX];
static unsigned nfiles;

static int file_add(int fd, enum kind kind)
{
	if (fd < 0)
		return fd;
	if (nfiles == FILES_MAX) {
		uvfio_close(m, fd);
		return -1;
	}
	files[nfiles].fd = fd;
	files[nfiles++].kind = kind;
	return fd;
}

/* Its place in files[]; nfiles: there is none */
static unsigned pick_at(enum kind kind)
{
	uint8_t b = byte();
	unsigned n = 0, want;

	if (b & 0x80)
		return nfiles ? (b & 0x7f) % nfiles : nfiles;
	for (unsigned i = 0; i < nfiles; i++)
		n += files[i].kind == kind;
	if (!n)
		return nfiles;
	want = b % n;
	for (unsigned i = 0;; i++) {
		if (files[i].kind == kind && want-- == 0)
			return i;
	}
}

static int pick(enum kind kind)
{
	unsigned i = pick_at(kind);

	return i < nfiles ? files[i].fd : -1;
}

static int pick_host(void)
{
	uint8_t b = byte();

	switch (b % 4) {
	case 0:
		return HOST_FILE;
	case 1:
		return HOST_SHORT;
	case 2:
		return nfiles ? files[b / 4 % nfiles].fd : -1;
	}
	return -1;
}

/* ---- calls ---- */

static struct {
	bool set;
	uint64_t at;
	uint32_t size;
	bool resize;
} place;

/* Our own memory by address: fails where there is none, as the machine's copies do. */
static void copy(void *p, uint64_t at, size_t n, bool out)
{
	struct iovec mine = { p, n }, there = { (void *)at, n };

	if (out)
		process_vm_writev(getpid(), &mine, 1, &there, 1, 0);
	else
		process_vm_readv(getpid(), &mine, 1, &there, 1, 0);
}

static int call(int fd, unsigned long cmd, void *arg, size_t n)
{
	int rc;

	if (!place.set)
		return try(fd, cmd, arg);
	place.set = false;
	if (place.resize)
		memcpy(arg, &place.size, sizeof(place.size));
	copy(arg, place.at, n, true);
	rc = try(fd, cmd, (void *)place.at);
	copy(arg, place.at, n, false);
	return rc;
}
#define CALL(fd, cmd, a) call(fd, cmd, &(a), sizeof(a))

static void do_place(void)
{
	uint8_t b = byte();

	place.set = true;
	place.at = uva();
	place.resize = b & 0x80;
	place.size = b & 0x7f;
}

static void do_open_ctx(void)
{
	file_add(uvfio_open(m, "/dev/iommu", O_RDWR), CTX);
}

static void do_open_device(void)
{
	file_add(uvfio_open(m, nodes[byte() % ARRAY_SIZE(nodes)], O_RDWR), DEVICE);
}

static void do_open_group(void)
{
	uint8_t b = byte();

	if (b % 8 < ARRAY_SIZE(groups))
		file_add(uvfio_open(m, groups[b % 8], O_RDWR), GROUP);
	else
		file_add(uvfio_open(m, "/dev/vfio/vfio", O_RDWR), CONTAINER);
}

static void do_close(void)
{
	unsigned i = pick_at(CTX);

	if (i == nfiles)
		return;
	uvfio_close(m, files[i].fd);
	files[i] = files[--nfiles];
}

static void do_dup(void)
{
	unsigned i = pick_at(CTX);

	if (i < nfiles)
		file_add(uvfio_dup(m, files[i].fd), files[i].kind);
}

static void do_bind(void)
{
	struct vfio_device_bind_iommufd a = { .argsz = sizeof(a) };
	int fd = pick(DEVICE);

	a.iommufd = pick(CTX);
	a.flags = flags() & 3;
	if (a.flags & VFIO_DEVICE_BIND_FLAG_TOKEN)
		a.token_uuid_ptr = uva();
	CALL(fd, VFIO_DEVICE_BIND_IOMMUFD, a);
}

static void do_attach(void)
{
	struct vfio_device_attach_iommufd_pt a = { .argsz = sizeof(a) };
	int fd = pick(DEVICE);

	a.pt_id = id();
	a.flags = flags() & 3;
	if (a.flags)
		a.pasid = id();
	CALL(fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, a);
}

static void do_detach(void)
{
	struct vfio_device_detach_iommufd_pt a = { .argsz = sizeof(a) };
	int fd = pick(DEVICE);

	a.flags = flags() & 3;
	if (a.flags)
		a.pasid = id();
	CALL(fd, VFIO_DEVICE_DETACH_IOMMUFD_PT, a);
}

static void do_destroy(void)
{
	struct iommu_destroy a = { .size = sizeof(a) };
	int fd = pick(CTX);

	a.id = id();
	CALL(fd, IOMMU_DESTROY, a);
}

static void do_ioas_alloc(void)
{
	struct iommu_ioas_alloc a = { .size = sizeof(a) };

	CALL(pick(CTX), IOMMU_IOAS_ALLOC, a);
}

static void do_map(void)
{
	struct iommu_ioas_map a = { .size = sizeof(a) };
	int fd = pick(CTX);

	a.ioas_id = id();
	a.flags = flags() ^ 7;
	a.iova = iova();
	a.user_va = uva();
	a.length = length();
	CALL(fd, IOMMU_IOAS_MAP, a);
	last_iova = a.iova;
}

static void do_map_file(void)
{
	struct iommu_ioas_map_file a = { .size = sizeof(a) };
	int fd = pick(CTX);

	a.ioas_id = id();
	a.flags = flags() ^ 7;
	a.iova = iova();
	a.fd = pick_host();
	a.start = iova();
	a.length = length();
	CALL(fd, IOMMU_IOAS_MAP_FILE, a);
	last_iova = a.iova;
}

static void do_copy(void)
{
	struct iommu_ioas_copy a = { .size = sizeof(a) };
	int fd = pick(CTX);

	a.src_ioas_id = id();
	a.dst_ioas_id = id();
	a.flags = flags() ^ 7;
	a.src_iova = iova();
	a.dst_iova = iova();
	a.length = length();
	CALL(fd, IOMMU_IOAS_COPY, a);
	last_iova = a.dst_iova;
}

static void do_unmap(void)
{
	struct iommu_ioas_unmap a = { .size = sizeof(a) };
	int fd = pick(CTX);

	a.ioas_id = id();
	a.iova = iova();
	a.length = length();
	CALL(fd, IOMMU_IOAS_UNMAP, a);
}

/* Ranges are made of the same numbers, where they can be read and written. */
static void do_allow(void)
{
	struct iommu_iova_range r[4];
	struct iommu_ioas_allow_iovas a = { .size = sizeof(a) };
	int fd = pick(CTX);

	a.ioas_id = id();
	a.num_iovas = flags();
	a.allowed_iovas = (uintptr_t)r;
	for (unsigned i = 0; i < MIN(a.num_iovas, ARRAY_SIZE(r)); i++) {
		r[i].start = iova();
		r[i].last = r[i].start + length() - 1;
	}
	if (a.num_iovas > ARRAY_SIZE(r))
		a.allowed_iovas = uva();
	CALL(fd, IOMMU_IOAS_ALLOW_IOVAS, a);
}

static void do_ranges(void)
{
	struct iommu_ioas_iova_ranges a = { .size = sizeof(a) };
	int fd = pick(CTX);

	a.ioas_id = id();
	a.num_iovas = flags();
	a.allowed_iovas = uva();
	CALL(fd, IOMMU_IOAS_IOVA_RANGES, a);
}

static void do_option(void)
{
	struct iommu_option a = { .size = sizeof(a) };
	int fd = pick(CTX);
	uint8_t b = byte();

	a.option_id = b & 3;
	a.op = b >> 2 & 3;
	a.val64 = b >> 4;
	a.object_id = id();
	CALL(fd, IOMMU_OPTION, a);
}

static void do_vfio_ioas(void)
{
	struct iommu_vfio_ioas a = { .size = sizeof(a) };
	int fd = pick(CTX);

	a.op = byte() & 3;
	a.ioas_id = id();
	CALL(fd, IOMMU_VFIO_IOAS, a);
}

static void do_hwpt_alloc(void)
{
	struct iommu_hwpt_alloc a = { .size = sizeof(a) };
	int fd = pick(CTX);
	uint32_t f = flags();

	a.dev_id = id();
	a.pt_id = id();
	a.flags = f & 0xf;
	a.data_type = f >> 4 & 1;
	a.data_len = f >> 5 & 1 ? 16 : 0;
	a.data_uptr = f >> 6 & 1 ? (uintptr_t)ARENA : 0;
	if (a.flags & IOMMU_HWPT_FAULT_ID_VALID)
		a.fault_id = id();
	CALL(fd, IOMMU_HWPT_ALLOC, a);
}

static void do_hw_info(void)
{
	struct iommu_hw_info a = { .size = sizeof(a) };
	int fd = pick(CTX);

	a.dev_id = id();
	a.flags = flags() & 3;
	a.data_len = (uint32_t)length();
	a.data_uptr = uva();
	CALL(fd, IOMMU_GET_HW_INFO, a);
}

static void do_set_dirty(void)
{
	struct iommu_hwpt_set_dirty_tracking a = { .size = sizeof(a) };
	int fd = pick(CTX);

	a.hwpt_id = id();
	a.flags = flags() ^ 1;
	CALL(fd, IOMMU_HWPT_SET_DIRTY_TRACKING, a);
}

static void do_get_dirty(void)
{
	struct iommu_hwpt_get_dirty_bitmap a = { .size = sizeof(a) };
	int fd = pick(CTX);

	a.hwpt_id = id();
	a.flags = flags();
	a.iova = iova();
	a.length = length();
	a.page_size = length();
	a.data = uva();
	CALL(fd, IOMMU_HWPT_GET_DIRTY_BITMAP, a);
}

static void do_invalidate(void)
{
	struct iommu_hwpt_invalidate a = { .size = sizeof(a) };
	int fd = pick(CTX);

	a.hwpt_id = id();
	a.data_uptr = uva();
	a.data_type = flags();
	a.entry_len = (uint32_t)length();
	a.entry_num = id();
	CALL(fd, IOMMU_HWPT_INVALIDATE, a);
}

static void do_fault_alloc(void)
{
	struct iommu_fault_alloc a = { .size = sizeof(a), .out_fault_fd = UINT32_MAX };

	if (CALL(pick(CTX), IOMMU_FAULT_QUEUE_ALLOC, a) == 0 && (int)a.out_fault_fd >= 0)
		file_add((int)a.out_fault_fd, OTHER);
}

static void do_change_process(void)
{
	struct iommu_ioas_change_process a = { .size = sizeof(a) };

	CALL(pick(CTX), IOMMU_IOAS_CHANGE_PROCESS, a);
}

static void do_get_pa(void)
{
	struct iommu_ioas_noiommu_get_pa a = { .size = sizeof(a) };
	int fd = pick(CTX);

	a.ioas_id = id();
	a.iova = iova();
	a.length = length();
	CALL(fd, IOMMU_IOAS_NOIOMMU_GET_PA, a);
}

/* VFIO's requests, on contexts that are containers or on containers */

static void do_set_iommu(void)
{
	int fd = pick(CTX);

	try(fd, VFIO_SET_IOMMU, (void *)(uintptr_t)(byte() ^ VFIO_TYPE1v2_IOMMU));
}

static void do_extension(void)
{
	int fd = pick(CTX);

	try(fd, VFIO_CHECK_EXTENSION, (void *)(uintptr_t)byte());
}

static void do_map_dma(void)
{
	struct vfio_iommu_type1_dma_map a = { .argsz = sizeof(a) };
	int fd = pick(CTX);

	a.flags = flags() ^ 3;
	a.iova = iova();
	a.vaddr = uva();
	a.size = length();
	CALL(fd, VFIO_IOMMU_MAP_DMA, a);
}

static void do_unmap_dma(void)
{
	struct {
		struct vfio_iommu_type1_dma_unmap a;
		struct vfio_bitmap bitmap;
	} x = { .a.argsz = sizeof(x), .bitmap.pgsize = PAGE };
	int fd = pick(CTX);

	x.a.flags = flags();
	x.a.iova = iova();
	x.a.size = length();
	if (x.a.flags & VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP) {
		x.bitmap.data = uva();
		x.bitmap.size = length();
	}
	CALL(fd, VFIO_IOMMU_UNMAP_DMA, x);
}

static void do_dirty_pages(void)
{
	struct {
		struct vfio_iommu_type1_dirty_bitmap a;
		struct vfio_iommu_type1_dirty_bitmap_get get;
	} x = { .a.argsz = sizeof(x), .get.bitmap.pgsize = PAGE };
	int fd = pick(CTX);

	x.a.flags = flags();
	if (x.a.flags & VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP) {
		x.get.iova = iova();
		x.get.size = length();
		x.get.bitmap.data = uva();
		x.get.bitmap.size = length();
	}
	CALL(fd, VFIO_IOMMU_DIRTY_PAGES, x);
}

static void do_get_info(void)
{
	struct {
		struct vfio_iommu_type1_info a;
		uint8_t caps[256];
	} x = { .a.argsz = sizeof(x) };

	CALL(pick(CTX), VFIO_IOMMU_GET_INFO, x);
}

static void do_set_container(void)
{
	int group = pick(GROUP), fd;

	fd = pick(byte() & 1 ? CONTAINER : CTX);
	try(group, VFIO_GROUP_SET_CONTAINER, &fd);
}

static void do_unset_container(void)
{
	try(pick(GROUP), VFIO_GROUP_UNSET_CONTAINER, NULL);
}

static void do_get_device(void)
{
	int group = pick(GROUP);
	unsigned i = byte() % (DEVICES + 1);

	file_add(try(group, VFIO_GROUP_GET_DEVICE_FD, (void *)(i == SOFT ? "soft0" : bdfs[i])), DEVICE);
}

static void do_any(void)
{
	int fd;
	uint8_t nr;
	uint32_t words[12];

	if (nfiles == 0)
		return;
	fd = files[byte() % nfiles].fd;
	nr = byte();
	words[0] = flags();
	/* So an address is none of ours: nothing is mapped below 1 TiB. */
	for (unsigned i = 1; i < ARRAY_SIZE(words); i++)
		words[i] = byte();
	CALL(fd, VFIO_IO(nr % 0x40), words);
}

/* ---- devices ---- */

static void set_master(int fd, bool on)
{
	uint16_t command = on ? 6 : 2;

	uvfio_pwrite(m, fd, &command, 2, CONFIG + 4);
}

static void do_master(void)
{
	int fd = pick(DEVICE);

	set_master(fd, !(byte() & 1));
}

static void do_reset(void)
{
	try(pick(DEVICE), VFIO_DEVICE_RESET, NULL);
}

static void do_dma(void)
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
static void do_soft(void)
{
	int fd = pick(DEVICE);
	uint8_t b = byte();
	uint64_t v[4] = { iova(), (b & 7) > 2 ? b * 8u : b >> 4, 3, b & 7 };

	for (unsigned i = 0; i < ARRAY_SIZE(v); i++)
		uvfio_pwrite(m, fd, &v[i], 8, 8 + 8 * i);
}

static void do_read_write(void)
{
	int fd = pick(OTHER);
	uint8_t b = byte();
	uint64_t at = uva();
	size_t n = (size_t[]){ 8, 40, 0, 7 }[b & 3];

	if (b & 4)
		uvfio_write(m, fd, (void *)at, n);
	else
		uvfio_read(m, fd, (void *)at, n);
}

/* ---- the arena ---- */

static void arena_map(unsigned page, unsigned n, int prot, int type)
{
	void *at = ARENA + page * PAGE;

	if (type == MAP_SHARED)
		assert(mmap(at, n * PAGE, prot, type | MAP_FIXED, memfd, (off_t)(page * PAGE)) == at);
	else
		assert(mmap(at, n * PAGE, prot, type | MAP_FIXED | MAP_ANONYMOUS, -1, 0) == at);
}

static void arena_begin(void)
{
	arena_map(0, 16, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	arena_map(16, 8, PROT_READ, MAP_PRIVATE);
	arena_map(24, 16, PROT_READ | PROT_WRITE, MAP_SHARED);
	arena_map(40, 4, PROT_READ, MAP_SHARED);
	/* 44: nothing */
	arena_map(48, 4, PROT_NONE, MAP_PRIVATE);
	arena_map(52, 12, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	arena_changed = false;
}

static void do_remap(void)
{
	uint8_t b = byte();
	unsigned page = byte() % PAGES, n = MIN(b >> 4, PAGES - page - 1) + 1u;
	char *at = ARENA + page * PAGE;

	arena_changed = true;
	uvfio_munmap(m, at, n * PAGE);
	switch (b % 6) {
	case 1:
		arena_map(page, n, PROT_READ | PROT_WRITE, MAP_PRIVATE);
		break;
	case 2:
		arena_map(page, n, PROT_READ | PROT_WRITE, MAP_SHARED);
		break;
	case 3:
		arena_map(page, n, PROT_READ, MAP_SHARED);
		break;
	case 4:
		arena_map(page, n, PROT_READ, MAP_PRIVATE);
		break;
	case 5: /* a device's registers */
		uvfio_mmap(m, at, n * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, pick(DEVICE), 0);
		break;
	}
}

/* ---- programs ---- */

static void (*const calls[])(void) = {
	do_map, do_unmap, do_copy, do_attach, do_detach, do_dma, do_destroy, do_ioas_alloc, do_bind, do_open_device,
	do_open_ctx, do_close, do_hwpt_alloc, do_soft, do_remap, do_map_file, do_allow, do_ranges, do_option, do_vfio_ioas,
	do_hw_info, do_set_dirty, do_get_dirty, do_invalidate, do_fault_alloc, do_change_process, do_get_pa, do_open_group,
	do_set_container, do_unset_container, do_get_device, do_set_iommu, do_extension, do_map_dma, do_unmap_dma,
	do_dirty_pages, do_get_info, do_dup, do_place, do_any, do_master, do_reset, do_read_write,
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
