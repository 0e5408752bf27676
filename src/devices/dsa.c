/* SPDX-License-Identifier: MIT */
/*
 * Intel Data Streaming Accelerator: moves, fills and compares memory as descriptors of 64 bytes say, alone or in
 * batches. Spec 40, section 2, and what Linux's and DPDK's idxd drivers use.
 *
 * A driver configures work queues in tables behind the registers (their places are in a register), gives commands
 * (dsa_command.c) to enable the device and then each work queue, and from then on stores descriptors to the portal
 * of the queue in BAR 2, each with one 64-byte store (movdir64b); other stores there are not heard. The queues are
 * dsa_queue.c, and what a descriptor does is dsa_desc.c. It ends with a completion record in memory, or an
 * interrupt, or both, as the descriptor asks. Errors of descriptors leave the device as it is; those that no
 * record can tell of are in SWERR, until the driver has cleared it.
 *
 * All work queues are dedicated ones. Groups and engines are there to be configured, and nothing comes of it:
 * every work queue is served, in the order of arrival. In a function that asks for pages (arg pri) all transfers
 * wait for them, with or without the flag for it.
 *
 * Left out: shared work queues (ENQCMD), the event log, interrupt message storage, performance counters,
 * overlapping moves, CRC, DIF, delta records, dualcast. The capability registers say so.
 */
#include "devices/dsa_priv.h"
#include <stdio.h>
#include <string.h>

/* 8 bytes at a time, as programs may read them. */
void dsa_mirror_locked(struct dsa *e)
{
	const uint8_t *now = (const uint8_t *)&e->image.regs;
	uint8_t *shown = (uint8_t *)&e->shown;

	for (size_t at = 0; at < sizeof(e->image.regs); at += 8) {
		if (memcmp(now + at, shown + at, 8) == 0)
			continue;
		memcpy(shown + at, now + at, 8);
		pci_mirror_set(e->dev, 0, at, now + at, 8);
	}
}

void dsa_cause_locked(struct dsa *e, uint32_t cause)
{
	e->image.regs.intcause |= cause;
	dsa_mirror_locked(e);
	pci_msix_fire(e->dev, 0);
}

void dsa_wq_reset_locked(struct dsa *e, unsigned wq)
{
	memset(e->image.wqcfg[wq], 0, sizeof(e->image.wqcfg[wq]));
	e->image.wqcfg[wq][DSA_WQ_OPCODES] = DSA_OPCODES;
}

void dsa_config_reset_locked(struct dsa *e)
{
	struct dsa_regs *r = &e->image.regs;

	r->gencfg = r->genctrl = r->gensts = r->intcause = 0;
	memset(r->swerr, 0, sizeof(r->swerr));
	memset(e->image.grpcfg, 0, sizeof(e->image.grpcfg));
	memset(e->image.msixperm, 0, sizeof(e->image.msixperm));
	for (unsigned i = 0; i < DSA_WQS; i++)
		dsa_wq_reset_locked(e, i);
}

static void dsa_power_on_locked(struct dsa *e)
{
	e->image = (struct dsa_image){ .regs = {
		.version = e->version,
		.gencap = (e->asks ? BIT(0) : 0) | DSA_XFER_SHIFT << 16 | DSA_BATCH_SHIFT << 21 | BIT(31),
		/* 64 bytes of configuration each, dedicated, priorities, opcodes; ATS and page requests */
		.wqcap = DSA_ENTRIES | DSA_WQS << 16 | 1 << 24 | BIT64(49) | BIT64(51) | BIT64(54) |
			 (e->asks ? BIT64(50) | BIT64(55) : 0),
		.grpcap = DSA_GROUPS,
		.engcap = DSA_ENGINES,
		.opcap = { DSA_OPCODES },
		.grpcfg = offsetof(struct dsa_image, grpcfg) / DSA_TABLE_UNIT,
		.wqcfg = offsetof(struct dsa_image, wqcfg) / DSA_TABLE_UNIT,
		.msixperm = offsetof(struct dsa_image, msixperm) / DSA_TABLE_UNIT,
	} };
	dsa_config_reset_locked(e);
	dsa_mirror_locked(e);
}

/* ---- access ---- */

static void dsa_store_wqcfg_locked(struct dsa *e, unsigned wq, unsigned dword, uint32_t value)
{
	if (dsa_wq_enabled(e, wq) || (dword == DSA_WQ_SIZE && dsa_enabled(e)) || dword == DSA_WQ_STATE)
		return;
	e->image.wqcfg[wq][dword] = value;
}

static void dsa_store_locked(struct dsa *e, uint64_t offset, uint32_t value)
{
	struct dsa_regs *r = &e->image.regs;

	switch (offset) {
	case offsetof(struct dsa_regs, gencfg):
		r->gencfg = value;
		return;
	case offsetof(struct dsa_regs, genctrl):
		r->genctrl = value & DSA_CTRL_ERROR_INT;
		return;
	case offsetof(struct dsa_regs, intcause):
		r->intcause &= ~value;
		return;
	case offsetof(struct dsa_regs, cmd):
		dsa_command_locked(e, value);
		return;
	case offsetof(struct dsa_regs, swerr):
		r->swerr[0] &= ~(uint64_t)(value & (DSA_SWERR_VALID | DSA_SWERR_OVERFLOW));
		return;
	}
	if (offset >= offsetof(struct dsa_image, wqcfg) && offset < offsetof(struct dsa_image, reserved1))
		dsa_store_wqcfg_locked(e, (offset - offsetof(struct dsa_image, wqcfg)) / 64, offset % 64 / 4, value);
	else if ((offset >= offsetof(struct dsa_image, msixperm) && offset < sizeof(e->image)) ||
		 (offset >= offsetof(struct dsa_image, grpcfg) && offset < offsetof(struct dsa_image, wqcfg) &&
		  !dsa_enabled(e)))
		memcpy((uint8_t *)&e->image + offset, &value, sizeof(value));
}

