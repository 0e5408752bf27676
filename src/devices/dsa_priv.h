/* SPDX-License-Identifier: MIT */
/* What dsa*.c share: registers, descriptors, and the state of the device. */
#ifndef UVFIO_DEVICES_DSA_PRIV_H
#define UVFIO_DEVICES_DSA_PRIV_H

#include "base/lock.h"
#include "devices/devices.h"
#include <assert.h>
#include <stdatomic.h>

#define DSA_WQS         8
#define DSA_GROUPS      4
#define DSA_ENGINES     4
#define DSA_ENTRIES     128 /* descriptors that wait, of all work queues */
#define DSA_VECTORS     9   /* 0: errors and commands; the others are interrupt handles */
#define DSA_XFER_SHIFT  20  /* log2 of the longest transfer, ... */
#define DSA_BATCH_SHIFT 10  /* ... and of the descriptors in a batch */
#define DSA_ALL_WQS     (BIT(DSA_WQS) - 1)

#define DSA_BAR0_SIZE   0x10000
#define DSA_MSIX_TABLE  0x8000
#define DSA_MSIX_PBA    0x9000
#define DSA_PORTAL_SIZE 0x4000 /* of each work queue: four pages, which differ in rights that nobody has here */

enum dsa_opcode { DSA_NOOP, DSA_BATCH, DSA_DRAIN, DSA_MEMMOVE, DSA_FILL, DSA_COMPARE, DSA_COMPARE_PATTERN };
#define DSA_OPCODES     0x7full /* bit mask of the above */

enum dsa_flag {
	DSA_FENCE = BIT(0),             /* in a batch: not if one before has failed */
	DSA_COMPLETION_VALID = BIT(2),  /* there is an address for a completion record, which is written after an error ... */
	DSA_COMPLETION = BIT(3),        /* ... and, with this, in any case */
	DSA_INTERRUPT = BIT(4),
	DSA_CHECK_RESULT = BIT(7),
};

enum dsa_status {
	DSA_SUCCESS = 1,
	DSA_SUCCESS_NOT_EXPECTED = 2,
	DSA_PAGE_FAULT = 3,
	DSA_BATCH_FAILED = 5,
	DSA_LIST_FAULT = 6,
	DSA_BAD_OPCODE = 0x10,
	DSA_BAD_FLAGS = 0x11,
	DSA_BAD_SIZE = 0x13,
	DSA_BAD_COUNT = 0x14,
	DSA_OVERLAP = 0x16,
	DSA_LIST_ALIGN = 0x18,
	DSA_BAD_HANDLE = 0x19,
	DSA_COMPLETION_FAULT = 0x1a,
	DSA_COMPLETION_ALIGN = 0x1b,
	DSA_FAULT_WRITE = 0x80, /* with a fault: of a write */
};

struct dsa_desc {
	uint32_t pasid_priv; /* of a shared work queue */
	uint32_t flags_opcode;
	uint64_t completion;
	uint64_t src; /* or the pattern, or the list of a batch */
	uint64_t dst; /* or the second source, or the pattern */
	uint32_t size; /* or the length of the list */
	uint16_t handle, reserved;
	uint8_t expected, rest[23];
};
static_assert(sizeof(struct dsa_desc) == 64, "descriptor");

static inline uint8_t dsa_opcode(const struct dsa_desc *d)
{
	return d->flags_opcode >> 24;
}

/* The completion record begins with the status, which is written last. */
struct dsa_record {
	uint8_t status, result, reserved[2];
	uint32_t done; /* bytes or, in a batch, descriptors */
	uint64_t fault;
	uint64_t rest[2];
};
static_assert(sizeof(struct dsa_record) == 32, "completion record");

#define DSA_STATE_ENABLED  1u          /* GENSTS */
#define DSA_CAUSE_ERROR    BIT(0)      /* INTCAUSE */
#define DSA_CAUSE_COMMAND  BIT(1)
#define DSA_CTRL_ERROR_INT BIT(0)      /* GENCTRL */
#define DSA_CMDSTS_ACTIVE  BIT(31)

/* Work queue configuration, by dword */
enum { DSA_WQ_SIZE = 0, DSA_WQ_MODE = 2, DSA_WQ_LIMITS = 3, DSA_WQ_STATE = 6, DSA_WQ_OPCODES = 8 };
#define DSA_WQ_DEDICATED   BIT(0)
#define DSA_WQ_BLOCKS      BIT(1)
#define DSA_WQ_PRIORITY(m) ((m) >> 4 & 0xf)
#define DSA_WQ_PASID(m)    ((m) >> 8 & 0xfffff)
#define DSA_WQ_PASID_EN    BIT(28)
#define DSA_WQ_XFER(l)     ((l) & 0x1f)
#define DSA_WQ_BATCH(l)    ((l) >> 5 & 0xf)
#define DSA_WQ_ENABLED     BIT(30)
#define DSA_WQ_STATE_MASK  (3u << 30)

#define DSA_SWERR_VALID    BIT(0)
#define DSA_SWERR_OVERFLOW BIT(1)

