/* SPDX-License-Identifier: MIT */
/*
 * Everything at once with what the test interface can do: mock devices come, move and go with and without PASIDs while
 * what they are attached to is made and destroyed by others who guess ids; virtual IOMMUs and all that belongs to them;
 * accesses, dma-bufs, queues of faults and of events; and contexts that end with calls of others under way. Nothing is
 * expected of any one call but that it ends; of all of them, that nothing is left over.
 */
#include "race_mock.h"
#include <poll.h>

#define ROUNDS 6000

/* ---- threads ---- */

static void map_one(struct dice *d)
{
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };
	struct iommu_ioas_map m = { .size = sizeof(m), .flags = RW | (roll(d, 2) ? IOMMU_IOAS_MAP_FIXED_IOVA : 0),
				    .ioas_id = guess(d, SPACE), .user_va = roll(d, 64) * PAGE, .length = (roll(d, 8) + 1) * PAGE,
				    .iova = HOME + roll(d, 16) * PAGE };
	struct iommu_ioas_unmap u = { .size = sizeof(u), .ioas_id = guess(d, SPACE), .iova = HOME + roll(d, 8) * PAGE,
				      .length = (roll(d, 16) + 1) * PAGE };
	struct iommu_ioas_unmap all = { .size = sizeof(all), .ioas_id = guess(d, SPACE), .length = UINT64_MAX };
	struct iommu_ioas_copy c = { .size = sizeof(c), .flags = RW, .dst_ioas_id = guess(d, SPACE), .src_ioas_id = guess(d, SPACE),
				     .length = (roll(d, 4) + 1) * PAGE, .src_iova = HOME + roll(d, 16) * PAGE };
	struct iommu_option o = { .size = sizeof(o), .option_id = IOMMU_OPTION_HUGE_PAGES, .object_id = guess(d, SPACE),
				  .val64 = roll(d, 2) };

	switch (roll(d, 8)) {
	case 0: ask(d, IOMMU_IOAS_ALLOC, &alloc); break;
	case 1: ask(d, IOMMU_IOAS_UNMAP, &u); break;
	case 2: ask(d, IOMMU_IOAS_UNMAP, &all); break;
	case 3: ask(d, IOMMU_IOAS_COPY, &c); break;
	case 4: ask(d, IOMMU_OPTION, &o); break;
	default: ask(d, IOMMU_IOAS_MAP, &m); break;
	}
}

static void hwpt_one(struct dice *d)
{
	struct iommu_hwpt_selftest data = { .iotlb = 1, .pagetable_type = roll(d, 16) == 0 };
	struct iommu_hwpt_vtd_s1 vtd = { .addr_width = 48 };
	static const uint32_t pts[] = { SPACE, PARENT, VIOMMU };
	static const uint32_t flags[] = { 0, IOMMU_HWPT_ALLOC_PASID, IOMMU_HWPT_ALLOC_PASID | IOMMU_HWPT_FAULT_ID_VALID,
					  IOMMU_HWPT_ALLOC_DIRTY_TRACKING };
	struct iommu_hwpt_alloc a = { .size = sizeof(a), .flags = roll(d, 8) ? flags[roll(d, 4)] : roll(d, 16),
				      .dev_id = guess(d, DEV), .pt_id = guess(d, pts[roll(d, 3)]), .fault_id = guess(d, QUEUE) };

	switch (roll(d, 4)) {
	case 0:
		a.data_type = IOMMU_HWPT_DATA_VTD_S1;
		a.data_len = sizeof(vtd);
		a.data_uptr = (uintptr_t)&vtd;
		break;
	case 1: case 2:
		a.data_type = IOMMU_HWPT_DATA_SELFTEST;
		a.data_len = sizeof(data);
		a.data_uptr = (uintptr_t)&data;
		break;
	}
	ask(d, IOMMU_HWPT_ALLOC, &a);
}

