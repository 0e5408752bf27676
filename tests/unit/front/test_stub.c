/* SPDX-License-Identifier: MIT */
/*
 * The stub in real programs: injected at exec as stub.h tells, with a supervisor of 300 lines that plays a device
 * of four pages (see stub_prog.c). One program is dynamic, one static, one written in Go.
 */
#include "front/mmio.h"
#include "front/stub/blob.h"
#include "front/stub/mirror.h"
#include "front/stub/stub.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE 4096ul

struct group {
	uint32_t tgid;
	struct stub_action action[STUB_SIGNALS];
};

static struct {
	int listener;
	struct mmio_thunks *thunks;
	struct group groups[64];
	unsigned count;
	uint8_t reg[2 * PAGE];
	uint32_t reads20, writes38, accesses;
	int plain;
	struct stub_mirror *mirror;
	struct mirror_page *page; /* shows register 0x48 */
	unsigned decodes, hellos, rpcs;
	int ready;
} sup;

/* ---- the program's memory ---- */

static bool get(pid_t pid, uint64_t at, void *buf, size_t n)
{
	struct iovec here = { buf, n }, there = { (void *)at, n };

	return process_vm_readv(pid, &here, 1, &there, 1, 0) == (ssize_t)n;
}

static bool put(pid_t pid, uint64_t at, const void *buf, size_t n)
{
	struct iovec here = { (void *)(uintptr_t)buf, n }, there = { (void *)at, n };

	return process_vm_writev(pid, &here, 1, &there, 1, 0) == (ssize_t)n;
}

/* The offset in the test's device at @addr; -1: something else is there. */
static int64_t locate(pid_t pid, uint64_t addr)
{
	char path[64], line[512];
	int64_t found = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f)) {
		unsigned long start, end, offset, ino;
		unsigned maj, min;

		if (sscanf(line, "%lx-%lx %*s %lx %x:%x %lu", &start, &end, &offset, &maj, &min, &ino) == 6 &&
		    addr >= start && addr < end && strstr(line, "memfd:uvfio-test-bar")) {
			found = (int64_t)(offset + addr - start);
			assert_int_equal(stub_mirror_bind(sup.mirror, makedev(maj, min), ino, 0, sup.page), 0);
		}
	}
	if (f)
		fclose(f);
	return found;
}

static uint32_t tgid_of(pid_t pid)
{
	char path[64], line[128];
	unsigned tgid = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "Tgid: %u", &tgid) == 1)
			break;
	if (f)
		fclose(f);
	return tgid;
}

/* ---- the device ---- */

static int check_page(pid_t pid, uint64_t addr, int64_t *offset)
{
	*offset = locate(pid, addr);
	if (*offset < 0)
		return -ENXIO;
	return *offset >= 12288 ? -EFAULT : *offset >= 8192 ? -EAGAIN : 0;
}

static void device_read(int64_t offset, unsigned width, uint8_t *buf)
{
	sup.accesses++;
	if (offset == 0x20)
		sup.reads20++;
	memcpy(sup.reg + 0x20, &sup.reads20, 4);
	memset(sup.reg + 0x28, 0xff, 8);
	memcpy(sup.reg + 0x30, &sup.accesses, 4);
	memcpy(sup.reg + 0x38, &sup.writes38, 4);
	memcpy(buf, sup.reg + offset, width);
}

static void device_write(int64_t offset, unsigned width, const uint8_t *buf)
{
	sup.accesses++;
	if (offset == 0x38)
		sup.writes38++;
	if (offset == 0x48)
		mirror_set(sup.page, 0x48, 4, *(const uint32_t *)(const void *)buf);
	if (offset == 0x50)
		mirror_block(sup.page, buf[0]);
	memcpy(sup.reg + offset, buf, width);
}

static int64_t rpc_read(pid_t pid, uint64_t addr, unsigned width, uint64_t buf)
{
	uint8_t data[64] = { 0 };
	int64_t offset, v;
	int rc = check_page(pid, addr, &offset);

	if (rc)
		return rc;
	device_read(offset, width, data);
	memcpy(&v, data, 8);
	if (width <= 8 && !(v < 0 && v >= -4095))
		return v;
	return put(pid, buf, data, width) ? -EOVERFLOW : -EFAULT;
}

