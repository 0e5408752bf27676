/* SPDX-License-Identifier: MIT */
/*
 * What explain and the log say of each refusal of spec 10, sections 1 and 2: who blocks and why, who is harmless, what
 * to type; and that what they tell to type works.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "program.h"

#define HEAD "machine: t\ndevices:\n- kind: host-bridge\n  below:\n"

static char logged[16384];

static void keep_log(void *ctx, enum log_level level, const char *line)
{
	size_t n = strlen(logged);

	if (level <= LOG_WARN)
		snprintf(logged + n, sizeof(logged) - n, "%s\n", line);
}

static struct machine *boot(const char *text)
{
	const struct machine_options o = { .log_sink = keep_log };
	struct machine_desc *d = NULL;
	struct machine *m = NULL;

	logged[0] = 0;
	assert_int_equal(machine_desc_parse("test", text, strlen(text), stderr, &d), 0);
	assert_int_equal(machine_create(d, &o, &m), 0);
	machine_desc_free(d);
	logged[0] = 0;
	return m;
}

static char *answer;

static const char *explained(struct machine *m, const char *what)
{
	size_t size;
	FILE *f;

	free(answer);
	answer = NULL;
	f = open_memstream(&answer, &size);
	assert_int_equal(machine_explain(m, what, f), 0);
	fclose(f);
	return answer;
}

#define SAYS(text, part)                                                             \
	do {                                                                         \
		const char *t_ = (text);                                             \
		if (!strstr(t_, part))                                               \
			fail_msg("%d: \"%s\" is not said in\n%s", __LINE__, part, t_); \
	} while (0)
#define SAYS_NOT(text, part)                                                         \
	do {                                                                         \
		const char *t_ = (text);                                             \
		if (strstr(t_, part))                                                \
			fail_msg("%d: \"%s\" is said in\n%s", __LINE__, part, t_);     \
	} while (0)

/* ---- a program: writes to sysfs, opens, asks ---- */

static struct program prog = { .task = { .ops = &program_ops, .comm = "prog", .tid = 4711, .tgid = 4711 } };

static int echo(struct machine *m, const char *text, const char *path)
{
	return program_echo(&prog, m, text, path);
}

static struct file *open_node(struct machine *m, const char *path, int error)
{
	struct file *f = NULL;

	assert_int_equal(tree_open(m->tree, &prog.task, path, 2, &f), error);
	return f;
}

/* SET_CONTAINER with a new container; what came of it */
static int claim(struct machine *m, struct file *group)
{
	int32_t fd = 7;
	int rc;

	prog.container = open_node(m, "/dev/vfio/vfio", 0);
	rc = (int)file_ioctl(group, &prog.task, 0x3b68, (uva_t)&fd);
	file_put(prog.container);
	return rc;
}

/* The commands of an answer, run as a shell would run "echo A > B" with && between; those that fail fail the test. */
static void obey(struct machine *m, const char *text)
{
	AUTO_FREE char *copy = strdup(text);
	char *rest = copy, *line;

	while ((line = strsep(&rest, "\n"))) {
		char *step, *hash = strstr(line, "  #");

		if (strncmp(line, "  echo ", 7) != 0)
			continue;
		if (hash)
			*hash = 0;
		for (step = line; step;) {
			char word[64], path[128], *next = strstr(step, " && ");

			if (next) {
				*next = 0;
				next += 4;
			}
			assert_int_equal(sscanf(step, " echo %63s > %127s", word, path), 2);
			if (echo(m, word, path))
				fail_msg("%s", step);
			step = next;
		}
	}
}

/* ---- who blocks ---- */

