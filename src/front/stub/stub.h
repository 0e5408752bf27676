/* SPDX-License-Identifier: MIT */
/*
 * The contract between the supervisor and the stub.
 *
 * The stub is a small freestanding program that lives at a fixed address in every process of the tree
 * (dynamic, static, Go ...). It owns the process's SIGBUS, SIGSEGV and SIGILL: a load or store on a trapped BAR page
 * (a file page beyond the end of the file) comes to it, it carries the instruction out (front/mmio_insn.h)
 * and reaches the device by an RPC. So does every movdir64b on a processor without it. Every other fault goes to the
 * program's handler, as if the stub were not there.
 *
 * 1. Getting in. In the exec stop (ptrace), the supervisor
 *      a. runs one mmap(STUB_TEXT, STUB_TEXT_SIZE, PROT_READ|PROT_EXEC, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED_NOREPLACE)
 *         in the process,
 *      b. writes stub_blob[0..stub_blob_size) there (/proc/PID/mem or PTRACE_POKEDATA; both ignore protection),
 *      c. sets rdi = the program's rip, rip = STUB_START, all else as it was (rsp: the program's), and detaches.
 *    The rest is done by the stub, by ordinary system calls, which end with the program's first instruction:
 *    STUB_HELLO, mmap of the areas below, rt_sigaction of each signal, rt_sigprocmask (unblock them), STUB_READY.
 *
 * 2. System calls of the stub. The filter must let pass every system call whose instruction pointer lies in
 *    [STUB_TEXT, STUB_TEXT + STUB_TEXT_SIZE), but for ioctl with a first argument of -1, which is an RPC. The stub
 *    uses mmap, close, madvise, rt_sigaction, rt_sigprocmask, rt_tgsigqueueinfo, getpid, gettid, rt_sigreturn, open and
 *    fcntl (/proc/self/maps), ioctl (PROCMAP_QUERY on that).
 *
 * 3. RPC: ioctl(-1, cmd, a, b, c, d): arguments 2..5 of the notification. The answer is rax: a value, or -errno.
 *    Bad pointers are -EFAULT as for any caller. An unknown cmd: -ENOTTY.
 *
 * 4. Signals. The program's rt_sigaction of these signals is answered by the supervisor, which keeps the actions
 *    of each process (thread group), and keeps a copy in the memory of the process that owns the mm, see
 *    struct stub_data. The inherited actions of a thread group not seen before (fork, vfork) are those in its memory.
 *    A program that blocks SIGBUS while it touches a trapped page is killed by the kernel.
 *
 * fork: text, data and all mappings are inherited, nothing is to be done. exec: all is gone, inject again.
 */
#ifndef UVFIO_FRONT_STUB_H
#define UVFIO_FRONT_STUB_H

#include "front/mmio_insn.h"

#define STUB_VERSION 2

/* Below every mmap_base of a 47-bit process, and in a range that ASan, MSan and TSan leave to the application. */
#define STUB_TEXT        0x7e9000000000ull /* r-x private: the blob */
#define STUB_TEXT_SIZE   0x10000ull
#define STUB_START       STUB_TEXT         /* entry of section 1c; the blob begins with it */
#define STUB_DATA        0x7e9000100000ull /* rw- private: struct stub_data */
#define STUB_DATA_SIZE   0x20000ull
#define STUB_FORK        0x7e9000140000ull /* rw- private, wiped on fork: struct stub_fork */
#define STUB_FORK_SIZE   0x1000ull
#define STUB_THUNKS      0x7e9000200000ull /* r-x shared: the file of mmio_thunks_fd() */
#define STUB_THUNKS_MAX  0x2000000ull
#define STUB_MIRROR      0x7e9004000000ull /* r-- shared: the file of stub_mirror_fd(), front/stub/mirror.h */
#define STUB_MIRROR_MAX  0x4000000ull
#define STUB_END         0x7e9008000000ull

#define STUB_CACHE_SIZE  1024 /* decoded instructions */
#define STUB_MISSED      128

/* The stub's signals, as indices of action[]. */
#define STUB_SIG_BUS  0
#define STUB_SIG_SEGV 1
#define STUB_SIG_ILL  2
#define STUB_SIGNALS  3

/* stub_signal - the index of signal @sig (its number is that of every Linux on x86); -1: not the stub's */
static inline int stub_signal(int sig)
{
	return sig == 7 ? STUB_SIG_BUS : sig == 11 ? STUB_SIG_SEGV : sig == 4 ? STUB_SIG_ILL : -1;
}

/* As the kernel's struct sigaction of rt_sigaction: what the program asked for. handler 0 is SIG_DFL, 1 SIG_IGN. */
struct stub_action {
	uint64_t handler;
	uint64_t flags;
	uint64_t restorer;
	uint64_t mask;
};

/*
 * At STUB_DATA. Copied by fork. The supervisor writes owner and action[] only.
 *
 * owner is the thread group to which action[] belongs. A vforked child shares this memory and has actions of its
 * own, which stay in the supervisor. So, on rt_sigaction in thread group T: change T's own actions (first taken from
 * action[] if T was not known); then, if owner == T, write action[]. seq is odd while the supervisor writes.
 */
