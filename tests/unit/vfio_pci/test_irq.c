/* SPDX-License-Identifier: MIT */
#include "harness.h"
#include <unistd.h>

#define A "0000:01:00.0"

#define NONE    VFIO_IRQ_SET_DATA_NONE
#define BOOL    VFIO_IRQ_SET_DATA_BOOL
#define EVENTFD VFIO_IRQ_SET_DATA_EVENTFD
#define TRIGGER VFIO_IRQ_SET_ACTION_TRIGGER
#define MASK    VFIO_IRQ_SET_ACTION_MASK
#define UNMASK  VFIO_IRQ_SET_ACTION_UNMASK

enum { INTX, MSI, MSIX, ERR, REQ };

static struct use u;
static struct pci_dev *d;

static int setup(void **state)
{
	host_start();
	use_open(&u, A);
	d = pci_of(A);
	command(&u, 7); /* messages are memory writes: they need bus mastering */
	return 0;
}

static int setup_nointxmask(void **state)
{
	host.params.nointxmask = true;
	return setup(state);
}

static int teardown(void **state)
{
	use_close(&u);
	host_stop();
	for (int fd = 3; fd < 200; fd++) { /* eventfds of the test */
		char path[64], target[64] = "";

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		if (readlink(path, target, sizeof(target) - 1) > 0 && strstr(target, "[eventfd]"))
			close(fd);
	}
	return 0;
}

/* IRQ-05..10, 45: the checks, in order */
static void validation(void **state)
{
	struct vfio_irq_set s = { .argsz = 19, .index = 99 };
	int32_t fd = efd();
	uint8_t one = 1;

	assert_rc(sys_ioctl_u(u.c, u.dev, VFIO_DEVICE_SET_IRQS, BAD_PTR), -EFAULT);
	assert_rc(sys_ioctl(u.c, u.dev, VFIO_DEVICE_SET_IRQS, &s), -EINVAL);
	assert_rc(irqs(&u, NONE | TRIGGER, 5, 0, 0, NULL, 0), -EINVAL);
	assert_rc(irqs(&u, NONE | TRIGGER, MSIX, UINT32_MAX, 1, NULL, 0), -EINVAL);
	assert_rc(irqs(&u, NONE | TRIGGER, MSIX, 0, UINT32_MAX, NULL, 0), -EINVAL);
	assert_rc(irqs(&u, NONE | TRIGGER | 0x40, ERR, 0, 0, NULL, 0), -EINVAL);
	assert_rc(irqs(&u, EVENTFD | TRIGGER, MSIX, VECTORS, 0, NULL, 0), -EINVAL);
	assert_rc(irqs(&u, EVENTFD | TRIGGER, MSIX, 0, VECTORS + 1, &fd, 4), -EINVAL);
	assert_rc(irqs(&u, TRIGGER, MSIX, 0, 1, NULL, 0), -EINVAL);
	assert_rc(irqs(&u, NONE | BOOL | TRIGGER, MSIX, 0, 1, &one, 1), -EINVAL);
	assert_rc(irqs(&u, EVENTFD | TRIGGER, MSIX, 0, 1, &fd, 3), -EINVAL);
	assert_rc(irqs(&u, BOOL | TRIGGER, MSIX, 0, 2, &one, 1), -EINVAL);
	assert_rc(irqs(&u, NONE, MSIX, 0, 1, NULL, 0), -ENOTTY);
	assert_rc(irqs(&u, NONE | TRIGGER | MASK, MSIX, 0, 1, NULL, 0), -ENOTTY);
	assert_rc(irqs(&u, NONE | MASK, MSIX, 0, 1, NULL, 0), -ENOTTY);
	assert_rc(irqs(&u, NONE | UNMASK, MSI, 0, 1, NULL, 0), -ENOTTY);
	assert_rc(irqs(&u, NONE | MASK, ERR, 0, 1, NULL, 0), -ENOTTY);
	assert_rc(irqs(&u, NONE | MASK | UNMASK, INTX, 0, 1, NULL, 0), -ENOTTY);
}