static void guest_one(struct dice *d)
{
	struct iommu_viommu_selftest data = { .in_data = 1 };
	struct iommu_viommu_alloc v = { .size = sizeof(v), .type = IOMMU_VIOMMU_TYPE_SELFTEST, .dev_id = guess(d, DEV),
					.hwpt_id = guess(d, PARENT), .data_len = roll(d, 2) ? sizeof(data) : 0,
					.data_uptr = (uintptr_t)&data };
	struct iommu_vdevice_alloc vd = { .size = sizeof(vd), .viommu_id = guess(d, VIOMMU), .dev_id = guess(d, DEV),
					 .virt_id = roll(d, 4) };
	struct iommu_veventq_alloc q = { .size = sizeof(q), .viommu_id = guess(d, VIOMMU), .type = IOMMU_VEVENTQ_TYPE_SELFTEST,
					 .veventq_depth = 2 };
	struct iommu_hw_queue_alloc h = { .size = sizeof(h), .viommu_id = guess(d, VIOMMU), .type = IOMMU_HW_QUEUE_TYPE_SELFTEST,
					  .index = roll(d, 2), .nesting_parent_iova = HOME + roll(d, 16) * PAGE, .length = PAGE };

	switch (roll(d, 5)) {
	case 0: ask(d, IOMMU_VIOMMU_ALLOC, &v); break;
	case 1: case 2: ask(d, IOMMU_VDEVICE_ALLOC, &vd); break;
	case 3: ask(d, IOMMU_VEVENTQ_ALLOC, &q); break;
	case 4: ask(d, IOMMU_HW_QUEUE_ALLOC, &h); break;
	}
}

/* What others come from stays longer. */
static void destroy_one(struct dice *d)
{
	struct iommu_destroy x = { .size = sizeof(x), .id = roll(d, IDS) + 1 };

	if (x.id > STDEV || roll(d, 8) == 0)
		ask(d, IOMMU_DESTROY, &x);
}

static void maker(void *arg)
{
	struct dice d = { .seed = (unsigned)(uintptr_t)arg };

	for (unsigned i = 0; i < ROUNDS; i++) {
		switch (roll(&d, 8)) {
		case 0: case 1: map_one(&d); break;
		case 2: case 3: hwpt_one(&d); break;
		case 4: destroy_one(&d); break;
		default: guest_one(&d); break;
		}
	}
}

/* Devices come and move; they go by who destroys. */
static void mover(void *arg)
{
	struct dice d = { .seed = (unsigned)(uintptr_t)arg };

	for (unsigned i = 0; i < ROUNDS; i++) {
		struct iommu_test_cmd c = { 0 };
		static const uint32_t pts[] = { SPACE, PARENT, NESTED };
		uint32_t pt = guess(&d, pts[roll(&d, 3)]), id = guess(&d, STDEV);
		uint32_t pasid = roll(&d, 8) ? roll(&d, 4) : IOMMU_TEST_PASID_RESERVED;

		switch (roll(&d, 8)) {
		case 0:
			c.mock_domain.dev_flags = roll(&d, 2) ? MOCK_FLAGS_DEVICE_PASID : roll(&d, 2);
			test_op(&d, IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS, pt, &c);
			break;
		case 1: case 2: case 3:
			c.mock_domain_replace.pt_id = pt;
			test_op(&d, IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE, id, &c);
			break;
		default:
			c.pasid_attach.pasid = pasid;
			c.pasid_attach.pt_id = pt;
			test_op(&d, IOMMU_TEST_OP_PASID_ATTACH + roll(&d, 4), id, &c);
			break;
		}
	}
}

/* Hardware that says something, and a program that listens and answers. */
static void queue_one(struct dice *d)
{
	struct iommu_hwpt_page_response r = { roll(d, 4) + 1, roll(d, 2) };
	struct task t = { .ops = &race_ops, .mm = &flat };
	struct file *f;
	char buf[80];

	if (race_file_get(&t, any_fd(d, roll(d, 2) ? FAULTS : EVENTS), &f))
		return;
	if (roll(d, 2))
		file_read(f, &t, (uintptr_t)buf, roll(d, 2) ? 40 : 80);
	else
		file_write(f, &t, (uintptr_t)&r, sizeof(r));
	if (f->ready)
		file_poll(f, POLLIN | POLLOUT, 0);
	file_put(f);
}

