/* SPDX-License-Identifier: MIT */
/* Page tables: every page size, both ends of the address space, failure without traces, random against a model. */
#include "iommu_lab.h"
#include <dlfcn.h>
#include <sys/syscall.h>

static struct iommu_dev *dev;

/*
 * Page table nodes come from here, one at a time under AddressSanitizer, else by the chunk (base/slab.c); -1: as many as
 * are asked for. (clang's sanitizers want it to themselves.)
 */
static int allocations_left = -1;
#ifndef __clang__
static bool allocation_fails(void)
{
	if (allocations_left == 0)
		return true;
	if (allocations_left > 0)
		allocations_left--;
	return false;
}

void *aligned_alloc(size_t alignment, size_t size)
{
	void *(*next)(size_t, size_t) = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "aligned_alloc");

	return allocation_fails() ? NULL : next(alignment, size);
}

/* In a sanitizer's start there is nothing to be found by name yet. */
void *mmap(void *at, size_t n, int prot, int flags, int fd, off_t offset)
{
	return allocation_fails() ? MAP_FAILED : (void *)syscall(SYS_mmap, at, n, prot, flags, fd, offset);
}
#endif

static struct iommu_domain *domain(const struct iommu_unit *unit)
{
	struct iommu_domain *dom = NULL;

	dev = lab_dev("d", unit, NULL);
	assert_int_equal(iommu_domain_create(dev, &dom), 0);
	return dom;
}

static void done(struct iommu_domain *dom)
{
	iommu_domain_destroy(dom);
	iommu_dev_destroy(dev);
}

static void what_is_mapped_is_found_and_what_is_unmapped_is_not(void **state)
{
	struct iommu_domain *dom = domain(&unit_dma);
	phys_t base = 5ull << 40;

	assert_nothing(dom, 0);
	assert_true(iommu_unmap(dom, 0, GIB) == 0);
	assert_int_equal(iommu_map(dom, 0x5000, base + 0x5000, 3 * PAGE, MEM_READ), 0);
	assert_nothing(dom, 0x4fff);
	assert_at(dom, 0x5000, base + 0x5000, MEM_READ);
	assert_at(dom, 0x7fff, base + 0x7fff, MEM_READ);
	assert_nothing(dom, 0x8000);
	assert_true(iommu_unmap(dom, 0x6000, PAGE) == PAGE);
	assert_at(dom, 0x5000, base + 0x5000, MEM_READ);
	assert_nothing(dom, 0x6000);
	assert_true(iommu_unmap(dom, 0, 0x100000) == 2 * PAGE);
	assert_nothing(dom, 0x5000);
	assert_int_equal(iommu_map(dom, 0x5000, base, PAGE, MEM_WRITE), 0);
	assert_at(dom, 0x5123, base + 0x123, MEM_WRITE);
	done(dom);
}

static void bad_arguments_are_refused(void **state)
{
	struct iommu_domain *dom = domain(&unit_dma);
	iova_t first, last;

	assert_int_equal(iommu_map(dom, 0x100, 0, PAGE, RW), -EINVAL);
	assert_int_equal(iommu_map(dom, 0, 0x100, PAGE, RW), -EINVAL);
	assert_int_equal(iommu_map(dom, 0, 0, 100, RW), -EINVAL);
	assert_int_equal(iommu_map(dom, 0, 0, 0, RW), -EINVAL);
	assert_int_equal(iommu_map(dom, 0, 0, PAGE, 0), -EINVAL);
	assert_int_equal(iommu_map(dom, 0, 0, PAGE, 8), -EINVAL);
	assert_int_equal(iommu_map(dom, 1ull << 48, 0, PAGE, RW), -EINVAL);
	assert_int_equal(iommu_map(dom, (1ull << 48) - PAGE, 0, 2 * PAGE, RW), -EINVAL);
	assert_int_equal(iommu_map(dom, UINT64_MAX - 0xfff, 0, 2 * PAGE, RW), -EINVAL);
	assert_int_equal(iommu_map(dom, 0, UINT64_MAX - 0xfff, 2 * PAGE, RW), -EINVAL);
	assert_true(iommu_unmap(dom, 0, 0) == 0);
	assert_true(iommu_unmap(dom, 1ull << 50, PAGE) == 0);
	assert_nothing(dom, 1ull << 48);
	assert_nothing(dom, UINT64_MAX);
	iommu_domain_aperture(dom, &first, &last);
	assert_true(first == 0 && last == 0xffffffffffff);
	assert_true(iommu_domain_pgsizes(dom) == 0x40201000);
	assert_ptr_equal(iommu_domain_unit(dom), &unit_dma);
	done(dom);
}

