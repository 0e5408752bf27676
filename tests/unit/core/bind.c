/* SPDX-License-Identifier: MIT */
/*
 * Binding on a bus of our own, through the sysfs files as programs use them: the rows BND-01..20 that do not
 * need PCI. Ownership is played by fake_dma_configure: a device whose "user" is set has a user.
 */
#include "core/core.h"
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct thing {
	struct dev dev;
	uint32_t vendor, device, subvendor, subdevice, class_code;
	atomic_int user;     /* a user owns it: kernel drivers are refused */
	atomic_int claims;   /* kernel drivers that hold it */
	atomic_int busy;     /* probe..remove must be exclusive */
	bool configure_defers;
};

struct fake_drv {
	struct drv drv;
	int error;           /* what probe says */
	atomic_int probes, removes;
	struct mutex *block; /* remove takes it */
	const char *needs;   /* probe defers until this device is bound */
};

static struct tree *tree;
static struct log slog;
static struct bus *bus;
static atomic_int freed;

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

static atomic_int rescans;

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

static const struct drv_ops fake_drv_ops = { .probe = fake_probe, .remove = fake_remove };

static const struct drv_id edu_ids[] = {
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

static struct fake_drv edu, nic, vfio, stub, portdrv, shpchp;
static struct thing *a, *b;

static void thing_free(struct dev *dev)
{
	freed++;
	free(thing_of(dev));
}

static struct thing *thing_add(const char *name, uint32_t vendor, uint32_t device, uint32_t class_code)
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

static void drv_make(struct fake_drv *d, const char *name, const struct drv_id *ids, bool managed)
{
	*d = (struct fake_drv){ .drv = { .name = name, .ops = &fake_drv_ops, .ids = ids, .managed = managed } };
	assert_int_equal(drv_register(bus, &d->drv), 0);
}

static int setup(void **state)
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

static int teardown(void **state)
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

static int echo(const char *text, const char *path)
{
	struct file *f;
	int rc = tree_open(tree, &caller, path, O_WRONLY, &f);

	if (rc)
		return rc;
	rc = (int)file_write(f, &caller, (uintptr_t)text, strlen(text));
	file_put(f);
	return rc == (int)strlen(text) ? 0 : rc;
}

static const char *cat(const char *path)
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

#define DRIVERS "/sys/bus/fake/drivers/"
#define DEVICES "/sys/bus/fake/devices/"
#define A "0000:01:00.0"
#define B "0000:02:00.0"

/* The driver as sysfs shows it; "": none. */
static const char *driver_of(const char *name)
{
	static char real[4096];
	struct node_stat st;
	char path[64];

	snprintf(path, sizeof(path), DEVICES "%s/driver", name);
	return tree_stat(tree, path, true, &st, real) ? "" : strrchr(real, '/') + 1;
}

/* ---- the rows ---- */

static void test_bind(void **state)
{
	struct node_stat st;

	assert_string_equal(driver_of(B), "edu"); /* by its id, when it was added */
	assert_string_equal(driver_of(A), "");
	assert_int_equal(tree_stat(tree, DRIVERS "edu/" B "/driver_override", true, &st, NULL), 0);
	assert_int_equal(tree_stat(tree, DEVICES A "/subsystem", false, &st, NULL), 0);
	assert_string_equal(st.target, "../../../bus/fake");

	assert_int_equal(echo("0000:09:00.0", DRIVERS "edu/bind"), -ENODEV);          /* BND-01 */
	assert_int_equal(echo(A, DRIVERS "edu/bind"), -ENODEV);                       /* BND-02 */
	assert_int_equal(echo(B, DRIVERS "edu/bind"), -EBUSY);                        /* BND-03 */
	assert_int_equal(echo(B "x", DRIVERS "edu/bind"), -ENODEV);
	assert_int_equal(echo(B "\n\n", DRIVERS "edu/bind"), -ENODEV);
	assert_int_equal(echo(B, DRIVERS "nic/unbind"), -ENODEV);                     /* BND-06 */
	assert_int_equal(echo(A, DRIVERS "edu/unbind"), -ENODEV);
	assert_int_equal(echo("nothing", DRIVERS "edu/unbind"), -ENODEV);
	assert_int_equal(b->claims, 1);
	assert_int_equal(echo(B "\n", DRIVERS "edu/unbind"), 0);                      /* BND-07 */
	assert_int_equal(b->claims, 0);
	assert_int_equal(tree_stat(tree, DRIVERS "edu/" B, false, &st, NULL), -ENOENT);
	assert_string_equal(driver_of(B), "");

	edu.error = -ENOSPC;
	assert_int_equal(echo(B, DRIVERS "edu/bind"), -ENOSPC);                       /* BND-04 */
	assert_int_equal(b->claims, 0);                                               /* BND-20 */
	assert_string_equal(driver_of(B), "");
	assert_int_equal(tree_stat(tree, DRIVERS "edu/" B, false, &st, NULL), -ENOENT);
	edu.error = -DEV_EPROBE_DEFER;
	assert_int_equal(echo(B, DRIVERS "edu/bind"), -EAGAIN);                       /* BND-05 */
	edu.error = 0;
	b->configure_defers = true;
	assert_int_equal(echo(B, DRIVERS "edu/bind"), -EAGAIN);
	b->configure_defers = false;
	b->user = 1;
	edu.probes = 0;
	assert_int_equal(echo(B, DRIVERS "edu/bind"), -EBUSY);
	assert_int_equal(edu.probes, 0); /* never called */
	b->user = 0;
	assert_int_equal(echo(B "\n", DRIVERS "edu/bind"), 0);
	assert_string_equal(driver_of(B), "edu");
}

static void test_drivers_probe(void **state)
{
	assert_int_equal(echo("0000:09:00.0\n", "/sys/bus/fake/drivers_probe"), -ENODEV);
	assert_int_equal(echo(B, "/sys/bus/fake/drivers_probe"), 0); /* bound already */
	assert_int_equal(echo(A, "/sys/bus/fake/drivers_probe"), 0); /* BND-09 */
	assert_string_equal(driver_of(A), "");
	assert_int_equal(echo(B, DRIVERS "edu/unbind"), 0);
	b->user = 1;
	assert_int_equal(echo(B, "/sys/bus/fake/drivers_probe"), -EINVAL); /* BND-08 */
	b->user = 0;
	edu.error = -EIO;
	assert_int_equal(echo(B, "/sys/bus/fake/drivers_probe"), 0); /* a refused probe is no error */
	assert_string_equal(driver_of(B), "");
	edu.error = 0;
	assert_int_equal(echo(B "\n", "/sys/bus/fake/drivers_probe"), 0);
	assert_string_equal(driver_of(B), "edu");
}

static void test_override(void **state)
{
	char big[4097];

	assert_string_equal(cat(DEVICES A "/driver_override"), "(null)\n");
	assert_int_equal(echo("vfio-pci\nrest", DEVICES A "/driver_override"), 0);
	assert_string_equal(cat(DEVICES A "/driver_override"), "vfio-pci\n");
	assert_string_equal(driver_of(A), ""); /* binds nothing by itself */
	assert_int_equal(echo(A, DRIVERS "nic/bind"), -ENODEV);
	assert_int_equal(echo(A, "/sys/bus/fake/drivers_probe"), 0); /* BND-10: without an id */
	assert_string_equal(driver_of(A), "vfio-pci");
	assert_int_equal(a->claims, 0); /* managed */
	assert_int_equal(echo("\n", DEVICES A "/driver_override"), 0); /* BND-11 */
	assert_string_equal(cat(DEVICES A "/driver_override"), "(null)\n");
	assert_string_equal(driver_of(A), "vfio-pci");
	assert_int_equal(echo(A, DRIVERS "vfio-pci/unbind"), 0);
	assert_int_equal(echo(A, DRIVERS "vfio-pci/bind"), -ENODEV); /* BND-16 */

	assert_int_equal(echo("pci-stub", DEVICES B "/driver_override"), 0);
	assert_int_equal(echo(B, DRIVERS "edu/unbind"), 0);
	assert_int_equal(echo(B, DRIVERS "edu/bind"), -ENODEV); /* its id does not count any more */
	assert_int_equal(echo(B, DRIVERS "pci-stub/bind"), 0);
	memset(big, 'x', sizeof(big));
	big[4095] = 0;
	assert_int_equal(echo(big, DEVICES B "/driver_override"), -EINVAL);
	big[4094] = 0;
	assert_int_equal(echo(big, DEVICES B "/driver_override"), 0);
	assert_int_equal(echo("", DEVICES B "/driver_override"), 0); /* no write at all */
	assert_int_equal(dev_override(&b->dev, NULL), 0);
	assert_string_equal(cat(DEVICES B "/driver_override"), "(null)\n");
}

static void test_new_id(void **state)
{
	assert_int_equal(echo(A, DRIVERS "pci-stub/bind"), -ENODEV); /* BND-17 */
	assert_int_equal(echo("8086", DRIVERS "pci-stub/new_id"), -EINVAL); /* BND-12 */
	assert_int_equal(echo("", DRIVERS "pci-stub/new_id"), 0);
	assert_int_equal(echo("-1 -1", DRIVERS "pci-stub/new_id"), -EINVAL);
	assert_int_equal(echo("8086 2021\n", DRIVERS "pci-stub/new_id"), 0);
	assert_string_equal(driver_of(A), "pci-stub");
	assert_int_equal(echo("0x8086 2021", DRIVERS "pci-stub/new_id"), -EEXIST); /* BND-13 */
	assert_int_equal(echo("8086 2021 1af4 1100", DRIVERS "pci-stub/new_id"), -EEXIST);
	assert_int_equal(echo("8086 2021 ffffffff ffffffff 0 0 0", DRIVERS "pci-stub/new_id"), 0);
	assert_int_equal(echo("1234 11e8", DRIVERS "edu/new_id"), -EEXIST); /* the static table counts */
	assert_int_equal(echo("1 2 3 4 0 0 6", DRIVERS "edu/new_id"), -EINVAL); /* driver_data of no entry */
	assert_int_equal(echo("1 2 3 4 0 0 5", DRIVERS "edu/new_id"), 0);
	assert_int_equal(echo("1 2", DRIVERS "edu/new_id"), -EINVAL); /* driver_data 0 is of no entry either */

	assert_int_equal(echo("8086", DRIVERS "pci-stub/remove_id"), -EINVAL);
	assert_int_equal(echo("8086 2022", DRIVERS "pci-stub/remove_id"), -ENODEV); /* BND-15 */
	assert_int_equal(echo("8086 2021 1 2", DRIVERS "pci-stub/remove_id"), -ENODEV);
	assert_int_equal(echo("8086 2021", DRIVERS "pci-stub/remove_id"), 0);
	assert_int_equal(echo("8086 2021", DRIVERS "pci-stub/remove_id"), 0); /* the one of 7 fields */
	assert_int_equal(echo("8086 2021", DRIVERS "pci-stub/remove_id"), -ENODEV);
	assert_string_equal(driver_of(A), "pci-stub");
	assert_int_equal(echo(A, DRIVERS "pci-stub/unbind"), 0);
	assert_int_equal(echo(A, DRIVERS "pci-stub/bind"), -ENODEV);

	a->user = 1; /* BND-14 */
	assert_int_equal(echo("8086 2021", DRIVERS "nic/new_id"), 0);
	assert_string_equal(driver_of(A), "");
	a->user = 0;
	assert_int_equal(echo("8086 2021", DRIVERS "vfio-pci/new_id"), 0); /* not EEXIST: its entry is for overrides */
	assert_string_equal(driver_of(A), "vfio-pci");
	assert_int_equal(echo("9999 1 ffffffff ffffffff 60400 ffff00", DRIVERS "vfio-pci/new_id"), 0);
	assert_int_equal(echo("9999 1 ffffffff ffffffff 60500 ff00", DRIVERS "vfio-pci/remove_id"), -ENODEV);
	assert_int_equal(echo("9999 1 ffffffff ffffffff 60400 ff00", DRIVERS "vfio-pci/remove_id"), 0);
}

static void test_bridges(void **state)
{
	portdrv.error = -ENODEV; /* not PCIe: the next driver is tried (BND-18) */
	thing_add("0000:00:1e.0", 0x8086, 0x244e, 0x060400);
	assert_string_equal(driver_of("0000:00:1e.0"), "shpchp");
	portdrv.error = 0;
	thing_add("0000:00:01.0", 0x8086, 0x3420, 0x060400);
	assert_string_equal(driver_of("0000:00:01.0"), "pcieport");
}

static void test_autoprobe(void **state)
{
	struct thing *c;

	assert_string_equal(cat("/sys/bus/fake/drivers_autoprobe"), "1\n");
	assert_int_equal(echo("0", "/sys/bus/fake/drivers_autoprobe"), 0);
	assert_string_equal(cat("/sys/bus/fake/drivers_autoprobe"), "0\n");
	c = thing_add("0000:03:00.0", 0x1234, 0x11e8, 0); /* BND-19 */
	assert_string_equal(driver_of("0000:03:00.0"), "");
	assert_int_equal(echo("y", "/sys/bus/fake/drivers_autoprobe"), 0);
	c->user = 1;
	dev_autoprobe(&c->dev);
	assert_string_equal(driver_of("0000:03:00.0"), "");
	c->user = 0;
	dev_autoprobe(&c->dev);
	assert_string_equal(driver_of("0000:03:00.0"), "edu");
}

static void test_early(void **state)
{
	struct thing *c = calloc(1, sizeof(*c));

	c->vendor = 0x1234;
	c->device = 0x11e8;
	c->dev.free = thing_free;
	strcpy(c->dev.name, "0000:03:00.0");
	strcpy(c->dev.sysfs, "/sys/devices/fake/x");
	assert_int_equal(dev_add(bus, &c->dev), 0);
	assert_int_equal(echo("0000:03:00.0", DRIVERS "edu/bind"), -ENODEV); /* matches nothing yet */
	assert_int_equal(echo("edu", DEVICES "0000:03:00.0/driver_override"), 0);
	assert_int_equal(echo("0000:03:00.0", DRIVERS "edu/bind"), -ENODEV);
	dev_autoprobe(&c->dev);
	assert_string_equal(driver_of("0000:03:00.0"), "edu");
}

static void test_deferred(void **state)
{
	/* nic probes B's neighbour only when B has a driver. */
	nic.needs = B;
	assert_int_equal(echo(B, DRIVERS "edu/unbind"), 0);
	assert_int_equal(echo("8086 2021", DRIVERS "nic/new_id"), 0);
	assert_string_equal(driver_of(A), "");
	assert_int_equal(a->claims, 0);
	assert_int_equal(echo(B, DRIVERS "edu/bind"), 0);
	assert_string_equal(driver_of(A), "nic");
	nic.needs = NULL;

	/* A deferred device may go. */
	nic.error = -DEV_EPROBE_DEFER;
	assert_int_equal(echo("8086 9999", DRIVERS "nic/new_id"), 0);
	thing_add("0000:04:00.0", 0x8086, 0x9999, 0);
	assert_int_equal(echo("1", DEVICES "0000:04:00.0/remove"), 0);
	assert_int_equal(freed, 1);
	thing_add("0000:04:00.0", 0x8086, 0x9999, 0);
}

static void test_remove_and_rescan(void **state)
{
	struct node_stat st;
	int n = rescans;

	assert_int_equal(echo("x", DEVICES B "/remove"), -EINVAL);
	assert_int_equal(echo("0\n", DEVICES B "/remove"), 0);
	assert_int_equal(echo("-1", DEVICES B "/remove"), -EINVAL);
	assert_string_equal(driver_of(B), "edu");
	assert_int_equal(echo("1\n", DEVICES B "/remove"), 0);
	assert_int_equal(edu.removes, 1);
	assert_int_equal(freed, 1);
	assert_int_equal(tree_stat(tree, DEVICES B, false, &st, NULL), -ENOENT);
	assert_int_equal(tree_stat(tree, "/sys/devices/fake/" B, false, &st, NULL), -ENOENT);
	assert_int_equal(tree_stat(tree, DRIVERS "edu/" B, false, &st, NULL), -ENOENT);
	assert_int_equal(echo(B, DRIVERS "edu/bind"), -ENODEV);
	assert_int_equal(echo("1", "/sys/bus/fake/rescan"), 0);
	assert_int_equal(echo("1", DEVICES A "/rescan"), 0);
	assert_int_equal(echo("z", DEVICES A "/rescan"), -EINVAL);
	assert_int_equal(rescans, n + 2);
}

static void test_names(void **state)
{
	struct drv twin = { .name = "edu", .ops = &fake_drv_ops };
	struct thing *c = calloc(1, sizeof(*c));

	assert_int_equal(drv_register(bus, &twin), -EBUSY);
	assert_ptr_equal(drv_find(bus, "edu"), &edu.drv);
	assert_null(drv_find(bus, "none"));
	strcpy(c->dev.name, B);
	strcpy(c->dev.sysfs, "/sys/devices/fake/twin");
	assert_int_equal(dev_add(bus, &c->dev), -EEXIST);
	free(c);
}

static void test_unregister(void **state)
{
	struct fake_drv late;
	struct node_stat st;

	drv_make(&late, "late", NULL, false);
	assert_int_equal(echo("8086 2021", DRIVERS "late/new_id"), 0);
	assert_string_equal(driver_of(A), "late");
	drv_unregister(&late.drv);
	assert_int_equal(late.removes, 1);
	assert_string_equal(driver_of(A), "");
	assert_int_equal(tree_stat(tree, DRIVERS "late", false, &st, NULL), -ENOENT);
	late.drv.ids = edu_ids;
	assert_int_equal(echo(B, DRIVERS "edu/unbind"), 0);
	assert_int_equal(drv_register(bus, &late.drv), 0);
	assert_string_equal(driver_of(B), "late"); /* unbound devices are tried */
	drv_unregister(&late.drv);
}

/* ---- several at once ---- */

static void bind_b(void *arg)
{
	assert_int_equal(echo(B, DRIVERS "edu/bind"), 0);
}

static void unbind_b(void *arg)
{
	assert_int_equal(echo(B, DRIVERS "edu/unbind"), 0);
}

/* While remove waits for a user, the driver is still there for sysfs's eyes and nobody else gets the device. */
static void test_blocked_unbind(void **state)
{
	struct mutex gate;
	struct thread t[2];

	mutex_init(&gate, RANK_NONE);
	edu.block = &gate;
	mutex_lock(&gate);
	assert_int_equal(thread_start(&t[0], "unbind", unbind_b, NULL), 0);
	while (strcmp(driver_of(B), "edu") == 0)
		usleep(100);
	assert_ptr_equal(dev_driver(&b->dev), &edu.drv);
	assert_int_equal(b->claims, 1);
	assert_int_equal(thread_start(&t[1], "bind", bind_b, NULL), 0); /* waits for the device */
	assert_int_equal(echo("edu", DEVICES B "/driver_override"), 0);  /* this does not */
	mutex_unlock(&gate);
	thread_join(&t[0]);
	thread_join(&t[1]);
	assert_string_equal(driver_of(B), "edu");
	edu.block = NULL;
	mutex_fini(&gate);
}

#define ROUNDS 4000

static void race_bind(void *arg)
{
	const char *path[] = { DRIVERS "edu/bind", DRIVERS "edu/unbind", DRIVERS "vfio-pci/bind",
			       DRIVERS "vfio-pci/unbind", "/sys/bus/fake/drivers_probe" };

	for (unsigned i = 0; i < ROUNDS; i++) {
		int rc = echo(i & 1 ? B : "0000:03:00.0", path[i * 7 % 5]);

		assert_true(rc == 0 || rc == -ENODEV || rc == -EBUSY);
	}
}

static void race_override(void *arg)
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		int rc = echo(i & 1 ? "vfio-pci" : "\n", DEVICES B "/driver_override");

		assert_true(rc == 0);
		cat(DEVICES B "/driver_override");
	}
}

