/* SPDX-License-Identifier: MIT */
/* The calls that the fuzzer of iommufd alone makes. */
#ifndef CALLS_H
#define CALLS_H

#include "abi/iommufd_test.h"
#include "fuzz.h"

int test_call(int fd, uint32_t op, uint32_t id, struct iommu_test_cmd *c); /* mock.c */

/* hwpt.c */
void do_fault_alloc(void);
void do_get_dirty(void);
void do_hw_info(void);
void do_hwpt_alloc(void);
void do_invalidate(void);
void do_set_dirty(void);
/* guest.c */
void do_answer(void);
void do_hw_queue_alloc(void);
void do_invalidate_entries(void);
void do_nested_alloc(void);
void do_region(void);
void do_vdevice_alloc(void);
void do_veventq_alloc(void);
void do_viommu_alloc(void);
/* mock.c */
void do_check(void);
void do_limit(void);
void do_mark(void);
void do_mock(void);
void do_mock_replace(void);
void do_pasid(void);
void do_reserve(void);
void do_scene(void);
void do_trigger(void);
/* access.c */
void do_access(void);
void do_access_copy(void);
void do_access_pages(void);
void do_access_replace(void);
void do_dmabuf(void);
void do_dmabuf_map(void);
void do_dmabuf_revoke(void);
/* soft.c */
void do_soft(void);

#endif
