/* SPDX-License-Identifier: MIT */
/* DMA: translation, its cache, faults and what they remember, peers, messages, devices without an IOMMU. */
#include "iommu_lab.h"

static struct iommu_group *group;
static struct iommu_dev *dev;
static struct iommu_domain *dom;
static int user;

static int setup(void **state)
{
	if (lab_setup(state))
		return -1;
	group = lab_group();
	dev = lab_dev("0000:01:00.0", &unit_dma, group);
	return iommu_group_claim(group, &user) || iommu_domain_create(dev, &dom) || iommu_group_attach(group, dom);
}

static int teardown(void **state)
{
	iommu_group_release(group);
	iommu_domain_destroy(dom);
	iommu_dev_destroy(dev);
	iommu_group_put(group);
	return lab_teardown(state);
}

static void no_faults(void)
{
	struct iommu_fault f[IOMMU_FAULTS];
	uint64_t total;

	assert_int_equal(iommu_faults(lab.iommu, f, &total), 0);
	assert_int_equal(total, 0);
}

static void bytes_move_across_pages_of_all_kinds(void **state)
{
	static char in[64 * 1024], out[64 * 1024];

	for (unsigned i = 0; i < sizeof(in); i++)
		in[i] = (char)(i * 31 + i / 256);
	/* 16 pages: shared, private, shared backwards, private; sizes from one page on. */
	assert_int_equal(iommu_map(dom, 0x0000, lab.phys_shared, 5 * PAGE, RW), 0);
	assert_int_equal(iommu_map(dom, 0x5000, lab.phys_private, 5 * PAGE, RW), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(iommu_map(dom, 0xa000 + i * PAGE, lab.phys_shared + (20 - i) * PAGE, PAGE, RW), 0);
	assert_int_equal(iommu_map(dom, 0xd000, lab.phys_private + 8 * PAGE, 3 * PAGE, RW), 0);
	assert_int_equal(iommu_dma_write(dev, 0, in, sizeof(in)), 0);
	assert_int_equal(iommu_dma_read(dev, 0, out, sizeof(out)), 0);
	assert_memory_equal(in, out, sizeof(in));
	assert_memory_equal(lab.shared, in, 5 * PAGE);
	assert_memory_equal(lab.private, in + 5 * PAGE, 5 * PAGE);
	assert_memory_equal(lab.shared + 19 * PAGE, in + 11 * PAGE, PAGE);
	for (size_t at = 1; at < sizeof(in); at = at * 3 + 1) {
		for (size_t n = 0; n <= sizeof(in) - at; n = n * 2 + 1) {
			memset(out, 0, sizeof(out));
			assert_int_equal(iommu_dma_read(dev, at, out, n), 0);
			assert_memory_equal(out, in + at, n);
		}
	}
	no_faults();
}

static void neighbours_by_address_move_in_one_access(void **state)
{
	char buf[8 * PAGE];

	assert_int_equal(iommu_map(dom, 0, lab.phys_private, 8 * PAGE, RW), 0);
	assert_int_equal(iommu_dma_read(dev, 0, buf, sizeof(buf)), 0);
	assert_int_equal(atomic_load(&lab.mm.accesses), 1);
}

/* The TLB must not outlive an unmap, a change of domain, or a domain that is made where one was. */
static void a_translation_that_changed_is_not_remembered(void **state)
{
	struct iommu_domain *second;
	char c;

	lab.shared[0] = 'a';
	lab.shared[PAGE] = 'b';
	lab.shared[2 * PAGE] = 'c';
	assert_int_equal(iommu_map(dom, 0, lab.phys_shared, PAGE, RW), 0);
	assert_int_equal(iommu_dma_read(dev, 0, &c, 1), 0);
	assert_int_equal(c, 'a');
	assert_true(iommu_unmap(dom, 0, PAGE) == PAGE);
	assert_int_equal(iommu_dma_read(dev, 0, &c, 1), -EFAULT);
	assert_int_equal(iommu_map(dom, 0, lab.phys_shared + PAGE, PAGE, RW), 0);
	assert_int_equal(iommu_dma_read(dev, 0, &c, 1), 0);
	assert_int_equal(c, 'b');

	assert_int_equal(iommu_domain_create(dev, &second), 0);
	assert_int_equal(iommu_map(second, 0, lab.phys_shared + 2 * PAGE, PAGE, RW), 0);
	iommu_group_detach(group);
	assert_int_equal(iommu_dma_read(dev, 0, &c, 1), -EFAULT);
	assert_int_equal(iommu_group_attach(group, second), 0);
	assert_int_equal(iommu_dma_read(dev, 0, &c, 1), 0);
	assert_int_equal(c, 'c');
	iommu_group_detach(group);
	iommu_domain_destroy(second);

	assert_int_equal(iommu_domain_create(dev, &second), 0);
	assert_int_equal(iommu_group_attach(group, second), 0);
	assert_int_equal(iommu_dma_read(dev, 0, &c, 1), -EFAULT);
	iommu_group_detach(group);
	iommu_domain_destroy(second);
	assert_int_equal(iommu_group_attach(group, dom), 0);
	assert_int_equal(iommu_dma_read(dev, 0, &c, 1), 0);
	assert_int_equal(c, 'b');
}

static void large_pages_translate_everywhere(void **state)
{
	char c;

	assert_int_equal(iommu_map(dom, 2 * MIB, lab.phys_shared + 2 * MIB, 4 * MIB, RW), 0);
	for (uint64_t at = 2 * MIB; at < 6 * MIB; at += 333333) {
		lab.shared[at] = (char)(at / 333333 + 1);
		assert_int_equal(iommu_dma_read(dev, at, &c, 1), 0);
		assert_int_equal(c, lab.shared[at]);
	}
	assert_true(iommu_unmap(dom, 4 * MIB, 2 * MIB) == 2 * MIB);
	assert_int_equal(iommu_dma_read(dev, 4 * MIB - 1, &c, 1), 0);
	assert_int_equal(iommu_dma_read(dev, 4 * MIB, &c, 1), -EFAULT);
}

static void permissions_hold_both_ways(void **state)
{
	struct iommu_fault f;
	char c = 0;

	assert_int_equal(iommu_map(dom, 0, lab.phys_shared, PAGE, MEM_READ), 0);
	assert_int_equal(iommu_map(dom, PAGE, lab.phys_shared + PAGE, PAGE, MEM_WRITE), 0);
	for (int i = 0; i < 2; i++) { /* the second time from the cache */
		assert_int_equal(iommu_dma_read(dev, 0, &c, 1), 0);
		assert_int_equal(iommu_dma_write(dev, PAGE, &c, 1), 0);
		assert_int_equal(iommu_dma_write(dev, 0, &c, 1), -EFAULT);
		f = lab_fault(2 * i + 1);
		assert_int_equal(f.reason, IOMMU_FAULT_NO_PERMISSION);
		assert_true(f.write);
		assert_int_equal(iommu_dma_read(dev, PAGE, &c, 1), -EFAULT);
		assert_false(lab_fault(2 * i + 2).write);
	}
}

static void a_fault_names_the_address_and_what_lies_before_has_moved(void **state)
{
	char buf[3 * PAGE];
	struct iommu_fault f;

	assert_int_equal(iommu_map(dom, 0x10000, lab.phys_shared, 2 * PAGE, RW), 0);
	memset(buf, 'w', sizeof(buf));
	assert_int_equal(iommu_dma_write(dev, 0x10800, buf, sizeof(buf)), -EFAULT);
	f = lab_fault(1);
	assert_string_equal(f.device, "0000:01:00.0");
	assert_true(f.iova == 0x12000 && f.length == sizeof(buf) && f.write);
	assert_int_equal(f.reason, IOMMU_FAULT_NOT_MAPPED);
	assert_false(f.was_mapped);
	assert_true(f.when > 0);
	assert_int_equal(lab.shared[0x800 - 1], 0);
	assert_memory_equal(lab.shared + 0x800, buf, 2 * PAGE - 0x800);
}

static void a_fault_remembers_what_was_unmapped(void **state)
{
	struct iommu_fault f;
	char c;

	assert_int_equal(iommu_map(dom, 0x10000, lab.phys_shared, 4 * PAGE, RW), 0);
	assert_true(iommu_unmap(dom, 0x10000, 4 * PAGE) == 4 * PAGE);
	assert_int_equal(iommu_map(dom, 0x10000, lab.phys_shared, PAGE, RW), 0);
	assert_true(iommu_unmap(dom, 0x8000, 0x10000) == PAGE);
	assert_int_equal(iommu_dma_read(dev, 0x12345, &c, 1), -EFAULT);
	f = lab_fault(1);
	assert_true(f.was_mapped && f.was_start == 0x10000 && f.was_last == 0x13fff);
	assert_true(f.unmapped_at > 0 && f.unmapped_at <= f.when);
	assert_int_equal(iommu_dma_read(dev, 0x10345, &c, 1), -EFAULT); /* the later one of the two */
	f = lab_fault(2);
	assert_true(f.was_mapped && f.was_start == 0x10000 && f.was_last == 0x10fff);
	for (unsigned i = 0; i < 40; i++) {
		assert_int_equal(iommu_map(dom, 0x100000, lab.phys_shared, PAGE, RW), 0);
		assert_true(iommu_unmap(dom, 0x100000, PAGE) == PAGE);
	}
	assert_int_equal(iommu_dma_read(dev, 0x10345, &c, 1), -EFAULT); /* forgotten */
	assert_false(lab_fault(3).was_mapped);
}

static void the_last_faults_are_kept_and_all_are_counted(void **state)
{
	struct iommu_fault f[IOMMU_FAULTS];
	uint64_t total;
	char c;

	for (unsigned i = 0; i < IOMMU_FAULTS + 10; i++)
		assert_int_equal(iommu_dma_read(dev, i * PAGE, &c, 1), -EFAULT);
	assert_int_equal(iommu_faults(lab.iommu, f, &total), IOMMU_FAULTS);
	assert_int_equal(total, IOMMU_FAULTS + 10);
	assert_true(f[0].iova == 10 * PAGE);
	assert_true(f[IOMMU_FAULTS - 1].iova == (IOMMU_FAULTS + 9) * PAGE);
}

static void memory_that_the_caller_took_away_is_an_abort(void **state)
{
	char buf[4 * PAGE];
	struct iommu_fault f;

	assert_int_equal(iommu_map(dom, 0x0000, lab.phys_shared, 4 * PAGE, RW), 0);
	assert_int_equal(iommu_map(dom, 0x8000, lab.phys_private, 4 * PAGE, RW), 0);
	assert_int_equal(iommu_dma_read(dev, 0, buf, sizeof(buf)), 0);
	fake_take_faults();
	assert_int_equal(ftruncate(lab.mm.area[0].memfd, 2 * PAGE), 0);
	assert_int_equal(iommu_dma_read(dev, 0, buf, 2 * PAGE), 0);
	assert_int_equal(iommu_dma_read(dev, 0x800, buf, 3 * PAGE), -EFAULT);
	f = lab_fault(1);
	assert_int_equal(f.reason, IOMMU_FAULT_ABORT);
	assert_true(f.iova == 0x2000);
	assert_int_equal(mem_stale(lab.mem), 1);
	assert_int_equal(iommu_dma_write(dev, 0x3000, buf, 1), -EFAULT);
	assert_int_equal(mem_stale(lab.mem), 2);
	lab.mm.area[1].gone = true;
	assert_int_equal(iommu_dma_read(dev, 0x9000, buf, 4), -EFAULT);
	f = lab_fault(3);
	assert_int_equal(f.reason, IOMMU_FAULT_ABORT);
	assert_true(f.iova == 0x9000);
}

static void an_access_may_end_at_the_end_of_everything_but_not_go_round(void **state)
{
	struct iommu_group *g = lab_group();
	struct iommu_dev *d = lab_dev("wide", &unit_wide, g);
	struct iommu_domain *wide;
	char buf[64] = "";
	bool w;

	assert_int_equal(iommu_domain_create(d, &wide), 0);
	assert_int_equal(iommu_group_attach(g, wide), 0);
	assert_int_equal(iommu_map(wide, UINT64_MAX - 2 * MIB + 1, lab.phys_shared, 2 * MIB, RW), 0);
	assert_int_equal(iommu_map(wide, 0, lab.phys_shared + 2 * MIB, PAGE, RW), 0);
	memcpy(lab.shared + 2 * MIB - 8, "the end", 8);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(iommu_dma_read(d, UINT64_MAX - 7, buf, 8), 0);
		assert_string_equal(buf, "the end");
		assert_int_equal(iommu_dma_read(d, UINT64_MAX - 7, buf, 9), -EFAULT);
		assert_int_equal(iommu_dma_write(d, UINT64_MAX - 7, buf, 9), -EFAULT);
	}
	assert_int_equal(iommu_dma_copy(d, 0, UINT64_MAX - 7, 9, &w), -EFAULT);
	assert_false(w);
	assert_memory_equal(lab.shared + 2 * MIB, "the end", 8);
	assert_int_equal(iommu_dma_copy(d, UINT64_MAX - 7, 0, 9, &w), -EFAULT);
	assert_true(w);
	iommu_group_detach(g);
	iommu_domain_destroy(wide);
	iommu_dev_destroy(d);
	iommu_group_put(g);
}

