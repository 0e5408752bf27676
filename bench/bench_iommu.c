/* SPDX-License-Identifier: MIT */
/*
 * The IOMMU and the memory behind it, each figure beside the least that the host could take for it:
 * name, nanoseconds of ours, nanoseconds of the floor, ratio. Medians of 11 rounds.
 *
 *	translate_same       DMA of 8 bytes to one page, again and again; floor: memcpy of 8 bytes
 *	translate_pins_N     the same with a pin for each mapping, so that the host's own TLB is busy, too
 *	translate_N          DMA of 8 bytes to random pages of N mappings of 4 KiB; floor: a load that depends on the
 *	                     one before, at random in a table of N entries of 8 bytes
 *	translate_64_pasids  DMA of 8 bytes to random pages of 64 PASIDs, 1024 each; floor: the same without PASIDs, the pages
 *	                     all in one domain
 *	same_pasid           translate_same with a PASID; floor: without
 *	map_unmap_N          map and unmap 4 KiB while N mappings are there, a device attached; floor: a store at random
 *	                     into such a table, and another
 *	pin_map_64g          pin and map, unmap and unpin 64 GiB of one shared area; floor: none
 *	write_2m, read_2m    DMA of 2 MiB into and out of shared memory; floor: memcpy of the same
 *	copy_2m              memory to memory
 */
#include "bench.h"
#include "iommu/iommu.h"
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE  4096ul
#define MIB   (1ul << 20)
#define BASE  0x100000000ull /* where the mappings are */
#define RW    (MEM_READ | MEM_WRITE)

static void die(const char *what)
{
	fprintf(stderr, "bench_iommu: %s\n", what);
	exit(1);
}

#define CHECK(x)                 \
	do {                     \
		if ((x) != 0)    \
			die(#x); \
	} while (0)

/* ---- a caller whose memory is one memfd ---- */

static int memfd;
static uint64_t memfd_size;

static int area(struct mm *mm, uva_t at, struct mm_area *out)
{
	*out = (struct mm_area){ .last = memfd_size - 1, .readable = true, .writable = true, .shared = true };
	return 0;
}

static int share(struct mm *mm, const struct mm_area *a, uva_t uva, uint64_t length, void **host)
{
	*host = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, memfd, (off_t)uva);
	return *host == MAP_FAILED ? -ENOMEM : 0;
}

static void unshare_(struct mm *mm, void *host, uint64_t length)
{
	munmap(host, length);
}

static uint64_t unlimited(struct mm *mm)
{
	return UINT64_MAX;
}

static bool capable(struct task *t, enum task_cap cap)
{
	return true;
}

static const struct mm_ops mm_ops = { .area = area, .share = share, .unshare = unshare_, .memlock_limit = unlimited };
static const struct task_ops task_ops = { .capable = capable };
static struct mm mm = { .ops = &mm_ops };
static struct task task = { .ops = &task_ops, .mm = &mm };

/* ---- the machine ---- */

static const struct iommu_unit unit = { .name = "bench", .width = 48, .pgsizes = 0x40201000, .default_domain = "DMA" };
static struct mem *mem;
static struct iommu *iommu;
static struct iommu_group *group;
static struct iommu_dev *dev;
static struct iommu_domain *dom;

static void machine_make(void)
{
	static struct log log;

	log_init(&log, NULL, NULL);
	ref_init(&mm.ref);
	memfd = memfd_create("bench", MFD_CLOEXEC);
	memfd_size = 64ull << 30;
	CHECK(ftruncate(memfd, (off_t)memfd_size));
	CHECK(mem_create(&log, &mem));
	CHECK(iommu_create(mem, &log, &iommu));
	CHECK(iommu_group_create(iommu, &group));
	CHECK(iommu_dev_create(iommu, "bench", &unit, &dev));
	CHECK(iommu_dev_set_pasids(dev, 1024));
	CHECK(iommu_dev_join(dev, group));
	CHECK(iommu_domain_create(dev, &dom));
	CHECK(iommu_group_attach(group, dom));
}

static phys_t pin(uva_t uva, uint64_t length, iova_t iova, struct mem_pin **out)
{
	const struct mem_piece *piece;

	CHECK(mem_pin(mem, &task, uva, length, iova, RW, true, out));
	if (mem_pin_pieces(*out, &piece) != 1)
		die("pin in pieces");
	return piece->phys;
}

/* ---- measuring ---- */

static void row(const char *name, double ours, double floor_ns)
{
	if (floor_ns > 0)
		printf("%-20s %12.1f %12.1f %8.2f\n", name, ours, floor_ns, ours / floor_ns);
	else
		printf("%-20s %12.1f %12s %8s\n", name, ours, "-", "-");
	fflush(stdout);
}

