/* SPDX-License-Identifier: MIT */
/* The toy machine (super_toy.c) for the tests that run programs on it (test_super.c). */
#ifndef UVFIO_TESTS_SUPER_MACHINE_H
#define UVFIO_TESTS_SUPER_MACHINE_H

#include "base/event.h"
#include "base/lock.h"
#include "base/log.h"
#include "file/tree.h"

struct toy {
	struct tree *tree;
	struct log log;
	struct mutex lock;
	struct cond cond;
	unsigned count, blocked, open, released, exclusive;
	bool unblock, access;
	uint32_t next;
	uint8_t scratch[64];
	int plain;      /* memfd of the plain page, or empty while access is denied */
	int region;     /* memfd of TOY_PAGES pages */
	char value[64]; /* of the attribute */
	char text[512]; /* what the log says, for tests that look at it */
	struct file_ready ready[2]; /* of queues that are only read, and of others */
};

extern struct toy toy;

/** toy_setup - a machine as new, for a test */
int toy_setup(void **state);
/** toy_teardown - it is gone */
int toy_teardown(void **state);

#endif