/* The registers as they lie in BAR 0, and behind them the tables. Loads have no side effects. */
struct dsa_regs {
	uint32_t version, reserved0[3];
	uint64_t gencap, reserved1, wqcap, reserved2, grpcap, engcap, opcap[4];
	uint16_t grpcfg, wqcfg, msixperm, ims; /* 0x60: where tables are, in units of DSA_TABLE_UNIT */
	uint64_t perfmon, reserved3[2];
	uint32_t gencfg, reserved4, genctrl, reserved5, gensts, reserved6, intcause, reserved7; /* 0x80 */
	uint32_t cmd, reserved8, cmdsts, reserved9, cmdcap, reserved10[3];                      /* 0xa0 */
	uint64_t swerr[4];
};
static_assert(offsetof(struct dsa_regs, gencfg) == 0x80 && offsetof(struct dsa_regs, swerr) == 0xc0, "registers");

#define DSA_TABLE_UNIT 0x100
struct dsa_image {
	struct dsa_regs regs;
	uint8_t reserved[0x400 - sizeof(struct dsa_regs)];
	uint32_t grpcfg[DSA_GROUPS][16];
	uint32_t wqcfg[DSA_WQS][16];
	uint32_t reserved1[64];
	uint32_t msixperm[DSA_VECTORS][2];
};
static_assert(offsetof(struct dsa_image, wqcfg) % DSA_TABLE_UNIT == 0 &&
	      offsetof(struct dsa_image, msixperm) % DSA_TABLE_UNIT == 0, "tables");

/* A descriptor as it came, with what its work queue allowed then. */
struct dsa_job {
	struct dsa_desc desc;
	uint8_t wq;
	uint32_t pasid;
	uint64_t opcodes;
	uint32_t max_size, max_batch;
};

/*
 * [I] immutable after create   [l] lock   [r] the runner's, whoever has set busy
 */
struct dsa {
	struct pci_dev *dev;       /* [I] */
	struct pci_worker *worker; /* [I] */
	uint32_t version;          /* [I] */
	uint32_t pasids;           /* [I] PASIDs it has; 0: none */
	bool asks;                 /* [I] for pages */
	struct mutex lock;         /* RANK_MODEL */
	struct cond idle;          /* busy was cleared */
	bool busy;                 /* [l] somebody carries out descriptors */
	uint32_t running;          /* [l] bit of the work queue whose descriptor is carried out */
	atomic_bool cancel;        /* what is carried out is to end, and nobody is told of it; changes under lock */
	uint32_t command;          /* [l] the CMD that waits for ... */
	uint32_t awaited;          /* [l] ... these work queues */
	struct dsa_job queue[DSA_ENTRIES]; /* [l] a ring */
	unsigned head, count;      /* [l] of it */
	unsigned queued[DSA_WQS];  /* [l] in the ring and running, of each work queue */
	struct dsa_image image;    /* [l] */
	struct dsa_regs shown;     /* [l] what the mirror says */
	struct dsa_job job;        /* [r] */
	struct dsa_desc list[64];  /* [r] a page of a batch */
	uint8_t data[2][4096 + 8]; /* [r] */
};

static inline bool dsa_enabled(const struct dsa *e)
{
	return e->image.regs.gensts == DSA_STATE_ENABLED;
}

static inline bool dsa_wq_enabled(const struct dsa *e, unsigned wq)
{
	return (e->image.wqcfg[wq][DSA_WQ_STATE] & DSA_WQ_STATE_MASK) == DSA_WQ_ENABLED;
}

/* dsa.c; the caller holds the lock */

/** dsa_mirror_locked - let programs see the registers without asking us */
void dsa_mirror_locked(struct dsa *e);
/** dsa_cause_locked - interrupt 0, for @cause */
void dsa_cause_locked(struct dsa *e, uint32_t cause);
/** dsa_wq_reset_locked - configuration and state as after power-on */
void dsa_wq_reset_locked(struct dsa *e, unsigned wq);
/** dsa_config_reset_locked - disabled, with no configuration */
void dsa_config_reset_locked(struct dsa *e);

/* dsa_command.c; the caller holds the lock */

/** dsa_command_locked - a store to CMD */
void dsa_command_locked(struct dsa *e, uint32_t value);
/** dsa_command_progress_locked - less work is left: the command that waits for it may be done */
void dsa_command_progress_locked(struct dsa *e);

/* dsa_queue.c; of all but dsa_work() the caller holds the lock */

/** dsa_submit_locked - a descriptor arrives at a portal. Context: may give the lock up, and carry it out */
void dsa_submit_locked(struct dsa *e, unsigned wq, const struct dsa_desc *d);
/** dsa_cancel_locked - forget the work of these work queues; one that is carried out ends soon, see dsa.running */
void dsa_cancel_locked(struct dsa *e, uint32_t wqs);
/** dsa_work - the worker; @state: the struct dsa */
void dsa_work(void *state);

/* dsa_desc.c; no lock held */

/** dsa_execute - carry out e->job, and tell of it. Context: the runner */
void dsa_execute(struct dsa *e);

#endif
