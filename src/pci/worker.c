/* SPDX-License-Identifier: MIT */
/*
 * A model's own thread: sleeps until kicked, runs the model's function, and runs it again when it was kicked
 * meanwhile. It holds no lock of pci/ while the function runs, so its DMA may wait for pages.
 */
#include "pci/priv.h"

struct pci_worker {
	void (*fn)(void *state); /* [I] */
	void *state;             /* [I] */
	struct thread thread;
	struct mutex lock;       /* RANK_PCI_WORKER */
	struct cond wake, idle;
	bool kicked, running, stop; /* [lock] */
};

static void worker_main(void *arg)
{
	struct pci_worker *w = arg;

	iommu_dma_patient(true);
	mutex_lock(&w->lock);
	for (;;) {
		while (!w->kicked && !w->stop)
			cond_wait(&w->wake, &w->lock);
		if (w->stop)
			break;
		w->kicked = false;
		w->running = true;
		mutex_unlock(&w->lock);
		w->fn(w->state);
		mutex_lock(&w->lock);
		w->running = false;
		if (!w->kicked)
			cond_broadcast(&w->idle);
	}
	mutex_unlock(&w->lock);
}

static void worker_free(struct pci_worker *w)
{
	cond_fini(&w->idle);
	cond_fini(&w->wake);
	mutex_fini(&w->lock);
	free(w);
}

int pci_worker_create(struct pci_dev *dev, void (*fn)(void *state), void *state, struct pci_worker **out)
{
	struct pci_worker *w = calloc(1, sizeof(*w));
	char name[16];
	int rc;

	if (!w)
		return -ENOMEM;
	w->fn = fn;
	w->state = state;
	mutex_init(&w->lock, RANK_PCI_WORKER);
	cond_init(&w->wake);
	cond_init(&w->idle);
	snprintf(name, sizeof(name), "pci %s", dev->dev.name + 5); /* without the domain, which seldom says anything */
	rc = thread_start(&w->thread, name, worker_main, w);
	if (rc) {
		worker_free(w);
		return rc;
	}
	*out = w;
	return 0;
}

void pci_worker_kick(struct pci_worker *w)
{
	SCOPED_LOCK(&w->lock);
	w->kicked = true;
	cond_signal(&w->wake);
}

void pci_worker_drain(struct pci_worker *w)
{
	SCOPED_LOCK(&w->lock);
	while (w->kicked || w->running)
		cond_wait(&w->idle, &w->lock);
}

void pci_worker_destroy(struct pci_worker *w)
{
	if (!w)
		return;
	mutex_lock(&w->lock);
	w->stop = true;
	cond_signal(&w->wake);
	mutex_unlock(&w->lock);
	thread_join(&w->thread);
	worker_free(w);
}
