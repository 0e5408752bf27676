/* SPDX-License-Identifier: MIT */
/* The embedded door on a machine of our own (capi_fake.c): files, the task that asks, memory, mappings and signals. */
#include "capi_fake.h"
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

static struct uvfio_machine *um;
static int fd;

static void setup(void **state)
{
	um = uvfio_create(NULL, NULL, 0);
	assert_non_null(um);
	fd = uvfio_open(um, "/dev/link", O_RDWR);
	assert_int_equal(fd, 0);
}

static void teardown(void **state)
{
	uvfio_destroy(um);
}

#define FAILS(err, call) do { errno = 0; assert_true((long)(call) == -1); assert_int_equal(errno, err); } while (0)

static void test_files(void **state)
{
	char why[64], *names, text[64];
	struct stat st;

	assert_null(uvfio_create("bad.yaml", why, sizeof(why)));
	assert_int_equal(errno, EINVAL);
	assert_string_equal(why, "bad.yaml:1:1: no good\n");
	assert_null(uvfio_create("bad.yaml", why, 4));
	assert_string_equal(why, "bad");

	FAILS(ENOENT, uvfio_open(um, "/dev/null", O_RDONLY));
	FAILS(EBADF, uvfio_ioctl(um, 1, GET_U64, NULL));
	FAILS(EBADF, uvfio_close(um, -1));
	FAILS(EBADF, uvfio_close(um, 1000));
	FAILS(EBADF, uvfio_dup(um, 3));
	FAILS(EBADF, uvfio_mmap(um, NULL, PAGE, PROT_READ, MAP_SHARED, 3, 0));
	assert_int_equal(uvfio_dup(um, fd), 1);
	assert_int_equal(uvfio_ioctl(um, 1, DUP, NULL), 2);
	assert_int_equal(last->open, 1);
	assert_int_equal(uvfio_close(um, 1), 0);
	assert_int_equal(uvfio_open(um, "/dev/fake", O_RDWR), 1);
	assert_int_equal(uvfio_ioctl(um, fd, WHO, (void *)2), 1);
	assert_int_equal(uvfio_ioctl(um, fd, WHO, (void *)1), 0);
	FAILS(EBADF, uvfio_ioctl(um, fd, WHO, (void *)-1));
	FAILS(ENOTTY, uvfio_ioctl(um, fd, 99, NULL));
	FAILS(EINVAL, uvfio_write(um, fd, "x", 1));
	FAILS(EFAULT, uvfio_read(um, fd, (void *)8, 10));
	FAILS(ESPIPE, uvfio_lseek(um, fd, 0, SEEK_SET));
	FAILS(EBADF, uvfio_poll(um, 1000, POLLIN, 0));
	assert_int_equal(uvfio_poll(um, fd, POLLIN | POLLPRI | POLLOUT, -1), POLLIN | POLLOUT);
	assert_int_equal(uvfio_pread(um, fd, text, sizeof(text), 0), sizeof(text));

	assert_int_equal(uvfio_stat(um, "/dev/link", &st), 0);
	assert_true(S_ISCHR(st.st_mode));
	assert_int_equal(uvfio_lstat(um, "/dev/link", &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(uvfio_readlink(um, "/dev/link", text, 3), 3);
	assert_memory_equal(text, "fak", 3);
	FAILS(EINVAL, uvfio_readlink(um, "/dev/fake", text, 3));
	FAILS(ENOENT, uvfio_stat(um, "/nothing", &st));
	names = uvfio_list_dir(um, "/dev");
	assert_string_equal(names, "fake\nlink\n");
	free(names);
	assert_null(uvfio_list_dir(um, "/dev/fake"));
	assert_int_equal(errno, ENOTDIR);
	assert_int_equal(uvfio_dma_faults(um), 3);
}

static void test_emfile(void **state)
{
	struct rlimit r, few;
	int n = 1, more;

	getrlimit(RLIMIT_NOFILE, &r);
	few = r;
	few.rlim_cur = 100;
	setrlimit(RLIMIT_NOFILE, &few);
	while ((more = uvfio_dup(um, fd)) >= 0)
		n++;
	assert_int_equal(errno, EMFILE);
	assert_int_equal(n, 100);
	setrlimit(RLIMIT_NOFILE, &r);
}

static void test_task(void **state)
{
	uint64_t *v = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int ev = eventfd(0, EFD_NONBLOCK), pipes[2];
	uint64_t count = 41;

	assert_int_equal(uvfio_ioctl(um, fd, GET_U64, &count), 0);
	assert_int_equal(count, 42);
	FAILS(EFAULT, uvfio_ioctl(um, fd, GET_U64, NULL));
	FAILS(EFAULT, uvfio_ioctl(um, fd, GET_U64, (void *)(1ul << 63)));
	FAILS(EFAULT, uvfio_ioctl(um, fd, GET_U64, (void *)-8));
	munmap((char *)v + PAGE, PAGE);
	FAILS(EFAULT, uvfio_ioctl(um, fd, GET_U64, (char *)v + PAGE - 4));
	mprotect(v, PAGE, PROT_READ);
	FAILS(EFAULT, uvfio_ioctl(um, fd, GET_U64, v));
	munmap(v, PAGE);

	assert_int_equal(uvfio_ioctl(um, fd, SIGNAL, (void *)(long)ev), 0);
	assert_int_equal(read(ev, &count, 8), 8);
	assert_int_equal(count, 1);
	FAILS(EBADF, uvfio_ioctl(um, fd, SIGNAL, (void *)-1));
	assert_int_equal(pipe(pipes), 0);
	FAILS(EINVAL, uvfio_ioctl(um, fd, SIGNAL, (void *)(long)pipes[0]));
	FAILS(EBADFD, uvfio_ioctl(um, fd, WHO, (void *)(long)pipes[1]));
	close(pipes[0]);
	close(pipes[1]);
	close(ev);
	uvfio_set_caps(um, 1, 0, 1);
	assert_int_equal(uvfio_ioctl(um, fd, CAPS, NULL), 5);
	uvfio_set_caps(um, 0, 1, 0);
	assert_int_equal(uvfio_ioctl(um, fd, CAPS, NULL), 2);
}

/* How many pages of this process are of the object that is mapped at @p, wherever: neighbours may be shown as one. */
static unsigned pages_of(const void *p)
{
	FILE *f = fopen("/proc/self/maps", "re");
	unsigned long long start, end, ino, wanted = 0, pages = 0;
	char line[512];

	for (int round = 0; round < 2; round++, rewind(f)) {
		while (fgets(line, sizeof(line), f)) {
			if (sscanf(line, "%llx-%llx %*s %*x %*x:%*x %llu", &start, &end, &ino) != 3)
				continue;
			if (round == 0 && start <= (uintptr_t)p && end > (uintptr_t)p)
				wanted = ino;
			else if (round == 1 && ino == wanted)
				pages += (end - start) / PAGE;
		}
	}
	fclose(f);
	assert_int_not_equal(wanted, 0);
	return (unsigned)pages;
}

static void test_pins(void **state)
{
	int types[] = { MAP_PRIVATE, MAP_SHARED };
	int memfd = memfd_create("short", MFD_CLOEXEC);
	struct mem_pin *pin[64];
	struct capi_task ct;
	struct rlimit r;
	char *p;

	capi_task_init(&ct, um);
	uvfio_set_caps(um, 0, 1, 0);
	for (unsigned i = 0; i < 2; i++) {
		p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, types[i] | MAP_ANONYMOUS, -1, 0);
		assert_int_equal(uvfio_ioctl(um, fd, PIN, p), 0);
		assert_string_equal(p + 8, "device");
		mprotect(p, PAGE, PROT_READ);
		FAILS(EFAULT, uvfio_ioctl(um, fd, PIN, p));
		mprotect(p, PAGE, PROT_NONE);
		FAILS(EFAULT, uvfio_ioctl(um, fd, PIN, p));
		mprotect(p, PAGE, PROT_READ | PROT_WRITE);
		strcpy(p, "unmap me");
		if (types[i] == MAP_SHARED) /* pages stay */
			assert_int_equal(uvfio_ioctl(um, fd, PIN, p), 0);
		else
			FAILS(EFAULT, uvfio_ioctl(um, fd, PIN, p));
		FAILS(EFAULT, uvfio_ioctl(um, fd, PIN, p));
	}
	/* Behind the end of a file nothing can be pinned. */
	p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	assert_int_equal(ftruncate(memfd, PAGE), 0);
	assert_int_equal(uvfio_ioctl(um, fd, PIN, p), 0);
	FAILS(EFAULT, uvfio_ioctl(um, fd, PIN, p + PAGE));
	munmap(p, 2 * PAGE);
	close(memfd);

	/* One duplicate for all pins of an area, gone with the last. */
	p = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_int_equal(pages_of(p), 64);
	for (unsigned i = 0; i < ARRAY_SIZE(pin); i++) {
		assert_int_equal(mem_pin(last->mem, &ct.task, (uintptr_t)p + i * PAGE, PAGE, 0, MEM_READ, false, &pin[i]), 0);
		assert_int_equal(pages_of(p), 128);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(pin); i++)
		mem_unpin(pin[i]);
	assert_int_equal(pages_of(p), 64);
	munmap(p, 64 * PAGE);

	/* The limit counts for those without CAP_IPC_LOCK. */
	getrlimit(RLIMIT_MEMLOCK, &r);
	r.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &r), 0);
	p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_int_equal(uvfio_ioctl(um, fd, PIN, p), 0);
	uvfio_set_caps(um, 0, 0, 0);
	FAILS(ENOMEM, uvfio_ioctl(um, fd, PIN, p));
	munmap(p, PAGE);

	/* A mapping of a machine's file is not memory: its file decides. */
	p = uvfio_mmap(um, NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, PAGE);
	FAILS(EFAULT, uvfio_ioctl(um, fd, PIN, p));
}

