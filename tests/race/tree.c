/* SPDX-License-Identifier: MIT */
/*
 * Looking against coming and going: a switch with all that is below it is unplugged and found again, functions change
 * their drivers, a program has one of them open now and then; meanwhile others walk through sysfs, read every file
 * there is, keep files open over the removal of what they belong to, and ask for the machine's own lists.
 *
 * A file reads what it should or fails as one of something that is gone; a link leads to where its name says; an
 * open file of a device that is gone reads no other device's.
 */
#include "race.h"

#define PORT "0000:00:04.0"
#define X    "0000:04:00.0"
#define Y    "0000:04:00.1"

static atomic_uint files_read, gone, kept_gone, removals, opens;

/* ---- who changes things ---- */

static void plugger(void *arg)
{
	static const char *const bdfs[] = { PORT, X, Y, "0000:05:00.0", "0000:02:00.0", "0000:00:02.1" };
	unsigned seed = 1, rounds = race_rounds(150);

	for (unsigned i = 0; i < rounds; i++) {
		const char *bdf = bdfs[race_draw(&seed, ARRAY_SIZE(bdfs))];

		if (race_may(race_write("1", "/sys/bus/pci/devices/%s/remove", bdf), ENOENT, ENODEV))
			atomic_fetch_add(&removals, 1);
		MUST(race_write("1", "/sys/bus/pci/rescan") == 1);
	}
}

static void binder(void *arg)
{
	static const char *const names[] = { "vfio-pci", "pci-stub", "nic" };
	unsigned seed = 2;
	char bound[64];

	while (!race_over()) {
		const char *bdf = race_draw(&seed, 2) ? X : Y, *name = names[race_draw(&seed, ARRAY_SIZE(names))];

		race_may(race_write(name, "/sys/bus/pci/devices/%s/driver_override", bdf), ENOENT, ENODEV);
		race_may(race_write(bdf, "/sys/bus/pci/drivers/%s/bind", name), ENODEV, EBUSY);
		if (race_driver(bdf, bound))
			race_may(race_write(bdf, "/sys/bus/pci/drivers/%s/unbind", bound), ENODEV);
	}
}

/* Opens what is there of a group, uses it, lets go. */
static void user_once(const char *bdf)
{
	int container, group = race_open_group(bdf), device;
	char buf[64];

	if (!race_may(group, ENOENT, ENODEV, EBUSY))
		return;
	MUST((container = race_open("/dev/vfio/vfio")) >= 0);
	if (race_may(race_ioctl(group, VFIO_GROUP_SET_CONTAINER, &container), EPERM, ENODEV) &&
	    race_may(race_ioctl_u(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), EINVAL)) {
		device = (int)race_ioctl(group, VFIO_GROUP_GET_DEVICE_FD, (void *)bdf);
		if (race_may(device, ENODEV, EINVAL, EAGAIN)) {
			race_may(uvfio_pread(race_m, device, buf, sizeof(buf), 0) < 0 ? -errno : 0, EIO);
			uvfio_close(race_m, device);
			atomic_fetch_add(&opens, 1);
		}
	}
	uvfio_close(race_m, group);
	uvfio_close(race_m, container);
}

static void user(void *arg)
{
	while (!race_over()) {
		user_once(X);
		user_once(Y);
	}
}

/* ---- who looks ---- */

/* One of the names of a directory, or false. */
static bool draw_name(unsigned *seed, const char *dir, char out[64])
{
	char *names = uvfio_list_dir(race_m, dir), *save, *name;
	unsigned n = 0;

	if (!names) {
		race_may(-errno, ENOENT, ENODEV);
		return false;
	}
	/* The n-th comes to be the one with probability 1/n. */
	for (name = strtok_r(names, "\n", &save); name; name = strtok_r(NULL, "\n", &save)) {
		if (race_draw(seed, ++n) == 0)
			snprintf(out, 64, "%.63s", name);
	}
	free(names);
	return n > 0;
}

