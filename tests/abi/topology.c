/* SPDX-License-Identifier: MIT */
/* Which functions share a group, by sysfs alone: the worked examples of spec 10, 1.5, a machine each, and what they leave out. */
#include "abi.h"
#include <linux/pci_regs.h>

/* Members of one group share a letter. */
struct grouping {
	const char *machine, *rows, *sentence, *groups;
};

static const struct grouping worked[] = {
	{ "groups-a", "10:TOP-01", "an endpoint below a port with ACS is apart from the port", "00:01.0=a 01:00.0=b" },
	{ "groups-b", "10:TOP-02", "an endpoint below a port without ACS is with the port", "00:01.0=a 01:00.0=a" },
	{ "groups-c", "10:TOP-02 10:TOP-04", "two functions below a port without ACS are with the port",
	  "00:01.0=a 01:00.0=a 01:00.1=a" },
	{ "groups-d", "10:TOP-04", "two functions without ACS below a port with it are one group",
	  "00:01.0=a 01:00.0=b 01:00.1=b" },
	{ "groups-e", "10:TOP-05", "two functions whose ACS has nothing to switch are apart",
	  "00:01.0=a 01:00.0=b 01:00.1=c" },
	{ "groups-f", "10:TOP-07", "ports of one slot without ACS are one group with what is below them",
	  "00:1c.0=a 01:00.0=a 00:1c.4=a 02:00.0=a" },
	{ "groups-g", "10:TOP-06 10:TOP-07", "a port with ACS is apart from the port of its slot that has none",
	  "00:1c.0=a 01:00.0=a 00:1c.4=b 02:00.0=c" },
	{ "groups-h", "10:TOP-08", "a PCIe-to-PCI bridge and all behind it are one group",
	  "00:01.0=a 01:00.0=b 02:01.0=b 02:02.0=b" },
	{ "groups-i", "10:TOP-09", "conventional functions in slots of their own are apart", "00:03.0=a 00:04.0=b" },
	{ "groups-j", "10:TOP-10", "the functions of a conventional device are one group",
	  "00:1f.0=a 00:1f.2=a 00:1f.3=a" },
	{ "groups-k", "10:TOP-15", "switch ports in slots of their own are apart, each with what is below it",
	  "00:01.0=a 01:00.0=b 02:00.0=c 03:00.0=c 02:01.0=d 04:00.0=d" },
	{ "groups-l", "10:TOP-03", "a port without ACS at the top takes the whole switch",
	  "00:01.0=a 01:00.0=a 02:00.0=a 02:01.0=a 03:00.0=a 04:00.0=a" },
	{ "groups-m", "10:TOP-11", "virtual functions are apart from each other and from their physical one",
	  "00:01.0=a 01:00.0=b 01:10.0=c 01:10.2=d" },
	{ "groups-n", "10:TOP-12", "a function that uses another's requester id is with it",
	  "00:01.0=a 01:00.0=b 01:00.1=b" },
};

static bool has_line(const char *text, const char *line)
{
	size_t n = strlen(line);

	for (const char *p = text; p && *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL) {
		if (strncmp(p, line, n) == 0 && (p[n] == '\n' || p[n] == 0))
			return true;
	}
	return false;
}

static unsigned lines(const char *text)
{
	unsigned n = 0;

	while (text && (text = strchr(text, '\n')))
		n++, text++;
	return n;
}

static char *members(int group)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%d/devices", group);
	return x_list(path);
}

/* "00:01.0=a": the function, the letter */
static const char *next_function(const char *p, char bdf[16], char *letter)
{
	if (*p == ' ')
		p++;
	if (!*p)
		return NULL;
	snprintf(bdf, 16, "0000:%.7s", p);
	*letter = p[8];
	return p + 9;
}

