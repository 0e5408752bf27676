/* SPDX-License-Identifier: MIT */
/* Tables that are runs: pages of any size, an aperture, dirty leaves, DMA in pages smaller than one of memory. */
#include "iommu_lab.h"

#define SMALL 2048ull
#define FIRST (16 * MIB)

/* Every power of two from 2 KiB to 64 GiB. */
static const struct iommu_unit unit_mock = { .name = "mock0", .kind = IOMMU_MOCK, .first = FIRST, .width = 31, .runs = true,
					     .pgsizes = (64 * GIB << 1) - SMALL, .coherent = true, .dirty = true,
					     .default_domain = "DMA" };
static const struct iommu_unit unit_mock_huge = { .name = "mock1", .kind = IOMMU_MOCK, .width = 38, .runs = true,
						  .pgsizes = MIB | PAGE, .coherent = true, .dirty = true,
						  .default_domain = "DMA" };

static struct iommu_group *group;
static struct iommu_dev *dev;
static struct iommu_domain *dom;

static int setup(void **state)
{
	if (lab_setup(state))
		return -1;
	group = lab_group();
	dev = lab_dev("mock", &unit_mock, group);
	return iommu_group_claim(group, &dev) || iommu_domain_create(dev, &dom) || iommu_group_attach(group, dom);
}

static int teardown(void **state)
{
	iommu_group_release(group);
	iommu_domain_destroy(dom);
	iommu_dev_destroy(dev);
	iommu_group_put(group);
	return lab_teardown(state);
}

/* ---- which leaves there are, as dirty tracking shows them ---- */

struct leaves {
	unsigned n;
	struct {
		iova_t base;
		uint64_t size;
	} at[64];
};

static void leaf_note(void *ctx, iova_t base, uint64_t size)
{
	struct leaves *l = ctx;

	assert_true(l->n < ARRAY_SIZE(l->at));
	l->at[l->n].base = base;
	l->at[l->n++].size = size;
}

static struct leaves dirty(struct iommu_domain *d, iova_t start, iova_t last, bool clear)
{
	struct leaves l = { 0 };

	iommu_domain_dirty(d, start, last, clear, leaf_note, &l);
	return l;
}

/* Of [@start, +@length), which is mapped. */
static struct leaves all_leaves(struct iommu_domain *d, iova_t start, uint64_t length)
{
	for (iova_t at = start; at < start + length; at += SMALL)
		assert_true(iommu_domain_mark(d, at));
	return dirty(d, start, start + length - 1, true);
}

static void assert_leaf(const struct leaves *l, unsigned i, iova_t base, uint64_t size)
{
	assert_true(i < l->n);
	assert_true(l->at[i].base == base);
	assert_true(l->at[i].size == size);
}

static void the_aperture_has_a_beginning(void **state)
{
	const phys_t base = 5ull << 40;
	iova_t first, last;

	iommu_domain_aperture(dom, &first, &last);
	assert_true(first == FIRST && last == 2 * GIB - 1);
	assert_true(iommu_domain_pgsizes(dom) == unit_mock.pgsizes);
	assert_int_equal(iommu_map(dom, FIRST - SMALL, base, 2 * SMALL, RW), -EINVAL);
	assert_int_equal(iommu_map(dom, 2 * GIB - SMALL, base, 2 * SMALL, RW), -EINVAL);
	assert_int_equal(iommu_map(dom, FIRST + 1024, base, SMALL, RW), -EINVAL);
	assert_int_equal(iommu_map(dom, FIRST, base + 1024, SMALL, RW), -EINVAL);
	assert_int_equal(iommu_map(dom, FIRST, base, SMALL + 1024, RW), -EINVAL);
	assert_int_equal(iommu_map(dom, FIRST, base, SMALL, RW), 0);
	assert_int_equal(iommu_map(dom, 2 * GIB - SMALL, base, SMALL, MEM_READ), 0);
	assert_at(dom, FIRST + SMALL - 1, base + SMALL - 1, RW);
	assert_nothing(dom, FIRST + SMALL);
	assert_at(dom, 2 * GIB - 1, base + SMALL - 1, MEM_READ);
	assert_nothing(dom, 2 * GIB);
	assert_true(iommu_unmap(dom, 0, UINT64_MAX) == 2 * SMALL);
	assert_nothing(dom, FIRST);
}

