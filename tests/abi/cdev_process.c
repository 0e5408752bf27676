/* SPDX-License-Identifier: MIT */
/* Devices and address spaces over the death of those who use them, and over an unbind. */
#include "cdev.h"
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>

#define EDU_BUFFER 0x40000u

static void need_processes(void)
{
	if (test_door() == DOOR_CAPI)
		test_skip("an embedded machine has one process");
}

static void end_child(pid_t pid, int sig)
{
	int status;

	EXPECT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT(sig ? WIFSIGNALED(status) && WTERMSIG(status) == sig : WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* ---- whose memory it is ---- */

/* In a child: one page of shared memory, in @id at @iova. Never returns. */
static _Noreturn void child_maps(int ctx, uint32_t id, uint64_t iova)
{
	uint32_t *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		_exit(1);
	*p = 0x600d;
	_exit(ioas_map_at(ctx, id, p, PAGE, iova) != 0);
}

TEST(child_maps_pinned, "30:IFD-183 30:IFD-025", "what a child has mapped stays, pinned, when the child has ended")
{
	int d, ctx;
	uint32_t id, *p = NULL;
	volatile uint32_t *bar;
	pid_t pid;

	need_processes();
	d = cdev_take(EDU);
	ctx = iommu_open();
	id = ioas_alloc(ctx);
	EXPECT_OK(cdev_bind(d, ctx));
	EXPECT_OK(cdev_attach_to(d, id));
	pid = EXPECT_OK(fork());
	if (pid == 0)
		child_maps(ctx, id, 0x10000);
	end_child(pid, 0);
	p = ram(PAGE);
	EXPECT_OK(ioas_map_at(ctx, id, p, PAGE, 0x20000));
	bar = x_mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, d, REGION(0));
	EXPECT(bar != MAP_FAILED);
	config_write(d, 4, 2, config_read(d, 4, 2) | 6);
	edu_dma(bar, 0x10000, EDU_BUFFER, 4, 0);
	edu_dma(bar, EDU_BUFFER, 0x20000, 4, 1);
	EXPECT_EQ(0x600d, *(volatile uint32_t *)p);
}

TEST(child_maps_lazily, "30:IFD-183", "what was not pinned when the child ended cannot be pinned any more: EFAULT")
{
	int d, ctx;
	uint32_t id;
	pid_t pid;

	need_processes();
	d = cdev_take(EDU);
	ctx = iommu_open();
	id = ioas_alloc(ctx);
	pid = EXPECT_OK(fork());
	if (pid == 0)
		child_maps(ctx, id, 0x10000);
	end_child(pid, 0);
	EXPECT_OK(cdev_bind(d, ctx));
	EXPECT_ERR(EFAULT, cdev_attach_to(d, id));
	EXPECT_OK(ioas_unmap_n(ctx, id, 0x10000, PAGE));
	EXPECT_OK(cdev_attach_to(d, id));
}

/* ---- death ---- */

/* Has everything, says so, and waits to be killed. */
static _Noreturn void child_holds(int ready)
{
	int d = cdev_open(EDU), ctx = iommu_open();
	uint32_t id = ioas_alloc(ctx);
	void *p = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (cdev_bind(d, ctx) || ioas_map_at(ctx, id, p, 64 * PAGE, 0x10000) || cdev_attach_to(d, id) ||
	    x_mmap(NULL, PAGE, PROT_READ, MAP_SHARED, d, REGION(0)) == MAP_FAILED || write(ready, "", 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

TEST(killed, "30:IFD-190", "who is killed lets go of everything: the device, its group, what is pinned")
{
	int ready[2], d;
	pid_t pid;
	char c;

	need_processes();
	bind_vfio(EDU);
	for (unsigned i = 0; i < 5; i++) {
		EXPECT_OK(pipe(ready));
		pid = EXPECT_OK(fork());
		if (pid == 0)
			child_holds(ready[1]);
		close(ready[1]);
		EXPECT_EQ(1, read(ready[0], &c, 1));
		close(ready[0]);
		EXPECT_ERR(EBUSY, open_group(EDU));
		EXPECT_OK(kill(pid, SIGKILL));
		end_child(pid, SIGKILL);
		d = EXPECT_OK(cdev_open(EDU));
		EXPECT_OK(cdev_bind(d, iommu_open()));
		EXPECT_OK(x_close(d));
		EXPECT_OK(sys_write("/sys/bus/pci/drivers/vfio-pci/unbind", EDU));
		bind_vfio(EDU);
	}
}

/* ---- unbind ---- */

static atomic_bool unbound;

static void *unbind_run(void *arg)
{
	int file = x_open("/sys/bus/pci/drivers/vfio-pci/unbind", O_WRONLY);

	x_write(file, EDU, strlen(EDU));
	atomic_store(&unbound, true);
	x_close(file);
	return NULL;
}

TEST(unbind_waits, "10:LIF-03", "unbind waits for a device's own node to be closed, bound or not")
{
	struct timespec ms = { .tv_nsec = 1000000 };
	int d = cdev_take(EDU), other;
	char path[64];
	pthread_t thread;

	snprintf(path, sizeof(path), "/dev/vfio/devices/%s", cdev_name(EDU));
	atomic_store(&unbound, false);
	EXPECT_EQ(0, pthread_create(&thread, NULL, unbind_run, NULL));
	while ((other = x_open(path, O_RDWR)) >= 0) {
		x_close(other);
		nanosleep(&ms, NULL);
	}
	EXPECT_EQ(ENOENT, errno);
	nanosleep(&ms, NULL);
	EXPECT(!atomic_load(&unbound));
	EXPECT_OK(x_close(d));
	pthread_join(thread, NULL);
	EXPECT(!driver_of(EDU));
}
