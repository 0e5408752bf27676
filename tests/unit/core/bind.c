/* SPDX-License-Identifier: MIT */
/*
 * Binding on a bus of our own, through the sysfs files as programs use them: the rows BND-01..20 that do not
 * need PCI.
 */
#include "fake.h"

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

#define T(f) cmocka_unit_test_setup_teardown(f, fake_setup, fake_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_bind), T(test_drivers_probe), T(test_override), T(test_new_id), T(test_bridges),
		T(test_autoprobe), T(test_early), T(test_deferred), T(test_remove_and_rescan), T(test_names),
		T(test_unregister),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
