/* SPDX-License-Identifier: MIT */
/*
 * Another device's DMA to a function's BARs, which a container maps as memory, while memory of the function goes and
 * comes and the function is reset. What is sent while memory is off for sure never arrives; what is sent while it is on
 * does, at once in plain memory, and in registers some time later, as such writes are posted.
 */
#include "gated.h"
#include "peer.h"

#define BDF   "0000:01:00.0"
#define PLAIN 0x1000000u /* IOVAs of the BARs */
#define REGS  0x2000000u

static struct race_device dev;
static int peer_group;
static struct peer peer;
static struct gated g;
static const struct gated_user user[] = { { &g, 1 }, { &g, 2 }, { &g, 3 } };
static atomic_uint arrived, dropped;

/* ---- plain memory ---- */

static void plain_store(struct gated_slot *s, uint64_t v)
{
	struct gated_moment m = gated_now(&g, BY_CALL);

	peer_store(&peer, PLAIN + 8 * s->index, v);
	if (gated_still(&g, BY_CALL, m, OFF))
		atomic_fetch_add(&dropped, 1);
	else
		gated_stored(&g, s, v, m, gated_still(&g, BY_CALL, m, ON));
}

static void plain_check(struct gated_slot *s, bool by_dma)
{
	struct gated_moment m = gated_now(&g, BY_CALL);
	uint64_t v = 0;

	if (!by_dma) {
		if (gated_call(&g, false, g.plain_at + 8 * s->index, &v))
			gated_loaded(&g, s, v);
		return;
	}
	v = peer_load(&peer, PLAIN + 8 * s->index);
	MUST(!gated_still(&g, BY_CALL, m, OFF) || v == 0);
	if (gated_still(&g, BY_CALL, m, ON))
		gated_loaded(&g, s, v);
	else
		MUST(v <= s->value);
}

/* ---- registers ---- */

#define MARK BIT64(63)

/* Values sent while memory was off when the store began, but perhaps no more when it ended. */
static uint64_t late[8192];
static unsigned nlate;

static bool may_arrive(uint64_t v)
{
	for (unsigned i = 0; i < nlate; i++) {
		if (late[i] == v)
			return true;
	}
	return !(v & MARK);
}

static void register_store(uint64_t n)
{
	struct gated_moment m = gated_now(&g, BY_CALL);
	uint64_t v = m.step % STEPS == OFF ? n | MARK : n, at = 64 * user[1].n + 16, now = 0;

	peer_store(&peer, REGS + at, v);
	if (v & MARK && !gated_still(&g, BY_CALL, m, OFF)) {
		MUST(nlate < ARRAY_SIZE(late));
		late[nlate++] = v;
	}
	do {
		if (!gated_call(&g, false, g.regs_at + at, &now))
			continue;
		MUST(may_arrive(now));
		if (now == v)
			atomic_fetch_add(&arrived, 1);
	} while (now != v && gated_still(&g, BY_CALL, m, ON) && gated_quiet(&g, m));
}

/* One thread, as the peer has one buffer. In the end memory is on, and nobody takes it any more. */
static void sender(void *arg)
{
	struct gated_slot s = { .index = 8 * user[0].n };
	unsigned seed = 2;

	for (uint64_t n = 1; !race_over(); n++) {
		plain_store(&s, n);
		plain_check(&s, race_draw(&seed, 2));
		if (race_draw(&seed, 2))
			register_store(n);
	}
}

/* ---- */

static void switcher(void *arg)
{
	gated_switch(&g, race_rounds(400), gated_pm(&g), 1000);
}

static void resetter(void *arg)
{
	gated_resets(&g, race_rounds(600));
}

static void command_switcher(void *arg)
{
	gated_switch(&g, race_rounds(300), 0, 1000);
}

static void begin(void)
{
	int device;

	race_begin();
	race_device_open(BDF, &dev);
	gated_begin(&g, dev.device);
	MUST((peer_group = race_open_group(PEER_BDF)) >= 0);
	MUST(race_ioctl(peer_group, VFIO_GROUP_SET_CONTAINER, &dev.container) == 0);
	MUST((device = (int)race_ioctl(peer_group, VFIO_GROUP_GET_DEVICE_FD, (void *)PEER_BDF)) >= 0);
	peer_begin(&peer, device);
	MUST(race_map(dev.container, (void *)peer.page, PEER_WORD, 4096) == 0);
	MUST(race_map(dev.container, (void *)g.plain, PLAIN, g.plain_size) == 0);
	MUST(race_map(dev.container, (void *)g.regs, REGS, 4096) == 0);
	nlate = 0;
}

static void end(const char *name)
{
	uvfio_close(race_m, peer.device);
	uvfio_close(race_m, peer_group);
	gated_end(&g);
	race_device_close(&dev);
	race_end();
	peer_end(&peer);
	gated_say(&g, name);
	printf("# %u posted writes arrived in time, %u words sent in vain\n", arrived, dropped);
}

int main(void)
{
	const struct race_actor switched[] = {
		ACTOR(switcher, NULL), HELPER(sender, NULL), HELPER(gated_accessor, &user[2]), HELPER(gated_mapper, &g),
	};
	const struct race_actor reset[] = {
		ACTOR(resetter, NULL), HELPER(sender, NULL), HELPER(gated_accessor, &user[2]),
	};
	const struct race_actor both[] = {
		ACTOR(command_switcher, NULL), ACTOR(resetter, NULL), HELPER(sender, NULL), HELPER(gated_vectors, &g),
	};

	gated_catch();
	begin();
	race_run("dma-switched", "DMA to a BAR arrives while memory is on, and never what is sent while it is off",
		 switched);
	end("switched");
	begin();
	race_run("dma-reset", "what a reset leaves of a BAR is what was sent before it, or nothing",
		 reset);
	end("reset");
	begin();
	race_run("dma-both", "so it is when memory is switched and the function reset at once",
		 both);
	end("both");
	return 0;
}
