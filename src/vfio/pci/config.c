/* SPDX-License-Identifier: MIT */
/*
 * Reads and writes of the virtual config space. A call is cut into pieces that cross neither a dword nor
 * the end of a capability; each piece goes through the masks (config.h) and then through the hook of its
 * owner, which does what the emulated registers promise: memory enable, BAR sizing, power states, VPD, the
 * reset bits (spec 20, 2.3 to 2.8).
 *
 * Registers that decide whether BARs answer are written with memory_lock held for write, taken before
 * config_lock. Resets are done after both were released.
 */
#include "vfio/pci/config.h"
#include <string.h>

/* A piece of a write, and what is left to do when the locks are released. */
struct config_write {
	const struct task *t;
	unsigned pos, width;
	uint32_t value;
	bool reset;
};

static uint32_t width_mask(unsigned width)
{
	return width == 4 ? 0xffffffffu : BIT(8 * width) - 1;
}

static bool overlaps(unsigned a, unsigned an, unsigned b, unsigned bn)
{
	return a < b + bn && b < a + an;
}

static bool is_bar(unsigned pos)
{
	return (pos >= PCI_BASE_ADDRESS_0 && pos < PCI_BASE_ADDRESS_5 + 4) ||
	       (pos >= PCI_ROM_ADDRESS && pos < PCI_ROM_ADDRESS + 4);
}

/* ---- the masks ---- */

/*
 * Write the bits of @mask to the hardware. Halves without any are left alone, as their neighbours may
 * clear bits when written with what was read (STATUS beside COMMAND).
 */
static void hw_write(struct pci_dev *d, unsigned pos, unsigned width, uint32_t value, uint32_t mask)
{
	while (width > 1) {
		unsigned half = width / 2;
		uint32_t low = width_mask(half);

		if (!(mask & ~low)) {
			width = half;
		} else if (!(mask & low)) {
			pos += half;
			value >>= 8 * half;
			mask >>= 8 * half;
			width = half;
		} else {
			break;
		}
	}
	if (mask != width_mask(width))
		value = (pci_config_read(d, pos, width) & ~mask) | (value & mask);
	pci_config_write(d, pos, width, value);
}

static void masked_write(struct vfio_pci_device *v, unsigned pos, unsigned width, uint32_t value)
{
	struct vfio_pci_config *c = v->config;
	uint32_t virt = config_get(c->virt + pos, width);
	uint32_t wmask = config_get(c->wmask + pos, width);

	if (wmask & virt) {
		uint32_t old = config_get(c->bytes + pos, width);

		config_put(c->bytes + pos, width, (old & ~(wmask & virt)) | (value & wmask & virt));
	}
	if (wmask & ~virt)
		hw_write(v->pdev, pos, width, value, wmask & ~virt);
}

static uint32_t masked_read(struct vfio_pci_device *v, unsigned pos, unsigned width)
{
	struct vfio_pci_config *c = v->config;
	uint32_t virt = config_get(c->virt + pos, width);
	uint32_t value = config_get(c->bytes + pos, width) & virt;

	if (virt != width_mask(width))
		value |= pci_config_read(v->pdev, pos, width) & ~virt;
	return value;
}

/* ---- BARs ---- */

/* The enable bit is kept as written and enables nothing. An image without a BAR looks as if it had one. */
static uint32_t rom_fixup(struct vfio_pci_device *v, uint32_t value)
{
	struct pci_rom rom = pci_rom(v->pdev);
	uint64_t size = 1;

	if (!rom.size)
		return 0;
	while (size < rom.size)
		size *= 2;
	return value & (uint32_t)(~(size - 1) | PCI_ROM_ADDRESS_ENABLE);
}

