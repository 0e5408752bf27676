/* SPDX-License-Identifier: MIT */
/*
 * iommufd on an embedded machine with one function behind an IOMMU that tracks writes, each figure beside its goal:
 * | what | ours | goal | met |. With "-v" also the figures behind the rows.
 *
 * A time is the median of 11 rounds. MAP and UNMAP through uvfio run are in inside.c. Translation with PASIDs has no
 * row: no unit of a machine knows them.
 */
#include "table.h"
#include "abi/iommufd.h"
#include "abi/vfio.h"
#include "front/capi/priv.h"
#include "machine/priv.h"
#include "pci/pci.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096ul
#define GIB  (1ul << 30)
#define TIB  (1ul << 40)
#define BASE 0x100000000ul /* where areas are */
#define RW   (IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE)

static uint64_t seed = 1;

/* ---- the machine: one at a time ---- */

static struct uvfio_machine *m;
static int ctx, dev;
static uint32_t dev_id;
static struct pci_dev *function;
static struct iommu_dev *requester; /* the function, as the IOMMU sees it */

static const char text[] = "machine: iommufd\n"
			   "iommus:\n"
			   "- {name: dmar0, width: 48, page_sizes: [4K, 2M, 1G], dirty_tracking: yes}\n"
			   "devices:\n"
			   "- kind: host-bridge\n"
			   "  bus: 0000:00\n"
			   "  iommu: dmar0\n"
			   "  below:\n"
			   "  - {at: 01.0, model: generic, args: [express], bind: vfio-pci}\n";

static uint64_t unlimited(struct mm *mm)
{
	return UINT64_MAX;
}

static void request(unsigned cmd, void *arg)
{
	if (uvfio_ioctl(m, ctx, cmd, arg))
		die("request %#x", cmd);
}

/* A machine, a context, and the function bound to it; @charged: pins are counted, in the process. */
static void begin(bool charged)
{
	struct iommu_option by_mm = { .size = sizeof(by_mm), .option_id = IOMMU_OPTION_RLIMIT_MODE,
				      .op = IOMMU_OPTION_OP_SET, .val64 = 1 };
	struct vfio_device_bind_iommufd b = { .argsz = sizeof(b) };
	static struct mm_ops ops;
	char err[1024];

	m = uvfio_create_text(text, err, sizeof(err));
	if (!m)
		die("%s", err);
	ctx = uvfio_open(m, "/dev/iommu", O_RDWR);
	dev = uvfio_open(m, "/dev/vfio/devices/vfio0", O_RDWR);
	if (ctx < 0 || dev < 0)
		die("nodes");
	ops = *m->mm->mm.ops;
	ops.memlock_limit = unlimited; /* ours is as it may be */
	m->mm->mm.ops = &ops;
	atomic_store(&m->caps[TASK_CAP_SYS_RESOURCE], true);
	if (charged)
		request(IOMMU_OPTION, &by_mm);
	uvfio_set_caps(m, 1, !charged, 1);
	b.iommufd = ctx;
	if (uvfio_ioctl(m, dev, VFIO_DEVICE_BIND_IOMMUFD, &b))
		die("BIND");
	dev_id = b.out_devid;
	function = pci_find(m->machine->pci, "0000:00:01.0");
	requester = function->iommu;
}

static void end(void)
{
	dev_put(&function->dev);
	uvfio_destroy(m);
}

static uint32_t ioas_alloc(void)
{
	struct iommu_ioas_alloc a = { .size = sizeof(a) };

	request(IOMMU_IOAS_ALLOC, &a);
	return a.out_ioas_id;
}

static uint32_t hwpt_alloc(uint32_t ioas, uint32_t flags)
{
	struct iommu_hwpt_alloc a = { .size = sizeof(a), .flags = flags, .dev_id = dev_id, .pt_id = ioas };

	request(IOMMU_HWPT_ALLOC, &a);
	return a.out_hwpt_id;
}

/* Or replace. */
static void attach(uint32_t pt)
{
	struct vfio_device_attach_iommufd_pt a = { .argsz = sizeof(a), .pt_id = pt };

	if (uvfio_ioctl(m, dev, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &a))
		die("ATTACH");
}

static void map(uint32_t ioas, uint64_t iova, const void *at, uint64_t length)
{
	struct iommu_ioas_map a = { .size = sizeof(a), .flags = RW | IOMMU_IOAS_MAP_FIXED_IOVA, .ioas_id = ioas,
				    .user_va = (uintptr_t)at, .length = length, .iova = iova };

	if (uvfio_ioctl(m, ctx, IOMMU_IOAS_MAP, &a))
		die("MAP %#lx", iova);
}

