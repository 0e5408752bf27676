/* SPDX-License-Identifier: MIT */
/*
 * Fault queues: page requests of devices are read by a program, which writes an answer to each.
 *
 * A queue knows for whom it takes requests: its members, one for each attachment to an HWPT that names it. A request is
 * pending from then on until it is answered. It waits to be read, is being read, or has been told to the program under
 * a cookie, the lowest free from 1 on. It belongs to its member: when that parts, what is pending of it is answered for
 * the program, so no answer of the program's can reach what came after.
 *
 * Nothing is copied to the program under a lock. Who reads has its request in hand meanwhile: its cookie is no cookie
 * yet, and what could not be copied goes back to where it was. If its member parts meanwhile, only the reader still
 * knows it, and forgets it.
 *
 * Spec: 30, section 12.
 */
#include "iommufd/eventq.h"
#include <assert.h>
#include <string.h>

enum state { WAITING, IN_HAND, TOLD, VOID };

struct member {
	LIST_ENTRY(member) link;
	const struct iommu_dev *dev;
	uint32_t pasid, id;            /* id: of the device, as told */
	LIST_HEAD(, pending) pending;
};

/* All by the queue's lock. */
struct pending {
	LIST_ENTRY(pending) of_member; /* not VOID */
	TAILQ_ENTRY(pending) link;     /* WAITING */
	struct member *member;
	struct iommu_page_request *request;
	enum state state;
	uint32_t cookie;               /* IN_HAND, TOLD */
	struct iommu_hwpt_pgfault message; /* IN_HAND */
};

struct iommufd_fault {
	struct iommufd_eventq q;                 /* used by HWPTs too */
	LIST_HEAD(, member) members;             /* [q.lock] newest first */
	TAILQ_HEAD(, pending) waiting;           /* [q.lock] oldest first */
	struct ids cookies;                      /* [q.lock] of cookie - 1 */
	struct pending **told;                   /* [q.lock] by cookie - 1; NULL: none */
	unsigned ntold;                          /* [q.lock] room */
};

static struct iommufd_fault *fault_of(struct iommufd_eventq *q)
{
	return container_of(q, struct iommufd_fault, q);
}

struct iommufd_fault *iommufd_fault_visit(struct iommufd_ctx *ctx, uint32_t id)
{
	struct iommufd_object *o = iommufd_object_visit(ctx, id, IOMMUFD_FAULT);

	return o ? container_of(o, struct iommufd_fault, q.obj) : NULL;
}

struct iommufd_object *iommufd_fault_object(struct iommufd_fault *fault)
{
	return &fault->q.obj;
}

/* ---- cookies; the lock held ---- */

static int cookie_alloc(struct iommufd_fault *fault, uint32_t *out)
{
	struct pending **told = fault->told;
	unsigned index, room = MAX(fault->ntold * 2, 8u);

	if (ids_alloc(&fault->cookies, &index))
		return -ENOMEM;
	if (index >= fault->ntold) {
		told = reallocarray(told, room, sizeof(struct pending *));
		if (!told) {
			ids_free(&fault->cookies, index);
			return -ENOMEM;
		}
		memset(told + fault->ntold, 0, (room - fault->ntold) * sizeof(struct pending *));
		fault->told = told;
		fault->ntold = room;
	}
	*out = index + 1;
	return 0;
}

static void cookie_free(struct iommufd_fault *fault, uint32_t cookie)
{
	fault->told[cookie - 1] = NULL;
	ids_free(&fault->cookies, cookie - 1);
}

/* ---- what is pending; the lock held ---- */

static void pending_free(struct pending *p)
{
	iommu_page_request_put(p->request);
	free(p);
}

/* It is answered, and no member's any more. Who has it in hand frees it. */
static void answer(struct iommufd_fault *fault, struct pending *p, bool success)
{
	const enum state was = p->state;

	iommu_page_request_respond(p->request, success);
	LIST_REMOVE(p, of_member);
	p->state = VOID;
	if (was == WAITING)
		TAILQ_REMOVE(&fault->waiting, p, link);
	if (was == TOLD)
		cookie_free(fault, p->cookie);
	if (was != IN_HAND)
		pending_free(p);
}

/* ---- members ---- */

static struct member *newest_locked(struct iommufd_fault *fault, const struct iommu_dev *dev, uint32_t pasid)
{
	struct member *m;

