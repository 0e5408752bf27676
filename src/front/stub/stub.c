/* SPDX-License-Identifier: MIT */
/*
 * The stub: the code that lives in every program and turns its faults into accesses to the machine's devices.
 *
 * It owns the process's SIGBUS, SIGSEGV and SIGILL. A SIGBUS beyond the end of a file may be a trapped BAR page: the
 * instruction is looked up in the cache (or decoded by the supervisor), executed, and the device reached by an RPC
 * (stub.h). A SIGILL may be a movdir64b, on a processor without it. Every other fault is the program's: the handler it
 * believes to have installed is entered as the kernel would have entered it, with the very frame that the kernel built.
 *
 * It runs in foreign processes on stacks of unknown size (Go's signal stack, a thread's minimal one): no libc, no
 * thread-local storage, no vector registers, under 2 KiB of stack. All signals but faults are blocked while it runs,
 * so the program's handlers never see it half way.
 */
#include "front/stub/fast.h"
#include "front/stub/stub.h"
#include "front/stub/sys.h"
#include <stdbool.h>

#define HIDDEN __attribute__((visibility("hidden")))
#define DATA ((struct stub_data *)STUB_DATA)
#define FORK ((struct stub_fork *)STUB_FORK)

/* What the entry code in assembler is told. */
struct stub_next {
	uint64_t handler; /* enter it; 0: return to where the fault was */
	uint64_t frame;   /* with the stack pointer here */
};

void stub_init(void) HIDDEN;
struct stub_next stub_fault(struct stub_frame *frame) HIDDEN;
extern const char stub_handler[] HIDDEN, stub_restorer[] HIDDEN;

/*
 * stub_start: rdi = the program's first instruction. Ends with the registers as the kernel sets them at exec.
 * stub_handler: a signal handler. The frame begins at rsp; stub_fault may have moved it.
 * stub_restorer: the same bytes as libc's, by which debuggers and unwinders know a signal frame.
 */
__asm__(".section .text.start, \"ax\"\n"
	".globl stub_start, stub_handler, stub_restorer\n"
	".hidden stub_start, stub_handler, stub_restorer\n"
	"stub_start:\n"
	"	movq %rsp, %rbp\n"
	"	movq %rdi, %rbx\n"
	"	andq $-16, %rsp\n"
	"	call stub_init\n"
	"	movq %rbp, %rsp\n"
	"	movq %rbx, -8(%rsp)\n"
	"	xorl %eax, %eax\n"
	"	xorl %ebx, %ebx\n"
	"	xorl %ecx, %ecx\n"
	"	xorl %edx, %edx\n"
	"	xorl %esi, %esi\n"
	"	xorl %edi, %edi\n"
	"	xorl %ebp, %ebp\n"
	"	xorl %r8d, %r8d\n"
	"	xorl %r9d, %r9d\n"
	"	xorl %r10d, %r10d\n"
	"	xorl %r11d, %r11d\n"
	"	xorl %r12d, %r12d\n"
	"	xorl %r13d, %r13d\n"
	"	xorl %r14d, %r14d\n"
	"	xorl %r15d, %r15d\n"
	"	jmp *-8(%rsp)\n"
	".p2align 4\n"
	"stub_handler:\n"
	"	endbr64\n"
	"	pushq %rdi\n" /* the signal's number; and now the stack is aligned */
	"	leaq 8(%rsp), %rdi\n"
	"	call stub_fault\n"
	"	popq %rdi\n"
	"	testq %rax, %rax\n"
	"	jz 1f\n"
	"	movq %rdx, %rsp\n"
	"	leaq 312(%rdx), %rsi\n"
	"	movl (%rsi), %edi\n"
	"	addq $8, %rdx\n"
	"	movq %rax, %r11\n"
	"	xorl %eax, %eax\n"
	"	jmp *%r11\n"
	"1:	ret\n"
	".p2align 4, 0x90\n"
	"	nop\n"
	"stub_restorer:\n"
	"	movq $15, %rax\n"
	"	syscall\n"
	"	hlt\n"
	".text\n");