static void the_largest_pages_that_fit_are_used(void **state)
{
	struct iommu_domain *dom = domain(&unit_dma);
	phys_t base = 5ull << 40;

	/* 4 KiB up to 2 MiB, 2 MiB up to 1 GiB, two of 1 GiB, and down again. */
	iova_t start = GIB - 2 * MIB - PAGE;
	uint64_t length = PAGE + 2 * MIB + 2 * GIB + 2 * MIB + PAGE;

	assert_int_equal(iommu_map(dom, start, base + start, length, RW), 0);
	for (iova_t at = start; at < start + length; at += 512 * 1024 - 8)
		assert_at(dom, at, base + at, RW);
	assert_true(iommu_unmap(dom, start, PAGE) == PAGE);
	assert_true(iommu_unmap(dom, GIB - 2 * MIB, 2 * MIB) == 2 * MIB);
	assert_true(iommu_unmap(dom, 2 * GIB, GIB) == GIB);
	assert_at(dom, 2 * GIB - 1, base + 2 * GIB - 1, RW);
	assert_nothing(dom, 2 * GIB);
	assert_true(iommu_unmap(dom, 0, 16 * GIB) == length - PAGE - 2 * MIB - GIB);
	assert_nothing(dom, GIB);

	/* Out of step modulo 2 MiB: small pages, the same translations. */
	assert_int_equal(iommu_map(dom, 0, base + PAGE, 4 * MIB, RW), 0);
	assert_at(dom, 3 * MIB, base + 3 * MIB + PAGE, RW);
	assert_true(iommu_unmap(dom, MIB, PAGE) == PAGE);
	assert_true(iommu_unmap(dom, 0, 4 * MIB) == 4 * MIB - PAGE);
	done(dom);

	dom = domain(&unit_small); /* knows 4 KiB only */
	assert_int_equal(iommu_map(dom, 0, base, 2 * MIB, RW), 0);
	assert_true(iommu_unmap(dom, PAGE, PAGE) == PAGE);
	assert_nothing(dom, PAGE);
	assert_at(dom, 2 * PAGE, base + 2 * PAGE, RW);
	done(dom);
}

static void what_is_mapped_already_is_refused_and_nothing_stays(void **state)
{
	struct iommu_domain *dom = domain(&unit_dma);
	phys_t base = 5ull << 40;

	assert_int_equal(iommu_map(dom, 3 * MIB, base, PAGE, RW), 0);
	assert_int_equal(iommu_map(dom, 3 * MIB, base, PAGE, RW), -EEXIST);
	assert_int_equal(iommu_map(dom, PAGE, base + PAGE, 4 * MIB, RW), -EEXIST); /* small pages, then in the way */
	assert_nothing(dom, PAGE);
	assert_nothing(dom, 2 * MIB);
	assert_nothing(dom, 3 * MIB - PAGE);
	assert_nothing(dom, 3 * MIB + PAGE);
	assert_at(dom, 3 * MIB, base, RW);
	assert_int_equal(iommu_map(dom, 0, 6ull << 40, GIB, RW), -EEXIST); /* one large page over it */
	assert_true(iommu_unmap(dom, 0, 4 * GIB) == PAGE);
	assert_int_equal(iommu_map(dom, 0, 6ull << 40, GIB, RW), 0);
	assert_int_equal(iommu_map(dom, 7 * PAGE, base, PAGE, RW), -EEXIST); /* inside a large page */
	assert_int_equal(iommu_map(dom, GIB - 2 * MIB, base, 4 * MIB, RW), -EEXIST);
	assert_nothing(dom, GIB);
	assert_true(iommu_unmap(dom, 0, GIB) == GIB);
	done(dom);
}

static void the_whole_address_space_can_be_used(void **state)
{
	struct iommu_domain *dom = domain(&unit_wide);
	phys_t base = 5ull << 40;
	iova_t first, last;

	iommu_domain_aperture(dom, &first, &last);
	assert_true(last == UINT64_MAX);
	assert_int_equal(iommu_map(dom, UINT64_MAX - 2 * MIB + 1, base, 2 * MIB, RW), 0);
	assert_int_equal(iommu_map(dom, UINT64_MAX - 2 * MIB + 1 - PAGE, base, PAGE, MEM_READ), 0);
	assert_int_equal(iommu_map(dom, 0, base, PAGE, RW), 0);
	assert_int_equal(iommu_map(dom, 1ull << 63, base, GIB, RW), 0);
	assert_at(dom, UINT64_MAX, base + 2 * MIB - 1, RW);
	assert_at(dom, UINT64_MAX - 2 * MIB, base + PAGE - 1, MEM_READ);
	assert_nothing(dom, UINT64_MAX - 2 * MIB - PAGE);
	assert_true(iommu_unmap(dom, UINT64_MAX - 0x3fffff, 0x400000) == 2 * MIB + PAGE);
	assert_true(iommu_unmap(dom, 1ull << 63, UINT64_MAX) == GIB); /* to the end, whatever it says */
	assert_true(iommu_unmap(dom, 0, UINT64_MAX) == PAGE);
	done(dom);
}

