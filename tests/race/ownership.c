/* SPDX-License-Identifier: MIT */
/*
 * One group of four functions that everybody wants: programs who claim it, map memory and let go in any order; an
 * administrator who binds and unbinds host drivers and vfio-pci; another who unplugs and rescans; and devices that are
 * hostile: they do DMA whenever they like, whatever anybody thinks that they do.
 *
 * What is checked:
 *
 * - Between the return of GET_DEVICE_FD and the close of that file nobody's kernel driver is bound: not by its own
 *   count, which its probe and its remove keep, not by the "driver" links, not by the group's count.
 * - In the probe and the remove of a kernel driver the group has no user, and no member's DMA reaches what users map
 *   (the kernel's domain has no mappings).
 * - A user's page is filled with poison when UNMAP, or whatever else took the mapping away, has returned. From then on
 *   the poison stays, and no device ever reads it. What devices write says which group they are of.
 * - In the end all counts are zero.
 */
#include "race.h"
#include <sys/mman.h>

#define IOVA   0x1000000ull /* everybody's */
#define WORDS  (UVFIO_PAGE_SIZE / 8)
#define POISON 0xdead0000dead0000ull
#define FRESH  0x0f0f0f0f0f0f0f0full
#define TAG    0x7a60000000000000ull /* and the number of the group */

static const char *const bdfs[] = { "0000:00:02.0", "0000:00:02.1", "0000:00:02.2", "0000:00:02.3" };
#define LONER "0000:00:05.0"

struct shared_group {
	const char *const *bdfs;
	unsigned n;
	unsigned id;
	struct iommu_group *group; /* a reference of our own */
	atomic_int bound;          /* kernel drivers, from probe to the end of remove */
	atomic_uint window;        /* odd: a user has a device file */
};
static struct shared_group groups[2];

static struct {
	atomic_uint claims, devices, maps, probes, refused, claims_refused, dma_hits, dma_misses, plugs, binds;
} seen;

/* ---- hostile hardware ---- */

static struct pci_dev *function_get(const char *bdf)
{
	struct pci_dev *d = pci_find(race_m->machine->pci, bdf);

	if (d)
		pci_config_write(d, PCI_COMMAND, 2, PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY | PCI_COMMAND_IO);
	return d;
}

static void attack(struct shared_group *g, unsigned *seed)
{
	struct pci_dev *d = function_get(g->bdfs[race_draw(seed, g->n)]);
	uint64_t line[8], at = IOVA + 64 * race_draw(seed, UVFIO_PAGE_SIZE / 64);
	bool hit;

	if (!d)
		return;
	if (race_draw(seed, 2)) {
		for (unsigned i = 0; i < 8; i++)
			line[i] = TAG | g->id;
		hit = pci_dma_write(d, at, line, sizeof(line)) == 0;
	} else {
		hit = pci_dma_read(d, at, line, sizeof(line)) == 0;
		for (unsigned i = 0; hit && i < 8; i++)
			MUST(line[i] == FRESH || line[i] == (TAG | g->id));
	}
	atomic_fetch_add(hit ? &seen.dma_hits : &seen.dma_misses, 1);
	dev_put(&d->dev);
}

static void attacker(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;

	while (!race_over())
		attack(&groups[race_draw(&seed, 8) == 0], &seed);
}

/* ---- a kernel driver ---- */

static struct shared_group *group_of(struct pci_dev *d)
{
	struct iommu_group *g = iommu_dev_group(d->iommu);

	MUST(g == groups[0].group || g == groups[1].group); /* also when it was plugged in again */
	return &groups[g == groups[1].group];
}

static void driver_check(struct pci_dev *own)
{
	struct shared_group *g = group_of(own);
	unsigned count;
	void *owner;
	uint64_t word;

	iommu_group_owner(g->group, &count, &owner);
	MUST(count > 0 && owner == NULL);
	MUST(atomic_load(&g->window) % 2 == 0);
	for (unsigned i = 0; i < g->n; i++) {
		struct pci_dev *d = function_get(g->bdfs[i]);

		if (!d)
			continue;
		MUST(pci_dma_read(d, IOVA, &word, sizeof(word)) < 0);
		dev_put(&d->dev);
	}
}

