/* SPDX-License-Identifier: MIT */
/*
 * The runner of ABI tests, and what every such test needs. Output is one line a test:
 *
 *	ok 10:GRP-03 - group_status_argsz: GET_STATUS with an argsz of 7 is refused
 *	not ok 10:GRP-03 - group_status_argsz: FILE:LINE: what
 *	skip 10:GRP-03 - group_status_argsz: why
 *
 * which tools/run-abi and tools/spec-coverage read.
 */
#include "abi.h"
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <time.h>

static struct test *tests, **tail = &tests;
static sigjmp_buf fail_jmp;
static char message[512];
static enum { PASS, FAIL, SKIP } outcome;

static struct { void *p; size_t n; } memory[64];
static unsigned nmemory;

const char *test_machine(void)
{
	const char *name = getenv("UVFIO_TEST_MACHINE");

	return name ? name : "oracle";
}

void test_register(struct test *t)
{
	*tail = t;
	tail = &t->next;
}

_Noreturn void test_fail(const char *file, int line, const char *fmt, ...)
{
	va_list ap;
	int n = snprintf(message, sizeof(message), "%s:%d: ", file, line);

	va_start(ap, fmt);
	vsnprintf(message + n, sizeof(message) - (size_t)n, fmt, ap);
	va_end(ap);
	outcome = FAIL;
	siglongjmp(fail_jmp, 1);
}

_Noreturn void test_skip(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	outcome = SKIP;
	siglongjmp(fail_jmp, 1);
}

void door_begin(void); /* before and after each test: a fresh machine, or close what is left open */
void door_end(void);

static int run_one(struct test *t)
{
	outcome = PASS;
	if (sigsetjmp(fail_jmp, 1) == 0) {
		door_begin();
		t->fn();
	}
	while (nmemory > 0) {
		nmemory--;
		munmap(memory[nmemory].p, memory[nmemory].n);
	}
	door_end();
	printf("%s %s - %s: %s\n", outcome == PASS ? "ok" : outcome == FAIL ? "not ok" : "skip", t->rows, t->name,
	       outcome == PASS ? t->sentence : message);
	fflush(stdout);
	return outcome == FAIL;
}

int main(int argc, char **argv)
{
	int failed = 0;

	for (struct test *t = tests; t; t = t->next) {
		bool wanted = argc < 2;

		for (int i = 1; i < argc; i++)
			wanted |= strcmp(argv[i], t->name) == 0 || strstr(t->rows, argv[i]) != NULL;
		if (wanted)
			failed |= run_one(t);
	}
	return failed;
}

ssize_t sys_write(const char *path, const char *text)
{
	int fd = x_open(path, O_WRONLY), e;
	ssize_t n;

	if (fd < 0)
		return -1;
	n = x_write(fd, text, strlen(text));
	e = errno;
	x_close(fd);
	errno = e;
	return n;
}

const char *sys_read(const char *path)
{
	static char buf[4097];
	int fd = x_open(path, O_RDONLY);
	ssize_t n;

	if (fd < 0)
		return NULL;
	n = x_read(fd, buf, sizeof(buf) - 1);
	x_close(fd);
	if (n < 0)
		return NULL;
	buf[n] = 0;
	if (n > 0 && buf[n - 1] == '\n')
		buf[n - 1] = 0;
	return buf;
}

const char *driver_of(const char *bdf)
{
	static char target[256];
	char path[128];
	ssize_t n;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver", bdf);
	n = x_readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return NULL;
	target[n] = 0;
	return strrchr(target, '/') + 1;
}

void unbind(const char *bdf)
{
	char path[128];

	if (!driver_of(bdf))
		return;
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver/unbind", bdf);
	EXPECT_OK(sys_write(path, bdf));
}

void bind_vfio(const char *bdf)
{
	const char *now = driver_of(bdf), *vfio = now ? strstr(now, "vfio-pci") : NULL;
	char path[128];

	if (vfio && !vfio[strlen("vfio-pci")])
		return;
	unbind(bdf);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver_override", bdf);
	EXPECT_OK(sys_write(path, "vfio-pci"));
	EXPECT_OK(sys_write("/sys/bus/pci/drivers_probe", bdf));
	EXPECT(bound_to(bdf, "vfio-pci"));
}

void bind_host(const char *bdf)
{
	char path[128];

	unbind(bdf);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver_override", bdf);
	EXPECT_OK(sys_write(path, "\n"));
	EXPECT_OK(sys_write("/sys/bus/pci/drivers_probe", bdf));
}

bool bound_to(const char *bdf, const char *driver)
{
	return driver_of(bdf) && strcmp(driver_of(bdf), driver) == 0;
}

int group_of(const char *bdf)
{
	char path[128], target[256];
	ssize_t n;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", bdf);
	n = x_readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return -1;
	target[n] = 0;
	return atoi(strrchr(target, '/') + 1);
}

bool function_exists(const char *bdf)
{
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s", bdf);
	return x_stat(path, &st) == 0;
}

