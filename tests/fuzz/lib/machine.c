/* SPDX-License-Identifier: MIT */
/* The machine of a fuzzer, and what there must be when a program has ended: no context, no pinned or charged page, no
 * claimed group, no descriptor. */
#include "fuzz.h"
#include "iommufd/priv.h"
#include "machine/priv.h"
#include "touch.h"
#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define LIMIT     (16 * PAGE)
#define CALLS_MAX 200

struct uvfio_machine *m;
struct fuzz_device devices[DEVICES_MAX];
unsigned ndevices, npci;
int memfd;
bool trace;

/* ---- before ---- */

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

void fuzz_device_add(const char *name)
{
	struct fuzz_device *d = &devices[ndevices++];
	char dir[128], address[16];

	d->name = name;
	snprintf(address, sizeof(address), "%.*s", (int)strcspn(name, " "), name);
	d->pci = pci_find(m->machine->pci, address);
	if (d->pci)
		snprintf(dir, sizeof(dir), "/sys/bus/pci/devices/%s", address);
	else
		snprintf(dir, sizeof(dir), "/sys/devices/virtual/vfio-emulated/%s", name);
	group_of(d->group, sizeof(d->group), dir);
	strcat(dir, "/vfio-dev");
	node_of(d->node, sizeof(d->node), dir);
	npci += d->pci != NULL;
}

static void memory_begin(void)
{
	struct rlimit r = { LIMIT, LIMIT };
	int fd;

	memfd = memfd_create("arena", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert(ftruncate(memfd, HUGE) == 0);
	assert(dup2(memfd, HOST_FILE) == HOST_FILE);
	fd = memfd_create("short", MFD_CLOEXEC);
	assert(ftruncate(fd, 3 * PAGE + 5) == 0);
	assert(dup2(fd, HOST_SHORT) == HOST_SHORT);
	arena_begin();
	assert(mmap(ARENA + HUGE, HUGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED_NOREPLACE, memfd,
		0) == ARENA + HUGE);
	setrlimit(RLIMIT_MEMLOCK, &r);
}

void fuzz_boot(const char *file, const char *const *names)
{
	char err[1024];

	trace = getenv("UVFIO_FUZZ_TRACE") != NULL;
	touch_boot();
	m = uvfio_create(getenv("UVFIO_MACHINE") ? getenv("UVFIO_MACHINE") : file, err, sizeof(err));
	if (!m) {
		fputs(err, stderr);
		abort();
	}
	while (*names)
		fuzz_device_add(*names++);
	memory_begin();
}

void fuzz_put(const char *path, const char *text)
{
	int fd = uvfio_open(m, path, O_WRONLY);

	assert(fd >= 0 && uvfio_write(m, fd, text, strlen(text)) == (ssize_t)strlen(text));
	uvfio_close(m, fd);
}

/* ---- a program ---- */

void fuzz_run(void (*const *calls)(void), unsigned n)
{
	for (unsigned i = 0; in < in_end && i < CALLS_MAX; i++)
		calls[byte() % n]();
}

/* ---- after ---- */

/* The lowest free number is what it was after the first program, but for libFuzzer's symbolizer. */
void fuzz_no_descriptor_left(void)
{
	static int first = -1;
	int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
	struct stat st;

	close(fd);
	while (first >= 0 && first < fd && fstat(first, &st) == 0 && S_ISFIFO(st.st_mode))
		first++;
	if (first < 0)
		first = fd;
	assert(fd <= first);
}

static void no_group_claimed(void)
{
	for (unsigned i = 0; i < npci; i++) {
		struct iommu_group *g = iommu_dev_group(devices[i].pci->iommu);
		unsigned count = 0;
		void *owner = NULL;

		if (!g)
			continue;
		iommu_group_owner(g, &count, &owner);
		assert(count == 0 && !owner);
	}
}

void fuzz_end(void)
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
	fuzz_no_descriptor_left();
	assert(atomic_load(&m->machine->iommufd->contexts) == 0);
	assert(mem_pinned_pages(m->machine->mem) == 0);
	assert(atomic_load(&m->mm->mm.locked_pages) == 0);
	no_group_claimed();
}

/* tests/lib/door_capi.c */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "intercept_tls_get_addr=0";
}
