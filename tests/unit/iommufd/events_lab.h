/* SPDX-License-Identifier: MIT */
/* A program that is given descriptors, of queues of faults or of events, and has one at a time. */
#ifndef EVENTS_LAB_H
#define EVENTS_LAB_H

#include "iommufd_lab.h"
#include "iommufd/priv.h"
#include <poll.h>

static struct file *installed, *late; /* late: not installed, and released when it suits who could not */
static int install_rc;
static bool keep_late;

static inline int lab_install(struct task *t, struct file *f, int oflags)
{
	assert_int_equal(oflags, O_RDWR | O_CLOEXEC);
	if (install_rc) {
		late = keep_late ? file_get(f) : NULL;
		return install_rc;
	}
	assert_null(installed);
	installed = file_get(f);
	return 77;
}

#define BAD 8 /* an address where nothing is */

static inline int events_in(struct task *t, void *dst, uva_t src, size_t n)
{
	return src < PAGE ? -EFAULT : lab_in(t, dst, src, n);
}

static inline int events_out(struct task *t, uva_t dst, const void *src, size_t n)
{
	return dst < PAGE ? -EFAULT : lab_out(t, dst, src, n);
}

static const struct task_ops events_ops = {
	.copy_in = events_in,
	.copy_out = events_out,
	.fd_install = lab_install,
	.host_fd = lab_host_fd,
	.capable = fake_capable,
};

static inline void program(void)
{
	lab.caller.t.ops = &events_ops;
	installed = NULL;
	install_rc = 0;
	keep_late = false;
}

static inline int polled(void)
{
	return file_poll(installed, POLLIN | POLLOUT | POLLRDNORM, 0);
}
#define READABLE (POLLIN | POLLRDNORM)

static inline void close_installed(void)
{
	file_put(installed);
	installed = NULL;
}

#endif
