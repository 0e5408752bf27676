/* SPDX-License-Identifier: MIT */
/*
 * Memory of programs as the machine sees it, for DMA: some of it is mapped, some can only be read by address, and the
 * file behind it may be one that the program serves itself.
 */
#include "super_fuse.h"
#include "super_prog.h"
#include "super_toy.h"
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <unistd.h>

/* Memory as DMA sees it: shared memory is mapped (0x100), private memory read by address. */
void case_memory(void)
{
	int fd = open_echo(), mem = memfd_create("shared", 0);
	uint8_t *a = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *s, *h;

	CHECK(ftruncate(mem, 8192) == 0);
	s = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, mem, 0);
	a[4100] = 11;
	s[4100] = 12;
	CHECK(ioctl(fd, TOY_PEEK, a + 4100) == 11);
	CHECK(ioctl(fd, TOY_PEEK, s + 4100) == (12 | 0x100));
	CHECK(munmap(a, 8192) == 0);
	FAILS(ioctl(fd, TOY_PEEK, a), EFAULT);
	h = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	h[7] = 13;
	CHECK((ioctl(fd, TOY_PEEK, h + 7) & 0xff) == 13);
}

/* A file that a program serves: it is not asked anything for the machine, which would wait with its locks held. */
void case_fuse(void)
{
	int fd = open_echo(), file, other;
	struct fuse_server server;
	char dir[] = "/tmp/super-fuse-XXXXXX", path[64];
	uint8_t *p;
	unsigned asked;

	if (!mkdtemp(dir) || fuse_start(&server, false) || fuse_mount(&server, dir)) {
		fprintf(stderr, "super_memory.c: no FUSE here\n");
		exit(rmdir(dir));
	}
	snprintf(path, sizeof(path), "%s/f", dir);
	file = open(path, O_RDONLY);
	other = memfd_create("shared", 0);
	umount2(dir, MNT_DETACH);
	CHECK(rmdir(dir) == 0);
	CHECK(file >= 0 && other >= 0 && ftruncate(other, 4096) == 0);
	p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, file, 0);
	CHECK(p != MAP_FAILED && p[0] == 'f');
	asked = atomic_load(server.asked);
	CHECK(ioctl(fd, TOY_PEEK, p) == 'f');
	CHECK(atomic_load(server.asked) == asked);
	/* Nor while another mapping's file is looked for among the descriptors. */
	CHECK(mmap(p, 4096, PROT_READ, MAP_SHARED | MAP_FIXED, other, 0) == p);
	CHECK(ioctl(fd, TOY_PEEK, p) == 0x100);
	CHECK(atomic_load(server.asked) == asked);
	fuse_stop(&server);
}
