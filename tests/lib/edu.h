/* SPDX-License-Identifier: MIT */
/*
 * An edu by its own node, bound to an iommufd: transfers in the address spaces of PASIDs, which may wait for pages. The
 * register of its PASID is uvfio's own, so no other Linux has such a device (tests/machines/nesting.yaml).
 */
#ifndef UVFIO_TESTS_EDU_H
#define UVFIO_TESTS_EDU_H

#include "cdev.h"
#include "nested.h"
#include <poll.h>

#define BUFFER  0x40000ull /* edu's own */
#define GIVE_UP 60000      /* ms in which all comes that comes at all */

struct edu {
	int ctx, device;
	uint32_t id;
	volatile char *bar;
};

static inline struct edu edu_take(const char *bdf, int ctx)
{
	struct edu e = { .ctx = ctx, .device = cdev_take(bdf) };

	EXPECT_OK(cdev_bind_flags(e.device, ctx, sizeof(struct vfio_device_bind_iommufd), 0, &e.id));
	e.bar = x_mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, e.device, REGION(0));
	EXPECT((void *)e.bar != MAP_FAILED);
	config_write(e.device, 4, 2, config_read(e.device, 4, 2) | 6);
	return e;
}

static inline volatile uint64_t *edu_register(const struct edu *e, unsigned at)
{
	return (volatile uint64_t *)(e->bar + at);
}

/* Begin to move @count bytes; one of @src and @dst is in its buffer. @pasid: 0 for none */
static inline void edu_start(const struct edu *e, uint32_t pasid, uint64_t src, uint64_t dst, uint64_t count)
{
	bool out = src >= BUFFER && src < BUFFER + PAGE;

	*edu_register(e, 0x80) = src;
	*edu_register(e, 0x88) = dst;
	*edu_register(e, 0x90) = count;
	*edu_register(e, 0xa0) = pasid;
	*edu_register(e, 0x98) = 1 | (uint64_t)out << 1;
}

static inline bool edu_running(const struct edu *e)
{
	return *edu_register(e, 0x98) & 1;
}

static inline void edu_end(const struct edu *e)
{
	for (int i = 0; i < GIVE_UP && edu_running(e); i++)
		usleep(1000);
	EXPECT(!edu_running(e));
}

/* A page of the program's, and where the device finds it. */
struct page {
	volatile uint32_t *at;
	uint64_t iova;
};

static inline struct page page_at(uint64_t iova)
{
	return (struct page){ ram(PAGE), iova };
}

/* Does it move a word from one page to the other? It cannot say that it did not. */
static inline bool edu_moves(const struct edu *e, uint32_t pasid, struct page from, struct page to)
{
	static uint32_t word = 0x12340000;

	*from.at = ++word;
	*to.at = 0;
	edu_start(e, pasid, from.iova, BUFFER, 4);
	edu_end(e);
	edu_start(e, pasid, BUFFER, to.iova, 4);
	edu_end(e);
	return *to.at == word;
}

static inline int page_map(int ctx, uint32_t ioas, struct page p)
{
	return ioas_map_at(ctx, ioas, (void *)p.at, PAGE, p.iova);
}

/* ---- page requests ---- */

/* The next one, which must come */
static inline struct iommu_hwpt_pgfault fault_next(int queue)
{
	struct iommu_hwpt_pgfault f;

	EXPECT_EQ(POLLIN, x_poll(queue, POLLIN, GIVE_UP));
	EXPECT_EQ(sizeof(f), x_read(queue, &f, sizeof(f)));
	return f;
}

static inline void fault_is(const struct edu *e, const struct iommu_hwpt_pgfault *f, uint32_t pasid, uint64_t addr,
			    uint32_t perm)
{
	EXPECT_EQ(IOMMU_PGFAULT_FLAGS_LAST_PAGE | (pasid ? IOMMU_PGFAULT_FLAGS_PASID_VALID : 0u), f->flags);
	EXPECT_EQ(e->id, f->dev_id);
	EXPECT_EQ(pasid, f->pasid);
	EXPECT_EQ(perm, f->perm);
	EXPECT_EQ(addr, f->addr);
	EXPECT_EQ(0, f->length);
	EXPECT(f->cookie != 0);
}

static inline void fault_answer(int queue, const struct iommu_hwpt_pgfault *f, uint32_t code)
{
	EXPECT_EQ(sizeof(struct iommu_hwpt_page_response), respond(queue, f->cookie, code));
}

#endif
