/* SPDX-License-Identifier: MIT */
/*
 * Private memory that is mapped for DMA is the pages it was then, whatever becomes of the addresses. In uvfio that has
 * to be asked for, "--pins true" and uvfio_true_pins(), and needs io_uring.
 */
#include "cdev.h"
#include "process.h"
#include <linux/io_uring.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>

#define BUFFER  0x40000u /* the edu's */
#define AT      0x10000u
#define PRIVATE MAP_PRIVATE | MAP_ANONYMOUS

static int fd, dev;
static uint32_t ioas;
static volatile char *bar;
static char *window; /* shared memory at WINDOW, to look at what the device has */
#define WINDOW 0x100000u

static void need_true_pins(void)
{
	struct io_uring_params p = { 0 };
	long ring;

	if (test_door() == DOOR_HOST)
		return;
	ring = syscall(SYS_io_uring_setup, 2, &p);
	if (ring < 0)
		test_skip("this host denies io_uring");
	close((int)ring);
}

static void use_bar(void)
{
	bar = x_mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, dev, REGION(0));
	EXPECT(bar != MAP_FAILED);
	config_write(dev, 4, 2, config_read(dev, 4, 2) | 6);
}

static void begin(void)
{
	need_true_pins();
	dev = cdev_take(EDU);
	fd = iommu_open();
	EXPECT_OK(cdev_bind(dev, fd));
	ioas = ioas_alloc(fd);
	EXPECT_OK(cdev_attach_to(dev, ioas));
	window = test_memory(PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS);
	EXPECT_OK(ioas_map_at(fd, ioas, window, PAGE, WINDOW));
	use_bar();
}

/* What the device finds at @iova, up to 15 bytes and a 0 */
static const char *device_reads(uint64_t iova)
{
	memset(window, 0, 16);
	edu_dma(bar, iova, BUFFER, 16, 0);
	edu_dma(bar, BUFFER, WINDOW, 16, 1);
	return window;
}

static void device_writes(uint64_t iova, const char *text)
{
	strcpy(window, text);
	edu_dma(bar, WINDOW, BUFFER, strlen(text) + 1, 0);
	edu_dma(bar, BUFFER, iova, strlen(text) + 1, 1);
}

#define READS(text, iova) EXPECT(strcmp(text, device_reads(iova)) == 0)

static void map_anew(char *p, size_t n)
{
	EXPECT_OK(munmap(p, n));
	EXPECT(mmap(p, n, PROT_READ | PROT_WRITE, PRIVATE | MAP_FIXED, -1, 0) == p);
}

/* ---- with a thread that maps a device for the first time in this process: so this comes first ---- */

static atomic_int stop, wrong, rounds;

static void *maps_blocked(void *arg)
{
	uint64_t iova = AT + ((uintptr_t)arg & 0xf000);
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	for (; !stop; rounds++) {
		uint64_t at = iova, length = PAGE;

		if (ioas_map(fd, ioas, arg, PAGE, RW | FIXED, &at) || ioas_unmap(fd, ioas, at, &length))
			wrong++;
	}
	return NULL;
}

static int child_maps_device(void)
{
	char *p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, PRIVATE, -1, 0);
	volatile uint32_t *regs;
	pthread_t t[2];
	int before;

	for (int i = 0; i < 2; i++)
		pthread_create(&t[i], NULL, maps_blocked, p + i * PAGE);
	while (rounds < 3)
		sched_yield();
	regs = x_mmap(NULL, PAGE, PROT_READ, MAP_SHARED, dev, REGION(0));
	if (regs == MAP_FAILED || (regs[0] & 0xff) != 0xed)
		return 2;
	for (before = rounds; rounds < before + 3;)
		sched_yield();
	stop = 1;
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	return wrong != 0;
}

TEST(first_mapping, "30:IFD-061", "memory and a device are mapped at once, by threads that block all signals")
{
	need_true_pins();
	need_processes();
	dev = cdev_take(EDU);
	fd = iommu_open();
	EXPECT_OK(cdev_bind(dev, fd));
	ioas = ioas_alloc(fd);
	EXPECT_OK(cdev_attach_to(dev, ioas));
	config_write(dev, 4, 2, config_read(dev, 4, 2) | 6);
	for (unsigned i = 0; i < 10; i++)
		EXPECT_EQ(0, in_child(child_maps_device));
}

/* ---- what is pinned ---- */

