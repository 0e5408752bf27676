/* SPDX-License-Identifier: MIT */
/*
 * uvfio doctor: try each mechanism that uvfio run stands on, on a child made for it, and say what it
 * costs here, what is used instead where the host forbids it, and what would allow it. Needs no machine.
 */
#include "front/supervisor/priv.h"
#include "mem/mem.h"
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 2000

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* "name        yes  2.1 us  words" */
static PRINTF(5, 6) void line(FILE *out, const char *name, bool ok, double us, const char *fmt, ...)
{
	char cost[24] = "";
	va_list ap;

	if (us > 0)
		snprintf(cost, sizeof(cost), us < 10 ? "%.2f us" : "%.0f us", us);
	fprintf(out, "%-26s %-4s %9s  ", name, ok ? "yes" : "NO", cost);
	va_start(ap, fmt);
	vfprintf(out, fmt, ap);
	va_end(ap);
	fputc('\n', out);
}

/* A child to try things on: sleeps until killed. Shares one page with us. */
static pid_t child(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	return pid;
}

static void child_end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* ---- notification ---- */

struct notify_try {
	atomic_int listener; /* in the child; 0: not yet; -errno */
	atomic_int go;
	double us;           /* of one call, as the child saw it */
};

static void notify_child(struct notify_try *t, unsigned long flags)
{
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog p = { ARRAY_SIZE(f), f };
	double start;
	long fd;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER | flags, &p);
	atomic_store(&t->listener, fd < 0 ? -errno : (int)fd);
	while (fd >= 0 && !atomic_load(&t->go))
		usleep(100);
	start = now_us();
	for (int i = 0; fd >= 0 && i < ROUNDS; i++)
		syscall(SYS_getppid);
	t->us = (now_us() - start) / ROUNDS;
	_exit(0);
}

/* The child's listener: by /proc when pidfd_getfd is denied it cannot be had, so the child shares its table. */
static pid_t notify_start(struct notify_try *t, unsigned long flags)
{
	pid_t pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, 0);

	if (pid == 0)
		notify_child(t, flags);
	while (pid > 0 && atomic_load(&t->listener) == 0)
		usleep(100);
	return pid;
}

static void notify_answer(int listener)
{
	struct seccomp_notif_sizes sizes;
	struct seccomp_notif_resp r = { 0 };
	struct seccomp_notif *q;

	if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) < 0)
		return;
	q = calloc(1, MAX((size_t)sizes.seccomp_notif, sizeof(*q)));
	for (int i = 0; q && i < ROUNDS; i++) {
		memset(q, 0, sizes.seccomp_notif);
		if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, q) < 0)
			break;
		r.id = q->id;
		if (ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &r) < 0)
			break;
	}
	free(q);
}

/* What replaces it: a stop of the caller for each call. Return: does it work? */
static bool doctor_trace(FILE *out)
{
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog p = { ARRAY_SIZE(f), f };
	int go[2], status = 0, n = 0, err = 0;
	double start = 0;
	pid_t pid;
	char c;

	if (pipe2(go, O_CLOEXEC) < 0)
		return false;
	pid = fork();
	if (pid == 0) {
		close(go[1]);
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		if (read(go[0], &c, 1) == 1 && syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &p) == 0) {
			for (int i = 0; i < ROUNDS; i++)
				syscall(SYS_getppid);
		}
		_exit(0);
	}
	if (pid > 0 && ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACESECCOMP | PTRACE_O_EXITKILL) < 0)
		err = errno;
	if (pid > 0 && !err)
		(void)!write(go[1], "g", 1);
	close(go[0]);
	close(go[1]);
	while (pid > 0 && waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status)) {
		if (status >> 16 == PTRACE_EVENT_SECCOMP && n++ == 0)
			start = now_us();
		ptrace(PTRACE_CONT, pid, 0, status >> 16 ? 0 : WSTOPSIG(status));
	}
	line(out, "  ptrace instead", n == ROUNDS, n == ROUNDS ? (now_us() - start) / ROUNDS : 0, "%s%s",
	     n == ROUNDS ? "stops each call to the machine, and costs some three times that with its answer"
			 : "nothing replaces it: ", n == ROUNDS ? "" : strerror(err ? err : ENOSYS));
	return n == ROUNDS;
}

