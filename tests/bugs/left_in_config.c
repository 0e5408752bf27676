/* SPDX-License-Identifier: MIT */
/* What a program writes to config space is not found by the next one, whichever register it is. */
#include "face.h"

#define VENDOR_CAP 9
#define MSI_CAP    5

TEST(registers, "20:DEV-20", "registers that a program could write are what they were when the next one opens the device")
{
	int32_t fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	struct setup s = open_device(FACE);
	unsigned at = cap(s.device, VENDOR_CAP) + 3;
	uint32_t was = config_read(s.device, at, 1);

	config_write(s.device, at, 1, ~was & 0xff);
	EXPECT_EQ(~was & 0xff, config_read(s.device, at, 1));
	EXPECT_OK(hook(s.device, VFIO_PCI_MSI_IRQ_INDEX, 0, 1, &fd));
	EXPECT_OK(x_close(s.device));
	EXPECT_OK(x_close(s.group));
	EXPECT_OK(x_close(s.container));
	s = open_device(FACE);
	EXPECT_EQ(was, config_read(s.device, at, 1));
	EXPECT_EQ(0, config_read(s.device, cap(s.device, MSI_CAP) + 4, 4));
	close(fd);
}
