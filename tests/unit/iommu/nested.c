/* SPDX-License-Identifier: MIT */
/* Nested domains: a guest's tables in its own memory, in the space of the parent; both changing under DMA. */
#include "iommu_lab.h"

#define P 1ull
#define W 2ull
#define U 4ull
#define A 0x20ull
#define D 0x40ull
#define PS 0x80ull
#define GUEST (1ull << 32) /* where the guest's memory begins in its own addresses: the parent's */

static const struct iommu_unit unit_nest = { .name = "dmar0", .width = 48, .pgsizes = 0x40201000, .nesting = true,
					     .enforce_coherency = true, .dirty = true, .default_domain = "DMA" };
static const struct iommu_unit unit_nest_weak = { .name = "dmar1", .width = 48, .pgsizes = 0x40201000, .nesting = true,
						  .default_domain = "DMA" };

static struct iommu_group *group;
static struct iommu_dev *dev;
static struct iommu_domain *parent, *dom;

/* The guest's memory: 4 MiB shared at GUEST, mapped with small pages, and 1 MiB of private memory behind it. */
#define GUEST_PRIVATE (GUEST + 4 * MIB)

static _Atomic uint64_t *entry(iova_t table, unsigned index)
{
	char *host = table < GUEST_PRIVATE ? lab.shared + (table - GUEST) : lab.private + (table - GUEST_PRIVATE);

	return (_Atomic uint64_t *)host + index;
}

/* Tables at the guest's first pages: one for each level, for the first GiB; @levels 4 or 5. The leaf tables are last. */
#define T0(i) (GUEST + (i) * PAGE) /* level 0, for 2 MiB from i * 2 MiB on; i < 4 */
#define T1 (GUEST + 4 * PAGE)
#define T2 (GUEST + 5 * PAGE)
#define T3 (GUEST + 6 * PAGE)
#define T4 (GUEST + 7 * PAGE)
#define DATA (GUEST + 16 * PAGE)

static void tables_make(void)
{
	for (unsigned i = 0; i < 4; i++)
		atomic_store(entry(T1, i), T0(i) | P | W | U);
	atomic_store(entry(T2, 0), T1 | P | W | U);
	atomic_store(entry(T3, 0), T2 | P | W | U);
	atomic_store(entry(T4, 0), T3 | P | W | U);
}

static void guest_map(iova_t iova, uint64_t value)
{
	atomic_store(entry(T0(iova >> 21), (iova >> 12) & 511), value);
}

static int setup(void **state)
{
	const struct iommu_stage1 s1 = { .table = T3, .levels = 4, .write_protect = true };

	if (lab_setup(state))
		return -1;
	group = lab_group();
	dev = lab_dev("0000:01:00.0", &unit_nest, group);
	if (iommu_group_claim(group, &dev) || iommu_domain_create(dev, &parent) ||
	    iommu_map_small(parent, GUEST, lab.phys_shared, 4 * MIB, RW) ||
	    iommu_map_small(parent, GUEST_PRIVATE, lab.phys_private, MIB, RW))
		return -1;
	tables_make();
	return iommu_domain_create_nested(parent, &s1, &dom) || iommu_group_attach(group, dom);
}

static int teardown(void **state)
{
	iommu_group_release(group);
	iommu_domain_destroy(dom);
	iommu_domain_destroy(parent);
	iommu_dev_destroy(dev);
	iommu_group_put(group);
	return lab_teardown(state);
}

static int peek(iova_t iova)
{
	char c = 0;

	return iommu_dma_read(dev, iova, &c, 1) ? -1 : c;
}

static int poke(iova_t iova, char c)
{
	return iommu_dma_write(dev, iova, &c, 1);
}

