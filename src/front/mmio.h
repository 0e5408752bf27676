/* SPDX-License-Identifier: MIT */
/*
 * Trapped pages: turning a fault into accesses to a device.
 *
 * A BAR page with side effects is one that cannot be touched, so a load or store raises a signal. The
 * instruction is decoded once (mmio_decode), then carried out by the executor (mmio_insn.h). There is no
 * emulator: what is not a plain move or a string instruction is re-encoded with its memory operand at a
 * scratch buffer and run as it is; such code lives in a thunk area, memory that one process writes and
 * any number of them execute (a memfd, mapped twice).
 */
#ifndef UVFIO_FRONT_MMIO_H
#define UVFIO_FRONT_MMIO_H

#include "front/mmio_insn.h"
#include <stddef.h>
#include <ucontext.h>

struct mmio_thunks;

/**
 * mmio_thunks_create - make a thunk area
 * @slots: instructions it can hold, at most 65535. A slot is never reused: a caller that feeds it endless
 *         different instructions fills its own area, so a supervisor makes one for each program image.
 * Return: 0; -ENOMEM, -EMFILE, ...; -EACCES the system forbids executable memfds
 */
int mmio_thunks_create(unsigned slots, struct mmio_thunks **out);
void mmio_thunks_destroy(struct mmio_thunks *t);
/** mmio_thunks_fd - the area as a file, to be mapped PROT_READ|PROT_EXEC, MAP_SHARED (not writable); borrowed */
int mmio_thunks_fd(const struct mmio_thunks *t);
/** mmio_thunks_size - bytes of the file */
size_t mmio_thunks_size(const struct mmio_thunks *t);

/**
 * mmio_decode - decode one instruction
 * @bytes: @n bytes of it, at most 15; fewer are fine as long as the instruction is complete
 * @t:     where its thunk goes, if it needs one; the same bytes share a slot
 * @out:   complete but for rip and seq (0)
 * Context: lock-free, no allocation; callable from a signal handler and from any thread
 * Return: 0; -EINVAL not an instruction that can be carried out; -ENOSPC the thunk area is full
 */
int mmio_decode(const void *bytes, size_t n, struct mmio_thunks *t, struct mmio_insn *out);

/**
 * mmio_init - make the process-wide decode cache of mmio_emulate
 * To be called once (again is fine, from any thread) before the first handler is installed.
 * Decoded instructions belong to the program text, not to a machine, so all machines of a process share it.
 */
int mmio_init(void);

/**
 * mmio_emulate - carry out the instruction that faulted, from a SIGSEGV or SIGBUS handler
 * @uc:         the handler's third argument; registers are changed, so that returning continues the program
 * @fault_addr: si_addr
 * @ops, @ctx:  the devices; called in the handler's context
 *
 * The handler must use SA_SIGINFO | SA_NODEFER (the executor touches memory that may not be there) and start with
 *	if (mmio_guard_fixup((uint64_t *)uc->uc_mcontext.gregs, sig, si->si_code))
 *		return;
 * Return: 0 return from the handler; -EFAULT, -ENXIO (what ops said) or -EINVAL: pass the fault on
 */
int mmio_emulate(ucontext_t *uc, uint64_t fault_addr, const struct mmio_ops *ops, void *ctx);

#endif