static void a_leaf_is_as_large_as_addresses_and_length_allow(void **state)
{
	const phys_t base = 5ull << 40;
	struct leaves l;

	/* From 2 KiB before a 16 KiB boundary to 6 KiB behind the next: sizes go up and down. */
	assert_int_equal(iommu_map(dom, FIRST + 14 * 1024, base + 14 * 1024, 24 * 1024, RW), 0);
	l = all_leaves(dom, FIRST + 14 * 1024, 24 * 1024);
	assert_int_equal(l.n, 4);
	assert_leaf(&l, 0, FIRST + 14 * 1024, 2048);
	assert_leaf(&l, 1, FIRST + 16 * 1024, 16384);
	assert_leaf(&l, 2, FIRST + 32 * 1024, 4096);
	assert_leaf(&l, 3, FIRST + 36 * 1024, 2048);
	assert_true(iommu_unmap(dom, FIRST, MIB) == 24 * 1024);

	/* Aligned to each other only to 8 KiB. */
	assert_int_equal(iommu_map(dom, FIRST, base + 0x2000, 0x8000, RW), 0);
	l = all_leaves(dom, FIRST, 0x8000);
	assert_int_equal(l.n, 4);
	for (unsigned i = 0; i < 4; i++)
		assert_leaf(&l, i, FIRST + i * 0x2000, 0x2000);
	assert_true(iommu_unmap(dom, FIRST, 0x2000) == 0x2000);
	assert_nothing(dom, FIRST);
	assert_at(dom, FIRST + 0x2000, base + 0x4000, RW);
	assert_true(iommu_unmap(dom, FIRST, MIB) == 0x6000);

	assert_int_equal(iommu_map(dom, GIB, GIB + base, GIB, RW), 0);
	assert_true(iommu_domain_mark(dom, GIB + 5));
	l = dirty(dom, 0, UINT64_MAX, false);
	assert_int_equal(l.n, 1);
	assert_leaf(&l, 0, GIB, GIB);
}

static void small_pages_are_no_larger_than_4k(void **state)
{
	struct iommu_domain *huge;
	struct leaves l;

	assert_int_equal(iommu_map_small(dom, FIRST + SMALL, (5ull << 40) + SMALL, 3 * PAGE, RW), 0);
	l = all_leaves(dom, FIRST + SMALL, 3 * PAGE);
	assert_int_equal(l.n, 4);
	assert_leaf(&l, 0, FIRST + SMALL, SMALL);
	assert_leaf(&l, 1, FIRST + PAGE, PAGE);
	assert_leaf(&l, 3, FIRST + 3 * PAGE, SMALL);

	/* Sizes with a gap between them. */
	assert_int_equal(iommu_domain_create_for(lab.iommu, &unit_mock_huge, &huge), 0);
	assert_int_equal(iommu_map(huge, MIB - PAGE, (5ull << 40) + MIB - PAGE, MIB + 2 * PAGE, RW), 0);
	l = all_leaves(huge, MIB - PAGE, MIB + 2 * PAGE);
	assert_int_equal(l.n, 3);
	assert_leaf(&l, 1, MIB, MIB);
	assert_leaf(&l, 2, 2 * MIB, PAGE);
	assert_int_equal(iommu_map(huge, 3 * MIB, SMALL, PAGE, RW), -EINVAL);
	assert_int_equal(iommu_map_small(huge, 4 * MIB, 4 * MIB, MIB, RW), 0);
	assert_true(iommu_unmap(huge, 4 * MIB + PAGE, PAGE) == PAGE);
	iommu_domain_destroy(huge);
}

/* One mock IOMMU reads both kinds of tables; nobody else does. */
static void tables_that_are_runs_suit_each_other(void **state)
{
	struct iommu_group *g = lab_group();
	struct iommu_dev *real = lab_dev("real", &unit_dma, g);
	struct iommu_domain *huge, *radix;

	assert_int_equal(iommu_domain_create_for(lab.iommu, &unit_mock_huge, &huge), 0);
	assert_int_equal(iommu_domain_create(real, &radix), 0);
	assert_int_equal(iommu_group_replace(group, huge), 0);
	assert_int_equal(iommu_group_replace(group, radix), -EINVAL);
	assert_int_equal(iommu_group_attach(g, huge), -EINVAL);
	assert_int_equal(iommu_group_replace(group, dom), 0);
	iommu_domain_destroy(huge);
	iommu_domain_destroy(radix);
	iommu_dev_destroy(real);
	iommu_group_put(g);
}

