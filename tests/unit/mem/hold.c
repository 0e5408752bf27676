/* SPDX-License-Identifier: MIT */
/*
 * True pins. The caller is this process, so its addresses are real; what it cannot do, or is refused, is injected.
 * Where the host denies io_uring there is only the fallback to test.
 */
#include "fake_mm.h"
#include <linux/io_uring.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/syscall.h>

#include <cmocka.h>

#define PAGE UVFIO_PAGE_SIZE
#define RW   (MEM_READ | MEM_WRITE)

static struct mem *mem;
static struct log log_;
static struct fake_mm mm;
static struct fake_task caller;
static struct mm_ops ops;
static atomic_uint slots;            /* pins made */
static unsigned refuse_after;        /* how many, before refusing */
static atomic_int ring_fd;           /* of the last one */
static int refuse;                   /* with this */
static bool dead;
static int lines;
static char line[256];

static int own_pin(struct mm *m, int ring, unsigned slot, uva_t uva, uint64_t length)
{
	if (refuse && slots >= refuse_after)
		return refuse;
	slots++;
	ring_fd = ring;
	return mem_pin_slot(ring, slot, uva, length);
}

static bool own_alive(struct mm *m)
{
	return !dead;
}

static void own_log(void *ctx, enum log_level level, const char *text)
{
	assert_int_equal(level, LOG_WARN);
	lines++;
	snprintf(line, sizeof(line), "%s", text);
}

static void setup(bool truly)
{
	fake_init(&mm, &caller);
	ops = fake_mm_ops;
	ops.pin = own_pin;
	ops.alive = own_alive;
	mm.mm.ops = &ops;
	mm.mm.tgid = 7;
	strcpy(mm.mm.comm, "prog");
	slots = refuse_after = 0;
	refuse = lines = 0;
	dead = false;
	log_init(&log_, own_log, NULL);
	assert_int_equal(mem_create(&log_, &mem), 0);
	if (truly && mem_pin_truly(mem)) {
		print_message("this host denies io_uring\n");
		mem_destroy(mem);
		log_fini(&log_);
		skip();
	}
}

static void teardown(void)
{
	assert_int_equal(mem_pinned_pages(mem), 0);
	assert_int_equal(atomic_load(&mm.mm.locked_pages), 0);
	mem_destroy(mem); /* rings hold their memory */
	assert_false(mm.freed);
	mm_put(&mm.mm);
	assert_true(mm.freed);
	log_fini(&log_);
}

/* Private memory of the caller's, at the address where it really is. */
static char *memory(uint64_t length, bool writable)
{
	char *p = fake_add(&mm, 0, length, false, writable);
	struct fake_area *a = &mm.area[mm.n - 1];

	a->a.start = (uintptr_t)p;
	a->a.last = (uintptr_t)p + length - 1;
	return p;
}

static char *anew(char *p, uint64_t length)
{
	assert_ptr_equal(mmap(p, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), p);
	return p;
}

static struct mem_pin *pin(const void *p, uint64_t length, unsigned prot)
{
	struct mem_pin *out = NULL;

	assert_int_equal(mem_pin(mem, &caller.t, (uintptr_t)p, length, 0, prot, true, &out), 0);
	return out;
}

static phys_t phys_of(struct mem_pin *p)
{
	const struct mem_piece *piece;

	assert_int_equal(mem_pin_pieces(p, &piece), 1);
	return piece->phys;
}

static uint64_t by_address(int *why)
{
	return mem_pins_unheld(mem, why);
}

