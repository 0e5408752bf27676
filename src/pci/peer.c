/* SPDX-License-Identifier: MIT */
/*
 * Peer-to-peer: DMA of one function that ends in a memory BAR of another, or of itself.
 *
 * Plain memory is copied on the spot. Registers are not: the initiator's model may hold its lock during DMA, the
 * target's model takes its own, and two functions aiming at each other (or one at itself) would wait for ever.
 * So, as on the bus, writes to registers are posted: they go to a queue that one thread, which holds no model's
 * lock, carries out in order. A read waits for its completion, behind the writes posted before it, and not longer
 * than the completion timeout: then it is aborted, which is what a bus does with a target that cannot answer.
 * The queue is bounded: who posts faster than the targets take waits the same time for room, then is aborted.
 *
 * Whether the BAR answers (COMMAND, power, bridges above) is asked when the access is made and again when it is
 * carried out. A reset or an unplugged target drops what is queued for it.
 */
#include "pci/priv.h"
#include <string.h>

#define TIMEOUT_MS  50           /* the PCIe default's upper end */
#define QUEUE_BYTES (256u * 1024)
#define CHUNK       4096u

struct peer_req {
	TAILQ_ENTRY(peer_req) link;
	struct pci_window *w;
	uint64_t offset;
	unsigned n;
	bool write;
	bool done, failed;  /* [lock] reads */
	bool abandoned;     /* [lock] reads: the initiator is gone, the thread frees */
	uint8_t data[];
};

struct pci_peer {
	struct mutex lock;  /* RANK_PCI_PEER */
	struct cond work;   /* the thread: something is queued, or stop */
	struct cond moved;  /* initiators and pci_peer_forget(): something was carried out */
	TAILQ_HEAD(, peer_req) queue; /* [lock] */
	unsigned bytes;     /* [lock] queued */
	struct pci_dev *current; /* [lock] whose registers the thread is at */
	struct thread thread;
	bool started, stop; /* [lock] */
};

int pci_peer_create(struct pci_peer **out)
{
	struct pci_peer *peer = calloc(1, sizeof(*peer));

	if (!peer)
		return -ENOMEM;
	mutex_init(&peer->lock, RANK_PCI_PEER);
	cond_init(&peer->work);
	cond_init(&peer->moved);
	TAILQ_INIT(&peer->queue);
	*out = peer;
	return 0;
}

void pci_peer_destroy(struct pci_peer *peer)
{
	if (!peer)
		return;
	mutex_lock(&peer->lock);
	peer->stop = true;
	cond_signal(&peer->work);
	mutex_unlock(&peer->lock);
	if (peer->started)
		thread_join(&peer->thread);
	cond_fini(&peer->moved);
	cond_fini(&peer->work);
	mutex_fini(&peer->lock);
	free(peer);
}

static void carry_out(struct peer_req *r)
{
	struct pci_dev *d = r->w->d;

	if (!pci_bar_decodes(d, r->w->bar)) {
		r->failed = true;
		return;
	}
	for (unsigned done = 0; done < r->n;) {
		uint64_t at = r->offset + done;
		unsigned width = 8;

		while (at % width || width > r->n - done)
			width /= 2;
		pci_bar_access(d, r->w->bar, at, r->data + done, width, r->write);
		done += width;
	}
}

/* The request is off the queue; a read's waiting initiator frees it, else it ends here. */
static void finish_locked(struct pci_peer *peer, struct peer_req *r, bool failed)
{
	r->failed |= failed;
	r->done = true;
	peer->bytes -= r->n;
	if (r->write || r->abandoned)
		free(r);
	cond_broadcast(&peer->moved);
}

