/* SPDX-License-Identifier: MIT */
/*
 * The VFIO ABI: ioctl numbers, constants and structures as programs pass them. Written from the
 * specification (spec 10, 3.5 and 4; spec 20, 0 to 7); the names are the field's, so this header and
 * <linux/vfio.h> cannot be included in one file. tests/unit/vfio/test_abi.c compares the two.
 *
 * Request numbers carry neither size nor direction, and one number means different things on a
 * container and on a device: dispatch on the file first. _MINSZ is the least argsz each call takes.
 */
#ifndef UVFIO_ABI_VFIO_H
#define UVFIO_ABI_VFIO_H

#if defined(VFIO_H) || defined(_UAPIVFIO_H)
#error "abi/vfio.h and <linux/vfio.h> define the same names: include one of them"
#endif

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define VFIO_API_VERSION 0

/* ---- requests ---- */

#define VFIO_TYPE ';'
#define VFIO_BASE 100
#define VFIO_IO(n) ((VFIO_TYPE << 8) | (VFIO_BASE + (n)))

/* container */
#define VFIO_GET_API_VERSION  VFIO_IO(0)
#define VFIO_CHECK_EXTENSION  VFIO_IO(1)
#define VFIO_SET_IOMMU        VFIO_IO(2)
#define VFIO_IOMMU_GET_INFO   VFIO_IO(12)
#define VFIO_IOMMU_MAP_DMA    VFIO_IO(13)
#define VFIO_IOMMU_UNMAP_DMA  VFIO_IO(14)
#define VFIO_IOMMU_ENABLE     VFIO_IO(15)
#define VFIO_IOMMU_DISABLE    VFIO_IO(16)
#define VFIO_IOMMU_DIRTY_PAGES VFIO_IO(17)

/* group */
#define VFIO_GROUP_GET_STATUS      VFIO_IO(3)
#define VFIO_GROUP_SET_CONTAINER   VFIO_IO(4)
#define VFIO_GROUP_UNSET_CONTAINER VFIO_IO(5)
#define VFIO_GROUP_GET_DEVICE_FD   VFIO_IO(6)

/* device */
#define VFIO_DEVICE_GET_INFO               VFIO_IO(7)
#define VFIO_DEVICE_GET_REGION_INFO        VFIO_IO(8)
#define VFIO_DEVICE_GET_IRQ_INFO           VFIO_IO(9)
#define VFIO_DEVICE_SET_IRQS               VFIO_IO(10)
#define VFIO_DEVICE_RESET                  VFIO_IO(11)
#define VFIO_DEVICE_GET_PCI_HOT_RESET_INFO VFIO_IO(12)
#define VFIO_DEVICE_PCI_HOT_RESET          VFIO_IO(13)
#define VFIO_DEVICE_QUERY_GFX_PLANE        VFIO_IO(14)
#define VFIO_DEVICE_GET_GFX_DMABUF         VFIO_IO(15)
#define VFIO_DEVICE_IOEVENTFD              VFIO_IO(16)
#define VFIO_DEVICE_FEATURE                VFIO_IO(17)
#define VFIO_DEVICE_BIND_IOMMUFD           VFIO_IO(18)
#define VFIO_DEVICE_ATTACH_IOMMUFD_PT      VFIO_IO(19)
#define VFIO_DEVICE_DETACH_IOMMUFD_PT      VFIO_IO(20)

/* migration data file */
#define VFIO_MIG_GET_PRECOPY_INFO          VFIO_IO(21)

/* ---- extensions: CHECK_EXTENSION and SET_IOMMU ---- */

#define VFIO_TYPE1_IOMMU         1
#define VFIO_SPAPR_TCE_IOMMU     2
#define VFIO_TYPE1v2_IOMMU       3
#define VFIO_DMA_CC_IOMMU        4
#define VFIO_EEH                 5
#define VFIO_TYPE1_NESTING_IOMMU 6 /* reserved: never offered */
#define VFIO_SPAPR_TCE_v2_IOMMU  7
#define VFIO_NOIOMMU_IOMMU       8
#define VFIO_UNMAP_ALL           9
#define VFIO_UPDATE_VADDR        10

/* ---- capability chains ---- */

/* @next counts from the start of the structure that the chain hangs from; 0 ends it. */
struct vfio_info_cap_header {
	uint16_t id;
	uint16_t version;
	uint32_t next;
};

/* ---- group ---- */