static int64_t rpc_write(pid_t pid, uint64_t addr, unsigned width, uint64_t value, uint64_t buf)
{
	uint8_t data[64];
	int64_t offset;
	int rc = check_page(pid, addr, &offset);

	if (rc)
		return rc;
	memcpy(data, &value, 8);
	if (width > 8 && !get(pid, buf, data, width))
		return -EFAULT;
	device_write(offset, width, data);
	return 0;
}

static int64_t rpc_rep(pid_t pid, bool write, uint64_t addr, unsigned width, unsigned count, uint64_t buf)
{
	uint8_t data[MMIO_REP_MAX];
	int64_t offset;
	int rc = check_page(pid, addr, &offset);

	if (rc)
		return rc;
	if (count * width > sizeof(data) || (write && !get(pid, buf, data, count * width)))
		return -EFAULT;
	for (unsigned i = 0; i < count; i++) {
		if (write)
			device_write(offset + i * width, width, data + i * width);
		else
			device_read(offset + i * width, width, data + i * width);
	}
	if (!write && !put(pid, buf, data, count * width))
		return -EFAULT;
	return count;
}

/* ---- the rest of the contract ---- */

static int add_fd(uint64_t id, int fd)
{
	struct seccomp_notif_addfd add = { .id = id, .srcfd = (uint32_t)fd, .newfd_flags = O_CLOEXEC };

	return ioctl(sup.listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add);
}

static int64_t rpc_page(const struct seccomp_notif *n, uint64_t addr, uint64_t out)
{
	struct stub_page page = { .kind = STUB_PAGE_TRAP, .fd = -1 };
	int64_t offset;
	int rc = check_page((pid_t)n->pid, addr, &offset);

	if (rc == -ENXIO)
		return rc;
	if (rc == -EFAULT)
		page.kind = STUB_PAGE_BLOCKED;
	if (rc == -EAGAIN) {
		page.kind = STUB_PAGE_PLAIN;
		page.fd = add_fd(n->id, sup.plain);
		page.start = addr & ~(PAGE - 1);
		page.length = PAGE;
		page.prot = PROT_READ | PROT_WRITE;
	}
	return put((pid_t)n->pid, out, &page, sizeof(page)) ? 0 : -EFAULT;
}

static int64_t rpc_decode(pid_t pid, uint64_t rip, uint64_t out)
{
	uint8_t bytes[MMIO_INSN_MAX];
	struct mmio_insn insn;
	size_t n = MMIO_INSN_MAX;
	int rc;

	while (n && !get(pid, rip, bytes, n))
		n--;
	rc = mmio_decode(bytes, n, sup.thunks, &insn);
	if (rc)
		return rc;
	insn.rip = rip;
	sup.decodes++;
	return put(pid, out, &insn, sizeof(insn)) ? 0 : -EFAULT;
}

static struct group *group_of(pid_t pid)
{
	uint32_t tgid = tgid_of(pid);
	struct stub_data data;
	struct group *g;

	for (unsigned i = 0; i < sup.count; i++)
		if (sup.groups[i].tgid == tgid)
			return &sup.groups[i];
	assert_true(sup.count < 64);
	g = &sup.groups[sup.count++];
	memset(g, 0, sizeof(*g));
	g->tgid = tgid;
	if (get(pid, STUB_DATA, &data, offsetof(struct stub_data, cache)))
		memcpy(g->action, data.action, sizeof(g->action));
	return g;
}

static void publish(pid_t pid, struct group *g)
{
	uint32_t seq;

	get(pid, STUB_DATA + offsetof(struct stub_data, seq), &seq, 4);
	seq++;
	put(pid, STUB_DATA + offsetof(struct stub_data, seq), &seq, 4);
	put(pid, STUB_DATA + offsetof(struct stub_data, action), g->action, sizeof(g->action));
	seq++;
	put(pid, STUB_DATA + offsetof(struct stub_data, seq), &seq, 4);
}

static int64_t rpc_action(pid_t pid, int sig, uint64_t out, bool deliver)
{
	struct group *g = group_of(pid);
	struct stub_action *a = &g->action[stub_signal(sig)];
	uint32_t alive = 0, owner = 0;

	if (!put(pid, out, a, sizeof(*a)))
		return -EFAULT;
	if (deliver && (a->flags & SA_RESETHAND))
		a->handler = 0;
	get(pid, STUB_FORK, &alive, 4);
	get(pid, STUB_DATA + offsetof(struct stub_data, owner), &owner, 4);
	if (!alive) {
		owner = g->tgid;
		alive = 1;
		put(pid, STUB_DATA + offsetof(struct stub_data, owner), &owner, 4);
		put(pid, STUB_FORK, &alive, 4);
	}
	if (owner == g->tgid)
		publish(pid, g);
	return 0;
}

