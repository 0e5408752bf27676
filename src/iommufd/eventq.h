/* SPDX-License-Identifier: MIT */
/* What queues of faults and queues of events have in common: an object, and the one file that programs read it by. */
#ifndef UVFIO_IOMMUFD_EVENTQ_H
#define UVFIO_IOMMUFD_EVENTQ_H

#include "iommufd/priv.h"

struct iommufd_eventq;

/* What waits, one after another. All are called with the queue's lock held. */
struct iommufd_eventq_ops {
	/*
	 * Take the first out, to be told. Return: its bytes, at *@bytes until it is put; 0 there is none; -EINVAL it is more
	 * than @room; -ENOMEM
	 */
	ssize_t (*take)(struct iommufd_eventq *q, size_t room, void **item, const void **bytes);
	/* It is in the program's hands (@told), or goes back to be the first. */
	void (*put)(struct iommufd_eventq *q, void *item, bool told);
	bool (*waits)(struct iommufd_eventq *q); /* is there one to take? */
	bool answers; /* the program writes to it, too */
};

/* Embedded in either. */
struct iommufd_eventq {
	struct iommufd_object obj; /* used by the open file */
	const struct iommufd_eventq_ops *ops; /* [I] */
	struct mutex lock;         /* RANK_IOMMUFD_EVENTS: of all that waits */
	struct file_ready ready;
};

/** iommufd_eventq_reserve - as iommufd_object_reserve() */
int iommufd_eventq_reserve(struct iommufd_ctx *ctx, enum iommufd_type type, const struct iommufd_eventq_ops *ops,
			   struct iommufd_eventq *q);
/** iommufd_eventq_abandon - what was reserved is not made */
void iommufd_eventq_abandon(struct iommufd_eventq *q);
/** iommufd_eventq_changed_locked - what waits has changed, other than by take() and put() */
void iommufd_eventq_changed_locked(struct iommufd_eventq *q) REQUIRES(&q->lock);
/** iommufd_eventq_fini - the object is gone, and its file */
void iommufd_eventq_fini(struct iommufd_eventq *q);
/**
 * iommufd_eventq_install - give the caller a descriptor of the queue, and the answer to @u
 * @ops: with the two functions below. @fd: where the answer has it
 * Return: 0; -EFAULT the answer cannot be written; -EMFILE and the like. On failure the queue is not the caller's any
 * more: it goes with the file
 */
int iommufd_eventq_install(struct ucmd *u, struct iommufd_eventq *q, const struct file_ops *ops, uint32_t *fd);
static inline struct iommufd_eventq *iommufd_eventq_of(const struct file *f)
{
	return f->priv;
}
/** iommufd_eventq_read - whole messages, as many as fit; -EINVAL: not even the first. No lock is held over copies */
ssize_t iommufd_eventq_read(struct file *f, struct task *t, uva_t buf, size_t count, uint64_t pos);
void iommufd_eventq_release(struct file *f);

#endif
