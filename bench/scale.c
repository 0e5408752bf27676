/* SPDX-License-Identifier: MIT */
/*
 * Does it stay fast when it grows? Machines of up to 10,000 functions, up to a million mappings, 64 programs at once,
 * each beside its goal: | what | ours | goal | met |. With "-v" also the figures behind the rows.
 *
 * Machines are embedded ones (uvfio.h); programs that run at once have each an address space of its own, as far as the
 * machine knows. A time is the median of 11 rounds, each on new random places; whatever is said
 * to be flat is the slowest size beside the fastest one.
 */
#include "table.h"
#include "abi/vfio.h"
#include "front/capi/priv.h"
#include "uvfio/uvfio.h"
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096ul
#define GIB  (1ul << 30)
#define BASE 0x100000000ul /* where mappings are */

static uint64_t seed = 1;

/* ---- machines ---- */

/*
 * One function in a group of its own, @n times: integrated endpoints, which need no bridge. 240 to a root bus.
 */
static char *many_groups(unsigned n)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	fputs("machine: groups\nparameters:\n  vfio_iommu_type1.dma_entry_limit: 4000000\ndevices:\n", f);
	for (unsigned i = 0; i < n; i++) {
		if (i % 240 == 0)
			fprintf(f, "- kind: host-bridge\n  bus: \"%04x:00\"\n  below:\n", i / 240);
		fprintf(f, "  - {at: %02x.%u, model: generic, args: [express], acs: full, bind: vfio-pci}\n", 1 + i % 240 / 8, i % 8);
	}
	fclose(f);
	return text;
}

/*
 * A large server, as machine files describe it: 10,000 functions in 3,000 groups. 7 root buses, 1,496 root ports, each a
 * group of its own, and below each a device of 5 or 6 functions that are not kept apart; one endpoint more.
 */
static char *large_server(void)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	unsigned ports = 0, large = 0;

	fputs("machine: large\ndevices:\n", f);
	for (unsigned domain = 0; domain < 7; domain++) {
		fprintf(f, "- kind: host-bridge\n  bus: \"%04x:00\"\n  below:\n", domain);
		if (domain == 0)
			fputs("  - {at: 1f.0, model: edu, bind: vfio-pci}\n", f);
		for (unsigned i = 0; i < 214 && ports < 1496; i++, ports++) {
			fprintf(f, "  - at: %02x.%u\n    kind: root-port\n    below:\n", 1 + i / 8, i % 8);
			for (unsigned fn = 0; fn < 5u + (large < 1016); fn++)
				fprintf(f, "    - {at: 00.%u, model: generic, args: [express, \"bar0=64K,64\", \"msix=8@0:0x8000:0xc000\"],"
					   " bind: vfio-pci}\n", fn);
			large++;
		}
	}
	fclose(f);
	return text;
}

static struct uvfio_machine *boot(char *text)
{
	char err[1024];
	struct uvfio_machine *m = uvfio_create_text(text, err, sizeof(err));

	free(text);
	if (!m) {
		fputs(err, stderr);
		die("no machine");
	}
	return m;
}

static int open_group(struct uvfio_machine *m, unsigned id)
{
	char path[64];
	int g;

	snprintf(path, sizeof(path), "/dev/vfio/%u", id);
	g = uvfio_open(m, path, O_RDWR);
	if (g < 0)
		die("%s", path);
	return g;
}

/* A container with a group in it, ready to map. */
static int open_container(struct uvfio_machine *m, unsigned group)
{
	int c = uvfio_open(m, "/dev/vfio/vfio", O_RDWR), g = open_group(m, group);

	if (c < 0 || uvfio_ioctl(m, g, VFIO_GROUP_SET_CONTAINER, &c) ||
	    uvfio_ioctl(m, c, VFIO_SET_IOMMU, (void *)VFIO_TYPE1v2_IOMMU))
		die("container of group %u", group);
	return c;
}

/* The first group that is for users: bridges have the others. */
static unsigned user_group(unsigned i)
{
	return i + i / 240 + 1;
}

