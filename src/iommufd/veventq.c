/* SPDX-License-Identifier: MIT */
/*
 * Event queues: what hardware has to say to the guest of a virtual IOMMU, one queue for each type of event. Events are
 * numbered, those too that are lost because the queue was full; so a gap says that some were. When the newest is lost
 * a header alone stands at the end with its number. It is there as long as nothing comes after it.
 *
 * Spec: 30, 11.4.
 */
#include "iommufd/eventq.h"
#include <string.h>

#define DEPTH_MAX (1u << 19)

/* As it is read; all by the queue's lock. */
struct event_record {
	TAILQ_ENTRY(event_record) link;
	size_t size; /* of the data */
	struct iommufd_vevent_header header;
	unsigned char data[];
};
static_assert(offsetof(struct event_record, data) ==
	      offsetof(struct event_record, header) + sizeof(struct iommufd_vevent_header), "told in one");

struct iommufd_veventq {
	struct iommufd_eventq q;
	LIST_ENTRY(iommufd_veventq) link;     /* [viommu->lock] */
	struct iommufd_viommu *viommu;        /* [I] used */
	uint32_t type, depth;                 /* [I] */
	TAILQ_HEAD(, event_record) events;    /* [q.lock] oldest first */
	unsigned count;                       /* [q.lock] of events, and of those that a reader has in hand */
	uint32_t newest;                      /* [q.lock] number */
	bool lost;                            /* [q.lock] the newest is, and that has not been told */
};

static struct iommufd_veventq *veventq_of(struct iommufd_eventq *q)
{
	return container_of(q, struct iommufd_veventq, q);
}

static struct iommufd_veventq *find_locked(struct iommufd_viommu *viommu, uint32_t type)
{
	struct iommufd_veventq *v;

	LIST_FOREACH(v, &viommu->queues, link) {
		if (v->type == type)
			break;
	}
	return v;
}

/* ---- what comes ---- */

static uint32_t after(uint32_t number)
{
	return (number + 1) & INT32_MAX;
}

/* @e: NULL: there was no memory for it */
static void add_locked(struct iommufd_veventq *v, struct event_record *e)
{
	v->newest = after(v->newest);
	v->lost = !e || v->count == v->depth;
	if (v->lost) {
		free(e);
		return;
	}
	e->header = (struct iommufd_vevent_header){ .sequence = v->newest };
	TAILQ_INSERT_TAIL(&v->events, e, link);
	v->count++;
}

static int add(struct iommufd_veventq *v, const void *data, size_t n)
{
	struct event_record *e = malloc(sizeof(*e) + n);
	const int rc = e ? 0 : -ENOMEM;

	if (e) {
		e->size = n;
		memcpy(e->data, data, n);
	}
	SCOPED_LOCK(&v->q.lock);
	add_locked(v, e);
	iommufd_eventq_changed_locked(&v->q);
	return rc;
}

int iommufd_viommu_report(struct iommufd_viommu *viommu, uint32_t type, const void *data, size_t n)
{
	struct iommufd_veventq *v;

	SCOPED_LOCK(&viommu->lock);
	v = find_locked(viommu, type);
	return v ? add(v, data, n) : -EOPNOTSUPP;
}

/* ---- what is read ---- */

/* The header that stands at the end, made when it is read. */
static struct event_record *loss_locked(struct iommufd_veventq *v)
{
	struct event_record *e = calloc(1, sizeof(*e));

	if (e)
		e->header = (struct iommufd_vevent_header){ .flags = IOMMU_VEVENTQ_FLAG_LOST_EVENTS,
							    .sequence = v->newest };
	return e;
}

static size_t told_size(const struct event_record *e)
{
	return sizeof(e->header) + e->size;
}

static ssize_t veventq_take(struct iommufd_eventq *q, size_t room, void **item, const void **bytes)
{
	struct iommufd_veventq *v = veventq_of(q);
	struct event_record *e = TAILQ_FIRST(&v->events);

	if (!e && !v->lost)
		return 0;
	if (room < (e ? told_size(e) : sizeof(e->header)))
		return -EINVAL;
	if (e) {
		TAILQ_REMOVE(&v->events, e, link);
	} else {
		e = loss_locked(v);
		if (!e)
			return -ENOMEM;
		v->lost = false;
	}
	*item = e;
	*bytes = &e->header;
	return (ssize_t)told_size(e);
}

