/* SPDX-License-Identifier: MIT */
/* Many threads of one program: memory without end, the same for all, and numbers for each to guess with. */
#ifndef RACE_LAB_H
#define RACE_LAB_H

#include "iommufd_lab.h"

/* Memory of one kind without end; its bytes are those of one page. */
static char page[PAGE];

static int flat_area(struct mm *mm, uva_t at, struct mm_area *out)
{
	*out = (struct mm_area){ .start = 0, .last = UINT64_MAX >> 1, .readable = true, .writable = true };
	return 0;
}

static int flat_read(struct mm *mm, void *dst, uva_t src, size_t n)
{
	return mem_copy_guarded(dst, page, MIN(n, PAGE));
}

static int flat_write(struct mm *mm, uva_t dst, const void *src, size_t n)
{
	return mem_copy_guarded(page, src, MIN(n, PAGE));
}

static uint64_t flat_limit(struct mm *mm)
{
	return UINT64_MAX;
}

static void flat_free(struct mm *mm)
{
}

static const struct mm_ops flat_ops = {
	.area = flat_area, .read = flat_read, .write = flat_write, .memlock_limit = flat_limit, .free = flat_free,
};
static struct mm flat;

static void flat_init(void)
{
	flat = (struct mm){ .ops = &flat_ops };
	ref_init(&flat.ref);
}

struct dice {
	unsigned seed;
};

static unsigned roll(struct dice *d, unsigned n)
{
	d->seed = d->seed * 1103515245 + 12345;
	return (d->seed >> 12) % n;
}

#endif