/* ---- a large machine starts ---- */

static unsigned count_lines(char *list)
{
	unsigned n = 0;

	for (char *p = list; p && *p; p++)
		n += *p == '\n';
	free(list);
	return n;
}

static long rss_kib(void)
{
	long kib = 0;
	char line[256];
	FILE *f = fopen("/proc/self/status", "r");

	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "VmHWM: %ld", &kib);
	if (f)
		fclose(f);
	return kib;
}

struct start {
	double ms, destroy_ms;
	long kib;
	unsigned functions, groups;
};

/* In a process of its own, whose memory is the machine's alone. */
static struct start start_once(void)
{
	struct start s = { 0 };
	int p[2];

	fflush(stdout);
	if (pipe(p))
		die("pipe");
	if (fork() == 0) {
		char *text = large_server();
		long before = rss_kib();
		double t = bench_now();
		struct uvfio_machine *m = boot(text);

		s.ms = (bench_now() - t) / 1e6;
		s.kib = rss_kib() - before;
		s.functions = count_lines(uvfio_list_dir(m, "/sys/bus/pci/devices"));
		s.groups = count_lines(uvfio_list_dir(m, "/sys/kernel/iommu_groups"));
		t = bench_now();
		uvfio_destroy(m);
		s.destroy_ms = (bench_now() - t) / 1e6;
		_exit(write(p[1], &s, sizeof(s)) != sizeof(s));
	}
	close(p[1]);
	if (read(p[0], &s, sizeof(s)) != sizeof(s))
		die("the machine's process died");
	close(p[0]);
	wait(NULL);
	return s;
}

static void bench_start(void)
{
	double ms[BENCH_ROUNDS];
	struct start s;
	double m;

	for (int i = 0; i < BENCH_ROUNDS; i++) {
		s = start_once();
		ms[i] = s.ms;
	}
	m = bench_median(ms);
	detail("start: %.0f ms, destroy: %.0f ms, %u functions, %u groups, %ld KiB\n", m, s.destroy_ms, s.functions, s.groups,
	       s.kib);
	if (s.functions != 10000 || s.groups != 3000)
		die("%u functions in %u groups", s.functions, s.groups);
	row("machine of 10,000 functions in 3,000 groups: start", "1 s, 100 MB", m < 1000 && s.kib < 100000000 / 1024,
	    "%.2f s, %.0f MB", m / 1e3, (double)s.kib * 1024 / 1e6);
}

/* ---- claim and release ---- */

static void set_nofile(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r))
		return;
	r.rlim_cur = r.rlim_max;
	setrlimit(RLIMIT_NOFILE, &r);
}

/* SET_CONTAINER and UNSET_CONTAINER of random groups of @n, all open, none in the container otherwise. */
static double claim_release(unsigned n)
{
	struct uvfio_machine *m = boot(many_groups(n));
	int c = uvfio_open(m, "/dev/vfio/vfio", O_RDWR), *g = calloc(n, sizeof(*g));
	double r[BENCH_ROUNDS];

	for (unsigned i = 0; i < n; i++)
		g[i] = open_group(m, user_group(i));
	for (int k = 0; k < BENCH_ROUNDS; k++) {
		double t = bench_now();

		for (int i = 0; i < 20000; i++) {
			int fd = g[any(&seed, n)];

			if (uvfio_ioctl(m, fd, VFIO_GROUP_SET_CONTAINER, &c) ||
			    uvfio_ioctl(m, fd, VFIO_GROUP_UNSET_CONTAINER, NULL))
				die("claim");
		}
		r[k] = (bench_now() - t) / 20000;
	}
	free(g);
	uvfio_destroy(m);
	return bench_median(r);
}

