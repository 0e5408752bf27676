/* SPDX-License-Identifier: MIT */
/*
 * A libFuzzer target: the MSI-X table of one function, and a model of what a program can see of it (msix.yaml is the
 * machine). Eventfds are hooked to vectors, unhooked, closed and replaced by others of their number; the device
 * fires; the program stores to the table and around it, through the file and through a mapping, turns bus mastering
 * and memory on and off, resets, and puts the function to sleep. After each call:
 *
 *	every eventfd has been signalled as often as the model says, also those whose number is closed or another's
 *	pending bits are those of vectors that fired while nobody had hooked them
 *	the hardware's entries are the host's: addressed to their number, masked unless hooked
 *	bytes beside the table are what was stored there; the table read by the file is all ones
 *
 * The input: the first byte (modulo) is the function; then calls as in lib/fuzz.h.
 */
#include "fuzz.h"
#include "pci/priv.h"
#include "touch.h"
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

static const char *const names[] = { "0000:01:00.0", "0000:02:00.0", "0000:03:00.0", "0000:00:06.0", NULL };

#define VECTORS 2048
#define EVENTS  3
#define EVENT   1010 /* their numbers */
#define MADE    64   /* in a program */
#define AROUND  32   /* bytes beside the table that are looked at */
#define WINDOW  ((char *)0x300000000000)

/* An eventfd, and how often it was signalled. We keep a descriptor, whatever becomes of the program's. */
struct made {
	int fd;
	uint64_t signals;
};

/* What the program has done. */
static struct made made[MADE];
static unsigned nmade;
static struct made *numbered[EVENTS]; /* what is open by that number; NULL: nothing */
static struct made *hooked[VECTORS];
static bool pending[VECTORS];
static bool enabled, memory, master;
static bool master_saved; /* when it went to D3hot, where it forgets */
static uint8_t beside[2][AROUND]; /* before and behind the table */
static bool beside_there[2];

/* The function */
static int fd = -1;
static struct pci_dev *dev;
static unsigned count, bar, pba_bar;
static uint64_t table, pba;

/* ---- eventfds ---- */

static void event_open(unsigned i)
{
	if (nmade == MADE)
		return;
	made[nmade] = (struct made){ .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC) };
	assert(made[nmade].fd >= 0 && dup3(made[nmade].fd, EVENT + (int)i, O_CLOEXEC) >= 0);
	numbered[i] = &made[nmade++];
}

static void event_close(unsigned i)
{
	if (numbered[i])
		close(EVENT + (int)i);
	numbered[i] = NULL;
}

static void events_end(void)
{
	for (unsigned i = 0; i < EVENTS; i++)
		event_close(i);
	while (nmade)
		close(made[--nmade].fd);
}

/* ---- what holds ---- */

static bool answers(void)
{
	return memory && pci_power(dev) < 3;
}

/* As on Linux, COMMAND written in D3hot says what is answered, and is forgotten by the function. */
static bool arrives(void)
{
	return answers() && pci_memory_decodes(dev);
}

static void check_signals(void)
{
	for (unsigned i = 0; i < nmade; i++) {
		uint64_t n = 0;

		(void)!read(made[i].fd, &n, sizeof(n));
		if (n != made[i].signals) {
			fprintf(stderr, "eventfd %u: %lu signals, expected %lu\n", i, n, made[i].signals);
			abort();
		}
		made[i].signals = 0;
	}
}

static void check_entries(void)
{
	const struct pci_msix *x = &dev->priv->msix;

	for (unsigned i = 0; i < count; i++) {
		const uint32_t *w = x->entry[i].word;
		bool pends = x->pending[i / 64] >> i % 64 & 1;

		assert(w[3] == (hooked[i] == NULL));
		assert(!enabled || (w[2] == i && !w[1]));
		assert(pends == pending[i]);
	}
}

/* As the program sees it. @offset of the bytes beside the table */
static uint64_t beside_at(unsigned side)
{
	return side ? table + 16ull * count : table - AROUND;
}

static void check_reads(void)
{
	uint8_t got[AROUND], bits[VECTORS / 8];
	unsigned n = (count + 63) / 64 * 8;

	assert(uvfio_pread(m, fd, got, 16, REGION(bar) + (off_t)table) == 16);
	for (unsigned i = 0; i < 16; i++)
		assert(got[i] == 0xff);
	if (!arrives())
		return;
	for (unsigned side = 0; side < 2; side++) {
		if (!beside_there[side])
			continue;
		assert(uvfio_pread(m, fd, got, AROUND, REGION(bar) + (off_t)beside_at(side)) == AROUND);
		assert(memcmp(got, beside[side], AROUND) == 0);
	}
	assert(uvfio_pread(m, fd, bits, n, REGION(pba_bar) + (off_t)pba) == n);
	for (unsigned i = 0; i < count; i++)
		assert((bits[i / 8] >> i % 8 & 1) == pending[i]);
}

