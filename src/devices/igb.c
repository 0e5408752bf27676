/* SPDX-License-Identifier: MIT */
/*
 * Intel 82576: one port of a network card that talks to itself. Spec 40, section 3, and what Linux's selftests and
 * DPDK's net/e1000 use.
 *
 * In loopback (RCTL.LBM, or bit 14 of the PHY's control register, which is how a real one is told) a frame that is sent
 * is received at once; without, the wire ends nowhere, though the link is up. Ring 0 sends and receives, the others are
 * registers without effect. The rings: igb_ring.c; interrupts: igb_irq.c.
 *
 *     power on, FLR, CTRL.RST --> registers at their values, EECD.AUTO_RD   (CTRL.RST leaves the PHY alone)
 *     RCTL, TCTL, RXDCTL, TXDCTL --> rings enabled
 *     RDT, TDT --> frames move until the heads have reached the tails --- fault ---> stalled, until FLR or CTRL.RST
 *
 * A register that is not named here keeps what was stored. Stores other than of whole registers are ignored.
 *
 * Left out: rings 1 to 15 and with them RSS; VLANs, checksums and segmentation of either direction (frames go as they
 * are); splitting of headers (they stay with the rest); write-back of the transmit head; time stamps; throttling of
 * interrupts; flash, wake-up, manageability; MSI and the interrupt pin.
 */
#include "devices/igb_priv.h"
#include <stdio.h>
#include <string.h>

/* ---- power-on values ---- */

static const uint16_t igb_phy_power_on[32] = {
	[IGB_PHY_CONTROL] = 0x1140,  /* autonegotiation, full duplex, 1000 */
	[1] = 0x796d,                /* status: link up, negotiated */
	[2] = 0x02a8, [3] = 0x0391,  /* identifier */
	[4] = 0x0de1, [5] = 0xcde1,  /* abilities, and the partner's */
	[9] = 0x0e00, [10] = 0x3c00, /* of 1000BASE-T, and the partner's */
	[15] = 0x3000,
};

static void igb_phy_reset_locked(struct igb *e)
{
	memcpy(e->phy, igb_phy_power_on, sizeof(e->phy));
}

/* A software reset; with igb_phy_reset_locked() all of it. */
static void igb_power_on_locked(struct igb *e)
{
	e->generation++;
	e->stalled = false;
	memset(e->regs, 0, sizeof(e->regs));
	*igb_reg(e, IGB_CTRL) = IGB_CTRL_FD | IGB_CTRL_SPEED_1000;
	*igb_reg(e, IGB_EECD) = IGB_EECD_PRESENT | IGB_EECD_AUTO_RD | IGB_EECD_SIZE;
	*igb_reg(e, IGB_EEMNGCTL) = IGB_EEMNGCTL_DONE;
	*igb_reg(e, IGB_TCTL) = IGB_TCTL_PAD;
	*igb_reg(e, IGB_RX + IGB_RING_CONTROL) = IGB_RING_ENABLE;
	*igb_reg(e, IGB_TX + IGB_RING_CONTROL) = IGB_RING_ENABLE;
	*igb_reg(e, IGB_RLPML) = IGB_RLPML_DEFAULT;
	*igb_reg(e, IGB_GCR) = IGB_GCR_RESEND;
	memcpy(igb_reg(e, IGB_RAL(0)), e->mac, IGB_MAC_SIZE);
	*igb_reg(e, IGB_RAH(0)) |= IGB_RAH_VALID;
}

/* ---- stores ---- */

static void igb_store_ctrl(struct igb *e, uint32_t value)
{
	if (value & IGB_CTRL_PHY_RESET)
		igb_phy_reset_locked(e);
	if (value & IGB_CTRL_RESET)
		igb_power_on_locked(e);
	else
		*igb_reg(e, IGB_CTRL) = value;
}

static void igb_store_eecd(struct igb *e, uint32_t value)
{
	const uint32_t fixed = IGB_EECD_PRESENT | IGB_EECD_AUTO_RD | IGB_EECD_SIZE;

	*igb_reg(e, IGB_EECD) = fixed | (value & IGB_EECD_REQUEST ? IGB_EECD_REQUEST | IGB_EECD_GRANT : 0);
}

/* A word of the NVM, where the address is in bits 15:2 and the data in 31:16. */
static void igb_store_eerd(struct igb *e, uint32_t value)
{
	unsigned word = (value & 0xffff) >> 2;
	uint32_t data = word < IGB_NVM_WORDS ? e->nvm[word] : 0xffff;

	if (value & IGB_EERD_START)
		*igb_reg(e, IGB_EERD) = data << 16 | word << 2 | IGB_EERD_DONE;
}

