/* SPDX-License-Identifier: MIT */
/* Ownership is played by fake_dma_configure: a device whose "user" is set has a user. */
#include "fake.h"

struct tree *tree;
struct bus *bus;
atomic_int freed, rescans;
struct fake_drv edu, nic, vfio, stub, portdrv, shpchp;
struct thing *a, *b;
static struct log slog;

/* ---- the bus ---- */

static struct thing *thing_of(struct dev *dev)
{
	return container_of(dev, struct thing, dev);
}

static int fake_dma_configure(struct dev *dev, struct drv *drv)
{
	struct thing *th = thing_of(dev);

	if (th->configure_defers)
		return -DEV_EPROBE_DEFER;
	if (drv->managed)
		return 0;
	if (th->user)
		return -EBUSY;
	th->claims++;
	return 0;
}

static void fake_dma_cleanup(struct dev *dev, struct drv *drv)
{
	if (!drv->managed)
		thing_of(dev)->claims--;
}

static void fake_ids(struct dev *dev, uint32_t *vendor, uint32_t *device, uint32_t *subvendor, uint32_t *subdevice,
		     uint32_t *class_code)
{
	struct thing *th = thing_of(dev);

	*vendor = th->vendor;
	*device = th->device;
	*subvendor = th->subvendor;
	*subdevice = th->subdevice;
	*class_code = th->class_code;
}

static int fake_unplug(struct dev *dev)
{
	dev_del(dev);
	return 0;
}

static int fake_rescan(struct bus *b, struct dev *dev)
{
	rescans++;
	return 0;
}

static const struct bus_ops fake_ops = {
	.dma_configure = fake_dma_configure, .dma_cleanup = fake_dma_cleanup, .ids = fake_ids,
	.unplug = fake_unplug, .rescan = fake_rescan,
};

/* ---- drivers ---- */

static int fake_probe(struct drv *drv, struct dev *dev)
{
	struct fake_drv *d = container_of(drv, struct fake_drv, drv);
	struct dev *other;
	bool ready = true;

	d->probes++;
	assert_ptr_equal(dev->driver, drv);
	if (d->needs) {
		other = dev_find(bus, d->needs);
		ready = other && dev_driver(other) && dev_driver(other) != drv;
		if (other)
			dev_put(other);
	}
	if (!ready)
		return -DEV_EPROBE_DEFER;
	if (d->error)
		return d->error;
	assert_int_equal(atomic_fetch_add(&thing_of(dev)->busy, 1), 0);
	dev->driver_data = d;
	return 0;
}

static void fake_remove(struct drv *drv, struct dev *dev)
{
	struct fake_drv *d = container_of(drv, struct fake_drv, drv);

	assert_ptr_equal(dev->driver_data, d);
	if (d->block) {
		mutex_lock(d->block);
		mutex_unlock(d->block);
	}
	if (!drv->managed)
		assert_true(thing_of(dev)->claims > 0); /* let go only after remove */
	assert_int_equal(atomic_fetch_sub(&thing_of(dev)->busy, 1), 1);
	d->removes++;
}

const struct drv_ops fake_drv_ops = { .probe = fake_probe, .remove = fake_remove };

const struct drv_id edu_ids[] = {
	{ .vendor = 0x1234, .device = 0x11e8, .subvendor = DRV_ANY_ID, .subdevice = DRV_ANY_ID, .driver_data = 5 },
	{ 0 }
};
static const struct drv_id bridge_ids[] = {
	{ .vendor = DRV_ANY_ID, .device = DRV_ANY_ID, .subvendor = DRV_ANY_ID, .subdevice = DRV_ANY_ID,
	  .class_code = 0x060400, .class_mask = 0xffffff },
	{ 0 }
};
static const struct drv_id vfio_ids[] = {
	{ .vendor = DRV_ANY_ID, .device = DRV_ANY_ID, .subvendor = DRV_ANY_ID, .subdevice = DRV_ANY_ID,
	  .override_only = true },
	{ 0 }
};

