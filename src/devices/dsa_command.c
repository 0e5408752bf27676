/* SPDX-License-Identifier: MIT */
/*
 * The commands of dsa.c. A driver stores one to CMD and polls CMDSTS until its bit 31 is clear. Most are done when the
 * store returns. Those that end or await work are done when no descriptor of the work queues in question is left, which
 * takes the time of the one being carried out; what the command does to their state happens then.
 */
#include "devices/dsa_priv.h"

enum dsa_command {
	CMD_ENABLE_DEVICE = 1,
	CMD_DISABLE_DEVICE,
	CMD_DRAIN_ALL,
	CMD_ABORT_ALL,
	CMD_RESET_DEVICE,
	CMD_ENABLE_WQ,
	CMD_DISABLE_WQ,
	CMD_DRAIN_WQ,
	CMD_ABORT_WQ,
	CMD_RESET_WQ,
	CMD_DRAIN_PASID,
	CMD_ABORT_PASID,
};

enum dsa_command_error {
	ERR_COMMAND = 0x01,
	ERR_WQ_INDEX = 0x02,
	ERR_ENABLED = 0x10,
	ERR_BUS_MASTER = 0x12,
	ERR_WQ_SIZES = 0x14,
	ERR_NOT_ENABLED = 0x20,
	ERR_WQ_ENABLED = 0x21,
	ERR_WQ_SIZE = 0x22,
	ERR_WQ_PRIORITY = 0x23,
	ERR_WQ_MODE = 0x24,
	ERR_WQ_BLOCKS = 0x25,
	ERR_WQ_PASID = 0x26,
	ERR_WQ_BATCH = 0x27,
	ERR_WQ_XFER = 0x28,
	ERR_DEVICE_DISABLED = 0x31,
	ERR_WQ_DISABLED = 0x32,
};

#define COMMAND(v)     ((v) >> 20 & 0x1f)
#define OPERAND(v)     ((v) & 0xfffff)
#define COMMAND_INT    BIT(31)

/* What commands begin with: bits of their numbers */
#define DISABLES       (BIT(CMD_DISABLE_DEVICE) | BIT(CMD_RESET_DEVICE) | BIT(CMD_DISABLE_WQ) | BIT(CMD_RESET_WQ))
#define DROPS_WORK                                                                                              \
	(BIT(CMD_ABORT_ALL) | BIT(CMD_RESET_DEVICE) | BIT(CMD_ABORT_WQ) | BIT(CMD_RESET_WQ) | BIT(CMD_ABORT_PASID))

static uint8_t dsa_enable_device_locked(struct dsa *e)
{
	unsigned entries = 0;

	if (dsa_enabled(e))
		return ERR_ENABLED;
	if (!pci_bus_master(e->dev))
		return ERR_BUS_MASTER;
	for (unsigned i = 0; i < DSA_WQS; i++)
		entries += e->image.wqcfg[i][DSA_WQ_SIZE] & 0xffff;
	if (entries > DSA_ENTRIES)
		return ERR_WQ_SIZES;
	e->image.regs.gensts = DSA_STATE_ENABLED;
	return 0;
}

static uint8_t dsa_enable_wq_locked(struct dsa *e, uint32_t wq)
{
	uint32_t *config, mode, limits;

	if (wq >= DSA_WQS)
		return ERR_WQ_INDEX;
	config = e->image.wqcfg[wq];
	mode = config[DSA_WQ_MODE];
	limits = config[DSA_WQ_LIMITS];
	if (!dsa_enabled(e))
		return ERR_NOT_ENABLED;
	if (dsa_wq_enabled(e, wq))
		return ERR_WQ_ENABLED;
	if (!(config[DSA_WQ_SIZE] & 0xffff))
		return ERR_WQ_SIZE;
	if (!DSA_WQ_PRIORITY(mode))
		return ERR_WQ_PRIORITY;
	if (!(mode & DSA_WQ_DEDICATED))
		return ERR_WQ_MODE;
	if ((mode & DSA_WQ_BLOCKS) && !e->asks)
		return ERR_WQ_BLOCKS;
	if ((mode & DSA_WQ_PASID_EN) && DSA_WQ_PASID(mode) >= e->pasids)
		return ERR_WQ_PASID;
	if (DSA_WQ_BATCH(limits) > DSA_BATCH_SHIFT)
		return ERR_WQ_BATCH;
	if (DSA_WQ_XFER(limits) > DSA_XFER_SHIFT)
		return ERR_WQ_XFER;
	config[DSA_WQ_STATE] = (config[DSA_WQ_STATE] & ~DSA_WQ_STATE_MASK) | DSA_WQ_ENABLED;
	return 0;
}

