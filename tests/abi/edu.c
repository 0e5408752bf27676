/* SPDX-License-Identifier: MIT */
/* The educational device as a whole: registers, DMA both ways through the IOMMU, faults that move nothing. */
#include "abi.h"
#include <signal.h>
#include <sys/wait.h>

#define RW (VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)

static volatile uint32_t *map_edu(struct setup *s)
{
	volatile uint32_t *bar;

	*s = open_device(EDU);
	bar = x_mmap(NULL, 0x100000, PROT_READ | PROT_WRITE, MAP_SHARED, s->device, REGION(0));
	EXPECT((void *)bar != MAP_FAILED);
	config_write(s->device, 4, 2, config_read(s->device, 4, 2) | 4);
	return bar;
}

TEST(registers, "20:MAP-04", "identity, liveness and factorial by the mapping, the same by pread")
{
	struct setup s;
	volatile uint32_t *bar = map_edu(&s);
	uint32_t v;

	EXPECT_EQ(0x010000ed, bar[0]);
	bar[1] = 0xcafe;
	EXPECT_EQ(~0xcafeu, bar[1]);
	EXPECT_EQ(4, x_pread(s.device, &v, 4, REGION(0) + 4));
	EXPECT_EQ(~0xcafeu, v);
	bar[2] = 10;
	while (bar[8] & 1)
		usleep(100);
	EXPECT_EQ(3628800, bar[2]);
}

static void both_ways(int flags)
{
	struct setup s;
	volatile uint32_t *bar = map_edu(&s);
	unsigned char *ram = test_memory(8192, PROT_READ | PROT_WRITE, flags);

	for (int i = 0; i < 4096; i++)
		ram[i] = (unsigned char)(i * 7 + (i >> 8));
	EXPECT_OK(map_dma(s.container, ram, 0x200000, 8192, RW));
	edu_dma(bar, 0x200000, 0x40000, 4096, 0);
	edu_dma(bar, 0x40000, 0x201000, 4096, 1);
	EXPECT(memcmp(ram, ram + 4096, 4096) == 0);
}

TEST(dma_shared, "10:OWN-09", "DMA moves a page each way, shared memory")
{
	both_ways(MAP_SHARED);
}

TEST(dma_private, "10:OWN-09", "DMA moves a page each way, private memory")
{
	both_ways(MAP_PRIVATE);
}

TEST(dma_after_unmap, "10:UNM-02", "what is unmapped is out of the device's reach")
{
	struct setup s;
	volatile uint32_t *bar = map_edu(&s);
	uint32_t *ram = test_memory(4096, PROT_READ | PROT_WRITE, MAP_SHARED);

	EXPECT_OK(map_dma(s.container, ram, 0x200000, 4096, RW));
	ram[0] = 0x11111111;
	edu_dma(bar, 0x200000, 0x40000, 4, 0);
	EXPECT_OK(unmap_dma(s.container, 0x200000, 4096, NULL));
	ram[0] = 0x22222222;
	edu_dma(bar, 0x40000, 0x200000, 4, 1);
	EXPECT_EQ(0x22222222, ((volatile uint32_t *)ram)[0]);
}

TEST(dma_read_only, "10:MAP-10", "a mapping for reading is not written")
{
	struct setup s;
	volatile uint32_t *bar = map_edu(&s);
	uint32_t *ram = test_memory(4096, PROT_READ | PROT_WRITE, MAP_SHARED);

	EXPECT_OK(map_dma(s.container, ram, 0x200000, 4096, VFIO_DMA_MAP_FLAG_READ));
	ram[0] = 0x33333333;
	edu_dma(bar, 0x200000, 0x40000, 4, 0);
	edu_dma(bar, 0x40000, 0x200100, 4, 1);
	EXPECT_EQ(0, ((volatile uint32_t *)ram)[64]);
	EXPECT_EQ(0x33333333, ((volatile uint32_t *)ram)[0]);
}

TEST(two_mappings, "20:MAP-07", "a BAR maps over a reservation with MAP_FIXED, as drivers do")
{
	struct setup s;
	char *hole = mmap(NULL, 0x100000, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	volatile uint32_t *bar;

	EXPECT(hole != MAP_FAILED);
	s = open_device(EDU);
	bar = x_mmap(hole, 0x100000, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, s.device, REGION(0));
	EXPECT((void *)bar == hole);
	EXPECT_EQ(0x010000ed, bar[0]);
}

TEST(two_processes, "20:MAP-08 20:MEM-10", "a forked child reaches the same device, and is gated with it")
{
	struct setup s;
	volatile uint32_t *bar;
	int status;
	pid_t pid;

	if (test_door() == DOOR_CAPI)
		test_skip("an embedded machine lives in one process");
	bar = map_edu(&s);
	bar[1] = 1;
	pid = fork();
	if (pid == 0)
		_exit(bar[1] == ~1u && (bar[1] = 2, bar[1]) == ~2u && config_read(s.device, 0, 2) == 0x1234 ? 0 : 1);
	EXPECT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(~2u, bar[1]);
	config_write(s.device, 4, 2, config_read(s.device, 4, 2) & ~2u);
	pid = fork();
	if (pid == 0)
		_exit((int)bar[0] & 0);
	EXPECT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
}
