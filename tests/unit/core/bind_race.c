/* SPDX-License-Identifier: MIT */
/* Binding by several at once. */
#include "fake.h"

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

#define T(f) cmocka_unit_test_setup_teardown(f, fake_setup, fake_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_blocked_unbind), T(test_race), T(test_race_remove),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
