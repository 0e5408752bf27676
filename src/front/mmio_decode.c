/* SPDX-License-Identifier: MIT */
/*
 * From instruction bytes to struct mmio_insn, with Zydis. What is a plain move or a string instruction is
 * described; what has exactly one memory operand in plain sight becomes a thunk; the rest is refused.
 *
 * A thunk is the instruction with its memory operand replaced by [base], base being a register that it does not
 * use, so it depends on the bytes alone and not on where they were found.
 */
#include "front/priv_decode.h"
#include <errno.h>
#include <string.h>

/* The general register's hardware number; -1: not one. */
static int gpr(ZydisRegister reg, bool *high)
{
	ZydisRegister whole = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg);

	*high = reg >= ZYDIS_REGISTER_AH && reg <= ZYDIS_REGISTER_BH;
	if (whole < ZYDIS_REGISTER_RAX || whole > ZYDIS_REGISTER_R15)
		return -1;
	return (int)(whole - ZYDIS_REGISTER_RAX);
}

static bool has_prefix(const ZydisDecodedInstruction *i, uint8_t value)
{
	for (unsigned n = 0; n < i->raw.prefix_count; n++)
		if (i->raw.prefixes[n].value == value)
			return true;
	return false;
}

/* Where is the operand? Fills base, index, scale, disp. */
static int decode_address(const ZydisDecodedInstruction *i, const ZydisDecodedOperand *m, struct mmio_insn *out)
{
	bool high;
	int n;

	if (m->mem.type != ZYDIS_MEMOP_TYPE_MEM)
		return -EINVAL; /* gathers, MPX */
	out->base = out->index = MMIO_REG_NONE;
	out->disp = m->mem.disp.has_displacement ? m->mem.disp.value : 0;
	if (m->mem.base == ZYDIS_REGISTER_RIP || m->mem.base == ZYDIS_REGISTER_EIP) {
		out->base = MMIO_REG_RIP;
	} else if (m->mem.base != ZYDIS_REGISTER_NONE) {
		n = gpr(m->mem.base, &high);
		if (n < 0)
			return -EINVAL;
		out->base = (uint8_t)n;
	}
	if (m->mem.index != ZYDIS_REGISTER_NONE) {
		n = gpr(m->mem.index, &high);
		if (n < 0)
			return -EINVAL;
		out->index = (uint8_t)n;
		out->scale = m->mem.scale;
	}
	if (i->address_width == 32)
		out->flags |= MMIO_F_ADDR32;
	if (m->mem.segment == ZYDIS_REGISTER_FS || m->mem.segment == ZYDIS_REGISTER_GS)
		out->flags |= MMIO_F_SEGMENT;
	return 0;
}

static int decode_string(const ZydisDecodedInstruction *i, enum mmio_string op, unsigned width, struct mmio_insn *out)
{
	/* A segment or 32-bit registers: nobody does it. */
	if (i->address_width != 64 || has_prefix(i, 0x64) || has_prefix(i, 0x65))
		return -EINVAL;
	out->kind = MMIO_STRING;
	out->string = op;
	out->width = (uint8_t)width;
	out->flags = has_prefix(i, 0xf2) ? MMIO_F_REPNE : has_prefix(i, 0xf3) ? MMIO_F_REP : 0;
	return 0;
}