typedef uint64_t any64 __attribute__((may_alias, aligned(1)));
typedef uint32_t any32 __attribute__((may_alias, aligned(1)));

/* The compiler may want these. */
void *memcpy(void *dst, const void *src, size_t n) HIDDEN;
void *memset(void *dst, int v, size_t n) HIDDEN;

void *memcpy(void *dst, const void *src, size_t n)
{
	void *d = dst;

	/* What is copied here mostly fits in a register or a few, and starting "rep" costs more than that. */
	for (; n >= 8 && n <= 64; n -= 8, d = (char *)d + 8, src = (const char *)src + 8)
		*(any64 *)d = *(const any64 *)src;
	if (n == 4) {
		*(any32 *)d = *(const any32 *)src;
		return dst;
	}
	if (!n)
		return dst;
	__asm__ volatile("rep movsb" : "+D"(d), "+S"(src), "+c"(n) : : "memory");
	return dst;
}

void *memset(void *dst, int v, size_t n)
{
	void *d = dst;

	__asm__ volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(v) : "memory");
	return dst;
}

static long rpc(uint32_t cmd, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	long rc;

	/* A signal may come before the supervisor has seen the call: then nothing has happened yet. */
	do
		rc = stub_syscall6(SYS_ioctl, (uint64_t)STUB_RPC_FD, cmd, a, b, c, d);
	while (rc == -E_INTR);
	return rc;
}

/* ---- the device behind a trapped page ---- */

/* The page can be touched directly from now on: map what the supervisor hands out in the trapped page's place. */
static int map_plain(uint64_t addr)
{
	struct stub_page page;
	long rc = rpc(STUB_PAGE, addr, (uint64_t)&page, 0, 0);

	if (rc)
		return rc == -E_AGAIN ? -E_AGAIN : -E_NXIO;
	if (page.kind == STUB_PAGE_BLOCKED)
		return -E_FAULT;
	if (page.kind != STUB_PAGE_PLAIN)
		return -E_AGAIN;
	rc = stub_syscall6(SYS_mmap, page.start, page.length, page.prot, MAP_SHARED | MAP_FIXED, (uint64_t)page.fd,
			   page.offset);
	stub_syscall(SYS_close, (uint64_t)page.fd, 0, 0, 0);
	return rc < 0 && rc > -4096 ? -E_FAULT : -E_AGAIN;
}

static int access_error(long rc, uint64_t addr)
{
	if (rc == -E_AGAIN)
		return map_plain(addr);
	return rc == -E_FAULT ? -E_FAULT : -E_NXIO;
}

static int stub_read(void *ctx, uint64_t addr, unsigned width, void *buf)
{
	uint64_t v = 0;
	long rc;

	(void)ctx;
	if (width <= 8 && stub_fast_load(addr, width, &v)) {
		__atomic_fetch_add(&DATA->mirrored, 1, __ATOMIC_RELAXED);
		memcpy(buf, &v, width);
		return 0;
	}
	rc = rpc(STUB_READ, addr, width, (uint64_t)(width > 8 ? buf : &v), 0);
	if (rc < 0 && rc > -4096 && rc != -E_OVERFLOW)
		return access_error(rc, addr);
	if (width > 8)
		return rc == -E_OVERFLOW ? 0 : -E_NXIO;
	if (rc != -E_OVERFLOW)
		v = (uint64_t)rc;
	memcpy(buf, &v, width);
	return 0;
}

static int stub_write(void *ctx, uint64_t addr, unsigned width, const void *buf)
{
	uint64_t v = 0;
	long rc;

	(void)ctx;
	if (width <= 8)
		memcpy(&v, buf, width);
	rc = rpc(STUB_WRITE, addr, width, v, (uint64_t)buf);
	return rc ? access_error(rc, addr) : 0;
}

static int stub_read_rep(void *ctx, uint64_t addr, unsigned width, unsigned count, void *buf)
{
	long rc = rpc(STUB_READ_REP, addr, width, count, (uint64_t)buf);

	(void)ctx;
	return rc > 0 ? (int)rc : access_error(rc, addr);
}