static void bench_claim(void)
{
	static const unsigned sizes[] = { 1, 100, 10000 };
	double ns, min = 1e9, max = 0;

	for (unsigned i = 0; i < 3; i++) {
		ns = claim_release(sizes[i]);
		detail("claim and release, %u groups: %.0f ns\n", sizes[i], ns);
		min = ns < min ? ns : min;
		max = ns > max ? ns : max;
	}
	row("claim + release of a group, 1 to 10,000 groups", "1,000 ns, flat", max < 1000 && max < 2 * min,
	    "%.0f to %.0f ns", min, max);
}

/* ---- mappings ---- */

static void map(struct uvfio_machine *m, int c, uint64_t iova, const void *at, uint64_t size)
{
	struct vfio_iommu_type1_dma_map a = { .argsz = sizeof(a), .flags = 3, .vaddr = (uintptr_t)at, .iova = iova,
					      .size = size };

	if (uvfio_ioctl(m, c, VFIO_IOMMU_MAP_DMA, &a))
		die("MAP_DMA %#lx", iova);
}

static void unmap(struct uvfio_machine *m, int c, uint64_t iova, uint64_t size)
{
	struct vfio_iommu_type1_dma_unmap a = { .argsz = sizeof(a), .iova = iova, .size = size };

	if (uvfio_ioctl(m, c, VFIO_IOMMU_UNMAP_DMA, &a) || a.size != size)
		die("UNMAP_DMA %#lx", iova);
}

struct rate {
	double map, unmap;
};

#define BATCH 1000

/*
 * With @n mappings there: unmap a batch of them at random, and map others at random, so that their number stays. The
 * program's memory is @pages pages, of which any may be behind any mapping.
 */
static struct rate map_unmap(struct uvfio_machine *m, const char *memory, uint64_t pages, uint64_t n)
{
	int c = open_container(m, user_group(0));
	uint64_t space = 2 * (n + BATCH);
	uint64_t *live = calloc(n + BATCH, sizeof(*live)); /* iova pages */
	char *used = calloc(space, 1);
	double maps[BENCH_ROUNDS], unmaps[BENCH_ROUNDS];
	uint64_t have = 0, at[BATCH];

	for (int k = -1; k < BENCH_ROUNDS; k++) {
		double t;

		while (have < n) { /* the first round: all of them */
			uint64_t p = any(&seed, space);

			if (used[p])
				continue;
			used[p] = 1;
			live[have++] = p;
			map(m, c, BASE + p * PAGE, memory + any(&seed, pages) * PAGE, PAGE);
		}
		for (int i = 0; i < BATCH; i++) {
			do
				at[i] = any(&seed, space);
			while (used[at[i]]);
			used[at[i]] = 1;
		}
		t = bench_now();
		for (int i = 0; i < BATCH; i++)
			map(m, c, BASE + at[i] * PAGE, memory + any(&seed, pages) * PAGE, PAGE);
		if (k >= 0)
			maps[k] = (bench_now() - t) / BATCH;
		memcpy(live + have, at, sizeof(at));
		have += BATCH;
		for (int i = 0; i < BATCH; i++) {
			uint64_t j = any(&seed, have);

			at[i] = live[j];
			used[at[i]] = 0;
			live[j] = live[--have];
		}
		t = bench_now();
		for (int i = 0; i < BATCH; i++)
			unmap(m, c, BASE + at[i] * PAGE, PAGE);
		if (k >= 0)
			unmaps[k] = (bench_now() - t) / BATCH;
	}
	free(live);
	free(used);
	for (int fd = 0; fd < 2; fd++) /* the container, the group */
		uvfio_close(m, fd);
	return (struct rate){ bench_median(maps), bench_median(unmaps) };
}

