/* SPDX-License-Identifier: MIT */
/*
 * A program that knows nothing of uvfio, run by test_stub.c with the stub inside. Its "device" is a memfd of size 0
 * with a name that the test's supervisor knows: page 0 and 1 registers, 2 memory, 3 disabled.
 * Registers: 0x20 counts its reads; 0x28 is all ones; 0x30 the number of accesses so far; 0x38 counts its writes;
 * 0x48 is in the mirror, and 0x4c tells whether that can work here; 0x50 takes the mirror away.
 */
/* It touches addresses that are wrong on purpose. */
#pragma GCC diagnostic ignored "-Warray-bounds"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096
static volatile uint8_t *bar;
static sigjmp_buf escape;
static volatile sig_atomic_t got_sig, got_code;
static void *volatile got_addr;
static void *volatile handler_stack;
static sigset_t handler_mask;

#define R32(off) (*(volatile uint32_t *)(bar + (off)))
#define R64(off) (*(volatile uint64_t *)(bar + (off)))
#define CHECK(cond)                                                       \
	do {                                                              \
		if (!(cond)) {                                            \
			fprintf(stderr, "%s: %s\n", __func__, #cond);     \
			exit(1);                                          \
		}                                                         \
	} while (0)

static void catch(int sig, void (*fn)(int, siginfo_t *, void *), int flags)
{
	struct sigaction sa = { .sa_sigaction = fn, .sa_flags = SA_SIGINFO | flags };

	sigaddset(&sa.sa_mask, SIGUSR1);
	CHECK(sigaction(sig, &sa, NULL) == 0);
}

static void jump(int sig, siginfo_t *si, void *uc)
{
	got_sig = sig;
	got_code = si->si_code;
	got_addr = si->si_addr;
	siglongjmp(escape, 1);
}

static uint8_t *fixable;

static void fix(int sig, siginfo_t *si, void *uc)
{
	got_sig = sig;
	got_addr = si->si_addr;
	handler_stack = &sig;
	sigprocmask(SIG_SETMASK, NULL, &handler_mask);
	mprotect(fixable, PAGE, PROT_READ | PROT_WRITE);
}

static void registers(void)
{
	uint8_t ram[300], back[300];
	void *d = (void *)(bar + PAGE - 100), *s = ram;
	uint64_t n = sizeof(ram);
	uint32_t a, v = 5;

	R32(0) = 0x12345678;
	CHECK(R32(0) == 0x12345678);
	a = R32(0x20);
	CHECK(R32(0x20) == a + 1);
	CHECK(R64(0x28) == ~0ull);
	CHECK(*(volatile uint8_t *)(bar + 0x28) == 0xff);
	__atomic_fetch_or(&R32(0), 0x80000000, __ATOMIC_SEQ_CST);
	CHECK(R32(0) == 0x92345678);
	__asm__ volatile("xchgl %0, (%1)" : "+r"(v) : "r"(bar) : "memory");
	CHECK(v == 0x92345678 && R32(0) == 5);
	for (unsigned i = 0; i < sizeof(ram); i++)
		ram[i] = (uint8_t)(i * 7);
	__asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
	d = back;
	s = (void *)(bar + PAGE - 100);
	n = sizeof(ram) / 4;
	__asm__ volatile("rep movsl" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
	CHECK(!memcmp(ram, back, sizeof(ram)));
	__asm__ volatile("movdqu (%0), %%xmm5; movdqu %%xmm5, 0x100(%1); movdqu 0x100(%1), %%xmm6; movdqu %%xmm6, (%2)"
			 : : "r"(ram + 10), "r"(bar), "r"(back) : "xmm5", "xmm6", "memory");
	CHECK(!memcmp(ram + 10, back, 16));
	if (__builtin_cpu_supports("avx512f")) {
		a = R32(0x30);
		__asm__ volatile("vmovdqu64 (%0), %%zmm20; vmovdqu64 %%zmm20, 0x200(%1); vmovdqu64 0x200(%1), %%zmm21;"
				 "vmovdqu64 %%zmm21, (%2)" : : "r"(ram), "r"(bar), "r"(back) : "memory");
		CHECK(!memcmp(ram, back, 64));
		CHECK(R32(0x30) == a + 3);
	}
	/* fresh code each time would be decoded each time; the same 3000 accesses are not */
	for (int i = 0; i < 3000; i++)
		R32(0x40) = R32(0x40) + 1;
}

static void movdir64b(volatile void *to, const void *from)
{
	__asm__ volatile("movdir64b (%1), %0" : : "r"(to), "r"(from) : "memory");
}

/* On every processor, whether it has movdir64b or not. */
static void block64(void)
{
	uint8_t ram[64], other[64] __attribute__((aligned(64))) = { 0 };
	uint32_t before;
	int st;

	for (unsigned i = 0; i < sizeof(ram); i++)
		ram[i] = (uint8_t)(i * 5 + 1);
	catch(SIGILL, jump, 0);
	catch(SIGBUS, jump, 0);
	before = R32(0x30);
	movdir64b(bar + 0x80, ram);
	CHECK(R32(0x30) == before + 2);
	for (unsigned i = 0; i < sizeof(ram); i += 8)
		CHECK(R64(0x80 + i) == *(uint64_t *)(void *)(ram + i));
	movdir64b(bar + 2 * PAGE + 64, ram); /* not touched yet: it becomes memory */
	movdir64b(bar + 2 * PAGE + 128, ram);
	for (unsigned i = 0; i < 2 * sizeof(ram); i++)
		CHECK(bar[2 * PAGE + 64 + i] == ram[i % 64]);
	if (!sigsetjmp(escape, 1)) {
		movdir64b(bar + 3 * PAGE + 64, ram);
		CHECK(!"reached");
	}
	CHECK(got_sig == SIGBUS && got_code == BUS_ADRERR && got_addr == (void *)(bar + 3 * PAGE + 64));
	movdir64b(other, ram);
	CHECK(!memcmp(other, ram, sizeof(ram)));
	catch(SIGSEGV, jump, 0);
	for (volatile int from = 0; from < 2; from++) {
		if (!sigsetjmp(escape, 1)) {
			movdir64b(from ? bar + 0x80 : (void *)64, from ? (void *)64 : ram);
			CHECK(!"reached");
		}
		CHECK(got_sig == SIGSEGV && got_code == SEGV_MAPERR && got_addr == (void *)64);
	}
	signal(SIGSEGV, SIG_DFL);
	if (!sigsetjmp(escape, 1))
		__asm__ volatile("ud2");
	CHECK(got_sig == SIGILL);
	signal(SIGILL, SIG_DFL);
	signal(SIGBUS, SIG_DFL);
	if (!fork())
		__asm__ volatile("ud2");
	CHECK(wait(&st) > 0 && WIFSIGNALED(st) && WTERMSIG(st) == SIGILL);
}

static void plain(void)
{
	uint32_t before;

	R32(2 * PAGE) = 77;
	before = R32(0x30);
	for (uint32_t i = 0; i < 1000; i++)
		R32(2 * PAGE + 4 * i) += i;
	CHECK(R32(2 * PAGE) == 77);
	CHECK(R32(2 * PAGE + 40) == 10);
	CHECK(R32(0x30) == before + 1);
}

static void blocked(void)
{
	struct sigaction old;

	catch(SIGBUS, jump, 0);
	CHECK(sigaction(SIGBUS, NULL, &old) == 0 && old.sa_sigaction == jump && (old.sa_flags & SA_SIGINFO));
	CHECK(sigismember(&old.sa_mask, SIGUSR1) == 1 && sigismember(&old.sa_mask, SIGUSR2) == 0);
	if (!sigsetjmp(escape, 1)) {
		R32(3 * PAGE + 8) = 1;
		CHECK(!"reached");
	}
	CHECK(got_sig == SIGBUS && got_code == BUS_ADRERR && got_addr == (void *)(bar + 3 * PAGE + 8));
	/* half on the last good page, half disabled: page 2 untouched, wherever the fault is */
	R32(2 * PAGE + 4092) = 9;
	if (!sigsetjmp(escape, 1)) {
		R64(3 * PAGE - 4) = ~0ull;
		CHECK(!"reached");
	}
	CHECK(got_sig == SIGBUS);
	/* a file of one's own */
	{
		int fd = memfd_create("mine", 0);
		volatile char *p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);

		if (!sigsetjmp(escape, 1)) {
			(void)p[5];
			CHECK(!"reached");
		}
		CHECK(got_sig == SIGBUS && got_addr == (void *)(p + 5));
		close(fd);
	}
	signal(SIGBUS, SIG_DFL);
}

static void own_segv(void)
{
	static char alt[64 * 1024];
	stack_t ss = { .ss_sp = alt, .ss_size = sizeof(alt) };
	sigset_t mask;
	void *d = NULL;
	volatile uint8_t *s = bar;
	uint64_t n = 4;

	fixable = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (int turn = 0; turn < 3; turn++) {
		mprotect(fixable, PAGE, PROT_NONE);
		if (turn == 1)
			CHECK(sigaltstack(&ss, NULL) == 0);
		catch(SIGSEGV, fix, turn == 2 ? SA_ONSTACK : 0);
		fixable[100] = (uint8_t)(turn + 1);
		CHECK(fixable[100] == turn + 1);
		CHECK(got_sig == SIGSEGV && got_addr == fixable + 100);
		CHECK(sigismember(&handler_mask, SIGSEGV) == 1 && sigismember(&handler_mask, SIGUSR1) == 1);
		CHECK(sigismember(&handler_mask, SIGUSR2) == 0 && sigismember(&handler_mask, SIGALRM) == 0);
		sigprocmask(SIG_SETMASK, NULL, &mask);
		CHECK(sigismember(&mask, SIGSEGV) == 0 && sigismember(&mask, SIGUSR1) == 0);
		CHECK(((char *)handler_stack >= alt && (char *)handler_stack < alt + sizeof(alt)) == (turn == 2));
		CHECK(R32(0x28) == ~0u);
	}
	/* vector registers survive a handler of the program's own */
	{
		uint64_t in = 0x1122334455667788, out = 0;

		catch(SIGSEGV, fix, 0); /* through the moved frame */
		mprotect(fixable, PAGE, PROT_NONE);
		__asm__ volatile("movq %1, %%xmm9; movb $1, (%2); movq %%xmm9, %0"
			     : "=r"(out) : "r"(in), "r"(fixable) : "xmm9", "memory");
		CHECK(out == in);
	}
	/* the memory side of a string move is the program's fault */
	catch(SIGSEGV, jump, SA_NODEFER | SA_ONSTACK);
	if (!sigsetjmp(escape, 1)) {
		__asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
		CHECK(!"reached");
	}
	CHECK(got_sig == SIGSEGV && got_addr == NULL && got_code == SEGV_MAPERR);
	if (!sigsetjmp(escape, 1)) {
		*(volatile int *)8 = 1;
		CHECK(!"reached");
	}
	CHECK(got_sig == SIGSEGV && got_addr == (void *)8);
	ss.ss_flags = SS_DISABLE;
	sigaltstack(&ss, NULL);
	signal(SIGSEGV, SIG_DFL);
}

enum fate { BLOCKED_PAGE, NULL_POINTER, IGNORED_NULL, ONE_SHOT, SENT_IGNORED, SENT, HANDLER_FAULTS, USES_DEVICE };

static void fault_again(int sig, siginfo_t *si, void *uc)
{
	*(volatile int *)16 = 1;
}

static int child(enum fate fate)
{
	pid_t p = fork();
	int st;

	if (!p) {
		switch (fate) {
		case BLOCKED_PAGE:
			R32(3 * PAGE) = 1;
			break;
		case IGNORED_NULL:
			signal(SIGSEGV, SIG_IGN); /* fall through */
		case NULL_POINTER:
			*(volatile int *)8 = 1;
			break;
		case ONE_SHOT:
			catch(SIGSEGV, jump, SA_RESETHAND);
			if (!sigsetjmp(escape, 1))
				*(volatile int *)8 = 1;
			*(volatile int *)8 = 1;
			break;
		case SENT_IGNORED:
			signal(SIGSEGV, SIG_IGN);
			raise(SIGSEGV);
			_exit(11);
		case SENT:
			raise(SIGSEGV);
			break;
		case HANDLER_FAULTS:
			catch(SIGSEGV, fault_again, 0);
			*(volatile int *)8 = 1;
			break;
		case USES_DEVICE:
			R32(0x44) = 99;
			_exit(R32(0x44) == 99 ? 7 : 1);
		}
		_exit(1);
	}
	waitpid(p, &st, 0);
	return WIFSIGNALED(st) ? -WTERMSIG(st) : WEXITSTATUS(st);
}

static void deaths(void)
{
	CHECK(child(BLOCKED_PAGE) == -SIGBUS);
	CHECK(child(NULL_POINTER) == -SIGSEGV);
	CHECK(child(IGNORED_NULL) == -SIGSEGV);
	CHECK(child(ONE_SHOT) == -SIGSEGV);
	CHECK(child(SENT_IGNORED) == 11);
	CHECK(child(SENT) == -SIGSEGV);
	CHECK(child(HANDLER_FAULTS) == -SIGSEGV);
	CHECK(child(USES_DEVICE) == 7);
}

/* A vforked child shares the memory, not the handlers. */
static void vforked(void)
{
	pid_t p;
	int st;

	catch(SIGSEGV, jump, 0);
	p = vfork();
	if (!p) {
		signal(SIGSEGV, SIG_DFL);
		*(volatile int *)8 = 1;
		_exit(3);
	}
	waitpid(p, &st, 0);
	CHECK(WIFSIGNALED(st) && WTERMSIG(st) == SIGSEGV);
	if (!sigsetjmp(escape, 1)) {
		*(volatile int *)24 = 1;
		CHECK(!"reached");
	}
	CHECK(got_addr == (void *)24);
	/* and a forked one inherits them */
	p = fork();
	if (!p) {
		for (volatile int i = 0; i < 3; i++)
			if (!sigsetjmp(escape, 1))
				*(volatile int *)32 = 1;
		_exit(got_addr == (void *)32 ? 4 : 5);
	}
	waitpid(p, &st, 0);
	CHECK(WIFEXITED(st) && WEXITSTATUS(st) == 4);
	signal(SIGSEGV, SIG_DFL);
}

static void *hammer(void *arg)
{
	for (int i = 0; i < 300; i++) {
		uint8_t b = (uint8_t)i;

		R32(0x38) = 1;
		__asm__ volatile("orb %b0, 0x400(%1)" : : "q"(b), "r"(bar) : "memory", "cc");
	}
	return NULL;
}

/* How many accesses did the supervisor see for 50 loads of the mirrored register? */
static uint32_t mirrored(uint32_t want)
{
	uint32_t before = R32(0x30);

	for (int i = 0; i < 50; i++)
		CHECK(R32(0x48) == want);
	before = R32(0x30) - before - 1;
	/* not of the register's width: the device's own affair */
	CHECK(*(volatile uint8_t *)(bar + 0x49) == (uint8_t)(want >> 8));
	return before;
}

static void mirror(void)
{
	bool works = R32(0x4c);
	int st, fd;
	pid_t p;

	for (uint32_t v = 0x1234; v < 0x1240; v++) {
		R32(0x48) = v;
		CHECK(R32(0x48) == v);
	}
	CHECK(mirrored(0x123f) == (works ? 0 : 50));
	/* the stub's descriptor closed, and taken by a file of ours */
	for (fd = 3; fd < 1000; fd++)
		close(fd);
	CHECK(mirrored(0x123f) == (works ? 0 : 50));
	fd = open("/dev/null", O_RDONLY);
	CHECK(fd == 3);
	for (int i = 600; i < 1000; i++)
		CHECK(dup2(fd, i) == i);
	CHECK(mirrored(0x123f) == (works ? 0 : 50));
	for (int i = 600; i < 1000; i++)
		CHECK(fcntl(i, F_GETFD) == 0 || (fcntl(i, F_GETFD) & FD_CLOEXEC));
	/* a child looks at its own memory, not at its parent's */
	p = fork();
	if (!p) {
		volatile uint8_t *old = bar;

		CHECK(mirrored(0x123f) == (works ? 0 : 50));
		CHECK(mremap((void *)old, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)0x600000000000) ==
		      (void *)0x600000000000);
		bar = (volatile uint8_t *)0x600000000000;
		CHECK(mirrored(0x123f) == (works ? 0 : 50));
		_exit(9);
	}
	waitpid(p, &st, 0);
	CHECK(WIFEXITED(st) && WEXITSTATUS(st) == 9);
	/* something else in the device's place is not the device */
	p = fork();
	if (!p) {
		int own = memfd_create("own", 0);

		CHECK(mmap((void *)bar, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, own, 0) == bar);
		(void)R32(0x48);
		_exit(1);
	}
	waitpid(p, &st, 0);
	CHECK(WIFSIGNALED(st) && WTERMSIG(st) == SIGBUS);
	R32(0x50) = 1;
	CHECK(mirrored(0x123f) == 50);
	R32(0x50) = 0;
	CHECK(mirrored(0x123f) == (works ? 0 : 50));
}

static volatile sig_atomic_t ticks;

static void tick(int sig)
{
	R32(0x38) = 1;
	ticks = ticks + 1;
}

static void threads(void)
{
	struct itimerval it = { { 0, 500 }, { 0, 500 } }, off = { { 0, 0 }, { 0, 0 } };
	uint32_t before = R32(0x38);
	pthread_t t[4];

	signal(SIGALRM, tick);
	setitimer(ITIMER_REAL, &it, NULL);
	for (int i = 0; i < 4; i++)
		CHECK(pthread_create(&t[i], NULL, hammer, NULL) == 0);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	setitimer(ITIMER_REAL, &off, NULL);
	signal(SIGALRM, SIG_IGN);
	CHECK(R32(0x38) == before + 1200 + (uint32_t)ticks);
}

int main(void)
{
	int fd = memfd_create("uvfio-test-bar", 0);

	bar = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd < 0 || bar == MAP_FAILED)
		return 2;
	registers();
	block64();
	plain();
	blocked();
	own_segv();
	deaths();
	vforked();
	mirror();
	threads();
	return 42;
}