static int driver_probe(struct drv *drv, struct dev *dev)
{
	struct pci_dev *d = pci_dev_of(dev);

	atomic_fetch_add(&group_of(d)->bound, 1);
	atomic_fetch_add(&seen.probes, 1);
	driver_check(d);
	if (atomic_load(&seen.probes) % 8)
		return 0;
	atomic_fetch_sub(&group_of(d)->bound, 1);
	return -ENODEV;
}

static void driver_remove(struct drv *drv, struct dev *dev)
{
	struct pci_dev *d = pci_dev_of(dev);

	driver_check(d);
	atomic_fetch_sub(&group_of(d)->bound, 1);
}

static const struct drv_ops driver_ops = { .probe = driver_probe, .remove = driver_remove };
static const struct drv_id driver_ids[] = {
	{ .vendor = 0x1000, .device = DRV_ANY_ID, .subvendor = DRV_ANY_ID, .subdevice = DRV_ANY_ID },
	{ 0 },
};
static struct drv driver = {
	.name = "checker", .what = "looks for users where it is bound", .ops = &driver_ops, .ids = driver_ids,
	.uses_dma = true,
};

/* ---- users ---- */

struct user {
	unsigned seed, rounds;
	struct shared_group *g;
	volatile uint64_t *page;
	int container, group, device; /* -1: closed */
	const char *bdf;              /* of the device */
	bool mapped;                  /* as far as this program knows */
	unsigned next;
};

static void page_fill(struct user *u, uint64_t word)
{
	for (unsigned i = 0; i < WORDS; i++)
		u->page[i] = word;
}

static void page_poisoned(struct user *u)
{
	for (unsigned i = 0; i < WORDS; i++)
		MUST(u->page[i] == POISON);
}

/* The mapping is gone for sure. */
static void unmapped(struct user *u)
{
	if (!u->mapped)
		return;
	u->mapped = false;
	for (unsigned i = 0; i < WORDS; i++)
		MUST(u->page[i] == FRESH || u->page[i] == (TAG | u->g->id));
	page_fill(u, POISON);
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		MUST(uvfio_close(race_m, *fd) == 0);
	*fd = -1;
}

static void device_close(struct user *u)
{
	if (u->device < 0)
		return;
	MUST(atomic_fetch_add(&u->g->window, 1) % 2 == 1);
	close_fd(&u->device);
}

/* The device holds the group, and the group the claim. */
static void group_close(struct user *u)
{
	bool last = u->device < 0;

	close_fd(&u->group);
	if (last)
		unmapped(u);
}

/* The group keeps it, but nobody can unmap any more. */
static void container_close(struct user *u)
{
	if (!u->mapped)
		close_fd(&u->container);
}

static void group_open(struct user *u)
{
	char path[64];
	int fd;

	if (u->group >= 0)
		return;
	snprintf(path, sizeof(path), "/dev/vfio/%u", u->g->id);
	fd = race_open(path);
	if (race_may(fd, ENOENT, ENODEV, EBUSY))
		u->group = fd;
}

static void container_open(struct user *u)
{
	if (u->container >= 0)
		return;
	MUST((u->container = race_open("/dev/vfio/vfio")) >= 0);
}

static void set_container(struct user *u)
{
	long rc = race_ioctl(u->group, VFIO_GROUP_SET_CONTAINER, &u->container);

	if (u->group < 0 || u->container < 0) {
		MUST(rc == -EBADF);
		return;
	}
	if (race_may(rc, EPERM, EINVAL, ENODEV))
		atomic_fetch_add(&seen.claims, 1);
	else if (rc == -EPERM)
		atomic_fetch_add(&seen.claims_refused, 1);
}

