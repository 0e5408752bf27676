/* SPDX-License-Identifier: MIT */
/*
 * Objects by id: the lowest free one from 1 on. An id is reserved while its object is being made, and can be looked up
 * once it is published, when nothing can fail any more; it is free again as soon as the object cannot be found.
 *
 * Spec: 30, section 2.
 */
#include "iommufd/priv.h"
#include <assert.h>
#include <string.h>

static void (*const free_of[])(struct iommufd_object *) = {
	[IOMMUFD_IOAS] = iommufd_ioas_free,
	[IOMMUFD_HWPT] = iommufd_hwpt_free,
	[IOMMUFD_DEVICE] = iommufd_device_free,
	[IOMMUFD_ACCESS] = iommufd_access_free,
	[IOMMUFD_FAULT] = iommufd_fault_free,
	[IOMMUFD_NESTED] = iommufd_hwpt_free,
	[IOMMUFD_VIOMMU] = iommufd_viommu_free,
	[IOMMUFD_VDEVICE] = iommufd_vdevice_free,
	[IOMMUFD_VEVENTQ] = iommufd_veventq_free,
	[IOMMUFD_HW_QUEUE] = iommufd_hw_queue_free,
	[IOMMUFD_SELFTEST] = iommufd_selftest_free,
};

static int room_locked(struct iommufd_ctx *ctx, unsigned index)
{
	unsigned n = MAX(ctx->nobjects * 2, 8u);
	struct iommufd_object **o;

	if (index < ctx->nobjects)
		return 0;
	o = reallocarray(ctx->objects, n, sizeof(struct iommufd_object *));
	if (!o)
		return -ENOMEM;
	memset(o + ctx->nobjects, 0, (n - ctx->nobjects) * sizeof(struct iommufd_object *));
	ctx->objects = o;
	ctx->nobjects = n;
	return 0;
}

int iommufd_object_reserve(struct iommufd_ctx *ctx, enum iommufd_type type, struct iommufd_object *o)
{
	unsigned index;
	int rc;

	SCOPED_LOCK(&ctx->lock);
	rc = ids_alloc(&ctx->ids, &index);
	if (rc)
		return rc;
	rc = room_locked(ctx, index);
	if (rc) {
		ids_free(&ctx->ids, index);
		return rc;
	}
	ctx->used++;
	o->ctx = ctx;
	o->id = index + 1;
	o->type = type;
	return 0;
}

static void id_free_locked(struct iommufd_object *o)
{
	struct iommufd_ctx *ctx = o->ctx;

	ctx->objects[o->id - 1] = NULL;
	ids_free(&ctx->ids, o->id - 1);
	ctx->used--;
	if (ctx->compat == o)
		ctx->compat = NULL;
}

void iommufd_object_publish(struct iommufd_object *o)
{
	SCOPED_LOCK(&o->ctx->lock);
	o->ctx->objects[o->id - 1] = o;
}

void iommufd_object_abandon(struct iommufd_object *o)
{
	SCOPED_LOCK(&o->ctx->lock);
	id_free_locked(o);
}

static struct iommufd_object *find_locked(struct iommufd_ctx *ctx, uint32_t id, enum iommufd_type type)
{
	struct iommufd_object *o = id > 0 && id <= ctx->nobjects ? ctx->objects[id - 1] : NULL;

	return o && (type == IOMMUFD_ANY || o->type == type) ? o : NULL;
}

struct iommufd_object *iommufd_object_visit(struct iommufd_ctx *ctx, uint32_t id, enum iommufd_type type)
{
	struct iommufd_object *o;

	SCOPED_LOCK(&ctx->lock);
	o = find_locked(ctx, id, type);
	if (o)
		o->visitors++;
	return o;
}

bool iommufd_object_published(struct iommufd_object *o)
{
	SCOPED_LOCK(&o->ctx->lock);
	return o->ctx->objects[o->id - 1] == o;
}

bool iommufd_object_revisit(struct iommufd_object *o)
{
	SCOPED_LOCK(&o->ctx->lock);
	if (o->ctx->objects[o->id - 1] != o)
		return false;
	o->visitors++;
	return true;
}

/* One less in @count. An automatic object that nobody has any more goes. */
static void drop(struct iommufd_object *o, unsigned *count)
{
	struct iommufd_ctx *ctx = o->ctx;
	bool last;

	mutex_lock(&ctx->lock);
	assert(*count);
	--*count;
	last = o->automatic && o->users == 0 && o->visitors == 0;
	if (last)
		id_free_locked(o);
	if (o->visitors == 0)
		cond_broadcast(&ctx->left);
	mutex_unlock(&ctx->lock);
	if (last)
		free_of[o->type](o);
}

void iommufd_object_leave(struct iommufd_object *o)
{
	drop(o, &o->visitors);
}

void iommufd_object_use(struct iommufd_object *o)
{
	SCOPED_LOCK(&o->ctx->lock);
	o->users++;
}

void iommufd_object_unuse(struct iommufd_object *o)
{
	drop(o, &o->users);
}

/* Nobody finds it any more, and nobody is still looking at it. */
static void hide_locked(struct iommufd_object *o)
{
	o->ctx->objects[o->id - 1] = NULL;
	while (o->visitors)
		cond_wait(&o->ctx->left, &o->ctx->lock);
}

void iommufd_object_withdraw(struct iommufd_object *o)
{
	SCOPED_LOCK(&o->ctx->lock);
	hide_locked(o);
	id_free_locked(o);
}

void iommufd_object_entomb(struct iommufd_object *o)
{
	SCOPED_LOCK(&o->ctx->lock);
	hide_locked(o);
	o->ctx->tombs++;
}

int iommufd_destroy_ioctl(struct ucmd *u)
{
	const struct iommu_destroy *a = u->cmd;
	const bool mapped = iommufd_region_busy(u->ctx, a->id);
	struct iommufd_object *o;

	mutex_lock(&u->ctx->lock);
	o = find_locked(u->ctx, a->id, IOMMUFD_ANY);
	if (!o || o->users || o->visitors || mapped) {
		mutex_unlock(&u->ctx->lock);
		return o ? -EBUSY : -ENOENT;
	}
	id_free_locked(o);
	mutex_unlock(&u->ctx->lock);
	free_of[o->type](o);
	return 0;
}

/* An object that nobody uses; freeing it may end the use of others. */
static struct iommufd_object *take_unused(struct iommufd_ctx *ctx, unsigned *from)
{
	SCOPED_LOCK(&ctx->lock);
	for (; *from < ctx->nobjects; ++*from) {
		struct iommufd_object *o = ctx->objects[*from];

		if (o && !o->users) {
			id_free_locked(o);
			return o;
		}
	}
	return NULL;
}

void iommufd_objects_destroy_all(struct iommufd_ctx *ctx)
{
	while (ctx->used > ctx->tombs) {
		struct iommufd_object *o;
		unsigned from = 0, before = ctx->used;

		while ((o = take_unused(ctx, &from)))
			free_of[o->type](o);
		assert(ctx->used < before); /* references have no cycles */
		(void)before;
	}
	free(ctx->objects);
	ids_fini(&ctx->ids);
}
