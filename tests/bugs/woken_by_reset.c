/* SPDX-License-Identifier: MIT */
/* A program has put its device into D3hot, and the administrator resets it by its file: it is in D0, memory answers. */
#include "face.h"
#include <signal.h>

#define PMCSR 4

static void load(void *p)
{
	(void)*(volatile uint32_t *)p;
}

TEST(by_file, "20:MEM-04", "a device that another's reset has put to D0 answers, read and mapped")
{
	int d = open_device(FACE).device;
	unsigned pm = cap(d, 1);
	void *bar = x_mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_SHARED, d, REGION(0));
	uint32_t v;

	EXPECT(pm && bar != MAP_FAILED);
	config_write(d, pm + PMCSR, 2, 3);
	EXPECT_ERR(EIO, x_pread(d, &v, 4, REGION(0)));
	EXPECT_EQ(SIGBUS, signal_of(load, bar));
	EXPECT_OK(sys_write("/sys/bus/pci/devices/" FACE "/reset", "1"));
	EXPECT_EQ(0, config_read(d, pm + PMCSR, 2) & 3);
	EXPECT_EQ(4, x_pread(d, &v, 4, REGION(0)));
	EXPECT_EQ(0, signal_of(load, bar));
}
