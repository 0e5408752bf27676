/* SPDX-License-Identifier: MIT */
/* OPTION and CHANGE_PROCESS: how pins are counted, and for whom. Spec: 30, 4.11 and 8. */
#include "iommufd/priv.h"

/* ---- OPTION ---- */

static int set_rlimit_mode(struct ucmd *u, uint64_t value)
{
	if (!task_capable(u->t, TASK_CAP_SYS_RESOURCE))
		return -EPERM;
	SCOPED_LOCK(&u->ctx->lock);
	if (u->ctx->used)
		return -EBUSY;
	if (value > 1)
		return -EINVAL;
	u->ctx->by_mm = value;
	return 0;
}

static int rlimit_mode(struct ucmd *u, struct iommu_option *a)
{
	if (a->object_id)
		return -EOPNOTSUPP;
	if (a->op == IOMMU_OPTION_OP_SET)
		return set_rlimit_mode(u, a->val64);
	if (a->op != IOMMU_OPTION_OP_GET)
		return -EOPNOTSUPP;
	SCOPED_LOCK(&u->ctx->lock);
	a->val64 = u->ctx->by_mm;
	return 0;
}

static int huge_pages_of(struct iommufd_ioas *ioas, struct iommu_option *a)
{
	if (a->op == IOMMU_OPTION_OP_SET)
		return a->val64 > 1 ? -EINVAL : iopt_set_small(&ioas->iopt, !a->val64);
	if (a->op != IOMMU_OPTION_OP_GET)
		return -EOPNOTSUPP;
	SCOPED_LOCK(&ioas->iopt.lock);
	a->val64 = !ioas->iopt.small;
	return 0;
}

static int huge_pages(struct ucmd *u, struct iommu_option *a)
{
	struct iommufd_ioas *ioas = iommufd_ioas_visit(u->ctx, a->object_id);
	int rc;

	if (!ioas)
		return -ENOENT;
	rc = huge_pages_of(ioas, a);
	iommufd_ioas_leave(ioas);
	return rc;
}

int iommufd_option_ioctl(struct ucmd *u)
{
	struct iommu_option *a = u->cmd;
	int rc;

	if (a->__reserved)
		return -EOPNOTSUPP;
	switch (a->option_id) {
	case IOMMU_OPTION_RLIMIT_MODE:
		rc = rlimit_mode(u, a);
		break;
	case IOMMU_OPTION_HUGE_PAGES:
		rc = huge_pages(u, a);
		break;
	default:
		return -EOPNOTSUPP;
	}
	if (rc)
		return rc;
	return task_copy_out(u->t, u->arg + offsetof(struct iommu_option, val64), &a->val64, sizeof(a->val64));
}

/* ---- CHANGE_PROCESS ---- */

enum move { MOVE_CHECK, MOVE_BEGIN, MOVE_END, MOVE_UNDO };

static int move_pages(struct iommufd_pages *p, struct task *t, enum move step)
{
	switch (step) {
	case MOVE_CHECK:
		return iommufd_pages_movable(p) ? 0 : -EINVAL;
	case MOVE_BEGIN:
		return iommufd_pages_move_begin(p, t);
	case MOVE_END:
	case MOVE_UNDO:
		iommufd_pages_move_end(p, t, step == MOVE_UNDO);
		break;
	}
	return 0;
}

/* Between iopt_mover_begin() and end: nobody maps, unmaps or pins, so the trees stay as they are. */
static int move_all(struct iopt_mover *m, struct task *t, enum move step)
{
	struct iopt_area *a;
	struct iopt *space;
	int rc = 0;

	LIST_FOREACH(space, &m->spaces, link) {
		for (a = iopt_area_from_locked(space, 0); !rc && a; a = iopt_area_next_locked(space, a))
			rc = move_pages(a->pages, t, step);
	}
	return rc;
}

int iommufd_change_process_ioctl(struct ucmd *u)
{
	const struct iommu_ioas_change_process *a = u->cmd;
	struct iopt_mover *m = &u->ctx->mover;
	int rc;

	if (a->__reserved)
		return -EOPNOTSUPP;
	iopt_mover_begin(m);
	rc = move_all(m, u->t, MOVE_CHECK);
	if (!rc) {
		rc = move_all(m, u->t, MOVE_BEGIN);
		move_all(m, u->t, rc ? MOVE_UNDO : MOVE_END);
	}
	iopt_mover_end(m);
	return rc;
}
