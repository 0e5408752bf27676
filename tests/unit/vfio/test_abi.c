/* SPDX-License-Identifier: MIT */
/* Our ABI header says what the system's says, wherever both speak. */
#include "abi/vfio.h"
#include "abi_table.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static const struct abi_row ours[] = {
#include "abi_rows.h"
};

static void same_numbers_and_layouts(void **state)
{
	unsigned compared = 0;

	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
		for (unsigned j = 0; j < abi_system_rows; j++) {
			if (strcmp(ours[i].name, abi_system[j].name))
				continue;
			if (ours[i].value != abi_system[j].value)
				fail_msg("%s is %#lx here and %#lx in <linux/vfio.h>", ours[i].name, ours[i].value,
					 abi_system[j].value);
			compared++;
		}
	}
	assert_int_equal(compared, abi_system_rows);
}

/* Spec 10, 3.5: for systems whose header is too old to be asked. */
static void newest_numbers(void **state)
{
	assert_int_equal(VFIO_DEVICE_BIND_IOMMUFD, 0x3b76);
	assert_int_equal(VFIO_DEVICE_DETACH_IOMMUFD_PT, 0x3b78);
	assert_int_equal(VFIO_MIG_GET_PRECOPY_INFO, 0x3b79);
	assert_int_equal(VFIO_DEVICE_FEATURE_ZPCI_ERROR, 13);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_numbers_and_layouts),
		cmocka_unit_test(newest_numbers),
	};

	return cmocka_run_group_tests_name("abi", tests, NULL, NULL);
}
