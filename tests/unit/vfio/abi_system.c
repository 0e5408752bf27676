/* SPDX-License-Identifier: MIT */
/* What the system's header says; see test_abi.c. */
#include <linux/vfio.h>
#include "abi_table.h"

const struct abi_row abi_system[] = {
#include "abi_rows.h"
};
const unsigned abi_system_rows = sizeof(abi_system) / sizeof(abi_system[0]);