/* Make of what the user wrote what a BAR of this size would have kept. */
static void bars_fixup(struct vfio_pci_device *v)
{
	struct vfio_pci_config *c = v->config;

	for (unsigned i = 0; i < VFIO_PCI_NBARS; i++) {
		const struct pci_bar *bar = pci_bar(v->pdev, i);
		uint8_t *p = c->bytes + PCI_BASE_ADDRESS_0 + 4 * i;
		uint64_t mask = ~(bar->size - 1);
		uint32_t flags = 0;

		if (!bar->size || !bar->address) {
			config_put(p, 4, 0);
			continue;
		}
		if (bar->kind == PCI_BAR_IO)
			flags = PCI_BASE_ADDRESS_SPACE_IO;
		else if (bar->prefetchable)
			flags |= PCI_BASE_ADDRESS_MEM_PREFETCH;
		if (bar->kind == PCI_BAR_MEM64)
			flags |= PCI_BASE_ADDRESS_MEM_TYPE_64;
		config_put(p, 4, (config_get(p, 4) & (uint32_t)mask) | flags);
		if (bar->kind == PCI_BAR_MEM64 && i + 1 < VFIO_PCI_NBARS) {
			config_put(p + 4, 4, config_get(p + 4, 4) & (uint32_t)(mask >> 32));
			i++;
		}
	}
	config_put(c->bytes + PCI_ROM_ADDRESS, 4, rom_fixup(v, config_get(c->bytes + PCI_ROM_ADDRESS, 4)));
	c->bars_dirty = false;
}

/*
 * The function was reset behind our back: it forgot the user's enables, or its BARs. Put the BARs back before
 * it answers at wrong addresses (spec 20, 2.3).
 */
static void backdoor_repair(struct vfio_pci_device *v, uint16_t command)
{
	struct vfio_pci_config *c = v->config;
	uint16_t was = (uint16_t)config_get(c->bytes + PCI_COMMAND, 2);
	uint16_t now = (uint16_t)pci_config_read(v->pdev, PCI_COMMAND, 2);
	bool lost = (command & was & ~now & VFIO_PCI_COMMAND_BARS) != 0;

	if (v->pdev->physfn) /* has neither the bits nor the registers */
		return;
	for (unsigned i = 0; i < VFIO_PCI_NBARS && !lost; i++)
		lost = c->rbar[i] && c->rbar[i] != pci_config_read(v->pdev, PCI_BASE_ADDRESS_0 + 4 * i, 4);
	if (!lost)
		return;
	log_msg(v->vp->log, LOG_INFO, "%s: reset recovery - restoring BARs", v->pdev->dev.name);
	for (unsigned i = 0; i < VFIO_PCI_NBARS; i++)
		pci_config_write(v->pdev, PCI_BASE_ADDRESS_0 + 4 * i, 4, c->rbar[i]);
	pci_config_write(v->pdev, PCI_ROM_ADDRESS, 4, c->rbar[VFIO_PCI_NBARS]);
	if (v->nointx)
		pci_intx_disable(v->pdev, true);
}

/* Memory does not answer from now on; memory_lock held for write. */
static void memory_disable(struct vfio_pci_device *v, enum vfio_pci_why why, const struct config_write *w)
{
	const struct vfio_pci_deed deed = { .at = w->pos, .width = w->width, .value = w->value };

	vfio_pci_memory_block_locked(v);
	vfio_pci_disabled_by_locked(v, why, deed, w->t);
}

/* ---- header ---- */

static void command_write(struct vfio_pci_device *v, struct config_write *w)
{
	struct vfio_pci_config *c = v->config;

	rwlock_write(&v->memory_lock);
	if (v->mem_bit && !(w->value & PCI_COMMAND_MEMORY))
		memory_disable(v, VFIO_PCI_COMMAND, w);
	mutex_lock(&v->config_lock);
	backdoor_repair(v, (uint16_t)w->value);
	masked_write(v, w->pos, w->width, w->value);
	c->bytes[PCI_COMMAND] = (uint8_t)((c->bytes[PCI_COMMAND] & ~VFIO_PCI_COMMAND_BARS) |
					  (w->value & VFIO_PCI_COMMAND_BARS));
	v->mem_bit = w->value & PCI_COMMAND_MEMORY;
	mutex_unlock(&v->config_lock);
	vfio_pci_memory_update_locked(v);
	rwlock_unlock(&v->memory_lock);
}

static void header_write(struct vfio_pci_device *v, struct config_write *w)
{
	struct vfio_pci_config *c = v->config;

	if (w->pos == PCI_COMMAND)
		command_write(v, w);
	mutex_lock(&v->config_lock);
	if (w->pos != PCI_COMMAND)
		masked_write(v, w->pos, w->width, w->value);
	if (is_bar(w->pos))
		c->bars_dirty = true;
	if (w->pos == PCI_COMMAND || w->pos == PCI_COMMAND + 1)
		vfio_pci_intx_virq(v, c->bytes[PCI_COMMAND + 1] & PCI_COMMAND_INTX_DISABLE >> 8);
	mutex_unlock(&v->config_lock);
}