static inline uint64_t next(uint64_t x)
{
	return x * 6364136223846793005ull + 1442695040888963407ull;
}

/* A number below @n, without a division. */
static inline uint64_t bench_index(uint64_t x, uint64_t n)
{
	return (x >> 32) * n >> 32;
}

/* Dependent loads: what is loaded (always 0) goes into the next index. */
static double floor_random(uint64_t n)
{
	volatile uint64_t *table = calloc(n, 8);
	uint64_t x = 1, got = 0;
	double ns;

	if (!table)
		die("no memory");
	for (uint64_t i = 0; i < n; i++)
		table[i] = 0;
	ns = BENCH_NS(1000000, x = next(x) + got; got = table[bench_index(x, n)]);
	free((void *)table);
	return ns;
}

static double floor_store_twice(uint64_t n)
{
	volatile uint64_t *table = calloc(n, 8);
	uint64_t x = 1;
	double ns;

	if (!table)
		die("no memory");
	ns = BENCH_NS(1000000, x = next(x); table[bench_index(x, n)] = x; table[bench_index(x, n)] = 0);
	free((void *)table);
	return ns;
}

/* The pages behind N mappings are few, so that translation is measured and not the memory. Never neighbours. */
static void bench_random(const char *label, uint64_t n)
{
	struct mem_pin *p;
	phys_t phys = pin(0, 2 * MIB, 0, &p);
	uint64_t x = 1, got = 0;
	char name[64];
	double ours;

	memset(mem_host(mem, phys, 2 * MIB), 0, 2 * MIB);
	for (uint64_t i = 0; i < n; i++)
		CHECK(iommu_map(dom, BASE + i * PAGE, phys + (i * 7 % 512) * PAGE, PAGE, RW));
	ours = BENCH_NS(300000, x = next(x) + got; CHECK(iommu_dma_read(dev, BASE + bench_index(x, n) * PAGE, &got, 8)));
	snprintf(name, sizeof(name), "translate_%s", label);
	row(name, ours, floor_random(n));

	/* One more mapping beside those, at a random place of its own half of the space. */
	ours = BENCH_NS(100000, x = next(x); iova_t at = BASE + (n + bench_index(x, n)) * PAGE;
		  if (iommu_map(dom, at, phys, PAGE, RW) || iommu_unmap(dom, at, PAGE) != PAGE) die("map"));
	snprintf(name, sizeof(name), "map_unmap_%s", label);
	row(name, ours, floor_store_twice(n));
	if (iommu_unmap(dom, 0, 1ull << 48) != n * PAGE)
		die("unmap");
	mem_unpin(p);
}

/* As above, but each mapping is a pin of its own: the region table is as large as the page table. */
static void bench_random_pins(const char *label, uint64_t n)
{
	struct mem_pin **p = calloc(n, sizeof(*p));
	uint64_t x = 1, got = 0;
	char name[64];
	double ours;

	for (uint64_t i = 0; i < n; i++)
		CHECK(iommu_map(dom, BASE + i * PAGE, pin(i * 7 % 512 * PAGE, PAGE, BASE + i * PAGE, &p[i]), PAGE, RW));
	ours = BENCH_NS(300000, x = next(x) + got; CHECK(iommu_dma_read(dev, BASE + bench_index(x, n) * PAGE, &got, 8)));
	snprintf(name, sizeof(name), "translate_pins_%s", label);
	row(name, ours, floor_random(n));
	iommu_unmap(dom, 0, 1ull << 48);
	for (uint64_t i = 0; i < n; i++)
		mem_unpin(p[i]);
	free(p);
}

static void bench_same(void)
{
	struct mem_pin *p;
	phys_t phys = pin(0, 2 * MIB, 0, &p);
	char *host = mem_host(mem, phys, 2 * MIB);
	volatile uint64_t word = 0;

	CHECK(iommu_map(dom, BASE, phys, PAGE, RW));
	row("translate_same", BENCH_NS(1000000, CHECK(iommu_dma_read(dev, BASE + 64, (void *)&word, 8))),
	    BENCH_NS(1000000, word = *(volatile uint64_t *)(host + 64)));
	iommu_unmap(dom, BASE, PAGE);
	mem_unpin(p);
}