static void each_class_of_driver(void **state)
{
	struct machine *m = boot(
		"machine: t\n"
		"drivers:\n"
		"- {name: vouched, managed: yes}\n"
		"- {name: careless, managed: yes, does_dma: yes, match: [\"class 0604\"]}\n"
		"devices:\n- kind: host-bridge\n  below:\n"
		"  - at: 01.0\n    kind: root-port\n    below:\n"
		"    - at: 00.0\n      kind: pcie-to-pci\n      bind: none\n      below:\n"
		"      - {at: 01.0, model: edu, bind: vfio-pci}\n"
		"      - {at: 02.0, model: edu, bind: bridge-dma}\n"
		"      - {at: 03.0, model: edu, bind: bridge-mmio}\n"
		"      - {at: 04.0, model: edu, bind: bridge-quiet}\n"
		"      - {at: 05.0, model: generic, class: 020000}\n"
		"      - {at: 06.0, model: edu, bind: pci-stub}\n"
		"      - {at: 07.0, model: edu, bind: vouched}\n"
		"      - {at: 08.0, model: edu, bind: careless}\n"
		"      - {at: 09.0, model: edu}\n");
	const char *said = explained(m, "02:01.0");

	SAYS(said, "cannot be given to a user now.");
	SAYS(said, "02:02.0 (1234:11e8) is bound to \"bridge-dma\", which does DMA through the kernel: the group "
		   "would have "
		   "two owners.\n  02:03.0");
	SAYS(said, "02:03.0 (1234:11e8) is bound to \"bridge-mmio\", which maps registers: a user's devices could "
		   "write to them "
		   "peer to peer, past the IOMMU.");
	SAYS(said, "02:04.0 (1234:11e8) is bound to \"bridge-quiet\", which does neither DMA nor map registers, but "
		   "nobody has "
		   "vouched");
	SAYS(said, "02:05.0 (1234:0001) is bound to \"nic\", which does DMA through the kernel: the group would have "
		   "two owners.\n"
		   "    It maps registers too");
	SAYS(said, "02:06.0 is bound to pci-stub: that is fine, it leaves the function alone.");
	SAYS(said, "02:07.0 is bound to vouched: that is fine, vouched does no DMA of its own and maps no registers.");
	SAYS(said, "02:08.0 is bound to careless, which is let pass (managed) although it does DMA: uvfio check warns "
		   "of it.");
	SAYS(said, "02:09.0 has no driver: that is fine.");
	SAYS(said, "02:01.0 is bound to vfio-pci: that is fine, it is for users.");
	SAYS(said, "share a group because they are behind the PCIe-to-PCI bridge 01:00.0");
	obey(m, said);
	SAYS(explained(m, "02:01.0"), "is free: a program can open /dev/vfio/2.");
	machine_destroy(m);
}

/* pcieport is never accused, whatever else is wrong; nobody is told to touch it. */
static void pcieport_is_never_accused(void **state)
{
	struct machine *m = boot(HEAD
		"  - at: 01.0\n    kind: root-port\n    acs: none\n    below:\n"
		"    - {at: 00.0, model: ioat}\n"
		"    - {at: 00.1, model: generic, class: 020000, args: [express]}\n");
	const char *said = explained(m, "01:00.0");

	SAYS(said, "00:01.0 is bound to pcieport: that is fine");
	SAYS_NOT(said, "pcieport/unbind");
	SAYS_NOT(said, "echo pci-stub > /sys/bus/pci/devices/0000:00:01.0");
	assert_int_equal(echo(m, "0000:01:00.1", "/sys/bus/pci/drivers/nic/unbind"), 0);
	said = explained(m, "01:00.0");
	SAYS(said, "could be given to a user");
	SAYS_NOT(said, "pcieport/unbind");
	machine_destroy(m);
}

