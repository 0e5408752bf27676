/* SPDX-License-Identifier: MIT */
/*
 * A libFuzzer target: writes to the files of sysfs, as an administrator makes them, with attributes kept open and
 * devices in use in between. Each program has a machine of its own (sysfs.yaml). After it:
 *
 *	a device is in its driver's directory, and in its group's, and nowhere else
 *	a device of vfio-pci has its node and its group's; another has none
 *	the machine can be drawn, and ends with nothing left behind
 *
 * Writes that take a device from vfio-pci wait for its user, so devices are closed before them.
 *
 * The input is calls as in lib/fuzz.h. A path is a byte for the place (device, driver, bus) and one for the name; a
 * text is a byte for the kind, and what that takes.
 */
#include "fuzz.h"
#include "machine/machine.h"
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static const char *const names[] = { "0000:01:00.0", "0000:01:00.1", "0000:02:00.0", "0000:02:01.0", "0000:02:01.1",
				     "0000:03:00.0", "0000:03:01.0", "0000:00:04.0", "0000:00:01.0", "0000:00:02.0",
				     "0000:00:03.0", "0000:00:00.0" };
static const char *const drivers[] = { "vfio-pci", "host", "pfdrv", "fails", "later", "harmless", "pcieport",
				       "pci-stub" };
static const char *const device_files[] = {
	"driver_override", "remove", "rescan", "reset", "reset_method", "sriov_numvfs", "sriov_drivers_autoprobe",
	"enable", "d3cold_allowed", "msi_bus", "broken_parity_status", "numa_node", "uevent", "config", "resource",
	"power_state", "iommu_group/type", "iommu_group/reserved_regions", "driver/unbind", "driver/new_id",
	"driver/remove_id", "driver/bind", "sriov_totalvfs", "sriov_vf_device", "modalias", "resource0",
	"power/runtime_status", "driver", "physfn/sriov_numvfs", "virtfn0/remove", "iommu_group/devices", "vfio-dev",
};
static const char *const driver_files[] = { "bind", "unbind", "new_id", "remove_id" };
static const char *const other_files[] = {
	"/sys/bus/pci/drivers_probe", "/sys/bus/pci/rescan", "/sys/bus/pci/drivers_autoprobe",
	"/sys/module/vfio_pci/parameters/nointxmask", "/sys/module/vfio_pci/parameters/disable_idle_d3",
	"/sys/module/vfio_pci/parameters/enable_sriov", "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode",
	"/sys/module/vfio_iommu_type1/parameters/dma_entry_limit", "/sys/kernel/uvfio/explain",
	"/sys/kernel/uvfio/list", "/sys/kernel/uvfio/list.json", "/sys/kernel/uvfio/log",
	"/sys/class/pci_bus/0000:02/rescan", "/sys/bus/pci/devices",
};

#define PICK(table) ((table)[byte() % ARRAY_SIZE(table)])

/* ---- what is named ---- */

static char path[256];

static void path_pick(void)
{
	uint8_t b = byte();

	if (b < 0xa0)
		snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", names[b % ARRAY_SIZE(names)],
			PICK(device_files));
	else if (b < 0xd0)
		snprintf(path, sizeof(path), "/sys/bus/pci/drivers/%s/%s", drivers[b % ARRAY_SIZE(drivers)],
			PICK(driver_files));
	else
		snprintf(path, sizeof(path), "%s", PICK(other_files));
}

static char text[64];
static size_t text_length;

static void text_pick(void)
{
	static const char *const words[] = { "1", "0", "2", "3", "", "8086 10c9", "1234 0004", "1234 0002 0 0 0 0",
					     "flr", "bus", "default", "identity", "DMA", "auto", "add", "4", "0x10",
					     "-1", "Y", "N" };
	uint8_t b = byte();

	switch (b & 3) {
	case 0:
		snprintf(text, sizeof(text), "%s", PICK(words));
		break;
	case 1:
		snprintf(text, sizeof(text), "%s", PICK(names));
		break;
	case 2:
		snprintf(text, sizeof(text), "%s", PICK(drivers));
		break;
	case 3:
		text_length = b >> 3;
		for (size_t i = 0; i < text_length; i++)
			text[i] = (char)byte();
		return;
	}
	if (b & 4)
		strcat(text, "\n");
	text_length = strlen(text);
}

/* ---- calls ---- */

static void close_devices(void)
{
	for (unsigned i = nfiles; i-- > 0;) {
		if (files[i].kind != DEVICE)
			continue;
		uvfio_close(m, files[i].fd);
		files[i] = files[--nfiles];
	}
}

static bool takes_away(const char *p)
{
	return strstr(p, "unbind") || strstr(p, "remove") || strstr(p, "sriov_numvfs") || strstr(p, "rescan");
}

static void do_store(void)
{
	int fd;

	path_pick();
	text_pick();
	if (takes_away(path))
		close_devices();
	fd = uvfio_open(m, path, O_WRONLY);
	if (fd >= 0) {
		ssize_t n = uvfio_write(m, fd, text, text_length);

		assert(n <= (ssize_t)text_length);
		if (trace)
			fprintf(stderr, "%s: %.*s: %zd %s\n", path, (int)text_length, text, n,
				n < 0 ? strerrorname_np(errno) : "");
		uvfio_close(m, fd);
	}
}