static void map_file(uint32_t ioas, uint64_t iova, int fd, uint64_t length)
{
	struct iommu_ioas_map_file a = { .size = sizeof(a), .flags = RW | IOMMU_IOAS_MAP_FIXED_IOVA, .ioas_id = ioas,
					 .fd = fd, .length = length, .iova = iova };

	if (uvfio_ioctl(m, ctx, IOMMU_IOAS_MAP_FILE, &a))
		die("MAP_FILE %#lx", iova);
}

static void unmap(uint32_t ioas, uint64_t iova, uint64_t length)
{
	struct iommu_ioas_unmap a = { .size = sizeof(a), .ioas_id = ioas, .iova = iova, .length = length };

	if (uvfio_ioctl(m, ctx, IOMMU_IOAS_UNMAP, &a) || a.length != length)
		die("UNMAP %#lx", iova);
}

static char *memory_new(uint64_t size)
{
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		die("memory");
	return p;
}

static int file_new(uint64_t size)
{
	int fd = memfd_create("iommufd", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, (off_t)size))
		die("memfd");
	return fd;
}

/* ---- MAP and UNMAP ---- */

#define BATCH   1000
#define MEMORY  (1ul << 20) /* pages of the program's memory; any may be behind any area */

/* One batch: map at random where nothing is, unmap those again. @used: by page from BASE on */
static double batch_ns(uint32_t ioas, const char *memory, char *used, uint64_t space)
{
	uint64_t at[BATCH];
	double t;

	for (int i = 0; i < BATCH; i++) {
		do
			at[i] = any(&seed, space);
		while (used[at[i]]);
	}
	t = bench_now();
	for (int i = 0; i < BATCH; i++) {
		map(ioas, BASE + at[i] * PAGE, memory + any(&seed, MEMORY) * PAGE, PAGE);
		unmap(ioas, BASE + at[i] * PAGE, PAGE);
	}
	return (bench_now() - t) / BATCH;
}

/* MAP and UNMAP, both, with @n areas there and the function attached. */
static double map_unmap(const char *memory, uint64_t n)
{
	uint64_t space = 2 * (n + BATCH);
	char *used = calloc(space, 1);
	double r[BENCH_ROUNDS];
	uint32_t ioas;

	begin(false);
	ioas = ioas_alloc();
	attach(ioas);
	for (uint64_t have = 0; have < n;) {
		uint64_t p = any(&seed, space);

		if (used[p])
			continue;
		used[p] = 1;
		map(ioas, BASE + p * PAGE, memory + any(&seed, MEMORY) * PAGE, PAGE);
		have++;
	}
	batch_ns(ioas, memory, used, space);
	for (int k = 0; k < BENCH_ROUNDS; k++)
		r[k] = batch_ns(ioas, memory, used, space);
	free(used);
	end();
	return bench_median(r);
}

static void bench_map(void)
{
	char *memory = memory_new(MEMORY * PAGE);
	double empty = map_unmap(memory, 0), full = map_unmap(memory, 1000000);

	row("IOAS_MAP + UNMAP of 4 KiB", "1,000 ns", empty < 1000, "%.0f ns", empty);
	row("IOAS_MAP + UNMAP of 4 KiB at 1 M areas / at none", "2 x", full < 2 * empty, "%.0f / %.0f ns", full, empty);
	munmap(memory, MEMORY * PAGE);
}

/* ---- one map, many domains ---- */

struct pinned {
	double ns;
	uint64_t pages, charged;
};

/* MAP_FILE of @fd's first GiB into an IOAS with @n domains; UNMAP is not measured. */
static struct pinned map_domains(int fd, unsigned n)
{
	double r[BENCH_ROUNDS];
	struct pinned p = { 0 };
	uint32_t ioas;

	begin(true);
	ioas = ioas_alloc();
	for (unsigned i = 0; i < n; i++)
		hwpt_alloc(ioas, 0);
	for (int k = 0; k < BENCH_ROUNDS; k++) {
		double t = bench_now();

		for (int i = 0; i < 100; i++) {
			double before;

			map_file(ioas, BASE, fd, GIB);
			p.pages = mem_pinned_pages(machine_mem(m->machine));
			p.charged = atomic_load(&m->mm->mm.locked_pages);
			before = bench_now();
			unmap(ioas, BASE, GIB);
			t += bench_now() - before;
		}
		r[k] = (bench_now() - t) / 100;
	}
	p.ns = bench_median(r);
	end();
	return p;
}