/* IRQ-14..17, 24..27 */
static void msix(void **state)
{
	int32_t fds[VECTORS] = { efd(), efd(), efd(), efd() }, off = -1;
	uint8_t bools[VECTORS] = { 0, 1, 0, 1 };

	assert_rc(irqs(&u, NONE | TRIGGER, MSIX, 0, 1, NULL, 0), -EINVAL);
	assert_rc(irq_off(&u, MSIX), -EINVAL);
	assert_rc(irq_fds(&u, MSIX, 0, VECTORS, fds), 0);
	assert_rc(irqs(&u, NONE | TRIGGER, MSIX, 0, VECTORS, NULL, 0), 0);
	for (unsigned i = 0; i < VECTORS; i++)
		assert_int_equal(efd_take(fds[i]), 1);
	assert_rc(irqs(&u, BOOL | TRIGGER, MSIX, 0, VECTORS, bools, VECTORS), 0);
	for (unsigned i = 0; i < VECTORS; i++)
		assert_int_equal(efd_take(fds[i]), bools[i]);
	for (unsigned i = 0; i < VECTORS; i++)
		pci_msix_fire(d, i);
	pci_msix_fire(d, 2);
	for (unsigned i = 0; i < VECTORS; i++)
		assert_int_equal(efd_take(fds[i]), i == 2 ? 2 : 1);
	/* one vector off: its message waits in the device until it is hooked again */
	assert_rc(irq_fds(&u, MSIX, 2, 1, &off), 0);
	pci_msix_fire(d, 2);
	pci_msix_fire(d, 1);
	assert_int_equal(efd_take(fds[2]), 0);
	assert_int_equal(efd_take(fds[1]), 1);
	assert_rc(irq_fds(&u, MSIX, 2, 1, &fds[2]), 0);
	assert_int_equal(efd_take(fds[2]), 1);
	/* not twice */
	assert_rc(irq_fds(&u, MSIX, 2, 1, &fds[2]), 0);
	assert_int_equal(efd_take(fds[2]), 0);
	/* nothing to do on an active index */
	assert_rc(irqs(&u, EVENTFD | TRIGGER, MSIX, 0, 0, NULL, 0), 0);
	close(fds[0]);
	assert_rc(irq_off(&u, MSIX), 0);
	pci_msix_fire(d, 1);
	assert_int_equal(efd_take(fds[1]), 0);
	assert_rc(irq_off(&u, MSIX), -EINVAL);
	/* none at all: no vectors to ask for */
	assert_rc(irqs(&u, EVENTFD | TRIGGER, MSIX, 0, 0, NULL, 0), -ERANGE);
}

/* IRQ-18, 19, 20 */
static void msix_errors(void **state)
{
	int32_t fds[VECTORS] = { efd(), efd(), efd(), efd() }, bad[3] = { efd(), 800, fds[3] };

	assert_rc(irq_fds(&u, MSIX, 0, 2, (int32_t[]){ fds[0], 800 }), -EBADF);
	assert_rc(irq_off(&u, MSIX), -EINVAL); /* it was the enabling call */
	assert_rc(irq_fds(&u, MSIX, 0, 1, (int32_t[]){ u.dev }), -EINVAL);
	/* vectors come as they are hooked */
	assert_rc(irq_fds(&u, MSIX, 0, 1, fds), 0);
	assert_rc(irq_fds(&u, MSIX, 3, 1, &fds[3]), 0);
	pci_msix_fire(d, 3);
	assert_int_equal(efd_take(fds[3]), 1);
	/* up to the failed one they are off, behind it they stay */
	assert_rc(irq_fds(&u, MSIX, 0, VECTORS, fds), 0);
	assert_rc(irq_fds(&u, MSIX, 1, 3, bad), -EBADF);
	for (unsigned i = 0; i < VECTORS; i++)
		pci_msix_fire(d, i);
	assert_int_equal(efd_take(fds[0]), 1);
	assert_int_equal(efd_take(fds[1]) + efd_take(bad[0]), 0);
	assert_int_equal(efd_take(fds[2]), 0);
	assert_int_equal(efd_take(fds[3]), 1);
}

