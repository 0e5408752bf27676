/* SPDX-License-Identifier: MIT */
/* Capability chains behind the INFO structures. Spec: 20, 0.3. */
#include "abi/vfio.h"
#include "vfio/vfio.h"
#include <string.h>

static struct vfio_info_cap_header *cap_at(struct vfio_caps *caps, size_t offset)
{
	return (struct vfio_info_cap_header *)((char *)caps->data + offset);
}

void *vfio_caps_add(struct vfio_caps *caps, uint16_t id, uint16_t version, size_t size)
{
	size_t at = caps->size, padded = ALIGN_UP(size, (size_t)8);
	void *data = realloc(caps->data, at + padded);

	if (!data)
		return NULL;
	caps->data = data;
	caps->size = at + padded;
	memset((char *)data + at, 0, padded);
	if (at)
		cap_at(caps, caps->last)->next = at;
	caps->last = at;
	cap_at(caps, at)->id = id;
	cap_at(caps, at)->version = version;
	return cap_at(caps, at);
}

/* Links count from the start of the structure. */
static void caps_shift(struct vfio_caps *caps, size_t offset)
{
	size_t at = 0;

	while (caps->size) {
		struct vfio_info_cap_header *h = cap_at(caps, at);

		if (!h->next)
			return;
		at = h->next;
		h->next += offset;
	}
}

int vfio_caps_copy_out(struct vfio_caps *caps, struct task *t, uva_t arg, size_t fixed, uint32_t *argsz,
		       uint32_t *cap_offset)
{
	if (!caps->size)
		return 0;
	*cap_offset = 0;
	if (*argsz < fixed + caps->size) {
		*argsz = (uint32_t)(fixed + caps->size);
		return 0;
	}
	*cap_offset = (uint32_t)fixed;
	caps_shift(caps, fixed);
	return task_copy_out(t, arg + fixed, caps->data, caps->size);
}

void vfio_caps_fini(struct vfio_caps *caps)
{
	free(caps->data);
	memset(caps, 0, sizeof(*caps));
}