static void dsa_portal_locked(struct dsa *e, uint64_t offset, const void *data, unsigned width)
{
	struct dsa_desc d;

	if (width != sizeof(d) || offset % sizeof(d))
		return;
	memcpy(&d, data, sizeof(d));
	dsa_submit_locked(e, offset / DSA_PORTAL_SIZE, &d);
}

/* Registers are written in dwords, whatever the width of the store. */
static void dsa_write(void *state, unsigned bar, uint64_t offset, const void *data, unsigned width)
{
	struct dsa *e = state;
	uint32_t value;

	mutex_lock(&e->lock);
	if (bar == 2)
		dsa_portal_locked(e, offset, data, width);
	else if (offset % 4 == 0 && width % 4 == 0)
		for (unsigned i = 0; i < width; i += 4) {
			memcpy(&value, (const uint8_t *)data + i, 4);
			dsa_store_locked(e, offset + i, value);
		}
	dsa_mirror_locked(e);
	mutex_unlock(&e->lock);
}

static void dsa_read(void *state, unsigned bar, uint64_t offset, void *data, unsigned width)
{
	struct dsa *e = state;

	memset(data, 0, width);
	if (bar != 0 || offset >= sizeof(e->image))
		return;
	mutex_lock(&e->lock);
	memcpy(data, (const uint8_t *)&e->image + offset, MIN(width, sizeof(e->image) - offset));
	mutex_unlock(&e->lock);
}

/* ---- life ---- */

/* On return no descriptor is being carried out, and none will be. */
static void dsa_quiesce(struct dsa *e)
{
	mutex_lock(&e->lock);
	for (unsigned i = 0; i < DSA_WQS; i++)
		dsa_wq_reset_locked(e, i);
	dsa_cancel_locked(e, DSA_ALL_WQS);
	while (e->busy)
		cond_wait(&e->idle, &e->lock);
	mutex_unlock(&e->lock);
	pci_worker_drain(e->worker);
}

static void dsa_reset(void *state)
{
	struct dsa *e = state;

	dsa_quiesce(e);
	mutex_lock(&e->lock);
	e->command = 0;
	dsa_power_on_locked(e);
	mutex_unlock(&e->lock);
}

static void dsa_destroy(void *state)
{
	struct dsa *e = state;

	dsa_quiesce(e);
	pci_worker_destroy(e->worker);
	cond_fini(&e->idle);
	mutex_fini(&e->lock);
	free(e);
}

/* Those that Linux knows. The first is the default. */
static const struct dsa_chip {
	const char *name;
	uint16_t device;
	uint32_t version;
} dsa_chips[] = {
	{ "gnr", 0x11fb, 0x200 },
	{ "spr", 0x0b25, 0x100 }, /* which vfio-pci takes only with disable_denylist */
	{ "dmr", 0x1212, 0x300 },
};

static const struct dsa_chip *dsa_chip(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(dsa_chips); i++) {
		if (strcmp(dsa_chips[i].name, name) == 0)
			return &dsa_chips[i];
	}
	return NULL;
}

static int dsa_create(struct pci_dev *dev, const char *const *args, void **state)
{
	struct dsa *e = calloc(1, sizeof(*e));
	const char *value;
	int rc;

	if (!e)
		return -ENOMEM;
	e->dev = dev;
	e->version = dsa_chips[0].version;
	for (; args && *args; args++) {
		if ((value = model_arg(*args, "chip")))
			e->version = dsa_chip(value)->version; /* dsa_shape() has seen it */
	}
	e->pasids = pci_pasids(dev);
	e->asks = pci_page_requests(dev);
	mutex_init(&e->lock, RANK_MODEL);
	cond_init(&e->idle);
	rc = pci_worker_create(dev, dsa_work, e, &e->worker);
	if (rc)
		goto err_free;
	mutex_lock(&e->lock);
	dsa_power_on_locked(e);
	mutex_unlock(&e->lock);
	*state = e;
	return 0;

err_free:
	cond_fini(&e->idle);
	mutex_fini(&e->lock);
	free(e);
	return rc;
}

static int dsa_shape(struct pci_model *copy, const char *arg, char *err, size_t err_size)
{
	const struct dsa_chip *chip;
	const char *value = model_arg(arg, "chip");

	if (!value)
		return model_shape_common(copy, arg, "chip", err, err_size);
	chip = dsa_chip(value);
	if (!chip) {
		snprintf(err, err_size, "unknown chip \"%s\" (known: gnr, spr, dmr)", value);
		return -EINVAL;
	}
	copy->device = chip->device;
	return 0;
}

const struct pci_model dsa_model = {
	.size = sizeof(struct pci_model),
	.name = "dsa",
	.what = "Intel DSA: moves, fills and compares memory",
	.vendor = 0x8086,
	.device = 0x11fb,
	.subvendor = 0x8086,
	.class_code = 0x088000,
	.express = true,
	.bar = {
		[0] = { .kind = PCI_BAR_MEM64, .prefetchable = true, .size = DSA_BAR0_SIZE },
		[2] = { .kind = PCI_BAR_MEM64, .prefetchable = true, .size = DSA_WQS * DSA_PORTAL_SIZE },
	},
	.msix_vectors = DSA_VECTORS,
	.msix_bar = 0,
	.msix_table = DSA_MSIX_TABLE,
	.msix_pba = DSA_MSIX_PBA,
	.flr = true,
	.power_management = true,
	.create = dsa_create,
	.destroy = dsa_destroy,
	.reset = dsa_reset,
	.read = dsa_read,
	.write = dsa_write,
	.shape = dsa_shape,
};