static int64_t sigaction_call(pid_t pid, int sig, uint64_t act, uint64_t old)
{
	struct group *g = group_of(pid);
	struct stub_action *a = &g->action[stub_signal(sig)];
	struct stub_action fresh;
	uint32_t owner = 0;

	if (act && !get(pid, act, &fresh, sizeof(fresh)))
		return -EFAULT;
	if (old && !put(pid, old, a, sizeof(*a)))
		return -EFAULT;
	if (act) {
		*a = fresh;
		get(pid, STUB_DATA + offsetof(struct stub_data, owner), &owner, 4);
		if (owner == g->tgid)
			publish(pid, g);
	}
	return 0;
}

static int64_t rpc_hello(const struct seccomp_notif *n, uint32_t version, uint64_t out)
{
	struct stub_hello hello = { .own_fd = 700 };

	if (version != STUB_VERSION)
		return -EPROTO;
	sup.hellos++;
	hello.thunks_fd = add_fd(n->id, mmio_thunks_fd(sup.thunks));
	hello.thunks_size = mmio_thunks_size(sup.thunks);
	hello.mirror_fd = add_fd(n->id, stub_mirror_fd(sup.mirror));
	hello.mirror_size = stub_mirror_size(sup.mirror);
	return put((pid_t)n->pid, out, &hello, sizeof(hello)) ? 0 : -EFAULT;
}

static int64_t answer(const struct seccomp_notif *n)
{
	const uint64_t *a = (const uint64_t *)n->data.args;
	pid_t pid = (pid_t)n->pid;

	if (n->data.nr == SYS_rt_sigaction)
		return sigaction_call(pid, (int)a[0], a[1], a[2]);
	sup.rpcs++;
	switch ((uint32_t)a[1]) {
	case STUB_HELLO:
		return rpc_hello(n, (uint32_t)a[2], a[3]);
	case STUB_READY:
		sup.ready = (int)a[2];
		return 0;
	case STUB_READ:
		return rpc_read(pid, a[2], (unsigned)a[3], a[4]);
	case STUB_WRITE:
		return rpc_write(pid, a[2], (unsigned)a[3], a[4], a[5]);
	case STUB_READ_REP:
	case STUB_WRITE_REP:
		return rpc_rep(pid, a[1] == STUB_WRITE_REP, a[2], (unsigned)a[3], (unsigned)a[4], a[5]);
	case STUB_PAGE:
		return rpc_page(n, a[2], a[3]);
	case STUB_DECODE:
		return rpc_decode(pid, a[2], a[3]);
	case STUB_ACTION:
		return rpc_action(pid, (int)a[2], a[3], a[4]);
	default:
		return -ENOTTY;
	}
}

/* ---- getting in ---- */

#define ARG(n) (offsetof(struct seccomp_data, args) + 8 * (n))
#define LOAD(at) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (at))
#define EQ(k, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (k), (yes), (no))

static int install_filter(void)
{
	struct sock_filter f[] = {
		/* 0 */ LOAD(offsetof(struct seccomp_data, nr)),
		/* 1 */ EQ(SYS_ioctl, 0, 2),
		/* 2 */ LOAD(ARG(0)),
		/* 3 */ EQ(0xffffffff, 9, 10),
		/* 4 */ EQ(SYS_rt_sigaction, 0, 9),
		/* 5 */ LOAD(offsetof(struct seccomp_data, instruction_pointer) + 4),
		/* 6 */ EQ((uint32_t)(STUB_TEXT >> 32), 0, 2),
		/* 7 */ LOAD(offsetof(struct seccomp_data, instruction_pointer)),
		/* 8 */ BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, (uint32_t)(STUB_TEXT + STUB_TEXT_SIZE), 0, 5),
		/* 9 */ LOAD(ARG(0)),
		/* 10 */ EQ(SIGSEGV, 2, 0), EQ(SIGILL, 1, 0),
		/* 12 */ EQ(SIGBUS, 0, 1),
		/* 13 */ BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		/* 14 */ BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog p = { sizeof(f) / sizeof(f[0]), f };

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
			    SECCOMP_FILTER_FLAG_NEW_LISTENER | (1u << 5) /* WAIT_KILLABLE_RECV */, &p);
}

