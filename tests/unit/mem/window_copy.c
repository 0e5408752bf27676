/* SPDX-License-Identifier: MIT */
/* Windows of bus addresses, the copy that survives, and device memory that is blocked under its users. */
#include "base/lock.h"
#include "fake_mm.h"
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE UVFIO_PAGE_SIZE

static struct mem *mem;

static int setup(void **state)
{
	return mem_create(NULL, &mem);
}

static int teardown(void **state)
{
	mem_destroy(mem);
	return 0;
}

/* ---- windows ---- */

struct dev {
	char bytes[64];
	struct mem *nested; /* answers a read by reading somewhere else */
	phys_t where;
	bool refuse;
};

static int dev_read(void *ctx, uint64_t offset, void *dst, size_t n)
{
	struct dev *d = ctx;

	if (d->refuse)
		return -EFAULT;
	if (d->nested)
		return mem_read(d->nested, d->where + offset, dst, n);
	memcpy(dst, d->bytes + offset, n);
	return 0;
}

static int dev_write(void *ctx, uint64_t offset, const void *src, size_t n)
{
	struct dev *d = ctx;

	if (d->refuse)
		return -EFAULT;
	memcpy(d->bytes + offset, src, n);
	return 0;
}

static const struct mem_window_ops dev_ops = { .read = dev_read, .write = dev_write };

static void windows_answer_for_their_addresses(void **state)
{
	struct dev a = { .bytes = "aaaa" }, b = { .bytes = "bbbb" };
	struct mem_window *wa, *wb, *w = (void *)1;
	char buf[4];

	assert_int_equal(mem_window_add(mem, 0x1000, 64, &dev_ops, &a, &wa), 0);
	assert_int_equal(mem_window_add(mem, 0x1040, 64, &dev_ops, &b, &wb), 0);
	assert_int_equal(mem_window_add(mem, 0x0fff, 2, &dev_ops, &b, &w), -EEXIST);
	assert_int_equal(mem_window_add(mem, 0x1010, 1, &dev_ops, &b, &w), -EEXIST);
	assert_int_equal(mem_window_add(mem, 0, 0x10000, &dev_ops, &b, &w), -EEXIST);
	assert_int_equal(mem_window_add(mem, 0x5000, 0, &dev_ops, &b, &w), -EINVAL);
	assert_int_equal(mem_window_add(mem, (1ull << 40) - 64, 65, &dev_ops, &b, &w), -EINVAL);
	assert_int_equal(mem_window_add(mem, 1ull << 40, 64, &dev_ops, &b, &w), -EINVAL);
	assert_int_equal(mem_window_add(mem, 0x5000, UINT64_MAX, &dev_ops, &b, &w), -EINVAL);
	assert_ptr_equal(w, (void *)1);
	assert_int_equal(mem_read(mem, 0x1000, buf, 4), 0);
	assert_memory_equal(buf, "aaaa", 4);
	assert_int_equal(mem_write(mem, 0x1041, "xy", 2), 0);
	assert_memory_equal(b.bytes, "bxyb", 4);
	assert_int_equal(mem_read(mem, 0x103e, buf, 4), -EFAULT); /* across both */
	assert_int_equal(mem_read(mem, 0x0fff, buf, 1), -EFAULT);
	assert_int_equal(mem_read(mem, 0x1080, buf, 1), -EFAULT);
	b.refuse = true;
	assert_int_equal(mem_read(mem, 0x1040, buf, 1), -EFAULT);
	mem_window_remove(wa);
	assert_int_equal(mem_read(mem, 0x1000, buf, 4), -EFAULT);
	mem_window_remove(wb);
	mem_window_remove(NULL);
}

static void a_window_may_answer_by_an_access_of_its_own(void **state)
{
	struct dev a = { .bytes = "deep" }, b = { .nested = mem, .where = 0x1000 };
	struct mem_window *wa, *wb;
	char buf[4];

	assert_int_equal(mem_window_add(mem, 0x1000, 64, &dev_ops, &a, &wa), 0);
	assert_int_equal(mem_window_add(mem, 0x2000, 64, &dev_ops, &b, &wb), 0);
	assert_int_equal(mem_read(mem, 0x2000, buf, 4), 0);
	assert_memory_equal(buf, "deep", 4);
	mem_window_remove(wa);
	mem_window_remove(wb);
}

static struct {
	atomic_bool stop;
	atomic_bool alive; /* the window's owner is */
	atomic_uint good;
} race;

static int race_read(void *ctx, uint64_t offset, void *dst, size_t n)
{
	if (!atomic_load(&race.alive))
		abort();
	atomic_fetch_add(&race.good, 1);
	return 0;
}

