/* SPDX-License-Identifier: MIT */
/* The uvfio command: one verb a file. A verb gets its own argv (argv[0] is its name) and returns the exit status. */
#ifndef UVFIO_CLI_CLI_H
#define UVFIO_CLI_CLI_H

#include <stdio.h>

struct cli_verb {
	const char *name, *args, *what;
	int (*run)(int argc, char **argv);
};

int cli_run(int argc, char **argv);
int cli_list(int argc, char **argv);
int cli_explain(int argc, char **argv);
int cli_check(int argc, char **argv);
int cli_doctor(int argc, char **argv);
int cli_machine(int argc, char **argv);

struct machine;
struct machine_options;
/**
 * cli_boot - read a machine file and build the machine, saying what is wrong on standard error
 * @path: NULL: the built-in machine; @like: but for its log; NULL: as they are. Return: NULL when it failed
 */
struct machine *cli_boot(const char *path, const struct machine_options *like);
/**
 * cli_live - inside uvfio run: answer from the running machine by printing one of its files
 * @file: below /sys/kernel/uvfio; @query: written to it first, NULL: nothing
 * Return: -1 not inside a run; else the exit status
 */
int cli_live(const char *file, const char *query);

#endif
