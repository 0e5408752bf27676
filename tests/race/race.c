/* SPDX-License-Identifier: MIT */
#include "race.h"
#include <stdarg.h>
#include <sys/eventfd.h>

struct uvfio_machine *race_m;
static atomic_uint actors_left;

void race_begin(void)
{
	char err[1024];

	race_m = uvfio_create(getenv("UVFIO_MACHINE"), err, sizeof(err));
	if (!race_m)
		race_wrong(__FILE__, __LINE__, "%s", err);
}

void race_end(void)
{
	MUST(mem_pinned_pages(race_m->machine->mem) == 0);
	uvfio_destroy(race_m);
	race_m = NULL;
}

unsigned race_rounds(unsigned usual)
{
	const char *percent = getenv("UVFIO_RACE_ROUNDS");

	return percent ? (unsigned)(usual * strtoull(percent, NULL, 0) / 100) + 1 : usual;
}

unsigned race_draw(unsigned *seed, unsigned n)
{
	*seed = *seed * 1103515245u + 12345u;
	return (*seed >> 16) % n;
}

void race_pause(unsigned *seed, unsigned us)
{
	if (us)
		usleep(race_draw(seed, us));
}

bool race_over(void)
{
	return atomic_load(&actors_left) == 0;
}

static void actor_main(void *arg)
{
	const struct race_actor *a = arg;

	a->fn(a->arg);
	if (!a->helper)
		atomic_fetch_sub(&actors_left, 1);
}

void race_run_all(const char *name, const char *sentence, const struct race_actor *a, unsigned n)
{
	struct thread t[16];

	MUST(n <= ARRAY_SIZE(t));
	for (unsigned i = 0; i < n; i++)
		atomic_fetch_add(&actors_left, !a[i].helper);
	for (unsigned i = 0; i < n; i++)
		MUST(thread_start(&t[i], "race", actor_main, (void *)&a[i]) == 0);
	for (unsigned i = 0; i < n; i++)
		thread_join(&t[i]);
	printf("ok %s - %s\n", name, sentence);
	fflush(stdout);
}

_Noreturn void race_wrong(const char *file, int line, const char *fmt, ...)
{
	va_list ap;
	char text[512];

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	printf("not ok race - %s:%d: %s\n", file, line, text);
	fflush(stdout);
	abort();
}

/* ---- calls ---- */

long race_ioctl(int fd, unsigned long cmd, void *arg)
{
	int rc = uvfio_ioctl(race_m, fd, cmd, arg);

	return rc < 0 ? -errno : rc;
}

int race_open(const char *path)
{
	int fd = uvfio_open(race_m, path, O_RDWR);

	return fd < 0 ? -errno : fd;
}

int race_open_group(const char *bdf)
{
	char path[128], target[256];
	ssize_t n;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", bdf);
	n = uvfio_readlink(race_m, path, target, sizeof(target) - 1);
	if (n < 0)
		return -ENOENT;
	target[n] = 0;
	snprintf(path, sizeof(path), "/dev/vfio/%.8s", strrchr(target, '/') + 1);
	return race_open(path);
}

bool race_may_(const char *file, int line, long rc, const int *errnos)
{
	if (rc >= 0)
		return true;
	for (; *errnos; errnos++) {
		if (rc == -*errnos)
			return false;
	}
	race_wrong(file, line, "%s, which no order of calls explains", strerrorname_np((int)-rc));
}

static long file_all(const char *path, int oflags, char *buf, size_t n)
{
	int fd = uvfio_open(race_m, path, oflags);
	long rc;

	if (fd < 0)
		return -errno;
	rc = oflags == O_WRONLY ? uvfio_write(race_m, fd, buf, n) : uvfio_read(race_m, fd, buf, n);
	if (rc < 0)
		rc = -errno;
	uvfio_close(race_m, fd);
	return rc;
}