/* A bridge: unbind, or pci-stub; either works. */
static void a_bridges_driver(void **state)
{
	static const char text[] = HEAD
		"  - at: 01.0\n    kind: root-port\n    below:\n"
		"    - at: 00.0\n      kind: pcie-to-pci\n      shpc: yes\n      below: [{at: 01.0, model: edu, bind: "
		"vfio-pci}]\n";
	struct machine *m = boot(text);
	struct file *group = open_node(m, "/dev/vfio/2", 0);

	assert_int_equal(claim(m, group), -EPERM);
	SAYS(logged, "group 2 is refused to prog (pid 4711): SET_CONTAINER is EPERM\n"
		     "  01:00.0 (1b36:000e) is bound to \"shpchp\", which does DMA through the kernel: the group "
		     "would have two "
		     "owners.\n"
		     "    It maps registers too: a user's devices could write to them peer to peer, past the IOMMU.\n"
		     "To give the group to a user:\n"
		     "  echo 0000:01:00.0 > /sys/bus/pci/drivers/shpchp/unbind");
	SAYS(logged, "echo pci-stub > /sys/bus/pci/devices/0000:01:00.0/driver_override && echo 0000:01:00.0 > "
		     "/sys/bus/pci/drivers_probe");
	logged[0] = 0;
	assert_int_equal(claim(m, group), -EPERM); /* the same again is not said again */
	assert_string_equal(logged, "");
	file_put(group);
	obey(m, explained(m, "02:01.0"));
	group = open_node(m, "/dev/vfio/2", 0);
	assert_int_equal(claim(m, group), 0);
	assert_int_equal(echo(m, "\n", "/sys/bus/pci/devices/0000:01:00.0/driver_override"), 0);
	assert_int_equal(echo(m, "0000:01:00.0", "/sys/bus/pci/drivers/pci-stub/unbind"), 0);
	assert_int_equal(echo(m, "0000:01:00.0", "/sys/bus/pci/drivers/shpchp/bind"), -EBUSY);
	SAYS(logged, "0000:01:00.0 is refused to driver shpchp (EBUSY)\n"
		     "  its group 2 is in use, and no DMA of the kernel may go on in it.\n"
		     "  prog (pid 4711) has /dev/vfio/2 open since ");
	SAYS(logged, "end that program, or let it close /dev/vfio/2 and its devices, then bind again.");
	SAYS(explained(m, "2"), "  prog (pid 4711) has /dev/vfio/2 open since ");
	SAYS(answer, "0000:01:00.0 has no driver, and \"shpchp\" does not get it while a user has the group (EBUSY).");
	SAYS(answer, "end that program, or let it close /dev/vfio/2 and its devices.");
	file_put(group);
	assert_int_equal(echo(m, "0000:01:00.0", "/sys/bus/pci/drivers/shpchp/bind"), 0);
	machine_destroy(m);
}

static void somebody_has_it_open(void **state)
{
	struct machine *m = boot(HEAD "  - {at: 01.0, model: edu, bind: vfio-pci}\n");
	struct task other = prog.task;
	struct file *group = open_node(m, "/dev/vfio/1", 0), *f = NULL;

	strcpy(other.comm, "other");
	other.tgid = 12;
	assert_int_equal(tree_open(m->tree, &other, "/dev/vfio/1", 2, &f), -EBUSY);
	SAYS(logged, "group 1 is refused to other (pid 12): open is EBUSY\n  prog (pid 4711) has /dev/vfio/1 open "
		     "since ");
	SAYS(logged, ": a group has one user at a time.");
	file_put(group);
	machine_destroy(m);
}

/* ---- what no driver is to blame for ---- */

static void hardware(void **state)
{
	struct machine *m = boot(
		"machine: t\niommus:\n- {name: old, interrupt_remapping: no}\n- {name: odd, coherent: no}\n"
		"devices:\n- kind: host-bridge\n  iommu: old\n  below:\n"
		"  - {at: 01.0, model: edu, bind: vfio-pci, reserved: [0x1000-0x1fff direct]}\n"
		"  - {at: 02.0, model: edu, bind: vfio-pci}\n"
		"  - {at: 03.0, model: edu, iommu: odd}\n"
		"  - {at: 04.0, model: edu, iommu: none}\n");
	struct file *group = open_node(m, "/dev/vfio/1", 0);

	assert_int_equal(claim(m, group), -EINVAL);
	SAYS(logged, "group 1 is refused to prog (pid 4711): SET_CONTAINER is EINVAL\n"
		     "  Firmware wants 0x1000-0x1fff mapped one to one for it at all times");
	file_put(group);
	SAYS(explained(m, "00:01.0"), "Group 1 cannot be given to a user.\n  Firmware wants 0x1000-0x1fff");

	group = open_node(m, "/dev/vfio/2", 0);
	prog.container = open_node(m, "/dev/vfio/vfio", 0);
	{
		int32_t fd = 7;

		assert_int_equal(file_ioctl(group, &prog.task, 0x3b68, (uva_t)&fd), 0);
		assert_int_equal(file_ioctl(prog.container, &prog.task, 0x3b66, 3), -EPERM);
	}
	SAYS(logged, "group 2 is refused to prog (pid 4711): SET_IOMMU is EPERM\n  IOMMU old does not remap "
		     "interrupts");
	SAYS(logged, "echo Y > /sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts");
	file_put(group);
	file_put(prog.container);
	SAYS(explained(m, "2"), "Group 2 cannot be given to a user now.\n  IOMMU old does not remap interrupts");
	obey(m, answer);
	SAYS(explained(m, "2"), "Group 2 is free");

	SAYS(explained(m, "00:03.0"), "IOMMU odd cannot make mappings that snoop the caches");
	SAYS(explained(m, "00:04.0"), "00:04.0 is in no group: it is behind no IOMMU.");
	SAYS(answer, "vfio-pci does not take it (EINVAL)");
	assert_int_equal(echo(m, "vfio-pci", "/sys/bus/pci/devices/0000:00:04.0/driver_override"), 0);
	assert_int_equal(echo(m, "0000:00:04.0", "/sys/bus/pci/drivers/vfio-pci/bind"), -EINVAL);
	SAYS(logged, "0000:00:04.0 is refused to driver vfio-pci (EINVAL)\n  0000:00:04.0 is behind no IOMMU");
	assert_int_equal(echo(m, "vfio-pci", "/sys/bus/pci/devices/0000:00:03.0/driver_override"), 0);
	assert_int_equal(echo(m, "0000:00:03.0", "/sys/bus/pci/drivers/vfio-pci/bind"), -EINVAL);
	SAYS(logged, "0000:00:03.0 is refused to driver vfio-pci (EINVAL)\n  IOMMU odd cannot make mappings");
	machine_destroy(m);
}

