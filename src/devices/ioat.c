/* SPDX-License-Identifier: MIT */
/*
 * Intel I/OAT (CBDMA) with one channel: copies and fills memory as a chain of descriptors says. Spec 40,
 * section 1, and what DPDK's dma/ioat and Linux's driver use.
 *
 * A driver writes the address of a descriptor to CHAINADDR (the channel is ARMED) and the number of
 * descriptors it has issued since then to DMACOUNT, a counter of 16 bits that it lets run over. The channel
 * follows `next` until as many are done. So a ring needs one CHAINADDR for its life, and a descriptor may
 * point to itself. After each descriptor that asks for it, CHANSTS (the address of the last descriptor done,
 * and the state in its low bits) is written to the address in CHANCMP.
 *
 *                 CHAINADDR          DMACOUNT           all done
 *     HALTED(reset) ----> ARMED ----------> ACTIVE ----------> DONE
 *        ^                  ^                |  ^ DMACOUNT      |
 *        | RESET            | CHAINADDR      |  +---------------+
 *     any state        SUSPENDED <-----------+ SUSPEND (also from ARMED and DONE)
 *
 * An error sets a bit of CHANERR and halts the channel; RESET alone brings it back. Who runs the chain: ioat_chain.c.
 *
 * Not in Intel's: with PASIDs (arg pasid) the register IOAT_PASID says in whose address space all DMA of the channel takes
 * place. A function that asks for pages (arg pri) runs everything on the worker, as that may have to wait.
 *
 * Left out: DCA, XOR/PQ, the CHANNEL_IN_USE semaphore (stored as written), and the interrupt pin.
 */
#include "devices/ioat_priv.h"
#include <stdio.h>
#include <string.h>

static void ioat_power_on_locked(struct ioat *e)
{
	e->regs = (struct ioat_regs){
		.chancnt = 1,
		.xfercap = IOAT_XFERCAP,
		.version = e->version,
		.capability = IOAT_CAP_FILL,
	};
	e->chanerr_int = 0;
	e->uncerrsts = 0;
	e->pasid = 0;
	ioat_channel_reset_locked(e);
	e->recovering = false;
	ioat_mirror_locked(e);
}

/* ---- stores ---- */

static void ioat_store_dmacount(struct ioat *e, uint64_t value)
{
	const struct ioat_budget budget = { .descs = IOAT_INLINE_DESCS, .bytes = IOAT_INLINE_BYTES };

	if (ioat_state(e) == IOAT_HALTED)
		return;
	e->regs.dmacount = value;
	if (e->done == e->regs.dmacount)
		return;
	ioat_set_state(e, IOAT_ACTIVE);
	ioat_mirror_locked(e);
	if (e->recovering || e->asks)
		pci_worker_kick(e->worker);
	else
		ioat_run_locked(e, budget);
}

static void ioat_store_chainaddr(struct ioat *e, uint64_t value)
{
	if (ioat_state(e) == IOAT_ACTIVE)
		return;
	e->regs.chainaddr = value;
	if (e->failed)
		return;
	e->next = value;
	e->done = 0;
	e->regs.dmacount = 0;
	ioat_set_status(e, 0, IOAT_ARMED);
}

static void ioat_store_chancmd(struct ioat *e, uint64_t value)
{
	bool running = e->busy && ioat_state(e) == IOAT_ACTIVE;

	if (value & IOAT_CMD_RESET) {
		if (running) {
			e->reset = true;
			e->regs.chancmd = IOAT_CMD_RESET; /* reads so until it has happened */
		} else {
			ioat_channel_reset_locked(e);
		}
	} else if (value & IOAT_CMD_SUSPEND) {
		if (running)
			e->suspend = true;
		else if (ioat_state(e) != IOAT_HALTED)
			ioat_set_state(e, IOAT_SUSPENDED);
	}
}

static void ioat_store_chanctrl(struct ioat *e, uint64_t value)
{
	uint16_t disabled = e->regs.chanctrl & IOAT_CTRL_INT_DISABLE;

	if (value & IOAT_CTRL_INT_DISABLE)
		disabled = 0;
	e->regs.chanctrl = (value & ~(uint64_t)IOAT_CTRL_INT_DISABLE) | disabled;
}

static void ioat_store_chancmp(struct ioat *e, uint64_t value)
{
	e->regs.chancmp = value & ~7ull;
}