static void addresses_go_through_both_tables(void **state)
{
	char in[3 * PAGE], out[3 * PAGE];

	for (unsigned i = 0; i < sizeof(in); i++)
		in[i] = (char)(i * 31 + i / 256);
	guest_map(0x10000, DATA | P | W | U);
	guest_map(0x11000, (DATA + 5 * PAGE) | P | W | U);
	guest_map(0x12000, GUEST_PRIVATE | P | W | U);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(iommu_dma_write(dev, 0x10800, in, 2 * PAGE), 0);
		assert_memory_equal(lab.shared + 16 * PAGE + 0x800, in, 0x800);
		assert_memory_equal(lab.shared + 21 * PAGE, in + 0x800, PAGE);
		assert_memory_equal(lab.private, in + 0x800 + PAGE, 0x800);
		assert_int_equal(iommu_dma_read(dev, 0x10800, out, 2 * PAGE), 0);
		assert_memory_equal(in, out, 2 * PAGE);
		in[7]++;
	}
	assert_int_equal(peek(0x13000), -1);
	assert_int_equal(lab_fault(1).reason, IOMMU_FAULT_NOT_MAPPED);
}

static void a_table_may_be_in_private_memory(void **state)
{
	const struct iommu_stage1 s1 = { .table = GUEST_PRIVATE, .levels = 4 };
	struct iommu_domain *private;

	atomic_store(entry(GUEST_PRIVATE, 0), T2 | P | W | U);
	guest_map(0x10000, DATA | P | W | U);
	assert_int_equal(iommu_domain_create_nested(parent, &s1, &private), 0);
	assert_int_equal(iommu_group_replace(group, private), 0);
	assert_int_equal(poke(0x10000, 'p'), 0);
	assert_int_equal(lab.shared[16 * PAGE], 'p');
	assert_true(atomic_load(entry(GUEST_PRIVATE, 0)) & A);
	assert_int_equal(iommu_group_replace(group, dom), 0);
	iommu_domain_destroy(private);
}

static void five_levels_reach_further(void **state)
{
	const struct iommu_stage1 s1 = { .table = T4, .levels = 5 };
	struct iommu_domain *wide;

	guest_map(0x10000, DATA | P | W | U);
	lab.shared[16 * PAGE] = 'f';
	atomic_store(entry(T4, 3), T3 | P | W | U);
	atomic_store(entry(T4, 511), T3 | P | W | U);
	assert_int_equal(iommu_domain_create_nested(parent, &s1, &wide), 0);
	assert_int_equal(peek((3ull << 48) + 0x10000), -1); /* not canonical with four */
	assert_int_equal(iommu_group_replace(group, wide), 0);
	assert_int_equal(peek(0x10000), 'f');
	assert_int_equal(peek((3ull << 48) + 0x10000), 'f');
	assert_int_equal(peek(-(1ull << 48) + 0x10000), 'f'); /* entry 511: the upper half is signed */
	assert_int_equal(peek((300ull << 48) + 0x10000), -1);
	assert_int_equal(peek((511ull << 48) + 0x10000), -1);
	assert_int_equal(iommu_group_replace(group, dom), 0);
	iommu_domain_destroy(wide);
}

static void large_pages_of_both_are_cut_to_the_smaller(void **state)
{
	struct iommu_domain *other;
	struct iommu_domain *nested;
	const struct iommu_stage1 s1 = { .table = T3, .levels = 4 };

	/* 2 MiB and 1 GiB of the guest's over small pages. */
	atomic_store(entry(T1, 5), (GUEST + 2 * MIB) | PS | P | W | U);
	atomic_store(entry(T2, 2), GUEST | PS | P | W | U);
	lab.shared[2 * MIB + 77 * PAGE + 5] = 'm';
	assert_int_equal(peek(10 * MIB + 77 * PAGE + 5), 'm');
	assert_int_equal(peek(2 * GIB + 2 * MIB + 77 * PAGE + 5), 'm');
	assert_int_equal(poke(10 * MIB + 3, 'x'), 0);
	assert_int_equal(lab.shared[2 * MIB + 3], 'x');
	assert_int_equal(peek(2 * GIB + 8 * MIB), -1); /* the parent ends before */
	/* Small ones over a large one. */
	assert_int_equal(iommu_domain_create(dev, &other), 0);
	assert_int_equal(iommu_map(other, GUEST, lab.phys_shared, 4 * MIB, RW), 0);
	assert_int_equal(iommu_domain_create_nested(other, &s1, &nested), 0);
	assert_int_equal(iommu_group_replace(group, nested), 0);
	guest_map(0x10000, (GUEST + 2 * MIB) | P | W | U);
	guest_map(0x11000, (GUEST + MIB) | P | W | U);
	lab.shared[MIB] = 'y';
	assert_int_equal(peek(0x10003), 'x');
	assert_int_equal(peek(0x11000), 'y');
	assert_int_equal(peek(0x12000), -1);
	assert_int_equal(iommu_group_replace(group, dom), 0);
	iommu_domain_destroy(nested);
	iommu_domain_destroy(other);
	/* Bits that must be 0. */
	atomic_store(entry(T1, 6), (GUEST + 2 * MIB + PAGE * 2) | PS | P | W | U);
	assert_int_equal(peek(12 * MIB), -1);
	atomic_store(entry(T3, 1), GUEST | PS | P | W | U);
	assert_int_equal(peek(512 * GIB), -1);
}

