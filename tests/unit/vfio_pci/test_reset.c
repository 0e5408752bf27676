/* SPDX-License-Identifier: MIT */
#include "harness.h"
#include <pthread.h>
#include <sched.h>

#define A "0000:01:00.0"
#define B "0000:02:00.0"
#define C "0000:02:00.1"

static struct use u;

static int setup(void **state)
{
	host_start();
	return 0;
}

static int teardown(void **state)
{
	host_stop();
	return 0;
}

static long reset(struct use *x)
{
	return sys_ioctl_u(x->c, x->dev, VFIO_DEVICE_RESET, 0);
}

/* RST-02, RST-03, CFG-54, MEM-07 */
static void function(void **state)
{
	struct probe *p = probe_of(A);
	struct pci_dev *d = pci_of(A);
	unsigned exp;

	use_open(&u, A);
	exp = cfg_cap(&u, PCI_CAP_ID_EXP);
	command(&u, 6);
	cfg_write(&u, PCI_CACHE_LINE_SIZE, 1, 0x20);
	cfg_write(&u, exp + PCI_EXP_DEVCTL, 2, 0x4000);
	cfg_write(&u, PCI_BASE_ADDRESS_0, 4, 0x12345678);
	p->regs[0][0] = 1;
	assert_rc(reset(&u), 0);
	assert_int_equal(p->regs[0][0], 0);
	assert_int_equal(cfg_read(&u, PCI_COMMAND, 2), 6);
	assert_int_equal(cfg_read(&u, PCI_CACHE_LINE_SIZE, 1), 0x20);
	assert_int_equal(pci_config_read(d, exp + PCI_EXP_DEVCTL, 2) & PCI_EXP_DEVCTL_READRQ, 0x4000);
	assert_int_equal(cfg_read(&u, PCI_BASE_ADDRESS_0, 4), 0x12345678 & ~(BAR0_SIZE - 1));
	command(&u, 4);
	assert_rc(reset(&u), 0);
	assert_int_equal(cfg_read(&u, PCI_COMMAND, 2), 4);
	assert_rc(sys_pread(u.c, u.dev, &exp, 4, REGION(0)), -EIO);
	/* from D3hot: it ends in D0 */
	exp = cfg_cap(&u, PCI_CAP_ID_PM);
	cfg_write(&u, exp + PCI_PM_CTRL, 2, 3);
	assert_rc(reset(&u), 0);
	assert_int_equal(pci_power(d), 0);
	/* somebody holds the device */
	p->resets = 0;
	mutex_lock(&d->dev.lock);
	assert_rc(reset(&u), -EAGAIN);
	mutex_unlock(&d->dev.lock);
	assert_int_equal(p->resets, 0);
	use_close(&u);
}

/* RST-01, DEV-03: one of two functions without a reset of its own */
static void impossible(void **state)
{
	struct vfio_device_info i = { .argsz = sizeof(i) };
	unsigned cap, resets;

	use_open(&u, B);
	assert_rc(sys_ioctl(u.c, u.dev, VFIO_DEVICE_GET_INFO, &i), 0);
	assert_int_equal(i.flags, VFIO_DEVICE_FLAGS_PCI);
	assert_rc(reset(&u), -EINVAL);
	/* CFG-26 */
	cap = cfg_cap(&u, PCI_CAP_ID_EXP) + PCI_EXP_DEVCTL;
	resets = probe_of(B)->resets;
	cfg_write(&u, cap, 2, PCI_EXP_DEVCTL_BCR_FLR);
	assert_int_equal(cfg_read(&u, cap, 2) & PCI_EXP_DEVCTL_BCR_FLR, 0);
	assert_int_equal(probe_of(B)->resets, resets);
	use_close(&u);
}

/* An unbind under way holds the device lock: opening is -EAGAIN, RESET too (spec 20, 4.7). */
static void busy_at_open(void **state)
{
	struct pci_dev *d = pci_of(A);

	use_open(&u, A);
	sys_close(u.c, u.dev);
	mutex_lock(&d->dev.lock);
	assert_rc(use_sibling(&u, A), -EAGAIN);
	mutex_unlock(&d->dev.lock);
	assert_true(use_sibling(&u, A) >= 0);
	use_close(&u);
}

