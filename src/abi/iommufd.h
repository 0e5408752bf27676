/* SPDX-License-Identifier: MIT */
/*
 * The ABI of /dev/iommu: request numbers, constants and structures as programs pass them, written from the
 * specification (spec 30, 3 and 7); the names are the field's, so this header and <linux/iommufd.h> cannot be
 * included in one file. tests/unit/iommufd/test_abi.c compares the two where the system has the other.
 *
 * Every structure begins with its size; _MIN is the least size a request takes, where that is not all of it.
 */
#ifndef UVFIO_ABI_IOMMUFD_H
#define UVFIO_ABI_IOMMUFD_H

#if defined(_IOMMUFD_H) || defined(_UAPI_IOMMUFD_H)
#error "abi/iommufd.h and <linux/iommufd.h> define the same names: include one of them"
#endif

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define IOMMUFD_TYPE ';'
#define IOMMUFD_BASE 0x80
#define IOMMUFD_IO(n) ((IOMMUFD_TYPE << 8) | (IOMMUFD_BASE + (n)))

#define IOMMU_DESTROY                 IOMMUFD_IO(0x00)
#define IOMMU_IOAS_ALLOC              IOMMUFD_IO(0x01)
#define IOMMU_IOAS_ALLOW_IOVAS        IOMMUFD_IO(0x02)
#define IOMMU_IOAS_COPY               IOMMUFD_IO(0x03)
#define IOMMU_IOAS_IOVA_RANGES        IOMMUFD_IO(0x04)
#define IOMMU_IOAS_MAP                IOMMUFD_IO(0x05)
#define IOMMU_IOAS_UNMAP              IOMMUFD_IO(0x06)
#define IOMMU_OPTION                  IOMMUFD_IO(0x07)
#define IOMMU_VFIO_IOAS               IOMMUFD_IO(0x08)
#define IOMMU_HWPT_ALLOC              IOMMUFD_IO(0x09)
#define IOMMU_GET_HW_INFO             IOMMUFD_IO(0x0a)
#define IOMMU_HWPT_SET_DIRTY_TRACKING IOMMUFD_IO(0x0b)
#define IOMMU_HWPT_GET_DIRTY_BITMAP   IOMMUFD_IO(0x0c)
#define IOMMU_HWPT_INVALIDATE         IOMMUFD_IO(0x0d)
#define IOMMU_FAULT_QUEUE_ALLOC       IOMMUFD_IO(0x0e)
#define IOMMU_IOAS_MAP_FILE           IOMMUFD_IO(0x0f)
#define IOMMU_VIOMMU_ALLOC            IOMMUFD_IO(0x10)
#define IOMMU_VDEVICE_ALLOC           IOMMUFD_IO(0x11)
#define IOMMU_IOAS_CHANGE_PROCESS     IOMMUFD_IO(0x12)
#define IOMMU_VEVENTQ_ALLOC           IOMMUFD_IO(0x13)
#define IOMMU_HW_QUEUE_ALLOC          IOMMUFD_IO(0x14)
#define IOMMU_IOAS_NOIOMMU_GET_PA     IOMMUFD_IO(0x15)

struct iommu_destroy {
	uint32_t size;
	uint32_t id;
};

struct iommu_ioas_alloc {
	uint32_t size;
	uint32_t flags;
	uint32_t out_ioas_id;
};

struct iommu_iova_range {
	uint64_t start;
	uint64_t last; /* inclusive */
};

struct iommu_ioas_iova_ranges {
	uint32_t size;
	uint32_t ioas_id;
	uint32_t num_iovas;
	uint32_t __reserved;
	uint64_t allowed_iovas;
	uint64_t out_iova_alignment;
};

struct iommu_ioas_allow_iovas {
	uint32_t size;
	uint32_t ioas_id;
	uint32_t num_iovas;
	uint32_t __reserved;
	uint64_t allowed_iovas;
};