/* ---- copies ---- */

static void copies_work_between_all_kinds(void **state)
{
	static char want[3 * MIB];
	const iova_t at[] = { 0x1000000, 0x2000000 }; /* shared, private; 4 MiB each, halves as source and target */
	bool w;

	assert_int_equal(iommu_map(dom, at[0], lab.phys_shared, 4 * MIB, RW), 0);
	assert_int_equal(iommu_map(dom, at[1], lab.phys_private, 4 * MIB, RW), 0);
	for (unsigned i = 0; i < 4; i++) {
		char *from = i & 1 ? lab.private : lab.shared, *to = i & 2 ? lab.private : lab.shared;

		for (unsigned n = 0; n < 2 * MIB; n++)
			from[n] = (char)(n * 13 + n / 4096 + i);
		memcpy(want, from + 3, 2 * MIB - 100);
		assert_int_equal(iommu_dma_copy(dev, at[i >> 1] + 2 * MIB + 7, at[i & 1] + 3, 2 * MIB - 100, &w), 0);
		assert_memory_equal(to + 2 * MIB + 7, want, 2 * MIB - 100);
	}
	no_faults();
}

static void a_copy_tells_which_end_failed(void **state)
{
	bool w;

	assert_int_equal(iommu_map(dom, 0x0000, lab.phys_shared, 2 * PAGE, RW), 0);
	assert_int_equal(iommu_map(dom, 0x8000, lab.phys_shared + 8 * PAGE, 3 * PAGE, RW), 0);
	w = true;
	lab.shared[2 * PAGE - 1] = 'x';
	assert_int_equal(iommu_dma_copy(dev, 0x8000, 0x0000, 3 * PAGE, &w), -EFAULT);
	assert_false(w);
	assert_int_equal(lab.shared[10 * PAGE - 1], 'x'); /* what could be read has arrived */
	assert_true(lab_fault(1).iova == 0x2000);
	assert_int_equal(iommu_dma_copy(dev, 0x0000, 0x8000, 3 * PAGE, &w), -EFAULT);
	assert_true(w);
	assert_true(lab_fault(2).iova == 0x2000 && lab_fault(2).write);
	assert_int_equal(iommu_dma_copy(dev, 0x5000, 0x6000, 1, &w), -EFAULT); /* the source comes first */
	assert_false(w);
	assert_int_equal(iommu_dma_copy(dev, 0x5000, 0x6000, 0, &w), 0);
	lab_fault(3);
}