TEST(new_memory, "30:IFD-061", "a device reaches the page that was mapped, not what comes to its address")
{
	char *p = ram(2 * PAGE);

	begin();
	strcpy(p, "old");
	strcpy(p + PAGE, "old too");
	EXPECT_OK(ioas_map_at(fd, ioas, p, 2 * PAGE, AT));
	READS("old", AT);
	device_writes(AT, "device");
	EXPECT(strcmp(p, "device") == 0);
	map_anew(p, PAGE);
	strcpy(p, "new");
	READS("device", AT);
	device_writes(AT, "again");
	EXPECT(strcmp(p, "new") == 0);
	READS("again", AT);
	READS("old too", AT + PAGE);
	device_writes(AT + PAGE, "kept");
	EXPECT(strcmp(p + PAGE, "kept") == 0);
}

TEST(no_memory, "30:IFD-061", "also when nothing comes there")
{
	char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, PRIVATE, -1, 0);

	begin();
	strcpy(p, "old");
	EXPECT_OK(ioas_map_at(fd, ioas, p, PAGE, AT));
	EXPECT_OK(munmap(p, PAGE));
	READS("old", AT);
	device_writes(AT, "mine");
	READS("mine", AT);
}

TEST(dropped, "30:IFD-061", "and when the program drops the page")
{
	char *p = ram(PAGE);

	begin();
	strcpy(p, "old");
	EXPECT_OK(ioas_map_at(fd, ioas, p, PAGE, AT));
	EXPECT_OK(madvise(p, PAGE, MADV_DONTNEED));
	EXPECT_EQ(0, p[0]);
	device_writes(AT + 8, "device");
	EXPECT_EQ(0, p[8]);
	READS("old", AT);
}