/* ---- hot reset ---- */

/* The structures with a few of what follows them. */
struct info {
	uint32_t argsz, flags, count;
	struct vfio_pci_dependent_device d[4];
};

static long hot_info(struct use *x, struct info *i, size_t argsz)
{
	*i = (struct info){ .argsz = (uint32_t)argsz, .flags = 5 };
	return sys_ioctl(x->c, x->dev, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, i);
}

static long hot_reset(struct use *x, uint32_t flags, uint32_t count, const int32_t *fds)
{
	struct {
		uint32_t argsz, flags, count;
		int32_t fd[4];
	} r = { .argsz = 12 + 4 * count, .flags = flags, .count = count };

	for (uint32_t i = 0; i < count && i < 4; i++)
		r.fd[i] = fds[i];
	return sys_ioctl(x->c, x->dev, VFIO_DEVICE_PCI_HOT_RESET, &r);
}

/* RST-04, 05, 06 */
static void hot_reset_info(void **state)
{
	struct info i;
	unsigned group;

	use_open(&u, B);
	group = iommu_group_id(iommu_dev_group(pci_of(B)->iommu));
	assert_rc(hot_info(&u, &i, 11), -EINVAL);
	assert_rc(hot_info(&u, &i, 12), -ENOSPC);
	assert_int_equal(i.count, 2);
	assert_int_equal(i.flags, 0);
	assert_rc(hot_info(&u, &i, 12 + 15), -ENOSPC);
	assert_rc(hot_info(&u, &i, sizeof(i)), 0);
	assert_int_equal(i.count, 2);
	for (unsigned n = 0; n < 2; n++) {
		assert_int_equal(i.d[n].group_id, group);
		assert_int_equal(i.d[n].segment, 0);
		assert_int_equal(i.d[n].bus, 2);
		assert_int_equal(i.d[n].devfn, n);
	}
	use_close(&u);
}

/* RST-09..15, MEM-18 */
static void hot_reset_proof(void **state)
{
	struct probe *pb = probe_of(B), *pc = probe_of(C);
	struct use other;
	int32_t fds[4];

	use_open(&u, B);
	fds[0] = u.group;
	assert_rc(hot_reset(&u, 1, 1, fds), -EINVAL);
	assert_rc(hot_reset(&u, 0, 0, fds), -EINVAL);
	assert_rc(hot_reset(&u, 0, 3, fds), -EINVAL);
	assert_rc(hot_reset(&u, 0, 1, (int32_t[]){ 800 }), -EBADF);
	assert_rc(hot_reset(&u, 0, 1, (int32_t[]){ HOST_FD }), -EINVAL);
	assert_rc(hot_reset(&u, 0, 1, (int32_t[]){ u.dev }), -EINVAL);
	/* its neighbour is nobody's */
	pb->resets = pc->resets = 0;
	assert_rc(hot_reset(&u, 0, 1, fds), -EINVAL);
	assert_int_equal(pb->resets + pc->resets, 0);
	assert_rc(bind(C), 0);
	/* another group is no proof */
	use_open(&other, A);
	assert_true(u.c->fds[9] == NULL);
	u.c->fds[9] = file_get(file_of(other.c, other.group));
	assert_rc(hot_reset(&u, 0, 1, (int32_t[]){ FD_BASE + 9 }), -EINVAL);
	assert_int_equal(pb->resets + pc->resets, 0);
	command(&u, 6);
	pb->regs[0][0] = pc->regs[0][0] = 1;
	assert_rc(hot_reset(&u, 0, 2, (int32_t[]){ FD_BASE + 9, u.group }), 0);
	assert_int_equal(pb->regs[0][0] + pc->regs[0][0], 0);
	assert_int_equal(cfg_read(&u, PCI_COMMAND, 2), 6);
	/* a device lock is taken: nothing happens, and nothing stays locked */
	pb->resets = pc->resets = 0;
	mutex_lock(&pci_of(C)->dev.lock);
	assert_rc(hot_reset(&u, 0, 1, fds), -EAGAIN);
	mutex_unlock(&pci_of(C)->dev.lock);
	assert_int_equal(pb->resets + pc->resets, 0);
	assert_rc(hot_reset(&u, 0, 1, fds), 0);
	assert_int_equal(pb->resets, 1);
	assert_int_equal(pc->resets, 1);
	use_close(&other);
	use_close(&u);
}

