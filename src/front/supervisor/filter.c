/* SPDX-License-Identifier: MIT */
/*
 * The filter is a binary search for the system call's number, then the test of its class. Numbers that are
 * not in the table end in ALLOW without a look at any argument, so the kernel caches the answer and such a
 * call pays next to nothing.
 *
 * Calls of the injected stub pass by their instruction pointer, all but its RPC (an ioctl of descriptor -1).
 * That is no hole: a program may jump there, and then reaches nothing that it would not reach without us.
 *
 * i386 and x32 calls would carry other numbers; they get ENOSYS.
 */
#include "front/supervisor/filter.h"
#include "front/stub/stub.h"
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

enum class {
	ALWAYS,
	FD0,      /* a descriptor of ours in argument 0 */
	FD0_FD1,  /* in 0 or 1 */
	FD0_FD2,  /* in 0 or 2 */
	FD4,      /* mmap */
	FD0_POS,  /* in 0, or a position of 2^40 and more: a device descriptor that got a low number */
	UPTO,     /* close_range: argument 1 reaches ours */
	IOCTL,    /* type byte ';', or a descriptor of ours in 0 */
	SIGACT,   /* the stub's: SIGBUS, SIGSEGV, SIGILL */
	SIGMASK,  /* may block signals */
	DUMPABLE, /* prctl(PR_SET_DUMPABLE) */
	STATAT,   /* ALWAYS, but for (low fd, "", AT_EMPTY_PATH): flags in argument 3 */
	STATX,    /* the same, flags in argument 2 */
	EVENTFD,  /* ALWAYS or not at all */
	NOHANG2,  /* for the tracer: a wait that does not wait, options in argument 2 */
	NOHANG3,  /* in 3 */
	NCLASSES
};

/* Sorted by number. */
static const struct {
	short nr;
	unsigned char class;
} table[] = {
	{ SYS_read, FD0 },             { SYS_write, FD0 },          { SYS_open, ALWAYS },
	{ SYS_close, FD0 },            { SYS_stat, ALWAYS },        { SYS_fstat, FD0 },
	{ SYS_lstat, ALWAYS },         { SYS_lseek, FD0 },          { SYS_mmap, FD4 },
	{ SYS_rt_sigaction, SIGACT },  { SYS_rt_sigprocmask, SIGMASK }, { SYS_ioctl, IOCTL },
	{ SYS_pread64, FD0_POS },      { SYS_pwrite64, FD0_POS },   { SYS_readv, FD0 },
	{ SYS_writev, FD0 },           { SYS_access, ALWAYS },      { SYS_dup, FD0 },
	{ SYS_dup2, FD0_FD1 },         { SYS_sendfile, FD0_FD1 },   { SYS_execve, ALWAYS },
	{ SYS_wait4, NOHANG2 },        { SYS_fcntl, FD0 },          { SYS_truncate, ALWAYS },
	{ SYS_ftruncate, FD0 },        { SYS_getcwd, ALWAYS },      { SYS_chdir, ALWAYS },
	{ SYS_rename, ALWAYS },        { SYS_mkdir, ALWAYS },       { SYS_rmdir, ALWAYS },
	{ SYS_creat, ALWAYS },         { SYS_link, ALWAYS },        { SYS_unlink, ALWAYS },
	{ SYS_symlink, ALWAYS },       { SYS_readlink, ALWAYS },    { SYS_chmod, ALWAYS },
	{ SYS_fchmod, FD0 },           { SYS_chown, ALWAYS },       { SYS_fchown, FD0 },
	{ SYS_lchown, ALWAYS },        { SYS_utime, ALWAYS },       { SYS_mknod, ALWAYS },
	{ SYS_statfs, ALWAYS },        { SYS_fstatfs, FD0 },        { SYS_prctl, DUMPABLE },
	{ SYS_setxattr, ALWAYS },      { SYS_lsetxattr, ALWAYS },   { SYS_getxattr, ALWAYS },
	{ SYS_lgetxattr, ALWAYS },     { SYS_listxattr, ALWAYS },   { SYS_llistxattr, ALWAYS },
	{ SYS_removexattr, ALWAYS },   { SYS_lremovexattr, ALWAYS }, { SYS_utimes, ALWAYS },
	{ SYS_waitid, NOHANG3 },       { SYS_openat, ALWAYS },      { SYS_mkdirat, ALWAYS },
	{ SYS_mknodat, ALWAYS },       { SYS_fchownat, ALWAYS },    { SYS_futimesat, ALWAYS },
	{ SYS_newfstatat, STATAT },    { SYS_unlinkat, ALWAYS },    { SYS_renameat, ALWAYS },
	{ SYS_linkat, ALWAYS },        { SYS_symlinkat, ALWAYS },   { SYS_readlinkat, ALWAYS },
	{ SYS_fchmodat, ALWAYS },      { SYS_faccessat, ALWAYS },   { SYS_splice, FD0_FD2 },
	{ SYS_utimensat, ALWAYS },     { SYS_eventfd, EVENTFD },    { SYS_fallocate, FD0 },
	{ SYS_eventfd2, EVENTFD },     { SYS_dup3, FD0_FD1 },       { SYS_preadv, FD0_POS },
	{ SYS_pwritev, FD0_POS },      { SYS_renameat2, ALWAYS },   { SYS_execveat, ALWAYS },
	{ SYS_copy_file_range, FD0_FD2 }, { SYS_preadv2, FD0_POS }, { SYS_pwritev2, FD0_POS },
	{ SYS_statx, STATX },          { SYS_close_range, UPTO },   { SYS_openat2, ALWAYS },
	{ SYS_faccessat2, ALWAYS },
};