static void read_file(unsigned *seed, const char *dir)
{
	char name[64], path[256], text[4096];
	struct stat st;
	long n;

	if (!draw_name(seed, dir, name))
		return;
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (uvfio_lstat(race_m, path, &st) < 0) {
		race_may(-errno, ENOENT, ENODEV);
		return;
	}
	if (!S_ISREG(st.st_mode) || !(st.st_mode & 0400) || strncmp(name, "resource", 8) == 0)
		return;
	n = race_read(text, sizeof(text), "%s", path);
	if (!race_may(n, ENOENT, ENODEV, EIO, EINVAL, ENODATA)) {
		atomic_fetch_add(&gone, 1);
		return;
	}
	atomic_fetch_add(&files_read, 1);
	if (strcmp(name, "vendor") == 0)
		MUST(n == 7 && strncmp(text, "0x", 2) == 0 && text[6] == '\n');
	if (strcmp(name, "config") == 0)
		MUST(n >= 64);
}

static void walker(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;
	char name[64], path[256], target[512];
	ssize_t n;

	while (!race_over()) {
		if (!draw_name(&seed, "/sys/bus/pci/devices", name))
			continue;
		snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s", name);
		n = uvfio_readlink(race_m, path, target, sizeof(target) - 1);
		if (race_may(n < 0 ? -errno : n, ENOENT)) {
			target[n] = 0;
			MUST(strcmp(strrchr(target, '/') + 1, name) == 0);
		}
		for (unsigned i = 0; i < 8; i++)
			read_file(&seed, path);
		if (draw_name(&seed, "/sys/kernel/iommu_groups", name)) {
			snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%s", name);
			read_file(&seed, path);
			strcat(path, "/devices");
			draw_name(&seed, path, name);
		}
	}
}

/* Keeps a file of a function open until that function is gone, for sure. */
static void keeper(void *arg)
{
	char path[128], text[64];
	uint16_t vendor;
	ssize_t n;

	while (!race_over()) {
		int file, config;

		snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vendor", X);
		file = uvfio_open(race_m, path, O_RDONLY);
		snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config", X);
		config = uvfio_open(race_m, path, O_RDONLY);
		while (file >= 0 && config >= 0 && !race_over()) {
			n = uvfio_pread(race_m, file, text, sizeof(text), 0);
			if (!race_may(n < 0 ? -errno : n, ENODEV)) {
				atomic_fetch_add(&kept_gone, 1);
				break;
			}
			MUST(n == 7 && memcmp(text, "0x1234\n", 7) == 0);
			n = uvfio_pread(race_m, config, &vendor, 2, 0);
			if (race_may(n < 0 ? -errno : n, ENODEV))
				MUST(n == 2 && (vendor == 0x1234 || vendor == 0xffff));
		}
		/* A file that was gone once stays so, though there is a new function in the slot. */
		if (file >= 0 && uvfio_pread(race_m, file, text, sizeof(text), 0) < 0)
			MUST(uvfio_pread(race_m, file, text, sizeof(text), 0) < 0 && errno == ENODEV);
		if (file >= 0)
			uvfio_close(race_m, file);
		if (config >= 0)
			uvfio_close(race_m, config);
	}
}

static void lister(void *arg)
{
	static char text[1 << 16];
	unsigned seed = 9;

	while (!race_over()) {
		static const char *const own[] = { "list", "list.json", "report", "log" };
		const char *name = own[race_draw(&seed, ARRAY_SIZE(own))];

		MUST(race_read(text, sizeof(text), "/sys/kernel/uvfio/%s", name) >= 0);
		if (race_may(race_write(race_draw(&seed, 2) ? X : PORT, "/sys/kernel/uvfio/explain"), ENODEV))
			race_may(race_read(text, sizeof(text), "/sys/kernel/uvfio/explain"), ENODEV);
	}
}

int main(void)
{
	const struct race_actor actors[] = {
		ACTOR(plugger, NULL), HELPER(binder, NULL), HELPER(user, NULL), HELPER(walker, 3), HELPER(walker, 4),
		HELPER(keeper, NULL), HELPER(lister, NULL),
	};

	race_begin();
	race_run("tree", "who looks while functions come and go sees what is there, or that it is gone",
		 actors);
	race_end();
	printf("# %u removals, %u files read, %u gone, %u open files gone, %u device files\n", removals, files_read,
	       gone, kept_gone, opens);
	return 0;
}
