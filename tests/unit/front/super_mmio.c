/* SPDX-License-Identifier: MIT */
/*
 * Programs that touch the device's memory: registers that are emulated, plain pages, and both while access is blocked. For
 * that the supervisor has handlers of its own for signals that programs use too, and may not notice.
 */
#include "super_prog.h"
#include "super_toy.h"
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

volatile uint8_t *map_all(int fd)
{
	void *m = mmap(NULL, TOY_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	CHECK(m != MAP_FAILED);
	return m;
}

void case_mmio(void)
{
	int fd = open_echo();
	volatile uint8_t *m;
	volatile uint32_t *r;
	uint8_t image[64];

	FAILS((long)mmap(NULL, TOY_SIZE * 2, PROT_READ, MAP_SHARED, fd, 0), EINVAL);
	FAILS((long)mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 12345), EINVAL);
	m = map_all(fd);
	r = (volatile uint32_t *)m;
	CHECK(r[TOY_ID / 4] == TOY_ID_VALUE);
	r[TOY_NEXT / 4] = 41;
	CHECK(r[TOY_NEXT / 4] == 42 && r[TOY_NEXT / 4] == 43);
	/* Values that look like errors */
	for (unsigned i = 0; i < 8; i++)
		m[TOY_SCRATCH + i] = 0xff;
	CHECK(*(volatile uint64_t *)(m + TOY_SCRATCH) == ~0ull && m[TOY_SCRATCH + 3] == 0xff);
	for (unsigned i = 0; i < sizeof(image); i++)
		image[i] = (uint8_t)(i * 7);
	memcpy((void *)(m + TOY_SCRATCH), image, sizeof(image));
	CHECK(memcmp((void *)(m + TOY_SCRATCH), image, sizeof(image)) == 0);
	__atomic_fetch_or((uint32_t *)(m + TOY_SCRATCH), 0x80000000u, __ATOMIC_SEQ_CST);
	CHECK(m[TOY_SCRATCH + 3] == (image[3] | 0x80));
	/* Plain memory: the same page through another mapping and in a child */
	m[TOY_PLAIN + 100] = 77;
	volatile uint8_t *n = map_all(fd);
	CHECK(n[TOY_PLAIN + 100] == 77);
	if (fork() == 0) {
		CHECK(m[TOY_PLAIN + 100] == 77 && r[TOY_ID / 4] == TOY_ID_VALUE);
		n[TOY_PLAIN + 101] = 78;
		_exit(0);
	}
	int status;
	CHECK(wait(&status) > 0 && status == 0 && m[TOY_PLAIN + 101] == 78);
	/* A call of the kernel that is given such a page cannot touch it */
	int p[2];
	CHECK(pipe(p) == 0);
	FAILS(write(p[1], (void *)m, 4), EFAULT);
}

void case_nommio(void)
{
	int fd = open_echo();

	FAILS((long)mmap(NULL, TOY_SIZE, PROT_READ, MAP_SHARED, fd, 0), ENODEV);
}

static sigjmp_buf back;
static volatile int got;
static void *volatile where;

static void on_fault(int sig, siginfo_t *si, void *uc)
{
	(void)uc;
	got = sig;
	where = si->si_addr;
	siglongjmp(back, 1);
}

static void handle(int sig)
{
	struct sigaction sa = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };

	CHECK(sigaction(sig, &sa, NULL) == 0);
}

#define FAULTS(sig, at, what)                                            \
	do {                                                             \
		got = 0;                                                 \
		if (!sigsetjmp(back, 1)) {                               \
			what;                                            \
		}                                                        \
		CHECK(got == (sig) && where == (void *)(at));            \
	} while (0)