struct vfio_group_status {
	uint32_t argsz;
	uint32_t flags;
};
#define VFIO_GROUP_FLAGS_VIABLE        (1u << 0)
#define VFIO_GROUP_FLAGS_CONTAINER_SET (1u << 1)
#define VFIO_GROUP_STATUS_MINSZ        8

/* ---- device ---- */

struct vfio_device_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t num_regions;
	uint32_t num_irqs;
	uint32_t cap_offset;
	uint32_t pad;
};
#define VFIO_DEVICE_FLAGS_RESET    (1u << 0)
#define VFIO_DEVICE_FLAGS_PCI      (1u << 1)
#define VFIO_DEVICE_FLAGS_PLATFORM (1u << 2)
#define VFIO_DEVICE_FLAGS_AMBA     (1u << 3)
#define VFIO_DEVICE_FLAGS_CCW      (1u << 4)
#define VFIO_DEVICE_FLAGS_AP       (1u << 5)
#define VFIO_DEVICE_FLAGS_FSL_MC   (1u << 6)
#define VFIO_DEVICE_FLAGS_CAPS     (1u << 7)
#define VFIO_DEVICE_FLAGS_CDX      (1u << 8)
#define VFIO_DEVICE_INFO_MINSZ     16

#define VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP 5
struct vfio_device_info_cap_pci_atomic_comp {
	struct vfio_info_cap_header header;
	uint32_t flags;
	uint32_t reserved;
};
#define VFIO_PCI_ATOMIC_COMP32  (1u << 0)
#define VFIO_PCI_ATOMIC_COMP64  (1u << 1)
#define VFIO_PCI_ATOMIC_COMP128 (1u << 2)

struct vfio_region_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t cap_offset;
	uint64_t size;
	uint64_t offset; /* in the device file */
};
#define VFIO_REGION_INFO_FLAG_READ  (1u << 0)
#define VFIO_REGION_INFO_FLAG_WRITE (1u << 1)
#define VFIO_REGION_INFO_FLAG_MMAP  (1u << 2)
#define VFIO_REGION_INFO_FLAG_CAPS  (1u << 3)
#define VFIO_REGION_INFO_MINSZ      32

#define VFIO_REGION_INFO_CAP_SPARSE_MMAP   1
#define VFIO_REGION_INFO_CAP_TYPE          2
#define VFIO_REGION_INFO_CAP_MSIX_MAPPABLE 3 /* header only */

struct vfio_region_sparse_mmap_area {
	uint64_t offset;
	uint64_t size;
};
struct vfio_region_info_cap_sparse_mmap {
	struct vfio_info_cap_header header;
	uint32_t nr_areas;
	uint32_t reserved;
	struct vfio_region_sparse_mmap_area areas[];
};
struct vfio_region_info_cap_type {
	struct vfio_info_cap_header header;
	uint32_t type;
	uint32_t subtype;
};
#define VFIO_REGION_TYPE_PCI_VENDOR_TYPE (1u << 31)
#define VFIO_REGION_TYPE_PCI_VENDOR_MASK 0xffffu
#define VFIO_REGION_TYPE_GFX             1
#define VFIO_REGION_SUBTYPE_GFX_EDID     1
#define VFIO_REGION_SUBTYPE_INTEL_IGD_OPREGION 1
#define VFIO_REGION_SUBTYPE_INTEL_IGD_HOST_CFG 2
#define VFIO_REGION_SUBTYPE_INTEL_IGD_LPC_CFG  3

/* What the region indexes of a PCI function mean. */
enum {
	VFIO_PCI_BAR0_REGION_INDEX,
	VFIO_PCI_BAR1_REGION_INDEX,
	VFIO_PCI_BAR2_REGION_INDEX,
	VFIO_PCI_BAR3_REGION_INDEX,
	VFIO_PCI_BAR4_REGION_INDEX,
	VFIO_PCI_BAR5_REGION_INDEX,
	VFIO_PCI_ROM_REGION_INDEX,
	VFIO_PCI_CONFIG_REGION_INDEX,
	VFIO_PCI_VGA_REGION_INDEX,
	VFIO_PCI_NUM_REGIONS
};

struct vfio_irq_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t count;
};
#define VFIO_IRQ_INFO_EVENTFD    (1u << 0)
#define VFIO_IRQ_INFO_MASKABLE   (1u << 1)
#define VFIO_IRQ_INFO_AUTOMASKED (1u << 2)
#define VFIO_IRQ_INFO_NORESIZE   (1u << 3)
#define VFIO_IRQ_INFO_MINSZ      16

