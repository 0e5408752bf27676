/* SPDX-License-Identifier: MIT */
/*
 * Access against low power mode: while a function is in it every touch of a mapping is SIGBUS, and calls are answered,
 * which wakes it for as long as they last. With a wakeup eventfd they end the mode, and the eventfd says so once.
 */
#include "gated.h"

#define BDF "0000:01:00.0"

static struct race_device dev;
static struct gated g;
static const struct gated_user user[] = { { &g, 1 }, { &g, 2 } };
static atomic_uint woken;

static void feature(uint32_t number, int fd)
{
	struct {
		struct vfio_device_feature f;
		struct vfio_device_low_power_entry_with_wakeup w;
	} a = {
		.f = { .argsz = sizeof(a.f), .flags = VFIO_DEVICE_FEATURE_SET | number },
		.w = { .wakeup_eventfd = fd },
	};

	if (fd >= 0)
		a.f.argsz = sizeof(a);
	MUST(race_ioctl(g.device, VFIO_DEVICE_FEATURE, &a) == 0);
}

static void sleep_once(void)
{
	uint64_t x;

	gated_step(&g, BY_MAPPING, GOING_OFF);
	feature(VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY, -1);
	gated_step(&g, BY_MAPPING, OFF);
	MUST(!gated_load(&g.plain[0], &x) && !gated_load(&g.regs[4], &x));
	MUST(gated_call(&g, false, g.plain_at, &x));
	MUST(!gated_load(&g.plain[0], &x));
	gated_step(&g, BY_MAPPING, GOING_ON);
	feature(VFIO_DEVICE_FEATURE_LOW_POWER_EXIT, -1);
	gated_step(&g, BY_MAPPING, ON);
	MUST(gated_load(&g.plain[0], &x) && gated_load(&g.regs[4], &x));
}

/* The mode ends with whoever's call comes first, or with EXIT. */
static void doze_once(int fd)
{
	uint64_t x;

	gated_step(&g, BY_MAPPING, GOING_OFF);
	feature(VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP, fd);
	MUST(gated_call(&g, false, g.plain_at, &x));
	feature(VFIO_DEVICE_FEATURE_LOW_POWER_EXIT, -1);
	gated_step(&g, BY_MAPPING, ON);
	MUST(gated_load(&g.plain[0], &x) && gated_load(&g.regs[4], &x));
	if (race_efd_take(fd))
		atomic_fetch_add(&woken, 1);
	MUST(!race_efd_take(fd));
}

static void sleeper(void *arg)
{
	unsigned rounds = race_rounds(500), seed = 12;
	int fd = race_efd_create();

	for (unsigned i = 0; i < rounds; i++) {
		if (race_draw(&seed, 3))
			sleep_once();
		else
			doze_once(fd);
	}
	close(fd);
}

static void resetter(void *arg)
{
	while (!race_over()) {
		gated_reset(&g);
		usleep(200);
	}
}

static void begin(void)
{
	race_begin();
	race_device_open(BDF, &dev);
	gated_begin(&g, dev.device);
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
	const struct race_actor slept[] = {
		ACTOR(sleeper, NULL), HELPER(gated_accessor, &user[0]), HELPER(gated_signaller, &user[1]),
		HELPER(gated_mapper, &g), HELPER(gated_rom, &g), HELPER(gated_vectors, &g),
	};
	const struct race_actor reset[] = {
		ACTOR(sleeper, NULL), HELPER(resetter, NULL), HELPER(gated_accessor, &user[0]),
		HELPER(gated_accessor, &user[1]), HELPER(gated_mapper, &g),
	};

	gated_catch();
	begin();
	race_run("lowpower-slept", "in low power mode mappings do not answer, calls do",
		 slept);
	end("slept");
	begin();
	race_run("lowpower-reset", "and no reset ends the mode",
		 reset);
	end("reset");
	printf("# %u times a call has ended the mode\n", woken);
	return 0;
}
