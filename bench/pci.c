/* SPDX-License-Identifier: MIT */
/*
 * Functions given to an embedded program, each figure beside its goal: | what | ours | goal | met |. With "-v" also the
 * figures behind the rows.
 *
 * A time is the median of 101 short rounds, of which few are disturbed on a busy machine; where there is a floor, its
 * rounds take turns with ours. A config read through uvfio run is in inside.c.
 */
#define BENCH_ROUNDS 101
#include "table.h"
#include "abi/vfio.h"
#include "front/capi/priv.h"
#include "machine/priv.h"
#include "pci/priv.h"
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define PAGE       4096ul
#define CONFIG     ((off_t)VFIO_PCI_CONFIG_REGION_INDEX << 40)
#define TRAPPED    0 /* BARs */
#define PLAIN      1
#define PLAIN_SIZE 0x4000ul
#define VECTORS    2048u
#define FIRED      128 /* messages of a round */
#define FUNCTIONS  64u

/* ---- the machine: one at a time ---- */

static struct uvfio_machine *m;
static int container, group;

#define ONE_TEXT(args)                                                       \
	"machine: pci\n"                                                     \
	"devices:\n"                                                         \
	"- kind: host-bridge\n"                                              \
	"  bus: 0000:00\n"                                                   \
	"  below:\n"                                                         \
	"  - {at: 01.0, model: pcitest, args: [" args "], bind: vfio-pci}\n"

static const char one_text[] = ONE_TEXT("express, flr, bar0=4K, 'bar1=16K,plain', msix=2048, intx=A");
static const char large_text[] = ONE_TEXT("express, flr, 'bar0=64G,64'");

/* A machine, and the group of the function @name in a container. */
static void begin(const char *text, const char *name)
{
	char err[1024], path[128], link[256];
	ssize_t n;

	m = uvfio_create_text(text, err, sizeof(err));
	if (!m)
		die("%s", err);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", name);
	n = uvfio_readlink(m, path, link, sizeof(link) - 1);
	link[n > 0 ? n : 0] = 0;
	snprintf(path, sizeof(path), "/dev/vfio/%s", n > 0 ? strrchr(link, '/') + 1 : "?");
	container = uvfio_open(m, "/dev/vfio/vfio", O_RDWR);
	group = uvfio_open(m, path, O_RDWR);
	if (uvfio_ioctl(m, group, VFIO_GROUP_SET_CONTAINER, &container) ||
	    uvfio_ioctl(m, container, VFIO_SET_IOMMU, (void *)VFIO_TYPE1v2_IOMMU))
		die("container");
}

static int device(const char *name)
{
	int d = uvfio_ioctl(m, group, VFIO_GROUP_GET_DEVICE_FD, (void *)name);

	if (d < 0)
		die("%s", name);
	return d;
}

static void command(int dev, uint16_t value)
{
	if (uvfio_pwrite(m, dev, &value, 2, CONFIG + 4) != 2)
		die("COMMAND");
}

static volatile char *map(int dev, unsigned bar, size_t size)
{
	void *p = uvfio_mmap(m, NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, dev, (off_t)bar << 40);

	if (p == MAP_FAILED)
		die("mmap");
	return p;
}

/* ---- config space ---- */

static void bench_config(void)
{
	uint32_t v;
	double ns;
	int dev;

	begin(one_text, "0000:00:01.0");
	dev = device("0000:00:01.0");
	ns = BENCH_NS(500, if (uvfio_pread(m, dev, &v, 4, CONFIG) != 4) die("pread"));
	row("config pread, embedded", "300 ns", ns < 300, "%.0f ns", ns);
	uvfio_destroy(m);
}

/* ---- disable and enable ---- */

static void touch(volatile char **at, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		for (size_t p = 0; p < PLAIN_SIZE; p += PAGE)
			at[i][p]++;
	}
}

static double toggle_ns(int dev, volatile char **at, unsigned n)
{
	double t = bench_now();

	command(dev, 0);
	command(dev, 2);
	t = bench_now() - t;
	touch(at, n);
	return t;
}

/* What it comes to on the host: a file that is cut, and written again. */
static double cut_ns(int fd, volatile char **at, unsigned n)
{
	static char contents[PLAIN_SIZE];
	double t = bench_now();

	if (ftruncate(fd, 0) || pwrite(fd, contents, PLAIN_SIZE, 0) != (ssize_t)PLAIN_SIZE)
		die("memfd");
	t = bench_now() - t;
	touch(at, n);
	return t;
}