static void bench_domains(void)
{
	static const unsigned numbers[] = { 1, 2, 8 };
	struct pinned p[3];
	bool once = true;
	double extra;
	int fd = file_new(GIB);

	for (int i = 0; i < 3; i++) {
		p[i] = map_domains(fd, numbers[i]);
		detail("1 GiB into %u domains: %.0f ns, %lu pages pinned, %lu charged\n", numbers[i], p[i].ns, p[i].pages,
		       p[i].charged);
		once = once && p[i].pages == GIB / PAGE && p[i].charged == GIB / PAGE;
	}
	row("1 GiB of a memfd into 1, 2, 8 domains: pinned, charged", "once", once, "%lu, %lu; %lu, %lu; %lu, %lu pages",
	    p[0].pages, p[0].charged, p[1].pages, p[1].charged, p[2].pages, p[2].charged);
	extra = (p[2].ns - p[0].ns) / 7;
	row("a domain more / the first", "0.1 x", extra < 0.1 * p[0].ns, "%.0f / %.0f ns", extra, p[0].ns);
	close(fd);
}

/* ---- dirty bitmaps ---- */

static void bitmap_get(uint32_t hwpt, uint64_t length, void *bits)
{
	struct iommu_hwpt_get_dirty_bitmap a = { .size = sizeof(a), .hwpt_id = hwpt, .iova = TIB, .length = length,
						 .page_size = PAGE, .data = (uintptr_t)bits };

	request(IOMMU_HWPT_GET_DIRTY_BITMAP, &a);
}

/* The function writes once to every @step bytes. */
static void write_all(uint64_t length, uint64_t step)
{
	for (uint64_t at = 0; at < length; at += step) {
		if (iommu_dma_write(requester, TIB + at, &at, sizeof(at)))
			die("DMA");
	}
}

struct dirty {
	double set, get, idle, floor; /* ns, all of it; of a memset of the bitmap */
};

/* @length bytes behind translations of @page bytes: set all, read and clear, read again when nothing is set */
static struct dirty dirty_times(uint64_t length, uint64_t page)
{
	double set[BENCH_ROUNDS], get[BENCH_ROUNDS], idle[BENCH_ROUNDS], fl[BENCH_ROUNDS];
	const uint64_t size = length / PAGE / 8;
	struct iommu_option small = { .size = sizeof(small), .option_id = IOMMU_OPTION_HUGE_PAGES,
				      .op = IOMMU_OPTION_OP_SET, .val64 = page > PAGE };
	struct iommu_hwpt_set_dirty_tracking on = { .size = sizeof(on), .flags = IOMMU_HWPT_DIRTY_TRACKING_ENABLE };
	unsigned char *bits = (unsigned char *)memory_new(size);
	int fd = file_new(GIB);

	begin(false);
	small.object_id = ioas_alloc();
	request(IOMMU_OPTION, &small);
	on.hwpt_id = hwpt_alloc(small.object_id, IOMMU_HWPT_ALLOC_DIRTY_TRACKING);
	attach(on.hwpt_id);
	for (uint64_t at = 0; at < length; at += GIB) /* the same memory, so that a TiB of it is not needed */
		map_file(small.object_id, TIB + at, fd, GIB);
	request(IOMMU_HWPT_SET_DIRTY_TRACKING, &on);
	for (int k = 0; k < BENCH_ROUNDS; k++) {
		double t = bench_now();

		memset(bits, 0, size);
		fl[k] = bench_now() - t;
		t = bench_now();
		write_all(length, page);
		set[k] = bench_now() - t;
		t = bench_now();
		bitmap_get(on.hwpt_id, length, bits);
		get[k] = bench_now() - t;
		for (uint64_t i = 0; i < size; i++) {
			if (bits[i] != 0xff)
				die("byte %lu of the bitmap is %#x", i, bits[i]);
		}
		t = bench_now();
		bitmap_get(on.hwpt_id, length, bits);
		idle[k] = bench_now() - t;
	}
	end();
	close(fd);
	munmap(bits, size);
	return (struct dirty){ bench_median(set), bench_median(get), bench_median(idle), bench_median(fl) };
}