static void check_groups(const char *groups)
{
	char bdf[16], letter;
	int group[26];

	memset(group, -1, sizeof(group));
	for (const char *p = groups; (p = next_function(p, bdf, &letter));) {
		int id = group_of(bdf);
		char *list;

		if (id < 0)
			test_fail(__FILE__, __LINE__, "%s is in no group", bdf);
		for (int i = 0; i < 26; i++) {
			if (group[i] == id && i != letter - 'a')
				test_fail(__FILE__, __LINE__, "%s is in group %d with %c", bdf, id, 'a' + i);
		}
		if (group[letter - 'a'] != -1 && group[letter - 'a'] != id)
			test_fail(__FILE__, __LINE__, "%s is in group %d, not %d", bdf, id, group[letter - 'a']);
		group[letter - 'a'] = id;
		list = members(id);
		EXPECT(has_line(list, bdf));
		free(list);
	}
	/* and nobody else is in any of them */
	for (int i = 0; i < 26; i++) {
		unsigned n = 0;
		char *list;

		if (group[i] < 0)
			continue;
		for (const char *p = groups; (p = next_function(p, bdf, &letter));)
			n += letter == 'a' + i;
		list = members(group[i]);
		EXPECT_EQ(n, lines(list));
		free(list);
	}
}

static const struct grouping *chosen;

static void grouping(void)
{
	if (strcmp(chosen->machine, "groups-m") == 0) /* on Linux they come only now */
		EXPECT_OK(sys_write("/sys/bus/pci/devices/0000:01:00.0/sriov_numvfs", "2"));
	/* 00:1f is taken in the Linux that runs these tests */
	if (test_door() == DOOR_HOST && strcmp(chosen->machine, "groups-j") == 0)
		check_groups("00:1d.0=a 00:1d.2=a 00:1d.3=a");
	else
		check_groups(chosen->groups);
}

__attribute__((constructor)) static void grouping_add(void)
{
	static struct test t = { .name = "grouping", .file = __FILE__, .fn = grouping };

	for (size_t i = 0; i < sizeof(worked) / sizeof(worked[0]); i++) {
		if (strcmp(worked[i].machine, test_machine()) != 0)
			continue;
		chosen = &worked[i];
		t.rows = chosen->rows;
		t.sentence = chosen->sentence;
		test_register(&t);
	}
}

/* ---- virtual functions ---- */

TEST_ON("groups-m", kinship, "20:SRV-05", "physfn and virtfnN link physical and virtual functions")
{
	char target[256];
	ssize_t n;

	EXPECT_OK(sys_write("/sys/bus/pci/devices/0000:01:00.0/sriov_numvfs", "2"));
	EXPECT(strcmp(sys_read("/sys/bus/pci/devices/0000:01:00.0/sriov_numvfs"), "2") == 0);
	n = EXPECT_OK(x_readlink("/sys/bus/pci/devices/0000:01:10.2/physfn", target, sizeof(target) - 1));
	target[n] = 0;
	EXPECT(strcmp(strrchr(target, '/') + 1, "0000:01:00.0") == 0);
	n = EXPECT_OK(x_readlink("/sys/bus/pci/devices/0000:01:00.0/virtfn1", target, sizeof(target) - 1));
	target[n] = 0;
	EXPECT(strcmp(strrchr(target, '/') + 1, "0000:01:10.2") == 0);
	EXPECT(x_readlink("/sys/bus/pci/devices/0000:01:00.0/physfn", target, sizeof(target)) < 0);
	EXPECT_ERR(ERANGE, sys_write("/sys/bus/pci/devices/0000:01:00.0/sriov_numvfs", "4000"));
	EXPECT_ERR(EINVAL, sys_write("/sys/bus/pci/devices/0000:01:00.0/sriov_numvfs", "two"));
}

/* ---- quirks ---- */

TEST_ON("topology", one_isolated, "10:TOP-06", "a function with ACS is apart from those of its slot that have none")
{
	if (!function_exists("0000:01:00.2"))
		test_skip("no such hardware");
	check_groups("00:01.0=a 01:00.0=b 01:00.1=c 01:00.2=c");
}

TEST_ON("topology", ghost, "10:TOP-13", "the requester id of a function that is not there changes nothing")
{
	if (!function_exists("0000:02:00.0"))
		test_skip("no such hardware");
	check_groups("00:02.0=a 02:00.0=b");
}

