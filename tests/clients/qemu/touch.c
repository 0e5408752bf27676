/* SPDX-License-Identifier: MIT */
/*
 * A guest that disables a function's memory and then touches its BAR. Whether that reaches the host's mapping, and so
 * kills QEMU, depends on whether QEMU has taken the BAR out of the guest's address space by then.
 */
#include "guest.h"

#define AT (0x240 / 4)

/* QEMU takes it out when COMMAND.MEM is cleared: it answers itself then, and lives. */
void touch_command(void)
{
	volatile u32 *regs = bar(FACE, 0), *plain = bar(FACE, 2);
	u16 command = (u16)config_read(FACE, COMMAND);

	plain[AT] = 0x12345678;
	(void)regs[AT];
	config_write16(FACE, COMMAND, (u16)(command & ~COMMAND_MEM));
	check(plain[AT] != 0x12345678, "without COMMAND.MEM its memory is not there");
	plain[AT] = regs[AT] = 0;
	config_write16(FACE, COMMAND, command);
	check(plain[AT] == 0x12345678, "with it, it is as it was");
}

/*
 * But QEMU passes the write on before that, and another processor reads all the time. It sees all ones when its load
 * has reached disabled memory, if that did not kill QEMU.
 */
static volatile u32 *raced, loads, ones;

static void race(void)
{
	for (;;) {
		ones += raced[AT] == 0xffffffff;
		loads++;
	}
}

void touch_racing(void)
{
	u16 command;

	raced = bar(FACE, 2);
	command = (u16)config_read(FACE, COMMAND);
	start_processor(race);
	while (!ones) {
		u32 was = loads;

		while (loads == was) /* until it is running */
			relax();
		config_write16(FACE, COMMAND, (u16)(command & ~COMMAND_MEM));
		config_write16(FACE, COMMAND, command);
	}
	check(1, "another processor has read all ones");
}

/* Of power states QEMU before 10 knows nothing: the BAR stays where it is. */
void touch_asleep(void)
{
	u32 pm = capability(FACE, 1);
	volatile u32 *plain = bar(FACE, 2);

	plain[AT] = 0x12345678;
	check(pm != 0, "it has power states");
	config_write16(FACE, pm + 4, 3);
	check(plain[AT] != 0x12345678, "in D3hot its memory does not answer");
	config_write16(FACE, pm + 4, 0);
	check(plain[AT] == 0x12345678, "in D0 it is as it was");
}