/* ---- an access under way ---- */

static atomic_int inside; /* 1: an access is in the model, 2: it may go on */

static void linger(struct probe *p, unsigned bar, uint64_t offset)
{
	atomic_store(&inside, 1);
	while (atomic_load(&inside) != 2)
		sched_yield();
}

static void *store_slowly(void *arg)
{
	struct use *x = arg;
	uint32_t v = 1;

	assert_int_equal(sys_pwrite(x->c, x->dev, &v, 4, REGION(0)), 4);
	return NULL;
}

/* Locks of several devices are only tried: with one of them taken nothing is reset, and all are let go. */
static void MEM_18_hot_reset_contended(void **state)
{
	struct probe *pb = probe_of(B), *pc = probe_of(C);
	struct use other;
	pthread_t thread;

	assert_rc(bind(C), 0);
	use_open(&u, B);
	other = (struct use){ .c = u.c, .group = u.group, .dev = use_sibling(&u, C) };
	assert_true(other.dev >= FD_BASE);
	pb->resets = pc->resets = 0;
	atomic_store(&inside, 0);
	pc->on_write = linger;
	assert_int_equal(pthread_create(&thread, NULL, store_slowly, &other), 0);
	while (!atomic_load(&inside))
		sched_yield();
	assert_rc(hot_reset(&u, 0, 1, &u.group), -EBUSY);
	assert_int_equal(pb->resets + pc->resets, 0);
	/* what was locked before the one that is taken answers again */
	assert_int_equal(sys_pread(u.c, u.dev, &(uint32_t){ 0 }, 4, REGION(0)), 4);
	atomic_store(&inside, 2);
	pthread_join(thread, NULL);
	pc->on_write = NULL;
	assert_rc(hot_reset(&u, 0, 1, &u.group), 0);
	assert_int_equal(pb->resets + pc->resets, 2);
	assert_int_equal(sys_pread(u.c, other.dev, &(uint32_t){ 0 }, 4, REGION(0)), 4);
	sys_close(u.c, other.dev);
	use_close(&u);
}

/* A set of one, alone on its bus: the group is proof enough. RST-18 */
static void hot_reset_single(void **state)
{
	int32_t fd;

	use_open(&u, A);
	fd = u.group;
	probe_of(A)->resets = 0;
	assert_rc(hot_reset(&u, 0, 1, &fd), 0);
	assert_int_equal(probe_of(A)->resets, 1);
	probe_of(B)->resets = 0;
	assert_rc(reset(&u), 0);
	assert_int_equal(probe_of(B)->resets, 0);
	use_close(&u);
}

/* Spec 20, 1.3 step 12: what has no reset of its own is reset with its bus when its last user goes. */
static void at_last_close(void **state)
{
	struct probe *pb = probe_of(B), *pc = probe_of(C);
	int second;

	assert_rc(bind(C), 0);
	use_open(&u, B);
	second = use_sibling(&u, C);
	assert_true(second >= FD_BASE);
	pb->resets = pc->resets = 0;
	sys_close(u.c, u.dev);
	assert_int_equal(pb->resets, 0); /* the neighbour is in use */
	sys_close(u.c, second);
	assert_int_equal(pb->resets, 1);
	assert_int_equal(pc->resets, 1);
	assert_int_equal(pci_config_read(pci_of(B), PCI_COMMAND, 2) & PCI_COMMAND_MASTER, 0);
	use_close(&u);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(function),
		TEST(impossible),
		TEST(busy_at_open),
		TEST(hot_reset_info),
		TEST(hot_reset_proof),
		TEST(MEM_18_hot_reset_contended),
		TEST(hot_reset_single),
		TEST(at_last_close),
	};

	return cmocka_run_group_tests_name("vfio_pci-reset", tests, NULL, NULL);
}