static bool inject(pid_t pid)
{
	struct user_regs_struct old, r;
	char path[64];
	long word;
	int fd, st;
	bool ok;

	ptrace(PTRACE_GETREGS, pid, 0, &old);
	word = ptrace(PTRACE_PEEKTEXT, pid, old.rip, 0);
	ptrace(PTRACE_POKETEXT, pid, old.rip, (word & ~0xffffffl) | 0xcc050f); /* syscall; int3 */
	r = old;
	r.rax = SYS_mmap;
	r.orig_rax = (unsigned long long)-1;
	r.rdi = STUB_TEXT;
	r.rsi = STUB_TEXT_SIZE;
	r.rdx = PROT_READ | PROT_EXEC;
	r.r10 = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
	r.r8 = (unsigned long long)-1;
	r.r9 = 0;
	ptrace(PTRACE_SETREGS, pid, 0, &r);
	ptrace(PTRACE_CONT, pid, 0, 0);
	if (waitpid(pid, &st, 0) != pid || !WIFSTOPPED(st) || WSTOPSIG(st) != SIGTRAP)
		return false;
	ptrace(PTRACE_GETREGS, pid, 0, &r);
	ptrace(PTRACE_POKETEXT, pid, old.rip, word);
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	fd = open(path, O_RDWR | O_CLOEXEC);
	ok = r.rax == STUB_TEXT && pwrite(fd, stub_blob, stub_blob_size, (off_t)STUB_TEXT) == (ssize_t)stub_blob_size;
	close(fd);
	old.rdi = old.rip;
	old.rip = STUB_START;
	old.orig_rax = (unsigned long long)-1;
	ptrace(PTRACE_SETREGS, pid, 0, &old);
	ptrace(PTRACE_DETACH, pid, 0, 0);
	return ok;
}

static int serve(pid_t pid)
{
	int st = 0;

	for (;;) {
		struct pollfd p = { sup.listener, POLLIN, 0 };
		struct seccomp_notif n = { 0 };
		struct seccomp_notif_resp r = { 0 };

		if (poll(&p, 1, 60000) == 0) {
			fprintf(stderr, "no news from the program for a minute\n");
			kill(pid, SIGKILL);
		}
		if (p.revents & (POLLHUP | POLLERR))
			break;
		if (ioctl(sup.listener, SECCOMP_IOCTL_NOTIF_RECV, &n))
			continue;
		r.id = n.id;
		r.val = answer(&n);
		if (r.val < 0 && r.val >= -4095) {
			r.error = (int)r.val;
			r.val = 0;
		}
		ioctl(sup.listener, SECCOMP_IOCTL_NOTIF_SEND, &r);
	}
	waitpid(pid, &st, 0);
	return WIFEXITED(st) ? WEXITSTATUS(st) : -WTERMSIG(st);
}

/* Linux 6.11 and later. */
static bool have_procmap_query(void)
{
	uint64_t q[13] = { sizeof(q), 0, (uint64_t)&q };
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	int rc = ioctl(fd, 0xc0686611, q);

	close(fd);
	return rc == 0;
}

/* Runs it with the stub; its exit status. */
static int run_program(const char *path)
{
	volatile int *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid;
	int pidfd, st, rc;

	memset(&sup, 0, sizeof(sup));
	assert_int_equal(mmio_thunks_create(4096, &sup.thunks), 0);
	assert_int_equal(stub_mirror_create(&sup.mirror), 0);
	sup.page = stub_mirror_page_alloc(sup.mirror);
	assert_non_null(sup.page);
	mirror_set(sup.page, 0x48, 4, 0);
	mirror_block(sup.page, false);
	sup.reg[0x4c] = have_procmap_query();
	sup.plain = memfd_create("plain", MFD_CLOEXEC);
	assert_int_equal(ftruncate(sup.plain, PAGE), 0);
	shared[0] = shared[1] = -1;
	pid = fork();
	if (!pid) {
		signal(SIGSEGV, SIG_DFL); /* cmocka's own */
		signal(SIGBUS, SIG_DFL), signal(SIGILL, SIG_DFL);
		shared[0] = install_filter();
		while (shared[1] < 0)
			sched_yield();
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		execl(path, path, NULL);
		_exit(125);
	}
	while (shared[0] < 0)
		sched_yield();
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	sup.listener = (int)syscall(SYS_pidfd_getfd, pidfd, shared[0], 0);
	assert_true(sup.listener >= 0);
	shared[1] = 0;
	assert_int_equal(waitpid(pid, &st, 0), pid);
	assert_true(WIFSTOPPED(st));
	assert_true(inject(pid));
	rc = serve(pid);
	close(sup.listener);
	close(pidfd);
	close(sup.plain);
	mmio_thunks_destroy(sup.thunks);
	stub_mirror_destroy(sup.mirror);
	munmap((void *)(uintptr_t)shared, 4096);
	return rc;
}