	LIST_FOREACH(m, &fault->members, link) {
		if (m->dev == dev && m->pasid == pasid)
			break;
	}
	return m;
}

static struct member *oldest_locked(struct iommufd_fault *fault, const struct iommu_dev *dev, uint32_t pasid)
{
	struct member *m, *oldest = NULL;

	LIST_FOREACH(m, &fault->members, link) {
		if (m->dev == dev && m->pasid == pasid)
			oldest = m;
	}
	return oldest;
}

int iommufd_fault_join(struct iommufd_fault *fault, struct iommufd_device *idev, uint32_t pasid)
{
	struct member *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->dev = idev->iommu;
	m->pasid = pasid;
	m->id = idev->obj.id;
	SCOPED_LOCK(&fault->q.lock);
	LIST_INSERT_HEAD(&fault->members, m, link);
	return 0;
}

static void member_end_locked(struct iommufd_fault *fault, struct member *m)
{
	struct pending *p;

	LIST_REMOVE(m, link);
	while ((p = LIST_FIRST(&m->pending)))
		answer(fault, p, false);
	iommufd_eventq_changed_locked(&fault->q);
	free(m);
}

void iommufd_fault_part(struct iommufd_fault *fault, struct iommufd_device *idev, uint32_t pasid)
{
	struct member *m;

	SCOPED_LOCK(&fault->q.lock);
	m = oldest_locked(fault, idev->iommu, pasid);
	assert(m);
	member_end_locked(fault, m);
}

void iommufd_fault_unjoin(struct iommufd_fault *fault, struct iommufd_device *idev, uint32_t pasid)
{
	SCOPED_LOCK(&fault->q.lock);
	struct member *m = newest_locked(fault, idev->iommu, pasid), *old = oldest_locked(fault, idev->iommu, pasid);
	struct pending *p;

	assert(m);
	/* What came meanwhile came by the attachment that stays. */
	while (old != m && (p = LIST_FIRST(&m->pending))) {
		LIST_REMOVE(p, of_member);
		LIST_INSERT_HEAD(&old->pending, p, of_member);
		p->member = old;
	}
	member_end_locked(fault, m);
}

/* Where nothing is attached for a PASID, what is attached without one serves it, if the hardware has it so. */
static struct member *taker_locked(struct iommufd_fault *fault, const struct iommu_page_request *r)
{
	struct member *m = newest_locked(fault, r->dev, r->pasid);

	return m || !r->has_pasid ? m : newest_locked(fault, r->dev, IOMMUFD_NO_PASID);
}

static int fault_request(void *ctx, struct iommu_page_request *r)
{
	struct iommufd_fault *fault = ctx;
	struct pending *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	SCOPED_LOCK(&fault->q.lock);
	p->member = taker_locked(fault, r);
	if (!p->member) {
		free(p);
		return -ENODEV;
	}
	p->request = iommu_page_request_get(r);
	LIST_INSERT_HEAD(&p->member->pending, p, of_member);
	TAILQ_INSERT_TAIL(&fault->waiting, p, link);
	iommufd_eventq_changed_locked(&fault->q);
	return 0;
}

const struct iommu_fault_ops iommufd_fault_ops = {
	.request = fault_request,
};

/* ---- read ---- */

static_assert(MEM_READ == IOMMU_PGFAULT_PERM_READ && MEM_WRITE == IOMMU_PGFAULT_PERM_WRITE, "told as it is");

static void compose(struct pending *p)
{
	const struct iommu_page_request *r = p->request;

	p->message = (struct iommu_hwpt_pgfault){
		.flags = IOMMU_PGFAULT_FLAGS_LAST_PAGE | (r->has_pasid ? IOMMU_PGFAULT_FLAGS_PASID_VALID : 0),
		.dev_id = p->member->id,
		.pasid = r->pasid,
		.grpid = r->group,
		.perm = r->prot,
		.addr = r->addr,
		.cookie = p->cookie,
	};
}