static const struct mem_window_ops race_ops = { .read = race_read, .write = dev_write };

static void race_main(void *arg)
{
	char c;

	while (!atomic_load(&race.stop))
		(void)mem_read(arg, 0x8000, &c, 1);
}

static void removal_waits_for_accesses(void **state)
{
	struct thread t;

	atomic_store(&race.stop, false);
	assert_int_equal(thread_start(&t, "reader", race_main, mem), 0);
	for (int i = 0; i < 100; i++) {
		struct mem_window *w;
		unsigned before = atomic_load(&race.good);

		atomic_store(&race.alive, true);
		assert_int_equal(mem_window_add(mem, 0x8000, 64, &race_ops, NULL, &w), 0);
		while (atomic_load(&race.good) == before)
			sched_yield();
		mem_window_remove(w);
		atomic_store(&race.alive, false);
	}
	atomic_store(&race.stop, true);
	thread_join(&t);
}

/* ---- guarded copy ---- */

static void copies_are_right_at_every_small_size_and_offset(void **state)
{
	static unsigned char src[3000], dst[3000], want[3000];

	for (unsigned i = 0; i < sizeof(src); i++)
		src[i] = (unsigned char)(i * 7 + 1);
	for (unsigned n = 0; n < 2100; n = n < 200 ? n + 1 : n + 61) {
		for (unsigned off = 0; off < 17; off += 8) {
			memset(dst, 0, sizeof(dst));
			memset(want, 0, sizeof(want));
			memcpy(want + off, src + 3, n);
			assert_int_equal(mem_copy_guarded(dst + off, src + 3, n), 0);
			assert_memory_equal(dst, want, sizeof(dst));
		}
	}
}

static void a_bad_pointer_is_an_error_at_every_size(void **state)
{
	char *p = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), buf[2 * PAGE] = "";

	fake_take_faults();
	assert_ptr_not_equal(p, MAP_FAILED);
	assert_int_equal(munmap(p + PAGE, PAGE), 0);
	for (size_t n = 1; n <= sizeof(buf); n += n < 80 ? 1 : 97) {
		size_t before = n / 2; /* the first half is there */

		if (before >= PAGE)
			before = PAGE;
		assert_int_equal(mem_copy_guarded(buf, p + PAGE - before, n), -EFAULT);
		assert_int_equal(mem_copy_guarded(p + PAGE - before, buf, n), -EFAULT);
	}
	assert_int_equal(mem_copy_guarded(buf, p + PAGE - 16, 16), 0);
	assert_int_equal(mem_copy_guarded(buf, NULL, 1), -EFAULT);
	assert_int_equal(mprotect(p, PAGE, PROT_READ), 0);
	assert_int_equal(mem_copy_guarded(buf, p, 100), 0);
	assert_int_equal(mem_copy_guarded(p, buf, 100), -EFAULT);
	munmap(p, PAGE);
	munmap(p + 2 * PAGE, PAGE);
}

static void bad_copy_main(void *arg)
{
	char c;

	*(int *)arg = mem_copy_guarded(&c, (void *)8, 1);
}

static void a_thread_of_the_machine_survives_too(void **state)
{
	struct thread t;
	int rc = 0;

	fake_take_faults();
	assert_int_equal(thread_start(&t, "copier", bad_copy_main, &rc), 0);
	thread_join(&t);
	assert_int_equal(rc, -EFAULT);
}

static volatile sig_atomic_t passed_on;

static void passed_on_handler(int sig)
{
	passed_on = sig;
}

static sigjmp_buf out_of_here;

static void jump_out(int sig)
{
	siglongjmp(out_of_here, sig);
}

/* ---- device memory ---- */