/* ---- where DMA does not go to memory ---- */

static unsigned bar_writes;
static bool bar_refuses;

static int bar_read(void *ctx, uint64_t offset, void *dst, size_t n)
{
	if (bar_refuses)
		return -EFAULT;
	memset(dst, (int)(offset / PAGE) + 1, n);
	/* A peer that does DMA of its own while it answers. */
	return ctx ? iommu_dma_read(ctx, 0x100000, dst, n) : 0;
}

static int bar_write(void *ctx, uint64_t offset, const void *src, size_t n)
{
	bar_writes++;
	return bar_refuses ? -EFAULT : 0;
}

static const struct mem_window_ops bar_ops = { .read = bar_read, .write = bar_write };

/* MAP-15 as far as the IOMMU goes: the mapping stays, the target aborts */
static void peers_are_reached_by_their_bus_addresses(void **state)
{
	struct mem_window *w;
	char buf[PAGE + 4];

	bar_refuses = false;
	bar_writes = 0;
	assert_int_equal(mem_window_add(lab.mem, 0xe0000000, 4 * PAGE, &bar_ops, NULL, &w), 0);
	assert_int_equal(iommu_map(dom, 0x10000, 0xe0000000, 4 * PAGE, RW), 0);
	assert_int_equal(iommu_dma_read(dev, 0x10ffe, buf, 4), 0);
	assert_memory_equal(buf, "\1\1\2\2", 4);
	assert_int_equal(iommu_dma_write(dev, 0x10ffc, buf, PAGE + 4), 0);
	assert_int_equal(bar_writes, 2);
	bar_refuses = true;
	assert_int_equal(iommu_dma_write(dev, 0x11000, buf, 4), -EFAULT);
	assert_int_equal(bar_writes, 3); /* asked once */
	assert_int_equal(lab_fault(1).reason, IOMMU_FAULT_ABORT);
	mem_window_remove(w);
	assert_int_equal(iommu_dma_read(dev, 0x11000, buf, 4), -EFAULT);
	assert_int_equal(lab_fault(2).reason, IOMMU_FAULT_ABORT);
}

