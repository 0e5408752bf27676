/* SPDX-License-Identifier: MIT */
/*
 * The host driver "vfio-pci": what it binds to, its parameters under /sys/module, and the table of operations
 * behind each device file.
 *
 * It binds only to a device that asks for it by driver_override, or by an id of new_id or of the ids=
 * parameter. Binding does not count as a use of the group's DMA: programs claim it when they open.
 */
#include "vfio/pci/priv.h"
#include <ctype.h>
#include <search.h>
#include <stdio.h>
#include <string.h>

#define MODULE      "/sys/module/vfio_pci"
#define MODULE_CORE "/sys/module/vfio_pci_core"
/* driverctl looks for the driver's name, dash and all, and would call modprobe, which can load nothing here. */
#define MODULE_DASH "/sys/module/vfio-pci"

/* ---- module parameters ---- */

/* The words the kernel takes for a bool. */
static int parse_bool(const char *s, bool *out)
{
	if (s[0] && strchr("yYtT1", s[0]))
		*out = true;
	else if (s[0] && strchr("nNfF0", s[0]))
		*out = false;
	else if (strncasecmp(s, "on", 2) == 0)
		*out = true;
	else if (strncasecmp(s, "of", 2) == 0)
		*out = false;
	else
		return -EINVAL;
	return 0;
}

static int param_show(bool value, FILE *out)
{
	return fputs(value ? "Y\n" : "N\n", out) < 0 ? -EIO : 0;
}

static ssize_t param_store(atomic_bool *param, const char *buf, size_t n)
{
	bool value;
	int rc = parse_bool(buf, &value);

	if (rc)
		return rc;
	atomic_store(param, value);
	return (ssize_t)n;
}

#define PARAM_RO(name)                                          \
	static int name##_show(void *priv, FILE *out)           \
	{                                                       \
		return param_show(((struct vfio_pci *)priv)->name, out); \
	}
#define PARAM_RW(name)                                                                            \
	PARAM_RO(name)                                                                            \
	static ssize_t name##_store(void *priv, struct task *t, const char *buf, size_t n)        \
	{                                                                                         \
		return param_store(&((struct vfio_pci *)priv)->name, buf, n);                     \
	}

PARAM_RW(nointxmask)
PARAM_RW(disable_idle_d3)
PARAM_RW(enable_sriov)
PARAM_RO(disable_denylist)
PARAM_RO(disable_vga)

/* `ids` cannot be read, as on Linux. */
static const struct attr parameters[] = {
	{ .name = "nointxmask", .mode = 0644, .show = nointxmask_show, .store = nointxmask_store },
	{ .name = "disable_idle_d3", .mode = 0644, .show = disable_idle_d3_show, .store = disable_idle_d3_store },
	{ .name = "enable_sriov", .mode = 0644, .show = enable_sriov_show, .store = enable_sriov_store },
	{ .name = "disable_denylist", .mode = 0444, .show = disable_denylist_show },
	{ .name = "disable_vga", .mode = 0444, .show = disable_vga_show },
	ATTR_END,
};

/* What a device has of them, in debugfs. */
static int latched_idle_show(void *priv, FILE *out)
{
	return param_show(vfio_pci_device_of(priv)->disable_idle_d3, out);
}

static int latched_nointxmask_show(void *priv, FILE *out)
{
	return param_show(vfio_pci_device_of(priv)->nointxmask, out);
}

static const struct attr latched[] = {
	{ .name = "disable_idle_d3", .mode = 0444, .show = latched_idle_show },
	{ .name = "nointxmask", .mode = 0444, .show = latched_nointxmask_show },
	ATTR_END,
};

static struct drv *plain_drv(struct vfio_pci *vp)
{
	return &vp->driver[0].drv;
}

