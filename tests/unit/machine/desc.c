/* SPDX-License-Identifier: MIT */
/* Machine files, good and bad: each text and the first line of what is said about it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include <glob.h>

#include "machine/desc.h"
#include "machine/machine.h"

static int parse(const char *text, size_t n, char **said, struct machine_desc **out)
{
	size_t size;
	FILE *err = open_memstream(said, &size);
	int rc = machine_desc_parse("lab.yaml", text, n, err, out);

	fclose(err);
	return rc;
}

#define HEAD "machine: lab\ndevices:\n- kind: host-bridge\n  below:\n"

struct bad {
	const char *name, *text, *said; /* @said: beginning of a line that must be there */
};

static const struct bad bad[] = {
	/* YAML itself */
	{ "empty", "", "lab.yaml: empty: expected" },
	{ "tab", "machine: lab\ndevices:\n\t- kind: host-bridge\n", "lab.yaml:3:1: found character that cannot start any token" },
	{ "unclosed", "machine: [a\n", "lab.yaml:2:1: did not find expected ',' or ']'" },
	{ "binary", "machine: \x01\n", "lab.yaml: not text: control characters are not allowed" },
	{ "no anchor", "machine: *x\n", "lab.yaml:1:10: found undefined alias" },
	/* form */
	{ "a list", "- machine\n", "lab.yaml:1:1: expected keys and values (such as \"machine: ...\"), found a list" },
	{ "missing devices", "machine: lab\n", "lab.yaml:1:1: \"devices:\" is missing here" },
	{ "devices empty", "machine: lab\ndevices: []\n", "lab.yaml:2:10: expected 1 to 4294967295 items, found 0" },
	{ "devices no list", "machine: lab\ndevices: yes\n", "lab.yaml:2:10: expected a list (lines that begin with \"- \"), found \"yes\"" },
	{ "lines in a word", "machine: lab\ndevices: \"a\\nb\\e[2J\"\n",
	  "lab.yaml:2:10: expected a list (lines that begin with \"- \"), found \"a\\x0ab\\x1b[2J\"\n" },
	{ "typo", "machine: lab\ndevice:\n- kind: host-bridge\n", "lab.yaml:2:1: unknown key \"device\": did you mean \"devices\"?" },
	{ "unknown", HEAD "  - at: 01.0\n    colour: red\n    model: edu\n", "lab.yaml:6:5: unknown key \"colour\" (known here: at, kind" },
	{ "twice", "machine: lab\nmachine: lab\n", "lab.yaml:2:1: \"machine\" is given twice (first in line 1)" },
	{ "kind", HEAD "  - at: 01.0\n    kind: rootport\n", "lab.yaml:6:11: expected one of function, host-bridge, root-port" },
	{ "bool", HEAD "  - at: 01.0\n    kind: root-port\n    shpc: off\n", "lab.yaml:7:11: expected yes or no, found \"off\"" },
	{ "number", "machine: lab\niommus:\n- name: a\n  width: many\ndevices:\n- kind: host-bridge\n",
	  "lab.yaml:4:10: expected a number, found \"many\"" },
	{ "below nothing", "machine: lab\ndevices:\n- kind: host-bridge\n  below:\n", "lab.yaml:4:9: expected a list (lines that begin with \"- \"), found nothing" },
	{ "args word", HEAD "  - at: 01.0\n    model: edu\n    args: flr\n", "lab.yaml:7:11: expected a list" },
	{ "cycle", "machine: lab\ndevices: &all\n- kind: host-bridge\n  below: *all\n", "lab.yaml:2:10: this contains itself, through an alias" },
	/* addresses */
	{ "no host bridge", "machine: lab\ndevices:\n- at: 01.0\n  model: edu\n",
	  "lab.yaml:3:3: \"edu\" has no bus: the devices of a machine are host bridges" },
	{ "no at", HEAD "  - model: edu\n", "lab.yaml:5:5: \"at:\" is missing: slot and function, such as 01.0" },
	{ "at", HEAD "  - at: here\n    model: edu\n", "lab.yaml:5:9: \"here\": expected slot and function in hex, such as 01.0" },
	{ "slot", HEAD "  - at: 20.0\n    model: edu\n", "lab.yaml:5:9: slot 20.0: a bus has slots 00 to 1f" },
	{ "function", HEAD "  - at: 01.8\n    model: edu\n", "lab.yaml:5:9: function 01.8: a slot has functions 0 to 7" },
	{ "no function 0", HEAD "  - at: 01.1\n    model: edu\n", "lab.yaml:5:9: \"edu\" is never found: slot 01 has no function 0" },
	{ "both at", HEAD "  - at: 01.0\n    kind: root-port\n    below:\n    - at: 00.0\n      name: nvme0\n      model: edu\n    - at: 00.0\n      name: ioat1\n      model: ioat\n",
	  "lab.yaml:11:11: \"ioat1\" and \"nvme0\" (line 8) are both at 0000:01:00.0" },
	{ "both at host bridge", HEAD "  - at: 00.0\n    model: edu\n", "lab.yaml:5:9: \"edu\" and \"host-bridge\" (line 3) are both at 0000:00:00.0" },
	{ "slot below port", HEAD "  - at: 01.0\n    kind: root-port\n    below:\n    - at: 01.0\n      model: edu\n",
	  "lab.yaml:8:11: slot 01.0: below a root-port there is slot 00 only" },
	{ "bus", "machine: lab\ndevices:\n- kind: host-bridge\n  bus: 12345:00\n", "lab.yaml:4:8: \"12345:00\": expected domain and bus in hex" },
	{ "same bus", "machine: lab\ndevices:\n- kind: host-bridge\n- kind: host-bridge\n", "lab.yaml:4:3: there is a bus 0000:00 already" },
	{ "bus number back", HEAD "  - at: 01.0\n    kind: root-port\n    bus: 04\n  - at: 02.0\n    kind: root-port\n    bus: 02\n",
	  "lab.yaml:10:10: bus 02 is taken: numbers rise with the address of the bridge, here from 05 on" },
	{ "buses meet", "machine: lab\ndevices:\n- kind: host-bridge\n  below:\n  - at: 01.0\n    kind: root-port\n- kind: host-bridge\n  bus: 0000:01\n",
	  "lab.yaml:5:5: bus 0000:01 exists twice" },
	{ "no numbers left", HEAD "  - at: 01.0\n    kind: root-port\n    bus: ff\n  - at: 02.0\n    kind: root-port\n",
	  "lab.yaml:8:5: no bus number is left for what is below \"root-port\"" },
	/* what may be below what */
	{ "below an endpoint", HEAD "  - at: 01.0\n    model: edu\n    below:\n    - at: 00.0\n      model: edu\n",
	  "lab.yaml:8:5: \"edu\" is an endpoint: only ports and bridges have devices below" },
	{ "root port below", HEAD "  - at: 01.0\n    kind: root-port\n    below:\n    - at: 00.0\n      kind: root-port\n",
	  "lab.yaml:9:13: a root-port is directly below a host bridge" },
	{ "upstream", HEAD "  - at: 01.0\n    kind: upstream-port\n", "lab.yaml:6:11: an upstream port (of a switch) is below" },
	{ "downstream", HEAD "  - at: 01.0\n    kind: downstream-port\n", "lab.yaml:6:11: a downstream port is below the upstream port" },
	{ "nested host bridge", HEAD "  - at: 01.0\n    kind: host-bridge\n", "lab.yaml:6:11: a host bridge is below nothing" },
	/* models and args */
	{ "no model", HEAD "  - at: 01.0\n", "lab.yaml:5:5: neither \"model:\" nor \"kind:\" (models: dsa, edu, generic, igb, ioat, pcitest)" },
	{ "capability in the header", HEAD "  - at: 01.0\n    model: pcitest\n    capabilities:\n      - {id: 9, at: 0x20}\n",
	  "lab.yaml:8:21: 0x20: a capability is at a multiple of 4, from 0x40 on" },
	{ "extended without PCIe", HEAD "  - at: 01.0\n    model: pcitest\n    capabilities:\n      - {id: 9, at: 0x100}\n",
	  "lab.yaml:8:21: 0x100: only functions of PCIe have extended capabilities (from 0x100 on)" },
	{ "capabilities that overlap",
	  HEAD "  - at: 01.0\n    model: pcitest\n    capabilities:\n      - {id: 9, at: 0x50, bytes: 04 11 22}\n"
	       "      - {id: 9, at: 0x54, bytes: 04 11}\n",
	  "lab.yaml:9:21: 0x54: the capability overlaps one before it" },
	{ "bytes that are none", HEAD "  - at: 01.0\n    model: pcitest\n    capabilities:\n      - {id: 9, at: 0x50, bytes: 0x04}\n",
	  "lab.yaml:8:34: \"0x04\": expected bytes in hex, such as 10 00 a0 ff" },
	{ "more to write than there is",
	  HEAD "  - at: 01.0\n    model: pcitest\n    capabilities:\n      - {id: 9, at: 0x50, bytes: 04, write: 00 ff}\n",
	  "lab.yaml:8:45: 2 bytes, of a capability that has 1 behind its header" },
	{ "register outside", HEAD "  - at: 01.0\n    model: pcitest\n    args: [bar0=4K, reg=0@0x1000:counter]\n",
	  "lab.yaml:7:21: reg=0@0x1000:counter: not inside a BAR given before, which is not plain" },
	{ "unknown model", HEAD "  - at: 01.0\n    model: nvme\n", "lab.yaml:6:12: unknown model \"nvme\" (known: dsa, edu, generic, igb, ioat, pcitest)" },
	{ "port with model", HEAD "  - at: 01.0\n    kind: root-port\n    model: edu\n", "lab.yaml:7:12: a root-port has no model" },
	{ "unknown arg", HEAD "  - at: 01.0\n    model: edu\n    args: [flr, speed=9]\n", "lab.yaml:7:17: unknown arg \"speed=9\" (known: dma_mask" },
	{ "power of two", HEAD "  - at: 01.0\n    name: nvme0\n    model: generic\n    args:\n    - bar0=64K\n    - bar2=3000\n",
	  "lab.yaml:10:7: bar 2 of \"nvme0\": size 3000 is not a power of two (next: 4096)" },
	{ "size", HEAD "  - at: 01.0\n    model: generic\n    args: [bar0=12Q]\n", "lab.yaml:7:12: \"12Q\" is not a number (such as 4096" },
	{ "huge size", HEAD "  - at: 01.0\n    model: generic\n    args: [bar0=99999999999T]\n", "lab.yaml:7:12: 99999999999T does not fit in 64 bits" },
	{ "small bar", HEAD "  - at: 01.0\n    model: generic\n    args: [bar0=8]\n", "lab.yaml:7:12: bar 0 of \"generic\": size 8 is too small (smallest: 16)" },
	{ "large bar", HEAD "  - at: 01.0\n    model: generic\n    args: [bar0=4G]\n", "lab.yaml:7:12: bar 0 of \"generic\": size 4294967296 is too large (largest: 2G)" },
	{ "overlapping bars", HEAD "  - at: 01.0\n    model: generic\n    args:\n    - bar0=4K,64\n    - bar1=4K\n", "lab.yaml:9:7: bar 1: given twice, or the upper half of a 64-bit BAR" },
	{ "bar 6", HEAD "  - at: 01.0\n    model: generic\n    args: [bar6=4K]\n", "lab.yaml:7:12: bar 6: there are BARs 0 to 5" },
	{ "bar word", HEAD "  - at: 01.0\n    model: generic\n    args: [\"bar0=4K,fast\"]\n", "lab.yaml:7:12: bar 0: unknown word \"fast\"" },
	{ "64-bit last", HEAD "  - at: 01.0\n    model: generic\n    args: [\"bar5=4K,64\"]\n", "lab.yaml:7:12: bar 5: 64 bits take two BARs" },
	{ "msix outside", HEAD "  - at: 01.0\n    name: n\n    model: generic\n    args: [bar0=4K, msix=8@0:0x1000:0x800]\n",
	  "lab.yaml:8:21: the MSI-X table of \"n\" (0x1000 to 0x107f) is outside BAR 0 (size 0x1000)" },
	{ "msix no bar", HEAD "  - at: 01.0\n    model: generic\n    args: [msix=8@2:0:0x800]\n", "lab.yaml:7:12: the MSI-X table of \"generic\" is in BAR 2, which is no memory BAR" },
	{ "msix overlap", HEAD "  - at: 01.0\n    model: generic\n    args: [bar0=4K, msix=8@0:0:8]\n", "lab.yaml:7:21: the MSI-X table and pending bits of \"generic\" overlap" },
	{ "msix syntax", HEAD "  - at: 01.0\n    model: generic\n    args: [msix=8@0]\n", "lab.yaml:7:12: msix=8@0: expected N or N@BAR:TABLE:PBA" },
	{ "msi", HEAD "  - at: 01.0\n    model: edu\n    args: [msi=3]\n", "lab.yaml:7:12: 3 MSI vectors: must be" },
	{ "chip", HEAD "  - at: 01.0\n    model: ioat\n    args: [chip=xyz]\n", "lab.yaml:7:12: unknown chip \"xyz\" (known: skx, bdx, icx)" },
	/* identity, ACS, IOMMU, drivers */
	{ "ids", HEAD "  - at: 01.0\n    model: edu\n    ids: edu\n", "lab.yaml:7:10: \"edu\": expected VENDOR:DEVICE" },
	{ "vendor", HEAD "  - at: 01.0\n    model: edu\n    ids: ffff:0001\n", "lab.yaml:7:10: vendor ffff means that nothing is there" },
	{ "class", HEAD "  - at: 01.0\n    model: edu\n    class: \"02\"\n", "lab.yaml:7:12: \"02\": expected six hex digits" },
	{ "acs", HEAD "  - at: 01.0\n    kind: root-port\n    acs: some\n", "lab.yaml:7:10: \"some\": expected none, off, full, or flags" },
	{ "acs conventional", HEAD "  - at: 01.0\n    model: edu\n    acs: full\n", "lab.yaml:7:10: \"edu\" is conventional PCI, which has no ACS" },
	{ "iommu", HEAD "  - at: 01.0\n    model: edu\n    iommu: vtd9\n", "lab.yaml:7:12: unknown IOMMU \"vtd9\"" },
	{ "width", "machine: lab\niommus:\n- name: a\n  width: 20\ndevices:\n- kind: host-bridge\n", "lab.yaml:4:10: 20 address bits: expected 32 to 57" },
	{ "page size", "machine: lab\niommus:\n- name: a\n  page_sizes: [4K, 64K]\ndevices:\n- kind: host-bridge\n", "lab.yaml:4:20: page size \"64K\": expected 4K, 2M or 1G" },
	{ "iommufd_test", "machine: lab\nkernel:\n  version: linux-6.1\n  iommufd_test: yes\ndevices:\n- kind: host-bridge\n", "lab.yaml:4:17: linux-6.1 has no iommufd to test" },
	{ "blocked_access", "machine: lab\nblocked_access: ones\ndevices:\n- kind: host-bridge\n",
	  "lab.yaml:2:17: expected one of sigbus, all-ones, found \"ones\"" },
	{ "same iommu", "machine: lab\niommus:\n- name: a\n- name: a\ndevices:\n- kind: host-bridge\n", "lab.yaml:4:9: there is an IOMMU \"a\" already (line 3)" },
	{ "reserved", HEAD "  - at: 01.0\n    model: edu\n    reserved: [5-1 direct]\n", "lab.yaml:7:16: \"5-1 direct\": expected FIRST-LAST and direct" },
	{ "bind", HEAD "  - at: 01.0\n    model: edu\n    bind: e1000\n", "lab.yaml:7:11: unknown driver \"e1000\"" },
	{ "shpc", HEAD "  - at: 01.0\n    model: edu\n    shpc: yes\n", "lab.yaml:7:11: only bridges have a hot-plug controller" },
	{ "builtin driver", "machine: lab\ndrivers:\n- name: vfio-pci\ndevices:\n- kind: host-bridge\n", "lab.yaml:3:9: \"vfio-pci\" is a driver every machine has" },
	{ "probe", "machine: lab\ndrivers:\n- name: d\n  probe: EFOO\ndevices:\n- kind: host-bridge\n", "lab.yaml:4:10: \"EFOO\": expected the name of an error" },
	{ "needs", "machine: lab\ndrivers:\n- name: d\n  needs: e\ndevices:\n- kind: host-bridge\n", "lab.yaml:4:10: unknown driver \"e\"" },
	{ "needs vfio-pci", "machine: lab\ndrivers:\n- name: d\n  needs: vfio-pci\ndevices:\n- kind: host-bridge\n", "lab.yaml:4:10: unknown driver" },
	{ "unit reserved", "machine: lab\niommus:\n- name: a\n  reserved: [1-0 msi]\ndevices:\n- kind: host-bridge\n", "lab.yaml:4:14: \"1-0 msi\": expected FIRST-LAST" },
	{ "config_acs", "machine: lab\nparameters:\n  pci.config_acs: \"12@00:01.0\"\ndevices:\n- kind: host-bridge\n",
	  "lab.yaml:3:19: \"12@00:01.0\" at character 1: expected FLAGS@DEVICE" },
	{ "config_acs flags", "machine: lab\nparameters:\n  pci.config_acs: \"00:01.0\"\ndevices:\n- kind: host-bridge\n", "lab.yaml:3:19: \"00:01.0\" at character 1" },
	{ "disable_acs_redir", "machine: lab\nparameters:\n  pci.disable_acs_redir: \"00:01.0;zz\"\ndevices:\n- kind: host-bridge\n",
	  "lab.yaml:3:26: \"00:01.0;zz\" at character 9: expected DEVICE" },
	/* virtual functions, what comes later */
	{ "physfn", HEAD "  - at: 01.0\n    model: ioat\n    physfn: 00.x\n", "lab.yaml:7:13: \"00.x\": expected slot and function" },
	{ "no physfn", HEAD "  - at: 02.0\n    model: ioat\n    physfn: 01.0\n", "lab.yaml:7:13: \"01.0\": there is no function at a lower address" },
	{ "physfn after", HEAD "  - at: 01.0\n    model: ioat\n    physfn: 02.0\n  - at: 02.0\n    model: ioat\n", "lab.yaml:7:13: \"02.0\": there is no function at a lower" },
	{ "physfn port", HEAD "  - at: 01.0\n    model: ioat\n  - at: 02.0\n    kind: root-port\n    physfn: 01.0\n", "lab.yaml:9:13: a root-port is no virtual function" },
	{ "physfn conventional", HEAD "  - at: 01.0\n    model: edu\n  - at: 02.0\n    model: edu\n    physfn: 01.0\n", "lab.yaml:9:13: \"edu\" is conventional PCI, which has no virtual" },
	{ "sriov conventional", HEAD "  - at: 01.0\n    model: edu\n    sriov: {vfs: 2, model: edu}\n", "lab.yaml:7:12: only physical functions of PCIe have virtual ones" },
	{ "sriov none", HEAD "  - at: 01.0\n    model: ioat\n    sriov: {vfs: 0, model: ioat}\n", "lab.yaml:7:18: 0 functions from 1 on, each 1 further: expected at least one" },
	{ "sriov room", HEAD "  - at: 01.0\n    model: ioat\n    sriov: {vfs: 4, offset: 128, stride: 60, model: ioat}\n", "lab.yaml:7:18: 4 functions from 128 on, each 60 further" },
	{ "sriov model", HEAD "  - at: 01.0\n    model: ioat\n    sriov: {vfs: 1, model: edu}\n", "lab.yaml:7:12: a virtual function is PCIe" },
	{ "sriov unknown", HEAD "  - at: 01.0\n    model: ioat\n    sriov: {vfs: 1, model: nosuch}\n", "lab.yaml:7:28: unknown model \"nosuch\"" },
	{ "sriov key", HEAD "  - at: 01.0\n    model: ioat\n    sriov: {vfs: 1, model: ioat, number: 3}\n", "lab.yaml:7:34: unknown key \"number\"" },
	{ "nesting", "machine: lab\niommus:\n- name: u\n  kind: smmu\n  nesting: yes\ndevices:\n- kind: host-bridge\n", "lab.yaml:5:12: only an IOMMU of kind intel reads the tables of guests" },
	{ "pasid", HEAD "  - at: 01.0\n    model: edu\n    pasid: 8\n", "lab.yaml:7:12: \"edu\" is no endpoint of PCIe: only those have PASIDs" },
	{ "atomics", HEAD "  - at: 01.0\n    model: edu\n    atomics: \"32\"\n", "lab.yaml:7:14: \"edu\" is conventional PCI, which has no AtomicOps" },
	{ "atomics width", HEAD "  - at: 01.0\n    model: ioat\n    atomics: \"32,16\"\n", "lab.yaml:7:14: \"16\": expected widths in bits, such as \"32,64,128\"" },
	{ "pasid bits", HEAD "  - at: 01.0\n    model: ioat\n    pasid: 21\n", "lab.yaml:7:12: 21 bits: PASIDs have at most 20" },
	{ "pri", HEAD "  - at: 01.0\n    kind: root-port\n    pri: yes\n", "lab.yaml:7:10: \"root-port\" is no endpoint of PCIe: only those ask for pages" },
	{ "ats", HEAD "  - at: 01.0\n    model: edu\n    ats: yes\n", "lab.yaml:7:10: \"edu\" is conventional PCI, which has no ATS" },
	{ "absent root", "machine: lab\ndevices:\n- kind: host-bridge\n  present: no\n", "lab.yaml:4:12: a host bridge is always present" },
	{ "absent vf", HEAD "  - at: 01.0\n    model: ioat\n  - at: 02.0\n    model: ioat\n    physfn: 01.0\n    present: no\n", "lab.yaml:10:14: no rescan finds a virtual function" },
	{ "match", "machine: lab\ndrivers:\n- name: d\n  match: [\"8086:10c9\", nic]\ndevices:\n- kind: host-bridge\n", "lab.yaml:4:24: \"nic\": expected VENDOR:DEVICE" },
};