/* @n mappings, all pages of which are in use, when the function is disabled and enabled again. */
static void toggle(unsigned n)
{
	volatile char **ours = calloc(n, sizeof(*ours)), **floors = calloc(n, sizeof(*floors));
	double o[BENCH_ROUNDS], f[BENCH_ROUNDS];
	int fd = memfd_create("pci", MFD_CLOEXEC), dev;
	char what[80];

	begin(one_text, "0000:00:01.0");
	dev = device("0000:00:01.0");
	if (fd < 0 || ftruncate(fd, PLAIN_SIZE))
		die("memfd");
	for (unsigned i = 0; i < n; i++) {
		ours[i] = map(dev, PLAIN, PLAIN_SIZE);
		floors[i] = mmap(NULL, PLAIN_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (floors[i] == MAP_FAILED)
			die("mmap");
	}
	touch(ours, n);
	touch(floors, n);
	for (int k = 0; k < BENCH_ROUNDS; k++) {
		o[k] = toggle_ns(dev, ours, n);
		f[k] = cut_ns(fd, floors, n);
	}
	snprintf(what, sizeof(what), "disable + enable, 16 KiB BAR, %u mapping%s / ftruncate + pwrite", n,
		 n > 1 ? "s" : "");
	row(what, "1.5 x", bench_median(o) < 1.5 * bench_median(f), "%.1f / %.1f us", bench_median(o) / 1e3,
	    bench_median(f) / 1e3);
	for (unsigned i = 0; i < n; i++)
		munmap((void *)floors[i], PLAIN_SIZE);
	close(fd);
	uvfio_destroy(m);
	free(ours);
	free(floors);
}

/* Without mappings it does not matter how large a BAR is. */
static void toggle_large(void)
{
	double ns;
	int dev;

	begin(large_text, "0000:00:01.0");
	dev = device("0000:00:01.0");
	ns = BENCH_NS(10, command(dev, 0); command(dev, 2));
	row("disable + enable, 64 GiB of registers", "10 us", ns < 10e3, "%.1f us", ns / 1e3);
	uvfio_destroy(m);
}

static void bench_toggle(void)
{
	toggle(1);
	toggle(100);
	toggle(1000);
	toggle_large();
}

/* ---- a BAR's registers ---- */

/* The lock of vfio/pci/ and its checks, against the function as it stands on its bus, which has its own (pci/bar.c). */
static void bench_gate(void)
{
	double with[BENCH_ROUNDS], without[BENCH_ROUNDS], pread[BENCH_ROUNDS], model[BENCH_ROUNDS], more;
	const uint64_t at = (uint64_t)TRAPPED << 40;
	struct pci_dev *function;
	struct pci_priv *p;
	struct capi_task ct;
	struct file *f;
	uint32_t v;
	int dev;

	begin(one_text, "0000:00:01.0");
	dev = device("0000:00:01.0");
	f = capi_file_get(m, dev);
	capi_task_init(&ct, m);
	function = pci_find(m->machine->pci, "0000:00:01.0");
	p = function->priv;
	for (int k = 0; k < BENCH_ROUNDS; k++) {
		with[k] = BENCH_ROUND_NS(1000, if (f->ops->mmio(f, &ct.task, at, &v, 4, false)) die("mmio"));
		without[k] = BENCH_ROUND_NS(1000, pci_bar_access(function, TRAPPED, 0, &v, 4, false));
		model[k] = BENCH_ROUND_NS(1000, p->model.read(p->state, TRAPPED, 0, &v, 4));
		pread[k] = BENCH_ROUND_NS(1000, if (uvfio_pread(m, dev, &v, 4, (off_t)at) != 4) die("pread"));
	}
	more = bench_median(with) - bench_median(without);
	row("BAR access with gating / without", "+20 ns", more < 20, "%.1f / %.1f ns", bench_median(with),
	    bench_median(without));
	detail("the same by pread: %.1f ns; the model alone: %.1f ns\n", bench_median(pread), bench_median(model));
	dev_put(&function->dev);
	file_put(f);
	uvfio_destroy(m);
}

/* ---- MSI-X ---- */

/* Vectors 0 to @n - 1 to eventfds of their own. */
static void vectors_enable(int dev, unsigned n, const int *fds)
{
	struct vfio_irq_set *s = calloc(1, sizeof(*s) + n * sizeof(*fds));

	*s = (struct vfio_irq_set){ .argsz = (uint32_t)(sizeof(*s) + n * sizeof(*fds)),
				    .flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
				    .index = VFIO_PCI_MSIX_IRQ_INDEX, .count = n };
	memcpy(s->data, fds, n * sizeof(*fds));
	if (uvfio_ioctl(m, dev, VFIO_DEVICE_SET_IRQS, s))
		die("%u vectors", n);
	free(s);
}

static void signal_fd(int fd)
{
	uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) != sizeof(one))
		die("eventfd");
}

