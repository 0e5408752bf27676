/* SPDX-License-Identifier: MIT */
/*
 * Between the thunk writer (mmio_thunk.c) and the executor (mmio_exec.c), and between the parts of the
 * executor. The blob of front/stub is built of the executor's files, so no libc here.
 */
#ifndef UVFIO_FRONT_PRIV_MMIO_H
#define UVFIO_FRONT_PRIV_MMIO_H

#include "front/mmio_insn.h"
#include <stdbool.h>
#include <stddef.h>

/*
 * What a thunk gets: void thunk(struct mmio_scratch *). It loads extended state, flags and all registers but
 * rsp and one that it chose as its base, runs the instruction on data[], and stores all back.
 */
struct mmio_scratch {
	uint8_t data[MMIO_WIDTH_MAX];
	uint64_t g[16];      /* hardware order */
	uint64_t flags;
	void *xstate;        /* 64-byte aligned xsave area, standard format */
	uint32_t load_mask;  /* components to load */
	uint32_t save_mask;  /* components to store; 0: none */
	uint32_t mxcsr;      /* set afterwards, as the C code around expects it */
} __attribute__((aligned(64)));

/* A slot of the thunk area: code, and what it was made of. */
#define MMIO_THUNK_CODE (MMIO_THUNK_SIZE - 32)
struct mmio_slot {
	uint8_t code[MMIO_THUNK_CODE];
	uint8_t bytes[MMIO_INSN_MAX];
	uint8_t len;
	uint32_t state;      /* MMIO_SLOT_*, atomic */
	uint32_t reserved[3];
};
_Static_assert(sizeof(struct mmio_slot) == MMIO_THUNK_SIZE, "slots are found by their number");
enum { MMIO_SLOT_FREE, MMIO_SLOT_BUSY, MMIO_SLOT_READY };

/* The flags an instruction may change: CF PF AF ZF SF DF OF. */
#define MMIO_FLAGS 0xcd5ull

/* One execution. */
struct mmio_run {
	const struct mmio_insn *insn;
	struct mmio_regs *regs;
	const struct mmio_ops *ops;
	void *ctx;
	struct mmio_fault *fault;
	uint64_t page;       /* a page known to be a device's */
};

#define MMIO_PAGE(addr) ((addr) >> 12)

/** mmio_reg - the register with hardware number @n in the signal frame */
uint64_t *mmio_reg(struct mmio_regs *regs, unsigned n);
/**
 * mmio_access - read or write @n bytes (1..64) at @addr, device or ordinary memory, across a page or not
 * @page: a page known to be a device's; moved on when the access finds another
 */
int mmio_access(struct mmio_run *run, uint64_t *page, uint64_t addr, unsigned n, void *buf, bool write);
int mmio_exec_string(struct mmio_run *run);

#endif