static void units_that_cannot_be_are_refused(void **state)
{
	struct iommu_unit u = unit_mock;
	const struct iommu_resv *r;
	struct iommu_dev *d;

	assert_int_equal(iommu_dev_resv(dev, &r), 0); /* no window for messages either */
	u.pgsizes = 0;
	assert_int_equal(iommu_dev_create(lab.iommu, "d", &u, &d), -EINVAL);
	u.pgsizes = PAGE | 4;
	assert_int_equal(iommu_dev_create(lab.iommu, "d", &u, &d), -EINVAL);
	u = unit_mock;
	u.first = 2 * GIB;
	assert_int_equal(iommu_dev_create(lab.iommu, "d", &u, &d), -EINVAL);
	u.first = 1024;
	assert_int_equal(iommu_dev_create(lab.iommu, "d", &u, &d), -EINVAL);
	u = unit_dma;
	u.pgsizes |= SMALL;
	assert_int_equal(iommu_dev_create(lab.iommu, "d", &u, &d), -EINVAL);
}

static void what_is_mapped_already_is_refused(void **state)
{
	const phys_t base = 5ull << 40;

	assert_int_equal(iommu_map(dom, FIRST + 4 * PAGE, base, 4 * PAGE, RW), 0);
	assert_int_equal(iommu_map(dom, FIRST + 4 * PAGE, base, SMALL, RW), -EEXIST);
	assert_int_equal(iommu_map(dom, FIRST + 8 * PAGE - SMALL, base, PAGE, RW), -EEXIST);
	assert_int_equal(iommu_map(dom, FIRST, base, 5 * PAGE, RW), -EEXIST);
	assert_nothing(dom, FIRST);
	assert_nothing(dom, FIRST + 8 * PAGE);
	assert_int_equal(iommu_map(dom, FIRST, base, 4 * PAGE, RW), 0);
	assert_int_equal(iommu_map(dom, FIRST + 8 * PAGE, base, PAGE, RW), 0);
	assert_true(iommu_unmap(dom, FIRST, MIB) == 9 * PAGE);
}

/* ---- dirty ---- */

static void a_mark_is_of_the_leaf_that_holds_the_address(void **state)
{
	const phys_t base = 5ull << 40;
	struct leaves l;

	assert_false(iommu_domain_mark(dom, FIRST));
	assert_int_equal(iommu_map(dom, FIRST, base, 64 * 1024, RW), 0);
	assert_int_equal(iommu_map(dom, FIRST + MIB, base, PAGE, MEM_READ), 0);
	assert_true(iommu_domain_mark(dom, FIRST + 0x3456));
	assert_true(iommu_domain_mark(dom, FIRST + MIB)); /* there is one, but nobody can write through it */
	assert_false(iommu_domain_mark(dom, FIRST + 64 * 1024));
	l = dirty(dom, FIRST + 0x5000, FIRST + 0x5fff, false);
	assert_int_equal(l.n, 1);
	assert_leaf(&l, 0, FIRST, 64 * 1024);
	assert_int_equal(dirty(dom, FIRST + 64 * 1024, UINT64_MAX, true).n, 0);
	assert_int_equal(dirty(dom, 0, UINT64_MAX, true).n, 1);
	assert_int_equal(dirty(dom, 0, UINT64_MAX, true).n, 0);
	assert_true(iommu_domain_mark(dom, FIRST));
	iommu_domain_track(dom, true); /* forgets */
	assert_int_equal(dirty(dom, 0, UINT64_MAX, true).n, 0);
	assert_true(iommu_domain_mark(dom, FIRST));
	assert_true(iommu_unmap(dom, FIRST, 64 * 1024) == 64 * 1024);
	assert_int_equal(iommu_map(dom, FIRST, base, 64 * 1024, RW), 0);
	assert_int_equal(dirty(dom, 0, UINT64_MAX, false).n, 0); /* lost with the leaf */
}

static void marks_reach_radix_tables_too(void **state)
{
	struct iommu_domain *radix;
	struct leaves l;

	assert_int_equal(iommu_domain_create_for(lab.iommu, &unit_dma, &radix), 0);
	assert_false(iommu_domain_mark(radix, 2 * MIB));
	assert_int_equal(iommu_map(radix, 2 * MIB, 5ull << 40, 2 * MIB + PAGE, RW), 0);
	assert_true(iommu_domain_mark(radix, 3 * MIB));
	l = dirty(radix, 0, UINT64_MAX, false);
	assert_int_equal(l.n, 1);
	assert_leaf(&l, 0, 2 * MIB, 2 * MIB);
	iommu_domain_destroy(radix);
}

