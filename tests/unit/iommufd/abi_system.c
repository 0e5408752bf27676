/* SPDX-License-Identifier: MIT */
/* The system's header as data, where there is one that knows everything up to Linux 7.3. */
#include "../vfio/abi_table.h"

#if __has_include(<linux/iommufd.h>)
#include <linux/iommufd.h>
#endif

const struct abi_row abi_system[] = {
#ifdef IOMMU_IOAS_NOIOMMU_GET_PA
#include "abi_rows.h"
#endif
	{ 0, 0 },
};
const unsigned abi_system_rows = sizeof(abi_system) / sizeof(abi_system[0]) - 1;
