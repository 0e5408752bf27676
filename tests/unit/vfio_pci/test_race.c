/* SPDX-License-Identifier: MIT */
/*
 * Threads of one program against each other. The model counts every access that reaches it while memory is
 * disabled (strict); there must be none. Rounds are counted, not timed.
 */
#include "harness.h"
#include <unistd.h>

#define A "0000:01:00.0"
#define ROUNDS 300

static struct use u;
static struct probe *p;
static struct pci_dev *d;
static atomic_bool stop;
static atomic_uint ok, gated, strange;

static int setup(void **state)
{
	host_start();
	use_open(&u, A);
	p = probe_of(A);
	d = pci_of(A);
	p->strict = true;
	stop = false;
	ok = gated = strange = 0;
	return 0;
}

static int teardown(void **state)
{
	assert_int_equal(p->closed, 0);
	assert_int_equal(strange, 0);
	p->strict = false;
	use_close(&u);
	host_stop();
	return 0;
}

static void count(long rc, long gate)
{
	if (rc == gate)
		gated++;
	else if (rc < 0)
		strange++;
	else
		ok++;
}

static void toucher(void *arg)
{
	uint64_t x = 0;

	for (unsigned i = 0; !stop; i++) {
		count(mmio(&u, REGION(0) + 8 * (i % 64), &x, 8, i & 1), -EFAULT);
		count(sys_pread(u.c, u.dev, &x, 8, REGION(4)), -EIO);
		count(sys_pwrite(u.c, u.dev, &x, 4, REGION(2) + 4 * (i % 1024)), -EIO);
		count(mmio(&u, REGION(2), &x, 4, false), -EFAULT);
	}
}

static void reader(void *arg)
{
	uint8_t config[256];

	while (!stop) {
		if (sys_pread(u.c, u.dev, config, sizeof(config), CONFIG) != sizeof(config))
			strange++;
		if (config[0] != 0x36 || config[1] != 0x1b)
			strange++;
	}
}

static void toggler(void *arg)
{
	unsigned pm = cfg_cap(&u, PCI_CAP_ID_PM);

	for (unsigned i = 0; i < ROUNDS; i++) {
		command(&u, i & 1 ? PCI_COMMAND_MEMORY : 0);
		if (i % 16 == 0) {
			cfg_write(&u, pm + PCI_PM_CTRL, 2, 3);
			cfg_write(&u, pm + PCI_PM_CTRL, 2, 0);
		}
	}
}

static void resetter(void *arg)
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		long rc = sys_ioctl_u(u.c, u.dev, VFIO_DEVICE_RESET, 0);

		if (rc && rc != -EAGAIN)
			strange++;
	}
}

static void run(void (*const fn[])(void *), unsigned n, unsigned waited)
{
	struct thread t[8];

	for (unsigned i = 0; i < n; i++)
		assert_int_equal(thread_start(&t[i], "race", fn[i], NULL), 0);
	for (unsigned i = 0; i < n; i++) {
		if (i == waited)
			stop = true;
		thread_join(&t[i]);
	}
}

/* MEM-06, MEM-21: access against memory disable, power states and reset */
static void memory(void **state)
{
	void (*const fn[])(void *) = { toggler, resetter, toucher, toucher, reader };
	uint64_t x;

	run(fn, ARRAY_SIZE(fn), 2);
	command(&u, PCI_COMMAND_MEMORY);
	assert_true(mmio(&u, REGION(0), &x, 8, false) >= 0); /* in the race itself it may be that nobody was lucky */
	assert_int_equal(cfg_read(&u, PCI_COMMAND, 2), PCI_COMMAND_MEMORY);
}

/* MEM-06, MEM-19: while memory stays enabled a reset makes nobody fail */
static void reset_only(void **state)
{
	void (*const fn[])(void *) = { resetter, toucher, toucher };

	run(fn, ARRAY_SIZE(fn), 1);
	assert_int_equal(gated, 0);
}

/* ---- interrupts ---- */

static int32_t fds[VECTORS];