static void writes_are_remembered_and_reads_are_not(void **state)
{
	char buf[PAGE] = "";
	struct leaves l;

	assert_int_equal(iommu_map(dom, FIRST, lab.phys_shared, SMALL, RW), 0);
	assert_int_equal(iommu_map(dom, FIRST + SMALL, lab.phys_shared + PAGE, SMALL, RW), 0);
	iommu_domain_track(dom, true);
	for (int i = 0; i < 3; i++) { /* from the cache too, and again after what was found was cleared */
		assert_int_equal(iommu_dma_read(dev, FIRST, buf, PAGE), 0);
		assert_int_equal(dirty(dom, 0, UINT64_MAX, false).n, 0);
		assert_int_equal(iommu_dma_write(dev, FIRST + SMALL + 5, buf, 1), 0);
		assert_int_equal(iommu_dma_write(dev, FIRST + SMALL + 6, buf, 1), 0);
		l = dirty(dom, 0, UINT64_MAX, true);
		assert_int_equal(l.n, 1);
		assert_leaf(&l, 0, FIRST + SMALL, SMALL);
	}
	assert_int_equal(iommu_dma_write(dev, FIRST, buf, PAGE), 0);
	assert_int_equal(dirty(dom, 0, UINT64_MAX, true).n, 2);
}

/* ---- DMA ---- */

static void halves_of_a_page_translate_by_themselves(void **state)
{
	char in[5 * PAGE], out[5 * PAGE];

	for (unsigned i = 0; i < sizeof(in); i++)
		in[i] = (char)(i * 31 + i / 256);
	/* Neighbours swapped, shared and private memory, from a half page on. */
	for (unsigned i = 0; i < 10; i++) {
		phys_t phys = (i % 4 < 2 ? lab.phys_shared : lab.phys_private) + (i ^ 1) * SMALL;

		assert_int_equal(iommu_map(dom, FIRST + SMALL + i * SMALL, phys, SMALL, RW), 0);
	}
	for (int n = 0; n < 2; n++) {
		assert_int_equal(iommu_dma_write(dev, FIRST + SMALL, in, sizeof(in)), 0);
		for (unsigned i = 0; i < 10; i++) {
			char *at = (i % 4 < 2 ? lab.shared : lab.private) + (i ^ 1) * SMALL;

			assert_memory_equal(at, in + i * SMALL, SMALL);
		}
		assert_int_equal(iommu_dma_read(dev, FIRST + SMALL, out, sizeof(out)), 0);
		assert_memory_equal(in, out, sizeof(in));
		for (unsigned at = 0; at + 100 < sizeof(in); at += 777) { /* within a half, and over the middle */
			assert_int_equal(iommu_dma_read(dev, FIRST + SMALL + at, out, 100), 0);
			assert_memory_equal(out, in + at, 100);
		}
		in[3]++;
	}
}

static void half_a_page_can_be_taken_away(void **state)
{
	char buf[PAGE] = "x";
	struct iommu_fault f;

	assert_int_equal(iommu_map_small(dom, FIRST, lab.phys_shared, SMALL, RW), 0);
	assert_int_equal(iommu_map_small(dom, FIRST + SMALL, lab.phys_shared + SMALL, SMALL, RW), 0);
	assert_int_equal(iommu_dma_write(dev, FIRST, buf, PAGE), 0);
	assert_true(iommu_unmap(dom, FIRST + SMALL, SMALL) == SMALL);
	assert_int_equal(iommu_dma_write(dev, FIRST + SMALL - 4, buf, 4), 0);
	assert_int_equal(iommu_dma_write(dev, FIRST + SMALL - 4, buf, 5), -EFAULT);
	f = lab_fault(1);
	assert_int_equal(f.reason, IOMMU_FAULT_NOT_MAPPED);
	assert_true(f.iova == FIRST + SMALL && f.was_mapped && f.was_start == FIRST + SMALL);
	assert_true(f.was_last == FIRST + PAGE - 1);
}

static void memory_that_is_gone_is_found_by_halves_too(void **state)
{
	char buf[2 * PAGE];

	assert_int_equal(iommu_map(dom, FIRST, lab.phys_shared, SMALL, RW), 0);
	assert_int_equal(iommu_map(dom, FIRST + SMALL, lab.phys_shared + PAGE, SMALL, RW), 0);
	assert_int_equal(iommu_dma_read(dev, FIRST, buf, PAGE), 0);
	fake_take_faults();
	assert_int_equal(ftruncate(lab.mm.area[0].memfd, PAGE), 0);
	assert_int_equal(iommu_dma_read(dev, FIRST + 1000, buf, 1048), 0);
	assert_int_equal(iommu_dma_read(dev, FIRST + 1000, buf, 2000), -EFAULT);
	assert_int_equal(lab_fault(1).reason, IOMMU_FAULT_ABORT);
	assert_true(lab_fault(1).iova == FIRST + SMALL);
}