TEST_ON("topology", hidden_express, "10:TOP-14", "a bridge that hides its PCIe capability is with all behind it")
{
	if (!function_exists("0000:04:01.0"))
		test_skip("no such hardware");
	check_groups("00:03.0=a 03:00.0=b 04:01.0=b 04:02.0=b");
}

TEST_ON("topology", quirk_yes, "10:TOP-16", "functions known to isolate are apart without the capability")
{
	if (!function_exists("0000:05:00.1"))
		test_skip("no such hardware");
	check_groups("00:04.0=a 05:00.0=b 05:00.1=c");
}

TEST_ON("topology", quirk_integrated, "10:TOP-16", "Intel's functions in the root complex are apart without the capability")
{
	check_groups("00:09.0=a 00:09.1=b");
}

TEST_ON("topology", quirk_no, "10:TOP-17", "a vendor's other functions do not isolate, whatever their capability says")
{
	if (!function_exists("0000:06:00.1"))
		test_skip("no such hardware");
	check_groups("00:05.0=a 06:00.0=b 06:00.1=b");
}

TEST_ON("topology", no_iommu, "10:TOP-21 10:OWN-17", "a function behind no IOMMU has no group, and its host driver binds")
{
	struct stat st;

	if (test_door() == DOOR_HOST)
		test_skip("every function of this machine has an IOMMU");
	EXPECT_ERR(ENOENT, x_stat("/sys/bus/pci/devices/0000:00:06.0/iommu_group", &st));
	EXPECT_EQ(-1, group_of("0000:00:07.0"));
	EXPECT(driver_of("0000:00:07.0"));
	EXPECT_OK(sys_write("/sys/bus/pci/devices/0000:00:07.0/driver/unbind", "0000:00:07.0"));
	EXPECT_OK(sys_write("/sys/bus/pci/drivers_probe", "0000:00:07.0"));
	EXPECT(driver_of("0000:00:07.0"));
}

TEST_ON("topology", merged_regions, "10:SYS-02 10:SYS-04", "regions that touch are one line when of one type, and two when not")
{
	char path[128];

	if (test_door() == DOOR_HOST)
		test_skip("no such hardware");
	snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%d/reserved_regions", group_of("0000:00:08.0"));
	EXPECT(has_line(sys_read(path), "0x0000000000010000 0x000000000002ffff direct-relaxable"));
	EXPECT(has_line(sys_read(path), "0x0000000000018000 0x0000000000018fff reserved"));
	EXPECT(has_line(sys_read(path), "0x0000000000030000 0x0000000000030fff reserved"));
	EXPECT(has_line(sys_read(path), "0x00000000fed00000 0x00000000feefffff msi"));
}

/* ---- a platform that does not ask for ACS ---- */

TEST_ON("arm", nobody_asks, "10:TOP-18 10:SYS-06", "where no IOMMU asks for ACS, what firmware has left decides")
{
	char path[128];

	check_groups("00:01.0=a 01:00.0=a 00:02.0=b 02:00.0=c");
	snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%d/type", group_of("0000:01:00.0"));
	EXPECT(strcmp(sys_read(path), "DMA") == 0);
}

TEST_ON("arm", software_window, "10:SYS-05", "a window for messages that software chose is of type msi too")
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%d/reserved_regions", group_of("0000:01:00.0"));
	EXPECT(strcmp(sys_read(path), "0x0000000008000000 0x00000000080fffff msi") == 0);
}

/* ---- config space ---- */

/* Offset of the ACS capability of @bdf; the descriptor of its config file in *@fd. */
static unsigned find_acs(const char *bdf, int *fd)
{
	char path[128];
	uint32_t head;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config", bdf);
	*fd = EXPECT_OK(x_open(path, O_RDWR));
	for (unsigned at = 0x100; at; at = PCI_EXT_CAP_NEXT(head)) {
		EXPECT_EQ(4, x_pread(*fd, &head, 4, at));
		if (PCI_EXT_CAP_ID(head) == PCI_EXT_CAP_ID_ACS)
			return at;
	}
	test_fail(__FILE__, __LINE__, "%s has no ACS", bdf);
}

