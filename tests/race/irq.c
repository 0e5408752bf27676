/* SPDX-License-Identifier: MIT */
/*
 * Interrupts against all that changes where they go: SET_IRQS in every form, mask and unmask, resets, the close of the
 * device; while the device fires as fast as it can.
 *
 * - An eventfd that SET_IRQS has taken from a vector, or that a closed device had, is never signalled again.
 * - A vector that has an eventfd delivers there: a message that is sent afterwards arrives.
 * - The pin, which is masked when it fires: whoever masks and unmasks at the moment, by calls or by an eventfd, an
 *   interrupt that is acknowledged and unmasked is followed by the next.
 */
#include "race.h"
#include <poll.h>

#define MSIX_BDF "0000:01:00.0"
#define PIN_BDF  "0000:00:05.0"
#define VECTORS  8

static struct race_device dev;
static struct pci_dev *hw;
static atomic_uint fired, changes, delivered;

/* It must come; a minute is for a machine that is busy with other things. */
static void efd_wait(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	MUST(poll(&p, 1, 60000) == 1);
	MUST(race_efd_take(fd));
}

static long irqs(unsigned index, unsigned start, unsigned count, uint32_t flags, const void *data, size_t n)
{
	struct {
		struct vfio_irq_set set;
		int32_t data[VECTORS];
	} a = { .set = { .flags = flags, .index = index, .start = start, .count = count } };

	a.set.argsz = (uint32_t)(sizeof(a.set) + n);
	memcpy(a.data, data, n);
	return race_ioctl(dev.device, VFIO_DEVICE_SET_IRQS, &a);
}

static void hook(unsigned index, unsigned start, unsigned count, const int32_t *fds)
{
	MUST(irqs(index, start, count, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, fds, 4 * count) == 0);
	atomic_fetch_add(&changes, 1);
}

static void unhook_all(unsigned index)
{
	MUST(irqs(index, 0, 0, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER, "", 0) == 0);
	atomic_fetch_add(&changes, 1);
}

/* ---- messages ---- */

/* What each vector has, and two sets of eventfds to give: those out of use are drained once, and must stay empty. */
static struct {
	int fd[2][VECTORS];
	int now[VECTORS]; /* which of the two; -1: none */
} v;

static void retired(unsigned vector, int set)
{
	race_efd_take(v.fd[set][vector]);
}

static void retired_check(void)
{
	for (unsigned i = 0; i < VECTORS; i++) {
		for (int set = 0; set < 2; set++)
			MUST(v.now[i] == set || !race_efd_take(v.fd[set][i]));
	}
}

static void vectors_set(unsigned start, unsigned count, int set)
{
	int32_t fds[VECTORS];
	int old[VECTORS];

	for (unsigned i = 0; i < count; i++) {
		old[i] = v.now[start + i];
		fds[i] = set < 0 ? -1 : v.fd[set][start + i];
		v.now[start + i] = set;
	}
	hook(VFIO_PCI_MSIX_IRQ_INDEX, start, count, fds);
	for (unsigned i = 0; i < count; i++) {
		if (old[i] >= 0 && old[i] != set)
			retired(start + i, old[i]);
	}
}

static void vectors_off(void)
{
	unhook_all(VFIO_PCI_MSIX_IRQ_INDEX);
	for (unsigned i = 0; i < VECTORS; i++) {
		if (v.now[i] >= 0)
			retired(i, v.now[i]);
		v.now[i] = -1;
	}
}

/* The first call decides how many there are; it must not be refused. */
static void vectors_on(int set)
{
	vectors_set(0, VECTORS, set);
}

static void deliver(unsigned vector)
{
	if (v.now[vector] < 0)
		return;
	race_efd_take(v.fd[v.now[vector]][vector]);
	pci_msix_fire(hw, vector);
	efd_wait(v.fd[v.now[vector]][vector]);
	atomic_fetch_add(&delivered, 1);
}

static void hooker(unsigned rounds, bool delivers)
{
	unsigned seed = 4;

	vectors_on(0);
	for (unsigned i = 0; i < rounds; i++) {
		unsigned start = race_draw(&seed, VECTORS), count = 1 + race_draw(&seed, VECTORS - start);
		uint8_t yes[VECTORS] = { 1, 0, 1, 1 };

		switch (race_draw(&seed, 6)) {
		case 0:
			vectors_off();
			retired_check();
			vectors_on((int)race_draw(&seed, 2));
			break;
		case 1:
			irqs(VFIO_PCI_MSIX_IRQ_INDEX, start, count,
			     VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER, "", 0);
			break;
		case 2:
			irqs(VFIO_PCI_MSIX_IRQ_INDEX, start, count,
			     VFIO_IRQ_SET_DATA_BOOL | VFIO_IRQ_SET_ACTION_TRIGGER, yes, count);
			break;
		default:
			vectors_set(start, count, (int)race_draw(&seed, 3) - 1);
			break;
		}
		if (delivers)
			deliver(start);
		retired_check();
	}
	vectors_off();
	retired_check();
}

static void hook_and_deliver(void *arg)
{
	hooker(race_rounds(6000), true);
}

/* A message that is sent in the middle of a reset is lost, as on hardware. */
static void hook_through_resets(void *arg)
{
	hooker(race_rounds(4000), false);
}

static void firer(void *arg)
{
	while (!race_over()) {
		pci_msix_fire(hw, atomic_fetch_add(&fired, 1) % VECTORS);
		pci_msi_fire(hw, 0);
	}
}

