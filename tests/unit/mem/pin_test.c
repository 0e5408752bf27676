/* SPDX-License-Identifier: MIT */
/* Pins of shared memory, private memory and BARs; what is charged; what survives of a caller's tricks. */
#include "fake_mm.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define PAGE UVFIO_PAGE_SIZE
#define GIB  (1ull << 30)

static struct mem *mem;
static struct fake_mm mm;
static struct fake_task caller;

static int setup(void **state)
{
	fake_init(&mm, &caller);
	return mem_create(NULL, &mem);
}

static int teardown(void **state)
{
	assert_int_equal(mem_pinned_pages(mem), 0);
	assert_int_equal(atomic_load(&mm.mm.locked_pages), 0);
	assert_int_equal(mm.shares, 0);
	mm_put(&mm.mm);
	assert_true(mm.freed);
	mem_destroy(mem);
	return 0;
}

static struct mem_pin *pin(uva_t uva, uint64_t length, iova_t iova, unsigned prot)
{
	struct mem_pin *p = NULL;

	assert_int_equal(mem_pin(mem, &caller.t, uva, length, iova, prot, true, &p), 0);
	return p;
}

static void pin_fails(int rc, uva_t uva, uint64_t length, unsigned prot)
{
	struct mem_pin *p = (void *)1;

	assert_int_equal(mem_pin(mem, &caller.t, uva, length, uva, prot, true, &p), rc);
	assert_ptr_equal(p, (void *)1);
	assert_int_equal(mem_pinned_pages(mem), 0);
	assert_int_equal(atomic_load(&mm.mm.locked_pages), 0);
	assert_int_equal(mm.shares, 0);
}

static void shared_memory_is_one_piece_with_a_pointer(void **state)
{
	char *view = fake_add(&mm, 0x100000, 64 * PAGE, true, true);
	struct mem_pin *p = pin(0x102000, 16 * PAGE, 0x7f0012345000, MEM_READ | MEM_WRITE);
	const struct mem_piece *piece;
	char buf[8] = "";
	phys_t phys;

	assert_int_equal(mem_pin_pieces(p, &piece), 1);
	phys = piece->phys;
	assert_true(piece->length == 16 * PAGE);
	assert_true((piece->phys & (GIB - 1)) == (0x7f0012345000 & (GIB - 1)));
	assert_true(piece->phys >> MEM_REGION_SHIFT != 0);
	memcpy(view + 2 * PAGE + 5, "hello", 6);
	assert_int_equal(mem_read(mem, piece->phys + 5, buf, 6), 0);
	assert_string_equal(buf, "hello");
	assert_int_equal(mem_write(mem, piece->phys + 16 * PAGE - 4, "ends", 4), 0);
	assert_memory_equal(view + 18 * PAGE - 4, "ends", 4);
	assert_memory_equal(mem_host(mem, piece->phys + 5, 6), "hello", 6);
	assert_null(mem_host(mem, piece->phys, 16 * PAGE + 1));
	assert_null(mem_host(mem, piece->phys - 1, 1));
	assert_int_equal(mem_read(mem, piece->phys + 16 * PAGE - 4, buf, 8), -EFAULT);
	assert_int_equal(mem_pinned_pages(mem), 16);
	mem_unpin(p);
	assert_null(mem_host(mem, phys, 1));
}

static void after_unpin_nothing_is_there(void **state)
{
	struct mem_pin *p;
	const struct mem_piece *piece;
	phys_t phys;
	char c;

	fake_add(&mm, 0x100000, PAGE, true, true);
	p = pin(0x100000, PAGE, 0, MEM_READ | MEM_WRITE);
	mem_pin_pieces(p, &piece);
	phys = piece->phys;
	mem_unpin(p);
	assert_int_equal(mem_read(mem, phys, &c, 1), -EFAULT);
	assert_int_equal(mem_write(mem, phys, &c, 1), -EFAULT);
	assert_null(mem_host(mem, phys, 1));
	assert_int_equal(mem_read(mem, UINT64_MAX, &c, 1), -EFAULT);
	assert_int_equal(mem_read(mem, 0xabcdef0000000000ull, &c, 1), -EFAULT);
	assert_int_equal(mem_stale(mem), 0);
	mem_unpin(NULL);
}