static void bad_files(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct machine_desc *d = NULL;
		char *said = NULL, *at;
		int rc = parse(bad[i].text, strlen(bad[i].text), &said, &d);

		at = strstr(said, bad[i].said);
		if (rc != -EINVAL || !at || (at != said && at[-1] != '\n'))
			fail_msg("%s: wanted \"%s...\", got %d:\n%s", bad[i].name, bad[i].said, rc, said);
		assert_null(d);
		free(said);
	}
}

/* A few kilobytes of aliases that would be a machine of ten million entries. */
static void laughs(void **state)
{
	char text[4096];
	char *said = NULL;
	struct machine_desc *d = NULL;
	int n = snprintf(text, sizeof(text), "machine: lab\ndevices:\n- kind: host-bridge\n  below:\n  - &a0 {at: 01.0, model: edu}\n");

	for (int i = 1; i < 9; i++) {
		n += snprintf(text + n, sizeof(text) - n, "  - &a%d {at: 01.0, kind: pci-bridge, below: [", i);
		for (int j = 0; j < 10; j++)
			n += snprintf(text + n, sizeof(text) - n, "%s*a%d", j ? ", " : "", i - 1);
		n += snprintf(text + n, sizeof(text) - n, "]}\n");
	}
	assert_int_equal(parse(text, n, &said, &d), -EINVAL);
	assert_non_null(strstr(said, "too much: aliases make more than"));
	free(said);
}