TEST(moved, "30:IFD-061", "memory that is moved is the same memory")
{
	char *p = ram(PAGE), *to = ram(PAGE);

	begin();
	strcpy(p, "old");
	EXPECT_OK(ioas_map_at(fd, ioas, p, PAGE, AT));
	EXPECT(mremap(p, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
	device_writes(AT, "device");
	EXPECT(strcmp(to, "device") == 0);
	EXPECT(mmap(p, PAGE, PROT_READ | PROT_WRITE, PRIVATE | MAP_FIXED, -1, 0) == p);
}

TEST(protected, "30:IFD-060 30:IFD-061", "what is mapped for reading is only read, and protection given later does not matter")
{
	char *p = ram(2 * PAGE);
	uint64_t iova = AT;

	begin();
	strcpy(p, "one");
	EXPECT_OK(ioas_map(fd, ioas, p, PAGE, READ | FIXED, &iova));
	device_writes(AT, "two");
	EXPECT(strcmp(p, "one") == 0);
	READS("one", AT);
	strcpy(p + PAGE, "one");
	EXPECT_OK(ioas_map_at(fd, ioas, p + PAGE, PAGE, AT + PAGE));
	EXPECT_OK(mprotect(p + PAGE, PAGE, PROT_READ));
	device_writes(AT + PAGE, "two");
	EXPECT(strcmp(p + PAGE, "two") == 0);
	EXPECT_OK(mprotect(p + PAGE, PAGE, PROT_NONE));
	READS("two", AT + PAGE);
}

TEST(not_writable, "30:IFD-061", "a mapping for writing needs memory that may be written, and memory at all")
{
	char *p = ram(2 * PAGE);

	begin();
	EXPECT_OK(mprotect(p, PAGE, PROT_READ));
	EXPECT_ERR(EFAULT, ioas_map_at(fd, ioas, p, PAGE, AT));
	EXPECT_OK(munmap(p, PAGE));
	EXPECT_ERR(EFAULT, ioas_map_at(fd, ioas, p, 2 * PAGE, AT));
	EXPECT_OK(ioas_map_at(fd, ioas, p + PAGE, PAGE, AT));
}

TEST(type1, "10:MAP-11", "the same in a container of type1, for large mappings")
{
	const size_t n = 4 << 20;
	struct setup s;
	char *p = ram(n);

	need_true_pins();
	bind_vfio(EDU);
	s = open_device(EDU);
	dev = s.device;
	use_bar();
	window = test_memory(PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS);
	EXPECT_OK(map_dma(s.container, window, WINDOW, PAGE, 3));
	for (size_t i = 0; i < n; i += PAGE)
		snprintf(p + i, 16, "page %llu", i / PAGE);
	EXPECT_OK(map_dma(s.container, p, 0x1000000, n, 3));
	map_anew(p, n);
	memset(p, 'n', n);
	for (size_t i = 0; i < n; i += n / 4 + PAGE) {
		char text[16];

		snprintf(text, sizeof(text), "page %llu", i / PAGE);
		READS(text, 0x1000000 + i);
	}
	device_writes(0x1000000 + n - 16, "last");
	READS("last", 0x1000000 + n - 16);
	EXPECT_EQ('n', p[n - 16]);
}

TEST(later, "30:IFD-061 30:IFD-134", "memory mapped without a device is what it is when one comes")
{
	char *p = ram(PAGE);
	uint32_t pt, other;

	begin();
	other = pt = ioas_alloc(fd);
	strcpy(p, "first");
	EXPECT_OK(ioas_map_at(fd, other, p, PAGE, AT));
	EXPECT_OK(ioas_map_at(fd, other, window, PAGE, WINDOW));
	map_anew(p, PAGE);
	strcpy(p, "second");
	EXPECT_OK(cdev_attach(dev, &pt)); /* its answer is written when the pages are pinned */
	EXPECT(pt != other);
	map_anew(p, PAGE);
	READS("second", AT);
	EXPECT_OK(cdev_detach(dev));
	EXPECT_EQ(0, p[0]);
}

TEST(descriptor_later, "30:IFD-061 30:IFD-106", "a call that pins memory gives a descriptor as well")
{
	uint32_t id;
	char *p = ram(PAGE);
	int group;

	need_true_pins();
	bind_vfio(EDU);
	fd = iommu_open();
	id = ioas_alloc(fd);
	EXPECT_OK(compat(fd, IOMMU_VFIO_IOAS_SET, &id));
	group = EXPECT_OK(open_group(EDU));
	EXPECT_OK(set_container(group, fd));
	EXPECT_OK(set_iommu(fd, VFIO_TYPE1v2_IOMMU));
	window = test_memory(PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS);
	EXPECT_OK(ioas_map_at(fd, id, window, PAGE, WINDOW));
	strcpy(p, "old");
	EXPECT_OK(ioas_map_at(fd, id, p, PAGE, AT));
	dev = EXPECT_OK(x_ioctl(group, VFIO_GROUP_GET_DEVICE_FD, (void *)EDU));
	map_anew(p, PAGE);
	use_bar();
	READS("old", AT);
	EXPECT_OK(x_close(dev));
}

/* ---- what else the program does meanwhile ---- */

static atomic_int ticks;

static void tick(int sig)
{
	ticks++;
}

TEST(signals, "30:IFD-061", "signals do not disturb a mapping, and a mapping does not lose them")
{
	struct itimerval every = { { 0, 300 }, { 0, 300 } }, none = { 0 };
	struct sigaction sa = { .sa_handler = tick, .sa_flags = SA_RESTART }, old;
	char *p = ram(PAGE);
	int before;

	begin();
	EXPECT_OK(sigaction(SIGALRM, &sa, &old));
	EXPECT_OK(setitimer(ITIMER_REAL, &every, NULL));
	before = ticks;
	for (unsigned i = 0; i < 100 || ticks < before + 20; i++) {
		p[0] = (char)('a' + i % 26);
		EXPECT_OK(ioas_map_at(fd, ioas, p, PAGE, AT));
		EXPECT_OK(ioas_unmap_n(fd, ioas, AT, PAGE));
	}
	EXPECT_OK(ioas_map_at(fd, ioas, p, PAGE, AT));
	EXPECT_OK(setitimer(ITIMER_REAL, &none, NULL));
	EXPECT_OK(sigaction(SIGALRM, &old, NULL));
	p[1] = 0;
	map_anew(p, PAGE);
	EXPECT(device_reads(AT)[0] >= 'a');
}

/* Descriptors of its own come and go, and it maps as well. */
static void *other_thread(void *arg)
{
	char *p = arg;
	uint64_t iova = AT + 0x10000 + ((uintptr_t)p & 0xf000);

	while (!stop) {
		int n = open("/dev/null", O_RDONLY);
		uint64_t length = PAGE, at = iova;

		if (n < 0 || close(n) != 0)
			wrong++;
		if (ioas_map(fd, ioas, p, PAGE, RW | FIXED, &at) || ioas_unmap(fd, ioas, at, &length) || length != PAGE)
			wrong++;
	}
	return NULL;
}

TEST(threads, "30:IFD-061", "threads that map at once each get what is theirs")
{
	char *p = ram(4 * PAGE), *mine = ram(PAGE);
	pthread_t t[3];

	begin();
	stop = wrong = 0;
	for (int i = 0; i < 3; i++)
		EXPECT_EQ(0, pthread_create(&t[i], NULL, other_thread, p + i * PAGE));
	for (unsigned i = 0; i < 30; i++) {
		snprintf(mine, 16, "round %u", i);
		EXPECT_OK(ioas_map_at(fd, ioas, mine, PAGE, AT));
		map_anew(mine, PAGE);
		if (strncmp(device_reads(AT), "round ", 6) != 0 || atoi(window + 6) != (int)i)
			wrong++;
		EXPECT_OK(ioas_unmap_n(fd, ioas, AT, PAGE));
	}
	stop = 1;
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	EXPECT_EQ(0, wrong);
}

static void *die_soon(void *arg)
{
	usleep(20000);
	raise(SIGKILL);
	return arg;
}

/* Killed in the middle of whatever it is at. */
static int child_is_killed(void)
{
	char *p = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, PRIVATE, -1, 0);
	pthread_t t;

	pthread_create(&t, NULL, die_soon, NULL);
	for (;;) {
		uint64_t iova = AT, length = 64 * PAGE;

		if (ioas_map(fd, ioas, p, 64 * PAGE, RW | FIXED, &iova) || ioas_unmap(fd, ioas, iova, &length))
			return 1;
	}
}

TEST(killed, "30:IFD-183", "a process that is killed while it maps leaves a machine that works")
{
	char *p = ram(PAGE);

	need_processes();
	begin();
	for (unsigned i = 0; i < 5; i++) {
		uint64_t length = 64 * PAGE;
		int status;
		pid_t pid = EXPECT_OK(fork());

		if (pid == 0)
			_exit(child_is_killed());
		EXPECT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		ioas_unmap(fd, ioas, AT, &length); /* if it had been mapped just then */
	}
	strcpy(p, "alive");
	EXPECT_OK(ioas_map_at(fd, ioas, p, PAGE, AT));
	map_anew(p, PAGE);
	READS("alive", AT);
}

static int child_execs(void)
{
	char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, PRIVATE, -1, 0);

	strcpy(p, "before");
	if (ioas_map_at(fd, ioas, p, PAGE, AT))
		return 1;
	execl("/bin/true", "true", NULL);
	return 0; /* an oracle has no programs */
}