static int stub_write_rep(void *ctx, uint64_t addr, unsigned width, unsigned count, const void *buf)
{
	long rc = rpc(STUB_WRITE_REP, addr, width, count, (uint64_t)buf);

	(void)ctx;
	return rc > 0 ? (int)rc : access_error(rc, addr);
}

static const struct mmio_ops ops = {
	.read = stub_read,
	.write = stub_write,
	.read_rep = stub_read_rep,
	.write_rep = stub_write_rep,
};

static int decode(uint64_t rip, struct mmio_insn *insn)
{
	if (mmio_cache_find(DATA->cache, STUB_CACHE_SIZE, rip, insn))
		return 0;
	if (rpc(STUB_DECODE, rip, (uint64_t)insn, 0, 0))
		return -E_INVAL;
	insn->rip = rip;
	mmio_cache_put(DATA->cache, STUB_CACHE_SIZE, insn);
	return 0;
}

/*
 * Carry out an instruction that faulted at @addr. 0: done; -E_AGAIN: to be run again; else the fault is the program's,
 * and info tells it so: as it came, or, if the instruction failed at its other operand, as that failed.
 */
static int carry_out(struct stub_frame *frame, const struct mmio_insn *insn, uint64_t addr, struct mmio_fault *fault)
{
	struct mmio_regs regs = {
		.g = frame->uc.g,
		.fpstate = (void *)frame->uc.g[MMIO_G_FPSTATE],
		.thunks = (const uint8_t *)STUB_THUNKS,
	};
	int rc = mmio_exec(insn, &regs, addr, &ops, NULL, fault);

	if (!rc)
		__atomic_fetch_add(&DATA->traps, 1, __ATOMIC_RELAXED);
	if (rc && rc != -E_AGAIN && rc != -E_INVAL && fault->ram && fault->signo) {
		frame->info.signo = fault->signo;
		frame->info.code = fault->code;
		frame->info.addr = fault->addr;
	}
	return rc;
}

/* An access to a device. 0: done, or to be run again; else the fault is the program's. */
static int emulate(struct stub_frame *frame)
{
	struct mmio_fault fault;
	struct mmio_insn insn;
	int rc;

	if (decode(frame->uc.g[MMIO_G_RIP], &insn))
		return -E_INVAL;
	rc = carry_out(frame, &insn, frame->info.addr, &fault);
	return rc == -E_AGAIN ? 0 : rc;
}

#define NO_ADDRESS (~0ull)

/*
 * An instruction that the processor does not have. A movdir64b is carried out all the same, or a program that stores
 * descriptors to a device's portal would have nowhere to run: to memory, or to the device if that faults. Any other is
 * the program's to hear of. Returns as emulate().
 */
static int emulate_missing(struct stub_frame *frame)
{
	struct mmio_fault fault;
	struct mmio_insn insn;
	int rc;

	if (decode(frame->uc.g[MMIO_G_RIP], &insn) || insn.kind != MMIO_BLOCK64)
		return -E_INVAL;
	rc = carry_out(frame, &insn, NO_ADDRESS, &fault);
	if (rc == -E_FAULT) { /* a device that does not answer */
		frame->info.signo = SIGBUS;
		frame->info.code = BUS_ADRERR;
		frame->info.addr = fault.addr;
	}
	return rc == -E_AGAIN ? 0 : rc;
}

/* ---- the program's own faults ---- */

