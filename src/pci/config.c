/* SPDX-License-Identifier: MIT */
/*
 * Config space as the hardware has it. A write moves the bits that the write mask allows, then "settles":
 * state derived from config bytes (COMMAND and power for the data path, pending messages, the pin) follows,
 * and what cannot be done under the function's lock (a reset, waiting for DMA, telling the pin's handler) is
 * noted and done after the lock is dropped. Restoring saved state goes the same way.
 *
 * A few dwords of extended config space belong to the model itself; they are carried to it like BAR accesses.
 */
#include "pci/priv.h"
#include <assert.h>
#include <string.h>

static void config_place(struct pci_config *c, uint8_t *all, unsigned size)
{
	*c = (struct pci_config){ .used = size, .val = all, .wmask = all + size, .w1c = all + 2ul * size,
				  .power_on = all + 3ul * size };
}

int pci_config_init(struct pci_dev *d)
{
	struct pci_config *c = &d->priv->cfg;
	uint8_t *all = calloc(4, d->config_size);

	if (!all)
		return -ENOMEM;
	config_place(c, all, d->config_size);
	return 0;
}

/* Most of extended config space is empty, and there may be very many functions. */
int pci_config_built(struct pci_dev *d)
{
	struct pci_config *c = &d->priv->cfg, old = *c;
	unsigned used = c->used;
	uint8_t *all;

	SCOPED_LOCK(&d->lock); /* somebody may be looking at the bus already */
	while (used > PCI_CFG_SPACE_SIZE && !(old.val[used - 1] | old.wmask[used - 1] | old.w1c[used - 1]))
		used--;
	used = MIN(c->used, ALIGN_UP(used, 64u)); /* whole capabilities */
	all = malloc(4ul * used);
	if (!all)
		return -ENOMEM;
	config_place(c, all, used);
	memcpy(c->val, old.val, used);
	memcpy(c->wmask, old.wmask, used);
	memcpy(c->w1c, old.w1c, used);
	memcpy(c->power_on, old.val, used);
	free(old.val);
	return 0;
}

void pci_config_fini(struct pci_dev *d)
{
	free(d->priv->cfg.val);
	d->priv->cfg.val = NULL;
}

static bool is_model_dword(const struct pci_dev *d, unsigned offset)
{
	const struct pci_model *m = &d->priv->model;

	if (offset < PCI_CFG_SPACE_SIZE || !d->priv->has_model)
		return false;
	for (unsigned i = 0; i < ARRAY_SIZE(m->extended_config_writable) && m->extended_config_writable[i]; i++) {
		if (m->extended_config_writable[i] == (offset & ~3u))
			return true;
	}
	return false;
}

static uint32_t width_mask(unsigned width)
{
	return width == 4 ? ~0u : (1u << 8 * width) - 1;
}

uint32_t pci_config_read(struct pci_dev *d, unsigned offset, unsigned width)
{
	struct pci_priv *p = d->priv;
	uint32_t v;

	assert((width == 1 || width == 2 || width == 4) && offset % width == 0);
	if (offset >= d->config_size || atomic_load(&p->gone))
		return width_mask(width);
	if (is_model_dword(d, offset) && p->model.config_read) {
		SCOPED_READ(&p->access);
		v = p->model.config_read(p->state, offset & ~3u);
	} else {
		SCOPED_LOCK(&d->lock);
		v = offset < p->cfg.used ? get32(&p->cfg.val[offset & ~3u]) : 0;
		if ((offset & ~3u) == PCI_COMMAND && p->pin)
			v |= (uint32_t)PCI_STATUS_INTERRUPT << 16;
	}
	return v >> 8 * (offset & 3) & width_mask(width);
}

/* PMCSR: states the function does not have are ignored; D3hot to D0 loses state unless it says otherwise. */
static void settle_power_locked(struct pci_dev *d, struct config_actions *act)
{
	struct pci_priv *p = d->priv;
	unsigned was = atomic_load(&p->power), now, pmc;
	uint8_t *ctrl;

	if (!p->cap_pm)
		return;
	ctrl = &p->cfg.val[p->cap_pm + PCI_PM_CTRL];
	pmc = get16(&p->cfg.val[p->cap_pm + PCI_PM_PMC]);
	now = ctrl[0] & PCI_PM_CTRL_STATE_MASK;
	if ((now == 1 && !(pmc & PCI_PM_CAP_D1)) || (now == 2 && !(pmc & PCI_PM_CAP_D2))) {
		now = was;
		ctrl[0] = (uint8_t)((ctrl[0] & ~PCI_PM_CTRL_STATE_MASK) | now);
	}
	if (now == was)
		return;
	atomic_store(&p->power, now);
	if (now)
		act->dma_stopped = true;
	if (was == 3 && now == 0 && !(ctrl[0] & PCI_PM_CTRL_NO_SOFT_RESET))
		act->power_up = true;
}

