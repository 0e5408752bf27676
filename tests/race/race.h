/* SPDX-License-Identifier: MIT */
/*
 * Races on a whole machine, embedded: what programs, the administrator and hostile hardware may do at the same moment,
 * thousands of times, with what must never be seen checked inside. For ThreadSanitizer first of all; nothing here
 * depends on timing to pass.
 *
 * A test is a number of actors, each a thread that does its rounds, and helpers, threads that go on until all actors
 * have ended. Output is a line a test, as of all tests: "ok NAME - sentence".
 */
#ifndef UVFIO_TESTS_RACE_H
#define UVFIO_TESTS_RACE_H

#include "abi/vfio.h"
#include "front/capi/priv.h"
#include "machine/priv.h"
#include "pci/pci.h"
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

extern struct uvfio_machine *race_m;

/** race_begin - boot the machine of machine.yaml (UVFIO_MACHINE) */
void race_begin(void);
/** race_end - all of it goes; nothing may be left */
void race_end(void);
/** race_rounds - UVFIO_RACE_ROUNDS percent of @usual, which takes some five seconds under ThreadSanitizer */
unsigned race_rounds(unsigned usual);
/** race_draw - a number below @n; each thread has a seed of its own */
unsigned race_draw(unsigned *seed, unsigned n);

/** race_pause - sleep for some of @us microseconds: to let others come to something, not for anything to be true */
void race_pause(unsigned *seed, unsigned us);

struct race_actor {
	void (*fn)(void *arg); /* helpers: until race_over() */
	void *arg;
	bool helper;
};
#define ACTOR(fn_, arg_)  { (fn_), (void *)(arg_), false }
#define HELPER(fn_, arg_) { (fn_), (void *)(arg_), true }
/** race_run - run them all (an array); print the line of the test */
#define race_run(name, sentence, a) race_run_all(name, sentence, a, ARRAY_SIZE(a))
void race_run_all(const char *name, const char *sentence, const struct race_actor *a, unsigned n);
bool race_over(void);

/** race_wrong - what must not be was seen: say so, and end the program where it is */
_Noreturn void race_wrong(const char *file, int line, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
#define MUST(c) ((c) ? (void)0 : race_wrong(__FILE__, __LINE__, "not so: %s", #c))

/* Calls return -errno here. */
long race_ioctl(int fd, unsigned long cmd, void *arg);
#define race_ioctl_u(fd, cmd, n) race_ioctl(fd, cmd, (void *)(uintptr_t)(n))
int race_open(const char *path);
/* The node of the group that a function is in at the moment. -ENOENT: it has none, or is not there */
int race_open_group(const char *bdf);
/** race_may - was @rc a success or one of the errnos @..., which end with 0? Anything else is wrong. Returns success */
#define race_may(rc, ...) race_may_(__FILE__, __LINE__, rc, (const int[]){ __VA_ARGS__, 0 })
bool race_may_(const char *file, int line, long rc, const int *errnos);

/* Write to a file of sysfs; bytes, or -errno of the open or the write. Paths are format strings. */
long race_write(const char *text, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Read one whole: bytes in @buf with a NUL behind, or -errno */
long race_read(char *buf, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Name of the driver a function is bound to, in @buf; false: none */
bool race_driver(const char *bdf, char buf[64]);
/* The group of a function that is there */
struct iommu_group *race_group(const char *bdf);

/** race_efd_create - an eventfd that is read without waiting */
int race_efd_create(void);
void race_efd_signal(int fd);
/** race_efd_take - was it signalled? It is not any more */
bool race_efd_take(int fd);

/** race_device - claim @bdf's group, which must be free, for a new container: descriptors of all three */
struct race_device {
	int container, group, device;
};
void race_device_open(const char *bdf, struct race_device *d);
void race_device_close(struct race_device *d);
/** race_region - where a region of a device file begins */
uint64_t race_region(int device, unsigned index, uint64_t *size);
long race_config_write(int device, unsigned offset, unsigned width, uint32_t value);
uint32_t race_config_read(int device, unsigned offset, unsigned width);
long race_map(int container, void *mem, uint64_t iova, uint64_t size);
long race_unmap(int container, uint64_t iova, uint64_t size);

#endif
