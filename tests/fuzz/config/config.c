/* SPDX-License-Identifier: MIT */
/*
 * A libFuzzer target: config space of one function, written and read by a program in every size and place, with
 * resets, power states and interrupts in between (config.yaml is the machine). After each call:
 *
 *	what no program may change has not changed, nor has the chain of capabilities (rules.c)
 *	what is kept for the program is what it wrote last
 *	a read is the same in one piece and byte by byte
 *	registers of the hardware that are the host's are as they were
 *	memory answers if the last COMMAND said so and the power state allows it, and only then
 *	nothing is to be read or written beyond the end
 *
 * The input: the first byte (modulo) is the function; then calls as in lib/fuzz.h.
 */
#include "config.h"
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static const char *names[] = { "0000:01:00.0", "0000:00:04.0", "0000:00:05.0", "0000:02:00.0", "0000:03:01.0", NULL };
#define VF   4
#define MOST 128 /* bytes at once */

static int fd = -1, event = -1;
static struct pci_dev *dev;
static struct rules rules;
static bool memory; /* the last COMMAND said so */
static uint8_t host[LOOKED]; /* of the hardware, at open */

/* ---- what holds ---- */

static void fail(const char *what, unsigned at, unsigned is, unsigned was)
{
	fprintf(stderr, "%s: %s at %#x: %#x, expected %#x\n", pci_dev_name(dev), what, at, is, was);
	abort();
}

static void check_bytes(void)
{
	uint8_t now[LOOKED];
	unsigned n = MIN(dev->config_size, (unsigned)LOOKED);

	assert(uvfio_pread(m, fd, now, n, CONFIG) == (ssize_t)n);
	for (unsigned i = 0; i < n; i++) {
		if ((now[i] ^ rules.first[i]) & ~rules.may[i])
			fail("a bit that is not the program's changed", i, now[i], rules.first[i]);
		if ((now[i] ^ rules.written[i]) & rules.kept[i])
			fail("not what was written", i, now[i], rules.written[i]);
	}
}

static void check_host(void)
{
	for (unsigned i = 0; i < MIN(dev->config_size, (unsigned)LOOKED); i++) {
		uint8_t now = rules.host[i] ? (uint8_t)pci_config_read(dev, i, 1) : 0;

		if ((now ^ host[i]) & rules.host[i])
			fail("a register of the host's changed", i, now, host[i]);
	}
}

static void check_memory(void)
{
	uint32_t v;
	bool answers = uvfio_pread(m, fd, &v, 4, REGION(VFIO_PCI_BAR0_REGION_INDEX)) == 4;

	if (answers != ((memory || dev->physfn) && pci_power(dev) < 3))
		fail("memory answers", 0, answers, !answers);
}

static void check(void)
{
	check_bytes();
	check_host();
	check_memory();
}

/* ---- calls ---- */

static void reset(void)
{
	uvfio_ioctl(m, fd, VFIO_DEVICE_RESET, NULL);
}

/* The administrator's, behind the program's back */
static void reset_by_file(void)
{
	char path[128];
	int file;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/reset", pci_dev_name(dev));
	file = uvfio_open(m, path, O_WRONLY);
	if (file >= 0) {
		uvfio_write(m, file, "1", 1);
		uvfio_close(m, file);
	}
}

/* MSI, MSI-X, INTx: so many, or none */
static void interrupts(void)
{
	struct {
		struct vfio_irq_set a;
		int32_t fds[8];
	} x = { .a.argsz = sizeof(x) };
	uint8_t b = byte();

	x.a.index = b & 3;
	x.a.count = b >> 2 & 7;
	x.a.flags = VFIO_IRQ_SET_ACTION_TRIGGER | (x.a.count ? VFIO_IRQ_SET_DATA_EVENTFD : VFIO_IRQ_SET_DATA_NONE);
	for (unsigned i = 0; i < x.a.count; i++)
		x.fds[i] = event;
	uvfio_ioctl(m, fd, VFIO_DEVICE_SET_IRQS, &x);
}

static unsigned size(void)
{
	uint8_t b = byte();

	return b < 0xc0 ? 1u << (b & 3) : b % (MOST + 1);
}

/* A register of the header or of a capability that there is, or anywhere. */
static unsigned place_in(void)
{
	uint8_t b = byte(), c = byte();

	if (b == 0xff)
		return dev->config_size - (c & 7);
	if (b & 0x80)
		return (b & 0x7fu) << 8 | c;
	return rules.cap[b % rules.ncaps] + (c & 0x3f);
}

