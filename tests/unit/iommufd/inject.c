/* SPDX-License-Identifier: MIT */
/* Every allocation and every copy of every request of /dev/iommu fails once: inject.h. */
#include "inject_tests.h"

static void each_fails_once(void **state)
{
	const struct row *r = *state;
	const unsigned allocations = run(r, ALLOCATIONS), copies = run(r, COPIES);

	if (r->flags & NEEDS)
		assert_true(allocations > 0);
	assert_int_equal(copies > 0, !(r->flags & ALONE));
}

static int setup(void **state)
{
	void *unused;

	return inject_setup(&unused);
}

static int teardown(void **state)
{
	void *unused;

	return inject_teardown(&unused);
}

int main(void)
{
	struct CMUnitTest tests[ARRAY_SIZE(call_rows) + ARRAY_SIZE(test_rows)];

	for (unsigned i = 0; i < ARRAY_SIZE(tests); i++) {
		const struct row *r = i < ARRAY_SIZE(call_rows) ? &call_rows[i] : &test_rows[i - ARRAY_SIZE(call_rows)];

		tests[i] = (struct CMUnitTest){ .name = r->name, .test_func = each_fails_once, .setup_func = setup,
						.teardown_func = teardown, .initial_state = (void *)r };
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