static void ioat_store_chanerr(struct ioat *e, uint64_t value)
{
	e->regs.chanerr &= ~(uint32_t)value;
}

static void ioat_store_chanerrmask(struct ioat *e, uint64_t value)
{
	e->regs.chanerrmask = value;
}

static void ioat_store_intrctrl(struct ioat *e, uint64_t value)
{
	e->regs.intrctrl = value;
}

static void ioat_store_intrdelay(struct ioat *e, uint64_t value)
{
	e->regs.intrdelay = value;
}

/*
 * The registers that can be written. A store may cover a register, part of one (then the other bytes keep
 * their value; for those that act on ones they count as zero) or several, and takes effect in this order: the
 * doorbell comes last.
 */
static const struct ioat_register {
	uint16_t offset;
	uint8_t width;
	bool acts_on_ones;
	void (*store)(struct ioat *e, uint64_t value);
} ioat_registers[] = {
#define REGISTER(reg, ones)                                                                                  \
	{ offsetof(struct ioat_regs, reg), sizeof(((struct ioat_regs *)0)->reg), ones, ioat_store_##reg }
	REGISTER(intrctrl, false),
	REGISTER(intrdelay, false),
	REGISTER(chanctrl, false),
	REGISTER(chanerr, true),
	REGISTER(chanerrmask, false),
	REGISTER(chancmp, false),
	REGISTER(chainaddr, false),
	REGISTER(chancmd, true),
	REGISTER(dmacount, false),
#undef REGISTER
};

static void ioat_store_locked(struct ioat *e, const struct ioat_register *r, uint64_t offset, const uint8_t *data,
			      unsigned width)
{
	uint64_t first = MAX(offset, r->offset), end = MIN(offset + width, (uint64_t)r->offset + r->width);
	uint64_t value = 0;

	if (first >= end)
		return;
	if (!r->acts_on_ones)
		memcpy(&value, (uint8_t *)&e->regs + r->offset, r->width);
	memcpy((uint8_t *)&value + (first - r->offset), data + (first - offset), end - first);
	r->store(e, value);
}

static void ioat_write(void *state, unsigned bar, uint64_t offset, const void *data, unsigned width)
{
	struct ioat *e = state;

	mutex_lock(&e->lock);
	if (e->pasids && offset == IOAT_PASID && width == sizeof(e->pasid)) {
		memcpy(&e->pasid, data, width);
		e->pasid &= e->pasids - 1;
	}
	for (size_t i = 0; i < ARRAY_SIZE(ioat_registers); i++)
		ioat_store_locked(e, &ioat_registers[i], offset, data, width);
	ioat_mirror_locked(e);
	mutex_unlock(&e->lock);
}

static void ioat_read(void *state, unsigned bar, uint64_t offset, void *data, unsigned width)
{
	struct ioat *e = state;

	memset(data, 0, width);
	mutex_lock(&e->lock);
	if (offset < sizeof(e->regs))
		memcpy(data, (const uint8_t *)&e->regs + offset, MIN(width, sizeof(e->regs) - offset));
	else if (offset == IOAT_PASID && width == sizeof(e->pasid))
		memcpy(data, &e->pasid, width);
	mutex_unlock(&e->lock);
}

/* ---- configuration space: error status, cleared by writing ones ---- */

static uint32_t ioat_config_read(void *state, unsigned offset)
{
	struct ioat *e = state;
	SCOPED_LOCK(&e->lock);

	return offset == IOAT_CONFIG_CHANERR_INT ? e->chanerr_int : e->uncerrsts;
}

static void ioat_config_write(void *state, unsigned offset, uint32_t value, uint32_t mask)
{
	struct ioat *e = state;
	SCOPED_LOCK(&e->lock);

	if (offset == IOAT_CONFIG_CHANERR_INT)
		e->chanerr_int &= ~(value & mask);
	else
		e->uncerrsts &= ~(value & mask);
}

/* ---- life ---- */

/* Stop the channel for good: on return no descriptor is being carried out, and none will be. */
static void ioat_quiesce(struct ioat *e)
{
	mutex_lock(&e->lock);
	ioat_channel_reset_locked(e);
	while (e->busy)
		cond_wait(&e->idle, &e->lock);
	mutex_unlock(&e->lock);
	pci_worker_drain(e->worker);
}

static void ioat_reset(void *state)
{
	struct ioat *e = state;

	ioat_quiesce(e);
	mutex_lock(&e->lock);
	ioat_power_on_locked(e);
	mutex_unlock(&e->lock);
}

static void ioat_destroy(void *state)
{
	struct ioat *e = state;

	ioat_quiesce(e);
	pci_worker_destroy(e->worker);
	cond_fini(&e->idle);
	mutex_fini(&e->lock);
	free(e);
}

/* The chips that DPDK and Linux know. The first is the default. */
static const struct ioat_chip {
	const char *name;
	uint16_t device;
	uint8_t version;
} ioat_chips[] = {
	{ "skx", 0x2021, 0x33 },
	{ "bdx", 0x6f20, 0x33 },
	{ "icx", 0x0b00, 0x34 }, /* the one whose errors DPDK handles */
};

static const struct ioat_chip *ioat_chip(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(ioat_chips); i++) {
		if (strcmp(ioat_chips[i].name, name) == 0)
			return &ioat_chips[i];
	}
	return NULL;
}

