/* SPDX-License-Identifier: MIT */
/* Inside the fuzzer of iommufd: what a program is, is said in iommufd.c. */
#ifndef FUZZ_H
#define FUZZ_H

#include "abi/iommufd.h"
#include "abi/iommufd_test.h"
#include "abi/vfio.h"
#include "front/capi/priv.h"
#include "pci/pci.h"

#define PAGE       4096ul
#define ARENA      ((char *)0x200000000000)
#define PAGES      64
#define HUGE       0x400000ul /* behind the pages, at 4 MiB: shared, for large pages */
#define FILES_MAX  24
#define CONFIG     ((off_t)VFIO_PCI_CONFIG_REGION_INDEX << 40)
#define HOST_FILE  1000 /* a memfd, sealed as MAP_FILE wants it or not */
#define HOST_SHORT 1001
#define DEVICES    6
#define SOFT       DEVICES

/* ---- the machine (iommufd.c) ---- */

extern struct uvfio_machine *m;
extern const char *const bdfs[DEVICES];
extern struct pci_dev *pci[DEVICES];
extern char nodes[DEVICES + 1][64], groups[DEVICES + 1][64];
extern int memfd; /* behind shared pages of the arena */
extern bool trace;

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

/* ---- the arena (arena.c) ---- */

extern bool arena_changed;

void arena_begin(void);

void set_master(int fd, bool on); /* device.c */
int test_call(int fd, uint32_t op, uint32_t id, struct iommu_test_cmd *c); /* mock.c */

/* ---- calls: bytes are read, something is asked for ---- */

void do_allow(void);
void do_any(void);
void do_attach(void);
void do_bind(void);
void do_change_process(void);
void do_close(void);
void do_copy(void);
void do_destroy(void);
void do_detach(void);
void do_dirty_pages(void);
void do_dma(void);
void do_dup(void);
void do_extension(void);
void do_fault_alloc(void);
void do_get_device(void);
void do_get_dirty(void);
void do_get_info(void);
void do_get_pa(void);
void do_hw_info(void);
void do_hwpt_alloc(void);
void do_invalidate(void);
void do_ioas_alloc(void);
void do_map(void);
void do_map_dma(void);
void do_map_file(void);
void do_master(void);
void do_open_ctx(void);
void do_open_device(void);
void do_open_group(void);
void do_option(void);
void do_place(void);
void do_ranges(void);
void do_read_write(void);
void do_remap(void);
void do_reset(void);
void do_set_container(void);
void do_set_dirty(void);
void do_set_iommu(void);
void do_soft(void);
void do_unmap(void);
void do_unmap_dma(void);
void do_unset_container(void);
void do_vfio_ioas(void);
void do_scene(void);
void do_nested_alloc(void);
void do_viommu_alloc(void);
void do_vdevice_alloc(void);
void do_veventq_alloc(void);
void do_hw_queue_alloc(void);
void do_invalidate_entries(void);
void do_region(void);
void do_answer(void);
void do_mock(void);
void do_mock_replace(void);
void do_pasid(void);
void do_trigger(void);
void do_check(void);
void do_mark(void);
void do_reserve(void);
void do_access(void);
void do_access_pages(void);
void do_access_copy(void);
void do_access_replace(void);
void do_dmabuf(void);
void do_dmabuf_revoke(void);
void do_dmabuf_map(void);
void do_limit(void);

#endif