static ssize_t fault_take(struct iommufd_eventq *q, size_t room, void **item, const void **bytes)
{
	struct iommufd_fault *fault = fault_of(q);
	struct pending *p = TAILQ_FIRST(&fault->waiting);
	int rc;

	if (!p)
		return 0;
	if (room < sizeof(p->message))
		return -EINVAL;
	rc = cookie_alloc(fault, &p->cookie);
	if (rc)
		return rc;
	TAILQ_REMOVE(&fault->waiting, p, link);
	p->state = IN_HAND;
	compose(p);
	*item = p;
	*bytes = &p->message;
	return sizeof(p->message);
}

static void fault_put(struct iommufd_eventq *q, void *item, bool told)
{
	struct iommufd_fault *fault = fault_of(q);
	struct pending *p = item;

	if (p->state != VOID && told) {
		p->state = TOLD;
		fault->told[p->cookie - 1] = p;
		return;
	}
	cookie_free(fault, p->cookie);
	if (p->state == VOID) {
		pending_free(p);
		return;
	}
	p->state = WAITING;
	TAILQ_INSERT_HEAD(&fault->waiting, p, link);
}

static bool fault_waits(struct iommufd_eventq *q)
{
	return !TAILQ_EMPTY(&fault_of(q)->waiting);
}

static const struct iommufd_eventq_ops fault_queue_ops = {
	.take = fault_take,
	.put = fault_put,
	.waits = fault_waits,
	.answers = true,
};

static ssize_t fault_read(struct file *f, struct task *t, uva_t buf, size_t count, uint64_t pos)
{
	return count % sizeof(struct iommu_hwpt_pgfault) ? -ESPIPE : iommufd_eventq_read(f, t, buf, count, pos);
}

/* ---- write ---- */

static int respond(struct iommufd_fault *fault, const struct iommu_hwpt_page_response *r)
{
	struct pending *p;

	if (r->code != IOMMUFD_PAGE_RESP_SUCCESS && r->code != IOMMUFD_PAGE_RESP_INVALID)
		return -EINVAL;
	SCOPED_LOCK(&fault->q.lock);
	p = r->cookie && r->cookie <= fault->ntold ? fault->told[r->cookie - 1] : NULL;
	if (!p)
		return -EINVAL;
	answer(fault, p, r->code == IOMMUFD_PAGE_RESP_SUCCESS);
	return 0;
}

static ssize_t fault_write(struct file *f, struct task *t, uva_t buf, size_t count, uint64_t pos)
{
	struct iommufd_fault *fault = fault_of(iommufd_eventq_of(f));
	struct iommu_hwpt_page_response r;
	size_t done;
	int rc = 0;

	if (count % sizeof(r))
		return -ESPIPE;
	for (done = 0; done < count; done += sizeof(r)) {
		rc = task_copy_in(t, &r, buf + done, sizeof(r)) ? -EFAULT : respond(fault, &r);
		if (rc)
			break;
	}
	return done ? (ssize_t)done : rc;
}

static const struct file_ops fault_file_ops = {
	.name = "anon_inode:[iommufd-pgfault]",
	.read = fault_read,
	.write = fault_write,
	.release = iommufd_eventq_release,
};

/* ---- FAULT_QUEUE_ALLOC, and the end ---- */

int iommufd_fault_alloc_ioctl(struct ucmd *u)
{
	struct iommu_fault_alloc *a = u->cmd;
	struct iommufd_fault *fault;
	int rc;

	if (a->flags)
		return -EOPNOTSUPP;
	fault = calloc(1, sizeof(*fault));
	if (!fault)
		return -ENOMEM;
	TAILQ_INIT(&fault->waiting);
	rc = iommufd_eventq_reserve(u->ctx, IOMMUFD_FAULT, &fault_queue_ops, &fault->q);
	if (rc) {
		free(fault);
		return rc;
	}
	a->out_fault_id = fault->q.obj.id;
	rc = iommufd_eventq_install(u, &fault->q, &fault_file_ops, &a->out_fault_fd);
	if (!rc)
		iommufd_object_publish(&fault->q.obj);
	return rc;
}

/* No HWPT names it any more, so nobody is a member, and nothing is pending. */
void iommufd_fault_free(struct iommufd_object *o)
{
	struct iommufd_fault *fault = container_of(o, struct iommufd_fault, q.obj);

	assert(LIST_EMPTY(&fault->members) && TAILQ_EMPTY(&fault->waiting));
	ids_fini(&fault->cookies);
	free(fault->told);
	iommufd_eventq_fini(&fault->q);
	free(fault);
}