struct stub_data {
	uint32_t version;
	uint32_t owner;                       /* tgid as getpid() in the process gives it; 0: action[] is not valid */
	uint32_t seq;
	uint32_t own_fd;                      /* from STUB_HELLO; 0: no short cut for loads */
	struct stub_action action[STUB_SIGNALS];
	int32_t maps_fd;                      /* the stub's own: the last descriptor it had on a maps file */
	uint32_t reserved;
	uint64_t reserved2[7];
	uint64_t traps;                       /* instructions carried out */
	uint64_t mirrored;                    /* loads answered from the mirror, of those */
	struct mmio_insn cache[STUB_CACHE_SIZE]; /* the stub's own */
};
_Static_assert(sizeof(struct stub_data) <= STUB_DATA_SIZE, "stub_data does not fit");

/* At STUB_FORK. Zeroed by fork, so a new mm is told from a shared one: alive is 1 since some owner claimed it. */
struct stub_fork {
	uint32_t alive;
	int32_t maps_fd;                      /* the stub's own: on /proc/self/maps; 0: not open */
	uint32_t maps_bad;                    /* the stub's own: no use trying */
	uint32_t reserved;
	uint64_t missed[STUB_MISSED];         /* the stub's own: pages that are not in the mirror */
};

/* STUB_HELLO's answer. */
struct stub_hello {
	int32_t thunks_fd;                    /* installed in the process, close-on-exec; the stub maps and closes it */
	int32_t mirror_fd;                    /* the same; -1: no mirror */
	uint64_t thunks_size;
	uint64_t mirror_size;
	struct stub_action action[STUB_SIGNALS]; /* what exec left: handler 0 or 1 */
	/*
	 * Where the stub may keep a descriptor of its own (the lowest free one from there on), below RLIMIT_NOFILE and
	 * out of everybody's way. 0, or no mirror: every load is an RPC.
	 */
	uint32_t own_fd;
	uint32_t reserved;
};

/* STUB_PAGE's answer. */
#define STUB_PAGE_TRAP    0
#define STUB_PAGE_PLAIN   1
#define STUB_PAGE_BLOCKED 2
struct stub_page {
	uint32_t kind;
	int32_t fd;                           /* PLAIN: installed in the process, close-on-exec; the stub closes it */
	uint64_t start;                       /* PLAIN: map [start, start + length) */
	uint64_t length;
	uint64_t offset;                      /* PLAIN: from there in fd */
	uint32_t prot;                        /* PLAIN: PROT_* of the mapping that is replaced */
	uint32_t reserved;
};

/* The RPCs. */
#define STUB_RPC_FD    (-1)
#define STUB_RPC_FIRST 0x3bf0u
#define STUB_RPC_LAST  0x3bffu

/* (version, struct stub_hello *out) -> 0; -EPROTO other version: the program then runs without a stub */
#define STUB_HELLO     0x3bf0u
/* (rc): the program starts now; rc 0, or the -errno with which the stub could not be set up -> ignored */
#define STUB_READY     0x3bf1u
/*
 * One access. width is 1, 2, 4, 8, 16, 32 or 64; it never crosses a 4 KiB page. Errors:
 *   -EFAULT  memory is disabled: the program gets a SIGBUS
 *   -ENXIO   no mapping of a device (or, for a write, a read-only one): the fault is the program's own
 *   -EAGAIN  the page is plain memory: the stub asks STUB_PAGE, maps it, runs the instruction again
 */
/* (addr, width, buf) -> the value; -EOVERFLOW: the value is in buf (a width over 8, or one that looks like an errno) */
#define STUB_READ      0x3bf2u
/* (addr, width, value, buf) -> 0; a width over 8: the value is in buf */
#define STUB_WRITE     0x3bf3u
/*
 * (addr, width, count, buf): count accesses at ascending addresses in one page, count * width <= MMIO_REP_MAX
 * -> the number done, at least 1, or an error as above when the first failed
 */
#define STUB_READ_REP  0x3bf4u
#define STUB_WRITE_REP 0x3bf5u
/*
 * (addr, struct stub_page *out) -> 0; -ENXIO no mapping of a device; -EAGAIN ask again.
 * A PLAIN mapping replaces a piece of the device's: its open file must keep the device file from being released.
 */
#define STUB_PAGE      0x3bf6u
/* (rip, struct mmio_insn *out): read up to 15 bytes at rip, mmio_decode() them, set out->rip -> 0; -EINVAL; -ENOSPC */
#define STUB_DECODE    0x3bf7u
/*
 * (sig, struct stub_action *out, deliver) -> 0: the calling thread group's action for sig.
 * If struct stub_fork's alive is 0 the caller has just been forked and owns its memory: set data.owner, write
 * data.action[], set alive. deliver 1: the action is used now; with SA_RESETHAND it becomes SIG_DFL afterwards.
 */
#define STUB_ACTION    0x3bf8u

#endif