static void bench_dirty(void)
{
	const double bytes = (double)(TIB / PAGE / 8), few = (double)(16 * GIB / PAGE / 8);
	struct dirty large = dirty_times(TIB, GIB), small = dirty_times(16 * GIB, PAGE);

	detail("1 TiB in 1 GiB pages: set %.0f, read and clear %.0f, idle %.0f us; memset of the bitmap %.0f us\n",
	       large.set / 1e3, large.get / 1e3, large.idle / 1e3, large.floor / 1e3);
	detail("16 GiB in 4 KiB pages: set %.0f, read and clear %.0f, idle %.0f us; memset of the bitmap %.0f us\n",
	       small.set / 1e3, small.get / 1e3, small.idle / 1e3, small.floor / 1e3);
	row("dirty bitmap of 1 TiB at 4 KiB in large pages: set all, read and clear", "5 GB of bitmap/s",
	    bytes / (large.set + large.get) > 5, "%.1f GB/s", bytes / (large.set + large.get));
	row("the same, nothing set", "5 GB of bitmap/s", bytes / large.idle > 5, "%.1f GB/s", bytes / large.idle);
	row("dirty bitmap of 16 GiB in 4 KiB pages: read and clear all", "5 GB of bitmap/s", few / small.get > 5,
	    "%.2f GB/s, %.1f ns a page", few / small.get, small.get / few / 8);
	row("the same, nothing set", "5 GB of bitmap/s", few / small.idle > 5, "%.2f GB/s", few / small.idle);
}

/* ---- replace ---- */

#define AREAS 100000ul

static atomic_bool stop;
static atomic_ullong writes, lost;

static void *write_always(void *arg)
{
	uint64_t s = 7;

	while (!stop) {
		if (iommu_dma_write(requester, BASE + 2 * PAGE * any(&s, AREAS), &s, sizeof(s)))
			lost++;
		writes++;
	}
	return NULL;
}

/* Between two address spaces with the same areas, while the function writes to all of them. */
static double replace_ns(uint32_t from, uint32_t to)
{
	double r[BENCH_ROUNDS];
	pthread_t thread;

	attach(from);
	stop = false;
	if (pthread_create(&thread, NULL, write_always, NULL))
		die("thread");
	for (int k = 0; k < BENCH_ROUNDS; k++) {
		double t;

		usleep(1000);
		t = bench_now();
		attach(k % 2 ? from : to);
		r[k] = bench_now() - t;
	}
	stop = true;
	pthread_join(thread, NULL);
	return bench_median(r);
}

/* @copied: the second address space has the pages of the first; else it has pinned none yet */
static void bench_replace_by(const char *what, const char *memory, bool copied)
{
	double ns, ready;
	uint32_t a, b;

	begin(false);
	a = ioas_alloc();
	b = ioas_alloc();
	for (uint64_t i = 0; i < AREAS; i++) {
		const uint64_t iova = BASE + 2 * i * PAGE;
		struct iommu_ioas_copy one = { .size = sizeof(one), .flags = RW | IOMMU_IOAS_MAP_FIXED_IOVA,
					       .dst_ioas_id = b, .src_ioas_id = a, .length = PAGE,
					       .dst_iova = iova, .src_iova = iova };

		map(a, iova, memory + i * PAGE, PAGE);
		if (copied)
			request(IOMMU_IOAS_COPY, &one);
		else
			map(b, iova, memory + i * PAGE, PAGE);
	}
	lost = writes = 0;
	ns = replace_ns(a, b);
	row(what, "20 ms, no DMA lost", ns < 20e6 && !lost && !uvfio_dma_faults(m), "%.1f ms, %llu of %llu writes lost",
	    ns / 1e6, lost, writes);
	ready = replace_ns(hwpt_alloc(a, 0), hwpt_alloc(b, 0));
	detail("replace of a page table by one that is there: %.0f us\n", ready / 1e3);
	end();
}

static void bench_replace(void)
{
	char *memory = memory_new(AREAS * PAGE);

	bench_replace_by("replace of an IOAS with 100 k areas by one with the same pages", memory, true);
	bench_replace_by("replace of an IOAS with 100 k areas by one that has pinned nothing", memory, false);
	munmap(memory, AREAS * PAGE);
}

static const struct bench benches[] = {
	{ "map", bench_map }, { "domains", bench_domains }, { "dirty", bench_dirty }, { "replace", bench_replace },
};

int main(int argc, char **argv)
{
	return benches_run(benches, ARRAY_SIZE(benches), argc, argv);
}