static const char *program(const char *name)
{
	static char path[4200];
	ssize_t n = readlink("/proc/self/exe", path, 4096);

	assert_true(n > 0);
	path[n] = 0;
	strcpy(strrchr(path, '/') + 1, "unit/front/");
	strcat(path, name);
	return path;
}

static void expect(const char *name)
{
	const char *path = program(name);

	if (access(path, X_OK))
		skip();
	assert_int_equal(run_program(path), 42);
	assert_int_equal(sup.hellos, 1);
	assert_int_equal(sup.ready, 0);
	assert_in_range(sup.decodes, 1, 400);
}

static void dynamic_program(void **state)
{
	expect("stub-prog");
}

static void static_program(void **state)
{
	expect("stub-prog-static");
}

static void go_program(void **state)
{
	expect("stub-prog-go");
}

/* The directory: bound, found again, moved, forgotten, whatever the order and however they collide. */
static void directory(void **state)
{
	struct stub_mirror *m;
	struct mirror_page *a, *b;
	const struct stub_mirror_file *f;
	unsigned n, found = 0;

	assert_int_equal(stub_mirror_create(&m), 0);
	f = mmap(NULL, stub_mirror_size(m), PROT_READ, MAP_SHARED, stub_mirror_fd(m), 0);
	assert_ptr_not_equal(f, MAP_FAILED);
	assert_ptr_equal(mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, stub_mirror_fd(m), 0), MAP_FAILED);
	a = stub_mirror_page_alloc(m);
	b = stub_mirror_page_alloc(m);
	assert_true(a && b && a != b);
	assert_int_equal(stub_mirror_bind(m, 1, 0, 0, a), -EINVAL);
	for (n = 0; n < STUB_MIRROR_ENTRIES / 2; n++)
		assert_int_equal(stub_mirror_bind(m, 1, 1 + n % 50, n / 50 * 4096ul, n & 1 ? a : b), 0);
	assert_int_equal(stub_mirror_bind(m, 1, 1000, 0, a), -ENOSPC);
	assert_int_equal(stub_mirror_bind(m, 1, 1, 0, a), 0); /* was b's */
	stub_mirror_unbind(m, 1, 7);
	stub_mirror_unbind(m, 2, 8); /* another device */
	/* every one that is left is reached from its home without a gap */
	for (n = 0; n < STUB_MIRROR_ENTRIES; n++) {
		const struct stub_mirror_entry *e = &f->entry[n];

		if (!e->ino)
			continue;
		found++;
		assert_int_not_equal(e->ino, 7);
		for (unsigned i = stub_mirror_hash(e->ino, e->offset) % STUB_MIRROR_ENTRIES; i != n;
		     i = (i + 1) % STUB_MIRROR_ENTRIES)
			assert_int_not_equal(f->entry[i].ino, 0);
	}
	assert_int_equal(found, STUB_MIRROR_ENTRIES / 2 - 41);
	stub_mirror_page_free(m, b);
	stub_mirror_page_free(m, a);
	stub_mirror_page_free(m, NULL);
	for (n = 0; n < STUB_MIRROR_ENTRIES; n++)
		assert_int_equal(f->entry[n].ino, 0);
	for (n = 0; n < STUB_MIRROR_PAGES; n++)
		assert_non_null(stub_mirror_page_alloc(m));
	assert_null(stub_mirror_page_alloc(m));
	munmap((void *)(uintptr_t)f, stub_mirror_size(m));
	stub_mirror_destroy(m);
	stub_mirror_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(directory),
		cmocka_unit_test(dynamic_program),
		cmocka_unit_test(static_program),
		cmocka_unit_test(go_program),
	};

	return cmocka_run_group_tests_name("stub", tests, NULL, NULL);
}