/* IRQ-13, 22, 27 */
static void msi(void **state)
{
	int32_t fds[4] = { efd(), efd(), efd(), efd() }, off = -1;

	assert_rc(irq_fds(&u, MSI, 0, 2, fds), 0);
	assert_rc(irq_fds(&u, MSIX, 0, 1, fds), -EINVAL);
	assert_rc(irq_fds(&u, INTX, 0, 1, fds), -EINVAL);
	assert_rc(irq_fds(&u, MSI, 2, 1, &fds[2]), -EINVAL);
	assert_rc(irq_fds(&u, MSI, 2, 1, &off), 0);
	pci_msi_fire(d, 0);
	pci_msi_fire(d, 1);
	assert_int_equal(efd_take(fds[0]), 1);
	assert_int_equal(efd_take(fds[1]), 1);
	assert_rc(irq_fds(&u, MSI, 1, 1, &off), 0);
	pci_msi_fire(d, 1);
	assert_rc(irq_fds(&u, MSI, 1, 1, &fds[1]), 0);
	assert_int_equal(efd_take(fds[1]), 1); /* kept: it was masked */
	assert_rc(irq_off(&u, MSI), 0);
	assert_rc(irq_off(&u, MSI), -EINVAL);
	assert_rc(irq_fds(&u, MSIX, 0, 1, fds), 0);
}

/* IRQ-12, 28, 29, 33..35 */
static void intx(void **state)
{
	int32_t fd = efd(), other = efd(), off = -1;
	uint8_t one = 1, zero = 0;

	assert_rc(irqs(&u, NONE | MASK, INTX, 0, 1, NULL, 0), -EINVAL);
	assert_rc(irqs(&u, NONE | TRIGGER, INTX, 0, 1, NULL, 0), -EINVAL);
	assert_rc(irq_off(&u, INTX), -EINVAL);
	assert_rc(irq_fds(&u, INTX, 0, 1, (int32_t[]){ 800 }), -EBADF);
	assert_rc(irq_fds(&u, INTX, 0, 1, &fd), 0);
	assert_rc(irqs(&u, EVENTFD | MASK, INTX, 0, 1, &fd, 4), -ENOTTY);
	assert_rc(irqs(&u, NONE | MASK, INTX, 0, 0, NULL, 0), -EINVAL);
	pci_intx_set(d, true);
	assert_int_equal(efd_take(fd), 1);
	assert_true(pci_config_read(d, PCI_COMMAND, 2) & PCI_COMMAND_INTX_DISABLE);
	assert_false(cfg_read(&u, PCI_COMMAND, 2) & PCI_COMMAND_INTX_DISABLE);
	pci_intx_set(d, false);
	pci_intx_set(d, true);
	assert_int_equal(efd_take(fd), 0);
	/* still up: again, and still masked */
	assert_rc(irqs(&u, NONE | UNMASK, INTX, 0, 1, NULL, 0), 0);
	assert_int_equal(efd_take(fd), 1);
	pci_intx_set(d, false);
	assert_rc(irqs(&u, BOOL | UNMASK, INTX, 0, 1, &zero, 1), 0);
	pci_intx_set(d, true);
	assert_int_equal(efd_take(fd), 0);
	pci_intx_set(d, false);
	assert_rc(irqs(&u, BOOL | UNMASK, INTX, 0, 1, &one, 1), 0);
	assert_false(pci_config_read(d, PCI_COMMAND, 2) & PCI_COMMAND_INTX_DISABLE);
	pci_intx_set(d, true);
	assert_int_equal(efd_take(fd), 1);
	/* swapping the eventfd keeps the mask */
	assert_rc(irq_fds(&u, INTX, 0, 1, &other), 0);
	assert_int_equal(efd_take(other), 0);
	assert_rc(irqs(&u, NONE | UNMASK, INTX, 0, 1, NULL, 0), 0);
	assert_int_equal(efd_take(other), 1);
	assert_rc(irqs(&u, NONE | TRIGGER, INTX, 0, 1, NULL, 0), 0);
	assert_int_equal(efd_take(other), 1);
	assert_rc(irq_off(&u, INTX), 0);
	/* enabled while the line is up: at once */
	assert_rc(irq_fds(&u, INTX, 0, 1, &fd), 0);
	assert_int_equal(efd_take(fd), 1);
	assert_rc(irq_off(&u, INTX), 0);
	/* active without an eventfd */
	assert_rc(irq_fds(&u, INTX, 0, 1, &off), 0);
	assert_rc(irq_fds(&u, MSI, 0, 1, &fd), -EINVAL);
	assert_rc(irq_off(&u, INTX), 0);
}