/* "3.4" */
static int ioat_version(const char *text, uint8_t *out)
{
	unsigned major, minor;
	char end;

	if (sscanf(text, "%u.%u%c", &major, &minor, &end) != 2 || major > 15 || minor > 15)
		return -EINVAL;
	*out = major << 4 | minor;
	return 0;
}

static int ioat_create(struct pci_dev *dev, const char *const *args, void **state)
{
	struct ioat *e = calloc(1, sizeof(*e));
	const char *value;
	int rc;

	if (!e)
		return -ENOMEM;
	e->dev = dev;
	e->version = ioat_chips[0].version;
	for (; args && *args; args++) {
		if ((value = model_arg(*args, "chip")))
			e->version = ioat_chip(value)->version; /* ioat_shape() has seen it */
		else if ((value = model_arg(*args, "version")))
			ioat_version(value, &e->version);
	}
	e->pasids = pci_pasids(dev);
	e->asks = pci_page_requests(dev);
	mutex_init(&e->lock, RANK_MODEL);
	cond_init(&e->idle);
	rc = pci_worker_create(dev, ioat_work, e, &e->worker);
	if (rc)
		goto err_free;
	mutex_lock(&e->lock);
	ioat_power_on_locked(e);
	mutex_unlock(&e->lock);
	*state = e;
	return 0;

err_free:
	cond_fini(&e->idle);
	mutex_fini(&e->lock);
	free(e);
	return rc;
}

static int ioat_shape(struct pci_model *copy, const char *arg, char *err, size_t err_size)
{
	const struct ioat_chip *chip;
	const char *value;
	uint8_t version;

	if ((value = model_arg(arg, "chip"))) {
		chip = ioat_chip(value);
		if (!chip) {
			snprintf(err, err_size, "unknown chip \"%s\" (known: skx, bdx, icx)", value);
			return -EINVAL;
		}
		copy->device = chip->device;
		return 0;
	}
	if ((value = model_arg(arg, "version"))) {
		if (ioat_version(value, &version) == 0)
			return 0;
		snprintf(err, err_size, "\"%s\" is not a version (such as 3.4)", value);
		return -EINVAL;
	}
	return model_shape_common(copy, arg, "chip, version", err, err_size);
}

const struct pci_model ioat_model = {
	.size = sizeof(struct pci_model),
	.name = "ioat",
	.what = "Intel I/OAT: copies and fills memory",
	.vendor = 0x8086,
	.device = 0x2021,
	.subvendor = 0x8086,
	.class_code = 0x088000,
	.revision = 0x07,
	.express = true,
	.bar = { { .kind = PCI_BAR_MEM64, .size = IOAT_BAR_SIZE } },
	.msix_vectors = 1,
	.msix_bar = 0,
	.msix_table = IOAT_MSIX_TABLE,
	.msix_pba = IOAT_MSIX_PBA,
	.flr = true,
	.power_management = true,
	.extended_config_writable = { IOAT_CONFIG_DMAUNCERRSTS, IOAT_CONFIG_CHANERR_INT },
	.create = ioat_create,
	.destroy = ioat_destroy,
	.reset = ioat_reset,
	.read = ioat_read,
	.write = ioat_write,
	.config_read = ioat_config_read,
	.config_write = ioat_config_write,
	.shape = ioat_shape,
};