static void a_peer_may_do_dma_while_it_answers(void **state)
{
	struct mem_window *w;
	char c;

	bar_refuses = false;
	assert_int_equal(mem_window_add(lab.mem, 0xe0000000, PAGE, &bar_ops, dev, &w), 0);
	assert_int_equal(iommu_map(dom, 0x10000, 0xe0000000, PAGE, RW), 0);
	assert_int_equal(iommu_map(dom, 0x100000, lab.phys_shared, PAGE, RW), 0);
	lab.shared[0] = 'p';
	assert_int_equal(iommu_dma_read(dev, 0x10000, &c, 1), 0);
	assert_int_equal(c, 'p');
	assert_true(iommu_unmap(dom, 0, GIB) == 2 * PAGE);
	mem_window_remove(w);
}

static void messages_go_nowhere_and_are_no_faults(void **state)
{
	uint32_t data = 0x41;

	assert_int_equal(iommu_dma_write(dev, 0xfee00000, &data, 4), 0);
	assert_int_equal(iommu_dma_write(dev, 0xfeeffffc, &data, 4), 0);
	no_faults();
	assert_int_equal(iommu_dma_write(dev, 0xfef00000, &data, 4), -EFAULT);
	assert_int_equal(iommu_dma_read(dev, 0xfee00000, &data, 4), -EFAULT);
	/* A page that covers the window does not change that, cached or not. */
	assert_int_equal(iommu_map(dom, 0xfe800000, lab.phys_private, 8 * MIB, MEM_WRITE), 0);
	assert_int_equal(iommu_map(dom, 0x40000000, lab.phys_shared, MIB, RW), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(iommu_dma_write(dev, 0xfef00000 + i, "x", 1), 0);
		assert_int_equal(iommu_dma_write(dev, 0xfee01000, "y", 1), 0);
		assert_int_equal(iommu_dma_write(dev, 0xfedffffe, "abcd", 4), 0);
	}
	assert_int_equal(lab.private[7 * MIB], 'x');
	assert_int_equal(lab.private[6 * MIB + 0x1000], 0);
	assert_memory_equal(lab.private + 6 * MIB - 2, "ab\0", 3);
	iommu_group_detach(group);
	assert_int_equal(iommu_dma_write(dev, 0xfee00000, &data, 4), 0); /* also while blocked */
	assert_int_equal(iommu_group_attach(group, dom), 0);
	lab_fault(2);
}

