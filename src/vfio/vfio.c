/* SPDX-License-Identifier: MIT */
/*
 * One machine's VFIO: its directories and the container node, which are always there, and the module
 * parameters as /sys/module shows them. Groups and devices come with vfio_register() (device.c).
 *
 * What the simulated kernel was built without is not to be seen: neither its module nor its parameter.
 */
#include "vfio/priv.h"
#include <assert.h>
#include <string.h>
#include <sys/sysmacros.h>

#define TYPE1_PARAMETERS "/sys/module/vfio_iommu_type1/parameters"
#define VFIO_PARAMETERS  "/sys/module/vfio/parameters"

static int show_bool(bool value, FILE *out)
{
	fputs(value ? "Y\n" : "N\n", out);
	return 0;
}

/* The words the kernel takes for a bool parameter; only the first one or two letters count. */
static ssize_t store_bool(atomic_bool *value, const char *buf, size_t n)
{
	bool on;

	if (strchr("yYtT1", buf[0]) && buf[0])
		on = true;
	else if (strchr("nNfF0", buf[0]) && buf[0])
		on = false;
	else if ((buf[0] == 'o' || buf[0] == 'O') && (buf[1] == 'n' || buf[1] == 'N'))
		on = true;
	else if ((buf[0] == 'o' || buf[0] == 'O') && (buf[1] == 'f' || buf[1] == 'F'))
		on = false;
	else
		return -EINVAL;
	atomic_store(value, on);
	return (ssize_t)n;
}

static ssize_t store_uint(atomic_uint *value, const char *buf, size_t n)
{
	unsigned long long x;
	char *end;

	if (buf[0] == '+')
		buf++;
	if (buf[0] < '0' || buf[0] > '9')
		return -EINVAL;
	errno = 0;
	x = strtoull(buf, &end, 0);
	if (errno == ERANGE)
		return -ERANGE;
	if (*end == '\n')
		end++;
	if (*end)
		return -EINVAL;
	if (x > UINT32_MAX)
		return -ERANGE;
	atomic_store(value, (unsigned)x);
	return (ssize_t)n;
}

static int allow_unsafe_interrupts_show(void *priv, FILE *out)
{
	struct vfio *vfio = priv;

	return show_bool(atomic_load(&vfio->allow_unsafe_interrupts), out);
}

static ssize_t allow_unsafe_interrupts_store(void *priv, struct task *t, const char *buf, size_t n)
{
	struct vfio *vfio = priv;

	return store_bool(&vfio->allow_unsafe_interrupts, buf, n);
}

static int disable_hugepages_show(void *priv, FILE *out)
{
	struct vfio *vfio = priv;

	return show_bool(atomic_load(&vfio->disable_hugepages), out);
}

static ssize_t disable_hugepages_store(void *priv, struct task *t, const char *buf, size_t n)
{
	struct vfio *vfio = priv;

	return store_bool(&vfio->disable_hugepages, buf, n);
}

static int dma_entry_limit_show(void *priv, FILE *out)
{
	struct vfio *vfio = priv;

	fprintf(out, "%u\n", atomic_load(&vfio->dma_entry_limit));
	return 0;
}

static ssize_t dma_entry_limit_store(void *priv, struct task *t, const char *buf, size_t n)
{
	struct vfio *vfio = priv;

	return store_uint(&vfio->dma_entry_limit, buf, n);
}

static int noiommu_mode_show(void *priv, FILE *out)
{
	struct vfio *vfio = priv;

	return show_bool(atomic_load(&vfio->noiommu), out);
}

/* Devices that are there already stay what they are (spec 10, 5.1). */
static ssize_t noiommu_mode_store(void *priv, struct task *t, const char *buf, size_t n)
{
	struct vfio *vfio = priv;

	return store_bool(&vfio->noiommu, buf, n);
}

static const struct attr type1_parameters[] = {
	{
		.name = "allow_unsafe_interrupts",
		.mode = 0644,
		.show = allow_unsafe_interrupts_show,
		.store = allow_unsafe_interrupts_store,
	},
	{
		.name = "disable_hugepages",
		.mode = 0644,
		.show = disable_hugepages_show,
		.store = disable_hugepages_store,
	},
	{
		.name = "dma_entry_limit",
		.mode = 0644,
		.show = dma_entry_limit_show,
		.store = dma_entry_limit_store,
	},
	ATTR_END,
};

static const struct attr vfio_parameters[] = {
	{
		.name = "enable_unsafe_noiommu_mode",
		.mode = 0644,
		.show = noiommu_mode_show,
		.store = noiommu_mode_store,
	},
	ATTR_END,
};