static void firer(void *arg)
{
	for (unsigned i = 0; !stop; i++) {
		pci_msix_fire(d, i % VECTORS);
		pci_msi_fire(d, i % 4);
		pci_intx_set(d, i & 1);
	}
}

static void hooker(void *arg)
{
	int32_t off = -1;

	for (unsigned i = 0; i < ROUNDS; i++) {
		unsigned index = i % 3;
		unsigned n = index == VFIO_PCI_INTX_IRQ_INDEX ? 1 : VECTORS;

		if (irq_fds(&u, index, 0, n, fds))
			strange++;
		if (index == VFIO_PCI_INTX_IRQ_INDEX) {
			irqs(&u, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK, index, 0, 1, NULL, 0);
			command(&u, 7 | PCI_COMMAND_INTX_DISABLE);
			command(&u, 7);
		} else {
			irq_fds(&u, index, 1, 1, &off);
			irq_fds(&u, index, 1, 1, &fds[1]);
		}
		if (irq_off(&u, index))
			strange++;
	}
}

/* Messages and the pin against SET_IRQS and reset; afterwards nothing is stuck. */
static void interrupts(void **state)
{
	void (*const fn[])(void *) = { hooker, resetter, firer, firer, reader };

	for (unsigned i = 0; i < VECTORS; i++)
		fds[i] = efd();
	command(&u, 7);
	run(fn, ARRAY_SIZE(fn), 2);
	pci_intx_set(d, false);
	for (unsigned i = 0; i < VECTORS; i++)
		efd_take(fds[i]);
	assert_rc(irq_fds(&u, VFIO_PCI_INTX_IRQ_INDEX, 0, 1, fds), 0);
	pci_intx_set(d, true);
	assert_int_equal(efd_wait(fds[0]), 1);
	for (unsigned i = 0; i < VECTORS; i++)
		close(fds[i]);
}

static atomic_bool consumer_done;

static void acknowledge(void *arg)
{
	uint32_t set[5] = {
		sizeof(set), VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK, VFIO_PCI_INTX_IRQ_INDEX, 0, 1,
	};

	for (unsigned i = 0; i < 20 * ROUNDS; i++) { /* the windows are small */
		if (!efd_wait(fds[0])) {
			strange++;
			break;
		}
		pci_intx_set(d, false); /* as a program tells the device that it has seen it */
		if (sys_ioctl(u.c, u.dev, VFIO_DEVICE_SET_IRQS, set))
			strange++;
	}
	consumer_done = true;
}

static void raise_pin(void *arg)
{
	while (!consumer_done) {
		pci_intx_set(d, true);
		usleep(10);
	}
}

static void command_writer(void *arg)
{
	while (!consumer_done)
		command(&u, 7);
}

/* No edge of the pin is lost, whoever masks, unmasks or writes COMMAND at the moment. */
static void pin(void **state)
{
	void (*const fn[])(void *) = { acknowledge, raise_pin, command_writer };

	fds[0] = efd();
	consumer_done = false;
	assert_rc(irq_fds(&u, VFIO_PCI_INTX_IRQ_INDEX, 0, 1, fds), 0);
	run(fn, ARRAY_SIZE(fn), 1);
	close(fds[0]);
}

/* ---- users ---- */

static void opener(void *arg)
{
	for (unsigned i = 0; i < ROUNDS / 3; i++) {
		int fd = use_sibling(&u, A);
		uint64_t x;

		if (fd < 0) {
			if (fd != -EAGAIN)
				strange++;
			continue;
		}
		count(sys_pread(u.c, fd, &x, 8, REGION(0)), -EIO);
		sys_close(u.c, fd);
	}
}

/* First opens and last closes from several threads. */
static void opens(void **state)
{
	void (*const fn[])(void *) = { opener, opener, opener };

	p->strict = false; /* between users COMMAND is nobody's */
	sys_close(u.c, u.dev);
	run(fn, ARRAY_SIZE(fn), 0);
	assert_int_equal(gated, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(memory),
		TEST(reset_only),
		TEST(interrupts),
		TEST(pin),
		TEST(opens),
	};

	return cmocka_run_group_tests_name("vfio_pci-race", tests, NULL, NULL);
}