static void a_device_without_iommu_reaches_machine_memory(void **state)
{
	struct iommu_dev *d = lab_dev("bare", NULL, NULL);
	char buf[3 * PAGE];

	lab.shared[PAGE + 5] = 's';
	lab.private[5] = 'p';
	assert_int_equal(iommu_dma_read(d, lab.phys_shared + PAGE + 5, buf, 2 * PAGE), 0);
	assert_int_equal(buf[0], 's');
	assert_int_equal(iommu_dma_read(d, lab.phys_private + 5, buf, 1), 0);
	assert_int_equal(buf[0], 'p');
	assert_int_equal(iommu_dma_read(d, lab.phys_shared + 8 * MIB - 4, buf, 8), -EFAULT);
	assert_int_equal(lab_fault(1).reason, IOMMU_FAULT_ABORT);
	assert_int_equal(iommu_dma_read(d, 0x1234, buf, 8), -EFAULT);
	assert_int_equal(iommu_dma_read(d, UINT64_MAX, buf, 8), -EFAULT);
	iommu_dev_destroy(d);
}

static void a_passthrough_default_domain_lets_kernel_drivers_through(void **state)
{
	struct iommu_group *g = lab_group();
	struct iommu_dev *d = lab_dev("id", &unit_small, g);
	char c;

	lab.shared[3] = 'i';
	assert_int_equal(iommu_dma_read(d, lab.phys_shared + 3, &c, 1), 0);
	assert_int_equal(c, 'i');
	assert_int_equal(iommu_group_claim(g, &user), 0);
	assert_int_equal(iommu_dma_read(d, lab.phys_shared + 3, &c, 1), -EFAULT);
	iommu_group_release(g);
	iommu_dev_destroy(d);
	iommu_group_put(g);
}

