/* SPDX-License-Identifier: MIT */
/* The doors "run" and "host": the system's own calls. Descriptors and mappings a test leaves behind are closed. */
#include "abi.h"
#include <dirent.h>
#include <linux/capability.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

static int fds[256];
static unsigned nfds;
static struct { void *p; size_t n; } maps[64];
static unsigned nmaps;

enum door test_door(void)
{
	return getenv("UVFIO_DOOR") && strcmp(getenv("UVFIO_DOOR"), "host") == 0 ? DOOR_HOST : DOOR_RUN;
}

static int keep(int fd)
{
	if (fd >= 0 && nfds < sizeof(fds) / sizeof(fds[0]))
		fds[nfds++] = fd;
	return fd;
}

static void forget(int fd)
{
	for (unsigned i = 0; i < nfds; i++) {
		if (fds[i] == fd) {
			fds[i] = fds[--nfds];
			return;
		}
	}
}

static bool caps_changed;

/* Of the effective set; the permitted one stays, so they can be had back. */
int test_caps(unsigned caps)
{
	static const unsigned bit[3] = { CAP_SYS_RAWIO, CAP_IPC_LOCK, CAP_SYS_ADMIN };
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2];

	if (syscall(SYS_capget, &h, d) < 0)
		return -1;
	for (unsigned i = 0; i < 3; i++) {
		d[0].effective &= ~(1u << bit[i]);
		if (caps & 1u << i)
			d[0].effective |= 1u << bit[i];
	}
	d[0].effective &= ~(1u << CAP_SYS_RESOURCE);
	if (caps & CAPS_ADMIN)
		d[0].effective |= d[0].permitted & 1u << CAP_SYS_RESOURCE; /* containers often lack it */
	caps_changed = true;
	return (int)syscall(SYS_capset, &h, d);
}

void door_begin(void);
void door_begin(void)
{
}

void door_end(void);
void door_end(void)
{
	while (nmaps > 0) {
		nmaps--;
		munmap(maps[nmaps].p, maps[nmaps].n);
	}
	while (nfds > 0)
		close(fds[--nfds]);
	if (caps_changed)
		test_caps(CAPS_ALL);
	caps_changed = false;
}

int x_open(const char *path, int flags)
{
	return keep(open(path, flags | O_CLOEXEC));
}

int x_close(int fd)
{
	forget(fd);
	return close(fd);
}

int x_dup(int fd)
{
	return keep(dup(fd));
}

int x_ioctl(int fd, unsigned long cmd, void *arg)
{
	int rc = ioctl(fd, cmd, arg);

	return cmd == VFIO_GROUP_GET_DEVICE_FD ? keep(rc) : rc;
}

ssize_t x_read(int fd, void *buf, size_t n)
{
	return read(fd, buf, n);
}

ssize_t x_write(int fd, const void *buf, size_t n)
{
	return write(fd, buf, n);
}

ssize_t x_pread(int fd, void *buf, size_t n, uint64_t pos)
{
	return pread(fd, buf, n, (off_t)pos);
}

ssize_t x_pwrite(int fd, const void *buf, size_t n, uint64_t pos)
{
	return pwrite(fd, buf, n, (off_t)pos);
}

off_t x_lseek(int fd, off_t off, int whence)
{
	return lseek(fd, off, whence);
}

int x_poll(int fd, int events, int timeout)
{
	struct pollfd p = { .fd = fd, .events = (short)events };
	int rc = poll(&p, 1, timeout);

	return rc < 0 ? rc : p.revents;
}

void *x_mmap(void *addr, size_t n, int prot, int flags, int fd, uint64_t off)
{
	void *p = mmap(addr, n, prot, flags, fd, (off_t)off);

	if (p != MAP_FAILED && nmaps < sizeof(maps) / sizeof(maps[0])) {
		maps[nmaps].p = p;
		maps[nmaps++].n = n;
	}
	return p;
}

int x_munmap(void *addr, size_t n)
{
	for (unsigned i = 0; i < nmaps; i++) {
		if (maps[i].p == addr) {
			maps[i] = maps[--nmaps];
			break;
		}
	}
	return munmap(addr, n);
}

int x_stat(const char *path, struct stat *st)
{
	return stat(path, st);
}

ssize_t x_readlink(const char *path, char *buf, size_t n)
{
	return readlink(path, buf, n);
}

char *x_list(const char *path)
{
	DIR *d = opendir(path);
	char *text = NULL;
	struct dirent *e;
	size_t size;
	FILE *out;

	if (!d)
		return NULL;
	out = open_memstream(&text, &size);
	while ((e = readdir(d))) {
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			fprintf(out, "%s\n", e->d_name);
	}
	closedir(d);
	fclose(out);
	return text;
}