/* As the program itself may make the device fire. */
static void bar_firer(void *arg)
{
	uint64_t at = race_region(dev.device, VFIO_PCI_BAR1_REGION_INDEX, NULL) + 16;

	while (!race_over()) {
		uint32_t vector = atomic_fetch_add(&fired, 1) % VECTORS;

		race_may(uvfio_pwrite(race_m, dev.device, &vector, 4, (off_t)at) < 0 ? -errno : 0, EIO);
	}
}

static void resetter(void *arg)
{
	while (!race_over())
		race_may(race_ioctl(dev.device, VFIO_DEVICE_RESET, NULL), EAGAIN);
}

/* Who has the device opens it, hooks, closes; the hardware goes on firing. */
static void closer(void *arg)
{
	unsigned rounds = race_rounds(1500);

	for (unsigned i = 0; i < rounds; i++) {
		race_device_open(MSIX_BDF, &dev);
		vectors_on((int)i % 2);
		race_device_close(&dev);
		for (unsigned n = 0; n < VECTORS; n++) {
			retired(n, v.now[n]);
			v.now[n] = -1;
		}
		retired_check();
	}
	retired_check();
}

static void messages_begin(bool open)
{
	race_begin();
	hw = pci_find(race_m->machine->pci, MSIX_BDF);
	MUST(hw);
	for (unsigned i = 0; i < VECTORS; i++) {
		v.fd[0][i] = race_efd_create();
		v.fd[1][i] = race_efd_create();
		v.now[i] = -1;
	}
	if (!open)
		return;
	race_device_open(MSIX_BDF, &dev);
	MUST(race_config_write(dev.device, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER) == 2);
}

static void messages_end(bool open)
{
	if (open)
		race_device_close(&dev);
	for (unsigned i = 0; i < VECTORS; i++) {
		close(v.fd[0][i]);
		close(v.fd[1][i]);
	}
	dev_put(&hw->dev);
	race_end();
}

/* ---- the pin ---- */

static int pin_fd, unmask_fd;

static void pin_register(unsigned at, uint32_t value)
{
	MUST(uvfio_pwrite(race_m, dev.device, &value, 4, (off_t)at) == 4); /* BAR 0 */
}

#define EDU_RAISE 0x60
#define EDU_ACK   0x64

static long pin_mask(uint32_t action)
{
	return irqs(VFIO_PCI_INTX_IRQ_INDEX, 0, 1, VFIO_IRQ_SET_DATA_NONE | action, "", 0);
}

static void pin_user(void *arg)
{
	unsigned rounds = race_rounds(6000), seed = 8;

	for (unsigned i = 0; i < rounds; i++) {
		pin_register(EDU_RAISE, 1);
		efd_wait(pin_fd);
		pin_register(EDU_ACK, UINT32_MAX);
		if (race_draw(&seed, 2))
			MUST(pin_mask(VFIO_IRQ_SET_ACTION_UNMASK) == 0);
		else
			race_efd_signal(unmask_fd);
		atomic_fetch_add(&delivered, 1);
	}
}

/* Masks and unmasks in between, and in the end unmasks, so that what is waited for comes. */
static void pin_masker(void *arg)
{
	while (!race_over()) {
		MUST(pin_mask(VFIO_IRQ_SET_ACTION_MASK) == 0);
		MUST(pin_mask(VFIO_IRQ_SET_ACTION_UNMASK) == 0);
		atomic_fetch_add(&changes, 1);
	}
}

static void pin_command(void *arg)
{
	while (!race_over()) {
		MUST(race_config_write(dev.device, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_INTX_DISABLE) == 2);
		MUST(race_config_write(dev.device, PCI_COMMAND, 2, PCI_COMMAND_MEMORY) == 2);
	}
}

static void pin_race(void)
{
	const struct race_actor actors[] = {
		ACTOR(pin_user, NULL), HELPER(pin_masker, NULL), HELPER(pin_command, NULL),
	};

	race_begin();
	race_device_open(PIN_BDF, &dev);
	MUST(race_config_write(dev.device, PCI_COMMAND, 2, PCI_COMMAND_MEMORY) == 2);
	pin_fd = race_efd_create();
	unmask_fd = race_efd_create();
	hook(VFIO_PCI_INTX_IRQ_INDEX, 0, 1, &pin_fd);
	MUST(irqs(VFIO_PCI_INTX_IRQ_INDEX, 0, 1, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_UNMASK, &unmask_fd,
		  4) == 0);
	race_run("irq-pin", "no interrupt of the pin is lost, whoever masks and unmasks it",
		 actors);
	unhook_all(VFIO_PCI_INTX_IRQ_INDEX);
	close(pin_fd);
	close(unmask_fd);
	race_device_close(&dev);
	race_end();
}

int main(void)
{
	const struct race_actor changed[] = {
		ACTOR(hook_and_deliver, NULL), HELPER(firer, NULL), HELPER(bar_firer, NULL),
	};
	const struct race_actor reset[] = {
		ACTOR(hook_through_resets, NULL), HELPER(firer, NULL), HELPER(bar_firer, NULL), HELPER(resetter, NULL),
	};
	const struct race_actor closed[] = { ACTOR(closer, NULL), HELPER(firer, NULL), HELPER(firer, NULL) };

	messages_begin(true);
	race_run("irq-changed", "an eventfd that was taken away stays silent, one that was given is told",
		 changed);
	messages_end(true);
	messages_begin(true);
	race_run("irq-reset", "so it is while the function is reset",
		 reset);
	messages_end(true);
	messages_begin(false);
	race_run("irq-closed", "a closed device signals nobody",
		 closed);
	messages_end(false);
	pin_race();
	printf("# %u messages fired, %u changes, %u delivered for sure\n", fired, changes, delivered);
	return 0;
}
