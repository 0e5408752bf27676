/* SPDX-License-Identifier: MIT */
/* IOAS objects, and what programs ask about their addresses. Spec: 30, 4.1 to 4.4. */
#include "iommufd/priv.h"
#include <assert.h>

int iommufd_ioas_create(struct iommufd_ctx *ctx, struct iommufd_ioas **out)
{
	struct iommufd_ioas *ioas = calloc(1, sizeof(*ioas));
	int rc;

	if (!ioas)
		return -ENOMEM;
	rc = iommufd_object_reserve(ctx, IOMMUFD_IOAS, &ioas->obj);
	if (rc) {
		free(ioas);
		return rc;
	}
	iopt_init(&ioas->iopt, &ctx->mover);
	mutex_init(&ioas->lock, RANK_IOMMUFD_IOAS);
	TAILQ_INIT(&ioas->hwpts);
	*out = ioas;
	return 0;
}

void iommufd_ioas_free(struct iommufd_object *o)
{
	struct iommufd_ioas *ioas = container_of(o, struct iommufd_ioas, obj);

	assert(TAILQ_EMPTY(&ioas->hwpts));
	iopt_fini(&ioas->iopt);
	mutex_fini(&ioas->lock);
	free(ioas);
}

void iommufd_ioas_abandon(struct iommufd_ioas *ioas)
{
	iommufd_object_abandon(&ioas->obj);
	iommufd_ioas_free(&ioas->obj);
}

struct iommufd_ioas *iommufd_ioas_visit(struct iommufd_ctx *ctx, uint32_t id)
{
	struct iommufd_object *o = iommufd_object_visit(ctx, id, IOMMUFD_IOAS);

	return o ? container_of(o, struct iommufd_ioas, obj) : NULL;
}

int iommufd_ioas_alloc_ioctl(struct ucmd *u)
{
	struct iommu_ioas_alloc *a = u->cmd;
	struct iommufd_ioas *ioas;
	int rc;

	if (a->flags)
		return -EOPNOTSUPP;
	rc = iommufd_ioas_create(u->ctx, &ioas);
	if (rc)
		return rc;
	a->out_ioas_id = ioas->obj.id;
	rc = ucmd_respond(u);
	if (rc)
		iommufd_ioas_abandon(ioas);
	else
		iommufd_object_publish(&ioas->obj);
	return rc;
}

int iommufd_ioas_ranges_ioctl(struct ucmd *u)
{
	AUTO_FREE struct iommu_iova_range *list = NULL;
	struct iommu_ioas_iova_ranges *a = u->cmd;
	uint32_t room = a->num_iovas;
	struct iommufd_ioas *ioas;
	int n, rc;

	if (a->__reserved)
		return -EOPNOTSUPP;
	ioas = iommufd_ioas_visit(u->ctx, a->ioas_id);
	if (!ioas)
		return -ENOENT;
	n = iopt_ranges(&ioas->iopt, &list, &a->out_iova_alignment);
	iommufd_ioas_leave(ioas);
	if (n < 0)
		return n;
	a->num_iovas = (uint32_t)n;
	if (task_copy_out(u->t, a->allowed_iovas, list, MIN(room, (uint32_t)n) * sizeof(*list)))
		return -EFAULT;
	rc = ucmd_respond(u);
	if (rc)
		return rc;
	return room < (uint32_t)n ? -EMSGSIZE : 0;
}

#define ALLOWED_STEP 4096 /* ranges copied in at first; then as many as there are */

/* One step more, good ranges each. */
static int copy_in_step(struct task *t, uva_t at, struct iommu_iova_range *list, uint32_t n)
{
	if (task_copy_in(t, list, at, n * sizeof(*list)))
		return -EFAULT;
	for (uint32_t i = 0; i < n; i++) {
		if (list[i].start >= list[i].last)
			return -EINVAL;
	}
	return 0;
}

/* No number made up, and no page mapped many times, costs more memory than good ranges do. */
static int copy_in_ranges(struct task *t, uva_t at, uint32_t n, struct iommu_iova_range **out)
{
	struct iommu_iova_range *list = NULL, *more;
	int rc = 0;

	for (uint32_t done = 0, step; !rc && done < n; done += step) {
		step = MIN(n - done, MAX(done, (uint32_t)ALLOWED_STEP));
		more = reallocarray(list, (size_t)done + step, sizeof(*list));
		if (!more) {
			rc = -ENOMEM;
			break;
		}
		list = more;
		rc = copy_in_step(t, at + (uint64_t)done * sizeof(*list), list + done, step);
		if (!rc)
			rc = iopt_sort_ranges(list, done + step);
	}
	if (rc) {
		free(list);
		return rc;
	}
	*out = list;
	return 0;
}

int iommufd_ioas_allow_ioctl(struct ucmd *u)
{
	const struct iommu_ioas_allow_iovas *a = u->cmd;
	struct iommu_iova_range *list = NULL;
	struct iommufd_ioas *ioas;
	int rc;

	if (a->__reserved)
		return -EOPNOTSUPP;
	ioas = iommufd_ioas_visit(u->ctx, a->ioas_id);
	if (!ioas)
		return -ENOENT;
	rc = copy_in_ranges(u->t, a->allowed_iovas, a->num_iovas, &list);
	if (!rc) {
		rc = iopt_allow(&ioas->iopt, list, a->num_iovas);
		if (rc)
			free(list);
	}
	iommufd_ioas_leave(ioas);
	return rc;
}
