/* SPDX-License-Identifier: MIT */
/*
 * Page requests: what a device asked for, until somebody answers. Who made it waits or not; who answers may come long
 * after the device has given up, so a request lives as long as anybody has a reference.
 */
#include "iommu/priv.h"

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
