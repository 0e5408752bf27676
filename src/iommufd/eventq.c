/* SPDX-License-Identifier: MIT */
#include "iommufd/eventq.h"
#include <fcntl.h>

int iommufd_eventq_reserve(struct iommufd_ctx *ctx, enum iommufd_type type, const struct iommufd_eventq_ops *ops,
			   struct iommufd_eventq *q)
{
	int rc = iommufd_object_reserve(ctx, type, &q->obj);

	if (rc)
		return rc;
	q->ops = ops;
	mutex_init(&q->lock, RANK_IOMMUFD_EVENTS);
	file_ready_init(&q->ready, ops->answers);
	return 0;
}

void iommufd_eventq_fini(struct iommufd_eventq *q)
{
	file_ready_fini(&q->ready);
	mutex_fini(&q->lock);
}

void iommufd_eventq_abandon(struct iommufd_eventq *q)
{
	iommufd_object_abandon(&q->obj);
	iommufd_eventq_fini(q);
}

void iommufd_eventq_changed_locked(struct iommufd_eventq *q)
{
	file_ready_set(&q->ready, q->ops->waits(q));
}

static ssize_t take(struct iommufd_eventq *q, size_t room, void **item, const void **bytes)
{
	ssize_t n;

	SCOPED_LOCK(&q->lock);
	n = q->ops->take(q, room, item, bytes);
	if (n > 0)
		iommufd_eventq_changed_locked(q);
	return n;
}

static void put(struct iommufd_eventq *q, void *item, bool told)
{
	SCOPED_LOCK(&q->lock);
	q->ops->put(q, item, told);
	iommufd_eventq_changed_locked(q);
}

static ssize_t read_one(struct iommufd_eventq *q, struct task *t, uva_t buf, size_t room)
{
	const void *bytes;
	void *item;
	ssize_t n = take(q, room, &item, &bytes);
	int rc;

	if (n <= 0)
		return n;
	rc = task_copy_out(t, buf, bytes, (size_t)n);
	put(q, item, !rc);
	return rc ? rc : n;
}

ssize_t iommufd_eventq_read(struct file *f, struct task *t, uva_t buf, size_t count, uint64_t pos)
{
	struct iommufd_eventq *q = iommufd_eventq_of(f);
	size_t done = 0;
	ssize_t n;

	while ((n = read_one(q, t, buf + done, count - done)) > 0)
		done += (size_t)n;
	return done ? (ssize_t)done : n;
}

void iommufd_eventq_release(struct file *f)
{
	struct iommufd_eventq *q = iommufd_eventq_of(f);
	struct iommufd_ctx *ctx = q->obj.ctx;

	iommufd_object_unuse(&q->obj);
	iommufd_ctx_put(ctx);
}

/* Nobody will ever find it by its id. A front end that could not install the file may release it after we return. */
static void go_with_file(struct iommufd_eventq *q)
{
	SCOPED_LOCK(&q->obj.ctx->lock);
	q->obj.automatic = true;
}

/*
 * What cannot be told is not made, and a descriptor that is there cannot be taken back: so it is tried first. Who takes the
 * memory away in between has a descriptor of a queue that is nobody's.
 */
static int give(struct ucmd *u, struct file *f, uint32_t *fd)
{
	int rc = ucmd_respond(u);

	if (rc)
		return rc;
	rc = task_fd_install(u->t, f, O_RDWR | O_CLOEXEC);
	if (rc < 0)
		return rc;
	*fd = (uint32_t)rc;
	return ucmd_respond(u);
}

int iommufd_eventq_install(struct ucmd *u, struct iommufd_eventq *q, const struct file_ops *ops, uint32_t *fd)
{
	struct file *f;
	int rc;

	q->obj.users = 1;
	rc = file_create(u->t, ops, q, O_RDWR, 0600, &f);
	if (rc) {
		go_with_file(q);
		iommufd_object_unuse(&q->obj);
		return rc;
	}
	f->seek = FILE_SEEK_STREAM;
	f->ready = &q->ready;
	iommufd_ctx_get(u->ctx);
	rc = give(u, f, fd);
	if (rc)
		go_with_file(q);
	file_put(f);
	return rc;
}
