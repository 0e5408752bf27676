/* SPDX-License-Identifier: MIT */
/*
 * String instructions with one or both sides on a device: movs, stos, lods, cmps, scas, with rep, repe, repne,
 * either direction.
 *
 * Element by element, as the processor does it. Where the elements go up and the device takes several at once
 * (read_rep, write_rep), up to MMIO_REP_MAX bytes travel together; each element is still an access of its own to
 * the device. The one visible difference: if the memory side of a movs from a device turns out to be missing, the
 * device may have been read up to that many bytes further than the count says.
 *
 * A long repetition is left after STEPS elements with rip at the instruction and the registers counted: it
 * faults again and goes on, and signals get their turn. Built into the blob of front/stub too: no libc.
 */
#include "front/priv_mmio.h"

#define E_INVAL 22
#define STEPS 4096

struct string {
	struct mmio_run *run;
	uint64_t *rsi, *rdi, *rcx, *rax;
	uint64_t src_page, dst_page; /* known to be a device's */
	int64_t step;                /* bytes, negative if DF is set */
	unsigned width;
};

/* How many elements may travel together from @addr on? */
static unsigned batch(const struct string *s, uint64_t addr, uint64_t left)
{
	uint64_t n = (0x1000 - (addr & 0xfff)) / s->width;

	if (s->step < 0)
		return 1;
	if (n > MMIO_REP_MAX / s->width)
		n = MMIO_REP_MAX / s->width;
	return n > left ? (unsigned)left : n ? (unsigned)n : 1;
}

/*
 * Up to @n elements: the number done, or an error if the first failed. A batch goes to the device in one call,
 * to ordinary memory element by element.
 */
static int move(struct string *s, uint64_t *page, uint64_t addr, unsigned n, uint8_t *buf, bool write)
{
	struct mmio_run *run = s->run;
	const struct mmio_ops *ops = run->ops;
	int rc;

	if (n > 1 && MMIO_PAGE(addr) == *page && (write ? ops->write_rep != NULL : ops->read_rep != NULL)) {
		rc = write ? ops->write_rep(run->ctx, addr, s->width, n, buf)
			   : ops->read_rep(run->ctx, addr, s->width, n, buf);
		if (rc < 0)
			run->fault->addr = addr;
		return rc == 0 || rc > (int)n ? -E_INVAL : rc;
	}
	for (unsigned i = 0; i < n; i++) {
		rc = mmio_access(run, page, addr + (uint64_t)(s->step * i), s->width, buf + i * s->width, write);
		if (rc)
			return i ? (int)i : rc;
	}
	return (int)n;
}

static int movs(struct string *s, uint64_t left)
{
	uint8_t buf[MMIO_REP_MAX];
	unsigned n = batch(s, *s->rsi, left);
	unsigned m = batch(s, *s->rdi, left);
	int got, put;

	/* Between two devices (or one and itself: they may overlap) nothing is read ahead. */
	if ((MMIO_PAGE(*s->rsi) == s->src_page) == (MMIO_PAGE(*s->rdi) == s->dst_page))
		n = 1;
	got = move(s, &s->src_page, *s->rsi, n < m ? n : m, buf, false);
	if (got < 0)
		return got;
	put = move(s, &s->dst_page, *s->rdi, (unsigned)got, buf, true);
	if (put < 0)
		return put;
	*s->rsi += (uint64_t)(s->step * put);
	*s->rdi += (uint64_t)(s->step * put);
	return put;
}

static int stos(struct string *s, uint64_t left)
{
	uint8_t buf[MMIO_REP_MAX];
	unsigned n = batch(s, *s->rdi, left);
	int put;

	for (unsigned i = 0; i < n * s->width; i++)
		((volatile uint8_t *)buf)[i] = (uint8_t)(*s->rax >> 8 * (i % s->width));
	put = move(s, &s->dst_page, *s->rdi, n, buf, true);
	if (put > 0)
		*s->rdi += (uint64_t)(s->step * put);
	return put;
}