/* *@traced: it is not used, but ptrace. Return: does one of them work? */
static bool doctor_notify(FILE *out, bool *traced)
{
	struct notify_try *t = mmap(NULL, sizeof(*t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	bool killable = true, sync_wake = false;
	int listener;
	pid_t pid;

	if (t == MAP_FAILED)
		return false;
	pid = notify_start(t, SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);
	if (atomic_load(&t->listener) == -EINVAL) {
		killable = false;
		waitpid(pid, NULL, 0);
		atomic_store(&t->listener, 0);
		pid = notify_start(t, 0);
	}
	listener = atomic_load(&t->listener);
	if (listener > 0) {
		sync_wake = ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP) == 0;
		atomic_store(&t->go, 1);
		notify_answer(listener);
	}
	waitpid(pid, NULL, 0);
	if (listener > 0)
		close(listener);
	if (listener == -EBUSY)
		line(out, "system call notification", false, 0,
		     "this process is under another notification filter (a container manager, WSL): ptrace is used instead");
	else if (listener < 0)
		line(out, "system call notification", false, 0, "%s, needs Linux 5.19 with seccomp: ptrace is used instead",
		     strerror(-listener));
	else
		line(out, "system call notification", true, t->us, "what each call to the machine costs here");
	if (listener > 0) {
		line(out, "  interruption-proof", killable, 0, "%s", killable ? "signals do not repeat a call"
			: "needs Linux 5.19, as interrupted calls would run twice: ptrace is used instead");
		line(out, "  wake on the same CPU", sync_wake, 0, "%s", sync_wake ? "calls do not wait for another CPU"
			: "needs Linux 6.6: calls may cost 10 times as much on virtual machines");
	}
	munmap(t, sizeof(*t));
	*traced = listener <= 0 || !killable;
	return !*traced || doctor_trace(out);
}

/* ---- the caller's memory, descriptors, context ---- */

static void doctor_ptrace(FILE *out, pid_t pid)
{
	double start = now_us();
	char scope[8] = "";
	int fd = open("/proc/sys/kernel/yama/ptrace_scope", O_RDONLY | O_CLOEXEC);
	bool ok = ptrace(PTRACE_SEIZE, pid, 0, 0) == 0;
	int err = errno;

	if (fd >= 0) {
		(void)!read(fd, scope, sizeof(scope) - 1);
		close(fd);
	}
	if (ok) {
		ptrace(PTRACE_INTERRUPT, pid, 0, 0);
		waitpid(pid, NULL, __WALL);
		ptrace(PTRACE_DETACH, pid, 0, 0);
	}
	if (ok)
		line(out, "injection (ptrace)", true, now_us() - start, "puts the MMIO stub into each program at exec");
	else
		line(out, "injection (ptrace)", false, 0,
		     "%s%s%s: BARs cannot be mapped (pread and pwrite work), redirection into sysfs files does not tell "
		     "errors; allow with kernel.yama.ptrace_scope=1, or --cap-add=SYS_PTRACE for a container",
		     strerror(err), *scope ? ", Yama scope " : "", strtok(scope, "\n") ? scope : "");
}

static void doctor_memory(FILE *out, pid_t pid)
{
	static char theirs[64];
	char mine[64] = "", path[64];
	struct iovec l = { mine, 64 }, r = { theirs, 64 };
	double start = now_us();
	bool ok = true;
	int fd;

	for (int i = 0; ok && i < ROUNDS; i++)
		ok = process_vm_readv(pid, &l, 1, &r, 1, 0) == 64;
	line(out, "copies (process_vm)", ok, (now_us() - start) / ROUNDS, "%s",
	     ok ? "arguments of calls, large DMA to private memory" : "nothing replaces it; see injection");
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	fd = open(path, O_RDWR | O_CLOEXEC);
	start = now_us();
	ok = fd >= 0;
	for (int i = 0; ok && i < ROUNDS; i++)
		ok = pread(fd, mine, 64, (off_t)(uintptr_t)theirs) == 64;
	line(out, "copies (/proc/PID/mem)", ok, (now_us() - start) / ROUNDS, "%s",
	     ok ? "small DMA to private memory" : "process_vm is used instead");
	if (fd >= 0)
		close(fd);
}

/* PROCMAP_QUERY, Linux 6.11: the mapping at an address without parsing text. Layout of the uapi's struct. */
struct procmap_query {
	uint64_t size, flags, addr, start, end, vma_flags, page_size, offset, inode;
	uint32_t major, minor, name_size, build_id_size;
	uint64_t name, build_id;
};

static void doctor_maps(FILE *out, pid_t pid)
{
	struct procmap_query q = { .size = sizeof(q), .addr = (uintptr_t)doctor_maps };
	char path[64];
	double start;
	bool ok;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	start = now_us();
	ok = fd >= 0;
	for (int i = 0; ok && i < ROUNDS; i++)
		ok = ioctl(fd, _IOWR('f', 17, struct procmap_query), &q) == 0;
	line(out, "mappings (PROCMAP_QUERY)", ok, ok ? (now_us() - start) / ROUNDS : 0, "%s",
	     ok ? "which device a faulting address belongs to"
		: "needs Linux 6.11: /proc/PID/maps is parsed instead, some 20 us a look");
	if (fd >= 0)
		close(fd);
}

static void doctor_getfd(FILE *out, pid_t pid)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	double start = now_us();
	int fd = (int)syscall(SYS_pidfd_getfd, pidfd, 2, 0);
	int err = errno;

	line(out, "descriptors (pidfd_getfd)", fd >= 0, fd >= 0 ? now_us() - start : 0, "%s%s",
	     fd >= 0 ? "a program's eventfds" : strerror(err),
	     fd >= 0 ? "" : ": eventfds are made by the machine instead; a container allows it with --cap-add=SYS_PTRACE");
	if (fd >= 0)
		close(fd);
	if (pidfd >= 0)
		close(pidfd);
}