static void old_pages_stay_the_target(void **state)
{
	struct mem_pin *pn;
	char *p, buf[16] = "";
	phys_t at;
	int why;

	setup(true);
	p = memory(4 * PAGE, true);
	strcpy(p + PAGE - 4, "old page");
	pn = pin(p, 4 * PAGE, RW);
	at = phys_of(pn);
	assert_null(mem_host(mem, at, 1));
	anew(p, 4 * PAGE);
	strcpy(p + PAGE - 4, "new page");
	assert_int_equal(mem_read(mem, at + PAGE - 4, buf, 9), 0);
	assert_string_equal(buf, "old page");
	assert_int_equal(mem_write(mem, at + PAGE - 4, "dma", 3), 0);
	assert_string_equal(p + PAGE - 4, "new page");
	assert_int_equal(mem_read(mem, at + PAGE - 4, buf, 9), 0);
	assert_string_equal(buf, "dma page");
	/* nothing is there at all */
	mm.area[0].gone = true;
	munmap(p, 4 * PAGE);
	assert_int_equal(mem_read(mem, at + PAGE - 4, buf, 9), 0);
	assert_string_equal(buf, "dma page");
	assert_int_equal(mem_stale(mem), 0);
	assert_int_equal(atomic_load(&mm.accesses), 0);
	assert_int_equal(by_address(&why), 0);
	assert_int_equal(why, 0);
	anew(p, 4 * PAGE);
	mem_unpin(pn);
	teardown();
}

static void dropped_pages_stay_the_target(void **state)
{
	struct mem_pin *pn;
	uint64_t v = 5;
	char *p;

	setup(true);
	p = memory(PAGE, true);
	memcpy(p, &v, 8);
	pn = pin(p, PAGE, RW);
	assert_int_equal(mem_exchange(mem, phys_of(pn), 4, 9), -EAGAIN);
	assert_int_equal(mem_exchange(mem, phys_of(pn), 5, 6), 0);
	assert_int_equal(p[0], 6); /* so far it is the same page */
	madvise(p, PAGE, MADV_DONTNEED);
	assert_int_equal(p[0], 0);
	assert_int_equal(mem_read(mem, phys_of(pn), &v, 8), 0);
	assert_int_equal(v, 6);
	mem_unpin(pn);
	teardown();
}

static void transfers_of_any_size(void **state)
{
	const uint64_t length = 3 << 20;
	struct mem_pin *pn;
	char *p, *buf = malloc(length), *back = malloc(length);

	setup(true);
	p = memory(length, true);
	pn = pin(p, length, RW);
	for (uint64_t i = 0; i < length; i++)
		buf[i] = (char)(i * 7 + (i >> 12));
	for (uint64_t n = 1, at = 0; at + n <= length; at += n, n = n * 3 + 1) {
		assert_int_equal(mem_write(mem, phys_of(pn) + at, buf + at, n), 0);
		assert_memory_equal(p + at, buf + at, n);
	}
	assert_int_equal(mem_write(mem, phys_of(pn), buf, length), 0);
	assert_memory_equal(p, buf, length);
	assert_int_equal(mem_read(mem, phys_of(pn), back, length), 0);
	assert_memory_equal(back, buf, length);
	assert_int_equal(mem_read(mem, phys_of(pn) + length - 1, back, 2), -EFAULT);
	mem_unpin(pn);
	teardown();
	free(buf);
	free(back);
}

static void permission(void **state)
{
	struct mem_pin *pn;
	char *p, buf[2];

	setup(true);
	p = memory(PAGE, true);
	pn = pin(p, PAGE, MEM_READ);
	assert_int_equal(mem_read(mem, phys_of(pn), buf, 2), 0);
	assert_int_equal(mem_write(mem, phys_of(pn), "no", 2), -EFAULT);
	assert_int_equal(p[0], 0);
	mem_unpin(pn);
	assert_int_equal(mem_read(mem, 1ull << MEM_REGION_SHIFT, buf, 1), -EFAULT);
	teardown();
}