void case_blocked(void)
{
	int fd = open_echo();
	volatile uint8_t *m = map_all(fd);
	volatile uint32_t v;

	m[TOY_PLAIN] = 9;
	handle(SIGBUS);
	CHECK(ioctl(fd, TOY_MEMORY, 0) == 0);
	FAULTS(SIGBUS, m, v = *(volatile uint32_t *)m);
	FAULTS(SIGBUS, m + TOY_NEXT, *(volatile uint32_t *)(m + TOY_NEXT) = 1);
	FAULTS(SIGBUS, m + TOY_PLAIN, v = m[TOY_PLAIN]);
	CHECK(ioctl(fd, TOY_MEMORY, 1) == 0);
	v = *(volatile uint32_t *)m;
	CHECK(v == TOY_ID_VALUE);
	v = m[TOY_PLAIN];
	(void)v;
	if (fork() == 0) {
		signal(SIGBUS, SIG_DFL);
		ioctl(fd, TOY_MEMORY, 0);
		(void)*m;
		_exit(0);
	}
	int status;
	CHECK(wait(&status) > 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
	CHECK(ioctl(fd, TOY_MEMORY, 1) == 0);
}

/* The program's own handlers, as if nobody else wanted those signals. */
void case_handlers(void)
{
	struct sigaction old, sa = { .sa_handler = SIG_IGN };
	volatile uint32_t *r;
	uint8_t line[64];
	int fd, status;
	sigset_t set;

	CHECK(sigaction(SIGSEGV, NULL, &old) == 0 && old.sa_handler == SIG_DFL);
	handle(SIGSEGV);
	CHECK(sigaction(SIGSEGV, NULL, &old) == 0 && old.sa_sigaction == on_fault && (old.sa_flags & SA_SIGINFO));
	FAULTS(SIGSEGV, 16, *(volatile int *)16 = 1);
	got = 0;
	if (!sigsetjmp(back, 1))
		raise(SIGSEGV);
	CHECK(got == SIGSEGV);
	fd = open_echo();
	r = (volatile uint32_t *)map_all(fd);
	CHECK(*r == TOY_ID_VALUE);
	FAULTS(SIGSEGV, 24, *(volatile int *)24 = 1);
	CHECK(*r == TOY_ID_VALUE);
	if (fork() == 0) {
		FAULTS(SIGSEGV, 32, *(volatile int *)32 = 1);
		CHECK(*r == TOY_ID_VALUE);
		signal(SIGSEGV, SIG_DFL);
		*(volatile int *)40 = 1;
	}
	CHECK(wait(&status) > 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	/* The child's change was its own. */
	FAULTS(SIGSEGV, 48, *(volatile int *)48 = 1);
	/* posix_spawn resets handlers in a child that shares our memory */
	CHECK(system("exit 3") == 3 << 8);
	FAULTS(SIGSEGV, 56, *(volatile int *)56 = 1);
	CHECK(sigaction(SIGBUS, &sa, NULL) == 0 && sigaction(SIGBUS, NULL, &old) == 0 && old.sa_handler == SIG_IGN);
	CHECK(*r == TOY_ID_VALUE);
	FAILS(syscall(SYS_rt_sigaction, SIGSEGV, (void *)8, NULL, 8), EFAULT);
	FAILS(syscall(SYS_rt_sigaction, SIGSEGV, NULL, NULL, 4), EINVAL);
	/* An instruction that is none is the program's; movdir64b is one on every processor, whatever is blocked. */
	handle(SIGILL);
	got = 0;
	if (!sigsetjmp(back, 1))
		__asm__ volatile("ud2");
	CHECK(got == SIGILL);
	CHECK(sigaction(SIGILL, NULL, &old) == 0 && old.sa_sigaction == on_fault);
	memset(line, 0x5a, sizeof(line));
	sigemptyset(&set);
	sigaddset(&set, SIGILL);
	CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	__asm__ volatile("movdir64b (%1), %0" : : "r"((uintptr_t)r + TOY_PLAIN), "r"(line) : "memory");
	CHECK(sigprocmask(SIG_UNBLOCK, &set, NULL) == 0);
	CHECK(memcmp((uint8_t *)(uintptr_t)r + TOY_PLAIN, line, sizeof(line)) == 0);
}

static void *touch(void *arg)
{
	return (void *)(long)(*(volatile uint32_t *)arg == TOY_ID_VALUE);
}

/* Programs that block all signals and then touch a register. */
void case_masked(void)
{
	volatile uint32_t *r;
	sigset_t all, old, now;
	pthread_t t;
	void *ok;
	int fd;

	sigfillset(&all);
	CHECK(sigprocmask(SIG_SETMASK, &all, &old) == 0);
	fd = open_echo();
	r = (volatile uint32_t *)map_all(fd);
	CHECK(*r == TOY_ID_VALUE);
	CHECK(sigprocmask(SIG_SETMASK, &old, &now) == 0 && sigismember(&now, SIGUSR1) && !sigismember(&old, SIGUSR1));
	CHECK(sigprocmask(SIG_BLOCK, &all, NULL) == 0 && *r == TOY_ID_VALUE);
	CHECK(sigprocmask(SIG_BLOCK, NULL, &now) == 0 && sigismember(&now, SIGUSR1));
	CHECK(pthread_create(&t, NULL, touch, (void *)r) == 0 && pthread_join(t, &ok) == 0 && ok);
	FAILS(sigprocmask(77, &all, NULL), EINVAL);
	FAILS(syscall(SYS_rt_sigprocmask, SIG_SETMASK, (void *)8, NULL, 8), EFAULT);
}

static atomic_bool mapped;

/* With everything blocked, so that the first mapping of a device has to open it. */
static void *goes_around(void *arg)
{
	sigset_t all;

	sigfillset(&all);
	while (!atomic_load(&mapped)) {
		CHECK(pthread_sigmask(SIG_SETMASK, &all, NULL) == 0);
		CHECK(chdir("/sys/bus/toy/devices") == 0);
		CHECK(access("0000:00:01.0/value", F_OK) == 0);
	}
	return arg;
}

/* The first mapping of a device stops the other threads, whatever they are doing: their calls are answered all the same. */
void case_firstmap(void)
{
	int fd = open_echo(), status;

	for (int i = 0; i < 100; i++) {
		if (fork() == 0) {
			pthread_t t[3];
			void *m;

			for (int k = 0; k < 3; k++)
				CHECK(pthread_create(&t[k], NULL, goes_around, NULL) == 0);
			usleep((useconds_t)i * 10);
			m = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, TOY_TRAP);
			CHECK(m != MAP_FAILED);
			atomic_store(&mapped, true);
			for (int k = 0; k < 3; k++)
				pthread_join(t[k], NULL);
			_exit(0);
		}
		CHECK(wait(&status) > 0 && status == 0);
	}
}