static unsigned acs_control(const char *bdf)
{
	uint16_t ctrl;
	int fd;
	unsigned at = find_acs(bdf, &fd);

	EXPECT_EQ(2, x_pread(fd, &ctrl, 2, at + PCI_ACS_CTRL));
	EXPECT_OK(x_close(fd));
	return ctrl;
}

static void acs_set_control(const char *bdf, uint16_t ctrl)
{
	int fd;
	unsigned at = find_acs(bdf, &fd);

	EXPECT_EQ(2, x_pwrite(fd, &ctrl, 2, at + PCI_ACS_CTRL));
	EXPECT_OK(x_close(fd));
}

TEST_ON("acs", command_line, "10:TOP-23", "what the command line says of ACS replaces bits of what firmware left, and nothing else is added")
{
	EXPECT_EQ(0x00, acs_control("0000:00:05.0")); /* redirection off; validation and forwarding are not added */
	EXPECT_EQ(0x1d, acs_control("0000:00:06.0"));
	EXPECT_EQ(0x01, acs_control("0000:00:07.0"));
	EXPECT_EQ(0x1d, acs_control("0000:00:08.0")); /* nothing said of it: the kernel's own */
	EXPECT_EQ(0x00, acs_control("0000:00:09.0"));
	check_groups("00:05.0=a 01:00.0=a 00:06.0=b 02:00.0=c 00:07.0=d 03:00.0=d 00:08.0=e 04:00.0=f 00:09.0=g 05:00.0=g");
}

/* ---- coming and going ---- */

#define HOT_EDU   "0000:00:03.0"
#define TOLD0     "0000:00:04.0"
#define TOLD1     "0000:00:04.1" /* a host driver that does DMA binds */
#define TOLD2     "0000:00:04.2"
#define UNTOLD0   "0000:00:05.0"
#define UNTOLD1   "0000:00:05.1" /* likewise */
#define HOT_PORT  "0000:00:06.0"
#define HOT_NVME  "0000:01:00.0"
#define HOT_NVME2 "0000:02:00.0"

TEST_ON("hotplug", grouped_once, "10:TOP-19", "switching ACS later moves nobody; a function that comes back is grouped by what holds then")
{
	int port = group_of(HOT_PORT), nvme = group_of(HOT_NVME);

	EXPECT(port != nvme);
	EXPECT_EQ(0x1d, acs_control(HOT_PORT));
	acs_set_control(HOT_PORT, 0);
	EXPECT_EQ(0, acs_control(HOT_PORT));
	EXPECT_EQ(port, group_of(HOT_PORT));
	EXPECT_EQ(nvme, group_of(HOT_NVME));
	remove_function(HOT_NVME);
	rescan();
	EXPECT_EQ(port, group_of(HOT_NVME));
	acs_set_control(HOT_PORT, 0x1d);
	EXPECT_EQ(port, group_of(HOT_NVME));
	remove_function(HOT_NVME);
	rescan();
	EXPECT_EQ(nvme, group_of(HOT_NVME));
}

