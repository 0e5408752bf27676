/* SPDX-License-Identifier: MIT */
/*
 * A function that forgets in D3hot gets its registers back when it leaves it, as they were when it went there. But
 * whether it sends messages is what the host says now, which may have changed meanwhile.
 */
#include "face.h"

#define PLAIN     "0000:00:03.0" /* of tests/machines/pcitest.yaml: forgets, MSI */
#define PMCSR     4
#define FIRE      0x10
#define MSI_CAP   5
#define MSI_FLAGS 2

static int d;
static unsigned pm, msi;

static void begin(void)
{
	d = open_device(PLAIN).device;
	pm = cap(d, 1);
	msi = cap(d, MSI_CAP);
	EXPECT(pm && msi);
}

static void power(unsigned state)
{
	config_write(d, pm + PMCSR, 2, state);
}

/* As the hardware has it */
static bool on(void)
{
	uint8_t flags = 0;
	int fd = EXPECT_OK(x_open("/sys/bus/pci/devices/" PLAIN "/config", O_RDONLY));

	EXPECT_EQ(1, x_pread(fd, &flags, 1, msi + MSI_FLAGS));
	x_close(fd);
	return flags & 1;
}

TEST(off, "20:CFG-24", "MSI that was turned off in D3hot is off in D0")
{
	int32_t fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	begin();
	EXPECT_OK(hook(d, VFIO_PCI_MSI_IRQ_INDEX, 0, 1, &fd));
	EXPECT(on());
	power(3);
	EXPECT_OK(disable(d, VFIO_PCI_MSI_IRQ_INDEX));
	power(0);
	EXPECT(!on());
	close(fd);
}

TEST(made, "20:CFG-24", "MSI that was turned on in D3hot works in D0")
{
	int32_t fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	begin();
	power(3);
	EXPECT_OK(hook(d, VFIO_PCI_MSI_IRQ_INDEX, 0, 1, &fd));
	power(0);
	EXPECT(on());
	config_write(d, COMMAND, 2, MEM | MASTER);
	put(d, 0, FIRE, 0);
	EXPECT_EQ(1, wait_count(fd));
	close(fd);
}
