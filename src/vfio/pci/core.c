/* SPDX-License-Identifier: MIT */
/*
 * First open and last close (spec 20, 1.2 and 1.3), and the gate of memory (spec 20, 3).
 *
 * A device is handed over with memory enabled, bus mastering off and its registers at power-on. What the user
 * then does to COMMAND, the power state, or by a reset decides whether BARs answer: memory_lock is held for
 * write over each such change and for read over each access, so an access sees the device before or after it
 * and never in between. Plain memory that programs have mapped cannot take the lock: it is cut off instead,
 * under the same lock (mem_shm_block()). Neither can programs that read mirrored registers (pci_mirror_block()).
 *
 * Left for later: runtime power management of devices that are not open.
 */
#include "vfio/pci/config.h"
#include <string.h>

/* ---- memory ---- */

bool vfio_pci_asleep_locked(const struct vfio_pci_device *v)
{
	/* Somebody else may have woken it since, by a reset; and a reset puts it to sleep for a moment, when we have not. */
	return v->power == 3 && pci_power(v->pdev) == 3;
}

bool vfio_pci_memory_enabled_locked(const struct vfio_pci_device *v)
{
	/* A virtual function has no such bit: what the user writes there gates nothing. */
	return !vfio_pci_asleep_locked(v) && (v->mem_bit || v->pdev->physfn);
}

void vfio_pci_memory_block_locked(struct vfio_pci_device *v)
{
	vfio_pci_dmabufs_block_locked(v, true);
	pci_mirror_block(v->pdev, true);
	for (unsigned i = 0; i < VFIO_PCI_NBARS; i++) {
		const struct pci_bar *bar = pci_bar(v->pdev, i);

		if (bar->shm)
			mem_shm_block(bar->shm);
	}
}

void vfio_pci_memory_update_locked(struct vfio_pci_device *v)
{
	if (!vfio_pci_memory_enabled_locked(v) || v->low_power) {
		vfio_pci_memory_block_locked(v);
		return;
	}
	for (unsigned i = 0; i < VFIO_PCI_NBARS; i++) {
		const struct pci_bar *bar = pci_bar(v->pdev, i);

		if (bar->shm)
			mem_shm_unblock(bar->shm);
	}
	pci_mirror_block(v->pdev, false);
	vfio_pci_dmabufs_block_locked(v, false);
}

/* ---- registers around a use ---- */

/* Decode what the function implements; no bus mastering. */
static void command_enable(struct vfio_pci_device *v)
{
	uint32_t command = pci_config_read(v->pdev, PCI_COMMAND, 2) & ~(uint32_t)PCI_COMMAND_MASTER;

	pci_config_write(v->pdev, PCI_COMMAND, 2, command);
	for (unsigned i = 0; i < VFIO_PCI_NBARS; i++) {
		const struct pci_bar *bar = pci_bar(v->pdev, i);

		if (bar->size)
			command |= bar->kind == PCI_BAR_IO ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
	}
	pci_config_write(v->pdev, PCI_COMMAND, 2, command);
}

static void master_clear(struct vfio_pci_device *v)
{
	uint32_t command = pci_config_read(v->pdev, PCI_COMMAND, 2);

	pci_config_write(v->pdev, PCI_COMMAND, 2, command & ~(uint32_t)PCI_COMMAND_MASTER);
}

/* ---- what the hardware has ---- */

/* Their INTx pin never goes down, so nobody gets to use it (8086). */
static bool intx_is_broken(const struct pci_dev *d)
{
	static const uint16_t ids[] = { 0x1572, 0x1574, 0x1580, 0x1581, 0x1583, 0x1584, 0x1585, 0x1586, 0x1587, 0x1588,
					0x1589, 0x158a, 0x158b, 0x37d0, 0x37d1, 0x37d2, 0x1563 };

	for (size_t i = 0; i < ARRAY_SIZE(ids) && d->vendor == 0x8086; i++) {
		if (d->device == ids[i])
			return true;
	}
	return false;
}

/* Can COMMAND bit 10 be toggled? */
static bool intx_masks(struct pci_dev *d)
{
	uint32_t was = pci_config_read(d, PCI_COMMAND, 2), is;

	pci_config_write(d, PCI_COMMAND, 2, was ^ PCI_COMMAND_INTX_DISABLE);
	is = pci_config_read(d, PCI_COMMAND, 2);
	pci_config_write(d, PCI_COMMAND, 2, was);
	return (was ^ is) & PCI_COMMAND_INTX_DISABLE;
}