static void device_open(struct user *u)
{
	const char *bdf = u->g->bdfs[race_draw(&u->seed, u->g->n)];
	unsigned count;
	void *owner;
	long fd;

	if (u->device >= 0 || u->group < 0)
		return;
	fd = race_ioctl(u->group, VFIO_GROUP_GET_DEVICE_FD, (void *)bdf);
	if (!race_may(fd, ENODEV, EINVAL, EAGAIN))
		return;
	u->device = (int)fd;
	u->bdf = bdf;
	MUST(atomic_fetch_add(&u->g->window, 1) % 2 == 0);
	MUST(atomic_load(&u->g->bound) == 0);
	iommu_group_owner(u->g->group, &count, &owner);
	MUST(count == 1 && owner != NULL);
	atomic_fetch_add(&seen.devices, 1);
}

static void map(struct user *u)
{
	if (u->mapped || u->container < 0)
		return;
	page_poisoned(u);
	page_fill(u, FRESH);
	u->mapped = true;
	if (race_may(race_map(u->container, (void *)u->page, IOVA, UVFIO_PAGE_SIZE), EINVAL))
		atomic_fetch_add(&seen.maps, 1);
	else
		unmapped(u);
}

static void unmap(struct user *u)
{
	if (u->container < 0)
		return;
	/* EINVAL: the claim was ended by others, and the mapping with it, as there is no other way to it */
	race_may(race_unmap(u->container, IOVA, UVFIO_PAGE_SIZE), EINVAL);
	unmapped(u);
}

static void unset_container(struct user *u)
{
	if (u->group >= 0 && race_may(race_ioctl(u->group, VFIO_GROUP_UNSET_CONTAINER, NULL), EINVAL, EBUSY))
		unmapped(u);
}

static void device_use(struct user *u)
{
	uint32_t id;

	if (u->device < 0)
		return;
	MUST(atomic_load(&u->g->bound) == 0);
	id = race_config_read(u->device, PCI_VENDOR_ID, 2);
	MUST(id == 0x1000 || id == 0x1234);
}

static void set_iommu(struct user *u)
{
	if (u->container >= 0)
		race_may(race_ioctl_u(u->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), EINVAL);
}

/* Where a program that means well goes on, and then whatever comes. */
static void user_step(struct user *u)
{
	static void (*const up[])(struct user *u) = {
		group_open, container_open, set_container, set_iommu, device_open, map, device_use,
	};
	static void (*const any[])(struct user *u) = {
		set_container, set_iommu, map, unmap, unset_container, device_close, group_close, container_close,
	};

	if (race_draw(&u->seed, 8)) {
		up[u->next](u);
		u->next = (u->next + 1) % ARRAY_SIZE(up);
	} else {
		any[race_draw(&u->seed, ARRAY_SIZE(any))](u);
	}
	if (!u->mapped)
		page_poisoned(u);
}

static void user_main(void *arg)
{
	struct user *u = arg;

	for (unsigned i = 0; i < u->rounds; i++)
		user_step(u);
	device_close(u);
	group_close(u);
	container_close(u);
	unmapped(u);
	page_poisoned(u);
}

/* ---- administrators ---- */

static void binder(void *arg)
{
	static const char *const names[] = { "checker", "vfio-pci", "vfio-pci", "pci-stub" };
	unsigned seed = (unsigned)(uintptr_t)arg;
	char bound[64];
	long rc;

	while (!race_over()) {
		const char *bdf = race_draw(&seed, 8) ? bdfs[race_draw(&seed, 4)] : LONER;
		const char *name = names[race_draw(&seed, ARRAY_SIZE(names))];

		if (race_driver(bdf, bound))
			race_may(race_write(bdf, "/sys/bus/pci/drivers/%s/unbind", bound), ENODEV);
		race_may(race_write(race_draw(&seed, 3) ? name : "\n", "/sys/bus/pci/devices/%s/driver_override", bdf),
			 ENOENT, ENODEV);
		rc = race_draw(&seed, 4) ? race_write(bdf, "/sys/bus/pci/drivers/%s/bind", name) :
					   race_write(bdf, "/sys/bus/pci/drivers_probe");
		race_may(rc, ENODEV, EBUSY, EINVAL);
		atomic_fetch_add(rc > 0 ? &seen.binds : &seen.refused, 1);
	}
}