static void rights_are_those_of_all_entries_and_the_parent(void **state)
{
	const uint64_t faults[] = { 0, 1, 2, 4 };
	unsigned n = 0;

	guest_map(0x10000, DATA | P | U);                        /* read only */
	guest_map(0x11000, DATA | P | W);                        /* the supervisor's */
	guest_map(0x12000, (GUEST_PRIVATE + MIB) | P | W | U);   /* below: read only */
	assert_int_equal(iommu_map(parent, GUEST_PRIVATE + MIB, lab.phys_private + MIB, PAGE, MEM_READ), 0);
	assert_int_equal(peek(0x10000), 0);
	assert_int_equal(poke(0x10000, 1), -EFAULT);
	assert_int_equal(lab_fault(faults[++n]).reason, IOMMU_FAULT_NO_PERMISSION);
	assert_int_equal(peek(0x11000), -1);
	assert_int_equal(lab_fault(faults[++n]).reason, IOMMU_FAULT_NO_PERMISSION);
	assert_int_equal(peek(0x12000), 0);
	assert_int_equal(poke(0x12000, 1), -EFAULT);
	assert_int_equal(poke(0x12000, 1), -EFAULT); /* the second time from what is remembered */
	assert_int_equal(lab_fault(faults[++n]).reason, IOMMU_FAULT_NO_PERMISSION);
	/* Nobody was written, so nothing is dirty. */
	assert_int_equal(atomic_load(entry(T0(0), 0x10)) & (A | D), A);
	assert_int_equal(atomic_load(entry(T0(0), 0x12)) & (A | D), A);
	/* A right that is missing above is missing. */
	guest_map(2 * MIB, DATA | P | W | U);
	atomic_store(entry(T1, 1), T0(1) | P | U);
	assert_int_equal(peek(2 * MIB), 0);
	assert_int_equal(poke(2 * MIB, 1), -EFAULT);
}

static void accessed_and_dirty_are_set_as_they_come(void **state)
{
	guest_map(0x10000, DATA | P | W | U);
	guest_map(0x11000, DATA | P | W | U);
	assert_int_equal(peek(0x10000), 0);
	assert_true(atomic_load(entry(T3, 0)) == (T2 | P | W | U | A));
	assert_true(atomic_load(entry(T2, 0)) == (T1 | P | W | U | A));
	assert_true(atomic_load(entry(T1, 0)) == (T0(0) | P | W | U | A));
	assert_true(atomic_load(entry(T0(0), 0x10)) == (DATA | P | W | U | A));
	assert_true(atomic_load(entry(T0(0), 0x11)) == (DATA | P | W | U));
	assert_int_equal(poke(0x10000, 1), 0); /* what a read found is not enough for a write */
	assert_true(atomic_load(entry(T0(0), 0x10)) == (DATA | P | W | U | A | D));
	assert_int_equal(poke(0x11000, 1), 0);
	assert_true(atomic_load(entry(T0(0), 0x11)) == (DATA | P | W | U | A | D));
}

