/* SPDX-License-Identifier: MIT */
/*
 * The engine behind "uvfio run": an unmodified program and all it starts call a machine through the
 * system call border. Seccomp user notification catches the calls that matter and the threads of this
 * process answer them; nothing here knows what a device is, it opens files of the machine's tree.
 */
#ifndef UVFIO_FRONT_SUPERVISOR_H
#define UVFIO_FRONT_SUPERVISOR_H

#include "base/defs.h"
#include "base/log.h"
#include <stdio.h>

struct machine;
struct mirror_pool;
struct tree;

struct super_options {
	const char *machine_file; /* for messages; NULL: the built-in machine */
	bool quiet;               /* say nothing but errors on standard error */
	struct mirror_pool *mirror; /* of super_mirror_create(), and the machine's; NULL: every load is carried to the machine */
	/* For tests: pretend the host refuses something. Bits SUPER_WITHOUT_*. */
	unsigned without;
};
#define SUPER_WITHOUT_GETFD   BIT(0) /* pidfd_getfd */
#define SUPER_WITHOUT_INJECT  BIT(1) /* ptrace: no stub, no redirected attributes */
#define SUPER_WITHOUT_PROCMAP BIT(2) /* PROCMAP_QUERY: read /proc/PID/maps */
#define SUPER_WITHOUT_MEM     BIT(3) /* /proc/PID/mem */
#define SUPER_WITHOUT_PINS    BIT(5) /* a buffer registered in an io_uring by a program */
#define SUPER_WITHOUT_NOTIFY  BIT(4) /* a listener of a seccomp filter: trace */

/**
 * super_mirror_create - memory of the machine that programs can look at, for registers without side effects
 * Give it to machine_create() and super_run(). Who can run a program there can read all such registers.
 * Return: 0; -ENOMEM, -EMFILE ...
 */
int super_mirror_create(struct mirror_pool **out);
/** super_mirror_destroy - after the machine; NULL is fine */
void super_mirror_destroy(struct mirror_pool *pool);

/**
 * super_run - run a program and all its descendants on a machine, until the last of them has ended
 * @argv:   NULL-terminated; argv[0] is looked up in PATH
 * @status: as wait(2) gives it, of the program itself
 *
 * Signals: while it runs, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 and an INT or QUIT sent by a process are passed
 * on to the program; those of the terminal reach it by themselves. Once it has ended all but USR1 and USR2 go to those
 * it has left. If this process dies, all programs are killed.
 * Where the host has put this process under a notification filter already, or the kernel is older than 5.19, programs
 * are traced (ptrace) instead, which is slower.
 * Return: 0; -ENOENT, -EACCES and the like: the program cannot be executed; -EPERM and others: neither is possible.
 *         The log says more.
 */
int super_run(struct machine *m, const struct super_options *o, char *const argv[], int *status);
/** super_run_tree - the same for a tree without a machine around it */
int super_run_tree(struct tree *tree, struct log *log, const struct super_options *o, char *const argv[], int *status);

/**
 * super_doctor - one line per mechanism: whether this host allows it, its cost here, what is used instead
 * Return: 0; -1: uvfio run does not work here
 */
int super_doctor(FILE *out);

#endif