/* The ids= parameter: each is added as by new_id; bad ones are skipped (spec 20, 1.1). */
static void ids_add(struct vfio_pci *vp, const char *ids)
{
	AUTO_FREE char *copy = strdup(ids);
	char *save = NULL;

	if (!copy)
		return;
	for (char *id = strtok_r(copy, ",", &save); id; id = strtok_r(NULL, ",", &save)) {
		unsigned vendor, device, subvendor = DRV_ANY_ID, subdevice = DRV_ANY_ID, class = 0, mask = 0;
		int n = sscanf(id, "%x:%x:%x:%x:%x:%x", &vendor, &device, &subvendor, &subdevice, &class, &mask);
		char line[80];
		int rc;

		if (n < 2) {
			log_msg(vp->log, LOG_WARN, "vfio_pci: invalid id string \"%s\"", id);
			continue;
		}
		snprintf(line, sizeof(line), "%x %x %x %x %x %x", vendor, device, subvendor, subdevice, class, mask);
		rc = drv_new_id(plain_drv(vp), line);
		if (rc)
			log_msg(vp->log, LOG_WARN, "vfio_pci: failed to add dynamic id %s (%d)", id, rc);
		else
			log_msg(vp->log, LOG_INFO, "vfio_pci: add %s", id);
	}
}

/* ---- sets ---- */

static int set_compare(const void *a, const void *b)
{
	uintptr_t x = (uintptr_t)((const struct vfio_pci_set *)a)->key;
	uintptr_t y = (uintptr_t)((const struct vfio_pci_set *)b)->key;

	return x < y ? -1 : x > y;
}

/* What shares a bus shares its reset. On a root bus nothing does, and a virtual function never counts (spec 20, 1.1). */
static int set_join(struct vfio_pci_device *v)
{
	struct vfio_pci *vp = v->vp;
	const bool alone = v->pdev->physfn || !pci_bus_bridge(v->pdev->bus);
	const void *key = alone ? (const void *)v : v->pdev->bus;
	struct vfio_pci_set *fresh = calloc(1, sizeof(*fresh)), **found;

	if (!fresh)
		return -ENOMEM;
	fresh->key = key;
	TAILQ_INIT(&fresh->members);
	SCOPED_LOCK(&vp->lock);
	found = tsearch(fresh, &vp->sets, set_compare);
	if (!found) {
		free(fresh);
		return -ENOMEM;
	}
	if (*found != fresh)
		free(fresh);
	v->set = *found;
	v->vdev.set_key = key;
	TAILQ_INSERT_TAIL(&v->set->members, v, link);
	return 0;
}

static void set_leave(struct vfio_pci_device *v)
{
	struct vfio_pci *vp = v->vp;

	SCOPED_LOCK(&vp->lock);
	TAILQ_REMOVE(&v->set->members, v, link);
	if (TAILQ_EMPTY(&v->set->members)) {
		tdelete(v->set, &vp->sets, set_compare);
		free(v->set);
	}
	v->set = NULL;
}

/* ---- the device file ---- */

/* "vf_token=" and a UUID: bytes taken, or -EINVAL */
static int read_option(const char *text, uint8_t token[VFIO_PCI_TOKEN])
{
	static const char key[] = "vf_token=";
	const char *p = text + sizeof(key) - 1;

	if (strncmp(text, key, sizeof(key) - 1) != 0)
		return -EINVAL;
	for (unsigned i = 0; i < VFIO_PCI_TOKEN; i++, p += 2) {
		if ((i == 4 || i == 6 || i == 8 || i == 10) && *p++ != '-')
			return -EINVAL;
		if (!isxdigit((unsigned char)p[0]) || !isxdigit((unsigned char)p[1]))
			return -EINVAL;
		sscanf(p, "%2hhx", &token[i]);
	}
	return (int)(p - text);
}

/* "0000:01:00.0", then options. The one there is is a token, once. */
static int device_match(struct vfio_device *vdev, const char *text)
{
	struct vfio_pci_device *v = vfio_pci_device_of(vdev);
	const char *name = v->pdev->dev.name;
	uint8_t token[VFIO_PCI_TOKEN];
	bool given = false;
	int rc;

	if (strncmp(text, name, strlen(name)) != 0)
		return 0;
	text += strlen(name);
	if (*text && *text != ' ')
		return 0;
	while (*text) {
		int n = *text == ' ' ? 1 : given ? -EINVAL : read_option(text, token);

		if (n < 0)
			return n;
		given |= *text != ' ';
		text += n;
	}
	rc = vfio_pci_token_check(v, given ? token : NULL);
	return rc ? rc : 1;
}

