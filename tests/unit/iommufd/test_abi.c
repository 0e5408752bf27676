/* SPDX-License-Identifier: MIT */
/* Our ABI header says what the system's says, where that one is new enough. */
#include "abi/iommufd.h"
#include "../vfio/abi_table.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct abi_row ours[] = {
#include "abi_rows.h"
};

static void same_numbers_and_layouts(void **state)
{
	if (!abi_system_rows)
		skip();
	assert_int_equal(abi_system_rows, sizeof(ours) / sizeof(ours[0]));
	for (unsigned i = 0; i < abi_system_rows; i++) {
		assert_string_equal(ours[i].name, abi_system[i].name);
		if (ours[i].value != abi_system[i].value)
			fail_msg("%s is %#lx here and %#lx in <linux/iommufd.h>", ours[i].name, ours[i].value,
				 abi_system[i].value);
	}
}

/* Spec 30, 3: for systems without the header. */
static void numbers(void **state)
{
	assert_int_equal(IOMMU_DESTROY, 0x3b80);
	assert_int_equal(IOMMU_IOAS_MAP_FILE, 0x3b8f);
	assert_int_equal(IOMMU_IOAS_NOIOMMU_GET_PA, 0x3b95);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(same_numbers_and_layouts), cmocka_unit_test(numbers) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