/* What the interrupt indexes of a PCI function mean. */
enum {
	VFIO_PCI_INTX_IRQ_INDEX,
	VFIO_PCI_MSI_IRQ_INDEX,
	VFIO_PCI_MSIX_IRQ_INDEX,
	VFIO_PCI_ERR_IRQ_INDEX,
	VFIO_PCI_REQ_IRQ_INDEX,
	VFIO_PCI_NUM_IRQS
};

struct vfio_irq_set {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t start;
	uint32_t count;
	uint8_t data[];
};
#define VFIO_IRQ_SET_DATA_NONE      (1u << 0)
#define VFIO_IRQ_SET_DATA_BOOL      (1u << 1) /* a byte each */
#define VFIO_IRQ_SET_DATA_EVENTFD   (1u << 2) /* an s32 each */
#define VFIO_IRQ_SET_ACTION_MASK    (1u << 3)
#define VFIO_IRQ_SET_ACTION_UNMASK  (1u << 4)
#define VFIO_IRQ_SET_ACTION_TRIGGER (1u << 5)
#define VFIO_IRQ_SET_DATA_TYPE_MASK   0x07u
#define VFIO_IRQ_SET_ACTION_TYPE_MASK 0x38u
#define VFIO_IRQ_SET_MINSZ          20

struct vfio_pci_dependent_device {
	union {
		uint32_t group_id;
		uint32_t devid; /* with FLAG_DEV_ID */
	};
	uint16_t segment;
	uint8_t bus;
	uint8_t devfn;
};
#define VFIO_PCI_DEVID_OWNED     0u
#define VFIO_PCI_DEVID_NOT_OWNED 0xffffffffu

struct vfio_pci_hot_reset_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t count;
	struct vfio_pci_dependent_device devices[];
};
#define VFIO_PCI_HOT_RESET_FLAG_DEV_ID       (1u << 0)
#define VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED (1u << 1)
#define VFIO_PCI_HOT_RESET_INFO_MINSZ        12

struct vfio_pci_hot_reset {
	uint32_t argsz;
	uint32_t flags;
	uint32_t count;
	int32_t group_fds[];
};
#define VFIO_PCI_HOT_RESET_MINSZ 12

struct vfio_device_ioeventfd {
	uint32_t argsz;
	uint32_t flags;
	uint64_t offset;
	uint64_t data;
	int32_t fd;
	uint32_t reserved;
};
#define VFIO_DEVICE_IOEVENTFD_8         (1u << 0)
#define VFIO_DEVICE_IOEVENTFD_16        (1u << 1)
#define VFIO_DEVICE_IOEVENTFD_32        (1u << 2)
#define VFIO_DEVICE_IOEVENTFD_64        (1u << 3)
#define VFIO_DEVICE_IOEVENTFD_SIZE_MASK 0xfu
#define VFIO_DEVICE_IOEVENTFD_MINSZ     28

struct vfio_device_bind_iommufd {
	uint32_t argsz;
	uint32_t flags;
	int32_t iommufd;
	uint32_t out_devid;
	uint64_t token_uuid_ptr;
};
#define VFIO_DEVICE_BIND_FLAG_TOKEN    (1u << 0)
#define VFIO_DEVICE_BIND_IOMMUFD_MINSZ 16

struct vfio_device_attach_iommufd_pt {
	uint32_t argsz;
	uint32_t flags;
	uint32_t pt_id;
	uint32_t pasid;
};
#define VFIO_DEVICE_ATTACH_PASID             (1u << 0)
#define VFIO_DEVICE_ATTACH_IOMMUFD_PT_MINSZ  12

struct vfio_device_detach_iommufd_pt {
	uint32_t argsz;
	uint32_t flags;
	uint32_t pasid;
};
#define VFIO_DEVICE_DETACH_PASID             (1u << 0)
#define VFIO_DEVICE_DETACH_IOMMUFD_PT_MINSZ  8

/* ---- device features ---- */

struct vfio_device_feature {
	uint32_t argsz;
	uint32_t flags;
	uint8_t data[];
};
#define VFIO_DEVICE_FEATURE_MASK  0xffffu
#define VFIO_DEVICE_FEATURE_GET   (1u << 16)
#define VFIO_DEVICE_FEATURE_SET   (1u << 17)
#define VFIO_DEVICE_FEATURE_PROBE (1u << 18)
#define VFIO_DEVICE_FEATURE_MINSZ 8

