/* SPDX-License-Identifier: MIT */
/*
 * Interrupts of igb.c. Two layers: ICR, masked by IMS, has what 82576s and their ancestors have in common; EICR, masked
 * by EIMS, has one bit for each MSI-X vector.
 *
 *     receive ring 0 ---- IVAR0 byte 0 ------+
 *     transmit ring 0 --- IVAR0 byte 1 ------+--> EICR & EIMS --> vector of the bit's number
 *     ICR & IMS --------- IVAR_MISC byte 1 --+
 *
 * That is with GPIE.Multiple_MSIX. Without it rings set bits of ICR, and everything goes to vector 0. A message is sent
 * when a bit comes to be both set and enabled. With it the bits that EIAC names are cleared, and with GPIE.EIAME those
 * that EIAM names are disabled.
 */
#include "devices/igb_priv.h"

static bool igb_multiple(struct igb *e)
{
	return *igb_reg(e, IGB_GPIE) & IGB_GPIE_MULTIPLE;
}

static uint32_t igb_active(struct igb *e)
{
	return *igb_reg(e, IGB_EICR) & *igb_reg(e, IGB_EIMS);
}

static void igb_message(struct igb *e, unsigned bit)
{
	unsigned vector = igb_multiple(e) ? bit : 0;

	if (vector < IGB_VECTORS)
		pci_msix_fire(e->dev, vector);
	*igb_reg(e, IGB_EICR) &= ~(*igb_reg(e, IGB_EIAC) & BIT(bit));
	if (*igb_reg(e, IGB_GPIE) & IGB_GPIE_EIAME)
		*igb_reg(e, IGB_EIMS) &= ~(*igb_reg(e, IGB_EIAM) & BIT(bit));
}

/* @before: what was active before the change. */
static void igb_messages(struct igb *e, uint32_t before)
{
	uint32_t news = igb_active(e) & ~before;

	for (unsigned bit = 0; bit < 32; bit++) {
		if (news & BIT(bit))
			igb_message(e, bit);
	}
}

void igb_cause_locked(struct igb *e, uint32_t causes)
{
	uint32_t before = igb_active(e);

	*igb_reg(e, IGB_EICR) |= causes;
	igb_messages(e, before);
}

void igb_enable_locked(struct igb *e, uint32_t causes)
{
	uint32_t before = igb_active(e);

	*igb_reg(e, IGB_EIMS) |= causes;
	igb_messages(e, before);
}

void igb_touched_locked(struct igb *e)
{
	if (!(*igb_reg(e, IGB_GPIE) & IGB_GPIE_EIAME))
		*igb_reg(e, IGB_EIMS) &= ~*igb_reg(e, IGB_EIAM);
}

/* A byte of an IVAR register. */
static void igb_route(struct igb *e, uint32_t ivar)
{
	if (ivar & IGB_IVAR_VALID)
		igb_cause_locked(e, BIT(ivar & 31));
}

static void igb_other_message(struct igb *e, uint32_t before)
{
	if (!(*igb_reg(e, IGB_ICR) & *igb_reg(e, IGB_IMS) & ~before))
		return;
	if (igb_multiple(e))
		igb_route(e, *igb_reg(e, IGB_IVAR_MISC) >> 8);
	else
		pci_msix_fire(e->dev, 0);
}

void igb_other_locked(struct igb *e, uint32_t causes)
{
	uint32_t before = *igb_reg(e, IGB_ICR) & *igb_reg(e, IGB_IMS);

	*igb_reg(e, IGB_ICR) |= causes;
	igb_other_message(e, before);
}

void igb_enable_other_locked(struct igb *e, uint32_t causes)
{
	uint32_t before = *igb_reg(e, IGB_ICR) & *igb_reg(e, IGB_IMS);

	*igb_reg(e, IGB_IMS) |= causes;
	igb_other_message(e, before);
}

void igb_queue_cause_locked(struct igb *e, uint32_t base)
{
	uint32_t ivar = *igb_reg(e, IGB_IVAR0);

	if (igb_multiple(e))
		igb_route(e, base == IGB_RX ? ivar : ivar >> 8);
	else
		igb_other_locked(e, base == IGB_RX ? IGB_ICR_RX : IGB_ICR_TX);
}