/* Random calls against one word a page. */
static void random_maps_agree_with_a_model(void **state)
{
	enum { PAGES = 2000 };
	static struct { phys_t phys; unsigned call; } model[PAGES]; /* call: which one mapped it, and where it was cut; 0: none */
	unsigned seed = 1, calls = 0;

	memset(model, 0, sizeof(model));
	for (unsigned round = 0; round < 20000; round++) {
		unsigned at = (unsigned)rand_r(&seed) % PAGES, n = 1 + (unsigned)rand_r(&seed) % 50;
		iova_t iova = FIRST + at * SMALL;
		uint64_t want = 0;

		n = MIN(n, PAGES - at);
		if (rand_r(&seed) % 2) {
			phys_t phys = (5ull << 40) + (unsigned)rand_r(&seed) % 4096 * SMALL;
			bool taken = false;

			for (unsigned i = at; i < at + n; i++)
				taken |= model[i].call != 0;
			assert_int_equal(iommu_map(dom, iova, phys, n * SMALL, RW), taken ? -EEXIST : 0);
			calls++;
			for (unsigned i = at; !taken && i < at + n; i++) {
				model[i].phys = phys + (i - at) * SMALL;
				model[i].call = calls;
			}
			continue;
		}
		while (at && model[at].call && model[at - 1].call == model[at].call)
			at--, n++;
		while (at + n < PAGES && model[at + n].call && model[at + n - 1].call == model[at + n].call)
			n++;
		for (unsigned i = at; i < at + n; i++) {
			want += model[i].call ? SMALL : 0;
			model[i].call = 0;
		}
		assert_true(iommu_unmap(dom, FIRST + at * SMALL, n * SMALL) == want);
	}
	for (unsigned i = 0; i < PAGES; i++) {
		if (model[i].call)
			assert_at(dom, FIRST + i * SMALL + 9, model[i].phys + 9, RW);
		else
			assert_nothing(dom, FIRST + i * SMALL);
	}
}

/* ---- threads: writes, marks, looks and unmaps of one domain ---- */

static atomic_bool stop;
static atomic_uint moved;

static void write_main(void *arg)
{
	char buf[2 * PAGE] = "";

	while (!atomic_load(&stop)) {
		if (iommu_dma_write(dev, FIRST + 1000, buf, 2 * PAGE - 2000) == 0)
			atomic_fetch_add(&moved, 1);
		sched_yield();
	}
}

static void nothing_written_is_lost_and_nothing_comes_late(void **state)
{
	struct thread t[2];

	iommu_domain_track(dom, true);
	for (int i = 0; i < 2; i++)
		assert_int_equal(thread_start(&t[i], "write", write_main, NULL), 0);
	for (unsigned i = 0; i < 300; i++) {
		_Atomic uint64_t *word = (_Atomic uint64_t *)lab.shared;
		unsigned now;

		assert_int_equal(iommu_map_small(dom, FIRST, lab.phys_shared + SMALL, 2 * PAGE, RW), 0);
		now = atomic_load(&moved);
		while (atomic_load(&moved) < now + 3)
			sched_yield();
		now = atomic_load(&moved);
		dirty(dom, 0, UINT64_MAX, true);
		while (atomic_load(&moved) < now + 3) /* one of them began after what was found was cleared */
			sched_yield();
		assert_int_equal(dirty(dom, 0, UINT64_MAX, false).n, 4);
		assert_true(iommu_unmap(dom, FIRST, 2 * PAGE) == 2 * PAGE);
		for (unsigned n = 0; n < 3 * PAGE / 8; n += 32)
			atomic_store(&word[n], UINT64_MAX);
		sched_yield();
		for (unsigned n = 0; n < 3 * PAGE / 8; n += 32)
			assert_true(atomic_load(&word[n]) == UINT64_MAX);
	}
	atomic_store(&stop, true);
	for (int i = 0; i < 2; i++)
		thread_join(&t[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#undef T
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(the_aperture_has_a_beginning),
		T(a_leaf_is_as_large_as_addresses_and_length_allow),
		T(small_pages_are_no_larger_than_4k),
		T(tables_that_are_runs_suit_each_other),
		T(units_that_cannot_be_are_refused),
		T(what_is_mapped_already_is_refused),
		T(a_mark_is_of_the_leaf_that_holds_the_address),
		T(marks_reach_radix_tables_too),
		T(writes_are_remembered_and_reads_are_not),
		T(halves_of_a_page_translate_by_themselves),
		T(half_a_page_can_be_taken_away),
		T(memory_that_is_gone_is_found_by_halves_too),
		T(random_maps_agree_with_a_model),
		T(nothing_written_is_lost_and_nothing_comes_late),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
