/* SPDX-License-Identifier: MIT */
/* Machines that boot: what they look like, what list and explain say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include <jansson.h>

#include "program.h"

static void show_log(void *ctx, enum log_level level, const char *line)
{
	if (getenv("UVFIO_TEST_LOG"))
		fprintf(stderr, "[%d] %s\n", level, line);
}

static struct machine *boot(const char *text)
{
	const struct machine_options o = { .log_sink = show_log };
	struct machine_desc *d = NULL;
	struct machine *m = NULL;

	if (!text)
		text = machine_default_text();
	assert_int_equal(machine_desc_parse("test", text, strlen(text), stderr, &d), 0);
	assert_int_equal(machine_create(d, &o, &m), 0);
	machine_desc_free(d); /* the machine has its own */
	return m;
}

static char *said;
static size_t said_size;

static FILE *listen_begin(void)
{
	free(said);
	said = NULL;
	return open_memstream(&said, &said_size);
}

static const char *listed(struct machine *m, bool json)
{
	FILE *f = listen_begin();

	assert_int_equal(machine_list(m, json, f), 0);
	fclose(f);
	return said;
}

static const char *explained(struct machine *m, const char *what)
{
	FILE *f = listen_begin();

	assert_int_equal(machine_explain(m, what, f), 0);
	fclose(f);
	return said;
}

static const char *driver_of(struct machine *m, const char *bdf)
{
	struct pci_dev *d = pci_find(m->pci, bdf);
	struct drv *drv;

	assert_non_null(d);
	drv = dev_driver(&d->dev);
	dev_put(&d->dev);
	return drv ? drv->name : "-";
}

static unsigned group_of(struct machine *m, const char *bdf)
{
	struct pci_dev *d = pci_find(m->pci, bdf);
	unsigned id;

	assert_non_null(d);
	assert_non_null(iommu_dev_group(d->iommu));
	id = iommu_group_id(iommu_dev_group(d->iommu));
	dev_put(&d->dev);
	return id;
}

static struct program self = { .task = { .ops = &program_ops, .comm = "test" } };

static int echo(struct machine *m, const char *text, const char *path)
{
	return program_echo(&self, m, text, path);
}

static const char default_list[] =
"machine \"default\"  linux-7.3 profile, IOMMU dmar0 (48 bit)\n"
"0000:00  host bridge                              group 0   -\n"
"├─ 00:01.0  root port  ACS SV RR CR UF            group 1   pcieport\n"
"│  └─ 01:00.0  8086:0b00 ioat                     group 5   vfio-pci\n"
"├─ 00:02.0  root port  no ACS                     group 2   pcieport\n"
"│  ├─ 02:00.0  1234:11e8 edu                      group 2   -\n"
"│  └─ 02:00.1  8086:10c9 nic0                     group 2   nic (does DMA)   <- keeps group 2 from users\n"
"├─ 00:03.0  1234:11e8 edu                         group 3   vfio-pci\n"
"└─ 00:04.0  root port  ACS SV RR CR UF            group 4   pcieport\n"
"   └─ 04:00.0  1234:0001 card0                    group 6   -\n";

static void list(void **state)
{
	struct machine *m = boot(NULL);
	json_t *root, *bus, *port;

	assert_string_equal(listed(m, false), default_list);
	root = json_loads(listed(m, true), 0, NULL);
	assert_non_null(root);
	assert_string_equal(json_string_value(json_object_get(root, "machine")), "default");
	bus = json_object_get(root, "devices");
	assert_int_equal(json_array_size(bus), 5);
	port = json_array_get(bus, 2);
	assert_string_equal(json_string_value(json_object_get(port, "address")), "0000:00:02.0");
	assert_int_equal(json_array_size(json_object_get(port, "below")), 2);
	assert_true(json_is_true(json_object_get(json_array_get(json_object_get(port, "below"), 1), "blocks_group")));
	json_decref(root);
	machine_destroy(m);
}