static void statistics_count_accesses_and_bytes(void **state)
{
	struct iommu_stats s;
	char buf[100];
	bool w;

	assert_int_equal(iommu_map(dom, 0, lab.phys_shared, 4 * PAGE, RW), 0);
	for (int i = 0; i < 10; i++) {
		iommu_dma_read(dev, 0, buf, 100);
		iommu_dma_write(dev, 0, buf, 10);
	}
	iommu_dma_copy(dev, PAGE, 0, 50, &w);
	iommu_stats(lab.iommu, &s);
	assert_int_equal(s.reads, 11);
	assert_int_equal(s.writes, 11);
	assert_int_equal(s.bytes, 1200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#undef T
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(bytes_move_across_pages_of_all_kinds),
		T(neighbours_by_address_move_in_one_access),
		T(a_translation_that_changed_is_not_remembered),
		T(large_pages_translate_everywhere),
		T(permissions_hold_both_ways),
		T(a_fault_names_the_address_and_what_lies_before_has_moved),
		T(a_fault_remembers_what_was_unmapped),
		T(the_last_faults_are_kept_and_all_are_counted),
		T(memory_that_the_caller_took_away_is_an_abort),
		T(an_access_may_end_at_the_end_of_everything_but_not_go_round),
		T(copies_work_between_all_kinds),
		T(a_copy_tells_which_end_failed),
		T(peers_are_reached_by_their_bus_addresses),
		T(a_peer_may_do_dma_while_it_answers),
		T(messages_go_nowhere_and_are_no_faults),
		T(a_device_without_iommu_reaches_machine_memory),
		T(a_passthrough_default_domain_lets_kernel_drivers_through),
		T(statistics_count_accesses_and_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
