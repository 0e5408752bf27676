/* SPDX-License-Identifier: MIT */
/* Ids, references and the log: the small things. */
#include "base/ids.h"
#include "base/log.h"
#include "base/ref.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void ids_are_lowest_first_and_reused(void **state)
{
	struct ids s = { 0 };
	unsigned id;

	for (unsigned i = 0; i < 1000; i++) {
		assert_int_equal(ids_alloc(&s, &id), 0);
		assert_int_equal(id, i);
	}
	ids_free(&s, 700);
	ids_free(&s, 3);
	assert_int_equal(ids_alloc(&s, &id), 0);
	assert_int_equal(id, 3);
	assert_int_equal(ids_alloc(&s, &id), 0);
	assert_int_equal(id, 700);
	assert_int_equal(ids_alloc(&s, &id), 0);
	assert_int_equal(id, 1000);
	ids_fini(&s);
	ids_fini(&s);
}

static void a_reference_that_is_gone_cannot_be_taken(void **state)
{
	struct ref r;

	ref_init(&r);
	assert_true(ref_tryget(&r));
	assert_false(ref_put(&r));
	assert_true(ref_put(&r));
	assert_false(ref_tryget(&r));
}

static unsigned seen;

static void sink(void *ctx, enum log_level level, const char *line)
{
	assert_ptr_equal(ctx, &seen);
	seen++;
}

static void the_log_keeps_the_last_lines_and_cuts_long_ones(void **state)
{
	static struct log log;
	char *text = NULL, wide[2 * LOG_WIDTH];
	size_t size;
	FILE *f = open_memstream(&text, &size);
	unsigned lines = 0;

	seen = 0;
	log_init(&log, sink, &seen);
	memset(wide, 'x', sizeof(wide) - 1);
	wide[sizeof(wide) - 1] = '\0';
	for (unsigned i = 0; i < LOG_LINES + 10; i++)
		log_msg(&log, LOG_INFO, "line %u %s", i, i == 20 ? wide : "");
	log_dump(&log, f);
	fclose(f);
	assert_int_equal(seen, LOG_LINES + 10);
	assert_int_equal(strncmp(text, "line 10 \n", 9), 0);
	for (char *p = text; (p = strchr(p, '\n')); p++)
		lines++;
	assert_int_equal(lines, LOG_LINES);
	free(text);
	log_fini(&log);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids_are_lowest_first_and_reused),
		cmocka_unit_test(a_reference_that_is_gone_cannot_be_taken),
		cmocka_unit_test(the_log_keeps_the_last_lines_and_cuts_long_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