static void intx_policy(struct vfio_pci_device *v)
{
	v->nointx = !v->nointxmask && intx_is_broken(v->pdev);
	v->pci_2_3 = !v->nointxmask && !v->nointx && intx_masks(v->pdev);
	if (v->nointx)
		pci_intx_disable(v->pdev, true);
	else if (v->pci_2_3)
		pci_intx_disable(v->pdev, false);
}

static void msix_geometry(struct vfio_pci_device *v)
{
	unsigned n = pci_msix_count(v->pdev);
	unsigned cap = pci_find_cap(v->pdev, PCI_CAP_ID_MSIX);
	uint32_t pba;

	v->msix_bar = v->pba_bar = 0xff;
	if (!n || !cap)
		return;
	pci_msix_where(v->pdev, &v->msix_bar, &v->msix_start);
	v->msix_end = v->msix_start + 16ull * n;
	pba = pci_config_read(v->pdev, cap + PCI_MSIX_PBA, 4);
	v->pba_bar = pba & PCI_MSIX_PBA_BIR;
	v->pba_start = pba & PCI_MSIX_PBA_OFFSET;
	v->pba_end = v->pba_start + (n + 63) / 64 * 8ull;
}

/* ---- open and close ---- */

/* -EAGAIN: somebody binds, unbinds or resets the device just now. Other failures: it cannot be reset. */
static int reset_at_open(struct vfio_pci_device *v)
{
	if (!mutex_trylock(&v->pdev->dev.lock))
		return -EAGAIN;
	v->reset_works = pci_can_reset(v->pdev) && pci_reset_function(v->pdev) == 0;
	mutex_unlock(&v->pdev->dev.lock);
	return 0;
}

int vfio_pci_device_open(struct vfio_device *vdev)
{
	struct vfio_pci_device *v = vfio_pci_device_of(vdev);
	int rc;

	pci_set_power(v->pdev, 0);
	command_enable(v);
	rc = reset_at_open(v);
	if (rc)
		return rc;
	pci_save_state(v->pdev);
	memset(&v->intx, 0, sizeof(v->intx));
	v->irq_type = VFIO_PCI_NO_IRQ;
	v->msi_qmax = 0;
	intx_policy(v);
	rc = vfio_pci_config_create(v, &v->config);
	if (rc)
		return rc;
	msix_geometry(v);
	for (unsigned i = 0; i < VFIO_PCI_NBARS; i++) {
		v->bar_size[i] = v->variant->bar_size ? v->variant->bar_size(v, i) : pci_bar(v->pdev, i)->size;
		v->bar_mmap[i] = vfio_pci_bar_mappable(v, i);
	}
	rwlock_write(&v->memory_lock);
	v->power = pci_power(v->pdev);
	v->mem_bit = v->config->bytes[PCI_COMMAND] & PCI_COMMAND_MEMORY;
	v->low_power = false;
	v->suspended = false;
	vfio_pci_memory_update_locked(v);
	rwlock_unlock(&v->memory_lock);
	pci_irq_handler(v->pdev, &vfio_pci_irq_ops, v);
	v->open = true;
	vfio_pci_token_use(v, 1);
	return 0;
}

/* The last user's state must not reach the next: reset, with the registers as they were handed over. */
static void reset_at_close(struct vfio_pci_device *v)
{
	v->needs_reset = true;
	pci_restore_state(v->pdev);
	pci_config_write(v->pdev, PCI_COMMAND, 2, PCI_COMMAND_INTX_DISABLE);
	if (v->reset_works && mutex_trylock(&v->pdev->dev.lock)) {
		if (pci_reset_function(v->pdev) == 0)
			v->needs_reset = false;
		mutex_unlock(&v->pdev->dev.lock);
	}
	pci_restore_state(v->pdev);
}

void vfio_pci_device_close(struct vfio_device *vdev)
{
	struct vfio_pci_device *v = vfio_pci_device_of(vdev);

	vfio_pci_token_use(v, -1);
	vfio_pci_dmabufs_destroy(v);
	vfio_pci_low_power_end(v);
	rwlock_write(&v->memory_lock);
	vfio_pci_set_power_locked(v, 0);
	pci_mirror_block(v->pdev, true);
	rwlock_unlock(&v->memory_lock);
	master_clear(v);
	vfio_pci_irqs_disable(v);
	vfio_pci_ioeventfds_destroy(v);
	pci_irq_handler(v->pdev, NULL, NULL);
	v->intx.virq_disabled = false;
	vfio_pci_config_destroy(v->config);
	v->config = NULL;
	v->open = false;
	reset_at_close(v);
	vfio_pci_set_try_reset(v);
	vfio_pci_irqs_drop(v);
}