/* MAP-11 as far as a shared mapping carries it */
static void shared_pages_stay_visible_after_the_caller_unmapped_them(void **state)
{
	char *view = fake_add(&mm, 0x100000, PAGE, true, true);
	struct mem_pin *p = pin(0x100000, PAGE, 0, MEM_READ);
	const struct mem_piece *piece;
	char buf[4];

	mem_pin_pieces(p, &piece);
	memcpy(view, "abc", 4);
	mm.area[0].gone = true;
	assert_int_equal(mem_read(mem, piece->phys, buf, 4), 0);
	assert_string_equal(buf, "abc");
	mem_unpin(p);
}

static void private_memory_goes_by_address_and_neighbours_are_one_piece(void **state)
{
	char *a = fake_add(&mm, 0x100000, 4 * PAGE, false, true), *b = fake_add(&mm, 0x104000, 4 * PAGE, false, true);
	struct mem_pin *p = pin(0x101000, 6 * PAGE, 0x40000000, MEM_READ | MEM_WRITE);
	const struct mem_piece *piece;
	char buf[8];

	assert_int_equal(mem_pin_pieces(p, &piece), 1);
	assert_true(piece->length == 6 * PAGE);
	assert_null(mem_host(mem, piece->phys, 1));
	assert_int_equal(mem_write(mem, piece->phys + 3 * PAGE - 2, "12345", 5), 0);
	assert_memory_equal(a + 4 * PAGE - 2, "12", 2);
	assert_memory_equal(b, "345", 3);
	assert_int_equal(mem_read(mem, piece->phys + 3 * PAGE - 1, buf, 2), 0);
	assert_memory_equal(buf, "23", 2);

	mm.area[0].gone = true;
	assert_int_equal(mem_read(mem, piece->phys, buf, 1), -EFAULT);
	assert_int_equal(mem_stale(mem), 1);
	assert_int_equal(mem_read(mem, piece->phys + 3 * PAGE, buf, 1), 0);
	mem_unpin(p);
}

/* MAP-09, MAP-10 */
static void memory_that_is_not_there_or_not_permitted_is_refused(void **state)
{
	struct mem_pin *p;

	fake_add(&mm, 0x100000, 4 * PAGE, true, true);
	fake_add(&mm, 0x200000, 4 * PAGE, false, false);
	fake_add(&mm, 0x300000, 4 * PAGE, false, true);
	mm.area[2].a.readable = mm.area[2].a.writable = false;
	pin_fails(-EFAULT, 0x500000, PAGE, MEM_READ);
	pin_fails(-EFAULT, 0x102000, 4 * PAGE, MEM_READ);
	pin_fails(-EFAULT, 0x200000, PAGE, MEM_READ | MEM_WRITE);
	pin_fails(-EFAULT, 0x200000, PAGE, MEM_WRITE);
	pin_fails(-EFAULT, 0x300000, PAGE, MEM_READ);
	p = pin(0x200000, PAGE, 0, MEM_READ);
	mem_unpin(p);
}

static void a_pin_for_reading_cannot_be_written(void **state)
{
	struct mem_pin *p;
	const struct mem_piece *piece;

	fake_add(&mm, 0x100000, PAGE, true, true);
	p = pin(0x100000, PAGE, 0, MEM_READ);
	mem_pin_pieces(p, &piece);
	assert_int_equal(mem_write(mem, piece->phys, "x", 1), -EFAULT);
	mem_unpin(p);
}