/* As many pages in all: in the spaces of 64 PASIDs, which accesses take at random, against one space and no PASID. */
static void bench_pasids(void)
{
	enum { PASIDS = 64, PAGES = 1024 };
	struct iommu_domain *space[PASIDS];
	struct mem_pin *p;
	phys_t phys = pin(0, 2 * MIB, 0, &p);
	uint64_t x = 1, got = 0;
	double plain, ours;

	memset(mem_host(mem, phys, 2 * MIB), 0, 2 * MIB);
	for (unsigned n = 0; n < PASIDS; n++) {
		CHECK(iommu_domain_create(dev, &space[n]));
		for (uint64_t i = 0; i < PAGES; i++) {
			CHECK(iommu_map(space[n], BASE + i * PAGE, phys + i * 7 % 512 * PAGE, PAGE, RW));
			CHECK(iommu_map(dom, BASE + (n * PAGES + i) * PAGE, phys + i * 7 % 512 * PAGE, PAGE, RW));
		}
		CHECK(iommu_group_attach_pasid(group, n + 1, space[n]));
	}
	plain = BENCH_NS(300000, x = next(x) + got;
			 CHECK(iommu_dma_read(dev, BASE + bench_index(x, PASIDS * PAGES) * PAGE, &got, 8)));
	ours = BENCH_NS(300000, x = next(x) + got; uint64_t at = bench_index(x, PASIDS * PAGES);
			CHECK(iommu_dma_read_pasid(dev, 1 + at / PAGES, BASE + at % PAGES * PAGE, &got, 8)));
	row("translate_64_pasids", ours, plain);
	plain = BENCH_NS(1000000, CHECK(iommu_dma_read(dev, BASE + 64, &got, 8)));
	ours = BENCH_NS(1000000, CHECK(iommu_dma_read_pasid(dev, 1, BASE + 64, &got, 8)));
	row("same_pasid", ours, plain);
	for (unsigned n = 0; n < PASIDS; n++) {
		iommu_group_detach_pasid(group, n + 1);
		iommu_domain_destroy(space[n]);
	}
	iommu_unmap(dom, 0, 1ull << 48);
	mem_unpin(p);
}

static void bench_bulk(void)
{
	struct mem_pin *p;
	phys_t phys = pin(0, 16 * MIB, BASE, &p);
	char *host = mem_host(mem, phys, 16 * MIB), *buf = aligned_alloc(PAGE, 2 * MIB);
	double memcpy_in, memcpy_out, memcpy_mem;

	memset(host, 1, 16 * MIB);
	memset(buf, 2, 2 * MIB);
	CHECK(iommu_map(dom, BASE, phys, 16 * MIB, RW));
	memcpy_in = BENCH_NS(200, memcpy(host, buf, 2 * MIB); __asm__ volatile("" ::: "memory"));
	memcpy_out = BENCH_NS(200, memcpy(buf, host, 2 * MIB); __asm__ volatile("" ::: "memory"));
	memcpy_mem = BENCH_NS(200, memcpy(host + 4 * MIB, host, 2 * MIB); __asm__ volatile("" ::: "memory"));
	row("write_2m", BENCH_NS(200, CHECK(iommu_dma_write(dev, BASE, buf, 2 * MIB))), memcpy_in);
	row("read_2m", BENCH_NS(200, CHECK(iommu_dma_read(dev, BASE, buf, 2 * MIB))), memcpy_out);
	row("copy_2m", BENCH_NS(200, CHECK(iommu_dma_copy(dev, BASE + 4 * MIB, BASE, 2 * MIB, NULL))), memcpy_mem);
	iommu_unmap(dom, BASE, 16 * MIB);
	/* In 4 KiB pages that are no neighbours. */
	for (uint64_t i = 0; i < 512; i++)
		CHECK(iommu_map(dom, BASE + i * PAGE, phys + i * 7 % 512 * PAGE, PAGE, RW));
	row("write_2m_4k_pages", BENCH_NS(200, CHECK(iommu_dma_write(dev, BASE, buf, 2 * MIB))), memcpy_in);
	iommu_unmap(dom, BASE, 2 * MIB);
	mem_unpin(p);
	free(buf);
}

static void bench_pin(void)
{
	const uint64_t length = 64ull << 30;
	struct mem_pin *p;
	phys_t phys;

	row("pin_map_64g", BENCH_NS(100, phys = pin(0, length, BASE, &p); CHECK(iommu_map(dom, BASE, phys, length, RW));
			      iommu_unmap(dom, BASE, length); mem_unpin(p)), 0);
}

int main(void)
{
	machine_make();
	printf("%-20s %12s %12s %8s\n", "name", "ours ns", "floor ns", "ratio");
	bench_same();
	bench_random("1", 1);
	bench_random("1k", 1000);
	bench_random("64k", 65536);
	bench_random("1m", 1000000);
	bench_random_pins("10k", 10000);
	bench_pasids();
	bench_bulk();
	bench_pin();
	return 0;
}
