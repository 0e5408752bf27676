/* SPDX-License-Identifier: MIT */
/*
 * A host with an IOMMU but without a PCI bus: devices are names with a requester, and the program under
 * test is this process, with a table of descriptors of its own.
 */
#ifndef UVFIO_TESTS_VFIO_HARNESS_H
#define UVFIO_TESTS_VFIO_HARNESS_H

#include "abi/vfio.h"
#include "vfio/priv.h"
#include "vfio/type1.h"
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define CONTAINER "/dev/vfio/vfio"
#define HOST_FD   90 /* open, but a file of the host */
#define BAD_PTR   0x1000ull
#define PAGE      4096ull
#define FDS       64

struct host {
	struct log log;
	struct tree *tree;
	struct mem *mem;
	struct iommu *iommu;
	struct vfio *vfio;
	struct iommu_unit unit;
	struct vfio_params params; /* of the next host_start() */
};
extern struct host host;

/* The program that calls. */
struct caller {
	struct task task;
	struct mutex lock;
	struct file *fds[FDS];
	bool ipc_lock, rawio, admin; /* capabilities */
	/* Copies from or to this page do not end before this is 0 again: memory that its owner does not serve. */
	atomic_uintptr_t stuck_page;
	atomic_uint stuck; /* threads in there */
};

struct device {
	struct vfio_device v;
	struct dev dev;
	struct iommu_dev *iommu;
	atomic_uint opens, closes, requests;
	int open_rc; /* what the driver's open says */
	atomic_uint notices; /* unmaps it was told of; it unpins what was pinned by device_pin() */
	struct mutex pin_lock; /* RANK_VFIO_EMULATED */
	struct { uint64_t iova; unsigned n; } pins[512]; /* [pin_lock] */
};

/** host_start, host_stop - the host of one test; stop checks that nothing is left pinned */
void host_start(void);
void host_stop(void);

struct caller *caller_create(void);
/** caller_destroy - closes what is open, highest descriptor first */
void caller_destroy(struct caller *c);
/** caller_limit - RLIMIT_MEMLOCK; at first there is none */
void caller_limit(struct caller *c, uint64_t bytes);

int sys_open(struct caller *c, const char *path);
void sys_close(struct caller *c, int fd);
long sys_ioctl(struct caller *c, int fd, unsigned cmd, const void *arg);
long sys_ioctl_u(struct caller *c, int fd, unsigned cmd, uint64_t arg);

/** area_create - memory a caller may map for DMA; freed by host_stop() */
void *area_create(size_t size, bool shared, bool writable);

struct iommu_group *group_create(void);
/** device_create_pinning - a device that pins: in @g, or (NULL) emulated, with a group of its own; not registered */
struct device *device_create_pinning(const char *name, struct iommu_group *g);
/** device_pin, device_unpin - vfio_pin_pages() of one page, remembered */
int device_pin(struct device *d, uint64_t iova, unsigned prot, phys_t *phys);
void device_unpin(struct device *d, uint64_t iova);
/** caller_end - nobody runs in the caller's address space any more */
void caller_end(struct caller *c);
/** device_create - a device in @g (NULL: without a group), not registered */
struct device *device_create(const char *name, struct iommu_group *g);
struct device *device_add(const char *name, struct iommu_group *g); /* create and register */
void device_del(struct device *d);                                  /* unregister and destroy */
void device_destroy(struct device *d);

/* Opens of /dev/vfio/<id>, SET_CONTAINER, SET_IOMMU, all of which must succeed. */
int group_open_node(struct caller *c, struct iommu_group *g);
long group_set(struct caller *c, int group, int container);
long map(struct caller *c, int container, uint64_t iova, const void *vaddr, uint64_t size, uint32_t flags);
/** unmap - returns bytes removed or -errno */
int64_t unmap(struct caller *c, int container, uint64_t iova, uint64_t size, uint32_t flags);

#define assert_rc(expr, errno_or_0) assert_int_equal((long)(expr), (long)(errno_or_0))
#define RW (VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)

#endif
