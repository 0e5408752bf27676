/* SPDX-License-Identifier: MIT */
/*
 * The executor: one decoded instruction, the registers of the signal frame, a device behind ops.
 *
 * The rule is that nothing of the program's state changes before the last access has succeeded, so that a
 * refused access leaves the context as the processor would: at the instruction, to be run again or to be shown to
 * the program's handler. (Repeated string instructions count what they did, as the processor does.)
 *
 * The operand's address is computed, not taken from the fault: the fault tells only where in the operand the
 * first inaccessible page begins. What of an operand lies in another page is reached as ordinary memory first,
 * and as a device's when that fails. Ordinary memory goes first on a write, so that a store which cannot be
 * completed has not reached the device.
 *
 * Built into the blob of front/stub too: no libc, no floating point.
 */
#include "front/priv_mmio.h"

#define E_AGAIN 11
#define E_FAULT 14
#define E_INVAL 22
#define E_NXIO  6

/* gcc turns loops into calls of memcpy and memset, which the blob has not; volatile keeps them loops. */
static void bytes_copy(void *dst, const void *src, unsigned n)
{
	volatile uint8_t *d = dst;
	const uint8_t *s = src;

	while (n--)
		*d++ = *s++;
}

static void bytes_set(void *dst, uint8_t v, unsigned n)
{
	volatile uint8_t *d = dst;

	while (n--)
		*d++ = v;
}

uint64_t *mmio_reg(struct mmio_regs *regs, unsigned n)
{
	/* rax rcx rdx rbx rsp rbp rsi rdi, then r8.. at 0.. */
	static const uint8_t at[8] = { 13, 14, 12, 11, 15, 10, 9, 8 };

	return &regs->g[n < 8 ? at[n] : n - 8];
}

/* ---- memory ---- */

static int device_access(struct mmio_run *run, uint64_t addr, unsigned n, uint8_t *buf, bool write)
{
	while (n) {
		unsigned w = MMIO_WIDTH_MAX;
		int rc;

		/* A whole operand is one access, aligned or not; an odd size or a piece goes in aligned steps. */
		if ((n & (n - 1)) == 0) {
			w = n;
		} else {
			while (w > n || (addr & (w - 1)))
				w >>= 1;
		}
		rc = write ? run->ops->write(run->ctx, addr, w, buf) : run->ops->read(run->ctx, addr, w, buf);
		if (rc) {
			run->fault->addr = addr;
			run->fault->ram = 0;
			return rc;
		}
		addr += w;
		buf += w;
		n -= w;
	}
	return 0;
}

/* Ordinary memory, or so it seems; *info tells how it failed. */
static int memory_access(uint64_t addr, unsigned n, uint8_t *buf, bool write, uint32_t *info)
{
	void *p = (void *)(uintptr_t)addr;

	return write ? mmio_guard_copy(p, buf, n, info) : mmio_guard_copy(buf, p, n, info);
}

/* Inside one page, which may be anything. */
static int page_access(struct mmio_run *run, uint64_t *page, uint64_t addr, unsigned n, uint8_t *buf, bool write)
{
	uint32_t info = 0;
	int rc = -E_NXIO;

	if (MMIO_PAGE(addr) == *page)
		return device_access(run, addr, n, buf, write);
	if (run->ops->ask_first)
		rc = device_access(run, addr, n, buf, write);
	if (rc == -E_NXIO) {
		if (!memory_access(addr, n, buf, write, &info))
			return 0;
		if (!run->ops->ask_first)
			rc = device_access(run, addr, n, buf, write);
	}
	if (!rc) {
		*page = MMIO_PAGE(addr);
	} else if (rc == -E_NXIO) {
		run->fault->ram = 1;
		run->fault->signo = info & 0xff;
		run->fault->code = (int)(info >> 8);
	}
	return rc;
}

int mmio_access(struct mmio_run *run, uint64_t *page, uint64_t addr, unsigned n, void *buf, bool write)
{
	unsigned first = 0x1000 - (addr & 0xfff);
	uint8_t *b = buf;
	uint64_t known = *page;
	int rc;

	if (n <= first)
		return page_access(run, page, addr, n, b, write);
	/* The page not known to be a device's goes first. */
	if (MMIO_PAGE(addr) == known) {
		rc = page_access(run, page, addr + first, n - first, b + first, write);
		return rc ? rc : page_access(run, &known, addr, first, b, write);
	}
	rc = page_access(run, page, addr, first, b, write);
	return rc ? rc : page_access(run, &known, addr + first, n - first, b + first, write);
}