/* Every prefix and every text with one byte changed: an answer, and no crash. */
static void damaged(void **state)
{
	const char *good = machine_default_text();
	size_t n = strlen(good), good_ones = 0;
	unsigned seed = 1;
	AUTO_FREE char *text = malloc(n + 1);

	for (size_t i = 0; i < 600; i++) {
		struct machine_desc *d = NULL;
		char *said = NULL;
		size_t length = i % 2 ? n : (size_t)rand_r(&seed) % n;

		memcpy(text, good, n + 1);
		text[(size_t)rand_r(&seed) % n] = (char)rand_r(&seed);
		if (parse(text, length, &said, &d) == 0) {
			good_ones++;
			machine_desc_free(d);
		} else {
			assert_int_not_equal(said[0], 0);
		}
		free(said);
	}
	assert_true(good_ones > 0);
}

static struct machine_desc *good(const char *text)
{
	struct machine_desc *d = NULL;
	char *said = NULL;

	if (parse(text, strlen(text), &said, &d))
		fail_msg("%s", said);
	assert_string_equal(said, "");
	free(said);
	return d;
}

static int write_address(struct machine_node *n, void *ctx)
{
	fprintf(ctx, "%s", n->address);
	if (machine_node_bridge(n))
		fprintf(ctx, ">%02x", n->secondary);
	fputc(' ', ctx);
	return 0;
}