static void listener(void *arg)
{
	struct dice d = { .seed = (unsigned)(uintptr_t)arg };

	for (unsigned i = 0; i < ROUNDS; i++) {
		struct iommu_test_cmd c = { 0 };
		struct iommu_fault_alloc fault = { .size = sizeof(fault) };

		switch (roll(&d, 8)) {
		case 0: ask(&d, IOMMU_FAULT_QUEUE_ALLOC, &fault); break;
		case 1: close_fd(any_fd(&d, roll(&d, KINDS))); break;
		case 2:
			c.trigger_vevent.dev_id = guess(&d, DEV);
			test_op(&d, IOMMU_TEST_OP_TRIGGER_VEVENT, 0, &c);
			break;
		case 3: case 4:
			c.trigger_iopf.dev_id = guess(&d, DEV);
			c.trigger_iopf.pasid = roll(&d, 4);
			test_op(&d, IOMMU_TEST_OP_TRIGGER_IOPF, 0, &c);
			break;
		default: queue_one(&d); break;
		}
	}
}

static void access_one(struct dice *d)
{
	struct iommu_test_cmd c = { 0 };
	char data[300];

	memset(data, 0, sizeof(data));
	switch (roll(d, 6)) {
	case 0:
		c.create_access.flags = roll(d, 2);
		test_op(d, IOMMU_TEST_OP_CREATE_ACCESS, guess(d, SPACE), &c);
		break;
	case 1:
		c.access_replace_ioas.ioas_id = guess(d, SPACE);
		test_op(d, IOMMU_TEST_OP_ACCESS_REPLACE_IOAS, (uint32_t)any_fd(d, ACCESSES), &c);
		break;
	case 2: case 3:
		c.access_pages.iova = HOME + roll(d, 16) * PAGE;
		c.access_pages.length = (roll(d, 4) + 1) * PAGE;
		c.access_pages.uptr = roll(d, 2) ? roll(d, 64) * PAGE : 0;
		if (!test_op(d, IOMMU_TEST_OP_ACCESS_PAGES, (uint32_t)any_fd(d, ACCESSES), &c) && roll(d, 2)) {
			c.destroy_access_pages.access_pages_id = roll(d, 64);
			test_op(d, IOMMU_TEST_OP_DESTROY_ACCESS_PAGES, (uint32_t)any_fd(d, ACCESSES), &c);
		}
		break;
	default:
		c.access_rw.iova = HOME + roll(d, 16 * PAGE);
		c.access_rw.length = sizeof(data);
		c.access_rw.uptr = (uintptr_t)data;
		c.access_rw.flags = roll(d, 2) | (roll(d, 2) ? MOCK_ACCESS_RW_SLOW_PATH : 0);
		test_op(d, IOMMU_TEST_OP_ACCESS_RW, (uint32_t)any_fd(d, ACCESSES), &c);
		break;
	}
}

static void dmabuf_one(struct dice *d)
{
	struct iommu_test_cmd c = { 0 };
	struct iommu_ioas_map_file m = { .size = sizeof(m), .flags = RW, .ioas_id = guess(d, SPACE), .fd = any_fd(d, DMABUFS),
					 .length = PAGE };

	switch (roll(d, 4)) {
	case 0:
		c.dmabuf_get.length = 2 * PAGE;
		c.dmabuf_get.open_flags = O_RDWR;
		test_op(d, IOMMU_TEST_OP_DMABUF_GET, 0, &c);
		break;
	case 1:
		c.dmabuf_revoke.dmabuf_fd = any_fd(d, DMABUFS);
		c.dmabuf_revoke.revoked = roll(d, 2);
		test_op(d, IOMMU_TEST_OP_DMABUF_REVOKE, 0, &c);
		break;
	default:
		ask(d, IOMMU_IOAS_MAP_FILE, &m);
		break;
	}
}

static void user(void *arg)
{
	struct dice d = { .seed = (unsigned)(uintptr_t)arg };

	for (unsigned i = 0; i < ROUNDS; i++) {
		switch (roll(&d, 8)) {
		case 0: close_fd(any_fd(&d, roll(&d, 2) ? ACCESSES : DMABUFS)); break;
		case 1: case 2: dmabuf_one(&d); break;
		default: access_one(&d); break;
		}
	}
}