/* Small pages, a large one, small pages: nodes are needed all along the way. */
static void without_memory_nothing_is_mapped_and_what_was_stays(void **state)
{
	const iova_t start = GIB - 2 * MIB - 3 * PAGE;
	const uint64_t length = 3 * PAGE + 2 * MIB + 2 * MIB + 5 * PAGE;
	int rc = -ENOMEM, n;

#ifdef __clang__
	skip();
#endif
	for (n = 0; rc; n++) {
		struct iommu_domain *dom = domain(&unit_dma);

		assert_int_equal(iommu_map(dom, 0x1000, 5ull << 40, PAGE, MEM_READ), 0);
		allocations_left = n;
		rc = iommu_map(dom, start, (5ull << 40) + start, length, RW);
		allocations_left = -1;
		assert_at(dom, 0x1000, 5ull << 40, MEM_READ);
		if (rc) {
			assert_int_equal(rc, -ENOMEM);
			for (iova_t at = start; at < start + length; at += PAGE)
				assert_nothing(dom, at);
		}
		assert_int_equal(iommu_unmap(dom, 0, 4 * GIB), PAGE + (rc ? 0 : length));
		done(dom);
	}
	assert_true(n > 1);
}

/* What is left over is freed with the domain, and the next life of it is empty. */
static void a_new_domain_is_empty(void **state)
{
	for (int i = 0; i < 3; i++) {
		struct iommu_domain *dom = domain(&unit_dma);

		assert_nothing(dom, 0x1000);
		assert_nothing(dom, 5 * GIB);
		assert_int_equal(iommu_map(dom, 0x1000, 5ull << 40, 77 * PAGE, RW), 0);
		assert_int_equal(iommu_map(dom, 5 * GIB, 5ull << 40, GIB, RW), 0);
		done(dom);
	}
}

/* Random calls against one byte a page. */
static void random_maps_agree_with_a_model(void **state)
{
	enum { PAGES = 2048 + 700 };
	static struct { phys_t phys; unsigned size; } model[PAGES]; /* size: pages of the call that mapped it */
	struct iommu_domain *dom = domain(&unit_dma);
	const iova_t base = 7 * GIB - 700 * PAGE;
	unsigned seed = 1;

	memset(model, 0, sizeof(model));
	for (unsigned round = 0; round < 20000; round++) {
		unsigned at = (unsigned)rand_r(&seed) % PAGES, n = 1;
		bool taken = false;

		if (rand_r(&seed) % 4 == 0)
			n += (unsigned)rand_r(&seed) % 600;
		n = MIN(n, PAGES - at);
		if (rand_r(&seed) % 2) {
			phys_t phys = (phys_t)(2 + rand_r(&seed) % 3) << 40 | ((base + at * PAGE) & (GIB - 1));
			int rc = iommu_map(dom, base + at * PAGE, phys, n * PAGE, RW);

			for (unsigned i = at; i < at + n; i++)
				taken |= model[i].size != 0;
			assert_int_equal(rc, taken ? -EEXIST : 0);
			for (unsigned i = at; !taken && i < at + n; i++) {
				model[i].phys = phys + (i - at) * PAGE;
				model[i].size = n;
			}
		} else {
			uint64_t want = 0;

			/* Whole calls only, as the contract asks: widen to both ends. */
			while (at && model[at].size && model[at - 1].phys + PAGE == model[at].phys &&
			       model[at - 1].size == model[at].size)
				at--, n++;
			while (at + n < PAGES && model[at + n].size && model[at + n - 1].size == model[at + n].size &&
			       model[at + n - 1].phys + PAGE == model[at + n].phys)
				n++;
			for (unsigned i = at; i < at + n; i++) {
				want += model[i].size ? PAGE : 0;
				model[i].size = 0;
			}
			assert_true(iommu_unmap(dom, base + at * PAGE, n * PAGE) == want);
		}
	}
	for (unsigned i = 0; i < PAGES; i++) {
		if (model[i].size)
			assert_at(dom, base + i * PAGE + 9, model[i].phys + 9, RW);
		else
			assert_nothing(dom, base + i * PAGE);
	}
	done(dom);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(what_is_mapped_is_found_and_what_is_unmapped_is_not),
		T(bad_arguments_are_refused),
		T(the_largest_pages_that_fit_are_used),
		T(what_is_mapped_already_is_refused_and_nothing_stays),
		T(the_whole_address_space_can_be_used),
		T(without_memory_nothing_is_mapped_and_what_was_stays),
		T(a_new_domain_is_empty),
		T(random_maps_agree_with_a_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