static void igb_phy_store(struct igb *e, unsigned reg, uint16_t value)
{
	if (reg == IGB_PHY_CONTROL && value & IGB_PHY_CONTROL_RESET)
		igb_phy_reset_locked(e);
	else if (reg == IGB_PHY_CONTROL)
		e->phy[reg] = value & ~IGB_PHY_CONTROL_RESTART;
	else if (reg == IGB_PHY_PAGE || (reg > 3 && (reg < 16 || e->phy[IGB_PHY_PAGE] == 0)))
		e->phy[reg] = value;
}

static uint16_t igb_phy_load(struct igb *e, unsigned reg)
{
	return reg < 16 || reg == IGB_PHY_PAGE || e->phy[IGB_PHY_PAGE] == 0 ? e->phy[reg] : 0;
}

static void igb_store_mdic(struct igb *e, uint32_t value)
{
	unsigned reg = IGB_MDIC_REG(value);

	value &= ~(IGB_MDIC_READY | IGB_MDIC_ERROR);
	if (IGB_MDIC_PHY(value) != IGB_PHY_ADDRESS)
		value |= IGB_MDIC_ERROR;
	else if (value & IGB_MDIC_WRITE)
		igb_phy_store(e, reg, value);
	else if (value & IGB_MDIC_READ)
		value = (value & 0xffff0000) | igb_phy_load(e, reg);
	*igb_reg(e, IGB_MDIC) = value | IGB_MDIC_READY;
	if (value & IGB_MDIC_INTERRUPT)
		igb_other_locked(e, IGB_ICR_MDIO);
}

/* A register of a ring. What moves a ring ends the frame that is being put together or delivered. */
static void igb_store_ring(struct igb *e, uint32_t base, uint32_t offset, uint32_t value)
{
	switch (offset) {
	case IGB_RING_BASE_LOW:
		value &= ~0x7fu;
		e->generation++;
		break;
	case IGB_RING_BASE_HIGH:
		e->generation++;
		break;
	case IGB_RING_LENGTH:
		value &= 0xfff80;
		e->generation++;
		break;
	case IGB_RING_HEAD:
		value &= 0xffff;
		e->generation++;
		break;
	case IGB_RING_TAIL:
		value &= 0xffff;
		break;
	}
	*igb_reg(e, base + offset) = value;
}

static bool igb_read_only(uint32_t offset)
{
	return offset == IGB_STATUS || offset == IGB_EEMNGCTL || offset == IGB_FACTPS || offset == IGB_FWSM ||
	       (offset >= IGB_STATISTICS && offset < IGB_STATISTICS_END);
}

static void igb_store_locked(struct igb *e, uint32_t offset, uint32_t value)
{
	switch (offset) {
	case IGB_CTRL:
		igb_store_ctrl(e, value);
		return;
	case IGB_EECD:
		igb_store_eecd(e, value);
		return;
	case IGB_EERD:
		igb_store_eerd(e, value);
		return;
	case IGB_MDIC:
		igb_store_mdic(e, value);
		return;
	case IGB_ICR:
		*igb_reg(e, IGB_ICR) &= ~value;
		return;
	case IGB_ICS:
		igb_other_locked(e, value);
		return;
	case IGB_IMS:
		igb_enable_other_locked(e, value);
		return;
	case IGB_IMC:
		*igb_reg(e, IGB_IMS) &= ~value;
		return;
	case IGB_EICR:
		*igb_reg(e, IGB_EICR) &= ~value;
		igb_touched_locked(e);
		return;
	case IGB_EICS:
		igb_cause_locked(e, value);
		return;
	case IGB_EIMS:
		igb_enable_locked(e, value);
		return;
	case IGB_EIMC:
		*igb_reg(e, IGB_EIMS) &= ~value;
		return;
	}
	if (igb_read_only(offset))
		return;
	if ((offset & ~(IGB_QUEUE_SIZE - 1)) == IGB_RX || (offset & ~(IGB_QUEUE_SIZE - 1)) == IGB_TX)
		igb_store_ring(e, offset & ~(IGB_QUEUE_SIZE - 1), offset % IGB_QUEUE_SIZE, value);
	else
		*igb_reg(e, offset) = value;
}

