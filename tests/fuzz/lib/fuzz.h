/* SPDX-License-Identifier: MIT */
/*
 * What the fuzzers share. A fuzzer's input is a program: calls on a machine of its own, which is embedded in this
 * process and outlives programs; after each all files are closed and nothing may be left (machine.c).
 *
 * The input is bytes; what is behind its end reads as zero. Calls follow each other: a byte for which (modulo their
 * number, in the order of the fuzzer's table), and bytes for its arguments, in the order in which the call's function
 * takes them:
 *
 *	file	below 0x80: the one of this (modulo) number of those of the wanted kind; else of all that are open
 *	id	below 0xf0: modulo 16; else four bytes follow
 *	iova	low 5 bits: one of a table (modulo); high 3 bits: so many pages further; 7: instead of all, eight
 *		bytes follow
 *	length	one of a table; from 0xf0 on eight bytes follow, of which 40 bits count
 *	uva	low 6 bits: page of the arena; high 2 bits: 0; 1: bytes further; one before the end; or outside of it
 *		altogether
 *	flags	the byte, and from 0xf0 on four bytes instead
 *
 * A call's structure is on the stack; after the call "place" the next one's is at a uva, and says another size.
 *
 * With UVFIO_FUZZ_TRACE set, requests and their results are printed. UVFIO_MACHINE is used instead of the fuzzer's
 * machine.
 *
 * Addresses that are not in the arena are never our own memory: devices would write to it.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include "abi/iommufd.h"
#include "abi/vfio.h"
#include "front/capi/priv.h"
#include "pci/pci.h"

#define PAGE       4096ul
#define ARENA      ((char *)0x200000000000)
#define PAGES      64
#define HUGE       0x400000ul /* behind the pages, at 4 MiB: shared, for large pages */
#define FILES_MAX  24
#define HOST_FILE  1000 /* a memfd, sealed as MAP_FILE wants it or not */
#define HOST_SHORT 1001
#define REGION(i)  ((off_t)(i) << 40)
#define CONFIG     REGION(VFIO_PCI_CONFIG_REGION_INDEX)

/* ---- the machine (machine.c) ---- */

#define DEVICES_MAX 16
struct fuzz_device {
	const char *name;   /* as GET_DEVICE_FD takes it */
	char node[64], group[64];
	struct pci_dev *pci; /* NULL: emulated */
};

extern struct uvfio_machine *m;
extern struct fuzz_device devices[DEVICES_MAX];
extern unsigned ndevices, npci; /* in all; the first ones, which are functions */
extern int memfd; /* behind shared pages of the arena */
extern bool trace;

/**
 * fuzz_boot - the machine, the arena and the host's files
 * Once, and not in LLVMFuzzerInitialize: libFuzzer sets its signal handlers after it, and the machine's must come first.
 * @names: addresses of functions, then names of emulated devices; ended by NULL
 */
void fuzz_boot(const char *file, const char *const *names);
/** fuzz_device_add - one that came later; behind its address may be a token, as GET_DEVICE_FD takes it */
void fuzz_device_add(const char *name);
/** fuzz_put - write to a file of sysfs */
void fuzz_put(const char *path, const char *text);
/** fuzz_run - a program's calls; @calls: what the bytes mean */
void fuzz_run(void (*const *calls)(void), unsigned n);
/** fuzz_end - close everything, and see that nothing is left */
void fuzz_end(void);
/** fuzz_no_descriptor_left - none of this process's, compared with the first call */
void fuzz_no_descriptor_left(void);

/* ---- the input (input.c) ---- */

extern const uint8_t *in, *in_end;
extern uint64_t last_iova; /* that something was mapped at */

uint8_t byte(void);
uint64_t raw(unsigned n); /* of n bytes */
uint32_t id(void);
uint32_t flags(void);
uint64_t iova(void);
uint64_t length(void);
uint64_t uva(void);

/* ---- files, calls (files.c) ---- */

enum kind { CTX, DEVICE, GROUP, CONTAINER, OTHER, ACCESS, DMABUF };

struct fuzz_file {
	int fd;
	enum kind kind;
};
extern struct fuzz_file files[FILES_MAX];
extern unsigned nfiles;

/* Where the next call's structure is, and the size it says */
struct fuzz_place {
	bool set;
	uint64_t at;
	uint32_t size;
	bool resize;
};
extern struct fuzz_place place;

int file_add(int fd, enum kind kind); /* returns it; -1: none, or there are too many */
unsigned pick_at(enum kind kind);     /* its place in files[]; nfiles: there is none */
int pick(enum kind kind);
int pick_host(void);                  /* for MAP_FILE: a file of the host's, perhaps */
int try(int fd, unsigned long cmd, void *arg);
int call(int fd, unsigned long cmd, void *arg, size_t n); /* at place, if it is set */
#define CALL(fd, cmd, a) call(fd, cmd, &(a), sizeof(a))

int open_ctx(void);      /* a context with an IOAS, which has id 1 */
int open_device(unsigned i, int ctx); /* by its node, bound to @ctx, a bus master */
void attach(int device, uint32_t pt);
void map_arena(int ctx, uint32_t ioas); /* its first eight pages at 0x10000 */
void set_master(int device, bool on);

/* ---- the arena (arena.c) ---- */

extern bool arena_changed;

void arena_begin(void);

/* ---- calls: bytes are read, something is asked for ---- */

/* files.c */
void do_any(void);
void do_close(void);
void do_dup(void);
void do_open_ctx(void);
void do_open_device(void);
void do_open_group(void);
void do_place(void);
void do_read_write(void);
/* arena.c */
void do_remap(void);
/* ioas.c */
void do_allow(void);
void do_change_process(void);
void do_copy(void);
void do_destroy(void);
void do_get_pa(void);
void do_ioas_alloc(void);
void do_map(void);
void do_map_file(void);
void do_option(void);
void do_ranges(void);
void do_unmap(void);
void do_vfio_ioas(void);
/* vfio.c */
void do_dirty_pages(void);
void do_extension(void);
void do_get_device(void);
void do_get_info(void);
void do_map_dma(void);
void do_set_container(void);
void do_set_iommu(void);
void do_unmap_dma(void);
void do_unset_container(void);
/* device.c */
void do_attach(void);
void do_bind(void);
void do_detach(void);
void do_dma(void);
void do_master(void);
void do_reset(void);

#endif
