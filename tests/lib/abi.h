/* SPDX-License-Identifier: MIT */
/*
 * ABI tests: programs that speak only open, ioctl, mmap, read, write and friends. The same source runs
 * through three doors: "capi" (an embedded machine), "run" (under uvfio run) and "host" (a real Linux).
 * Each test names the rows of docs/spec it proves, "10:GRP-03" is row GRP-03 of docs/spec/10.tsv.
 *
 *	TEST(group_status_argsz, "10:GRP-03", "GET_STATUS with an argsz of 7 is refused")
 *	{
 *		int g = x_open("/dev/vfio/1", O_RDWR);
 *		...
 *		EXPECT_ERR(EINVAL, x_ioctl(g, VFIO_GROUP_GET_STATUS, &st));
 *	}
 *
 * A test that fails says where and stops; descriptors and mappings it made are closed for it.
 */
#ifndef UVFIO_TESTS_ABI_H
#define UVFIO_TESTS_ABI_H

#include "abi/vfio.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the door: as the system calls, errno and all ---- */
int x_open(const char *path, int flags);
int x_close(int fd);
int x_dup(int fd);
int x_ioctl(int fd, unsigned long cmd, void *arg);
ssize_t x_read(int fd, void *buf, size_t n);
ssize_t x_write(int fd, const void *buf, size_t n);
ssize_t x_pread(int fd, void *buf, size_t n, uint64_t pos);
ssize_t x_pwrite(int fd, const void *buf, size_t n, uint64_t pos);
off_t x_lseek(int fd, off_t off, int whence);
/* Which of @events (poll(2)) there are, or come in @timeout milliseconds */
int x_poll(int fd, int events, int timeout);
void *x_mmap(void *addr, size_t n, int prot, int flags, int fd, uint64_t off);
int x_munmap(void *addr, size_t n);
int x_stat(const char *path, struct stat *st);
ssize_t x_readlink(const char *path, char *buf, size_t n);
/* names in a directory, newline after each, malloc'ed; NULL on failure */
char *x_list(const char *path);

enum door { DOOR_CAPI, DOOR_RUN, DOOR_HOST };
enum door test_door(void);

/* The capabilities the program has from now on; all again after the test. -1: it cannot have them */
#define CAPS_RAWIO    1u
#define CAPS_IPC_LOCK 2u
#define CAPS_ADMIN    4u /* and SYS_RESOURCE, where it can be had */
#define CAPS_ALL      7u
int test_caps(unsigned caps);

/* ---- tests ---- */
struct test {
	const char *name, *rows, *sentence, *file;
	void (*fn)(void);
	struct test *next;
};
void test_register(struct test *t);
#define TEST(name_, rows_, sentence_)                                                            \
	static void test_##name_(void);                                                          \
	static struct test reg_##name_ = { #name_, rows_, sentence_, __FILE__, test_##name_, NULL }; \
	__attribute__((constructor)) static void add_##name_(void) { test_register(&reg_##name_); } \
	static void test_##name_(void)