static void device_memory_keeps_its_contents_while_blocked(void **state)
{
	struct mem_shm *shm;
	char *program, buf[8] = "";
	struct stat st;

	fake_take_faults();
	assert_int_equal(mem_shm_create("bar", 200 * PAGE, &shm), 0);
	program = mmap(NULL, 200 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, mem_shm_fd(shm), 0);
	assert_ptr_not_equal(program, MAP_FAILED);
	strcpy(program + 3 * PAGE, "three");
	strcpy(program + 199 * PAGE, "last");
	for (unsigned i = 64; i < 192; i++)
		program[i * PAGE] = (char)i;
	mem_shm_block(shm);
	mem_shm_block(shm);
	assert_int_equal(fstat(mem_shm_fd(shm), &st), 0);
	assert_int_equal(st.st_size, 0);
	mem_shm_access(shm, 3 * PAGE, buf, 6, false);
	assert_string_equal(buf, "three");
	mem_shm_access(shm, 3 * PAGE, "THREE", 5, true);
	mem_shm_access(shm, 7 * PAGE - 2, "seven", 6, true); /* pages that held nothing, across their border */
	assert_int_equal(mem_copy_guarded(buf, program + 3 * PAGE, 1), -EFAULT);
	mem_shm_unblock(shm);
	mem_shm_unblock(shm);
	assert_string_equal(program + 3 * PAGE, "THREE");
	assert_string_equal(program + 7 * PAGE - 2, "seven");
	assert_string_equal(program + 199 * PAGE, "last");
	assert_int_equal(program[4 * PAGE], 0);
	for (unsigned i = 64; i < 192; i++)
		assert_int_equal(program[i * PAGE], (char)i);
	assert_int_equal(fstat(mem_shm_fd(shm), &st), 0);
	assert_int_equal(st.st_size, 200 * PAGE);

	/* A second time: nothing of the first is left. */
	memset(program + 7 * PAGE - 2, 0, 6);
	mem_shm_block(shm);
	mem_shm_unblock(shm);
	assert_int_equal(program[7 * PAGE - 2], 0);
	assert_string_equal(program + 3 * PAGE, "THREE");
	mem_shm_access(shm, 200 * PAGE - 4, buf, 4, false);

	/* A reset empties it, blocked or not, and mappings stay. */
	mem_shm_reset(shm);
	assert_int_equal(program[3 * PAGE], 0);
	strcpy(program + 3 * PAGE, "again");
	mem_shm_block(shm);
	mem_shm_reset(shm);
	mem_shm_unblock(shm);
	assert_int_equal(program[3 * PAGE], 0);
	munmap(program, 200 * PAGE);
	mem_shm_destroy(shm);
	mem_shm_destroy(NULL);
}

/* Small memory is kept aside and cleared, large is given back. */
static void what_was_aside_once_does_not_come_back(void **state)
{
	static const unsigned sizes[] = { 2, 200 };

	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		const uint64_t size = sizes[i] * PAGE;
		struct mem_shm *shm;
		char *program, buf[4];

		assert_int_equal(mem_shm_create("bar", size, &shm), 0);
		program = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, mem_shm_fd(shm), 0);
		assert_ptr_not_equal(program, MAP_FAILED);
		strcpy(program + PAGE, "old");
		mem_shm_block(shm);
		mem_shm_unblock(shm);
		assert_string_equal(program + PAGE, "old");
		mem_shm_reset(shm);
		mem_shm_block(shm);
		mem_shm_access(shm, PAGE, buf, sizeof(buf), false);
		assert_memory_equal(buf, "\0\0\0\0", sizeof(buf));
		mem_shm_access(shm, PAGE, "n", 1, true); /* the rest of the page is carried with it */
		mem_shm_unblock(shm);
		assert_memory_equal(program + PAGE, "n\0\0\0", sizeof(buf));
		munmap(program, size);
		mem_shm_destroy(shm);
	}
}

/* Of such a page the kernel clears what is cut off. Where the host has none, it is a test of large memory. */
static void memory_in_huge_pages_keeps_its_contents_too(void **state)
{
	const uint64_t size = 1024 * PAGE, hole = 700;
	struct mem_shm *shm;
	char *room, *program;
	uint32_t v;

	assert_int_equal(mem_shm_create("bar", size, &shm), 0);
	room = mmap(NULL, 2 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(room, MAP_FAILED);
	program = (char *)ALIGN_UP((uintptr_t)room, size / 2);
	assert_ptr_equal(mmap(program, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, mem_shm_fd(shm), 0), program);
	for (uint32_t i = 0; i < size / PAGE; i++)
		memcpy(program + i * PAGE, &(uint32_t){ i != hole ? i + 1 : 0 }, sizeof(v));
	(void)madvise(program, size, 25 /* MADV_COLLAPSE */);
	mem_shm_block(shm);
	for (uint32_t i = 0; i < size / PAGE; i++) {
		mem_shm_access(shm, i * PAGE, &v, sizeof(v), false);
		assert_int_equal(v, i != hole ? i + 1 : 0);
	}
	mem_shm_unblock(shm);
	for (uint32_t i = 0; i < size / PAGE; i++) {
		memcpy(&v, program + i * PAGE, sizeof(v));
		assert_int_equal(v, i != hole ? i + 1 : 0);
	}
	munmap(room, 2 * size);
	mem_shm_destroy(shm);
}

static void a_program_that_touches_blocked_memory_gets_sigbus(void **state)
{
	struct sigaction sa = { .sa_handler = jump_out }, old;
	struct mem_shm *shm;
	volatile char *program;
	int sig;

	assert_int_equal(mem_shm_create("bar", PAGE, &shm), 0);
	program = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, mem_shm_fd(shm), 0);
	assert_int_equal(sigaction(SIGBUS, &sa, &old), 0);
	mem_shm_block(shm);
	sig = sigsetjmp(out_of_here, 1);
	if (sig == 0)
		(void)program[0];
	assert_int_equal(sig, SIGBUS);
	mem_shm_unblock(shm);
	assert_int_equal(program[0], 0);
	sigaction(SIGBUS, &old, NULL);
	munmap((void *)program, PAGE);
	mem_shm_destroy(shm);
}