/* A table that the device may not write cannot get its bits; one that has them can be used. */
static void a_table_that_is_read_only_must_have_its_bits(void **state)
{
	const iova_t table = GUEST_PRIVATE + MIB;
	const struct iommu_stage1 s1 = { .table = table, .levels = 4 };
	struct iommu_domain *nested;

	guest_map(0x10000, DATA | P | W | U);
	assert_int_equal(iommu_map(parent, table, lab.phys_private + MIB, PAGE, MEM_READ), 0);
	assert_int_equal(iommu_domain_create_nested(parent, &s1, &nested), 0);
	assert_int_equal(iommu_group_replace(group, nested), 0);
	atomic_store(entry(table, 0), T2 | P | W | U);
	assert_int_equal(peek(0x10000), -1);
	atomic_store(entry(table, 0), T2 | P | W | U | A);
	assert_int_equal(peek(0x10000), 0);
	assert_int_equal(iommu_group_replace(group, dom), 0);
	iommu_domain_destroy(nested);
}

static void what_the_guest_changes_shows_when_it_says_so(void **state)
{
	lab.shared[16 * PAGE] = 'a';
	lab.shared[17 * PAGE] = 'b';
	guest_map(0x10000, DATA | P | W | U);
	assert_int_equal(peek(0x10000), 'a');
	guest_map(0x10000, (DATA + PAGE) | P | W | U);
	iommu_domain_invalidate(dom, 0x10000, 0x10fff);
	assert_int_equal(peek(0x10000), 'b');
	guest_map(0x10000, 0);
	iommu_domain_invalidate(dom, 0, UINT64_MAX);
	assert_int_equal(peek(0x10000), -1);
	guest_map(0x10000, DATA | P | W | U); /* what was not there is not remembered */
	assert_int_equal(peek(0x10000), 'a');
}

static void an_unmap_in_the_parent_ends_everything(void **state)
{
	guest_map(0x10000, DATA | P | W | U);
	assert_int_equal(peek(0x10000), 0);
	assert_true(iommu_unmap(parent, DATA, PAGE) == PAGE);
	assert_int_equal(peek(0x10000), -1);
	assert_int_equal(iommu_map(parent, DATA, lab.phys_shared + 30 * PAGE, PAGE, RW), 0);
	lab.shared[30 * PAGE] = 'z';
	assert_int_equal(peek(0x10000), 'z');
	assert_true(iommu_unmap(parent, T1, PAGE) == PAGE); /* one of the tables */
	assert_int_equal(peek(0x10000), -1);
	assert_int_equal(iommu_map(parent, T1, lab.phys_shared + (T1 - GUEST), PAGE, RW), 0);
	assert_int_equal(peek(0x10000), 'z');
}

/* ---- what the parent knows is written ---- */

static struct {
	unsigned n;
	iova_t at[16];
} seen;

static void note(void *ctx, iova_t base, uint64_t size)
{
	assert_true(seen.n < ARRAY_SIZE(seen.at));
	seen.at[seen.n++] = base;
}

static unsigned look(bool clear)
{
	seen.n = 0;
	iommu_domain_dirty(parent, 0, UINT64_MAX, clear, note, NULL);
	return seen.n;
}

static void the_parent_remembers_what_comes_through_children(void **state)
{
	guest_map(0x10000, DATA | P | W | U);
	assert_int_equal(poke(0x10000, 1), 0);
	iommu_domain_track(parent, true);
	assert_int_equal(look(true), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(peek(0x10000), 1);
		assert_int_equal(look(false), 0);
		assert_int_equal(poke(0x10000, 1), 0); /* remembered by the thread before, and not by the parent */
		assert_int_equal(look(true), 1);
		assert_true(seen.at[0] == DATA);
		assert_int_equal(poke(0x10000, 1), 0);
		assert_int_equal(look(true), 1);
	}
	/* The tables are memory too: bits that the walk sets are writes. */
	guest_map(0x11000, DATA | P | W | U);
	assert_int_equal(peek(0x11000), 1);
	assert_int_equal(look(true), 1);
	assert_true(seen.at[0] == T0(0));
	iommu_domain_track(parent, false);
	assert_int_equal(poke(0x10000, 2), 0);
	assert_int_equal(look(true), 0);
}

