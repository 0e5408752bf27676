/* SPDX-License-Identifier: MIT */
#include "cli/cli.h"
#include "machine/machine.h"
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static const struct cli_verb verbs[] = {
	{ "run", "[-m FILE] [-q] [--pins HOW] [--] PROGRAM ...", "run a program, and all it starts, on a machine", cli_run },
	{ "list", "[-m FILE] [--json]", "draw the machine: devices, groups, drivers, who has what open", cli_list },
	{ "explain", "[-m FILE] BDF|GROUP", "who keeps a device from being given to a program, and what to do", cli_explain },
	{ "check", "FILE...", "say what is wrong with machine files", cli_check },
	{ "machine", "", "print the built-in machine file", cli_machine },
	{ "doctor", "", "what this host allows, what it costs, what would be used instead", cli_doctor },
};

static void usage(FILE *out)
{
	fprintf(out, "uvfio: VFIO without the kernel\n\n");
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		fprintf(out, "  uvfio %-8s %-38s %s\n", verbs[i].name, verbs[i].args, verbs[i].what);
	fprintf(out, "\n  try: uvfio run -- ls -l /dev/vfio     more: man uvfio\n");
}

/* The kernel's complaints; what it says when all is well is in /sys/kernel/uvfio/log. */
static void complain(void *ctx, enum log_level level, const char *text)
{
	(void)ctx;
	if (level <= LOG_WARN)
		fprintf(stderr, "%s%s\n", strncmp(text, "uvfio", 5) == 0 ? "" : "uvfio: ", text);
}

struct machine *cli_boot(const char *path, const struct machine_options *like)
{
	struct machine_options options = like ? *like : (struct machine_options){ 0 };
	struct machine_desc *d;
	struct machine *m;
	int rc = machine_desc_load(path, stderr, &d);

	if (rc != 0)
		return NULL;
	options.log_sink = complain;
	rc = machine_create(d, &options, &m);
	machine_desc_free(d);
	if (rc != 0) {
		fprintf(stderr, "uvfio: the machine does not start: %s\n", strerror(-rc));
		return NULL;
	}
	return m;
}

int cli_live(const char *file, const char *query)
{
	char path[128], buf[65536];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/sys/kernel/uvfio/%s", file);
	fd = open(path, (query ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	if (fd < 0)
		return -1;
	if (query && write(fd, query, strlen(query)) < 0) {
		fprintf(stderr, "uvfio: %s: %m\n", query);
		close(fd);
		return 1;
	}
	if (query)
		lseek(fd, 0, SEEK_SET);
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		fwrite(buf, 1, (size_t)n, stdout);
	close(fd);
	return n < 0;
}

int cli_machine(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	fputs(machine_default_text(), stdout);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		usage(stderr);
		return 2;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
		usage(stdout);
		return 0;
	}
	if (strcmp(argv[1], "--version") == 0) {
		printf("uvfio %s\n", UVFIO_VERSION);
		return 0;
	}
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strcmp(argv[1], verbs[i].name) == 0)
			return verbs[i].run(argc - 1, argv + 1);
	}
	fprintf(stderr, "uvfio: no such command: %s\n\n", argv[1]);
	usage(stderr);
	return 2;
}
