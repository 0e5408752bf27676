/* SPDX-License-Identifier: MIT */
/*
 * The rings of igb.c. A ring is IGB_RING_LENGTH / 16 descriptors; those from head up to tail are the device's. Each
 * descriptor of the transmit ring adds its buffer to the frame, and with the last one's (EOP) the frame is sent: in
 * loopback it is received at once, into as many buffers of the receive ring as it needs, or dropped when there are too
 * few. Without loopback nobody is at the other end of the wire. What was done is told by DD in the descriptor, which is
 * written when all else is there, and after it by the heads and interrupts.
 *
 * A head or a tail beyond the ring: then nothing is the device's. A transfer that faults: the ring stands still until
 * a reset, with nothing written back, as a real one's does whose requests are not answered.
 *
 * A store to a tail runs the ring itself: its driver polls memory at once, and one that has disabled interrupts for that
 * time finds all causes set when it clears them. What exceeds IGB_INLINE_* is the worker's. One runs at a time (`busy`),
 * and the lock is not held over DMA.
 */
#include "devices/igb_priv.h"
#include <string.h>

struct igb_ring {
	uint64_t base;
	uint32_t count, head, tail;
};

static struct igb_ring igb_ring_locked(struct igb *e, uint32_t base)
{
	return (struct igb_ring){
		.base = (uint64_t)*igb_reg(e, base + IGB_RING_BASE_HIGH) << 32 | *igb_reg(e, base + IGB_RING_BASE_LOW),
		.count = *igb_reg(e, base + IGB_RING_LENGTH) / sizeof(struct igb_desc),
		.head = *igb_reg(e, base + IGB_RING_HEAD),
		.tail = *igb_reg(e, base + IGB_RING_TAIL),
	};
}

/* Descriptors that are the device's. */
static uint32_t igb_ring_filled(const struct igb_ring *r)
{
	if (r->head >= r->count || r->tail >= r->count)
		return 0;
	return r->tail >= r->head ? r->tail - r->head : r->tail + r->count - r->head;
}

static uint64_t igb_ring_at(const struct igb_ring *r)
{
	return r->base + r->head * sizeof(struct igb_desc);
}

static void igb_ring_advance_locked(struct igb *e, uint32_t base, struct igb_ring *r)
{
	r->head = (r->head + 1) % r->count;
	*igb_reg(e, base + IGB_RING_HEAD) = r->head;
}

static bool igb_ring_enabled(struct igb *e, uint32_t base)
{
	return *igb_reg(e, base + IGB_RING_CONTROL) & IGB_RING_ENABLE;
}

/* ---- statistics ---- */

static void igb_count(struct igb *e, uint32_t counter)
{
	uint32_t *r = igb_reg(e, counter);

	*r += *r != UINT32_MAX;
}

static void igb_count_bytes(struct igb *e, uint32_t counter, uint32_t n)
{
	uint64_t sum = ((uint64_t)*igb_reg(e, counter + 4) << 32 | *igb_reg(e, counter)) + n;

	*igb_reg(e, counter) = sum;
	*igb_reg(e, counter + 4) = sum >> 32;
}

static bool igb_broadcast(const uint8_t *mac)
{
	static const uint8_t all[IGB_MAC_SIZE] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

	return memcmp(mac, all, IGB_MAC_SIZE) == 0;
}

static void igb_count_kind(struct igb *e, uint32_t broadcasts, uint32_t multicasts)
{
	if (igb_broadcast(e->frame))
		igb_count(e, broadcasts);
	else if (e->frame[0] & 1)
		igb_count(e, multicasts);
}

static void igb_count_sent(struct igb *e)
{
	igb_count(e, IGB_TPT);
	igb_count(e, IGB_GPTC);
	igb_count_kind(e, IGB_BPTC, IGB_MPTC);
	igb_count_bytes(e, IGB_TOT, e->frame_length + IGB_CRC_SIZE);
	igb_count_bytes(e, IGB_GOTC, e->frame_length + IGB_CRC_SIZE);
}

static void igb_count_received(struct igb *e)
{
	igb_count(e, IGB_GPRC);
	igb_count_kind(e, IGB_BPRC, IGB_MPRC);
	igb_count_bytes(e, IGB_GORC, e->frame_length + IGB_CRC_SIZE);
}

/* ---- receiving ---- */

static bool igb_hash_listed(struct igb *e, const uint8_t *mac)
{
	static const uint8_t shifts[] = { 4, 3, 2, 0 };
	unsigned shift = shifts[IGB_RCTL_HASH(*igb_reg(e, IGB_RCTL))];
	unsigned hash = ((unsigned)mac[5] << 8 | mac[4]) >> shift & 0xfff;

	return *igb_reg(e, IGB_MTA + hash / 32 * 4) & BIT(hash % 32);
}

static bool igb_address_listed(struct igb *e, const uint8_t *mac)
{
	uint32_t low, high;

	memcpy(&low, mac, 4);
	high = mac[4] | (uint32_t)mac[5] << 8;
	for (unsigned i = 0; i < IGB_ADDRESSES; i++) {
		uint32_t rah = *igb_reg(e, IGB_RAH(i));

		if (rah & IGB_RAH_VALID && (rah & 0xffff) == high && *igb_reg(e, IGB_RAL(i)) == low)
			return true;
	}
	return false;
}