/* ---- a small assembler: jumps to labels, resolved when all is written ---- */

enum label { L_ALLOW = NCLASSES, L_NOTIFY, L_ENOSYS, L_FREE };
#define LABELS 256

struct as {
	struct sock_filter *prog;
	unsigned n;
	unsigned next_label;
	unsigned short at[LABELS];
	unsigned fd_base;
	bool eventfds, trace;
};

static void emit(struct as *a, unsigned code, uint32_t k, uint8_t jt, uint8_t jf)
{
	a->prog[a->n++] = (struct sock_filter)BPF_JUMP(code, k, jt, jf);
}

static void label(struct as *a, unsigned l)
{
	a->at[l] = (unsigned short)a->n;
}

/* An unconditional jump reaches as far as needed; conditional ones only skip over such a jump. */
static void jump(struct as *a, unsigned l)
{
	emit(a, BPF_JMP | BPF_JA, l, 0, 0);
}

static void jump_if(struct as *a, unsigned op, uint32_t k, unsigned l)
{
	emit(a, BPF_JMP | op | BPF_K, k, 0, 1);
	jump(a, l);
}

static void jump_unless(struct as *a, unsigned op, uint32_t k, unsigned l)
{
	emit(a, BPF_JMP | op | BPF_K, k, 1, 0);
	jump(a, l);
}

static void resolve(struct as *a)
{
	for (unsigned i = 0; i < a->n; i++) {
		if (a->prog[i].code == (BPF_JMP | BPF_JA))
			a->prog[i].k = a->at[a->prog[i].k] - i - 1;
	}
}

