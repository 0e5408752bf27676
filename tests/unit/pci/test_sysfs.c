/* SPDX-License-Identifier: MIT */
/* What programs find of PCI in /sys. */
#include "harness.h"

static int link_is(const char *path, const char *target)
{
	struct node_stat st;

	if (tree_stat(box.tree, path, false, &st, NULL) || st.type != NODE_LINK)
		return 0;
	if (strcmp(st.target, target) != 0)
		print_message("%s -> %s\n", path, st.target);
	return strcmp(st.target, target) == 0;
}

static bool exists(const char *path)
{
	struct node_stat st;

	return tree_stat(box.tree, path, false, &st, NULL) == 0;
}

static void identity(void **state)
{
	struct pci_dev *d = add(add_port(1, 1, &box.unit)->secondary, 0, 0, &toy_model, &box.unit);

	assert_string_equal(sysfs_read(d, "vendor"), "0x1234\n");
	assert_string_equal(sysfs_read(d, "device"), "0x0001\n");
	assert_string_equal(sysfs_read(d, "subsystem_vendor"), "0x1af4\n");
	assert_string_equal(sysfs_read(d, "subsystem_device"), "0x1100\n");
	assert_string_equal(sysfs_read(d, "class"), "0x088000\n");
	assert_string_equal(sysfs_read(d, "revision"), "0x03\n");
	assert_string_equal(sysfs_read(d, "numa_node"), "-1\n");
	assert_string_equal(sysfs_read(d, "modalias"), "pci:v00001234d00000001sv00001AF4sd00001100bc08sc80i00\n");
	assert_string_equal(sysfs_read(d, "uevent"),
			    "PCI_CLASS=88000\nPCI_ID=1234:0001\nPCI_SUBSYS_ID=1AF4:1100\nPCI_SLOT_NAME=0000:01:00.0\n"
			    "MODALIAS=pci:v00001234d00000001sv00001AF4sd00001100bc08sc80i00\n");
	assert_string_equal(sysfs_read(d, "max_link_speed"), "8.0 GT/s PCIe\n");
	assert_int_equal(sysfs_write(d, "uevent", "add\n"), 4);
	assert_int_equal(sysfs_write(d, "uevent", "nonsense"), -EINVAL);
}