#define IOMMU_IOAS_MAP_FIXED_IOVA (1u << 0)
#define IOMMU_IOAS_MAP_WRITEABLE  (1u << 1)
#define IOMMU_IOAS_MAP_READABLE   (1u << 2)

struct iommu_ioas_map {
	uint32_t size;
	uint32_t flags;
	uint32_t ioas_id;
	uint32_t __reserved;
	uint64_t user_va;
	uint64_t length;
	uint64_t iova;
};

struct iommu_ioas_map_file {
	uint32_t size;
	uint32_t flags;
	uint32_t ioas_id;
	int32_t fd;
	uint64_t start;
	uint64_t length;
	uint64_t iova;
};

struct iommu_ioas_copy {
	uint32_t size;
	uint32_t flags;
	uint32_t dst_ioas_id;
	uint32_t src_ioas_id;
	uint64_t length;
	uint64_t dst_iova;
	uint64_t src_iova;
};

struct iommu_ioas_unmap {
	uint32_t size;
	uint32_t ioas_id;
	uint64_t iova;
	uint64_t length;
};

#define IOMMU_OPTION_RLIMIT_MODE 0
#define IOMMU_OPTION_HUGE_PAGES  1
#define IOMMU_OPTION_OP_SET      0
#define IOMMU_OPTION_OP_GET      1

struct iommu_option {
	uint32_t size;
	uint32_t option_id;
	uint16_t op;
	uint16_t __reserved;
	uint32_t object_id;
	uint64_t val64;
};

#define IOMMU_VFIO_IOAS_GET   0
#define IOMMU_VFIO_IOAS_SET   1
#define IOMMU_VFIO_IOAS_CLEAR 2

struct iommu_vfio_ioas {
	uint32_t size;
	uint32_t ioas_id;
	uint16_t op;
	uint16_t __reserved;
};

#define IOMMU_HWPT_ALLOC_NEST_PARENT    (1u << 0)
#define IOMMU_HWPT_ALLOC_DIRTY_TRACKING (1u << 1)
#define IOMMU_HWPT_FAULT_ID_VALID       (1u << 2)
#define IOMMU_HWPT_ALLOC_PASID          (1u << 3)
#define IOMMU_HWPT_DATA_NONE            0
#define IOMMU_HWPT_DATA_VTD_S1          1

struct iommu_hwpt_alloc {
	uint32_t size;
	uint32_t flags;
	uint32_t dev_id;
	uint32_t pt_id;
	uint32_t out_hwpt_id;
	uint32_t __reserved;
	uint32_t data_type;
	uint32_t data_len;
	uint64_t data_uptr;
	uint32_t fault_id;
	uint32_t __reserved2;
};
#define IOMMU_HWPT_ALLOC_MIN 24

/* Data of a nested HWPT of VT-d: the guest's own page table. */
#define IOMMU_VTD_S1_SRE  (1u << 0) /* supervisor requests */
#define IOMMU_VTD_S1_EAFE (1u << 1) /* extended accessed flag */
#define IOMMU_VTD_S1_WPE  (1u << 2) /* supervisor writes respect write protection */

struct iommu_hwpt_vtd_s1 {
	uint64_t flags;
	uint64_t pgtbl_addr;
	uint32_t addr_width;
	uint32_t __reserved;
};

#define IOMMU_HW_INFO_FLAG_INPUT_TYPE (1u << 0)
#define IOMMU_HW_INFO_TYPE_NONE       0
#define IOMMU_HW_INFO_TYPE_INTEL_VTD  1

#define IOMMU_HW_CAP_DIRTY_TRACKING        (1u << 0)
#define IOMMU_HW_CAP_PCI_PASID_EXEC        (1u << 1)
#define IOMMU_HW_CAP_PCI_PASID_PRIV        (1u << 2)
#define IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED (1u << 3)