static void test_mmap(void **state)
{
	volatile unsigned char *p;
	volatile uint32_t *r;
	char *hole;

	FAILS(EINVAL, uvfio_mmap(um, NULL, 0, PROT_READ, MAP_SHARED, fd, 0));
	FAILS(EINVAL, uvfio_mmap(um, NULL, PAGE, PROT_READ, MAP_SHARED, fd, 1));
	FAILS(EINVAL, uvfio_mmap(um, NULL, PAGE, PROT_READ, 0, fd, 0));
	FAILS(EINVAL, uvfio_mmap(um, NULL, 6 * PAGE, PROT_READ, MAP_SHARED, fd, 0));
	FAILS(ENOMEM, uvfio_mmap(um, NULL, -1ul, PROT_READ, MAP_SHARED, fd, 0));
	FAILS(EOVERFLOW, uvfio_mmap(um, NULL, 2 * PAGE, PROT_READ, MAP_SHARED, fd, (off_t)-PAGE));

	p = uvfio_mmap(um, NULL, 5 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	r = (volatile uint32_t *)p;
	r[2] = 0x12345678; /* trapped */
	assert_int_equal(*(uint32_t *)(last->regs + 8), 0x12345678);
	assert_int_equal(p[9], 0x56);
	r[2] += 1;
	assert_int_equal(r[2], 0x12345679);
	p[3 * PAGE + 5] = 0xaa; /* trapped, the page behind the plain ones */
	assert_int_equal(last->regs[3 * PAGE + 5], 0xaa);
	p[2 * PAGE + 1] = 0x77; /* plain */
	{
		unsigned char byte;

		assert_int_equal(pread(last->memfd, &byte, 1, PAGE + 1), 1);
		assert_int_equal(byte, 0x77);
	}
	assert_int_equal(uvfio_close(um, fd), 0);
	assert_int_equal(last->open, 1); /* the mapping keeps it */
	r[2] = 9;

	/* A hole in the middle, and what is around it stays. */
	assert_int_equal(uvfio_munmap(um, (void *)(p + PAGE), PAGE), 0);
	hole = mmap((void *)(p + PAGE), PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	assert_ptr_equal(hole, p + PAGE);
	munmap(hole, PAGE);
	assert_int_equal(p[2 * PAGE + 1], 0x77);
	assert_int_equal(r[2], 9);
	assert_int_equal(p[3 * PAGE + 5], 0xaa);
	FAILS(EINVAL, uvfio_munmap(um, (void *)(p + 1), PAGE));
	FAILS(EINVAL, uvfio_munmap(um, (void *)p, 0));
	assert_int_equal(uvfio_munmap(um, (void *)p, PAGE), 0);
	assert_int_equal(last->open, 1);
	assert_int_equal(uvfio_munmap(um, (void *)p, 5 * PAGE), 0);
	assert_int_equal(last->open, 0);
}

static sigjmp_buf escape;
static void *escaped_from;

static void on_fault(int sig, siginfo_t *info, void *uc)
{
	escaped_from = info->si_addr;
	siglongjmp(escape, sig);
}

static struct sigaction passed_to;
static int passes;

static void on_fault_pass(int sig, siginfo_t *info, void *uc)
{
	passes++;
	passed_to.sa_sigaction(sig, info, uc);
}

static void on_fault_ask(int sig, siginfo_t *info, void *uc)
{
	if (!uvfio_fault(sig, info, uc))
		on_fault(sig, info, uc);
}

/* Handlers that are there when a mapping is made get what is not ours. */
static void test_signals(void **state)
{
	struct sigaction sa = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO }, old[2];
	volatile unsigned char *p, *ro;
	volatile int *volatile nowhere = (void *)PAGE; /* below what Linux lets anybody map */
	int sig;

	sigaction(SIGSEGV, &sa, &old[0]);
	sigaction(SIGBUS, &sa, &old[1]);
	p = uvfio_mmap(um, NULL, 5 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ro = uvfio_mmap(um, NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	p[0] = 5;
	assert_int_equal(ro[0], 5);

	sig = sigsetjmp(escape, 1);
	if (sig == 0)
		ro[0] = 1;
	assert_int_equal(sig, SIGSEGV);
	assert_ptr_equal(escaped_from, ro);

	last->disabled = true;
	sig = sigsetjmp(escape, 1);
	if (sig == 0)
		p[7] = 1;
	assert_int_equal(sig, SIGBUS);
	assert_ptr_equal(escaped_from, p + 7);
	last->disabled = false;

	sig = sigsetjmp(escape, 1);
	if (sig == 0)
		p[4 * PAGE] = 1; /* nothing is there */
	assert_int_equal(sig, SIGBUS);

	last->disabled = true;
	assert_int_equal(ftruncate(last->memfd, 0), 0);
	sig = sigsetjmp(escape, 1);
	if (sig == 0)
		p[PAGE] = 1; /* plain, and blocked */
	assert_int_equal(sig, SIGBUS);
	last->disabled = false;

	sig = sigsetjmp(escape, 1);
	if (sig == 0)
		*nowhere = 1;
	assert_int_equal(sig, SIGSEGV);
	p[0] = 6;
	assert_int_equal(ro[0], 6);

	/* A handler that came after ours, and passes on to us, while we pass on to it: the one before it is asked. */
	sa.sa_sigaction = on_fault_pass;
	sigaction(SIGSEGV, &sa, &passed_to);
	assert_int_equal(uvfio_munmap(um, (void *)ro, PAGE), 0);
	ro = uvfio_mmap(um, NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	assert_int_equal(ro[0], 6);
	for (volatile unsigned i = 0; i < 3; i++) {
		sig = sigsetjmp(escape, 1);
		if (sig == 0)
			*nowhere = 1;
		assert_int_equal(sig, SIGSEGV);
	}
	assert_int_equal(passes, 3);

	/* A handler that has replaced ours, and asks us first. */
	sa.sa_sigaction = on_fault_ask;
	sa.sa_flags = SA_SIGINFO | SA_NODEFER;
	sigaction(SIGBUS, &sa, NULL);
	p[0] = 8;
	assert_int_equal(ro[0], 8);
	last->disabled = true;
	sig = sigsetjmp(escape, 1);
	if (sig == 0)
		p[0] = 9;
	assert_int_equal(sig, SIGBUS);
	last->disabled = false;
	sigaction(SIGSEGV, &old[0], NULL);
	sigaction(SIGBUS, &old[1], NULL);
}

static void test_fixed(void **state)
{
	volatile unsigned char *p = uvfio_mmap(um, NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), *q;

	p[0] = 1;
	q = uvfio_mmap(um, (void *)p, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 3 * PAGE);
	assert_ptr_equal(p, q);
	p[0] = 2;
	assert_int_equal(last->regs[0], 1);
	assert_int_equal(last->regs[3 * PAGE], 2);
	FAILS(EEXIST, uvfio_mmap(um, (void *)p, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0));
	p[0] = 3;
	assert_int_equal(last->regs[3 * PAGE], 3);
}

/* Every page that is mapped, and no other, by whatever file number it came; of this file alone. */
static void test_mapped(void **state)
{
	struct file *f = capi_file_get(um, fd), *other;
	int copy = uvfio_dup(um, fd), second = uvfio_open(um, "/dev/fake", O_RDWR);
	char *p, *q;

	assert_non_null(f);
	other = capi_file_get(um, second);
	assert_false(file_mapped(f, 0, 5 * PAGE));
	p = uvfio_mmap(um, NULL, 3 * PAGE, PROT_READ, MAP_SHARED, copy, PAGE);
	assert_int_equal(uvfio_close(um, copy), 0);
	assert_true(file_mapped(f, 0, 5 * PAGE));
	assert_false(file_mapped(f, 0, PAGE));
	assert_true(file_mapped(f, PAGE, 1));
	assert_true(file_mapped(f, 3 * PAGE, PAGE));
	assert_false(file_mapped(f, 4 * PAGE, PAGE));
	assert_false(file_mapped(other, 0, 5 * PAGE));
	/* A hole, and another file over one end, while a page is mapped twice */
	q = uvfio_mmap(um, NULL, PAGE, PROT_READ, MAP_SHARED, fd, 3 * PAGE);
	assert_int_equal(uvfio_munmap(um, p + PAGE, PAGE), 0);
	assert_false(file_mapped(f, 2 * PAGE, PAGE));
	assert_true(file_mapped(f, PAGE, PAGE));
	assert_true(file_mapped(f, 3 * PAGE, PAGE));
	assert_ptr_equal(uvfio_mmap(um, p, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, second, 0), p);
	assert_false(file_mapped(f, PAGE, PAGE));
	assert_true(file_mapped(other, 0, PAGE));
	assert_int_equal(uvfio_munmap(um, p, 3 * PAGE), 0);
	assert_true(file_mapped(f, 3 * PAGE, PAGE));
	assert_int_equal(uvfio_munmap(um, q, PAGE), 0);
	assert_false(file_mapped(f, 0, 5 * PAGE));
	assert_false(file_mapped(other, 0, 5 * PAGE));
	file_put(other);
	file_put(f);
}

/* What is unmapped, or replaced, stays what the device has, and nothing is used in place. */
static void test_true_pins(void **state)
{
	struct mem_pin *pin;
	const struct mem_piece *piece;
	struct capi_task ct;
	char text[16] = "";
	int why;
	char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (uvfio_true_pins(um)) {
		print_message("this host denies io_uring: %s\n", strerror(errno));
		munmap(p, PAGE);
		return;
	}
	assert_int_equal(uvfio_true_pins(um), 0);
	assert_int_equal(uvfio_ioctl(um, fd, PIN, p), 0);
	assert_string_equal(p + 8, "device");
	strcpy(p, "unmap me");
	assert_int_equal(uvfio_ioctl(um, fd, PIN, p), 0);
	FAILS(EFAULT, uvfio_ioctl(um, fd, PIN, p));
	assert_ptr_equal(mmap(p, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), p);
	strcpy(p, "read me");
	mprotect(p, PAGE, PROT_READ);
	FAILS(EFAULT, uvfio_ioctl(um, fd, PIN, p)); /* writing */
	assert_int_equal(mem_pins_unheld(last->mem, &why), 0);
	capi_task_init(&ct, um);
	assert_int_equal(mem_pin(last->mem, &ct.task, (uintptr_t)p, PAGE, 0, MEM_READ, false, &pin), 0);
	assert_int_equal(mem_pins_unheld(last->mem, &why), 1);
	assert_int_equal(why, EROFS);
	mem_pin_pieces(pin, &piece);
	assert_int_equal(mem_read(last->mem, piece->phys, text, 8), 0);
	assert_string_equal(text, "read me");
	munmap(p, PAGE);
	assert_int_equal(mem_read(last->mem, piece->phys, text, 8), -EFAULT);
	mem_unpin(pin);
}

/* Inside the test, as cmocka changes signal handlers between it and its fixtures. */
static void with_machine(void **state)
{
	setup(NULL);
	((void (*)(void **))*state)(NULL);
	teardown(NULL);
}

#define T(f) { #f, with_machine, NULL, NULL, (void *)(f) }

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_files), T(test_signals), T(test_emfile), T(test_task), T(test_pins), T(test_true_pins), T(test_mmap),
		T(test_fixed), T(test_mapped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
