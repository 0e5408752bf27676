/* SPDX-License-Identifier: MIT */
/* Copying a caller's structs and strings in, and charging its locked memory. */
#include "task/task.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* The caller's memory: three pages at BASE, the second one is missing. */
#define BASE 0x10000ull
static char memory[3 * UVFIO_PAGE_SIZE];
static uint64_t limit;

static int copy_in(struct task *t, void *dst, uva_t src, size_t n)
{
	for (size_t i = 0; i < n; i++, src++) {
		if (src < BASE || src >= BASE + sizeof(memory) || (src - BASE) / UVFIO_PAGE_SIZE == 1)
			return -EFAULT;
		((char *)dst)[i] = memory[src - BASE];
	}
	return 0;
}

static uint64_t memlock_limit(struct mm *mm)
{
	return limit;
}

static const struct task_ops ops = { .copy_in = copy_in };
static struct task caller = { .ops = &ops };

static void argsz_is_copied_first_and_then_checked(void **state)
{
	uint32_t in[4] = { 16, 1, 2, 3 }, out[4];

	memcpy(memory, in, sizeof(in));
	assert_int_equal(ucopy_argsz(&caller, out, BASE, sizeof(out)), 0);
	assert_memory_equal(in, out, sizeof(out));
	memory[0] = 15;
	assert_int_equal(ucopy_argsz(&caller, out, BASE, sizeof(out)), -EINVAL);
	memory[0] = 0;
	assert_int_equal(ucopy_argsz(&caller, out, BASE + UVFIO_PAGE_SIZE - 8, sizeof(out)), -EFAULT);
	assert_int_equal(ucopy_argsz(&caller, out, 0, sizeof(out)), -EFAULT);
}

static void a_string_may_end_before_a_missing_page(void **state)
{
	char s[32];

	memset(memory, 0, sizeof(memory));
	memcpy(memory + UVFIO_PAGE_SIZE - 6, "hello", 6);
	assert_int_equal(ucopy_string(&caller, s, BASE + UVFIO_PAGE_SIZE - 6, sizeof(s)), 5);
	assert_string_equal(s, "hello");
	memory[UVFIO_PAGE_SIZE - 1] = 'x';
	assert_int_equal(ucopy_string(&caller, s, BASE + UVFIO_PAGE_SIZE - 6, sizeof(s)), -EFAULT);
	assert_int_equal(ucopy_string(&caller, s, BASE + UVFIO_PAGE_SIZE - 6, 6), -EINVAL);
}

static void locked_pages_are_charged_up_to_the_limit(void **state)
{
	static const struct mm_ops mm_ops = { .memlock_limit = memlock_limit };
	struct mm mm = { .ops = &mm_ops };

	limit = 10 * UVFIO_PAGE_SIZE + 100;
	assert_int_equal(mm_charge(&mm, 10, false), 0);
	assert_int_equal(mm_charge(&mm, 1, false), -ENOMEM);
	assert_int_equal(mm_charge(&mm, UINT64_MAX, false), -ENOMEM);
	assert_int_equal(atomic_load(&mm.locked_pages), 10);
	assert_int_equal(mm_charge(&mm, 5, true), 0);
	mm_uncharge(&mm, 15);
	assert_int_equal(atomic_load(&mm.locked_pages), 0);
	limit = UINT64_MAX;
	assert_int_equal(mm_charge(&mm, 1ull << 40, false), 0);
}

static void a_name_for_messages_has_nothing_that_a_terminal_obeys(void **state)
{
	char name[16];

	task_comm(name, "qemu-system-x86");
	assert_string_equal(name, "qemu-system-x86");
	task_comm(name, "a\nb\x1b[2J\x7f\xc3\xa9");
	assert_string_equal(name, "a?b?[2J?\xc3\xa9");
	task_comm(name, "longer than a name can be");
	assert_int_equal(strlen(name), 15);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(argsz_is_copied_first_and_then_checked),
		cmocka_unit_test(a_string_may_end_before_a_missing_page),
		cmocka_unit_test(locked_pages_are_charged_up_to_the_limit),
		cmocka_unit_test(a_name_for_messages_has_nothing_that_a_terminal_obeys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