static int device_token(struct vfio_device *vdev, const uint8_t *uuid)
{
	return vfio_pci_token_check(vfio_pci_device_of(vdev), uuid);
}

static long device_reset(struct vfio_pci_device *v, struct task *t, uva_t arg)
{
	return vfio_pci_function_reset(v);
}

static const struct {
	unsigned cmd;
	long (*fn)(struct vfio_pci_device *v, struct task *t, uva_t arg);
} device_ioctls[] = {
	{ VFIO_DEVICE_GET_INFO, vfio_pci_get_info },
	{ VFIO_DEVICE_GET_REGION_INFO, vfio_pci_get_region_info },
	{ VFIO_DEVICE_GET_IRQ_INFO, vfio_pci_get_irq_info },
	{ VFIO_DEVICE_SET_IRQS, vfio_pci_set_irqs },
	{ VFIO_DEVICE_RESET, device_reset },
	{ VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, vfio_pci_hot_reset_info },
	{ VFIO_DEVICE_PCI_HOT_RESET, vfio_pci_hot_reset },
	{ VFIO_DEVICE_IOEVENTFD, vfio_pci_ioeventfd_ioctl },
};

static long device_ioctl(struct vfio_device *vdev, struct task *t, unsigned cmd, uint64_t arg)
{
	struct vfio_pci_device *v = vfio_pci_device_of(vdev);

	for (size_t i = 0; i < ARRAY_SIZE(device_ioctls); i++) {
		long rc;

		if (device_ioctls[i].cmd != cmd)
			continue;
		vfio_pci_call_begin(v);
		rc = device_ioctls[i].fn(v, t, arg);
		vfio_pci_call_end(v);
		return rc;
	}
	return -ENOTTY;
}

static const struct vfio_device_ops vfio_pci_device_ops = {
	.name = "vfio-pci",
	.debug_dir = "pci",
	.debug = latched,
	.open = vfio_pci_device_open,
	.close = vfio_pci_device_close,
	.match = device_match,
	.token = device_token,
	.ioctl = device_ioctl,
	.read = vfio_pci_device_read,
	.write = vfio_pci_device_write,
	.mmap = vfio_pci_device_mmap,
	.page = vfio_pci_device_page,
	.mmio = vfio_pci_device_mmio,
	.mirror = vfio_pci_device_mirror,
	.dma_target = vfio_pci_device_dma_target,
	.feature = vfio_pci_device_feature,
	.request = vfio_pci_device_request,
};

/* ---- probe and remove ---- */

/* QAT, DSA and IAX: devices that a program could use to hurt the host (spec 20, 1.1). */
static bool is_denied(const struct pci_dev *d)
{
	static const uint16_t ids[] = { 0x19e2, 0x19e3, 0x37c8, 0x37c9, 0x0435, 0x0443, 0x0b25, 0x0cfe };

	for (size_t i = 0; i < ARRAY_SIZE(ids) && d->vendor == 0x8086; i++) {
		if (d->device == ids[i])
			return true;
	}
	return false;
}

bool vfio_pci_denied(struct vfio_pci *vp, const struct pci_dev *d)
{
	return is_denied(d) && !vp->disable_denylist;
}

static struct vfio_pci_device *device_create(const struct vfio_pci_driver *driver, struct pci_dev *d)
{
	struct vfio_pci_device *v = calloc(1, sizeof(*v));
	struct vfio_pci *vp = driver->vp;

