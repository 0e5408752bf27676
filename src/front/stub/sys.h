/* SPDX-License-Identifier: MIT */
/* System calls and kernel layouts for the blob, which has no libc. Facts of the x86-64 Linux ABI. */
#ifndef UVFIO_FRONT_STUB_SYS_H
#define UVFIO_FRONT_STUB_SYS_H

#include <stddef.h>
#include <stdint.h>

#define SYS_open              2
#define SYS_close             3
#define SYS_mmap              9
#define SYS_rt_sigaction      13
#define SYS_rt_sigprocmask    14
#define SYS_ioctl             16
#define SYS_madvise           28
#define SYS_getpid            39
#define SYS_fcntl             72
#define SYS_gettid            186
#define SYS_rt_tgsigqueueinfo 297

#define E_INTR     4
#define E_NXIO     6
#define E_BADF     9
#define E_AGAIN    11
#define E_FAULT    14
#define E_INVAL    22
#define E_NOTTY    25
#define E_OVERFLOW 75

#define O_RDONLY_CLOEXEC  02000000
#define F_DUPFD_CLOEXEC   1030

#define PROT_READ  1
#define PROT_WRITE 2
#define PROT_EXEC  4
#define MAP_SHARED          0x01
#define MAP_PRIVATE         0x02
#define MAP_FIXED           0x10
#define MAP_ANONYMOUS       0x20
#define MAP_FIXED_NOREPLACE 0x100000
#define MADV_WIPEONFORK     18

#define SIGILL  4
#define SIGTRAP 5
#define SIGBUS  7
#define SIGFPE  8
#define SIGSEGV 11
#define SIG_DFL 0
#define SIG_IGN 1
#define SIG_UNBLOCK 1
#define SIG_SETMASK 2
#define ILL_ILLOPN    2
#define BUS_ADRERR    2
#define BUS_MCEERR_AO 5
#define SA_SIGINFO   0x00000004ull
#define SA_RESTORER  0x04000000ull
#define SA_ONSTACK   0x08000000ull
#define SA_NODEFER   0x40000000ull
#define SA_RESETHAND 0x80000000ull
#define SIG_BIT(n)   (1ull << ((n) - 1))

/* siginfo_t of a fault: 128 bytes. */
struct stub_siginfo {
	int32_t signo;
	int32_t error;
	int32_t code;
	int32_t pad;
	uint64_t addr;
	uint64_t rest[13];
};
_Static_assert(sizeof(struct stub_siginfo) == 128, "kernel layout");

/* What lies on the stack when a handler starts; extended state somewhere above, at g[MMIO_G_FPSTATE]. */
struct stub_frame {
	uint64_t restorer;
	struct {
		uint64_t flags;
		uint64_t link;
		uint64_t stack_start;
		uint64_t stack_flags;
		uint64_t stack_size;
		uint64_t g[32]; /* struct sigcontext */
		uint64_t mask;
	} uc;
	struct stub_siginfo info;
};
_Static_assert(offsetof(struct stub_frame, info) == 312 && sizeof(struct stub_frame) == 440, "kernel layout");

/* A sixth argument that mmap needs and nobody else. */
static inline long stub_syscall6(long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	register uint64_t r10 __asm__("r10") = d;
	register uint64_t r8 __asm__("r8") = e;
	register uint64_t r9 __asm__("r9") = f;
	long rc;

	__asm__ volatile("syscall"
			 : "=a"(rc)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return rc;
}

static inline long stub_syscall(long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	return stub_syscall6(nr, a, b, c, d, 0, 0);
}

#endif