/* ---- capabilities ---- */

static void pm_write(struct vfio_pci_device *v, unsigned cap, struct config_write *w)
{
	bool state = w->pos == cap + PCI_PM_CTRL;

	if (state)
		rwlock_write(&v->memory_lock);
	mutex_lock(&v->config_lock);
	masked_write(v, w->pos, w->width, w->value);
	mutex_unlock(&v->config_lock);
	if (state) {
		if (!vfio_pci_asleep_locked(v) && (w->value & PCI_PM_CTRL_STATE_MASK) == 3)
			memory_disable(v, VFIO_PCI_D3HOT, w);
		vfio_pci_set_power_locked(v, w->value & PCI_PM_CTRL_STATE_MASK);
		vfio_pci_memory_update_locked(v);
		rwlock_unlock(&v->memory_lock);
		vfio_pci_intx_sync(v);
	}
}

void vfio_pci_set_power_locked(struct vfio_pci_device *v, unsigned state)
{
	if (!state || !v->split)
		pci_set_power(v->pdev, state);
	v->power = pci_power(v->pdev);
}

/*
 * Writing the upper byte of the address starts a transfer, which is over when the write returns. A device
 * that does not answer leaves the flag as it is, and the driver that polls it times out.
 */
static void vpd_write(struct vfio_pci_device *v, unsigned cap, struct config_write *w)
{
	struct vfio_pci_config *c = v->config;
	uint8_t *addr = c->bytes + cap + PCI_VPD_ADDR;
	uint8_t *data = c->bytes + cap + PCI_VPD_DATA;
	uint16_t a;

	SCOPED_LOCK(&v->config_lock);
	masked_write(v, w->pos, w->width, w->value);
	if (!overlaps(w->pos, w->width, cap + PCI_VPD_ADDR + 1, 1))
		return;
	a = (uint16_t)config_get(addr, 2);
	if (a & PCI_VPD_ADDR_F)
		pci_config_write(v->pdev, cap + PCI_VPD_DATA, 4, config_get(data, 4));
	pci_config_write(v->pdev, cap + PCI_VPD_ADDR, 2, a);
	if ((pci_config_read(v->pdev, cap + PCI_VPD_ADDR, 2) & PCI_VPD_ADDR_F) == (a & PCI_VPD_ADDR_F))
		return;
	if (!(a & PCI_VPD_ADDR_F))
		config_put(data, 4, pci_config_read(v->pdev, cap + PCI_VPD_DATA, 4));
	config_put(addr, 2, a ^ PCI_VPD_ADDR_F);
}

/* MSI is switched on by SET_IRQS alone, with as many messages as were asked for there. */
static void msi_write(struct vfio_pci_device *v, unsigned cap, struct config_write *w)
{
	uint8_t *p = v->config->bytes + cap + PCI_MSI_FLAGS;
	uint16_t flags;

	SCOPED_LOCK(&v->config_lock);
	masked_write(v, w->pos, w->width, w->value);
	if (!overlaps(w->pos, w->width, cap + PCI_MSI_FLAGS, 2))
		return;
	flags = (uint16_t)config_get(p, 2);
	if (v->irq_type != VFIO_PCI_MSI_IRQ_INDEX)
		flags &= (uint16_t)~PCI_MSI_FLAGS_ENABLE;
	if ((flags & PCI_MSI_FLAGS_QSIZE) >> 4 > (int)v->msi_qmax)
		flags = (uint16_t)((flags & ~PCI_MSI_FLAGS_QSIZE) | v->msi_qmax << 4);
	config_put(p, 2, flags);
	pci_config_write(v->pdev, cap + PCI_MSI_FLAGS, 2, flags);
}