void thing_free(struct dev *dev)
{
	freed++;
	free(thing_of(dev));
}

struct thing *thing_add(const char *name, uint32_t vendor, uint32_t device, uint32_t class_code)
{
	struct thing *th = calloc(1, sizeof(*th));

	th->vendor = vendor;
	th->device = device;
	th->class_code = class_code;
	th->subvendor = 0x1af4;
	th->subdevice = 0x1100;
	th->dev.free = thing_free;
	snprintf(th->dev.name, sizeof(th->dev.name), "%s", name);
	snprintf(th->dev.sysfs, sizeof(th->dev.sysfs), "/sys/devices/fake/%s", name);
	assert_int_equal(dev_add(bus, &th->dev), 0);
	dev_autoprobe(&th->dev);
	return th;
}

void drv_make(struct fake_drv *d, const char *name, const struct drv_id *ids, bool managed)
{
	*d = (struct fake_drv){ .drv = { .name = name, .ops = &fake_drv_ops, .ids = ids, .managed = managed } };
	assert_int_equal(drv_register(bus, &d->drv), 0);
}

int fake_setup(void **state)
{
	freed = 0;
	log_init(&slog, NULL, NULL);
	assert_int_equal(tree_create(&tree), 0);
	assert_int_equal(bus_create("fake", &fake_ops, tree, &slog, &bus), 0);
	drv_make(&portdrv, "pcieport", bridge_ids, true);
	drv_make(&shpchp, "shpchp", bridge_ids, false);
	drv_make(&edu, "edu", edu_ids, false);
	drv_make(&nic, "nic", NULL, false);
	drv_make(&vfio, "vfio-pci", vfio_ids, true);
	drv_make(&stub, "pci-stub", NULL, true);
	a = thing_add("0000:01:00.0", 0x8086, 0x2021, 0x088000);
	b = thing_add("0000:02:00.0", 0x1234, 0x11e8, 0x00ff00);
	return 0;
}

static int del_one(struct dev *dev, void *ctx)
{
	dev_del(dev);
	return 0;
}

int fake_teardown(void **state)
{
	struct fake_drv *all[] = { &edu, &nic, &vfio, &stub, &portdrv, &shpchp };

	for (unsigned i = 0; i < ARRAY_SIZE(all); i++)
		drv_unregister(&all[i]->drv);
	dev_for_each(bus, del_one, NULL);
	bus_destroy(bus);
	tree_destroy(tree);
	log_fini(&slog);
	return 0;
}

/* ---- sysfs as a program uses it ---- */

static int copy_in(struct task *t, void *dst, uva_t src, size_t n)
{
	memcpy(dst, (void *)(uintptr_t)src, n);
	return 0;
}

static int copy_out(struct task *t, uva_t dst, const void *src, size_t n)
{
	memcpy((void *)(uintptr_t)dst, src, n);
	return 0;
}

static const struct task_ops task_ops = { .copy_in = copy_in, .copy_out = copy_out };
static struct task caller = { .ops = &task_ops };

int echo(const char *text, const char *path)
{
	struct file *f;
	int rc = tree_open(tree, &caller, path, O_WRONLY, &f);

	if (rc)
		return rc;
	rc = (int)file_write(f, &caller, (uintptr_t)text, strlen(text));
	file_put(f);
	return rc == (int)strlen(text) ? 0 : rc;
}

const char *cat(const char *path)
{
	static char text[256];
	struct file *f;
	ssize_t n;

	assert_int_equal(tree_open(tree, &caller, path, O_RDONLY, &f), 0);
	n = file_read(f, &caller, (uintptr_t)text, sizeof(text) - 1);
	file_put(f);
	text[n < 0 ? 0 : n] = 0;
	return text;
}

const char *driver_of(const char *name)
{
	static char real[4096];
	struct node_stat st;
	char path[64];

	snprintf(path, sizeof(path), DEVICES "%s/driver", name);
	return tree_stat(tree, path, true, &st, real) ? "" : strrchr(real, '/') + 1;
}