static void numbering(void **state)
{
	struct machine_desc *d = good(HEAD
		"  - {at: 02.0, kind: root-port, bus: 08, below: [{at: 00.0, model: edu}]}\n"
		"  - {at: 1f.3, model: edu}\n"
		"  - {at: 1f.0, model: edu}\n"
		"  - at: 01.0\n    kind: root-port\n    below:\n    - at: 00.0\n      kind: upstream-port\n      below:\n"
		"      - {at: 01.0, kind: downstream-port}\n"
		"      - {at: 00.0, kind: downstream-port, below: [{at: 00.1, model: ioat}, {at: 00.0, model: ioat}]}\n"
		"- {kind: host-bridge, bus: \"0001:10\", below: [{at: 03.0, kind: pci-bridge}]}\n");
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	machine_for_each(d, write_address, f);
	fclose(f);
	assert_string_equal(text,
		"0000:00:00.0>00 0000:00:01.0>01 0000:00:02.0>08 0000:00:1f.0 0000:00:1f.3 "
		"0000:01:00.0>02 0000:02:00.0>03 0000:02:01.0>04 0000:03:00.0 0000:03:00.1 0000:08:00.0 "
		"0001:10:00.0>10 0001:10:03.0>11 ");
	free(text);
	machine_desc_free(d);
}

