/* SPDX-License-Identifier: MIT */
/*
 * One decoded instruction that touches a trapped page, and the executor that carries it out.
 *
 * The decoder (front/mmio_decode.c, with Zydis) runs in the machine's process; the executor
 * (front/mmio_exec.c) runs where the fault was: in the embedding program, or inside any program at all,
 * as a part of the injected stub (front/stub). So this header and the executor need no libc.
 *
 * What an instruction becomes:
 *   LOAD, STORE_REG, STORE_IMM  moves between memory and a general register or an immediate: plain C
 *   STRING                      movs, stos, lods, cmps, scas: element by element, with rep counts and DF
 *   BLOCK64                     movdir64b: 64 bytes read, one 64-byte write
 *   NOP                         cache line flushes
 *   THUNK                       everything else (or, xchg, cmpxchg, vmovdqu64, fld ...): the same
 *                               instruction, its memory operand at a scratch buffer, between a load and a
 *                               store of all registers it may use. Read the device, run it, write the device.
 *
 * What cannot be carried out faithfully, and what happens instead:
 *   - A locked read-modify-write is one device read, then one device write.
 *   - A masked vector load reads the whole operand once. A masked store writes only the selected bytes.
 *   - Gathers, scatters, AMX tiles, xsave, control transfers through memory, push/pop of memory: refused.
 *   - An arithmetic trap (divide by a device's 0, unmasked SIMD exception) is raised inside the thunk.
 *   - movdir64b on a processor without it raises SIGILL before any of this: the stub carries it out, an embedding
 *     program gets the signal.
 */
#ifndef UVFIO_FRONT_MMIO_INSN_H
#define UVFIO_FRONT_MMIO_INSN_H

#include <stdint.h>

#define MMIO_INSN_MAX   15  /* bytes of the longest instruction */
#define MMIO_WIDTH_MAX  64  /* bytes of the widest access */
#define MMIO_THUNK_SIZE 512 /* bytes of one slot of the thunk area */

enum mmio_kind {
	MMIO_NONE, /* zeroed memory is no instruction */
	MMIO_LOAD,
	MMIO_STORE_REG,
	MMIO_STORE_IMM,
	MMIO_STRING,
	MMIO_BLOCK64,
	MMIO_NOP,
	MMIO_THUNK,
};

enum mmio_string {
	MMIO_MOVS,
	MMIO_STOS,
	MMIO_LODS,
	MMIO_CMPS,
	MMIO_SCAS,
};

/* mmio_insn.flags */
#define MMIO_F_READ   0x001 /* reads the memory operand */
#define MMIO_F_WRITE  0x002 /* writes it */
#define MMIO_F_LOCK   0x004 /* had a lock prefix (or is xchg); for information */
#define MMIO_F_SIGN   0x008 /* LOAD: sign-extend */
#define MMIO_F_HIGH   0x010 /* LOAD, STORE_REG: ah, ch, dh, bh */
#define MMIO_F_XSTATE 0x020 /* THUNK: uses x87, vector or mask registers */
#define MMIO_F_MASKED 0x040 /* THUNK: a store that may leave bytes untouched */
#define MMIO_F_REP    0x080 /* STRING: rep, repe */
#define MMIO_F_REPNE  0x100 /* STRING: repne */
#define MMIO_F_ADDR32 0x200 /* 32-bit addressing */
#define MMIO_F_SEGMENT 0x400 /* fs or gs based: the address is taken from the fault */
#define MMIO_F_BITREG 0x800 /* THUNK: bt family with a register bit number, which moves the operand */
#define MMIO_F_COMMIT 0x1000 /* THUNK: a store that changes extended state too (fstp): run again once it is done */

/* mmio_insn.base, .index: 0..15 in hardware order (rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8..r15), or */
#define MMIO_REG_NONE 0xff
#define MMIO_REG_RIP  0xfe

struct mmio_insn {
	uint64_t rip;                /* where it was found; a cache's key, else 0 */
	uint8_t bytes[MMIO_INSN_MAX];
	uint8_t len;
	int64_t disp;                /* the operand is at base + index * scale + disp */
	uint64_t imm;                /* STORE_IMM: sign-extended */
	uint16_t flags;              /* MMIO_F_* */
	uint8_t kind;                /* enum mmio_kind */
	uint8_t string;              /* enum mmio_string */
	uint8_t width;               /* bytes of the memory operand; of one element for STRING */
	uint8_t dest;                /* LOAD: bytes of the register written: 1, 2, 4 (zero-extends to 8), 8 */
	uint8_t reg;                 /* LOAD, STORE_REG, BITREG, BLOCK64 (holds the destination's address) */
	uint8_t base;
	uint8_t index;
	uint8_t scale;
	uint16_t thunk;              /* THUNK: slot in the thunk area */
	uint32_t reserved;
	uint64_t seq;                /* for a cache's own use */
};

