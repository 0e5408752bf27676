/* SPDX-License-Identifier: MIT */
/*
 * libuvfio: a machine inside your program. The calls mirror the system's; file numbers are the machine's
 * own (they start at 0 and mean nothing to the kernel). Failures return -1 and set errno, as the system's
 * calls do. All functions may be called from any thread.
 *
 *	struct uvfio_machine *m = uvfio_create(NULL, NULL, 0);
 *	int container = uvfio_open(m, "/dev/vfio/vfio", O_RDWR);
 */
#ifndef UVFIO_UVFIO_H
#define UVFIO_UVFIO_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct uvfio_machine;

/**
 * uvfio_create - build a machine
 * @file: a machine file; NULL: the built-in default machine
 * @err:  receives the reason of a failure, NUL-terminated; may be NULL
 * Return: the machine, to be freed by uvfio_destroy(); NULL on failure (errno EINVAL: the file is wrong)
 */
struct uvfio_machine *uvfio_create(const char *file, char *err, size_t err_size);
/** uvfio_create_text - the same from a string */
struct uvfio_machine *uvfio_create_text(const char *yaml, char *err, size_t err_size);
/** uvfio_destroy - close all files, unmap all mappings, free the machine; NULL is fine */
void uvfio_destroy(struct uvfio_machine *m);

/** uvfio_open - @path is absolute, and the machine's: anything else is ENOENT */
int uvfio_open(struct uvfio_machine *m, const char *path, int oflags);
int uvfio_close(struct uvfio_machine *m, int fd);
int uvfio_dup(struct uvfio_machine *m, int fd);
/**
 * uvfio_ioctl - pointers inside are this process's; a bad one is EFAULT
 * Eventfds are real file numbers of this process. Shared memory mapped for DMA stays the device's target until it is
 * unmapped for DMA. Private memory is used in place: unmapping it early makes the device's accesses fail, not the
 * process; uvfio_true_pins() changes that.
 */
int uvfio_ioctl(struct uvfio_machine *m, int fd, unsigned long cmd, void *arg);
ssize_t uvfio_read(struct uvfio_machine *m, int fd, void *buf, size_t n);
ssize_t uvfio_write(struct uvfio_machine *m, int fd, const void *buf, size_t n);
ssize_t uvfio_pread(struct uvfio_machine *m, int fd, void *buf, size_t n, off_t pos);
ssize_t uvfio_pwrite(struct uvfio_machine *m, int fd, const void *buf, size_t n, off_t pos);
/**
 * uvfio_poll - poll(2) of one file: POLLIN, POLLOUT
 * All files but those of iommufd's queues are always ready.
 * Return: which of @events there are; 0: none came in @timeout milliseconds (negative: waits for one)
 */
int uvfio_poll(struct uvfio_machine *m, int fd, int events, int timeout);
off_t uvfio_lseek(struct uvfio_machine *m, int fd, off_t offset, int whence);
/**
 * uvfio_mmap - map a BAR; loads and stores reach the device. MAP_FAILED on failure.
 * Where the device has side effects a load or store raises SIGBUS, whose handler carries it to the device. It is
 * installed (for SIGBUS and SIGSEGV) by uvfio_create(), again by this function where another has replaced it, and
 * passes on what is not its own to the handler it found. A device that does not answer (memory decoding off) leaves
 * the program with the SIGBUS.
 */
void *uvfio_mmap(struct uvfio_machine *m, void *addr, size_t length, int prot, int flags, int fd, off_t offset);
/** uvfio_munmap - the only way to unmap what uvfio_mmap() has mapped; parts of a mapping are fine */
int uvfio_munmap(struct uvfio_machine *m, void *addr, size_t length);
/**
 * uvfio_fault - for handlers of yours that have replaced the machine's: to be called first, with their arguments
 * (SA_SIGINFO | SA_NODEFER). Covers all machines of the process.
 * Return: 1 it was a machine's affair and is done: return from the handler; 0 it is yours
 */
int uvfio_fault(int sig, siginfo_t *info, void *ucontext);
int uvfio_stat(struct uvfio_machine *m, const char *path, struct stat *st);
int uvfio_lstat(struct uvfio_machine *m, const char *path, struct stat *st);
ssize_t uvfio_readlink(struct uvfio_machine *m, const char *path, char *buf, size_t size);
/** uvfio_list_dir - the names in a directory, each followed by a newline, malloc'ed; NULL on failure */
char *uvfio_list_dir(struct uvfio_machine *m, const char *path);
/** uvfio_print - draw the machine (json 0 or 1) */
int uvfio_print(struct uvfio_machine *m, int json, FILE *out);
/** uvfio_report - DMA, faults, leftovers */
void uvfio_report(struct uvfio_machine *m, FILE *out);

/* DMA faults since the machine was made. */
uint64_t uvfio_dma_faults(struct uvfio_machine *m);
/**
 * uvfio_set_caps - play a caller with (1) or without (0) CAP_SYS_RAWIO, CAP_IPC_LOCK, CAP_SYS_ADMIN; default: this process's own
 * CAP_SYS_RESOURCE goes with CAP_SYS_ADMIN.
 */
void uvfio_set_caps(struct uvfio_machine *m, int sys_rawio, int ipc_lock, int sys_admin);

/**
 * uvfio_true_pins - hold private memory that is mapped for DMA by its pages, as Linux does: they stay the device's target
 * when the process maps something else there. Before anything is mapped. Memory the process may only read is not held.
 * Costs a system call a mapping, and some a transfer: 1 us for 64 bytes.
 * Return: 0; -1: this host denies io_uring (errno), which it needs, and nothing changes
 */
int uvfio_true_pins(struct uvfio_machine *m);

#ifdef __cplusplus
}
#endif

#endif
