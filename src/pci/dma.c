/* SPDX-License-Identifier: MIT */
/*
 * DMA of a function: allowed while it is bus master, in D0, not being reset and not unplugged. Who takes one of
 * these away sets its flag first and then waits at the gate that every transfer passes, so after a cleared bus-master
 * bit or a reset not one more byte moves. A transfer may be waiting for a program to bring a page, which may never happen:
 * that wait is ended.
 */
#include "pci/priv.h"

void pci_dma_init(struct pci_dev *d)
{
	gate_init(&d->priv->dma, sizeof(struct gate_slot));
}

void pci_dma_fini(struct pci_dev *d)
{
	gate_fini(&d->priv->dma);
}

void pci_dma_quiesce(struct pci_dev *d)
{
	iommu_dev_cancel_begin(d->iommu);
	gate_wait(&d->priv->dma);
	iommu_dev_cancel_end(d->iommu);
}

uint32_t pci_pasids(const struct pci_dev *d)
{
	return iommu_dev_pasids(d->iommu);
}

bool pci_page_requests(const struct pci_dev *d)
{
	return iommu_dev_requests(d->iommu);
}

/* NULL: nothing may move (or there is no memory for a thread's first DMA). */
static struct gate_slot *dma_enter(struct pci_priv *p)
{
	struct gate_slot *s = gate_enter(&p->dma);

	if (!s)
		return NULL;
	if ((atomic_load(&p->command) & PCI_COMMAND_MASTER) && atomic_load(&p->power) == 0 &&
	    !atomic_load(&p->resetting) && !atomic_load(&p->gone))
		return s;
	gate_leave(s);
	return NULL;
}

bool pci_bus_master(struct pci_dev *dev)
{
	struct gate_slot *s = dma_enter(dev->priv);

	if (s)
		gate_leave(s);
	return s;
}

int pci_dma_read_pasid(struct pci_dev *dev, uint32_t pasid, uint64_t iova, void *dst, size_t n)
{
	struct gate_slot *s = dma_enter(dev->priv);
	int rc;

	if (!s)
		return -EFAULT;
	rc = pasid ? iommu_dma_read_pasid(dev->iommu, pasid, iova, dst, n) : iommu_dma_read(dev->iommu, iova, dst, n);
	gate_leave(s);
	return rc;
}

int pci_dma_write_pasid(struct pci_dev *dev, uint32_t pasid, uint64_t iova, const void *src, size_t n)
{
	struct gate_slot *s = dma_enter(dev->priv);
	int rc;

	if (!s)
		return -EFAULT;
	rc = pasid ? iommu_dma_write_pasid(dev->iommu, pasid, iova, src, n) : iommu_dma_write(dev->iommu, iova, src, n);
	gate_leave(s);
	return rc;
}

int pci_dma_copy_pasid(struct pci_dev *dev, uint32_t pasid, uint64_t dst, uint64_t src, size_t n, bool *fault_write)
{
	struct gate_slot *s = dma_enter(dev->priv);
	int rc;

	if (!s) {
		*fault_write = false; /* the read comes first */
		return -EFAULT;
	}
	rc = iommu_dma_copy_pasid(dev->iommu, pasid, dst, src, n, fault_write);
	gate_leave(s);
	return rc;
}

int pci_dma_read(struct pci_dev *dev, uint64_t iova, void *dst, size_t n)
{
	return pci_dma_read_pasid(dev, 0, iova, dst, n);
}

int pci_dma_write(struct pci_dev *dev, uint64_t iova, const void *src, size_t n)
{
	return pci_dma_write_pasid(dev, 0, iova, src, n);
}

int pci_dma_copy(struct pci_dev *dev, uint64_t dst, uint64_t src, size_t n, bool *fault_write)
{
	return pci_dma_copy_pasid(dev, 0, dst, src, n, fault_write);
}
