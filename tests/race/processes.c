/* SPDX-License-Identifier: MIT */
/*
 * The same races between processes that know nothing of each other nor of the machine: run by "uvfio run". Users claim
 * the group, map memory, have the device write to it and let go in any order, or die with everything open, by
 * themselves or killed in the middle of a call; an administrator binds, another unplugs.
 *
 * - While a user has the device open no host driver is bound to a member: not by any "driver" link.
 * - A page that was unmapped, though the device had been told to write to it the moment before, keeps its poison.
 * - Who has died has let go: in the end the group can be claimed.
 *
 * usage: race-processes        UVFIO_RACE_ROUNDS in percent, as of the other races
 */
#include "program.h"
#include <signal.h>

#define USERS  3
#define IOVA   0x100000ull
#define PAGE   4096
#define POISON 0xdead0000dead0000ull
#define EDU    "0000:00:02.3"

static const char *const bdfs[] = { "0000:00:02.0", "0000:00:02.1", "0000:00:02.2", EDU };
static char group_path[64];

/* All processes share it. */
static struct shared {
	atomic_bool over;
	atomic_int holder; /* who has the device open, or had when he died */
	atomic_uint claims, devices, dma, binds, plugs, killed;
} *s;

static long put(const char *text, const char *fmt, ...)
{
	char path[256];
	va_list ap;
	long n;
	int fd;

	va_start(ap, fmt);
	vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	fd = open(path, O_WRONLY);
	if (fd < 0)
		return -errno;
	n = write(fd, text, strlen(text));
	if (n < 0)
		n = -errno;
	close(fd);
	return n;
}

static bool driver_of(const char *bdf, char name[64])
{
	char path[128], target[256];
	ssize_t n;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver", bdf);
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return false;
	target[n] = 0;
	snprintf(name, 64, "%.63s", strrchr(target, '/') + 1);
	return true;
}

/* "nic" stands for a kernel driver; nothing matches it here, so it binds by driver_override only. */
static bool kernel_bound(void)
{
	char name[64];

	for (unsigned i = 0; i < 4; i++) {
		if (driver_of(bdfs[i], name) && strcmp(name, "nic") == 0)
			return true;
	}
	return false;
}

/* ---- users ---- */

/* Files are closed a moment before a dying process can be seen to be dead. */
static bool dies(pid_t pid)
{
	char path[64], text[512] = "";
	int fd, n;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	for (unsigned i = 0; i < 60000; i++) {
		fd = open(path, O_RDONLY);
		if (fd < 0)
			return true;
		n = (int)read(fd, text, sizeof(text) - 1);
		close(fd);
		if (n <= 0)
			return true;
		text[n] = 0;
		if (strchr("ZX", strrchr(text, ')')[2]))
			return true;
		usleep(1000);
	}
	return false;
}

/* The device was opened: then nobody else has it, unless he is dead. */
static void window_begin(void)
{
	pid_t before = atomic_exchange(&s->holder, getpid());

	MUST(before == 0 || dies(before));
}

/* Before the close. */
static void window_end(void)
{
	pid_t me = getpid();

	MUST(atomic_compare_exchange_strong(&s->holder, &me, 0));
}

struct user {
	unsigned seed;
	int container, group, device;
	volatile uint64_t *page;
};

static void page_is(struct user *u, uint64_t word)
{
	for (unsigned i = 0; i < PAGE / 8; i++)
		MUST(u->page[i] == word);
}

static void page_fill(struct user *u, uint64_t word)
{
	for (unsigned i = 0; i < PAGE / 8; i++)
		u->page[i] = word;
}

static void edu_write(struct user *u, unsigned at, uint64_t value)
{
	ssize_t n = pwrite(u->device, &value, 8, at);

	MUST(n == 8 || errno == EIO);
}

/* The device writes its buffer, zeros, to the page; nobody waits for it. */
static void dma_start(struct user *u)
{
	uint16_t command = 6;

	MUST(pwrite(u->device, &command, 2, ((off_t)VFIO_PCI_CONFIG_REGION_INDEX << 40) + 4) == 2);
	edu_write(u, 0x80, 0x40000);
	edu_write(u, 0x88, IOVA);
	edu_write(u, 0x90, PAGE);
	edu_write(u, 0x98, 1 | 2);
	atomic_fetch_add(&s->dma, 1);
}

static void use(struct user *u)
{
	struct vfio_iommu_type1_dma_map map = { .argsz = sizeof(map), .flags = 3, .iova = IOVA, .size = PAGE };
	struct vfio_iommu_type1_dma_unmap unmap = { .argsz = sizeof(unmap), .iova = IOVA, .size = PAGE };

	map.vaddr = (uintptr_t)u->page;
	for (unsigned i = draw(&u->seed, 4); i < 4; i++) {
		page_fill(u, ~0ull);
		MUST(ioctl(u->container, VFIO_IOMMU_MAP_DMA, &map) == 0);
		dma_start(u);
		if (draw(&u->seed, 8) == 0)
			return; /* closing takes it away */
		MUST(ioctl(u->container, VFIO_IOMMU_UNMAP_DMA, &unmap) == 0);
		page_fill(u, POISON);
		MUST(!kernel_bound());
		page_is(u, POISON);
	}
}

