/* SPDX-License-Identifier: MIT */
#include "calls.h"

/* Registers of the soft device: 8 IOVA, 16 count, 24 direction, 32 command; pages for commands 1 and 2, else bytes */
void do_soft(void)
{
	int fd = pick(DEVICE);
	uint8_t b = byte();
	uint64_t v[4] = { iova(), (b & 7) > 2 ? b * 8u : b >> 4, 3, b & 7 };

	for (unsigned i = 0; i < ARRAY_SIZE(v); i++)
		uvfio_pwrite(m, fd, &v[i], 8, 8 + 8 * i);
}