static uint64_t operand_address(const struct mmio_insn *insn, struct mmio_regs *regs, uint64_t fault_addr)
{
	uint64_t a = (uint64_t)insn->disp;

	if (insn->flags & MMIO_F_SEGMENT)
		return fault_addr;
	if (insn->base == MMIO_REG_RIP)
		a += regs->g[MMIO_G_RIP] + insn->len;
	else if (insn->base != MMIO_REG_NONE)
		a += *mmio_reg(regs, insn->base);
	if (insn->index != MMIO_REG_NONE)
		a += *mmio_reg(regs, insn->index) * insn->scale;
	if (insn->flags & MMIO_F_ADDR32)
		a = (uint32_t)a;
	if (insn->flags & MMIO_F_BITREG) {
		uint64_t r = *mmio_reg(regs, insn->reg);
		int64_t bit = insn->width == 2 ? (int16_t)r : insn->width == 4 ? (int32_t)r : (int64_t)r;

		/* The bit number counts from the operand: floor division by its bits. */
		a += (uint64_t)((bit >> (insn->width == 2 ? 4 : insn->width == 4 ? 5 : 6)) * insn->width);
	}
	return a;
}

/* ---- moves ---- */

static int exec_load(struct mmio_run *run, uint64_t addr)
{
	const struct mmio_insn *insn = run->insn;
	uint64_t *reg = mmio_reg(run->regs, insn->reg);
	unsigned unused = 64 - 8 * insn->width;
	uint64_t v = 0;
	int rc = mmio_access(run, &run->page, addr, insn->width, &v, false);

	if (rc)
		return rc;
	if (insn->flags & MMIO_F_SIGN)
		v = (uint64_t)((int64_t)(v << unused) >> unused);
	if (insn->flags & MMIO_F_HIGH)
		*reg = (*reg & ~0xff00ull) | (v & 0xff) << 8;
	else if (insn->dest == 8)
		*reg = v;
	else if (insn->dest == 4)
		*reg = (uint32_t)v;
	else if (insn->dest == 2)
		*reg = (*reg & ~0xffffull) | (v & 0xffff);
	else
		*reg = (*reg & ~0xffull) | (v & 0xff);
	return 0;
}

static int exec_store(struct mmio_run *run, uint64_t addr)
{
	const struct mmio_insn *insn = run->insn;
	uint64_t v = insn->kind == MMIO_STORE_IMM ? insn->imm : *mmio_reg(run->regs, insn->reg);

	if (insn->flags & MMIO_F_HIGH)
		v >>= 8;
	return mmio_access(run, &run->page, addr, insn->width, &v, true);
}

/* movdir64b: the operand is the source, the register holds the destination; either may be the one that faulted. */
static int exec_block64(struct mmio_run *run, uint64_t src)
{
	uint64_t dst = *mmio_reg(run->regs, run->insn->reg);
	uint64_t page = run->page;
	uint8_t data[64];
	int rc;

	if (run->insn->flags & MMIO_F_ADDR32)
		dst = (uint32_t)dst;
	rc = mmio_access(run, &page, src, 64, data, false);
	return rc ? rc : mmio_access(run, &run->page, dst, 64, data, true);
}

/* ---- thunks ---- */

/* Offsets in the 512 bytes of the legacy area, where the kernel leaves a note for user space. */
#define FRAME_MAGIC1      464
#define FRAME_FEATURES    472
#define FRAME_MAGIC1_VALUE 0x46505853u
#define XSTATE_LEGACY     0x3u  /* x87, SSE */
#define XSTATE_THUNK      0xe7u /* ... AVX, mask registers, upper halves of ZMM, ZMM16..31 */

/* Which of the components that an instruction may use does the frame hold? 0: cannot tell. */
static uint32_t frame_components(const void *fpstate)
{
	const uint8_t *f = fpstate;

	if (!f || ((uintptr_t)f & 63) || *(const uint32_t *)(const void *)(f + FRAME_MAGIC1) != FRAME_MAGIC1_VALUE)
		return 0;
	return *(const uint32_t *)(const void *)(f + FRAME_FEATURES) & XSTATE_THUNK;
}

static void thunk_run(struct mmio_run *run, struct mmio_scratch *s)
{
	const struct mmio_insn *insn = run->insn;
	const uint8_t *code = run->regs->thunks + (uint64_t)insn->thunk * MMIO_THUNK_SIZE;
	void (*fn)(struct mmio_scratch *) = (void (*)(struct mmio_scratch *))(uintptr_t)code;

	for (unsigned i = 0; i < 16; i++)
		s->g[i] = *mmio_reg(run->regs, i);
	if (insn->flags & MMIO_F_BITREG)
		s->g[insn->reg] &= 8 * insn->width - 1;
	s->flags = (run->regs->g[MMIO_G_EFL] & MMIO_FLAGS) | 2;
	fn(s);
}

