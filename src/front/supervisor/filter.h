/* SPDX-License-Identifier: MIT */
/* The seccomp filter: which system calls of a program come to the supervisor. */
#ifndef UVFIO_FRONT_SUPERVISOR_FILTER_H
#define UVFIO_FRONT_SUPERVISOR_FILTER_H

#include "base/defs.h"
#include <linux/filter.h>

#define SUPER_FILTER_MAX 1024

/**
 * super_filter_build - make the program of the filter
 * @fd_base:  calls on descriptors from there on are notified
 * @eventfds: notify eventfd creation (when a caller's eventfds cannot be fetched)
 * @trace:    a tracer is told instead of a listener
 * @prog:     room for SUPER_FILTER_MAX instructions
 * Return: number of instructions
 */
unsigned super_filter_build(unsigned fd_base, bool eventfds, bool trace, struct sock_filter *prog);
/**
 * super_filter_install - put the calling process under a filter, for good
 * @listener: ask for one; else the filter is for a tracer
 * Async-signal-safe. Return: the listener, or 0; -EBUSY a filter with a listener is there already; -EINVAL old kernel
 */
int super_filter_install(const struct sock_filter *prog, unsigned n, bool listener);

#endif