static void session(struct user *u)
{
	u->group = open(group_path, O_RDWR);
	if (u->group < 0) {
		MUST(errno == ENOENT || errno == ENODEV || errno == EBUSY);
		return;
	}
	u->container = open("/dev/vfio/vfio", O_RDWR);
	MUST(u->container >= 0);
	if (ioctl(u->group, VFIO_GROUP_SET_CONTAINER, &u->container) ||
	    ioctl(u->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		goto out;
	atomic_fetch_add(&s->claims, 1);
	u->device = ioctl(u->group, VFIO_GROUP_GET_DEVICE_FD, EDU);
	if (u->device < 0) {
		MUST(errno == ENODEV || errno == EINVAL || errno == EAGAIN);
		goto out;
	}
	window_begin();
	atomic_fetch_add(&s->devices, 1);
	MUST(!kernel_bound());
	use(u);
	if (draw(&u->seed, 16) == 0)
		_exit(0); /* with all of it open */
	window_end();
	close(u->device);
out:
	close(u->group);
	close(u->container);
	page_fill(u, POISON);
}

static void user_main(unsigned seed)
{
	struct user u = { .seed = seed };

	u.page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | (seed & 1 ? MAP_SHARED : MAP_PRIVATE), -1, 0);
	MUST(u.page != MAP_FAILED);
	while (!atomic_load(&s->over)) {
		page_fill(&u, POISON);
		session(&u);
		page_is(&u, POISON);
	}
}

/* ---- administrators ---- */

static void binder_main(unsigned seed)
{
	static const char *const names[] = { "nic", "vfio-pci", "vfio-pci", "pci-stub" };
	char bound[64];

	while (!atomic_load(&s->over)) {
		const char *bdf = bdfs[draw(&seed, 4)], *name = names[draw(&seed, 4)];

		if (strcmp(bdf, EDU) == 0 && draw(&seed, 4))
			name = "vfio-pci";
		if (driver_of(bdf, bound) && strcmp(bound, name))
			put(bdf, "/sys/bus/pci/drivers/%s/unbind", bound);
		put(name, "/sys/bus/pci/devices/%s/driver_override", bdf);
		if (put(bdf, "/sys/bus/pci/drivers/%s/bind", name) > 0)
			atomic_fetch_add(&s->binds, 1);
	}
}

static void plugger_main(unsigned seed)
{
	while (!atomic_load(&s->over)) {
		if (put("1", "/sys/bus/pci/devices/%s/remove", bdfs[draw(&seed, 4)]) > 0)
			atomic_fetch_add(&s->plugs, 1);
		MUST(put("1", "/sys/bus/pci/rescan") == 1);
		usleep(2000); /* a removed function has no driver: let somebody use it */
	}
}

/* ---- the parent ---- */

/* By himself or by us; one who has seen something wrong has said so. */
static void reaped(int status)
{
	MUST((WIFEXITED(status) && WEXITSTATUS(status) == 0) || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
}

static void users_run(unsigned rounds)
{
	unsigned seed = 1;
	pid_t user[USERS];
	int status;

	for (unsigned i = 0; i < USERS; i++)
		user[i] = spawn(user_main, seed++);
	for (unsigned n = 0; n < rounds; n++) {
		unsigned i = draw(&seed, USERS);

		usleep(3000);
		if (draw(&seed, 2) && kill(user[i], SIGKILL) == 0)
			atomic_fetch_add(&s->killed, 1);
		for (i = 0; i < USERS; i++) {
			if (waitpid(user[i], &status, WNOHANG) != user[i])
				continue;
			reaped(status);
			user[i] = spawn(user_main, 100 + n * USERS + i);
		}
	}
	atomic_store(&s->over, true);
	for (unsigned i = 0; i < USERS; i++) {
		MUST(waitpid(user[i], &status, 0) == user[i]);
		reaped(status);
	}
}

/* Nobody has it any more, whoever has died with it. */
static void claim_at_last(void)
{
	int container, group;
	char name[64];

	MUST(put("1", "/sys/bus/pci/rescan") == 1);
	for (unsigned i = 0; i < 4; i++) {
		if (driver_of(bdfs[i], name))
			MUST(put(bdfs[i], "/sys/bus/pci/drivers/%s/unbind", name) > 0);
	}
	MUST(put("vfio-pci", "/sys/bus/pci/devices/%s/driver_override", EDU) > 0);
	MUST(put(EDU, "/sys/bus/pci/drivers/vfio-pci/bind") > 0);
	MUST((group = open(group_path, O_RDWR)) >= 0);
	MUST((container = open("/dev/vfio/vfio", O_RDWR)) >= 0);
	MUST(ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) == 0);
	MUST(ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) == 0);
	MUST(ioctl(group, VFIO_GROUP_GET_DEVICE_FD, EDU) >= 0);
}

int main(void)
{
	pid_t admin[3];
	int status;

	s = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_SHARED, -1, 0);
	program_over = &s->over;
	MUST(s != MAP_FAILED);
	program_group(EDU, group_path);
	admin[0] = spawn(binder_main, 51);
	admin[1] = spawn(binder_main, 52);
	admin[2] = spawn(plugger_main, 53);
	users_run(program_rounds(1200));
	for (unsigned i = 0; i < 3; i++) {
		MUST(waitpid(admin[i], &status, 0) == admin[i]);
		MUST(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	}
	claim_at_last();
	printf("ok race-processes - programs are killed, others bind and unplug: one owner, nothing left of the dead\n");
	printf("# %u claims, %u device files, %u transfers, %u binds, %u removals, %u killed\n", s->claims, s->devices,
	       s->dma, s->binds, s->plugs, s->killed);
	return 0;
}