/* The action that the program has for the signal; its one use is up if it asked for that. */
static void get_action(int sig, struct stub_action *out)
{
	const struct stub_action *mine = &DATA->action[stub_signal(sig)];
	uint32_t seq = __atomic_load_n(&DATA->seq, __ATOMIC_ACQUIRE);

	out->handler = __atomic_load_n(&mine->handler, __ATOMIC_ACQUIRE);
	out->flags = __atomic_load_n(&mine->flags, __ATOMIC_ACQUIRE);
	out->restorer = 0;
	out->mask = __atomic_load_n(&mine->mask, __ATOMIC_ACQUIRE);
	if (!(seq & 1) && __atomic_load_n(&DATA->seq, __ATOMIC_RELAXED) == seq && !(out->flags & SA_RESETHAND) &&
	    FORK->alive && DATA->owner == (uint32_t)stub_syscall(SYS_getpid, 0, 0, 0, 0))
		return;
	/* Just forked, or a vforked child in its parent's memory, or being changed, or used once. */
	if (rpc(STUB_ACTION, (uint64_t)sig, (uint64_t)out, 1, 0))
		out->handler = SIG_DFL;
}

/*
 * The default action, with the siginfo that the program would have died of: queue the signal again, to be delivered
 * by the real default action as soon as the frame is restored. If that is refused, the fault itself repeats.
 */
static void die(struct stub_frame *frame)
{
	struct stub_action dfl = { .handler = SIG_DFL };
	int sig = frame->info.signo;
	uint64_t tgid = (uint64_t)stub_syscall(SYS_getpid, 0, 0, 0, 0);
	uint64_t tid = (uint64_t)stub_syscall(SYS_gettid, 0, 0, 0, 0);

	stub_syscall(SYS_rt_sigaction, (uint64_t)sig, (uint64_t)&dfl, 0, 8);
	frame->uc.mask &= ~SIG_BIT(sig);
	stub_syscall(SYS_rt_tgsigqueueinfo, tgid, tid, (uint64_t)sig, (uint64_t)&frame->info);
}

#define FRAME_MAGIC1       464
#define FRAME_MAGIC1_VALUE 0x46505853u

/*
 * The stub always runs on the alternate stack, if there is one. A handler that was not meant to gets its frame
 * where the kernel would have put it, below the interrupted stack pointer. 0: there is no room.
 */
static uint64_t move_frame(struct stub_frame *frame)
{
	uint64_t here = (uint64_t)frame, size = frame->uc.stack_size, start = frame->uc.stack_start;
	uint64_t sp = frame->uc.g[15], fp = frame->uc.g[MMIO_G_FPSTATE];
	uint64_t to, to_fp = 0;
	uint32_t fp_size = 512;
	uint32_t info;

	if (!size || here - start >= size || sp - start < size)
		return here; /* not on it, or it was in use already */
	to = sp - 128;
	if (fp) {
		if (*(const uint32_t *)(fp + FRAME_MAGIC1) == FRAME_MAGIC1_VALUE)
			fp_size = *(const uint32_t *)(fp + FRAME_MAGIC1 + 4);
		to_fp = (to - fp_size) & ~63ull;
		to = to_fp;
		if (mmio_guard_copy((void *)to_fp, (const void *)fp, fp_size & ~7u, &info))
			return 0;
	}
	to = ((to - sizeof(*frame)) & ~15ull) - 8;
	frame->uc.g[MMIO_G_FPSTATE] = to_fp;
	if (mmio_guard_copy((void *)to, frame, sizeof(*frame), &info)) {
		frame->uc.g[MMIO_G_FPSTATE] = fp;
		return 0;
	}
	return to;
}

static struct stub_next deliver(struct stub_frame *frame)
{
	struct stub_next next = { 0, (uint64_t)frame };
	struct stub_action action;
	int sig = frame->info.signo;
	bool fault = frame->info.code > 0 && !(sig == SIGBUS && frame->info.code == BUS_MCEERR_AO);
	uint64_t mask;

	get_action(sig, &action);
	if (action.handler == SIG_IGN && !fault)
		return next;
	if (action.handler == SIG_DFL || action.handler == SIG_IGN) {
		die(frame);
		return next;
	}
	if (!(action.flags & SA_ONSTACK))
		next.frame = move_frame(frame);
	if (!next.frame) {
		frame->info.signo = SIGSEGV; /* as the kernel does when a frame does not fit */
		die(frame);
		return next;
	}
	mask = frame->uc.mask | action.mask;
	if (!(action.flags & SA_NODEFER))
		mask |= SIG_BIT(sig);
	if (sig != SIGBUS)
		mask &= ~SIG_BIT(SIGBUS); /* it may look at a device */
	stub_syscall(SYS_rt_sigprocmask, SIG_SETMASK, (uint64_t)&mask, 0, 8);
	next.handler = action.handler;
	return next;
}