/* Some of it, from somewhere */
static void do_show(void)
{
	char buf[4096];
	int fd;

	path_pick();
	fd = uvfio_open(m, path, O_RDONLY);
	if (fd >= 0) {
		assert(uvfio_pread(m, fd, buf, sizeof(buf), byte()) <= (ssize_t)sizeof(buf));
		uvfio_close(m, fd);
	}
	free(uvfio_list_dir(m, path));
}

/* A file that stays open, whatever becomes of what it is of */
static void do_keep(void)
{
	path_pick();
	if (!takes_away(path))
		file_add(uvfio_open(m, path, O_RDWR), OTHER);
}

static void do_kept(void)
{
	int fd = pick(OTHER);
	char buf[64];

	if (byte() & 1) {
		text_pick();
		uvfio_pwrite(m, fd, text, text_length, byte());
	} else {
		uvfio_pread(m, fd, buf, sizeof(buf), byte());
	}
}

/* A group and its device, by a container */
static void do_use(void)
{
	const char *name = PICK(names);
	char link[128], group[128];
	ssize_t n;
	int container, fd;

	snprintf(link, sizeof(link), "/sys/bus/pci/devices/%s/iommu_group", name);
	n = uvfio_readlink(m, link, group, sizeof(group) - 1);
	if (n < 0)
		return;
	group[n] = 0;
	snprintf(link, sizeof(link), "/dev/vfio/%.20s", strrchr(group, '/') + 1);
	fd = file_add(uvfio_open(m, link, O_RDWR), GROUP);
	container = file_add(uvfio_open(m, "/dev/vfio/vfio", O_RDWR), CONTAINER);
	try(fd, VFIO_GROUP_SET_CONTAINER, &container);
	try(container, VFIO_SET_IOMMU, (void *)VFIO_TYPE1v2_IOMMU);
	file_add(try(fd, VFIO_GROUP_GET_DEVICE_FD, (void *)name), DEVICE);
}

static void do_explain(void)
{
	char *said = NULL;
	size_t n;
	FILE *out = open_memstream(&said, &n);

	machine_explain(m->machine, PICK(names), out);
	fclose(out);
	free(said);
}

static void (*const calls[])(void) = { do_store, do_store, do_store, do_show, do_keep, do_kept, do_use, do_close,
				       do_explain };

/* ---- what holds ---- */

static bool there(const char *dir, const char *name)
{
	struct stat st;
	char p[384];

	snprintf(p, sizeof(p), "%s/%s", dir, name);
	return uvfio_lstat(m, p, &st) == 0;
}

/* The last part of a link; NULL: it is none */
static const char *link_of(const char *dir, const char *name)
{
	static char target[256];
	char p[384];
	ssize_t n;

	snprintf(p, sizeof(p), "%s/%s", dir, name);
	n = uvfio_readlink(m, p, target, sizeof(target) - 1);
	if (n < 0)
		return NULL;
	target[n] = 0;
	return strrchr(target, '/') + 1;
}

static void check_driver(const char *dir, const char *name)
{
	const char *driver = link_of(dir, "driver");
	char p[128];

	for (unsigned i = 0; i < ARRAY_SIZE(drivers); i++) {
		snprintf(p, sizeof(p), "/sys/bus/pci/drivers/%s", drivers[i]);
		assert(there(p, name) == (driver && strcmp(driver, drivers[i]) == 0));
	}
	assert(there(dir, "vfio-dev") == (driver && strcmp(driver, "vfio-pci") == 0));
}

static void check_nodes(const char *dir)
{
	char p[384];
	char *nodes;

	snprintf(p, sizeof(p), "%s/vfio-dev", dir);
	nodes = uvfio_list_dir(m, p);
	if (!nodes)
		return;
	nodes[strcspn(nodes, "\n")] = 0;
	assert(there("/dev/vfio/devices", nodes));
	assert(there("/dev/vfio", link_of(dir, "iommu_group")));
	free(nodes);
}

static void check_group(const char *dir, const char *name)
{
	const char *group = link_of(dir, "iommu_group");
	char p[384];

	if (!group)
		return;
	snprintf(p, sizeof(p), "/sys/kernel/iommu_groups/%s/devices", group);
	assert(there(p, name));
}

static void check(void)
{
	char *list = uvfio_list_dir(m, "/sys/bus/pci/devices"), *save = NULL, *text_out = NULL, dir[128];
	size_t n;
	FILE *out;

	assert(list);
	for (char *name = strtok_r(list, "\n", &save); name; name = strtok_r(NULL, "\n", &save)) {
		snprintf(dir, sizeof(dir), "/sys/bus/pci/devices/%s", name);
		check_driver(dir, name);
		check_nodes(dir);
		check_group(dir, name);
	}
	free(list);
	out = open_memstream(&text_out, &n);
	assert(uvfio_print(m, 1, out) == 0);
	fclose(out);
	free(text_out);
}

/* ---- a program ---- */

__attribute__((visibility("default"))) int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char err[1024];

	trace = getenv("UVFIO_FUZZ_TRACE") != NULL;
	m = uvfio_create(FUZZ_MACHINE, err, sizeof(err));
	if (!m) {
		fputs(err, stderr);
		abort();
	}
	in = data;
	in_end = data + size;
	fuzz_run(calls, ARRAY_SIZE(calls));
	check();
	uvfio_destroy(m);
	nfiles = 0;
	fuzz_no_descriptor_left();
	return 0;
}
