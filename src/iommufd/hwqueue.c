/* SPDX-License-Identifier: MIT */
/*
 * Queues in a guest's memory that hardware reads by itself, without the guest's page tables being asked: the memory is
 * pinned, and cannot be unmapped while the queue is there. It must be one run of physical memory.
 *
 * Spec: 30, 11.5.
 */
#include "iommufd/hw.h"

/* An access that nobody can ask to let go. */
static const struct iommufd_access_ops pin_ops = { .needs_pin_pages = true, .internal = true };

/* ---- the memory ---- */

/* The pages that the queue touches: the first and the length */
static uint64_t queue_pages(const struct iommufd_hw_queue *q, iova_t *first)
{
	*first = ALIGN_DOWN(q->base, UVFIO_PAGE_SIZE);
	return ALIGN_DOWN(q->base + (q->length - 1), UVFIO_PAGE_SIZE) - *first + UVFIO_PAGE_SIZE;
}

static int queue_pin(struct iommufd_hw_queue *q)
{
	struct iommufd_ioas *ioas = q->viommu->parent->ioas;
	iova_t first;
	uint64_t length = queue_pages(q, &first);
	phys_t phys;
	uint32_t id;
	int rc = iommufd_access_create(q->obj.ctx, &pin_ops, NULL, &q->access, &id);

	if (rc)
		return rc;
	rc = iommufd_access_attach(q->access, ioas->obj.id);
	if (!rc)
		rc = iommufd_access_pin_run(q->access, first, length, &phys);
	if (rc) {
		iommufd_access_destroy(q->access);
		return rc;
	}
	q->phys = phys + (q->base - first);
	return 0;
}

static void queue_unpin(struct iommufd_hw_queue *q)
{
	iova_t first;
	uint64_t length = queue_pages(q, &first);

	iommufd_access_unpin(q->access, first, length);
	iommufd_access_destroy(q->access);
}

/* ---- life ---- */

static void queue_end(struct iommufd_hw_queue *q)
{
	struct iommufd_object *viommu = &q->viommu->obj;

	if (q->viommu->hw->queue_fini)
		q->viommu->hw->queue_fini(q);
	queue_unpin(q);
	free(q);
	iommufd_object_unuse(viommu);
}

void iommufd_hw_queue_free(struct iommufd_object *o)
{
	queue_end(container_of(o, struct iommufd_hw_queue, obj));
}

static int queue_create(struct iommufd_viommu *v, const struct iommu_hw_queue_alloc *a, struct iommufd_hw_queue **out)
{
	struct iommufd_hw_queue *q;
	int rc;

	if (!v->hw->has_queue || !v->hw->has_queue(v, a->type))
		return -EOPNOTSUPP;
	q = calloc(1, sizeof(*q));
	if (!q)
		return -ENOMEM;
	rc = iommufd_object_reserve(v->obj.ctx, IOMMUFD_HW_QUEUE, &q->obj);
	if (rc)
		goto err_free;
	q->viommu = v;
	q->type = a->type;
	q->index = a->index;
	q->base = a->nesting_parent_iova;
	q->length = a->length;
	rc = queue_pin(q);
	if (rc)
		goto err_abandon;
	rc = v->hw->queue(q);
	if (rc)
		goto err_unpin;
	iommufd_object_use(&v->obj);
	*out = q;
	return 0;

err_unpin:
	queue_unpin(q);
err_abandon:
	iommufd_object_abandon(&q->obj);
err_free:
	free(q);
	return rc;
}

int iommufd_hw_queue_alloc_ioctl(struct ucmd *u)
{
	struct iommu_hw_queue_alloc *a = u->cmd;
	struct iommufd_hw_queue *q;
	struct iommufd_viommu *v;
	int rc;

	if (a->flags || !a->type)
		return -EOPNOTSUPP;
	if (!a->length)
		return -EINVAL;
	if (a->nesting_parent_iova + (a->length - 1) < a->nesting_parent_iova)
		return -EOVERFLOW;
	v = iommufd_viommu_visit(u->ctx, a->viommu_id);
	if (!v)
		return -ENOENT;
	rc = queue_create(v, a, &q);
	iommufd_object_leave(&v->obj);
	if (rc)
		return rc;
	a->out_hw_queue_id = q->obj.id;
	rc = ucmd_respond(u);
	if (rc) {
		iommufd_object_abandon(&q->obj);
		queue_end(q);
	} else {
		iommufd_object_publish(&q->obj);
	}
	return rc;
}
