/* SPDX-License-Identifier: MIT */
/* run and doctor. The exit status, or the signal, is the program's. */
#include "cli/cli.h"
#include "front/supervisor/supervisor.h"
#include "machine/machine.h"
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* Die as the program died, so that a shell says the same; but one core file is enough. */
static int die_alike(int status)
{
	struct rlimit none = { 0, 0 };
	sigset_t set;

	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	setrlimit(RLIMIT_CORE, &none);
	signal(WTERMSIG(status), SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, WTERMSIG(status));
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	raise(WTERMSIG(status));
	return 128 + WTERMSIG(status);
}

/* For tests: do as if the host refused a mechanism. Not in the manual. */
static bool without(struct super_options *o, const char *what)
{
	static const struct {
		const char *name;
		unsigned bit;
	} names[] = {
		{ "notify", SUPER_WITHOUT_NOTIFY },   { "getfd", SUPER_WITHOUT_GETFD }, { "inject", SUPER_WITHOUT_INJECT },
		{ "procmap", SUPER_WITHOUT_PROCMAP }, { "mem", SUPER_WITHOUT_MEM },   { "pins", SUPER_WITHOUT_PINS },
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcmp(what, names[i].name) == 0) {
			o->without |= names[i].bit;
			return true;
		}
	}
	fprintf(stderr, "uvfio run: --without notify, getfd, inject, procmap, mem or pins\n");
	return false;
}

static bool pins(struct machine_options *o, const char *how)
{
	o->true_pins = strcmp(how, "true") == 0;
	if (o->true_pins || strcmp(how, "address") == 0)
		return true;
	fprintf(stderr, "uvfio run: --pins true or address\n");
	return false;
}

int cli_run(int argc, char **argv)
{
	static const struct option options[] = {
		{ "machine", required_argument, NULL, 'm' }, { "quiet", no_argument, NULL, 'q' },
		{ "pins", required_argument, NULL, 'p' },    { "without", required_argument, NULL, 'w' },
		{ 0 },
	};
	struct machine_options mo = { 0 };
	struct super_options o = { 0 };
	struct machine *m;
	int c, rc, status = 0;

	optind = 1;
	while ((c = getopt_long(argc, argv, "+m:q", options, NULL)) != -1) {
		if (c == 'm')
			o.machine_file = optarg;
		else if (c == 'q')
			o.quiet = true;
		else if (c == 'p' ? !pins(&mo, optarg) : c != 'w' || !without(&o, optarg))
			return 2;
	}
	if (optind == argc) {
		fprintf(stderr, "uvfio run: which program? e.g. uvfio run -- ls -l /dev/vfio\n");
		return 2;
	}
	/* Without it all goes on, only slower. */
	if (super_mirror_create(&o.mirror))
		o.mirror = NULL;
	mo.mirror = o.mirror;
	m = cli_boot(o.machine_file, &mo);
	if (!m) {
		super_mirror_destroy(o.mirror);
		return 125;
	}
	rc = super_run(m, &o, argv + optind, &status);
	if (!o.quiet)
		machine_report(m, stderr);
	machine_destroy(m);
	super_mirror_destroy(o.mirror);
	if (rc < 0) {
		fprintf(stderr, "uvfio: cannot run %s: %s; see: uvfio doctor\n", argv[optind], strerror(-rc));
		return rc == -ENOENT ? 127 : rc == -EACCES ? 126 : 125;
	}
	return die_alike(status);
}

int cli_doctor(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return super_doctor(stdout) < 0;
}
