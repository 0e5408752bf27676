/* SPDX-License-Identifier: MIT */
/* Which page is which: files by place, private memory by address; as it was when it was pinned. */
#include "fake_mm.h"
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define PAGE UVFIO_PAGE_SIZE
#define RW   (MEM_READ | MEM_WRITE)

static struct mem *mem;
static struct fake_mm mm, mm2;
static struct fake_task caller, other;

static int setup(void **state)
{
	fake_init(&mm, &caller);
	fake_init(&mm2, &other);
	return mem_create(NULL, &mem) ? -1 : mem_identify_pins(mem);
}

static int teardown(void **state)
{
	assert_int_equal(mem_pinned_pages(mem), 0);
	mm_put(&mm.mm);
	mm_put(&mm2.mm);
	mem_destroy(mem);
	return 0;
}

static struct mem_pin *pin(struct fake_task *t, uva_t uva, uint64_t length)
{
	struct mem_pin *p = NULL;

	assert_int_equal(mem_pin(mem, &t->t, uva, length, uva, RW, false, &p), 0);
	return p;
}

static struct mem_page_id seen(struct fake_mm *f, uva_t uva)
{
	struct mem_page_id id = { 0 };
	bool compound = true;

	assert_int_equal(mem_page_of_task(&f->mm, uva, &id, &compound), 0);
	assert_false(compound);
	return id;
}

/* The page of a pin at @at. */
static struct mem_page_id pinned(struct mem_pin *p, uint64_t at)
{
	struct mem_page_id id = { 0 };
	const struct mem_piece *piece;

	mem_pin_pieces(p, &piece);
	for (; at >= piece->length; piece++)
		at -= piece->length;
	assert_int_equal(mem_page_of_phys(mem, piece->phys + at, &id), 0);
	return id;
}

static bool is(struct mem_page_id a, struct mem_page_id b)
{
	assert_int_equal(mem_page_same(&a, &b), mem_page_same(&b, &a));
	return mem_page_same(&a, &b);
}

static unsigned pins(struct mem_page_id id)
{
	return mem_page_pins(mem, &id);
}

/* The same file once more, from byte @offset on. */
static void map_again(struct fake_mm *f, uva_t start, uint64_t length, const struct fake_area *like, uint64_t offset)
{
	struct fake_area *a = &f->area[f->n++];

	*a = *like;
	a->memory = NULL;
	a->memfd = dup(like->memfd);
	a->a.start = start;
	a->a.last = start + (length - 1);
	a->a.host_offset = offset;
}

static void a_page_of_a_file_is_the_same_wherever_it_is_mapped(void **state)
{
	struct mem_pin *p;

	fake_add(&mm, 0x100000, 8 * PAGE, true, true);
	fake_add(&mm, 0x200000, 8 * PAGE, true, true);
	map_again(&mm, 0x300000, 4 * PAGE, &mm.area[0], 2 * PAGE);
	map_again(&mm2, 0x100000, 8 * PAGE, &mm.area[0], 0);
	p = pin(&caller, 0x101000, 4 * PAGE);
	assert_true(is(pinned(p, PAGE), seen(&mm, 0x102000)));
	assert_true(is(pinned(p, PAGE + 5), seen(&mm, 0x102000)));
	assert_true(is(pinned(p, PAGE), seen(&mm, 0x300000)));
	assert_true(is(pinned(p, PAGE), seen(&mm2, 0x102000)));
	assert_false(is(pinned(p, PAGE), seen(&mm, 0x101000)));
	assert_false(is(pinned(p, PAGE), seen(&mm, 0x202000)));
	mem_unpin(p);
}

static void private_memory_is_a_program_and_an_address(void **state)
{
	struct mem_pin *p;

	fake_add(&mm, 0x100000, 4 * PAGE, false, true);
	fake_add(&mm2, 0x100000, 4 * PAGE, false, true);
	p = pin(&caller, 0x100000, 4 * PAGE);
	assert_true(is(pinned(p, 3 * PAGE), seen(&mm, 0x103000)));
	assert_false(is(pinned(p, 3 * PAGE), seen(&mm, 0x102000)));
	assert_false(is(pinned(p, 3 * PAGE), seen(&mm2, 0x103000)));
	mem_unpin(p);
}

/* A program's own copy of a file's page is not the file's. */
static void a_private_mapping_of_a_file_is_private(void **state)
{
	struct mem_pin *p;

	fake_add(&mm, 0x100000, PAGE, true, true);
	map_again(&mm, 0x200000, PAGE, &mm.area[0], 0);
	mm.area[1].a.shared = false;
	p = pin(&caller, 0x200000, PAGE);
	assert_true(is(pinned(p, 0), seen(&mm, 0x200000)));
	assert_false(is(pinned(p, 0), seen(&mm, 0x100000)));
	mem_unpin(p);
}

static void a_page_stays_what_was_pinned(void **state)
{
	struct mem_page_id before;
	struct mem_pin *p;

	fake_add(&mm, 0x100000, 2 * PAGE, true, true);
	before = seen(&mm, 0x101000);
	p = pin(&caller, 0x100000, 2 * PAGE);
	mm.area[0].gone = true;
	fake_add(&mm, 0x100000, 2 * PAGE, true, true);
	assert_true(is(pinned(p, PAGE), before));
	assert_false(is(pinned(p, PAGE), seen(&mm, 0x101000)));
	assert_int_equal(pins(before), 1);
	assert_int_equal(pins(seen(&mm, 0x101000)), 0);
	mem_unpin(p);
}

