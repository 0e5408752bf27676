/* SPDX-License-Identifier: MIT */
/* A bus of our own with devices and drivers on it, and its sysfs files as programs use them. */
#ifndef UVFIO_TESTS_CORE_FAKE_H
#define UVFIO_TESTS_CORE_FAKE_H

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

extern struct tree *tree;
extern struct bus *bus;
extern atomic_int freed;   /* devices */
extern atomic_int rescans;
extern const struct drv_ops fake_drv_ops;
extern const struct drv_id edu_ids[];
extern struct fake_drv edu, nic, vfio, stub, portdrv, shpchp;
extern struct thing *a, *b; /* A and B */

#define DRIVERS "/sys/bus/fake/drivers/"
#define DEVICES "/sys/bus/fake/devices/"
#define A "0000:01:00.0"
#define B "0000:02:00.0"

int fake_setup(void **state);
int fake_teardown(void **state);
/* A device on the bus, which frees itself */
struct thing *thing_add(const char *name, uint32_t vendor, uint32_t device, uint32_t class_code);
void thing_free(struct dev *dev);
/* Registered */
void drv_make(struct fake_drv *d, const char *name, const struct drv_id *ids, bool managed);
/* One write to a file: 0; -errno */
int echo(const char *text, const char *path);
/* The text of a file, in a static buffer */
const char *cat(const char *path);
/* The driver as sysfs shows it; "": none. */
const char *driver_of(const char *name);

#endif