_Static_assert(sizeof(struct mmio_insn) == 64, "one cache line, and part of the stub's contract");

/*
 * How the executor reaches a device. An access never crosses a 4 KiB page and is 1, 2, 4, 8, 16, 32 or 64 bytes
 * wide, not always aligned. Return 0, or
 *   -ENXIO   the address is not a device's: the executor reports a genuine fault
 *   -EFAULT  the device's memory is disabled: the same
 *   -EAGAIN  the page can be touched directly now: the instruction is to be run again
 */
struct mmio_ops {
	int (*read)(void *ctx, uint64_t addr, unsigned width, void *buf);
	int (*write)(void *ctx, uint64_t addr, unsigned width, const void *buf);
	/*
	 * @count (at least 2) accesses at ascending addresses, @count * @width at most MMIO_REP_MAX, inside one
	 * page. Return the number done (at least 1) or an error when the first failed. NULL: one by one.
	 */
	int (*read_rep)(void *ctx, uint64_t addr, unsigned width, unsigned count, void *buf);
	int (*write_rep)(void *ctx, uint64_t addr, unsigned width, unsigned count, const void *buf);
	/*
	 * What an operand's other half or a string's other side is, is not known beforehand. 0: touch it, and ask read
	 * or write when that faults (asking is slow); 1: ask first, touch it after -ENXIO.
	 */
	int ask_first;
};

#define MMIO_REP_MAX 256

/* The interrupted context: pointers into the signal frame. */
struct mmio_regs {
	uint64_t *g;         /* in the order of the kernel's struct sigcontext: r8..r15, rdi, rsi, ... see MMIO_G_* */
	void *fpstate;       /* the frame's extended state; NULL: none */
	const uint8_t *thunks; /* the executable thunk area */
};

#define MMIO_G_RIP 16
#define MMIO_G_EFL 17
#define MMIO_G_FPSTATE 23

/* What went wrong, when it did. */
struct mmio_fault {
	uint64_t addr; /* the address that could not be reached */
	int ram;       /* it is ordinary memory: the program's own fault */
	int signo;     /* ram: the signal that the failed access raised (SIGSEGV, SIGBUS) ... */
	int code;      /* ... and its si_code */
};

/**
 * mmio_exec - carry out a decoded instruction
 * @regs:       on success registers and rip are those after the instruction; a repeated string instruction
 *              that stops half way has counted what it did, as the processor would
 * @fault_addr: the address that faulted
 * @fault:      filled in on -EFAULT and -ENXIO
 * Return: 0; -EAGAIN run it again; -EFAULT, -ENXIO a genuine fault; -EINVAL the context lacks what it needs
 */
int mmio_exec(const struct mmio_insn *insn, struct mmio_regs *regs, uint64_t fault_addr, const struct mmio_ops *ops,
	      void *ctx, struct mmio_fault *fault);

/**
 * mmio_guard_copy - copy memory that may not be there
 * @width is moved by one instruction if 1, 2, 4 or 8, else byte by byte.
 * Return: 0; -EFAULT, *@info = signal number | si_code << 8 (needs mmio_guard_fixup in the fault handler)
 */
int mmio_guard_copy(void *dst, const void *src, unsigned width, uint32_t *info);
/**
 * mmio_guard_fixup - to be called first by every handler of SIGSEGV and SIGBUS
 * @g: the interrupted registers. If they are inside mmio_guard_copy, they are changed so that it returns -EFAULT.
 * Return: 1 the fault is dealt with, the handler must return; 0 it is another fault
 */
int mmio_guard_fixup(uint64_t *g, int signo, int code);
/** mmio_insn_matches - are the bytes at @ip (readable or not) those of @insn? Same need as mmio_guard_copy. */
int mmio_insn_matches(const struct mmio_insn *insn, const void *ip);

/*
 * A cache of decoded instructions, keyed by rip: an array of @n (a power of two), zeroed at first. Any number of
 * threads may use it, signal handlers included; nobody ever waits, an entry that is being written is a miss.
 */
/** mmio_cache_find - copy the instruction at @rip to @out if it is known and the bytes in memory are still the same */
int mmio_cache_find(struct mmio_insn *cache, unsigned n, uint64_t rip, struct mmio_insn *out);
/** mmio_cache_put - remember @insn (with its rip) */
void mmio_cache_put(struct mmio_insn *cache, unsigned n, const struct mmio_insn *insn);

#endif