static void bench_map(void)
{
	static const uint64_t sizes[] = { 1, 1000, 64000, 1000000 };
	const uint64_t pages = 1 << 20;
	struct uvfio_machine *m = boot(many_groups(1));
	char *memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct rate min = { 1e9, 1e9 }, max = { 0 };

	if (memory == MAP_FAILED)
		die("memory");
	uvfio_set_caps(m, 0, 1, 0);
	for (unsigned i = 0; i < 4; i++) {
		struct rate r = map_unmap(m, memory, pages, sizes[i]);

		detail("%lu mappings: MAP %.0f ns, UNMAP %.0f ns\n", sizes[i], r.map, r.unmap);
		min.map = r.map < min.map ? r.map : min.map;
		max.map = r.map > max.map ? r.map : max.map;
		min.unmap = r.unmap < min.unmap ? r.unmap : min.unmap;
		max.unmap = r.unmap > max.unmap ? r.unmap : max.unmap;
	}
	row("MAP of 4 KiB at 1, 1 k, 64 k, 1 M mappings", "1,000 ns, flat within 2 x", max.map < 1000 && max.map < 2 * min.map,
	    "%.0f to %.0f ns", min.map, max.map);
	row("UNMAP of 4 KiB at 1, 1 k, 64 k, 1 M mappings", "1,000 ns, flat within 2 x",
	    max.unmap < 1000 && max.unmap < 2 * min.unmap, "%.0f to %.0f ns", min.unmap, max.unmap);
	munmap(memory, pages * PAGE);
	uvfio_destroy(m);
}

/* ---- large pages ---- */

static double map_unmap_size(struct uvfio_machine *m, int c, const char *memory, uint64_t size)
{
	double r[BENCH_ROUNDS];

	for (int k = 0; k < BENCH_ROUNDS; k++) {
		double t = bench_now();

		for (int i = 0; i < 200; i++) {
			map(m, c, BASE, memory, size);
			unmap(m, c, BASE, size);
		}
		r[k] = (bench_now() - t) / 200;
	}
	return bench_median(r);
}

