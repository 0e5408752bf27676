/* SPDX-License-Identifier: MIT */
/* Files that are open, and calls on them. */
#include "fuzz.h"
#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

struct fuzz_file files[FILES_MAX];
unsigned nfiles;

int file_add(int fd, enum kind kind)
{
	if (fd < 0)
		return fd;
	if (nfiles == FILES_MAX) {
		uvfio_close(m, fd);
		return -1;
	}
	files[nfiles].fd = fd;
	files[nfiles++].kind = kind;
	return fd;
}

/* Its place in files[]; nfiles: there is none */
unsigned pick_at(enum kind kind)
{
	uint8_t b = byte();
	unsigned n = 0, want;

	if (b & 0x80)
		return nfiles ? (b & 0x7f) % nfiles : nfiles;
	for (unsigned i = 0; i < nfiles; i++)
		n += files[i].kind == kind;
	if (!n)
		return nfiles;
	want = b % n;
	for (unsigned i = 0;; i++) {
		if (files[i].kind == kind && want-- == 0)
			return i;
	}
}

int pick(enum kind kind)
{
	unsigned i = pick_at(kind);

	return i < nfiles ? files[i].fd : -1;
}

int pick_host(void)
{
	uint8_t b = byte();

	switch (b % 4) {
	case 0:
		return HOST_FILE;
	case 1:
		return HOST_SHORT;
	case 2:
		return nfiles ? files[b / 4 % nfiles].fd : -1;
	}
	return -1;
}

/* ---- requests ---- */

int try(int fd, unsigned long cmd, void *arg)
{
	int rc = uvfio_ioctl(m, fd, cmd, arg);

	if (trace)
		fprintf(stderr, "ioctl(%d, %#lx): %s\n", fd, cmd, rc < 0 ? strerrorname_np(errno) : "fine");
	return rc;
}

struct fuzz_place place;

/* Our own memory by address: fails where there is none, as the machine's copies do. */
static void copy(void *p, uint64_t at, size_t n, bool out)
{
	struct iovec mine = { p, n }, there = { (void *)at, n };

	if (out)
		process_vm_writev(getpid(), &mine, 1, &there, 1, 0);
	else
		process_vm_readv(getpid(), &mine, 1, &there, 1, 0);
}

int call(int fd, unsigned long cmd, void *arg, size_t n)
{
	int rc;

	if (!place.set)
		return try(fd, cmd, arg);
	place.set = false;
	if (place.resize)
		memcpy(arg, &place.size, sizeof(place.size));
	copy(arg, place.at, n, true);
	rc = try(fd, cmd, (void *)place.at);
	copy(arg, place.at, n, false);
	return rc;
}

/* ---- to begin with ---- */

int open_ctx(void)
{
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };
	int fd = file_add(uvfio_open(m, "/dev/iommu", O_RDWR), CTX);

	try(fd, IOMMU_IOAS_ALLOC, &alloc);
	return fd;
}

int open_device(unsigned i, int ctx)
{
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind), .iommufd = ctx };
	int fd = file_add(uvfio_open(m, devices[i].node, O_RDWR), DEVICE);

	try(fd, VFIO_DEVICE_BIND_IOMMUFD, &bind);
	if (devices[i].pci)
		set_master(fd, true);
	return fd;
}

void attach(int device, uint32_t pt)
{
	struct vfio_device_attach_iommufd_pt a = { .argsz = sizeof(a), .pt_id = pt };

	try(device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &a);
}

void map_arena(int ctx, uint32_t ioas)
{
	struct iommu_ioas_map map = { .size = sizeof(map), .flags = 7, .ioas_id = ioas, .iova = 0x10000,
				      .user_va = (uintptr_t)ARENA, .length = 8 * PAGE };

	try(ctx, IOMMU_IOAS_MAP, &map);
}

void set_master(int device, bool on)
{
	uint16_t command = on ? 6 : 2;

	uvfio_pwrite(m, device, &command, 2, CONFIG + 4);
}

/* ---- calls ---- */

void do_place(void)
{
	uint8_t b = byte();

	place.set = true;
	place.at = uva();
	place.resize = b & 0x80;
	place.size = b & 0x7f;
}

void do_open_ctx(void)
{
	file_add(uvfio_open(m, "/dev/iommu", O_RDWR), CTX);
}

void do_open_device(void)
{
	file_add(uvfio_open(m, devices[byte() % ndevices].node, O_RDWR), DEVICE);
}

void do_open_group(void)
{
	unsigned i = byte() % (ndevices + 1);

	if (i < ndevices)
		file_add(uvfio_open(m, devices[i].group, O_RDWR), GROUP);
	else
		file_add(uvfio_open(m, "/dev/vfio/vfio", O_RDWR), CONTAINER);
}

void do_close(void)
{
	unsigned i = pick_at(CTX);

	if (i == nfiles)
		return;
	uvfio_close(m, files[i].fd);
	files[i] = files[--nfiles];
}

void do_dup(void)
{
	unsigned i = pick_at(CTX);

	if (i < nfiles)
		file_add(uvfio_dup(m, files[i].fd), files[i].kind);
}

void do_read_write(void)
{
	int fd = pick(OTHER);
	uint8_t b = byte();
	uint64_t at = uva();
	size_t n = (size_t[]){ 8, 40, 0, 7 }[b & 3];

	if (b & 4)
		uvfio_write(m, fd, (void *)at, n);
	else
		uvfio_read(m, fd, (void *)at, n);
}

#define ANY_WORDS 12

void do_any(void)
{
	static uint32_t words[1024]; /* whatever size they say, no answer is longer */
	uint8_t nr;
	int fd;

	if (nfiles == 0)
		return;
	fd = files[byte() % nfiles].fd;
	nr = byte();
	words[0] = flags();
	/* So an address is none of ours: nothing is mapped below 1 TiB. */
	for (unsigned i = 1; i < ANY_WORDS; i++)
		words[i] = byte();
	memset(words + ANY_WORDS, 0, sizeof(words) - 4 * ANY_WORDS);
	call(fd, VFIO_IO(nr % 0x40), words, 4 * ANY_WORDS);
}