/* ---- the host ---- */

static bool doctor_release(FILE *out)
{
	int memfd = memfd_create("uvfio-doctor", MFD_CLOEXEC), in = inotify_init1(IN_CLOEXEC | IN_NONBLOCK), fd;
	char path[64], event[512];
	bool ok = false;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", memfd);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0 && in >= 0 && inotify_add_watch(in, path, IN_CLOSE) >= 0) {
		close(fd);
		fd = -1;
		ok = read(in, event, sizeof(event)) > 0;
	}
	line(out, "release (memfd, inotify)", ok, 0, "%s",
	     ok ? "the last close or munmap of a device is noticed" : "nothing replaces it; /proc must be mounted");
	if (fd >= 0)
		close(fd);
	if (memfd >= 0)
		close(memfd);
	if (in >= 0)
		close(in);
	return ok;
}

static void line_pins(FILE *out, bool traced)
{
	double us = 0;
	int rc = traced ? -EOPNOTSUPP : super_try_pins(&us);

	if (rc)
		line(out, "true pins (io_uring)", false, 0, "%s: private memory is reached by address, DMA goes to what the "
		     "program has there by then", traced ? "not with ptrace" : mem_pin_reason(-rc));
	else
		line(out, "true pins (io_uring)", true, us, "what mapping private memory costs with --pins true; DMA then "
		     "reaches the pages it had");
}

static void doctor_limits(FILE *out)
{
	struct rlimit files, lock;

	getrlimit(RLIMIT_NOFILE, &files);
	getrlimit(RLIMIT_MEMLOCK, &lock);
	line(out, "open files", files.rlim_max >= 2048, 0, "hard limit %llu%s", (unsigned long long)files.rlim_max,
	     files.rlim_max >= 2048 ? "" : ": raise it to 4096 or more (ulimit -Hn, LimitNOFILE=)");
	if (lock.rlim_cur == RLIM_INFINITY || geteuid() == 0)
		line(out, "locked memory", true, 0, "no limit for MAP_DMA");
	else
		line(out, "locked memory", true, 0, "MAP_DMA is limited to %llu KiB, as with Linux's VFIO (ulimit -l)",
		     (unsigned long long)lock.rlim_cur / 1024);
}

int super_doctor(FILE *out)
{
	struct utsname u;
	bool ok, traced = true;
	pid_t pid;

	uname(&u);
	line(out, "Linux", true, 0, "%s %s", u.release, u.machine);
	fflush(out);
	ok = doctor_notify(out, &traced);
	fflush(out);
	pid = child();
	if (pid > 0) {
		doctor_ptrace(out, pid);
		doctor_memory(out, pid);
		doctor_maps(out, pid);
		doctor_getfd(out, pid);
		child_end(pid);
	}
	ok &= doctor_release(out);
	line_pins(out, traced);
	doctor_limits(out);
	fprintf(out, ok ? "uvfio run works here.\n" : "uvfio run does not work here.\n");
	return ok ? 0 : -1;
}