/* A BAR that was moved does not answer where others expect it. A virtual function's are where they were placed. */
static void settle_bars_locked(struct pci_dev *d)
{
	struct pci_priv *p = d->priv;
	unsigned here = d->physfn ? BIT(PCI_BARS) - 1 : 0;

	for (unsigned i = 0; i < PCI_BARS; i++) {
		const struct pci_bar *b = &p->bar[i];
		const uint8_t *reg = &p->cfg.val[PCI_BASE_ADDRESS_0 + 4 * i];
		uint64_t now = get32(reg) & (b->kind == PCI_BAR_IO ? ~3u : ~0xfu);

		if (!b->size || d->physfn)
			continue;
		if (b->kind == PCI_BAR_MEM64)
			now |= (uint64_t)get32(reg + 4) << 32;
		if (now == b->address)
			here |= BIT(i);
	}
	if (p->bar[PCI_ROM].size &&
	    get32(&p->cfg.val[PCI_ROM_ADDRESS]) == (p->bar[PCI_ROM].address | PCI_ROM_ADDRESS_ENABLE))
		here |= BIT(PCI_ROM);
	atomic_store(&p->bars_here, here);
}

void pci_config_settle_locked(struct pci_dev *d, struct config_actions *act)
{
	struct pci_priv *p = d->priv;
	uint8_t *val = p->cfg.val;
	unsigned was = atomic_load(&p->command), now = get16(&val[PCI_COMMAND]);

	atomic_store(&p->command, now);
	if ((was & PCI_COMMAND_MASTER) && !(now & PCI_COMMAND_MASTER))
		act->dma_stopped = true;
	settle_power_locked(d, act);
	settle_bars_locked(d);
	/* The bits that start a reset read zero. */
	if (p->cap_exp && p->model.flr && (val[p->cap_exp + PCI_EXP_DEVCTL + 1] & PCI_EXP_DEVCTL_BCR_FLR >> 8)) {
		val[p->cap_exp + PCI_EXP_DEVCTL + 1] &= (uint8_t)~(PCI_EXP_DEVCTL_BCR_FLR >> 8);
		act->flr = true;
	}
	if (p->cap_af && (val[p->cap_af + PCI_AF_CTRL] & PCI_AF_CTRL_FLR)) {
		val[p->cap_af + PCI_AF_CTRL] = 0;
		act->flr = true;
	}
	pci_irq_flush_locked(d);
	if ((p->pin && !(now & PCI_COMMAND_INTX_DISABLE)) != p->pin_out)
		act->pin = true;
}

void pci_config_act(struct pci_dev *d, const struct config_actions *act)
{
	if (act->pin)
		pci_intx_notify(d);
	if (act->dma_stopped)
		pci_dma_quiesce(d);
	if (act->flr || act->power_up)
		pci_function_reset(d);
	if (act->bus_reset)
		pci_bus_reset_below(d);
}

static void model_dword_write(struct pci_dev *d, unsigned offset, unsigned width, uint32_t value)
{
	struct pci_priv *p = d->priv;
	unsigned shift = 8 * (offset & 3);

	if (!p->model.config_write)
		return;
	SCOPED_READ(&p->access);
	p->model.config_write(p->state, offset & ~3u, value << shift, width_mask(width) << shift);
}

/* Registers that decide whether BARs answer: no access is under way while they change. */
static bool gates_access(const struct pci_dev *d, unsigned offset)
{
	unsigned dword = offset & ~3u, pm = d->priv->cap_pm;

	return dword == PCI_COMMAND || dword == PCI_ROM_ADDRESS || (pm && dword == pm + PCI_PM_CTRL);
}

static void bytes_write(struct pci_dev *d, unsigned offset, unsigned width, uint32_t value, struct config_actions *act)
{
	struct pci_priv *p = d->priv;
	bool bus_reset_was;
	SCOPED_LOCK(&d->lock);

	bus_reset_was = d->bridge && (p->cfg.val[PCI_BRIDGE_CONTROL] & PCI_BRIDGE_CTL_BUS_RESET);
	for (unsigned i = 0; i < width && offset < p->cfg.used; i++) {
		uint8_t byte = (uint8_t)(value >> 8 * i), w = p->cfg.wmask[offset + i];
		uint8_t *v = &p->cfg.val[offset + i];

		*v = (uint8_t)((*v & ~w) | (byte & w));
		*v &= (uint8_t)~(byte & p->cfg.w1c[offset + i]);
	}
	pci_vpd_written_locked(d, offset, width);
	if (d->bridge && !bus_reset_was && (p->cfg.val[PCI_BRIDGE_CONTROL] & PCI_BRIDGE_CTL_BUS_RESET))
		act->bus_reset = true;
	pci_config_settle_locked(d, act);
}