/* Queue 0 is at two places. */
static uint32_t igb_canonical(uint32_t offset)
{
	if ((offset & ~(IGB_QUEUE_SIZE - 1)) == IGB_RX_QUEUES)
		return IGB_RX + offset % IGB_QUEUE_SIZE;
	if ((offset & ~(IGB_QUEUE_SIZE - 1)) == IGB_TX_QUEUES)
		return IGB_TX + offset % IGB_QUEUE_SIZE;
	return offset;
}

static void igb_write(void *state, unsigned bar, uint64_t offset, const void *data, unsigned width)
{
	const struct igb_budget budget = { .descs = IGB_INLINE_DESCS, .bytes = IGB_INLINE_BYTES };
	struct igb *e = state;
	uint32_t value;

	if (bar != 0 || offset % 4 || width % 4)
		return;
	mutex_lock(&e->lock);
	for (unsigned at = 0; at < width; at += 4) {
		memcpy(&value, (const uint8_t *)data + at, 4);
		igb_store_locked(e, igb_canonical(offset + at), value);
	}
	if (!e->asks)
		igb_run_locked(e, budget);
	else if (igb_ready_locked(e))
		pci_worker_kick(e->worker);
	mutex_unlock(&e->lock);
}

/* ---- loads ---- */

static uint32_t igb_status(struct igb *e)
{
	uint32_t ctrl = *igb_reg(e, IGB_CTRL), status = IGB_STATUS_LINK | IGB_STATUS_INIT_DONE;
	uint32_t speed = ctrl & IGB_CTRL_FORCE_SPEED ? IGB_CTRL_SPEED(ctrl) : IGB_CTRL_SPEED(IGB_CTRL_SPEED_1000);

	if (!(ctrl & IGB_CTRL_FORCE_DUPLEX) || ctrl & IGB_CTRL_FD)
		status |= IGB_STATUS_FD;
	if (!(ctrl & IGB_CTRL_MASTER_DISABLE) || e->busy)
		status |= IGB_STATUS_MASTER;
	return status | speed << IGB_STATUS_SPEED_SHIFT;
}

static uint32_t igb_load_statistics(struct igb *e, uint32_t offset)
{
	static const uint32_t wide[] = { IGB_GORC, IGB_GOTC, IGB_TOR, IGB_TOT };
	uint32_t value = *igb_reg(e, offset);

	for (size_t i = 0; i < ARRAY_SIZE(wide); i++) {
		if (offset == wide[i])
			return value;
		if (offset == wide[i] + 4)
			*igb_reg(e, wide[i]) = 0;
	}
	*igb_reg(e, offset) = 0;
	return value;
}

static uint32_t igb_load_icr(struct igb *e)
{
	uint32_t value = *igb_reg(e, IGB_ICR);

	*igb_reg(e, IGB_ICR) = 0;
	return value | (value & *igb_reg(e, IGB_IMS) ? IGB_ICR_ASSERTED : 0);
}

static uint32_t igb_load_eicr(struct igb *e)
{
	uint32_t value = *igb_reg(e, IGB_EICR);

	*igb_reg(e, IGB_EICR) = 0;
	igb_touched_locked(e);
	return value;
}

static uint32_t igb_load_locked(struct igb *e, uint32_t offset)
{
	uint32_t value = *igb_reg(e, offset);

	switch (offset) {
	case IGB_STATUS:
		return igb_status(e);
	case IGB_ICR:
		return igb_load_icr(e);
	case IGB_EICR:
		return igb_load_eicr(e);
	case IGB_SWSM:
		*igb_reg(e, IGB_SWSM) |= IGB_SWSM_SMBI; /* who finds it clear has the semaphore */
		return value;
	case IGB_RX + IGB_RING_CONTROL:
		return *igb_reg(e, IGB_RCTL) & IGB_RCTL_ENABLE ? value : value & ~IGB_RING_ENABLE;
	case IGB_TX + IGB_RING_CONTROL:
		return *igb_reg(e, IGB_TCTL) & IGB_TCTL_ENABLE ? value : value & ~IGB_RING_ENABLE;
	}
	if (offset >= IGB_STATISTICS && offset < IGB_STATISTICS_END)
		return igb_load_statistics(e, offset);
	return value;
}

static void igb_read(void *state, unsigned bar, uint64_t offset, void *data, unsigned width)
{
	struct igb *e = state;
	unsigned skip = offset % 4, n;
	uint32_t value;

	memset(data, 0, width);
	if (bar != 0)
		return;
	mutex_lock(&e->lock);
	for (unsigned at = 0; at < width; at += n, skip = 0) {
		n = MIN(4 - skip, width - at);
		value = igb_load_locked(e, igb_canonical(offset + at - skip));
		memcpy((uint8_t *)data + at, (uint8_t *)&value + skip, n);
	}
	mutex_unlock(&e->lock);
}