/* LCK-01..03 */
static void locked_pages_are_charged_by_area_and_given_back(void **state)
{
	struct mem_pin *p, *q;

	fake_add(&mm, 0x100000, 8 * PAGE, true, true);
	fake_add(&mm, 0x108000, 8 * PAGE, false, true);
	mm.limit = 20 * PAGE;
	p = pin(0x100000, 16 * PAGE, 0, MEM_READ);
	assert_int_equal(atomic_load(&mm.mm.locked_pages), 16);
	assert_int_equal(mem_pin(mem, &caller.t, 0x100000, 8 * PAGE, 0, MEM_READ, true, &q), -ENOMEM);
	assert_int_equal(atomic_load(&mm.mm.locked_pages), 16);
	q = pin(0x100000, 4 * PAGE, 0, MEM_READ); /* twice the same pages: twice charged */
	assert_int_equal(atomic_load(&mm.mm.locked_pages), 20);
	mem_unpin(q);
	caller.ipc_lock = true;
	q = pin(0x100000, 16 * PAGE, 0, MEM_READ);
	assert_int_equal(atomic_load(&mm.mm.locked_pages), 32);
	mem_unpin(q);
	mem_unpin(p);
	caller.ipc_lock = false;
	mm.limit = 0;
	assert_int_equal(mem_pin(mem, &caller.t, 0x100000, PAGE, 0, MEM_READ, false, &p), 0);
	assert_int_equal(atomic_load(&mm.mm.locked_pages), 0);
	mem_unpin(p);
}

static void the_first_obstacle_decides(void **state)
{
	fake_add(&mm, 0x100000, 8 * PAGE, true, true);
	mm.limit = 4 * PAGE;
	pin_fails(-ENOMEM, 0x100000, 16 * PAGE, MEM_READ); /* over the limit before the hole is reached */
	mm.limit = 8 * PAGE;
	pin_fails(-EFAULT, 0x100000, 16 * PAGE, MEM_READ);
}

/* ---- BARs ---- */

static uint64_t bar_piece;
static bool bar_disabled;
static phys_t bar_base;

static int bar_target(struct file *f, uint64_t offset, phys_t *phys, uint64_t *length)
{
	if (bar_disabled)
		return -EFAULT;
	*phys = bar_base + offset;
	*length = bar_piece;
	return 0;
}

static const struct file_ops bar_ops = { .name = "bar", .dma_target = bar_target };
static const struct file_ops plain_ops = { .name = "no bar" };

/* MAP-12..14 */
static void a_bar_is_bus_addresses_and_costs_nothing(void **state)
{
	struct file bar = { .ops = &bar_ops }, other = { .ops = &plain_ops };
	struct mem_pin *p;
	const struct mem_piece *piece;

	bar_piece = PAGE;
	bar_base = 0xe0000000;
	bar_disabled = false;
	fake_add(&mm, 0x100000, 2 * PAGE, false, true);
	fake_add_bar(&mm, 0x102000, 16 * PAGE, &bar, 0x10000);
	fake_add_bar(&mm, 0x200000, PAGE, &other, 0);
	mm.limit = 2 * PAGE;
	p = pin(0x101000, 5 * PAGE, 0x5000, MEM_READ | MEM_WRITE);
	assert_int_equal(mem_pin_pieces(p, &piece), 2);
	assert_true(piece[0].length == PAGE && piece[0].phys >> MEM_REGION_SHIFT != 0);
	assert_true(piece[1].length == 4 * PAGE && piece[1].phys == 0xe0010000);
	assert_int_equal(atomic_load(&mm.mm.locked_pages), 1);
	assert_int_equal(mem_pinned_pages(mem), 1);
	assert_null(mem_host(mem, piece[1].phys, 1));
	mem_unpin(p);

	bar_disabled = true;
	pin_fails(-EFAULT, 0x101000, 5 * PAGE, MEM_READ);
	pin_fails(-EFAULT, 0x200000, PAGE, MEM_READ);
	bar_disabled = false;
	bar_piece = PAGE / 2; /* a layer below that answers nonsense is not believed */
	pin_fails(-EFAULT, 0x102000, PAGE, MEM_READ);
	bar_piece = PAGE;
	bar_base = 1ull << MEM_REGION_SHIFT;
	pin_fails(-EFAULT, 0x102000, PAGE, MEM_READ);
}