/* The machine under test: the name of its file, without ".yaml" */
const char *test_machine(void);
/* A test for one machine alone; on others it does not exist */
#define TEST_ON(machine_, name_, rows_, sentence_)                                               \
	static void test_##name_(void);                                                          \
	static struct test reg_##name_ = { #name_, rows_, sentence_, __FILE__, test_##name_, NULL }; \
	__attribute__((constructor)) static void add_##name_(void)                               \
	{                                                                                        \
		if (strcmp(test_machine(), machine_) == 0)                                       \
			test_register(&reg_##name_);                                             \
	}                                                                                        \
	static void test_##name_(void)

_Noreturn void test_fail(const char *file, int line, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* This door cannot show it: say why. Counted as skipped, never as passed. */
_Noreturn void test_skip(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#define EXPECT(c) ((c) ? (void)0 : test_fail(__FILE__, __LINE__, "not so: %s (errno %s)", #c, strerrorname_np(errno)))
#define EXPECT_EQ(want, got)                                                                              \
	do {                                                                                              \
		long long w_ = (long long)(want), g_ = (long long)(got);                                  \
		if (w_ != g_)                                                                             \
			test_fail(__FILE__, __LINE__, "%s: wanted %lld (0x%llx), got %lld (0x%llx)", #got, w_, w_, g_, g_); \
	} while (0)
#define EXPECT_OK(call)                                                                                   \
	({                                                                                                \
		__typeof__(call) r_ = (call);                                                             \
		if (r_ < 0)                                                                               \
			test_fail(__FILE__, __LINE__, "%s: %s", #call, strerrorname_np(errno));          \
		r_;                                                                                       \
	})
#define EXPECT_ERR(err, call)                                                                             \
	do {                                                                                              \
		errno = 0;                                                                                \
		long long r_ = (long long)(call);                                                         \
		if (r_ != -1 || errno != (err))                                                           \
			test_fail(__FILE__, __LINE__, "%s: wanted %s, got %lld %s", #call, strerrorname_np(err), r_, \
				  r_ == -1 ? strerrorname_np(errno) : "");                               \
	} while (0)

/* ---- the test machine (tests/machines/oracle.yaml has the oracle's default devices) ---- */
#define EDU        "0000:00:03.0" /* edu, alone in its group */
#define EDU_SHARED "0000:00:04.0" /* edu, in one group with NVME_MATE */
#define NVME_MATE  "0000:00:04.1" /* bound to the host driver nvme, which does DMA */
#define IGB        "0000:01:00.0" /* PCIe, FLR, MSI-X, behind a root port with ACS */
#define IGB_PORT   "0000:00:05.0"
#define BRIDGE     "0000:03:00.0" /* PCIe-to-PCI bridge: it and all below are one group */
#define EDU_BELOW  "0000:04:01.0"

/* Writes to a file of sysfs, one write(2). Returns bytes or -1 with errno. */
ssize_t sys_write(const char *path, const char *text);
/* Text of a sysfs file into a static buffer, newline cut; NULL on failure */
const char *sys_read(const char *path);
/* Bind a function to vfio-pci by driver_override, whatever it was bound to, but to a variant; once per program is enough */
void bind_vfio(const char *bdf);
/* Unbind it, drop the override, let the host's driver take it again */
void bind_host(const char *bdf);
/* Without a driver it stays so */
void unbind(const char *bdf);
/* Name of the bound driver in a static buffer, or NULL */
const char *driver_of(const char *bdf);
bool bound_to(const char *bdf, const char *driver);
int group_of(const char *bdf);
/* "echo 1 > remove", and a rescan of the whole bus */
void remove_function(const char *bdf);
void rescan(void);
bool function_exists(const char *bdf);

/* A container with one device, opened: container and group set, type1v2 */
struct setup {
	int container, group, device;
};
struct setup open_device(const char *bdf);
int open_group(const char *bdf);
uint32_t group_flags(int group);
int open_container(void);
/* @container: also an iommufd */
int set_container(int group, int container);
int set_iommu(int container, unsigned long type);
/* Region offset and size of the device */
uint64_t region_size(int device, unsigned index);
#define REGION(i) ((uint64_t)(i) << 40)
uint32_t config_read(int device, unsigned off, unsigned width);
void config_write(int device, unsigned off, unsigned width, uint32_t v);
/* Anonymous memory, page-aligned, zeroed; unmapped after the test */
void *test_memory(size_t n, int prot, int flags);
int map_dma(int container, const void *va, uint64_t iova, uint64_t size, uint32_t flags);
int unmap_dma(int container, uint64_t iova, uint64_t size, uint64_t *unmapped);
/* Give the edu its whole-program setup and wait for its DMA: direction 0 RAM->EDU, 1 EDU->RAM */
void edu_dma(volatile void *bar, uint64_t src, uint64_t dst, uint64_t count, unsigned direction);
/* Run fn and return the signal it raised, 0: none */
int signal_of(void (*fn)(void *), void *arg);

#endif
