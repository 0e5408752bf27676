/* SPDX-License-Identifier: MIT */
/*
 * A machine of real layers under vfio-pci, and a model that is nothing but registers and a log of accesses:
 *
 *	00:01.0 root port
 *	  01:00.0 probe: express, FLR, MSI-X, MSI, INTx
 *	00:02.0 root port
 *	  02:00.0, 02:00.1 probes without a reset of their own, without ACS: one group, one set
 *	00:03.0 PCIe to PCI bridge
 *	  03:00.0 old: conventional, loses its state in D3hot
 *
 * BARs of a probe: 0 registers (8 KiB, MSI-X at 0x1000), 1 ports (32), 2 and 3 plain memory (16 KiB, 64-bit),
 * 4 registers (256 bytes).
 *
 * The program under test is this process; its files have numbers from 1000 on, below are the process's own.
 */
#ifndef UVFIO_TESTS_VFIO_PCI_HARNESS_H
#define UVFIO_TESTS_VFIO_PCI_HARNESS_H

#include "abi/vfio.h"
#include "pci/pci.h"
#include "vfio/pci/vfio_pci.h"
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define PAGE      4096ull
#define BAD_PTR   0x1000ull
#define HOST_FD   900 /* open, but a file of the host */
#define FD_BASE   1000
#define FDS       32
#define REGION(i) ((uint64_t)(i) << 40)
#define CONFIG    REGION(VFIO_PCI_CONFIG_REGION_INDEX)
#define BAR0_SIZE 0x2000ull
#define BAR2_SIZE 0x4000ull
#define BAR4_SIZE 0x100ull
#define TABLE     0x1000ull /* MSI-X, in BAR 0 */
#define PBA       0x1800ull
#define VECTORS   4u
#define RAW_DWORD 0x180u   /* of config space, the model's own */

/* One access that reached a model. */
struct seen {
	unsigned bar, width;
	uint64_t offset;
	bool write;
};

/* The model's state. */
struct probe {
	struct pci_dev *dev;
	struct mutex lock; /* RANK_MODEL */
	uint8_t regs[5][0x2000];
	struct seen seen[64];
	unsigned nseen;       /* of all, the last 64 are kept */
	unsigned resets;
	uint32_t raw;
	atomic_uint closed;   /* accesses that came while memory was disabled: a hole in the gate */
	atomic_bool strict;   /* look for them: nobody but vfio-pci accesses the function */
	void (*on_write)(struct probe *p, unsigned bar, uint64_t offset); /* called unlocked */
};

struct host {
	struct log log;
	struct tree *tree;
	struct mem *mem;
	struct iommu *iommu;
	struct event_loop *loop;
	struct bus *bus;
	struct pci *pci;
	struct vfio *vfio;
	struct vfio_pci *vp;
	struct vfio_pci_params params; /* of the next host_start() */
};
extern struct host host;

struct caller {
	struct task task;
	struct mutex lock;
	struct file *fds[FDS];
};

/** host_start, host_stop - a host and its functions, none bound */
void host_start(void);
void host_stop(void);
/** probe_of - the model behind a function */
struct probe *probe_of(const char *bdf);
struct pci_dev *pci_of(const char *bdf);
/** bind - through driver_override and the bus, as a program does */
int bind(const char *bdf);
void unbind(const char *bdf);

struct caller *caller_create(void);
void caller_destroy(struct caller *c);
int sys_open(struct caller *c, const char *path);
void sys_close(struct caller *c, int fd);
long sys_ioctl(struct caller *c, int fd, unsigned cmd, const void *arg);
long sys_ioctl_u(struct caller *c, int fd, unsigned cmd, uint64_t arg);
ssize_t sys_pread(struct caller *c, int fd, void *buf, size_t n, uint64_t pos);
ssize_t sys_pwrite(struct caller *c, int fd, const void *buf, size_t n, uint64_t pos);
struct file *file_of(struct caller *c, int fd); /* borrowed */

/* A bound function with all that its use takes, opened. */
struct use {
	struct caller *c;
	int container, group, dev;
};
void use_open(struct use *u, const char *bdf);
void use_close(struct use *u);
/** use_sibling - another device of the group of @u */
int use_sibling(struct use *u, const char *bdf);

uint32_t cfg_read(struct use *u, unsigned pos, unsigned width);
void cfg_write(struct use *u, unsigned pos, unsigned width, uint32_t value);
/** cfg_cap - a capability in the chain the program sees; 0: not there */
unsigned cfg_cap(struct use *u, uint8_t id);
/** command - write COMMAND */
void command(struct use *u, uint16_t value);
int mmio(struct use *u, uint64_t offset, void *data, unsigned width, bool write);

/** irqs - SET_IRQS with @payload bytes of data */
long irqs(struct use *u, uint32_t flags, uint32_t index, uint32_t start, uint32_t count, const void *data,
	  size_t payload);
/** irq_fds - hook eventfds; irq_off - disable an index */
long irq_fds(struct use *u, uint32_t index, uint32_t start, uint32_t count, const int32_t *fds);
long irq_off(struct use *u, uint32_t index);
/** efd - a new eventfd; efd_take - its counter, reset */
int efd(void);
uint64_t efd_take(int fd);
/** efd_wait - as efd_take, once another thread has signalled it; 0: nobody did for 10 s */
uint64_t efd_wait(int fd);

#define assert_rc(expr, errno_or_0) assert_int_equal((long)(expr), (long)(errno_or_0))

#endif
