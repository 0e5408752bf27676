/* SPDX-License-Identifier: MIT */
/* What ioat.c and ioat_chain.c share: the registers, and the state of a channel. */
#ifndef UVFIO_DEVICES_IOAT_PRIV_H
#define UVFIO_DEVICES_IOAT_PRIV_H

#include "base/lock.h"
#include "devices/devices.h"
#include <assert.h>

#define IOAT_BAR_SIZE      0x4000
#define IOAT_PASID         0x1000 /* RW, 4 bytes; 0: the device's own; not there without PASIDs */
#define IOAT_MSIX_TABLE    0x2000
#define IOAT_MSIX_PBA      0x3000
#define IOAT_XFERCAP       20 /* log2 of the longest transfer */
#define IOAT_CAP_FILL      BIT(6)

#define IOAT_CTRL_INT_DISABLE BIT(0) /* set with each interrupt; writing 1 clears it and so re-arms */
#define IOAT_CTRL_ERR_COMPLETION BIT(2) /* write the status to memory after an error too */
#define IOAT_CTRL_ERR_INT  BIT(4)
#define IOAT_CMD_SUSPEND   0x04
#define IOAT_CMD_RESET     0x20

enum ioat_state { IOAT_ACTIVE, IOAT_DONE, IOAT_SUSPENDED, IOAT_HALTED, IOAT_ARMED };
#define IOAT_STATE_MASK    0x7ull
#define IOAT_DESC_ALIGN    64

enum ioat_error {
	IOAT_ERR_SRC = BIT(0),
	IOAT_ERR_DST = BIT(1),
	IOAT_ERR_NEXT = BIT(2),     /* the address of a descriptor */
	IOAT_ERR_ALIGN = BIT(3),    /* of a descriptor */
	IOAT_ERR_READ = BIT(8),     /* what was read did not arrive: a descriptor */
	IOAT_ERR_CONTROL = BIT(10), /* operation not known */
	IOAT_ERR_LENGTH = BIT(11),
	IOAT_ERR_COMPLETION = BIT(12),
};

#define IOAT_DESC_INT      BIT(0)
#define IOAT_DESC_COMPLETION BIT(3)
#define IOAT_DESC_NULL     BIT(5)
#define IOAT_DESC_OP(ctl)  ((ctl) >> 24)
enum ioat_op { IOAT_OP_COPY = 0, IOAT_OP_FILL = 1 };

struct ioat_desc {
	uint32_t size, ctl;
	uint64_t src; /* fill: the pattern, 8 bytes */
	uint64_t dst, next;
	uint64_t rest[4];
};
static_assert(sizeof(struct ioat_desc) == IOAT_DESC_ALIGN, "descriptor");

/* The registers as they lie in BAR 0. Loads have no side effects. */
struct ioat_regs {
	uint8_t chancnt, xfercap, genctrl, intrctrl;
	uint32_t attnstatus;
	uint8_t version, reserved0[3];
	uint16_t intrdelay, cs_status;
	uint32_t capability;
	uint8_t reserved1[0x6c];
	uint16_t chanctrl, reserved2; /* 0x80: the channel */
	uint8_t chancmd, reserved3;
	uint16_t dmacount;
	uint64_t chansts, chainaddr, chancmp, reserved4;
	uint32_t chanerr, chanerrmask;
};
static_assert(offsetof(struct ioat_regs, chanctrl) == 0x80 && offsetof(struct ioat_regs, chanerr) == 0xa8, "registers");

/* Extended configuration space */
#define IOAT_CONFIG_DMAUNCERRSTS 0x148
#define IOAT_CONFIG_CHANERR_INT  0x180

/* What one store may run before the worker takes over. */
#define IOAT_INLINE_DESCS 256
#define IOAT_INLINE_BYTES (1024 * 1024)
#define IOAT_RECOVERY_US  10000
struct ioat_budget {
	unsigned descs;
	uint64_t bytes;
};

/*
 * [I] immutable after create   [l] lock   [r] the runner's, whoever has set busy
 */
struct ioat {
	struct pci_dev *dev;       /* [I] */
	struct pci_worker *worker; /* [I] */
	uint8_t version;           /* [I] */
	uint32_t pasids;           /* [I] PASIDs it has; 0: none */
	bool asks;                 /* [I] for pages */
	struct mutex lock;         /* RANK_MODEL */
	struct cond idle;          /* busy was cleared */
	bool busy;                 /* [l] somebody runs the chain */
	bool failed;               /* [l] halted by an error: needs RESET */
	bool recovering;           /* [l] reset after an error, and not run since */
	bool suspend, reset;       /* [l] asked for while a descriptor is carried out */
	unsigned generation;       /* [l] changes with each reset: what began before no longer counts */
	uint64_t next;             /* [l] the next descriptor */
	uint16_t done;             /* [l] descriptors since CHAINADDR */
	uint32_t chanerr_int, uncerrsts; /* [l] configuration space */
	uint32_t pasid;            /* [l] the register */
	struct ioat_regs regs;     /* [l] */
	struct ioat_regs shown;    /* [l] what the mirror says */
	uint32_t space;            /* [r] PASID of the descriptor that is carried out */
	uint8_t pattern[4096];     /* [r] */
};

static inline enum ioat_state ioat_state(const struct ioat *e)
{
	return e->regs.chansts & IOAT_STATE_MASK;
}

/* ioat_chain.c; of all but ioat_work() the caller holds the lock */

/** ioat_set_status - the state, and in @desc the last descriptor done; 0: there is none */
void ioat_set_status(struct ioat *e, uint64_t desc, enum ioat_state state);
/** ioat_set_state - the state alone */
void ioat_set_state(struct ioat *e, enum ioat_state state);
/** ioat_mirror_locked - let programs see the registers without asking us */
void ioat_mirror_locked(struct ioat *e);
/** ioat_channel_reset_locked - halted, with no chain; what is being carried out no longer counts */
void ioat_channel_reset_locked(struct ioat *e);
/**
 * ioat_run_locked - run the chain until it is done, stopped, or the budget is used up: then the worker goes on
 * Context: gives the lock up while a descriptor is carried out. Returns at once when somebody runs the chain.
 */
void ioat_run_locked(struct ioat *e, struct ioat_budget budget);
/** ioat_work - the worker's part of it; @state: the struct ioat */
void ioat_work(void *state);

#endif
