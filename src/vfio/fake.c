/* SPDX-License-Identifier: MIT */
/*
 * Groups that no IOMMU made: a device without one, or one that does no DMA, gets a group of its own, so that
 * programs find a number and a node the way they always do. Such a group has a name and nothing else: no
 * domain, no owner, no reserved regions. It is born and dies with the registration of its device.
 * Spec: 10, 3.2 and 5.2.
 */
#include "vfio/priv.h"

#define NAME "vfio-noiommu" /* also of emulated devices' */

static int name_show(void *priv, FILE *out)
{
	fprintf(out, "%s\n", iommu_group_name(priv));
	return 0;
}

static int type_show(void *priv, FILE *out)
{
	fprintf(out, "%s\n", iommu_group_type(priv));
	return 0;
}

/* There is no default domain that could be another one. */
static ssize_t type_store(void *priv, struct task *t, const char *buf, size_t n)
{
	return task_capable(t, TASK_CAP_SYS_ADMIN) && task_capable(t, TASK_CAP_SYS_RAWIO) ? -EINVAL : -EACCES;
}

static int resv_show(void *priv, FILE *out)
{
	iommu_group_resv_show(priv, out);
	return 0;
}

static const struct attr group_attrs[] = {
	{ .name = "reserved_regions", .mode = 0444, .show = resv_show },
	{ .name = "type", .mode = 0644, .show = type_show, .store = type_store },
	{ .name = "name", .mode = 0444, .show = name_show },
	ATTR_END,
};

static void tree_fini(struct vfio *vfio, struct vfio_device *v, struct iommu_group *ig)
{
	tree_removef(vfio->tree, "%s/iommu_group", v->dev->sysfs);
	tree_removef(vfio->tree, "/sys/kernel/iommu_groups/%u", iommu_group_id(ig));
}

static int tree_init(struct vfio *vfio, struct vfio_device *v, struct iommu_group *ig)
{
	char path[64];
	int rc;

	snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%u", iommu_group_id(ig));
	rc = tree_attrs(vfio->tree, path, group_attrs, ig);
	if (!rc)
		rc = tree_linkf(vfio->tree, v->dev->sysfs, "%s/devices/%s", path, v->dev->name);
	if (!rc)
		rc = tree_linkf(vfio->tree, path, "%s/iommu_group", v->dev->sysfs);
	return rc;
}

int vfio_fake_group_create(struct vfio *vfio, struct vfio_device *v, struct iommu_group **out)
{
	struct iommu_group *ig;
	int rc = iommu_group_create_fake(vfio->iommu, NAME, &ig);

	if (rc)
		return rc;
	if (v->iommu) {
		rc = iommu_dev_join(v->iommu, ig);
		if (rc)
			goto err_put;
	}
	rc = tree_init(vfio, v, ig);
	if (rc)
		goto err_tree;
	*out = ig;
	return 0;

err_tree:
	tree_fini(vfio, v, ig);
	if (v->iommu)
		iommu_dev_leave(v->iommu);
err_put:
	iommu_group_put(ig);
	return rc;
}

void vfio_fake_group_destroy(struct vfio *vfio, struct vfio_device *v, struct iommu_group *ig)
{
	tree_fini(vfio, v, ig);
	if (v->iommu)
		iommu_dev_leave(v->iommu);
	iommu_group_put(ig);
}