TEST_ON("hotplug", ids_come_back, "10:TOP-20", "ids of groups are the lowest free ones, and a group goes with its last member")
{
	int edu = group_of(HOT_EDU), a = group_of(HOT_NVME), b = group_of(HOT_NVME2);
	char path[64];
	struct stat st;

	EXPECT(edu < a && a < b);
	EXPECT_ERR(EINVAL, sys_write("/sys/bus/pci/rescan", "x"));
	EXPECT_ERR(EINVAL, sys_write("/sys/bus/pci/devices/" HOT_EDU "/remove", "yes"));
	EXPECT_OK(sys_write("/sys/bus/pci/devices/" HOT_EDU "/remove", "0"));
	EXPECT_OK(sys_write("/sys/bus/pci/rescan", "0"));
	EXPECT_OK(sys_write("/sys/bus/pci/devices/" HOT_EDU "/rescan", "1"));
	EXPECT(function_exists(HOT_EDU));
	remove_function(HOT_NVME2);
	remove_function(HOT_EDU);
	snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%d", edu);
	EXPECT_ERR(ENOENT, x_stat(path, &st));
	rescan(); /* in the order of a scan, not of removal */
	EXPECT_EQ(edu, group_of(HOT_EDU));
	EXPECT_EQ(b, group_of(HOT_NVME2));
	EXPECT_EQ(a, group_of(HOT_NVME));
	remove_function(HOT_EDU);
	remove_function(HOT_NVME);
	/* the bus of this function alone is looked at: the one in front stays away, so its id is the lowest free one */
	EXPECT_OK(sys_write("/sys/class/pci_bus/0000:01/rescan", "1"));
	EXPECT(!function_exists(HOT_EDU));
	EXPECT_EQ(edu, group_of(HOT_NVME));
	remove_function(HOT_NVME);
	rescan();
	EXPECT_EQ(edu, group_of(HOT_EDU));
	EXPECT_EQ(a, group_of(HOT_NVME));
}

TEST_ON("hotplug", joins_the_user, "10:TOP-22 10:OWN-06 10:OWN-21", "what is plugged into a user's group is in the user's address space, and no host driver gets it")
{
	struct setup s;
	char *memory = test_memory(0x2000, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	volatile char *bar;
	int device;

	EXPECT_EQ(group_of(TOLD0), group_of(TOLD1));
	EXPECT_EQ(group_of(TOLD0), group_of(TOLD2));
	remove_function(TOLD1);
	remove_function(TOLD2);
	s = open_device(TOLD0);
	EXPECT_OK(map_dma(s.container, memory, 0x100000, 0x2000, 3));
	rescan();
	EXPECT_EQ(group_of(TOLD0), group_of(TOLD1));
	EXPECT_EQ(group_of(TOLD0), group_of(TOLD2));
	EXPECT(!driver_of(TOLD1));
	EXPECT_ERR(EINVAL, sys_write("/sys/bus/pci/drivers_probe", TOLD1));
	EXPECT_ERR(EBUSY, sys_write("/sys/bus/pci/drivers/nvme/bind", TOLD1));

	/* The newcomer does DMA by the mapping made before it came. */
	bind_vfio(TOLD2);
	device = EXPECT_OK(x_ioctl(s.group, VFIO_GROUP_GET_DEVICE_FD, (void *)(uintptr_t)TOLD2));
	config_write(device, PCI_COMMAND, 2, config_read(device, PCI_COMMAND, 2) | PCI_COMMAND_MASTER);
	bar = x_mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_SHARED, device, REGION(0));
	EXPECT(bar != MAP_FAILED);
	strcpy(memory, "before it came");
	edu_dma(bar, 0x100000, 0x40000, 16, 0);
	edu_dma(bar, 0x40000, 0x101000, 16, 1);
	EXPECT(strcmp(memory + 0x1000, "before it came") == 0);

	EXPECT_OK(x_munmap((void *)bar, 0x1000));
	EXPECT_OK(x_close(device));
	EXPECT_OK(x_close(s.device));
	EXPECT_OK(x_close(s.group));
	EXPECT_OK(sys_write("/sys/bus/pci/drivers_probe", TOLD1));
	EXPECT(driver_of(TOLD1));
}

TEST_ON("hotplug", gets_its_own, "10:TOP-24", "a function that is plugged in and does not say that there are several gets a group of its own, and its host driver")
{
	struct setup s;

	if (group_of(UNTOLD0) != group_of(UNTOLD1))
		test_skip("it was plugged in again already");
	remove_function(UNTOLD1);
	s = open_device(UNTOLD0);
	rescan();
	EXPECT(group_of(UNTOLD1) >= 0 && group_of(UNTOLD1) != group_of(UNTOLD0));
	EXPECT(driver_of(UNTOLD1) && strcmp(driver_of(UNTOLD1), "nvme") == 0);
	EXPECT_OK(x_close(s.device));
	EXPECT_OK(x_close(s.group));
}