static void peer_main(void *arg)
{
	struct pci_peer *peer = arg;
	struct peer_req *r;

	mutex_lock(&peer->lock);
	while (!peer->stop) {
		r = TAILQ_FIRST(&peer->queue);
		if (!r) {
			cond_wait(&peer->work, &peer->lock);
			continue;
		}
		TAILQ_REMOVE(&peer->queue, r, link);
		peer->current = r->w->d;
		mutex_unlock(&peer->lock);
		carry_out(r);
		mutex_lock(&peer->lock);
		peer->current = NULL;
		finish_locked(peer, r, false);
	}
	mutex_unlock(&peer->lock);
}

void pci_peer_forget(struct pci_peer *peer, struct pci_dev *d)
{
	struct peer_req *r, *next;

	SCOPED_LOCK(&peer->lock);
	for (r = TAILQ_FIRST(&peer->queue); r; r = next) {
		next = TAILQ_NEXT(r, link);
		if (r->w->d != d)
			continue;
		TAILQ_REMOVE(&peer->queue, r, link);
		finish_locked(peer, r, true);
	}
	while (peer->current == d)
		cond_wait(&peer->moved, &peer->lock);
}

static int peer_submit_locked(struct pci_peer *peer, struct peer_req *r)
{
	if (!peer->started) {
		int rc = thread_start(&peer->thread, "pci peers", peer_main, peer);

		if (rc)
			return rc;
		peer->started = true;
	}
	while (peer->bytes + r->n > QUEUE_BYTES) {
		if (!cond_wait_ms(&peer->moved, &peer->lock, TIMEOUT_MS))
			return -EFAULT;
	}
	peer->bytes += r->n;
	TAILQ_INSERT_TAIL(&peer->queue, r, link);
	cond_signal(&peer->work);
	return 0;
}

static int peer_chunk(struct pci_window *w, uint64_t offset, void *data, unsigned n, bool write)
{
	struct pci_peer *peer = w->d->pci->peer;
	struct peer_req *r = calloc(1, sizeof(*r) + n);
	int rc;

	if (!r)
		return -EFAULT;
	r->w = w;
	r->offset = offset;
	r->n = n;
	r->write = write;
	if (write)
		memcpy(r->data, data, n);
	SCOPED_LOCK(&peer->lock);
	rc = peer_submit_locked(peer, r);
	if (rc) {
		free(r);
		return -EFAULT;
	}
	if (write)
		return 0;
	while (!r->done) {
		if (!cond_wait_ms(&peer->moved, &peer->lock, TIMEOUT_MS) && !r->done) {
			r->abandoned = true;
			return -EFAULT;
		}
	}
	rc = r->failed ? -EFAULT : 0;
	memcpy(data, r->data, n);
	free(r);
	return rc;
}

static int peer_access(struct pci_window *w, uint64_t offset, void *data, size_t n, bool write)
{
	const struct pci_bar *b = &w->d->priv->bar[w->bar];
	uint8_t *at = data;
	int rc = 0;

	/* The window is whole pages; behind the end of a small BAR nothing answers. */
	if (offset >= b->size || n > b->size - offset || !pci_bar_decodes(w->d, w->bar))
		return -EFAULT;
	if (b->shm && !pci_msix_bar_hit(w->d, w->bar, offset, (unsigned)MIN(n, (size_t)UINT32_MAX))) {
		mem_shm_access(b->shm, offset, data, n, write);
		return 0;
	}
	while (n && rc == 0) {
		unsigned chunk = (unsigned)MIN(n, (size_t)CHUNK);

		rc = peer_chunk(w, offset, at, chunk, write);
		offset += chunk;
		at += chunk;
		n -= chunk;
	}
	return rc;
}

static int peer_read(void *ctx, uint64_t offset, void *dst, size_t n)
{
	return peer_access(ctx, offset, dst, n, false);
}

static int peer_write(void *ctx, uint64_t offset, const void *src, size_t n)
{
	return peer_access(ctx, offset, (void *)src, n, true); /* only read from */
}

const struct mem_window_ops pci_peer_window_ops = { .read = peer_read, .write = peer_write };