/* ---- who can be what ---- */

static void what_cannot_be_nested_is_refused(void **state)
{
	struct iommu_stage1 s1 = { .table = T3, .levels = 4 };
	struct iommu_domain *out = NULL, *plain;

	assert_int_equal(iommu_domain_create_nested(dom, &s1, &out), -EINVAL);
	assert_int_equal(iommu_domain_create_for(lab.iommu, &unit_dma, &plain), 0);
	assert_int_equal(iommu_domain_create_nested(plain, &s1, &out), -EINVAL);
	iommu_domain_destroy(plain);
	s1.levels = 3;
	assert_int_equal(iommu_domain_create_nested(parent, &s1, &out), -EINVAL);
	s1 = (struct iommu_stage1){ .table = T3 + 8, .levels = 4 };
	assert_int_equal(iommu_domain_create_nested(parent, &s1, &out), -EINVAL);
	s1.table = 1ull << 52;
	assert_int_equal(iommu_domain_create_nested(parent, &s1, &out), -EINVAL);
	assert_null(out);
	assert_int_equal(iommu_map(dom, 0x1000, lab.phys_shared, PAGE, RW), -EINVAL);
	assert_true(iommu_unmap(dom, 0, UINT64_MAX) == 0);
}

/* For who tests without devices. */
static void a_domain_without_tables_lets_nothing_pass(void **state)
{
	struct iommu_domain *none;

	assert_int_equal(iommu_domain_create_nested(parent, NULL, &none), 0);
	assert_int_equal(iommu_group_replace(group, none), 0);
	assert_int_equal(peek(0x10000), -1);
	assert_int_equal(peek(GUEST), -1);
	assert_false(iommu_domain_mark(none, GUEST));
	assert_int_equal(iommu_group_replace(group, dom), 0);
	iommu_domain_destroy(none);
}

static void children_are_as_coherent_as_their_parent(void **state)
{
	struct iommu_group *g = lab_group();
	struct iommu_dev *weak = lab_dev("weak", &unit_nest_weak, g);

	assert_int_equal(iommu_group_attach(g, dom), 0);
	assert_false(iommu_domain_enforce_coherency(parent));
	iommu_group_detach(g);
	assert_true(iommu_domain_enforce_coherency(parent));
	assert_int_equal(iommu_group_attach(g, dom), -EINVAL);
	iommu_dev_destroy(weak);
	iommu_group_put(g);
}

/* ---- threads ---- */

static atomic_bool stop;
static atomic_uint moved;

static void dma_main(void *arg)
{
	static char zeros[2 * PAGE];

	while (!atomic_load(&stop)) {
		if (iommu_dma_write(dev, 0x10000, zeros, sizeof(zeros)) == 0)
			atomic_fetch_add(&moved, 1);
		sched_yield();
	}
}

static void let_them_run(void)
{
	unsigned now = atomic_load(&moved);

	while (atomic_load(&moved) < now + 2)
		sched_yield();
}

/* Memory keeps what is stored there after @take has returned. */
static void nothing_comes_late(void (*take)(void), void (*give)(void))
{
	_Atomic uint64_t *word = (_Atomic uint64_t *)(lab.shared + 16 * PAGE);
	struct thread t[2];

	atomic_store(&stop, false);
	for (int i = 0; i < 2; i++)
		assert_int_equal(thread_start(&t[i], "dma", dma_main, NULL), 0);
	for (int i = 0; i < 300; i++) {
		give();
		let_them_run();
		take();
		for (unsigned n = 0; n < PAGE / 4; n += 64)
			atomic_store(&word[n], UINT64_MAX);
		sched_yield();
		for (unsigned n = 0; n < PAGE / 4; n += 64)
			assert_true(atomic_load(&word[n]) == UINT64_MAX);
	}
	atomic_store(&stop, true);
	for (int i = 0; i < 2; i++)
		thread_join(&t[i]);
}

