/* SPDX-License-Identifier: MIT */
/* What igb.c, igb_irq.c and igb_ring.c share: the registers, the descriptors, and the state of a function. */
#ifndef UVFIO_DEVICES_IGB_PRIV_H
#define UVFIO_DEVICES_IGB_PRIV_H

#include "base/lock.h"
#include "devices/devices.h"
#include <assert.h>

#define IGB_BAR_SIZE     0x20000
#define IGB_MSIX_BAR     3
#define IGB_MSIX_PBA     0x2000
#define IGB_VECTORS      10

#define IGB_CTRL         0x0000
#define IGB_CTRL_FD              BIT(0)
#define IGB_CTRL_MASTER_DISABLE  BIT(2)
#define IGB_CTRL_SPEED(ctrl)     ((ctrl) >> 8 & 3)
#define IGB_CTRL_SPEED_1000      (2u << 8)
#define IGB_CTRL_FORCE_SPEED     BIT(11)
#define IGB_CTRL_FORCE_DUPLEX    BIT(12)
#define IGB_CTRL_RESET           BIT(26)
#define IGB_CTRL_PHY_RESET       BIT(31)
#define IGB_STATUS       0x0008
#define IGB_STATUS_FD            BIT(0)
#define IGB_STATUS_LINK          BIT(1)
#define IGB_STATUS_SPEED_SHIFT   6
#define IGB_STATUS_INIT_DONE     BIT(9)
#define IGB_STATUS_MASTER        BIT(19)
#define IGB_EECD         0x0010
#define IGB_EECD_REQUEST         BIT(6)
#define IGB_EECD_GRANT           BIT(7)
#define IGB_EECD_PRESENT         BIT(8)
#define IGB_EECD_AUTO_RD         BIT(9)
#define IGB_EECD_SIZE            (2u << 11) /* 256 words */
#define IGB_EERD         0x0014
#define IGB_EERD_START           BIT(0)
#define IGB_EERD_DONE            BIT(1)
#define IGB_MDIC         0x0020
#define IGB_MDIC_REG(mdic)       ((mdic) >> 16 & 31)
#define IGB_MDIC_PHY(mdic)       ((mdic) >> 21 & 31)
#define IGB_MDIC_WRITE           BIT(26)
#define IGB_MDIC_READ            BIT(27)
#define IGB_MDIC_READY           BIT(28)
#define IGB_MDIC_INTERRUPT       BIT(29)
#define IGB_MDIC_ERROR           BIT(30)
#define IGB_ICR          0x00c0
#define IGB_ICS          0x00c8
#define IGB_IMS          0x00d0
#define IGB_IMC          0x00d8
#define IGB_ICR_TX               BIT(0)
#define IGB_ICR_RX               BIT(7)
#define IGB_ICR_MDIO             BIT(9)
#define IGB_ICR_ASSERTED         BIT(31)
#define IGB_RCTL         0x0100
#define IGB_RCTL_ENABLE          BIT(1)
#define IGB_RCTL_UNICAST         BIT(3) /* all of it */
#define IGB_RCTL_MULTICAST       BIT(4)
#define IGB_RCTL_LONG            BIT(5)
#define IGB_RCTL_LOOPBACK        (3u << 6)
#define IGB_RCTL_LOOPBACK_MAC    BIT(6)
#define IGB_RCTL_HASH(rctl)      ((rctl) >> 12 & 3)
#define IGB_RCTL_BROADCAST       BIT(15)
#define IGB_RCTL_SIZE(rctl)      ((rctl) >> 16 & 3)
#define IGB_RCTL_STRIP_CRC       BIT(26)
#define IGB_TCTL         0x0400
#define IGB_TCTL_ENABLE          BIT(1)
#define IGB_TCTL_PAD             BIT(3)
#define IGB_EEMNGCTL     0x1010
#define IGB_EEMNGCTL_DONE        (3u << 18) /* both ports */
#define IGB_GPIE         0x1514
#define IGB_GPIE_MULTIPLE        BIT(4)
#define IGB_GPIE_EIAME           BIT(30)
#define IGB_EICS         0x1520
#define IGB_EIMS         0x1524
#define IGB_EIMC         0x1528
#define IGB_EIAC         0x152c
#define IGB_EIAM         0x1530
#define IGB_EICR         0x1580
#define IGB_IVAR0        0x1700
#define IGB_IVAR_MISC    0x1740
#define IGB_IVAR_VALID           BIT(7)
#define IGB_RX           0x2800 /* the registers of a ring, at IGB_RING_* */
#define IGB_TX           0x3800
#define IGB_RING_BASE_LOW        0x00
#define IGB_RING_BASE_HIGH       0x04
#define IGB_RING_LENGTH          0x08
#define IGB_RING_SRRCTL          0x0c
#define IGB_RING_HEAD            0x10
#define IGB_RING_TAIL            0x18
#define IGB_RING_CONTROL         0x28
#define IGB_RING_ENABLE          BIT(25)
#define IGB_RX_QUEUES    0xc000 /* queue 0 is at IGB_RX too */
#define IGB_TX_QUEUES    0xe000
#define IGB_QUEUE_SIZE   0x40
#define IGB_STATISTICS   0x4000 /* loads clear */
#define IGB_STATISTICS_END 0x4140
#define IGB_MPC          0x4010
#define IGB_GPRC         0x4074
#define IGB_BPRC         0x4078
#define IGB_MPRC         0x407c
#define IGB_GPTC         0x4080
#define IGB_GORC         0x4088 /* these four have 64 bits; loading the upper half clears both */
#define IGB_GOTC         0x4090
#define IGB_RNBC         0x40a0
#define IGB_RUC          0x40a4
#define IGB_ROC          0x40ac
#define IGB_TOR          0x40c0
#define IGB_TOT          0x40c8
#define IGB_TPR          0x40d0
#define IGB_TPT          0x40d4
#define IGB_MPTC         0x40f0
#define IGB_BPTC         0x40f4
#define IGB_RLPML        0x5004
#define IGB_MTA          0x5200
#define IGB_RAL(i)       ((i) < 16 ? 0x5400 + (i) * 8 : 0x54e0 + ((i) - 16) * 8)
#define IGB_RAH(i)       (IGB_RAL(i) + 4)
#define IGB_RAH_VALID            BIT(31)
#define IGB_ADDRESSES    24
#define IGB_GCR          0x5b00
#define IGB_GCR_RESEND           BIT(16)
#define IGB_FACTPS       0x5b30
#define IGB_SWSM         0x5b50
#define IGB_SWSM_SMBI            BIT(0)
#define IGB_FWSM         0x5b54

