/* SPDX-License-Identifier: MIT */
/*
 * Virtual functions against all that moves: their number changes, the physical function loses its driver, gets another
 * or is unplugged, while programs open the virtual functions and the physical one, with the right token and without.
 *
 * A virtual function opens with the token only; when it has gone, so have its files; in the end nothing is left.
 */
#include "race.h"

#define PF     "0000:06:00.0"
#define VF(n)  "0000:06:02." #n
#define TOKEN  " vf_token=00112233-4455-6677-8899-aabbccddeeff"
#define NUMBER "/sys/bus/pci/devices/" PF "/sriov_numvfs"

static atomic_uint made, opened, refused;

static void splitter(void *arg)
{
	unsigned seed = 1, enough = race_rounds(120);

	while (atomic_load(&made) < enough) {
		const char *n = race_draw(&seed, 2) ? "2" : "4";

		if (race_may(race_write(n, NUMBER), ENOENT, EBUSY, ENODEV))
			atomic_fetch_add(&made, 1);
		race_may(race_write("0", NUMBER), ENOENT, ENODEV);
	}
}

static void binder(void *arg)
{
	unsigned seed = 2;
	char bound[64];

	while (!race_over()) {
		race_may(race_write("vfio-pci", "/sys/bus/pci/devices/%s/driver_override", PF), ENOENT, ENODEV);
		race_may(race_write(PF, "/sys/bus/pci/drivers/vfio-pci/bind"), ENODEV, EBUSY);
		if (race_draw(&seed, 64) == 0 && race_driver(PF, bound))
			race_may(race_write(PF, "/sys/bus/pci/drivers/%s/unbind", bound), ENODEV);
	}
}

static void plugger(void *arg)
{
	unsigned enough = race_rounds(120);

	for (unsigned i = 0; atomic_load(&made) < enough; i++) {
		race_may(race_write("1", "/sys/bus/pci/devices/%s/remove", i % 2 ? PF : "0000:00:06.0"), ENOENT, ENODEV);
		MUST(race_write("1", "/sys/bus/pci/rescan") == 1);
		usleep(1000); /* leave some time in which it is there */
	}
}

/* Group and container of a function, if they can be had: one try to open the device by @name. */
static void use_once(const char *bdf, const char *name, bool right)
{
	int container, group = race_open_group(bdf), device;

	if (!race_may(group, ENOENT, ENODEV, EBUSY))
		return;
	MUST((container = race_open("/dev/vfio/vfio")) >= 0);
	if (race_may(race_ioctl(group, VFIO_GROUP_SET_CONTAINER, &container), EPERM, ENODEV) &&
	    race_may(race_ioctl_u(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), EINVAL)) {
		device = (int)race_ioctl(group, VFIO_GROUP_GET_DEVICE_FD, (void *)name);
		if (race_may(device, ENODEV, EINVAL, EAGAIN, EACCES)) {
			MUST(right);
			uvfio_close(race_m, device);
			atomic_fetch_add(&opened, 1);
		} else if (device == -EACCES) {
			atomic_fetch_add(&refused, 1);
		}
	}
	uvfio_close(race_m, group);
	uvfio_close(race_m, container);
}

static void user(void *arg)
{
	while (!race_over()) {
		use_once(PF, PF TOKEN, true);
		use_once(VF(0), VF(0) TOKEN, true);
		use_once(VF(1), VF(1), false);
		use_once(VF(3), VF(3) TOKEN, true);
	}
}

int main(void)
{
	static const struct race_actor actors[] = {
		ACTOR(splitter, NULL), ACTOR(splitter, NULL), ACTOR(plugger, NULL), HELPER(binder, NULL), HELPER(user, NULL),
		HELPER(user, NULL),
	};

	race_begin();
	MUST(race_write("1", "/sys/module/vfio_pci/parameters/enable_sriov") == 1);
	race_run("sriov", "virtual functions come and go while programs open them", actors);
	printf("# made %u times, opened %u times, refused %u times\n", made, opened, refused);
	race_end();
	return 0;
}
