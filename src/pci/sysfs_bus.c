/* SPDX-License-Identifier: MIT */
/*
 * /sys/class/pci_bus/DDDD:BB, a link to the directory of a bus below its bridge (or the root bus), where a rescan of
 * this bus and what is below it can be asked for.
 */
#include "pci/priv.h"

static void bus_path(const struct pci_bus *bus, char path[320])
{
	if (bus->bridge)
		snprintf(path, 320, "%s/pci_bus/%04x:%02x", bus->bridge->dev.sysfs, bus->domain, bus->number);
	else
		snprintf(path, 320, "/sys/devices/pci%04x:%02x/pci_bus/%04x:%02x", bus->domain, bus->number,
			 bus->domain, bus->number);
}

/* As core's for a function: a removal under way must not wait for us. A bus stays while its bridge is referenced. */
static ssize_t rescan_store(void *priv, struct task *t, const char *buf, size_t n)
{
	struct pci_bus *bus = priv;
	struct pci_dev *bridge = bus->bridge;
	char *end;
	unsigned long yes = strtoul(buf, &end, 0);
	int rc;

	end += *end == '\n';
	if (end == buf || *end || buf[0] < '0' || buf[0] > '9')
		return -EINVAL;
	if (!yes)
		return (ssize_t)n;
	if (bridge)
		dev_get(&bridge->dev);
	tree_call_detach(bus->pci->tree);
	rc = pci_rescan(bus->pci, bus);
	if (bridge)
		dev_put(&bridge->dev);
	return rc ? rc : (ssize_t)n;
}

static const struct attr attrs[] = {
	{ .name = "rescan", .mode = 0200, .store = rescan_store },
	ATTR_END
};

int pci_sysfs_bus_add(struct pci_bus *bus)
{
	char path[320];
	int rc;

	bus_path(bus, path);
	rc = tree_attrs(bus->pci->tree, path, attrs, bus);
	return rc ? rc : tree_linkf(bus->pci->tree, path, "/sys/class/pci_bus/%04x:%02x", bus->domain, bus->number);
}

void pci_sysfs_bus_remove(struct pci_bus *bus)
{
	char path[320];

	bus_path(bus, path);
	tree_remove(bus->pci->tree, path);
	tree_removef(bus->pci->tree, "/sys/class/pci_bus/%04x:%02x", bus->domain, bus->number);
}
