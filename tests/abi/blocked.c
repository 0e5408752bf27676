/* SPDX-License-Identifier: MIT */
/*
 * What comes of a load or store of a mapped BAR while memory is disabled: SIGBUS, or, where the machine file says so,
 * all ones (tests/machines/all_ones.yaml); and that report and log say who did it, and who had disabled memory.
 */
#include "face.h"
#include <signal.h>
#include <sys/prctl.h>

static struct setup s;
static volatile char *trapped, *plain; /* BARs 0 and 5 */

static volatile char *map_bar(unsigned index)
{
	void *p = x_mmap(NULL, 0x10000, PROT_READ | PROT_WRITE, MAP_SHARED, s.device, REGION(index));

	EXPECT(p != MAP_FAILED);
	return p;
}

static void begin(void)
{
	s = open_device(FACE);
	trapped = map_bar(0);
	plain = map_bar(5);
}

static bool all_ones(void)
{
	return strcmp(test_machine(), "all_ones") == 0;
}

static void load(void *p)
{
	uint32_t v = *(volatile uint32_t *)p;

	EXPECT(!all_ones() || v == 0xffffffff);
}

/* A load of 4 bytes of disabled memory. */
static void load_blocked(volatile char *p)
{
	EXPECT_EQ(all_ones() ? 0 : SIGBUS, signal_of(load, (void *)p));
}

static void store_blocked_byte(void *p)
{
	*(volatile uint8_t *)p = 0x55;
}

/* ---- the three ways to disable memory, and back ---- */

static void memory(bool on)
{
	uint32_t command = config_read(s.device, 4, 2);

	config_write(s.device, 4, 2, on ? command | 2 : command & ~2u);
}

static void power(bool on)
{
	config_write(s.device, cap(s.device, 1) + 4, 2, on ? 0 : 3);
}

static void low_power(bool out)
{
	struct vfio_device_feature f = { .argsz = sizeof(f), .flags = VFIO_DEVICE_FEATURE_SET };

	f.flags |= out ? VFIO_DEVICE_FEATURE_LOW_POWER_EXIT : VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY;
	EXPECT_OK(x_ioctl(s.device, VFIO_DEVICE_FEATURE, &f));
}

/* ---- what is answered ---- */

static void expect_ones(volatile char *p)
{
	uint8_t copy[64];

	EXPECT_EQ(0xff, *(volatile uint8_t *)p);
	EXPECT_EQ(0xffff, *(volatile uint16_t *)p);
	EXPECT_EQ(0xffffffff, *(volatile uint32_t *)p);
	EXPECT_EQ(-1, *(volatile int64_t *)p);
	for (unsigned i = 0; i < sizeof(copy); i++)
		copy[i] = ((volatile uint8_t *)p)[i];
	for (unsigned i = 0; i < sizeof(copy); i++)
		EXPECT_EQ(0xff, copy[i]);
	*(volatile uint64_t *)p = 0x5555555555555555;
	__atomic_fetch_add((uint32_t *)p, 1, __ATOMIC_SEQ_CST);
}

static void ones_until(void (*turn)(bool on))
{
	volatile uint64_t *a = (volatile uint64_t *)(trapped + 0x100), *b = (volatile uint64_t *)(plain + 0x100);

	*a = 0x1122334455667788;
	*b = 0x99aabbccddeeff00;
	turn(false);
	expect_ones(trapped + 0x100);
	expect_ones(plain + 0x100);
	expect_ones(plain + 0x8100); /* a page never touched before */
	turn(true);
	EXPECT(*a == 0x1122334455667788);
	EXPECT(*b == 0x99aabbccddeeff00);
	EXPECT(*(volatile uint64_t *)(plain + 0x8100) == 0);
}

TEST_ON("all_ones", command, "20:MEM-03 20:MEM-01", "a machine can answer for disabled memory as a bus does: all ones, and stores are lost; calls fail as ever")
{
	uint32_t v;

	begin();
	ones_until(memory);
	memory(false);
	EXPECT_ERR(EIO, x_pread(s.device, &v, 4, REGION(0)));
	EXPECT_ERR(EIO, x_pwrite(s.device, &v, 4, REGION(5)));
}

TEST_ON("all_ones", states, "20:MEM-04 20:MEM-09", "so it can in D3hot, and in low power mode")
{
	begin();
	ones_until(power);
	ones_until(low_power);
}

/* ---- what is said ---- */

static const char *text_of(const char *file)
{
	static char text[65536];
	int fd = EXPECT_OK(x_open(file, O_RDONLY));
	size_t n = 0;
	ssize_t got;

	while ((got = EXPECT_OK(x_read(fd, text + n, sizeof(text) - 1 - n))) > 0)
		n += (size_t)got;
	text[n] = 0;
	x_close(fd);
	return text;
}