struct storer {
	char *program;
	uint64_t apart;
	atomic_ullong stored; /* it did not fault */
	atomic_bool over;
};

static void store_on(void *arg)
{
	struct storer *s = arg;

	for (uint64_t v = 1; !atomic_load(&s->over); v++) {
		if (mem_copy_guarded(s->program + v % 3 * s->apart, &v, sizeof(v)) == 0)
			atomic_store(&s->stored, v);
	}
}

/* To pages that are in one word of the bitmap, in different ones, and far apart. */
static void no_store_that_did_not_fault_is_lost(void **state)
{
	static const uint64_t apart[] = { PAGE, 64 * PAGE, 63 * PAGE, 150 * PAGE };
	struct storer s;
	struct mem_shm *shm;
	struct thread t;
	uint64_t seen, v;

	fake_take_faults();
	for (unsigned i = 0; i < 2000; i++) {
		if (i % 500 == 0) {
			s = (struct storer){ .apart = apart[i / 500] };
			assert_int_equal(mem_shm_create("bar", 400 * PAGE, &shm), 0);
			s.program = mmap(NULL, 400 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, mem_shm_fd(shm), 0);
			for (unsigned n = 0; n < 3; n++)
				s.program[n * s.apart + PAGE - 1] = 1; /* a page's very first store is not in this */
			assert_int_equal(thread_start(&t, "storer", store_on, &s), 0);
		}
		mem_shm_block(shm);
		seen = atomic_load(&s.stored);
		mem_shm_access(shm, seen % 3 * s.apart, &v, sizeof(v), false);
		assert_true(v == seen); /* one more may be there that it has not told of yet: in another word */
		mem_shm_unblock(shm);
		while (atomic_load(&s.stored) == seen)
			sched_yield();
		if (i % 500 == 499) {
			atomic_store(&s.over, true);
			thread_join(&t);
			munmap(s.program, 400 * PAGE);
			mem_shm_destroy(shm);
		}
	}
}

static void a_program_that_cuts_the_file_itself_does_no_harm(void **state)
{
	struct mem_shm *shm;
	char buf[4] = "";

	fake_take_faults();
	assert_int_equal(mem_shm_create("bar", 2 * PAGE, &shm), 0);
	assert_int_equal(ftruncate(mem_shm_fd(shm), 0), 0);
	mem_shm_access(shm, 0, buf, 4, false);
	assert_memory_equal(buf, "\xff\xff\xff\xff", 4);
	mem_shm_access(shm, 0, buf, 4, true);
	mem_shm_block(shm);
	mem_shm_unblock(shm);
	mem_shm_access(shm, 0, buf, 4, false);
	assert_memory_equal(buf, "\0\0\0\0", 4);
	mem_shm_destroy(shm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(windows_answer_for_their_addresses),
		T(a_window_may_answer_by_an_access_of_its_own),
		T(removal_waits_for_accesses),
		T(copies_are_right_at_every_small_size_and_offset),
		T(a_bad_pointer_is_an_error_at_every_size),
		T(a_thread_of_the_machine_survives_too),
		T(device_memory_keeps_its_contents_while_blocked),
		T(what_was_aside_once_does_not_come_back),
		T(memory_in_huge_pages_keeps_its_contents_too),
		T(a_program_that_touches_blocked_memory_gets_sigbus),
		T(no_store_that_did_not_fault_is_lost),
		T(a_program_that_cuts_the_file_itself_does_no_harm),
	};
	struct sigaction sa = { .sa_handler = passed_on_handler };

	/* Before the first machine: what is not the copy's fault still reaches the process's own handler. */
	sigaction(SIGBUS, &sa, NULL);
	if (mem_create(NULL, &mem))
		return 1;
	mem_destroy(mem);
	raise(SIGBUS);
	if (passed_on != SIGBUS || mem_copy_guarded(&sa, (void *)8, 1) != -EFAULT)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