#define VFIO_DEVICE_FEATURE_PCI_VF_TOKEN                0  /* uint8_t[16] */
#define VFIO_DEVICE_FEATURE_MIGRATION                   1
#define VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE            2
#define VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY             3  /* no payload */
#define VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP 4
#define VFIO_DEVICE_FEATURE_LOW_POWER_EXIT              5  /* no payload */
#define VFIO_DEVICE_FEATURE_DMA_LOGGING_START           6
#define VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP            7  /* no payload */
#define VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT          8
#define VFIO_DEVICE_FEATURE_MIG_DATA_SIZE               9
#define VFIO_DEVICE_FEATURE_BUS_MASTER                  10
#define VFIO_DEVICE_FEATURE_DMA_BUF                     11
#define VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2          12 /* no payload */
#define VFIO_DEVICE_FEATURE_ZPCI_ERROR                  13

struct vfio_device_feature_migration {
	uint64_t flags;
};
#define VFIO_MIGRATION_STOP_COPY (1u << 0)
#define VFIO_MIGRATION_P2P       (1u << 1)
#define VFIO_MIGRATION_PRE_COPY  (1u << 2)

enum vfio_device_mig_state {
	VFIO_DEVICE_STATE_ERROR,
	VFIO_DEVICE_STATE_STOP,
	VFIO_DEVICE_STATE_RUNNING,
	VFIO_DEVICE_STATE_STOP_COPY,
	VFIO_DEVICE_STATE_RESUMING,
	VFIO_DEVICE_STATE_RUNNING_P2P,
	VFIO_DEVICE_STATE_PRE_COPY,
	VFIO_DEVICE_STATE_PRE_COPY_P2P,
	VFIO_DEVICE_STATE_NR
};

struct vfio_device_feature_mig_state {
	uint32_t device_state;
	int32_t data_fd;
};

struct vfio_device_feature_mig_data_size {
	uint64_t stop_copy_length;
};

struct vfio_precopy_info {
	uint32_t argsz;
	uint32_t flags;
	uint64_t initial_bytes;
	uint64_t dirty_bytes;
};
#define VFIO_PRECOPY_INFO_REINIT (1u << 0)
#define VFIO_PRECOPY_INFO_MINSZ  24

struct vfio_device_low_power_entry_with_wakeup {
	int32_t wakeup_eventfd;
	uint32_t reserved;
};

struct vfio_device_feature_dma_logging_control {
	uint64_t page_size;
	uint32_t num_ranges;
	uint32_t reserved;
	uint64_t ranges; /* pointer to struct vfio_device_feature_dma_logging_range[num_ranges] */
};
struct vfio_device_feature_dma_logging_range {
	uint64_t iova;
	uint64_t length;
};
struct vfio_device_feature_dma_logging_report {
	uint64_t iova;
	uint64_t length;
	uint64_t page_size;
	uint64_t bitmap; /* pointer */
};

struct vfio_device_feature_bus_master {
	uint32_t op;
};
#define VFIO_DEVICE_FEATURE_CLEAR_MASTER 0
#define VFIO_DEVICE_FEATURE_SET_MASTER   1

struct vfio_region_dma_range {
	uint64_t offset;
	uint64_t length;
};
struct vfio_device_feature_dma_buf {
	uint32_t region_index;
	uint32_t open_flags;
	uint32_t flags;
	uint32_t nr_ranges;
	struct vfio_region_dma_range dma_ranges[];
};

/* ---- type1: the container's IOMMU ---- */

struct vfio_iommu_type1_info {
	uint32_t argsz;
	uint32_t flags;
	uint64_t iova_pgsizes;
	uint32_t cap_offset;
	uint32_t pad;
};
#define VFIO_IOMMU_INFO_PGSIZES     (1u << 0)
#define VFIO_IOMMU_INFO_CAPS        (1u << 1)
#define VFIO_IOMMU_TYPE1_INFO_MINSZ 16

#define VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE 1
struct vfio_iova_range {
	uint64_t start;
	uint64_t end; /* inclusive */
};
struct vfio_iommu_type1_info_cap_iova_range {
	struct vfio_info_cap_header header;
	uint32_t nr_iovas;
	uint32_t reserved;
	struct vfio_iova_range iova_ranges[];
};

#define VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION 2
struct vfio_iommu_type1_info_cap_migration {
	struct vfio_info_cap_header header;
	uint32_t flags;
	uint64_t pgsize_bitmap;
	uint64_t max_dirty_bitmap_size; /* bytes */
};

#define VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL 3
struct vfio_iommu_type1_info_dma_avail {
	struct vfio_info_cap_header header;
	uint32_t avail;
};