/* ---- size ---- */

static void a_huge_area_costs_one_piece(void **state)
{
	const struct mem_piece *piece;
	struct mem_pin *p;

	fake_add(&mm, 0x100000000, 64 * GIB, true, true);
	p = pin(0x100000000, 64 * GIB, 0x100000000, MEM_READ | MEM_WRITE);
	assert_int_equal(mem_pin_pieces(p, &piece), 1);
	assert_true(piece->length == 64 * GIB);
	assert_int_equal(mm.area_calls, 1);
	assert_int_equal(mem_write(mem, piece->phys + 63 * GIB, "far", 4), 0);
	assert_memory_equal(mem_host(mem, piece->phys + 63 * GIB, 4), "far", 4);
	mem_unpin(p);
}

static void more_than_a_region_holds_is_split(void **state)
{
	const struct mem_piece *piece;
	struct mem_pin *p;
	uint64_t sum = 0;
	unsigned n;

	/* An area without memory behind it: only the arithmetic is of interest. */
	mm.area[mm.n++] = (struct fake_area){
		.a = { .start = 0x1000, .last = UINT64_MAX, .readable = true, .writable = true }, .memfd = -1,
	};
	p = pin(0x1000, 3ull << 40, 0x3ffff000, MEM_READ);
	n = mem_pin_pieces(p, &piece);
	assert_int_equal(n, 4);
	for (unsigned i = 0; i < n; i++) {
		assert_true((piece[i].phys & (GIB - 1)) == ((0x3ffff000 + sum) & (GIB - 1)));
		sum += piece[i].length;
	}
	assert_true(sum == 3ull << 40);
	mem_unpin(p);
	p = pin(UINT64_MAX - 0xfff, PAGE, 0, MEM_READ);
	mem_unpin(p);
}

static void many_pins_live_side_by_side(void **state)
{
	static struct mem_pin *p[3000];
	char *view = fake_add(&mm, 0x100000, ARRAY_SIZE(p) * PAGE, false, true);
	const struct mem_piece *piece;

	for (unsigned i = 0; i < ARRAY_SIZE(p); i++)
		p[i] = pin(0x100000 + i * PAGE, PAGE, i * PAGE, MEM_READ | MEM_WRITE);
	for (unsigned i = 0; i < ARRAY_SIZE(p); i++) {
		mem_pin_pieces(p[i], &piece);
		assert_int_equal(mem_write(mem, piece->phys, &i, sizeof(i)), 0);
		assert_memory_equal(view + i * PAGE, &i, sizeof(i));
	}
	for (unsigned i = 0; i < ARRAY_SIZE(p); i += 2)
		mem_unpin(p[i]);
	for (unsigned i = 0; i < ARRAY_SIZE(p); i += 2)
		p[i] = pin(0x100000 + i * PAGE, PAGE, i * PAGE, MEM_READ);
	for (unsigned i = 0; i < ARRAY_SIZE(p); i++)
		mem_unpin(p[i]);
}

static void repoint_moves_the_charge_and_the_address(void **state)
{
	char *a = fake_add(&mm, 0x100000, 4 * PAGE, false, true);
	struct fake_mm mm2;
	struct fake_task heir;
	const struct mem_piece *piece;
	struct mem_pin *p = pin(0x100000, 4 * PAGE, 0, MEM_READ);
	char *b, c;

	fake_init(&mm2, &heir);
	b = fake_add(&mm2, 0x900000, 4 * PAGE, false, true);
	a[PAGE] = 'a';
	b[PAGE] = 'b';
	mem_pin_pieces(p, &piece);
	mm2.limit = 3 * PAGE;
	assert_int_equal(mem_pin_repoint(p, &heir.t, 0x900000), -ENOMEM);
	assert_int_equal(mem_read(mem, piece->phys + PAGE, &c, 1), 0);
	assert_int_equal(c, 'a');
	mm2.limit = 4 * PAGE;
	assert_int_equal(mem_pin_repoint(p, &heir.t, 0x900000), 0);
	assert_int_equal(atomic_load(&mm.mm.locked_pages), 0);
	assert_int_equal(atomic_load(&mm2.mm.locked_pages), 4);
	assert_int_equal(mem_read(mem, piece->phys + PAGE, &c, 1), 0);
	assert_int_equal(c, 'b');
	mem_unpin(p);
	assert_int_equal(atomic_load(&mm2.mm.locked_pages), 0);
	mm_put(&mm2.mm);
	assert_true(mm2.freed);
}

