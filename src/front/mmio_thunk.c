/* SPDX-License-Identifier: MIT */
/*
 * The thunk area: a memfd of 512-byte slots, each a small routine and the instruction bytes it was made of.
 *
 * Slots are claimed with a compare-and-swap on their state, in the area itself, so threads, signal handlers and
 * forked processes that share the area need no lock; a writer that dies in the middle costs one slot. A slot is
 * never changed once ready, so nobody can be executing what is being written.
 *
 * A routine (struct mmio_scratch * in rdi): save what C expects to keep; load extended state if the instruction
 * uses it; R = rdi, R a register foreign to the instruction; load flags and all other registers but rsp; the
 * instruction, on [R]; store all; restore.
 */
#include "front/priv_decode.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <fcntl.h>
#include <unistd.h>

#ifndef MFD_EXEC
#define MFD_EXEC 0x10u
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x10
#endif

struct mmio_thunks {
	int fd;
	unsigned slots;
	struct mmio_slot *slot; /* writable */
	const uint8_t *code;    /* executable; NULL unless this process runs them */
};

int mmio_thunks_create(unsigned slots, struct mmio_thunks **out)
{
	struct mmio_thunks *t;
	int rc;

	if (!slots || slots > 65535)
		return -EINVAL;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->slots = slots;
	t->fd = memfd_create("uvfio-thunks", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
	if (t->fd < 0 && errno == EINVAL)
		t->fd = memfd_create("uvfio-thunks", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (t->fd < 0)
		goto err_free;
	if (ftruncate(t->fd, (off_t)mmio_thunks_size(t)))
		goto err_close;
	t->slot = mmap(NULL, mmio_thunks_size(t), PROT_READ | PROT_WRITE, MAP_SHARED, t->fd, 0);
	if (t->slot == MAP_FAILED)
		goto err_close;
	/* This mapping stays the only one that writes (kernels before 5.1 do not know how to promise it). */
	(void)fcntl(t->fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK | F_SEAL_GROW);
	*out = t;
	return 0;

err_close:
	rc = -errno;
	close(t->fd);
	free(t);
	return rc;
err_free:
	rc = -errno;
	free(t);
	return rc;
}

void mmio_thunks_destroy(struct mmio_thunks *t)
{
	if (!t)
		return;
	if (t->code)
		munmap((void *)(uintptr_t)t->code, mmio_thunks_size(t));
	munmap(t->slot, mmio_thunks_size(t));
	close(t->fd);
	free(t);
}

int mmio_thunks_fd(const struct mmio_thunks *t)
{
	return t->fd;
}

size_t mmio_thunks_size(const struct mmio_thunks *t)
{
	return ((size_t)t->slots * MMIO_THUNK_SIZE + 4095) & ~4095ul;
}

const uint8_t *mmio_thunks_code(struct mmio_thunks *t)
{
	if (!t->code) {
		void *p = mmap(NULL, mmio_thunks_size(t), PROT_READ | PROT_EXEC, MAP_SHARED, t->fd, 0);

		t->code = p == MAP_FAILED ? NULL : p;
	}
	return t->code;
}

/* ---- writing one ---- */

struct code {
	uint8_t byte[MMIO_THUNK_CODE];
	unsigned n;
};

static void put(struct code *c, const void *bytes, unsigned n)
{
	if (c->n + n <= sizeof(c->byte))
		memcpy(c->byte + c->n, bytes, n);
	c->n += n; /* past the end: noticed by the caller */
}

#define PUT(c, ...)                                          \
	do {                                                 \
		const uint8_t put_bytes[] = { __VA_ARGS__ }; \
		put(c, put_bytes, sizeof(put_bytes));        \
	} while (0)

/* mov between r and [base + disp32]; opcode 0x8b loads, 0x89 stores. base is never rsp or r12. */
static void put_mov64(struct code *c, uint8_t opcode, unsigned r, unsigned base, uint32_t disp)
{
	PUT(c, 0x48 | (r >> 3) << 2 | base >> 3, opcode, 0x80 | (r & 7) << 3 | (base & 7));
	put(c, &disp, 4);
}

/* With the scratch in rdi: rsi = xstate, edx:eax = the mask at @mask, then the instruction unless the mask is 0. */
static void put_xstate(struct code *c, size_t mask, uint8_t modrm)
{
	uint32_t disp = (uint32_t)mask;

	put_mov64(c, 0x8b, 6, 7, offsetof(struct mmio_scratch, xstate));
	PUT(c, 0x8b, 0x87);                                /* mov eax, [rdi + mask] */
	put(c, &disp, 4);
	PUT(c, 0x31, 0xd2);                                /* xor edx, edx */
	PUT(c, 0x85, 0xc0, 0x74, 0x04);                    /* test eax, eax; jz over the next */
	PUT(c, 0x48, 0x0f, 0xae, modrm);                   /* xrstor64 / xsave64 [rsi] */
}

static void put_registers(struct code *c, uint8_t opcode, unsigned base)
{
	for (unsigned r = 0; r < 16; r++)
		if (r != 4 && r != base)
			put_mov64(c, opcode, r, base, (uint32_t)(offsetof(struct mmio_scratch, g) + 8 * r));
}

/* push or pop qword [base + flags] */
static void put_flags(struct code *c, unsigned base, uint8_t opcode, uint8_t ext)
{
	uint32_t disp = offsetof(struct mmio_scratch, flags);

	PUT(c, 0x40 | base >> 3, opcode, 0x80 | ext << 3 | (base & 7));
	put(c, &disp, 4);
}

static int put_routine(struct code *c, unsigned base, const uint8_t *insn, unsigned len, bool xstate)
{
	uint32_t disp;

	PUT(c, 0xf3, 0x0f, 0x1e, 0xfa);                                           /* endbr64 */
	PUT(c, 0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57);       /* push rbx rbp r12..r15 */
	if (xstate)
		put_xstate(c, offsetof(struct mmio_scratch, load_mask), 0x2e);
	if (base != 7)
		PUT(c, 0x48 | base >> 3, 0x89, 0xf8 | (base & 7));                /* mov base, rdi */
	put_flags(c, base, 0xff, 6);
	PUT(c, 0x9d);                                                             /* popf */
	put_registers(c, 0x8b, base);
	put(c, insn, len);
	put_registers(c, 0x89, base);
	PUT(c, 0x9c);                                                             /* pushf */
	put_flags(c, base, 0x8f, 0);
	if (xstate) {
		PUT(c, 0x48 | (base >> 3) << 2, 0x89, 0xc7 | (base & 7) << 3);    /* mov rdi, base */
		put_xstate(c, offsetof(struct mmio_scratch, save_mask), 0x26);
		PUT(c, 0xdb, 0xe3);                                               /* fninit */
		PUT(c, 0x0f, 0xae, 0x97);                                         /* ldmxcsr [rdi + mxcsr] */
		disp = offsetof(struct mmio_scratch, mxcsr);
		put(c, &disp, 4);
	}
	PUT(c, 0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d, 0x41, 0x5c, 0x5d, 0x5b);       /* pop */
	PUT(c, 0xfc, 0xc3);                                                       /* cld; ret */
	return c->n <= sizeof(c->byte) ? 0 : -EINVAL;
}

/* A register for the operand's address: one of the low ones, so that forms with ah..bh, which allow no REX, work. */
static int choose_base(uint32_t used)
{
	static const uint8_t order[] = { 7, 6, 3, 1, 2, 0, 11, 10, 9, 8, 14, 15 };

	for (unsigned n = 0; n < sizeof(order); n++)
		if (!(used & 1u << order[n]))
			return order[n];
	return -1;
}

/* The same instruction on [base]. Checked by decoding it again. */
static int reencode(const ZydisDecodedInstruction *i, const ZydisDecodedOperand *o, const struct thunk_plan *plan,
		    int base, uint8_t *out, ZyanUSize *len)
{
	ZydisEncoderRequest q;
	ZydisDecoder decoder;
	ZydisDecodedInstruction check;
	ZydisDecodedOperand check_o[ZYDIS_MAX_OPERAND_COUNT];
	ZydisEncoderOperand *m;

	if (ZYAN_FAILED(ZydisEncoderDecodedInstructionToEncoderRequest(i, o, i->operand_count_visible, &q)))
		return -EINVAL;
	m = &q.operands[plan->memory];
	m->mem.base = ZYDIS_REGISTER_RAX + base;
	m->mem.index = ZYDIS_REGISTER_NONE;
	m->mem.scale = 0;
	m->mem.displacement = 0;
	q.prefixes &= ~(ZYDIS_ATTRIB_HAS_SEGMENT | ZYDIS_ATTRIB_HAS_LOCK | ZYDIS_ATTRIB_HAS_XACQUIRE |
			ZYDIS_ATTRIB_HAS_XRELEASE);
	q.address_size_hint = ZYDIS_ADDRESS_SIZE_HINT_NONE;
	if (ZYAN_FAILED(ZydisEncoderEncodeInstruction(&q, out, len)))
		return -EINVAL;
	if (ZYAN_FAILED(ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64)) ||
	    ZYAN_FAILED(ZydisDecoderDecodeFull(&decoder, out, *len, &check, check_o)))
		return -EINVAL;
	if (check.length != *len || check.mnemonic != i->mnemonic || check.operand_count != i->operand_count ||
	    check_o[plan->memory].type != ZYDIS_OPERAND_TYPE_MEMORY ||
	    check_o[plan->memory].size != o[plan->memory].size || check_o[plan->memory].mem.base != m->mem.base)
		return -EINVAL;
	for (unsigned n = 0; n < i->operand_count; n++) {
		if (check_o[n].type != o[n].type || check_o[n].size != o[n].size)
			return -EINVAL;
		if (o[n].type == ZYDIS_OPERAND_TYPE_REGISTER && check_o[n].reg.value != o[n].reg.value)
			return -EINVAL;
	}
	return 0;
}

static struct mmio_slot *claim(struct mmio_thunks *t, const struct mmio_insn *insn, bool *ready)
{
	uint32_t hash = 2166136261u;
	unsigned at;

	for (unsigned n = 0; n < insn->len; n++)
		hash = (hash ^ insn->bytes[n]) * 16777619u;
	at = hash % t->slots;
	for (unsigned n = 0; n < t->slots; n++, at = at + 1 == t->slots ? 0 : at + 1) {
		struct mmio_slot *s = &t->slot[at];
		uint32_t state = __atomic_load_n(&s->state, __ATOMIC_ACQUIRE);

		if (state == MMIO_SLOT_FREE &&
		    __atomic_compare_exchange_n(&s->state, &state, MMIO_SLOT_BUSY, false, __ATOMIC_ACQUIRE,
						__ATOMIC_ACQUIRE)) {
			*ready = false;
			return s;
		}
		if (state == MMIO_SLOT_READY && s->len == insn->len && !memcmp(s->bytes, insn->bytes, insn->len)) {
			*ready = true;
			return s;
		}
	}
	return NULL;
}

int mmio_thunk_make(struct mmio_thunks *t, const ZydisDecodedInstruction *i, const ZydisDecodedOperand *o,
		    const struct thunk_plan *plan, struct mmio_insn *out)
{
	int base = choose_base(plan->used);
	uint8_t insn[ZYDIS_MAX_INSTRUCTION_LENGTH];
	ZyanUSize len = sizeof(insn);
	struct code code = { .n = 0 };
	struct mmio_slot *slot;
	bool ready;
	int rc;

	if (base < 0)
		return -EINVAL;
	rc = reencode(i, o, plan, base, insn, &len);
	if (!rc)
		rc = put_routine(&code, (unsigned)base, insn, (unsigned)len, out->flags & MMIO_F_XSTATE);
	if (rc)
		return rc;
	slot = claim(t, out, &ready);
	if (!slot)
		return -ENOSPC;
	if (!ready) {
		memcpy(slot->code, code.byte, code.n);
		memcpy(slot->bytes, out->bytes, out->len);
		slot->len = out->len;
		__atomic_store_n(&slot->state, MMIO_SLOT_READY, __ATOMIC_RELEASE);
	}
	out->thunk = (uint16_t)(slot - t->slot);
	return 0;
}
