/* SPDX-License-Identifier: MIT */
/*
 * Hot reset of a slot with three functions, all in one program's hands, against accesses to two of them and to the
 * memory of one going and coming. Who accesses waits, on whichever function; what all three had in memory is gone; and
 * a hot reset that finds somebody at one of them is refused, and then has done nothing to any.
 */
#include "gated.h"

#define FUNCTIONS 3

static const char *const bdf[FUNCTIONS] = { "0000:07:00.0", "0000:07:00.1", "0000:07:00.2" };
static int container, group, device[FUNCTIONS];
static struct gated g[FUNCTIONS];
static const struct gated_user user[] = { { &g[0], 1 }, { &g[0], 2 }, { &g[1], 1 }, { &g[1], 2 } };
static atomic_uint done, refused;

static long hot_reset(int by)
{
	struct {
		struct vfio_pci_hot_reset h;
		int32_t fd;
	} a = { .h = { .argsz = sizeof(a), .count = 1 }, .fd = group };

	return race_ioctl(by, VFIO_DEVICE_PCI_HOT_RESET, &a);
}

/* One word of the function that nobody accesses: there after a reset that was refused, gone after one that was done. */
static void reset_all(unsigned i)
{
	uint64_t v = i + 1;
	bool ok;

	MUST(gated_call(&g[2], true, g[2].plain_at, &v));
	for (unsigned f = 0; f < FUNCTIONS; f++)
		gated_resetting(&g[f], true);
	ok = race_may(hot_reset(device[i % FUNCTIONS]), EBUSY, EAGAIN);
	for (unsigned f = 0; f < FUNCTIONS; f++)
		gated_resetting(&g[f], false);
	atomic_fetch_add(ok ? &done : &refused, 1);
	MUST(gated_call(&g[2], false, g[2].plain_at, &v));
	MUST(v == (ok ? 0 : i + 1));
}

static void resetter(void *arg)
{
	unsigned rounds = race_rounds(1500), seed = 5;

	for (unsigned i = 0; i < rounds; i++) {
		reset_all(i);
		race_pause(&seed, 200);
	}
}

static void switcher(void *arg)
{
	while (!race_over()) {
		gated_memory(&g[0], false, 0);
		usleep(100);
		gated_memory(&g[0], true, 0);
		usleep(100);
	}
}

/* Of one function: it goes with the others' resets, in whatever order. */
static void function_resetter(void *arg)
{
	while (!race_over()) {
		gated_reset(&g[1]);
		usleep(500);
	}
}

static void begin(void)
{
	race_begin();
	MUST((group = race_open_group(bdf[0])) >= 0);
	MUST((container = race_open("/dev/vfio/vfio")) >= 0);
	MUST(race_ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) == 0);
	MUST(race_ioctl_u(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) == 0);
	for (unsigned f = 0; f < FUNCTIONS; f++) {
		MUST((device[f] = (int)race_ioctl(group, VFIO_GROUP_GET_DEVICE_FD, (void *)bdf[f])) >= 0);
		gated_begin(&g[f], device[f]);
	}
}

/* Nobody is at the functions now, so nothing refuses it. */
static void end(const char *name)
{
	MUST(hot_reset(device[0]) == 0);
	for (unsigned f = 0; f < FUNCTIONS; f++) {
		gated_end(&g[f]);
		uvfio_close(race_m, device[f]);
	}
	uvfio_close(race_m, group);
	uvfio_close(race_m, container);
	race_end();
	for (unsigned f = 0; f < 2; f++)
		gated_say(&g[f], name);
	printf("# %u hot resets done, %u refused\n", done, refused);
}

int main(void)
{
	const struct race_actor accessed[] = {
		ACTOR(resetter, NULL), HELPER(gated_accessor, &user[0]), HELPER(gated_accessor, &user[2]),
		HELPER(gated_mapper, &g[1]), HELPER(gated_vectors, &g[0]),
	};
	const struct race_actor switched[] = {
		ACTOR(resetter, NULL), HELPER(switcher, NULL), HELPER(function_resetter, NULL),
		HELPER(gated_accessor, &user[0]), HELPER(gated_signaller, &user[3]), HELPER(gated_rom, &g[0]),
		HELPER(gated_vectors, &g[1]),
	};

	gated_catch();
	begin();
	race_run("hotreset-accessed", "who accesses functions of a slot that is reset waits, and loses what it held",
		 accessed);
	end("accessed");
	begin();
	race_run("hotreset-switched", "so it is while memory of one is switched and another is reset by itself",
		 switched);
	end("switched");
	return 0;
}
