/* SPDX-License-Identifier: MIT */
/* list, explain, check: looking without running. Inside uvfio run, list and explain show the running machine. */
#include "cli/cli.h"
#include "machine/machine.h"
#include <getopt.h>
#include <string.h>

struct look {
	const char *file; /* -m */
	int json;
	const char *what; /* the one argument */
};

/* Returns 0, or the exit status. */
static int look_options(int argc, char **argv, int wanted, struct look *l)
{
	static const struct option options[] = {
		{ "machine", required_argument, NULL, 'm' }, { "json", no_argument, NULL, 'j' }, { 0 },
	};
	int c;

	memset(l, 0, sizeof(*l));
	optind = 1;
	while ((c = getopt_long(argc, argv, "m:j", options, NULL)) != -1) {
		if (c == 'm')
			l->file = optarg;
		else if (c == 'j')
			l->json = 1;
		else
			return 2;
	}
	if (argc - optind != wanted) {
		fprintf(stderr, "uvfio %s: wanted %d argument%s, got %d\n", argv[0], wanted, wanted == 1 ? "" : "s",
			argc - optind);
		return 2;
	}
	l->what = wanted ? argv[optind] : NULL;
	return 0;
}

int cli_list(int argc, char **argv)
{
	struct look l;
	struct machine *m;
	int rc = look_options(argc, argv, 0, &l);

	if (rc)
		return rc;
	rc = l.file ? -1 : cli_live(l.json ? "list.json" : "list", NULL);
	if (rc >= 0)
		return rc;
	m = cli_boot(l.file, NULL);
	if (!m)
		return 1;
	rc = machine_list(m, l.json, stdout);
	machine_destroy(m);
	return rc != 0;
}

int cli_explain(int argc, char **argv)
{
	struct look l;
	struct machine *m;
	int rc = look_options(argc, argv, 1, &l);

	if (rc)
		return rc;
	rc = l.file ? -1 : cli_live("explain", l.what);
	if (rc >= 0)
		return rc;
	m = cli_boot(l.file, NULL);
	if (!m)
		return 1;
	rc = machine_explain(m, l.what, stdout);
	machine_destroy(m);
	if (rc)
		fprintf(stderr, "uvfio: the machine has no device or group \"%s\"; see: uvfio list\n", l.what);
	return rc != 0;
}

int cli_check(int argc, char **argv)
{
	int bad = 0;

	if (argc < 2) {
		fprintf(stderr, "uvfio check: wanted a machine file\n");
		return 2;
	}
	for (int i = 1; i < argc; i++) {
		struct machine_desc *d;

		if (machine_desc_load(argv[i], stderr, &d) == 0) {
			if (!machine_desc_audit(d, stderr))
				printf("%s: fine\n", argv[i]);
			machine_desc_free(d);
		} else {
			bad = 1;
		}
	}
	return bad;
}