struct stub_next stub_fault(struct stub_frame *frame)
{
	int sig = frame->info.signo;
	struct stub_next done = { 0, 0 };

	if (mmio_guard_fixup(frame->uc.g, sig, frame->info.code))
		return done;
	if (sig == SIGBUS && frame->info.code == BUS_ADRERR && !emulate(frame))
		return done;
	if (sig == SIGILL && frame->info.code == ILL_ILLOPN && !emulate_missing(frame))
		return done;
	return deliver(frame);
}

/* ---- the start ---- */

static int failed(long rc)
{
	return rc < 0 && rc > -4096 ? (int)rc : 0;
}

static int map_area(uint64_t at, uint64_t size, uint64_t prot, uint64_t flags, int fd)
{
	return failed(stub_syscall6(SYS_mmap, at, size, prot, flags | MAP_FIXED_NOREPLACE, (uint64_t)fd, 0));
}

static int set_up(const struct stub_hello *hello)
{
	struct stub_action action = {
		.handler = (uint64_t)stub_handler,
		.flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTORER,
		.restorer = (uint64_t)stub_restorer,
		/* A blocked fault is death, even in the stub. */
		.mask = ~(SIG_BIT(SIGBUS) | SIG_BIT(SIGSEGV) | SIG_BIT(SIGILL) | SIG_BIT(SIGTRAP) | SIG_BIT(SIGFPE)),
	};
	static const uint8_t signals[STUB_SIGNALS] = { SIGBUS, SIGSEGV, SIGILL };
	uint64_t open = SIG_BIT(SIGBUS) | SIG_BIT(SIGSEGV) | SIG_BIT(SIGILL);
	int rc;

	rc = map_area(STUB_DATA, STUB_DATA_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	if (!rc)
		rc = map_area(STUB_FORK, STUB_FORK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	if (!rc)
		rc = map_area(STUB_THUNKS, hello->thunks_size, PROT_READ | PROT_EXEC, MAP_SHARED, hello->thunks_fd);
	if (!rc && hello->mirror_fd >= 0)
		rc = map_area(STUB_MIRROR, hello->mirror_size, PROT_READ, MAP_SHARED, hello->mirror_fd);
	if (rc)
		return rc;
	stub_syscall(SYS_madvise, STUB_FORK, STUB_FORK_SIZE, MADV_WIPEONFORK, 0);
	DATA->version = STUB_VERSION;
	DATA->own_fd = hello->mirror_fd >= 0 ? hello->own_fd : 0;
	for (unsigned i = 0; i < STUB_SIGNALS; i++)
		DATA->action[i] = hello->action[i];
	DATA->owner = (uint32_t)stub_syscall(SYS_getpid, 0, 0, 0, 0);
	FORK->alive = 1;
	for (unsigned i = 0; i < STUB_SIGNALS && !rc; i++)
		rc = failed(stub_syscall(SYS_rt_sigaction, signals[i], (uint64_t)&action, 0, 8));
	stub_syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, (uint64_t)&open, 0, 8);
	return rc;
}

void stub_init(void)
{
	struct stub_hello hello = { .thunks_fd = -1, .mirror_fd = -1 };
	long rc = rpc(STUB_HELLO, STUB_VERSION, (uint64_t)&hello, 0, 0);

	if (!rc)
		rc = set_up(&hello);
	if (hello.thunks_fd >= 0)
		stub_syscall(SYS_close, (uint64_t)hello.thunks_fd, 0, 0, 0);
	if (hello.mirror_fd >= 0)
		stub_syscall(SYS_close, (uint64_t)hello.mirror_fd, 0, 0, 0);
	rpc(STUB_READY, (uint64_t)rc, 0, 0, 0);
}