static void race_new_id(void *arg)
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		echo("1234 11e8", DRIVERS "nic/new_id");
		echo("1234 11e8", DRIVERS "nic/remove_id");
		echo("0000:03:00.0", DRIVERS "nic/unbind");
	}
}

static void race_hotplug(void *arg)
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		thing_add("0000:03:00.0", 0x1234, 0x11e8, 0);
		assert_int_equal(echo("1", DEVICES "0000:03:00.0/remove"), 0);
	}
}

static void race_register(void *arg)
{
	struct fake_drv d;

	for (unsigned i = 0; i < ROUNDS / 3; i++) {
		drv_make(&d, "guest", edu_ids, i & 1);
		echo(B, DRIVERS "guest/bind");
		drv_unregister(&d.drv);
		assert_int_equal(d.removes <= d.probes, 1);
	}
}

static void race_remove(void *arg)
{
	for (unsigned i = 0; i < ROUNDS; i++)
		echo("1", DEVICES "0000:05:00.0/remove");
}

static void race_add(void *arg)
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct thing *th = calloc(1, sizeof(*th));

		th->vendor = 0x1234;
		th->device = 0x11e8;
		th->dev.free = thing_free;
		strcpy(th->dev.name, "0000:05:00.0");
		strcpy(th->dev.sysfs, "/sys/devices/fake/0000:05:00.0");
		if (dev_add(bus, &th->dev))
			free(th);
	}
}

static void race(void (*const *fn)(void *), unsigned n)
{
	struct thread t[8];

	for (unsigned i = 0; i < n; i++)
		assert_int_equal(thread_start(&t[i], "race", fn[i], NULL), 0);
	for (unsigned i = 0; i < n; i++)
		thread_join(&t[i]);
}

static void test_race(void **state)
{
	void (*const all[])(void *) = { race_bind, race_bind, race_override, race_new_id, race_hotplug, race_register };

	race(all, ARRAY_SIZE(all));
	assert_int_equal(b->claims, dev_driver(&b->dev) && !dev_driver(&b->dev)->managed);
	assert_int_equal(b->busy, dev_driver(&b->dev) != NULL);
}

/* Two remove files and an add of the same name: removal waits for a caller that waits for removal. */
static void test_race_remove(void **state)
{
	void (*const all[])(void *) = { race_remove, race_remove, race_add };

	race(all, ARRAY_SIZE(all));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_bind), T(test_drivers_probe), T(test_override), T(test_new_id), T(test_bridges),
		T(test_autoprobe), T(test_early), T(test_deferred), T(test_remove_and_rescan), T(test_names),
		T(test_unregister), T(test_blocked_unbind), T(test_race), T(test_race_remove),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