static void vfio_pci_refuses(void **state)
{
	struct machine *m = boot(HEAD
		"  - at: 01.0\n    kind: root-port\n    below:\n"
		"    - {at: 00.0, model: ioat}\n    - {at: 10.0, model: ioat, physfn: 00.0}\n"
		"  - {at: 02.0, model: generic, ids: \"8086:0b25\"}\n");

	SAYS(explained(m, "00:01.0"), "0000:00:01.0 is a bridge, which vfio-pci does not take (EINVAL)");
	SAYS(explained(m, "01:00.0"), "0000:01:00.0 has virtual functions (1), and vfio-pci does not take it while it "
				      "has (EBUSY)");
	SAYS_NOT(answer, "echo vfio-pci >");
	SAYS(explained(m, "01:10.0"), "echo vfio-pci > /sys/bus/pci/devices/0000:01:10.0/driver_override");
	SAYS(explained(m, "00:02.0"), "is on vfio-pci's denylist");
	assert_int_equal(echo(m, "vfio-pci", "/sys/bus/pci/devices/0000:00:02.0/driver_override"), 0);
	assert_int_equal(echo(m, "0000:00:02.0", "/sys/bus/pci/drivers/vfio-pci/bind"), -EINVAL);
	SAYS(logged, "0000:00:02.0 is refused to driver vfio-pci (EINVAL)\n  0000:00:02.0 (8086:0b25) is on "
		     "vfio-pci's denylist");
	assert_int_equal(echo(m, "vfio-pci", "/sys/bus/pci/devices/0000:01:00.0/driver_override"), 0);
	assert_int_equal(echo(m, "0000:01:00.0", "/sys/bus/pci/drivers/vfio-pci/bind"), -EBUSY);
	SAYS(logged, "0000:01:00.0 is refused to driver vfio-pci (EBUSY)\n  0000:01:00.0 has virtual functions (1)");
	machine_destroy(m);
}

/* ---- why there is no driver ---- */

static void driverless(void **state)
{
	struct machine *m = boot(
		"machine: t\n"
		"drivers:\n- {name: broken, match: [\"1000:dead\"], probe: EIO}\n"
		"- {name: store, match: [\"1000:0002\"]}\n- {name: waits, match: [\"1000:0003\"], needs: store}\n"
		"devices:\n- kind: host-bridge\n  below:\n"
		"  - {at: 01.0, model: generic, ids: \"1000:dead\"}\n"
		"  - {at: 02.0, model: generic, ids: \"1000:0003\"}\n"
		"  - at: 03.0\n    kind: root-port\n    below:\n"
		"    - {at: 00.0, model: ioat}\n    - {at: 10.0, model: generic, args: [express], class: 020000, "
		"physfn: 00.0}\n");

	SAYS(explained(m, "00:01.0"), "has no driver: \"broken\" was tried and fails with EIO, which is its own "
				      "affair.");
	SAYS(explained(m, "00:02.0"), "has no driver yet: \"waits\" waits until \"store\" has a device (EAGAIN)");
	assert_int_equal(echo(m, "nosuch", "/sys/bus/pci/devices/0000:00:02.0/driver_override"), 0);
	SAYS(explained(m, "00:02.0"), "has driver_override \"nosuch\": no other driver matches it (ENODEV).");
	assert_int_equal(echo(m, "0000:01:10.0", "/sys/bus/pci/drivers/nic/unbind"), 0);
	assert_int_equal(echo(m, "0", "/sys/bus/pci/devices/0000:01:00.0/sriov_drivers_autoprobe"), 0);
	SAYS(explained(m, "01:10.0"), "is a virtual function of 0000:01:00.0, whose sriov_drivers_autoprobe is 0");
	obey(m, answer);
	SAYS(explained(m, "01:10.0"), "is free: a program can open");
	machine_destroy(m);
}

