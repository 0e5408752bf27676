/* SPDX-License-Identifier: MIT */
/* What the race tests that "uvfio run" runs share: programs that know nothing of uvfio, of several processes. */
#ifndef UVFIO_TESTS_RACE_PROGRAM_H
#define UVFIO_TESTS_RACE_PROGRAM_H

#include "abi/vfio.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* In memory that all processes share: they end when it is set. */
static atomic_bool *program_over;

__attribute__((format(printf, 3, 4))) _Noreturn static inline void program_wrong(const char *file, int line,
										   const char *fmt, ...)
{
	va_list ap;

	printf("not ok %s - line %d: ", file, line);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	fflush(stdout);
	atomic_store(program_over, true);
	_exit(1);
}
#define MUST(c) ((c) ? (void)0 : program_wrong(__FILE_NAME__, __LINE__, "not so: %s (%s)", #c, strerrorname_np(errno)))

static inline unsigned draw(unsigned *seed, unsigned n)
{
	*seed = *seed * 1103515245u + 12345u;
	return (*seed >> 16) % n;
}

/* UVFIO_RACE_ROUNDS percent of @usual */
static inline unsigned program_rounds(unsigned usual)
{
	const char *percent = getenv("UVFIO_RACE_ROUNDS");

	return percent ? (unsigned)(usual * strtoull(percent, NULL, 0) / 100) + 1 : usual;
}

static inline pid_t spawn(void (*fn)(unsigned), unsigned n)
{
	pid_t pid = fork();

	MUST(pid >= 0);
	if (pid)
		return pid;
	fn(n);
	_exit(0);
}

/* The node of the group that a function is in */
static inline void program_group(const char *bdf, char path[64])
{
	char link[128], target[256];
	ssize_t n;

	snprintf(link, sizeof(link), "/sys/bus/pci/devices/%s/iommu_group", bdf);
	MUST((n = readlink(link, target, sizeof(target) - 1)) > 0);
	target[n] = 0;
	snprintf(path, 64, "/dev/vfio/%.8s", strrchr(target, '/') + 1);
}

#endif