static unsigned lines(const char *text)
{
	unsigned n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

static void resource(void **state)
{
	struct pci_dev *port = add_port(1, 1, NULL), *d = add(port->secondary, 0, 0, &toy_model, NULL);
	char want[400];
	const char *text = sysfs_read(d, "resource");

	snprintf(want, sizeof(want), "0x%016llx 0x%016llx 0x0000000000040200\n0x%016x 0x%016x 0x%016x\n"
		 "0x%016llx 0x%016llx 0x000000000014220c\n", (unsigned long long)pci_bar(d, 0)->address,
		 (unsigned long long)pci_bar(d, 0)->address + 0x1fff, 0, 0, 0,
		 (unsigned long long)pci_bar(d, 2)->address, (unsigned long long)pci_bar(d, 2)->address + 0xffff);
	assert_int_equal(lines(text), 13);
	assert_int_equal(strncmp(text, want, strlen(want)), 0);
	assert_int_equal(lines(sysfs_read(port, "resource")), 17);
	assert_null(sysfs_read(port, "subsystem_vendor"));
	assert_string_equal(sysfs_read(port, "secondary_bus_number"), "1\n");
}

static void config(void **state)
{
	struct pci_dev *d = add(box.root, 1, 0, &toy_pci_model, NULL);
	struct node_stat st;
	const char *b;
	char path[320];

	snprintf(path, sizeof(path), "%s/config", d->dev.sysfs);
	assert_int_equal(tree_stat(box.tree, path, true, &st, NULL), 0);
	assert_int_equal(st.size, 256);
	b = sysfs_read(d, "config");
	assert_int_equal((uint8_t)b[0], 0x34);
	assert_int_equal((uint8_t)b[1], 0x12);
	assert_int_equal(sysfs_write(d, "config", "\x34\x12\x02"), 3); /* the ids, which are read-only */
	assert_int_equal(pci_config_read(d, 0, 4), 0x00021234);
}

/* Any offset and length; the end cuts. */
static void config_spans(void **state)
{
	struct pci_dev *d = add(box.root, 1, 0, &toy_pci_model, NULL);
	uint8_t all[256], part[16];

	assert_int_equal(pci_config_span(d, 0, all, 256, false), 256);
	assert_int_equal(pci_config_span(d, 0x0d, part, 7, false), 7);
	assert_memory_equal(part, all + 0x0d, 7);
	assert_int_equal(pci_config_span(d, 0xfe, part, 16, false), 2);
	assert_int_equal(pci_config_span(d, 0x100, part, 16, false), 0);
	assert_int_equal(pci_config_span(d, 1ull << 40, part, 16, true), 0);
}

static void groups(void **state)
{
	struct pci_dev *a = add(box.root, 1, 0, &bare_pci_model, &box.unit);
	struct pci_dev *b = add(box.root, 1, 1, &bare_pci_model, &box.unit);

	assert_true(link_is("/sys/kernel/iommu_groups/0/devices/0000:00:01.1",
			    "../../../../devices/pci0000:00/0000:00:01.1"));
	assert_true(link_is("/sys/devices/pci0000:00/0000:00:01.0/iommu_group", "../../../kernel/iommu_groups/0"));
	assert_string_equal(tree_read("/sys/kernel/iommu_groups/0/type"), "DMA-FQ\n");
	assert_string_equal(tree_read("/sys/kernel/iommu_groups/0/reserved_regions"),
			    "0x00000000fee00000 0x00000000feefffff msi\n");
	assert_false(exists("/sys/kernel/iommu_groups/0/name"));
	pci_dev_unplug(a);
	assert_false(exists("/sys/kernel/iommu_groups/0/devices/0000:00:01.0"));
	assert_true(exists("/sys/kernel/iommu_groups/0/devices/0000:00:01.1"));
	pci_dev_unplug(b);
	assert_false(exists("/sys/kernel/iommu_groups/0"));
}

static void group_type(void **state)
{
	struct pci_dev *a = add(box.root, 1, 0, &bare_pci_model, &box.unit);
	const char *path = "/sys/kernel/iommu_groups/0/type";
	int owner;

	assert_int_equal(tree_write(path, "nonsense"), -EINVAL);
	assert_int_equal(tree_write(path, "DMA-FQ\n"), 7);
	assert_int_equal(iommu_group_claim(iommu_dev_group(a->iommu), &owner), 0);
	assert_int_equal(tree_write(path, "identity"), -EPERM);
	assert_int_equal(tree_write(path, "identityx"), -EINVAL);
	iommu_group_release(iommu_dev_group(a->iommu));
}

/* Where DPDK looks for the address width: bits 21:16 of cap are width - 1. */
static void intel_unit(void **state)
{
	struct pci_dev *a = add(box.root, 1, 0, &bare_pci_model, &box.unit);
	unsigned long long cap;

	cap = strtoull(sysfs_read(a, "iommu/intel-iommu/cap"), NULL, 16);
	assert_int_equal((cap >> 16 & 0x3f) + 1, 48);
	assert_true(link_is("/sys/devices/virtual/iommu/dmar0/devices/0000:00:01.0",
			    "../../../../pci0000:00/0000:00:01.0"));
	assert_string_equal(tree_read("/sys/class/iommu/dmar0/intel-iommu/version"), "1:0\n");
	assert_string_equal(tree_read("/sys/class/iommu/dmar0/intel-iommu/domains_used"), "1\n");
}

/* ---- drivers on the bus: ownership, and removal by a program ---- */

static int drv_probe(struct drv *drv, struct dev *dev)
{
	return 0;
}

static const struct drv_ops drv_ops = { .probe = drv_probe };

static void ownership(void **state)
{
	static struct drv host = { .name = "host", .ops = &drv_ops, .uses_dma = true };
	static struct drv safe = { .name = "safe", .ops = &drv_ops, .managed = true };
	struct pci_dev *a = add(box.root, 1, 0, &bare_pci_model, &box.unit);
	struct iommu_group *g = iommu_dev_group(a->iommu);
	int owner;

	assert_int_equal(drv_register(box.bus, &host), 0);
	assert_int_equal(drv_register(box.bus, &safe), 0);
	dev_autoprobe(&a->dev); /* from here on it may match */
	assert_int_equal(dev_override(&a->dev, "host"), 0);
	assert_int_equal(iommu_group_claim(g, &owner), 0);
	assert_int_equal(drv_bind(&host, "0000:00:01.0"), -EBUSY);
	assert_int_equal(dev_override(&a->dev, "safe"), 0);
	assert_int_equal(drv_bind(&safe, "0000:00:01.0"), 0);
	assert_int_equal(drv_unbind(&safe, "0000:00:01.0"), 0);
	iommu_group_release(g);
	assert_int_equal(dev_override(&a->dev, "host"), 0);
	assert_int_equal(drv_bind(&host, "0000:00:01.0"), 0);
	assert_true(strstr(sysfs_read(a, "uevent"), "DRIVER=host\n") != NULL);
	assert_int_equal(iommu_group_claim(g, &owner), -EPERM);
	/* while it is bound "enable" is the driver's */
	assert_int_equal(sysfs_write(a, "enable", "1"), -EBUSY);
	assert_int_equal(sysfs_write(a, "remove", "1\n"), 2);
	assert_null(pci_find(box.pci, "0000:00:01.0"));
	assert_false(exists("/sys/kernel/iommu_groups/0"));
	drv_unregister(&host);
	drv_unregister(&safe);
}

/* What a program removed, a rescan finds again: new devices, bridges first, in groups decided anew. */
static void remove_and_rescan(void **state)
{
	struct pci_dev *port = add_port(1, 7, &box.unit), *d = add(port->secondary, 0, 0, &toy_model, &box.unit);

	add(box.root, 2, 0, &bare_pci_model, &box.unit);
	assert_int_equal(dev_override(&d->dev, "none"), 0);
	assert_int_equal(sysfs_write(d, "remove", "1"), 1);
	assert_int_equal(sysfs_write(port, "remove", "1"), 1);
	assert_null(pci_find(box.pci, "0000:00:01.0"));
	assert_false(exists("/sys/kernel/iommu_groups/0"));
	assert_int_equal(tree_write("/sys/bus/pci/rescan", "1\n"), 2);
	port = pci_find(box.pci, "0000:00:01.0");
	d = pci_find(box.pci, "0000:07:00.0");
	assert_true(port && d);
	assert_ptr_equal(pci_bus_bridge(d->bus), port);
	assert_int_equal(iommu_group_id(iommu_dev_group(port->iommu)), 0);
	assert_int_equal(iommu_group_id(iommu_dev_group(d->iommu)), 1);
	assert_string_equal(sysfs_read(d, "driver_override"), "(null)\n");
	dev_put(&port->dev);
	dev_put(&d->dev);
	assert_int_equal(tree_write("/sys/bus/pci/rescan", "1"), 1); /* nothing more to find */
}

/* Below a bridge that stays removed nothing is found; the bridge removed with its child brings both back. */
static void rescan_below_bridge(void **state)
{
	struct pci_dev *port = add_port(1, 7, NULL), *d;

	add(port->secondary, 0, 0, &toy_model, NULL);
	add(port->secondary, 0, 1, &toy_model, NULL);
	assert_int_equal(sysfs_write(port, "remove", "1"), 1);
	assert_int_equal(tree_write("/sys/bus/pci/rescan", "0"), 1);
	assert_null(pci_find(box.pci, "0000:00:01.0"));
	assert_int_equal(tree_write("/sys/bus/pci/rescan", "1"), 1);
	d = pci_find(box.pci, "0000:07:00.1");
	assert_non_null(d);
	assert_int_equal(pci_config_read(d, PCI_HEADER_TYPE, 1), 0x80);
	dev_put(&d->dev);
}

static void boot_binding(void **state)
{
	struct pci_dev_desc desc = { .slot = 3, .model = &bare_pci_model, .multifunction = -1, .bind = "vfio-pci" };
	struct pci_dev *d;

	assert_int_equal(pci_dev_create(box.root, &desc, 0, &d), 0);
	assert_int_equal(pci_dev_announce(d), 0);
	assert_string_equal(sysfs_read(d, "driver_override"), "vfio-pci\n");
}

static void switches(void **state)
{
	struct pci_dev *a = add(box.root, 1, 0, &bare_pci_model, NULL);

	assert_string_equal(sysfs_read(a, "msi_bus"), "1\n");
	assert_int_equal(sysfs_write(a, "msi_bus", "0\n"), 2);
	assert_string_equal(sysfs_read(a, "msi_bus"), "0\n");
	assert_int_equal(sysfs_write(a, "broken_parity_status", "x"), -EINVAL);
	assert_int_equal(sysfs_write(a, "enable", "0"), -EIO);
	assert_int_equal(sysfs_write(a, "enable", "1"), 1);
	assert_string_equal(sysfs_read(a, "enable"), "1\n");
	assert_int_equal(sysfs_write(a, "enable", "0"), 1);
	assert_null(sysfs_read(a, "max_link_speed"));
	assert_int_equal(sysfs_write(a, "reset", "1"), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(identity, box_start, box_stop),
		cmocka_unit_test_setup_teardown(resource, box_start, box_stop),
		cmocka_unit_test_setup_teardown(config, box_start, box_stop),
		cmocka_unit_test_setup_teardown(config_spans, box_start, box_stop),
		cmocka_unit_test_setup_teardown(groups, box_start, box_stop),
		cmocka_unit_test_setup_teardown(group_type, box_start, box_stop),
		cmocka_unit_test_setup_teardown(intel_unit, box_start, box_stop),
		cmocka_unit_test_setup_teardown(ownership, box_start, box_stop),
		cmocka_unit_test_setup_teardown(remove_and_rescan, box_start, box_stop),
		cmocka_unit_test_setup_teardown(rescan_below_bridge, box_start, box_stop),
		cmocka_unit_test_setup_teardown(boot_binding, box_start, box_stop),
		cmocka_unit_test_setup_teardown(switches, box_start, box_stop),
	};

	return cmocka_run_group_tests_name("pci sysfs", tests, NULL, NULL);
}