	if (!v)
		return NULL;
	v->vp = vp;
	v->variant = driver->variant;
	v->pdev = d;
	v->vdev.ops = &vfio_pci_device_ops;
	v->vdev.dev = &d->dev;
	v->vdev.iommu = d->iommu;
	v->nointxmask = vp->nointxmask;
	v->disable_idle_d3 = vp->disable_idle_d3;
	v->irq_type = VFIO_PCI_NO_IRQ;
	rwlock_init(&v->memory_lock, RANK_MEMORY);
	mutex_init(&v->config_lock, RANK_CONFIG);
	mutex_init(&v->igate, RANK_IRQ);
	mutex_init(&v->trigger_lock, RANK_IRQ_TRIGGER);
	mutex_init(&v->ioeventfd_lock, RANK_IOEVENTFD);
	LIST_INIT(&v->ioeventfds);
	LIST_INIT(&v->dmabufs);
	vfio_pci_sriov_init(v);
	return v;
}

static void device_destroy(struct vfio_pci_device *v)
{
	vfio_pci_sriov_fini(v);
	mutex_fini(&v->ioeventfd_lock);
	mutex_fini(&v->trigger_lock);
	mutex_fini(&v->igate);
	mutex_fini(&v->config_lock);
	rwlock_fini(&v->memory_lock);
	free(v);
}

static int driver_probe(struct drv *drv, struct dev *dev)
{
	struct vfio_pci_driver *driver = container_of(drv, struct vfio_pci_driver, drv);
	struct vfio_pci *vp = driver->vp;
	struct pci_dev *d = pci_dev_of(dev);
	struct vfio_pci_device *v;
	int rc;

	if (vfio_pci_denied(vp, d)) {
		log_msg(vp->log, LOG_WARN, "%s: on the denylist of vfio-pci; disable_denylist=1 allows it", dev->name);
		return -EINVAL;
	}
	if (d->bridge)
		return -EINVAL;
	if (pci_vfs(d))
		return -EBUSY;
	v = device_create(driver, d);
	if (!v)
		return -ENOMEM;
	rc = set_join(v);
	if (rc)
		goto err_destroy;
	dev->driver_data = v;
	rc = vfio_register(vp->vfio, &v->vdev);
	if (rc)
		goto err_leave;
	return 0;

err_leave:
	dev->driver_data = NULL;
	set_leave(v);
err_destroy:
	device_destroy(v);
	return rc;
}

static void driver_remove(struct drv *drv, struct dev *dev)
{
	struct vfio_pci_device *v = dev->driver_data;

	vfio_pci_split(v, 0);
	vfio_unregister(&v->vdev);
	dev->driver_data = NULL;
	set_leave(v);
	device_destroy(v);
}

static int driver_split(struct drv *drv, struct dev *dev, unsigned n)
{
	const struct vfio_pci *vp = container_of(drv, struct vfio_pci_driver, drv)->vp;

	return vp->enable_sriov ? vfio_pci_split(dev->driver_data, n) : -ENOENT;
}

static const struct drv_ops driver_ops = {
	.probe = driver_probe,
	.remove = driver_remove,
	.split = driver_split,
};

static const struct drv_id driver_ids[] = {
	{
		.vendor = DRV_ANY_ID, .device = DRV_ANY_ID, .subvendor = DRV_ANY_ID, .subdevice = DRV_ANY_ID,
		.override_only = true,
	},
	{ .vendor = 0 },
};

bool vfio_pci_is(const struct drv *drv)
{
	return drv->ops == &driver_ops;
}

/* ---- the drivers ---- */

static const struct vfio_pci_variant plain = {
	.name = "vfio-pci", .what = "gives the function to a program", .ids = driver_ids,
};

/* vfio-pci first: whoever looks for "a driver of vfio" wants that one. */
static const struct vfio_pci_variant *const variants[] = { &plain, &vfio_pci_pcitest };
static_assert(ARRAY_SIZE(variants) == VFIO_PCI_DRIVERS, "a slot for each");

/* "/sys/module/vfio_pci" */
static void module_path(const struct vfio_pci_variant *variant, char path[64])
{
	int n = snprintf(path, 64, "/sys/module/%s", variant->name);

	for (int i = 0; i < n; i++)
		path[i] = path[i] == '-' ? '_' : path[i];
}