static void meaning(void **state)
{
	struct machine_desc *d = good(
		"machine: lab\n"
		"parameters:\n  vfio_iommu_type1.allow_unsafe_interrupts: yes\n  vfio_iommu_type1.dma_entry_limit: 10\n"
		"  vfio_pci.ids: 1234:11e8\n"
		"iommus:\n- {name: a, kind: amd, width: 39, interrupt_remapping: no}\n"
		"- {name: b, page_sizes: [4K], dirty_tracking: yes, nesting: yes}\n"
		"drivers:\n- {name: slow, match: [\"8086:*\", \"class 0200\"], managed: yes, probe: EIO}\n"
		"devices:\n- kind: host-bridge\n  iommu: b\n  below:\n"
		"  - at: 01.0\n    kind: root-port\n    acs: SV RR/SV\n    iommu: a\n    shpc: yes\n"
		"    below:\n"
		"    - {at: 00.0, model: generic, ids: 8086:10c9:1:2, class: 020000, bind: slow, args: [\"bar0=4G,64\", flr]}\n"
		"  - {at: 02.0, model: edu, iommu: none, bind: none, reserved: [0x1000-0x1fff direct]}\n"
		"  - {at: 03.0, model: ioat, acs_quirk: SV RR CR UF}\n"
		"  - {at: 04.0, kind: event-collector}\n");
	struct machine_node *bus = d->devices, *port = bus->order[0], *nic = port->order[0], *edu = bus->order[1],
			    *ioat = bus->order[2];

	assert_true(d->parameters.vfio.type1_allow_unsafe_interrupts);
	assert_int_equal(d->parameters.vfio.type1_dma_entry_limit, 10);
	assert_string_equal(d->parameters.vfio_pci.ids, "1234:11e8");
	assert_ptr_equal(port->unit, &d->iommus[0].unit);
	assert_ptr_equal(nic->pci.unit, &d->iommus[0].unit);
	assert_null(edu->pci.unit);
	assert_ptr_equal(ioat->pci.unit, &d->iommus[1].unit);
	assert_int_equal(d->iommus[0].unit.width, 39);
	assert_false(d->iommus[0].unit.msi_isolated);
	assert_false(d->iommus[0].unit.dirty || d->iommus[0].unit.nesting);
	assert_int_equal(d->iommus[1].unit.pgsizes, 0x1000);
	assert_true(d->iommus[1].unit.dirty && d->iommus[1].unit.nesting);
	assert_int_equal(d->drivers[0].probe_error, -EIO);
	assert_int_equal(d->drivers[0].table[0].vendor, 0x8086);
	assert_int_equal(d->drivers[0].table[1].class_code, 0x020000);
	assert_int_equal(d->drivers[0].table[1].class_mask, 0xffff00);
	assert_int_equal(port->pci.type, PCI_ROOT_PORT);
	assert_int_equal(port->pci.acs_cap, PCI_ACS_SV | PCI_ACS_RR);
	assert_int_equal(port->pci.acs_ctrl, PCI_ACS_SV);
	assert_true(port->pci.shpc && port->pci.bridge);
	assert_int_equal(nic->pci.device, 0x10c9);
	assert_int_equal(nic->pci.subdevice, 2);
	assert_int_equal(nic->pci.class_code, 0x020000);
	assert_true(nic->shape.flr);
	assert_true(nic->shape.bar[0].size == 1ull << 32);
	assert_string_equal(nic->pci.bind, "slow");
	assert_string_equal(edu->pci.bind, "");
	assert_int_equal(edu->pci.nresv, 1);
	assert_true(edu->pci.resv[0].start == 0x1000 && edu->pci.resv[0].last == 0x1fff);
	assert_int_equal(ioat->pci.type, PCI_RC_ENDPOINT);
	assert_true(ioat->pci.acs_quirk && ioat->pci.acs_quirk_set == PCI_ACS_ISOLATION);
	assert_int_equal(bus->order[3]->pci.type, PCI_RC_EVENT);
	machine_desc_free(d);
}

