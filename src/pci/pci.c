/* SPDX-License-Identifier: MIT */
/*
 * The context of a machine's PCI, and what core's bus "pci" asks of it: ownership of DMA before a driver binds
 * (spec 10, 2.4), ids, removal.
 */
#include "pci/priv.h"
#include <string.h>

int pci_create(struct bus *bus, struct iommu *iommu, struct mem *mem, struct log *log, struct pci **out)
{
	struct pci *pci = calloc(1, sizeof(*pci));
	int rc;

	if (!pci)
		return -ENOMEM;
	pci->bus = bus;
	pci->tree = bus_tree(bus);
	pci->iommu = iommu;
	pci->mem = mem;
	pci->log = log;
	mutex_init(&pci->hotplug, RANK_PCI_HOTPLUG);
	mutex_init(&pci->change, RANK_PCI_CHANGE);
	mutex_init(&pci->topo, RANK_PCI_TOPO);
	TAILQ_INIT(&pci->buses);
	TAILQ_INIT(&pci->units);
	TAILQ_INIT(&pci->removed);
	pci_spaces_init(pci);
	bus_set_owner(bus, pci);
	rc = pci_peer_create(&pci->peer);
	if (rc) {
		pci_destroy(pci);
		return rc;
	}
	*out = pci;
	return 0;
}

void pci_destroy(struct pci *pci)
{
	struct pci_bus *bus;

	if (!pci)
		return;
	while ((bus = TAILQ_FIRST(&pci->buses)))
		pci_root_bus_destroy(bus);
	pci_rescan_fini(pci);
	pci_peer_destroy(pci->peer);
	pci_sysfs_fini(pci);
	mutex_fini(&pci->topo);
	mutex_fini(&pci->change);
	mutex_fini(&pci->hotplug);
	free(pci->config_acs);
	free(pci->disable_acs_redir);
	free(pci);
}

int pci_acs_params(struct pci *pci, const char *config_acs, const char *disable_acs_redir)
{
	pci->config_acs = config_acs ? strdup(config_acs) : NULL;
	pci->disable_acs_redir = disable_acs_redir ? strdup(disable_acs_redir) : NULL;
	return (config_acs && !pci->config_acs) || (disable_acs_redir && !pci->disable_acs_redir) ? -ENOMEM : 0;
}

void pci_request_acs(struct pci *pci)
{
	SCOPED_LOCK(&pci->topo);
	pci->requests_acs = true;
}

/* Step 3 of a bind: ACS again, as Linux does, and the claim of a kernel driver on the group's DMA. */
static int bus_dma_configure(struct dev *dev, struct drv *drv)
{
	struct pci_dev *d = pci_dev_of(dev);

	pci_acs_setup(d);
	return drv->managed ? 0 : iommu_dev_use_default(d->iommu);
}

static void bus_dma_cleanup(struct dev *dev, struct drv *drv)
{
	if (!drv->managed)
		iommu_dev_unuse_default(pci_dev_of(dev)->iommu);
}

static int bus_probe(struct dev *dev, struct drv *drv)
{
	struct pci_dev *d = pci_dev_of(dev);

	if (d->physfn && !pci_vf_autoprobe(d) && !dev_overridden(dev))
		return -ENODEV;
	pci_set_power(d, 0); /* a driver finds its function awake */
	return drv->ops->probe ? drv->ops->probe(drv, dev) : 0;
}

static void bus_remove(struct dev *dev, struct drv *drv)
{
	if (drv->ops->remove)
		drv->ops->remove(drv, dev);
}

static void bus_ids(struct dev *dev, uint32_t *vendor, uint32_t *device, uint32_t *subvendor, uint32_t *subdevice,
		    uint32_t *class_code)
{
	struct pci_dev *d = pci_dev_of(dev);

	*vendor = d->vendor;
	*device = d->device;
	*subvendor = d->subvendor;
	*subdevice = d->subdevice;
	*class_code = d->class_code;
}

static int bus_unplug(struct dev *dev)
{
	return pci_remove(pci_dev_of(dev));
}

static int bus_rescan(struct bus *bus, struct dev *dev)
{
	return pci_rescan(bus_owner(bus), dev ? pci_dev_of(dev)->bus : NULL);
}

const struct bus_ops pci_bus_ops = {
	.dma_configure = bus_dma_configure,
	.dma_cleanup = bus_dma_cleanup,
	.probe = bus_probe,
	.remove = bus_remove,
	.ids = bus_ids,
	.unplug = bus_unplug,
	.rescan = bus_rescan,
};