static int lods(struct string *s)
{
	uint64_t v = 0;
	int rc = move(s, &s->src_page, *s->rsi, 1, (uint8_t *)&v, false);

	if (rc < 0)
		return rc;
	if (s->width == 8)
		*s->rax = v;
	else if (s->width == 4)
		*s->rax = (uint32_t)v;
	else
		*s->rax = (*s->rax & ~((1ull << 8 * s->width) - 1)) | v;
	*s->rsi += (uint64_t)s->step;
	return 1;
}

/* The flags of a - b, @width bytes. */
static uint64_t flags_of_sub(uint64_t a, uint64_t b, unsigned width)
{
	unsigned bits = 8 * width;
	uint64_t mask = bits == 64 ? ~0ull : (1ull << bits) - 1;
	uint64_t sign = 1ull << (bits - 1);
	uint64_t r = (a - b) & mask;
	uint64_t f = 0;
	uint8_t p = (uint8_t)r;

	p ^= p >> 4;
	p ^= p >> 2;
	p ^= p >> 1;
	f |= (a & mask) < (b & mask) ? 0x001 : 0;         /* CF */
	f |= p & 1 ? 0 : 0x004;                           /* PF */
	f |= (a ^ b ^ r) & 0x10;                          /* AF */
	f |= r == 0 ? 0x040 : 0;                          /* ZF */
	f |= r & sign ? 0x080 : 0;                        /* SF */
	f |= (a ^ b) & (a ^ r) & sign ? 0x800 : 0;        /* OF */
	return f;
}

/* cmps: [rsi] - [rdi]; scas: rax - [rdi]. */
static int compare(struct string *s, bool with_memory)
{
	uint64_t *efl = &s->run->regs->g[MMIO_G_EFL];
	uint64_t a = *s->rax, b = 0;
	int rc;

	if (with_memory) {
		a = 0;
		rc = move(s, &s->src_page, *s->rsi, 1, (uint8_t *)&a, false);
		if (rc < 0)
			return rc;
	}
	rc = move(s, &s->dst_page, *s->rdi, 1, (uint8_t *)&b, false);
	if (rc < 0)
		return rc;
	*efl = (*efl & ~0x8d5ull) | flags_of_sub(a, b, s->width);
	if (with_memory)
		*s->rsi += (uint64_t)s->step;
	*s->rdi += (uint64_t)s->step;
	return 1;
}

static int step(struct string *s, enum mmio_string op, uint64_t left)
{
	switch (op) {
	case MMIO_MOVS:
		return movs(s, left);
	case MMIO_STOS:
		return stos(s, left);
	case MMIO_LODS:
		return lods(s);
	case MMIO_CMPS:
		return compare(s, true);
	case MMIO_SCAS:
		return compare(s, false);
	}
	return -E_INVAL;
}

int mmio_exec_string(struct mmio_run *run)
{
	const struct mmio_insn *insn = run->insn;
	uint64_t *g = run->regs->g;
	struct string s = {
		.run = run, .rsi = mmio_reg(run->regs, 6), .rdi = mmio_reg(run->regs, 7), .rcx = mmio_reg(run->regs, 1),
		.rax = mmio_reg(run->regs, 0), .src_page = run->page, .dst_page = run->page, .width = insn->width,
	};
	bool repeat = insn->flags & (MMIO_F_REP | MMIO_F_REPNE);
	bool compares = insn->string == MMIO_CMPS || insn->string == MMIO_SCAS;
	uint64_t left = repeat ? *s.rcx : 1;
	unsigned steps = 0;

	s.step = g[MMIO_G_EFL] & 0x400 ? -(int64_t)s.width : s.width;
	while (left) {
		int n = step(&s, insn->string, left);

		if (n < 0)
			return n;
		left -= (unsigned)n;
		if (repeat)
			*s.rcx = left;
		if (compares && repeat && !(g[MMIO_G_EFL] & 0x40) == !(insn->flags & MMIO_F_REPNE))
			break; /* repe ends on a difference, repne on equality */
		steps += (unsigned)n;
		if (left && steps >= STEPS)
			return 0;
	}
	g[MMIO_G_RIP] += insn->len;
	return 0;
}