/* The driver's directory goes with the driver, and the link of it. */
static int driver_links(struct tree *tree, const struct vfio_pci_variant *variant)
{
	char module[64], link[128], dir[96];
	int rc;

	module_path(variant, module);
	snprintf(dir, sizeof(dir), "%s/drivers", module);
	snprintf(link, sizeof(link), "%s/pci:%s", dir, variant->name);
	rc = tree_dir(tree, dir);
	snprintf(dir, sizeof(dir), "/sys/bus/pci/drivers/%s", variant->name);
	if (!rc)
		rc = tree_link(tree, link, dir);
	snprintf(link, sizeof(link), "%s/module", dir);
	return rc ? rc : tree_link(tree, link, module);
}

static int driver_register(struct vfio_pci *vp, struct vfio_pci_driver *d, const struct vfio_pci_variant *variant)
{
	int rc;

	*d = (struct vfio_pci_driver){ .vp = vp, .variant = variant };
	d->drv = (struct drv){
		.name = variant->name, .ops = &driver_ops, .ids = variant->ids, .managed = true, .what = variant->what,
	};
	rc = drv_register(vp->bus, &d->drv);
	if (rc)
		return rc;
	d->registered = true;
	return driver_links(bus_tree(vp->bus), variant);
}

static void driver_unregister(struct vfio_pci_driver *d)
{
	char module[64];

	if (!d->registered)
		return;
	module_path(d->variant, module);
	tree_remove(bus_tree(d->vp->bus), module);
	drv_unregister(&d->drv);
}

/* ---- life ---- */

static int module_tree_init(struct vfio_pci *vp)
{
	struct tree *tree = bus_tree(vp->bus);
	int rc = tree_dir(tree, MODULE_CORE);

	if (!rc)
		rc = tree_dir(tree, MODULE_DASH);
	return rc ? rc : tree_attrs(tree, MODULE "/parameters", parameters, vp);
}

int vfio_pci_create(struct vfio *vfio, struct pci *pci, struct bus *bus, const struct vfio_pci_params *params,
		    struct vfio_pci **out)
{
	struct vfio_pci *vp = calloc(1, sizeof(*vp));
	int rc;

	if (!vp)
		return -ENOMEM;
	vp->vfio = vfio;
	vp->pci = pci;
	vp->bus = bus;
	vp->log = bus_log(bus);
	vp->loop = vfio_loop(vfio);
	atomic_init(&vp->nointxmask, params->nointxmask);
	atomic_init(&vp->disable_idle_d3, params->disable_idle_d3);
	atomic_init(&vp->enable_sriov, params->enable_sriov);
	vp->disable_denylist = params->disable_denylist;
	vp->disable_vga = params->disable_vga;
	vp->blocked_ones = params->blocked_ones;
	mutex_init(&vp->lock, RANK_VFIO_PCI);
	mutex_init(&vp->blocked_lock, RANK_VFIO_PCI_BLOCKED);
	LIST_INIT(&vp->pfs);
	rc = module_tree_init(vp);
	for (unsigned i = 0; !rc && i < VFIO_PCI_DRIVERS; i++)
		rc = driver_register(vp, &vp->driver[i], variants[i]);
	if (rc) {
		vfio_pci_destroy(vp);
		return rc;
	}
	ids_add(vp, params->ids);
	*out = vp;
	return 0;
}

void vfio_pci_destroy(struct vfio_pci *vp)
{
	if (!vp)
		return;
	tree_remove(bus_tree(vp->bus), MODULE);
	tree_remove(bus_tree(vp->bus), MODULE_CORE);
	tree_remove(bus_tree(vp->bus), MODULE_DASH);
	for (unsigned i = VFIO_PCI_DRIVERS; i > 0; i--)
		driver_unregister(&vp->driver[i - 1]);
	mutex_fini(&vp->blocked_lock);
	mutex_fini(&vp->lock);
	free(vp);
}