static void check(void)
{
	check_signals();
	check_entries();
	check_reads();
}

/* ---- SET_IRQS ---- */

struct request {
	struct vfio_irq_set a;
	union {
		int32_t fds[16];
		uint8_t bools[64];
	};
};

static int set_irqs(struct request *r, uint32_t data, unsigned start, unsigned n)
{
	r->a = (struct vfio_irq_set){ sizeof(*r), data | VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_PCI_MSIX_IRQ_INDEX, start,
		n };
	return uvfio_ioctl(m, fd, VFIO_DEVICE_SET_IRQS, r);
}

static void forget_all(void)
{
	memset(hooked, 0, sizeof(hooked));
	memset(pending, 0, sizeof(pending));
	enabled = false;
}

static void signal_one(struct made *e)
{
	e->signals++;
}

/* A message that pends goes out when the mask does, if it can be sent at all. */
static bool can_send(void)
{
	return master && pci_power(dev) == 0;
}

static void hook_model(unsigned v, struct made *e)
{
	hooked[v] = e;
	if (!e)
		return;
	if (pending[v] && can_send())
		signal_one(e);
	pending[v] = false;
}

/* Fails at the first that is no eventfd; those before it are unhooked, and if it was to be turned on it is off. */
static void do_hook(void)
{
	struct request r = { 0 };
	unsigned start = byte() % count, n = byte() % 16 + 1, bad;
	struct made *want[16];
	bool was = enabled;
	int rc;

	n = MIN(n, count - start);
	bad = n;
	for (unsigned i = 0; i < n; i++) {
		uint8_t b = byte();
		unsigned e = b % EVENTS;

		want[i] = b & 0x80 ? NULL : numbered[e];
		r.fds[i] = b & 0x80 ? -1 : EVENT + (int)e;
		if (r.fds[i] >= 0 && !want[i] && bad == n)
			bad = i;
	}
	rc = set_irqs(&r, VFIO_IRQ_SET_DATA_EVENTFD, start, n);
	assert((rc == 0) == (bad == n));
	for (unsigned i = 0; i < bad; i++)
		hook_model(start + i, want[i]);
	for (unsigned i = 0; bad < n && i <= bad; i++)
		hooked[start + i] = NULL;
	enabled = true;
	if (bad < n && !was)
		forget_all();
}

static void do_loopback(void)
{
	struct request r = { 0 };
	uint8_t b = byte();
	unsigned start = byte() % count, n = MIN(b % 64u, count - start);

	for (unsigned i = 0; i < n; i++)
		r.bools[i] = b & 0x80 ? byte() & 1 : 1;
	if (!n)
		return;
	assert((set_irqs(&r, b & 0x80 ? VFIO_IRQ_SET_DATA_BOOL : VFIO_IRQ_SET_DATA_NONE, start, n) == 0) == enabled);
	for (unsigned i = 0; enabled && i < n; i++) {
		if (r.bools[i] && hooked[start + i])
			signal_one(hooked[start + i]);
	}
}

static void do_disable(void)
{
	struct request r = { 0 };

	assert((set_irqs(&r, VFIO_IRQ_SET_DATA_NONE, 0, 0) == 0) == enabled);
	forget_all();
}

static void do_event(void)
{
	uint8_t b = byte();

	if (b & 0x80)
		event_close(b % EVENTS);
	else
		event_open(b % EVENTS);
}

/* ---- the device ---- */

static void do_fire(void)
{
	unsigned v = (unsigned)raw(2) % (count + 1);

	pci_msix_fire(dev, v);
	if (!enabled || v == count)
		return;
	if (!hooked[v])
		pending[v] = true;
	else if (can_send())
		signal_one(hooked[v]);
}

static void power_on_model(void)
{
	memset(pending, 0, sizeof(pending));
	memset(beside, 0, sizeof(beside));
}

static void power_model(unsigned was)
{
	unsigned now = pci_power(dev);

	if (was == now || !pci_forgets_in_d3(dev))
		return;
	if (now == 3) {
		master_saved = master;
		return;
	}
	power_on_model();
	master = master_saved;
}