static const char refused[] =
"Group 2 cannot be given to a user now.\n"
"  02:00.1 (8086:10c9) is bound to \"nic\", which does DMA through the kernel: the group would have two owners.\n"
"    It maps registers too: a user's devices could write to them peer to peer, past the IOMMU.\n"
"  02:00.0 and 02:00.1 share a group because root port 00:02.0 has no ACS (missing: SV RR CR UF),\n"
"  so either could reach the other's memory peer to peer.\n"
"  02:00.0 and 02:00.1 are functions of one device without ACS: they could reach each other inside it.\n"
"  00:02.0 is bound to pcieport: that is fine, pcieport does no DMA of its own and maps no registers.\n"
"  02:00.0 has no driver: that is fine.\n"
"To give the group to a user:\n"
"  echo 0000:02:00.1 > /sys/bus/pci/drivers/nic/unbind            # then it stays driverless, or\n"
"  echo vfio-pci > /sys/bus/pci/devices/0000:02:00.1/driver_override && echo 0000:02:00.1 > /sys/bus/pci/drivers_probe\n"
"  echo vfio-pci > /sys/bus/pci/devices/0000:02:00.0/driver_override && echo 0000:02:00.0 > /sys/bus/pci/drivers_probe\n"
"02:00.0 and 02:00.1 stay together in any slot, unless the device itself has ACS (acs: full in the machine file).\n"
"To have 02:00.0 and 02:00.1 alone: below 00:01.0, which has ACS, with nothing else.\n"
"Or give 00:02.0 ACS: acs: full in the machine file; a real board has it or not.\n";

static void explain(void **state)
{
	struct machine *m = boot(NULL);
	FILE *f;

	assert_string_equal(explained(m, "0000:02:00.0"), refused);
	assert_string_equal(explained(m, "02:00.0"), refused);
	assert_non_null(strstr(explained(m, "2"), "Group 2 cannot be given to a user now."));
	/* its own advice, followed */
	assert_int_equal(echo(m, "0000:02:00.1", "/sys/bus/pci/drivers/nic/unbind"), 0);
	assert_int_equal(echo(m, "vfio-pci", "/sys/bus/pci/devices/0000:02:00.0/driver_override"), 0);
	assert_int_equal(echo(m, "0000:02:00.0", "/sys/bus/pci/drivers_probe"), 0);
	assert_non_null(strstr(explained(m, "02:00.0"), "Group 2 is free: a program can open /dev/vfio/2."));
	assert_non_null(strstr(explained(m, "04:00.0"), "none of its functions is bound to vfio-pci"));
	assert_non_null(strstr(explained(m, "01:00.0"), "Group 5 is free"));
	f = listen_begin();
	assert_int_equal(machine_explain(m, "09:00.0", f), -ENODEV);
	assert_int_equal(machine_explain(m, "77", f), -ENODEV);
	assert_int_equal(machine_explain(m, "", f), -ENODEV);
	assert_int_equal(machine_explain(m, "2x", f), -ENODEV);
	fclose(f);
	machine_destroy(m);
}

static void busy(void **state)
{
	struct machine *m = boot(NULL);
	struct file *group = NULL;

	self.task.tgid = self.task.tid = 4711;
	assert_int_equal(tree_open(m->tree, &self.task, "/dev/vfio/5", 2, &group), 0);
	assert_non_null(strstr(explained(m, "01:00.0"), "Group 5 is in use.\n  test (pid 4711) has /dev/vfio/5 open since "));
	assert_non_null(strstr(listed(m, false), "group 5   vfio-pci   test (pid 4711) via /dev/vfio/5\n"));
	file_put(group);
	assert_non_null(strstr(explained(m, "01:00.0"), "Group 5 is free"));
	machine_destroy(m);
}