long race_write(const char *text, const char *fmt, ...)
{
	char path[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	return file_all(path, O_WRONLY, (char *)text, strlen(text));
}

long race_read(char *buf, size_t size, const char *fmt, ...)
{
	char path[256];
	va_list ap;
	long n;

	va_start(ap, fmt);
	vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	n = file_all(path, O_RDONLY, buf, size - 1);
	if (n >= 0)
		buf[n] = 0;
	return n;
}

bool race_driver(const char *bdf, char buf[64])
{
	char path[128], target[256];
	ssize_t n;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver", bdf);
	n = uvfio_readlink(race_m, path, target, sizeof(target) - 1);
	if (n < 0)
		return false;
	target[n] = 0;
	snprintf(buf, 64, "%.63s", strrchr(target, '/') + 1);
	return true;
}

struct iommu_group *race_group(const char *bdf)
{
	struct pci_dev *d = pci_find(race_m->machine->pci, bdf);
	struct iommu_group *g;

	MUST(d);
	g = iommu_dev_group(d->iommu);
	dev_put(&d->dev);
	MUST(g);
	return g;
}

/* ---- eventfds ---- */

int race_efd_create(void)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	MUST(fd >= 0);
	return fd;
}

void race_efd_signal(int fd)
{
	const uint64_t one = 1;

	MUST(write(fd, &one, sizeof(one)) == sizeof(one));
}

bool race_efd_take(int fd)
{
	uint64_t n;

	return read(fd, &n, sizeof(n)) == sizeof(n);
}

/* ---- devices ---- */

void race_device_open(const char *bdf, struct race_device *d)
{
	char path[64];

	if (race_write(bdf, "/sys/bus/pci/drivers/vfio-pci/bind") < 0) {
		race_write("vfio-pci", "/sys/bus/pci/devices/%s/driver_override", bdf);
		race_may(race_write(bdf, "/sys/bus/pci/drivers/vfio-pci/bind"), EBUSY);
	}
	snprintf(path, sizeof(path), "/dev/vfio/%u", iommu_group_id(race_group(bdf)));
	MUST((d->group = race_open(path)) >= 0);
	MUST((d->container = race_open("/dev/vfio/vfio")) >= 0);
	MUST(race_ioctl(d->group, VFIO_GROUP_SET_CONTAINER, &d->container) == 0);
	MUST(race_ioctl_u(d->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) == 0);
	MUST((d->device = (int)race_ioctl(d->group, VFIO_GROUP_GET_DEVICE_FD, (void *)bdf)) >= 0);
}

void race_device_close(struct race_device *d)
{
	uvfio_close(race_m, d->device);
	uvfio_close(race_m, d->group);
	uvfio_close(race_m, d->container);
}

uint64_t race_region(int device, unsigned index, uint64_t *size)
{
	struct vfio_region_info r = { .argsz = sizeof(r), .index = index };

	MUST(race_ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &r) == 0);
	if (size)
		*size = r.size;
	return r.offset;
}

#define CONFIG ((uint64_t)VFIO_PCI_CONFIG_REGION_INDEX << 40)

long race_config_write(int device, unsigned offset, unsigned width, uint32_t value)
{
	ssize_t n = uvfio_pwrite(race_m, device, &value, width, (off_t)(CONFIG + offset));

	return n < 0 ? -errno : n;
}

uint32_t race_config_read(int device, unsigned offset, unsigned width)
{
	uint32_t value = 0;

	MUST(uvfio_pread(race_m, device, &value, width, (off_t)(CONFIG + offset)) == (ssize_t)width);
	return value;
}

long race_map(int container, void *mem, uint64_t iova, uint64_t size)
{
	struct vfio_iommu_type1_dma_map a = {
		.argsz = sizeof(a), .flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE, .vaddr = (uintptr_t)mem,
		.iova = iova, .size = size,
	};

	return race_ioctl(container, VFIO_IOMMU_MAP_DMA, &a);
}

long race_unmap(int container, uint64_t iova, uint64_t size)
{
	struct vfio_iommu_type1_dma_unmap a = { .argsz = sizeof(a), .iova = iova, .size = size };

	return race_ioctl(container, VFIO_IOMMU_UNMAP_DMA, &a);
}
