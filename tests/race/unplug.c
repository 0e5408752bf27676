/* SPDX-License-Identifier: MIT */
/*
 * A function, or the port above it, is unplugged while programs have it open, access it, and have another device write
 * to its BARs. The administrator waits until they have let go, for which they are asked by their REQ eventfd; until
 * then everything answers. Then there is nobody to open, and no DMA that reaches anything, though the container still
 * has the BARs mapped; with it found again all begins anew.
 */
#include "gated.h"
#include "peer.h"
#include <sys/mman.h>

#define BDF   "0000:01:00.0"
#define PORT  "0000:00:03.0"
#define PLAIN 0x1000000u /* IOVAs of the BARs */
#define REGS  0x2000000u

static struct race_device peer_dev;
static struct peer peer;
static struct gated there; /* only its step by calls: is the function there? */
static atomic_int last_device = -1;
static _Atomic(volatile uint64_t *) last_regs;
static atomic_uint sessions, requests, removals, in_vain;

/* ---- the administrator ---- */

static void absent(void)
{
	char text[16];

	gated_step(&there, BY_CALL, OFF);
	MUST(race_open_group(BDF) == -ENOENT);
	MUST(race_read(text, sizeof(text), "/sys/bus/pci/devices/%s/vendor", BDF) == -ENOENT);
	MUST(race_write("1", "/sys/bus/pci/devices/%s/remove", BDF) == -ENOENT);
	atomic_fetch_add(&removals, 1);
}

static void plugger(void *arg)
{
	unsigned rounds = race_rounds(150), seed = 11;

	for (unsigned i = 0; i < rounds; i++) {
		gated_step(&there, BY_CALL, GOING_OFF);
		MUST(race_write("1", "/sys/bus/pci/devices/%s/remove", i % 2 ? BDF : PORT) == 1);
		absent();
		race_pause(&seed, 2000);
		gated_step(&there, BY_CALL, GOING_ON);
		MUST(race_write("1", "/sys/bus/pci/rescan") == 1);
		race_pause(&seed, 10000); /* so that somebody has it */
	}
}

/* ---- users ---- */

static void request_set(int device, int fd)
{
	struct {
		struct vfio_irq_set h;
		int32_t fd;
	} a = {
		.h = { .argsz = 24, .flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
		       .index = VFIO_PCI_REQ_IRQ_INDEX, .count = 1 },
	};

	memcpy((char *)&a + sizeof(a.h), &fd, 4);
	MUST(race_ioctl(device, VFIO_DEVICE_SET_IRQS, &a) == 0);
}

/* It answers as long as it is open, asked for or not. The stranger may reset it. */
static void answers(struct gated *g, unsigned *seed)
{
	uint64_t v = race_draw(seed, 1000), got;

	MUST(gated_call(g, true, g->plain_at, &v) && gated_load(&g->plain[0], &got) && (got == v || !got));
	MUST(gated_store(&g->regs[8], v) && gated_call(g, false, g->regs_at + 64, &got) && (got == v || !got));
}

static void session(int device, unsigned *seed)
{
	unsigned patience = race_draw(seed, 200);
	int fd = race_efd_create();
	struct gated g;

	request_set(device, fd);
	gated_begin(&g, device);
	atomic_store(&last_device, device);
	atomic_store(&last_regs, g.regs);
	/* What was left of the last one. Nobody else has the function now. */
	MUST(race_unmap(peer_dev.container, PLAIN, g.plain_size) == 0);
	MUST(race_unmap(peer_dev.container, REGS, 4096) == 0);
	MUST(race_map(peer_dev.container, (void *)g.plain, PLAIN, g.plain_size) == 0);
	MUST(race_map(peer_dev.container, (void *)g.regs, REGS, 4096) == 0);
	while (patience-- && !race_efd_take(fd))
		answers(&g, seed);
	atomic_fetch_add(&requests, patience + 1 != 0);
	answers(&g, seed);
	gated_end(&g);
	uvfio_close(race_m, device);
	close(fd);
	atomic_fetch_add(&sessions, 1);
}

static void user_once(unsigned *seed)
{
	int container, group, device;

	race_may(race_write("vfio-pci", "/sys/bus/pci/devices/%s/driver_override", BDF), ENOENT, ENODEV);
	race_may(race_write(BDF, "/sys/bus/pci/drivers/vfio-pci/bind"), ENODEV, EBUSY);
	group = race_open_group(BDF);
	if (!race_may(group, ENOENT, ENODEV, EBUSY))
		return;
	MUST((container = race_open("/dev/vfio/vfio")) >= 0);
	if (race_may(race_ioctl(group, VFIO_GROUP_SET_CONTAINER, &container), EPERM, ENODEV) &&
	    race_may(race_ioctl_u(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), EINVAL)) {
		device = (int)race_ioctl(group, VFIO_GROUP_GET_DEVICE_FD, (void *)BDF);
		if (race_may(device, ENODEV, EINVAL, EAGAIN))
			session(device, seed);
	}
	uvfio_close(race_m, group);
	uvfio_close(race_m, container);
}

static void user(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;

	while (!race_over())
		user_once(&seed);
}

/* Uses what is another's, and perhaps no more: any number or address, and nothing may come of it. */
static void stranger(void *arg)
{
	uint64_t v;

	while (!race_over()) {
		int device = atomic_load(&last_device);
		volatile uint64_t *regs = atomic_load(&last_regs);

		uvfio_pread(race_m, device, &v, 8, (off_t)1 << 40);
		uvfio_ioctl(race_m, device, VFIO_DEVICE_RESET, NULL);
		if (regs)
			gated_load(&regs[16], &v);
		usleep(200);
	}
}

/* ---- the other device ---- */

static void sender(void *arg)
{
	unsigned seed = 31;

	for (uint64_t n = 1; !race_over(); n++) {
		struct gated_moment m = gated_now(&there, BY_CALL);
		unsigned at = 8 * (32 + race_draw(&seed, 64));

		peer_store(&peer, PLAIN + at, n);
		peer_store(&peer, REGS + at, n);
		MUST(peer_load(&peer, race_draw(&seed, 2) ? PLAIN + at : REGS + at) == 0 ||
		     !gated_still(&there, BY_CALL, m, OFF));
		atomic_fetch_add(&in_vain, gated_still(&there, BY_CALL, m, OFF));
	}
}

/* ---- */

int main(void)
{
	const struct race_actor actors[] = {
		ACTOR(plugger, NULL), HELPER(user, 1), HELPER(user, 2), HELPER(stranger, NULL), HELPER(sender, NULL),
	};

	gated_catch();
	race_begin();
	race_device_open(PEER_BDF, &peer_dev);
	peer_begin(&peer, peer_dev.device);
	MUST(race_map(peer_dev.container, (void *)peer.page, PEER_WORD, 4096) == 0);
	race_run("unplug", "who unplugs a function waits for its users, and no DMA reaches what is no longer there",
		 actors);
	race_device_close(&peer_dev);
	race_end();
	peer_end(&peer);
	printf("# %u removals, %u sessions, %u of them asked to end, %u words sent in vain\n", removals, sessions,
	       requests, in_vain);
	return 0;
}
