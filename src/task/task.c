/* SPDX-License-Identifier: MIT */
#include "task/task.h"
#include <stdio.h>
#include <string.h>

int mm_charge(struct mm *mm, uint64_t pages, bool unlimited)
{
	uint64_t limit = unlimited ? UINT64_MAX : mm->ops->memlock_limit(mm) >> UVFIO_PAGE_SHIFT;
	unsigned long long now = atomic_load(&mm->locked_pages);

	do {
		if (!unlimited && (now + pages < now || now + pages > limit))
			return -ENOMEM;
	} while (!atomic_compare_exchange_weak(&mm->locked_pages, &now, now + pages));
	return 0;
}

void mm_uncharge(struct mm *mm, uint64_t pages)
{
	atomic_fetch_sub(&mm->locked_pages, pages);
}

int ucopy_argsz(struct task *t, void *dst, uva_t src, size_t minsz)
{
	uint32_t argsz;
	int rc = task_copy_in(t, dst, src, minsz);

	if (rc)
		return rc;
	memcpy(&argsz, dst, sizeof(argsz));
	return argsz < minsz ? -EINVAL : 0;
}

static int check_zeros(struct task *t, uva_t at, size_t n)
{
	char buf[4096];

	while (n) {
		size_t chunk = MIN(n, sizeof(buf));

		if (task_copy_in(t, buf, at, chunk))
			return -EFAULT;
		for (size_t i = 0; i < chunk; i++) {
			if (buf[i])
				return -E2BIG;
		}
		at += chunk;
		n -= chunk;
	}
	return 0;
}

int ucopy_struct(struct task *t, void *dst, size_t full, uva_t src, size_t size)
{
	int rc = size > full ? check_zeros(t, src + full, size - full) : 0;

	if (rc)
		return rc;
	memset(dst, 0, full);
	return task_copy_in(t, dst, src, MIN(size, full));
}

/* Page by page, so that a string that ends before an unmapped page is read. */
ssize_t ucopy_string(struct task *t, char *dst, uva_t src, size_t size)
{
	size_t n = 0;

	while (n < size) {
		size_t chunk = UVFIO_PAGE_SIZE - ((src + n) & (UVFIO_PAGE_SIZE - 1));
		char *nul;

		chunk = MIN(chunk, size - n);
		if (task_copy_in(t, dst + n, src + n, chunk))
			return -EFAULT;
		nul = memchr(dst + n, 0, chunk);
		if (nul)
			return nul - dst;
		n += chunk;
	}
	return -EINVAL;
}

void task_comm(char dst[16], const char *name)
{
	snprintf(dst, 16, "%s", name);
	for (char *c = dst; *c; c++)
		*c = (unsigned char)*c < ' ' || *c == 0x7f ? '?' : *c;
}