static void do_function_reset(void)
{
	unsigned was = pci_power(dev);

	if (uvfio_ioctl(m, fd, VFIO_DEVICE_RESET, NULL))
		return;
	power_model(was);
	power_on_model();
}

static void do_command(void)
{
	uint16_t v = byte() & (PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_IO);

	assert(uvfio_pwrite(m, fd, &v, 2, CONFIG + PCI_COMMAND) == 2);
	memory = v & PCI_COMMAND_MEMORY;
	master = v & PCI_COMMAND_MASTER;
}

/* By the function's own capability, which its config space has or has not */
static void do_power(void)
{
	uint16_t v = byte() & 1 ? 3 : 0;
	unsigned was = pci_power(dev);

	if (dev->priv->cap_pm)
		assert(uvfio_pwrite(m, fd, &v, 2, CONFIG + dev->priv->cap_pm + PCI_PM_CTRL) == 2);
	power_model(was);
}

/* ---- stores ---- */

static void store_model(uint64_t at, const uint8_t *bytes, unsigned n)
{
	for (unsigned side = 0; side < 2; side++) {
		for (unsigned i = 0; i < n; i++) {
			uint64_t to = at + i - beside_at(side);

			if (to < AROUND)
				beside[side][to] = bytes[i];
		}
	}
}

/* From the bytes before the table to those behind, or somewhere in it */
static uint64_t store_at(void)
{
	uint8_t b = byte();

	if (b < 0x40)
		return table - MIN((uint64_t)AROUND, table) + b;
	if (b < 0x80)
		return table + 16ull * count - AROUND + (b & 0x3f);
	return table + 16ull * (b % count) + (byte() & 15);
}

/* What pending bits lie in is nobody's to store to. */
static bool hits_pending(uint64_t at, unsigned n)
{
	return bar == pba_bar && at < pba + (count + 63) / 64 * 8 && pba < at + n;
}

static void do_store(void)
{
	uint64_t at = store_at();
	uint8_t bytes[64];
	unsigned n = byte() % (sizeof(bytes) + 1);

	if (hits_pending(at, n))
		return;
	for (unsigned i = 0; i < n; i++)
		bytes[i] = byte();
	uvfio_pwrite(m, fd, bytes, n, REGION(bar) + (off_t)at);
	if (arrives())
		store_model(at, bytes, n);
}

static void do_touch(void)
{
	uint64_t at = store_at(), v = raw(4) * 0x100000001;
	unsigned width = 1u << (byte() & 3);
	uint8_t bytes[8];

	memcpy(bytes, &v, sizeof(bytes));
	if (hits_pending(at, width) || (at & (width - 1)))
		return;
	assert(touch(WINDOW + at, width, true, &v) == answers());
	if (arrives())
		store_model(at, bytes, width);
}

static void (*const calls[])(void) = {
	do_hook, do_hook, do_fire, do_fire, do_store, do_touch, do_event, do_command, do_loopback, do_disable,
	do_function_reset, do_power,
};

/* ---- a program ---- */

static void begin(void)
{
	unsigned i = byte() % ndevices;
	uint64_t size;

	dev = devices[i].pci;
	count = pci_msix_count(dev);
	pci_msix_where(dev, &bar, &table);
	pba = dev->priv->msix.pba;
	pba_bar = dev->priv->msix.pba_bar;
	fd = open_device(i, open_ctx());
	memory = master = true;
	forget_all();
	memset(beside, 0, sizeof(beside));
	size = pci_bar(dev, bar)->size;
	beside_there[0] = table >= AROUND && !hits_pending(table - AROUND, AROUND);
	beside_there[1] = table + 16ull * count + AROUND <= size && !hits_pending(table + 16ull * count, AROUND);
	assert(uvfio_mmap(m, WINDOW, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, REGION(bar)) == WINDOW);
	for (unsigned e = 0; e < EVENTS; e++)
		event_open(e);
	check();
}

__attribute__((visibility("default"))) int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!m)
		fuzz_boot(FUZZ_MACHINE, names);
	in = data;
	in_end = data + size;
	begin();
	for (unsigned i = 0; in < in_end && i < 100; i++) {
		calls[byte() % ARRAY_SIZE(calls)]();
		check();
	}
	uvfio_munmap(m, WINDOW, pci_bar(dev, bar)->size);
	events_end();
	fuzz_end();
	return 0;
}