/* Only rsp is no thunk's to change, and a bit number is only read. */
static void thunk_commit(struct mmio_run *run, const struct mmio_scratch *s)
{
	for (unsigned i = 0; i < 16; i++)
		if (i != 4 && !((run->insn->flags & MMIO_F_BITREG) && i == run->insn->reg))
			*mmio_reg(run->regs, i) = s->g[i];
	run->regs->g[MMIO_G_EFL] = (run->regs->g[MMIO_G_EFL] & ~MMIO_FLAGS) | (s->flags & MMIO_FLAGS);
}

/* Which bytes does a masked store write? Those that come out the same whatever was there. */
static int masked_store(struct mmio_run *run, uint64_t addr, struct mmio_scratch *s)
{
	unsigned n = run->insn->width;
	uint8_t zero[MMIO_WIDTH_MAX];
	unsigned i = 0;

	bytes_set(s->data, 0, n);
	thunk_run(run, s);
	bytes_copy(zero, s->data, n);
	bytes_set(s->data, 0xff, n);
	thunk_run(run, s);
	while (i < n) {
		unsigned from = i;
		unsigned w = n;
		int rc;

		while (i < n && zero[i] == s->data[i])
			i++;
		/* All of it at once, or what was chosen in aligned steps: nobody meant an unaligned access. */
		for (; from < i; from += w) {
			while (w > i - from || (w < n && ((addr + from) & (w - 1))))
				w >>= 1;
			rc = mmio_access(run, &run->page, addr + from, w, zero + from, true);
			if (rc)
				return rc;
		}
		while (i < n && zero[i] != s->data[i])
			i++;
	}
	return 0;
}

static int exec_thunk(struct mmio_run *run, uint64_t addr)
{
	const struct mmio_insn *insn = run->insn;
	bool writes = insn->flags & MMIO_F_WRITE;
	struct mmio_scratch s;
	int rc = 0;

	s.xstate = run->regs->fpstate;
	s.load_mask = s.save_mask = 0;
	s.mxcsr = 0x1f80;
	if (insn->flags & MMIO_F_XSTATE) {
		s.load_mask = frame_components(s.xstate);
		if ((s.load_mask & XSTATE_LEGACY) != XSTATE_LEGACY)
			return -E_INVAL;
		/* A store leaves the registers alone, or is run again (COMMIT) when it has succeeded. */
		s.save_mask = writes ? 0 : s.load_mask;
	}
	if (insn->flags & MMIO_F_READ)
		rc = mmio_access(run, &run->page, addr, insn->width, s.data, false);
	if (rc)
		return rc;
	if (insn->flags & MMIO_F_MASKED) {
		rc = masked_store(run, addr, &s);
	} else {
		thunk_run(run, &s);
		if (writes)
			rc = mmio_access(run, &run->page, addr, insn->width, s.data, true);
	}
	if (rc)
		return rc;
	if (insn->flags & MMIO_F_COMMIT) {
		s.save_mask = s.load_mask;
		thunk_run(run, &s);
	}
	thunk_commit(run, &s);
	return 0;
}

int mmio_exec(const struct mmio_insn *insn, struct mmio_regs *regs, uint64_t fault_addr, const struct mmio_ops *ops,
	      void *ctx, struct mmio_fault *fault)
{
	struct mmio_run run = {
		.insn = insn, .regs = regs, .ops = ops, .ctx = ctx, .fault = fault, .page = MMIO_PAGE(fault_addr),
	};
	uint64_t addr;
	int rc;

	fault->addr = fault_addr;
	fault->ram = fault->signo = fault->code = 0;
	if (insn->kind == MMIO_STRING)
		return mmio_exec_string(&run); /* moves rip itself */
	addr = operand_address(insn, regs, fault_addr);
	/* Not this operand: another instruction than the one that faulted, or a register the decoder misread. */
	if (insn->kind != MMIO_BLOCK64 && insn->kind != MMIO_NOP && fault_addr - addr >= insn->width)
		return -E_INVAL;
	switch (insn->kind) {
	case MMIO_LOAD:
		rc = exec_load(&run, addr);
		break;
	case MMIO_STORE_REG:
	case MMIO_STORE_IMM:
		rc = exec_store(&run, addr);
		break;
	case MMIO_BLOCK64:
		rc = exec_block64(&run, addr);
		break;
	case MMIO_THUNK:
		rc = exec_thunk(&run, addr);
		break;
	case MMIO_NOP:
		rc = 0;
		break;
	default:
		rc = -E_INVAL;
	}
	if (!rc)
		regs->g[MMIO_G_RIP] += insn->len;
	return rc;
}