/* Of two pages, so that one mapping of it in the program holds what the machine asks for. */
static char *huge_memory(const char **kind)
{
	int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
	char *p = MAP_FAILED;

	*kind = "hugetlb";
	if (fd >= 0 && ftruncate(fd, GIB) == 0)
		p = mmap(NULL, GIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED) { /* the host has none: as far as a machine sees, shared memory is shared memory */
		char *room = mmap(NULL, 2 * GIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		*kind = "shmem";
		fd = memfd_create("huge", MFD_CLOEXEC);
		if (ftruncate(fd, GIB))
			die("memfd");
		p = mmap((char *)(((uintptr_t)room + GIB - 1) & -GIB), GIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			 fd, 0);
	}
	close(fd);
	if (p == MAP_FAILED)
		die("huge memory");
	return p;
}

static void bench_huge(void)
{
	struct uvfio_machine *m = boot(many_groups(1));
	int c = open_container(m, user_group(0));
	const char *kind;
	char *memory = huge_memory(&kind);
	double small, large, all;

	uvfio_set_caps(m, 0, 1, 0);
	map(m, c, BASE + 4 * GIB, memory, GIB); /* the machine has the memory, as when there are many mappings of it */
	small = map_unmap_size(m, c, memory, PAGE);
	large = map_unmap_size(m, c, memory, 2ul << 20);
	all = map_unmap_size(m, c, memory, GIB);
	detail("%s memory: map and unmap of 4 KiB %.0f ns, 2 MiB %.0f ns, 1 GiB %.0f ns\n", kind, small, large, all);
	unmap(m, c, BASE + 4 * GIB, GIB);
	detail("%s memory, 1 GiB, not known to the machine: %.0f ns\n", kind, map_unmap_size(m, c, memory, GIB));
	row("map + unmap of 1 GiB of shared huge pages / of 4 KiB", "512 x (large pages)", all < 512 * small,
	    "%.0f / %.0f ns", all, small);
	uvfio_destroy(m);
	munmap(memory, GIB);
}

/* ---- many programs ---- */

/* A cache line apart, as programs are. */
struct program {
	struct mm mm; /* the same memory to all, but each its own to the machine */
	struct file *container;
	struct uvfio_machine *m;
	char *memory;
	uint64_t calls, seed;
	atomic_bool *go, *stop;
	pthread_t thread;
} __attribute__((aligned(64)));

static int program_area(struct mm *mm, uva_t at, struct mm_area *out)
{
	*out = (struct mm_area){ .last = UINT64_MAX, .readable = true, .writable = true };
	return 0;
}

static int program_read(struct mm *mm, void *dst, uva_t src, size_t n)
{
	memcpy(dst, (const void *)src, n);
	return 0;
}

static int program_write(struct mm *mm, uva_t dst, const void *src, size_t n)
{
	memcpy((void *)dst, src, n);
	return 0;
}

static uint64_t program_limit(struct mm *mm)
{
	return UINT64_MAX;
}

static const struct mm_ops program_mm = {
	.area = program_area, .read = program_read, .write = program_write, .memlock_limit = program_limit,
};

static void program_call(struct program *p, struct task *t, unsigned cmd, void *arg)
{
	if (file_ioctl(p->container, t, cmd, (uintptr_t)arg))
		die("MAP or UNMAP");
}

static void *program_run(void *arg)
{
	struct program *p = arg;
	struct capi_task t;

	capi_task_init(&t, p->m);
	t.task.mm = &p->mm;
	while (!*p->go)
		sched_yield();
	while (!*p->stop) {
		struct vfio_iommu_type1_dma_map m = {
			.argsz = sizeof(m), .flags = 3, .size = PAGE, .iova = BASE + any(&p->seed, 1024) * PAGE,
			.vaddr = (uintptr_t)p->memory + any(&p->seed, 16) * PAGE,
		};
		struct vfio_iommu_type1_dma_unmap u = { .argsz = sizeof(u), .iova = m.iova, .size = PAGE };

		program_call(p, &t.task, VFIO_IOMMU_MAP_DMA, &m);
		program_call(p, &t.task, VFIO_IOMMU_UNMAP_DMA, &u);
		p->calls += 2;
	}
	return NULL;
}

/* Calls a second of @n programs, together. */
static double run_programs(struct program *all, unsigned n)
{
	atomic_bool go = false, stop = false;
	double t;
	uint64_t calls = 0;

	for (unsigned i = 0; i < n; i++) {
		all[i].calls = 0;
		all[i].go = &go;
		all[i].stop = &stop;
		pthread_create(&all[i].thread, NULL, program_run, &all[i]);
	}
	t = bench_now();
	go = true;
	usleep(300000);
	stop = true;
	t = bench_now() - t;
	for (unsigned i = 0; i < n; i++) {
		pthread_join(all[i].thread, NULL);
		calls += all[i].calls;
	}
	return (double)calls / t * 1e9;
}

static void bench_programs(void)
{
	unsigned cores = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
	struct uvfio_machine *m = boot(many_groups(64));
	static struct program all[64];
	double one, each, many, goal;

	if (cores > 64)
		cores = 64;
	uvfio_set_caps(m, 0, 1, 0);
	for (unsigned i = 0; i < 64; i++) {
		all[i].m = m;
		all[i].container = capi_file_get(m, open_container(m, user_group(i)));
		all[i].mm.ops = &program_mm;
		ref_init(&all[i].mm.ref);
		all[i].seed = i;
		all[i].memory = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	}
	one = run_programs(all, 1);
	each = run_programs(all, cores);
	many = run_programs(all, 64);
	detail("calls a second: 1 program %.0f, %u programs %.0f, 64 programs %.0f\n", one, cores, each, many);
	goal = 0.8 * cores * one;
	row("64 programs mapping at once on separate containers / one", "0.8 x the cores", many > goal && each > goal,
	    "%.2f x on %u cores", many / one, cores);
	for (unsigned i = 0; i < 64; i++)
		file_put(all[i].container);
	uvfio_destroy(m);
}

int main(int argc, char **argv)
{
	verbose = argc > 1 && strcmp(argv[1], "-v") == 0;
	set_nofile();
	printf("| what | ours | goal | met |\n|---|---|---|---|\n");
	bench_start();
	bench_claim();
	bench_map();
	bench_huge();
	bench_programs();
	return 0;
}
