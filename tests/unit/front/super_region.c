/* SPDX-License-Identifier: MIT */
/* Programs on files of plain memory, which the machine asks who has them mapped. */
#include "super_prog.h"
#include "super_toy.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Which pages of a region are mapped by anybody: bit 0, 1, ... */
static int mapped(int region)
{
	int set = 0;

	for (unsigned i = 0; i < TOY_PAGES; i++) {
		int rc = ioctl(region, TOY_MAPPED, TOY_PLAIN + i * 4096);

		CHECK(rc >= 0);
		set |= rc << i;
	}
	return set;
}

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

/* A child that holds what it has inherited makes no call until @go is closed, and then is a program without it. */
static pid_t holder(int go[2], int execed)
{
	char number[16], byte;
	pid_t pid = fork();

	if (pid)
		return pid;
	close(go[1]);
	CHECK(read(go[0], &byte, 1) == 0);
	snprintf(number, sizeof(number), "%d", execed);
	execl("/proc/self/exe", "super-prog", "sit", number, NULL);
	_exit(9);
}

static void mapped_elsewhere(int region)
{
	int go[2], execed[2], life[2], status;
	uint8_t *m = map_region(region);
	pid_t pid;
	char byte;

	m[4096] = 1;
	CHECK(pipe(go) == 0 && pipe2(execed, O_CLOEXEC) == 0 && pipe2(life, O_CLOEXEC) == 0);
	CHECK(fcntl(life[0], F_SETFD, 0) == 0); /* it ends with us */
	pid = holder(go, life[0]);
	CHECK(pid > 0 && munmap(m, TOY_PAGES * 4096) == 0 && mapped(region) == 7);
	CHECK(close(execed[1]) == 0 && close(go[1]) == 0 && read(execed[0], &byte, 1) == 0);
	CHECK(waitpid(pid, &status, WNOHANG) == 0 && mapped(region) == 0);
	CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, &status, 0) == pid);
	close(go[0]);
	close(execed[0]);
	close(life[0]);
	close(life[1]);
}

/* Pages count whether they have been touched or not, as long as they are mapped. */
void case_mapped(void)
{
	int fd = open_echo(), region = ioctl(fd, TOY_REGION), other = ioctl(fd, TOY_REGION);
	uint8_t *m, *n, *moved;

	CHECK(region >= 0 && other >= 0 && mapped(region) == 0);
	m = map_region(region);
	CHECK(mapped(region) == 7 && mapped(other) == 0);
	m[4096] = 41; /* the first page stays as it was */
	m[2 * 4096] = 42;
	CHECK(mapped(region) == 7 && mapped(other) == 0);
	CHECK(munmap(m + 4096, 4096) == 0 && mapped(region) == 5);
	n = map_region(region);
	CHECK(n[0] == 0 && n[4096] == 41 && n[2 * 4096] == 42 && mapped(region) == 7);
	moved = mremap(n, TOY_PAGES * 4096, TOY_PAGES * 4096, MREMAP_MAYMOVE | MREMAP_FIXED, m);
	CHECK(moved == m && mapped(region) == 7 && m[4096] == 41);
	CHECK(mmap(m + 4096, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == m + 4096 && mapped(region) == 5);
	CHECK(prctl(PR_SET_DUMPABLE, 0) == 0 && mapped(region) == 5 && prctl(PR_SET_DUMPABLE, 1) == 0);
	CHECK(mmap(m, 4096, PROT_READ, MAP_SHARED | MAP_FIXED, other, TOY_PLAIN) == m);
	CHECK(mapped(region) == 4 && mapped(other) == 1);
	CHECK(munmap(m, TOY_PAGES * 4096) == 0 && mapped(region) == 0 && mapped(other) == 0);
	mapped_elsewhere(region);
}

void case_sit(int life)
{
	char byte;

	CHECK(read(life, &byte, 1) == 0);
}