/* IRQ-30 */
static void intx_disable_bit(void **state)
{
	int32_t fd = efd();

	assert_rc(irq_fds(&u, INTX, 0, 1, &fd), 0);
	command(&u, 7 | PCI_COMMAND_INTX_DISABLE);
	pci_intx_set(d, true);
	assert_int_equal(efd_take(fd), 0);
	assert_rc(irqs(&u, NONE | UNMASK, INTX, 0, 1, NULL, 0), 0);
	assert_int_equal(efd_take(fd), 0);
	assert_rc(irqs(&u, NONE | TRIGGER, INTX, 0, 1, NULL, 0), 0);
	assert_int_equal(efd_take(fd), 0);
	command(&u, 7);
	assert_int_equal(efd_take(fd), 1);
	pci_intx_set(d, false);
	assert_rc(irqs(&u, NONE | UNMASK, INTX, 0, 1, NULL, 0), 0);
	/* masked by action, unmasked by the bit: one flag for both */
	assert_rc(irqs(&u, NONE | MASK, INTX, 0, 1, NULL, 0), 0);
	cfg_write(&u, PCI_COMMAND + 1, 1, PCI_COMMAND_INTX_DISABLE >> 8);
	cfg_write(&u, PCI_COMMAND + 1, 1, 0);
	pci_intx_set(d, true);
	assert_int_equal(efd_take(fd), 1);
	/* enabled with the bit set: masked from the start */
	assert_rc(irq_off(&u, INTX), 0);
	command(&u, 7 | PCI_COMMAND_INTX_DISABLE);
	assert_rc(irq_fds(&u, INTX, 0, 1, &fd), 0);
	assert_int_equal(efd_take(fd), 0);
	command(&u, 7);
	assert_int_equal(efd_take(fd), 1);
}

/* IRQ-31, 32 */
static void intx_unmask_eventfd(void **state)
{
	int32_t fd = efd(), unmask = efd(), off = -1;
	uint64_t one = 1;

	assert_rc(irqs(&u, EVENTFD | UNMASK, INTX, 0, 1, &unmask, 4), -EINVAL);
	assert_rc(irq_fds(&u, INTX, 0, 1, &fd), 0);
	assert_rc(irqs(&u, EVENTFD | UNMASK, INTX, 0, 1, (int32_t[]){ 800 }, 4), -EBADF);
	assert_rc(irqs(&u, EVENTFD | UNMASK, INTX, 0, 1, &unmask, 4), 0);
	assert_rc(irqs(&u, EVENTFD | UNMASK, INTX, 0, 1, &unmask, 4), -EBUSY);
	pci_intx_set(d, true);
	assert_int_equal(efd_take(fd), 1);
	assert_int_equal(write(unmask, &one, 8), 8);
	assert_int_equal(efd_wait(fd), 1); /* still up */
	assert_int_equal(efd_take(unmask), 0);
	assert_rc(irqs(&u, EVENTFD | UNMASK, INTX, 0, 1, &off, 4), 0);
	assert_int_equal(write(unmask, &one, 8), 8);
	assert_rc(irqs(&u, EVENTFD | UNMASK, INTX, 0, 1, &unmask, 4), 0);
	assert_int_equal(efd_wait(fd), 1); /* it was signalled before: acts now, */
	assert_int_equal(efd_take(unmask), 1); /* and keeps its counter */
}

