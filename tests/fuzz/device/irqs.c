/* SPDX-License-Identifier: MIT */
/* Interrupts, and eventfds of the host. */
#include "calls.h"
#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static bool events_changed;

static void event_make(int fd)
{
	int made = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	assert(made >= 0 && dup3(made, fd, O_CLOEXEC) == fd);
	close(made);
}

void events_boot(void)
{
	for (int i = 0; i < EVENTS; i++)
		event_make(EVENT + i);
}

void events_end(void)
{
	uint64_t n;

	for (int i = 0; i < EVENTS; i++) {
		if (events_changed)
			event_make(EVENT + i);
		else
			(void)!read(EVENT + i, &n, sizeof(n));
	}
	events_changed = false;
	/* Also those that no program had open, whose pin no reset takes back */
	for (unsigned i = 0; i < npci; i++)
		pci_intx_set(devices[i].pci, false);
}

int event_pick(void)
{
	static const int none[] = { -1, -2, HOST_FILE, 999999 };
	uint8_t b = byte();

	return b & 0x80 ? none[b & 3] : EVENT + b % EVENTS;
}

void do_set_irqs(void)
{
	struct {
		struct vfio_irq_set a;
		uint8_t data[48];
	} x = { 0 };
	int fd = pick(DEVICE);
	uint8_t b = byte(), c = byte();
	static const uint32_t actions[] = { VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_IRQ_SET_ACTION_UNMASK,
					    VFIO_IRQ_SET_ACTION_MASK, 0 };
	static const uint32_t data[] = { VFIO_IRQ_SET_DATA_EVENTFD, VFIO_IRQ_SET_DATA_NONE, VFIO_IRQ_SET_DATA_BOOL, 0 };

	x.a.argsz = sizeof(x);
	x.a.index = b & 7;
	x.a.flags = actions[b >> 3 & 3] | data[b >> 5 & 3];
	x.a.start = c & 0xf;
	x.a.count = c >> 4;
	if (b & 0x80) { /* what is rarely right */
		x.a.argsz = flags();
		x.a.flags = flags();
		x.a.start = flags();
		x.a.count = flags();
	}
	if (x.a.flags & VFIO_IRQ_SET_DATA_EVENTFD) {
		for (unsigned i = 0; i < MIN(x.a.count, 12u); i++) {
			int32_t event = event_pick();

			memcpy(x.data + 4 * i, &event, 4);
		}
	} else if (x.a.flags & VFIO_IRQ_SET_DATA_BOOL) {
		for (unsigned i = 0; i < MIN(x.a.count, 48u); i++)
			x.data[i] = byte();
	}
	CALL(fd, VFIO_DEVICE_SET_IRQS, x);
}

/* The hardware wants attention. */
void do_fire(void)
{
	uint8_t b = byte(), vector = byte();
	struct pci_dev *d = devices[b % npci].pci;

	switch (b >> 6) {
	case 0:
	case 1:
		pci_irq_fire(d, vector % 40);
		break;
	case 2:
		pci_intx_set(d, vector & 1);
		break;
	case 3:
		pci_error_report(d);
		break;
	}
}

/* The program signals one, reads one, or closes one and makes another of its number. */
void do_signal(void)
{
	uint8_t b = byte();
	int fd = EVENT + b % EVENTS;
	uint64_t n = 1;

	switch (b >> 6) {
	case 0:
	case 1:
		(void)!write(fd, &n, sizeof(n));
		break;
	case 2:
		(void)!read(fd, &n, sizeof(n));
		break;
	case 3:
		event_make(fd);
		events_changed = true;
		break;
	}
}

void do_ioeventfd(void)
{
	struct vfio_device_ioeventfd a = { .argsz = sizeof(a) };
	int fd = pick(DEVICE);
	uint8_t b = byte();
	unsigned region = b >> 4 & 7;

	a.flags = b & 8 ? flags() : 1u << (b & 3);
	a.offset = (uint64_t)REGION(region) | offset_in(region);
	a.data = byte();
	a.fd = event_pick();
	CALL(fd, VFIO_DEVICE_IOEVENTFD, a);
}