/* All in turn: the median, and of the writes alone, to others than those that were just fired. */
static double fire_ns(int flags, unsigned n, double *floor)
{
	double o[BENCH_ROUNDS], f[BENCH_ROUNDS];
	struct pci_dev *function;
	int fd[VECTORS], dev;
	uint64_t count, all = 0;

	begin(one_text, "0000:00:01.0");
	dev = device("0000:00:01.0");
	for (unsigned i = 0; i < n; i++) {
		fd[i] = eventfd(0, EFD_CLOEXEC | flags);
		if (fd[i] < 0)
			die("eventfd");
	}
	vectors_enable(dev, n, fd);
	command(dev, 6);
	function = pci_find(m->machine->pci, "0000:00:01.0");
	for (int k = 0; k < BENCH_ROUNDS; k++) {
		o[k] = BENCH_ROUND_NS(FIRED, pci_msix_fire(function, (unsigned)(k * FIRED + i_) % n));
		f[k] = BENCH_ROUND_NS(FIRED, signal_fd(fd[(k * FIRED + i_ + n / 2) % n]));
	}
	for (unsigned i = 0; i < n; i++) {
		if (read(fd[i], &count, sizeof(count)) == sizeof(count))
			all += count;
		close(fd[i]);
	}
	if (all != 2 * BENCH_ROUNDS * FIRED)
		die("%lu messages", all);
	dev_put(&function->dev);
	uvfio_destroy(m);
	*floor = bench_median(f);
	return bench_median(o);
}

static void bench_msix(void)
{
	struct rlimit files;
	double floor, one_floor, many, one;

	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	one = fire_ns(EFD_NONBLOCK, 1, &one_floor);
	many = fire_ns(EFD_NONBLOCK, VECTORS, &floor);
	row("MSI-X fire to eventfd, 2,048 vectors / the write alone", "2 x", many < 2 * floor, "%.0f / %.0f ns", many,
	    floor);
	row("MSI-X fire to eventfd, 2,048 vectors / one", "flat", many - one < 0.2 * one + (floor - one_floor),
	    "%.0f / %.0f ns (writes alone: %.0f / %.0f)", many, one, floor, one_floor);
	many = fire_ns(0, VECTORS, &floor);
	detail("the first of these with blocking eventfds: %.0f / %.0f ns\n", many, floor);
}

/* ---- hot reset ---- */

/* Functions of one bus, all one program's. */
static const char *slot_text(const char *args)
{
	static char text[FUNCTIONS * 160 + 256];
	size_t n = (size_t)sprintf(text, "machine: pci\n"
					 "devices:\n"
					 "- kind: host-bridge\n"
					 "  bus: 0000:00\n"
					 "  below:\n"
					 "  - at: 01.0\n"
					 "    kind: pci-bridge\n"
					 "    bus: 01\n"
					 "    below:\n");

	for (unsigned i = 0; i < FUNCTIONS; i++)
		n += (size_t)sprintf(text + n, "    - {at: %02x.%u, model: pcitest, args: [%s], bind: vfio-pci}\n", i / 8,
				     i % 8, args);
	return text;
}

static void hot_reset(int dev)
{
	struct {
		struct vfio_pci_hot_reset h;
		int32_t group;
	} r = { { .argsz = sizeof(r), .count = 1 }, group };

	if (uvfio_ioctl(m, dev, VFIO_DEVICE_PCI_HOT_RESET, &r))
		die("hot reset");
}

/* @bar: to be mapped, and touched before each reset; else -1 */
static double hot_reset_ns(const char *args, int bar)
{
	volatile char *at[FUNCTIONS];
	double r[BENCH_ROUNDS];
	int dev[FUNCTIONS];
	char name[16];

	begin(slot_text(args), "0000:01:00.0");
	for (unsigned i = 0; i < FUNCTIONS; i++) {
		snprintf(name, sizeof(name), "0000:01:%02x.%u", i / 8, i % 8);
		dev[i] = device(name);
		command(dev[i], 6);
		if (bar >= 0)
			at[i] = map(dev[i], (unsigned)bar, PLAIN_SIZE);
	}
	for (int k = 0; k < BENCH_ROUNDS; k++) {
		double t;

		if (bar >= 0)
			touch(at, FUNCTIONS);
		t = bench_now();
		hot_reset(dev[0]);
		r[k] = bench_now() - t;
	}
	uvfio_destroy(m);
	return bench_median(r);
}

static void bench_reset(void)
{
	double ns = hot_reset_ns("flr, bar0=4K, msix=8, pm, intx=A", -1);
	double mapped = hot_reset_ns("flr, bar0=4K, 'bar1=16K,plain', msix=8, pm, intx=A", PLAIN);

	row("hot reset of 64 functions", "1 ms", ns < 1e6, "%.2f ms", ns / 1e6);
	row("the same, 16 KiB of memory mapped and written in each", "1 ms", mapped < 1e6, "%.2f ms", mapped / 1e6);
}

static const struct bench benches[] = {
	{ "config", bench_config }, { "toggle", bench_toggle }, { "gate", bench_gate }, { "msix", bench_msix },
	{ "reset", bench_reset },
};

int main(int argc, char **argv)
{
	return benches_run(benches, ARRAY_SIZE(benches), argc, argv);
}
