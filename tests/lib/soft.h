/* SPDX-License-Identifier: MIT */
/* The registers of an emulated device (src/vfio/emulated), for the programs that test it. */
#ifndef UVFIO_TESTS_SOFT_H
#define UVFIO_TESTS_SOFT_H

#include "abi.h"

#define SOFT_SYSFS "/sys/devices/virtual/vfio-emulated/"

enum { IOVA = 8, COUNT = 16, PROT = 24, COMMAND = 32, RESULT = 40, PINNED = 48, NOTICES = 56, NOTICE_IOVA = 64,
       NOTICE_LENGTH = 72, DATA = 0x800 };
enum { PIN = 1, UNPIN, COPY_IN, COPY_OUT, LOAD, STORE };

/* No other Linux has them: skips the test there. */
static inline int soft_group(const char *name)
{
	char path[96], target[256];
	ssize_t n;

	snprintf(path, sizeof(path), SOFT_SYSFS "%s/iommu_group", name);
	n = x_readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		test_skip("this machine has no emulated devices");
	target[n] = 0;
	return atoi(strrchr(target, '/') + 1);
}

static inline uint64_t reg(int d, unsigned at)
{
	uint64_t v = 0;

	EXPECT_EQ(8, x_pread(d, &v, 8, at));
	return v;
}

static inline void set_reg(int d, unsigned at, uint64_t v)
{
	EXPECT_EQ(8, x_pwrite(d, &v, 8, at));
}

/* What the device's function returned. */
static inline int64_t command(int d, unsigned what, uint64_t iova, uint64_t count, uint64_t prot)
{
	set_reg(d, IOVA, iova);
	set_reg(d, COUNT, count);
	set_reg(d, PROT, prot);
	set_reg(d, COMMAND, what);
	return (int64_t)reg(d, RESULT);
}

#endif