/* The work queues that an operand names, by their bits. */
static uint8_t dsa_named_wqs(struct dsa *e, unsigned command, uint32_t operand, uint32_t *wqs)
{
	if (operand >> 16 || (operand & ~DSA_ALL_WQS) || !operand)
		return ERR_WQ_INDEX;
	for (unsigned i = 0; i < DSA_WQS; i++) {
		if ((operand & BIT(i)) && command != CMD_RESET_WQ && !dsa_wq_enabled(e, i))
			return ERR_WQ_DISABLED;
	}
	*wqs = operand;
	return dsa_enabled(e) ? 0 : ERR_WQ_DISABLED;
}

static uint32_t dsa_wqs_of_pasid(struct dsa *e, uint32_t pasid)
{
	uint32_t wqs = 0;

	for (unsigned i = 0; i < DSA_WQS; i++) {
		uint32_t mode = e->image.wqcfg[i][DSA_WQ_MODE];

		if ((mode & DSA_WQ_PASID_EN) && DSA_WQ_PASID(mode) == pasid)
			wqs |= BIT(i);
	}
	return wqs;
}

static void dsa_disable_wqs_locked(struct dsa *e, uint32_t wqs)
{
	for (unsigned i = 0; i < DSA_WQS; i++) {
		if (wqs & BIT(i))
			e->image.wqcfg[i][DSA_WQ_STATE] &= ~DSA_WQ_STATE_MASK;
	}
}

/* Begin what takes time. The work queues it is about go to e->awaited. */
static uint8_t dsa_begin_locked(struct dsa *e, unsigned command, uint32_t operand)
{
	uint32_t wqs = DSA_ALL_WQS;
	uint8_t err = 0;

	switch (command) {
	case CMD_DISABLE_DEVICE:
	case CMD_DRAIN_ALL:
	case CMD_ABORT_ALL:
		err = dsa_enabled(e) ? 0 : ERR_DEVICE_DISABLED;
		break;
	case CMD_RESET_DEVICE:
		break;
	case CMD_DISABLE_WQ:
	case CMD_DRAIN_WQ:
	case CMD_ABORT_WQ:
	case CMD_RESET_WQ:
		err = dsa_named_wqs(e, command, operand, &wqs);
		break;
	case CMD_DRAIN_PASID:
	case CMD_ABORT_PASID:
		wqs = dsa_wqs_of_pasid(e, operand);
		break;
	default:
		return ERR_COMMAND;
	}
	if (err)
		return err;
	e->awaited = wqs;
	if (DISABLES & BIT(command))
		dsa_disable_wqs_locked(e, wqs);
	if (DROPS_WORK & BIT(command))
		dsa_cancel_locked(e, wqs);
	return 0;
}

static void dsa_finish_locked(struct dsa *e, uint8_t err)
{
	uint32_t command = e->command;

	e->command = 0;
	e->image.regs.cmdsts = err;
	if (command & COMMAND_INT)
		dsa_cause_locked(e, DSA_CAUSE_COMMAND);
}

void dsa_command_progress_locked(struct dsa *e)
{
	if (!e->command)
		return;
	for (unsigned i = 0; i < DSA_WQS; i++) {
		if ((e->awaited & BIT(i)) && e->queued[i])
			return;
	}
	switch (COMMAND(e->command)) {
	case CMD_DISABLE_DEVICE:
		e->image.regs.gensts = 0;
		break;
	case CMD_RESET_DEVICE:
		dsa_config_reset_locked(e);
		break;
	case CMD_RESET_WQ:
		for (unsigned i = 0; i < DSA_WQS; i++) {
			if (e->awaited & BIT(i))
				dsa_wq_reset_locked(e, i);
		}
		break;
	default:
		break;
	}
	dsa_finish_locked(e, 0);
}

void dsa_command_locked(struct dsa *e, uint32_t value)
{
	unsigned command = COMMAND(value);
	uint8_t err;

	if (e->command)
		return;
	e->command = value;
	e->image.regs.cmdsts = DSA_CMDSTS_ACTIVE;
	e->awaited = 0;
	if (command == CMD_ENABLE_DEVICE)
		err = dsa_enable_device_locked(e);
	else if (command == CMD_ENABLE_WQ)
		err = dsa_enable_wq_locked(e, OPERAND(value));
	else
		err = dsa_begin_locked(e, command, OPERAND(value));
	if (err)
		dsa_finish_locked(e, err);
	else
		dsa_command_progress_locked(e);
}