/* Three areas side by side, the second may only be read: what is around it is held. */
static void read_only_is_by_address(void **state)
{
	struct mem_pin *pn;
	char *p, buf[3 * PAGE];
	int why;

	setup(true);
	p = memory(3 * PAGE, true);
	mm.area[0].a.last = (uintptr_t)p + PAGE - 1;
	mm.area[1] = mm.area[2] = mm.area[0];
	for (unsigned i = 1; i < 3; i++) {
		mm.area[i].memory = NULL;
		mm.area[i].a.start += i * PAGE;
		mm.area[i].a.last += i * PAGE;
	}
	mm.area[1].a.writable = false;
	mm.area[1].memory = p + PAGE;
	mm.n = 3;
	memset(p, 'o', 3 * PAGE);
	mprotect(p + PAGE, PAGE, PROT_READ);
	pn = pin(p, 3 * PAGE, MEM_READ);
	assert_int_equal(by_address(&why), 1);
	assert_int_equal(why, EROFS);
	assert_int_equal(lines, 1);
	assert_non_null(strstr(line, "prog (pid 7)"));
	assert_non_null(strstr(line, "only be read"));
	anew(p, 3 * PAGE);
	memset(p, 'n', 3 * PAGE);
	assert_int_equal(mem_read(mem, phys_of(pn), buf, sizeof(buf)), 0);
	assert_int_equal(buf[0], 'o');
	assert_int_equal(buf[PAGE - 1], 'o');
	assert_int_equal(buf[PAGE], 'n');
	assert_int_equal(buf[2 * PAGE - 1], 'n');
	assert_int_equal(buf[2 * PAGE], 'o');
	mem_unpin(pn);
	mm.area[1].memory = NULL;
	munmap(p + PAGE, 2 * PAGE);
	teardown();
}

static void refused_is_by_address(void **state)
{
	struct mem_pin *one, *two, *three;
	char *p, buf[2] = "";
	int why;

	setup(true);
	p = memory(3 * PAGE, true);
	refuse = -ENOMEM;
	refuse_after = 1;
	one = pin(p, PAGE, RW);
	two = pin(p + PAGE, PAGE, RW);
	three = pin(p + 2 * PAGE, PAGE, RW);
	assert_int_equal(by_address(&why), 2);
	assert_int_equal(why, ENOMEM);
	assert_int_equal(lines, 1); /* said once */
	assert_int_equal(atomic_load(&mm.mm.locked_pages), 3);
	anew(p, 3 * PAGE);
	memcpy(p + PAGE, "n", 2);
	assert_int_equal(mem_read(mem, phys_of(two), buf, 1), 0);
	assert_string_equal(buf, "n");
	assert_int_equal(mem_read(mem, phys_of(one), buf, 1), 0);
	assert_string_equal(buf, "");
	mem_unpin(one);
	mem_unpin(two);
	mem_unpin(three);
	teardown();
}

static void ended_is_not_said(void **state)
{
	struct mem_pin *pn;
	char *p;
	int why;

	setup(true);
	p = memory(PAGE, true);
	refuse = -ESRCH;
	pn = pin(p, PAGE, RW);
	assert_int_equal(by_address(&why), 0);
	assert_int_equal(lines, 0);
	mem_unpin(pn);
	teardown();
}

/* The whole call is to be made again, so nothing of it is left, and nothing is said. */
static void made_again(void **state)
{
	struct mem_pin *pn = NULL;
	char *p;
	int why;

	setup(true);
	p = memory(PAGE, true);
	refuse = -TASK_RESTART;
	assert_int_equal(mem_pin(mem, &caller.t, (uintptr_t)p, PAGE, 0, RW, true, &pn), -TASK_RESTART);
	assert_int_equal(by_address(&why), 0);
	assert_int_equal(lines, 0);
	assert_int_equal(atomic_load(&mm.mm.locked_pages), 0);
	refuse = 0;
	mem_unpin(pin(p, PAGE, RW));
	teardown();
}

/* The areas say that there is memory, the kernel finds that there is not. */
static void no_memory_is_a_fault(void **state)
{
	struct mem_pin *pn = NULL;
	char *p;

	setup(true);
	p = memory(2 * PAGE, true);
	mprotect(p + PAGE, PAGE, PROT_NONE);
	assert_int_equal(mem_pin(mem, &caller.t, (uintptr_t)p, 2 * PAGE, 0, RW, true, &pn), -EFAULT);
	assert_null(pn);
	teardown();
}

static void other_ways_stay(void **state)
{
	struct mem_pin *pn;
	char *p;

	setup(true);
	p = fake_add(&mm, 0x100000, PAGE, true, true);
	pn = pin((void *)0x100000, PAGE, RW);
	assert_non_null(mem_host(mem, phys_of(pn), 1));
	assert_int_equal(mem_write(mem, phys_of(pn), "x", 1), 0);
	assert_int_equal(p[0], 'x');
	assert_int_equal(slots, 0);
	mem_unpin(pn);
	teardown();
}

