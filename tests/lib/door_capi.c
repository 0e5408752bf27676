/* SPDX-License-Identifier: MIT */
/* The door "capi": each test gets a machine of its own, embedded in this process. */
#include "abi.h"
#include "uvfio/uvfio.h"

/*
 * To find the size of a library's thread-local block, the sanitizer reads the word before it, which a thread that has
 * just begun may not have.
 */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "intercept_tls_get_addr=0";
}

static struct uvfio_machine *m;

enum door test_door(void)
{
	return DOOR_CAPI;
}

int test_caps(unsigned caps)
{
	uvfio_set_caps(m, (caps & CAPS_RAWIO) != 0, (caps & CAPS_IPC_LOCK) != 0, (caps & CAPS_ADMIN) != 0);
	return 0;
}

void door_begin(void);
void door_begin(void)
{
	char err[1024];

	m = uvfio_create(getenv("UVFIO_MACHINE"), err, sizeof(err));
	if (!m)
		test_fail(__FILE__, __LINE__, "%s", err);
	/* Where that is denied, the test finds out by itself. */
	if (getenv("UVFIO_TEST_TRUE_PINS"))
		uvfio_true_pins(m);
}

void door_end(void);
void door_end(void)
{
	uvfio_destroy(m);
	m = NULL;
}

int x_open(const char *path, int flags)
{
	return uvfio_open(m, path, flags);
}

int x_close(int fd)
{
	return uvfio_close(m, fd);
}

int x_dup(int fd)
{
	return uvfio_dup(m, fd);
}

int x_ioctl(int fd, unsigned long cmd, void *arg)
{
	return uvfio_ioctl(m, fd, cmd, arg);
}

ssize_t x_read(int fd, void *buf, size_t n)
{
	return uvfio_read(m, fd, buf, n);
}

ssize_t x_write(int fd, const void *buf, size_t n)
{
	return uvfio_write(m, fd, buf, n);
}

ssize_t x_pread(int fd, void *buf, size_t n, uint64_t pos)
{
	return uvfio_pread(m, fd, buf, n, (off_t)pos);
}

ssize_t x_pwrite(int fd, const void *buf, size_t n, uint64_t pos)
{
	return uvfio_pwrite(m, fd, buf, n, (off_t)pos);
}

off_t x_lseek(int fd, off_t off, int whence)
{
	return uvfio_lseek(m, fd, off, whence);
}

int x_poll(int fd, int events, int timeout)
{
	return uvfio_poll(m, fd, events, timeout);
}

void *x_mmap(void *addr, size_t n, int prot, int flags, int fd, uint64_t off)
{
	return uvfio_mmap(m, addr, n, prot, flags, fd, (off_t)off);
}

int x_munmap(void *addr, size_t n)
{
	return uvfio_munmap(m, addr, n);
}

int x_stat(const char *path, struct stat *st)
{
	return uvfio_stat(m, path, st);
}

ssize_t x_readlink(const char *path, char *buf, size_t n)
{
	return uvfio_readlink(m, path, buf, n);
}

char *x_list(const char *path)
{
	return uvfio_list_dir(m, path);
}