struct iommu_hw_info {
	uint32_t size;
	uint32_t flags;
	uint32_t dev_id;
	uint32_t data_len;
	uint64_t data_uptr;
	uint32_t out_data_type; /* in_data_type on the way in */
	uint8_t out_max_pasid_log2;
	uint8_t __reserved[3];
	uint64_t out_capabilities;
};
#define IOMMU_GET_HW_INFO_MIN 32

struct iommu_hw_info_vtd {
	uint32_t flags;
	uint32_t __reserved;
	uint64_t cap_reg;
	uint64_t ecap_reg;
};

#define IOMMU_HWPT_DIRTY_TRACKING_ENABLE 1

struct iommu_hwpt_set_dirty_tracking {
	uint32_t size;
	uint32_t flags;
	uint32_t hwpt_id;
	uint32_t __reserved;
};

#define IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR 1

struct iommu_hwpt_get_dirty_bitmap {
	uint32_t size;
	uint32_t hwpt_id;
	uint32_t flags;
	uint32_t __reserved;
	uint64_t iova;
	uint64_t length;
	uint64_t page_size;
	uint64_t data;
};

struct iommu_hwpt_invalidate {
	uint32_t size;
	uint32_t hwpt_id;
	uint64_t data_uptr;
	uint32_t data_type;
	uint32_t entry_len;
	uint32_t entry_num;
	uint32_t __reserved;
};

#define IOMMU_HWPT_INVALIDATE_DATA_VTD_S1 0
#define IOMMU_VTD_INV_FLAGS_LEAF          (1u << 0)

struct iommu_hwpt_vtd_s1_invalidate {
	uint64_t addr;
	uint64_t npages;
	uint32_t flags;
	uint32_t __reserved;
};

struct iommu_fault_alloc {
	uint32_t size;
	uint32_t flags;
	uint32_t out_fault_id;
	uint32_t out_fault_fd;
};

/* What is read from a fault queue, */
#define IOMMU_PGFAULT_FLAGS_PASID_VALID (1u << 0)
#define IOMMU_PGFAULT_FLAGS_LAST_PAGE   (1u << 1)
#define IOMMU_PGFAULT_PERM_READ         (1u << 0)
#define IOMMU_PGFAULT_PERM_WRITE        (1u << 1)
#define IOMMU_PGFAULT_PERM_EXEC         (1u << 2)
#define IOMMU_PGFAULT_PERM_PRIV         (1u << 3)

struct iommu_hwpt_pgfault {
	uint32_t flags;
	uint32_t dev_id;
	uint32_t pasid;
	uint32_t grpid;
	uint32_t perm;
	uint32_t __reserved;
	uint64_t addr;
	uint32_t length;
	uint32_t cookie;
};

/* and what is written to it. */
#define IOMMUFD_PAGE_RESP_SUCCESS 0
#define IOMMUFD_PAGE_RESP_INVALID 1

struct iommu_hwpt_page_response {
	uint32_t cookie;
	uint32_t code;
};

struct iommu_viommu_alloc {
	uint32_t size;
	uint32_t flags;
	uint32_t type;
	uint32_t dev_id;
	uint32_t hwpt_id;
	uint32_t out_viommu_id;
	uint32_t data_len;
	uint32_t __reserved;
	uint64_t data_uptr;
};
#define IOMMU_VIOMMU_ALLOC_MIN 24

struct iommu_vdevice_alloc {
	uint32_t size;
	uint32_t viommu_id;
	uint32_t dev_id;
	uint32_t out_vdevice_id;
	uint64_t virt_id;
};

struct iommu_ioas_change_process {
	uint32_t size;
	uint32_t __reserved;
};

struct iommu_veventq_alloc {
	uint32_t size;
	uint32_t flags;
	uint32_t viommu_id;
	uint32_t type;
	uint32_t veventq_depth;
	uint32_t out_veventq_id;
	uint32_t out_veventq_fd;
	uint32_t __reserved;
};
#define IOMMU_VEVENTQ_ALLOC_MIN 28

