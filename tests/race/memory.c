/* SPDX-License-Identifier: MIT */
/*
 * Access to BARs against all that takes it away from one function: COMMAND.MEM, D3hot, resets (gated.h says what must
 * be and what must not).
 */
#include "gated.h"

#define BDF "0000:01:00.0"

static struct race_device dev;
static struct gated g;
static const struct gated_user user[] = { { &g, 1 }, { &g, 2 }, { &g, 3 } };

/* ---- on and off ---- */

static void switcher(void *arg)
{
	gated_switch(&g, race_rounds(400), gated_pm(&g), 0);
}

/* A reset wakes the function up, so by COMMAND only. */
static void command_switcher(void *arg)
{
	gated_switch(&g, race_rounds(300), 0, 0);
}

static void resetter(void *arg)
{
	gated_resets(&g, race_rounds(600));
}

static void reset_now_and_then(void *arg)
{
	while (!race_over()) {
		gated_reset(&g);
		usleep(200); /* no lock is fair to the other who writes */
	}
}

/* ---- what nobody changes reads the same whenever it can be read: memory is not there before its contents are ---- */

static volatile uint64_t *page_word(unsigned page)
{
	return &g.plain[(page + 1) * 512 - 1];
}

static void reader(void *arg)
{
	unsigned seed = 77, page;
	uint64_t v;

	while (!race_over()) {
		struct gated_moment m = gated_now(&g, BY_MAPPING);
		bool ok;

		page = race_draw(&seed, (unsigned)(g.plain_size / 4096));
		ok = gated_load(page_word(page), &v);
		gated_seen(&g, BY_MAPPING, m, ok);
		MUST(!ok || v == ~(uint64_t)page);
	}
}

/* ---- */

static void begin(void)
{
	race_begin();
	race_device_open(BDF, &dev);
	gated_begin(&g, dev.device);
	for (unsigned page = 0; page < g.plain_size / 4096; page++)
		*page_word(page) = ~(uint64_t)page;
}

static void end(const char *name)
{
	gated_end(&g);
	race_device_close(&dev);
	race_end();
	gated_say(&g, name);
}

int main(void)
{
	const struct race_actor switched[] = {
		ACTOR(switcher, NULL), HELPER(gated_accessor, &user[0]), HELPER(gated_accessor, &user[1]),
		HELPER(gated_mapper, &g), HELPER(reader, NULL),
	};
	const struct race_actor others[] = {
		ACTOR(switcher, NULL), HELPER(gated_accessor, &user[0]), HELPER(gated_signaller, &user[1]),
		HELPER(gated_rom, &g), HELPER(gated_vectors, &g),
	};
	const struct race_actor reset[] = {
		ACTOR(resetter, NULL), HELPER(gated_accessor, &user[0]), HELPER(gated_accessor, &user[1]),
		HELPER(gated_mapper, &g),
	};
	const struct race_actor others_reset[] = {
		ACTOR(resetter, NULL), HELPER(gated_accessor, &user[0]), HELPER(gated_signaller, &user[1]),
		HELPER(gated_rom, &g), HELPER(gated_vectors, &g),
	};
	const struct race_actor both[] = {
		ACTOR(command_switcher, NULL), HELPER(reset_now_and_then, NULL), HELPER(gated_accessor, &user[0]),
		HELPER(gated_accessor, &user[1]), HELPER(gated_mapper, &g), HELPER(gated_vectors, &g),
	};

	gated_catch();
	begin();
	race_run("memory-switched", "no access succeeds while memory is off, none fails while it is on",
		 switched);
	end("switched");
	begin();
	race_run("memory-others", "so it is for ioeventfds, the ROM, and messages that stores fire",
		 others);
	end("others");
	begin();
	race_run("memory-reset", "a reset makes accesses wait, and none fail",
		 reset);
	end("reset");
	begin();
	race_run("memory-others-reset", "nor does it lose ioeventfds, the ROM or messages",
		 others_reset);
	end("others, reset");
	begin();
	race_run("memory-both", "so it is when memory is switched and the function reset at once",
		 both);
	end("both");
	return 0;
}