void pci_config_write(struct pci_dev *d, unsigned offset, unsigned width, uint32_t value)
{
	struct config_actions act = { 0 };

	assert((width == 1 || width == 2 || width == 4) && offset % width == 0);
	if (offset >= d->config_size || atomic_load(&d->priv->gone))
		return;
	if (is_model_dword(d, offset)) {
		model_dword_write(d, offset, width, value);
		return;
	}
	if (gates_access(d, offset)) {
		SCOPED_WRITE(&d->priv->access);
		bytes_write(d, offset, width, value, &act);
	} else {
		bytes_write(d, offset, width, value, &act);
	}
	pci_config_act(d, &act);
}

size_t pci_config_span(struct pci_dev *d, uint64_t offset, void *buf, size_t n, bool write)
{
	uint8_t *b = buf;
	size_t done = 0;

	if (offset >= d->config_size)
		return 0;
	n = MIN(n, d->config_size - offset);
	while (done < n) {
		unsigned at = (unsigned)(offset + done), width = 4;
		uint32_t v = 0;

		while (at % width || width > n - done)
			width /= 2;
		if (write) {
			memcpy(&v, b + done, width);
			pci_config_write(d, at, width, v);
		} else {
			v = pci_config_read(d, at, width);
			memcpy(b + done, &v, width);
		}
		done += width;
	}
	return n;
}

unsigned pci_find_cap(struct pci_dev *d, uint8_t id)
{
	unsigned at = pci_config_read(d, PCI_CAPABILITY_LIST, 1) & ~3u;

	if (!(pci_config_read(d, PCI_STATUS, 2) & PCI_STATUS_CAP_LIST))
		return 0;
	for (unsigned n = 0; at >= 0x40 && n < 48; n++) {
		uint8_t found = (uint8_t)pci_config_read(d, at, 1);

		if (found == id)
			return at;
		if (found == 0xff)
			return 0;
		at = pci_config_read(d, at + 1, 1) & ~3u;
	}
	return 0;
}

unsigned pci_find_ext_cap(struct pci_dev *d, uint16_t id)
{
	unsigned at = PCI_CFG_SPACE_SIZE;

	if (d->config_size <= PCI_CFG_SPACE_SIZE)
		return 0;
	for (unsigned n = 0; at >= PCI_CFG_SPACE_SIZE && n < 960; n++) {
		uint32_t header = pci_config_read(d, at, 4);

		if (header == 0 || header == ~0u)
			return 0;
		if (PCI_EXT_CAP_ID(header) == id)
			return at;
		at = PCI_EXT_CAP_NEXT(header);
	}
	return 0;
}

static void firmware_bars(struct pci_dev *d)
{
	for (unsigned i = 0; i < PCI_BARS; i++) {
		const struct pci_bar *b = &d->priv->bar[i];
		unsigned at = PCI_BASE_ADDRESS_0 + 4 * i;

		if (!b->size || d->physfn)
			continue;
		pci_config_write(d, at, 4, (uint32_t)b->address);
		if (b->kind == PCI_BAR_MEM64)
			pci_config_write(d, at + 4, 4, (uint32_t)(b->address >> 32));
	}
	if (d->priv->bar[PCI_ROM].size)
		pci_config_write(d, PCI_ROM_ADDRESS, 4, (uint32_t)d->priv->bar[PCI_ROM].address);
}

void pci_config_firmware(struct pci_dev *d)
{
	uint8_t pin = (uint8_t)pci_config_read(d, PCI_INTERRUPT_PIN, 1);
	uint16_t command = PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_SERR;

	if (d->bridge) {
		uint32_t buses = d->bus->number | d->secondary->number << 8 | d->secondary->number << 16;

		pci_config_write(d, PCI_PRIMARY_BUS, 4, buses);
		command |= PCI_COMMAND_MASTER;
	} else {
		firmware_bars(d);
	}
	if (pin) /* two lines, dealt out by slot and pin as slots are wired */
		pci_config_write(d, PCI_INTERRUPT_LINE, 1, (pci_slot(d) + pin) % 2 ? 10 : 11);
	pci_config_write(d, PCI_COMMAND, 2, command);
}