/* Before each event that is read from an event queue. */
#define IOMMU_VEVENTQ_FLAG_LOST_EVENTS (1u << 0)

struct iommufd_vevent_header {
	uint32_t flags;
	uint32_t sequence;
};

struct iommu_hw_queue_alloc {
	uint32_t size;
	uint32_t flags;
	uint32_t viommu_id;
	uint32_t type;
	uint32_t index;
	uint32_t out_hw_queue_id;
	uint64_t nesting_parent_iova;
	uint64_t length;
};

struct iommu_ioas_noiommu_get_pa {
	uint32_t size;
	uint32_t flags;
	uint32_t ioas_id;
	uint32_t __reserved;
	uint64_t iova;
	uint64_t length;
	uint64_t out_phys;
};

/* The layouts, said once more. */
static_assert(sizeof(struct iommu_destroy) == 8, "ABI");
static_assert(sizeof(struct iommu_ioas_alloc) == 12, "ABI");
static_assert(sizeof(struct iommu_ioas_iova_ranges) == 32, "ABI");
static_assert(sizeof(struct iommu_ioas_allow_iovas) == 24, "ABI");
static_assert(sizeof(struct iommu_ioas_map) == 40, "ABI");
static_assert(sizeof(struct iommu_ioas_map_file) == 40, "ABI");
static_assert(sizeof(struct iommu_ioas_copy) == 40, "ABI");
static_assert(sizeof(struct iommu_ioas_unmap) == 24, "ABI");
static_assert(sizeof(struct iommu_option) == 24 && offsetof(struct iommu_option, val64) == 16, "ABI");
static_assert(sizeof(struct iommu_vfio_ioas) == 12, "ABI");
static_assert(sizeof(struct iommu_hwpt_alloc) == 48, "ABI");
static_assert(offsetof(struct iommu_hwpt_alloc, data_type) == IOMMU_HWPT_ALLOC_MIN, "ABI");
static_assert(sizeof(struct iommu_hw_info) == 40, "ABI");
static_assert(offsetof(struct iommu_hw_info, out_capabilities) == IOMMU_GET_HW_INFO_MIN, "ABI");
static_assert(sizeof(struct iommu_hw_info_vtd) == 24, "ABI");
static_assert(sizeof(struct iommu_hwpt_set_dirty_tracking) == 16, "ABI");
static_assert(sizeof(struct iommu_hwpt_get_dirty_bitmap) == 48, "ABI");
static_assert(sizeof(struct iommu_hwpt_invalidate) == 32, "ABI");
static_assert(sizeof(struct iommu_fault_alloc) == 16, "ABI");
static_assert(sizeof(struct iommu_hwpt_vtd_s1) == 24 && sizeof(struct iommu_hwpt_vtd_s1_invalidate) == 24, "ABI");
static_assert(sizeof(struct iommu_hwpt_pgfault) == 40 && sizeof(struct iommu_hwpt_page_response) == 8, "ABI");
static_assert(sizeof(struct iommufd_vevent_header) == 8, "ABI");
static_assert(sizeof(struct iommu_viommu_alloc) == 40, "ABI");
static_assert(offsetof(struct iommu_viommu_alloc, data_len) == IOMMU_VIOMMU_ALLOC_MIN, "ABI");
static_assert(sizeof(struct iommu_vdevice_alloc) == 24, "ABI");
static_assert(sizeof(struct iommu_ioas_change_process) == 8, "ABI");
static_assert(sizeof(struct iommu_veventq_alloc) == 32, "ABI");
static_assert(offsetof(struct iommu_veventq_alloc, __reserved) == IOMMU_VEVENTQ_ALLOC_MIN, "ABI");
static_assert(sizeof(struct iommu_hw_queue_alloc) == 40, "ABI");
static_assert(sizeof(struct iommu_ioas_noiommu_get_pa) == 40, "ABI");

#endif