/* Pages of virtual IOMMUs: whatever has become of them, the memfd is there as long as the file. */
static void region_one(struct dice *d)
{
	struct file *f = context(d);
	struct task t = { .ops = &race_ops, .mm = &flat };
	const struct file_mmap m = { .offset = (roll(d, 8) + 1) * PAGE, .length = 2 * PAGE, .prot = PROT_READ,
				     .flags = MAP_SHARED };
	struct file_page p = { 0 };
	struct stat st;

	if (!file_mmap(f, &t, &m)) {
		f->ops->page(f, m.offset, &p);
		if (p.kind == FILE_PAGE_PLAIN)
			assert_int_equal(fstat(p.memfd, &st), 0);
	}
	file_put(f);
}

static void look_one(struct dice *d)
{
	uint64_t bits[2] = { 0x5, 0 };
	struct iommu_test_cmd c = { 0 };
	struct iommu_hwpt_set_dirty_tracking set = { .size = sizeof(set), .hwpt_id = guess(d, TRACKING), .flags = roll(d, 2) };
	struct iommu_hwpt_get_dirty_bitmap get = { .size = sizeof(get), .hwpt_id = guess(d, TRACKING), .iova = HOME, .length = 64 * PAGE,
						   .page_size = PAGE, .data = (uintptr_t)bits };

	switch (roll(d, 5)) {
	case 0: ask(d, IOMMU_HWPT_SET_DIRTY_TRACKING, &set); break;
	case 1: ask(d, IOMMU_HWPT_GET_DIRTY_BITMAP, &get); break;
	case 2:
		c.dirty.iova = HOME;
		c.dirty.length = 64 * PAGE;
		c.dirty.page_size = PAGE;
		c.dirty.uptr = (uintptr_t)bits;
		test_op(d, IOMMU_TEST_OP_DIRTY, guess(d, TRACKING), &c);
		break;
	case 3:
		c.check_map.iova = HOME;
		c.check_map.length = PAGE;
		test_op(d, IOMMU_TEST_OP_MD_CHECK_MAP, guess(d, PARENT), &c);
		break;
	case 4:
		c.check_iotlb.iotlb = roll(d, 2);
		if (roll(d, 2))
			test_op(d, IOMMU_TEST_OP_DEV_CHECK_CACHE, guess(d, DEV), &c);
		else
			test_op(d, IOMMU_TEST_OP_MD_CHECK_IOTLB, guess(d, NESTED), &c);
		break;
	}
}

static void invalidate_one(struct dice *d)
{
	const struct iommu_viommu_invalidate_selftest e = { .flags = roll(d, 2), .vdev_id = roll(d, 4), .cache_id = roll(d, 4) };
	struct iommu_hwpt_invalidate a = { .size = sizeof(a), .hwpt_id = guess(d, roll(d, 2) ? NESTED : VIOMMU),
					   .data_uptr = (uintptr_t)&e, .data_type = IOMMU_HWPT_INVALIDATE_DATA_SELFTEST,
					   .entry_len = roll(d, 2) ? sizeof(e) : 8, .entry_num = 1 };

	ask(d, IOMMU_HWPT_INVALIDATE, &a);
}

static void looker(void *arg)
{
	struct dice d = { .seed = (unsigned)(uintptr_t)arg };

	for (unsigned i = 0; i < ROUNDS; i++) {
		switch (roll(&d, 4)) {
		case 0: invalidate_one(&d); break;
		case 1: region_one(&d); break;
		default: look_one(&d); break;
		}
	}
}

/* Contexts end and begin while others use them. */
static void opener(void *arg)
{
	for (unsigned i = 0; i < ROUNDS / 8; i++) {
		struct file *new = context_open(), *old;

		mutex_lock(&open_files.lock);
		old = open_files.contexts[i % CONTEXTS];
		open_files.contexts[i % CONTEXTS] = new;
		mutex_unlock(&open_files.lock);
		file_put(old);
	}
}