static void load(struct as *a, size_t offset)
{
	emit(a, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}
#define ARG_LO(i) (offsetof(struct seccomp_data, args) + 8 * (i))
#define ARG_HI(i) (ARG_LO(i) + 4)
#define IP_LO     offsetof(struct seccomp_data, instruction_pointer)
#define IP_HI     (IP_LO + 4)

/* NOTIFY when argument @i is a descriptor of ours; else fall through. The kernel looks at 32 bits, so do we. */
static void test_fd(struct as *a, unsigned i)
{
	unsigned no = a->next_label++;

	load(a, ARG_LO(i));
	jump_unless(a, BPF_JGE, a->fd_base, no);
	jump_unless(a, BPF_JGE, 0x80000000u, L_NOTIFY);
	label(a, no);
}

/* When the end of a child is told to its tracer first, a wait that does not wait has to come after that (tracer.c). */
static void test_nohang(struct as *a, unsigned options)
{
	if (!a->trace)
		return;
	load(a, ARG_LO(options));
	jump_if(a, BPF_JSET, WNOHANG, L_NOTIFY);
}

/* NOTIFY unless this is (low fd, "", AT_EMPTY_PATH): glibc's fstat, which every program makes for every file. */
static void test_stat(struct as *a, unsigned flags)
{
	load(a, ARG_LO(flags));
	jump_unless(a, BPF_JEQ, AT_EMPTY_PATH, L_NOTIFY);
	load(a, ARG_LO(0));
	jump_if(a, BPF_JGE, a->fd_base, L_NOTIFY);
	jump(a, L_ALLOW);
}

static void emit_class(struct as *a, enum class c)
{
	label(a, c);
	switch (c) {
	case ALWAYS:
		jump(a, L_NOTIFY);
		return;
	case FD0_FD1:
	case FD0_FD2:
		test_fd(a, c == FD0_FD1 ? 1 : 2);
		test_fd(a, 0);
		break;
	case FD4:
		test_fd(a, 4);
		break;
	case FD0_POS:
		load(a, ARG_HI(3));
		emit(a, BPF_JMP | BPF_JGE | BPF_K, 0x100, 0, 2);
		emit(a, BPF_JMP | BPF_JGE | BPF_K, 0x80000000u, 1, 0);
		jump(a, L_NOTIFY);
		/* fall through */
	case FD0:
		test_fd(a, 0);
		break;
	case UPTO:
		load(a, ARG_LO(1));
		jump_if(a, BPF_JGE, a->fd_base, L_NOTIFY);
		break;
	case IOCTL:
		load(a, ARG_LO(1));
		emit(a, BPF_ALU | BPF_AND | BPF_K, 0xff00, 0, 0);
		jump_if(a, BPF_JEQ, ';' << 8, L_NOTIFY);
		test_fd(a, 0);
		break;
	case SIGACT:
		load(a, ARG_LO(0));
		jump_if(a, BPF_JEQ, SIGBUS, L_NOTIFY);
		jump_if(a, BPF_JEQ, SIGSEGV, L_NOTIFY);
		jump_if(a, BPF_JEQ, SIGILL, L_NOTIFY);
		break;
	case SIGMASK:
		load(a, ARG_LO(0));
		jump_if(a, BPF_JEQ, SIG_UNBLOCK, L_ALLOW);
		load(a, ARG_LO(1));
		jump_unless(a, BPF_JEQ, 0, L_NOTIFY);
		load(a, ARG_HI(1));
		jump_unless(a, BPF_JEQ, 0, L_NOTIFY);
		break;
	case DUMPABLE:
		load(a, ARG_LO(0));
		jump_if(a, BPF_JEQ, PR_SET_DUMPABLE, L_NOTIFY);
		break;
	case STATAT:
		test_stat(a, 3);
		return;
	case STATX:
		test_stat(a, 2);
		return;
	case EVENTFD:
		jump(a, a->eventfds ? L_NOTIFY : L_ALLOW);
		return;
	case NOHANG2:
	case NOHANG3:
		test_nohang(a, c == NOHANG2 ? 2 : 3);
		break;
	case NCLASSES:
		return;
	}
	jump(a, L_ALLOW);
}

/* Decide among table[lo..hi); the accumulator holds the number. */
static void emit_search(struct as *a, unsigned lo, unsigned hi)
{
	unsigned mid = (lo + hi) / 2, right;

	if (hi - lo <= 3) {
		for (; lo < hi; lo++)
			jump_if(a, BPF_JEQ, (uint32_t)table[lo].nr, table[lo].class);
		jump(a, L_ALLOW);
		return;
	}
	right = a->next_label++;
	jump_if(a, BPF_JGE, (uint32_t)table[mid].nr, right);
	emit_search(a, lo, mid);
	label(a, right);
	emit_search(a, mid, hi);
}

/* Calls made from the stub's text are its own business, but for its RPC. */
static void emit_notify(struct as *a)
{
	unsigned notify = a->next_label++;

	label(a, L_NOTIFY);
	load(a, IP_HI);
	jump_unless(a, BPF_JEQ, (uint32_t)(STUB_TEXT >> 32), notify);
	load(a, IP_LO);
	jump_unless(a, BPF_JGE, (uint32_t)STUB_TEXT, notify);
	jump_if(a, BPF_JGE, (uint32_t)(STUB_TEXT + STUB_TEXT_SIZE), notify);
	load(a, offsetof(struct seccomp_data, nr));
	jump_unless(a, BPF_JEQ, SYS_ioctl, L_ALLOW);
	load(a, ARG_LO(0));
	jump_unless(a, BPF_JEQ, (uint32_t)STUB_RPC_FD, L_ALLOW);
	label(a, notify);
	emit(a, BPF_RET | BPF_K, a->trace ? SECCOMP_RET_TRACE : SECCOMP_RET_USER_NOTIF, 0, 0);
	label(a, L_ALLOW);
	emit(a, BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
	label(a, L_ENOSYS);
	emit(a, BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS, 0, 0);
}

unsigned super_filter_build(unsigned fd_base, bool eventfds, bool trace, struct sock_filter *prog)
{
	struct as a = { .prog = prog, .next_label = L_FREE, .fd_base = fd_base, .eventfds = eventfds, .trace = trace };

	load(&a, offsetof(struct seccomp_data, arch));
	jump_unless(&a, BPF_JEQ, AUDIT_ARCH_X86_64, L_ENOSYS);
	load(&a, offsetof(struct seccomp_data, nr));
	jump_if(&a, BPF_JGE, 0x40000000u, L_ENOSYS);
	emit_search(&a, 0, ARRAY_SIZE(table));
	for (unsigned c = 0; c < NCLASSES; c++)
		emit_class(&a, (enum class)c);
	emit_notify(&a);
	resolve(&a);
	return a.n;
}

int super_filter_install(const struct sock_filter *prog, unsigned n, bool listener)
{
	struct sock_fprog p = { .len = (unsigned short)n, .filter = (struct sock_filter *)prog };
	long fd;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
		     listener ? SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV : 0, &p);
	return fd < 0 ? -errno : (int)fd;
}
