/* SPDX-License-Identifier: MIT */
/*
 * Program images: one per exec, shared by the forks of a process. An image owns the area of thunks its stub runs,
 * a file that all of them have mapped; which image a process runs is read off that mapping, so a child whose
 * parent is long gone still finds it. It lives while a known process uses it or anybody has it mapped.
 */
#include "front/supervisor/priv.h"
#include <unistd.h>

#define SLOTS 8192

static void image_free(struct super_image *im)
{
	mmio_thunks_destroy(im->thunks);
	free(im);
}

/* Unlink images nobody can ask for any more; they are freed unlocked. */
static struct super_image *idle_image_locked(struct super *s)
{
	struct super_image *im;

	LIST_FOREACH(im, &s->images, link) {
		if (im->users == 0 && !super_held(mmio_thunks_fd(im->thunks), 0)) {
			LIST_REMOVE(im, link);
			return im;
		}
	}
	return NULL;
}

static void images_prune(struct super *s)
{
	struct super_image *im;

	do {
		mutex_lock(&s->procs_lock);
		im = idle_image_locked(s);
		mutex_unlock(&s->procs_lock);
		if (im)
			image_free(im);
	} while (im);
}

struct super_image *super_image_create(struct super *s)
{
	struct super_image *im = calloc(1, sizeof(*im));
	struct stat st;

	images_prune(s);
	if (!im)
		return NULL;
	if (mmio_thunks_create(SLOTS, &im->thunks) != 0) {
		free(im);
		return NULL;
	}
	if (fstat(mmio_thunks_fd(im->thunks), &st) < 0) {
		image_free(im);
		return NULL;
	}
	im->dev = st.st_dev;
	im->ino = st.st_ino;
	im->users = 1;
	SCOPED_LOCK(&s->procs_lock);
	LIST_INSERT_HEAD(&s->images, im, link);
	return im;
}

struct super_image *super_image_of(struct super *s, struct super_mm *mm)
{
	struct super_image *im;
	struct super_vma v;

	if (super_mm_vma(mm, STUB_THUNKS, &v) != 0)
		return NULL;
	SCOPED_LOCK(&s->procs_lock);
	LIST_FOREACH(im, &s->images, link) {
		if (im->ino == v.ino && im->dev == v.dev) {
			im->users++;
			return im;
		}
	}
	return NULL;
}

void super_image_put(struct super *s, struct super_image *im)
{
	mutex_lock(&s->procs_lock);
	im->users--;
	mutex_unlock(&s->procs_lock);
}

void super_images_fini(struct super *s)
{
	struct super_image *im;

	while ((im = LIST_FIRST(&s->images))) {
		LIST_REMOVE(im, link);
		image_free(im);
	}
}