static void veventq_put(struct iommufd_eventq *q, void *item, bool told)
{
	struct iommufd_veventq *v = veventq_of(q);
	struct event_record *e = item;
	const bool loss = e->header.flags & IOMMU_VEVENTQ_FLAG_LOST_EVENTS;

	if (!told && !loss) {
		TAILQ_INSERT_HEAD(&v->events, e, link);
		return;
	}
	/* What came meanwhile tells of the loss as well. */
	if (!told && e->header.sequence == v->newest)
		v->lost = true;
	if (!loss)
		v->count--;
	free(e);
}

static bool veventq_waits(struct iommufd_eventq *q)
{
	struct iommufd_veventq *v = veventq_of(q);

	return v->lost || !TAILQ_EMPTY(&v->events);
}

static const struct iommufd_eventq_ops veventq_ops = {
	.take = veventq_take,
	.put = veventq_put,
	.waits = veventq_waits,
};

static ssize_t veventq_read(struct file *f, struct task *t, uva_t buf, size_t count, uint64_t pos)
{
	return count < sizeof(struct iommufd_vevent_header) ? -EINVAL : iommufd_eventq_read(f, t, buf, count, pos);
}

static const struct file_ops veventq_file_ops = {
	.name = "anon_inode:[iommufd-viommu-event]",
	.read = veventq_read,
	.release = iommufd_eventq_release,
};

/* ---- VEVENTQ_ALLOC, and the end ---- */

static int link_to(struct iommufd_veventq *v, struct iommufd_viommu *viommu)
{
	SCOPED_LOCK(&viommu->lock);
	if (find_locked(viommu, v->type))
		return -EEXIST;
	v->viommu = viommu;
	LIST_INSERT_HEAD(&viommu->queues, v, link);
	iommufd_object_use(&viommu->obj);
	return 0;
}

/* Reserved, and known to the virtual IOMMU. */
static int create(struct ucmd *u, struct iommufd_viommu *viommu, struct iommufd_veventq **out)
{
	const struct iommu_veventq_alloc *a = u->cmd;
	struct iommufd_veventq *v = calloc(1, sizeof(*v));
	int rc;

	if (!v)
		return -ENOMEM;
	TAILQ_INIT(&v->events);
	v->type = a->type;
	v->depth = a->veventq_depth;
	v->newest = INT32_MAX; /* so the first is 0 */
	rc = iommufd_eventq_reserve(u->ctx, IOMMUFD_VEVENTQ, &veventq_ops, &v->q);
	if (rc)
		goto err_free;
	rc = link_to(v, viommu);
	if (rc)
		goto err_abandon;
	*out = v;
	return 0;

err_abandon:
	iommufd_eventq_abandon(&v->q);
err_free:
	free(v);
	return rc;
}

static int alloc(struct ucmd *u, struct iommufd_viommu *viommu)
{
	struct iommu_veventq_alloc *a = u->cmd;
	struct iommufd_veventq *v;
	int rc = create(u, viommu, &v);

	if (rc)
		return rc;
	a->out_veventq_id = v->q.obj.id;
	rc = iommufd_eventq_install(u, &v->q, &veventq_file_ops, &a->out_veventq_fd);
	if (!rc)
		iommufd_object_publish(&v->q.obj);
	return rc;
}

int iommufd_veventq_alloc_ioctl(struct ucmd *u)
{
	const struct iommu_veventq_alloc *a = u->cmd;
	struct iommufd_viommu *viommu;
	int rc;

	if (a->flags || a->__reserved || !a->type)
		return -EOPNOTSUPP;
	if (!a->veventq_depth || a->veventq_depth > DEPTH_MAX)
		return -EINVAL;
	viommu = iommufd_viommu_visit(u->ctx, a->viommu_id);
	if (!viommu)
		return -ENOENT;
	rc = alloc(u, viommu);
	iommufd_object_leave(&viommu->obj);
	return rc;
}

void iommufd_veventq_free(struct iommufd_object *o)
{
	struct iommufd_veventq *v = container_of(o, struct iommufd_veventq, q.obj);
	struct event_record *e;

	mutex_lock(&v->viommu->lock);
	LIST_REMOVE(v, link);
	mutex_unlock(&v->viommu->lock);
	iommufd_object_unuse(&v->viommu->obj);
	while ((e = TAILQ_FIRST(&v->events))) {
		TAILQ_REMOVE(&v->events, e, link);
		free(e);
	}
	iommufd_eventq_fini(&v->q);
	free(v);
}