/* What is reserved and what kernel drivers get, as platform and command line have it. */
static void units(void **state)
{
	struct machine_desc *d = good(
		"machine: lab\niommus:\n- {name: i}\n- {name: a, kind: amd}\n- {name: s, kind: smmu}\n"
		"- {name: own, kind: smmu, reserved: [0x1000-0x1fff sw-msi, 0-0xfff direct], default_domain: identity}\n"
		"devices:\n- kind: host-bridge\n");
	const struct iommu_unit *u[4];

	for (unsigned i = 0; i < 4; i++)
		u[i] = &d->iommus[i].unit;
	assert_int_equal(u[0]->nresv, 0);
	assert_true(u[1]->nresv == 2 && u[1]->resv[1].start == 0xfd00000000 && u[1]->resv[1].type == IOMMU_RESV_RESERVED);
	assert_true(u[2]->nresv == 1 && u[2]->resv[0].start == 0x08000000 && u[2]->resv[0].type == IOMMU_RESV_SW_MSI);
	assert_true(u[3]->nresv == 2 && u[3]->resv[0].start == 0x1000 && u[3]->resv[1].type == IOMMU_RESV_DIRECT);
	assert_string_equal(u[0]->default_domain, "DMA-FQ");
	assert_string_equal(u[1]->default_domain, "DMA-FQ");
	assert_string_equal(u[2]->default_domain, "DMA");
	assert_string_equal(u[3]->default_domain, "identity");
	assert_true(u[0]->requests_acs && u[1]->requests_acs && !u[2]->requests_acs);
	machine_desc_free(d);
	d = good("machine: lab\nparameters: {iommu.strict: yes}\niommus:\n- {name: i}\ndevices:\n- kind: host-bridge\n");
	assert_string_equal(d->iommus[0].unit.default_domain, "DMA");
	assert_string_equal(d->default_unit.default_domain, "DMA");
	machine_desc_free(d);
	d = good("machine: lab\nparameters: {iommu.passthrough: yes}\niommus:\n- {name: i}\ndevices:\n- kind: host-bridge\n");
	assert_string_equal(d->iommus[0].unit.default_domain, "identity");
	machine_desc_free(d);
}

