/* SPDX-License-Identifier: MIT */
/* What a monitor does for a guest: nested page tables, virtual IOMMUs, and what belongs to them. */
#include "calls.h"
#include <string.h>
#include <sys/mman.h>

/* Types: mostly the one that the mock IOMMU has */
static uint32_t type(uint32_t usual)
{
	uint8_t b = byte();

	return b < 0xe0 ? usual : b < 0xf0 ? b - 0xe0u : (uint32_t)raw(4);
}

/* Data of the mock IOMMU's or VT-d's, where it can be read, or anything in the arena */
void do_nested_alloc(void)
{
	struct iommu_hwpt_selftest mock = { .iotlb = IOMMU_TEST_IOTLB_DEFAULT };
	struct iommu_hwpt_vtd_s1 vtd = { .addr_width = 48 };
	struct iommu_hwpt_alloc a = { .size = sizeof(a) };
	int fd = pick(CTX);
	uint8_t b = byte();

	a.dev_id = id();
	a.pt_id = id();
	a.flags = b & 0xf;
	if (a.flags & IOMMU_HWPT_FAULT_ID_VALID)
		a.fault_id = id();
	switch (b >> 4 & 3) {
	case 0:
	case 1:
		mock.pagetable_type = b >> 6;
		a.data_type = IOMMU_HWPT_DATA_SELFTEST;
		a.data_len = b >> 4 & 1 ? 4 : 8;
		a.data_uptr = (uintptr_t)&mock;
		break;
	case 2:
		vtd.flags = b >> 6;
		vtd.pgtbl_addr = iova();
		a.data_type = IOMMU_HWPT_DATA_VTD_S1;
		a.data_len = sizeof(vtd);
		a.data_uptr = (uintptr_t)&vtd;
		break;
	case 3:
		a.data_type = type(IOMMU_HWPT_DATA_SELFTEST);
		a.data_len = byte();
		a.data_uptr = uva();
		break;
	}
	CALL(fd, IOMMU_HWPT_ALLOC, a);
}

static uint64_t region_at, region_length; /* of the last virtual IOMMU that had one */

void do_viommu_alloc(void)
{
	struct iommu_viommu_selftest data = { .in_data = 0x1badcafe };
	struct iommu_viommu_alloc a = { .size = sizeof(a) };
	int fd = pick(CTX);
	uint8_t b = byte();

	a.dev_id = id();
	a.hwpt_id = id();
	a.type = type(IOMMU_VIOMMU_TYPE_SELFTEST);
	if (b & 1) {
		a.data_len = sizeof(data);
		a.data_uptr = (uintptr_t)&data;
	} else if (b & 2) {
		a.data_len = b >> 2;
		a.data_uptr = uva();
	}
	if (CALL(fd, IOMMU_VIOMMU_ALLOC, a) == 0 && (b & 1)) {
		region_at = data.out_mmap_offset;
		region_length = data.out_mmap_length;
	}
}

void do_vdevice_alloc(void)
{
	struct iommu_vdevice_alloc a = { .size = sizeof(a) };
	int fd = pick(CTX);

	a.viommu_id = id();
	a.dev_id = id();
	a.virt_id = iova();
	CALL(fd, IOMMU_VDEVICE_ALLOC, a);
}

void do_veventq_alloc(void)
{
	struct iommu_veventq_alloc a = { .size = sizeof(a), .out_veventq_fd = UINT32_MAX };
	int fd = pick(CTX);

	a.viommu_id = id();
	a.type = type(IOMMU_VEVENTQ_TYPE_SELFTEST);
	a.veventq_depth = flags() + 1;
	if (CALL(fd, IOMMU_VEVENTQ_ALLOC, a) == 0 && (int)a.out_veventq_fd >= 0)
		file_add((int)a.out_veventq_fd, OTHER);
}

void do_hw_queue_alloc(void)
{
	struct iommu_hw_queue_alloc a = { .size = sizeof(a) };
	int fd = pick(CTX);

	a.viommu_id = id();
	a.type = type(IOMMU_HW_QUEUE_TYPE_SELFTEST);
	a.index = byte() & 3;
	a.nesting_parent_iova = iova();
	a.length = length();
	CALL(fd, IOMMU_HW_QUEUE_ALLOC, a);
}

/* Entries that are nearly right */
void do_invalidate_entries(void)
{
	struct iommu_hwpt_invalidate_selftest nested[3];
	struct iommu_viommu_invalidate_selftest devices[3];
	struct iommu_hwpt_vtd_s1_invalidate vtd[3];
	struct iommu_hwpt_invalidate a = { .size = sizeof(a) };
	int fd = pick(CTX);
	uint8_t b = byte();

	a.hwpt_id = id();
	a.entry_num = b & 3;
	for (unsigned i = 0; i < 3; i++) {
		nested[i] = (struct iommu_hwpt_invalidate_selftest){ b >> 4 & 1, i < a.entry_num ? byte() & 7u : 0 };
		devices[i] = (struct iommu_viommu_invalidate_selftest){ b >> 4 & 1, nested[i].iotlb_id, b >> 5 };
		vtd[i] = (struct iommu_hwpt_vtd_s1_invalidate){ .addr = nested[i].iotlb_id * PAGE, .npages = b >> 5 };
	}
	a.data_type = b & 0xc ? IOMMU_HWPT_INVALIDATE_DATA_SELFTEST : IOMMU_HWPT_INVALIDATE_DATA_VTD_S1;
	a.data_uptr = b & 8 ? (uintptr_t)nested : b & 4 ? (uintptr_t)devices : (uintptr_t)vtd;
	a.entry_len = b & 8 ? sizeof(nested[0]) : b & 4 ? sizeof(devices[0]) : sizeof(vtd[0]);
	CALL(fd, IOMMU_HWPT_INVALIDATE, a);
}

/* In the place of pages of the arena, read and written there; unmapping is what do_remap() does. */
void do_region(void)
{
	uint8_t b = byte();
	char *at = ARENA + byte() % (PAGES - 4) * PAGE, *p;
	int fd = pick(CTX);
	uint64_t n = b & 3 ? region_length : length(), offset = b & 4 ? iova() : region_at;

	if (!n || n > 4 * PAGE)
		n = 2 * PAGE;
	arena_changed = true;
	p = uvfio_mmap(m, at, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, (off_t)(offset & ~(PAGE - 1)));
	if (p != MAP_FAILED && (b & 8))
		p[n - 1]++;
	if (trace)
		fprintf(stderr, "mmap(%d, %#lx, %#lx): %s\n", fd, offset, n, p == MAP_FAILED ? strerrorname_np(errno) : "fine");
}

/* To a queue: small cookies. Both kinds of queue take any of these lengths badly or well. */
void do_answer(void)
{
	struct iommu_hwpt_page_response r[2];
	char buf[256];
	int fd = pick(OTHER);
	uint8_t b = byte();
	ssize_t rc;

	r[0] = (struct iommu_hwpt_page_response){ b & 7, b >> 3 & 1 };
	r[1] = (struct iommu_hwpt_page_response){ b >> 4 & 7, b >> 7 };
	switch (byte() % 4) {
	case 0:
		rc = uvfio_write(m, fd, r, sizeof(r[0]));
		break;
	case 1:
		rc = uvfio_write(m, fd, r, sizeof(r));
		break;
	case 2:
		rc = uvfio_read(m, fd, buf, 40);
		break;
	default:
		rc = uvfio_read(m, fd, buf, b);
	}
	if (trace)
		fprintf(stderr, "queue(%d): %zd\n", fd, rc);
}