#define IGB_PHY_ADDRESS  1
#define IGB_PHY_CONTROL  0
#define IGB_PHY_CONTROL_RESTART  BIT(9)
#define IGB_PHY_CONTROL_LOOPBACK BIT(14)
#define IGB_PHY_CONTROL_RESET    BIT(15)
#define IGB_PHY_PAGE     31 /* that registers from 16 on are of */

#define IGB_NVM_WORDS    64
#define IGB_NVM_CHECKSUM 0xbaba

#define IGB_MAC_SIZE     6
#define IGB_CRC_SIZE     4
#define IGB_FRAME_MIN    60          /* without CRC, as all here */
#define IGB_FRAME_MAX    16384       /* that is put together; longer ones are dropped */
#define IGB_FRAME_LIMIT  1522        /* that is received unless RCTL.LPE, with CRC */
#define IGB_RLPML_DEFAULT 0x2600

/* A descriptor as drivers write it: legacy or advanced, of either ring. */
struct igb_desc {
	uint64_t address;
	uint32_t command; /* TX: length, type, flags */
	uint32_t status;  /* TX */
};
static_assert(sizeof(struct igb_desc) == 16, "descriptor");
#define IGB_TX_LENGTH(command)   ((command) & 0xffff)
#define IGB_TX_TYPE(command)     ((command) >> 20 & 15)
#define IGB_TX_TYPE_DATA         3
#define IGB_TX_EOP               BIT(24)
#define IGB_TX_REPORT            BIT(27)
#define IGB_TX_ADVANCED          BIT(29)
#define IGB_TX_DONE              BIT(0)
#define IGB_SRRCTL_SIZE(srrctl)  (((srrctl) & 0x7f) * 1024)
#define IGB_SRRCTL_TYPE(srrctl)  ((srrctl) >> 25 & 7) /* 0: legacy */

