/* SPDX-License-Identifier: MIT */
/* What the files of front/capi share. */
#ifndef UVFIO_FRONT_CAPI_PRIV_H
#define UVFIO_FRONT_CAPI_PRIV_H

#include "base/ids.h"
#include "base/lock.h"
#include "file/file.h"
#include "machine/machine.h"
#include "task/task.h"
#include "uvfio/uvfio.h"
#include <signal.h>

/* This process's address space, as one machine charges and reaches it. */
struct capi_mm {
	struct mm mm;
	int maps;               /* [I] /proc/self/maps, or -1 */
	atomic_bool true_pins;  /* private memory is not used in place */
	struct mutex lock;      /* RANK_SUPER_FDS */
	void *by_key, *by_host; /* [lock] tsearch of duplicates of shared memory, see capi_share.c */
};

struct uvfio_machine {
	struct machine *machine;
	struct tree *tree;       /* [I] the machine's */
	struct capi_mm *mm;      /* [I] */
	pid_t tgid;              /* [I] */
	atomic_bool caps[TASK_CAPS]; /* by enum task_cap */
	struct mutex lock;       /* RANK_SUPER_FDS */
	struct ids ids;          /* [lock] open file numbers */
	struct file **files;     /* [lock] by number; NULL: closed */
	unsigned nfiles;         /* [lock] room */
	FILE *boot;              /* [log lock] where errors go while the machine is being made */
};

/* A call of this process. */
struct capi_task {
	struct task task;
	struct uvfio_machine *m;
};

/** capi_task_init - the current thread calls @m */
void capi_task_init(struct capi_task *ct, struct uvfio_machine *m);
int capi_mm_create(struct capi_mm **out);
/** capi_share, capi_unshare - struct mm_ops */
int capi_share(struct mm *mm, const struct mm_area *area, uva_t uva, uint64_t length, void **host);
void capi_unshare(struct mm *mm, void *host, uint64_t length);
/** capi_own_caps - set @m's capabilities to those of this process */
void capi_own_caps(struct uvfio_machine *m);

/** capi_file_get - the file of a number, with a reference; NULL: not open */
struct file *capi_file_get(struct uvfio_machine *m, int fd);
/** capi_file_install - the lowest free number for @f; takes a reference of its own. -EMFILE; -ENOMEM */
int capi_file_install(struct uvfio_machine *m, struct file *f);

/**
 * capi_trap_install - have faults of this process come to us; again, when somebody else has taken them since
 * Guarded copies depend on it, and trapped mappings. Return: 0; -errno
 */
int capi_trap_install(void);
/** capi_trap - a fault: was it ours, and is it dealt with? */
bool capi_trap(int sig, siginfo_t *info, void *uc);

/* A mapping made by uvfio_mmap, as area() sees it. */
struct capi_area {
	uintptr_t start, last;
	struct file *file; /* borrowed */
	uint64_t offset;
	int prot;
	bool shared;
};
/** capi_map_find - the machine's mapping at @addr; false: none */
bool capi_map_find(uintptr_t addr, struct capi_area *out);
/** capi_mapped - struct file's mapped() */
bool capi_mapped(struct file *f, uint64_t offset, uint64_t length);
/** capi_map_add - mmap(2) of a machine's file. Return: 0 and the address; -errno */
int capi_map_add(struct uvfio_machine *m, struct file *f, void *addr, const struct file_mmap *req, void **out);
/** capi_map_cut - munmap(2): what @m has mapped there is forgotten, the range unmapped. 0; -errno */
int capi_map_cut(struct uvfio_machine *m, void *addr, size_t length);
/** capi_map_cut_all - unmap all that @m has mapped */
void capi_map_cut_all(struct uvfio_machine *m);

#endif