/* ---- life ---- */

/* On return no descriptor is being carried out, and none will be: nothing is enabled. */
static void igb_reset(void *state)
{
	struct igb *e = state;

	mutex_lock(&e->lock);
	igb_power_on_locked(e);
	igb_phy_reset_locked(e);
	while (e->busy)
		cond_wait(&e->idle, &e->lock);
	mutex_unlock(&e->lock);
	pci_worker_drain(e->worker);
}

static void igb_destroy(void *state)
{
	struct igb *e = state;

	igb_reset(e);
	pci_worker_destroy(e->worker);
	cond_fini(&e->idle);
	mutex_fini(&e->lock);
	free(e);
}

/* "02:00:00:00:00:01", of one station */
static int igb_mac_parse(const char *text, uint8_t mac[IGB_MAC_SIZE])
{
	char end;

	if (sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%c", &mac[0], &mac[1], &mac[2], &mac[3], &mac[4], &mac[5],
		   &end) != IGB_MAC_SIZE || mac[0] & 1)
		return -EINVAL;
	return 0;
}

/* The address, and words that add up. */
static void igb_nvm_init(struct igb *e)
{
	uint16_t sum = 0;

	for (unsigned i = 0; i < IGB_MAC_SIZE / 2; i++)
		e->nvm[i] = e->mac[2 * i] | e->mac[2 * i + 1] << 8;
	for (unsigned i = 0; i < IGB_NVM_WORDS - 1; i++)
		sum += e->nvm[i];
	e->nvm[IGB_NVM_WORDS - 1] = IGB_NVM_CHECKSUM - sum;
}

static int igb_create(struct pci_dev *dev, const char *const *args, void **state)
{
	static const uint8_t mac[IGB_MAC_SIZE] = { 0x02, 0, 0, 0, 0, 0x01 };
	struct igb *e = calloc(1, sizeof(*e));
	const char *value;
	int rc;

	if (!e)
		return -ENOMEM;
	e->dev = dev;
	memcpy(e->mac, mac, sizeof(mac));
	for (; args && *args; args++) {
		if ((value = model_arg(*args, "mac")))
			igb_mac_parse(value, e->mac); /* igb_shape() has seen it */
	}
	igb_nvm_init(e);
	e->asks = pci_page_requests(dev);
	mutex_init(&e->lock, RANK_MODEL);
	cond_init(&e->idle);
	rc = pci_worker_create(dev, igb_work, e, &e->worker);
	if (rc)
		goto err_free;
	mutex_lock(&e->lock);
	igb_power_on_locked(e);
	igb_phy_reset_locked(e);
	mutex_unlock(&e->lock);
	*state = e;
	return 0;

err_free:
	cond_fini(&e->idle);
	mutex_fini(&e->lock);
	free(e);
	return rc;
}

static int igb_shape(struct pci_model *copy, const char *arg, char *err, size_t err_size)
{
	uint8_t mac[IGB_MAC_SIZE];
	const char *value = model_arg(arg, "mac");

	if (!value)
		return model_shape_common(copy, arg, "mac", err, err_size);
	if (igb_mac_parse(value, mac) == 0)
		return 0;
	snprintf(err, err_size, "\"%s\" is not the address of a station (such as 02:00:00:00:00:01)", value);
	return -EINVAL;
}

const struct pci_model igb_model = {
	.size = sizeof(struct pci_model),
	.name = "igb",
	.what = "Intel 82576: a network card that talks to itself",
	.vendor = 0x8086,
	.device = 0x10c9,
	.subvendor = 0x8086,
	.class_code = 0x020000,
	.revision = 0x01,
	.express = true,
	.bar = { { .kind = PCI_BAR_MEM32, .size = IGB_BAR_SIZE },
		 [IGB_MSIX_BAR] = { .kind = PCI_BAR_MEM32, .size = 0x4000 } },
	.msix_vectors = IGB_VECTORS,
	.msix_bar = IGB_MSIX_BAR,
	.msix_table = 0,
	.msix_pba = IGB_MSIX_PBA,
	.flr = true,
	.power_management = true,
	.create = igb_create,
	.destroy = igb_destroy,
	.reset = igb_reset,
	.read = igb_read,
	.write = igb_write,
	.shape = igb_shape,
};
