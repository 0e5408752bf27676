/* SPDX-License-Identifier: MIT */
/*
 * The floors: what the host itself takes for the mechanisms that uvfio run stands on. Run outside uvfio.
 *	floor.untrapped     a system call without filter
 *	floor.notify        a system call answered by another process through seccomp notification, as cheap as it gets
 *	floor.fault         a load beyond the end of a file: fault, signal, handler that steps over it, return
 *	floor.pingpong      two processes, one eventfd each way
 *	floor.memcpy_2m     2 MiB copied between shared mappings;  floor.vm_writev_2m: into another process
 */
#define BENCH_ROUNDS 1001 /* short ones, of which few are disturbed on a busy machine */
#include "bench.h"
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS _IOW('!', 4, __u64)
#endif
#define WAIT_KILLABLE (1UL << 5)

static void answer(int listener)
{
	struct seccomp_notif q;
	struct seccomp_notif_resp r = { .val = 42 };

	ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, 1UL);
	for (;;) {
		memset(&q, 0, sizeof(q));
		if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &q) < 0) {
			if (errno == EINTR)
				continue;
			return;
		}
		r.id = q.id;
		ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &r);
	}
}

static void notify(void)
{
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog p = { sizeof(f) / sizeof(f[0]), f };
	volatile int *sh = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		sh[0] = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
				     SECCOMP_FILTER_FLAG_NEW_LISTENER | WAIT_KILLABLE, &p);
		while (!sh[1])
			usleep(100);
		BENCH("floor.notify", 20, syscall(SYS_getppid));
		_exit(0);
	}
	while (!sh[0])
		usleep(100);
	int listener = (int)syscall(SYS_pidfd_getfd, syscall(SYS_pidfd_open, pid, 0), sh[0], 0);

	if (fork() == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		answer(listener);
		_exit(0);
	}
	sh[1] = 1;
	close(listener);
	waitpid(pid, NULL, 0);
	waitpid(-1, NULL, 0);
}

static void step_over(int sig, siginfo_t *si, void *uc)
{
	(void)sig;
	(void)si;
	((ucontext_t *)uc)->uc_mcontext.gregs[REG_RIP] += 2; /* mov (%rax),%eax */
}

static void fault(void)
{
	struct sigaction sa = { .sa_sigaction = step_over, .sa_flags = SA_SIGINFO | SA_NODEFER };
	int fd = memfd_create("nothing", 0);
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	sigaction(SIGBUS, &sa, NULL);
	BENCH("floor.fault", 20, __asm__ volatile(".byte 0x8b, 0x00" : : "a"(p) : "memory"));
	signal(SIGBUS, SIG_DFL);
}

static void pingpong(void)
{
	int a = eventfd(0, 0), b = eventfd(0, 0);
	uint64_t one = 1, n;
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		while (read(a, &n, 8) == 8)
			(void)!write(b, &one, 8);
		_exit(0);
	}
	BENCH("floor.pingpong", 20, (void)!write(a, &one, 8); (void)!read(b, &n, 8));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void copies(void)
{
	size_t n = 2 << 20;
	char *a = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char *b = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char *c = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct iovec l = { a, n }, r = { c, n };
	pid_t pid;

	memset(a, 1, n);
	memset(b, 1, n);
	memset(c, 1, n);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		memset(c, 2, n);
		for (;;)
			pause();
	}
	usleep(20000);
	BENCH("floor.memcpy_2m", 1, memcpy(b, a, n));
	BENCH("floor.vm_writev_2m", 1, (void)!process_vm_writev(pid, &l, 1, &r, 1, 0));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

int main(void)
{
	BENCH("floor.untrapped", 500, syscall(SYS_getppid));
	notify();
	fault();
	pingpong();
	copies();
	return 0;
}
