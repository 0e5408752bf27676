/* SPDX-License-Identifier: MIT */
/*
 * The pcitest functions of machine.yaml. One with everything: INTx by level, MSI, MSI-X, its ROM, and a function level
 * reset. And two that share a slot and have no reset of their own: a reboot of the guest is a hot reset of both.
 */
#include "guest.h"

/* BAR 0 of FACE, and BAR 1 of all of them */
#define FIRE   (0x10 / 4)
#define PIN    (0x14 / 4)
#define KEEPS  (0x100 / 4)
#define TABLE  (0x8000 / 4)
#define PBA    (0xc000 / 4)
#define RESETS (4 / 4)

static volatile u32 *regs;

/* ---- INTx ---- */

static volatile u32 rounds; /* interrupts to come before the device is told to lower its pin */

/*
 * Each has one access to the device, which is what QEMU takes for the end of an interrupt: it lowers the line and
 * unmasks. A device that has not lowered its pin then raises the line again.
 */
static void line_raised(void)
{
	if (rounds && --rounds)
		(void)regs[KEEPS];
	else
		regs[PIN] = 0;
}

static void test_intx(void)
{
	u32 irq = config_read(FACE, 0x3c) & 0xff;
	volatile u32 *n = &arrived[VECTOR_PIC + irq];
	u16 command = (u16)config_read(FACE, COMMAND);

	check(irq < 16 && (config_read(FACE, 0x3c) >> 8 & 0xff) == 1, "INTA has a line");
	take_line(irq, line_raised);
	config_write16(FACE, COMMAND, command | COMMAND_QUIET);
	rounds = 3;
	regs[PIN] = 1;
	check(config_read(FACE, COMMAND) >> 16 & 8, "the pin is up, says STATUS");
	check(*n == 0, "and INTx disabled keeps the line down");
	config_write16(FACE, COMMAND, command);
	check(comes_to(n, 3), "enabled, it interrupts until the pin is down: level");
	check(!(config_read(FACE, COMMAND) >> 16 & 8), "which STATUS says");
	rounds = 1;
	regs[PIN] = 1;
	check(comes_to(n, 4), "INTx fires again");
}

/* ---- MSI ---- */

static void test_msi(void)
{
	u32 msi = capability(FACE, 5), mask = msi + 16, ok = 1;

	check(msi && (config_read(FACE, msi) >> 17 & 7) == 2, "it has four MSIs");
	config_write(FACE, msi + 4, MESSAGE);
	config_write(FACE, msi + 8, 0);
	config_write(FACE, msi + 12, VECTOR_MSI);
	config_write16(FACE, msi + 2, (u16)((config_read(FACE, msi) >> 16 & ~0x70u) | 0x21));
	for (u32 v = 4; v-- > 0;) {
		regs[FIRE] = v;
		ok &= comes_to(&arrived[VECTOR_MSI + v], 1);
	}
	check(ok, "each of four MSIs arrived");
	config_write(FACE, mask, 4);
	regs[FIRE] = 2;
	regs[FIRE] = 3;
	check(comes_to(&arrived[VECTOR_MSI + 3], 2) && arrived[VECTOR_MSI + 2] == 1, "a masked MSI does not arrive");
	config_write(FACE, mask, 0);
	check(comes_to(&arrived[VECTOR_MSI + 2], 2), "until it is unmasked");
	config_write16(FACE, msi + 2, (u16)(config_read(FACE, msi) >> 16 & ~1u));
}

/* ---- MSI-X ---- */