static void plugger(void *arg)
{
	unsigned seed = 5;

	while (!race_over()) {
		race_may(race_write("1", "/sys/bus/pci/devices/%s/remove", bdfs[race_draw(&seed, 4)]), ENOENT, ENODEV);
		race_may(race_write("1", "/sys/bus/pci/rescan"), 0);
		atomic_fetch_add(&seen.plugs, 1);
	}
}

/* Who looks from outside. */
static void watcher(void *arg)
{
	while (!race_over()) {
		unsigned before = atomic_load(&groups[0].window);
		char name[64], text[8192];
		bool kernel = false;

		for (unsigned i = 0; i < ARRAY_SIZE(bdfs); i++)
			kernel |= race_driver(bdfs[i], name) && !strcmp(name, "checker");
		if (before % 2 && atomic_load(&groups[0].window) == before)
			MUST(!kernel);
		race_may(race_write(bdfs[0], "/sys/kernel/uvfio/explain"), ENODEV);
		race_may(race_read(text, sizeof(text), "/sys/kernel/uvfio/explain"), ENODEV, ENODATA);
		MUST(race_read(text, sizeof(text), "/sys/kernel/uvfio/list") > 0);
	}
}

/* ---- */

static void group_init(struct shared_group *g, const char *const *names, unsigned n)
{
	g->bdfs = names;
	g->n = n;
	g->group = iommu_group_get(race_group(names[0]));
	g->id = iommu_group_id(g->group);
}

static void user_init(struct user *u, unsigned seed, struct shared_group *g, int flags)
{
	*u = (struct user){
		.seed = seed, .rounds = race_rounds(120000), .g = g, .container = -1, .group = -1, .device = -1,
	};
	u->page = mmap(NULL, UVFIO_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | flags, -1, 0);
	MUST(u->page != MAP_FAILED);
	page_fill(u, POISON);
}

static void unbind_all(void)
{
	char name[64];

	race_write("1", "/sys/bus/pci/rescan");
	for (unsigned i = 0; i < ARRAY_SIZE(bdfs); i++) {
		if (race_driver(bdfs[i], name))
			MUST(race_write(bdfs[i], "/sys/bus/pci/drivers/%s/unbind", name) > 0);
	}
}

int main(void)
{
	static const char *const loner[] = { LONER };
	struct user u[3];
	unsigned count;
	void *owner;

	race_begin();
	group_init(&groups[0], bdfs, ARRAY_SIZE(bdfs));
	group_init(&groups[1], loner, 1);
	MUST(groups[0].group == race_group(bdfs[3]));
	MUST(drv_register(race_m->machine->bus, &driver) == 0);
	user_init(&u[0], 1, &groups[0], MAP_SHARED);
	user_init(&u[1], 2, &groups[0], MAP_PRIVATE);
	user_init(&u[2], 3, &groups[1], MAP_SHARED);

	const struct race_actor actors[] = {
		ACTOR(user_main, &u[0]), ACTOR(user_main, &u[1]), ACTOR(user_main, &u[2]),
		HELPER(binder, 11), HELPER(binder, 12), HELPER(attacker, 21), HELPER(attacker, 22),
		HELPER(plugger, NULL), HELPER(watcher, NULL),
	};
	race_run("ownership", "a group is a kernel driver's or one user's, and no device reaches what was given back",
		 actors);
	unbind_all();
	MUST(atomic_load(&groups[0].bound) == 0);
	iommu_group_owner(groups[0].group, &count, &owner);
	MUST(count == 0 && owner == NULL);
	drv_unregister(&driver);
	for (unsigned i = 0; i < 2; i++)
		iommu_group_put(groups[i].group);
	race_end();
	printf("# %u claims, %u refused, %u device files, %u mappings; %u binds, %u probes, %u refused; %u removals; "
	       "DMA: %u hits, %u misses\n",
	       seen.claims, seen.claims_refused, seen.devices, seen.maps, seen.binds, seen.probes, seen.refused,
	       seen.plugs, seen.dma_hits, seen.dma_misses);
	return 0;
}