static void one_pin_may_hold_pages_of_many_kinds(void **state)
{
	struct mem_pin *p;

	fake_add(&mm, 0x100000, 2 * PAGE, false, true);
	fake_add(&mm, 0x102000, 2 * PAGE, true, true);
	fake_add(&mm, 0x104000, 2 * PAGE, false, true);
	p = pin(&caller, 0x101000, 5 * PAGE);
	for (uint64_t at = 0; at < 5 * PAGE; at += PAGE) {
		assert_true(is(pinned(p, at), seen(&mm, 0x101000 + at)));
		assert_int_equal(pins(seen(&mm, 0x101000 + at)), 1);
	}
	assert_int_equal(pins(seen(&mm, 0x100000)), 0);
	mem_unpin(p);
	assert_int_equal(pins(seen(&mm, 0x102000)), 0);
}

static void pins_count_whoever_made_them(void **state)
{
	struct mem_pin *a, *b, *c;

	fake_add(&mm, 0x100000, 4 * PAGE, true, true);
	map_again(&mm2, 0x800000, 4 * PAGE, &mm.area[0], 0);
	mm2.area[0].memory = NULL;
	a = pin(&caller, 0x100000, 4 * PAGE);
	b = pin(&other, 0x801000, 2 * PAGE);
	c = pin(&caller, 0x101000, PAGE);
	assert_int_equal(pins(seen(&mm, 0x100000)), 1);
	assert_int_equal(pins(seen(&mm, 0x101000)), 3);
	assert_int_equal(pins(seen(&mm, 0x102000)), 2);
	mem_unpin(a);
	assert_int_equal(pins(seen(&mm, 0x100000)), 0);
	assert_int_equal(pins(seen(&mm, 0x101000)), 2);
	mem_unpin(c);
	mem_unpin(b);
	assert_int_equal(pins(seen(&mm, 0x101000)), 0);
}

/* More than 64 pages, so that a bitmap has a second word, in two areas. */
static void a_part_that_is_gone_does_not_count(void **state)
{
	struct mem_pin *p;

	fake_add(&mm, 0x100000, 80 * PAGE, true, true);
	fake_add(&mm, 0x100000 + 80 * PAGE, 80 * PAGE, true, true);
	p = pin(&caller, 0x100000, 160 * PAGE);
	mem_pin_part_gone(p, 70 * PAGE, 20 * PAGE);
	for (uint64_t i = 0; i < 160; i++)
		assert_int_equal(pins(seen(&mm, 0x100000 + i * PAGE)), i < 70 || i >= 90);
	mem_unpin(p);
}

static void repointed_private_memory_is_the_heirs(void **state)
{
	struct mem_pin *p;

	fake_add(&mm, 0x100000, 2 * PAGE, false, true);
	fake_add(&mm, 0x102000, 2 * PAGE, true, true);
	fake_add(&mm2, 0x800000, 4 * PAGE, false, true);
	p = pin(&caller, 0x100000, 4 * PAGE);
	assert_int_equal(mem_pin_repoint(p, &other.t, 0x800000), 0);
	assert_true(is(pinned(p, PAGE), seen(&mm2, 0x801000)));
	assert_int_equal(pins(seen(&mm, 0x101000)), 0);
	assert_true(is(pinned(p, 3 * PAGE), seen(&mm, 0x103000))); /* a file's page stays its own */
	mem_unpin(p);
}

static int bar_target(struct file *f, uint64_t offset, phys_t *phys, uint64_t *length)
{
	*phys = 0xe0000000 + offset;
	*length = 4 * PAGE - offset;
	return 0;
}

static const struct file_ops bar_ops = { .dma_target = bar_target };

static void what_is_no_page(void **state)
{
	struct mem_page_id id;
	struct file *bar;
	struct mem_pin *p;
	bool compound;

	assert_int_equal(file_create(NULL, &bar_ops, NULL, O_RDWR, 0, &bar), 0);
	fake_add(&mm, 0x100000, PAGE, true, true);
	mm.area[0].a.readable = false;
	fake_add_bar(&mm, 0x200000, 4 * PAGE, bar, 0);
	assert_int_equal(mem_page_of_task(&mm.mm, 0x100000, &id, &compound), -EFAULT);
	assert_int_equal(mem_page_of_task(&mm.mm, 0x200000, &id, &compound), -EFAULT);
	assert_int_equal(mem_page_of_task(&mm.mm, 0x900000, &id, &compound), -EFAULT);
	p = pin(&caller, 0x200000, PAGE);
	assert_int_equal(mem_page_of_phys(mem, 0xe0000000, &id), -EFAULT);
	assert_int_equal(mem_page_of_phys(mem, 0xabcd0000000000ull, &id), -EFAULT);
	mem_unpin(p);
	file_put(bar);
}

static void huge_pages_say_so(void **state)
{
	struct mem_page_id id;
	bool compound = false;

	fake_add(&mm, 0x200000, 0x200000, true, true);
	mm.area[0].a.huge = true;
	assert_int_equal(mem_page_of_task(&mm.mm, 0x201000, &id, &compound), 0);
	assert_true(compound);
	assert_int_equal(id.at, PAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(a_page_of_a_file_is_the_same_wherever_it_is_mapped),
		T(private_memory_is_a_program_and_an_address),
		T(a_private_mapping_of_a_file_is_private),
		T(a_page_stays_what_was_pinned),
		T(one_pin_may_hold_pages_of_many_kinds),
		T(pins_count_whoever_made_them),
		T(a_part_that_is_gone_does_not_count),
		T(repointed_private_memory_is_the_heirs),
		T(what_is_no_page),
		T(huge_pages_say_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