static void test_msix(void)
{
	u32 msix = capability(FACE, 0x11), ok = 1;

	check(msix && (config_read(FACE, msix) >> 16 & 0x7ff) == 7, "it has eight MSI-X vectors");
	for (u32 v = 0; v < 8; v++) {
		volatile u32 *entry = regs + TABLE + 4 * v;

		entry[0] = MESSAGE;
		entry[1] = 0;
		entry[2] = VECTOR_MSIX + v;
		entry[3] = 0;
	}
	config_write16(FACE, msix + 2, 0x8007);
	for (u32 v = 0; v < 8; v++) {
		regs[FIRE] = v;
		ok &= comes_to(&arrived[VECTOR_MSIX + v], 1);
	}
	check(ok, "each of eight MSI-X vectors arrived");
	regs[TABLE + 4 * 5 + 3] = 1;
	regs[FIRE] = 5;
	for (u32 i = 0; i < 100000000 && !(regs[PBA] & 1u << 5); i++)
		relax();
	check(regs[PBA] == 1u << 5 && arrived[VECTOR_MSIX + 5] == 1, "a masked vector is pending");
	regs[TABLE + 4 * 5 + 3] = 0;
	check(comes_to(&arrived[VECTOR_MSIX + 5], 2) && !regs[PBA], "and arrives when unmasked");
	config_write16(FACE, msix + 2, 0x0007);
}

/* ---- the ROM ---- */

static void test_rom(void)
{
	u32 address = config_read(FACE, 0x30) & ~0x7ffu, same = 1;
	const volatile u8 *rom = (const volatile u8 *)address;

	config_write(FACE, 0x30, ~0x7ffu);
	check((config_read(FACE, 0x30) & ~0x7ffu) == 0xffff0000u, "its ROM has 64 KiB");
	config_write(FACE, 0x30, address | 1);
	check(address && rom[0] == 0x55 && rom[1] == 0xaa && rom[2] == 6, "an image of 3 KiB begins there");
	for (u32 i = 64; i < 3072; i++)
		same &= rom[i] == (u8)(i * 7 + i / 256);
	check(same, "and is all there");
	config_write(FACE, 0x30, address);
}

/* ---- FLR ---- */

static void test_flr(void)
{
	u32 exp = capability(FACE, 0x10), resets = bar(FACE, 1)[RESETS], command = config_read(FACE, COMMAND) & 0xffff;
	volatile u32 *plain = bar(FACE, 2);

	check(exp && config_read(FACE, exp + 4) >> 28 & 1, "it can be reset by itself");
	regs[KEEPS] = 0x12345678;
	plain[KEEPS] = 0x12345678;
	check(regs[KEEPS] == 0x12345678 && plain[KEEPS] == 0x12345678, "registers and memory keep what is stored");
	config_write16(FACE, exp + 8, (u16)(config_read(FACE, exp + 8) | 0x8000));
	check(regs[KEEPS] == 0 && plain[KEEPS] == 0, "until a function level reset");
	check(bar(FACE, 1)[RESETS] == resets + 1, "which the function saw once");
	check((config_read(FACE, COMMAND) & 0xffff) == command, "and COMMAND is as it was");
}

void test_face(void)
{
	check(config_read(FACE, 0) == 0x00021234, "the pcitest is on the bus");
	regs = bar(FACE, 0);
	test_intx();
	test_msi();
	test_msix();
	test_rom();
	test_flr();
}

/* ---- a reboot ---- */

/* In memory that nobody else uses, so that it outlives the reboot. */
static volatile struct {
	u32 magic, resets[2];
} *const past = (void *)0x2000000;
#define MAGIC 0x6b637562

int reset_begun(void)
{
	return past->magic == MAGIC;
}

void reset_begin(void)
{
	for (u32 n = 0; n < 2; n++) {
		u32 exp = capability(TWIN(n), 0x10);

		bar(TWIN(n), 0)[KEEPS] = 0x12345678;
		past->resets[n] = bar(TWIN(n), 1)[RESETS];
		check(exp && !(config_read(TWIN(n), exp + 4) >> 28 & 1), "a twin cannot be reset by itself");
	}
	past->magic = MAGIC;
	outb(0xcf9, 2);
	outb(0xcf9, 6);
	for (;;)
		__asm__ volatile("hlt");
}

void reset_check(void)
{
	past->magic = 0;
	for (u32 n = 0; n < 2; n++) {
		check(bar(TWIN(n), 0)[KEEPS] == 0, "a reboot has reset a twin");
		check(bar(TWIN(n), 1)[RESETS] > past->resets[n], "which it saw");
	}
}