static void write_any(void)
{
	uint8_t bytes[MOST];
	unsigned at = place_in(), n = size();
	bool inside = at < dev->config_size && n <= dev->config_size - at;
	ssize_t rc;

	for (unsigned i = 0; i < n; i++)
		bytes[i] = byte();
	rc = uvfio_pwrite(m, fd, bytes, n, CONFIG + at);
	assert(!n || (inside ? rc == (ssize_t)n : rc < 0 && errno == EFAULT));
	for (unsigned i = 0; inside && i < n && at + i < LOOKED; i++)
		rules.written[at + i] = bytes[i];
	if (inside && at <= PCI_COMMAND && at + n > PCI_COMMAND)
		memory = bytes[PCI_COMMAND - at] & PCI_COMMAND_MEMORY;
}

static void read_any(void)
{
	uint8_t whole[MOST + 1], one;
	unsigned at = place_in(), n = size();
	bool inside = at < dev->config_size && n <= dev->config_size - at;
	ssize_t rc;

	whole[n] = 0x5a;
	rc = uvfio_pread(m, fd, whole, n, CONFIG + at);
	assert(!n || (inside ? rc == (ssize_t)n : rc < 0 && errno == EFAULT));
	assert(whole[n] == 0x5a);
	for (unsigned i = 0; inside && i < n; i++) {
		assert(uvfio_pread(m, fd, &one, 1, CONFIG + at + i) == 1);
		if (one != whole[i])
			fail("read in one piece", at + i, whole[i], one);
	}
}

/* What capabilities do besides keeping bits: at once, as it takes long to be found. */
static void write_known(void)
{
	static const struct {
		uint8_t id, offset, width;
		uint16_t value;
	} table[] = {
		{ PCI_CAP_ID_PM, PCI_PM_CTRL, 2, 3 }, { PCI_CAP_ID_PM, PCI_PM_CTRL, 2, 0 },
		{ PCI_CAP_ID_PM, PCI_PM_CTRL, 1, 1 }, { PCI_CAP_ID_EXP, PCI_EXP_DEVCTL, 2, PCI_EXP_DEVCTL_BCR_FLR },
		{ PCI_CAP_ID_EXP, PCI_EXP_DEVCTL, 2, 0x5020 },
		{ PCI_CAP_ID_AF, PCI_AF_CTRL, 1, PCI_AF_CTRL_FLR }, { PCI_CAP_ID_VPD, PCI_VPD_ADDR, 2, 0x0004 },
		{ PCI_CAP_ID_VPD, PCI_VPD_ADDR, 2, 0x8004 }, { PCI_CAP_ID_MSI, PCI_MSI_FLAGS, 2, 0x0071 },
		{ PCI_CAP_ID_MSIX, PCI_MSIX_FLAGS, 2, 0xc000 }, { 0, PCI_COMMAND, 2, 0 }, { 0, PCI_COMMAND, 2, 6 },
	};
	unsigned i = byte() % ARRAY_SIZE(table), at = table[i].id ? rules_find(&rules, table[i].id) : 0;

	if (table[i].id && !at)
		return;
	at += table[i].offset;
	uvfio_pwrite(m, fd, &table[i].value, table[i].width, CONFIG + at);
	memcpy(rules.written + at, &table[i].value, table[i].width);
	if (at == PCI_COMMAND)
		memory = table[i].value & PCI_COMMAND_MEMORY;
}

static void (*const calls[])(void) = { write_any, write_any, read_any, write_known, write_known, interrupts, reset,
				       reset_by_file };

/* ---- a program ---- */

/* The virtual function comes at run time. */
static void boot(void)
{
	const char *vf = names[VF];

	names[VF] = NULL;
	fuzz_boot(FUZZ_MACHINE, names);
	fuzz_put("/sys/bus/pci/devices/0000:03:00.0/sriov_numvfs", "1");
	fuzz_put("/sys/bus/pci/devices/0000:03:01.0/driver_override", "vfio-pci");
	fuzz_put("/sys/bus/pci/drivers_probe", vf);
	names[VF] = vf;
	fuzz_device_add(vf);
	event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

static void begin(void)
{
	unsigned i = byte() % ndevices;

	dev = devices[i].pci;
	fd = open_device(i, open_ctx());
	memory = true;
	rules_make(&rules, fd, dev);
	for (unsigned at = 0; at < MIN(dev->config_size, (unsigned)LOOKED); at++)
		host[at] = (uint8_t)pci_config_read(dev, at, 1);
	check();
}

__attribute__((visibility("default"))) int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!m)
		boot();
	in = data;
	in_end = data + size;
	begin();
	while (in < in_end) {
		calls[byte() % ARRAY_SIZE(calls)]();
		check();
	}
	fuzz_end();
	return 0;
}
