/* SPDX-License-Identifier: MIT */
/* Locked memory: what a mapping behind an IOMMU costs its program, and when it is given back. Spec: 10, 4.4. */
#include "abi.h"
#include "process.h"
#include <sys/resource.h>

#define PAGE 4096ull
#define RW   (VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)

static void *memory(unsigned pages)
{
	return test_memory(pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
}

/* From now on the program may lock that much, and has no capability to lock more. */
static void limit(unsigned pages)
{
	struct rlimit r;

	EXPECT_OK(getrlimit(RLIMIT_MEMLOCK, &r));
	r.rlim_cur = pages * PAGE;
	EXPECT_OK(setrlimit(RLIMIT_MEMLOCK, &r));
	EXPECT_EQ(0, test_caps(0));
}

TEST(limit, "10:LCK-01", "MAP beyond RLIMIT_MEMLOCK is ENOMEM and leaves nothing mapped")
{
	struct setup s = open_device(EDU);
	uint64_t n;

	limit(4);
	EXPECT_ERR(ENOMEM, map_dma(s.container, memory(5), 0x10000, 5 * PAGE, RW));
	EXPECT_OK(unmap_dma(s.container, 0x10000, 5 * PAGE, &n));
	EXPECT_EQ(0, n);
	EXPECT_OK(map_dma(s.container, memory(3), 0x10000, 3 * PAGE, RW));
	EXPECT_ERR(ENOMEM, map_dma(s.container, memory(2), 0x20000, 2 * PAGE, RW));
	EXPECT_OK(map_dma(s.container, memory(1), 0x20000, PAGE, VFIO_DMA_MAP_FLAG_READ));
	EXPECT_ERR(ENOMEM, map_dma(s.container, memory(1), 0x30000, PAGE, RW));
}

TEST(limit_is_told_late, "10:LCK-01", "an overlap, a reserved range and memory that is not there are told before the limit")
{
	struct setup s = open_device(EDU);

	EXPECT_OK(map_dma(s.container, memory(1), 0x10000, PAGE, RW));
	limit(0);
	EXPECT_ERR(EEXIST, map_dma(s.container, memory(1), 0x10000, PAGE, RW));
	EXPECT_ERR(EINVAL, map_dma(s.container, memory(1), 0xfee00000, PAGE, RW));
	EXPECT_ERR(EFAULT, map_dma(s.container, NULL, 0x20000, PAGE, RW));
	EXPECT_ERR(ENOMEM, map_dma(s.container, memory(1), 0x20000, PAGE, RW));
}

TEST(capability, "10:LCK-01", "whoever has CAP_IPC_LOCK at the time of MAP is not limited")
{
	struct setup s = open_device(EDU);

	limit(1);
	if (test_caps(CAPS_ALL))
		test_skip("needs CAP_IPC_LOCK");
	EXPECT_OK(map_dma(s.container, memory(4), 0x10000, 4 * PAGE, RW));
	EXPECT_EQ(0, test_caps(0));
	EXPECT_ERR(ENOMEM, map_dma(s.container, memory(1), 0x20000, PAGE, RW));
	EXPECT_OK(unmap_dma(s.container, 0x10000, 4 * PAGE, NULL));
	EXPECT_OK(map_dma(s.container, memory(1), 0x20000, PAGE, RW));
}

TEST(shown, "10:LCK-02", "VmLck of a program has a page for each mapping of it")
{
	struct setup s = open_device(EDU);
	char *p = memory(2);
	long was;

	need_status();
	was = status_pages(getpid(), "VmLck");
	EXPECT_OK(map_dma(s.container, p, 0x10000, 2 * PAGE, RW));
	EXPECT_OK(map_dma(s.container, p, 0x20000, PAGE, RW));
	EXPECT_EQ(was + 3, status_pages(getpid(), "VmLck"));
	EXPECT_EQ(0, status_pages(getpid(), "VmPin"));
	EXPECT_OK(unmap_dma(s.container, 0x10000, 2 * PAGE, NULL));
	EXPECT_EQ(was + 1, status_pages(getpid(), "VmLck"));
	EXPECT_OK(unmap_dma(s.container, 0x20000, PAGE, NULL));
	EXPECT_EQ(was, status_pages(getpid(), "VmLck"));
}

TEST(twice, "10:LCK-02", "a page is charged for each mapping, in one container or in two")
{
	struct setup s = open_device(EDU), o = open_device(IGB);
	char *p = memory(2);

	limit(5);
	EXPECT_OK(map_dma(s.container, p, 0x10000, 2 * PAGE, RW));
	EXPECT_OK(map_dma(s.container, p, 0x20000, 2 * PAGE, RW));
	EXPECT_ERR(ENOMEM, map_dma(s.container, p, 0x30000, 2 * PAGE, RW));
	EXPECT_ERR(ENOMEM, map_dma(o.container, p, 0x10000, 2 * PAGE, RW));
	EXPECT_OK(map_dma(o.container, p, 0x10000, PAGE, RW));
	EXPECT_ERR(ENOMEM, map_dma(o.container, p, 0x20000, PAGE, RW));
}

TEST(returned, "10:LCK-03", "UNMAP gives back what its mapping cost, and so does the end of the container")
{
	struct setup s = open_device(EDU);
	char *p = memory(4);

	limit(4);
	for (int i = 0; i < 20; i++) {
		EXPECT_OK(map_dma(s.container, p, 0x10000, 3 * PAGE, RW));
		EXPECT_OK(map_dma(s.container, p, 0x20000, PAGE, RW));
		EXPECT_ERR(ENOMEM, map_dma(s.container, p, 0x30000, PAGE, RW));
		EXPECT_OK(unmap_dma(s.container, 0x20000, PAGE, NULL));
		EXPECT_OK(map_dma(s.container, p, 0x30000, PAGE, RW));
		EXPECT_OK(unmap_dma(s.container, 0, 0x100000, NULL));
	}
	for (int i = 0; i < 3; i++) {
		EXPECT_OK(map_dma(s.container, p, 0x10000, 4 * PAGE, RW));
		EXPECT_OK(x_close(s.device));
		EXPECT_OK(x_close(s.group));
		EXPECT_OK(x_close(s.container));
		s = open_device(EDU);
	}
}

TEST(bar, "10:MAP-14", "a BAR mapped for DMA costs nothing")
{
	struct setup s = open_device(EDU);
	char *bar = x_mmap(NULL, 0x4000, PROT_READ | PROT_WRITE, MAP_SHARED, s.device, REGION(0));

	EXPECT(bar != MAP_FAILED);
	limit(0);
	EXPECT_ERR(ENOMEM, map_dma(s.container, memory(1), 0x10000, PAGE, RW));
	EXPECT_OK(map_dma(s.container, bar, 0x10000, 0x4000, RW));
	limit(1);
	EXPECT_OK(map_dma(s.container, bar, 0x20000, 0x4000, RW));
	EXPECT_OK(map_dma(s.container, memory(1), 0x30000, PAGE, RW));
	EXPECT_ERR(ENOMEM, map_dma(s.container, memory(1), 0x40000, PAGE, RW));
	EXPECT_OK(unmap_dma(s.container, 0x10000, 0x4000, NULL)); /* nor does it give anything back */
	EXPECT_ERR(ENOMEM, map_dma(s.container, memory(1), 0x40000, PAGE, RW));
}