/* ---- why they are together, and what would part them ---- */

static void ports(void **state)
{
	struct machine *m = boot(
		"machine: t\nparameters: {pci.disable_acs_redir: \"0000:00:01.0\"}\n"
		"devices:\n- kind: host-bridge\n  below:\n"
		"  - {at: 01.0, kind: root-port, acs: full, below: [{at: 00.0, model: ioat}]}\n"
		"  - {at: 02.0, kind: root-port, acs: none, below: [{at: 00.0, model: ioat}]}\n"
		"  - {at: 03.0, kind: root-port, acs: full}\n"
		"  - {at: 04.0, kind: root-port, acs: full, below: [{at: 00.0, model: ioat}, {at: 00.1, model: "
		"ioat}]}\n");

	SAYS(explained(m, "01:00.0"), "01:00.0 shares the group of what is above because root port 00:01.0 has ACS "
				      "not all on "
				      "(missing: RR CR)");
	SAYS(answer, "To have 01:00.0 alone: below 00:03.0, which has ACS, with nothing else.");
	SAYS(answer, "Or switch on the ACS of 00:01.0: pci.config_acs: \"111x1@0000:00:01.0\"");
	SAYS(explained(m, "02:00.0"), "because root port 00:02.0 has no ACS (missing: SV RR CR UF)");
	SAYS(answer, "Or give 00:02.0 ACS: acs: full in the machine file");
	SAYS(explained(m, "04:00.0"), "04:00.0 and 04:00.1 are functions of one device without ACS");
	SAYS(answer, "04:00.0 and 04:00.1 stay together in any slot, unless the device itself has ACS");
	SAYS_NOT(answer, "To have 04:00.0");
	machine_destroy(m);
	/* its own advice, followed */
	m = boot("machine: t\nparameters: {pci.disable_acs_redir: \"0000:00:01.0\", pci.config_acs: "
		 "\"111x1@0000:00:01.0\"}\n"
		 "devices:\n- kind: host-bridge\n  below:\n"
		 "  - {at: 01.0, kind: root-port, acs: full, below: [{at: 00.0, model: ioat}]}\n");
	SAYS(explained(m, "01:00.0"), "Group 2 could be given");
	SAYS_NOT(answer, "00:01.0");
	machine_destroy(m);
}

static void latecomer(void **state)
{
	struct machine *m = boot(HEAD
		"  - {at: 01.0, model: edu, multifunction: yes}\n  - {at: 01.1, model: edu, multifunction: no}\n");

	SAYS(explained(m, "00:01.1"), "00:01.0 and 00:01.1 are functions of one device without ACS");
	assert_int_equal(echo(m, "1", "/sys/bus/pci/devices/0000:00:01.1/remove"), 0);
	assert_int_equal(echo(m, "1", "/sys/bus/pci/rescan"), 0);
	SAYS(explained(m, "00:01.1"), "00:01.1 sits in one slot with 00:01.0 of group 1, and yet has a group of its "
				      "own: it was "
				      "plugged in after boot");
	machine_destroy(m);
}

static void type_stays(void **state)
{
	struct machine *m = boot(HEAD "  - {at: 01.0, model: generic, class: 020000}\n");

	assert_int_equal(echo(m, "identity", "/sys/kernel/iommu_groups/1/type"), -EPERM);
	SAYS(logged, "iommu group 1: its type stays DMA-FQ as long as a driver or a user has the group");
	machine_destroy(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_class_of_driver), cmocka_unit_test(pcieport_is_never_accused),
		cmocka_unit_test(a_bridges_driver),     cmocka_unit_test(somebody_has_it_open),
		cmocka_unit_test(hardware),             cmocka_unit_test(vfio_pci_refuses),
		cmocka_unit_test(driverless),           cmocka_unit_test(ports),
		cmocka_unit_test(latecomer),            cmocka_unit_test(type_stays),
	};
	int rc = cmocka_run_group_tests(tests, NULL, NULL);

	free(answer);
	return rc;
}