static void not_asked_for(void **state)
{
	struct mem_pin *pn;
	char *p, buf[2] = "";
	int why;

	setup(false);
	p = memory(PAGE, true);
	pn = pin(p, PAGE, RW);
	assert_int_equal(slots, 0);
	anew(p, PAGE);
	p[0] = 'n';
	assert_int_equal(mem_read(mem, phys_of(pn), buf, 1), 0);
	assert_string_equal(buf, "n");
	assert_int_equal(by_address(&why), 0);
	assert_int_equal(why, 0);
	mem_unpin(pn);
	teardown();
}

/* More pins than a ring has slots, and each is still its own page. */
static void many_pins(void **state)
{
	const unsigned n = 16384 + 100;
	struct mem_pin **pn = calloc(n, sizeof(struct mem_pin *));
	char *p, *q;
	unsigned v;
	int why;

	setup(true);
	p = memory((uint64_t)n * PAGE, true);
	for (unsigned i = 0; i < n; i++) {
		memcpy(p + (uint64_t)i * PAGE, &i, sizeof(i));
		pn[i] = pin(p + (uint64_t)i * PAGE, PAGE, RW);
	}
	assert_int_equal(by_address(&why), 0);
	anew(p, (uint64_t)n * PAGE);
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(mem_read(mem, phys_of(pn[i]), &v, sizeof(v)), 0);
		assert_int_equal(v, i);
	}
	/* a slot that is free again is used again */
	mem_unpin(pn[16383]);
	q = p;
	memcpy(q, "again", 6);
	pn[16383] = pin(q, PAGE, RW);
	anew(q, PAGE);
	assert_int_equal(mem_read(mem, phys_of(pn[16383]), &v, sizeof(v)), 0);
	assert_memory_equal(&v, "again", sizeof(v));
	for (unsigned i = 0; i < n; i++)
		mem_unpin(pn[i]);
	free(pn);
	teardown();
}

/* More than a slot holds: memory of which only what is touched is there, but pins touch all, so only at its edges. */
static void a_pin_of_many_slots(void **state)
{
	const uint64_t half = 1ull << 29, length = 3 * half;
	struct mem_pin *pn;
	char *p, buf[8] = "";
	int file = memfd_create("small", MFD_CLOEXEC);

	setup(true);
	/* 1.5 GiB of addresses, of the same 2 MiB of file again and again: shared memory that the caller does not share */
	p = memory(length, true);
	mm.area[0].a.shared = false;
	assert_int_equal(ftruncate(file, 2 << 20), 0);
	for (uint64_t at = 0; at < length; at += 2 << 20)
		assert_ptr_equal(mmap(p + at, 2 << 20, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0), p + at);
	pn = pin(p, length, RW);
	assert_int_equal(slots, 2);
	strcpy(p + 4092, "edge");
	assert_int_equal(mem_read(mem, phys_of(pn) + 2 * half + 4092, buf, 5), 0);
	assert_string_equal(buf, "edge");
	/* across the end of the first */
	assert_int_equal(mem_write(mem, phys_of(pn) + 2 * half - 4, "12345678", 8), 0);
	assert_memory_equal(p, "5678", 4);
	assert_memory_equal(p + (2 << 20) - 4, "1234", 4);
	mem_unpin(pn);
	close(file);
	teardown();
}

/* A ring goes with its program, when another needs one. */
static void rings_of_the_dead_go(void **state)
{
	struct fake_task other_task;
	struct fake_mm other;
	struct mem_pin *pn;
	char *p;

	setup(true);
	p = memory(PAGE, true);
	mem_unpin(pin(p, PAGE, RW));
	assert_int_equal(atomic_load(&mm.mm.ref.n), 2);
	dead = true;
	fake_init(&other, &other_task);
	other.mm.ops = &ops;
	other.area[other.n++] = mm.area[0];
	assert_int_equal(mem_pin(mem, &other_task.t, (uintptr_t)p, PAGE, 0, RW, true, &pn), 0);
	assert_int_equal(atomic_load(&mm.mm.ref.n), 1);
	mem_unpin(pn);
	other.n = 0;
	dead = false;
	teardown();
	mm_put(&other.mm);
	assert_true(other.freed);
}