/* OWN-27, OWN-28: each driver, and what its line says of why (NULL: no line) */
static void OWN_27_OWN_28_audit(void **state)
{
	static const struct {
		const char *driver, *why;
	} row[] = {
		{ "{name: d, match: [\"class 0604\"], managed: yes, does_dma: yes, maps_mmio: no}",
		  "it does DMA, which a user's mappings would take from it\n" },
		{ "{name: d, match: [\"class 06\"], managed: yes, maps_mmio: yes}",
		  "it maps registers, which a user's devices could write to peer to peer\n" },
		{ "{name: d, match: [\"class 060400\"], managed: yes, does_dma: yes, maps_mmio: yes}",
		  "it does DMA, which a user's mappings would take from it, and maps registers" },
		{ "{name: d, match: [\"1b36:000c\"], managed: yes, does_dma: yes}", "it does DMA" }, /* the port's ids */
		{ "{name: named, managed: yes, does_dma: yes}", "it does DMA" }, /* the port names it */
		{ "{name: d, match: [\"class 0604\"], managed: yes}", NULL },
		{ "{name: d, match: [\"class 0604\"], does_dma: yes, maps_mmio: yes}", NULL }, /* does not claim anything */
		{ "{name: d, match: [\"class 0200\"], managed: yes, does_dma: yes}", NULL },  /* not of bridges */
		{ "{name: d, match: [\"1b36:000d\"], managed: yes, does_dma: yes}", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(row); i++) {
		char text[512], *said = NULL;
		struct machine_desc *d;
		size_t size;
		FILE *f = open_memstream(&said, &size);

		snprintf(text, sizeof(text), "machine: lab\ndrivers:\n- %s\ndevices:\n- kind: host-bridge\n  below:\n"
			 "  - {at: 01.0, kind: root-port, ids: \"1b36:000c\"%s}\n  - {at: 02.0, model: edu, ids: \"1b36:000d\"}\n",
			 row[i].driver, strstr(row[i].driver, "named") ? ", bind: named" : "");
		d = good(text);
		assert_int_equal(machine_desc_audit(d, f), row[i].why != NULL);
		fclose(f);
		if (row[i].why && (strncmp(said, "lab.yaml:3: warning: driver ", 28) != 0 || !strstr(said, row[i].why)))
			fail_msg("%s: %s", row[i].driver, said);
		free(said);
		machine_desc_free(d);
	}
}

static void default_machine(void **state)
{
	struct machine_desc *d = NULL;
	char *said = NULL;
	size_t size;
	FILE *err = open_memstream(&said, &size);

	assert_int_equal(machine_desc_load(NULL, err, &d), 0);
	assert_int_equal(machine_desc_load("/no/such/file", err, &d), -ENOENT);
	fclose(err);
	assert_string_equal(said, "/no/such/file: No such file or directory\n");
	free(said);
	machine_desc_free(d);
}

/* Those that come with uvfio: each must be fine. */
static void examples(void **state)
{
	char pattern[sizeof(__FILE__) + 64] = __FILE__;
	glob_t found;

	strcpy(strstr(pattern, "tests/unit"), "examples/machines/*.yaml");
	if (glob(pattern, 0, NULL, &found))
		skip(); /* not run from the build directory */
	for (size_t i = 0; i < found.gl_pathc; i++) {
		struct machine_desc *d = NULL;

		assert_int_equal(machine_desc_load(found.gl_pathv[i], stderr, &d), 0);
		machine_desc_free(d);
	}
	assert_true(found.gl_pathc >= 3);
	globfree(&found);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_files), cmocka_unit_test(laughs),   cmocka_unit_test(damaged),
		cmocka_unit_test(numbering), cmocka_unit_test(meaning), cmocka_unit_test(units), cmocka_unit_test(OWN_27_OWN_28_audit), cmocka_unit_test(default_machine),
		cmocka_unit_test(examples),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