void remove_function(const char *bdf)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/remove", bdf);
	EXPECT_OK(sys_write(path, "1"));
	EXPECT(!function_exists(bdf));
}

void rescan(void)
{
	EXPECT_OK(sys_write("/sys/bus/pci/rescan", "1"));
}

int open_group(const char *bdf)
{
	char path[64];

	bind_vfio(bdf);
	snprintf(path, sizeof(path), "/dev/vfio/%d", group_of(bdf));
	return x_open(path, O_RDWR);
}

uint32_t group_flags(int group)
{
	struct vfio_group_status st = { .argsz = sizeof(st) };

	EXPECT_OK(x_ioctl(group, VFIO_GROUP_GET_STATUS, &st));
	return st.flags;
}

int open_container(void)
{
	return EXPECT_OK(x_open("/dev/vfio/vfio", O_RDWR));
}

int set_container(int group, int container)
{
	return x_ioctl(group, VFIO_GROUP_SET_CONTAINER, &container);
}

int set_iommu(int container, unsigned long type)
{
	return x_ioctl(container, VFIO_SET_IOMMU, (void *)type);
}

struct setup open_device(const char *bdf)
{
	struct setup s;

	s.group = EXPECT_OK(open_group(bdf));
	s.container = open_container();
	EXPECT_OK(set_container(s.group, s.container));
	EXPECT_OK(set_iommu(s.container, VFIO_TYPE1v2_IOMMU));
	s.device = EXPECT_OK(x_ioctl(s.group, VFIO_GROUP_GET_DEVICE_FD, (void *)(uintptr_t)bdf));
	return s;
}

uint64_t region_size(int device, unsigned index)
{
	struct vfio_region_info r = { .argsz = sizeof(r), .index = index };

	EXPECT_OK(x_ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &r));
	return r.size;
}

uint32_t config_read(int device, unsigned off, unsigned width)
{
	uint32_t v = 0;

	EXPECT_EQ(width, x_pread(device, &v, width, REGION(7) + off));
	return v;
}

void config_write(int device, unsigned off, unsigned width, uint32_t v)
{
	EXPECT_EQ(width, x_pwrite(device, &v, width, REGION(7) + off));
}

void *test_memory(size_t n, int prot, int flags)
{
	/* Far from where the kernel places mappings, so that what a test unmaps again stays a hole. */
	static uintptr_t next = 0x100000000000;
	void *p = mmap((void *)next, n, prot, flags | MAP_ANONYMOUS, -1, 0);

	EXPECT(p != MAP_FAILED);
	next += (n + 0xfffff) & ~0xffffful;
	EXPECT(nmemory < sizeof(memory) / sizeof(memory[0]));
	memory[nmemory].p = p;
	memory[nmemory++].n = n;
	return p;
}

int map_dma(int container, const void *va, uint64_t iova, uint64_t size, uint32_t flags)
{
	struct vfio_iommu_type1_dma_map m = {
		.argsz = sizeof(m), .flags = flags, .vaddr = (uintptr_t)va, .iova = iova, .size = size,
	};

	return x_ioctl(container, VFIO_IOMMU_MAP_DMA, &m);
}

int unmap_dma(int container, uint64_t iova, uint64_t size, uint64_t *unmapped)
{
	struct vfio_iommu_type1_dma_unmap u = { .argsz = sizeof(u), .iova = iova, .size = size };
	int rc = x_ioctl(container, VFIO_IOMMU_UNMAP_DMA, &u);

	if (unmapped)
		*unmapped = u.size;
	return rc;
}

/* The edu is slow on purpose (QEMU waits 100 ms): poll the start bit, give up only when nothing can be meant to come. */
void edu_dma(volatile void *bar, uint64_t src, uint64_t dst, uint64_t count, unsigned direction)
{
	volatile uint64_t *r = (volatile uint64_t *)((volatile char *)bar + 0x80);
	struct timespec ms = { .tv_nsec = 1000000 };

	r[0] = src;
	r[1] = dst;
	r[2] = count;
	r[3] = 1 | (uint64_t)direction << 1;
	for (int i = 0; i < 60000 && (r[3] & 1); i++)
		nanosleep(&ms, NULL);
	EXPECT(!(r[3] & 1));
}

/*
 * The handlers are there from the start, before any machine is embedded in this process, so that an embedded
 * machine passes on to them what is not its own.
 */
static sigjmp_buf sig_jmp;
static volatile sig_atomic_t sig_armed;

static void sig_catch(int sig)
{
	if (sig_armed)
		siglongjmp(sig_jmp, sig);
	signal(sig, SIG_DFL);
	raise(sig);
}

__attribute__((constructor)) static void sig_init(void)
{
	struct sigaction sa = { .sa_handler = sig_catch };

	sigaction(SIGBUS, &sa, NULL);
	sigaction(SIGSEGV, &sa, NULL);
}

int signal_of(void (*fn)(void *), void *arg)
{
	int sig = sigsetjmp(sig_jmp, 1);

	sig_armed = 1;
	if (sig == 0)
		fn(arg);
	sig_armed = 0;
	return sig;
}
