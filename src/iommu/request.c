/* SPDX-License-Identifier: MIT */
/*
 * Page requests: what a device asked for, until somebody answers. Who made it waits or not; who answers may come long
 * after the device has given up, so a request lives as long as anybody has a reference.
 */
#include "iommu/priv.h"
#include <assert.h>

#define GROUPS 512 /* PRI's numbers have nine bits */

struct request {
	struct iommu_page_request public; /* first */
	struct ref ref;
	struct mutex lock; /* RANK_IOMMU_REQUEST */
	struct cond answered;
	bool done, success; /* [lock] */
};

static struct request *request_of(struct iommu_page_request *r)
{
	return container_of(r, struct request, public);
}

int iommu_page_request_create(const struct iommu_page_request *init, struct iommu_page_request **out)
{
	struct request *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->public = *init;
	ref_init(&r->ref);
	mutex_init(&r->lock, RANK_IOMMU_REQUEST);
	cond_init(&r->answered);
	*out = &r->public;
	return 0;
}

struct iommu_page_request *iommu_page_request_get(struct iommu_page_request *r)
{
	ref_get(&request_of(r)->ref);
	return r;
}

void iommu_page_request_put(struct iommu_page_request *public)
{
	struct request *r = public ? request_of(public) : NULL;

	if (!r || !ref_put(&r->ref))
		return;
	cond_fini(&r->answered);
	mutex_fini(&r->lock);
	free(r);
}

void iommu_page_request_respond(struct iommu_page_request *public, bool success)
{
	struct request *r = request_of(public);

	SCOPED_LOCK(&r->lock);
	if (r->done)
		return;
	r->done = true;
	r->success = success;
	cond_broadcast(&r->answered);
}

bool iommu_page_request_wait(struct iommu_page_request *public)
{
	struct request *r = request_of(public);

	SCOPED_LOCK(&r->lock);
	while (!r->done)
		cond_wait(&r->answered, &r->lock);
	return r->success;
}

/* ---- devices that ask ---- */

static _Thread_local bool patient_thread;

void iommu_dma_patient(bool patient)
{
	patient_thread = patient;
}

bool iommu_thread_patient(void)
{
	return patient_thread;
}

void iommu_dev_set_requests(struct iommu_dev *d, bool on)
{
	assert(!d->group);
	d->requests = on;
}

bool iommu_dev_requests(const struct iommu_dev *d)
{
	return d->requests;
}

/* A group of its own for each request: a thread asks for one page at a time. */
static int ask_enlist(struct iommu_dev *d, const struct iommu_page_request *init, struct iommu_ask *ask)
{
	struct iommu_page_request numbered = *init;
	int rc;

	SCOPED_LOCK(&d->ask_lock);
	if (d->cancelling)
		return -ECANCELED;
	numbered.group = ++d->ask_group % GROUPS;
	rc = iommu_page_request_create(&numbered, &ask->request);
	if (rc)
		return rc;
	ask->cancelled = false;
	LIST_INSERT_HEAD(&d->asks, ask, link);
	return 0;
}

static bool ask_delist(struct iommu_ask *ask)
{
	struct iommu_dev *d = ask->request->dev;

	SCOPED_LOCK(&d->ask_lock);
	LIST_REMOVE(ask, link);
	return ask->cancelled;
}

int iommu_ask_begin(struct iommu_domain *dom, const struct iommu_page_request *init, struct iommu_ask *ask)
{
	int rc = ask_enlist(init->dev, init, ask);

	if (rc)
		return rc;
	rc = dom->fault_ops->request(dom->fault_ctx, ask->request);
	if (rc == 0)
		return 0;
	ask_delist(ask);
	iommu_page_request_put(ask->request);
	return rc;
}

int iommu_ask_end(struct iommu_ask *ask)
{
	bool success = iommu_page_request_wait(ask->request), cancelled = ask_delist(ask);

	iommu_page_request_put(ask->request);
	if (cancelled)
		return -ECANCELED;
	return success ? 0 : -EFAULT;
}

/* Who has the request in a queue still may answer it later, to nobody. */
void iommu_dev_cancel_begin(struct iommu_dev *d)
{
	struct iommu_ask *ask;

	SCOPED_LOCK(&d->ask_lock);
	d->cancelling++;
	LIST_FOREACH(ask, &d->asks, link) {
		ask->cancelled = true;
		iommu_page_request_respond(ask->request, false);
	}
}

void iommu_dev_cancel_end(struct iommu_dev *d)
{
	SCOPED_LOCK(&d->ask_lock);
	assert(d->cancelling);
	d->cancelling--;
}
