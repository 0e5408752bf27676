/* SPDX-License-Identifier: MIT */
/*
 * Trapped pages in the same process: decode on the first fault at an address, execute, remember.
 *
 * The one static state outside the stub: a signal handler has no argument, and what is remembered here are
 * instructions of this process's text, which are the same for every machine in it.
 */
#include "front/priv_decode.h"
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#define CACHE_SIZE 1024 /* instructions */
#define SLOTS      8192 /* thunks: 4 MiB of address space */

static struct mmio_thunks *_Atomic thunks;
static struct mmio_insn cache[CACHE_SIZE];

int mmio_init(void)
{
	struct mmio_thunks *mine, *other = NULL;
	int rc;

	if (atomic_load(&thunks))
		return 0;
	rc = mmio_thunks_create(SLOTS, &mine);
	if (rc)
		return rc;
	if (!mmio_thunks_code(mine)) {
		mmio_thunks_destroy(mine);
		return -EACCES;
	}
	if (!atomic_compare_exchange_strong(&thunks, &other, mine))
		mmio_thunks_destroy(mine); /* another thread was first */
	return 0;
}

/* Up to 15 bytes at @rip, fewer when the next page is not there. */
static size_t fetch(uint64_t rip, uint8_t *bytes)
{
	uint32_t info;
	size_t n = 0;

	while (n < MMIO_INSN_MAX && !mmio_guard_copy(bytes + n, (const void *)(rip + n), 1, &info))
		n++;
	return n;
}

static int find(struct mmio_thunks *t, uint64_t rip, struct mmio_insn *insn)
{
	uint8_t bytes[MMIO_INSN_MAX];
	int rc;

	if (mmio_cache_find(cache, CACHE_SIZE, rip, insn))
		return 0;
	rc = mmio_decode(bytes, fetch(rip, bytes), t, insn);
	if (rc)
		return -EINVAL;
	insn->rip = rip;
	mmio_cache_put(cache, CACHE_SIZE, insn);
	return 0;
}

int mmio_emulate(ucontext_t *uc, uint64_t fault_addr, const struct mmio_ops *ops, void *ctx)
{
	struct mmio_regs regs = {
		.g = (uint64_t *)uc->uc_mcontext.gregs,
		.fpstate = uc->uc_mcontext.fpregs,
	};
	struct mmio_fault fault;
	struct mmio_insn insn;
	struct mmio_thunks *t = atomic_load(&thunks);
	int rc;

	if (!t)
		return -EINVAL;
	regs.thunks = mmio_thunks_code(t);
	rc = find(t, regs.g[MMIO_G_RIP], &insn);
	if (!rc)
		rc = mmio_exec(&insn, &regs, fault_addr, ops, ctx, &fault);
	return rc == -EAGAIN ? 0 : rc;
}