static void vfio_tree_fini(struct vfio *vfio)
{
	vfio_pagemap_fini(vfio);
	vfio_noiommu_fini(vfio);
	tree_remove(vfio->tree, "/dev/vfio");
	tree_remove(vfio->tree, "/sys/kernel/debug/vfio");
	tree_remove(vfio->tree, "/sys/class/vfio");
	tree_remove(vfio->tree, "/sys/class/vfio-dev");
	tree_remove(vfio->tree, "/sys/module/vfio");
	tree_remove(vfio->tree, "/sys/module/vfio_iommu_type1");
}

static int vfio_tree_init(struct vfio *vfio)
{
	static const char *const dirs[] = { "/dev/vfio", "/sys/class/vfio", "/sys/class/vfio-dev", "/sys/module/vfio" };
	int rc = 0;

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		rc = tree_dir(vfio->tree, dirs[i]);
		if (rc)
			return rc;
	}
	if (vfio_has(vfio, VFIO_WITHOUT_NOIOMMU)) {
		rc = tree_attrs(vfio->tree, VFIO_PARAMETERS, vfio_parameters, vfio);
		if (!rc)
			rc = vfio_noiommu_init(vfio);
	}
	if (!rc && vfio_has(vfio, VFIO_WITHOUT_TYPE1))
		rc = tree_attrs(vfio->tree, TYPE1_PARAMETERS, type1_parameters, vfio);
	if (!rc && vfio_has(vfio, VFIO_WITHOUT_CDEV))
		rc = tree_dir(vfio->tree, "/dev/vfio/devices");
	if (!rc && vfio_has(vfio, VFIO_WITHOUT_DEBUGFS))
		rc = tree_dir(vfio->tree, "/sys/kernel/debug/vfio");
	if (rc)
		return rc;
	return tree_chr(vfio->tree, "/dev/vfio/vfio", 0666, makedev(VFIO_CONTAINER_MAJOR, VFIO_CONTAINER_MINOR),
			vfio_container_open, vfio);
}

int vfio_create(struct tree *tree, struct mem *mem, struct iommu *iommu, struct log *log, struct event_loop *loop,
		const struct vfio_params *params, struct vfio **out)
{
	struct vfio *vfio = calloc(1, sizeof(*vfio));
	int rc;

	if (!vfio)
		return -ENOMEM;
	vfio->tree = tree;
	vfio->mem = mem;
	vfio->iommu = iommu;
	vfio->log = log;
	vfio->loop = loop;
	mutex_init(&vfio->lock, RANK_VFIO);
	mutex_init(&vfio->device_lock, RANK_VFIO_DEVICE);
	cond_init(&vfio->device_released);
	TAILQ_INIT(&vfio->groups);
	LIST_INIT(&vfio->sets);
	vfio->request_ms = VFIO_REQUEST_MS;
	atomic_init(&vfio->allow_unsafe_interrupts, params->type1_allow_unsafe_interrupts);
	atomic_init(&vfio->disable_hugepages, params->type1_disable_hugepages);
	atomic_init(&vfio->dma_entry_limit, params->type1_dma_entry_limit);
	vfio->without = params->without;
	atomic_init(&vfio->noiommu, params->enable_unsafe_noiommu_mode && vfio_has(vfio, VFIO_WITHOUT_NOIOMMU));
	if (params->enable_unsafe_noiommu_mode && !atomic_load(&vfio->noiommu))
		log_msg(log, LOG_WARN, "vfio: unknown parameter 'enable_unsafe_noiommu_mode' ignored: not built in");
	rc = vfio_tree_init(vfio);
	if (rc) {
		vfio_destroy(vfio);
		return rc;
	}
	*out = vfio;
	return 0;
}

void vfio_destroy(struct vfio *vfio)
{
	if (!vfio)
		return;
	assert(TAILQ_EMPTY(&vfio->groups) && LIST_EMPTY(&vfio->sets));
	vfio_tree_fini(vfio);
	mem_ram_destroy(vfio->mem);
	ids_fini(&vfio->minors);
	ids_fini(&vfio->indexes);
	cond_fini(&vfio->device_released);
	mutex_fini(&vfio->device_lock);
	mutex_fini(&vfio->lock);
	free(vfio);
}

bool vfio_unsafe_interrupts(struct vfio *vfio)
{
	return atomic_load(&vfio->allow_unsafe_interrupts);
}

bool vfio_noiommu_on(struct vfio *vfio)
{
	return atomic_load(&vfio->noiommu);
}

void vfio_watch_refused(struct vfio *vfio, vfio_refused_fn fn, void *ctx)
{
	vfio->refused = fn;
	vfio->refused_ctx = ctx;
}

void vfio_tell_refused(struct vfio *vfio, unsigned group_id, struct task *t, enum vfio_refusal what, int error,
		       const struct vfio_user *holder)
{
	if (vfio->refused)
		vfio->refused(vfio->refused_ctx, group_id, t, what, error, holder);
}

bool vfio_has(const struct vfio *vfio, enum vfio_without what)
{
	return !(vfio->without & what);
}

struct event_loop *vfio_loop(struct vfio *vfio)
{
	return vfio->loop;
}