/* spec 10, 1.5: the topologies and the groups they give. Members of one group share a letter. */
static const struct {
	const char *name, *below, *groups;
} vectors[] = {
	{ "a", "  - {at: 01.0, kind: root-port, below: [{at: 00.0, model: ioat}]}\n", "00:01.0=a 01:00.0=b" },
	{ "b", "  - {at: 01.0, kind: root-port, acs: none, below: [{at: 00.0, model: ioat}]}\n", "00:01.0=a 01:00.0=a" },
	{ "c", "  - {at: 01.0, kind: root-port, acs: none, below: [{at: 00.0, model: ioat}, {at: 00.1, model: ioat}]}\n",
	  "00:01.0=a 01:00.0=a 01:00.1=a" },
	{ "d", "  - {at: 01.0, kind: root-port, below: [{at: 00.0, model: ioat}, {at: 00.1, model: ioat}]}\n",
	  "00:01.0=a 01:00.0=b 01:00.1=b" },
	{ "e", "  - {at: 01.0, kind: root-port, below: [{at: 00.0, model: ioat, acs: \"0\"}, {at: 00.1, model: ioat, acs: \"0\"}]}\n",
	  "00:01.0=a 01:00.0=b 01:00.1=c" },
	{ "f", "  - {at: 1c.0, kind: root-port, acs: none, below: [{at: 00.0, model: ioat}]}\n"
	       "  - {at: 1c.4, kind: root-port, acs: none, below: [{at: 00.0, model: ioat}]}\n",
	  "00:1c.0=a 00:1c.4=a 01:00.0=a 02:00.0=a" },
	{ "g", "  - {at: 1c.0, kind: root-port, acs: none, below: [{at: 00.0, model: ioat}]}\n"
	       "  - {at: 1c.4, kind: root-port, below: [{at: 00.0, model: ioat}]}\n",
	  "00:1c.0=a 01:00.0=a 00:1c.4=b 02:00.0=c" },
	{ "h", "  - {at: 01.0, kind: root-port, below: [{at: 00.0, kind: pcie-to-pci, below: "
	       "[{at: 01.0, model: edu}, {at: 02.0, model: edu}]}]}\n",
	  "00:01.0=a 01:00.0=b 02:01.0=b 02:02.0=b" },
	{ "i", "  - {at: 03.0, model: edu}\n  - {at: 04.0, model: edu}\n", "00:03.0=a 00:04.0=b" },
	{ "j", "  - {at: 1f.0, model: edu}\n  - {at: 1f.2, model: edu}\n  - {at: 1f.3, model: edu}\n", "00:1f.0=a 00:1f.2=a 00:1f.3=a" },
	{ "k", "  - {at: 01.0, kind: root-port, below: [{at: 00.0, kind: upstream-port, below: ["
	       "{at: 00.0, kind: downstream-port, acs: none, below: [{at: 00.0, model: ioat}]}, "
	       "{at: 01.0, kind: downstream-port, acs: none, below: [{at: 00.0, model: ioat}]}]}]}\n",
	  "00:01.0=a 01:00.0=b 02:00.0=c 03:00.0=c 02:01.0=d 04:00.0=d" },
	{ "l", "  - {at: 01.0, kind: root-port, acs: none, below: [{at: 00.0, kind: upstream-port, below: ["
	       "{at: 00.0, kind: downstream-port, below: [{at: 00.0, model: ioat}]}]}]}\n",
	  "00:01.0=a 01:00.0=a 02:00.0=a 03:00.0=a" },
};

static void grouping(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		char text[2048], words[256], *rest = words, *word, bdf[16];
		struct machine *m;
		unsigned of[26], id;

		snprintf(text, sizeof(text), "machine: t\ndevices:\n- kind: host-bridge\n  below:\n%s", vectors[i].below);
		m = boot(text);
		memset(of, 0xff, sizeof(of));
		strcpy(words, vectors[i].groups);
		while ((word = strsep(&rest, " "))) {
			unsigned letter = word[8] - 'a';

			snprintf(bdf, sizeof(bdf), "0000:%.7s", word);
			id = group_of(m, bdf);
			if (of[letter] == UINT32_MAX) {
				for (unsigned j = 0; j < 26; j++) {
					if (of[j] == id)
						fail_msg("%s: %s is in group %u with %c", vectors[i].name, bdf, id, 'a' + j);
				}
				of[letter] = id;
			} else if (of[letter] != id) {
				fail_msg("%s: %s is in group %u, not %u", vectors[i].name, bdf, id, of[letter]);
			}
		}
		machine_destroy(m);
	}
}

static void drivers(void **state)
{
	struct machine *m = boot(
		"machine: t\n"
		"drivers:\n"
		"- {name: fails, match: [\"8086:1111\"], probe: EIO}\n"
		"- {name: odd, match: [\"class 0300\"], managed: yes, does_dma: no}\n"
		"devices:\n- kind: host-bridge\n  below:\n"
		"  - {at: 01.0, kind: pci-bridge, shpc: yes, below: [{at: 01.0, model: edu, bind: vfio-pci}]}\n"
		"  - {at: 02.0, kind: pci-bridge}\n"
		"  - {at: 03.0, model: generic, ids: 8086:1111}\n"
		"  - {at: 04.0, model: generic, class: 030000}\n"
		"  - {at: 05.0, model: generic, class: 010802}\n"
		"  - {at: 06.0, model: generic, class: 010802, bind: none}\n"
		"  - {at: 07.0, model: generic, class: 010802, bind: pci-stub}\n"
		"  - {at: 08.0, model: edu, iommu: none, bind: vfio-pci}\n");

	assert_string_equal(driver_of(m, "0000:00:01.0"), "shpchp");
	assert_string_equal(driver_of(m, "0000:00:02.0"), "-");
	assert_string_equal(driver_of(m, "0000:01:01.0"), "vfio-pci");
	assert_string_equal(driver_of(m, "0000:00:03.0"), "-");
	assert_string_equal(driver_of(m, "0000:00:04.0"), "odd");
	assert_string_equal(driver_of(m, "0000:00:05.0"), "nvme");
	assert_string_equal(driver_of(m, "0000:00:06.0"), "-");
	assert_string_equal(driver_of(m, "0000:00:07.0"), "pci-stub");
	assert_string_equal(driver_of(m, "0000:00:08.0"), "-");
	/* the bridge's driver does DMA and is not managed */
	assert_non_null(strstr(explained(m, "01:01.0"), "00:01.0 (1b36:0001) is bound to \"shpchp\", which does DMA"));
	assert_non_null(strstr(said, "01:01.0 shares the group of the bridge because it is behind the PCI bridge 00:01.0"));
	assert_non_null(strstr(said, "drivers/shpchp/unbind"));
	assert_non_null(strstr(explained(m, "00:08.0"), "is in no group: it is behind no IOMMU"));
	assert_int_equal(echo(m, "0000:00:06.0", "/sys/bus/pci/drivers/nvme/bind"), 0);
	assert_int_equal(echo(m, "0000:00:03.0", "/sys/bus/pci/drivers/fails/bind"), -EIO);
	machine_destroy(m);
}