struct vfio_iommu_type1_dma_map {
	uint32_t argsz;
	uint32_t flags;
	uint64_t vaddr;
	uint64_t iova;
	uint64_t size;
};
#define VFIO_DMA_MAP_FLAG_READ  (1u << 0) /* the device may read */
#define VFIO_DMA_MAP_FLAG_WRITE (1u << 1)
#define VFIO_DMA_MAP_FLAG_VADDR (1u << 2)
#define VFIO_IOMMU_TYPE1_DMA_MAP_MINSZ 32

struct vfio_bitmap {
	uint64_t pgsize;
	uint64_t size; /* bytes */
	uint64_t data; /* pointer */
};

struct vfio_iommu_type1_dma_unmap {
	uint32_t argsz;
	uint32_t flags;
	uint64_t iova;
	uint64_t size;
	uint8_t data[]; /* struct vfio_bitmap with FLAG_GET_DIRTY_BITMAP */
};
#define VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP (1u << 0)
#define VFIO_DMA_UNMAP_FLAG_ALL              (1u << 1)
#define VFIO_DMA_UNMAP_FLAG_VADDR            (1u << 2)
#define VFIO_IOMMU_TYPE1_DMA_UNMAP_MINSZ     24

struct vfio_iommu_type1_dirty_bitmap {
	uint32_t argsz;
	uint32_t flags;
	uint8_t data[];
};
#define VFIO_IOMMU_DIRTY_PAGES_FLAG_START      (1u << 0)
#define VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP       (1u << 1)
#define VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP (1u << 2)
#define VFIO_IOMMU_TYPE1_DIRTY_BITMAP_MINSZ    8

struct vfio_iommu_type1_dirty_bitmap_get {
	uint64_t iova;
	uint64_t size;
	struct vfio_bitmap bitmap;
};

/* The layouts, said once more. */
static_assert(sizeof(struct vfio_info_cap_header) == 8, "ABI");
static_assert(sizeof(struct vfio_group_status) == 8, "ABI");
static_assert(sizeof(struct vfio_device_info) == 24, "ABI");
static_assert(offsetof(struct vfio_device_info, cap_offset) == VFIO_DEVICE_INFO_MINSZ, "ABI");
static_assert(sizeof(struct vfio_region_info) == 32, "ABI");
static_assert(sizeof(struct vfio_irq_info) == 16, "ABI");
static_assert(sizeof(struct vfio_irq_set) == 20, "ABI");
static_assert(sizeof(struct vfio_pci_dependent_device) == 8, "ABI");
static_assert(sizeof(struct vfio_pci_hot_reset_info) == 12, "ABI");
static_assert(sizeof(struct vfio_pci_hot_reset) == 12, "ABI");
static_assert(sizeof(struct vfio_device_ioeventfd) == 32, "ABI");
static_assert(offsetof(struct vfio_device_ioeventfd, reserved) == VFIO_DEVICE_IOEVENTFD_MINSZ, "ABI");
static_assert(sizeof(struct vfio_device_bind_iommufd) == 24, "ABI");
static_assert(sizeof(struct vfio_device_attach_iommufd_pt) == 16, "ABI");
static_assert(sizeof(struct vfio_device_feature) == 8, "ABI");
static_assert(sizeof(struct vfio_precopy_info) == 24, "ABI");
static_assert(sizeof(struct vfio_device_feature_dma_logging_control) == 24, "ABI");
static_assert(sizeof(struct vfio_iommu_type1_info) == 24, "ABI");
static_assert(offsetof(struct vfio_iommu_type1_info, cap_offset) == VFIO_IOMMU_TYPE1_INFO_MINSZ, "ABI");
static_assert(sizeof(struct vfio_iommu_type1_info_cap_iova_range) == 16, "ABI");
static_assert(sizeof(struct vfio_iommu_type1_info_cap_migration) == 32, "ABI");
static_assert(sizeof(struct vfio_iommu_type1_info_dma_avail) == 12, "ABI");
static_assert(sizeof(struct vfio_iommu_type1_dma_map) == 32, "ABI");
static_assert(sizeof(struct vfio_iommu_type1_dma_unmap) == 24, "ABI");
static_assert(sizeof(struct vfio_bitmap) == 24, "ABI");
static_assert(sizeof(struct vfio_iommu_type1_dirty_bitmap) == 8, "ABI");
static_assert(sizeof(struct vfio_iommu_type1_dirty_bitmap_get) == 40, "ABI");

#endif