/* What a descriptor of the receive ring becomes. */
struct igb_rx_legacy {
	uint64_t address;
	uint16_t length, checksum;
	uint8_t status, errors;
	uint16_t vlan;
};
struct igb_rx_advanced {
	uint32_t info, rss, status;
	uint16_t length, vlan;
};
#define IGB_RX_DONE              BIT(0)
#define IGB_RX_EOP               BIT(1)
#define IGB_RX_NO_CHECKSUM       BIT(2) /* legacy: none was looked at */

/* What one store may run before the worker takes over: a full ring of short frames. */
#define IGB_INLINE_DESCS 4096
#define IGB_INLINE_BYTES (8 * 1024 * 1024)
struct igb_budget {
	unsigned descs;
	uint64_t bytes;
};

/*
 * [I] immutable after create   [l] lock   [r] the runner's, whoever has set busy
 */
struct igb {
	struct pci_dev *dev;         /* [I] */
	struct pci_worker *worker;   /* [I] */
	bool asks;                   /* [I] for pages */
	uint8_t mac[IGB_MAC_SIZE];   /* [I] */
	uint16_t nvm[IGB_NVM_WORDS]; /* [I] */
	struct mutex lock;           /* RANK_MODEL */
	struct cond idle;            /* busy was cleared */
	bool busy;                   /* [l] somebody runs the ring */
	bool stalled;                /* [l] by a fault: needs a reset */
	unsigned generation;         /* [l] changes with resets and rings: what began before no longer counts */
	uint32_t regs[IGB_BAR_SIZE / 4]; /* [l] */
	uint16_t phy[32];            /* [l] */
	unsigned frame_generation;   /* [r] that the frame belongs to */
	uint32_t frame_length;       /* [r] so far; beyond IGB_FRAME_MAX: too long */
	uint8_t frame[IGB_FRAME_MAX + IGB_CRC_SIZE]; /* [r] */
};

static inline uint32_t *igb_reg(struct igb *e, uint32_t offset)
{
	return &e->regs[offset / 4];
}

/* All of the following: the caller holds the lock, but of igb_work(). */

/* igb_irq.c */

/** igb_cause_locked, igb_enable_locked - set bits of EICR, of EIMS: what is in both now and was not, interrupts */
void igb_cause_locked(struct igb *e, uint32_t causes);
void igb_enable_locked(struct igb *e, uint32_t causes);
/** igb_touched_locked - a driver has loaded or stored EICR: what EIAM says is disabled, unless messages do that */
void igb_touched_locked(struct igb *e);
/** igb_other_locked, igb_enable_other_locked - the same for ICR and IMS */
void igb_other_locked(struct igb *e, uint32_t causes);
void igb_enable_other_locked(struct igb *e, uint32_t causes);
/** igb_queue_cause_locked - something was done on ring 0, @base: IGB_RX or IGB_TX */
void igb_queue_cause_locked(struct igb *e, uint32_t base);

/* igb_ring.c */

/**
 * igb_run_locked - send what is on the ring until it is done, stopped, or the budget is used up: the worker goes on
 * Context: gives the lock up while a descriptor is carried out. Returns at once when somebody sends or nothing is there.
 */
void igb_run_locked(struct igb *e, struct igb_budget budget);
/** igb_ready_locked - is there something to send? */
bool igb_ready_locked(struct igb *e);
/** igb_work - the worker's part of it; @state: the struct igb */
void igb_work(void *state);

#endif