static void live(void **state)
{
	struct machine *m = boot(NULL);
	struct file *f = NULL;
	char buf[8192];
	ssize_t n;

	assert_int_equal(tree_open(m->tree, &self.task, "/sys/kernel/uvfio/list", 0, &f), 0);
	n = file_read(f, &self.task, (uva_t)buf, sizeof(buf) - 1);
	assert_int_equal(n, sizeof(default_list) - 1);
	file_put(f);
	assert_int_equal(echo(m, "nonsense", "/sys/kernel/uvfio/explain"), -ENODEV);
	assert_int_equal(tree_open(m->tree, &self.task, "/sys/kernel/uvfio/explain", 2, &f), 0);
	assert_int_equal(file_write(f, &self.task, (uva_t) "02:00.0\n", 8), 8);
	file_lseek(f, 0, 0);
	n = file_read(f, &self.task, (uva_t)buf, sizeof(buf) - 1);
	assert_int_equal(n, sizeof(refused) - 1);
	file_put(f);
	machine_destroy(m);
}

/* Removed by hand and the rest still stands; ten machines at once. */
static void unplug(void **state)
{
	struct machine *m[10];

	for (unsigned i = 0; i < ARRAY_SIZE(m); i++)
		m[i] = boot(NULL);
	assert_int_equal(echo(m[0], "1", "/sys/bus/pci/devices/0000:00:02.0/remove"), 0);
	assert_null(strstr(listed(m[0], false), "02:00.1"));
	assert_non_null(strstr(listed(m[1], false), "02:00.1"));
	for (unsigned i = 0; i < ARRAY_SIZE(m); i++)
		machine_destroy(m[i]);
}

/* The second function cannot be in the domain of its group: no machine, and nothing is left of it. */
static void no_machine(void **state)
{
	const char *text = "machine: refused\n"
			   "iommus: [{name: wide}, {name: narrow, width: 39}]\n"
			   "devices:\n"
			   "- kind: host-bridge\n"
			   "  below:\n"
			   "  - {at: 01.0, model: edu}\n"
			   "  - {at: 02.0, model: edu, multifunction: yes}\n"
			   "  - {at: 02.1, model: edu, iommu: narrow}\n"
			   "  - {at: 03.0, kind: root-port, below: [{at: 00.0, model: ioat}]}\n";
	const struct machine_options o = { .log_sink = show_log };
	struct machine_desc *d = NULL;
	struct machine *m = NULL;

	assert_int_equal(machine_desc_parse("test", text, strlen(text), stderr, &d), 0);
	assert_int_equal(machine_create(d, &o, &m), -EINVAL);
	assert_null(m);
	machine_desc_free(d);
}

static void report(void **state)
{
	struct machine *m = boot(NULL);
	FILE *f = listen_begin();

	machine_report(m, f);
	fclose(f);
	assert_string_equal(said, "");
	assert_int_equal(machine_dma_faults(m), 0);
	machine_destroy(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(list), cmocka_unit_test(explain), cmocka_unit_test(busy), cmocka_unit_test(grouping),
		cmocka_unit_test(drivers), cmocka_unit_test(live), cmocka_unit_test(unplug), cmocka_unit_test(report),
		cmocka_unit_test(no_machine),
	};
	int rc = cmocka_run_group_tests(tests, NULL, NULL);

	free(said);
	return rc;
}