/* The report has "HEAD by PROGRAM (pid N)TAIL". */
static void expect_reported(const char *head, const char *tail)
{
	const char *report = text_of("/sys/kernel/uvfio/report");
	char line[300], comm[16];

	prctl(PR_GET_NAME, comm);
	snprintf(line, sizeof(line), "%s by %s (pid %d)%s", head, comm, getpid(), tail);
	if (!strstr(report, line))
		test_fail(__FILE__, __LINE__, "wanted:\n%s\nreport:\n%s", line, report);
}

TEST(report_command, "20:MEM-02", "the report says who touched what while memory was disabled, and who had disabled it by which write")
{
	uint32_t command;
	char how[100];

	begin();
	command = config_read(s.device, 4, 2) & ~2u;
	config_write(s.device, 4, 2, command);
	load_blocked(trapped + 0x10);
	load_blocked(trapped + 0x10);
	EXPECT_EQ(all_ones() ? 0 : SIGBUS, signal_of(store_blocked_byte, (void *)(plain + 0x2001)));
	expect_reported("  pcitest " FACE " load of 4 bytes at BAR 0 + 0x10", "  (2 times)\n");
	snprintf(how, sizeof(how), ", which wrote 0x%04x to config 0x04, at ", command);
	expect_reported("\n    COMMAND.MEM was cleared", how);
	expect_reported("  pcitest " FACE " store of 1 byte at BAR 5 + 0x2001", "\n    COMMAND.MEM was cleared by ");
	EXPECT(strstr(text_of("/sys/kernel/uvfio/report"), all_ones() ? "disabled: all ones" : "disabled: SIGBUS\n"));
}

TEST(report_power, "20:MEM-04 20:MEM-09", "and that it was put into D3hot, or into low power")
{
	char how[100];

	begin();
	power(false);
	load_blocked(plain + 0x20);
	power(true);
	low_power(false);
	load_blocked(plain + 0x30);
	low_power(true);
	expect_reported("load of 4 bytes at BAR 5 + 0x20", "\n    it was put into D3hot by ");
	snprintf(how, sizeof(how), ", which wrote 0x0003 to config 0x%02x (PMCSR), at ", cap(s.device, 1) + 4);
	expect_reported("it was put into D3hot", how);
	expect_reported("load of 4 bytes at BAR 5 + 0x30", "\n    it was put into low power by ");
	expect_reported("it was put into low power", ", at ");
	EXPECT(strstr(text_of("/sys/kernel/uvfio/report"), "s before)\n"));
}

TEST(report_woken, "20:MEM-02 20:MEM-04", "a device that another's reset has woken is not said to sleep; and when it sleeps again, by which write")
{
	unsigned pm;

	begin();
	pm = cap(s.device, 1) + 4;
	config_write(s.device, pm, 2, 3);
	EXPECT_OK(sys_write("/sys/bus/pci/devices/" FACE "/reset", "1"));
	memory(false);
	load_blocked(trapped + 0x50);
	memory(true);
	expect_reported("load of 4 bytes at BAR 0 + 0x50", "\n    COMMAND.MEM was cleared by ");
	config_write(s.device, pm, 1, 3);
	load_blocked(trapped + 0x54);
	expect_reported("it was put into D3hot", ", which wrote 0x03 to config ");
}

static unsigned occurrences(const char *text, const char *of)
{
	unsigned n = 0;

	while ((text = strstr(text, of))) {
		text += strlen(of);
		n++;
	}
	return n;
}

TEST(log_first, "20:MEM-02", "the log says it at once, of the first access; what is alike or follows is not said again")
{
	char line[100];
	uint32_t command;

	begin();
	command = (config_read(s.device, 4, 2) & ~2u) | 0x640; /* no other test writes this */
	snprintf(line, sizeof(line), "which wrote 0x%04x to config 0x04", command);
	for (unsigned turn = 0; turn < 3; turn++) {
		config_write(s.device, 4, 2, command);
		load_blocked(trapped + 0x40);
		load_blocked(trapped + 0x44);
		EXPECT_EQ(1, occurrences(text_of("/sys/kernel/uvfio/log"), line));
		memory(true);
	}
	EXPECT_EQ(1, occurrences(text_of("/sys/kernel/uvfio/report"), line));
	expect_reported("load of 4 bytes at BAR 0 + 0x40", "  (3 times)\n");
	expect_reported("load of 4 bytes at BAR 0 + 0x44", "  (3 times)\n");
	EXPECT(strstr(text_of("/sys/kernel/uvfio/log"), FACE ": memory is disabled: load of 4 bytes at BAR 0 + 0x40 by "));
}

TEST(report_many, "20:MEM-02", "of more places than the report shows, it shows those touched last")
{
	char line[100];

	begin();
	memory(false);
	for (unsigned i = 0; i < 100; i++)
		load_blocked(trapped + 0x1000 + 4 * i);
	snprintf(line, sizeof(line), "BAR 0 + 0x%x by", 0x1000 + 4 * 99);
	EXPECT(strstr(text_of("/sys/kernel/uvfio/report"), line));
	EXPECT(!strstr(text_of("/sys/kernel/uvfio/report"), "BAR 0 + 0x1000 by"));
	EXPECT(strstr(text_of("/sys/kernel/uvfio/report"), "those seen last"));
}