/* IRQ-44: the line is masked without the hardware's bit */
static void intx_nointxmask(void **state)
{
	int32_t fd = efd();

	assert_rc(irq_fds(&u, INTX, 0, 1, &fd), 0);
	pci_intx_set(d, true);
	assert_int_equal(efd_take(fd), 1);
	assert_false(pci_config_read(d, PCI_COMMAND, 2) & PCI_COMMAND_INTX_DISABLE);
	pci_intx_set(d, false);
	pci_intx_set(d, true);
	assert_int_equal(efd_take(fd), 0);
	pci_intx_set(d, false);
	assert_rc(irqs(&u, NONE | UNMASK, INTX, 0, 1, NULL, 0), 0);
	pci_intx_set(d, true);
	assert_int_equal(efd_take(fd), 1);
	command(&u, 7 | PCI_COMMAND_INTX_DISABLE);
	assert_false(pci_config_read(d, PCI_COMMAND, 2) & PCI_COMMAND_INTX_DISABLE);
	assert_true(cfg_read(&u, PCI_COMMAND, 2) & PCI_COMMAND_INTX_DISABLE);
}

/* IRQ-36, 37 */
static void err_and_req(void **state)
{
	for (uint32_t i = ERR; i <= REQ; i++) {
		int32_t fd = efd(), off = -1;
		uint8_t one = 1, zero = 0;

		assert_rc(irq_off(&u, i), -EINVAL);
		assert_rc(irqs(&u, NONE | TRIGGER, i, 0, 1, NULL, 0), -EINVAL);
		assert_rc(irqs(&u, BOOL | TRIGGER, i, 0, 1, &one, 1), 0);
		assert_rc(irqs(&u, EVENTFD | TRIGGER, i, 0, 0, NULL, 0), -EINVAL);
		assert_rc(irq_fds(&u, i, 0, 1, (int32_t[]){ -2 }), -EINVAL);
		assert_rc(irq_fds(&u, i, 0, 1, (int32_t[]){ 800 }), -EBADF);
		assert_rc(irq_fds(&u, i, 0, 1, &fd), 0);
		assert_rc(irqs(&u, BOOL | TRIGGER, i, 0, 1, &one, 1), 0);
		assert_rc(irqs(&u, BOOL | TRIGGER, i, 0, 1, &zero, 1), 0);
		assert_rc(irqs(&u, NONE | TRIGGER, i, 0, 1, NULL, 0), 0);
		assert_int_equal(efd_take(fd), 2);
		assert_rc(irq_off(&u, i), 0);
		assert_rc(irq_off(&u, i), -EINVAL);
		assert_rc(irq_fds(&u, i, 0, 1, &fd), 0);
		assert_rc(irq_fds(&u, i, 0, 1, &off), 0);
		assert_rc(irq_off(&u, i), -EINVAL);
	}
}

/* IRQ-40, 41, 42; MEM-08 */
static void across_resets(void **state)
{
	int32_t fds[2] = { efd(), efd() };

	command(&u, PCI_COMMAND_MASTER);
	assert_rc(irq_fds(&u, MSIX, 0, 2, fds), 0);
	assert_int_equal(cfg_read(&u, PCI_COMMAND, 2), PCI_COMMAND_MASTER);
	assert_rc(sys_ioctl_u(u.c, u.dev, VFIO_DEVICE_RESET, 0), 0);
	assert_int_equal(cfg_read(&u, PCI_COMMAND, 2), PCI_COMMAND_MASTER);
	pci_msix_fire(d, 1);
	assert_int_equal(efd_take(fds[1]), 1);
	assert_rc(irq_fds(&u, MSIX, 0, 2, fds), 0);
	pci_msix_fire(d, 0);
	assert_int_equal(efd_take(fds[0]), 1);
	use_close(&u);
	use_open(&u, A);
	command(&u, 7);
	pci_msix_fire(d, 0);
	assert_int_equal(efd_take(fds[0]), 0);
	assert_rc(irqs(&u, NONE | TRIGGER, MSIX, 0, 1, NULL, 0), -EINVAL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(validation),
		TEST(msix),
		TEST(msix_errors),
		TEST(msi),
		TEST(intx),
		TEST(intx_disable_bit),
		TEST(intx_unmask_eventfd),
		cmocka_unit_test_setup_teardown(intx_nointxmask, setup_nointxmask, teardown),
		TEST(err_and_req),
		TEST(across_resets),
	};

	return cmocka_run_group_tests_name("vfio_pci-irq", tests, NULL, NULL);
}