TEST(exec, "30:IFD-183", "what a process mapped stays when it runs another program")
{
	need_processes();
	begin();
	EXPECT_EQ(0, in_child(child_execs));
	READS("before", AT);
}

/* ---- processes ---- */

static char *mem;

static int child_maps(void)
{
	strcpy(mem, "child's");
	if (ioas_map_at(fd, ioas, mem, PAGE, AT))
		return 1;
	map_anew(mem, PAGE);
	strcpy(mem, "newer");
	return 0;
}

TEST(child_gone, "30:IFD-183 30:IFD-025", "what a child has mapped stays the device's when the child has ended")
{
	need_processes();
	mem = ram(PAGE);
	begin();
	strcpy(mem, "parent's");
	EXPECT_EQ(0, in_child(child_maps));
	READS("child's", AT);
	device_writes(AT, "device");
	READS("device", AT);
	EXPECT(strcmp(mem, "parent's") == 0);
	EXPECT_OK(ioas_unmap_n(fd, ioas, AT, PAGE));
}

static int child_writes(void)
{
	strcpy(mem, "child's");
	return strcmp(mem, "child's");
}

TEST(forked, "30:IFD-061", "what is mapped stays its process's when that forks, whoever writes")
{
	need_processes();
	mem = ram(PAGE);
	begin();
	strcpy(mem, "parent's");
	EXPECT_OK(ioas_map_at(fd, ioas, mem, PAGE, AT));
	EXPECT_EQ(0, in_child(child_writes));
	READS("parent's", AT);
	strcpy(mem, "again");
	READS("again", AT);
	device_writes(AT, "device");
	EXPECT(strcmp(mem, "device") == 0);
}

TEST(descriptors, "30:IFD-061", "mapping leaves no descriptor behind")
{
	char *p = ram(PAGE);
	int before, after;

	need_processes();
	begin();
	before = EXPECT_OK(open("/proc/self/fd", O_RDONLY | O_DIRECTORY));
	EXPECT_OK(close(before));
	for (unsigned i = 0; i < 20; i++) {
		EXPECT_OK(ioas_map_at(fd, ioas, p, PAGE, AT));
		EXPECT_OK(ioas_unmap_n(fd, ioas, AT, PAGE));
	}
	for (int n = 0; n < 20000; n++) {
		char path[32], link[64] = "";

		snprintf(path, sizeof(path), "/proc/self/fd/%d", n);
		EXPECT(readlink(path, link, sizeof(link) - 1) < 0 || !strstr(link, "io_uring"));
	}
	after = EXPECT_OK(open("/proc/self/fd", O_RDONLY | O_DIRECTORY));
	EXPECT_EQ(before, after);
	close(after);
}