static void pages_follow_no_repoint(void **state)
{
	struct mem_pin *pn;
	char *p, *q, buf[4] = "";

	setup(true);
	p = memory(PAGE, true);
	q = memory(PAGE, true);
	strcpy(p, "old");
	pn = pin(p, PAGE, RW);
	assert_int_equal(mem_pin_repoint(pn, &caller.t, (uintptr_t)q), 0);
	strcpy(q, "new");
	assert_int_equal(mem_read(mem, phys_of(pn), buf, 4), 0);
	assert_string_equal(buf, "old");
	mem_unpin(pn);
	teardown();
}

/* Who has got hold of a ring can put its own pages into it, and that is all. */
static void rings_are_for_this_only(void **state)
{
	struct mem_pin *pn;
	int fd = 0, eventfds[1] = { -1 };
	char *p;

	setup(true);
	p = memory(PAGE, true);
	pn = pin(p, PAGE, RW);
	errno = 0;
	assert_int_equal(syscall(SYS_io_uring_register, ring_fd, IORING_UNREGISTER_FILES, NULL, 0), -1);
	assert_int_equal(errno, EACCES);
	errno = 0;
	assert_int_equal(syscall(SYS_io_uring_register, ring_fd, IORING_REGISTER_EVENTFD, eventfds, 1), -1);
	assert_int_equal(errno, EACCES);
	errno = 0;
	assert_int_equal(syscall(SYS_io_uring_register, ring_fd, IORING_REGISTER_FILES_UPDATE,
				 &(struct io_uring_files_update){ .fds = (uintptr_t)&fd }, 1), -1);
	assert_int_equal(errno, EACCES);
	assert_int_equal(mem_write(mem, phys_of(pn), "x", 1), 0);
	assert_int_equal(p[0], 'x');
	mem_unpin(pn);
	teardown();
}

/* ---- threads ---- */

static phys_t shared_at;

static void *mover(void *arg)
{
	uint64_t mine = (uintptr_t)arg, at = shared_at + mine * 2 * PAGE;
	char out[PAGE + 8], in[sizeof(out)];
	struct mem_pin *pn;
	phys_t own;

	for (unsigned i = 0; i < 300; i++) {
		memset(out, (int)(mine * 50 + i), sizeof(out));
		assert_int_equal(mem_write(mem, at, out, sizeof(out)), 0);
		assert_int_equal(mem_read(mem, at, in, sizeof(in)), 0);
		assert_memory_equal(in, out, sizeof(out));
		pn = pin(mm.area[0].memory + mine * 2 * PAGE, PAGE, RW);
		own = phys_of(pn);
		assert_int_equal(mem_read(mem, own, in, 1), 0);
		assert_int_equal(in[0], out[0]);
		mem_unpin(pn);
	}
	return NULL;
}

static void threads_at_once(void **state)
{
	struct mem_pin *pn;
	pthread_t t[4];
	char *p;

	setup(true);
	p = memory(8 * PAGE, true);
	pn = pin(p, 8 * PAGE, RW);
	shared_at = phys_of(pn);
	for (uintptr_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, mover, (void *)i), 0);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	mem_unpin(pn);
	teardown();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(old_pages_stay_the_target),
		cmocka_unit_test(dropped_pages_stay_the_target),
		cmocka_unit_test(transfers_of_any_size),
		cmocka_unit_test(permission),
		cmocka_unit_test(read_only_is_by_address),
		cmocka_unit_test(refused_is_by_address),
		cmocka_unit_test(ended_is_not_said),
		cmocka_unit_test(made_again),
		cmocka_unit_test(no_memory_is_a_fault),
		cmocka_unit_test(other_ways_stay),
		cmocka_unit_test(not_asked_for),
		cmocka_unit_test(many_pins),
		cmocka_unit_test(a_pin_of_many_slots),
		cmocka_unit_test(rings_of_the_dead_go),
		cmocka_unit_test(pages_follow_no_repoint),
		cmocka_unit_test(rings_are_for_this_only),
		cmocka_unit_test(threads_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