/* A device whose driver comes and goes, and does DMA. */
static void driver(void *arg)
{
	struct iommu_dev *dev = arg;
	struct dice d = { .seed = 5 };

	for (unsigned i = 0; i < ROUNDS / 4; i++) {
		struct file *f = context(&d);
		struct iommufd_ctx *ctx = iommufd_ctx_from_file(f);
		struct iommufd_device *idev;
		uint32_t id, pt;

		assert_int_equal(iommufd_device_bind(ctx, dev, &idev, &id), 0);
		for (unsigned j = 0; j < 4; j++) {
			pt = guess(&d, SPACE);
			if (iommufd_device_attached(idev, IOMMUFD_NO_PASID))
				iommufd_device_replace(idev, IOMMUFD_NO_PASID, &pt);
			else
				iommufd_device_attach(idev, IOMMUFD_NO_PASID, &pt);
			lab_reaches(dev, HOME + roll(&d, 16) * PAGE);
		}
		iommufd_device_detach(idev, IOMMUFD_NO_PASID);
		iommufd_device_unbind(idev);
		iommufd_ctx_put(ctx);
		file_put(f);
	}
}

static void everything_at_once(void **state)
{
	struct iommu_dev *dev = lab_alone("a", &unit_dirty);
	struct thread t[10];

	thread_start(&t[0], "make1", maker, (void *)1);
	thread_start(&t[1], "make2", maker, (void *)2);
	thread_start(&t[2], "move1", mover, (void *)3);
	thread_start(&t[3], "move2", mover, (void *)4);
	thread_start(&t[4], "listen1", listener, (void *)5);
	thread_start(&t[5], "listen2", listener, (void *)6);
	thread_start(&t[6], "use", user, (void *)7);
	thread_start(&t[7], "look", looker, (void *)8);
	thread_start(&t[8], "open", opener, NULL);
	thread_start(&t[9], "drive", driver, dev);
	for (unsigned i = 0; i < ARRAY_SIZE(t); i++)
		thread_join(&t[i]);
	iommu_dev_destroy(dev);
}

/* A device can be found as soon as it is bound, and is whole then. */
static atomic_bool done;

static void finder(void *arg)
{
	struct file *f = arg;

	while (!atomic_load(&done)) {
		struct iommu_test_cmd c = { .size = sizeof(c), .op = IOMMU_TEST_OP_DEV_CHECK_CACHE, .id = DEV,
					    .check_dev_cache = { .cache = IOMMU_TEST_DEV_CACHE_DEFAULT } };
		long rc = ask_file(f, IOMMU_TEST_CMD, &c);

		assert_true(rc == 0 || rc == -ENOENT);
		c.op = IOMMU_TEST_OP_TRIGGER_VEVENT;
		c.trigger_vevent.dev_id = DEV;
		assert_int_equal(ask_file(f, IOMMU_TEST_CMD, &c), -ENOENT);
	}
}

static void a_device_is_found_whole(void **state)
{
	struct task t = { .ops = &race_ops, .mm = &flat };
	struct iommu_ioas_alloc ioas = { .size = sizeof(ioas) };
	struct file *f = NULL;
	struct thread other;

	assert_int_equal(tree_open(lab.tree, &t, "/dev/iommu", O_RDWR, &f), 0);
	assert_int_equal(ask_file(f, IOMMU_IOAS_ALLOC, &ioas), 0);
	atomic_store(&done, false);
	thread_start(&other, "find", finder, f);
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct iommu_test_cmd c = { .size = sizeof(c), .op = IOMMU_TEST_OP_MOCK_DOMAIN, .id = SPACE };
		struct iommu_destroy x = { .size = sizeof(x), .id = STDEV };

		assert_int_equal(ask_file(f, IOMMU_TEST_CMD, &c), 0);
		assert_int_equal(c.mock_domain.out_idev_id, DEV);
		assert_int_equal(ask_file(f, IOMMU_DESTROY, &x), 0);
	}
	atomic_store(&done, true);
	thread_join(&other);
	file_put(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(everything_at_once, race_setup, race_teardown),
		cmocka_unit_test_setup_teardown(a_device_is_found_whole, race_setup, race_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
