/* SPDX-License-Identifier: MIT */
/* For the tests of the 82576 model: its registers and descriptors, and a port that was started as Linux's selftests do. */
#ifndef IGB_H
#define IGB_H

#include "fake_pci.h"

enum {
	CTRL = 0x0, STATUS = 0x8, EECD = 0x10, EERD = 0x14, MDIC = 0x20, ICR = 0xc0, ICS = 0xc8, IMS = 0xd0, IMC = 0xd8,
	RCTL = 0x100, TCTL = 0x400, GPIE = 0x1514, EICS = 0x1520, EIMS = 0x1524, EIMC = 0x1528, EIAC = 0x152c, EIAM = 0x1530,
	EICR = 0x1580, IVAR0 = 0x1700, IVAR_MISC = 0x1740, RX = 0x2800, TX = 0x3800, MPC = 0x4010, GPRC = 0x4074, BPRC = 0x4078,
	MPRC = 0x407c, GPTC = 0x4080, GORC = 0x4088, RNBC = 0x40a0, RUC = 0x40a4, ROC = 0x40ac, TPR = 0x40d0, RLPML = 0x5004,
	MTA = 0x5200, RAL0 = 0x5400, SWSM = 0x5b50,
};
enum { LOW = 0x00, HIGH = 0x04, LENGTH = 0x08, SRRCTL = 0x0c, HEAD = 0x10, TAIL = 0x18, CONTROL = 0x28 };
enum { UNICAST = 0x8, MULTICAST = 0x10, LONG = 0x20, LOOPBACK = 0x40, BROADCAST = 0x8000 };
#define ENABLE     0x2u
#define RESET      0x04000000u
#define STRIP      0x04000000u
#define QUEUE      0x02000000u
#define ADVANCED   0x02000000u /* SRRCTL */
#define MULTIPLE   0x10u
#define EIAME      0x40000000u
#define VALID      0x80u
#define MDIC_WRITE 0x04200000u /* to PHY 1 */
#define MDIC_READ  0x08200000u
/* commands of transmit descriptors: advanced data */
#define DATA       0x22300000u
#define EOP        0x01000000u
#define REPORT     0x08000000u

struct desc {
	uint64_t address;
	uint32_t command, status;
};
struct received {
	uint32_t info, rss, status;
	uint16_t length, vlan;
};

/* Where things are in memory. */
#define RINGLEN 16
#define TX_RING RAM_IOVA
#define RX_RING (RAM_IOVA + 0x10000)
#define SRC     (RAM_IOVA + 0x20000)
#define DST     (RAM_IOVA + 0x100000)
#define BUFFER  0x1000

static inline void *at(struct pci_dev *d, uint64_t iova)
{
	return d->ram + (iova - RAM_IOVA);
}

static inline struct desc *tx(struct pci_dev *d, unsigned i)
{
	return (struct desc *)at(d, TX_RING) + i;
}

static inline struct received *rx(struct pci_dev *d, unsigned i)
{
	return (struct received *)at(d, RX_RING) + i;
}

static inline uint8_t *dst(struct pci_dev *d, unsigned i)
{
	return at(d, DST + i * BUFFER);
}

/* An empty buffer in descriptor @i. */
static inline void offer(struct pci_dev *d, unsigned i)
{
	memcpy(rx(d, i), &(struct desc){ .address = DST + i * BUFFER }, sizeof(struct desc));
}

static inline void ring(struct pci_dev *d, uint32_t base, uint64_t iova, unsigned count)
{
	store(d, base + LOW, (uint32_t)iova, 4);
	store(d, base + HIGH, iova >> 32, 4);
	store(d, base + LENGTH, count * 16, 4);
	store(d, base + HEAD, 0, 4);
	store(d, base + TAIL, 0, 4);
	store(d, base + CONTROL, QUEUE, 4);
}

/* Registers as the selftests' driver sets them, and a ring of buffers of which the device has all it can have. */
static inline void start(struct pci_dev *d)
{
	ring(d, TX, TX_RING, RINGLEN);
	ring(d, RX, RX_RING, RINGLEN);
	assert_int_equal(load(d, TX + CONTROL, 4) | load(d, RX + CONTROL, 4), 0); /* not before: */
	store(d, RX + SRRCTL, ADVANCED, 4);
	store(d, RCTL, ENABLE | UNICAST | MULTICAST | BROADCAST | LOOPBACK | STRIP, 4);
	store(d, TCTL, ENABLE | 8, 4);
	assert_int_equal(load(d, TX + CONTROL, 4) & load(d, RX + CONTROL, 4), QUEUE);
	store(d, GPIE, MULTIPLE | EIAME, 4);
	store(d, EIAC, 1, 4);
	store(d, EIAM, 1, 4);
	store(d, IVAR0, VALID, 4);
	store(d, EIMS, 1, 4);
	for (unsigned i = 0; i < RINGLEN; i++)
		offer(d, i);
	store(d, RX + TAIL, RINGLEN - 1, 4);
}

static inline struct pci_dev *started_with(const char *const *args)
{
	struct pci_dev *d = plug(&igb_model, args);

	start(d);
	for (unsigned i = 0; i < 0x10000; i++)
		((uint8_t *)at(d, SRC))[i] = i * 7 + 2;
	return d;
}

static inline struct pci_dev *started(void)
{
	return started_with(NULL);
}

/* The next descriptor, and the doorbell. */
static inline void send(struct pci_dev *d, uint64_t address, uint32_t command)
{
	unsigned i = load(d, TX + TAIL, 4);

	*tx(d, i) = (struct desc){ .address = address, .command = command };
	store(d, TX + TAIL, (i + 1) % RINGLEN, 4);
}

#endif