static void exp_write(struct vfio_pci_device *v, unsigned cap, struct config_write *w)
{
	uint8_t *p = v->config->bytes + cap + PCI_EXP_DEVCTL;
	uint32_t before, after, payload, request;
	uint16_t hw;

	SCOPED_LOCK(&v->config_lock);
	before = config_get(p, 2);
	masked_write(v, w->pos, w->width, w->value);
	after = config_get(p, 2);
	if (after & PCI_EXP_DEVCTL_BCR_FLR) {
		after &= ~(uint32_t)PCI_EXP_DEVCTL_BCR_FLR;
		config_put(p, 2, after);
		w->reset = pci_config_read(v->pdev, cap + PCI_EXP_DEVCAP, 4) & PCI_EXP_DEVCAP_FLR;
	}
	if (!((before ^ after) & PCI_EXP_DEVCTL_READRQ))
		return;
	/* A read request is never made smaller than a payload: some devices break. */
	hw = (uint16_t)pci_config_read(v->pdev, cap + PCI_EXP_DEVCTL, 2);
	payload = (hw & PCI_EXP_DEVCTL_PAYLOAD) >> 5;
	request = MAX((after & PCI_EXP_DEVCTL_READRQ) >> 12, payload);
	if (request > 5) /* reserved: no such size, hardware keeps what it has */
		return;
	hw = (uint16_t)((hw & ~PCI_EXP_DEVCTL_READRQ) | request << 12);
	pci_config_write(v->pdev, cap + PCI_EXP_DEVCTL, 2, hw);
}

static void af_write(struct vfio_pci_device *v, unsigned cap, struct config_write *w)
{
	uint8_t *p = v->config->bytes + cap + PCI_AF_CTRL;
	const uint32_t both = PCI_AF_CAP_TP | PCI_AF_CAP_FLR;

	SCOPED_LOCK(&v->config_lock);
	masked_write(v, w->pos, w->width, w->value);
	if (!(*p & PCI_AF_CTRL_FLR))
		return;
	*p &= (uint8_t)~PCI_AF_CTRL_FLR;
	w->reset = (pci_config_read(v->pdev, cap + PCI_AF_CAP, 1) & both) == both;
}

/* ---- pieces ---- */

static void piece_write(struct vfio_pci_device *v, struct config_write *w)
{
	unsigned cap = v->config->owner[w->pos];

	switch ((enum config_hook)v->config->hook[w->pos]) {
	case HOOK_HEADER:
		header_write(v, w);
		break;
	case HOOK_PM:
		pm_write(v, cap, w);
		break;
	case HOOK_VPD:
		vpd_write(v, cap, w);
		break;
	case HOOK_MSI:
		msi_write(v, cap, w);
		break;
	case HOOK_EXP:
		exp_write(v, cap, w);
		break;
	case HOOK_AF:
		af_write(v, cap, w);
		break;
	case HOOK_NONE: {
		SCOPED_LOCK(&v->config_lock);
		masked_write(v, w->pos, w->width, w->value);
		break;
	}
	}
	if (w->reset)
		(void)vfio_pci_function_reset(v); /* the register has no way to tell of a failure */
}

static uint32_t piece_read(struct vfio_pci_device *v, unsigned pos, unsigned width)
{
	SCOPED_LOCK(&v->config_lock);
	if (is_bar(pos) && v->config->bars_dirty)
		bars_fixup(v);
	return masked_read(v, pos, width);
}

/* The largest aligned piece at @pos inside one dword and one owner, at most @count bytes. */
static unsigned piece_width(const struct vfio_pci_config *c, unsigned pos, size_t count)
{
	unsigned n = 1;

	while ((pos + n) % 4 && n < count && c->owner[pos + n] == c->owner[pos])
		n++;
	if (n >= 4)
		return 4;
	return n >= 2 && pos % 2 == 0 ? 2 : 1;
}

ssize_t vfio_pci_config_rw(struct vfio_pci_device *v, struct task *t, uva_t buf, size_t count, uint64_t pos,
			   bool write)
{
	struct vfio_pci_config *c = v->config;
	uint8_t bytes[CONFIG_MAX];

	if (pos >= c->size || count > c->size - pos)
		return -EFAULT;
	if (write && task_copy_in(t, bytes, buf, count))
		return -EFAULT;
	for (size_t done = 0; done < count;) {
		unsigned at = (unsigned)(pos + done);
		unsigned width = piece_width(c, at, count - done);

		if (write) {
			struct config_write w = {
				.t = t, .pos = at, .width = width, .value = config_get(bytes + done, width),
			};

			piece_write(v, &w);
		} else {
			config_put(bytes + done, width, piece_read(v, at, width));
		}
		done += width;
	}
	if (!write && task_copy_out(t, buf, bytes, count))
		return -EFAULT;
	return (ssize_t)count;
}

unsigned vfio_pci_intx_pin(struct vfio_pci_device *v)
{
	SCOPED_LOCK(&v->config_lock);
	return v->config->bytes[PCI_INTERRUPT_PIN];
}