/* Is the frame for us? */
static bool igb_accepts(struct igb *e)
{
	uint32_t rctl = *igb_reg(e, IGB_RCTL);

	if (igb_broadcast(e->frame))
		return rctl & IGB_RCTL_BROADCAST;
	if (e->frame[0] & 1)
		return rctl & IGB_RCTL_MULTICAST || igb_hash_listed(e, e->frame);
	return rctl & IGB_RCTL_UNICAST || igb_address_listed(e, e->frame);
}

static uint32_t igb_limit(struct igb *e)
{
	return *igb_reg(e, IGB_RCTL) & IGB_RCTL_LONG ? *igb_reg(e, IGB_RLPML) : IGB_FRAME_LIMIT;
}

static uint32_t igb_buffer_size(struct igb *e)
{
	uint32_t size = IGB_SRRCTL_SIZE(*igb_reg(e, IGB_RX + IGB_RING_SRRCTL));

	return size ? size : 2048u >> IGB_RCTL_SIZE(*igb_reg(e, IGB_RCTL));
}

/* Ethernet's, behind the frame. */
static void igb_append_crc(uint8_t *frame, uint32_t length)
{
	uint32_t crc = UINT32_MAX;

	for (uint32_t i = 0; i < length; i++) {
		crc ^= frame[i];
		for (unsigned bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
	}
	crc = ~crc;
	memcpy(frame + length, &crc, IGB_CRC_SIZE);
}

/* The descriptor at @at, whose buffer was filled: with the status written last. No lock held. */
static bool igb_write_back(struct igb *e, uint64_t at, uint64_t address, uint32_t length, bool last, bool legacy)
{
	uint32_t status = IGB_RX_DONE | (last ? IGB_RX_EOP : 0) | (legacy ? IGB_RX_NO_CHECKSUM : 0);
	struct igb_rx_legacy old = { .address = address, .length = length };
	struct igb_rx_advanced new = { .length = length };
	size_t offset = legacy ? offsetof(struct igb_rx_legacy, status) : offsetof(struct igb_rx_advanced, status);

	return !pci_dma_write(e->dev, at, legacy ? (void *)&old : &new, sizeof(struct igb_desc)) &&
	       !pci_dma_write(e->dev, at + offset, &status, sizeof(status));
}

/* @n bytes of the frame from @from to the buffer of one descriptor. No lock held. */
static bool igb_fill(struct igb *e, uint64_t at, uint32_t from, uint32_t n, bool last, bool legacy)
{
	struct igb_desc d;

	return !pci_dma_read(e->dev, at, &d, sizeof(d)) && !pci_dma_write(e->dev, d.address, e->frame + from, n) &&
	       igb_write_back(e, at, d.address, n, last, legacy);
}

/* Put the frame into buffers, of which there are enough. False: a fault, or a reset meanwhile. */
static bool igb_deliver_locked(struct igb *e, uint32_t length)
{
	struct igb_ring rx = igb_ring_locked(e, IGB_RX);
	bool legacy = IGB_SRRCTL_TYPE(*igb_reg(e, IGB_RX + IGB_RING_SRRCTL)) == 0;
	uint32_t size = igb_buffer_size(e), n;
	unsigned generation = e->generation;
	bool done;

	for (uint32_t from = 0; from < length; from += n) {
		n = MIN(size, length - from);
		mutex_unlock(&e->lock);
		done = igb_fill(e, igb_ring_at(&rx), from, n, from + n == length, legacy);
		mutex_lock(&e->lock);
		if (!done || generation != e->generation)
			return false;
		igb_ring_advance_locked(e, IGB_RX, &rx);
	}
	return true;
}

/* The frame has arrived from the wire. As igb_deliver_locked(). */
static bool igb_receive_locked(struct igb *e)
{
	struct igb_ring rx = igb_ring_locked(e, IGB_RX);
	uint32_t length = e->frame_length, size = igb_buffer_size(e);

	if (!(*igb_reg(e, IGB_RCTL) & IGB_RCTL_ENABLE))
		return true;
	igb_count(e, IGB_TPR);
	igb_count_bytes(e, IGB_TOR, length + IGB_CRC_SIZE);
	if (length < IGB_FRAME_MIN) {
		igb_count(e, IGB_RUC);
		return true;
	}
	if (length + IGB_CRC_SIZE > igb_limit(e)) {
		igb_count(e, IGB_ROC);
		return true;
	}
	if (!igb_accepts(e))
		return true;
	if (!(*igb_reg(e, IGB_RCTL) & IGB_RCTL_STRIP_CRC)) {
		igb_append_crc(e->frame, length);
		length += IGB_CRC_SIZE;
	}
	if (!igb_ring_enabled(e, IGB_RX) || igb_ring_filled(&rx) < (length + size - 1) / size) {
		igb_count(e, IGB_RNBC);
		igb_count(e, IGB_MPC);
		return true;
	}
	if (!igb_deliver_locked(e, length))
		return false;
	igb_count_received(e);
	igb_queue_cause_locked(e, IGB_RX);
	return true;
}

/* ---- sending ---- */

static bool igb_loopback(struct igb *e)
{
	return (*igb_reg(e, IGB_RCTL) & IGB_RCTL_LOOPBACK) == IGB_RCTL_LOOPBACK_MAC ||
	       e->phy[IGB_PHY_CONTROL] & IGB_PHY_CONTROL_LOOPBACK;
}

/* The frame is complete. As igb_deliver_locked(). */
static bool igb_send_locked(struct igb *e)
{
	if (e->frame_length == 0 || e->frame_length > IGB_FRAME_MAX)
		return true;
	if (e->frame_length < IGB_FRAME_MIN && *igb_reg(e, IGB_TCTL) & IGB_TCTL_PAD) {
		memset(e->frame + e->frame_length, 0, IGB_FRAME_MIN - e->frame_length);
		e->frame_length = IGB_FRAME_MIN;
	}
	if (e->frame_length < IGB_MAC_SIZE)
		memset(e->frame + e->frame_length, 0, IGB_MAC_SIZE - e->frame_length);
	igb_count_sent(e);
	return !igb_loopback(e) || igb_receive_locked(e);
}

static bool igb_has_data(const struct igb_desc *d)
{
	return !(d->command & IGB_TX_ADVANCED) || IGB_TX_TYPE(d->command) == IGB_TX_TYPE_DATA;
}

/* Fetch the descriptor at @at, and its buffer to the end of the frame. No lock held. */
static bool igb_fetch(struct igb *e, uint64_t at, struct igb_desc *d)
{
	uint32_t n;

	if (pci_dma_read(e->dev, at, d, sizeof(*d)))
		return false;
	if (!igb_has_data(d))
		return true;
	n = IGB_TX_LENGTH(d->command);
	if (e->frame_length + n > IGB_FRAME_MAX) {
		e->frame_length = IGB_FRAME_MAX + 1;
		return true;
	}
	if (n && pci_dma_read(e->dev, d->address, e->frame + e->frame_length, n))
		return false;
	e->frame_length += n;
	return true;
}

/* Tell the driver that the descriptor at @at is done. No lock held. */
static bool igb_report(struct igb *e, uint64_t at, const struct igb_desc *d)
{
	uint32_t status = IGB_TX_DONE | (d->command & IGB_TX_ADVANCED ? 0 : d->status);

	return !pci_dma_write(e->dev, at + offsetof(struct igb_desc, status), &status, sizeof(status));
}

/* Carry out the descriptor at the head. Gives the lock up meanwhile; the caller has set busy. */
static void igb_step_locked(struct igb *e, struct igb_budget *budget)
{
	struct igb_ring tx = igb_ring_locked(e, IGB_TX);
	unsigned generation = e->generation;
	struct igb_desc d = { 0 };
	bool done;

	if (e->frame_generation != generation)
		e->frame_length = 0;
	e->frame_generation = generation;

	mutex_unlock(&e->lock);
	done = igb_fetch(e, igb_ring_at(&tx), &d);
	mutex_lock(&e->lock);
	budget->descs--;
	budget->bytes -= MIN(budget->bytes, IGB_TX_LENGTH(d.command));
	if (generation != e->generation)
		return;

	if (done && igb_has_data(&d) && d.command & IGB_TX_EOP) {
		done = igb_send_locked(e);
		e->frame_length = 0;
	}
	if (done && d.command & IGB_TX_REPORT) {
		mutex_unlock(&e->lock);
		done = igb_report(e, igb_ring_at(&tx), &d);
		mutex_lock(&e->lock);
	}
	if (generation != e->generation)
		return;
	e->stalled = !done;
	if (e->stalled)
		return;
	igb_ring_advance_locked(e, IGB_TX, &tx);
	if (d.command & IGB_TX_REPORT)
		igb_queue_cause_locked(e, IGB_TX);
}

bool igb_ready_locked(struct igb *e)
{
	struct igb_ring tx = igb_ring_locked(e, IGB_TX);

	return *igb_reg(e, IGB_TCTL) & IGB_TCTL_ENABLE && igb_ring_enabled(e, IGB_TX) && !e->stalled &&
	       !(*igb_reg(e, IGB_CTRL) & IGB_CTRL_MASTER_DISABLE) && igb_ring_filled(&tx);
}

void igb_run_locked(struct igb *e, struct igb_budget budget)
{
	if (e->busy || !igb_ready_locked(e))
		return;
	e->busy = true;
	while (igb_ready_locked(e) && budget.descs && budget.bytes)
		igb_step_locked(e, &budget);
	e->busy = false;
	cond_broadcast(&e->idle);
	if (igb_ready_locked(e))
		pci_worker_kick(e->worker);
}

void igb_work(void *state)
{
	struct igb *e = state;
	const struct igb_budget budget = { .descs = UINT32_MAX, .bytes = UINT64_MAX };

	mutex_lock(&e->lock);
	igb_run_locked(e, budget);
	mutex_unlock(&e->lock);
}