/* 1: not a string instruction */
static int try_string(const ZydisDecodedInstruction *i, struct mmio_insn *out)
{
	if (i->meta.category != ZYDIS_CATEGORY_STRINGOP)
		return 1;
	switch (i->mnemonic) {
#define STRING_OP(name)                                       \
	case ZYDIS_MNEMONIC_##name##B:                        \
		return decode_string(i, MMIO_##name, 1, out); \
	case ZYDIS_MNEMONIC_##name##W:                        \
		return decode_string(i, MMIO_##name, 2, out); \
	case ZYDIS_MNEMONIC_##name##D:                        \
		return decode_string(i, MMIO_##name, 4, out); \
	case ZYDIS_MNEMONIC_##name##Q:                        \
		return decode_string(i, MMIO_##name, 8, out)
	STRING_OP(MOVS);
	STRING_OP(STOS);
	STRING_OP(LODS);
	STRING_OP(CMPS);
	STRING_OP(SCAS);
#undef STRING_OP
	default:
		return 1;
	}
}

/* Moves between memory and a general register or an immediate. 1: not one */
static int try_move(const ZydisDecodedInstruction *i, const ZydisDecodedOperand *o, struct mmio_insn *out)
{
	bool high;
	int reg;

	switch (i->mnemonic) {
	case ZYDIS_MNEMONIC_MOV:
	case ZYDIS_MNEMONIC_MOVZX:
	case ZYDIS_MNEMONIC_MOVNTI:
	case ZYDIS_MNEMONIC_MOVDIRI:
		break;
	case ZYDIS_MNEMONIC_MOVSX:
	case ZYDIS_MNEMONIC_MOVSXD:
		out->flags |= MMIO_F_SIGN;
		break;
	default:
		return 1;
	}
	if (o[0].type == ZYDIS_OPERAND_TYPE_MEMORY && o[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
		out->kind = MMIO_STORE_IMM;
		out->imm = o[1].imm.value.u;
		return 0;
	}
	if (o[0].type == ZYDIS_OPERAND_TYPE_MEMORY && o[1].type == ZYDIS_OPERAND_TYPE_REGISTER) {
		reg = gpr(o[1].reg.value, &high);
		out->kind = MMIO_STORE_REG;
	} else if (o[0].type == ZYDIS_OPERAND_TYPE_REGISTER && o[1].type == ZYDIS_OPERAND_TYPE_MEMORY) {
		reg = gpr(o[0].reg.value, &high);
		out->kind = MMIO_LOAD;
		out->dest = (uint8_t)(o[0].size / 8);
	} else {
		return -EINVAL;
	}
	if (reg < 0)
		return -EINVAL; /* a segment register */
	out->reg = (uint8_t)reg;
	out->flags |= high ? MMIO_F_HIGH : 0;
	return 0;
}

/* movdir64b reg, [source] */
static int try_special(const ZydisDecodedInstruction *i, const ZydisDecodedOperand *o, struct mmio_insn *out)
{
	switch (i->mnemonic) {
	case ZYDIS_MNEMONIC_CLFLUSH:
	case ZYDIS_MNEMONIC_CLFLUSHOPT:
	case ZYDIS_MNEMONIC_CLWB:
		out->kind = MMIO_NOP;
		return 0;
	case ZYDIS_MNEMONIC_MOVDIR64B:
		break;
	default:
		return 1;
	}
	/* The destination's address is in modrm.reg, however the decoder words it. */
	out->reg = (uint8_t)(i->raw.modrm.reg | (i->raw.rex.R ? 8 : 0));
	out->kind = MMIO_BLOCK64;
	out->width = 64;
	return decode_address(i, &o[1], out);
}

static bool is_masked_store(const ZydisDecodedInstruction *i)
{
	switch (i->mnemonic) {
	case ZYDIS_MNEMONIC_VMASKMOVPS:
	case ZYDIS_MNEMONIC_VMASKMOVPD:
	case ZYDIS_MNEMONIC_VPMASKMOVD:
	case ZYDIS_MNEMONIC_VPMASKMOVQ:
		return true;
	default:
		return i->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX && i->avx.mask.reg != ZYDIS_REGISTER_NONE &&
		       i->avx.mask.reg != ZYDIS_REGISTER_K0;
	}
}

/*
 * Does it leave vector, mask and x87 registers alone? Not to be told from its operands: a conversion into a general
 * register leaves exceptions in MXCSR.
 */
static bool is_integer(const ZydisDecodedInstruction *i)
{
	switch (i->meta.isa_ext) {
	case ZYDIS_ISA_EXT_BASE:
	case ZYDIS_ISA_EXT_ADOX_ADCX:
	case ZYDIS_ISA_EXT_BMI1:
	case ZYDIS_ISA_EXT_BMI2:
	case ZYDIS_ISA_EXT_LONGMODE:
	case ZYDIS_ISA_EXT_LZCNT:
	case ZYDIS_ISA_EXT_MOVBE:
	case ZYDIS_ISA_EXT_TBM:
		return true;
	default:
		return false;
	}
}

/* A store that changes extended state too: pops the x87 stack, enters MMX mode, leaves exceptions in MXCSR. */
static bool is_busy_store(const ZydisDecodedInstruction *i, const ZydisDecodedOperand *o)
{
	if (i->meta.isa_ext == ZYDIS_ISA_EXT_X87 || i->mnemonic == ZYDIS_MNEMONIC_VCVTPS2PH)
		return true;
	for (unsigned n = 0; n < i->operand_count; n++) {
		ZydisRegisterClass class = ZydisRegisterGetClass(o[n].reg.value);

		if (o[n].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    (class == ZYDIS_REGCLASS_X87 || class == ZYDIS_REGCLASS_MMX))
			return true;
	}
	return false;
}

/* Which registers it uses, and may it run in a thunk at all? */
static int check_registers(const ZydisDecodedInstruction *i, const ZydisDecodedOperand *o, struct thunk_plan *plan,
			   struct mmio_insn *out)
{
	for (unsigned n = 0; n < i->operand_count; n++) {
		bool high;
		int reg;

		if (o[n].type != ZYDIS_OPERAND_TYPE_REGISTER)
			continue;
		reg = gpr(o[n].reg.value, &high);
		if (reg == 4)
			return -EINVAL; /* rsp is the thunk's */
		if (reg >= 0) {
			plan->used |= 1u << reg;
			continue;
		}
		switch (ZydisRegisterGetClass(o[n].reg.value)) {
		case ZYDIS_REGCLASS_FLAGS:
			break;
		case ZYDIS_REGCLASS_TMM:
		case ZYDIS_REGCLASS_IP:
		case ZYDIS_REGCLASS_SEGMENT:
		case ZYDIS_REGCLASS_TEST:
		case ZYDIS_REGCLASS_CONTROL:
		case ZYDIS_REGCLASS_DEBUG:
		case ZYDIS_REGCLASS_BOUND:
			return -EINVAL;
		default:
			out->flags |= MMIO_F_XSTATE;
		}
	}
	if (!is_integer(i))
		out->flags |= MMIO_F_XSTATE;
	return 0;
}

static bool is_bit_test(const ZydisDecodedInstruction *i)
{
	return i->mnemonic == ZYDIS_MNEMONIC_BT || i->mnemonic == ZYDIS_MNEMONIC_BTS ||
	       i->mnemonic == ZYDIS_MNEMONIC_BTR || i->mnemonic == ZYDIS_MNEMONIC_BTC;
}

/* Everything else. */
static int plan_thunk(const ZydisDecodedInstruction *i, const ZydisDecodedOperand *o, unsigned m, struct mmio_insn *out,
		      struct thunk_plan *plan)
{
	bool high;
	int rc;

	switch (i->meta.category) {
	case ZYDIS_CATEGORY_CALL:
	case ZYDIS_CATEGORY_COND_BR:
	case ZYDIS_CATEGORY_UNCOND_BR:
	case ZYDIS_CATEGORY_RET:
	case ZYDIS_CATEGORY_PUSH:
	case ZYDIS_CATEGORY_POP:
	case ZYDIS_CATEGORY_SYSTEM:
	case ZYDIS_CATEGORY_STRINGOP:
	case ZYDIS_CATEGORY_IOSTRINGOP:
	case ZYDIS_CATEGORY_XSAVE:
	case ZYDIS_CATEGORY_XSAVEOPT:
		return -EINVAL;
	default:
		break;
	}
	if (m >= i->operand_count_visible || out->width == 0)
		return -EINVAL;
	for (unsigned n = 0; n < i->operand_count; n++)
		if (n != m && o[n].type == ZYDIS_OPERAND_TYPE_MEMORY)
			return -EINVAL;
	memset(plan, 0, sizeof(*plan));
	plan->memory = m;
	rc = check_registers(i, o, plan, out);
	if (rc)
		return rc;
	if (is_bit_test(i) && o[1].type == ZYDIS_OPERAND_TYPE_REGISTER) {
		out->flags |= MMIO_F_BITREG;
		out->reg = (uint8_t)gpr(o[1].reg.value, &high);
	}
	if ((out->flags & MMIO_F_WRITE) && is_masked_store(i))
		out->flags = (out->flags | MMIO_F_MASKED) & ~MMIO_F_READ;
	if ((out->flags & MMIO_F_WRITE) && is_busy_store(i, o))
		out->flags |= MMIO_F_COMMIT;
	out->kind = MMIO_THUNK;
	return 0;
}

static int find_memory(const ZydisDecodedInstruction *i, const ZydisDecodedOperand *o)
{
	for (unsigned n = 0; n < i->operand_count; n++)
		if (o[n].type == ZYDIS_OPERAND_TYPE_MEMORY && o[n].mem.type != ZYDIS_MEMOP_TYPE_AGEN)
			return (int)n;
	return -1;
}

int mmio_decode(const void *bytes, size_t n, struct mmio_thunks *t, struct mmio_insn *out)
{
	ZydisDecoder decoder;
	ZydisDecodedInstruction i;
	ZydisDecodedOperand o[ZYDIS_MAX_OPERAND_COUNT];
	struct thunk_plan plan;
	int m, rc;

	if (ZYAN_FAILED(ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64)) ||
	    ZYAN_FAILED(ZydisDecoderDecodeFull(&decoder, bytes, n, &i, o)))
		return -EINVAL;
	memset(out, 0, sizeof(*out));
	memcpy(out->bytes, bytes, i.length);
	out->len = i.length;
	rc = try_special(&i, o, out);
	if (rc == 1)
		rc = try_string(&i, out);
	if (rc != 1)
		return rc;
	m = find_memory(&i, o);
	if (m < 0 || o[m].size > 8 * MMIO_WIDTH_MAX || o[m].size % 8)
		return -EINVAL;
	out->width = (uint8_t)(o[m].size / 8);
	if (o[m].actions & ZYDIS_OPERAND_ACTION_MASK_READ)
		out->flags |= MMIO_F_READ;
	if (o[m].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)
		out->flags |= MMIO_F_WRITE;
	if (has_prefix(&i, 0xf0) || (i.mnemonic == ZYDIS_MNEMONIC_XCHG))
		out->flags |= MMIO_F_LOCK;
	rc = decode_address(&i, &o[m], out);
	if (!rc)
		rc = try_move(&i, o, out);
	if (rc != 1)
		return rc;
	rc = plan_thunk(&i, o, (unsigned)m, out, &plan);
	if (rc)
		return rc;
	return mmio_thunk_make(t, &i, o, &plan, out);
}