static struct mm_ops slow_ops;
static struct mem_pin *slow_pin;
static int (*plain_read)(struct mm *mm, void *dst, uva_t src, size_t n);

/* While somebody waits for the memory, the same thread does what it could not with any lock held. */
static int slow_read(struct mm *memory, void *dst, uva_t src, size_t n)
{
	struct mem_pin *other = pin(0x100000, PAGE, 0x40000, MEM_READ);

	assert_int_equal(mem_pin_repoint(slow_pin, &caller.t, 0x102000), 0);
	mem_unpin(other);
	return plain_read(memory, dst, src, n);
}

static void an_access_by_address_holds_no_lock(void **state)
{
	char *view = fake_add(&mm, 0x100000, 4 * PAGE, false, true);
	const struct mem_piece *piece;
	char c;

	slow_pin = pin(0x100000, PAGE, 0, MEM_READ);
	mem_pin_pieces(slow_pin, &piece);
	slow_ops = *mm.mm.ops;
	plain_read = slow_ops.read;
	slow_ops.read = slow_read;
	mm.mm.ops = &slow_ops;
	view[0] = 'a';
	view[2 * PAGE] = 'b';
	assert_int_equal(mem_read(mem, piece->phys, &c, 1), 0);
	assert_int_equal(c, 'a');
	slow_ops.read = plain_read;
	assert_int_equal(mem_read(mem, piece->phys, &c, 1), 0);
	assert_int_equal(c, 'b');
	mem_unpin(slow_pin);
}

static void a_file_that_was_cut_is_a_fault_not_a_crash(void **state)
{
	const struct mem_piece *piece;
	struct mem_pin *p;
	char buf[2 * PAGE];

	fake_add(&mm, 0x100000, 4 * PAGE, true, true);
	p = pin(0x100000, 4 * PAGE, 0, MEM_READ | MEM_WRITE);
	mem_pin_pieces(p, &piece);
	fake_take_faults();
	assert_int_equal(ftruncate(mm.area[0].memfd, PAGE), 0);
	assert_int_equal(mem_read(mem, piece->phys, buf, PAGE), 0);
	assert_int_equal(mem_read(mem, piece->phys, buf, 2 * PAGE), -EFAULT);
	assert_int_equal(mem_write(mem, piece->phys + PAGE, buf, 1), -EFAULT);
	assert_int_equal(mem_stale(mem), 2);
	mem_unpin(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(shared_memory_is_one_piece_with_a_pointer),
		T(after_unpin_nothing_is_there),
		T(shared_pages_stay_visible_after_the_caller_unmapped_them),
		T(private_memory_goes_by_address_and_neighbours_are_one_piece),
		T(memory_that_is_not_there_or_not_permitted_is_refused),
		T(a_pin_for_reading_cannot_be_written),
		T(locked_pages_are_charged_by_area_and_given_back),
		T(the_first_obstacle_decides),
		T(a_bar_is_bus_addresses_and_costs_nothing),
		T(a_huge_area_costs_one_piece),
		T(more_than_a_region_holds_is_split),
		T(many_pins_live_side_by_side),
		T(repoint_moves_the_charge_and_the_address),
		T(an_access_by_address_holds_no_lock),
		T(a_file_that_was_cut_is_a_fault_not_a_crash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