static void guest_give(void)
{
	guest_map(0x10000, DATA | P | W | U);
	guest_map(0x11000, (DATA + PAGE) | P | W | U);
}

static void guest_take(void)
{
	guest_map(0x10000, 0);
	guest_map(0x11000, 0);
	iommu_domain_invalidate(dom, 0x10000, 0x11fff);
}

static void parent_give(void)
{
	guest_give();
	assert_int_equal(iommu_map(parent, DATA, lab.phys_shared + 16 * PAGE, 2 * PAGE, RW), 0);
}

static void parent_take(void)
{
	assert_true(iommu_unmap(parent, DATA, 2 * PAGE) == 2 * PAGE);
}

static void after_an_invalidation_no_dma_uses_what_was(void **state)
{
	nothing_comes_late(guest_take, guest_give);
}

static void after_an_unmap_in_the_parent_no_dma_uses_what_was(void **state)
{
	parent_take();
	nothing_comes_late(parent_take, parent_give);
}

/* Bits that the walk sets do not undo what the guest stores at the same time. */
static void the_guest_and_the_walk_share_an_entry(void **state)
{
	struct thread t;

	guest_give();
	atomic_store(&stop, false);
	assert_int_equal(thread_start(&t, "dma", dma_main, NULL), 0);
	for (uint64_t i = 0; i < 3000; i++) {
		const uint64_t mine = ((i & 1 ? DATA : DATA + 3 * PAGE) | P | W | U) + (i % 512 << 52);

		atomic_store(entry(T0(0), 0x10), mine);
		iommu_domain_invalidate(dom, 0, UINT64_MAX);
		assert_true((atomic_load(entry(T0(0), 0x10)) & ~(A | D)) == mine);
	}
	atomic_store(&stop, true);
	thread_join(&t);
}

/* Children come and go while the parent changes. */
static void churn_main(void *arg)
{
	const struct iommu_stage1 s1 = { .table = T3, .levels = 4 };

	while (!atomic_load(&stop)) {
		struct iommu_domain *child = NULL;

		assert_int_equal(iommu_domain_create_nested(parent, &s1, &child), 0);
		assert_int_equal(iommu_group_replace(group, child), 0);
		sched_yield();
		assert_int_equal(iommu_group_replace(group, dom), 0);
		iommu_domain_destroy(child);
	}
}

static void children_come_and_go_while_the_parent_changes(void **state)
{
	struct thread t[2];

	atomic_store(&stop, false);
	assert_int_equal(thread_start(&t[0], "dma", dma_main, NULL), 0);
	assert_int_equal(thread_start(&t[1], "churn", churn_main, NULL), 0);
	parent_take();
	for (int i = 0; i < 300; i++) {
		parent_give();
		iommu_domain_track(parent, i & 1);
		let_them_run();
		look(true);
		parent_take();
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
		T(addresses_go_through_both_tables),
		T(a_table_may_be_in_private_memory),
		T(five_levels_reach_further),
		T(large_pages_of_both_are_cut_to_the_smaller),
		T(rights_are_those_of_all_entries_and_the_parent),
		T(accessed_and_dirty_are_set_as_they_come),
		T(a_table_that_is_read_only_must_have_its_bits),
		T(what_the_guest_changes_shows_when_it_says_so),
		T(an_unmap_in_the_parent_ends_everything),
		T(the_parent_remembers_what_comes_through_children),
		T(what_cannot_be_nested_is_refused),
		T(a_domain_without_tables_lets_nothing_pass),
		T(children_are_as_coherent_as_their_parent),
		T(after_an_invalidation_no_dma_uses_what_was),
		T(after_an_unmap_in_the_parent_no_dma_uses_what_was),
		T(the_guest_and_the_walk_share_an_entry),
		T(children_come_and_go_while_the_parent_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
