/* SPDX-License-Identifier: MIT */
/* Programs on files of plain memory. */
#include "super_prog.h"
#include "super_toy.h"
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static uint8_t *map_region(int region)
{
	uint8_t *m = mmap(NULL, TOY_PAGES * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, region, TOY_PLAIN);

	CHECK(m != MAP_FAILED);
	return m;
}

/* A file of memory alone; and nothing is kept of memory that is gone. */
void case_region(void)
{
	int fd = open_echo(), region = ioctl(fd, TOY_REGION), status;
	unsigned files;
	uint8_t *m, *n;

	CHECK(region >= 0);
	FAILS((long)mmap(NULL, 4096, PROT_READ, MAP_SHARED, region, 0), EINVAL);
	m = map_region(region);
	n = map_region(region);
	m[4096] = 41;
	CHECK(n[0] == 0 && n[4096] == 41);
	if (fork() == 0) {
		n[2 * 4096] = 42;
		m[0] = 40;
		_exit(0);
	}
	CHECK(wait(&status) > 0 && status == 0 && m[2 * 4096] == 42 && n[0] == 40);
	CHECK(munmap(m, TOY_PAGES * 4096) == 0 && munmap(n, TOY_PAGES * 4096) == 0);
	files = supervisor_fds();
	for (int i = 0; i < 100; i++) {
		CHECK(ioctl(fd, TOY_RENEW) == 0);
		m = map_region(region);
		CHECK(m[4096] == 0);
		m[4096] = 43;
		CHECK(munmap(m, TOY_PAGES * 4096) == 0);
	}
	CHECK(supervisor_fds() < files + 50);
}
